//! A moment, in whole milliseconds of UTC: the resolution that the API shows and the store keeps.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime, UtcOffset};

/// Milliseconds since 1970-01-01T00:00:00Z. Shown as RFC 3339 with milliseconds and `Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// A text that is not an RFC 3339 moment between the years 0 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 date and time")]
pub struct InvalidTimestamp;

/// 9999-12-31T23:59:59.999Z, the last moment that RFC 3339 can write.
const MILLIS_MAX: i64 = 253_402_300_799_999;
/// 0000-01-01T00:00:00Z.
const MILLIS_MIN: i64 = -62_167_219_200_000;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// 1970-01-01 as `time` counts days.
const JULIAN_DAY_OF_1970: i32 = 2_440_588;

impl Timestamp {
    pub const MIN: Self = Self(MILLIS_MIN);
    pub const MAX: Self = Self(MILLIS_MAX);

    /// Clamped to what RFC 3339 can write.
    pub const fn from_millis(millis: i64) -> Self {
        if millis > MILLIS_MAX {
            Self(MILLIS_MAX)
        } else if millis < MILLIS_MIN {
            Self(MILLIS_MIN)
        } else {
            Self(millis)
        }
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds, rounded down: what signatures carry.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    pub fn minus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_sub(millis))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand, since every event is told with three of them: a format description costs twenty times as much.
        let days = i32::try_from(self.0.div_euclid(DAY_MILLIS)).map_err(|_| fmt::Error)?;
        let date = Date::from_julian_day(JULIAN_DAY_OF_1970 + days).map_err(|_| fmt::Error)?;
        let (year, month, day) = date.to_calendar_date();
        let millis = self.0.rem_euclid(DAY_MILLIS).unsigned_abs();
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let parts = [
            (0..4, u64::from(year.unsigned_abs())),
            (5..7, u64::from(u8::from(month))),
            (8..10, u64::from(day)),
            (11..13, millis / 3_600_000),
            (14..16, millis / 60_000 % 60),
            (17..19, millis / 1000 % 60),
            (20..23, millis % 1000),
        ];
        for (place, mut number) in parts {
            for digit in text[place].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        f.write_str(std::str::from_utf8(&text).expect("digits are ASCII"))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// Any offset is taken and turned into UTC; what is finer than a millisecond is cut off.
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| InvalidTimestamp)?.to_offset(UtcOffset::UTC);
        let millis = moment.unix_timestamp_nanos().div_euclid(1_000_000);
        let millis = i64::try_from(millis).map_err(|_| InvalidTimestamp)?;
        if (MILLIS_MIN..=MILLIS_MAX).contains(&millis) { Ok(Self(millis)) } else { Err(InvalidTimestamp) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_in_utc_with_milliseconds() {
        for (text, shown) in [
            ("2026-02-18T12:00:00Z", "2026-02-18T12:00:00.000Z"),
            ("2026-02-18T12:00:00.1239Z", "2026-02-18T12:00:00.123Z"),
            ("2026-02-18T14:30:00.5+02:30", "2026-02-18T12:00:00.500Z"),
            ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
            ("2024-02-29T23:59:59.001Z", "2024-02-29T23:59:59.001Z"),
            ("2000-03-01T00:00:00Z", "2000-03-01T00:00:00.000Z"),
            ("1900-03-01T09:08:07.065Z", "1900-03-01T09:08:07.065Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"),
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn texts_that_are_not_moments_are_refused() {
        for text in ["", "2026-02-18", "2026-02-30T00:00:00Z", "1771416000", "2026-02-18T12:00:00"] {
            assert_eq!(text.parse::<Timestamp>(), Err(InvalidTimestamp), "{text}");
        }
    }

    #[test]
    fn sums_stay_within_what_can_be_written() {
        assert_eq!(Timestamp::MAX.plus(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.minus(Duration::MAX), Timestamp::MIN);
        assert_eq!(Timestamp::MIN.since(Timestamp::MAX), Duration::ZERO);
    }
}
