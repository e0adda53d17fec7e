//! The membrane of the gate, over real connections in one process, and without a connection.

#![expect(clippy::unwrap_used, reason = "what a test cannot do without ends it")]

mod common;
#[expect(unreachable_pub, reason = "generated")]
mod echo_capnp {
    include!(concat!(env!("OUT_DIR"), "/echo_capnp.rs"));
}

use std::rc::Rc;
use std::time::Duration;

use capnp::Error;
use capnp::capability::FromClientHook;
use common::{Counts, Echo, child, name, pair, run, settle};
use echo_capnp::{echo, other};
use futures::future::join_all;
use schema::gate::{Gate, Refused};
use schema::vat::{Limits, Vat};
use tokio::time::Instant;

struct Scene {
    gate: Gate,
    counts: Rc<Counts>,
    /// The object behind the gate, as the client at the other end of the connection has it.
    far: echo::Client,
    vats: (Vat, Vat),
}

impl Scene {
    fn new() -> Self {
        let (gate, counts) = (Gate::new(7, "alice"), Rc::<Counts>::default());
        let wrapped = gate.wrap(Echo::client("root", &counts));
        let vats = pair(wrapped.client, Limits::known());
        let far = vats.0.bootstrap();
        Self { gate, counts, far, vats }
    }
}

fn refused<T>(result: Result<T, Error>) -> Option<Refused> {
    Refused::of(&result.err()?)
}

async fn is_kept(at: &echo::Client, what: echo::Client) -> bool {
    let mut request = at.is_kept_request();
    request.get().set_other(what);
    let answer = request.send().promise.await.unwrap();
    answer.get().unwrap().get_yes()
}

async fn keep(at: &echo::Client, what: echo::Client) {
    let mut request = at.keep_request();
    request.get().set_other(what);
    request.send().promise.await.unwrap();
}

async fn kept(at: &echo::Client) -> echo::Client {
    let answer = at.kept_request().send().promise.await.unwrap();
    answer.get().unwrap().get_other().unwrap()
}

#[test]
fn two_levels_are_pipelined_in_one_go() {
    run(false, async {
        let scene = Scene::new();
        let grandchild = child(&child(&scene.far, "a"), "b");
        assert_eq!(name(&grandchild).await.unwrap(), "root/a/b");
    });
}

#[test]
fn any_interface_passes() {
    struct Seven;
    impl other::Server for Seven {
        async fn number(
            self: Rc<Self>,
            _: other::NumberParams,
            mut results: other::NumberResults,
        ) -> Result<(), Error> {
            results.get().set_number(7);
            Ok(())
        }
    }
    run(false, async {
        let gate = Gate::new(1, "bob");
        let wrapped: other::Client = gate.wrap(capnp_rpc::new_client(Seven));
        let answer = wrapped.number_request().send().promise.await.unwrap();
        assert_eq!(answer.get().unwrap().get_number(), 7);
        let wrong: echo::Client = wrapped.cast_to();
        let error = name(&wrong).await.unwrap_err();
        assert_eq!(error.kind, capnp::ErrorKind::Unimplemented);
    });
}

#[test]
fn a_thousand_calls_in_flight_fail_on_revoke_and_all_objects_go() {
    run(false, async {
        let scene = Scene::new();
        let deep = child(&child(&scene.far, "a"), "b");
        name(&deep).await.unwrap();
        let early = scene.far.early_request().send();
        let early_child = early.pipeline.get_child();
        assert_eq!(name(&early_child).await.unwrap(), "root/early");
        let calls: Vec<_> = (0..1000)
            .map(|n| if n % 2 == 0 { &scene.far } else { &deep })
            .map(|client| client.never_request().send().promise)
            .collect();
        while scene.counts.waiting.get() < 1001 {
            tokio::task::yield_now().await;
        }
        assert_eq!(scene.gate.calls_in_flight(), 1001);
        scene.gate.revoke("she left");
        for answer in join_all(calls).await {
            let error = answer.err().unwrap();
            assert_eq!(Refused::of(&error), Some(Refused::Revoked), "{error}");
            assert!(error.extra.ends_with("revoked: she left (grant 7, alice)"));
        }
        assert_eq!(refused(early.promise.await), Some(Refused::Revoked));
        assert_eq!(scene.gate.calls_in_flight(), 0);
        assert_eq!(scene.counts.waiting.get(), 0, "the calls were dropped");
        assert_eq!(scene.counts.alive.get(), 0, "and so were the objects");
        for client in [&scene.far, &deep, &early_child, &child(&deep, "c")] {
            assert_eq!(refused(name(client).await), Some(Refused::Revoked));
        }
        drop(scene.vats);
    });
}

#[test]
fn what_passes_in_parameters_is_wrapped_the_other_way() {
    run(false, async {
        let scene = Scene::new();
        let mine = Echo::client("mine", &scene.counts);
        let mut request = scene.far.call_back_request();
        request.get().set_other(mine.clone());
        let answer = request.send().promise.await.unwrap();
        let answer = answer.get().unwrap();
        assert_eq!(answer.get_name().unwrap(), "mine");
        // the object is unwrapped when it comes back
        let same = capnp::capability::get_resolved_cap(answer.get_same().unwrap()).await;
        assert_eq!(address(&same), address(&mine));

        keep(&scene.far, mine).await;
        scene.gate.revoke("enough");
        assert_eq!(refused(name(&scene.far).await), Some(Refused::Revoked));
    });
}

#[test]
fn the_holder_is_out_of_reach_after_revoke_but_for_a_last_word() {
    run(false, async {
        let (gate, counts) = (Gate::new(2, "worker"), Rc::<Counts>::default());
        let inside = Echo::client("inside", &counts);
        let outside = gate.wrap(inside.clone());
        keep(&outside, Echo::client("callback", &counts)).await;
        let callback = kept(&inside).await;
        assert_eq!(name(&callback).await.unwrap(), "callback");
        assert!(gate.behind(&outside).is_none(), "only what came in has one");
        let last = gate.behind(&callback).unwrap();
        gate.revoke("enough");
        assert_eq!(refused(name(&callback).await), Some(Refused::Revoked));
        assert_eq!(name(&last).await.unwrap(), "callback");
    });
}

#[test]
fn what_comes_home_is_unwrapped_resolved_or_not() {
    run(false, async {
        let (gate, counts) = (Gate::new(3, "carol"), Rc::<Counts>::default());
        let inside = Echo::client("inside", &counts);
        let item = Echo::client("item", &counts);
        keep(&inside, item.clone()).await;
        let (client, _server) = pair(gate.wrap(inside).client, Limits::known());
        let far: echo::Client = client.bootstrap();
        let held = kept(&far).await;
        assert!(is_kept(&far, held.clone()).await);
        let wrapped = gate.capabilities();
        assert!(is_kept(&far, held.clone()).await);
        assert_eq!(gate.capabilities(), wrapped, "nothing is wrapped twice");
        // this is a promise of the object, which is passed on before it has resolved
        let promised = far.kept_request().send().pipeline.get_other();
        assert!(is_kept(&far, promised).await);
        assert!(!is_kept(&far, far.clone()).await);
    });
}

#[test]
fn one_object_has_one_wrapper() {
    run(false, async {
        let (gate, counts) = (Gate::new(3, "carol"), Rc::<Counts>::default());
        let inside = Echo::client("inside", &counts);
        let (one, two) = (gate.wrap(inside.clone()), gate.wrap(inside));
        assert_eq!(address(&one), address(&two));
        assert_eq!(gate.capabilities(), 1);
        drop((one, two));
        assert_eq!(gate.capabilities(), 0);
        assert_eq!(counts.alive.get(), 0);
    });
}

#[test]
fn another_grants_capability_stays_in_its_gate() {
    run(false, async {
        let counts = Rc::<Counts>::default();
        let (alice, bob) = (Gate::new(1, "alice"), Gate::new(2, "bob"));
        let inside = Echo::client("inside", &counts);
        let of_alice = alice.wrap(Echo::client("alice's", &counts));
        let of_bob = bob.wrap(inside.clone());
        keep(&of_bob, of_alice.clone()).await;
        let seen = kept(&inside).await;
        assert_eq!(name(&seen).await.unwrap(), "alice's");
        alice.revoke("gone");
        assert_eq!(refused(name(&seen).await), Some(Refused::Revoked));
        assert_eq!(name(&of_bob).await.unwrap(), "inside");
    });
}

fn address(client: &echo::Client) -> usize {
    client.as_client_hook().get_ptr()
}

#[test]
fn what_a_gate_below_has_wrapped_passes_as_it_is() {
    run(false, async {
        let counts = Rc::<Counts>::default();
        for is_parent_closed in [false, true] {
            let parent = Gate::new(1, "worker");
            let below = parent.child(1, "worker").child(1, "worker");
            let inside = Echo::client("inside", &counts);
            let (outside, item) = (parent.wrap(inside.clone()), below.wrap(Echo::client("item", &counts)));
            keep(&inside, item.clone()).await;
            let held = capnp::capability::get_resolved_cap(kept(&outside).await).await;
            assert_eq!((address(&held), name(&held).await.unwrap()), (address(&item), "item".to_owned()));
            assert!(is_kept(&outside, held.clone()).await, "and comes home as it is");
            assert_eq!((parent.capabilities(), below.capabilities()), (1, 1));
            if is_parent_closed { &parent } else { &below }.revoke("enough");
            assert_eq!(refused(name(&held).await), Some(Refused::Revoked));
            assert_eq!(refused(name(&outside).await).is_some(), is_parent_closed);
        }
    });
}

#[test]
fn what_a_gate_above_has_wrapped_is_wrapped_once_more() {
    run(false, async {
        let counts = Rc::<Counts>::default();
        let parent = Gate::new(1, "worker");
        for gate in [parent.clone(), parent.child(1, "other")] {
            let below = parent.child(1, "session");
            let inside = Echo::client("inside", &counts);
            let (outside, item) = (below.wrap(inside.clone()), gate.wrap(Echo::client("item", &counts)));
            keep(&inside, item.clone()).await;
            let held = capnp::capability::get_resolved_cap(kept(&outside).await).await;
            assert_ne!(address(&held), address(&item));
            assert!(is_kept(&outside, held.clone()).await, "and is unwrapped when it comes home");
            assert_eq!(name(&held).await.unwrap(), "item");
            below.revoke("enough");
            assert_eq!(refused(name(&held).await), Some(Refused::Revoked));
            assert_eq!(name(&item).await.unwrap(), "item");
        }
    });
}

#[test]
fn plain_calls_keep_their_order() {
    run(false, async {
        let scene = Scene::new();
        let notes = (1..=500).map(|number| {
            let mut request = scene.far.note_request();
            request.get().set_number(number);
            request.send().promise
        });
        let notes: Vec<_> = notes.collect();
        for (before, answer) in join_all(notes).await.into_iter().enumerate() {
            assert_eq!(answer.unwrap().get().unwrap().get_before() as usize, before);
        }
    });
}

#[test]
fn calls_on_a_promise_keep_their_order() {
    run(false, async {
        let scene = Scene::new();
        let promised = child(&scene.far, "later");
        let mut request = scene.far.keep_request();
        request.get().set_other(promised.clone());
        let kept = request.send().promise;
        let notes: Vec<_> = (1..=100)
            .map(|number| {
                let mut request = promised.note_request();
                request.get().set_number(number);
                request.send().promise
            })
            .collect();
        for (before, answer) in join_all(notes).await.into_iter().enumerate() {
            assert_eq!(answer.unwrap().get().unwrap().get_before() as usize, before);
        }
        kept.await.unwrap();
    });
}

#[test]
fn a_panic_fails_its_call_only() {
    run(false, async {
        let scene = Scene::new();
        for late in [false, true] {
            let mut request = scene.far.panic_request();
            request.get().set_late(late);
            let error = request.send().promise.await.err().unwrap();
            assert!(error.extra.contains("internal error"), "{error}");
            assert!(!error.extra.contains("on purpose"), "that is for the log");
            assert_eq!(name(&scene.far).await.unwrap(), "root");
        }
        assert_eq!(scene.gate.calls_in_flight(), 0);
    });
}

#[test]
fn dropping_the_client_releases_the_object() {
    run(false, async {
        let scene = Scene::new();
        let deep = child(&scene.far, "a");
        name(&deep).await.unwrap();
        assert_eq!(scene.counts.alive.get(), 2);
        drop(deep);
        while scene.counts.alive.get() > 1 {
            tokio::task::yield_now().await;
        }
        drop(scene.far);
        drop(scene.vats);
        while scene.counts.alive.get() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(scene.gate.capabilities(), 0);
    });
}

#[test]
fn dropping_a_call_drops_it_inside() {
    run(false, async {
        let scene = Scene::new();
        let call = scene.far.never_request().send();
        while scene.counts.waiting.get() < 1 {
            tokio::task::yield_now().await;
        }
        drop(call);
        while scene.counts.waiting.get() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(scene.gate.calls_in_flight(), 0);
    });
}

#[test]
fn of_two_grants_on_one_connection_one_is_revoked_under_load() {
    run(false, async {
        let counts = Rc::<Counts>::default();
        let (alice, bob) = (Gate::new(1, "alice"), Gate::new(2, "bob"));
        let desk = Echo::client("desk", &counts);
        let (client, _server) = pair(desk.client.clone(), Limits::known());
        let far: echo::Client = client.bootstrap();
        keep(&desk, alice.wrap(Echo::client("a", &counts))).await;
        let of_alice = kept(&far).await;
        keep(&desk, bob.wrap(Echo::client("b", &counts))).await;
        let of_bob = kept(&far).await;

        let waiting: Vec<_> = (0..200).map(|_| of_alice.never_request().send().promise).collect();
        let calls: Vec<_> = (0..1000)
            .map(|_| {
                drop(tokio::task::spawn_local(of_alice.name_request().send().promise));
                of_bob.name_request().send().promise
            })
            .collect();
        while counts.waiting.get() < 200 {
            tokio::task::yield_now().await;
        }
        alice.revoke("under load");
        for answer in join_all(calls).await {
            assert_eq!(answer.unwrap().get().unwrap().get_name().unwrap(), "b");
        }
        for answer in join_all(waiting).await {
            assert_eq!(refused(answer), Some(Refused::Revoked));
        }
    });
}

#[test]
fn a_child_dies_with_its_parent_and_not_the_other_way() {
    run(false, async {
        let counts = Rc::<Counts>::default();
        let parent = Gate::new(1, "alice");
        let (first, second) = (parent.child(2, "first"), parent.child(3, "second"));
        let grandchild = second.child(4, "grandchild");
        let object = Echo::client("o", &counts);
        let of = |gate: &Gate| gate.wrap(object.clone());
        let (of_first, of_second, of_grand) = (of(&first), of(&second), of(&grandchild));
        first.revoke("only this");
        assert_eq!(refused(name(&of_first).await), Some(Refused::Revoked));
        assert_eq!(name(&of_second).await.unwrap(), "o");
        let waiting = of_grand.never_request().send().promise;
        let waiting = tokio::task::spawn_local(waiting);
        settle().await;
        parent.revoke("all of it");
        let error = waiting.await.unwrap().err().unwrap();
        assert_eq!(error.extra, "revoked: all of it (grant 4, grandchild)");
        assert_eq!(refused(name(&of_second).await), Some(Refused::Revoked));
        assert!(parent.child(5, "late").is_revoked());
    });
}

#[test]
fn expiry_refuses_and_ends_what_waits() {
    run(true, async {
        let counts = Rc::<Counts>::default();
        let end = Instant::now() + Duration::from_secs(60);
        let parent = Gate::new(1, "alice").expires_at(end);
        let gate = parent.child(2, "nearer");
        let wrapped = gate.wrap(Echo::client("o", &counts));
        name(&wrapped).await.unwrap();
        let error = wrapped.never_request().send().promise.await.err().unwrap();
        assert_eq!(Refused::of(&error), Some(Refused::Expired));
        assert_eq!(Instant::now(), end);
        assert_eq!(refused(name(&wrapped).await), Some(Refused::Expired));
        assert!(gate.is_revoked() && parent.is_revoked());
    });
}

#[test]
fn a_policy_attenuates_and_binds_the_children_too() {
    run(false, async {
        let counts = Rc::<Counts>::default();
        let forbid = |method: u16| {
            move |_, called| match called == method {
                true => Err(Error::failed(format!("method {method} is not granted"))),
                false => Ok(()),
            }
        };
        let parent = Gate::new(1, "alice").with_policy(forbid(2));
        let gate = parent.child(2, "less").with_policy(forbid(1));
        let wrapped = gate.wrap(Echo::client("o", &counts));
        assert_eq!(name(&wrapped).await.unwrap(), "o");
        let text = |error: Error| error.extra;
        let never = wrapped.never_request().send().promise.await;
        assert_eq!(text(never.err().unwrap()), "method 2 is not granted");
        let made = name(&child(&wrapped, "x")).await;
        assert_eq!(text(made.err().unwrap()), "method 1 is not granted");
    });
}

#[test]
fn a_promise_that_never_resolves_does_not_outlive_the_gate() {
    run(false, async {
        let (gate, counts) = (Gate::new(9, "dave"), Rc::<Counts>::default());
        let inside = Echo::client("inside", &counts);
        let outside = gate.wrap(inside.clone());
        let never = capnp_rpc::new_future_client(std::future::pending());
        keep(&outside, never).await;
        let seen = kept(&inside).await;
        let waiting = tokio::task::spawn_local(async move { name(&seen).await });
        settle().await;
        gate.revoke("enough");
        assert_eq!(refused(waiting.await.unwrap()), Some(Refused::Revoked));
    });
}
