//! enrich as a Lambda function, on the queue of found alerts. What it does stands in the library.

use defender::{RealPause, connect};
use enrich::Enrich;
use jiff::SignedDuration;
use ports::{QueueName, Tally, dispatch};
use std::sync::Arc;

/// A message is not begun when less time is left.
const NEEDS: SignedDuration = SignedDuration::from_secs(15);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), aws::Error> {
    let (function, connection) =
        aws::start(&[QueueName::AlertsFound], &[QueueName::AlertsEnriched], |settings| {
            settings.connection()
        })?;
    let (reader, _, _) = connect(&connection, Arc::new(RealPause))?;
    let enrich = Enrich {
        tenant: function.tenant.clone(),
        reader,
        queue: function.queue.clone(),
        state: function.state.clone(),
        tally: Tally::default(),
    };
    let step = async |_: QueueName, body: &str, now| {
        dispatch(&enrich.tenant, body, now, |found| enrich.handle(found, now)).await
    };
    function.consume(NEEDS, step).await
}
