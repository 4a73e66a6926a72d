//! `waxwing secret-key rotate`: killed at every step, refused beside a running server, and with the key kept elsewhere.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{Server, folder, good, good_json, run, shown, waxwing};

const KEY: &str = "a-key-of-the-environment-0123456789";
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn start(folder: &Path, environment: &[(&str, &str)]) -> Server {
    let environment = [&[("WAXWING_ADMIN_KEY", KEY)][..], environment].concat();
    Server::start_with(folder, &["--management-rate", "off"], &environment)
}

/// A subscription with a secret and a header, an answer that shows one, and some hundred events.
fn fill(server: &Server) -> String {
    let post = |path: &str, body: Value| server.call("POST", path, KEY, &body.to_string());
    assert_eq!(post("/v1/event-types", json!({ "name": "order.paid" })).0, 201);
    let hook = json!({
        "url": "https://test-receiver.invalid/kept", "events": ["*"], "secret": SECRET, "headers": { "x-token": "kept" }
    });
    let (status, made) = post("/v1/webhook-subscriptions", hook);
    assert_eq!(status, 201, "{made}");
    let events: Vec<Value> = (0..300).map(|n| json!({ "type": "order.paid", "data": n })).collect();
    assert_eq!(post("/v1/events/batch", json!({ "events": events })).0, 200);
    made["data"]["id"].as_str().unwrap().to_owned()
}

/// What is delivered now is signed with the secret from before, and sent with the header from before.
fn still_signs(folder: &Path, environment: &[(&str, &str)], subscription: &str) {
    let server = start(folder, environment);
    let path = format!("/v1/webhook-subscriptions/{subscription}/test");
    let (status, tested) = server.call("POST", &path, KEY, "{}");
    assert_eq!(status, 200, "{tested}");
    let (_, came) = server.call("GET", "/v1/test-receiver/requests?filter[receiver]=kept", KEY, "");
    let request = &came["data"][0]["attributes"];
    let mut headers = http::HeaderMap::new();
    for pair in request["headers"].as_array().unwrap_or_else(|| panic!("{came}")) {
        let name = http::HeaderName::from_bytes(pair[0].as_str().unwrap().as_bytes()).unwrap();
        headers.insert(name, pair[1].as_str().unwrap().parse().unwrap());
    }
    assert!(headers.contains_key("x-token"), "{came}");
    let webhook = standardwebhooks::Webhook::new(SECRET).unwrap();
    webhook.verify(request["body"].as_str().unwrap().as_bytes(), &headers).expect("the secret is the one from before");
    assert_eq!(server.terminate().0, 0);
}

fn is_sound(folder: &Path) {
    assert_eq!(good_json(folder, &["check", "--json"])["findings"], json!([]));
}

#[test]
fn killed_after_any_line_that_it_prints_it_is_done_or_not_done() {
    let folder = folder();
    let folder = folder.path();
    let server = start(folder, &[]);
    let subscription = fill(&server);
    let running = run(folder, &["secret-key", "rotate"]);
    assert!(running.contains("stop it first") && running.ends_with("exit 2\n"), "{running}");
    assert_eq!(server.terminate().0, 0);

    let key_file = folder.join("waxwing-data/secret-key");
    let key = || std::fs::read_to_string(&key_file).unwrap();
    let mut keys = vec![key()];
    let (mut kills, mut ends) = (0, 0);
    loop {
        let mut rotating = waxwing(folder)
            .args(["secret-key", "rotate"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(rotating.stderr.take().unwrap()).lines();
        let last = (0..=kills).map_while(|_| lines.next()?.ok()).last().unwrap_or_default();
        // It may have ended by itself.
        _ = rotating.kill();
        let has_ended = rotating.wait().unwrap().success();
        is_sound(folder);
        if key() != keys[keys.len() - 1] {
            keys.push(key());
        }
        // On a busy machine one may end before it is killed: then another one is begun.
        ends += usize::from(has_ended);
        if (has_ended && kills > 1) || ends > 20 || kills > 200 {
            break;
        }
        if has_ended {
            continue;
        }
        assert!(!last.is_empty(), "it ended badly by itself");
        kills += 1;
    }
    println!("{kills} kills, {} keys", keys.len());
    // How many meet it alive is a matter of speed.
    assert!(kills > 1, "only {kills} kills");
    for left in ["secret-key.next", "waxwing.redb.next"] {
        assert!(!folder.join("waxwing-data").join(left).exists(), "{left}");
    }
    still_signs(folder, &[], &subscription);

    assert!(good(folder, &["secret-key", "rotate"]).contains("everything is encrypted under the new key"));
    let newest = key();
    for old in &keys {
        std::fs::write(&key_file, old).unwrap();
        let refused = run(folder, &["serve", "--listen", "127.0.0.1:0"]);
        assert!(refused.contains("the secret key is not the one") && refused.ends_with("exit 2\n"), "{refused}");
    }
    std::fs::remove_file(&key_file).unwrap();
    let refused = run(folder, &["secret-key", "rotate"]);
    assert!(refused.contains("no secret key") && refused.ends_with("exit 1\n"), "{refused}");
    std::fs::write(&key_file, newest).unwrap();
    still_signs(folder, &[], &subscription);
}

#[test]
fn a_key_that_is_kept_elsewhere_is_given_and_never_written() {
    let folder = folder();
    let folder = folder.path();
    let (old, new) = ("11".repeat(32), "22".repeat(32));
    let with_old = [("WAXWING_SECRET_KEY", old.as_str())];
    let server = start(folder, &with_old);
    let subscription = fill(&server);
    assert_eq!(server.terminate().0, 0);
    let rotate = |words: &[&str], given: &str| {
        let mut command = waxwing(folder);
        command.args(["secret-key", "rotate"]).args(words).envs(with_old);
        let given_file = folder.join("given");
        std::fs::File::create(&given_file).unwrap().write_all(given.as_bytes()).unwrap();
        shown(command.stdin(std::fs::File::open(given_file).unwrap()))
    };
    let refused = rotate(&[], "");
    assert!(refused.contains("give it with --new-key") && refused.ends_with("exit 2\n"), "{refused}");
    let refused = rotate(&["--new-key", "-"], "no key");
    assert!(refused.contains("64 hexadecimal characters") && refused.ends_with("exit 2\n"), "{refused}");
    let done = rotate(&["--new-key", "-"], &new);
    assert!(done.contains("start the server with the new key") && done.ends_with("exit 0\n"), "{done}");
    assert!(!done.contains(&new) && !done.contains(&old), "{done}");
    let again = rotate(&["--new-key", "-"], &new);
    assert!(again.contains("under the new key already") && again.ends_with("exit 0\n"), "{again}");
    assert!(!folder.join("waxwing-data/secret-key").exists());
    let mut serve = waxwing(folder);
    let refused = shown(serve.args(["serve", "--listen", "127.0.0.1:0"]).envs(with_old));
    assert!(refused.contains("the secret key is not the one"), "{refused}");
    still_signs(folder, &[("WAXWING_SECRET_KEY", &new)], &subscription);
}
