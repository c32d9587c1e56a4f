//! One message to people, as every channel gets it; and a mail with its headers. lettre encodes and folds them; nothing here is written by hand.
//!
//! The same message always gives the same letter, byte for byte, so that a repeat can be recognised.

use crate::{Mail, page::Page};
use jiff::Timestamp;
use lettre::message::{
    Mailbox, Message, MultiPart, MultiPartKind, SinglePart,
    header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
};
use model::MessageId;
use std::time::SystemTime;

/// One message to people, for one channel: what a channel does not show is not in it.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) id: MessageId,
    pub(crate) story: Story,
    /// Whether the channel was told something of the story before.
    pub(crate) is_follow_up: bool,
    pub(crate) occurred_at: Timestamp,
    pub(crate) page: Page,
    pub(crate) mail: Mail,
}

/// What messages about one incident on one device have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Story {
    /// The message's own id, where it stands alone.
    pub(crate) id: MessageId,
    /// What people know it by: "incident 1126093 on laptop-7".
    pub(crate) name: String,
}

impl Letter {
    /// The message's id as a word that may stand in a header and in a file's name.
    pub(crate) fn word_of_id(&self) -> String {
        word(&self.id)
    }

    /// The letter from this sender to these people.
    pub(crate) fn message(&self, from: &Mailbox, to: &[Mailbox]) -> Result<Message, String> {
        let domain = from.email.domain();
        let story = format!("<{}@{domain}>", word(&self.story.id));
        let mut letter = Message::builder()
            .from(from.clone())
            .subject(self.mail.subject.clone())
            .date(SystemTime::from(self.occurred_at))
            .message_id(Some(format!("<{}@{domain}>", self.word_of_id())));
        // What stands alone names no story.
        if self.story.id != self.id {
            letter = letter.in_reply_to(story.clone()).references(story);
        }
        let by_itself = HeaderName::new_from_ascii_str("Auto-Submitted");
        letter = letter.raw_header(HeaderValue::new(by_itself, "auto-generated".to_owned()));
        for mailbox in to {
            letter = letter.to(mailbox.clone());
        }
        // A boundary with `=` in it can stand in no part, because both are quoted-printable.
        let parts = MultiPart::builder()
            .kind(MultiPartKind::Alternative)
            .boundary(format!("=_{}", self.word_of_id()))
            .singlepart(part(ContentType::TEXT_PLAIN, &self.mail.text))
            .singlepart(part(ContentType::TEXT_HTML, &self.mail.html));
        letter.multipart(parts).map_err(|error| format!("the letter cannot be written: {error}"))
    }
}

fn part(content_type: ContentType, text: &str) -> SinglePart {
    SinglePart::builder()
        .header(content_type)
        .header(ContentTransferEncoding::QuotedPrintable)
        .body(text.to_owned())
}

/// An id with nothing in it but letters, digits, `-` and `_`. Ours have nothing else anyway.
fn word(id: &MessageId) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    id.as_str().chars().map(plain).take(60).collect()
}
