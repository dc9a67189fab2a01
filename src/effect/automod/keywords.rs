//! The words of all rules of a server, found in one pass over a text.

use std::cell::OnceCell;

use aho_corasick::{AhoCorasick, MatchKind};
use unicode_segmentation::UnicodeSegmentation;

use crate::text::fold::{Case, figures_as_letters, fold, spelled_apart};

/// A word that a rule looks for.
pub struct Word {
    /// The place of the rule among those of the server.
    pub rule: usize,
    pub text: String,
    pub severity: u8,
    pub whole_word: bool,
    pub case_sensitive: bool,
}

/// Automata over the words as they read: with capitals as small letters, and as they are.
#[derive(Default)]
pub struct Keywords {
    folded: Option<Automaton>,
    kept: Option<Automaton>,
}

struct Automaton {
    words: AhoCorasick,
    /// Of each of them.
    meant: Vec<Word>,
}

/// The worst word of each rule that was found, by the place of the rule.
pub type Found<'k> = Vec<Option<&'k Word>>;

impl Keywords {
    /// # Errors
    /// When there is a word with nothing to see in it, or more of them than an automaton takes.
    pub fn build(words: Vec<Word>) -> Result<Keywords, String> {
        let (kept, folded) = words.into_iter().partition(|word| word.case_sensitive);
        Ok(Keywords {
            folded: Automaton::build(folded, Case::Folded)?,
            kept: Automaton::build(kept, Case::Kept)?,
        })
    }

    /// Bytes that they take.
    pub fn len(&self) -> usize {
        let automata = self.folded.iter().chain(&self.kept);
        automata
            .map(|automaton| automaton.words.memory_usage() + automaton.meant.len() * size_of::<Word>())
            .sum()
    }

    /// Looks for all words in a text.
    pub fn search<'k>(&'k self, text: &str, found: &mut Found<'k>) {
        if let Some(automaton) = &self.kept {
            automaton.search(&fold(text, Case::Kept), found);
        }
        if let Some(automaton) = &self.folded {
            let text = fold(text, Case::Folded);
            automaton.search(&text, found);
            for other in [figures_as_letters(&text), spelled_apart(&text)].into_iter().flatten() {
                automaton.search(&other, found);
            }
        }
    }
}

impl Automaton {
    fn build(words: Vec<Word>, case: Case) -> Result<Option<Automaton>, String> {
        if words.is_empty() {
            return Ok(None);
        }
        let folded: Vec<String> = words.iter().map(|word| fold(&word.text, case)).collect();
        if let Some(blank) = folded.iter().position(|word| word.trim().is_empty()) {
            return Err(format!("keywords: nothing is to be seen of {:?}", words[blank].text));
        }
        let automaton = AhoCorasick::builder().match_kind(MatchKind::Standard).build(&folded);
        let automaton = automaton.map_err(|_| "keywords: there are too many".to_string())?;
        Ok(Some(Automaton { words: automaton, meant: words }))
    }

    fn search<'k>(&'k self, text: &str, found: &mut Found<'k>) {
        let bounds = Bounds { text, ends: OnceCell::new() };
        for hit in self.words.find_overlapping_iter(text) {
            let word = &self.meant[hit.pattern().as_usize()];
            let is_worse = found[word.rule].is_none_or(|known| known.severity < word.severity);
            if is_worse && (!word.whole_word || bounds.is_whole(hit.start(), hit.end())) {
                found[word.rule] = Some(word);
            }
        }
    }
}

/// Where words of a text begin and end, looked up when first asked (UAX #29).
struct Bounds<'t> {
    text: &'t str,
    ends: OnceCell<Vec<usize>>,
}

impl Bounds<'_> {
    fn is_whole(&self, start: usize, end: usize) -> bool {
        let ends = self.ends.get_or_init(|| {
            let starts = self.text.split_word_bound_indices().map(|(at, _)| at);
            starts.chain([self.text.len()]).collect()
        });
        let is_bound = |at: usize| ends.binary_search(&at).is_ok();
        is_bound(start) && is_bound(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::records::severity;

    fn word(rule: usize, text: &str) -> Word {
        Word { rule, text: text.into(), severity: severity::MEDIUM, whole_word: true, case_sensitive: false }
    }

    fn found(words: Vec<Word>, text: &str) -> Vec<Option<String>> {
        let count = words.iter().map(|word| word.rule + 1).max().unwrap_or(0);
        let keywords = Keywords::build(words).unwrap();
        let mut found = vec![None; count];
        keywords.search(text, &mut found);
        found.into_iter().map(|word| word.map(|word| word.text.clone())).collect()
    }

    fn hits(keyword: &str, text: &str) -> bool {
        found(vec![word(0, keyword)], text)[0].is_some()
    }

    #[test]
    fn however_it_is_spelled() {
        for text in [
            "a BADGER!",
            "badger",
            "(badger)",
            "the badger, of course",
            "b\u{200b}adger",
            "ｂａｄｇｅｒ",
            "bаdgеr",
            "b4dg3r",
            "b@dger",
            "b a d g e r",
            "you b.a.d.g.e.r",
            "b\u{336}a\u{336}d\u{336}g\u{336}e\u{336}r\u{336}",
            "🅱🅰🅳🅶🅴🆁",
            "bad\u{ad}ger",
        ] {
            assert!(hits("badger", text), "{text:?}");
            assert!(hits("Badger", text), "{text:?}");
        }
        for text in ["badgers are fine", "badge r", "honeybadger", "bad ger", "", "badger_x", "b d g r"] {
            assert!(!hits("badger", text), "{text:?}");
        }
    }

    /// Ordinary sentences, none of which has any of the words in it.
    #[test]
    fn clean_texts_are_left_alone() {
        let words =
            ["ass", "cock", "tit", "sex", "cum", "anal", "nazi", "hell", "fag", "shit", "ano", "slut", "lol"];
        for text in [
            "Scunthorpe, Penistone and Clitheroe: the classic assassination of a cocktail in Essex",
            "A circumspect analyst from Sussex bought a hello titmouse document; 101 and 100 are numbers",
            "Der Kandidat aus Schleswig hat die Klausur bestanden, die Straße war naß",
            "Feliz año nuevo, el analista cumple años en Cantabria",
            "L'assassin habite à Assas, c'est un cumulus de titres",
            "Слово не воробей: вылетит — не поймаешь, асессор и касса",
            "Η ανάλυση του κειμένου είναι δύσκολη",
            "日本語の文章と漢字、中文句子也没有问题",
            "هذه جملة عربية بسيطة ولا شيء فيها",
            "यह एक सामान्य वाक्य है",
            "Tiếng Việt có nhiều dấu và thanh điệu",
            "ภาษาไทยไม่มีช่องว่าง",
        ] {
            let words = words.iter().map(|text| word(0, text)).collect();
            assert_eq!(found(words, text), [None], "{text}");
        }
    }

    #[test]
    fn parts_of_words_and_exact_case() {
        let cat = || Word { whole_word: false, case_sensitive: true, ..word(0, "Cat") };
        assert!(found(vec![cat()], "Catalogue")[0].is_some());
        assert!(found(vec![cat()], "catalogue")[0].is_none());
        assert!(found(vec![cat()], "conCatenate")[0].is_some());
        let part = || Word { whole_word: false, ..word(0, "cat") };
        assert!(found(vec![part()], "conCATenate")[0].is_some());
        assert!(hits("c++", "I like C++ a lot") && !hits("c++", "c+"));
        assert!(hits("bad word", "a Bad  word".replace("  ", " ").as_str()));
        assert!(hits("日本", "日本語"), "each ideograph is a word");
        assert!(hits("101", "room 101") && !hits("lol", "room 101"));
    }

    #[test]
    fn the_worst_word_of_each_rule_is_named() {
        let words = vec![
            word(0, "tea"),
            Word { severity: severity::CRITICAL, ..word(0, "coffee") },
            word(2, "tea"),
            word(1, "milk"),
        ];
        let want = [Some("coffee".to_string()), None, Some("tea".to_string())];
        assert_eq!(found(words, "tea or coffee"), want);
        let blank = Keywords::build(vec![word(0, "\u{200b}")]).err().unwrap();
        assert!(blank.contains("nothing is to be seen"), "{blank}");
    }
}
