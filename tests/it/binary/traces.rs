//! Traces, as a collector gets them and as another library reads them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use waxwing::domain::id::EventId;

use crate::support::binary::{PATIENCE, Start, Waxwing};
use crate::support::rough::closed;

/// Takes whatever is posted: the head in lower case, and the body.
fn collector() -> (SocketAddr, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (sender, posted) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().expect("it can be shared"));
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            _ = reader.read_exact(&mut body);
            // Who gets the answer may end, and is then asked what came.
            _ = sender.send((head, body));
            _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}");
        }
    });
    (address, posted)
}

/// Publishes one event, which one receiver takes and one does not, and waits until both were asked.
async fn publish(waxwing: &Waxwing) -> EventId {
    let api = &waxwing.api;
    api.create_event_type("order.paid").await;
    api.put("/v1/test-receiver/receivers/bad", json!({ "behaviour": "fail" }).to_string()).await.expect(200);
    for name in ["good", "bad"] {
        api.subscribe(&format!("https://test-receiver.invalid/{name}"), &["order.paid"]).await;
    }
    let body = json!({ "type": "order.paid", "data": { "card": "MARK" } });
    let event = api.post("/v1/events", body.to_string()).await.expect(202).json();
    let id = event["data"]["id"].as_str().expect("an id").to_owned();
    let look = async {
        loop {
            let event = api.get(&format!("/v1/events/{id}")).await.expect(200).json();
            let deliveries = event["data"]["attributes"]["deliveries"].as_array().expect("a list").clone();
            if deliveries
                .iter()
                .all(|delivery| ["succeeded", "retrying"].contains(&delivery["state"].as_str().unwrap()))
            {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("both are asked in time");
    id.parse().expect("an id of ours")
}

fn attribute(span: &Span, key: &str) -> Option<Any> {
    span.attributes.iter().find(|one| one.key == key)?.value.as_ref()?.value.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_a_trace_of_each_event_that_another_library_reads() {
    let (address, posted) = collector();
    let folder = tempfile::tempdir().expect("a folder");
    let start = Start::in_dir(folder.path()).with_arguments(&["--otlp-endpoint", &format!("http://{address}/")]);
    let waxwing = start.start().await;
    let event = publish(&waxwing).await;
    // What waits goes at the end, at the latest.
    waxwing.terminate().await;
    let mut spans: Vec<Span> = Vec::new();
    while let Ok((head, body)) = posted.try_recv() {
        assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
        assert!(head.contains("content-type: application/json"), "{head}");
        assert!(!String::from_utf8_lossy(&body).contains("MARK"), "what was published stays here");
        let request: ExportTraceServiceRequest = serde_json::from_slice(&body).expect("it is OTLP");
        let resource = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        spans.extend(resource.flat_map(|scope| scope.spans));
    }
    assert!(spans.iter().all(|span| span.trace_id == event.to_bytes() && span.span_id.len() == 8), "{spans:?}");
    assert!(spans.iter().all(|span| span.start_time_unix_nano <= span.end_time_unix_nano), "{spans:?}");
    let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let (published, attempts) = (named("publish order.paid"), named("attempt order.paid"));
    assert_eq!((published.len(), attempts.len(), spans.len()), (1, 2, 3), "{spans:?}");
    assert!(attempts.iter().all(|span| span.parent_span_id == published[0].span_id), "{spans:?}");
    assert_ne!(attempts[0].span_id, attempts[1].span_id);
    let mut ended: Vec<_> = attempts
        .iter()
        .map(|span| {
            let code = span.status.as_ref().expect("a status").code;
            (code, attribute(span, "http.response.status_code"), attribute(span, "waxwing.attempt.number"))
        })
        .collect();
    ended.sort_by_key(|(code, ..)| *code);
    let first = Some(Any::IntValue(1));
    // `STATUS_CODE_OK` and `STATUS_CODE_ERROR`.
    assert_eq!(ended[0].0, 1);
    assert_eq!(ended[1], (2, Some(Any::IntValue(500)), first.clone()));
    assert_eq!(ended[0].2, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_holds_up_nothing() {
    let (_socket, nobody) = closed();
    let folder = tempfile::tempdir().expect("a folder");
    let start = Start::in_dir(folder.path()).with_arguments(&["--otlp-endpoint", &format!("http://{nobody}")]);
    let mut waxwing = start.start().await;
    publish(&waxwing).await;
    waxwing.logged("traces cannot be sent").await;
    waxwing.terminate().await;
}
