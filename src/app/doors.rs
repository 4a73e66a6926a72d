//! What is listened at, and the certificates that are shown there: opened once, for all lives of the store.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tracing::{info, warn};

use super::{StartError, failed, say, url_of};
use crate::clock::Clock;
use crate::config::{Config, Https, Origin, Set};
use crate::http;
use crate::http::{Acme, BadCertificate, CertificateFiles, Certificates, Challenges, Keeper, Redirect};

const PORT_OF_HTTPS: u16 = 443;
/// In the data folder: what ACME keeps.
const ACME_FOLDER: &str = "acme";

pub(super) struct Doors {
    plain: TcpListener,
    pub address: SocketAddr,
    https: Option<HttpsDoor>,
}

struct HttpsDoor {
    listener: TcpListener,
    address: SocketAddr,
    redirect: Option<(TcpListener, SocketAddr)>,
    /// By which it is reached; none: by whatever the certificate of the operator's is for.
    domains: Vec<String>,
    certificates: Arc<Certificates>,
    challenges: Challenges,
    /// Until it begins.
    upkeep: Mutex<Option<Upkeep>>,
}

/// Who sees to it that the certificates stay good.
enum Upkeep {
    Files(CertificateFiles),
    Acme(Box<Keeper>),
}

impl Doors {
    /// Nothing is answered there yet. The store need not be there.
    pub fn open(config: &Config, clock: &Clock) -> Result<Self, StartError> {
        let plain = bind(&config.listen, "--listen")?;
        let address = address_of(&plain)?;
        let https = HttpsDoor::open(config, clock)?;
        Ok(Self { plain, address, https })
    }

    /// The same sockets again, for a server in the runtime of the caller.
    pub fn listeners(&self) -> Result<http::Listeners, StartError> {
        Ok(http::Listeners {
            plain: share(&self.plain)?,
            https: self.https.as_ref().map(HttpsDoor::listeners).transpose()?,
        })
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        let https = self.https.iter();
        let redirects = https.clone().filter_map(|door| door.redirect.as_ref()).map(|(_, address)| *address);
        [self.address].into_iter().chain(https.map(|door| door.address)).chain(redirects).collect()
    }

    pub fn domains(&self) -> Vec<String> {
        self.https.as_ref().map(|door| door.domains.clone()).unwrap_or_default()
    }

    pub fn certificates(&self) -> Option<Arc<Certificates>> {
        self.https.as_ref().map(|door| door.certificates.clone())
    }

    /// As [`base_url`].
    pub fn base_url(&self) -> String {
        let https = self.https.as_ref();
        base_url(&self.domains(), https.map(|door| door.address), self.address)
    }

    /// From now on certificates are renewed, by a thread of their own. Once: later calls find it begun.
    pub fn begin_upkeep(&self, clock: &Clock) -> Result<(), StartError> {
        let Some(door) = &self.https else { return Ok(()) };
        let Some(upkeep) = door.upkeep.lock().expect("no holder of it panics").take() else { return Ok(()) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed("certificates cannot be watched"))?;
        let (certificates, clock) = (door.certificates.clone(), clock.clone());
        let thread = std::thread::Builder::new().name("certificates".to_owned());
        let work = move || runtime.block_on(upkeep.go_on(&certificates, &clock));
        thread.spawn(work).map(drop).map_err(failed("certificates cannot be watched"))
    }

    /// A line about HTTPS, when there is some.
    pub fn announce(&self) {
        let Some(door) = &self.https else { return };
        let names = if door.domains.is_empty() { "your certificate".to_owned() } else { door.domains.join(", ") };
        let leads = door.redirect.as_ref().map(|(_, address)| format!("; {address} leads there"));
        say(&format!("HTTPS on {} for {names}{}", door.address, leads.unwrap_or_default()));
        let redirect = door.redirect.as_ref().map(|(_, address)| *address);
        let redirect = redirect.map(tracing::field::display);
        info!(address = %door.address, names, redirect, "listening for HTTPS");
    }
}

impl HttpsDoor {
    fn open(config: &Config, clock: &Clock) -> Result<Option<Self>, StartError> {
        let Https { domain, tls_cert, tls_key, listen_https, listen_http, .. } = &config.https;
        let Some(listen_https) = present(listen_https) else { return Ok(None) };
        let domains = domain.value.clone();
        let challenges = Challenges::default();
        let (certificates, upkeep) = match (&tls_cert.value, &tls_key.value) {
            (Some(certificate), Some(key)) => {
                let mut files = CertificateFiles::new(certificate.clone(), key.clone());
                let certificate = files.look().expect("what was never looked at is new").map_err(refused)?;
                info!(ends = %certificate.not_after, "HTTPS has its certificate");
                (Arc::new(Certificates::own(certificate)), Upkeep::Files(files))
            }
            _ => {
                let certificates = Arc::new(Certificates::of_domains(&domains));
                let (shown, challenges) = (certificates.clone(), challenges.clone());
                let keeper =
                    Keeper::new(acme(config), shown, challenges, clock.clone(), rand::random()).map_err(refused)?;
                (certificates, Upkeep::Acme(Box::new(keeper)))
            }
        };
        let listener = bind(&listen_https, "--listen-https")?;
        let address = address_of(&listener)?;
        let redirect = match present(listen_http) {
            None => None,
            Some(listen_http) => {
                let listener = bind(&listen_http, "--listen-http")?;
                let address = address_of(&listener)?;
                Some((listener, address))
            }
        };
        let upkeep = Mutex::new(Some(upkeep));
        Ok(Some(Self { listener, address, redirect, domains, certificates, challenges, upkeep }))
    }

    fn listeners(&self) -> Result<http::Https, StartError> {
        let leading = || Redirect {
            certificates: self.certificates.clone(),
            challenges: self.challenges.clone(),
            https_port: self.address.port(),
        };
        let redirect = self.redirect.as_ref().map(|(listener, _)| Ok((share(listener)?, leading())));
        Ok(http::Https {
            listener: share(&self.listener)?,
            certificates: self.certificates.clone(),
            redirect: redirect.transpose()?,
        })
    }
}

impl Upkeep {
    async fn go_on(self, certificates: &Certificates, clock: &Clock) {
        let keep = async {
            match self {
                Self::Files(mut files) => {
                    let look_now = Notify::new();
                    tokio::join!(files.keep(certificates, clock, &look_now), notify_on_hangup(&look_now));
                }
                Self::Acme(mut keeper) => keeper.keep().await,
            }
        };
        tokio::join!(keep, certificates.watch_expiry(clock));
    }
}

/// Who makes the certificates of the domains, and where they are kept.
pub fn acme(config: &Config) -> Acme {
    let Https { domain, acme_directory, acme_contact, acme_ca_root, .. } = &config.https;
    Acme {
        directory: acme_directory.value.clone(),
        contact: acme_contact.value.clone(),
        root: acme_ca_root.value.clone(),
        domains: domain.value.clone(),
        folder: config.data_dir.value.join(ACME_FOLDER),
    }
}

/// SIGHUP, as those send it who have just renewed a certificate.
async fn notify_on_hangup(look_now: &Notify) {
    match signal(SignalKind::hangup()) {
        Ok(mut hangups) => {
            while hangups.recv().await.is_some() {
                look_now.notify_one();
            }
        }
        Err(error) => warn!(%error, "SIGHUP cannot be watched: new certificates are found a minute later"),
    }
}

/// What links for people begin with: the first domain, else what a person on this machine types.
pub fn base_url(domains: &[String], https: Option<SocketAddr>, plain: SocketAddr) -> String {
    https.and_then(|address| https_url(domains, address)).unwrap_or_else(|| url_of(plain))
}

/// `https://hooks.example.com`, when there is a domain.
pub(super) fn https_url(domains: &[String], address: SocketAddr) -> Option<String> {
    let port = if address.port() == PORT_OF_HTTPS { String::new() } else { format!(":{}", address.port()) };
    domains.first().map(|domain| format!("https://{domain}{port}"))
}

fn refused(error: BadCertificate) -> StartError {
    StartError::Configuration(error.to_string())
}

fn present(set: &Set<Option<SocketAddr>>) -> Option<Set<SocketAddr>> {
    set.value.map(|value| Set { value, origin: set.origin.clone() })
}

fn address_of(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(failed("the listening socket has no address"))
}

fn share(listener: &TcpListener) -> Result<tokio::net::TcpListener, StartError> {
    let shared = listener.try_clone().map_err(failed("the listening socket cannot be shared"))?;
    tokio::net::TcpListener::from_std(shared).map_err(failed("the listening socket cannot be used"))
}

fn bind(listen: &Set<SocketAddr>, flag: &str) -> Result<TcpListener, StartError> {
    try_bind(listen).map_err(|error| StartError::Configuration(why_not(listen.value, flag, &error)))
}

fn try_bind(listen: &Set<SocketAddr>) -> io::Result<TcpListener> {
    let address = listen.value;
    let bound = TcpListener::bind(address).or_else(|error| {
        // Nobody asked for IPv6 by name, and some machines have none.
        let is_without_v6 = matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
            || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error());
        match listen.origin {
            Origin::Default if address.is_ipv6() && is_without_v6 => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port()))
            }
            _ => Err(error),
        }
    });
    bound.and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    })
}

/// A place that a server with this configuration listens at.
pub struct DoorSeen {
    pub address: SocketAddr,
    /// `--listen`, `--listen-https` or `--listen-http`.
    pub flag: &'static str,
    pub state: DoorState,
}

pub enum DoorState {
    Free,
    /// Something listens there.
    Taken,
    /// Why nothing can listen there, and what to do.
    Unusable(String),
}

/// Tries each door for a moment.
pub fn look_at_doors(config: &Config) -> Vec<DoorSeen> {
    let Https { listen_https, listen_http, .. } = &config.https;
    let doors = [
        (Some(config.listen.clone()), "--listen"),
        (present(listen_https), "--listen-https"),
        (present(listen_http), "--listen-http"),
    ];
    let look = |(listen, flag): (Option<Set<SocketAddr>>, &'static str)| {
        let listen = listen?;
        let state = match try_bind(&listen) {
            Ok(_) => DoorState::Free,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => DoorState::Taken,
            Err(error) => DoorState::Unusable(why_not(listen.value, flag, &error)),
        };
        Some(DoorSeen { address: listen.value, flag, state })
    };
    doors.into_iter().filter_map(look).collect()
}

/// Why nothing can listen there, and what to do.
fn why_not(address: SocketAddr, flag: &str, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "something else listens there".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        io::ErrorKind::PermissionDenied => {
            let program = std::env::current_exe().map_or("waxwing".to_owned(), |path| path.display().to_string());
            return format!(
                "cannot listen on {address}: low ports are not for everybody. Allow it with \
                 AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit, or with \
                 `sudo setcap cap_net_bind_service=+ep {program}`; or choose another port with {flag} ADDR"
            );
        }
        _ => error.to_string(),
    };
    format!("cannot listen on {address}: {why}. Choose another with {flag} ADDR")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_listen_at_a_low_port_is_told_what_to_do() {
        let error = io::Error::from(io::ErrorKind::PermissionDenied);
        let text = why_not(([0, 0, 0, 0], 443).into(), "--listen-https", &error);
        for part in ["0.0.0.0:443", "AmbientCapabilities=CAP_NET_BIND_SERVICE", "setcap", "--listen-https"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn links_begin_with_the_first_domain_and_name_an_unusual_port() {
        let domains = ["hooks.example.com".to_owned(), "other.example.com".to_owned()];
        let url = |port| https_url(&domains, ([0, 0, 0, 0], port).into());
        assert_eq!(url(443).as_deref(), Some("https://hooks.example.com"));
        assert_eq!(url(8443).as_deref(), Some("https://hooks.example.com:8443"));
        assert_eq!(https_url(&[], ([0, 0, 0, 0], 443).into()), None);
    }
}
