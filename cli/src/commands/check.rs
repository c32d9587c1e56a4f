//! `cordon check`: what stands between these settings and a run. Changes nothing anywhere: it takes a token for
//! each app, lists devices, and opens no state.

use super::run::chain;
use crate::{
    Ending, Reporting, clock,
    settings::{Settings, refused},
    show,
};
use credentials::Vars;
use defender::{ApiError, Call, Reader, RealPause, connect};
use jiff::{SignedDuration, Timestamp};
use model::{Device, DeviceClass, Mode};
use policy::{Channel, HostKind};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

/// What reading needs: any one role of each row. Source: the permission tables of Microsoft's API pages.
const READER_NEEDS: [&[&str]; 2] =
    [&["Alert.Read.All", "Alert.ReadWrite.All"], &["Machine.Read.All", "Machine.ReadWrite.All"]];

/// What acting needs.
const ACTOR_NEEDS: [&[&str]; 1] = [&["Machine.Isolate"]];

/// The most pages of the device list that are counted.
const MAX_PAGES: usize = 20;

pub(crate) const AFTER_HELP: &str = "\
Examples:
  cordon check                 before the first `cordon run`, and after every change to the playbook
  cordon check --json          the same as one JSON object

It takes a token for each app, compares the roles in it with what is needed, and counts the devices.";

/// What was found, and what of it needs attention.
#[derive(Debug, Default, Serialize)]
struct Report {
    mode: Option<Mode>,
    playbook: Vec<String>,
    reader_roles: Option<Vec<String>>,
    actor_roles: Option<Vec<String>>,
    devices: BTreeMap<&'static str, usize>,
    asset_lists: Vec<String>,
    channels: Vec<String>,
    attention: Vec<String>,
}

pub(crate) async fn check(vars: &Vars, reporting: Reporting) -> Ending {
    let settings = match Settings::from_vars(vars) {
        Ok(settings) => settings,
        Err(problems) => return Ending::Settings(problems.iter().map(str::to_owned).collect()),
    };
    let mut connection = settings.connection.clone();
    let (reader, _, _) = match connect(&connection, Arc::new(RealPause)) {
        Ok(connected) => connected,
        Err(error) => return Ending::attention(chain(&error)),
    };
    let now = clock::now();
    let mut report = Report::default();
    about_playbook(&settings, now, &mut report);

    show::progress("asking for a token …");
    report.reader_roles =
        match roles(&reader, "DEFENDER_CLIENT_ID", &READER_NEEDS, now, &mut report.attention).await {
            Ok(roles) => roles,
            Err(ending) => return ending,
        };
    // The app that acts is asked for its roles through a reader of its own, which cannot act.
    connection.reader = connection.acting().clone();
    if settings.mode() == Mode::Enforce || connection.actor.is_some() {
        let name = if connection.actor.is_some() { "DEFENDER_ACTOR_CLIENT_ID" } else { "DEFENDER_CLIENT_ID" };
        let (actor, _, _) = match connect(&connection, Arc::new(RealPause)) {
            Ok(connected) => connected,
            Err(error) => return Ending::attention(chain(&error)),
        };
        report.actor_roles = match roles(&actor, name, &ACTOR_NEEDS, now, &mut report.attention).await {
            Ok(roles) => roles,
            Err(ending) => return ending,
        };
    }
    show::progress("counting devices …");
    if let Err(error) = count_devices(&reader, now, &mut report.devices).await {
        report.attention.push(format!("the devices could not be listed: {error}"));
    }
    show::progress("");

    if reporting.json {
        show::json(&report);
    } else {
        print(&report);
    }
    if report.attention.is_empty() { Ending::Done } else { Ending::Attention(report.attention) }
}

fn about_playbook(settings: &Settings, now: Timestamp, report: &mut Report) {
    let playbook = &settings.playbook;
    report.mode = Some(settings.mode());
    report.playbook = vec![
        settings.playbook_folder.display().to_string(),
        format!("{} policies", playbook.policies().len()),
        format!("polls every {:#}", playbook.settings.poll.interval),
        format!("acts within {:#}", playbook.settings.isolation.act_within),
    ];
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
    report.channels = playbook.settings.channels.iter().map(here).collect();
    if report.channels.is_empty() {
        report.attention.push("playbook.toml: no `[[channels]]`: nobody is told anything".to_owned());
    }
}

/// A channel's name, and whether it exists on this host.
fn here(channel: &Channel) -> String {
    match channel.only_on().filter(|host| *host != HostKind::Local) {
        Some(host) => format!("{} (on {} only)", channel.name(), host.as_str()),
        None => channel.name().to_owned(),
    }
}

/// The roles in an app's token; what is missing is added to `attention`.
async fn roles(
    reader: &Reader,
    setting: &str,
    needs: &[&[&str]],
    now: Timestamp,
    attention: &mut Vec<String>,
) -> Result<Option<Vec<String>>, Ending> {
    let call = Call { now, budget: SignedDuration::from_secs(30) };
    let roles = match reader.roles(call).await {
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
            let holds = |any: &&&[&str]| any.iter().any(|role| held.iter().any(|held| held == role));
            for any in needs.iter().filter(|any| !holds(any)) {
                attention.push(format!(
                    "{setting}: the app lacks {}: grant it as an application permission of WindowsDefenderATP and \
                     give admin consent",
                    any.join(" or ")
                ));
            }
        }
        None => attention.push(format!("{setting}: the token does not say which roles the app holds")),
    }
    Ok(roles)
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
    let devices: Vec<String> =
        report.devices.iter().map(|(class, count)| format!("{count} {class}")).collect();
    show::line(&format!("mode         {}", report.mode.map_or("", Mode::as_str)));
    show::line(&format!("playbook     {}", report.playbook.join(", ")));
    show::line(&format!("asset lists  {}", or_none(&report.asset_lists)));
    show::line(&format!("channels     {}", or_none(&report.channels)));
    show::line(&format!("reader       {}", roles(&report.reader_roles)));
    if report.actor_roles.is_some() {
        show::line(&format!("actor        {}", roles(&report.actor_roles)));
    }
    show::line(&format!("devices      {}", or_none(&devices)));
    if report.attention.is_empty() {
        show::line("all is well");
    }
}
