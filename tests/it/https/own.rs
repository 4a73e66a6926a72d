//! A certificate of the operator's own, served by the real binary.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hyper::{Method, Version};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::support::binary::{ADMIN_KEY, PATIENCE, Start, Waxwing};
use crate::support::https::{Asking, Issuer, Life, Pair, ask_plainly};

const NAME: &str = "hooks.waxwing.test";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn write(folder: &Path, pair: &Pair) {
    std::fs::write(folder.join("cert.pem"), &pair.certificate).expect("the folder is writable");
    std::fs::write(folder.join("key.pem"), &pair.key).expect("the folder is writable");
}

/// The certificate and its key are `cert.pem` and `key.pem` of the folder.
async fn start(folder: &Path) -> Waxwing {
    let flags = "--tls-cert cert.pem --tls-key key.pem --listen-https 127.0.0.1:0 --listen-http 127.0.0.1:0";
    Start::in_dir(folder).with_arguments(&flags.split(' ').collect::<Vec<_>>()).start().await
}

fn asking<'a>(waxwing: &Waxwing, issuer: &Issuer, name: &'a str, version: Version) -> Asking<'a> {
    let (address, _) = waxwing.https.expect("it speaks TLS");
    Asking { address, name, root: issuer.root(), version }
}

fn is_shown(certificate: &CertificateDer<'_>, pair: &Pair) -> bool {
    CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("it is PEM") == *certificate
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_served_by_http_2_and_http_1_and_a_browser_signs_in() {
    let (folder, issuer) = (tempfile::tempdir().expect("a folder"), Issuer::new());
    write(folder.path(), &issuer.pair(&[NAME, "*.hooks.waxwing.test"]));
    let waxwing = start(folder.path()).await;
    for version in [Version::HTTP_2, Version::HTTP_11] {
        let client = asking(&waxwing, &issuer, NAME, version);
        let health = client.get("/healthz").await.expect("it answers");
        assert_eq!((health.status, health.version), (200, version));
        assert!(client.get("/v1/events").await.expect("it answers").status == 401);

        // A session over TLS: its cookie never goes in the clear, and a page of ours may use it.
        let origin = format!("https://{NAME}:{}", client.address.port());
        let json = ("content-type", "application/json");
        let body = format!(r#"{{"api_key":"{ADMIN_KEY}"}}"#);
        let headers = [json, ("waxwing-console", "1"), ("origin", &origin)];
        let begun = client.ask(Method::POST, "/v1/sessions", &headers, &body).await.expect("it answers");
        assert_eq!(begun.status, 201, "{}", begun.body);
        let cookie = begun.header("set-cookie");
        assert!(cookie.ends_with("; Secure"), "{cookie}");
        let cookie = cookie.split(';').next().expect("its value");
        let body = r#"{"name":"order.paid"}"#;
        for (origin, status) in [(origin.as_str(), 204), ("https://evil.example", 403)].into_iter().rev() {
            let headers = [json, ("waxwing-console", "1"), ("origin", origin), ("cookie", cookie)];
            let ended = client.ask(Method::DELETE, "/v1/sessions/current", &headers, body).await.expect("it answers");
            assert_eq!(ended.status, status, "{version:?} {origin}: {}", ended.body);
        }
    }
    let other = asking(&waxwing, &issuer, "a.hooks.waxwing.test", Version::HTTP_11);
    assert_eq!(other.get("/healthz").await.expect("the wildcard is for it").status, 200);

    let metrics = waxwing.api.get("/metrics").await.expect(200).text();
    let expiry =
        metrics.lines().find_map(|line| line.strip_prefix("waxwing_tls_certificate_expiry_timestamp_seconds "));
    // The year that rcgen ends certificates in by itself is 4096.
    assert_eq!(expiry, Some("67090118400"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_the_clear_is_led_to_https_under_names_of_the_certificate_only() {
    let (folder, issuer) = (tempfile::tempdir().expect("a folder"), Issuer::new());
    write(folder.path(), &issuer.pair(&[NAME, "*.hooks.waxwing.test"]));
    let waxwing = start(folder.path()).await;
    let (https, redirect) = waxwing.https.expect("it speaks TLS");
    let redirect = redirect.expect("something leads there");
    for (host, method, status, to) in [
        (NAME.to_owned(), Method::GET, 301, format!("https://{NAME}/a?b=1")),
        (format!("{NAME}:8080"), Method::GET, 301, format!("https://{NAME}:{}/a?b=1", https.port())),
        (NAME.to_owned(), Method::POST, 308, format!("https://{NAME}/a?b=1")),
        ("a.hooks.waxwing.test".to_owned(), Method::GET, 301, "https://a.hooks.waxwing.test/a?b=1".to_owned()),
        ("evil.example".to_owned(), Method::GET, 421, String::new()),
    ] {
        let answer = ask_plainly(redirect, &host, method, "/a?b=1").await;
        let location = answer.headers.get("location").map(|to| to.to_str().expect("ASCII")).unwrap_or_default();
        assert_eq!((answer.status, location), (status, to.as_str()), "{host}");
    }
    assert_eq!(ask_plainly(redirect, "10.0.0.1", Method::GET, "/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_change_are_served_and_bad_ones_are_not() {
    let (folder, issuer) = (tempfile::tempdir().expect("a folder"), Issuer::new());
    let pairs = [issuer.pair(&[NAME]), issuer.pair(&[NAME]), issuer.pair(&[NAME])];
    write(folder.path(), &pairs[0]);
    let mut waxwing = start(folder.path()).await;
    waxwing.logged("HTTPS has its certificate").await;
    let client = asking(&waxwing, &issuer, NAME, Version::HTTP_2);
    let shown = async || client.get("/healthz").await.expect("it answers").certificate;
    assert!(is_shown(&shown().await, &pairs[0]));

    write(folder.path(), &pairs[1]);
    waxwing.signal("HUP").await;
    waxwing.logged("read anew").await;
    assert!(is_shown(&shown().await, &pairs[1]));

    // Half of a renewal: the key of one, the certificate of the other.
    std::fs::write(folder.path().join("cert.pem"), &pairs[2].certificate).expect("the folder is writable");
    waxwing.signal("HUP").await;
    let line = waxwing.logged("the certificate of HTTPS stays the one before").await;
    assert!(line.contains("is not for the private key"), "{line}");
    assert!(is_shown(&shown().await, &pairs[1]));
    std::fs::remove_file(folder.path().join("key.pem")).expect("it is there");
    waxwing.signal("HUP").await;
    let line = waxwing.logged("the certificate of HTTPS stays the one before").await;
    assert!(line.contains("key.pem cannot be read"), "{line}");
    assert!(is_shown(&shown().await, &pairs[1]));

    // The other half.
    write(folder.path(), &pairs[2]);
    waxwing.signal("HUP").await;
    waxwing.logged("read anew").await;
    assert!(is_shown(&shown().await, &pairs[2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_https_outlives_a_hangup() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.signal("HUP").await;
    waxwing.logged("SIGHUP: ").await;
    waxwing.api.get("/healthz").await.expect(200);
    assert!(waxwing.terminate().await.0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_served_with_a_warning() {
    let (folder, issuer) = (tempfile::tempdir().expect("a folder"), Issuer::new());
    let now = OffsetDateTime::now_utc();
    for (ends, warning) in [(now - DAY, "has expired"), (now + 13 * DAY, "ends soon")] {
        write(folder.path(), &issuer.pair_with(&[NAME], Some(Life { begins: now - 90 * DAY, ends })));
        let mut waxwing = start(folder.path()).await;
        let line = waxwing.logged(warning).await;
        assert!(line.contains("WARN"), "{line}");
        let client = asking(&waxwing, &issuer, NAME, Version::HTTP_2);
        assert_eq!(client.get("/healthz").await.is_ok(), warning == "ends soon", "{warning}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_go_on_holds_up_nobody_and_the_end_neither() {
    let (folder, issuer) = (tempfile::tempdir().expect("a folder"), Issuer::new());
    write(folder.path(), &issuer.pair(&[NAME]));
    let waxwing = start(folder.path()).await;
    let client = asking(&waxwing, &issuer, NAME, Version::HTTP_11);
    let mut silent = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(client.address).await.expect("it listens");
        // The head of a ClientHello that never comes.
        stream.write_all(&[0x16, 0x03, 0x01, 0x01, 0x00, 0x01]).await.expect("it takes some bytes");
        silent.push(stream);
    }
    let mut kept = client.connect().await.expect("it shakes hands");
    let request = format!("GET /healthz HTTP/1.1\r\nhost: {NAME}\r\n\r\n");
    kept.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = vec![0; 4096];
    let length = kept.read(&mut answer).await.expect("it answers");
    assert!(answer[..length].starts_with(b"HTTP/1.1 200"));

    // Who does not speak TLS is no trouble either.
    let mut plain = TcpStream::connect(client.address).await.expect("it listens");
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it takes some bytes");
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, plain.read_to_end(&mut rest)).await.expect("it hangs up").ok();

    let (status, _) = waxwing.terminate().await;
    assert!(status.success(), "{status}");
    let mut rest = Vec::new();
    let end = kept.read_to_end(&mut rest).await;
    assert!(end.is_ok() && rest.is_empty(), "the connection was not closed in order: {end:?}");
}

#[test]
fn it_does_not_start_with_what_cannot_be_served() {
    let (folder, issuer) = (tempfile::tempdir().expect("a folder"), Issuer::new());
    let path = |name: &str| folder.path().join(name);
    let pair = issuer.pair(&[NAME]);
    write(folder.path(), &pair);
    std::fs::write(path("other.pem"), issuer.pair(&[NAME]).key).expect("the folder is writable");
    std::fs::write(path("text.pem"), "no certificate").expect("the folder is writable");
    for (flags, expected) in [
        ("--tls-cert cert.pem --tls-key other.pem", "cert.pem is not for the private key in other.pem"),
        ("--tls-cert cert.pem --tls-key cert.pem", "cert.pem holds no private key"),
        ("--tls-cert key.pem --tls-key key.pem", "key.pem holds no certificate"),
        ("--tls-cert text.pem --tls-key key.pem", "text.pem holds no certificate"),
        ("--tls-cert gone.pem --tls-key key.pem", "gone.pem cannot be read: No such file"),
        ("--tls-cert cert.pem", "--tls-cert: needs --tls-key"),
        ("--tls-key key.pem", "--tls-key: needs --tls-cert"),
        ("--domain hooks.waxwing.test --acme-ca-root text.pem", "text.pem holds no certificate"),
        ("--domain hooks.waxwing.test --acme-directory http://127.0.0.1/", "is not an https:// URL"),
        ("--domain hooks.waxwing.test --listen-http off", "--listen-http: cannot be off with --domain"),
        ("--domain 127.0.0.1", "`127.0.0.1` is not a name like hooks.example.com"),
        ("--domain *.waxwing.test", "`*.waxwing.test` is not a name like hooks.example.com"),
        ("--listen-https 127.0.0.1:0", "--listen-https: means nothing without --domain or --tls-cert"),
        ("--acme-contact ops@example.com", "--acme-contact: means nothing without --domain"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
        command.arg("serve").args(["--listen", "127.0.0.1:0"]).args(flags.split(' ')).current_dir(folder.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WAXWING_")) {
            command.env_remove(name);
        }
        let output = command.output().expect("the binary was built with the tests");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(expected), "{flags}: {:?} {said}", output.status);
        assert!(!path("waxwing-data").exists(), "{flags}: something was made");
    }
}
