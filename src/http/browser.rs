//! What a browser brings: the cookie of its session, the way it came, and whether a page of ours sent it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use poem::http::uri::Scheme;
use poem::http::{HeaderMap, HeaderName, Method, header};
use poem::{FromRequest, Request, RequestBody};

use super::problem::Ground;
use super::visit::Visit;
use crate::domain::session::USER_AGENT_BYTES_MAX;
use crate::domain::token::Token;

const COOKIE: &str = "waxwing_session";
/// A page of another site cannot send it: browsers ask first for a header that is not a simple one, and nobody answers.
const CONSOLE: HeaderName = HeaderName::from_static("waxwing-console");
/// Where the page is that asked, as browsers say by themselves; no page can set it.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// What says that there is a proxy between.
const FORWARDING: [HeaderName; 4] =
    [FORWARDED_PROTO, FORWARDED_HOST, HeaderName::from_static("x-forwarded-for"), header::FORWARDED];

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By TLS, to here or to the trusted proxy in front.
    Tls,
    /// In the clear, from this machine.
    Loopback,
    /// In the clear, from elsewhere: what is typed can be read on the way.
    Open,
}

impl Way {
    pub fn of(request: &Request, trusted: &[IpNet]) -> Self {
        if *request.scheme() == Scheme::HTTPS {
            return Self::Tls;
        }
        let visit = Visit::of(request);
        way(peer(request), visit.client, request.headers(), trusted)
    }

    /// Whether a password may come this way.
    pub fn is_private(self) -> bool {
        match self {
            Self::Tls | Self::Loopback => true,
            Self::Open => false,
        }
    }
}

fn peer(request: &Request) -> Option<IpAddr> {
    request.remote_addr().as_socket_addr().map(SocketAddr::ip)
}

fn is_trusted(peer: IpAddr, trusted: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    trusted.iter().any(|range| range.contains(&peer))
}

fn way(peer: Option<IpAddr>, client: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Way {
    // Without a socket the request comes from this very process.
    let Some(peer) = peer else { return Way::Loopback };
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    if !is_trusted(peer, trusted) {
        // Somebody's proxy on this machine, who says nothing that could be believed, is not a person at it.
        let is_forwarded = FORWARDING.iter().any(|name| headers.contains_key(name));
        return if is_loopback(peer) && !is_forwarded { Way::Loopback } else { Way::Open };
    }
    match headers.get_all(FORWARDED_PROTO).iter().next_back().map(|value| value.to_str().unwrap_or_default()) {
        Some(protocol) if protocol.trim().eq_ignore_ascii_case("https") => Way::Tls,
        Some(_) => Way::Open,
        None if client.is_some_and(is_loopback) => Way::Loopback,
        None => Way::Open,
    }
}

/// The host that was asked, with its port when that is not the usual one: HTTP/2 says it in the address, HTTP/1.1 in a header.
pub fn asked_host(request: &Request) -> Option<&str> {
    let in_address = request.uri().authority().map(|authority| authority.as_str());
    let in_header = || request.headers().get(header::HOST).and_then(|value| value.to_str().ok()).map(str::trim);
    in_address.or_else(in_header).filter(|host| !host.is_empty())
}

/// The host that the browser asked, as the trusted proxy or the request says.
fn host<'a>(request: &'a Request, trusted: &[IpNet]) -> Option<&'a str> {
    let forwarded = request.headers().get(FORWARDED_HOST).and_then(|value| value.to_str().ok()).map(str::trim);
    let forwarded = forwarded.filter(|_| peer(request).is_some_and(|peer| is_trusted(peer, trusted)));
    forwarded.or_else(|| asked_host(request)).filter(|host| !host.is_empty())
}

/// Whoever asks without being let in as somebody, and how.
pub struct Guest {
    pub visit: Arc<Visit>,
    pub way: Way,
    /// `https://hooks.example.com`: what links that lead back here begin with.
    pub base: String,
    /// As the browser names itself, cut to [`USER_AGENT_BYTES_MAX`].
    pub user_agent: Option<String>,
}

impl<'a> FromRequest<'a> for Guest {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let visit = Visit::of(request).clone();
        let trusted = &visit.app.settings.trusted_proxies;
        let way = Way::of(request, trusted);
        let scheme = if way == Way::Tls { "https" } else { "http" };
        let asked = || format!("{scheme}://{}", host(request, trusted).unwrap_or("localhost"));
        let catalogue = visit.app.store.catalogue();
        let named = catalogue.settings().console_url.as_ref().or(visit.app.settings.public_url.as_ref());
        let base = named.map_or_else(asked, |url| url.as_str().to_owned());
        let user_agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        // It is ASCII: any place is the boundary of a character.
        let user_agent = user_agent.map(|text| text[..text.len().min(USER_AGENT_BYTES_MAX)].to_owned());
        Ok(Self { way, base, user_agent, visit })
    }
}

impl Guest {
    /// The cookie of a new session. Browsers keep it while the session can live at most.
    pub fn cookie(&self, token: &Token, lives: Duration) -> String {
        cookie(token.as_str(), lives, self.way)
    }

    /// Takes the cookie away.
    pub fn no_cookie(&self) -> String {
        cookie("", Duration::ZERO, self.way)
    }
}

fn cookie(value: &str, lives: Duration, way: Way) -> String {
    let secure = if way == Way::Tls { "; Secure" } else { "" };
    format!("{COOKIE}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={}{secure}", lives.as_secs())
}

/// The text of the session in the cookie.
pub fn session_text(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, text)| text).filter(|text| !text.is_empty())
}

/// Refuses what a page of another site could have made the browser send along with the cookie. Reading is allowed: other
/// sites are not shown the answers.
pub fn refuse_other_sites(request: &Request, trusted: &[IpNet]) -> Result<(), Ground> {
    if [Method::GET, Method::HEAD].contains(request.method()) {
        return Ok(());
    }
    let headers = request.headers();
    let origin = headers.get(header::ORIGIN).map(|value| value.to_str().unwrap_or_default());
    let is_ours = |origin: &str| {
        let asked = origin.split_once("://").map(|(_, host)| host);
        asked.is_some() && asked == host(request, trusted)
    };
    let is_of_console = headers.get(CONSOLE).is_some_and(|value| value == "1");
    let is_from_here = headers.get(FETCH_SITE).is_none_or(|site| site == "same-origin");
    if is_of_console && is_from_here && origin.is_none_or(is_ours) { Ok(()) } else { Err(Ground::CrossSiteRequest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_goes_by_tls_or_stays_on_this_machine() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        for (peer, client, headers, expected) in [
            ("127.0.0.1", "127.0.0.1", "", Way::Loopback),
            ("::1", "::1", "", Way::Loopback),
            ("::ffff:127.0.0.1", "127.0.0.1", "", Way::Loopback),
            ("203.0.113.9", "203.0.113.9", "", Way::Open),
            // Who is not trusted may say anything.
            ("203.0.113.9", "203.0.113.9", "x-forwarded-proto: https", Way::Open),
            ("127.0.0.1", "127.0.0.1", "x-forwarded-proto: https", Way::Open),
            ("127.0.0.1", "127.0.0.1", "x-forwarded-for: 127.0.0.1", Way::Open),
            ("127.0.0.1", "127.0.0.1", "forwarded: for=127.0.0.1", Way::Open),
            ("10.0.0.1", "203.0.113.9", "x-forwarded-proto: https", Way::Tls),
            ("10.0.0.1", "203.0.113.9", "x-forwarded-proto: HTTPS", Way::Tls),
            ("10.0.0.1", "203.0.113.9", "x-forwarded-proto: http", Way::Open),
            ("10.0.0.1", "127.0.0.1", "x-forwarded-proto: http", Way::Open),
            ("10.0.0.1", "203.0.113.9", "", Way::Open),
        ] {
            let mut map = HeaderMap::new();
            if let Some((name, value)) = headers.split_once(": ") {
                map.insert(HeaderName::from_static(name), value.parse().unwrap());
            }
            let found = way(Some(peer.parse().unwrap()), Some(client.parse().unwrap()), &map, &trusted);
            assert_eq!(found, expected, "{peer} {headers}");
        }
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        for (line, expected) in [
            ("waxwing_session=abc", Some("abc")),
            ("a=b; waxwing_session=abc; c=d", Some("abc")),
            ("waxwing_session=", None),
            ("not_waxwing_session=abc", None),
            ("waxwing_session", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, line.parse().unwrap());
            assert_eq!(session_text(&headers), expected, "{line}");
        }
    }
}
