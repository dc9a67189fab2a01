//! The rules that a new server has, where the operator wants some.

use crate::config;
use crate::domain::moderation::rule::{LooksFor, NewRule};
use crate::store::records::{AutomodAction, automod_action, automod_rule};
use crate::wire::json::Object;

/// Names for people by what they are, said to despise them.
const SLURS: &[&str] = &[
    "nigger",
    "niggers",
    "nigga",
    "kike",
    "kikes",
    "chink",
    "chinks",
    "gook",
    "gooks",
    "spic",
    "spics",
    "wetback",
    "wetbacks",
    "raghead",
    "ragheads",
    "towelhead",
    "towelheads",
    "sandnigger",
    "coon",
    "coons",
    "paki",
    "pakis",
];

/// The same for whom they love, or how they are made.
const INSULTS: &[&str] = &[
    "faggot",
    "faggots",
    "fag",
    "fags",
    "dyke",
    "dykes",
    "tranny",
    "trannies",
    "shemale",
    "shemales",
    "retard",
    "retards",
    "retarded",
    "mongoloid",
    "spastic",
];

/// Three of them: against spam, and against two lists of words.
pub fn rules(config: &config::Automod) -> Vec<NewRule> {
    let words = |given: &[String], own: &[&str]| match given {
        [] => own.iter().map(|word| (*word).to_string()).collect(),
        given => given.to_vec(),
    };
    vec![
        rule("Spam", automod_rule::MESSAGE_SPAM, |config| {
            config.u64("max_messages", 5).u64("window_seconds", 5).u64("duplicate_threshold", 3);
        }),
        keywords("Slurs", &words(&config.default_slurs, SLURS)),
        keywords("Insults", &words(&config.default_insults, INSULTS)),
    ]
}

fn keywords(name: &str, words: &[String]) -> NewRule {
    rule(name, automod_rule::KEYWORD, |config| {
        let mut list = config.array("keywords");
        words.iter().for_each(|word| list.str(word));
        drop(list);
        config.str("severity", "high");
    })
}

fn rule(name: &str, kind: u8, write: impl FnOnce(&mut Object<'_>)) -> NewRule {
    let mut json = Vec::new();
    write(&mut Object::new(&mut json));
    let delete = AutomodAction {
        kind: automod_action::DELETE_MESSAGE,
        notify_user: true,
        metadata: "{}".to_string(),
        ..AutomodAction::default()
    };
    NewRule {
        name: name.to_string(),
        kind,
        looks_for: LooksFor {
            config: String::from_utf8(json).expect("made of strings"),
            ..LooksFor::default()
        },
        actions: vec![delete],
        enabled: true,
        ..NewRule::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::automod::Weight;
    use crate::effect::automod::rules::weigh;

    #[test]
    fn each_is_one_that_could_be_made() {
        let given =
            config::Automod { default_slurs: vec!["\"quoted\"".into()], ..config::Automod::default() };
        for config in [config::Automod::default(), given] {
            let rules = rules(&config);
            assert_eq!(rules.len(), 3);
            for rule in &rules {
                assert_eq!(weigh(rule.kind, &rule.looks_for.config), Ok(Weight::default()), "{}", rule.name);
            }
        }
    }
}
