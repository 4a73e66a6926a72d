//! The document as it is served, and the page that shows it.

use poem::web::{Html, Redirect};
use poem::{IntoResponse, Response, Route, get, handler};
use serde_json::Value;

/// The document as it is served: written once, at the start.
#[derive(Clone)]
pub struct Pages {
    json: String,
    yaml: String,
    html: String,
}

pub fn pages(document: &Value) -> Pages {
    let json = serde_json::to_string_pretty(document).expect("a JSON value can be written");
    let yaml = serde_saphyr::to_string(document).expect("JSON can be written as YAML");
    let placeholder = poem_openapi::OpenApiService::new((), "", "").swagger_ui_html();
    let spec = poem_openapi::OpenApiService::new((), "", "").spec();
    // Inside a script element `</` would end it.
    let html = placeholder
        .replacen(&spec, &json.replace("</", "<\\/"), 1)
        .replacen("Swagger UI", "Waxwing API", 1)
        // By default the page asks a public service to judge the document.
        .replacen("deepLinking: true,", "deepLinking: true, validatorUrl: null,", 1);
    Pages { json, yaml, html }
}

/// Adds the document and its page to the routes. All of them work without a key.
pub fn with_pages(routes: Route, Pages { json, yaml, html }: Pages) -> Route {
    let fixed = |content_type: &'static str, text: String| {
        get(poem::endpoint::make_sync(move |_| {
            Response::builder().content_type(content_type).body(text.clone()).into_response()
        }))
    };
    routes
        .at("/openapi.json", fixed("application/json", json))
        .at("/openapi.yaml", fixed("application/yaml", yaml))
        .at("/docs", get(poem::endpoint::make_sync(move |_| Html(html.clone()))))
        .at("/", get(to_docs))
}

#[handler]
fn to_docs() -> Redirect {
    Redirect::temporary("/docs")
}
