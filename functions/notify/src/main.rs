//! notify as a Lambda function, on the queue of outcomes. What it does stands in the library.

use jiff::SignedDuration;
use notify::Notify;
use ports::{QueueName, Tally};

/// A message is not begun when less time is left: a mail server may take 20 seconds.
const NEEDS: SignedDuration = SignedDuration::from_secs(25);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), aws::Error> {
    let (function, (endpoints, channels)) = aws::start(Some(QueueName::ActionsTaken), &[], |settings| {
        let endpoints = settings.endpoints();
        let playbook = settings.playbook(policy::Settings::read);
        let channels = playbook.map(|playbook| {
            settings.with_mail(|vars, mail, problems| {
                notify::open(&playbook.channels, vars, Some(mail), problems)
            })
        });
        Some((endpoints?, channels?))
    })?;
    let notify = Notify::new(channels, function.state.clone(), Tally::default(), endpoints.portal);
    function.consume(QueueName::ActionsTaken, NEEDS, |taken, now| notify.handle(taken, now)).await
}
