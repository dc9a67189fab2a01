//! The console as people use it: every page is loaded and judged, and on each something is done that it offers.
//!
//! What the pages look like is kept below the target folder, in `tmp/console`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use plexichat::api::site::Document;
use plexichat::console::list::PAGES;
use sha2::{Digest as _, Sha256};

use super::Browser;
use super::support::admin::{code, credentials};
use super::support::{PATIENCE, Server, Value, json};

/// Judges pages by the rules of WCAG; see `vendor/VENDORED.txt`.
const AXE: &[u8] = include_bytes!("vendor/axe.min.js.gz");
const ACCOUNT: &str = include_str!("vendor/VENDORED.txt");
const SCRIPT: &str = "<script>window.hit=1</script><img src=x onerror=window.hit=1>";
const PHONE: u64 = 390;

#[test]
fn what_judges_is_as_it_came() {
    let plain = Document::inflate(AXE).expect("it is packed by gzip");
    for (name, bytes) in [("axe.min.js", &plain[..]), ("axe.min.js.gz", AXE)] {
        let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(ACCOUNT.contains(&format!("{hash}  {name}")), "{name}: {hash}");
    }
}

/// A browser at the console.
struct Visit {
    browser: Browser,
    origin: String,
    folder: PathBuf,
    figures: Vec<String>,
}

impl Visit {
    fn new(mut browser: Browser, server: &Server) -> Visit {
        let origin = format!("http://localhost:{}", server.address().port());
        browser.open(&format!("{origin}/admin/"));
        for domain in ["Runtime", "Log", "Page"] {
            browser.command(&format!("{domain}.enable"), json!({}));
        }
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("console");
        std::fs::create_dir_all(&folder).expect("below the target folder");
        Visit { browser, origin, folder, figures: Vec::new() }
    }

    /// Waits until an expression is true.
    #[track_caller]
    fn until(&mut self, expression: &str) {
        let began = Instant::now();
        // While a page is left there is nothing to ask.
        let ask = format!("(() => {{ try {{ return Boolean({expression}) }} catch {{ return false }} }})()");
        while self.browser.evaluate(&ask) != true {
            assert!(began.elapsed() < PATIENCE, "not so: {expression}\n{}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn text(&mut self) -> String {
        self.browser.evaluate("location.href + '\\n' + document.body.innerText").to_string()
    }

    /// Loads a page of the console.
    #[track_caller]
    fn go(&mut self, path: &str) {
        let url = format!("{}/admin/{path}", self.origin);
        self.browser.evaluate("window.isOld = true");
        self.browser.command("Page.navigate", json!({"url": url}));
        self.until("!window.isOld && document.readyState === 'complete'");
    }

    /// Presses a key.
    fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Tab" => (9, ""),
            "Space" => (32, " "),
            other => panic!("{other} has no code here"),
        };
        let name = if key == "Space" { " " } else { key };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({"type": kind, "key": name, "code": key, "windowsVirtualKeyCode": code});
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = json!(text);
            }
            self.browser.command("Input.dispatchKeyEvent", event);
        }
    }

    fn type_in(&mut self, text: &str) {
        self.browser.command("Input.insertText", json!({"text": text}));
    }

    /// Moves on until what has the focus is so.
    #[track_caller]
    fn tab_to(&mut self, expression: &str) {
        for _ in 0..200 {
            if self.browser.evaluate(&format!("(e => Boolean({expression}))(document.activeElement)")) == true
            {
                let seen = "getComputedStyle(document.activeElement).outlineStyle !== 'none'";
                assert_eq!(self.browser.evaluate(seen), true, "the focus of {expression} is seen");
                return;
            }
            self.press("Tab");
        }
        panic!("no key leads to {expression}\n{}", self.text());
    }

    fn resize(&mut self, width: u64, height: u64) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.browser.command("Emulation.setDeviceMetricsOverride", size);
    }

    fn dark(&mut self, is_dark: bool) {
        let value = if is_dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.browser.command("Emulation.setEmulatedMedia", features);
    }

    fn keep_picture(&mut self, name: &str) {
        use base64::Engine as _;
        let shot = self.browser.command("Page.captureScreenshot", json!({"captureBeyondViewport": true}));
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().expect("a picture"));
        std::fs::write(self.folder.join(format!("{name}.png")), bytes.expect("base64"))
            .expect("below the target");
    }

    /// Judges the page that is shown, in light, in dark, and on a phone.
    #[track_caller]
    fn judge(&mut self, name: &str) {
        for (mode, width, is_dark) in [("light", 1280, false), ("dark", 1280, true), ("phone", PHONE, false)]
        {
            self.resize(width, 900);
            self.dark(is_dark);
            let wide = self.browser.evaluate("document.documentElement.scrollWidth - window.innerWidth");
            assert!(wide.as_i64().is_some_and(|wide| wide <= 0), "{name} is {wide} pixels too wide ({mode})");
            self.keep_picture(&format!("{name}-{mode}"));
            let found = self.browser.evaluate(
                "(async () => (await axe.run({resultTypes: ['violations']})).violations\
                 .filter(v => ['serious', 'critical'].includes(v.impact))\
                 .map(v => v.id + ': ' + v.nodes.map(n => n.html + ' ' + n.failureSummary).join('\\n')).join('\\n'))()",
            );
            assert_eq!(found, "", "{name} ({mode})");
        }
        self.resize(1280, 900);
        self.dark(false);
        self.weigh(name);
        assert_eq!(self.browser.evaluate("window.hit ?? 0"), 0, "{name}: a text of somebody is carried out");
        self.nothing_told(name);
    }

    fn load_judge(&mut self) {
        let source = String::from_utf8(Document::inflate(AXE).expect("gzip")).expect("text");
        self.browser.evaluate(&format!("{{ {source} }}; 1"));
    }

    /// How many bytes the page is, and when something of it was seen.
    fn weigh(&mut self, name: &str) {
        let figures = self.browser.evaluate(
            "(() => { const [page] = performance.getEntriesByType('navigation');\
             const files = performance.getEntriesByType('resource').filter(f => f.name.includes('/assets/'));\
             const paint = performance.getEntriesByName('first-contentful-paint')[0];\
             return [page.encodedBodySize, files.reduce((sum, f) => sum + f.encodedBodySize, 0), files.length,\
             Math.round(page.responseEnd), paint ? Math.round(paint.startTime) : -1].join(' ') })()",
        );
        let figures = figures.as_str().unwrap_or_default().to_owned();
        let [page, files, count, end, paint] = figures.split(' ').collect::<Vec<_>>()[..] else { return };
        self.figures.push(format!(
            "{name}: page {page} bytes, {count} files {files} bytes, there after {end} ms, first paint after {paint} ms"
        ));
    }

    /// Errors in the console of the browser, and reports of its policy.
    #[track_caller]
    fn nothing_told(&mut self, name: &str) {
        for said in std::mem::take(&mut self.browser.told) {
            let is_error = match said["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" => true,
                "Runtime.consoleAPICalled" => said["params"]["type"] == "error",
                "Log.entryAdded" => {
                    ["error", "warning"].iter().any(|level| said["params"]["entry"]["level"] == *level)
                }
                _ => false,
            };
            // A form that was refused is an error to the browser.
            let is_status = said["params"]["entry"]["source"] == "network";
            assert!(!is_error || is_status, "{name}: {said}");
        }
    }

    /// Fills the form of a button and sends it; what is said then.
    #[track_caller]
    fn act(&mut self, path: &str, operation: &str, fields: &[(&str, &str)]) -> String {
        self.go(path);
        let fields: Value = fields.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        self.browser.evaluate("window.isOld = true");
        let sent = self.browser.evaluate(&format!(
            "(() => {{ const button = document.querySelector('button[value={operation}]'); if (!button) return 'no button';\
             const details = button.closest('details'); if (details) details.querySelector('summary').click();\
             for (const [name, value] of Object.entries({fields})) {{ const field = button.form.elements[name];\
             if (!field) return 'no ' + name; if (field.type === 'checkbox') {{ if (!field.checked) field.click(); }}\
             else field.value = value; }}\
             if (!button.form.reportValidity()) return 'not valid'; button.click(); return ''; }})()"
        ));
        assert_eq!(sent, "", "{path} {operation}");
        self.until("!window.isOld && document.readyState === 'complete'");
        let said =
            self.browser.evaluate("document.querySelector('[role=status], [role=alert]')?.innerText ?? ''");
        self.nothing_told(operation);
        said.as_str().unwrap_or_default().to_owned()
    }
}

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
    let mut visit = Visit::new(browser, &server);
    let ada = format!("ui/user/{}", user.id);
    by_keyboard(&mut visit, &username, &password);
    let ticket = each_does_what_it_says(&mut visit, &ada, &other.id, &place, &password);
    all_are_judged(&mut visit, &ada, &ticket, &place);
    the_dashboard_moves(&mut visit);
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
