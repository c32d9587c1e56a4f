//! Policies that err, that never apply, that never take effect, and that could be left out.

use crate::{playbook, prove, told};
use prover::{Finding, Proof};

const HIGH: &str = r#"@id("isolate-high") @reason("the alert is High")
permit (principal, action == Action::"isolate", resource) when { resource.severity == "High" };
"#;

/// The proof of a policy without guarantees.
fn of(policy: &str) -> Proof {
    prove(&playbook(policy, ""))
}

/// Kind and policy of everything that was found.
fn kinds(proof: &Proof) -> Vec<(&'static str, &str)> {
    proof
        .findings
        .iter()
        .map(|finding| match finding {
            Finding::Violated { guarantee, .. } => ("violated", guarantee.id.as_str()),
            Finding::Errs { policy, .. } => ("errs", policy.id.as_str()),
            Finding::Dead { policy } => ("dead", policy.id.as_str()),
            Finding::Shadowed { policy } => ("shadowed", policy.id.as_str()),
            Finding::Open { claim, .. } => ("open", claim.as_str()),
        })
        .collect()
}

fn spare(proof: &Proof) -> Vec<&str> {
    proof.spare.iter().map(|spare| spare.policy.id.as_str()).collect()
}

#[test]
fn a_policy_that_can_overflow_is_shown_with_what_makes_it() {
    let proof = of(&format!(
        r#"{HIGH}
        @id("busy") @reason("too many")
        forbid (principal, action == Action::"isolate", resource)
        when {{ context has isolationsLastHour && context.isolationsLastHour + 9223372036854775800 > 10 }};
        @id("forever") @reason("a duration with too many digits")
        forbid (principal, action == Action::"proposeIsolate", resource)
        when {{ resource has created && resource.created.offset(duration("106751991167d")) < context.now }};"#
    ));
    assert_eq!(kinds(&proof), [("errs", "busy"), ("errs", "forever")], "{}", told(&proof));
    let [
        Finding::Errs { error: Some(error), example, disagreement: None, action, .. },
        Finding::Errs { error: Some(other), disagreement: None, .. },
    ] = proof.findings.as_slice()
    else {
        panic!("{}", told(&proof))
    };
    assert!(error.contains("overflow") && other.contains("overflow"), "{error} {other}");
    assert_eq!(action, "isolate");
    let count = example.get("context.isolationsLastHour").unwrap();
    assert!(count.asked_for && count.telling, "{count:?}");
    assert!(count.value.as_deref().unwrap().parse::<i64>().unwrap() >= 8, "{count:?}");
}

#[test]
fn reckoning_with_times_cannot_overflow_because_times_are_bounded() {
    let proof = of(&format!(
        r#"{HIGH}
        @id("late") @reason("the alert is older than a thousand years and a day")
        forbid (principal, action == Action::"isolate", resource)
        when {{ resource has created && context.now.durationSince(resource.created) > duration("365000d") }};
        @id("early") @reason("the alert is from the future")
        forbid (principal, action == Action::"isolate", resource)
        when {{ resource has created && resource.created.offset(duration("-10m")) > context.now }};"#
    ));
    assert!(proof.proved, "{}", told(&proof));
}

#[test]
fn a_policy_whose_words_cannot_be_is_dead() {
    let proof = of(&format!(
        r#"{HIGH}
        @id("both") @reason("two that exclude each other")
        forbid (principal, action == Action::"isolate", resource)
        when {{ resource.severity == "High" && resource has severityLevel && resource.severityLevel < 4 }};
        @id("capital") @reason("there is no such class")
        permit (principal, action == Action::"proposeIsolate", resource)
        when {{ resource has device && resource.device has class && resource.device.class == "Server" }};"#
    ));
    assert_eq!(kinds(&proof), [("dead", "both"), ("dead", "capital")], "{}", told(&proof));
}

#[test]
fn a_permit_against_which_a_forbid_always_stands_is_shadowed() {
    let proof = of(&format!(
        r#"{HIGH}
        @id("isolate-servers") @reason("servers too")
        permit (principal, action == Action::"isolate", resource)
        when {{ resource has device && resource.device has class && resource.device.class == "server" }};
        @id("only-workstations") @reason("nothing but workstations")
        forbid (principal, action in Action::"cutOff", resource)
        unless {{ resource has device && resource.device has class && resource.device.class == "workstation" }};"#
    ));
    assert_eq!(kinds(&proof), [("shadowed", "isolate-servers")], "{}", told(&proof));
}

#[test]
fn what_could_be_left_out_is_a_note_and_no_failure() {
    let proof = of(&format!(
        r#"{HIGH}
        @id("isolate-ransomware") @reason("High ransomware")
        permit (principal, action == Action::"isolate", resource)
        when {{ resource.severity == "High" && resource has category && resource.category == "Ransomware" }};
        @id("not-resolved") @reason("resolved")
        forbid (principal, action == Action::"isolate", resource)
        when {{ resource has status && resource.status == "Resolved" }};
        @id("not-low") @reason("too low: no permit speaks for it anyway")
        forbid (principal, action == Action::"isolate", resource)
        when {{ resource.severity == "Low" }};"#
    ));
    assert!(proof.proved, "{}", told(&proof));
    assert_eq!(spare(&proof), ["isolate-ransomware", "not-low"]);
}

#[test]
fn a_permit_that_says_more_than_yes_is_not_spare_and_makes_no_other_spare() {
    let tried = r#"
        @id("try-all") @reason("tried out") @mode("observe")
        permit (principal, action == Action::"isolate", resource) when { resource.severity != "Low" };"#;
    let proof = of(&format!("{HIGH}{tried}"));
    assert!(proof.proved, "{}", told(&proof));
    assert_eq!(spare(&proof), Vec::<&str>::new());
}

#[test]
fn a_guarantee_that_can_never_speak_is_dead_as_well() {
    let guarantee = r#"@id("never-servers") @reason("spelt wrong")
        forbid (principal, action in Action::"cutOff", resource)
        when { resource has device && resource.device has class && resource.device.class == "servers" };"#;
    let proof = prove(&playbook(HIGH, guarantee));
    assert_eq!(kinds(&proof), [("dead", "never-servers")], "{}", told(&proof));
}
