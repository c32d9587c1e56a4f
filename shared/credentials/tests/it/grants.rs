//! Tokens of an endpoint that is not Entra's: by a refresh token, and by the app's own credential.

use crate::{minutes, noon};
use async_trait::async_trait;
use credentials::{
    AccessToken, Calls, Credential, Secret, SecretError, SecretStore, TokenError, Tokens, http_client,
};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use simulator::{Grants, TokenEndpoint};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

const SCOPE: &str = "https://mail.example.com/";
const SECRET: &str = "the-apps-own-secret";
const REFRESH: &str = "the-mailboxes-refresh-token";

async fn endpoint(refresh_token: Option<&str>) -> TokenEndpoint {
    let grants = Grants {
        client_id: "app".to_owned(),
        client_secret: SECRET.to_owned(),
        refresh_token: refresh_token.map(str::to_owned),
        ..Grants::default()
    };
    TokenEndpoint::start(grants).await.unwrap()
}

fn given(text: &str) -> Secret {
    Secret::given(SecretString::from(text))
}

fn tokens(endpoint: &TokenEndpoint, secret: Secret, refresh_token: Option<Secret>) -> Tokens {
    let app = Credential { client_id: "app".to_owned(), secret };
    let (http, url) = (http_client(0, true).unwrap(), endpoint.url().to_owned());
    Tokens::at(http, url, Some(SCOPE.to_owned()), app, refresh_token, Calls::default())
}

fn text(token: &AccessToken) -> String {
    token.secret().expose_secret().to_owned()
}

/// What the endpoint was sent last.
fn last(endpoint: &TokenEndpoint) -> BTreeMap<String, String> {
    endpoint.with(|grants| grants.asked.last().unwrap().clone())
}

fn form(fields: &[(&str, &str)]) -> BTreeMap<String, String> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What is kept, and what of it has been read; as the AWS host keeps it.
#[derive(Debug, Default)]
struct Store {
    values: Mutex<BTreeMap<&'static str, &'static str>>,
    read: Mutex<BTreeMap<&'static str, &'static str>>,
}

#[async_trait]
impl SecretStore for Store {
    async fn field(&self, _: &str, field: &str, _: Timestamp) -> Result<SecretString, SecretError> {
        let mut read = self.read.lock().unwrap();
        if read.is_empty() {
            read.clone_from(&self.values.lock().unwrap());
        }
        Ok(SecretString::from(*read.get(field).unwrap()))
    }

    async fn forget(&self, _: &str) {
        self.read.lock().unwrap().clear();
    }
}

impl Store {
    fn with(refresh_token: &'static str) -> Arc<Store> {
        let store = Store::default();
        *store.values.lock().unwrap() = [("secret", SECRET), ("refresh", refresh_token)].into();
        Arc::new(store)
    }

    fn tokens(self: &Arc<Store>, endpoint: &TokenEndpoint) -> Tokens {
        let kept = |field| Secret::kept(self.clone(), "channels", field);
        tokens(endpoint, kept("secret"), Some(kept("refresh")))
    }

    fn put(&self, refresh_token: &'static str) {
        self.values.lock().unwrap().insert("refresh", refresh_token);
    }
}

#[tokio::test]
async fn a_refresh_token_gives_access_tokens_and_stays_the_one_that_was_given() {
    let endpoint = endpoint(Some(REFRESH)).await;
    let tokens = tokens(&endpoint, given(SECRET), Some(given(REFRESH)));
    let first = tokens.token(noon()).await.unwrap();
    let app = [("client_id", "app"), ("client_secret", SECRET), ("scope", SCOPE)];
    let mut expected = form(&app);
    expected.extend(form(&[("grant_type", "refresh_token"), ("refresh_token", REFRESH)]));
    assert_eq!(last(&endpoint), expected);

    assert_eq!(text(&tokens.token(noon() + minutes(54)).await.unwrap()), text(&first));
    let second = tokens.token(noon() + minutes(55)).await.unwrap();
    assert_ne!(text(&second), text(&first));
    assert_eq!(last(&endpoint), expected, "the new refresh token of the first answer is used by nobody");
    assert_eq!(endpoint.with(|grants| grants.asked.len()), 2);
}

#[tokio::test]
async fn an_app_with_a_credential_of_its_own_needs_no_refresh_token() {
    let endpoint = endpoint(None).await;
    let token = tokens(&endpoint, given(SECRET), None).token(noon()).await.unwrap();
    assert!(endpoint.with(|grants| grants.good.contains(&text(&token))));
    let mut expected = form(&[("client_id", "app"), ("client_secret", SECRET), ("scope", SCOPE)]);
    expected.extend(form(&[("grant_type", "client_credentials")]));
    assert_eq!(last(&endpoint), expected);
}

#[tokio::test]
async fn a_refresh_token_that_was_changed_since_it_was_read_is_read_anew_when_it_is_refused() {
    let endpoint = endpoint(Some(REFRESH)).await;
    let store = Store::with("an-older-refresh-token");
    let tokens = store.tokens(&endpoint);
    tokens.token(noon()).await.unwrap_err();
    store.put(REFRESH);
    tokens.token(noon() + minutes(1)).await.unwrap();
}

#[tokio::test]
async fn a_refused_refresh_token_rests_until_another_takes_its_place() {
    let endpoint = endpoint(Some(REFRESH)).await;
    let store = Store::with("an-older-refresh-token");
    let tokens = store.tokens(&endpoint);
    for minute in [0, 1, 3] {
        tokens.token(noon() + minutes(minute)).await.unwrap_err();
    }
    let asked = || endpoint.with(|grants| grants.asked.len());
    let before = asked();
    tokens.token(noon() + minutes(4)).await.unwrap_err();
    assert_eq!(asked(), before, "it rests");
    // The app's secret is the same; the store notices the new token when what it keeps has become old.
    store.put(REFRESH);
    store.forget("channels").await;
    tokens.token(noon() + minutes(4)).await.unwrap();
    assert_eq!(asked(), before + 1, "at once");
}

#[tokio::test]
async fn a_refusal_says_which_of_the_two_it_is_and_shows_neither() {
    let endpoint = endpoint(Some(REFRESH)).await;
    let cases = [
        ("another-apps-secret", REFRESH, "invalid_client", "the client secret is wrong"),
        (SECRET, "an-older-refresh-token", "invalid_grant", "the refresh token has ended"),
    ];
    for (secret, refresh_token, code, words) in cases {
        let tokens = tokens(&endpoint, given(secret), Some(given(refresh_token)));
        let error = tokens.token(noon()).await.unwrap_err();
        assert!(matches!(error, TokenError::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains(code) && error.to_string().contains(words), "{error}");
        let shown = format!("{error} {error:?} {tokens:?} {tokens:#?}");
        assert!(!shown.contains(secret) && !shown.contains(refresh_token), "{shown}");
    }
    let tokens = tokens(&endpoint, given(SECRET), Some(given(REFRESH)));
    let token = tokens.token(noon()).await.unwrap();
    let shown = format!("{token:?} {tokens:?} {tokens:#?}");
    for secret in [SECRET, REFRESH, &text(&token), "nobody-keeps"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
