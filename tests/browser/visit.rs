//! A browser at pages of the server, and what is asked of each of them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use plexichat::api::site::Document;
use sha2::{Digest as _, Sha256};

use super::Browser;
use super::support::{PATIENCE, Server, Value, json};

/// Judges pages by the rules of WCAG; see `vendor/VENDORED.txt`.
const AXE: &[u8] = include_bytes!("vendor/axe.min.js.gz");
const ACCOUNT: &str = include_str!("vendor/VENDORED.txt");
const PHONE: u64 = 390;

#[test]
fn what_judges_is_as_it_came() {
    let plain = Document::inflate(AXE).expect("it is packed by gzip");
    for (name, bytes) in [("axe.min.js", &plain[..]), ("axe.min.js.gz", AXE)] {
        let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(ACCOUNT.contains(&format!("{hash}  {name}")), "{name}: {hash}");
    }
}

/// A browser at some pages.
pub struct Visit {
    pub browser: Browser,
    /// What the paths of these pages begin with.
    root: String,
    /// Where pictures of the pages go.
    pub folder: PathBuf,
    pub figures: Vec<String>,
}

impl Visit {
    /// `below`: what the paths of these pages begin with, such as `/admin/`; `name`: of the folder of pictures.
    pub fn new(mut browser: Browser, server: &Server, below: &str, name: &str) -> Visit {
        let root = format!("http://localhost:{}{below}", server.address().port());
        browser.open(&root);
        for domain in ["Runtime", "Log", "Page"] {
            browser.command(&format!("{domain}.enable"), json!({}));
        }
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).expect("below the target folder");
        Visit { browser, root, folder, figures: Vec::new() }
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn until(&mut self, expression: &str) {
        let began = Instant::now();
        // While a page is left there is nothing to ask.
        let ask = format!("(() => {{ try {{ return Boolean({expression}) }} catch {{ return false }} }})()");
        while !self.browser.try_evaluate(&ask).is_ok_and(|value| value == true) {
            assert!(began.elapsed() < PATIENCE, "not so: {expression}\n{}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn text(&mut self) -> String {
        self.browser.evaluate("location.href + '\\n' + document.body.innerText").to_string()
    }

    /// Loads one of the pages.
    #[track_caller]
    pub fn go(&mut self, path: &str) {
        let url = format!("{}{path}", self.root);
        self.browser.evaluate("window.isOld = true");
        self.browser.command("Page.navigate", json!({"url": url}));
        self.until("!window.isOld && document.readyState === 'complete'");
    }

    /// Presses a key.
    pub fn press(&mut self, key: &str) {
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

    pub fn type_in(&mut self, text: &str) {
        self.browser.command("Input.insertText", json!({"text": text}));
    }

    /// Moves on until what has the focus is so.
    #[track_caller]
    pub fn tab_to(&mut self, expression: &str) {
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
    pub fn judge(&mut self, name: &str) {
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

    pub fn load_judge(&mut self) {
        let source = String::from_utf8(Document::inflate(AXE).expect("gzip")).expect("text");
        self.browser.evaluate(&format!("{{ {source} }}; 1"));
    }

    /// How many bytes the page is, and when something of it was seen.
    pub fn weigh(&mut self, name: &str) {
        self.until("performance.getEntriesByName('first-contentful-paint').length");
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
    pub fn nothing_told(&mut self, name: &str) {
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
    pub fn act(&mut self, path: &str, operation: &str, fields: &[(&str, &str)]) -> String {
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
