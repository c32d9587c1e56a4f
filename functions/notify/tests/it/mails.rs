//! x
use crate::samples::*;
use model::{Answer::*, EffectState as S, Mode::*};
#[test]
fn show() {
    for (a, m, s) in [
        (Isolate, Observe, Some(S::Observed)),
        (Propose, Enforce, Some(S::Proposed)),
        (Propose, Observe, Some(S::Observed)),
        (Refused, Enforce, Some(S::Refused)),
        (None, Enforce, Option::None),
        (Isolate, Enforce, Some(S::Claimed)),
        (Isolate, Enforce, Some(S::Requesting)),
        (Isolate, Enforce, Some(S::Requested)),
        (Isolate, Enforce, Some(S::Pending)),
        (Isolate, Enforce, Some(S::Succeeded)),
        (Isolate, Enforce, Some(S::Failed)),
        (Isolate, Enforce, Some(S::TimedOut)),
        (Isolate, Enforce, Some(S::Cancelled)),
        (Isolate, Enforce, Some(S::Adopted)),
        (Isolate, Enforce, Some(S::Unknown)),
    ] {
        let m = mail(&taken(a, m, s));
        println!("{:?} {:?}\n{}\n{}\n", a, s, m.subject, m.text.split("IN THE PORTAL").next().unwrap());
    }
}
