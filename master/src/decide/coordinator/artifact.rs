//! Files that an attempt stores beside its logs.

use super::Coordinator;
use super::lease::stale;
use super::record::{BlobRow, JobKey, LeaseToken, Record, UploadKey};
use schema::values::{Refusal, Time};

impl Coordinator {
    /// The upload that a name means for the attempt of a lease. Refused before the attempt has begun, and after its end.
    pub fn lease_upload(&self, token: LeaseToken, name: &str) -> Result<UploadKey, Refusal> {
        self.check_lease(token)?;
        let (job, attempt) = self.lease_job(token).ok_or_else(stale)?;
        let project = self.builds[&job.build].row.project.clone();
        Ok(UploadKey { job, attempt, name: name.to_owned(), project })
    }

    /// Records that an attempt refers to a blob. Its file is there already. Refused after the end of the attempt, so that no
    /// blob is added to a build that is finished.
    pub fn refer_to_blob(
        &mut self,
        now: Time,
        token: LeaseToken,
        name: &str,
        blob: (u64, [u8; 32]),
    ) -> Result<(), Refusal> {
        self.hear(now, token)?;
        let key = self.lease_upload(token, name)?;
        let (size, hash) = blob;
        self.record(Record::Blob(BlobRow { key, size, hash, sealed: now }));
        Ok(())
    }

    /// Whether this attempt is under way: it may still store files.
    pub fn is_attempt_open(&self, job: JobKey, attempt: u16) -> bool {
        self.attempt(job).is_some_and(|open| open.row.number == attempt)
    }
}
