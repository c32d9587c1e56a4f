//! The bounded run: so many mutations of a target's seeds, the same ones for the same number to begin with. What fails
//! is made small, so that it can be looked at and kept.
//!
//! It is guided by nothing. An input that overflows the stack ends the process; the thread's name says which target's
//! it was.

use crate::{Target, mutate::mutated};
use fastrand::Rng;
use std::{
    any::Any,
    cell::Cell,
    fmt,
    panic::{catch_unwind, set_hook, take_hook},
    path::{Path, PathBuf},
    sync::Once,
};

/// How many tries it may take to make an input smaller.
const TRIES: usize = 2_000;

/// An input for which something does not hold.
#[derive(Debug)]
pub struct Failure {
    pub target: &'static str,
    pub input: Vec<u8>,
    pub why: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<u8> = self.input.iter().copied().take(1_000).collect();
        let why: String = self.why.chars().take(1_000).collect();
        write!(f, "{}: {why}\n{} bytes: {}", self.target, self.input.len(), shown.escape_ascii())
    }
}

impl Failure {
    /// Writes the input into a folder, under a name of its own; returns where it is.
    pub fn keep(&self, folder: &Path) -> std::io::Result<PathBuf> {
        let folder = folder.join(self.target);
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{:016x}", fnv(&self.input)));
        std::fs::write(&path, &self.input)?;
        Ok(path)
    }
}

/// FNV-1a: a name for an input, no more.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Whether everything holds for one input.
pub fn check(target: &Target, input: &[u8]) -> Result<(), Failure> {
    quietly(|| catch_unwind(|| (target.check)(input))).map_err(|panic| Failure {
        target: target.name,
        input: input.to_vec(),
        why: message_of(&*panic),
    })
}

/// The inputs that failed once, of one target.
pub fn kept(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// What failed once, the seeds as they are, and then `cases` mutations of them. The first failure, made small.
pub fn bounded(target: &Target, seed: u64, cases: usize) -> Result<(), Failure> {
    let mut seeds = kept(target);
    seeds.extend((target.seeds)());
    for input in &seeds {
        check(target, input)?;
    }
    // Another generator for each target: they must not all draw the same.
    let mut rng = Rng::with_seed(seed ^ fnv(target.name.as_bytes()));
    for _ in 0..cases {
        let input = mutated(&mut rng, &seeds, target.words);
        check(target, &input).map_err(|failure| smaller(target, failure))?;
    }
    Ok(())
}

/// Drops what can be dropped: halves first, single bytes last.
fn smaller(target: &Target, mut failure: Failure) -> Failure {
    let mut tries = 0;
    let mut length = failure.input.len() / 2;
    while length > 0 && tries < TRIES {
        let mut at = 0;
        while at < failure.input.len() && tries < TRIES {
            let (before, after) = (failure.input.iter().take(at), failure.input.iter().skip(at + length));
            let less: Vec<u8> = before.chain(after).copied().collect();
            tries += 1;
            match check(target, &less) {
                Err(less) => failure = less,
                Ok(()) => at += length,
            }
        }
        length /= 2;
    }
    failure
}

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs something whose panics are caught without a word: each failure is told once, when it has been made small.
fn quietly<T>(run: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_QUIET.get() {
                loud(panic);
            }
        }));
    });
    let before = IS_QUIET.replace(true);
    let outcome = run();
    IS_QUIET.set(before);
    outcome
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it panicked".to_owned())
}
