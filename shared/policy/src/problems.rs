//! What is wrong with a playbook, in sentences that name file, line and column.
//!
//! This only words and places; what counts as wrong is decided by whoever reads the file.

use std::{fmt, ops::Range, path::Path};

/// Everything that is wrong with a playbook, of all its files at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<String>);

/// The most problems that are said at once: whoever has more mends these first.
pub(crate) const MOST_PROBLEMS: usize = 50;

/// The most that Cedar's own words may be, in characters.
const MOST_SAID: usize = 600;

/// The most of a line that is shown, in characters.
const MOST_SHOWN: usize = 160;

/// The longest key that is shown of a file whose values are not.
const MOST_OF_KEY: usize = 80;

impl Problems {
    pub(crate) fn new(mut problems: Vec<String>) -> Problems {
        if problems.len() > MOST_PROBLEMS {
            problems.truncate(MOST_PROBLEMS);
            problems.push("there are more problems than these".to_owned());
        }
        Problems(problems)
    }

    /// One text for each problem. Most span lines: they show the place with a caret, and a hint.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// The text of a file of the playbook.
pub(crate) fn read_file(folder: &Path, file: &str) -> Result<String, String> {
    let path = folder.join(file);
    std::fs::read_to_string(&path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))
}

/// The names of the TOML files of a folder, sorted. A folder that is not there has none.
pub(crate) fn files(folder: &Path) -> Result<Vec<String>, String> {
    let cannot = |error| format!("cannot read `{}`: {error}", folder.display());
    let mut names = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(names),
        Err(error) => return Err(cannot(error)),
    };
    for entry in entries {
        let name = entry.map_err(cannot)?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".toml") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// A file of the playbook, to point into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
    /// Whether values are left out of what is shown: somebody may have written a password there.
    hides_values: bool,
}

/// A place in a file. Lines and columns count from one, columns in characters.
struct Place<'a> {
    line: usize,
    column: usize,
    /// The whole line.
    shown: &'a str,
}

impl<'a> Source<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Source<'a> {
        Source { file, text, hides_values: false }
    }

    /// A TOML file of whose lines no more than the keys is ever shown.
    pub(crate) fn of_keys(file: &'a str, text: &'a str) -> Source<'a> {
        Source { file, text, hides_values: true }
    }

    fn place(&self, offset: usize) -> Place<'a> {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            line: before.matches('\n').count() + 1,
            column: before.get(start..).unwrap_or_default().chars().count() + 1,
            shown: self.text.get(start..).unwrap_or_default().lines().next().unwrap_or_default(),
        }
    }

    pub(crate) fn line(&self, offset: usize) -> usize {
        self.place(offset).line
    }

    /// Where a policy's text stands, looked for from a place on. Cedar keeps the text but not the place.
    pub(crate) fn find(&self, policy: &str, from: usize) -> Range<usize> {
        let rest = self.text.get(from..).unwrap_or_default();
        let start = from + rest.find(policy).unwrap_or_default();
        start..start + policy.len()
    }

    /// The first line of a longer place.
    pub(crate) fn first_line(&self, at: &Range<usize>) -> Range<usize> {
        let line = self.text.get(at.clone()).unwrap_or_default().lines().next().unwrap_or_default();
        at.start..at.start + line.len()
    }

    /// The word, text or line that begins at a place of a TOML file.
    pub(crate) fn token(&self, at: usize) -> Range<usize> {
        let line = self.text.get(at..).unwrap_or_default().lines().next().unwrap_or_default();
        let is_of_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '+');
        let length = match line.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                line.get(1..).and_then(|rest| rest.find(quote)).map(|length| length + 2)
            }
            Some('[' | '{') => Some(line.trim_end().len()),
            Some(_) | None => line.find(|c: char| !is_of_word(c)),
        };
        at..at + length.unwrap_or(line.len())
    }

    /// A problem with the line it is about, a caret under the place, and a hint.
    pub(crate) fn pointed_problem(
        &self,
        span: &Range<usize>,
        what: impl fmt::Display,
        label: Option<&str>,
        hint: Option<&str>,
    ) -> String {
        let Place { line, column, shown } = self.place(span.start);
        let said = |words: &dyn fmt::Display| model::one_line(&words.to_string(), MOST_SAID);
        let mut text = format!("{}:{line}:{column}: {}", self.file, said(&what));
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        if let Some(Picture { shown, indent, width }) = self.picture(span, shown, column.saturating_sub(1)) {
            let (indent, carets) = (" ".repeat(indent), "^".repeat(width));
            text.push_str(&format!("\n {number} | {shown}\n {margin} | {indent}{carets}"));
            if let Some(label) = label {
                text.push_str(&format!(" {}", said(&label)));
            }
        }
        if let Some(hint) = hint {
            text.push_str(&format!("\n {margin} = hint: {}", said(&hint)));
        }
        text
    }

    /// What is shown of a line, `before` characters of which stand before the place.
    fn picture(&self, span: &Range<usize>, line: &str, before: usize) -> Option<Picture> {
        let marked = self.text.get(span.clone()).unwrap_or_default();
        let width = marked.lines().next().unwrap_or_default().chars().count().max(1);
        if self.hides_values {
            // A line within a long text may look like a key.
            let ahead = self.text.get(..span.start).unwrap_or(self.text);
            let in_a_text = ahead.contains("\"\"\"") || ahead.contains("'''");
            return if in_a_text { None } else { key_alone(line, before, width) };
        }
        let (shown, indent) = window(line, before);
        let width = width.min(shown.chars().count().saturating_sub(indent).max(1));
        Some(Picture { shown, indent, width })
    }
}

/// A line as it is shown, and where the carets stand below it.
struct Picture {
    shown: String,
    indent: usize,
    width: usize,
}

/// Of a line of TOML no more than its key, or the name of a section. None where it has no plain one: it may be anything.
fn key_alone(line: &str, before: usize, width: usize) -> Option<Picture> {
    let is_plain = |name: &str| {
        let name = name.trim_matches([' ', '\t']);
        !name.is_empty()
            && name.len() <= MOST_OF_KEY
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
    };
    let header = line.trim_end();
    if header.starts_with('[')
        && header.len() <= MOST_OF_KEY
        && is_plain(header.trim_start_matches('[').trim_end_matches(']'))
    {
        let width = width.min(header.len().saturating_sub(before).max(1));
        return Some(Picture { shown: header.to_owned(), indent: before, width });
    }
    let (key, _) = line.split_once('=').filter(|(key, _)| is_plain(key))?;
    let (key, shown) = (key.trim_end(), format!("{key}= …"));
    let (indent, width) = match key.len().checked_sub(before) {
        Some(rest @ 1..) => (before, width.min(rest)),
        Some(0) | None => (shown.chars().count().saturating_sub(1), 1),
    };
    // Blanks before a key may be tabs.
    Some(Picture { shown: shown.replace('\t', " "), indent, width })
}

/// What is shown of a line around a place in it, and how far in the place is then. What a terminal would act upon, or
/// not show, is a blank.
fn window(line: &str, before: usize) -> (String, usize) {
    let blank = |c: char| if model::one_line(c.encode_utf8(&mut [0; 4]), 1).is_empty() { ' ' } else { c };
    let start =
        if line.chars().nth(MOST_SHOWN).is_some() { before.saturating_sub(MOST_SHOWN / 2) } else { 0 };
    let mut rest = line.chars().skip(start).map(blank);
    let mut shown: String = rest.by_ref().take(MOST_SHOWN).collect();
    if rest.next().is_some() {
        shown.push('…');
    }
    if start > 0 {
        shown.insert(0, '…');
    }
    (shown, before - start + usize::from(start > 0))
}

/// The whole chain of an error, in one line.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What was probably meant by an unknown word, as the end of a sentence.
pub(crate) fn hint(word: &str, known: &[&str]) -> String {
    let lower = word.to_ascii_lowercase();
    let nearest = known.iter().map(|known| (distance(&lower, &known.to_ascii_lowercase()), *known)).min();
    match nearest {
        Some((distance, nearest)) if distance <= 2.max(nearest.chars().count() / 3) => {
            format!("did you mean `{nearest}`?")
        }
        Some(_) | None => format!("known here: {}", listed(known)),
    }
}

/// `a`, `b`, `c`
pub(crate) fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// How many letters have to be added, dropped or changed to make one word of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((b, above), corner) in other.chars().zip(row.iter().skip(1)).zip(&row) {
            let left = next.last().copied().unwrap_or_default();
            next.push((corner + usize::from(a != b)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_the_word_that_was_meant() {
        assert_eq!(hint("intervall", &["interval", "overlap"]), "did you mean `interval`?");
        assert_eq!(hint("Mode", &["mode", "poll"]), "did you mean `mode`?");
        assert_eq!(hint("limits", &["mode", "poll"]), "known here: `mode`, `poll`");
    }

    #[test]
    fn of_a_long_line_the_part_around_the_place_is_shown() {
        let text = format!("{}bad{}", "x".repeat(5_000), "y".repeat(5_000));
        let shown = Source::new("x", &text).pointed_problem(&(5_000..5_003), "is bad", None, None);
        let lines: Vec<&str> = shown.lines().collect();
        let at = lines[1].chars().position(|c| c == 'b').unwrap();
        assert_eq!(lines[2].chars().position(|c| c == '^'), Some(at), "{shown}");
        assert!(lines[1].contains("bad") && lines[1].ends_with("y…") && shown.len() < 500, "{shown}");
    }

    #[test]
    fn of_a_file_that_may_hold_a_password_no_value_is_shown() {
        let shown = |text: &str, word: &str| {
            let source = Source::of_keys("x", text);
            source.pointed_problem(&source.token(text.find(word).unwrap()), "is bad", None, None)
        };
        assert_eq!(
            shown("a = 1\n password = \"p\"", "\"p"),
            "x:2:13: is bad\n 2 |  password = …\n   |             ^"
        );
        assert_eq!(shown("pass.word=x", "pass"), "x:1:1: is bad\n 1 | pass.word= …\n   | ^^^^^^^^^");
        assert_eq!(shown("[[channels]]\nx = 1", "["), "x:1:1: is bad\n 1 | [[channels]]\n   | ^^^^^^^^^^^^");
        assert_eq!(shown("[[poll]", "["), "x:1:1: is bad\n 1 | [[poll]\n   | ^^^^^^^");
        for (text, word) in [
            ("password: p=ss", "password"),
            ("to = [\n  \"p=ss\",", "\"p"),
            ("password = \"\"\"\ncGFzcw==\n\"\"\"", "cGF"),
            ("password = '''\n[pass]\n", "[pass"),
            ("\"p\" = 1", "\"p"),
        ] {
            assert_eq!(shown(text, word).lines().count(), 1, "{text}");
        }
    }

    #[test]
    fn a_file_full_of_problems_is_said_to_have_more() {
        let problems = Problems::new(vec!["a problem".to_owned(); 1_000]);
        assert_eq!(problems.iter().count(), MOST_PROBLEMS + 1);
        assert!(problems.iter().last().unwrap().contains("more"));
    }

    #[test]
    fn a_caret_stands_under_the_place_even_behind_a_tab_or_an_umlaut() {
        let source = Source::new("x", "one\n\tä bad\nthree");
        let start = source.text.find("bad").unwrap();
        let shown = source.pointed_problem(&(start..start + 3), "is bad", None, Some("be good"));
        assert_eq!(shown, "x:2:4: is bad\n 2 |  ä bad\n   |    ^^^\n   = hint: be good");
    }
}
