//! Makes a live link from a credential: connects to the master and restores the grant. [`Guild`] keeps the link alive.

use crate::error::Error;
use crate::guild::{Dial, Guild};
use crate::link::Link;
use crate::steer::done;
use capnp::capability::FromClientHook as _;
use futures::FutureExt as _;
use schema::gateway_capnp::gateway;
use schema::identity::Identity;
use schema::perspective_capnp::perspective;
use schema::sturdy_ref::{SturdyRef, Token};
use schema::vat::{self, CloseReason, Limits, Vat, VatError};
use schema::wire::VERSIONS;
use std::rc::Rc;
use std::time::Duration;

impl Guild {
    /// Connects to the master that the credential names, and proves the key to which the credential is bound. Must be called within a
    /// `LocalSet`.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if no address of the master answers; [`Error::Credential`] if the master's key is not the one in the
    /// credential; [`Error::Refused`] if the master refuses the credential; [`Error::Protocol`] if it speaks another version.
    pub async fn connect(credential: SturdyRef, identity: Rc<Identity>) -> Result<Guild, Error> {
        Guild::over(Box::new(move || link(credential.clone(), identity.clone()).boxed_local())).await
    }

    /// Like [`Guild::connect`], but waits if the master does not answer; see [`Guild::over_patiently`].
    ///
    /// # Errors
    /// The same errors as [`Guild::connect`].
    pub async fn connect_patiently(
        credential: SturdyRef,
        identity: Rc<Identity>,
        patience: Duration,
        waiting: impl Fn(&Error),
    ) -> Result<Guild, Error> {
        let dial: Dial = Box::new(move || link(credential.clone(), identity.clone()).boxed_local());
        Guild::over_patiently(dial, patience, waiting).await
    }
}

async fn link(credential: SturdyRef, identity: Rc<Identity>) -> Result<Link, Error> {
    let (gateway, vat) = reach(&credential, &identity).await?;
    let perspective = match restore(&gateway, &credential.token).await {
        Ok(perspective) => perspective,
        Err(error) => return Err(outgrown(&vat).map_or(error, Error::too_large)),
    };
    let (closed, vat) = (vat.closed(), Rc::new(vat));
    let kept = vat.clone();
    Ok(Link::new(perspective, async { closed.await.to_string() }, kept).outgrown_by(move || outgrown(&vat)))
}

fn outgrown(vat: &Vat) -> Option<String> {
    let why = vat.why_closed();
    why.filter(|why| matches!(why, CloseReason::TooLarge { .. })).map(|why| why.to_string())
}

/// Returns the gateway of the master that a sturdy ref names. It lives as long as the returned vat.
pub(crate) async fn reach(credential: &SturdyRef, identity: &Identity) -> Result<(gateway::Client, Vat), Error> {
    let secured = vat::dial(credential, Some(identity)).await?;
    let vat = vat::connect(secured.stream, Limits::known());
    Ok((vat.bootstrap(), vat))
}

/// Returns the perspective of a token, over a connection that the caller made. [`Guild::connect`] does this for a credential.
///
/// # Errors
/// [`Error::Refused`] if the master refuses the token; [`Error::Protocol`] if it speaks another version; [`Error::Lost`] if the
/// connection ends.
pub async fn restore(gateway: &gateway::Client, token: &Token) -> Result<perspective::Client, Error> {
    let mut request = gateway.restore_request();
    request.get().set_token(token.as_bytes());
    let mut versions = request.get().init_versions();
    versions.set_min(*VERSIONS.start());
    versions.set_max(*VERSIONS.end());
    let answer = request.send().promise.await?;
    let answer = answer.get()?;
    done(answer.has_refusal(), answer.get_refusal())?;
    if !VERSIONS.contains(&answer.get_version()) {
        return Err(Error::Protocol(format!("it speaks version {} of the protocol", answer.get_version())));
    }
    let capability: capnp::capability::Client = answer.get_capability().get_as_capability()?;
    Ok(perspective::Client::new(capability.hook))
}

impl From<VatError> for Error {
    fn from(error: VatError) -> Error {
        match error {
            VatError::WrongKey { .. } => {
                Error::Credential { credential: "the credential".to_owned(), why: error.to_string() }
            }
            VatError::Protocol { .. } => Error::Protocol(error.to_string()),
            VatError::Unreachable { .. } | VatError::Handshake(_) | VatError::HandshakeLate | VatError::Identity(_) => {
                Error::Unreachable(error.to_string())
            }
        }
    }
}
