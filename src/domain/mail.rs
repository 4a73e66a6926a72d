//! Mail to the operator: by which server, from whom and to whom.

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use super::user::Email;

/// Between two mails of one kind, unless the operator says otherwise.
pub const MINUTES_DEFAULT: u32 = 15;
pub const MINUTES_CEILING: u32 = 1440;
pub const RECIPIENTS_MAX: usize = 20;
pub const HOST_LENGTH_MAX: usize = 253;
pub const USER_LENGTH_MAX: usize = 320;
pub const PASSWORD_LENGTH_MAX: usize = 512;

/// How the server is talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MailTls {
    /// In the clear at first; nothing is sent before TLS.
    #[default]
    StartTls,
    /// From the first byte.
    Tls,
    /// In the clear.
    None,
}

impl MailTls {
    pub const ALL: [Self; 3] = [Self::StartTls, Self::Tls, Self::None];

    pub fn name(self) -> &'static str {
        match self {
            Self::StartTls => "starttls",
            Self::Tls => "tls",
            Self::None => "none",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tls| tls.name() == name)
    }

    /// Where servers listen for it (RFC 8314, RFC 5321).
    pub fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

/// What belongs to the user of the mail server.
#[derive(Clone, PartialEq, Eq)]
pub struct MailPassword(Zeroizing<String>);

impl MailPassword {
    /// None when it is empty or longer than [`PASSWORD_LENGTH_MAX`].
    pub fn new(text: String) -> Option<Self> {
        (1..=PASSWORD_LENGTH_MAX).contains(&text.len()).then(|| Self(Zeroizing::new(text)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for MailPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailPassword(…)")
    }
}

/// What is stored about mail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredMail {
    /// A name or an address.
    pub host: Option<String>,
    pub port: Option<u16>,
    pub tls: Option<MailTls>,
    pub user: Option<String>,
    pub password: Option<MailPassword>,
    pub from: Option<Email>,
    /// Not empty.
    pub to: Option<Vec<Email>>,
    pub minutes: Option<u32>,
}

/// All that a mail needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailRoute {
    pub host: String,
    pub port: u16,
    pub tls: MailTls,
    pub credentials: Option<(String, MailPassword)>,
    pub from: Email,
    pub to: Vec<Email>,
}

impl StoredMail {
    /// None: something is missing, and no mail is sent.
    pub fn route(&self) -> Option<MailRoute> {
        let Self { host, port, tls, user, password, from, to, minutes: _ } = self;
        let tls = tls.unwrap_or_default();
        Some(MailRoute {
            host: host.clone()?,
            port: port.unwrap_or(tls.port()),
            tls,
            credentials: user.clone().zip(password.clone()),
            from: from.clone()?,
            to: to.clone()?,
        })
    }

    /// Between two mails of one kind.
    pub fn pause(&self) -> Duration {
        Duration::from_secs(u64::from(self.minutes.unwrap_or(MINUTES_DEFAULT)) * 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_has_a_route_when_it_is_known_by_whom_from_whom_and_to_whom() {
        let email = |text: &str| text.parse::<Email>().unwrap();
        let whole = StoredMail {
            host: Some("mail.example.com".to_owned()),
            from: Some(email("waxwing@example.com")),
            to: Some(vec![email("ops@example.com")]),
            ..StoredMail::default()
        };
        let route = whole.route().unwrap();
        assert_eq!((route.port, route.tls, route.credentials), (587, MailTls::StartTls, None));
        for part in [
            StoredMail { host: None, ..whole.clone() },
            StoredMail { from: None, ..whole.clone() },
            StoredMail { to: None, ..whole.clone() },
        ] {
            assert_eq!(part.route(), None);
        }
        let own = StoredMail { tls: Some(MailTls::Tls), user: Some("u".to_owned()), ..whole };
        assert_eq!(
            (own.route().unwrap().port, own.route().unwrap().credentials),
            (465, None),
            "a user without password"
        );
    }
}
