//! `cordon check`: what it finds, and that it changes nothing anywhere.

use crate::site::{Ended, Site, found, hunt_file, one_high};
use serde_json::{Value, json};
use simulator::{DEFAULT_CLIENT, DEFAULT_ROLES, DEFAULT_SECRET, Fault, FaultKind, World, demo_world};

const READS: &[&str] = &["Alert.Read.All", "Machine.Read.All"];

/// Checks twice, for people and as JSON; both must end alike and change nothing.
#[track_caller]
fn check(site: &Site) -> (Ended, Value) {
    let before = site.listing();
    let text = site.cordon(&["check"]);
    let json = site.cordon(&["check", "--json"]);
    assert_eq!(text.code, json.code);
    assert_eq!(site.listing(), before, "nothing is written");
    assert_eq!(site.effects(), Vec::<String>::new());
    site.assert_well_behaved();
    let report = json.json();
    assert_eq!(text.complaints().len(), json.complaints().len());
    let said: Vec<&str> =
        report["attention"].as_array().unwrap().iter().map(|said| said.as_str().unwrap()).collect();
    assert_eq!(
        said,
        json.complaints().iter().map(|line| line.trim_start_matches("cordon: ")).collect::<Vec<_>>()
    );
    (text, report)
}

fn app(roles: &[&str]) -> World {
    one_high().app(DEFAULT_CLIENT, DEFAULT_SECRET, roles)
}

#[test]
fn all_is_well_where_it_is() {
    let site = Site::new(demo_world(crate::site::now())).enforcing();
    let (ended, report) = check(&site);
    let text = ended.well();
    for words in [
        "enforce",
        " guarantees, polls every 1m",
        " cases passed, 0 failed",
        "Alert.Read.All",
        "Machine.Isolate",
        "1 server, 7 workstation",
        "all is well",
    ] {
        assert!(text.contains(words), "`{words}` in {text}");
    }
    assert_eq!(report["mode"], "enforce");
    assert_eq!(report["devices"], json!({"server": 1, "workstation": 7}));
    assert_eq!(report["reader_roles"], json!(DEFAULT_ROLES));
    assert_eq!(report["actor_roles"], report["reader_roles"]);
    assert_eq!(report["channels"], json!(["mail-folder", "mail (on AWS only)"]));
    assert_eq!(report["attention"], json!([]));
    assert_eq!(site.listing(), Vec::<String>::new());
}

#[test]
fn a_playbook_is_checked_alone_without_any_other_setting() {
    let mut site = Site::new(app(READS));
    for name in ["DEFENDER_TENANT_ID", "DEFENDER_CLIENT_ID", "DEFENDER_CLIENT_SECRET"] {
        site.unset(name);
    }
    let text = site.cordon(&["check", "--playbook"]).well();
    assert!(text.contains(" guarantees, polls every 1m") && text.contains("all is well"), "{text}");
    assert!(
        !text.contains("reader") && !text.contains("devices"),
        "nothing is said of what was not looked at: {text}"
    );
    let text = site.cordon(&["check", "--playbook", "--on", "aws"]).well();
    assert!(text.contains("mail-folder (on one machine only), mail\n"), "{text}");
    site.write_playbook("playbook.toml", "[[channels]]\nname = \"files\"\nkind = \"folder\"\npath = \"x\"\n");
    site.cordon(&["check", "--playbook"]).well();
    let ended = site.cordon(&["check", "--playbook", "--on", "aws"]);
    ended.complains(2, &["no channel is left on AWS", "files"]);
    let smtp = "[[channels]]\nname = \"team\"\nkind = \"smtp\"\nhost = \"mail.example.com\"\nusername = \"u\"\n\
                password_env = \"SMTP_PASSWORD\"\nfrom = \"a@example.com\"\nto = [\"b@example.com\"]\n";
    site.write_playbook("playbook.toml", smtp);
    let ended = site.cordon(&["check", "--playbook", "--on", "aws"]);
    ended.complains(2, &["SMTP_PASSWORD is not set", "in `password_field`"]);
    let on_both = smtp.replace("password_env", "password_field = \"mail_password\"\npassword_env");
    let topic = "[[channels]]\nname = \"topic\"\nkind = \"sns\"\n";
    site.write_playbook("playbook.toml", &format!("{on_both}{topic}"));
    let text = site.cordon(&["check", "--playbook", "--on", "aws"]).well();
    let needs =
        "deploy with  ChannelsSecret=create, and its value with the fields mail_password; NotifyTopicArn=";
    assert!(text.contains(needs), "{text}");
    let slip = smtp.replace("SMTP_PASSWORD", "Hunter2Hunter2");
    site.write_playbook("playbook.toml", &slip);
    let ended = site.cordon(&["check", "--playbook"]);
    ended.complains(2, &["the variable that `password_env` names is not set"]);
    assert!(
        !ended.stderr.contains("Hunter2"),
        "a password in the wrong place is not repeated: {}",
        ended.stderr
    );
    site.write_playbook("policy.cedar", "permit (principal, action, resource) when { alert.severty };");
    let ended = site.cordon(&["check", "--playbook"]);
    ended.complains(2, &["CORDON_PLAYBOOK", "policy.cedar"]);
}

#[test]
fn an_app_that_must_isolate_and_may_not_needs_attention() {
    let mut site = Site::new(app(READS)).enforcing();
    let (ended, _) = check(&site);
    ended.complains(1, &["DEFENDER_CLIENT_ID", "Machine.Isolate", "admin consent"]);
    assert_eq!(ended.complaints().len(), 1);
    assert!(!ended.stdout.contains("all is well"));
    // Who only looks needs no such role.
    site.unset("CORDON_MODE");
    check(&site).0.well();
}

#[test]
fn an_app_that_must_read_and_may_not_needs_attention() {
    for (roles, missing) in [
        (&["Machine.Read.All"][..], "Alert.Read.All or Alert.ReadWrite.All"),
        (&["Alert.Read.All"], "Machine.Read.All or Machine.ReadWrite.All"),
        (&[], "Alert.Read.All"),
    ] {
        let (ended, _) = check(&Site::new(app(roles)));
        ended.complains(1, &["DEFENDER_CLIENT_ID", missing]);
    }
    check(&Site::new(app(&["Alert.ReadWrite.All", "Machine.ReadWrite.All"]))).0.well();
}

#[test]
fn the_app_that_acts_is_asked_for_its_own_role() {
    let with_actor = |roles: &[&str]| {
        Site::new(app(READS).app("actor", "actor's secret", roles))
            .enforcing()
            .with("DEFENDER_ACTOR_CLIENT_ID", "actor")
            .with("DEFENDER_ACTOR_CLIENT_SECRET", "actor's secret")
    };
    let site = with_actor(&["Machine.Isolate"]);
    let (ended, report) = check(&site);
    assert_eq!(
        (&report["reader_roles"], &report["actor_roles"]),
        (&json!(READS), &json!(["Machine.Isolate"]))
    );
    ended.well();
    // The role of the one does not count for the other.
    let (ended, _) = check(&with_actor(&["Alert.Read.All"]));
    ended.complains(1, &["DEFENDER_ACTOR_CLIENT_ID", "Machine.Isolate"]);
    assert_eq!(ended.complaints().len(), 1);

    let mut site = with_actor(&["Machine.Isolate"]);
    site.set("DEFENDER_ACTOR_CLIENT_SECRET", "wrong");
    site.cordon(&["check"])
        .complains(2, &["cordon: DEFENDER_ACTOR_CLIENT_SECRET", "the client secret is wrong"]);
    site.set("DEFENDER_ACTOR_CLIENT_ID", "nobody");
    site.cordon(&["check"]).complains(2, &["cordon: DEFENDER_ACTOR_CLIENT_ID", "AADSTS700016"]);
}

#[test]
fn an_asset_list_past_its_review_needs_attention() {
    let list = |day: &str| {
        format!(
            "[[lists]]\nname = \"domain-controllers\"\nowner = \"identity team\"\nreview_by = {day}\ntags = [\"dc\"]\n"
        )
    };
    let mut site = Site::new(one_high());
    site.write_playbook("assets.toml", &list("2020-01-31"));
    let (ended, report) = check(&site);
    ended.complains(1, &["assets.toml", "domain-controllers", "2020-01-31"]);
    assert!(ended.stdout.contains("OVERDUE"), "{}", ended.stdout);
    assert!(report["asset_lists"][0].as_str().unwrap().contains("identity team"));
    site.write_playbook("assets.toml", &list("2999-01-31"));
    assert!(!check(&site).0.well().contains("OVERDUE"));
}

#[test]
fn a_playbook_that_tells_nobody_needs_attention() {
    let mut site = Site::new(one_high());
    site.write_playbook("playbook.toml", "");
    check(&site).0.complains(1, &["[[channels]]", "nobody is told"]);
}

#[test]
fn devices_of_an_unknown_platform_are_counted_as_such() {
    let mut world = one_high();
    world.machines[0].os_platform = Some("Toaster 3".to_owned());
    assert_eq!(check(&Site::new(world)).1["devices"], json!({"unknown platform": 1}));
}

#[test]
fn devices_that_cannot_be_listed_need_attention_and_the_rest_is_reported() {
    let site = Site::new(
        one_high()
            .fault(Fault::once("GET machines", FaultKind::Throttle { retry_after: Some(600) }).always()),
    );
    let ended = site.cordon(&["check"]);
    ended.complains(1, &["the devices could not be listed", "quota"]);
    assert!(ended.stdout.contains("Alert.Read.All"), "{}", ended.stdout);
}

#[test]
fn it_needs_no_state_file_and_minds_none() {
    let site = Site::new(one_high());
    std::fs::write(site.path("cordon.db"), "not a database").unwrap();
    check(&site).0.well();
    let site = Site::new(one_high()).with("CORDON_STATE", "nowhere/cordon.db");
    check(&site).0.well();
}

const HUNTS_ON_GRAPH: &[&str] = &["ThreatHunting.Read.All"];

/// One hunt, with these lines at the head of its file.
fn with_hunt(world: World, head: &str) -> Site {
    let mut site = Site::new(world);
    site.write_playbook("hunts/remote-tools.toml", &hunt_file(head));
    site
}

#[test]
fn hunting_needs_a_permission_where_a_hunt_is_on() {
    let app = |graph: &[&str]| app(READS).graph_roles(DEFAULT_CLIENT, graph);
    let (ended, report) = check(&with_hunt(app(&[]), ""));
    ended.complains(1, &["DEFENDER_CLIENT_ID", "ThreatHunting.Read.All", "Microsoft Graph", "admin consent"]);
    assert_eq!(ended.complaints().len(), 1, "{}", ended.stderr);
    assert_eq!(report["reader_graph_roles"], json!([]));
    let (ended, report) = check(&with_hunt(app(HUNTS_ON_GRAPH), ""));
    let text = ended.well();
    assert!(
        text.contains("hunts        1 on") && text.contains("  on Graph   ThreatHunting.Read.All"),
        "{text}"
    );
    assert_eq!(report["hunts"], json!(["1 on"]));
    // Who has switched none on needs nothing, and is asked for no token of Graph's.
    let site = with_hunt(app(&[]), "enabled = false");
    let (ended, report) = check(&site);
    assert!(ended.well().contains("hunts        0 on, 1 off (remote-tools)"));
    assert_eq!(report["reader_graph_roles"], Value::Null);
}

#[test]
fn hunting_by_the_interface_that_ends_is_warned_of_and_needs_another_permission() {
    let by_defender = |roles: &[&str]| {
        with_hunt(app(roles).graph_roles(DEFAULT_CLIENT, &[]), "").with("DEFENDER_HUNTING_API", "defender")
    };
    let (ended, _) = check(&by_defender(READS));
    ended.complains(1, &["2027-02-01", "AdvancedQuery.Read.All", "WindowsDefenderATP"]);
    assert_eq!(ended.complaints().len(), 2, "{}", ended.stderr);
    let (ended, _) = check(&by_defender(&["Alert.Read.All", "Machine.Read.All", "AdvancedQuery.Read.All"]));
    ended.complains(1, &["2027-02-01"]);
    assert_eq!(ended.complaints().len(), 1, "{}", ended.stderr);
    // It is warned of before a hunt is on, too; only the permission is not needed yet.
    let (ended, _) = check(&Site::new(app(READS)).with("DEFENDER_HUNTING_API", "defender"));
    ended.complains(1, &["2027-02-01"]);
    assert_eq!(ended.complaints().len(), 1, "{}", ended.stderr);
}

#[test]
fn alerts_by_graph_need_its_permissions_instead_of_defenders() {
    let site = |graph: &[&str]| {
        let world = app(&["Machine.Read.All"]).graph_roles(DEFAULT_CLIENT, graph);
        Site::new(world).with("DEFENDER_ALERTS_API", "graph")
    };
    let (ended, _) = check(&site(&[]));
    ended.complains(1, &["SecurityAlert.Read.All or SecurityAlert.ReadWrite.All", "Microsoft Graph"]);
    assert_eq!(ended.complaints().len(), 1, "{}", ended.stderr);
    check(&site(&["SecurityAlert.Read.All"])).0.well();
    let mut releasing = site(&["SecurityAlert.Read.All"]);
    releasing.write_playbook(
        "playbook.toml",
        "[isolation]\nrelease_after = \"24h\"\n[[channels]]\nname = \"f\"\nkind = \"folder\"\npath = \"x\"\n",
    );
    check(&releasing).0.complains(1, &["SecurityIncident.Read.All"]);
}

#[test]
fn a_hunt_whose_rows_may_isolate_is_pointed_out() {
    let mut site = Site::new(found(0));
    site.write_playbook("hunts/remote-tools.toml", &format!("{}may_isolate = true\n", hunt_file("")));
    let (ended, report) = check(&site);
    let words = "what remote-tools finds may cut a device off (may_isolate)";
    assert!(ended.well().contains(words));
    assert!(report["hunts"][1].as_str().unwrap().contains(words), "{report}");
}

#[test]
fn what_is_wrong_with_a_hunt_is_listed_with_the_rest_of_the_playbook() {
    let mut site = Site::new(found(0));
    site.write_playbook("hunts/remote-tools.toml", "description = \"x\"\nevry = \"10m\"\n");
    for command in [&["check"][..], &["check", "--playbook"], &["run", "--once"], &["hunts"], &["hunt", "x"]]
    {
        let ended = site.cordon(command);
        ended.complains(2, &["CORDON_PLAYBOOK", "remote-tools.toml", "evry"]);
    }
}
