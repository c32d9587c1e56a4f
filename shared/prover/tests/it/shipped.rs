//! The playbook that ships, and what policies may hold beside what it holds. The examples are proved by `scripts/test`.

use crate::{playbook, prove, prove_guarantees, told};
use policy::Playbook;
use std::path::Path;

#[test]
fn the_shipped_playbook_is_proved() {
    let playbook = Playbook::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbook")).unwrap();
    let proof = prove(&playbook);
    assert!(proof.proved, "{}", told(&proof));
    assert!(proof.guarantees >= 8 && proof.policies >= 18 && proof.questions > 60, "{proof:?}");
    assert_eq!(proof.spare, Vec::new(), "a guardrail of the shipped policy does nothing");
}

#[test]
fn a_like_with_a_star_at_the_front_is_proved_as_well() {
    let policy = |word: &str| {
        format!(
            "@id(\"a\") @reason(\"a\")\npermit (principal, action == Action::\"isolate\", resource)\n\
             when {{ resource has threatName && resource.threatName like \"*Test*\" }};\n\
             @id(\"b\") @reason(\"b\")\nforbid (principal, action in Action::\"cutOff\", resource)\n\
             when {{ resource has threatName && resource.threatName like \"*{word}*\" }};"
        )
    };
    let never = "@id(\"never\") @reason(\"never\")\nforbid (principal, action in Action::\"cutOff\", resource)\n\
                 when { resource has threatName && resource.threatName like \"*TestFile*\" };";
    let guarded = prove_guarantees(&playbook(&policy("File"), never));
    assert!(guarded.proved, "{}", told(&guarded));
    let open = prove_guarantees(&playbook(&policy("Pile"), never));
    assert!(told(&open).contains("TestFile"), "{}", told(&open));
}
