//! What the authority asks for at port 80 to see that a domain leads here (HTTP-01, RFC 8555 section 8.3).

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

/// The path of a challenge, up to its token.
pub const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";

/// Answers by token: one for each order under way, so never more than there are domains.
#[derive(Debug, Clone, Default)]
pub struct Challenges(Arc<RwLock<HashMap<String, String>>>);

/// An answer that is given until this is dropped.
pub struct Posted {
    challenges: Challenges,
    token: String,
}

impl Challenges {
    pub fn post(&self, token: &str, answer: &str) -> Posted {
        self.0.write().expect("no holder of it panics").insert(token.to_owned(), answer.to_owned());
        Posted { challenges: self.clone(), token: token.to_owned() }
    }

    pub fn answer(&self, token: &str) -> Option<String> {
        self.0.read().expect("no holder of it panics").get(token).cloned()
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        self.challenges.0.write().expect("no holder of it panics").remove(&self.token);
    }
}
