//! From a page to a mail: plain text for a terminal and HTML for a phone, with the same facts in both.
//!
//! Pure: the same page and templates give the same mail. Who gets it and how is the channels' business, how it looks
//! the templates'.

use crate::{
    channels::MOST_ROWS,
    notice,
    page::{Show, page},
    templates::Templates,
};
use jiff::Timestamp;
use model::{ActionTaken, MessageId, Notice};

/// What people read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// What a mail shows of a message that comes first in its story.
const FIRST: Show<'_> = Show { command_lines: true, follow_up: None, rows: MOST_ROWS };

/// What is said of an outcome, as shipped. `portal` is the address of the portal, `occurred_at` the message's time.
pub fn render(taken: &ActionTaken, portal: &str, occurred_at: Timestamp, message_id: &MessageId) -> Mail {
    Templates::shipped().mail(&page(taken, portal, occurred_at, message_id, FIRST))
}

/// What is said of an outcome where a channel was told of its story before, which people know by this name.
pub fn render_follow_up(
    taken: &ActionTaken,
    story: &str,
    portal: &str,
    occurred_at: Timestamp,
    message_id: &MessageId,
) -> Mail {
    let shown = Show { follow_up: Some(story), ..FIRST };
    Templates::shipped().mail(&page(taken, portal, occurred_at, message_id, shown))
}

/// What is said of a notice, likewise.
pub fn render_notice(notice: &Notice, portal: &str, occurred_at: Timestamp, message_id: &MessageId) -> Mail {
    Templates::shipped().mail(&notice::page(notice, portal, occurred_at, message_id, FIRST))
}
