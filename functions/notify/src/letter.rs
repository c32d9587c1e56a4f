//! A mail with its headers. lettre encodes and folds them; nothing here is written by hand.
//!
//! The same message always gives the same letter, byte for byte, so that a repeat can be recognised.

use crate::Mail;
use jiff::Timestamp;
use lettre::message::{
    Mailbox, Message, MultiPart, MultiPartKind, SinglePart,
    header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
};
use model::MessageId;
use std::time::SystemTime;

/// One message to people.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) mail: Mail,
    pub(crate) id: MessageId,
    /// What all letters about one device have in common.
    pub(crate) story: MessageId,
    pub(crate) occurred_at: Timestamp,
}

impl Letter {
    /// The message's id as a word that may stand in a header and in a file's name.
    pub(crate) fn word_of_id(&self) -> String {
        word(&self.id)
    }

    /// The letter from this sender to these people.
    pub(crate) fn message(&self, from: &Mailbox, to: &[Mailbox]) -> Result<Message, String> {
        let domain = from.email.domain();
        let story = format!("<{}@{domain}>", word(&self.story));
        let mut letter = Message::builder()
            .from(from.clone())
            .subject(self.mail.subject.clone())
            .date(SystemTime::from(self.occurred_at))
            .message_id(Some(format!("<{}@{domain}>", self.word_of_id())))
            .in_reply_to(story.clone())
            .references(story)
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_whole_however_long_the_domain() {
        let domain = format!("{}.{}.example", "a".repeat(60), "b".repeat(60));
        let letter = Letter {
            mail: Mail { subject: "x".to_owned(), text: "x".to_owned(), html: "x".to_owned() },
            id: "action-taken-1".parse().unwrap(),
            story: "story-1".parse().unwrap(),
            occurred_at: Timestamp::UNIX_EPOCH,
        };
        let from: Mailbox = format!("cordon@{domain}").parse().unwrap();
        let content = letter.message(&from, std::slice::from_ref(&from)).unwrap().formatted();
        let content = String::from_utf8(content).unwrap();
        for id in [format!("<action-taken-1@{domain}>"), format!("<story-1@{domain}>")] {
            assert!(content.contains(&id), "{content}");
        }
    }
}
