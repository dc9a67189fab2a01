//! The OpenAPI description, made from the table of routes.
//!
//! It names every operation with its path, parameters and who may call it. Bodies are described in words by the
//! contract; their schemas are not repeated here.

use super::routes::{Auth, ROUTES, Route};
use crate::config::Config;
use crate::wire::json::{Array, Object};

/// The whole document; it never changes while the server runs.
pub fn document(config: &Config) -> Vec<u8> {
    let mut out = Vec::new();
    {
        let mut document = Object::new(&mut out);
        document.str("openapi", "3.1.0");
        document
            .object("info")
            .str("title", &config.application_name)
            .str("version", &config.application_version);
        {
            let mut components = document.object("components");
            let mut schemes = components.object("securitySchemes");
            schemes.object("token").str("type", "http").str("scheme", "bearer");
        }
        let mut paths = document.object("paths");
        for (index, route) in ROUTES.iter().enumerate() {
            let same = |other: &&Route| other.path == route.path && other.root == route.root;
            // Methods of one path stand together, at the first of its rows.
            if ROUTES[..index].iter().any(|other| same(&other)) {
                continue;
            }
            let prefix = if route.root { "" } else { &config.api_api_prefix };
            let mut methods = Object::new(paths.dynamic_key(&format!("{prefix}{}", route.path)));
            for route in ROUTES.iter().filter(same) {
                let is_second = ROUTES[..index].iter().any(|other| other.name == route.name);
                let id = if is_second { format!("api_{}", route.name) } else { route.name.to_string() };
                write_operation(methods.object(&route.method.as_str().to_ascii_lowercase()), route, &id);
            }
        }
    }
    out
}

/// Its id is the route's name; of two paths with one handler the one below the prefix says so.
fn write_operation(mut operation: Object<'_>, route: &Route, id: &str) {
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
            parameter.object("schema").str("type", "string");
        }
    }
    {
        let mut security = operation.array("security");
        if route.auth != Auth::Public {
            let mut scheme = security.object();
            drop(Array::new(scheme.key("token")));
        }
    }
    let mut responses = operation.object("responses");
    responses.object("200").str("description", "Success");
    responses.object("default").str("description", "{\"error\":{\"code\",\"message\"}}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::parse;

    #[test]
    fn every_route_is_an_operation() {
        let mut text = document(&Config::default());
        let document = parse(&mut text).unwrap();
        let paths = document.get("paths").unwrap();
        let mut ids = std::collections::HashSet::new();
        for route in ROUTES {
            let prefix = if route.root { "" } else { "/api/v1" };
            let path = paths.get(&format!("{prefix}{}", route.path)).unwrap();
            let operation = path.get(&route.method.as_str().to_ascii_lowercase()).unwrap();
            let id = operation.get("operationId").unwrap().as_str().unwrap();
            assert!(id == route.name || (id == format!("api_{}", route.name) && !route.root));
            assert!(ids.insert(id), "{id} twice");
            let secured = !operation.get("security").unwrap().as_array().unwrap().is_empty();
            assert_eq!(secured, route.auth != Auth::Public, "{}", route.name);
        }
        let operations = paths.as_object().unwrap().iter().map(|(_, path)| path.as_object().unwrap().len());
        assert_eq!(operations.sum::<usize>(), ROUTES.len());
    }
}
