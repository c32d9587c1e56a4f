//! The environment variables that settings are read from, and the list of what is wrong with them.
//!
//! Read once, at start: nothing else in Cordon looks at the environment.

use secrecy::SecretString;
use std::{collections::BTreeMap, fmt};

/// Environment variables. Its `Debug` shows names only, because any value may be a secret.
#[derive(Clone, Default)]
pub struct Vars(BTreeMap<String, String>);

impl Vars {
    /// The process's own environment. Variables that are not UTF-8 are left out.
    pub fn from_process() -> Vars {
        let readable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Vars(std::env::vars_os().filter_map(readable).collect())
    }

    /// The value of a variable; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub fn secret(&self, name: &str) -> Option<SecretString> {
        self.get(name).map(SecretString::from)
    }

    /// Adds what is not set yet: an environment file never overrides the environment.
    pub fn add_defaults(&mut self, more: impl IntoIterator<Item = (String, String)>) {
        for (name, value) in more {
            let set = self.0.entry(name).or_default();
            if set.is_empty() {
                *set = value;
            }
        }
    }

    /// Reads the text of an environment file: `NAME=value` lines, `#` comments, optional quotes around a value.
    /// The error names the line, never its content.
    pub fn parse_file(text: &str) -> Result<Vec<(String, String)>, String> {
        let mut found = Vec::new();
        // Some editors begin every file with a byte order mark.
        let text = text.trim_start_matches('\u{feff}');
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let line = line.strip_prefix("export ").unwrap_or(line);
            let named = line.split_once('=').map(|(name, value)| (name.trim(), value));
            let Some((name, value)) = named.filter(|(name, _)| is_name(name)) else {
                return Err(format!("line {} is not of the form NAME=value", index + 1));
            };
            let value = value.trim();
            let unquoted = ['"', '\'']
                .iter()
                .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
                .unwrap_or(value);
            found.push((name.to_owned(), unquoted.to_owned()));
        }
        Ok(found)
    }
}

/// Letters, digits and `_`, with no digit first. Anything else in front of a `=` is a slip, perhaps with a secret.
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(allowed) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

impl FromIterator<(String, String)> for Vars {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(vars: I) -> Vars {
        Vars(vars.into_iter().collect())
    }
}

impl fmt::Debug for Vars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Everything that is wrong with the settings, so that all of it is said at once. Each entry begins with the
/// name of the setting; none holds a secret's value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl Problems {
    pub fn add(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }

    /// Adds what is wrong with one setting.
    pub fn add_all<'p>(&mut self, setting: &str, problems: impl IntoIterator<Item = &'p str>) {
        self.0.extend(problems.into_iter().map(|problem| format!("{setting}: {problem}")));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_file_is_read_and_never_overrides() {
        let mut vars: Vars = [("A".to_owned(), "process".to_owned())].into_iter().collect();
        vars.add_defaults(
            Vars::parse_file("\u{feff}# x\nA=file\nexport B=\"two words\"\n\nC='a=b'\n").unwrap(),
        );
        assert_eq!(vars.get("A"), Some("process"));
        assert_eq!(vars.get("B"), Some("two words"));
        let mut empty: Vars = [("A".to_owned(), String::new())].into_iter().collect();
        empty.add_defaults([("A".to_owned(), "file".to_owned())]);
        assert_eq!(empty.get("A"), Some("file"), "an empty variable counts as not set");

        assert_eq!(vars.get("C"), Some("a=b"));
    }

    #[test]
    fn a_bad_line_is_named_without_its_content() {
        for line in ["hunter2", "=hunter2", "A: hunter2=x", "1hunter2=x"] {
            let error = Vars::parse_file(&format!("A=1\n{line}")).unwrap_err();
            assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn debug_shows_names_only() {
        let vars: Vars = [("PASSWORD".to_owned(), "hunter2".to_owned())].into_iter().collect();
        assert_eq!(format!("{vars:?}"), "{\"PASSWORD\"}");
    }
}
