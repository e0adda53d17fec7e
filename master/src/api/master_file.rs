//! The master file, as an operator's desk offers it.

use super::accept;
use super::operator::Operator;
use crate::desk::{Difference, HookKind, NewProject};
use schema::grant_capnp::{difference, new_project, operator};
use schema::values::{Refusal, RefusalCode};
use schema::wire;

pub(super) async fn differences(desk: &Operator, mut results: operator::DifferencesResults) -> capnp::Result<()> {
    let found = accept!(results, accept!(results, desk.office.desk()).differences().await);
    write_differences(results.get().init_differences(wire::length(found.len())), &found);
    Ok(())
}

pub(super) async fn reload(
    desk: &Operator,
    params: operator::ReloadParams,
    mut results: operator::ReloadResults,
) -> capnp::Result<()> {
    let request = desk.holder.request(params.get()?.get_request()?, &[b"operator.reload"])?;
    let found = accept!(results, accept!(results, desk.office.desk()).reload(request).await);
    write_differences(results.get().init_differences(wire::length(found.len())), &found);
    Ok(())
}

pub(super) async fn add_project(
    desk: &Operator,
    params: operator::AddProjectParams,
    mut results: operator::AddProjectResults,
) -> capnp::Result<()> {
    let params = params.get()?;
    let project = accept!(results, read_project(params.get_project()?)?);
    // what it is, but for secrets: nothing that is derived from them is kept
    let text = project.text().unwrap_or_default();
    let body: [&[u8]; 3] = [b"operator.addProject", project.name.as_bytes(), text.as_bytes()];
    let request = desk.holder.request(params.get_request()?, &body)?;
    let added = accept!(results, accept!(results, desk.office.desk()).add(request, project).await);
    let mut results = results.get();
    results.set_hook_address(&added.hook_address);
    results.set_hook_secret(&added.hook_secret);
    Ok(())
}

fn read_project(from: new_project::Reader<'_>) -> capnp::Result<Result<NewProject, Refusal>> {
    let word = from.get_hook_kind()?.to_string()?;
    let hook = HookKind::ALL.into_iter().find(|kind| kind.word() == word);
    if hook.is_none() && !word.is_empty() {
        let known = HookKind::ALL.map(HookKind::word).join(", ");
        let refusal = Refusal::new(RefusalCode::Invalid, format!("`{word}` is no kind of hook"));
        return Ok(Err(refusal.help(format!("one of {known}"))));
    }
    Ok(Ok(NewProject {
        name: from.get_name()?.to_string()?,
        repository: from.get_repository()?.to_string()?,
        aliases: wire::read_texts(from.get_aliases()?)?,
        branches: wire::read_texts(from.get_branches()?)?,
        tags: wire::read_texts(from.get_tags()?)?,
        poll: from.get_poll()?.to_string()?,
        pools: wire::read_texts(from.get_pools()?)?,
        public: from.get_public(),
        credential: from.get_credential()?.to_owned(),
        known_hosts: from.get_known_hosts()?.to_owned(),
        token: from.get_token()?.to_owned(),
        hook,
        hook_secret: String::new(),
    }))
}

fn write_differences(mut list: capnp::struct_list::Builder<'_, difference::Owned>, found: &[Difference]) {
    for (index, difference) in (0..).zip(found) {
        let mut to = list.reborrow().get(index);
        to.set_key(&difference.key);
        to.set_before(&difference.before);
        to.set_after(&difference.after);
        to.set_needs_restart(difference.needs_restart);
    }
}
