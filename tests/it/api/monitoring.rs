//! The dashboard and the alert rules in `docs`: what they ask for is what `/metrics` prints.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::app::{TEST_RECEIVER, TestApp};

/// Made by who scrapes, and not by who is scraped.
const OF_PROMETHEUS: [&str; 1] = ["up"];
/// Printed once there was a backup, and with HTTPS.
const NOT_ALWAYS: [&str; 2] =
    ["waxwing_backup_last_success_timestamp_seconds", "waxwing_tls_certificate_expiry_timestamp_seconds"];
/// Labels that the scraping adds.
const LABELS_OF_PROMETHEUS: [&str; 2] = ["job", "instance"];
/// Words of the query language that stand where a metric could.
const KEYWORDS: [&str; 8] = ["and", "or", "unless", "by", "without", "on", "ignoring", "bool"];

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("it is in the repository")
}

/// What `key` stands for, wherever in the document it is.
fn collect(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == key => found.push(text.clone()),
                    _ => collect(member, key, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, key, found)),
        _ => {}
    }
}

fn expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read("docs/grafana/waxwing.json")).expect("it is JSON");
    let rules: Value = serde_saphyr::from_str(&read("docs/prometheus/alerts.yml")).expect("it is YAML");
    let (mut of_dashboard, mut of_rules) = (Vec::new(), Vec::new());
    collect(&dashboard, "expr", &mut of_dashboard);
    collect(&rules, "expr", &mut of_rules);
    assert!(of_dashboard.len() > 20 && of_rules.len() > 8, "{of_dashboard:?} {of_rules:?}");
    of_dashboard.into_iter().chain(of_rules).collect()
}

/// A metric, and the labels that it is asked for by with the values of those that have to be equal.
type Asked = (String, Vec<(String, Option<String>)>);

fn asked(expression: &str) -> Vec<Asked> {
    let mut metrics: Vec<Asked> = Vec::new();
    let mut rest = expression;
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    while let Some(first) = rest.chars().next() {
        let word = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
        if first == '{' {
            let (selector, after) = rest[1..].split_once('}').expect("a selector ends");
            for matcher in selector.split(',') {
                let (label, value) = matcher.split_once('=').expect("a matcher compares");
                let is_equal = !label.ends_with('!') && !value.starts_with('~');
                let value = is_equal.then(|| value.trim_matches('"').to_owned());
                let labels = &mut metrics.last_mut().expect("a selector follows its metric").1;
                labels.push((label.trim_end_matches('!').to_owned(), value));
            }
            rest = after;
        } else if first == '[' {
            rest = rest.split_once(']').expect("a range ends").1;
        } else if word.is_empty() {
            rest = &rest[first.len_utf8()..];
        } else {
            rest = rest[word.len()..].trim_start();
            let is_number = first.is_ascii_digit();
            let is_called = ["(", "by ", "without "].iter().any(|next| rest.starts_with(next));
            if ["by", "without", "on", "ignoring"].contains(&word) {
                rest = rest.split_once(')').expect("a list of labels ends").1;
            } else if !is_number && !is_called && !KEYWORDS.contains(&word) {
                metrics.push((word.to_owned(), Vec::new()));
            }
        }
    }
    metrics
}

#[tokio::test]
async fn every_metric_and_label_that_the_dashboard_and_the_rules_ask_for_is_printed() {
    let app = TestApp::start().await;
    app.post("/v1/webhook-subscriptions", json!({ "url": TEST_RECEIVER, "events": ["*"] })).await.assert(201);
    let text = app.get("/metrics").await.assert(200).body;
    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let name_of = |sample: &'_ str| sample.split(['{', ' ']).next().map(str::to_owned);
    let known: BTreeSet<String> = samples.iter().filter_map(|sample| name_of(sample)).collect();
    for expression in expressions() {
        let asked = asked(&expression);
        assert!(!asked.is_empty(), "{expression} asks for nothing");
        for (metric, labels) in asked {
            if OF_PROMETHEUS.contains(&metric.as_str()) || NOT_ALWAYS.contains(&metric.as_str()) {
                continue;
            }
            assert!(known.contains(&metric), "{metric} of {expression} is not printed:\n{text}");
            for (label, value) in labels {
                if LABELS_OF_PROMETHEUS.contains(&label.as_str()) {
                    continue;
                }
                let wanted = match value {
                    Some(value) => format!("{label}=\"{value}\""),
                    None => format!("{label}=\""),
                };
                let has = |sample: &&str| name_of(sample).as_ref() == Some(&metric) && sample.contains(&wanted);
                assert!(samples.iter().any(has), "{metric} has no {wanted}: {expression}");
            }
        }
    }
}

#[tokio::test]
async fn every_sample_has_its_help_and_type_and_names_no_tenant_subscription_or_key() {
    let app = TestApp::start().await;
    let subscription = json!({ "url": TEST_RECEIVER, "events": ["*"] });
    app.post("/v1/webhook-subscriptions", subscription).await.assert(201);
    app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).await.assert(202);
    app.wait_for("/v1/stats", |stats| stats.to_string().contains("\"succeeded\":1")).await;
    let text = app.get("/metrics").await.assert(200).body;
    let mut family = ("", "");
    let mut helps = BTreeSet::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect("a name and what it is");
            assert!(!words.is_empty() && helps.insert(name), "{line}");
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            family = kind.split_once(' ').expect("a name and a type");
            assert!(helps.contains(family.0), "{line}");
            continue;
        }
        let (name, kind) = family;
        let (sample, value) = line.rsplit_once(' ').expect("a sample and its value");
        let suffix = sample.split('{').next().and_then(|full| full.strip_prefix(name));
        let fits = match kind {
            "histogram" => matches!(suffix, Some("_bucket" | "_sum" | "_count")),
            _ => suffix == Some(""),
        };
        assert!(fits && value.parse::<f64>().is_ok(), "{line} stands below {name}");
    }
    for id in ["tnt_", "whsub_", "key_", "test-receiver"] {
        assert!(!text.contains(id), "{id} is in\n{text}");
    }
    for line in [
        "waxwing_attempts_total{outcome=\"success\"} 1",
        "waxwing_attempt_seconds_count 1",
        "waxwing_first_attempt_seconds_count 1",
        "waxwing_http_answers_total{about=\"publish\",status=\"2xx\"} 1",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("waxwing_store_commit_seconds_count 0"), "commits are counted");
}

#[test]
fn the_metrics_of_an_expression_are_found_whatever_stands_around_them() {
    let names = |expression| asked(expression).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(
        names("sum by (le, of) (rate(a_bucket{x=\"1\"}[5m])) / b > 0.1 and c{y=\"2\"} == 2"),
        ["a_bucket", "b", "c"]
    );
    assert_eq!(names("time() - a < 3600 or b"), ["a", "b"]);
    let labels = asked("a{x=\"1\",y!=\"2\",z=~\"3|4\"}").remove(0).1;
    let plain = |label: &str, value: Option<&str>| (label.to_owned(), value.map(str::to_owned));
    assert_eq!(labels, [plain("x", Some("1")), plain("y", None), plain("z", None)]);
}
