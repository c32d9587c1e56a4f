//! notify as a Lambda function, on the queue of outcomes and notices. What it does stands in the library.

use jiff::SignedDuration;
use notify::{Notify, OnAws, Templates};
use ports::{QueueName, Tally};

/// A message is not begun when less time is left: a mail server may take 20 seconds.
const NEEDS: SignedDuration = SignedDuration::from_secs(25);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), aws::Error> {
    let (function, (endpoints, channels)) = aws::start(&[QueueName::ActionsTaken], &[], |settings| {
        let endpoints = settings.endpoints();
        let playbook = settings.playbook(policy::Settings::read);
        let channels = playbook.map(|playbook| {
            let (mail, topics) = (settings.mail(), settings.topics());
            let aws = OnAws { mail, topics, secret: None };
            settings.with(|vars, problems| notify::open(&playbook.channels, vars, Some(&aws), problems))
        });
        Some((endpoints?, channels?))
    })?;
    let notify = Notify {
        channels,
        templates: Templates::shipped(),
        queue: function.queue.clone(),
        state: function.state.clone(),
        tally: Tally::default(),
        portal: endpoints.portal,
    };
    let tenant = function.tenant.clone();
    let step = async |_: QueueName, body: &str, now| notify.take(&tenant, body, now).await;
    function.consume(NEEDS, step).await
}
