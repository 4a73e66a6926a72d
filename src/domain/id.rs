//! TypeIDs: a prefix, `_`, and a UUIDv7 in lower-case Crockford base32.
//!
//! Source: TypeID 0.3 (prefix, 26 characters, first character 0..7) and RFC 9562 section 5.7 with
//! method 1 of section 6.2 (a counter below the milliseconds).

use std::fmt;
use std::str::FromStr;

use rand::{Rng, RngExt};

use super::time::Timestamp;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LENGTH: usize = 26;

/// A text that is not an id of the wanted kind. Callers answer "not found": an id that cannot exist names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid id")]
pub struct InvalidId;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            pub const fn from_u128(value: u128) -> Self {
                Self(value)
            }

            pub const fn as_u128(self) -> u128 {
                self.0
            }

            /// Big-endian, so that the order of bytes is the order of creation.
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0.to_be_bytes()
            }

            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(u128::from_be_bytes(bytes))
            }

            /// The milliseconds in the id: when it was assigned, or a little later than that (see [`IdGenerator`]).
            pub const fn assigned_at(self) -> Timestamp {
                Timestamp::from_millis((self.0 >> 80) as i64)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($prefix, "_"))?;
                f.write_str(encode(self.0, &mut [0; TEXT_LENGTH]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let suffix = text.strip_prefix(concat!($prefix, "_")).ok_or(InvalidId)?;
                decode(suffix).map(Self)
            }
        }
    )*};
}

ids! {
    /// `aud_…`
    AuditId = "aud";
    /// `plk_…`
    PortalLinkId = "plk";
    /// `pse_…`
    PortalSessionId = "pse";
    /// `tnt_…`
    TenantId = "tnt";
    /// `key_…`
    KeyId = "key";
    /// `whsub_…`
    SubscriptionId = "whsub";
    /// `evt_…`
    EventId = "evt";
    /// `dlv_…`
    DeliveryId = "dlv";
    /// `att_…`
    AttemptId = "att";
    /// `job_…`
    JobId = "job";
    /// `usr_…`
    UserId = "usr";
    /// `ses_…`
    SessionId = "ses";
    /// `bak_…`
    BackupId = "bak";
    /// `lsn_…`: random, not made by [`IdGenerator`].
    ListenerId = "lsn";
}

impl TenantId {
    /// The tenant that exists from the first start.
    pub const DEFAULT: Self = Self(reserved(1));
    /// The tenant that receives what Waxwing says about itself.
    pub const SYSTEM: Self = Self(reserved(2));
}

impl KeyId {
    /// The key of `WAXWING_ADMIN_KEY`: compared from memory, never stored.
    pub const ENVIRONMENT: Self = Self(reserved(3));
}

/// A UUIDv7 of millisecond 0, which no generator ever assigns.
const fn reserved(n: u128) -> u128 {
    (0x7 << 76) | (0b10 << 62) | n
}

fn encode(value: u128, text: &mut [u8; TEXT_LENGTH]) -> &str {
    let mut rest = value;
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(rest & 31) as usize];
        rest >>= 5;
    }
    std::str::from_utf8(text).expect("the alphabet is ASCII")
}

fn decode(text: &str) -> Result<u128, InvalidId> {
    let text: &[u8; TEXT_LENGTH] = text.as_bytes().try_into().map_err(|_| InvalidId)?;
    // 26 characters hold 130 bits: the first may only use its lower three.
    if text[0] > b'7' {
        return Err(InvalidId);
    }
    text.iter().try_fold(0, |value: u128, character| {
        let digit = ALPHABET.iter().position(|known| known == character).ok_or(InvalidId)?;
        Ok((value << 5) | digit as u128)
    })
}

/// Makes ids that only ever grow, whatever the clock does.
///
/// 48 bits of milliseconds, a 32-bit counter, 42 random bits. The milliseconds are the later of the clock and the
/// last id, so a clock that goes back breaks neither cursors nor order.
#[derive(Debug)]
pub struct IdGenerator {
    last: u128,
}

/// Where the counter begins: above 42 random bits, interrupted by the two variant bits.
const COUNTER_BITS: u32 = 32;
const TAIL_BITS: u32 = 42;

impl IdGenerator {
    /// Goes on after `last`, the greatest id ever assigned (0 in an empty store).
    pub fn after(last: u128) -> Self {
        Self { last }
    }

    pub fn next(&mut self, now: Timestamp, chance: &mut impl Rng) -> u128 {
        let (last_millis, last_counter) = split(self.last);
        let now_millis = now.as_millis().max(1) as u64;
        let (millis, counter) = if now_millis > last_millis {
            (now_millis, 0)
        } else if last_counter < u32::MAX {
            (last_millis, last_counter + 1)
        } else {
            (last_millis + 1, 0)
        };
        let tail = chance.random::<u64>() >> (64 - TAIL_BITS);
        self.last = join(millis, counter, tail);
        self.last
    }
}

fn join(millis: u64, counter: u32, tail: u64) -> u128 {
    let high = u128::from(counter >> (COUNTER_BITS - 12));
    let low = u128::from(counter & 0x000f_ffff);
    (u128::from(millis) << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | (low << TAIL_BITS) | u128::from(tail)
}

fn split(id: u128) -> (u64, u32) {
    let high = (id >> 64) as u32 & 0x0fff;
    let low = (id >> TAIL_BITS) as u32 & 0x000f_ffff;
    ((id >> 80) as u64, (high << 20) | low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn an_id_reads_back_from_its_text() {
        let id = EventId::from_u128(0x0188_bac7_4afa_78aa_bc3b_bd1e_ef28_d881);
        // The suffix is the one in TypeID's own table of valid cases.
        assert_eq!(id.to_string(), "evt_01h2xcejqtf2nbrexx3vqjhp41");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn texts_that_are_not_ids_are_refused() {
        for text in [
            "",
            "evt_",
            "01h2xcejqtf2nbrexx3vqjhp41",
            "dlv_01h2xcejqtf2nbrexx3vqjhp41",
            "evt_01h2xcejqtf2nbrexx3vqjhp4",
            "evt_01h2xcejqtf2nbrexx3vqjhp411",
            "evt_81h2xcejqtf2nbrexx3vqjhp41",
            "evt_01h2xcejqtf2nbrexx3vqjhp4I",
            "evt_01H2XCEJQTF2NBREXX3VQJHP41",
            "evt_01h2xcejqtf2nbrexx3vqjhpé",
        ] {
            assert_eq!(text.parse::<EventId>(), Err(InvalidId), "{text}");
        }
    }

    #[test]
    fn ids_grow_while_the_clock_stands_still_and_goes_back() {
        let mut chance = StdRng::seed_from_u64(1);
        let mut generator = IdGenerator::after(0);
        let mut last = 0;
        for millis in [5_000, 5_000, 5_000, 4_000, 1, 5_001, 5_000] {
            let id = generator.next(Timestamp::from_millis(millis), &mut chance);
            assert!(id > last);
            assert_eq!((id >> 76) & 0xf, 7, "version");
            assert_eq!((id >> 62) & 0b11, 0b10, "variant");
            last = id;
        }
    }

    #[test]
    fn a_full_counter_moves_on_to_the_next_millisecond() {
        let mut chance = StdRng::seed_from_u64(1);
        let mut generator = IdGenerator::after(join(5_000, u32::MAX, 0));
        let id = generator.next(Timestamp::from_millis(5_000), &mut chance);
        assert_eq!(split(id), (5_001, 0));
    }

    #[test]
    fn reserved_ids_come_before_every_assigned_one() {
        let first = IdGenerator::after(0).next(Timestamp::from_millis(0), &mut StdRng::seed_from_u64(1));
        assert!(TenantId::SYSTEM.as_u128() < first);
    }
}
