//! How far something long is: a bar on the terminal, and nothing where nobody watches.

use std::io::{self, IsTerminal, Write};

const WIDTH: u64 = 30;

pub(super) struct Bar {
    is_watched: bool,
    /// What stands there.
    shown: String,
}

impl Bar {
    pub(super) fn new() -> Self {
        Self { is_watched: io::stderr().is_terminal(), shown: String::new() }
    }

    pub(super) fn show(&mut self, what: &str, done: u64, total: u64) {
        let line = line(what, done, total);
        if self.is_watched && line != self.shown {
            // When even this cannot be written, what it stands for goes on.
            _ = write!(io::stderr(), "\r{line}\x1b[K");
            self.shown = line;
        }
    }

    /// Leaves an empty line for what comes next.
    pub(super) fn end(&mut self) {
        if !self.shown.is_empty() {
            _ = write!(io::stderr(), "\r\x1b[K");
            self.shown.clear();
        }
    }
}

fn line(what: &str, done: u64, total: u64) -> String {
    let done = done.min(total);
    let filled = usize::try_from((done * WIDTH).checked_div(total).unwrap_or(0)).unwrap_or(0);
    let left = usize::try_from(WIDTH).unwrap_or(0) - filled;
    let percent = (done * 100).checked_div(total).unwrap_or(0);
    format!("{what:<10} [{}{}] {percent:>3} %", "#".repeat(filled), ".".repeat(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_and_never_overflows() {
        for (done, total, expected) in [
            (0, 10, "copying    [..............................]   0 %"),
            (5, 10, "copying    [###############...............]  50 %"),
            (10, 10, "copying    [##############################] 100 %"),
            (11, 10, "copying    [##############################] 100 %"),
            (0, 0, "copying    [..............................]   0 %"),
        ] {
            assert_eq!(line("copying", done, total), expected);
        }
    }
}
