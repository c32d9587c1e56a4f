//! Samples of mails for scripts/check-mails, which looks at them in a browser. Writes nothing unless it is asked to.

use crate::{
    hostile::{corpus, everywhere},
    samples::{PORTAL, STATES, mail, notice, notice_mail, release, requested, taken},
};
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

/// What a reader sees where each kind of message arrives.
fn samples() -> Vec<(String, notify::Mail)> {
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

#[test]
fn samples_are_written_for_the_browser() {
    let samples = samples();
    assert!(samples.iter().all(|(_, mail)| !mail.html.is_empty()));
    let Some(folder) = std::env::var_os("CORDON_MAILS") else { return };
    for (name, mail) in samples {
        let name = name.replace(' ', "-");
        std::fs::write(Path::new(&folder).join(format!("{name}.html")), &mail.html).unwrap();
        std::fs::write(Path::new(&folder).join(format!("{name}.txt")), &mail.text).unwrap();
    }
}
