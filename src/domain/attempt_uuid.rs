//! A UUID for each attempt, for contracts that name attempts and not deliveries. It is read back without a table.
//!
//! No two ids of ours share their milliseconds and counter: the store's generator moves on with every id, also after a
//! restart (see [`super::id::IdGenerator`]). So the lowest random bits of a delivery's id can give way to the number of
//! an attempt, and what is left still names one delivery. Version 8 (RFC 9562 section 5.8) marks that it is not an id of
//! ours as it is.

use std::ops::RangeInclusive;

use super::id::DeliveryId;
use super::uuid::Uuid;

/// The number of an attempt is a `u16`.
const NUMBER_BITS: u32 = 16;
const NUMBER_MASK: u128 = (1 << NUMBER_BITS) - 1;
const VERSION_MASK: u128 = 0xf << 76;
const VERSION_7: u128 = 0x7 << 76;
const VERSION_8: u128 = 0x8 << 76;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptUuid(u128);

impl AttemptUuid {
    /// `number` counts from 1.
    pub const fn of(delivery: DeliveryId, number: u16) -> Self {
        Self((delivery.as_u128() & !(VERSION_MASK | NUMBER_MASK)) | VERSION_8 | number as u128)
    }

    /// None when no attempt can have this UUID.
    pub const fn from_uuid(uuid: Uuid) -> Option<Self> {
        let value = uuid.as_u128();
        let is_ours = value & VERSION_MASK == VERSION_8 && value & NUMBER_MASK != 0;
        if is_ours { Some(Self(value)) } else { None }
    }

    pub const fn uuid(self) -> Uuid {
        Uuid::from_u128(self.0)
    }

    pub const fn number(self) -> u16 {
        (self.0 & NUMBER_MASK) as u16
    }

    /// Where the delivery's id lies. At most one is there.
    pub const fn deliveries(self) -> RangeInclusive<DeliveryId> {
        let low = (self.0 & !(VERSION_MASK | NUMBER_MASK)) | VERSION_7;
        DeliveryId::from_u128(low)..=DeliveryId::from_u128(low | NUMBER_MASK)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::domain::id::IdGenerator;
    use crate::domain::time::Timestamp;

    proptest! {
        /// The clock jumps as it likes, and the generator begins anew after the last id, as it does after a restart.
        #[test]
        fn an_attempts_uuid_leads_to_its_delivery_and_to_no_other(
            seed: u64,
            steps in proptest::collection::vec((0_i64..4, proptest::bool::weighted(0.1)), 1..200),
            number in 1_u16..,
        ) {
            let mut chance = StdRng::seed_from_u64(seed);
            let mut generator = IdGenerator::after(0);
            let mut deliveries = Vec::new();
            for (millis, is_restarted) in steps {
                if is_restarted {
                    generator = IdGenerator::after(deliveries.last().map_or(0, |id: &DeliveryId| id.as_u128()));
                }
                let now = Timestamp::from_millis(1_771_416_000_000 + millis);
                deliveries.push(DeliveryId::from_u128(generator.next(now, &mut chance)));
            }
            for delivery in &deliveries {
                let uuid: Uuid = AttemptUuid::of(*delivery, number).uuid().to_string().parse().unwrap();
                let attempt = AttemptUuid::from_uuid(uuid).unwrap();
                prop_assert_eq!(attempt.number(), number);
                let range = attempt.deliveries();
                let found: Vec<_> = deliveries.iter().filter(|id| range.contains(id)).collect();
                prop_assert_eq!(found, [delivery]);
            }
        }
    }

    #[test]
    fn it_is_a_uuid_of_version_8_and_others_are_no_attempt() {
        let delivery = DeliveryId::from_u128(0x0188_bac7_4afa_78aa_bc3b_bd1e_ef28_d881);
        let attempt = AttemptUuid::of(delivery, 3);
        assert_eq!(attempt.uuid().to_string(), "0188bac7-4afa-88aa-bc3b-bd1eef280003");
        assert_eq!(AttemptUuid::from_uuid(attempt.uuid()), Some(attempt));
        for value in [delivery.as_u128(), AttemptUuid::of(delivery, 0).0, 0, u128::MAX] {
            assert_eq!(AttemptUuid::from_uuid(Uuid::from_u128(value)), None, "{value:032x}");
        }
    }
}
