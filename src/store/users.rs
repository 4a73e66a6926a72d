//! Users, their invitations and their sessions: made, changed, and ended together with what they stand on.

use super::commit::{Store, Transaction};
use super::record::{InvitationRecord, SessionRecord, UserRecord};
use super::schema::{Holder, Invitations, MetaName, Sessions, SessionsUsed, Users};
use super::subscriptions::CONFIGURATION_BYTES;
use super::{Catalogue, Edit, StoreError};
use crate::domain::actor::ActorId;
use crate::domain::id::{SessionId, UserId};
use crate::domain::obstacle::{Limited, Obstacle};
use crate::domain::password::PasswordHash;
use crate::domain::session::{SESSIONS_OF_ONE_MAX, Session, SignedIn};
use crate::domain::time::Timestamp;
use crate::domain::token::TokenHash;
use crate::domain::user::{Email, Invitation, Invited, Role, USERS_MAX, User};

/// What somebody who follows an invitation chooses.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Only the first owner does.
    pub email: Option<Email>,
    /// None: as it is.
    pub name: Option<String>,
    pub password: PasswordHash,
}

/// What was checked before a session begins, and has to be so still.
#[derive(Debug, Clone)]
pub struct Checked {
    pub password: PasswordHash,
    /// The step of the code of the second factor, which is used up by this.
    pub totp_step: Option<i64>,
}

impl Store {
    /// Id and times are assigned; the invitation is to the new user. `AlreadyExists` when another user has the e-mail
    /// address, `LimitExceeded`.
    pub async fn create_user(&self, user: User, hash: TokenHash, expires_at: Timestamp) -> Result<User, StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            transaction.check_space()?;
            let id = UserId::from_u128(transaction.next_id());
            let user = User { id, created_at: transaction.now, updated_at: transaction.now, ..user };
            transaction.check_new_user(&user)?;
            transaction.put_user(&user)?;
            transaction.put_invitation(&Invitation { hash, to: Invited::User(id), expires_at })?;
            Ok(user)
        })
        .await
    }

    /// A change of the password ends the user's other sessions. `NotFound`; `InvalidState` when no owner would be left.
    pub async fn update_user(&self, id: UserId, edit: Edit<User>, keep: Option<SessionId>) -> Result<User, StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            let known = transaction.user(id)?;
            let mut changed = known.clone();
            edit(&mut changed)?;
            if changed == known {
                return Ok(known);
            }
            if changed.role != Role::Owner {
                transaction.check_other_owner(id)?;
            }
            changed.updated_at = transaction.now;
            transaction.put_user(&changed)?;
            if changed.password != known.password {
                transaction.end_sessions_of(SignedIn::User(id), keep)?;
            }
            Ok(changed)
        })
        .await
    }

    /// With its sessions and its invitation. `NotFound`; `InvalidState` when no owner would be left.
    pub async fn delete_user(&self, id: UserId) -> Result<(), StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            transaction.user(id)?;
            transaction.check_other_owner(id)?;
            transaction.end_sessions_of(SignedIn::User(id), None)?;
            transaction.remove_invitation_to(Invited::User(id))?;
            transaction.tables.remove::<Users>(&id)?;
            transaction.tables.raise_meta_id(MetaName::AssignedUpTo, id.as_u128())?;
            transaction.catalogue_mut().remove_user(id);
            Ok(())
        })
        .await
    }

    /// Takes the place of an earlier invitation to the same one. `NotFound`; `InvalidState` when it is to the first owner and
    /// there is a user.
    pub async fn invite(&self, invitation: Invitation) -> Result<(), StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            match invitation.to {
                Invited::User(id) => drop(transaction.user(id)?),
                Invited::FirstOwner if transaction.with_catalogue(|catalogue| catalogue.users().next().is_some()) => {
                    return Err(StoreError::InvalidState(Obstacle::UserExists));
                }
                Invited::FirstOwner => {}
            }
            transaction.put_invitation(&invitation)
        })
        .await
    }

    /// Uses an invitation up: the first owner is made, or a user gets a password, and all sessions before it end. `session`
    /// begins, and its id, owner and time are assigned. `NotFound` when the invitation is unknown, used or over.
    pub async fn follow_invitation(
        &self,
        hash: TokenHash,
        chosen: Chosen,
        session: Session,
    ) -> Result<(User, Session), StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            let now = transaction.now;
            let invitation = transaction.with_catalogue(|catalogue| catalogue.invitation(&hash).cloned());
            let invitation = invitation.filter(|invitation| now < invitation.expires_at).ok_or(StoreError::NotFound)?;
            let Chosen { email, name, password } = chosen;
            let user = match invitation.to {
                Invited::User(id) => transaction.user(id)?,
                Invited::FirstOwner => {
                    let first = User {
                        id: UserId::from_u128(transaction.next_id()),
                        email: email.ok_or(StoreError::InvalidState(Obstacle::Changed))?,
                        name: String::new(),
                        role: Role::Owner,
                        password: None,
                        totp: None,
                        last_signed_in_at: None,
                        created_at: now,
                        updated_at: now,
                    };
                    transaction.check_new_user(&first)?;
                    first
                }
            };
            let user = User {
                name: name.unwrap_or(user.name),
                password: Some(password),
                last_signed_in_at: Some(now),
                updated_at: now,
                ..user
            };
            transaction.put_user(&user)?;
            transaction.remove_invitation_to(invitation.to)?;
            transaction.end_sessions_of(SignedIn::User(user.id), None)?;
            let session = transaction.begin_session(Session { of: SignedIn::User(user.id), ..session })?;
            Ok((user, session))
        })
        .await
    }

    /// Begins a session; its id and time are assigned. `NotFound` when the user or what was checked of it is no more,
    /// `PreconditionFailed` when the code of the second factor was used up meanwhile.
    pub async fn begin_session(&self, session: Session, checked: Option<Checked>) -> Result<Session, StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            if let SignedIn::User(id) = session.of {
                let user = transaction.user(id)?;
                let checked = checked.filter(|checked| user.password.as_ref() == Some(&checked.password));
                let Checked { password: _, totp_step } = checked.ok_or(StoreError::NotFound)?;
                let mut user = User { last_signed_in_at: Some(transaction.now), ..user };
                if let Some(totp) = user.totp.as_mut().filter(|totp| totp.is_confirmed) {
                    totp.last_step =
                        totp_step.filter(|step| *step > totp.last_step).ok_or(StoreError::PreconditionFailed)?;
                }
                transaction.put_user(&user)?;
            }
            transaction.begin_session(session)
        })
        .await
    }

    /// `NotFound`.
    pub async fn end_session(&self, id: SessionId) -> Result<(), StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| transaction.end_session(id)).await
    }

    /// All of one user, or of one key.
    pub async fn end_sessions_of(&self, of: SignedIn) -> Result<(), StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| transaction.end_sessions_of(of, None)).await
    }

    pub fn session_last_used(&self, id: SessionId) -> Option<Timestamp> {
        self.actor_last_used(ActorId::Session(id))
    }
}

impl Transaction<'_> {
    fn user(&self, id: UserId) -> Result<User, StoreError> {
        let user = self.with_catalogue(|catalogue| catalogue.user(id).map(|user| User::clone(user)));
        user.ok_or(StoreError::NotFound)
    }

    fn check_new_user(&self, user: &User) -> Result<(), StoreError> {
        self.with_catalogue(|catalogue| {
            if catalogue.user_by_email(&user.email).is_some() {
                return Err(StoreError::AlreadyExists);
            }
            let is_full = catalogue.users().count() >= USERS_MAX as usize;
            if is_full { Err(StoreError::LimitExceeded { max: USERS_MAX, of_what: Limited::Users }) } else { Ok(()) }
        })
    }

    /// An owner who can sign in has to be left.
    fn check_other_owner(&self, id: UserId) -> Result<(), StoreError> {
        let is_owner = |user: &User| user.role == Role::Owner && user.password.is_some();
        self.with_catalogue(|catalogue| {
            let needs_other = catalogue.user(id).is_some_and(|user| is_owner(user));
            let has_other = catalogue.users().any(|user| user.id != id && is_owner(user));
            if needs_other && !has_other { Err(StoreError::InvalidState(Obstacle::LastOwner)) } else { Ok(()) }
        })
    }

    fn put_user(&mut self, user: &User) -> Result<(), StoreError> {
        self.tables.put::<Users>(&user.id, &UserRecord::from_domain(user, &self.shared.crypt))?;
        self.catalogue_mut().put_user(user.clone());
        Ok(())
    }

    fn put_invitation(&mut self, invitation: &Invitation) -> Result<(), StoreError> {
        self.remove_invitation_to(invitation.to)?;
        self.tables.put::<Invitations>(&invitation.hash, &InvitationRecord::from(invitation))?;
        self.catalogue_mut().put_invitation(invitation.clone());
        Ok(())
    }

    fn remove_invitation_to(&mut self, to: Invited) -> Result<(), StoreError> {
        let hash = self.with_catalogue(|catalogue| catalogue.invitation_to(to).map(|invitation| invitation.hash));
        let Some(hash) = hash else { return Ok(()) };
        self.tables.remove::<Invitations>(&hash)?;
        self.catalogue_mut().remove_invitation(to);
        match to {
            Invited::User(id) => self.forget_secrets(Holder::User(id)),
            Invited::FirstOwner => Ok(()),
        }
    }

    fn begin_session(&mut self, session: Session) -> Result<Session, StoreError> {
        let session = Session { id: SessionId::from_u128(self.next_id()), created_at: self.now, ..session };
        let known = self.with_catalogue(|catalogue| sessions_of(catalogue, session.of));
        let too_many = (known.len() + 1).saturating_sub(SESSIONS_OF_ONE_MAX);
        known.into_iter().take(too_many).try_for_each(|id| self.end_session(id))?;
        self.tables.put::<Sessions>(&session.id, &SessionRecord::from(&session))?;
        self.catalogue_mut().put_session(session.clone());
        Ok(session)
    }

    fn end_session(&mut self, id: SessionId) -> Result<(), StoreError> {
        if self.with_catalogue(|catalogue| catalogue.session(id).is_none()) {
            return Err(StoreError::NotFound);
        }
        self.tables.remove::<Sessions>(&id)?;
        self.tables.remove::<SessionsUsed>(&id)?;
        self.tables.raise_meta_id(MetaName::AssignedUpTo, id.as_u128())?;
        self.forget_secrets(Holder::Asker(id.to_bytes()))?;
        self.catalogue_mut().remove_session(id);
        Ok(())
    }

    fn end_sessions_of(&mut self, of: SignedIn, keep: Option<SessionId>) -> Result<(), StoreError> {
        let known = self.with_catalogue(|catalogue| sessions_of(catalogue, of));
        known.into_iter().filter(|id| Some(*id) != keep).try_for_each(|id| self.end_session(id))
    }

    /// Ends the sessions, and removes the invitations, whose time is over.
    pub(super) fn remove_what_lets_nobody_in(&mut self) -> Result<(), StoreError> {
        let last_uses = {
            let memory = self.shared.last_uses.lock().expect("nothing panics while it holds the lock");
            memory.last.clone()
        };
        let now = self.now;
        let is_over =
            |session: &Session| session.expires_at(last_uses.get(&ActorId::Session(session.id)).copied()) <= now;
        let (sessions, invited) = self.with_catalogue(|catalogue| {
            let sessions = catalogue.sessions().filter(|session| is_over(session)).map(|session| session.id);
            let invitations = catalogue.invitations().filter(|invitation| invitation.expires_at <= now);
            (sessions.collect::<Vec<_>>(), invitations.map(|invitation| invitation.to).collect::<Vec<_>>())
        });
        sessions.into_iter().try_for_each(|id| self.end_session(id))?;
        invited.into_iter().try_for_each(|to| self.remove_invitation_to(to))
    }
}

/// Oldest first.
fn sessions_of(catalogue: &Catalogue, of: SignedIn) -> Vec<SessionId> {
    catalogue.sessions().filter(|session| session.of == of).map(|session| session.id).collect()
}
