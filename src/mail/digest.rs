//! What is to be said of one kind of news, in one mail.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::Mail;
use crate::domain::id::EventId;
use crate::domain::time::Timestamp;

/// So many are told with all that they say: the others are counted.
const LINES_MAX: usize = 20;
/// Before a mail that a server refuses says less.
const REFUSALS_MAX: u32 = 3;
/// Of a value: the rest is in the event.
const VALUE_CHARS_MAX: usize = 500;

/// An event, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub id: EventId,
    pub at: Timestamp,
    /// JSON
    pub data: Bytes,
}

/// Events of one kind that no mail told of yet.
#[derive(Debug, Default)]
pub(super) struct Digest {
    /// The oldest first.
    lines: Vec<Line>,
    left_out: u64,
    /// Of the first of them.
    oldest: Option<EventId>,
    /// How often in a row a server would not have this mail.
    refusals: u32,
    sent_at: Option<Timestamp>,
}

impl Digest {
    pub fn take(&mut self, line: Line) {
        self.oldest.get_or_insert(line.id);
        if self.lines.len() < LINES_MAX && self.refusals < REFUSALS_MAX {
            self.lines.push(line);
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    pub fn count(&self) -> u64 {
        (self.lines.len() as u64).saturating_add(self.left_out)
    }

    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The mail that may go now. None: there is nothing to say, or the last one was not long ago.
    pub fn due(&self, kind: &str, pause: Duration, now: Timestamp, instance: Option<&str>) -> Option<Mail> {
        let first = self.oldest?;
        if self.sent_at.is_some_and(|at| now < at.plus(pause)) {
            return None;
        }
        let count = self.count();
        let subject = if count == 1 { format!("[Waxwing] {kind}") } else { format!("[Waxwing] {kind} ({count})") };
        let mut text = instance.map(|url| format!("{url}\n\n")).unwrap_or_default();
        for Line { id, at, data } in &self.lines {
            text += &format!("{at}  {kind}  {id}\n{}\n", shown(data));
        }
        if self.left_out > 0 {
            text += &format!("And {} more: see the events of tenant system.\n\n", self.left_out);
        }
        text += "What each kind means is in the documentation, at /docs. How often mail comes is set with mail.every_minutes.\n";
        Some(Mail { id: format!("{kind}.{}", first), subject, text })
    }

    /// The server would not have this mail, whatever it thinks of others: URLs and errors in it are what strangers wrote. After
    /// some times it only says how many there are.
    pub fn refused(&mut self) {
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals >= REFUSALS_MAX {
            self.left_out = self.count();
            self.lines.clear();
        }
    }

    pub fn sent(&mut self, now: Timestamp) {
        *self = Self { sent_at: Some(now), ..Self::default() };
    }
}

/// What an event says, a line for each of its values.
fn shown(data: &[u8]) -> String {
    let data: Value = serde_json::from_slice(data).unwrap_or_default();
    let line = |(name, value): (&String, &Value)| {
        let text = match value {
            Value::Null => return None,
            // What stands behind it may be a token of the receiver's.
            Value::String(text) if name == "url" => text.split('?').next().unwrap_or_default().to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let text: String = text.chars().filter(|character| !character.is_control()).take(VALUE_CHARS_MAX).collect();
        Some(format!("  {name}: {text}\n"))
    };
    data.as_object().into_iter().flatten().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_771_416_000_000);
    const PAUSE: Duration = Duration::from_secs(900);

    fn line(number: u32) -> Line {
        let data = format!(r#"{{"url":"https://example.com/in?token=horse","count":{number},"failing_since":null}}"#);
        Line { id: EventId::from_u128(u128::from(number)), at: NOW, data: data.into() }
    }

    #[test]
    fn a_mail_that_no_server_will_have_says_less() {
        let mut digest = Digest::default();
        (1..=22).for_each(|number| digest.take(line(number)));
        (1..REFUSALS_MAX).for_each(|_| digest.refused());
        assert!(digest.due("delivery.exhausted", PAUSE, NOW, None).unwrap().text.contains("example.com"));
        digest.refused();
        digest.take(line(23));
        let mail = digest.due("delivery.exhausted", PAUSE, NOW, None).unwrap();
        assert_eq!(mail.subject, "[Waxwing] delivery.exhausted (23)");
        assert!(!mail.text.contains("example.com") && mail.text.contains("And 23 more"), "{}", mail.text);
        digest.sent(NOW);
        digest.take(line(24));
        assert!(digest.due("delivery.exhausted", PAUSE, NOW.plus(PAUSE), None).unwrap().text.contains("example.com"));
    }

    #[test]
    fn many_of_a_kind_are_one_mail_and_the_next_one_waits() {
        let mut digest = Digest::default();
        assert_eq!(digest.due("delivery.exhausted", PAUSE, NOW, None), None);
        (1..=22).for_each(|number| digest.take(line(number)));
        let mail = digest.due("delivery.exhausted", PAUSE, NOW, Some("https://hooks.example.com")).unwrap();
        assert_eq!(mail.subject, "[Waxwing] delivery.exhausted (22)");
        assert_eq!(mail.text.matches("count: ").count(), LINES_MAX);
        assert!(mail.text.contains("And 2 more"), "{}", mail.text);
        assert!(mail.text.starts_with("https://hooks.example.com\n"), "{}", mail.text);

        digest.sent(NOW);
        digest.take(line(23));
        assert_eq!(digest.due("delivery.exhausted", PAUSE, NOW.plus(PAUSE - Duration::from_secs(1)), None), None);
        let mail = digest.due("delivery.exhausted", PAUSE, NOW.plus(PAUSE), None).unwrap();
        assert_eq!(mail.subject, "[Waxwing] delivery.exhausted");
        expect![[r#"
            2026-02-18T12:00:00.000Z  delivery.exhausted  evt_0000000000000000000000000q
              count: 23
              url: https://example.com/in

            What each kind means is in the documentation, at /docs. How often mail comes is set with mail.every_minutes.
        "#]]
        .assert_eq(&mail.text);
    }
}
