//! Values in pages: `{{kind:name}}` in the Markdown, from the tables of the code and the configuration.

use super::{options, schema, tables};
use crate::config::{API_LEVEL, Config, OptionRow};

/// A page with its values.
///
/// # Errors
/// Which placeholder stands for nothing.
pub fn filled(text: &str, config: &Config) -> Result<String, String> {
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or_else(|| format!("{{{{{after:.40} has no end"))?;
        out.push_str(before);
        out.push_str(&value(name, config).ok_or_else(|| format!("{{{{{name}}}}} stands for nothing"))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(match config.api.api_prefix.as_str() {
        "/api/v1" => out,
        other => out.replace("/api/v1", other),
    })
}

fn value(name: &str, config: &Config) -> Option<String> {
    let Some((kind, name)) = name.split_once(':') else {
        return Some(match name {
            "name" => config.application.name.replace(['|', '<', '>', '`', '*', '_', '['], " "),
            "version" => config.application.version.clone(),
            "level" => API_LEVEL.into(),
            "base" => base(config),
            "gateway" if !config.websocket.public_url.is_empty() => config.websocket.public_url.clone(),
            "gateway" => format!("{}/gateway", base(config).replacen("http", "ws", 1)),
            _ => return None,
        });
    };
    match kind {
        "option" => option(name, config),
        "seconds" => option(name, config)?.parse::<u64>().ok().map(seconds),
        "limit" => options::limit(name).map(|limit| limit.to_string()),
        "table" => tables::table(name, config),
        "routes" => tables::routes(name, config),
        "shape" => schema::shape(name),
        "form" => schema::form(name, config),
        "client" => client(name),
        _ => None,
    }
}

/// A small client, word for word as it is run by the tests.
fn client(name: &str) -> Option<String> {
    let text = match name {
        "client.py" => include_str!("../../tests/clients/client.py"),
        "client.js" => include_str!("../../tests/clients/client.js"),
        "client.html" => include_str!("../../tests/clients/client.html"),
        "client.sh" => include_str!("../../tests/clients/client.sh"),
        _ => return None,
    };
    Some(text.trim_end().to_string())
}

/// Where the server says that it is, else where it listens.
pub fn base(config: &Config) -> String {
    if !config.api.public_url.is_empty() {
        return config.api.public_url.trim_end_matches('/').to_string();
    }
    let host = match config.server.host.as_str() {
        "0.0.0.0" | "::" => "127.0.0.1",
        host => host,
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_string() };
    format!("http://{host}:{}", config.server.port)
}

/// A value in force, as people write it.
fn option(key: &str, config: &Config) -> Option<String> {
    let row = OptionRow::find(key).filter(|row| !row.rule.is_secret())?;
    Some(options::readable(row, config))
}

fn seconds(ms: u64) -> String {
    match ms % 1_000 {
        0 => format!("{} s", ms / 1_000),
        _ => format!("{ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        let got = filled(text, &Config::default()).unwrap_or_else(|wrong| wrong);
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn values() {
        check("up to {{option:servers.server_name_max_length}} of them", "up to 100 of them");
        check("{{seconds:websocket.heartbeat_interval_ms}}", "45 s");
        check("{{option:avatars.max_file_size}}", "5 MiB");
        check("{{option:api.timestamp_unit}}, {{level}}", "s, a.1.0-49");
        check("{{base}} {{gateway}}", "http://127.0.0.1:8000 ws://127.0.0.1:8000/gateway");
        check("{\"d\":{\"a\":{}}}", "{\"d\":{\"a\":{}}}");
    }

    #[test]
    fn what_stands_for_nothing_is_told() {
        check("{{limit:never_heard_of}}", "{{limit:never_heard_of}} stands for nothing");
        check("{{table:x}}", "{{table:x}} stands for nothing");
        check(
            "{{option:rate_limiting.bypass_secret}}",
            "{{option:rate_limiting.bypass_secret}} stands for nothing",
        );
        check("{{what}}", "{{what}} stands for nothing");
        check("{{what", "{{what has no end");
    }

    #[test]
    fn another_prefix_and_address() {
        let mut config = Config::default();
        config.api.api_prefix = "/v9".into();
        config.server.host = "::".into();
        assert_eq!(filled("GET /api/v1/users", &config).unwrap(), "GET /v9/users");
        assert_eq!(base(&config), "http://127.0.0.1:8000");
        config.api.public_url = "https://chat.example.org/".into();
        assert_eq!(filled("{{gateway}}", &config).unwrap(), "wss://chat.example.org/gateway");
    }
}
