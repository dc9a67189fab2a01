//! What stands around the text of a page: head, search, list of pages, links.

use super::HTML;
use super::assets::Files;
use super::markdown::{Rendered, escaped};
use super::pages::{PAGES, Page};
use crate::api::site::Document;
use crate::config::Config;

/// Pages of our own load nothing but our files, and nothing in them is a script or a style.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'self'";
/// Swagger UI sets styles of elements, and has pictures in its style sheet.
const VIEWER_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                             img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                             frame-ancestors 'self'";
/// ReDoc writes its styles into the page, and searches in a worker that it makes out of a text.
const READER_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                             img-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; \
                             form-action 'none'; frame-ancestors 'self'";

/// What all pages have in common.
pub struct Frame<'c> {
    config: &'c Config,
    name: String,
    css: String,
    script: String,
    icon: String,
    licences: String,
    index: String,
    viewer_files: [String; 4],
    redoc: String,
}

impl<'c> Frame<'c> {
    pub fn new(config: &'c Config, files: &Files) -> Frame<'c> {
        Frame {
            config,
            name: escaped(&config.application.name),
            css: files.path("portal.css"),
            script: files.path("portal.js"),
            icon: files.path("icon.svg"),
            licences: files.path("licences.txt"),
            index: files.path("search.json"),
            viewer_files: ["swagger-ui.css", "viewer.css", "swagger-ui-bundle.js", "viewer.js"]
                .map(|name| files.path(name)),
            redoc: files.path("redoc.standalone.js"),
        }
    }

    /// The page at a place of the list.
    pub fn page(&self, at: usize, rendered: &Rendered) -> Document {
        let mut inside = contents(rendered) + &rendered.body;
        inside.push_str("<nav class=\"next\" aria-label=\"Before and after\">");
        for (word, other) in [("Back", at.checked_sub(1)), ("Next", Some(at + 1))] {
            match other.and_then(|at| PAGES.get(at)) {
                Some(page) => inside.push_str(&format!("<span>{word}: {}</span>", self.link(page, ""))),
                None => inside.push_str("<span></span>"),
            }
        }
        inside.push_str("</nav>");
        self.whole(&rendered.title, PAGES[at].name, &inside)
    }

    /// The first page.
    pub fn index(&self, rendered: &Rendered) -> Document {
        let mut inside = rendered.body.clone();
        inside.push_str("<div class=\"cards\">");
        self.groups(&mut inside, "");
        inside.push_str("</div>");
        self.whole(&rendered.title, "", &inside)
    }

    pub fn missing(&self) -> Document {
        let path = escaped(&self.config.docs.path);
        let inside = format!("<p>There is no such page. <a href=\"{path}\">All pages</a></p>");
        self.whole("Not found", "", &inside)
    }

    fn whole(&self, title: &str, current: &str, inside: &str) -> Document {
        let Frame { name, css, script, icon, licences, index, .. } = self;
        let (path, title) = (escaped(&self.config.docs.path), escaped(title));
        let version = escaped(&self.config.application.version);
        let mut list = String::new();
        self.groups(&mut list, current);
        let html = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} · {name} API</title>\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\">\
             <link rel=\"icon\" href=\"{icon}\"><link rel=\"stylesheet\" href=\"{css}\">\
             <script src=\"{script}\"></script></head><body>\
             <a class=\"skip\" href=\"#main\">To the text</a>\
             <header class=\"top\"><a href=\"{path}\"><img src=\"{icon}\" alt=\"\">{name} API</a>\
             <a class=\"all\" href=\"#pages\">All pages</a>\
             <search><form id=\"search\" data-index=\"{index}\" hidden>\
             <input type=\"search\" aria-label=\"Search the documentation\" placeholder=\"Search (press /)\" autocomplete=\"off\">\
             <div id=\"found\" aria-live=\"polite\" hidden></div></form></search>\
             <button id=\"theme\" type=\"button\" hidden></button></header>\
             <div class=\"frame\"><main id=\"main\" tabindex=\"-1\"><h1>{title}</h1>{inside}</main>\
             <nav class=\"pages\" id=\"pages\" aria-label=\"Pages\">{list}</nav></div>\
             <footer class=\"foot\">{name} {version}<br>\
             <a href=\"/docs\">Try it out</a><a href=\"/redoc\">Reference</a><a href=\"/openapi.json\">OpenAPI</a>\
             <a href=\"/asyncapi.json\">AsyncAPI</a><a href=\"{licences}\">Licences</a></footer></body></html>\n"
        );
        Document::new(HTML, html.into()).with_policy(POLICY.into())
    }

    /// All pages by group.
    fn groups(&self, out: &mut String, current: &str) {
        let mut group = "";
        for page in PAGES {
            if page.group != group {
                out.push_str(if group.is_empty() { "<section>" } else { "</ul></section><section>" });
                group = page.group;
                out.push_str(&format!("<h2>{group}</h2><ul>"));
            }
            let mark = if page.name == current { " aria-current=\"page\"" } else { "" };
            out.push_str(&format!("<li>{}</li>", self.link(page, mark)));
        }
        out.push_str("</ul></section>");
    }

    fn link(&self, page: &Page, mark: &str) -> String {
        let path = escaped(&self.config.docs.path);
        format!("<a href=\"{path}/{}\"{mark}>{}</a>", page.name, escaped(title(page)))
    }

    /// `/docs`.
    pub fn viewer(&self) -> Document {
        let [css, own_css, bundle, script] = &self.viewer_files;
        let head = format!(
            "<link rel=\"stylesheet\" href=\"{css}\"><link rel=\"stylesheet\" href=\"{own_css}\">\
             <script src=\"{bundle}\" defer></script><script src=\"{script}\" defer></script>"
        );
        let body = "<div id=\"viewer\" data-spec=\"/openapi.json\"></div>";
        self.reference("Try it out", &head, body, VIEWER_POLICY)
    }

    /// `/redoc`.
    pub fn reader(&self) -> Document {
        let (own_css, script) = (&self.viewer_files[1], &self.redoc);
        let head =
            format!("<link rel=\"stylesheet\" href=\"{own_css}\"><script src=\"{script}\" defer></script>");
        let body = "<main><redoc spec-url=\"/openapi.json\"></redoc></main>";
        self.reference("Reference", &head, body, READER_POLICY)
    }

    fn reference(&self, title: &str, head: &str, body: &str, policy: &str) -> Document {
        let Frame { name, icon, .. } = self;
        let path = escaped(&self.config.docs.path);
        let html = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} · {name} API</title>\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <link rel=\"icon\" href=\"{icon}\">{head}</head><body>\
             <nav class=\"bar\" aria-label=\"Documentation\"><strong>{name} API</strong>\
             <a href=\"{path}\">Pages</a><a href=\"/docs\">Try it out</a><a href=\"/redoc\">Reference</a>\
             <a href=\"/openapi.json\">OpenAPI</a><a href=\"/asyncapi.json\">AsyncAPI</a></nav>\
             <noscript><p>This page needs a script of this server. Everything in it is also in \
             <a href=\"/openapi.json\">openapi.json</a>, and <a href=\"{path}\">the pages</a> need none.</p></noscript>\
             {body}</body></html>\n"
        );
        Document::new(HTML, html.into()).with_policy(policy.into())
    }
}

/// As its first line says.
fn title(page: &Page) -> &'static str {
    page.text.lines().next().unwrap_or_default().trim_start_matches("# ")
}

/// Links to the headings of a long page.
fn contents(rendered: &Rendered) -> String {
    let headings: Vec<_> = rendered.sections.iter().filter(|section| section.level == 2).collect();
    if headings.len() < 3 {
        return String::new();
    }
    let mut out = String::from("<details class=\"toc\" open><summary>On this page</summary><ul>");
    for section in headings {
        out.push_str(&format!("<li><a href=\"#{}\">{}</a></li>", section.id, escaped(&section.heading)));
    }
    out.push_str("</ul></details>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docs::site;

    #[test]
    fn pages_have_no_script_or_style_in_them() {
        let portal = site(&Config::default()).portal.unwrap();
        let pages = portal.pages.values().chain([&portal.index, &portal.missing]);
        for page in pages {
            let text = String::from_utf8(page.plain().unwrap().to_vec()).unwrap();
            assert!(text.starts_with("<!doctype html>") && !text.contains("<style"));
            assert!(!text.contains(" style=") && !text.contains(" onclick="));
            assert_eq!(text.matches("<script").count(), 1);
            assert!(text.matches("aria-current").count() <= 1);
            assert_eq!((text.matches("<h1").count(), text.matches("<main").count()), (1, 1));
        }
    }

    #[test]
    fn names_are_text() {
        let mut config = Config::default();
        config.application.name = "<b>\"x\"".into();
        let portal = site(&config).portal.unwrap();
        for page in [&portal.index, &portal.viewer, &portal.reader] {
            let text = String::from_utf8(page.plain().unwrap().to_vec()).unwrap();
            assert!(!text.contains("<b>") && text.contains("&lt;b&gt;&quot;x&quot;"), "{text}");
        }
    }
}
