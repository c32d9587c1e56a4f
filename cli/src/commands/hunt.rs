//! `cordon hunt NAME`: one hunt, by hand, with its rows printed as they come.
//!
//! It makes nothing of the rows: no alert, no message, no word in the state, so that the schedule's own run finds them all
//! the same. How a query is put together and a window halved is the step's business (`Hunting::by_hand`).

mod print;

use super::hunts::seconds;
use crate::{
    Ending, clock,
    commands::check::{hunting_role, reader_of},
    desk::At,
    settings::{playbook_folder, read_hunts, refused, state_file},
    show,
};
use clap::{Args, ValueEnum};
use credentials::{Api, Connection, Problems};
use defender::{ApiError, Column, HuntError};
use hunt::Hunting;
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use local::Store;
use model::{Mode, one_line};
use policy::{AssetList, Hunt, Span};
use ports::{HuntRest, Queue, State, Stored, Tally};
use print::Printer;
use std::sync::Arc;

/// How far back the service keeps events. Source: Microsoft's pages "runHuntingQuery" and "Advanced hunting API".
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// How many rows of a table are printed where nobody says otherwise: all of them have to be there before the first.
const ROWS_OF_A_TABLE: usize = 200;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon hunt remote-management-tools                    the last 24 hours, as a table
  cordon hunt remote-management-tools --since 7d --limit 20
  cordon hunt remote-management-tools --from 2026-11-20T08:00 --to 2026-11-20T12:00
  cordon hunt remote-management-tools --format csv >rows.csv
  cordon hunt remote-management-tools --json | jq .DeviceName

It runs the query of playbook/hunts/NAME.toml, whether the hunt is on or off, and prints the rows: nothing is kept, nobody is
told, no alert is made. What it cost is said on standard error; it comes out of the tenant's quota. The service keeps 30 days.

json prints one object a row, as the service gave it. table and csv leave out control characters and line breaks; in csv an
apostrophe stands before whatever a spreadsheet would take for a formula. A table shows the first 200 rows (--limit).

A window that is too much for one answer is read in parts, with 45 calls at most: then it stops and says from where to go on.
It does not begin while hunting rests because the tenant's quota is used up, as far as the state of this machine says so
(CORDON_STATE). A stack's hunts are run by the stack: by hand they run from here, with settings of your own.

It needs the settings for the tenant, and the app's permission to hunt: ThreatHunting.Read.All of Microsoft Graph, or with
DEFENDER_HUNTING_API=defender AdvancedQuery.Read.All of WindowsDefenderATP. `cordon hunts` lists the names.")]
pub(crate) struct HuntCommand {
    /// The hunt's name, as `cordon hunts` lists it
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// How far back: a time such as 90m, 24h or 7d [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = since, conflicts_with_all = ["from", "to"])]
    since: Option<SignedDuration>,
    /// The begin of the window, in UTC, such as 2026-11-20 or 2026-11-20T08:00
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Timestamp>,
    /// The end of the window [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "from")]
    to: Option<Timestamp>,
    /// How the rows are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// How many rows are printed at most; all of them are counted
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Refused, as before the command; here, so that the help does not offer it.
    #[arg(long, hide = true)]
    stack: Option<String>,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Csv,
}

fn since(text: &str) -> Result<SignedDuration, String> {
    let span = text.parse::<jiff::Span>().ok();
    let span = span.and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok());
    span.filter(|span| *span > SignedDuration::ZERO && *span <= KEPT)
        .ok_or_else(|| "not a time such as `90m`, `24h` or `7d`, of at most 30 days".to_owned())
}

fn moment(text: &str) -> Result<Timestamp, String> {
    let in_utc = || Some(text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp());
    let moment = text.parse::<Timestamp>().ok().or_else(in_utc);
    moment.ok_or_else(|| "not a time such as `2026-11-20T08:00`, in UTC".to_owned())
}

impl HuntCommand {
    pub(crate) async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let now = clock::now();
        let span = self.span(now)?;
        let mut problems = Problems::default();
        let folder = playbook_folder(at.vars);
        let hunts = read_hunts(&folder, &mut problems);
        let lists = AssetList::read_all(&folder);
        if let Err(found) = &lists {
            problems.add_all(&format!("CORDON_PLAYBOOK `{}`", folder.display()), found.iter());
        }
        // Which hunts there are can be said without a single setting for the tenant.
        let (Some(hunts), Ok(lists), true) = (hunts, lists, problems.is_empty()) else {
            return Err(Ending::Settings(problems.iter().map(str::to_owned).collect()));
        };
        let hunt = named(self.name.as_deref(), &hunts)?;
        let Some(connection) = Connection::from_vars(at.vars, None, &mut problems) else {
            return Err(Ending::Settings(problems.iter().map(str::to_owned).collect()));
        };
        if let Some(rest) = resting(at, now).await {
            let (until, why) = (show::time(rest.until), one_line(&rest.why, 300));
            return Err(Ending::attention(format!("no hunt asks the service before {until}: {why}")));
        }
        let hunting = hunting(&connection, lists)?;
        let mut printer = Printer::new(self.format(), self.limit);
        show::progress("hunting …");
        let read = hunting
            .by_hand(hunt, span, now, &mut |columns: &[Column], row| printer.take(columns, &row))
            .await;
        show::progress("");
        let answer = match read {
            Ok(answer) => answer,
            Err(error) => return Err(failed(hunt, &connection, &error)),
        };
        printer.finish();
        show::error(&format!(
            "{}: {} to {}: {} row(s), {} call(s), {} at the service",
            hunt.name,
            show::time(span.from),
            show::time(span.to),
            answer.rows,
            answer.calls,
            seconds(u64::try_from(answer.took.as_millis()).unwrap_or_default()),
        ));
        if let Some(left) = printer.left_out() {
            show::error(&format!("{left} row(s) more are not shown: --limit, --format csv or --format json"));
        }
        let unreadable =
            (answer.unreadable > 0).then(|| format!("{} row(s) could not be read", answer.unreadable));
        let unread = answer.unread_from.map(|from| {
            format!(
                "stopped after {} calls, which are the tenant's quota of a minute: nothing after {from} was read; go on in \
                 a minute with --from {from} --to {}, or ask for less time at once",
                answer.calls, span.to
            )
        });
        Ok(Ending::of(unreadable.into_iter().chain(unread).collect()))
    }

    fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }

    /// The window that is asked for.
    fn span(&self, now: Timestamp) -> Result<Span, Ending> {
        let back = |span: SignedDuration| now.checked_sub(span).unwrap_or(Timestamp::MIN);
        let from = self.from.unwrap_or_else(|| back(self.since.unwrap_or(DAY)));
        let to = self.to.unwrap_or(now).min(now);
        if from >= to {
            return Err(Ending::settings("--from, --to: the window ends before it begins"));
        }
        if from < back(KEPT) {
            return Err(Ending::settings("--from: the service keeps events for 30 days"));
        }
        Ok(Span { from, to })
    }
}

/// The hunt that is meant; otherwise which ones there are.
fn named<'a>(name: Option<&str>, hunts: &'a [Hunt]) -> Result<&'a Hunt, Ending> {
    if let Some(hunt) = hunts.iter().find(|hunt| Some(hunt.name.as_str()) == name) {
        return Ok(hunt);
    }
    let names: Vec<&str> = hunts.iter().map(|hunt| hunt.name.as_str()).collect();
    let there = match names.is_empty() {
        true => "the playbook has none: docs/PLAYBOOK.md shows how to write one".to_owned(),
        false => format!("the playbook has {}", names.join(", ")),
    };
    Err(Ending::settings(match name {
        Some(name) => format!("there is no hunt `{}`: {there}", one_line(name, 80)),
        None => format!("which hunt? {there}"),
    }))
}

/// What the hunts of this machine were told about waiting, while it holds. The service says so itself in any case: a state
/// that is not there, or cannot be read, keeps nobody from asking.
async fn resting(at: &At<'_>, now: Timestamp) -> Option<HuntRest> {
    if !state_file(at.vars).exists() {
        return None;
    }
    let desk = at.look().await.ok()?;
    let rest: Option<Stored<HuntRest>> = desk.state.get(&HuntRest::key(&desk.tenant), now).await.ok()?;
    let latest = now.checked_add(DAY).unwrap_or(Timestamp::MAX);
    // No rest lasts longer than a day: one that does was written by a clock that was wrong.
    rest.map(|rest| rest.value).filter(|rest| rest.until > now && rest.until <= latest)
}

/// The step, over a queue and a state of its own that nobody looks at: by hand nothing is written.
fn hunting(connection: &Connection, lists: Vec<AssetList>) -> Result<Hunting, Ending> {
    let nowhere = Store::in_memory().map_err(|error| Ending::attention(super::run::chain(&error)))?;
    Ok(Hunting {
        tenant: connection.tenant.clone(),
        reader: reader_of(connection)?,
        queue: Queue::new(Arc::new(nowhere.clone())),
        state: State::new(Arc::new(nowhere)),
        tally: Tally::default(),
        hunts: Arc::default(),
        lists: lists.into(),
        mode: Mode::Observe,
        time_zone: TimeZone::UTC,
    })
}

/// What to do about a query that was not answered.
fn failed(hunt: &Hunt, connection: &Connection, error: &HuntError) -> Ending {
    let (setting, address) = match connection.hunting_api {
        Api::Graph => ("GRAPH_API_URL", &connection.endpoints.graph),
        Api::Defender => ("DEFENDER_API_URL", &connection.endpoints.api),
    };
    match error {
        HuntError::Broken(_) => Ending::attention(format!("{error}: mend hunts/{}.toml", hunt.name)),
        HuntError::TooMuch { .. } => {
            Ending::attention(format!("{error}; ask for less time at once (--since, or --from and --to)"))
        }
        HuntError::TookTooLong { .. } => Ending::attention(format!(
            "{error}; try again later, or ask for less time at once (--since, or --from and --to)"
        )),
        HuntError::UsedUp { .. } => Ending::attention(error.to_string()),
        HuntError::Api(ApiError::Unauthorized { why, .. }) => {
            Ending::settings(format!("{}: {why}", refused(why, "DEFENDER_")))
        }
        HuntError::Api(ApiError::Forbidden(answer)) => {
            let (role, of) = hunting_role(connection.hunting_api);
            Ending::settings(format!(
                "DEFENDER_CLIENT_ID: {answer}: does the app hold {role}, as an application permission of {of} with \
                 admin consent? (hunting is not part of Defender for Business)"
            ))
        }
        HuntError::Api(ApiError::Unavailable { .. }) => {
            Ending::attention(format!("{error} (it was looked for at {address}: {setting}, DEFENDER_CLOUD)"))
        }
        HuntError::Api(_) => Ending::attention(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_said_in_times_or_in_how_long_ago() {
        assert_eq!(since("90m"), Ok(SignedDuration::from_mins(90)));
        assert_eq!(since("7d"), Ok(SignedDuration::from_hours(7 * 24)));
        assert_eq!(since("30d"), Ok(KEPT));
        for wrong in ["", "0s", "-1h", "31d", "1y", "soon", "2026-11-20"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(moment("2026-11-20"), Ok(at("2026-11-20T00:00:00Z")));
        assert_eq!(moment("2026-11-20T08:30"), Ok(at("2026-11-20T08:30:00Z")));
        assert_eq!(moment("2026-11-20T08:30:00+02:00"), Ok(at("2026-11-20T06:30:00Z")));
        for wrong in ["", "yesterday", "24h", "2026-13-01"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
