//! Reading a TOML file key by key, so that every problem in it is found, each with its place.
//!
//! Deserialising by serde would stop at the first. This knows no key of its own.

use crate::problems::{MOST_PROBLEMS, Source, hint, listed};
use jiff::SignedDuration;
use toml::de::{DeTable, DeValue};

/// A file being read and what was found wrong with it so far.
pub(crate) struct Reader<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) problems: Vec<String>,
}

impl Reader<'_> {
    pub(crate) fn problem(&mut self, at: usize, what: impl std::fmt::Display) {
        self.add(at, what, None);
    }

    /// A problem, and the way out of it.
    pub(crate) fn hinted(&mut self, at: usize, what: impl std::fmt::Display, hint: &str) {
        self.add(at, what, Some(hint));
    }

    /// One more than are said is enough to know that there are more. Finding a place costs as much as the file is long.
    fn add(&mut self, at: usize, what: impl std::fmt::Display, hint: Option<&str>) {
        if self.problems.len() <= MOST_PROBLEMS {
            self.problems.push(self.source.pointed_problem(&self.source.token(at), what, None, hint));
        }
    }
}

/// The file as a table; none where it is no TOML, which is then a problem.
pub(crate) fn table<'a>(reader: &mut Reader<'a>) -> Option<DeTable<'a>> {
    let (table, errors) = DeTable::parse_recoverable(reader.source.text);
    for error in &errors {
        reader.problem(error.span().map_or(0, |span| span.start), error.message());
    }
    errors.is_empty().then(|| table.into_inner())
}

/// A table of the file, and where it begins.
#[derive(Clone, Copy)]
pub(crate) struct Section<'a> {
    pub(crate) table: &'a DeTable<'a>,
    pub(crate) at: usize,
}

/// A text of the file, and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Word<'a> {
    pub(crate) text: &'a str,
    pub(crate) at: usize,
}

/// What a duration may be, and what it is where the file says nothing.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) default: SignedDuration,
    pub(crate) least: SignedDuration,
    pub(crate) most: SignedDuration,
}

impl<'a> Section<'a> {
    /// The value of a key, and where it stands.
    pub(crate) fn get(&self, key: &str) -> Option<(&'a DeValue<'a>, usize)> {
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, v)| (v.get_ref(), v.span().start))
    }

    /// Every key that is not known here is a problem.
    pub(crate) fn only(&self, reader: &mut Reader<'_>, known: &[&str]) {
        for key in self.table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let word = model::one_line(key.get_ref(), 60);
            reader.hinted(key.span().start, format!("unknown key `{word}`"), &hint(&word, known));
        }
    }

    pub(crate) fn text(&self, reader: &mut Reader<'_>, key: &str) -> Option<Word<'a>> {
        let (value, at) = self.get(key)?;
        let Some(text) = value.as_str() else {
            reader.problem(at, format!("`{key}` must be a text in quotes, not {}", kind(value)));
            return None;
        };
        if text.trim().is_empty() || text.chars().any(char::is_control) {
            reader.problem(at, format!("`{key}` must be a text on one line, and not empty"));
            return None;
        }
        Some(Word { text, at })
    }

    /// A text that must be there; its absence is a problem.
    pub(crate) fn needed(&self, reader: &mut Reader<'_>, key: &str) -> Option<Word<'a>> {
        if self.get(key).is_none() {
            reader.problem(self.at, format!("`{key}` is missing"));
        }
        self.text(reader, key)
    }

    /// One of a few words; `default` where the key is absent.
    pub(crate) fn choice<T: Copy>(
        &self,
        reader: &mut Reader<'_>,
        key: &str,
        default: T,
        choices: &[(&str, T)],
    ) -> T {
        let Some(word) = self.text(reader, key) else { return default };
        if let Some((_, chosen)) = choices.iter().find(|(name, _)| *name == word.text) {
            return *chosen;
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let found = model::one_line(word.text, 60);
        reader.problem(word.at, format!("`{key}` cannot be `{found}`: it is one of {}", listed(&names)));
        default
    }

    pub(crate) fn duration(&self, reader: &mut Reader<'_>, key: &str, bounds: Bounds) -> SignedDuration {
        let Some((value, at)) = self.get(key) else { return bounds.default };
        let Some(duration) = value.as_str().and_then(parse_duration) else {
            let what = "must be a number and a unit in quotes, such as \"60s\", \"10m\", \"4h\" or \"2d\"";
            reader.problem(at, format!("`{key}` {what}"));
            return bounds.default;
        };
        if duration < bounds.least || duration > bounds.most {
            let (least, most) = (show_duration(bounds.least), show_duration(bounds.most));
            let shown = show_duration(duration);
            reader.problem(at, format!("`{key}` must lie between {least} and {most}, not at `{shown}`"));
            return bounds.default;
        }
        duration
    }

    /// A whole number from 0 to `most`.
    pub(crate) fn number(&self, reader: &mut Reader<'_>, key: &str, default: u32, most: u32) -> u32 {
        let Some((value, at)) = self.get(key) else { return default };
        let number =
            value.as_integer().and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok());
        let Some(number) = number.filter(|number| *number <= most) else {
            let key = model::one_line(key, 60);
            reader.problem(at, format!("`{key}` must be a whole number between 0 and {most}"));
            return default;
        };
        number
    }

    pub(crate) fn flag(&self, reader: &mut Reader<'_>, key: &str, default: bool) -> bool {
        let Some((value, at)) = self.get(key) else { return default };
        value.as_bool().unwrap_or_else(|| {
            reader.problem(at, format!("`{key}` must be true or false, not {}", kind(value)));
            default
        })
    }

    /// A list of texts; empty where the key is absent.
    pub(crate) fn texts(&self, reader: &mut Reader<'_>, key: &str) -> Vec<Word<'a>> {
        let Some((value, at)) = self.get(key) else { return Vec::new() };
        let Some(array) = value.as_array() else {
            reader.problem(at, format!("`{key}` must be a list of texts, such as [\"a\", \"b\"]"));
            return Vec::new();
        };
        let mut words = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_str() {
                Some(text) if !text.trim().is_empty() && !text.chars().any(char::is_control) => {
                    words.push(Word { text, at: item.span().start });
                }
                Some(_) | None => {
                    let what = format!("every entry of `{key}` must be a text on one line, and not empty");
                    reader.problem(item.span().start, what);
                }
            }
        }
        words
    }

    /// The section below a key.
    pub(crate) fn section(&self, reader: &mut Reader<'_>, key: &str) -> Option<Section<'a>> {
        let (value, at) = self.get(key)?;
        let Some(table) = value.as_table() else {
            reader.problem(at, format!("`{key}` must be a section, written [{key}]"));
            return None;
        };
        Some(Section { table, at })
    }

    /// The sections below a key that may come any number of times.
    pub(crate) fn sections(&self, reader: &mut Reader<'_>, key: &str) -> Vec<Section<'a>> {
        let Some((value, at)) = self.get(key) else { return Vec::new() };
        let tables = value.as_array().map(|array| {
            array
                .iter()
                .map(|item| Some(Section { table: item.get_ref().as_table()?, at: item.span().start }))
        });
        let sections = tables.and_then(|tables| tables.collect::<Option<Vec<_>>>());
        if sections.is_none() {
            reader.problem(at, format!("every `{key}` must be a section of its own, written [[{key}]]"));
        }
        sections.unwrap_or_default()
    }
}

/// The longest name: it stands in keys of the state.
const MAX_NAME: usize = 60;

/// Reads a name that other things refer to: lower case letters, digits and dashes.
pub(crate) fn name<'a>(reader: &mut Reader<'_>, section: Section<'a>) -> Option<Word<'a>> {
    let word = section.needed(reader, "name")?;
    let of_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = word.text.bytes().all(of_name) && word.text.len() <= MAX_NAME;
    if !good {
        let found = model::one_line(word.text, MAX_NAME);
        let what = format!(
            "`{found}` cannot be a name: lower case letters, digits and dashes only, at most {MAX_NAME}"
        );
        reader.problem(word.at, what);
    }
    good.then_some(word)
}

pub(crate) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

/// `60s`, `10m`, `4h`, `2d`: a whole number and one unit.
pub(crate) fn parse_duration(text: &str) -> Option<SignedDuration> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<i64>().ok()?.checked_mul(seconds).map(SignedDuration::from_secs)
}

fn show_duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    for (unit, name) in [(86_400, "d"), (3_600, "h"), (60, "m")] {
        if seconds >= unit && seconds % unit == 0 {
            return format!("{}{name}", seconds / unit);
        }
    }
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, seconds) in [("60s", 60), ("10m", 600), ("4h", 14_400), ("7d", 604_800)] {
            assert_eq!(parse_duration(text), Some(SignedDuration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "s", "60", "-1s", "+1s", "1.5h", "1h30m", " 1h", "1 h", "99999999999999999999s", "1é"]
        {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
