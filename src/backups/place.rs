//! Where backups are kept: a folder, or a bucket of an S3-compatible storage.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::bucket::Bucket;
use crate::domain::backup::BackupName;

/// What is read of a backup at once.
const PART_BYTES: usize = 1024 * 1024;

#[derive(Debug, Clone)]
pub enum Place {
    Folder(PathBuf),
    Bucket(Bucket),
}

/// Why backups cannot be listed, read, written or removed there. For the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlaceError(pub String);

/// A backup that is there, whole and verified when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    pub name: BackupName,
    pub bytes: u64,
}

/// A backup that is being read, part by part.
pub struct Download {
    pub kept: Kept,
    source: Source,
    at: u64,
}

enum Source {
    File(File),
    Bucket(Bucket),
}

impl Place {
    /// `folder` or `bucket`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Folder(_) => "folder",
            Self::Bucket(_) => "bucket",
        }
    }

    /// For people.
    pub fn shown(&self) -> String {
        match self {
            Self::Folder(folder) => folder.display().to_string(),
            Self::Bucket(bucket) => bucket.shown(),
        }
    }

    /// Every finished backup, the oldest first. Other files are left alone.
    pub async fn list(&self) -> Result<Vec<Kept>, PlaceError> {
        let mut kept = match self {
            Self::Folder(folder) => on_disk(folder, list).await?,
            Self::Bucket(bucket) => bucket.list().await?,
        };
        kept.sort_unstable_by_key(|kept| kept.name);
        Ok(kept)
    }

    pub async fn remove(&self, name: BackupName) -> Result<(), PlaceError> {
        match self {
            Self::Folder(folder) => {
                on_disk(folder, move |folder| match fs::remove_file(folder.join(name.to_string())) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                    Ok(()) | Err(_) => Ok(()),
                })
                .await
            }
            Self::Bucket(bucket) => bucket.remove(name).await,
        }
    }

    pub async fn read(&self, kept: Kept) -> Result<Download, PlaceError> {
        let source = match self {
            Self::Folder(folder) => {
                Source::File(on_disk(folder, move |folder| File::open(folder.join(kept.name.to_string()))).await?)
            }
            Self::Bucket(bucket) => Source::Bucket(bucket.clone()),
        };
        Ok(Download { kept, source, at: 0 })
    }
}

impl Download {
    /// The next part; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, PlaceError> {
        let Self { kept: Kept { name, bytes }, source, at } = self;
        let length = (*bytes - *at).min(PART_BYTES as u64);
        if length == 0 {
            return Ok(None);
        }
        let part = match source {
            Source::File(file) => {
                let file = file.try_clone().map_err(|error| PlaceError(error.to_string()))?;
                let (from, length) = (*at, usize::try_from(length).unwrap_or(PART_BYTES));
                let read = tokio::task::spawn_blocking(move || {
                    let mut part = vec![0; length];
                    file.read_exact_at(&mut part, from).map(|()| Bytes::from(part))
                });
                read.await
                    .map_err(|error| PlaceError(error.to_string()))?
                    .map_err(|error| PlaceError(error.to_string()))?
            }
            Source::Bucket(bucket) => bucket.read(*name, *at..*at + length).await?,
        };
        *at += part.len() as u64;
        Ok(Some(part))
    }
}

/// Asks the disk on a thread that may wait for it.
async fn on_disk<T: Send + 'static>(
    folder: &Path,
    ask: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, PlaceError> {
    let of_thread = folder.to_owned();
    let asked = tokio::task::spawn_blocking(move || ask(&of_thread)).await.map_err(io::Error::other);
    asked.and_then(|asked| asked).map_err(|error| PlaceError(format!("{}: {error}", folder.display())))
}

fn list(folder: &Path) -> io::Result<Vec<Kept>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // It is made with the first one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut kept = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().and_then(BackupName::read) else { continue };
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() => kept.push(Kept { name, bytes: metadata.len() }),
            Ok(_) => {}
            // It was removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(kept)
}

/// A folder that only its owner may look into. One that exists stays as it is.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
