//! From answers of the API to HTML: what templates are given, and the templates.

use askama::Template;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::actions::{Action, Input, Kind};
use super::dashboard::{self, Figures, Tile, Totals, duration, grouped};
use super::list::PAGES;
use super::pages::{Column, Form, Page, Paging, RowAction, Section, Shape};
use super::time;
use crate::wire::json::{Value, from_wire_time, parse_own};

/// Rows of a page.
pub const ROW_COUNT: usize = 25;
/// Characters of a text in a table; the rest is a matter of the page of the thing itself.
const CELL_CHARS_MAX: usize = 600;
/// In this order they are listed.
const GROUPS: [&str; 4] = ["Server", "People", "Moderation", "Security"];

/// Where style, script and icon are.
#[derive(Debug, Default)]
pub struct Paths {
    pub css: String,
    pub script: String,
    pub icon: String,
}

/// What stands around every page.
pub struct Frame<'a> {
    /// `admin_ui.path`, without a slash at its end.
    pub base: &'a str,
    pub server: &'a str,
    pub version: &'a str,
    pub paths: &'a Paths,
    pub title: &'a str,
    /// The page that is listed as the one that is shown.
    pub current: &'a str,
    /// Who is logged in.
    pub who: Option<&'a str>,
    pub form_token: &'a str,
    pub notice: Option<&'a Notice>,
    /// Where browsers without script look again.
    pub refresh: Option<String>,
}

impl Frame<'_> {
    fn groups(&self) -> Vec<(&'static str, Vec<&'static Page>)> {
        let of = |group: &'static str| PAGES.iter().filter(|page| page.group == group).collect();
        GROUPS.iter().map(|group| (*group, of(group))).collect()
    }
}

/// What has come of something that was done.
#[derive(Default)]
pub struct Notice {
    pub text: String,
    pub is_error: bool,
    /// What is shown this once: names and texts.
    pub shown: Vec<(&'static str, Vec<String>)>,
}

impl Notice {
    pub fn error(text: String) -> Notice {
        Notice { text, is_error: true, shown: Vec::new() }
    }

    /// What an operation has answered with, as far as it is shown this once.
    pub fn of(action: &Action, body: &mut [u8]) -> Notice {
        let value = parse_own(body).unwrap_or(Value::Null);
        let texts = |field: &str| match value.get(field) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_string).collect(),
            other => other.and_then(Value::as_str).map(str::to_string).into_iter().collect(),
        };
        let shown = action.shows.iter().map(|(label, field)| (*label, texts(field))).collect();
        Notice { text: action.done.to_string(), is_error: false, shown }
    }
}

/// A page before anybody is logged in.
#[derive(Template)]
#[template(path = "plain.html")]
struct PlainTemplate<'a> {
    frame: &'a Frame<'a>,
    step: &'a Step<'a>,
}

/// How far a login is.
pub enum Step<'a> {
    Login,
    Code(Challenge<'a>),
    SetUp {
        challenge: Challenge<'a>,
        /// The `otpauth` address, and its secret.
        uri: &'a str,
        secret: String,
        code: Option<Squares>,
    },
    /// Something is wrong with what was asked for.
    Nothing,
}

pub struct Challenge<'a> {
    pub admin_id: &'a str,
    pub token: &'a str,
}

/// A QR code: how many modules a side has, and a path around the dark ones.
pub struct Squares {
    pub size: usize,
    pub path: String,
}

impl Squares {
    /// With the margin that scanners need.
    fn side(&self) -> usize {
        self.size + 8
    }
}

pub fn plain(frame: &Frame<'_>, step: &Step<'_>) -> String {
    PlainTemplate { frame, step }.render().expect("templates write into memory")
}

/// The secret of an `otpauth` address, in groups of four.
pub fn secret_of(uri: &str) -> String {
    let secret = uri.split(['?', '&']).find_map(|part| part.strip_prefix("secret=")).unwrap_or_default();
    let letters: Vec<char> = secret.chars().collect();
    letters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

#[derive(Template)]
#[template(path = "page.html")]
struct PageTemplate<'a> {
    frame: &'a Frame<'a>,
    sections: &'a [SectionView],
    forms: &'a [FormView],
    export: Option<String>,
}

#[derive(Template)]
#[template(path = "live.html")]
struct LiveTemplate<'a> {
    live: &'a LiveView,
}

/// The figures that move.
pub struct LiveView {
    tiles: Vec<Tile>,
    facts: Vec<(&'static str, String)>,
    tables: [LiveTable; 2],
    /// Where to look the next time.
    pub next: String,
}

struct LiveTable {
    heading: &'static str,
    columns: &'static [&'static str],
    /// The first is what the row is about.
    rows: Vec<Vec<String>>,
}

impl LiveTable {
    /// The cells of a row, each with the head of its column.
    fn cells<'r>(&self, row: &'r [String]) -> Vec<(&'static str, &'r str)> {
        self.columns.iter().copied().zip(row.iter().map(String::as_str)).collect()
    }
}

impl LiveView {
    pub fn new(base: &str, figures: Figures, earlier: Option<&Totals>) -> LiveView {
        let next = format!("{base}/ui/live?since={}", figures.totals.text());
        let rows_of_cores = figures.cores.iter().enumerate().map(|(index, core)| {
            let below = core.turn_p99_ns.map_or("any".to_string(), duration);
            let counts = [core.slow_turns, core.mail_backlog].map(grouped);
            let own = [index.to_string(), grouped(core.sessions), grouped(core.connections), below];
            own.into_iter().chain(counts).collect()
        });
        let rows_of_lanes = figures.lanes.iter().map(|lane| {
            let counts = [lane.waiting, lane.done, lane.refused].map(grouped);
            [lane.name.to_string()].into_iter().chain(counts).collect()
        });
        LiveView {
            tiles: dashboard::tiles(&figures, earlier),
            facts: vec![
                ("HTTP connections", grouped(figures.http_connections)),
                ("Gateway connections", grouped(figures.gateway_connections)),
                ("In voice channels", grouped(figures.voice_callers)),
                ("Data file", dashboard::bytes(figures.store_file_len)),
                ("Left to do", grouped(figures.errands)),
                ("Mails that wait", grouped(figures.mails)),
                ("Up for", dashboard::uptime(figures.uptime_s)),
            ],
            tables: [
                LiveTable {
                    heading: "Cores",
                    columns: &[
                        "Core",
                        "Sessions",
                        "Connections",
                        "99 % of turns below",
                        "Slow turns",
                        "Letters that wait",
                    ],
                    rows: rows_of_cores.collect(),
                },
                LiveTable {
                    heading: "Slow work",
                    columns: &["Lane", "Waits", "Done", "Refused"],
                    rows: rows_of_lanes.collect(),
                },
            ],
            next,
        }
    }

    pub fn html(&self) -> String {
        LiveTemplate { live: self }.render().expect("templates write into memory")
    }
}

/// An option, who has set it, and what it says.
#[derive(Clone, Debug)]
pub struct Setting {
    pub key: &'static str,
    pub value: String,
    pub source: String,
    pub help: &'static str,
}

/// A part of a page with what is in it.
pub struct SectionView {
    heading: &'static str,
    shape: Shape,
    filters: Vec<FieldView>,
    path: String,
    /// Why there is nothing.
    error: Option<String>,
    facts: Vec<(&'static str, Cell)>,
    columns: &'static [Column],
    rows: Vec<RowView>,
    empty: &'static str,
    newer: Option<String>,
    older: Option<String>,
    acts: bool,
    live: Option<LiveView>,
    settings: Vec<(&'static str, String, String, &'static str)>,
}

pub struct RowView {
    cells: Vec<(&'static str, Cell)>,
    forms: Vec<FormView>,
}

/// A field of an answer as it is shown.
#[derive(Debug, PartialEq, Eq)]
pub enum Cell {
    Nothing,
    Text(String),
    Long(String),
    Code(String),
    State(String),
    Number(String),
    Time { exact: String, readable: String },
    Link { href: String, text: String },
    Words(Vec<String>),
}

/// A form.
pub struct FormView {
    operation: &'static str,
    label: &'static str,
    note: &'static str,
    /// What it is about, for those who do not see the row.
    about: String,
    path: String,
    form_token: String,
    hidden: Vec<(&'static str, String)>,
    fields: Vec<FieldView>,
    is_grave: bool,
    is_open: bool,
    id: String,
}

impl FormView {
    /// A button is all of it.
    fn is_button(&self) -> bool {
        self.fields.is_empty() && !self.is_grave
    }
}

pub struct FieldView {
    id: String,
    name: &'static str,
    label: &'static str,
    help: &'static str,
    kind: Kind,
    value: String,
    is_needed: bool,
    choices: Vec<(&'static str, bool)>,
    autocomplete: &'static str,
}

impl FieldView {
    fn is_choice(&self) -> bool {
        matches!(self.kind, Kind::Choice(_))
    }

    fn is_flag(&self) -> bool {
        self.kind == Kind::Flag
    }

    fn is_text(&self) -> bool {
        matches!(self.kind, Kind::Text | Kind::Json)
    }

    fn is_json(&self) -> bool {
        self.kind == Kind::Json
    }

    fn is_number(&self) -> bool {
        self.kind == Kind::Number
    }

    fn input_type(&self) -> &'static str {
        match self.kind {
            Kind::Secret => "password",
            Kind::Moment => "datetime-local",
            _ => "text",
        }
    }
}

/// Where something stands, and what was asked for there.
pub struct Place<'a> {
    pub base: &'a str,
    pub page: &'static Page,
    /// The last part of the path of a page about one thing.
    pub item: Option<&'a str>,
    /// What the address asks for.
    pub query: &'a [(String, String)],
    pub form_token: &'a str,
    /// A form that was refused: its operation, and what was in it.
    pub kept: Option<(&'a str, &'a Value<'a>)>,
}

impl<'a> Place<'a> {
    pub fn asked(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn path(&self) -> String {
        let item = self.item.map(|item| format!("/{}", encoded(item))).unwrap_or_default();
        format!("{}/ui/{}{item}", self.base, self.page.name)
    }

    /// The address of this page with what is asked for, in part replaced.
    pub fn address(&self, replaced: &[(&str, &str)]) -> String {
        let mut address = self.path();
        let kept = self.query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let kept = kept.filter(|(name, _)| replaced.iter().all(|(other, _)| other != name));
        let mut mark = '?';
        for (name, value) in kept.chain(replaced.iter().copied()).filter(|(_, value)| !value.is_empty()) {
            address.push_str(&format!("{mark}{}={}", encoded(name), encoded(value)));
            mark = '&';
        }
        address
    }

    /// From which row on a section is shown.
    pub fn offset(&self) -> usize {
        self.asked("from").and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// The names that its sections may be asked for.
    pub fn names(page: &Page) -> impl Iterator<Item = &'static str> {
        let filters = page.sections.iter().flat_map(|section| section.filters).map(|input| input.name);
        filters.chain(["from"])
    }
}

pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// What an operation has answered.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What an error says.
    pub fn message(&self) -> String {
        let mut copy = self.body.clone();
        let value = parse_own(&mut copy).unwrap_or(Value::Null);
        let message = value.get("error").and_then(|error| error.get("message")).and_then(Value::as_str);
        message.map_or_else(|| format!("The server answers with {}", self.status), str::to_string)
    }
}

/// What a section is made of.
pub enum Content<'a> {
    Answer(&'a Answer),
    /// Something has to be put in first.
    Unasked,
    Live(LiveView),
    Settings(Vec<Setting>),
}

/// A whole page.
pub fn page(frame: &Frame<'_>, place: &Place<'_>, sections: &[SectionView]) -> String {
    let acts = place.page.actions.iter().filter_map(|operation| Action::find(operation));
    let forms: Vec<FormView> =
        acts.enumerate().map(|(index, action)| form(action, place, &[], String::new(), index)).collect();
    let export =
        (!place.page.export.is_empty()).then(|| format!("{}/ui/export/{}", place.base, place.page.name));
    PageTemplate { frame, sections, forms: &forms, export }.render().expect("templates write into memory")
}

/// A part of it.
pub fn section(section: &'static Section, place: &Place<'_>, content: Content<'_>) -> SectionView {
    let filters = section.filters.iter().map(|input| {
        let value = place.asked(input.name).unwrap_or_default().to_string();
        field(input, format!("filter-{}", input.name), value)
    });
    let mut view = SectionView {
        heading: section.heading,
        shape: section.shape,
        filters: filters.collect(),
        path: place.path(),
        error: None,
        facts: Vec::new(),
        columns: section.columns,
        rows: Vec::new(),
        empty: section.empty,
        newer: None,
        older: None,
        acts: !section.actions.is_empty(),
        live: None,
        settings: Vec::new(),
    };
    match content {
        Content::Unasked => view.empty = "Say first what to look for.",
        Content::Live(live) => view.live = Some(live),
        Content::Settings(settings) => {
            let of = |Setting { key, value, source, help }| (key, value, source, help);
            view.settings = settings.into_iter().map(of).collect();
        }
        Content::Answer(answer) if !answer.is_success() => view.error = Some(answer.message()),
        Content::Answer(answer) => fill(&mut view, section, place, answer),
    }
    view
}

fn fill(view: &mut SectionView, section: &'static Section, place: &Place<'_>, answer: &Answer) {
    let mut body = answer.body.clone();
    let whole = parse_own(&mut body).unwrap_or(Value::Null);
    let value = if section.at.is_empty() { Some(&whole) } else { whole.get(section.at) };
    let Some(value) = value else { return };
    if section.shape == Shape::Facts {
        let fact = |column: &'static Column| (column.label, cell(column, value, place, usize::MAX));
        view.facts = section.columns.iter().map(fact).collect();
        return;
    }
    let items = value.as_array().unwrap_or_default();
    let offset = place.offset();
    // What the operation has cut begins with the first row of the page.
    let skipped = if section.paging == Paging::Asked { 0 } else { offset };
    let shown = items.iter().skip(skipped);
    let is_more = shown.len() > ROW_COUNT;
    view.rows =
        shown.take(ROW_COUNT).enumerate().map(|(index, item)| row(section, place, item, index)).collect();
    let to = |offset: usize| place.address(&[("from", &offset.to_string())]);
    view.newer = (offset > 0).then(|| to(offset.saturating_sub(ROW_COUNT)));
    view.older = is_more.then(|| to(offset + ROW_COUNT));
}

fn row(section: &'static Section, place: &Place<'_>, item: &Value<'_>, index: usize) -> RowView {
    let cells: Vec<(&str, Cell)> = section
        .columns
        .iter()
        .map(|column| (column.label, cell(column, item, place, CELL_CHARS_MAX)))
        .collect();
    let about =
        section.columns.iter().find_map(|column| item.get(column.field)?.as_str()).unwrap_or_default();
    let forms = section.actions.iter().filter_map(|RowAction { operation, known }| {
        let known: Vec<(&str, String)> = known
            .iter()
            .map(|(name, field)| (*name, item.get(field).map_or_else(String::new, bare)))
            .collect();
        Some(form(Action::find(operation)?, place, &known, clipped(about, 80), index))
    });
    RowView { forms: forms.collect(), cells }
}

/// A value without quotes.
fn bare(value: &Value<'_>) -> String {
    value.as_str().map_or_else(|| value.to_json(), str::to_string)
}

fn clipped(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_string(),
    }
}

fn cell(column: &Column, item: &Value<'_>, place: &Place<'_>, chars_max: usize) -> Cell {
    let value = match item.get(column.field) {
        None | Some(Value::Null | Value::Str("")) => return Cell::Nothing,
        Some(value) => value,
    };
    let text = || clipped(&bare(value), chars_max);
    match column.cell {
        Form::Text => Cell::Text(text()),
        Form::Long => Cell::Long(text()),
        Form::State => Cell::State(text()),
        Form::Json => Cell::Code(clipped(&value.to_json(), chars_max)),
        Form::Number => match value.as_int().and_then(|number| u64::try_from(number).ok()) {
            Some(number) => Cell::Number(dashboard::grouped(number)),
            None => Cell::Text(text()),
        },
        Form::Flag => Cell::State(if value.as_bool() == Some(true) { "yes" } else { "no" }.into()),
        Form::Words => {
            let words = value.as_array().unwrap_or_default().iter();
            Cell::Words(words.map(|word| clipped(&bare(word), 80)).collect())
        }
        Form::Link(page) => {
            Cell::Link { href: format!("{}/ui/{page}/{}", place.base, encoded(&bare(value))), text: text() }
        }
        Form::Time => match value.as_int().and_then(|time| u64::try_from(time).ok()) {
            Some(time) => {
                let unix_ms = from_wire_time(time);
                Cell::Time { exact: time::exact(unix_ms), readable: time::readable(unix_ms) }
            }
            None => Cell::Text(text()),
        },
    }
}

fn form(
    action: &'static Action,
    place: &Place<'_>,
    known: &[(&str, String)],
    about: String,
    index: usize,
) -> FormView {
    let of_row = |name: &str| known.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    // The page is about it: nobody has to say so again.
    let of_page = |name: &str| (place.page.item == name).then(|| place.item.unwrap_or_default().to_string());
    let put_in = |sent: &'_ Value<'_>, name: &str| {
        sent.get(name).and_then(Value::as_str).unwrap_or_default().to_string()
    };
    let kept = place.kept.filter(|(operation, _)| *operation == action.operation).map(|(_, sent)| sent);
    // Of the forms of a list, the one that was sent.
    let kept = kept.filter(|sent| {
        let mut known = action.inputs.iter().filter(|input| input.kind == Kind::Known);
        known.all(|input| of_row(input.name).is_none_or(|own| put_in(sent, input.name) == own))
    });
    let id = format!("{}-{index}", action.operation);
    let (mut hidden, mut fields) = (Vec::new(), Vec::new());
    for input in action.inputs {
        match (input.kind, of_page(input.name).or_else(|| of_row(input.name))) {
            (Kind::Fixed(_), _) => {}
            (Kind::Known, value) => hidden.push((input.name, value.unwrap_or_default())),
            (_, Some(value)) if place.page.item == input.name => hidden.push((input.name, value)),
            (kind, value) => {
                let again = kept.filter(|_| kind != Kind::Secret).map(|sent| put_in(sent, input.name));
                let value = again.or(value).unwrap_or_default();
                fields.push(field(input, format!("{id}-{}", input.name), value));
            }
        }
    }
    FormView {
        operation: action.operation,
        label: action.label,
        note: action.note,
        about,
        path: place.address(&[]),
        form_token: place.form_token.to_string(),
        hidden,
        fields,
        is_grave: action.is_grave,
        is_open: kept.is_some(),
        id,
    }
}

fn field(input: &Input, id: String, value: String) -> FieldView {
    let words: &[&str] = if let Kind::Choice(words) = input.kind { words } else { &[] };
    let choices = words.iter().map(|word| (*word, *word == value)).collect();
    let is_on = matches!(value.as_str(), "true" | "on");
    let autocomplete = match (input.kind, input.name) {
        (Kind::Secret, "new_password") => "new-password",
        (Kind::Secret, _) => "current-password",
        (_, "code") => "one-time-code",
        _ => "off",
    };
    FieldView {
        id,
        name: input.name,
        label: input.label,
        help: input.help,
        kind: input.kind,
        value: match input.kind {
            Kind::Flag if is_on => "true".into(),
            Kind::Flag => String::new(),
            _ => value,
        },
        is_needed: input.is_needed,
        choices,
        autocomplete,
    }
}
