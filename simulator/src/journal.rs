//! What was asked of the simulator: one entry per request, in the order of arrival.
//!
//! Secrets are masked before anything is kept. Judging a request is the routes' business; here it is only
//! written down.

use jiff::Timestamp;

/// One request and what became of it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Counts up from 1; never reused.
    pub number: u64,
    pub at: Timestamp,
    pub method: String,
    pub path: String,
    /// `GET alerts`, `GET alert`, `PATCH alert`, `GET machines`, `GET machine`, `GET machine alerts`,
    /// `GET machineactions`, `GET machineaction`, `POST isolate`, `POST unisolate`, `POST cancel`, `POST create alert`,
    /// `POST advancedqueries`, `POST runHuntingQuery`, `GET incident`, `POST token` or `unexpected`. What is the same call
    /// has the same name at Graph: the path tells which was asked.
    pub route: String,
    /// As sent, still encoded.
    pub query: String,
    /// Names in lower case; Authorization is masked.
    pub headers: Vec<(String, String)>,
    /// As sent; secrets in a token request are masked.
    pub body: String,
    /// The client id the token belongs to.
    pub app: Option<String>,
    /// The status answered; `None` while under way and when no answer was given.
    pub status: Option<u16>,
    /// The fault that was played.
    pub fault: Option<String>,
    /// The request was one that a correct client never sends.
    pub malformed: bool,
    /// The rule that the request broke.
    pub violation: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Journal {
    entries: Vec<Entry>,
    last_number: u64,
}

impl Journal {
    /// Writes the request down and gives the number by which it is finished.
    pub(crate) fn arrived(&mut self, mut entry: Entry) -> u64 {
        self.last_number += 1;
        entry.number = self.last_number;
        self.entries.push(entry);
        self.last_number
    }

    /// Adds to an entry; does nothing when the journal was cleared in between.
    pub(crate) fn note(&mut self, number: u64, change: impl FnOnce(&mut Entry)) {
        let entry = self.entries.iter_mut().rev().find(|entry| entry.number == number);
        if let Some(entry) = entry {
            change(entry);
        }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

/// The body with the values of secrets replaced.
pub(crate) fn without_secrets(body: &str) -> String {
    body.split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name @ ("client_secret" | "client_assertion"), _)) => format!("{name}=***"),
            Some(_) | None => pair.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_a_token_request_are_masked() {
        let kept = without_secrets("grant_type=client_credentials&client_secret=s3cret&scope=x");
        assert_eq!(kept, "grant_type=client_credentials&client_secret=***&scope=x");
    }
}
