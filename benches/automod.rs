//! What it costs to hold the rules of a server against a message.
//!
//! As many rules as a server may have, 200, with 5,000 words: 50 rules with 100 words each, and of those that count, that
//! look for mentions, links, invites and patterns, the rest. Aim: below 50 µs for a message of usual length. `clean` hits
//! nothing, so that every rule is looked at; `odd` is written with letters that only look like others, which is folded
//! before it is searched.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use plexichat::effect::automod::{Mentioned, Rules, Said};
use plexichat::id::{ChannelId, RuleId, ServerId};
use plexichat::limits::RULE_COUNT_MAX;
use plexichat::store::Sync;
use plexichat::store::records::{Automod, AutomodAction, AutomodRule, automod_action, automod_rule as kind};
use plexichat::store::tables::{AUTOMOD_RULES, AUTOMODS};

#[allow(dead_code, reason = "each bench uses its part")]
mod world;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERVER: ServerId = ServerId(7);
const WORD_RULES: usize = 50;
const WORDS_PER_RULE: usize = 100;

/// Kind and configuration of the rule at a place.
fn rule(index: usize) -> (u8, String) {
    if index < WORD_RULES {
        let words = (0..WORDS_PER_RULE).map(|word| format!("\"zq{index}word{word}\""));
        return (kind::KEYWORD, format!("{{\"keywords\":[{}]}}", words.collect::<Vec<_>>().join(",")));
    }
    let plain = |kind: u8| (kind, "{}".to_owned());
    match index % 8 {
        0 => plain(kind::MENTION_SPAM),
        1 => plain(kind::MESSAGE_SPAM),
        2 => plain(kind::INVITE_LINKS),
        3 => plain(kind::MASS_EMOJI),
        4 => plain(kind::CAPS_PERCENTAGE),
        5 => plain(kind::REPEATED_CHARS),
        6 => (kind::EXTERNAL_LINKS, r#"{"mode":"blacklist","blacklist":["bad.example"]}"#.into()),
        // A few: patterns are what may be dear, and have a bound of their own.
        _ if index < WORD_RULES + 40 => (kind::REGEX, r#"{"patterns":["free\\s+nitro"]}"#.into()),
        _ => plain(kind::CAPS_PERCENTAGE),
    }
}

fn rules() -> Rules {
    let (_folder, store) = world::temporary_store(Sync::Interval);
    let mut tx = store.begin().expect("a transaction");
    let count = RULE_COUNT_MAX as u64;
    tx.put(AUTOMODS, SERVER, &Automod { version: 1, count, active: count, ..Automod::default() });
    for index in 0..RULE_COUNT_MAX {
        let (kind, config) = rule(index);
        let action = AutomodAction { kind: automod_action::DELETE_MESSAGE, ..AutomodAction::default() };
        let rule =
            AutomodRule { kind, enabled: true, config, actions: vec![action], ..AutomodRule::default() };
        tx.put(AUTOMOD_RULES, (SERVER, RuleId(index as u64 + 1)), &rule);
    }
    tx.commit().expect("a commit");
    let snapshot = store.snapshot();
    Rules::of(snapshot.read(), SERVER).expect("rules that are on")
}

fn judging(criterion: &mut Criterion) {
    let rules = rules();
    let sentence = "The quick brown fox jumps over the lazy dog and then goes home for tea. ";
    let said = |content: &str| Said {
        channel_id: ChannelId(9),
        is_own: true,
        content: content.to_owned(),
        mentions: Mentioned::default(),
        ..Said::default()
    };
    let mut group = criterion.benchmark_group("automod, 200 rules, 5,000 words");
    for (name, content, hits) in [
        ("clean, 40 B", "good morning everybody, how are you all?".to_owned(), 0),
        ("clean, 144 B", sentence.repeat(2), 0),
        ("clean, 2,016 B", sentence.repeat(28), 0),
        ("odd, 144 B", "Gооd mоrning еvеrybоdy, hоw аrе yоu аll? Grüße aus Köln, wo es regnet.".repeat(2), 0),
        (
            "hit by a word, 144 B",
            format!("{sentence}and it was zq7word42 that it had seen there, of all things."),
            1,
        ),
    ] {
        let said = said(&content);
        assert_eq!(rules.judge(&said).hits.len(), hits, "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| rules.judge(black_box(&said)).hits.len()));
    }
    group.finish();
}

criterion_group! { name = benches; config = world::config(); targets = judging }
criterion_main!(benches);
