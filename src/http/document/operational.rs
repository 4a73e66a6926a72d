//! What receivers of tenant `system` get: an entry for each of its event types.

use serde_json::{Map, Value, json};

use crate::domain::operational::TYPES;

/// By event type, in the order of [`TYPES`].
pub fn webhooks(responses: &Value) -> Map<String, Value> {
    let entry = |event_type: &&str| {
        let Described { summary, description, properties, example } = described(event_type);
        let required: Vec<&String> = properties.as_object().map(|all| all.keys().collect()).unwrap_or_default();
        let entry = json!({ "post": {
            "operationId": format!("operational.{}", event_type.replace('.', "_")),
            "tags": ["Instance"],
            "summary": summary,
            "description": format!("{description}. To subscriptions of tenant `system`, as any event: signed, retried and listed. Shown in the profile `standard`, whose headers it has."),
            "requestBody": { "required": true, "content": { "application/json": { "schema": {
                "type": "object",
                "required": ["type", "timestamp", "data"],
                "properties": {
                    "type": { "const": event_type },
                    "timestamp": { "type": "string", "format": "date-time", "description": "When it happened" },
                    "data": { "type": "object", "required": required, "properties": properties },
                },
                "examples": [{ "type": event_type, "timestamp": "2026-02-18T12:00:00.000Z", "data": example }],
            } } } },
            "responses": responses,
            "security": [],
        } });
        ((*event_type).to_owned(), entry)
    };
    TYPES.iter().map(entry).collect()
}

struct Described {
    summary: &'static str,
    /// Without the full stop at its end.
    description: &'static str,
    /// Of `data`; all of them are always there.
    properties: Value,
    example: Value,
}

fn described(event_type: &str) -> Described {
    let (summary, description) = match event_type {
        "subscription.degraded" => {
            ("A subscription is sent less", "Its receiver fails now and then, or asks for a slower pace")
        }
        "subscription.failing" => {
            ("A receiver fails", "The deliveries of a subscription are held, or have been for long")
        }
        "subscription.disabled" => {
            ("A subscription was disabled", "Waxwing made it inactive: its receiver failed for too long, or is gone")
        }
        "subscription.recovered" => ("A subscription works again", "It was degraded, failing or disabled"),
        "delivery.exhausted" => (
            "Deliveries were given up",
            "So many deliveries of a subscription used up their attempts; at most one such event a minute for each subscription",
        ),
        "storage.low" => ("The disk fills up", "Less is free than what is warned of: new events may be refused soon"),
        "storage.full" => ("The disk is full", "Less is free than the reserve: new events are refused"),
        "storage.recovered" => ("The disk has room again", "Clearly more is free than what is warned of"),
        "backup.failed" => ("A backup failed", "What is kept stays; a scheduled one is tried again after 15 minutes"),
        "certificate.expiring" => (
            "A certificate of HTTPS ends soon",
            "Nobody renewed it, and less than a quarter of its life is left. Told 14, 7, 3 days and one day before its end",
        ),
        "certificate.expired" => ("A certificate of HTTPS has ended", "Clients refuse it"),
        "clock.jumped" => (
            "The clock jumped",
            "It was set by a second or more, or the machine slept. At most one such event a minute, of the last jump",
        ),
        other => unreachable!("{other} is none of ours"),
    };
    let (properties, example) = data(event_type);
    Described { summary, description, properties, example }
}

fn data(event_type: &str) -> (Value, Value) {
    let moment = |description: &str| json!({ "type": "string", "format": "date-time", "description": description });
    let moment_or_null =
        |description: &str| json!({ "type": ["string", "null"], "format": "date-time", "description": description });
    let domain = json!({ "type": ["string", "null"], "description": "Null: the operator's own certificate" });
    match event_type {
        "storage.low" | "storage.full" | "storage.recovered" => {
            let bytes = |description: &str| json!({ "type": "integer", "description": description });
            let free: u64 = match event_type {
                "storage.low" => 9_000_000_000,
                "storage.full" => 1_000_000_000,
                _ => 50_000_000_000,
            };
            (
                json!({
                    "free_bytes": bytes("Of the file system that the data is on"),
                    "reserve_bytes": bytes("New events are refused when less is free"),
                    "warning_bytes": bytes("A warning is given when less is free"),
                }),
                json!({ "free_bytes": free, "reserve_bytes": 2_000_000_000u64, "warning_bytes": 10_000_000_000u64 }),
            )
        }
        "backup.failed" => (
            json!({
                "backup_id": { "type": "string" },
                "error": { "type": "string", "description": "Why, for the operator" },
            }),
            json!({ "backup_id": "bak_01h2xcejqtf2nbrexx3vqjhp41", "error": "the disk has 5 bytes free, and 900000 are needed" }),
        ),
        "certificate.expiring" => (
            json!({
                "domain": domain,
                "ends_at": moment("When clients begin to refuse it"),
                "within_days": { "type": "integer", "description": "It ends within so many days: 14, 7, 3 or 1" },
            }),
            json!({ "domain": "hooks.example.com", "ends_at": "2026-02-25T12:00:00.000Z", "within_days": 7 }),
        ),
        "certificate.expired" => (
            json!({ "domain": domain, "ended_at": moment("Since when clients refuse it") }),
            json!({ "domain": "hooks.example.com", "ended_at": "2026-02-18T12:00:00.000Z" }),
        ),
        "clock.jumped" => (
            json!({
                "noticed_at": moment("By the clock as it was then"),
                "by_seconds": { "type": "number", "description": "Below 0 when it was set back" },
            }),
            json!({ "noticed_at": "2026-02-18T12:00:00.000Z", "by_seconds": 7200.0 }),
        ),
        _ => {
            let mut properties = json!({
                "subscription_id": { "type": "string" },
                "tenant_id": { "type": "string", "description": "Whose it is" },
                "url": { "type": "string" },
                "health": { "enum": ["healthy", "degraded", "failing", "disabled"] },
                "disabled_reason": { "type": ["string", "null"], "description": "Null unless it is inactive" },
                "consecutive_failures": { "type": "integer" },
                "failing_since": moment_or_null("When the first failure was that no success followed yet"),
                "disables_at": moment_or_null("When Waxwing makes it inactive, if nothing succeeds until then"),
            });
            let mut example = json!({
                "subscription_id": "whsub_01h2xcejqtf2nbrexx3vqjhp41",
                "tenant_id": "tnt_01h2xcejqtf2nbrexx3vqjhp41",
                "url": "https://hooks.example.com/in",
                "health": event_type.strip_prefix("subscription.").unwrap_or("failing").replace("recovered", "healthy"),
                "disabled_reason": (event_type == "subscription.disabled").then_some("failing"),
                "consecutive_failures": if event_type == "subscription.recovered" { 0 } else { 12 },
                "failing_since": (event_type != "subscription.recovered").then_some("2026-02-17T12:00:00.000Z"),
                "disables_at": Value::Null,
            });
            if event_type == "delivery.exhausted" {
                properties["count"] =
                    json!({ "type": "integer", "description": "How many deliveries, within a minute" });
                properties["last_delivery_id"] = json!({ "type": "string" });
                example["count"] = json!(3);
                example["last_delivery_id"] = json!("dlv_01h2xcejqtf2nbrexx3vqjhp41");
            }
            (properties, example)
        }
    }
}
