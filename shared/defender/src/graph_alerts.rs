//! Alerts of Defender for Endpoint as Microsoft Graph has them: `security/alerts_v2`.
//!
//! Behind the same functions as those of Defender's API, which is another setting's: `alerts.rs`. Sources: Microsoft's pages
//! "List `alerts_v2`", "Get alert" and "Get incident" of Graph. The app needs `SecurityAlert.Read.All`, and for the alerts of
//! an incident `SecurityIncident.Read.All`.

use crate::{AlertPage, ApiError, Call, Portion, Reader, Window, send::encoded, wire};
use credentials::Api;
use model::{Alert, AlertId};

/// The most alerts that a page may ask for, and that may be skipped. Reported of the interface before this one; nothing
/// says that this one takes more.
const MOST: usize = 1_000;
const MOST_SKIPPED: usize = 500;

/// How many alerts are asked for where Graph could not answer a whole page, and where it could not answer that.
const SMALL: usize = 100;
const SMALLEST: usize = 50;

/// How many empty pages in a row are followed: Graph may answer with one, and with a link to what follows. Source:
/// Microsoft's page "Paging Microsoft Graph data in your app".
const EMPTY: usize = 20;

impl Reader {
    /// The filter leaves out the alerts of other products. There is no order to ask for.
    pub(crate) async fn alerts_of_graph(
        &self,
        window: Window,
        skip: usize,
        portion: Portion,
        call: Call,
    ) -> Result<AlertPage, ApiError> {
        let (skipped, size) = reach(skip, portion);
        let filter = format!(
            "lastUpdateDateTime ge {} and lastUpdateDateTime lt {} and serviceSource eq '{}'",
            window.from,
            window.to,
            wire::graph::SERVICE,
        );
        let mut path = format!("/security/alerts_v2?$filter={}&$top={size}", encoded(&filter));
        if skipped > 0 {
            path.push_str(&format!("&$skip={skipped}"));
        }
        let decode = |body: &[u8]| wire::read_list(body, wire::graph::alert);
        let graph = self.on_graph();
        let (mut seen, mut listed) = (skipped, graph.get("GET alerts", &path, call, decode).await?);
        let mut empty = 0;
        loop {
            let is_empty = listed.returned() == 0;
            let leads_on = if is_empty { listed.has_next_link } else { seen + listed.returned() <= skip };
            if !leads_on {
                break;
            }
            let link = listed.next_link.as_deref().and_then(|link| self.on_by(link, &filter));
            empty = if is_empty { empty + 1 } else { 0 };
            if is_empty && (link.is_none() || empty > EMPTY) {
                return Err(nothing_but_links());
            }
            // A page that is not full is the last one.
            let Some(link) = link else {
                if listed.returned() < size && !listed.has_next_link {
                    break;
                }
                return Err(unreachable(skip));
            };
            seen += listed.returned();
            listed = graph.get("GET alerts", link, call, decode).await?;
        }
        let once_more = skip - seen.min(skip);
        let page = AlertPage::of(listed, size);
        Ok(AlertPage { returned: page.returned.saturating_sub(once_more), ..page })
    }

    /// The path of a link that leads on. One that has lost its filter, as has been seen on Defender's API, does not.
    fn on_by<'l>(&self, link: &'l str, filter: &str) -> Option<&'l str> {
        let url = reqwest::Url::parse(link).ok()?;
        let is_filtered = url.query_pairs().any(|(name, value)| name == "$filter" && value == filter);
        self.transport(Api::Graph).path_of(link).filter(|_| is_filtered)
    }

    pub(crate) async fn alert_of_graph(&self, id: &AlertId, call: Call) -> Result<Alert, ApiError> {
        let path = alert_path(id);
        let decode = |body: &[u8]| wire::read_one(body, wire::graph::alert);
        self.on_graph().get_surely("GET alert", &path, call, decode).await
    }

    pub(crate) async fn comments_of_graph(&self, id: &AlertId, call: Call) -> Result<Vec<String>, ApiError> {
        let path = alert_path(id);
        let decode = |body: &[u8]| wire::read_one(body, wire::comments);
        self.on_graph().get_surely("GET alert", &path, call, decode).await
    }

    /// Microsoft's page shows `$expand=alerts` for the list of incidents, and says nothing of it for a single one. An answer
    /// without the alerts is unreadable, not an incident without any; and so is an incident that was merged into another.
    pub(crate) async fn alerts_of_incident_of_graph(
        &self,
        incident: u64,
        call: Call,
    ) -> Result<Vec<Alert>, ApiError> {
        let path = format!("/security/incidents/{incident}?$expand=alerts");
        self.on_graph().get_surely("GET incident", &path, call, wire::graph::alerts_of_incident).await
    }
}

pub(crate) fn alert_path(id: &AlertId) -> String {
    format!("/security/alerts_v2/{}", encoded(id.as_str()))
}

/// What to skip and how many to ask for, to see what lies past the first `skip`. Past what may be skipped, the page begins
/// earlier and is larger, and brings some once more; what no page reaches, Graph's links may.
fn reach(skip: usize, portion: Portion) -> (usize, usize) {
    let size = match portion {
        Portion::Whole => MOST,
        Portion::Small => SMALL,
        Portion::Bare => SMALLEST,
    };
    let once_more = skip.saturating_sub(MOST_SKIPPED);
    (skip - once_more, size.saturating_add(once_more).min(MOST))
}

/// What lies past the first `skip` cannot be seen: that must not be taken for nothing.
fn unreachable(skip: usize) -> ApiError {
    ApiError::Unreadable {
        why: format!(
            "Microsoft Graph does not show what follows the first {skip} alerts that were last updated at the same \
             instant; DEFENDER_ALERTS_API=defender can read them"
        ),
    }
}

/// That a page is empty is the end only where nothing leads on.
fn nothing_but_links() -> ApiError {
    let why =
        "Microsoft Graph answers with an empty page of alerts and a link to more, which leads to nothing";
    ApiError::Unreadable { why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_what_may_be_skipped_a_page_begins_earlier_and_leaves_nothing_out() {
        for portion in [Portion::Whole, Portion::Small, Portion::Bare] {
            let mut seen = 0;
            while seen < MOST + MOST_SKIPPED {
                let (from, size) = reach(seen, portion);
                assert!(from <= MOST_SKIPPED && size <= MOST, "{portion:?}: {from} and {size}");
                assert!(from <= seen && from + size > seen, "{portion:?}: nothing new past {seen}");
                seen = from + size;
            }
            assert_eq!(seen, MOST + MOST_SKIPPED, "{portion:?}");
        }
    }
}
