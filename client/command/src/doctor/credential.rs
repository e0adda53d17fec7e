//! Checks the credential and the key: whether they exist, and whether they belong to the caller.

use super::{Finding, way_out};
use client::Error;
use client::context::Context;
use schema::identity::{Identity, IdentityError};
use schema::sturdy_ref::{CapFileError, SturdyRef};
use std::path::Path;
use std::rc::Rc;

const SUBJECT: &str = "credential";
const KEY: &str = "key";
const ANEW: &str =
    "run `guild login FILE` with a file that `guild grant issue` wrote; ask the master's operator for one";

/// The credential and the key, or why they cannot be used.
pub(crate) struct Opened {
    pub(crate) findings: Vec<Finding>,
    pub(crate) usable: Result<(SturdyRef, Rc<Identity>), Error>,
}

/// Checks the credential and the key that the commands would use here. Unlike the commands, it makes no key.
pub(crate) fn credential(chosen: Result<Context, Error>) -> Opened {
    let context = match chosen {
        Ok(context) => context,
        Err(error) => {
            let findings = vec![Finding::bad(SUBJECT, error.to_string(), way_out(&error, ANEW))];
            return Opened { findings, usable: Err(error) };
        }
    };
    let (reference, key) = (SturdyRef::load(&context.credential), Identity::load(&context.identity));
    let findings = vec![judge_credential(&context, reference.as_ref().err()), judge_key(&context, key.as_ref().err())];
    let unusable = |why: String| Error::Credential { credential: context.name.clone(), why };
    let usable = reference.map_err(|error| unusable(error.to_string())).and_then(|reference| {
        let key = key.map_err(|error| unusable(error.to_string()))?;
        Ok((reference, Rc::new(key)))
    });
    Opened { findings, usable }
}

pub(super) fn judge_credential(context: &Context, error: Option<&CapFileError>) -> Finding {
    match error {
        None => Finding::good(SUBJECT, format!("{}, of context {}", context.credential.display(), context.name)),
        Some(error @ CapFileError::Exposed { path, .. }) => Finding::bad(SUBJECT, error.to_string(), chmod(path)),
        Some(error @ (CapFileError::Unreadable { .. } | CapFileError::Malformed { .. })) => {
            Finding::bad(SUBJECT, error.to_string(), ANEW)
        }
    }
}

pub(super) fn judge_key(context: &Context, error: Option<&IdentityError>) -> Finding {
    match error {
        None => {
            let path = std::fs::canonicalize(&context.identity).unwrap_or_else(|_| context.identity.clone());
            Finding::good(KEY, path.display().to_string())
        }
        Some(error @ IdentityError::Exposed { path, .. }) => Finding::bad(KEY, error.to_string(), chmod(path)),
        // A credential works only with the key that redeemed it.
        Some(
            error @ (IdentityError::Unreadable { .. }
            | IdentityError::Unwritable { .. }
            | IdentityError::Malformed { .. }),
        ) => Finding::bad(KEY, error.to_string(), format!("put back the key that redeemed the credential, or {ANEW}")),
    }
}

fn chmod(path: &Path) -> String {
    format!("chmod 600 {}", path.display())
}
