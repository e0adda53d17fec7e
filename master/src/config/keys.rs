//! The keys of `master.toml` and their meanings, from which its reference is generated. A test compares them with the keys that the
//! readers in this folder take.

use super::HookKind;
use schema::values::{Right, Tier};
use toml_file::reference::Absent::{Is, Means, Required};
use toml_file::reference::{Form, Key, Reference, Section};

/// The keys of `master.toml` with their forms and meanings.
pub static MASTER_TOML: Reference = Reference {
    file: "master.toml",
    about: "[The master's file](../master.md). Relative paths are relative to it.",
    sections: &[
        Section { title: "", places: &["the top level"], about: "", keys: &[TOP], later: &[&["lock"]] },
        Section { title: "[listen]", places: &["[listen]"], about: "", keys: &[LISTEN], later: &[] },
        Section {
            title: "[limits]",
            places: &["[limits]"],
            about: "Durations and sizes here are more than zero.",
            keys: &[LIMITS],
            later: &[],
        },
        Section {
            title: "[limits.retain]",
            places: &["[limits.retain]"],
            about: "How much of history is kept. This is on by default. Removed history is gone for good, except from earlier backups. \
                    [Some builds are kept whatever the limits say](../master.md#what-is-kept).",
            keys: &[RETAIN],
            later: &[&["artifacts"]],
        },
        Section { title: "[defaults]", places: &["[defaults]"], about: "", keys: &[DEFAULTS], later: &[] },
        Section {
            title: "[defaults.project]",
            places: &["[defaults.project]"],
            about: "Keys for all projects that do not have them.",
            keys: &[DEFAULTS_PROJECT],
            later: &[],
        },
        Section {
            title: "[project.NAME]",
            places: &["[project.NAME]"],
            about: "A repository and the refs that the master follows. [`[trigger]`](guild.toml.md#trigger) of the repository cannot ask for more than these.",
            keys: &[PROJECT],
            later: &[&["forks", "secrets"]],
        },
        Section {
            title: "[project.NAME.hook]",
            places: &["hook"],
            about: "The webhook of a forge, which sends its deliveries to [`/hook/NAME`](../pages.md#hooks).",
            keys: &[HOOK],
            later: &[],
        },
        Section {
            title: "[pool.NAME]",
            places: &["[pool.NAME]"],
            about: "A pool of workers that can stand in for each other. The grant of a worker says in which pools the worker is. The pool \
                    `default` needs no table.",
            keys: &[POOL],
            later: &[&["share"]],
        },
        Section {
            title: "[role.NAME]",
            places: &["[role.NAME]"],
            about: "A name for the rights and projects of a grant, for example `guild grant issue --role developer --names ada,grace -o caps/`. A grant keeps what its \
                    role meant when the grant was issued.",
            keys: &[ROLE],
            later: &[],
        },
        Section {
            title: "[mail]",
            places: &["[mail]"],
            about: "The mail server. [Notices](../notices.md) by mail need it.",
            keys: &[MAIL],
            later: &[],
        },
        Section {
            title: "[[notice]]",
            places: &["[[notice]]"],
            about: "One rule for [notices](../notices.md): which news to send, how and to whom. There can be several. The events `\"every\"`, \
                    `\"worker-missing\"`, `\"regression\"` and `\"flaky\"` are reserved for a later version.",
            keys: &[NOTICE, super::channel::KEYS],
            later: &[],
        },
    ],
};

const RIGHT: Form = Form::OneOf(&Right::WORDS);
const TIER: Form = Form::OneOf(&[Tier::ALL[0].word(), Tier::ALL[1].word()]);
const EVENT: Form = Form::OneOf(&["newly-failing", "fixed"]);
const KINDS: &[&str] =
    &[HookKind::ALL[0].word(), HookKind::ALL[1].word(), HookKind::ALL[2].word(), HookKind::ALL[3].word()];
const _: () = assert!(KINDS.len() == HookKind::ALL.len());

const TOP: &[Key] = &[
    Key::new("version", Form::Whole(1, 1), Required, "1", "the version of this format"),
    Key::new(
        "url",
        Form::Text,
        Means("the address of `web`"),
        "\"https://ci.example.org\"",
        "the address at which browsers reach [the pages](../pages.md); it begins with `https://` or `http://`",
    ),
    Key::new(
        "state",
        Form::Text,
        Is("\".\""),
        "\"/var/lib/guild\"",
        "the directory of the store, the logs, the mirrors and the master's identity",
    ),
    Key::new(
        "include",
        Form::LIST,
        Is("[]"),
        "[\"projects/*.toml\"]",
        "further files, with tables `project`, `pool` and `role`; the last part of a path may be a pattern, with `*` and `?`. \
         Relative paths in such a file are relative to it",
    ),
    Key::new(
        "listen",
        Form::Table("[listen]"),
        Required,
        "{ rpc = \"0.0.0.0:7711\", advertise = \"ci:7711\" }",
        "the addresses of the master",
    ),
    Key::new(
        "limits",
        Form::Table("[limits]"),
        Is("{}"),
        "{ offer = \"30s\" }",
        "limits of jobs, logs, files and connections",
    ),
    Key::new(
        "defaults",
        Form::Table("[defaults]"),
        Means("nothing"),
        "{ project = { poll = \"5m\" } }",
        "keys for all projects that do not have them",
    ),
    Key::new(
        "project",
        Form::Map(&Form::Table("[project.NAME]")),
        Is("{}"),
        "{ pyfoo = { repo = \"/srv/pyfoo\" } }",
        "the repositories that are built",
    ),
    Key::new("pool", Form::Map(&Form::Table("[pool.NAME]")), Is("{}"), "{ linux = {} }", "the pools of workers"),
    Key::new(
        "role",
        Form::Map(&Form::Table("[role.NAME]")),
        Is("{}"),
        "{ reader = { may = \"view\", projects = \"*\" } }",
        "names for the rights and projects of grants",
    ),
    Key::new(
        "mail",
        Form::Table("[mail]"),
        Means("no mail"),
        "{ smtp = \"localhost:25\", from = \"guild@example.org\" }",
        "the mail server",
    ),
    Key::new(
        "notice",
        Form::Array(&Form::Table("[[notice]]")),
        Is("[]"),
        "[{ events = \"fixed\", by = \"command\", run = \"/usr/local/bin/tell\" }]",
        "who gets which notices, and how",
    ),
    Key::new(
        "notify",
        Form::Array(&Form::Table("[[notice]]")),
        Means("no further notices"),
        "[{ events = \"fixed\", by = \"command\", run = \"/usr/local/bin/tell\" }]",
        "the old name of `notice`, which is still read, with a warning",
    ),
];

const LISTEN: &[Key] = &[
    Key::new(
        "rpc",
        Form::Text,
        Required,
        "\"0.0.0.0:7711\"",
        "the address to listen on, `HOST:PORT`; write an IPv6 address in brackets; port 0 means any free one",
    ),
    Key::new(
        "advertise",
        Form::LIST,
        Required,
        "[\"ci.example.org:7711\", \"[2001:db8::1]:7711\"]",
        "the addresses at which workers and people reach the master; each credential contains them",
    ),
    Key::new(
        "web",
        Form::Text,
        Means("no pages"),
        "\"127.0.0.1:8080\"",
        "the address at which the master serves [the pages](../pages.md), in plain HTTP",
    ),
    Key::new(
        "metrics_name_projects",
        Form::Flag,
        Is("false"),
        "true",
        "whether [the metrics](../metrics.md) name projects, so that everyone who can reach the pages can read the names",
    ),
];

const LIMITS: &[Key] = &[
    Key::new(
        "job_timeout",
        Form::Duration,
        Is("\"2h\""),
        "\"8h\"",
        "the longest time that a job can have, whatever it asks for",
    ),
    Key::new(
        "lease",
        Form::Duration,
        Is("\"10m\""),
        "\"5m\"",
        "how long a worker may be silent before its job goes to another; at least `\"1s\"`",
    ),
    Key::new("offer", Form::Duration, Is("\"10s\""), "\"30s\"", "how long a worker has to accept a job"),
    Key::new(
        "log_bytes",
        Form::Size,
        Is("\"256MiB\""),
        "\"1GiB\"",
        "the largest size of one log; of the output beyond it, only the last 64 KiB are kept",
    ),
    Key::new(
        "blob_bytes_total",
        Form::Size,
        Is("\"200GiB\""),
        "\"1TiB\"",
        "the largest size of all files together that attempts of all projects store, unfinished uploads included; more is refused \
         until retention removes older builds",
    ),
    Key::new(
        "connections",
        Form::Whole(1, super::read::CONNECTIONS_MAX as i64),
        Is("64"),
        "500",
        "how many connections one grant may have open, together with its browsers",
    ),
    Key::new("retain", Form::Table("[limits.retain]"), Is("{}"), "{ builds = 100 }", "how much of history is kept"),
];

const RETAIN: &[Key] = &[
    Key::new(
        "builds",
        Form::Whole(1, super::read::BUILDS_MAX as i64),
        Is("500"),
        "1000",
        "how many of the newest builds of each project are kept; the others are removed with their logs",
    ),
    Key::new(
        "logs",
        Form::Duration,
        Is("\"1y\""),
        "\"90d\"",
        "how long logs are kept after the end of their build; the build itself is kept longer",
    ),
    Key::new(
        "log_bytes_total",
        Form::Size,
        Is("\"100GiB\""),
        "\"1TiB\"",
        "the largest size of all logs of all projects together; beyond it, the logs of the oldest builds are removed",
    ),
    Key::new(
        "events",
        Form::Duration,
        Is("\"30d\""),
        "\"7d\"",
        "how long events are kept; a subscriber that was away for longer learns of the gap and takes a new snapshot",
    ),
];

const DEFAULTS: &[Key] = &[Key::new(
    "project",
    Form::Table("[defaults.project]"),
    Means("nothing"),
    "{ poll = \"5m\" }",
    "keys for all projects that do not have them",
)];

const DEFAULTS_PROJECT: &[Key] = &[Key::new(
    "poll",
    Form::Duration,
    Is("\"2m\""),
    "\"5m\"",
    "how often the master looks at each repository; more than zero",
)];

const PROJECT: &[Key] = &[
    Key::new(
        "repo",
        Form::Text,
        Required,
        "\"ssh://git@git.example.org/pyfoo.git\"",
        "a path, or an address from which git can fetch",
    ),
    Key::new(
        "aliases",
        Form::LIST,
        Is("[]"),
        "[\"https://git.example.org/pyfoo\"]",
        "other addresses of the repository, by which `guild` recognises a checkout",
    ),
    Key::new(
        "credential_file",
        Form::Text,
        Means("git's own"),
        "\"pyfoo.key\"",
        "a file with the SSH key to fetch with",
    ),
    Key::new(
        "known_hosts_file",
        Form::Text,
        Means("git's own"),
        "\"known_hosts\"",
        "a file with the known hosts to trust with the key",
    ),
    Key::new(
        "token_file",
        Form::Text,
        Means("none"),
        "\"pyfoo.token\"",
        "a file with the token to fetch with over HTTPS",
    ),
    Key::new(
        "branches",
        Form::LIST,
        Is("\"**\""),
        "[\"main\", \"release/*\"]",
        "patterns of branches to follow; `*` stands for any characters, `/` too",
    ),
    Key::new("tags", Form::LIST, Is("[]"), "\"v*\"", "patterns of tags to follow"),
    Key::new(
        "poll",
        Form::Duration,
        Is("\"2m\""),
        "\"30s\"",
        "how often the master looks for changes, more than zero; if `[defaults.project]` has `poll`, that is the default",
    ),
    Key::new(
        "pools",
        Form::LIST,
        Means("the pool `default`"),
        "[\"linux\", \"default\"]",
        "the pools whose workers may take its jobs; each of them except `default` needs its `[pool.NAME]`",
    ),
    Key::new(
        "hook",
        Form::Table("[project.NAME.hook]"),
        Means("none"),
        "{ kind = \"github\", secret_file = \"hook.pyfoo\" }",
        "the webhook with which a forge reports pushes",
    ),
    Key::new(
        "commit_url",
        Form::Text,
        Means("known for GitHub, GitLab, Codeberg and Gitea, by the address or the `hook`"),
        "\"https://git.example.org/pyfoo/commit/{commit}\"",
        "the page of a commit at the forge, to which the pages link; `{commit}` stands for its full id",
    ),
    Key::new(
        "public",
        Form::Flag,
        Is("false"),
        "true",
        "whether everyone who can reach [the pages](../pages.md) may look at the project",
    ),
];

const HOOK: &[Key] = &[
    Key::new(
        "kind",
        Form::OneOf(KINDS),
        Required,
        "\"gitea\"",
        "the kind of forge, which says how its deliveries are signed; `gitea` is for Forgejo too",
    ),
    Key::new("secret_file", Form::Text, Required, "\"hook.pyfoo\"", "a file with the secret, at least 16 bytes"),
];

const POOL: &[Key] = &[
    Key::new(
        "match",
        Form::LIST,
        Is("[]"),
        "[\"gpu\", \"platform=linux-x86_64\"]",
        "labels that a worker must have to take jobs of the pool, each with a value or without",
    ),
    Key::new(
        "lease",
        Form::Duration,
        Means("the `lease` of `[limits]`"),
        "\"5m\"",
        "how long a worker of the pool may be silent before its job goes to another; at least `\"1s\"`; it counts for jobs that are placed from now on",
    ),
    Key::new(
        "isolation",
        TIER,
        Means("`\"guard\"`, or the tier that the job names"),
        "\"plain\"",
        "the weakest [tier](../master.md#tiers) in which jobs that are placed through the pool run; a job can ask for a stronger one; \
         with `\"plain\"` they also run on a worker that has no other tier",
    ),
];

const ROLE: &[Key] = &[
    Key::new(
        "may",
        Form::Either(&[RIGHT, Form::Array(&RIGHT)]),
        Required,
        "[\"view\", \"run\"]",
        "the rights of the role",
    ),
    Key::new("projects", Form::LIST, Required, "\"*\"", "the projects for which it has them; `\"*\"` means all"),
];

const MAIL: &[Key] = &[
    Key::new(
        "smtp",
        Form::Text,
        Required,
        "\"mail.example.org:587\"",
        "the mail server, `HOST:PORT`; TLS is used if the server offers it, and on port 465 from the start",
    ),
    Key::new("from", Form::Text, Required, "\"Guild <guild@example.org>\"", "the address of the sender"),
    Key::new(
        "user",
        Form::Text,
        Means("no login"),
        "\"guild\"",
        "the user for a login at the server; the login needs TLS with a valid certificate, unless the server is this machine",
    ),
    Key::new(
        "password_file",
        Form::Text,
        Means("no login"),
        "\"mail.password\"",
        "the file with the password of `user`; give both keys or neither",
    ),
];

const NOTICE: &[Key] = &[
    Key::new(
        "events",
        Form::Either(&[EVENT, Form::Array(&EVENT)]),
        Required,
        "[\"newly-failing\", \"fixed\"]",
        "the news to send",
    ),
    Key::new("projects", Form::LIST, Is("\"*\""), "[\"pyfoo\"]", "the projects, by names or patterns"),
    Key::new("branches", Form::LIST, Is("\"*\""), "[\"main\", \"release/*\"]", "the branches, by patterns"),
    Key::new(
        "remind",
        Form::Duration,
        Means("no reminders"),
        "\"1d\"",
        "how often people are reminded of a branch that is still red, until it is good again or somebody claims its jobs",
    ),
];
