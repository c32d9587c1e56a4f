//! Settings: everything that is wrong is said at once, by name, and nothing is begun.

use crate::site::{Ended, Site, one_high};
use simulator::World;
use std::fs;

/// Refused for its settings, before anything was asked or made.
#[track_caller]
fn refused(site: &Site, words: &[&str]) -> Ended {
    let ended = site.cordon(&["run", "--once"]);
    ended.complains(2, words);
    assert_eq!(ended.stdout, "", "{ended:?}");
    assert!(site.simulator.journal().is_empty(), "nothing is asked of the service");
    assert!(!site.path("cordon.db").exists(), "no state is begun");
    ended
}

#[test]
fn missing_settings_are_listed_all_at_once() {
    let mut site = Site::bare();
    for command in ["run", "check"] {
        let ended = site.cordon(&[command]);
        ended.complains(
            2,
            &["DEFENDER_TENANT_ID", "DEFENDER_CLIENT_ID", "DEFENDER_CLIENT_SECRET", "CORDON_PLAYBOOK"],
        );
        assert_eq!(
            ended.complaints().len(),
            ended.stderr.lines().count(),
            "a sentence each: {}",
            ended.stderr
        );
    }
    // An empty one counts as not set.
    site.set("DEFENDER_TENANT_ID", "");
    refused(&site, &["DEFENDER_TENANT_ID is not set"]);
}

#[test]
fn each_missing_setting_is_named_and_nothing_else() {
    for name in ["DEFENDER_TENANT_ID", "DEFENDER_CLIENT_ID", "DEFENDER_CLIENT_SECRET"] {
        let mut site = Site::new(one_high());
        site.unset(name);
        let ended = refused(&site, &[&format!("cordon: {name} is not set")]);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
}

#[test]
fn each_malformed_setting_is_named_and_nothing_else() {
    for (name, value, why) in [
        ("DEFENDER_TENANT_ID", "contoso", "a GUID"),
        ("DEFENDER_CLOUD", "moon", "`commercial`, `gcc`, `gcc-high`, `dod`"),
        ("DEFENDER_CLOUD", "GCC", "`gcc`"),
        ("DEFENDER_API_URL", "not a url", "not a URL"),
        ("DEFENDER_API_URL", "http://example.com", "this machine only"),
        ("DEFENDER_API_URL", "http://127.0.0.1.example.com", "this machine only"),
        ("DEFENDER_API_URL", "http://0.0.0.0:8080", "this machine only"),
        ("DEFENDER_LOGIN_URL", "http://192.168.0.1", "this machine only"),
        ("DEFENDER_LOGIN_URL", "https://login.microsoftonline.com?tenant=x", "query"),
        ("DEFENDER_API_URL", "file:///etc/passwd", "`https:`"),
        ("CORDON_MODE", "Enforce", "neither `observe` nor `enforce`"),
        ("CORDON_LOOKBACK", "soon", "`15m`"),
        ("CORDON_LOOKBACK", "15", "`15m`"),
        ("CORDON_LOOKBACK", "-15m", "`15m`"),
        ("CORDON_LOOKBACK", "31d", "at most 30 days"),
        ("CORDON_LOOKBACK", "99999999999999999999h", "at most 30 days"),
        ("DEFENDER_CERTIFICATE", "app.pem", "exactly one"),
    ] {
        let site = Site::new(one_high()).with(name, value);
        let ended = refused(&site, &[name, why]);
        assert_eq!(ended.stderr.lines().count(), 1, "{name}={value}: {}", ended.stderr);
    }
}

#[test]
fn half_of_an_app_that_acts_is_refused() {
    let site = Site::new(one_high()).with("DEFENDER_ACTOR_CLIENT_ID", "actor");
    refused(&site, &["DEFENDER_ACTOR_CLIENT_SECRET is not set"]);
    let site = Site::new(one_high()).with("DEFENDER_ACTOR_CLIENT_SECRET", "s");
    refused(&site, &["DEFENDER_ACTOR_CLIENT_ID is not set"]);
}

#[test]
fn what_a_setting_holds_cannot_act_on_the_terminal() {
    let site = Site::new(one_high())
        .with("CORDON_MODE", "\u{1b}[2Jobserve\u{202e}")
        .with("DEFENDER_CLOUD", "\u{1b}]0;owned\u{7}")
        .with("DEFENDER_TENANT_ID", "\u{9b}31m")
        .with("CORDON_LOOKBACK", "1\u{1b}h");
    let ended = refused(&site, &["CORDON_MODE", "DEFENDER_CLOUD", "DEFENDER_TENANT_ID", "CORDON_LOOKBACK"]);
    let acts = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    assert!(!ended.stderr.contains(acts), "{:?}", ended.stderr);
}

#[test]
fn the_bounds_of_the_lookback_are_good_settings() {
    for good in ["0s", "30d", "2d 12h", "90m"] {
        let site = Site::new(World::new(crate::site::now())).with("CORDON_LOOKBACK", good);
        site.cordon(&["run", "--once"]).well();
    }
}

#[test]
fn kinds_of_credentials_that_are_not_built_yet_say_so() {
    for (kind, value) in [("CERTIFICATE", "app.pem"), ("FEDERATION", "aws")] {
        let mut site = Site::new(one_high()).with(&format!("DEFENDER_{kind}"), value);
        site.unset("DEFENDER_CLIENT_SECRET");
        refused(&site, &[&format!("DEFENDER_{kind}: this kind of credential is not built yet")]);

        let name = format!("DEFENDER_ACTOR_{kind}");
        let site = Site::new(one_high()).with("DEFENDER_ACTOR_CLIENT_ID", "actor").with(&name, value);
        refused(&site, &[&format!("{name}: this kind of credential is not built yet")]);
    }
}

#[test]
fn a_secret_of_secrets_manager_is_for_the_aws_host() {
    let mut site = Site::new(one_high()).with("DEFENDER_SECRET_ID", "cordon/defender");
    site.unset("DEFENDER_CLIENT_SECRET");
    refused(
        &site,
        &["DEFENDER_SECRET_ID: only the AWS host reads Secrets Manager; use DEFENDER_CLIENT_SECRET"],
    );
}

#[test]
fn a_playbook_whose_channels_are_all_elsewhere_is_refused() {
    let mut site = Site::new(one_high());
    let channel = "mode = \"observe\"\n[[channels]]\nname = \"mail\"\nkind = \"ses\"\n";
    site.write_playbook("playbook.toml", channel);
    refused(&site, &["playbook.toml: no channel is left on one machine: mail cannot be there"]);
}

#[test]
fn a_playbook_that_cannot_be_read_is_named_with_its_path() {
    let mut site = Site::new(one_high()).with("CORDON_PLAYBOOK", "nowhere");
    refused(&site, &["CORDON_PLAYBOOK `nowhere`", "nowhere/playbook.toml", "No such file"]);
    fs::write(site.path("nowhere"), "a file").unwrap();
    refused(&site, &["CORDON_PLAYBOOK `nowhere`", "Not a directory"]);
    site.write_playbook("policy.cedar", "");
    fs::remove_file(site.path("own-playbook/policy.cedar")).unwrap();
    let ended = refused(&site, &["own-playbook/policy.cedar"]);
    assert_eq!(ended.stderr.lines().count(), 1, "only what is missing is named: {}", ended.stderr);
}

#[test]
fn the_default_playbook_is_the_folder_of_that_name() {
    let mut site = Site::new(World::new(crate::site::now()));
    site.unset("CORDON_PLAYBOOK");
    refused(&site, &["CORDON_PLAYBOOK `playbook`"]);
    site.write_playbook("playbook.toml", "");
    site.unset("CORDON_PLAYBOOK");
    fs::rename(site.path("own-playbook"), site.path("playbook")).unwrap();
    site.cordon(&["run", "--once"]).well();
}

#[test]
fn a_fault_in_the_playbook_is_shown_with_its_file_line_and_column() {
    let mut site = Site::new(one_high());
    site.write_playbook("playbook.toml", "mode = \"observe\"\n[poll]\ninterval = 60s\n");
    refused(&site, &["CORDON_PLAYBOOK `own-playbook`", "playbook.toml:3:"]);
    site.write_playbook("playbook.toml", "[poll]\nintervall = \"60s\"\n");
    refused(&site, &["playbook.toml:2:1", "`intervall`", "did you mean `interval`?"]);
    site.write_playbook("playbook.toml", "mode = \"perhaps\"\n[isolation]\nact_within = \"1y\"\n");
    refused(&site, &["playbook.toml:1:8", "playbook.toml:3:14"]);
}

#[test]
fn a_fault_in_the_policy_is_shown_with_its_line_and_a_caret() {
    let mut site = Site::new(one_high());
    let policy = "@id(\"a\")\n@reason(\"r\")\npermit (principal, action == Action::\"isolate\", resource)\nwhen { resource.severty == \"High\" };\n";
    site.write_playbook("policy.cedar", policy);
    let ended = refused(&site, &["policy.cedar:4:", "resource.severty", "^^^", "severity"]);
    let lines: Vec<&str> = ended.stderr.lines().collect();
    let shown = lines.iter().position(|line| line.contains("4 | ")).unwrap();
    let place = |line: &str, c: char| line.chars().position(|found| found == c);
    let caret = place(lines[shown + 1], '^').unwrap();
    let pointed: String = lines[shown].chars().skip(caret).collect();
    assert!(pointed.starts_with("resource.severty") || pointed.starts_with("severty"), "{}", ended.stderr);

    site.write_playbook("policy.cedar", "permit (principal, action resource);");
    refused(&site, &["policy.cedar:1:", "^"]);
}

#[test]
fn every_fault_in_every_file_and_setting_is_said_at_once() {
    let mut site = Site::bare().with("CORDON_LOOKBACK", "soon").with("DEFENDER_CLOUD", "moon");
    site.write_playbook("playbook.toml", "polls = 1\n");
    site.write_playbook("policy.cedar", "permit (principal, action, resource)");
    site.write_playbook("assets.toml", "[[lists]]\nname = \"x\"\n");
    refused(
        &site,
        &[
            "DEFENDER_TENANT_ID",
            "DEFENDER_CLIENT_ID",
            "DEFENDER_CLIENT_SECRET",
            "DEFENDER_CLOUD",
            "CORDON_LOOKBACK",
            "playbook.toml:1",
            "policy.cedar:1",
            "assets.toml:1",
        ],
    );
}

#[test]
fn a_channel_whose_password_is_not_set_is_named_with_its_variable() {
    let mut site = Site::new(one_high());
    site.write_playbook(
        "playbook.toml",
        "[[channels]]\nname = \"team\"\nkind = \"smtp\"\nhost = \"mail.example.com\"\nusername = \"cordon\"\n\
         password_env = \"MAIL_PASSWORD\"\nfrom = \"a@example.com\"\nto = [\"b@example.com\"]\n",
    );
    refused(&site, &["team", "MAIL_PASSWORD"]);
}

#[test]
fn settings_can_stand_in_a_file_and_the_environment_wins() {
    let mut site = Site::new(one_high());
    let url = site.simulator.url();
    let text = format!(
        "\u{feff}# the tenant\nexport DEFENDER_TENANT_ID={}\r\nDEFENDER_CLIENT_ID='{}'\n\nDEFENDER_CLIENT_SECRET=\"{}\"\n\
         DEFENDER_API_URL = {url}\nDEFENDER_LOGIN_URL={url}\nCORDON_MODE=enforce\nCORDON_STATE=from-file.db\n",
        simulator::DEFAULT_TENANT,
        simulator::DEFAULT_CLIENT,
        simulator::DEFAULT_SECRET
    );
    fs::write(site.path("settings.env"), text).unwrap();
    for name in [
        "DEFENDER_TENANT_ID",
        "DEFENDER_CLIENT_ID",
        "DEFENDER_CLIENT_SECRET",
        "DEFENDER_API_URL",
        "DEFENDER_LOGIN_URL",
    ] {
        site.unset(name);
    }
    site.set("CORDON_MODE", "observe");
    let summary = site.cordon(&["--env-file", "settings.env", "run", "--once", "--json"]).json();
    assert_eq!(summary["decisions"]["observed"], 1, "the environment says `observe`");
    assert!(site.path("from-file.db").exists(), "the file names the state");
    // The option may also stand behind the command.
    site.cordon(&["run", "--once", "--env-file", "settings.env"]).well();
}

#[test]
fn a_settings_file_that_cannot_be_used_is_named_without_its_content() {
    let site = Site::new(one_high());
    site.cordon(&["--env-file", "nowhere.env", "check"])
        .complains(2, &["--env-file nowhere.env", "No such file"]);
    site.cordon(&["--env-file", ".", "check"]).complains(2, &["--env-file ."]);
    for (text, line) in [
        ("# fine\nCORDON_MODE=observe\nhunter2-without-a-name\n", "line 3"),
        ("DEFENDER_CLIENT_SECRET: hunter2=x\n", "line 1"),
        ("=hunter2\n", "line 1"),
        ("A=1\nhunter2 and more=x\n", "line 2"),
    ] {
        fs::write(site.path("bad.env"), text).unwrap();
        let ended = site.cordon(&["--env-file", "bad.env", "check"]);
        ended.complains(2, &["--env-file bad.env", line, "NAME=value"]);
        assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
    fs::write(site.path("bad.env"), b"A=\xff\xfe\n").unwrap();
    site.cordon(&["--env-file", "bad.env", "check"]).complains(2, &["--env-file bad.env"]);
}
