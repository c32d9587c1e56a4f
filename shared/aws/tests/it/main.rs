//! The AWS backends against an emulator: every promise of the ports, and what this host adds to them.
//!
//! `scripts/aws-emulator cargo test -p aws --features emulator` runs it. Errors that an emulator cannot be brought to
//! give are tested beside the code.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop"
)]

use aws::SdkConfig;
use aws_sdk_sqs::config::{Credentials, Region, SharedCredentialsProvider};
use credentials::Vars;
use std::sync::atomic::{AtomicU64, Ordering};

mod batch;
mod mail;
mod queue;
mod secrets;
mod stack;
mod state;
mod topics;

/// The emulator, and never an account: endpoint and credentials are set here.
async fn emulator() -> SdkConfig {
    let endpoint =
        std::env::var_os("CORDON_TEST_AWS_ENDPOINT").and_then(|endpoint| endpoint.into_string().ok());
    let endpoint = endpoint.unwrap_or_else(|| {
        panic!(
            "CORDON_TEST_AWS_ENDPOINT is not set: run `scripts/aws-emulator cargo test -p aws --features emulator`"
        )
    });
    let credentials = Credentials::new("test", "test", None, None, "test");
    aws::config(&Vars::from_process())
        .unwrap()
        .into_builder()
        .endpoint_url(endpoint)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

/// A name that no other test has, nor an earlier run.
fn unused(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let run = uuid::Uuid::new_v4().simple().to_string();
    format!("{name}-{run}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn now() -> jiff::Timestamp {
    "2026-03-01T08:00:00Z".parse().unwrap()
}
