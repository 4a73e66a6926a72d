//! Keeps open connections for the next request to the same host at the same judged address.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::connection::{Connection, Http2};
use super::guard::Vetted;
use super::http1::Http1;

/// What two requests must have in common to share a connection. The host stands for the TLS identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    pub is_https: bool,
    pub host: Box<str>,
    pub address: Vetted,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections in the pool, over all destinations; the one that was quiet for longest makes room.
    pub connections_idle_max: usize,
    pub connections_idle_per_target_max: usize,
    pub idle_time_max: Duration,
}

/// Clones share the connections.
#[derive(Clone)]
pub struct Pool {
    limits: Limits,
    idle: Arc<Mutex<Idle>>,
}

/// The ticket of a connection tells when it came, in order.
type Ticket = u64;

#[derive(Default)]
struct Idle {
    places: HashMap<Arc<Destination>, Place>,
    /// The connection that was quiet for longest comes first.
    order: BTreeMap<Ticket, (Instant, Arc<Destination>)>,
    next_ticket: Ticket,
    is_swept: bool,
}

#[derive(Default)]
struct Place {
    /// The newest is last, and is taken first: the others may then grow old and go.
    http1: Vec<(Ticket, Box<Http1>)>,
    http2: Option<(Ticket, Http2)>,
}

impl Place {
    fn is_empty(&self) -> bool {
        self.http1.is_empty() && self.http2.is_none()
    }
}

impl Pool {
    pub fn new(limits: Limits) -> Self {
        Self { limits, idle: Arc::default() }
    }

    /// An open connection, if there is one. An HTTP/2 connection stays in the pool as well.
    pub fn take(&self, destination: &Destination) -> Option<Connection> {
        let now = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = &mut *idle;
        let place = idle.places.get_mut(destination)?;
        if let Some((ticket, http2)) = &mut place.http2 {
            let (_, destination) = idle.order.remove(ticket).expect("every connection has a place in the order");
            *ticket = idle.next_ticket;
            idle.next_ticket += 1;
            idle.order.insert(*ticket, (now, destination));
            return Some(Connection::Http2(http2.clone()));
        }
        let (ticket, http1) = place.http1.pop()?;
        idle.order.remove(&ticket);
        if place.is_empty() {
            idle.places.remove(destination);
        }
        Some(Connection::Http1(http1))
    }

    pub fn put(&self, destination: Destination, connection: Connection) {
        if self.limits.connections_idle_max == 0 {
            return;
        }
        let now = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dropped = idle.expired(now, self.limits.idle_time_max);
        dropped.extend(idle.put(destination, connection, now, self.limits));
        let starts_sweeping = !idle.is_swept;
        idle.is_swept = true;
        drop(idle);
        // Closing sockets is work for the system: not while others wait for the lock.
        drop(dropped);
        if starts_sweeping {
            tokio::spawn(sweep(Arc::downgrade(&self.idle), self.limits.idle_time_max));
        }
    }

    /// Takes an HTTP/2 connection out of the pool, for it seems to be dead. Its other requests go on.
    pub fn forget_http2(&self, destination: &Destination) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = idle.places.get_mut(destination) else { return };
        let dropped = place.http2.take();
        if place.is_empty() {
            idle.places.remove(destination);
        }
        if let Some((ticket, _)) = &dropped {
            idle.order.remove(ticket);
        }
        drop(idle);
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.idle.lock().unwrap().order.len()
    }
}

impl Idle {
    /// Answers what has to go for it.
    fn put(
        &mut self,
        destination: Destination,
        connection: Connection,
        now: Instant,
        limits: Limits,
    ) -> Option<Connection> {
        let (destination, place) = match self.places.get_key_value(&destination) {
            Some((known, _)) => {
                let known = Arc::clone(known);
                let place = self.places.get_mut(&destination).expect("it was found just now");
                (known, place)
            }
            None => {
                let destination = Arc::new(destination);
                (Arc::clone(&destination), self.places.entry(destination).or_default())
            }
        };
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let replaced = match connection {
            // Two requests that came at once both connected: the first connection is the one to share.
            Connection::Http2(http2) if place.http2.as_ref().is_some_and(|(_, known)| !known.is_closed()) => {
                return Some(Connection::Http2(http2));
            }
            Connection::Http2(http2) => {
                place.http2.replace((ticket, http2)).map(|(ticket, http2)| (ticket, Connection::Http2(http2)))
            }
            Connection::Http1(http1) => {
                place.http1.push((ticket, http1));
                (place.http1.len() > limits.connections_idle_per_target_max).then(|| {
                    let (ticket, http1) = place.http1.remove(0);
                    (ticket, Connection::Http1(http1))
                })
            }
        };
        self.order.insert(ticket, (now, destination));
        if let Some((ticket, connection)) = replaced {
            self.order.remove(&ticket);
            return Some(connection);
        }
        if self.order.len() > limits.connections_idle_max { self.remove_quietest() } else { None }
    }

    fn expired(&mut self, now: Instant, idle_time_max: Duration) -> Vec<Connection> {
        let mut dropped = Vec::new();
        while let Some((_, (since, _))) = self.order.first_key_value()
            && now.duration_since(*since) >= idle_time_max
        {
            dropped.extend(self.remove_quietest());
        }
        dropped
    }

    fn remove_quietest(&mut self) -> Option<Connection> {
        let (ticket, (_, destination)) = self.order.pop_first()?;
        let place = self.places.get_mut(&destination)?;
        let removed = if place.http2.as_ref().is_some_and(|(known, _)| *known == ticket) {
            place.http2.take().map(|(_, http2)| Connection::Http2(http2))
        } else {
            let index = place.http1.iter().position(|(known, _)| *known == ticket);
            index.map(|index| Connection::Http1(place.http1.remove(index).1))
        };
        if place.is_empty() {
            self.places.remove(&destination);
        }
        removed
    }
}

/// Closes what was quiet for too long while nothing is sent; ends with the last connection.
async fn sweep(idle: Weak<Mutex<Idle>>, idle_time_max: Duration) {
    loop {
        sleep(idle_time_max / 2).await;
        let Some(idle) = idle.upgrade() else { return };
        let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = idle.expired(Instant::now(), idle_time_max);
        idle.is_swept = !idle.order.is_empty();
        let goes_on = idle.is_swept;
        drop(idle);
        drop(dropped);
        if !goes_on {
            return;
        }
    }
}
