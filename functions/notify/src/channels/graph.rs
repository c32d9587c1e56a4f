//! Microsoft Graph: sends the same letter as a mail server would get, out of a mailbox of the tenant.
//!
//! The letter travels as MIME, so that it keeps its plain part and its `References`. Graph keeps a copy among
//! the mailbox's sent items. Source: Microsoft's "user: sendMail" page.

use super::{
    Opening,
    http::{Answer, Http, ask},
    mailbox, mailboxes,
};
use crate::letter::Letter;
use base64::{Engine, engine::general_purpose::STANDARD};
use credentials::{AccessToken, Calls, Credential, Endpoints, Problems, TokenError, Tokens, entra_token_url};
use jiff::Timestamp;
use lettre::message::Mailbox;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use policy::GraphSettings;
use ports::Unsent;
use reqwest::{
    StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use secrecy::ExposeSecret;

/// What may stand in a mailbox's name in an address as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'@');

#[derive(Debug)]
pub(super) struct Graph {
    http: Http,
    url: String,
    tokens: Tokens,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Graph {
    /// Checks everything that can be checked without the network.
    pub(super) fn open(settings: &GraphSettings, opening: &mut Opening<'_>) -> Option<Graph> {
        let GraphSettings { tenant: named, client_id, client_secret, from, to } = settings;
        let mut problems = Problems::default();
        let endpoints = Endpoints::from_vars(opening.vars, &mut problems);
        let tenant = match named {
            Some(named) => Some(named.clone()),
            None => credentials::tenant(opening.vars, &mut problems).map(|tenant| tenant.to_string()),
        };
        for problem in problems.iter() {
            opening.problem(problem);
        }
        let tenant = tenant.and_then(|tenant| opening.keep(checked_tenant(tenant)));
        let from = opening.keep(mailbox("from", from));
        let to = opening.keep(mailboxes("to", to.iter().map(String::as_str)));
        let secret = opening.secret("client_secret", client_secret);
        let http = Http::open(opening);
        let (endpoints, from, http) = (endpoints?, from?, http?);
        let login = entra_token_url(&endpoints.login, &tenant?);
        let tokens = Tokens::at(
            http.client(&login).clone(),
            login,
            Some(format!("{}/.default", endpoints.graph_audience)),
            Credential { client_id: client_id.clone(), secret: secret? },
            None,
            Calls::default(),
        );
        let sender = utf8_percent_encode(from.email.as_ref(), PLAIN);
        let url = format!("{}/v1.0/users/{sender}/sendMail", endpoints.graph);
        Some(Graph { http, url, tokens, from, to: to? })
    }

    pub(super) async fn deliver(&self, letter: &Letter, now: Timestamp) -> Result<(), Unsent> {
        let message = letter.message(&self.from, &self.to).map_err(Unsent::message)?;
        let body = STANDARD.encode(message.formatted());
        let token = self.token(now).await?;
        let (answer, token) = match self.send(&token, &body, now).await? {
            // The token may have been revoked before its time.
            answer if answer.status == StatusCode::UNAUTHORIZED => {
                self.tokens.drop_token(&token).await;
                let token = self.token(now).await?;
                (self.send(&token, &body, now).await?, token)
            }
            answer => (answer, token),
        };
        if answer.is_success() {
            return Ok(());
        }
        let (token, code) = (token.secret().expose_secret(), answer.code());
        let echoes =
            token.contains(code) || token.split('.').any(|part| part.len() >= 8 && code.contains(part));
        Err(answer.unsent("Microsoft Graph", hint(answer.status, code), echoes))
    }

    async fn token(&self, now: Timestamp) -> Result<AccessToken, Unsent> {
        self.tokens.token(now).await.map_err(|error| Unsent {
            after: match &error {
                TokenError::Refused { retry_at, .. } => Some(retry_at.duration_since(now)),
                TokenError::Unavailable { .. } | TokenError::Secret(_) => None,
            },
            ..Unsent::channel(error.to_string())
        })
    }

    async fn send(&self, token: &AccessToken, body: &str, now: Timestamp) -> Result<Answer, Unsent> {
        let header = token.header().ok_or_else(|| Unsent::channel("the access token is none"))?;
        let request = self.http.client(&self.url).post(&self.url).header(AUTHORIZATION, header);
        let request = request.header(CONTENT_TYPE, "text/plain").body(body.to_owned());
        ask(request, "Microsoft Graph", now).await
    }
}

fn hint(status: StatusCode, code: &str) -> Option<&'static str> {
    match status.as_u16() {
        // The addresses are the same for every letter.
        400 if code.contains("Recipient") => Some("it does not take these recipients; check `to`"),
        400 if ["SendAs", "Mailbox", "InvalidUser", "Sender"]
            .iter()
            .any(|of_sender| code.contains(of_sender)) =>
        {
            Some("it does not take this sender; check `from`")
        }
        401 => Some("it does not accept the app's token; check `tenant_id` and `client_id`"),
        403 => Some(
            "the app may not send as this mailbox; it needs Mail.Send as an application permission with an \
             administrator's consent, and the mailbox must be within what the app is restricted to, if it is",
        ),
        404 | 410 => Some("there is no such mailbox; check `from`: it needs a mailbox in Exchange Online"),
        _ => None,
    }
}

/// An id or a domain of the tenant: nothing that could lead elsewhere in an address.
fn checked_tenant(tenant: String) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    if !tenant.is_empty() && tenant.bytes().all(is_plain) && !tenant.contains("..") {
        return Ok(tenant);
    }
    Err(format!("tenant_id: `{}` is not the id of a tenant", model::one_line(&tenant, 60)))
}
