//! What a template may say between its braces, looked at before it is compiled: nothing by which a text grows, nor by
//! which escaping ends.
//!
//! No tag but `if` and `for`, and a loop over a variable alone, so that no name ever stands for more than the page
//! holds; and no expression that is long, repeats a text, or puts many together. Whether the template is one at all is
//! the compiler's to say.

/// The tags that there are.
const TAGS: [&str; 6] = ["if", "elif", "else", "endif", "for", "endfor"];

/// The longest expression, in bytes, and the most of `~` and `+` in it.
const MAX_LENGTH: usize = 500;
const MAX_JOINTS: usize = 10;

/// What stands between braces.
#[derive(Clone, Copy)]
enum Kind {
    /// `{% … %}`
    Tag,
    /// `{{ … }}`
    Expression,
}

/// The line of the first thing that is refused, and why.
pub(crate) fn check(source: &str) -> Result<(), (usize, String)> {
    let mut rest = source;
    while let Some(at) = rest.find('{') {
        rest = rest.get(at + 1..).unwrap_or_default();
        let (kind, end) = match rest.chars().next() {
            Some('%') => (Kind::Tag, "%}"),
            Some('{') => (Kind::Expression, "}}"),
            Some('#') => {
                rest = rest.split_once("#}").map_or("", |(_, rest)| rest);
                continue;
            }
            Some(_) | None => continue,
        };
        let line = 1 + source.get(..source.len() - rest.len()).unwrap_or_default().matches('\n').count();
        rest = rest.get(1..).unwrap_or_default();
        let (inside, length) = unquoted(rest, end);
        let refused = if length > MAX_LENGTH {
            Err(format!("it is longer than {MAX_LENGTH} bytes"))
        } else {
            allowed(kind, &inside)
        };
        refused.map_err(|why| (line, why))?;
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(())
}

/// What stands before the end, with `"` for each text in quotes, and how long it is.
fn unquoted(text: &str, end: &str) -> (String, usize) {
    let mut inside = String::new();
    let mut quote = None;
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some(_) if c == '\\' => is_escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if text.get(at..).is_some_and(|rest| rest.starts_with(end)) => return (inside, at),
            None if matches!(c, '"' | '\'') => {
                quote = Some(c);
                inside.push('"');
            }
            None => inside.push(c),
        }
    }
    (inside, text.len())
}

fn allowed(kind: Kind, inside: &str) -> Result<(), String> {
    let inside = inside.trim_start_matches(['-', '+']).trim();
    if let Some(c) = inside.chars().find(|c| matches!(c, '*' | '{')) {
        return Err(format!("`{c}` is not to be had"));
    }
    if inside.matches(['~', '+']).count() > MAX_JOINTS {
        return Err(format!("there are more than {MAX_JOINTS} of `~` and `+` in it"));
    }
    let Kind::Tag = kind else { return Ok(()) };
    let name = inside.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    if !TAGS.contains(&name) {
        let shown = model::one_line(name, 40);
        return Err(format!("`{shown}` is not to be had; the tags are if, elif, else and for"));
    }
    if name == "for" && !is_over_variable(inside) {
        return Err("`for` goes over a variable alone, such as `chapter.lines`".to_owned());
    }
    Ok(())
}

/// `for row in tables[0].rows`, with a condition or not: no list of its own, no filter, no call.
fn is_over_variable(inside: &str) -> bool {
    let inside = inside.trim_end_matches(['-', '+']);
    let words: Vec<&str> = inside.split_whitespace().collect();
    let Some(at) = words.iter().position(|word| *word == "in") else { return false };
    let Some((variable, after)) = words.get(at + 1..).and_then(<[&str]>::split_first) else { return false };
    let of_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']');
    let subscripts = variable.split('[').skip(1);
    let are_numbers = subscripts
        .map(|part| part.split(']').next().unwrap_or_default())
        .all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    let begins = variable.starts_with(|c: char| c.is_alphabetic() || c == '_');
    begins
        && variable.chars().all(of_path)
        && are_numbers
        && !inside.contains("recursive")
        && after.first().is_none_or(|word| *word == "if")
}
