//! The programs that verify deliveries, each run where its language is on the machine: over a real delivery, and over
//! ones that must not be believed.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use waxwing::domain::profile::Profile;
use waxwing::domain::snippet::{Language, snippet};
use waxwing::domain::time::Timestamp;

use crate::support::binary::Start;
use crate::support::receiver::Receiver;

/// The committed programs in Rust, compiled with the tests.
#[expect(clippy::disallowed_methods, reason = "they are for programs without our clock")]
mod compiled {
    pub mod standard {
        include!("snippets/standard.rs");
    }
    pub mod mage {
        include!("snippets/mage.rs");
    }
    pub mod marea {
        include!("snippets/marea.rs");
    }
    pub mod agentmessage {
        include!("snippets/agentmessage.rs");
    }
}

/// How the programs in a language are run.
struct Runner {
    language: Language,
    /// What says whether the language is here.
    probe: &'static [&'static str],
    file: &'static str,
    driver: (&'static str, &'static str),
    /// Each of them, in the folder of both files; the last one reads the cases and prints a line for each.
    commands: &'static [&'static [&'static str]],
}

const RUNNERS: [Runner; 6] = [
    Runner {
        language: Language::Node,
        probe: &["node", "--version"],
        file: "verify.mjs",
        driver: (
            "main.mjs",
            r#"import { readFileSync } from "node:fs";
import { verify } from "./verify.mjs";
for (const line of readFileSync(0, "utf8").split("\n").filter((line) => line !== "")) {
  const [secret, body, ...rest] = line.split("\t");
  const headers = {};
  for (let i = 0; i < rest.length; i += 2) headers[rest[i]] = rest[i + 1];
  let verdict = "error";
  try { verdict = verify(Buffer.from(body, "base64"), headers, secret); } catch (error) { console.error(error.message); }
  console.log(verdict);
}
"#,
        ),
        commands: &[&["node", "main.mjs"]],
    },
    Runner {
        language: Language::Python,
        probe: &["python3", "--version"],
        file: "verify.py",
        driver: (
            "main.py",
            r#"import base64, sys
from verify import verify
for line in sys.stdin.read().splitlines():
    secret, body, *rest = line.split("\t")
    try:
        verdict = verify(base64.b64decode(body), dict(zip(rest[::2], rest[1::2])), secret)
    except ValueError as error:
        print(error, file=sys.stderr)
        verdict = "error"
    print(str(verdict).lower())
"#,
        ),
        commands: &[&["python3", "main.py"]],
    },
    Runner {
        language: Language::Java,
        probe: &["javac", "-version"],
        file: "Webhook.java",
        driver: (
            "Main.java",
            r#"import java.util.*;
public class Main {
    public static void main(String[] arguments) throws Exception {
        Scanner lines = new Scanner(System.in, "UTF-8");
        while (lines.hasNextLine()) {
            String[] parts = lines.nextLine().split("\t", -1);
            Map<String, String> headers = new HashMap<>();
            for (int i = 2; i < parts.length; i += 2) headers.put(parts[i], parts[i + 1]);
            String verdict = "error";
            try {
                verdict = "" + Webhook.verify(Base64.getDecoder().decode(parts[1]), headers::get, parts[0]);
            } catch (IllegalArgumentException error) {
                System.err.println(error.getMessage());
            }
            System.out.println(verdict);
        }
    }
}
"#,
        ),
        commands: &[&["javac", "Webhook.java", "Main.java"], &["java", "-cp", ".", "Main"]],
    },
    Runner {
        language: Language::Ruby,
        probe: &["ruby", "--version"],
        file: "verify.rb",
        driver: (
            "main.rb",
            r#"require_relative "verify"
STDIN.read.each_line(chomp: true) do |line|
  secret, body, *rest = line.split("\t", -1)
  begin
    verdict = verify(body.unpack1("m0"), rest.each_slice(2).to_h, secret)
  rescue ArgumentError => error
    warn error.message
    verdict = "error"
  end
  puts verdict
end
"#,
        ),
        commands: &[&["ruby", "main.rb"]],
    },
    Runner {
        language: Language::Php,
        probe: &["php", "--version"],
        file: "verify.php",
        driver: (
            "main.php",
            r#"<?php
require 'verify.php';
foreach (explode("\n", rtrim(stream_get_contents(STDIN), "\n")) as $line) {
    $parts = explode("\t", $line);
    $headers = [];
    for ($i = 2; $i < count($parts); $i += 2) {
        $headers[$parts[$i]] = $parts[$i + 1];
    }
    try {
        $verdict = verify(base64_decode($parts[1]), $headers, $parts[0]) ? 'true' : 'false';
    } catch (InvalidArgumentException $error) {
        $verdict = 'error';
    }
    echo $verdict, "\n";
}
"#,
        ),
        commands: &[&["php", "main.php"]],
    },
    Runner {
        language: Language::Go,
        probe: &["go", "version"],
        file: "webhook/webhook.go",
        driver: (
            "main.go",
            r#"package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"strings"

	"example.com/receiver/webhook"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		parts := strings.Split(lines.Text(), "\t")
		body, _ := base64.StdEncoding.DecodeString(parts[1])
		header := http.Header{}
		for i := 2; i < len(parts); i += 2 {
			header.Set(parts[i], parts[i+1])
		}
		fmt.Println(webhook.Verify(body, header, parts[0]))
	}
}
"#,
        ),
        commands: &[&["go", "mod", "init", "example.com/receiver"], &["go", "run", "."]],
    },
];

/// One delivery as a receiver meets it.
#[derive(Clone)]
struct Case {
    what: &'static str,
    secret: String,
    body: Vec<u8>,
    /// Names are lower-case.
    headers: Vec<(String, String)>,
    is_genuine: bool,
}

impl Case {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn line(&self) -> String {
        let mut parts = vec![self.secret.clone(), STANDARD.encode(&self.body)];
        parts.extend(self.headers.iter().flat_map(|(name, value)| [name.clone(), value.clone()]));
        parts.join("\t") + "\n"
    }
}

/// What the receivers of a profile know from its published page, written down apart from the code that sends.
struct Published {
    profile: Profile,
    /// Of the names of headers, when the tenant has no brand.
    brand: &'static str,
    /// In the profile's form, with the key that it stands for.
    other_secret: (&'static str, &'static [u8]),
}

const HEX: &str = "0707070707070707070707070707070707070707070707070707070707070707";
const PUBLISHED: [Published; 4] = [
    Published {
        profile: Profile::Standard,
        brand: "webhook-",
        other_secret: ("whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", &[7; 32]),
    },
    Published { profile: Profile::Mage, brand: "x-webhook-", other_secret: (HEX, HEX.as_bytes()) },
    Published { profile: Profile::Marea, brand: "x-marea-", other_secret: (HEX, &[7; 32]) },
    Published {
        profile: Profile::AgentMessage,
        brand: "x-amcore-",
        other_secret: ("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", &[7; 32]),
    },
];

impl Published {
    /// The headers of a delivery that is signed with `key`, `seconds` from now.
    fn signed(&self, brand: &str, key: &[u8], seconds: i64, body: &[u8]) -> Vec<(String, String)> {
        let now = i64::try_from(UNIX_EPOCH.elapsed().expect("it is after 1970").as_secs()).expect("it is before 2262");
        let at = now + seconds;
        let mac = |head: String| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key");
            mac.update(head.as_bytes());
            mac.update(body);
            mac.finalize().into_bytes()
        };
        let header = |name: &str, value: String| (format!("{brand}{name}"), value);
        match self.profile {
            Profile::Standard => vec![
                header("id", "msg_1".to_owned()),
                header("timestamp", at.to_string()),
                header("signature", format!("v1,{}", STANDARD.encode(mac(format!("msg_1.{at}."))))),
            ],
            Profile::Mage => {
                let at = Timestamp::from_millis(at * 1000).to_string();
                let signature = format!("sha256={}", hex::encode(mac(format!("{at}."))));
                vec![header("timestamp", at), header("signature", signature)]
            }
            Profile::Marea => {
                vec![header("signature", format!("t={at},v1={}", hex::encode(mac(format!("{at}.")))))]
            }
            Profile::AgentMessage => {
                vec![header("signature", format!("t={at},v1={}", hex::encode(mac(format!("{at}\n")))))]
            }
        }
    }

    /// Beside a real delivery, what a receiver may meet.
    fn cases(&self, brand: &str, real: Case) -> Vec<Case> {
        let (secret, key) = self.other_secret;
        let body = real.body.clone();
        let made = |what, seconds, is_genuine| Case {
            what,
            secret: secret.to_owned(),
            body: body.clone(),
            headers: self.signed(brand, key, seconds, &body),
            is_genuine,
        };
        let name = format!("{brand}signature");
        let with_signature = |what, is_genuine, change: &dyn Fn(&str) -> String| {
            let mut case = Case { what, is_genuine, ..real.clone() };
            let signature = case.headers.iter_mut().find(|(known, _)| *known == name).expect("it is signed");
            signature.1 = change(&signature.1);
            case
        };
        let flipped = |text: &str| {
            let at = text.len() - 5;
            let other = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
            format!("{}{other}{}", &text[..at], &text[at + 1..])
        };
        let mut cases = vec![
            real.clone(),
            Case { what: "a changed body", body: [&real.body[..], b" "].concat(), is_genuine: false, ..real.clone() },
            Case { what: "another secret", secret: secret.to_owned(), is_genuine: false, ..real.clone() },
            with_signature("a wrong signature", false, &flipped),
            with_signature("half a signature", false, &|text| text[..text.len() - 8].to_owned()),
            with_signature("a signature that is no ASCII", false, &|text| format!("{text}é")),
            with_signature("an empty signature", false, &|_| String::new()),
            Case { what: "no headers", headers: Vec::new(), is_genuine: false, ..real.clone() },
            made("one that is signed now", 0, true),
            made("one that is almost too old", -280, true),
            made("an old one", -320, false),
            made("one from the future", 320, false),
            Case {
                what: "an empty secret",
                secret: String::new(),
                headers: self.signed(brand, b"", 0, &real.body),
                is_genuine: false,
                ..real.clone()
            },
        ];
        if self.profile == Profile::Standard {
            let several = |text: &str| format!("v1,{} v1a,AAAA {text}", STANDARD.encode([0; 32]));
            cases.push(with_signature("several signatures", true, &several));
            let mut case = with_signature("another id", false, &str::to_owned);
            case.headers.iter_mut().filter(|(name, _)| name == "webhook-id").for_each(|(_, id)| id.push('x'));
            cases.push(case);
        }
        cases
    }
}

fn extension(language: Language) -> &'static str {
    match language {
        Language::Node => "mjs",
        Language::Python => "py",
        Language::Go => "go",
        Language::Ruby => "rb",
        Language::Php => "php",
        Language::Rust => "rs",
        Language::CSharp => "cs",
        Language::Java => "java",
    }
}

#[test]
fn the_committed_programs_are_what_the_templates_write() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/binary/snippets");
    for profile in Profile::ALL {
        for language in Language::ALL {
            let path = folder.join(format!("{}.{}", profile.name(), extension(language)));
            let written = snippet(language, profile, None);
            if std::env::var_os("WAXWING_BLESS").is_some() {
                std::fs::write(&path, &written).expect("the folder is writable");
            }
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(committed, written, "{} is stale: run this with WAXWING_BLESS=1, read the diff", path.display());
        }
    }
}

/// Whether this language's programs can be run here.
fn is_here(runner: &Runner) -> bool {
    let mut probe = Command::new(runner.probe[0]);
    probe.args(&runner.probe[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// What the program says of each case. They are made when all is compiled: some of them are too old a little later.
fn run(runner: &Runner, program: &str, cases: impl Fn() -> Vec<Case>) -> (Vec<Case>, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let (driver_file, driver) = runner.driver;
    for (file, text) in [(runner.file, program), (driver_file, driver)] {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
    let run = |command: &[&str], input: &str| {
        let mut child = Command::new(command[0])
            .args(&command[1..])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the language is here");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input.as_bytes()).expect("it reads its cases");
        drop(stdin);
        let output = child.wait_with_output().expect("it can be waited for");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {complaint}\n{program}");
        String::from_utf8(output.stdout).expect("it is text")
    };
    let (command, compilers) = runner.commands.split_last().expect("something runs it");
    for compiler in compilers {
        run(compiler, "");
    }
    let cases = cases();
    let input: String = cases.iter().map(Case::line).collect();
    let verdicts = run(command, &input).lines().map(str::to_owned).collect();
    (cases, verdicts)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_believes_real_deliveries_and_no_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut receiver = Receiver::start(|_| 200).await;
    let waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("order.paid").await;
    let (here, missing): (Vec<&Runner>, Vec<&Runner>) = RUNNERS.iter().partition(|runner| is_here(runner));
    for runner in &missing {
        // Past the test program's capture: whoever runs it has to see this.
        let name = runner.language.name();
        let _ =
            writeln!(std::io::stderr(), "SKIPPED: the verification programs in {name} were not run: it is not here");
    }
    let _ = writeln!(std::io::stderr(), "SKIPPED: the verification programs in csharp are compared as text, not run");
    assert!(here.iter().any(|runner| runner.language == Language::Node), "the other tests need Node.js too");

    for published in &PUBLISHED {
        let profile = published.profile.name();
        for (tenant, prefix) in [(profile.to_owned(), None), (format!("{profile}-branded"), Some("X-Acme-"))] {
            let body = json!({ "external_id": tenant, "name": "Shop", "profile": profile, "header_prefix": prefix });
            waxwing.api.post("/v1/tenants", body.to_string()).await.expect(201);
            let api = waxwing.api.clone().for_tenant(&tenant);
            let (id, secret) = api.subscribe(&receiver.url("/hook"), &["order.paid"]).await;
            api.post("/v1/events", r#"{"type":"order.paid","data":{ "café" : "€ 1.50" }}"#).await.expect(202);
            let received = receiver.next().await;
            let real = Case {
                what: "a real delivery",
                secret,
                body: received.body.to_vec(),
                headers: received
                    .headers
                    .iter()
                    .map(|(name, value)| (name.as_str().to_owned(), value.to_str().expect("ASCII").to_owned()))
                    .collect(),
                is_genuine: true,
            };
            let has_brand = prefix.is_some() && published.profile != Profile::Standard;
            let brand = if has_brand { "x-acme-" } else { published.brand };
            let cases = || published.cases(brand, real.clone());
            let answer = api.get(&format!("/v1/webhook-subscriptions/{id}/snippets")).await.expect(200).json();
            assert_eq!(answer["data"]["attributes"]["profile"], profile);
            let program = |language: Language| {
                let all = answer["data"]["attributes"]["snippets"].as_array().expect("a list");
                let found = all.iter().find(|one| one["language"] == language.name());
                found.expect("every language is there")["code"].as_str().expect("a text").to_owned()
            };
            for runner in &here {
                let program = program(runner.language);
                let (cases, verdicts) = run(runner, &program, cases);
                assert_eq!(verdicts.len(), cases.len(), "{} for {tenant}", runner.language.name());
                for (case, verdict) in cases.iter().zip(verdicts) {
                    let is_believed = verdict == "true";
                    let place = format!("{} for {tenant}: {}: {verdict}", runner.language.name(), case.what);
                    assert_eq!(is_believed, case.is_genuine, "{place}\n{program}");
                }
            }
            if !has_brand {
                check_rust(published.profile, &program(Language::Rust), &cases());
            }
        }
    }
}

/// The program that is shown is the one that was compiled.
fn check_rust(profile: Profile, shown: &str, cases: &[Case]) {
    assert_eq!(shown, snippet(Language::Rust, profile, None));
    for case in cases {
        let header = |name: &str| case.header(name);
        let verdict = match profile {
            Profile::Standard => compiled::standard::verify(&case.body, header, &case.secret),
            Profile::Mage => compiled::mage::verify(&case.body, header, &case.secret),
            Profile::Marea => compiled::marea::verify(&case.body, header, &case.secret),
            Profile::AgentMessage => compiled::agentmessage::verify(&case.body, header, &case.secret),
        };
        assert_eq!(verdict, case.is_genuine, "rust for {}: {}", profile.name(), case.what);
    }
}
