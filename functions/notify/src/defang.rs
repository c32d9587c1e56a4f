//! Addresses that an attacker may have written, made so that no mail program turns them into links:
//! `hxxp://evil[.]example`, `192.0.2[.]1`, `[\\]server\share`. People can still read and search them.
//!
//! It knows no list of top-level domains: whatever could be a domain is taken for one, unless it ends in a usual
//! file extension that is none.

/// Extensions of files that are not top-level domains at the same time (as `zip`, `com` and `sh` are).
const EXTENSIONS: [&str; 43] = [
    "bat", "bin", "cmd", "conf", "config", "cpl", "csv", "dat", "dll", "doc", "docm", "docx", "evtx", "exe",
    "hta", "htm", "html", "img", "ini", "iso", "jar", "jpg", "js", "jse", "json", "lnk", "log", "msi", "pdf",
    "png", "ps1", "psm1", "rar", "reg", "rtf", "scr", "sys", "tmp", "txt", "vbs", "xls", "xlsx", "xml",
];

/// What begins an address even without `//`.
const SCHEMES: [&str; 7] = ["mailto", "tel", "sms", "javascript", "vbscript", "ms-msdt", "search-ms"];

/// The text without anything that could become a link.
pub(crate) fn defang(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| !of_host(c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        if run.is_empty() {
            let unc =
                rest.starts_with("\\\\") && !out.ends_with(|c: char| c == '\\' || c == ':' || of_host(c));
            if unc {
                out.push_str("[\\\\]");
                rest = rest.trim_start_matches('\\');
            } else {
                out.push(first);
                rest = rest.strip_prefix(first).unwrap_or_default();
            }
            continue;
        }
        rest = after;
        let scheme = run.to_ascii_lowercase();
        if after.starts_with("://") && scheme.ends_with("http") {
            out.push_str(run.get(..run.len() - 4).unwrap_or_default());
            out.push_str("hxxp");
        } else if after.starts_with("://") && scheme.ends_with("https") {
            out.push_str(run.get(..run.len() - 5).unwrap_or_default());
            out.push_str("hxxps");
        } else if after.starts_with("://") || (after.starts_with(':') && SCHEMES.contains(&scheme.as_str())) {
            out.push_str(run);
            out.push_str("[:]");
            rest = after.strip_prefix(':').unwrap_or(after);
        } else {
            push_host(&mut out, run);
        }
    }
    out
}

/// An address of version 4 or 6, on its own.
pub(crate) fn defang_ip(ip: &str) -> String {
    match ip.rsplit_once(':') {
        Some((head, tail)) => format!("{}[:]{}", defang(head), defang(tail)),
        None => defang(ip),
    }
}

fn of_host(c: char) -> bool {
    c.is_alphanumeric() || is_dot(c) || is_joint(c)
}

/// The dots of Chinese and Japanese count as well, as they do in a browser.
fn is_dot(c: char) -> bool {
    matches!(c, '.' | '。' | '．' | '｡')
}

/// What may stand in a name, and may as well be where a program takes an address to begin or to end.
fn is_joint(c: char) -> bool {
    matches!(c, '-' | '_')
}

fn push_host(out: &mut String, run: &str) {
    let inner = run.trim_end_matches(|c| is_dot(c) || is_joint(c));
    let (host, behind) = run.split_at(inner.len());
    let labels: Vec<&str> = host.split(is_dot).collect();
    let last = labels.len() - 1;
    let byte = |(index, label): (usize, &&str)| part_at(label, index, last).parse::<u8>().is_ok();
    let is_ipv4 = labels.len() == 4 && labels.iter().enumerate().all(byte);
    let mut dots = host.chars().filter(|c| is_dot(*c));
    for (index, label) in labels.iter().enumerate() {
        let first = index == 0 || labels.get(index - 1).is_none_or(|before| before.is_empty());
        let name = part_at(label, 1, 1);
        let part_of_domain = !first
            && could_be_domain(label, name)
            && !(index == last && EXTENSIONS.contains(&name.to_ascii_lowercase().as_str()));
        if part_of_domain || (is_ipv4 && index == last) {
            dots.next();
            out.push_str("[.]");
        } else if index > 0 {
            out.extend(dots.next());
        }
        out.push_str(label);
    }
    out.push_str(behind);
}

/// The part of a label that may belong to an address: the end of the first one, the beginning of the last one.
fn part_at(label: &str, index: usize, last: usize) -> &str {
    let part = match index {
        0 => label.rsplit(is_joint).next(),
        _ if index == last => label.split(is_joint).next(),
        _ => Some(label),
    };
    part.unwrap_or_default()
}

/// `name`: what of the label comes before a joint.
fn could_be_domain(label: &str, name: &str) -> bool {
    let international = label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--"));
    international || (name.chars().count() >= 2 && name.chars().all(char::is_alphabetic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stays_clickable() {
        let cases = [
            ("see http://evil.example/a?b=c.d now", "see hxxp://evil[.]example/a?b=c.d now"),
            ("HTTPS://Evil.Example", "hxxps://Evil[.]Example"),
            ("ftp://192.0.2.1/x", "ftp[:]//192.0.2[.]1/x"),
            ("www.evil.co.uk", "www[.]evil[.]co[.]uk"),
            ("пример.рф and xn--e1afmkfd.xn--p1ai", "пример[.]рф and xn--e1afmkfd[.]xn--p1ai"),
            ("bob@evil.example", "bob@evil[.]example"),
            ("mailto:bob", "mailto[:]bob"),
            ("net use \\\\192.0.2.1\\share", "net use [\\\\]192.0.2[.]1\\share"),
            ("invoice.zip", "invoice[.]zip"),
            ("yellow.cab", "yellow[.]cab"),
            ("192.0.2.1. and (192.0.2.1-", "192.0.2[.]1. and (192.0.2[.]1-"),
            ("_192.0.2.1_x and x-192.0.2.1", "_192.0.2[.]1_x and x-192.0.2[.]1"),
            (
                "evil.com- evil.com_x evil.com. -evil.com-x.y",
                "evil[.]com- evil[.]com_x evil[.]com. -evil[.]com-x.y",
            ),
            ("evil。com evil．com evil｡com", "evil[.]com evil[.]com evil[.]com"),
            ("192。0．2｡1", "192。0．2[.]1"),
        ];
        for (text, expected) in cases {
            assert_eq!(defang(text), expected);
        }
        assert_eq!(defang_ip("192.0.2.4"), "192.0.2[.]4");
        assert_eq!(defang_ip("2001:db8::1"), "2001:db8:[:]1");
    }

    #[test]
    fn what_is_no_address_stays_as_it_is() {
        for text in [
            "powershell.exe",
            "C:\\Windows\\System32\\cmd.exe /c dir",
            "10.0.19045.1",
            "T1059.001",
            "a. b… 3.5",
            "powershell.exe- setup.exe_x ... -_. x。",
        ] {
            assert_eq!(defang(text), text);
        }
    }
}
