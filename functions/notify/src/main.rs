//! notify as a Lambda function, on the queue of outcomes and notices. What it does stands in the library.

use jiff::SignedDuration;
use notify::Notify;
use ports::{QueueName, Tally};

/// A message is not begun when less time is left: a mail server may take 20 seconds.
const NEEDS: SignedDuration = SignedDuration::from_secs(25);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), aws::Error> {
    let (function, (endpoints, channels)) = aws::start(&[QueueName::ActionsTaken], &[], |settings| {
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
    let tenant = function.tenant.clone();
    let step = async |_: QueueName, body: &str, now| notify.take(&tenant, body, now).await;
    function.consume(NEEDS, step).await
}
