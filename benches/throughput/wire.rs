//! As much of HTTP/1.1 as both ends of the benchmark need: messages with a `content-length`, found in a buffer.

use std::fmt;

/// Longer heads than ours and Waxwing's are a mistake.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Where a whole message lies at the beginning of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The first line without its end: `POST /ok/0 HTTP/1.1`, `HTTP/1.1 202 Accepted`.
    pub start: &'a [u8],
    /// Everything up to the empty line, the first line included.
    pub head: &'a [u8],
    pub body: &'a [u8],
}

/// What lies at the beginning of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    Whole(Message<'a>),
    /// More has to come. `bytes` is the length of the whole message when its head is there.
    Part {
        bytes: Option<usize>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the head is longer than {HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    #[error("the content-length is not a number")]
    Length,
    #[error("a transfer-encoding, where a content-length was expected")]
    TransferEncoding,
    #[error("the first line is not one of HTTP")]
    FirstLine,
}

impl Message<'_> {
    pub fn bytes(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// The path of a request.
    pub fn path(&self) -> Result<&[u8], Malformed> {
        self.start.split(|byte| *byte == b' ').nth(1).ok_or(Malformed::FirstLine)
    }

    /// The status of an answer.
    pub fn status(&self) -> Result<u16, Malformed> {
        let digits = self.start.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
        digits.and_then(|digits| digits.parse().ok()).ok_or(Malformed::FirstLine)
    }
}

/// The value of a header in a head, by its lower-case name.
pub fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let value = value_of(line.strip_suffix(b"\r").unwrap_or(line), name.as_bytes())?;
        std::str::from_utf8(value).ok()
    })
}

/// Finds one message at the beginning of what was read so far.
pub fn find(buffer: &[u8]) -> Result<Found<'_>, Malformed> {
    let mut line_begins = 0;
    let mut start = None;
    let mut content_length = 0;
    loop {
        let Some(line_length) = buffer[line_begins..].iter().position(|byte| *byte == b'\n') else {
            if buffer.len() > HEAD_BYTES_MAX {
                return Err(Malformed::HeadTooLong);
            }
            return Ok(Found::Part { bytes: None });
        };
        let line = &buffer[line_begins..line_begins + line_length];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        line_begins += line_length + 1;
        let Some(start) = start else {
            start = Some(line);
            continue;
        };
        if line.is_empty() {
            let bytes = line_begins + content_length;
            let Some(body) = buffer.get(line_begins..bytes) else {
                return Ok(Found::Part { bytes: Some(bytes) });
            };
            return Ok(Found::Whole(Message { start, head: &buffer[..line_begins], body }));
        }
        // Looked at by its first letter before anything else: most headers are not these.
        match line[0] {
            b'c' | b'C' => {
                if let Some(value) = value_of(line, b"content-length") {
                    let digits = std::str::from_utf8(value).map_err(|_| Malformed::Length)?;
                    content_length = digits.parse().map_err(|_| Malformed::Length)?;
                }
            }
            b't' | b'T' if value_of(line, b"transfer-encoding").is_some() => return Err(Malformed::TransferEncoding),
            _ => {}
        }
    }
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, value) = line.split_at_checked(name.len())?;
    if !found.eq_ignore_ascii_case(name) {
        return None;
    }
    value.strip_prefix(b":").map(<[u8]>::trim_ascii)
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = &self.body[..self.body.len().min(500)];
        write!(f, "{}: {}", String::from_utf8_lossy(self.start), String::from_utf8_lossy(body))
    }
}

/// A buffer that is filled from a connection and emptied by whole messages. It grows to the longest message.
pub struct Inbox {
    bytes: Vec<u8>,
    begins: usize,
    ends: usize,
}

const INBOX_BYTES: usize = 16 * 1024;

impl Inbox {
    pub fn new() -> Self {
        Self { bytes: vec![0; INBOX_BYTES], begins: 0, ends: 0 }
    }

    /// What was read and not yet taken.
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.begins..self.ends]
    }

    pub fn take(&mut self, bytes: usize) {
        self.begins += bytes;
        if self.begins == self.ends {
            (self.begins, self.ends) = (0, 0);
        }
    }

    /// Room for the rest of a message of this length, or for some more of one whose length is not known yet.
    pub fn room(&mut self, message_bytes: Option<usize>) -> &mut [u8] {
        if self.begins > 0 {
            self.bytes.copy_within(self.begins..self.ends, 0);
            (self.begins, self.ends) = (0, self.ends - self.begins);
        }
        let wanted = message_bytes.unwrap_or(self.ends + 1);
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted.next_power_of_two(), 0);
        }
        &mut self.bytes[self.ends..]
    }

    /// Notes how much of the room was filled.
    pub fn filled(&mut self, bytes: usize) {
        self.ends += bytes;
    }
}

#[cfg(test)]
#[allow(unused)]
mod tests {
    use super::*;

    const REQUEST: &[u8] =
        b"POST /ok/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nwebhook-id: evt_1\r\nconnection: keep-alive\r\n\r\nhello";

    #[test]
    fn a_message_is_found_only_when_all_of_it_is_there() {
        for length in 0..REQUEST.len() {
            let found = find(&REQUEST[..length]).unwrap();
            let head_is_there = length >= REQUEST.len() - 5;
            let bytes = head_is_there.then_some(REQUEST.len());
            assert_eq!(found, Found::Part { bytes }, "{length} bytes");
        }
        let twice = [REQUEST, REQUEST].concat();
        let Found::Whole(message) = find(&twice).unwrap() else { panic!("it is whole") };
        assert_eq!(message.bytes(), REQUEST.len());
        assert_eq!(message.body, b"hello");
        assert_eq!(message.path(), Ok(&b"/ok/3"[..]));
        assert_eq!(header(message.head, "webhook-id"), Some("evt_1"));
        assert_eq!(header(message.head, "host"), Some("a"));
        assert_eq!(header(message.head, "webhook"), None);
    }

    #[test]
    fn an_answer_has_its_status_and_may_have_no_body() {
        let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
        let Found::Whole(message) = find(answer).unwrap() else { panic!("it is whole") };
        assert_eq!((message.status(), message.body), (Ok(204), &b""[..]));
    }

    #[test]
    fn what_cannot_be_framed_is_refused() {
        for (bytes, malformed) in [
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(), Malformed::TransferEncoding),
            (b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n".to_vec(), Malformed::Length),
            (vec![b'a'; HEAD_BYTES_MAX + 1], Malformed::HeadTooLong),
        ] {
            assert_eq!(find(&bytes), Err(malformed));
        }
        let Found::Whole(message) = find(b"nonsense\r\n\r\n").unwrap() else { panic!("it is whole") };
        assert_eq!((message.status(), message.path()), (Err(Malformed::FirstLine), Err(Malformed::FirstLine)));
    }

    #[test]
    fn an_inbox_keeps_what_belongs_to_the_next_message_and_grows_for_a_long_one() {
        let long = [b"POST / HTTP/1.1\r\ncontent-length: 100000\r\n\r\n", vec![b'x'; 100_000].as_slice()].concat();
        let sent = [REQUEST, &long, REQUEST].concat();
        let (mut inbox, mut found, mut expected_bytes) = (Inbox::new(), Vec::new(), None);
        for piece in sent.chunks(777) {
            inbox.room(expected_bytes)[..piece.len()].copy_from_slice(piece);
            inbox.filled(piece.len());
            loop {
                let bytes = match find(inbox.unread()).unwrap() {
                    Found::Part { bytes } => {
                        expected_bytes = bytes.map(|bytes| bytes + 777);
                        break;
                    }
                    Found::Whole(message) => message.bytes(),
                };
                found.push(bytes);
                inbox.take(bytes);
            }
        }
        assert_eq!(found, [REQUEST.len(), long.len(), REQUEST.len()]);
        assert_eq!(inbox.unread(), b"");
    }
}
