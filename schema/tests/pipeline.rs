//! Good pipelines, and the plans that they become.
#![cfg(feature = "pipeline")]

use schema::pipeline::{Cause, Context, load};
use schema::values::{Plan, Trust};

fn context(ref_name: &str) -> Context {
    Context { ref_name: ref_name.to_owned(), cause: Cause::Change, paths: None, trust: Trust::Trusted }
}

fn plan_for(text: &str, context: &Context) -> Plan {
    let pipeline = load("guild.toml", text.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"));
    pipeline.expand(context).unwrap()
}

fn plan(text: &str) -> Plan {
    plan_for(text, &context("refs/heads/main"))
}

#[test]
fn smallest() {
    let plan = plan("version = 1\njob.test.run = \"make test\"\n");
    assert_eq!(plan.jobs.len(), 1);
    assert_eq!(plan.jobs[0].name, "test");
    assert_eq!(plan.jobs[0].steps[0].name, "test");
}
