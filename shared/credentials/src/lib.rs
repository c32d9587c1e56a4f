//! How Cordon reaches a tenant: the settings of the connection, its secrets, and access tokens.
//!
//! Alerts can be read and hunting queries be run on two of Microsoft's interfaces, Defender's own and Graph: which one is
//! asked is a setting of the connection ([`Api`]), `DEFENDER_ALERTS_API` (`defender`, unless set) and
//! `DEFENDER_HUNTING_API` (`graph`, unless set).
//!
//! Secrets enter here and are exposed in exactly one line, where the token's request is built. This crate makes
//! no call but the one to the token endpoint.

mod http;
mod mode;
mod secret;
mod settings;
mod tls;
mod token;
mod vars;

pub use http::{Calls, http_client};
pub use mode::{lookback, mode};
pub use secret::{Secret, SecretError, SecretStore};
pub use settings::{Api, Cloud, Connection, Credential, Endpoints, checked_url, is_loopback, tenant};
pub use token::{AccessToken, TokenError, Tokens, entra_token_url, token_answer};
pub use vars::{Problems, Vars};
