//! `waxwing keys`: API keys, on a running server by its API, or in the store of a stopped one.

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{Server, ServerArgs};
use super::stopped::on_stopped;
use super::table::table;
use super::{Context, Failure, Verdict, print, print_json};
use crate::clock::Clock;
use crate::config::Args;
use crate::domain::id::{KeyId, TenantId};
use crate::domain::key::{ApiKey, KeyKind, KeyText, NAME_LENGTH_MAX, Preset, RateLimits, Scope, Scopes};
use crate::domain::restriction::Restriction;
use crate::domain::tenant::ExternalId;
use crate::domain::time::Timestamp;
use crate::store::{Catalogue, Store};

/// Make, list and revoke API keys
///
/// Asks a running server. With --data-dir it works on the store of a stopped one instead, so that a lost key is no lost
/// server.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing keys create --name shop --preset publish_only
  waxwing keys create --name acme --tenant acme --preset subscriber
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
        /// What the key is for
        #[arg(long, value_name = "NAME")]
        name: String,
        /// full_access, read_only, publish_only or subscriber
        #[arg(long, value_name = "PRESET", value_parser = read_preset, required_unless_present = "scope", conflicts_with = "scope")]
        preset: Option<Preset>,
        /// A single scope, e.g. events:write; can be given again
        #[arg(long, value_name = "SCOPE", value_parser = read_scope)]
        scope: Vec<Scope>,
        /// The tenant that the key is bound to, by id or external id [default: none, a key of the whole instance]
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// When it stops working, e.g. 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires_at: Option<Timestamp>,
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

/// Where the keys are.
#[derive(Debug, clap::Args)]
struct Place {
    /// Work on the store of a stopped server in this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["url", "key"])]
    data_dir: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a new key is to be.
struct Wanted {
    name: String,
    preset: Option<Preset>,
    scopes: Scopes,
    tenant: Option<String>,
    expires_at: Option<Timestamp>,
}

/// A key as it is printed.
struct Shown {
    id: String,
    name: String,
    may: String,
    tenant: String,
    created_at: String,
    last_used_at: String,
}

impl Keys {
    pub(super) fn run(self, context: &Context) -> Result<Verdict, Failure> {
        match self.command {
            KeysCommand::Create { name, preset, scope, tenant, expires_at, place } => {
                let scopes = preset.map_or_else(|| scope.into_iter().collect(), Preset::scopes);
                create(Wanted { name, preset, scopes, tenant, expires_at }, place, context)
            }
            KeysCommand::List { place } => list(place, context),
            KeysCommand::Revoke { id, place } => revoke(id, place, context),
        }
    }
}

fn create(wanted: Wanted, place: Place, context: &Context) -> Result<Verdict, Failure> {
    let json = place.json;
    let (shown, text) = match &place.data_dir {
        Some(_) => on_stopped(place.data_dir, context, async |store| create_in_store(wanted, store).await)??,
        None => {
            let Wanted { name, preset, scopes, tenant, expires_at } = wanted;
            // `null` asks for a key of the instance; leaving the member out would bind it to the request's tenant.
            let mut body = json!({ "name": name, "tenant": tenant });
            match preset {
                Some(preset) => body["preset"] = json!(preset.name()),
                None => body["scopes"] = scopes.iter().map(Scope::name).collect(),
            }
            if let Some(expires_at) = expires_at {
                body["expires_at"] = json!(expires_at.to_string());
            }
            let server = server(&place, context)?;
            let answer = server.post("/v1/api-keys", &body.to_string(), None)?.body;
            let text = answer["data"]["attributes"]["secret"].as_str().unwrap_or_default().to_owned();
            (Shown::from_api(&answer["data"]), text)
        }
    };
    if json {
        let mut object = shown.to_json();
        object["secret"] = json!(text);
        print_json(&object)?;
    } else {
        // Only the key goes to the standard output: KEY=$(waxwing keys create …)
        eprintln!("{} · {} · {} · {}", shown.id, shown.name, shown.may, shown.tenant);
        eprintln!("Keep the text below: it is not stored and not shown again.");
        print(&text)?;
    }
    Ok(Verdict::Good)
}

fn list(place: Place, context: &Context) -> Result<Verdict, Failure> {
    let json = place.json;
    let shown = match &place.data_dir {
        Some(_) => on_stopped(place.data_dir, context, async |store| {
            let catalogue = store.catalogue();
            catalogue.keys().filter(|key| key.revoked_at.is_none()).map(|key| Shown::from_store(key, store)).collect()
        })?,
        None => list_from(&server(&place, context)?)?,
    };
    if json {
        print_json(&shown.iter().map(Shown::to_json).collect())?;
        return Ok(Verdict::Good);
    }
    let head = ["ID", "NAME", "MAY", "TENANT", "CREATED", "LAST USED"].map(str::to_owned).to_vec();
    let rows = shown.into_iter().map(|Shown { id, name, may, tenant, created_at, last_used_at }| {
        vec![id, name, may, tenant, created_at, last_used_at]
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
            server(&place, context)?.delete(&format!("/v1/api-keys/{id}"))?;
        }
    }
    if json {
        print_json(&json!({ "id": id.to_string(), "revoked": true }))?
    } else {
        print(&format!("{id} is revoked"))?
    }
    Ok(Verdict::Good)
}

fn server(place: &Place, context: &Context) -> Result<Server, Failure> {
    Server::find(&place.server, context, &context.config(&Args::default())?)
}

async fn create_in_store(wanted: Wanted, store: &Store) -> Result<(Shown, String), Failure> {
    let Wanted { name, preset, scopes, tenant, expires_at } = wanted;
    if name.trim().is_empty() || name.chars().count() > NAME_LENGTH_MAX {
        return Err(Failure::Usage(format!("--name has 1 to {NAME_LENGTH_MAX} characters")));
    }
    let tenant = tenant.map(|named| find_tenant(&store.catalogue(), &named)).transpose()?;
    let text = KeyText::generate(KeyKind::Native, &mut rand::rng());
    let key = ApiKey {
        id: KeyId::from_u128(0),
        kind: KeyKind::Native,
        name,
        hash: text.hash(),
        tenant,
        scopes,
        preset,
        restriction: Restriction::default(),
        rate_limits: RateLimits::default(),
        expires_at,
        revoked_at: None,
        created_at: Clock::System.now(),
    };
    let key = store.create_key(key, None).await.map_err(|error| Failure::Failed(error.to_string()))?;
    Ok((Shown::from_store(&key, store), text.as_str().to_owned()))
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
            may: key.preset.map_or_else(scopes, |preset| preset.name().to_owned()),
            tenant: key.tenant.map_or_else(|| "instance".to_owned(), |id| id.to_string()),
            created_at: key.created_at.to_string(),
            last_used_at: store.key_last_used(key.id).map_or_else(|| "never".to_owned(), |at| at.to_string()),
        }
    }

    fn from_api(object: &Value) -> Self {
        let attributes = &object["attributes"];
        let text = |value: &Value, absent: &str| value.as_str().unwrap_or(absent).to_owned();
        let scopes = attributes["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Self {
            id: text(&object["id"], "?"),
            name: text(&attributes["name"], ""),
            may: attributes["preset"].as_str().map_or_else(|| scopes.collect::<Vec<_>>().join(","), str::to_owned),
            tenant: text(&attributes["tenant"], "instance"),
            created_at: text(&attributes["created_at"], ""),
            last_used_at: text(&attributes["last_used_at"], "never"),
        }
    }

    fn to_json(&self) -> Value {
        let Self { id, name, may, tenant, created_at, last_used_at } = self;
        json!({ "id": id, "name": name, "may": may, "tenant": tenant, "created_at": created_at, "last_used_at": last_used_at })
    }
}

fn read_preset(text: &str) -> Result<Preset, String> {
    Preset::from_name(text).ok_or_else(|| format!("it is one of {}", Preset::ALL.map(Preset::name).join(", ")))
}

fn read_scope(text: &str) -> Result<Scope, String> {
    let names = || Scope::ALL.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(", ");
    Scope::from_name(text).ok_or_else(|| format!("it is one of {}", names()))
}
