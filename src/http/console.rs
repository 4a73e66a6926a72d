//! The console and the customer portal as browsers get them: the files that `build.rs` made of `ui/`, held by the binary.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use poem::error::{MethodNotAllowedError, NotFoundError};
use poem::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, Request, Response, Result, Route};
use rust_embed::RustEmbed;

use super::App;

#[derive(RustEmbed)]
#[folder = "$OUT_DIR/console"]
struct Built;

/// What every view of the application begins with.
const PAGE: &str = "index.html";
const PORTAL: &str = "/portal";
/// The build names these after their content.
const HASHED: &str = "assets/";

/// Everything is our own: no other host, nothing inline. Logos are data: URLs that the operator set. Who may show it in a frame comes last.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors ";
const NOBODY: &str = "'none'";

/// One file, ready to be sent.
struct Page {
    content_type: &'static str,
    cache_control: &'static str,
    as_is: Form,
    gzipped: Form,
}

/// The bytes of a file in one encoding, and what they are called in that.
struct Form {
    body: Bytes,
    etag: HeaderValue,
}

/// Serves what no other route has.
#[derive(Clone)]
pub struct Console {
    pages: Arc<HashMap<String, Page>>,
    app: Arc<App>,
}

/// Adds the console below the routes: whatever is not theirs is asked of it.
pub fn with_console(routes: Route, app: Arc<App>) -> Route {
    let console = Console { pages: Arc::new(Console::built()), app };
    routes.at("/", console.clone()).at("/*path", console)
}

impl Console {
    fn built() -> HashMap<String, Page> {
        let form = |path: &str| {
            let file = Built::get(path)?;
            let etag = format!("\"{}\"", hex::encode(&file.metadata.sha256_hash()[..16]));
            Some(Form { body: Bytes::from(file.data.into_owned()), etag: HeaderValue::from_str(&etag).ok()? })
        };
        let page = |path: &str| {
            let cache_control =
                if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
            let (as_is, gzipped) = (form(path)?, form(&format!("{path}.gz"))?);
            Some((path.to_owned(), Page { content_type: content_type(path)?, cache_control, as_is, gzipped }))
        };
        Built::iter().filter_map(|path| page(&path)).collect()
    }

    fn answer(&self, request: &Request) -> Result<Response> {
        let path = request.uri().path();
        let page = self.pages.get(&path[1..]);
        let is_entrance = path == "/" || is_portal(path);
        let is_view = is_entrance || is_view(path) && takes_pages(request.headers());
        let Some(page) = page.or_else(|| self.pages.get(PAGE).filter(|_| is_view)) else {
            return Err(NotFoundError.into());
        };
        match *request.method() {
            Method::GET | Method::HEAD => Ok(send(page, request, self.policy(path))),
            // Nobody writes to a view; who writes to a path that could be one is looking for an API.
            _ if is_view && !is_entrance => Err(NotFoundError.into()),
            _ => Err(MethodNotAllowedError.into()),
        }
    }

    /// The portal may be shown in frames of the sites that are set at this moment; nothing else in any.
    fn policy(&self, path: &str) -> HeaderValue {
        let catalogue = self.app.store.catalogue();
        let sites = catalogue.settings().portal.frame_ancestors.as_deref().filter(|_| is_portal(path));
        let ancestors = sites.filter(|sites| !sites.is_empty()).map_or(NOBODY.to_owned(), |sites| sites.join(" "));
        HeaderValue::from_str(&format!("{POLICY}{ancestors}")).expect("a stored origin is scheme, host and port")
    }
}

impl Endpoint for Console {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        self.answer(&request)
    }
}

fn is_portal(path: &str) -> bool {
    path.trim_end_matches('/') == PORTAL
}

/// Whether a browser that asks for this path is in the application. A file that is not there is missed (its name has a dot), and so
/// is a version of the API that there is not, or its documentation: whoever asks for those expects no page.
fn is_view(path: &str) -> bool {
    let first = path[1..].split('/').next().unwrap_or_default();
    let is_version =
        first.strip_prefix('v').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|it| it.is_ascii_digit()));
    !path.contains('.') && !is_version && first != "docs"
}

/// Browsers say that they do. Who left out the prefix of the API takes JSON, or anything.
fn takes_pages(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    accepts.flat_map(|accept| accept.split(',')).any(|media| media.trim_start().starts_with("text/html"))
}

fn content_type(path: &str) -> Option<&'static str> {
    Some(match path.rsplit_once('.')?.1 {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => return None,
    })
}

/// Who has the page already gets the policy all the same, which takes the place of the one that it knows (RFC 9111, 4.3.4).
fn send(page: &Page, request: &Request, policy: HeaderValue) -> Response {
    let is_gzipped = takes_gzip(request.headers());
    let form = if is_gzipped { &page.gzipped } else { &page.as_is };
    let mut response = Response::builder().content_type(page.content_type).finish();
    let headers = response.headers_mut();
    for (name, value) in [(header::CACHE_CONTROL, page.cache_control), (header::VARY, "Accept-Encoding")] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(header::ETAG, form.etag.clone());
    if request.headers().get(header::IF_NONE_MATCH).is_some_and(|known| names(known, &form.etag)) {
        headers.remove(header::CONTENT_TYPE);
        response.set_status(StatusCode::NOT_MODIFIED);
        return response;
    }
    if is_gzipped {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if request.method() == Method::HEAD {
        headers.insert(header::CONTENT_LENGTH, form.body.len().into());
    } else {
        response.set_body(form.body.clone());
    }
    response
}

/// Whether `If-None-Match` names the tag. A proxy may have made it a weak one.
fn names(known: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(known), Ok(etag)) = (known.to_str(), etag.to_str()) else { return false };
    known.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// `gzip`, unless its weight is nought.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let wishes = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    wishes.flat_map(|wishes| wishes.split(',')).any(|wish| {
        let (name, weight) = wish.split_once(';').unwrap_or((wish, "q=1"));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_some_and(|weight| weight > 0.0)
    })
}
