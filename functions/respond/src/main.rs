//! respond as a Lambda function, on the queues of enriched alerts and of orders. What it does stands in the library.

use defender::{RealPause, connect};
use jiff::SignedDuration;
use policy::Playbook;
use ports::{QueueName, Tally};
use respond::Respond;
use std::sync::Arc;

/// A message is not begun when less time is left. An effect that is cut off all the same is one of which nobody knows
/// at first whether it happened: it is found by its mark.
const NEEDS: SignedDuration = SignedDuration::from_secs(25);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), aws::Error> {
    let own = [QueueName::AlertsEnriched, QueueName::EffectsRequested];
    let (function, (connection, playbook, environment_mode)) =
        aws::start(&own, &[QueueName::ActionsTaken], |settings| {
            let connection = settings.connection();
            let playbook = settings.playbook(Playbook::read);
            let mode = settings.mode();
            Some((connection?, playbook?, mode))
        })?;
    let (reader, responder, _) = connect(&connection, Arc::new(RealPause))?;
    let respond = Respond {
        tenant: function.tenant.clone(),
        reader,
        responder: Arc::new(responder),
        playbook: Arc::new(playbook),
        environment_mode,
        queue: function.queue.clone(),
        state: function.state.clone(),
        tally: Tally::default(),
    };
    let step = async |queue, body: &str, now| respond.take(queue, body, now).await;
    function.consume(NEEDS, step).await
}
