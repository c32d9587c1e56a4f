//! A worker that dies: at every one of its writes, and in every phase by hand. Whoever comes after it finds the way
//! on, with one isolation, and nobody is told twice or not at all.

use super::watched::{Access, Fate, Watched, handle, responding, tracking};
use super::{accepted, enrich, go_offline, isolated_once, one_alert, outcome, put, respond, take, told};
use model::{Answer, Effect, EffectState, IsolationType, Limits, Mode};
use ports::{Claim, Claims, Disposition, Expect, NewClaim, Permit, QueueName, Wish};
use scenarios::{Scene, Setup, device, minutes, seconds};
use simulator::{Behaviour, Fault, FaultKind};

/// A claim on the first device as somebody left it who is dead now.
pub(crate) async fn left_behind(scene: &Scene, alert: &str, state: EffectState) -> Claim {
    let (state_of, now, device) = (scene.state(), scene.now, device(1));
    let claims = Claims { tenant: &scene.tenant, state: &state_of };
    let new = NewClaim {
        device: device.clone(),
        effect: Effect::Isolate,
        alert: Some(alert.parse().unwrap()),
        order: None,
        isolation_type: IsolationType::Full,
    };
    let claimed = Claim::new(&scene.tenant, None, new, now);
    let claimed = claims.begin(claimed, Expect::Absent, now).await.unwrap();
    if state == EffectState::Claimed {
        return claimed.value;
    }
    let wish = Wish { device: &device, group: None, causes: Vec::new(), fleet: None };
    let quiet = now + minutes(3);
    match claims.ask(&claimed, &wish, &Limits::default(), quiet, Vec::new(), now).await.unwrap() {
        Permit::Given(asked) => asked.value,
        held => panic!("{held:?}"),
    }
}

pub(crate) async fn claimed_by_the_dead(scene: &Scene, alert: &str) {
    left_behind(scene, alert, EffectState::Claimed).await;
}

/// What the dead one's request has led to.
fn asked_by_the_dead(scene: &Scene, claim: &Claim) {
    scene.simulator.with(|world| {
        world.isolate_by_person(device(1).as_str(), "cordon's app");
        let action = world.actions.last_mut().unwrap();
        action.requestor_comment = format!("Isolated by Cordon: alert a, x {}", claim.id.marker());
        action.request_source = "PublicApi".to_owned();
    });
}

#[tokio::test]
async fn a_claim_whose_owner_is_dead_is_taken_over() {
    for alert in ["a", "another"] {
        let mut scene = Scene::new(one_alert()).await;
        left_behind(&scene, alert, EffectState::Claimed).await;
        scene.run_once().await;
        isolated_once(&scene).await;
        let claim = scene.claim(1).await.unwrap();
        assert_eq!((claim.generation, claim.alert.as_ref().unwrap().as_str()), (1, "a"));
        assert_eq!(scene.isolate_calls(), 1);
        scene.end().await;
    }
}

#[tokio::test]
async fn a_request_whose_owner_is_dead_is_found_by_its_mark() {
    for state in [EffectState::Requesting, EffectState::Unknown] {
        let mut scene = Scene::new(one_alert()).await;
        let claim = left_behind(&scene, "a", state).await;
        asked_by_the_dead(&scene, &claim);
        scene.run_once().await;
        isolated_once(&scene).await;
        assert_eq!((scene.isolate_calls(), scene.mails().len()), (0, 2), "{:#?}", scene.subjects());
        assert_eq!(scene.claim(1).await.unwrap().id, claim.id);
        scene.end().await;
    }
}

#[tokio::test]
async fn a_request_whose_owner_died_before_asking_is_made_once_after_the_quiet_time() {
    for state in [EffectState::Requesting, EffectState::Unknown] {
        let mut scene = Scene::new(one_alert()).await;
        let claim = left_behind(&scene, "a", state).await;
        scene.run_once().await;
        scene.settle(seconds(160)).await;
        assert_eq!(scene.isolate_calls(), 0, "{state}: it may be under way");
        scene.settle(minutes(4)).await;
        assert_eq!(scene.isolate_calls(), 1);
        isolated_once(&scene).await;
        assert_ne!(scene.claim(1).await.unwrap().id, claim.id, "another attempt has another mark");
        scene.end().await;
    }
}

#[tokio::test]
async fn a_marked_isolation_of_another_device_is_not_this_ones() {
    let mut scene = Scene::new(one_alert().machine(scenarios::workstation(2))).await;
    let claim = left_behind(&scene, "a", EffectState::Requesting).await;
    asked_by_the_dead(&scene, &claim);
    scene.simulator.with(|world| world.actions[0].machine_id = device(2).to_string());
    scene.run_once().await;
    scene.settle(minutes(10)).await;
    assert_eq!(accepted(&scene, 1), 1, "the device itself is isolated");
    assert!(scene.is_isolated(1));
    scene.end().await;
}

/// How often `respond` writes for an isolation: claim, request, answer, case, announcement.
const WRITES: usize = 5;

#[tokio::test]
async fn a_responder_that_dies_at_any_write_leaves_one_isolation_told_once() {
    let mut counted = 0;
    for number in 1.. {
        let mut done = false;
        for last in [Fate::Fails, Fate::HappensUnheard] {
            let mut scene = Scene::new(one_alert()).await;
            enrich(&mut scene).await;
            let bodies = take(&scene, QueueName::AlertsEnriched).await;
            let mortal = responding(&scene, Watched::mortal(&scene, number, last));
            let answer = handle(&mortal, &bodies[0], scene.now).await;
            done = answer == Disposition::Done;
            put(&scene, QueueName::AlertsEnriched, &bodies).await;
            scene.restart();
            scene.settle(minutes(10)).await;
            isolated_once(&scene).await;
            assert_eq!(scene.isolate_calls(), 1, "write {number}, {last:?}");
            let subjects = scene.subjects();
            assert_eq!(subjects.len(), 2, "write {number}, {last:?}: {subjects:#?}");
            assert_eq!(told(&scene, "isolation requested"), 1, "write {number}, {last:?}");
            assert_eq!(
                outcome(&scene, "a").await.1,
                Some(EffectState::Succeeded),
                "write {number}, {last:?}"
            );
            scene.end().await;
        }
        if done {
            break;
        }
        counted = number;
    }
    assert_eq!(counted, WRITES, "each was tried");
}

/// As above, but for a while nobody takes the message up again, and the isolation ends meanwhile.
#[tokio::test]
async fn a_responder_that_dies_and_is_late_to_come_back_leaves_one_isolation_told_truly() {
    for number in 1..=WRITES {
        for last in [Fate::Fails, Fate::HappensUnheard] {
            let mut scene = Scene::new(one_alert()).await;
            enrich(&mut scene).await;
            let bodies = take(&scene, QueueName::AlertsEnriched).await;
            handle(&responding(&scene, Watched::mortal(&scene, number, last)), &bodies[0], scene.now).await;
            scene.pass(minutes(20));
            scene.restart();
            scene.settle(minutes(10)).await;
            put(&scene, QueueName::AlertsEnriched, &bodies).await;
            scene.settle(minutes(10)).await;
            isolated_once(&scene).await;
            assert_eq!(scene.isolate_calls(), 1, "write {number}, {last:?}");
            assert_eq!(
                outcome(&scene, "a").await.1,
                Some(EffectState::Succeeded),
                "write {number}, {last:?}"
            );
            scene.end().await;
        }
    }
}

#[tokio::test]
async fn a_responder_that_dies_with_a_lost_answer_leaves_one_isolation() {
    for number in 1..=WRITES + 1 {
        for last in [Fate::Fails, Fate::HappensUnheard] {
            let mut scene =
                Scene::new(one_alert().fault(Fault::once("POST isolate", FaultKind::ResetAfter))).await;
            enrich(&mut scene).await;
            let bodies = take(&scene, QueueName::AlertsEnriched).await;
            handle(&responding(&scene, Watched::mortal(&scene, number, last)), &bodies[0], scene.now).await;
            put(&scene, QueueName::AlertsEnriched, &bodies).await;
            scene.restart();
            scene.settle(minutes(10)).await;
            isolated_once(&scene).await;
            assert_eq!(accepted(&scene, 1), 1, "write {number}, {last:?}");
            scene.end().await;
        }
    }
}

#[tokio::test]
async fn a_tracker_that_dies_at_any_write_announces_the_end_once() {
    let mut counted = 0;
    for number in 1..10 {
        let mut died = false;
        for last in [Fate::Fails, Fate::HappensUnheard] {
            let mut scene = Scene::new(one_alert()).await;
            enrich(&mut scene).await;
            respond(&scene).await;
            let mortal = tracking(&scene, Watched::mortal(&scene, number, last));
            for _ in 0..4 {
                scene.pass(seconds(2));
                died |= mortal.run(scene.now).await.is_err();
            }
            scene.restart();
            scene.settle(minutes(10)).await;
            isolated_once(&scene).await;
            let subjects = scene.subjects();
            assert_eq!(subjects.len(), 2, "write {number}, {last:?}: {subjects:#?}");
            scene.end().await;
        }
        counted += usize::from(died);
    }
    assert!(counted >= 3, "it died {counted} times");
}

#[tokio::test]
async fn an_announcement_that_was_lost_is_made_again_under_the_same_id() {
    let mut scene = Scene::new(one_alert()).await;
    enrich(&mut scene).await;
    let enriched = take(&scene, QueueName::AlertsEnriched).await;
    put(&scene, QueueName::AlertsEnriched, &enriched).await;
    respond(&scene).await;
    let lost = take(&scene, QueueName::ActionsTaken).await;
    put(&scene, QueueName::AlertsEnriched, &enriched).await;
    respond(&scene).await;
    let again = take(&scene, QueueName::ActionsTaken).await;
    assert_eq!(lost, again);
    put(&scene, QueueName::ActionsTaken, &[lost, again].concat()).await;
    scene.settle(minutes(5)).await;
    isolated_once(&scene).await;
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (1, 2), "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn a_restart_between_any_two_steps_changes_nothing() {
    let mut scene = Scene::new(one_alert()).await;
    let order = [QueueName::AlertsFound, QueueName::AlertsEnriched, QueueName::ActionsTaken];
    scene.poll().await;
    for queue in order {
        scene.restart();
        scene.host.consume(queue, scene.now).await.unwrap();
    }
    for _ in 0..4 {
        scene.pass(seconds(2));
        scene.restart();
        scene.host.track(scene.now).await.unwrap();
    }
    scene.restart();
    scene.run_once().await;
    isolated_once(&scene).await;
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (1, 2), "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn a_delivery_that_was_never_settled_comes_again_and_finds_what_was_done() {
    let mut scene = Scene::new(one_alert()).await;
    enrich(&mut scene).await;
    let deliveries =
        ports::QueueBackend::receive(&scene.store, QueueName::AlertsEnriched, 10, scene.now).await.unwrap();
    let worker = responding(&scene, Watched::new(&scene, |_: &Access<'_>| Fate::Happens));
    assert_eq!(handle(&worker, &deliveries[0].body, scene.now).await, Disposition::Done);
    scene.pass(minutes(4));
    scene.restart();
    scene.settle(minutes(5)).await;
    isolated_once(&scene).await;
    assert_eq!((scene.isolate_calls(), scene.mails().len()), (1, 2), "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn an_isolation_that_hangs_is_followed_after_a_restart() {
    let mut scene = Scene::new(one_alert()).await;
    go_offline(&scene, 1);
    scene.run_once().await;
    scene.restart();
    scene.settle(minutes(30)).await;
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Pending);
    super::come_online(&scene, 1);
    scene.restart();
    scene.settle(minutes(60)).await;
    isolated_once(&scene).await;
    scene.end().await;
}

#[tokio::test]
async fn an_end_that_was_announced_and_not_recorded_takes_no_other_outcomes_place() {
    let mut scene = Scene::new(one_alert()).await;
    enrich(&mut scene).await;
    respond(&scene).await;
    scene.pass(seconds(5));
    // It announces, and dies before it has written that down.
    tracking(&scene, Watched::mortal(&scene, 2, Fate::Fails)).run(scene.now).await.unwrap();
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Requested);
    scene.simulator.with(|world| {
        let evidence = simulator::Evidence::ip(world.now, "203.0.113.9");
        world.change_alert("a", |alert| {
            alert.evidence.push(evidence);
            alert.severity = "Odd".to_owned();
        });
    });
    enrich(&mut scene).await;
    respond(&scene).await;
    scene.settle(minutes(30)).await;
    isolated_once(&scene).await;
    assert_eq!((scene.mails().len(), told(&scene, "not isolated")), (3, 1), "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn a_request_whose_owner_is_dead_is_told_as_what_it_was_though_it_would_not_be_made_now() {
    let mut scene = Scene::new(one_alert()).await;
    enrich(&mut scene).await;
    let claim = left_behind(&scene, "a", EffectState::Requesting).await;
    asked_by_the_dead(&scene, &claim);
    scene.restart_with(Setup::observing());
    scene.settle(minutes(5)).await;
    isolated_once(&scene).await;
    let decision = scene.case("a").await.last.decision;
    assert_eq!((decision.answer, decision.mode), (Answer::Isolate, Mode::Enforce));
    assert_eq!((scene.mails().len(), told(&scene, "observing")), (2, 0), "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn an_isolation_that_fails_before_its_outcome_was_written_down_is_told_as_failed_and_not_repeated() {
    let mut scene = Scene::new(one_alert()).await;
    scene.simulator.with(|world| world.machine_mut(device(1).as_str()).unwrap().behaviour = Behaviour::Fails);
    enrich(&mut scene).await;
    let bodies = take(&scene, QueueName::AlertsEnriched).await;
    // Claim, request and answer are written, the case is not.
    let mortal = Watched::mortal(&scene, WRITES - 1, Fate::Fails);
    handle(&responding(&scene, mortal), &bodies[0], scene.now).await;
    assert_eq!(scene.claim(1).await.unwrap().state, EffectState::Requested);
    scene.settle(minutes(30)).await;
    assert_eq!((scene.claim(1).await.unwrap().state, scene.mails().len()), (EffectState::Failed, 0));
    put(&scene, QueueName::AlertsEnriched, &bodies).await;
    scene.settle(minutes(5)).await;
    assert_eq!(scene.isolate_calls(), 1);
    assert_eq!((scene.mails().len(), told(&scene, "isolation failed")), (1, 1), "{:#?}", scene.subjects());
    scene.end().await;
}

#[tokio::test]
async fn a_question_whose_announcement_was_lost_is_asked_when_the_message_comes_again() {
    let mut scene = Scene::new(one_alert()).await;
    scene.simulator.with(|world| {
        world.machine_mut(device(1).as_str()).unwrap().os_platform = Some("WindowsServer2022".to_owned());
    });
    enrich(&mut scene).await;
    let bodies = take(&scene, QueueName::AlertsEnriched).await;
    for _ in 0..2 {
        put(&scene, QueueName::AlertsEnriched, &bodies).await;
        respond(&scene).await;
        assert_eq!(take(&scene, QueueName::ActionsTaken).await.len(), 1);
    }
    put(&scene, QueueName::AlertsEnriched, &bodies).await;
    scene.settle(minutes(5)).await;
    assert_eq!(
        (scene.mails().len(), told(&scene, "asks whether to isolate")),
        (1, 1),
        "{:#?}",
        scene.subjects()
    );
    scene.end().await;
}
