//! A paragraph of a mail: words, or a command to be copied as it stands.

/// Words are wrapped, a command never is: half of one would be another command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    Said(String),
    /// Made of our own words and of ids alone, never of a stranger's text.
    Command(String),
}

impl Line {
    pub(crate) fn command(text: &str) -> Line {
        Line::Command(text.to_owned())
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Line::Said(text) | Line::Command(text) => text.is_empty(),
        }
    }

    pub(crate) fn is_command(&self) -> bool {
        matches!(self, Line::Command(_))
    }

    /// Whether it is a command that runs a hunt by hand: it asks Defender itself, and knows no stack.
    pub(crate) fn is_hunt(&self) -> bool {
        matches!(self, Line::Command(text) if text.starts_with("cordon hunt "))
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Line {
        Line::Said(text.to_owned())
    }
}

impl From<String> for Line {
    fn from(text: String) -> Line {
        Line::Said(text)
    }
}
