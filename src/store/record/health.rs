//! How a subscription fares, on disk.

use serde::{Deserialize, Serialize};

use super::{IdBytes, Record, millis, timestamp, whole};
use crate::domain::health::{Circuit, Health};
use crate::domain::id::DeliveryId;
use crate::domain::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct HealthRecord {
    consecutive_failures: u32,
    failing_since: Option<i64>,
    last_delivery_at: Option<i64>,
    last_delivery_succeeded: Option<bool>,
    slots: Option<u8>,
    pace: Option<u32>,
    throttled_at: Option<i64>,
    quiet_until: Option<i64>,
    circuit: CircuitRecord,
    warnings: u8,
    is_announced: bool,
    blocked_by: Option<IdBytes>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum CircuitRecord {
    Closed,
    Open { probe_at: i64, probes: u16 },
}

impl Record for HealthRecord {
    const VERSION: u8 = 2;

    fn decode_earlier(version: u8, rest: &[u8]) -> Option<Self> {
        (version == 1).then(|| whole::<HealthRecordV1>(rest)).flatten().map(Into::into)
    }
}

/// Before anything followed from health.
#[derive(Deserialize)]
struct HealthRecordV1 {
    consecutive_failures: u32,
    failing_since: Option<i64>,
    last_delivery_at: Option<i64>,
    last_delivery_succeeded: Option<bool>,
}

impl From<HealthRecordV1> for HealthRecord {
    fn from(record: HealthRecordV1) -> Self {
        let HealthRecordV1 { consecutive_failures, failing_since, last_delivery_at, last_delivery_succeeded } = record;
        Self {
            consecutive_failures,
            failing_since,
            last_delivery_at,
            last_delivery_succeeded,
            slots: None,
            pace: None,
            throttled_at: None,
            quiet_until: None,
            circuit: CircuitRecord::Closed,
            warnings: 0,
            is_announced: false,
            blocked_by: None,
        }
    }
}

impl From<Health> for HealthRecord {
    fn from(health: Health) -> Self {
        let Health {
            consecutive_failures,
            failing_since,
            last_delivery_at,
            last_delivery_succeeded,
            slots,
            pace,
            throttled_at,
            quiet_until,
            circuit,
            warnings,
            is_announced,
            blocked_by,
        } = health;
        Self {
            consecutive_failures,
            failing_since: millis(failing_since),
            last_delivery_at: millis(last_delivery_at),
            last_delivery_succeeded,
            slots,
            pace,
            throttled_at: millis(throttled_at),
            quiet_until: millis(quiet_until),
            circuit: match circuit {
                Circuit::Closed => CircuitRecord::Closed,
                Circuit::Open { probe_at, probes } => CircuitRecord::Open { probe_at: probe_at.as_millis(), probes },
            },
            warnings,
            is_announced,
            blocked_by: blocked_by.map(DeliveryId::to_bytes),
        }
    }
}

impl From<HealthRecord> for Health {
    fn from(record: HealthRecord) -> Self {
        let HealthRecord {
            consecutive_failures,
            failing_since,
            last_delivery_at,
            last_delivery_succeeded,
            slots,
            pace,
            throttled_at,
            quiet_until,
            circuit,
            warnings,
            is_announced,
            blocked_by,
        } = record;
        Self {
            consecutive_failures,
            failing_since: timestamp(failing_since),
            last_delivery_at: timestamp(last_delivery_at),
            last_delivery_succeeded,
            slots,
            pace,
            throttled_at: timestamp(throttled_at),
            quiet_until: timestamp(quiet_until),
            circuit: match circuit {
                CircuitRecord::Closed => Circuit::Closed,
                CircuitRecord::Open { probe_at, probes } => {
                    Circuit::Open { probe_at: Timestamp::from_millis(probe_at), probes }
                }
            },
            warnings,
            is_announced,
            blocked_by: blocked_by.map(DeliveryId::from_bytes),
        }
    }
}
