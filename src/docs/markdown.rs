//! Pages from Markdown to HTML, with the ids of their headings and the words that searches look for.
//!
//! Code of some kinds is shown with more than itself: `http request` also as a command, `json answer`, `json send` and
//! `json receive` with who says it. Those are the blocks that `tests/contract/portal.rs` carries out.
//! Invariant: nothing in a page is HTML of its own; what stands in one is text.

use pulldown_cmark::{
    Alignment, CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html,
};

use super::fill::base;
use crate::config::Config;

/// A page.
pub struct Rendered {
    pub title: String,
    /// HTML of everything below the title.
    pub body: String,
    /// The text above the first heading, and below each.
    pub sections: Vec<Section>,
    /// Where links lead that are not to other hosts, as they were written.
    pub links: Vec<String>,
}

/// What stands below a heading.
#[derive(Debug, PartialEq)]
pub struct Section {
    /// Of the heading; empty above the first.
    pub id: String,
    pub heading: String,
    pub level: u8,
    pub text: String,
}

/// The id of a heading: small letters and digits, with lines between words.
pub fn slug(heading: &str) -> String {
    let mut out = String::new();
    for c in heading.chars() {
        match c {
            'a'..='z' | '0'..='9' | '_' => out.push(c),
            'A'..='Z' => out.push(c.to_ascii_lowercase()),
            _ if out.ends_with('-') || out.is_empty() => {}
            _ => out.push('-'),
        }
    }
    out.trim_end_matches('-').to_string()
}

/// Text as it stands in HTML, also within quotes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// Makes a page, whose first line is its title.
pub fn render(text: &str, config: &Config) -> Rendered {
    let mut page = Writer::new(config);
    let mut events = Vec::new();
    let mut parser = Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH);
    while let Some(event) = parser.next() {
        match event {
            Event::Start(Tag::Heading { level, .. }) => page.heading(level, &mut parser, &mut events),
            Event::Start(Tag::CodeBlock(kind)) => page.code(&kind, &mut parser, &mut events),
            // Alignment would be a style of each cell.
            Event::Start(Tag::Table(alignments)) => {
                let alignments = vec![Alignment::None; alignments.len()];
                events.push(Event::Html(
                    "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Table\">".into(),
                ));
                events.push(Event::Start(Tag::Table(alignments)));
            }
            Event::End(TagEnd::Table) => {
                events.push(Event::End(TagEnd::Table));
                events.push(Event::Html("</div>\n".into()));
            }
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let dest_url = page.link(dest_url);
                events.push(Event::Start(Tag::Link { link_type, dest_url, title, id }));
            }
            // Nothing is HTML.
            Event::Html(text) | Event::InlineHtml(text) => page.text(Event::Text(text), &mut events),
            event => page.text(event, &mut events),
        }
    }
    let mut body = String::with_capacity(text.len() * 2);
    html::push_html(&mut body, events.into_iter());
    Rendered { title: page.title, body, sections: page.sections, links: page.links }
}

struct Writer<'c> {
    config: &'c Config,
    title: String,
    sections: Vec<Section>,
    links: Vec<String>,
}

impl<'c> Writer<'c> {
    fn new(config: &'c Config) -> Writer<'c> {
        let first = Section { id: String::new(), heading: String::new(), level: 1, text: String::new() };
        Writer { config, title: String::new(), sections: vec![first], links: Vec::new() }
    }

    /// Anything that goes into the page as it is; its words are kept for searches.
    fn text<'t>(&mut self, event: Event<'t>, events: &mut Vec<Event<'t>>) {
        let section = self.sections.last_mut().expect("there is one from the beginning");
        match &event {
            Event::Text(text) | Event::Code(text) => section.text.push_str(text),
            Event::SoftBreak | Event::HardBreak | Event::End(_) if !section.text.ends_with(' ') => {
                section.text.push(' ')
            }
            _ => {}
        }
        events.push(event);
    }

    fn heading<'t>(&mut self, level: HeadingLevel, parser: &mut Parser<'t>, events: &mut Vec<Event<'t>>) {
        let mut inner = Vec::new();
        let mut heading = String::new();
        for event in parser.by_ref().take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_)))) {
            if let Event::Text(text) | Event::Code(text) = &event {
                heading.push_str(text);
            }
            inner.push(event);
        }
        if level == HeadingLevel::H1 {
            self.title = heading;
            return;
        }
        let id = slug(&heading);
        let id = match self.sections.iter().filter(|section| section.id == id).count() {
            0 => id,
            more => format!("{id}-{}", more + 1),
        };
        let tag = Tag::Heading { level, id: Some(id.clone().into()), classes: Vec::new(), attrs: Vec::new() };
        events.push(Event::Start(tag));
        events.extend(inner);
        events.push(Event::End(TagEnd::Heading(level)));
        self.sections.push(Section { id, heading, level: level as u8, text: String::new() });
    }

    fn code<'t>(&mut self, kind: &CodeBlockKind<'t>, parser: &mut Parser<'t>, events: &mut Vec<Event<'t>>) {
        let mut code = String::new();
        for event in parser.by_ref().take_while(|event| !matches!(event, Event::End(TagEnd::CodeBlock))) {
            if let Event::Text(text) = event {
                code.push_str(&text);
            }
        }
        let info = match kind {
            CodeBlockKind::Fenced(info) => info.to_string(),
            CodeBlockKind::Indented => String::new(),
        };
        let section = self.sections.last_mut().expect("there is one from the beginning");
        section.text.push_str(&code);
        section.text.push(' ');
        // Only for who carries the examples out.
        if info == "json reconnect" {
            return;
        }
        let mut words = info.split_whitespace();
        let label = match (words.next(), words.next(), words.next()) {
            (Some("http"), Some("request"), _) => "Request".to_string(),
            (Some("json"), Some("answer"), status) => format!("Answer {}", status.unwrap_or("200")),
            (Some("json"), Some("send"), _) => "You send".to_string(),
            (Some("json"), Some("receive"), _) => "The server sends".to_string(),
            _ => String::new(),
        };
        let mut out = String::from("<figure class=\"code\">");
        if !label.is_empty() {
            out.push_str(&format!("<figcaption>{label}</figcaption>"));
        }
        out.push_str(&pre(&code));
        if label == "Request"
            && let Some(command) = curl(&code, &base(self.config))
        {
            out.push_str(&format!(
                "<details><summary>The same with curl</summary>{}</details>",
                pre(&command)
            ));
        }
        out.push_str("</figure>\n");
        events.push(Event::Html(out.into()));
    }

    /// Names of pages become addresses.
    fn link<'t>(&mut self, to: CowStr<'t>) -> CowStr<'t> {
        if to.contains("://") {
            return to;
        }
        self.links.push(to.to_string());
        if to.starts_with(['/', '#']) {
            return to;
        }
        format!("{}/{to}", self.config.docs.path).into()
    }
}

fn pre(code: &str) -> String {
    format!("<pre tabindex=\"0\"><code>{}</code></pre>", escaped(code.trim_end()))
}

/// A request as a command; `None` when its body is no text of one line or some.
fn curl(request: &str, base: &str) -> Option<String> {
    let (head, body) = request.split_once("\n\n").unwrap_or((request.trim_end(), ""));
    let mut lines = head.lines();
    let (method, path) = lines.next()?.split_once(' ')?;
    let quoted = |text: &str| format!("'{}'", text.trim_end().replace('\'', "'\\''"));
    let mut out = match method {
        "GET" => format!("curl {}", quoted(&format!("{base}{path}"))),
        _ => format!("curl -X {method} {}", quoted(&format!("{base}{path}"))),
    };
    for line in lines {
        if line.starts_with("Content-Type: multipart/") {
            return None;
        }
        out.push_str(&format!(" \\\n  -H {}", quoted(line)));
    }
    if !body.trim().is_empty() {
        out.push_str(&format!(" \\\n  -d {}", quoted(body)));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str) -> Rendered {
        render(text, &Config::default())
    }

    #[test]
    fn headings_have_ids_and_words() {
        let page =
            made("# Title\n\nFirst *words*.\n\n## What is `this`?\n\nMore.\n\n### What is this\n\nEnd.");
        assert_eq!(page.title, "Title");
        assert!(
            page.body.contains("<h2 id=\"what-is-this\">What is <code>this</code>?</h2>"),
            "{}",
            page.body
        );
        assert!(page.body.contains("<h3 id=\"what-is-this-2\">"), "{}", page.body);
        assert!(!page.body.contains("<h1"));
        let texts: Vec<(&str, &str)> =
            page.sections.iter().map(|section| (section.id.as_str(), section.text.trim())).collect();
        assert_eq!(texts[0], ("", "First words ."));
        assert_eq!(texts[1], ("what-is-this", "More."));
    }

    #[test]
    fn links_are_to_pages() {
        let page = made("# T\n\n[a](errors#shape) [b](/docs) [c](#d) [e](https://example.org/)");
        assert!(page.body.contains("href=\"/docs/api/errors#shape\""), "{}", page.body);
        assert!(page.body.contains("href=\"/docs\"") && page.body.contains("href=\"#d\""));
        assert_eq!(page.links, ["errors#shape", "/docs", "#d"]);
    }

    #[test]
    fn nothing_in_a_page_is_html() {
        let page = made("# T\n\na <b>c</b>\n\n<script>x</script>\n\n```sh\necho <x>\n```\n");
        assert!(!page.body.contains("<b>") && !page.body.contains("<script"), "{}", page.body);
        assert!(page.body.contains("echo &lt;x&gt;"), "{}", page.body);
    }

    #[test]
    fn requests_are_commands_too() {
        let page = made(
            "# T\n\n```http request token=token\nPOST /x\nA: b\n\n{\"it's\":1}\n```\n\n```json answer 404\n{}\n```",
        );
        let want =
            "curl -X POST 'http://127.0.0.1:8000/x' \\\n  -H 'A: b' \\\n  -d '{&quot;it'\\''s&quot;:1}'";
        assert!(page.body.contains(want), "{}", page.body);
        assert!(page.body.contains("<figcaption>Answer 404</figcaption>"), "{}", page.body);
        assert_eq!(curl("GET /y", "http://h").unwrap(), "curl 'http://h/y'");
        assert_eq!(curl("POST /y\nContent-Type: multipart/form-data; boundary=x\n\n--x", "http://h"), None);
    }
}
