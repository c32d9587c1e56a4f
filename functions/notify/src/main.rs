//! notify as a Lambda function, on the queue of outcomes and notices. What it does stands in the library.

use aws::Settings;
use jiff::SignedDuration;
use notify::{Channel, KeptSecret, Notify, OnAws, Templates};
use ports::{QueueName, Tally};

/// A message is not begun when less time is left: no delivery is begun after 25 s of the same message, and the longest takes
/// 20 (see `deliver`). What is given up half-way all the same is told to the others when it comes again.
const NEEDS: SignedDuration = SignedDuration::from_secs(45);

/// The deployment's secret for channels.
const SECRET: &str = "CORDON_CHANNELS_SECRET_ID";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), aws::Error> {
    let (function, (endpoints, channels, templates)) =
        aws::start(&[QueueName::ActionsTaken], &[], |settings| {
            // All of them first: the problems of each are to be said.
            let (endpoints, channels, templates) =
                (settings.endpoints(), channels(settings), templates(settings));
            Some((endpoints?, channels?, templates?))
        })?;
    let notify = Notify {
        channels,
        templates,
        queue: function.queue.clone(),
        state: function.state.clone(),
        tally: Tally::default(),
        portal: endpoints.portal,
    };
    let tenant = function.tenant.clone();
    let step = async |_: QueueName, body: &str, now| notify.take(&tenant, body, now).await;
    function.consume(NEEDS, step).await
}

fn channels(settings: &mut Settings) -> Option<Vec<Channel>> {
    let playbook = settings.playbook(policy::Settings::read)?;
    let (mail, topics, store) = (settings.mail(), settings.topics(), settings.secrets());
    settings.with(|vars, problems| {
        let secret = vars.get(SECRET).map(|name| KeptSecret { store, name: name.to_owned() });
        let aws = OnAws { mail, topics, secret };
        Some(notify::open(&playbook.channels, vars, Some(&aws), problems))
    })
}

fn templates(settings: &mut Settings) -> Option<Templates> {
    let folder = settings.playbook_folder();
    let templates = Templates::read(&folder);
    settings.with(|_, problems| {
        templates.map_err(|found| problems.add_all("templates", found.iter().map(String::as_str))).ok()
    })
}
