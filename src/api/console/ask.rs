//! Operations of the API, asked by pages: as requests that come from no socket.
//!
//! Such a request goes the whole way of any other, from its admission on: address, session, limits of changes.

use crate::api::ctx::{Ctx, Request, Response, Step};
use crate::api::dispatch::{Dispatched, dispatch, finish, refuse};
use crate::api::routes::{BodyRule, ROUTES, Route};
use crate::console::forms::{Call, Place};
use crate::console::view::{Answer, encoded};
use crate::domain::{Error, Refusal};
use crate::wire::http::{header_slots, parse_head};

/// The row of an operation that a table of the console names.
///
/// # Panics
/// When there is none; a test looks at all of them.
pub(super) fn route(operation: &str) -> &'static Route {
    let mut rows = ROUTES.iter().filter(|route| !route.root);
    rows.find(|route| route.name == operation).unwrap_or_else(|| panic!("{operation} is no operation"))
}

/// Where an operation takes an input of a form.
pub(super) fn place(route: &Route, name: &str) -> Place {
    let mut params = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    if params.any(|param| param == name) {
        Place::Path
    } else if takes_json(route) {
        Place::Body
    } else {
        Place::Query
    }
}

fn takes_json(route: &Route) -> bool {
    matches!(route.body, BodyRule::Json(_) | BodyRule::OptionalJson(_))
}

/// What an operation answers, asked with the session of a token.
pub(super) async fn ask(ctx: &Ctx<'_>, token: Option<&str>, route: &'static Route, call: Call) -> Response {
    let text = head(ctx, token, route, &call);
    let mut slots = header_slots();
    let Ok(Some(head)) = parse_head(&text, &mut slots) else {
        return refuse(Error::bad_request("That is too long to be asked for"), Response::default());
    };
    let mut body = if takes_json(route) { call.body } else { Vec::new() };
    let request = Request { head, body: &mut body, ip: ctx.request.ip, id: ctx.request.id };
    let (mut inner, mut step) = match dispatch(ctx.state, ctx.desk, ctx.desk.router(), request) {
        Dispatched::Handler(inner, step) => (inner, step),
        Dispatched::Answered(response, _) => return response,
    };
    let result = loop {
        step = match step {
            Ok(Step::Done) => break Ok(()),
            Ok(Step::Submit(command, then)) => {
                let reply = inner.desk.decide(command).await;
                then(&mut inner, reply)
            }
            Ok(Step::Task(task)) => task(&mut inner).await,
            // No such operation takes its body in pieces.
            Ok(Step::Receive(_)) => Err(Refusal::Internal.into()),
            Err(error) => break Err(error),
        };
    };
    finish(&mut inner, result)
}

/// The same, for what is shown.
pub(super) async fn read(ctx: &Ctx<'_>, token: &str, operation: &str, call: Call) -> Answer {
    let response = ask(ctx, Some(token), route(operation), call).await;
    Answer { status: response.status, body: response.body }
}

fn head(ctx: &Ctx<'_>, token: Option<&str>, route: &Route, call: &Call) -> Vec<u8> {
    let mut target = ctx.state.config.api.api_prefix.clone();
    for part in route.path.split('/').skip(1) {
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        let value = name.map(|name| {
            let given = call.params.iter().find(|(known, _)| *known == name);
            encoded(given.map_or("", |(_, value)| value))
        });
        target.push('/');
        target.push_str(value.as_deref().unwrap_or(part));
    }
    let mut mark = '?';
    for (name, value) in &call.query {
        target.push_str(&format!("{mark}{name}={}", encoded(value)));
        mark = '&';
    }
    let mut text = format!("{} {target} HTTP/1.1\r\nhost: console\r\n", route.method.as_str()).into_bytes();
    if takes_json(route) {
        let line = format!("content-type: application/json\r\ncontent-length: {}\r\n", call.body.len());
        text.extend_from_slice(line.as_bytes());
    }
    if let Some(token) = token {
        text.extend_from_slice(format!("authorization: Bearer {token}\r\n").as_bytes());
    }
    if let Some(agent) = ctx.request.head.header("user-agent") {
        text.extend_from_slice(b"user-agent: ");
        text.extend_from_slice(agent);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Harness;
    use crate::console::actions::{ACTIONS, Kind};
    use crate::console::list::PAGES;
    use crate::console::pages::Paging;

    #[test]
    fn every_operation_that_the_console_names_is_there() {
        for page in PAGES {
            for section in page.sections.iter().filter(|section| !section.operation.is_empty()) {
                let route = route(section.operation);
                let takes = |name: &str| route.query.is_some_and(|query| query.names().contains(&name));
                assert_eq!(
                    section.paging == Paging::Asked,
                    takes("limit") && takes("offset"),
                    "{}",
                    route.name
                );
                for filter in section.filters {
                    assert!(takes(filter.name), "{} is asked for {}", route.name, filter.name);
                }
            }
            if !page.export.is_empty() {
                route(page.export);
            }
        }
    }

    #[test]
    fn every_input_is_one_that_its_operation_takes() {
        for action in ACTIONS {
            let route = route(action.operation);
            for input in action.inputs {
                let fields = match place(route, input.name) {
                    Place::Path => continue,
                    Place::Body => route.form,
                    Place::Query => route.query,
                };
                let names = fields.map(|fields| fields.names()).unwrap_or_default();
                assert!(names.contains(&input.name), "{} takes no {}", route.name, input.name);
            }
            let params = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
            for param in params {
                assert!(
                    action.inputs.iter().any(|input| input.name == param),
                    "{} lacks {param}",
                    route.name
                );
            }
        }
    }

    /// The words of the table are those that the operation takes.
    #[test]
    fn every_choice_is_one() {
        let harness = Harness::default();
        let document = String::from_utf8(crate::api::openapi::document(&harness.state.config)).unwrap();
        for action in ACTIONS {
            for input in action.inputs {
                let Kind::Choice(words) = input.kind else { continue };
                for word in words {
                    assert!(document.contains(&format!("\"{word}\"")), "{}: {word}", action.operation);
                }
            }
        }
    }
}
