//! What a receiver has to know of a profile to verify its deliveries, as data: what the snippets are written from.

use super::super::header::HeaderPrefix;
use super::{Profile, agentmessage, branded, mage, marea, standard};

/// HMAC-SHA256 over `{id}.` (if there is an id), the time, the separator and the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    /// How the key is made of the secret's text.
    pub key: KeyForm,
    /// The header of an id that is signed too.
    pub id_header: Option<HeaderRef>,
    pub time: TimePlace,
    /// What stands between the time and the body in what is signed.
    pub separator: char,
    pub signature_header: HeaderRef,
    /// Of each signature.
    pub signature_prefix: &'static str,
    pub encoding: Encoding,
}

/// The name of a header, without a tenant's brand part or with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderRef {
    Whole(&'static str),
    /// Follows the brand part.
    Branded(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyForm {
    /// The text's own bytes.
    Text,
    /// The bytes that its hexadecimal digits spell.
    Hex,
    /// The bytes that it spells in base64 after this prefix.
    Base64 { prefix: &'static str },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimePlace {
    /// Whole seconds since 1970, in a header beside a list of signatures that spaces separate.
    SecondsHeader(HeaderRef),
    /// RFC 3339, in a header beside the only signature.
    Rfc3339Header(HeaderRef),
    /// Whole seconds since 1970 as `t=…`, in the header of the signature: a list that commas separate.
    InSignature,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Hex,
    Base64,
}

impl Profile {
    pub fn recipe(self) -> &'static Recipe {
        match self {
            Self::Standard => &standard::RECIPE,
            Self::Mage => &mage::RECIPE,
            Self::Marea => &marea::RECIPE,
            Self::AgentMessage => &agentmessage::RECIPE,
        }
    }

    /// The lower-case name of a header of this profile. `prefix` is the tenant's brand part, if it has one.
    pub fn header_name(self, header: HeaderRef, prefix: Option<&HeaderPrefix>) -> String {
        let own = match self {
            Self::Standard => "",
            Self::Mage => mage::HEADER_PREFIX,
            Self::Marea => marea::HEADER_PREFIX,
            Self::AgentMessage => agentmessage::HEADER_PREFIX,
        };
        match header {
            HeaderRef::Whole(name) => name.to_owned(),
            HeaderRef::Branded(name) => branded(own, prefix)(name).into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;

    use super::super::super::secret::Secret;
    use super::super::fixture::Fixture;
    use super::*;

    /// Signs as the recipe says; knows nothing else of the profile.
    fn signature(recipe: &Recipe, secret: &str, id: &str, time: &str, body: &[u8]) -> String {
        let key = match recipe.key {
            KeyForm::Text => secret.as_bytes().to_vec(),
            KeyForm::Hex => hex::decode(secret).unwrap(),
            KeyForm::Base64 { prefix } => STANDARD.decode(secret.strip_prefix(prefix).unwrap()).unwrap(),
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        if recipe.id_header.is_some() {
            mac.update(format!("{id}.").as_bytes());
        }
        mac.update(format!("{time}{}", recipe.separator).as_bytes());
        mac.update(body);
        let mac = mac.finalize().into_bytes();
        let text = match recipe.encoding {
            Encoding::Hex => hex::encode(mac),
            Encoding::Base64 => STANDARD.encode(mac),
        };
        format!("{}{text}", recipe.signature_prefix)
    }

    #[test]
    fn each_recipe_makes_the_signature_that_its_profile_sends() {
        let mut fixture = Fixture::default();
        for brand in [None, Some("X-Acme-".parse().unwrap())] {
            fixture.tenant.header_prefix = brand;
            for profile in Profile::ALL {
                let recipe = profile.recipe();
                let secret = profile.show_secret(&Secret::from_bytes(vec![7; 32]).unwrap());
                fixture.with_message(|message, sending| {
                    let sent = profile.headers(message, b"{}", sending);
                    let value = |header| {
                        let name = profile.header_name(header, message.tenant.header_prefix.as_ref());
                        let found = sent.iter().find(|(known, _)| *known == name);
                        found.unwrap_or_else(|| panic!("{} sends no {name}", profile.name())).1.clone()
                    };
                    let signed = value(recipe.signature_header);
                    let time = match recipe.time {
                        TimePlace::SecondsHeader(header) | TimePlace::Rfc3339Header(header) => value(header),
                        TimePlace::InSignature => {
                            signed.split(',').find_map(|part| part.strip_prefix("t=")).unwrap().to_owned()
                        }
                    };
                    let id = recipe.id_header.map(value).unwrap_or_default();
                    let expected = signature(recipe, &secret, &id, &time, b"{}");
                    let mut signatures = signed.split([' ', ',']).collect::<Vec<_>>();
                    // `v1,` holds the comma that others separate with.
                    signatures.push(&signed);
                    assert!(signatures.contains(&expected.as_str()), "{}: {signed}, not {expected}", profile.name());
                });
            }
        }
    }
}
