//! What a playbook says, told by the whole pipeline: the second gate, rules that ask for Cordon's own state, and a
//! rule that is only tried out.

use jiff::Timestamp;
use model::{Answer, EffectState, Mode, Side};
use ports::{Brakes, Expect, Write};
use scenarios::{Scene, Setup, device, high, minutes, noon, seconds, workstation};
use simulator::World;

/// A High alert on a workstation, created at this time.
fn high_at(id: &str, number: u32, at: Timestamp) -> simulator::Alert {
    simulator::Alert::new(id, device(number).as_str(), at).on(&workstation(number))
}

/// The shipped policy without one of its rules.
fn without(policy: &str, id: &str) -> String {
    let (before, rest) = policy.split_once(&format!("@id(\"{id}\")")).unwrap();
    let (_, after) = rest.split_once(";\n").unwrap();
    format!("{before}{after}")
}

#[tokio::test]
async fn what_a_policy_with_a_hole_permits_is_refused_by_the_guarantee_and_told() {
    let setup = Setup::ruled(|policy| without(policy, "server-needs-a-person"));
    let mut server = workstation(1);
    server.os_platform = Some("WindowsServer2022".to_owned());
    let mut scene = Scene::with(World::new(noon()).machine(server).alert(high("a", 1)), setup).await;
    scene.run_once().await;
    assert_eq!((scene.isolate_calls(), scene.is_isolated(1)), (0, false));
    let last = scene.case("a").await.last;
    assert_eq!((last.decision.answer, last.state), (Answer::Refused, Some(EffectState::Refused)));
    assert_eq!(last.decision.forbidden_by[0].id, "only-known-workstations");
    let spoke = &last.decision.reasoning.spoke;
    assert!(
        spoke.iter().any(|spoke| spoke.side == Side::Guarantee && spoke.action == "isolate"),
        "{spoke:?}"
    );
    let mail = scene.mails().concat();
    assert!(
        mail.contains("only a device that is known to be a workstation"),
        "people read the guarantee: {mail}"
    );
    scene.end().await;
}

/// A rule that keeps Cordon from acting by itself more than twice in an hour, and refuses where that is not known.
const NOT_A_THIRD: &str = r#"
@id("third-in-an-hour")
@reason("two devices were isolated within the hour")
forbid (principal, action in Action::"cutOff", resource)
unless { context has isolationsLastHour && context.isolationsLastHour < 2 };
@id("ask-third")
@reason("two devices were isolated within the hour")
permit (principal, action == Action::"proposeIsolate", resource)
unless { context has isolationsLastHour && context.isolationsLastHour < 2 };
"#;

#[tokio::test]
async fn a_policy_can_ask_how_many_devices_were_isolated_within_the_hour() {
    let mut world = World::new(noon());
    for number in 1..=4 {
        world = world.machine(workstation(number));
    }
    let setup = Setup::ruled(|policy| format!("{policy}{NOT_A_THIRD}"));
    let mut scene = Scene::with(world.alert(high("a", 1)).alert(high("b", 2)), setup).await;
    scene.run_once().await;
    assert_eq!(scene.isolate_calls(), 2);

    scene.pass(seconds(60));
    scene.simulator.with(|world| world.alerts.push(high_at("c", 3, world.now)));
    scene.run_once().await;
    assert_eq!((scene.isolate_calls(), scene.is_isolated(3)), (2, false));
    assert_eq!(scene.case("c").await.last.state, Some(EffectState::Proposed));

    scene.settle(minutes(10)).await;
    scene.pass(minutes(90));
    scene.simulator.with(|world| world.alerts.push(high_at("d", 4, world.now)));
    scene.run_once().await;
    assert!(scene.is_isolated(4), "an hour later there is room again");
    scene.end().await;
}

#[tokio::test]
async fn a_count_that_cannot_be_read_is_absent_and_the_rule_that_asks_for_it_refuses() {
    let setup = Setup::ruled(|policy| format!("{policy}{NOT_A_THIRD}"));
    let mut scene = Scene::with(World::new(noon()).machine(workstation(1)).alert(high("a", 1)), setup).await;
    let key = Brakes::key(&scene.tenant);
    let spoilt = Write::Put { key, value: b"{\"pause\":".to_vec(), expect: Expect::Any, expires: None };
    scene.state().commit(&[spoilt], scene.now).await.unwrap();
    scene.run_once().await;
    assert_eq!(scene.isolate_calls(), 0);
    let decision = scene.case("a").await.last.decision;
    assert_eq!(
        (decision.answer, decision.forbidden_by[0].id.as_str()),
        (Answer::Propose, "third-in-an-hour")
    );
    let input = decision.reasoning.inputs.iter().find(|input| input.name == "context.isolationsLastHour");
    assert_eq!(
        input.map(|input| (input.value.as_deref(), input.source.as_str())),
        Some((None, "Cordon's state"))
    );
    scene.end().await;
}

#[tokio::test]
async fn a_policy_can_ask_whether_the_device_is_isolated_already() {
    let quiet = r#"
@id("isolated-already")
@reason("the device is isolated already: nobody is asked once more")
forbid (principal, action in Action::"propose", resource)
when { context has openIsolation && context.openIsolation };
"#;
    let setup = Setup::ruled(|policy| format!("{policy}{quiet}"));
    let mut scene = Scene::with(World::new(noon()).machine(workstation(1)).alert(high("a", 1)), setup).await;
    scene.run_once().await;
    scene.settle(minutes(10)).await;
    scene.pass(seconds(60));
    scene.simulator.with(|world| world.alerts.push(high_at("b", 1, world.now).severity("Medium")));
    scene.run_once().await;
    let decision = scene.case("b").await.last.decision;
    assert_eq!(
        (decision.answer, decision.forbidden_by[0].id.as_str()),
        (Answer::Refused, "isolated-already")
    );
    scene.end().await;
}

#[tokio::test]
async fn a_rule_that_is_only_tried_out_tells_what_it_would_have_done_while_the_others_act() {
    let tried = r#"
@id("isolate-medium")
@reason("tried out: the alert is Medium")
@mode("observe")
permit (principal, action == Action::"isolate", resource)
when { resource.severity == "Medium" };
"#;
    let setup = Setup::ruled(|policy| format!("{}{tried}", without(policy, "propose-medium")));
    let world = World::new(noon()).machine(workstation(1)).machine(workstation(2));
    let mut scene =
        Scene::with(world.alert(high("a", 1)).alert(high("b", 2).severity("Medium")), setup).await;
    scene.run_once().await;
    assert_eq!((scene.is_isolated(1), scene.is_isolated(2), scene.isolate_calls()), (true, false, 1));
    let last = scene.case("b").await.last;
    assert_eq!((last.decision.answer, last.decision.mode), (Answer::Isolate, Mode::Observe));
    assert_eq!(last.state, Some(EffectState::Observed));
    assert!(scene.mails().concat().contains("tried out"), "people read what it would have done");
    scene.end().await;
}

#[tokio::test]
async fn the_heaviest_alert_on_the_heaviest_device_is_decided_under_a_policy_that_asks_for_everything() {
    let wide = "\u{1d11e}".repeat(480);
    let asks = r#"
@id("asks-for-everything")
@reason("it asks for everything that can be long")
forbid (principal, action == Action::"notify", resource)
when {
    resource.title == "x" && resource.users.contains("x") && resource.usersListed.contains("x") &&
    resource.techniques.contains("x") && resource.evidence.fileNames.contains("x") &&
    resource.evidence.urls.contains("x") && resource.evidence.addresses.contains("x") &&
    resource.evidence.sha1.contains("x") && resource.evidence.sha256.contains("x") &&
    resource has category && resource.category == "x" && resource has threatFamily && resource.threatFamily == "x" &&
    resource has threatName && resource.threatName == "x" && resource has incident && resource.incident == "x" &&
    resource has detector && resource.detector == "x" && resource has user && resource.user.name == "x" &&
    resource has device && resource.device has name && resource.device.name == "x" &&
    resource.device has osVersion && resource.device.osVersion == "x" &&
    resource.device has group && resource.device.group == "x" && resource.device has value && resource.device.value == "x" &&
    resource.device has health && resource.device.health == "x" && resource.device has risk && resource.device.risk == "x" &&
    resource.device has exposure && resource.device.exposure == "x"
};
"#;
    let mut machine = workstation(1);
    machine.machine_tags = (0..9).map(|number| format!("{number}{wide}")).collect();
    for field in [
        &mut machine.computer_dns_name,
        &mut machine.version,
        &mut machine.rbac_group_name,
        &mut machine.risk_score,
        &mut machine.exposure_level,
        &mut machine.device_value,
        &mut machine.last_ip_address,
    ] {
        *field = Some(wide.clone());
    }
    let mut alert = high("a", 1).title(wide.repeat(20));
    alert.description = wide.repeat(20);
    (alert.threat_name, alert.threat_family_name) = (Some(wide.clone()), Some(wide.clone()));
    alert.evidence = (0..400)
        .map(|number| simulator::Evidence::url(noon(), format!("https://{number}.example.com/{wide}")))
        .collect();
    let setup = Setup::ruled(|policy| format!("{policy}{asks}"));
    let mut scene = Scene::with(World::new(noon()).machine(machine).alert(alert), setup).await;
    scene.run_once().await;
    assert!(scene.is_isolated(1), "{:#?}", scene.case("a").await.last.notes);
    let last = scene.case("a").await.last;
    let message = serde_json::to_string(&last).unwrap();
    assert!(message.len() > 150_000 && message.len() < 190_000, "{}", message.len());
    scene.end().await;
}
