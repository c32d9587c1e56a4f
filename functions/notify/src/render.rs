//! From an outcome to a mail: plain text for a terminal and HTML for a phone, with the same facts in both.
//!
//! Pure: the same outcome gives the same mail. Who gets it and how is the channels' business.

use crate::{
    line::Line,
    notice,
    page::{Page, page},
    wrap::wrap,
};
use askama::Template;
use jiff::Timestamp;
use model::{ActionTaken, MessageId, Notice};

/// What people read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// How mails look: as shipped, or as the playbook says.
#[derive(Debug, Clone, Default)]
pub struct Templates {}

impl Templates {
    /// As shipped.
    pub fn shipped() -> Templates {
        Templates {}
    }
}

#[derive(Template)]
#[template(path = "mail.txt")]
struct Text<'a> {
    page: &'a Page,
}

#[derive(Template)]
#[template(path = "mail.html")]
struct Html<'a> {
    page: &'a Page,
}

impl Text<'_> {
    fn para(&self, text: &str) -> String {
        wrap(text, "  ", 2)
    }

    /// A command is never broken, and further in than words, so that nobody's words pass for one.
    fn line(&self, line: &Line) -> String {
        match line {
            Line::Said(text) => self.para(text),
            Line::Command(text) => format!("    {text}"),
        }
    }

    fn headline(&self) -> String {
        wrap(&self.page.headline, "", 2)
    }

    fn sender(&self) -> String {
        wrap(&self.page.sender, "", 0)
    }

    fn title(&self) -> String {
        wrap(&format!("{} · {}", self.page.severity, self.page.title), "", 2)
    }

    /// Never broken: it must stay a link.
    fn link(&self, label: &str, url: &str) -> String {
        format!("  {label:<11} {url}")
    }

    fn row(&self, label: &str, value: &str) -> String {
        wrap(value, &format!("  {label:<11} "), 14)
    }

    fn detail(&self, label: &str, value: &str) -> String {
        wrap(value, &format!("    {label:<9} "), 14)
    }
}

/// What is said of an outcome. `portal` is the address of the portal, `occurred_at` the message's time.
pub fn render(taken: &ActionTaken, portal: &str, occurred_at: Timestamp, message_id: &MessageId) -> Mail {
    mail(&page(taken, portal, occurred_at, message_id))
}

/// What is said of a notice, likewise.
pub fn render_notice(notice: &Notice, portal: &str, occurred_at: Timestamp, message_id: &MessageId) -> Mail {
    mail(&notice::page(notice, portal, occurred_at, message_id))
}

pub(crate) fn mail(page: &Page) -> Mail {
    let text = Text { page }.render();
    let html = Html { page }.render();
    // Writing into memory does not fail; if it ever did, the bare outcome must still get through.
    let bare =
        |error: askama::Error| format!("{}\n\n(The rest could not be written: {error})\n", page.headline);
    Mail {
        text: text.unwrap_or_else(bare),
        html: html
            .unwrap_or_else(|error| format!("<pre>{}</pre>", bare(error).replace(['<', '>', '&'], " "))),
        subject: page.subject.clone(),
    }
}
