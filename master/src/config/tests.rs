//! Tests good and broken master files.

use super::*;
use crate::decide::coordinator::record::Transition;

fn parse(text: &str) -> Config {
    Config::parse("master.toml", text.as_bytes(), Path::new("/base")).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Returns one line for each error: `line:column message | label | help`.
fn lines(text: &str) -> String {
    let errors = Config::parse("master.toml", text.as_bytes(), Path::new("/base")).expect_err("the text is broken");
    let lines = errors.0.iter().map(|it| {
        let parts = [&it.label, &it.help].into_iter().filter(|part| !part.is_empty());
        let parts: String = parts.map(|part| format!(" | {part}")).collect();
        format!("{}:{} {}{parts}", it.line, it.column, it.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}

const SMALL: &str = "version = 1\nlisten = { rpc = '0.0.0.0:1', advertise = 'h:1' }\n";

#[test]
fn what_is_read() {
    let config = parse(
        r#"
        version = 1
        url = "https://ci.example.org/"
        state = "data"
        [listen]
        rpc = "0.0.0.0:7711"
        advertise = ["ci.example.org:7711", "[::1]:7711"]
        [limits]
        job_timeout = "1h30m"
        lease = "5m"
        offer = "3s"
        log_bytes = "1MiB"
        blob_bytes_total = "3GiB"
        connections = 500
        retain = { builds = 20, logs = "2y", log_bytes_total = "5GiB", events = "7d" }
        [defaults.project]
        poll = "30s"
        [project.a]
        repo = "/srv/a.git"
        pools = ["linux", "default"]
        credential_file = "keys/a"
        token_file = "/etc/token"
        [project.b]
        repo = "https://example.org/b"
        poll = "1h"
        branches = ["main"]
        tags = "v*"
        [pool.linux]
        match = ["platform=linux-x86_64"]
        lease = "1m"
        "#,
    );
    assert_eq!(config.url, "https://ci.example.org");
    assert_eq!(config.state, Path::new("/base/data"));
    assert_eq!(config.listen.advertise, ["ci.example.org:7711", "[::1]:7711"]);
    let Limits { job_timeout, lease, offer, log_bytes, blob_bytes_total, connections, retain } = config.limits;
    assert_eq!((blob_bytes_total, parse(SMALL).limits.blob_bytes_total), (3 << 30, 200 << 30));
    assert_eq!((connections, parse(SMALL).limits.connections), (500, 64));
    assert_eq!((job_timeout.as_secs(), lease.as_secs(), offer.as_secs(), log_bytes), (5400, 300, 3, 1 << 20));
    assert_eq!((retain.builds, retain.logs.as_secs(), retain.events.as_secs()), (20, 730 * 86_400, 7 * 86_400));
    assert_eq!((retain.log_bytes_total, parse(SMALL).limits.retain), (5 << 30, Retain::default()));
    let a = &config.projects["a"];
    assert_eq!((a.poll.as_secs(), a.pools.len(), a.tags.len()), (30, 2, 0));
    assert_eq!(a.branches, ["**"]);
    assert_eq!(a.credential_file.as_deref(), Some(Path::new("/base/keys/a")));
    assert_eq!(a.token_file.as_deref(), Some(Path::new("/etc/token")));
    let b = &config.projects["b"];
    assert_eq!((b.poll.as_secs(), b.branches.len(), b.tags.as_slice()), (3600, 1, ["v*".to_owned()].as_slice()));
    assert_eq!(config.pools["linux"].lease, Some(Duration::from_secs(60)));
}

#[test]
fn the_starter_is_read() {
    let text = starter("ci.example.org:7711", None, Some("127.0.0.1:8080"), Some("https://ci.example.org")).unwrap();
    let config = parse(&text);
    assert_eq!((config.listen.web.as_deref(), config.url.as_str()), (Some("127.0.0.1:8080"), "https://ci.example.org"));
    assert!(
        starter("h:1", None, Some("nowhere"), None).is_err() && starter("h:1", None, None, Some("ftp://x")).is_err()
    );
    let config = parse(&starter("ci.example.org:7711", None, None, None).unwrap());
    assert_eq!(config.listen.web, None);
    assert_eq!(config.listen.rpc, "0.0.0.0:7711");
    assert_eq!(config.state, Path::new("/base/."));
    for bad in ["", "host", "host:", ":1", "host:99999", "h\"x:1", "a:b:1", "h:0", "h:+1", "h x:1"] {
        assert!(starter(bad, None, None, None).is_err(), "{bad}");
    }
}

#[test]
fn what_is_said() {
    let cases = [
        ("ulr = 'x'", "3:1 the top level has no key `ulr` | unknown key | did you mean `url`?"),
        (
            "url = 'ci.example.org'",
            "3:7 `url` of the top level is not a web address | it begins with https:// or http://",
        ),
        (
            "[role.x]\nmay = ['view', 'rnu']",
            "3:1 [role.x] has no `projects`\n\
             4:16 [role.x] names the right `rnu`, which does not exist | no such right | did you mean `run`?",
        ),
        ("limits.offer = '0s'", "3:16 `offer` of [limits] must be more than zero"),
        (
            "limits.lease = '0s'\n[pool.linux]\nlease = '900ms'",
            "3:16 `lease` of [limits] is too short | a worker renews a lease at least three times before it ends, so \"1s\" is \
             the shortest that works\n\
             5:9 `lease` of [pool.linux] is too short | a worker renews a lease at least three times before it ends, so \"1s\" \
             is the shortest that works",
        ),
        (
            "limits.retain = { builds = 0, logs = 7, log_bytes_total = '0B', artifacts = '30d', event = '1d' }",
            "3:28 `builds` of [limits.retain] must be from 1 to 10000000 | out of range\n\
             3:38 `logs` of [limits.retain] must be a string | this is a whole number | write it like \"90s\", \"45m\" or \"1h30m\"\n\
             3:59 `log_bytes_total` of [limits.retain] must be more than zero\n\
             3:65 `artifacts` of [limits.retain] is not supported by this version | reserved for a later version\n\
             3:84 [limits.retain] has no key `event` | unknown key | did you mean `events`?",
        ),
        ("limits.retain = 5", "3:17 `retain` of [limits] must be a table | this is a whole number"),
        (
            "defaults.project.pol = '1s'",
            "3:18 [defaults.project] has no key `pol` | unknown key | did you mean `poll`?",
        ),
        ("[project.a]", "3:1 [project.a] has no `repo`"),
        (
            "[project.'../a']\nrepo = 'x'",
            "3:10 `../a` is not a valid name for a project | use letters, digits and `.` `_` `-`, at most 100",
        ),
        (
            "[project.'..']\nrepo = 'x'",
            "3:10 `..` is not a valid name for a project | use letters, digits and `.` `_` `-`, at most 100",
        ),
        (
            "[project.a]\nrepo = 'x'\nforks = 'never'",
            "5:1 `forks` of [project.a] is not supported by this version | reserved for a later version",
        ),
        (
            "[project.a]\nrepo = 'x'\npublic = 'yes'\nhook = { kind = 'svn', secret = 's' }",
            "5:10 `public` of [project.a] must be true or false | this is a string\n\
             6:8 hook has no `secret_file`\n\
             6:17 `kind` of hook has `svn`, which is not a kind of hook | it must be one of github, gitea, gitlab, generic\n\
             6:24 hook has no key `secret` | unknown key",
        ),
        (
            "[project.a]\nrepo = 'x'\npools = ['lin']\n[pool.linx]",
            "5:10 [project.a] names the pool `lin`, which is not defined | no such pool | did you mean `linx`?",
        ),
        (
            "[pool.a]\nmatch = ['=x']",
            "4:10 `=x` in [pool.a] is not a label | write it like \"gpu\" or \"platform=linux-x86_64\"",
        ),
        (
            "[pool.a]\nisolation = 'sandbox'\nshare = 1",
            "4:13 `isolation` of [pool.a] as \"sandbox\" is not supported by this version | reserved for a later version | the strongest of \
             this version is \"guard\"\n5:1 `share` of [pool.a] is not supported by this version | reserved for a later version",
        ),
        (
            "[pool.a]\nisolation = 'x'\nmtch = 'y'",
            "4:13 `isolation` of [pool.a] is not known | it must be one of \"plain\", \"guard\"\n\
             5:1 [pool.a] has no key `mtch` | unknown key | did you mean `match`?",
        ),
    ];
    for (more, wanted) in cases {
        assert_eq!(lines(&format!("{SMALL}{more}\n")), wanted, "{more}");
    }
    assert_eq!(
        lines(""),
        "1:1 the file does not say its `version` | begin it with: version = 1\n1:1 the file does not say where to listen \
         | add [listen] with rpc = \"0.0.0.0:7711\" and advertise = [\"HOST:7711\"]"
    );
    assert_eq!(
        lines("version = 1\n[listen]\nrpc = 'x'\nadvertise = ['h:0']\nweb = 'x'"),
        "3:7 `rpc` of [listen] has `x`, which is not HOST:PORT | write an IPv6 address in brackets: \"[::1]:7711\"\n\
         4:14 `advertise` of [listen] has `h:0`, which is not HOST:PORT | write an IPv6 address in brackets: \
         \"[::1]:7711\"\n5:7 `web` of [listen] has `x`, which is not HOST:PORT | write an IPv6 address in brackets: \"[::1]:7711\""
    );
}

#[test]
fn what_is_told_and_how() {
    let config = parse(&format!(
        r#"{SMALL}
        [project.a]
        repo = "/srv/a.git"
        [mail]
        smtp = "[::1]:587"
        from = "Guild <guild@example.org>"
        user = "guild"
        password_file = "mail.password"
        [[notice]]
        events = ["fixed", "newly-failing"]
        by = "mail"
        to = ["blame", "team@example.org"]
        [[notify]]
        events = "newly-failing"
        by = "command"
        run = ["/usr/local/bin/tell", "-v"]
        projects = ["a", "b*"]
        branches = "main"
        "#
    ));
    assert_eq!(config.warnings, ["`[[notify]]` is the old name: write `[[notice]]`"], "once, however many there are");
    let mail = config.mail.unwrap();
    assert_eq!((mail.host.as_str(), mail.port, mail.from.as_str()), ("::1", 587, "Guild <guild@example.org>"));
    assert_eq!(mail.login, Some(("guild".to_owned(), PathBuf::from("/base/mail.password"))));
    let [first, second] = config.notices.as_slice() else { panic!("{:?}", config.notices) };
    assert_eq!(first.events, [Transition::NewlyFailing, Transition::Fixed]);
    assert_eq!(first.by, Means::Mail(vec![Recipient::Blame, Recipient::Address("team@example.org".to_owned())]));
    assert_eq!(
        (first.projects.as_slice(), first.branches.as_slice()),
        (["*".to_owned()].as_slice(), ["*".to_owned()].as_slice())
    );
    assert_eq!(second.by, Means::Command(vec!["/usr/local/bin/tell".to_owned(), "-v".to_owned()]));
    assert_eq!(
        (second.events.len(), second.projects.len(), second.branches.as_slice()),
        (1, 2, ["main".to_owned()].as_slice())
    );
}

#[test]
fn what_is_said_of_notices() {
    let cases = [
        (
            "[mail]\nsmtp = 'localhost'\nfrom = 'guild'\nuser = 'x'\npassword = 'y'",
            "4:8 `smtp` of [mail] is not HOST:PORT | write it like \"localhost:25\" or \"mail.example.org:587\"\n\
             5:8 `from` of [mail] is not a mail address | write it like \"guild@example.org\" or \"Guild <guild@example.org>\"\n\
             6:1 [mail] has `user` without `password_file` | give both keys or neither\n\
             7:1 [mail] has no key `password` | unknown key",
        ),
        ("mail = 5", "3:8 `mail` of the top level must be a table | this is a whole number"),
        ("notice = 'x'", "3:10 `notice` of the top level must be an array | this is a string"),
        (
            "[[notice]]\nby = 'mail'\nevents = ['fixd']",
            "3:1 [[notice]] has no `to`\n\
             4:6 `by` of [[notice]] is \"mail\", but the file has no [mail] | add [mail] with the server and the sender\n\
             5:11 `events` of [[notice]] has `fixd`, which is not known | it must be one of \"newly-failing\", \"fixed\"",
        ),
        (
            "[[notice]]\nby = 'command'\nevents = []\nto = 'blame'",
            "3:1 [[notice]] has no `run`\n\
             5:10 `events` of [[notice]] is empty | write \"newly-failing\", \"fixed\", or both\n\
             6:6 `to` of [[notice]] is only for by = \"mail\"",
        ),
        (
            "[[notice]]\nby = 'status'\nevents = 'flaky'\nrunn = 'x'\n[[notice]]",
            "4:6 \"status\" in `by` of [[notice]] is not supported by this version | reserved for a later version\n\
             5:10 \"flaky\" in `events` of [[notice]] is not supported by this version | reserved for a later version\n\
             6:1 [[notice]] has no key `runn` | unknown key | did you mean `run`?\n\
             7:1 [[notice]] has no `events`\n\
             7:1 [[notice]] has no `by`",
        ),
        (
            "[[notice]]\nby = 'command'\nevents = 'fixed'\nrun = 'x'\nremind = '1d'",
            "7:1 [[notice]] has `remind` without the event \"newly-failing\" | nobody would be reminded | \
             add \"newly-failing\" to `events`",
        ),
        (
            "[mail]\nsmtp = 'h:25'\nfrom = 'g@h.example'\n[project.demo]\nrepo = 'x'\n[[notice]]\nby = 'mail'\nevents = 'fixed'\n\
             to = ['blame', 'team']\nprojects = ['dem', 'x*']\nrun = 'x'",
            "11:16 `to` of [[notice]] has `team`, which is not a mail address | write it like \"team@example.org\"; \"blame\" means the authors\n\
             12:13 [[notice]] names the project `dem`, which is not defined | no such project | did you mean `demo`?\n\
             13:7 `run` of [[notice]] is only for by = \"command\"",
        ),
        (
            "[[notice]]\nby = 'command'\nevents = 'fixed'\nrun = []\n[[notice]]\nby = 'command'\nevents = 'fixed'\nrun = ''",
            "6:7 `run` of [[notice]] is empty | give a program and its arguments\n\
             10:7 `run` of [[notice]] does not name a program",
        ),
        (
            "[[notice]]\nby = 'webhook'\nevents = 'fixed'\nto = 'blame'",
            "3:1 [[notice]] has no `url`\n\
             3:1 [[notice]] has no `secret_file`\n\
             6:6 `to` of [[notice]] is only for by = \"mail\"",
        ),
    ];
    for (more, wanted) in cases {
        assert_eq!(lines(&format!("{SMALL}{more}\n")), wanted, "{more}");
    }
}

#[test]
fn an_address_of_a_webhook_is_one_that_can_be_used() {
    let text =
        |url: &str| format!("{SMALL}[[notice]]\nby = 'webhook'\nevents = 'fixed'\nsecret_file = 's'\nurl = '{url}'\n");
    for good in ["https://h.example", "http://127.0.0.1:8080/x?y=1", "https://[2001:db8::1]:443/x", "https://[::1]/"] {
        let config = Config::parse("master.toml", text(good).as_bytes(), Path::new("/base"));
        assert!(config.is_ok(), "{good}");
    }
    for (bad, why) in [
        ("h.example/x", "is not a web address"),
        ("ftp://h.example/x", "is not a web address"),
        ("https:///x", "is not a web address"),
        ("https://h.example:99999/", "has no valid port"),
        ("https://h.example:0/", "has no valid port"),
        ("https://me:secret@h.example/", "has a user, which is not sent; the receiver checks the signature instead"),
        ("https://h.example/#x", "has a part after `#`, which is not sent"),
    ] {
        let help = "write it like \"https://chat.example.org/hooks/guild\"";
        assert_eq!(lines(&text(bad)), format!("7:7 `url` of [[notice]] {why} | {help}"), "{bad}");
    }
}

#[test]
fn a_file_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("master.toml");
    assert!(Config::load(&path).unwrap_err().to_string().starts_with("failed to read "));
    std::fs::write(&path, "version = 1\nx = 1\n").unwrap();
    let shown = Config::load(&path).unwrap_err().to_string();
    assert!(shown.contains("╭─[master.toml:2:1]\n"), "{shown}");
    std::fs::write(&path, SMALL).unwrap();
    assert_eq!(Config::load(&path).unwrap().state, dir.path().join("."));
}

/// Writes a master file and other files into a new directory.
fn written(main: &str, others: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in others.iter().chain(&[("master.toml", main)]) {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let path = dir.path().join("master.toml");
    (dir, path)
}

#[test]
fn other_files_are_included() {
    let main = format!("{SMALL}include = 'projects/*.toml'\n[project.a]\nrepo = 'a'\npools = 'gpu'\n");
    let others = [
        ("projects/b.toml", "[project.b]\nrepo = 'b'\ntoken_file = 'b.token'\n[pool.gpu]\n"),
        ("projects/.hidden.toml", "nonsense"),
        ("projects/b.token", "nonsense"),
        ("projects/deep/c.toml", "nonsense"),
    ];
    let (dir, path) = written(&main, &others);
    let config = Config::load(&path).unwrap();
    assert_eq!(config.projects.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(config.projects["b"].token_file, Some(dir.path().join("projects/b.token")));
    let more = Some((Path::new("projects/new.toml"), "[project.new]\nrepo = 'new'\n"));
    assert_eq!(Config::load_with(&path, more).unwrap().projects.len(), 3);
    assert!(!dir.path().join("projects/new.toml").exists());
    let elsewhere = Some((Path::new("new.toml"), "[project.new]\nrepo = 'new'\n"));
    assert_eq!(Config::load_with(&path, elsewhere).unwrap().projects.len(), 2);
}

#[test]
fn errors_of_all_files_are_told_at_once() {
    let main = format!("{SMALL}include = ['*.d/*.toml', 'x/*.toml', 'gone.toml']\n[project.a]\nrepo = 'a'\nx = 1\n");
    let others =
        [("x/b.toml", "[project.a]\nrepo = 'b'\n"), ("x/c.toml", "version = 1\n[project.c]\nrepo = 'c'\ny = 1\n")];
    let (_dir, path) = written(&main, &others);
    let shown = Config::load(&path).unwrap_err().to_string();
    let wanted = [
        "`include` has `*.d/*.toml`: only the last part of a path may be a pattern",
        "`include` has `gone.toml`: there is no such file",
        "[project.a] has no key `x`",
        "[project.a] is also in another file\n    ╭─[x/b.toml:1:10]",
        "╭─[x/c.toml:1:1]",
        "[project.c] has no key `y`\n    ╭─[x/c.toml:4:1]",
    ];
    for wanted in wanted {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
    // errors that may follow from a file that cannot be read are left out
    let (_dir, path) = written(&main, &[("x/b.toml", "[project.\n")]);
    let shown = Config::load(&path).unwrap_err().to_string();
    assert!(shown.contains("x/b.toml:1:") && !shown.contains("key `x`"), "{shown}");
}

#[test]
fn patterns_that_match_nothing_are_errors() {
    let text = format!(
        "{SMALL}[project.a]\nrepo = 'a'\nbranches = ['main', 'refs/heads/main', '!dev']\ntags = ['^v.*$', 'v?']\n"
    );
    let (_dir, path) = written(&text, &[]);
    let shown = Config::load(&path).unwrap_err().to_string();
    for wanted in ["write `main`", "list what is wanted instead", "write `v*`", "only `*` is special here"] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
}

#[test]
fn differences_are_told_key_by_key() {
    let before = parse(&format!("{SMALL}[project.a]\nrepo = 'a'\npoll = '90s'\n[project.b]\nrepo = 'b'\n"));
    let after = parse(&format!(
        "url = 'https://x'\n{SMALL}[project.a]\nrepo = 'a'\npoll = '2m'\nhook = {{ kind = 'gitea', secret_file = 'h' }}\n\
         [role.dev]\nmay = ['view']\nprojects = ['*']\n"
    ));
    let told: Vec<String> = differences(&before, &after)
        .into_iter()
        .filter(|it| !it.key.starts_with("project.b."))
        .map(|it| format!("{} {} {} {}", it.key, it.before, it.after, it.needs_restart))
        .collect();
    let wanted = [
        "project.a.hook.kind  \"gitea\" false",
        "project.a.hook.secret_file  \"/base/h\" false",
        "project.a.poll \"90s\" \"2m\" false",
        "role.dev.may  [\"view\"] false",
        "role.dev.projects  [\"*\"] false",
        "url \"\" \"https://x\" true",
    ];
    assert_eq!(told, wanted);
    assert!(differences(&before, &before.clone()).is_empty());
}

/// C28: the links of the pages begin at the root.
#[test]
fn an_address_of_pages_below_a_path_is_refused() {
    let told = |url: &str| {
        let text = format!("version = 1\nurl = \"{url}\"\n[listen]\nrpc = \"127.0.0.1:1\"\nadvertise = [\"h:1\"]\n");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("master.toml");
        std::fs::write(&file, text).unwrap();
        Config::load(&file).map(|config| config.url).map_err(|error| error.to_string())
    };
    for good in ["https://ci.example.org", "https://ci.example.org/", "http://[::1]:8080"] {
        assert_eq!(told(good).as_deref(), Ok(good.trim_end_matches('/')));
    }
    for (bad, what) in [("https://example.org/guild", "/guild"), ("https://h/a/b/", "/a/b"), ("https://h?x", "?x")] {
        let why = told(bad).unwrap_err();
        assert!(
            why.contains(&format!("has `{what}` after its host")) && why.contains("https://guild.example.org"),
            "{why}"
        );
    }
}
