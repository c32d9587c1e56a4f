//! respond as a Lambda function, on the queue of enriched alerts. What it does stands in the library.

use defender::{RealPause, connect};
use jiff::SignedDuration;
use policy::Playbook;
use ports::{QueueName, Tally};
use respond::Respond;
use std::sync::Arc;

/// A message is not begun when less time is left: an effect takes up to 20 seconds, and one that is cut off is an
/// effect of which nobody knows whether it happened.
const NEEDS: SignedDuration = SignedDuration::from_secs(25);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), aws::Error> {
    let queues = [QueueName::AlertsEnriched, QueueName::ActionsTaken];
    let (function, (connection, playbook, environment_mode)) = aws::start(&queues, |settings| {
        let connection = settings.connection();
        let playbook = settings.playbook(Playbook::read);
        let playbook_mode = playbook.as_ref().map(|playbook| playbook.settings.mode);
        let mode = settings.mode(connection.as_ref(), playbook_mode);
        Some((connection?, playbook?, mode))
    })
    .await?;
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
    function.consume(QueueName::AlertsEnriched, NEEDS, |enriched, now| respond.handle(enriched, now)).await
}
