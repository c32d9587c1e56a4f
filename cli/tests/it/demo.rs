//! `cordon demo`: the whole pipeline with nothing configured.

use crate::site::Site;
use std::time::Duration;

#[test]
fn the_demo_tells_the_story_of_every_alert_and_needs_no_settings() {
    let site = Site::bare();
    let ended = site.cordon(&["demo", "--mail", "mails/of the demo"]);
    assert!(ended.took < Duration::from_secs(30), "{:?}", ended.took);
    println!("the demo took {:?}", ended.took);
    let text = ended.well();

    // One paragraph each: the title, and what became of it.
    let paragraph = |title: &str| {
        let all: Vec<&str> = text.split("\n\n").filter(|paragraph| paragraph.contains(title)).collect();
        let [one] = all[..] else { panic!("`{title}` in {text}") };
        one
    };
    for (title, words) in [
        (
            "Ransomware-linked activity",
            &["High", "fin-ws-0114", "requested", "succeeded", "the alert is High"][..],
        ),
        ("Suspicious replication request", &["High", "WindowsServer2022", "proposed", "server"]),
        ("Suspicious service registration", &["High", "proposed", "cordon-exclude"]),
        ("Suspicious process injection", &["High", "already resolved", "0 e-mail"]),
        ("不審な PowerShell", &["Medium", "proposed", "営業"]),
        ("Unwanted software was prevented", &["Informational", "nothing to do", "0 e-mail"]),
        ("Suspicious access to LSASS", &["High", "hr-ws-0031", "succeeded"]),
        ("Credential theft tool launched", &["High", "hr-ws-0031", "one isolation for this device"]),
        ("Hands-on-keyboard activity", &["High", "field-lt-0209", "pending"]),
        ("finance share read", &["High", "nothing to ask", "custom detection", "fin-ws-0114", "0 e-mail"]),
    ] {
        for word in words {
            assert!(paragraph(title).contains(word), "`{word}` in {}", paragraph(title));
        }
    }
    assert!(!paragraph("Hands-on-keyboard activity").contains("succeeded"));
    for title in ["Suspicious process injection", "Unwanted software", "Suspicious service registration"] {
        assert!(!paragraph(title).contains("requested"), "{}", paragraph(title));
    }
    assert!(text.contains("One poll found 10 alerts"), "{text}");
    assert!(text.contains("3 isolations"), "four High alerts on three devices: {text}");
    assert!(text.contains("mails/of the demo"), "the folder is named: {text}");
    assert_eq!(site.mails("mails/of the demo").len(), 9);
    assert_eq!(site.listing(), ["mails"], "nothing else is touched");
    assert!(!text.contains('\u{1b}'), "no colours where there is no terminal");
}

#[test]
fn without_a_folder_the_mails_lie_in_demo_mail() {
    let site = Site::bare();
    site.cordon(&["demo"]).well();
    assert_eq!(site.mails("demo-mail").len(), 9);
    assert_eq!(site.listing(), ["demo-mail"]);
}

#[test]
fn what_is_set_for_a_real_tenant_plays_no_part() {
    let mut site = Site::new(simulator::World::new(crate::site::now())).with("CORDON_MODE", "observe");
    site.set("CORDON_PLAYBOOK", "nowhere");
    let text = site.cordon(&["demo"]).well();
    assert!(text.contains("succeeded"), "{text}");
    assert!(site.simulator.journal().is_empty());
    assert_eq!(site.listing(), ["demo-mail"]);
}

#[test]
fn a_folder_that_takes_no_mail_needs_attention() {
    let site = Site::bare();
    std::fs::write(site.path("taken"), "a file").unwrap();
    let ended = site.cordon(&["demo", "--mail", "taken"]);
    ended.complains(1, &["cordon: "]);
}

#[test]
fn the_readme_shows_what_the_demo_prints() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let shown = readme.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let site = Site::bare();
    assert_eq!(site.cordon(&["demo"]).well(), shown, "run `scripts/demo` and put its output into README.md");
}
