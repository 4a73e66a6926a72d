//! `waxwing backup`: of a running server by its API, of a stopped one from its folder.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Server;
use super::passphrase::PassphraseArgs;
use super::place::Place;
use super::progress::Bar;
use super::stopped::on_stopped_as;
use super::{Context, Failure, Verdict, print, print_json};
use crate::app;
use crate::backups::{Kept, Made, Making, make};
use crate::config::Args;
use crate::domain::backup::BackupName;
use crate::store::Pace;

/// How often a server is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Make a backup
///
/// Of a running server while everything goes on; with --data-dir of a stopped one. It is kept where the server keeps its backups, and is
/// complete when a store was made of it and checked. Without a passphrase it leaves the secret key out: keep the file secret-key elsewhere.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing backup                                                of the server on this machine
  waxwing backup --out today.backup --passphrase @passphrase    and get it, encrypted
  waxwing backup --data-dir /var/lib/waxwing --to /mnt/backups  of a stopped server")]
pub(super) struct Backup {
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Download it into this file, which must not exist
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    out: Option<PathBuf>,
    /// Keep it there: a folder, or s3://BUCKET/PREFIX [default: as the server would]
    #[arg(long, value_name = "PLACE", requires = "data_dir")]
    to: Option<String>,
    #[command(flatten)]
    place: Place,
}

impl Backup {
    pub(super) fn run(self, context: &Context) -> Result<Verdict, Failure> {
        let Self { passphrase, out, to, place } = self;
        match place.data_dir.clone() {
            Some(data_dir) => of_stopped(data_dir, to, &passphrase, place.json, context),
            None => of_running(&place, out.as_deref(), &passphrase, context),
        }
    }
}

fn of_stopped(
    data_dir: String,
    to: Option<String>,
    passphrase: &PassphraseArgs,
    json: bool,
    context: &Context,
) -> Result<Verdict, Failure> {
    let config = context.config(&Args { data_dir: Some(data_dir), backup_to: to, ..Args::default() })?;
    let passphrase = passphrase.read(&config)?;
    let options = app::backup_options(&config)?;
    let sealing = options.sealing(passphrase).map_err(|error| Failure::Usage(error.to_string()))?;
    let of_work = options.clone();
    let made = on_stopped_as(&config, async move |store| {
        let (store, runtime) = (store.clone(), tokio::runtime::Handle::current());
        let work = tokio::task::spawn_blocking(move || {
            let name = BackupName { id: store.next_backup_id(), is_sealed: sealing.is_some() };
            let making = Making {
                store: &store,
                options: &of_work,
                name,
                sealing: sealing.as_ref(),
                runtime: &runtime,
                pace: Pace::Alone,
            };
            let mut bar = Bar::new();
            let made = make(&making, &mut |progress| {
                bar.show(progress.stage.name(), progress.done, progress.total);
                Ok(())
            });
            bar.end();
            made
        });
        work.await
    })?;
    let made = made.map_err(|error| Failure::Failed(error.to_string()))?;
    let Made { kept: Kept { name, bytes }, findings } = made.map_err(|error| Failure::Failed(error.to_string()))?;
    let place = options.place.shown();
    if json {
        print_json(
            &json!({ "id": name.id.to_string(), "file": name.to_string(), "place": place, "size_bytes": bytes, "findings": findings }),
        )?;
    } else {
        print(&format!("{name} has {bytes} bytes and is in {place}"))?;
        if findings > 0 {
            print(&format!("{findings} things are wrong in the store: see `waxwing check`"))?;
        }
    }
    Ok(if findings == 0 { Verdict::Good } else { Verdict::Wrong })
}

fn of_running(
    place: &Place,
    out: Option<&Path>,
    passphrase: &PassphraseArgs,
    context: &Context,
) -> Result<Verdict, Failure> {
    let config = context.config(&Args::default())?;
    let server = place.server(context)?;
    // Before anything is made: who cannot have it should not wait for it.
    let out = out.map(|path| create(path).map(|file| (path, file))).transpose()?;
    let make = || {
        let body = match passphrase.read(&config)? {
            Some(passphrase) => json!({ "passphrase": String::from_utf8_lossy(passphrase.as_bytes()) }),
            None => json!({}),
        };
        let made = wait_for(&server, server.post("/v1/backups", &body.to_string(), None)?.body)?;
        if let Some((path, file)) = &out {
            download(&server, &made, path, file)?;
        }
        Ok::<_, Failure>(made)
    };
    let made = make().inspect_err(|_| {
        if let Some((path, _)) = &out {
            // It is not whole.
            _ = fs::remove_file(path);
        }
    })?;
    if place.json {
        print_json(&made)?;
        return Ok(Verdict::Good);
    }
    let (id, shown) = (&made["data"]["id"], &made["data"]["attributes"]);
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    print(&format!("{} has {} bytes and is in {}", text(id), shown["size_bytes"], text(&shown["location"])))?;
    if let Some((path, _)) = out {
        print(&format!("downloaded to {}", path.display()))?;
    }
    Ok(Verdict::Good)
}

/// Asks until it is complete.
#[expect(clippy::disallowed_methods, reason = "the server makes it; nothing else happens meanwhile")]
fn wait_for(server: &Server, mut made: Value) -> Result<Value, Failure> {
    let path = format!("/v1/backups/{}", made["data"]["id"].as_str().unwrap_or_default());
    let mut bar = Bar::new();
    loop {
        let shown = &made["data"]["attributes"];
        match shown["state"].as_str() {
            Some("running") => {
                let progress = &shown["progress"];
                let number = |name: &str| progress[name].as_u64().unwrap_or_default();
                bar.show(progress["stage"].as_str().unwrap_or("waiting"), number("done"), number("total"));
                std::thread::sleep(ASK_EVERY);
                made = server.try_get(&path, None)??.body;
            }
            Some("complete") => {
                bar.end();
                return Ok(made);
            }
            _ => {
                bar.end();
                let why = shown["error"].as_str().unwrap_or("it does not say why");
                return Err(Failure::Failed(format!("the backup failed: {why}")));
            }
        }
    }
}

fn create(path: &Path) -> Result<File, Failure> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    opened.map_err(|error| Failure::Usage(format!("{} cannot be made: {error}", path.display())))
}

fn download(server: &Server, made: &Value, path: &Path, file: &File) -> Result<(), Failure> {
    let id = made["data"]["id"].as_str().unwrap_or_default();
    let total = made["data"]["attributes"]["size_bytes"].as_u64().unwrap_or_default();
    let mut bar = Bar::new();
    let downloaded =
        server.download(&format!("/v1/backups/{id}/download"), file, &mut |done| bar.show("loading", done, total));
    bar.end();
    let failed = |error| Failure::Failed(format!("{}: {error}", path.display()));
    let bytes = downloaded?;
    file.sync_all().map_err(failed)?;
    if bytes == total {
        return Ok(());
    }
    Err(Failure::Failed(format!("only {bytes} of {total} bytes came: see the server's log")))
}
