//! Devices whose records cannot be read, or are not there: refused with a reason, and a person is told.

use crate::polling::found;
use model::{Answer, EffectState};
use scenarios::{Scene, Setup, device, high, noon, workstation};
use serde_json::{Value, json};
use simulator::World;

/// Two High alerts: `good` on a workstation, `bad` on a device whose record is this one.
async fn with_device(record: Option<Value>) -> Scene {
    let mut world = World::new(noon()).machine(workstation(1)).alert(high("good", 1)).alert(high("bad", 2));
    if let Some(record) = record {
        world = world.raw_machine(record);
    }
    let mut scene = Scene::new(world).await;
    scene.run_once().await;
    scene
}

/// The device was not touched, for a reason that names `field`, its neighbour was, and somebody was told.
async fn is_refused(scene: Scene, field: &str) {
    let bad = scene.case("bad").await.last;
    assert_eq!((bad.decision.answer, bad.state), (Answer::Refused, Some(EffectState::Refused)), "{field}");
    let doubts = bad.decision.doubts.join("\n");
    assert!(doubts.contains(field), "{field} in {doubts}");
    assert_eq!((scene.is_isolated(1), scene.is_isolated(2)), (true, false), "{field}");
    assert_eq!(scene.mails().len(), 3, "{field}: {:#?}", scene.subjects());
    scene.end().await;
}

fn record(field: &str, value: Value) -> Option<Value> {
    let mut record = serde_json::to_value(workstation(2)).unwrap();
    record.as_object_mut().unwrap().insert(field.to_owned(), value);
    Some(record)
}

#[tokio::test]
async fn a_sound_record_planted_in_the_same_way_is_isolated() {
    let scene = with_device(record("lastIpAddress", Value::Null)).await;
    assert_eq!((scene.is_isolated(1), scene.isolate_calls()), (true, 2));
    scene.end().await;
}

#[tokio::test]
async fn a_device_that_the_service_does_not_know_is_refused() {
    is_refused(with_device(None).await, &format!("the service does not know the device {}", device(2))).await;
}

#[tokio::test]
async fn a_device_record_with_a_wrong_type_is_refused_by_the_fields_name() {
    let wrong = [
        ("osPlatform", json!(11)),
        ("machineTags", json!("cordon-exclude")),
        ("machineTags", json!(["cordon-exclude", 5])),
        ("onboardingStatus", json!(["Onboarded"])),
        ("lastSeen", json!("yesterday")),
        ("healthStatus", json!({"status": "Active"})),
        ("rbacGroupName", json!(140)),
    ];
    for (field, value) in wrong {
        is_refused(with_device(record(field, value)).await, field).await;
    }
}

#[tokio::test]
async fn a_device_record_without_its_id_or_with_another_is_not_acted_upon() {
    for id in [Value::Null, json!(2), json!(workstation(3).id)] {
        is_refused(with_device(record("id", id)).await, "the device").await;
    }
}

#[tokio::test]
async fn a_bad_record_in_the_device_list_leaves_its_neighbours_alone() {
    // More than a few devices at once are read as a list.
    let mut world = World::new(noon());
    for number in 1..=12 {
        world = world.machine(workstation(number)).alert(high(&format!("a{number}"), number));
    }
    let world =
        world.raw_machine(json!(7)).raw_machine(json!({"id": 7})).raw_machine(json!({"id": "not-hex"}));
    let mut scene = Scene::with(world, Setup::without_limits()).await;
    scene.run_once().await;
    assert_eq!((found(&scene), scene.isolate_calls()), (12, 12));
    assert_eq!(scene.simulator.count("GET machines"), 1);
    scene.end().await;
}

#[tokio::test]
async fn a_device_with_more_tags_than_fit_into_a_message_is_refused() {
    let tags: Vec<String> = (0..8_000).map(|number| format!("{number:032}")).collect();
    is_refused(with_device(record("machineTags", json!(tags))).await, "machineTags").await;
}
