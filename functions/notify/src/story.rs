//! Which story a message belongs to: one incident on one device. Whether a channel knows the story yet is not known here.

use crate::{letter::Story, notice, page};
use jiff::Timestamp;
use model::{ActionTaken, Envelope, MessageId, Notice};
use ports::{Latest, State};

/// The story of an outcome: its incident, or where there is none its alert, on its device.
pub(crate) fn of_outcome(message: &Envelope<ActionTaken>) -> Story {
    let body = &message.body;
    let incident = body.alert.incident_id.as_deref().map(str::trim).filter(|id| !id.is_empty());
    let (kind, what) = match incident {
        Some(incident) => ("incident", incident),
        None => ("alert", body.alert.id.as_str()),
    };
    let device = body.device.known().map_or("", |device| device.id.as_str());
    let id = MessageId::of("story", &[message.tenant.as_str(), kind, what, device]);
    Story { id, name: page::story_name(body) }
}

/// The story of a notice: the one that was last told of its device. One about Cordon itself is a story of its own, so that
/// no thread goes on for ever.
pub(crate) async fn of_notice(state: &State, message: &Envelope<Notice>, now: Timestamp) -> Story {
    let (tenant, own) = (&message.tenant, notice::story_name(&message.body));
    let Some(device) = &message.body.device else {
        return Story { id: message.id.clone(), name: own };
    };
    // Which thread it stands in matters less than that it is told.
    let latest = state.get_readable::<Latest>(&Latest::key(tenant, device), now).await.unwrap_or_default();
    match latest {
        Some(latest) => Story { id: latest.value.story, name: latest.value.name },
        None => {
            Story { id: MessageId::of("story", &[tenant.as_str(), "device", device.as_str()]), name: own }
        }
    }
}
