//! `cordon run`: the local host, once or for as long as it is left to.
//!
//! The steps and their order are `local`'s; this file gives them the clock and decides when to come back.

use crate::{
    Ending, clock,
    commands::hunts::Standings,
    settings::{Settings, refused},
    show,
    summary::Summary,
};
use clap::Args;
use credentials::{Api, Calls, Connection, Vars};
use defender::{ApiError, RealPause, connect};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use local::{Host, HostError, HuntingError, HuntsRun, Parts, PollError, Store, Worked};
use model::TenantId;
use policy::Hunt;
use ports::{Count, QueueName, State};
use std::{error::Error, sync::Arc};
use tokio::sync::watch;

/// What `--once` waits for: whatever is due within this time counts as "now".
const PATIENCE: SignedDuration = SignedDuration::from_secs(10);

/// How often the loop looks into its queues, and how long it rests after an error of its own.
const LOOK: SignedDuration = SignedDuration::from_millis(500);
const REST: SignedDuration = SignedDuration::from_secs(5);

/// How often it is looked which hunts are due.
const BETWEEN_HUNTS: SignedDuration = SignedDuration::from_mins(1);

/// How long it may take to finish what is in hand after an interrupt: longer than a request to isolate and than a mail,
/// and shorter than the half minute after which others end by force what does not stop.
const GRACE: SignedDuration = SignedDuration::from_secs(25);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon run --once            one poll, then until nothing is left to do now
  cordon run --once --json     the same, with the numbers as one JSON object
  cordon run                   poll every minute, and hunt, until interrupted

In `observe` mode (the default of the shipped playbook) nothing is sent to the tenant but reads.")]
pub(crate) struct Run {
    /// One poll, then until nothing is left to do now; print a summary and exit
    #[arg(long)]
    pub(crate) once: bool,
    /// Print the summary as one JSON object
    #[arg(long, requires = "once")]
    json: bool,
}

impl Run {
    pub(crate) async fn run(self, vars: &Vars) -> Ending {
        let settings = match Settings::from_vars(vars) {
            Ok(settings) => settings,
            Err(problems) => return Ending::Settings(problems.iter().map(str::to_owned).collect()),
        };
        let store = match Store::open(&settings.state) {
            Ok(store) => store,
            Err(error) => return Ending::settings(chain(&error)),
        };
        let mode = settings.mode();
        let source = Source::of(&settings.connection);
        let interval = settings.playbook.settings.poll.interval;
        let hunts = Hunts::of(&settings);
        let (host, calls) = match host(settings, store.clone()) {
            Ok(parts) => parts,
            Err(error) => {
                return Ending::attention(format!("cannot make an HTTP client: {}", chain(&*error)));
            }
        };
        if self.once {
            Box::pin(once(&host, &store, &calls, &source, &hunts, self.json)).await
        } else {
            tracing::info!(
                mode = mode.as_str(),
                interval_s = interval.as_secs(),
                "running; interrupt to stop"
            );
            Box::pin(forever(&host, &store, interval)).await
        }
    }
}

/// The steps with these settings over this store.
pub(crate) fn host(settings: Settings, store: Store) -> Result<(Host, Calls), Box<dyn Error>> {
    let (reader, responder, calls) = connect(&settings.connection, Arc::new(RealPause))?;
    let parts = Parts {
        tenant: settings.connection.tenant.clone(),
        portal: settings.connection.endpoints.portal.clone(),
        environment_mode: settings.environment_mode,
        lookback: settings.lookback,
        playbook: Arc::new(settings.playbook),
        hunts: settings.hunts,
        channels: settings.channels,
        templates: settings.templates,
        reader,
        responder,
        queue: Arc::new(store.clone()),
        state: Arc::new(store),
        clock: Some(clock::now),
    };
    Ok((Host::new(parts), calls))
}

/// Where alerts are read, as far as a person has to know when they are not.
struct Source {
    api: Api,
    address: String,
}

impl Source {
    fn of(connection: &Connection) -> Source {
        let endpoints = &connection.endpoints;
        let api = connection.alerts_api;
        let address = if api == Api::Graph { &endpoints.graph } else { &endpoints.api };
        Source { api, address: address.clone() }
    }
}

/// The hunts, to say after a run how they stand.
struct Hunts {
    tenant: TenantId,
    all: Vec<Hunt>,
    zone: TimeZone,
}

impl Hunts {
    fn of(settings: &Settings) -> Hunts {
        Hunts {
            tenant: settings.connection.tenant.clone(),
            all: settings.hunts.clone(),
            zone: settings.playbook.settings.time_zone.clone(),
        }
    }

    /// What stands against them, a sentence each.
    async fn trouble(&self, store: &Store) -> Vec<String> {
        let state = State::new(Arc::new(store.clone()));
        let now = clock::now();
        match Standings::read(Some((&self.tenant, &state)), &self.all, &self.zone, now).await {
            Ok(standings) => standings.attention(now),
            Err(error) => vec![format!("how the hunts stand cannot be read: {}", chain(&error))],
        }
    }
}

async fn once(
    host: &Host,
    store: &Store,
    calls: &Calls,
    source: &Source,
    hunts: &Hunts,
    json: bool,
) -> Ending {
    show::progress("reading alerts …");
    let mut polled = host.poll(clock::now()).await;
    while polled.as_ref().is_ok_and(|polled| polled.more) {
        polled = host.poll(clock::now()).await;
    }
    show::progress("hunting …");
    let hunted = host.hunt(clock::now()).await;
    let worked = settle(host, store).await;
    show::progress("");
    let (mut trouble, bad_settings) = match &polled {
        Ok(_) => (Vec::new(), false),
        Err(error) => match setting_at_fault(error, source.api) {
            Some(setting) => (vec![format!("{setting}: {}", chain(error))], true),
            None => {
                (vec![format!("the poll did not finish: {}{}", chain(error), asked(error, source))], false)
            }
        },
    };
    let hunted = hunted.unwrap_or_else(|error| {
        trouble.push(did_not_finish(&error));
        HuntsRun::default()
    });
    let (worked, left) = match worked {
        Ok(ended) => ended,
        Err(error) => {
            trouble.push(format!("the run did not finish: {}", chain(&error)));
            (Worked::default(), None)
        }
    };
    let summary = Summary::new(host.tally(), &worked, &hunted, calls.all());
    trouble.extend(attention(&summary, left));
    trouble.extend(hunts.trouble(store).await);
    if json {
        show::json(&summary);
    } else {
        summary.text().iter().for_each(|line| show::line(line));
    }
    match (trouble.is_empty(), bad_settings) {
        (true, _) => Ending::Done,
        (false, true) => Ending::Settings(trouble),
        (false, false) => Ending::Attention(trouble),
    }
}

/// Works until nothing is due within [`PATIENCE`]. What is left then, and when the first of it is due.
async fn settle(host: &Host, store: &Store) -> Result<(Worked, Option<Timestamp>), HostError> {
    loop {
        let now = clock::now();
        let worked = host.step(now).await?;
        let decided: u64 =
            [Count::DecidedIsolate, Count::DecidedPropose, Count::DecidedNone, Count::DecidedRefused]
                .map(|count| host.tally().get(count))
                .iter()
                .sum();
        show::progress(&format!("{} found, {decided} decided …", host.tally().get(Count::AlertsFound)));
        if worked.messages > 0 {
            continue;
        }
        match worked.next_due(store, now)? {
            Some(due) if due.duration_since(now) <= PATIENCE => {
                clock::wait(due.duration_since(now).max(SignedDuration::from_millis(20))).await;
            }
            _ => {
                let waiting = store.next_due(now)?;
                return Ok((worked, waiting));
            }
        }
    }
}

/// What a person should look at after a run.
fn attention(summary: &Summary, waiting: Option<Timestamp>) -> Vec<String> {
    let isolations = &summary.isolations;
    let mut all = Vec::new();
    if summary.dead_letters > 0 {
        all.push(format!(
            "{} messages or records were set aside; `cordon dead-letters` shows them with their reasons",
            summary.dead_letters
        ));
    }
    if summary.held() > 0 {
        all.push(format!(
            "{} isolations were held back: `cordon held` says by what, and how they go on",
            summary.held()
        ));
    }
    if isolations.failed + isolations.timed_out > 0 {
        all.push(format!("{} isolations did not succeed", isolations.failed + isolations.timed_out));
    }
    if isolations.unknown > 0 {
        all.push(format!(
            "of {} devices it is not known yet whether their isolation was asked for; the next runs find out",
            isolations.unknown
        ));
    }
    if summary.notifications.failed > 0 {
        all.push(format!(
            "{} attempts to tell people failed; the log says why (RUST_LOG=warn)",
            summary.notifications.failed
        ));
    }
    if let Some(due) = waiting {
        all.push(format!(
            "work is left, the first of it due at {}: run again then (RUST_LOG=warn may say why)",
            show::time(due)
        ));
    }
    all
}

/// The setting by which a poll failed, where it was one: a secret, a role.
fn setting_at_fault(error: &PollError, api: Api) -> Option<String> {
    match error {
        PollError::Read(ApiError::Unauthorized { why, .. }) => Some(refused(why, "DEFENDER_")),
        PollError::Read(ApiError::Forbidden(_)) => {
            let role = match api {
                Api::Defender => "Alert.Read.All",
                Api::Graph => "SecurityAlert.Read.All of Microsoft Graph",
            };
            Some(format!("DEFENDER_CLIENT_ID (does this app hold {role}, with admin consent?)"))
        }
        PollError::Read(_) | PollError::State(_) | PollError::Commit(_) | PollError::Send { .. } => None,
    }
}

/// Where the service was looked for, when it gave no usable answer.
fn asked(error: &PollError, source: &Source) -> String {
    let setting = match source.api {
        Api::Defender => "DEFENDER_API_URL",
        Api::Graph => "GRAPH_API_URL",
    };
    match error {
        PollError::Read(ApiError::Unavailable { .. }) => {
            format!(" (it was looked for at {}: {setting}, DEFENDER_CLOUD)", source.address)
        }
        _ => String::new(),
    }
}

/// What hunts have found before goes on all the same.
fn did_not_finish(error: &HuntingError) -> String {
    format!("the hunts did not finish: {}; the next run goes on there", chain(error))
}

/// Polls every `interval`, and takes messages as they come, until interrupted. What is in hand is finished first, as
/// far as that takes no longer than [`GRACE`].
async fn forever(host: &Host, store: &Store, interval: SignedDuration) -> Ending {
    let (stop, stopped) = watch::channel(false);
    let consuming = |queue| consume(host, queue, stopped.clone());
    let all = async {
        tokio::join!(
            poll(host, store, interval, stopped.clone()),
            track(host, stopped.clone()),
            hunt(host, stopped.clone()),
            join_all(QueueName::ALL.map(consuming)),
        )
    };
    let interrupt = async {
        interrupted().await;
        tracing::info!("finishing what is in hand");
        let _ = stop.send(true);
        clock::wait(GRACE).await;
    };
    tokio::select! {
        _ = all => {}
        () = interrupt => tracing::warn!("what is still in hand is given up where it stands: it comes again"),
    }
    Ending::Done
}

/// Waits for SIGINT or SIGTERM.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

/// Waits, but not beyond the stop. False when stopped.
async fn rest(how_long: SignedDuration, stopped: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        // Who is to stop begins nothing more, although there is no rest to wait for.
        biased;
        _ = stopped.wait_for(|stopped| *stopped) => false,
        () = clock::wait(how_long) => true,
    }
}

async fn poll(host: &Host, store: &Store, interval: SignedDuration, mut stopped: watch::Receiver<bool>) {
    loop {
        let now = clock::now();
        let pace = match host.poll(now).await {
            Ok(polled) => {
                tracing::info!(announced = polled.announced, set_aside = polled.set_aside, "polled");
                // What has piled up is read at once.
                if polled.more { SignedDuration::ZERO } else { interval }
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "a poll did not finish; the next one goes on there");
                interval
            }
        };
        match store.clean(now, 1_000) {
            Ok(removed) => tracing::debug!(removed, "expired items removed"),
            Err(error) => tracing::warn!(%error, "expired items were not removed"),
        }
        if !rest(pace, &mut stopped).await {
            return;
        }
    }
}

async fn consume(host: &Host, queue: QueueName, mut stopped: watch::Receiver<bool>) {
    loop {
        let pace = match host.consume(queue, clock::now()).await {
            Ok(0) => LOOK,
            Ok(_) => SignedDuration::ZERO,
            Err(error) => {
                tracing::error!(%queue, error = chain(&error), "a queue failed");
                REST
            }
        };
        if !rest(pace, &mut stopped).await {
            return;
        }
    }
}

async fn track(host: &Host, mut stopped: watch::Receiver<bool>) {
    loop {
        if let Err(error) = host.track(clock::now()).await {
            tracing::error!(error = chain(&error), "following the open isolations failed");
        }
        if !rest(SignedDuration::from_secs(1), &mut stopped).await {
            return;
        }
    }
}

/// The hunts that are due, minute by minute. A query may take minutes: polling goes on beside it.
async fn hunt(host: &Host, mut stopped: watch::Receiver<bool>) {
    loop {
        match host.hunt(clock::now()).await {
            Ok(HuntsRun { ran: 0, .. }) => {}
            Ok(hunted) => tracing::info!(hunts = hunted.ran, announced = hunted.announced, "hunted"),
            Err(error) => {
                tracing::error!(error = chain(&error), "the hunts did not finish; the next run goes on there")
            }
        }
        if !rest(BETWEEN_HUNTS, &mut stopped).await {
            return;
        }
    }
}

/// An error with its causes, each once.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
