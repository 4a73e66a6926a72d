//! Backups: what each is called, what wraps one, which are kept, and when the next is due.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use zeroize::Zeroizing;

use super::id::BackupId;
use super::time::Timestamp;

/// In characters. Whoever has the file can try as many as they have machines for.
pub const PASSPHRASE_LENGTH_MIN: usize = 12;
pub const PASSPHRASE_LENGTH_MAX: usize = 1024;
pub const PASSPHRASE_EXPECTED: &str = "a text of 12 to 1,024 characters";

/// How many are kept of an instance that was not told otherwise.
pub const KEPT_DEFAULT: u32 = 7;
/// After one that failed the next scheduled one waits for so long.
pub const TRY_AGAIN_AFTER: Duration = Duration::from_secs(15 * 60);

const EXTENSION: &str = ".backup";
const SEALED: &str = "-sealed";

/// What a backup is encrypted with.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<String>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a passphrase has 12 to 1,024 characters")]
pub struct UnfitPassphrase;

impl Passphrase {
    pub fn new(text: String) -> Result<Self, UnfitPassphrase> {
        let text = Zeroizing::new(text);
        let is_fit = (PASSPHRASE_LENGTH_MIN..=PASSPHRASE_LENGTH_MAX).contains(&text.chars().count());
        if is_fit { Ok(Self(text)) } else { Err(UnfitPassphrase) }
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// What the file of a backup is called: all that a list of files has to say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackupName {
    pub id: BackupId,
    /// Whether it takes a passphrase to read it.
    pub is_sealed: bool,
}

impl BackupName {
    /// When it was begun.
    pub fn created_at(self) -> Timestamp {
        self.id.assigned_at()
    }

    /// None when a file of that name is no finished backup.
    pub fn read(file: &str) -> Option<Self> {
        let stem = file.strip_prefix("waxwing-")?.strip_suffix(EXTENSION)?;
        let (stem, is_sealed) = stem.strip_suffix(SEALED).map_or((stem, false), |stem| (stem, true));
        let name = Self { id: stem.rsplit_once('-')?.1.parse().ok()?, is_sealed };
        // What another name leads to would be found and then not found again.
        (name.to_string() == file).then_some(name)
    }
}

/// `waxwing-20260218T120000Z-bak_….backup`, so that a folder sorts by age.
impl fmt::Display for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at: String = self.created_at().to_string().chars().filter(|c| !matches!(c, '-' | ':')).take(15).collect();
        let sealed = if self.is_sealed { SEALED } else { "" };
        write!(f, "waxwing-{at}Z-{}{sealed}{EXTENSION}", self.id)
    }
}

/// Those that are too many: all but the newest `kept`.
pub fn outdated(mut names: Vec<BackupName>, kept: NonZeroU32) -> Vec<BackupName> {
    names.sort_unstable();
    let kept = usize::try_from(kept.get()).unwrap_or(usize::MAX);
    names.truncate(names.len().saturating_sub(kept));
    names
}

/// What is being done with a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Out of the store.
    Copying,
    /// Whether the file is what was written.
    Reading,
    /// A store is made of it.
    Restoring,
    /// To where it is kept.
    Uploading,
    /// Whether what is there is what was sent.
    Comparing,
}

impl Stage {
    pub const ALL: [Self; 5] = [Self::Copying, Self::Reading, Self::Restoring, Self::Uploading, Self::Comparing];

    pub fn name(self) -> &'static str {
        match self {
            Self::Copying => "copying",
            Self::Reading => "reading",
            Self::Restoring => "restoring",
            Self::Uploading => "uploading",
            Self::Comparing => "comparing",
        }
    }
}

/// What a schedule goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// When the newest that is there was begun, as its name says.
    pub newest_at: Option<Timestamp>,
    /// When the last one of this process was made, by the clock.
    pub made_at: Option<Timestamp>,
    /// When the last one failed, if it was the last one.
    pub failed_at: Option<Timestamp>,
}

impl Past {
    /// Whether the next one is to begin.
    pub fn is_due(self, every: Duration, now: Timestamp) -> bool {
        let Self { newest_at, made_at, failed_at } = self;
        // Ids do not go back: after a clock that was wrong, names say a time that has not come yet.
        let newest_at = newest_at.filter(|at| *at <= now).or(made_at.filter(|at| *at <= now));
        newest_at.is_none_or(|at| now >= at.plus(every))
            && failed_at.filter(|at| *at <= now).is_none_or(|at| now >= at.plus(TRY_AGAIN_AFTER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(millis: i64) -> BackupName {
        BackupName { id: BackupId::from_u128(u128::from(millis.unsigned_abs()) << 80 | 7), is_sealed: false }
    }

    fn at(hours: u64) -> Timestamp {
        Timestamp::from_millis(0).plus(Duration::from_secs(hours * 3600))
    }

    #[test]
    fn a_name_says_when_and_whether_a_passphrase_is_needed() {
        let plain = name(1_771_416_000_000);
        let sealed = BackupName { is_sealed: true, ..plain };
        assert!(plain.to_string().starts_with("waxwing-20260218T120000Z-bak_"), "{plain}");
        for name in [plain, sealed] {
            assert_eq!(BackupName::read(&name.to_string()), Some(name));
        }
        for other in
            ["", "waxwing.redb", "secret-key", &format!("{plain}.partial"), &format!("x{plain}"), "waxwing-.backup"]
        {
            assert_eq!(BackupName::read(other), None, "{other}");
        }
        let moved = plain.to_string().replace("20260218", "20260219");
        assert_eq!(BackupName::read(&moved), None, "its date is not its own");
    }

    #[test]
    fn the_newest_are_kept() {
        let names = [5, 1, 4, 2, 3].map(name);
        let kept = |kept| NonZeroU32::new(kept).unwrap();
        assert_eq!(outdated(names.to_vec(), kept(2)), [1, 2, 3].map(name));
        assert_eq!(outdated(names.to_vec(), kept(5)), []);
        assert_eq!(outdated(Vec::new(), kept(1)), []);
    }

    #[test]
    fn the_next_is_due_when_the_newest_is_old_enough_and_not_right_after_a_failure() {
        let day = Duration::from_secs(24 * 3600);
        for (newest, made, failed, now, is_due) in [
            (None, None, None, 0, true),
            (Some(0), None, None, 23, false),
            (Some(0), None, None, 24, true),
            (Some(0), None, Some(24), 24, false),
            (Some(0), None, Some(24), 25, true),
            (None, None, Some(1), 1, false),
            // The clock was years ahead when it was made, and all names since then say so.
            (Some(90_000), None, None, 30, true),
            (Some(90_000), Some(30), None, 53, false),
            (Some(90_000), Some(30), None, 54, true),
            (Some(90_000), Some(89_999), Some(90_000), 54, true),
        ] {
            let past = Past { newest_at: newest.map(at), made_at: made.map(at), failed_at: failed.map(at) };
            assert_eq!(past.is_due(day, at(now)), is_due, "{newest:?} {made:?} {failed:?} {now}");
        }
    }

    #[test]
    fn a_passphrase_is_long_and_not_shown() {
        assert!(Passphrase::new("eleven char".to_owned()).is_err());
        let passphrase = Passphrase::new("twelve chars".to_owned()).unwrap();
        assert_eq!(format!("{passphrase:?}"), "Passphrase(…)");
    }
}
