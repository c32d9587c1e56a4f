//! Amazon SES, through the mail service of the AWS host. Who may send as whom is the business of its role.
//!
//! SES replaces a letter's Message-ID and date by its own; what holds a story together is `References`, which it
//! keeps. Source: "Header fields" in the SES developer guide.

use super::{Opening, mailbox, mailboxes};
use crate::letter::Letter;
use lettre::message::Mailbox;
use ports::{MailBackend, Unsent};
use std::sync::Arc;

/// The deployment's addresses: the sender, and whom to tell where the playbook names nobody.
const MAIL_FROM: &str = "CORDON_MAIL_FROM";
const MAIL_TO: &str = "CORDON_MAIL_TO";

#[derive(Debug)]
pub(super) struct Ses {
    mail: Arc<dyn MailBackend>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Ses {
    pub(super) fn open(to: &[String], opening: &mut Opening<'_>) -> Option<Ses> {
        let aws = opening.aws?;
        let vars = opening.vars;
        // Who may be the sender is written into the function's role, so it is not the playbook's to choose.
        let from = match vars.get(MAIL_FROM) {
            Some(from) => mailbox(MAIL_FROM, from),
            None => Err(format!("{MAIL_FROM} is not set")),
        };
        let to = if to.is_empty() {
            match vars.get(MAIL_TO) {
                Some(to) => mailboxes(MAIL_TO, to.split(',').map(str::trim).filter(|one| !one.is_empty())),
                None => Err(format!("{MAIL_TO} is not set, and the channel has no `to` of its own")),
            }
        } else {
            mailboxes("to", to.iter().map(String::as_str))
        };
        let (from, to) = (opening.keep(from), opening.keep(to));
        Some(Ses { mail: aws.mail.clone(), from: from?, to: to? })
    }

    pub(super) async fn deliver(&self, letter: &Letter) -> Result<(), Unsent> {
        let message = letter.message(&self.from, &self.to).map_err(Unsent::message)?;
        let to: Vec<String> = self.to.iter().map(|mailbox| mailbox.email.to_string()).collect();
        self.mail.send(self.from.email.as_ref(), &to, message.formatted()).await
    }
}
