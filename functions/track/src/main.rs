//! track as a Lambda function, run by a schedule. What it does stands in the library.

use defender::{RealPause, connect};
use ports::{QueueName, Tally};
use std::sync::Arc;
use track::Track;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), aws::Error> {
    let sends_to = [QueueName::ActionsTaken, QueueName::EffectsRequested];
    let (function, (connection, playbook)) = aws::start(&[], &sends_to, |settings| {
        let connection = settings.connection();
        let playbook = settings.playbook(policy::Settings::read);
        Some((connection?, playbook?))
    })?;
    let (reader, _, _) = connect(&connection, Arc::new(RealPause))?;
    let track = Track {
        tenant: function.tenant.clone(),
        reader,
        queue: function.queue.clone(),
        state: function.state.clone(),
        tally: Tally::default(),
        release_after: playbook.isolation.release_after,
        comment_on_alert: playbook.isolation.comment_on_alert,
        count_fleet_from: playbook.limits.count_fleet_from(),
    };
    function.on_schedule(|now| track.run(now)).await
}
