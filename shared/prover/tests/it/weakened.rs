//! Guardrails of the shipped policy, weakened one at a time as people weaken them by mistake. Each has to be found, and
//! the example has to name the hole.

use crate::{guaranteed, prove_guarantees, shipped_file, told};
use prover::{Finding, Proof};

/// One mistake, and what has to be said of it.
struct Mistake {
    name: &'static str,
    /// The policy that is replaced; or, where there is none of that name, added.
    policy: &'static str,
    by: &'static str,
    /// The guarantee that is violated, and the permits that let it through.
    violates: (&'static str, &'static [&'static str]),
    /// The attribute that tells, and how its value begins.
    telling: (&'static str, &'static str),
}

const SERVER: (&str, &str) = ("resource.device.class", "\"server\"");
const HIGH: &[&str] = &["isolate-high"];

#[rustfmt::skip]
const MISTAKES: [Mistake; 15] = [
    Mistake {
        name: "a forbid was removed",
        policy: "server-needs-a-person", by: "",
        violates: ("only-known-workstations", HIGH), telling: SERVER,
    },
    Mistake {
        name: "a comparison was turned round",
        policy: "server-needs-a-person",
        by: r#"forbid (principal, action in Action::"cutOff", resource)
               when { resource has device && resource.device has class && resource.device.class != "server" };"#,
        violates: ("only-known-workstations", HIGH), telling: SERVER,
    },
    Mistake {
        name: "a word was written with a capital letter",
        policy: "server-needs-a-person",
        by: r#"forbid (principal, action in Action::"cutOff", resource)
               when { resource has device && resource.device has class && resource.device.class == "Server" };"#,
        violates: ("only-known-workstations", HIGH), telling: SERVER,
    },
    Mistake {
        name: "a forbid was narrowed to one action by its name",
        policy: "server-needs-a-person",
        by: r#"forbid (principal, action == Action::"proposeIsolate", resource)
               when { resource has device && resource.device has class && resource.device.class == "server" };"#,
        violates: ("only-known-workstations", HIGH), telling: SERVER,
    },
    Mistake {
        name: "an exception was made for working hours",
        policy: "server-needs-a-person",
        by: r#"forbid (principal, action in Action::"cutOff", resource)
               when { resource has device && resource.device has class && resource.device.class == "server" }
               unless { context.localHour >= 8 && context.localHour < 18 };"#,
        violates: ("only-known-workstations", HIGH), telling: SERVER,
    },
    Mistake {
        name: "both times have to be old where one of them would do",
        policy: "too-old",
        by: r#"forbid (principal, action in [Action::"cutOff", Action::"propose"], resource)
               when {
                   (resource has created && context.now.durationSince(resource.created) > context.actWithin) &&
                   (resource has lastEvent && context.now.durationSince(resource.lastEvent) > context.actWithin)
               };"#,
        violates: ("never-an-old-alert", HIGH),
        telling: ("resource.lastEvent", "2026-11-"),
    },
    Mistake {
        name: "the age that the playbook sets was replaced by a long one",
        policy: "too-old",
        by: r#"forbid (principal, action in [Action::"cutOff", Action::"propose"], resource)
               when {
                   (resource has created && context.now.durationSince(resource.created) > duration("30d")) ||
                   (resource has lastEvent && context.now.durationSince(resource.lastEvent) > duration("30d"))
               };"#,
        violates: ("never-an-old-alert", HIGH), telling: ("resource.lastEvent", "2026-11-"),
    },
    Mistake {
        name: "a guard makes a forbid silent where something is missing",
        policy: "device-not-known",
        by: r#"forbid (principal, action in [Action::"cutOff", Action::"propose"], resource)
               when { resource has device && !(resource.device has class) };"#,
        violates: ("never-an-excluded-device", HIGH), telling: ("resource.device.tags", "absent"),
    },
    Mistake {
        name: "`when` became `unless`",
        policy: "excluded-needs-a-person",
        by: r#"forbid (principal, action in Action::"cutOff", resource)
               unless { resource has device && resource.device has tags &&
                        resource.device.tags.contains("cordon-exclude") };"#,
        violates: ("never-an-excluded-device", HIGH),
        telling: ("resource.device.tags", "[\"cordon-exclude\"]"),
    },
    Mistake {
        name: "one list is named where all are meant",
        policy: "listed-needs-a-person",
        by: r#"forbid (principal, action in Action::"cutOff", resource)
               when { resource has device && resource.device.listed.contains("hypervisors") };"#,
        violates: ("never-a-listed-asset", HIGH), telling: ("resource.device.listed", "[\""),
    },
    Mistake {
        name: "one of two origins was forgotten",
        policy: "custom-detection-needs-a-person",
        by: r#"forbid (principal, action in Action::"cutOff", resource)
               when { if resource has source then resource.source == "CustomDetection" else true };"#,
        violates: ("never-on-our-own-detections", HIGH), telling: ("resource.source", "\"CustomerTI\""),
    },
    Mistake {
        name: "what is not known counts as harmless",
        policy: "custom-detection-needs-a-person",
        by: r#"forbid (principal, action in Action::"cutOff", resource)
               when { resource has source && ["CustomDetection", "CustomerTI"].contains(resource.source) };"#,
        violates: ("never-on-our-own-detections", HIGH), telling: ("resource.source", "absent"),
    },
    Mistake {
        name: "a status is spelt in lower case",
        policy: "resolved",
        by: r#"forbid (principal, action in [Action::"cutOff", Action::"propose"], resource)
               unless { resource has status && resource.status != "resolved" };"#,
        violates: ("never-what-people-have-closed", HIGH), telling: ("resource.status", "\"Resolved\""),
    },
    Mistake {
        name: "turning on enforcement sets off what piled up",
        policy: "first-seen-observing", by: "",
        violates: ("never-what-was-seen-while-observing", HIGH),
        telling: ("resource.firstSeenObserving", "true"),
    },
    Mistake {
        name: "a second permit goes below what is severe enough",
        policy: "isolate-mimikatz",
        by: r#"permit (principal, action == Action::"isolate", resource)
               when { resource has threatFamily && resource.threatFamily == "Mimikatz" };"#,
        violates: ("never-below-medium", &["isolate-mimikatz"]),
        telling: ("resource.severityLevel", "2"),
    },
];

/// The shipped policy with one policy of that name replaced by another.
fn weakened(mistake: &Mistake) -> String {
    let shipped = shipped_file("policy.cedar");
    let by = if mistake.by.is_empty() {
        String::new()
    } else {
        format!("@id(\"{}\")\n@reason(\"{}\")\n{}\n", mistake.policy, mistake.name, mistake.by)
    };
    let Some((before, rest)) = shipped.split_once(&format!("\n@id(\"{}\")", mistake.policy)) else {
        return format!("{shipped}\n{by}");
    };
    let (_, after) = rest.split_once(";\n").unwrap();
    format!("{before}\n{by}{after}")
}

#[track_caller]
fn assert_names_the_hole(mistake: &Mistake, proof: &Proof) {
    let name = mistake.name;
    assert!(!proof.proved, "{name}");
    let found = proof.findings.iter().find_map(|finding| match finding {
        Finding::Violated { guarantee, action, permitted_by, example, disagreement }
            if guarantee.id == mistake.violates.0 =>
        {
            Some((action, permitted_by, example, disagreement))
        }
        _ => None,
    });
    let (action, permitted_by, example, disagreement) =
        found.unwrap_or_else(|| panic!("{name}: {}", told(proof)));
    assert_eq!((action.as_str(), disagreement), ("isolate", &None), "{name}");
    let by: Vec<&str> = permitted_by.iter().map(|policy| policy.id.as_str()).collect();
    assert_eq!(by, mistake.violates.1, "{name}");
    let (attribute, value) = mistake.telling;
    let shown = example.get(attribute).unwrap();
    let begins = shown.value.as_deref().unwrap_or("absent").starts_with(value);
    assert!(begins, "{name}: {}", told(proof));
    assert!(shown.asked_for && shown.telling, "{name}: {}", told(proof));
}

#[test]
fn every_mistake_is_found_and_its_hole_is_named() {
    for mistake in &MISTAKES {
        let proof = prove_guarantees(&guaranteed(&weakened(mistake)));
        println!("== {}\n{}", mistake.name, told(&proof));
        assert_names_the_hole(mistake, &proof);
    }
}

#[test]
fn a_guardrail_that_is_put_back_or_made_stricter_keeps_its_guarantees() {
    let shipped = shipped_file("policy.cedar");
    assert!(prove_guarantees(&guaranteed(&shipped)).proved);
    let stricter = r#"
        @id("never-at-night") @reason("nobody is there at night")
        forbid (principal, action in Action::"cutOff", resource)
        when { context.localHour >= 22 || context.localHour < 6 };"#;
    let proof = prove_guarantees(&guaranteed(&format!("{shipped}{stricter}")));
    assert!(proof.proved, "{}", told(&proof));
    // A removed guardrail may be put back in other words.
    let other = Mistake {
        by: r#"forbid (principal, action in Action::"cutOff", resource)
               unless { resource has device && resource.device has class && resource.device.class == "workstation" };"#,
        ..MISTAKES[0]
    };
    let proof = prove_guarantees(&guaranteed(&weakened(&other)));
    assert!(proof.proved, "{}", told(&proof));
}
