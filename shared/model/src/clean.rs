//! Texts that strangers wrote, made safe to show: titles, names and command lines are an attacker's pen.
//!
//! This takes away what acts on a terminal or deceives a reader. Escaping for HTML or JSON is the business of
//! whoever writes those.

/// Whether a character may stand in a text that people read: no control characters (ANSI escapes begin with
/// one), no direction overrides, nothing that is invisible.
fn is_honest(c: char) -> bool {
    let invisible = matches!(c,
        '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d159}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}');
    let no_character = u32::from(c) & 0xfffe == 0xfffe;
    !c.is_control() && !invisible && !no_character
}

/// Whether it is drawn over the letter before it. These are the marks that are piled up; those that a script needs
/// beyond them are left alone.
fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{0300}'..='\u{036f}' | '\u{0483}'..='\u{0489}' | '\u{0591}'..='\u{05bd}' | '\u{0610}'..='\u{061a}'
        | '\u{064b}'..='\u{065f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}'
        | '\u{fe20}'..='\u{fe2f}')
}

/// Whether it is drawn as a blank. The empty pattern of Braille counts as one, though it is no white space by its
/// properties.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{2800}'
}

/// The most marks on one letter: more of them are drawn over the lines above and below.
const MAX_MARKS: u8 = 3;

/// The text on one line, without anything that acts or hides, and at most `max_chars` characters long. Runs of
/// white space become one blank; what was cut off ends in `…`.
pub fn one_line(text: &str, max_chars: usize) -> String {
    let mut line = String::new();
    let mut gap = false;
    // One more than fits is enough to know that something has to be cut off.
    let enough = max_chars.saturating_add(2);
    let mut length = 0;
    let mut marks: u8 = 0;
    for c in text.chars() {
        marks = if is_mark(c) { marks.saturating_add(1) } else { 0 };
        if is_blank(c) {
            gap = !line.is_empty();
        } else if is_honest(c) && marks <= MAX_MARKS {
            if std::mem::take(&mut gap) {
                line.push(' ');
                length += 1;
            }
            line.push(c);
            length += 1;
            if length >= enough {
                break;
            }
        }
    }
    if length > max_chars {
        let end = line.char_indices().nth(max_chars.saturating_sub(1)).map_or(0, |(end, _)| end);
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_not_piled_up() {
        let flood = format!("a{}b", "\u{0301}".repeat(50));
        assert_eq!(one_line(&flood, 80), "a\u{0301}\u{0301}\u{0301}b");
        assert_eq!(one_line("Việt ế é שָׁלוֹם", 80), "Việt ế é שָׁלוֹם");
    }

    #[test]
    fn nothing_that_acts_or_hides_survives() {
        assert_eq!(one_line("a\u{1b}[31mred\r\nBcc: x\t\u{202e}y\u{200b}z", 80), "a[31mred Bcc: x yz");
        assert_eq!(one_line("名前 — 東京", 80), "名前 — 東京");
        assert_eq!(one_line("a\u{fffe}b\u{ffff}c\u{1fffe}d", 80), "abcd");
    }

    #[test]
    fn a_text_of_nothing_but_blanks_is_empty() {
        let blanks =
            "\u{2800}\u{3164}\u{ffa0}\u{115f}\u{1160}\u{180e}\u{034f}\u{00a0}\u{3000}\u{1d159}\u{1d173}";
        assert_eq!(one_line(blanks, 80), "");
        assert_eq!(one_line("a\u{2800}\u{2800}b\u{2800}", 80), "a b");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let cut = one_line(&"x".repeat(70_000), 10);
        assert_eq!(cut.chars().count(), 10);
        assert!(cut.ends_with('…'));
        assert_eq!(one_line("abc", 3), "abc");
        assert_eq!(one_line("abcd", 3), "ab…");
    }
}
