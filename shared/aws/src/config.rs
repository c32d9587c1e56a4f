//! The one configuration that every client is built from.
//!
//! Region, credentials and (for an emulator) `AWS_ENDPOINT_URL` come from where the SDK always takes them; nothing
//! of Cordon's own settings is read here.

use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};
use std::time::Duration;

/// Shorter than any function's own time-out, so that a call that hangs is an error that can be told.
const CONNECT: Duration = Duration::from_secs(2);
const ATTEMPT: Duration = Duration::from_secs(5);
const OPERATION: Duration = Duration::from_secs(12);

/// Reads the SDK's configuration. Once per process: clients that share it share connections and root certificates.
pub async fn config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build();
    aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).load().await
}
