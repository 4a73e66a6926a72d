//! What a subscription is called in the published contracts: an id that was imported with it, or one that follows from ours.

use std::fmt;
use std::str::FromStr;

use super::contract::Contract;
use super::id::{InvalidId, SubscriptionId};
use super::profile::marea;
use super::uuid::Uuid;

/// The ids that were imported. None: the one that follows from our own id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublicIds {
    pub marea: Option<MareaEndpointId>,
    pub agentmessage: Option<Uuid>,
}

impl PublicIds {
    /// What the subscription with this id of ours is called.
    pub fn marea_of(&self, id: SubscriptionId) -> MareaEndpointId {
        self.marea.unwrap_or_else(|| marea::endpoint_id(id))
    }

    pub fn agentmessage_of(&self, id: SubscriptionId) -> Uuid {
        self.agentmessage.unwrap_or(Uuid::from_u128(id.as_u128()))
    }

    /// Its names in all contracts.
    pub fn all_of(&self, id: SubscriptionId) -> [PublicId; Contract::ALL.len()] {
        [PublicId::Marea(self.marea_of(id)), PublicId::AgentMessage(self.agentmessage_of(id))]
    }
}

/// The name of a subscription in one contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublicId {
    Marea(MareaEndpointId),
    AgentMessage(Uuid),
}

/// `mk_we_` and 16 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MareaEndpointId([u8; Self::BYTES]);

impl MareaEndpointId {
    const PREFIX: &'static str = "mk_we_";
    const BYTES: usize = 8;

    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for MareaEndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, hex::encode(self.0))
    }
}

impl FromStr for MareaEndpointId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digits = text.strip_prefix(Self::PREFIX).ok_or(InvalidId)?;
        if digits.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(InvalidId);
        }
        let mut bytes = [0; Self::BYTES];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| InvalidId)?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_id_reads_back_and_nothing_else_is_one() {
        let text = "mk_we_750abd99b13d16d0";
        assert_eq!(text.parse::<MareaEndpointId>().unwrap().to_string(), text);
        for wrong in [
            "",
            "mk_we_",
            "750abd99b13d16d0",
            "mk_we_750abd99b13d16d",
            "mk_we_750abd99b13d16d00",
            "mk_we_750ABD99B13D16D0",
            "mk_we_750abd99b13d16dg",
            "MK_WE_750abd99b13d16d0",
        ] {
            assert!(wrong.parse::<MareaEndpointId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_imported_id_takes_the_place_of_the_one_that_follows_from_ours() {
        let id = SubscriptionId::from_u128(5);
        let own = PublicIds::default();
        assert_eq!(own.marea_of(id).to_string(), "mk_we_750abd99b13d16d0");
        assert_eq!(own.agentmessage_of(id).to_string(), "00000000-0000-0000-0000-000000000005");
        let imported = PublicIds { marea: "mk_we_0123456789abcdef".parse().ok(), ..own };
        assert_eq!(imported.marea_of(id).to_string(), "mk_we_0123456789abcdef");
        assert_eq!(imported.agentmessage_of(id), own.agentmessage_of(id));
    }
}
