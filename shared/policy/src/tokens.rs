//! The words, texts, comments and signs of which a policy's text consists, each with its place.
//!
//! Cedar reads what they mean; this is for what has to be known before Cedar reads at all, or where its own places are
//! too coarse.

/// Every token of a text and where it begins. Blanks are left out.
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let at = text.len() - rest.len();
        let (token, after) = rest.split_at_checked(length(rest)?)?;
        rest = after;
        Some((at, token))
    })
}

/// Whether a token is a word or a number.
pub(crate) fn is_word(token: &str) -> bool {
    token.starts_with(is_of_word)
}

fn length(rest: &str) -> Option<usize> {
    let first = rest.chars().next()?;
    Some(match first {
        '"' => string_length(rest),
        '/' if rest.starts_with("//") => rest.find(['\n', '\r']).unwrap_or(rest.len()),
        // An annotation's name is no word of the policy.
        '@' => rest.find(|c| c != '@' && !is_of_word(c)).unwrap_or(rest.len()),
        _ if is_of_word(first) => rest.find(|c| !is_of_word(c)).unwrap_or(rest.len()),
        _ => first.len_utf8(),
    })
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// How long the text in quotes is that a policy goes on with, its quotation marks included.
fn string_length(rest: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !is_escaped => return at + 1,
            _ => is_escaped = c == '\\' && !is_escaped,
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_a_comment_or_an_annotation_is_one_token() {
        let text = "@id when { a.b == \"x \\\" {\" } // {\n;";
        let found: Vec<&str> = tokens(text).map(|(_, token)| token).collect();
        assert_eq!(found, ["@id", "when", "{", "a", ".", "b", "=", "=", "\"x \\\" {\"", "}", "// {", ";"]);
        assert!(tokens(text).all(|(at, token)| text.get(at..).unwrap().starts_with(token)));
    }
}
