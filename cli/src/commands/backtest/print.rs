//! The report of a backtest as lines and tables for a terminal. What is in the tables, `backtest::tables` says.

use crate::{
    backtest::{Changes, FateWord, Period, Report, Table, tables},
    show,
};
use model::one_line;

/// How many rows a table shows; the page has more, the JSON all.
const TOP: usize = 10;

/// How many changed alerts are shown.
const MOST_CHANGES: usize = 50;

pub(super) fn print(period: &Period, report: &Report, changes: Option<&Changes>) {
    print_head(period, report);
    match changes {
        Some(changes) => print_changes(changes),
        None => print_report(report),
    }
}

fn print_head(period: &Period, report: &Report) {
    show::line(&format!(
        "Backtest of the playbook `{}` (digest {})",
        one_line(&period.playbook, 200),
        short(&period.digest)
    ));
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

fn print_report(report: &Report) {
    let fates = FateWord::ALL.map(|fate| {
        let (word, meaning) = fate.meaning();
        [report.fate(fate).to_string(), word.to_owned(), meaning.to_owned()]
    });
    show::table(["alerts", "would be", ""], &fates);
    tables(report).into_iter().for_each(top);
}

/// The first rows of a table, with a heading.
fn top(table: Table) {
    let (table, left) = table.cut(TOP);
    show::line("");
    show::line(table.title);
    show::columns(&table.head, &table.rows);
    if left > 0 {
        show::line(&format!("and {left} more: --json or --html"));
    }
}

fn print_changes(changes: &Changes) {
    let against = one_line(&changes.against, 200);
    show::line(&format!("Against `{against}` (digest {}):", short(&changes.digest)));
    let rows: Vec<[String; 3]> = changes
        .fates
        .iter()
        .filter(|(_, [old, new])| old + new > 0)
        .map(|(fate, [old, new])| [fate.meaning().0.to_owned(), old.to_string(), new.to_string()])
        .collect();
    show::table(["alerts", "old", "new"], &rows);
    show::line("");
    if changes.alerts.is_empty() {
        show::line("No alert would have come out otherwise.");
        return;
    }
    show::line(&format!("{} alert(s) would have come out otherwise:", changes.alerts.len()));
    for change in changes.alerts.iter().take(MOST_CHANGES) {
        show::line(&format!("{}  {}  on {}", change.id, change.title, change.name));
        show::line(&format!("  old  {}", one_line(&change.old.said(), 300)));
        show::line(&format!("  new  {}", one_line(&change.new.said(), 300)));
    }
    if changes.alerts.len() > MOST_CHANGES {
        show::line(&format!("and {} more: --json has all of them", changes.alerts.len() - MOST_CHANGES));
    }
}

fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}
