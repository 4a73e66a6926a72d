//! Colours for a terminal, and none for anything else.

/// Colours text, or leaves it as it is.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    is_on: bool,
}

impl Paint {
    pub fn for_stdout() -> Self {
        Self::for_stream(std::io::IsTerminal::is_terminal(&std::io::stdout()))
    }

    /// On for a terminal, unless `NO_COLOR` is set to anything (no-color.org) or the terminal is a dumb one.
    pub fn for_stream(is_terminal: bool) -> Self {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|text| !text.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        Self { is_on: is_terminal && !is_set("NO_COLOR") && !is_dumb }
    }

    pub fn is_on(self) -> bool {
        self.is_on
    }

    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    pub fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    pub fn cyan(self, text: &str) -> String {
        self.with("36", text)
    }

    /// `code`: an ECMA-48 "select graphic rendition" parameter.
    fn with(self, code: &str, text: &str) -> String {
        if self.is_on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
