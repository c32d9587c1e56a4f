//! `cordon backtest`: what the playbook would have done with alerts of the past.
//!
//! Here is what is asked for, where it comes from and how it is printed; judging and counting stand in `backtest`. It
//! changes nothing anywhere but the files that it names.

use crate::{
    Ending, Reporting,
    backtest::{
        Changes, Fate, FateWord, Found, Judged, Kept, Kind, Order, Period, Records, Report, Simulation,
        Taking, Trial, Verdict, View, fetch, html, ranked, ranked_days, ranked_kinds,
    },
    clock,
    commands::{check::reader_of, run::chain},
    desk::At,
    settings::{playbook_folder, read_playbook, refused, state_file},
    show,
};
use clap::{Args, ValueEnum};
use credentials::{Connection, Problems, Vars};
use defender::ApiError;
use jiff::{SignedDuration, Timestamp};
use model::{Device, DeviceId, Mode, Onboarding, one_line};
use policy::{Playbook, Surroundings};
use serde::Serialize;
use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// How many rows a table shows of a kind; the JSON has all.
const TOP: usize = 10;

/// How many changed alerts a table shows.
const MOST_CHANGES: usize = 50;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon backtest                                  the tenant's alerts of the last 30 days
  cordon backtest --days 90 --html backtest.html   with a page to show around
  cordon backtest --as-it-stands                   what if Cordon met every alert this minute
  cordon backtest --against ../playbook-of-today   only what a changed playbook would do otherwise
  cordon backtest --file alerts.jsonl --machines machines.jsonl

Alerts are judged by the very code that acts, one poll after they were created, before anybody had looked at them: status
New, not classified. Severity, evidence and the device are as they are now, because Defender keeps no past of them.
--as-it-stands judges each as it is, at this moment. The mode is `enforce` unless you say --mode observe, whatever
CORDON_MODE and the playbook say: the question is what it would do.

Limits and breakers are played as if nobody but Cordon acted: an isolated device is given back after --isolated-for, a
breaker that opened is closed at the end of its day (UTC), and what is held is dropped. Days are UTC.

What is read of the tenant is kept in a file that only you may read, beside the state: an interrupted run goes on where it
was, and a later one with the same --days asks the tenant nothing; --fresh starts over. It uses at most half of the quota.
--file reads alerts as Defender's API gives them: one JSON record a line, or {\"value\": […]}; --machines likewise.")]
pub(crate) struct Backtest {
    /// How many days back, 1 to 180
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=180))]
    days: u16,
    /// Read alerts from this file instead of the tenant
    #[arg(long, value_name = "FILE", conflicts_with_all = ["days", "keep", "fresh"])]
    file: Option<PathBuf>,
    /// Read devices from this file; those that it does not hold count as unknown
    #[arg(long, value_name = "FILE", requires = "file")]
    machines: Option<PathBuf>,
    /// Where to keep what was read of the tenant; default `cordon-backtest.jsonl` beside the state
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// Read everything anew
    #[arg(long)]
    fresh: bool,
    /// Judge every alert as it is now, at this moment, instead of as it was when it was new
    #[arg(long)]
    as_it_stands: bool,
    /// In which mode to judge
    #[arg(long, value_enum, default_value_t = JudgedIn::Enforce)]
    mode: JudgedIn,
    /// For how long an isolated device stays isolated here, such as `24h`
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = isolated_for)]
    isolated_for: SignedDuration,
    /// Show only what changes against this folder's playbook, the old one
    #[arg(long, value_name = "FOLDER")]
    against: Option<PathBuf>,
    /// Write the report as one self-contained page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write each decision, one JSON object a line
    #[arg(long, value_name = "FILE")]
    decisions: Option<PathBuf>,
    #[command(flatten)]
    reporting: Reporting,
}

/// A mode, as it is said on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum JudgedIn {
    Enforce,
    Observe,
}

fn isolated_for(text: &str) -> Result<SignedDuration, String> {
    let span: Option<SignedDuration> = text.parse().ok();
    let (least, most) = (SignedDuration::from_hours(1), SignedDuration::from_hours(30 * 24));
    span.filter(|span| (least..=most).contains(span))
        .ok_or_else(|| "it is a duration from 1h to 720h, such as 24h".to_owned())
}

/// What is judged.
struct Past {
    path: PathBuf,
    kind: Kind,
    /// In one sentence.
    source: String,
    devices: HashMap<DeviceId, Device>,
    found: Found,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    without_evidence: usize,
    missing: Vec<String>,
}

/// The object that `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    period: &'a Period,
    #[serde(flatten)]
    report: &'a Report,
    changes: Option<&'a Changes>,
}

impl Backtest {
    pub(crate) async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let now = clock::now();
        let folder = playbook_folder(at.vars);
        let mut problems = Problems::default();
        let playbook = read_playbook(&folder, &mut problems);
        let old = self.against.as_deref().map(|folder| read_old(folder, &mut problems));
        let (Some(playbook), true) = (playbook, problems.is_empty()) else {
            return Err(Ending::Settings(problems.iter().map(str::to_owned).collect()));
        };
        let old = old.flatten();
        let interval = playbook.settings.poll.interval;
        let view = if self.as_it_stands { View::AsItStands } else { View::AsNew { interval } };
        let past = match &self.file {
            Some(file) => self.of_file(file, view, now)?,
            None => Box::pin(self.of_tenant(at.vars, view, now)).await?,
        };
        let playbooks: Vec<&Playbook> = [Some(&playbook), old.as_ref()].into_iter().flatten().collect();
        let mode = if self.mode == JudgedIn::Observe { Mode::Observe } else { Mode::Enforce };
        let trial = Trial { playbooks: &playbooks, devices: &past.devices, view, mode };
        let mut outcome =
            Outcome::new(&playbooks, &past.devices, self.isolated_for, self.create_decisions()?);
        show::progress(&format!("judging {} alerts …", past.found.places.len()));
        let records = Records { path: &past.path, kind: past.kind };
        let judged = trial.run(records, &past.found.places, &mut outcome).and_then(|()| outcome.flush());
        show::progress("");
        judged.map_err(|error| Ending::attention(format!("the alerts could not be judged: {error}")))?;

        let changes = outcome.changes(self.against.as_deref(), old.as_ref());
        let Some(report) = outcome.reports.first() else {
            return Err(Ending::attention("nothing was judged"));
        };
        let period = period(&past, &folder, &playbook, &trial, self.isolated_for, now);
        self.tell(&period, report, changes.as_ref())?;
        Ok(Ending::of(period.missing))
    }

    fn tell(&self, period: &Period, report: &Report, changes: Option<&Changes>) -> Result<(), Ending> {
        if let Some(path) = &self.html {
            let page = html(period, report, changes).map_err(Ending::attention)?;
            std::fs::write(path, page).map_err(|error| not_written("--html", path, &error))?;
        }
        if self.reporting.json {
            show::json(&Printed { period, report, changes });
            return Ok(());
        }
        print_head(period, report);
        match changes {
            Some(changes) => print_changes(changes),
            None => print(report),
        }
        if let Some(path) = &self.html {
            show::line(&format!("The page: {}", path.display()));
        }
        Ok(())
    }

    fn create_decisions(&self) -> Result<Option<BufWriter<File>>, Ending> {
        let create = |path: &PathBuf| {
            let file = File::create(path).map_err(|error| not_written("--decisions", path, &error))?;
            Ok(BufWriter::new(file))
        };
        self.decisions.as_ref().map(create).transpose()
    }

    fn of_file(&self, file: &Path, view: View, now: Timestamp) -> Result<Past, Ending> {
        let service = |path| Records { path, kind: Kind::Service };
        let mut missing = Vec::new();
        let devices = match &self.machines {
            Some(path) => {
                service(path).devices().map_err(|why| Ending::settings(format!("--machines: {why}")))?
            }
            None => {
                missing.push(
                    "without --machines every device counts as unknown, and nothing is done to one that is unknown"
                        .to_owned(),
                );
                HashMap::new()
            }
        };
        show::progress("looking through the file …");
        let found = service(file).find(view, None, now);
        let found = found.map_err(|why| Ending::settings(format!("--file: {why}")))?;
        if found.places.is_empty() && found.unreadable > 0 {
            let why = found.problem.unwrap_or_default();
            return Err(Ending::settings(format!(
                "--file: {} holds no alert as Defender's API gives it: {why}",
                file.display()
            )));
        }
        let (from, to) =
            (found.places.first().map(|first| first.at), found.places.last().map(|last| last.at));
        let source = format!("the file {}", file.display());
        let (path, kind) = (file.to_owned(), Kind::Service);
        Ok(Past { path, kind, source, devices, found, from, to, without_evidence: 0, missing })
    }

    async fn of_tenant(&self, vars: &Vars, view: View, now: Timestamp) -> Result<Past, Ending> {
        let mut problems = Problems::default();
        let connection = Connection::from_vars(vars, None, &mut problems);
        let Some(connection) = connection.filter(|_| problems.is_empty()) else {
            return Err(Ending::Settings(problems.iter().map(str::to_owned).collect()));
        };
        let reader = reader_of(&connection)?;
        let days = SignedDuration::from_hours(24 * i64::from(self.days));
        let to = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let from = to.checked_sub(days).unwrap_or(Timestamp::MIN);
        let order = Order { tenant: connection.tenant.clone(), days: self.days, from, to };
        let path =
            self.keep.clone().unwrap_or_else(|| state_file(vars).with_file_name("cordon-backtest.jsonl"));
        let mut kept = Kept::open(&path, &order, self.fresh).map_err(Ending::settings)?;
        let mut missing = match fetch(&reader, &mut kept).await {
            Ok(missed) => missed,
            Err(error) => stopped(&error, &kept)?,
        };
        if !missing.is_empty() {
            missing.push(format!(
                "what was read is kept in {}: the same command goes on there, and reads only what is missing",
                path.display()
            ));
        }
        let records = Records { path: &path, kind: Kind::Kept };
        let since = (!view.is_as_it_stands()).then_some(kept.order.from);
        let devices = records.devices().map_err(Ending::attention)?;
        let mut found = records.find(view, since, now).map_err(Ending::attention)?;
        found.unreadable += kept.spans.iter().map(|span| span.unreadable).sum::<usize>();
        let read_at = kept.done.map_or_else(|| "not to its end".to_owned(), show::time);
        Ok(Past {
            source: format!("the tenant, read {read_at}; kept in {} (--fresh reads anew)", path.display()),
            devices,
            found,
            from: Some(kept.order.from),
            to: Some(kept.order.to),
            without_evidence: kept.spans.iter().map(|span| span.bare).sum(),
            missing,
            kind: Kind::Kept,
            path,
        })
    }
}

/// Why reading has stopped before its end. With something to judge, that is a sentence of the report; without, or where a
/// setting is at fault, it is the end.
fn stopped(error: &crate::backtest::Stopped, kept: &Kept) -> Result<Vec<String>, Ending> {
    use crate::backtest::Stopped;
    let said = match error {
        Stopped::Service(ApiError::Unauthorized { why, .. }) => {
            return Err(Ending::settings(format!("{}: {why}", refused(why, "DEFENDER_"))));
        }
        Stopped::Service(error @ ApiError::Forbidden(_)) => {
            return Err(Ending::settings(format!(
                "DEFENDER_CLIENT_ID: {error}: the app needs Alert.Read.All and Machine.Read.All (`cordon check`)"
            )));
        }
        Stopped::Service(error) => format!("reading the tenant stopped: {error}"),
        Stopped::File(_) => chain(error),
    };
    if kept.next_devices.is_some() || kept.spans.is_empty() {
        let path = kept.path.display();
        return Err(Ending::attention(format!(
            "{said}; what was read so far is kept in {path}: the same command goes on there"
        )));
    }
    Ok(vec![said])
}

/// The playbook to compare with; what is wrong with it is added to `problems`.
fn read_old(folder: &Path, problems: &mut Problems) -> Option<Playbook> {
    let read = Playbook::read(folder);
    if let Err(found) = &read {
        problems.add_all(&format!("--against `{}`", folder.display()), found.iter());
    }
    read.ok()
}

fn not_written(option: &str, path: &Path, error: &io::Error) -> Ending {
    Ending::settings(format!("{option}: {} cannot be written: {error}", path.display()))
}

fn period(
    past: &Past,
    folder: &Path,
    playbook: &Playbook,
    trial: &Trial<'_>,
    isolated_for: SignedDuration,
    now: Timestamp,
) -> Period {
    let mut missing = past.missing.clone();
    if past.found.unreadable > 0 {
        let why = past.found.problem.as_deref().unwrap_or("they have no usable id");
        missing.push(format!("{} record(s) cannot be read: {}", past.found.unreadable, one_line(why, 200)));
    }
    if past.without_evidence > 0 {
        missing.push(format!(
            "{} alert(s) came without their evidence, which the service could not give",
            past.without_evidence
        ));
    }
    Period {
        made_at: now,
        playbook: folder.display().to_string(),
        digest: playbook.digest().to_owned(),
        source: past.source.clone(),
        view: trial.view.said(),
        mode: trial.mode.as_str(),
        from: past.from,
        to: past.to,
        isolated_for_h: isolated_for.as_secs_f64() / 3_600.0,
        devices: past.devices.len(),
        left_out: past.found.left_out,
        unreadable: past.found.unreadable,
        without_evidence: past.without_evidence,
        missing,
    }
}

/// What comes of the alerts under each playbook: the new one first, then the old one, if there is one.
struct Outcome<'a> {
    simulations: Vec<Simulation<'a>>,
    reports: Vec<Report>,
    changes: Changes,
    decisions: Option<BufWriter<File>>,
}

/// A line of `--decisions`.
#[derive(Serialize)]
struct Decided<'a> {
    id: &'a str,
    device: Option<&'a DeviceId>,
    at: Timestamp,
    answer: &'static str,
    mode: &'static str,
    fate: FateWord,
    permitted_by: &'a [String],
    forbidden_by: &'a [String],
    doubts: &'a [String],
}

impl<'a> Outcome<'a> {
    fn new(
        playbooks: &[&'a Playbook],
        devices: &HashMap<DeviceId, Device>,
        isolated_for: SignedDuration,
        decisions: Option<BufWriter<File>>,
    ) -> Outcome<'a> {
        let is_onboarded = |device: &&Device| device.onboarding == Some(Onboarding::Onboarded);
        let fleet = devices.values().filter(is_onboarded).count() as u64;
        let simulation =
            |playbook: &&'a Playbook| Simulation::new(&playbook.settings.limits, fleet, isolated_for);
        Outcome {
            simulations: playbooks.iter().map(simulation).collect(),
            reports: playbooks.iter().map(|_| Report::default()).collect(),
            changes: Changes::default(),
            decisions,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.decisions.as_mut().map_or(Ok(()), Write::flush)
    }

    /// What the new playbook says otherwise, where there is an old one.
    fn changes(&mut self, folder: Option<&Path>, old: Option<&Playbook>) -> Option<Changes> {
        let (folder, old) = (folder?, old?);
        let mut changes = std::mem::take(&mut self.changes);
        changes.against = folder.display().to_string();
        old.digest().clone_into(&mut changes.digest);
        if let [new, old] = self.reports.as_slice() {
            changes.count(old, new);
        }
        Some(changes)
    }
}

impl Taking for Outcome<'_> {
    fn surroundings(&mut self, device: Option<&DeviceId>, at: Timestamp) -> Vec<Surroundings> {
        self.simulations.iter_mut().map(|simulation| simulation.surroundings(device, at)).collect()
    }

    fn take(&mut self, judged: Judged) -> io::Result<()> {
        let fates: Vec<Fate> = self
            .simulations
            .iter_mut()
            .zip(&judged.verdicts)
            .map(|(simulation, verdict)| simulation.take(&judged, verdict))
            .collect();
        for ((report, verdict), fate) in self.reports.iter_mut().zip(&judged.verdicts).zip(&fates) {
            report.add(&judged, verdict, fate);
        }
        if let ([new, old], [new_fate, old_fate]) = (judged.verdicts.as_slice(), fates.as_slice()) {
            self.changes.add(&judged, (old, old_fate), (new, new_fate));
        }
        if let (Some(file), Some(verdict), Some(fate)) =
            (&mut self.decisions, judged.verdicts.first(), fates.first())
        {
            write_decision(file, &judged, verdict, fate)?;
        }
        Ok(())
    }
}

fn write_decision(to: &mut impl Write, judged: &Judged, verdict: &Verdict, fate: &Fate) -> io::Result<()> {
    let decided = Decided {
        id: judged.id.as_str(),
        device: judged.device.as_ref(),
        at: judged.at,
        answer: verdict.answer.as_str(),
        mode: verdict.mode.as_str(),
        fate: fate.word(),
        permitted_by: &verdict.permitted_by,
        forbidden_by: &verdict.forbidden_by,
        doubts: &verdict.doubts,
    };
    serde_json::to_writer(&mut *to, &decided)?;
    to.write_all(b"\n")
}

fn print_head(period: &Period, report: &Report) {
    let digest: String = period.digest.chars().take(12).collect();
    show::line(&format!("Backtest of the playbook `{}` (digest {digest})", one_line(&period.playbook, 200)));
    if let (Some(from), Some(to)) = (period.from, period.to) {
        show::line(&format!("  period   {} to {}", show::time(from), show::time(to)));
    }
    show::line(&format!("  judged   {}, mode `{}`", period.view, period.mode));
    show::line(&format!("  source   {}", one_line(&period.source, 300)));
    let left_out = match period.left_out {
        0 => String::new(),
        left_out => format!("; {left_out} left out, which were created before the period"),
    };
    show::line(&format!("  alerts   {}, on a list of {} devices{left_out}", report.alerts, period.devices));
    for missing in &period.missing {
        show::line(&format!("  PARTIAL  {}", one_line(missing, 300)));
    }
    show::line("");
}

fn print(report: &Report) {
    let number = |number: usize| number.to_string();
    let fates = FateWord::ALL.map(|fate| {
        let (word, meaning) = fate.meaning();
        [number(report.fate(fate)), word.to_owned(), meaning.to_owned()]
    });
    show::table(["alerts", "would be", ""], &fates);

    let days = ranked_days(report).into_iter().map(|day| {
        let fates =
            [FateWord::Isolated, FateWord::Joined, FateWord::Held, FateWord::Proposed, FateWord::Refused];
        let [isolated, joined, held, proposed, refused] = fates.map(|fate| number(day.fate(fate)));
        [day.day.to_string(), number(day.alerts), isolated, joined, held, proposed, refused]
    });
    let head = ["day (UTC)", "alerts", "isolated", "joined", "held", "proposed", "refused"];
    top("The days with the most isolations", head, days);
    let devices = ranked(report.isolated_devices.values()).into_iter().map(|of| {
        [number(of.isolations), number(of.joined), number(of.held), of.name.clone(), of.device.to_string()]
    });
    top("The devices", ["isolated", "joined", "held", "name", "id"], devices);
    let kinds = |kinds| {
        ranked_kinds(kinds)
            .into_iter()
            .map(|(kind, count): (&str, usize)| [number(count), one_line(kind, 120)])
    };
    top("Which policies permitted", ["alerts", "policy"], kinds(&report.permitted_by));
    top("What policies and guarantees refused", ["alerts", "policy"], kinds(&report.refused_by));
    top("What doubts refused", ["alerts", "doubt"], kinds(&report.doubts));
    let held = ranked(report.held.values()).into_iter();
    let held = held.map(|held| [number(held.alerts), number(held.devices), one_line(&held.gate, 120)]);
    top("What limits and breakers would have held", ["alerts", "devices", "limit"], held);
    let silent = ranked(report.silent.values()).into_iter();
    let silent = silent.map(|silent| [number(silent.alerts), silent.title.clone(), silent.category.clone()]);
    top("What no policy spoke to", ["alerts", "title", "category"], silent);
}

/// The first rows of a table, with a heading; nothing where there is no row.
fn top<const N: usize>(title: &str, head: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let rows: Vec<[String; N]> = rows.collect();
    let Some(shown) = rows.get(..rows.len().min(TOP)).filter(|shown| !shown.is_empty()) else { return };
    show::line("");
    show::line(title);
    show::table(head, shown);
    if rows.len() > TOP {
        show::line(&format!("and {} more: --json or --html", rows.len() - TOP));
    }
}

fn print_changes(changes: &Changes) {
    let digest: String = changes.digest.chars().take(12).collect();
    show::line(&format!("Against `{}` (digest {digest}):", one_line(&changes.against, 200)));
    let rows: Vec<[String; 3]> = changes
        .fates
        .iter()
        .filter(|(_, [old, new])| old + new > 0)
        .map(|(fate, [old, new])| [fate.meaning().0.to_owned(), old.to_string(), new.to_string()])
        .collect();
    show::table(["alerts", "old", "new"], &rows);
    show::line("");
    if changes.alerts.is_empty() {
        show::line("No alert would have been answered otherwise.");
        return;
    }
    show::line(&format!("{} alert(s) would have been answered otherwise:", changes.alerts.len()));
    for change in changes.alerts.iter().take(MOST_CHANGES) {
        show::line(&format!("{}  {}  on {}", change.id, change.title, change.name));
        show::line(&format!("  old  {}", one_line(&change.old.said(), 300)));
        show::line(&format!("  new  {}", one_line(&change.new.said(), 300)));
    }
    if changes.alerts.len() > MOST_CHANGES {
        show::line(&format!("and {} more: --json has all of them", changes.alerts.len() - MOST_CHANGES));
    }
}
