//! Alerts that cannot be read, in part or at all: decided if anything can be told, set aside if not, and never
//! in the way of their neighbours.

use crate::polling::{
    decided, found,
    meddler::{Changes, meddle},
};
use model::{Answer, EffectState};
use ports::Count;
use scenarios::{Scene, Setup, high, minutes, noon, seconds, workstation};
use serde_json::{Value, json};
use simulator::{World, generate};

/// A High alert on the second workstation, as JSON.
fn record(id: &str) -> Value {
    serde_json::to_value(high(id, 2)).unwrap()
}

fn with(field: &str, value: Value) -> Value {
    let mut record = record("bad");
    record.as_object_mut().unwrap().insert(field.to_owned(), value);
    record
}

fn neighbours() -> World {
    World::new(noon()).machine(workstation(1)).machine(workstation(2)).alert(high("good", 1))
}

async fn run(record: Value) -> Scene {
    let mut scene = Scene::new(neighbours().raw_alert(record)).await;
    scene.run_once().await;
    scene
}

/// The alert was decided as refused for a reason that holds `why`, its neighbour was isolated, somebody was told.
async fn is_refused(record: Value, why: &str) {
    let scene = run(record).await;
    let bad = scene.case("bad").await.last;
    assert_eq!((bad.decision.answer, bad.state), (Answer::Refused, Some(EffectState::Refused)), "{why}");
    let forbids = bad.decision.forbidden_by.iter().map(|note| note.reason.clone());
    let reasons = bad.decision.doubts.iter().cloned().chain(forbids).collect::<Vec<_>>().join("\n");
    assert!(reasons.contains(why), "`{why}` in: {reasons}");
    assert_eq!((scene.is_isolated(1), scene.is_isolated(2)), (true, false), "{why}");
    assert_eq!(scene.mails().len(), 3, "{why}: {:#?}", scene.subjects());
    assert!(scene.mails().iter().any(|mail| mail.contains("bad")), "{why}");
    scene.end().await;
}

/// Nothing about the alert is doubtful: it is isolated like its neighbour.
async fn is_isolated(record: Value, what: &str) {
    let scene = run(record).await;
    assert_eq!((scene.is_isolated(1), scene.is_isolated(2)), (true, true), "{what}");
    scene.end().await;
}

#[tokio::test]
async fn a_sound_record_planted_in_the_same_way_is_isolated() {
    is_isolated(record("bad"), "nothing is wrong").await;
}

#[tokio::test]
async fn an_alert_without_a_usable_machine_id_is_refused() {
    is_refused(with("machineId", Value::Null), "names no device").await;
    is_refused(with("machineId", json!("")), "names no device").await;
    is_refused(with("machineId", json!("ws-2.contoso.com")), "`ws-2.contoso.com` is not a machine id").await;
    is_refused(with("machineId", json!("00000000000000000000000000000000000000g2")), "is not a machine id")
        .await;
    is_refused(with("machineId", json!(2)), "machineId: ").await;
    let mut without = record("bad");
    without.as_object_mut().unwrap().remove("machineId");
    is_refused(without, "names no device").await;
}

#[tokio::test]
async fn an_alert_without_a_severity_that_is_known_is_refused() {
    is_refused(with("severity", Value::Null), "has no severity").await;
    is_refused(with("severity", json!("Critical")), "severity `Critical` is not known").await;
    is_refused(with("severity", json!(4)), "severity: ").await;
}

#[tokio::test]
async fn a_field_of_the_wrong_type_is_named_by_its_path() {
    is_refused(with("evidence", json!("none")), "evidence: ").await;
    is_refused(with("evidence", json!([{"entityType": "File"}, 7])), "evidence[1]: ").await;
    is_refused(with("evidence", json!([{"entityType": "File", "sha1": ["x"]}])), "evidence[0].sha1: ").await;
    is_refused(
        with("evidence", json!([{"entityType": "Process", "processId": "4"}])),
        "evidence[0].processId: ",
    )
    .await;
    is_refused(with("title", json!(["x"])), "title: ").await;
    is_refused(with("status", json!({"value": "New"})), "status: ").await;
    is_refused(with("classification", json!(false)), "classification: ").await;
    is_refused(with("relatedUser", json!("bob")), "relatedUser: ").await;
    is_refused(with("relatedUser", json!({"userName": 5})), "relatedUser.userName: ").await;
    is_refused(with("mitreTechniques", json!(["T1059", 1059])), "mitreTechniques[1]: ").await;
    is_refused(with("alertCreationTime", json!(1_700_000_000)), "alertCreationTime: ").await;
    is_refused(with("lastEventTime", json!("an hour ago")), "lastEventTime: ").await;
}

#[tokio::test]
async fn an_alert_without_its_times_is_refused() {
    is_refused(with("alertCreationTime", Value::Null), "does not say when it was created").await;
    is_refused(with("lastEventTime", Value::Null), "or when its last event was").await;
}

#[tokio::test]
async fn what_does_not_matter_to_the_policy_may_be_missing() {
    for field in
        ["title", "description", "firstEventTime", "evidence", "incidentId", "category", "relatedUser"]
    {
        is_isolated(with(field, Value::Null), field).await;
        let mut without = record("bad");
        without.as_object_mut().unwrap().remove(field);
        is_isolated(without, field).await;
    }
    is_isolated(with("somethingNew", json!([{"nobody": "knows"}])), "an unknown member").await;
}

#[tokio::test]
async fn a_record_without_a_usable_id_is_set_aside_once() {
    let mut without = record("bad");
    without.as_object_mut().unwrap().remove("id");
    for bad in [
        without,
        with("id", Value::Null),
        with("id", json!(7)),
        with("id", json!("")),
        with("id", json!("a b")),
    ] {
        let mut scene = run(bad.clone()).await;
        for _ in 0..3 {
            scene.pass(seconds(60));
            scene.restart();
            scene.run_once().await;
        }
        assert!(scene.is_isolated(1));
        let letters = scene.dead_letters().await;
        assert_eq!(letters.len(), 1, "{bad}: {letters:?}");
        assert!(letters[0].contains("no usable id") && letters[0].contains(".id`"), "{letters:?}");
        scene.end_with_dead_letters().await;
    }
}

#[tokio::test]
async fn a_record_that_was_set_aside_is_counted() {
    let scene = run(with("id", json!(7))).await;
    assert_eq!((scene.count(Count::DeadLetters), found(&scene)), (1, 1));
    scene.end_with_dead_letters().await;
}

/// A scene in which the answers to `GET alerts` are written into. `@HERE@` stands in the bad alert's title.
async fn meddled(from: &str, to: &str) -> Scene {
    meddled_with(vec![("/alerts", from.to_owned(), to.to_owned())]).await
}

async fn meddled_with(changes: Changes) -> Scene {
    let world = neighbours().raw_alert(with("title", json!("@HERE@")));
    // The simulator's own address is not known before it runs: the meddler is told to the scene's next host.
    let mut scene = Scene::new(world).await;
    let url = meddle(&scene.simulator.url(), changes);
    let vars = vec![("DEFENDER_API_URL".to_owned(), url)];
    scene.restart_with(Setup { vars, ..Setup::default() });
    scene
}

#[tokio::test]
async fn a_meddler_who_changes_nothing_changes_nothing() {
    let mut scene = meddled("nothing of this is in it", "").await;
    scene.run_once().await;
    assert_eq!((scene.is_isolated(1), scene.is_isolated(2)), (true, true));
    scene.end().await;
}

#[tokio::test]
async fn half_characters_in_a_title_are_replaced_and_the_alert_is_acted_upon() {
    let mut scene = meddled("@HERE@", r"evil\ud83d name\udc00").await;
    scene.run_once().await;
    assert_eq!((scene.is_isolated(1), scene.is_isolated(2)), (true, true));
    assert_eq!(scene.case("bad").await.last.alert.title, "evil\u{fffd} name\u{fffd}");
    scene.end().await;
}

#[tokio::test]
async fn a_record_that_is_no_object_is_set_aside_once() {
    for stranger in ["5", "null", "\"text\"", "[]", "{}"] {
        let mut scene = meddled("\"value\":[", &format!("\"value\":[{stranger},")).await;
        for _ in 0..3 {
            scene.run_once().await;
            scene.pass(seconds(60));
        }
        assert_eq!((scene.is_isolated(1), scene.is_isolated(2)), (true, true), "{stranger}");
        assert_eq!(scene.dead_letters().await.len(), 1, "{stranger}");
        scene.end_with_dead_letters().await;
    }
}

#[tokio::test]
async fn an_alert_without_a_stamp_is_found_once_and_does_not_stop_the_cursor() {
    let stamp = format!("\"lastUpdateTime\":\"{}\"", noon() - minutes(2));
    let mut scene = meddled(&stamp, "\"lastUpdateTime\":null").await;
    for _ in 0..3 {
        scene.run_once().await;
        scene.pass(seconds(60));
    }
    assert_eq!((scene.is_isolated(1), scene.is_isolated(2)), (true, true));
    assert_eq!((found(&scene), scene.isolate_calls()), (2, 2));
    scene.end().await;
}

#[tokio::test]
async fn a_body_that_is_no_list_fails_the_poll_and_the_next_one_finds_all() {
    for body in ["{\"values\":[", "[[", "\u{feff}{", "{\"value\":{\"value\":["] {
        let mut scene = meddled("{\"@odata.context\"", body).await;
        scene.host.poll(scene.now).await.unwrap_err();
        scene.restart_with(Setup::default());
        scene.pass(seconds(60));
        scene.run_once().await;
        assert_eq!((scene.is_isolated(1), scene.is_isolated(2)), (true, true), "{body}");
        scene.end().await;
    }
}

fn megabytes_of_evidence() -> Value {
    let piece = |number: u32| {
        json!({"entityType": "Process", "fileName": format!("x{number}.exe"), "processId": number,
               "processCommandLine": "A".repeat(120_000)})
    };
    (0..500).map(piece).collect()
}

#[tokio::test]
async fn an_alert_with_megabytes_of_evidence_is_cut_to_fit_and_acted_upon() {
    let scene = run(with("evidence", megabytes_of_evidence())).await;
    assert!(scene.is_isolated(2));
    let case = scene.case("bad").await;
    assert!(case.last.alert.evidence_truncated && !case.last.alert.evidence.is_empty());
    assert_eq!(case.evidence.len(), 500, "what was cut off is still known by its identity");
    scene.end().await;
}

#[tokio::test]
async fn an_over_long_field_of_any_name_is_refused_and_never_stops_the_stream() {
    let long = "x".repeat(300_000);
    let fields = [
        "category",
        "detectionSource",
        "detectorId",
        "determination",
        "computerDnsName",
        "rbacGroupName",
        "threatFamilyName",
        "threatName",
        "incidentId",
        "machineId",
        "severity",
        "status",
        "classification",
    ];
    for field in fields {
        is_refused(with(field, json!(long)), &format!("{field}: ")).await;
    }
    is_refused(with("relatedUser", json!({"userName": long})), "relatedUser.userName: ").await;
    is_refused(with("mitreTechniques", json!([long])), "mitreTechniques[0]: ").await;
    is_refused(with("mitreTechniques", json!(vec!["T1059.001"; 50_000])), "mitreTechniques: ").await;
}

#[tokio::test]
async fn over_long_text_that_people_read_is_cut() {
    let long = "x".repeat(300_000);
    for field in ["title", "description"] {
        is_isolated(with(field, json!(long)), field).await;
    }
}

#[tokio::test]
async fn a_hostile_tenant_stops_nothing_and_every_alert_is_decided() {
    let options = generate::GenerateOptions {
        alerts: 300,
        devices: 60,
        hostile: true,
        spread: minutes(60),
        ..generate::GenerateOptions::new(noon())
    };
    let world = World::new(noon()).generated(generate::tenant(5, &options)).without_quotas();
    let setup = Setup { lookback: minutes(120), ..Setup::without_limits() };
    let mut scene = Scene::with(world, setup).await;
    scene.poll().await;
    scene.settle(minutes(10)).await;
    assert_eq!((found(&scene), decided(&scene)), (300, 300));
    assert!(scene.isolate_calls() > 10, "{}", scene.isolate_calls());
    scene.end().await;
}
