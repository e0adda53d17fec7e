//! Jobs that no worker may take, whatever the worker offers.

use super::Build;
use schema::values::Trust;
use schema::wire::job_bytes;

/// The limit for the plan of a job that is offered, in bytes on the wire. A worker reads messages of at most 4 MiB. The answer to one
/// `take` holds two such plans at most, beside small ones.
const OFFER_BYTES_MAX: usize = (2 << 20) - (64 << 10);

impl Build {
    /// Why no worker may take this job. `None` means that some workers may.
    pub(in crate::decide) fn refused(&self, index: u32) -> Option<String> {
        self.too_large(index).or_else(|| self.too_dangerous())
    }

    /// Why no worker could read an offer of this job. `None` means that each worker can. A plan that an earlier version made may be
    /// larger than the plans of this version.
    fn too_large(&self, index: u32) -> Option<String> {
        let bytes = job_bytes(self.job_plan(index));
        (bytes > OFFER_BYTES_MAX).then(|| {
            format!(
                "its plan takes {bytes} bytes, and a worker is offered at most {OFFER_BYTES_MAX}: split the job, or \
                 shorten its commands and its environment"
            )
        })
    }

    /// Why no worker may run a job of this build. `None` means that the build is trusted. An untrusted build needs a tier that keeps a
    /// step from the worker's own files and from the network. No tier of this version does that.
    fn too_dangerous(&self) -> Option<String> {
        match self.row.trust {
            Trust::Trusted => None,
            Trust::Untrusted => Some(
                "its build is not trusted: it needs the tier `sandbox`, which this version does not have".to_owned(),
            ),
        }
    }
}
