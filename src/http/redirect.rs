//! What answers at port 80 beside HTTPS: it leads to `https://`, answers the authority that makes certificates, and takes no work.

use std::sync::Arc;

use poem::http::{Method, StatusCode, header};
use poem::{Endpoint, IntoResponse, Request, Response, Result};

use super::browser::asked_host;
use super::health;
use super::tls::{CHALLENGE_PATH, Certificates, Challenges};

#[derive(Debug, Clone)]
pub struct Redirect {
    pub certificates: Arc<Certificates>,
    pub challenges: Challenges,
    /// Of the HTTPS listener.
    pub https_port: u16,
}

const PORT_OF_HTTPS: u16 = 443;

impl Redirect {
    fn answer(&self, request: &Request) -> Response {
        let is_reading = [Method::GET, Method::HEAD].contains(request.method());
        let path = request.uri().path();
        if is_reading && path == "/healthz" {
            return health::ok().into_response();
        }
        if let Some(token) = path.strip_prefix(CHALLENGE_PATH).filter(|_| is_reading) {
            return match self.challenges.answer(token) {
                Some(answer) => answer.with_content_type("application/octet-stream").into_response(),
                None => StatusCode::NOT_FOUND.into(),
            };
        }
        let Some(to) = self.place(request) else {
            return StatusCode::MISDIRECTED_REQUEST.with_body("This server has no such name.\n").into_response();
        };
        // 308 makes a client send the same again, body and all.
        let status = if is_reading { StatusCode::MOVED_PERMANENTLY } else { StatusCode::PERMANENT_REDIRECT };
        status.with_header(header::LOCATION, to).into_response()
    }

    /// Where the same is to be had by HTTPS. None: what was asked for is no name of ours, and nobody is led elsewhere.
    fn place(&self, request: &Request) -> Option<String> {
        let (name, port) = name_and_port(asked_host(request)?)?;
        let name = name.to_ascii_lowercase();
        if !self.certificates.is_ours(name.trim_matches(['[', ']'])) {
            return None;
        }
        // Who came by the usual port finds HTTPS at its usual one, also where something in front maps it to another.
        let port = match port {
            Some(_) if self.https_port != PORT_OF_HTTPS => format!(":{}", self.https_port),
            Some(_) | None => String::new(),
        };
        let path = request.uri().path_and_query().map(|path| path.as_str()).filter(|path| path.starts_with('/'));
        Some(format!("https://{name}{port}{}", path.unwrap_or("/")))
    }
}

impl Endpoint for Redirect {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let mut response = self.answer(&request);
        if request.method() == Method::HEAD {
            response.set_body(());
        }
        Ok(response)
    }
}

/// `[::1]:80` → `[::1]` and 80.
fn name_and_port(host: &str) -> Option<(&str, Option<u16>)> {
    let name_ends = if host.starts_with('[') { host.find(']')? + 1 } else { host.find(':').unwrap_or(host.len()) };
    let (name, port) = host.split_at(name_ends);
    match port.strip_prefix(':') {
        Some(port) => Some((name, Some(port.parse().ok()?))),
        None if port.is_empty() => Some((name, None)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use poem::http::Uri;

    use super::*;

    fn redirect(https_port: u16) -> Redirect {
        let certificates = Arc::new(Certificates::of_domains(&["hooks.example.com".to_owned()]));
        Redirect { certificates, challenges: Challenges::default(), https_port }
    }

    async fn ask(redirect: &Redirect, method: &Method, uri: &str, host: Option<&str>) -> (u16, String, String) {
        let mut request = Request::builder().method(method.clone()).uri(uri.parse::<Uri>().unwrap());
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let response = redirect.get_response(request.finish()).await;
        let location = response.header("location").unwrap_or_default().to_owned();
        (response.status().as_u16(), location, response.into_body().into_string().await.unwrap())
    }

    #[tokio::test]
    async fn only_names_of_ours_are_led_to_https() {
        for (method, uri, host, status, location) in [
            (Method::GET, "/a?b=c", Some("hooks.example.com"), 301, "https://hooks.example.com/a?b=c"),
            (Method::HEAD, "/a", Some("hooks.example.com"), 301, "https://hooks.example.com/a"),
            (Method::POST, "/v1/events", Some("hooks.example.com"), 308, "https://hooks.example.com/v1/events"),
            (Method::GET, "/", Some("HOOKS.Example.com"), 301, "https://hooks.example.com/"),
            (Method::GET, "/", Some("hooks.example.com:80"), 301, "https://hooks.example.com/"),
            (
                Method::GET,
                "//evil.example/",
                Some("hooks.example.com"),
                301,
                "https://hooks.example.com//evil.example/",
            ),
            (Method::OPTIONS, "*", Some("hooks.example.com"), 308, "https://hooks.example.com/"),
            (Method::GET, "/", Some("evil.example"), 421, ""),
            (Method::GET, "/", Some("hooks.example.com.evil.example"), 421, ""),
            (Method::GET, "/", Some("hooks.example.com@evil.example"), 421, ""),
            (Method::GET, "/", Some("hooks.example.com:80@evil.example"), 421, ""),
            (Method::GET, "/", Some("hooks.example.com:"), 421, ""),
            (Method::GET, "/", Some("[::1]:80"), 421, ""),
            (Method::GET, "/", Some("203.0.113.9"), 421, ""),
            (Method::GET, "/", None, 421, ""),
            // The address of the request line holds over the header (RFC 9112 section 3.2.2).
            (Method::GET, "http://evil.example/", Some("hooks.example.com"), 421, ""),
        ] {
            let (found, to, _) = ask(&redirect(443), &method, uri, host).await;
            assert_eq!((found, to.as_str()), (status, location), "{method} {uri} {host:?}");
        }
    }

    #[tokio::test]
    async fn the_port_of_https_is_named_to_who_named_one() {
        let redirect = redirect(8443);
        let (_, to, _) = ask(&redirect, &Method::GET, "/", Some("hooks.example.com:8080")).await;
        assert_eq!(to, "https://hooks.example.com:8443/");
        let (_, to, _) = ask(&redirect, &Method::GET, "/", Some("hooks.example.com")).await;
        assert_eq!(to, "https://hooks.example.com/");
    }

    #[tokio::test]
    async fn the_authority_finds_its_challenge_under_any_name_for_as_long_as_the_order_lasts() {
        let redirect = redirect(443);
        let posted = redirect.challenges.post("token", "token.print");
        for host in ["hooks.example.com", "203.0.113.9"] {
            let (status, _, body) = ask(&redirect, &Method::GET, "/.well-known/acme-challenge/token", Some(host)).await;
            assert_eq!((status, body.as_str()), (200, "token.print"));
        }
        let other = ask(&redirect, &Method::GET, "/.well-known/acme-challenge/other", Some("hooks.example.com")).await;
        assert_eq!(other.0, 404);
        drop(posted);
        let gone = ask(&redirect, &Method::GET, "/.well-known/acme-challenge/token", Some("hooks.example.com")).await;
        assert_eq!(gone.0, 404);
    }

    #[tokio::test]
    async fn who_watches_the_process_needs_no_name() {
        let (status, _, body) = ask(&redirect(443), &Method::GET, "/healthz", Some("203.0.113.9")).await;
        assert_eq!((status, body.as_str()), (200, r#"{"status":"ok"}"#));
    }
}
