//! The one configuration that every client is built from.
//!
//! Region, credentials and (for an emulator) the endpoint come from AWS's own variables alone, as Lambda gives them: no
//! profile is read, and nothing is prepared for asking a metadata service, as the SDK's own way does at every start.
//! Nothing of Cordon's own settings is read here.

use crate::http;
use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use credentials::Vars;
use std::time::Duration;

/// Shorter than any function's own time-out, so that a call that hangs is an error that can be told.
const ATTEMPT: Duration = Duration::from_secs(6);
const OPERATION: Duration = Duration::from_secs(12);

/// Reads `AWS_REGION`, the credentials and `AWS_ENDPOINT_URL`. Once per process: clients that share it share
/// connections.
pub fn config(vars: &Vars) -> Result<SdkConfig, reqwest::Error> {
    let endpoint = vars.get("AWS_ENDPOINT_URL");
    let timeouts =
        TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(OPERATION).build();
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(vars.get("AWS_REGION").map(|region| Region::new(region.to_owned())))
        .http_client(http::client(endpoint)?)
        .retry_config(RetryConfig::standard())
        .timeout_config(timeouts);
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(endpoint);
    }
    if let Some(credentials) = keys(vars) {
        config = config.credentials_provider(SharedCredentialsProvider::new(credentials));
    }
    Ok(config.build())
}

/// None where they are not there: then every call fails with words that say so.
fn keys(vars: &Vars) -> Option<Credentials> {
    let key = vars.get("AWS_ACCESS_KEY_ID")?;
    let secret = vars.get("AWS_SECRET_ACCESS_KEY")?;
    let session = vars.get("AWS_SESSION_TOKEN").map(str::to_owned);
    Some(Credentials::new(key, secret, session, None, "variables"))
}
