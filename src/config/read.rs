//! The text of a setting → its value, or why it cannot be one.
//!
//! The errors go behind the name of the place that was typed at: "--listen: `8620` is not an address".

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;
use url::Url;
use zeroize::Zeroizing;

use super::{AdminKey, BackupTo, LISTEN_DEFAULT, LogFormat, Rate, S3Secret, SecretKey};
use crate::domain::backup::{PASSPHRASE_EXPECTED, Passphrase};
use crate::domain::base_url::{BaseUrl, InvalidBaseUrl};
use crate::domain::contract::{Contract, Contracts};
use crate::domain::key::RATE_CEILING;
use crate::domain::language::Language;
use crate::domain::setting::DAYS_CEILING;
use crate::domain::target::{HostPattern, Nat64Prefix};

/// Contract 9.
const ADMIN_KEY_LENGTHS: RangeInclusive<usize> = 32..=128;
/// Each gets a certificate and a metric of its own.
const DOMAINS_MAX: usize = 20;

/// A setting that takes one value: several are as wrong as their list.
fn whole(texts: &[String]) -> String {
    texts.join(",")
}

pub(super) fn path(texts: &[String]) -> Result<PathBuf, String> {
    let text = whole(texts);
    if text.is_empty() { Err("is empty; give a folder".to_owned()) } else { Ok(PathBuf::from(text)) }
}

pub(super) fn address(texts: &[String]) -> Result<SocketAddr, String> {
    let text = whole(texts);
    let numeric = text.replacen("localhost:", "127.0.0.1:", 1);
    numeric.parse().map_err(|_| {
        format!("`{text}` is not an address; write it like {LISTEN_DEFAULT}, or 0.0.0.0:8620 for every interface")
    })
}

/// None: off.
pub(super) fn address_or_off(texts: &[String]) -> Result<Option<SocketAddr>, String> {
    if whole(texts).eq_ignore_ascii_case("off") { Ok(None) } else { address(texts).map(Some) }
}

pub(super) fn file(texts: &[String]) -> Result<Option<PathBuf>, String> {
    let text = whole(texts);
    if text.is_empty() { Err("is empty; give a file".to_owned()) } else { Ok(Some(PathBuf::from(text))) }
}

/// Names as they are asked for: lower case, punycode. Certificates for addresses and wildcards take other challenges.
pub(super) fn domains(texts: &[String]) -> Result<Vec<String>, String> {
    let read = |text: &str| {
        let name = match url::Host::parse(text) {
            Ok(url::Host::Domain(name)) if name.contains('.') => name,
            _ => return Err(format!("`{text}` is not a name like hooks.example.com")),
        };
        let is_label = |label: &str| {
            (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let fits = name.len() <= 253 && name.split('.').all(is_label);
        if fits { Ok(name) } else { Err(format!("`{text}` is not a name like hooks.example.com")) }
    };
    let texts = texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|text| !text.is_empty());
    let mut names = texts.map(read).collect::<Result<Vec<String>, String>>()?;
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    if names.len() > DOMAINS_MAX {
        return Err(format!("has {} names; at most {DOMAINS_MAX} get a certificate", names.len()));
    }
    Ok(names)
}

pub(super) fn https_url(texts: &[String]) -> Result<String, String> {
    let text = whole(texts);
    let url = Url::parse(&text).ok().filter(|url| url.scheme() == "https" && url.has_host());
    url.map(String::from).ok_or_else(|| format!("`{text}` is not an https:// URL"))
}

pub(super) fn mail_address(texts: &[String]) -> Result<Option<String>, String> {
    let text = whole(texts);
    let is_one = text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b",?&#".contains(&byte));
    if is_one { Ok(Some(text)) } else { Err(format!("`{text}` is not a mail address")) }
}

pub(super) fn switch(texts: &[String]) -> Result<bool, String> {
    match whole(texts).to_ascii_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => Ok(true),
        "false" | "0" | "off" | "no" => Ok(false),
        other => Err(format!("`{other}` is neither true nor false")),
    }
}

pub(super) fn ranges(texts: &[String]) -> Result<Vec<IpNet>, String> {
    let read = |text: &str| {
        let address = text.parse::<IpAddr>().map(IpNet::from).ok();
        text.parse()
            .ok()
            .or(address)
            .ok_or_else(|| format!("`{text}` is not an address range; write it like 10.1.0.0/16 or fd00:1::/32"))
    };
    members(texts).map(read).collect()
}

/// Of a list: repeated, with commas, or an array.
fn members(texts: &[String]) -> impl Iterator<Item = &str> {
    texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|text| !text.is_empty())
}

pub(super) fn hosts(texts: &[String]) -> Result<Vec<HostPattern>, String> {
    members(texts).map(|text| text.parse().map_err(|why| format!("`{text}`: {why}"))).collect()
}

pub(super) fn ports(texts: &[String]) -> Result<Vec<u16>, String> {
    let read = |text: &str| text.parse().ok().filter(|port| *port > 0);
    members(texts)
        .map(|text| read(text).ok_or_else(|| format!("`{text}` is not a port; give a number from 1 to 65535")))
        .collect()
}

pub(super) fn nat64_prefixes(texts: &[String]) -> Result<Vec<Nat64Prefix>, String> {
    members(texts).map(|text| text.parse().map_err(|why| format!("`{text}`: {why}"))).collect()
}

pub(super) fn public_url(texts: &[String]) -> Result<Option<BaseUrl>, String> {
    let text = whole(texts);
    let url = text.parse().map(Some);
    url.map_err(|why: InvalidBaseUrl| format!("`{text}` is not {why}; write it like https://hooks.example.com"))
}

pub(super) fn contracts(texts: &[String]) -> Result<Contracts, String> {
    let text = whole(texts);
    if text.trim() == "none" {
        return Ok(Contracts::NONE);
    }
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let contracts: Option<Contracts> = names.map(Contract::from_name).collect();
    contracts.filter(|contracts| *contracts != Contracts::NONE).ok_or_else(|| {
        format!("`{text}` is not a list of contracts; give none, marea, agentmessage or marea,agentmessage")
    })
}

pub(super) fn rate(texts: &[String]) -> Result<Rate, String> {
    let text = whole(texts);
    if text.eq_ignore_ascii_case("off") {
        return Ok(Rate::Off);
    }
    let rate = text.parse().ok().filter(|rate: &NonZeroU32| rate.get() <= RATE_CEILING);
    rate.map(Rate::PerSecond)
        .ok_or_else(|| format!("`{text}` is not a rate; give 1 to {RATE_CEILING} per second, or off"))
}

pub(super) fn language(texts: &[String]) -> Result<Language, String> {
    let text = whole(texts);
    Language::from_tag(&text)
        .ok_or_else(|| format!("`{text}` is not a language that errors are told in; give en, es or pt"))
}

pub(super) fn secret_key(texts: &[String]) -> Result<Option<SecretKey>, String> {
    let mut bytes = Zeroizing::new([0; 32]);
    // The text itself is a secret: it is not repeated in the error.
    match hex::decode_to_slice(whole(texts), bytes.as_mut_slice()) {
        Ok(()) => Ok(Some(SecretKey(bytes))),
        Err(_) => Err("is not 64 hexadecimal characters (32 bytes); `openssl rand -hex 32` makes one".to_owned()),
    }
}

pub(super) fn admin_key(texts: &[String]) -> Result<Option<AdminKey>, String> {
    let text = Zeroizing::new(whole(texts));
    let length = text.chars().count();
    if !text.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) {
        return Err("holds a space, a line end or a character outside ASCII; use visible ASCII only".to_owned());
    }
    if !ADMIN_KEY_LENGTHS.contains(&length) {
        return Err(format!("has {length} characters; 32 to 128 are wanted. `openssl rand -hex 32` makes a good one"));
    }
    Ok(Some(AdminKey(text)))
}

pub(super) fn days(texts: &[String]) -> Result<u32, String> {
    let text = whole(texts);
    let days = text.parse().ok().filter(|days| (1..=DAYS_CEILING).contains(days));
    days.ok_or_else(|| format!("`{text}` is not a number of days from 1 to {DAYS_CEILING}"))
}

/// `268435456`, `256 MiB`, `2 GiB`.
pub(super) fn bytes(texts: &[String]) -> Result<Option<u64>, String> {
    let text = whole(texts);
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor: Option<u64> = match unit.trim() {
        "" | "B" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        "TiB" => Some(1 << 40),
        _ => None,
    };
    let bytes = number.parse().ok().zip(factor).and_then(|(number, factor): (u64, u64)| number.checked_mul(factor));
    bytes.map(Some).ok_or_else(|| format!("`{text}` is not a size; write it like 268435456, 512 MiB or 2 GiB"))
}

/// `/mnt/backups`, `s3://bucket`, `s3://bucket/a/prefix`.
pub(super) fn backup_to(texts: &[String]) -> Result<Option<BackupTo>, String> {
    let text = whole(texts);
    let Some(place) = text.strip_prefix("s3://") else {
        return path(texts).map(|folder| Some(BackupTo::Folder(folder)));
    };
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    if bucket.is_empty() {
        return Err(format!("`{text}` names no bucket; write it like s3://bucket/prefix"));
    }
    Ok(Some(BackupTo::Bucket { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() }))
}

/// The text itself is a secret: it is not repeated in the error.
pub(super) fn passphrase(texts: &[String]) -> Result<Option<Passphrase>, String> {
    Passphrase::new(whole(texts)).map(Some).map_err(|_| format!("is not {PASSPHRASE_EXPECTED}"))
}

pub(super) fn endpoint(texts: &[String]) -> Result<Option<Url>, String> {
    shown_url(texts, "is not an address; write it like https://s3.example.com")
}

pub(super) fn collector(texts: &[String]) -> Result<Option<Url>, String> {
    shown_url(texts, "is not the address of a collector; write it like http://127.0.0.1:4318")
}

/// An address of http or https. A secret in it would be shown where settings are, and is not repeated in the error.
fn shown_url(texts: &[String], otherwise: &str) -> Result<Option<Url>, String> {
    let text = whole(texts);
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = url else { return Err(format!("`{text}` {otherwise}")) };
    let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !is_bare {
        return Err("holds a user name, a password or a query, which would be shown where settings are: leave it out"
            .to_owned());
    }
    Ok(Some(url))
}

pub(super) fn word(texts: &[String]) -> Result<String, String> {
    let text = whole(texts);
    if text.is_empty() { Err("is empty".to_owned()) } else { Ok(text) }
}

pub(super) fn s3_secret(texts: &[String]) -> Result<Option<S3Secret>, String> {
    word(texts).map(|text| Some(S3Secret(Zeroizing::new(text))))
}

pub(super) fn log_format(texts: &[String]) -> Result<LogFormat, String> {
    match whole(texts).as_str() {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("`{other}` is not a log format; give pretty or json")),
    }
}

pub(super) fn log_level(texts: &[String]) -> Result<String, String> {
    let text = whole(texts);
    match EnvFilter::builder().parse(&text) {
        Ok(_) => Ok(text),
        Err(why) => Err(format!("`{text}` is not a log level ({why}); give error, warn, info, debug or trace")),
    }
}
