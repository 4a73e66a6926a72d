//! Event types out of an OpenAPI document: each of its webhooks is one.

use std::collections::BTreeSet;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{check_description, check_schema_and_example};
use crate::domain::event_type::{
    DESCRIPTION_LENGTH_MAX, EventType, EventTypeName, ImportedEventType, NAME_EXPECTED, WEBHOOK_TEST,
};
use crate::domain::time::Timestamp;
use crate::domain::violation::Rule;
use crate::http::body::{Findings, pointer_of};

/// Webhooks of one document.
const WEBHOOKS_MAX: usize = 1_000;
/// Where the schemas of a document are, and where those that one schema needs are inside of it.
const SHARED: &str = "#/components/schemas/";
const OWN: &str = "#/$defs/";
/// References that lead to a reference, before it is a circle.
const HOPS_MAX: usize = 8;

/// Every webhook of the document. What is wrong is noted with its place in `/document`.
pub(super) fn webhooks_of(document: &Value, now: Timestamp, findings: &mut Findings) -> Vec<ImportedEventType> {
    if !document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")) {
        findings.add(Rule::InvalidFormat { expected: "an OpenAPI 3.1 document" }, "/document/openapi");
        return Vec::new();
    }
    let Some(webhooks) = document["webhooks"].as_object().filter(|webhooks| !webhooks.is_empty()) else {
        findings.add(Rule::InvalidFormat { expected: "an object with at least one webhook" }, "/document/webhooks");
        return Vec::new();
    };
    if webhooks.len() > WEBHOOKS_MAX {
        findings.add(Rule::TooManyItems { max: WEBHOOKS_MAX }, "/document/webhooks");
        return Vec::new();
    }
    let read = |(name, item): (&String, &Value)| {
        let place = format!("/document/webhooks{}", pointer_of(name));
        let mut inner = Findings::default();
        let found = webhook(document, name, item, now, &mut inner);
        findings.extend_below(inner, &place);
        found
    };
    webhooks.iter().filter_map(read).collect()
}

fn webhook(
    document: &Value,
    name: &str,
    item: &Value,
    now: Timestamp,
    findings: &mut Findings,
) -> Option<ImportedEventType> {
    let parsed: Option<EventTypeName> = name.parse().ok().filter(|_| name != WEBHOOK_TEST);
    let Some(name) = parsed else {
        findings.add(Rule::InvalidFormat { expected: NAME_EXPECTED }, "");
        return None;
    };
    let item = resolved(document, item)?;
    let operation = item["post"].as_object().or_else(|| item.as_object()?.values().find_map(Value::as_object));
    let operation = Value::Object(operation.cloned().unwrap_or_default());
    let body = resolved(document, &operation["requestBody"]).unwrap_or(&Value::Null);
    let media = body["content"].as_object().and_then(|content| {
        let named = content.get("application/json");
        named.or_else(|| content.iter().find(|(media_type, _)| media_type.contains("json")).map(|(_, media)| media))
    });
    let media = media.unwrap_or(&Value::Null);
    let schema = media.get("schema").filter(|schema| schema.is_object());
    let schema = match schema.map(|schema| with_own_definitions(document, schema)) {
        Some(Some(schema)) => Some(schema),
        Some(None) => {
            findings
                .add(Rule::InvalidFormat { expected: "a schema that refers only to #/components/schemas" }, "/schema");
            None
        }
        None => None,
    };
    let described = ["description", "summary"].into_iter().find_map(|member| operation[member].as_str());
    let description = described.map(|text| text.chars().take(DESCRIPTION_LENGTH_MAX).collect::<String>());
    let imported = ImportedEventType {
        name,
        description,
        schema: schema.as_ref().map(raw),
        example: example(document, media, schema.as_ref()).map(|example| raw(&example)),
    };
    check_description(imported.description.as_ref(), findings);
    check_schema_and_example(&EventType::from_import(imported.clone(), now), findings);
    Some(imported)
}

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).expect("a JSON value is written as JSON")
}

/// What the value refers to, or itself. None when that is nowhere in the document.
fn resolved<'a>(document: &'a Value, mut value: &'a Value) -> Option<&'a Value> {
    for _ in 0..HOPS_MAX {
        match value["$ref"].as_str() {
            Some(reference) => value = document.pointer(reference.strip_prefix('#')?)?,
            None => return Some(value),
        }
    }
    None
}

/// In the order in which documents are read by others: of the body, else of its schema.
fn example(document: &Value, media: &Value, schema: Option<&Value>) -> Option<Value> {
    let named = media["examples"].as_object().and_then(|examples| examples.values().next());
    let named = named.and_then(|example| resolved(document, example)?.get("value"));
    let of_schema = schema.and_then(|schema| resolved(schema, schema));
    let of_schema = of_schema.and_then(|schema| schema["examples"].get(0).or_else(|| schema.get("example")));
    media.get("example").or(named).or(of_schema).cloned()
}

/// The schema with all that it refers to among the document's schemas in `$defs`. None when it refers to anything else.
fn with_own_definitions(document: &Value, schema: &Value) -> Option<Value> {
    let mut schema = schema.clone();
    let mut wanted = BTreeSet::new();
    redirect(&mut schema, &mut wanted)?;
    let mut definitions = Map::new();
    while let Some(name) = wanted.pop_first() {
        if definitions.contains_key(&name) {
            continue;
        }
        let mut definition = document["components"]["schemas"].get(&name)?.clone();
        redirect(&mut definition, &mut wanted)?;
        definitions.insert(name, definition);
    }
    if !definitions.is_empty() {
        schema["$defs"] = json!(definitions);
    }
    Some(schema)
}

/// Turns every reference to a schema of the document into one to a definition, and takes down its name.
fn redirect(value: &mut Value, wanted: &mut BTreeSet<String>) -> Option<()> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| redirect(item, wanted)),
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get_mut("$ref") {
                let name = reference.strip_prefix(SHARED).filter(|name| !name.contains('/'))?.to_owned();
                *reference = format!("{OWN}{name}");
                wanted.insert(name);
            }
            members.values_mut().try_for_each(|member| redirect(member, wanted))
        }
        _ => Some(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_takes_along_what_it_refers_to_and_nothing_else() {
        let document = json!({ "components": { "schemas": {
            "Order": { "type": "object", "properties": { "line": { "$ref": "#/components/schemas/Line" } } },
            "Line": { "type": "object", "properties": { "order": { "$ref": "#/components/schemas/Order" } } },
            "Other": {},
        } } });
        for (schema, expected) in [
            (json!({ "type": "string" }), Some(json!({ "type": "string" }))),
            (
                json!({ "$ref": "#/components/schemas/Order" }),
                Some(json!({ "$ref": "#/$defs/Order", "$defs": {
                    "Order": { "type": "object", "properties": { "line": { "$ref": "#/$defs/Line" } } },
                    "Line": { "type": "object", "properties": { "order": { "$ref": "#/$defs/Order" } } },
                } })),
            ),
            (json!({ "$ref": "#/components/schemas/Missing" }), None),
            (json!({ "$ref": "https://example.com/order.json" }), None),
            (json!({ "items": [{ "$ref": "#/webhooks/x" }] }), None),
        ] {
            assert_eq!(with_own_definitions(&document, &schema), expected, "{schema}");
        }
    }
}
