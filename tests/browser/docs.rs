//! The documentation as people read it: each page is loaded and judged, searched, and operations are tried out.
//!
//! What the pages look like is kept below the target folder, in `tmp/docs`.

use plexichat::docs::pages::PAGES;

use super::Browser;
use super::support::{Server, Value};
use super::visit::Visit;

const JUDGED: [&str; 4] = ["getting-started", "events", "limits", "clients"];

#[test]
fn the_documentation_is_read_and_tried_out() {
    let Some(browser) = Browser::start() else { return };
    let server = Server::start(&[]);
    let user = server.register("ada");
    let mut visit = Visit::new(browser, &server, "/", "docs");
    visit.go("docs/api");
    visit.load_judge();
    visit.judge("index");
    for page in PAGES {
        visit.go(&format!("docs/api/{}", page.name));
        visit.weigh(page.name);
        visit.nothing_told(page.name);
        // All are made by one hand: these have everything that it makes.
        if JUDGED.contains(&page.name) {
            visit.load_judge();
            visit.judge(page.name);
        }
    }
    found_without_the_server(&mut visit);
    tried_out(&mut visit, &user.token);
    visit.go("redoc");
    visit.until(
        "document.querySelector('[data-section-id]') && document.body.innerText.includes('/users/@me')",
    );
    visit.weigh("redoc");
    visit.nothing_told("redoc");
    let figures = visit.figures.join("\n");
    std::fs::write(visit.folder.join("figures.txt"), &figures).expect("below the target");
    println!("{figures}");
}

/// By keyboard: once the index is there nothing more is asked for.
fn found_without_the_server(visit: &mut Visit) {
    visit.go("docs/api/getting-started");
    visit.tab_to("e.closest('#search') && e.tagName === 'INPUT'");
    visit.until("performance.getEntriesByType('resource').some(f => f.name.includes('search'))");
    visit.type_in("heartbeat");
    visit.until("document.querySelector('#found a')");
    let asked = "performance.getEntriesByType('resource').length";
    let before = visit.browser.evaluate(asked);
    visit.type_in(" interval");
    visit.until("!document.getElementById('found').hidden && document.querySelector('#found a')");
    assert_eq!(visit.browser.evaluate(asked), before, "a search asks the server");
    visit.press("Enter");
    visit.until("location.pathname !== '/docs/api/getting-started' || location.hash");
    visit.nothing_told("search");
}

/// Swagger UI: log in with a token, carry out an operation, see its answer.
fn tried_out(visit: &mut Visit, token: &str) {
    visit.go("docs");
    visit.until("document.querySelector('.opblock-tag')");
    visit.weigh("viewer");
    let tag = visit.browser.evaluate(
        "(async () => { const all = (await (await fetch('/openapi.json')).json()).paths;\
         const [path] = Object.keys(all).filter(path => /^(\\/api\\/v1)?\\/users\\/@me$/.test(path));\
         return all[path].get.tags[0]; })()",
    );
    let tag = tag.as_str().expect("a name").to_owned();
    let click = |visit: &mut Visit, what: &str| {
        visit.until(&format!("document.querySelector({what:?})"));
        visit.browser.evaluate(&format!("document.querySelector({what:?}).click()"));
    };
    click(visit, ".authorize");
    visit.until("document.querySelector('.modal-ux input')");
    visit.browser.evaluate("document.querySelector('.modal-ux input').focus()");
    visit.type_in(token);
    click(visit, ".modal-ux button.authorize");
    click(visit, ".modal-ux .btn-done");
    click(visit, &format!(".opblock-tag[data-tag=\"{tag}\"]"));
    let operation = "[id^=operations-][id$=-me_get]";
    click(visit, &format!("{operation} .opblock-summary-control"));
    click(visit, &format!("{operation} .execute"));
    let status = format!("{operation} .live-responses-table .response .response-col_status");
    visit.until(&format!("document.querySelector({status:?})?.innerText.trim().startsWith('200')"));
    let body =
        format!("document.querySelector({:?}).innerText", format!("{operation} .live-responses-table"));
    let body: Value = visit.browser.evaluate(&body);
    assert!(body.as_str().is_some_and(|body| body.contains("\"ada\"")), "{body}");
    visit.nothing_told("viewer");
}
