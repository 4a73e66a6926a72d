//! The live feed of the real program: it ends when the server does, whoever reads it or does not.

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::binary::{ADMIN_KEY, PATIENCE, Start, Waxwing};

async fn watch(server: &Waxwing) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET /v1/stream HTTP/1.1\r\nhost: x\r\nauthorization: {ADMIN_KEY}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    stream
}

#[tokio::test]
async fn the_feed_ends_with_the_server_and_does_not_hold_it_up() {
    let folder = tempfile::tempdir().unwrap();
    let server = Start::in_dir(folder.path()).start().await;
    server.api.create_event_type("order.paid").await;
    let mut reading = watch(&server).await;
    server.api.subscribe("https://test-receiver.invalid/inbox", &["*"]).await;
    server.api.post("/v1/events", json!({ "type": "order.paid", "data": 1 }).to_string()).await.expect(202);
    let mut line = String::new();
    while !line.starts_with("event: delivery.attempted") {
        line.clear();
        let read = tokio::time::timeout(PATIENCE, reading.read_line(&mut line)).await.expect("it comes in time");
        assert!(read.unwrap() > 0, "the feed ended early");
    }
    let (status, _) = server.terminate().await;
    assert!(status.success(), "{status}");
    let mut rest = String::new();
    reading.read_to_string(&mut rest).await.expect("the answer is ended and not torn off");
    assert!(rest.ends_with("0\r\n\r\n"), "the end did not wait until answers under way are cut off: {rest:?}");
}

#[tokio::test]
async fn one_who_never_reads_does_not_keep_the_server_from_ending() {
    let folder = tempfile::tempdir().unwrap();
    let server = Start::in_dir(folder.path()).start().await;
    server.api.create_event_type("order.paid").await;
    let stuck = watch(&server).await;
    server.api.subscribe("https://test-receiver.invalid/inbox", &["*"]).await;
    let events: Vec<_> = (0..1000).map(|_| json!({ "type": "order.paid", "data": 1 })).collect();
    // More than all the buffers on the way hold.
    for _ in 0..10 {
        server.api.post("/v1/events/batch", json!({ "events": events }).to_string()).await.expect(200);
    }
    let (status, _) = server.terminate().await;
    assert!(status.success(), "{status}");
    drop(stuck);
}
