//! Lines that fit a terminal. Breaks between words, and inside a word only where it is longer than a line.
//!
//! Counts characters, so that a line of wide ones (Chinese, Japanese, Korean) looks longer than it should.

/// How long a line may be.
const WIDTH: usize = 78;

/// The text in lines: the first begins with `first`, the others with as many blanks as `indent` says.
pub(crate) fn wrap(text: &str, first: &str, indent: usize) -> String {
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut length = first.chars().count();
    let mut empty = true;
    let room = WIDTH.saturating_sub(indent).max(1);
    for word in text.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        let mut rest = letters.as_slice();
        while !rest.is_empty() {
            let gap = usize::from(!empty);
            if length + gap + rest.len() <= WIDTH {
                line.extend(std::iter::repeat_n(' ', gap));
                line.extend(rest);
                length += gap + rest.len();
                empty = false;
                break;
            }
            if empty || rest.len() > room {
                let fits = WIDTH.saturating_sub(length + gap);
                if fits > 0 && (empty || fits >= 20) {
                    let (head, tail) = rest.split_at(fits.min(rest.len()));
                    line.extend(std::iter::repeat_n(' ', gap));
                    line.extend(head);
                    rest = tail;
                }
            }
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            length = indent;
            empty = true;
        }
    }
    lines.push(line);
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole_and_lines_short() {
        let text = "word ".repeat(40);
        let wrapped = wrap(&text, "  - ", 4);
        assert!(wrapped.lines().all(|line| line.chars().count() <= WIDTH), "{wrapped}");
        assert!(wrapped.starts_with("  - word word"));
        assert!(wrapped.lines().skip(1).all(|line| line.starts_with("    word")), "{wrapped}");
        assert_eq!(wrapped.split_whitespace().filter(|word| *word == "word").count(), 40);
    }

    #[test]
    fn an_endless_word_is_broken() {
        let wrapped = wrap(&"x".repeat(500), "", 2);
        assert!(wrapped.lines().all(|line| line.chars().count() <= WIDTH), "{wrapped}");
        assert_eq!(wrapped.matches('x').count(), 500);
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(wrap("", "", 2), "");
    }
}
