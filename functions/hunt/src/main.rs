//! hunt as a Lambda function, run by a schedule. What it does stands in the library.

use defender::{RealPause, connect};
use hunt::Hunting;
use ports::{QueueName, Tally};
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), aws::Error> {
    // It consumes none of them: what is too large to be sent is set aside among the dead letters of each.
    let own = [QueueName::AlertsFound, QueueName::EffectsRequested, QueueName::ActionsTaken];
    let (function, (connection, settings, hunts, lists, mode)) = aws::start(&own, &[], |settings| {
        let connection = settings.connection();
        let playbook = settings.playbook(policy::Settings::read);
        let hunts = settings.playbook(policy::Hunt::read_all);
        let lists = settings.playbook(policy::AssetList::read_all);
        let mode = settings.mode();
        Some((connection?, playbook?, hunts?, lists?, mode))
    })?;
    let (reader, _, _) = connect(&connection, Arc::new(RealPause))?;
    let hunting = Hunting {
        tenant: function.tenant.clone(),
        reader,
        queue: function.queue.clone(),
        state: function.state.clone(),
        tally: Tally::default(),
        hunts: hunts.into(),
        lists: lists.into(),
        mode: mode.unwrap_or(settings.mode),
        time_zone: settings.time_zone,
    };
    function.on_schedule(|now| hunting.run(now)).await
}
