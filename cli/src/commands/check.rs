//! `cordon check`: what stands between these settings and a run, and between observing and enforcing. Changes nothing
//! anywhere: it takes a token for each app, lists devices, and only looks at the state, if there is one.

use super::run::chain;
use crate::{
    Ending, Reporting, clock,
    commands::{hunts::Standings, limits::View, pause, test_playbook},
    desk::{At, Desk},
    settings::{Settings, playbook_folder, read_hunts, read_playbook, read_templates, refused},
    show,
};
use async_trait::async_trait;
use clap::{Args, ValueEnum};
use credentials::{Api, Connection, Problems, SecretError, SecretStore, Vars};
use defender::{ApiError, Call, Reader, RealPause, connect};
use jiff::{SignedDuration, Timestamp};
use model::{Device, DeviceClass, Mode};
use notify::{KeptSecret, OnAws};
use policy::{Channel, ChannelKind, HostKind, Hunt, Outcome, Playbook};
use ports::{MailBackend, Publication, TopicBackend, Unsent};
use secrecy::SecretString;
use serde::Serialize;
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Roles, any one of which will do.
type AnyOf = &'static [&'static str];

/// The roles that the settings and the playbook ask for: of `WindowsDefenderATP`, and of Microsoft Graph. Source: the
/// permission tables of Microsoft's API pages.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    pub(crate) reader: Vec<AnyOf>,
    pub(crate) reader_on_graph: Vec<AnyOf>,
    actor: Vec<AnyOf>,
    actor_on_graph: Vec<AnyOf>,
}

impl Needs {
    /// `settings`: the playbook's, where it can be read.
    pub(crate) fn of(connection: &Connection, settings: Option<&policy::Settings>, hunts: &[Hunt]) -> Needs {
        let isolation = settings.map(|settings| &settings.isolation);
        let comments = isolation.is_some_and(|isolation| isolation.comment_on_alert);
        let releases = isolation.is_some_and(|isolation| isolation.release_after.is_some());
        let mut enabled = hunts.iter().filter(|hunt| hunt.enabled);
        let mut needs = Needs { actor: vec![&["Machine.Isolate"]], ..Needs::default() };
        match connection.alerts_api {
            Api::Defender => {
                needs.reader.push(&["Alert.Read.All", "Alert.ReadWrite.All"]);
                needs.actor.extend(comments.then_some::<AnyOf>(&["Alert.ReadWrite.All"]));
            }
            Api::Graph => {
                needs.reader_on_graph.push(&["SecurityAlert.Read.All", "SecurityAlert.ReadWrite.All"]);
                // Whether an incident is over, before a device is given back.
                let incidents: AnyOf = &["SecurityIncident.Read.All", "SecurityIncident.ReadWrite.All"];
                needs.reader_on_graph.extend(releases.then_some(incidents));
                needs.actor_on_graph.extend(comments.then_some::<AnyOf>(&["SecurityAlert.ReadWrite.All"]));
            }
        }
        needs.reader.push(&["Machine.Read.All", "Machine.ReadWrite.All"]);
        let makes_alerts = |hunt: &Hunt| matches!(hunt.outcome, Outcome::DefenderAlert(_));
        let writes: AnyOf = &["Alert.ReadWrite.All"];
        if enabled.clone().any(makes_alerts) && !needs.actor.contains(&writes) {
            needs.actor.push(writes);
        }
        if enabled.next().is_some() {
            match connection.hunting_api {
                Api::Graph => needs.reader_on_graph.push(&["ThreatHunting.Read.All"]),
                Api::Defender => needs.reader.push(&["AdvancedQuery.Read.All"]),
            }
        }
        needs
    }
}

/// The role that hunting needs, and whose it is.
pub(crate) fn hunting_role(api: Api) -> (&'static str, &'static str) {
    match api {
        Api::Graph => ("ThreatHunting.Read.All", of_whom(api)),
        Api::Defender => ("AdvancedQuery.Read.All", of_whom(api)),
    }
}

/// Where Entra lists the roles for an interface.
fn of_whom(api: Api) -> &'static str {
    match api {
        Api::Graph => "Microsoft Graph",
        Api::Defender => "WindowsDefenderATP",
    }
}

/// Sources: Microsoft's pages "Run advanced queries" and "Compare Microsoft endpoint security plans".
const RETIRES: &str = "DEFENDER_HUNTING_API is `defender`: Microsoft ends that interface on 2027-02-01; grant the app that reads \
                       ThreatHunting.Read.All of Microsoft Graph, and leave the setting out";

/// A playbook may be meant so; an empty file may as well be an accident.
pub(crate) const NO_GUARANTEES: &str = "guarantees.cedar forbids nothing: whatever policy.cedar permits is done, and nothing can be proved of it";

/// The most pages of the device list that are counted.
const MAX_PAGES: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon check                 before the first `cordon run`, and after every change to the settings
  cordon check --json          the same as one JSON object
  cordon check --playbook      the playbook alone, before it is reviewed
  cordon check --playbook --on aws     the same, before it is deployed there
  cordon check --stack cordon          how a deployed stack stands

The cases of the playbook are decided too: `cordon test-playbook` shows what one that fails came to. scripts/deploy begins
with `check --playbook --on aws`, and goes no further where that complains.

It takes a token for each app, compares the roles in it with what is needed, and counts the devices. Roles for hunting are
needed where a hunt is on; hunting is not part of Defender for Business. What it says under
`to enforce` is what stands between observing and acting: read it before CORDON_MODE=enforce.")]
pub(crate) struct Check {
    /// Check the playbook alone: needs no other setting, and calls nobody
    #[arg(long, conflicts_with = "stack")]
    playbook: bool,
    /// Which host's channels the playbook is to have
    #[arg(long, requires = "playbook", value_enum, default_value_t = On::Machine)]
    on: On,
    #[command(flatten)]
    reporting: Reporting,
}

/// What was found, and what of it needs attention.
#[derive(Debug, Default, Serialize)]
struct Report {
    mode: Option<Mode>,
    playbook: Vec<String>,
    /// How the cases of the playbook went; none where it has none.
    cases: Option<String>,
    /// How many hunts there are, what is to be known of them, and how those stand that have run.
    hunts: Vec<String>,
    reader_roles: Option<Vec<String>>,
    actor_roles: Option<Vec<String>>,
    /// The roles in the tokens for Microsoft Graph, where one is needed.
    reader_graph_roles: Option<Vec<String>>,
    actor_graph_roles: Option<Vec<String>>,
    devices: Option<BTreeMap<&'static str, usize>>,
    asset_lists: Vec<String>,
    channels: Vec<String>,
    /// The template's parameters without which the channels cannot be opened on AWS.
    deploy_with: Vec<String>,
    /// What stands between observing and enforcing, a sentence each, and whether it is as it should be.
    to_enforce: Vec<Step>,
    attention: Vec<String>,
}

/// One thing to look at before acting. None: a matter of judgement.
#[derive(Debug, Serialize)]
struct Step {
    ready: Option<bool>,
    said: String,
}

impl Step {
    fn of(ready: bool, said: impl Into<String>) -> Step {
        Step { ready: Some(ready), said: said.into() }
    }

    fn to_judge(said: impl Into<String>) -> Step {
        Step { ready: None, said: said.into() }
    }
}

/// A host, as it is said on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum On {
    Machine,
    Aws,
}

/// Stands for the services of the other host, where a playbook for it is only checked.
#[derive(Debug)]
struct Elsewhere;

#[async_trait]
impl MailBackend for Elsewhere {
    async fn send(&self, _: &str, _: &[String], _: Vec<u8>) -> Result<(), Unsent> {
        Err(Unsent::channel(NOT_HERE))
    }
}

#[async_trait]
impl TopicBackend for Elsewhere {
    async fn publish(&self, _: &str, _: &Publication) -> Result<(), Unsent> {
        Err(Unsent::channel(NOT_HERE))
    }
}

#[async_trait]
impl SecretStore for Elsewhere {
    async fn field(&self, name: &str, _: &str, _: Timestamp) -> Result<SecretString, SecretError> {
        Err(SecretError { name: name.to_owned(), why: NOT_HERE.to_owned() })
    }

    async fn forget(&self, _: &str) {}
}

const NOT_HERE: &str = "this is no host that sends";

impl Check {
    pub(crate) async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let mut report = Report::default();
        if self.playbook {
            check_playbook(at.vars, self.on, &mut report)?;
        } else if at.stack.is_some() {
            check_stack(at, &mut report).await?;
        } else {
            Box::pin(check_all(at, &mut report)).await?;
        }
        if self.reporting.json {
            show::json(&report);
        } else {
            print(&report);
        }
        Ok(Ending::of(report.attention))
    }
}

/// What can be seen of a stack from here: its secrets and roles are its own, so no token is taken.
async fn check_stack(at: &At<'_>, report: &mut Report) -> Result<(), Ending> {
    let desk = at.look().await?;
    let now = clock::now();
    let folder = playbook_folder(at.vars);
    if let Ok(playbook) = Playbook::read(&folder) {
        about_playbook(&playbook, &folder, playbook.settings.mode, HostKind::Aws, now, report);
        let mut problems = Problems::default();
        try_cases(&playbook, &folder, &mut problems, report);
        let hunts = read_hunts(&folder, &mut problems).unwrap_or_default();
        about_hunts(&hunts, report);
        hunts_stand(Some(&desk), &hunts, &playbook.settings, now, report).await?;
        report.attention.extend(problems.iter().map(str::to_owned));
    }
    report.mode = desk.deployed;
    let mode = desk.deployed.map_or("not known", Mode::as_str);
    report.to_enforce = vec![
        Step::of(
            desk.deployed == Some(Mode::Enforce),
            format!("the stack was deployed to {mode} (parameter Mode)"),
        ),
        Step::to_judge("the app that acts, and its role Machine.Isolate: the parameter ActorClientId"),
    ];
    report.to_enforce.extend(the_brakes(at, &desk, now).await?);
    Ok(())
}

/// The limits in force, and what is to be found out before they matter.
async fn the_brakes(at: &At<'_>, desk: &Desk, now: Timestamp) -> Result<Vec<Step>, Ending> {
    let pause = desk.brakes(now).await?.pause;
    let view = View::read(at, desk, now).await?;
    let paused = pause.as_ref().map_or("not paused".to_owned(), |pause| pause::of(pause, "paused"));
    let open = view.attention();
    let breakers = if open.is_empty() { "no breaker is open".to_owned() } else { open.join("; ") };
    Ok(vec![
        Step::of(pause.is_none(), paused),
        Step::of(open.is_empty(), breakers),
        Step::of(view.knows_the_fleet(), view.about_the_fleet(now)),
        Step::to_judge(view.in_short()),
    ])
}

/// Files and their rules, and nothing else.
fn check_playbook(vars: &Vars, on: On, report: &mut Report) -> Result<(), Ending> {
    let mut problems = Problems::default();
    let folder = playbook_folder(vars);
    let playbook = read_playbook(&folder, &mut problems);
    about_hunts(&read_hunts(&folder, &mut problems).unwrap_or_default(), report);
    read_templates(&folder, &mut problems);
    if let Some(playbook) = &playbook {
        let channels = &playbook.settings.channels;
        match on {
            On::Machine => notify::open(channels, vars, None, &mut problems),
            On::Aws => {
                let secret = KeptSecret { store: Arc::new(Elsewhere), name: "channels".to_owned() };
                let aws =
                    OnAws { mail: Arc::new(Elsewhere), topics: Arc::new(Elsewhere), secret: Some(secret) };
                notify::open(channels, &deployed(), Some(&aws), &mut problems)
            }
        };
        let host = if on == On::Aws { HostKind::Aws } else { HostKind::Local };
        about_playbook(playbook, &folder, playbook.settings.mode, host, clock::now(), report);
        try_cases(playbook, &folder, &mut problems, report);
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Ending::Settings(problems.iter().map(str::to_owned).collect()))
    }
}

/// Decides the cases of the playbook: each that fails needs attention.
fn try_cases(playbook: &Playbook, folder: &Path, problems: &mut Problems, report: &mut Report) {
    let cases = test_playbook::read(playbook, folder, problems);
    let tried: Vec<_> = cases.iter().map(|case| playbook.try_case(case)).collect();
    report.attention.extend(test_playbook::failed(&tried));
    report.cases = (!tried.is_empty()).then(|| test_playbook::summary(&tried));
}

/// What the template gives the function that tells people, of what a channel may ask for: no password among it.
fn deployed() -> Vars {
    let given = [
        ("CORDON_MAIL_FROM", "cordon@example.com"),
        ("CORDON_MAIL_TO", "soc@example.com"),
        ("CORDON_SNS_TOPIC", "arn:aws:sns:eu-central-1:123456789012:soc"),
    ];
    given.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

async fn check_all(at: &At<'_>, report: &mut Report) -> Result<(), Ending> {
    let settings = Settings::from_vars(at.vars)
        .map_err(|problems| Ending::Settings(problems.iter().map(str::to_owned).collect()))?;
    let mut problems = Problems::default();
    try_cases(&settings.playbook, &settings.playbook_folder, &mut problems, report);
    if !problems.is_empty() {
        return Err(Ending::Settings(problems.iter().map(str::to_owned).collect()));
    }
    let mut connection = settings.connection.clone();
    let reader = reader_of(&connection)?;
    let now = clock::now();
    about_playbook(
        &settings.playbook,
        &settings.playbook_folder,
        settings.mode(),
        HostKind::Local,
        now,
        report,
    );

    about_hunts(&settings.hunts, report);
    if connection.hunting_api == Api::Defender {
        report.attention.push(RETIRES.to_owned());
    }

    show::progress("asking for a token …");
    let needs = Needs::of(&connection, Some(&settings.playbook.settings), &settings.hunts);
    let app = App { reader: &reader, setting: "DEFENDER_CLIENT_ID" };
    report.reader_roles = app.roles(Api::Defender, &needs.reader, now, &mut report.attention).await?;
    report.reader_graph_roles =
        app.roles_if_needed(Api::Graph, &needs.reader_on_graph, now, &mut report.attention).await?;
    // The app that acts is asked for its roles through a reader of its own, which cannot act.
    connection.reader = connection.acting().clone();
    if settings.mode() == Mode::Enforce || connection.actor.is_some() {
        let name = if connection.actor.is_some() { "DEFENDER_ACTOR_CLIENT_ID" } else { "DEFENDER_CLIENT_ID" };
        let app = App { reader: &reader_of(&connection)?, setting: name };
        report.actor_roles = app.roles(Api::Defender, &needs.actor, now, &mut report.attention).await?;
        report.actor_graph_roles =
            app.roles_if_needed(Api::Graph, &needs.actor_on_graph, now, &mut report.attention).await?;
    }
    show::progress("counting devices …");
    let mut devices = BTreeMap::new();
    if let Err(error) = count_devices(&reader, now, &mut devices).await {
        report.attention.push(format!("the devices could not be listed: {error}"));
    }
    report.devices = Some(devices);
    show::progress("");
    report.to_enforce =
        vec![the_mode(&settings), the_app_that_acts(&settings, report), the_people(&settings)];
    let desk = at.look().await.ok();
    let brakes = match &desk {
        Some(desk) => the_brakes(at, desk, now).await.ok(),
        None => None,
    };
    hunts_stand(desk.as_ref(), &settings.hunts, &settings.playbook.settings, now, report).await?;
    // Without a state nothing is paused, and nothing is counted.
    report.to_enforce.extend(brakes.unwrap_or_else(|| {
        vec![Step::of(
            false,
            "pause, breakers and size of the fleet: no state can be read yet; `cordon run` begins one",
        )]
    }));
    Ok(())
}

/// What the files of the hunts say.
fn about_hunts(hunts: &[Hunt], report: &mut Report) {
    if hunts.is_empty() {
        return;
    }
    let off: Vec<&str> = hunts.iter().filter(|hunt| !hunt.enabled).map(|hunt| hunt.name.as_str()).collect();
    report.hunts.push(format!("{} on", hunts.len().saturating_sub(off.len())));
    if !off.is_empty() {
        report.hunts.push(format!("{} off ({})", off.len(), off.join(", ")));
    }
    for hunt in hunts.iter().filter(|hunt| hunt.enabled) {
        if matches!(&hunt.outcome, Outcome::Alert(mapping) if mapping.may_isolate) {
            report.hunts.push(format!(
                "what {} finds may cut a device off (may_isolate), if the policy permits it",
                hunt.name
            ));
        }
    }
}

/// Which of them are failing, broken or overdue, as far as a state says.
async fn hunts_stand(
    desk: Option<&Desk>,
    hunts: &[Hunt],
    settings: &policy::Settings,
    now: Timestamp,
    report: &mut Report,
) -> Result<(), Ending> {
    let state = desk.map(|desk| (&desk.tenant, &desk.state));
    let standings = Standings::read(state, hunts, &settings.time_zone, now).await?;
    report.attention.extend(standings.attention(now));
    Ok(())
}

fn the_mode(settings: &Settings) -> Step {
    let environment =
        settings.environment_mode.map_or("is not set".to_owned(), |mode| format!("says {}", mode.as_str()));
    let playbook = settings.playbook.settings.mode.as_str();
    Step::of(
        settings.mode() == Mode::Enforce,
        format!(
            "the playbook's mode is {playbook}, CORDON_MODE {environment}: {} holds",
            settings.mode().as_str()
        ),
    )
}

/// Which app acts, and whether it may.
fn the_app_that_acts(settings: &Settings, report: &Report) -> Step {
    let is_own = settings.connection.actor.is_some();
    let roles = if is_own { &report.actor_roles } else { &report.reader_roles };
    let may = roles.iter().flatten().any(|role| role == "Machine.Isolate");
    let who = if is_own {
        "an app of its own acts (DEFENDER_ACTOR_CLIENT_ID)"
    } else {
        "the app that reads is the one that acts: better one of its own (DEFENDER_ACTOR_CLIENT_ID)"
    };
    let holds = if may { "it holds Machine.Isolate" } else { "it lacks Machine.Isolate" };
    Step::of(may, format!("{who}; {holds}"))
}

/// Whether anybody hears of what is done. A folder of files reaches whoever looks into it.
fn the_people(settings: &Settings) -> Step {
    let channels = settings.playbook.settings.channels.iter();
    let here = channels.filter(|channel| channel.only_on().is_none_or(|host| host == HostKind::Local));
    let reach: Vec<&str> = here
        .filter(|channel| !matches!(channel.kind, ChannelKind::Folder { .. }))
        .map(|channel| channel.name.as_str())
        .collect();
    if reach.is_empty() {
        Step::of(
            false,
            "no channel of the playbook reaches people from this machine: they would find files only",
        )
    } else {
        Step::of(true, format!("people are told by {}", reach.join(", ")))
    }
}

pub(crate) fn reader_of(connection: &Connection) -> Result<Reader, Ending> {
    let connected = connect(connection, Arc::new(RealPause));
    connected.map(|(reader, _, _)| reader).map_err(|error| Ending::attention(chain(&error)))
}

fn about_playbook(
    playbook: &Playbook,
    folder: &Path,
    mode: Mode,
    host: HostKind,
    now: Timestamp,
    report: &mut Report,
) {
    report.mode = Some(mode);
    report.playbook = vec![
        folder.display().to_string(),
        format!("{} policies", playbook.policies().len()),
        format!("{} guarantees", playbook.guarantees().len()),
        format!("polls every {:#}", playbook.settings.poll.interval),
        format!("acts within {:#}", playbook.settings.isolation.act_within),
    ];
    // Where they have problems those are said, and nothing of this.
    let own = notify::Templates::read(folder).map(|templates| templates.overrides()).unwrap_or_default();
    if !own.is_empty() {
        report.playbook.push(format!("templates of its own: {}", own.join(", ")));
    }
    if playbook.guarantees().is_empty() {
        report.attention.push(NO_GUARANTEES.to_owned());
    }
    for list in playbook.lists() {
        let stale = list.is_stale(now);
        report.asset_lists.push(format!(
            "{} (owner {}): to be reviewed by {}{}",
            list.name,
            list.owner,
            list.review_by,
            if stale { ", OVERDUE" } else { "" }
        ));
        if stale {
            report.attention.push(format!(
                "assets.toml: list `{}` was to be reviewed by {}: until it is, every isolation is refused",
                list.name, list.review_by
            ));
        }
    }
    report.channels = playbook.settings.channels.iter().map(|channel| here(channel, host)).collect();
    if report.channels.is_empty() {
        report.attention.push("playbook.toml: no `[[channels]]`: nobody is told anything".to_owned());
    }
    if host == HostKind::Aws {
        report.deploy_with = parameters(&playbook.settings.channels);
    }
    if let Some(example) = policy::taken_by_none(&playbook.settings.channels, host) {
        report
            .channels
            .push(format!("all that reach people get what none of them takes, such as `{example}`"));
    }
}

/// What the channels need of a deployment.
fn parameters(channels: &[Channel]) -> Vec<String> {
    let mut fields: Vec<&str> = channels
        .iter()
        .flat_map(|channel| channel.secrets())
        .filter_map(|secret| secret.field.as_deref())
        .collect();
    fields.sort_unstable();
    fields.dedup();
    let secret = (!fields.is_empty())
        .then(|| format!("ChannelsSecret=create, and its value with the fields {}", fields.join(", ")));
    let topic = channels.iter().any(|channel| matches!(channel.kind, ChannelKind::Sns));
    let topic = topic.then(|| "NotifyTopicArn=the topic of the sns channel".to_owned());
    secret.into_iter().chain(topic).collect()
}

/// A channel's name, and whether it exists on this host.
fn here(channel: &Channel, host: HostKind) -> String {
    match channel.only_on().filter(|only| *only != host) {
        Some(only) => format!("{} (on {} only)", channel.name, only.as_str()),
        None => channel.name.clone(),
    }
}

/// An app, and the setting that names it.
pub(crate) struct App<'a> {
    pub(crate) reader: &'a Reader,
    pub(crate) setting: &'a str,
}

impl App<'_> {
    /// The same as [`App::roles`], where any is needed: who needs none of Graph's asks for no token for it.
    pub(crate) async fn roles_if_needed(
        &self,
        api: Api,
        needs: &[AnyOf],
        now: Timestamp,
        attention: &mut Vec<String>,
    ) -> Result<Option<Vec<String>>, Ending> {
        if needs.is_empty() { Ok(None) } else { self.roles(api, needs, now, attention).await }
    }

    /// The roles in the app's token for an interface; what is missing is added to `attention`.
    pub(crate) async fn roles(
        &self,
        api: Api,
        needs: &[AnyOf],
        now: Timestamp,
        attention: &mut Vec<String>,
    ) -> Result<Option<Vec<String>>, Ending> {
        let setting = self.setting;
        let call = Call { now, budget: SignedDuration::from_secs(30) };
        let asked = match api {
            Api::Defender => self.reader.roles(call).await,
            Api::Graph => self.reader.graph_roles(call).await,
        };
        let roles = match asked {
            Ok(roles) => roles,
            Err(ApiError::Unauthorized { why, .. }) => {
                let prefix = setting.trim_end_matches("CLIENT_ID");
                return Err(Ending::settings(format!("{}: {why}", refused(&why, prefix))));
            }
            Err(error) => {
                return Err(Ending::attention(format!("DEFENDER_LOGIN_URL or DEFENDER_CLOUD: {error}")));
            }
        };
        match &roles {
            Some(held) => {
                let holds = |any: &&AnyOf| any.iter().any(|role| held.iter().any(|held| held == role));
                for any in needs.iter().filter(|any| !holds(any)) {
                    attention.push(format!(
                    "{setting}: the app lacks {}: grant it as an application permission of {} and give admin consent",
                    any.join(" or "),
                    of_whom(api)
                ));
                }
            }
            None => attention.push(format!("{setting}: the token does not say which roles the app holds")),
        }
        Ok(roles)
    }
}

async fn count_devices(
    reader: &Reader,
    now: Timestamp,
    devices: &mut BTreeMap<&'static str, usize>,
) -> Result<(), ApiError> {
    let call = Call { now, budget: SignedDuration::from_secs(60) };
    let mut skip = Some(0);
    for _ in 0..MAX_PAGES {
        let Some(from) = skip else { return Ok(()) };
        let page = reader.machines(from, call).await?;
        for device in &page.devices {
            let class = Device::class(device).map_or("unknown platform", DeviceClass::as_str);
            *devices.entry(class).or_default() += 1;
        }
        skip = page.next_skip;
    }
    Ok(())
}

fn print(report: &Report) {
    let or_none = |items: &[String]| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let roles =
        |roles: &Option<Vec<String>>| roles.as_ref().map_or("not said".to_owned(), |roles| or_none(roles));
    show::line(&format!("mode         {}", report.mode.map_or("", Mode::as_str)));
    show::line(&format!("playbook     {}", report.playbook.join(", ")));
    if !report.playbook.is_empty() {
        let none = "none: `cordon test-playbook --help` shows how to write one";
        show::line(&format!("cases        {}", report.cases.as_deref().unwrap_or(none)));
    }
    if !report.playbook.is_empty() {
        show::line(&format!("hunts        {}", or_none(&report.hunts)));
    }
    show::line(&format!("asset lists  {}", or_none(&report.asset_lists)));
    show::line(&format!("channels     {}", or_none(&report.channels)));
    if !report.deploy_with.is_empty() {
        show::line(&format!("deploy with  {}", report.deploy_with.join("; ")));
    }
    if report.devices.is_some() {
        show::line(&format!("reader       {}", roles(&report.reader_roles)));
    }
    if report.reader_graph_roles.is_some() {
        show::line(&format!("  on Graph   {}", roles(&report.reader_graph_roles)));
    }
    if report.actor_roles.is_some() {
        show::line(&format!("actor        {}", roles(&report.actor_roles)));
    }
    if report.actor_graph_roles.is_some() {
        show::line(&format!("  on Graph   {}", roles(&report.actor_graph_roles)));
    }
    if let Some(devices) = &report.devices {
        let counts: Vec<String> = devices.iter().map(|(class, count)| format!("{count} {class}")).collect();
        show::line(&format!("devices      {}", or_none(&counts)));
    }
    for (number, step) in report.to_enforce.iter().enumerate() {
        let word = if number == 0 { "to enforce" } else { "" };
        let ready = match step.ready {
            Some(true) => "yes",
            Some(false) => "no ",
            None => "  ?",
        };
        show::line(&format!("{word:<13}{ready}  {}", step.said));
    }
    if report.attention.is_empty() {
        show::line("all is well");
    }
}
