//! The clock of the local host, and waiting by it.

use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

#[expect(clippy::disallowed_methods, reason = "a host's main is where the clock is read")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

#[expect(clippy::disallowed_methods, reason = "a host waits between its rounds")]
pub(crate) async fn wait(how_long: SignedDuration) {
    tokio::time::sleep(Duration::try_from(how_long).unwrap_or_default()).await;
}
