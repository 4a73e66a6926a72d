//! Statistics: what each commit counted, added up by minute, hour and day, for the instance, each tenant, each
//! subscription and each event type; and how many deliveries are in which state.
//!
//! A commit writes one row of what it counted into `stats_log`, in the same transaction, so the counts are exact
//! whatever happens. A fold adds the log to the buckets a few times a minute and removes it; whoever reads adds what is
//! still in the log. Buckets are kept by time first: those of one minute are neighbours, and a fold over ten thousand
//! subscriptions touches hundreds of pages and not ten thousands.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use super::StoreError;
use super::commit::{Store, Transaction};
use super::postings::Unindexed;
use super::record::{LogSubject, Measures, StateCountsRecord, StatsLogEntry, StatsLogRecord, StatsRecord, WorkRecord};
use super::schema::{Deliveries, MetaName, StateCountsOf, Stats, StatsLog, Subscriptions, Work, WorkName};
use super::tables::{Read, Snapshot, Tables};
use crate::domain::delivery::{Outcome, State};
use crate::domain::event_type::EventTypeKey;
use crate::domain::id::{SubscriptionId, TenantId};
use crate::domain::stats::{
    AttemptKind, Figures, LATENCY_BUCKETS, Latencies, Resolution, Scope, StateCounts, StateKind,
};
use crate::domain::time::Timestamp;

/// How long points of each resolution are kept.
pub const MINUTES_KEPT: Duration = Duration::from_secs(48 * 60 * 60);
pub const HOURS_KEPT: Duration = Duration::from_secs(60 * 24 * 60 * 60);
/// Two years, one of them a leap year.
pub const DAYS_KEPT: Duration = Duration::from_secs(731 * 24 * 60 * 60);

/// Entries of the log from which a fold does not wait for its time: what a reader has to add up by itself at most,
/// some milliseconds.
pub(super) const LOG_ENTRIES_MAX: usize = 65_536;
/// Entries of one row of the log.
const LOG_ENTRIES_PER_ROW_MAX: usize = 4096;
/// Entries from which a step of a fold takes no further row of the log: what one transaction may hold back from others.
const FOLDED_PER_STEP_MAX: usize = 8192;
/// Buckets that one step of retention removes.
const REMOVED_PER_STEP_MAX: usize = 1024;
/// Times that one step of erasing looks at.
const TIMES_PER_STEP_MAX: usize = 1024;

/// How long a resolution is kept.
pub fn kept(resolution: Resolution) -> Duration {
    match resolution {
        Resolution::Minute => MINUTES_KEPT,
        Resolution::Hour => HOURS_KEPT,
        Resolution::Day => DAYS_KEPT,
    }
}

/// What a number in a row counts. The bytes are the format: none is ever given another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    Attempts(AttemptKind),
    /// Of the attempts that were answered, in microseconds.
    DurationTotal,
    Published,
    Entered(StateKind),
    /// Only in the log, for `state_counts`.
    Left(StateKind),
    /// Answered attempts in a bucket of the histogram.
    Latency(usize),
}

const ATTEMPTS: u8 = 0;
const DURATION_TOTAL: u8 = 10;
const PUBLISHED: u8 = 11;
const ENTERED: u8 = 12;
const LEFT: u8 = 18;
const LEFT_END: u8 = 24;
const LATENCY: u8 = 32;
const LATENCY_LAST: u8 = LATENCY + (LATENCY_BUCKETS - 1) as u8;

/// In the order of their codes.
const KINDS: [AttemptKind; 10] = [
    AttemptKind::Success,
    AttemptKind::Status3xx,
    AttemptKind::Status4xx,
    AttemptKind::Status5xx,
    AttemptKind::BlockedAddress,
    AttemptKind::Dns,
    AttemptKind::Connect,
    AttemptKind::Tls,
    AttemptKind::Timeout,
    AttemptKind::Http,
];

/// In the order of their codes, and of the numbers in `state_counts`.
const STATES: [StateKind; 6] = [
    StateKind::Pending,
    StateKind::Retrying,
    StateKind::Succeeded,
    StateKind::Exhausted,
    StateKind::Canceled,
    StateKind::Expired,
];

fn place_of_kind(kind: AttemptKind) -> u8 {
    match kind {
        AttemptKind::Success => 0,
        AttemptKind::Status3xx => 1,
        AttemptKind::Status4xx => 2,
        AttemptKind::Status5xx => 3,
        AttemptKind::BlockedAddress => 4,
        AttemptKind::Dns => 5,
        AttemptKind::Connect => 6,
        AttemptKind::Tls => 7,
        AttemptKind::Timeout => 8,
        AttemptKind::Http => 9,
    }
}

fn place_of_state(state: StateKind) -> u8 {
    match state {
        StateKind::Pending => 0,
        StateKind::Retrying => 1,
        StateKind::Succeeded => 2,
        StateKind::Exhausted => 3,
        StateKind::Canceled => 4,
        StateKind::Expired => 5,
    }
}

impl Code {
    fn to_byte(self) -> u8 {
        match self {
            Self::Attempts(kind) => ATTEMPTS + place_of_kind(kind),
            Self::DurationTotal => DURATION_TOTAL,
            Self::Published => PUBLISHED,
            Self::Entered(state) => ENTERED + place_of_state(state),
            Self::Left(state) => LEFT + place_of_state(state),
            Self::Latency(bucket) => LATENCY.saturating_add(u8::try_from(bucket).unwrap_or(u8::MAX)),
        }
    }

    /// None for one that only a later version knows.
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            ATTEMPTS..DURATION_TOTAL => Some(Self::Attempts(KINDS[usize::from(byte - ATTEMPTS)])),
            DURATION_TOTAL => Some(Self::DurationTotal),
            PUBLISHED => Some(Self::Published),
            ENTERED..LEFT => Some(Self::Entered(STATES[usize::from(byte - ENTERED)])),
            LEFT..LEFT_END => Some(Self::Left(STATES[usize::from(byte - LEFT)])),
            LATENCY..=LATENCY_LAST => Some(Self::Latency(usize::from(byte - LATENCY))),
            _ => None,
        }
    }

    /// Whether buckets keep it; the rest is only for `state_counts`.
    fn is_kept(byte: u8) -> bool {
        !matches!(Self::from_byte(byte), Some(Self::Left(_) | Self::Entered(StateKind::Retrying)))
    }
}

fn minute_of(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(60_000)
}

fn time_of(minute: i64) -> Timestamp {
    Timestamp::from_millis(minute.saturating_mul(60_000))
}

// -- counting

/// What a transaction counts, in the order in which it happened.
#[derive(Default)]
pub(super) struct Observed(Vec<Observation>);

#[derive(Clone, Copy)]
struct Observation {
    tenant: TenantId,
    of: LogSubject,
    minute: i64,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Published,
    /// `micros` when it was answered.
    Attempt {
        kind: AttemptKind,
        micros: Option<u64>,
    },
    Moved {
        from: Option<StateKind>,
        to: Option<StateKind>,
    },
}

impl Observed {
    pub(super) fn attempt(
        &mut self,
        (tenant, subscription): (TenantId, SubscriptionId),
        at: Timestamp,
        outcome: &Outcome,
        duration: Duration,
    ) {
        let micros = match outcome {
            Outcome::Success | Outcome::Status(_) => Some(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)),
            Outcome::Error { .. } => None,
        };
        let what = What::Attempt { kind: AttemptKind::of(outcome), micros };
        let of = LogSubject::Subscription(subscription.to_bytes());
        self.0.push(Observation { tenant, of, minute: minute_of(at), what });
    }

    /// A delivery came into a state, left it, or both.
    pub(super) fn moved(
        &mut self,
        (tenant, subscription): (TenantId, SubscriptionId),
        at: Timestamp,
        from: Option<StateKind>,
        to: Option<StateKind>,
    ) {
        if from != to {
            let (of, what) = (LogSubject::Subscription(subscription.to_bytes()), What::Moved { from, to });
            self.0.push(Observation { tenant, of, minute: minute_of(at), what });
        }
    }

    /// Counts what comes into its postings. It happens once for each, also after a crash: when the watermark passes it.
    /// Every delivery begins as pending here; what was otherwise from the start said so when it was made.
    pub(super) fn indexed(&mut self, all: &[Unindexed]) {
        self.0.extend(all.iter().map(|one| match *one {
            Unindexed::Event(id, tenant, EventTypeKey(key)) => {
                let minute = minute_of(id.assigned_at());
                Observation { tenant, of: LogSubject::EventType(key), minute, what: What::Published }
            }
            Unindexed::Delivery(id, tenant, subscription) => {
                let what = What::Moved { from: None, to: Some(StateKind::Pending) };
                let (of, minute) = (LogSubject::Subscription(subscription.to_bytes()), minute_of(id.assigned_at()));
                Observation { tenant, of, minute, what }
            }
        }));
    }

    /// Sums by tenant, what of it, and minute.
    fn sum_up(&mut self) -> Vec<StatsLogEntry> {
        let place = |one: &Observation| (one.tenant, one.of, one.minute);
        self.0.sort_unstable_by_key(place);
        let mut sums = Sums::default();
        let of_place = |all: &[Observation]| {
            all.iter().for_each(|one| sums.add(one.what));
            let Observation { tenant, of, minute, what: _ } = all[0];
            StatsLogEntry { tenant: tenant.to_bytes(), of, minute, measures: sums.take() }
        };
        let entries = self.0.chunk_by(|one, next| place(one) == place(next)).map(of_place).collect();
        self.0.clear();
        entries
    }
}

/// A sum for each code, and which of them are not zero.
struct Sums {
    numbers: [u64; 256],
    touched: [u64; 4],
}

impl Default for Sums {
    fn default() -> Self {
        Self { numbers: [0; 256], touched: [0; 4] }
    }
}

impl Sums {
    fn add(&mut self, what: What) {
        match what {
            What::Published => self.add_to(Code::Published, 1),
            What::Attempt { kind, micros } => {
                self.add_to(Code::Attempts(kind), 1);
                if let Some(micros) = micros {
                    self.add_to(Code::DurationTotal, micros);
                    self.add_to(Code::Latency(Latencies::bucket_of(micros)), 1);
                }
            }
            What::Moved { from, to } => {
                if let Some(from) = from {
                    self.add_to(Code::Left(from), 1);
                }
                if let Some(to) = to {
                    self.add_to(Code::Entered(to), 1);
                }
            }
        }
    }

    fn add_to(&mut self, code: Code, number: u64) {
        let byte = usize::from(code.to_byte());
        self.numbers[byte] = self.numbers[byte].saturating_add(number);
        self.touched[byte / 64] |= u64::from(number > 0) << (byte % 64);
    }

    /// What came together; begins anew.
    fn take(&mut self) -> Measures {
        let count: u32 = self.touched.iter().map(|part| part.count_ones()).sum();
        let mut measures = Vec::with_capacity(count as usize);
        for (part, first) in self.touched.iter_mut().zip((0_u8..=255).step_by(64)) {
            while *part != 0 {
                let byte = first + part.trailing_zeros() as u8;
                *part &= *part - 1;
                measures.push((byte, std::mem::take(&mut self.numbers[usize::from(byte)])));
            }
        }
        Measures(measures)
    }
}

/// What came into the log.
#[derive(Default)]
pub(super) struct Logged {
    pub(super) entries: usize,
    /// How many deliveries came into each state, for whoever counts in memory.
    pub(super) moved: Vec<(SubscriptionId, StateCountsRecord)>,
}

impl StatsLogEntry {
    pub(super) fn subscription(&self) -> Option<SubscriptionId> {
        match self.of {
            LogSubject::Subscription(id) => Some(SubscriptionId::from_bytes(id)),
            LogSubject::EventType(_) | LogSubject::Tenant => None,
        }
    }
}

/// Whose figures it goes into besides its tenant's.
fn scope_of(of: LogSubject) -> Option<Scope> {
    match of {
        LogSubject::Tenant => None,
        LogSubject::EventType(key) => Some(Scope::EventType(EventTypeKey(key))),
        LogSubject::Subscription(id) => Some(Scope::Subscription(SubscriptionId::from_bytes(id))),
    }
}

/// Writes what was counted.
pub(super) fn write_log(tables: &mut Tables<'_>) -> Result<Logged, StoreError> {
    let entries = tables.observed.sum_up();
    if entries.is_empty() {
        return Ok(Logged::default());
    }
    let moved_by = |entry: &StatsLogEntry| {
        let mut moved = StateCountsRecord::default();
        count_states(&mut moved, &entry.measures);
        Some((entry.subscription()?, moved))
    };
    let moved = entries.iter().filter_map(moved_by).filter(|(_, moved)| *moved != StateCountsRecord::default());
    let moved = moved.collect();
    let last = tables.scan::<StatsLog>(..)?.next_back().transpose()?;
    let mut number = last.map_or(0, |(number, _)| number + 1);
    let count = entries.len();
    let mut rest = entries;
    while !rest.is_empty() {
        let after = rest.split_off(rest.len().min(LOG_ENTRIES_PER_ROW_MAX));
        tables.put::<StatsLog>(&number, &StatsLogRecord(rest))?;
        number += 1;
        rest = after;
    }
    Ok(Logged { entries: count, moved })
}

/// The numbers of a record by their states.
pub(super) fn by_state(StateCountsRecord(numbers): StateCountsRecord) -> impl Iterator<Item = (StateKind, i64)> {
    STATES.into_iter().zip(numbers)
}

// -- folding

/// One step of adding the log to the buckets and removing it. What concerns something that `is_alive` does not know any
/// more is counted only for what it belonged to. Answers how many entries it dealt with: none when the log is empty.
pub(super) fn fold(tables: &mut Tables<'_>, is_alive: impl Fn(Scope) -> bool) -> Result<usize, StoreError> {
    let mut folded = 0;
    let mut rows = Vec::new();
    let mut minutes: BTreeMap<(i64, Scope), Measures> = BTreeMap::new();
    let mut states: BTreeMap<SubscriptionId, StateCountsRecord> = BTreeMap::new();
    for row in tables.scan::<StatsLog>(..)? {
        let (number, StatsLogRecord(entries)) = row?;
        rows.push(number);
        folded += entries.len();
        for StatsLogEntry { tenant, of, minute, mut measures } in entries {
            let part = scope_of(of);
            if let Some(Scope::Subscription(id)) = part
                && is_alive(Scope::Subscription(id))
            {
                count_states(states.entry(id).or_default(), &measures);
            }
            measures.0.retain(|(code, _)| Code::is_kept(*code));
            if measures.0.is_empty() {
                continue;
            }
            let scopes = [Some(Scope::Instance), Some(Scope::Tenant(TenantId::from_bytes(tenant))), part];
            for scope in scopes.into_iter().flatten() {
                minutes.entry((minute, scope)).or_default().add(&measures);
            }
        }
        if folded >= FOLDED_PER_STEP_MAX {
            break;
        }
    }
    for number in rows {
        tables.remove::<StatsLog>(&number)?;
    }
    let mut buckets: BTreeMap<(Resolution, Timestamp, Scope), Measures> = BTreeMap::new();
    for ((minute, scope), measures) in minutes {
        if scope != Scope::Instance && !is_alive(scope) {
            continue;
        }
        for resolution in Resolution::ALL {
            let start = resolution.start_of(time_of(minute));
            buckets.entry((resolution, start, scope)).or_default().add(&measures);
        }
    }
    for (key, measures) in buckets {
        let mut record = tables.get::<Stats>(&key)?.unwrap_or_default();
        record.0.add(&measures);
        tables.put::<Stats>(&key, &record)?;
    }
    for (id, StateCountsRecord(moved)) in states {
        let mut record = tables.get::<StateCountsOf>(&id)?.unwrap_or_default();
        record.0.iter_mut().zip(moved).for_each(|(count, moved)| *count += moved);
        tables.put::<StateCountsOf>(&id, &record)?;
    }
    Ok(folded)
}

/// What a log entry does to the counts by state.
pub(super) fn count_states(StateCountsRecord(counts): &mut StateCountsRecord, measures: &Measures) {
    for (byte, number) in &measures.0 {
        let number = i64::try_from(*number).unwrap_or(i64::MAX);
        match Code::from_byte(*byte) {
            Some(Code::Entered(state)) => counts[usize::from(place_of_state(state))] += number,
            Some(Code::Left(state)) => counts[usize::from(place_of_state(state))] -= number,
            Some(Code::Attempts(_) | Code::DurationTotal | Code::Published | Code::Latency(_)) | None => {}
        }
    }
}

/// Counts every delivery by its state, for a file that was made before these counts were kept.
pub(super) fn count_states_anew(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    let counts = counted(tables)?;
    for (id, counts) in counts {
        // Of a deleted one nobody asks.
        if tables.get::<Subscriptions>(&id)?.is_some_and(|record| record.deleted_at.is_none()) {
            tables.put::<StateCountsOf>(&id, &counts)?;
        }
    }
    Ok(())
}

/// What `state_counts` and the log have to come to together, read from the deliveries themselves.
pub(super) fn counted(tables: &impl Read) -> Result<BTreeMap<SubscriptionId, StateCountsRecord>, StoreError> {
    let indexed = tables.meta_id(MetaName::IndexedUpTo)?;
    let mut counts: BTreeMap<SubscriptionId, StateCountsRecord> = BTreeMap::new();
    for row in tables.scan::<Deliveries>(..)? {
        let (id, record) = row?;
        let StateCountsRecord(of_subscription) =
            counts.entry(SubscriptionId::from_bytes(record.subscription)).or_default();
        let state = StateKind::from(State::from(record.state));
        of_subscription[usize::from(place_of_state(state))] += 1;
        if id.as_u128() > indexed {
            // It is counted as pending when it is indexed, and from then on as what it is.
            of_subscription[usize::from(place_of_state(StateKind::Pending))] -= 1;
        }
    }
    Ok(counts)
}

impl Transaction<'_> {
    /// Adds a step of the log to the buckets in this transaction.
    pub(super) fn fold_stats(&mut self) -> Result<(), StoreError> {
        let catalogue = std::sync::Arc::clone(&self.shared.catalogue.load());
        let folded = fold(&mut self.tables, |scope| is_alive(&catalogue, scope))?;
        self.log_is_folded(folded);
        Ok(())
    }

    /// Leaves the statistics of something deleted to the background.
    pub(super) fn erase_stats_later(&mut self, scope: Scope) -> Result<(), StoreError> {
        let work = WorkRecord { stage: 0, cursor: [0; 16], until: [0; 16] };
        self.tables.put::<Work>(&WorkName::EraseStats(scope), &work)?;
        self.set_has_work(true);
        Ok(())
    }
}

pub(super) fn is_alive(catalogue: &super::Catalogue, scope: Scope) -> bool {
    match scope {
        Scope::Instance | Scope::EventType(_) => true,
        Scope::Tenant(id) => catalogue.tenant(id).is_some(),
        Scope::Subscription(id) => catalogue.subscription(id).is_some(),
    }
}

/// The first moment that has anything in this resolution, from there on.
fn next_start(tables: &impl Read, resolution: Resolution, from: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let range = (resolution, from, Scope::Instance)..=(resolution, Timestamp::MAX, LAST_SCOPE);
    Ok(tables.scan::<Stats>(range)?.next().transpose()?.map(|((_, start, _), _)| start))
}

const LAST_SCOPE: Scope = Scope::EventType(EventTypeKey([u8::MAX; 16]));

/// One step of removing the statistics of something deleted; none when nothing is left. `stage` is the resolution,
/// `cursor` the time that
/// comes next, in milliseconds after the first one that there is.
pub(super) fn erase(
    tables: &mut Tables<'_>,
    scope: Scope,
    record: WorkRecord,
) -> Result<Option<WorkRecord>, StoreError> {
    if let Scope::Subscription(id) = scope
        && tables.has::<StateCountsOf>(&id)?
    {
        tables.remove::<StateCountsOf>(&id)?;
    }
    let Some(resolution) = Resolution::ALL.get(usize::from(record.stage)).copied() else { return Ok(None) };
    let mut from = Timestamp::MIN.plus(Duration::from_millis(u128::from_be_bytes(record.cursor) as u64));
    for _ in 0..TIMES_PER_STEP_MAX {
        let Some(start) = next_start(tables, resolution, from)? else {
            return Ok(Some(WorkRecord { stage: record.stage + 1, cursor: [0; 16], ..record }));
        };
        let key = (resolution, start, scope);
        if tables.has::<Stats>(&key)? {
            tables.remove::<Stats>(&key)?;
        }
        from = start.plus(resolution.span());
    }
    let cursor = from.since(Timestamp::MIN).as_millis();
    Ok(Some(WorkRecord { cursor: cursor.to_be_bytes(), ..record }))
}

/// One step of removing what is older than it is kept. Answers whether there is more.
pub(super) fn remove_old(tables: &mut Tables<'_>, now: Timestamp) -> Result<bool, StoreError> {
    let mut budget = REMOVED_PER_STEP_MAX;
    for resolution in Resolution::ALL {
        let end = resolution.start_of(now.minus(kept(resolution)));
        let first = (resolution, Timestamp::MIN, Scope::Instance);
        let range = (Bound::Included(first), Bound::Excluded((resolution, end, Scope::Instance)));
        let old = tables.scan::<Stats>(range)?.take(budget).map(|row| row.map(|(key, _)| key));
        let old = old.collect::<Result<Vec<_>, _>>()?;
        budget -= old.len();
        for key in &old {
            tables.remove::<Stats>(key)?;
        }
    }
    Ok(budget == 0)
}

// -- reading

/// The statistics as of one commit, so that what is read together fits together.
pub struct StatsRead {
    snapshot: Snapshot,
}

impl Store {
    pub fn stats(&self) -> Result<StatsRead, StoreError> {
        Ok(StatsRead { snapshot: self.shared.snapshot()? })
    }
}

impl StatsRead {
    /// `points` points from the one that holds `since` on, those without anything in them included. Reads the disk.
    pub fn series(
        &self,
        scope: Scope,
        resolution: Resolution,
        since: Timestamp,
        points: usize,
    ) -> Result<Vec<(Timestamp, Figures)>, StoreError> {
        let snapshot = &self.snapshot;
        let mut series = Vec::with_capacity(points);
        let mut start = resolution.start_of(since);
        for _ in 0..points {
            series.push((start, bucket(snapshot, scope, resolution, start)?));
            start = start.plus(resolution.span());
        }
        add_log(snapshot, scope, |at, measures| add_to_series(&mut series, resolution, at, measures))?;
        Ok(series)
    }

    /// As [`Self::series`], of all these subscriptions together. Reads the disk.
    pub fn series_of(
        &self,
        subscriptions: &BTreeSet<SubscriptionId>,
        resolution: Resolution,
        since: Timestamp,
        points: usize,
    ) -> Result<Vec<(Timestamp, Figures)>, StoreError> {
        let snapshot = &self.snapshot;
        let mut series = Vec::with_capacity(points);
        let mut start = resolution.start_of(since);
        for _ in 0..points {
            let mut figures = Figures::default();
            for id in subscriptions {
                figures += &bucket(snapshot, Scope::Subscription(*id), resolution, start)?;
            }
            series.push((start, figures));
            start = start.plus(resolution.span());
        }
        let is_wanted = |entry: &StatsLogEntry| entry.subscription().is_some_and(|id| subscriptions.contains(&id));
        add_log_where(snapshot, is_wanted, |at, measures| add_to_series(&mut series, resolution, at, measures))?;
        Ok(series)
    }

    /// How many events were published of each type, in `points` points from the one that holds `since` on. Types of which
    /// none was are not in it. Reads the disk.
    pub fn published_by_event_type(
        &self,
        resolution: Resolution,
        since: Timestamp,
        points: usize,
    ) -> Result<BTreeMap<EventTypeKey, u64>, StoreError> {
        let snapshot = &self.snapshot;
        let first = resolution.start_of(since);
        let mut published: BTreeMap<EventTypeKey, u64> = BTreeMap::new();
        let code = Code::Published.to_byte();
        let mut add = |key: EventTypeKey, measures: &Measures| {
            // Nothing else is counted for a type.
            let count = measures.0.iter().find_map(|(known, number)| (*known == code).then_some(*number));
            *published.entry(key).or_default() += count.unwrap_or_default();
        };
        let mut start = first;
        for _ in 0..points {
            let from = (resolution, start, Scope::EventType(EventTypeKey([0; 16])));
            for row in snapshot.scan::<Stats>(from..=(resolution, start, LAST_SCOPE))? {
                let ((_, _, scope), StatsRecord(measures)) = row?;
                if let Scope::EventType(key) = scope {
                    add(key, &measures);
                }
            }
            start = start.plus(resolution.span());
        }
        for row in snapshot.scan::<StatsLog>(..)? {
            let (_, StatsLogRecord(entries)) = row?;
            for entry in entries {
                let at = time_of(entry.minute);
                if let Some(Scope::EventType(key)) = scope_of(entry.of)
                    && (first..start).contains(&at)
                {
                    add(key, &entry.measures);
                }
            }
        }
        Ok(published)
    }

    /// Everything from the minute that holds `since` until now, and at most two days back. Reads the disk.
    pub fn figures_since(&self, scope: Scope, since: Timestamp, now: Timestamp) -> Result<Figures, StoreError> {
        let snapshot = &self.snapshot;
        let since = Resolution::Minute.start_of(since.max(now.minus(MINUTES_KEPT)));
        let (mut figures, mut at) = (Figures::default(), since);
        while at <= now {
            // Hours where they are whole: a day is then some eighty rows and not 1,440.
            let is_whole_hour = Resolution::Hour.start_of(at) == at;
            let resolution = if is_whole_hour { Resolution::Hour } else { Resolution::Minute };
            figures += &bucket(snapshot, scope, resolution, at)?;
            at = at.plus(resolution.span());
        }
        add_log(snapshot, scope, |at, measures| {
            if at >= since {
                add_to_figures(&mut figures, measures);
            }
        })?;
        Ok(figures)
    }

    /// How many deliveries of a subscription are kept, by state. New ones are counted within a second. Reads the disk.
    pub fn state_counts(&self, id: SubscriptionId) -> Result<StateCounts, StoreError> {
        let snapshot = &self.snapshot;
        let mut record = snapshot.get::<StateCountsOf>(&id)?.unwrap_or_default();
        for row in snapshot.scan::<StatsLog>(..)? {
            let (_, StatsLogRecord(entries)) = row?;
            for entry in entries.iter().filter(|entry| entry.subscription() == Some(id)) {
                count_states(&mut record, &entry.measures);
            }
        }
        let mut counts = StateCounts::default();
        for (state, count) in by_state(record) {
            // A new delivery that moved on already may not have been counted as new yet.
            counts[state] = u64::try_from(count).unwrap_or(0);
        }
        Ok(counts)
    }
}

fn bucket(tables: &impl Read, scope: Scope, resolution: Resolution, start: Timestamp) -> Result<Figures, StoreError> {
    let mut figures = Figures::default();
    if let Some(StatsRecord(measures)) = tables.get::<Stats>(&(resolution, start, scope))? {
        add_to_figures(&mut figures, &measures);
    }
    Ok(figures)
}

/// Tells each entry of the log that concerns the scope.
fn add_log(tables: &impl Read, scope: Scope, add: impl FnMut(Timestamp, &Measures)) -> Result<(), StoreError> {
    let is_wanted = |entry: &StatsLogEntry| match scope {
        Scope::Instance => true,
        Scope::Tenant(id) => entry.tenant == id.to_bytes(),
        Scope::Subscription(_) | Scope::EventType(_) => scope_of(entry.of) == Some(scope),
    };
    add_log_where(tables, is_wanted, add)
}

fn add_log_where(
    tables: &impl Read,
    is_wanted: impl Fn(&StatsLogEntry) -> bool,
    mut add: impl FnMut(Timestamp, &Measures),
) -> Result<(), StoreError> {
    for row in tables.scan::<StatsLog>(..)? {
        let (_, StatsLogRecord(entries)) = row?;
        for entry in entries.iter().filter(|entry| is_wanted(entry)) {
            add(time_of(entry.minute), &entry.measures);
        }
    }
    Ok(())
}

fn add_to_series(series: &mut [(Timestamp, Figures)], resolution: Resolution, at: Timestamp, measures: &Measures) {
    let start = resolution.start_of(at);
    if let Ok(place) = series.binary_search_by_key(&start, |(start, _)| *start) {
        add_to_figures(&mut series[place].1, measures);
    }
}

fn add_to_figures(figures: &mut Figures, measures: &Measures) {
    for (byte, number) in &measures.0 {
        match Code::from_byte(*byte) {
            Some(Code::Attempts(kind)) => figures.attempts[kind] += number,
            Some(Code::DurationTotal) => figures.latencies.micros_total += number,
            Some(Code::Published) => figures.events_published += number,
            Some(Code::Entered(StateKind::Pending)) => figures.deliveries_created += number,
            Some(Code::Entered(StateKind::Succeeded)) => figures.deliveries_succeeded += number,
            Some(Code::Entered(StateKind::Exhausted)) => figures.deliveries_exhausted += number,
            Some(Code::Entered(StateKind::Canceled)) => figures.deliveries_canceled += number,
            Some(Code::Entered(StateKind::Expired)) => figures.deliveries_expired += number,
            Some(Code::Latency(bucket)) => figures.latencies.counts[bucket] += number,
            Some(Code::Entered(StateKind::Retrying) | Code::Left(_)) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_and_none_is_shared() {
        let kinds = AttemptKind::ALL.map(Code::Attempts).into_iter();
        let states = StateKind::ALL.into_iter().flat_map(|state| [Code::Entered(state), Code::Left(state)]);
        let buckets = (0..LATENCY_BUCKETS).map(Code::Latency);
        let all = kinds.chain([Code::DurationTotal, Code::Published]).chain(states).chain(buckets);
        let mut seen = BTreeSet::new();
        for code in all {
            assert_eq!(Code::from_byte(code.to_byte()), Some(code));
            assert!(seen.insert(code.to_byte()), "{code:?}");
        }
        assert_eq!((0..=255).filter(|byte| Code::from_byte(*byte).is_some()).count(), seen.len());
    }
}
