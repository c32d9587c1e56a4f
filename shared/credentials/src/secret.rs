//! A secret: given in the settings, or kept in a store that the host brings.
//!
//! Nothing is kept here: a store keeps what it has read, and reads anew when it is told to forget.

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretString;
use std::{fmt, sync::Arc};

/// A secret could not be read. Says its name, never anything of its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the secret `{name}` {why}")]
pub struct SecretError {
    pub name: String,
    pub why: String,
}

/// Where secrets are kept: each a JSON object of strings under a name.
#[async_trait]
pub trait SecretStore: Send + Sync + fmt::Debug {
    /// One field of a secret.
    async fn field(&self, name: &str, field: &str, now: Timestamp) -> Result<SecretString, SecretError>;

    /// Forgets a secret, so that it is read anew: for when its value was turned down.
    async fn forget(&self, name: &str);
}

/// A secret. `Debug` never shows it.
#[derive(Debug, Clone)]
pub struct Secret(Where);

#[derive(Debug, Clone)]
enum Where {
    Given(SecretString),
    Kept { store: Arc<dyn SecretStore>, name: String, field: String },
}

impl Secret {
    /// One that the settings hold themselves.
    pub fn given(secret: SecretString) -> Secret {
        Secret(Where::Given(secret))
    }

    /// One that is read from a field of a kept secret whenever it is needed.
    pub fn kept(store: Arc<dyn SecretStore>, name: &str, field: &str) -> Secret {
        Secret(Where::Kept { store, name: name.to_owned(), field: field.to_owned() })
    }

    pub async fn read(&self, now: Timestamp) -> Result<SecretString, SecretError> {
        match &self.0 {
            Where::Given(secret) => Ok(secret.clone()),
            Where::Kept { store, name, field } => store.field(name, field, now).await,
        }
    }

    /// It was turned down. Whether there may be another one now.
    pub async fn forget(&self) -> bool {
        match &self.0 {
            Where::Given(_) => false,
            Where::Kept { store, name, .. } => {
                store.forget(name).await;
                true
            }
        }
    }
}
