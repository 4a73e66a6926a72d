//! The configuration in two steps: what was typed (flags, environment, `waxwing.toml`), and what it means.
//!
//! Flags win over the environment, the environment over the file, the file over the defaults. Every value keeps where
//! it came from, so that an error can name the place to change and `waxwing config` can show it.

mod example;
mod https;
mod read;
mod set;
mod typed;
mod value;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use ipnet::IpNet;
use serde_json::{Value, json};
use url::Url;

use crate::domain::backup::Passphrase;
use crate::domain::base_url::BaseUrl;
use crate::domain::contract::Contracts;
use crate::domain::language::Language;
use crate::domain::target::{HostPattern, Nat64Prefix};
pub use example::example;
pub use https::{ACME_DIRECTORY_DEFAULT, Https, HttpsArgs};
pub use set::{Origin, Row, Set};
use typed::Typed;
pub use value::{AdminKey, BackupTo, LogFormat, Rate, S3Secret, SecretKey};

/// The file that is read, in the working directory, when it exists.
pub const FILE_NAME: &str = "waxwing.toml";
pub const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8620);

/// Requests, and events, per second for each key (contract 3).
const MANAGEMENT_RATE_DEFAULT: NonZeroU32 = NonZeroU32::new(6).expect("6 is not 0");
const PUBLISH_RATE_DEFAULT: NonZeroU32 = NonZeroU32::new(1000).expect("1000 is not 0");
/// Contract 9.
const PAYLOAD_DAYS_DEFAULT: u32 = 30;
const METADATA_DAYS_DEFAULT: u32 = 90;
/// What storages that have no regions take.
const S3_REGION_DEFAULT: &str = "us-east-1";
/// A secret that is set, wherever the configuration is shown.
const SECRET_SHOWN: &str = "set";
/// What our own parts say, and what is wrong with the others.
const LOG_LEVEL_DEFAULT: &str = "warn,waxwing=info";
/// A person watches the terminal: what matters is printed there in sentences.
const LOG_LEVEL_DEV: &str = "warn";
/// What `--dev` opens for receivers on the developer's own machine.
const DEV_RANGES: [&str; 2] = ["127.0.0.0/8", "::1/128"];

/// What was typed after `waxwing serve`, unread.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// The folder for everything that is kept [default: ./waxwing-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// The address of the API [default: 127.0.0.1:8620]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Try it out: samples, a printed key, and receivers on this machine allowed
    #[arg(long)]
    pub dev: bool,
    /// Deliver to http:// URLs too
    #[arg(long)]
    pub allow_http_targets: bool,
    /// Deliver into this private range too, e.g. 10.1.0.0/16; can be given again
    #[arg(long, value_name = "CIDR")]
    pub allow_target_range: Vec<String>,
    /// Deliver to this host too, whatever its name says and wherever it leads: hooks.example.internal, or
    /// *.example.internal for all below it; can be given again
    #[arg(long, value_name = "HOST")]
    pub allow_target_host: Vec<String>,
    /// Let opened ranges and hosts be metadata services of clouds, which hand out credentials
    #[arg(long)]
    pub allow_metadata_targets: bool,
    /// Deliver to this port too; can be given again
    #[arg(long, value_name = "PORT")]
    pub allow_target_port: Vec<String>,
    /// Never deliver to this port; can be given again
    #[arg(long, value_name = "PORT")]
    pub refuse_target_port: Vec<String>,
    /// The URL under which others reach this server, which never delivers there
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Management requests per second for each key [default: 6]
    #[arg(long, value_name = "N|off")]
    pub management_rate: Option<String>,
    /// Published events per second for each key [default: 1000]
    #[arg(long, value_name = "N|off")]
    pub publish_rate: Option<String>,
    /// Proxies whose X-Forwarded-For is believed; can be given again
    #[arg(long, value_name = "CIDR")]
    pub trusted_proxies: Vec<String>,
    /// The language of the API's errors for who asks for none of these [default: en]
    #[arg(long, value_name = "en|es|pt")]
    pub language: Option<String>,
    /// The published contracts to speak beside the own API: none, marea, agentmessage [default: marea,agentmessage]
    #[arg(long, value_name = "LIST|none")]
    pub compat: Option<String>,
    #[command(flatten)]
    pub https: HttpsArgs,
    /// Where backups are kept: a folder, or s3://BUCKET/PREFIX [default: <data-dir>/backups]
    #[arg(long, value_name = "PLACE")]
    pub backup_to: Option<String>,
    /// The collector that traces go to, by OTLP over HTTP: http://127.0.0.1:4318
    #[arg(long, value_name = "URL")]
    pub otlp_endpoint: Option<String>,
}

/// What it means.
#[derive(Debug, Clone)]
pub struct Config {
    pub data_dir: Set<PathBuf>,
    pub listen: Set<SocketAddr>,
    pub dev: Set<bool>,
    pub allow_http_targets: Set<bool>,
    pub allow_target_range: Set<Vec<IpNet>>,
    pub allow_target_host: Set<Vec<HostPattern>>,
    pub allow_metadata_targets: Set<bool>,
    pub allow_target_port: Set<Vec<u16>>,
    pub refuse_target_port: Set<Vec<u16>>,
    pub nat64_prefix: Set<Vec<Nat64Prefix>>,
    /// Of which the host counts.
    pub public_url: Set<Option<BaseUrl>>,
    pub management_rate: Set<Rate>,
    pub publish_rate: Set<Rate>,
    pub trusted_proxies: Set<Vec<IpNet>>,
    /// Of the API's errors, for who asks for none that is spoken.
    pub language: Set<Language>,
    /// The published contracts that are spoken beside the own API.
    pub compat: Set<Contracts>,
    pub https: Https,
    pub secret_key: Set<Option<SecretKey>>,
    pub admin_key: Set<Option<AdminKey>>,
    pub payload_days: Set<u32>,
    pub metadata_days: Set<u32>,
    /// New work is refused when less than this is free, in bytes. None: max(256 MiB, 2 %) of the file system.
    pub free_space_reserve: Set<Option<u64>>,
    /// None: in the data folder.
    pub backup_to: Set<Option<BackupTo>>,
    /// For backups that are made without one.
    pub backup_passphrase: Set<Option<Passphrase>>,
    /// Of the storage that holds the bucket; none: Amazon's, in the region.
    pub s3_endpoint: Set<Option<Url>>,
    pub s3_region: Set<String>,
    /// None: the role that the machine has.
    pub s3_access_key_id: Set<Option<String>>,
    pub s3_secret_access_key: Set<Option<S3Secret>>,
    /// Without `/v1/traces`. None: there are no traces.
    pub otlp_endpoint: Set<Option<Url>>,
    pub log: Set<LogFormat>,
    /// Directives as of `RUST_LOG`: `info`, `warn,waxwing=debug`.
    pub log_level: Set<String>,
    /// `WAXWING_…` variables that mean nothing, each with what may have been meant.
    pub unknown_variables: Vec<String>,
}

/// One thing that is wrong, and where to change it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct ConfigError {
    /// `--listen`, `WAXWING_LISTEN` or `waxwing.toml line 3`.
    pub place: String,
    pub what: String,
}

impl Config {
    /// Reads everything, or names everything that is wrong.
    ///
    /// `environment` holds variables of any name; only `WAXWING_…` are looked at. `file` is the text of
    /// `waxwing.toml`, when there is one.
    pub fn resolve(
        args: &Args,
        environment: impl IntoIterator<Item = (String, String)>,
        file: Option<&str>,
    ) -> Result<Self, Vec<ConfigError>> {
        let mut typed = Typed::gather(args, environment, file);
        let log_level_default = LOG_LEVEL_DEFAULT.to_owned();
        let mut config = Self {
            data_dir: typed.read("data_dir", read::path, PathBuf::from("./waxwing-data")),
            listen: typed.read("listen", read::address, LISTEN_DEFAULT),
            dev: typed.read("dev", read::switch, false),
            allow_http_targets: typed.read("allow_http_targets", read::switch, false),
            allow_target_range: typed.read("allow_target_range", read::ranges, Vec::new()),
            allow_target_host: typed.read("allow_target_host", read::hosts, Vec::new()),
            allow_metadata_targets: typed.read("allow_metadata_targets", read::switch, false),
            allow_target_port: typed.read("allow_target_port", read::ports, Vec::new()),
            refuse_target_port: typed.read("refuse_target_port", read::ports, Vec::new()),
            nat64_prefix: typed.read("nat64_prefix", read::nat64_prefixes, Vec::new()),
            public_url: typed.read("public_url", read::public_url, None),
            management_rate: typed.read("management_rate", read::rate, Rate::PerSecond(MANAGEMENT_RATE_DEFAULT)),
            publish_rate: typed.read("publish_rate", read::rate, Rate::PerSecond(PUBLISH_RATE_DEFAULT)),
            trusted_proxies: typed.read("trusted_proxies", read::ranges, Vec::new()),
            language: typed.read("language", read::language, Language::default()),
            compat: typed.read("compat", read::contracts, Contracts::ALL),
            https: Https::read(&mut typed),
            secret_key: typed.read("secret_key", read::secret_key, None),
            admin_key: typed.read("admin_key", read::admin_key, None),
            payload_days: typed.read("payload_days", read::days, PAYLOAD_DAYS_DEFAULT),
            metadata_days: typed.read("metadata_days", read::days, METADATA_DAYS_DEFAULT),
            free_space_reserve: typed.read("free_space_reserve", read::bytes, None),
            backup_to: typed.read("backup_to", read::backup_to, None),
            backup_passphrase: typed.read("backup_passphrase", read::passphrase, None),
            s3_endpoint: typed.read("s3_endpoint", read::endpoint, None),
            s3_region: typed.read("s3_region", read::word, S3_REGION_DEFAULT.to_owned()),
            s3_access_key_id: typed.read("s3_access_key_id", |texts| read::word(texts).map(Some), None),
            s3_secret_access_key: typed.read("s3_secret_access_key", read::s3_secret, None),
            otlp_endpoint: typed.read("otlp_endpoint", read::collector, None),
            log: typed.read("log", read::log_format, LogFormat::Pretty),
            log_level: typed.read("log_level", read::log_level, log_level_default),
            unknown_variables: typed.unknown_variables(),
        };
        if config.payload_days.value > config.metadata_days.value {
            typed.refuse(
                &config.payload_days.origin,
                "payload_days",
                "is more than metadata_days: a payload cannot outlive its event",
            );
        }
        let (id, secret) = (&config.s3_access_key_id, &config.s3_secret_access_key);
        if id.value.is_some() != secret.value.is_some() {
            let (origin, name) = match id.value {
                Some(_) => (&id.origin, "s3_access_key_id"),
                None => (&secret.origin, "s3_secret_access_key"),
            };
            typed.refuse(origin, name, "is one of two: s3_access_key_id and s3_secret_access_key go together");
        }
        if !typed.errors.is_empty() {
            return Err(typed.errors);
        }
        if config.dev.value {
            config.imply_dev();
        }
        Ok(config)
    }

    fn imply_dev(&mut self) {
        let dev_ranges = DEV_RANGES.map(|range| range.parse().expect("a constant range is valid"));
        self.allow_target_range.imply(|ranges| [&dev_ranges, ranges.as_slice()].concat());
        self.allow_http_targets = match self.allow_http_targets {
            Set { value: false, .. } => Set { value: true, origin: Origin::ImpliedByDev },
            ref set => set.clone(),
        };
        if self.log_level.origin == Origin::Default {
            self.log_level = Set { value: LOG_LEVEL_DEV.to_owned(), origin: Origin::ImpliedByDev };
        }
    }

    /// The names of the secrets that `waxwing.toml` holds.
    pub fn secrets_in_file(&self) -> Vec<&'static str> {
        let is_one = |row: &Row| row.value == SECRET_SHOWN && matches!(row.origin, Origin::File { .. });
        self.rows().iter().filter(|row| is_one(row)).map(|row| row.name).collect()
    }

    /// Every effective value with where it came from, in the order of the documentation. Secrets are shown as set or
    /// not set.
    pub fn rows(&self) -> Vec<Row> {
        // Destructured, so that a new setting cannot be left out.
        let Self {
            data_dir,
            listen,
            dev,
            allow_http_targets,
            allow_target_range,
            allow_target_host,
            allow_metadata_targets,
            allow_target_port,
            refuse_target_port,
            nat64_prefix,
            public_url,
            management_rate,
            publish_rate,
            trusted_proxies,
            language,
            compat,
            https,
            secret_key,
            admin_key,
            payload_days,
            metadata_days,
            free_space_reserve,
            backup_to,
            backup_passphrase,
            s3_endpoint,
            s3_region,
            s3_access_key_id,
            s3_secret_access_key,
            otlp_endpoint,
            log,
            log_level,
            unknown_variables: _,
        } = self;
        let set_or_not = |is_set: bool| json!(if is_set { SECRET_SHOWN } else { "not set" });
        let mut rows = vec![
            data_dir.row("data_dir", "The folder for everything that is kept", |path| json!(path.to_string_lossy())),
            listen.row("listen", "The address of the API", |address| json!(address)),
            dev.row("dev", "Trying it out: samples, a printed key, and receivers on this machine allowed", |on| {
                json!(on)
            }),
            allow_http_targets.row("allow_http_targets", "Whether deliveries go to http:// URLs too", |on| json!(on)),
            allow_target_range
                .row("allow_target_range", "Private ranges that deliveries may go into", |ranges| show_all(ranges)),
            allow_target_host.row(
                "allow_target_host",
                "Hosts that deliveries may go to, whatever their names say and wherever they lead",
                |hosts| show_all(hosts),
            ),
            allow_metadata_targets.row(
                "allow_metadata_targets",
                "Whether what is opened may be a metadata service of a cloud",
                |on| json!(on),
            ),
            allow_target_port.row(
                "allow_target_port",
                "Ports that deliveries may go to besides the usual ones",
                |ports| json!(ports),
            ),
            refuse_target_port.row(
                "refuse_target_port",
                "Ports that deliveries never go to, besides those of well-known services",
                |ports| json!(ports),
            ),
            nat64_prefix.row(
                "nat64_prefix",
                "Prefixes by which gateways of this network lead to IPv4, besides 64:ff9b::/96",
                |prefixes| show_all(prefixes),
            ),
            public_url.row(
                "public_url",
                "The URL under which others reach this server: links begin with it, and it is never a target",
                |url| json!(url.as_ref().map(BaseUrl::as_str)),
            ),
            management_rate.row(
                "management_rate",
                "Calls per second for each key that has no quota of its own",
                |rate| rate.show(),
            ),
            publish_rate.row(
                "publish_rate",
                "Published events per second for each key that has no quota of its own",
                |rate| rate.show(),
            ),
            trusted_proxies
                .row("trusted_proxies", "Proxies whose X-Forwarded-For is believed", |ranges| show_all(ranges)),
            language.row("language", "The language of errors for who asks for none that is spoken", |language| {
                json!(language.tag())
            }),
            compat.row("compat", "The published contracts that are spoken beside the own API", |contracts| {
                contracts.iter().map(|contract| json!(contract.name())).collect()
            }),
        ];
        rows.extend(https.rows());
        rows.extend([
            secret_key.row(
                "secret_key",
                "The key that secrets are encrypted with, when it is not in the data folder",
                |key| set_or_not(key.is_some()),
            ),
            admin_key.row("admin_key", "A key with full access that only the environment knows", |key| {
                set_or_not(key.is_some())
            }),
            payload_days
                .row("payload_days", "Days that the data of events and what was sent are kept", |days| json!(days)),
            metadata_days.row("metadata_days", "Days that events and deliveries are kept", |days| json!(days)),
            free_space_reserve.row(
                "free_space_reserve",
                "Bytes of the disk that stay free: below, nothing new is accepted",
                |bytes| bytes.map_or(json!("max(256 MiB, 2 %)"), |n| json!(n)),
            ),
            backup_to.row("backup_to", "Where backups are kept", |place| match place {
                Some(place) => json!(place.to_string()),
                None => json!("<data_dir>/backups"),
            }),
            backup_passphrase.row(
                "backup_passphrase",
                "What backups are encrypted with that are made without a passphrase of their own",
                |passphrase| set_or_not(passphrase.is_some()),
            ),
            s3_endpoint.row("s3_endpoint", "The S3-compatible storage that holds the bucket of backups", |endpoint| {
                endpoint.as_ref().map_or(json!("Amazon's"), |endpoint| json!(endpoint.as_str()))
            }),
            s3_region.row("s3_region", "The region of that bucket", |region| json!(region)),
            s3_access_key_id.row("s3_access_key_id", "Who uses that bucket", |id| {
                id.as_ref().map_or(json!("the role of the machine"), |id| json!(id))
            }),
            s3_secret_access_key.row("s3_secret_access_key", "The secret of who uses that bucket", |secret| {
                set_or_not(secret.is_some())
            }),
            otlp_endpoint.row("otlp_endpoint", "The collector that traces go to", |endpoint| {
                endpoint.as_ref().map_or(json!("not set"), |endpoint| json!(endpoint.as_str()))
            }),
            log.row("log", "How the log is written: pretty or json", |format| json!(format.name())),
            log_level.row(
                "log_level",
                "What the log tells: error, warn, info, debug, trace, or directives as of RUST_LOG",
                |level| json!(level),
            ),
        ]);
        rows
    }
}

fn show_all<T: fmt::Display>(members: &[T]) -> Value {
    members.iter().map(|member| json!(member.to_string())).collect()
}

#[cfg(test)]
mod tests;
