//! The bounded run of every target: what failed once, the seeds, and some thousand mutations of them.
//!
//! `CORDON_FUZZ_CASES` says how many cases a quick target gets (a slow one gets its share), `CORDON_FUZZ_SEED` where to
//! begin. What fails is printed and written to `target/tmp/fuzz/<target>`: keep it as `fuzz/corpus/<target>/<a name>`,
//! where it is looked at first from then on.

#![expect(clippy::panic, reason = "a test fails loudly")]

use credentials::Vars;
use fuzz::{Failure, Target, all, bounded};
use std::{collections::BTreeSet, path::Path, thread};

/// Enough to find what is near, and quick enough for every run of the tests.
const CASES: usize = 2_000;

fn number(vars: &Vars, name: &str, default: usize) -> usize {
    vars.get(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

#[test]
fn every_target_holds_for_what_failed_once_for_its_seeds_and_for_what_becomes_of_them() {
    let vars = Vars::from_process();
    let cases = number(&vars, "CORDON_FUZZ_CASES", CASES);
    let seed = number(&vars, "CORDON_FUZZ_SEED", 1) as u64;
    let run = |target: Target| move || bounded(&target, seed, (cases / target.cost).max(20)).err();
    let failures: Vec<Failure> = thread::scope(|scope| {
        let named = |target: &Target| thread::Builder::new().name(format!("fuzz {}", target.name));
        let threads: Vec<_> = all()
            .into_iter()
            .map(|target| named(&target).spawn_scoped(scope, run(target)).unwrap())
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    for failure in &failures {
        println!("{failure}\nwritten to {}\n", failure.keep(&folder).unwrap().display());
    }
    assert!(failures.is_empty(), "{} targets do not hold", failures.len());
}

#[test]
fn what_is_kept_belongs_to_a_target() {
    let names: BTreeSet<String> = all().iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names.len(), all().len(), "two targets of one name");
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in std::fs::read_dir(corpus).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(names.contains(&name) || name == "README.md", "`corpus/{name}` belongs to no target");
    }
}
