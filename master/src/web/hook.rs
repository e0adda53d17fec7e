//! `POST /hook/NAME`: a forge tells of a push. Whoever signs with the secret is believed that something changed, and nothing
//! else: the source looks itself.

use super::Site;
use super::reply::{Miss, Reply, status};
use crate::config::{HookConfig, HookKind};
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::HeaderMap;
use futures::StreamExt as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

/// Of a secret, in bytes.
const SECRET_MIN: usize = 16;
/// The most that a delivery's body may have, in bytes: what GitHub sends at most (docs.github.com, "Webhook events and
/// payloads").
const BODY_MAX: usize = 25 << 20;
/// What is kept of a body, in bytes: forges name the ref within the first few.
const KEPT_MAX: usize = 1 << 20;
/// Bodies that are taken in at once; further ones wait. Nobody's signature is known before the end of a body, so this bounds
/// what strangers can have kept.
const BODIES_MAX: usize = 8;
/// How long a body may take to come, its wait included.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Of a delivery's name, in bytes; those of forges have 36.
const DELIVERY_MAX: usize = 200;
/// Of SHA-256, in bytes.
const DIGEST_BYTES: usize = 32;

/// The hooks that are taken now, by project. The pages' thread sees another set at once.
#[derive(Clone)]
pub(crate) struct Hooks {
    by_project: Arc<RwLock<BTreeMap<String, Arc<Hook>>>>,
    /// For bodies that are being taken in.
    places: Arc<Semaphore>,
}

impl Default for Hooks {
    fn default() -> Hooks {
        Hooks { by_project: Arc::default(), places: Arc::new(Semaphore::new(BODIES_MAX)) }
    }
}

/// Whose deliveries a project takes, and what they are signed with.
#[derive(Clone)]
pub(crate) struct Hook {
    kind: HookKind,
    secret: Vec<u8>,
}

/// The headers of the signature and of the delivery's name, as the forges document them: docs.github.com "Webhook events
/// and payloads", docs.gitea.com "Webhooks", docs.gitlab.com "Webhooks".
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

    fn get(&self, project: &str) -> Option<Arc<Hook>> {
        self.by_project.read().unwrap_or_else(PoisonError::into_inner).get(project).cloned()
    }
}

impl Hook {
    /// Reads its secret.
    pub(crate) fn open(config: &HookConfig) -> io::Result<Hook> {
        let secret = std::fs::read(&config.secret_file)?.trim_ascii().to_vec();
        if secret.len() < SECRET_MIN {
            let why = format!("a secret has at least {SECRET_MIN} bytes: `openssl rand -hex 32` makes one");
            return Err(io::Error::other(why));
        }
        Ok(Hook { kind: config.kind, secret })
    }

    /// Whether the header alone says enough: a body need not be taken in for a wrong token.
    fn may_be_signed(&self, signature: &str) -> bool {
        match self.kind {
            // of digests, so that the length tells nothing
            HookKind::GitLab => {
                let (shown, wanted) = (Sha256::digest(signature.as_bytes()), Sha256::digest(&self.secret));
                shown.ct_eq(&wanted).into()
            }
            HookKind::GitHub | HookKind::Gitea | HookKind::Generic => digits_of(signature).is_some(),
        }
    }

    /// Whether this is the signature of a body that was taken in.
    fn is_signed(&self, signature: &str, taken: Taken) -> bool {
        match self.kind {
            HookKind::GitLab => self.may_be_signed(signature),
            HookKind::GitHub | HookKind::Gitea | HookKind::Generic => {
                digits_of(signature).is_some_and(|signature| taken.mac.verify_slice(&signature).is_ok())
            }
        }
    }
}

fn digits_of(signature: &str) -> Option<Vec<u8>> {
    let digits = signature.strip_prefix("sha256=").unwrap_or(signature);
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?;
    (bytes.len() == DIGEST_BYTES).then_some(bytes)
}

/// What is left of a body as it comes: what its signature is of, and its start.
struct Taken {
    mac: Hmac<Sha256>,
    size: usize,
    start: Vec<u8>,
}

impl Taken {
    /// Of no byte yet.
    fn new(secret: &[u8]) -> Taken {
        let mac = Hmac::<Sha256>::new_from_slice(secret).expect("a secret of any length is a key");
        Taken { mac, size: 0, start: Vec::new() }
    }

    /// False: it is too long.
    fn add(&mut self, bytes: &[u8]) -> bool {
        self.size += bytes.len();
        self.mac.update(bytes);
        let room = KEPT_MAX - self.start.len();
        self.start.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.size <= BODY_MAX
    }
}

/// Why a body was not taken in.
enum Untaken {
    TooLong,
    Broken,
}

async fn take(hooks: &Hooks, hook: &Hook, body: Body) -> Result<Taken, Untaken> {
    let _place = hooks.places.acquire().await.map_err(|_| Untaken::Broken)?;
    let mut taken = Taken::new(&hook.secret);
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        if !taken.add(&part.map_err(|_| Untaken::Broken)?) {
            return Err(Untaken::TooLong);
        }
    }
    Ok(taken)
}

/// Answers when what the delivery tells of is recorded.
pub(super) async fn deliver(
    State(site): State<Arc<Site>>,
    Path(project): Path<String>,
    request: Request,
) -> Result<Reply, Miss> {
    let hook = site.hooks.get(&project).ok_or(Miss::NotFound)?;
    let headers = request.headers().clone();
    let (signature, delivery) = headers_of(hook.kind);
    let (signature, delivery) = (text(&headers, signature), text(&headers, delivery));
    let unsigned = || tracing::warn!(project, "a delivery to the hook is not signed with its secret");
    if !hook.may_be_signed(signature) {
        unsigned();
        return Err(Miss::NotFound);
    }
    let mut taken = match tokio::time::timeout(BODY_TIME, take(&site.hooks, &hook, request.into_body())).await {
        Ok(Ok(taken)) => taken,
        Ok(Err(Untaken::TooLong)) => {
            return Ok(status(StatusCode::PAYLOAD_TOO_LARGE, "A delivery has at most 25 MiB.\n"));
        }
        Ok(Err(Untaken::Broken)) => return Ok(status(StatusCode::BAD_REQUEST, "The delivery broke off.\n")),
        Err(_) => return Ok(status(StatusCode::REQUEST_TIMEOUT, "The delivery did not come in time.\n")),
    };
    let start = std::mem::take(&mut taken.start);
    if !hook.is_signed(signature, taken) {
        unsigned();
        return Err(Miss::NotFound);
    }
    if delivery.len() > DELIVERY_MAX {
        return Ok(status(StatusCode::BAD_REQUEST, "The delivery's name is too long.\n"));
    }
    follow(&site, project, delivery.to_owned(), ref_of(&start)).await
}

async fn follow(site: &Site, project: String, delivery: String, ref_name: Option<String>) -> Result<Reply, Miss> {
    let told =
        site.bridge.on_errand(move |door| async move { door.hooked(&project, &delivery, ref_name.as_deref()).await });
    Ok(match told.await? {
        Ok(true) => status(StatusCode::OK, "looked\n"),
        Ok(false) => status(StatusCode::OK, "known already\n"),
        Err(refusal) => {
            tracing::warn!(%refusal, "a delivery to the hook was not followed");
            status(
                StatusCode::BAD_GATEWAY,
                "The repository cannot be looked at now; the master tries again by itself.\n",
            )
        }
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The ref that a push names, of which only the start may be here; none: all are looked at.
fn ref_of(start: &[u8]) -> Option<String> {
    let mut found = None;
    // what was cut ends in an error, behind the ref as a rule
    let _ = Push(&mut found).deserialize(&mut serde_json::Deserializer::from_slice(start));
    found.filter(|name: &String| name.starts_with("refs/"))
}

/// Reads an object's `ref`, and passes over all else.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(kind: HookKind) -> Hook {
        Hook { kind, secret: b"It's a Secret to Everybody".to_vec() }
    }

    fn is_signed(hook: &Hook, signature: &str, body: &[u8]) -> bool {
        let mut taken = Taken::new(&hook.secret);
        assert!(body.chunks(5).all(|part| taken.add(part)));
        hook.may_be_signed(signature) && hook.is_signed(signature, taken)
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
    fn only_the_start_of_a_body_is_kept() {
        let mut taken = Taken::new(b"secret");
        let part = vec![b' '; 1 << 20];
        for _ in 0..25 {
            assert!(taken.add(&part));
        }
        assert_eq!((taken.start.len(), taken.size), (KEPT_MAX, BODY_MAX));
        assert!(!taken.add(b" "));
    }

    #[tokio::test]
    async fn eight_bodies_are_taken_in_at_once() {
        use futures::FutureExt as _;
        let (hooks, hook) = (Hooks::default(), hook(HookKind::Generic));
        let endless = || Body::from_stream(futures::stream::pending::<Result<Vec<u8>, io::Error>>());
        let mut taking: Vec<_> = (0..BODIES_MAX).map(|_| Box::pin(take(&hooks, &hook, endless()))).collect();
        assert!(taking.iter_mut().all(|taking| taking.now_or_never().is_none()));
        let mut next = Box::pin(take(&hooks, &hook, Body::from("{}")));
        assert!((&mut next).now_or_never().is_none(), "it waits");
        taking.pop();
        assert!(next.await.is_ok_and(|taken| taken.size == 2));
    }
}
