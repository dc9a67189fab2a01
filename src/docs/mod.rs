//! The documentation that the server gives of itself: pages, viewers of the API, a description of the gateway.
//!
//! Owns: what people read. Pages are Markdown ([`pages`]); numbers, names and tables in them are filled in from the
//! tables that the code goes by, and from the configuration ([`fill`], [`tables`]); then they become HTML ([`markdown`],
//! [`page`]), once per process and before any request.
//! Invariant: nothing here is asked for while a request is answered, and no page names a host other than this server's.

pub mod assets;
pub mod asyncapi;
pub mod events;
pub mod fill;
pub mod markdown;
mod options;
mod page;
pub mod pages;
mod schema;
mod tables;
mod words;

use std::collections::HashMap;

use crate::api::site::{Document, Portal, Site};
use crate::config::Config;
use markdown::{Rendered, Section};
use pages::{INDEX, PAGES};

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// All that is served.
///
/// # Panics
/// When a page names a value that there is none of; a test makes all of them.
pub fn site(config: &Config) -> Site {
    let site = Site::of_api(config);
    if !config.docs.enabled {
        return site;
    }
    let rendered: Vec<(&pages::Page, Rendered)> =
        PAGES.iter().map(|page| (page, render(page, config))).collect();
    let mut files = assets::own();
    let index = Document::new(JSON, search_index(&rendered, config));
    files.add("search.json", index);
    let frame = page::Frame::new(config, &files);
    let first = frame.index(&render(&INDEX, config));
    let made =
        rendered.iter().enumerate().map(|(at, (page, rendered))| (page.name, frame.page(at, rendered)));
    let pages: HashMap<&'static str, Document> = made.collect();
    let portal = Portal {
        viewer: frame.viewer(),
        reader: frame.reader(),
        asyncapi: Document::new(JSON, asyncapi::document(config)),
        index: first,
        missing: frame.missing(),
        pages,
        assets: files.into_documents(),
    };
    Site { portal: Some(portal), ..site }
}

fn render(page: &pages::Page, config: &Config) -> Rendered {
    let text = fill::filled(page.text, config).unwrap_or_else(|wrong| panic!("{}.md: {wrong}", page.name));
    markdown::render(&text, config)
}

/// What the search of the pages goes through: a list of `[address, page, heading, text]`.
fn search_index(rendered: &[(&pages::Page, Rendered)], config: &Config) -> Vec<u8> {
    use crate::wire::json::Array;

    let mut out = Vec::new();
    let mut list = Array::new(&mut out);
    for (page, rendered) in rendered {
        for Section { id, heading, text, .. } in &rendered.sections {
            let anchor = if id.is_empty() { String::new() } else { format!("#{id}") };
            let mut row = Array::new(list.item());
            row.str(&format!("{}/{}{anchor}", config.docs.path, page.name));
            row.str(&rendered.title);
            row.str(heading);
            row.str(text);
        }
    }
    drop(list);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_page_is_made_with_what_is_configured() {
        let config = Config::default();
        let site = site(&config);
        let portal = site.portal.unwrap();
        assert_eq!(portal.pages.len(), PAGES.len(), "no name twice");
        let page = String::from_utf8(portal.pages["messages"].plain().unwrap().to_vec()).unwrap();
        assert!(page.contains("2000") && !page.contains("{{"), "{page}");
        let mut config = config;
        config.servers.server_name_max_length = 98_765;
        let other = super::site(&config).portal.unwrap();
        let page = String::from_utf8(other.pages["servers"].plain().unwrap().to_vec()).unwrap();
        assert!(page.contains("98765"), "{page}");
    }

    #[test]
    fn links_lead_somewhere() {
        let config = Config::default();
        let all: Vec<(&str, Rendered)> =
            PAGES.iter().chain([&INDEX]).map(|page| (page.name, render(page, &config))).collect();
        let mut places = HashSet::new();
        for (name, rendered) in &all {
            places.insert((*name).to_string());
            places.extend(rendered.sections.iter().map(|section| format!("{name}#{}", section.id)));
        }
        let known = ["/docs", "/redoc", "/openapi.json", "/asyncapi.json"];
        for (name, rendered) in &all {
            for link in &rendered.links {
                let own = link.strip_prefix('#').map(|id| format!("{name}#{id}"));
                let place = own.as_deref().unwrap_or(link);
                assert!(places.contains(place) || known.contains(&place), "{name}.md links to {link}");
            }
        }
    }

    #[test]
    fn every_operation_is_on_a_page() {
        let text: String = PAGES.iter().map(|page| page.text).collect();
        for route in crate::api::routes::ROUTES.iter().filter(|route| !route.path.starts_with("/testing")) {
            // Administrators have a console.
            let is_named = text.contains(&format!("{{{{routes:{}}}}}", route.group));
            assert!(is_named || route.path.starts_with("/admin"), "{} is on no page", route.name);
        }
    }

    #[test]
    fn pages_name_no_other_host() {
        for page in PAGES.iter().chain([&INDEX]) {
            let text = page.text.replace("https://example.org", "").replace("https://chat.example.org", "");
            for scheme in ["http://", "https://"] {
                let hosts = text
                    .match_indices(scheme)
                    .map(|(at, _)| text[at + scheme.len()..].split(['/', ' ', ':', '"', '`', '\n']).next());
                for host in hosts.flatten() {
                    assert!(host == "127.0.0.1" || host.ends_with("example.org"), "{}.md: {host}", page.name);
                }
            }
        }
    }

    #[test]
    fn switched_off_there_are_no_pages() {
        let mut config = Config::default();
        config.docs.enabled = false;
        assert!(site(&config).portal.is_none());
    }
}
