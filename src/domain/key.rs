//! API keys: who may call what. Only a hash of a key's text is ever stored.

use std::fmt;
use std::hash::{Hash, Hasher};

use rand::{Rng, RngExt};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::contract::Contract;
use super::id::{KeyId, TenantId};
use super::restriction::Restriction;
use super::time::Timestamp;

pub const NAME_LENGTH_MAX: usize = 128;
/// The largest quota that can be set, in requests (management) or events (publish) per second.
pub const RATE_CEILING: u32 = 1_000_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub id: KeyId,
    pub kind: KeyKind,
    pub name: String,
    pub hash: KeyHash,
    /// The tenant that it is bound to; none for a key of the whole instance.
    pub tenant: Option<TenantId>,
    pub scopes: Scopes,
    /// The preset that the scopes were made from, so that `read_only` can be told from a list of read scopes.
    pub preset: Option<Preset>,
    /// Set when it is made, and never changed. A restricted key is bound to a tenant.
    pub restriction: Restriction,
    pub rate_limits: RateLimits,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// Quotas per second. None: not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimits {
    pub management: Quota,
    pub publish: Quota,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quota {
    /// What the instance's configuration says.
    #[default]
    InstanceDefault,
    PerSecond(std::num::NonZeroU32),
    Unlimited,
}

/// SHA-256 of the key's text. The text has 190 random bits, so a slow hash would protect nothing.
#[derive(Clone, Copy, Eq)]
pub struct KeyHash(pub [u8; 32]);

/// In constant time.
impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl KeyHash {
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

/// Which API a key is made for. It says how the key's text looks; at the native API each works with its scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyKind {
    #[default]
    Native,
    MareaDeveloper,
    /// Of one merchant: it has exactly one channel, its storefront.
    MareaUser,
    Agentmessage,
}

impl KeyKind {
    pub const ALL: [Self; 4] = [Self::Native, Self::MareaDeveloper, Self::MareaUser, Self::Agentmessage];

    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::MareaDeveloper => "marea_developer",
            Self::MareaUser => "marea_user",
            Self::Agentmessage => "agentmessage",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The contract whose API it is made for; none: the own API.
    pub fn contract(self) -> Option<Contract> {
        match self {
            Self::Native => None,
            Self::MareaDeveloper | Self::MareaUser => Some(Contract::Marea),
            Self::Agentmessage => Some(Contract::AgentMessage),
        }
    }

    /// What the text of such a key begins with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Native => PREFIX,
            Self::MareaDeveloper => "mk_dev_",
            Self::MareaUser => "mk_user_",
            Self::Agentmessage => "am_live_",
        }
    }

    fn random_length(self) -> usize {
        match self {
            Self::Native | Self::Agentmessage => RANDOM_LENGTH,
            // As Marea publishes it.
            Self::MareaDeveloper | Self::MareaUser => 24,
        }
    }
}

/// The length of a text that is imported, in characters …
pub const IMPORTED_LENGTH_MIN: usize = 24;
pub const IMPORTED_LENGTH_MAX: usize = 256;
/// … and how many different ones it has: 24 random hexadecimal digits have fewer less than once in 10,000 times.
pub const IMPORTED_DIFFERENT_MIN: usize = 8;

const PREFIX: &str = "ww_";
const RANDOM_LENGTH: usize = 32;
const CHECKSUM_LENGTH: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The text of a key: its kind's prefix and 24 or 32 random base62 characters, after `ww_` also 6 characters of CRC-32;
/// or what was imported.
pub struct KeyText(Zeroizing<String>);

/// Why a text cannot be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnfitKeyText {
    /// It is too short, too long, has characters that a header cannot carry, or could be guessed.
    Weak,
    /// It does not begin as texts of its kind do.
    OtherKind,
    /// It begins with `ww_`, and its checksum is wrong: the key would be refused as a typo.
    Checksum,
}

impl UnfitKeyText {
    /// What the text of a key of this kind must be: "This must be …".
    pub fn expected(self, kind: KeyKind) -> &'static str {
        match (self, kind) {
            (Self::Weak, _) => "24 to 256 visible ASCII characters, at least 8 of them different",
            (Self::OtherKind, KeyKind::Native) => unreachable!("native keys look like anything"),
            (Self::OtherKind, KeyKind::MareaDeveloper) => "a text that begins with mk_dev_, as this kind does",
            (Self::OtherKind, KeyKind::MareaUser) => "a text that begins with mk_user_, as this kind does",
            (Self::OtherKind, KeyKind::Agentmessage) => "a text that begins with am_live_, as this kind does",
            (Self::Checksum, _) => "a text with the right checksum, since it begins as keys of Waxwing do",
        }
    }
}

impl KeyText {
    pub fn generate(kind: KeyKind, chance: &mut impl Rng) -> Self {
        let prefix = kind.prefix();
        let mut text = String::with_capacity(prefix.len() + kind.random_length() + CHECKSUM_LENGTH);
        text.push_str(prefix);
        text.extend((0..kind.random_length()).map(|_| char::from(BASE62[chance.random_range(0..BASE62.len())])));
        if kind == KeyKind::Native {
            let checksum = checksum(&text);
            text.push_str(&checksum);
        }
        Self(Zeroizing::new(text))
    }

    /// A text that another program made and somebody uses already. A native key may look like anything.
    pub fn import(kind: KeyKind, text: String) -> Result<Self, UnfitKeyText> {
        let text = Zeroizing::new(text);
        let is_visible = text.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        let different: std::collections::BTreeSet<u8> = text.bytes().collect();
        if !(IMPORTED_LENGTH_MIN..=IMPORTED_LENGTH_MAX).contains(&text.len())
            || !is_visible
            || different.len() < IMPORTED_DIFFERENT_MIN
        {
            return Err(UnfitKeyText::Weak);
        }
        if kind != KeyKind::Native && !text.starts_with(kind.prefix()) {
            return Err(UnfitKeyText::OtherKind);
        }
        if !may_be_a_key(&text) {
            return Err(UnfitKeyText::Checksum);
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(…)")
    }
}

/// Whether a text can be a key at all, so that a typo is refused without a look-up. The checksum applies only to
/// text that begins with `ww_`: imported keys look otherwise.
pub fn may_be_a_key(text: &str) -> bool {
    let Some(body) = text.strip_prefix(PREFIX) else {
        return !text.is_empty();
    };
    if body.len() != RANDOM_LENGTH + CHECKSUM_LENGTH || !body.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return false;
    }
    let (signed, given) = text.split_at(PREFIX.len() + RANDOM_LENGTH);
    checksum(signed) == given
}

fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = [0; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    String::from_utf8(digits.to_vec()).expect("base62 is ASCII")
}

macro_rules! scopes {
    ($($name:ident = $text:literal,)*) => {
        /// What a key may do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Scope { $($name,)* }

        impl Scope {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

scopes! {
    SubscriptionsRead = "subscriptions:read",
    SubscriptionsWrite = "subscriptions:write",
    EventsRead = "events:read",
    EventsWrite = "events:write",
    DeliveriesRead = "deliveries:read",
    DeliveriesWrite = "deliveries:write",
    EventTypesRead = "event_types:read",
    EventTypesWrite = "event_types:write",
    TenantsRead = "tenants:read",
    TenantsWrite = "tenants:write",
    KeysRead = "keys:read",
    KeysWrite = "keys:write",
    SettingsRead = "settings:read",
    SettingsWrite = "settings:write",
    UsersRead = "users:read",
    UsersWrite = "users:write",
    AuditRead = "audit:read",
    BackupsRead = "backups:read",
    BackupsWrite = "backups:write",
}

impl Scope {
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scope| scope.name() == name)
    }

    pub fn is_read(self) -> bool {
        self.name().ends_with(":read")
    }
}

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u32);

impl Scopes {
    /// The bits as the store keeps them: bit n is the n-th of [`Scope::ALL`]. New scopes go to the end.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub const fn bits(self) -> u32 {
        self.0
    }

    pub fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u32) != 0
    }

    /// Both together.
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn is_subset_of(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.iter().copied().filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | 1 << scope as u32))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Scope::name)).finish()
    }
}

/// A usual set of scopes, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    FullAccess,
    /// GET only.
    ReadOnly,
    PublishOnly,
    /// What a subscriber's own program needs.
    Subscriber,
}

impl Preset {
    pub const ALL: [Self; 4] = [Self::FullAccess, Self::ReadOnly, Self::PublishOnly, Self::Subscriber];

    pub fn name(self) -> &'static str {
        match self {
            Self::FullAccess => "full_access",
            Self::ReadOnly => "read_only",
            Self::PublishOnly => "publish_only",
            Self::Subscriber => "subscriber",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    pub fn scopes(self) -> Scopes {
        use Scope::*;
        match self {
            Self::FullAccess => Scope::ALL.iter().copied().collect(),
            Self::ReadOnly => Scope::ALL.iter().copied().filter(|scope| scope.is_read()).collect(),
            Self::PublishOnly => [EventsWrite].into_iter().collect(),
            Self::Subscriber => {
                [SubscriptionsRead, SubscriptionsWrite, DeliveriesRead, DeliveriesWrite, EventsRead, EventTypesRead]
                    .into_iter()
                    .collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn a_new_key_looks_as_its_kind_says() {
        for (kind, prefix, length) in [
            (KeyKind::Native, "ww_", 41),
            (KeyKind::MareaDeveloper, "mk_dev_", 31),
            (KeyKind::MareaUser, "mk_user_", 32),
            (KeyKind::Agentmessage, "am_live_", 40),
        ] {
            let text = KeyText::generate(kind, &mut StdRng::seed_from_u64(7));
            let text = text.as_str();
            assert!(text.starts_with(prefix) && text.len() == length, "{kind:?} {text}");
            assert!(text[prefix.len()..].bytes().all(|byte| byte.is_ascii_alphanumeric()), "{kind:?} {text}");
            assert!(may_be_a_key(text), "{kind:?} {text}");
            assert_eq!(KeyText::import(kind, text.to_owned()).map(|text| text.hash()), Ok(KeyHash::of(text)));
        }
    }

    #[test]
    fn what_could_be_guessed_or_would_not_work_is_not_imported() {
        let own = KeyText::generate(KeyKind::Native, &mut StdRng::seed_from_u64(7)).as_str().to_owned();
        let longest = "0123456789abcdef".repeat(16);
        for (kind, text, expected) in [
            (KeyKind::Native, "sk_live_0123456789abcdef", Ok(())),
            (KeyKind::Native, &own, Ok(())),
            (KeyKind::Native, &longest, Ok(())),
            (KeyKind::Native, "mk_dev_0123456789abcdefghijklmn", Ok(())),
            (KeyKind::MareaDeveloper, "mk_dev_0123456789abcdefghijklmn", Ok(())),
            (KeyKind::Native, "sk_live_0123456789abcde", Err(UnfitKeyText::Weak)),
            (KeyKind::Native, &format!("{longest}0"), Err(UnfitKeyText::Weak)),
            (KeyKind::Native, "abcabcabcabcabcabcabcabcabcabc", Err(UnfitKeyText::Weak)),
            (KeyKind::Native, "a text with spaces 0123456789", Err(UnfitKeyText::Weak)),
            (KeyKind::Native, "ein_schlüssel_0123456789abcdef", Err(UnfitKeyText::Weak)),
            (KeyKind::Native, &own.replace("ww_", "ww_0"), Err(UnfitKeyText::Checksum)),
            (KeyKind::MareaUser, "mk_dev_0123456789abcdefghijklmn", Err(UnfitKeyText::OtherKind)),
            (KeyKind::Agentmessage, &own, Err(UnfitKeyText::OtherKind)),
        ] {
            assert_eq!(KeyText::import(kind, text.to_owned()).map(drop), expected, "{kind:?} {text}");
        }
    }

    #[test]
    fn a_new_key_passes_its_own_checksum_and_no_typo_does() {
        let text = KeyText::generate(KeyKind::Native, &mut StdRng::seed_from_u64(7));
        let text = text.as_str();
        assert_eq!(text.len(), 41);
        assert!(may_be_a_key(text));
        for place in PREFIX.len()..text.len() {
            let mut typo = text.as_bytes().to_vec();
            typo[place] = if typo[place] == b'x' { b'y' } else { b'x' };
            assert!(!may_be_a_key(std::str::from_utf8(&typo).unwrap()), "a typo at {place} passed");
        }
        for text in ["", "ww_", &text[..40], &format!("{text}0")] {
            assert!(!may_be_a_key(text), "{text}");
        }
        assert!(may_be_a_key("am_live_0123"), "only ww_ keys have a checksum");
    }

    #[test]
    fn presets_hold_what_the_contract_lists() {
        assert!(Preset::ReadOnly.scopes().iter().all(Scope::is_read));
        assert!(Preset::ReadOnly.scopes().is_subset_of(Preset::FullAccess.scopes()));
        assert!(!Preset::FullAccess.scopes().is_subset_of(Preset::Subscriber.scopes()));
        assert_eq!(format!("{:?}", Preset::PublishOnly.scopes()), r#"{"events:write"}"#);
        assert_eq!(Scopes::from_bits(Preset::Subscriber.scopes().bits()), Preset::Subscriber.scopes());
    }
}
