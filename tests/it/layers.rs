//! The layers of `docs/architecture.md`, read from the source: which part may name which, and which crate.
//!
//! A part is a module directly below the crate's root. What stands in tests is not looked at.

use std::fs;
use std::path::{Path, PathBuf};

/// Each part, and the parts that it may name.
const PARTS: [(&str, &[&str]); 14] = [
    ("main", &["cli"]),
    ("cli", &["app", "config", "http", "backups", "dispatch", "net", "store", "clock", "domain"]),
    ("app", &["config", "http", "backups", "mail", "traces", "dispatch", "net", "store", "clock", "domain"]),
    ("http", &["backups", "mail", "dispatch", "net", "store", "clock", "measure", "domain"]),
    ("mail", &["net", "store", "clock", "domain"]),
    ("traces", &["dispatch", "net", "store", "domain"]),
    ("backups", &["store", "clock", "domain"]),
    ("dispatch", &["net", "store", "clock", "measure", "domain"]),
    ("net", &["clock", "domain"]),
    ("store", &["clock", "measure", "domain"]),
    ("config", &["domain"]),
    ("clock", &["domain"]),
    ("measure", &[]),
    ("domain", &[]),
];

/// Names that only some parts may use: crates, and what reaches for the world outside.
const KEPT_TO: [(&str, &[&str]); 30] = [
    ("redb", &["store"]),
    ("postcard", &["store"]),
    ("poem", &["http"]),
    ("poem_openapi", &["http"]),
    ("governor", &["http"]),
    ("rust_embed", &["http"]),
    ("fluent_bundle", &["http"]),
    ("fluent_syntax", &["http"]),
    ("hyper", &["http", "net"]),
    ("hyper_util", &["http", "net"]),
    ("hickory_resolver", &["net"]),
    ("rustls", &["http", "net"]),
    ("tokio_rustls", &["http", "net"]),
    ("instant_acme", &["http"]),
    ("x509_parser", &["http"]),
    ("rustls_native_certs", &["net"]),
    ("webpki_roots", &["net"]),
    // Backups go where the operator says.
    ("object_store", &["backups"]),
    ("lettre", &["mail"]),
    ("lz4_flex", &["store"]),
    // The command line's own client talks to the operator's server.
    ("ureq", &["cli"]),
    ("clap", &["cli", "config"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("tracing_subscriber", &["app", "config"]),
    ("rlimit", &["app"]),
    ("sd_notify", &["app"]),
    ("toml", &["config"]),
    ("tokio", &["cli", "app", "http", "backups", "mail", "traces", "dispatch", "net", "store"]),
    ("tracing", &["app", "http", "backups", "mail", "traces", "dispatch", "net", "store"]),
];

/// Files that decide and do not act: what they may not name besides.
const DECIDING: [(&str, &[&str]); 3] = [
    ("src/domain/", &["tokio", "clock", "now", "fs", "env", "TcpStream", "rng", "SysRng", "OsRng", "ThreadRng"]),
    ("src/dispatch/dispatcher.rs", &["tokio", "clock", "net", "now", "rng", "SysRng", "OsRng", "ThreadRng"]),
    ("src/dispatch/lane.rs", &["tokio", "clock", "net", "now", "rng", "SysRng", "OsRng", "ThreadRng"]),
];

#[test]
fn every_part_names_only_what_the_architecture_allows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    assert!(files.len() > 20, "the sources were found");
    let mut broken = Vec::new();
    for file in files {
        let path =
            file.strip_prefix(root).expect("it lies below the root").to_str().expect("paths are UTF-8").to_owned();
        broken.extend(judge(&path, &fs::read_to_string(&file).expect("a source file is readable")));
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn a_forbidden_name_is_found_however_it_is_written() {
    for (path, line, expected) in [
        ("src/domain/a.rs", "use crate::store::Store;", "domain may not name store"),
        ("src/domain/a.rs", "use crate::clock::Clock;", "domain may not name clock"),
        ("src/domain/a.rs", "let now = std::time::SystemTime::now();", "src/domain/ may not name now"),
        ("src/domain/a.rs", "let secret = Secret::generate(&mut rand::rng());", "src/domain/ may not name rng"),
        ("src/domain/profile/a.rs", "use super::super::super::store;", "domain may not name store"),
        ("src/store/mod.rs", "use super::{clock::Clock, http::{problem, Api}};", "store may not name http"),
        (
            "src/store/a.rs",
            "use crate::{\n    clock::Clock,\n    dispatch::{Dispatch, Figures},\n};",
            "store may not name dispatch",
        ),
        ("src/store/a.rs", "fn a(api: &crate::http::Api) {}", "store may not name http"),
        ("src/http/a.rs", "use redb::Database;", "http may not name redb"),
        ("src/http/a.rs", "fn a(d: redb::Database) {}", "http may not name redb"),
        ("src/http/a.rs", "pub use crate::app::serve;", "http may not name app"),
        ("src/net/a.rs", "use crate::store::Store;", "net may not name store"),
        ("src/dispatch/lane.rs", "use tokio::time::Instant;", "src/dispatch/lane.rs may not name tokio"),
        ("src/dispatch/worker.rs", "use hyper_util as h;", "dispatch may not name hyper_util"),
        ("src/app.rs", "use poem::Server;", "app may not name poem"),
        ("src/app/a.rs", "use crate::cli::run;", "app may not name cli"),
        ("src/main.rs", "waxwing::store::Store::open(options);", "main may not name store"),
        ("src/surprise.rs", "", "surprise is no part that the table knows"),
    ] {
        let broken = judge(path, line);
        assert!(broken.iter().any(|found| found.contains(expected)), "{path}: {line}: {broken:?}");
    }
}

#[test]
fn an_allowed_name_is_left_alone() {
    for (path, line) in [
        ("src/domain/a.rs", "use super::id::EventId; use rand::{Rng, RngExt};"),
        ("src/domain/a.rs", "// The writer of crate::store and redb::Database."),
        ("src/domain/a.rs", r#"let text = "use crate::store::Store; tokio::spawn";"#),
        ("src/domain/profile/a.rs", "use super::super::secret::Secret;"),
        ("src/domain/a.rs", "struct Clock; #[cfg(test)]\nmod tests {\n    use crate::store::Store;\n}"),
        ("src/domain/a.rs", "let clock = 5; self.net::<u8>();"),
        ("src/http/a.rs", "use crate::store::{Store, StoreError}; use poem::Route;"),
        ("src/store/a.rs", "use super::{Store, schema}; use redb::Database;"),
        ("src/app.rs", "use crate::{http, net};\nlet api = http::Api { store };"),
        ("src/main.rs", "waxwing::cli::run(std::env::args_os())"),
        ("src/lib.rs", "pub mod store;"),
    ] {
        assert_eq!(judge(path, line), [] as [String; 0], "{path}: {line}");
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the source folder is readable") {
        let path = entry.expect("its entries are too").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "tests" {
            collect(&path, files);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            files.push(path);
        }
    }
}

/// What a file names and may not.
fn judge(path: &str, source: &str) -> Vec<String> {
    let modules: Vec<&str> =
        path.trim_start_matches("src/").trim_end_matches(".rs").split('/').filter(|name| *name != "mod").collect();
    let part = modules[0];
    if part == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = PARTS.iter().find(|(known, _)| *known == part) else {
        return vec![format!("{path}: {part} is no part that the table knows")];
    };
    let paths = paths_in(source, modules.len());
    let mut broken: Vec<String> = Vec::new();
    let mut refuse = |who: &str, what: &str| broken.push(format!("{path}: {who} may not name {what}"));
    for named in &paths {
        if let [root, first, ..] = named.as_slice()
            && root == "crate"
            && first != part
            && PARTS.iter().any(|(known, _)| known == first)
            && !allowed.contains(&first.as_str())
        {
            refuse(part, first);
        }
        if let Some((crate_name, parts)) = KEPT_TO.iter().find(|(crate_name, _)| named[0] == *crate_name)
            && !parts.contains(&part)
        {
            refuse(part, crate_name);
        }
        for (place, names) in DECIDING.iter().filter(|(place, _)| path.starts_with(place)) {
            for name in names.iter().filter(|name| named.len() > 1 && named.iter().any(|segment| segment == *name)) {
                refuse(place, name);
            }
        }
    }
    broken.sort();
    broken.dedup();
    broken
}

/// Every path in the source, as segments, braces expanded. `super` that climbs out of the part (a file lies `depth`
/// modules deep) and the crate's own name become `crate`.
fn paths_in(source: &str, depth: usize) -> Vec<Vec<String>> {
    let tokens = tokens(source);
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let begins = is_name(&tokens[at]) && (at == 0 || !matches!(tokens[at - 1].as_str(), "::" | "."));
        let follows_use = at > 0 && tokens[at - 1] == "use";
        if begins && (follows_use || tokens.get(at + 1).is_some_and(|next| next == "::")) {
            at = expand(&tokens, at, &[], &mut paths);
        } else {
            at += 1;
        }
    }
    for path in &mut paths {
        let climbs = path.iter().take_while(|segment| *segment == "super").count();
        if climbs > 0 && climbs >= depth {
            path.splice(..climbs, ["crate".to_owned()]);
        } else if path[0] == "waxwing" {
            path[0] = "crate".to_owned();
        }
    }
    paths
}

/// Reads one path or use tree that begins at a token; answers where it ends.
fn expand(tokens: &[String], mut at: usize, prefix: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    while at < tokens.len() {
        if tokens[at] == "{" {
            at += 1;
            while at < tokens.len() && tokens[at] != "}" {
                let next = expand(tokens, at, &path, paths);
                // Commas, and whatever a use tree does not have.
                at = if next == at { at + 1 } else { next };
            }
            return at + 1;
        }
        if !is_name(&tokens[at]) {
            return at;
        }
        path.push(tokens[at].clone());
        at += 1;
        if tokens.get(at).is_some_and(|next| next == "::") {
            at += 1;
        } else {
            break;
        }
    }
    if path.len() > prefix.len() {
        paths.push(path);
    }
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names, `::` and single characters, without comments, texts and test modules.
fn tokens(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut tokens: Vec<String> = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if first == '"' {
            text_length(rest)
        } else if let Some(hashes) = raw_text_hashes(rest) {
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = hashes + 2;
            rest[begin..].find(&end).map_or(rest.len(), |place| begin + place + end.len())
        } else if first == '\'' && rest.chars().nth(2) == Some('\'') {
            rest.char_indices().nth(3).map_or(rest.len(), |(place, _)| place)
        } else if first == '\'' && rest[1..].starts_with('\\') {
            rest[3..].find('\'').map_or(rest.len(), |place| place + 4)
        } else {
            let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let length = if name > 0 {
                name
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            if !first.is_whitespace() {
                tokens.push(rest[..length].to_owned());
            }
            length
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of a text literal that stands at the beginning, quotes included.
fn text_length(source: &str) -> usize {
    let mut is_escaped = true;
    let end = source.char_indices().find(|(_, c)| {
        let ends = *c == '"' && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        ends
    });
    end.map_or(source.len(), |(place, _)| place + 1)
}

/// How many `#` the raw text literal has that stands at the beginning.
fn raw_text_hashes(source: &str) -> Option<usize> {
    let rest = source.strip_prefix('r')?;
    let hashes = rest.bytes().take_while(|byte| *byte == b'#').count();
    rest[hashes..].starts_with('"').then_some(hashes)
}
