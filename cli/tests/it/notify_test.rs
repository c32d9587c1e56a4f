//! `cordon notify-test`: what a sample comes to, and that it touches nothing else. How each kind of channel sends is
//! tested in `functions/notify`, and all of them with this program in `tests/channels`.

use crate::site::{Site, one_high};
use mail_parser::MessageParser;
use serde_json::json;
use std::{fs, net::TcpListener};

const FOLDER: &str = "[[channels]]\nname = \"files\"\nkind = \"folder\"\npath = \"mails\"\n";
const SES: &str = "[[channels]]\nname = \"cloud-mail\"\nkind = \"ses\"\n";

/// A mail server's channel on a port where nobody listens.
fn deaf() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!(
        "[[channels]]\nname = \"deaf\"\nkind = \"smtp\"\nhost = \"127.0.0.1\"\nport = {port}\nsecurity = \"plain\"\n\
         from = \"cordon@example.com\"\nto = [\"soc@example.com\"]\n"
    )
}

/// Without a setting but the playbook, which has these channels.
fn site(channels: &str) -> Site {
    let mut site = Site::bare();
    site.write_playbook("playbook.toml", channels);
    site
}

#[test]
fn a_sample_arrives_and_nothing_else_is_written() {
    let site = site(FOLDER);
    let said = site.cordon(&["notify-test", "files"]).well();
    assert!(said.contains("files (folder): taken") && said.contains("`mails`"), "{said}");
    assert_eq!(site.listing(), ["mails", "own-playbook"], "no state was made");

    let mails = site.mails("mails");
    assert_eq!(mails.len(), 1);
    let mail = MessageParser::default().parse(&mails[0]).unwrap();
    let subject = mail.subject().unwrap();
    assert!(subject.to_lowercase().contains("test"), "{subject}");
    assert!(said.contains(subject), "what to look for is said: {said}");
    let text = mail.body_text(0).unwrap();
    assert!(text.contains("nothing has happened"), "{text}");
}

#[test]
fn a_sample_needs_no_tenant_and_leaves_a_state_that_is_there_alone() {
    let mut site = Site::new(one_high()).enforcing();
    site.write_playbook("playbook.toml", FOLDER);
    site.cordon(&["run", "--once"]).well();
    let rows = || site.query("SELECT count(*) FROM items") + site.query("SELECT count(*) FROM messages");
    let (before, mails) = (rows(), site.mails("mails").len());
    let calls = site.simulator.journal().len();
    site.cordon(&["notify-test", "files"]).well();
    assert_eq!((rows(), site.mails("mails").len()), (before, mails + 1));
    assert_eq!(site.simulator.journal().len(), calls, "the tenant is not asked");
}

#[test]
fn each_sample_is_a_message_of_its_own() {
    let site = site(FOLDER);
    site.cordon(&["notify-test", "files"]).well();
    site.cordon(&["notify-test", "files"]).well();
    assert_eq!(site.mails("mails").len(), 2);
}

#[test]
fn the_route_of_a_channel_does_not_keep_its_sample_back() {
    let site = site(&format!("{FOLDER}severities = [\"High\"]\nnotices = \"none\"\n"));
    site.cordon(&["notify-test", "files"]).well();
    assert_eq!(site.mails("mails").len(), 1);
}

#[test]
fn a_channel_that_takes_nothing_is_said_with_the_way_out() {
    let site = site(&deaf());
    let ended = site.cordon(&["notify-test", "deaf"]);
    ended.complains(1, &["channel `deaf`", "no connection to 127.0.0.1", "docs/CHANNELS.md"]);
    assert!(ended.stdout.contains("deaf (smtp): not taken"), "{ended:?}");
}

#[test]
fn all_are_tried_although_the_first_takes_nothing() {
    let site = site(&format!("{}{FOLDER}{SES}", deaf()));
    let ended = site.cordon(&["notify-test", "--all", "--json"]);
    ended.complains(1, &["channel `deaf`"]);
    let report = ended.json();
    let channels = report["channels"].as_array().unwrap();
    let came: Vec<_> =
        channels.iter().map(|tried| (&tried["channel"], &tried["kind"], &tried["taken"])).collect();
    assert_eq!(
        came,
        [(&json!("deaf"), &json!("smtp"), &json!(false)), (&json!("files"), &json!("folder"), &json!(true))],
        "and one that is on AWS only is left out"
    );
    assert!(channels[0]["why"].as_str().unwrap().contains("no connection"), "{report}");
    assert_eq!(site.mails("mails").len(), 1);
}

#[test]
fn who_names_an_unknown_channel_learns_the_known_ones() {
    let site = site(&format!("{FOLDER}{SES}"));
    let ended = site.cordon(&["notify-test", "fiels"]);
    ended.complains(2, &["no channel `fiels`", "files", "cloud-mail (on AWS only)"]);
    let hostile = site.cordon(&["notify-test", "\u{1b}[2Jx\u{202e}"]);
    hostile.complains(2, &["no channel"]);
    assert!(!hostile.stderr.contains(['\u{1b}', '\u{202e}']), "{hostile:?}");
}

#[test]
fn a_channel_of_the_other_host_says_where_it_is() {
    let site = site(&format!("{FOLDER}{SES}"));
    site.cordon(&["notify-test", "cloud-mail"]).complains(2, &["`cloud-mail`", "--stack"]);
    site.cordon(&["notify-test", "files", "--stack", "x"]).complains(2, &["`files`", "leave `--stack` out"]);
    assert_eq!(site.listing(), ["own-playbook"]);
}

#[test]
fn settings_that_are_not_complete_are_named_and_nothing_is_sent() {
    let mut site = site(FOLDER);
    let smtp = deaf() + "username = \"cordon\"\npassword_env = \"SMTP_PASSWORD\"\n";
    site.write_playbook("playbook.toml", &format!("{FOLDER}{smtp}"));
    site.cordon(&["notify-test", "--all"]).complains(2, &["channel `deaf`", "SMTP_PASSWORD is not set"]);
    assert!(site.mails("mails").is_empty());
    // What another channel lacks is no reason to keep this one back.
    site.cordon(&["notify-test", "files"]).well();
    site.set("DEFENDER_CLOUD", "moon");
    site.cordon(&["notify-test", "files"]).complains(2, &["DEFENDER_CLOUD"]);
}

#[test]
fn a_playbook_that_cannot_be_read_is_named() {
    let site = site("[[channels]]\nkind = \"pigeon\"\nname = \"x\"\n");
    site.cordon(&["notify-test", "x"]).complains(2, &["CORDON_PLAYBOOK", "pigeon"]);
    let empty = Site::bare().with("CORDON_PLAYBOOK", "nowhere");
    empty.cordon(&["notify-test", "--all"]).complains(2, &["CORDON_PLAYBOOK `nowhere`"]);
}

#[test]
fn somebody_has_to_be_named() {
    let site = site(FOLDER);
    site.cordon(&["notify-test"]).complains(2, &["CHANNEL"]);
    site.cordon(&["notify-test", "files", "--all"]).complains(2, &["--all"]);
}

/// Every block of TOML in the guide to the channels is what a playbook takes.
#[test]
fn the_guide_shows_channels_that_the_playbook_takes() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/CHANNELS.md");
    let guide = fs::read_to_string(guide).unwrap();
    let blocks: Vec<&str> =
        guide.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 8, "one for each kind at least: {}", blocks.len());
    for block in blocks {
        let mut site = Site::bare();
        site.write_playbook("playbook.toml", block);
        let folder = site.path("own-playbook");
        let read = policy::Settings::read(&folder);
        let problems: Vec<String> =
            read.err().iter().flat_map(|problems| problems.iter()).map(str::to_owned).collect();
        assert!(problems.is_empty(), "{block}\n{problems:#?}");
    }
}
