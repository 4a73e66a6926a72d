//! What browsers get: the console, its files, and what keeps both to themselves.

use expect_test::expect;
use poem::http::Method;
use serde_json::json;

use crate::support::app::{Answer, TestApp};

/// All of it, as it goes over the wire.
const GZIPPED_BYTES_MAX: usize = 200 * 1000;

/// The addresses in the page, in the order in which they are there.
fn addresses(page: &str) -> Vec<String> {
    let behind = page.split(['"']).skip(1).step_by(2);
    behind.filter(|value| value.starts_with('/')).map(str::to_owned).collect()
}

fn headers(answer: &Answer) -> String {
    let names = [
        "content-type",
        "cache-control",
        "content-security-policy",
        "vary",
        "x-content-type-options",
        "referrer-policy",
        "cross-origin-opener-policy",
        "cross-origin-resource-policy",
    ];
    names.map(|name| format!("{name}: {}\n", answer.header(name).unwrap_or("none"))).concat()
}

#[tokio::test]
async fn the_page_is_asked_for_again_each_time_and_its_files_never() {
    let app = TestApp::start().await;
    let page = app.get("/").without_key().await.assert(200);
    expect![[r#"
        content-type: text/html; charset=utf-8
        cache-control: no-cache
        content-security-policy: default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'
        vary: Accept-Encoding
        x-content-type-options: nosniff
        referrer-policy: no-referrer
        cross-origin-opener-policy: same-origin
        cross-origin-resource-policy: same-origin
    "#]]
    .assert_eq(&headers(&page));
    let files: Vec<String> = addresses(&page.body).into_iter().filter(|path| path.starts_with("/assets/")).collect();
    assert!(
        files.iter().any(|path| path.ends_with(".js")) && files.iter().any(|path| path.ends_with(".css")),
        "{files:?}"
    );
    for path in files {
        let file = app.get(&path).without_key().await.assert(200);
        assert_eq!(file.header("cache-control"), Some("public, max-age=31536000, immutable"), "{path}");
        assert!(!file.body.is_empty() && file.header("content-security-policy").is_some(), "{path}");
    }
}

#[tokio::test]
async fn every_view_has_an_address_that_leads_to_the_page() {
    let app = TestApp::start().await;
    let page = app.get("/").without_key().await.assert(200).body;
    for path in ["/index.html", "/portal", "/portal/"] {
        assert_eq!(app.get(path).without_key().await.assert(200).body, page, "{path}");
    }
    for path in ["/deliveries", "/a/b/c", "/v", "/vx/1", "/%C3%A9"] {
        let browser = app.get(path).without_key().header("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        assert_eq!(browser.await.assert(200).body, page, "{path}");
        // A program that left out the prefix of the API.
        app.get(path).without_key().header("accept", "*/*").await.assert(404);
        app.get(path).without_key().await.assert(404);
    }
    for path in ["/assets/none.js", "/favicon.ico", "/.env", "/v1", "/v1/", "/v2/events", "/.well-known/none"] {
        app.get(path).without_key().await.check(expect![[r#"
            404 not_found: There is nothing at this path
        "#]]);
    }
    // What is an API's stays that.
    for path in ["/docs", "/openapi.json", "/healthz"] {
        assert_ne!(app.get(path).without_key().await.assert(200).body, page, "{path}");
    }
}

#[tokio::test]
async fn nobody_writes_to_the_page() {
    let app = TestApp::start().await;
    for path in ["/", "/portal", "/index.html"] {
        let refused = app.call(Method::POST, path).await.assert(405);
        assert_eq!(refused.header("allow"), Some("GET, HEAD"), "{path}");
    }
    // A program that left out the prefix of the API is told that there is nothing.
    app.call(Method::POST, "/events").await.assert(404);
}

#[tokio::test]
async fn what_a_browser_has_it_does_not_get_again() {
    let app = TestApp::start().await;
    for encoding in ["identity", "gzip"] {
        let ask = || app.call(Method::HEAD, "/").without_key().header("accept-encoding", encoding);
        let etag = ask().await.assert(200).header("etag").unwrap().to_owned();
        for known in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".to_owned()] {
            let same = ask().header("if-none-match", &known).await.assert(304);
            assert_eq!(same.header("etag"), Some(etag.as_str()), "{known}");
        }
        ask().header("if-none-match", "\"other\"").await.assert(200);
    }
}

#[tokio::test]
async fn who_takes_gzip_gets_it() {
    let app = TestApp::start().await;
    let ask = |wish: &'static str| app.call(Method::HEAD, "/").without_key().header("accept-encoding", wish);
    for wish in ["gzip", "br, GZIP;q=0.5, *", "deflate,gzip ;q=1"] {
        assert_eq!(ask(wish).await.assert(200).header("content-encoding"), Some("gzip"), "{wish}");
    }
    for wish in ["", "br", "identity", "gzip;q=0", "xgzip"] {
        assert_eq!(ask(wish).await.assert(200).header("content-encoding"), None, "{wish}");
    }
    let tags = [ask("gzip").await, ask("br").await].map(|answer| answer.header("etag").unwrap().to_owned());
    assert_ne!(tags[0], tags[1], "a cache could mix them up");
}

#[tokio::test]
async fn all_of_it_is_small_and_asks_no_other_host() {
    let app = TestApp::start().await;
    let page = app.get("/").without_key().await.assert(200).body;
    let paths: Vec<String> =
        addresses(&page).into_iter().filter(|path| path.contains('.') && !path.contains("/src/")).collect();
    assert!(paths.len() >= 3, "the script, the styles and the icon: {paths:?}");
    let mut bytes = 0;
    for path in paths.iter().map(String::as_str).chain(["/"]) {
        let head = app.call(Method::HEAD, path).without_key().header("accept-encoding", "gzip").await.assert(200);
        bytes += head.header("content-length").and_then(|length| length.parse::<usize>().ok()).expect("HEAD tells it");
        let text = app.get(path).without_key().await.body;
        // Loading begins with one of these; a link in a text that somebody may press is no request.
        for loads in ["src=\"http", "href=\"http", "@import", "url(http", "url(//", "import(\"http"] {
            assert!(!text.contains(loads), "{path} has {loads}");
        }
    }
    assert!(bytes <= GZIPPED_BYTES_MAX, "{bytes} bytes");
}

#[tokio::test]
async fn the_console_is_there_while_the_api_shuts_down() {
    let app = TestApp::start().await;
    app.settings.is_shutting_down.store(true, std::sync::atomic::Ordering::Release);
    app.get("/").without_key().await.assert(200);
    app.get("/v1/events").await.assert(503);
}

#[tokio::test]
async fn the_portal_alone_is_shown_in_frames_of_the_sites_that_are_set_and_as_soon_as_they_are() {
    let app = TestApp::start().await;
    let ancestors = |answer: &Answer| {
        let policy = answer.header("content-security-policy").expect("each page has one").to_owned();
        policy.split_once("; frame-ancestors ").expect("it says so").1.to_owned()
    };
    let ask = async |path: &str| app.get(path).without_key().header("accept", "text/html").await.assert(200);
    let etag = ask("/portal").await.header("etag").unwrap().to_owned();
    let sites = json!(["https://shop.example", "http://localhost:3000"]);
    for (set, expected) in [
        (json!(null), "'none'"),
        (sites, "https://shop.example http://localhost:3000"),
        (json!(["https://other.example:8443"]), "https://other.example:8443"),
        (json!([]), "'none'"),
    ] {
        app.patch("/v1/settings", json!({ "portal.frame_ancestors": set })).await.assert(200);
        for path in ["/portal", "/portal/"] {
            assert_eq!(ancestors(&ask(path).await), expected, "{path} with {set}");
        }
        for path in ["/", "/index.html", "/portal/x", "/portals", "/favicon.svg"] {
            assert_eq!(ancestors(&ask(path).await), "'none'", "{path} with {set}");
        }
        let known = app.get("/portal").without_key().header("if-none-match", &etag).await.assert(304);
        assert_eq!(ancestors(&known), expected, "who has the page already, with {set}");
    }
}
