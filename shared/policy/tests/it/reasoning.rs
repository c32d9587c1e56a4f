//! What a decision keeps of how it came about: what the policies said before anything stood against it, and what could
//! be seen.

use crate::{SETTINGS, Story, own, shipped_file};
use model::{Answer, Mode};
use policy::{Playbook, Texts};

const TRIED_AND_ASKED: &str = r#"
@id("tried") @reason("tried out") @mode("observe")
permit (principal, action == Action::"isolate", resource);
@id("asked") @reason("asked")
permit (principal, action == Action::"proposeIsolate", resource);
"#;

#[test]
fn what_the_policies_said_stays_known_whatever_came_after() {
    let playbook = own(TRIED_AND_ASKED);
    let clear = Story::new().by(&playbook);
    assert_eq!((clear.answer, clear.reasoning.policies), (Answer::Propose, Some(Answer::Propose)));
    let doubted = Story::new().device(|device| device.tags = None).by(&playbook);
    assert_eq!((doubted.answer, doubted.reasoning.policies), (Answer::Refused, Some(Answer::Propose)));
    assert!(doubted.reasoning.of_lists.is_empty() && doubted.reasoning.of_guarantees.is_empty());
}

#[test]
fn the_mode_of_environment_and_playbook_is_kept_beside_that_of_a_rule_that_is_only_tried_out() {
    let tried = TRIED_AND_ASKED.replace("proposeIsolate", "notify");
    let decision = Story::new().by(&own(&tried));
    assert_eq!((decision.mode, decision.reasoning.mode), (Mode::Observe, Some(Mode::Enforce)));
}

#[test]
fn a_doubt_about_a_list_or_a_guarantee_is_told_from_the_others() {
    let lists = "[[lists]]\nname = \"a\"\nowner = \"o\"\nreview_by = 2026-01-01\ntags = [\"x\"]";
    let everything = "@id(\"all\") @reason(\"all\")\npermit (principal, action, resource);";
    let guarantees = shipped_file("guarantees.cedar");
    let texts = Texts { playbook: SETTINGS, policy: everything, guarantees: &guarantees, assets: lists };
    let playbook = Playbook::parse(&texts).unwrap();
    let decision = Story::new().platform("TempleOS").by(&playbook);
    let reasoning = &decision.reasoning;
    assert_eq!((reasoning.of_lists.len(), reasoning.of_guarantees.len()), (1, 1), "{reasoning:#?}");
    assert_eq!(decision.doubts.len(), 3, "and one about the platform: {:#?}", decision.doubts);
}

#[test]
fn a_user_and_a_device_are_kept_as_the_policies_saw_them_or_as_not_known() {
    let asks = "@id(\"a\") @reason(\"r\")\npermit (principal, action == Action::\"isolate\", resource)\n\
                when { resource has user && resource.user.name == \"ada\" && resource has device && \
                resource.device has group && resource.device.group == \"Clients\" };";
    let playbook = own(asks);
    let inputs = |story: Story| -> Vec<(String, Option<String>)> {
        let inputs = story.by(&playbook).reasoning.inputs;
        inputs.into_iter().map(|input| (input.name, input.value)).collect()
    };
    let said = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
    let shouted = Story::new().alert(|alert| alert.user.as_mut().unwrap().name = "ADA".into());
    let seen = [said("resource.user.name", Some("ada")), said("resource.device.group", Some("Clients"))];
    assert_eq!(inputs(shouted), seen);
    let nobody = Story::new().alert(|alert| alert.user = None).no_device(None);
    assert_eq!(inputs(nobody), [said("resource.user", None), said("resource.device", None)]);
}
