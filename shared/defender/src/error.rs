//! What can go wrong in a call, named for what the caller does next.
//!
//! `Display` says one layer, in words for a log; the service's own message is shortened and made safe to show.

use credentials::TokenError;
use jiff::SignedDuration;

/// Whether the service may have acted on a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// It has not.
    No,
    /// It may have: reading has to settle it.
    Maybe,
    /// It has, though its answer could not be read.
    Yes,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// 429: not before this time has passed.
    #[error("the service's quota is used up; again in {} s", .retry_after.as_secs())]
    RateLimited { retry_after: SignedDuration },
    /// No answer, a broken one, or 5xx; may pass.
    #[error("the service gave no usable answer: {why}")]
    Unavailable { why: String, reached: Reached },
    /// The service's answer holds a record that cannot be read, also when asked again: reading will not get better.
    #[error("the service's answer cannot be read: {why}")]
    Unreadable { why: String },
    /// The app's credential was refused, or a fresh token was rejected.
    #[error("not signed in: {why}")]
    Unauthorized {
        why: String,
        /// When asking again can be of use.
        retry_after: SignedDuration,
    },
    /// 403: the app lacks a permission, or the tenant forbids it.
    #[error("forbidden: {0}")]
    Forbidden(Answer),
    /// 404.
    #[error("not found: {0}")]
    NotFound(Answer),
    /// Any other 4xx: the request itself is wrong, or cannot be carried out.
    #[error("refused by the service: {0}")]
    BadRequest(Answer),
}

/// What the service said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Such as `ResourceNotFound`.
    pub code: String,
    /// Free text, which may change at any time: for people only.
    pub message: String,
    /// The correlation id to quote to Microsoft's support.
    pub target: String,
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.code)?;
        if !self.message.is_empty() {
            write!(f, ", `{}`", self.message)?;
        }
        if !self.target.is_empty() {
            write!(f, " (correlation id {})", self.target)?;
        }
        Ok(())
    }
}

impl ApiError {
    pub(crate) fn from_token(error: &TokenError, now: jiff::Timestamp) -> ApiError {
        let why = error.to_string();
        match error {
            TokenError::Refused { retry_at, .. } => {
                ApiError::Unauthorized { why, retry_after: retry_at.duration_since(now) }
            }
            TokenError::Unavailable { .. } | TokenError::Secret(_) => {
                ApiError::Unavailable { why, reached: Reached::No }
            }
        }
    }

    /// Whether the service may have acted.
    pub fn reached(&self) -> Reached {
        match self {
            ApiError::Unavailable { reached, .. } => *reached,
            ApiError::Unreadable { .. } => Reached::Yes,
            ApiError::RateLimited { .. }
            | ApiError::Unauthorized { .. }
            | ApiError::Forbidden(_)
            | ApiError::NotFound(_)
            | ApiError::BadRequest(_) => Reached::No,
        }
    }

    /// For what may pass by itself: when to try again. None for what will not.
    pub fn passes_in(&self) -> Option<SignedDuration> {
        match self {
            ApiError::RateLimited { retry_after } | ApiError::Unauthorized { retry_after, .. } => {
                Some((*retry_after).max(SignedDuration::from_secs(1)))
            }
            ApiError::Unavailable { .. } => Some(SignedDuration::from_secs(30)),
            ApiError::Unreadable { .. }
            | ApiError::Forbidden(_)
            | ApiError::NotFound(_)
            | ApiError::BadRequest(_) => None,
        }
    }
}

/// An effect that failed, or whose outcome is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the effect was not confirmed")]
pub struct Failed {
    pub reached: Reached,
    #[source]
    pub error: ApiError,
}

impl From<ApiError> for Failed {
    fn from(error: ApiError) -> Failed {
        Failed { reached: error.reached(), error }
    }
}
