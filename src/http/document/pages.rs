//! Documents as they are served, and the pages that show them.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use poem::http::header;
use poem::{IntoResponse, Response, Route, get};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Where a document and its page are.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub json: &'static str,
    pub yaml: &'static str,
    pub page: &'static str,
}

impl Place {
    pub const NATIVE: Self = Self { json: "/openapi.json", yaml: "/openapi.yaml", page: "/docs" };
}

/// A document as it is served: written once, at the start.
struct Pages {
    json: String,
    yaml: String,
    html: String,
    /// What the page may do: run its own scripts, and ask this server when somebody tries an operation.
    policy: String,
}

/// The page's program is the same in all of them.
static PROGRAM: LazyLock<String> = LazyLock::new(|| {
    let page = poem_openapi::OpenApiService::new((), "", "").swagger_ui_html();
    scripts(&page).first().map(|text| source(text)).unwrap_or_default()
});

/// The texts of the scripts in a page, as browsers hash them.
fn scripts(page: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some((text, behind)) = rest
        .split_once("<script")
        .and_then(|(_, behind)| behind.split_once('>'))
        .and_then(|(_, behind)| behind.split_once("</script>"))
    {
        found.push(text);
        rest = behind;
    }
    found
}

/// As a policy names it.
fn source(script: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(script)))
}

fn policy(page: &str) -> String {
    let sources =
        scripts(page).into_iter().enumerate().map(|(n, text)| if n == 0 { PROGRAM.clone() } else { source(text) });
    let sources: Vec<String> = sources.collect();
    // The program sets styles and images of its own, in places that no policy can list.
    format!(
        "default-src 'none'; script-src {}; style-src 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        sources.join(" ")
    )
}

fn pages(document: &Value) -> Pages {
    let json = serde_json::to_string_pretty(document).expect("a JSON value can be written");
    let yaml = serde_saphyr::to_string(document).expect("JSON can be written as YAML");
    let placeholder = poem_openapi::OpenApiService::new((), "", "").swagger_ui_html();
    let spec = poem_openapi::OpenApiService::new((), "", "").spec();
    let title = format!("{} API", document["info"]["title"].as_str().unwrap_or_default());
    // Inside a script element `</` would end it.
    let html = placeholder
        .replacen(&spec, &json.replace("</", "<\\/"), 1)
        .replacen("Swagger UI", &title, 1)
        // By default the page asks a public service to judge the document.
        .replacen("deepLinking: true,", "deepLinking: true, validatorUrl: null,", 1);
    let policy = policy(&html);
    Pages { json, yaml, html, policy }
}

/// Adds documents and their pages to the routes. All of them work without a key.
pub fn with_pages<'a>(mut routes: Route, documents: impl IntoIterator<Item = (Place, &'a Value)>) -> Route {
    let fixed = |content_type: &'static str, text: String| {
        get(poem::endpoint::make_sync(move |_| {
            Response::builder().content_type(content_type).body(text.clone()).into_response()
        }))
    };
    for (place, document) in documents {
        let Pages { json, yaml, html, policy } = pages(document);
        routes =
            routes.at(place.json, fixed("application/json", json)).at(place.yaml, fixed("application/yaml", yaml)).at(
                place.page,
                get(poem::endpoint::make_sync(move |_| {
                    Response::builder()
                        .content_type("text/html; charset=utf-8")
                        .header(header::CONTENT_SECURITY_POLICY, &policy)
                        .body(html.clone())
                })),
            );
    }
    routes
}

/// Without a console, the front page is the documentation.
#[cfg(not(feature = "console"))]
pub fn with_front_page(routes: Route) -> Route {
    #[poem::handler]
    fn to_docs() -> poem::web::Redirect {
        poem::web::Redirect::temporary("/docs")
    }
    routes.at("/", get(to_docs))
}
