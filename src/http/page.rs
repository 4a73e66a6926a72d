//! Query parameters: read strictly, all problems at once; and the two kinds of pages that lists come in.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, Object};
use serde::Serialize;

use super::auth::Call;
use super::problem::Refusal;
use super::reply::inline;
use super::reply::{
    Attributes, Object as ResourceObject, Shape, array_schema, object_schema, reference, register_object,
};
use super::value::Nullable;
use crate::domain::id::{DeliveryId, EventId};
use crate::domain::time::Timestamp;
use crate::domain::violation::{Rule, Violation};
use crate::store::{self, Walk};

pub const SIZE_DEFAULT: usize = 20;
pub const SIZE_MAX: usize = 100;
/// How `document` recognises a parameter list, which poem-openapi can only carry as a request body.
pub const QUERY_MEDIA_TYPE: &str = "query";

/// The query parameters of a list, as `T` reads them.
pub struct Query<T>(pub T);

/// A documented query parameter.
pub struct Parameter {
    pub name: &'static str,
    pub description: &'static str,
    pub schema: MetaSchema,
}

pub trait Parameters: Sized {
    fn documented() -> Vec<Parameter>;
    fn read(query: &mut Params) -> Self;
}

impl<'a, T: Parameters> ApiExtractor<'a> for Query<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        let property = |Parameter { name, description, schema }: Parameter| {
            (name, inline(MetaSchema { description: Some(description), ..schema }))
        };
        let properties = T::documented().into_iter().map(property).collect();
        let schema = inline(MetaSchema { properties, ..MetaSchema::new("object") });
        let content = vec![MetaMediaType { content_type: QUERY_MEDIA_TYPE, schema }];
        Some(MetaRequest { description: None, content, required: false })
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let mut params = Params::of(request.uri().query().unwrap_or(""));
        let read = T::read(&mut params);
        params.finish()?;
        Ok(Self(read))
    }
}

/// The parameters that nothing has taken yet.
pub struct Params {
    values: BTreeMap<String, String>,
    violations: Vec<Violation>,
}

impl Params {
    pub fn of(query: &str) -> Self {
        let mut params = Self { values: BTreeMap::new(), violations: Vec::new() };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if params.values.contains_key(name.as_ref()) {
                params.refuse(name.as_ref(), "given once");
            }
            params.values.insert(name.into_owned(), value.into_owned());
        }
        params
    }

    pub fn refuse(&mut self, name: &str, expected: &'static str) {
        self.violations
            .push(Violation::new(Rule::InvalidParameter { name: name.to_owned(), expected: expected.into() }));
    }

    /// What `parse` makes of the parameter; none when it is absent, or wrong and noted.
    pub fn take_with<T>(
        &mut self,
        name: &str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.values.remove(name)?;
        let parsed = parse(&value);
        if parsed.is_none() {
            self.refuse(name, expected);
        }
        parsed
    }

    pub fn take<T: FromStr>(&mut self, name: &str, expected: &'static str) -> Option<T> {
        self.take_with(name, expected, |value| value.parse().ok())
    }

    pub fn take_moment(&mut self, name: &str) -> Option<Timestamp> {
        self.take(name, "an RFC 3339 date and time, its + written %2B")
    }

    pub fn take_bool(&mut self, name: &str) -> Option<bool> {
        self.take(name, "true or false")
    }

    fn finish(mut self) -> Result<(), Refusal> {
        let unknown: Vec<String> = std::mem::take(&mut self.values).into_keys().collect();
        for name in unknown {
            self.refuse(&name, "left out: there is no such parameter here");
        }
        Refusal::from_violations(self.violations).map_or(Ok(()), Err)
    }
}

pub fn text_parameter(name: &'static str, description: &'static str) -> Parameter {
    Parameter { name, description, schema: MetaSchema::new("string") }
}

pub fn bool_parameter(name: &'static str, description: &'static str) -> Parameter {
    Parameter { name, description, schema: MetaSchema::new("boolean") }
}

pub fn moment_parameter(name: &'static str, description: &'static str) -> Parameter {
    Parameter { name, description, schema: MetaSchema::new_with_format("string", "date-time") }
}

pub fn choice_parameter(
    name: &'static str,
    description: &'static str,
    names: impl IntoIterator<Item = &'static str>,
) -> Parameter {
    let enum_items = names.into_iter().map(Into::into).collect();
    Parameter { name, description, schema: MetaSchema { enum_items, ..MetaSchema::new("string") } }
}

fn size_parameter() -> Parameter {
    let schema = MetaSchema {
        minimum: Some(1.0),
        maximum: Some(SIZE_MAX as f64),
        default: Some(SIZE_DEFAULT.into()),
        ..MetaSchema::new("integer")
    };
    Parameter { name: "page[size]", description: "How many on a page", schema }
}

fn take_size(query: &mut Params) -> usize {
    query
        .take_with("page[size]", "1 to 100", |value| value.parse().ok().filter(|size| (1..=SIZE_MAX).contains(size)))
        .unwrap_or(SIZE_DEFAULT)
}

/// Which page of a small collection.
#[derive(Debug, Clone, Copy)]
pub struct Numbered {
    /// From 1.
    number: usize,
    size: usize,
    oldest_first: bool,
}

impl Numbered {
    pub fn documented() -> Vec<Parameter> {
        let number = MetaSchema { minimum: Some(1.0), default: Some(1.into()), ..MetaSchema::new("integer") };
        vec![
            Parameter { name: "page[number]", description: "Which page; one past the end is empty", schema: number },
            size_parameter(),
            choice_parameter("sort", "By age, newest first (`-created_at`) unless asked otherwise", SORTS),
        ]
    }

    pub fn read(query: &mut Params) -> Self {
        let number = query.take_with("page[number]", "1 or more", |value| value.parse().ok().filter(|n| *n >= 1));
        let size = take_size(query);
        let sort =
            query.take_with("sort", "created_at or -created_at", |value| SORTS.into_iter().find(|sort| *sort == value));
        Self { number: number.unwrap_or(1), size, oldest_first: sort == Some(SORTS[0]) }
    }

    /// Cuts the page out of `rows`, which come oldest first.
    pub fn cut<A: Attributes, R>(
        self,
        call: &Call,
        rows: Vec<R>,
        mut view: impl FnMut(R) -> ResourceObject<A>,
    ) -> Listed<A> {
        let total = rows.len();
        let skip = (self.number - 1).saturating_mul(self.size);
        let data: Vec<ResourceObject<A>> = if self.oldest_first {
            rows.into_iter().skip(skip).take(self.size).map(&mut view).collect()
        } else {
            rows.into_iter().rev().skip(skip).take(self.size).map(&mut view).collect()
        };
        let total_pages = total.div_ceil(self.size);
        let link = |number: usize| link(call, &[("page[number]", Some(number.to_string()))]);
        let links = Links {
            next: Nullable((self.number < total_pages).then(|| link(self.number + 1))),
            prev: Nullable((self.number > 1 && self.number <= total_pages + 1).then(|| link(self.number - 1))),
        };
        Listed { data, meta: ListMeta { total, page: self.number, per_page: self.size, total_pages }, links }
    }
}

const SORTS: [&str; 2] = ["created_at", "-created_at"];

/// Where in a growing collection, which is walked newest first.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<Id> {
    pub walk: Walk<Id>,
}

/// Ids that a cursor can hide.
pub trait CursorId: Copy {
    fn from_u128(value: u128) -> Self;
    fn as_u128(self) -> u128;
}

impl CursorId for EventId {
    fn from_u128(value: u128) -> Self {
        Self::from_u128(value)
    }

    fn as_u128(self) -> u128 {
        self.as_u128()
    }
}

impl CursorId for DeliveryId {
    fn from_u128(value: u128) -> Self {
        Self::from_u128(value)
    }

    fn as_u128(self) -> u128 {
        self.as_u128()
    }
}

fn write_cursor<Id: CursorId>(id: Id) -> String {
    URL_SAFE_NO_PAD.encode(id.as_u128().to_be_bytes())
}

fn read_cursor<Id: CursorId>(text: &str) -> Option<Id> {
    let bytes: [u8; 16] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    Some(Id::from_u128(u128::from_be_bytes(bytes)))
}

impl<Id: CursorId> Cursor<Id> {
    pub fn documented() -> Vec<Parameter> {
        vec![
            text_parameter("page[after]", "What is older than this cursor, from `links.next`"),
            text_parameter("page[before]", "What is newer than this cursor, from `links.prev`"),
            size_parameter(),
        ]
    }

    pub fn read(query: &mut Params) -> Self {
        let size = take_size(query);
        let after = query.take_with("page[after]", "a cursor from links.next", read_cursor);
        let before = query.take_with("page[before]", "a cursor from links.prev", read_cursor);
        let from = match (after, before) {
            (None, None) => store::From::Newest,
            (Some(id), None) => store::From::After(id),
            (None, Some(id)) => store::From::Before(id),
            (Some(_), Some(_)) => {
                query.refuse("page[before]", "left out when page[after] is given");
                store::From::Newest
            }
        };
        Self { walk: Walk { from, size } }
    }

    pub fn list<A: Attributes>(
        self,
        call: &Call,
        data: Vec<ResourceObject<A>>,
        next: Option<Id>,
        previous: Option<Id>,
    ) -> Walked<A> {
        let after = |id| link(call, &[("page[after]", Some(write_cursor(id))), ("page[before]", None)]);
        let before = |id| link(call, &[("page[before]", Some(write_cursor(id))), ("page[after]", None)]);
        let links = Links { next: Nullable(next.map(after)), prev: Nullable(previous.map(before)) };
        Walked { data, meta: WalkMeta { per_page: self.walk.size }, links }
    }
}

/// The path of this call with some of its parameters replaced.
fn link(call: &Call, changes: &[(&str, Option<String>)]) -> String {
    let (path, query) = call.path_and_query.as_str().split_once('?').unwrap_or((call.path_and_query.as_str(), ""));
    let mut serializer = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if !changes.iter().any(|(changed, _)| *changed == name) {
            serializer.append_pair(&name, &value);
        }
    }
    for (name, value) in changes {
        if let Some(value) = value {
            serializer.append_pair(name, value);
        }
    }
    format!("{path}?{}", serializer.finish())
}

/// Where the neighbouring pages are.
#[derive(Debug, Serialize, Object)]
pub struct Links {
    next: Nullable<String>,
    prev: Nullable<String>,
}

/// Where a page stands in its collection.
#[derive(Debug, Serialize, Object)]
pub struct ListMeta {
    total: usize,
    page: usize,
    per_page: usize,
    total_pages: usize,
}

/// How a page of a growing collection was asked for.
#[derive(Debug, Serialize, Object)]
pub struct WalkMeta {
    per_page: usize,
}

/// A page of a small collection.
#[derive(Serialize)]
pub struct Listed<A> {
    data: Vec<ResourceObject<A>>,
    meta: ListMeta,
    links: Links,
}

/// A page of a growing collection.
#[derive(Serialize)]
pub struct Walked<A> {
    data: Vec<ResourceObject<A>>,
    meta: WalkMeta,
    links: Links,
}

struct PageOf<A, M>(PhantomData<(A, M)>);

impl<A: Attributes, M: poem_openapi::types::Type> PageOf<A, M> {
    fn schema_ref() -> MetaSchemaRef {
        object_schema(vec![
            ("data", array_schema(reference(A::NAME))),
            ("meta", M::schema_ref()),
            ("links", <Links as poem_openapi::types::Type>::schema_ref()),
        ])
    }

    fn register(registry: &mut Registry) {
        register_object::<A>(registry);
        M::register(registry);
        <Links as poem_openapi::types::Type>::register(registry);
    }
}

impl<A: Attributes> Shape for Listed<A> {
    const DESCRIPTION: &'static str = A::PAGE;

    fn schema_ref() -> Option<MetaSchemaRef> {
        Some(PageOf::<A, ListMeta>::schema_ref())
    }

    fn register(registry: &mut Registry) {
        PageOf::<A, ListMeta>::register(registry);
    }
}

impl<A: Attributes> Shape for Walked<A> {
    const DESCRIPTION: &'static str = A::PAGE;

    fn schema_ref() -> Option<MetaSchemaRef> {
        Some(PageOf::<A, WalkMeta>::schema_ref())
    }

    fn register(registry: &mut Registry) {
        PageOf::<A, WalkMeta>::register(registry);
    }
}
