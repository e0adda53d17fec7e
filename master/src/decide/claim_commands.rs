//! The commands about claims, and the commands that only note something which was done elsewhere.

use super::coordinator::{Coordinator, Request};
use super::records::{Answer, ClaimKey, ClaimRow, LaneClaim};
use schema::values::{Refusal, RefusalCode, Time};

impl Coordinator {
    /// Notes that somebody looks after a red lane.
    pub fn claim(&mut self, now: Time, request: Request, row: ClaimRow) -> Result<(), Refusal> {
        self.once(now, request, |this| {
            let (by, project) = (request.by, row.key.project.clone());
            let what = format!("{} looks after {}", row.claim.name, lane_name(&row.key));
            let fact = this.claims.put(now, row, &mut this.effects)?;
            this.audit(now, by, what);
            this.tell_of(now, &project, 0, fact);
            Ok(Answer::Done)
        })?;
        Ok(())
    }

    /// Ends the claim of a lane. `name` is the holder who asks for it.
    pub fn release_claim(&mut self, now: Time, request: Request, key: &ClaimKey, name: &str) -> Result<(), Refusal> {
        self.once(now, request, |this| {
            let ended = this.claims.end(key, &format!("{name} released it"), &mut this.effects);
            let nobody = || Refusal::new(RefusalCode::NotFound, format!("nobody looks after {}", lane_name(key)));
            let fact = ended.ok_or_else(nobody)?;
            this.audit(now, request.by, format!("{name} released {}", lane_name(key)));
            this.tell_of(now, &key.project, 0, fact);
            Ok(Answer::Done)
        })?;
        Ok(())
    }

    /// The claim of a lane. `None` means that nobody looks after it.
    pub fn claim_of(&self, key: &ClaimKey) -> Option<&LaneClaim> {
        self.claims.get(key)
    }

    /// Notes that an operator changed the master file.
    pub fn note_file(&mut self, now: Time, request: Request, what: String) -> Result<(), Refusal> {
        self.once(now, request, |this| {
            this.audit(now, request.by, what);
            Ok(Answer::Done)
        })?;
        Ok(())
    }

    /// Notes that the master has looked at a repository because of this delivery from a forge.
    pub fn note_delivery(&mut self, now: Time, request: Request) -> Result<(), Refusal> {
        self.once(now, request, |_| Ok(Answer::Done)).map(|_| ())
    }
}

fn lane_name(key: &ClaimKey) -> String {
    format!("{} of {} in {}", key.job, key.ref_name, key.project)
}
