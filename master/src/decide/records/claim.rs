//! Claims of red lanes, as the store keeps them.

use schema::values::Time;
use serde::{Deserialize, Serialize};

/// Names the lane that somebody looks after.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClaimKey {
    pub project: String,
    /// The full name of the branch or tag.
    pub ref_name: String,
    /// The job with its cell.
    pub job: String,
}

/// A lane with its claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimRow {
    pub key: ClaimKey,
    pub claim: LaneClaim,
}

/// Says who looks after a lane, and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LaneClaim {
    /// The name of the holder of the grant that made the claim.
    pub name: String,
    pub since: Time,
    /// The time at which the claim ends, if the lane is still red.
    pub until: Time,
    /// What the person says about it.
    pub reason: String,
    /// The newest update of the ref for which a failure of the lane is known. A good result of an older update ends no claim.
    pub red: u32,
}
