//! What people read, word for word.

use crate::samples::{PORTAL, STATES, alert, mail, process, release, requested, taken};
use model::{ActionTaken, Answer, DeviceFact, EffectState, Evidence, Mode};

/// Whether the plain text down to the links is as expected.
fn check(answer: Answer, mode: Mode, state: EffectState, expected: &str) {
    assert_eq!(down_to_the_links(&taken(answer, mode, Some(state))), expected.trim_start());
}

fn down_to_the_links(taken: &ActionTaken) -> String {
    let text = mail(taken).text;
    let (told, _) = text.split_once("\nIN THE PORTAL").unwrap();
    told.to_owned()
}

/// The headline, on one line.
pub(crate) fn first_line(text: &str) -> String {
    text.split("\n\n").next().unwrap().replace("\n  ", " ")
}

#[test]
fn observing_says_first_that_nothing_was_done() {
    check(
        Answer::Isolate,
        Mode::Observe,
        EffectState::Observed,
        r#"
Nothing was done: Cordon is observing. It would have isolated laptop-7.

High · Suspicious encryption of files

  Device      laptop-7
  User        CONTOSO\alice
  State       would isolate (observing)
  Story       incident 1126093 on laptop-7

WHAT TO DO NEXT
  Nobody has acted. Judge the alert yourself.
  If you agree, isolate the device in the portal: open the device page and
  choose "Isolate device".

WHAT HAPPENED
  In enforce mode Cordon would have asked for an isolation (Full): the device
  would lose everything but the connection to Defender.

WHY
  For it: the alert is High (policy isolate-high)
"#,
    );
}

#[test]
fn a_proposal_says_that_nobody_has_acted() {
    check(
        Answer::Propose,
        Mode::Enforce,
        EffectState::Proposed,
        r#"
Cordon asks whether to isolate laptop-7. Nobody has acted.

High · Suspicious encryption of files

  Device      laptop-7
  User        CONTOSO\alice
  State       asks whether to isolate
  Story       incident 1126093 on laptop-7

WHAT TO DO NEXT
  If you agree, have Cordon isolate the device (add --even-so for a server or
  a listed asset):
    cordon isolate 1e5bc9d7e413ddd7902c2932e418702b84d0cc07 --alert da637472900382838869_1364969609 --comment "…"
  Or isolate it in the portal: open the device page and choose "Isolate
  device".
  If you do not agree, there is nothing to undo.

WHAT HAPPENED
  The policy leaves this to a person. The isolation would be Full: the device
  would lose everything but the connection to Defender.

WHY
  For it: the alert is High (policy isolate-high)
"#,
    );
}

#[test]
fn a_refusal_gives_its_reasons_and_doubts() {
    check(
        Answer::Refused,
        Mode::Enforce,
        EffectState::Refused,
        r#"
Cordon did not isolate laptop-7: the isolation was refused.

High · Suspicious encryption of files

  Device      laptop-7
  User        CONTOSO\alice
  State       not isolated (it is a server)
  Story       incident 1126093 on laptop-7

WHAT TO DO NEXT
  Nobody has acted, and the alert may still be a real one: look at it now.
  Cordon was not sure of its facts. Check the doubts under Why before you act
  on them.
  If the device has to be cut off, isolate the device in the portal: open the
  device page and choose "Isolate device".

WHAT HAPPENED
  Something would be permitted, but a prohibition or a doubt stands against
  it.

WHY
  For it: the alert is High (policy isolate-high)
  Against it: it is a server (policy no-servers)
  Doubt: the device was read 3 hours ago
"#,
    );
}

#[test]
fn an_unknown_outcome_warns_of_doing_it_again() {
    check(
        Answer::Isolate,
        Mode::Enforce,
        EffectState::Unknown,
        r#"
It is unknown whether the isolation of laptop-7 was asked for.

High · Suspicious encryption of files

  Device      laptop-7
  User        CONTOSO\alice
  State       isolation unknown
  Story       incident 1126093 on laptop-7

WHAT TO DO NEXT
  Do not isolate it again by hand before looking at the device's action
  center.
  Until then, treat the device as connected.

HOW TO UNDO IT
  Have Cordon release the device:
    cordon release 1e5bc9d7e413ddd7902c2932e418702b84d0cc07 --comment "…"
  Or in the portal: open the device page and choose "Release from isolation".
  As long as the isolation is pending, cancel it in the device's action center
  instead.

WHAT HAPPENED
  The request may or may not have reached Defender. Cordon settles this by
  reading the device's actions, never by blindly asking again.

WHY
  For it: the alert is High (policy isolate-high)
"#,
    );
}

#[test]
fn a_time_out_says_that_the_device_is_connected() {
    check(
        Answer::Isolate,
        Mode::Enforce,
        EffectState::TimedOut,
        r#"
The isolation of laptop-7 timed out: Defender has given up.

High · Suspicious encryption of files

  Device      laptop-7
  User        CONTOSO\alice
  State       isolation timed out
  Story       incident 1126093 on laptop-7

WHAT TO DO NEXT
  Treat the device as connected.
  It is not asked for again by itself.
  If the device still has to be cut off, have Cordon ask once more:
    cordon isolate 1e5bc9d7e413ddd7902c2932e418702b84d0cc07 --reissue --comment "…"
  Or isolate it in the portal (device page: "Isolate device") or keep it off
  the network.

WHAT HAPPENED
  Usually the device was offline all the time. It is not isolated when it
  comes back.

WHY
  For it: the alert is High (policy isolate-high)
"#,
    );
}

#[test]
fn a_held_isolation_says_what_holds_it_and_how_it_goes_on() {
    let mut held = taken(Answer::Isolate, Mode::Enforce, Some(EffectState::Held));
    held.notes = vec!["the limit of 10 isolations in an hour is reached".into()];
    assert_eq!(
        down_to_the_links(&held),
        r#"
The isolation of laptop-7 is held: nothing was asked, and the device is
  connected.

High · Suspicious encryption of files

  Device      laptop-7
  User        CONTOSO\alice
  State       isolation held
  Story       incident 1126093 on laptop-7

WHAT TO DO NEXT
  Treat the device as connected.
  See what is held and why, the most severe first:
    cordon held
  If a limit holds it back, raise the limit for a while:
    cordon limits raise --to N --for 1h --comment "…"
  If a breaker is open, look at its alerts first, then close it by the name
  that `cordon limits` gives:
    cordon limits close "BREAKER" --comment "…"
  If Cordon is paused:
    cordon resume --comment "…"
  Then let it go on; it is judged anew:
    cordon held run da637472900382838869_1364969609 --comment "…"

WHAT HAPPENED
  A limit, an open breaker or a pause stands against it. It waits for a
  person, for 24 hours; after that it is given up, and people are told.

WHY
  For it: the alert is High (policy isolate-high)
  Held back: the limit of 10 isolations in an hour is reached
"#
        .trim_start()
    );
}

#[test]
fn a_release_that_is_only_requested_leaves_the_device_cut_off() {
    assert_eq!(
        down_to_the_links(&release(EffectState::Requested)),
        r#"
Cordon asked for the release of laptop-7, and Defender accepted the request.

High · Suspicious encryption of files

  Device      laptop-7
  User        CONTOSO\alice
  State       release requested
  Story       incident 1126093 on laptop-7

WHAT TO DO NEXT
  Treat the device as cut off until its release is reported.

HOW TO UNDO IT
  As long as the release is pending, cancel it in the device's action center;
  the device stays cut off.

WHAT HAPPENED
  Accepted is not released: the device has its network back only once its
  sensor has carried this out.
"#
        .trim_start()
    );
    let table = mail(&release(EffectState::Requested)).text;
    assert!(table.contains("  Effect      release\n  State       requested\n"), "{table}");
}

#[test]
fn a_release_that_timed_out_says_that_the_device_is_still_cut_off() {
    assert_eq!(
        down_to_the_links(&release(EffectState::TimedOut)),
        r#"
The release of laptop-7 timed out: Defender has given up.

High · Suspicious encryption of files

  Device      laptop-7
  User        CONTOSO\alice
  State       release timed out
  Story       incident 1126093 on laptop-7

WHAT TO DO NEXT
  Treat the device as cut off until its release is reported.
  It is not asked for again by itself.
  Have Cordon release the device:
    cordon release 1e5bc9d7e413ddd7902c2932e418702b84d0cc07 --comment "…"
  Or in the portal: open the device page and choose "Release from isolation".

WHAT HAPPENED
  Usually the device was offline all the time. It is still cut off when it
  comes back.
"#
        .trim_start()
    );
}

/// The policy that has isolated the device is no reason to release it.
#[test]
fn why_a_device_is_released_says_who_ordered_it_and_why() {
    let mut ordered = release(EffectState::Released);
    ordered.notes = vec!["ordered by anna@contoso.com: it is clean".into()];
    let mut seen = taken(Answer::Isolate, Mode::Enforce, Some(EffectState::Released));
    seen.notes = vec!["somebody has released it".into()];
    for (taken, why) in
        [(ordered, "ordered by anna@contoso[.]com: it is clean"), (seen, "somebody has released it")]
    {
        let told = down_to_the_links(&taken);
        assert!(told.ends_with(&format!("\nWHY\n  Noted: {why}\n")), "{told}");
        assert!(!told.contains("the alert is High"), "{told}");
    }
}

/// Where the link stands is the template's business, and there may be none.
#[test]
fn no_words_lead_to_a_place_above_or_below() {
    for state in STATES {
        for taken in [taken(Answer::Isolate, Mode::Enforce, Some(state)), release(state)] {
            let text = mail(&taken).text.replace("\n", " ");
            assert!(!text.contains("below") && !text.contains("above"), "{text}");
        }
    }
}

#[test]
fn every_state_of_a_release_is_told_in_its_own_word() {
    let cases = [
        (
            EffectState::Claimed,
            "release claimed",
            "Cordon is about to ask for the release of laptop-7. Nothing was asked yet.",
        ),
        (
            EffectState::Requesting,
            "release requesting",
            "Cordon is asking for the release of laptop-7. There is no answer yet.",
        ),
        (
            EffectState::Requested,
            "release requested",
            "Cordon asked for the release of laptop-7, and Defender accepted the request.",
        ),
        (
            EffectState::Pending,
            "release pending",
            "The release of laptop-7 is still pending: it is not known to have its network back.",
        ),
        (
            EffectState::Succeeded,
            "release succeeded",
            "laptop-7 is released: Defender reports that its isolation has ended.",
        ),
        (EffectState::Failed, "release failed", "The release of laptop-7 failed."),
        (
            EffectState::TimedOut,
            "release timed out",
            "The release of laptop-7 timed out: Defender has given up.",
        ),
        (EffectState::Cancelled, "release cancelled", "The release of laptop-7 was cancelled."),
        (
            EffectState::Adopted,
            "release adopted",
            "Cordon asked for nothing: a release of laptop-7 is open already.",
        ),
        (
            EffectState::Unknown,
            "release unknown",
            "It is unknown whether the release of laptop-7 was asked for.",
        ),
        (
            EffectState::Refused,
            "release refused",
            "Cordon did not release laptop-7: the release was refused.",
        ),
        (EffectState::Observed, "release observed", "Cordon did not release laptop-7: it is observing."),
        (
            EffectState::Proposed,
            "release proposed",
            "Cordon asks whether to release laptop-7. Nobody has acted.",
        ),
        (EffectState::Held, "release held", "The release of laptop-7 is held: nothing was asked."),
        (
            EffectState::Released,
            "released",
            "laptop-7 is released: Defender reports that its isolation has ended.",
        ),
    ];
    assert_eq!(cases.each_ref().map(|(state, ..)| *state), STATES);
    for (state, phrase, headline) in cases {
        let mail = mail(&release(state));
        let subject = format!("[Cordon] 1 High · {phrase} · laptop-7 · Suspicious encryption of files");
        assert_eq!((mail.subject.as_str(), first_line(&mail.text).as_str()), (subject.as_str(), headline));
        let through = matches!(state, EffectState::Released | EffectState::Succeeded);
        assert_eq!(mail.text.contains("laptop-7 is released"), through, "{}", mail.text);
        assert_eq!(mail.text.contains("Treat the device as cut off"), !through, "{}", mail.text);
        assert!(!mail.text.contains("Treat the device as connected"), "{}", mail.text);
    }
}

#[test]
fn somebody_elses_release_is_told_as_one_and_can_be_undone() {
    let mail = mail(&taken(Answer::Isolate, Mode::Enforce, Some(EffectState::Released)));
    assert_eq!(
        first_line(&mail.text),
        "laptop-7 is released: Defender reports that its isolation has ended."
    );
    let isolate = "    cordon isolate 1e5bc9d7e413ddd7902c2932e418702b84d0cc07 --comment \"…\"\n";
    assert!(mail.text.contains(isolate), "{}", mail.text);
}

#[test]
fn while_observing_no_command_to_isolate_is_offered() {
    for answer in [Answer::Isolate, Answer::Propose, Answer::Refused] {
        let text = mail(&taken(answer, Mode::Observe, Some(EffectState::Observed))).text;
        assert!(!text.contains("cordon isolate") && !text.contains("--stack"), "{text}");
    }
}

#[test]
fn a_device_that_could_not_be_read_can_still_be_released() {
    let mut unread = release(EffectState::Failed);
    unread.device = DeviceFact::Unknown { why: "the service does not answer".into() };
    let text = mail(&unread).text;
    assert!(text.contains("    cordon release 1e5bc9d7e413ddd7902c2932e418702b84d0cc07 --comment"), "{text}");
    unread.alert.device = None;
    let text = mail(&unread).text;
    assert!(
        !text.contains("cordon release") && text.contains("  In the portal, open the device page"),
        "{text}"
    );
}

#[test]
fn an_id_that_a_shell_would_act_upon_stands_in_no_command() {
    for id in ["x;reboot", "$(reboot)", "`reboot`", "a|b", "-rf", "x'y", "a>b", "*"] {
        let mut proposed = taken(Answer::Propose, Mode::Enforce, Some(EffectState::Proposed));
        let mut held = taken(Answer::Isolate, Mode::Enforce, Some(EffectState::Held));
        for taken in [&mut proposed, &mut held] {
            taken.alert.id = id.parse().unwrap();
            let text = mail(taken).text;
            let mut commands = text.lines().filter(|line| line.starts_with("    cordon "));
            assert!(commands.all(|line| !line.contains(id) || id == "-rf"), "{text}");
            assert!(text.contains("ALERT_ID --comment"), "{text}");
        }
    }
}

#[test]
fn every_state_is_told_in_its_own_word() {
    let cases = [
        (
            Answer::Isolate,
            Mode::Observe,
            EffectState::Observed,
            "would isolate (observing)",
            "Nothing was done: Cordon is observing. It would have isolated laptop-7.",
        ),
        (
            Answer::Propose,
            Mode::Enforce,
            EffectState::Proposed,
            "asks whether to isolate",
            "Cordon asks whether to isolate laptop-7. Nobody has acted.",
        ),
        (
            Answer::Propose,
            Mode::Observe,
            EffectState::Observed,
            "asks whether to isolate (observing)",
            "Nothing was done: Cordon is observing. Cordon asks whether to isolate laptop-7. Nobody has acted.",
        ),
        (
            Answer::Refused,
            Mode::Enforce,
            EffectState::Refused,
            "not isolated (it is a server)",
            "Cordon did not isolate laptop-7: the isolation was refused.",
        ),
        (
            Answer::Isolate,
            Mode::Enforce,
            EffectState::Claimed,
            "isolation claimed",
            "Cordon is about to ask for the isolation of laptop-7. Nothing was asked yet.",
        ),
        (
            Answer::Isolate,
            Mode::Enforce,
            EffectState::Requesting,
            "isolation requesting",
            "Cordon is asking for the isolation of laptop-7. There is no answer yet.",
        ),
        (
            Answer::Isolate,
            Mode::Enforce,
            EffectState::Requested,
            "isolation requested",
            "Cordon asked for the isolation of laptop-7, and Defender accepted the request.",
        ),
        (
            Answer::Isolate,
            Mode::Enforce,
            EffectState::Pending,
            "isolation pending",
            "The isolation of laptop-7 is still pending: it is not known to be cut off.",
        ),
        (
            Answer::Isolate,
            Mode::Enforce,
            EffectState::Succeeded,
            "isolation succeeded",
            "laptop-7 is isolated: Defender reports that the isolation succeeded.",
        ),
        (
            Answer::Isolate,
            Mode::Enforce,
            EffectState::Failed,
            "isolation failed",
            "The isolation of laptop-7 failed.",
        ),
        (
            Answer::Isolate,
            Mode::Enforce,
            EffectState::TimedOut,
            "isolation timed out",
            "The isolation of laptop-7 timed out: Defender has given up.",
        ),
        (
            Answer::Isolate,
            Mode::Enforce,
            EffectState::Cancelled,
            "isolation cancelled",
            "The isolation of laptop-7 was cancelled.",
        ),
        (
            Answer::Isolate,
            Mode::Enforce,
            EffectState::Adopted,
            "isolation adopted",
            "Cordon asked for nothing: an isolation of laptop-7 is open or in force already.",
        ),
        (
            Answer::Isolate,
            Mode::Enforce,
            EffectState::Unknown,
            "isolation unknown",
            "It is unknown whether the isolation of laptop-7 was asked for.",
        ),
        (
            Answer::Isolate,
            Mode::Enforce,
            EffectState::Held,
            "isolation held",
            "The isolation of laptop-7 is held: nothing was asked, and the device is connected.",
        ),
        (
            Answer::Isolate,
            Mode::Enforce,
            EffectState::Released,
            "released",
            "laptop-7 is released: Defender reports that its isolation has ended.",
        ),
    ];
    for (answer, mode, state, phrase, headline) in cases {
        let mail = mail(&taken(answer, mode, Some(state)));
        assert_eq!(
            mail.subject,
            format!("[Cordon] 1 High · {phrase} · laptop-7 · Suspicious encryption of files")
        );
        assert_eq!(first_line(&mail.text), headline);
        let effect = !matches!(
            state,
            EffectState::Observed | EffectState::Proposed | EffectState::Refused | EffectState::Released
        );
        assert!(!effect || phrase == format!("isolation {}", state.word()), "{phrase}");
        assert!(!mail.text.contains("is isolated") || state == EffectState::Succeeded, "{}", mail.text);
    }
}

#[test]
fn a_whole_mail() {
    let expected = r#"
Cordon asked for the isolation of laptop-7, and Defender accepted the request.

High · Suspicious encryption of files

  Device      laptop-7
  User        CONTOSO\alice
  State       isolation requested
  Story       incident 1126093 on laptop-7

WHAT TO DO NEXT
  Look at the alert and at the device. Do not count on the isolation before it
  is reported as succeeded.

HOW TO UNDO IT
  Have Cordon release the device:
    cordon release 1e5bc9d7e413ddd7902c2932e418702b84d0cc07 --comment "…"
  Or in the portal: open the device page and choose "Release from isolation".
  As long as the isolation is pending, cancel it in the device's action center
  instead.

WHAT HAPPENED
  Accepted is not isolated: the device is cut off only once its sensor has
  carried this out. It will then lose everything but the connection to
  Defender.

WHY
  For it: the alert is High (policy isolate-high)

IN THE PORTAL
  Alert       https://security.microsoft.com/alerts/da637472900382838869_1364969609
  Device      https://security.microsoft.com/machines/1e5bc9d7e413ddd7902c2932e418702b84d0cc07
  Incident    https://security.microsoft.com/incidents/1126093

EVIDENCE
  Process     winword.exe (process 212) → powershell.exe (process 4312)
    Command   powershell.exe -nop -Password *** hxxp://evil[.]example/a
    Folder    C:\Windows\System32
    SHA-256   aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  IP address  192.0.2[.]4

DEVICE
  Name        laptop-7
  Device id   1e5bc9d7e413ddd7902c2932e418702b84d0cc07
  System      Windows11 24H2
  Group       Laptops EU
  Tags        finance, berlin
  Value       High
  Health      Active
  Reported    2026-11-20 08:00:00 UTC
  User        CONTOSO\alice

RESPONSE
  Answer      isolate
  Mode        enforce
  State       requested
  Type        Full
  Action id   5382f7ea-7557-4ab7-9782-d50480024a4e
  Claim       c0ffee

ALERT
  Alert id    da637472900382838869_1364969609
  Category    Ransomware
  Source      WindowsDefenderAtp
  ATT&CK      T1486, T1059.001
  Created     2026-11-20 10:00:00 UTC
  Last event  2026-11-20 09:58:30 UTC
  As of       2026-11-20 10:01:00 UTC

-- 
Give commands where Cordon runs; for a deployment, add --stack and its name.
Sent by Cordon, automated response for Microsoft Defender for Endpoint
(message action-taken-0123456789abcdef0123456789abcdef).
"#;
    assert_eq!(mail(&requested()).text, expected.trim_start());
}

#[test]
fn both_parts_say_the_same() {
    let decided = [
        taken(Answer::Isolate, Mode::Observe, Some(EffectState::Observed)),
        taken(Answer::Propose, Mode::Enforce, Some(EffectState::Proposed)),
        taken(Answer::Refused, Mode::Enforce, Some(EffectState::Refused)),
        taken(Answer::None, Mode::Enforce, None),
    ];
    let isolations = STATES.map(|state| taken(Answer::Isolate, Mode::Enforce, Some(state)));
    for mut taken in decided.into_iter().chain(isolations).chain(STATES.map(release)) {
        taken.notes = vec!["the service said <nothing> & \"more\"".into()];
        say_the_same(&mail(&taken));
    }
}

/// Whether the plain text and the HTML of a mail hold the same words.
pub(crate) fn say_the_same(mail: &notify::Mail) {
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(squeezed(&visible(&mail.html)), squeezed(&mail.text.replace("\n-- \n", "\n")));
}

/// What a reader sees of an HTML text below what mailboxes show of it, each link followed by where it leads.
fn visible(html: &str) -> String {
    let (_, body) = html.split_once("<div class=\"preview\"").unwrap();
    let (_, body) = body.split_once("</div").unwrap();
    let mut seen = String::new();
    let mut target = None;
    for (tag, text) in body.split('<').filter_map(|part| part.split_once('>')) {
        if let Some(link) = tag.strip_prefix("a href=\"") {
            target = link.split('"').next();
        } else if tag == "/a" {
            seen += target.take().unwrap();
        }
        seen += text;
    }
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
        .into_iter()
        .fold(seen, |seen, (escaped, plain)| seen.replace(escaped, plain))
}

#[test]
fn secrets_in_evidence_are_masked_before_it_is_cut() {
    let mut taken = requested();
    let long = format!("{} --password hunter2hunter2", "x".repeat(185));
    let secretive = |command_line: &str| Evidence { command_line: Some(command_line.into()), ..process() };
    taken.alert.evidence = vec![
        secretive("cmd /c \"net user bob hunter2 /add\""),
        secretive("curl -H \"Authorization: Bearer hunter2\""),
        secretive("pass\u{200b}word=hunter2"),
        secretive(&long),
        Evidence {
            kind: "Url".into(),
            url: Some("https://bob:hunter2@x.example/?token=hunter2".into()),
            ..Evidence::default()
        },
        Evidence {
            kind: "Registry".into(),
            registry_value: Some("pwd=hunter2".into()),
            ..Evidence::default()
        },
    ];
    let mail = mail(&taken);
    for part in [mail.text, mail.html] {
        assert!(!part.contains("hunter") && part.contains("net user bob *** /add"), "{part}");
        assert!(part.contains("hxxps://bob:***@x[.]example/?token=***"), "{part}");
    }
}

#[test]
fn only_the_telling_evidence_is_shown() {
    let mut taken = requested();
    let file = |number: u8| Evidence {
        kind: "File".into(),
        file_name: Some(format!("{number}.dll")),
        ..Evidence::default()
    };
    taken.alert.evidence = (0..12).map(file).chain([process(), process()]).collect();
    taken.alert.evidence_truncated = true;
    let text = mail(&taken).text;
    assert_eq!((text.matches("powershell.exe (process").count(), text.matches(".dll").count()), (1, 9));
    assert!(text.contains("  and 3 more, and more than Cordon kept: see the alert\n"), "{text}");
}

#[test]
fn an_unknown_device_has_no_link_and_says_why() {
    let mut taken = taken(Answer::Refused, Mode::Enforce, Some(EffectState::Refused));
    taken.device = DeviceFact::Unknown { why: "the alert names no usable device".into() };
    taken.alert = model::Alert { severity: None, incident_id: None, ..alert() };
    let mail = mail(&taken);
    assert!(mail.subject.starts_with("[Cordon] 5 No severity · not isolated (it is a server) · laptop-7 ·"));
    assert!(mail.text.contains("  Unknown     the alert names no usable device\n"), "{}", mail.text);
    let squeezed = mail.text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(squeezed.contains("Cordon does not know the device, so start from the alert"), "{squeezed}");
    assert_eq!(mail.text.matches(PORTAL).count(), 1);
}
