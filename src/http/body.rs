//! Request bodies: flat JSON objects, read strictly, with every problem reported and not only the first.
//!
//! poem-openapi's own `Json<T>` stops at the first problem, takes `5` for `"5"` and does not name a missing field. Here
//! a body is split into its members without being interpreted, and each field reads its own: `data`, schemas and
//! examples keep their bytes.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body as _;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use poem::error::ReadBodyError;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::{MaybeUndefined, Type};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::json::{MEMBERS_MAX, Members, is_deeper, members, text_of};
use super::problem::{Ground, Refusal};
use super::value::{MomentText, Raw};
use super::visit::Visit;
use crate::domain::event::DATA_DEPTH_MAX;
use crate::domain::violation::{Rule, VIOLATIONS_MAX, Violation};

/// A body as it came. [`Body::read`] makes a `T` of it, once the caller is known and no earlier answer is repeated. `D` is
/// how the document shows it.
pub struct Body<T, D = T> {
    bytes: Bytes,
    wire: PhantomData<fn() -> (T, D)>,
}

/// What is read from a request body.
pub trait Wire: Sized {
    /// Whether a request without a body is refused.
    const IS_BODY_REQUIRED: bool;

    fn read(fields: &mut Fields<'_>) -> Self;
}

impl<T: Wire, D> Body<T, D> {
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What is wrong so far is in the second part, to which the operation adds its own findings.
    pub fn read(&self) -> Result<(T, Findings), Refusal> {
        let text: &[u8] = if self.bytes.is_empty() && !T::IS_BODY_REQUIRED { b"{}" } else { &self.bytes };
        let mut fields = Fields::of(members(text_of(text)?)?);
        let body = T::read(&mut fields);
        Ok((body, fields.into_findings()))
    }
}

impl<'a, T: Wire, D: Type> ApiExtractor<'a> for Body<T, D> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        D::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType { content_type: "application/json", schema: D::schema_ref() }],
            required: T::IS_BODY_REQUIRED,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let bytes = take_bytes(body, Visit::of(request).body_bytes_max).await?;
        if !bytes.is_empty() || T::IS_BODY_REQUIRED {
            let media_type = media_type(request);
            if !media_type.as_deref().is_some_and(is_json) {
                return Err(Refusal::new(Ground::UnsupportedMediaType { expected: "application/json" }).into());
            }
        }
        Ok(Self { bytes, wire: PhantomData })
    }
}

/// Reserved for a body on the word of its sender alone.
const RESERVED_BYTES_MAX: usize = 64 * 1024;

/// What the sender of a body may take for it: so much at the start …
const BODY_TIME: Duration = Duration::from_secs(15);
/// … and as long as this many bytes a second take.
const BODY_BYTES_PER_SECOND_MIN: usize = 4 * 1024;

/// Reads a whole body, or refuses it as soon as it is longer than allowed, or comes too slowly.
pub async fn take_bytes(body: &mut RequestBody, bytes_max: usize) -> Result<Bytes, Refusal> {
    let Ok(body) = body.take() else { return Ok(Bytes::new()) };
    let mut body = BoxBody::<Bytes, io::Error>::from(body);
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    // A copy also when it came in one piece, which would keep the whole buffer of its connection in memory.
    let mut bytes = Vec::with_capacity(announced.min(RESERVED_BYTES_MAX));
    let begun = Instant::now();
    loop {
        let late_at = begun + BODY_TIME + Duration::from_secs((bytes.len() / BODY_BYTES_PER_SECOND_MIN) as u64);
        let Ok(frame) = timeout_at(late_at, body.frame()).await else {
            return Err(Violation::new(Rule::InvalidJson("it came too slowly".to_owned())).into());
        };
        let Some(frame) = frame else { break };
        // The client went away in the middle, or cannot count: what it reads of this, if anything, is little.
        let frame = frame.map_err(|error| Violation::new(Rule::InvalidJson(ReadBodyError::Io(error).to_string())))?;
        let Ok(piece) = frame.into_data() else { continue };
        if piece.len() > bytes_max - bytes.len() {
            return Err(Refusal::new(Ground::BodyTooLarge { bytes_max }));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

/// `type/subtype` in lower case, without parameters.
pub fn media_type(request: &Request) -> Option<String> {
    let value = request.content_type()?;
    Some(value.split(';').next().unwrap_or(value).trim().to_ascii_lowercase())
}

pub fn is_json(media_type: &str) -> bool {
    media_type == "application/json" || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// What is wrong with a body, as it is found: the first [`VIOLATIONS_MAX`].
#[derive(Debug, Default)]
pub struct Findings {
    violations: Vec<Violation>,
}

impl Findings {
    pub fn add(&mut self, rule: Rule, pointer: impl Into<String>) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation::at(rule, pointer));
        }
    }

    /// Takes over what was found elsewhere, less what is known of the same place.
    pub fn extend(&mut self, violations: Vec<Violation>) {
        let new = violations.into_iter().filter(|violation| !self.has_at(&violation.pointer)).collect::<Vec<_>>();
        self.violations.extend(new);
        self.violations.truncate(VIOLATIONS_MAX);
    }

    /// Takes over what was found in a part of the body, which begins at `pointer`.
    pub fn extend_below(&mut self, inner: Self, pointer: &str) {
        self.violations.extend(inner.violations.into_iter().map(|violation| violation.below(pointer)));
        self.violations.truncate(VIOLATIONS_MAX);
    }

    /// Whether nothing is wrong so far with a field or what is in it: only then it is worth a closer look.
    pub fn is_sound(&self, field: &str) -> bool {
        !self.violations.iter().any(|violation| {
            violation.pointer.strip_prefix('/').and_then(|pointer| pointer.split('/').next()) == Some(field)
        })
    }

    /// Whether something is wrong with exactly this place.
    pub fn has_at(&self, pointer: &str) -> bool {
        self.violations.iter().any(|violation| violation.pointer == pointer)
    }

    pub fn finish(self) -> Result<(), Refusal> {
        Refusal::from_violations(self.violations).map_or(Ok(()), Err)
    }
}

/// The members of a body that no field has taken yet.
pub struct Fields<'a> {
    members: HashMap<Cow<'a, str>, &'a RawValue>,
    findings: Findings,
}

impl<'a> Fields<'a> {
    fn of(Members(members): Members<'a>) -> Self {
        let mut fields = Self { members: HashMap::with_capacity(members.len()), findings: Findings::default() };
        for (name, value) in members {
            // Which of the two is meant cannot be known, so neither is taken.
            if fields.members.contains_key(&name) {
                fields.findings.add(Rule::DuplicateItem, pointer_of(&name));
            }
            fields.members.insert(name, value);
        }
        fields
    }

    /// Takes the field out and reads it; what is wrong with it is remembered.
    pub fn take<F: Field>(&mut self, name: &'static str) -> F {
        let value = self.members.remove(name);
        F::read(value, name, &mut self.findings)
    }

    fn into_findings(mut self) -> Findings {
        let mut unknown: Vec<&Cow<'a, str>> = self.members.keys().collect();
        unknown.sort();
        for name in unknown {
            self.findings.add(Rule::UnknownField { name: name.to_string() }, pointer_of(name));
        }
        self.findings
    }
}

/// An object inside of a body, read as strictly as the body itself.
pub fn nested<T: Wire>(value: &RawValue, pointer: &str, findings: &mut Findings) -> Option<T> {
    let members: Members<'_> = serde_json::from_str(value.get()).ok()?;
    let mut fields = Fields::of(members);
    let read = T::read(&mut fields);
    findings.extend_below(fields.into_findings(), pointer);
    Some(read)
}

/// RFC 6901: `~` and `/` are written `~0` and `~1`.
pub fn pointer_of(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// What a field of a body can be.
pub trait Field: Sized {
    /// A stand-in is returned when something is wrong: the findings say so.
    fn read(value: Option<&RawValue>, name: &'static str, findings: &mut Findings) -> Self;
}

/// A JSON value of one type.
pub trait Scalar: Default {
    const EXPECTED: &'static str;

    fn from_raw(value: &RawValue, pointer: &str, findings: &mut Findings) -> Option<Self>;
}

fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// Required, and never null.
pub fn required<S: Scalar>(value: Option<&RawValue>, name: &'static str, findings: &mut Findings) -> S {
    match value {
        Some(value) => present(value, name, findings).unwrap_or_default(),
        None => {
            findings.add(Rule::MissingField { name: name.into() }, pointer_of(name));
            S::default()
        }
    }
}

fn present<S: Scalar>(value: &RawValue, name: &'static str, findings: &mut Findings) -> Option<S> {
    let pointer = pointer_of(name);
    let read = S::from_raw(value, &pointer, findings);
    if read.is_none() && findings.is_sound(name) {
        findings.add(Rule::InvalidType { expected: S::EXPECTED }, pointer);
    }
    read
}

/// Optional, but not null: an absent field keeps its default.
impl<S: Scalar> Field for Option<S> {
    fn read(value: Option<&RawValue>, name: &'static str, findings: &mut Findings) -> Self {
        present(value?, name, findings)
    }
}

/// Optional, and null means something of its own.
impl<S: Scalar> Field for MaybeUndefined<S> {
    fn read(value: Option<&RawValue>, name: &'static str, findings: &mut Findings) -> Self {
        match value {
            None => Self::Undefined,
            Some(value) if is_null(value) => Self::Null,
            Some(value) => present(value, name, findings).map_or(Self::Undefined, Self::Value),
        }
    }
}

macro_rules! required_fields {
    ($($scalar:ty),*) => {$(
        impl $crate::http::body::Field for $scalar {
            fn read(
                value: Option<&serde_json::value::RawValue>,
                name: &'static str,
                findings: &mut $crate::http::body::Findings,
            ) -> Self {
                $crate::http::body::required(value, name, findings)
            }
        }
    )*};
}
pub(super) use required_fields;
required_fields!(String, Vec<String>, MomentText, Raw);

/// A string, or a type that stands for some strings.
macro_rules! text_scalar {
    ($text:ty) => {
        impl $crate::http::body::Scalar for $text {
            const EXPECTED: &'static str = "a string";

            fn from_raw(
                value: &serde_json::value::RawValue,
                _pointer: &str,
                _findings: &mut $crate::http::body::Findings,
            ) -> Option<Self> {
                let text: Option<String> = serde_json::from_str(value.get()).ok();
                text.map(Self::from)
            }
        }
    };
}
pub(super) use text_scalar;
text_scalar!(String);
text_scalar!(MomentText);

impl Scalar for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_raw(value: &RawValue, _pointer: &str, _findings: &mut Findings) -> Option<Self> {
        serde_json::from_str(value.get()).ok()
    }
}

impl Scalar for i64 {
    const EXPECTED: &'static str = "an integer";

    fn from_raw(value: &RawValue, _pointer: &str, _findings: &mut Findings) -> Option<Self> {
        let number: serde_json::Number = serde_json::from_str(value.get()).ok()?;
        if let Some(integer) = number.as_i64() {
            return Some(integer);
        }
        // 3.0 is an integer in JSON Schema; what is too large for i64 is out of every range.
        let float = number.as_f64()?;
        (float.fract() == 0.0).then_some(float as Self)
    }
}

impl<T: From<String>> Scalar for Vec<T> {
    const EXPECTED: &'static str = "an array of strings";

    fn from_raw(value: &RawValue, pointer: &str, findings: &mut Findings) -> Option<Self> {
        let items: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
        let mut strings = Self::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            match serde_json::from_str::<String>(item.get()) {
                Ok(string) => strings.push(string.into()),
                Err(_) => {
                    findings.add(Rule::InvalidType { expected: "a string" }, format!("{pointer}/{index}"));
                    // Keeps the place, so that the others can still be judged where they stand.
                    strings.push(String::new().into());
                }
            }
        }
        Some(strings)
    }
}

impl Scalar for BTreeMap<String, String> {
    const EXPECTED: &'static str = "an object of strings";

    fn from_raw(value: &RawValue, pointer: &str, findings: &mut Findings) -> Option<Self> {
        let members: Members<'_> = serde_json::from_str(value.get()).ok()?;
        if members.0.len() > MEMBERS_MAX {
            findings.add(Rule::TooManyItems { max: MEMBERS_MAX }, pointer);
            return None;
        }
        let mut pairs = Self::new();
        for (name, value) in members.0 {
            match serde_json::from_str(value.get()) {
                Ok(text) => drop(pairs.insert(name.into_owned(), text)),
                Err(_) => {
                    findings.add(Rule::InvalidType { expected: "a string" }, format!("{pointer}{}", pointer_of(&name)))
                }
            }
        }
        Some(pairs)
    }
}

impl Default for Raw {
    fn default() -> Self {
        Self(RawValue::NULL.to_owned())
    }
}

/// JSON that is kept as it came, no deeper than what can be read back.
impl Scalar for Raw {
    const EXPECTED: &'static str = "JSON";

    fn from_raw(value: &RawValue, pointer: &str, findings: &mut Findings) -> Option<Self> {
        if is_deeper(value.get(), DATA_DEPTH_MAX) {
            findings.add(Rule::PayloadTooDeep { max: DATA_DEPTH_MAX }, pointer);
            return None;
        }
        Some(Self(value.to_owned()))
    }
}

/// The body of an operation that needs none: nothing, or `{}`.
#[derive(poem_openapi::Object)]
pub struct Nothing {}

impl Wire for Nothing {
    const IS_BODY_REQUIRED: bool = false;

    fn read(_fields: &mut Fields<'_>) -> Self {
        Self {}
    }
}
