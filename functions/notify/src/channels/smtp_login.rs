//! How Cordon proves to a mail server who it is: by a password, or by an access token (SASL XOAUTH2).
//!
//! Nothing that a server says to a login is repeated: it may have echoed what it was sent.

use super::{Opening, smtp::status};
use credentials::{AccessToken, Calls, Credential, Secret, Tokens, http_client, is_loopback};
use jiff::Timestamp;
use lettre::transport::smtp::{
    Error,
    authentication::{Credentials, DEFAULT_MECHANISMS, Mechanism},
    client::AsyncSmtpConnection,
    commands::Auth,
};
use policy::{OAuthSettings, SecretName, SmtpLogin, SmtpProof};
use secrecy::{ExposeSecret, SecretString};

/// The server's answer to a token that it does not take: the reason, to which an empty line is the answer.
/// Source: "SASL XOAUTH2 error response" in Google's and Microsoft's pages on the protocol.
const CHALLENGE: u16 = 334;

/// What was shown is not good. Source: RFC 4954, section 6.
const REFUSED: u16 = 535;

pub(super) struct Login {
    username: String,
    proof: Proof,
}

enum Proof {
    Password {
        secret: Secret,
        /// The name of the variable or the field.
        kept_in: String,
    },
    Tokens(Box<Tokens>),
}

/// What is shown to the server.
pub(super) struct Shown {
    username: String,
    what: What,
}

enum What {
    Password(SecretString),
    Token(AccessToken),
}

/// The server did not let Cordon in.
pub(super) struct NotLoggedIn<'l> {
    login: &'l Login,
    /// Where it has answered.
    code: Option<u16>,
}

impl Login {
    pub(super) fn open(named: &SmtpLogin, opening: &mut Opening<'_>) -> Option<Login> {
        let proof = match &named.proof {
            SmtpProof::Password(secret) => {
                let kept_in = kept_in(secret, opening);
                Proof::Password { secret: opening.secret("password", secret)?, kept_in }
            }
            SmtpProof::OAuth(oauth) => Proof::Tokens(Box::new(tokens(oauth, opening)?)),
        };
        Some(Login { username: named.username.clone(), proof })
    }

    pub(super) fn username(&self) -> &str {
        &self.username
    }

    /// What to show to the server, or why there is nothing.
    pub(super) async fn shown(&self, now: Timestamp) -> Result<Shown, String> {
        let what = match &self.proof {
            Proof::Password { secret, .. } => {
                What::Password(secret.read(now).await.map_err(|error| error.to_string())?)
            }
            Proof::Tokens(tokens) => What::Token(tokens.token(now).await.map_err(|error| error.to_string())?),
        };
        Ok(Shown { username: self.username.clone(), what })
    }

    /// Something else to show, where there is any, after this was refused.
    pub(super) async fn another(&self, refused: &Shown, now: Timestamp) -> Result<Option<Shown>, String> {
        match (&self.proof, &refused.what) {
            (Proof::Tokens(tokens), What::Token(token)) => tokens.drop_token(token).await,
            (Proof::Password { secret, .. }, _) if secret.forget().await => {}
            _ => return Ok(None),
        }
        let other = self.shown(now).await?;
        // The same once more is of no use, and locks some accounts.
        Ok((other.secret().expose_secret() != refused.secret().expose_secret()).then_some(other))
    }

    pub(super) async fn log_in(
        &self,
        connection: &mut AsyncSmtpConnection,
        shown: &Shown,
    ) -> Result<(), NotLoggedIn<'_>> {
        let answered = match &shown.what {
            What::Password(_) => {
                connection.auth(DEFAULT_MECHANISMS, &shown.credentials()).await.map(drop).map_err(Some)
            }
            What::Token(_) => by_token(connection, shown).await,
        };
        answered.map_err(|error| NotLoggedIn { login: self, code: error.as_ref().and_then(status) })
    }
}

impl Shown {
    fn secret(&self) -> &SecretString {
        match &self.what {
            What::Password(password) => password,
            What::Token(token) => token.secret(),
        }
    }

    fn credentials(&self) -> Credentials {
        Credentials::new(self.username.clone(), self.secret().expose_secret().to_owned())
    }

    /// Whether a text repeats it, as it is or as it was sent.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let sent = |mechanism: Mechanism, challenge: Option<&str>| {
            let sent = Auth::new(mechanism, self.credentials(), challenge.map(str::to_owned));
            let sent = sent.map(|sent| sent.to_string()).unwrap_or_default();
            sent.split_whitespace().last().is_some_and(|word| text.contains(word))
        };
        text.contains(self.secret().expose_secret())
            || sent(Mechanism::Plain, None)
            || sent(Mechanism::Login, Some("Password:"))
            || sent(Mechanism::Xoauth2, None)
    }
}

impl NotLoggedIn<'_> {
    /// Whether the server has said no, and not yet anything else gone wrong.
    pub(super) fn is_refused(&self) -> bool {
        self.code == Some(REFUSED)
    }

    pub(super) fn words(&self, server: &str) -> String {
        let username = &self.login.username;
        let check = match &self.login.proof {
            Proof::Password { kept_in, .. } => format!("username and `{kept_in}`"),
            Proof::Tokens(_) => {
                "username, scope, and whether the app may send mail for this mailbox".to_owned()
            }
        };
        match self.code {
            Some(code) => format!("{server} refused the login of `{username}` (code {code}); check {check}"),
            None => format!(
                "no login of `{username}` at {server}: no method in common, or the connection broke; check \
                 security, {check}"
            ),
        }
    }
}

/// The error is none where the server does not take tokens at all. lettre's own way ends at the server's reason,
/// without its code, and so cannot tell a token that has ended from a connection that broke.
async fn by_token(connection: &mut AsyncSmtpConnection, shown: &Shown) -> Result<(), Option<Error>> {
    if !connection.server_info().supports_auth_mechanism(Mechanism::Xoauth2) {
        return Err(None);
    }
    let command = Auth::new(Mechanism::Xoauth2, shown.credentials(), None)?;
    let answer = connection.command(command).await?;
    if answer.has_code(CHALLENGE) {
        connection.command("\r\n").await?;
    }
    Ok(())
}

/// The name by which people know where it is: what counts on this host.
fn kept_in(secret: &SecretName, opening: &Opening<'_>) -> String {
    let SecretName { env, field } = secret;
    let (first, second) = if opening.aws.is_some() { (field, env) } else { (env, field) };
    first.clone().or_else(|| second.clone()).unwrap_or_default()
}

fn tokens(oauth: &OAuthSettings, opening: &mut Opening<'_>) -> Option<Tokens> {
    let OAuthSettings { token_url, client_id, client_secret, scope, refresh_token } = oauth;
    let secret = opening.secret("client_secret", client_secret);
    let refresh_token = match refresh_token {
        Some(named) => opening.secret("refresh_token", named).map(Some),
        None => Some(None),
    };
    let http =
        http_client(0, is_loopback(token_url)).map_err(|error| format!("no calls are possible: {error}"));
    let http = opening.keep(http);
    let app = Credential { client_id: client_id.clone(), secret: secret? };
    Some(Tokens::at(http?, token_url.clone(), scope.clone(), app, refresh_token?, Calls::default()))
}
