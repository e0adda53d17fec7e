//! Logging in: makes a context from a credential that somebody issued. The new token is on disk before the master hears of it. So a
//! login whose answer was lost is repeated with the same token.

use crate::context::{Context, Contexts};
use crate::dial::{reach, restore};
use crate::error::Error;
use crate::steer::done;
use schema::gateway_capnp::gateway;
use schema::identity::Identity;
use schema::sturdy_ref::{SturdyRef, Token};
use schema::values::RefusalCode;
use std::path::{Path, PathBuf};

/// Redeems `reference`, stores the new credential as the context `name`, and makes that context the current one. If `reference` is a
/// credential that this user's key has already redeemed, it is stored as it is.
///
/// # Errors
/// [`Error::Usage`] if `name` cannot be a context's, or is the context of another master; [`Error::Refused`] if the credential was
/// redeemed by somebody else, has expired or was revoked; [`Error::File`] if a file cannot be written; otherwise as
/// [`crate::Guild::connect`].
pub async fn login(contexts: &Contexts, name: &str, reference: &SturdyRef) -> Result<Context, Error> {
    refuse_other_master(contexts, name, reference)?;
    make_directory(&contexts.directory())?;
    let identity = Identity::load_or_create(&contexts.identity())
        .map_err(|error| Error::Credential { credential: name.to_owned(), why: error.to_string() })?;
    let pending = Pending::take_up(contexts, name, reference)?;
    let (gateway, _vat) = reach(reference, &identity).await?;
    match redeem(&gateway, &reference.token, &pending.own.token).await {
        Ok(()) => {}
        // The text is not a join, or its join is used up, so it may already be a sturdy ref.
        Err(Error::Refused(refusal)) if refusal.code == RefusalCode::Unknown => {
            restore(&gateway, &reference.token).await.map_err(|_| Error::Refused(refusal))?;
            save(reference, &pending.path)?;
        }
        Err(error) => return Err(error),
    }
    let credential = contexts.credential(name);
    std::fs::rename(&pending.path, &credential).map_err(|error| Error::file(credential, error))?;
    let context = contexts.save(name)?;
    contexts.set_current(name)?;
    Ok(context)
}

/// Makes a directory that only its owner can read.
fn make_directory(directory: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| Error::file(directory, error))
}

/// A login that is under way, perhaps since an earlier call whose answer was lost.
struct Pending {
    own: SturdyRef,
    path: PathBuf,
}

impl Pending {
    fn take_up(contexts: &Contexts, name: &str, reference: &SturdyRef) -> Result<Pending, Error> {
        crate::context::check_name(name)?;
        let directory = contexts.directory();
        let join = data_encoding::HEXLOWER.encode(&reference.token.digest()[..8]);
        let path = directory.join(format!("{name}.{join}.pending"));
        if path.exists() {
            let own = SturdyRef::load(&path)
                .map_err(|error| Error::Credential { credential: name.to_owned(), why: error.to_string() })?;
            return Ok(Pending { own, path });
        }
        let own = SturdyRef { token: Token::random(), ..reference.clone() };
        save(&own, &path)?;
        Ok(Pending { own, path })
    }
}

async fn redeem(gateway: &gateway::Client, join: &Token, token: &Token) -> Result<(), Error> {
    let mut request = gateway.redeem_request();
    request.get().set_join(join.as_bytes());
    request.get().set_token(token.as_bytes());
    let answer = request.send().promise.await?;
    let answer = answer.get()?;
    done(answer.has_refusal(), answer.get_refusal())
}

/// Fails if the name is in use for another master. This is checked before the join is redeemed, because a join can be redeemed only
/// once.
fn refuse_other_master(contexts: &Contexts, name: &str, reference: &SturdyRef) -> Result<(), Error> {
    let Ok(present) = SturdyRef::load(&contexts.credential(name)) else { return Ok(()) };
    match present.fingerprint == reference.fingerprint {
        true => Ok(()),
        false => Err(Error::usage(format!("context `{name}` belongs to another master"))
            .help("choose another name with --name, or `guild logout` there first")),
    }
}

fn save(reference: &SturdyRef, path: &std::path::Path) -> Result<(), Error> {
    reference.save(path).map_err(|error| Error::file(path, error))
}
