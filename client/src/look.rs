//! The calls that look at projects, builds, workers and the queue. They need the right `view`.

use crate::error::Error;
use crate::explanation::Explanation;
use crate::guild::{Guild, new_request};
use crate::link::Link;
use crate::steer::done;
use crate::views::{BranchView, BuildView, ChangeView, CronView, ProjectView, QueueItem, Whoami, WorkerView};
use crate::wire::{
    read_branch, read_build, read_change, read_cron, read_explanation, read_grant, read_list, read_project,
    read_queue_item, read_worker,
};
use schema::limits::{self, HOSTS, PAGE, PAGES, ROWS_TOLD};
use schema::perspective_capnp::build;
use schema::sturdy_ref::Token;
use schema::values::Outcome;
use schema::wire::{outcome_from_wire, refusal};

/// A query for builds. A field that is empty or 0 does not narrow it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildQuery {
    /// The name of the project of the builds.
    pub project: String,
    /// The full ref of the builds, or the short name of a branch that was built, or else of a tag.
    pub ref_name: String,
    /// The first digits of the builds' commit id, at least 4 of them.
    pub revision: String,
    /// The number below which the builds' numbers must be. It needs a project.
    pub before: u32,
    /// The number of builds to return, at most 1,000.
    pub limit: u32,
}

impl Guild {
    /// Returns the grant of this credential, as the master knows it.
    pub async fn whoami(&self) -> Result<Whoami, Error> {
        self.call(async |link| {
            let answer = link.perspective()?.whoami_request().send().promise.await?;
            let answer = answer.get()?;
            Ok(Whoami {
                grant: read_grant(answer.get_grant()?)?,
                master: limits::text(answer.get_master(), &HOSTS)?,
                incarnation: answer.get_incarnation(),
                pages: limits::text(answer.get_pages(), &PAGES)?,
            })
        })
        .await
    }

    /// Makes a login of a browser to the master's pages, and returns the address to open. The address works once, within 10 minutes,
    /// and is a secret until then.
    pub async fn browse(&self) -> Result<String, Error> {
        let (id, join) = (new_request(), Token::random());
        self.call(async |link| {
            let mut request = link.perspective()?.browse_request();
            request.get().set_request(&id);
            request.get().set_join_hash(&join.digest());
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())?;
            Ok(format!("{}/login/{}", limits::text(answer.get_address(), &PAGES)?, join.reveal()))
        })
        .await
    }

    /// Returns all projects that the credential may see, ordered by name.
    pub async fn projects(&self) -> Result<Vec<ProjectView>, Error> {
        let page = async |after: String| {
            self.call(async |link| {
                let mut request = link.viewer().await?.projects_request();
                request.get().set_after(&after);
                let answer = request.send().promise.await?;
                let answer = answer.get()?;
                Ok((read_list(answer.get_projects(), &PAGE, read_project)?, answer.get_more()))
            })
            .await
        };
        all_pages(page, |last| last.name.clone()).await.map_err(|error| error.about("the list of projects"))
    }

    /// Returns the cron entries of a project, in the order of their branches and names. They are at most as many as one answer of the
    /// master holds. Returns none for a master up to version 0.2.
    pub async fn crons(&self, project: &str) -> Result<Vec<CronView>, Error> {
        let asked = self.call(async |link| {
            let mut request = link.viewer().await?.crons_request();
            request.get().set_project(project);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())?;
            read_list(answer.get_crons(), &PAGE, read_cron)
        });
        match asked.await {
            Err(error) if error.is_unimplemented() => Ok(Vec::new()),
            answer => answer.map_err(|error| error.about("the builds by the clock")),
        }
    }

    /// Returns the state of a branch or a tag, by its full or short name. With an empty name, it is the project's main branch.
    pub async fn branch(&self, project: &str, name: &str) -> Result<BranchView, Error> {
        self.call(async |link| {
            let mut request = link.viewer().await?.branch_request();
            request.get().set_project(project);
            request.get().set_ref(name);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())?;
            read_branch(answer.get_branch()?)
        })
        .await
        .map_err(|error| error.about("the branch"))
    }

    /// Returns builds without their jobs, the newest first. For one project these are as many as the query asks for; for several
    /// projects, as many as one answer of the master holds.
    pub async fn builds(&self, query: &BuildQuery) -> Result<Vec<BuildView>, Error> {
        let (mut all, mut query) = (Vec::new(), query.clone());
        loop {
            let (page, more) = self.page_of_builds(&query).await.map_err(|error| error.about("the list of builds"))?;
            goes_on(more, page.len()).map_err(|error| error.about("the list of builds"))?;
            let last = page.last().map(|build| build.number);
            query.limit = query.limit.saturating_sub(u32::try_from(page.len()).unwrap_or(u32::MAX));
            all.extend(page);
            match last.filter(|_| more && query.limit > 0 && !query.project.is_empty()) {
                Some(last) => query.before = last,
                None => return Ok(all),
            }
        }
    }

    /// Returns one page of builds, and whether there are more.
    async fn page_of_builds(&self, query: &BuildQuery) -> Result<(Vec<BuildView>, bool), Error> {
        self.call(async |link| {
            let mut request = link.viewer().await?.builds_request();
            let mut ask = request.get();
            ask.set_project(&query.project);
            ask.set_ref(&query.ref_name);
            ask.set_revision(&query.revision);
            ask.set_before(query.before);
            ask.set_limit(query.limit);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            Ok((read_list(answer.get_builds(), &ROWS_TOLD, read_build)?, answer.get_more()))
        })
        .await
    }

    /// Returns one build with its jobs. The number 0 means the project's newest build.
    pub async fn build(&self, project: &str, number: u32) -> Result<BuildView, Error> {
        self.call(async |link| {
            let build = link.build(project, number).await?;
            let answer = build.view_request().send().promise.await?;
            read_build(answer.get()?.get_view()?)
        })
        .await
        .map_err(|error| error.about("the build"))
    }

    /// Returns the update of a ref that made a build. `None` means that a person or the clock asked for the build, or that the master
    /// is older and does not say.
    pub async fn change(&self, project: &str, number: u32) -> Result<Option<ChangeView>, Error> {
        let asked = self.call(async |link| {
            let answer = link.build(project, number).await?.change_request().send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())?;
            read_change(answer.get_change()?)
        });
        match asked.await {
            Ok(change) => Ok(Some(change)),
            Err(error) if error.is_not_found() || error.is_unimplemented() => Ok(None),
            Err(error) => Err(error.about("the change of the build")),
        }
    }

    /// Waits for the end of a build, however often the link is lost meanwhile, and returns its outcome.
    pub async fn outcome(&self, project: &str, number: u32) -> Result<Outcome, Error> {
        self.call_for_ever(async |link| {
            let build = link.build(project, number).await?;
            let answer = build.outcome_request().send().promise.await?;
            outcome_from_wire(answer.get()?.get_outcome()?)
                .ok_or_else(|| Error::Protocol("a finished build without an outcome".to_owned()))
        })
        .await
    }

    /// Returns why a job waits and what would change that, or why it ran where it ran. `job` is its name with its cell.
    pub async fn explain(&self, project: &str, number: u32, job: &str) -> Result<Explanation, Error> {
        self.call(async |link| {
            let mut request = link.build(project, number).await?.explain_request();
            request.get().set_job(job);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())?;
            read_explanation(answer.get_explanation()?)
        })
        .await
        .map_err(|error| error.about("the explanation"))
    }

    /// Returns the workers that the credential may see, ordered by name.
    pub async fn workers(&self) -> Result<Vec<WorkerView>, Error> {
        let page = async |after: String| {
            self.call(async |link| {
                let mut request = link.viewer().await?.workers_request();
                request.get().set_after(&after);
                let answer = request.send().promise.await?;
                let answer = answer.get()?;
                Ok((read_list(answer.get_workers(), &PAGE, read_worker)?, answer.get_more()))
            })
            .await
        };
        all_pages(page, |last| last.name.clone()).await.map_err(|error| error.about("the list of workers"))
    }

    /// Returns the jobs that wait for a worker, in the order of placement; at most 1,000 of them.
    pub async fn queue(&self) -> Result<Vec<QueueItem>, Error> {
        self.call(async |link| {
            let answer = link.viewer().await?.queue_request().send().promise.await?;
            read_list(answer.get()?.get_items(), &ROWS_TOLD, read_queue_item)
        })
        .await
        .map_err(|error| error.about("the queue"))
    }
}

/// Returns all pages of a list. Each page is requested with the name of the last element before it. An older master has only one page.
/// An empty page before the end is an error, because nothing names the page after it.
pub(crate) async fn all_pages<T>(
    page: impl AsyncFn(String) -> Result<(Vec<T>, bool), Error>,
    name: impl Fn(&T) -> String,
) -> Result<Vec<T>, Error> {
    let mut all = Vec::new();
    loop {
        let (next, more) = page(all.last().map(&name).unwrap_or_default()).await?;
        let goes_on = goes_on(more, next.len())?;
        all.extend(next);
        if !goes_on {
            return Ok(all);
        }
    }
}

/// Whether another page follows a page with this many elements.
fn goes_on(more: bool, elements: usize) -> Result<bool, Error> {
    if more && elements == 0 {
        let text = "a page of the list is empty, although more follows, so the list would not be complete";
        return Err(Error::Protocol(text.to_owned()));
    }
    Ok(more)
}

impl Link {
    pub(crate) async fn build(&self, project: &str, number: u32) -> Result<build::Client, Error> {
        let mut request = self.viewer().await?.build_request();
        request.get().set_project(project);
        request.get().set_number(number);
        let answer = request.send().promise.await?;
        let answer = answer.get()?;
        match refusal(answer.has_refusal(), answer.get_refusal())? {
            Some(refusal) => Err(refusal.into()),
            None => Ok(answer.get_build()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads pages that were prepared. Returns the names with which they were requested, and the result.
    async fn asked(pages: &[(&[&str], bool)]) -> (Vec<String>, Result<Vec<String>, Error>) {
        let asked = std::cell::RefCell::new(Vec::new());
        let page = async |after: String| {
            let (names, more) = pages[asked.borrow().len()];
            asked.borrow_mut().push(after);
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            Ok::<_, Error>((names, more))
        };
        let all = all_pages(page, String::clone).await;
        (asked.into_inner(), all)
    }

    #[tokio::test]
    async fn all_pages_are_asked_for() {
        let (after, all) = asked(&[(&["a", "b"], true), (&["c"], false)]).await;
        assert_eq!(after, ["", "b"]);
        assert_eq!(all.unwrap(), ["a", "b", "c"]);
        let (after, all) = asked(&[(&[], false)]).await;
        assert_eq!((after.len(), all.unwrap().len()), (1, 0));
    }

    #[tokio::test]
    async fn an_empty_page_before_the_end_is_an_error() {
        let (_, first) = asked(&[(&[], true)]).await;
        let (after, second) = asked(&[(&["a"], true), (&[], true)]).await;
        assert!(
            matches!((&first, &second), (Err(Error::Protocol(_)), Err(Error::Protocol(_)))),
            "{first:?}, {second:?}"
        );
        assert_eq!(after, ["", "a"]);
    }
}
