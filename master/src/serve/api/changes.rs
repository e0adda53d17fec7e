//! The authority to say that a repository changed. The master takes this only as a hint, and the source looks itself.

use super::submitter_access::SubmitterAccess;
use super::{Holder, accept, refuse};
use schema::change_capnp::change_sink;
use schema::limits::{self, PROJECT, REF};
use schema::values::{Refusal, RefusalCode, Right};
use std::rc::Rc;

pub(super) struct Changes {
    pub(super) access: Rc<SubmitterAccess>,
    pub(super) holder: Holder,
}

impl change_sink::Server for Changes {
    async fn submit(
        self: Rc<Self>,
        params: change_sink::SubmitParams,
        mut results: change_sink::SubmitResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (project, ref_name) =
            (limits::text(params.get_project(), &PROJECT)?, limits::text(params.get_ref(), &REF)?);
        accept!(results, self.holder.may(Right::Changes, &project));
        let body: [&[u8]; 3] = [b"changes.submit", project.as_bytes(), ref_name.as_bytes()];
        // Looking twice at the same ref makes nothing twice, so only the shape of the id is checked.
        self.holder.request(params.get_request(), &body)?;
        let repository = accept!(results, self.access.repository(&project));
        if ref_name.is_empty() {
            accept!(results, repository.look_at_all().await);
            return Ok(());
        }
        if let Err(why) = crate::keep::mirror::check_ref(&ref_name) {
            refuse!(results, Refusal::new(RefusalCode::Invalid, why));
        }
        accept!(results, repository.look(&ref_name).await);
        let number = self.number_of(&project, &ref_name).await?;
        results.get().set_build(number);
        Ok(())
    }
}

impl Changes {
    /// The number of the newest build of the ref's tip, or 0 if there is no build.
    async fn number_of(&self, project: &str, ref_name: &str) -> capnp::Result<u32> {
        let filter = crate::keep::store::BuildFilter {
            project: Some(project.to_owned()),
            ref_name: Some(ref_name.to_owned()),
            ..Default::default()
        };
        let found = self.access.viewer().history(&self.holder).builds(filter, 1).await;
        Ok(found.map_err(super::broken)?.first().map_or(0, |row| row.number))
    }
}
