//! `cordon status`: how things stand, on one screen; and by its exit code whether a person has to look.
//!
//! It reads the state and, where the settings for the tenant are there, takes a token to see that it can.

use crate::{
    Ending, Reporting, clock,
    commands::{check, held, hunts::Standings, isolated, limits::View, pause, release::words},
    desk::{At, Desk},
    settings::{playbook_folder, read_hunts},
    show,
};
use clap::Args;
use credentials::{Api, Connection, Problems};
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Effect, EffectState, Mode, one_line};
use policy::Hunt;
use ports::{ChannelRow, Claim, Claims, Cursor, Failing, Held, QueueName, Said, StateError, Stored, Trouble};
use serde::Serialize;
use std::collections::BTreeMap;

/// How long polls may be silent.
const SILENCE: SignedDuration = SignedDuration::from_mins(5);

/// How long ago the trouble of a step is still worth a word.
const LATELY: SignedDuration = SignedDuration::from_hours(1);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon status
  cordon status --json
  cordon status --stack cordon

It ends with 1 when a person has to look: paused, something held, an open breaker, an isolation of which nobody knows, dead
letters, a channel that takes nothing, a hunt that is failing, broken or overdue, a clock that is wrong, or no poll for five minutes;
what it is stands on standard error.")]
pub(crate) struct Status {
    #[command(flatten)]
    reporting: Reporting,
}

#[derive(Debug, Serialize)]
struct Report {
    mode: Option<Mode>,
    mode_source: String,
    pause: Option<Said>,
    last_poll: Option<Timestamp>,
    /// The last time that poll or track failed, where that was after its last success or lately; and what the last
    /// poll has found wrong with polling, such as the clock.
    trouble: BTreeMap<&'static str, Trouble>,
    open: Vec<Open>,
    unknown: Vec<DeviceId>,
    cut_off: CutOff,
    held: Holding,
    dead_letters: BTreeMap<&'static str, usize>,
    /// The channels that do not take what people are to be told.
    failing_channels: Vec<FailingChannel>,
    /// How full the queues are; only of this machine's.
    queues: Option<BTreeMap<&'static str, Depth>>,
    limits: View,
    /// How the playbook's hunts stand; none where the playbook cannot be read here.
    hunts: Option<Standings>,
    /// Why that is not known, where the playbook can be read but for its hunts.
    #[serde(skip)]
    unreadable_hunts: Option<String>,
    /// The roles in the token, where one was taken.
    roles: Option<Vec<String>>,
    attention: Vec<String>,
}

#[derive(Debug, Serialize)]
struct FailingChannel {
    channel: String,
    #[serde(flatten)]
    failing: Failing,
}

/// So many effects in this state that somebody has to come back to.
#[derive(Debug, Serialize)]
struct Open {
    effect: Effect,
    state: EffectState,
    count: usize,
}

#[derive(Debug, Serialize)]
struct CutOff {
    by_cordon: usize,
    by_others: usize,
}

#[derive(Debug, Serialize)]
struct Holding {
    count: usize,
    oldest: Option<Timestamp>,
    gates: BTreeMap<String, usize>,
}

#[derive(Debug, Serialize)]
struct Depth {
    visible: u64,
    waiting: u64,
    in_flight: u64,
}

impl Status {
    pub(crate) async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let desk = at.look().await?;
        let now = clock::now();
        let mut report = read(at, &desk, now).await?;
        report.attention = attention(&report, now);
        if at.stack.is_none() && at.vars.get("DEFENDER_CLIENT_ID").is_some() {
            show::progress("asking for a token …");
            match roles(at, now).await {
                Ok(roles) => report.roles = roles,
                Err(why) => report.attention.extend(why),
            }
            show::progress("");
        }
        if self.reporting.json {
            show::json(&report);
        } else {
            print(&report, now);
        }
        Ok(Ending::of(report.attention))
    }
}

async fn read(at: &At<'_>, desk: &Desk, now: Timestamp) -> Result<Report, Ending> {
    let (mode, mode_source) = mode(at, desk);
    let brakes = desk.brakes(now).await?;
    let cursor: Option<Stored<Cursor>> = desk.state.get(&Cursor::key(&desk.tenant), now).await?;
    let open = open_effects(desk, now).await?;
    let unanswered = open.iter().filter(|claim| claim.state == EffectState::Unknown);
    let unknown = unanswered.map(|claim| claim.device.clone()).collect();
    let cut_off = isolated::claims(desk, now).await?;
    let by_cordon = cut_off.iter().filter(|claim| claim.isolation.is_some() || claim.counted).count();
    let dead = desk.all_dead().await?.into_iter();
    let last_poll = cursor.and_then(|cursor| cursor.value.last_success);
    let (hunts, unreadable_hunts) = hunts(at, desk, now).await?;
    Ok(Report {
        mode,
        mode_source,
        pause: brakes.pause,
        last_poll,
        trouble: troubles(desk, last_poll, now).await?,
        open: by_state(&open),
        unknown,
        cut_off: CutOff { by_cordon, by_others: cut_off.len().saturating_sub(by_cordon) },
        held: holding(&held::all(desk, now).await?),
        dead_letters: dead.map(|(queue, letters)| (queue.as_str(), letters.len())).collect(),
        failing_channels: failing_channels(at, desk, now).await?,
        queues: depths(desk, now)?,
        limits: View::read(at, desk, now).await?,
        hunts,
        unreadable_hunts,
        roles: None,
        attention: Vec::new(),
    })
}

/// The hunts of the playbook here: also for a stack, whose own cannot be seen from here. Otherwise why they cannot be read,
/// unless nothing of the playbook can.
async fn hunts(
    at: &At<'_>,
    desk: &Desk,
    now: Timestamp,
) -> Result<(Option<Standings>, Option<String>), StateError> {
    let folder = playbook_folder(at.vars);
    let Ok(settings) = policy::Settings::read(&folder) else { return Ok((None, None)) };
    let mut problems = Problems::default();
    let Some(hunts) = read_hunts(&folder, &mut problems) else {
        let first = one_line(problems.iter().next().unwrap_or_default(), 300);
        let more = problems.iter().count().saturating_sub(1);
        let more =
            if more > 0 { format!(" (and {more} more: `cordon check --playbook`)") } else { String::new() };
        return Ok((None, Some(format!("how the hunts stand is not known: {first}{more}"))));
    };
    let state = Some((&desk.tenant, &desk.state));
    Ok((Some(Standings::read(state, &hunts, &settings.time_zone, now).await?), None))
}

/// The mode that holds, and where it is from.
fn mode(at: &At<'_>, desk: &Desk) -> (Option<Mode>, String) {
    if let Some(mode) = desk.deployed {
        return (Some(mode), "as the stack was deployed".to_owned());
    }
    match credentials::mode(at.vars, &mut Problems::default()) {
        Some(mode) => (Some(mode), "CORDON_MODE".to_owned()),
        None => match policy::Settings::read(&playbook_folder(at.vars)) {
            Ok(settings) => (Some(settings.mode), "the playbook".to_owned()),
            Err(_) => (None, "the playbook (CORDON_PLAYBOOK) cannot be read here".to_owned()),
        },
    }
}

/// The names of the channels; none where the playbook that holds cannot be read here.
fn channels(at: &At<'_>, desk: &Desk) -> Option<Vec<String>> {
    if desk.deployed.is_some() {
        return None;
    }
    let settings = policy::Settings::read(&playbook_folder(at.vars)).ok()?;
    Some(settings.channels.into_iter().map(|channel| channel.name).collect())
}

/// The last failures that no success has followed, and those of the last hour.
async fn troubles(
    desk: &Desk,
    last_poll: Option<Timestamp>,
    now: Timestamp,
) -> Result<BTreeMap<&'static str, Trouble>, StateError> {
    let mut troubles = BTreeMap::new();
    for step in ["poll", "track"].into_iter().chain(Trouble::DOUBTS) {
        let trouble: Option<Stored<Trouble>> = desk.state.get(&Trouble::key(&desk.tenant, step), now).await?;
        let Some(trouble) = trouble.map(|trouble| trouble.value) else { continue };
        // The polls that have gone well since then would have found it again.
        let is_over = step != "track" && last_poll.is_some_and(|success| success > trouble.at);
        let is_doubt = Trouble::DOUBTS.contains(&step);
        if !is_over || (!is_doubt && now.duration_since(trouble.at) < LATELY) {
            troubles.insert(step, trouble);
        }
    }
    Ok(troubles)
}

/// The channels that fail, but for those that nobody is told by any more: such a row stays for a month.
async fn failing_channels(
    at: &At<'_>,
    desk: &Desk,
    now: Timestamp,
) -> Result<Vec<FailingChannel>, StateError> {
    let playbook = channels(at, desk);
    let is_there = |name: &str| playbook.as_ref().is_none_or(|names| names.iter().any(|one| one == name));
    let partition = ChannelRow::partition(&desk.tenant);
    let rows = desk.state.query_all::<ChannelRow>(&partition, "channel#", now).await?.into_iter();
    let failing = |row: ChannelRow| {
        let failing = row.failing.filter(|_| is_there(&row.channel))?;
        Some(FailingChannel { channel: row.channel, failing })
    };
    Ok(rows.filter_map(|row| failing(row.value)).collect())
}

async fn open_effects(desk: &Desk, now: Timestamp) -> Result<Vec<Claim>, StateError> {
    let claims = Claims { tenant: &desk.tenant, state: &desk.state };
    Ok(claims.unsettled(now).await?.into_iter().map(|claim| claim.value).collect())
}

fn by_state(claims: &[Claim]) -> Vec<Open> {
    let mut counts: BTreeMap<(Effect, EffectState), usize> = BTreeMap::new();
    for claim in claims {
        *counts.entry((claim.effect, claim.state)).or_default() += 1;
    }
    counts.into_iter().map(|((effect, state), count)| Open { effect, state, count }).collect()
}

fn holding(held: &[Held]) -> Holding {
    let mut gates = BTreeMap::new();
    for held in held {
        *gates.entry(held.gate.clone()).or_default() += 1;
    }
    Holding { count: held.len(), oldest: held.iter().map(|held| held.since).min(), gates }
}

fn depths(desk: &Desk, now: Timestamp) -> Result<Option<BTreeMap<&'static str, Depth>>, Ending> {
    let Some(store) = &desk.store else { return Ok(None) };
    let mut depths = BTreeMap::new();
    for queue in QueueName::ALL {
        let local::Depth { visible, waiting, in_flight, .. } = store.depth(queue, now)?;
        depths.insert(queue.as_str(), Depth { visible, waiting, in_flight });
    }
    Ok(Some(depths))
}

/// The roles of the app that reads. What is wrong with the settings or the sign-in, otherwise.
async fn roles(at: &At<'_>, now: Timestamp) -> Result<Option<Vec<String>>, Vec<String>> {
    let mut problems = Problems::default();
    let Some(connection) = Connection::from_vars(at.vars, None, &mut problems) else {
        return Err(problems.iter().map(str::to_owned).collect());
    };
    let mut lacking = Vec::new();
    let taken = async {
        let reader = check::reader_of(&connection)?;
        let folder = playbook_folder(at.vars);
        let settings = policy::Settings::read(&folder).ok();
        let hunts = Hunt::read_all(&folder).unwrap_or_default();
        let needs = check::Needs::of(&connection, settings.as_ref(), &hunts);
        let app = check::App { reader: &reader, setting: "DEFENDER_CLIENT_ID" };
        let roles = app.roles(Api::Defender, &needs.reader, now, &mut lacking).await?;
        let on_graph = app.roles_if_needed(Api::Graph, &needs.reader_on_graph, now, &mut lacking).await?;
        Ok(roles.map(|roles| roles.into_iter().chain(on_graph.into_iter().flatten()).collect()))
    };
    match taken.await {
        Ok(roles) if lacking.is_empty() => Ok(roles),
        Ok(_) => Err(lacking),
        Err(Ending::Attention(why) | Ending::Settings(why)) => Err(why),
        Err(Ending::Done) => Ok(None),
    }
}

/// What a person has to look at, the gravest first.
fn attention(report: &Report, now: Timestamp) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(pause) = &report.pause {
        all.push(format!("{}; `cordon resume` ends it", pause::of(pause, "paused")));
    }
    match report.last_poll {
        None => all.push("no poll has ended well yet: nothing is seen".to_owned()),
        Some(last) if now.duration_since(last) > SILENCE => all.push(format!(
            "no poll has ended well for {}: nothing new is seen (is `cordon run`, or the stack's schedule, still running?)",
            show::span(now.duration_since(last))
        )),
        Some(_) => {}
    }
    let doubts = Trouble::DOUBTS.iter().filter_map(|doubt| report.trouble.get(doubt));
    all.extend(doubts.map(|trouble| one_line(&trouble.why, 300)));
    if !report.unknown.is_empty() {
        let devices: Vec<&str> = report.unknown.iter().map(DeviceId::as_str).collect();
        all.push(format!(
            "of {} device(s) it is not known whether the service was asked, until track has found out: {}",
            devices.len(),
            devices.join(", ")
        ));
    }
    all.extend(report.limits.attention());
    for FailingChannel { channel, failing } in &report.failing_channels {
        all.push(format!(
            "the channel `{}` does not take what people are to be told, for {} by now: {}",
            one_line(channel, 60),
            show::span(now.duration_since(failing.since)),
            one_line(&failing.why, 300)
        ));
    }
    all.extend(report.hunts.iter().flat_map(|hunts| hunts.attention(now)));
    all.extend(report.unreadable_hunts.clone());
    if report.held.count > 0 {
        all.push(format!("{} case(s) are held: `cordon held`", report.held.count));
    }
    let dead: usize = report.dead_letters.values().sum();
    if dead > 0 {
        all.push(format!("{dead} message(s) or record(s) were set aside: `cordon dead-letters`"));
    }
    all
}

fn print(report: &Report, now: Timestamp) {
    let line = |word: &str, text: &str| show::line(&format!("{word:<13}{text}"));
    line("mode", &format!("{} ({})", report.mode.map_or("not known", Mode::as_str), report.mode_source));
    line("paused", &report.pause.as_ref().map_or("no".to_owned(), pause::hand));
    let ago = |at: Timestamp| show::span(now.duration_since(at));
    let polled = |at: Timestamp| format!("{} ({} ago)", show::time(at), ago(at));
    line("last poll", &report.last_poll.map_or("none yet".to_owned(), polled));
    for (step, trouble) in &report.trouble {
        let why = one_line(&trouble.why, 300);
        line("trouble", &format!("{step}, {} ago: {why}", ago(trouble.at)));
    }
    let open: Vec<String> =
        report.open.iter().map(|open| format!("{} {}", open.count, words(open.effect, open.state))).collect();
    line("open", &if open.is_empty() { "none".to_owned() } else { open.join(", ") });
    let CutOff { by_cordon, by_others } = report.cut_off;
    line("cut off", &format!("{by_cordon} by Cordon, {by_others} by others (`cordon isolated`)"));
    let oldest =
        report.held.oldest.map_or(String::new(), |oldest| format!(", the oldest for {}", ago(oldest)));
    line("held", &format!("{}{oldest}", report.held.count));
    for (gate, count) in &report.held.gates {
        line("", &format!("{count} held back: {}", one_line(gate, 300)));
    }
    for limit in report.limits.lines(now) {
        show::line(&limit);
    }
    if let Some(hunts) = &report.hunts {
        line("hunts", &format!("{} (`cordon hunts`)", hunts.in_short()));
    }
    line("dead letters", &numbers(report.dead_letters.iter().map(|(queue, count)| (*queue, *count as u64))));
    for FailingChannel { channel, failing } in &report.failing_channels {
        let (since, again) = (show::time(failing.since), show::time(failing.rests_until));
        let channel = one_line(channel, 60);
        line(
            "channel",
            &format!("{channel} fails since {since} ({} tries); next try {again}", failing.tries),
        );
        line("", &one_line(&failing.why, 300));
    }
    if let Some(queues) = &report.queues {
        let waiting = |depth: &Depth| depth.visible + depth.waiting + depth.in_flight;
        line("in queues", &numbers(queues.iter().map(|(queue, depth)| (*queue, waiting(depth)))));
    }
    if let Some(roles) = &report.roles {
        line("token", &format!("taken; its roles: {}", roles.join(", ")));
    }
}

/// What is not nought.
fn numbers<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> String {
    let some: Vec<String> =
        counts.filter(|(_, count)| *count > 0).map(|(name, count)| format!("{count} in {name}")).collect();
    if some.is_empty() { "none".to_owned() } else { some.join(", ") }
}
