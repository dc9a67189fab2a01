//! The console as people use it: every page is loaded and judged, and on each something is done that it offers.
//!
//! What the pages look like is kept below the target folder, in `tmp/console`. `CONSOLE_TABS=10` says what as many
//! dashboards cost that are looked at; with `TEST_BINARY` the figures are those of another build.

use std::time::{Duration, Instant};

use plexichat::console::list::PAGES;

use super::Browser;
use super::support::admin::{code, credentials};
use super::support::{Server, Value, json};
use super::visit::Visit;

const TABS: &str = "CONSOLE_TABS";
const TABS_LOOKED_AT: Duration = Duration::from_secs(30);
const SCRIPT: &str = "<script>window.hit=1</script><img src=x onerror=window.hit=1>";

#[test]
fn the_console_is_looked_at_and_used() {
    let Some(browser) = Browser::start() else { return };
    let server = Server::start(&[]);
    let (username, password) = credentials(server.folder());
    let user = server.register("ada");
    let other = server.register("babbage");
    let mut http = server.http();
    let mut call = |line: &str, token: &str, body: Value| {
        let (method, path) = line.split_once(' ').expect("METHOD path");
        let body = Some(&body).filter(|body| !body.is_null());
        http.call(method, &format!("/api/v1{path}"), Some(token), body).want(200)
    };
    call("POST /feedback", &user.token, json!({"content": SCRIPT}));
    let report = json!({"user_id": other.id, "reason": SCRIPT, "category": "spam"});
    call("POST /reports/users", &user.token, report);
    let place = call("POST /servers", &other.token, json!({"name": "Analytical Society"}))["id"].clone();
    let place = place.as_str().expect("an id").to_owned();
    let mut visit = Visit::new(browser, &server, "/admin/", "console");
    let ada = format!("ui/user/{}", user.id);
    by_keyboard(&mut visit, &username, &password);
    let ticket = each_does_what_it_says(&mut visit, &ada, &other.id, &place, &password);
    all_are_judged(&mut visit, &ada, &ticket, &place);
    the_dashboard_moves(&mut visit);
    if let Some(count) = std::env::var(TABS).ok().and_then(|count| count.parse().ok()) {
        let share = cost_of_tabs(&mut visit, &server, count);
        visit.figures.push(format!("{count} dashboards take {:.2} % of a core", share * 100.0));
    }
    visit.browser.evaluate("window.isOld = true; document.querySelector('.who button').click()");
    visit.until("!window.isOld && document.getElementById('username')");
    let figures = visit.figures.join("\n");
    std::fs::write(visit.folder.join("figures.txt"), &figures).expect("below the target");
    println!("{figures}");
}

/// The log-in, the set-up of codes, and the way to a page and to something that is done there.
fn by_keyboard(visit: &mut Visit, username: &str, password: &str) {
    visit.until("document.activeElement.id === 'username'");
    visit.load_judge();
    visit.judge("login");
    visit.type_in(username);
    visit.press("Tab");
    visit.type_in("wrong");
    visit.press("Enter");
    visit.until("document.querySelector('[role=alert]')");
    visit.until("document.activeElement.id === 'username'");
    visit.type_in(username);
    visit.press("Tab");
    visit.type_in(password);
    visit.press("Enter");
    visit.until("document.querySelector('.qr') && document.activeElement.id === 'code'");
    visit.load_judge();
    visit.judge("set-up");
    let uri = visit.browser.evaluate("document.querySelector('[name=otp_qr_uri]').value");
    let totp = totp_rs::Totp::from_url(uri.as_str().expect("an address")).expect("of an authenticator");
    visit.type_in(&code(&totp, 0));
    visit.press("Enter");
    visit.until("document.querySelector('[role=status]')?.innerText.includes('set up')");
    visit.tab_to("e.textContent === 'Users'");
    visit.press("Enter");
    visit.until("document.querySelector('h1')?.innerText === 'Users'");
    visit.tab_to("e.name === 'q'");
    visit.type_in("ad");
    visit.press("Enter");
    visit.until("document.querySelector('td a')");
    visit.tab_to("e.closest('td') && e.tagName === 'A'");
    visit.press("Enter");
    visit.until("document.querySelector('h1')?.innerText === 'User'");
    visit.tab_to("e.tagName === 'SUMMARY' && e.innerText.startsWith('Write note')");
    visit.press("Space");
    visit.tab_to("e.name === 'notes'");
    visit.type_in("Met by keyboard");
    visit.press("Tab");
    visit.press("Enter");
    visit.until("document.querySelector('[role=status]')?.innerText.includes('kept')");
    visit.until("document.querySelector('main').innerText.includes('Met by keyboard')");
    visit.nothing_told("by keyboard");
}

/// Does something on each page; gives the path of a ticket.
fn each_does_what_it_says(visit: &mut Visit, ada: &str, other: &str, place: &str, password: &str) -> String {
    let rule_config = "{\"keywords\": [\"forbidden\"]}";
    let rule_actions = "[{\"action_type\": \"log_only\"}]";
    let file = "f".repeat(64);
    for (path, operation, fields, said) in [
        (ada, "admin_user_notes_set", &[("notes", SCRIPT)][..], "The note is kept."),
        (ada, "admin_user_lock", &[("duration_seconds", "60")], "The account is locked."),
        (ada, "admin_user_unlock", &[], "The account is unlocked."),
        ("ui/silenced", "admin_user_block", &[("user_id", other), ("reason", SCRIPT)], "may not post"),
        (
            "ui/names",
            "admin_name_ban_create",
            &[("pattern", "nobody"), ("reason", SCRIPT)],
            "Nobody can take",
        ),
        ("ui/addresses", "admin_address_block", &[("ip_address", "203.0.113.7")], "The address is blocked."),
        ("ui/access-tokens", "admin_access_token_create", &[("name", "one")], "The token is made."),
        ("ui/user-reports", "admin_user_report_review", &[("action", "review")], "The report is decided on."),
        (
            "ui/blocked-files",
            "admin_hash_block",
            &[("hash_value", &file), ("reason", "x")],
            "not taken any more",
        ),
        (
            "ui/automod",
            "admin_rule_create",
            &[("server_id", place), ("name", "one"), ("config", rule_config), ("actions", rule_actions)],
            "The rule is made.",
        ),
        (
            "ui/maintenance",
            "admin_maintenance_set",
            &[("enabled", "true"), ("message", "Back soon")],
            "It is set.",
        ),
        ("ui/account", "admin_codes_renew", &[("current_password", password)], "Ten backup codes"),
    ] {
        let answer = visit.act(path, operation, fields);
        assert!(answer.contains(said), "{operation}: {answer}");
    }
    visit.go("ui/tickets");
    visit.browser.evaluate("window.isOld = true; document.querySelector('td a').click()");
    visit.until("!window.isOld && document.querySelector('h1')?.innerText === 'Ticket'");
    let ticket = visit.browser.evaluate("location.pathname.replace('/admin/', '')");
    let ticket = ticket.as_str().expect("a path").to_owned();
    let said = visit.act(&ticket, "admin_ticket_note_add", &[("content", SCRIPT)]);
    assert!(said.contains("The note is added."), "{said}");
    ticket
}

fn all_are_judged(visit: &mut Visit, ada: &str, ticket: &str, place: &str) {
    let automod = format!("ui/automod?server_id={place}");
    let mut paths: Vec<(&str, &str)> = vec![("user", ada), ("ticket", ticket), ("search", "ui/users?q=a")];
    let plain: Vec<String> =
        PAGES.iter().filter(|page| page.item.is_empty()).map(|page| format!("ui/{}", page.name)).collect();
    paths.extend(plain.iter().map(|path| (path.trim_start_matches("ui/"), path.as_str())));
    paths.push(("automod-rules", &automod));
    for (name, path) in paths {
        visit.go(path);
        visit.load_judge();
        visit.judge(name);
    }
    // With its forms open.
    visit.go(ada);
    visit.browser.evaluate("document.querySelectorAll('details').forEach(form => form.open = true)");
    visit.load_judge();
    visit.judge("user-forms");
}

/// Unless it is told not to.
fn the_dashboard_moves(visit: &mut Visit) {
    visit.go("ui");
    let first = visit.browser.evaluate("document.querySelector('.tiles').dataset.next");
    visit.until(&format!("document.querySelector('.tiles').dataset.next !== {first}"));
    visit.until("document.querySelector('polyline').getAttribute('points').includes(' ')");
    visit.browser.evaluate("document.getElementById('pause').click()");
    visit.until("document.getElementById('pause').textContent === 'Go on'");
    visit.load_judge();
    visit.judge("dashboard-moving");
}

/// The share of a core that the server takes for dashboards beyond what it takes without.
fn cost_of_tabs(visit: &mut Visit, server: &Server, count: usize) -> f64 {
    let share = || {
        let (began, before) = (Instant::now(), cpu_time(server.pid()));
        std::thread::sleep(TABS_LOOKED_AT);
        (cpu_time(server.pid()) - before).as_secs_f64() / began.elapsed().as_secs_f64()
    };
    let idle = share();
    let url = visit.browser.evaluate("location.href").as_str().expect("an address").to_owned();
    let asked = "performance.getEntriesByType('resource').filter(f => f.initiatorType === 'fetch').length";
    for _ in 0..count {
        visit.browser.open(&url);
        visit.until(&format!("{asked} > 0"));
    }
    let before = visit.browser.evaluate(asked).as_u64().expect("a count");
    let busy = share();
    let moved = visit.browser.evaluate(asked).as_u64().expect("a count") - before;
    assert!(moved >= TABS_LOOKED_AT.as_secs() / 4, "the last tab has asked {moved} times");
    busy - idle
}

/// What all threads of a process have run.
fn cpu_time(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let run = |task: std::io::Result<std::fs::DirEntry>| -> Option<u64> {
        let told = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        told.split(' ').next()?.parse().ok()
    };
    Duration::from_nanos(tasks.filter_map(run).sum())
}
