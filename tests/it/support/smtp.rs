//! A small mail server on loopback, which takes what a client of RFC 5321 sends and shows it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub struct MailServer {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    is_refusing: bool,
    /// Mail that holds this is refused when all of it is there.
    refused_text: Option<String>,
    connections: usize,
    mails: Vec<Mail>,
}

/// As it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub was_encrypted: bool,
    /// User and password.
    pub credentials: Option<(String, String)>,
    pub from: String,
    pub to: Vec<String>,
    /// Header and body, with line ends of this system.
    pub text: String,
}

impl MailServer {
    /// In the clear, or with STARTTLS when it is given a certificate.
    pub async fn start(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (state, tls) = (shared.clone(), tls.clone());
                state.lock().expect("no panic").connections += 1;
                tokio::spawn(async move {
                    _ = stream.write_all(b"220 mail.test\r\n").await;
                    if talk(&mut stream, &state, tls.is_some(), false).await
                        && let Some(tls) = tls
                        && let Ok(mut stream) = tls.accept(stream).await
                    {
                        talk(&mut stream, &state, false, true).await;
                    }
                });
            }
        });
        Self { address, state }
    }

    pub fn refuse(&self, is_refusing: bool) {
        self.state.lock().expect("no panic").is_refusing = is_refusing;
    }

    /// As what looks for spam does.
    pub fn refuse_text(&self, text: &str) {
        self.state.lock().expect("no panic").refused_text = Some(text.to_owned());
    }

    pub fn connections(&self) -> usize {
        self.state.lock().expect("no panic").connections
    }

    /// The oldest first.
    pub fn mails(&self) -> Vec<Mail> {
        self.state.lock().expect("no panic").mails.clone()
    }
}

/// Answers whether TLS is to begin.
async fn talk(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    state: &Mutex<State>,
    offers_tls: bool,
    was_encrypted: bool,
) -> bool {
    let mut stream = BufReader::new(stream);
    let mut mail = Mail { was_encrypted, credentials: None, from: String::new(), to: Vec::new(), text: String::new() };
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return false;
        }
        let said = line.trim_end();
        let verb = said.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        let is_refusing = state.lock().expect("no panic").is_refusing;
        let answer = match verb.as_str() {
            "EHLO" if offers_tls => "250-mail.test\r\n250 STARTTLS",
            "EHLO" => "250-mail.test\r\n250 AUTH PLAIN",
            "STARTTLS" if offers_tls => {
                _ = stream.write_all(b"220 go on\r\n").await;
                return true;
            }
            "AUTH" => {
                let plain = BASE64_STANDARD.decode(said.rsplit(' ').next().unwrap_or_default()).unwrap_or_default();
                let parts: Vec<String> =
                    plain.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
                if let [_, user, password] = parts.as_slice() {
                    mail.credentials = Some((user.clone(), password.clone()));
                }
                "235 welcome"
            }
            "MAIL" if is_refusing => "550 nothing is taken today",
            "MAIL" => {
                mail.from = within_brackets(said);
                "250 fine"
            }
            "RCPT" => {
                mail.to.push(within_brackets(said));
                "250 fine"
            }
            "DATA" => {
                _ = stream.write_all(b"354 go on\r\n").await;
                loop {
                    line.clear();
                    if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                        return false;
                    }
                    match line.trim_end() {
                        "." => break,
                        text => mail.text += &format!("{text}\n"),
                    }
                }
                let mut state = state.lock().expect("no panic");
                let is_refused = state.refused_text.as_ref().is_some_and(|refused| mail.text.contains(refused));
                if is_refused {
                    "554 this looks like spam"
                } else {
                    state.mails.push(mail.clone());
                    "250 taken"
                }
            }
            "QUIT" => {
                _ = stream.write_all(b"221 bye\r\n").await;
                return false;
            }
            _ => "250 fine",
        };
        if stream.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
            return false;
        }
    }
}

fn within_brackets(said: &str) -> String {
    said.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}
