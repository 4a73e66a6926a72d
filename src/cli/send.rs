//! `waxwing send`: publishes one event to a running server.

use serde::Serialize;
use serde_json::value::RawValue;

use super::client::{Server, ServerArgs};
use super::{Context, Failure, Verdict, print, print_json, read_named};
use crate::config::Args;

/// Publish an event to a running server
///
/// Prints the id of the event and how many deliveries it made. `data` is sent byte for byte as it is given.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing send order.paid --data '{\"order\":\"1001\",\"total\":\"49.90\"}'
  waxwing send order.paid --data @order.json --external-id order-1001-paid
  jq -c .order cart.json | waxwing send order.created --data - --tenant acme")]
pub(super) struct Send {
    /// The event's type, e.g. order.paid
    #[arg(value_name = "TYPE")]
    event_type: String,
    /// The event's data: JSON, @FILE, or - for the standard input
    #[arg(long, value_name = "JSON|@FILE|-")]
    data: String,
    /// Your own id of the event: the same again is published once
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// The tenant, by id or external id [default: the key's own, else `default`]
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
    /// Print the server's answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<&'a str>,
    data: &'a RawValue,
}

impl Send {
    pub(super) fn run(self, context: &Context) -> Result<Verdict, Failure> {
        let Self { event_type, data, external_id, tenant, server, json } = self;
        let data = read_data(&data)?;
        let body = Body { r#type: &event_type, external_id: external_id.as_deref(), data: &data };
        let body = serde_json::to_string(&body).expect("texts and JSON are always JSON");
        let config = context.config(&Args::default())?;
        let server = Server::find(&server, context, &config)?;
        let answer = server.post("/v1/events", &body, tenant.as_deref())?.body;
        if json {
            print_json(&answer)?;
            return Ok(Verdict::Good);
        }
        let id = answer["data"]["id"].as_str().unwrap_or("?");
        let deliveries = answer["data"]["attributes"]["deliveries_count"].as_u64();
        let outcome = match deliveries {
            _ if answer["meta"]["duplicate"] == true => "published before; nothing new is sent".to_owned(),
            Some(0) => "no subscription wants it; it is kept as `unmatched`".to_owned(),
            Some(1) => "1 delivery".to_owned(),
            Some(n) => format!("{n} deliveries"),
            None => "published".to_owned(),
        };
        print(&format!("{id}  {event_type}  {outcome}"))?;
        Ok(Verdict::Good)
    }
}

/// Checks that it is JSON, and keeps its bytes.
fn read_data(typed: &str) -> Result<Box<RawValue>, Failure> {
    let text = match typed.strip_prefix('@') {
        Some(file) => read_named(file)?,
        None if typed == "-" => read_named("-")?,
        None => typed.as_bytes().to_vec(),
    };
    serde_json::from_slice(&text).map_err(|error| {
        Failure::Usage(format!("--data is not JSON: {error}. For a text, quote it twice: --data '\"text\"'"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_goes_out_byte_for_byte() {
        for data in [r#"{"b":1.10,"a":1e400,"a":2}"#, r#"[ 1,  "\ud800" ]"#, "null", r#""é\u00e9""#] {
            let raw = read_data(data).unwrap();
            let body = serde_json::to_string(&Body { r#type: "a.b", external_id: None, data: &raw }).unwrap();
            assert_eq!(body, format!(r#"{{"type":"a.b","data":{data}}}"#));
        }
        assert!(matches!(read_data("{order: 1}"), Err(Failure::Usage(_))));
    }
}
