//! What has to be known of KQL to put names before a query: its words, and its literals.
//!
//! By the grammar that Microsoft publishes (`KqlTokens.g4` of microsoft/Kusto-Query-Language). Whether a query means anything
//! is for the service to say.

use super::{Parameter, Span};
use crate::AssetList;
use jiff::Timestamp;

/// The beginning of the window that is asked for, in every query.
pub(super) const FROM: &str = "CordonFrom";
/// Its end.
pub(super) const TO: &str = "CordonTo";
/// The asset lists, in queries that name them.
pub(super) const ASSETS: &str = "CordonAssets";

/// Words that mean something by themselves, and can be no parameter's name.
const KEYWORDS: [&str; 91] = [
    "and",
    "as",
    "asc",
    "between",
    "bool",
    "boolean",
    "by",
    "consume",
    "contains",
    "contains_cs",
    "count",
    "datatable",
    "date",
    "datetime",
    "decimal",
    "declare",
    "desc",
    "distinct",
    "double",
    "dynamic",
    "endswith",
    "endswith_cs",
    "evaluate",
    "extend",
    "externaldata",
    "facet",
    "false",
    "filter",
    "find",
    "first",
    "fork",
    "from",
    "getschema",
    "guid",
    "has",
    "has_all",
    "has_any",
    "has_cs",
    "hasprefix",
    "hassuffix",
    "in",
    "int",
    "into",
    "invoke",
    "join",
    "kind",
    "last",
    "let",
    "limit",
    "long",
    "lookup",
    "materialize",
    "nulls",
    "of",
    "on",
    "or",
    "order",
    "parse",
    "partition",
    "print",
    "project",
    "range",
    "real",
    "reduce",
    "render",
    "sample",
    "scan",
    "search",
    "serialize",
    "set",
    "sort",
    "startswith",
    "startswith_cs",
    "step",
    "string",
    "summarize",
    "table",
    "take",
    "time",
    "timespan",
    "to",
    "top",
    "toscalar",
    "totable",
    "true",
    "typeof",
    "union",
    "view",
    "where",
    "with",
    "withsource",
];

/// Why this cannot be a parameter's name, as the end of a sentence; none where it can.
pub(super) fn wrong_name(name: &str) -> Option<String> {
    if !is_identifier(name) {
        return Some("must be of letters, digits and `_`, and begin with no digit".to_owned());
    }
    if [FROM, TO, ASSETS].iter().any(|ours| ours.eq_ignore_ascii_case(name)) {
        return Some("is one of Cordon's own names".to_owned());
    }
    KEYWORDS.contains(&name.to_ascii_lowercase().as_str()).then(|| "is a word of KQL".to_owned())
}

/// `[A-Za-z_][A-Za-z0-9_]*`, and not too long.
pub(super) fn is_identifier(text: &str) -> bool {
    text.len() <= 100
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The words of a query that are neither in a comment nor in a text, in their order.
pub(super) fn words(query: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = query;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '/' if rest.starts_with("//") => line_length(rest),
            '"' | '\'' => literal_length(rest, c),
            '@' if rest.starts_with("@\"") || rest.starts_with("@'") => verbatim_length(rest),
            '`' if rest.starts_with("```") => fenced_length(rest, "```"),
            '~' if rest.starts_with("~~~") => fenced_length(rest, "~~~"),
            _ if is_of_word(c) => {
                let length = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
                words.extend(rest.get(..length));
                length
            }
            _ => c.len_utf8(),
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    words
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$'
}

fn line_length(rest: &str) -> usize {
    rest.find(['\n', '\r', '\u{2028}', '\u{2029}']).unwrap_or(rest.len())
}

/// A text with escapes. It ends with its line at the latest: what is not closed there is an error of the service's.
fn literal_length(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '\n' | '\r' => return at,
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `@"…"`, in which a quote that is meant stands twice.
fn verbatim_length(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1).peekable();
    let quote = chars.next().map_or('"', |(_, quote)| quote);
    while let Some((at, c)) = chars.next() {
        match c {
            '\n' | '\r' => return at,
            _ if c != quote => {}
            _ if chars.peek().is_some_and(|(_, next)| *next == quote) => drop(chars.next()),
            _ => return at + 1,
        }
    }
    rest.len()
}

fn fenced_length(rest: &str, fence: &str) -> usize {
    let inner = rest.get(fence.len()..).and_then(|inner| inner.find(fence));
    inner.map_or(rest.len(), |inner| inner + 2 * fence.len())
}

/// A text as a literal that reads back as the same text, in KQL and within a `dynamic`, which is JSON: so only escapes that
/// both know.
pub(super) fn literal(text: &str) -> String {
    let mut said = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => said.push_str("\\\""),
            '\\' => said.push_str("\\\\"),
            '\n' => said.push_str("\\n"),
            '\r' => said.push_str("\\r"),
            '\t' => said.push_str("\\t"),
            // What ends a line, or is not shown.
            _ if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                said.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => said.push(c),
        }
    }
    said.push('"');
    said
}

fn literals<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    texts.map(literal).collect::<Vec<_>>().join(", ")
}

/// A moment, to the service's ticks of 100 ns.
fn moment(at: Timestamp) -> String {
    format!("datetime({})", at.strftime("%Y-%m-%dT%H:%M:%S.%7fZ"))
}

impl Parameter {
    fn literal(&self) -> String {
        match self {
            Parameter::Text(text) => literal(text),
            Parameter::Number(number) => format!("long({number})"),
            Parameter::Texts(texts) => format!("dynamic([{}])", literals(texts.iter().map(String::as_str))),
        }
    }
}

/// What a query can name, each with a `let` on a line of its own.
pub(super) fn before<'p>(
    query: &str,
    span: Span,
    parameters: impl Iterator<Item = (&'p String, &'p Parameter)>,
    lists: &[AssetList],
) -> String {
    let mut lets = vec![(FROM.to_owned(), moment(span.from)), (TO.to_owned(), moment(span.to))];
    lets.extend(parameters.map(|(name, value)| (name.clone(), value.literal())));
    if words(query).contains(&ASSETS) {
        lets.push((ASSETS.to_owned(), assets(lists)));
    }
    lets.iter().map(|(name, value)| format!("let {name} = {value};\n")).collect()
}

/// Every entry of every list, as it stands there: one that is past its review as well.
fn assets(lists: &[AssetList]) -> String {
    let of_list = |list: &AssetList| {
        let devices = list.devices.iter().map(|id| ("device", id.to_string()));
        let of = |kind, words: &[String]| words.iter().map(|word| (kind, word.clone())).collect::<Vec<_>>();
        let named = [of("group", &list.groups), of("tag", &list.tags), of("user", &list.users)].concat();
        devices
            .chain(named)
            .map(|(kind, value)| literals([list.name.as_str(), kind, value.as_str()].into_iter()))
            .collect::<Vec<_>>()
    };
    let rows: Vec<String> = lists.iter().flat_map(of_list).collect();
    format!("datatable(List:string, Kind:string, Value:string)[{}]", rows.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a literal back, by the grammar: the text, and what follows it.
    fn read_back(source: &str) -> (String, &str) {
        let mut chars = source.strip_prefix('"').unwrap().chars();
        let mut text = String::new();
        loop {
            match chars.next().unwrap() {
                '"' => return (text, chars.as_str()),
                '\n' | '\r' => panic!("a literal ends with its line"),
                '\\' => text.push(match chars.next().unwrap() {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'u' => {
                        let hex: String = chars.by_ref().take(4).collect();
                        char::from_u32(u32::from_str_radix(&hex, 16).unwrap()).unwrap()
                    }
                    c @ ('"' | '\\') => c,
                    other => panic!("KQL or JSON does not know \\{other}"),
                }),
                c => text.push(c),
            }
        }
    }

    const NASTY: [&str; 16] = [
        "",
        "plain",
        "\"",
        "\\",
        "\\\"",
        "\"; DeviceEvents | take 10 //",
        "a\nb\r\nc\td",
        "\0\u{7}\u{1b}\u{7f}\u{85}",
        "\u{2028}\u{2029}",
        "{braces} ${x} {{",
        "// no comment /* none */",
        "```fence``` ~~~fence~~~",
        "@\"verbatim\" h'hidden'",
        "häß 漢字 🦀 \u{10ffff}",
        "\u{202e}\u{200b}\u{feff}",
        "'); drop",
    ];

    #[test]
    fn every_text_reads_back_as_it_was_and_stays_on_its_line() {
        for text in NASTY {
            let said = literal(text);
            assert_eq!(read_back(&said), (text.to_owned(), ""), "{said}");
            assert_eq!(serde_json::from_str::<String>(&said).unwrap(), text, "in a `dynamic` it is JSON");
            assert!(!said.contains(['\n', '\r', '\u{2028}', '\u{2029}', '\0']), "{said}");
        }
    }

    #[test]
    fn words_in_comments_and_texts_are_none() {
        let query = "DeviceEvents // CordonFrom in a comment\n\
                     | where A == \"CordonTo \\\" x\" and B == 'y \" z' and C == @\"\\\" and D == @'it''s'\n\
                     | where E == h\"secret\" and F == ```\nmany\nlines``` and G == ~~~ \" ~~~ | take Most1";
        let found = words(query);
        assert_eq!(
            found,
            [
                "DeviceEvents",
                "where",
                "A",
                "and",
                "B",
                "and",
                "C",
                "and",
                "D",
                "where",
                "E",
                "h",
                "and",
                "F",
                "and",
                "G",
                "take",
                "Most1"
            ]
        );
        assert_eq!(words("a \"never closed\nb"), ["a", "b"]);
        assert_eq!(words("a @\"never closed\"\" x\nb"), ["a", "b"]);
        assert_eq!(words("a ```never closed\nb"), ["a"]);
    }

    #[test]
    fn a_window_is_told_to_the_tick() {
        let span = Span {
            from: "2026-11-20T10:00:00Z".parse().unwrap(),
            to: "2026-11-20T10:10:00.1234567Z".parse().unwrap(),
        };
        assert_eq!(
            before("T", span, std::iter::empty(), &[]),
            "let CordonFrom = datetime(2026-11-20T10:00:00.0000000Z);\n\
             let CordonTo = datetime(2026-11-20T10:10:00.1234567Z);\n"
        );
    }

    #[test]
    fn a_parameters_name_can_be_no_word_that_means_something_else() {
        for good in ["Allowed", "_x", "a1", "Kinds"] {
            assert_eq!(wrong_name(good), None, "{good}");
        }
        for bad in
            ["", "1a", "a-b", "a b", "ä", "let", "Where", "CordonFrom", "cordonto", "CordonAssets", "a;b"]
        {
            assert!(wrong_name(bad).is_some(), "{bad}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        /// A text that gets out of its literal would leave words behind.
        #[test]
        fn whatever_a_parameter_says_it_is_never_code(texts in proptest::collection::vec(any::<String>(), 0..4)) {
            let text = texts.concat();
            let said = literal(&text);
            prop_assert_eq!(read_back(&said), (text.clone(), ""));
            let followed = format!("{said} After");
            prop_assert_eq!(words(&followed), ["After"]);
            let span = Span { from: Timestamp::UNIX_EPOCH, to: Timestamp::UNIX_EPOCH };
            let parameters = [("P".to_owned(), Parameter::Texts(texts.clone())), ("Q".to_owned(), Parameter::Text(text))];
            let said = before("P | Q", span, parameters.iter().map(|(name, value)| (name, value)), &[]);
            prop_assert_eq!(said.lines().count(), 4);
            let found = words(&said).into_iter().filter(|word| ["let", "P", "Q", "dynamic"].contains(word)).count();
            prop_assert_eq!(found, 4 + 3);
            let list = said.split_once("dynamic(").unwrap().1.split_once(");\nlet Q").unwrap().0;
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(list).unwrap(), texts);
        }

        #[test]
        fn the_words_of_any_text_can_be_told(text in "\\PC{0,80}|[a@h'\"`~/\\\\ \n]{0,60}") {
            for word in words(&text) {
                prop_assert!(!word.is_empty() && word.chars().all(is_of_word));
            }
        }
    }
}
