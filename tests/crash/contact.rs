//! Reports and feedback. What is reported is read by administrators; how much feedback somebody has sent, by himself.

use super::*;

/// Of feedback, in an hour.
const FEEDBACK_MAX: u64 = 5;

pub fn contact(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let (reporter, channel) = (m.member.token.clone(), m.channels[0].clone());
    match random.u8(..6) {
        5 => {
            // Two are enough here (`media.deduplication.auto_block_threshold`).
            let hash = format!("{:064x}", m.fresh());
            let name = format!("file {hash}");
            let place = Place::of(&reporter, format!("/media/hash/{hash}/status"), "/is_blocked");
            let body = json!({"hash_value": hash, "reason": "bad"});
            for (who, is_blocked) in [(m.owner.token.clone(), false), (reporter.clone(), true)] {
                let ask = ("POST", "/media/report".into(), &*who, body.clone());
                m.change(line, "HashReportCreate", ask, &[(&name, place.clone(), json!(is_blocked))])?;
            }
            Ok(Value::Null)
        }
        3 => {
            let entry =
                json!({"endpoint": "/users/@me", "method": "GET", "response_time_ms": 5, "status_code": 200});
            let ask = ("POST", "/telemetry/response-times".into(), &*reporter, json!({"entries": [entry]}));
            m.change(line, "TelemetryNote", ask, &[])
        }
        4 => {
            let report = json!({"csp-report": {"violated-directive": "img-src"}});
            line.call("POST", "/telemetry/csp-report", None, Some(&report))?.want(204);
            m.done("CspReportNote");
            Ok(Value::Null)
        }
        0 => {
            let Some(message) = m.pick("message", random) else { return Ok(()) };
            let body = json!({"message_id": message, "channel_id": channel, "reason": "spam"});
            let ask = ("POST", "/reports/messages".into(), &*reporter, body);
            let made = m.change(line, "MessageReportCreate", ask, &[])?;
            desk::wait(m, "message-reports", text(&made["report_id"]));
            Ok(made)
        }
        1 => {
            let body = json!({"user_id": m.owner.id, "reason": "rude"});
            let ask = ("POST", "/reports/users".into(), &*reporter, body);
            let made = m.change(line, "UserReportCreate", ask, &[])?;
            desk::wait(m, "user-reports", text(&made["report_id"]));
            Ok(made)
        }
        _ => {
            let token = [&m.owner, &m.member, &m.guest][random.usize(..3)].token.clone();
            let name = format!("feedback of {token}");
            let count = m.known(&name).as_u64().unwrap_or_default();
            if count == FEEDBACK_MAX {
                return Ok(());
            }
            let place = Place::of(&token, "/feedback/status".into(), "/submissions_today");
            let ask = ("POST", "/feedback".into(), &*token, json!({"content": "It survives kills"}));
            let made = m.change(line, "FeedbackSend", ask, &[(&name, place, json!(count + 1))])?;
            desk::wait(m, "tickets", text(&made["id"]));
            Ok(made)
        }
    }
    .map(drop)
}
