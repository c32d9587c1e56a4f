//! The tables of a report, for the terminal and for the page: what a row says, and in which order rows come. How many of
//! them are shown is for each to say.

use super::{
    report::{Kinds, Report, ranked, ranked_days, ranked_kinds},
    simulate::FateWord,
};
use crate::show;
use model::one_line;

/// A table with a title. Whatever comes from alerts is cleaned of what acts or hides.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) title: &'static str,
    pub(crate) head: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// Those that have a row.
pub(crate) fn tables(report: &Report) -> Vec<Table> {
    let mut tables = vec![
        days(report),
        devices(report),
        kinds("Which policies permitted", "policy", &report.permitted_by),
        kinds("What policies and guarantees refused", "policy", &report.refused_by),
        kinds("What doubts refused", "doubt", &report.doubts),
        held(report),
        silent(report),
    ];
    tables.retain(|table| !table.rows.is_empty());
    tables
}

fn days(report: &Report) -> Table {
    const FATES: [FateWord; 5] =
        [FateWord::Isolated, FateWord::Joined, FateWord::Held, FateWord::Proposed, FateWord::Refused];
    let rows = ranked_days(report).into_iter().map(|day| {
        let [isolated, joined, held, proposed, refused] = FATES.map(|fate| day.fate(fate).to_string());
        [day.day.to_string(), day.alerts.to_string(), isolated, joined, held, proposed, refused]
    });
    let head = ["day (UTC)", "alerts", "isolated", "joined", "held", "proposed", "refused"];
    Table::new("The days with the most isolations", head, rows)
}

fn devices(report: &Report) -> Table {
    let rows = ranked(report.isolated_devices.values()).into_iter().map(|of| {
        let [isolations, joined, held] = [of.isolations, of.joined, of.held].map(|count| count.to_string());
        [isolations, joined, held, of.name.clone(), of.device.to_string()]
    });
    let head = ["isolated", "joined", "held", "name", "id"];
    Table::new("Devices that would have been isolated", head, rows)
}

fn kinds(title: &'static str, what: &'static str, kinds: &Kinds) -> Table {
    let rows = ranked_kinds(kinds).into_iter().map(|(kind, count)| [count.to_string(), one_line(kind, 200)]);
    Table::new(title, ["alerts", what], rows)
}

fn held(report: &Report) -> Table {
    let rows = ranked(report.held.values()).into_iter().map(|held| {
        let [alerts, devices] = [held.alerts, held.devices].map(|count| count.to_string());
        [alerts, devices, show::time(held.first), one_line(&held.gate, 200)]
    });
    let head = ["alerts", "devices", "first", "limit"];
    Table::new("What limits and breakers would have held", head, rows)
}

fn silent(report: &Report) -> Table {
    let rows = ranked(report.silent.values())
        .into_iter()
        .map(|silent| [silent.alerts.to_string(), silent.title.clone(), silent.category.clone()]);
    Table::new("What no policy spoke to", ["alerts", "title", "category"], rows)
}

impl Table {
    pub(crate) fn new<const N: usize>(
        title: &'static str,
        head: [&'static str; N],
        rows: impl Iterator<Item = [String; N]>,
    ) -> Table {
        Table { title, head: head.to_vec(), rows: rows.map(Vec::from).collect() }
    }

    /// The table with its first rows only, and how many are left out.
    pub(crate) fn cut(mut self, most: usize) -> (Table, usize) {
        let left = self.rows.len().saturating_sub(most);
        self.rows.truncate(most);
        (self, left)
    }
}
