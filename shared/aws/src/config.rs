//! The one configuration that every client is built from.
//!
//! Region, credentials and (for an emulator) the endpoint come from the environment alone, as Lambda gives them: no
//! profile is read, and nothing is prepared for asking a metadata service, as the SDK's own way does at every start.
//! Nothing of Cordon's own settings is read here.

use crate::http;
use aws_config::{
    BehaviorVersion, Region, SdkConfig, environment::EnvironmentVariableCredentialsProvider,
    retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_sqs::config::SharedCredentialsProvider;
use credentials::Vars;
use std::time::Duration;

/// Shorter than any function's own time-out, so that a call that hangs is an error that can be told.
const ATTEMPT: Duration = Duration::from_secs(6);
const OPERATION: Duration = Duration::from_secs(12);

/// Reads `AWS_REGION`, the credentials and `AWS_ENDPOINT_URL`. Once per process: clients that share it share
/// connections.
pub fn config() -> Result<SdkConfig, reqwest::Error> {
    let vars = Vars::from_process();
    let endpoint = vars.get("AWS_ENDPOINT_URL");
    let timeouts =
        TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(OPERATION).build();
    let credentials = SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new());
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(vars.get("AWS_REGION").map(|region| Region::new(region.to_owned())))
        .credentials_provider(credentials)
        .http_client(http::client(endpoint)?)
        .retry_config(RetryConfig::standard())
        .timeout_config(timeouts);
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(endpoint);
    }
    Ok(config.build())
}
