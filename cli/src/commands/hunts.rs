//! `cordon hunts`: every hunt of the playbook and how it stands, from the playbook here and the state alone.
//!
//! It asks the tenant nothing. A hunt is run by the host, or by `cordon hunt`.

use crate::{
    Ending, Reporting, clock,
    desk::At,
    settings::{playbook_folder, read_hunts, state_file},
    show,
};
use clap::Args;
use credentials::Problems;
use hunt::is_overdue;
use jiff::{Timestamp, tz::TimeZone};
use model::{TenantId, one_line};
use policy::{Hunt, Outcome, Schedule};
use ports::{HuntRest, HuntRow, HuntRun, HuntTrouble, State, StateError, Stored};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon hunts
  cordon hunts --json
  cordon hunts --stack cordon

Each hunt with its state, its schedule, its last and next run, the rows of the last run and how many of them were new, and
what that run cost: calls of the service, and seconds that it was at work.

  off          enabled = false in its file; `cordon hunt NAME` runs it all the same
  on           runs when it is due
  not run yet  it is on, and has never asked the service for anything
  changed      not run since its file has changed. `cordon run` reads the files when it starts: restart it; on AWS, deploy
  resting      the service's quota is used up: no hunt asks before the time that is shown
  failing      its last run did not come to its end, for want of a permission for instance; it is tried again
  broken       the service refuses the query, or its rows lack a column: it is tried once a day until its file has changed
  overdue      it has not come to its end for three times as long as its schedule says

With --stack the state is the stack's; the playbook here (CORDON_PLAYBOOK) is taken to be the one that is deployed. It ends
with 1 where a hunt is failing, broken or overdue.")]
pub(crate) struct Hunts {
    #[command(flatten)]
    reporting: Reporting,
}

/// How the hunts stand.
#[derive(Debug, Serialize)]
pub(crate) struct Standings {
    hunts: Vec<Standing>,
    /// Until when no hunt asks the service, and why.
    rest: Option<HuntRest>,
}

/// How one hunt stands.
#[derive(Debug, Serialize)]
struct Standing {
    hunt: String,
    state: Stands,
    description: String,
    techniques: Vec<String>,
    schedule: String,
    /// `alert`, `table` or `defender_alert`.
    leads_to: &'static str,
    may_isolate: bool,
    last: Option<HuntRun>,
    last_success: Option<Timestamp>,
    /// When it is due; none where it is off, or has never run.
    next: Option<Timestamp>,
    /// Everything before this time has been read.
    read_to: Option<Timestamp>,
    /// What stands against it. Of a hunt that is off: what stood against it when it last ran.
    trouble: Option<HuntTrouble>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Stands {
    Off,
    On,
    NotRunYet,
    Changed,
    Resting,
    Failing,
    Broken,
    Overdue,
}

impl Stands {
    fn as_str(self) -> &'static str {
        match self {
            Stands::Off => "off",
            Stands::On => "on",
            Stands::NotRunYet => "not run yet",
            Stands::Changed => "changed",
            Stands::Resting => "resting",
            Stands::Failing => "failing",
            Stands::Broken => "broken",
            Stands::Overdue => "overdue",
        }
    }
}

impl Hunts {
    pub(crate) async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let now = clock::now();
        let folder = playbook_folder(at.vars);
        let mut problems = Problems::default();
        let hunts = read_hunts(&folder, &mut problems);
        let settings = policy::Settings::read(&folder);
        if let Err(found) = &settings {
            problems.add_all(&format!("CORDON_PLAYBOOK `{}`", folder.display()), found.iter());
        }
        let (Some(hunts), Ok(settings)) = (hunts, settings) else {
            return Err(Ending::Settings(problems.iter().map(str::to_owned).collect()));
        };
        // Who has just written a hunt has no state yet.
        let has_state = at.stack.is_some() || state_file(at.vars).exists();
        let desk = if has_state { Some(at.look().await?) } else { None };
        let state = desk.as_ref().map(|desk| (&desk.tenant, &desk.state));
        let standings = Standings::read(state, &hunts, &settings.time_zone, now).await?;
        if self.reporting.json {
            show::json(&standings);
        } else {
            standings.print(now);
        }
        Ok(Ending::of(standings.attention(now)))
    }
}

impl Standings {
    /// Without a state nothing has run yet.
    pub(crate) async fn read(
        state: Option<(&TenantId, &State)>,
        hunts: &[Hunt],
        zone: &TimeZone,
        now: Timestamp,
    ) -> Result<Standings, StateError> {
        let (rows, rest) = match state {
            Some((tenant, state)) => rows(tenant, state, now).await?,
            None => Default::default(),
        };
        let rest = rest.filter(|rest| rest.until > now);
        let standing = |hunt: &Hunt| Standing::of(hunt, rows.get(&hunt.name), rest.as_ref(), zone, now);
        Ok(Standings { hunts: hunts.iter().map(standing).collect(), rest })
    }

    /// What a person has to look at, a sentence each.
    pub(crate) fn attention(&self, now: Timestamp) -> Vec<String> {
        self.hunts.iter().filter_map(|hunt| hunt.attention(now)).collect()
    }

    /// How many there are, how many of them are on, and which are not as they should be; in a few words.
    pub(crate) fn in_short(&self) -> String {
        let on = self.hunts.iter().filter(|hunt| hunt.state != Stands::Off).count();
        let mut text = match self.hunts.len() {
            0 => return "none".to_owned(),
            all => format!("{on} on, {} off", all.saturating_sub(on)),
        };
        for state in [Stands::Broken, Stands::Overdue, Stands::Failing, Stands::Changed, Stands::NotRunYet] {
            let these: Vec<&str> =
                self.hunts.iter().filter(|hunt| hunt.state == state).map(|hunt| hunt.hunt.as_str()).collect();
            if !these.is_empty() {
                text.push_str(&format!("; {}: {}", state.as_str(), these.join(", ")));
            }
        }
        if let Some(rest) = &self.rest {
            text.push_str(&format!("; all rest until {}", show::time(rest.until)));
        }
        text
    }

    fn print(&self, now: Timestamp) {
        if self.hunts.is_empty() {
            show::line("The playbook has no hunts: docs/PLAYBOOK.md shows how to write one.");
            return;
        }
        let head = ["HUNT", "STATE", "SCHEDULE", "LAST RUN", "NEXT RUN", "ROWS", "NEW", "CALLS", "TOOK"];
        show::table(head, &self.hunts.iter().map(Standing::row).collect::<Vec<_>>());
        if let Some(rest) = &self.rest {
            let (until, why) = (show::time(rest.until), one_line(&rest.why, 300));
            show::line(&format!("No hunt asks the service before {until}: {why}"));
        }
        for hunt in &self.hunts {
            if hunt.state == Stands::Changed {
                let name = &hunt.hunt;
                show::line(&format!(
                    "{name}: not run since its file has changed (after a change, restart `cordon run`; on AWS, deploy)"
                ));
            }
            if let Some(trouble) = &hunt.trouble {
                let since = show::span(now.duration_since(trouble.since));
                show::line(&format!("{}: for {since}: {}", hunt.hunt, one_line(&trouble.why, 300)));
            }
        }
    }
}

/// The rows of all hunts, by name, and whether the service has said to wait.
async fn rows(
    tenant: &TenantId,
    state: &State,
    now: Timestamp,
) -> Result<(BTreeMap<String, HuntRow>, Option<HuntRest>), StateError> {
    let rows: Vec<Stored<HuntRow>> = state.query_all(&HuntRow::partition(tenant), "hunt#", now).await?;
    let rest: Option<Stored<HuntRest>> = state.get(&HuntRest::key(tenant), now).await?;
    let named = rows.into_iter().map(|row| (row.value.hunt.clone(), row.value)).collect();
    Ok((named, rest.map(|rest| rest.value)))
}

impl Standing {
    fn of(
        hunt: &Hunt,
        row: Option<&HuntRow>,
        rest: Option<&HuntRest>,
        zone: &TimeZone,
        now: Timestamp,
    ) -> Standing {
        let (leads_to, may_isolate) = match &hunt.outcome {
            Outcome::Alert(mapping) => ("alert", mapping.may_isolate),
            Outcome::Table => ("table", false),
            Outcome::DefenderAlert(_) => ("defender_alert", false),
        };
        let state = match row {
            _ if !hunt.enabled => Stands::Off,
            None => Stands::NotRunYet,
            // A file that has changed since is tried again: what the service said of the old one counts no more.
            Some(row) if row.digest != hunt.digest && row.is_broken() => Stands::Changed,
            Some(row) if row.is_known_broken() => Stands::Broken,
            Some(row) if is_overdue(hunt, row, zone, now) => Stands::Overdue,
            Some(row) if row.digest != hunt.digest => Stands::Changed,
            Some(row) if row.trouble.is_some() => Stands::Failing,
            Some(_) if rest.is_some() => Stands::Resting,
            Some(row) if row.last.is_none() => Stands::NotRunYet,
            Some(_) => Stands::On,
        };
        Standing {
            hunt: hunt.name.clone(),
            state,
            description: hunt.description.clone(),
            techniques: hunt.techniques.clone(),
            schedule: schedule(&hunt.schedule),
            leads_to,
            may_isolate,
            last: row.and_then(|row| row.last.clone()),
            last_success: row.and_then(|row| row.last_success),
            next: row.map(|row| row.next).filter(|_| hunt.enabled),
            read_to: row.and_then(|row| row.cursor),
            trouble: row.and_then(|row| row.trouble.clone()),
        }
    }

    fn attention(&self, now: Timestamp) -> Option<String> {
        let name = &self.hunt;
        let why = self.trouble.as_ref().map(|trouble| one_line(&trouble.why, 300));
        match self.state {
            Stands::Broken => Some(format!(
                "the hunt `{name}` is broken, and is tried once a day until its file has changed: {}",
                why.unwrap_or_default()
            )),
            Stands::Overdue => {
                let ago = |at: Timestamp| show::span(now.duration_since(at));
                let last = self.last_success.map_or("ever".to_owned(), |at| format!("for {}", ago(at)));
                let why =
                    why.unwrap_or_else(|| "does `cordon run`, or the stack's schedule, run?".to_owned());
                Some(format!("the hunt `{name}` is overdue: no run of it has come to its end {last}: {why}"))
            }
            Stands::Failing => {
                let why = why.unwrap_or_default();
                Some(format!("the hunt `{name}` did not come to its end, and is tried again: {why}"))
            }
            Stands::Off | Stands::On | Stands::NotRunYet | Stands::Changed | Stands::Resting => None,
        }
    }

    fn row(&self) -> [String; 9] {
        let none = || "-".to_owned();
        let of_last = |what: fn(&HuntRun) -> String| self.last.as_ref().map_or_else(none, what);
        [
            self.hunt.clone(),
            self.state.as_str().to_owned(),
            one_line(&self.schedule, 40),
            of_last(|run| show::time(run.at)),
            self.next.map_or_else(none, show::time),
            of_last(|run| run.rows.to_string()),
            of_last(|run| run.new.to_string()),
            of_last(|run| run.calls.to_string()),
            of_last(|run| seconds(run.took_ms)),
        ]
    }
}

/// A schedule as its file has it.
fn schedule(schedule: &Schedule) -> String {
    match schedule {
        Schedule::Every(span) => format!("every {span:#}"),
        Schedule::Cron(cron) => cron.text.clone(),
    }
}

/// Milliseconds as seconds, to a tenth.
pub(crate) fn seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100)
}
