//! Pages of the console for whoever is logged in, and what is done on them.

use super::ask::{ask, place, read, route};
use super::console_login::{fields, lead};
use super::live;
use super::session::{self, form_token};
use crate::api::ctx::{Ctx, Step};
use crate::api::forms::Fields;
use crate::api::state::State;
use crate::console::actions::Action;
use crate::console::dashboard::Totals;
use crate::console::forms::{Call, call};
use crate::console::pages::{Page, Paging, Section, Shape};
use crate::console::view::{
    self, Answer, Content, Frame, LiveView, Notice, Place, ROW_COUNT, Step as Stage, plain,
};
use crate::domain::{Refusal, Result};
use crate::wire::json::{Value, parse_own};

const HTML: &str = "text/html; charset=utf-8";
/// Nothing but our own files and forms, and nothing that stands in a page itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// What is said of log-ins and not of actions.
const SET_UP: (&str, &str) = (
    "set-up",
    "One-time codes are set up. Now make backup codes, for when you do not have your device at hand.",
);

/// What all pages have in common.
pub(super) struct Shell<'s> {
    state: &'s State,
    base: &'s str,
}

impl<'s> Shell<'s> {
    pub(super) fn new(ctx: &Ctx<'s>) -> Shell<'s> {
        let state = ctx.state;
        Shell { state, base: session::base(&state.config.admin_ui.path) }
    }

    fn frame<'f>(&'f self, title: &'f str, form_token: &'f str, notice: Option<&'f Notice>) -> Frame<'f> {
        Frame {
            base: self.base,
            server: &self.state.config.application.name,
            version: &self.state.config.application.version,
            paths: &self.state.site.console.paths,
            title,
            current: "",
            who: None,
            form_token,
            notice,
            refresh: None,
        }
    }

    /// A page before anybody is logged in.
    pub(super) fn plain(
        &self,
        title: &str,
        form_token: &str,
        notice: Option<&Notice>,
        stage: &Stage<'_>,
    ) -> String {
        plain(&self.frame(title, form_token, notice), stage)
    }
}

/// Answers with a page.
pub(super) fn respond(ctx: &mut Ctx<'_>, status: u16, html: String) -> Step {
    let response = &mut ctx.response;
    response.status = status;
    response.content_type = HTML;
    response.is_private = true;
    response.headers.push(("cache-control", "no-store".to_string()));
    response.headers.push(("content-security-policy", POLICY.to_string()));
    response.body = html.into_bytes();
    Step::Done
}

/// What somebody has done, as it is told to him.
struct Done<'d> {
    notice: Notice,
    /// The form, when it was refused.
    kept: Option<(&'d str, &'d Value<'d>)>,
    status: u16,
}

pub async fn console_home(ctx: &mut Ctx<'_>) -> Result<Step> {
    show(ctx, "dashboard", None, None).await
}

pub async fn console_dashboard(ctx: &mut Ctx<'_>) -> Result<Step> {
    show(ctx, "dashboard", None, None).await
}

pub async fn console_page(ctx: &mut Ctx<'_>) -> Result<Step> {
    let name = ctx.param("page");
    show(ctx, &name, None, None).await
}

pub async fn console_item(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (name, item) = (ctx.param("page"), ctx.param("item"));
    show(ctx, &name, Some(&item), None).await
}

pub async fn console_act(ctx: &mut Ctx<'_>) -> Result<Step> {
    let name = ctx.param("page");
    act(ctx, &name, None).await
}

pub async fn console_item_act(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (name, item) = (ctx.param("page"), ctx.param("item"));
    act(ctx, &name, Some(&item)).await
}

/// To the log-in.
fn turn_away(ctx: &mut Ctx<'_>) -> Step {
    let path = format!("{}/login", session::base(&ctx.state.config.admin_ui.path));
    lead(ctx, 307, path)
}

/// The names of whoever is logged in; `None` when nobody is.
async fn who(ctx: &Ctx<'_>) -> Result<Option<(String, String)>> {
    let Some(token) = session::cookie(&ctx.request.head).map(str::to_string) else { return Ok(None) };
    let mut answer = read(ctx, &token, "admin_security_status", Call::default()).await;
    if !answer.is_success() {
        return if answer.status == 401 { Ok(None) } else { Err(Refusal::Internal.into()) };
    }
    let status = parse_own(&mut answer.body).unwrap_or(Value::Null);
    let name = status.get("username").and_then(Value::as_str).unwrap_or_default().to_string();
    Ok(Some((token, name)))
}

/// What the address asks of a page, as far as it knows it.
fn query(ctx: &Ctx<'_>, page: &'static Page) -> Result<Vec<(String, String)>> {
    let mut asked = Vec::new();
    for name in Place::names(page) {
        if let Some(value) = ctx.query(name)? {
            asked.push((name.to_string(), value.into_owned()));
        }
    }
    Ok(asked)
}

/// What was done before the page was asked for.
fn told(ctx: &Ctx<'_>) -> Result<Option<Notice>> {
    let Some(done) = ctx.query("done")? else { return Ok(None) };
    let text = if done == SET_UP.0 { Some(SET_UP.1) } else { Action::find(&done).map(|action| action.done) };
    Ok(text.map(|text| Notice { text: text.to_string(), ..Notice::default() }))
}

async fn show(ctx: &mut Ctx<'_>, name: &str, item: Option<&str>, done: Option<Done<'_>>) -> Result<Step> {
    let Some((token, who)) = who(ctx).await? else { return Ok(turn_away(ctx)) };
    let Some(page) = Page::find(name, item.is_some()) else {
        let notice = Notice::error("There is no such page".to_string());
        let html = Shell::new(ctx).plain("Not found", &form_token(&token), Some(&notice), &Stage::Nothing);
        return Ok(respond(ctx, 404, html));
    };
    let (query, form_token) = (query(ctx, page)?, form_token(&token));
    let (kept, mut status) = done.as_ref().map_or((None, 200), |done| (done.kept, done.status));
    let notice = match done {
        Some(done) => Some(done.notice),
        None => told(ctx)?,
    };
    let shell = Shell::new(ctx);
    let place = Place { base: shell.base, page, item, query: &query, form_token: &form_token, kept };
    let mut answers: Vec<(&str, Answer)> = Vec::new();
    let (mut sections, mut refresh) = (Vec::new(), None);
    for section in page.sections {
        let content = match section.shape {
            Shape::Dashboard => {
                let live = look(ctx, &shell).await?;
                refresh = Some(live.next.replace("/ui/live?", "/ui?"));
                Content::Live(live)
            }
            Shape::Settings => Content::Settings(ctx.state.site.in_force()),
            _ if section.filters.iter().any(|input| input.is_needed && place.asked(input.name).is_none()) => {
                Content::Unasked
            }
            _ => {
                if !answers.iter().any(|(operation, _)| *operation == section.operation) {
                    let answer = read(ctx, &token, section.operation, asked(section, &place)).await;
                    if !answer.is_success() && status == 200 {
                        status = answer.status;
                    }
                    answers.push((section.operation, answer));
                }
                let known = answers.iter().find(|(operation, _)| *operation == section.operation);
                Content::Answer(&known.expect("it was asked for just now").1)
            }
        };
        sections.push(view::section(section, &place, content));
    }
    let frame = Frame {
        current: if page.parent.is_empty() { page.name } else { page.parent },
        who: Some(&who),
        refresh,
        ..shell.frame(page.title, &form_token, notice.as_ref())
    };
    let html = view::page(&frame, &place, &sections);
    Ok(respond(ctx, status, html))
}

/// What the operation of a section is asked for.
fn asked(section: &Section, place: &Place<'_>) -> Call {
    let mut call = Call::default();
    if let Some(item) = place.item {
        call.params.push((place.page.item, item.to_string()));
    }
    for filter in section.filters {
        call.query.extend(place.asked(filter.name).map(|value| (filter.name, value.to_string())));
    }
    if section.paging == Paging::Asked {
        // One more than is shown tells whether there are more.
        call.query.push(("limit", (ROW_COUNT + 1).to_string()));
        call.query.push(("offset", place.offset().to_string()));
    }
    call
}

/// The figures of now, and of since what the address brings along.
async fn look(ctx: &Ctx<'_>, shell: &Shell<'_>) -> Result<LiveView> {
    let earlier = ctx.query("since")?.and_then(|text| Totals::read(&text));
    let figures = live::figures(ctx).await?;
    Ok(LiveView::new(shell.base, figures, earlier.as_ref()))
}

pub async fn console_live(ctx: &mut Ctx<'_>) -> Result<Step> {
    if who(ctx).await?.is_none() {
        return Ok(turn_away(ctx));
    }
    let html = look(ctx, &Shell::new(ctx)).await?.html();
    Ok(respond(ctx, 200, html))
}

async fn act(ctx: &mut Ctx<'_>, name: &str, item: Option<&str>) -> Result<Step> {
    let form: Fields = match fields(ctx)? {
        Err(refused) => return Ok(refused),
        Ok(form) => form,
    };
    let sent = form.body()?;
    let sent = sent.root();
    let value = |name: &str| sent.get(name).and_then(Value::as_str);
    let page = Page::find(name, item.is_some());
    let action = value("operation").and_then(Action::find);
    let action = action.filter(|action| page.is_some_and(|page| page.offers(action.operation)));
    let (Some(page), Some(action)) = (page, action) else {
        let notice = Notice::error("There is nothing of the kind to be done here".to_string());
        return show(ctx, name, item, Some(Done { notice, kept: None, status: 404 })).await;
    };
    let Some(token) = session::cookie(&ctx.request.head).map(str::to_string) else {
        return Ok(turn_away(ctx));
    };
    let route = route(action.operation);
    let refuse = |text: String, status: u16| Done {
        notice: Notice::error(text),
        kept: Some((action.operation, sent)),
        status,
    };
    let call = match call(action, |name| place(route, name), value) {
        Ok(call) => call,
        Err(why) => return show(ctx, name, item, Some(refuse(why, 400))).await,
    };
    let mut response = ask(ctx, Some(&token), route, call).await;
    match response.status {
        200 if action.shows.is_empty() => {
            let query = query(ctx, page)?;
            let (page, item, query) = match Page::find(page.parent, false).filter(|_| action.ends) {
                Some(parent) => (parent, None, Vec::new()),
                None => (page, item, query),
            };
            let place = Place {
                base: session::base(&ctx.state.config.admin_ui.path),
                page,
                item,
                query: &query,
                form_token: "",
                kept: None,
            };
            Ok(lead(ctx, 303, place.address(&[("done", action.operation)])))
        }
        // What is shown this once stands in this answer and nowhere else.
        200 => {
            let notice = Notice::of(action, &mut response.body);
            show(ctx, name, item, Some(Done { notice, kept: None, status: 200 })).await
        }
        // The session is over.
        401 => Ok(turn_away_from_form(ctx)),
        status => {
            let answer = Answer { status, body: response.body };
            show(ctx, name, item, Some(refuse(answer.message(), status))).await
        }
    }
}

/// As [`turn_away`], without having the form sent there.
fn turn_away_from_form(ctx: &mut Ctx<'_>) -> Step {
    let step = turn_away(ctx);
    ctx.response.status = 303;
    step
}

pub async fn console_export(ctx: &mut Ctx<'_>) -> Result<Step> {
    let page = Page::find(&ctx.param("page"), false).filter(|page| !page.export.is_empty());
    let Some((token, _)) = who(ctx).await? else { return Ok(turn_away(ctx)) };
    let page = page.ok_or(Refusal::RouteNotFound)?;
    let route = route(page.export);
    let mut call = Call::default();
    // Where there are several, tables are what people open.
    if route.query.is_some_and(|query| query.names().contains(&"format")) {
        call.query.push(("format", "csv".to_string()));
    }
    let response = ask(ctx, Some(&token), route, call).await;
    ctx.response.is_private = true;
    ctx.response.status = response.status;
    ctx.response.content_type = response.content_type;
    ctx.response.headers.extend(response.headers);
    ctx.response.headers.push(("cache-control", "no-store".to_string()));
    ctx.response.body = response.body;
    Ok(Step::Done)
}

pub async fn console_asset(ctx: &mut Ctx<'_>) -> Result<Step> {
    let state = ctx.state;
    let asset = state.site.console.documents.get(&*ctx.params.get("name")).ok_or(Refusal::RouteNotFound)?;
    asset.send_any(ctx).await
}
