//! HTTPS of the own: with a certificate of the operator's, or with one by ACME for each domain.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::read;
use super::typed::Typed;
use super::{Origin, Row, Set};

/// Let's Encrypt.
pub const ACME_DIRECTORY_DEFAULT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Every interface, by IPv6 and IPv4.
const LISTEN_HTTPS_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 443);
const LISTEN_HTTP_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 80);

/// What was typed about HTTPS, unread.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct HttpsArgs {
    /// Serve HTTPS for this name, with a certificate by ACME; can be given again
    #[arg(long, value_name = "NAME")]
    pub domain: Vec<String>,
    /// Serve HTTPS with this certificate and its chain (PEM); read again when it changes, and on SIGHUP
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<String>,
    /// The private key of that certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<String>,
    /// The address of HTTPS [default: [::]:443, with a domain or a certificate]
    #[arg(long, value_name = "ADDR")]
    pub listen_https: Option<String>,
    /// The address that leads browsers to HTTPS and answers ACME [default: [::]:80, with a domain or a certificate]
    #[arg(long, value_name = "ADDR|off")]
    pub listen_http: Option<String>,
    /// The authority that makes certificates [default: Let's Encrypt]
    #[arg(long, value_name = "URL")]
    pub acme_directory: Option<String>,
    /// Where that authority may write to when something is wrong
    #[arg(long, value_name = "MAIL")]
    pub acme_contact: Option<String>,
    /// Trust this root certificate (PEM), too, when talking to that authority
    #[arg(long, value_name = "FILE")]
    pub acme_ca_root: Option<String>,
}

/// What it means.
#[derive(Debug, Clone)]
pub struct Https {
    /// In lower case, punycode where they are not ASCII.
    pub domain: Set<Vec<String>>,
    pub tls_cert: Set<Option<PathBuf>>,
    pub tls_key: Set<Option<PathBuf>>,
    /// None: there is no HTTPS.
    pub listen_https: Set<Option<SocketAddr>>,
    /// None: nothing leads there.
    pub listen_http: Set<Option<SocketAddr>>,
    pub acme_directory: Set<String>,
    pub acme_contact: Set<Option<String>>,
    pub acme_ca_root: Set<Option<PathBuf>>,
}

impl Https {
    pub(super) fn read(typed: &mut Typed) -> Self {
        let mut https = Self {
            domain: typed.read("domain", read::domains, Vec::new()),
            tls_cert: typed.read("tls_cert", read::file, None),
            tls_key: typed.read("tls_key", read::file, None),
            listen_https: typed.read("listen_https", |texts| read::address(texts).map(Some), None),
            listen_http: typed.read("listen_http", read::address_or_off, None),
            acme_directory: typed.read("acme_directory", read::https_url, ACME_DIRECTORY_DEFAULT.to_owned()),
            acme_contact: typed.read("acme_contact", read::mail_address, None),
            acme_ca_root: typed.read("acme_ca_root", read::file, None),
        };
        https.check(typed);
        if https.is_on() {
            let default = |set: &mut Set<Option<SocketAddr>>, address| {
                if set.origin == Origin::Default {
                    set.value = Some(address);
                }
            };
            default(&mut https.listen_https, LISTEN_HTTPS_DEFAULT);
            default(&mut https.listen_http, LISTEN_HTTP_DEFAULT);
        }
        https
    }

    pub fn is_on(&self) -> bool {
        !self.domain.value.is_empty() || self.tls_cert.value.is_some()
    }

    fn check(&self, typed: &mut Typed) {
        let Self { domain, tls_cert, tls_key, listen_https, listen_http, acme_directory, acme_contact, acme_ca_root } =
            self;
        let (has_domain, has_cert) = (!domain.value.is_empty(), tls_cert.value.is_some());
        if has_cert && tls_key.value.is_none() {
            typed.refuse(&tls_cert.origin, "tls_cert", "needs --tls-key, the private key of the certificate");
        }
        if tls_key.value.is_some() && !has_cert {
            typed.refuse(&tls_key.origin, "tls_key", "needs --tls-cert, the certificate of the key");
        }
        if has_domain && has_cert {
            let what = "gets certificates by ACME, and --tls-cert is one already: give one of the two";
            typed.refuse(&domain.origin, "domain", what);
        }
        for (origin, name) in [(&listen_https.origin, "listen_https"), (&listen_http.origin, "listen_http")] {
            if *origin != Origin::Default && !self.is_on() {
                typed.refuse(origin, name, "means nothing without --domain or --tls-cert");
            }
        }
        if has_domain && listen_http.origin != Origin::Default && listen_http.value.is_none() {
            let what = "cannot be off with --domain: the authority asks there whether the name leads here";
            typed.refuse(&listen_http.origin, "listen_http", what);
        }
        for (origin, name) in [
            (&acme_directory.origin, "acme_directory"),
            (&acme_contact.origin, "acme_contact"),
            (&acme_ca_root.origin, "acme_ca_root"),
        ] {
            if *origin != Origin::Default && !has_domain {
                typed.refuse(origin, name, "means nothing without --domain");
            }
        }
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let Self { domain, tls_cert, tls_key, listen_https, listen_http, acme_directory, acme_contact, acme_ca_root } =
            self;
        let path = |path: &Option<PathBuf>| path.as_ref().map_or(Value::Null, |path| json!(path.to_string_lossy()));
        let address = |address: &Option<SocketAddr>| address.map_or(json!("off"), |address| json!(address));
        vec![
            domain.row("domain", "Names that HTTPS is served for, with certificates by ACME", |names| json!(names)),
            tls_cert.row("tls_cert", "The file of the own certificate of HTTPS", path),
            tls_key.row("tls_key", "The file of its private key", path),
            listen_https.row("listen_https", "The address of HTTPS", address),
            listen_http.row("listen_http", "The address that leads to HTTPS and answers ACME", address),
            acme_directory.row("acme_directory", "The authority that makes certificates", |url| json!(url)),
            acme_contact.row("acme_contact", "Where that authority may write to", |mail| json!(mail)),
            acme_ca_root.row("acme_ca_root", "A root certificate that is trusted besides when talking to it", path),
        ]
    }
}
