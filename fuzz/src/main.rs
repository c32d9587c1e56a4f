//! The targets on the command line, for `scripts/fuzz`: their names, their seeds as files for libFuzzer, and bounded
//! runs from any number to begin with. It reads no clock: whoever wants an hour calls it for an hour.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program that prints")]

use fuzz::{Target, all, bounded, kept, named};
use std::{path::Path, process::ExitCode};

const USAGE: &str = "usage: fuzz list | fuzz seeds TARGET FOLDER | fuzz run TARGET SEED CASES FAILED_FOLDER";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["list"] => {
            all().iter().for_each(|target| println!("{}", target.name));
            Ok(())
        }
        ["seeds", name, folder] => target(name).and_then(|target| write_seeds(&target, Path::new(folder))),
        ["run", name, seed, cases, failed] => {
            target(name).and_then(|target| run(&target, seed, cases, Path::new(failed)))
        }
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn target(name: &str) -> Result<Target, String> {
    named(name).ok_or_else(|| format!("there is no target `{name}`; `fuzz list` names them"))
}

fn write_seeds(target: &Target, folder: &Path) -> Result<(), String> {
    let seeds = kept(target).into_iter().chain((target.seeds)());
    let write = || {
        std::fs::create_dir_all(folder)?;
        let mut written =
            seeds.enumerate().map(|(n, seed)| std::fs::write(folder.join(format!("seed-{n}")), seed));
        written.try_for_each(|written| written)
    };
    write().map_err(|error| format!("{}: {error}", folder.display()))?;
    // As libFuzzer's dictionaries are written: quoted, with everything odd as \xNN.
    let word = |word: &&str| word.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let words: String = target.words.iter().map(|text| format!("\"{}\"\n", word(text))).collect();
    let dictionary = folder.with_extension("dict");
    std::fs::write(&dictionary, words).map_err(|error| format!("{}: {error}", dictionary.display()))
}

fn run(target: &Target, seed: &str, cases: &str, failed: &Path) -> Result<(), String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| USAGE.to_owned());
    let cases = usize::try_from(number(cases)?).map_err(|_| USAGE.to_owned())? / target.cost;
    bounded(target, number(seed)?, cases).map_err(|failure| match failure.keep(failed) {
        Ok(path) => format!("{failure}\nkept as {}", path.display()),
        Err(error) => format!("{failure}\nnot kept: {error}"),
    })
}
