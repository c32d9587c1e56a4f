//! respond as a Lambda function, on the queue of enriched alerts. What it does stands in the library.

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
    let own = Some(QueueName::AlertsEnriched);
    let (function, (connection, playbook, environment_mode)) =
        aws::start(own, &[QueueName::ActionsTaken], |settings| {
            let connection = settings.connection();
            let playbook = settings.playbook(Playbook::read);
            let playbook_mode = playbook.as_ref().map(|playbook| playbook.settings.mode);
            let mode = settings.mode(connection.as_ref(), playbook_mode);
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
    function.consume(QueueName::AlertsEnriched, NEEDS, |enriched, now| respond.handle(enriched, now)).await
}
