//! `POST /hook/NAME`: a forge tells of a push. Whoever signs with the secret is believed that something changed, and nothing
//! else: the source looks itself.

use super::Site;
use super::reply::{Miss, Reply, status};
use crate::config::{HookConfig, HookKind};
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::HeaderMap;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// Of a secret, in bytes.
const SECRET_MIN: usize = 16;
/// Of a delivery's body, in bytes.
const BODY_MAX: usize = 1 << 20;
/// For a body to come.
const BODY_TIME: Duration = Duration::from_secs(20);
/// Of a delivery's name, in bytes; those of forges have 36.
const DELIVERY_MAX: usize = 200;

/// The hooks that are taken now, by project. The pages' thread sees another set at once.
#[derive(Clone, Default)]
pub(crate) struct Hooks(Arc<RwLock<BTreeMap<String, Arc<Hook>>>>);

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
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = hooks.collect();
    }

    fn get(&self, project: &str) -> Option<Arc<Hook>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(project).cloned()
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

    fn is_signed(&self, signature: &str, body: &[u8]) -> bool {
        match self.kind {
            // of digests, so that the length tells nothing
            HookKind::GitLab => {
                let (shown, wanted) = (Sha256::digest(signature.as_bytes()), Sha256::digest(&self.secret));
                shown.ct_eq(&wanted).into()
            }
            HookKind::GitHub | HookKind::Gitea | HookKind::Generic => {
                let digits = signature.strip_prefix("sha256=").unwrap_or(signature);
                let Ok(signature) = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()) else { return false };
                let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else { return false };
                mac.update(body);
                mac.verify_slice(&signature).is_ok()
            }
        }
    }
}

/// Answers when what the delivery tells of is recorded.
pub(super) async fn deliver(
    State(site): State<Arc<Site>>,
    Path(project): Path<String>,
    request: Request,
) -> Result<Reply, Miss> {
    let hook = site.hooks.get(&project).ok_or(Miss::NotFound)?;
    let headers = request.headers().clone();
    let read = tokio::time::timeout(BODY_TIME, axum::body::to_bytes(request.into_body(), BODY_MAX));
    let body: Bytes = match read.await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Ok(status(StatusCode::PAYLOAD_TOO_LARGE, "A delivery has at most 1 MiB.\n")),
        Err(_) => return Ok(status(StatusCode::REQUEST_TIMEOUT, "The delivery did not come in time.\n")),
    };
    let (signature, delivery) = headers_of(hook.kind);
    if !hook.is_signed(text(&headers, signature), &body) {
        tracing::warn!(project, "a delivery to the hook is not signed with its secret");
        return Err(Miss::NotFound);
    }
    let delivery = text(&headers, delivery);
    if delivery.len() > DELIVERY_MAX {
        return Ok(status(StatusCode::BAD_REQUEST, "The delivery's name is too long.\n"));
    }
    let (delivery, ref_name) = (delivery.to_owned(), ref_of(&body));
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

/// The ref that a push names; none: all are looked at.
fn ref_of(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let name = body.get("ref")?.as_str()?;
    name.starts_with("refs/").then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(kind: HookKind) -> Hook {
        Hook { kind, secret: b"It's a Secret to Everybody".to_vec() }
    }

    #[test]
    fn signatures_are_those_of_the_forges() {
        // the example of docs.github.com, "Validating webhook deliveries"
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(hook(HookKind::GitHub).is_signed(signature, b"Hello, World!"));
        assert!(hook(HookKind::Gitea).is_signed(&signature[7..], b"Hello, World!"));
        assert!(hook(HookKind::GitLab).is_signed("It's a Secret to Everybody", b"anything"));
        for kind in HookKind::ALL {
            for forged in ["", "sha256=", "sha256=00", "nonsense", &signature.replace('7', "8")] {
                assert!(!hook(kind).is_signed(forged, b"Hello, World!"), "{kind:?} {forged}");
            }
        }
        assert!(!hook(HookKind::GitHub).is_signed(signature, b"Hello, World?"));
    }

    #[test]
    fn the_ref_is_a_hint() {
        assert_eq!(ref_of(br#"{"ref": "refs/heads/main", "x": 1}"#).as_deref(), Some("refs/heads/main"));
        for other in [&b"{}"[..], b"nonsense", br#"{"ref": 5}"#, br#"{"ref": "main"}"#] {
            assert_eq!(ref_of(other), None);
        }
    }
}
