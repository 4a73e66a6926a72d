//! `waxwing export`: subscriptions in the form that `waxwing import` takes.

use std::fs::OpenOptions;
use std::io::Write;
use std::num::NonZeroU16;
use std::os::unix::fs::OpenOptionsExt;

use serde_json::{Map, Value, json};

use super::client::{Refused, Server, ServerArgs};
use super::rows::{self, EXTERNAL_ID, Format, TENANT};
use super::stopped::on_stopped;
use super::{Context, Failure, Verdict, print};
use crate::config::Args;
use crate::domain::id::TenantId;
use crate::domain::profile::ApiVersion;
use crate::domain::subscription::{Owner, Signing, Subscription};
use crate::store::Catalogue;
use crate::store::catalogue::TenantEntry;

/// Write out subscriptions, in the form that import takes
///
/// A running server shows no secrets, and a row without one cannot be imported. With --data-dir the store of a stopped
/// server is read instead, and --with-secrets adds secrets and the values of headers: import makes the same subscriptions of
/// it, with the same secrets, settings and ids in the contracts of marea and agentmessage. Their external_id is their id
/// here. Not written: subscriptions of restricted API keys, whose restriction has no column, and those that their tenant's
/// secret signs (then the exit code is 1); key pairs; a rotated secret that still signs beside the current one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing export --format csv
  waxwing export --with-secrets --data-dir ./waxwing-data --output subscriptions.json     (the server is stopped)")]
pub(super) struct Export {
    /// What is written
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    format: Format,
    /// Only those of this tenant, by id or external id [default: of every tenant that the key sees]
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Write to a file that only you can read [default: the standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<String>,
    /// Read the store of a stopped server in this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["url", "key"])]
    data_dir: Option<String>,
    /// Write signing secrets and the values of headers, too: a server tells them to nobody
    #[arg(long, requires = "data_dir")]
    with_secrets: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// The rows, and what could not be one.
#[derive(Default)]
struct Exported {
    rows: Vec<Map<String, Value>>,
    /// How many belong to restricted keys.
    restricted: usize,
    /// How many their tenant's secret signs.
    signed_by_tenant: usize,
    /// How many have headers whose values are not written.
    headers_hidden: usize,
}

impl Export {
    pub(super) fn run(self, context: &Context) -> Result<Verdict, Failure> {
        let Self { format, tenant, output, data_dir, with_secrets, server } = self;
        let exported = if data_dir.is_some() {
            on_stopped(data_dir, context, async |store| {
                from_store(&store.catalogue(), tenant.as_deref(), with_secrets)
            })??
        } else {
            from_server(&Server::find(&server, context, &context.config(&Args::default())?)?, tenant.as_deref())?
        };
        let Exported { rows, restricted, signed_by_tenant, headers_hidden } = exported;
        let text = rows::write(&rows, format);
        match output {
            Some(file) => write_private(&file, &text)?,
            None => print(text.trim_end_matches('\n'))?,
        }
        eprintln!("{} subscriptions", rows.len());
        if headers_hidden > 0 {
            eprintln!("{headers_hidden} of them have headers that are left out, since their values are secret");
        }
        if restricted > 0 {
            eprintln!(
                "{restricted} more belong to restricted API keys and are left out: their restriction has no column"
            );
        }
        if signed_by_tenant > 0 {
            eprintln!(
                "{signed_by_tenant} more are left out, since their tenant's secret signs them: an import cannot set that one"
            );
        }
        Ok(if restricted + signed_by_tenant > 0 { Verdict::Wrong } else { Verdict::Good })
    }
}

fn write_private(file: &str, text: &str) -> Result<(), Failure> {
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file);
    let written = opened.and_then(|mut opened| opened.write_all(text.as_bytes()));
    written.map_err(|error| Failure::Failed(format!("`{file}` cannot be written: {error}")))
}

impl Exported {
    /// `row` has the members of the API, null included, and more.
    fn add(&mut self, tenant: Option<&str>, id: &str, mut row: Map<String, Value>) {
        row.retain(|name, value| rows::columns().any(|column| column == name) && !value.is_null());
        row.insert(EXTERNAL_ID.to_owned(), id.into());
        if let Some(tenant) = tenant {
            row.insert(TENANT.to_owned(), tenant.into());
        }
        for name in ["headers", "metadata", "channels"] {
            if row.get(name).is_some_and(is_empty) {
                row.remove(name);
            }
        }
        self.rows.push(row);
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

fn from_server(server: &Server, tenant: Option<&str>) -> Result<Exported, Failure> {
    let mut exported = Exported::default();
    let tenants = match tenant {
        Some(tenant) => vec![Some(tenant.to_owned())],
        None => tenants_of(server)?,
    };
    for tenant in tenants {
        for object in server.list("/v1/webhook-subscriptions", tenant.as_deref())? {
            let (Some(id), Some(attributes)) = (object["id"].as_str(), object["attributes"].as_object()) else {
                return Err(Failure::Failed("the server answers with something that is no subscription".to_owned()));
            };
            if attributes.get("owner").and_then(Value::as_str) == Some("key") {
                exported.restricted += 1;
                continue;
            }
            if attributes.get("signing").and_then(Value::as_str) == Some(Signing::Tenant.name()) {
                exported.signed_by_tenant += 1;
                continue;
            }
            let mut row = attributes.clone();
            // Their values are masked.
            let headers = row.remove("headers");
            exported.headers_hidden += usize::from(headers.is_some_and(|headers| !is_empty(&headers)));
            exported.add(tenant.as_deref(), id, row);
        }
    }
    Ok(exported)
}

/// How rows name the tenants that the key sees; none stands for the default one, or the key's own.
fn tenants_of(server: &Server) -> Result<Vec<Option<String>>, Failure> {
    // A key that may not look at tenants has one of its own, which needs no name.
    if let Err(Refused { status: 403, .. }) = server.try_get("/v1/tenants?page[size]=1", None)? {
        return Ok(vec![None]);
    }
    let name = |object: &Value| {
        let id = object["id"].as_str()?;
        let external_id = object["attributes"]["external_id"].as_str();
        named(id, external_id)
    };
    Ok(server.list("/v1/tenants", None)?.iter().map(name).collect())
}

fn named(id: &str, external_id: Option<&str>) -> Option<String> {
    if id == TenantId::DEFAULT.to_string() {
        return None;
    }
    Some(if id == TenantId::SYSTEM.to_string() { "system" } else { external_id.unwrap_or(id) }.to_owned())
}

fn from_store(catalogue: &Catalogue, tenant: Option<&str>, with_secrets: bool) -> Result<Exported, Failure> {
    let mut exported = Exported::default();
    let is_wanted = |entry: &TenantEntry| {
        let id = entry.tenant.id;
        let own = named(&id.to_string(), entry.tenant.external_id.as_ref().map(|id| id.as_str()));
        tenant.is_none_or(|asked| asked == id.to_string() || asked == own.as_deref().unwrap_or("default"))
    };
    let mut is_found = tenant.is_none();
    for entry in catalogue.tenants().filter(|entry| is_wanted(entry)) {
        is_found = true;
        let external_id = entry.tenant.external_id.as_ref().map(|id| id.as_str());
        let name = named(&entry.tenant.id.to_string(), external_id);
        for subscription in entry.subscriptions() {
            if matches!(subscription.owner, Owner::Key { .. }) {
                exported.restricted += 1;
                continue;
            }
            if subscription.signing == Signing::Tenant {
                exported.signed_by_tenant += 1;
                continue;
            }
            exported.headers_hidden += usize::from(!with_secrets && !subscription.headers.is_empty());
            exported.add(name.as_deref(), &subscription.id.to_string(), members(subscription, with_secrets));
        }
    }
    match tenant {
        Some(asked) if !is_found => Err(Failure::Usage(format!("--tenant: there is no tenant `{asked}`"))),
        _ => Ok(exported),
    }
}

/// As the API takes it.
fn members(subscription: &Subscription, with_secrets: bool) -> Map<String, Value> {
    let Subscription {
        id: _,
        tenant: _,
        url,
        events,
        description,
        is_active,
        disabled_reason: _,
        max_in_flight,
        timeout_seconds,
        rate_limit,
        retry_schedule,
        ordering,
        circuit_breaker,
        headers,
        channels,
        public_ids: _,
        owner: _,
        profile,
        api_version,
        signing: _,
        envelope,
        metadata,
        secret,
        secret_version: _,
        previous_secret: _,
        key_pairs: _,
        revision: _,
        created_at: _,
        updated_at: _,
    } = subscription;
    let headers: Map<String, Value> =
        headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_str().into())).collect();
    let members = json!({
        "url": url.as_str(),
        "events": events.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "description": description,
        "is_active": is_active,
        "max_in_flight": max_in_flight,
        "timeout_seconds": timeout_seconds,
        "rate_limit": rate_limit.map(NonZeroU16::get),
        "retry_schedule": retry_schedule.as_ref().map(|schedule| schedule.retry_waits().collect::<Vec<_>>()),
        "ordering": ordering.name(),
        "circuit_breaker": circuit_breaker,
        "headers": with_secrets.then_some(headers),
        "channels": channels.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "marea_id": subscription.marea_id().to_string(),
        "agentmessage_id": subscription.agentmessage_id().to_string(),
        "profile": profile.name(),
        "api_version": api_version.map(ApiVersion::name),
        "envelope": envelope.name(),
        "metadata": metadata,
        "secret": with_secrets.then(|| profile.show_secret(secret)),
    });
    match members {
        Value::Object(members) => members,
        _ => unreachable!("it was written as an object"),
    }
}
