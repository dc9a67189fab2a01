//! Which stickers fit to a text.

use std::cmp::Reverse;

use crate::domain::Asking;
use crate::domain::community::server;
use crate::domain::expression::sticker::{self, StickerResponse};
use crate::id::{ServerId, StickerId};
use crate::limits::{SERVER_COUNT_MAX, STICKERS_LOOKED_AT_MAX};
use crate::store::records::ArchivedSticker;
use crate::wire::json::Array;

/// How well a tag or the name fits, when it is what somebody says, and when he may be about to say it.
const TAG: u32 = 4;
const NAME: u32 = 3;
const BEGINNING: u32 = 1;
/// Characters of what may be the beginning of a word.
const BEGINNING_LEN_MIN: usize = 3;

/// A text as it is compared: in lower case, words with one blank between them and around them.
struct Said {
    text: String,
    /// What is being typed.
    last: String,
}

impl Said {
    fn new(text: &str) -> Said {
        let text = text.to_lowercase();
        let words: Vec<&str> =
            text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        Said { text: format!(" {} ", words.join(" ")), last: words.last().unwrap_or(&"").to_string() }
    }

    /// How often `whole` is worth it that this is said, in whole words, or is begun.
    fn fits(&self, phrase: &str, whole: u32) -> u32 {
        let phrase = Said::new(phrase).text;
        if phrase.len() > 2 && self.text.contains(&phrase) {
            return whole;
        }
        let is_begun = self.last.chars().count() >= BEGINNING_LEN_MIN && phrase[1..].starts_with(&self.last);
        if is_begun { BEGINNING } else { 0 }
    }

    fn score(&self, sticker: &ArchivedSticker) -> u32 {
        let tags = sticker.tags.iter().map(|tag| self.fits(tag, TAG));
        tags.sum::<u32>() + self.fits(&sticker.name, NAME)
    }
}

/// Score and uses of a sticker, greatest first, and which it is.
type Found = (Reverse<(u32, u64)>, StickerId, ServerId);

/// Appends a JSON list of stickers that fit to a text, the best first, then those that are used most: of the servers of
/// the asking user, or of one of them.
pub fn write(out: &mut Vec<u8>, asking: Asking<'_>, text: &str, only: Option<ServerId>, count_max: usize) {
    let (said, read) = (Said::new(text), asking.read);
    let servers = server::ids_of(read, asking.who).take(SERVER_COUNT_MAX);
    let servers = servers.filter(|server_id| only.is_none_or(|only| only == *server_id));
    let stickers = servers.flat_map(|id| sticker::all(read, id).map(move |found| (id, found)));
    let mut best: Vec<Found> = Vec::new();
    for (server_id, (id, found)) in stickers.take(STICKERS_LOOKED_AT_MAX) {
        let score = said.score(found);
        if score > 0 {
            best.push((Reverse((score, found.uses.to_native())), id, server_id));
        }
    }
    best.sort_unstable();
    let mut list = Array::new(out);
    for (_, id, server_id) in best.into_iter().take(count_max) {
        if let Some((_, found)) = sticker::find(read, id) {
            StickerResponse::write(list.item(), read, server_id, id, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_fit_in_whole_words() {
        let check = |text: &str, phrase: &str, want: u32| {
            assert_eq!(Said::new(text).fits(phrase, TAG), want, "{text:?} {phrase:?}");
        };
        check("Hello, world!", "hello", TAG);
        check("HELLO", "Hello", TAG);
        check("good   morning all", "good morning", TAG);
        check("othello", "hello", 0);
        check("grüße", "GRÜSSE", 0);
        check("GRÜẞE", "grüße", TAG);
        check("I say hel", "hello", BEGINNING);
        check("hel lo", "hello", 0);
        check("he", "hello", 0);
        check("", "hello", 0);
        check("hello", "", 0);
        check("hello", "!?", 0);
    }
}
