//! A token endpoint such as mail services have: one app, by client credentials or by a refresh token (RFC 6749,
//! sections 4.4 and 6). It knows no tenant and no API; whoever takes its tokens asks it whether one is good.

use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What the endpoint knows. A test may change it at any time.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    pub client_id: String,
    pub client_secret: String,
    /// The refresh token that is good; none where the app has credentials of its own.
    pub refresh_token: Option<String>,
    /// The access tokens that are good.
    pub good: Vec<String>,
    /// The forms that were sent, oldest first.
    pub asked: Vec<BTreeMap<String, String>>,
}

/// A token endpoint on this machine. Dropping it ends it.
#[derive(Debug)]
pub struct TokenEndpoint {
    url: String,
    grants: Arc<Mutex<Grants>>,
    serving: JoinHandle<()>,
}

impl TokenEndpoint {
    pub async fn start(grants: Grants) -> std::io::Result<TokenEndpoint> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/token", listener.local_addr()?);
        let grants = Arc::new(Mutex::new(grants));
        let shared = grants.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let grants = shared.clone();
                // A client that gives up in the middle is its own affair.
                tokio::spawn(async move { serve(stream, &grants).await.ok() });
            }
        });
        Ok(TokenEndpoint { url, grants, serving })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn with<T>(&self, change: impl FnOnce(&mut Grants) -> T) -> T {
        change(&mut locked(&self.grants))
    }
}

impl Drop for TokenEndpoint {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn locked(grants: &Mutex<Grants>) -> MutexGuard<'_, Grants> {
    grants.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request, and the end of the connection.
async fn serve(stream: TcpStream, grants: &Mutex<Grants>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let form = url::form_urlencoded::parse(&body).into_owned().collect();
    let (status, answer) = grant(&mut locked(grants), form);
    let answer = answer.to_string();
    let head = format!("HTTP/1.1 {status} -\r\ncontent-type: application/json\r\nconnection: close\r\n");
    let answer = format!("{head}content-length: {}\r\n\r\n{answer}", answer.len());
    stream.get_mut().write_all(answer.as_bytes()).await
}

fn grant(grants: &mut Grants, form: BTreeMap<String, String>) -> (u16, Value) {
    let given = |name: &str| form.get(name).cloned().unwrap_or_default();
    let [id, secret, kind, refresh] =
        ["client_id", "client_secret", "grant_type", "refresh_token"].map(given);
    grants.asked.push(form);
    // It says back what it was sent, as careless endpoints do.
    let no = |status: u16, error: &str| {
        (status, json!({ "error": error, "error_description": format!("not `{secret}`, not `{refresh}`") }))
    };
    if (&id, &secret) != (&grants.client_id, &grants.client_secret) {
        return no(401, "invalid_client");
    }
    match (kind.as_str(), &grants.refresh_token) {
        ("client_credentials", None) => {}
        ("refresh_token", Some(good)) if *good == refresh => {}
        ("refresh_token", Some(_)) => return no(400, "invalid_grant"),
        _ => return no(400, "unauthorized_client"),
    }
    let token = format!("access-token-{}-of-{id}", grants.asked.len());
    grants.good.push(token.clone());
    let next = "a-refresh-token-that-nobody-keeps";
    let granted =
        json!({ "access_token": token, "expires_in": 3_600, "token_type": "Bearer", "refresh_token": next });
    (200, granted)
}
