//! Hunts over the whole pipeline: what they find is found once, and whatever the service does, nothing is lost and no device
//! is cut off that the hunt, the policy and the guarantees do not all allow.

mod exact;
mod found;
mod quotas;
mod told;
mod trouble;

use jiff::{SignedDuration, Timestamp};
use model::{Answer, EffectState};
use ports::CaseRow;
use scenarios::{REMOTE_TOOLS, Scene, Setup, device, noon, workstation};
use serde_json::{Value, json};
use simulator::{Table, World};

/// The words by which the simulated tenant knows the query of [`REMOTE_TOOLS`].
const MARKER: &str = "simulated: remote-tools";

/// The table that [`REMOTE_TOOLS`] is answered from.
fn table() -> Table {
    let columns = [
        ("Timestamp", "DateTime"),
        ("DeviceId", "String"),
        ("DeviceName", "String"),
        ("ReportId", "Int64"),
        ("FileName", "String"),
        ("SHA256", "String"),
        ("ProcessCommandLine", "String"),
        ("AccountName", "String"),
    ];
    columns.into_iter().fold(Table::new(MARKER), |table, (name, kind)| table.column(name, kind))
}

/// What the row of an event on a workstation says beside its time.
fn event(number: u32, report: u32) -> Value {
    json!({
        "DeviceId": device(number).as_str(),
        "DeviceName": format!("ws-{number}.contoso.com"),
        "ReportId": report,
        "FileName": "remoting.exe",
        "SHA256": "ab".repeat(32),
        "ProcessCommandLine": "remoting.exe --unattended",
        "AccountName": "ada",
    })
}

fn ago(minutes: i64) -> Timestamp {
    noon() - SignedDuration::from_mins(minutes)
}

/// A tenant with so many workstations, and these rows.
fn tenant(workstations: u32, table: Table) -> World {
    (1..=workstations)
        .fold(World::new(noon()), |world, number| world.machine(workstation(number)))
        .table(table)
}

/// One event on the first workstation, five minutes ago.
fn one_event() -> World {
    tenant(1, table().row(ago(5), event(1, 1)))
}

/// The shipped playbook in enforce mode, with the one hunt.
fn hunting() -> Setup {
    Setup::hunting(&[REMOTE_TOOLS])
}

/// The hunt with something in its file changed.
fn hunting_with(change: impl FnOnce(&str) -> String) -> Setup {
    let changed = change(REMOTE_TOOLS.1);
    assert_ne!(changed, REMOTE_TOOLS.1, "nothing was changed");
    Setup::hunting(&[(REMOTE_TOOLS.0, &changed)])
}

/// Everything that was made of rows, in the order of their devices.
async fn cases(scene: &Scene) -> Vec<CaseRow> {
    let rows = scene.hunted().await;
    assert!(rows.iter().all(|case| case.last.alert.hunted.is_some()), "{rows:#?}");
    rows
}

/// The one case that came of a hunt.
async fn the_case(scene: &Scene) -> CaseRow {
    let mut all = cases(scene).await;
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

async fn outcome(scene: &Scene) -> (Answer, Option<EffectState>) {
    let last = the_case(scene).await.last;
    (last.decision.answer, last.state)
}

/// How many mails say this in their subject.
fn told(scene: &Scene, words: &str) -> usize {
    scene.subjects().iter().filter(|subject| subject.contains(words)).count()
}

/// How many hunting queries were sent.
fn queries(scene: &Scene) -> usize {
    scene.simulator.count("POST runHuntingQuery") + scene.simulator.count("POST advancedqueries")
}
