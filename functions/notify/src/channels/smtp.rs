//! A mail server that takes letters. Encrypted always, unless the server is this machine itself.
//!
//! It speaks over one connection per letter and keeps none open. It drives lettre's connection rather than
//! lettre's transport: a server that hangs up after taking a letter must not count as a failure (the letter would be
//! sent again), one address that is refused must not keep the letter from the others, and whoever reads an error
//! must learn which step failed. How it logs in is `smtp_login.rs`'s business.

use super::{
    Opening, mailbox, mailboxes,
    smtp_login::{Login, NotLoggedIn, Shown},
};
use crate::letter::Letter;
use jiff::Timestamp;
use lettre::{
    Address, Message,
    message::Mailbox,
    transport::smtp::{
        Error,
        client::{AsyncSmtpConnection, Certificate, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::{ClientId, Extension, MailParameter},
    },
};
use policy::{SmtpSecurity, SmtpSettings};
use ports::{Fault, Unsent};
use std::{fmt, net::IpAddr, path::Path, time::Duration};

/// How long a letter may take in all, a token for it included.
const TIMEOUT: Duration = Duration::from_secs(10);
const GOODBYE: Duration = Duration::from_secs(1);

/// The server is about to hang up.
const CLOSING: u16 = 421;

/// A login is wanted, or is not good enough: nothing of the letter's. Source: RFC 4954, section 6.
const OF_THE_LOGIN: [u16; 4] = [530, 534, 535, 538];

/// Who may send as whom is no business of the letter's either, though some servers look at it only when they have the
/// letter. Source: Microsoft, "NDR error codes in Exchange Online" (5.7.60), and what it says of `SendAsDenied`.
const OF_THE_SENDER: [&str; 4] = ["5.7.60", "send as", "sendas", "send on behalf"];

pub(super) struct Smtp {
    host: String,
    port: u16,
    tls: Tls,
    login: Option<Login>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

enum Tls {
    Starttls(TlsParameters),
    Implicit(TlsParameters),
    /// To this machine only.
    None,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Smtp { host, port, tls: _, login, from, to } = self;
        let login = login.as_ref().map(Login::username);
        f.debug_struct("Smtp")
            .field("host", host)
            .field("port", port)
            .field("username", &login)
            .field("from", from)
            .field("to", to)
            .finish_non_exhaustive()
    }
}

impl Smtp {
    /// Checks everything that can be checked without the network.
    pub(super) fn open(settings: &SmtpSettings, opening: &mut Opening<'_>) -> Option<Smtp> {
        let SmtpSettings { host, port, security, login: named, from, to, ca_file } = settings;
        let from = opening.keep(mailbox("from", from));
        let to = opening.keep(mailboxes("to", to.iter().map(String::as_str)));
        let tls = opening.keep(tls(*security, host, ca_file.as_deref()));
        let login = match named {
            Some(named) => Login::open(named, opening).map(Some),
            None => Some(None),
        };
        Some(Smtp { host: host.clone(), port: *port, tls: tls?, login: login?, from: from?, to: to? })
    }

    pub(super) async fn deliver(&self, letter: &Letter, now: Timestamp) -> Result<(), Unsent> {
        let message = letter.message(&self.from, &self.to).map_err(Unsent::message)?;
        match tokio::time::timeout(TIMEOUT, self.hand_over(&message, now)).await {
            Ok(Ok(mut connection)) => {
                // The server has the letter: that it hangs up without a word, or says nothing more, changes nothing.
                tokio::time::timeout(GOODBYE, connection.quit()).await.ok();
                Ok(())
            }
            Ok(Err(unsent)) => Err(unsent),
            Err(_) => Err(Unsent::channel(format!(
                "{} did not answer in {} s; check host, port and security",
                self.server(),
                TIMEOUT.as_secs()
            ))),
        }
    }

    /// Until the server has taken the letter.
    async fn hand_over(&self, message: &Message, now: Timestamp) -> Result<AsyncSmtpConnection, Unsent> {
        let (mut connection, shown) = self.begin(now).await?;
        match self.give(&mut connection, message, shown.as_ref()).await {
            Ok(()) => Ok(connection),
            Err(unsent) => {
                close(&mut connection).await;
                Err(unsent)
            }
        }
    }

    /// A connection that is logged in, and by what. What was refused is replaced once, where there is another: a
    /// password may have been changed, a token revoked.
    async fn begin(&self, now: Timestamp) -> Result<(AsyncSmtpConnection, Option<Shown>), Unsent> {
        let Some(login) = &self.login else { return Ok((self.connect().await?, None)) };
        let shown = login.shown(now).await.map_err(Unsent::channel)?;
        let refused = match self.log_in(login, &shown).await? {
            Ok(connection) => return Ok((connection, Some(shown))),
            Err(refused) => refused,
        };
        let Some(other) = login.another(&shown, now).await.map_err(Unsent::channel)? else {
            return Err(Unsent::channel(refused.words(&self.server())));
        };
        match self.log_in(login, &other).await? {
            Ok(connection) => Ok((connection, Some(other))),
            Err(refused) => Err(Unsent::channel(refused.words(&self.server()))),
        }
    }

    /// The outer error is of anything but the login itself.
    async fn log_in<'l>(
        &self,
        login: &'l Login,
        shown: &Shown,
    ) -> Result<Result<AsyncSmtpConnection, NotLoggedIn<'l>>, Unsent> {
        let mut connection = self.connect().await?;
        match login.log_in(&mut connection, shown).await {
            Ok(()) => Ok(Ok(connection)),
            Err(not) => {
                close(&mut connection).await;
                if not.is_refused() { Ok(Err(not)) } else { Err(Unsent::channel(not.words(&self.server()))) }
            }
        }
    }

    /// Gives the letter to the server, for as many as it takes it for. Whom it does not take it for is said in the log,
    /// because the others are not told a second time for that.
    async fn give(
        &self,
        connection: &mut AsyncSmtpConnection,
        message: &Message,
        shown: Option<&Shown>,
    ) -> Result<(), Unsent> {
        let not_taken = |error: Error| self.not_taken(&error, shown);
        let envelope = message.envelope();
        let parameters = self.parameters(connection, envelope.from(), envelope.to())?;
        connection.command(Mail::new(envelope.from().cloned(), parameters)).await.map_err(not_taken)?;
        let mut refused = Vec::new();
        for to in envelope.to() {
            match connection.command(Rcpt::new(to.clone(), vec![])).await {
                Ok(_) => {}
                Err(error) if status(&error).is_none_or(|code| code == CLOSING) => {
                    return Err(not_taken(error));
                }
                Err(error) => refused.push((to, not_taken(error))),
            }
        }
        if refused.len() == envelope.to().len() {
            let first = refused.into_iter().next().map(|(_, unsent)| unsent);
            return Err(first.unwrap_or_else(|| Unsent::channel("nobody is named")));
        }
        connection.command(Data).await.map_err(not_taken)?;
        connection.message(&message.formatted()).await.map_err(|error| {
            let fault = if is_of_letter(&error) { Fault::Message } else { Fault::Channel };
            Unsent { fault, ..not_taken(error) }
        })?;
        for (to, unsent) in refused {
            let (to, why) = (to.to_string(), unsent.why);
            tracing::warn!(
                to,
                why,
                "somebody was not told: the mail server takes letters for the others alone"
            );
        }
        Ok(())
    }

    /// What the server has to know of the addresses. The letter itself is ASCII.
    fn parameters(
        &self,
        connection: &AsyncSmtpConnection,
        from: Option<&Address>,
        to: &[Address],
    ) -> Result<Vec<MailParameter>, Unsent> {
        let is_ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
        if from.into_iter().chain(to).all(is_ascii) {
            return Ok(vec![]);
        }
        if connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Ok(vec![MailParameter::SmtpUtfEight]);
        }
        let server = self.server();
        Err(Unsent::channel(format!(
            "{server} takes no addresses but ASCII ones (SMTPUTF8); check from and to"
        )))
    }

    fn server(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Unsent> {
        let server = (self.host.as_str(), self.port);
        let hello = ClientId::default();
        let (wrapper, upgrade) = match &self.tls {
            Tls::Implicit(parameters) => (Some(parameters.clone()), None),
            Tls::Starttls(parameters) => (None, Some(parameters.clone())),
            Tls::None => (None, None),
        };
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, Some(TIMEOUT), &hello, wrapper, None)
                .await
                .map_err(|error| Unsent::channel(self.not_connected(&error)))?;
        if let Some(parameters) = upgrade {
            if !connection.can_starttls() {
                close(&mut connection).await;
                return Err(Unsent::channel(format!(
                    "{} does not offer STARTTLS, and without it nothing is sent; check port and security",
                    self.server()
                )));
            }
            let started = connection.starttls(parameters, &hello).await;
            started.map_err(|error| Unsent::channel(self.not_connected(&error)))?;
        }
        Ok(connection)
    }

    fn not_connected(&self, error: &Error) -> String {
        let server = self.server();
        let said = model::one_line(&error.to_string(), 200);
        if said.contains("certificate") {
            return format!(
                "{server} shows a certificate that is not trusted ({said}); check host, and ca_file for a \
                 private authority"
            );
        }
        format!("no connection to {server} ({said}); check host, port and security")
    }

    /// What a server says before it has the letter is about the addresses, which are the same for every letter.
    fn not_taken(&self, error: &Error, shown: Option<&Shown>) -> Unsent {
        let said = error.to_string();
        // Looked for before the words are cut, or a part of it would stay.
        let echoes = shown.is_some_and(|shown| shown.is_in(&said));
        let said = if echoes { "its words are left out".to_owned() } else { model::one_line(&said, 300) };
        Unsent::channel(format!("{} did not take the letter ({said}); check from and to", self.server()))
    }
}

/// Whether a server that has the whole letter refuses it for good, and for what is in it.
fn is_of_letter(error: &Error) -> bool {
    let said = error.to_string().to_lowercase();
    error.is_permanent()
        && status(error).is_some_and(|code| !OF_THE_LOGIN.contains(&code))
        && !OF_THE_SENDER.iter().any(|words| said.contains(words))
}

/// The server's code, where it has answered.
pub(super) fn status(error: &Error) -> Option<u16> {
    error.status().map(u16::from)
}

/// Without waiting for a server that says nothing any more.
async fn close(connection: &mut AsyncSmtpConnection) {
    tokio::time::timeout(GOODBYE, connection.abort()).await.ok();
}

fn tls(security: SmtpSecurity, host: &str, ca_file: Option<&Path>) -> Result<Tls, String> {
    match security {
        SmtpSecurity::Plain if ca_file.is_some() => {
            Err("ca_file: there is no certificate without encryption; check security".to_owned())
        }
        SmtpSecurity::Plain if is_loopback(host) => Ok(Tls::None),
        SmtpSecurity::Plain => Err(format!(
            "security: `plain` is accepted for this machine only (127.0.0.1, ::1, localhost), not for `{}`",
            model::one_line(host, 80)
        )),
        SmtpSecurity::Starttls => Ok(Tls::Starttls(trust(host, ca_file)?)),
        SmtpSecurity::Tls => Ok(Tls::Implicit(trust(host, ca_file)?)),
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Trusts what the system trusts, and the authorities of the file besides.
fn trust(host: &str, ca_file: Option<&Path>) -> Result<TlsParameters, String> {
    let mut parameters = TlsParameters::builder(host.to_owned());
    if let Some(path) = ca_file {
        let bad = |why: String| format!("ca_file: `{}` {why}", path.display());
        let pem = std::fs::read(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
        if !pem.windows(27).any(|window| window == b"-----BEGIN CERTIFICATE-----") {
            return Err(bad("holds no certificate in PEM".to_owned()));
        }
        let authority =
            Certificate::from_pem(&pem).map_err(|error| bad(format!("is not usable: {error}")))?;
        parameters = parameters.add_root_certificate(authority);
    }
    parameters.build().map_err(|error| format!("no encryption is possible: {error}"))
}
