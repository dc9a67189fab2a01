//! Objects of requests and answers as tables, from the tables that write and read them.

use super::markdown::slug;
use crate::api::fields::Described;
use crate::api::openapi;
use crate::config::Config;
use crate::wire::json::shape::{Kind, Shape};
use crate::wire::json::{Object, Value, parse_own};

/// The fields of an object that is answered with.
pub fn shape(name: &str) -> Option<String> {
    openapi::shapes().get(name).map(|shape| fields_of(shape))
}

/// The fields of a body that is taken.
pub fn form(name: &str, config: &Config) -> Option<String> {
    let form = *openapi::forms().get(name)?;
    let mut out = String::from("| field | what it may be | about it |\n|---|---|---|\n");
    form.each(&mut |field| out.push_str(&form_row(field, config)));
    Some(out)
}

/// All objects, each under its name.
pub fn all_shapes() -> String {
    let section =
        |shape: &&Shape| format!("### {}\n\n{}\n\n{}\n", shape.name, sentence(shape.doc), fields_of(shape));
    openapi::shapes().values().map(section).collect()
}

/// All bodies, each under its name.
pub fn all_forms(config: &Config) -> String {
    let section = |(name, form): (&&str, &&'static dyn crate::api::fields::Fields)| {
        let fields = self::form(name, config).expect("its name is of one");
        format!("### {name}\n\n{}\n\n{fields}\n", sentence(form.doc()))
    };
    openapi::forms().iter().map(section).collect()
}

/// A table of the fields, those of its heads first.
pub fn fields_of(shape: &Shape) -> String {
    if shape.all_fields().next().is_none() {
        return "No fields.\n".into();
    }
    let mut out = String::from("| field | what it is | about it |\n|---|---|---|\n");
    for field in shape.all_fields() {
        let sometimes = if field.slot.sometimes { "may be absent. " } else { "" };
        let doc = cell(field.doc);
        out.push_str(&format!("| `{}` | {} | {sometimes}{doc} |\n", field.name, kind(field.slot.kind)));
    }
    out
}

fn form_row(field: &dyn Described, config: &Config) -> String {
    let mut json = Vec::new();
    field.write_schema(config, &mut Object::new(&mut json));
    let schema = parse_own(&mut json).expect("what is written here is JSON");
    let required = if field.is_required() { "**required.** " } else { "" };
    format!("| `{}` | {} | {required}{} |\n", field.name(), schema_text(&schema), cell(field.doc()))
}

fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|").replace('<', "\\<")
}

fn sentence(text: &str) -> String {
    cell(text)
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Bool => "true or false".into(),
        Kind::Count | Kind::Int => "whole number".into(),
        Kind::Number => "number".into(),
        Kind::Text => "text".into(),
        Kind::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::Id => "id".into(),
        Kind::Time => "time".into(),
        Kind::Object(shape) => named(shape.name),
        Kind::List(item) => format!("list of {}", self::kind(*item)),
        Kind::Map(value) => format!("object, of any keys: {}", self::kind(*value)),
        Kind::OrNull(other) => format!("{} or null", self::kind(*other)),
        Kind::Null => "null".into(),
        Kind::Any => "anything".into(),
    }
}

/// A link to where an object is described, if it is there.
fn named(name: &str) -> String {
    if openapi::shapes().contains_key(name) || openapi::forms().contains_key(name) {
        return format!("[{name}](objects#{})", slug(name));
    }
    format!("`{name}`")
}

/// A JSON schema in words.
fn schema_text(schema: &Value<'_>) -> String {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let name = name.rsplit('/').next().unwrap_or(name);
        return if name == "Id" { "id".into() } else { named(name) };
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(any) = schema.get(key).and_then(Value::as_array) {
            return any.iter().map(schema_text).collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let words = words.iter().map(|word| format!("`{}`", word.to_json().trim_matches('"')));
        return words.collect::<Vec<_>>().join(", ");
    }
    let number = |key: &str| schema.get(key).and_then(Value::as_int);
    let bounds = |least: Option<i128>, most: Option<i128>, unit: &str| match (least, most) {
        (None | Some(0), Some(most)) => format!(", at most {most}{unit}"),
        (Some(least), Some(most)) => format!(", {least} to {most}{unit}"),
        (Some(least), None) if least > 0 => format!(", at least {least}{unit}"),
        _ => String::new(),
    };
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => format!("text{}", bounds(number("minLength"), number("maxLength"), " characters")),
        Some("integer") => format!("whole number{}", bounds(number("minimum"), number("maximum"), "")),
        Some("number") => format!("number{}", bounds(number("minimum"), number("maximum"), "")),
        Some("boolean") => "true or false".into(),
        Some("null") => "null".into(),
        Some("array") => {
            let items = schema.get("items").map_or_else(|| "anything".into(), schema_text);
            format!("list of {items}{}", bounds(number("minItems"), number("maxItems"), ""))
        }
        Some("object") => "object".into(),
        _ => "anything".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, want: &str) {
        let mut text = json.as_bytes().to_vec();
        assert_eq!(schema_text(&parse_own(&mut text).unwrap()), want, "{json}");
    }

    #[test]
    fn schemas_in_words() {
        check(r##"{"$ref":"#/components/schemas/Id"}"##, "id");
        check(r#"{"type":"string","minLength":1,"maxLength":5}"#, "text, 1 to 5 characters");
        check(r#"{"type":"string","maxLength":5}"#, "text, at most 5 characters");
        check(r#"{"anyOf":[{"type":"integer","minimum":0},{"type":"null"}]}"#, "whole number or null");
        check(r#"{"type":"array","items":{"type":"string"},"maxItems":3}"#, "list of text, at most 3");
        check(r#"{"type":"string","enum":["a","b"]}"#, "`a`, `b`");
        check("{}", "anything");
    }

    #[test]
    fn objects_by_name() {
        let text = shape("PollOptionResponse").unwrap();
        assert!(text.starts_with("| field |"), "{text}");
        assert!(shape("MessageResponse").unwrap().contains("[PollResponse](objects#pollresponse) or null"));
        assert!(form("RegisterRequest", &Config::default()).unwrap().contains("**required.**"));
        assert!(shape("Nothing").is_none() && form("Nothing", &Config::default()).is_none());
    }
}
