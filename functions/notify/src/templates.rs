//! How mails look: the shipped templates, and those of the playbook's folder `templates/` in their place.
//!
//! A template is words around a page; it decides nothing and reaches nothing. It cannot switch off the escaping of
//! HTML: there is no filter for that, the tag for it is refused, and one template cannot take in another. How much it
//! may write, hold and do is bounded: `tags.rs` refuses what makes texts grow, steps are counted, and so is what the
//! filters work on. What goes wrong with one of the playbook's is found when it is read; what goes wrong all the same
//! later is logged, and the shipped one is used.

use crate::{Mail, evidence::show, example::pages, line::Line, page::Page, tags, wrap::wrap};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value, escape_formatter,
    filters,
    value::{Serde, ValueKind},
};
use model::one_line;
use serde::Serialize;
use std::{
    fs,
    io::{self, ErrorKind as IoErrorKind, Write},
    path::Path,
    sync::{Arc, LazyLock},
};

/// The templates that there are: the names of their files, and what ships.
const SHIPPED: [(&str, &str); 3] = [
    (HTML, include_str!("../templates/mail.html")),
    (TEXT, include_str!("../templates/mail.txt")),
    (SUBJECT, include_str!("../templates/subject.txt")),
];
const HTML: &str = "mail.html";
const TEXT: &str = "mail.txt";
const SUBJECT: &str = "subject.txt";

/// The folder in a playbook.
const FOLDER: &str = "templates";

/// The most of a file that is read as a template, in bytes.
const MAX_TEMPLATE: usize = 256 * 1024;

/// The most that a template may write, in bytes, and how many steps it may take.
const MAX_OUTPUT: usize = 2 * 1024 * 1024;
const MAX_STEPS: u64 = 500_000;

/// The most that a template's filters may take and give, all in all, in bytes.
const MAX_FILTERED: usize = 16 * 1024 * 1024;

/// The longest subject, in characters.
const MAX_SUBJECT: usize = 250;

/// How mails look: as shipped, or as the playbook says.
#[derive(Debug, Clone)]
pub struct Templates {
    shipped: &'static Environment<'static>,
    /// The playbook's; none has a name twice.
    own: Arc<Environment<'static>>,
}

impl Default for Templates {
    fn default() -> Templates {
        Templates::shipped()
    }
}

impl Templates {
    /// As shipped.
    pub fn shipped() -> Templates {
        static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
            let mut environment = environment();
            for (name, source) in SHIPPED {
                if let Err(error) = environment.add_template(name, source) {
                    tracing::error!(name, %error, "a shipped template cannot be read");
                }
            }
            environment
        });
        Templates { shipped: &ENVIRONMENT, own: Arc::new(environment()) }
    }

    /// Those of the folder `templates/` in a playbook's folder, and the shipped ones where it has none. Each was tried
    /// with a message of every kind. What is wrong is listed, all of it, by file and line.
    pub fn read(playbook: &Path) -> Result<Templates, Vec<String>> {
        let mut problems = Vec::new();
        let mut own = environment();
        for (name, source) in files(&playbook.join(FOLDER), &mut problems) {
            if let Err(problem) = add(&mut own, name, source) {
                problems.push(problem);
            }
        }
        let templates = Templates { own: Arc::new(own), ..Templates::shipped() };
        for name in templates.overrides() {
            problems.extend(templates.trial(name).err());
        }
        if problems.is_empty() { Ok(templates) } else { Err(problems) }
    }

    /// The names of the playbook's own.
    pub fn overrides(&self) -> Vec<&'static str> {
        let names = SHIPPED.map(|(name, _)| name);
        names.into_iter().filter(|name| self.own.get_template(name).is_ok()).collect()
    }

    /// The page as a mail.
    pub(crate) fn mail(&self, page: &Page) -> Mail {
        let view = View::of(page);
        let header = View { subject: page.subject.clone(), ..View::of(page) };
        let bare = || format!("{}\n\n(The rest could not be written.)\n", page.headline);
        let subject =
            self.render(SUBJECT, &header).map(|subject| tame(&subject)).filter(|text| !text.is_empty());
        Mail {
            subject: subject.unwrap_or_else(|| page.subject.clone()),
            text: self.render(TEXT, &view).unwrap_or_else(bare),
            html: self.render(HTML, &view).unwrap_or_else(|| format!("<pre>{}</pre>", escaped(&bare()))),
        }
    }

    /// By the playbook's template, else by the shipped one.
    fn render(&self, name: &str, view: &View<'_>) -> Option<String> {
        if let Ok(own) = self.own.get_template(name) {
            // It may be older than tables are: what a hunt has found must not be lost for that.
            let lacks_rows = name != SUBJECT && !own.undeclared_variables(false).contains("rows");
            if !view.rows.is_empty() && lacks_rows {
                return render(self.shipped, name, view).ok();
            }
            match render(&self.own, name, view) {
                Ok(text) => return Some(text),
                Err(error) => {
                    tracing::warn!(why = %said(name, &error), "a template of the playbook fails; the shipped one is used");
                }
            }
        }
        let rendered = render(self.shipped, name, view);
        rendered.inspect_err(|error| tracing::error!(name, %error, "a shipped template fails")).ok()
    }

    /// Whether one of the playbook's gives something whole for a message of every kind.
    fn trial(&self, name: &str) -> Result<(), String> {
        for (kind, page) in pages() {
            let mut view = View::of(&page);
            if name == SUBJECT {
                view.subject.clone_from(&page.subject);
            }
            let text =
                render(&self.own, name, &view).map_err(|error| format!("{} ({kind})", said(name, &error)))?;
            let whole = match name {
                HTML => text.contains(&escaped(&page.headline)),
                TEXT => squeezed(&text).contains(&squeezed(&page.headline)),
                _ => !tame(&text).is_empty(),
            };
            if !whole {
                let lacks =
                    if name == SUBJECT { "is empty" } else { "lacks the headline; write {{ headline }}" };
                return Err(format!("{FOLDER}/{name}: for {kind}, what it gives {lacks}"));
            }
        }
        Ok(())
    }
}

/// The playbook's templates. A file of another name is one that somebody believes in, and is a problem.
fn files(folder: &Path, problems: &mut Vec<String>) -> Vec<(&'static str, String)> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == IoErrorKind::NotFound => return vec![],
        Err(error) => {
            problems.push(format!("{FOLDER}/: cannot be read: {error}"));
            return vec![];
        }
    };
    let mut names: Vec<String> =
        listed.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let mut found = Vec::new();
    for file in names.iter().filter(|name| !name.starts_with('.') && *name != "README.md") {
        let Some((name, _)) = SHIPPED.iter().find(|(name, _)| name == file) else {
            let shown = one_line(file, 80);
            problems.push(format!(
                "{FOLDER}/{shown}: there are only {}",
                SHIPPED.map(|(name, _)| name).join(", ")
            ));
            continue;
        };
        match fs::read_to_string(folder.join(name)) {
            Ok(source) if source.len() > MAX_TEMPLATE => {
                problems.push(format!("{FOLDER}/{name}: longer than {} KiB", MAX_TEMPLATE / 1024));
            }
            Ok(source) => found.push((*name, source)),
            Err(error) => problems.push(format!("{FOLDER}/{name}: cannot be read: {error}")),
        }
    }
    found
}

fn add(environment: &mut Environment<'static>, name: &'static str, source: String) -> Result<(), String> {
    if let Err((line, why)) = tags::check(&source) {
        return Err(format!("{FOLDER}/{name}:{line}: {why}"));
    }
    environment.add_template_owned(name, source).map_err(|error| said(name, &error))
}

/// An error by file and line, with a hint.
fn said(name: &str, error: &Error) -> String {
    let line = error.line().map(|line| format!(":{line}")).unwrap_or_default();
    let what = match std::error::Error::source(error) {
        Some(source) if error.kind() == ErrorKind::WriteFailure => one_line(&source.to_string(), 200),
        Some(_) | None => one_line(error.detail().unwrap_or(&error.kind().to_string()), 200),
    };
    let hint = match error.kind() {
        ErrorKind::UndefinedError => "; what there is stands in docs/CHANNELS.md",
        ErrorKind::UnknownFilter => {
            "; the filters are upper, lower, trim, length, join, first, last, wrap and pad"
        }
        ErrorKind::OutOfFuel => "; it takes too many steps",
        _ => "",
    };
    format!("{FOLDER}/{name}{line}: {what}{hint}")
}

/// Without any filter or function but these: above all without `safe`.
fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment
        .set_auto_escape_callback(|name| if name == HTML { AutoEscape::Html } else { AutoEscape::None });
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_formatter(write_value);
    environment.set_fuel(Some(MAX_STEPS));
    environment.add_filter("upper", |state: &mut State<'_, '_>, text: &str| {
        count(state, 2 * text.len()).map(|()| text.to_uppercase())
    });
    environment.add_filter("lower", |state: &mut State<'_, '_>, text: &str| {
        count(state, 2 * text.len()).map(|()| text.to_lowercase())
    });
    environment.add_filter("trim", |state: &mut State<'_, '_>, text: &str| {
        count(state, 2 * text.len()).map(|()| text.trim().to_owned())
    });
    environment.add_filter("pad", |state: &mut State<'_, '_>, text: &str, width: usize| {
        let width = width.min(80);
        count(state, 2 * text.len() + width).map(|()| format!("{text:<width$}"))
    });
    environment.add_filter("wrap", |state: &mut State<'_, '_>, text: &str, first: &str, indent: usize| {
        // At most half of a line is indent, and so a text can become twice as long.
        count(state, 3 * text.len() + 2 * first.len()).map(|()| wrap(text, first, indent.min(40)))
    });
    environment.add_filter("length", filters::length);
    environment.add_filter("join", join);
    environment.add_filter("first", filters::first);
    environment.add_filter("last", filters::last);
    environment
}

/// How much the filters have taken and given.
#[derive(Default)]
struct Filtered(usize);

/// Counts so much more, as long as that is not too much.
fn count(state: &mut State<'_, '_>, bytes: usize) -> Result<(), Error> {
    let Filtered(sum) = state.get_or_insert_extension_with(Filtered::default);
    *sum = sum.saturating_add(bytes);
    if *sum <= MAX_FILTERED {
        return Ok(());
    }
    let most = MAX_FILTERED / (1024 * 1024);
    Err(Error::new(ErrorKind::InvalidOperation, format!("the filters were given more than {most} MiB")))
}

/// The texts of a list, one after the other. Each is counted before it is taken.
fn join(state: &mut State<'_, '_>, list: &Value, between: Option<&str>) -> Result<String, Error> {
    let between = between.unwrap_or_default();
    let mut joined = String::new();
    for (index, item) in list.try_iter()?.enumerate() {
        let Some(text) = item.as_str() else {
            return Err(Error::new(ErrorKind::InvalidOperation, "`join` takes a list of texts"));
        };
        count(state, between.len() + 2 * text.len() + 1)?;
        if index > 0 {
            joined.push_str(between);
        }
        joined.push_str(text);
    }
    Ok(joined)
}

/// As the templates' own writing does it, but for `/`, which means nothing in HTML: links stay what they are.
fn write_value(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) if *state.auto_escape() == AutoEscape::Html && !value.is_safe() => {
            out.write_str(&escaped(text)).map_err(Error::from)
        }
        None if matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) => {
            Err(Error::new(ErrorKind::InvalidOperation, "it is a list, and no text; go over it with `for`"))
        }
        Some(_) | None => escape_formatter(out, state, value),
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

fn render(environment: &Environment<'static>, name: &str, view: &View<'_>) -> Result<String, Error> {
    let mut output = Bounded(Vec::new());
    environment.get_template(name)?.render_captured_to(Value::from(Serde(view)), &mut output)?;
    String::from_utf8(output.0).map_err(|_| Error::new(ErrorKind::WriteFailure, "it is no text"))
}

/// Takes so much and no more.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > MAX_OUTPUT {
            return Err(io::Error::other(format!("it writes more than {} KiB", MAX_OUTPUT / 1024)));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A subject that no mail program decodes into something else.
fn tame(subject: &str) -> String {
    one_line(&subject.replace("=?", "= ?"), MAX_SUBJECT)
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

/// What a template sees of a page. docs/CHANNELS.md lists it.
#[derive(Debug, Serialize)]
struct View<'a> {
    /// A header's has a stranger's text as it is; anywhere else nothing in it becomes a link.
    subject: String,
    sort: &'a str,
    phrase: &'a str,
    follows: Option<&'a str>,
    headline: &'a str,
    severity: &'a str,
    colour: &'a str,
    title: &'a str,
    story: &'a str,
    device: Option<String>,
    urgent: bool,
    /// What mailboxes show behind the subject.
    preview: &'a str,
    facts: Vec<Row<'a>>,
    rows: Vec<Block<'a>>,
    more_rows: Option<String>,
    chapters: Vec<Chapter<'a>>,
    links: Vec<Link<'a>>,
    evidence: Vec<Found<'a>>,
    more_evidence: Option<&'a str>,
    tables: Vec<Table<'a>>,
    sender: &'a str,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    label: &'a str,
    value: &'a str,
}

#[derive(Debug, Serialize)]
struct Chapter<'a> {
    heading: &'a str,
    lines: Vec<Said<'a>>,
}

#[derive(Debug, Serialize)]
struct Said<'a> {
    text: &'a str,
    /// Not to be broken.
    command: bool,
    words: Vec<Word<'a>>,
}

#[derive(Debug, Serialize)]
struct Word<'a> {
    text: &'a str,
    /// `--comment`: a line that ends within it is misread.
    flag: bool,
}

impl<'a> From<&'a Line> for Said<'a> {
    fn from(line: &'a Line) -> Said<'a> {
        let (text, command) = match line {
            Line::Said(text) => (text.as_str(), false),
            Line::Command(text) => (text.as_str(), true),
        };
        let word = |text: &'a str| Word { text, flag: text.starts_with('-') };
        let words = if command { text.split(' ').map(word).collect() } else { vec![] };
        Said { text, command, words }
    }
}

#[derive(Debug, Serialize)]
struct Link<'a> {
    label: &'a str,
    url: &'a str,
}

#[derive(Debug, Serialize)]
struct Found<'a> {
    kind: &'a str,
    name: &'a str,
    details: Vec<Row<'a>>,
}

/// A row of what a hunt has found.
#[derive(Debug, Serialize)]
struct Block<'a> {
    number: String,
    cells: Vec<Row<'a>>,
}

impl<'a> Block<'a> {
    fn of((number, cells): (usize, Vec<(&'a str, &'a str)>)) -> Block<'a> {
        let cells = cells.into_iter().map(|(label, value)| Row { label, value });
        Block { number: number.to_string(), cells: cells.collect() }
    }
}

#[derive(Debug, Serialize)]
struct Table<'a> {
    heading: &'a str,
    rows: Vec<Row<'a>>,
}

fn rows<'a>(rows: &'a [(&'static str, String)]) -> Vec<Row<'a>> {
    rows.iter().map(|(label, value)| Row { label, value }).collect()
}

impl<'a> View<'a> {
    fn of(page: &'a Page) -> View<'a> {
        let chapter = |(heading, lines): &'a (&str, Vec<Line>)| Chapter {
            heading,
            lines: lines.iter().map(Said::from).collect(),
        };
        let first = page.chapters.first().and_then(|(_, lines)| lines.first());
        View {
            preview: first.map_or("", |line| Said::from(line).text),
            subject: show(&page.subject, 300),
            sort: &page.sort,
            phrase: &page.phrase,
            follows: page.follows.as_deref(),
            headline: &page.headline,
            severity: &page.severity,
            colour: page.colour,
            title: &page.title,
            story: &page.gist.story,
            device: page.gist.device_name.as_deref().map(|name| show(name, 60)),
            urgent: page.gist.urgent,
            facts: rows(&page.facts),
            rows: (1..).zip(page.found.blocks()).map(Block::of).collect(),
            more_rows: page.found.rest_of_blocks(),
            chapters: page.chapters.iter().map(chapter).collect(),
            links: page.links.iter().map(|(label, url)| Link { label, url }).collect(),
            evidence: page
                .evidence
                .iter()
                .map(|entry| Found { kind: &entry.kind, name: &entry.name, details: rows(&entry.details) })
                .collect(),
            more_evidence: page.more_evidence.as_deref(),
            tables: page.tables.iter().map(|(heading, table)| Table { heading, rows: rows(table) }).collect(),
            sender: &page.sender,
        }
    }
}
