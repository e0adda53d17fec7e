//! The commands about claims, and the commands that only note something which was done elsewhere.

use super::coordinator::{Coordinator, Request};
use super::records::lane::LaneResult;
use super::records::{Answer, ClaimKey, ClaimRow, LaneClaim};
use schema::values::{Refusal, RefusalCode, Time};

impl Coordinator {
    /// Notes that somebody looks after a red lane.
    pub fn claim(&mut self, now: Time, request: Request, row: ClaimRow) -> Result<(), Refusal> {
        self.once(now, request, |this| {
            let (by, project) = (request.by, row.key.project.clone());
            this.refuse_gone(&row.key)?;
            let what = format!("{} looks after {}", row.claim.name, lane_name(&row.key));
            let fact = this.claims.put(now, row, &mut this.effects)?;
            this.audit(now, by, what);
            this.tell_of(now, &project, 0, fact);
            Ok(Answer::Done)
        })?;
        Ok(())
    }

    /// A deleted ref has no lanes. If it is made again, it is another branch, to which no promise belongs.
    fn refuse_gone(&self, key: &ClaimKey) -> Result<(), Refusal> {
        match self.head(&key.project, &key.ref_name).is_some_and(|head| head.gone.is_some()) {
            true => {
                Err(Refusal::new(RefusalCode::NotFound, format!("{} of {} was deleted", key.ref_name, key.project)))
            }
            false => Ok(()),
        }
    }

    /// Takes the newest result of a lane that has just been claimed. It may have come after the claimant looked at the lane.
    pub fn note_claimed(&mut self, now: Time, key: &ClaimKey, newest: &LaneResult) {
        let ended = self.claims.note_result(key, newest, &mut self.effects);
        ended.into_iter().for_each(|fact| self.tell_of(now, &key.project, newest.build, fact));
    }

    /// Ends the claims of a ref that was deleted.
    pub(super) fn end_claims_of_ref(&mut self, now: Time, project: &str, ref_name: &str) {
        let is_of = |key: &ClaimKey| (key.project.as_str(), key.ref_name.as_str()) == (project, ref_name);
        let ended = self.claims.end_gone(is_of, &format!("{ref_name} was deleted"), &mut self.effects);
        ended.into_iter().for_each(|(project, fact)| self.tell_of(now, &project, 0, fact));
    }

    /// Ends the claims of the projects that the master file does not have.
    pub fn end_claims_of_others(&mut self, now: Time) {
        let projects = &self.terms.projects;
        let is_of_other = |key: &ClaimKey| !projects.contains_key(&key.project);
        let ended = self.claims.end_gone(is_of_other, "the project is not in the master file", &mut self.effects);
        ended.into_iter().for_each(|(project, fact)| self.tell_of(now, &project, 0, fact));
    }

    /// Ends the claim of the first of these lanes that has one. `name` is the holder who asks for it.
    pub fn release_claim(&mut self, now: Time, request: Request, keys: &[ClaimKey], name: &str) -> Result<(), Refusal> {
        self.once(now, request, |this| {
            let claimed = keys.iter().find(|key| this.claims.get(key).is_some()).or(keys.first());
            let nowhere = || Refusal::new(RefusalCode::NotFound, "the project has no main branch");
            let key = claimed.ok_or_else(nowhere)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::coordinator::record::{GrantId, Head, HeadRow, Loaded, Record, RequestId};
    use crate::decide::coordinator::{Effect, Terms};
    use schema::values::{Change, Fact, Outcome};

    fn key(project: &str, branch: &str) -> ClaimKey {
        let ref_name = format!("refs/heads/{branch}");
        ClaimKey { project: project.to_owned(), ref_name, job: "test".to_owned() }
    }

    /// A coordinator that has a claim in each of two branches, and in a project that is not in the master file.
    fn coordinator() -> Coordinator {
        let row = |key| ClaimRow { key, claim: LaneClaim { until: Time(100), red: 5, ..LaneClaim::default() } };
        let head = |key: ClaimKey| {
            let head = Head { revision: "a".to_owned(), is_told: true, update: 1, ..Head::default() };
            HeadRow { project: key.project, ref_name: key.ref_name, head }
        };
        let keys = || [key("p", "main"), key("p", "dev"), key("q", "main")].into_iter();
        let heads = keys().map(head).collect();
        let loaded = Loaded { claims: keys().map(row).collect(), heads, ..Loaded::default() };
        let terms = Terms { projects: [("p".to_owned(), Default::default())].into(), ..Terms::default() };
        Coordinator::load(Time(0), terms, loaded, [0; 32])
    }

    /// Returns the refs and reasons of the claims that ended since the last call.
    fn ended(it: &mut Coordinator) -> Vec<(String, String)> {
        let mut ends = Vec::new();
        while let Some(effect) = it.poll_effect() {
            if let Effect::Record(Record::Event(event)) = effect
                && let Fact::ClaimReleased { ref_name, reason, .. } = event.fact
            {
                ends.push((ref_name, reason));
            }
        }
        ends
    }

    #[test]
    fn a_claim_ends_when_its_branch_is_deleted() {
        let mut it = coordinator();
        let ClaimKey { project, ref_name, .. } = key("p", "dev");
        let change = Change { project, ref_name, before: "a".to_owned(), ..Change::default() };
        it.submit_change(Time(1), GrantId(1), change.clone());
        assert_eq!(ended(&mut it), [("refs/heads/dev".to_owned(), "refs/heads/dev was deleted".to_owned())]);
        assert!(it.claim_of(&key("p", "dev")).is_none() && it.claim_of(&key("p", "main")).is_some());
        let by = GrantId(1);
        let claim = ClaimRow { key: key("p", "dev"), claim: LaneClaim { until: Time(50), ..LaneClaim::default() } };
        let refused = it.claim(Time(2), Request { id: RequestId([1; 16]), by, body: [0; 32] }, claim);
        assert_eq!(refused.unwrap_err().code, RefusalCode::NotFound);
        it.submit_change(Time(3), GrantId(1), Change { revision: "b".to_owned(), ..change });
        assert!(it.claim_of(&key("p", "dev")).is_none(), "the new branch is another one");
    }

    /// The lane became good after the claimant looked at it, and before the claim was committed.
    #[test]
    fn a_claim_of_a_lane_that_is_good_already_ends_at_once() {
        let mut it = coordinator();
        let result =
            |update, outcome| LaneResult { update, build: update, outcome, finished: Time(0), revision: String::new() };
        it.note_claimed(Time(1), &key("p", "dev"), &result(5, Outcome::Failed));
        assert_eq!(ended(&mut it), []);
        it.note_claimed(Time(1), &key("p", "dev"), &result(6, Outcome::Succeeded));
        assert_eq!(ended(&mut it), [("refs/heads/dev".to_owned(), "build 6 is good".to_owned())]);
    }

    /// A short name may mean a branch or a tag, and its job may be gone from every plan.
    #[test]
    fn a_claim_is_released_by_a_name_alone() {
        let mut it = coordinator();
        let request = |id| Request { id: RequestId([id; 16]), by: GrantId(1), body: [0; 32] };
        let keys = [key("p", "none"), key("p", "dev")];
        it.release_claim(Time(1), request(1), &keys, "ann").unwrap();
        assert_eq!(ended(&mut it), [("refs/heads/dev".to_owned(), "ann released it".to_owned())]);
        let refused = it.release_claim(Time(1), request(2), &keys, "ann").unwrap_err();
        assert!(refused.code == RefusalCode::NotFound && refused.text.contains("heads/none"), "{refused:?}");
        it.release_claim(Time(1), request(1), &keys, "ann").expect("it was answered before");
    }

    #[test]
    fn a_claim_ends_when_its_project_leaves_the_master_file() {
        let mut it = coordinator();
        it.end_claims_of_others(Time(1));
        let told = ended(&mut it);
        assert!(told.len() == 1 && told[0].1.contains("master file"), "{told:?}");
        assert!(it.claim_of(&key("q", "main")).is_none() && it.claim_of(&key("p", "main")).is_some());
        it.set_terms(Time(2), Terms::default());
        assert_eq!(ended(&mut it).len(), 2);
    }
}
