//! Samples of mails for scripts/check-mails, which looks at them in a browser. Writes nothing unless it is asked to.

use crate::{
    digests::digest_letter,
    hostile::{corpus, everywhere, notice_of},
    samples::{PORTAL, STATES, found, hunted, mail, notice, notice_mail, release, requested, taken},
};
use mail_parser::MessageParser;
use model::{ActionTaken, Answer, DeviceFact, EffectState, Mode, Topic};
use std::path::Path;

/// The outcome with names that are not written in Latin letters.
fn in_japanese() -> ActionTaken {
    let mut taken = requested();
    taken.alert.title = "ファイルの不審な暗号化が検出されました".into();
    if let DeviceFact::Known(device) = &mut taken.device {
        device.name = Some("東京営業部-ノートパソコン-07".into());
        device.group = Some("营销部 · 마케팅".into());
    }
    if let Some(user) = &mut taken.alert.user {
        user.name = "山田太郎".into();
    }
    taken
}

/// A storm, told together: in several states, about devices with names of several scripts.
async fn digest() -> notify::Mail {
    let names = [
        "laptop-7",
        "LAPTOP-8.finance.contoso.com",
        "東京営業部-ノートパソコン-07",
        "营销部-笔记本电脑-12",
        "마케팅-노트북-3",
        "a-workstation-with-a-name-as-long-as-anybody-gives.contoso.com",
    ];
    let states = [
        EffectState::Requested,
        EffectState::Requested,
        EffectState::Held,
        EffectState::Failed,
        EffectState::Succeeded,
        EffectState::Requested,
        EffectState::Pending,
        EffectState::Held,
        EffectState::Unknown,
        EffectState::Proposed,
        EffectState::Adopted,
        EffectState::Released,
    ];
    let outcome = |(state, name): (EffectState, &&str)| {
        let mut taken = taken(Answer::Isolate, Mode::Enforce, Some(state));
        if let DeviceFact::Known(device) = &mut taken.device {
            device.name = Some((*name).to_owned());
        }
        taken
    };
    let outcomes = states.into_iter().zip(names.iter().cycle()).map(outcome);
    let letter = digest_letter(outcomes.collect()).await;
    let letter = MessageParser::default().parse(&letter).unwrap();
    notify::Mail {
        subject: letter.subject().unwrap().to_owned(),
        text: letter.body_text(0).unwrap().replace("\r\n", "\n"),
        html: letter.body_html(0).unwrap().replace("\r\n", "\n"),
    }
}

/// What a reader sees where each kind of message arrives.
async fn samples() -> Vec<(String, notify::Mail)> {
    let follow_up = |taken: &ActionTaken| {
        let id = "action-taken-0123456789abcdef0123456789abcdef".parse().unwrap();
        let at = "2026-11-20T10:09:00Z".parse().unwrap();
        notify::render_follow_up(taken, "incident 1126093 on laptop-7", PORTAL, at, &id)
    };
    let mut all = vec![
        ("first-requested".to_owned(), mail(&requested())),
        ("first-japanese".to_owned(), mail(&in_japanese())),
        ("observed".to_owned(), mail(&taken(Answer::Isolate, Mode::Observe, Some(EffectState::Observed)))),
        ("refused".to_owned(), mail(&taken(Answer::Refused, Mode::Enforce, Some(EffectState::Refused)))),
        (
            "follow-up".to_owned(),
            follow_up(&taken(Answer::Isolate, Mode::Enforce, Some(EffectState::Succeeded))),
        ),
        ("notice".to_owned(), notice_mail(&notice(Topic::Holding))),
        ("notice-device".to_owned(), notice_mail(&notice(Topic::StillIsolated))),
        ("notice-table".to_owned(), notice_mail(&notice(found()))),
        ("notice-table-hostile".to_owned(), notice_mail(&notice_of(found(), &"漢字<b>".repeat(60)))),
        ("found-by-a-hunt".to_owned(), mail(&hunted(requested()))),
        ("digest".to_owned(), digest().await),
        ("test".to_owned(), notice_mail(&notice(Topic::Sample { channel: "mail".into() }))),
    ];
    all.extend(STATES.map(|state| {
        (
            format!("state-isolation-{}", state.word()),
            mail(&taken(Answer::Isolate, Mode::Enforce, Some(state))),
        )
    }));
    all.extend(
        [EffectState::Requested, EffectState::Failed, EffectState::Released]
            .map(|state| (format!("state-release-{}", state.word()), mail(&release(state)))),
    );
    all.extend(
        corpus()
            .iter()
            .enumerate()
            .map(|(number, text)| (format!("hostile-{number:02}"), mail(&everywhere(text)))),
    );
    all
}

#[tokio::test]
async fn samples_are_written_for_the_browser() {
    let samples = samples().await;
    assert!(samples.iter().all(|(_, mail)| !mail.html.is_empty()));
    let Some(folder) = std::env::var_os("CORDON_MAILS").filter(|folder| !folder.is_empty()) else { return };
    for (name, mail) in samples {
        let name = name.replace(' ', "-");
        std::fs::write(Path::new(&folder).join(format!("{name}.html")), &mail.html).unwrap();
        std::fs::write(Path::new(&folder).join(format!("{name}.txt")), &mail.text).unwrap();
    }
}
