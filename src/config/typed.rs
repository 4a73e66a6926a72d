//! What was typed: the flags, the environment and the file, each setting from its strongest source.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::{Args, ConfigError, HttpsArgs, Origin, Set};

/// Every setting by its name in `waxwing.toml`, with its flag when it has one. The variable is `WAXWING_` and the name
/// in capitals.
pub(super) const SETTINGS: [(&str, Option<&str>); 38] = [
    ("data_dir", Some("--data-dir")),
    ("listen", Some("--listen")),
    ("dev", Some("--dev")),
    ("allow_http_targets", Some("--allow-http-targets")),
    ("allow_target_range", Some("--allow-target-range")),
    ("allow_target_host", Some("--allow-target-host")),
    ("allow_metadata_targets", Some("--allow-metadata-targets")),
    ("allow_target_port", Some("--allow-target-port")),
    ("refuse_target_port", Some("--refuse-target-port")),
    ("nat64_prefix", None),
    ("public_url", Some("--public-url")),
    ("management_rate", Some("--management-rate")),
    ("publish_rate", Some("--publish-rate")),
    ("trusted_proxies", Some("--trusted-proxies")),
    ("language", Some("--language")),
    ("compat", Some("--compat")),
    ("domain", Some("--domain")),
    ("tls_cert", Some("--tls-cert")),
    ("tls_key", Some("--tls-key")),
    ("listen_https", Some("--listen-https")),
    ("listen_http", Some("--listen-http")),
    ("acme_directory", Some("--acme-directory")),
    ("acme_contact", Some("--acme-contact")),
    ("acme_ca_root", Some("--acme-ca-root")),
    ("secret_key", None),
    ("admin_key", None),
    ("payload_days", None),
    ("metadata_days", None),
    ("free_space_reserve", None),
    ("backup_to", Some("--backup-to")),
    ("backup_passphrase", None),
    ("s3_endpoint", None),
    ("s3_region", None),
    ("s3_access_key_id", None),
    ("s3_secret_access_key", None),
    ("otlp_endpoint", Some("--otlp-endpoint")),
    ("log", None),
    ("log_level", None),
];

/// Variables that only the commands that talk to a server read.
const CLIENT_VARIABLES: [&str; 2] = ["WAXWING_URL", "WAXWING_API_KEY"];

pub(super) fn variable_of(name: &str) -> String {
    format!("WAXWING_{}", name.to_ascii_uppercase())
}

/// What the strongest source that mentions a setting says about it, unread; and what is wrong so far.
pub(super) struct Typed {
    texts: BTreeMap<&'static str, (Vec<String>, Origin)>,
    strange_variables: Vec<String>,
    pub(super) errors: Vec<ConfigError>,
}

impl Typed {
    pub(super) fn gather(
        args: &Args,
        environment: impl IntoIterator<Item = (String, String)>,
        file: Option<&str>,
    ) -> Self {
        let mut typed = Self { texts: BTreeMap::new(), strange_variables: Vec::new(), errors: Vec::new() };
        // From the weakest source to the strongest: a later one replaces an earlier one.
        typed.gather_file(file.unwrap_or_default());
        typed.gather_environment(environment);
        typed.gather_flags(args);
        typed
    }

    fn gather_file(&mut self, text: &str) {
        let line_of = |place: usize| text[..place.min(text.len())].matches('\n').count() + 1;
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                let line = error.span().map_or(1, |span| line_of(span.start));
                let origin = Origin::File { line };
                self.errors.push(ConfigError { place: origin.to_string(), what: error.message().to_owned() });
                return;
            }
        };
        for (name, value) in table.get_ref() {
            let origin = Origin::File { line: line_of(name.span().start) };
            let Some(known) = SETTINGS.iter().map(|(known, _)| *known).find(|known| known == name.get_ref()) else {
                let what = format!("`{}` is not a setting; {}", name.get_ref(), suggestion(name.get_ref()));
                self.errors.push(ConfigError { place: origin.to_string(), what });
                continue;
            };
            match texts_of(value.get_ref()) {
                Some(texts) => {
                    self.texts.insert(known, (texts, origin));
                }
                None => self.refuse(&origin, known, "takes a text, a number, true, false or a list of texts"),
            }
        }
    }

    fn gather_environment(&mut self, environment: impl IntoIterator<Item = (String, String)>) {
        for (variable, text) in environment {
            if !variable.starts_with("WAXWING_") || CLIENT_VARIABLES.contains(&variable.as_str()) {
                continue;
            }
            match SETTINGS.iter().find(|(name, _)| variable_of(name) == variable) {
                Some((name, _)) => {
                    self.texts.insert(name, (vec![text], Origin::Environment(variable)));
                }
                None => self.strange_variables.push(variable),
            }
        }
    }

    fn gather_flags(&mut self, args: &Args) {
        let Args {
            data_dir,
            listen,
            dev,
            allow_http_targets,
            allow_target_range,
            allow_target_host,
            allow_metadata_targets,
            allow_target_port,
            refuse_target_port,
            public_url,
            management_rate,
            publish_rate,
            trusted_proxies,
            language,
            compat,
            https,
            backup_to,
            otlp_endpoint,
        } = args;
        let HttpsArgs {
            domain,
            tls_cert,
            tls_key,
            listen_https,
            listen_http,
            acme_directory,
            acme_contact,
            acme_ca_root,
        } = https;
        let one = |text: &Option<String>| text.iter().cloned().collect::<Vec<_>>();
        let switch = |on: bool| if on { vec!["true".to_owned()] } else { Vec::new() };
        for (name, texts) in [
            ("data_dir", one(data_dir)),
            ("listen", one(listen)),
            ("dev", switch(*dev)),
            ("allow_http_targets", switch(*allow_http_targets)),
            ("allow_target_range", allow_target_range.clone()),
            ("allow_target_host", allow_target_host.clone()),
            ("allow_metadata_targets", switch(*allow_metadata_targets)),
            ("allow_target_port", allow_target_port.clone()),
            ("refuse_target_port", refuse_target_port.clone()),
            ("public_url", one(public_url)),
            ("management_rate", one(management_rate)),
            ("publish_rate", one(publish_rate)),
            ("trusted_proxies", trusted_proxies.clone()),
            ("language", one(language)),
            ("compat", one(compat)),
            ("domain", domain.clone()),
            ("tls_cert", one(tls_cert)),
            ("tls_key", one(tls_key)),
            ("listen_https", one(listen_https)),
            ("listen_http", one(listen_http)),
            ("acme_directory", one(acme_directory)),
            ("acme_contact", one(acme_contact)),
            ("acme_ca_root", one(acme_ca_root)),
            ("backup_to", one(backup_to)),
            ("otlp_endpoint", one(otlp_endpoint)),
        ] {
            let flag = SETTINGS.iter().find(|(known, _)| *known == name).and_then(|(_, flag)| *flag);
            if let Some(flag) = flag
                && !texts.is_empty()
            {
                self.texts.insert(name, (texts, Origin::Flag(flag)));
            }
        }
    }

    /// Takes what was typed for a setting, or notes why it cannot be used.
    pub(super) fn read<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&[String]) -> Result<T, String>,
        default: T,
    ) -> Set<T> {
        let Some((texts, origin)) = self.texts.remove(name) else {
            return Set { value: default, origin: Origin::Default };
        };
        match read(&texts) {
            Ok(value) => Set { value, origin },
            Err(what) => {
                self.refuse(&origin, name, &what);
                Set { value: default, origin }
            }
        }
    }

    pub(super) fn refuse(&mut self, origin: &Origin, name: &str, what: &str) {
        let place = match origin {
            Origin::File { .. } => format!("{origin}, {name}"),
            Origin::Flag(_) | Origin::Environment(_) => origin.to_string(),
            Origin::ImpliedByDev | Origin::Default => variable_of(name),
        };
        self.errors.push(ConfigError { place, what: what.to_owned() });
    }

    pub(super) fn unknown_variables(&self) -> Vec<String> {
        let explain = |variable: &String| {
            let name = variable.trim_start_matches("WAXWING_").to_ascii_lowercase();
            match nearest(&name) {
                Some(near) => format!("{variable} means nothing; did you mean {}?", variable_of(near)),
                None => format!("{variable} means nothing"),
            }
        };
        self.strange_variables.iter().map(explain).collect()
    }
}

fn suggestion(name: &str) -> String {
    match nearest(name) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known are {}", SETTINGS.map(|(name, _)| name).join(", ")),
    }
}

/// The known name that a misspelt one was probably meant to be.
fn nearest(name: &str) -> Option<&'static str> {
    const ALIKE_MIN: f64 = 0.75;
    SETTINGS
        .iter()
        .map(|(known, _)| (*known, strsim::jaro_winkler(known, &name.replace('-', "_"))))
        .filter(|(_, likeness)| *likeness >= ALIKE_MIN)
        .max_by(|one, other| one.1.total_cmp(&other.1))
        .map(|(known, _)| known)
}

/// A value of the file as it would be typed elsewhere. None when it is a table, a date or a list of such.
fn texts_of(value: &DeValue<'_>) -> Option<Vec<String>> {
    match value {
        DeValue::String(_) | DeValue::Integer(_) => text_of(value).map(|text| vec![text]),
        DeValue::Boolean(on) => Some(vec![on.to_string()]),
        DeValue::Array(values) => values.iter().map(|value| text_of(value.get_ref())).collect(),
        _ => None,
    }
}

fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        _ => None,
    }
}
