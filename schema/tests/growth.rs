//! Older and newer versions read what this version stores and sends. Events of every kind travel whole. What only a newer version
//! knows is passed over, shown as unknown, or refused with a text that says so.
#![expect(clippy::unwrap_used, reason = "a test")]

use capnp::message::{Builder, HeapAllocator, ReaderOptions};
use capnp::serialize::{read_message, write_message_to_words};
use proptest::prelude::*;
use schema::event_capnp::event;
use schema::limits::event_bytes;
use schema::sturdy_ref::Fingerprint;
use schema::values::{
    Assignment, Change, Command, Commit, Cursor, Description, Event, Fact, Home, JobPlan, Outcome, PLAN_VERSION, Plan,
    Right, SourceRevision, SourceStamp, StepPlan, TestCounts, Tier, Time, Trust, UnreadablePlan, What,
};
use schema::wire;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;

const TELLER: Fingerprint = Fingerprint([7; 32]);

fn commit(text: &str) -> Commit {
    Commit { revision: text.to_owned(), author: text.to_owned(), time: Time(9), subject: text.to_owned() }
}

/// Returns one fact of each kind that this version knows, and one of an unknown kind.
fn facts(text: &str, number: u16, count: usize) -> Vec<Fact> {
    let word = || text.to_owned();
    let (job, worker, reason, name, ref_name, revision) = (word(), word(), word(), word(), word(), word());
    let (grant, outcome, attempt, step) = (u64::from(number), Outcome::Warned, number, number);
    let counts = TestCounts { passed: 1, failed: 2, errored: 3, skipped: u32::from(number) };
    vec![
        Fact::ChangeSubmitted {
            ref_name: word(),
            revision: word(),
            forced: number.is_multiple_of(2),
            commits: vec![commit(text); count],
            more_commits: number.is_multiple_of(3),
            paths: vec![word(); count],
            more_paths: number.is_multiple_of(5),
        },
        Fact::RefDeleted { ref_name: word() },
        Fact::BuildCreated { cause: word(), ref_name, revision },
        Fact::BuildPlanned { jobs: vec![word(); count] },
        Fact::JobQueued { job: word() },
        Fact::JobStarted { job: word(), attempt, worker: word() },
        Fact::AttemptLost { job: word(), attempt, worker: word(), reason: word() },
        Fact::StepStarted { job: word(), attempt, step, name: word() },
        Fact::StepFinished {
            job: word(),
            attempt,
            step,
            outcome,
            reason: word(),
            tests: (count > 0).then_some(counts),
        },
        Fact::JobFinished { job, outcome, reason },
        Fact::BuildFinished { outcome },
        Fact::WorkerAttached { worker },
        Fact::WorkerLost { worker: word(), reason: word() },
        Fact::GrantIssued { grant, name: word(), grant_kind: word() },
        Fact::GrantRedeemed { grant, name },
        Fact::GrantRevoked { grant, name: word(), reason: word() },
        Fact::Alarm { text: word() },
        Fact::CronSkipped { name: word(), ref_name: word(), reason: word() },
        Fact::Claimed { ref_name: word(), job: word(), name: word(), until: 7, reason: word() },
        Fact::ClaimReleased { ref_name: word(), job: word(), name: word(), reason: word() },
        Fact::Unknown { kind: word() },
    ]
}

fn event_of(fact: Fact, origin: Option<Fingerprint>) -> Event {
    Event { sequence: 7, time: Time(5), origin, project: "pyfoo".to_owned(), build: 3, fact }
}

fn sent(event: &Event) -> Builder<HeapAllocator> {
    let mut message = Builder::new_default();
    wire::write_event(message.init_root(), event, &TELLER);
    message
}

fn read(message: &Builder<HeapAllocator>) -> Event {
    wire::read_event(message.get_root_as_reader::<event::Reader<'_>>().unwrap()).unwrap()
}

#[test]
fn every_kind_is_tried_here() {
    let tried: Vec<String> = facts("x", 1, 1).iter().map(|fact| fact.kind().to_owned()).collect();
    assert_eq!(tried[..tried.len() - 1], *Fact::KINDS);
}

proptest! {
    #[test]
    fn an_event_is_stored_and_sent_whole(text in "[ -~äöü]{0,40}", number in 0..9_u16, count in 0..20_usize, foreign: bool) {
        let origin = foreign.then_some(Fingerprint([8; 32]));
        for fact in facts(&text, number, count) {
            let event = event_of(fact, origin);
            let stored = serde_json::to_string(&event).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Event>(&stored).unwrap(), &event);
            let message = sent(&event);
            let told = Event { origin: Some(origin.unwrap_or(TELLER)), ..event.clone() };
            prop_assert_eq!(&read(&message), &told);
            let travels = 8 * message.size_in_words();
            let size = event_bytes(&event);
            prop_assert!(travels <= size && size <= 2 * travels + 256, "{:?}: {travels}, {size}", told.fact);
        }
    }
}

#[test]
fn a_kind_that_is_not_known_is_told_by_its_name() {
    // both have only their kind, so that they differ only in the tag of the union
    let [mut sent, other] = [false, true].map(|is_known| {
        let mut message = Builder::new_default();
        let mut event = message.init_root::<event::Builder<'_>>();
        event.set_kind("approvalAsked");
        event.set_sequence(7);
        if is_known {
            event.init_worker_attached();
        }
        write_message_to_words(&message)
    });
    let tag = (0..sent.len()).find(|index| sent[*index] != other[*index]).unwrap();
    sent[tag] = 0xee;
    let message = read_message(sent.as_slice(), ReaderOptions::new()).unwrap();
    let told = wire::read_event(message.get_root().unwrap()).unwrap();
    assert_eq!((told.sequence, told.fact), (7, Fact::Unknown { kind: "approvalAsked".to_owned() }));
    assert_eq!(told.origin, None, "as a master up to version 0.2 tells it");
}

#[test]
fn a_fact_that_only_a_newer_version_knows_is_unknown() {
    let kind = |stored: &str| {
        let Fact::Unknown { kind } = serde_json::from_str(stored).unwrap() else { panic!("{stored} is known") };
        kind
    };
    assert_eq!(kind(r#"{"kind":"approvalAsked","by":{"name":"ann"}}"#), "approvalAsked");
    assert_eq!(kind(r#"{"kind":"buildFinished","outcome":"postponed"}"#), "buildFinished");
    let older = r#"{"kind":"changeSubmitted","ref":"refs/heads/main","revision":"ab","forced":true,"someday":[1]}"#;
    let Fact::ChangeSubmitted { forced, commits, more_commits, paths, .. } = serde_json::from_str(older).unwrap()
    else {
        panic!("it is known")
    };
    assert_eq!((forced, commits.len(), more_commits, paths.len()), (true, 0, false, 0));
}

fn step(command: Command) -> StepPlan {
    StepPlan { name: "s".to_owned(), command, env: vec![("A".to_owned(), "b".to_owned())], ..StepPlan::default() }
}

fn plan() -> Plan {
    let script = Command::Shell { shell: vec!["sh".to_owned()], script: "true".to_owned() };
    let steps = vec![step(script), step(Command::Exec(vec!["true".to_owned()]))];
    let job = JobPlan { name: "j".to_owned(), needs: vec![0], steps, ..JobPlan::default() };
    Plan { version: PLAN_VERSION, jobs: vec![job.clone(), job], trust: Trust::Trusted }
}

/// Returns the value with an unknown field in every object that is a struct. An object with one member may be a variant of an enum,
/// so it gets none.
fn with_unknown_fields(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let is_struct = fields.len() > 1;
            let mut fields: serde_json::Map<String, Value> =
                fields.into_iter().map(|(name, value)| (name, with_unknown_fields(value))).collect();
            if is_struct {
                fields.insert("someday".to_owned(), json!({"a": [null, {"b": 1.5}]}));
            }
            Value::Object(fields)
        }
        Value::Array(elements) => Value::Array(elements.into_iter().map(with_unknown_fields).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

fn passes_over<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
    let stored = with_unknown_fields(serde_json::to_value(&value).unwrap());
    assert!(stored.to_string().contains("someday"), "{stored}");
    assert_eq!(serde_json::from_value::<T>(stored).unwrap(), value);
}

#[test]
fn a_field_that_is_not_known_is_passed_over() {
    let source = SourceRevision { repository: "r".to_owned(), ..SourceRevision::default() };
    let stamp = SourceStamp { sources: vec![source] };
    passes_over(plan());
    passes_over(stamp.clone());
    passes_over(Assignment {
        token: [1; 16],
        project: "p".to_owned(),
        build: 1,
        attempt: 1,
        job: plan().jobs.remove(0),
        stamp,
        lane: "l".to_owned(),
        trust: Trust::Untrusted,
        term_ms: 5,
        plan_version: PLAN_VERSION,
        isolation: Some(Tier::Guard.into()),
    });
    passes_over(Change { commits: vec![commit("c")], ..Change::default() });
    passes_over(Description::default());
    passes_over(Home::default());
    passes_over(Cursor::default());
    passes_over(What { may: [Right::View, Right::Try].into(), ..What::everything() });
    passes_over(event_of(Fact::Alarm { text: "t".to_owned() }, Some(TELLER)));
}

#[test]
fn a_plan_says_why_it_cannot_be_read() {
    let stored = serde_json::to_string(&plan()).unwrap();
    assert_eq!(Plan::parse(&stored), Ok(plan()));
    let newer = stored.replace(r#""version":1"#, r#""version":2"#);
    assert_eq!(Plan::parse(&newer), Err(UnreadablePlan::Newer(2)));
    assert_eq!(Plan::parse(r#"{"version":3,"jobs":{}}"#), Err(UnreadablePlan::Newer(3)), "in another form too");
    let strange = Plan::parse(&stored.replace("fresh", "hermetic")).unwrap_err().to_string();
    assert!(strange.contains("something that this program does not know") && strange.contains("hermetic"), "{strange}");
    assert!(matches!(Plan::parse("{"), Err(UnreadablePlan::Strange(_))));
}

#[test]
fn of_a_job_of_a_newer_plan_only_the_name_is_read() {
    let mut job = plan().jobs.remove(0);
    for (plan_version, steps) in [(0, 2), (PLAN_VERSION, 2), (PLAN_VERSION + 1, 0)] {
        job.name = format!("of {plan_version}");
        let assignment = Assignment {
            token: [1; 16],
            project: String::new(),
            build: 1,
            attempt: 1,
            job: job.clone(),
            stamp: SourceStamp::default(),
            lane: String::new(),
            trust: Trust::Trusted,
            term_ms: 0,
            plan_version,
            isolation: None,
        };
        let mut message = Builder::new_default();
        wire::write_assignment(message.init_root(), &assignment);
        let read = wire::read_assignment(message.get_root_as_reader().unwrap()).unwrap();
        assert_eq!(
            (read.job.name.as_str(), read.job.steps.len(), read.plan_version),
            (job.name.as_str(), steps, plan_version)
        );
    }
}
