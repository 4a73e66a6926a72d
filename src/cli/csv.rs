//! Comma-separated values (RFC 4180), as spreadsheets and databases write them.

/// A line of the table, which may be several lines of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The line of the file in which it begins, from 1.
    pub line: usize,
    pub cells: Vec<String>,
}

/// A quote that is not closed: the line in which it was opened, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OpenQuote(pub usize);

/// Empty lines are skipped. Where the first line has semicolons and no comma, they separate. What is not quoted loses the
/// spaces around it.
pub(super) fn read(text: &str) -> Result<Vec<Record>, OpenQuote> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let heading = text.lines().next().unwrap_or_default();
    let separator = if heading.contains(';') && !heading.contains(',') { ';' } else { ',' };
    let mut records = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while !rest.is_empty() {
        let begins = line;
        let mut cells = Vec::new();
        loop {
            let (cell, after) = match rest.trim_start_matches(' ').strip_prefix('"') {
                Some(quoted) => {
                    let (cell, after) = read_quoted(quoted).ok_or(OpenQuote(line))?;
                    line += cell.matches('\n').count();
                    (cell, after)
                }
                None => {
                    let end = rest.find([separator, '\n']).unwrap_or(rest.len());
                    (rest[..end].trim().to_owned(), &rest[end..])
                }
            };
            cells.push(cell);
            // What stands between a closing quote and the separator means nothing.
            let end = after.find([separator, '\n']).unwrap_or(after.len());
            match after[end..].strip_prefix(separator) {
                Some(next) => rest = next,
                None => {
                    rest = after[end..].strip_prefix('\n').unwrap_or_default();
                    line += 1;
                    break;
                }
            }
        }
        if cells != [""] {
            records.push(Record { line: begins, cells });
        }
    }
    Ok(records)
}

/// What follows an opening quote: the cell, and what stands after the closing one.
fn read_quoted(text: &str) -> Option<(String, &str)> {
    let mut cell = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        cell.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                cell.push('"');
                rest = more;
            }
            None => return Some((cell, after)),
        }
    }
}

/// One line, with its end.
pub(super) fn write<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let quoted = |cell: &str| {
        let is_plain = !cell.contains([',', ';', '"', '\n', '\r']) && cell.trim() == cell;
        if is_plain { cell.to_owned() } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
    };
    cells.into_iter().map(quoted).collect::<Vec<_>>().join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_as_spreadsheets_write_them() {
        for (text, expected) in [
            ("", "[]"),
            ("a,b\n1,2\n", r#"[(1, ["a", "b"]), (2, ["1", "2"])]"#),
            ("a,b\r\n1,\r\n", r#"[(1, ["a", "b"]), (2, ["1", ""])]"#),
            ("\u{feff}a\n1", r#"[(1, ["a"]), (2, ["1"])]"#),
            ("a\n\n\n1\n", r#"[(1, ["a"]), (4, ["1"])]"#),
            ("a , b\n 1 ,\" 2 \"\n", r#"[(1, ["a", "b"]), (2, ["1", " 2 "])]"#),
            ("a,b\n\"1,\"\"x\"\"\n2\",3\n4,5", r#"[(1, ["a", "b"]), (2, ["1,\"x\"\n2", "3"]), (4, ["4", "5"])]"#),
            ("a;b\n1;\"x;y\"\n", r#"[(1, ["a", "b"]), (2, ["1", "x;y"])]"#),
            ("a,b\n1,2;3\n", r#"[(1, ["a", "b"]), (2, ["1", "2;3"])]"#),
            ("a,b\n,\n", r#"[(1, ["a", "b"]), (2, ["", ""])]"#),
        ] {
            let records = read(text).unwrap().into_iter().map(|Record { line, cells }| (line, cells));
            assert_eq!(format!("{:?}", records.collect::<Vec<_>>()), expected, "{text:?}");
        }
        assert_eq!(read("a,b\n1,2\n3,\"4\n5\n"), Err(OpenQuote(3)));
    }

    #[test]
    fn what_is_written_reads_back() {
        for cells in [["a", "b"], ["", "x,y"], ["\"", "a\"b"], ["two\nlines", " spaces "], ["a;b", "\r"]] {
            let text = write(["one", "two"]) + &write(cells);
            assert_eq!(read(&text).unwrap()[1].cells, cells, "{text}");
        }
    }
}
