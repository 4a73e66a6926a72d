//! `waxwing users` and `waxwing setup-link`: who signs in at the console, and links to choose a password with.

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::Server;
use super::place::Place;
use super::stopped::on_stopped;
use super::table::table;
use super::{Context, Failure, Verdict, print, print_json};
use crate::app;
use crate::clock::Clock;
use crate::config::Args;
use crate::domain::obstacle::Obstacle;
use crate::domain::user::{Email, Invited, User};
use crate::store::{Store, StoreError};

/// List the console's users, and let one choose a new password
///
/// Asks a running server. With --data-dir it works on the store of a stopped one instead.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing users list
  waxwing users reset-password ann@example.com
  waxwing users reset-password ann@example.com --data-dir ./waxwing-data     (the server is stopped)")]
pub(super) struct Users {
    #[command(subcommand)]
    command: UsersCommand,
}

#[derive(Debug, Subcommand)]
enum UsersCommand {
    /// List users, oldest first
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Print a link, good for 30 minutes and once, where the user chooses a new password; it ends the user's sessions
    ResetPassword {
        /// The user's e-mail address
        #[arg(value_name = "EMAIL")]
        email: Email,
        #[command(flatten)]
        place: Place,
    },
}

/// Print a link for the first user of the console
///
/// Good for 30 minutes and once; an earlier link ends. When there is a user, `waxwing users reset-password` is what helps.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing setup-link
  waxwing setup-link --data-dir ./waxwing-data     (the server is stopped)")]
pub(super) struct SetupLink {
    #[command(flatten)]
    place: Place,
}

/// A user as it is printed.
struct Shown {
    id: String,
    email: String,
    name: String,
    role: String,
    last_signed_in_at: String,
}

impl Users {
    pub(super) fn run(self, context: &Context) -> Result<Verdict, Failure> {
        match self.command {
            UsersCommand::List { place } => list(place, context),
            UsersCommand::ResetPassword { email, place } => reset_password(&email, place, context),
        }
    }
}

impl SetupLink {
    pub(super) fn run(self, context: &Context) -> Result<Verdict, Failure> {
        let Self { place } = self;
        let json = place.json;
        let url = match &place.data_dir {
            Some(_) => link_on_stopped(place, context, |_| Ok(Invited::FirstOwner))?,
            None => link_of(&place.server(context)?.post("/v1/setup/invitation", "{}", None)?.body),
        };
        show_link(&url, json)
    }
}

fn list(place: Place, context: &Context) -> Result<Verdict, Failure> {
    let json = place.json;
    let shown: Vec<Shown> = match &place.data_dir {
        Some(_) => on_stopped(place.data_dir, context, async |store| {
            store.catalogue().users().map(|user| Shown::from_store(user)).collect()
        })?,
        None => objects(&place.server(context)?)?.iter().map(Shown::from_api).collect(),
    };
    if json {
        print_json(&shown.iter().map(Shown::to_json).collect())?;
        return Ok(Verdict::Good);
    }
    let head = ["ID", "E-MAIL", "NAME", "ROLE", "SIGNED IN"].map(str::to_owned).to_vec();
    let rows = shown
        .into_iter()
        .map(|Shown { id, email, name, role, last_signed_in_at }| vec![id, email, name, role, last_signed_in_at]);
    print(&table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()))?;
    Ok(Verdict::Good)
}

/// Oldest first.
fn objects(server: &Server) -> Result<Vec<Value>, Failure> {
    let mut all = server.list("/v1/users", None)?;
    // The API answers the newest first.
    all.reverse();
    Ok(all)
}

fn reset_password(email: &Email, place: Place, context: &Context) -> Result<Verdict, Failure> {
    let json = place.json;
    let unknown = || Failure::Failed(format!("there is no user {email}"));
    let url = match &place.data_dir {
        Some(_) => link_on_stopped(place, context, |store| {
            store.catalogue().user_by_email(email).map(|user| Invited::User(user.id)).ok_or_else(unknown)
        })?,
        None => {
            let server = place.server(context)?;
            let all = objects(&server)?;
            let user = all.iter().find(|user| user["attributes"]["email"] == email.as_str()).ok_or_else(unknown)?;
            let id = user["id"].as_str().unwrap_or_default();
            link_of(&server.post(&format!("/v1/users/{id}/invitation"), "{}", None)?.body)
        }
    };
    show_link(&url, json)
}

/// A link to the address that the server would listen on.
fn link_on_stopped(
    place: Place,
    context: &Context,
    whom: impl Fn(&Store) -> Result<Invited, Failure>,
) -> Result<String, Failure> {
    let base = app::base_url(&context.config(&Args::default())?);
    on_stopped(place.data_dir, context, async |store| {
        let to = whom(store)?;
        let made = app::make_link(store, &Clock::System, to, &base).await;
        made.map_err(|error| match error {
            StoreError::InvalidState(Obstacle::UserExists) => {
                Failure::Failed("there is a user already: `waxwing users reset-password EMAIL` makes a link".to_owned())
            }
            error => Failure::Failed(error.to_string()),
        })
    })?
}

fn link_of(answer: &Value) -> String {
    answer["data"]["attributes"]["invitation_url"].as_str().unwrap_or_default().to_owned()
}

fn show_link(url: &str, json: bool) -> Result<Verdict, Failure> {
    if json {
        print_json(&json!({ "invitation_url": url }))?;
    } else {
        eprintln!("Good for 30 minutes, and once:");
        print(url)?;
    }
    Ok(Verdict::Good)
}

impl Shown {
    fn from_store(user: &User) -> Self {
        let state = match user.last_signed_in_at {
            Some(at) => at.to_string(),
            None => "never".to_owned(),
        };
        Self {
            id: user.id.to_string(),
            email: user.email.to_string(),
            name: user.name.clone(),
            role: user.role.name().to_owned(),
            last_signed_in_at: state,
        }
    }

    fn from_api(object: &Value) -> Self {
        let attributes = &object["attributes"];
        let text = |value: &Value, absent: &str| value.as_str().unwrap_or(absent).to_owned();
        Self {
            id: text(&object["id"], "?"),
            email: text(&attributes["email"], "?"),
            name: text(&attributes["name"], ""),
            role: text(&attributes["role"], "?"),
            last_signed_in_at: text(&attributes["last_signed_in_at"], "never"),
        }
    }

    fn to_json(&self) -> Value {
        let Self { id, email, name, role, last_signed_in_at } = self;
        json!({ "id": id, "email": email, "name": name, "role": role, "last_signed_in_at": last_signed_in_at })
    }
}
