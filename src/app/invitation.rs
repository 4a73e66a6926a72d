//! Links where a password is chosen, made without the API: at the first start, and on the store of a stopped server.

use crate::clock::Clock;
use crate::domain::token::Token;
use crate::domain::user::{INVITATION_LIVES, Invitation, Invited, invitation_url};
use crate::store::{Store, StoreError};

/// Makes a link; an earlier one to the same ends. `base` is what it begins with: `http://127.0.0.1:8620`.
///
/// `InvalidState` when it is for the first user and there is one.
pub async fn make_link(store: &Store, clock: &Clock, to: Invited, base: &str) -> Result<String, StoreError> {
    let token = Token::generate(&mut rand::rng());
    let expires_at = clock.now().plus(INVITATION_LIVES);
    store.invite(Invitation { hash: token.hash(), to, expires_at }).await?;
    Ok(invitation_url(base, &token))
}
