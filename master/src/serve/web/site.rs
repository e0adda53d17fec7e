//! The page for each address, and the checks that every request passes first.

use super::badges;
use super::bridge::Visitor;
use super::hook;
use super::metrics;
use super::pages;
use super::raw;
use super::reply::{Miss, Reply, guard, page, see_other, status, tagged, to_oneself};
use super::request::{BACK_COOKIE, COOKIE, cookie, is_way_back, way_back};
use super::show::{self, Frame};
use super::{STYLE, Site, SiteState};
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use schema::sturdy_ref::Token;
use schema::values::{Refusal, RefusalCode};
use std::sync::Arc;

/// The age of a login's cookie, in seconds. It is the age of the cookie's grant.
const COOKIE_AGE: u32 = 30 * 24 * 3600;

/// The time for which a browser remembers the page that it asked for, in seconds. It is the lifetime of a login address.
const BACK_AGE: u32 = 600;

pub(super) fn router(site: Arc<Site>) -> Router {
    Router::new()
        .merge(pages::routes())
        .route("/p/{project}/{build}/{job}/{step}/raw", get(raw::raw))
        .route("/p/{project}/{build}/{job}/{step}/reports.tar.zst", get(raw::archive))
        .route("/badge/{project}/{*file}", get(badges::badge))
        .route("/hook/{project}", post(hook::deliver))
        .route("/login/{join}", get(show_login).post(log_in))
        .route("/logout", post(log_out))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(metrics::ready))
        .route("/metrics", get(metrics::metrics))
        .route(&STYLE.path, get(sheet))
        .route("/icon.svg", get(badges::icon))
        .route("/icon/{file}", get(badges::state_icon))
        .route("/robots.txt", get(async || "User-agent: *\nDisallow: /\n"))
        .fallback(async || Miss::NotFound)
        .layer(axum::middleware::from_fn_with_state(site.clone(), pass))
        .with_state(site)
}

impl Miss {
    /// Returns the HTTP status of the page for a miss.
    pub(super) fn status(&self) -> StatusCode {
        self.said().0
    }

    fn said(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Miss::NotFound => (
                StatusCode::NOT_FOUND,
                "Not found",
                "This page does not exist, or you may not see it. If you have a credential, log in with guild open --login.",
            ),
            Miss::Over => {
                let text = "A login address works once, within 10 minutes. For another one, run guild open --login.";
                (StatusCode::NOT_FOUND, "This address has expired", text)
            }
            Miss::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Busy",
                "Too many requests wait for an answer. Try again in a moment.",
            ),
            Miss::Broken => {
                (StatusCode::INTERNAL_SERVER_ERROR, "Broken", "The master failed to make this page. Its log says why.")
            }
        }
    }
}

impl IntoResponse for Miss {
    fn into_response(self) -> Reply {
        let (code, title, text) = self.said();
        let notice = show::MessagePage { frame: Frame::new(title, Visitor::default()), text };
        let mut reply = page(&notice, &HeaderMap::new(), None)
            .unwrap_or_else(|_| status(StatusCode::INTERNAL_SERVER_ERROR, "The master failed to make this page.\n"));
        *reply.status_mut() = code;
        reply
    }
}

/// Checks every request before its page, and adds the common headers to every answer.
async fn pass(State(site): SiteState, request: Request, next: Next) -> Reply {
    if let Err((code, text)) = site.is_meant(request.uri(), request.headers()) {
        return guard(status(code, text));
    }
    let has_cookie = cookie(request.headers()).is_some();
    let address = request.uri().path_and_query().map_or_else(String::new, |address| address.as_str().to_owned());
    let reply = next.run(request).await;
    guard(match has_cookie {
        true => to_oneself(reply),
        false => with_way_back(reply, &site, &address),
    })
}

/// Makes a browser without a login remember the page that it did not get, whether the page exists or not.
fn with_way_back(mut reply: Reply, site: &Site, address: &str) -> Reply {
    if reply.status() == StatusCode::NOT_FOUND && is_way_back(address) {
        set_cookie(&mut reply, site, (BACK_COOKIE, address, "/login"), BACK_AGE);
    }
    reply
}

async fn sheet(headers: HeaderMap) -> Reply {
    let mut reply = tagged(STYLE.text.to_owned(), "text/css; charset=utf-8", &headers);
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    reply.headers_mut().insert(header::CACHE_CONTROL, forever);
    reply
}

/// Shows a page with a button. A mere look, such as the preview of a link, does not use the address up.
async fn show_login(State(site): SiteState, Path(join): Path<String>) -> Result<Reply, Miss> {
    let join: Token = join.parse().map_err(|_| Miss::Over)?;
    let opened = site.bridge.at_door_for(None, |door| async move { door.open_login(&join).await });
    let name = opened.await?.map_err(no_login)?;
    let mut reply =
        page(&show::Login { frame: Frame::new("Log in", Visitor::default()), name }, &HeaderMap::new(), None)?;
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply.headers_mut().remove(header::ETAG);
    Ok(reply)
}

/// Returns the page for an address that does not log in. It gives no reason, so that nobody can probe for logins. Only on a full disk it
/// asks the visitor to try again.
fn no_login(refusal: Refusal) -> Miss {
    tracing::debug!(%refusal, "a login was refused");
    if refusal.code == RefusalCode::Unavailable { Miss::Busy } else { Miss::Over }
}

/// Logs the browser in when somebody presses the button of the login page.
async fn log_in(State(site): SiteState, Path(join): Path<String>, headers: HeaderMap) -> Result<Reply, Miss> {
    if !site.sent_form(&headers) {
        return Ok(foreign_form());
    }
    let join: Token = join.parse().map_err(|_| Miss::Over)?;
    let cookie = Token::random();
    let kept = cookie.clone();
    let logged_in = site.bridge.at_door_for(None, |door| async move { door.log_in(&join, &kept).await });
    if let Err(refusal) = logged_in.await? {
        site.failed_logins.inc();
        return Err(no_login(refusal));
    }
    let back = way_back(&headers);
    let mut reply = see_other(back.unwrap_or("/"));
    set_cookie(&mut reply, &site, (COOKIE, &cookie.reveal(), "/"), COOKIE_AGE);
    if back.is_some() {
        set_cookie(&mut reply, &site, (BACK_COOKIE, "", "/login"), 0);
    }
    Ok(reply)
}

fn foreign_form() -> Reply {
    status(StatusCode::FORBIDDEN, "This form was not sent by a page of this site.\n")
}

async fn log_out(State(site): SiteState, headers: HeaderMap) -> Result<Reply, Miss> {
    if !site.sent_form(&headers) {
        return Ok(foreign_form());
    }
    if let Some(cookie) = cookie(&headers) {
        let who = Some(cookie.clone());
        site.bridge.at_door_for(who, |door| async move { door.log_out(&cookie).await }).await?;
    }
    let mut reply = see_other("/");
    set_cookie(&mut reply, &site, (COOKIE, "", "/"), 0);
    Ok(reply)
}

/// Sets a cookie: its name, its value, and the path below which the browser sends it. `age` is in seconds, and 0 removes the cookie.
fn set_cookie(reply: &mut Reply, site: &Site, cookie: (&str, &str, &str), age: u32) {
    let ((name, value, path), secure) = (cookie, if site.is_secure { "; Secure" } else { "" });
    let text = format!("{name}={value}; Path={path}; Max-Age={age}; HttpOnly; SameSite=Strict{secure}");
    if let Ok(value) = HeaderValue::from_str(&text) {
        reply.headers_mut().append(header::SET_COOKIE, value);
    }
}
