//! Certificates by ACME, from an authority of the test's own that connects to what it is told to look at.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, Version};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use waxwing::clock::{Clock, ManualClock};
use waxwing::domain::language::Language;
use waxwing::domain::time::Timestamp;
use waxwing::http::{self, Acme, Certificates, Challenges, Https, Keeper, Listeners, Redirect, Standby};

use crate::support::acme::{AcmeServer, Mood};
use crate::support::binary::Start;
use crate::support::https::{Asking, ask_plainly};

const NAME: &str = "hooks.waxwing.test";
const OTHER: &str = "other.waxwing.test";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Everything but the API: listeners, certificates and who keeps them, with a clock that the test moves.
struct Site {
    authority: AcmeServer,
    folder: tempfile::TempDir,
    clock: ManualClock,
    domains: Vec<String>,
    certificates: Arc<Certificates>,
    challenges: Challenges,
    https: std::net::SocketAddr,
    redirect: std::net::SocketAddr,
    _end: oneshot::Sender<()>,
}

impl Site {
    async fn of(domains: &[&str]) -> Self {
        // Clients of the tests hold certificates against the real time.
        let now = OffsetDateTime::now_utc() - MINUTE;
        let clock = ManualClock::at(Timestamp::from_millis(now.unix_timestamp() * 1000));
        let domains: Vec<String> = domains.iter().map(|name| (*name).to_owned()).collect();
        let (certificates, challenges) = (Arc::new(Certificates::of_domains(&domains)), Challenges::default());
        let bind = async || TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let (plain, listener, redirect) = (bind().await, bind().await, bind().await);
        let at = |listener: &TcpListener| listener.local_addr().expect("it is bound");
        let (https, leads) = (at(&listener), at(&redirect));
        let leading =
            Redirect { certificates: certificates.clone(), challenges: challenges.clone(), https_port: https.port() };
        let shown = Https { listener, certificates: certificates.clone(), redirect: Some((redirect, leading)) };
        let standby = Standby { clock: Clock::System, language: Language::English };
        let (end, ends) = oneshot::channel();
        tokio::spawn(http::stand_by(Listeners { plain, https: Some(shown) }, standby, async { _ = ends.await }));
        let authority = AcmeServer::start(now).await;
        authority.names_lead_to(leads, &[]);
        let folder = tempfile::tempdir().expect("a folder");
        Self { authority, folder, clock, domains, certificates, challenges, https, redirect: leads, _end: end }
    }

    /// As a start of the process makes it.
    fn keeper(&self) -> Keeper {
        let acme = Acme {
            directory: self.authority.directory(),
            contact: Some("ops@waxwing.test".to_owned()),
            root: Some(self.authority.root_file(self.folder.path())),
            domains: self.domains.clone(),
            folder: self.folder.path().join("acme"),
        };
        let (certificates, challenges) = (self.certificates.clone(), self.challenges.clone());
        Keeper::new(acme, certificates, challenges, Clock::Manual(self.clock.clone()), 7).expect("its root is one")
    }

    fn advance(&self, by: Duration) {
        let now = self.clock.now().plus(by);
        self.clock.set(now);
        self.authority.moves_to(OffsetDateTime::from_unix_timestamp(now.as_seconds()).expect("a moment"));
    }

    /// In seconds, as certificates say it.
    fn ends(&self) -> Vec<i64> {
        self.certificates.expiries().into_iter().map(|expiry| expiry.at.as_seconds()).collect()
    }

    /// When what is made now ends.
    fn in_90_days(&self) -> i64 {
        self.clock.now().plus(90 * DAY).as_seconds()
    }

    async fn is_served(&self, name: &str) -> bool {
        let root = self.authority.issuer().root();
        let asking = Asking { address: self.https, name, root, version: Version::HTTP_2 };
        asking.get("/healthz").await.is_ok_and(|health| health.status == 200)
    }

    /// Files below the folder, with their modes.
    fn files(&self) -> Vec<(String, u32)> {
        let mut found = Vec::new();
        collect(&self.folder.path().join("acme"), &mut found);
        found.sort();
        found
    }
}

fn collect(folder: &Path, found: &mut Vec<(String, u32)>) {
    for entry in std::fs::read_dir(folder).expect("it is there") {
        let entry = entry.expect("it can be read");
        let mode = entry.metadata().expect("it can be read").permissions().mode() & 0o777;
        found.push((entry.file_name().to_string_lossy().into_owned(), mode));
        if entry.path().is_dir() {
            collect(&entry.path(), found);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_ordered_kept_served_after_a_start_without_the_authority_and_renewed() {
    let site = Site::of(&[NAME]).await;
    assert!(!site.is_served(NAME).await, "there is none yet");
    let mut keeper = site.keeper();
    assert_eq!(keeper.step().await, HOUR, "nothing is due for weeks");
    assert!(site.is_served(NAME).await);
    assert!(!site.is_served(OTHER).await, "a name that is not ours");
    let first = site.ends();
    assert_eq!(first, [site.in_90_days()]);
    let directory = site.authority.directory().replace("https://", "").replace([':', '/'], "-");
    let kept = [("account.json".to_owned(), 0o600), (directory, 0o700), (format!("{NAME}.pem"), 0o600)];
    let mut kept = kept.to_vec();
    kept.sort();
    assert_eq!(site.files(), kept);
    let challenge = ask_plainly(site.redirect, NAME, Method::GET, "/.well-known/acme-challenge/token-0").await;
    assert_eq!(challenge.status, 404, "the order is over");

    // A start while the authority is down, with weeks to go: nothing is asked, and HTTPS works.
    site.authority.is(Mood::Down);
    let asked = site.authority.requests();
    site.certificates.replace(Some(NAME), unusable());
    assert!(!site.is_served(NAME).await);
    let mut keeper = site.keeper();
    assert!(site.is_served(NAME).await);
    site.advance(56 * DAY);
    assert_eq!(keeper.step().await, HOUR);
    assert_eq!(site.authority.requests(), asked, "it was asked before a third of the life was left");

    // Due, and the authority is down: the certificate stays, and it is not asked again at once.
    site.advance(4 * DAY);
    let wait = keeper.step().await;
    assert!((5 * MINUTE..=6 * MINUTE).contains(&wait), "{wait:?}");
    let asked_once = site.authority.requests();
    assert!(asked_once > asked);
    site.advance(wait - Duration::from_secs(1));
    assert_eq!(keeper.step().await, Duration::from_secs(1));
    assert_eq!(site.authority.requests(), asked_once, "it was asked again too early");
    assert_eq!(site.ends(), first);

    // Neither by who starts it again.
    let mut keeper = site.keeper();
    keeper.step().await;
    assert_eq!(site.authority.requests(), asked_once, "a new start asked again too early");

    site.authority.is(Mood::Working);
    site.advance(MINUTE);
    keeper.step().await;
    assert_eq!(site.ends(), [site.in_90_days()]);
    assert_eq!(site.authority.accounts_made(), 1, "the account is used again");
    assert_eq!(site.files(), kept, "nothing is left of the failure");
}

/// A certificate that no client of these tests takes.
fn unusable() -> http::Certificate {
    let pair = crate::support::https::Issuer::new().pair(&["nobody.waxwing.test"]);
    http::Certificate::read((pair.certificate.as_bytes(), "a test"), (pair.key.as_bytes(), "a test")).expect("a pair")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_elsewhere_keeps_no_other_from_its_certificate_and_is_tried_ever_more_seldom() {
    let site = Site::of(&[NAME, OTHER]).await;
    site.authority.names_lead_to(site.redirect, &[NAME]);
    let mut keeper = site.keeper();
    let mut waits = Vec::new();
    for _ in 0..5 {
        let wait = keeper.step().await;
        waits.push(wait.as_secs() / 60);
        // The clock is looked at once an hour at least.
        site.advance(if wait == HOUR { 8 * HOUR } else { wait });
    }
    assert!(site.is_served(OTHER).await);
    assert!(!site.is_served(NAME).await);
    assert!((5..=6).contains(&waits[0]) && (15..=18).contains(&waits[1]) && waits[2] == 60, "{waits:?}");
    let orders = site.authority.ordered();
    assert_eq!(orders.iter().filter(|name| *name == OTHER).count(), 1, "{orders:?}");
    assert_eq!(orders.iter().filter(|name| *name == NAME).count(), 5, "{orders:?}");

    // It leads here now.
    site.authority.names_lead_to(site.redirect, &[]);
    site.advance(DAY);
    keeper.step().await;
    assert_eq!(site.ends().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_too_often_waits_for_hours() {
    let site = Site::of(&[NAME]).await;
    site.authority.is(Mood::RateLimiting);
    let mut keeper = site.keeper();
    keeper.step().await;
    let asked = site.authority.requests();
    site.authority.is(Mood::Working);
    for _ in 0..2 {
        site.advance(85 * MINUTE);
        site.keeper().step().await;
        keeper.step().await;
        assert_eq!(site.authority.requests(), asked);
    }
    site.advance(2 * HOUR);
    keeper.step().await;
    assert_eq!(site.ends(), [site.in_90_days()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_the_authority_forgot_is_made_again() {
    let site = Site::of(&[NAME]).await;
    let mut keeper = site.keeper();
    keeper.step().await;
    site.authority.forgets_accounts();
    site.advance(61 * DAY);
    keeper.step().await;
    assert_eq!(site.ends(), [site.in_90_days()]);
    assert_eq!(site.authority.accounts_made(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_file_that_was_damaged_is_ordered_anew() {
    let site = Site::of(&[NAME]).await;
    site.keeper().step().await;
    let folder = std::fs::read_dir(site.folder.path().join("acme")).expect("it is there").next();
    let file = folder.expect("one").expect("it can be read").path().join(format!("{NAME}.pem"));
    for damage in ["", "no certificate"] {
        std::fs::write(&file, damage).expect("it is writable");
        let ordered = site.authority.ordered().len();
        site.keeper().step().await;
        assert_eq!(site.authority.ordered().len(), ordered + 1, "{damage:?}");
        assert!(site.is_served(NAME).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_gets_its_certificate_by_itself_and_starts_with_it_when_the_authority_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = AcmeServer::start(OffsetDateTime::now_utc() - MINUTE).await;
    let (directory, root) = (authority.directory(), authority.root_file(folder.path()));
    let start = async || {
        let flags = ["--domain", NAME, "--listen-https", "127.0.0.1:0", "--listen-http", "127.0.0.1:0"];
        let acme = ["--acme-directory", &directory, "--acme-ca-root", root.to_str().expect("a path")];
        Start::in_dir(folder.path()).with_arguments(&flags).with_arguments(&acme).start().await
    };
    let mut waxwing = start().await;
    let (https, redirect) = waxwing.https.expect("it speaks TLS");
    authority.names_lead_to(redirect.expect("something leads there"), &[]);
    waxwing.logged("HTTPS has a new certificate").await;
    let ask = async |address| {
        let asking = Asking { address, name: NAME, root: authority.issuer().root(), version: Version::HTTP_2 };
        asking.get("/healthz").await.map(|health| health.status).ok()
    };
    assert_eq!(ask(https).await, Some(200));
    let metrics = waxwing.api.get("/metrics").await.expect(200).text();
    let line = format!("waxwing_tls_certificate_expiry_timestamp_seconds{{domain=\"{NAME}\"}} ");
    assert!(metrics.contains(&line), "{metrics}");
    waxwing.signal("HUP").await;
    waxwing.logged("SIGHUP: ").await;
    // The instance is no target of its own.
    let body = serde_json::json!({ "url": format!("https://{NAME}/"), "events": ["*"] }).to_string();
    let refused = waxwing.api.post("/v1/webhook-subscriptions", body).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    let printed = waxwing.kill().await;
    assert!(printed.contains(&format!("https://{NAME}:{}/", https.port())), "the link leads elsewhere: {printed}");

    authority.is(Mood::Down);
    let asked = authority.requests();
    let waxwing = start().await;
    assert_eq!(ask(waxwing.https.expect("it speaks TLS").0).await, Some(200));
    assert_eq!(authority.requests(), asked);
}
