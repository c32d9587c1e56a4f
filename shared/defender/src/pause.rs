//! Waiting between retries, injected so that a test need not wait.

use async_trait::async_trait;
use jiff::SignedDuration;
use std::{fmt, time::Duration};

/// Something that waits.
#[async_trait]
pub trait Pause: Send + Sync + fmt::Debug {
    async fn pause(&self, how_long: SignedDuration);
}

/// Waits for as long as it is told, in real time.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealPause;

#[async_trait]
impl Pause for RealPause {
    #[expect(clippy::disallowed_methods, reason = "this is the pause that everything else is to use")]
    async fn pause(&self, how_long: SignedDuration) {
        tokio::time::sleep(Duration::try_from(how_long).unwrap_or_default()).await;
    }
}
