//! HTTP/1.1 as a client (RFC 9112): one request and its response at a time on one connection.
//!
//! Our own, since delivering is what this program does: a request is one buffer and one write, a response usually one
//! read and no copy but of what is kept. What a peer may send is bounded at every step.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use httparse::{Header, ParserConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::failure::Failure;
use super::pace::{Pace, TooSlow};
use super::response::{Head, Kept, kept_headers};
use super::stream::Stream;
use crate::domain::delivery::ErrorClass;

/// Bytes of a response head: status line and headers.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Headers of a response.
pub const HEADERS_MAX: usize = 100;
/// Read at once. Most responses are smaller.
const READ_BYTES: usize = 2 * 1024;
/// An idle connection holds on to no larger buffer.
const READ_CAPACITY_KEPT_BYTES: usize = 2 * READ_BYTES;
/// A line with the size of a chunk, extensions included.
const CHUNK_LINE_BYTES_MAX: usize = 1024;
/// A smaller body is copied behind its head, which is cheaper than to tell the system of two buffers.
const COPIED_BODY_BYTES_MAX: usize = 8 * 1024;

/// A request as it goes over the wire.
pub struct Outgoing {
    head: Vec<u8>,
    body: Bytes,
    written: usize,
}

impl Outgoing {
    /// `target` is path and query; `headers` are complete, name and value.
    pub fn post<'a>(
        target: &str,
        headers: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        body: &Bytes,
    ) -> Result<Self, Failure> {
        let invalid = |what: String| Failure::new(ErrorClass::Http, what);
        if target.is_empty() || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid("the URL cannot be sent".to_owned()));
        }
        let is_copied = body.len() <= COPIED_BODY_BYTES_MAX;
        let size: usize = headers.clone().map(|(name, value)| name.len() + value.len() + 4).sum();
        let mut head = Vec::with_capacity(target.len() + size + 32 + if is_copied { body.len() } else { 0 });
        for part in ["POST ", target, " HTTP/1.1\r\n"] {
            head.extend_from_slice(part.as_bytes());
        }
        for (name, value) in headers {
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(invalid(format!("header {name}: not a name")));
            }
            // A line break would begin a header, or a request, of somebody else's making.
            if !value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
                return Err(invalid(format!("header {name}: not a value")));
            }
            for part in [name, ": ", value, "\r\n"] {
                head.extend_from_slice(part.as_bytes());
            }
        }
        head.extend_from_slice(b"\r\n");
        if is_copied {
            head.extend_from_slice(body);
        }
        Ok(Self { head, body: if is_copied { Bytes::new() } else { body.clone() }, written: 0 })
    }

    fn is_written(&self) -> bool {
        self.written == self.head.len() + self.body.len()
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Carries one request at a time. It has no task of its own: whoever sends on it also drives it.
pub struct Http1 {
    stream: Stream,
    /// What is still to be written. A peer may answer before it has read everything.
    outgoing: Option<Outgoing>,
    /// Why writing ended early. Told only when no response explains it.
    write_error: Option<io::Error>,
    /// What was read and not used yet.
    read: Vec<u8>,
    bytes_read: u64,
    framing: Framing,
    /// Whether the connection outlives the response.
    is_kept_alive: bool,
}

/// Where the body of a response ends (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

/// What comes next in a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunked {
    Size,
    /// So many bytes of data, then a line break.
    Data(u64),
    /// Lines after the last chunk, of which so many bytes came.
    Trailers(usize),
    Over,
}

impl Http1 {
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            outgoing: None,
            write_error: None,
            read: Vec::new(),
            bytes_read: 0,
            framing: Framing::Length(0),
            is_kept_alive: true,
        }
    }

    /// All bytes that the peer ever sent on it.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Sends a request and reads the head of its response. The body is read next, by [`Self::read_body`].
    pub async fn send(&mut self, request: Outgoing, pace: Pace) -> Result<Head, Failure> {
        self.outgoing = Some(request);
        let mut searched = 0;
        let mut head_pace = pace;
        loop {
            // The first bytes are looked at even when they are no whole head: who speaks another protocol may wait.
            let is_worth_a_look = searched == 0 || end_of_head(&self.read, searched);
            if is_worth_a_look
                && !self.read.is_empty()
                && let Some(head) = self.take_head()?
            {
                if head.status >= 200 || head.status == 101 {
                    return Ok(head);
                }
                searched = 0;
                head_pace = pace;
                continue;
            }
            if self.read.len() > HEAD_BYTES_MAX {
                return Err(Failure::new(ErrorClass::Http, format!("a head of more than {HEAD_BYTES_MAX} bytes")));
            }
            searched = self.read.len();
            // Who has not begun may think for as long as the attempt takes.
            let filled = match searched {
                0 => self.fill().await,
                _ => self.fill_at(&mut head_pace).await,
            };
            match filled {
                Err(error) if error.kind() == io::ErrorKind::TimedOut && self.write_error.is_none() => {
                    return Err(Failure::timeout("waiting for a head that comes too slowly"));
                }
                Ok(0) if self.read.is_empty() => return Err(self.ended("the connection was closed without an answer")),
                Ok(0) => return Err(self.ended("the connection was closed in the middle of the head")),
                Ok(_) => {}
                Err(error) => return Err(Failure::http1(self.write_error.as_ref().unwrap_or(&error))),
            }
        }
    }

    fn ended(&self, text: &str) -> Failure {
        self.write_error.as_ref().map_or_else(|| Failure::new(ErrorClass::Http, text), Failure::http1)
    }

    /// Takes a head out of what was read; none when it is not whole yet.
    fn take_head(&mut self) -> Result<Option<Head>, Failure> {
        let mut headers = [const { MaybeUninit::<Header<'_>>::uninit() }; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut []);
        let parsed =
            ParserConfig::default().parse_response_with_uninit_headers(&mut response, &self.read, &mut headers);
        let length = match parsed {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(Failure::new(ErrorClass::Http, format!("more than {HEADERS_MAX} headers")));
            }
            Err(error) => return Err(Failure::new(ErrorClass::Http, format!("not a response of HTTP/1.1: {error}"))),
        };
        let status = response.code.expect("a whole head has a status");
        let is_http11 = response.version == Some(1);
        let (framing, is_kept_alive) = framing(status, is_http11, response.headers)?;
        let headers = match status {
            100 | 102..200 => Vec::new(),
            _ => kept_headers(response.headers.iter().map(|header| (header.name, header.value))),
        };
        (self.framing, self.is_kept_alive) = (framing, is_kept_alive);
        self.read.drain(..length);
        Ok(Some(Head { status, headers }))
    }

    /// Reads the body into `kept` until its end, the limit, or until the peer breaks off or is too slow. Answers whether it
    /// is whole.
    pub async fn read_body(&mut self, kept: &mut Kept, mut pace: Pace) -> bool {
        loop {
            match self.take_body(kept) {
                Step::Over => {
                    if self.read.capacity() > READ_CAPACITY_KEPT_BYTES {
                        self.read = Vec::new();
                    }
                    return true;
                }
                Step::Broken => {
                    self.is_kept_alive = false;
                    return false;
                }
                Step::More => {}
            }
            match self.fill_at(&mut pace).await {
                Ok(0) => {
                    self.is_kept_alive = false;
                    return self.framing == Framing::UntilClose;
                }
                Ok(_) => {}
                Err(_) => {
                    self.is_kept_alive = false;
                    return false;
                }
            }
        }
    }

    /// Moves what was read of the body into `kept`.
    fn take_body(&mut self, kept: &mut Kept) -> Step {
        loop {
            match &mut self.framing {
                Framing::Length(0) | Framing::Chunked(Chunked::Over) => return Step::Over,
                _ if self.read.is_empty() => return Step::More,
                Framing::UntilClose => {
                    let has_room = kept.add(&self.read);
                    self.read.clear();
                    return if has_room { Step::More } else { Step::Broken };
                }
                Framing::Length(left) | Framing::Chunked(Chunked::Data(left)) if *left > 0 => {
                    let here = self.read.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    if !kept.add(&self.read[..here]) {
                        return Step::Broken;
                    }
                    *left -= here as u64;
                    self.read.drain(..here);
                }
                Framing::Length(_) => return Step::Over,
                Framing::Chunked(chunked) => match next_line(&self.read) {
                    Line::Partial => return Step::More,
                    Line::Broken => return Step::Broken,
                    Line::Whole(line) => {
                        let length = line.len() + 2;
                        let Some(next) = after_line(*chunked, line) else { return Step::Broken };
                        *chunked = next;
                        self.read.drain(..length);
                    }
                },
            }
        }
    }

    /// Whether another request can go out now, after the response was read to its end.
    pub fn is_reusable(&self) -> bool {
        self.is_kept_alive && self.outgoing.is_none() && self.write_error.is_none() && self.read.is_empty()
    }

    /// Whether the peer has neither closed it nor said anything unasked. Never waits.
    pub async fn is_quiet(&mut self) -> bool {
        poll_fn(|cx| {
            let mut byte = [MaybeUninit::uninit()];
            let polled = Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::uninit(&mut byte));
            Poll::Ready(polled.is_pending())
        })
        .await
    }

    /// The same as [`Self::fill`] for an answer that has begun, which has to go on.
    async fn fill_at(&mut self, pace: &mut Pace) -> io::Result<usize> {
        let filled = pace.next(self.fill()).await.unwrap_or_else(|TooSlow| Err(io::ErrorKind::TimedOut.into()))?;
        pace.came(filled);
        Ok(filled)
    }

    /// Reads more, and writes what is still to be written meanwhile. 0 at the end.
    async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = self.poll_write(cx) {
                // Many a peer answers and closes without reading the rest: its answer is there to be read.
                self.outgoing = None;
                self.is_kept_alive = false;
                self.write_error = Some(error);
            }
            self.poll_read(cx)
        })
        .await
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(outgoing) = &mut self.outgoing else { return Poll::Ready(Ok(())) };
        while !outgoing.is_written() {
            let stream = Pin::new(&mut self.stream);
            let written = match outgoing.head.get(outgoing.written..) {
                Some(head) if outgoing.body.is_empty() => ready!(stream.poll_write(cx, head))?,
                Some(head) if !head.is_empty() => {
                    ready!(stream.poll_write_vectored(cx, &[IoSlice::new(head), IoSlice::new(&outgoing.body)]))?
                }
                _ => ready!(stream.poll_write(cx, &outgoing.body[outgoing.written - outgoing.head.len()..]))?,
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            outgoing.written += written;
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.outgoing = None;
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.read.reserve(READ_BYTES);
        let read = ready!(pin!(self.stream.read_buf(&mut self.read)).poll(cx))?;
        self.bytes_read += read as u64;
        Poll::Ready(Ok(read))
    }
}

enum Step {
    More,
    Over,
    /// The peer broke HTTP, or sent more than is kept.
    Broken,
}

/// Whether an empty line ends in the bytes after the first `searched` ones.
fn end_of_head(bytes: &[u8], searched: usize) -> bool {
    let from = searched.saturating_sub(2);
    let breaks = bytes.iter().enumerate().skip(from).filter(|(_, byte)| **byte == b'\n');
    breaks.into_iter().any(|(at, _)| matches!(bytes[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

fn framing(status: u16, is_http11: bool, headers: &[Header<'_>]) -> Result<(Framing, bool), Failure> {
    let mut is_kept_alive = is_http11 && status != 101;
    let (mut length, mut coding) = (None, None);
    for Header { name, value } in headers {
        if name.eq_ignore_ascii_case(CONNECTION.as_str()) {
            for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if option.eq_ignore_ascii_case(b"close") {
                    is_kept_alive = false;
                } else if option.eq_ignore_ascii_case(b"keep-alive") && !is_http11 {
                    is_kept_alive = true;
                }
            }
        } else if name.eq_ignore_ascii_case(TRANSFER_ENCODING.as_str()) {
            coding = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).next_back();
        } else if name.eq_ignore_ascii_case(CONTENT_LENGTH.as_str()) {
            for text in value.split(|byte| *byte == b',') {
                let read = number(text.trim_ascii(), 10);
                if read.is_none() || length.is_some_and(|known| Some(known) != read) {
                    return Err(Failure::new(ErrorClass::Http, "the content-length of the response is not a number"));
                }
                length = read;
            }
        }
    }
    let framing = match (status, coding, length) {
        (100..200 | 204 | 304, _, _) => Framing::Length(0),
        (_, Some(coding), length) => {
            // Both together is how requests are smuggled (RFC 9112 section 6.1): the length does not count, and nothing
            // more is sent on that connection.
            is_kept_alive &= length.is_none() && is_http11;
            if coding.eq_ignore_ascii_case(b"chunked") { Framing::Chunked(Chunked::Size) } else { Framing::UntilClose }
        }
        (_, None, Some(length)) => Framing::Length(length),
        (_, None, None) => Framing::UntilClose,
    };
    Ok((framing, is_kept_alive && framing != Framing::UntilClose))
}

/// Digits only: no sign, no blank.
fn number(text: &[u8], radix: u32) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let is_plain = text.bytes().all(|byte| char::from(byte).is_digit(radix));
    if is_plain && !text.is_empty() { u64::from_str_radix(text, radix).ok() } else { None }
}

enum Line<'a> {
    /// Without its line break, which is always two bytes.
    Whole(&'a [u8]),
    Partial,
    Broken,
}

fn next_line(bytes: &[u8]) -> Line<'_> {
    match bytes.iter().take(CHUNK_LINE_BYTES_MAX).position(|byte| *byte == b'\n') {
        Some(end) => bytes[..end].strip_suffix(b"\r").map_or(Line::Broken, Line::Whole),
        None if bytes.len() >= CHUNK_LINE_BYTES_MAX => Line::Broken,
        None => Line::Partial,
    }
}

/// What follows a line of a chunked body; none when it must not stand there.
fn after_line(chunked: Chunked, line: &[u8]) -> Option<Chunked> {
    match chunked {
        Chunked::Size => {
            let size = line.split(|byte| *byte == b';').next().unwrap_or(line);
            match number(size.trim_ascii(), 16)? {
                0 => Some(Chunked::Trailers(0)),
                size => Some(Chunked::Data(size)),
            }
        }
        Chunked::Data(_) => line.is_empty().then_some(Chunked::Size),
        Chunked::Trailers(_) if line.is_empty() => Some(Chunked::Over),
        Chunked::Trailers(bytes) => {
            let bytes = bytes + line.len();
            (bytes <= HEAD_BYTES_MAX).then_some(Chunked::Trailers(bytes))
        }
        Chunked::Over => None,
    }
}
