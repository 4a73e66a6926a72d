//! What the document of each API is made from: the operations as poem-openapi describes them, rewritten to 3.1 and completed
//! with what follows from the shape of each (who may call it, which refusals it can meet, which headers it reads and
//! answers).

use poem_openapi::OpenApi;
use poem_openapi::registry::Registry;
use serde_json::{Map, Value, json};

use super::schema::{close_requests, modernise};
use crate::domain::key::Scope;
use crate::http::page::QUERY_MEDIA_TYPE;

/// Headers, each with the component that describes it.
pub type Names = Vec<(&'static str, &'static str)>;

/// What an API's document says besides its operations.
pub struct Shape {
    pub title: &'static str,
    pub summary: &'static str,
    pub description: &'static str,
    /// Examples of bodies in JSON, by the name of their schema. A test holds each against its schema.
    pub examples: &'static str,
    /// Every status that an operation can be refused with: its component, and what it means.
    pub refusals: &'static [(u16, &'static str, &'static str)],
    /// The schema of the body of each.
    pub refusal_schema: &'static str,
    /// Schemas that no operation brings.
    pub schemas: Vec<(&'static str, Value)>,
    /// How a key is sent. None: as the own API says.
    pub key: Option<&'static str>,
    /// What is said of the cookie that may come instead of a key. None: there is none.
    pub cookie: Option<&'static str>,
    /// The contract's own scopes, with what they grant. Empty: those of the own API.
    pub scopes: &'static [(&'static str, &'static [Scope])],
    /// Components.
    pub headers: Value,
    /// Components.
    pub parameters: Value,
    pub webhooks: Value,
    /// Of [`Self::parameters`].
    pub parameters_of: fn(&Operation<'_>) -> Vec<&'static str>,
    /// Of an answer that is no refusal, with the status.
    pub headers_of: fn(&Operation<'_>, &str) -> Names,
    /// Statuses of [`Self::refusals`].
    pub refusals_of: fn(&Operation<'_>) -> Vec<u16>,
    pub refusal_headers_of: fn(u16) -> Names,
}

impl Shape {
    /// Nothing but the operations, to be filled in.
    pub fn bare() -> Self {
        Self {
            title: "",
            summary: "",
            description: "",
            examples: "{}",
            refusals: &[],
            refusal_schema: "",
            schemas: Vec::new(),
            key: None,
            cookie: None,
            scopes: &[],
            headers: json!({}),
            parameters: json!({}),
            webhooks: json!({}),
            parameters_of: |_| Vec::new(),
            headers_of: |_, _| Vec::new(),
            refusals_of: |_| Vec::new(),
            refusal_headers_of: |_| Vec::new(),
        }
    }
}

/// The whole document of an API.
pub fn of<A: OpenApi>(shape: &Shape) -> Value {
    let mut registry = Registry::new();
    A::register(&mut registry);
    let mut paths = Map::new();
    for path in A::meta().iter().flat_map(|api| &api.paths) {
        let operations = serde_json::to_value(path).expect("poem-openapi describes paths in JSON");
        paths.insert(path.path.clone(), operations);
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": {
            "title": shape.title,
            "version": env!("CARGO_PKG_VERSION"),
            "summary": shape.summary,
            "description": shape.description,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "This server" }],
        "tags": registry.tags,
        "paths": paths,
        "components": {
            "schemas": registry.schemas,
            "securitySchemes": registry.security_schemes,
        },
    });
    complete(&mut document, shape);
    modernise(&mut document);
    document
}

fn complete(document: &mut Value, shape: &Shape) {
    let examples: Map<String, Value> = serde_json::from_str(shape.examples).expect("a test reads it");
    let paths = document["paths"].as_object_mut().expect("it was made above");
    for (path, operations) in paths.iter_mut() {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            Operation { path, method, operation }.complete(shape);
        }
    }
    close_requests(document);
    if let Some(key) = shape.key {
        document["components"]["securitySchemes"]["ApiKey"]["description"] = json!(key);
    }
    if let Some(cookie) = shape.cookie {
        document["components"]["securitySchemes"]["Session"] =
            json!({ "type": "apiKey", "in": "cookie", "name": "waxwing_session", "description": cookie });
    }
    let components = document["components"].as_object_mut().expect("it was made above");
    let schemas = components["schemas"].as_object_mut().expect("it was made above");
    for (name, schema) in &shape.schemas {
        schemas.insert((*name).to_owned(), schema.clone());
    }
    for (name, example) in examples {
        if let Some(schema) = schemas.get_mut(&name) {
            schema["examples"] = json!([example]);
        }
    }
    components.insert("responses".to_owned(), refusal_responses(shape));
    components.insert("headers".to_owned(), shape.headers.clone());
    components.insert("parameters".to_owned(), shape.parameters.clone());
    document["webhooks"] = shape.webhooks.clone();
}

/// One operation, with what its place in the API says about it.
pub struct Operation<'a> {
    pub path: &'a str,
    pub method: &'a str,
    operation: &'a mut Value,
}

impl Operation<'_> {
    pub fn id(&self) -> &str {
        self.operation["operationId"].as_str().unwrap_or_default()
    }

    pub fn needs_key(&self) -> bool {
        self.operation.get("security").is_some()
    }

    pub fn has_body(&self) -> bool {
        self.operation.get("requestBody").is_some()
    }

    pub fn has_query(&self) -> bool {
        self.operation["parameters"].as_array().is_some_and(|all| all.iter().any(|one| one["in"] == "query"))
    }

    pub fn is_write(&self) -> bool {
        self.method != "get"
    }

    fn complete(mut self, shape: &Shape) {
        self.move_query_parameters();
        self.split_security(shape.scopes);
        if shape.cookie.is_some()
            && let Some(requirements) = self.operation.get_mut("security").and_then(Value::as_array_mut)
        {
            requirements.push(json!({ "Session": [] }));
        }
        self.add_header_parameters(shape);
        self.normalise_responses(shape);
        self.add_refusals(shape);
    }

    /// `page::Query` can only say what it reads as if it were a body.
    fn move_query_parameters(&mut self) {
        let content = &self.operation["requestBody"]["content"][QUERY_MEDIA_TYPE]["schema"]["properties"];
        let Some(properties) = content.as_object().cloned() else { return };
        let parameters = properties.into_iter().map(|(name, mut schema)| {
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            json!({ "name": name, "in": "query", "description": description, "schema": schema })
        });
        let parameters: Vec<Value> = parameters.collect();
        self.parameters().extend(parameters);
        self.operation.as_object_mut().expect("an operation is an object").remove("requestBody");
    }

    fn parameters(&mut self) -> &mut Vec<Value> {
        let operation = self.operation.as_object_mut().expect("an operation is an object");
        operation.entry("parameters").or_insert_with(|| json!([])).as_array_mut().expect("parameters are a list")
    }

    /// `auth::Needs` names the scheme and the scope in one text. A contract calls the scope by the first of its own that
    /// grants it, and `x-scope` says which of ours it is. `x-reach` says how much of what there is the caller must have,
    /// besides the scope: `tenant`, so no restricted key, or `instance`. `x-scope-for-others` is what it takes to ask about
    /// somebody else.
    fn split_security(&mut self, scopes: &[(&str, &[Scope])]) {
        let Some(requirements) = self.operation.get_mut("security").and_then(Value::as_array_mut) else { return };
        // What no scheme of OpenAPI can say stands in members of the operation's own.
        let names = requirements.iter().filter_map(Value::as_object).flat_map(Map::keys);
        let pairs = names.filter_map(|name| name.split_once(' '));
        let mut own: Vec<(String, Value)> = pairs
            .filter(|(name, _)| name.starts_with("x-"))
            .map(|(name, text)| (name.to_owned(), json!(text)))
            .collect();
        let is_scheme = |requirement: &Value| {
            requirement.as_object().is_some_and(|names| names.keys().all(|name| !name.starts_with("x-")))
        };
        requirements.retain(is_scheme);
        let called = |scope: &str| {
            let grants = |granted: &[Scope]| granted.iter().any(|granted| granted.name() == scope);
            let own = scopes.iter().find(|(_, granted)| grants(granted)).map(|(name, _)| *name);
            own.unwrap_or(scope).to_owned()
        };
        for requirement in requirements {
            let names: Vec<String> =
                requirement.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
            let pairs = names.iter().filter_map(|name| name.split_once(' '));
            let scopes = |scope: &str| if scope.is_empty() { json!([]) } else { json!([called(scope)]) };
            *requirement = pairs.clone().map(|(scheme, scope)| (scheme.to_owned(), scopes(scope))).collect();
            // A contract's scope may grant several of ours.
            let scope = pairs.map(|(_, scope)| scope).find(|scope| !scope.is_empty() && called(scope) != **scope);
            own.extend(scope.map(|scope| ("x-scope".to_owned(), json!(scope))));
        }
        self.operation.as_object_mut().expect("an operation is an object").extend(own);
    }

    fn add_header_parameters(&mut self, shape: &Shape) {
        let names = (shape.parameters_of)(self).into_iter();
        let references: Vec<Value> =
            names.map(|name| json!({ "$ref": format!("#/components/parameters/{name}") })).collect();
        self.parameters().extend(references);
    }

    /// The charset and the capitals are poem-openapi's: clients would repeat them as keys.
    fn normalise_responses(&mut self, shape: &Shape) {
        let mut responses = self.operation["responses"].take();
        for (status, response) in responses.as_object_mut().into_iter().flatten() {
            if let Some(content) = response.get_mut("content").and_then(Value::as_object_mut) {
                let plain = |(media_type, body): (String, Value)| {
                    (media_type.split(';').next().unwrap_or_default().to_owned(), body)
                };
                *content = std::mem::take(content).into_iter().map(plain).collect();
            }
            response["headers"] = header_references(&(shape.headers_of)(self, status));
        }
        self.operation["responses"] = responses;
    }

    fn add_refusals(&mut self, shape: &Shape) {
        for status in (shape.refusals_of)(self) {
            let (_, name, _) =
                shape.refusals.iter().find(|(known, ..)| *known == status).expect("each status is in the table");
            self.operation["responses"][status.to_string()] =
                json!({ "$ref": format!("#/components/responses/{name}") });
        }
    }
}

fn refusal_responses(shape: &Shape) -> Value {
    let schema = format!("#/components/schemas/{}", shape.refusal_schema);
    let response = |(status, name, description): &(u16, &str, &str)| {
        let body = json!({
            "description": description,
            "headers": header_references(&(shape.refusal_headers_of)(*status)),
            "content": { "application/json": { "schema": { "$ref": schema } } },
        });
        ((*name).to_owned(), body)
    };
    shape.refusals.iter().map(response).collect()
}

fn header_references(names: &Names) -> Value {
    let reference = |(header, name): &(&str, &str)| {
        ((*header).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))
    };
    names.iter().map(reference).collect()
}
