//! Secrets from Secrets Manager: JSON objects of strings, kept for a few minutes.
//!
//! What a secret's fields mean is not known here. Nothing that is said about a secret, in an error or in a log,
//! holds anything of its value.

use crate::said::{code, words};
use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use credentials::{SecretError, SecretStore};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};
use tokio::sync::Mutex;

/// For how long a value is used without asking again. A rotated one is found sooner by [`SecretStore::forget`].
const KEPT: SignedDuration = SignedDuration::from_mins(5);

/// The secrets that this process may read, each asked for when it is first needed.
#[derive(Clone)]
pub struct Secrets {
    client: Client,
    kept: Arc<Mutex<HashMap<String, Kept>>>,
}

struct Kept {
    fields: BTreeMap<String, SecretString>,
    until: Timestamp,
}

impl Secrets {
    pub fn new(config: &SdkConfig) -> Secrets {
        Secrets { client: Client::new(config), kept: Arc::default() }
    }

    async fn read(&self, name: &str) -> Result<BTreeMap<String, SecretString>, String> {
        let answer = self.client.get_secret_value().secret_id(name).send().await;
        let answer = answer.map_err(|error| match code(&error) {
            Some("ResourceNotFoundException") => "does not exist, or has no value yet".to_owned(),
            Some("AccessDeniedException" | "DecryptionFailure") => {
                format!("may not be read by this function's role: {}", words(&error))
            }
            _ => format!("cannot be read now: {}", words(&error)),
        })?;
        // What serde says about a value that does not fit may quote it.
        let fields = answer.secret_string().and_then(|text| serde_json::from_str(text).ok());
        fields.ok_or_else(|| "is not a JSON object of strings".to_owned())
    }
}

#[async_trait]
impl SecretStore for Secrets {
    /// `name` is a secret's name or ARN. Whoever asks while it is being read waits for that answer.
    async fn field(&self, name: &str, field: &str, now: Timestamp) -> Result<SecretString, SecretError> {
        let error = |why| SecretError { name: name.to_owned(), why };
        let mut kept = self.kept.lock().await;
        if kept.get(name).is_none_or(|kept| now >= kept.until) {
            kept.remove(name);
            let fields = self.read(name).await.map_err(error)?;
            let until = now.saturating_add(KEPT).unwrap_or(Timestamp::MAX);
            kept.insert(name.to_owned(), Kept { fields, until });
        }
        let value = kept.get(name).and_then(|kept| kept.fields.get(field)).cloned();
        value.ok_or_else(|| error(format!("has no field `{field}`")))
    }

    async fn forget(&self, name: &str) {
        self.kept.lock().await.remove(name);
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}
