//! What poem-openapi says of schemas, made stricter and turned from OpenAPI 3.0 to 3.1.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

/// Unknown members are refused, at every depth that the schema describes.
pub(super) fn close_requests(document: &mut Value) {
    let mut names = Vec::new();
    for (_, operations) in document["paths"].as_object().into_iter().flatten() {
        for (_, operation) in operations.as_object().into_iter().flatten() {
            for (_, body) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
                names.extend(
                    body["schema"]["$ref"].as_str().and_then(|name| name.rsplit('/').next()).map(str::to_owned),
                );
            }
        }
    }
    let mut closed = HashSet::new();
    while let Some(name) = names.pop() {
        if closed.insert(name.clone()) {
            let schema = &mut document["components"]["schemas"][name];
            close(schema);
            // What is in it is a part of a request too.
            names_in(schema, &mut names);
        }
    }
}

/// The names of the schemas that this one refers to.
fn names_in(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| names_in(item, names)),
        Value::Object(members) => {
            let name = members.get("$ref").and_then(Value::as_str).and_then(|name| name.rsplit('/').next());
            names.extend(name.map(str::to_owned));
            members.values().for_each(|member| names_in(member, names));
        }
        _ => {}
    }
}

fn close(schema: &mut Value) {
    if schema["type"] == "object" && schema.get("additionalProperties").is_none() {
        schema["additionalProperties"] = json!(false);
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for property in properties.into_iter().flat_map(Map::values_mut) {
        if property["type"] == "object" {
            close(property);
        }
    }
}

/// 3.0 to 3.1: a schema says null as a type, and exclusive bounds as numbers.
pub(super) fn modernise(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(modernise),
        // poem-openapi has every bound as a float; 100 is what people write.
        Value::Number(number) => {
            if let Some(float) = number.as_f64()
                && number.is_f64()
                && float.fract() == 0.0
                && float.abs() <= f64::from(u32::MAX)
            {
                *number = (float as i64).into();
            }
        }
        Value::Object(members) => {
            members.values_mut().for_each(modernise);
            if members.get("nullable").is_some_and(|nullable| nullable == true) {
                members.remove("nullable");
                make_nullable(members);
            }
            if members.get("deprecated").is_some_and(|deprecated| deprecated == false) {
                members.remove("deprecated");
            }
            if members.get("in").is_some_and(Value::is_string) {
                members.remove("explode");
            }
            for (flag, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
                match members.get(flag) {
                    Some(Value::Bool(true)) => {
                        let bound = members.remove(bound).unwrap_or(Value::Null);
                        members.insert(flag.to_owned(), bound);
                    }
                    Some(Value::Bool(false)) => drop(members.remove(flag)),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn make_nullable(schema: &mut Map<String, Value>) {
    if let Some(kind @ Value::String(_)) = schema.get("type").cloned() {
        schema.insert("type".to_owned(), json!([kind, "null"]));
        if let Some(Value::Array(names)) = schema.get_mut("enum") {
            names.push(Value::Null);
        }
    } else if let Some(Value::Array(kinds)) = schema.get_mut("anyOf") {
        kinds.push(json!({ "type": "null" }));
    }
    // A schema without a type takes null as it is.
}
