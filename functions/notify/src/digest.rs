//! Digests: what a channel is told together, because it is too much to be told one by one. It names every device.
//!
//! A digest gathers for five minutes by the clock. A message joins it by one commit, on the condition that it is not closed,
//! and stays in the queue until the digest was told: a digest is nothing but a list of messages that each still wait. The
//! first of them to come back afterwards closes it, reads the list, which no longer changes, splits it into as many parts as
//! the channel needs, once and for all, and tells them; each part is told like any message, by an id that is made of those
//! of its messages. So a death in between repeats one part at most, and a worker that comes late with one message more
//! finds the digest closed, and looks for the next. What comes of a part comes of the messages in it and of no others; those
//! of a part that the channel refuses are told alone, so that what it does not like costs only itself.

use crate::{
    Channel, Notify,
    deliver::{Before, End, News, PATIENCE, Round, Stopped, Way},
    evidence::{show, time},
    found::Found,
    letter::Story,
    line::Line,
    notice::HUNT_FOUND,
    outcome::phrase,
    page::{Page, Show, quoted, sender, subject, told},
    rest::{later, resting},
};
use jiff::Timestamp;
use model::{Effect, EffectState, MessageId, TenantId, one_line};
use ports::{
    Closed, CommitError, Expect, Gathered, Gist, GistKind, Key, Part, PartEnd, Telling, Told, Write,
};
use std::collections::{BTreeMap, BTreeSet};

/// How much one message of a digest may hold, for a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) lines: usize,
    /// In bytes, with [`AROUND`] for each line.
    pub(crate) bytes: usize,
}

/// Room for all.
const ALL: Room = Room { lines: usize::MAX, bytes: usize::MAX };

/// What a channel writes around a line, roughly, in bytes.
const AROUND: usize = 80;

/// The most messages that one digest holds: their ids stand in one row.
const MOST: usize = 3_000;

/// How long a line may be, in characters.
const LINE: usize = 320;

/// How much a line says of what was before, the latest of it.
const MOST_BEFORE: usize = 2;

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
    (EffectState::Adopted, "Open or in force already"),
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
        let page = (news.page)(Show::default());
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

    /// A message that was gathered is told when its part of the digest is; whoever comes first tells all of it.
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
        let digest = Digest { tenant: news.tenant, channel: way.channel, begin, end, partition };
        let (closed, _) = self.closed(&digest, now).await?;
        let mut came = closed.and_then(|closed| closed.end_of(news.id));
        if came.is_none() {
            // Before the list is read, which would cost every message the same.
            let rests = resting(&way.row, now).filter(|_| now.duration_since(end) < PATIENCE);
            if let Some(failing) = rests {
                return Ok(End::Waits { until: failing.rests_until, why: waits_for(begin) });
            }
            let Some((closed, waits)) = self.tell_digest(&digest, round).await? else {
                return Ok(End::elsewhere(now));
            };
            came = closed.end_of(news.id);
            if let (None, Some(waits)) = (&came, waits) {
                return Ok(waits);
            }
        }
        match came {
            None => Ok(End::elsewhere(now)),
            Some(PartEnd::Told) => self.told_in_part(way, news, before, begin, now).await,
            Some(PartEnd::Alone) => {
                let value = Telling { digest: None, alone: true, ..before.value };
                self.tell_alone(way, news, Before { value, ..before }, round).await
            }
            Some(PartEnd::GivenUp { why }) => {
                let why = format!("{}: {why}", waits_for(begin));
                self.give_up(way.channel, &way.told, news, before.value, why, now).await
            }
        }
    }

    /// The channel was told of the message together with others.
    async fn told_in_part(
        &self,
        way: &Way<'_>,
        news: &News<'_>,
        before: Before,
        begin: Timestamp,
        now: Timestamp,
    ) -> Result<End, Stopped> {
        let subject = format!("in the digest of {}", time(begin));
        let told = Told { at: now, channel: way.channel.name().to_owned(), subject };
        let mut writes = vec![
            Write::put(way.told.clone(), &told, Expect::Any, Told::expires(now))?,
            Write::Delete { key: before.key, expect: Expect::Any },
        ];
        writes.extend(news.latest(now)?);
        self.state.commit(&writes, now).await?;
        Ok(End::Told)
    }

    async fn closed(&self, digest: &Digest<'_>, now: Timestamp) -> Result<(Option<Closed>, Expect), Stopped> {
        let read = self.state.batch_get_readable::<Closed>(&[digest.key()], now).await?;
        let (closed, expect) = read.into_iter().next().unwrap_or((None, Expect::Absent));
        Ok((closed.map(|closed| closed.value), expect))
    }

    /// False where another worker was faster.
    async fn put_closed(
        &self,
        digest: &Digest<'_>,
        closed: &Closed,
        expect: Expect,
        now: Timestamp,
    ) -> Result<bool, Stopped> {
        let write = Write::put(digest.key(), closed, expect, Closed::expires(now))?;
        match self.state.commit(&[write], now).await {
            Err(CommitError::Refused(_) | CommitError::Contended) => Ok(false),
            written => Ok(written.map(|()| true)?),
        }
    }

    /// Closes a digest, splits it, and tells what of it was not told yet, each as far as that was not done. What has come of
    /// it, and what the rest waits for; none where another worker was faster.
    async fn tell_digest(
        &self,
        digest: &Digest<'_>,
        round: Round,
    ) -> Result<Option<(Closed, Option<End>)>, Stopped> {
        let now = round.now;
        let (seen, expect) = self.closed(digest, now).await?;
        if seen.is_none() {
            let closed = Closed { at: now, parts: None };
            if !self.put_closed(digest, &closed, expect, now).await? {
                return Ok(None);
            }
        }
        let (seen, expect) = self.closed(digest, now).await?;
        let Some(closed) = seen else { return Ok(None) };
        // Only now: what is closed gathers no more.
        let gathered = self.state.query_readable::<Gathered>(&digest.partition, "gathered#", now).await?;
        let gathered = gathered.into_iter().map(|row| (row.value.message.clone(), row.value)).collect();
        let parts = match closed.parts {
            Some(parts) => parts,
            None => {
                let parts = split(&gathered, digest.channel.room());
                let closed = Closed { at: closed.at, parts: Some(parts.clone()) };
                if !self.put_closed(digest, &closed, expect, now).await? {
                    return Ok(None);
                }
                parts
            }
        };
        let (parts, waits) = self.tell_parts(digest, parts, &gathered, round).await?;
        let closed = Closed { at: closed.at, parts: Some(parts) };
        // The split stays what it is, and what came of a part is found out again where another worker knows less.
        self.put_closed(digest, &closed, Expect::Any, now).await?;
        Ok(Some((closed, waits)))
    }

    /// Tells every part that is open, until one has to wait.
    async fn tell_parts(
        &self,
        digest: &Digest<'_>,
        mut parts: Vec<Part>,
        gathered: &BTreeMap<MessageId, Gathered>,
        round: Round,
    ) -> Result<(Vec<Part>, Option<End>), Stopped> {
        let of = parts.len();
        for (index, part) in parts.iter_mut().enumerate() {
            if part.end.is_some() {
                continue;
            }
            let nth = index.saturating_add(1);
            match self.tell_part(digest, part, (nth, of), gathered, round).await? {
                Ok(end) => part.end = Some(end),
                Err(waits) => return Ok((parts, Some(waits))),
            }
            // What cannot be read any more was not named.
            part.messages.retain(|id| gathered.contains_key(id));
        }
        Ok((parts, None))
    }

    /// Tells one part; an error is what it waits for.
    async fn tell_part(
        &self,
        digest: &Digest<'_>,
        part: &Part,
        nth_of: (usize, usize),
        gathered: &BTreeMap<MessageId, Gathered>,
        round: Round,
    ) -> Result<Result<PartEnd, End>, Stopped> {
        let readable = part.messages.iter().filter_map(|id| gathered.get(id).cloned()).collect();
        let entries: Vec<Entry> = parts(readable, ALL).into_iter().flatten().collect();
        if entries.is_empty() {
            return Ok(Ok(PartEnd::Alone));
        }
        let id = part_id(digest, part);
        let page = |_: Show<'_>| page(&entries, digest.begin, nth_of, &id);
        let news = News {
            tenant: digest.tenant,
            id: &id,
            trace: id.as_str(),
            // What it tells happened before its end, and it was closed after that.
            occurred_at: digest.end,
            story: Story { id: id.clone(), name: format!("digest of {}", time(digest.begin)) },
            alert: None,
            device: None,
            may_go_on: false,
            may_gather: false,
            is_about_a_channel: false,
            page: &page,
        };
        let ways = self.ways(&news, &[digest.channel], round.now).await?;
        let Some(way) = ways.first().filter(|way| !way.is_told) else { return Ok(Ok(PartEnd::Told)) };
        let before = self.before(way, round.now).await?;
        if let Some(end) = ended(&before.value) {
            return Ok(Ok(end));
        }
        // Every part is waited for from the digest's end on, whenever its turn comes.
        let value = Telling { since: Some(digest.end), ..before.value };
        match self.tell_alone(way, &news, Before { value, ..before }, round).await? {
            End::Told => Ok(Ok(PartEnd::Told)),
            End::GivenUp { why } => Ok(Ok(PartEnd::GivenUp { why })),
            waits @ End::Waits { .. } => {
                let after = self.before(way, round.now).await?;
                Ok(ended(&after.value).ok_or(waits))
            }
        }
    }
}

/// A digest whose time is over.
struct Digest<'a> {
    tenant: &'a TenantId,
    channel: &'a Channel,
    begin: Timestamp,
    end: Timestamp,
    partition: String,
}

impl Digest<'_> {
    /// Where it stands that it is closed, and how it was split.
    fn key(&self) -> Key {
        Closed::key(&self.partition)
    }
}

/// What came of a part, by what stands beside it. One refusal is enough: there is another way to tell its messages.
fn ended(telling: &Telling) -> Option<PartEnd> {
    if telling.refused > 0 {
        return Some(PartEnd::Alone);
    }
    let why = || telling.why.clone().unwrap_or_default();
    telling.given_up.then(|| PartEnd::GivenUp { why: why() })
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

/// The id of what holds these messages, and no others.
fn part_id(digest: &Digest<'_>, part: &Part) -> MessageId {
    let begin = digest.begin.to_string();
    let mut parts = vec![digest.tenant.as_str(), digest.channel.name(), &begin];
    parts.extend(part.messages.iter().map(MessageId::as_str));
    MessageId::of("digest", &parts)
}

/// Which messages are told together. What is beyond the most is told alone.
fn split(gathered: &BTreeMap<MessageId, Gathered>, room: Room) -> Vec<Part> {
    let parts = parts(gathered.values().take(MOST).cloned().collect(), room);
    let ids = |part: Vec<Entry>| part.into_iter().flat_map(Entry::messages).collect();
    parts.into_iter().map(|part| Part { messages: ids(part), end: None }).collect()
}

/// One case in one line, and how its group is headed.
#[derive(Debug, Clone)]
struct Entry {
    rank: usize,
    heading: &'static str,
    gathered: Gathered,
    /// What was true of it before, the oldest first: told by the same line.
    before: Vec<Gathered>,
    line: String,
}

impl Entry {
    /// The messages that it tells.
    fn messages(self) -> impl Iterator<Item = MessageId> {
        [self.gathered].into_iter().chain(self.before).map(|gathered| gathered.message)
    }

    fn at(&self) -> Timestamp {
        self.gathered.occurred_at
    }

    /// What was asked for and how far it has come, where something was, or is to be.
    fn stands(&self) -> Option<(Effect, EffectState)> {
        let gist = &self.gathered.gist;
        gist.action.zip(state(gist)).filter(|_| !gist.observing)
    }
}

/// All that was gathered, the worst first and then the oldest, in as many parts as are needed.
fn parts(gathered: Vec<Gathered>, room: Room) -> Vec<Vec<Entry>> {
    let mut entries = entries(gathered);
    entries.sort_by(|one, other| {
        let key = |entry: &Entry| (entry.rank, entry.at(), entry.gathered.message.clone());
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

/// What an action for an alert on a device is one case by. A notice is about none.
fn case(gathered: &Gathered) -> Option<(String, Option<String>, Option<&'static str>)> {
    let gist = &gathered.gist;
    let alert = gist.alert.as_ref()?.as_str().to_owned();
    Some((alert, device_of(gist), gist.action.map(Effect::word)))
}

/// The latest of each case, with what was before it: "requested" does not stand beside "succeeded".
fn entries(mut gathered: Vec<Gathered>) -> Vec<Entry> {
    gathered.sort_by_key(|gathered| gathered.occurred_at);
    let day = gathered.last().map_or_else(String::new, |last| day(last.occurred_at));
    let latest: BTreeMap<_, Timestamp> =
        gathered.iter().filter_map(|gathered| Some((case(gathered)?, gathered.occurred_at))).collect();
    let mut before: BTreeMap<_, Vec<Gathered>> = BTreeMap::new();
    let mut last = Vec::new();
    for gathered in gathered {
        let case = case(&gathered);
        match case.filter(|case| latest.get(case).is_some_and(|latest| gathered.occurred_at < *latest)) {
            Some(case) => before.entry(case).or_default().push(gathered),
            None => last.push(gathered),
        }
    }
    let with_before = |gathered: Gathered| {
        let before = case(&gathered).and_then(|case| before.remove(&case)).unwrap_or_default();
        entry(gathered, before, &day)
    };
    last.into_iter().map(with_before).collect()
}

fn entry(gathered: Gathered, before: Vec<Gathered>, day: &str) -> Entry {
    let (rank, heading, what) = group(&gathered.gist);
    let was = |gathered: &Gathered| {
        let (_, _, what) = group(&gathered.gist);
        format!("{}: {what}", moment(gathered.occurred_at, day))
    };
    let was: Vec<String> = before.iter().rev().take(MOST_BEFORE).rev().map(was).collect();
    let what = if was.is_empty() { what } else { format!("{what} ({})", was.join(", ")) };
    let line = line(&gathered, &what, day);
    Entry { rank, heading, gathered, before, line }
}

/// The rank and the heading of its group, and what became of it.
fn group(gist: &Gist) -> (usize, &'static str, String) {
    let Some((action, state)) = gist.action.zip(state(gist)) else {
        return match (gist.kind, gist.urgent) {
            (GistKind::Outcome, _) => {
                (GROUPS.len().saturating_add(2), NOTHING, "nothing was to be done".to_owned())
            }
            (_, true) => (0, LOOK_NOW, gist.outcome.clone()),
            (_, false) => (GROUPS.len().saturating_add(1), NOTICES, gist.outcome.clone()),
        };
    };
    // Whatever it would be: nobody waits for it while Cordon only observes.
    let stands = if gist.observing { EffectState::Observed } else { state };
    let mut groups = (1..).zip(GROUPS);
    let (rank, heading) = groups
        .find(|(_, (known, _))| *known == stands)
        .map_or((GROUPS.len(), NOTICES), |(rank, (_, heading))| (rank, heading));
    let what = phrase(action, state);
    let what = if state == stands { what } else { format!("{what} (observing)") };
    (rank, heading, what)
}

/// The state that an outcome's word names.
fn state(gist: &Gist) -> Option<EffectState> {
    GROUPS.iter().map(|(state, _)| *state).find(|state| state.word() == gist.outcome)
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// The time of day, with the day where it is another one.
fn moment(at: Timestamp, of: &str) -> String {
    let time = at.strftime("%H:%M");
    let day = day(at);
    if day == of { time.to_string() } else { format!("{day} {time}") }
}

/// From when to when it happened.
fn span(entries: &[Entry]) -> String {
    let all = entries.iter().flat_map(|entry| [&entry.gathered].into_iter().chain(&entry.before));
    let times: BTreeSet<Timestamp> = all.map(|gathered| gathered.occurred_at).collect();
    let Some((first, last)) = times.first().zip(times.last()) else { return String::new() };
    let (from, to) = (moment(*first, ""), moment(*last, &day(*first)));
    if moment(*last, "") == from { format!("{from} UTC") } else { format!("{from} to {to} UTC") }
}

/// When, which device, what became of it, and by what to find it again. What a gist holds is harmless to read.
fn line(gathered: &Gathered, what: &str, day: &str) -> String {
    let gist = &gathered.gist;
    let at = moment(gathered.occurred_at, day);
    let id = gist.device.as_ref().map(|id| id.as_str().to_owned());
    // What is about no device is about a hunt.
    let unnamed = || match gist.kind {
        GistKind::Notice => gist.story.clone(),
        GistKind::Outcome | GistKind::Digest | GistKind::Test => "an unknown device".to_owned(),
    };
    let device =
        gist.device_name.as_deref().map(|name| show(&quoted(name), 62)).or(id).unwrap_or_else(unnamed);
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
    // No part can pass for two.
    let parts = parts.into_iter().flatten().map(|part| part.replace('·', " "));
    let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
    one_line(&parts.join(" · "), LINE)
}

fn counted(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

/// All of it in one message, as a mail holds it.
pub(crate) fn in_one(gathered: Vec<Gathered>, begin: Timestamp, id: &MessageId) -> Page {
    let entries: Vec<Entry> = parts(gathered, ALL).into_iter().flatten().collect();
    page(&entries, begin, (1, 1), id)
}

fn page(entries: &[Entry], begin: Timestamp, (nth, of): (usize, usize), id: &MessageId) -> Page {
    let devices: BTreeSet<String> =
        entries.iter().filter_map(|entry| device_of(&entry.gathered.gist)).collect();
    let urgent = entries.iter().any(|entry| entry.gathered.gist.urgent);
    let messages = entries.iter().map(|entry| entry.before.len().saturating_add(1)).sum();
    let what = match devices.len() {
        0 => counted(messages, "message"),
        devices => format!("{} about {}", counted(messages, "message"), counted(devices, "device")),
    };
    let part = if of > 1 { format!("part {nth} of {of}") } else { String::new() };
    let phrase = "digest".to_owned();
    let (sort, severity, colour) = if urgent {
        ("0 Look now", "Look now", "#b42318")
    } else {
        ("9 For your information", "For your information", "#1f5fa8")
    };
    let span = span(entries);
    let words: Vec<&str> =
        [sort, &phrase, &what, &part].into_iter().filter(|word| !word.is_empty()).collect();
    let headline = format!("So much has happened that it is told together: {what}.");
    let chapters = chapters(entries);
    Page {
        gist: Gist {
            kind: GistKind::Digest,
            story: format!("digest of {}", time(begin)),
            severity: None,
            action: None,
            outcome: phrase.clone(),
            urgent,
            observing: false,
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
        title: [span, part].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", "),
        facts: vec![],
        hunt: None,
        found: Found::default(),
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

/// What to do, and then each group.
fn chapters(entries: &[Entry]) -> Vec<(&'static str, Vec<Line>)> {
    let mut chapters: Vec<(&'static str, Vec<Line>)> = vec![("What to do next", next(entries))];
    for entry in entries {
        let line = Line::Said(entry.line.clone());
        match chapters.last_mut().filter(|(heading, _)| *heading == entry.heading) {
            Some((_, lines)) => lines.push(line),
            None => chapters.push((entry.heading, vec![line])),
        }
    }
    told(chapters)
}

/// What to do with the groups that there are, what waits for a person before the rest.
fn next(entries: &[Entry]) -> Vec<Line> {
    use Effect::{Isolate, Release};
    use EffectState::{Cancelled, Failed, Held, Proposed, Refused, TimedOut, Unknown};
    let any = |wanted: Effect, states: &[EffectState]| {
        let stands = entries.iter().filter_map(Entry::stands);
        stands.into_iter().any(|(effect, state)| effect == wanted && states.contains(&state))
    };
    let came_to_nothing = [Failed, TimedOut, Cancelled];
    let all = [
        (
            entries.iter().any(|entry| entry.heading == LOOK_NOW),
            "Look now: see the device in the portal, and how things stand:",
            Some("cordon status"),
        ),
        (
            any(Isolate, &came_to_nothing),
            "Failed, timed out or cancelled: treat the device as connected. If it still has to be cut off, have Cordon \
             ask once more:",
            Some("cordon isolate DEVICE_ID --reissue --comment \"…\""),
        ),
        (
            any(Release, &came_to_nothing),
            "A release that failed, timed out or was cancelled: treat the device as cut off, and have Cordon release it \
             again:",
            Some("cordon release DEVICE_ID --comment \"…\""),
        ),
        (
            any(Isolate, &[Unknown]) || any(Release, &[Unknown]),
            "Not known whether it was asked for: look at the device's action center before you act by hand.",
            None,
        ),
        (
            any(Isolate, &[Held]),
            "Held back: see what is held and why, the most severe first, and let it go on or drop it:",
            Some("cordon held"),
        ),
        (
            any(Isolate, &[Proposed]),
            "Proposed: if you agree, have Cordon isolate the device:",
            Some("cordon isolate DEVICE_ID --alert ALERT_ID --comment \"…\""),
        ),
        (
            any(Isolate, &[Refused]),
            "Refused: nobody has acted, and the alert may still be a real one: look at it now.",
            None,
        ),
        (
            entries.iter().any(|entry| entry.gathered.gist.outcome == HUNT_FOUND),
            "What a hunt has found does not stand here. The rows of the last day, by the hunt's name:",
            Some("cordon hunt NAME --since 24h"),
        ),
        (
            entries.iter().any(|entry| entry.gathered.gist.alert.is_some()),
            "What Cordon knows of an alert, and its device's id:",
            Some("cordon explain ALERT_ID"),
        ),
    ];
    let there_are = all.into_iter().filter(|(are, ..)| *are);
    there_are
        .flat_map(|(_, words, command)| [Some(Line::from(words)), command.map(Line::command)])
        .flatten()
        .collect()
}
