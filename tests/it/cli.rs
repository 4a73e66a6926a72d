//! The command line, as a person or a script meets it: the real binary, its exit codes and what it prints.

mod doctor;
mod log;
mod migration;
mod quiet_log;
mod secret_key;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use expect_test::expect;
use serde_json::Value;

/// Longer than anything here takes, short enough that a hung test ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command in a folder of its own, without the environment of whoever runs the tests.
fn waxwing(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
    command.current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WAXWING_")) {
        command.env_remove(name);
    }
    command
}

/// Runs `words` and shows the exit code with everything printed.
fn run(folder: &Path, words: &[&str]) -> String {
    shown(waxwing(folder).args(words))
}

fn shown(command: &mut Command) -> String {
    let output = command.output().expect("the binary was built with the tests");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}exit {}\n", text(&output.stdout), text(&output.stderr), output.status.code().unwrap_or(-1))
}

/// What it printed when it ended well.
#[track_caller]
fn good(folder: &Path, words: &[&str]) -> String {
    let printed = run(folder, words);
    printed.strip_suffix("exit 0\n").unwrap_or_else(|| panic!("{words:?}: {printed}")).to_owned()
}

#[track_caller]
fn good_json(folder: &Path, words: &[&str]) -> Value {
    let printed = good(folder, words);
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

/// A running server, with the lines that it printed on both streams.
struct Server {
    child: Child,
    lines: Receiver<String>,
    url: String,
    /// What it printed until it listened.
    begun: String,
}

impl Server {
    /// On a free port of this machine, with `flags` besides.
    fn start(folder: &Path, flags: &[&str]) -> Self {
        Self::start_with(folder, flags, &[])
    }

    fn start_with(folder: &Path, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = waxwing(folder);
        Self::run(command.args(["serve", "--listen", "127.0.0.1:0"]).args(flags).envs(environment.iter().copied()))
    }

    fn run(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the binary was built with the tests");
        let (sender, lines) = channel();
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().expect("it is piped")), Box::new(child.stderr.take().expect("it is piped"))];
        for stream in streams {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    _ = sender.send(line);
                }
            });
        }
        let mut server = Self { child, lines, url: String::new(), begun: String::new() };
        let (seen, line) = server.lines_to("http://127.0.0.1:");
        server.begun = seen + &line + "\n";
        let from = line.find("http://127.0.0.1:").expect("it was just found");
        server.url = line[from..].split([' ', '/', ')']).take(3).collect::<Vec<_>>().join("/");
        server
    }

    /// The next line that holds `text`.
    #[track_caller]
    fn line_with(&self, text: &str) -> String {
        self.lines_to(text).1
    }

    /// … and those before it.
    #[track_caller]
    fn lines_to(&self, text: &str) -> (String, String) {
        let mut seen = String::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no `{text}` in:\n{seen}"));
            if line.contains(text) {
                return (seen, line);
            }
            seen += &line;
            seen.push('\n');
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill is on every machine").success());
    }

    /// Waits for the end; its exit code and the lines that were not read yet.
    fn ended(mut self) -> (i32, String) {
        let rest: String = std::iter::from_fn(|| self.lines.recv_timeout(PATIENCE).ok())
            .fold(String::new(), |all, line| all + &line + "\n");
        (self.child.wait().expect("it can be waited for").code().unwrap_or(-1), rest)
    }

    fn terminate(self) -> (i32, String) {
        self.signal("TERM");
        self.ended()
    }

    /// An answer's status and body.
    #[track_caller]
    fn call(&self, method: &str, path: &str, key: &str, body: &str) -> (u16, Value) {
        self.try_call(method, path, key, body).expect("it answers")
    }

    /// None when the connection was cut.
    fn try_call(&self, method: &str, path: &str, key: &str, body: &str) -> Option<(u16, Value)> {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        let agent: ureq::Agent = config.proxy(None).build().into();
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("authorization", key)
            .header("content-type", "application/json")
            .body(body.to_owned())
            .expect("the parts are valid");
        let mut answer = agent.run(request).ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        Some((answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A failed test leaves no server behind; one that ended already cannot be killed, which is fine.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder can be made")
}

fn admin_key(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("waxwing-data/admin-key")).expect("the file is there").trim().to_owned()
}

#[test]
fn every_command_explains_itself_and_a_typo_is_a_usage_error() {
    let folder = folder();
    for words in
        [&["help", "serve"][..], &["send", "--help"], &["verify", "--help"], &["keys", "create", "--help"], &["-V"]]
    {
        good(folder.path(), words);
    }
    for command in [
        "serve",
        "send",
        "listen",
        "verify",
        "keys",
        "users",
        "setup-link",
        "config",
        "health",
        "check",
        "compact",
        "doctor",
        "secret-key",
        "openapi",
        "completions",
        "man",
    ] {
        assert!(good(folder.path(), &["help", command]).contains("Examples:"), "{command}");
    }
    for words in [&["serv"][..], &["serve", "--listn", "x"], &[], &["send"], &["serve", "--listen", "nowhere"]] {
        assert!(run(folder.path(), words).ends_with("exit 2\n"), "{words:?}");
    }
}

#[test]
fn config_shows_where_each_value_comes_from() {
    let folder = folder();
    std::fs::write(folder.path().join("waxwing.toml"), "listen = \"127.0.0.1:1\"\nmanagement_rate = \"off\"\n")
        .unwrap();
    let mut command = waxwing(folder.path());
    command.args(["config", "--publish-rate", "7"]).env("WAXWING_LISTEN", "127.0.0.1:2");
    command.env("WAXWING_ADMIN_KEY", "a-secret-of-thirty-two-characters");
    expect![[r#"
        data_dir                ./waxwing-data                                  default
        listen                  127.0.0.1:2                                     WAXWING_LISTEN
        dev                     false                                           default
        allow_http_targets      false                                           default
        allow_target_range      none                                            default
        allow_target_host       none                                            default
        allow_metadata_targets  false                                           default
        allow_target_port       none                                            default
        refuse_target_port      none                                            default
        nat64_prefix            none                                            default
        public_url              none                                            default
        management_rate         off                                             waxwing.toml line 2
        publish_rate            7                                               --publish-rate
        trusted_proxies         none                                            default
        language                en                                              default
        compat                  marea,agentmessage                              default
        domain                  none                                            default
        tls_cert                none                                            default
        tls_key                 none                                            default
        listen_https            off                                             default
        listen_http             off                                             default
        acme_directory          https://acme-v02.api.letsencrypt.org/directory  default
        acme_contact            none                                            default
        acme_ca_root            none                                            default
        secret_key              not set                                         default
        admin_key               set                                             WAXWING_ADMIN_KEY
        payload_days            30                                              default
        metadata_days           90                                              default
        free_space_reserve      max(256 MiB, 2 %)                               default
        backup_to               <data_dir>/backups                              default
        backup_passphrase       not set                                         default
        s3_endpoint             Amazon's                                        default
        s3_region               us-east-1                                       default
        s3_access_key_id        the role of the machine                         default
        s3_secret_access_key    not set                                         default
        otlp_endpoint           not set                                         default
        log                     pretty                                          default
        log_level               warn,waxwing=info                               default
        exit 0
    "#]]
    .assert_eq(&shown(&mut command));
    let json = good_json(folder.path(), &["config", "--json", "--dev"]);
    assert_eq!(
        json["management_rate"],
        serde_json::json!({"value": "off", "origin": "file", "set_by": "waxwing.toml line 2"})
    );
    assert_eq!(json["allow_http_targets"], serde_json::json!({"value": true, "origin": "dev"}));
}

#[test]
fn the_example_of_a_configuration_can_be_put_where_it_is_read() {
    let folder = folder();
    let example = good(folder.path(), &["config", "--example"]);
    assert!(example.contains("\n#listen = \"127.0.0.1:8620\"\n"), "{example}");
    let before = good(folder.path(), &["config"]);
    std::fs::write(folder.path().join("waxwing.toml"), example).unwrap();
    assert_eq!(good(folder.path(), &["config"]), before);
}

#[test]
fn health_is_good_while_a_server_takes_work_and_only_then() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]);
    let url = server.url.clone();
    assert_eq!(run(folder.path(), &["health", "--url", &url]), format!("{url}/ takes work\nexit 0\n"));
    assert_eq!(server.terminate().0, 0);
    let gone = run(folder.path(), &["health", "--url", &url, "--json"]);
    assert!(gone.contains("\"is_ready\": false") && gone.ends_with("exit 1\n"), "{gone}");
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let folder = folder();
    let help = good(folder.path(), &["help"]);
    let from = help.find("Commands:\n").expect("it lists them") + "Commands:\n".len();
    let commands: Vec<&str> = help[from..]
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().expect("the line is not empty"))
        .collect();
    assert!(commands.len() > 12, "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = good(folder.path(), &["completions", shell]);
        for command in &commands {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    assert!(run(folder.path(), &["completions", "cmd"]).ends_with("exit 2\n"));

    let page = good(folder.path(), &["man"]);
    assert!(page.contains(".TH waxwing 1") && page.contains(r"waxwing\-serve(1)"), "{page}");
    good(folder.path(), &["man", "--write", "pages"]);
    for command in commands.iter().filter(|command| **command != "help") {
        let page = std::fs::read_to_string(folder.path().join(format!("pages/waxwing-{command}.1")));
        assert!(page.unwrap_or_else(|error| panic!("{command}: {error}")).contains("SYNOPSIS"), "{command}");
    }
    assert!(folder.path().join("pages/waxwing-keys-create.1").exists());
}

#[test]
fn a_server_that_finds_no_room_to_begin_with_says_what_to_change() {
    let folder = folder();
    let mut command = waxwing(folder.path());
    let said = shown(command.arg("serve").env("WAXWING_FREE_SPACE_RESERVE", "1000000000000000"));
    for part in ["there is no room to begin with", "953674316 MiB are kept in reserve", "WAXWING_FREE_SPACE_RESERVE"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(said.ends_with("exit 2\n"), "{said}");
    // With less in reserve it begins where it was refused.
    assert_eq!(Server::start(folder.path(), &[]).terminate().0, 0);
    admin_key(folder.path());
}

#[test]
fn a_server_does_not_start_with_a_configuration_that_means_nothing() {
    let folder = folder();
    std::fs::write(folder.path().join("waxwing.toml"), "listn = \"127.0.0.1:1\"\n").unwrap();
    let mut command = waxwing(folder.path());
    command.arg("serve").env("WAXWING_ADMIN_KEY", "short");
    expect![[r#"
        error: the configuration cannot be used:
          waxwing.toml line 1: `listn` is not a setting; did you mean `listen`?
          WAXWING_ADMIN_KEY: has 5 characters; 32 to 128 are wanted. `openssl rand -hex 32` makes a good one
        exit 2
    "#]]
    .assert_eq(&shown(&mut command));
    assert!(!folder.path().join("waxwing-data").exists(), "nothing was made");
}

#[test]
fn verify_believes_what_another_library_signed_and_nothing_else() {
    let folder = folder();
    let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let body = r#"{"type":"order.paid","data":{"total":1.10}}"#;
    let now = std::time::UNIX_EPOCH.elapsed().expect("it is after 1970").as_secs() as i64;
    let signature = standardwebhooks::Webhook::new(secret).unwrap().sign("evt_1", now, body.as_bytes()).unwrap();
    let headers =
        format!("POST /hook HTTP/1.1\nWebhook-Id: evt_1\nWebhook-Timestamp: {now}\nWebhook-Signature: {signature}\n");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("headers"), headers).unwrap();
    std::fs::write(path("secret"), format!("{secret}\n")).unwrap();
    std::fs::write(path("body"), body).unwrap();
    std::fs::write(path("edited"), format!("{body}\n")).unwrap();
    let verify = |body: &str, more: &[&str]| {
        run(folder.path(), &[&["verify", "--secret", "@secret", "--headers", "headers", "--body", body], more].concat())
    };
    expect![[r#"
        verified ✓ the signature fits these headers and this body of 43 bytes
        exit 0
    "#]]
    .assert_eq(&verify("body", &[]));
    expect![[r#"
        not verified: no signature fits: it was made with another secret, or the body or the timestamp was changed on its way
          it fits without the line end at the end of the body: an editor or `echo` added it
        exit 1
    "#]]
    .assert_eq(&verify("edited", &[]));
    expect![[r#"
        {
          "hint": null,
          "profile": "standard",
          "reason": "the header `webhook-id` is missing",
          "verified": false
        }
        exit 1
    "#]]
    .assert_eq(&run(folder.path(), &["verify", "--secret", "@secret", "--body", "body", "--json"]));
    expect![[r#"
        error: --secret: a secret of profile mage is 64 lower-case hexadecimal characters
        exit 2
    "#]]
    .assert_eq(&verify("body", &["--profile", "mage"]));
    let as_curl = ["verify", "--secret", "@secret", "--headers", "@headers", "--body", "@body"];
    assert_eq!(run(folder.path(), &as_curl), verify("body", &[]));
    assert!(verify("nowhere", &[]).ends_with("exit 2\n"));
}

#[test]
fn verify_believes_by_a_public_key_what_another_library_signed() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use ring::signature::{Ed25519KeyPair, KeyPair};
    let folder = folder();
    let [pair, other] = [1, 2].map(|byte| Ed25519KeyPair::from_seed_unchecked(&[byte; 32]).unwrap());
    let [public, of_other] = [&pair, &other].map(|pair| format!("whpk_{}", STANDARD.encode(pair.public_key())));
    let signature = STANDARD.encode(pair.sign(b"evt_1.1771416000.{}"));
    let path = |name: &str| folder.path().join(name);
    let headers =
        format!("webhook-id: evt_1\nwebhook-timestamp: 1771416000\nwebhook-signature: v1,AAAA v1a,{signature}\n");
    std::fs::write(path("headers"), headers).unwrap();
    std::fs::write(path("body"), "{}").unwrap();
    let verify = |more: &[&str]| {
        let common = ["verify", "--headers", "headers", "--body", "body"];
        run(folder.path(), &[&common[..], more].concat())
    };
    expect![[r#"
        verified ✓ the signature fits these headers and this body of 2 bytes
        exit 0
    "#]]
    .assert_eq(&verify(&["--public-key", &public, "--tolerance", "off"]));
    expect![[r#"
        not verified: no signature fits: it was made with another secret, or the body or the timestamp was changed on its way
        exit 1
    "#]].assert_eq(&verify(&["--public-key", &of_other, "--tolerance", "off"]));
    expect![[r#"
        error: --public-key: the profile marea signs with a secret only
        exit 2
    "#]]
    .assert_eq(&verify(&["--public-key", &public, "--profile", "marea"]));
    for wrong in [&["--public-key", "whpk_AAAA"][..], &["--public-key", &public, "--secret", "whsec_AAAA"], &[]] {
        let refused = verify(wrong);
        assert!(refused.ends_with("exit 2\n"), "{refused}");
    }
    assert!(verify(&["--public-key", &public]).contains("s old; 300 s are tolerated"), "the age counts here, too");
}

#[test]
fn verify_knows_the_published_answer_of_marea_also_under_another_brand() {
    let folder = folder();
    let body = r#"{"type":"order.paid","eventId":"3c90c3cc-0d44-4b50-8888-8dd25736052a","timestamp":"2026-05-12T19:00:00.000Z","apiVersion":"2026-05-12","data":{"orderId":"ord_1","storefrontId":"sf_1","merchantUid":"uid_1","paidAt":"2026-05-12T18:59:58.000Z","totalAmount":123.5,"currency":"MXN"}}"#;
    let signature = "t=1778612400,v1=761bda7418a8a415cef8b8d09dadf2cb821f9f378b855017ea80700d0ec25b99";
    std::fs::write(folder.path().join("body"), body).unwrap();
    let verify = |header: &str, more: &[&str]| {
        let secret = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210";
        let line = format!("{header}: {signature}");
        let own = [
            "verify",
            "--profile",
            "marea",
            "--secret",
            secret,
            "--body",
            "body",
            "--tolerance",
            "off",
            "--header",
            &line,
        ];
        run(folder.path(), &[&own[..], more].concat())
    };
    expect![[r#"
        verified ✓ the signature fits these headers and this body of 279 bytes
        exit 0
    "#]]
    .assert_eq(&verify("X-Marea-Signature", &[]));
    expect![[r#"
        verified ✓ the signature fits these headers and this body of 279 bytes
        exit 0
    "#]]
    .assert_eq(&verify("X-Acme-Signature", &["--header-prefix", "X-Acme-"]));
    expect![[r#"
        not verified: the header `x-marea-signature` is missing
        exit 1
    "#]]
    .assert_eq(&verify("X-Acme-Signature", &[]));
    assert!(verify("X-Acme-Signature", &["--header-prefix", "X-Acme"]).ends_with("exit 2\n"));
}

#[test]
fn the_first_start_leaves_one_key_that_only_its_owner_can_read() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]);
    let place = server.line_with("admin-key");
    assert!(place.contains("waxwing-data/admin-key"), "{place}");
    let path = folder.path().join("waxwing-data/admin-key");
    let key = admin_key(folder.path());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(server.call("GET", "/v1/api-keys", &key, "").0, 200);
    assert_eq!(server.terminate().0, 0);

    let server = Server::start(folder.path(), &[]);
    assert_eq!(admin_key(folder.path()), key, "a restart makes no other one");
    let keys = good_json(folder.path(), &["keys", "list", "--json", "--url", &server.url]);
    assert_eq!(keys.as_array().unwrap().len(), 1);
    server.terminate();
}

#[test]
fn an_admin_key_of_the_environment_ends_with_it() {
    let folder = folder();
    let key = "a-key-of-the-environment-0123456789";
    let server = Server::start_with(folder.path(), &[], &[("WAXWING_ADMIN_KEY", key)]);
    assert!(!folder.path().join("waxwing-data/admin-key").exists());
    assert_eq!(server.call("GET", "/v1/tenants", key, "").0, 200);
    server.terminate();
    let server = Server::start_with(folder.path(), &[], &[("WAXWING_ADMIN_KEY", &key.replace("0", "9"))]);
    assert_eq!(server.call("GET", "/v1/tenants", key, "").0, 401);
    server.terminate();
}

#[test]
fn keys_are_made_and_ended_on_a_running_server_and_on_a_stopped_one() {
    let folder = folder();
    let server = Server::start(folder.path(), &["--management-rate", "off"]);
    let on_it = |words: &[&str]| {
        [words, &["--url", &server.url, "--json"]].concat().iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()
    };
    let ask = |words: &[&str]| {
        let words = on_it(words);
        good_json(folder.path(), &words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let made = ask(&["keys", "create", "--name", "shop", "--preset", "read_only"]);
    let (id, text) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert_eq!(server.call("GET", "/v1/tenants", text, "").0, 200);
    ask(&["keys", "revoke", id]);
    assert_eq!(server.call("GET", "/v1/tenants", text, "").0, 401);

    let busy = run(folder.path(), &["keys", "list", "--data-dir", "waxwing-data"]);
    assert!(busy.contains("leave --data-dir out") && busy.ends_with("exit 2\n"), "{busy}");
    assert_eq!(server.terminate().0, 0);

    let stopped = ["--data-dir", "waxwing-data", "--json"];
    let made = good_json(
        folder.path(),
        &[&["keys", "create", "--name", "rescue", "--preset", "full_access"][..], &stopped].concat(),
    );
    let listed = good_json(folder.path(), &[&["keys", "list"][..], &stopped].concat());
    assert_eq!(listed.as_array().unwrap().last().unwrap()["name"], "rescue");
    let server = Server::start(folder.path(), &[]);
    assert_eq!(server.call("GET", "/v1/tenants", made["secret"].as_str().unwrap(), "").0, 200);
    server.terminate();
    good(folder.path(), &[&["keys", "revoke", made["id"].as_str().unwrap()][..], &stopped].concat());
    let again = run(folder.path(), &[&["keys", "revoke", made["id"].as_str().unwrap()][..], &stopped].concat());
    assert!(again.ends_with("exit 1\n"), "{again}");
    let check = good_json(folder.path(), &["check", "--json"]);
    assert!(check["file_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{check}");
    assert_eq!(check["findings"], serde_json::json!([]));
}

#[test]
fn space_is_given_back_by_a_running_server_and_in_the_store_of_a_stopped_one() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]);
    let is_done = |ended: &Value| {
        let has = |name: &str| ended[name].as_u64().is_some_and(|bytes| bytes > 0);
        has("bytes_before") && has("bytes_after")
    };
    let ended = good_json(folder.path(), &["compact", "--json", "--url", &server.url]);
    assert!(is_done(&ended), "{ended}");
    let on_stopped = ["compact", "--json", "--data-dir", "waxwing-data"];
    let busy = run(folder.path(), &on_stopped);
    assert!(busy.contains("leave --data-dir out") && busy.ends_with("exit 2\n"), "{busy}");
    assert_eq!(server.terminate().0, 0);
    let ended = good_json(folder.path(), &on_stopped);
    assert!(is_done(&ended), "{ended}");
    assert_eq!(good_json(folder.path(), &["check", "--json"])["findings"], serde_json::json!([]));
}

#[test]
fn a_key_of_any_kind_is_made_restricted_or_imported_on_a_running_server_and_on_a_stopped_one() {
    const IMPORTED: [&str; 2] = ["sk_live_51Hx8vK2eZvKYlo2C", "sk_live_62Iy9wL3fAwLZmp3D"];
    let folder = folder();
    let server = Server::start(folder.path(), &["--management-rate", "off"]);
    let admin = admin_key(folder.path());
    assert_eq!(server.call("POST", "/v1/tenants", &admin, r#"{"name":"Acme","external_id":"acme"}"#).0, 201);
    assert_eq!(server.call("POST", "/v1/event-types", &admin, r#"{"name":"order.paid"}"#).0, 201);
    let url = server.url.clone();
    let mut server = Some(server);
    for (place, imported) in [(["--url", url.as_str()], IMPORTED[0]), (["--data-dir", "waxwing-data"], IMPORTED[1])] {
        if place[0] == "--data-dir" {
            let running = server.take().expect("it is stopped once");
            assert_eq!(running.terminate().0, 0);
        }
        std::fs::write(folder.path().join("key.txt"), format!("{imported}\n")).unwrap();
        for (words, prefix, expected) in [
            ("--preset subscriber", "ww_", r#"native subscriber [] []"#),
            (
                "--preset subscriber --tenant acme --allowed-event order.* --allowed-event order.paid --channel shop:1",
                "ww_",
                r#"native subscriber ["order.*","order.paid"] ["shop:1"]"#,
            ),
            (
                "--tenant acme --kind agentmessage --scope webhooks:read --scope webhooks:write",
                "am_live_",
                "agentmessage subscriptions:read,subscriptions:write,deliveries:read,deliveries:write [] []",
            ),
            (
                "--tenant acme --kind marea_user --scope developer:webhooks --channel sf:1",
                "mk_user_",
                r#"marea_user subscriptions:read,subscriptions:write,deliveries:read ["order.*"] ["sf:1"]"#,
            ),
            ("--preset read_only --import key.txt", "", "native read_only [] []"),
        ] {
            let words: Vec<&str> = words.split(' ').collect();
            let made = [&["keys", "create", "--name", "k", "--json"][..], &words, &place].concat();
            let made = good_json(folder.path(), &made);
            let text = |name: &str| made[name].as_str().unwrap_or_default();
            let shown = format!("{} {} {} {}", text("kind"), text("may"), made["allowed_events"], made["channels"]);
            assert_eq!(shown, expected, "{words:?}");
            let is_imported = words.contains(&"--import");
            assert_eq!(made["secret"].is_null(), is_imported, "{made}");
            assert!(text("secret").starts_with(prefix), "{made}");
        }
        for (words, expected) in [
            ("--kind native", "--preset <preset>|--scope <scope>"),
            ("--preset subscriber --scope events:read", "cannot be used with"),
            ("--preset subscriber --channel shop:1", "bound to a tenant: give --tenant"),
            ("--preset subscriber --tenant acme --kind marea_user", "exactly one"),
            ("--preset subscriber --tenant acme --allowed-event order.lost", "there is no event type"),
            ("--scope webhooks:read", "of the kind native it is one of subscriptions:read"),
            ("--preset subscriber --import key.txt", "with this text already"),
            ("--preset subscriber --import key.txt --kind agentmessage", "begins with am_live_"),
            ("--preset subscriber --management-rate 0", "1 to 1000000, or off"),
            ("--preset subscriber --kind native_", "it is one of native, marea_developer"),
        ] {
            let words: Vec<&str> = words.split(' ').collect();
            let refused = run(folder.path(), &[&["keys", "create", "--name", "k"][..], &words, &place].concat());
            assert!(
                refused.to_lowercase().contains(expected) && !refused.ends_with("exit 0\n"),
                "{words:?}: {refused}"
            );
        }
    }
    let limited = ["keys", "create", "--name", "slow", "--preset", "read_only", "--management-rate", "1"];
    let slow = good_json(folder.path(), &[&limited[..], &["--data-dir", "waxwing-data", "--json"]].concat());
    let server = Server::start(folder.path(), &["--management-rate", "off"]);
    for key in IMPORTED {
        assert_eq!(server.call("GET", "/v1/tenants", key, "").0, 200);
    }
    let statuses = (0..20).map(|_| server.call("GET", "/v1/tenants", slow["secret"].as_str().unwrap(), "").0);
    assert!(statuses.collect::<Vec<_>>().contains(&429), "one call a second is the quota");
    let listed = good_json(folder.path(), &["keys", "list", "--json", "--url", &server.url]);
    let restricted = listed.as_array().unwrap().iter().filter(|key| key["channels"][0] == "shop:1").count();
    assert_eq!(restricted, 2);
    server.terminate();
}

#[test]
fn the_first_user_follows_the_printed_link_and_a_lost_password_is_chosen_anew() {
    let folder = folder();
    let start = || Server::start(folder.path(), &["--management-rate", "off"]);
    let follow = |server: &Server, link: &str, password: &str, email: Option<&str>| {
        let (base, token) = link.trim().split_once("/#/setup/").expect("it leads to the setup");
        assert!(base.starts_with("http://127.0.0.1:"), "{link}");
        let mut body = serde_json::json!({ "token": token, "password": password });
        if let Some(email) = email {
            body["email"] = email.into();
        }
        server.call("POST", "/v1/setup", "", &body.to_string()).0
    };
    let server = start();
    let printed = server.line_with("/#/setup/");
    let first = printed[printed.find("http://").unwrap()..].to_owned();
    // A newer link takes its place.
    let newer = good_json(folder.path(), &["setup-link", "--json", "--url", &server.url]);
    let newer = newer["invitation_url"].as_str().unwrap().to_owned();
    assert!(newer.starts_with(&server.url), "{newer}");
    assert_eq!(follow(&server, &first, "correct horse", Some("ann@example.com")), 401);
    assert_eq!(follow(&server, &newer, "correct horse", Some("ann@example.com")), 201);
    let sign_in = |server: &Server, password: &str| {
        let body = serde_json::json!({ "email": "ann@example.com", "password": password });
        server.call("POST", "/v1/sessions", "", &body.to_string()).0
    };
    let reset =
        good_json(folder.path(), &["users", "reset-password", "Ann@example.com", "--json", "--url", &server.url]);
    assert_eq!(follow(&server, reset["invitation_url"].as_str().unwrap(), "battery staple", None), 201);
    assert_eq!((sign_in(&server, "correct horse"), sign_in(&server, "battery staple")), (401, 201));
    let done = run(folder.path(), &["setup-link", "--url", &server.url]);
    assert!(done.contains("invalid_state") && done.ends_with("exit 1\n"), "{done}");
    assert_eq!(server.terminate().0, 0);

    let stopped = ["--data-dir", "waxwing-data"];
    let listed = good_json(folder.path(), &[&["users", "list", "--json"][..], &stopped].concat());
    assert_eq!((&listed[0]["email"], &listed[0]["role"]), (&"ann@example.com".into(), &"owner".into()));
    assert!(run(folder.path(), &[&["setup-link"][..], &stopped].concat()).contains("there is a user already"));
    let unknown = run(folder.path(), &[&["users", "reset-password", "bob@example.com"][..], &stopped].concat());
    assert!(unknown.contains("there is no user bob@example.com") && unknown.ends_with("exit 1\n"), "{unknown}");
    let reset = run(folder.path(), &[&["users", "reset-password", "ann@example.com"][..], &stopped].concat());
    let link = reset.lines().next().unwrap().to_owned();
    let server = start();
    assert_eq!(follow(&server, &link, "once more a password", None), 201);
    // With a user there is nothing to set up.
    assert!(!server.terminate().1.contains("/#/setup/"));
    assert_eq!(good_json(folder.path(), &["check", "--json"])["findings"], serde_json::json!([]));
}

#[test]
fn links_begin_with_the_public_url_and_nobody_changes_it_elsewhere() {
    let folder = folder();
    let server = Server::start(folder.path(), &["--public-url", "https://Hooks.example/waxwing/"]);
    let base = "https://hooks.example/waxwing";
    let printed = server.line_with("/#/setup/");
    assert!(printed.contains(&format!("{base}/#/setup/")), "{printed}");
    let newer = good_json(folder.path(), &["setup-link", "--json", "--url", &server.url]);
    assert!(newer["invitation_url"].as_str().unwrap().starts_with(&format!("{base}/#/setup/")), "{newer}");
    let key = admin_key(folder.path());
    let (status, settings) = server.call("GET", "/v1/settings", &key, "");
    assert_eq!(status, 200);
    let all = settings["data"].as_array().unwrap();
    let found = &all.iter().find(|setting| setting["id"] == "console.url").unwrap()["attributes"];
    assert_eq!((&found["value"], &found["origin"]), (&base.into(), &"flag".into()));
    let other = r#"{"console.url":"https://other.example"}"#;
    assert_eq!(server.call("PATCH", "/v1/settings", &key, other).0, 409);
    let target = r#"{"url":"https://hooks.example/x","events":["*"]}"#;
    let refused = server.call("POST", "/v1/webhook-subscriptions", &key, target);
    assert_eq!(refused.0, 400, "{}", refused.1);
    server.terminate();
}

#[test]
fn a_server_tells_errors_in_its_own_language_and_the_command_line_asks_for_english() {
    let folder = folder();
    let server = Server::start(folder.path(), &["--language", "es"]);
    let (status, body) = server.call("GET", "/v1/nothing", "", "");
    assert_eq!((status, body["errors"][0]["detail"].as_str()), (404, Some("No hay nada en esta ruta")));
    let refused = run(folder.path(), &["send", "order.lost", "--data", "{}", "--url", &server.url]);
    let expected = "unknown_event_type at /type: There is no event type 'order.lost'\nexit 1\n";
    assert!(refused.ends_with(expected), "{refused}");
    server.terminate();
}

#[test]
fn a_server_says_why_it_cannot_have_the_port_or_the_store() {
    let (folder, other) = (folder(), folder());
    let server = Server::start(folder.path(), &[]);
    let address = server.url.strip_prefix("http://").unwrap();
    let refused = run(other.path(), &["serve", "--listen", address]);
    assert!(refused.contains("something else listens there") && refused.contains("--listen"), "{refused}");
    assert!(refused.ends_with("exit 2\n") && !other.path().join("waxwing-data").exists(), "{refused}");
    let refused = run(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert!(refused.contains("another process has the store") && refused.ends_with("exit 2\n"), "{refused}");
    server.terminate();

    std::fs::rename(folder.path().join("waxwing-data/secret-key"), folder.path().join("elsewhere")).unwrap();
    let refused = run(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert!(refused.contains("secret-key") && refused.ends_with("exit 2\n"), "{refused}");
    assert!(!folder.path().join("waxwing-data/secret-key").exists(), "no new key is made");
}

#[test]
fn dev_shows_the_first_signed_delivery_and_those_that_follow() {
    let folder = folder();
    let server = Server::start(folder.path(), &["--dev"]);
    let key = admin_key(folder.path());
    server.line_with(&key);
    server.line_with("POST https://test-receiver.invalid/demo");
    server.line_with("webhook-signature: v1,");
    server.line_with(r#"{"type":"order.paid","timestamp":""#);
    server.line_with("signature verified ✓");
    server.line_with("curl ");
    let data = r#"{"order":"7","total":"1.00","currency":"EUR"}"#;
    let sent = good(folder.path(), &["send", "order.paid", "--data", data, "--url", &server.url]);
    let id = sent.split("  ").next().unwrap();
    assert!(sent.ends_with("  order.paid  1 delivery\n"), "{sent}");
    let line = server.line_with(id);
    assert!(line.contains("signature verified ✓"), "{line}");
    // A receiver on the developer's own machine is allowed.
    let body = r#"{"url":"http://127.0.0.1:3000/webhooks","events":["order.*"]}"#;
    assert_eq!(server.call("POST", "/v1/webhook-subscriptions", &key, body).0, 201);
    assert_eq!(server.terminate().0, 0);

    let server = Server::start(folder.path(), &["--dev"]);
    server.line_with(&key);
    server.line_with("signature verified ✓");
    let (_, tenants) = server.call("GET", "/v1/tenants", &key, "");
    let names: Vec<&str> = tenants["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|tenant| tenant["attributes"]["external_id"].as_str())
        .collect();
    assert_eq!(names, ["acme"], "the samples are made once");
    server.terminate();
}

/// A dev server with one attempt under way: the receiver has the request and did not answer yet.
fn with_an_attempt_under_way(folder: &Path, receiver: &TcpListener) -> (Server, String, TcpStream) {
    let flags = ["--allow-http-targets", "--allow-target-range", "127.0.0.0/8", "--management-rate", "off"];
    let server = Server::start(folder, &flags);
    let key = admin_key(folder);
    let url = format!("http://{}/hook", receiver.local_addr().unwrap());
    assert_eq!(server.call("POST", "/v1/event-types", &key, r#"{"name":"order.paid"}"#).0, 201);
    let body = serde_json::json!({"url": url, "events": ["*"], "timeout_seconds": 30}).to_string();
    assert_eq!(server.call("POST", "/v1/webhook-subscriptions", &key, &body).0, 201);
    assert_eq!(server.call("POST", "/v1/events", &key, r#"{"type":"order.paid","data":{}}"#).0, 202);
    let (mut stream, _) = receiver.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(br#""data":{}}"#) {
        let mut buffer = [0; 1024];
        let n = stream.read(&mut buffer).unwrap();
        assert!(n > 0, "the request was cut off");
        seen.extend_from_slice(&buffer[..n]);
    }
    (server, key, stream)
}

#[test]
fn a_stopping_server_refuses_new_work_and_finishes_what_is_under_way() {
    let folder = folder();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let (server, key, mut stream) = with_an_attempt_under_way(folder.path(), &receiver);
    server.signal("TERM");
    let waiting = server.line_with("waiting for 1 attempt");
    assert!(waiting.contains("at most 30 s"), "{waiting}");
    let (status, answer) = server.call("POST", "/v1/events", &key, r#"{"type":"order.paid","data":{}}"#);
    assert_eq!((status, &answer["errors"][0]["code"]), (503, &Value::from("shutting_down")));
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    let (code, _) = server.ended();
    assert_eq!(code, 0);

    let server = Server::start(folder.path(), &[]);
    let (_, deliveries) = server.call("GET", "/v1/deliveries", &key, "");
    let deliveries = deliveries["data"].as_array().unwrap();
    let states: Vec<&Value> = deliveries.iter().map(|delivery| &delivery["attributes"]["state"]).collect();
    assert_eq!(states, ["succeeded"]);
    server.terminate();
}

#[test]
fn a_second_signal_ends_at_once() {
    let folder = folder();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let (server, _, _stream) = with_an_attempt_under_way(folder.path(), &receiver);
    server.signal("TERM");
    server.line_with("waiting for 1 attempt");
    server.signal("INT");
    let (code, _) = server.ended();
    assert_eq!(code, 1);
}

/// A file that may not grow stands for a disk that is full in spite of the reserve.
#[test]
fn after_a_failed_commit_everything_answered_is_there_and_work_goes_on() {
    let folder = folder();
    // The signal is ignored, so that the write fails and the process lives.
    let script = "trap '' XFSZ; ulimit -S -f 2048; exec \"$0\" \"$@\"";
    let mut command = waxwing(folder.path());
    let binary = command.get_program().to_owned();
    let mut limited = Command::new("bash");
    limited.current_dir(folder.path()).args(["-c", script]).arg(&binary);
    limited.args(["serve", "--listen", "127.0.0.1:0", "--management-rate", "off", "--publish-rate", "off"]);
    limited.env_remove("WAXWING_ADMIN_KEY");
    let server = Server::run(&mut limited);
    let key = admin_key(folder.path());
    assert_eq!(server.call("POST", "/v1/event-types", &key, r#"{"name":"a.b"}"#).0, 201);
    let body = format!(r#"{{"type":"a.b","data":"{}"}}"#, "x".repeat(100_000));
    let mut kept = Vec::new();
    let mut publish = || {
        let answer = server.try_call("POST", "/v1/events", &key, &body);
        let is_kept = matches!(&answer, Some((202, _)));
        if let Some((202, event)) = answer {
            kept.push(event["data"]["id"].as_str().expect("an id").to_owned());
        }
        is_kept
    };
    assert!((0..100).any(|_| !publish()), "the file grew without end");
    server.line_with("a commit failed");
    let pid = server.child.id().try_into().expect("a process id is small");
    let unlimited = (rlimit::INFINITY, rlimit::INFINITY);
    rlimit::prlimit(pid, rlimit::Resource::FSIZE, Some(unlimited), None).expect("a soft limit can be lifted");
    server.line_with("work goes on");
    let deadline = std::time::Instant::now() + PATIENCE;
    while !publish() {
        assert!(std::time::Instant::now() < deadline, "it did not go on");
    }
    assert!(kept.len() > 2, "{kept:?}");
    for event in &kept {
        assert_eq!(server.call("GET", &format!("/v1/events/{event}"), &key, "").0, 200, "{event}");
    }
    assert_eq!(server.terminate().0, 0);
    assert_eq!(shown(command.arg("check")).lines().last(), Some("exit 0"));
}

#[test]
fn openapi_writes_the_documents_that_it_prints() {
    let folder = folder();
    let printed = good_json(folder.path(), &["openapi"]);
    assert_eq!(printed["openapi"], "3.1.0");
    let all = "openapi/openapi.json\nopenapi/marea.json\nopenapi/agentmessage.json\n";
    assert_eq!(good(folder.path(), &["openapi", "--write"]), all);
    let written = |path: &str| {
        let text = std::fs::read_to_string(folder.path().join(path)).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()
    };
    assert_eq!(written("openapi/openapi.json"), printed);
    let of_marea = good_json(folder.path(), &["openapi", "--contract", "marea"]);
    assert_eq!(written("openapi/marea.json"), of_marea);
    assert!(of_marea["paths"]["/v1/webhook_endpoints"].is_object());
    assert_eq!(good(folder.path(), &["openapi", "--contract", "marea", "--write", "own"]), "own/marea.json\n");
    assert!(run(folder.path(), &["openapi", "--contract", "mage"]).contains("give marea or agentmessage"));
}

#[test]
fn a_server_that_is_not_there_is_no_mystery() {
    let folder = folder();
    let (_closed, free) = crate::support::rough::closed();
    let printed =
        run(folder.path(), &["send", "a.b", "--data", "{}", "--key", "k", "--url", &format!("http://{free}")]);
    assert!(printed.contains("is `waxwing serve` running?") && printed.ends_with("exit 1\n"), "{printed}");
    let printed = run(folder.path(), &["send", "a.b", "--data", "{}"]);
    assert!(printed.contains("--key or WAXWING_API_KEY") && printed.ends_with("exit 2\n"), "{printed}");
    let printed = run(folder.path(), &["check"]);
    assert!(printed.contains("there is no store") && printed.ends_with("exit 2\n"), "{printed}");
}
