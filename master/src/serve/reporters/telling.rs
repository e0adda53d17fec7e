//! Looks at one branch of a project after another, reports the news that is due, and records it.

use super::channel::{self, Channel, Handed, Parcel, PutOff};
use super::compose;
use super::episodes::{self, News, NewsLane, Next, ObservedBranch, Said};
use super::inherited::{self, LaneAtFork};
use super::notice::{Notice, NoticeClaim};
use super::reminders::{self, Reminder};
use super::told::{self, Branch};
use super::{LATER, ProjectRef, ReporterAccess};
use crate::config::NoticeConfig;
use crate::decide::coordinator::record::{ToldRow, Transition};
use crate::keep::health::DeliveryHealth;
use futures::future::LocalBoxFuture;
use schema::values::Time;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// The most deliveries of one reporter that are under way at a time. One that hangs until its deadline holds back only its own project.
const AT_ONCE: usize = 8;
/// The first and the longest pause between tries to deliver a notice; each pause is twice as long as the previous one.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(5 * 60);

/// A `Teller` is what the rounds of one reporter share.
pub(super) struct Teller {
    name: String,
    born: Time,
    config: NoticeConfig,
    access: Rc<ReporterAccess>,
    health: Rc<DeliveryHealth>,
    slots: Semaphore,
    channel: Box<dyn Channel>,
    /// The channel for deliveries that have reached only some of their receivers.
    partly: mpsc::UnboundedSender<LocalBoxFuture<'static, ()>>,
}

/// A `Round` is the result of one round through the branches of a project that were due.
pub(super) struct Round {
    pub(super) project: String,
    /// The branches to look at again, and when, even if nothing happens.
    pub(super) again: Vec<(ProjectRef, Time)>,
    pub(super) has_told: bool,
}

impl Teller {
    pub(super) fn new(
        (name, born): (String, Time),
        config: NoticeConfig,
        access: Rc<ReporterAccess>,
        health: Rc<DeliveryHealth>,
        partly: mpsc::UnboundedSender<LocalBoxFuture<'static, ()>>,
    ) -> Teller {
        let channel = channel::open(&config.by, &access, &health);
        Teller { name, born, config, access, health, slots: Semaphore::new(AT_ONCE), channel, partly }
    }

    /// Looks at the branches that are due, one after another, so that news is reported in its order. A look that fails is repeated later.
    pub(super) async fn round(self: Rc<Self>, project: String, due: Vec<ProjectRef>) -> Round {
        let mut round = Round { project, again: Vec::new(), has_told: false };
        let mut is_well = true;
        for place in due {
            let again = match self.look(&place, &mut round.has_told).await {
                Ok(again) => again,
                Err(why) => {
                    let why = format!("failed to look at {}: {why}", place.1);
                    tracing::warn!("{}: {why}", round.project);
                    self.health.fails(&round.project, self.now(), &why);
                    is_well = false;
                    Some(self.now().after(LATER))
                }
            };
            round.again.extend(again.map(|again| (place, again)));
        }
        if is_well {
            self.health.is_well(&round.project);
        }
        round
    }

    /// Reports the news that is due about a branch. Returns when to look again even if nothing happens.
    async fn look(&self, (project, ref_name): &ProjectRef, has_told: &mut bool) -> Result<Option<Time>, String> {
        let branch = Branch { project, ref_name };
        loop {
            let looked = self.now();
            let (view, told) = self.read(branch).await?;
            let time = told::time_of(&told, looked);
            let next = episodes::next(&view, &told, self.born, looked);
            let (news, is_told) = match next {
                Next::Nothing => match self.remind(branch, (&view, &told), looked).await? {
                    Reminded::Sent => {
                        *has_told = true;
                        continue;
                    }
                    Reminded::Later(again) => return Ok(again),
                },
                Next::Wait(again) => return Ok(Some(again)),
                Next::Add(news) => (news, false),
                Next::Tell(news) => (news, true),
            };
            let rows = match self.compare(branch, news).await? {
                Compared::Inherited(lanes) => told::inherited(&self.name, branch, &lanes, time),
                Compared::News(news) => {
                    let id = told::id_of(branch, &news, &told);
                    if is_told {
                        self.tell(branch, &news, &id, Vec::new()).await?;
                    }
                    told::rows(&self.name, branch, &news, &id, time)
                }
            };
            self.remember(project, rows).await;
            *has_told = true;
        }
    }

    /// Reminds people of a branch that is still red, if that is due.
    async fn remind(
        &self,
        branch: Branch<'_>,
        (view, told): (&ObservedBranch, &[Said]),
        looked: Time,
    ) -> Result<Reminded, String> {
        let is_gone = || self.access.reads.is_gone(branch.project, branch.ref_name);
        let Some(every) = self.config.remind.filter(|_| !is_gone()) else { return Ok(Reminded::Later(None)) };
        let claim = |job: &str| self.access.reads.claim(branch.project, branch.ref_name, job);
        match reminders::next(branch, (view, told), every, |job| claim(job).is_some(), looked) {
            Reminder::Nothing => Ok(Reminded::Later(None)),
            Reminder::Wait(again) => Ok(Reminded::Later(Some(again))),
            Reminder::Send(mut news, id) => {
                // The first notice went to the people whom this comparison suspects. What the main branch says later changes nothing.
                self.look_at_fork(branch, &mut news).await?;
                let claims = view.lanes.iter().filter_map(|(job, _)| claim(job)).collect();
                let mut gone = BTreeSet::new();
                for build in news.lanes.iter().map(|lane| lane.since.build) {
                    if self.access.reads.build(branch.project, build).await?.is_none() {
                        gone.insert(build);
                    }
                }
                let shown = reminders::with_kept_builds(news.clone(), view, &gone);
                self.tell(branch, &shown, &id, claims).await?;
                let failure = news.failure.clone().unwrap_or_default();
                let rows = told::rows(&self.name, branch, &news, &failure, told::time_of(told, looked));
                self.remember(branch.project, rows).await;
                Ok(Reminded::Sent)
            }
        }
    }

    async fn read(&self, branch: Branch<'_>) -> Result<(ObservedBranch, Vec<Said>), String> {
        self.access.reads.look(&self.name, branch.project, branch.ref_name).await
    }

    /// Compares lanes that were never good on their branch with the main branch.
    async fn compare(&self, branch: Branch<'_>, mut news: News) -> Result<Compared, String> {
        let inherited = match news.turn {
            Transition::NewlyFailing => self.look_at_fork(branch, &mut news).await?,
            Transition::Fixed => Vec::new(),
        };
        Ok(if inherited.is_empty() { Compared::News(news) } else { Compared::Inherited(inherited) })
    }

    /// Finds where lanes that were never good on their branch were good on the main branch. Returns the lanes that were red there.
    async fn look_at_fork(&self, branch: Branch<'_>, news: &mut News) -> Result<Vec<NewsLane>, String> {
        let mut inherited = Vec::new();
        for lane in news.lanes.iter_mut().filter(|lane| lane.last_good.is_none()) {
            match inherited::before(&*self.access.reads, branch, lane).await? {
                LaneAtFork::Good(mark) => lane.last_good = Some(mark),
                LaneAtFork::Bad => inherited.push(lane.clone()),
                LaneAtFork::Unknown => {}
            }
        }
        Ok(inherited)
    }

    /// Composes and delivers the news, which may take long.
    async fn tell(&self, branch: Branch<'_>, news: &News, id: &str, claims: Vec<NoticeClaim>) -> Result<(), String> {
        if !self.config.events.contains(&news.turn) {
            return Ok(());
        }
        match compose::compose(&self.access, branch, news, id.to_owned()).await? {
            Some(notice) => self.deliver(&Notice { claims, ..notice }).await,
            None => Ok(()),
        }
    }

    /// Records the news as reported. It tries until that is committed, because otherwise the news would be reported again.
    async fn remember(&self, project: &str, rows: Vec<ToldRow>) {
        loop {
            match self.access.deliveries.record(rows.clone()).await {
                Ok(()) => return,
                Err(why) => {
                    self.health.fails(project, self.now(), &why);
                    tokio::time::sleep(LATER).await;
                }
            }
        }
    }

    /// Delivers the notice by the channel, and tries until that succeeds or is given up.
    async fn deliver(&self, notice: &Notice) -> Result<(), String> {
        let Some(mut parcel) = self.channel.pack(notice)? else {
            tracing::warn!("a notice of {} by {} has no recipients", notice.selector, self.health.by.shown());
            return Ok(());
        };
        let (mut pause, began) = (PAUSE_MIN, self.now());
        while let Err(put_off) = self.hand_over(&mut *parcel).await {
            let why = put_off.why;
            if put_off.tried_for.is_some_and(|most| self.now().since(began) >= most) {
                self.give_up(notice, &why);
                return Ok(());
            }
            let (selector, means) = (&notice.selector, self.health.by.shown());
            tracing::warn!("a notice of {selector} by {means} is tried again in {} s: {why}", pause.as_secs());
            self.health.fails(&notice.project, self.now(), &why);
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(PAUSE_MAX);
        }
        self.health.is_well(&notice.project);
        tracing::info!(id = notice.id, "sent by {}: {}", self.health.by.shown(), notice.subject());
        Ok(())
    }

    fn give_up(&self, notice: &Notice, why: &str) {
        let text = format!("nobody got \"{}\": {why}", notice.subject());
        tracing::warn!("a notice is given up: {text}");
        self.health.gives_up(self.now(), text);
    }

    async fn hand_over(&self, parcel: &mut dyn Parcel) -> Result<(), PutOff> {
        let slot = self.slots.acquire().await;
        let _slot = slot.map_err(|error| PutOff::of_the_way(error.to_string()))?;
        if let Handed::Partly(rest) = parcel.hand_over().await? {
            // the receiver of this channel lives as long as this teller
            let _ = self.partly.send(rest);
        }
        Ok(())
    }

    fn now(&self) -> Time {
        self.access.clock.now()
    }
}

/// The result of a look at the reminders of a branch.
enum Reminded {
    Sent,
    /// Nothing is due now, and this is when to look again.
    Later(Option<Time>),
}

/// The result of the comparison with the main branch.
enum Compared {
    News(News),
    /// Lanes that were red already where the branch began.
    Inherited(Vec<NewsLane>),
}
