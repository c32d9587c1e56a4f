//! The command line itself: help that teaches, and exit code 2 for what is not understood.

use crate::site::Site;

const EVERY: [&str; 25] = [
    "demo",
    "run",
    "check",
    "status",
    "explain",
    "test-playbook",
    "prove",
    "backtest",
    "notify-test",
    "hunts",
    "hunt",
    "shadow",
    "isolated",
    "isolate",
    "release",
    "pause",
    "resume",
    "held",
    "held run",
    "held drop",
    "limits",
    "limits raise",
    "limits close",
    "dead-letters",
    "dead-letters redrive",
];

#[test]
fn without_a_command_it_shows_its_help_and_ends_with_2() {
    let site = Site::bare();
    let ended = site.cordon(&[]);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    for word in ["demo", "run", "check", "explain", "status", "release", "pause", "cordon demo", "Exit codes"]
    {
        assert!(ended.stderr.contains(word), "`{word}` in {}", ended.stderr);
    }
}

#[test]
fn the_help_teaches_every_command_setting_and_exit_code() {
    let help = Site::bare().cordon(&["--help"]).well();
    for word in [
        "demo",
        "run",
        "check",
        "explain",
        "test-playbook",
        "prove",
        "backtest",
        "shadow",
        "status",
        "isolated",
        "isolate",
        "release",
        "pause",
        "resume",
        "held",
        "limits",
        "dead-letters",
        "hunts",
        "hunt",
        "--stack",
        "--env-file",
        "DEFENDER_TENANT_ID",
        "DEFENDER_CLIENT_ID",
        "DEFENDER_CLIENT_SECRET",
        "DEFENDER_ACTOR_CLIENT_ID",
        "DEFENDER_ACTOR_CLIENT_SECRET",
        "DEFENDER_CLOUD",
        "DEFENDER_ALERTS_API",
        "DEFENDER_HUNTING_API",
        "GRAPH_API_URL",
        "DEFENDER_API_URL",
        "DEFENDER_LOGIN_URL",
        "DEFENDER_AUDIENCE",
        "CORDON_PLAYBOOK",
        "CORDON_MODE",
        "CORDON_STATE",
        "CORDON_LOOKBACK",
        "RUST_LOG",
        "Exit codes: 0 done, 1 something needs attention, 2 bad usage or settings",
        "Start with `cordon demo`",
    ] {
        assert!(help.contains(word), "`{word}` in {help}");
    }
}

#[test]
fn the_help_of_every_command_shows_how_it_is_used() {
    let site = Site::bare();
    for command in EVERY {
        let words: Vec<&str> = command.split(' ').collect();
        let help = site.cordon(&[&words[..], &["--help"]].concat()).well();
        assert!(help.contains("Example"), "{command}: {help}");
        assert!(help.matches(&format!("  cordon {command}")).count() >= 1, "{command}: {help}");
        let short = site.cordon(&[&words[..], &["-h"]].concat()).well();
        assert_eq!(short, help, "there is nothing to be found out only by the longer one");
    }
}

#[test]
fn every_command_that_reports_takes_json() {
    for command in EVERY.iter().filter(|command| **command != "demo") {
        let words: Vec<&str> = command.split(' ').collect();
        let help = Site::bare().cordon(&[&words[..], &["--help"]].concat()).well();
        assert!(help.contains("--json"), "{command}: {help}");
    }
}

#[test]
fn what_is_not_understood_ends_with_2_and_a_hint() {
    let site = Site::bare();
    for (arguments, words) in [
        (&["explian"][..], &["explian", "explain"][..]),
        (&["bogus"], &["bogus", "--help"]),
        (&["run", "--onec"], &["--onec", "--once"]),
        (&["run", "--json"], &["--once"]),
        (&["explain"], &["ALERT_ID"]),
        (&["demo", "--mail"], &["--mail"]),
    ] {
        let ended = site.cordon(arguments);
        ended.complains(2, words);
        assert_eq!(ended.stdout, "");
    }
    assert_eq!(site.listing(), Vec::<String>::new(), "nothing was made");
}

#[test]
fn the_version_is_said() {
    let version = Site::bare().cordon(&["--version"]).well();
    assert_eq!(version, format!("cordon {}\n", env!("CARGO_PKG_VERSION")));
}
