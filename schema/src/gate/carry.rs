//! Carries parameters and answers through a gate. If a message contains capabilities, this module copies the message and wraps them
//! as the caller says. It decides nothing and knows no gate.

use std::cell::RefCell;
use std::rc::Rc;

use capnp::Error;
use capnp::any_pointer;
use capnp::capability::Promise;
use capnp::message::{Builder, HeapAllocator};
use capnp::private::capability::{ClientHook, ParamsHook, PipelineHook, RequestHook, ResultsHook};
use capnp::traits::{Imbue as _, ImbueMut as _};
use futures::channel::oneshot;

/// The size of the first segment of a message whose size is not known yet, in words. Most messages fit into it.
const FIRST_SEGMENT_WORDS: u32 = 64;

/// A capability in the form in which the RPC library holds it.
pub(super) type Inner = Box<dyn ClientHook>;
type Capabilities = Vec<Option<Inner>>;
pub(super) type Outer = Rc<RefCell<Option<Box<dyn ResultsHook>>>>;

/// Says in which form each capability of a message is passed on.
pub(super) trait Wrap: 'static {
    fn wrap(&self, hook: Inner) -> Inner;
}

/// Returns the parameters unchanged if they hold no capability, and otherwise a copy with wrapped capabilities.
pub(super) fn params(hook: Box<dyn ParamsHook>, way: &impl Wrap) -> Result<Box<dyn ParamsHook>, Error> {
    let reader = hook.get()?;
    let size = reader.target_size()?;
    if size.cap_count == 0 {
        return Ok(hook);
    }
    let words = u32::try_from(size.word_count + 1).unwrap_or(FIRST_SEGMENT_WORDS);
    let mut copy = Copy::new(words);
    copy.root()?.set_as(reader)?;
    copy.wrap_all(way);
    Ok(Box::new(copy))
}

/// A copy of a message, with its capabilities.
struct Copy {
    message: Builder<HeapAllocator>,
    capabilities: Capabilities,
}

impl Copy {
    fn new(words: u32) -> Self {
        Self { message: Builder::new(HeapAllocator::new().first_segment_words(words)), capabilities: Vec::new() }
    }

    fn root(&mut self) -> Result<any_pointer::Builder<'_>, Error> {
        let mut root: any_pointer::Builder<'_> = self.message.get_root()?;
        root.imbue_mut(&mut self.capabilities);
        Ok(root)
    }

    fn wrap_all(&mut self, way: &impl Wrap) {
        for slot in &mut self.capabilities {
            *slot = slot.take().map(|hook| way.wrap(hook));
        }
    }
}

impl ParamsHook for Copy {
    fn get(&self) -> Result<any_pointer::Reader<'_>, Error> {
        let mut root: any_pointer::Reader<'_> = self.message.get_root_as_reader()?;
        root.imbue(&self.capabilities);
        Ok(root)
    }
}

/// The results that the called object fills in. Dropping them hands them to the [`Answer`].
pub(super) struct Carried<W> {
    copy: Option<Copy>,
    done: Option<oneshot::Sender<Copy>>,
    outer: Outer,
    way: W,
}

/// The end of [`Carried`] that gives the results to the caller.
pub(super) struct Answer<W> {
    filled: oneshot::Receiver<Copy>,
    outer: Outer,
    way: W,
}

impl<W: Wrap + Clone> Carried<W> {
    pub(super) fn new(results: Box<dyn ResultsHook>, way: W) -> (Self, Answer<W>) {
        let (done, filled) = oneshot::channel();
        let outer: Outer = Rc::new(RefCell::new(Some(results)));
        let carried = Self {
            copy: Some(Copy::new(FIRST_SEGMENT_WORDS)),
            done: Some(done),
            outer: outer.clone(),
            way: way.clone(),
        };
        (carried, Answer { filled, outer, way })
    }
}

impl<W> Carried<W> {
    fn copy(&mut self) -> Result<&mut Copy, Error> {
        let gone = || Error::failed("the results were given away".into());
        self.copy.as_mut().ok_or_else(gone)
    }
}

impl<W: Wrap> Answer<W> {
    pub(super) fn outer(&self) -> Outer {
        self.outer.clone()
    }

    /// Gives the caller the results that the object has filled in.
    pub(super) async fn deliver(self) -> Result<(), Error> {
        let lost = |_| Error::failed("the object gave no results".into());
        let mut copy = self.filled.await.map_err(lost)?;
        copy.wrap_all(&self.way);
        fill(&self.outer, &copy, |_| Ok(()))
    }
}

fn fill(outer: &Outer, copy: &Copy, then: impl FnOnce(&mut dyn ResultsHook) -> Result<(), Error>) -> Result<(), Error> {
    match outer.borrow_mut().as_mut() {
        // The gate was closed meanwhile, so the caller already has its answer.
        None => Ok(()),
        Some(results) => {
            results.get()?.set_as(ParamsHook::get(copy)?)?;
            then(&mut **results)
        }
    }
}

impl<W> Drop for Carried<W> {
    fn drop(&mut self) {
        if let (Some(copy), Some(done)) = (self.copy.take(), self.done.take()) {
            let _ = done.send(copy);
        }
    }
}

impl<W: Wrap> ResultsHook for Carried<W> {
    fn get(&mut self) -> Result<any_pointer::Builder<'_>, Error> {
        self.copy()?.root()
    }

    fn set_pipeline(&mut self) -> Result<(), Error> {
        let outer = self.outer.clone();
        let copy = self.copy()?;
        // This is a copy too, because the object may still change results that the caller's pipeline has already seen.
        let words = copy.message.size_in_words() as u32 + 1;
        let mut early = Copy::new(words);
        early.root()?.set_as(ParamsHook::get(copy)?)?;
        early.wrap_all(&self.way);
        fill(&outer, &early, |results| results.set_pipeline())
    }

    fn allow_cancellation(&self) {}

    fn tail_call(self: Box<Self>, _: Box<dyn RequestHook>) -> Promise<(), Error> {
        Promise::err(Error::unimplemented("tail calls do not pass a gate".into()))
    }

    fn direct_tail_call(self: Box<Self>, _: Box<dyn RequestHook>) -> (Promise<(), Error>, Box<dyn PipelineHook>) {
        let refused = Error::unimplemented("tail calls do not pass a gate".into());
        let broken = capnp_rpc::new_broken_cap(refused.clone());
        let pipeline = broken.hook.new_call(0, 0, None).hook.send().pipeline;
        (Promise::err(refused), pipeline.hook)
    }
}
