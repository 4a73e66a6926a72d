//! Reading what happened: one event or delivery, and pages of them, newest first.

use redb::{ReadOnlyTable, ReadTransaction, ReadableDatabase};

use super::query::{DeliveryFilter, EventFilter, From, Page, ROWS_WALKED_MAX, Walk};
use super::{Store, StoreError, postings, record, schema};
use crate::domain::delivery::{Attempt, CanceledReason, Delivery, ShownState, State};
use crate::domain::event::Event;
use crate::domain::id::{DeliveryId, EventId, TenantId};
use crate::domain::time::Timestamp;

type Rows = ReadOnlyTable<&'static [u8], &'static [u8]>;
type Row<'a> = (redb::AccessGuard<'a, &'static [u8]>, redb::AccessGuard<'a, &'static [u8]>);
type Ids<'a> = Box<dyn Iterator<Item = Result<u128, StoreError>> + 'a>;

/// Which way a page is walked.
#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Older,
    Newer,
}

impl Store {
    pub fn event(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        let events = self.read()?.open_table(schema::EVENTS)?;
        event_in(&events, id)
    }

    /// None once retention removed it.
    pub fn event_data(&self, id: EventId) -> Result<Option<bytes::Bytes>, StoreError> {
        let payloads = self.read()?.open_table(schema::PAYLOADS)?;
        let row = payloads.get(id.to_bytes().as_slice())?;
        Ok(row.map(|row| bytes::Bytes::copy_from_slice(row.value())))
    }

    /// Newest first.
    pub fn events(
        &self,
        tenant: TenantId,
        filter: &EventFilter,
        walk: Walk<EventId>,
    ) -> Result<Page<Event, EventId>, StoreError> {
        let EventFilter { event_type, since, until, unmatched } = filter;
        let read = self.read()?;
        let events = read.open_table(schema::EVENTS)?;
        let index = read.open_table(schema::EVENTS_BY_TENANT)?;
        let fetch = |id| {
            let event = event_in(&events, EventId::from_u128(id))?;
            Ok(event.filter(|event| {
                event_type.as_ref().is_none_or(|wanted| event.event_type == *wanted)
                    && is_within(event.created_at, *since, *until)
                    && unmatched.is_none_or(|wanted| wanted == (event.deliveries == 0))
            }))
        };
        let span = self.span(*since, *until);
        let source = |direction, from| of_owner(&index, tenant.as_u128(), direction, from);
        let page = page(numbers(walk, EventId::as_u128), span, source, fetch, |event| event.id.as_u128())?;
        Ok(named(page, EventId::from_u128))
    }

    /// The deliveries of one event, in the order of its subscriptions.
    pub fn deliveries_of(&self, event: &Event) -> Result<Vec<Delivery>, StoreError> {
        let deliveries = self.read()?.open_table(schema::DELIVERIES)?;
        let mut found = Vec::new();
        // Their ids follow the event's own.
        for row in deliveries.range::<&[u8]>(&event.id.to_bytes()[..]..)?.take(event.deliveries as usize) {
            let (key, value) = row?;
            let id = DeliveryId::from_u128(schema::id(key.value()).unwrap_or_default());
            let delivery = record::read_delivery(id, value.value())?;
            if delivery.event != event.id {
                break;
            }
            found.push(self.as_seen(delivery));
        }
        Ok(found)
    }

    pub fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        let deliveries = self.read()?.open_table(schema::DELIVERIES)?;
        Ok(delivery_in(&deliveries, id)?.map(|delivery| self.as_seen(delivery)))
    }

    /// In the order in which they were made.
    pub fn attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        let attempts = self.read()?.open_table(schema::ATTEMPTS)?;
        let (first, last) = (schema::attempt(delivery, 0), schema::attempt(delivery, u16::MAX));
        let mut found = Vec::new();
        for row in attempts.range::<&[u8]>(&first[..]..=&last[..])? {
            let (key, value) = row?;
            let number = key.value().last_chunk::<2>().map_or(0, |bytes| u16::from_be_bytes(*bytes));
            found.push(record::read_attempt(delivery, number, value.value())?);
        }
        Ok(found)
    }

    /// Newest first.
    pub fn deliveries(
        &self,
        tenant: TenantId,
        filter: &DeliveryFilter,
        walk: Walk<DeliveryId>,
    ) -> Result<Page<Delivery, DeliveryId>, StoreError> {
        let read = self.read()?;
        let deliveries = read.open_table(schema::DELIVERIES)?;
        let fetch = |id| {
            let delivery = delivery_in(&deliveries, DeliveryId::from_u128(id))?.map(|delivery| self.as_seen(delivery));
            Ok(delivery.filter(|delivery| delivery.tenant == tenant && self.passes(delivery, filter)))
        };
        let span = self.span(filter.since, filter.until);
        let walk = numbers(walk, DeliveryId::as_u128);
        let id = |delivery: &Delivery| delivery.id.as_u128();
        let page = match (filter.event, filter.state, filter.subscription) {
            (Some(event), ..) => {
                let event = event_in(&read.open_table(schema::EVENTS)?, event)?;
                let ids: Vec<u128> = match event {
                    Some(event) => self.deliveries_of(&event)?.iter().map(id).collect(),
                    None => Vec::new(),
                };
                page(walk, span, |direction, from| Ok(of_list(&ids, direction, from)), fetch, id)?
            }
            (None, Some(ShownState::Pending | ShownState::Retrying | ShownState::Held), _) => {
                let open = read.open_table(schema::OPEN)?;
                let settled = settled_up_to(&read)?;
                let source = |direction, from| of_open(&open, &deliveries, tenant, settled, direction, from);
                page(walk, span, source, fetch, id)?
            }
            (None, Some(ShownState::Exhausted | ShownState::Canceled), _) => {
                let failed = read.open_table(schema::FAILED)?;
                page(walk, span, |direction, from| of_pairs(&failed, tenant, direction, from), fetch, id)?
            }
            (None, _, Some(subscription)) => {
                let index = read.open_table(schema::DELIVERIES_BY_SUBSCRIPTION)?;
                let source = |direction, from| of_owner(&index, subscription.as_u128(), direction, from);
                page(walk, span, source, fetch, id)?
            }
            (None, Some(ShownState::Succeeded) | None, None) => {
                let index = read.open_table(schema::DELIVERIES_BY_TENANT)?;
                page(walk, span, |direction, from| of_owner(&index, tenant.as_u128(), direction, from), fetch, id)?
            }
        };
        Ok(named(page, DeliveryId::from_u128))
    }

    /// The state as the API shows it: an open delivery of an inactive subscription is held.
    pub fn shown_state(&self, delivery: &Delivery) -> ShownState {
        let is_active =
            || self.catalogue().subscription(delivery.subscription).is_some_and(|subscription| subscription.is_active);
        match delivery.state {
            State::Pending { .. } | State::Retrying { .. } if !is_active() => ShownState::Held,
            State::Pending { .. } => ShownState::Pending,
            State::Retrying { .. } => ShownState::Retrying,
            State::Succeeded => ShownState::Succeeded,
            State::Exhausted { .. } => ShownState::Exhausted,
            State::Canceled { .. } => ShownState::Canceled,
        }
    }

    fn read(&self) -> Result<ReadTransaction, StoreError> {
        Ok(self.shared.database.begin_read()?)
    }

    /// A delivery whose subscription was deleted is canceled, also before the background has come to it.
    fn as_seen(&self, delivery: Delivery) -> Delivery {
        if delivery.state.is_final() || self.catalogue().subscription(delivery.subscription).is_some() {
            return delivery;
        }
        Delivery { state: State::Canceled { reason: CanceledReason::SubscriptionDeleted }, ..delivery }
    }

    fn passes(&self, delivery: &Delivery, filter: &DeliveryFilter) -> bool {
        let DeliveryFilter { state, subscription, event, event_type, since, until, http_status } = filter;
        subscription.is_none_or(|wanted| delivery.subscription == wanted)
            && event.is_none_or(|wanted| delivery.event == wanted)
            && event_type.as_ref().is_none_or(|wanted| delivery.event_type == *wanted)
            && http_status.is_none_or(|wanted| delivery.last_http_status == Some(wanted))
            && is_within(delivery.created_at, *since, *until)
            && state.is_none_or(|wanted| self.shown_state(delivery) == wanted)
    }

    /// The ids among which everything created in that time lies. An id's milliseconds are never before its
    /// `created_at`, and never further ahead of it than was ever seen.
    fn span(&self, since: Option<Timestamp>, until: Option<Timestamp>) -> (u128, u128) {
        let id_at = |millis: i64| u128::from(u64::try_from(millis).unwrap_or(0)) << 80;
        let low = since.map_or(0, |since| id_at(since.as_millis()));
        let high = until.map_or(u128::MAX, |until| id_at(until.as_millis().saturating_add(self.shared.ahead_max())));
        (low, high)
    }
}

fn is_within(at: Timestamp, since: Option<Timestamp>, until: Option<Timestamp>) -> bool {
    since.is_none_or(|since| at >= since) && until.is_none_or(|until| at < until)
}

fn event_in(events: &Rows, id: EventId) -> Result<Option<Event>, StoreError> {
    events.get(id.to_bytes().as_slice())?.map(|row| record::read_event(id, row.value())).transpose()
}

fn delivery_in(deliveries: &Rows, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
    deliveries.get(id.to_bytes().as_slice())?.map(|row| record::read_delivery(id, row.value())).transpose()
}

fn settled_up_to(read: &ReadTransaction) -> Result<u128, StoreError> {
    let meta = read.open_table(schema::META)?;
    Ok(meta.get(schema::meta::SETTLED_UP_TO)?.and_then(|row| schema::id(row.value())).unwrap_or(0))
}

// -- where the ids of a list come from: all below `from`, descending, or all above it, ascending

fn of_owner(rows: &Rows, owner: u128, direction: Direction, from: u128) -> Result<Ids<'_>, StoreError> {
    Ok(match direction {
        Direction::Older => Box::new(postings::descending(rows, owner, from)?),
        Direction::Newer => Box::new(postings::ascending(rows, owner, from)?),
    })
}

fn of_pairs(rows: &Rows, tenant: TenantId, direction: Direction, from: u128) -> Result<Ids<'_>, StoreError> {
    let tenant = tenant.as_u128();
    let id = |row: Result<Row<'_>, redb::StorageError>| {
        let (key, _) = row?;
        Ok(schema::split_pair(key.value()).map_or(0, |(_, id)| id))
    };
    Ok(match direction {
        Direction::Older => {
            let (low, high) = (schema::pair(tenant, 0), schema::pair(tenant, from));
            Box::new(rows.range::<&[u8]>(&low[..]..&high[..])?.rev().map(id))
        }
        Direction::Newer => {
            let (low, high) = (schema::pair(tenant, from.saturating_add(1)), schema::pair(tenant, u128::MAX));
            Box::new(rows.range::<&[u8]>(&low[..]..=&high[..])?.map(id))
        }
    })
}

/// Open deliveries: those up to the watermark have a row, above it any delivery may be one.
fn of_open<'a>(
    open: &'a Rows,
    deliveries: &'a Rows,
    tenant: TenantId,
    settled: u128,
    direction: Direction,
    from: u128,
) -> Result<Ids<'a>, StoreError> {
    let id = |row: Result<Row<'_>, redb::StorageError>| Ok(schema::id(row?.0.value()).unwrap_or(0));
    let after = settled.saturating_add(1).to_be_bytes();
    Ok(match direction {
        Direction::Older => {
            let high = from.to_be_bytes();
            let newest = (from > settled).then(|| deliveries.range::<&[u8]>(&after[..]..&high[..])).transpose()?;
            let newest = newest.into_iter().flatten().rev().map(id);
            Box::new(newest.chain(of_pairs(open, tenant, direction, from.min(settled.saturating_add(1)))?))
        }
        Direction::Newer => {
            let parked = of_pairs(open, tenant, direction, from)?
                .take_while(move |id| id.as_ref().map_or(true, |id| *id <= settled));
            let low = from.max(settled).saturating_add(1).to_be_bytes();
            Box::new(parked.chain(deliveries.range::<&[u8]>(&low[..]..)?.map(id)))
        }
    })
}

fn of_list(ids: &[u128], direction: Direction, from: u128) -> Ids<'_> {
    match direction {
        Direction::Older => Box::new(ids.iter().rev().copied().filter(move |id| *id < from).map(Ok)),
        Direction::Newer => Box::new(ids.iter().copied().filter(move |id| *id > from).map(Ok)),
    }
}

// -- a page

fn numbers<Id>(walk: Walk<Id>, number: impl Fn(Id) -> u128) -> Walk<u128> {
    let Walk { from, size } = walk;
    let from = match from {
        From::Newest => From::Newest,
        From::After(id) => From::After(number(id)),
        From::Before(id) => From::Before(number(id)),
    };
    Walk { from, size }
}

fn named<T, Id>(page: Page<T, u128>, id: impl Fn(u128) -> Id) -> Page<T, Id> {
    let Page { rows, next, previous } = page;
    Page { rows, next: next.map(&id), previous: previous.map(&id) }
}

/// Walks at most [`ROWS_WALKED_MAX`] ids of `source` and keeps what `fetch` lets through.
fn page<'a, T>(
    walk: Walk<u128>,
    (low, high): (u128, u128),
    source: impl Fn(Direction, u128) -> Result<Ids<'a>, StoreError>,
    fetch: impl Fn(u128) -> Result<Option<T>, StoreError>,
    id_of: impl Fn(&T) -> u128,
) -> Result<Page<T, u128>, StoreError> {
    let (direction, start) = match walk.from {
        From::Newest => (Direction::Older, high),
        From::After(id) => (Direction::Older, id.min(high)),
        From::Before(id) => (Direction::Newer, id.max(low.saturating_sub(1))),
    };
    let mut rows = Vec::new();
    let mut last = None;
    let mut goes_on = false;
    for (walked, id) in source(direction, start)?.enumerate() {
        let id = id?;
        if id < low || id >= high {
            break;
        }
        if rows.len() == walk.size || walked == ROWS_WALKED_MAX {
            goes_on = true;
            break;
        }
        last = Some(id);
        rows.extend(fetch(id)?);
    }
    let further = last.filter(|_| goes_on);
    Ok(match direction {
        Direction::Older => {
            let previous = match walk.from {
                From::Newest => None,
                // What is newer than this page is newer than its first row, or, when it is empty, than where it began.
                _ => Some(rows.first().map_or(start.saturating_sub(1), &id_of)),
            };
            Page { rows, next: further, previous }
        }
        Direction::Newer => {
            rows.reverse();
            let next = Some(rows.last().map_or(start.saturating_add(1), &id_of));
            Page { rows, next, previous: further }
        }
    })
}
