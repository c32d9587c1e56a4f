//! The one configuration that every client is built from.
//!
//! Region, credentials and (for an emulator) `AWS_ENDPOINT_URL` come from where the SDK always takes them; nothing
//! of Cordon's own settings is read here.

use crate::http;
use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};
use credentials::Vars;
use std::time::Duration;

/// Shorter than any function's own time-out, so that a call that hangs is an error that can be told.
const ATTEMPT: Duration = Duration::from_secs(6);
const OPERATION: Duration = Duration::from_secs(12);

/// Reads the SDK's configuration. Once per process: clients that share it share connections and root certificates.
pub async fn config() -> Result<SdkConfig, reqwest::Error> {
    let timeouts =
        TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(OPERATION).build();
    let client = http::client(Vars::from_process().get("AWS_ENDPOINT_URL"))?;
    Ok(aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts)
        .http_client(client)
        .load()
        .await)
}
