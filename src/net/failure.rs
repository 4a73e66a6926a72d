//! Why an exchange came to nothing: the class that a subscriber may know, and the detail for the operator.

use std::error::Error;
use std::io;

use crate::domain::delivery::{ErrorClass, Outcome};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub class: ErrorClass,
    pub detail: String,
}

impl Failure {
    pub fn new(class: ErrorClass, detail: impl Into<String>) -> Self {
        Self { class, detail: detail.into() }
    }

    /// The deadline passed; `doing` says during what.
    pub fn timeout(doing: &str) -> Self {
        Self::new(ErrorClass::Timeout, format!("no time left while {doing}"))
    }

    pub fn tls(error: &io::Error) -> Self {
        Self::new(ErrorClass::Tls, chain(error))
    }

    /// Of a connection that was open: the peer broke off. A TLS alert can come as late as that (RFC 8446 section
    /// 4.4.2.4: a server may refuse the client after the client finished).
    pub fn http1(error: &io::Error) -> Self {
        let class = if is_of_tls(error) { ErrorClass::Tls } else { ErrorClass::Http };
        Self::new(class, chain(error))
    }

    /// The same of HTTP/2.
    pub fn http2(error: &hyper::Error) -> Self {
        let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        let class = if cause.is_some_and(is_of_tls) { ErrorClass::Tls } else { ErrorClass::Http };
        Self::new(class, chain(error))
    }
}

impl From<Failure> for Outcome {
    fn from(Failure { class, detail }: Failure) -> Self {
        Self::Error { class, detail }
    }
}

fn is_of_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

/// An error and its causes, as one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        // Some errors repeat the text of their cause.
        if !text.ends_with(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}
