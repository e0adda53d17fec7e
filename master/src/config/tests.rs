//! Good and broken master files.

use super::*;

fn parse(text: &str) -> Config {
    Config::parse("master.toml", text.as_bytes(), Path::new("/base")).unwrap_or_else(|errors| panic!("{errors}"))
}

/// One line an error: `line:column message | label | help`.
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
    let Limits { job_timeout, lease, offer, log_bytes, retain } = config.limits;
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
    let text = starter("ci.example.org:7711", Some("127.0.0.1:8080"), Some("https://ci.example.org")).unwrap();
    let config = parse(&text);
    assert_eq!((config.listen.web.as_deref(), config.url.as_str()), (Some("127.0.0.1:8080"), "https://ci.example.org"));
    assert!(starter("h:1", Some("nowhere"), None).is_err() && starter("h:1", None, Some("ftp://x")).is_err());
    let config = parse(&starter("ci.example.org:7711", None, None).unwrap());
    assert_eq!(config.listen.web, None);
    assert_eq!(config.listen.rpc, "0.0.0.0:7711");
    assert_eq!(config.state, Path::new("/base/."));
    for bad in ["", "host", "host:", ":1", "host:99999", "h\"x:1", "a:b:1", "h:0", "h:+1", "h x:1"] {
        assert!(starter(bad, None, None).is_err(), "{bad}");
    }
}

#[test]
fn what_is_said() {
    let cases = [
        ("ulr = 'x'", "3:1 the top level has no key `ulr` | unknown key | did you mean `url`?"),
        ("url = 'ci.example.org'", "3:7 `url` of the top level is no web address | it begins with https:// or http://"),
        ("mail.smtp = 'x'", "3:1 `mail` of the top level is not supported by this version | of a later version"),
        (
            "[role.x]\nmay = ['view', 'rnu']",
            "3:1 [role.x] has no `projects`\n\
             4:16 [role.x] names the right `rnu`, which there is not | no such right | did you mean `run`?",
        ),
        ("limits.lease = '0s'", "3:16 `lease` of [limits] is zero"),
        (
            "limits.retain = { builds = 0, logs = 7, log_bytes_total = '0B', artifacts = '30d', event = '1d' }",
            "3:28 `builds` of [limits.retain] is from 1 to 10000000 | out of range\n\
             3:38 `logs` of [limits.retain] must be a string | this is a whole number | in quotes it is a string\n\
             3:59 `log_bytes_total` of [limits.retain] is zero\n\
             3:65 `artifacts` of [limits.retain] is not supported by this version | of a later version\n\
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
            "3:10 `../a` cannot name a project | letters, digits and `.` `_` `-`, at most 100",
        ),
        (
            "[project.'..']\nrepo = 'x'",
            "3:10 `..` cannot name a project | letters, digits and `.` `_` `-`, at most 100",
        ),
        (
            "[project.a]\nrepo = 'x'\nforks = 'never'",
            "5:1 `forks` of [project.a] is not supported by this version | of a later version",
        ),
        (
            "[project.a]\nrepo = 'x'\npublic = 'yes'\nhook = { kind = 'svn', secret = 's' }",
            "5:10 `public` of [project.a] must be true or false | this is a string\n\
             6:8 hook has no `secret_file`\n\
             6:17 `kind` of hook has `svn`, which is no kind of hook | one of github, gitea, gitlab, generic\n\
             6:24 hook has no key `secret` | unknown key",
        ),
        (
            "[project.a]\nrepo = 'x'\npools = ['lin']\n[pool.linx]",
            "5:10 [project.a] names the pool `lin`, which is not defined | no such pool | did you mean `linx`?",
        ),
        ("[pool.a]\nmatch = ['=x']", "4:10 `=x` in [pool.a] is no label | like \"gpu\" or \"platform=linux-x86_64\""),
        (
            "[pool.a]\nisolation = 'x'\nmtch = 'y'",
            "4:1 `isolation` of [pool.a] is not supported by this version | of a later version\n\
          5:1 [pool.a] has no key `mtch` | unknown key | did you mean `match`?",
        ),
    ];
    for (more, wanted) in cases {
        assert_eq!(lines(&format!("{SMALL}{more}\n")), wanted, "{more}");
    }
    assert_eq!(
        lines(""),
        "1:1 the file does not say its `version` | begin it with: version = 1\n1:1 the file does not say where to listen \
         | [listen] with rpc = \"0.0.0.0:7711\" and advertise = [\"HOST:7711\"]"
    );
    assert_eq!(
        lines("version = 1\n[listen]\nrpc = 'x'\nadvertise = ['h:0']\nweb = 'x'"),
        "3:7 `rpc` of [listen] has `x`, which is not HOST:PORT | an IPv6 address stands in brackets: \"[::1]:7711\"\n\
         4:14 `advertise` of [listen] has `h:0`, which is not HOST:PORT | an IPv6 address stands in brackets: \
         \"[::1]:7711\"\n5:7 `web` of [listen] has `x`, which is not HOST:PORT | an IPv6 address stands in \
         brackets: \"[::1]:7711\""
    );
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

#[test]
fn examples_of_the_manual_are_read() {
    let manual = concat!(include_str!("../../../docs/master.md"), include_str!("../../../docs/pages.md"));
    let examples: Vec<&str> = manual.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 3);
    for example in examples {
        assert!(!parse(example).projects.is_empty());
    }
}
