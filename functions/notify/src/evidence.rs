//! The evidence that matters, in few words. All of it may have been written by an attacker: nothing of it leaves
//! this file without [`show`] or [`show_secretive`].

use crate::{
    defang::{defang, defang_ip},
    mask::mask,
};
use jiff::Timestamp;
use model::{Alert, Evidence, one_line};

/// The most entries that are shown.
const MAX: usize = 10;

/// The most of a command line that is shown, in characters.
const MAX_COMMAND_LINE: usize = 200;

/// The most that is looked through for secrets, in characters: far more than is shown.
const MAX_SECRETIVE: usize = 4_000;

/// One entry: what it is, and what is known of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) details: Vec<(&'static str, String)>,
}

/// A stranger's text, safe to read: one line, at most so long, nothing that becomes a link.
pub(crate) fn show(text: &str, max_chars: usize) -> String {
    defang(&one_line(text, max_chars))
}

/// A stranger's text that may hold secrets. They are masked before it is cut, so that no half of one is left.
pub(crate) fn show_secretive(text: &str, max_chars: usize) -> String {
    defang(&one_line(&mask(&one_line(text, MAX_SECRETIVE)), max_chars))
}

/// The alert's title, not safe to read yet. That of a hunt's alert is made of a row's values, whatever they hold: secrets in
/// it are masked, before anybody cuts it.
pub(crate) fn title(alert: &Alert) -> String {
    let masked = alert.hunted.is_some().then(|| mask(&one_line(&alert.title, MAX_SECRETIVE)));
    masked.unwrap_or_else(|| alert.title.clone())
}

/// A time as people read it.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The entries to show, the telling kinds first, and what to say of those left out. Command lines, and what the registry
/// holds, only where they are wanted.
pub(crate) fn entries(alert: &Alert, command_lines: bool) -> (Vec<Entry>, Option<String>) {
    let mut evidence: Vec<&Evidence> = alert.evidence.iter().collect();
    evidence.sort_by_key(|evidence| rank(&evidence.kind));
    let mut all: Vec<Entry> = Vec::new();
    for evidence in evidence {
        let entry = entry(evidence, command_lines);
        if !all.contains(&entry) {
            all.push(entry);
        }
    }
    let left = all.len().saturating_sub(MAX);
    all.truncate(MAX);
    // Defender has no alert of what a hunt has found.
    let see = if alert.hunted.is_some() { "" } else { ": see the alert" };
    let more = match (left, alert.evidence_truncated) {
        (0, false) => None,
        (0, true) => Some(format!("and more than Cordon kept{see}")),
        (left, false) => Some(format!("and {left} more")),
        (left, true) => Some(format!("and {left} more, and more than Cordon kept{see}")),
    };
    (all, more)
}

fn rank(kind: &str) -> u8 {
    const KINDS: [&str; 6] = ["process", "file", "url", "ip", "registry", "user"];
    let at = KINDS.iter().position(|known| kind.eq_ignore_ascii_case(known));
    at.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

fn entry(evidence: &Evidence, command_lines: bool) -> Entry {
    let kind = match show(&evidence.kind, 20) {
        ip if ip == "Ip" => "IP address".to_owned(),
        url if url == "Url" => "URL".to_owned(),
        other => other,
    };
    let mut details = Vec::new();
    let mut detail = |label: &'static str, value: Option<String>| {
        details.extend(value.filter(|value| !value.is_empty()).map(|value| (label, value)));
    };
    let text = |field: &Option<String>, max: usize| field.as_deref().map(|text| show(text, max));
    let command_line = evidence.command_line.as_deref().filter(|_| command_lines);
    detail("Command", command_line.map(|text| show_secretive(text, MAX_COMMAND_LINE)));
    detail("Folder", text(&evidence.folder, 200));
    match &evidence.sha256 {
        Some(_) => detail("SHA-256", text(&evidence.sha256, 80)),
        None => detail("SHA-1", text(&evidence.sha1, 80)),
    }
    let key = [&evidence.registry_hive, &evidence.registry_key]
        .into_iter()
        .filter_map(|part| text(part, 200))
        .collect::<Vec<_>>()
        .join("\\");
    // What programs are started by, and passwords: a command line like any other.
    let value = evidence.registry_value.as_deref().filter(|_| command_lines);
    let value = value.map(|text| show_secretive(text, 200));
    let user = account(evidence);
    let url = evidence.url.as_deref().map(|text| show_secretive(text, 200));
    let ip = evidence.ip_address.as_deref().map(|ip| defang_ip(&one_line(ip, 60)));
    let parent = numbered(text(&evidence.parent_file_name, 100), evidence.parent_process_id);
    let file = numbered(text(&evidence.file_name, 120), evidence.process_id);
    // A line of the process tree.
    let file = match (parent, file) {
        (Some(parent), Some(file)) => Some(format!("{parent} → {file}")),
        (Some(parent), None) => Some(format!("{parent} → …")),
        (None, file) => file,
    };
    detail("Value", value);
    detail("Started", evidence.process_created.map(time));
    detail("Detection", text(&evidence.detection_status, 40));
    // What names it comes first; whatever else is there is a detail.
    let named = [("File", file), ("URL", url), ("Address", ip), ("Key", Some(key)), ("User", user)];
    let mut name = String::new();
    for (label, value) in named {
        let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
        if name.is_empty() {
            name = value;
        } else {
            details.push((label, value));
        }
    }
    if name.is_empty() {
        name = "(no name)".to_owned();
    }
    Entry { kind, name, details }
}

fn numbered(name: Option<String>, id: Option<i64>) -> Option<String> {
    match (name.filter(|name| !name.is_empty()), id) {
        (Some(name), Some(id)) => Some(format!("{name} (process {id})")),
        (Some(name), None) => Some(name),
        (None, Some(id)) => Some(format!("process {id}")),
        (None, None) => None,
    }
}

fn account(evidence: &Evidence) -> Option<String> {
    let Evidence { account_name, account_domain, user_principal_name, user_sid, .. } = evidence;
    let named =
        |text: &Option<String>| text.as_deref().map(|text| show(text, 100)).filter(|text| !text.is_empty());
    match (named(account_domain), named(account_name)) {
        (Some(domain), Some(name)) => Some(format!("{domain}\\{name}")),
        (None, Some(name)) => Some(name),
        (Some(_) | None, None) => named(user_principal_name).or_else(|| named(user_sid)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_registry_holds_is_a_command_line_like_any_other() {
        let text = |text: &str| Some(text.to_owned());
        let run = Evidence {
            kind: "Registry".to_owned(),
            registry_key: text("SOFTWARE\\Run"),
            registry_value: text("x.exe --password hunter2"),
            ..Evidence::default()
        };
        let value = ("Value", "x.exe --password ***".to_owned());
        assert!(entry(&run, true).details.contains(&value));
        let (name, details) = (entry(&run, false).name, entry(&run, false).details);
        assert_eq!((name.as_str(), details), ("SOFTWARE\\Run", vec![]));
    }
}
