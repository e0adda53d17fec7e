//! The master file: differences, and a project to add.

use super::{length, read_texts, write_texts};
use crate::grant_capnp::{difference, new_project};
use crate::values::{Difference, NewProject};

pub fn write_difference(mut to: difference::Builder<'_>, from: &Difference) {
    to.set_key(&from.key);
    to.set_before(&from.before);
    to.set_after(&from.after);
    to.set_needs_restart(from.needs_restart);
}

pub fn read_difference(from: difference::Reader<'_>) -> capnp::Result<Difference> {
    Ok(Difference {
        key: from.get_key()?.to_string()?,
        before: from.get_before()?.to_string()?,
        after: from.get_after()?.to_string()?,
        needs_restart: from.get_needs_restart(),
    })
}

pub fn write_new_project(mut to: new_project::Builder<'_>, from: &NewProject) {
    to.set_name(&from.name);
    to.set_repository(&from.repository);
    write_texts(to.reborrow().init_aliases(length(from.aliases.len())), &from.aliases);
    write_texts(to.reborrow().init_branches(length(from.branches.len())), &from.branches);
    write_texts(to.reborrow().init_tags(length(from.tags.len())), &from.tags);
    to.set_poll(&from.poll);
    write_texts(to.reborrow().init_pools(length(from.pools.len())), &from.pools);
    to.set_public(from.public);
    to.set_credential(&from.credential);
    to.set_known_hosts(&from.known_hosts);
    to.set_token(&from.token);
    to.set_hook_kind(&from.hook_kind);
}

pub fn read_new_project(from: new_project::Reader<'_>) -> capnp::Result<NewProject> {
    Ok(NewProject {
        name: from.get_name()?.to_string()?,
        repository: from.get_repository()?.to_string()?,
        aliases: read_texts(from.get_aliases()?)?,
        branches: read_texts(from.get_branches()?)?,
        tags: read_texts(from.get_tags()?)?,
        poll: from.get_poll()?.to_string()?,
        pools: read_texts(from.get_pools()?)?,
        public: from.get_public(),
        credential: from.get_credential()?.to_owned(),
        known_hosts: from.get_known_hosts()?.to_owned(),
        token: from.get_token()?.to_owned(),
        hook_kind: from.get_hook_kind()?.to_string()?,
    })
}
