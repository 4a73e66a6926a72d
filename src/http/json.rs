//! JSON text as publishers write it: taken apart without being interpreted, so that values keep their bytes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::domain::violation::{Rule, Violation};

/// The members of a JSON object, their values untouched. Of more than [`MEMBERS_MAX`] only so many and one: no object here has
/// half of them, so it is refused for what they are.
pub struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

pub const MEMBERS_MAX: usize = 1_000;

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(8);
                while members.len() <= MEMBERS_MAX
                    && let Some(Name(name)) = map.next_key()?
                {
                    members.push((name, map.next_value()?));
                }
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

/// A member's name, borrowed when it holds no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

/// A body as text.
pub fn text_of(body: &[u8]) -> Result<&str, Violation> {
    std::str::from_utf8(body).map_err(|error| Violation::new(Rule::InvalidJson(error.to_string())))
}

/// Splits a body into its members.
pub fn members(text: &str) -> Result<Members<'_>, Violation> {
    serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Violation::new(Rule::InvalidType { expected: "a JSON object" }),
        _ => Violation::new(Rule::InvalidJson(error.to_string())),
    })
}

/// Whether a JSON text nests deeper than `max`. It must be valid JSON.
pub fn is_deeper(json: &str, max: usize) -> bool {
    // A look without regard to strings is cheap and nearly always enough: what opens so few brackets is not deep. In
    // ASCII the two brackets differ in one bit, and runs that a byte can count are added up many at once.
    let is_opening = |byte: &u8| u8::from(byte | 0x20 == b'{');
    let opened: usize =
        json.as_bytes().chunks(255).map(|run| usize::from(run.iter().map(is_opening).sum::<u8>())).sum();
    opened > max && depth(json) > max
}

/// How deep a JSON text nests: 0 for a plain value, 1 for `[]`. It must be valid JSON.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

/// A body with its members' order and spacing taken away, for comparing two requests. Text that is not JSON stands for
/// itself.
pub fn canonical(body: &[u8]) -> Vec<u8> {
    // serde_json's map is sorted by name.
    let sorted = serde_json::from_slice::<Value>(body).ok().and_then(|value| serde_json::to_vec(&value).ok());
    sorted.unwrap_or_else(|| body.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_arrays_and_objects_and_no_brackets_in_strings() {
        for (json, expected) in [
            ("5", 0),
            (r#""[[[""#, 0),
            ("[]", 1),
            ("{}", 1),
            (r#"{"a":[{"b":1}],"c":[]}"#, 3),
            (r#"["\"[", "\\", [1]]"#, 2),
            (r#"[[],[[]],[]]"#, 3),
        ] {
            assert_eq!(depth(json), expected, "{json}");
            for max in 0..5 {
                assert_eq!(is_deeper(json, max), expected > max, "{json} and {max}");
            }
        }
    }

    #[test]
    fn values_that_a_json_library_would_change_keep_their_bytes() {
        let body = r#"{"data": {"a":1e400, "a" : -0,"b":[ 123456789012345678901234567890, "\ud800" ]} , "type":"x"}"#;
        let Members(members) = members(body).unwrap();
        assert_eq!(members[0].1.get(), r#"{"a":1e400, "a" : -0,"b":[ 123456789012345678901234567890, "\ud800" ]}"#);
    }

    #[test]
    fn deep_nesting_is_split_without_recursion() {
        let deep = format!(r#"{{"data":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let Members(members) = members(&deep).unwrap();
        assert_eq!(depth(members[0].1.get()), 100_000);
    }

    #[test]
    fn the_order_and_spacing_of_members_do_not_make_a_body_another_one() {
        assert_eq!(canonical(br#"{"b":1, "a":{"d":2,"c":3}}"#), canonical(br#"{"a":{"c":3,"d":2},"b":1}"#));
        assert_ne!(canonical(br#"{"a":1}"#), canonical(br#"{"a":2}"#));
        assert_eq!(canonical(b"{nonsense"), b"{nonsense");
    }
}
