//! Maps and sets by our own ids.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

pub(super) type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;
pub(super) type IdSet<K> = HashSet<K, BuildHasherDefault<IdHasher>>;

/// Folds the 128 bits of an id. They hold 42 random ones and a counter, all drawn here: whoever publishes cannot choose an
/// id, and so cannot have many of them meet in one place, which is what the standard hasher guards against.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct IdHasher(u64);

/// 2^64 divided by the golden ratio: an odd number without a pattern.
const MULTIPLIER: u128 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u128(u128::from(*byte));
        }
    }

    fn write_u128(&mut self, id: u128) {
        let folded = (id >> 64) as u64 ^ id as u64 ^ self.0.rotate_left(32);
        let product = u128::from(folded) * MULTIPLIER;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::hash::Hash;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::domain::id::{DeliveryId, IdGenerator};
    use crate::domain::time::Timestamp;

    #[test]
    fn ids_of_one_millisecond_spread_over_all_places_of_a_table() {
        let (mut ids, mut chance) = (IdGenerator::after(0), StdRng::seed_from_u64(7));
        let now = Timestamp::from_millis(1_771_416_000_000);
        let mut places = [[0; 128]; 2];
        for _ in 0..128 * 100 {
            let mut hasher = IdHasher::default();
            DeliveryId::from_u128(ids.next(now, &mut chance)).hash(&mut hasher);
            // A table looks at the lowest bits for the place and at the highest ones for the match.
            places[0][(hasher.finish() & 127) as usize] += 1;
            places[1][(hasher.finish() >> 57) as usize] += 1;
        }
        for counts in places {
            assert!(counts.iter().all(|count| (50..200).contains(count)), "{counts:?}");
        }
    }
}
