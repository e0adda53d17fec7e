-- The schema of the database as numbered steps. Once a step is released it never changes; a new step is added instead.
-- Times are milliseconds since 1970. JSON columns hold the structs of `schema::values` and `coordinator::record`.

-- step 1: version 0.1.0
create table meta (
    name text primary key,
    value text not null
) strict, without rowid;

create table builds (
    id integer primary key,
    project text not null,
    number integer not null,
    ref text not null,
    revision text not null,
    state text not null,
    outcome text,
    stamp text not null,            -- JSON
    cause text not null,            -- JSON
    trust text not null,            -- JSON
    created integer not null,
    started integer,
    finished integer,
    subject text not null,
    author text not null,
    diagnosis text not null,
    job_count integer not null,
    by_grant integer not null
) strict;
create unique index builds_number on builds (project, number);
create index builds_ref on builds (project, ref, number);
create index builds_revision on builds (revision);
create index builds_open on builds (id) where state <> 'finished';

-- the highest build number that each project ever used; it stays when builds are deleted, so that no number is used again
create table numbers (
    project text primary key,
    number integer not null
) strict, without rowid;

create table plans (
    build integer primary key,
    plan text not null              -- JSON
) strict;

create table jobs (
    build integer not null,
    idx integer not null,
    name text not null,
    state text not null,
    outcome text,
    reason text not null,
    attempt integer not null,
    lost integer not null,
    queued integer,
    started integer,
    finished integer,
    worker text not null,
    platform text not null,
    carried_from integer not null,
    primary key (build, idx)
) strict, without rowid;

create table attempts (
    build integer not null,
    idx integer not null,
    number integer not null,
    token blob not null,
    by_grant integer not null,
    worker text not null,
    started integer not null,
    finished integer,
    outcome text,
    reason text not null,
    isolation text not null,
    primary key (build, idx, number)
) strict, without rowid;

create table steps (
    build integer not null,
    idx integer not null,
    attempt integer not null,
    step integer not null,
    name text not null,
    state text not null,
    outcome text,
    exit text not null,             -- JSON
    started integer,
    finished integer,
    log_size integer not null,
    log_hash blob not null,
    primary key (build, idx, attempt, step)
) strict, without rowid;

create table logs (
    build integer not null,
    idx integer not null,
    attempt integer not null,
    step integer not null,
    size integer not null,
    hash blob not null,
    bytes blob,                     -- the whole log if it is small; null: it is a file
    primary key (build, idx, attempt, step)
) strict;

create table heads (
    project text not null,
    ref text not null,
    revision text not null,
    primary key (project, ref)
) strict, without rowid;

create table changes (
    id integer primary key,
    build integer,
    project text not null,
    change text not null,           -- JSON
    time integer not null
) strict;
create index changes_build on changes (build);

create table grants (
    id integer primary key,
    parent integer,
    kind text not null,
    name text not null,
    what text not null,             -- JSON
    created integer not null,
    expires integer,
    revoked integer,
    reason text not null,
    join_hash blob,
    token_hash blob,
    holder blob
) strict;

create table workers (
    name text primary key,
    by_grant integer not null,
    draining integer not null,
    held text not null,
    forgotten integer not null,
    last_heard integer not null,
    description text not null       -- JSON
) strict, without rowid;

create table requests (
    id blob primary key,
    by_grant integer not null,
    body blob not null,
    answer text not null,           -- JSON
    time integer not null
) strict, without rowid;
create index requests_time on requests (time);

create table events (
    sequence integer primary key,
    time integer not null,
    project text not null,
    build integer not null,
    fact text not null              -- JSON
) strict;

-- each row's hash covers the row before it, so a missing or altered row can be detected
create table audit (
    sequence integer primary key,
    time integer not null,
    by_grant integer not null,
    text text not null,
    hash blob not null
) strict;

-- step 2: numbers that outlive their rows, ordered answers, and the end of the audit chain
create table counters (
    name text primary key,          -- build, grant or event: the highest id ever used
    value integer not null
) strict, without rowid;
insert into counters select 'build', coalesce(max(id), 0) from builds;
insert into counters select 'grant', coalesce(max(id), 0) from grants;
insert into counters select 'event', coalesce(max(sequence), 0) from events;

-- answers are numbered in the order in which they came, so that the oldest can be deleted without counting
alter table requests rename to requests_before;
create table requests (
    number integer primary key,
    id blob not null unique,
    by_grant integer not null,
    body blob not null,
    answer text not null,           -- JSON
    time integer not null
) strict;
insert into requests (id, by_grant, body, answer, time)
    select id, by_grant, body, answer, time from requests_before order by time;
drop table requests_before;
create index requests_time on requests (time);

-- the hash of the last row; without it, missing rows at the end would not be detected
insert into meta (name, value)
    select 'audit', lower(hex(hash)) from audit order by sequence desc limit 1;

-- step 3: retention
-- builds that were removed, or whose logs were removed; the row of a removed build is deleted when all of the build is swept
create table removals (
    build integer primary key,
    reason text not null,           -- why its logs were removed, while the build is kept; otherwise empty
    swept integer not null          -- 0: rows or files of it are left
) strict;
create index removals_open on removals (build) where swept = 0;
-- a build is kept while a kept retry carries its jobs
create index jobs_carried on jobs (carried_from, build) where carried_from > 0;
-- the change by which a ref is deleted makes no build
create index changes_time on changes (time) where build is null;
-- the bytes of all logs are counted as logs come and go, because adding them up would read all rows
insert into counters select 'log-bytes', coalesce(sum(size), 0) from logs;

-- step 4: reporters
create table reporters (
    name text primary key,          -- derived from the reporter's entry in the master file
    incarnation integer not null,
    after integer not null,         -- the last event that it has read
    born integer not null           -- when it was new; it does not report builds that ended before
) strict, without rowid;

-- the newest notices of each lane that reporters sent, so that none is sent twice
create table told (
    reporter text not null,
    project text not null,
    ref text not null,
    job text not null,
    turn text not null,
    revision text not null,
    build integer not null,         -- the number of the build
    notice text not null,           -- the id of the notice
    time integer not null,
    primary key (reporter, project, ref, job, turn, revision)
) strict, without rowid;

-- step 5: why an attempt was placed on its worker, and who steers a worker
alter table attempts add column placed text not null default '';    -- JSON; empty: not recorded
alter table workers add column steered_by integer not null default 0;
alter table workers add column steered integer;

-- step 6: updates of refs, and lanes
-- the update of its ref to which a build belongs: the number of the first build of that update; 0: none
alter table builds add column ref_update integer not null default 0;
update builds set ref_update = number where cause = '"change"';
-- a requested or repeated build of a commit belongs to the newest earlier update that brought the commit
update builds set ref_update = coalesce((select max(b.number) from builds as b
    where b.revision = builds.revision and b.project = builds.project and b.ref = builds.ref
    and b.cause = '"change"' and b.number < builds.number), 0)
    where cause <> '"change"' and ref <> '';
create index builds_update on builds (project, ref, ref_update, number);
alter table heads add column ref_update integer not null default 0;
-- the update with which the ref was created; 0: before updates were counted
alter table heads add column ref_since integer not null default 0;
update heads set ref_update = coalesce((select max(b.ref_update) from builds as b
    where b.revision = heads.revision and b.project = heads.project and b.ref = heads.ref), 0);

-- the results of the same job of the same ref, build after build; written in the transaction that finishes the job
create table lanes (
    project text not null,
    ref text not null,
    job text not null,
    lane text not null,             -- JSON
    primary key (project, ref, job)
) strict, without rowid;
-- code makes the lanes from history after all steps, by the definition of a lane
insert into meta (name, value) values ('lanes', 'to be made');

-- step 7: what was seen of repositories, so that old commits are not mistaken for new ones
alter table heads add column told integer not null default 1;       -- 0: the revision was seen as history, and not built
alter table heads add column gone integer;                          -- when the ref was deleted

-- how the repository of each project has been followed so far
create table followed (
    project text primary key,
    address text not null,          -- its address when all refs were last read; empty: an older version read them
    scopes text not null,           -- JSON: the refs that were asked for since then
    looked_in integer not null      -- the incarnation in which all refs were last read
) strict, without rowid;
insert into followed
    select distinct project, '', '[]', (select cast(value as integer) from meta where name = 'incarnation') from heads;

-- step 8: the term of an attempt's lease, and the home in which its worker accepted the attempt
alter table attempts add column term integer not null default 0;    -- milliseconds; 0: not recorded
alter table attempts add column home text not null default '';      -- JSON; empty: not recorded

-- step 9: logins of browsers are marked, so that their rows are deleted when they end
alter table grants add column browser integer not null default 0;
update grants set browser = 1 where kind = 'user' and json_extract(what, '$.may') = '["view"]'
    and name = (select p.name || '.browser' from grants as p where p.id = grants.parent);
-- a login address that nobody used is valid for 10 minutes
update grants set expires = min(coalesce(expires, created + 600000), created + 600000) where browser = 1 and holder is null;
-- pools and labels of an operator had no meaning so far: operators of all projects keep all workers, others get none
update grants set what = json_set(what, '$.pools', json('["*"]'), '$.labels', json('[]'))
    where kind <> 'worker' and exists (select 1 from json_each(what, '$.projects') where value = '*')
    and exists (select 1 from json_each(what, '$.may') where value = 'operate');
update grants set what = json_set(what, '$.pools', json('[]'), '$.labels', json('[]'))
    where kind <> 'worker' and not exists (select 1 from json_each(what, '$.projects') where value = '*')
    and exists (select 1 from json_each(what, '$.may') where value = 'operate');

-- step 10: stored texts beyond a limit of `schema::limits` are cut, so that every list and event fits into a message
-- a character has at most 4 bytes, so a thousand characters fit below 4 KiB
update jobs set reason = substr(reason, 1, 1000) || '… [cut: ' || octet_length(reason) || ' bytes in all]'
    where octet_length(reason) > 4096;
update jobs set platform = substr(platform, 1, 60) where octet_length(platform) > 256;
update attempts set reason = substr(reason, 1, 1000) || '… [cut: ' || octet_length(reason) || ' bytes in all]'
    where octet_length(reason) > 4096;
update attempts set isolation = substr(isolation, 1, 60) where octet_length(isolation) > 256;
-- without its home, the end of the lease decides about an attempt
update attempts set home = '' where octet_length(home) > 1024;
update steps set name = substr(name, 1, 40) || '… [cut: ' || octet_length(name) || ' bytes in all]'
    where octet_length(name) > 200;
update steps set exit = json_set(exit, '$.lost', substr(exit ->> '$.lost', 1, 1000)
    || '… [cut: ' || octet_length(exit ->> '$.lost') || ' bytes in all]')
    where octet_length(exit) > 4096 and octet_length(exit ->> '$.lost') > 4096;
update builds set diagnosis = substr(diagnosis, 1, 16000) || '… [cut: ' || octet_length(diagnosis) || ' bytes in all]'
    where octet_length(diagnosis) > 65536;
update grants set reason = substr(reason, 1, 1000) || '… [cut: ' || octet_length(reason) || ' bytes in all]'
    where octet_length(reason) > 4096;
-- a grant beyond all sensible sizes is revoked: with megabytes in one grant, its operator cannot list the grants
update grants set what = '{"may":[],"projects":[],"pools":[],"labels":[]}', revoked = coalesce(revoked, created),
    reason = 'it named more than a grant may name: issue it again' where octet_length(what) > 1500000;
-- the worker sends its labels again when it attaches
update workers set description = json_set(description, '$.labels', json('[]'))
    where json_array_length(description, '$.labels') > 100 or octet_length(description ->> '$.labels') > 65536;
update workers set description = json_set(description,
    '$.platform', substr(description ->> '$.platform', 1, 60), '$.host', substr(description ->> '$.host', 1, 60),
    '$.version', substr(description ->> '$.version', 1, 60), '$.isolation', json('[]'))
    where octet_length(description ->> '$.platform') > 256 or octet_length(description ->> '$.host') > 256
    or octet_length(description ->> '$.version') > 256 or octet_length(description ->> '$.isolation') > 4096;
update workers set held = substr(held, 1, 1000) || '… [cut: ' || octet_length(held) || ' bytes in all]'
    where octet_length(held) > 4096;
update events set fact = json_set(fact, '$.reason', substr(fact ->> '$.reason', 1, 1000)
    || '… [cut: ' || octet_length(fact ->> '$.reason') || ' bytes in all]')
    where octet_length(fact) > 4096 and octet_length(fact ->> '$.reason') > 4096;
update events set fact = json_set(fact, '$.name', substr(fact ->> '$.name', 1, 40)
    || '… [cut: ' || octet_length(fact ->> '$.name') || ' bytes in all]')
    where octet_length(fact) > 200 and octet_length(fact ->> '$.name') > 200;
update events set fact = json_set(fact, '$.text', substr(fact ->> '$.text', 1, 1000)
    || '… [cut: ' || octet_length(fact ->> '$.text') || ' bytes in all]')
    where octet_length(fact) > 4096 and octet_length(fact ->> '$.text') > 4096;

-- step 11: blobs, by their BLAKE3, and the attempts that refer to them
create table blobs (
    hash blob primary key,
    size integer not null,
    sealed integer not null,
    refs integer not null           -- the number of rows of blob_refs with this hash
) strict, without rowid;
create index blobs_unreferenced on blobs (hash) where refs = 0;

create table blob_refs (
    build integer not null,
    idx integer not null,
    attempt integer not null,
    name text not null,
    project text not null,
    hash blob not null,
    primary key (build, idx, attempt, name)
) strict, without rowid;
create index blob_refs_build on blob_refs (build, hash);
create index blob_refs_project on blob_refs (project, hash);

-- the bytes of each project, each blob counted once
create table blob_projects (
    project text primary key,
    bytes integer not null
) strict, without rowid;
insert into counters values ('blob-bytes', 0);

-- step 12: builds that the clock starts; from here on the cause of a build may be a cron
create table crons (
    project text not null,
    ref text not null,
    name text not null,             -- the name of the entry in the pipeline
    next integer,                   -- the time of the next firing; null: there is none
    cron text not null,             -- JSON
    primary key (project, ref, name)
) strict, without rowid;

-- step 13: the tier of isolation in which a job ran
alter table jobs add column isolation text not null default '';     -- the tier of its latest attempt; empty: not recorded

-- step 14: the results of a step's tests, as its reports give them
alter table steps add column tests text not null default '';        -- JSON; empty: no reports
-- step 15: the history of tests; `decide/test_history.rs` explains it
-- jobs whose lists of tests are not read yet; a row is added when a step ends, and deleted when the job's run is written
create table tests_unread (
    build integer not null,
    idx integer not null,
    primary key (build, idx)
) strict, without rowid;

-- the number that the next new test of a project gets
create table test_projects (
    project text primary key,
    next integer not null
) strict, without rowid;

-- each test of a project once, numbered from 0
create table tests (
    project text not null,
    number integer not null,
    identity blob not null,         -- a hash of suite, name and parameters
    suite text not null,
    name text not null,
    parameters text not null,
    file text not null,
    primary key (project, number)
) strict, without rowid;
create unique index tests_identity on tests (project, identity);

-- the newest runs of each lane; a run is one job of one build that reported its tests
create table test_runs (
    project text not null,
    ref text not null,
    job text not null,
    ref_update integer not null,
    number integer not null,        -- the number of the build
    build integer not null,
    idx integer not null,
    tree text not null,             -- the id of the source tree; empty: it is not known
    is_whole integer not null,      -- 0: a report was cut
    is_together integer not null,   -- 1: so many tests failed that they probably have one cause
    has_mixed integer not null,     -- 1: at least one test both failed and passed in it
    verdicts blob not null,         -- a byte for each test, by the test's number; compressed
    durations blob                  -- in the same form; null: the run is not among the newest
) strict;
create unique index test_runs_lane on test_runs (project, ref, job, ref_update, number);
create index test_runs_build on test_runs (build);
create index test_runs_project on test_runs (project, build);

-- a summary of the runs of each lane that are no longer kept
create table test_lanes (
    project text not null,
    ref text not null,
    job text not null,
    earlier text not null,          -- JSON
    primary key (project, ref, job)
) strict, without rowid;

-- step 16: builds of files that nobody pushed; from here on the cause of a build may be a try, which older versions cannot read
-- an operator who has every right of older versions also has the new one, because nobody else could issue it
update grants set what = json_insert(what, '$.may[#]', 'try') where kind = 'operator'
    and (select count(distinct value) from json_each(what, '$.may')
         where value in ('view', 'run', 'retry', 'cancel', 'changes', 'events', 'operate')) = 7
    and not exists (select 1 from json_each(what, '$.may') where value = 'try');

-- step 17: the claims of red lanes; `decide/claims.rs` explains them
create table claims (
    project text not null,
    ref text not null,
    job text not null,
    claim text not null,            -- JSON
    primary key (project, ref, job)
) strict, without rowid;
