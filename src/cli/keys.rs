//! `waxwing keys`: API keys, on a running server by its API, or in the store of a stopped one.

use std::num::NonZeroU32;

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::Server;
use super::place::Place;
use super::stopped::on_stopped;
use super::table::table;
use super::{Context, Failure, Verdict, print, print_json, read_named};
use crate::clock::Clock;
use crate::domain::channel::Channel;
use crate::domain::event_type::EventPattern;
use crate::domain::id::{KeyId, TenantId};
use crate::domain::key::{
    ApiKey, KeyKind, KeyText, NAME_LENGTH_MAX, Preset, Quota, RATE_CEILING, RateLimits, Scope, Scopes,
};
use crate::domain::restriction::{ALLOWED_EVENTS_MAX, NotForAMerchant, RESTRICTION_CHANNELS_MAX, Restriction};
use crate::domain::tenant::ExternalId;
use crate::domain::time::Timestamp;
use crate::http::scopes_of;
use crate::store::{Catalogue, Store, StoreError};

/// Make, list and revoke API keys
///
/// Asks a running server. With --data-dir it works on the store of a stopped one instead, so that a lost key is no lost
/// server.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing keys create --name shop --preset publish_only
  waxwing keys create --name acme --tenant acme --preset subscriber
  waxwing keys create --name shop-1 --tenant acme --preset subscriber --channel shop:1
  waxwing keys create --name agent --tenant acme --kind agentmessage --scope webhooks:read
  waxwing keys list --url https://hooks.example.com --key ww_…
  waxwing keys revoke key_01jq…
  waxwing keys create --name rescue --preset full_access --data-dir ./waxwing-data     (the server is stopped)")]
pub(super) struct Keys {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a key; its text is printed this once
    Create {
        #[command(flatten)]
        wanted: Wanted,
        #[command(flatten)]
        place: Place,
    },
    /// List keys, oldest first; their texts are not kept and cannot be shown
    List {
        #[command(flatten)]
        place: Place,
    },
    /// End a key at once
    Revoke {
        /// The key's id (key_…), not its text
        #[arg(value_name = "ID")]
        id: KeyId,
        #[command(flatten)]
        place: Place,
    },
}

/// What a new key is to be.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("may").required(true).args(["preset", "scope"])))]
struct Wanted {
    /// What the key is for
    #[arg(long, value_name = "NAME")]
    name: String,
    /// full_access, read_only, publish_only or subscriber
    #[arg(long, value_name = "PRESET", value_parser = read_preset)]
    preset: Option<Preset>,
    /// A single scope, e.g. events:write, or one of the contract that the kind belongs to; can be given again
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// native, marea_developer, marea_user or agentmessage: the API that it is made for
    #[arg(long, value_name = "KIND", value_parser = read_kind, default_value = "native")]
    kind: KeyKind,
    /// Take over a key that is in use elsewhere: its text, from a file or - (the standard input)
    #[arg(long, value_name = "FILE")]
    import: Option<String>,
    /// The tenant that the key is bound to, by id or external id [default: none, a key of the whole instance]
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Restrict it to events of this type or pattern, e.g. order.*; can be given again. It then sees and changes only the
    /// subscriptions that it made
    #[arg(long, value_name = "EVENT", value_parser = read_pattern)]
    allowed_event: Vec<EventPattern>,
    /// Restrict it to events that have this channel; can be given again
    #[arg(long, value_name = "CHANNEL", value_parser = read_channel)]
    channel: Vec<Channel>,
    /// Calls a second, or off [default: what the server gives]
    #[arg(long, value_name = "N", value_parser = read_quota)]
    management_rate: Option<Quota>,
    /// Events a second, or off [default: what the server gives]
    #[arg(long, value_name = "N", value_parser = read_quota)]
    publish_rate: Option<Quota>,
    /// When it stops working, e.g. 2027-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    expires_at: Option<Timestamp>,
}

/// A key as it is printed.
struct Shown {
    id: String,
    name: String,
    kind: String,
    may: String,
    tenant: String,
    allowed_events: Vec<String>,
    channels: Vec<String>,
    created_at: String,
    last_used_at: String,
}

impl Keys {
    pub(super) fn run(self, context: &Context) -> Result<Verdict, Failure> {
        match self.command {
            KeysCommand::Create { wanted, place } => create(wanted, place, context),
            KeysCommand::List { place } => list(place, context),
            KeysCommand::Revoke { id, place } => revoke(id, place, context),
        }
    }
}

fn create(wanted: Wanted, place: Place, context: &Context) -> Result<Verdict, Failure> {
    let json = place.json;
    let scopes = wanted.scopes()?;
    if wanted.tenant.is_none() && !(wanted.allowed_event.is_empty() && wanted.channel.is_empty()) {
        return Err(Failure::Usage("a restricted key is bound to a tenant: give --tenant".to_owned()));
    }
    let imported = wanted.import.as_deref().map(read_text).transpose()?;
    let (shown, text) = match &place.data_dir {
        Some(_) => {
            on_stopped(place.data_dir, context, async |store| create_in_store(wanted, scopes, imported, store).await)??
        }
        None => {
            let server = place.server(context)?;
            let answer = server.post("/v1/api-keys", &wanted.into_body(imported).to_string(), None)?.body;
            let text = answer["data"]["attributes"]["secret"].as_str().map(str::to_owned);
            (Shown::from_api(&answer["data"]), text)
        }
    };
    if json {
        let mut object = shown.to_json();
        object["secret"] = json!(text);
        print_json(&object)?;
        return Ok(Verdict::Good);
    }
    // Only the key goes to the standard output: KEY=$(waxwing keys create …)
    eprintln!("{} · {} · {} · {}", shown.id, shown.name, shown.may, shown.tenant);
    match text {
        Some(text) => {
            eprintln!("Keep the text below: it is not stored and not shown again.");
            print(&text)?;
        }
        None => eprintln!("The imported text works from now on: it is not stored and not shown."),
    }
    Ok(Verdict::Good)
}

impl Wanted {
    fn scopes(&self) -> Result<Scopes, Failure> {
        let Some(preset) = self.preset else {
            let granted = |name: &String| {
                let found = scopes_of(self.kind).find(|(known, _)| known == name);
                found.map(|(_, scopes)| scopes).ok_or_else(|| {
                    let names = scopes_of(self.kind).map(|(name, _)| name).collect::<Vec<_>>().join(", ");
                    Failure::Usage(format!("--scope `{name}`: of the kind {} it is one of {names}", self.kind.name()))
                })
            };
            return self.scope.iter().map(granted).try_fold(Scopes::default(), |all, scopes| Ok(all.with(scopes?)));
        };
        Ok(preset.scopes())
    }

    fn rate_limits(&self) -> RateLimits {
        RateLimits {
            management: self.management_rate.unwrap_or_default(),
            publish: self.publish_rate.unwrap_or_default(),
        }
    }

    /// The body of a request to a server, which checks it.
    fn into_body(self, imported: Option<String>) -> Value {
        let RateLimits { management, publish } = self.rate_limits();
        let Self {
            name,
            preset,
            scope,
            kind,
            import: _,
            tenant,
            allowed_event,
            channel,
            management_rate: _,
            publish_rate: _,
            expires_at,
        } = self;
        // `null` asks for a key of the instance; leaving the member out would bind it to the request's tenant.
        let mut body = json!({ "name": name, "kind": kind.name(), "tenant": tenant, "rate_limits": {} });
        match preset {
            Some(preset) => body["preset"] = json!(preset.name()),
            None => body["scopes"] = json!(scope),
        }
        for (member, quota) in [("management", management), ("publish", publish)] {
            match quota {
                Quota::InstanceDefault => {}
                Quota::PerSecond(per_second) => body["rate_limits"][member] = json!(per_second),
                Quota::Unlimited => body["rate_limits"][member] = Value::Null,
            }
        }
        if !allowed_event.is_empty() {
            body["allowed_events"] = each_once(allowed_event).iter().map(ToString::to_string).collect();
        }
        if !channel.is_empty() {
            body["channels"] = each_once(channel).iter().map(ToString::to_string).collect();
        }
        if let Some(text) = imported {
            body["secret"] = json!(text);
        }
        if let Some(expires_at) = expires_at {
            body["expires_at"] = json!(expires_at.to_string());
        }
        body
    }
}

fn list(place: Place, context: &Context) -> Result<Verdict, Failure> {
    let json = place.json;
    let shown = match &place.data_dir {
        Some(_) => on_stopped(place.data_dir, context, async |store| {
            let catalogue = store.catalogue();
            catalogue.keys().filter(|key| key.revoked_at.is_none()).map(|key| Shown::from_store(key, store)).collect()
        })?,
        None => list_from(&place.server(context)?)?,
    };
    if json {
        print_json(&shown.iter().map(Shown::to_json).collect())?;
        return Ok(Verdict::Good);
    }
    let head =
        ["ID", "NAME", "KIND", "MAY", "TENANT", "RESTRICTED TO", "CREATED", "LAST USED"].map(str::to_owned).to_vec();
    let rows = shown.into_iter().map(|shown| {
        let restricted_to = shown.restricted_to();
        let Shown { id, name, kind, may, tenant, allowed_events: _, channels: _, created_at, last_used_at } = shown;
        vec![id, name, kind, may, tenant, restricted_to, created_at, last_used_at]
    });
    print(&table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()))?;
    Ok(Verdict::Good)
}

fn list_from(server: &Server) -> Result<Vec<Shown>, Failure> {
    let mut shown = Vec::new();
    for page in 1.. {
        let answer = server.get(&format!("/v1/api-keys?page[size]=100&page[number]={page}"))?.body;
        shown.extend(answer["data"].as_array().into_iter().flatten().map(Shown::from_api));
        if page >= answer["meta"]["total_pages"].as_u64().unwrap_or(1) {
            break;
        }
    }
    // The API answers the newest first.
    shown.reverse();
    Ok(shown)
}

fn revoke(id: KeyId, place: Place, context: &Context) -> Result<Verdict, Failure> {
    let json = place.json;
    match &place.data_dir {
        Some(_) => on_stopped(place.data_dir, context, async |store| revoke_in_store(id, store).await)??,
        None => {
            place.server(context)?.delete(&format!("/v1/api-keys/{id}"))?;
        }
    }
    if json {
        print_json(&json!({ "id": id.to_string(), "revoked": true }))?
    } else {
        print(&format!("{id} is revoked"))?
    }
    Ok(Verdict::Good)
}

async fn create_in_store(
    wanted: Wanted,
    scopes: Scopes,
    imported: Option<String>,
    store: &Store,
) -> Result<(Shown, Option<String>), Failure> {
    let (rate_limits, is_imported) = (wanted.rate_limits(), imported.is_some());
    let Wanted {
        name,
        preset,
        scope: _,
        kind,
        import: _,
        tenant,
        allowed_event,
        channel,
        management_rate: _,
        publish_rate: _,
        expires_at,
    } = wanted;
    if name.trim().is_empty() || name.chars().count() > NAME_LENGTH_MAX {
        return Err(Failure::Usage(format!("--name has 1 to {NAME_LENGTH_MAX} characters")));
    }
    let catalogue = store.catalogue();
    let tenant = tenant.map(|named| find_tenant(&catalogue, &named)).transpose()?;
    let restriction = check_restriction(kind, allowed_event, channel, &catalogue)?;
    let text = match imported {
        Some(text) => KeyText::import(kind, text)
            .map_err(|unfit| Failure::Usage(format!("--import: the text must be {}", unfit.expected(kind))))?,
        None => KeyText::generate(kind, &mut rand::rng()),
    };
    let key = ApiKey {
        id: KeyId::from_u128(0),
        kind,
        name,
        hash: text.hash(),
        tenant,
        scopes,
        preset,
        restriction,
        rate_limits,
        expires_at,
        revoked_at: None,
        created_at: Clock::System.now(),
    };
    let key = store.create_key(key, None).await.map_err(|error| match error {
        StoreError::AlreadyExists => Failure::Failed("there is a key with this text already".to_owned()),
        error => Failure::Failed(error.to_string()),
    })?;
    Ok((Shown::from_store(&key, store), (!is_imported).then(|| text.as_str().to_owned())))
}

/// What the API checks when a server runs.
fn check_restriction(
    kind: KeyKind,
    allowed_events: Vec<EventPattern>,
    channels: Vec<Channel>,
    catalogue: &Catalogue,
) -> Result<Restriction, Failure> {
    let (allowed_events, channels) = (each_once(allowed_events), each_once(channels));
    if allowed_events.len() > ALLOWED_EVENTS_MAX || channels.len() > RESTRICTION_CHANNELS_MAX {
        return Err(Failure::Usage(format!(
            "a key has at most {ALLOWED_EVENTS_MAX} --allowed-event and {RESTRICTION_CHANNELS_MAX} --channel"
        )));
    }
    for pattern in &allowed_events {
        if let EventPattern::Exact(name) = pattern
            && catalogue.event_type(name.as_str()).is_none()
        {
            return Err(Failure::Usage(format!("--allowed-event: there is no event type `{pattern}`")));
        }
    }
    let restriction = Restriction { allowed_events, channels };
    if kind != KeyKind::MareaUser {
        return Ok(restriction);
    }
    restriction.for_a_merchant().map_err(|unfit| {
        let why = match unfit {
            NotForAMerchant::Channels => "give exactly one --channel, the storefront",
            NotForAMerchant::Events => "--allowed-event: it gets events of order.* alone",
        };
        Failure::Usage(format!("of the kind {}: {why}", kind.name()))
    })
}

fn each_once<T: PartialEq>(all: Vec<T>) -> Vec<T> {
    all.into_iter().fold(Vec::new(), |mut once, one| {
        if !once.contains(&one) {
            once.push(one);
        }
        once
    })
}

async fn revoke_in_store(id: KeyId, store: &Store) -> Result<(), Failure> {
    // A revoked key stays known to the store, so that its use can be answered as such; to people it is gone.
    if store.catalogue().key(id).is_none_or(|key| key.revoked_at.is_some()) {
        return Err(Failure::Failed(format!("there is no key {id}")));
    }
    store.revoke_key(id).await.map_err(|error| Failure::Failed(error.to_string()))
}

fn find_tenant(catalogue: &Catalogue, named: &str) -> Result<TenantId, Failure> {
    let by_id = |id: TenantId| catalogue.tenant(id);
    let by_external_id = |id: ExternalId| catalogue.tenant_by_external_id(&id);
    let found = match named {
        "default" => by_id(TenantId::DEFAULT),
        named => named.parse().ok().and_then(by_id).or_else(|| named.parse().ok().and_then(by_external_id)),
    };
    found.map(|entry| entry.tenant.id).ok_or_else(|| Failure::Usage(format!("--tenant: there is no tenant `{named}`")))
}

impl Shown {
    fn from_store(key: &ApiKey, store: &Store) -> Self {
        let scopes = || key.scopes.iter().map(Scope::name).collect::<Vec<_>>().join(",");
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            kind: key.kind.name().to_owned(),
            may: key.preset.map_or_else(scopes, |preset| preset.name().to_owned()),
            tenant: key.tenant.map_or_else(|| "instance".to_owned(), |id| id.to_string()),
            allowed_events: key.restriction.allowed_events.iter().map(ToString::to_string).collect(),
            channels: key.restriction.channels.iter().map(ToString::to_string).collect(),
            created_at: key.created_at.to_string(),
            last_used_at: store.key_last_used(key.id).map_or_else(|| "never".to_owned(), |at| at.to_string()),
        }
    }

    fn from_api(object: &Value) -> Self {
        let attributes = &object["attributes"];
        let text = |value: &Value, absent: &str| value.as_str().unwrap_or(absent).to_owned();
        let texts = |name: &str| {
            let texts = attributes[name].as_array().into_iter().flatten().filter_map(Value::as_str);
            texts.map(str::to_owned).collect::<Vec<_>>()
        };
        Self {
            id: text(&object["id"], "?"),
            name: text(&attributes["name"], ""),
            kind: text(&attributes["kind"], KeyKind::Native.name()),
            may: attributes["preset"].as_str().map_or_else(|| texts("scopes").join(","), str::to_owned),
            tenant: text(&attributes["tenant"], "instance"),
            allowed_events: texts("allowed_events"),
            channels: texts("channels"),
            created_at: text(&attributes["created_at"], ""),
            last_used_at: text(&attributes["last_used_at"], "never"),
        }
    }

    fn to_json(&self) -> Value {
        let Self { id, name, kind, may, tenant, allowed_events, channels, created_at, last_used_at } = self;
        json!({
            "id": id,
            "name": name,
            "kind": kind,
            "may": may,
            "tenant": tenant,
            "allowed_events": allowed_events,
            "channels": channels,
            "created_at": created_at,
            "last_used_at": last_used_at,
        })
    }

    /// The restriction; a dash when there is none.
    fn restricted_to(&self) -> String {
        let all: Vec<&str> = self.allowed_events.iter().chain(&self.channels).map(String::as_str).collect();
        if all.is_empty() { "-".to_owned() } else { all.join(",") }
    }
}

fn read_preset(text: &str) -> Result<Preset, String> {
    Preset::from_name(text).ok_or_else(|| format!("it is one of {}", Preset::ALL.map(Preset::name).join(", ")))
}

fn read_kind(text: &str) -> Result<KeyKind, String> {
    KeyKind::from_name(text).ok_or_else(|| format!("it is one of {}", KeyKind::ALL.map(KeyKind::name).join(", ")))
}

fn read_pattern(text: &str) -> Result<EventPattern, String> {
    text.parse().map_err(|_| "write it like order.paid, order.* or *".to_owned())
}

fn read_channel(text: &str) -> Result<Channel, String> {
    text.parse().map_err(|_| "write it like shop:1".to_owned())
}

fn read_quota(text: &str) -> Result<Quota, String> {
    if text == "off" {
        return Ok(Quota::Unlimited);
    }
    let number = text.parse().ok().filter(|number: &NonZeroU32| number.get() <= RATE_CEILING);
    number.map(Quota::PerSecond).ok_or_else(|| format!("it is 1 to {RATE_CEILING}, or off"))
}

/// A key's text: what the file holds, without the end of its line.
fn read_text(name: &str) -> Result<String, Failure> {
    let text = String::from_utf8(read_named(name)?).map_err(|_| Failure::Usage(format!("`{name}` is not text")))?;
    Ok(text.trim().to_owned())
}
