//! The OpenAPI description, made from the table of routes and the shapes that its rows name.

use std::collections::BTreeMap;

use super::fields::{Described, Fields, write_id_ref};
use super::router::PORTAL;
use super::routes::{Answer, BodyRule, ROUTES, Route};
use crate::config::Config;
use crate::wire::json::shape::{Kind, Shape};
use crate::wire::json::{Array, Object};

/// The whole document; it never changes while the server runs.
pub fn document(config: &Config) -> Vec<u8> {
    let mut out = Vec::new();
    let mut document = Object::new(&mut out);
    document.str("openapi", "3.1.0");
    document
        .object("info")
        .str("title", &config.application.name)
        .str("version", &config.application.version);
    write_components(document.object("components"), config);
    write_paths(document.object("paths"), config);
    drop(document);
    out
}

fn write_paths(mut paths: Object<'_>, config: &Config) {
    // Pages of the console are no operations.
    let routes: Vec<&Route> = ROUTES.iter().filter(|route| !route.is_console()).collect();
    for (index, route) in routes.iter().copied().enumerate() {
        let same = |other: &&Route| other.path == route.path && other.root == route.root;
        // Methods of one path stand together, at the first of its rows.
        if routes[..index].iter().any(same) {
            continue;
        }
        let prefix = if route.root { "" } else { &config.api.api_prefix };
        let path = match route.path.strip_prefix(PORTAL) {
            Some(rest) if route.root => format!("{}{rest}", config.docs.path),
            _ => format!("{prefix}{}", route.path),
        };
        let mut methods = Object::new(paths.dynamic_key(&path));
        for route in routes.iter().copied().filter(same) {
            let is_second = routes[..index].iter().any(|other| other.name == route.name);
            let id = if is_second { format!("api_{}", route.name) } else { route.name.to_string() };
            write_operation(methods.object(&route.method.as_str().to_ascii_lowercase()), route, &id, config);
        }
    }
}

/// Its id is the route's name; of two paths with one handler the one below the prefix says so.
fn write_operation(mut operation: Object<'_>, route: &Route, id: &str, config: &Config) {
    operation.str("operationId", id).str("summary", route.doc.trim());
    Array::new(operation.key("tags")).str(route.group);
    {
        let mut parameters = operation.array("parameters");
        for segment in route.path.split('/') {
            let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
                continue;
            };
            let mut parameter = parameters.object();
            parameter.str("name", name).str("in", "path").bool("required", true);
            write_path_schema(parameter.object("schema"), route.takes_id(name));
        }
        if let Some(query) = route.query {
            query.each(&mut |field| write_query_parameter(parameters.object(), field, config));
        }
    }
    match route.body {
        BodyRule::Json(_) => write_body(&mut operation, route, &[JSON], true),
        BodyRule::OptionalJson(_) => write_body(&mut operation, route, &[JSON], false),
        BodyRule::JsonOrForm(_) => write_body(&mut operation, route, &[JSON, FIELDS], true),
        BodyRule::Form(_) => write_body(&mut operation, route, &[FIELDS, MULTIPART], true),
        BodyRule::Multipart(_) => write_body(&mut operation, route, &[MULTIPART], true),
        BodyRule::None | BodyRule::Stream(_) => {}
    }
    {
        let mut security = operation.array("security");
        if route.auth.is_login() {
            let mut scheme = security.object();
            drop(Array::new(scheme.key("token")));
        }
    }
    write_responses(operation.object("responses"), route);
}

fn write_path_schema(mut schema: Object<'_>, is_id: bool) {
    if is_id {
        return write_id_ref(&mut schema);
    }
    schema.str("type", "string");
}

/// Decimal, of 64 bits without a sign: up to 18446744073709551615.
pub fn write_id_schema(mut schema: Object<'_>) {
    const MAX: &str = "18446744073709551615";
    let mut pattern = String::from("^([0-9]{1,19}");
    // Of the numbers as long as the greatest one: those that are smaller from some digit on.
    for (at, digit) in MAX.char_indices().filter(|(_, digit)| *digit != '0') {
        let below = char::from(digit as u8 - 1);
        pattern += &format!("|{}[0-{below}][0-9]{{{}}}", &MAX[..at], MAX.len() - at - 1);
    }
    pattern += &format!("|{MAX})$");
    schema.str("type", "string").str("pattern", &pattern).str("description", "A decimal number of 64 bits");
}

fn write_query_parameter(mut parameter: Object<'_>, field: &dyn Described, config: &Config) {
    parameter.str("name", field.name()).str("in", "query").bool("required", field.is_required());
    write_doc(&mut parameter, field.doc());
    field.write_schema(config, &mut parameter.object("schema"));
}

const JSON: &str = "application/json";
const FIELDS: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";

fn write_body(operation: &mut Object<'_>, route: &Route, content_types: &[&str], required: bool) {
    let mut body = operation.object("requestBody");
    body.bool("required", required);
    let mut content = body.object("content");
    for content_type in content_types {
        let mut media = content.object(content_type);
        let schema = media.object("schema");
        match *content_type {
            FIELDS if matches!(route.body, BodyRule::JsonOrForm(_)) => write_payload(schema),
            _ => write_body_schema(schema, route, required),
        }
    }
}

/// A form with JSON in it.
fn write_payload(mut schema: Object<'_>) {
    schema.str("type", "object");
    schema.object("properties").object("payload").str("type", "string").str("description", "The JSON");
    schema.array("required").str("payload");
}

fn write_body_schema(mut schema: Object<'_>, route: &Route, required: bool) {
    match route.form {
        Some(form) if !required => {
            let mut any = schema.array("anyOf");
            write_ref(&mut any.object(), form.name());
            any.object().str("type", "null");
        }
        Some(form) => write_ref(&mut schema, form.name()),
        None => drop(schema.str("type", "object")),
    }
}

fn write_responses(mut responses: Object<'_>, route: &Route) {
    {
        let is_empty = matches!(route.answer, Answer::Nothing);
        let mut success = responses.object(if is_empty { "204" } else { "200" });
        success.str("description", "Success");
        if is_empty {
            drop(success);
            return write_default(responses, route);
        }
        let mut content = success.object("content");
        match route.answer {
            Answer::Success => write_ref(&mut content.object(JSON).object("schema"), "SuccessResponse"),
            Answer::One(shape) => write_ref(&mut content.object(JSON).object("schema"), shape.name),
            Answer::OneOrSuccess(shape) => {
                let mut media = content.object(JSON);
                let mut schema = media.object("schema");
                let mut any = schema.array("anyOf");
                write_ref(&mut any.object(), shape.name);
                write_ref(&mut any.object(), "SuccessResponse");
            }
            Answer::List(shape) => {
                let mut media = content.object(JSON);
                write_ref(&mut media.object("schema").str("type", "array").object("items"), shape.name);
            }
            Answer::Map(kind) => write_kind(&mut content.object(JSON).object("schema"), Kind::Map(kind)),
            Answer::Html => drop(content.object("text/html").object("schema").str("type", "string")),
            Answer::Picture => {
                content.object("image/*").object("schema").str("type", "string").str("format", "binary");
            }
            Answer::File | Answer::Export => {
                content.object("*/*").object("schema").str("type", "string").str("format", "binary");
            }
            Answer::Text(text) => {
                content.object("text/plain").object("schema").str("type", "string").str("const", text);
            }
            Answer::Nothing => unreachable!("it has no body"),
            Answer::Json => drop(content.object(JSON).object("schema").str("type", "object")),
        }
    }
    write_default(responses, route);
}

fn write_default(mut responses: Object<'_>, route: &Route) {
    let mut error = responses.object("default");
    error.str("description", "What is wrong, and with what status");
    let mut content = error.object("content");
    write_ref(&mut content.object(JSON).object("schema"), "ErrorResponse");
    if matches!(route.answer, Answer::Html) {
        content.object("text/html").object("schema").str("type", "string");
    }
}

// ------------------------------------------------------------------------------------------ schemas

fn write_components(mut components: Object<'_>, config: &Config) {
    {
        let mut schemes = components.object("securitySchemes");
        schemes.object("token").str("type", "http").str("scheme", "bearer");
    }
    let mut schemas = components.object("schemas");
    write_id_schema(schemas.object("Id"));
    shapes().values().for_each(|shape| write_shape(schemas.object(shape.name), shape));
    forms().values().for_each(|form| write_form(schemas.object(form.name()), *form, config));
    {
        let mut success = schemas.object("SuccessResponse");
        success.str("type", "object");
        success.object("properties").object("success").str("type", "boolean");
        success.array("required").str("success");
    }
    let mut error = schemas.object("ErrorResponse");
    error.str("type", "object");
    {
        let mut properties = error.object("properties");
        let mut inner = properties.object("error");
        inner.str("type", "object");
        {
            let mut properties = inner.object("properties");
            let mut code = properties.object("code");
            let mut types = code.array("type");
            types.str("integer");
            types.str("string");
            drop(types);
            code.str("description", "The status, or a word for what software should tell apart");
            drop(code);
            properties.object("message").str("type", "string");
        }
        let mut required = inner.array("required");
        required.str("code");
        required.str("message");
    }
    error.array("required").str("error");
}

/// The objects that are answered with, and those within them, by name.
pub fn shapes() -> BTreeMap<&'static str, &'static Shape> {
    let mut shapes = BTreeMap::new();
    for route in ROUTES {
        if let Answer::One(shape) | Answer::OneOrSuccess(shape) | Answer::List(shape) = route.answer {
            collect(&mut shapes, shape);
        }
    }
    shapes
}

/// The bodies that are taken, and those within them, by name.
pub fn forms() -> BTreeMap<&'static str, &'static dyn Fields> {
    let mut forms = BTreeMap::new();
    ROUTES.iter().filter_map(|route| route.form).for_each(|form| collect_form(&mut forms, form));
    forms
}

/// The form and those that stand within it.
fn collect_form(forms: &mut BTreeMap<&'static str, &'static dyn Fields>, form: &'static dyn Fields) {
    forms.insert(form.name(), form);
    form.each(&mut |field| field.inner().into_iter().for_each(|inner| collect_form(forms, inner)));
}

/// The shape and those that it refers to.
pub fn collect(shapes: &mut BTreeMap<&'static str, &'static Shape>, shape: &'static Shape) {
    if shapes.insert(shape.name, shape).is_none() {
        shape.all_fields().for_each(|field| collect_kind(shapes, field.slot.kind));
    }
}

fn collect_kind(shapes: &mut BTreeMap<&'static str, &'static Shape>, kind: Kind) {
    match kind {
        Kind::Object(shape) => collect(shapes, shape),
        Kind::List(kind) | Kind::Map(kind) | Kind::OrNull(kind) => collect_kind(shapes, *kind),
        _ => {}
    }
}

pub fn write_shape(mut schema: Object<'_>, shape: &Shape) {
    schema.str("type", "object");
    write_doc(&mut schema, shape.doc);
    {
        let mut properties = schema.object("properties");
        for field in shape.all_fields() {
            let mut property = properties.object(field.name);
            write_kind(&mut property, field.slot.kind);
            write_doc(&mut property, field.doc);
        }
    }
    let mut required = schema.array("required");
    shape.all_fields().filter(|field| !field.slot.sometimes).for_each(|field| required.str(field.name));
}

/// In bodies null is the same as absent.
fn write_form(mut schema: Object<'_>, form: &dyn Fields, config: &Config) {
    schema.str("type", "object");
    write_doc(&mut schema, form.doc());
    let mut needed = Vec::new();
    {
        let mut properties = schema.object("properties");
        form.each(&mut |field| {
            let mut property = properties.object(field.name());
            write_doc(&mut property, field.doc());
            if field.is_required() {
                needed.push(field.name());
                return field.write_schema(config, &mut property);
            }
            let mut any = property.array("anyOf");
            field.write_schema(config, &mut any.object());
            any.object().str("type", "null");
        });
    }
    let mut required = schema.array("required");
    needed.iter().for_each(|name| required.str(name));
}

fn write_kind(schema: &mut Object<'_>, kind: Kind) {
    match kind {
        Kind::Bool => drop(schema.str("type", "boolean")),
        Kind::Count | Kind::Time => drop(schema.str("type", "integer").u64("minimum", 0)),
        Kind::Int => drop(schema.str("type", "integer")),
        Kind::Number => drop(schema.str("type", "number")),
        Kind::Text => drop(schema.str("type", "string")),
        Kind::Word(words) => {
            schema.str("type", "string");
            let mut list = schema.array("enum");
            words.iter().for_each(|word| list.str(word));
        }
        Kind::Id => write_id_ref(schema),
        Kind::Object(shape) => write_ref(schema, shape.name),
        Kind::List(kind) => write_kind(&mut schema.str("type", "array").object("items"), *kind),
        Kind::Map(kind) => {
            write_kind(&mut schema.str("type", "object").object("additionalProperties"), *kind)
        }
        Kind::OrNull(kind) => {
            let mut any = schema.array("anyOf");
            write_kind(&mut any.object(), *kind);
            any.object().str("type", "null");
        }
        Kind::Null => drop(schema.str("type", "null")),
        Kind::Any => {}
    }
}

pub fn write_ref(schema: &mut Object<'_>, name: &str) {
    schema.str("$ref", &format!("#/components/schemas/{name}"));
}

fn write_doc(object: &mut Object<'_>, doc: &str) {
    let doc = doc.trim();
    if !doc.is_empty() {
        object.str("description", doc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::parse_own;

    #[test]
    fn every_route_is_an_operation() {
        let mut text = document(&Config::default());
        let whole = String::from_utf8(text.clone()).unwrap();
        let document = parse_own(&mut text).unwrap();
        let paths = document.get("paths").unwrap();
        let mut ids = std::collections::HashSet::new();
        let routes = || ROUTES.iter().filter(|route| !route.is_console());
        for route in routes() {
            let prefix = if route.root { "" } else { "/api/v1" };
            let path = paths.get(&format!("{prefix}{}", route.path)).unwrap();
            let operation = path.get(&route.method.as_str().to_ascii_lowercase()).unwrap();
            let id = operation.get("operationId").unwrap().as_str().unwrap();
            assert!(id == route.name || (id == format!("api_{}", route.name) && !route.root));
            assert!(ids.insert(id), "{id} twice");
            let secured = !operation.get("security").unwrap().as_array().unwrap().is_empty();
            assert_eq!(secured, route.auth.is_login(), "{}", route.name);
        }
        let names = document.get("components").unwrap().get("schemas").unwrap();
        for (at, _) in whole.match_indices("#/components/schemas/") {
            let name = whole[at + 21..].split('"').next().unwrap();
            assert!(names.get(name).is_some(), "{name}");
        }
        let operations = paths.as_object().unwrap().iter().map(|(_, path)| path.as_object().unwrap().len());
        assert_eq!(operations.sum::<usize>(), routes().count());
        assert!(!whole.contains("/admin/ui"));
    }

    #[test]
    fn a_name_is_of_one_shape_or_form() {
        fn look(seen: &mut BTreeMap<&'static str, String>, shape: &'static Shape) {
            let fields: Vec<_> = shape.all_fields().map(|field| (field.name, field.slot.sometimes)).collect();
            let text = format!("{} {fields:?}", shape.doc);
            match seen.insert(shape.name, text.clone()) {
                Some(other) => assert_eq!(other, text, "two shapes are called {}", shape.name),
                None => shape.all_fields().for_each(|field| look_into(seen, field.slot.kind)),
            }
        }
        fn look_into(seen: &mut BTreeMap<&'static str, String>, kind: Kind) {
            match kind {
                Kind::Object(shape) => look(seen, shape),
                Kind::List(kind) | Kind::Map(kind) | Kind::OrNull(kind) => look_into(seen, *kind),
                _ => {}
            }
        }
        let mut seen = BTreeMap::new();
        for route in ROUTES {
            if let Answer::One(shape) | Answer::List(shape) = route.answer {
                look(&mut seen, shape);
            }
        }
        for form in ROUTES.iter().filter_map(|route| route.form) {
            let text = format!("form: {}", form.doc());
            let other = seen.insert(form.name(), text.clone());
            assert!(other.is_none_or(|other| other == text), "two things are called {}", form.name());
        }
    }
}
