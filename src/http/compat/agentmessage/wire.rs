//! How AgentMessage writes things: UUIDs, times in whole seconds, single objects as they are, lists in a wrapper.

use std::marker::PhantomData;

use poem_openapi::Object;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde::{Serialize, Serializer};

use crate::domain::profile::agentmessage::in_seconds;
use crate::domain::time::Timestamp;
use crate::domain::uuid::Uuid;
use crate::http::reply::{Shape, array_schema, inline, object_schema};
use crate::http::value::{Nullable, documented};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UuidText(pub Uuid);

impl Serialize for UuidText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

documented!(UuidText, "uuid", MetaSchema::new_with_format("string", "uuid"));

/// RFC 3339 UTC in whole seconds, with `Z`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seconds(pub Timestamp);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&in_seconds(self.0))
    }
}

documented!(Seconds, "seconds", MetaSchema::new_with_format("string", "date-time"));

/// What the document says of an answer that is, or lists, such objects.
pub trait Described: Type {
    const ONE: &'static str;
    const LIST: &'static str;
}

/// The object itself.
pub struct Bare<T>(PhantomData<fn() -> T>);

impl<T: Described> Shape for Bare<T> {
    const DESCRIPTION: &'static str = T::ONE;

    fn schema_ref() -> Option<MetaSchemaRef> {
        Some(T::schema_ref())
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// `{"success":true,"data":[…],"meta":{…}}`
#[derive(Serialize)]
pub struct List<T> {
    success: bool,
    data: Vec<T>,
    meta: ListMeta,
}

/// Where a list stands
#[derive(Debug, Serialize, Object)]
#[oai(rename = "ListMeta")]
pub struct ListMeta {
    /// How many there are; 0 where nobody counts them
    pub total: usize,
    pub limit: usize,
    /// Always 0: lists go on by cursor
    pub offset: usize,
    /// For `cursor`; null at the end
    pub next_cursor: Nullable<String>,
}

impl<T> List<T> {
    pub fn new(data: Vec<T>, meta: ListMeta) -> Self {
        Self { success: true, data, meta }
    }
}

impl<T: Described> Shape for List<T> {
    const DESCRIPTION: &'static str = T::LIST;

    fn schema_ref() -> Option<MetaSchemaRef> {
        let success = MetaSchema { enum_items: vec![true.into()], ..MetaSchema::new("boolean") };
        Some(object_schema(vec![
            ("success", inline(success)),
            ("data", array_schema(T::schema_ref())),
            ("meta", ListMeta::schema_ref()),
        ]))
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
        ListMeta::register(registry);
    }
}
