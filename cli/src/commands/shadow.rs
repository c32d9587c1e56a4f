//! `cordon shadow`: where what Cordon would have done while it only observed and what people did in Defender differ.
//!
//! It reads the state and the tenant, and changes nothing in either. Who was right it does not say: that is in what people
//! have said of the alerts.

mod compare;
mod read;

use crate::{Ending, Reporting, clock, commands::check, desk::At, show};
use clap::Args;
use compare::{Both, Cause, Decided, Isolation, OnlyCordon, OnlyPeople, Opinion, Shadow, Wish, compare};
use credentials::{Connection, Problems};
use jiff::{SignedDuration, Timestamp};
use model::{Classification, DeviceId, one_line};
use serde::Serialize;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon shadow
  cordon shadow --days 30 --json
  cordon shadow --stack cordon

Compared is what Cordon would have isolated, had it not only observed, with the isolations in the tenant that are not its
own; what lies within 24 hours belongs together. With --stack the state is the stack's, and the tenant is asked by the
DEFENDER_… settings here: the app that reads is enough, and at most half of its quota is used. It ends with 1 where not
everything could be read.")]
pub(crate) struct ShadowCommand {
    /// How many days back
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=180))]
    days: u16,
    #[command(flatten)]
    reporting: Reporting,
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    shadow: Shadow,
    /// What could not be read, a sentence each.
    partial: Vec<String>,
}

impl ShadowCommand {
    pub(crate) async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let connection = connection(at)?;
        let desk = at.look().await?;
        let reader = check::reader_of(&connection)?;
        let now = clock::now();
        let from = now.checked_sub(SignedDuration::from_hours(24 * i64::from(self.days))).unwrap_or(now);
        let (read, partial) = Box::pin(read::read(&desk, &reader, from, now)).await?;
        let mut shadow = compare(&read, from, now);
        for one in &mut shadow.only_people {
            one.device_name = desk.device(&one.device, now).await?.and_then(|row| row.device.name);
        }
        let report = Report { shadow, partial };
        if self.reporting.json {
            show::json(&report);
        } else {
            print(&report.shadow);
        }
        Ok(Ending::of(report.partial))
    }
}

/// The tenant as the settings here reach it.
fn connection(at: &At<'_>) -> Result<Connection, Ending> {
    let mut problems = Problems::default();
    let connection = Connection::from_vars(at.vars, None, &mut problems);
    let mut sentences: Vec<String> = problems.iter().map(str::to_owned).collect();
    if at.stack.is_some() && !sentences.is_empty() {
        sentences.push(
            "the stack keeps its secrets to itself: the tenant is asked by the settings here".to_owned(),
        );
    }
    connection.filter(|_| sentences.is_empty()).ok_or(Ending::Settings(sentences))
}

fn print(shadow: &Shadow) {
    let counts = &shadow.counts;
    show::line(&format!("{} to {}", show::time(shadow.from), show::time(shadow.to)));
    show::line(&format!(
        "{} isolated by both, {} only by Cordon ({} wrong by what people say), {} only by people, {} not yet to tell; \
         {} proposal(s), which count as neither",
        counts.both, counts.only_cordon, counts.wrong, counts.only_people, counts.not_yet, counts.proposals
    ));
    let only_cordon: Vec<_> = shadow.only_cordon.iter().map(only_cordon).collect();
    let head = ["device", "would have been at", "people say", "alert", "title", "policies"];
    titled("Only Cordon would have isolated; nobody did within 24 h:", head, &only_cordon);
    let only_people: Vec<_> = shadow.only_people.iter().flat_map(only_people).collect();
    let head = ["device", "isolated at", "by", "Cordon decided", "against it", "alert"];
    titled("Only people isolated; Cordon had not wanted to in the 24 h before:", head, &only_people);
    let both: Vec<_> = shadow.both.iter().map(both).collect();
    let head = ["device", "would have been at", "people", "by", "alert"];
    titled("Both:", head, &both);
    let not_yet: Vec<_> = shadow.not_yet.iter().map(not_yet).collect();
    let head = ["device", "would have been at", "alert", "title"];
    titled("Not yet to tell; nobody has isolated it so far:", head, &not_yet);
}

fn titled<const N: usize>(title: &str, head: [&str; N], rows: &[[String; N]]) {
    if !rows.is_empty() {
        show::line("");
        show::line(title);
        show::table(head, rows);
    }
}

fn name(name: Option<&String>, device: &DeviceId) -> String {
    name.map_or_else(|| device.to_string(), |name| one_line(name, 40))
}

fn wished(wish: &Wish) -> (String, String) {
    (name(wish.device_name.as_ref(), &wish.device), minute(wish.at))
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// The first alert, by its id and its title, and how many there are beside it.
fn cause(wish: &Wish) -> (String, String) {
    let others = match wish.alerts.len().saturating_sub(1) {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    let of = |cause: &Cause| (format!("{}{others}", cause.alert), one_line(&cause.title, 50));
    wish.alerts.first().map(of).unwrap_or_default()
}

fn only_cordon(one: &OnlyCordon) -> [String; 6] {
    let ((device, at), (alert, title)) = (wished(&one.wish), cause(&one.wish));
    let policies = one_line(&one.wish.policies.join(", "), 60);
    [device, at, people_say(one), alert, title, policies]
}

fn people_say(one: &OnlyCordon) -> String {
    let said = one.wish.alerts.iter().filter_map(|cause| cause.now.as_ref());
    let wrong = |found: &Classification| {
        matches!(found, Classification::FalsePositive | Classification::InformationalExpectedActivity)
    };
    match one.people_say {
        Opinion::Wrong => {
            let word = said.filter_map(|now| now.classification.as_ref()).find(|found| wrong(found));
            word.map_or("wrong".to_owned(), |found| found.as_str().to_owned())
        }
        Opinion::Confirmed => Classification::TruePositive.as_str().to_owned(),
        Opinion::Nothing => {
            let status = said.filter_map(|now| now.status.as_ref()).next();
            status.map_or("not found".to_owned(), |status| {
                format!("nothing ({})", one_line(status.as_str(), 20))
            })
        }
    }
}

/// A line for each alert that Cordon had judged; one where there was none.
fn only_people(one: &OnlyPeople) -> Vec<[String; 6]> {
    let device = name(one.device_name.as_ref(), &one.device);
    let row = |decided: String, against: String, alert: String| {
        [device.clone(), minute(one.people.at), by(&one.people), decided, against, alert]
    };
    if one.decided.is_empty() {
        return vec![row("no alert of it".to_owned(), String::new(), String::new())];
    }
    let rows = one.decided.iter();
    rows.map(|it| row(it.decided.answer.as_str().to_owned(), against(&it.decided), it.alert.to_string()))
        .collect()
}

/// The policies against it, or the doubts where there were none.
fn against(decided: &Decided) -> String {
    let all = if decided.against.is_empty() { decided.doubts.join("; ") } else { decided.against.join(", ") };
    one_line(&all, 80)
}

fn by(people: &Isolation) -> String {
    one_line(people.by.as_deref().unwrap_or("not said"), 40)
}

fn both(one: &Both) -> [String; 5] {
    let ((device, at), (alert, _)) = (wished(&one.wish), cause(&one.wish));
    let span = show::span(SignedDuration::from_secs(one.later_seconds.abs()));
    let word = if one.later_seconds < 0 { "earlier" } else { "later" };
    [device, at, format!("{span} {word}"), by(&one.people), alert]
}

fn not_yet(wish: &Wish) -> [String; 4] {
    let ((device, at), (alert, title)) = (wished(wish), cause(wish));
    [device, at, alert, title]
}
