//! Alerts: one page of a window, where to go on after it, and a single alert. They are read from Defender's API or from
//! Graph, as the settings say, and are the same alerts in the same words.
//!
//! Which windows to read and what to do with what is found is `poll`'s business.

use crate::{
    ApiError, Call, Listed, Reader, Unreadable,
    send::{encoded, quoted},
    wire,
};
use credentials::Api;
use jiff::{SignedDuration, Timestamp};
use model::{Alert, AlertId};
use std::sync::atomic::Ordering;

/// How many alerts a page asks for at most. Defender's API allows 10,000, which are more than memory should hold; Graph
/// allows fewer than this.
pub const PAGE: usize = 2_000;

/// How many alerts a page asks for where the service could not answer a whole one.
const SMALL_PAGE: usize = 100;

/// How much a page asks for. The service has been seen to answer 500, or nothing in time, to what is too heavy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Portion {
    /// As many alerts as stay within memory, with their evidence.
    #[default]
    Whole,
    /// Few alerts, with their evidence.
    Small,
    /// The least that can be asked for. From Defender's API, alerts without their evidence: absent evidence means that it
    /// is unchanged. From Graph, which always sends the evidence, very few alerts.
    Bare,
}

impl Portion {
    /// What is lighter than this, the next lighter first.
    pub fn lighter(self) -> &'static [Portion] {
        match self {
            Portion::Whole => &[Portion::Small, Portion::Bare],
            Portion::Small => &[Portion::Bare],
            Portion::Bare => &[],
        }
    }

    /// How many alerts are asked for on Defender's API.
    fn size(self) -> usize {
        match self {
            Portion::Whole | Portion::Bare => PAGE,
            Portion::Small => SMALL_PAGE,
        }
    }

    fn expand(self) -> &'static str {
        match self {
            Portion::Whole | Portion::Small => "&$expand=evidence",
            Portion::Bare => "",
        }
    }
}

/// The smallest step of the service's times: 100 nanoseconds.
pub const TICK: SignedDuration = SignedDuration::from_nanos(100);

/// The time cut to whole ticks.
pub fn on_tick(at: Timestamp) -> Timestamp {
    let nanos = at.as_nanosecond();
    Timestamp::from_nanosecond(nanos - nanos.rem_euclid(TICK.as_nanos())).unwrap_or(at)
}

/// A half-open span of `lastUpdateTime`: `from` is in it, `to` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// One page of a window.
#[derive(Debug)]
pub struct AlertPage {
    pub alerts: Vec<Alert>,
    pub unreadable: Vec<Unreadable>,
    /// Whether the window may hold more than this page: it is full, or the service says so.
    pub full: bool,
    /// How many records came past those that were to be skipped, readable or not.
    pub returned: usize,
    /// Whether they were asked for in ascending order of `lastUpdateTime`.
    pub ordered: bool,
    /// Whether they were asked for with their evidence.
    pub has_evidence: bool,
}

/// Where to go on after a page, so that the whole window has been read in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The window has been read.
    Complete,
    /// Everything before this stamp has been read; what is left of the window begins here.
    From(Timestamp),
    /// Nothing can be concluded from the page's order: read both parts.
    Parts(Window, Window),
    /// One tick holds more than a page: read it by skipping, then what is left of the window.
    WithinTick(Window),
}

/// The rule by which a window is read whole. A page that is not full ends its window. A full page in ascending
/// order, if that was asked for, means that everything before its last stamp has come; the stamp itself is read again,
/// because more alerts may share it. In any other order the window is parted, and both parts are read: the default order
/// of Defender's API is not documented, and `$orderby` is only known from Microsoft's own connector; Graph has no `$orderby`
/// and gives the most recent first, by whatever time, so that stamps may ascend by chance while older ones are still to
/// come. Paging by `$skip` is used only where one tick fills a page, because pages shift while alerts change.
pub fn after(window: Window, page: &AlertPage) -> Next {
    if !page.full {
        return Next::Complete;
    }
    let tick_end = window.from.checked_add(TICK).unwrap_or(Timestamp::MAX);
    if window.to <= tick_end {
        return Next::WithinTick(window);
    }
    let stamps: Option<Vec<Timestamp>> = page.alerts.iter().map(|alert| alert.updated).collect();
    let ascending = stamps.filter(|stamps| page.unreadable.is_empty() && stamps.is_sorted());
    let last = ascending.and_then(|stamps| stamps.last().copied());
    match last {
        Some(last) if page.ordered && last > window.from && last < window.to => Next::From(last),
        Some(last) if last == window.from => Next::WithinTick(Window { from: last, to: tick_end }),
        _ => {
            let at = median(window, page).unwrap_or_else(|| middle(window));
            Next::Parts(Window { to: at, ..window }, Window { from: at, ..window })
        }
    }
}

/// The stamp in the middle of a page's, where it parts the window: alerts that crowd in one place are found there at once,
/// and not after dozens of empty halves.
fn median(window: Window, page: &AlertPage) -> Option<Timestamp> {
    let mut stamps: Vec<Timestamp> = page.alerts.iter().filter_map(|alert| alert.updated).collect();
    stamps.sort_unstable();
    let median = stamps.get(stamps.len() / 2).copied()?;
    (window.from < median && median < window.to).then_some(median)
}

/// The middle of a window that is longer than a tick, on a tick.
fn middle(window: Window) -> Timestamp {
    let half = window.to.duration_since(window.from) / 2;
    let on_tick = half.as_nanos() / 100 * 100;
    let nanos = window.from.as_nanosecond() + on_tick.max(100);
    Timestamp::from_nanosecond(nanos).unwrap_or(window.to)
}

impl AlertPage {
    /// A page in no order, with evidence. `size`: how many were asked for.
    pub(crate) fn of(listed: Listed<Alert>, size: usize) -> AlertPage {
        let returned = listed.returned();
        AlertPage {
            full: returned > 0 && (returned >= size || listed.has_next_link),
            returned,
            alerts: listed.records,
            unreadable: listed.unreadable,
            ordered: false,
            has_evidence: true,
        }
    }
}

impl Reader {
    /// In what portion whoever needs no evidence asks for alerts: on Graph it cannot be left out, and small pages are only
    /// more calls.
    pub fn without_evidence(&self) -> Portion {
        match self.alerts_api {
            Api::Defender => Portion::Bare,
            Api::Graph => Portion::Whole,
        }
    }

    /// A page of the alerts that were last updated within the window, past the first `skip`.
    pub async fn alerts(
        &self,
        window: Window,
        skip: usize,
        portion: Portion,
        call: Call,
    ) -> Result<AlertPage, ApiError> {
        match self.alerts_api {
            Api::Defender => self.alerts_of_defender(window, skip, portion, call).await,
            Api::Graph => self.alerts_of_graph(window, skip, portion, call).await,
        }
    }

    /// Asked for in ascending order, unless the service has refused that: `$orderby` is not on its page.
    async fn alerts_of_defender(
        &self,
        window: Window,
        skip: usize,
        portion: Portion,
        call: Call,
    ) -> Result<AlertPage, ApiError> {
        let filter = format!("lastUpdateTime ge {} and lastUpdateTime lt {}", window.from, window.to);
        let (expand, size) = (portion.expand(), portion.size());
        let mut path = format!("/alerts?$filter={}{expand}&$top={size}", encoded(&filter));
        if skip > 0 {
            path.push_str(&format!("&$skip={skip}"));
        }
        let decode = |body: &[u8]| wire::read_list(body, wire::alert);
        let ordered = format!("{path}&$orderby={}", encoded("lastUpdateTime asc"));
        let in_order = !self.refuses_order.load(Ordering::Relaxed);
        let listed = match self.get("GET alerts", if in_order { &ordered } else { &path }, call, decode).await
        {
            Err(ApiError::BadRequest(answer)) if in_order && answer.status == 400 => {
                tracing::warn!(%answer, "alerts are asked for without an order from now on");
                let listed = self.get("GET alerts", &path, call, decode).await?;
                self.refuses_order.store(true, Ordering::Relaxed);
                listed
            }
            answer => answer?,
        };
        let ordered = !self.refuses_order.load(Ordering::Relaxed);
        Ok(AlertPage { ordered, has_evidence: portion != Portion::Bare, ..AlertPage::of(listed, size) })
    }

    /// One alert as it stands now, with its evidence. [`ApiError::NotFound`] where there is none, also when asked
    /// once more.
    pub async fn alert(&self, id: &AlertId, call: Call) -> Result<Alert, ApiError> {
        if self.alerts_api == Api::Graph {
            return self.alert_of_graph(id, call).await;
        }
        let path = format!("/alerts/{}?$expand=evidence", encoded(id.as_str()));
        self.get_surely("GET alert", &path, call, |body| wire::read_one(body, wire::alert)).await
    }

    /// The alerts of an incident, as Defender's API lists them without their evidence. `incident` is its number. Where
    /// there is no such incident, Defender's API lists none, and Graph answers [`ApiError::NotFound`]. Fails where one of them
    /// cannot be read, there may be more, or Graph says that the incident was merged into another.
    pub async fn alerts_of_incident(&self, incident: u64, call: Call) -> Result<Vec<Alert>, ApiError> {
        if self.alerts_api == Api::Graph {
            return self.alerts_of_incident_of_graph(incident, call).await;
        }
        let path = format!("/alerts?$filter={}&$top={PAGE}", encoded(&format!("incidentId eq {incident}")));
        let decode = |body: &[u8]| wire::read_list(body, wire::alert);
        let listed = self.get("GET alerts", &path, call, decode).await?;
        if let Some(unreadable) = listed.unreadable.first() {
            return Err(ApiError::Unreadable { why: unreadable.to_string() });
        }
        if listed.returned() >= PAGE || listed.has_next_link {
            return Err(ApiError::Unreadable {
                why: "the incident has more alerts than one page".to_owned(),
            });
        }
        Ok(listed.records)
    }

    /// The comments on an alert, as texts. [`ApiError::NotFound`] where there is no such alert.
    pub async fn comments_on(&self, id: &AlertId, call: Call) -> Result<Vec<String>, ApiError> {
        if self.alerts_api == Api::Graph {
            return self.comments_of_graph(id, call).await;
        }
        let path = format!("/alerts/{}", encoded(id.as_str()));
        self.get_surely("GET alert", &path, call, |body| wire::read_one(body, wire::comments)).await
    }
}

/// The filter for one device's records, by its machine id alone.
pub(crate) fn of_device(id: &model::DeviceId) -> String {
    format!("machineId eq {}", quoted(id.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i128) -> Timestamp {
        Timestamp::from_nanosecond(1_700_000_000_000_000_000 + nanos).unwrap()
    }

    fn page(stamps: &[i128], full: bool) -> AlertPage {
        let alerts = stamps.iter().enumerate().map(|(index, nanos)| {
            let value =
                serde_json::json!({"id": format!("a{index}"), "lastUpdateTime": at(*nanos).to_string()});
            wire::alert(&value).unwrap()
        });
        let returned = stamps.len();
        AlertPage {
            alerts: alerts.collect(),
            unreadable: vec![],
            full,
            returned,
            ordered: true,
            has_evidence: true,
        }
    }

    fn check(window: (i128, i128), stamps: &[i128], expected: Next) {
        let window = Window { from: at(window.0), to: at(window.1) };
        assert_eq!(after(window, &page(stamps, true)), expected, "{stamps:?}");
    }

    fn window(from: i128, to: i128) -> Window {
        Window { from: at(from), to: at(to) }
    }

    #[test]
    fn a_page_that_is_not_full_ends_its_window() {
        assert_eq!(after(window(0, 1_000), &page(&[100, 50], false)), Next::Complete);
    }

    #[test]
    fn an_ascending_page_goes_on_at_its_last_stamp_so_that_equal_stamps_are_not_lost() {
        check((0, 10_000), &[0, 100, 300, 300], Next::From(at(300)));
    }

    #[test]
    fn any_other_order_parts_the_window_among_the_pages_stamps() {
        check((0, 10_000), &[9_000, 500, 100], Next::Parts(window(0, 500), window(500, 10_000)));
        check((0, 300), &[200, 100], Next::Parts(window(0, 200), window(200, 300)));
    }

    #[test]
    fn where_the_pages_stamps_cannot_part_it_the_window_is_halved() {
        check((0, 1_000), &[100, 0, 0], Next::Parts(window(0, 500), window(500, 1_000)));
        check((0, 300), &[100, 0, 0], Next::Parts(window(0, 100), window(100, 300)));
    }

    #[test]
    fn stamps_that_ascend_without_having_been_asked_to_prove_nothing() {
        let unordered = |stamps| AlertPage { ordered: false, ..page(stamps, true) };
        let parts = Next::Parts(window(0, 700), window(700, 1_000));
        assert_eq!(after(window(0, 1_000), &unordered(&[700, 700])), parts);
        assert_eq!(after(window(0, 1_000), &unordered(&[600, 700])), parts);
        assert_eq!(after(window(0, 1_000), &unordered(&[0, 0])), Next::WithinTick(window(0, 100)));
    }

    #[test]
    fn a_tick_that_fills_a_page_is_skipped_through() {
        check((0, 10_000), &[0, 0, 0], Next::WithinTick(window(0, 100)));
        check((0, 100), &[0, 0], Next::WithinTick(window(0, 100)));
        check((0, 100), &[50, 0], Next::WithinTick(window(0, 100)));
    }

    #[test]
    fn parting_always_ends() {
        let mut left = window(0, 1_000_000_000);
        for _ in 0..64 {
            match after(left, &page(&[1, 0], true)) {
                Next::Parts(first, second) => {
                    assert!(first.from < first.to && second.from < second.to && first.to == second.from);
                    left = second;
                }
                Next::WithinTick(_) => return,
                other => panic!("{other:?}"),
            }
        }
        panic!("never came to a tick");
    }
}
