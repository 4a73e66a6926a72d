//! Answers as text that a test can hold against a picture: ids, secrets and keys are redacted here, and nowhere else.

use waxwing::domain::time::Timestamp;

/// Indents JSON without changing its order or its values.
pub fn indented(json: &str) -> String {
    let (mut out, mut depth, mut in_string, mut escaped) = (String::new(), 0_usize, false, false);
    let mut characters = json.chars().peekable();
    while let Some(character) = characters.next() {
        if in_string {
            out.push(character);
            in_string = escaped || character != '"';
            escaped = character == '\\' && !escaped;
            continue;
        }
        match character {
            '"' => {
                in_string = true;
                out.push(character);
            }
            '{' | '[' => {
                out.push(character);
                if let Some(end @ ('}' | ']')) = characters.peek().copied() {
                    characters.next();
                    out.push(end);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                new_line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(character);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => out.push(character),
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
}

/// `whsub_01h…` → `whsub_…`, secrets and keys → what kind they are.
pub fn redacted(text: &str) -> String {
    let text: Vec<&str> = text.split('"').map(redacted_value).collect();
    let text = &without_request_ids(&text.join("\""));
    let mut out = String::new();
    let mut word = String::new();
    for character in text.chars().chain([' ']) {
        if character.is_ascii_alphanumeric() || "_+/=".contains(character) && !word.is_empty() {
            word.push(character);
        } else {
            out.push_str(&redacted_word(&word));
            word.clear();
            out.push(character);
        }
    }
    out.pop();
    out
}

/// Moments by the real clock → how precisely they are told.
pub fn without_moments(text: &str) -> String {
    let moment = |value: &str| match value.parse::<Timestamp>() {
        Ok(_) if value.len() == "2026-02-18T12:00:00.000Z".len() && value.ends_with('Z') => "<moment in ms>".to_owned(),
        Ok(_) if value.len() == "2026-02-18T12:00:00Z".len() && value.ends_with('Z') => "<moment in s>".to_owned(),
        _ => value.to_owned(),
    };
    text.split('"').map(moment).collect::<Vec<_>>().join("\"")
}

/// `req_` and a UUID, whose groups would be words of their own.
fn without_request_ids(text: &str) -> String {
    const UUID_LENGTH: usize = 36;
    let mut parts = text.split("req_");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_id = part.get(..UUID_LENGTH).is_some_and(|id| id.split('-').count() == 5);
        out.push_str(if is_id { "req_…" } else { "req_" });
        out.push_str(if is_id { &part[UUID_LENGTH..] } else { part });
    }
    out
}

/// Whole values that are no words: UUIDs, and secrets in base64.
fn redacted_value(value: &str) -> &str {
    let is_hex = |group: &str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    let groups = || value.split('-');
    if groups().map(str::len).eq([8, 4, 4, 4, 12]) && groups().all(is_hex) {
        return "<uuid>";
    }
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    if value.len() == 44 && value.strip_suffix('=').is_some_and(|digits| digits.bytes().all(is_base64)) {
        return "<base64 of 32 bytes>";
    }
    value
}

fn redacted_word(word: &str) -> String {
    // A path is several words that belong together.
    if word.contains('/') && !word.starts_with("whsec_") {
        return word.split('/').map(redacted_word).collect::<Vec<_>>().join("/");
    }
    if word.len() > "whsec_".len() && word.starts_with("whsec_") {
        return "<whsec>".to_owned();
    }
    if word.len() == 22 && word.starts_with("mk_we_") {
        return "mk_we_…".to_owned();
    }
    if word.starts_with("ww_") {
        return "<key>".to_owned();
    }
    let is_ulid = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    if word.len() == 26 && word.starts_with('0') && word.bytes().all(is_ulid) {
        return "<request id>".to_owned();
    }
    for prefix in ["whsub", "evt", "dlv", "att", "key", "tnt", "job", "usr", "ses"] {
        let id = word.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
        if id.is_some_and(|id| id.len() == 26) {
            return format!("{prefix}_…");
        }
    }
    if word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase()) {
        return "<64 hex>".to_owned();
    }
    word.to_owned()
}
