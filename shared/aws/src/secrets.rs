//! Secrets from Secrets Manager: JSON objects of strings, kept for a few minutes.
//!
//! What a secret's fields mean is not known here. Nothing that is said about a secret, in an error or in a log,
//! holds anything of its value.

use crate::said::{code, words};
use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};
use tokio::sync::Mutex;

/// For how long a value is used without asking again. A rotated one is found sooner with [`Secrets::refresh`].
const KEPT: SignedDuration = SignedDuration::from_mins(5);

/// The secrets that this process may read, each asked for when it is first needed.
#[derive(Clone)]
pub struct Secrets {
    client: Client,
    kept: Arc<Mutex<HashMap<String, Kept>>>,
}

struct Kept {
    secret: Secret,
    until: Timestamp,
}

/// One secret's fields. `Debug` shows their names only.
#[derive(Clone)]
pub struct Secret(Arc<BTreeMap<String, SecretString>>);

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the secret `{name}` does not exist, or has no value yet")]
    Missing { name: String },
    /// This function's role may not read it, or not decrypt it.
    #[error("the secret `{name}` may not be read: {why}")]
    Denied { name: String, why: String },
    #[error("the secret `{name}` is not a JSON object of strings")]
    Malformed { name: String },
    /// Try again later.
    #[error("the secret `{name}` cannot be read now: {why}")]
    Unavailable { name: String, why: String },
}

impl Secrets {
    pub fn new(config: &SdkConfig) -> Secrets {
        Secrets { client: Client::new(config), kept: Arc::default() }
    }

    /// A secret by its name or ARN. Whoever asks while it is being read waits for that answer.
    pub async fn get(&self, name: &str, now: Timestamp) -> Result<Secret, SecretError> {
        let mut kept = self.kept.lock().await;
        if let Some(Kept { secret, .. }) = kept.get(name).filter(|kept| now < kept.until) {
            return Ok(secret.clone());
        }
        kept.remove(name);
        let secret = self.read(name).await?;
        let until = now.saturating_add(KEPT).unwrap_or(Timestamp::MAX);
        kept.insert(name.to_owned(), Kept { secret: secret.clone(), until });
        Ok(secret)
    }

    /// Forgets a secret, so that it is read anew: for when its value was turned down.
    pub async fn refresh(&self, name: &str) {
        self.kept.lock().await.remove(name);
    }

    async fn read(&self, name: &str) -> Result<Secret, SecretError> {
        let name = name.to_owned();
        let answer = match self.client.get_secret_value().secret_id(&name).send().await {
            Ok(answer) => answer,
            Err(error) => {
                return Err(match code(&error) {
                    Some("ResourceNotFoundException") => SecretError::Missing { name },
                    Some("AccessDeniedException" | "DecryptionFailure") => {
                        SecretError::Denied { name, why: words(&error) }
                    }
                    _ => SecretError::Unavailable { name, why: words(&error) },
                });
            }
        };
        // What serde says about a value that does not fit may quote it.
        let fields = answer.secret_string().and_then(|text| serde_json::from_str(text).ok());
        fields.map(|fields| Secret(Arc::new(fields))).ok_or(SecretError::Malformed { name })
    }
}

impl Secret {
    pub fn get(&self, field: &str) -> Option<&SecretString> {
        self.0.get(field)
    }

    /// The names of the fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.fields()).finish()
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}
