//! What must hold between options, checked after all of them are read.

use super::load::Loaded;
use super::options::Config;

/// A relation: the keys it speaks of, whether it holds, and the sentence when it does not.
struct Relation {
    keys: &'static [&'static str],
    holds: fn(&Config) -> bool,
    message: &'static str,
}

/// Paths that are not below `api.api_prefix`.
const TAKEN: [&str; 9] = [
    "/gateway",
    "/health",
    "/health/live",
    "/health/ready",
    "/docs",
    "/docs/assets",
    "/redoc",
    "/openapi.json",
    "/asyncapi.json",
];

/// Each is a file of its own beside every picture.
const THUMBNAIL_COUNT_MAX: usize = 8;

/// Where Microsoft lets in people of all tenants.
const OPEN_TENANTS: [&str; 3] = ["/common/", "/organizations/", "/consumers/"];

const RELATIONS: &[Relation] = &[
    Relation {
        keys: &["authentication.accounts.username_min_length", "authentication.accounts.username_max_length"],
        holds: |c| {
            c.authentication_accounts.username_min_length <= c.authentication_accounts.username_max_length
        },
        message: "the minimum is above the maximum",
    },
    Relation {
        keys: &["servers.server_name_min_length", "servers.server_name_max_length"],
        holds: |c| c.servers.server_name_min_length <= c.servers.server_name_max_length,
        message: "the minimum is above the maximum",
    },
    Relation {
        keys: &["authentication.password.min_length", "authentication.password.max_length"],
        holds: |c| c.authentication_password.min_length <= c.authentication_password.max_length,
        message: "the minimum is above the maximum",
    },
    // RFC 9106 §3.1: at least 8 blocks of 1 KiB for each lane.
    Relation {
        keys: &["encryption.argon2.memory_kib", "encryption.argon2.parallelism"],
        holds: |c| c.encryption_argon2.memory_kib >= 8 * c.encryption_argon2.parallelism,
        message: "Argon2 needs 8 KiB for each lane",
    },
    // The longest JSON spelling of one character is a surrogate pair: \uXXXX\uXXXX, 12 bytes.
    Relation {
        keys: &["messaging.max_message_length", "api.max_body_size"],
        holds: |c| c.messaging.max_message_length * 12 < c.api.max_body_size,
        message: "a message of that length, 12 bytes a character, does not fit into a body",
    },
    Relation {
        keys: &["websocket.heartbeat_timeout_ms", "websocket.heartbeat_interval_ms"],
        holds: |c| {
            c.websocket.heartbeat_timeout_ms == 0
                || c.websocket.heartbeat_timeout_ms > c.websocket.heartbeat_interval_ms
        },
        message: "the timeout must be longer than the interval, or 0",
    },
    Relation {
        keys: &["websocket.max_message_size", "websocket.max_decompressed_size"],
        holds: |c| c.websocket.max_message_size <= c.websocket.max_decompressed_size,
        message: "a message may not be larger compressed than inflated",
    },
    Relation {
        keys: &[
            "media.storage_backend",
            "media.s3.endpoint",
            "media.s3.bucket",
            "media.s3.access_key",
            "media.s3.secret_key",
        ],
        holds: |c| {
            let s3 = &c.media_s3;
            let needed = [&s3.endpoint, &s3.bucket, &s3.access_key, &s3.secret_key];
            c.media.storage_backend != "s3" || needed.iter().all(|text| !text.is_empty())
        },
        message: "object storage needs an endpoint, a bucket, an access key and its secret",
    },
    Relation {
        keys: &["media.thumbnail_sizes"],
        holds: |c| c.media.thumbnail_sizes.len() <= THUMBNAIL_COUNT_MAX,
        message: "there can be eight sizes",
    },
    Relation {
        keys: &["metrics.port", "server.port"],
        holds: |c| c.metrics_address().is_none() || c.metrics.port != c.server.port,
        message: "both ports are the same",
    },
    Relation {
        keys: &["metrics.host", "metrics.allow_public"],
        holds: |c| {
            c.metrics.allow_public || c.metrics_address().is_none_or(|address| address.ip().is_loopback())
        },
        message: "others could read /metrics, which has no password: set metrics.allow_public = true if that is wanted",
    },
    // Whoever runs a directory of Microsoft's may type any address into it, and anybody may run one.
    Relation {
        keys: &["oauth.microsoft.trust_email", "oauth.microsoft.auth_url", "oauth.microsoft.token_url"],
        holds: |c| {
            let urls = [&c.oauth_microsoft.auth_url, &c.oauth_microsoft.token_url];
            let is_of_one = |url: &&String| {
                let url = url.to_ascii_lowercase();
                OPEN_TENANTS.iter().all(|tenant| !url.contains(tenant))
            };
            !c.oauth_microsoft.trust_email || urls.iter().all(is_of_one)
        },
        message: "anybody may have a tenant in which he claims any address: put the id of yours into both addresses",
    },
    Relation {
        keys: &["api.api_prefix"],
        holds: |c| !TAKEN.contains(&c.api.api_prefix.as_str()),
        message: "this path is taken",
    },
    Relation {
        keys: &["docs.path", "api.api_prefix", "admin_ui.path"],
        holds: |c| {
            let (path, prefix) = (c.docs.path.as_str(), c.api.api_prefix.as_str());
            let within = |one: &str, other: &str| format!("{one}/").starts_with(&format!("{other}/"));
            let others = ["/docs/assets", prefix, &c.admin_ui.path];
            let is_free = |other: &&str| !within(path, other) && !within(other, path);
            !TAKEN.contains(&path) && others.iter().all(is_free)
        },
        message: "this path is taken",
    },
    Relation {
        keys: &["api.trust_x_forwarded_for", "api.trusted_proxies"],
        holds: |c| !c.api.trust_x_forwarded_for || !c.api.trusted_proxies.is_empty(),
        message: "name the proxies whose header is to be trusted",
    },
];

/// One line for each relation that does not hold, with the values and who set them.
pub fn problems(loaded: &Loaded) -> Vec<String> {
    let broken = RELATIONS.iter().filter(|relation| !(relation.holds)(&loaded.config));
    broken.map(|relation| describe(relation, loaded)).collect()
}

fn describe(relation: &Relation, loaded: &Loaded) -> String {
    let shown: Vec<String> = relation
        .keys
        .iter()
        .map(|key| {
            let row = super::OptionRow::find(key).expect("a test looks up every key");
            format!("{key} = {} ({})", row.shown(&loaded.config), loaded.source_of(key))
        })
        .collect();
    format!("{}: {}", shown.join(", "), relation.message)
}

#[cfg(test)]
mod tests {
    use super::super::{Inputs, OptionRow, load};
    use super::*;

    fn check(settings: &[(&str, &str)], want: &[&str]) {
        let flags =
            settings.iter().map(|(key, value)| ("-".into(), (*key).into(), (*value).into())).collect();
        let inputs = Inputs { home: Some("/nowhere".into()), flags, ..Inputs::default() };
        let got = load(&inputs).map_or_else(|problems| problems.0, |_| Vec::new());
        assert_eq!(got, want);
    }

    #[test]
    fn keys_exist_and_defaults_hold() {
        for relation in RELATIONS {
            assert!(relation.keys.iter().all(|key| OptionRow::find(key).is_some()), "{:?}", relation.keys);
            assert!((relation.holds)(&Config::default()), "{:?}", relation.keys);
        }
    }

    #[test]
    fn broken_relations_are_told_with_their_sources() {
        check(
            &[("authentication.password.min_length", "200")],
            &[
                "authentication.password.min_length = 200 (flag -), authentication.password.max_length = 128 (default): \
             the minimum is above the maximum",
            ],
        );
        check(
            &[("metrics.host", "0.0.0.0")],
            &[
                "metrics.host = \"0.0.0.0\" (flag -), metrics.allow_public = false (default): others could read /metrics, \
             which has no password: set metrics.allow_public = true if that is wanted",
            ],
        );
        check(&[("metrics.host", "0.0.0.0"), ("metrics.allow_public", "true")], &[]);
        check(&[("metrics.host", "0.0.0.0"), ("metrics.port", "0")], &[]);
        check(
            &[("api.trust_x_forwarded_for", "true"), ("websocket.heartbeat_timeout_ms", "45000")],
            &[
                "websocket.heartbeat_timeout_ms = 45000 (flag -), websocket.heartbeat_interval_ms = 45000 (default): \
             the timeout must be longer than the interval, or 0",
                "api.trust_x_forwarded_for = true (flag -), api.trusted_proxies = [] (default): \
             name the proxies whose header is to be trusted",
            ],
        );
    }
}
