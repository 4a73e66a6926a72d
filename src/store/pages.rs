//! Lists that grow: one page of events or deliveries, walked from an index with filters applied on the way.

use std::cell::Cell;
use std::collections::BinaryHeap;

use memchr::memmem;

use super::catalogue::Known;
use super::commit::Store;
use super::postings::{self, Direction};
use super::record::IdRecord;
use super::schema::{
    Deliveries, DeliveriesBySubscription, DeliveriesByTenant, Events, EventsByTenant, ExternalIds, FailedRows, Kind,
    MetaName, OpenRows, Payloads,
};
use super::tables::{Read, Snapshot};
use super::{
    Catalogue, DeliveryFilter, EventFilter, From, Page, ROWS_WALKED_MAX, StoreError, Walk, Whose, deliveries, events,
    reach,
};
use crate::domain::delivery::{Delivery, ShownState};
use crate::domain::event::Event;
use crate::domain::id::{DeliveryId, EventId, TenantId};
use crate::domain::tenant::ExternalId;
use crate::domain::time::Timestamp;

/// So much of an event's data counts as one more row that was looked at: a page with a search reads at most 80 MiB.
const SEARCHED_BYTES_PER_ROW: usize = 8 * 1024;

pub(super) type Ids<'a> = Box<dyn Iterator<Item = Result<u128, StoreError>> + 'a>;

impl Store {
    /// Newest first, each as [`Store::event_within`] shows it, without its deliveries. Reads the disk.
    pub fn events(
        &self,
        whose: impl Into<Whose>,
        filter: &EventFilter,
        walk: Walk<EventId>,
    ) -> Result<Page<Event, EventId>, StoreError> {
        let whose: Whose = whose.into();
        let (snapshot, catalogue) = (self.shared.snapshot()?, self.catalogue());
        let walked_besides = Cell::new(0);
        let walk_besides = |rows| walked_besides.set(walked_besides.get() + rows);
        let EventFilter { event_type, since, until, unmatched, channel, external_id, text } = filter;
        let finder = text.as_ref().map(|text| memmem::Finder::new(text.as_bytes()));
        let fetch = |id| {
            let Some(record) = snapshot.get::<Events>(&id)? else { return Ok(None) };
            let event = events::domain(record, id)?;
            let Some(reach) = whose.reach_of(&catalogue, event.tenant) else { return Ok(None) };
            let is_wanted = event_type.as_ref().is_none_or(|wanted| event.event_type == *wanted)
                && is_between(event.created_at, *since, *until)
                && unmatched.is_none_or(|wanted| wanted == (event.deliveries == 0))
                && channel.as_ref().is_none_or(|wanted| event.channels.contains(wanted))
                && external_id.as_ref().is_none_or(|wanted| event.external_id.as_ref() == Some(wanted));
            if !is_wanted {
                return Ok(None);
            }
            if let Some(finder) = &finder {
                walk_besides(event.data_bytes as usize / SEARCHED_BYTES_PER_ROW);
                let data = snapshot.get::<Payloads>(&id)?;
                if data.is_none_or(|data| finder.find(&data.0).is_none()) {
                    return Ok(None);
                }
            }
            if reach.key.is_none() {
                return Ok(Some(event));
            }
            // Whether a restricted key sees an event, its deliveries tell: they are rows to look at, too.
            walk_besides(event.deliveries as usize);
            Ok(reach::cut(&snapshot, &catalogue, reach, event)?.map(|(event, _)| event))
        };
        let bounds = id_bounds(&snapshot, *since, *until)?;
        let source = |bounds, direction| match (external_id, whose) {
            (Some(external_id), _) => walk_named(&snapshot, &catalogue, whose, external_id, bounds, direction),
            (None, Whose::Everyone) => {
                walk_all::<Events>(&snapshot, bounds, EventId::as_u128, EventId::from_u128, direction)
            }
            (None, Whose::Of(reach)) => postings::walk::<EventsByTenant>(&snapshot, reach.tenant, bounds, direction),
        };
        page(walk, bounds, EventId::as_u128, EventId::from_u128, source, fetch, &walked_besides)
    }

    /// Newest first. Reads the disk.
    pub fn deliveries(
        &self,
        whose: impl Into<Whose>,
        filter: &DeliveryFilter,
        walk: Walk<DeliveryId>,
    ) -> Result<Page<Delivery, DeliveryId>, StoreError> {
        let whose: Whose = whose.into();
        let (snapshot, catalogue) = (self.shared.snapshot()?, self.catalogue());
        let fetch = |id| {
            let Some(record) = snapshot.get::<Deliveries>(&id)? else { return Ok(None) };
            let delivery = deliveries::present(deliveries::domain(record, id)?, &catalogue);
            let Some(reach) = whose.reach_of(&catalogue, delivery.tenant) else { return Ok(None) };
            let is_wanted = self.with_known(|known| is_wanted(known, &delivery, filter))
                && reach::has(&snapshot, &catalogue, reach, delivery.subscription)?;
            Ok(is_wanted.then_some(delivery))
        };
        let bounds = id_bounds(&snapshot, filter.since, filter.until)?;
        let source = |bounds, direction| source(&snapshot, &catalogue, whose, filter, bounds, direction);
        page(walk, bounds, DeliveryId::as_u128, DeliveryId::from_u128, source, fetch, &Cell::new(0))
    }
}

pub(super) fn is_between(at: Timestamp, since: Option<Timestamp>, until: Option<Timestamp>) -> bool {
    since.is_none_or(|since| at >= since) && until.is_none_or(|until| at < until)
}

/// Whosever it is.
pub(super) fn is_wanted(known: &Known<'_>, delivery: &Delivery, filter: &DeliveryFilter) -> bool {
    let DeliveryFilter { state, subscription, event, event_type, since, until, http_status } = filter;
    state.is_none_or(|wanted| known.shown_state(delivery).0 == wanted)
        && subscription.is_none_or(|wanted| delivery.subscription == wanted)
        && event.is_none_or(|wanted| delivery.event == wanted)
        && event_type.as_ref().is_none_or(|wanted| delivery.event_type == *wanted)
        && is_between(delivery.created_at, *since, *until)
        && http_status.is_none_or(|wanted| delivery.last_http_status == Some(wanted))
}

/// The narrowest index that holds everything that the filter wants.
fn source<'a>(
    snapshot: &'a Snapshot,
    catalogue: &Catalogue,
    whose: Whose,
    filter: &DeliveryFilter,
    (low, high): (u128, u128),
    direction: Direction,
) -> Result<Ids<'a>, StoreError> {
    if let Some(id) = filter.event {
        let count = snapshot.get::<Events>(&id)?.map_or(0, |event| event.deliveries);
        let all = events::deliveries_of(snapshot, id, count)?;
        let ids = all.into_iter().map(|(id, _)| id.as_u128()).filter(move |id| (low..=high).contains(id));
        let ids = ids.map(Ok);
        return Ok(match direction {
            Direction::OlderFirst => Box::new(ids),
            Direction::NewerFirst => Box::new(ids.rev()),
        });
    }
    match filter.state {
        Some(ShownState::Pending | ShownState::Retrying | ShownState::Held) => {
            each_tenant(catalogue, whose, direction, |tenant| walk_open(snapshot, tenant, (low, high), direction))
        }
        Some(ShownState::Exhausted | ShownState::Canceled | ShownState::Expired) => {
            each_tenant(catalogue, whose, direction, |tenant| walk_failed(snapshot, tenant, (low, high), direction))
        }
        Some(ShownState::Succeeded) | None => match filter.subscription {
            Some(id) => postings::walk::<DeliveriesBySubscription>(snapshot, id, (low, high), direction),
            None => match whose {
                Whose::Everyone => {
                    walk_all::<Deliveries>(snapshot, (low, high), DeliveryId::as_u128, DeliveryId::from_u128, direction)
                }
                Whose::Of(reach) => {
                    postings::walk::<DeliveriesByTenant>(snapshot, reach.tenant, (low, high), direction)
                }
            },
        },
    }
}

/// Every id of a table between the two, whosever it is.
pub(super) fn walk_all<'a, K: Kind<Key: Copy> + 'a>(
    snapshot: &'a Snapshot,
    (low, high): (u128, u128),
    to_u128: impl Fn(K::Key) -> u128 + 'a,
    from_u128: impl Fn(u128) -> K::Key,
    direction: Direction,
) -> Result<Ids<'a>, StoreError> {
    if low > high {
        return Ok(Box::new(std::iter::empty()));
    }
    let rows = snapshot.scan::<K>(from_u128(low)..=from_u128(high))?;
    let ids = rows.map(move |row| row.map(|(id, _)| to_u128(id)));
    Ok(match direction {
        Direction::OlderFirst => Box::new(ids),
        Direction::NewerFirst => Box::new(ids.rev()),
    })
}

/// The events with this name, one for each tenant of the list that has one.
fn walk_named<'a>(
    snapshot: &Snapshot,
    catalogue: &Catalogue,
    whose: Whose,
    external_id: &ExternalId,
    (low, high): (u128, u128),
    direction: Direction,
) -> Result<Ids<'a>, StoreError> {
    let tenants = match whose {
        Whose::Everyone => catalogue.tenants().map(|entry| entry.tenant.id).collect(),
        Whose::Of(reach) => vec![reach.tenant],
    };
    let mut ids = Vec::new();
    for tenant in tenants {
        let found = snapshot.get::<ExternalIds>(&(tenant, external_id.clone()))?;
        ids.extend(found.map(|IdRecord(id)| u128::from_be_bytes(id)).filter(|id| (low..=high).contains(id)));
    }
    ids.sort_unstable();
    if direction == Direction::NewerFirst {
        ids.reverse();
    }
    Ok(Box::new(ids.into_iter().map(Ok)))
}

/// What `walk` finds for each tenant of the list, in one order. All together are as many scans as there are tenants; each
/// reads no further than its next id.
fn each_tenant<'a>(
    catalogue: &Catalogue,
    whose: Whose,
    direction: Direction,
    walk: impl Fn(TenantId) -> Result<Ids<'a>, StoreError>,
) -> Result<Ids<'a>, StoreError> {
    let Whose::Of(reach) = whose else {
        let walks = catalogue.tenants().map(|entry| walk(entry.tenant.id)).collect::<Result<Vec<_>, _>>()?;
        return Ok(Box::new(Merged::new(walks, direction)));
    };
    walk(reach.tenant)
}

/// Walks in the same direction, joined to one.
struct Merged<'a> {
    walks: Vec<Ids<'a>>,
    /// What each walk found last, and nobody has taken yet.
    found: Vec<Option<Result<u128, StoreError>>>,
    /// Which of them comes when: by a rank that no two ids share.
    heads: BinaryHeap<(u128, usize)>,
    direction: Direction,
}

impl<'a> Merged<'a> {
    fn new(walks: Vec<Ids<'a>>, direction: Direction) -> Self {
        let found = walks.iter().map(|_| None).collect();
        let mut merged = Self { heads: BinaryHeap::with_capacity(walks.len()), walks, found, direction };
        (0..merged.walks.len()).for_each(|walk| merged.advance(walk));
        merged
    }

    fn advance(&mut self, walk: usize) {
        self.found[walk] = self.walks[walk].next();
        match (&self.found[walk], self.direction) {
            (None, _) => {}
            // A failure is told at once.
            (Some(Err(_)), _) => self.heads.push((u128::MAX, walk)),
            (Some(Ok(id)), Direction::NewerFirst) => self.heads.push((*id, walk)),
            (Some(Ok(id)), Direction::OlderFirst) => self.heads.push((u128::MAX - id, walk)),
        }
    }
}

impl Iterator for Merged<'_> {
    type Item = Result<u128, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (_, walk) = self.heads.pop()?;
        let id = self.found[walk].take();
        self.advance(walk);
        id
    }
}

/// Every open delivery of a tenant, with others among them.
pub(super) fn walk_open<'a>(
    tables: &'a impl Read,
    tenant: TenantId,
    (low, high): (u128, u128),
    direction: Direction,
) -> Result<Ids<'a>, StoreError> {
    // After the watermark a delivery can be open without a row that says so.
    let settled = tables.meta_id(MetaName::SettledUpTo)?;
    let rows = walk_rows::<OpenRows>(tables, tenant, (low, high.min(settled)), direction)?;
    let newer = (low.max(settled.saturating_add(1)), high);
    let newer = postings::walk::<DeliveriesByTenant>(tables, tenant, newer, direction)?;
    Ok(match direction {
        Direction::OlderFirst => Box::new(rows.chain(newer)),
        Direction::NewerFirst => Box::new(newer.chain(rows)),
    })
}

/// Every exhausted or canceled delivery of a tenant.
pub(super) fn walk_failed<'a>(
    tables: &'a impl Read,
    tenant: TenantId,
    bounds: (u128, u128),
    direction: Direction,
) -> Result<Ids<'a>, StoreError> {
    walk_rows::<FailedRows>(tables, tenant, bounds, direction)
}

fn walk_rows<'a, K>(
    tables: &'a impl Read,
    tenant: TenantId,
    (low, high): (u128, u128),
    direction: Direction,
) -> Result<Ids<'a>, StoreError>
where
    K: Kind<Key = (TenantId, DeliveryId), Value = ()> + 'a,
{
    if low > high {
        return Ok(Box::new(std::iter::empty()));
    }
    let ids = tables
        .scan::<K>((tenant, DeliveryId::from_u128(low))..=(tenant, DeliveryId::from_u128(high)))?
        .map(|row| row.map(|((_, id), ())| id.as_u128()));
    Ok(match direction {
        Direction::OlderFirst => Box::new(ids),
        Direction::NewerFirst => Box::new(ids.rev()),
    })
}

/// The ids that can have been created between the two. An id's milliseconds are never before its `created_at`, and
/// never further after it than the file remembers.
pub(super) fn id_bounds(
    tables: &impl Read,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<(u128, u128), StoreError> {
    let first_of = |millis: i64| u128::from(u64::try_from(millis).unwrap_or(0).min((1 << 48) - 1)) << 80;
    let low = since.map_or(0, |since| first_of(since.as_millis()));
    let Some(until) = until else { return Ok((low, u128::MAX)) };
    let lag = tables.meta(MetaName::IdLagMax)?.map_or(0, i64::from_be_bytes);
    Ok((low, first_of(until.as_millis().saturating_add(lag))))
}

/// Walks `source` from where the page begins, and keeps what `fetch` finds, which counts other rows that it looks at in
/// `walked_besides`.
pub(super) fn page<'a, T, Id: Copy>(
    walk: Walk<Id>,
    (low, high): (u128, u128),
    to_u128: impl Fn(Id) -> u128,
    from_u128: impl Fn(u128) -> Id,
    source: impl FnOnce((u128, u128), Direction) -> Result<Ids<'a>, StoreError>,
    fetch: impl Fn(Id) -> Result<Option<T>, StoreError>,
    walked_besides: &Cell<usize>,
) -> Result<Page<T, Id>, StoreError> {
    let (bounds, direction) = match walk.from {
        From::Newest => ((low, high), Direction::NewerFirst),
        From::After(id) => ((low, high.min(to_u128(id).saturating_sub(1))), Direction::NewerFirst),
        From::Before(id) => ((low.max(to_u128(id).saturating_add(1)), high), Direction::OlderFirst),
    };
    let mut ids = source(bounds, direction)?.peekable();
    let mut rows = Vec::new();
    let (mut first, mut last, mut walked) = (None, None, 0);
    while rows.len() < walk.size && walked + walked_besides.get() < ROWS_WALKED_MAX {
        let Some(id) = ids.next().transpose()? else { break };
        walked += 1;
        first.get_or_insert(id);
        last = Some(id);
        rows.extend(fetch(from_u128(id))?);
    }
    // Whether the walk could have gone on, from the last row that it looked at.
    let further = match ids.next().transpose()? {
        Some(_) => last,
        None => None,
    };
    let (next, previous) = match walk.from {
        From::Newest => (further, None),
        // The way back begins just before the row that the cursor names, so that it is not left out.
        From::After(id) => (further, Some(first.unwrap_or_else(|| to_u128(id).saturating_sub(1)))),
        From::Before(id) => {
            rows.reverse();
            (Some(first.unwrap_or_else(|| to_u128(id).saturating_add(1))), further)
        }
    };
    Ok(Page { rows, next: next.map(&from_u128), previous: previous.map(&from_u128) })
}
