//! A mail server that takes letters. Encrypted always, unless the server is this machine itself.
//!
//! It speaks over one connection per letter and keeps none open. It drives lettre's connection rather than
//! lettre's transport, for two reasons: a server that hangs up after taking a letter must not count as a
//! failure (the letter would be sent again), and whoever reads an error must learn which step failed.

use super::{Opening, mailbox, mailboxes};
use crate::letter::Letter;
use credentials::Secret;
use jiff::Timestamp;
use lettre::{
    message::Mailbox,
    transport::smtp::{
        Error,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, Certificate, TlsParameters},
        extension::ClientId,
    },
};
use policy::{SmtpLogin, SmtpProof, SmtpSecurity, SmtpSettings};
use ports::Unsent;
use secrecy::{ExposeSecret, SecretString};
use std::{fmt, net::IpAddr, path::Path, time::Duration};

/// How long a whole conversation may take.
const TIMEOUT: Duration = Duration::from_secs(20);
const GOODBYE: Duration = Duration::from_secs(1);

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

struct Login {
    username: String,
    password: Secret,
    /// Where the password is kept: the name of a variable or a field.
    kept_in: String,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Smtp { host, port, tls: _, login, from, to } = self;
        let login = login.as_ref().map(|login| &login.username);
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
            Some(named) => login(named, opening).map(Some),
            None => Some(None),
        };
        Some(Smtp { host: host.clone(), port: *port, tls: tls?, login: login?, from: from?, to: to? })
    }

    pub(super) async fn deliver(&self, letter: &Letter, now: Timestamp) -> Result<(), Unsent> {
        let message = letter.message(&self.from, &self.to).map_err(Unsent::message)?;
        let password = match &self.login {
            Some(login) => {
                let password = login.password.read(now).await;
                Some(password.map_err(|error| Unsent::channel(error.to_string()))?)
            }
            None => None,
        };
        match tokio::time::timeout(TIMEOUT, self.converse(&message, password.as_ref())).await {
            Ok(Ok(mut connection)) => {
                // The server has the letter: that it hangs up without a word, or says nothing more, changes nothing.
                tokio::time::timeout(GOODBYE, connection.quit()).await.ok();
                Ok(())
            }
            Ok(Err(why)) => Err(Unsent::channel(why)),
            Err(_) => Err(Unsent::channel(format!(
                "{}:{} did not answer in {} s; check host, port and security",
                self.host,
                self.port,
                TIMEOUT.as_secs()
            ))),
        }
    }

    /// Until the server has taken the letter.
    async fn converse(
        &self,
        message: &lettre::Message,
        password: Option<&SecretString>,
    ) -> Result<AsyncSmtpConnection, String> {
        let mut connection = self.connect().await?;
        if let Some((login, password)) = self.login.as_ref().zip(password) {
            let credentials = Credentials::new(login.username.clone(), password.expose_secret().to_owned());
            if let Err(error) = connection.auth(DEFAULT_MECHANISMS, &credentials).await {
                connection.abort().await;
                return Err(self.not_logged_in(login, &error));
            }
        }
        connection
            .send(message.envelope(), &message.formatted())
            .await
            .map_err(|error| self.not_taken(&error, password))?;
        Ok(connection)
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, String> {
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
                .map_err(|error| self.not_connected(&error))?;
        if let Some(parameters) = upgrade {
            if !connection.can_starttls() {
                connection.abort().await;
                return Err(format!(
                    "{}:{} does not offer STARTTLS, and without it nothing is sent; check port and security",
                    self.host, self.port
                ));
            }
            connection.starttls(parameters, &hello).await.map_err(|error| self.not_connected(&error))?;
        }
        Ok(connection)
    }

    fn not_connected(&self, error: &Error) -> String {
        let server = format!("{}:{}", self.host, self.port);
        let said = model::one_line(&error.to_string(), 200);
        if said.contains("certificate") {
            return format!(
                "{server} shows a certificate that is not trusted ({said}); check host, and ca_file for a \
                 private authority"
            );
        }
        format!("no connection to {server} ({said}); check host, port and security")
    }

    /// Says nothing of what the server said: it may have echoed what it was sent.
    fn not_logged_in(&self, login: &Login, error: &Error) -> String {
        let server = format!("{}:{}", self.host, self.port);
        match error.status() {
            Some(code) => format!(
                "{server} refused the login of `{}` (code {code}); check username and `{}`",
                login.username, login.kept_in
            ),
            None => format!(
                "no login of `{}` at {server}: no method in common, or the connection broke; check security, \
                 username and `{}`",
                login.username, login.kept_in
            ),
        }
    }

    fn not_taken(&self, error: &Error, password: Option<&SecretString>) -> String {
        let said = model::one_line(&error.to_string(), 300);
        let said = match password.map(ExposeSecret::expose_secret) {
            Some(secret) if said.contains(secret) => "its words are left out".to_owned(),
            Some(_) | None => said,
        };
        format!("{}:{} did not take the letter ({said}); check from and to", self.host, self.port)
    }
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

fn login(named: &SmtpLogin, opening: &mut Opening<'_>) -> Option<Login> {
    match &named.proof {
        SmtpProof::Password(secret) => {
            let password = opening.secret("password", secret)?;
            let kept_in = secret.env.clone().or(secret.field.clone()).unwrap_or_default();
            Some(Login { username: named.username.clone(), password, kept_in })
        }
        SmtpProof::OAuth(_) => {
            opening.problem("xoauth2 is not built yet");
            None
        }
    }
}
