//! Digests: what a channel is told together, because it is too much to be told one by one. It names every device.
//!
//! A digest gathers for five minutes by the clock. A message joins it by one commit, on the condition that it is not closed,
//! and stays in the queue until the digest was told: a digest is nothing but a list of messages that each still wait. The
//! first of them to come back afterwards closes it, reads the list, which no longer changes, and tells it, in as many
//! parts as the channel needs; each part is told like any message, by a deterministic id. So a death in between repeats one part
//! at most, and a worker that comes late with one message more finds the digest closed, and looks for the next.

use crate::{
    Channel, Notify,
    deliver::{Before, End, News, Round, Stopped, Way, has_waited},
    evidence::{show, time},
    letter::Story,
    line::Line,
    outcome::phrase,
    page::{Page, Show, sender, subject},
    rest::{later, resting},
};
use jiff::Timestamp;
use model::{EffectState, MessageId, TenantId, one_line};
use ports::{Closed, CommitError, Expect, Gathered, Gist, GistKind, Telling, Told, Write};
use std::collections::BTreeSet;

/// How much one message of a digest may hold, for a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) lines: usize,
    /// In bytes, with [`AROUND`] for each line.
    pub(crate) bytes: usize,
}

/// What a channel writes around a line, roughly, in bytes.
const AROUND: usize = 80;

/// How long a line may be, in characters.
const LINE: usize = 320;

/// The outcomes, what a person has to look at first before the rest; and how each group is headed.
const GROUPS: [(EffectState, &str); 15] = [
    (EffectState::Failed, "Failed"),
    (EffectState::TimedOut, "Timed out"),
    (EffectState::Unknown, "Not known whether it was asked for"),
    (EffectState::Held, "Held back: waiting for a person"),
    (EffectState::Proposed, "Proposed: waiting for a person"),
    (EffectState::Refused, "Refused"),
    (EffectState::Cancelled, "Cancelled"),
    (EffectState::Requesting, "Being asked for"),
    (EffectState::Claimed, "Decided, not asked for yet"),
    (EffectState::Requested, "Requested, not reported as done"),
    (EffectState::Pending, "Pending, not reported as done"),
    (EffectState::Observed, "Only observed: nothing was asked for"),
    (EffectState::Adopted, "Done by somebody else"),
    (EffectState::Succeeded, "Succeeded"),
    (EffectState::Released, "Released"),
];

/// The same for a notice, which may be urgent, and for an alert about which nothing was to be done.
const LOOK_NOW: &str = "Look now";
const NOTICES: &str = "Notices";
const NOTHING: &str = "Nothing was to be done";

impl Notify {
    /// The message joins the digest that gathers now.
    pub(crate) async fn gather(
        &self,
        way: &Way<'_>,
        news: &News<'_>,
        before: Before,
        now: Timestamp,
    ) -> Result<End, Stopped> {
        let begin = begin_of(now);
        let end = later(begin, Gathered::EVERY);
        let partition = Gathered::partition(news.tenant, way.channel.name(), begin);
        let page = (news.page)(Show { command_lines: false, follow_up: None });
        let gathered = Gathered { message: news.id.clone(), occurred_at: news.occurred_at, gist: page.gist };
        let why = waits_for(begin);
        let telling = Telling {
            until: end,
            since: before.value.since.or(Some(now)),
            why: Some(why.clone()),
            digest: Some(begin),
            ..before.value
        };
        let key = Gathered::key(&partition, news.id);
        let writes = [
            Write::Check { key: Closed::key(&partition), expect: Expect::Absent },
            Write::Check { key: way.told.clone(), expect: way.not_told },
            Write::put(key, &gathered, Expect::Any, Gathered::expires(now))?,
            Write::put(before.key, &telling, before.expect, Telling::expires(now))?,
        ];
        match self.state.commit(&writes, now).await {
            // Closed, or another worker was faster with this message: the next look sees which.
            Err(CommitError::Refused(_) | CommitError::Contended) => Ok(End::elsewhere(now)),
            written => {
                written?;
                Ok(End::Waits { until: end, why })
            }
        }
    }

    /// A message that was gathered is told when its digest is; whoever comes first tells that.
    pub(crate) async fn told_by_digest(
        &self,
        way: &Way<'_>,
        news: &News<'_>,
        before: Before,
        begin: Timestamp,
        round: Round,
    ) -> Result<End, Stopped> {
        let now = round.now;
        let end = later(begin, Gathered::EVERY);
        if end > now {
            return Ok(End::Waits { until: end, why: waits_for(begin) });
        }
        let partition = Gathered::partition(news.tenant, way.channel.name(), begin);
        let key = Closed::key(&partition);
        let closed = self.state.get_readable::<Closed>(&key, now).await?.map(|closed| closed.value);
        if !closed.as_ref().is_some_and(|closed| closed.told) {
            // Before the list is read, which would cost every message the same.
            if let Some(failing) = resting(&way.row, now).filter(|_| !has_waited(&before.value, now)) {
                return Ok(End::Waits { until: failing.rests_until, why: waits_for(begin) });
            }
            if closed.is_none() {
                let write = Write::put(
                    key.clone(),
                    &Closed { at: now, told: false },
                    Expect::Absent,
                    Closed::expires(now),
                )?;
                match self.state.commit(&[write], now).await {
                    Err(CommitError::Refused(_) | CommitError::Contended) => return Ok(End::elsewhere(now)),
                    written => written?,
                }
            }
            let told = self.tell_digest(way.channel, news.tenant, &partition, begin, round).await?;
            match told {
                End::Told => {}
                End::Waits { .. } => return Ok(told),
                End::GivenUp { why } => {
                    let why = format!("{}: {why}", waits_for(begin));
                    return self.give_up(way.channel, &way.told, news, before.value, why, now).await;
                }
            }
            let closed = Closed { at: now, told: true };
            let write = Write::put(key, &closed, Expect::Any, Closed::expires(now))?;
            self.state.commit(&[write], now).await?;
        }
        let subject = format!("in the digest of {}", time(begin));
        let told = Told { at: now, channel: way.channel.name().to_owned(), subject };
        let writes = [
            Write::put(way.told.clone(), &told, Expect::Any, Told::expires(now))?,
            Write::Delete { key: before.key, expect: Expect::Any },
        ];
        self.state.commit(&writes, now).await?;
        Ok(End::Told)
    }

    /// Tells a closed digest, part by part.
    async fn tell_digest(
        &self,
        channel: &Channel,
        tenant: &TenantId,
        partition: &str,
        begin: Timestamp,
        round: Round,
    ) -> Result<End, Stopped> {
        let now = round.now;
        let gathered = self.state.query_all::<Gathered>(partition, "gathered#", now).await?;
        let gathered: Vec<Gathered> = gathered.into_iter().map(|gathered| gathered.value).collect();
        let parts = parts(gathered, channel.room());
        let of = parts.len();
        for (index, lines) in parts.iter().enumerate() {
            let nth = index.saturating_add(1);
            let id = digest_id(tenant, channel.name(), begin, nth);
            let end = later(begin, Gathered::EVERY);
            let page = |_: Show<'_>| page(lines, begin, end, (nth, of), &id);
            let news = News {
                tenant,
                id: &id,
                trace: id.as_str(),
                // What it tells happened before its end, and it was closed after that.
                occurred_at: end,
                story: Story { id: id.clone(), name: format!("digest of {}", time(begin)) },
                alert: None,
                device: None,
                may_go_on: false,
                may_gather: false,
                is_about_a_channel: false,
                page: &page,
            };
            let end = self.tell_part(channel, &news, round).await?;
            if end != End::Told {
                return Ok(end);
            }
        }
        Ok(End::Told)
    }

    async fn tell_part(&self, channel: &Channel, news: &News<'_>, round: Round) -> Result<End, Stopped> {
        let ways = self.ways(news, &[channel], round.now).await?;
        let Some(way) = ways.first() else { return Ok(End::Told) };
        if way.is_told {
            return Ok(End::Told);
        }
        let before = self.before(way, round.now).await?;
        if before.value.given_up {
            return Ok(End::GivenUp { why: before.value.why.unwrap_or_default() });
        }
        self.tell_alone(way, news, before, round).await
    }
}

/// When the digest that gathers now has begun.
fn begin_of(now: Timestamp) -> Timestamp {
    let every = Gathered::EVERY.as_secs();
    let second = now.as_second().div_euclid(every).saturating_mul(every);
    Timestamp::from_second(second).unwrap_or(now)
}

fn waits_for(begin: Timestamp) -> String {
    format!("it waits for the digest of {}", time(begin))
}

fn digest_id(tenant: &TenantId, channel: &str, begin: Timestamp, nth: usize) -> MessageId {
    MessageId::of("digest", &[tenant.as_str(), channel, &begin.to_string(), &nth.to_string()])
}

/// One message in one line, and how its group is headed.
#[derive(Debug, Clone)]
struct Entry {
    rank: usize,
    heading: &'static str,
    gathered: Gathered,
    line: String,
}

/// All that was gathered, the worst first and then the oldest, in as many parts as are needed.
fn parts(gathered: Vec<Gathered>, room: Room) -> Vec<Vec<Entry>> {
    let mut entries: Vec<Entry> = gathered.into_iter().map(entry).collect();
    entries.sort_by(|one, other| {
        let key = |entry: &Entry| (entry.rank, entry.gathered.occurred_at, entry.gathered.message.clone());
        key(one).cmp(&key(other))
    });
    let mut parts: Vec<Vec<Entry>> = Vec::new();
    let mut bytes = 0_usize;
    for entry in entries {
        let weight = entry.line.len().saturating_add(AROUND);
        let fits = |part: &Vec<Entry>| part.len() < room.lines && bytes.saturating_add(weight) <= room.bytes;
        match parts.last_mut().filter(|part| fits(part)) {
            Some(part) => part.push(entry),
            None => {
                bytes = 0;
                parts.push(vec![entry]);
            }
        }
        bytes = bytes.saturating_add(weight);
    }
    parts
}

fn entry(gathered: Gathered) -> Entry {
    let (rank, heading, what) = group(&gathered.gist);
    let line = line(&gathered, &what);
    Entry { rank, heading, gathered, line }
}

/// The rank and the heading of its group, and what became of it.
fn group(gist: &Gist) -> (usize, &'static str, String) {
    let known = GROUPS.iter().enumerate().find(|(_, (state, _))| state.word() == gist.outcome);
    match (known, gist.action) {
        (Some((rank, (state, heading))), Some(action)) => (rank, heading, phrase(action, *state)),
        _ if gist.kind == GistKind::Outcome => {
            (GROUPS.len().saturating_add(1), NOTHING, "nothing was to be done".to_owned())
        }
        _ if gist.urgent => (0, LOOK_NOW, gist.outcome.clone()),
        _ => (GROUPS.len(), NOTICES, gist.outcome.clone()),
    }
}

/// When, which device, what became of it, and by what to find it again. What a gist holds is harmless to read.
fn line(gathered: &Gathered, what: &str) -> String {
    let gist = &gathered.gist;
    let at = gathered.occurred_at.strftime("%H:%M").to_string();
    let id = gist.device.as_ref().map(|id| id.as_str().to_owned());
    let device = gist
        .device_name
        .as_deref()
        .map(|name| show(name, 60))
        .or(id)
        .unwrap_or_else(|| "an unknown device".to_owned());
    let incident = gist.incident.as_ref().map(|incident| format!("incident {incident}"));
    let alert = gist.alert.as_ref().map(|alert| format!("alert {}", show(alert.as_str(), 80)));
    let parts = [
        Some(at),
        Some(device),
        Some(what.to_owned()),
        gist.severity.clone(),
        Some(gist.title.clone()),
        incident,
        alert,
    ];
    let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    one_line(&parts.join(" · "), LINE)
}

fn page(
    entries: &[Entry],
    begin: Timestamp,
    end: Timestamp,
    (nth, of): (usize, usize),
    id: &MessageId,
) -> Page {
    let devices: BTreeSet<String> =
        entries.iter().filter_map(|entry| device_of(&entry.gathered.gist)).collect();
    let urgent = entries.iter().any(|entry| entry.gathered.gist.urgent);
    let what = format!("{} messages about {} devices", entries.len(), devices.len());
    let part = if of > 1 { format!("part {nth} of {of}") } else { String::new() };
    let phrase = "digest".to_owned();
    let (sort, severity, colour) = if urgent {
        ("0 Look now", "Look now", "#b42318")
    } else {
        ("9 For your information", "For your information", "#1f5fa8")
    };
    let span = format!("{} to {}", begin.strftime("%H:%M"), time(end));
    let words: Vec<&str> =
        [sort, &phrase, &what, &part].into_iter().filter(|word| !word.is_empty()).collect();
    let headline = format!("So much happened that it is told together: {what}.");
    let chapters = chapters(entries);
    Page {
        gist: Gist {
            kind: GistKind::Digest,
            story: format!("digest of {}", time(begin)),
            severity: None,
            action: None,
            outcome: phrase.clone(),
            urgent,
            device: None,
            device_name: None,
            alert: None,
            incident: None,
            title: what.clone(),
        },
        subject: subject(&words),
        sort: sort.to_owned(),
        phrase,
        follows: None,
        headline,
        severity: severity.to_owned(),
        colour,
        title: [what, part].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", "),
        facts: vec![("From", span)],
        sender: sender(&chapters, id),
        chapters,
        links: vec![],
        tables: vec![],
        evidence: vec![],
        more_evidence: None,
    }
}

/// What a device is known by, so that each is counted once.
fn device_of(gist: &Gist) -> Option<String> {
    gist.device.as_ref().map(|id| id.as_str().to_owned()).or_else(|| gist.device_name.clone())
}

fn chapters(entries: &[Entry]) -> Vec<(&'static str, Vec<Line>)> {
    let mut chapters: Vec<(&'static str, Vec<Line>)> = Vec::new();
    for entry in entries {
        let line = Line::Said(entry.line.clone());
        match chapters.last_mut().filter(|(heading, _)| *heading == entry.heading) {
            Some((_, lines)) => lines.push(line),
            None => chapters.push((entry.heading, vec![line])),
        }
    }
    let next =
        vec![Line::from("What Cordon knows of each of them:"), Line::command("cordon explain ALERT_ID")];
    chapters.push(("What to do next", next));
    chapters
}
