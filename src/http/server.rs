//! The server around the endpoint: takes connections until it is told to end.

use std::io;
use std::time::Duration;

use poem::Server;
use poem::listener::TcpAcceptor;
use tokio::net::TcpListener;

use super::{Api, endpoint};

/// A connection without a request for this long is closed.
const IDLE_TIME_MAX: Duration = Duration::from_secs(75);
/// Requests that are under way when the end comes get this long to be answered.
const LAST_ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Serves the API until `end`.
pub async fn serve(listener: TcpListener, api: Api, end: impl Future<Output = ()>) -> io::Result<()> {
    let server = Server::new_with_acceptor(TcpAcceptor::from_tokio(listener)?).idle_timeout(IDLE_TIME_MAX);
    server.run_with_graceful_shutdown(endpoint(api), end, Some(LAST_ANSWERS_WITHIN)).await
}
