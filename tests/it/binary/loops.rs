//! What Waxwing sends does not come back to it as something to send (SG-17).

use serde_json::json;

use crate::support::binary::Start;
use crate::support::receiver::Receiver;

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_comes_back_to_its_sender_is_refused_and_at_another_one_it_is_not() {
    let (folder, other_folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut receiver = Receiver::start(|_| 204).await;
    let waxwing = Start::in_dir(folder.path()).start().await;
    let other = Start::in_dir(other_folder.path()).start().await;
    for instance in [&waxwing, &other] {
        instance.api.create_event_type("order.paid").await;
    }
    waxwing.api.subscribe(&receiver.url("/"), &["*"]).await;
    let event = json!({ "type": "order.paid", "data": {} }).to_string();
    waxwing.api.post("/v1/events", event.clone()).await.expect(202);
    let sender = receiver.next().await.header("waxwing-sender").to_owned();
    let back = |api: &crate::support::binary::Api| api.clone().with_header("waxwing-sender", &sender);
    for path in ["/v1/events", "/v1/events/batch", "/v1/webhook_endpoints"] {
        let refused = back(&waxwing.api).post(path, event.clone()).await.expect(400);
        assert!(refused.text().contains("loop") || refused.text().contains("circle"), "{}", refused.text());
    }
    back(&other.api).post("/v1/events", event.clone()).await.expect(202);
    // It was no matter of what was asked.
    waxwing.api.post("/v1/events", event).await.expect(202);
    receiver.next().await;

    // And by its own address it does not even get there.
    let own = json!({ "url": format!("http://{}/v1/events", waxwing.address), "events": ["*"] }).to_string();
    let refused = waxwing.api.post("/v1/webhook-subscriptions", own).await.expect(400);
    assert!(refused.text().contains("url_blocked"), "{}", refused.text());
}
