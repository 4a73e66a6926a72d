//! An event on its way out, with its bodies, each written once for all subscriptions that get the same.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::domain::event::EventWithData;
use crate::domain::profile::{ApiVersion, Message, Profile};
use crate::domain::subscription::{Envelope, Subscription};
use crate::domain::tenant::Tenant;

#[derive(Debug)]
pub struct Outgoing {
    published: Arc<EventWithData>,
    raw: OnceLock<Body>,
    standard: OnceLock<Body>,
    /// In a box, so that an event has no room for what few ask for.
    standard_with_id: OnceLock<Box<Body>>,
    marea: OnceLock<Body>,
    agentmessage: OnceLock<Body>,
}

/// What is signed and posted.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub bytes: Bytes,
    /// For the record of the attempt.
    pub sha256: [u8; 32],
}

impl Body {
    fn new(bytes: Bytes) -> Self {
        let sha256 = Sha256::digest(&bytes).into();
        Self { bytes, sha256 }
    }
}

impl Outgoing {
    pub fn new(published: Arc<EventWithData>) -> Self {
        Self {
            published,
            raw: OnceLock::new(),
            standard: OnceLock::new(),
            standard_with_id: OnceLock::new(),
            marea: OnceLock::new(),
            agentmessage: OnceLock::new(),
        }
    }

    /// What this subscription gets. The bytes are those of [`Profile::body`].
    pub(super) fn body(&self, tenant: &Tenant, subscription: &Subscription) -> Body {
        let message = Message { event: &self.published.event, data: &self.published.data, tenant };
        let Subscription { profile, envelope, api_version, .. } = *subscription;
        let write = || Body::new(profile.body(&message, envelope, api_version));
        match (envelope, profile) {
            (Envelope::Raw, _) => self.raw.get_or_init(|| Body::new(self.published.data.clone())).clone(),
            (Envelope::Profile, Profile::Standard) => match api_version {
                Some(ApiVersion::V2026_11_01) => Body::clone(self.standard_with_id.get_or_init(|| Box::new(write()))),
                Some(ApiVersion::V2026_04_01 | ApiVersion::V2026_05_12) | None => {
                    self.standard.get_or_init(write).clone()
                }
            },
            (Envelope::Profile, Profile::Marea) => self.marea.get_or_init(write).clone(),
            (Envelope::Profile, Profile::AgentMessage) => self.agentmessage.get_or_init(write).clone(),
            // The shop in it is the tenant's of this moment.
            (Envelope::Profile, Profile::Mage) => write(),
        }
    }
}

impl Deref for Outgoing {
    type Target = EventWithData;

    fn deref(&self) -> &EventWithData {
        &self.published
    }
}
