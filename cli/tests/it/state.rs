//! The state file: in use, newer, somebody else's, not to be written, or on a disk that is full.

use crate::site::{ALERT, CORDON, Ended, Running, Site, many_high, one_high, wait_until};
use rusqlite::Connection;
use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::Command,
    time::Duration,
};

/// Refused with one sentence, before the service was asked.
#[track_caller]
fn refused(site: &Site, words: &[&str]) {
    site.simulator.clear_journal();
    for arguments in [&["run", "--once", "--json"][..], &["run"]] {
        let ended = site.cordon(arguments);
        ended.complains(2, words);
        assert_eq!((ended.stdout.as_str(), ended.stderr.lines().count()), ("", 1), "{ended:?}");
    }
    assert!(site.simulator.journal().is_empty());
}

#[test]
fn a_second_run_on_the_same_file_is_refused_while_the_first_goes_on() {
    let mut site = Site::new(one_high());
    let first = site.start(&["run"]);
    // It has the file, and rests until its next poll.
    wait_until("the mail", || site.mails("cordon-mail").len() == 1);
    refused(&site, &["`cordon.db` is in use by another `cordon run`", "CORDON_STATE"]);
    // By another name it is the same file.
    std::os::unix::fs::symlink("cordon.db", site.path("alias.db")).unwrap();
    site.set("CORDON_STATE", "alias.db");
    refused(&site, &["`alias.db` is in use"]);
    // Another file is free, and so is this one once the first has stopped.
    site.set("CORDON_STATE", "other.db");
    site.cordon(&["run", "--once"]).well();
    first.terminate();
    assert_eq!(first.wait().code, 0);
    site.set("CORDON_STATE", "cordon.db");
    site.cordon(&["run", "--once"]).well();
}

#[test]
fn of_several_that_start_at_once_on_a_new_file_one_runs_and_the_others_are_refused() {
    let site = Site::new(one_high()).enforcing();
    let mut runs: Vec<Running> = (0..4).map(|_| site.start(&["run"])).collect();
    wait_until("the mails", || site.mails("cordon-mail").len() == 2);
    wait_until("the others have ended", || runs.iter_mut().filter_map(Running::has_ended).count() == 3);
    for mut run in runs {
        if run.has_ended().is_none() {
            run.terminate();
            assert_eq!(run.wait().code, 0);
        } else {
            run.wait().complains(2, &["`cordon.db` is in use by another `cordon run`", "CORDON_STATE"]);
        }
    }
    assert_eq!(site.effects(), ["POST isolate"]);
    site.assert_well_behaved();
}

#[test]
fn a_file_of_a_newer_cordon_is_left_as_it_is() {
    let site = Site::new(one_high());
    site.cordon(&["run", "--once"]).well();
    Connection::open(site.path("cordon.db")).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = fs::read(site.path("cordon.db")).unwrap();
    refused(&site, &["`cordon.db`", "newer Cordon", "format 99", "CORDON_STATE"]);
    site.cordon(&["explain", ALERT]).complains(2, &["newer Cordon"]);
    assert_eq!(fs::read(site.path("cordon.db")).unwrap(), before);
}

#[test]
fn what_is_no_state_file_is_left_as_it_is() {
    let site = Site::new(one_high());
    let text = b"My notes. Not a database, and longer than the header of one, which has a hundred bytes in all of them.";
    fs::write(site.path("cordon.db"), text).unwrap();
    refused(&site, &["`cordon.db` is not a state file of Cordon"]);
    site.cordon(&["explain", ALERT]).complains(2, &["`cordon.db` is not a state file of Cordon"]);
    assert_eq!(fs::read(site.path("cordon.db")).unwrap(), text);

    // Somebody else's database.
    fs::remove_file(site.path("cordon.db")).unwrap();
    Connection::open(site.path("cordon.db"))
        .unwrap()
        .execute_batch("CREATE TABLE recipes (name TEXT)")
        .unwrap();
    let before = fs::read(site.path("cordon.db")).unwrap();
    refused(&site, &["`cordon.db` is not a state file of Cordon"]);
    assert_eq!(fs::read(site.path("cordon.db")).unwrap(), before);
}

#[test]
fn a_damaged_file_is_said_to_be_damaged() {
    let site = Site::new(many_high(50));
    site.cordon(&["run", "--once"]).well();
    let mut bytes = fs::read(site.path("cordon.db")).unwrap();
    let length = bytes.len();
    bytes[100..length].fill(0xff);
    fs::write(site.path("cordon.db"), bytes).unwrap();
    refused(&site, &["`cordon.db` is damaged"]);
}

#[test]
fn a_folder_that_does_not_exist_is_named_and_not_made() {
    let site = Site::new(one_high()).with("CORDON_STATE", "nowhere/cordon.db");
    refused(&site, &["`nowhere/cordon.db` (CORDON_STATE)", "No such file or directory"]);
    assert!(!site.path("nowhere").exists());
    let site = Site::new(one_high()).with("CORDON_STATE", ".");
    refused(&site, &["CORDON_STATE"]);
}

#[test]
fn only_its_owner_may_read_the_state_and_the_mails() {
    let site = Site::new(one_high());
    site.cordon(&["run", "--once"]).well();
    let mode = |name: &str| fs::metadata(site.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("cordon.db"), 0o600);
    assert_eq!(mode("cordon-mail"), 0o700);
}

/// Root may write to everything: there the process runs as somebody else, to whom the folder is shown.
fn as_somebody(site: &Site, arguments: &[&str]) -> Ended {
    let mut command = site.command(CORDON);
    command.args(arguments);
    if is_root() {
        command.uid(65_534).gid(65_534);
    }
    Running::new(command).wait()
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.starts_with(b"0\n")
}

fn allow(site: &Site, name: &str, mode: u32) {
    fs::set_permissions(site.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_or_a_folder_that_may_only_be_read_is_refused() {
    let site = Site::new(one_high());
    site.cordon(&["run", "--once"]).well();
    allow(&site, ".", 0o777);
    allow(&site, "cordon.db", 0o444);
    allow(&site, "cordon.db.lock", 0o666);
    let ended = as_somebody(&site, &["run", "--once"]);
    ended.complains(2, &["`cordon.db` (CORDON_STATE) cannot be opened", "permissions"]);
    assert_eq!((ended.stdout.as_str(), ended.stderr.lines().count()), ("", 1), "{ended:?}");

    // A folder in which nothing can be made.
    fs::remove_file(site.path("cordon.db")).unwrap();
    allow(&site, ".", 0o555);
    let ended = as_somebody(&site, &["run", "--once"]);
    allow(&site, ".", 0o755);
    ended.complains(2, &["`cordon.db` (CORDON_STATE) cannot be opened", "Permission denied"]);
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
}

/// What must hold after a run for which the disk was too small, and after the next one.
fn assert_nothing_is_lost(site: &Site, alerts: i64, full: &Ended) {
    full.complains(1, &["cordon.db"]);
    let intact: String = Connection::open(site.path("cordon.db"))
        .unwrap()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(intact, "ok");
    let ended = site.cordon(&["run", "--once", "--json"]);
    assert!(ended.json()["found"].as_i64().unwrap() > 0, "the disk was full in the middle: {ended:?}");
    ended.well();
    assert_eq!(site.query("SELECT count(*) FROM items WHERE sort LIKE 'case#%'"), alerts, "each was decided");
    assert_eq!(site.query("SELECT count(*) FROM dead_letters"), 0);
    assert_eq!(site.query("SELECT count(*) FROM messages"), 0);
    assert!(site.mails("cordon-mail").len() >= usize::try_from(alerts).unwrap());
}

#[test]
fn a_file_that_may_not_grow_is_one_clear_sentence_and_the_next_run_finishes() {
    let alerts = 300;
    let site = Site::new(many_high(alerts));
    // In blocks of 512 bytes or 1,024, by the shell. A process that ignores the signal gets an error instead.
    let mut command = site.command("/bin/sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 400; exec \"$0\" run --once --json", CORDON]);
    let full = Running::new(command).wait();
    assert_eq!(full.json()["dead_letters"], 0);
    assert_nothing_is_lost(&site, i64::try_from(alerts).unwrap(), &full);
}

#[test]
fn a_full_disk_is_said_to_be_full_and_the_next_run_finishes() {
    let alerts = 300;
    let site = Site::new(many_high(alerts));
    // A small disk of its own, in a name space that ends with the shell: nothing to clean up. What lies on it is
    // copied out for the next run, as if the disk had grown.
    let script = "mount -t tmpfs -o size=400k none small || exit 77
        CORDON_STATE=small/cordon.db \"$0\" run --once --json; code=$?
        cp small/cordon.db* . || exit 78
        exit $code";
    fs::create_dir(site.path("small")).unwrap();
    let mut command = site.command("unshare");
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.args(["--mount", "/bin/sh", "-c", script, CORDON]);
    let full = Running::new(command).wait();
    if full.code == 77 || full.stderr.contains("unshare: ") {
        println!("skipped: this user may not mount a small disk ({})", full.stderr.trim());
        return;
    }
    full.complains(1, &["the disk is full", "small/cordon.db", "free some space"]);
    assert_nothing_is_lost(&site, i64::try_from(alerts).unwrap(), &full);
}

/// The process goes on while the file may not grow beyond this size, and has done everything soon after it may: each
/// device is isolated once. False where nobody can raise the limit of a process.
fn goes_on_when_there_is_room_again(most_blocks: u32) -> bool {
    let alerts = 150;
    let mut site = Site::new(many_high(alerts)).enforcing().unlimited();
    let playbook = fs::read_to_string(site.path("own-playbook/playbook.toml")).unwrap();
    site.write_playbook("playbook.toml", &playbook.replace("[poll]\n", "[poll]\ninterval = \"10s\"\n"));
    // As above, but a limit that may be raised again.
    let script = format!("trap '' XFSZ; ulimit -S -f {most_blocks}; exec \"$0\" run");
    let mut command = site.command("/bin/sh");
    command.args(["-c", &script, CORDON]);
    let run = Running::new(command);
    run.wait_for_log("`cordon.db` cannot be");
    let raised = Command::new("prlimit").args(["--pid", &run.id().to_string(), "--fsize=unlimited"]).status();
    if !raised.is_ok_and(|status| status.success()) {
        return false;
    }
    let decided = "SELECT count(*) FROM items WHERE sort LIKE 'case#%'";
    wait_until("the next poll, and all that it found", || {
        // What was in hand when nothing could be written is hidden for six minutes: here they are over at once.
        let state = Connection::open(site.path("cordon.db")).unwrap();
        state.busy_timeout(Duration::from_secs(10)).unwrap();
        state.execute("UPDATE messages SET visible_at_us = 0 WHERE in_flight AND receives < 3", []).unwrap();
        site.query(decided) == i64::try_from(alerts).unwrap()
            && site.query("SELECT count(*) FROM messages") == 0
            && site.mails("cordon-mail").len() == 2 * alerts
    });
    run.terminate();
    assert_eq!(run.wait().code, 0);
    assert_eq!(site.query("SELECT count(*) FROM dead_letters"), 0);
    assert_eq!(site.effects().len(), alerts, "each device is isolated once");
    site.assert_well_behaved();
    true
}

#[test]
fn a_run_whose_poll_met_a_full_disk_goes_on_when_there_is_room_again() {
    if !goes_on_when_there_is_room_again(400) {
        println!("skipped: there is no prlimit here");
    }
}

#[test]
fn a_run_that_met_a_full_disk_while_acting_goes_on_when_there_is_room_again() {
    if !goes_on_when_there_is_room_again(3_000) {
        println!("skipped: there is no prlimit here");
    }
}
