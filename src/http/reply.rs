//! An answer as the bytes that are sent, and the types that document what is in them.

use std::marker::PhantomData;

use bytes::Bytes;
use poem::http::{HeaderName, HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde::Serialize;

use crate::domain::language::Language;
use crate::store::{SecretOwner, StoredAnswer};

/// A finished answer. What an idempotency key keeps is exactly this, so it is made once and then only copied.
#[derive(Debug, Clone)]
pub struct Reply {
    status: StatusCode,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    shows_secret_of: Option<SecretOwner>,
    is_replayed: bool,
}

/// Headers that a replayed answer repeats.
const HEADERS_KEPT: [&str; 6] = ["location", "etag", "retry-after", "www-authenticate", "content-language", "vary"];

impl Reply {
    pub fn json(status: StatusCode, body: &impl Serialize) -> Self {
        Self::of_json(status, serde_json::to_vec(body).expect("wire types have string keys and finite numbers"))
    }

    /// `body` is JSON already.
    pub fn of_json(status: StatusCode, body: Vec<u8>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), shows_secret_of: None, is_replayed: false }
    }

    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new(), shows_secret_of: None, is_replayed: false }
    }

    /// `name` is lower-case.
    pub fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The body holds words that the caller's `Accept-Language` chose.
    pub fn in_language(self, language: Language) -> Self {
        self.header("content-language", language.tag().to_owned()).header("vary", "Accept-Language".to_owned())
    }

    pub fn shows_secret_of(self, owner: SecretOwner) -> Self {
        Self { shows_secret_of: Some(owner), ..self }
    }

    pub fn to_stored(&self) -> StoredAnswer {
        StoredAnswer {
            status: self.status.as_u16(),
            headers: self.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            body: self.body.clone(),
            shows_secret_of: self.shows_secret_of,
        }
    }

    pub fn replayed(StoredAnswer { status, headers, body, shows_secret_of }: StoredAnswer) -> Self {
        let known = |name: &str| HEADERS_KEPT.into_iter().find(|kept| *kept == name);
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::OK),
            headers: headers.into_iter().filter_map(|(name, value)| Some((known(&name)?, value))).collect(),
            body,
            shows_secret_of,
            is_replayed: true,
        }
    }
}

/// Marks an answer that says what it has to: the edge leaves its body alone.
#[derive(Debug, Clone, Copy)]
pub struct Finished;

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = Response::builder().status(self.status).body(self.body.clone());
        let headers = response.headers_mut();
        if !self.body.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        if self.is_replayed {
            headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        response.set_data(Finished);
        response
    }
}

/// What stands in the body of an answer, for the document.
pub trait Shape {
    /// One line for the status that carries it.
    const DESCRIPTION: &'static str;

    fn schema_ref() -> Option<MetaSchemaRef>;
    fn register(registry: &mut Registry);
}

/// Nothing.
impl Shape for () {
    const DESCRIPTION: &'static str = "Done";

    fn schema_ref() -> Option<MetaSchemaRef> {
        None
    }

    fn register(_registry: &mut Registry) {}
}

/// An answer with a status and a documented body.
pub struct Answer<S, const STATUS: u16>(Reply, PhantomData<fn() -> S>);

impl<S, const STATUS: u16> From<Reply> for Answer<S, STATUS> {
    fn from(reply: Reply) -> Self {
        Self(reply, PhantomData)
    }
}

impl<S, const STATUS: u16> IntoResponse for Answer<S, STATUS> {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl<S: Shape, const STATUS: u16> ApiResponse for Answer<S, STATUS> {
    fn meta() -> MetaResponses {
        MetaResponses { responses: vec![meta_response::<S>(STATUS)] }
    }

    fn register(registry: &mut Registry) {
        S::register(registry);
    }
}

pub fn meta_response<S: Shape>(status: u16) -> MetaResponse {
    let content = S::schema_ref().map(|schema| MetaMediaType { content_type: "application/json", schema });
    MetaResponse {
        description: S::DESCRIPTION,
        status: Some(status),
        status_range: None,
        content: content.into_iter().collect(),
        headers: Vec::new(),
    }
}

/// The attributes of a kind of object.
pub trait Attributes: Type + Serialize {
    /// `type` in answers.
    const TYPE: &'static str;
    /// What the object is called in the document.
    const NAME: &'static str;
    /// One line for an answer that holds one.
    const ONE: &'static str;
    /// One line for an answer that holds a page of them.
    const PAGE: &'static str;
}

/// `{"type","id","attributes"}`
#[derive(Serialize)]
pub struct Object<A> {
    r#type: &'static str,
    id: String,
    attributes: A,
}

impl<A: Attributes> Object<A> {
    pub fn new(id: impl Into<String>, attributes: A) -> Self {
        Self { r#type: A::TYPE, id: id.into(), attributes }
    }
}

/// `{"data":{…}}`
#[derive(Serialize)]
pub struct One<A> {
    pub data: Object<A>,
}

impl<A: Attributes> One<A> {
    pub fn new(id: impl Into<String>, attributes: A) -> Self {
        Self { data: Object::new(id, attributes) }
    }
}

impl<A: Attributes> Shape for One<A> {
    const DESCRIPTION: &'static str = A::ONE;

    fn schema_ref() -> Option<MetaSchemaRef> {
        Some(object_schema(vec![("data", reference(A::NAME))]))
    }

    fn register(registry: &mut Registry) {
        register_object::<A>(registry);
    }
}

pub fn register_object<A: Attributes>(registry: &mut Registry) {
    registry.create_schema::<Object<A>, _>(A::NAME.to_owned(), |registry| {
        A::register(registry);
        let kind = MetaSchema { enum_items: vec![A::TYPE.into()], ..MetaSchema::new("string") };
        let members =
            vec![("type", inline(kind)), ("id", inline(MetaSchema::new("string"))), ("attributes", A::schema_ref())];
        *match object_schema(members) {
            MetaSchemaRef::Inline(schema) => schema,
            MetaSchemaRef::Reference(_) => unreachable!("object_schema writes its schema out"),
        }
    });
}

pub fn inline(schema: MetaSchema) -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(schema))
}

pub fn reference(name: &str) -> MetaSchemaRef {
    MetaSchemaRef::Reference(name.to_owned())
}

/// An object that always has all of these members.
pub fn object_schema(properties: Vec<(&'static str, MetaSchemaRef)>) -> MetaSchemaRef {
    let required = properties.iter().map(|(name, _)| *name).collect();
    inline(MetaSchema { required, properties, ..MetaSchema::new("object") })
}

pub fn array_schema(items: MetaSchemaRef) -> MetaSchemaRef {
    inline(MetaSchema { items: Some(Box::new(items)), ..MetaSchema::new("array") })
}
