//! Backups in a bucket: against a small storage on loopback that speaks as much of S3 as is asked for.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use waxwing::backups::{self, Bucket, BucketOptions, Kept, Made, Making, Place, make};
use waxwing::clock::Clock;
use waxwing::domain::backup::BackupName;
use waxwing::domain::event::NewEvent;
use waxwing::domain::id::TenantId;
use waxwing::store::backup::BackupError;
use waxwing::store::{CACHE_BYTES_DEFAULT, Location, Opened, Options, Pace, Retention, Store};
use zeroize::Zeroizing;

/// More than one part of an upload.
const EVENTS: usize = 60;
const EVENT_BYTES: usize = 200_000;

#[derive(Default)]
struct Storage {
    objects: BTreeMap<String, Bytes>,
    uploads: BTreeMap<String, BTreeMap<u32, Bytes>>,
    /// `METHOD /path?query`, of those that were let in.
    asked: Vec<String>,
    /// What it answers from now on, whatever it is asked.
    trouble: Option<Trouble>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// To parts of uploads alone.
    Full,
    /// A byte of each object is another.
    Rotten,
}

type Shared = Arc<Mutex<Storage>>;

async fn start() -> (Shared, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
    let storage = Shared::default();
    let shared = Arc::clone(&storage);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                let service = service_fn(|request| answer(Arc::clone(&shared), request));
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (storage, endpoint)
}

fn plain(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("etag", "\"e\"");
    response.header("last-modified", "Wed, 18 Feb 2026 12:00:00 GMT").body(Full::new(body.into())).expect("it is one")
}

async fn answer(storage: Shared, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
    let authorization = head.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_signed = authorization.starts_with("AWS4-HMAC-SHA256 Credential=the-id/")
        && authorization.contains("/eu-test-1/s3/aws4_request")
        && authorization.contains("Signature=")
        && head.headers.contains_key("x-amz-content-sha256");
    if !is_signed {
        return Ok(plain(403, "<Error><Code>AccessDenied</Code></Error>"));
    }
    let mut storage = storage.lock().expect("nothing panics while it holds the lock");
    storage.asked.push(format!("{} {}", head.method, head.uri));
    let key = head.uri.path().strip_prefix("/the-bucket").unwrap_or_default().trim_start_matches('/').to_owned();
    let query: BTreeMap<String, String> =
        url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    Ok(match (&head.method, query.get("uploadId")) {
        (&Method::POST, None) if query.contains_key("uploads") => {
            storage.uploads.insert(key.clone(), BTreeMap::new());
            plain(
                200,
                format!(
                    "<InitiateMultipartUploadResult><Bucket>the-bucket</Bucket><Key>{key}</Key><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
                ),
            )
        }
        (&Method::PUT, Some(_)) if storage.trouble == Some(Trouble::Full) => {
            plain(400, "<Error><Code>QuotaExceeded</Code><Message>no room</Message></Error>")
        }
        (&Method::PUT, Some(_)) => {
            let part = query["partNumber"].parse().expect("a number");
            storage.uploads.get_mut(&key).expect("it was begun").insert(part, body);
            plain(200, "")
        }
        (&Method::POST, Some(_)) => {
            let parts = storage.uploads.remove(&key).expect("it was begun");
            let whole = parts.into_values().fold(BytesMut::new(), |mut whole, part| {
                whole.extend_from_slice(&part);
                whole
            });
            storage.objects.insert(key.clone(), whole.freeze());
            plain(
                200,
                format!(
                    "<CompleteMultipartUploadResult><Location>l</Location><Bucket>the-bucket</Bucket><Key>{key}</Key><ETag>\"e\"</ETag></CompleteMultipartUploadResult>"
                ),
            )
        }
        (&Method::DELETE, Some(_)) => {
            storage.uploads.remove(&key);
            plain(204, "")
        }
        (&Method::DELETE, None) => {
            storage.objects.remove(&key);
            plain(204, "")
        }
        (&Method::GET, None) if query.contains_key("list-type") => {
            let prefix = query.get("prefix").cloned().unwrap_or_default();
            let objects = storage.objects.iter().filter(|(key, _)| key.starts_with(&prefix));
            let listed: String = objects
                .map(|(key, bytes)| format!("<Contents><Key>{key}</Key><LastModified>2026-02-18T12:00:00.000Z</LastModified><ETag>\"e\"</ETag><Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>", bytes.len()))
                .collect();
            plain(
                200,
                format!(
                    "<ListBucketResult><Name>the-bucket</Name><Prefix>{prefix}</Prefix><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>"
                ),
            )
        }
        (&Method::GET, None) => match storage.objects.get(&key) {
            None => plain(404, "<Error><Code>NoSuchKey</Code></Error>"),
            Some(bytes) => {
                let range = head.headers.get("range").and_then(|range| range.to_str().ok()).unwrap_or_default();
                let (from, to) =
                    range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).expect("in parts");
                let from: usize = from.parse().expect("a number");
                let to = to.parse::<usize>().expect("a number").min(bytes.len() - 1);
                let mut part = bytes.slice(from..=to).to_vec();
                if storage.trouble == Some(Trouble::Rotten) {
                    part[0] ^= 1;
                }
                let mut response = plain(206, part);
                let range = format!("bytes {from}-{to}/{}", bytes.len());
                response.headers_mut().insert("content-range", range.parse().expect("ASCII"));
                response
            }
        },
        _ => plain(StatusCode::METHOD_NOT_ALLOWED.as_u16(), ""),
    })
}

struct World {
    storage: Shared,
    store: Store,
    options: backups::Options,
    folder: tempfile::TempDir,
}

async fn world(secret: &str) -> World {
    waxwing::net::use_one_cryptography();
    let (storage, endpoint) = start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("data");
    let options = Options {
        location: Location::Directory(data_dir.clone()),
        secret_key: None,
        clock: Clock::System,
        seed: 1,
        retention: Retention::default(),
        settings_fixed: Default::default(),
        free_bytes_min: Some(0),
        cache_bytes: CACHE_BYTES_DEFAULT,
    };
    let Opened { store, writer, changes } = Store::open(options).expect("an empty folder opens");
    // Nobody reads them.
    drop(changes);
    writer.spawn().expect("a thread can be started");
    let mut chance = StdRng::seed_from_u64(7);
    for _ in 0..EVENTS {
        let data: String = (0..EVENT_BYTES).map(|_| char::from(chance.random_range(b'0'..=b'z'))).collect();
        let event = NewEvent {
            tenant: TenantId::DEFAULT,
            event_type: "a.b".parse().expect("a name"),
            external_id: None,
            occurred_at: None,
            channels: Vec::new(),
            deliver_at: None,
            data: serde_json::to_string(&data).expect("a text is JSON").into(),
        };
        store.accept(vec![event], None).await.expect("there is room");
    }
    let bucket = Bucket::new(&BucketOptions {
        bucket: "the-bucket".to_owned(),
        prefix: "of/this-one".to_owned(),
        endpoint: Some(endpoint),
        region: "eu-test-1".to_owned(),
        credentials: Some((secret.to_owned(), Zeroizing::new("the-secret".to_owned()))),
    });
    let place = Place::Bucket(bucket.expect("it is one"));
    let staging = folder.path().join("staging");
    let options = backups::Options { place, folder: staging, secret_key: None, data_dir, passphrase: None };
    World { storage, store, options, folder }
}

impl World {
    async fn back_up(&self) -> Result<Made, BackupError> {
        let (store, options, runtime) = (self.store.clone(), self.options.clone(), Handle::current());
        let made = tokio::task::spawn_blocking(move || {
            let name = BackupName { id: store.next_backup_id(), is_sealed: false };
            let making =
                Making { store: &store, options: &options, name, sealing: None, runtime: &runtime, pace: Pace::Alone };
            make(&making, &mut |_| Ok(()))
        });
        made.await.expect("it does not panic")
    }

    fn storage(&self) -> std::sync::MutexGuard<'_, Storage> {
        self.storage.lock().expect("nothing panics while it holds the lock")
    }

    fn left_behind(&self) -> usize {
        files_in(&self.folder.path().join("staging"))
    }
}

fn files_in(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_to_a_bucket_in_parts_is_read_back_listed_and_removed() {
    let world = world("the-id").await;
    let Made { kept: Kept { name, bytes }, findings } = world.back_up().await.expect("it is made");
    assert_eq!(findings, 0);
    let key = format!("of/this-one/{name}");
    let object = world.storage().objects[&key].clone();
    assert_eq!(object.len() as u64, bytes);
    let asked = world.storage().asked.clone();
    let parts = asked.iter().filter(|asked| asked.contains("partNumber=")).count();
    assert!(parts > 1, "{asked:?}");
    assert_eq!(asked.iter().filter(|asked| asked.starts_with("GET")).count(), parts, "all of it is read back");
    assert_eq!(world.left_behind(), 0);
    world.storage().objects.insert("of/this-one/notes.txt".to_owned(), Bytes::new());
    assert_eq!(world.options.place.list().await.expect("it is listed"), [Kept { name, bytes }]);
    let mut download = world.options.place.read(Kept { name, bytes }).await.expect("it is there");
    let (mut digest, mut read) = (Sha256::new(), 0);
    while let Some(part) = download.next().await.expect("it comes") {
        read += part.len() as u64;
        digest.update(&part);
    }
    assert_eq!((read, digest.finalize()), (bytes, Sha256::digest(&object)));
    world.options.place.remove(name).await.expect("it is removed");
    world.options.place.remove(name).await.expect("once more is no matter");
    assert_eq!(world.options.place.list().await.expect("it is listed"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_storage_does_not_take_or_gives_back_otherwise_is_no_backup() {
    let world = world("the-id").await;
    for trouble in [Trouble::Full, Trouble::Rotten] {
        world.storage().trouble = Some(trouble);
        let failed = world.back_up().await.expect_err("it cannot be").to_string();
        assert!(failed.contains("s3://the-bucket/of/this-one"), "{failed}");
        assert!(!failed.contains("the-secret"), "{failed}");
        assert!(world.storage().objects.is_empty() && world.storage().uploads.is_empty());
        assert_eq!(world.left_behind(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_does_not_let_us_in_is_told() {
    let world = world("another-id").await;
    let failed = world.options.place.list().await.expect_err("it cannot be listed").to_string();
    assert!(failed.contains("s3://the-bucket/of/this-one"), "{failed}");
    assert!(world.back_up().await.is_err());
    assert_eq!(world.left_behind(), 0);
}
