//! Tables in pages, from the tables that the code goes by.

use std::fmt::Write as _;

use super::events::EVENTS;
use super::markdown::slug;
use super::{options, schema, words};
use crate::api::limiter::{KeyKind, RuleId};
use crate::api::routes::{Auth, ROUTES, Route};
use crate::config::{BucketSpec, Config, OptionRow};
use crate::domain::error::REFUSALS;
use crate::domain::identity::right::{Kind, Right};
use crate::domain::identity::tier::limits;
use crate::domain::permission::{self, EVERYONE_DEFAULT, OVERRIDABLE};
use crate::domain::{EventName, intent};
use crate::gateway::protocol::{CLOSES, Data, OPS, When};
use crate::store::records::tier;

/// A table by its name in pages.
pub fn table(name: &str, config: &Config) -> Option<String> {
    Some(match name {
        "opcodes" => opcodes(),
        "closes" => closes(),
        "intents" => intents(),
        "events" => events(),
        "payloads" => payloads(),
        "permissions" => permissions(),
        "rights" => rights(),
        "errors" => errors(),
        "buckets" => buckets(config),
        "tiers" => tiers(),
        "limits" => options::limits_table(),
        "options" => options::options_table(),
        "objects" => schema::all_shapes(),
        "bodies" => schema::all_forms(config),
        _ => return None,
    })
}

/// The operations of a group.
pub fn routes(group: &str, config: &Config) -> Option<String> {
    let rows: Vec<&Route> = ROUTES.iter().filter(|route| route.group == group).collect();
    if rows.is_empty() {
        return None;
    }
    let mut out = String::from("| operation | what it does | who |\n|---|---|---|\n");
    for route in rows {
        let prefix = if route.root { "" } else { &config.api.api_prefix };
        let who = match route.auth {
            Auth::Public => "anybody",
            Auth::User | Auth::Restricted | Auth::Media => "accounts",
            Auth::Person => "people, no bots",
            Auth::Webhook => "who has the token",
            Auth::Admin => "administrators",
        };
        let method = route.method.as_str();
        line(&mut out, &[&format!("`{method} {prefix}{}`", route.path), route.doc.trim(), who]);
    }
    Some(out)
}

fn line(out: &mut String, cells: &[&str]) {
    for cell in cells {
        let _ = write!(out, "| {} ", cell.replace('|', "\\|").replace('\n', " "));
    }
    out.push_str("|\n");
}

fn opcodes() -> String {
    let mut out = String::from("| op | name | from | what for | `d` |\n|--:|---|---|---|---|\n");
    for op in OPS {
        let (about, data) = words::of_op(op.name);
        let from = match (&op.taken, op.name) {
            (None, _) => "server",
            (Some(_), "VERSION_CHECK") => "both",
            (Some(taken), _) if taken.when == When::InSession => "you, in a session",
            (Some(_), _) => "you",
        };
        let needs = op.taken.as_ref().is_some_and(|taken| taken.data == Data::Object);
        let data = format!("{data}{}", if needs { "; an object is required" } else { "" });
        line(&mut out, &[&op.code.to_string(), op.name, from, about, &data]);
    }
    out
}

fn closes() -> String {
    let mut out = String::from("| code | reason | when | what to do |\n|--:|---|---|---|\n");
    for (name, close) in CLOSES {
        let (when, then) = words::of_close(name);
        line(&mut out, &[&close.code.to_string(), close.reason, when, then]);
    }
    out
}

fn intents() -> String {
    let mut out = String::from("| bit | value | intent | default | events |\n|--:|--:|---|---|---|\n");
    for (name, bit) in words::INTENTS {
        let is_gate = |row: &&super::events::EventRow| row.in_server == *bit || row.in_private == *bit;
        let events: Vec<&str> = EVENTS.iter().filter(is_gate).map(|row| row.name.text()).collect();
        let events = match *bit {
            intent::MESSAGE_CONTENT => "none of its own: what is in messages, for bots".to_string(),
            _ if events.is_empty() => "none yet".to_string(),
            _ => events.join(", "),
        };
        let default = if intent::DEFAULT & bit == 0 { "off" } else { "on" };
        line(&mut out, &[&bit.trailing_zeros().to_string(), &bit.to_string(), name, default, &events]);
    }
    out
}

fn gate(row: &super::events::EventRow) -> String {
    match (row.intents().join(" or "), row.in_server, row.in_private) {
        (_, 0, 0) => "none needed".into(),
        (names, _, 0) => format!("{names}; none needed in private channels"),
        (names, ..) => names,
    }
}

fn events() -> String {
    let mut out = String::from("| event | comes when | intent |\n|---|---|---|\n");
    for row in EVENTS {
        let name = row.name.text();
        line(&mut out, &[&format!("[{name}](#{})", slug(name)), row.when, &gate(row)]);
    }
    out
}

fn payloads() -> String {
    let mut out = String::new();
    for row in EVENTS {
        let name = row.name.text();
        let _ =
            write!(out, "### {name}\n\nComes when {}. To: {}. Intent: {}.\n\n", row.when, row.who, gate(row));
        if row.name == EventName::Resumed {
            out.push_str("Its `s` is the number that you gave, and `d` is empty.\n\n");
            continue;
        }
        for (index, shape) in row.data.iter().enumerate() {
            let or = if index > 0 { "Or: " } else { "" };
            let _ = write!(out, "{or}{}\n\n{}\n", shape.doc.trim(), schema::fields_of(shape));
        }
    }
    out
}

fn permissions() -> String {
    let mut out =
        String::from("| permission | lets you | everybody at first | in a channel |\n|---|---|---|---|\n");
    for (bit, name) in permission::NAMES.iter().enumerate() {
        let lets = words::of_permission(name);
        let yes = |set: u64| if set >> bit & 1 == 1 { "yes" } else { "no" };
        line(&mut out, &[&format!("`{name}`"), lets, yes(EVERYONE_DEFAULT), yes(OVERRIDABLE)]);
    }
    out
}

fn rights() -> String {
    let mut out = String::from("| right | people | bots |\n|---|---|---|\n");
    for right in Right::ALL {
        let has = |kind: Kind| if kind.require(*right).is_ok() { "yes" } else { "no" };
        line(&mut out, &[&format!("`{}`", right.name()), has(Kind::Person), has(Kind::Bot)]);
    }
    out
}

fn errors() -> String {
    let mut rows: Vec<(u16, &str)> =
        REFUSALS.iter().map(|(_, status, message)| (*status, *message)).collect();
    rows.sort_by_key(|(status, _)| *status);
    let mut out = String::from("| status | message |\n|--:|---|\n");
    rows.iter().for_each(|(status, message)| line(&mut out, &[&status.to_string(), message]));
    out
}

fn buckets(config: &Config) -> String {
    if !config.rate_limiting.enabled {
        return "This server has its rate limits switched off.\n".into();
    }
    let mut out = String::from("| bucket | requests | counted by | bots | id |\n|---|---|---|---|---|\n");
    for id in RuleId::ALL {
        let rule = id.rule();
        let key = format!("rate_limiting.buckets.{}", rule.name);
        let row = OptionRow::find(&key).or_else(|| OptionRow::find(&format!("rate_limiting.{}", rule.name)));
        let what = row.map_or(rule.name, |row| row.help);
        let by = match rule.key {
            KeyKind::Principal => "account, else address",
            KeyKind::Ip => "address",
            KeyKind::User => "account",
            KeyKind::UserChannel => "account and channel",
            KeyKind::UserRoute => "account or address, and operation",
            KeyKind::Webhook => "webhook",
            KeyKind::WebhookChannel => "channel of the webhook",
        };
        let bots = if rule.bot {
            format!("{} %", config.rate_limiting.bot_multiplier_percent)
        } else {
            "100 %".into()
        };
        let id = format!("`{:016x}`", id.bucket_hash());
        line(&mut out, &[what, &spec_text((rule.spec)(config)), by, &bots, &id]);
    }
    out
}

/// A bucket in words.
fn spec_text(spec: &BucketSpec) -> String {
    if spec.is_off() {
        return "not limited".into();
    }
    spec.to_string()
}

fn tiers() -> String {
    let tiers = tier::WORDS.iter().filter_map(|word| tier::code(word).map(|code| (*word, limits(code))));
    let tiers: Vec<_> = tiers.collect();
    let mut out = String::from("| at most |");
    tiers.iter().for_each(|(word, _)| out.push_str(&format!(" {word} |")));
    out.push_str("\n|---|");
    tiers.iter().for_each(|_| out.push_str("--:|"));
    out.push('\n');
    type Pick = fn(&crate::domain::identity::tier::Limits) -> Option<u64>;
    let rows: [(&str, Pick); 8] = [
        ("factor of rate limits by account", |limits| Some(limits.multiplier)),
        ("characters of a message", |limits| limits.message_len_max),
        ("MiB of a file", |limits| limits.file_size_mb_max),
        ("uploads a day", |limits| limits.uploads_per_day_max),
        ("servers", |limits| limits.servers_max),
        ("different reactions of a message", |limits| limits.reactions_per_message_max),
        ("pinned messages of a channel", |limits| limits.pins_per_channel_max),
        ("emojis of an own server", |limits| limits.emoji_slots_max),
    ];
    for (name, pick) in rows {
        let values =
            tiers.iter().map(|(_, limits)| pick(limits).map_or("no limit".into(), |value| value.to_string()));
        let cells: Vec<String> = std::iter::once(name.to_string()).chain(values).collect();
        line(&mut out, &cells.iter().map(String::as_str).collect::<Vec<_>>());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_a_row_for_each_entry() {
        let config = Config::default();
        let check = |name: &str, want: usize| {
            let text = table(name, &config).unwrap();
            let rows = text.lines().filter(|line| line.starts_with('|')).count();
            assert_eq!(rows, want + 2, "{name}: {text}");
            let columns = text.lines().next().unwrap().matches('|').count();
            let ragged = text.lines().find(|line| line.replace("\\|", "").matches('|').count() != columns);
            assert_eq!(ragged, None, "{name}");
        };
        check("opcodes", OPS.len());
        check("closes", CLOSES.len());
        check("intents", 16);
        check("events", EventName::ALL.len());
        check("permissions", permission::NAMES.len());
        check("errors", REFUSALS.len());
        check("buckets", RuleId::ALL.len());
        check("tiers", 8);
        assert!(table("payloads", &config).unwrap().contains("### TYPING_START\n"));
        assert!(table("nothing", &config).is_none());
    }

    #[test]
    fn what_is_switched_off_is_told() {
        let mut config = Config::default();
        assert!(table("buckets", &config).unwrap().contains("5/60s fixed; 20/h"));
        config.rate_limiting_buckets.auth_login = BucketSpec::OFF;
        assert!(table("buckets", &config).unwrap().contains("not limited"));
        config.rate_limiting.enabled = false;
        assert!(table("buckets", &config).unwrap().contains("switched off"));
    }

    #[test]
    fn operations_by_group() {
        let text = routes("messages", &Config::default()).unwrap();
        assert!(text.contains("`POST /api/v1/channels/{channel_id}/messages`"), "{text}");
        assert!(routes("nothing", &Config::default()).is_none());
    }
}
