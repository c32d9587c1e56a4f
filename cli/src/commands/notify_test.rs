//! `cordon notify-test CHANNEL…`: sends a marked sample through a real channel, and says what came of it.
//!
//! On this machine it sends by itself, and writes nothing into the state. For a stack it asks the function that tells
//! people, so that the sample goes the whole way, with that function's rights and secrets. Whether anybody reads what a
//! channel has taken is not known here.

use crate::{
    Ending, Reporting, clock,
    desk::{At, Desk},
    person::wait,
    settings::{playbook_folder, read_templates},
    show,
};
use clap::Args;
use credentials::{Endpoints, Problems};
use jiff::{SignedDuration, Timestamp};
use model::{Envelope, MessageId, one_line};
use notify::{sample_notice, send_sample};
use policy::{Channel, ChannelKind, HostKind, Settings};
use ports::{ChannelRow, QueueName, Stored, Telling, Told};
use serde::Serialize;

/// Between two looks at the state of a stack: each is a call that costs money.
const REST: SignedDuration = SignedDuration::from_secs(1);

const IN_TEAMS: &str = "Look into the channel or chat of the workflow. That it was taken says only that the workflow has \
                        begun: where no card appears, its run history says why.";
const IN_SNS: &str = "Ask the topic's subscribers: one that has not confirmed its subscription, or whose filter policy \
                      wants something else, gets nothing.";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon notify-test security-team      one sample through the channel `security-team` of the playbook
  cordon notify-test --all              one through each channel that this machine has
  cordon notify-test --stack cordon teams     by the function of the stack, with its rights and its secrets

The sample says in its first line that it is a test and that nothing has happened. It goes to the channel whatever the
channel's route says. On this machine it is sent by this command itself, beside a `cordon run` too, and nothing is written
into the state; of the settings only those of the channel are needed. `taken` means that the service has taken the sample,
not that anybody has seen it: look where the command says.

docs/CHANNELS.md has the set-up of every kind of channel. Exit code 1: a channel did not take it; 2: there is no such
channel here, or its settings are not complete.")]
pub(crate) struct NotifyTest {
    /// The channel's name in the playbook
    #[arg(value_name = "CHANNEL", required_unless_present = "all", conflicts_with = "all")]
    channels: Vec<String>,
    /// Every channel of the playbook that exists on this host
    #[arg(long)]
    all: bool,
    /// With --stack: how long to wait for what the function says
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = wait)]
    wait: SignedDuration,
    #[command(flatten)]
    reporting: Reporting,
}

/// What came of all of them.
#[derive(Debug, Serialize)]
struct Report {
    channels: Vec<Tried>,
}

/// What came of the sample of one channel.
#[derive(Debug, Serialize)]
struct Tried {
    channel: String,
    kind: &'static str,
    taken: bool,
    /// The sample's first line, where it is known.
    subject: Option<String>,
    /// Where to look for it; none where it was not taken.
    look: Option<String>,
    /// Why it was not taken.
    why: Option<String>,
}

impl NotifyTest {
    pub(crate) async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let host = if at.stack.is_some() { HostKind::Aws } else { HostKind::Local };
        let chosen = self.chosen(at, host)?;
        let tried = match host {
            HostKind::Local => here(at, &chosen).await?,
            HostKind::Aws => on_stack(at, &chosen, self.wait).await?,
        };
        let attention = tried.iter().filter_map(at_fault).collect();
        let report = Report { channels: tried };
        if self.reporting.json {
            show::json(&report);
        } else {
            report.channels.iter().for_each(tell);
        }
        Ok(Ending::of(attention))
    }

    /// The channels that are meant, as the playbook has them.
    fn chosen(&self, at: &At<'_>, host: HostKind) -> Result<Vec<Channel>, Ending> {
        let folder = playbook_folder(at.vars);
        let settings = Settings::read(&folder).map_err(|problems| {
            let mut all = Problems::default();
            all.add_all(&format!("CORDON_PLAYBOOK `{}`", folder.display()), problems.iter());
            Ending::Settings(all.iter().map(str::to_owned).collect())
        })?;
        if !self.all {
            return by_name(&self.channels, &settings.channels, host);
        }
        let all: Vec<Channel> =
            settings.channels.into_iter().filter(|channel| is_on(channel, host)).collect();
        if all.is_empty() {
            return Err(Ending::settings(format!("the playbook has no channel on {}", host.as_str())));
        }
        Ok(all)
    }
}

fn is_on(channel: &Channel, host: HostKind) -> bool {
    channel.only_on().is_none_or(|only| only == host)
}

/// The channels of these names. Each that is unknown, or elsewhere, is complained of.
fn by_name(names: &[String], channels: &[Channel], host: HostKind) -> Result<Vec<Channel>, Ending> {
    let mut chosen = Vec::new();
    let mut problems = Vec::new();
    for name in names {
        match channels.iter().find(|channel| channel.name == *name) {
            Some(channel) if is_on(channel, host) => chosen.push(channel.clone()),
            Some(channel) => problems.push(elsewhere(channel)),
            None => problems.push(unknown(name, channels)),
        }
    }
    if problems.is_empty() { Ok(chosen) } else { Err(Ending::Settings(problems)) }
}

fn unknown(name: &str, channels: &[Channel]) -> String {
    let name = one_line(name, 60);
    let known: Vec<String> = channels.iter().map(named).collect();
    if known.is_empty() {
        return format!("there is no channel `{name}`: the playbook has none at all");
    }
    format!("there is no channel `{name}` in the playbook; it has: {}", known.join(", "))
}

/// A channel, and the host that alone has it.
fn named(channel: &Channel) -> String {
    match channel.only_on() {
        Some(host) => format!("{} (on {} only)", channel.name, host.as_str()),
        None => channel.name.clone(),
    }
}

fn elsewhere(channel: &Channel) -> String {
    let way = match channel.only_on() {
        Some(HostKind::Aws) => "`cordon notify-test --stack NAME` has the stack's own function try it",
        Some(HostKind::Local) | None => "leave `--stack` out to try it here",
    };
    format!("the channel `{}` (kind `{}`) is not on this host; {way}", channel.name, kind(&channel.kind))
}

/// Sends from this machine, one after the other.
async fn here(at: &At<'_>, chosen: &[Channel]) -> Result<Vec<Tried>, Ending> {
    let mut problems = Problems::default();
    let endpoints = Endpoints::from_vars(at.vars, &mut problems);
    let opened = notify::open(chosen, at.vars, None, &mut problems);
    let templates = read_templates(&playbook_folder(at.vars), &mut problems);
    let Some((endpoints, templates)) = endpoints.zip(templates).filter(|_| problems.is_empty()) else {
        return Err(Ending::Settings(problems.iter().map(str::to_owned).collect()));
    };
    let mut tried = Vec::new();
    // Opened one for one, in this order, because nothing was wrong with any of them.
    for (channel, opened) in chosen.iter().zip(&opened) {
        show::progress(&format!("telling `{}` …", channel.name));
        let sent = send_sample(opened, &templates, &endpoints.portal, clock::now()).await;
        show::progress("");
        tried.push(match sent {
            Ok(sample) => Tried::taken(channel, &sample.subject),
            Err(unsent) => Tried::refused(channel, &unsent.why),
        });
    }
    Ok(tried)
}

/// Has the stack's function send, and waits for what it writes down.
async fn on_stack(at: &At<'_>, chosen: &[Channel], patience: SignedDuration) -> Result<Vec<Tried>, Ending> {
    let desk = at.act().await?;
    let begun = clock::now();
    let mut waiting = Vec::new();
    for channel in chosen {
        waiting.push((channel, ask(&desk, channel, begun).await?));
    }
    let mut tried = Vec::new();
    for (channel, id) in waiting {
        tried.push(answer(&desk, channel, &id, begun, patience).await?);
    }
    Ok(tried)
}

/// Each time under an id of its own, so that the function does not take it for a message that it has told.
async fn ask(desk: &Desk, channel: &Channel, now: Timestamp) -> Result<MessageId, Ending> {
    let identity = ["sample", &channel.name, &now.as_nanosecond().to_string()];
    let trace = format!("operator-{}", now.as_millisecond());
    let message = Envelope::new(&desk.tenant, &identity, &trace, now, sample_notice(&channel.name));
    desk.queue.send_one(QueueName::ActionsTaken, &message, now).await?;
    Ok(message.id)
}

/// Waits until the function has told the channel, or has said why it could not.
async fn answer(
    desk: &Desk,
    channel: &Channel,
    id: &MessageId,
    begun: Timestamp,
    patience: SignedDuration,
) -> Result<Tried, Ending> {
    let told_key = Told::of_notice(&desk.tenant, id, &channel.name);
    let telling_key = Telling::beside(&told_key);
    loop {
        let now = clock::now();
        let told: Option<Stored<Told>> = desk.state.get(&told_key, now).await?;
        if let Some(told) = told {
            show::progress("");
            return Ok(Tried::taken(channel, &told.value.subject));
        }
        let telling: Option<Stored<Telling>> = desk.state.get(&telling_key, now).await?;
        if let Some(why) = telling.and_then(|telling| telling.value.why) {
            show::progress("");
            return Ok(Tried::refused(channel, &why));
        }
        let waited = now.duration_since(begun);
        if waited >= patience {
            show::progress("");
            let why = unanswered(desk, channel, patience, now).await?;
            return Ok(Tried::refused(channel, &why));
        }
        show::progress(&format!("waiting for `{}`, {} s …", channel.name, waited.as_secs()));
        clock::wait(REST.min(patience)).await;
    }
}

/// Why nothing may have been heard of a sample.
async fn unanswered(
    desk: &Desk,
    channel: &Channel,
    patience: SignedDuration,
    now: Timestamp,
) -> Result<String, Ending> {
    let row: Option<Stored<ChannelRow>> =
        desk.state.get(&ChannelRow::key(&desk.tenant, &channel.name), now).await?;
    if let Some(failing) = row.and_then(|row| row.value.failing) {
        return Ok(format!(
            "it rests until {}, because it took nothing before: {}",
            show::time(failing.rests_until),
            one_line(&failing.why, 300)
        ));
    }
    Ok(format!(
        "nothing was heard of it within {}. Was the stack deployed with this channel in its playbook? The log of the \
         function `notify` and `cordon status` say more. The sample may still arrive",
        show::span(patience)
    ))
}

impl Tried {
    fn taken(channel: &Channel, subject: &str) -> Tried {
        Tried {
            channel: channel.name.clone(),
            kind: kind(&channel.kind),
            taken: true,
            subject: Some(one_line(subject, 200)),
            look: Some(look(&channel.kind)),
            why: None,
        }
    }

    fn refused(channel: &Channel, why: &str) -> Tried {
        Tried {
            channel: channel.name.clone(),
            kind: kind(&channel.kind),
            taken: false,
            subject: None,
            look: None,
            why: Some(one_line(why, 600)),
        }
    }
}

fn tell(tried: &Tried) {
    let outcome = if tried.taken { "taken" } else { "not taken" };
    show::line(&format!("{} ({}): {outcome}", tried.channel, tried.kind));
    if let Some(subject) = &tried.subject {
        show::line(&format!("    {subject}"));
    }
    if let Some(look) = &tried.look {
        show::line(&format!("    {look}"));
    }
}

fn at_fault(tried: &Tried) -> Option<String> {
    let why = tried.why.as_ref()?;
    let why = why.trim_end_matches('.');
    Some(format!(
        "channel `{}`: {why}. The set-up of a channel of kind `{}` stands in docs/CHANNELS.md",
        tried.channel, tried.kind
    ))
}

/// As the playbook writes it.
fn kind(kind: &ChannelKind) -> &'static str {
    match kind {
        ChannelKind::Folder { .. } => "folder",
        ChannelKind::Smtp(_) => "smtp",
        ChannelKind::Ses { .. } => "ses",
        ChannelKind::Graph(_) => "graph",
        ChannelKind::Teams { .. } => "teams",
        ChannelKind::Slack { .. } => "slack",
        ChannelKind::Sns => "sns",
        ChannelKind::Webhook { .. } => "webhook",
    }
}

/// Where people see what the channel has taken, and what may still stand in the way.
fn look(kind: &ChannelKind) -> String {
    match kind {
        ChannelKind::Folder { path } => format!("Open the newest file in `{}`.", path.display()),
        ChannelKind::Smtp(smtp) => mailbox(&smtp.to.join(", ")),
        ChannelKind::Graph(graph) => mailbox(&graph.to.join(", ")),
        ChannelKind::Ses { to } if to.is_empty() => mailbox("the deployment's MailTo"),
        ChannelKind::Ses { to } => mailbox(&to.join(", ")),
        ChannelKind::Teams { .. } => IN_TEAMS.to_owned(),
        ChannelKind::Slack { .. } => "Look into the Slack channel of the webhook.".to_owned(),
        ChannelKind::Sns => IN_SNS.to_owned(),
        ChannelKind::Webhook { .. } => "Look at what the program behind it has made of it.".to_owned(),
    }
}

fn mailbox(whose: &str) -> String {
    format!("Look into the mailbox of {whose}; where nothing arrives, also among the junk mail.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use local::Store;
    use model::{Mode, Notice, TenantId, Topic};
    use ports::{Expect, Failing, Queue, QueueBackend, State, Write};
    use std::sync::Arc;

    /// A desk like that of a stack, over a store in memory.
    fn desk() -> (Desk, Store) {
        let store = Store::in_memory().unwrap();
        let tenant: TenantId = "11111111-2222-3333-4444-555555555555".parse().unwrap();
        let (queue, state) = (Queue::new(Arc::new(store.clone())), State::new(Arc::new(store.clone())));
        (Desk { tenant, queue, state, store: None, deployed: Some(Mode::Observe) }, store)
    }

    fn teams() -> Channel {
        Channel::new("soc-teams", ChannelKind::Teams { url: policy::SecretName::default() })
    }

    async fn put(desk: &Desk, key: ports::Key, row: &impl Serialize) {
        let write = Write::put(key, row, Expect::Any, None).unwrap();
        desk.state.commit(&[write], clock::now()).await.unwrap();
    }

    #[tokio::test]
    async fn a_stack_is_asked_for_one_channel_and_each_time_anew() {
        let (desk, store) = desk();
        let first = ask(&desk, &teams(), clock::now()).await.unwrap();
        let second = ask(&desk, &teams(), clock::now()).await.unwrap();
        assert_ne!(first, second);
        let received = store.receive(QueueName::ActionsTaken, 10, clock::now()).await.unwrap();
        let mut ids = Vec::new();
        for delivery in received {
            let message: Envelope<Notice> = Envelope::decode(&delivery.body).unwrap();
            assert_eq!(message.body.topic, Topic::Sample { channel: "soc-teams".to_owned() });
            ids.push(message.id);
        }
        assert_eq!(ids, [first, second]);
    }

    #[tokio::test]
    async fn what_the_function_has_written_down_is_what_is_said() {
        let ((desk, _), channel, now) = (desk(), teams(), clock::now());
        let id = ask(&desk, &channel, now).await.unwrap();
        let told_key = Told::of_notice(&desk.tenant, &id, &channel.name);
        let failed = Telling { why: Some("Teams answered 404".to_owned()), ..Telling::default() };
        put(&desk, Telling::beside(&told_key), &failed).await;
        let tried = answer(&desk, &channel, &id, now, SignedDuration::from_secs(60)).await.unwrap();
        assert_eq!((tried.taken, tried.why.as_deref()), (false, Some("Teams answered 404")));

        let told = Told { at: now, channel: channel.name.clone(), subject: "[Cordon] test".to_owned() };
        put(&desk, told_key, &told).await;
        let tried = answer(&desk, &channel, &id, now, SignedDuration::from_secs(60)).await.unwrap();
        assert_eq!((tried.taken, tried.subject.as_deref()), (true, Some("[Cordon] test")));
        assert!(tried.look.unwrap().contains("run history"));
    }

    #[tokio::test]
    async fn a_sample_that_nothing_is_heard_of_is_not_taken() {
        let ((desk, _), channel, now) = (desk(), teams(), clock::now());
        let id = ask(&desk, &channel, now).await.unwrap();
        let waited = answer(&desk, &channel, &id, now, SignedDuration::ZERO).await.unwrap();
        assert!(!waited.taken && waited.why.unwrap().contains("nothing was heard of it"));

        let failing =
            Failing { since: now, tries: 3, rests_until: now, why: "it is gone".to_owned(), told: false };
        let row = ChannelRow { failing: Some(failing), ..ChannelRow::default() };
        put(&desk, ChannelRow::key(&desk.tenant, &channel.name), &row).await;
        let waited = answer(&desk, &channel, &id, now, SignedDuration::ZERO).await.unwrap();
        assert!(waited.why.unwrap().contains("it rests until"));
    }
}
