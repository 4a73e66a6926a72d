//! One mail to one server.

use std::time::Duration;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use super::Mail;
use crate::domain::mail::{MailRoute, MailTls};
use crate::domain::time::Timestamp;
use crate::domain::user::Email;
use crate::net;

/// From the connection to the server's word that it has the mail.
const SEND_TIME_MAX: Duration = Duration::from_secs(30);
/// For one answer of the server.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(15);

/// Why a mail did not go, for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct SendError {
    text: String,
    /// The server said that it will not have this message, and nothing about who sends it.
    pub(super) is_of_message: bool,
}

impl SendError {
    fn new(text: String) -> Self {
        Self { text, is_of_message: false }
    }
}

/// Answers after which another message may be taken (RFC 5321, 4.2.3): no mailbox as named or no leave, too much, and "failed". Those to
/// a sign-in are 53x.
fn is_of_message(code: u16) -> bool {
    matches!(code, 550 | 552 | 554)
}

/// The addresses of the server are not judged: who may write settings of the instance chose it.
pub(super) async fn send(route: &MailRoute, mail: &Mail, now: Timestamp) -> Result<(), SendError> {
    let message = message(route, mail, now)?;
    let MailRoute { host, port, tls, credentials, from: _, to: _ } = route;
    let tls = match tls {
        MailTls::None => Tls::None,
        MailTls::StartTls => Tls::Required(parameters(host).await?),
        MailTls::Tls => Tls::Wrapper(parameters(host).await?),
    };
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(*port)
        .tls(tls)
        .timeout(Some(ANSWER_TIME_MAX));
    if let Some((user, password)) = credentials {
        transport = transport.credentials(Credentials::new(user.clone(), password.as_str().to_owned()));
    }
    let transport = transport.build();
    match tokio::time::timeout(SEND_TIME_MAX, transport.send(message)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            let code = error.status().map(u16::from);
            Err(SendError { text: whole(&error), is_of_message: code.is_some_and(is_of_message) })
        }
        Err(_) => Err(SendError::new(format!("{host} took more than {} s", SEND_TIME_MAX.as_secs()))),
    }
}

/// With what lies below it.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(below) = source {
        let below_text = below.to_string();
        if !text.contains(&below_text) {
            text += &format!(": {below_text}");
        }
        source = below.source();
    }
    text
}

/// The roots of Mozilla and of this machine, as for deliveries.
async fn parameters(host: &str) -> Result<TlsParameters, SendError> {
    let failed = |error: &dyn std::error::Error| SendError::new(whole(error));
    let native = tokio::task::spawn_blocking(net::native_roots).await.map_err(|error| failed(&error))?;
    let mut builder = TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::WebpkiRoots);
    for root in native {
        builder = builder.add_root_certificate(Certificate::from_der(root.to_vec()).map_err(|error| failed(&error))?);
    }
    builder.build_rustls().map_err(|error| failed(&error))
}

fn message(route: &MailRoute, mail: &Mail, now: Timestamp) -> Result<Message, SendError> {
    let Mail { id, subject, text } = mail;
    let domain = route.from.as_str().rsplit('@').next().unwrap_or_default();
    let at = std::time::UNIX_EPOCH + Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(0));
    // Programs that answer mail leave it alone (RFC 3834).
    let automatic = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
    let mut message = Message::builder()
        .date(at)
        .message_id(Some(format!("<{id}@{domain}>")))
        .from(Mailbox::new(Some("Waxwing".to_owned()), address(&route.from)?))
        .subject(subject)
        .raw_header(automatic)
        .header(ContentType::TEXT_PLAIN);
    for to in &route.to {
        message = message.to(Mailbox::new(None, address(to)?));
    }
    message.body(text.clone()).map_err(|error| SendError::new(whole(&error)))
}

fn address(email: &Email) -> Result<Address, SendError> {
    email.as_str().parse().map_err(|_| SendError::new(format!("mail cannot go to or from {email}")))
}
