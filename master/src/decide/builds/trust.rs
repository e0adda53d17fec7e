//! The one place that decides whether a build is trusted. It decides from what triggered the build, and never from its source.

use schema::values::{BuildCause, Trust};

/// What triggered a build. A new source of changes, such as forks, gets a case of its own here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decide) enum Trigger {
    /// A branch or a tag of the project's own repository moved, and the master saw it there itself. This is also the trigger if a hook or
    /// a `changes` grant asked the master to look, because neither decides what the master finds.
    Moved,
    /// The holder of a grant with the right `run` asked for a branch, a tag or a commit of the project's own repository.
    Asked,
    /// The holder of a grant with the right `try` sent the files of a checkout, with its pipeline. Nobody has reviewed them.
    Sent,
    /// The clock asked for the tip of a branch of the project's own repository, whose pipeline names the time.
    Timed,
    /// The holder of a grant with the right `retry` asked for an old build again, which had this trust.
    Again(Trust),
}

impl Trigger {
    /// The trigger of a build that a person asked for.
    pub(in crate::decide) fn of_person(cause: &BuildCause) -> Trigger {
        if cause.is_try() { Trigger::Sent } else { Trigger::Asked }
    }

    pub(in crate::decide) fn trust(self) -> Trust {
        match self {
            // Only the committers of the project can move its refs.
            Trigger::Moved => Trust::Trusted,
            // Only the committers of the project can move the branch, and so change its pipeline.
            Trigger::Timed => Trust::Trusted,
            // A person who may run a build of the repository vouches for it.
            Trigger::Asked => Trust::Trusted,
            // Only a person who may use the project's workers has the right `try`. The build gets no secrets and has no side effects.
            Trigger::Sent => Trust::Trusted,
            // A retry has the same source, so its trust stays the same, no matter who asks for the retry.
            Trigger::Again(before) => before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_comes_from_the_trigger_alone() {
        for (trigger, trust) in [
            (Trigger::Moved, Trust::Trusted),
            (Trigger::Asked, Trust::Trusted),
            (Trigger::Timed, Trust::Trusted),
            (Trigger::Sent, Trust::Trusted),
            (Trigger::Again(Trust::Trusted), Trust::Trusted),
            (Trigger::Again(Trust::Untrusted), Trust::Untrusted),
        ] {
            assert_eq!(trigger.trust(), trust, "{trigger:?}");
        }
    }
}
