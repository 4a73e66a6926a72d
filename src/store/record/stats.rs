//! Statistics on disk: numbers by code, only those that are not zero, so that a quiet minute takes a few bytes.
//!
//! Each commit of the hot path writes a log row, so these are written by hand and not by postcard, which would write
//! ids a byte at a time.

use serde::{Deserialize, Serialize};

use super::{IdBytes, Record, Value};

const VERSION: u8 = 1;

/// Numbers by code, ascending, none of them zero. What a code means is in [`crate::store::stats`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::store) struct Measures(pub Vec<(u8, u64)>);

/// What was counted for one scope in one span of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::store) struct StatsRecord(pub Measures);

/// What one commit counted, not yet added to the statistics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::store) struct StatsLogRecord(pub Vec<StatsLogEntry>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct StatsLogEntry {
    pub tenant: IdBytes,
    pub of: LogSubject,
    /// Since 1970.
    pub minute: i64,
    pub measures: Measures,
}

/// What of a tenant an entry is about. In the order in which entries are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) enum LogSubject {
    /// What was published, as version 1 wrote it.
    Tenant,
    /// What was published of this type: its key.
    EventType(IdBytes),
    Subscription(IdBytes),
}

/// How many deliveries of a subscription are in each state: pending, retrying, succeeded, exhausted, canceled, expired.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct StateCountsRecord(pub [i64; 6]);
impl Record for StateCountsRecord {}

/// Seven bits to a byte, the lowest first.
fn write_number(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        number |= part << shift;
        if byte < 0x80 {
            return ((part << shift) >> shift == part).then_some(number);
        }
    }
    None
}

/// Small for small numbers of either sign.
fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

impl Measures {
    fn write(&self, bytes: &mut Vec<u8>) {
        for (code, number) in &self.0 {
            bytes.push(*code);
            write_number(*number, bytes);
        }
    }

    fn read_one(bytes: &mut &[u8], last: Option<u8>) -> Option<(u8, u64)> {
        let (&code, rest) = bytes.split_first()?;
        *bytes = rest;
        let number = read_number(bytes)?;
        (last.is_none_or(|last| last < code) && number > 0).then_some((code, number))
    }

    /// Adds the numbers of `other`, code by code.
    pub(in crate::store) fn add(&mut self, other: &Self) {
        // Most of what is added meets the same codes.
        if self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(own, other)| own.0 == other.0) {
            self.0.iter_mut().zip(&other.0).for_each(|(own, other)| own.1 = own.1.saturating_add(other.1));
            return;
        }
        for (code, number) in &other.0 {
            match self.0.binary_search_by_key(code, |(known, _)| *known) {
                Ok(place) => self.0[place].1 = self.0[place].1.saturating_add(*number),
                Err(place) => self.0.insert(place, (*code, *number)),
            }
        }
    }
}

impl Value for StatsRecord {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + 4 * self.0.0.len());
        bytes.push(VERSION);
        self.0.write(&mut bytes);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&VERSION, mut rest) = bytes.split_first()? else { return None };
        let mut measures: Vec<(u8, u64)> = Vec::with_capacity(rest.len() / 2);
        while !rest.is_empty() {
            let last = measures.last().map(|(code, _)| *code);
            measures.push(Measures::read_one(&mut rest, last)?);
        }
        Some(Self(Measures(measures)))
    }
}

/// In the first byte of an entry.
const HAS_OTHER_TENANT: u8 = 1;
const HAS_SUBSCRIPTION: u8 = 2;
const HAS_EVENT_TYPE: u8 = 4;

/// Version 1 knew no event types.
const LOG_VERSION: u8 = 2;

impl Value for StatsLogRecord {
    /// Each entry: flags, the tenant unless it is the one of the entry before, the subscription or the key of the event
    /// type if there is one, the minute, how many numbers, and these.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + 48 * self.0.len());
        bytes.push(LOG_VERSION);
        let mut last_tenant = None;
        for StatsLogEntry { tenant, of, minute, measures } in &self.0 {
            let is_other = last_tenant != Some(tenant);
            last_tenant = Some(tenant);
            let (flag, id) = match of {
                LogSubject::Tenant => (0, None),
                LogSubject::EventType(key) => (HAS_EVENT_TYPE, Some(key)),
                LogSubject::Subscription(id) => (HAS_SUBSCRIPTION, Some(id)),
            };
            bytes.push(flag | if is_other { HAS_OTHER_TENANT } else { 0 });
            if is_other {
                bytes.extend_from_slice(tenant);
            }
            if let Some(id) = id {
                bytes.extend_from_slice(id);
            }
            write_number(zigzag(*minute), &mut bytes);
            write_number(measures.0.len() as u64, &mut bytes);
            measures.write(&mut bytes);
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        fn id(bytes: &mut &[u8]) -> Option<IdBytes> {
            let (id, rest) = bytes.split_first_chunk()?;
            *bytes = rest;
            Some(*id)
        }
        let (&(VERSION | LOG_VERSION), mut rest) = bytes.split_first()? else { return None };
        let mut entries: Vec<StatsLogEntry> = Vec::new();
        while let Some((flags, after)) = rest.split_first() {
            rest = after;
            let tenant = if flags & HAS_OTHER_TENANT == 0 { entries.last()?.tenant } else { id(&mut rest)? };
            let of = match flags & !HAS_OTHER_TENANT {
                0 => LogSubject::Tenant,
                HAS_SUBSCRIPTION => LogSubject::Subscription(id(&mut rest)?),
                HAS_EVENT_TYPE => LogSubject::EventType(id(&mut rest)?),
                _ => return None,
            };
            let minute = unzigzag(read_number(&mut rest)?);
            let mut measures: Vec<(u8, u64)> = Vec::new();
            for _ in 0..read_number(&mut rest)? {
                let last = measures.last().map(|(code, _)| *code);
                measures.push(Measures::read_one(&mut rest, last)?);
            }
            entries.push(StatsLogEntry { tenant, of, minute, measures: Measures(measures) });
        }
        Some(Self(entries))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(of: LogSubject, minute: i64, measures: &[(u8, u64)]) -> StatsLogEntry {
        StatsLogEntry { tenant: [1; 16], of, minute, measures: Measures(measures.to_vec()) }
    }

    #[test]
    fn the_bytes_are_those_of_their_versions() {
        let stats = StatsRecord(Measures(vec![(0, 3), (10, 300), (40, 3)]));
        assert_eq!(hex::encode(stats.encode()), "0100030aac022803");
        assert_eq!(StatsRecord::decode(&stats.encode()), Some(stats));
        let log = |published: LogSubject| {
            let attempt = entry(LogSubject::Subscription([2; 16]), -1, &[(0, 1)]);
            StatsLogRecord(vec![entry(published, 29_523_600, &[(11, 2)]), attempt])
        };
        let of_1 = concat!(
            "01",
            "0101010101010101010101010101010101",
            "a0fa931c",
            "01",
            "0b02",
            "02",
            "02020202020202020202020202020202",
            "01",
            "01",
            "0001"
        );
        assert_eq!(StatsLogRecord::decode(&hex::decode(of_1).unwrap()), Some(log(LogSubject::Tenant)));
        let of_2 = concat!(
            "02",
            "0501010101010101010101010101010101",
            "03030303030303030303030303030303",
            "a0fa931c",
            "01",
            "0b02",
            "02",
            "02020202020202020202020202020202",
            "01",
            "01",
            "0001"
        );
        let log = log(LogSubject::EventType([3; 16]));
        assert_eq!(hex::encode(log.encode()), of_2);
        assert_eq!(StatsLogRecord::decode(&log.encode()), Some(log));
        let counts = StateCountsRecord([1, 0, 300, -1, 0, 2]);
        assert_eq!(hex::encode(counts.encode()), "010200d804010004");
        assert_eq!(StateCountsRecord::decode(&counts.encode()), Some(counts));
    }

    #[test]
    fn bytes_that_are_no_statistics_are_refused() {
        for wrong in ["", "020001", "0100", "010000", "0103010201", "0100ffffffffffffffffff02", "010080"] {
            assert_eq!(StatsRecord::decode(&hex::decode(wrong).unwrap()), None, "{wrong}");
        }
        for wrong in ["", "03", "0108", "0106", "0100", "010001", "0101010101010101010101010101010101000200010"] {
            let bytes = hex::decode(wrong).unwrap_or_else(|_| hex::decode(&wrong[..wrong.len() - 1]).unwrap());
            assert_eq!(StatsLogRecord::decode(&bytes), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn numbers_of_any_size_read_back(number: u64, signed: i64) {
            let mut bytes = Vec::new();
            write_number(number, &mut bytes);
            let mut rest = &bytes[..];
            prop_assert_eq!(read_number(&mut rest), Some(number));
            prop_assert!(rest.is_empty());
            prop_assert_eq!(unzigzag(zigzag(signed)), signed);
        }

        #[test]
        fn adding_is_code_by_code(left in sparse(), right in sparse()) {
            let mut sum = left.clone();
            sum.add(&right);
            for code in 0..=255 {
                let of = |measures: &Measures| measures.0.iter().find(|(known, _)| *known == code).map_or(0, |it| it.1);
                prop_assert_eq!(of(&sum), of(&left) + of(&right));
            }
            prop_assert!(sum.0.is_sorted_by(|one, next| one.0 < next.0));
        }
    }

    fn sparse() -> impl Strategy<Value = Measures> {
        proptest::collection::btree_map(0..20_u8, 1..1000_u64, 0..10)
            .prop_map(|all| Measures(all.into_iter().collect()))
    }
}
