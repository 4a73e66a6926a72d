//! What publishing answers, written as text and not by way of wire types: nothing else is answered so often. The wire
//! types stay what the document shows, and a test holds the text against them.

use std::fmt::Display;
use std::io::Write;

use poem::http::StatusCode;

use crate::domain::event::Event;
use crate::domain::language::Language;
use crate::domain::time::Timestamp;
use crate::http::problem::Refusal;
use crate::http::reply::Reply;
use crate::store::{Published, StoreError};

/// An answer with one event seldom has more bytes.
const EVENT_BYTES: usize = 512;

/// 202 for a new event, 200 for one that was published before.
pub(super) fn one(published: &Published, now: Timestamp) -> Reply {
    let mut text = Text(Vec::with_capacity(EVENT_BYTES));
    text.raw(r#"{"data":{"#).event(&published.event, now).raw("}");
    if published.is_duplicate {
        text.raw(",").duplicate();
    }
    text.raw("}");
    let status = if published.is_duplicate { StatusCode::OK } else { StatusCode::ACCEPTED };
    Reply::of_json(status, text.0).header("location", format!("/v1/events/{}", published.event.id))
}

/// One member for each event of a batch, in order. The store's results take the places of the events that were not
/// refused before it was asked.
pub(super) fn batch(
    refusals: &[Option<Refusal>],
    results: &[Result<Published, StoreError>],
    request_id: &str,
    language: Language,
    now: Timestamp,
) -> Reply {
    let mut text = Text(Vec::with_capacity(EVENT_BYTES * refusals.len()));
    text.raw(r#"{"data":["#);
    let has_errors = refusals.iter().any(Option::is_some) || results.iter().any(Result::is_err);
    let mut results = results.iter();
    for (index, refusal) in refusals.iter().enumerate() {
        text.raw(if index == 0 { "{" } else { ",{" });
        match refusal {
            Some(refusal) => text.errors(refusal, request_id, language),
            None => match results.next().expect("accept answers each event") {
                Ok(Published { event, is_duplicate }) => {
                    text.event(event, now);
                    if *is_duplicate {
                        text.raw(",").duplicate();
                    }
                    &mut text
                }
                Err(error) => text.errors(&error.into(), request_id, language),
            },
        };
        text.raw("}");
    }
    text.raw("]}");
    let reply = Reply::of_json(StatusCode::OK, text.0);
    if has_errors { reply.in_language(language) } else { reply }
}

/// JSON in the making.
struct Text(Vec<u8>);

impl Text {
    fn raw(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// A string of characters that need no escapes.
    fn plain(&mut self, value: impl Display) -> &mut Self {
        write!(self.0, "\"{value}\"").expect("a vector takes everything");
        self
    }

    fn plain_or_null(&mut self, value: Option<impl Display>) -> &mut Self {
        match value {
            Some(value) => self.plain(value),
            None => self.raw("null"),
        }
    }

    fn number(&mut self, number: u32) -> &mut Self {
        write!(self.0, "{number}").expect("a vector takes everything");
        self
    }

    /// The members of an event as a resource object.
    fn event(&mut self, event: &Event, now: Timestamp) -> &mut Self {
        let Event {
            id,
            tenant,
            event_type,
            external_id,
            occurred_at,
            created_at,
            deliveries,
            data_bytes,
            channels,
            deliver_at,
            replay_of,
        } = event;
        // Ids, times and names are made of letters, digits and a few signs, none of which JSON escapes.
        self.raw(r#""type":"event","id":"#).plain(id);
        self.raw(r#","attributes":{"tenant_id":"#).plain(tenant);
        self.raw(r#","type":"#).plain(event_type);
        self.raw(r#","external_id":"#).plain_or_null(external_id.as_ref());
        self.raw(r#","occurred_at":"#).plain(occurred_at);
        self.raw(r#","created_at":"#).plain(created_at);
        self.raw(r#","state":"#).plain(state(event, now));
        self.raw(r#","deliveries_count":"#).number(*deliveries);
        self.raw(r#","data_bytes":"#).number(*data_bytes);
        self.raw(r#","channels":["#);
        for (index, channel) in channels.iter().enumerate() {
            self.raw(if index == 0 { "" } else { "," }).plain(channel);
        }
        self.raw(r#"],"deliver_at":"#).plain_or_null(deliver_at.as_ref());
        self.raw(r#","replay_of":"#).plain_or_null(replay_of.as_ref());
        self.raw("}")
    }

    fn duplicate(&mut self) -> &mut Self {
        self.raw(r#""meta":{"duplicate":true}"#)
    }

    fn errors(&mut self, refusal: &Refusal, request_id: &str, language: Language) -> &mut Self {
        self.raw(r#""errors":"#);
        let views = refusal.views(request_id, language);
        serde_json::to_writer(&mut self.0, &views).expect("errors have string keys and no numbers");
        self
    }
}

/// Nothing can have been delivered yet; of a first publication that is long ago, the list tells more.
fn state(event: &Event, now: Timestamp) -> &'static str {
    match event {
        event if event.deliveries == 0 => "unmatched",
        event if event.is_scheduled(now) => "scheduled",
        _ => "in_progress",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{EventId, TenantId};
    use crate::http::events::wire::{DuplicateMeta, EventStateName, attributes};
    use crate::http::reply::Object;
    use serde_json::{Value, json};

    fn events() -> [Event; 2] {
        let least = Event {
            id: EventId::from_u128(7),
            tenant: TenantId::DEFAULT,
            event_type: "order.paid".parse().unwrap(),
            external_id: None,
            occurred_at: Timestamp::from_millis(1),
            created_at: Timestamp::from_millis(2),
            deliveries: 0,
            data_bytes: 0,
            channels: Vec::new(),
            deliver_at: None,
            replay_of: None,
        };
        let most = Event {
            id: EventId::from_u128(u128::MAX),
            external_id: Some("A.z_9:-".parse().unwrap()),
            deliveries: u32::MAX,
            data_bytes: u32::MAX,
            channels: vec!["A.z_9:-".parse().unwrap(), "b".parse().unwrap()],
            deliver_at: Some(Timestamp::from_millis(1000)),
            replay_of: Some(EventId::from_u128(1)),
            ..least.clone()
        };
        [least, most]
    }

    /// By the types that the document shows.
    fn documented(event: &Event, now: Timestamp) -> String {
        let object = Object::new(event.id.to_string(), attributes(event, EventStateName(state(event, now))));
        serde_json::to_string(&object).unwrap()
    }

    fn body(reply: &Reply) -> String {
        String::from_utf8(reply.to_stored().body.to_vec()).unwrap()
    }

    #[test]
    fn the_answer_to_one_event_is_what_the_documented_types_would_write() {
        for event in events() {
            for now in [Timestamp::from_millis(999), Timestamp::from_millis(1000)] {
                let object = documented(&event, now);
                let new = Published { event: event.clone(), is_duplicate: false };
                assert_eq!(body(&one(&new, now)), format!(r#"{{"data":{object}}}"#));
                let known = Published { is_duplicate: true, ..new };
                let meta = serde_json::to_string(&DuplicateMeta { duplicate: true }).unwrap();
                assert_eq!(body(&one(&known, now)), format!(r#"{{"data":{object},"meta":{meta}}}"#));
            }
        }
    }

    #[test]
    fn each_event_of_a_batch_is_answered_in_its_place() {
        let [least, most] = events();
        let now = Timestamp::from_millis(0);
        let refused = || Refusal::from(StoreError::StorageFull);
        let results = [
            Ok(Published { event: least.clone(), is_duplicate: false }),
            Err(StoreError::ExternalIdConflict),
            Ok(Published { event: most.clone(), is_duplicate: true }),
        ];
        let refusals = [None, Some(refused()), None, None];
        let reply = batch(&refusals, &results, "the-request", Language::Portuguese, now);
        let answer: Value = serde_json::from_str(&body(&reply)).unwrap();
        let event = |event: &Event| -> Value { serde_json::from_str(&documented(event, now)).unwrap() };
        let mut repeated = event(&most);
        repeated["meta"] = json!({ "duplicate": true });
        let errors = |refusal: Refusal| json!({ "errors": refusal.views("the-request", Language::Portuguese) });
        let conflict = errors(StoreError::ExternalIdConflict.into());
        assert_eq!(answer, json!({ "data": [event(&least), errors(refused()), conflict, repeated] }));
    }
}
