//! `cordon backtest`: what the playbook would have done with alerts of the past.
//!
//! Here is what is asked for, and in which order it is done; judging and counting stand in `backtest`. It changes nothing
//! anywhere but the files that it names.

mod outcome;
mod print;
mod source;
mod written;

use crate::{
    Ending, Reporting,
    backtest::{Changes, Period, Records, Report, Trial, View, html},
    clock,
    desk::At,
    settings::{playbook_folder, read_playbook, state_file},
    show,
};
use clap::{Args, ValueEnum};
use credentials::{Problems, Vars};
use jiff::{SignedDuration, Timestamp};
use model::{Mode, one_line};
use outcome::Outcome;
use policy::Playbook;
use print::print;
use serde::Serialize;
use source::Past;
use std::path::{Path, PathBuf};
use written::{Written, refuse_one_file_for_two};

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
--file reads alerts as Defender's API gives them: one JSON record a line, or {\"value\": […]}; --machines likewise.

With --against, both playbooks judge an alert at the same moment: one poll after its creation by the interval of the new
one. What --html and --decisions name is replaced when all of it is written.")]
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
        let (playbook, old) = self.playbooks(&folder)?;
        self.refuse_to_overwrite(at.vars)?;
        // What cannot be written is found before hours are spent on reading.
        let decisions = create("--decisions", self.decisions.as_deref())?;
        let page = create("--html", self.html.as_deref())?;
        let interval = playbook.settings.poll.interval;
        let view = if self.as_it_stands { View::AsItStands } else { View::AsNew { interval } };
        let past = match &self.file {
            Some(file) => self.of_file(file, view, now)?,
            None => Box::pin(self.of_tenant(at.vars, view, now)).await?,
        };
        let playbooks: Vec<&Playbook> = [Some(&playbook), old.as_ref()].into_iter().flatten().collect();
        let mode = if self.mode == JudgedIn::Observe { Mode::Observe } else { Mode::Enforce };
        let trial = Trial { playbooks: &playbooks, devices: &past.devices, view, mode };
        let mut outcome = Outcome::new(&playbooks, &past.devices, self.isolated_for, decisions);
        judge(&trial, &past, &mut outcome)?;

        let changes = outcome.changes(self.against.as_deref(), old.as_ref());
        let Some(report) = outcome.reports.first() else {
            return Err(Ending::attention("nothing was judged"));
        };
        let period = period(&past, &folder, &playbook, &trial, self.isolated_for, now);
        self.tell(&period, report, changes.as_ref(), page)?;
        Ok(Ending::of(period.missing))
    }

    /// The playbook, and the old one where there is one.
    fn playbooks(&self, folder: &Path) -> Result<(Playbook, Option<Playbook>), Ending> {
        let mut problems = Problems::default();
        let playbook = read_playbook(folder, &mut problems);
        let old = self.against.as_deref().and_then(|folder| read_old(folder, &mut problems));
        let playbook = playbook.filter(|_| problems.is_empty());
        let settings = || Ending::Settings(problems.iter().map(str::to_owned).collect());
        Ok((playbook.ok_or_else(settings)?, old))
    }

    /// What is read is not written over, nor one thing over another.
    fn refuse_to_overwrite(&self, vars: &Vars) -> Result<(), Ending> {
        let (state, kept) = (state_file(vars), self.kept_file(vars));
        let given = [
            ("--file", self.file.as_deref()),
            ("--machines", self.machines.as_deref()),
            ("--keep", Some(kept.as_path())),
            ("the state", Some(state.as_path())),
        ];
        let written = [("--decisions", self.decisions.as_deref()), ("--html", self.html.as_deref())];
        let named = |(option, path): (&'static str, Option<_>)| path.map(|path| (option, path));
        let read: Vec<(&str, &Path)> = given.into_iter().filter_map(named).collect();
        let written: Vec<(&str, &Path)> = written.into_iter().filter_map(named).collect();
        refuse_one_file_for_two(&read, &written)
    }

    fn tell(
        &self,
        period: &Period,
        report: &Report,
        changes: Option<&Changes>,
        page: Option<Written>,
    ) -> Result<(), Ending> {
        if let Some(page) = page {
            page.fill(&html(period, report, changes).map_err(Ending::attention)?)?;
        }
        if self.reporting.json {
            show::json(&Printed { period, report, changes });
            return Ok(());
        }
        print(period, report, changes);
        if let Some(path) = &self.html {
            show::line(&format!("The page: {}", path.display()));
        }
        Ok(())
    }
}

fn create(option: &'static str, path: Option<&Path>) -> Result<Option<Written>, Ending> {
    path.map(|path| Written::create(option, path)).transpose()
}

/// Judges all of them.
fn judge(trial: &Trial<'_>, past: &Past, outcome: &mut Outcome<'_>) -> Result<(), Ending> {
    show::progress(&format!("judging {} alerts …", past.found.places.len()));
    let records = Records { path: &past.path, kind: past.kind };
    let judged = trial.run(records, &past.found.places, outcome);
    show::progress("");
    judged.map_err(|error| Ending::attention(format!("the alerts could not be judged: {error}")))?;
    outcome.finish()
}

/// The playbook to compare with; what is wrong with it is added to `problems`.
fn read_old(folder: &Path, problems: &mut Problems) -> Option<Playbook> {
    let read = Playbook::read(folder);
    if let Err(found) = &read {
        problems.add_all(&format!("--against `{}`", folder.display()), found.iter());
    }
    read.ok()
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
