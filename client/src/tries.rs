//! Tries: builds of files that nobody pushed. The files travel as a pack of git, whose sending goes on over a new link where it
//! stopped.

use crate::error::Error;
use crate::guild::{Guild, new_request};
use crate::link::Link;
use crate::steer::done;
use schema::common_capnp::byte_sink;
use schema::limits::borders::TRY_PACK;
use schema::limits::{self, COMMIT, SINK_WRITE};
use schema::values::{Refusal, RefusalCode};
use schema::wire::{length, write_texts};
use std::cell::RefCell;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::rc::Rc;

/// How often a pack is sent anew because the master threw it away, for example when it restarted.
const ROUNDS: u32 = 3;

/// A try that is being sent. However often its calls are repeated, it makes one build.
pub struct Try {
    guild: Guild,
    request: [u8; 16],
    project: String,
    commits: Vec<String>,
    /// The sink for the pack, and the link to which it belongs.
    sink: RefCell<Option<(Rc<Link>, byte_sink::Client)>>,
}

/// The choice of what a try builds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// The id of the commit that has the files.
    pub commit: String,
    /// The jobs to run, with or without their cells. An empty list means all.
    pub jobs: Vec<String>,
    /// The only platform to run them on; empty means each job's own.
    pub platform: String,
}

impl Guild {
    /// Returns a new try for this project. `commits` are the ids of the commit below the files and of its first parents, the newest
    /// first, at most 200.
    pub fn new_try(&self, project: &str, commits: Vec<String>) -> Try {
        let (project, sink) = (project.to_owned(), RefCell::default());
        Try { guild: self.clone(), request: new_request(), project, commits, sink }
    }
}

impl Try {
    /// Returns the first of the commits that the master has. Empty means that it has none of them.
    ///
    /// # Errors
    /// Those of [`Guild`]. [`Error::is_unimplemented`] is true of the error if the master is too old for tries.
    pub async fn base(&self) -> Result<String, Error> {
        self.guild.call(async |link| self.begin(&link).await).await
    }

    /// Sends the file `pack`, and asks for the build. `sent` is called with the number of bytes that have been sent, and with their
    /// number in all. Returns the number of the build.
    ///
    /// # Errors
    /// Those of [`Guild`], and [`Error::File`] if the pack cannot be read.
    pub async fn build(&self, pack: &Path, what: &Tried, sent: impl Fn(u64, u64)) -> Result<u32, Error> {
        for _ in 1..ROUNDS {
            self.send(pack, &sent).await?;
            match self.run(what).await {
                Err(Error::Refused(refusal)) if refusal.code == RefusalCode::Offset => {}
                other => return other,
            }
        }
        self.send(pack, &sent).await?;
        self.run(what).await
    }

    /// Opens the sink for the pack on this link. Returns the commit that the master has.
    async fn begin(&self, link: &Rc<Link>) -> Result<String, Error> {
        let mut request = link.submitter().await?.begin_try_request();
        let mut ask = request.get();
        ask.set_request(&self.request);
        ask.set_project(&self.project);
        write_texts(ask.init_commits(length(self.commits.len())), &self.commits);
        let answer = request.send().promise.await?;
        let answer = answer.get()?;
        done(answer.has_refusal(), answer.get_refusal())?;
        *self.sink.borrow_mut() = if answer.has_pack() { Some((link.clone(), answer.get_pack()?)) } else { None };
        Ok(limits::text(answer.get_base(), &COMMIT.told())?)
    }

    /// Returns the sink for the pack on this link.
    async fn sink(&self, link: &Rc<Link>) -> Result<byte_sink::Client, Error> {
        let held = || {
            let sink = self.sink.borrow();
            sink.as_ref().filter(|(of, _)| Rc::ptr_eq(of, link)).map(|(_, sink)| sink.clone())
        };
        if let Some(sink) = held() {
            return Ok(sink);
        }
        self.begin(link).await?;
        held().ok_or_else(|| Error::Protocol("it has no place for the pack of a try".to_owned()))
    }

    async fn send(&self, pack: &Path, sent: &impl Fn(u64, u64)) -> Result<(), Error> {
        let failed = |source| Error::file(pack, source);
        let mut file = File::open(pack).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        if size > TRY_PACK.most {
            return Err(too_large(size));
        }
        let mut offset = self.guild.call(async |link| self.received(&link).await).await?;
        let mut bytes = vec![0; SINK_WRITE.most];
        while offset < size {
            sent(offset, size);
            file.seek(SeekFrom::Start(offset)).map_err(failed)?;
            let count = file.read(&mut bytes).map_err(failed)?;
            if count == 0 {
                return Err(Error::usage(format!("{} has become shorter", pack.display())));
            }
            offset = self.guild.call(async |link| self.write(&link, offset, &bytes[..count]).await).await?;
        }
        sent(size, size);
        let mut sum = blake3::Hasher::new();
        file.seek(SeekFrom::Start(0)).and_then(|_| std::io::copy(&mut file, &mut sum)).map_err(failed)?;
        let hash = *sum.finalize().as_bytes();
        self.guild.call(async |link| self.seal(&link, size, &hash).await).await
    }

    /// Returns how many bytes the master has. If it threw the pack away, it has none, and a new sink is opened.
    async fn received(&self, link: &Rc<Link>) -> Result<u64, Error> {
        match self.size(link).await {
            Err(Error::Refused(refusal)) if refusal.code == RefusalCode::Stale => {
                self.begin(link).await?;
                self.size(link).await
            }
            other => other,
        }
    }

    async fn size(&self, link: &Rc<Link>) -> Result<u64, Error> {
        let answer = self.sink(link).await?.size_request().send().promise.await?;
        let answer = answer.get()?;
        done(answer.has_refusal(), answer.get_refusal())?;
        Ok(answer.get_received())
    }

    /// Writes one part. Returns the offset of the next one, which is an earlier one if the master threw the pack away.
    async fn write(&self, link: &Rc<Link>, offset: u64, bytes: &[u8]) -> Result<u64, Error> {
        let mut request = self.sink(link).await?.write_request();
        request.get().set_offset(offset);
        request.get().set_bytes(bytes);
        let answer = request.send().promise.await?;
        let answer = answer.get()?;
        match done(answer.has_refusal(), answer.get_refusal()) {
            Ok(()) => Ok(answer.get_received()),
            Err(Error::Refused(refusal)) if matches!(refusal.code, RefusalCode::Stale | RefusalCode::Offset) => {
                self.received(link).await
            }
            Err(error) => Err(error),
        }
    }

    async fn seal(&self, link: &Rc<Link>, size: u64, hash: &[u8; 32]) -> Result<(), Error> {
        let mut request = self.sink(link).await?.seal_request();
        request.get().set_length(size);
        request.get().set_blake3(hash);
        let answer = request.send().promise.await?;
        let answer = answer.get()?;
        match done(answer.has_refusal(), answer.get_refusal()) {
            // the call for the build says whether the pack is missing, or was used already
            Err(Error::Refused(refusal)) if matches!(refusal.code, RefusalCode::Stale | RefusalCode::Offset) => Ok(()),
            other => other,
        }
    }

    /// Asks for the build. It waits without a bound, because the master has to check the pack.
    async fn run(&self, what: &Tried) -> Result<u32, Error> {
        let run = async |link: Rc<Link>| {
            let mut request = link.submitter().await?.run_try_request();
            let mut ask = request.get();
            ask.set_request(&self.request);
            ask.set_project(&self.project);
            ask.set_commit(&what.commit);
            ask.set_platform(&what.platform);
            write_texts(ask.init_jobs(length(what.jobs.len())), &what.jobs);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())?;
            Ok(answer.get_number())
        };
        self.guild.call_for_ever(run).await
    }
}

fn too_large(size: u64) -> Error {
    let text = format!("the files that the master lacks take {size} bytes, and at most {} are taken", TRY_PACK.most);
    Error::Refused(Refusal::new(RefusalCode::Invalid, text).help("ignore large files, or push the commits first"))
}
