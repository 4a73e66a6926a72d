//! A bucket of an S3-compatible storage. Its address is the operator's, as the data folder is: no rule for receivers concerns it.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ClientOptions, MultipartUpload, ObjectStore, ObjectStoreExt, RetryConfig};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::place::{Kept, PlaceError};
use crate::domain::backup::{BackupName, Stage};
use crate::store::backup::{BackupError, Progress, Watch};

/// A part of an upload, and of what is read back. S3 takes at least 5 MiB …
const PART_BYTES_MIN: u64 = 8 * 1024 * 1024;
/// … and at most 10,000 parts.
const PARTS_MAX: u64 = 10_000;
/// Of one request, each of which moves a part.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);
/// What fails is asked again, but not for longer.
const RETRY_WITHIN: Duration = Duration::from_secs(60);
const RETRIES_MAX: usize = 3;

/// Where a bucket is, and who may use it.
#[derive(Clone, PartialEq, Eq)]
pub struct BucketOptions {
    pub bucket: String,
    /// What names of objects begin with; may be empty.
    pub prefix: String,
    /// `https://s3.example.com`; none: Amazon's, in the region.
    pub endpoint: Option<String>,
    pub region: String,
    /// Id and secret. None: the role that the machine has.
    pub credentials: Option<(String, Zeroizing<String>)>,
}

/// Handles are the same bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    store: Arc<AmazonS3>,
    name: String,
    prefix: Path,
}

impl Bucket {
    /// Asks nobody yet.
    pub fn new(options: &BucketOptions) -> Result<Self, PlaceError> {
        let BucketOptions { bucket, prefix, endpoint, region, credentials } = options;
        let is_plain = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let retry = RetryConfig { max_retries: RETRIES_MAX, retry_timeout: RETRY_WITHIN, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(region)
            // Not every storage knows the request that removes many at once.
            .with_disable_bulk_delete(true)
            .with_retry(retry)
            .with_client_options(ClientOptions::new().with_timeout(ANSWER_WITHIN).with_allow_http(is_plain));
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some((id, secret)) = credentials {
            builder = builder.with_access_key_id(id).with_secret_access_key(secret.as_str());
        }
        let store = builder.build().map_err(|error| PlaceError(error.to_string()))?;
        Ok(Self { store: Arc::new(store), name: bucket.clone(), prefix: Path::from(prefix.as_str()) })
    }

    pub(super) fn shown(&self) -> String {
        match self.prefix.as_ref() {
            "" => format!("s3://{}", self.name),
            prefix => format!("s3://{}/{prefix}", self.name),
        }
    }

    fn object(&self, name: BackupName) -> Path {
        self.prefix.clone().join(name.to_string())
    }

    fn failed(&self, error: &object_store::Error) -> PlaceError {
        PlaceError(format!("{}: {error}", self.shown()))
    }

    pub(super) async fn list(&self) -> Result<Vec<Kept>, PlaceError> {
        let listed = self.store.list_with_delimiter(Some(&self.prefix)).await.map_err(|error| self.failed(&error))?;
        let kept = |object: object_store::ObjectMeta| {
            let name = BackupName::read(object.location.filename()?)?;
            Some(Kept { name, bytes: object.size })
        };
        Ok(listed.objects.into_iter().filter_map(kept).collect())
    }

    pub(super) async fn remove(&self, name: BackupName) -> Result<(), PlaceError> {
        match self.store.delete(&self.object(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(&error)),
        }
    }

    pub(super) async fn read(&self, name: BackupName, range: Range<u64>) -> Result<Bytes, PlaceError> {
        let wanted = range.end - range.start;
        let part = self.store.get_range(&self.object(name), range).await.map_err(|error| self.failed(&error))?;
        match part.len() as u64 == wanted {
            true => Ok(part),
            false => Err(PlaceError(format!("{}: it sends less than there is", self.shown()))),
        }
    }

    /// Sends the file and reads it back. What is interrupted leaves no object.
    pub(super) async fn put(&self, name: BackupName, file: &File, watch: Watch<'_>) -> Result<(), BackupError> {
        let length = file.metadata().map_err(PlaceError::of)?.len();
        let part_bytes = PART_BYTES_MIN.max(length.div_ceil(PARTS_MAX));
        let upload = self.store.put_multipart(&self.object(name)).await.map_err(|error| self.failed(&error))?;
        let mut sending = Sending { bucket: self, upload, file, length, part_bytes };
        let sent = match sending.run(&mut *watch).await {
            Ok(sent) => sent,
            Err(error) => {
                // What cannot be taken back, the storage's own rules for unfinished uploads remove.
                _ = sending.upload.abort().await;
                return Err(error);
            }
        };
        let compared = self.compare(name, length, part_bytes, sent, watch).await;
        if compared.is_err() {
            // It has its name by now, and must not count as a backup. A storage that does not answer keeps it, and is told of.
            if let Err(error) = self.remove(name).await {
                tracing::warn!(%name, %error, "a backup that was not compared stays in the bucket: remove it");
            }
        }
        compared
    }

    /// Reads back what was sent.
    async fn compare(
        &self,
        name: BackupName,
        length: u64,
        part_bytes: u64,
        sent: [u8; 32],
        watch: Watch<'_>,
    ) -> Result<(), BackupError> {
        let mut found = Sha256::new();
        let mut at = 0;
        while at < length {
            let end = (at + part_bytes).min(length);
            found.update(self.read(name, at..end).await?);
            at = end;
            watch(Progress { stage: Stage::Comparing, done: at, total: length })?;
        }
        match <[u8; 32]>::from(found.finalize()) == sent {
            true => Ok(()),
            false => Err(PlaceError(format!("{}: what can be read there is not what was sent", self.shown())).into()),
        }
    }
}

struct Sending<'a> {
    bucket: &'a Bucket,
    upload: Box<dyn MultipartUpload>,
    file: &'a File,
    length: u64,
    part_bytes: u64,
}

impl Sending<'_> {
    /// Answers the SHA-256 of what was sent.
    async fn run(&mut self, watch: Watch<'_>) -> Result<[u8; 32], BackupError> {
        let mut digest = Sha256::new();
        let mut at = 0;
        while at < self.length {
            let end = (at + self.part_bytes).min(self.length);
            let mut part = vec![0; usize::try_from(end - at).expect("a part is in memory")];
            self.file.read_exact_at(&mut part, at).map_err(PlaceError::of)?;
            digest.update(&part);
            self.upload.put_part(part.into()).await.map_err(|error| self.bucket.failed(&error))?;
            at = end;
            watch(Progress { stage: Stage::Uploading, done: at, total: self.length })?;
        }
        self.upload.complete().await.map_err(|error| self.bucket.failed(&error))?;
        Ok(digest.finalize().into())
    }
}

impl PlaceError {
    fn of(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}
