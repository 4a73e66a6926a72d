//! Columns for people: each as wide as its widest cell.

/// Two spaces between columns, none at the end of a line. Rows may differ in length.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        let rows = [row(&["id", "name", "scopes"]), row(&["key_1", "ci", "full_access"]), row(&["k", "é", ""])];
        expect_test::expect![[r"
            id     name  scopes
            key_1  ci    full_access
            k      é"]]
        .assert_eq(&table(&rows));
        assert_eq!(table(&[]), "");
    }
}
