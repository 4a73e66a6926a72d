//! Nothing is ever sent to where nothing may be sent: the real binary on a machine whose network has every forbidden address,
//! with somebody listening at each of them, asked in each way that a caller can name a URL (SG-16, SG-22).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::support::binary::{Answer, Api, PATIENCE, Start, Waxwing};
use crate::support::network::{MOVED, Network, PORT, rerun};

/// On the other machine. One of each kind that can be an address of a machine at all.
const FORBIDDEN_FAR: [&str; 25] = [
    "10.0.0.5",
    "100.64.0.5",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.5",
    "192.0.0.5",
    "192.0.2.5",
    "192.168.1.5",
    "198.18.0.5",
    "198.51.100.5",
    "203.0.113.5",
    "240.0.0.5",
    "64:ff9b::a00:5",
    "64:ff9b:1::5",
    "2001::5",
    "2001:db8::5",
    "2002:a00:5::1",
    "3fff::5",
    "5f00::5",
    "fd00::5",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fec0::5",
];
/// Of the tested machine itself, and other words for forbidden ones.
const FORBIDDEN_NEAR: [&str; 9] = [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.5",
    "::10.0.0.5",
    "::ffff:169.254.169.254",
];
const ALLOWED: [&str; 3] = ["93.184.216.34", "2606:4700::1111", "64:ff9b::5db8:d822"];
/// Nothing may be sent there, and it is no address of the list above.
const SPELLINGS: [&str; 8] = [
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "0xa9fea9fe",
    "169.254.43518",
    "%31%30.0.0.5",
    "１０。０。０。５",
];

fn ip(text: &str) -> IpAddr {
    text.parse().expect("it is an address")
}

fn url_of(host: &str) -> String {
    if host.contains(':') { format!("http://[{host}]:{PORT}/") } else { format!("http://{host}:{PORT}/") }
}

#[test]
fn nothing_forbidden_is_connected_to_however_a_caller_names_it() {
    rerun("binary::fence::in_a_network_of_its_own");
}

/// What a caller with a key can do about URLs.
struct Caller<'a> {
    api: &'a Api,
    /// A subscription of each contract, whose URL is changed.
    changed: [(&'static str, Api, String); 3],
}

impl Caller<'_> {
    /// Names the URL in every request that takes one, and answers with the status of each.
    async fn name(&self, url: &str) -> BTreeMap<&'static str, u16> {
        let mut statuses = BTreeMap::new();
        let [own, marea, agentmessage] = &self.changed;
        let body = json!({ "url": url, "events": ["*"] }).to_string();
        statuses.insert("create", self.api.post("/v1/webhook-subscriptions", body.clone()).await.status);
        statuses.insert("put", self.api.put(&own.2, body).await.status);
        statuses.insert("update", self.api.patch(&own.2, json!({ "url": url }).to_string()).await.status);
        let body = json!({ "url": url, "subscribedEvents": ["order.paid"] }).to_string();
        statuses.insert("marea create", marea.1.post("/v1/webhook_endpoints", body).await.status);
        statuses.insert("marea update", marea.1.patch(&marea.2, json!({ "url": url }).to_string()).await.status);
        let body = json!({ "url": url, "events": ["order.paid"] }).to_string();
        statuses.insert("agentmessage create", agentmessage.1.post("/v1/webhooks", body).await.status);
        let change = json!({ "url": url }).to_string();
        statuses.insert("agentmessage update", agentmessage.1.patch(&agentmessage.2, change).await.status);
        statuses
    }

    /// Has everything sent that was ever subscribed: as events, as tests, again, and by jobs.
    async fn send(&self, subscriptions: &[String]) {
        let published = self.api.post("/v1/events", r#"{"type":"order.paid","data":{}}"#).await.expect(202);
        let event = id_of(&published.json());
        for subscription in subscriptions {
            self.api.post(&format!("{subscription}/test"), "").await.expect(200);
        }
        let [_, _, (_, agentmessage, endpoint)] = &self.changed;
        agentmessage.post(&format!("{endpoint}/test"), "").await;
        self.api.post(&format!("/v1/events/{event}/redeliver"), "").await.expect(202);
        for subscription in subscriptions {
            let id = subscription.rsplit('/').next().expect("it ends with the id");
            let filter = json!({ "filter": { "subscription_id": id, "state": "retrying" } }).to_string();
            // No more jobs are taken while many run.
            let asked = self.api.post("/v1/deliveries/retry", filter).await;
            assert!([202, 409].contains(&asked.status), "{}", asked.text());
        }
    }
}

fn id_of(answer: &Value) -> String {
    answer["data"]["id"].as_str().unwrap_or_else(|| panic!("no id: {answer}")).to_owned()
}

async fn key(api: &Api, body: Value) -> String {
    let answer = api.post("/v1/api-keys", body.to_string()).await.expect(201).json();
    answer["data"]["attributes"]["secret"].as_str().expect("create shows it").to_owned()
}

/// AgentMessage's contract has a status of its own for it; and a tenant's own key is told to wait after some of them.
fn are_refused(statuses: &BTreeMap<&str, u16>) -> bool {
    statuses.iter().all(|(what, status)| match what.split_once(' ') {
        None => *status == 400,
        Some(_) => [400, 422, 429].contains(status),
    })
}

/// A subscription through each contract that leads to an allowed address.
async fn caller(waxwing: &Waxwing) -> Caller<'_> {
    let api = &waxwing.api;
    for name in ["user.verified", "user.cancelled", "order.created", "order.paid", "order.status_updated"] {
        api.create_event_type(name).await;
    }
    let url = url_of(ALLOWED[0]);
    let (own, _) = api.subscribe(&url, &["*"]).await;
    let scopes = ["developer:webhooks"];
    let marea = key(api, json!({ "name": "m", "kind": "marea_developer", "scopes": scopes })).await;
    let scopes = ["webhooks:read", "webhooks:write"];
    let agentmessage =
        key(api, json!({ "name": "a", "kind": "agentmessage", "tenant": "default", "scopes": scopes })).await;
    let (marea, agentmessage) = (Api::new(waxwing.address, &marea), Api::new(waxwing.address, &agentmessage));
    let body = json!({ "url": url, "subscribedEvents": ["order.paid"] }).to_string();
    let made = marea.post("/v1/webhook_endpoints", body).await.expect(201).json();
    let endpoint = made["endpointId"].as_str().expect("an id").to_owned();
    let body = json!({ "url": url, "events": ["order.paid"] }).to_string();
    let made = agentmessage.post("/v1/webhooks", body).await.expect(201).json();
    let webhook = made["id"].as_str().expect("an id").to_owned();
    let changed = [
        ("own", api.clone(), format!("/v1/webhook-subscriptions/{own}")),
        ("marea", marea, format!("/v1/webhook_endpoints/{endpoint}")),
        ("agentmessage", agentmessage, format!("/v1/webhooks/{webhook}")),
    ];
    Caller { api, changed }
}

/// The class of a test's error, or what it came to.
async fn test(api: &Api, subscription: &str) -> String {
    let answer: Answer = api.post(&format!("{subscription}/test"), "").await.expect(200);
    let attributes = answer.json()["data"]["attributes"].clone();
    attributes["error"].as_str().or(attributes["outcome"].as_str()).expect("one of them").to_owned()
}

/// SG-11, SG-12, SG-14, SG-15, SG-16, SG-17, SG-22
#[tokio::test(flavor = "multi_thread")]
#[ignore = "nothing_forbidden_is_connected_to_however_a_caller_names_it runs it in a network of its own"]
async fn in_a_network_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let far: Vec<IpAddr> = FORBIDDEN_FAR.iter().chain(&ALLOWED).map(|text| ip(text)).collect();
    let network = Network::make(folder.path(), &far);
    // Who listens is reached when somebody does connect: else the rest would prove nothing.
    for address in FORBIDDEN_FAR.iter().chain(&FORBIDDEN_NEAR[..4]).chain(&ALLOWED) {
        std::net::TcpStream::connect((ip(address), PORT)).unwrap_or_else(|error| panic!("{address}: {error}"));
    }
    while network.reached().values().sum::<usize>() < FORBIDDEN_FAR.len() + 4 + ALLOWED.len() {
        tokio::task::yield_now().await;
    }
    let tried = network.reached();

    let proxy = format!("http://{}:{PORT}", FORBIDDEN_FAR[0]);
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("the folder is writable");
    let mut start =
        Start::with_flags(&data, &["--allow-http-targets", "--management-rate", "off", "--publish-rate", "off"]);
    for variable in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        start = start.with_environment(variable, &proxy);
    }
    let waxwing = start.start().await;
    let caller = caller(&waxwing).await;

    // What is forbidden when it is named is refused then, as a literal and as a name.
    let own = format!("127.0.0.1:{}", waxwing.address.port());
    let literals = FORBIDDEN_FAR.iter().chain(&FORBIDDEN_NEAR).chain(&SPELLINGS).map(|host| url_of(host));
    for url in literals.chain([format!("http://{own}/"), format!("http://localhost:{PORT}/")]) {
        let statuses = caller.name(&url).await;
        assert!(are_refused(&statuses), "{url}: {statuses:?}");
    }
    for (number, address) in FORBIDDEN_FAR.iter().chain(&FORBIDDEN_NEAR).enumerate() {
        let (alone, beside) = (format!("alone-{number}.example.com"), format!("beside-{number}.example.com"));
        network.name(&alone, &[ip(address)]);
        network.name(&beside, &[ip(ALLOWED[0]), ip(address), ip(ALLOWED[1])]);
        for name in [alone, beside] {
            let statuses = caller.name(&url_of(&name)).await;
            assert!(are_refused(&statuses), "{name} leads to {address}: {statuses:?}");
        }
    }

    // What became forbidden since is not connected to.
    let mut subscriptions = Vec::new();
    for (number, address) in FORBIDDEN_FAR.iter().chain(&FORBIDDEN_NEAR).enumerate() {
        let name = format!("moved-{number}.example.com");
        network.name(&name, &[ip(ALLOWED[number % ALLOWED.len()])]);
        let (id, _) = caller.api.subscribe(&url_of(&name), &["*"]).await;
        subscriptions.push((format!("/v1/webhook-subscriptions/{id}"), name, ip(address)));
    }
    // Nor where a redirect leads.
    for address in [FORBIDDEN_FAR[0], "127.0.0.1"] {
        let moved = format!("{}{}/{address}:{PORT}", url_of(ALLOWED[0]).trim_end_matches('/'), MOVED);
        let (id, _) = caller.api.subscribe(&moved, &["*"]).await;
        assert_eq!(test(caller.api, &format!("/v1/webhook-subscriptions/{id}")).await, "http_307");
    }
    let paths: Vec<String> = subscriptions.iter().map(|(path, _, _)| path.clone()).collect();
    caller.send(&paths).await;
    for (_, name, address) in &subscriptions {
        network.name(name, &[*address]);
    }
    caller.send(&paths).await;
    let blocked = async {
        for (path, _, _) in &subscriptions {
            // The answer from before is remembered for a moment.
            while test(caller.api, path).await != "blocked_address" {}
        }
    };
    tokio::time::timeout(PATIENCE, blocked).await.expect("what was remembered is soon forgotten");
    caller.send(&paths).await;
    // And when both are said at once, in turns.
    for (_, name, address) in &subscriptions {
        network.name(name, &[ip(ALLOWED[0]), *address]);
    }
    caller.send(&paths).await;
    for (path, _, _) in &subscriptions {
        assert_ne!(test(caller.api, path).await, "timeout");
    }
    // It ends what it has begun.
    let (status, _) = waxwing.terminate().await;
    assert!(status.success());

    let reached = network.reached();
    let allowed: BTreeSet<IpAddr> = ALLOWED.iter().map(|text| ip(text)).collect();
    for (address, count) in &reached {
        let before = tried.get(address).copied().unwrap_or(0);
        if allowed.contains(address) {
            assert!(*count > before, "nothing came to {address}: {reached:?}");
        } else {
            assert_eq!(*count, before, "{address} was connected to: {reached:?}");
        }
    }
    let deliveries: usize = allowed.iter().map(|address| reached[address] - tried[address]).sum();
    println!(
        "{} forbidden addresses untouched, {deliveries} connections to allowed ones",
        reached.len() - allowed.len()
    );
}
