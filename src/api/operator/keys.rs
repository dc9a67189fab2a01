//! The server's keys: listed, and a new one made.
//!
//! No key is ever shown, nor taken away: what was sealed with one, in a backup too, can be read with it alone.

use super::{Place, table};
use crate::api::body::Body;
use crate::domain::Result;
use crate::domain::housekeeping::reseal::{self, Reseal};
use crate::domain::housekeeping::rewrap;
use crate::store::blobs::SHELF_COUNT;

pub async fn list(place: &dyn Place, _: &Body<'_>) -> Result<String> {
    let keys = place.keys().list();
    let newest = keys.len() - 1;
    let is_on = place.config().messaging.encrypt_messages;
    let use_of = |index: usize| match (index == newest, is_on) {
        (true, true) => "in use",
        (true, false) => "in use for secrets; messages are not encrypted (messaging.encrypt_messages)",
        (false, _) => "kept for what was sealed with it",
    };
    let row = |(index, key): (usize, &crate::store::keyring::KeyInfo)| {
        [key.number.to_string(), format!("{:016x}", key.mark), use_of(index).to_string()]
    };
    let rows: Vec<_> = keys.iter().enumerate().map(row).collect();
    let mut text = table(["NUMBER", "MARK", "USE"], &rows, "No keys.");
    let wanted = if is_on { keys[newest].mark } else { 0 };
    let newest = place.keys().newest_of_several();
    let shelf = place.look(|read| Ok(newest.and_then(|mark| rewrap::next_shelf(read, mark))))?;
    if let Some(shelf) = shelf {
        text += &format!("Files are being brought to the newest key: {shelf} of {SHELF_COUNT} shelves.\n");
    }
    // A server that has just started has not begun yet.
    let state = place.look(|read| Ok((reseal::progress(read), reseal::is_due(read, wanted))))?;
    text += &match state {
        (None, false) if shelf.is_some() => String::new(),
        (Some(table), _) => {
            format!("What was written before is being brought to that, table by table: {table}.\n")
        }
        (None, true) => "What was written before is brought to that once the server runs.\n".to_string(),
        (None, false) => "Everything lies as it should.\n".to_string(),
    };
    Ok(text)
}

pub async fn rotate(place: &dyn Place, _: &Body<'_>) -> Result<String> {
    let made = place.rotate().await?;
    let mark = if place.config().messaging.encrypt_messages { made.mark } else { 0 };
    place.submit(Reseal { mark }).await?;
    Ok(format!(
        "Key {} is in use. What was written before follows in the background while the server runs; `plexichat keys \
         list` tells how far it is.\nBack up server.keys now: what is written from here on cannot be read without it.\n",
        made.number
    ))
}

#[cfg(test)]
mod tests {
    use super::super::tests::ask;
    use crate::api::testing::Harness;

    #[test]
    fn a_new_key_is_made_and_what_lies_under_the_former_follows() {
        let harness = Harness::default();
        let list = || ask(&harness, r#"{"do":"keys_list"}"#).unwrap();
        let before = list();
        assert!(before.contains("NUMBER  MARK") && before.contains("in use\n"), "{before}");
        assert!(before.ends_with("once the server runs.\n"), "{before}");
        assert!(ask(&harness, r#"{"do":"keys_rotate"}"#).unwrap().starts_with("Key 2 is in use."));
        let after = list();
        assert_eq!(after.matches("in use\n").count(), 1, "{after}");
        assert!(after.contains("kept for what was sealed with it\n2 "), "{after}");
        assert!(after.contains("newest key: 0 of 256 shelves.\n"), "{after}");
        assert!(after.ends_with("table by table: messages.\n"), "{after}");
    }
}
