//! Reports of browsers about what a Content-Security-Policy has refused, in both forms that they send (CSP 2's
//! `application/csp-report`, and the Reporting API's list).

use crate::domain::contact::telemetry::{CspReportNote, OTHER};
use crate::wire::json::{Value, parse};

/// Rules of a policy (CSP level 3). What is called otherwise is one more.
const DIRECTIVES: &[&str] = &[
    "base-uri",
    "child-src",
    "connect-src",
    "default-src",
    "font-src",
    "form-action",
    "frame-ancestors",
    "frame-src",
    "img-src",
    "manifest-src",
    "media-src",
    "object-src",
    "report-to",
    "report-uri",
    "require-trusted-types-for",
    "sandbox",
    "script-src",
    "script-src-attr",
    "script-src-elem",
    "style-src",
    "style-src-attr",
    "style-src-elem",
    "trusted-types",
    "upgrade-insecure-requests",
    "worker-src",
];

/// Reports of one list that are looked at.
const REPORT_COUNT_MAX: usize = 10;
/// Characters that are kept of an address.
const ADDRESS_CHARS_MAX: usize = 200;

/// What is noted of a body; of one that is no report, nothing.
pub fn read(body: &mut [u8], retention_ms: u64) -> Vec<CspReportNote> {
    let Ok(value) = parse(body) else { return Vec::new() };
    let items = match &value {
        Value::Array(items) => &items[..items.len().min(REPORT_COUNT_MAX)],
        other => std::slice::from_ref(other),
    };
    let reports = items.iter().filter_map(|item| item.get("csp-report").or_else(|| item.get("body")));
    reports.filter(|report| report.as_object().is_some()).map(|report| note(report, retention_ms)).collect()
}

fn note(report: &Value<'_>, retention_ms: u64) -> CspReportNote {
    let text = |names: [&str; 2]| names.iter().find_map(|name| report.get(name)).and_then(Value::as_str);
    let directive = text(["effective-directive", "effectiveDirective"]);
    let directive =
        directive.or_else(|| text(["violated-directive", "violatedDirective"])).unwrap_or_default();
    // Older browsers send the whole of the rule.
    let name = directive.split_ascii_whitespace().next().unwrap_or_default();
    let directive = DIRECTIVES.iter().find(|known| **known == name).unwrap_or(&OTHER);
    CspReportNote {
        directive: (*directive).to_string(),
        blocked: address(text(["blocked-uri", "blockedURL"]).unwrap_or_default()),
        document: address(text(["document-uri", "documentURL"]).unwrap_or_default()),
        source: text(["source-file", "sourceFile"]).map(address),
        retention_ms,
    }
}

/// An address without what may be somebody's secret in it.
fn address(text: &str) -> String {
    let end = text.find(['?', '#']).unwrap_or(text.len());
    text[..end].chars().filter(|letter| !letter.is_control()).take(ADDRESS_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, want: &[(&str, &str, &str)]) {
        let notes = read(&mut body.as_bytes().to_vec(), 7);
        let got: Vec<_> =
            notes.iter().map(|note| (&*note.directive, &*note.blocked, &*note.document)).collect();
        assert_eq!(got, want, "{body}");
    }

    #[test]
    fn both_forms_are_read() {
        check(
            r#"{"csp-report":{"violated-directive":"script-src 'self'","blocked-uri":"inline","document-uri":"https://a.example/x?token=1#y"}}"#,
            &[("script-src", "inline", "https://a.example/x")],
        );
        check(
            r#"[{"type":"csp-violation","body":{"effectiveDirective":"img-src","blockedURL":"https://b.example/p.png","documentURL":"https://a.example/"}},{"type":"other"}]"#,
            &[("img-src", "https://b.example/p.png", "https://a.example/")],
        );
        check(r#"{"csp-report":{}}"#, &[(OTHER, "", "")]);
        check(r#"{"csp-report":{"effective-directive":"nonsense","blocked-uri":7}}"#, &[(OTHER, "", "")]);
    }

    #[test]
    fn what_is_no_report_is_nothing() {
        for body in ["", "{", "null", "7", "[]", "[7]", "{}", r#"{"csp-report":7}"#, "\u{0}\u{1}"] {
            check(body, &[]);
        }
        let many = format!("[{}]", vec![r#"{"body":{}}"#; 50].join(","));
        assert_eq!(read(&mut many.into_bytes(), 7).len(), REPORT_COUNT_MAX);
    }
}
