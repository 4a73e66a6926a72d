//! `waxwing import`: subscriptions of another sender, with the secrets and ids that their receivers know.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use url::Url;

use super::client::{Refused, Server, ServerArgs};
use super::rows::{self, EXTERNAL_ID, Format, Row, TENANT};
use super::{Context, Failure, Verdict, print, print_json, read_named};
use crate::config::Args;
use crate::domain::event_type::EventTypeName;
use crate::domain::profile::Profile;
use crate::domain::tenant::{ExternalId, SUBSCRIPTIONS_MAX_DEFAULT};

/// Take over subscriptions from another sender
///
/// Makes a subscription of each row, with its own secret and public ids, so that its receiver need not change anything.
/// Rows that are refused are told with the reason, and the others go on. A row whose subscription is there already (the
/// same marea_id or agentmessage_id, or, in a row without them, the same url, events and channels) makes nothing, so the
/// same file can be imported again. Exit code 0: every row is there; 1: some are not.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing import subscriptions.csv --dry-run
  waxwing import subscriptions.csv --create-event-types
  waxwing import - --create-tenants --url https://hooks.example.com --key ww_… < subscriptions.json

Columns of CSV, members of the objects in a JSON array: url, events, secret; and if you want profile, description,
is_active, channels, headers, metadata, marea_id, agentmessage_id, tenant, envelope, max_in_flight, timeout_seconds,
rate_limit, retry_schedule, ordering, circuit_breaker, and external_id, which is for the report only. In a cell, lists have
spaces between their items, and headers and metadata are JSON objects.")]
pub(super) struct Import {
    /// A file with rows, or - for the standard input
    #[arg(value_name = "FILE|-")]
    file: String,
    /// What the file is [default: what it looks like]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Check every row as if it were imported, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// The tenant of rows that name none, by id or external id [default: the key's own, else `default`]
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Make the tenants that do not exist; `tenant` is then their external id and name
    #[arg(long)]
    create_tenants: bool,
    /// Make the event types that do not exist
    #[arg(long)]
    create_event_types: bool,
    #[command(flatten)]
    server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Import {
    pub(super) fn run(self, context: &Context) -> Result<Verdict, Failure> {
        let Self { file, format, dry_run, tenant, create_tenants, create_event_types, server, json } = self;
        let bytes = read_named(&file)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Failure::Usage(format!("`{file}` is not UTF-8 text")))?;
        let rows = rows::read(text, format)?;
        let server = Server::find(&server, context, &context.config(&Args::default())?)?;
        let mut importer = Importer {
            server,
            dry_run,
            tenant,
            create_tenants,
            create_event_types,
            tenants: BTreeMap::new(),
            event_types: None,
            created: Vec::new(),
        };
        let mut report = Report { dry_run, rows: Vec::with_capacity(rows.len()) };
        let mut failure = None;
        for row in rows {
            let place = row.place.clone();
            let name = row.members.as_ref().ok().and_then(|members| members.get(EXTERNAL_ID)).map(text_of);
            match importer.take(row) {
                Ok(outcome) => report.rows.push(Told { place, name, outcome }),
                // What was done before it is told all the same.
                Err(why) => {
                    failure = Some(why);
                    break;
                }
            }
        }
        if json {
            print_json(&report.to_json(&importer.created))?;
        } else {
            print(&report.shown(&importer.created))?;
        }
        match failure {
            Some(why) => Err(why),
            None if report.count(|outcome| matches!(outcome, Outcome::Refused(_))) > 0 => Ok(Verdict::Wrong),
            None => Ok(Verdict::Good),
        }
    }
}

/// What became of a row, or would.
enum Outcome {
    /// The new subscription's id; none in a dry run.
    Made(Option<String>),
    /// It is there as this one.
    There(String),
    Refused(Vec<String>),
}

struct Importer {
    server: Server,
    dry_run: bool,
    tenant: Option<String>,
    create_tenants: bool,
    create_event_types: bool,
    /// By how rows name them; none is the key's own or the default one.
    tenants: BTreeMap<Option<String>, Owner>,
    /// The names of those that exist; none: not asked yet.
    event_types: Option<BTreeSet<String>>,
    /// Tenants and event types that were made for the rows, or would be.
    created: Vec<String>,
}

/// A tenant, and what it has.
struct Owner {
    /// False in a dry run that would make it.
    is_there: bool,
    subscriptions: Vec<Known>,
    /// How many it may have, if that could be found out.
    subscriptions_max: Option<usize>,
}

/// What tells a subscription from others.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    /// Its id, or in which row it stands.
    name: String,
    url: String,
    events: BTreeSet<String>,
    channels: BTreeSet<String>,
    marea_id: Option<String>,
    agentmessage_id: Option<String>,
}

impl Known {
    fn of(name: String, members: &Map<String, Value>) -> Self {
        let text = |member: &str| members.get(member).and_then(Value::as_str).map(str::to_owned);
        let texts = |member: &str| {
            let items = members.get(member).and_then(Value::as_array).into_iter().flatten();
            items.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let url = text("url").unwrap_or_default();
        Self {
            name,
            // As the server writes it.
            url: Url::parse(&url).map_or(url, String::from),
            events: texts("events"),
            channels: texts("channels"),
            marea_id: text("marea_id"),
            agentmessage_id: text("agentmessage_id").map(|id| id.to_ascii_lowercase()),
        }
    }

    /// Whether `row` is this one; or why it can be neither this one nor another.
    fn is_in(&self, row: &Self) -> Result<bool, String> {
        let is_same = |known: &Option<String>, asked: &Option<String>| asked.is_some() && known == asked;
        let ids = [
            ("marea_id", &self.marea_id, &row.marea_id),
            ("agentmessage_id", &self.agentmessage_id, &row.agentmessage_id),
        ];
        if let Some((member, ..)) = ids.iter().find(|(_, known, asked)| is_same(known, asked)) {
            if self.url == row.url {
                return Ok(true);
            }
            return Err(format!("its {member} belongs to {}, which has another url", self.name));
        }
        let has_ids = row.marea_id.is_some() || row.agentmessage_id.is_some();
        Ok(!has_ids && self.url == row.url && self.events == row.events && self.channels == row.channels)
    }
}

/// Refused for what the tenant has, which is not the one that a dry run asked.
const OF_THE_TENANT: [&str; 2] = ["limit_exceeded", "already_exists"];

impl Importer {
    /// `Err` ends the import: the server cannot be asked any more, or the key may not do this.
    fn take(&mut self, row: Row) -> Result<Outcome, Failure> {
        let Row { place, members } = row;
        let mut members = match members {
            Ok(members) => members,
            Err(problem) => return Ok(refused(problem)),
        };
        members.remove(EXTERNAL_ID);
        let tenant = match members.remove(TENANT) {
            None | Some(Value::Null) => self.tenant.clone(),
            Some(Value::String(named)) => Some(named),
            Some(_) => return Ok(refused("`tenant` is not a string")),
        };
        if !members.get("secret").is_some_and(Value::is_string) {
            return Ok(refused("it has no secret: its receiver could verify nothing"));
        }
        if let Err(problem) = self.find_owner(&tenant)? {
            return Ok(refused(problem));
        }
        let wanted = Known::of(place, &members);
        let owner = &self.tenants[&tenant];
        for known in &owner.subscriptions {
            match known.is_in(&wanted) {
                Ok(true) => return Ok(Outcome::There(known.name.clone())),
                Ok(false) => {}
                Err(problem) => return Ok(refused(problem)),
            }
        }
        if let Some(max) = owner.subscriptions_max.filter(|max| owner.subscriptions.len() >= *max) {
            return Ok(refused(format!("limit_exceeded: its tenant may have no more than {max} subscriptions")));
        }
        let missing = match self.missing_event_types(&wanted)? {
            Ok(missing) => missing,
            Err(problems) => return Ok(Outcome::Refused(problems)),
        };
        let is_new_tenant = !self.tenants[&tenant].is_there;
        if self.dry_run {
            self.as_if(&mut members, &missing, is_new_tenant);
        }
        let asked = if is_new_tenant { None } else { tenant.as_deref() };
        let outcome =
            match self.server.try_post("/v1/webhook-subscriptions", &Value::Object(members).to_string(), asked)? {
                Ok(answer) => Outcome::Made(answer.body["data"]["id"].as_str().map(str::to_owned)),
                Err(Refused { codes, .. })
                    if is_new_tenant && codes.iter().all(|code| OF_THE_TENANT.contains(&code.as_str())) =>
                {
                    Outcome::Made(None)
                }
                Err(Refused { status: 401 | 403 | 500.., lines, .. }) => {
                    return Err(Failure::Failed(lines.join("\n  ")));
                }
                Err(Refused { lines, .. }) => {
                    Outcome::Refused(lines.into_iter().map(|line| self.hinted(line)).collect())
                }
            };
        if let Outcome::Made(id) = &outcome {
            let name = id.clone().unwrap_or_else(|| format!("the row in {}", wanted.name));
            let owner = self.tenants.get_mut(&tenant).expect("it was found above");
            owner.subscriptions.push(Known { name, ..wanted });
        }
        Ok(outcome)
    }

    /// Has the server check a row without making it: what the row would find made before it is taken as given.
    fn as_if(&self, members: &mut Map<String, Value>, missing: &BTreeSet<String>, is_new_tenant: bool) {
        members.insert("dry_run".to_owned(), true.into());
        if is_new_tenant {
            // The profile of new tenants, whatever that of the tenant is which is asked instead.
            members.entry("profile").or_insert_with(|| Profile::default().name().into());
        }
        if let Some(Value::Array(events)) = members.get_mut("events")
            && !missing.is_empty()
        {
            events.retain(|event| !event.as_str().is_some_and(|event| missing.contains(event)));
            if events.is_empty() {
                events.push("*".into());
            }
        }
    }

    fn hinted(&self, line: String) -> String {
        // One that is archived is there.
        if line.starts_with("unknown_event_type") && !line.ends_with("is archived") && !self.create_event_types {
            return format!("{line} (--create-event-types makes it)");
        }
        line
    }

    /// The inner `Err` refuses the row.
    fn find_owner(&mut self, tenant: &Option<String>) -> Result<Result<(), String>, Failure> {
        if self.tenants.contains_key(tenant) {
            return Ok(Ok(()));
        }
        let mut is_there = true;
        if let Some(named) = tenant {
            if named.parse::<ExternalId>().is_err() {
                return Ok(Err(format!("`{named}` cannot be a tenant's id or external id")));
            }
            is_there = match self.server.try_get(&format!("/v1/tenants/{named}"), None)? {
                Ok(_) => true,
                Err(Refused { status: 404, .. }) => false,
                // A key that may not look at tenants may still be one of this tenant.
                Err(Refused { status: 403, .. }) => true,
                Err(refused) => return Err(refused.into()),
            };
            if !is_there && !self.create_tenants {
                return Ok(Err(format!("there is no tenant `{named}` (--create-tenants makes it)")));
            }
            if !is_there && !self.dry_run {
                let body = json!({ "name": named, "external_id": named }).to_string();
                if let Err(refused) = self.server.try_post("/v1/tenants", &body, None)? {
                    return if refused.status == 403 { Err(refused.into()) } else { Ok(Err(refused.lines.join("; "))) };
                }
                is_there = true;
                self.created.push(format!("tenant {named}"));
            } else if !is_there {
                self.created.push(format!("tenant {named}"));
            }
        }
        let owner = if is_there {
            Owner {
                is_there,
                subscriptions: self.subscriptions_of(tenant.as_deref())?,
                subscriptions_max: self.subscriptions_max_of(tenant.as_deref())?,
            }
        } else {
            let max = usize::try_from(SUBSCRIPTIONS_MAX_DEFAULT).ok();
            Owner { is_there, subscriptions: Vec::new(), subscriptions_max: max }
        };
        self.tenants.insert(tenant.clone(), owner);
        Ok(Ok(()))
    }

    fn subscriptions_of(&self, tenant: Option<&str>) -> Result<Vec<Known>, Failure> {
        let objects = self.server.list("/v1/webhook-subscriptions", tenant)?;
        let known = |object: &Value| {
            let name = object["id"].as_str().unwrap_or_default().to_owned();
            Some(Known::of(name, object["attributes"].as_object()?))
        };
        Ok(objects.iter().filter_map(known).collect())
    }

    /// None when the key may not know it: then the server says so when it is reached.
    fn subscriptions_max_of(&self, tenant: Option<&str>) -> Result<Option<usize>, Failure> {
        let answer = self.server.try_get(&format!("/v1/tenants/{}", tenant.unwrap_or("default")), None)?;
        let max = answer.ok().and_then(|answer| answer.body["data"]["attributes"]["subscriptions_max"].as_u64());
        Ok(max.and_then(|max| usize::try_from(max).ok()))
    }

    /// Makes the event types that the row names and that do not exist, if that was asked for; answers with their names.
    /// The inner `Err` refuses the row.
    fn missing_event_types(&mut self, row: &Known) -> Result<Result<BTreeSet<String>, Vec<String>>, Failure> {
        let mut missing = BTreeSet::new();
        if !self.create_event_types {
            return Ok(Ok(missing));
        }
        if self.event_types.is_none() {
            let objects = self.server.list("/v1/event-types", None)?;
            let names = objects.iter().filter_map(|object| object["attributes"]["name"].as_str());
            self.event_types = Some(names.map(str::to_owned).collect());
        }
        let known = self.event_types.as_mut().expect("it was just asked");
        // A pattern asks for no type in particular, and what is no name is the server's to refuse.
        for name in row.events.iter().filter(|name| name.parse::<EventTypeName>().is_ok()) {
            // In a dry run, one that a row before this would make is still unknown to the server.
            let created = format!("event type {name}");
            if known.contains(name) && !(self.dry_run && self.created.contains(&created)) {
                continue;
            }
            if !self.dry_run {
                let body = json!({ "name": name }).to_string();
                match self.server.try_post("/v1/event-types", &body, None)? {
                    Ok(_) | Err(Refused { status: 409, .. }) => {}
                    Err(refused) if refused.status == 403 => return Err(refused.into()),
                    Err(Refused { lines, .. }) => return Ok(Err(lines)),
                }
            }
            missing.insert(name.clone());
            if known.insert(name.clone()) {
                self.created.push(created);
            }
        }
        Ok(Ok(missing))
    }
}

fn refused(problem: impl Into<String>) -> Outcome {
    Outcome::Refused(vec![problem.into()])
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

struct Report {
    dry_run: bool,
    rows: Vec<Told>,
}

struct Told {
    place: String,
    /// What the other sender calls it.
    name: Option<String>,
    outcome: Outcome,
}

impl Report {
    fn count(&self, is_so: impl Fn(&Outcome) -> bool) -> usize {
        self.rows.iter().filter(|told| is_so(&told.outcome)).count()
    }

    fn counts(&self) -> [usize; 3] {
        [
            self.count(|outcome| matches!(outcome, Outcome::Made(_))),
            self.count(|outcome| matches!(outcome, Outcome::There(_))),
            self.count(|outcome| matches!(outcome, Outcome::Refused(_))),
        ]
    }

    fn shown(&self, created: &[String]) -> String {
        let verb = if self.dry_run { "would make" } else { "made" };
        let mut lines: Vec<String> = created.iter().map(|thing| format!("{verb} {thing}")).collect();
        for Told { place, name, outcome } in &self.rows {
            let name = name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
            let outcome = match outcome {
                Outcome::Made(Some(id)) => format!("made {id}"),
                Outcome::Made(None) => "would be made".to_owned(),
                Outcome::There(id) => format!("is there already: {id}"),
                Outcome::Refused(problems) => format!("REFUSED: {}", problems.join("\n    ")),
            };
            lines.push(format!("{place}{name}: {outcome}"));
        }
        let [made, there, refused] = self.counts();
        let made = if self.dry_run { format!("{made} would be made") } else { format!("{made} made") };
        let end = if self.dry_run { "; this was a dry run, and nothing was changed" } else { "" };
        lines.push(format!("{} rows: {made}, {there} there already, {refused} refused{end}", self.rows.len()));
        lines.join("\n")
    }

    fn to_json(&self, created: &[String]) -> Value {
        let row = |Told { place, name, outcome }: &Told| {
            let (word, id, problems): (_, Option<&String>, &[String]) = match outcome {
                Outcome::Made(id) => (if self.dry_run { "would_be_made" } else { "made" }, id.as_ref(), &[]),
                Outcome::There(id) => ("there_already", Some(id), &[]),
                Outcome::Refused(problems) => ("refused", None, problems),
            };
            json!({ "place": place, "external_id": name, "outcome": word, "id": id, "problems": problems })
        };
        let [made, there, refused] = self.counts();
        json!({
            "dry_run": self.dry_run, "created": created, "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "made": made, "there_already": there, "refused": refused,
        })
    }
}
