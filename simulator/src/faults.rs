//! Faults on demand: what goes wrong, on which route, how often; and the same by chance with a seed.
//!
//! Here a fault is only chosen. Playing it (waiting, hanging up) is the server's business.

use std::str::FromStr;

/// What goes wrong with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// 429, with this Retry-After (seconds) or none. The request is not processed.
    Throttle { retry_after: Option<u64> },
    /// This status. The request is not processed.
    ServerError(u16),
    /// Waits, then processes and answers. A client that gives up while waiting has changed nothing.
    Slow { millis: u64 },
    /// The connection is closed without an answer. The request is not processed.
    Reset,
    /// The request is processed, then the connection is closed without an answer.
    ResetAfter,
    /// The request is processed, then the answer waits.
    ActsThenSlow { millis: u64 },
    /// The request is processed, then answered with this status.
    ServerErrorAfterActing(u16),
    /// The request is processed; the answer stops halfway and the connection is closed.
    TruncatedBody,
    /// 200 with an HTML login page, as a proxy gives. The request is not processed.
    WrongContentType,
    /// The request is processed; the answer says JSON and is none.
    NotJson,
    /// 404 although the thing exists. The request is not processed.
    Spurious404,
    /// The request is processed; the answer has the right status and no body.
    EmptyBody,
}

impl FaultKind {
    /// Every kind once, with ordinary values: for chaos.
    pub fn all() -> Vec<FaultKind> {
        vec![
            FaultKind::Throttle { retry_after: Some(1) },
            FaultKind::ServerError(503),
            FaultKind::Slow { millis: 50 },
            FaultKind::Reset,
            FaultKind::ResetAfter,
            FaultKind::ActsThenSlow { millis: 50 },
            FaultKind::ServerErrorAfterActing(500),
            FaultKind::TruncatedBody,
            FaultKind::WrongContentType,
            FaultKind::NotJson,
            FaultKind::Spurious404,
            FaultKind::EmptyBody,
        ]
    }

    /// The name the program's `--fault` takes and the journal shows.
    pub fn name(&self) -> &'static str {
        match self {
            FaultKind::Throttle { .. } => "throttle",
            FaultKind::ServerError(_) => "error",
            FaultKind::Slow { .. } => "slow",
            FaultKind::Reset => "reset",
            FaultKind::ResetAfter => "reset-after",
            FaultKind::ActsThenSlow { .. } => "acts-then-slow",
            FaultKind::ServerErrorAfterActing(_) => "error-after",
            FaultKind::TruncatedBody => "truncated",
            FaultKind::WrongContentType => "html",
            FaultKind::NotJson => "not-json",
            FaultKind::Spurious404 => "not-found",
            FaultKind::EmptyBody => "empty",
        }
    }
}

/// How often a fault is played on the requests that it fits.
#[derive(Debug, Clone)]
pub enum HowOften {
    Times(u64),
    Always,
    /// By chance, 0.0 to 1.0.
    Probability(f64, fastrand::Rng),
}

/// One fault: on which route (the journal's name, or `*` for all), what, how often, after how many requests.
#[derive(Debug, Clone)]
pub struct Fault {
    pub route: String,
    pub kind: FaultKind,
    pub how_often: HowOften,
    /// The first so many requests on the route go well.
    pub after: u64,
    seen: u64,
    played: u64,
}

impl Fault {
    /// Plays once, on the next request to the route.
    pub fn once(route: impl Into<String>, kind: FaultKind) -> Fault {
        Fault { route: route.into(), kind, how_often: HowOften::Times(1), after: 0, seen: 0, played: 0 }
    }

    #[must_use]
    pub fn times(mut self, times: u64) -> Fault {
        self.how_often = HowOften::Times(times);
        self
    }

    #[must_use]
    pub fn always(mut self) -> Fault {
        self.how_often = HowOften::Always;
        self
    }

    #[must_use]
    pub fn with_probability(mut self, probability: f64, seed: u64) -> Fault {
        self.how_often = HowOften::Probability(probability, fastrand::Rng::with_seed(seed));
        self
    }

    #[must_use]
    pub fn after(mut self, requests: u64) -> Fault {
        self.after = requests;
        self
    }

    /// How often it was played.
    pub fn played(&self) -> u64 {
        self.played
    }

    fn fires(&mut self, route: &str) -> bool {
        if self.route != "*" && !self.route.eq_ignore_ascii_case(route) {
            return false;
        }
        self.seen += 1;
        if self.seen <= self.after {
            return false;
        }
        let fires = match &mut self.how_often {
            HowOften::Times(times) => self.played < *times,
            HowOften::Always => true,
            HowOften::Probability(probability, rng) => rng.f64() < *probability,
        };
        self.played += u64::from(fires);
        fires
    }
}

/// Faults by chance, the same ones for the same seed and the same order of requests.
#[derive(Debug, Clone)]
pub struct Chaos {
    /// Per request, 0.0 to 1.0.
    pub probability: f64,
    pub kinds: Vec<FaultKind>,
    /// The journal's names; empty: every route.
    pub routes: Vec<String>,
    rng: fastrand::Rng,
}

impl Chaos {
    /// Every kind of fault on every route.
    pub fn new(seed: u64, probability: f64) -> Chaos {
        Chaos {
            probability,
            kinds: FaultKind::all(),
            routes: Vec::new(),
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    #[must_use]
    pub fn kinds(mut self, kinds: Vec<FaultKind>) -> Chaos {
        self.kinds = kinds;
        self
    }

    #[must_use]
    pub fn routes(mut self, routes: &[&str]) -> Chaos {
        self.routes = routes.iter().map(|route| (*route).to_owned()).collect();
        self
    }

    fn pick(&mut self, route: &str) -> Option<FaultKind> {
        let fits = self.routes.is_empty() || self.routes.iter().any(|name| name.eq_ignore_ascii_case(route));
        if !fits || self.rng.f64() >= self.probability {
            return None;
        }
        let kinds = &self.kinds;
        self.rng.choice(kinds).cloned()
    }
}

/// The fault for this request, if any: the first one asked for that fires, else chaos.
pub(crate) fn choose(faults: &mut [Fault], chaos: Option<&mut Chaos>, route: &str) -> Option<FaultKind> {
    faults
        .iter_mut()
        .find_map(|fault| fault.fires(route).then(|| fault.kind.clone()))
        .or_else(|| chaos.and_then(|chaos| chaos.pick(route)))
}

/// `ROUTE=KIND[(VALUE)][:TIMES]`, for example `POST isolate=reset-after:1` or `*=slow(2000):always`.
impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Fault, String> {
        let (route, rest) =
            text.split_once('=').ok_or_else(|| format!("`{text}` has no `=` between route and kind"))?;
        let (kind, times) = rest.split_once(':').unwrap_or((rest, "1"));
        let fault = Fault::once(route.trim(), parse_kind(kind.trim())?);
        match times.trim() {
            "always" => Ok(fault.always()),
            times => times
                .parse()
                .map(|times| fault.times(times))
                .map_err(|_| format!("`{times}` is neither a number nor `always`")),
        }
    }
}

fn parse_kind(text: &str) -> Result<FaultKind, String> {
    let (name, value) = match text.split_once('(') {
        None => (text, None),
        Some((name, value)) => {
            let value = value.strip_suffix(')').ok_or_else(|| format!("`{text}` lacks its `)`"))?;
            let number =
                value.parse::<u64>().map_err(|_| format!("`{value}` in `{text}` is not a number"))?;
            (name, Some(number))
        }
    };
    let status = |default: u16| match value {
        None => Ok(default),
        Some(value) => u16::try_from(value)
            .ok()
            .filter(|status| (100..600).contains(status))
            .ok_or_else(|| format!("`{value}` is not an HTTP status")),
    };
    let millis = value.unwrap_or(1_000);
    Ok(match name {
        "throttle" => FaultKind::Throttle { retry_after: value },
        "error" => FaultKind::ServerError(status(503)?),
        "slow" => FaultKind::Slow { millis },
        "reset" => FaultKind::Reset,
        "reset-after" => FaultKind::ResetAfter,
        "acts-then-slow" => FaultKind::ActsThenSlow { millis },
        "error-after" => FaultKind::ServerErrorAfterActing(status(500)?),
        "truncated" => FaultKind::TruncatedBody,
        "html" => FaultKind::WrongContentType,
        "not-json" => FaultKind::NotJson,
        "not-found" => FaultKind::Spurious404,
        "empty" => FaultKind::EmptyBody,
        name => {
            let known: Vec<_> = FaultKind::all().iter().map(FaultKind::name).collect();
            return Err(format!("`{name}` is no kind of fault; known: {}", known.join(", ")));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_plays_after_the_requests_it_lets_pass_and_then_so_many_times() {
        let mut faults = [Fault::once("GET alerts", FaultKind::Reset).after(1).times(2)];
        let played: Vec<bool> = (0..5).map(|_| choose(&mut faults, None, "GET alerts").is_some()).collect();
        assert_eq!(played, [false, true, true, false, false]);
        assert_eq!(choose(&mut faults, None, "GET machines"), None);
        assert_eq!(faults[0].played(), 2);
    }

    #[test]
    fn chaos_of_one_seed_is_always_the_same() {
        let run = |seed| {
            let mut chaos = Chaos::new(seed, 0.5);
            (0..50).map(|_| choose(&mut [], Some(&mut chaos), "GET alerts")).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn a_fault_is_read_from_the_command_line() {
        let fault: Fault = "POST isolate=reset-after:1".parse().unwrap();
        assert_eq!((fault.route.as_str(), &fault.kind), ("POST isolate", &FaultKind::ResetAfter));
        let fault: Fault = "*=throttle(30):always".parse().unwrap();
        assert_eq!(fault.kind, FaultKind::Throttle { retry_after: Some(30) });
        for wrong in ["POST isolate", "*=explode", "*=slow(x)", "*=error(7)", "*=reset:often"] {
            wrong.parse::<Fault>().unwrap_err();
        }
        for kind in FaultKind::all() {
            let fault: Fault = format!("*={}", kind.name()).parse().unwrap();
            assert_eq!(fault.kind.name(), kind.name());
        }
    }
}
