//! A request that is written once and then only has its numbers changed, so that making it costs next to nothing.

use std::ops::Range;

/// The spread of `{{lane N}}` over its lanes: neighbours in time are not neighbours in the tables of the store.
const LANE_STRIDE: u64 = 7919;
const NUMBER_DIGITS: usize = 10;
const TIME_DIGITS: usize = 20;

/// The bytes of a message, and where numbers stand in it. All have a fixed width, with leading zeros.
#[derive(Debug, Clone)]
pub struct Template {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

#[derive(Debug, Clone)]
struct Place {
    at: Range<usize>,
    number: Number,
    /// Which event of the message it belongs to.
    event: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    /// `{{seq}}`: counts events. 10 digits.
    Seq,
    /// `{{due}}`: when the event was due, as of `clock::monotonic_ns`. 20 digits.
    Due,
    /// `{{lane N}}`: one of 0..N for each event, each as often as any other. 10 digits.
    Lane(u64),
}

impl Template {
    /// Reads a request of `events` events: head lines without their ends, and a body in which the text of one event is
    /// repeated when there are more than one.
    ///
    /// # Panics
    ///
    /// On an unknown `{{…}}`: templates are written in this program.
    pub fn request(head: &[String], event: &str, events: u32) -> Self {
        let mut body = Self::text("");
        if events == 1 {
            body.write(event, 0);
        } else {
            body.write(r#"{"events":["#, 0);
            for number in 0..u64::from(events) {
                if number > 0 {
                    body.write(",", 0);
                }
                body.write(event, number);
            }
            body.write("]}", 0);
        }
        let mut request = Self::text("");
        for line in head {
            request.write(line, 0);
            request.write("\r\n", 0);
        }
        request.write(&format!("content-length: {}\r\n\r\n", body.bytes.len()), 0);
        let shift = request.bytes.len();
        request.bytes.extend(body.bytes);
        request.places.extend(
            body.places.into_iter().map(|place| Place { at: place.at.start + shift..place.at.end + shift, ..place }),
        );
        request
    }

    /// Reads a text that is filled as it stands.
    pub fn text(text: &str) -> Self {
        let mut template = Self { bytes: Vec::new(), places: Vec::new() };
        template.write(text, 0);
        template
    }

    fn write(&mut self, mut text: &str, event: u64) {
        while let Some((before, rest)) = text.split_once("{{") {
            let (name, after) = rest.split_once("}}").expect("a place in a template is closed");
            let (number, digits) = match name.split_once(' ') {
                None if name == "seq" => (Number::Seq, NUMBER_DIGITS),
                None if name == "due" => (Number::Due, TIME_DIGITS),
                Some(("lane", count)) => {
                    (Number::Lane(count.parse().expect("a template says how many lanes")), NUMBER_DIGITS)
                }
                _ => panic!("unknown place in a template: {name}"),
            };
            self.bytes.extend(before.as_bytes());
            let begins = self.bytes.len();
            self.bytes.resize(begins + digits, b'0');
            self.places.push(Place { at: begins..self.bytes.len(), number, event });
            text = after;
        }
        self.bytes.extend(text.as_bytes());
    }

    /// The message as it was filled last.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The message whose first event has this number.
    pub fn fill(&mut self, first_seq: u64, due_ns: u64) -> &[u8] {
        for Place { at, number, event } in &self.places {
            let seq = first_seq + event;
            let value = match *number {
                Number::Seq => seq,
                Number::Due => due_ns,
                Number::Lane(count) => lane_of(seq, count),
            };
            write_digits(&mut self.bytes[at.clone()], value);
        }
        &self.bytes
    }
}

/// Which lane the event with this number goes to.
pub fn lane_of(seq: u64, count: u64) -> u64 {
    seq.wrapping_mul(LANE_STRIDE) % count
}

/// `data` of an event, `bytes` long, in which a receiver finds when it was due and which one it is. The filler is
/// the same in all: nothing on the way compresses, and making a new one would cost the machine more than signing it.
pub fn data(bytes: usize) -> String {
    let (begin, end) = (r#"{"due":"{{due}}","seq":"{{seq}}","pad":""#, r#""}"#);
    let written = begin.len() - "{{due}}{{seq}}".len() + TIME_DIGITS + NUMBER_DIGITS + end.len();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = 1_u64;
    let filler: String = std::iter::repeat_with(|| {
        // xorshift64: any text that is not a run of one letter will do.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        alphabet[(state >> 58) as usize] as char
    })
    .take(bytes.saturating_sub(written))
    .collect();
    format!("{begin}{filler}{end}")
}

const DUE: &[u8] = br#"{"due":""#;
const SEQ: &[u8] = br#"","seq":""#;
/// What profiles put before `data` is shorter than this.
const SEARCHED_BYTES_MAX: usize = 512;

/// When the event of a delivery was due and which one it is: from the body that [`data`] became a part of.
pub fn due_and_seq(body: &[u8]) -> Option<(u64, u64)> {
    let searched = &body[..body.len().min(SEARCHED_BYTES_MAX)];
    let at = searched.windows(DUE.len()).position(|window| window == DUE)? + DUE.len();
    let (due, rest) = body[at..].split_at_checked(TIME_DIGITS)?;
    let (seq, _) = rest.strip_prefix(SEQ)?.split_at_checked(NUMBER_DIGITS)?;
    Some((read_digits(due)?, read_digits(seq)?))
}

/// Writes a number over all of a slot, with leading zeros.
pub fn write_digits(slot: &mut [u8], mut value: u64) {
    for digit in slot.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn read_digits(slot: &[u8]) -> Option<u64> {
    slot.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
#[allow(unused)]
mod tests {
    use std::collections::HashSet;

    use super::super::wire;
    use super::*;

    fn body_of(request: &[u8]) -> serde_json::Value {
        let wire::Found::Whole(message) = wire::find(request).unwrap() else { panic!("it is a whole request") };
        assert_eq!(message.bytes(), request.len());
        serde_json::from_slice(message.body).unwrap()
    }

    #[test]
    fn a_request_is_valid_http_with_valid_json_whatever_its_numbers() {
        let head = ["POST /v1/events HTTP/1.1".to_owned(), "host: a".to_owned()];
        let event = format!(r#"{{"type":"bench.t{{{{lane 10}}}}","data":{}}}"#, data(1024));
        let mut one = Template::request(&head, &event, 1);
        let mut three = Template::request(&head, &event, 3);
        for (seq, due) in [(0, 0), (7, 123), (9_999_999_990, u64::MAX)] {
            let body = body_of(one.fill(seq, due));
            assert_eq!(body["data"]["seq"], format!("{seq:010}"));
            assert_eq!(body["data"]["due"], format!("{due:020}"));
            assert_eq!(body["type"], format!("bench.t{:010}", lane_of(seq, 10)));
            assert_eq!(body["data"].to_string().len(), 1024);
            let body = body_of(three.fill(seq, due));
            let seqs: Vec<_> = body["events"].as_array().unwrap().iter().map(|event| &event["data"]["seq"]).collect();
            assert_eq!(seqs, [0, 1, 2].map(|event| format!("{:010}", seq + event)).iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_receiver_finds_the_numbers_in_any_envelope() {
        let mut request = Template::request(&[], &format!(r#"{{"type":"a","timestamp":"b","data":{}}}"#, data(300)), 1);
        assert_eq!(due_and_seq(request.fill(42, 17)), Some((17, 42)));
        for body in ["", "{}", r#"{"due":"1","seq":"2"}"#, r#"{"due":"0000000000000000001x","seq":"0000000001"}"#] {
            assert_eq!(due_and_seq(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn lanes_are_met_equally_often() {
        for count in [20, 500, 1000, 2000, 10_000] {
            let met: HashSet<_> = (0..count).map(|seq| lane_of(seq, count)).collect();
            assert_eq!(met.len() as u64, count, "{count} lanes");
        }
    }
}
