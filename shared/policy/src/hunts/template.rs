//! A text with columns in it.

use super::{Template, is_column};

/// The longest text that comes of one, in characters.
const MOST: usize = 300;

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Column(String),
}

impl Template {
    /// An error is a sentence without its subject. A brace that is meant is written twice.
    pub(super) fn parse(text: &str) -> Result<Template, String> {
        let (mut parts, mut plain) = (Vec::new(), String::new());
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '{' | '}' if rest.peek() == Some(&c) => {
                    rest.next();
                    plain.push(c);
                }
                '{' => {
                    let mut column = String::new();
                    let is_closed = loop {
                        match rest.next() {
                            Some('}') => break true,
                            Some(c) => column.push(c),
                            None => break false,
                        }
                    };
                    if !is_closed {
                        return Err("has a `{` without its `}`".to_owned());
                    }
                    if !is_column(&column) {
                        return Err(format!("names `{}`, which is no column", model::one_line(&column, 60)));
                    }
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    parts.push(Part::Column(column));
                }
                '}' => return Err("has a `}` without its `{`".to_owned()),
                _ => plain.push(c),
            }
        }
        parts.push(Part::Text(plain));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Template { parts })
    }

    /// The text with the columns' values; what a row lacks is `?`. One line, at most 300 characters.
    pub fn of(&self, column: impl Fn(&str) -> Option<String>) -> String {
        let said = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Column(name) => column(name).unwrap_or_else(|| "?".to_owned()),
        });
        model::one_line(&said.collect::<String>(), MOST)
    }

    /// The columns that it names, in their order.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Column(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let template = Template::parse(text).unwrap();
        template.of(|column| (column != "Missing").then(|| format!("<{column}>")))
    }

    #[test]
    fn columns_are_put_in_and_what_a_row_lacks_is_a_question_mark() {
        assert_eq!(told("{FileName} on {DeviceName}"), "<FileName> on <DeviceName>");
        assert_eq!(told("{Missing}{AdditionalFields.Key}"), "?<AdditionalFields.Key>");
        assert_eq!(told("a {{brace}} and nothing else"), "a {brace} and nothing else");
        let template = Template::parse("{A} and {B.c}").unwrap();
        assert_eq!(template.columns().collect::<Vec<_>>(), ["A", "B.c"]);
    }

    #[test]
    fn a_value_is_put_in_as_it_is_and_never_read_as_a_template() {
        let template = Template::parse("{A}").unwrap();
        assert_eq!(template.of(|_| Some("{B} }} {".to_owned())), "{B} }} {");
    }

    #[test]
    fn a_row_cannot_break_the_line_or_make_it_endless() {
        let template = Template::parse("{A} was seen").unwrap();
        assert_eq!(template.of(|_| Some("two\nlines\u{202e}".to_owned())), "two lines was seen");
        assert_eq!(template.of(|_| Some("x".repeat(5_000))).chars().count(), MOST);
    }

    #[test]
    fn a_brace_that_is_not_closed_or_holds_no_column_is_refused() {
        for bad in ["{A", "A}", "{}", "{A B}", "{1A}", "{A.}", "{{A}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }
}
