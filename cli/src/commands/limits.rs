//! `cordon limits`: how many devices may be isolated, how many were, and the way through on a bad day.
//!
//! The numbers are the playbook's. What a person raises or closes is written into the row that every isolation is counted
//! in, so that it holds from the next one on.

use crate::{
    Ending, Reporting, clock,
    commands::pause,
    desk::{At, Desk},
    person::ByHand,
    settings::playbook_folder,
    show,
};
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use model::{Limits, Topic, one_line};
use ports::{Brakes, Breaker, Fleet, Raised, StateError, Stored};
use serde::Serialize;

const DAY: SignedDuration = SignedDuration::from_hours(24);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon limits
  cordon limits raise --to 50 --for 1h --comment \"real incident, 30 devices hit\"
  cordon limits close \"title Suspicious process injection observed\" --comment \"looked at all five: real\"

The limits themselves stand under [limits] in playbook.toml.")]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct LimitsCommand {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    reporting: Reporting,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Let more isolations through for a while
    #[command(after_help = "\
Examples:
  cordon limits raise --to 50 --for 1h --comment \"real incident, 30 devices hit\"
  cordon limits raise --to 1 --for 1s --comment \"over\"     (ends an earlier raise)

The limits per hour, per day and at one time are then at least so high; those of device groups and the breaker stay as
they are. People are told. What is held goes on only when a person says so: `cordon held run`.")]
    Raise(Raise),
    /// Close an open breaker, after a person has looked
    #[command(after_help = "\
Examples:
  cordon limits close \"title Suspicious process injection observed\" --comment \"looked at all five: real\"
  cordon limits close \"detector 7f1c3609-a3ff-40e2-995b-c01770161d68\" --comment \"rule mended\"

`cordon limits` lists the open ones, by the words to use here. People are told.")]
    Close(Close),
}

#[derive(Debug, Args)]
struct Raise {
    /// The least that the limits per hour, per day and at one time are then
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(Limits::MOST)))]
    to: u32,
    /// For how long: at most 24 hours
    #[arg(long = "for", value_name = "TIME", value_parser = for_how_long)]
    how_long: SignedDuration,
    #[command(flatten)]
    by_hand: ByHand,
    #[command(flatten)]
    reporting: Reporting,
}

#[derive(Debug, Args)]
struct Close {
    /// The breaker, as `cordon limits` gives it: `title …` or `detector …`
    #[arg(value_name = "BREAKER")]
    breaker: String,
    #[command(flatten)]
    by_hand: ByHand,
    #[command(flatten)]
    reporting: Reporting,
}

fn for_how_long(text: &str) -> Result<SignedDuration, String> {
    match text.parse::<SignedDuration>() {
        Ok(time) if time > SignedDuration::ZERO && time <= DAY => Ok(time),
        _ => {
            Err("not a time such as `30m` or `1h`, of at most 24 hours; what is to hold longer belongs into \
                  playbook.toml"
                .to_owned())
        }
    }
}

/// How the limits stand.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    hour: Used,
    day: Used,
    at_one_time: Used,
    groups: Vec<Group>,
    /// Devices that are onboarded, and when they were counted.
    fleet: Option<Fleet>,
    /// Whether the count is too old to be gone by.
    fleet_is_old: bool,
    breaker: Rule,
    pub(crate) open_breakers: Vec<Breaker>,
    raised: Option<Raised>,
    /// Where the numbers are from.
    source: String,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Used {
    used: u32,
    most: u32,
}

#[derive(Debug, Serialize)]
struct Group {
    group: String,
    used: u32,
    most: u32,
}

/// When a breaker opens.
#[derive(Debug, Serialize)]
struct Rule {
    devices: u32,
    minutes: i64,
}

/// The numbers of the playbook, and where they are from: also for a stack, whose own playbook cannot be seen from here.
pub(crate) fn numbers(at: &At<'_>) -> (Limits, String) {
    let folder = playbook_folder(at.vars);
    let here = folder.display();
    match (policy::Settings::read(&folder), at.stack) {
        (Ok(settings), None) => (settings.limits, format!("the playbook `{here}`")),
        (Ok(settings), Some(_)) => (
            settings.limits,
            format!("the playbook `{here}` on this machine, which is taken to be the one that is deployed"),
        ),
        (Err(_), _) => (
            Limits::default(),
            format!("Cordon's own, because the playbook `{here}` (CORDON_PLAYBOOK) cannot be read here"),
        ),
    }
}

impl View {
    pub(crate) async fn read(at: &At<'_>, desk: &Desk, now: Timestamp) -> Result<View, StateError> {
        let (limits, source) = numbers(at);
        let brakes = desk.brakes(now).await?;
        let fleet: Option<Stored<Fleet>> = desk.state.get(&Fleet::key(&desk.tenant), now).await?;
        Ok(View::new(&brakes, &limits, fleet.map(|fleet| fleet.value), source, now))
    }

    fn new(brakes: &Brakes, limits: &Limits, fleet: Option<Fleet>, source: String, now: Timestamp) -> View {
        let fleet_is_old =
            fleet.as_ref().is_some_and(|fleet| now.duration_since(fleet.counted_at) > Fleet::FRESH);
        let onboarded = fleet.as_ref().filter(|_| !fleet_is_old).map(|fleet| fleet.onboarded);
        let used = |used: u32, own: u32| Used { used, most: brakes.most(own, now) };
        let group = |(group, most): (&String, &u32)| Group {
            group: group.clone(),
            used: in_group(brakes, group, now),
            most: *most,
        };
        View {
            hour: used(brakes.used_in_hour(now), limits.per_hour),
            day: used(brakes.used_in_day(now), limits.per_day),
            at_one_time: used(brakes.standing, limits.standing(onboarded)),
            groups: limits.per_group.iter().map(group).collect(),
            fleet,
            fleet_is_old,
            breaker: Rule { devices: limits.breaker_devices, minutes: limits.breaker_window.as_mins() },
            open_breakers: brakes.open.clone(),
            raised: brakes.raised.clone().filter(|raised| now < raised.until),
            source,
        }
    }

    /// For people, each line with a word in front of it.
    pub(crate) fn lines(&self, now: Timestamp) -> Vec<String> {
        let of = |used: Used| format!("{} of {}", used.used, used.most);
        let mut lines = vec![
            format!("in an hour   {}", of(self.hour)),
            format!("in a day     {}", of(self.day)),
            format!("at one time  {} ({})", of(self.at_one_time), self.about_the_fleet(now)),
        ];
        for Group { group, used, most } in &self.groups {
            lines.push(format!("group        {used} of {most} in a day for `{}`", one_line(group, 80)));
        }
        let Rule { devices, minutes } = self.breaker;
        lines.push(format!(
            "breaker      opens beyond {devices} devices in {minutes} minutes for one detector or title"
        ));
        for open in &self.open_breakers {
            lines.push(format!(
                "OPEN         {} (since {})",
                one_line(&open.cause, 100),
                show::time(open.since)
            ));
        }
        if let Some(raised) = &self.raised {
            lines.push(format!(
                "RAISED       to {} until {}, {}",
                raised.to,
                show::time(raised.until),
                pause::hand(&raised.said)
            ));
        }
        lines.push(format!("the numbers  {}", self.source));
        lines
    }

    /// Whether the size of the fleet is known well enough to go by.
    pub(crate) fn knows_the_fleet(&self) -> bool {
        self.fleet.is_some() && !self.fleet_is_old
    }

    /// The limits in one sentence.
    pub(crate) fn in_short(&self) -> String {
        format!(
            "at most {} isolations in an hour, {} in a day, {} at one time; a breaker opens beyond {} devices in {} \
             minutes (by {})",
            self.hour.most,
            self.day.most,
            self.at_one_time.most,
            self.breaker.devices,
            self.breaker.minutes,
            self.source
        )
    }

    /// The size of the fleet and the age of that number.
    pub(crate) fn about_the_fleet(&self, now: Timestamp) -> String {
        match &self.fleet {
            None => "the devices are not counted yet".to_owned(),
            Some(fleet) => format!(
                "{} onboarded devices, counted {} ago{}",
                fleet.onboarded,
                show::span(now.duration_since(fleet.counted_at)),
                if self.fleet_is_old { ": too old to go by" } else { "" }
            ),
        }
    }

    /// What a person has to look at.
    pub(crate) fn attention(&self) -> Vec<String> {
        let open = self.open_breakers.iter().map(|open| {
            let cause = one_line(&open.cause, 100);
            format!(
                "the breaker is open for the {cause}: look at the devices it reached, then \
                 `cordon limits close \"{cause}\" --comment …`"
            )
        });
        open.collect()
    }
}

fn in_group(brakes: &Brakes, group: &str, now: Timestamp) -> u32 {
    let spent = brakes.spent.iter().filter(|spent| spent.group.as_deref() == Some(group));
    u32::try_from(spent.filter(|spent| now.duration_since(spent.at) < DAY).count()).unwrap_or(u32::MAX)
}

impl LimitsCommand {
    pub(crate) async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        match self.what {
            None => show_them(at, self.reporting).await,
            Some(What::Raise(raise)) => raise.run(at).await,
            Some(What::Close(close)) => close.run(at).await,
        }
    }
}

async fn show_them(at: &At<'_>, reporting: Reporting) -> Result<Ending, Ending> {
    let desk = at.look().await?;
    print(at, &desk, reporting, clock::now()).await?;
    Ok(Ending::Done)
}

/// The limits as they stand now.
async fn print(at: &At<'_>, desk: &Desk, reporting: Reporting, now: Timestamp) -> Result<(), Ending> {
    let view = View::read(at, desk, now).await?;
    if reporting.json {
        show::json(&view);
    } else {
        view.lines(now).iter().for_each(|line| show::line(line));
    }
    Ok(())
}

impl Raise {
    async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let desk = at.act().await?;
        let now = clock::now();
        let said = self.by_hand.said(at.vars, now);
        let until = now.checked_add(self.how_long).unwrap_or(Timestamp::MAX);
        let raised = Raised { to: self.to, until, said: said.clone() };
        desk.change_brakes(now, |brakes| {
            brakes.raised = Some(raised.clone());
            Ok(())
        })
        .await?;
        let facts = vec![
            pause::of(&said, "raised"),
            format!(
                "Until {} the limits per hour, per day and at one time are at least {}",
                show::time(until),
                self.to
            ),
        ];
        desk.tell(Topic::LimitRaised, facts, "the limits are raised", now).await?;
        print(at, &desk, self.reporting, now).await?;
        Ok(Ending::Done)
    }
}

impl Close {
    async fn run(self, at: &At<'_>) -> Result<Ending, Ending> {
        let desk = at.act().await?;
        let now = clock::now();
        desk.change_brakes(now, |brakes| {
            if !brakes.open.iter().any(|open| open.cause == self.breaker) {
                return Err(not_open(&self.breaker, &brakes.open));
            }
            brakes.close(&self.breaker, now);
            Ok(())
        })
        .await?;
        let said = self.by_hand.said(at.vars, now);
        let facts =
            vec![pause::of(&said, "closed"), format!("The breaker was open for the {}", self.breaker)];
        desk.tell(Topic::BreakerClosed, facts, "the breaker is closed", now).await?;
        print(at, &desk, self.reporting, now).await?;
        Ok(Ending::Done)
    }
}

fn not_open(breaker: &str, open: &[Breaker]) -> Ending {
    let open: Vec<String> = open.iter().map(|open| format!("`{}`", one_line(&open.cause, 100))).collect();
    let open = if open.is_empty() { "none is".to_owned() } else { format!("open: {}", open.join(", ")) };
    Ending::attention(format!("no breaker `{}` is open: nothing was changed; {open}", one_line(breaker, 100)))
}
