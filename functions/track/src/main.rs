//! track as a Lambda function, run by a schedule. What it does stands in the library.

use defender::{RealPause, connect};
use ports::{QueueName, Tally};
use std::sync::Arc;
use track::Track;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), aws::Error> {
    let (function, connection) =
        aws::start(None, &[QueueName::ActionsTaken], |settings| settings.connection())?;
    let (reader, _, _) = connect(&connection, Arc::new(RealPause))?;
    let track = Track {
        tenant: function.tenant.clone(),
        reader,
        queue: function.queue.clone(),
        state: function.state.clone(),
        tally: Tally::default(),
    };
    function.on_schedule(|now| track.run(now)).await
}
