//! What hunts find: tables wherever they are read, and alerts of Cordon's own, which Defender does not know.

use crate::{
    http_receiver::{self, Answer, env},
    once::read,
    samples::{HUNT, device, found, hunted, mail, notice, notice_mail, now, requested, table, taken, tenant},
    slack,
    stage::Stage,
    teams,
};
use model::{Answer as Decided, DeviceFact, EffectState, Envelope, Mode, Notice, Table, Topic};
use notify::Templates;
use policy::{Channel, ChannelKind};
use serde_json::json;

/// A notice of what a hunt has found, as a message.
fn message(notice: Notice) -> Envelope<Notice> {
    Envelope::new(&tenant(), &["found"], "trace", now(), notice)
}

#[test]
fn a_table_in_a_mail_is_a_block_of_lines_for_each_row() {
    let expected = r#"
The hunt `remote-tools` has found 5 rows that it had not found before.

For your information · hunt remote-tools: 5 rows

ROWS
  1. Timestamp: 2026-11-20T10:00:00Z
     - DeviceName: laptop-7
     - RemoteUrl: evil[.]example
     - InitiatingProcessCommandLine: tool.exe --password ***
  2. Timestamp: 2026-11-20T10:01:00Z
     - DeviceName: laptop-8
     - InitiatingProcessCommandLine: tool.exe -quiet
  and 3 more rows

WHAT HAPPENED
"#;
    let mail = notice_mail(&notice(found()));
    let (rows, _) = mail.text.split_once("  A hunt is").unwrap();
    assert_eq!(rows, expected.trim_start());
    assert_eq!(mail.subject, "[Cordon] 9 For your information · hunt remote-tools: 5 rows");
}

#[test]
fn one_row_is_told_as_one() {
    let mut one = notice(found());
    one.table = Some(Table { rows: table().rows[..1].to_vec(), more: 0, ..table() });
    let mail = notice_mail(&one);
    assert!(mail.subject.ends_with("hunt remote-tools: 1 row"), "{}", mail.subject);
    assert!(!mail.text.contains("more row"), "{}", mail.text);
}

#[test]
fn rows_that_stand_in_no_table_are_not_told_as_none() {
    let mut missing = notice(found());
    missing.table = None;
    let mail = notice_mail(&missing);
    assert_eq!(mail.subject, "[Cordon] 0 Look now · hunt remote-tools: rows are missing");
    assert!(!mail.text.contains("ROWS") && !mail.text.contains("0 rows"), "{}", mail.text);
}

#[test]
fn a_column_that_is_named_like_a_command_never_stands_like_one() {
    let mut forged = notice(found());
    let name = "cordon release --all".to_owned();
    forged.table = Some(Table { columns: vec![name.clone(); 2], rows: vec![vec![name; 2]], more: 0 });
    let text = notice_mail(&forged).text;
    assert!(text.contains("- cordon release --all: cordon release --all"), "{text}");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("cordon release")), "{text}");
}

/// A template from before there were tables, which would lose what was found.
#[tokio::test]
async fn a_template_of_the_playbook_that_shows_no_rows_is_not_used_for_a_table() {
    let (playbook, mails) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(playbook.path().join("templates")).unwrap();
    std::fs::write(playbook.path().join("templates/mail.txt"), "OURS {{ headline }}").unwrap();
    let folder = Channel::new("folder", ChannelKind::Folder { path: mails.path().to_owned() });
    let mut notify = crate::memory::notify(
        notify::open(&[folder], &credentials::Vars::default(), None, &mut credentials::Problems::default()),
        crate::memory::Memory::state().1,
        ports::Tally::default(),
    );
    notify.templates = Templates::read(playbook.path()).unwrap();
    Box::pin(notify.handle_notice(message(notice(found())), now())).await;
    Box::pin(notify.handle_notice(crate::samples::envelope(notice(Topic::Paused)), now())).await;
    let letters = std::fs::read_dir(mails.path()).unwrap();
    let letters: Vec<String> =
        letters.map(|letter| read(&std::fs::read(letter.unwrap().path()).unwrap())).collect();
    let of = |words: &str| letters.iter().find(|letter| letter.contains(words)).unwrap();
    assert!(of("remote-tools").contains("laptop-8") && !of("remote-tools").contains("OURS"));
    assert!(of("Cordon is paused").contains("OURS"));
}

#[tokio::test]
async fn chats_are_told_the_first_ten_rows_without_command_lines() {
    let (cards, blocks) = (
        http_receiver::Receiver::start(Answer::Status(202, "")).await,
        http_receiver::Receiver::start(Answer::Status(200, "ok")).await,
    );
    let channels = vec![
        Channel::new("cards", ChannelKind::Teams { url: env("TEAMS_URL") }),
        Channel::new("blocks", ChannelKind::Slack { url: env("SLACK_URL") }),
    ];
    let urls = [("TEAMS_URL", cards.url("/workflows/x")), ("SLACK_URL", blocks.url("/services/x"))];
    let stage = Stage::new(channels, &urls, now());
    let mut many = notice(found());
    let rows = (1..=30).map(|nth| vec![format!("device-{nth:02}-x"), format!("tool.exe -secret-{nth}")]);
    let columns = ["DeviceName", "ProcessCommandLine"].map(str::to_owned).to_vec();
    many.table = Some(Table { columns, rows: rows.collect(), more: 5 });
    stage.send(&[message(many)]).await;
    stage.work().await;
    let [card] = cards.received().try_into().unwrap();
    let [blocks] = blocks.received().try_into().unwrap();
    teams::card_of(&card.json());
    for told in [card.json().to_string(), slack::checked(blocks.json()).to_string()] {
        for nth in 1..=10 {
            assert!(told.contains(&format!("{nth}. DeviceName: device-{nth:02}-x")), "{nth} of {told}");
        }
        assert!(!told.contains("device-11-x") && !told.contains("-secret-"), "{told}");
        assert!(told.contains("and 25 more rows; 1 column with command lines is not shown here"), "{told}");
        assert!(told.contains("cordon hunt remote-tools --since 24h"), "{told}");
    }
}

#[tokio::test]
async fn a_program_gets_every_row_and_the_name_of_the_hunt() {
    let receiver = http_receiver::Receiver::start(Answer::Status(200, "")).await;
    let key = "whsec_MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw".to_owned();
    let kind = ChannelKind::Webhook { url: env("HOOK_URL"), key: env("HOOK_KEY") };
    let settings = [("HOOK_URL", receiver.url("/")), ("HOOK_KEY", key)];
    let stage = Stage::new(vec![Channel::new("soar", kind)], &settings, now());
    let mut many = notice(found());
    many.table = Some(Table {
        columns: vec!["DeviceName".into(), "ProcessCommandLine".into()],
        rows: (0..30).map(|nth| vec![format!("device-{nth}"), "secret".to_owned()]).collect(),
        more: 5,
    });
    stage.send(&[message(many)]).await;
    stage.work().await;
    stage.send(&[crate::samples::envelope(hunted(requested()))]).await;
    stage.work().await;
    let [table, alert] = receiver.received().try_into().unwrap();
    let (table, alert) = (table.json(), alert.json());
    assert_eq!(table["table"]["columns"], json!(["DeviceName"]));
    assert_eq!(table["table"]["rows"].as_array().map(Vec::len), Some(30));
    assert_eq!((&table["table"]["more"], &table["hunt"]), (&json!(5), &json!(HUNT)));
    assert_eq!((&table["outcome"], &table["urgent"]), (&json!("a hunt has found rows"), &json!(false)));
    assert!(!table.to_string().contains("secret"), "{table}");
    assert_eq!((&alert["hunt"], &alert["table"]), (&json!(HUNT), &json!(null)));
    assert_eq!(alert["links"].as_object().unwrap().keys().collect::<Vec<_>>(), ["device"]);
}

#[tokio::test]
async fn in_a_digest_what_a_hunt_has_found_is_a_count_and_leads_to_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let channel = Channel {
        digest_after: Some(1),
        ..Channel::new("folder", ChannelKind::Folder { path: folder.path().to_owned() })
    };
    let mut stage = Stage::new(vec![channel], &[], now());
    for nth in ["1", "2", "3"] {
        stage.send(&[Envelope::new(&tenant(), &[nth], "trace", now(), notice(found()))]).await;
        stage.work().await;
    }
    stage.until_idle().await;
    assert_eq!(stage.deliveries(), 2, "one by itself, and one digest");
    let letters = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let mut letters = letters.map(|path| read(&std::fs::read(path).unwrap()));
    let digest = letters.find(|letter| letter.contains("it is told together")).unwrap();
    assert!(digest.contains("told together: 2 messages."), "{digest}");
    assert!(digest.contains("· hunt remote-tools · a hunt has found rows ·"), "{digest}");
    assert!(
        digest.contains("has found 5 rows") && digest.contains("cordon hunt NAME --since 24h"),
        "{digest}"
    );
    assert!(!digest.contains("unknown device"), "{digest}");
}

#[test]
fn an_alert_of_a_hunt_names_the_hunt_and_leads_to_the_device_alone() {
    let text = mail(&hunted(requested())).text;
    assert!(text.contains("  Found by    the hunt remote-tools\n"), "{text}");
    assert!(text.replace("\n ", "").contains("Defender shows no such alert."), "{text}");
    assert!(!text.contains("/alerts/"), "{text}");
    assert!(text.contains(&format!("/machines/{}", device().id)), "{text}");
    assert!(!mail(&requested()).text.contains("Found by"));
}

/// The title of a hunt's alert is made of a row's values.
#[tokio::test]
async fn a_secret_in_the_title_of_a_hunts_alert_reaches_nobody() {
    let receiver = http_receiver::Receiver::start(Answer::Status(200, "")).await;
    let folder = tempfile::tempdir().unwrap();
    let key = "whsec_MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw".to_owned();
    let hook = ChannelKind::Webhook { url: env("HOOK_URL"), key: env("HOOK_KEY") };
    let digests = Channel {
        digest_after: Some(1),
        ..Channel::new("folder", ChannelKind::Folder { path: folder.path().to_owned() })
    };
    let settings = [("HOOK_URL", receiver.url("/")), ("HOOK_KEY", key)];
    let mut stage = Stage::new(vec![Channel::new("soar", hook), digests], &settings, now());
    for nth in ["1", "2", "3"] {
        let mut taken = hunted(requested());
        let filler = "x".repeat(90);
        taken.alert.title = format!("x.exe /pass:hunter2 ran, {filler} --password hunter2{filler}{filler}");
        let told = mail(&taken);
        assert!(told.text.contains("x.exe /pass:*** ran"), "{}", told.text);
        assert!(told.subject.contains("x.exe /pass:*** ran"), "{}", told.subject);
        assert!(!told.text.contains("hunter2") && !told.subject.contains("hunter2"), "{}", told.text);
        taken.alert.id = format!("hunt-remote-tools-000000000000000{nth}").parse().unwrap();
        stage.send(&[Envelope::new(&tenant(), &[nth], "trace", now(), taken)]).await;
        stage.work().await;
    }
    stage.until_idle().await;
    for told in receiver.received() {
        let told = told.json().to_string();
        assert!(told.contains("/pass:***") && !told.contains("hunter2"), "{told}");
    }
    let letters = std::fs::read_dir(folder.path()).unwrap();
    let letters: Vec<String> =
        letters.map(|letter| read(&std::fs::read(letter.unwrap().path()).unwrap())).collect();
    assert!(letters.iter().any(|letter| letter.contains("told together")), "{letters:?}");
    assert!(
        letters.iter().all(|letter| letter.contains("/pass:***") && !letter.contains("hunter2")),
        "{letters:?}"
    );
}

#[test]
fn a_hunt_by_hand_is_not_offered_with_a_stack() {
    let one = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let found = one(&notice_mail(&notice(found())).text);
    assert!(found.contains("with the settings of the app that reads; it takes no --stack."), "{found}");
    let broken = one(&notice_mail(&notice(Topic::HuntBroken { hunt: HUNT.into() })).text);
    assert!(broken.contains("add --stack and its name, but not to `cordon hunt NAME`"), "{broken}");
    let overdue = one(&notice_mail(&notice(Topic::HuntOverdue { hunt: HUNT.into() })).text);
    assert!(overdue.contains("add --stack and its name. Sent"), "{overdue}");
}

#[test]
fn nobody_is_sent_to_an_alert_that_defender_does_not_have() {
    let mut lost = hunted(taken(Decided::Refused, Mode::Enforce, Some(EffectState::Refused)));
    lost.device = DeviceFact::Unknown { why: "x".into() };
    lost.alert.evidence_truncated = true;
    let text = mail(&lost).text.replace("\n ", "");
    assert!(!text.contains("start from the alert") && !text.contains("see the alert"), "{text}");
    assert!(text.contains("look for it by its name"), "{text}");
}

#[test]
fn a_name_of_a_hunt_that_could_act_in_a_shell_stands_in_no_command() {
    for hunt in ["x; reboot", "-x", "", "$(id)"] {
        for topic in [Topic::HuntFound { hunt: hunt.into() }, Topic::HuntCrowded { hunt: hunt.into() }] {
            let text = notice_mail(&notice(topic)).text;
            assert!(text.contains("\n    cordon hunt NAME --since 24h\n"), "{text}");
        }
    }
}
