//! Addresses that an attacker may have written, made so that no mail program turns them into links:
//! `hxxp://evil[.]example`, `192.0.2[.]1`, `[\\]server\share`. People can still read and search them.
//!
//! It knows no list of top-level domains: whatever could be a domain is taken for one, unless it ends in a usual
//! file extension that is none.

/// Extensions of files that are not top-level domains at the same time (as `zip`, `com` and `sh` are).
const EXTENSIONS: [&str; 44] = [
    "bat", "bin", "cab", "cmd", "conf", "config", "cpl", "csv", "dat", "dll", "doc", "docm", "docx", "evtx",
    "exe", "hta", "htm", "html", "img", "ini", "iso", "jar", "jpg", "js", "jse", "json", "lnk", "log", "msi",
    "pdf", "png", "ps1", "psm1", "rar", "reg", "rtf", "scr", "sys", "tmp", "txt", "vbs", "xls", "xlsx",
    "xml",
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
    c.is_alphanumeric() || matches!(c, '.' | '-' | '_')
}

fn push_host(out: &mut String, run: &str) {
    let labels: Vec<&str> = run.split('.').collect();
    let is_ipv4 = labels.len() == 4 && labels.iter().all(|label| label.parse::<u8>().is_ok());
    let last = labels.len() - 1;
    for (index, label) in labels.iter().enumerate() {
        let first = index == 0 || labels.get(index - 1).is_none_or(|before| before.is_empty());
        let part_of_domain = !first
            && could_be_domain(label)
            && !(index == last && EXTENSIONS.contains(&label.to_ascii_lowercase().as_str()));
        if part_of_domain || (is_ipv4 && index == last) {
            out.push_str("[.]");
        } else if index > 0 {
            out.push('.');
        }
        out.push_str(label);
    }
}

fn could_be_domain(label: &str) -> bool {
    let international = label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--"));
    international || (label.chars().count() >= 2 && label.chars().all(char::is_alphabetic))
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
        ] {
            assert_eq!(defang(text), text);
        }
    }
}
