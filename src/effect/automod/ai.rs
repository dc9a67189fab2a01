//! Services that judge texts for others: how they are asked, and what they answer.
//!
//! Only the operator says where they are; a rule names which of them is asked.

use std::time::Duration;

use super::config::{Ai, Backend};
use super::spam::cut;
use crate::config::AutomodAi;
use crate::effect::http::{Answered, Call, ChosenBy};
use crate::limits::KIB;
use crate::wire::json::{Object, Value, parse};

/// Bytes of a text that a service is given, and of its answer that are read.
const TEXT_LEN_MAX: usize = 20 * KIB;
const ANSWER_LEN_MAX: usize = 64 * KIB;

/// What Perspective is asked for unless the rule says more.
const PERSPECTIVE_DEFAULT: &str = "TOXICITY";

/// The request; `None` when the operator has not set that service up.
pub fn call(config: &AutomodAi, ai: &Ai, text: &str) -> Option<Call> {
    let text = cut(text, TEXT_LEN_MAX);
    let bearer = |key: &str| match key {
        "" => Vec::new(),
        key => vec![("authorization", format!("Bearer {key}"))],
    };
    let mut body = Vec::new();
    let mut object = Object::new(&mut body);
    let (url, headers) = match ai.backend {
        Backend::OpenAi if !config.openai_key.is_empty() => {
            object.str("model", &config.openai_model).str("input", text);
            (config.openai_url.clone(), bearer(&config.openai_key))
        }
        Backend::Perspective if !config.perspective_key.is_empty() => {
            object.object("comment").str("text", text);
            let mut attributes = object.object("requestedAttributes");
            let given = ai.categories.iter().map(|name| name.to_ascii_uppercase());
            let default = ai.categories.is_empty().then(|| PERSPECTIVE_DEFAULT.to_string());
            given.chain(default).for_each(|name| drop(Object::new(attributes.dynamic_key(&name))));
            drop(attributes);
            object.bool("doNotStore", true);
            (config.perspective_url.clone(), vec![("x-goog-api-key", config.perspective_key.clone())])
        }
        Backend::Custom if !config.custom_url.is_empty() => {
            object.str("text", text);
            let mut categories = object.array("categories");
            ai.categories.iter().for_each(|name| categories.str(name));
            drop(categories);
            (config.custom_url.clone(), bearer(&config.custom_key))
        }
        _ => return None,
    };
    drop(object);
    Some(Call {
        url,
        chosen_by: ChosenBy::Operator,
        headers,
        body: Some(("application/json", body)),
        len_max: ANSWER_LEN_MAX,
        within: Duration::from_millis(config.timeout_ms),
    })
}

/// What the service has found, the worst first; `None` when that is not enough for the rule.
///
/// # Errors
/// When the answer is none.
pub fn found(ai: &Ai, answered: &mut Answered) -> Result<Option<String>, String> {
    if answered.status != 200 {
        return Err(format!("it answers with status {}", answered.status));
    }
    let answer = parse(&mut answered.body).map_err(|error| format!("its answer is no JSON: {error}"))?;
    let (scores, is_flagged) = match ai.backend {
        Backend::OpenAi => {
            let result = answer.get("results").and_then(|results| results.as_array()?.first());
            let result = result.ok_or("its answer has no results")?;
            (result.get("category_scores"), None)
        }
        Backend::Perspective => (answer.get("attributeScores"), None),
        Backend::Custom => (answer.get("scores"), answer.get("flagged").and_then(Value::as_bool)),
    };
    let members = scores.and_then(Value::as_object).unwrap_or_default();
    if members.is_empty() && is_flagged.is_none() {
        return Err("its answer has no scores".into());
    }
    let is_meant = |name: &str| {
        ai.categories.is_empty() || ai.categories.iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    let scores = members.iter().filter(|(name, _)| is_meant(name));
    let scores = scores.filter_map(|(name, score)| Some((*name, value(score)?)));
    let hits = scores.filter(|(_, score)| *score >= ai.threshold);
    let worst = hits.max_by(|(_, a), (_, b)| a.total_cmp(b));
    Ok(match worst {
        Some((name, score)) => Some(format!("{name} {score:.2}")),
        None => is_flagged.filter(|flagged| *flagged && members.is_empty()).map(|_| "flagged".to_string()),
    })
}

/// A score: a number, or, of Perspective, in a summary.
fn value(score: &Value<'_>) -> Option<f64> {
    match score {
        Value::Int(int) => Some(*int as f64),
        Value::Float(number) => Some(*number),
        _ => value(score.get("summaryScore")?.get("value")?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::records::severity;

    fn ai(backend: Backend, categories: &[&str]) -> Ai {
        let categories = categories.iter().map(|name| (*name).to_string()).collect();
        Ai { backend, categories, threshold: 0.8, severity: severity::HIGH }
    }

    #[test]
    fn services_are_asked_in_their_words() {
        let config = AutomodAi {
            openai_key: "k".repeat(16),
            perspective_key: "p".repeat(16),
            custom_url: "http://127.0.0.1:1/judge".into(),
            ..AutomodAi::default()
        };
        let body = |backend, categories: &[&str]| {
            let call = call(&config, &ai(backend, categories), "a \"text\"").unwrap();
            String::from_utf8(call.body.unwrap().1).unwrap()
        };
        let model = &AutomodAi::default().openai_model;
        assert_eq!(body(Backend::OpenAi, &[]), format!(r#"{{"model":"{model}","input":"a \"text\""}}"#));
        let comment = r#"{"comment":{"text":"a \"text\""},"requestedAttributes":"#;
        assert_eq!(
            body(Backend::Perspective, &[]),
            format!(r#"{comment}{{"TOXICITY":{{}}}},"doNotStore":true}}"#)
        );
        let both = r#"{"INSULT":{},"THREAT":{}},"doNotStore":true}"#;
        assert_eq!(body(Backend::Perspective, &["insult", "threat"]), format!("{comment}{both}"));
        assert_eq!(body(Backend::Custom, &["x"]), r#"{"text":"a \"text\"","categories":["x"]}"#);
        let none = AutomodAi::default();
        for backend in [Backend::OpenAi, Backend::Perspective, Backend::Custom] {
            assert!(call(&none, &ai(backend, &[]), "text").is_none(), "{backend:?}");
        }
        let call = call(&config, &ai(Backend::OpenAi, &[]), "text").unwrap();
        assert_eq!(call.headers, [("authorization", format!("Bearer {}", "k".repeat(16)))]);
    }

    #[test]
    fn answers_are_held_against_the_threshold() {
        let check = |ai: &Ai, body: &str, want: Result<Option<&str>, &str>| {
            let mut answered = Answered { status: 200, body: body.into() };
            let got = found(ai, &mut answered);
            match want {
                Ok(want) => assert_eq!(got.as_ref().map(Option::as_deref), Ok(want), "{body}"),
                Err(want) => assert!(got.as_ref().is_err_and(|why| why.contains(want)), "{body}: {got:?}"),
            }
        };
        let openai = ai(Backend::OpenAi, &[]);
        let scores =
            r#"{"results":[{"flagged":true,"category_scores":{"hate":0.91,"violence":0.95,"sexual":0.1}}]}"#;
        check(&openai, scores, Ok(Some("violence 0.95")));
        check(&ai(Backend::OpenAi, &["Hate"]), scores, Ok(Some("hate 0.91")));
        check(&ai(Backend::OpenAi, &["sexual"]), scores, Ok(None));
        check(&openai, r#"{"results":[]}"#, Err("no results"));
        check(&openai, r#"{"error":"quota"}"#, Err("no results"));
        check(&openai, "<html>", Err("no JSON"));
        let perspective = ai(Backend::Perspective, &[]);
        let scores = r#"{"attributeScores":{"TOXICITY":{"summaryScore":{"value":0.8}}}}"#;
        check(&perspective, scores, Ok(Some("TOXICITY 0.80")));
        check(&perspective, "{}", Err("no scores"));
        let custom = ai(Backend::Custom, &[]);
        check(&custom, r#"{"scores":{"spam":1}}"#, Ok(Some("spam 1.00")));
        check(&custom, r#"{"flagged":true}"#, Ok(Some("flagged")));
        check(&custom, r#"{"flagged":false}"#, Ok(None));
        check(&custom, r#"{"flagged":true,"scores":{"spam":0.2}}"#, Ok(None));
        let mut busy = Answered { status: 429, body: Vec::new() };
        assert!(found(&custom, &mut busy).unwrap_err().contains("429"));
    }
}
