//! The data folder: who may look into it, its key, the disk below it and a quick look at the store.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, access};

use super::Finding;
use crate::config::Config;
use crate::store::{
    Disk, DiskLevel, FileState, Files, Glance, JOURNAL_FILES, KEY_FILE, OpenError, STORE_FILE, disk_of, glance,
};

/// Whether somebody works with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    InUse,
    Idle,
}

pub(super) fn examine(config: &Config) -> (Vec<Finding>, Use) {
    let directory = &config.data_dir.value;
    let key = config.secret_key.value.as_ref().map(|key| key.bytes());
    let mut findings = vec![folder(directory)];
    let is_there = directory.is_dir();
    if is_there {
        let elsewhere = key.is_some().then(|| config.secret_key.origin.to_string());
        findings.push(secret_key(directory, elsewhere.as_deref()));
    }
    findings.push(disk(nearest(directory), config.free_space_reserve.value));
    let mut found_use = Use::Idle;
    if is_there {
        let looked = glance(directory, key);
        if let Ok(Glance { state: FileState::InUse, .. }) = &looked {
            found_use = Use::InUse;
        }
        findings.push(store(directory, looked));
    }
    (findings, found_use)
}

fn folder(directory: &Path) -> Finding {
    const ABOUT: &str = "data folder";
    let shown = directory.display();
    let metadata = match fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => return Finding::fail(ABOUT, format!("{shown} is no folder"), "choose another with --data-dir"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return to_be_made(directory),
        Err(error) => {
            let advice = "run it as the user that the server runs as, or choose another with --data-dir";
            return Finding::fail(ABOUT, format!("{shown} cannot be looked at: {error}"), advice);
        }
    };
    let mode = metadata.mode() & 0o777;
    let finding = judge(directory, &metadata, mode);
    finding.with("mode", format!("{mode:04o}"))
}

fn judge(directory: &Path, metadata: &Metadata, mode: u32) -> Finding {
    const ABOUT: &str = "data folder";
    let shown = directory.display();
    let (own, owner) = (rustix::process::geteuid().as_raw(), metadata.uid());
    if access(directory, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let advice = format!("run it as user {owner}, who owns it; or `chown -R {own} {shown}` if it is yours");
        return Finding::fail(ABOUT, format!("user {own} cannot read and write {shown}"), advice);
    }
    let files = [STORE_FILE, JOURNAL_FILES[0], JOURNAL_FILES[1], KEY_FILE];
    let owners = files.iter().filter_map(|name| Some((*name, fs::metadata(directory.join(name)).ok()?.uid())));
    if let Some((name, other)) = stranger(owner, owners) {
        let line = format!("{name} in {shown} belongs to user {other}, and the folder to user {owner}");
        return Finding::fail(ABOUT, line, format!("`chown -R {owner} {shown}`; run commands as that user"));
    }
    if mode & 0o077 != 0 {
        let line = format!("{shown} is open to other users (mode {mode:04o})");
        return Finding::warn(ABOUT, line, format!("`chmod 700 {shown}`"));
    }
    let whose = if own == owner { "its owner only".to_owned() } else { format!("its owner, user {owner}, only") };
    Finding::ok(ABOUT, format!("{shown} is for {whose}"))
}

/// The first file that is somebody else's than the folder: what a command leaves that was run as root.
fn stranger<'a>(owner: u32, owners: impl IntoIterator<Item = (&'a str, u32)>) -> Option<(&'a str, u32)> {
    owners.into_iter().find(|(_, of_file)| *of_file != owner)
}

fn to_be_made(directory: &Path) -> Finding {
    const ABOUT: &str = "data folder";
    let (shown, parent) = (directory.display(), nearest(directory));
    if parent.is_dir() && access(parent, Access::WRITE_OK | Access::EXEC_OK).is_ok() {
        return Finding::ok(ABOUT, format!("{shown} is not there yet: the first start makes it"));
    }
    let line = format!("{shown} is not there, and cannot be made in {}", parent.display());
    Finding::fail(ABOUT, line, "make it for the user that the server runs as, or choose another with --data-dir")
}

/// The folder, or the nearest above it that exists.
fn nearest(directory: &Path) -> &Path {
    let above = directory.ancestors().find(|path| path.exists());
    above.unwrap_or(if directory.is_absolute() { Path::new("/") } else { Path::new(".") })
}

/// `elsewhere`: the place in the configuration that has the key.
fn secret_key(directory: &Path, elsewhere: Option<&str>) -> Finding {
    const ABOUT: &str = "secret key";
    let path = directory.join(KEY_FILE);
    let shown = path.display();
    let metadata = match fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let line = match elsewhere {
                Some(place) => format!("of {place}, not in the folder"),
                None => "there is none yet".to_owned(),
            };
            // A store without its key is told with the store.
            return Finding::ok(ABOUT, line).with("is_elsewhere", elsewhere.is_some());
        }
        Err(error) => {
            let advice = "run it as the user that the server runs as";
            return Finding::fail(ABOUT, format!("{shown} cannot be looked at: {error}"), advice);
        }
    };
    let mode = metadata.mode() & 0o777;
    let advice = format!("`chmod 600 {shown}`; if somebody may have seen it, `waxwing secret-key rotate`");
    let finding = if mode & 0o077 != 0 {
        Finding::fail(ABOUT, format!("{shown} can be read by other users (mode {mode:04o})"), advice)
    } else if let Some(place) = elsewhere {
        let line = format!("that of {place} is used, and {shown} is there, too");
        Finding::warn(ABOUT, line, "remove the file if the key should be kept elsewhere only")
    } else {
        Finding::ok(ABOUT, format!("{shown} is for its owner only"))
    };
    finding.with("mode", format!("{mode:04o}")).with("is_elsewhere", elsewhere.is_some())
}

fn disk(folder: &Path, bytes_min: Option<u64>) -> Finding {
    const ABOUT: &str = "disk";
    match disk_of(folder, bytes_min) {
        Ok(disk) => judge_disk(disk),
        Err(error) => Finding::warn(
            ABOUT,
            format!("the free space cannot be seen: {error}"),
            "see `df`, and the data folder above",
        ),
    }
}

fn judge_disk(disk: Disk) -> Finding {
    const ABOUT: &str = "disk";
    let Disk { free_bytes, reserve_bytes, warning_bytes: _, total_bytes, level } = disk;
    let mib = |bytes: u64| bytes / (1024 * 1024);
    let room = format!("{} MiB of {} MiB are free", mib(free_bytes), mib(total_bytes));
    let reserve = mib(reserve_bytes);
    let advice = "make room: shorter retention (payload_days), fewer backups, a larger disk";
    let finding = match level {
        DiskLevel::Enough => Finding::ok(ABOUT, format!("{room}, {reserve} MiB in reserve")),
        DiskLevel::Low => Finding::warn(ABOUT, format!("{room}; below {reserve} MiB new events are refused"), advice),
        DiskLevel::Refusing => Finding::fail(
            ABOUT,
            format!("{room}, less than the reserve of {reserve} MiB: new events are refused"),
            advice,
        ),
    };
    finding.with("free_bytes", free_bytes).with("reserve_bytes", reserve_bytes).with("total_bytes", total_bytes)
}

fn store(directory: &Path, looked: Result<Glance, OpenError>) -> Finding {
    const ABOUT: &str = "store";
    let Glance { state, files: Files { store_bytes, journal_bytes }, is_rekeying } = match looked {
        Ok(glance) => glance,
        Err(OpenError::Absent) => return Finding::ok(ABOUT, "there is none yet").with("state", "absent"),
        Err(error) => return Finding::fail(ABOUT, error.to_string(), advice_on(&error)).with("state", kind(&error)),
    };
    let (bytes, check) = (store_bytes + journal_bytes, "`waxwing check` on a stopped server reads all of it");
    let (name, line) = match state {
        FileState::InUse => ("in_use", format!("{bytes} bytes; a process has it open")),
        FileState::Crashed => {
            ("crashed", format!("{bytes} bytes; it was not closed: the next start goes on from there. {check}"))
        }
        FileState::Closed { format } => ("closed", format!("{bytes} bytes, format {format}, closed; {check}")),
    };
    let finding = match is_rekeying && state != FileState::InUse {
        true => Finding::warn(
            ABOUT,
            format!("a change of the secret key in {} was interrupted", directory.display()),
            "start the server, or run `waxwing secret-key rotate` again: either finishes it",
        ),
        false => Finding::ok(ABOUT, line),
    };
    let finding = if let FileState::Closed { format } = state { finding.with("format", format) } else { finding };
    finding.with("state", name).with("store_bytes", store_bytes).with("journal_bytes", journal_bytes)
}

fn advice_on(error: &OpenError) -> &'static str {
    match error {
        OpenError::KeyMissing | OpenError::KeyWrong | OpenError::KeyUnreadable { .. } => {
            "put the key back that belongs to this store; a backup with a passphrase holds it"
        }
        OpenError::StoreMissing { .. } => "put the store back, or `waxwing restore` a backup into another folder",
        OpenError::Newer { .. } => "install the newest waxwing",
        OpenError::Io { .. } => "run it as the user that the server runs as",
        OpenError::Storage(_) | OpenError::Locked | OpenError::Absent | OpenError::NoRoom { .. } => {
            "keep a copy of the folder as it is, then `waxwing check`, or `waxwing restore` a backup"
        }
    }
}

fn kind(error: &OpenError) -> &'static str {
    match error {
        OpenError::Io { .. } => "io",
        OpenError::Locked => "locked",
        OpenError::KeyMissing => "key_missing",
        OpenError::KeyWrong => "key_wrong",
        OpenError::KeyUnreadable { .. } => "key_unreadable",
        OpenError::Newer { .. } => "newer",
        OpenError::Absent => "absent",
        OpenError::StoreMissing { .. } => "store_missing",
        OpenError::NoRoom { .. } => "no_room",
        OpenError::Storage(_) => "damaged",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_root_left_in_the_folder_of_another_user_is_found() {
        assert_eq!(stranger(998, [("waxwing.redb", 998), ("waxwing.journal-a", 0)]), Some(("waxwing.journal-a", 0)));
        assert_eq!(stranger(998, [("waxwing.redb", 998)]), None);
    }

    #[test]
    fn a_disk_is_judged_by_what_the_server_would_do() {
        const GIB: u64 = 1024 * 1024 * 1024;
        for (free_bytes, level, expected) in
            [(50, DiskLevel::Enough, "ok"), (2, DiskLevel::Low, "warn"), (0, DiskLevel::Refusing, "fail")]
        {
            let disk = Disk {
                free_bytes: free_bytes * GIB,
                reserve_bytes: GIB,
                warning_bytes: 10 * GIB,
                total_bytes: 100 * GIB,
                level,
            };
            assert_eq!(judge_disk(disk).level.name(), expected);
        }
    }

    #[test]
    fn the_folder_above_one_that_is_not_there_decides() {
        let above = tempfile::tempdir().unwrap();
        assert_eq!(nearest(&above.path().join("a/b")), above.path());
        assert_eq!(nearest(Path::new("not-here/at-all")), Path::new("."));
        assert_eq!(to_be_made(&above.path().join("a")).level.name(), "ok");
        let file = above.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(to_be_made(&file.join("a")).level.name(), "fail");
    }
}
