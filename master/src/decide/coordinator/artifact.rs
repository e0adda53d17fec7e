//! Files that an attempt stores beside its logs.

use super::Coordinator;
use super::lease::stale;
use super::record::{BlobRow, JobKey, LeaseToken, Record, UploadKey};
use schema::values::{Refusal, Time};

impl Coordinator {
    /// Returns the key of the upload with this name in the attempt of a lease. Refuses it before the attempt begins and after it ends.
    pub fn lease_upload(&self, token: LeaseToken, name: &str) -> Result<UploadKey, Refusal> {
        self.check_lease(token)?;
        let (job, attempt) = self.lease_job(token).ok_or_else(stale)?;
        let project = self.builds[&job.build].row.project.clone();
        Ok(UploadKey { job, attempt, name: name.to_owned(), project })
    }

    /// Records that an attempt refers to a blob, whose file is stored already. Refuses this after the end of the attempt, so that no
    /// blob is added to a finished build.
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

    /// Whether this attempt is under way, so that it may still store files.
    pub fn is_attempt_open(&self, job: JobKey, attempt: u16) -> bool {
        self.attempt(job).is_some_and(|open| open.row.number == attempt)
    }
}
