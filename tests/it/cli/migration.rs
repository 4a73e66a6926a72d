//! `waxwing import` and `waxwing export`, and the walkthrough of `docs/migration.md` as it stands there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::UNIX_EPOCH;

use expect_test::expect;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{PATIENCE, Server, good, run, shown, waxwing};

const SECRET: &str = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210";

/// A server in a folder of its own, which has no event types yet.
fn server(folder: &Path) -> Server {
    Server::start(folder, &["--management-rate", "off"])
}

/// Runs a command that talks to the server; it finds the key in the folder.
fn ask(folder: &Path, server: &Server, words: &[&str]) -> String {
    shown(waxwing(folder).args(words).env("WAXWING_URL", &server.url)).replace(&server.url, "<server>")
}

/// `whsub_01h…` → `whsub_…`
fn without_ids(text: &str) -> String {
    let mut parts = text.split("whsub_");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out += "whsub_…";
        out += part.trim_start_matches(|character: char| character.is_ascii_alphanumeric());
    }
    out
}

#[test]
fn refused_rows_are_told_with_their_place_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let url = "https://test-receiver.invalid";
    let rows = [
        "external_id,url,events,secret,profile,marea_id,tenant,is_active".to_owned(),
        format!("1,{url}/1,order.paid,{SECRET},marea,mk_we_0000000000000001,,"),
        format!("2,{url}/2,order.paid order.sent,{SECRET},mage,,,false"),
        format!("3,{url}/3,order.paid,{SECRET},standard,,,"),
        format!("4,{url}/4,order.paid,,marea,,,"),
        format!("5,https://10.0.0.1/5,order.paid,{SECRET},marea,,,"),
        format!("6,{url}/6,order.paid,{SECRET},marea,mk_we_0000000000000001,,"),
        format!("7,{url}/2,order.sent order.paid,{SECRET},mage,,,"),
        format!("8,{url}/8,\"order.*\",{SECRET},marea,,nobody,"),
        format!("9,{url}/9,order..paid,{SECRET},marea,,,"),
        format!("10,{url}/10,order.paid,{SECRET},marea,,,maybe"),
        format!("11,{url}/11,order.*,{SECRET},marea,,,"),
    ];
    std::fs::write(folder.path().join("rows.csv"), rows.join("\n")).unwrap();
    let import = |words: &[&str]| without_ids(&ask(folder.path(), &server, &[&["import", "rows.csv"], words].concat()));

    // Without the flag, the hint.
    let told = import(&["--dry-run"]);
    assert!(told.contains("line 2 (1): REFUSED: unknown_event_type at /events/0: There is no event type 'order.paid' (--create-event-types makes it)"), "{told}");

    let expected = expect![[r#"
        would make event type order.paid
        would make event type order.sent
        line 2 (1): would be made
        line 3 (2): would be made
        line 4 (3): REFUSED: invalid_secret at /secret: A secret of this profile is whsec_ followed by 24 to 64 bytes in base64
        line 5 (4): REFUSED: it has no secret: its receiver could verify nothing
        line 6 (5): REFUSED: url_blocked at /url: Deliveries to this address are allowed only where the operator of the server opens it
        line 7 (6): REFUSED: its marea_id belongs to the row in line 2, which has another url
        line 8 (7): is there already: the row in line 3
        line 9 (8): REFUSED: there is no tenant `nobody` (--create-tenants makes it)
        line 10 (9): REFUSED: unknown_event_type at /events/0: There is no event type 'order..paid'
        line 11: REFUSED: `is_active` is not true or false
        line 12 (11): would be made
        11 rows: 3 would be made, 1 there already, 7 refused; this was a dry run, and nothing was changed
        exit 1
    "#]];
    expected.assert_eq(&import(&["--create-event-types", "--dry-run"]));
    // Nothing was changed: the same again.
    expected.assert_eq(&import(&["--create-event-types", "--dry-run"]));

    expect![[r#"
        made event type order.paid
        made event type order.sent
        line 2 (1): made whsub_…
        line 3 (2): made whsub_…
        line 4 (3): REFUSED: invalid_secret at /secret: A secret of this profile is whsec_ followed by 24 to 64 bytes in base64
        line 5 (4): REFUSED: it has no secret: its receiver could verify nothing
        line 6 (5): REFUSED: url_blocked at /url: Deliveries to this address are allowed only where the operator of the server opens it
        line 7 (6): REFUSED: its marea_id belongs to whsub_…, which has another url
        line 8 (7): is there already: whsub_…
        line 9 (8): REFUSED: there is no tenant `nobody` (--create-tenants makes it)
        line 10 (9): REFUSED: unknown_event_type at /events/0: There is no event type 'order..paid'
        line 11: REFUSED: `is_active` is not true or false
        line 12 (11): made whsub_…
        11 rows: 3 made, 1 there already, 7 refused
        exit 1
    "#]]
    .assert_eq(&import(&["--create-event-types"]));

    // Again: nothing is there twice.
    let again = import(&["--create-event-types", "--json"]);
    let report: Value = serde_json::from_str(again.strip_suffix("exit 1\n").expect(&again)).unwrap();
    assert_eq!((&report["made"], &report["there_already"], &report["refused"]), (&json!(0), &json!(4), &json!(7)));
    assert_eq!(report["created"], json!([]));
    assert_eq!(report["rows"][0]["place"], "line 2");
    assert_eq!(report["rows"][0]["outcome"], "there_already");
    let exported = good_rows(&ask(folder.path(), &server, &["export"]));
    assert_eq!(exported.as_array().map(Vec::len), Some(3));
    assert_eq!(exported[1]["is_active"], false);
    assert!(exported.as_array().unwrap().iter().all(|row| row.get("secret").is_none()));
}

/// What `export` printed, without what it said on the other stream.
#[track_caller]
fn good_rows(printed: &str) -> Value {
    let end = printed.rfind(']').unwrap_or_else(|| panic!("{printed}"));
    assert!(printed.ends_with("exit 0\n"), "{printed}");
    serde_json::from_str(&printed[..=end]).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

#[test]
fn a_dry_run_counts_the_room_of_a_tenant_that_is_not_there_yet() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let rows: Vec<Value> = (1..=51)
        .map(|n| {
            let url = format!("https://test-receiver.invalid/{n}");
            json!({ "url": url, "events": ["*"], "secret": SECRET, "profile": "mage", "tenant": "acme" })
        })
        .collect();
    std::fs::write(folder.path().join("rows.json"), json!(rows).to_string()).unwrap();
    let last = |words: &[&str]| {
        let told = ask(folder.path(), &server, &[&["import", "rows.json", "--create-tenants"], words].concat());
        let lines: Vec<&str> = told.lines().collect();
        (lines[0].to_owned(), lines[lines.len() - 3..].join("\n"))
    };
    let (first, end) = last(&["--dry-run"]);
    assert_eq!(first, "would make tenant acme");
    expect![[r#"
        item 51: REFUSED: limit_exceeded: its tenant may have no more than 50 subscriptions
        51 rows: 50 would be made, 0 there already, 1 refused; this was a dry run, and nothing was changed
        exit 1"#]]
    .assert_eq(&end);
    let (first, end) = last(&[]);
    assert_eq!(first, "made tenant acme");
    expect![[r#"
        item 51: REFUSED: limit_exceeded: its tenant may have no more than 50 subscriptions
        51 rows: 50 made, 0 there already, 1 refused
        exit 1"#]]
    .assert_eq(&end);
}

/// Every column has a value in one of them.
fn full_rows() -> Value {
    json!([
        {
            "tenant": "acme", "url": "https://test-receiver.invalid/a?b=1,2", "events": ["order.paid", "order.*"],
            "secret": SECRET, "profile": "mage", "description": "The \"first\", of two", "is_active": false,
            "channels": ["shop:1", "shop:2"], "headers": { "x-token": "a, b; c" }, "metadata": { "crm": "17" },
            "marea_id": "mk_we_0123456789abcdef", "agentmessage_id": "018f2d0c-7a4c-7f3e-8f1f-3a2b9c1d2e0f",
            "envelope": "raw", "max_in_flight": 3, "timeout_seconds": 4, "rate_limit": 5, "retry_schedule": [6, 7],
            "ordering": "fifo", "circuit_breaker": true,
        },
        { "url": "https://test-receiver.invalid/b", "events": ["*"], "profile": "standard",
          "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD" },
        { "url": "https://test-receiver.invalid/b", "events": ["*"], "profile": "agentmessage", "channels": ["x"],
          "secret": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" },
    ])
}

#[test]
fn an_export_makes_the_same_subscriptions_with_the_same_secrets_and_ids_elsewhere() {
    let first = tempfile::tempdir().unwrap();
    let running = server(first.path());
    std::fs::write(first.path().join("rows.json"), full_rows().to_string()).unwrap();
    let told = ask(first.path(), &running, &["import", "rows.json", "--create-tenants", "--create-event-types"]);
    assert!(told.ends_with("3 rows: 3 made, 0 there already, 0 refused\nexit 0\n"), "{told}");
    // A running server shows no secret; without its store there is none to write.
    let listed = ask(first.path(), &running, &["export"]);
    assert!(listed.contains("1 of them have headers that are left out"), "{listed}");
    assert!(!listed.contains(SECRET) && !listed.contains("a, b; c") && !listed.contains("***"), "{listed}");
    assert!(ask(first.path(), &running, &["export", "--with-secrets"]).ends_with("exit 2\n"));
    let in_use = run(first.path(), &["export", "--data-dir", "waxwing-data"]);
    assert!(in_use.ends_with("exit 2\n") && in_use.contains("has the store"), "{in_use}");
    assert_eq!(running.terminate().0, 0);

    let export = |folder: &Path, format: &str, file: &str| {
        let words = ["export", "--with-secrets", "--data-dir", "waxwing-data", "--format", format, "--output", file];
        good(folder, &words);
        let mode = std::fs::metadata(folder.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "secrets are for the one who asked");
        std::fs::read_to_string(folder.join(file)).unwrap()
    };
    let rows = |text: &str| {
        let mut rows: Value = serde_json::from_str(text).unwrap();
        for row in rows.as_array_mut().unwrap() {
            // The id here, which is the server's own.
            row.as_object_mut().unwrap().remove("external_id").expect("it is named");
        }
        rows
    };
    let exported = rows(&export(first.path(), "json", "out.json"));
    let asked = full_rows();
    for row in asked.as_array().unwrap() {
        let is_same = |made: &&Value| made["secret"] == row["secret"];
        let made = exported.as_array().unwrap().iter().find(is_same).expect("it is there");
        for (name, value) in row.as_object().unwrap() {
            assert_eq!(&made[name], value, "{name}");
        }
    }
    assert_eq!(exported.as_array().map(Vec::len), Some(3));
    for format in ["json", "csv"] {
        let text = export(first.path(), format, "moved");
        let second = tempfile::tempdir().unwrap();
        std::fs::write(second.path().join("moved"), text).unwrap();
        let running = server(second.path());
        let words = ["import", "moved", "--create-tenants", "--create-event-types"];
        let told = ask(second.path(), &running, &words);
        assert!(told.ends_with("3 rows: 3 made, 0 there already, 0 refused\nexit 0\n"), "{told}");
        let told = ask(second.path(), &running, &words);
        assert!(told.ends_with("3 rows: 0 made, 3 there already, 0 refused\nexit 0\n"), "{told}");
        assert_eq!(running.terminate().0, 0);
        assert_eq!(rows(&export(second.path(), "json", "out.json")), exported, "{format}");
    }
}

#[test]
fn subscriptions_that_a_row_cannot_tell_are_left_out_of_an_export_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    // A tenant's own key has no use of the built-in receiver.
    let running = Server::start(folder.path(), &["--allow-http-targets", "--allow-target-range", "127.0.0.0/8"]);
    let key = std::fs::read_to_string(folder.path().join("waxwing-data/admin-key")).unwrap();
    let tenant = json!({ "name": "Acme", "external_id": "acme" }).to_string();
    assert_eq!(running.call("POST", "/v1/tenants", key.trim(), &tenant).0, 201);
    let restricted = json!({ "name": "shop", "preset": "subscriber", "tenant": "acme", "channels": ["shop:1"] });
    let (_, made) = running.call("POST", "/v1/api-keys", key.trim(), &restricted.to_string());
    let shop = made["data"]["attributes"]["secret"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    let body = json!({ "url": "http://127.0.0.1:9401/r", "events": ["*"] }).to_string();
    for key in [shop.as_str(), key.trim()] {
        let (status, answer) = running.call("POST", "/v1/webhook-subscriptions", key, &body);
        assert_eq!(status, 201, "{answer}");
    }
    let by_tenant = json!({ "url": "http://127.0.0.1:9401/t", "events": ["*"], "signing": "tenant" }).to_string();
    let (status, answer) = running.call("POST", "/v1/webhook-subscriptions", key.trim(), &by_tenant);
    assert_eq!(status, 201, "{answer}");
    let expected = "1 subscriptions\n\
        1 more belong to restricted API keys and are left out: their restriction has no column\n\
        1 more are left out, since their tenant's secret signs them: an import cannot set that one\nexit 1\n";
    let told = ask(folder.path(), &running, &["export"]);
    assert!(told.ends_with(expected), "{told}");
    assert_eq!(running.terminate().0, 0);
    let told = run(folder.path(), &["export", "--data-dir", "waxwing-data"]);
    assert!(told.ends_with(expected), "{told}");
}

/// A shop that was written for the home-made sender, years ago: it knows its secret, and how that sender signs.
struct Shop {
    port: u16,
    /// What it took in.
    taken: Receiver<String>,
}

impl Shop {
    fn open(secret: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it listens").port();
        let (sender, taken) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let sender = sender.clone();
                std::thread::spawn(move || {
                    let Some((headers, body)) = read_request(&mut BufReader::new(&stream)) else { return };
                    let is_mine = verifies(&headers, &body, secret);
                    let status = if is_mine { "200 OK" } else { "401 Unauthorized" };
                    let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    if is_mine {
                        let _ = sender.send(String::from_utf8_lossy(&body).into_owned());
                    }
                });
            }
        });
        Self { port, taken }
    }

    #[track_caller]
    fn next(&self) -> String {
        self.taken.recv_timeout(PATIENCE).expect("the shop takes a delivery")
    }
}

/// Names are lower-case.
type Headers = Vec<(String, String)>;

fn read_request(stream: &mut impl BufRead) -> Option<(Headers, Vec<u8>)> {
    let mut headers = Vec::new();
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    loop {
        line.clear();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((headers, body))
}

fn signature(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// The shop's own way: the hex of an HMAC over the header's time, a dot and the body.
fn verifies(headers: &[(String, String)], body: &[u8], secret: &str) -> bool {
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let (Some(given), Some(timestamp)) = (header("x-webhook-signature"), header("x-webhook-timestamp")) else {
        return false;
    };
    header("x-webhook-event").is_some() && given == signature(secret, timestamp, body)
}

/// What the home-made sender did, to the day of the move.
fn send_as_ever(shop: &Shop, secret: &str, body: &str) -> String {
    let seconds = UNIX_EPOCH.elapsed().expect("it is after 1970").as_secs();
    let timestamp = seconds.to_string();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", shop.port)).expect("the shop is open");
    let signature = signature(secret, &timestamp, body.as_bytes());
    let length = body.len();
    write!(
        stream,
        "POST /hooks HTTP/1.1\r\nhost: shop\r\nx-webhook-event: points.earned\r\nx-webhook-timestamp: {timestamp}\r\n\
         x-webhook-signature: {signature}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer.lines().next().unwrap_or_default().to_owned()
}

/// The blocks of a document between fences, with what stands behind the opening one.
fn blocks(document: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut parts = document.split("\n```");
    parts.next();
    while let (Some(block), Some(_)) = (parts.next(), parts.next()) {
        let (kind, text) = block.split_once('\n').expect("a fence ends its line");
        blocks.push((kind.to_owned(), text.to_owned() + "\n"));
    }
    blocks
}

const ANNA: &str = "030a11181f262d343b424950575e656c737a81888f969da4abb2b9c0c7ced5dc";
const BENO: &str = "1f262d343b424950575e656c737a81888f969da4abb2b9c0c7ced5dc030a1118";

#[test]
fn the_walkthrough_moves_receivers_that_do_not_notice() {
    let document = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migration.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let shops = [Shop::open(ANNA), Shop::open(BENO)];
    assert_eq!(send_as_ever(&shops[0], ANNA, "{}"), "HTTP/1.1 200 OK");
    assert_eq!(send_as_ever(&shops[0], BENO, "{}"), "HTTP/1.1 401 Unauthorized");
    assert_eq!(shops[0].next(), "{}");
    // The only thing that is not as it stands there: on which ports of this machine the shops are open.
    let document = document
        .replace("127.0.0.1:9401", &format!("127.0.0.1:{}", shops[0].port))
        .replace("127.0.0.1:9402", &format!("127.0.0.1:{}", shops[1].port));
    let mut running: Option<Server> = None;
    let mut printed = String::new();
    let mut commands = 0;
    for (kind, text) in blocks(&document) {
        match kind.as_str() {
            "csv" => std::fs::write(folder.path().join("subscriptions.csv"), text).unwrap(),
            "sh" if text.starts_with("waxwing serve") => {
                let words: Vec<&str> = text.split_whitespace().skip(2).collect();
                running = Some(Server::start(folder.path(), &words));
            }
            "sh" => {
                let url = &running.as_ref().expect("the document starts the server first").url;
                printed = sh(folder.path(), url, &text);
                commands += 1;
            }
            "text" => assert_eq!(without_ids(&printed), text, "the document shows what is printed"),
            other => panic!("the document has a block of `{other}`"),
        }
    }
    assert!(commands >= 4, "the commands were found");
    // Each got its own, in the form that it knows.
    let (anna, beno): (Value, Value) =
        (serde_json::from_str(&shops[0].next()).unwrap(), serde_json::from_str(&shops[1].next()).unwrap());
    assert_eq!(anna["event"], "points.earned");
    assert_eq!(anna["shop"], "anna");
    assert_eq!(anna["data"], json!({ "customer": "6789", "points": 50 }));
    assert_eq!(beno["shop"], "beno");
    assert_eq!(running.expect("it was started").terminate().0, 0);
    assert!(shops.iter().all(|shop| shop.taken.try_recv().is_err()), "nothing came twice");
}

/// Runs a block of the document; it must end well.
#[track_caller]
fn sh(folder: &Path, url: &str, script: &str) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_waxwing")).parent().expect("it lies in a folder");
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    command.args(["-e", "-c", script]).current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WAXWING_")) {
        command.env_remove(name);
    }
    let printed = shown(command.env("PATH", path).env("WAXWING_URL", url));
    printed.strip_suffix("exit 0\n").unwrap_or_else(|| panic!("{script}: {printed}")).to_owned()
}
