//! The OpenAPI document is a file that is reviewed, and holds what it promises about every operation.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use serde_json::Value;
use waxwing::domain::contract::Contract;
use waxwing::http::{contract_document, document};

/// Of the own API and of each contract, with the name of its file.
fn documents() -> Vec<(String, Value)> {
    let own = [("openapi".to_owned(), document())];
    let of_contracts = Contract::ALL.map(|contract| (contract.name().to_owned(), contract_document(contract)));
    let has_operations = |(_, document): &(String, Value)| document["paths"] != serde_json::json!({});
    own.into_iter().chain(of_contracts).filter(has_operations).collect()
}

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("it has paths");
    let all = paths.iter().flat_map(|(path, operations)| {
        let operations = operations.as_object().expect("a path holds operations");
        operations.iter().map(move |(method, operation)| (path.clone(), method.clone(), operation.clone()))
    });
    all.collect()
}

#[test]
fn the_committed_documents_are_what_the_code_says() {
    for (name, document) in documents() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("openapi/{name}.json"));
        let said = serde_json::to_string_pretty(&document).unwrap() + "\n";
        if std::env::var_os("WAXWING_BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &said).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let hint = "run this test with WAXWING_BLESS=1 and read the diff";
        assert!(committed == said, "openapi/{name}.json is stale: {hint}");
    }
}

#[test]
fn every_operation_has_a_name_a_summary_a_tag_and_its_refusals() {
    let mut ids = HashSet::new();
    for (path, method, operation) in documents().iter().flat_map(|(_, document)| operations(document)) {
        let place = format!("{method} {path}");
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{place} has no id"));
        let (noun, verb) = id.split_once('.').unwrap_or_else(|| panic!("{id} is not noun.verb"));
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(is_word(noun) && is_word(verb), "{id}");
        assert!(ids.insert(id.to_owned()), "{id} twice");
        assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{place} has no summary");
        assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{place}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.contains_key("500"), "{place} cannot fail?");
        if path.starts_with("/v1/") && id != "setup.get" && id != "portal_sessions.create" {
            for status in ["401", "403", "429"] {
                assert!(responses.contains_key(status), "{place} lacks {status}");
            }
            let scopes = operation["security"][0]["ApiKey"].as_array().map(Vec::len);
            // Who signs in has nothing yet; what is about oneself needs no scope.
            let expected = match id {
                "setup.follow" | "setup.restore" | "sessions.create" => None,
                "users.get" | "users.update" => Some(0),
                _ if ["sessions", "totp"].contains(&noun) || id == "portal_sessions.end_current" => Some(0),
                _ => Some(1),
            };
            assert_eq!(scopes, expected, "{place} names another number of scopes");
        }
        assert!(responses.keys().any(|status| status.starts_with('2')), "{place} cannot succeed?");
    }
}

#[test]
fn an_operation_without_an_idempotency_key_says_that_it_ignores_one() {
    let document = document();
    let mut ignoring = Vec::new();
    for (path, method, operation) in operations(&document) {
        let takes_one = operation["parameters"].as_array().into_iter().flatten().any(|parameter| {
            parameter["$ref"].as_str().is_some_and(|reference| reference.ends_with("/IdempotencyKey"))
        });
        let is_said =
            operation["description"].as_str().is_some_and(|text| text.contains("`Idempotency-Key` is ignored"));
        assert_eq!(method == "post" && !takes_one, is_said, "{method} {path}");
        ignoring.extend(is_said.then(|| operation["operationId"].as_str().unwrap().to_owned()));
    }
    ignoring.sort_unstable();
    let expected = [
        "backups.create",
        "portal_sessions.create",
        "sessions.create",
        "settings.test_mail",
        "setup.follow",
        "setup.invite",
        "setup.restore",
        "totp.confirm",
        "totp.create",
    ];
    assert_eq!(ignoring, expected);
}

#[test]
fn every_refusal_is_an_errors_body() {
    let all = documents();
    let all = all.iter().flat_map(|(name, document)| {
        let schema = if name == "openapi" { "Errors" } else { "ErrorEnvelope" };
        operations(document).into_iter().map(move |operation| (document, schema, operation))
    });
    for (document, body, (path, method, operation)) in all {
        for (status, response) in operation["responses"].as_object().unwrap() {
            if !status.starts_with(['4', '5']) {
                continue;
            }
            let name = response["$ref"].as_str().unwrap_or_else(|| panic!("{method} {path} {status}"));
            let response = document.pointer(name.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("{name}"));
            let schema = &response["content"]["application/json"]["schema"]["$ref"];
            assert_eq!(schema, &format!("#/components/schemas/{body}"), "{name}");
        }
    }
}

#[test]
fn path_parameters_are_called_as_in_the_path() {
    for (path, method, operation) in documents().iter().flat_map(|(_, document)| operations(document)) {
        let in_path: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let declared: BTreeSet<&str> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        assert_eq!(in_path, declared, "{method} {path}");
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    for (name, document) in documents() {
        look_at_references(&name, &document);
    }
}

fn look_at_references(name: &str, document: &Value) {
    let text = document.to_string();
    let mut used = BTreeSet::new();
    for part in text.split("\"$ref\":\"#").skip(1) {
        let pointer = part.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{name}: {pointer}");
        used.insert(pointer.to_owned());
    }
    for kind in ["schemas", "responses", "parameters", "headers"] {
        for one in document["components"][kind].as_object().unwrap().keys() {
            assert!(used.contains(&format!("/components/{kind}/{one}")), "{name}: {kind}/{one} is not used");
        }
    }
}

#[test]
fn nothing_of_openapi_3_0_is_left() {
    fn look(value: &Value, place: &str) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| look(item, place)),
            Value::Object(members) => {
                assert!(!members.contains_key("nullable"), "{place}");
                assert!(!members.get("exclusiveMinimum").is_some_and(Value::is_boolean), "{place}");
                for (name, member) in members {
                    assert!(!name.contains("charset"), "{place}/{name}");
                    look(member, &format!("{place}/{name}"));
                }
            }
            _ => {}
        }
    }
    for (name, document) in documents() {
        assert_eq!(document["openapi"], "3.1.0");
        look(&document, &name);
    }
}

#[test]
fn every_example_fits_its_schema() {
    for (name, document) in documents() {
        let mut examples = 0;
        for (schema_name, schema) in document["components"]["schemas"].as_object().unwrap() {
            for example in schema["examples"].as_array().into_iter().flatten() {
                let mut root = serde_json::json!({ "$ref": format!("#/components/schemas/{schema_name}") });
                root["components"] = document["components"].clone();
                let validator = jsonschema::validator_for(&root).unwrap();
                let problems: Vec<String> = validator.iter_errors(example).map(|error| error.to_string()).collect();
                assert!(problems.is_empty(), "{name}: {schema_name}: {problems:?}");
                examples += 1;
            }
        }
        let expected = match name.as_str() {
            "openapi" => 15,
            "marea" => 5,
            "agentmessage" => 9,
            other => panic!("{other}: how many has it?"),
        };
        assert!(examples >= expected, "{name}: only {examples} examples");
    }
}
