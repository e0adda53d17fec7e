//! The differences of a master file, and a project to add to it, in their form on the wire.

use super::{length, write_texts};
use crate::grant_capnp::{difference, new_project};
use crate::limits::{self, ADDRESS, PATTERN, PATTERNS, POOL, POOLS, PROJECT, SECRET, SENTENCE, SETTING, SUBJECT};
use crate::values::{Difference, NewProject};

/// Writes a difference of the master file in its form on the wire.
pub fn write_difference(mut to: difference::Builder<'_>, from: &Difference) {
    to.set_key(&from.key);
    to.set_before(&from.before);
    to.set_after(&from.after);
    to.set_needs_restart(from.needs_restart);
}

/// Reads a difference of the master file from its form on the wire, within the limits of its fields.
pub fn read_difference(from: difference::Reader<'_>) -> capnp::Result<Difference> {
    Ok(Difference {
        key: limits::text(from.get_key(), &SUBJECT)?,
        before: limits::text(from.get_before(), &SENTENCE)?,
        after: limits::text(from.get_after(), &SENTENCE)?,
        needs_restart: from.get_needs_restart(),
    })
}

/// Writes a project to add in its form on the wire.
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

/// Reads a project to add from its form on the wire, within the limits of its fields.
pub fn read_new_project(from: new_project::Reader<'_>) -> capnp::Result<NewProject> {
    Ok(NewProject {
        name: limits::text(from.get_name(), &PROJECT)?,
        repository: limits::text(from.get_repository(), &ADDRESS)?,
        aliases: limits::texts(from.get_aliases(), &PATTERNS, &ADDRESS)?,
        branches: limits::texts(from.get_branches(), &PATTERNS, &PATTERN)?,
        tags: limits::texts(from.get_tags(), &PATTERNS, &PATTERN)?,
        poll: limits::text(from.get_poll(), &SETTING)?,
        pools: limits::texts(from.get_pools(), &POOLS, &POOL)?,
        public: from.get_public(),
        credential: limits::data(from.get_credential(), &SECRET)?.to_owned(),
        known_hosts: limits::data(from.get_known_hosts(), &SECRET)?.to_owned(),
        token: limits::data(from.get_token(), &SECRET)?.to_owned(),
        hook_kind: limits::text(from.get_hook_kind(), &SETTING)?,
    })
}
