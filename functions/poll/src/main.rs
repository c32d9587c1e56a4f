//! poll as a Lambda function, run by a schedule. What it does stands in the library.

use defender::{RealPause, connect};
use poll::Poll;
use ports::{QueueName, Tally};
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), aws::Error> {
    let (function, (connection, playbook, environment_mode, lookback)) =
        aws::start(&[QueueName::AlertsFound], &[QueueName::ActionsTaken], |settings| {
            let connection = settings.connection();
            let playbook = settings.playbook(policy::Settings::read);
            let mode = settings.mode();
            let lookback = settings.lookback();
            Some((connection?, playbook?, mode, lookback?))
        })?;
    let (reader, _, _) = connect(&connection, Arc::new(RealPause))?;
    let poll = Poll {
        tenant: function.tenant.clone(),
        reader,
        queue: function.queue.clone(),
        state: function.state.clone(),
        tally: Tally::default(),
        overlap: playbook.poll.overlap,
        lookback,
        mode: environment_mode.unwrap_or(playbook.mode),
    };
    function.on_schedule(|now| poll.run(now)).await
}
