//! The badges that other sites show, and the icon of this site.

use super::questions::{known, state_of};
use super::reply::{Miss, Reply, tagged};
use super::request::cookie;
use super::show::tidy;
use super::{Site, bridge::Visit};
use askama::Template;
use axum::extract::{Path, State};
use axum::http::header::{HeaderMap, HeaderName, HeaderValue};
use client::Error;
use client::views::BranchView;
use schema::values::Outcome;
use std::sync::Arc;

/// Serves `/badge/NAME/BRANCH.svg`, where a branch may have slashes. `/badge/NAME/main.svg` is also the badge of the main branch,
/// whatever its name is.
pub(super) async fn badge(
    State(site): State<Arc<Site>>,
    Path((project, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Reply, Miss> {
    let branch = file.strip_suffix(".svg").ok_or(Miss::NotFound)?.to_owned();
    let wanted = branch.clone();
    let looked = site.bridge.look(cookie(&headers), async move |visit: Visit| {
        known(&visit.guild, &project).await?;
        match state_of(&visit.guild, &project, &wanted).await? {
            None if wanted == "main" => state_of(&visit.guild, &project, "").await,
            found => Ok::<_, Error>(found),
        }
    });
    let state = looked.await??;
    let svg = Badge::new(&branch, state.as_ref()).render().map_err(|_| Miss::Broken)?;
    let mut reply = tagged(svg, "image/svg+xml", &headers);
    // this lets other sites show the badge
    let name = HeaderName::from_static("cross-origin-resource-policy");
    reply.headers_mut().insert(name, HeaderValue::from_static("cross-origin"));
    Ok(reply)
}

pub(super) async fn icon(headers: HeaderMap) -> Reply {
    tagged(include_str!("icon.svg").to_owned(), "image/svg+xml", &headers)
}

/// Serves the icon of a page about something with a state, in the colour of that state.
pub(super) async fn state_icon(Path(file): Path<String>, headers: HeaderMap) -> Result<Reply, Miss> {
    let class = file.strip_suffix(".svg").ok_or(Miss::NotFound)?;
    let colour = colour_of(class).ok_or(Miss::NotFound)?;
    Ok(tagged(include_str!("icon.svg").replace(ICON_COLOUR, colour), "image/svg+xml", &headers))
}

/// The colour of the icon in its file, which is replaced by the colour of a state.
const ICON_COLOUR: &str = "#3b5bdb";

/// Returns the colour for the class of a mark. It can be seen on a light and on a dark row of tabs.
fn colour_of(class: &str) -> Option<&'static str> {
    match class {
        "good" => Some("#2b8a3e"),
        "bad" => Some("#d6303f"),
        "broken" => Some("#9c36b5"),
        "warned" => Some("#b8700a"),
        "running" => Some("#1f76d2"),
        "waiting" | "skipped" | "cancelled" => Some("#6b737c"),
        _ => None,
    }
}

/// A badge is a small picture with two words.
#[derive(Template)]
#[template(path = "badge.svg", escape = "html")]
struct Badge {
    branch: String,
    word: &'static str,
    colour: &'static str,
    left: usize,
    right: usize,
    width: usize,
}

impl Badge {
    fn new(branch: &str, state: Option<&BranchView>) -> Badge {
        let is_errored = state.is_some_and(|state| state.errored);
        let (word, colour) = match state.and_then(|state| state.outcome) {
            Some(Outcome::Succeeded) => ("passing", "#2b8a3e"),
            Some(Outcome::Warned) => ("warnings", "#a86400"),
            Some(Outcome::Failed) => ("failing", "#c92a2a"),
            // a branch on which nothing counts yet
            None if is_errored => ("error", "#862e9c"),
            Some(Outcome::Errored | Outcome::Cancelled | Outcome::Skipped) | None => ("unknown", "#5c636a"),
        };
        let mut branch: String = tidy(branch);
        if branch.chars().count() > 40 {
            branch = branch.chars().take(39).chain(['…']).collect();
        }
        // the approximate width of Verdana at 11 pixels
        let wide = |text: &str| text.chars().count() * 7 + 12;
        let (left, right) = (wide(&branch), wide(word));
        Badge { branch, word, colour, left, right, width: left + right }
    }

    fn left_middle(&self) -> usize {
        self.left / 2
    }

    fn right_middle(&self) -> usize {
        self.left + self.right / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_icon_has_a_colour_of_its_own_for_what_is_good_bad_and_running() {
        assert!(include_str!("icon.svg").contains(ICON_COLOUR));
        let colours = ["good", "bad", "broken", "warned", "running", "waiting"].map(colour_of);
        assert!(colours.iter().all(Option::is_some));
        assert_eq!(client::cells::distinct(colours.iter().flatten().map(|colour| (*colour).to_owned())).len(), 6);
        assert_eq!(colour_of("x\"/><script>"), None);
    }
}
