//! The log as programs read it: JSON lines, with messages and fields that the documentation names.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use super::{PATIENCE, folder, waxwing};

const ADMIN_KEY: &str = "MARK-admin-key-0123456789-0123456789";

/// What a server says on its standard error stream between its start and its end, while it is asked.
fn lines_of(level: &str, requests: &[(&str, &str, &str)]) -> (Vec<Value>, Vec<String>) {
    let folder = folder();
    let mut command = waxwing(folder.path());
    command.args(["serve", "--listen", "127.0.0.1:0", "--dev"]);
    command.env("WAXWING_LOG", "json").env("WAXWING_LOG_LEVEL", level).env("WAXWING_ADMIN_KEY", ADMIN_KEY);
    let mut child = command.args(["--public-url", "https://hooks.example.com"]);
    child = child.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().expect("the binary was built with the tests");
    let said = BufReader::new(child.stdout.take().expect("it is piped"));
    let log = BufReader::new(child.stderr.take().expect("it is piped"));
    let read = std::thread::spawn(move || log.lines().map_while(Result::ok).collect::<Vec<String>>());
    let mut said = said.lines().map_while(Result::ok);
    let line = said.find(|line| line.contains("http://127.0.0.1:")).expect("it listens");
    let url = &line[line.find("http://").expect("it was just found")..];
    let url = url.split([' ', ')']).next().expect("a text").trim_end_matches('/').to_owned();
    // Whoever prints to nobody is not stopped by it.
    std::thread::spawn(move || said.for_each(drop));
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
    let agent: ureq::Agent = config.proxy(None).build().into();
    let mut ids = Vec::new();
    for (method, path, body) in requests {
        let request = http::Request::builder().method(*method).uri(format!("{url}{path}"));
        let request = request.header("authorization", format!("Bearer {ADMIN_KEY}"));
        let request = request.header("content-type", "application/json").body((*body).to_owned());
        let answer = agent.run(request.expect("the parts are valid")).expect("it answers");
        ids.push(answer.headers()["x-request-id"].to_str().expect("ASCII").to_owned());
    }
    let ended = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(ended.expect("kill is on every machine").success());
    child.wait().expect("it can be waited for");
    let lines = read.join().expect("it reads");
    let parsed = lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    (parsed.collect(), ids)
}

#[test]
fn every_line_is_json_and_a_request_is_told_by_its_operation_and_nothing_that_was_sent() {
    let requests = [
        ("GET", "/v1/events/evt_01h2xcejqtf2nbrexx3vqjhp41?token=MARK", ""),
        ("POST", "/v1/tenants", "{\"name\":\"MARK\"}"),
        ("HEAD", "/v1/event-types", ""),
        ("DELETE", "/v1/MARK", ""),
        ("GET", "/healthz", ""),
    ];
    let (lines, ids) = lines_of("warn,waxwing=info,waxwing::requests=debug", &requests);
    for line in &lines {
        for name in ["timestamp", "level", "target", "message"] {
            assert!(line[name].is_string(), "no {name} in {line}");
        }
        let at = line["timestamp"].as_str().unwrap();
        assert!(at.parse::<waxwing::domain::time::Timestamp>().is_ok(), "{at}");
    }
    let told = |message: &str| lines.iter().filter(|line| line["message"] == message).collect::<Vec<_>>();
    assert_eq!(told("everything is committed; ended").len(), 1);
    let asked = told("request");
    let shown: Vec<_> = ids
        .iter()
        .map(|id| {
            let line = asked.iter().find(|line| line["id"] == **id).unwrap_or_else(|| panic!("no {id} in {asked:?}"));
            assert!(line["duration_ms"].as_f64().is_some_and(|millis| millis >= 0.0), "{line}");
            assert_eq!((&line["target"], &line["level"]), (&"waxwing::requests".into(), &"DEBUG".into()));
            let word = |name: &str| line[name].as_str().expect("a word").to_owned();
            (word("method"), word("operation"), line["status"].as_u64().expect("a number"))
        })
        .collect();
    let expected = [
        ("GET", "events.get", 404),
        ("POST", "tenants.create", 201),
        ("HEAD", "event_types.list", 200),
        ("DELETE", "none", 404),
        ("GET", "health.live", 200),
    ];
    assert_eq!(shown, expected.map(|(method, operation, status)| (method.to_owned(), operation.to_owned(), status)));
    assert!(!lines.iter().any(|line| line.to_string().contains("MARK")), "{lines:?}");
    let (lines, _) = lines_of("warn,waxwing=info", &requests);
    assert!(!lines.iter().any(|line| line["message"] == "request"), "nobody asked for them: {lines:?}");
}

/// The text of each source file.
fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(path).expect("a source file is readable"));
        }
    }
}

/// The levels and the text of each call that says this.
fn calls<'s>(sources: &'s [String], message: &str) -> Vec<(String, &'s str)> {
    let quoted = format!("\"{message}\"");
    let mut found = Vec::new();
    for source in sources {
        for (at, _) in source.match_indices(&quoted) {
            let begins =
                ["error", "warn", "info", "debug"].map(|level| (source[..at].rfind(&format!("{level}!(")), level));
            if let Some((Some(begin), level)) = begins.into_iter().max() {
                found.push((level.to_uppercase(), &source[begin..at]));
            }
        }
    }
    found
}

#[test]
fn the_messages_that_the_documentation_names_are_said_with_the_fields_that_it_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/operations.md")).expect("it is there");
    let (_, table) =
        page.split_once("| message | level | fields |\n| --- | --- | --- |\n").expect("the table is there");
    let mut all = Vec::new();
    sources(&root.join("src"), &mut all);
    let rows: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 20, "{rows:?}");
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [message, level, fields] = cells.as_slice() else { panic!("{row}") };
        // What stands in brackets explains.
        let mut depth = 0;
        let bare = fields.chars().filter(|character| {
            depth += i32::from(*character == '(') - i32::from(*character == ')');
            depth == 0
        });
        let bare: String = bare.collect();
        let fields: Vec<&str> = bare.split('`').skip(1).step_by(2).collect();
        let calls = calls(&all, message.trim().trim_matches('`'));
        assert!(!calls.is_empty(), "nobody says {message}");
        for (said_at, call) in calls {
            assert!(level.trim().starts_with(&said_at), "{message} is said at {said_at}");
            for field in &fields {
                let is_word = |character: char| character.is_alphanumeric() || character == '_';
                assert!(
                    call.split(|character| !is_word(character)).any(|word| word == *field),
                    "{message}: no {field} in {call}"
                );
            }
        }
    }
}
