//! What goes wrong with a hunt stays with that hunt, and people hear of it once.

use super::{REMOTE_TOOLS, ago, event, hunting, one_event, queries, table, tenant, told};
use scenarios::{Scene, Setup, hours, minutes};
use serde_json::json;
use simulator::{Fault, FaultKind, Table};

const BROKEN: &str = "'where' operator: Failed to resolve column or scalar expression named 'FileNam'";

/// The hunt, and a second one whose query the tenant refuses.
fn one_good_one_broken() -> Setup {
    let second = REMOTE_TOOLS.1.replace("simulated: remote-tools", "simulated: broken");
    Setup::hunting(&[("a-broken-one", &second), REMOTE_TOOLS])
}

#[tokio::test]
async fn a_query_that_the_service_refuses_stops_that_hunt_alone_and_is_told_once() {
    let broken = Table::new("simulated: broken").error(400, BROKEN);
    let mut scene = Scene::with(one_event().table(broken), one_good_one_broken()).await;
    for _ in 0..12 {
        scene.hunt().await;
        scene.pass(minutes(10));
    }
    scene.settle(minutes(5)).await;
    assert!(scene.is_isolated(1), "the good one goes on");
    let row = scene.hunt_row("a-broken-one").await;
    assert!(row.is_broken());
    assert!(row.trouble.unwrap().why.contains("FileNam"));
    assert_eq!(told(&scene, "a-broken-one"), 1, "{:#?}", scene.subjects());
    let of_broken = scene.simulator.journal();
    let asked = of_broken.iter().filter(|entry| entry.body.contains("simulated: broken")).count();
    assert_eq!(asked, 1, "it is not asked again with every run");
    scene.end().await;
}

#[tokio::test]
async fn a_broken_hunt_is_tried_again_when_its_file_has_changed_and_once_a_day() {
    let broken = Table::new("simulated: broken").error(400, BROKEN);
    let mut scene = Scene::with(one_event().table(broken), one_good_one_broken()).await;
    scene.hunt().await;
    let asked = |scene: &Scene| {
        scene.simulator.journal().iter().filter(|entry| entry.body.contains("simulated: broken")).count()
    };
    assert_eq!(asked(&scene), 1);
    scene.pass(hours(25));
    scene.hunt().await;
    assert_eq!(asked(&scene), 2);
    let mended = REMOTE_TOOLS.1.replace("simulated: remote-tools", "simulated: broken | mended");
    scene.simulator.with(|world| world.tables.retain(|table| table.marker != "simulated: broken"));
    scene.restart_with(Setup::hunting(&[("a-broken-one", &mended), REMOTE_TOOLS]));
    scene.pass(minutes(1));
    scene.hunt().await;
    assert_eq!(asked(&scene), 3);
    assert!(!scene.hunt_row("a-broken-one").await.is_broken());
    scene.settle(minutes(5)).await;
    assert_eq!(told(&scene, "a-broken-one"), 1, "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn a_schema_that_gains_reorders_and_retypes_columns_changes_nothing() {
    let other = [
        ("NewColumn", "Object"),
        ("ReportId", "String"),
        ("AccountName", "String"),
        ("DeviceId", "String"),
        ("FileName", "String"),
        ("Timestamp", "DateTime"),
        ("DeviceName", "String"),
    ];
    let mut scene = Scene::with(one_event(), hunting()).await;
    scene.hunt().await;
    let changed =
        other.into_iter().fold(Table::new(super::MARKER), |table, (name, kind)| table.column(name, kind));
    // The same event, whose `ReportId` is a text now; it is known.
    let mut row = event(1, 1);
    row["ReportId"] = json!("1");
    row["NewColumn"] = json!({"a": [1, 2]});
    scene.simulator.with(|world| world.tables[0] = changed.row(ago(5), row));
    scene.pass(minutes(10));
    assert_eq!(scene.hunt().await.announced, 0);
    scene.settle(minutes(5)).await;
    assert!(!scene.hunt_row(REMOTE_TOOLS.0).await.is_broken());
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (1, 2));
    scene.end().await;
}

#[tokio::test]
async fn a_schema_that_lost_a_column_breaks_the_hunt_and_says_which() {
    let mut scene = Scene::with(tenant(1, table()), hunting()).await;
    scene.hunt().await;
    let without = Table::new(super::MARKER).column("Timestamp", "DateTime").column("DeviceName", "String");
    scene.simulator.with(|world| {
        world.tables[0] = without.row(ago(5), json!({"DeviceName": "ws-1.contoso.com"}));
    });
    scene.pass(minutes(10));
    scene.hunt().await;
    scene.settle(minutes(5)).await;
    let row = scene.hunt_row(REMOTE_TOOLS.0).await;
    assert!(row.is_broken());
    let why = row.trouble.unwrap().why;
    assert!(why.contains("DeviceId") && why.contains("ReportId"), "{why}");
    assert_eq!((scene.isolate_calls(), told(&scene, REMOTE_TOOLS.0)), (0, 1), "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn a_hunt_that_does_not_come_to_its_end_is_overdue_once_and_people_hear_why() {
    let mut scene = Scene::with(one_event(), hunting()).await;
    scene.simulator.with(|world| {
        world.faults.push(Fault::once("POST runHuntingQuery", FaultKind::ServerError(500)).always())
    });
    for _ in 0..36 {
        scene.hunt().await;
        scene.pass(minutes(5));
    }
    assert_eq!(told(&scene, "overdue"), 1, "{:#?}", scene.subjects());
    scene.simulator.with(|world| world.faults.clear());
    scene.hunt().await;
    scene.settle(minutes(5)).await;
    assert_eq!(queries(&scene) > 2, scene.is_isolated(1));
    scene.end().await;
}

#[tokio::test]
async fn a_permission_that_is_missing_is_named_and_is_no_broken_query() {
    let mut world = one_event();
    for app in &mut world.apps {
        app.graph_roles.retain(|role| role != "ThreatHunting.Read.All");
    }
    let mut scene = Scene::with(world, hunting()).await;
    scene.hunt().await;
    let row = scene.hunt_row(REMOTE_TOOLS.0).await;
    assert!(!row.is_broken());
    let why = row.trouble.unwrap().why;
    assert!(why.contains("ThreatHunting.Read.All"), "{why}");
    scene.settle(minutes(5)).await;
    scene.end().await;
}
