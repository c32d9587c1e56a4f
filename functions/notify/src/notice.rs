//! What is said of what is not the outcome of an alert: each topic in its own words.
//!
//! The facts may hold a stranger's words and are shown like them; everything else here is ours.

use crate::{
    effect::{About, Words, calls_for_a_person, open_the_gate, words},
    evidence::{show, time},
    example::test_page,
    found::Found,
    line::Line,
    outcome::phrase,
    page::{Page, Show, follows, limited, link, quoted, sender, subject, told},
};
use jiff::Timestamp;
use model::{EffectState, MessageId, Notice, Topic, one_line};
use ports::{Gist, GistKind};

/// The most of one fact that is shown, in characters.
const MAX_FACT: usize = 400;

/// Whether somebody has to look now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    Urgent,
    Told,
}

impl Weight {
    fn word(self) -> &'static str {
        match self {
            Weight::Urgent => "Look now",
            Weight::Told => "For your information",
        }
    }

    /// What subjects are sorted by: before all alerts, or after them.
    fn rank(self) -> u8 {
        match self {
            Weight::Urgent => 0,
            Weight::Told => 9,
        }
    }

    /// Behind white letters, readable in light and dark.
    fn colour(self) -> &'static str {
        match self {
            Weight::Urgent => "#b42318",
            Weight::Told => "#1f5fa8",
        }
    }
}

/// What is said of one topic.
struct Said {
    weight: Weight,
    /// In the subject.
    phrase: String,
    /// The first line: a sentence.
    headline: String,
    meaning: Vec<Line>,
    next: Vec<Line>,
    undo: Vec<Line>,
}

impl Said {
    fn new(weight: Weight, phrase: &str, headline: impl Into<String>, meaning: &[&str]) -> Said {
        Said {
            weight,
            phrase: phrase.to_owned(),
            headline: headline.into(),
            meaning: meaning.iter().map(|text| Line::from(*text)).collect(),
            next: vec![],
            undo: vec![],
        }
    }

    /// Words to do something by, and the commands for it.
    fn next(mut self, text: impl Into<Line>, commands: &[&str]) -> Said {
        self.next.push(text.into());
        self.next.extend(commands.iter().map(|command| Line::command(command)));
        self
    }

    fn gates(mut self) -> Said {
        self.next.extend(open_the_gate());
        self
    }
}

/// The notice as a page, from which both parts of the mail are made.
pub(crate) fn page(
    notice: &Notice,
    portal: &str,
    occurred_at: Timestamp,
    message: &MessageId,
    shown: Show<'_>,
) -> Page {
    if let Topic::Sample { channel } = &notice.topic
        && let Some(page) = test_page(channel, portal, occurred_at, message, shown)
    {
        return page;
    }
    let bare_name = device_name(notice);
    let said = said(notice, &quoted(&bare_name));
    let device = notice.device.is_some().then_some(bare_name.as_str());
    let sort = format!("{} {}", said.weight.rank(), said.weight.word());
    let parts = [Some(sort.as_str()), Some(said.phrase.as_str()), device];
    let subject = subject(&parts.into_iter().flatten().collect::<Vec<_>>());
    let facts = limited(notice.facts.iter().map(|fact| show(fact, MAX_FACT)).collect());
    let chapters = told(vec![
        ("What happened", said.meaning),
        ("What is known", facts.into_iter().map(|fact| format!("- {fact}").into()).collect()),
        ("What to do next", said.next),
        ("How to undo it", said.undo),
    ]);
    let gist = Gist {
        kind: if matches!(notice.topic, Topic::Sample { .. }) { GistKind::Test } else { GistKind::Notice },
        story: story_name(notice),
        severity: None,
        action: match notice.topic {
            Topic::Ordered { effect, .. } => Some(effect),
            _ => None,
        },
        outcome: word(&notice.topic).map_or_else(|| said.phrase.clone(), str::to_owned),
        urgent: said.weight == Weight::Urgent,
        observing: false,
        device: notice.device.clone(),
        device_name: notice.device.is_some().then(|| bare_name.clone()),
        alert: None,
        incident: None,
        title: show(&said.headline, 120),
    };
    Page {
        gist,
        sender: sender(&chapters, message),
        subject,
        sort,
        follows: shown.follow_up.map(|story| follows(story, &said.phrase)),
        phrase: said.phrase.clone(),
        headline: show(&said.headline, 300),
        colour: said.weight.colour(),
        severity: said.weight.word().to_owned(),
        title: said.phrase,
        facts: device.map(|name| ("Device", show(name, 100))).into_iter().collect(),
        hunt: hunt(&notice.topic).map(|hunt| show(hunt, 60)),
        found: notice.table.as_ref().map(|table| Found::of(table, shown)).unwrap_or_default(),
        chapters,
        links: notice
            .device
            .iter()
            .map(|device| ("Device", link(portal, "machines", device.as_str())))
            .collect(),
        tables: vec![("Notice", table(notice, occurred_at))],
        evidence: vec![],
        more_evidence: None,
    }
}

/// What people know the story by, where it is none of an alert.
pub(crate) fn story_name(notice: &Notice) -> String {
    match (&notice.device, hunt(&notice.topic)) {
        (Some(_), _) => show(&quoted(&device_name(notice)), 62),
        (None, Some(hunt)) => format!("hunt {}", show(hunt, 60)),
        (None, None) => "Cordon itself".to_owned(),
    }
}

/// The hunt that it is about.
fn hunt(topic: &Topic) -> Option<&str> {
    match topic {
        Topic::HuntFound { hunt }
        | Topic::HuntBroken { hunt }
        | Topic::HuntOverdue { hunt }
        | Topic::HuntCrowded { hunt }
        | Topic::HuntNotMade { hunt } => Some(hunt),
        _ => None,
    }
}

/// What it is about for programs, where the phrase for people names more than that.
fn word(topic: &Topic) -> Option<&'static str> {
    match topic {
        Topic::ChannelFailing { .. } => Some(CHANNEL_FAILING),
        Topic::HuntFound { .. } => Some(HUNT_FOUND),
        Topic::HuntBroken { .. } => Some("a hunt is broken"),
        Topic::HuntOverdue { .. } => Some("a hunt is overdue"),
        Topic::HuntCrowded { .. } => Some("a hunt finds too much"),
        Topic::HuntNotMade { .. } => Some("an alert may be missing"),
        _ => None,
    }
}

/// What to call the device: its name, else its id.
fn device_name(notice: &Notice) -> String {
    let id = notice.device.as_ref().map_or("a device", model::DeviceId::as_str);
    let name = notice.device_name.as_deref().map(|name| one_line(name, 60)).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| id.to_owned())
}

fn table(notice: &Notice, occurred_at: Timestamp) -> Vec<(&'static str, String)> {
    let device = notice.device.as_ref();
    let name =
        notice.device_name.as_deref().filter(|_| device.is_some()).map(|name| ("Name", show(name, 100)));
    let id = device.map(|device| ("Device id", device.to_string()));
    let rows = [name, id, Some(("As of", time(occurred_at)))];
    rows.into_iter().flatten().filter(|(_, value)| !value.is_empty()).collect()
}

/// `device` is what to call the device.
fn said(notice: &Notice, device: &str) -> Said {
    match &notice.topic {
        Topic::Holding => holding(),
        Topic::BreakerOpen => breaker_open(),
        Topic::BreakerClosed => Said::new(
            Weight::Told,
            "breaker closed",
            "A breaker was closed: Cordon isolates again for this detector or title.",
            &["A person has closed it. It opens again when as many devices are reached once more. What was held \
               meanwhile stays held."],
        )
        .next("See what is held, and let it go on or drop it:", &["cordon held", HELD_RUN, HELD_DROP]),
        Topic::LimitRaised => Said::new(
            Weight::Told,
            "limits raised",
            "The limits were raised: Cordon may isolate more devices for a while.",
            &["A person has raised them, for as long as stands under What is known; then they are as before by themselves. What \
               was held meanwhile stays held."],
        )
        .next("See what is in force and what is held:", &["cordon limits", "cordon held"])
        .next("Let what is held go on; it is judged anew:", &[HELD_RUN]),
        Topic::Paused => Said::new(
            Weight::Urgent,
            "paused",
            "Cordon is paused: it isolates nothing until a person resumes it.",
            &["Alerts are read and judged as before; what would be isolated is held, and its devices stay \
               connected. Releases go on, and so does following what was asked for before."],
        )
        .next("If you did not expect this, ask whoever is named under What is known. How things stand:", &["cordon status"])
        .next("When the reason is gone:", &[RESUME]),
        Topic::Resumed => Said::new(
            Weight::Told,
            "resumed",
            "Cordon was resumed: it isolates again.",
            &["What was held while it was paused stays held until a person lets it go on."],
        )
        .next("See what is held, and let it go on or drop it:", &["cordon held", HELD_RUN, HELD_DROP]),
        Topic::AlienAction => alien(notice),
        Topic::Ordered { effect, state } => {
            let about = About { device, id: notice.device.as_ref(), alert: None, kind: None };
            let Words { headline, meaning, next, undo } = words(*effect, *state, about);
            let ordered = "This was ordered by a person or by the timer, not on account of an alert.";
            let meaning = [meaning.as_str(), ordered];
            Said { next, undo, ..Said::new(weight(*state), &phrase(*effect, *state), headline, &meaning) }
        }
        Topic::HeldExpired => Said::new(
            Weight::Urgent,
            "held cases given up",
            "Cordon gave up isolations that were held: nobody has let them go on in time.",
            &["Nothing was asked for. Treat the devices as connected."],
        )
        .next("The alerts may still be real ones. Look at them:", &["cordon explain ALERT_ID"])
        .next(
            "If a device has to be cut off all the same:",
            &["cordon isolate DEVICE_ID --alert ALERT_ID --comment \"…\""],
        ),
        Topic::Stuck => Said::new(
            Weight::Urgent,
            "something is stuck",
            "Something in Cordon does not move on as it should.",
            &["Alerts may wait undecided, or outcomes may be unknown, until a person has looked."],
        )
        .next("How things stand, and what was set aside with its reason:", &["cordon status", DEAD_LETTERS])
        .next("Until then, do not count on Cordon: look at High alerts in the portal yourself.", &[]),
        Topic::ReleaseSoon => release_soon(device),
        Topic::StillIsolated => still_isolated(notice, device),
        Topic::LateAlerts => late_alerts(),
        Topic::ClockWrong => clock_wrong(),
        Topic::ChannelFailing { channel } => channel_failing(channel),
        Topic::HuntFound { hunt } => match &notice.table {
            Some(table) => hunt_found(hunt, Found::count(table)),
            None => hunt_lacks(hunt),
        },
        Topic::HuntBroken { hunt } => hunt_broken(hunt),
        Topic::HuntOverdue { hunt } => hunt_overdue(hunt),
        Topic::HuntCrowded { hunt } => hunt_crowded(hunt),
        Topic::HuntNotMade { hunt } => hunt_not_made(hunt),
        Topic::Sample { channel } => Said::new(
            Weight::Told,
            "test",
            format!("This is a test of the channel `{}`. Nothing has happened.", one_line(channel, 60)),
            &["A person has asked for it. If you can read this, the channel works."],
        ),
    }
}

const HELD_RUN: &str = "cordon held run ALERT_ID --comment \"…\"";
const HELD_DROP: &str = "cordon held drop ALERT_ID --comment \"…\"";
const RESUME: &str = "cordon resume --comment \"…\"";
const DEAD_LETTERS: &str = "cordon dead-letters";
const REDRIVE: &str = "cordon dead-letters redrive ID";

/// The notice about a channel, for programs, whichever channel it is.
const CHANNEL_FAILING: &str = "a channel takes nothing";

/// The same of what a hunt has found, whichever hunt it is and however much it found.
pub(crate) const HUNT_FOUND: &str = "a hunt has found rows";

/// What did not come about has to be looked at; the rest is as it was ordered.
fn weight(state: EffectState) -> Weight {
    if calls_for_a_person(state) { Weight::Urgent } else { Weight::Told }
}

fn holding() -> Said {
    Said::new(
        Weight::Urgent,
        "isolations are held",
        "Cordon holds isolations back: they wait for a person.",
        &[
            "A limit, an open breaker or a pause stands against what the policy would do; which one is named under \
             What is known.",
            "This is said once for each of them, and again after an hour: more may be held by now. The devices \
             concerned are connected. What is held for 24 hours is given up.",
        ],
    )
    .next("See what is held, the most severe first:", &["cordon held"])
    .next("Judge whether this is an attack or the mistake of a rule.", &[])
    .gates()
    .next("Then let what is real go on, which is judged anew, and drop the rest:", &[HELD_RUN, HELD_DROP])
}

fn breaker_open() -> Said {
    Said::new(
        Weight::Urgent,
        "breaker open",
        "A breaker has opened: one detector or title wants too many devices isolated.",
        &[
            "Either an attack spreads, or a detection is wrong on many devices. Cordon isolates nothing more on \
             account of it until a person closes the breaker; other alerts are acted upon as before. What was \
             isolated before stays isolated.",
        ],
    )
    .next("Look at the alerts, and see what is held:", &["cordon held"])
    .next(
        "If the detection is right, close the breaker, and let what is held go on:",
        &["cordon limits", "cordon limits close \"BREAKER\" --comment \"…\"", HELD_RUN],
    )
    .next(
        "If it is wrong, leave the breaker open, drop what is held, and release what was isolated by it:",
        &[HELD_DROP, "cordon isolated", "cordon release DEVICE_ID --comment \"…\""],
    )
}

fn alien(notice: &Notice) -> Said {
    let said = Said::new(
        Weight::Urgent,
        "a machine action that Cordon does not know",
        "Somebody acts with Cordon's app: Defender shows a machine action that Cordon did not ask for.",
        &[
            "The app's secret may be in other hands. Or a second Cordon uses the same app, or the state was lost or \
             replaced. Cordon has paused itself.",
        ],
    )
    .next(
        "Unless you can explain it at once, take the permission Machine.Isolate away from the app in Entra, and \
         delete its secrets. Then look at the device's action center.",
        &[],
    );
    let said = match &notice.device {
        Some(id) => {
            let release = format!("cordon release {id} --comment \"…\"");
            said.next("If the device was cut off by it and should not be:", &[&release])
        }
        None => said,
    };
    said.next("Resume only when you know what it was:", &["cordon status", RESUME])
}

fn release_soon(device: &str) -> Said {
    Said::new(
        Weight::Told,
        "about to be released",
        format!("Cordon is about to release {device}: its time of isolation is nearly over."),
        &[
            "The playbook says with `release_after` how long Cordon keeps a device isolated that it isolated itself. \
             It waits as long as the incident has another open High alert, and people are told when it is done.",
        ],
    )
    .next("If the device is clean, nothing is to be done.", &[])
    .next(
        "If it must stay cut off, take `release_after` out of the playbook before then; or isolate the device again \
         after its release.",
        &[],
    )
}

fn late_alerts() -> Said {
    Said::new(
        Weight::Urgent,
        "alerts were found late",
        "Cordon found alerts late: they became visible after the time in which it looks for them.",
        &[
            "Each poll reaches back behind the last one, by `poll.overlap` in the playbook; these alerts took longer \
             to be shown. Once an hour Cordon looks back over six hours, and so it found them. They are judged like \
             all others, but what is too old by then is not acted upon.",
        ],
    )
    .next("Look at them yourself; what became of each:", &["cordon explain ALERT_ID"])
    .next("If it happens again, set a longer `poll.overlap` in the playbook: longer than the delay under \
           What is known.", &[])
}

/// A name of the playbook as it may stand in a command; one that could do something in a shell is left to fill in.
fn safe_name<'a>(name: &'a str, otherwise: &'static str) -> &'a str {
    let is_a_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let plain = name.chars().all(is_a_name) && !name.is_empty() && !name.starts_with('-');
    if plain { name } else { otherwise }
}

/// The hunt by hand, over the last day.
fn by_hand(hunt: &str) -> String {
    format!("cordon hunt {} --since 24h", safe_name(hunt, "NAME"))
}

fn hunt_found(hunt: &str, count: usize) -> Said {
    let command = by_hand(hunt);
    let hunt = one_line(hunt, 60);
    let rows = match count {
        1 => "1 row".to_owned(),
        count => format!("{count} rows"),
    };
    Said::new(
        Weight::Told,
        &format!("hunt {hunt}: {rows}"),
        format!("The hunt `{hunt}` has found {rows} that it had not found before."),
        &[
            "A hunt is a query of the playbook that runs on a schedule. Nobody has judged these rows, and Cordon does \
             nothing about them: they are for people to read.",
        ],
    )
    .next("Look at the rows. All of the last day, those told before as well, by hand:", &[&command])
}

/// It has found what stands in no table.
fn hunt_lacks(hunt: &str) -> Said {
    let command = by_hand(hunt);
    let hunt = one_line(hunt, 60);
    Said::new(
        Weight::Urgent,
        &format!("hunt {hunt}: rows are missing"),
        format!("Not all that the hunt `{hunt}` has found can be shown."),
        &["What is missing, and why, stands under What is known. Nothing was made of it; all else went its usual way."],
    )
    .next("Look for it by hand, or run the hunt's query in the portal, under Advanced hunting:", &[&command])
}

fn hunt_broken(hunt: &str) -> Said {
    let (command, file) = (by_hand(hunt), format!("hunts/{}.toml", safe_name(hunt, "NAME")));
    let hunt = one_line(hunt, 60);
    Said::new(
        Weight::Urgent,
        &format!("hunt {hunt} is broken"),
        format!("The hunt `{hunt}` cannot be run as it is written: it finds nothing until a person has mended it."),
        &[
            "Why stands under What is known. All other hunts go on. It is tried again when its file has changed (on one \
             machine: restart cordon run; on AWS: deploy) and once a day; then it goes on where it stopped, as far back as \
             Defender keeps events.",
        ],
    )
    .next(
        format!("Mend {file} in the playbook, and look what it finds. By hand it runs at any time, and makes nothing known:"),
        &[&command],
    )
    .next("How all hunts stand:", &["cordon hunts"])
}

fn hunt_overdue(hunt: &str) -> Said {
    let hunt = one_line(hunt, 60);
    Said::new(
        Weight::Urgent,
        &format!("hunt {hunt} is overdue"),
        format!("The hunt `{hunt}` has not come to its end for much longer than its schedule says."),
        &[
            "What has happened since its last run is not looked at by it yet. It is tried again by itself, and goes on where \
             it stopped, as far back as Defender keeps events. What it finds late may be too old to be acted upon.",
        ],
    )
    .next("See why, and whether others are overdue as well:", &["cordon hunts", "cordon status"])
    .next("Until then, look for it yourself: run its query in the portal, under Advanced hunting.", &[])
}

fn hunt_crowded(hunt: &str) -> Said {
    let command = by_hand(hunt);
    let hunt = one_line(hunt, 60);
    Said::new(
        Weight::Urgent,
        &format!("hunt {hunt} finds too much"),
        format!("The hunt `{hunt}` finds more than one run makes known: the rest follows, run by run."),
        &[
            "Nothing of it is lost, but it comes later, and may be too old by then to be acted upon. An intruder can bring this \
             about, to hide one row among many. This is said once, until a run makes known all that it finds.",
        ],
    )
    .next("Either much is going on, or the query finds what is harmless. Look at what it finds:", &[&command])
    .next("If it is harmless, make the query narrower. If not, `most` in its file lets a run make more known.", &[])
}

fn hunt_not_made(hunt: &str) -> Said {
    let command = by_hand(hunt);
    let hunt = one_line(hunt, 60);
    Said::new(
        Weight::Urgent,
        &format!("hunt {hunt}: an alert may be missing"),
        format!("The hunt `{hunt}` has found something, and it is not known that Defender has made an alert of it."),
        &[
            "Its file asks for an alert of Defender's own. Why there may be none stands under What is known. Cordon does not \
             ask for it again: nothing else comes of what was found.",
        ],
    )
    .next("Look at what was found, as if it were an alert. The rows of the last day, by hand:", &[&command])
}

fn channel_failing(channel: &str) -> Said {
    let test = format!("cordon notify-test {}", safe_name(channel, "CHANNEL"));
    let channel = one_line(channel, 60);
    Said::new(
        Weight::Urgent,
        &format!("{CHANNEL_FAILING}: {channel}"),
        format!("The channel `{channel}` does not take what people are to be told."),
        &["Whoever looks at that channel alone does not hear of what happens. What it was not told is tried again, for \
           24 hours; then it is set aside as a dead letter."],
    )
    .next("Look at the reason under What is known, and mend the channel. Then try it:", &[&test])
    .next("What was set aside already can be told once more:", &[DEAD_LETTERS, REDRIVE])
}

fn clock_wrong() -> Said {
    Said::new(
        Weight::Urgent,
        "the clock is wrong",
        "The clock where Cordon runs and Defender's are more than five minutes apart.",
        &[
            "Cordon goes by its own clock: how old an alert is, when an order or a held case lapses, how long a limit \
             counts. With a clock that is slow alerts seem new that are not; with one that is fast they seem too old, \
             and are not acted upon.",
            "This is said once a day as long as it lasts.",
        ],
    )
    .next("Set the clock where Cordon runs, and let it be kept right (NTP). How things stand:", &["cordon status"])
}

fn still_isolated(notice: &Notice, device: &str) -> Said {
    let said = Said::new(
        Weight::Urgent,
        "still isolated after its release",
        format!("The release of {device} was reported as done, and yet it seems to be isolated."),
        &[
            "Its last machine action is an isolation. Somebody may have isolated it again, or an isolation that was \
             stuck in the service was carried out after the release.",
        ],
    )
    .next(
        "Treat the device as cut off, and look at its action center for who isolated it. If nobody meant to:",
        &[],
    );
    match &notice.device {
        Some(id) => {
            let release = format!("cordon release {id} --comment \"…\"");
            Said { next: [said.next, vec![Line::Command(release)]].concat(), ..said }
        }
        None => said.next("release it in the portal.", &[]),
    }
}
