//! `POST /hook/NAME`: a forge reports a push. A signed delivery only says that something changed, so the source looks itself. A sender
//! who does not sign learns nothing, not even whether the project has a hook. The body is read to its end and hashed for any name, and
//! the answer is the same.

mod intake;

use super::Site;
use super::reply::{Miss, Reply, status};
use crate::config::{HookConfig, HookKind};
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::HeaderMap;
use intake::{Intake, Taken};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use schema::sturdy_ref::Token;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq as _;

/// The fewest bytes of a hook's secret.
const SECRET_MIN: usize = 16;
/// The time between two lines of the log about unsigned deliveries, so that their senders cannot fill the log.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// The most bytes of a delivery's name. The names that forges give have 36.
const DELIVERY_MAX: usize = 200;
/// The length of a SHA-256, in bytes.
const DIGEST_BYTES: usize = 32;

/// The hooks that are in force, by project. When they are replaced, the pages' thread sees the new ones at once.
#[derive(Clone)]
pub(crate) struct Hooks {
    by_project: Arc<RwLock<BTreeMap<String, Arc<Hook>>>>,
    /// The hook for a project that has none. Nobody knows its secret.
    nobodys: Arc<Hook>,
    intake: Arc<Intake>,
    unsigned: Arc<Mutex<Unsigned>>,
    /// The number of answered deliveries, by status.
    answers: Answered,
}

type Answered = Family<Vec<(String, String)>, Counter>;

impl Default for Hooks {
    fn default() -> Hooks {
        let nobodys = Hook { kind: HookKind::Generic, secret: Token::random().as_bytes().to_vec() };
        Hooks {
            by_project: Arc::default(),
            nobodys: Arc::new(nobodys),
            intake: Arc::default(),
            unsigned: Arc::default(),
            answers: Answered::default(),
        }
    }
}

/// The number of deliveries without a signature since this number was last logged.
#[derive(Debug, Default)]
struct Unsigned {
    told: Option<Instant>,
    count: u64,
}

impl Unsigned {
    /// Counts one more unsigned delivery. Returns their number if it is time to log it.
    fn count(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        if self.told.is_some_and(|told| now < told + TOLD_EVERY) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

/// A `Hook` says which forge delivers to a project, and which secret signs the deliveries.
#[derive(Clone)]
pub(crate) struct Hook {
    kind: HookKind,
    secret: Vec<u8>,
}

/// Returns the header with the signature and the header with the delivery's name. The forges document them: docs.github.com "Webhook
/// events and payloads", docs.gitea.com "Webhooks", docs.gitlab.com "Webhooks".
fn headers_of(kind: HookKind) -> (&'static str, &'static str) {
    match kind {
        HookKind::GitHub => ("x-hub-signature-256", "x-github-delivery"),
        HookKind::Gitea => ("x-gitea-signature", "x-gitea-delivery"),
        HookKind::GitLab => ("x-gitlab-token", "x-gitlab-event-uuid"),
        HookKind::Generic => ("x-guild-signature", "x-guild-delivery"),
    }
}

impl Hooks {
    pub(crate) fn replace(&self, hooks: BTreeMap<String, Hook>) {
        let hooks = hooks.into_iter().map(|(project, hook)| (project, Arc::new(hook)));
        *self.by_project.write().unwrap_or_else(PoisonError::into_inner) = hooks.collect();
    }

    /// Returns the hook of a project, or the hook that nobody can sign for. `None` means that no project at all has a hook.
    fn get(&self, project: &str) -> Option<Arc<Hook>> {
        let hooks = self.by_project.read().unwrap_or_else(PoisonError::into_inner);
        (!hooks.is_empty()).then(|| hooks.get(project).unwrap_or(&self.nobodys).clone())
    }

    pub(super) fn answers(&self) -> Answered {
        self.answers.clone()
    }

    fn note_unsigned(&self) {
        let count = self.unsigned.lock().unwrap_or_else(PoisonError::into_inner).count(Instant::now());
        if let Some(count) = count {
            tracing::warn!(count, "deliveries to hooks were not signed with the right secret");
        }
    }
}

impl Hook {
    /// Opens the hook of a project: reads its secret.
    pub(crate) fn open(config: &HookConfig) -> io::Result<Hook> {
        let secret = std::fs::read(&config.secret_file)?.trim_ascii().to_vec();
        if secret.len() < SECRET_MIN {
            let why = format!("a secret must have at least {SECRET_MIN} bytes: `openssl rand -hex 32` makes one");
            return Err(io::Error::other(why));
        }
        Ok(Hook { kind: config.kind, secret })
    }

    /// Whether these headers have the right signature of the body that was read.
    fn is_signed(&self, headers: &HeaderMap, taken: Taken) -> bool {
        let signature = text(headers, headers_of(self.kind).0);
        match self.kind {
            // digests are compared, so that the time does not reveal the length
            HookKind::GitLab => {
                let (shown, wanted) = (Sha256::digest(signature.as_bytes()), Sha256::digest(&self.secret));
                shown.ct_eq(&wanted).into()
            }
            HookKind::GitHub | HookKind::Gitea | HookKind::Generic => {
                digits_of(signature).is_some_and(|signature| taken.verify(&signature))
            }
        }
    }
}

/// Whether some header could be a signature of some forge. Otherwise the body is not read, whatever project is named.
fn may_be_signed(headers: &HeaderMap) -> bool {
    HookKind::ALL.iter().any(|kind| {
        let signature = text(headers, headers_of(*kind).0);
        match kind {
            HookKind::GitLab => !signature.is_empty(),
            HookKind::GitHub | HookKind::Gitea | HookKind::Generic => digits_of(signature).is_some(),
        }
    })
}

fn digits_of(signature: &str) -> Option<Vec<u8>> {
    let digits = signature.strip_prefix("sha256=").unwrap_or(signature);
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?;
    (bytes.len() == DIGEST_BYTES).then_some(bytes)
}

/// Answers a delivery after the news is recorded, and counts the answer.
pub(super) async fn deliver(
    State(site): State<Arc<Site>>,
    Path(project): Path<String>,
    request: Request,
) -> Result<Reply, Miss> {
    let answer = taken(&site, project, request).await;
    let status = match &answer {
        Ok(reply) => reply.status().as_u16(),
        Err(miss) => miss.status().as_u16(),
    };
    site.hooks.answers.get_or_create(&vec![("status".to_owned(), status.to_string())]).inc();
    answer
}

async fn taken(site: &Arc<Site>, project: String, request: Request) -> Result<Reply, Miss> {
    let hook = site.hooks.get(&project).ok_or(Miss::NotFound)?;
    let headers = request.headers().clone();
    if !may_be_signed(&headers) {
        site.hooks.note_unsigned();
        return Err(Miss::NotFound);
    }
    let mut taken = match site.hooks.intake.take(&hook.secret, request.into_body()).await {
        Ok(taken) => taken,
        Err(untaken) => return Ok(untaken.reply()),
    };
    let start = taken.take_start();
    if !hook.is_signed(&headers, taken) {
        site.hooks.note_unsigned();
        return Err(Miss::NotFound);
    }
    let delivery = text(&headers, headers_of(hook.kind).1);
    if delivery.len() > DELIVERY_MAX {
        return Ok(status(StatusCode::BAD_REQUEST, "The name of the delivery is too long.\n"));
    }
    follow(site, project, delivery.to_owned(), ref_of(&start)).await
}

async fn follow(site: &Site, project: String, delivery: String, ref_name: Option<String>) -> Result<Reply, Miss> {
    let told =
        site.bridge.on_errand(move |door| async move { door.hooked(&project, &delivery, ref_name.as_deref()).await });
    Ok(match told.await? {
        Ok(true) => status(StatusCode::OK, "looked\n"),
        Ok(false) => status(StatusCode::OK, "known already\n"),
        Err(refusal) => {
            tracing::warn!(%refusal, "the master could not look at the repository after a delivery to its hook");
            status(StatusCode::BAD_GATEWAY, "The master cannot read the repository now. It tries again by itself.\n")
        }
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Returns the ref that a push names, from the start of its body. `None` means that the source looks at all refs.
fn ref_of(start: &[u8]) -> Option<String> {
    let mut found = None;
    // a body that was cut ends in an error, but the ref usually comes before the cut
    let _ = Push(&mut found).deserialize(&mut serde_json::Deserializer::from_slice(start));
    found.filter(|name: &String| name.starts_with("refs/"))
}

/// Reads the key `ref` of an object, and passes over all other keys.
struct Push<'a>(&'a mut Option<String>);

impl<'de> DeserializeSeed<'de> for Push<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Push<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "ref" {
                *self.0 = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Plays a delivery for `tests/fuzz`, with these headers and a body that arrives in these parts. `None` means that it is refused.
/// Otherwise returns its name, and its ref if there is one.
#[cfg(feature = "fuzz")]
pub fn play_delivery(
    kind: HookKind,
    secret: &[u8],
    header_values: [&[u8]; 2],
    parts: &[&[u8]],
) -> Option<(String, Option<String>)> {
    let hook = Hook { kind, secret: secret.to_owned() };
    let mut headers = HeaderMap::new();
    let (signature, delivery) = headers_of(kind);
    for (name, value) in [signature, delivery].into_iter().zip(header_values) {
        headers.insert(name, axum::http::HeaderValue::from_bytes(value).ok()?);
    }
    let mut taken = Taken::new(&hook.secret);
    if !may_be_signed(&headers) || !parts.iter().all(|part| taken.add(part)) {
        return None;
    }
    let start = taken.take_start();
    hook.is_signed(&headers, taken).then(|| (text(&headers, delivery).to_owned(), ref_of(&start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(kind: HookKind) -> Hook {
        Hook { kind, secret: b"It's a Secret to Everybody".to_vec() }
    }

    fn is_signed(hook: &Hook, signature: &str, body: &[u8]) -> bool {
        let mut taken = Taken::new(&hook.secret);
        assert!(body.chunks(5).all(|part| taken.add(part)));
        let mut headers = HeaderMap::new();
        headers.insert(headers_of(hook.kind).0, signature.parse().unwrap());
        may_be_signed(&headers) && hook.is_signed(&headers, taken)
    }

    #[test]
    fn signatures_are_those_of_the_forges() {
        // the example of docs.github.com, "Validating webhook deliveries"
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(is_signed(&hook(HookKind::GitHub), signature, b"Hello, World!"));
        assert!(is_signed(&hook(HookKind::Gitea), &signature[7..], b"Hello, World!"));
        assert!(is_signed(&hook(HookKind::GitLab), "It's a Secret to Everybody", b"anything"));
        for kind in HookKind::ALL {
            for forged in ["", "sha256=", "sha256=00", "nonsense", &signature.replace('7', "8")] {
                assert!(!is_signed(&hook(kind), forged, b"Hello, World!"), "{kind:?} {forged}");
            }
        }
        assert!(!is_signed(&hook(HookKind::GitHub), signature, b"Hello, World?"));
    }

    #[test]
    fn the_ref_is_a_hint() {
        let main = Some("refs/heads/main");
        assert_eq!(ref_of(br#"{"ref": "refs/heads/main", "x": 1}"#).as_deref(), main);
        assert_eq!(
            ref_of(br#"{"x": [{"ref": 5}], "ref": "refs/heads/main", "commits": [{"id": "0"#).as_deref(),
            main,
            "cut"
        );
        for other in [&b"{}"[..], b"nonsense", br#"{"ref": 5}"#, br#"{"ref": "main"}"#, br#"{"ref": "refs/he"#, b"[1]"]
        {
            assert_eq!(ref_of(other), None);
        }
    }

    #[test]
    fn what_nobody_signed_is_told_once_a_minute() {
        let (mut unsigned, now) = (Unsigned::default(), Instant::now());
        assert_eq!(unsigned.count(now), Some(1));
        assert!((0..100).all(|_| unsigned.count(now + TOLD_EVERY / 2).is_none()));
        assert_eq!(unsigned.count(now + TOLD_EVERY), Some(101));
    }

    #[test]
    fn a_project_without_a_hook_has_one_that_nobody_signs() {
        let hooks = Hooks::default();
        assert!(hooks.get("a").is_none(), "without any hook nothing is read");
        hooks.replace([("a".to_owned(), hook(HookKind::GitHub))].into());
        assert_eq!(hooks.get("a").unwrap().kind, HookKind::GitHub);
        assert!(Arc::ptr_eq(&hooks.get("b").unwrap(), &hooks.nobodys));
    }
}
