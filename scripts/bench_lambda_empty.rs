//! A function that does nothing: what `scripts/bench-lambda` compares ours with. No part of the workspace.

use lambda_runtime::{Error, LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(|_: LambdaEvent<()>| async { Ok::<(), Error>(()) })).await
}
