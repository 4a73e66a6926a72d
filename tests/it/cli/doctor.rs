//! `waxwing doctor` on a machine where all is well, and where one thing after the other is not.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Server, folder, good_json, run, waxwing};
use crate::support::https::{Issuer, Life, Pair};
use crate::support::rough;

/// What `doctor --json` says, and its exit code. Nobody outside of this machine is asked.
#[track_caller]
fn doctor(command: &mut Command) -> (i32, Value) {
    let output = command.stdin(Stdio::null()).output().expect("the binary was built with the tests");
    let said = serde_json::from_slice(&output.stdout);
    let said = said.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().expect("it ended by itself"), said)
}

fn asked(folder: &Path, words: &[&str]) -> Command {
    let mut command = waxwing(folder);
    command.args(["doctor", "--json", "--listen", "127.0.0.1:0"]).args(words);
    command
}

fn check<'a>(said: &'a Value, about: &str) -> &'a Value {
    let checks = said["checks"].as_array().expect("a list");
    checks.iter().find(|check| check["about"] == about).unwrap_or_else(|| panic!("no {about} in {said}"))
}

/// One check fails or warns, with a text and something to do about it, and the exit code says so.
#[track_caller]
fn expect(command: &mut Command, about: &str, level: &str, text: &str) {
    let (code, said) = doctor(command);
    let found = check(&said, about);
    assert_eq!(found["level"], level, "{found}");
    assert!(found["line"].as_str().unwrap().contains(text), "{found}");
    assert!(found["advice"].is_string() || level == "ok", "{found}");
    // A machine with little disk fails elsewhere, but no check that fails leaves 0.
    let has_failed = said["checks"].as_array().unwrap().iter().any(|check| check["level"] == "fail");
    assert_eq!(code, i32::from(has_failed), "{said}");
}

/// A server that was started once and ended.
fn stopped() -> tempfile::TempDir {
    let folder = folder();
    Server::start(folder.path(), &[]).terminate();
    folder
}

/// Speaks TLS as `localhost` on loopback, and answers each request with this head. With the file that has its root.
fn https_server(folder: &Path, head: &'static str) -> (u16, String) {
    let issuer = Issuer::new();
    let root = folder.join("root.pem");
    fs::write(&root, issuer.pem()).unwrap();
    let acceptor = issuer.acceptor(&["localhost"]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            listener.set_nonblocking(true).expect("it can be");
            let listener = tokio::net::TcpListener::from_std(listener).expect("it is a listener");
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut asked = [0; 4096];
                _ = stream.read(&mut asked).await;
                _ = stream.write_all(head.as_bytes()).await;
                _ = stream.shutdown().await;
            }
        });
    });
    (port, root.to_str().expect("it is UTF-8").to_owned())
}

/// Answers everything that comes in the clear.
fn plain_server(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            _ = stream.read(&mut [0; 4096]);
            _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn beside_a_server_that_works_nothing_fails_and_the_support_line_holds_nothing_private() {
    let folder = folder();
    let flags = ["--public-url", "https://hooks.acme-corp.example"];
    let server = Server::start(folder.path(), &flags);
    let key = super::admin_key(folder.path());
    let made = server.call("POST", "/v1/tenants", &key, r#"{"name":"Acme Corp"}"#);
    assert_eq!(made.0, 201, "{}", made.1);
    let address = server.url.trim_start_matches("http://");
    let mut command = waxwing(folder.path());
    command.args(["doctor", "--json", "--probe-url", "off", "--listen", address]).args(flags);
    let (code, said) = doctor(&mut command);
    assert_eq!(code, 0, "{said}");
    for (about, expected) in [
        ("configuration", json!("ok")),
        ("data folder", json!("ok")),
        ("secret key", json!("ok")),
        ("store", json!("ok")),
        ("listen", json!("ok")),
    ] {
        assert_eq!(check(&said, about)["level"], expected, "{said}");
    }
    assert_eq!(check(&said, "store")["facts"]["state"], "in_use");
    assert_eq!(check(&said, "listen")["facts"]["state"], "ready");
    assert_eq!(said["settings"]["public_url"]["value"], "https://hooks.acme-corp.example");

    let line = said["support"].as_str().unwrap();
    let decoded = good_json(folder.path(), &["doctor", "--decode", line]);
    assert_eq!(decoded["checks"]["store"]["state"], "in_use");
    assert_eq!(decoded["settings"]["public_url"], json!(["flag", "set"]));
    let secret = fs::read_to_string(folder.path().join("waxwing-data/secret-key")).unwrap();
    for private in ["cme", secret.trim(), key.as_str(), "waxwing-data", "127.0.0.1", folder.path().to_str().unwrap()] {
        assert!(!decoded.to_string().contains(private), "{private} is in {decoded}");
    }
    server.terminate();
}

#[test]
fn without_json_each_check_is_a_line_and_the_last_one_is_for_who_helps() {
    let folder = folder();
    fs::create_dir(folder.path().join("waxwing-data")).unwrap();
    fs::set_permissions(folder.path().join("waxwing-data"), fs::Permissions::from_mode(0o755)).unwrap();
    let printed = run(folder.path(), &["doctor", "--probe-url", "off", "--listen", "127.0.0.1:0"]);
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].starts_with("ok    version        Waxwing "), "{printed}");
    assert!(printed.contains("warn  data folder    ./waxwing-data is open to other users (mode 0755)\n"), "{printed}");
    assert!(printed.contains("                     → `chmod 700 ./waxwing-data`\n"), "{printed}");
    let [.., support, exit] = lines.as_slice() else { panic!("{printed}") };
    assert_eq!(*exit, "exit 0");
    let decoded = good_json(folder.path(), &["doctor", "--decode", support]);
    assert_eq!(decoded["checks"]["data folder"], json!({"level": "warn", "mode": "0755"}));
    assert!(run(folder.path(), &["doctor", "--decode", "eyJ2Ij"]).ends_with("exit 2\n"));
    assert!(run(folder.path(), &["doctor", "--probe-url", "http://example.com"]).ends_with("exit 2\n"));
}

#[test]
fn what_is_wrong_with_the_configuration_is_told_and_the_rest_is_looked_at_all_the_same() {
    let folder = folder();
    let mut command = asked(folder.path(), &["--probe-url", "off"]);
    command.env("WAXWING_ADMIN_KEY", "short").env("WAXWING_PAYLOAD_DAYS", "many");
    let (code, said) = doctor(&mut command);
    let found = check(&said, "configuration");
    assert_eq!((code, &found["level"], &found["facts"]["errors"]), (1, &json!("fail"), &json!(2)), "{said}");
    assert!(found["line"].as_str().unwrap().contains("WAXWING_PAYLOAD_DAYS"), "{found}");
    check(&said, "open files");
    let mut command = asked(folder.path(), &["--probe-url", "off"]);
    expect(command.env("WAXWING_PAYLOAD_DAY", "7"), "configuration", "warn", "did you mean WAXWING_PAYLOAD_DAYS?");
    assert!(!folder.path().join("waxwing-data").exists(), "nothing was made");

    let file = folder.path().join("waxwing.toml");
    let secrets = format!("s3_region = \"eu-1\"\nadmin_key = \"{0}\"\nsecret_key = \"{0}\"\n", "ab".repeat(32));
    fs::write(&file, secrets).unwrap();
    for (mode, level, text) in [
        (0o644, "warn", "waxwing.toml holds secret_key, admin_key, and every user can read it (mode 0644)"),
        (0o640, "ok", "4 of them set"),
    ] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        expect(&mut asked(folder.path(), &["--probe-url", "off"]), "configuration", level, text);
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let server = Server::start(folder.path(), &[]);
    let log = server.begun.clone() + &server.terminate().1;
    assert!(log.contains("every user can read it (mode 0644)"), "{log}");
    expect(&mut asked(folder.path(), &["--probe-url", "off"]), "secret key", "ok", "of waxwing.toml line 3, not in");
}

#[test]
fn what_is_wrong_with_the_data_folder_is_told() {
    let offline = ["--probe-url", "off"];
    let folder = folder();
    expect(&mut asked(folder.path(), &offline), "data folder", "ok", "the first start makes it");
    fs::write(folder.path().join("waxwing-data"), "").unwrap();
    expect(&mut asked(folder.path(), &offline), "data folder", "fail", "is no folder");
    let inside = [&offline[..], &["--data-dir", "waxwing-data/below"]].concat();
    expect(&mut asked(folder.path(), &inside), "data folder", "fail", "cannot be");

    let folder = stopped();
    let path = |name: &str| folder.path().join("waxwing-data").join(name);
    expect(&mut asked(folder.path(), &offline), "store", "ok", "closed");
    fs::set_permissions(path("secret-key"), fs::Permissions::from_mode(0o640)).unwrap();
    expect(&mut asked(folder.path(), &offline), "secret key", "fail", "mode 0640");
    let mut command = asked(folder.path(), &offline);
    expect(command.env("WAXWING_FREE_SPACE_RESERVE", "1000000000000000"), "disk", "fail", "new events are refused");

    fs::rename(path("secret-key"), path("elsewhere")).unwrap();
    expect(&mut asked(folder.path(), &offline), "store", "fail", "no secret key");
    fs::write(path("secret-key"), "ab".repeat(32)).unwrap();
    expect(&mut asked(folder.path(), &offline), "store", "fail", "not the one that this store was made with");
    fs::write(path("secret-key"), "half").unwrap();
    expect(&mut asked(folder.path(), &offline), "store", "fail", "does not hold a secret key");
    fs::rename(path("elsewhere"), path("secret-key")).unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(path("waxwing.redb")).unwrap();
    file.write_all(&[0; 512]).unwrap();
    expect(&mut asked(folder.path(), &offline), "store", "fail", "cannot be read");
}

#[test]
fn the_certificate_of_https_is_looked_at() {
    let (folder, issuer) = (folder(), Issuer::new());
    let now = OffsetDateTime::now_utc();
    let day = Duration::from_secs(24 * 60 * 60);
    let flags =
        ["--probe-url", "off", "--tls-cert", "cert.pem", "--tls-key", "key.pem", "--listen-https", "127.0.0.1:0"];
    let command = || asked(folder.path(), &flags);
    expect(&mut command(), "https certificate", "fail", "cert.pem cannot be read");
    for (begins, ends, level, text) in [
        (now - 90 * day, now - day, "fail", "ended at"),
        (now + day, now + 90 * day, "fail", "begins at"),
        (now - 80 * day, now + 13 * day, "warn", "ends at"),
        (now - day, now + 90 * day, "ok", "fits its key"),
    ] {
        let Pair { certificate, key } = issuer.pair_with(&["hooks.waxwing.test"], Some(Life { begins, ends }));
        fs::write(folder.path().join("cert.pem"), certificate).unwrap();
        fs::write(folder.path().join("key.pem"), key).unwrap();
        expect(&mut command(), "https certificate", level, text);
    }
    fs::write(folder.path().join("key.pem"), issuer.pair(&["a.test"]).key).unwrap();
    expect(&mut command(), "https certificate", "fail", "is not for the private key");
}

#[test]
fn certificates_that_acme_made_are_looked_at_for_each_domain() {
    let (folder, issuer) = (folder(), Issuer::new());
    let now = OffsetDateTime::now_utc();
    let day = Duration::from_secs(24 * 60 * 60);
    let (one, other) = ("hooks.waxwing.test", "other.waxwing.test");
    let kept = folder.path().join("waxwing-data/acme/acme-v02.api.letsencrypt.org-directory");
    fs::create_dir_all(&kept).unwrap();
    let keep = |domain: &str, ends: OffsetDateTime| {
        let Pair { certificate, key } = issuer.pair_with(&[domain], Some(Life { begins: now - 90 * day, ends }));
        fs::write(kept.join(format!("{domain}.pem")), key + "\n" + &certificate).unwrap();
    };
    let domains = ["--domain", one, "--domain", other, "--listen-https", "127.0.0.1:0", "--listen-http", "127.0.0.1:0"];
    let command = || asked(folder.path(), &[&["--probe-url", "off"], &domains[..]].concat());
    expect(&mut command(), "https certificate", "ok", "hooks.waxwing.test has none yet: a server orders it; other");
    keep(one, now + 60 * day);
    expect(&mut command(), "https certificate", "ok", "that of hooks.waxwing.test fits its key");
    keep(other, now + 13 * day);
    expect(&mut command(), "https certificate", "warn", "that of other.waxwing.test ends at");
    fs::write(kept.join(format!("{one}.failed")), r#"{"failures":3,"again_at":"2030-01-01T00:00:00Z"}"#).unwrap();
    keep(other, now + 60 * day);
    expect(&mut command(), "https certificate", "warn", "the last 3 orders failed, the next is made at 2030-01-01");
    keep(other, now - day);
    expect(&mut command(), "https certificate", "fail", "that of other.waxwing.test ended at");
    fs::write(kept.join(format!("{other}.pem")), "half").unwrap();
    expect(&mut command(), "https certificate", "warn", "other.waxwing.test.pem");
}

#[test]
fn a_store_that_was_not_closed_is_no_failure_and_stays_as_it_is() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]);
    server.signal("KILL");
    server.ended();
    let bytes = || fs::read(folder.path().join("waxwing-data/waxwing.redb")).unwrap();
    let before = bytes();
    expect(&mut asked(folder.path(), &["--probe-url", "off"]), "store", "ok", "it was not closed");
    assert!(before == bytes(), "the doctor changed the store");
}

#[test]
fn who_has_our_address_is_told_from_a_server_of_ours() {
    let folder = folder();
    let look = |address: &str, level: &str, text: &str| {
        let mut command = waxwing(folder.path());
        command.args(["doctor", "--json", "--probe-url", "off", "--listen", address]);
        expect(&mut command, "listen", level, text);
    };
    let stranger = plain_server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
    look(&stranger.to_string(), "fail", "something else listens");
    let unready = plain_server(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 38\r\nConnection: close\r\n\r\n\
         {\"errors\":[{\"code\":\"shutting_down\"}]} ",
    );
    look(&unready.to_string(), "fail", "takes no work (/readyz: 503)");
    look("192.0.2.1:8620", "fail", "this machine does not have that address");

    // The server that has the store listens elsewhere.
    let server = Server::start(folder.path(), &[]);
    expect(&mut asked(folder.path(), &["--probe-url", "off"]), "listen", "warn", "a process has the store open");
    server.terminate();
}

#[test]
fn too_few_open_files_are_told() {
    let folder = folder();
    let mut command = Command::new("sh");
    command.current_dir(folder.path());
    let binary = env!("CARGO_BIN_EXE_waxwing");
    command.args(["-c", &format!("ulimit -n 512; exec {binary} doctor --json --probe-url off --listen 127.0.0.1:0")]);
    expect(&mut command, "open files", "fail", "up to 512");
}

#[test]
fn the_way_out_fails_where_it_is_blocked_and_says_where() {
    let folder = folder();
    let ours = folder.path();
    let url = |port: u16| format!("https://localhost:{port}/");
    let probe = |url: &str, root: Option<&str>| {
        let mut command = asked(ours, &["--probe-url", url]);
        command.env_remove("SSL_CERT_FILE").envs(root.map(|root| ("SSL_CERT_FILE", root)));
        command
    };
    expect(&mut probe("https://nobody.invalid/", None), "names", "fail", "nobody.invalid cannot be found");

    let (_socket, closed) = rough::closed();
    expect(&mut probe(&url(closed.port()), None), "outgoing https", "fail", "cannot be reached");
    let plain = plain_server("HTTP/1.1 400 Bad Request\r\n\r\n");
    expect(&mut probe(&url(plain.port()), None), "outgoing https", "fail", "is not believed");

    // An hour of 2026 that is over.
    let old = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n";
    let (port, root) = https_server(ours, old);
    expect(&mut probe(&url(port), None), "outgoing https", "fail", "is not believed");
    expect(&mut probe(&url(port), Some(&root)), "outgoing https", "ok", "localhost answered 200");
    expect(&mut probe(&url(port), Some(&root)), "clock", "fail", "s ahead of what localhost says");
    let undated = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    let (port, root) = https_server(ours, undated);
    expect(&mut probe(&url(port), Some(&root)), "clock", "warn", "does not say what time it is");
    let (port, root) = https_server(ours, "220 mail.example\r\n");
    expect(&mut probe(&url(port), Some(&root)), "outgoing https", "fail", "gives no answer");
    let missing = ours.join("nowhere.pem");
    let mut command = probe("off", missing.to_str());
    expect(&mut command, "certificates", "warn", "cannot be read");
}
