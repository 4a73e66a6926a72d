//! Portal links: made, followed once, revoked, and removed when they are long over.

use super::commit::{Store, Transaction};
use super::record::PortalLinkRecord;
use super::schema::{Holder, MetaName, PortalLinks};
use super::subscriptions::CONFIGURATION_BYTES;
use super::{Remember, StoreError};
use crate::domain::id::{PortalLinkId, TenantId};
use crate::domain::obstacle::Limited;
use crate::domain::portal_link::{KEPT, LINKS_MAX, PortalLink, PortalSession};
use crate::domain::token::TokenHash;

/// Links that one step of retention removes.
const REMOVED_PER_STEP_MAX: usize = 256;

impl Store {
    /// Id and `created_at` are assigned. `NotFound` (tenant), `LimitExceeded`.
    pub async fn create_portal_link(
        &self,
        link: PortalLink,
        remember: Option<Remember<PortalLink>>,
    ) -> Result<PortalLink, StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            transaction.check_space()?;
            let now = transaction.now;
            let (is_there, count) = transaction.with_catalogue(|catalogue| {
                let live =
                    catalogue.portal_links().filter(|known| known.tenant == link.tenant && known.over_at() > now);
                (catalogue.tenant(link.tenant).is_some(), live.count())
            });
            if !is_there {
                return Err(StoreError::NotFound);
            }
            if count >= LINKS_MAX as usize {
                return Err(StoreError::LimitExceeded { max: LINKS_MAX, of_what: Limited::PortalLinks });
            }
            let link = PortalLink { id: PortalLinkId::from_u128(transaction.next_id()), created_at: now, ..link };
            transaction.put_portal_link(&link)?;
            transaction.remember(remember, &link)?;
            Ok(link)
        })
        .await
    }

    /// Makes the session of the link with this token. `NotFound` when there is no such link, or it cannot be followed (any
    /// more).
    pub async fn follow_portal_link(&self, token: TokenHash, bearer: TokenHash) -> Result<PortalLink, StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            let now = transaction.now;
            let known = transaction.with_catalogue(|catalogue| catalogue.portal_link_by_token(&token).cloned());
            let known = known.filter(|link| link.can_be_followed(now)).ok_or(StoreError::NotFound)?;
            let lives = std::time::Duration::from_secs(known.session_seconds.into());
            let session = PortalSession { hash: bearer, began_at: now, expires_at: now.plus(lives) };
            let link = PortalLink { session: Some(session), ..PortalLink::clone(&known) };
            transaction.put_portal_link(&link)?;
            Ok(link)
        })
        .await
    }

    /// The session that was made from the link ends at once. Ending it again changes nothing. `NotFound`.
    pub async fn end_portal_session(&self, id: PortalLinkId) -> Result<(), StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            let now = transaction.now;
            let known = transaction.with_catalogue(|catalogue| catalogue.portal_link(id).cloned());
            let known = known.ok_or(StoreError::NotFound)?;
            let Some(live) = known.live_session(now) else { return Ok(()) };
            let session = PortalSession { expires_at: now, ..live.clone() };
            transaction.put_portal_link(&PortalLink { session: Some(session), ..PortalLink::clone(&known) })?;
            transaction.forget_secrets(Holder::Asker(id.to_bytes()))
        })
        .await
    }

    /// The link and the session that was made from it end at once. Revoking it again changes nothing.
    pub async fn revoke_portal_link(&self, id: PortalLinkId) -> Result<(), StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            let known = transaction.with_catalogue(|catalogue| catalogue.portal_link(id).cloned());
            let known = known.ok_or(StoreError::NotFound)?;
            if known.revoked_at.is_some() {
                return Ok(());
            }
            transaction
                .put_portal_link(&PortalLink { revoked_at: Some(transaction.now), ..PortalLink::clone(&known) })?;
            transaction.forget_secrets(Holder::Asker(id.to_bytes()))
        })
        .await
    }
}

impl Transaction<'_> {
    fn put_portal_link(&mut self, link: &PortalLink) -> Result<(), StoreError> {
        self.tables.put::<PortalLinks>(&link.id, &PortalLinkRecord::from(link))?;
        self.catalogue_mut().put_portal_link(link.clone());
        Ok(())
    }

    fn remove_portal_link(&mut self, id: PortalLinkId) -> Result<(), StoreError> {
        self.tables.remove::<PortalLinks>(&id)?;
        self.tables.raise_meta_id(MetaName::AssignedUpTo, id.as_u128())?;
        self.forget_secrets(Holder::Asker(id.to_bytes()))?;
        self.catalogue_mut().remove_portal_link(id);
        Ok(())
    }

    /// Those of a tenant that is deleted.
    pub(super) fn remove_portal_links(&mut self, tenant: TenantId) -> Result<(), StoreError> {
        let ids = self.portal_links_where(usize::MAX, |link| link.tenant == tenant);
        ids.into_iter().try_for_each(|id| self.remove_portal_link(id))
    }

    /// Removes what has been over for long, one step of it. Answers whether there is more.
    pub(super) fn forget_old_portal_links(&mut self) -> Result<bool, StoreError> {
        let before = self.now.minus(KEPT);
        let ids = self.portal_links_where(REMOVED_PER_STEP_MAX, |link| link.over_at() <= before);
        let has_more = ids.len() == REMOVED_PER_STEP_MAX;
        ids.into_iter().try_for_each(|id| self.remove_portal_link(id))?;
        Ok(has_more)
    }

    fn portal_links_where(&self, max: usize, is_wanted: impl Fn(&PortalLink) -> bool) -> Vec<PortalLinkId> {
        self.with_catalogue(|catalogue| {
            let wanted = catalogue.portal_links().filter(|link| is_wanted(link));
            wanted.take(max).map(|link| link.id).collect()
        })
    }
}
