//! Secrets that a store keeps: read anew when they are refused, and at once when another takes their place.

use crate::{asked, minutes, noon};
use async_trait::async_trait;
use credentials::{
    Calls, Connection, Problems, SecretError, SecretStore, TokenError, Tokens, Vars, http_client,
};
use jiff::Timestamp;
use secrecy::SecretString;
use simulator::{Simulator, World};
use std::sync::{Arc, Mutex};

/// What is in the store, and what of it has been read; as the AWS host keeps it.
#[derive(Debug)]
struct Store {
    value: Mutex<&'static str>,
    read: Mutex<Option<&'static str>>,
}

#[async_trait]
impl SecretStore for Store {
    async fn field(&self, name: &str, field: &str, _: Timestamp) -> Result<SecretString, SecretError> {
        assert_eq!((name, field), ("cordon/reader", "client_secret"));
        let value = *self.value.lock().unwrap();
        if value.is_empty() {
            return Err(SecretError { name: name.to_owned(), why: "has no value yet".to_owned() });
        }
        Ok(SecretString::from(*self.read.lock().unwrap().get_or_insert(value)))
    }

    async fn forget(&self, _: &str) {
        *self.read.lock().unwrap() = None;
    }
}

async fn with_a_store(value: &'static str) -> (Simulator, Tokens, Arc<Store>) {
    let simulator = Simulator::start(World::new(noon())).await.unwrap();
    let url = simulator.url();
    let vars = [
        ("DEFENDER_TENANT_ID", simulator::DEFAULT_TENANT),
        ("DEFENDER_CLIENT_ID", simulator::DEFAULT_CLIENT),
        ("DEFENDER_SECRET_ID", "cordon/reader"),
        ("DEFENDER_API_URL", &url),
        ("DEFENDER_LOGIN_URL", &url),
    ];
    let vars: Vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
    let store = Arc::new(Store { value: Mutex::new(value), read: Mutex::default() });
    let kept: Arc<dyn SecretStore> = store.clone();
    let connection = Connection::from_vars(&vars, Some(&kept), &mut Problems::default()).unwrap();
    let http = http_client(4, true).unwrap();
    let tokens =
        Tokens::new(http, &connection.endpoints, &connection.tenant, connection.reader, Calls::default());
    (simulator, tokens, store)
}

#[tokio::test]
async fn a_secret_that_was_rotated_since_it_was_read_is_read_anew_when_it_is_refused() {
    let (simulator, tokens, store) = with_a_store("the-old-secret").await;
    *store.read.lock().unwrap() = Some("the-old-secret");
    *store.value.lock().unwrap() = simulator::DEFAULT_SECRET;
    tokens.token(noon()).await.unwrap();
    assert_eq!(asked(&simulator), 2, "with the old one, and with the new one");
}

#[tokio::test]
async fn a_refused_secret_rests_until_another_takes_its_place() {
    let (simulator, tokens, store) = with_a_store("not-the-secret").await;
    for minute in [0, 1, 3] {
        let refused = tokens.token(noon() + minutes(minute)).await.unwrap_err();
        assert!(matches!(refused, TokenError::Refused { .. }), "{refused}");
    }
    let before = asked(&simulator);
    tokens.token(noon() + minutes(4)).await.unwrap_err();
    assert_eq!(asked(&simulator), before, "it rests");
    // Somebody puts the right one; the store notices when what it keeps has become old.
    *store.value.lock().unwrap() = simulator::DEFAULT_SECRET;
    store.forget("cordon/reader").await;
    tokens.token(noon() + minutes(4)).await.unwrap();
    assert_eq!(asked(&simulator), before + 1, "at once");
}

#[tokio::test]
async fn a_secret_that_has_no_value_yet_is_no_refusal() {
    let (simulator, tokens, store) = with_a_store("").await;
    let missing = tokens.token(noon()).await.unwrap_err();
    assert!(missing.to_string().contains("`cordon/reader` has no value yet"), "{missing}");
    assert_eq!(asked(&simulator), 0);
    *store.value.lock().unwrap() = simulator::DEFAULT_SECRET;
    tokens.token(noon()).await.unwrap();
}
