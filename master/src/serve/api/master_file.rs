//! The calls of an operator's capability that concern the master file.

use super::operator_access::OperatorAccess;
use super::{Holder, accept};
use schema::grant_capnp::{difference, operator};
use schema::limits::{self, DIFFERENCES, SENTENCE, SUBJECT, WORD};
use schema::values::Difference;
use schema::wire;

pub(super) async fn differences(
    access: &OperatorAccess,
    holder: &Holder,
    mut results: operator::DifferencesResults,
) -> capnp::Result<()> {
    accept!(results, holder.may_do_all("reading the master file"));
    let found = accept!(results, accept!(results, access.config_calls()).differences().await);
    let found = fitting(found);
    write_differences(results.get().init_differences(wire::length(found.len())), &found);
    Ok(())
}

pub(super) async fn reload(
    access: &OperatorAccess,
    holder: &Holder,
    params: operator::ReloadParams,
    mut results: operator::ReloadResults,
) -> capnp::Result<()> {
    accept!(results, holder.may_do_all("reloading the master file"));
    let request = holder.request(params.get()?.get_request(), &[b"operator.reload"])?;
    let found = accept!(results, accept!(results, access.config_calls()).reload(request).await);
    let found = fitting(found);
    write_differences(results.get().init_differences(wire::length(found.len())), &found);
    Ok(())
}

pub(super) async fn add_project(
    access: &OperatorAccess,
    holder: &Holder,
    params: operator::AddProjectParams,
    mut results: operator::AddProjectResults,
) -> capnp::Result<()> {
    accept!(results, holder.may_do_all("adding a project"));
    let params = params.get()?;
    let project = wire::read_new_project(params.get_project()?)?;
    // The JSON leaves out the secrets, because nothing that is derived from them may be kept.
    let told = serde_json::to_vec(&project).expect("our own structs are JSON");
    let request = holder.request(params.get_request(), &[b"operator.addProject", &told])?;
    let added = accept!(results, accept!(results, access.config_calls()).add(request, project).await);
    let mut results = results.get();
    results.set_hook_address(&added.hook_address);
    results.set_hook_secret(&added.hook_secret);
    Ok(())
}

/// Keeps the first differences that have room in one answer, each with the beginning of its values. A person reads no more than that.
fn fitting(mut found: Vec<Difference>) -> Vec<Difference> {
    for difference in &mut found {
        difference.key = SUBJECT.cut(&difference.key).into_owned();
        difference.before = SENTENCE.cut(&difference.before).into_owned();
        difference.after = SENTENCE.cut(&difference.after).into_owned();
    }
    let bytes = |one: &Difference| {
        let texts = [&one.key, &one.before, &one.after];
        WORD + texts.map(|text| limits::text_bytes(text)).iter().sum::<usize>()
    };
    found.truncate(limits::fitting(0, found.iter().map(bytes)).min(DIFFERENCES.most));
    found
}

fn write_differences(mut list: capnp::struct_list::Builder<'_, difference::Owned>, found: &[Difference]) {
    for (index, difference) in (0..).zip(found) {
        wire::write_difference(list.reborrow().get(index), difference);
    }
}
