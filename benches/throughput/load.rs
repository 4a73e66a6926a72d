//! The generator: publishes as fast as it is answered (closed loop), or at a fixed rate whatever happens (open loop).
//!
//! In an open loop latency counts from when a request was due, so that a stall of the server cannot hide itself by
//! slowing the generator down. Its connections are threads: they wake within microseconds, a timer of the
//! asynchronous runtime within a millisecond.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::TcpStream as BlockingStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::MissedTickBehavior;

use super::clock::{monotonic_ns, sleep_until, wake_punctually};
use super::figures::Latencies;
use super::link::{Fault, Loaded, Plan, ToldByLoad, hear, tell};
use super::template::Template;
use super::wire::{self, Found, Inbox, Message};

const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// The first request of an open loop is due when all threads are there.
const OPEN_LOOP_BEGINS_AFTER_NS: u64 = 20_000_000;
/// Longer than any answer should take, short enough to end a run. (In a closed loop the parent sees that nothing moves.)
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Percentiles need no more.
const LATENCIES_MAX: usize = 1_000_000;

pub fn main() {
    wake_punctually();
    tell(&ToldByLoad::Ready);
    while let Some(plan) = hear::<Plan>() {
        let loaded = match plan.requests_per_second {
            None => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                LocalSet::new().block_on(&runtime.expect("the system has epoll"), closed_loop(&plan))
            }
            Some(rate) => open_loop(&plan, rate),
        };
        match loaded {
            Ok(loaded) => tell(&ToldByLoad::Loaded(loaded)),
            Err(fault) => tell(&ToldByLoad::Refused(fault.to_string())),
        }
    }
}

/// What one connection is to do, and where it notes what it did.
struct Worker {
    message: Template,
    first_seq: u64,
    events_per_request: u64,
    latencies_us: Vec<u32>,
}

impl Worker {
    fn of(plan: &Plan) -> Self {
        Self {
            message: Template::request(&plan.head, &plan.event, plan.events_per_request),
            first_seq: plan.first_seq,
            events_per_request: u64::from(plan.events_per_request),
            latencies_us: Vec::new(),
        }
    }

    fn message(&mut self, request: u64, due_ns: u64) -> &[u8] {
        self.message.fill(self.first_seq + request * self.events_per_request, due_ns)
    }

    fn answered(&mut self, since_ns: u64) {
        if self.latencies_us.len() < LATENCIES_MAX {
            let spent_us = monotonic_ns().saturating_sub(since_ns) / 1000;
            self.latencies_us.push(u32::try_from(spent_us).unwrap_or(u32::MAX));
        }
    }
}

async fn closed_loop(plan: &Plan) -> Result<Loaded, Fault> {
    let mut streams = Vec::new();
    for _ in 0..plan.connections {
        let stream = TcpStream::connect(plan.address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let next = Rc::new(Cell::new(0));
    let begun_ns = monotonic_ns();
    let workers: Vec<_> = streams
        .into_iter()
        .map(|stream| {
            tokio::task::spawn_local(one_closed_connection(stream, Worker::of(plan), Rc::clone(&next), plan.requests))
        })
        .collect();
    let progress = tokio::task::spawn_local(async move {
        let mut ticks = tokio::time::interval(PROGRESS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            tell(&ToldByLoad::Progress { requests: next.get() });
        }
    });
    let mut latencies_us = Vec::new();
    for worker in workers {
        latencies_us.extend(worker.await??);
    }
    progress.abort();
    Ok(Loaded { begun_ns, ended_ns: monotonic_ns(), answers: Latencies::of(latencies_us) })
}

async fn one_closed_connection(
    mut stream: TcpStream,
    mut worker: Worker,
    next: Rc<Cell<u64>>,
    requests: u64,
) -> Result<Vec<u32>, Fault> {
    let mut inbox = Inbox::new();
    loop {
        let request = next.get();
        if request >= requests {
            return Ok(worker.latencies_us);
        }
        next.set(request + 1);
        let sent_ns = monotonic_ns();
        stream.write_all(worker.message(request, sent_ns)).await?;
        let bytes = loop {
            match wire::find(inbox.unread())? {
                Found::Whole(answer) => break accepted(&answer)?,
                Found::Part { bytes } => inbox_filled(stream.read(inbox.room(bytes)).await?, &mut inbox)?,
            }
        };
        inbox.take(bytes);
        worker.answered(sent_ns);
    }
}

fn open_loop(plan: &Plan, rate: f64) -> Result<Loaded, Fault> {
    let begun_ns = monotonic_ns() + OPEN_LOOP_BEGINS_AFTER_NS;
    let next = AtomicU64::new(0);
    let (done, results) = std::sync::mpsc::channel();
    let mut latencies_us = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..plan.connections {
            let (done, next) = (done.clone(), &next);
            scope.spawn(move || {
                wake_punctually();
                // The receiver is gone only when another connection failed.
                let _ = done.send(one_open_connection(plan, rate, begun_ns, next));
            });
        }
        let mut open = plan.connections;
        while open > 0 {
            match results.recv_timeout(PROGRESS_EVERY) {
                Ok(result) => {
                    // The others have no more to do either.
                    let failed = result.is_err();
                    if failed {
                        next.store(plan.requests, Ordering::Relaxed);
                    }
                    latencies_us.extend(result?);
                    open -= 1;
                }
                Err(_) => tell(&ToldByLoad::Progress { requests: next.load(Ordering::Relaxed).min(plan.requests) }),
            }
        }
        Ok::<_, Fault>(())
    })?;
    Ok(Loaded { begun_ns, ended_ns: monotonic_ns(), answers: Latencies::of(latencies_us) })
}

fn one_open_connection(plan: &Plan, rate: f64, begun_ns: u64, next: &AtomicU64) -> Result<Vec<u32>, Fault> {
    let mut stream = BlockingStream::connect(plan.address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    let (mut worker, mut inbox) = (Worker::of(plan), Inbox::new());
    loop {
        let request = next.fetch_add(1, Ordering::Relaxed);
        if request >= plan.requests {
            return Ok(worker.latencies_us);
        }
        let due_ns = begun_ns + (request as f64 / rate * 1e9) as u64;
        sleep_until(due_ns);
        stream.write_all(worker.message(request, due_ns))?;
        let bytes = loop {
            match wire::find(inbox.unread())? {
                Found::Whole(answer) => break accepted(&answer)?,
                Found::Part { bytes } => inbox_filled(stream.read(inbox.room(bytes))?, &mut inbox)?,
            }
        };
        inbox.take(bytes);
        worker.answered(due_ns);
    }
}

fn inbox_filled(count: usize, inbox: &mut Inbox) -> Result<(), Fault> {
    if count == 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    inbox.filled(count);
    Ok(())
}

/// The length of an answer that took everything; what it says otherwise. A batch answers 200 when it refuses some.
fn accepted(answer: &Message<'_>) -> Result<usize, Fault> {
    const ERRORS: &[u8] = br#""errors""#;
    let refuses_some = || answer.body.windows(ERRORS.len()).any(|window| window == ERRORS);
    match answer.status()? {
        202 | 201 | 204 => Ok(answer.bytes()),
        200 if !refuses_some() => Ok(answer.bytes()),
        _ => Err(format!("the server answered {answer}").into()),
    }
}

#[cfg(test)]
#[allow(unused)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_that_took_everything_counts() {
        for (answer, is_accepted) in [
            ("HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}", true),
            ("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"data\":[]}", true),
            ("HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{\"errors\":[]}", false),
            ("HTTP/1.1 429 Too Many Requests\r\ncontent-length: 2\r\n\r\n{}", false),
            ("HTTP/1.1 507 Insufficient Storage\r\ncontent-length: 2\r\n\r\n{}", false),
        ] {
            let Found::Whole(message) = wire::find(answer.as_bytes()).unwrap() else { panic!("it is whole") };
            assert_eq!(accepted(&message).is_ok(), is_accepted, "{answer}");
        }
    }
}
