//! Postings: which events and deliveries an owner has, in the order of time, packed a few hundred to a row.
//!
//! A row for each id would touch a leaf of the tree for each event. So ids are added in passes, a few a second: one
//! row for each owner and pass, and everything up to a durable watermark is in.

use std::collections::BTreeMap;

use super::StoreError;
use super::record::Value;
use super::schema::{DeliveriesBySubscription, DeliveriesByTenant, EventsByTenant, JobDeliveries, Kind};
use super::tables::{Read, Tables};
use crate::domain::event_type::EventTypeKey;
use crate::domain::id::{DeliveryId, EventId, JobId, SubscriptionId, TenantId};

/// A row of this size is about 2 KiB: two to a page of the tree.
pub(super) const CHUNK_IDS_MAX: usize = 256;

const VERSION: u8 = 1;
const FIRST_BYTES: usize = 16;

/// Ids of one owner, ascending and never empty. None is below the id in the row's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk(pub Vec<u128>);

impl Value for Chunk {
    /// The first id in full, then the differences, seven bits to a byte, the lowest first.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + FIRST_BYTES + 9 * self.0.len());
        bytes.push(VERSION);
        let Some((first, rest)) = self.0.split_first() else { return bytes };
        bytes.extend_from_slice(&first.to_be_bytes());
        let mut last = *first;
        for id in rest {
            let mut difference = id - last;
            while difference >= 0x80 {
                bytes.push(0x80 | (difference & 0x7f) as u8);
                difference >>= 7;
            }
            bytes.push(difference as u8);
            last = *id;
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&VERSION, rest) = bytes.split_first()? else { return None };
        let (first, mut rest) = rest.split_first_chunk::<FIRST_BYTES>()?;
        let mut last = u128::from_be_bytes(*first);
        let mut ids = vec![last];
        while !rest.is_empty() {
            let mut difference: u128 = 0;
            let mut shift = 0;
            loop {
                let (&byte, after) = rest.split_first()?;
                rest = after;
                if shift > 126 {
                    return None;
                }
                difference |= u128::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    break;
                }
            }
            last = last.checked_add(difference).filter(|_| difference > 0)?;
            ids.push(last);
        }
        Some(Self(ids))
    }
}

/// A table of postings: by which owner, of which ids.
pub(super) trait Postings: Kind<Value = Chunk> {
    type Owner: Copy + Ord;

    fn key(owner: Self::Owner, id: u128) -> Self::Key;
    fn owner(key: &Self::Key) -> Self::Owner;
    fn first(key: &Self::Key) -> u128;
}

macro_rules! postings {
    ($($table:ident: $owner:ident, $id:ident;)*) => {$(
        impl Postings for $table {
            type Owner = $owner;

            fn key(owner: $owner, id: u128) -> ($owner, $id) {
                (owner, $id::from_u128(id))
            }

            fn owner(key: &($owner, $id)) -> $owner {
                key.0
            }

            fn first(key: &($owner, $id)) -> u128 {
                key.1.as_u128()
            }
        }
    )*};
}

postings! {
    EventsByTenant: TenantId, EventId;
    DeliveriesByTenant: TenantId, DeliveryId;
    DeliveriesBySubscription: SubscriptionId, DeliveryId;
    JobDeliveries: JobId, DeliveryId;
}

/// Something that is committed and in no postings yet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unindexed {
    Event(EventId, TenantId, EventTypeKey),
    Delivery(DeliveryId, TenantId, SubscriptionId),
}

impl Unindexed {
    pub(super) fn id(&self) -> u128 {
        match self {
            Self::Event(id, _, _) => id.as_u128(),
            Self::Delivery(id, _, _) => id.as_u128(),
        }
    }
}

/// Adds everything to its postings. Answers the greatest id of it.
pub(super) fn add_all(tables: &mut Tables<'_>, all: &[Unindexed]) -> Result<Option<u128>, StoreError> {
    let mut events: BTreeMap<TenantId, Vec<u128>> = BTreeMap::new();
    let mut by_tenant: BTreeMap<TenantId, Vec<u128>> = BTreeMap::new();
    let mut by_subscription: BTreeMap<SubscriptionId, Vec<u128>> = BTreeMap::new();
    for one in all {
        match *one {
            Unindexed::Event(id, tenant, _) => events.entry(tenant).or_default().push(id.as_u128()),
            Unindexed::Delivery(id, tenant, subscription) => {
                by_tenant.entry(tenant).or_default().push(id.as_u128());
                by_subscription.entry(subscription).or_default().push(id.as_u128());
            }
        }
    }
    for (owner, ids) in events {
        append::<EventsByTenant>(tables, owner, &ids)?;
    }
    for (owner, ids) in by_tenant {
        append::<DeliveriesByTenant>(tables, owner, &ids)?;
    }
    for (owner, ids) in by_subscription {
        append::<DeliveriesBySubscription>(tables, owner, &ids)?;
    }
    Ok(all.iter().map(Unindexed::id).max())
}

/// Adds ascending ids, all greater than what the owner has.
pub(super) fn append<K: Postings>(tables: &mut Tables<'_>, owner: K::Owner, ids: &[u128]) -> Result<(), StoreError> {
    let last = tables.scan::<K>(K::key(owner, 0)..=K::key(owner, u128::MAX))?.next_back().transpose()?;
    let mut rest = ids;
    if let Some((key, Chunk(mut known))) = last
        && known.len() < CHUNK_IDS_MAX
    {
        let (fitting, others) = rest.split_at(rest.len().min(CHUNK_IDS_MAX - known.len()));
        known.extend_from_slice(fitting);
        tables.put::<K>(&key, &Chunk(known))?;
        rest = others;
    }
    for ids in rest.chunks(CHUNK_IDS_MAX) {
        tables.put::<K>(&K::key(owner, ids[0]), &Chunk(ids.to_vec()))?;
    }
    Ok(())
}

/// Removes ascending ids; those that are not there are passed over.
pub(super) fn remove<K: Postings>(tables: &mut Tables<'_>, owner: K::Owner, ids: &[u128]) -> Result<(), StoreError> {
    let mut rest = ids;
    while let Some(first) = rest.first() {
        let holder = tables.scan::<K>(K::key(owner, 0)..=K::key(owner, *first))?.next_back().transpose()?;
        let Some((key, Chunk(mut known))) = holder else {
            rest = &rest[1..];
            continue;
        };
        // What this row can hold ends at its last id; at least the first one is dealt with here.
        let last = known.last().copied().unwrap_or_default();
        let here = rest.partition_point(|id| *id <= last).max(1);
        let (gone, others) = rest.split_at(here);
        let before = known.len();
        known.retain(|id| gone.binary_search(id).is_err());
        if known.is_empty() {
            tables.remove::<K>(&key)?;
        } else if known.len() < before {
            tables.put::<K>(&key, &Chunk(known))?;
        }
        rest = others;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    OlderFirst,
    NewerFirst,
}

/// The owner's ids between the two, both included.
pub(super) fn walk<'a, K>(
    tables: &'a impl Read,
    owner: K::Owner,
    (low, high): (u128, u128),
    direction: Direction,
) -> Result<Box<dyn Iterator<Item = Result<u128, StoreError>> + 'a>, StoreError>
where
    K: Postings + 'a,
    K::Key: 'a,
{
    if low > high {
        return Ok(Box::new(std::iter::empty()));
    }
    let ids = move |row: Result<(K::Key, Chunk), StoreError>| {
        let (ids, error) = match row {
            Ok((_, Chunk(mut ids))) => {
                ids.retain(|id| (low..=high).contains(id));
                if direction == Direction::NewerFirst {
                    ids.reverse();
                }
                (ids, None)
            }
            Err(error) => (Vec::new(), Some(Err(error))),
        };
        ids.into_iter().map(Ok).chain(error)
    };
    // The row that holds `low` begins at or before it.
    let holder = tables.scan::<K>(K::key(owner, 0)..=K::key(owner, low))?.next_back().transpose()?;
    let begin = holder.map_or(low, |(key, _)| K::first(&key));
    let rows = tables.scan::<K>(K::key(owner, begin)..=K::key(owner, high))?;
    Ok(match direction {
        Direction::OlderFirst => Box::new(rows.flat_map(ids)),
        Direction::NewerFirst => Box::new(rows.rev().flat_map(ids)),
    })
}

/// Whether the owner has nothing left.
pub(super) fn is_empty<K: Postings>(tables: &impl Read, owner: K::Owner) -> Result<bool, StoreError> {
    Ok(tables.scan::<K>(K::key(owner, 0)..=K::key(owner, u128::MAX))?.next().transpose()?.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema::Key;

    #[test]
    fn a_chunk_reads_back() {
        for ids in [vec![0], vec![5, 6, 300, 1 << 90, u128::MAX], (0..256).map(|n| n << 43).collect()] {
            let chunk = Chunk(ids);
            assert_eq!(Chunk::decode(&chunk.encode()), Some(chunk));
        }
    }

    #[test]
    fn bytes_that_are_no_chunk_are_refused() {
        let good = Chunk(vec![1, 2]).encode();
        assert_eq!(hex::encode(&good), "010000000000000000000000000000000101", "version 1");
        assert_eq!(Chunk::decode(&[]), None);
        assert_eq!(Chunk::decode(&good[..10]), None);
        assert_eq!(Chunk::decode(&[&good[..], &[0]].concat()), None, "the same id twice");
        assert_eq!(Chunk::decode(&[&good[..], &[0x80]].concat()), None, "a difference that does not end");
        assert_eq!(Chunk::decode(&[&good[..], &[0xff; 20]].concat()), None, "a difference that is too long");
        assert_eq!(Chunk::decode(&[&[2], &good[1..]].concat()), None, "a version that does not exist");
        let key = <(TenantId, EventId)>::from_key(&(TenantId::DEFAULT, EventId::from_u128(7)).to_key());
        assert_eq!(key.as_ref().map(EventsByTenant::first), Some(7));
    }
}
