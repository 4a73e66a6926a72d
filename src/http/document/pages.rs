//! Documents as they are served, and the pages that show them.

use poem::web::Html;
use poem::{IntoResponse, Response, Route, get};
use serde_json::Value;

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
    Pages { json, yaml, html }
}

/// Adds documents and their pages to the routes. All of them work without a key.
pub fn with_pages<'a>(mut routes: Route, documents: impl IntoIterator<Item = (Place, &'a Value)>) -> Route {
    let fixed = |content_type: &'static str, text: String| {
        get(poem::endpoint::make_sync(move |_| {
            Response::builder().content_type(content_type).body(text.clone()).into_response()
        }))
    };
    for (place, document) in documents {
        let Pages { json, yaml, html } = pages(document);
        routes = routes
            .at(place.json, fixed("application/json", json))
            .at(place.yaml, fixed("application/yaml", yaml))
            .at(place.page, get(poem::endpoint::make_sync(move |_| Html(html.clone()))));
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
