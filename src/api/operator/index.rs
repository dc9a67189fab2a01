//! The index of messages: made anew out of the store.

use super::Place;
use crate::api::body::Body;
use crate::domain::{Error, Result};

/// Has it made anew; what is said tells how.
///
/// # Errors
/// 503 where search is switched off, or the index cannot be written.
pub async fn renew(place: &dyn Place, _: &Body<'_>) -> Result<String> {
    if !place.config().search.enabled {
        return Err(Error::new(503, "Search is switched off (search.enabled), so there is no index"));
    }
    place.renew_index()
}

/// What is said while a server makes it.
pub fn begun(message_count: u64) -> String {
    format!(
        "The index of {message_count} messages is made anew beside the server's work; its log and \
         plexichat_search_left tell how far it is. Until then searches read the store where it is missing.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::ask;
    use crate::api::testing::Harness;
    use crate::config::{Config, Search};

    #[test]
    fn an_index_is_asked_for() {
        let said = ask(&Harness::default(), r#"{"do":"reindex"}"#).unwrap();
        assert!(said.starts_with("The index of 0 messages is made anew"), "{said}");
        let search = Search { enabled: false, ..Search::default() };
        let off = Harness::with_config(Config { search, ..Config::default() });
        assert!(ask(&off, r#"{"do":"reindex"}"#).unwrap_err().contains("switched off"));
    }
}
