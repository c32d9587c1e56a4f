//! The report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere.
//!
//! Whatever comes from alerts is cleaned of what acts or hides (`model::one_line`) and escaped by the template.

use super::{
    changes::{Change, Changes},
    report::{Period, Report},
    simulate::FateWord,
    tables::{Table, tables},
};
use crate::show;
use askama::Template;
use jiff::civil::Date;
use model::one_line;

/// How many rows a table shows; the JSON has all.
const MOST: usize = 50;

/// The timeline's own measures.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 160.0;

#[derive(Template)]
#[template(path = "backtest.html")]
struct Page {
    about: Vec<(&'static str, String)>,
    missing: Vec<String>,
    fates: Vec<(&'static str, String, usize, &'static str)>,
    bars: Vec<Bar>,
    highest: usize,
    first_day: String,
    last_day: String,
    /// Each with how many of its rows are left out.
    tables: Vec<(Table, usize)>,
}

/// A part of a day's column.
struct Bar {
    kind: &'static str,
    x: String,
    y: String,
    width: String,
    height: String,
    title: String,
}

/// What the timeline shows, from the bottom to the top.
const SHOWN: [(FateWord, &str); 4] = [
    (FateWord::Isolated, "isolate"),
    (FateWord::Proposed, "propose"),
    (FateWord::Held, "held"),
    (FateWord::Refused, "refused"),
];

/// The page; an error is a sentence.
pub(crate) fn html(period: &Period, report: &Report, changes: Option<&Changes>) -> Result<String, String> {
    let (bars, highest) = bars(report);
    let day = |date: Option<&Date>| date.map_or_else(String::new, ToString::to_string);
    let page = Page {
        about: about(period, report, changes),
        missing: period.missing.iter().map(|missing| one_line(missing, 300)).collect(),
        fates: fates(report, changes),
        bars,
        highest,
        first_day: day(report.days.keys().next()),
        last_day: day(report.days.keys().next_back()),
        tables: shown(report, changes),
    };
    page.render().map_err(|error| format!("the page cannot be written: {error}"))
}

fn about(period: &Period, report: &Report, changes: Option<&Changes>) -> Vec<(&'static str, String)> {
    let digest = |digest: &str| digest.chars().take(12).collect::<String>();
    let time = |at: Option<jiff::Timestamp>| at.map_or_else(|| "…".to_owned(), show::time);
    let mut about = vec![
        ("Playbook", format!("{} (digest {})", one_line(&period.playbook, 200), digest(&period.digest))),
        ("Period", format!("{} to {}", time(period.from), time(period.to))),
        ("Judged", period.view.to_owned()),
        ("Mode", period.mode.to_owned()),
        ("Alerts", format!("{}, on a list of {} devices", report.alerts, period.devices)),
        ("Read from", one_line(&period.source, 300)),
        ("Made at", show::time(period.made_at)),
    ];
    if let Some(changes) = changes {
        let old = format!("{} (digest {})", one_line(&changes.against, 200), digest(&changes.digest));
        about.insert(1, ("Compared with", old));
    }
    about
}

fn fates(report: &Report, changes: Option<&Changes>) -> Vec<(&'static str, String, usize, &'static str)> {
    let row = |fate: FateWord| {
        let (word, meaning) = fate.meaning();
        let old = changes.and_then(|changes| changes.fates.get(&fate)).map(|[old, _]| format!("{old} → "));
        (word, old.unwrap_or_default(), report.fate(fate), meaning)
    };
    FateWord::ALL.map(row).into()
}

/// The columns of the timeline, and how many alerts the highest stands for.
fn bars(report: &Report) -> (Vec<Bar>, usize) {
    let shown = |day: &super::report::Day| SHOWN.iter().map(|(fate, _)| day.fate(*fate)).sum::<usize>();
    let most = report.days.values().map(shown).max().unwrap_or_default();
    let (Some(first), Some(last)) = (report.days.keys().next(), report.days.keys().next_back()) else {
        return (Vec::new(), most);
    };
    let index = |date: Date| date.duration_since(*first).as_hours() / 24;
    #[expect(clippy::cast_precision_loss, reason = "places on a page")]
    let (step, unit) = (WIDTH / (index(*last) + 1) as f64, HEIGHT / most.max(1) as f64);
    let mut bars = Vec::new();
    for day in report.days.values() {
        let mut top = HEIGHT;
        for (fate, kind) in SHOWN {
            let count = day.fate(fate);
            #[expect(clippy::cast_precision_loss, reason = "places on a page")]
            let (x, height) = (index(day.day) as f64 * step, count as f64 * unit);
            top -= height;
            if count > 0 {
                bars.push(Bar {
                    kind,
                    x: format!("{x:.2}"),
                    y: format!("{top:.2}"),
                    width: format!("{:.2}", step * 0.9),
                    height: format!("{height:.2}"),
                    title: format!("{}: {count} {}", day.day, fate.meaning().0),
                });
            }
        }
    }
    (bars, most)
}

fn shown(report: &Report, changes: Option<&Changes>) -> Vec<(Table, usize)> {
    changes.and_then(changed).into_iter().chain(tables(report)).map(|table| table.cut(MOST)).collect()
}

/// What a changed playbook answers otherwise; none where that is nothing.
fn changed(changes: &Changes) -> Option<Table> {
    let head = ["alert", "title", "device", "old", "new"];
    let table = Table::new("What changed", head, changes.alerts.iter().map(change));
    (!table.rows.is_empty()).then_some(table)
}

fn change(change: &Change) -> [String; 5] {
    let said = |side: &super::Side| one_line(&side.said(), 300);
    let (old, new) = (said(&change.old), said(&change.new));
    [change.id.to_string(), change.title.clone(), change.name.clone(), old, new]
}
