//! The form in which subscriptions come from another sender, and go to another instance: a row for each, JSON or CSV.

use clap::ValueEnum;
use serde_json::{Map, Value};

use super::Failure;
use super::csv::{self, OpenQuote, Record};

/// What one import takes: more is better told apart in several reports.
pub(super) const ROWS_MAX: usize = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Json,
    Csv,
}

/// How a column is written in a cell. In JSON it is what the API takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Flag,
    Number,
    /// Separated by spaces, commas or semicolons.
    Numbers,
    List,
    /// A JSON object.
    Pairs,
}

/// Whose subscription it is: an id or external id of a tenant.
pub(super) const TENANT: &str = "tenant";
/// What the other sender calls it: for the report.
pub(super) const EXTERNAL_ID: &str = "external_id";

/// Beside the first two, the members of `POST /v1/webhook-subscriptions`.
const COLUMNS: [(&str, Kind); 21] = [
    (EXTERNAL_ID, Kind::Text),
    (TENANT, Kind::Text),
    ("url", Kind::Text),
    ("events", Kind::List),
    ("secret", Kind::Text),
    ("profile", Kind::Text),
    ("api_version", Kind::Text),
    ("description", Kind::Text),
    ("is_active", Kind::Flag),
    ("channels", Kind::List),
    ("headers", Kind::Pairs),
    ("metadata", Kind::Pairs),
    ("marea_id", Kind::Text),
    ("agentmessage_id", Kind::Text),
    ("envelope", Kind::Text),
    ("max_in_flight", Kind::Number),
    ("timeout_seconds", Kind::Number),
    ("rate_limit", Kind::Number),
    ("retry_schedule", Kind::Numbers),
    ("ordering", Kind::Text),
    ("circuit_breaker", Kind::Flag),
];

/// The names of all columns.
pub(super) fn columns() -> impl Iterator<Item = &'static str> {
    COLUMNS.into_iter().map(|(name, _)| name)
}

/// One row as it was read.
#[derive(Debug)]
pub(super) struct Row {
    /// Where it begins: `line 3` of a CSV file, `item 2` of a JSON array, both from 1.
    pub place: String,
    /// Or what is wrong with its cells.
    pub members: Result<Map<String, Value>, String>,
}

/// What the text says it is, unless that was said.
pub(super) fn read(text: &str, format: Option<Format>) -> Result<Vec<Row>, Failure> {
    let is_json = text.trim_start_matches('\u{feff}').trim_start().starts_with(['[', '{']);
    let rows = match format.unwrap_or(if is_json { Format::Json } else { Format::Csv }) {
        Format::Json => read_json(text)?,
        Format::Csv => read_csv(text)?,
    };
    if rows.len() > ROWS_MAX {
        return Err(Failure::Usage(format!("there are {} rows; one import takes {ROWS_MAX}: split them", rows.len())));
    }
    Ok(rows)
}

fn read_json(text: &str) -> Result<Vec<Row>, Failure> {
    let items: Vec<Value> = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| Failure::Usage(format!("this is no JSON array of subscriptions: {error}")))?;
    let row = |(index, item): (usize, Value)| Row {
        place: format!("item {}", index + 1),
        members: match item {
            Value::Object(members) => Ok(members),
            _ => Err("it is no object".to_owned()),
        },
    };
    Ok(items.into_iter().enumerate().map(row).collect())
}

fn read_csv(text: &str) -> Result<Vec<Row>, Failure> {
    let records =
        csv::read(text).map_err(|OpenQuote(line)| Failure::Usage(format!("the quote in line {line} is not closed")))?;
    let mut records = records.into_iter();
    let Some(Record { line: _, cells: names }) = records.next() else { return Ok(Vec::new()) };
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        match COLUMNS.into_iter().find(|(known, _)| *known == name) {
            Some(column) if columns.contains(&column) => {
                return Err(Failure::Usage(format!("the column `{name}` is there twice")));
            }
            Some(column) => columns.push(column),
            None => {
                let known: Vec<&str> = self::columns().collect();
                return Err(Failure::Usage(format!("there is no column `{name}`; columns are {}", known.join(", "))));
            }
        }
    }
    let row = |Record { line, cells }| Row { place: format!("line {line}"), members: read_cells(&columns, &cells) };
    Ok(records.map(row).collect())
}

fn read_cells(columns: &[(&str, Kind)], cells: &[String]) -> Result<Map<String, Value>, String> {
    if cells.len() > columns.len() {
        return Err(format!("it has {} cells, and there are {} columns", cells.len(), columns.len()));
    }
    let mut members = Map::new();
    let mut problems = Vec::new();
    for ((name, kind), cell) in columns.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
        match read_cell(*kind, cell) {
            Ok(value) => drop(members.insert((*name).to_owned(), value)),
            Err(expected) => problems.push(format!("`{name}` is not {expected}")),
        }
    }
    if problems.is_empty() { Ok(members) } else { Err(problems.join("; ")) }
}

fn read_cell(kind: Kind, cell: &str) -> Result<Value, &'static str> {
    let parts = || cell.split([' ', ',', ';']).filter(|part| !part.is_empty());
    match kind {
        Kind::Text => Ok(cell.into()),
        Kind::Flag => cell.parse::<bool>().map(Value::from).map_err(|_| "true or false"),
        Kind::Number => cell.parse::<i64>().map(Value::from).map_err(|_| "a whole number"),
        Kind::Numbers => {
            let numbers: Result<Vec<i64>, _> = parts().map(str::parse).collect();
            numbers.map(Value::from).map_err(|_| "whole numbers with spaces between them")
        }
        Kind::List => Ok(parts().collect::<Vec<_>>().into()),
        Kind::Pairs => {
            let pairs: Result<Map<String, Value>, _> = serde_json::from_str(cell);
            pairs.map(Value::Object).map_err(|_| "a JSON object")
        }
    }
}

/// Without a row, CSV is its first line alone.
pub(super) fn write(rows: &[Map<String, Value>], format: Format) -> String {
    match format {
        Format::Json => serde_json::to_string_pretty(rows).expect("a JSON value is always JSON") + "\n",
        Format::Csv => {
            let line = |row: &Map<String, Value>| {
                let cells: Vec<String> = columns().map(|name| row.get(name).map(cell_of).unwrap_or_default()).collect();
                csv::write(cells.iter().map(String::as_str))
            };
            csv::write(columns()) + &rows.iter().map(line).collect::<String>()
        }
    }
}

fn cell_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell_of).collect::<Vec<_>>().join(" "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn members(row: &Row) -> Value {
        match &row.members {
            Ok(members) => Value::Object(members.clone()),
            Err(problem) => json!(problem),
        }
    }

    #[test]
    fn a_row_is_the_same_in_both_forms() {
        let row = json!({
            "external_id": "17", "tenant": "acme", "url": "https://example.com/a?b=1,2", "events": ["order.paid", "a.*"],
            "secret": "whsec_x", "profile": "mage", "description": "two\nlines, \"quoted\" ", "is_active": false,
            "channels": ["shop:1", "shop:2"], "headers": { "x-a": "b, c" }, "metadata": { "k": "v" },
            "marea_id": "mk_we_0123456789abcdef", "agentmessage_id": "018f2d0c-7a4c-7f3e-8f1f-3a2b9c1d2e0f",
            "envelope": "raw", "api_version": "2026-04-01", "max_in_flight": 3, "timeout_seconds": 4, "rate_limit": 5, "retry_schedule": [6, 7],
            "ordering": "fifo", "circuit_breaker": true,
        });
        let Value::Object(row) = row else { unreachable!("it was just made") };
        assert!(columns().all(|name| row.contains_key(name)), "every column is tried");
        for format in [Format::Json, Format::Csv] {
            let text = write(std::slice::from_ref(&row), format);
            let rows = read(&text, None).unwrap();
            assert_eq!(rows.len(), 1, "{text}");
            assert_eq!(members(&rows[0]), Value::Object(row.clone()), "{text}");
        }
        // null and absent are the same in a cell.
        let empty =
            Map::from_iter([("url".to_owned(), json!("https://a.example/")), ("rate_limit".to_owned(), Value::Null)]);
        let rows = read(&write(&[empty], Format::Csv), None).unwrap();
        assert_eq!(members(&rows[0]), json!({ "url": "https://a.example/" }));
    }

    #[test]
    fn what_is_wrong_with_a_row_is_told_with_its_place_and_the_others_are_read() {
        let text = "url,is_active,headers,max_in_flight\n\
                    https://a.example/,yes,x,ten\n\
                    https://b.example/,true,\"{\"\"a\"\":\"\"b\"\"}\",10\n\
                    https://c.example/,,,,\n";
        let rows = read(text, None).unwrap();
        let shown: Vec<String> = rows.iter().map(|row| format!("{}: {}", row.place, members(row))).collect();
        expect_test::expect![[r#"
            line 2: "`is_active` is not true or false; `headers` is not a JSON object; `max_in_flight` is not a whole number"
            line 3: {"headers":{"a":"b"},"is_active":true,"max_in_flight":10,"url":"https://b.example/"}
            line 4: "it has 5 cells, and there are 4 columns""#]]
        .assert_eq(&shown.join("\n"));
        let rows = read(r#"[1, {"url": "x"}]"#, None).unwrap();
        assert_eq!(rows[0].members, Err("it is no object".to_owned()));
        assert_eq!((rows[1].place.as_str(), members(&rows[1])), ("item 2", json!({ "url": "x" })));
        for text in ["{}", "[", "url,colour\n", "url,url\n", "url\n\"x\n"] {
            assert!(matches!(read(text, None), Err(Failure::Usage(_))), "{text}");
        }
    }
}
