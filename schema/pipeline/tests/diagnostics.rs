//! Broken pipelines, and the errors about them.

use pipeline::{Changed, Context, Diagnostics, load};
use schema::values::{BuildCause, Trust};

fn errors(text: &[u8]) -> Diagnostics {
    load("guild.toml", text).map(|_| ()).expect_err("the text is broken")
}

/// Returns a line for each error: `line:column message | label | help`.
fn lines(text: &str) -> String {
    let line = |it: &pipeline::Diagnostic| {
        let parts = [&it.label, &it.help].into_iter().filter(|part| !part.is_empty());
        let parts: String = parts.map(|part| format!(" | {part}")).collect();
        format!("{}:{} {}{parts}", it.line, it.column, it.message)
    };
    errors(text.as_bytes()).0.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn shape() {
    let text = format!(
        "version = 1{}\n[job.test]\nneeds  = [\"lnit\"]\nrun = 'x'\njob.x = 'Ж'\n[job.lint]\nrun = 'x'",
        "\n".repeat(17)
    );
    assert_eq!(
        errors(text.as_bytes()).to_string(),
        "  × job `test` needs `lnit`, which is not defined\n    ╭─[guild.toml:20:11]\n 20 │ needs  = [\"lnit\"]\n    \
         ·           ───┬── no such job\n  help: did you mean `lint`?\n\
         \n  × job `test` has no key `job`\n    ╭─[guild.toml:22:1]\n 22 │ job.x = 'Ж'\n    · ─┬─ unknown key\n"
    );
}

const JOB: &str = "version = 1\n[job.a]\nrun = 'r'\n";

#[test]
fn what_is_said() {
    let of_job = [
        ("tiemout = '1h'", "4:1 job `a` has no key `tiemout` | unknown key | did you mean `timeout`?"),
        ("qqqqqqqq = 1", "4:1 job `a` has no key `qqqqqqqq` | unknown key"),
        (
            "cache = []",
            "4:1 `cache` of job `a` is not supported by this version | reserved for a later version | until then, workspace = \
             \"clean\" or \"kept\" keeps what a job leaves in its directory",
        ),
        (
            "runs-on = 'ubuntu-latest'",
            "4:1 job `a` has no key `runs-on` | unknown key | `on` names the platform: on = \"linux-x86_64\"; `want` names \
             labels of the worker",
        ),
        (
            "before_script = ['x']",
            "4:1 job `a` has no key `before_script` | unknown key | `run` is the command; several are [[job.NAME.step]] tables",
        ),
        ("retry = 3", "4:9 `retry` of job `a` must be a table | this is a whole number | write it like { infra = 3 }"),
        (
            "memory = 4096",
            "4:10 `memory` of job `a` must be a string | this is a whole number | write it like \"512MiB\" or \"4GiB\"",
        ),
        (
            "want = true",
            "4:8 `want` of job `a` must be a string, or an array of strings | this is true or false | write it in quotes to make it a string",
        ),
        ("size = 'x'", "4:1 `size` of job `a` is not supported by this version | reserved for a later version"),
        (
            "junit = true",
            "4:9 `junit` of job `a` must be a string, or an array of strings | this is true or false | write it in quotes to make it a string",
        ),
        (
            "libtest = 1",
            "4:11 `libtest` of job `a` must be a string, an array of strings, or true for what the step prints | this is a whole number | \
             write it in quotes to make it a string",
        ),
        (
            "junit = ['a.xml', '../b.xml']",
            "4:19 `junit` of job `a` has `../b.xml`, which matches nothing: a report must be in the step's directory or below it | \
             use `dir` for another directory",
        ),
        (
            "junit = '/tmp/a.xml'",
            "4:9 `junit` of job `a` has `/tmp/a.xml`, which matches nothing: no path begins with `/` | write `tmp/a.xml`",
        ),
        (
            "tap = 't/[a-z].tap'",
            "4:7 `tap` of job `a` has `t/[a-z].tap`, which matches nothing: `[` is not allowed in a pattern | `*`, `?` and `**` are \
             special; several patterns are a list",
        ),
        (
            "subunit = ''",
            "4:11 `subunit` of job `a` has ``, which matches nothing: it is empty | leave it out, or say `**` for everything",
        ),
        (
            "junit = '{os}.xml'",
            "4:9 `{os}` is not an axis of job `a` | no such axis | braces themselves are written `{{os}}`",
        ),
        (
            "timeout = 5",
            "4:11 `timeout` of job `a` must be a string | this is a whole number | write it like \"90s\", \"45m\" or \"1h30m\"",
        ),
        ("timeout = '5'", "4:11 `timeout` of job `a` is not a duration | write it like \"90s\", \"45m\" or \"1h30m\""),
        ("timeout = '0s'", "4:11 `timeout` of job `a` is zero"),
        ("memory = '4GB'", "4:10 `memory` of job `a` is not a size | write it like \"512MiB\" or \"4GiB\""),
        ("cpus = 0", "4:8 `cpus` of job `a` must be above 0 and at most 1024 | out of range"),
        ("cpus = nan", "4:8 `cpus` of job `a` must be above 0 and at most 1024 | out of range"),
        ("retry.infra = 11", "4:15 `infra` of `retry` of job `a` must be from 0 to 10 | out of range"),
        ("retry.code = 1", "4:7 `retry` of job `a` has no key `code` | unknown key"),
        (
            "side_effects = true\nretry.infra = 1",
            "5:1 job `a` has side effects: it is never run a second time by itself | contradicts `side_effects` | \
             remove `retry`, or `side_effects`",
        ),
        (
            "workspace = 'dirty'",
            "4:13 `workspace` of job `a` is not known | it must be one of \"fresh\", \"clean\", \"kept\"",
        ),
        ("isolation = 'guarded'", "4:13 `isolation` of job `a` is not known | it must be one of \"plain\", \"guard\""),
        (
            "isolation = 'container'",
            "4:13 `isolation` of job `a` as \"container\" is not supported by this version | reserved for a later version | the strongest of \
             this version is \"guard\"",
        ),
        (
            "source = { lfs = true }",
            "4:10 `source` of job `a` as a table is not supported by this version | reserved for a later version | \"none\" means \
             no checkout; without the key, the commit is checked out",
        ),
        (
            "dir = '../x'",
            "4:7 `dir` of job `a` leaves the checkout | write it relative to the checkout, without `..` and with `/` between its parts",
        ),
        (
            "env.GUILD_X = '1'",
            "4:5 `env` of job `a` sets `GUILD_X`: names with GUILD_ are set by guild itself | reserved",
        ),
        (
            "env.a-b = '1'",
            "4:5 `env` of job `a` names `a-b`, which is not an environment variable | use letters, digits and `_`, and no digit first",
        ),
        (
            "env.A = 1",
            "4:9 `A` of `env` of job `a` must be a string | this is a whole number | write it in quotes to make it a string",
        ),
        (
            "want = ['ram>=4GiB']",
            "4:9 `ram>=4GiB` is neither a label nor a size | write it like \"gpu\", \"python=3.14\", \"memory>=4GiB\" or \
             \"cpus>=2\"",
        ),
        (
            "want = ['x={y}']",
            "4:9 `{y}` is not an axis of job `a` | no such axis | braces themselves are written `{{y}}`",
        ),
        ("needs = ['a']", "4:10 job `a` needs itself"),
        (
            "needs = [{ job = 'x' }]",
            "4:10 an element of `needs` of job `a` as a table is not supported by this version | reserved for a later version",
        ),
        ("skip = []", "4:8 `skip` of job `a` needs a `matrix`"),
        (
            "when.branch = ['{']",
            "4:16 `branch` of `when` of job `a` has a broken pattern: unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)",
        ),
        (
            "when.paths = ['src/', './docs/']",
            "4:23 `paths` of `when` of job `a` has `./docs/`, which matches nothing: no path has a part `.` | write `docs/`",
        ),
        (
            "when.tag = 'refs/tags/v*'",
            "4:12 `tag` of `when` of job `a` has `refs/tags/v*`, which matches nothing: a short name is needed here | write `v*`, \
             among the patterns of tags",
        ),
        ("when.cron = 'x'", "4:13 `when` of job `a` names the cron `x`, which is not defined | no such cron"),
        (
            "when.cause = 'push'",
            "4:14 `cause` of `when` of job `a` is not known | it must be one of \"change\", \"run\", \"retry\", \"cron\", \"try\"",
        ),
        (
            "matrix.x = '*'",
            "4:8 `x` of `matrix` of job `a` takes all values of [axis.x], which is not defined | no such axis",
        ),
        (
            "matrix.x = [3.10]",
            "4:13 an element of `x` of `matrix` of job `a` must be a string | this is a number | write it in quotes to make it a string",
        ),
        ("matrix.x = ['1', '1']", "4:18 `x` of `matrix` of job `a` has `1` twice"),
        ("matrix.x = []", "4:12 `x` of `matrix` of job `a` has no values"),
        ("matrix.x = ['1']\nskip = [{ x = '1' }]", "4:1 `matrix` of job `a` has no cell left after `skip` and `only`"),
        (
            "matrix.x = ['one']\nskip = [{ x = 'onw' }]",
            "5:15 `x` of an element of `skip` of job `a` has `onw`, which is not a value of the axis | no such value | did you \
             mean `one`?",
        ),
        (
            "matrix.x = ['one']\nskip = [{ y = 'one' }]",
            "5:11 an element of `skip` of job `a` names `y`, which is not an axis of the matrix | no such axis | did you mean \
             `x`?",
        ),
        (
            "matrix.x-y = ['1']\nmatrix.x_y = ['1']",
            "4:1 `matrix` of job `a` has the axes `x-y` and `x_y`, which both are GUILD_AXIS_X_Y",
        ),
        (
            "step = [{ run = 'x' }]",
            "3:7 `run` of job `a` cannot be used together with steps | a job has either `run`, or [[job.NAME.step]] tables",
        ),
    ];
    for (more, wanted) in of_job {
        assert_eq!(lines(&format!("{JOB}{more}\n")), wanted, "{more}");
    }
}

#[test]
fn what_is_said_of_the_rest() {
    let whole = [
        (
            "",
            "1:1 the file does not say its `version` | begin it with: version = 1\n1:1 there is no job | [job.test] run = \"make test\"",
        ),
        (
            "version = 2\njob.a.run = 'x'",
            "1:11 `version` of the top level 2 is not known | this version of guild reads version 1",
        ),
        (
            "version = 1\njbo.a.run = 'x'",
            "1:1 there is no job | [job.test] run = \"make test\"\n2:1 the top level has no key `jbo` | unknown key | did you mean `job`?",
        ),
        ("version = 1\njob = 1", "2:7 `job` of the top level must be a table | this is a whole number"),
        ("version = 1\n[job.a]", "2:1 job `a` has nothing to run | give it `run`, or [[job.NAME.step]] tables"),
        (
            "version = 1\n[job.'a b']\nrun = 'x'",
            "2:6 `a b` is not a valid name for a job | use letters, digits and `.` `_` `-`, at most 100",
        ),
        ("version = 1\n[[job.a.step]]\nname = 'x'", "2:1 step 1 of job `a` has no `run`"),
        (
            "version = 1\n[[job.a.step]]\nrun = 'x'\nruns = 1",
            "4:1 step 1 of job `a` has no key `runs` | unknown key | did you mean `run`?",
        ),
        (
            "version = 1\n[job.a]\nrun = { windows = 'x' }",
            "3:7 job `a` runs on any worker, for which `run` has no command | give it a `default`",
        ),
        (
            "version = 1\n[job.a]\nrun = ['pip install .', 'pytest -q']",
            "3:8 `run` of job `a` would run one program called `pip install .` | a whole command | an array is one program and \
             its arguments; a script is a string, and several commands are [[job.NAME.step]] tables",
        ),
        (
            "version = 1\n[job.a]\nmatrix.py = ['3']\nrun = 'python{py} -m pytest'",
            "4:7 a script of job `a` has `{py}`, which is not replaced | values are not put into scripts, because they would become code | the shell has it as $GUILD_AXIS_PY",
        ),
        (
            "version = 1\n[job.a]\nrun = 'echo ${{ matrix.py }}'",
            "3:7 a script of job `a` has `${{`, which is not replaced | values are not put into scripts, because they would become code | the shell has the value of an axis as $GUILD_AXIS_NAME, and the variables of `env`",
        ),
        (
            "version = 1\n[job.a]\nrun = ['echo', '{plat}']\nmatrix.plot = ['x']",
            "3:16 `{plat}` is not an axis of job `a` | no such axis | did you mean `{plot}`?",
        ),
        (
            "version = 1\n[axis.p]\nx = { on = 'l' }\n[job.a]\nmatrix.p = '*'\non = 'l'\nrun = 'r'",
            "6:6 job `a` has `on`, but an axis of its matrix has it too | `only` picks values of the axis",
        ),
        (
            "version = 1\n[axis.p]\nx = { image = 'l' }\n[job.a]\nrun = 'r'",
            "3:7 `image` of [axis.p.x] is not supported by this version | reserved for a later version | until then, a label, as in want = \
             [\"python=3.14\"], picks a machine that has what the job needs",
        ),
        (
            "version = 1\n[axis.p]\nx = {}\n[job.a]\nmatrix.p = ['y']\nrun = 'r'",
            "5:13 `p` of `matrix` of job `a` has `y`, which is not a value of the axis | no such value | did you mean `x`?",
        ),
        (
            "version = 1\n[job.a]\nneeds = ['c']\nrun = 'r'\n[job.b]\nneeds = ['a']\nrun = 'r'\n[job.c]\nneeds = ['b', 'd']\nrun = 'r'\n[job.d]\nneeds = ['d']\nrun = 'r'",
            "3:10 jobs need each other: a -> c -> b -> a | closes a cycle\n12:10 job `d` needs itself",
        ),
        (
            "version = 1\n[job.a]\nmatrix.x = ['1']\nrun = 'r'\n[job.b]\nneeds = ['a@1']\nrun = 'r'",
            "6:10 job `b` needs `a@1`, which is not defined | no such job | `needs` names jobs without their cells: `a`",
        ),
    ];
    for (text, wanted) in whole {
        assert_eq!(lines(text), wanted, "{text}");
    }
}

#[test]
fn what_is_no_toml() {
    assert_eq!(lines("version = 1\n[job.a]\nrun = \n"), "3:7 string values must be quoted, expected literal string");
    let utf8 = errors(b"version = 1\nx = \"\xff\"");
    assert_eq!(utf8.0[0].message, "guild.toml is not UTF-8");
    assert_eq!((utf8.0[0].line, utf8.0[0].column), (2, 6));
    let large = errors(&vec![b'#'; (1 << 20) + 1]);
    assert_eq!(large.0[0].message, "guild.toml has 1048577 bytes, but only 1048576 are allowed");
}

/// The places of errors are right if the file has Windows line ends.
#[test]
fn line_ends() {
    let text = format!("{JOB}run = \"\"\"\na\n\"\"\"\n").replace("run = 'r'\n", "") + "tiemout = '1h'\n\n\"Ж\" = 1\n";
    let saved = text.replace('\n', "\r\n");
    assert_eq!(lines(&saved), lines(&text));
    assert_eq!(errors(saved.as_bytes()).to_string(), errors(text.as_bytes()).to_string());
    let marked: Vec<&str> = errors(saved.as_bytes()).0.iter().map(|one| &saved[one.span.clone()]).collect();
    assert_eq!(marked, ["tiemout", "\"Ж\""]);
    let alone = "1:12 a carriage return has no line feed after it | no line ends here | \
        save the file with line ends \\n or \\r\\n; in a string, write \\r";
    assert_eq!(lines(&JOB.replace('\n', "\r")), alone);
    assert_eq!(lines(&JOB.replace('\n', "\r\r\n")), alone);
    assert_eq!(lines("version = 1\r# x\n"), alone);
    let shown = errors(JOB.replace('\n', "\r").as_bytes()).to_string();
    assert!(!shown.contains('\r'), "{shown:?}");
    assert_eq!(
        lines("\u{feff}version = 1\njob = 1"),
        "2:7 `job` of the top level must be a table | this is a whole number"
    );
}

/// The errors about a hostile file have only printable characters, and only a part of a long line.
#[test]
fn hostile_text() {
    let text = format!("version = 1\n[job.a]\nrun = 'r'\n\"x\\u001b[2J{}\" = 1 # \u{202e}", "y".repeat(10_000));
    let shown = errors(text.as_bytes()).to_string();
    assert!(shown.len() < 3_000, "{} bytes", shown.len());
    assert!(shown.chars().all(|char| char == '\n' || !char.is_control()), "{shown:?}");
}

/// Small files that would become large plans are refused quickly.
#[test]
fn limits() {
    let values = |count: usize| (0..count).map(|at| format!("'{at}'")).collect::<Vec<_>>().join(",");
    let axis = values(1001);
    let wanted = "4:12 `x` of `matrix` of job `a` has 1001 values, but only 1000 are allowed";
    assert_eq!(lines(&format!("{JOB}matrix.x = [{axis}]")), wanted);
    let axis = values(100);
    let wanted = "4:1 `matrix` of job `a` has 10000 cells, but only 1000 are allowed";
    assert_eq!(lines(&format!("{JOB}matrix.x = [{axis}]\nmatrix.y = [{axis}]")), wanted);
    let axis = values(600);
    let two = format!("{JOB}matrix.x = [{axis}]\n[job.b]\nrun = 'r'\nmatrix.x = [{axis}]");
    assert_eq!(lines(&two), "5:6 all cells together are more than 1000 jobs | this goes beyond the limit");
    let big = format!("{JOB}matrix.x = [{axis}]\nenv.A = '{}'", "y".repeat(100_000));
    assert_eq!(lines(&big), "2:6 all cells together are more than 16 MiB of text | this goes beyond the limit");
    let needs = format!("{JOB}matrix.x = [{axis}]\n[job.b]\nneeds = ['a']\nrun = 'r'\nmatrix.y = [{}]", values(300));
    assert_eq!(
        lines(&needs),
        "5:6 all cells together are more than 100000 needs between jobs | this goes beyond the limit"
    );
    let long = "z".repeat(99);
    let fill = format!("{JOB}matrix.z = ['{long}']\nwant = ['{}']", "{z}".repeat(300_000));
    assert_eq!(
        lines(&fill),
        "2:6 job `a@".to_owned()
            + &long
            + "` has 29,700,986 bytes of commands and variables; at most 1 MiB go to a worker | \
               put long commands into a script of the repository, and run that"
    );
    let name = format!("{JOB}matrix.z = ['{long}']\nname = '{}{{z}}'", "n".repeat(101));
    assert!(load("guild.toml", name.as_bytes()).is_ok(), "200 bytes are taken");
    let name = format!("{JOB}matrix.z = ['{long}']\nname = '{}{{z}}'", "n".repeat(102));
    assert_eq!(
        lines(&name),
        "5:8 a step name of job `a` has 201 bytes; at most 200 are allowed | with its placeholders filled in | \
         shorten it; the name of the job already has the values of its cell"
    );
    let shown =
        format!("version = 1\n[job.a]\nmatrix.x = [{}]\nstep = [{}]", values(900), "{ run = 'x' },".repeat(100));
    assert_eq!(
        lines(&shown),
        "2:6 all cells together are more than 2 MiB of jobs and steps as they are shown | this goes beyond the limit | \
         use fewer cells or steps; commands that always run together can be one step"
    );
    let steps = "{ run = 'x' },".repeat(101);
    let wanted = "3:8 `step` of job `a` has 101 steps, but 1 to 100 are allowed";
    assert_eq!(lines(&format!("version = 1\n[job.a]\nstep = [{steps}]")), wanted);
    let unknown: String = (0..5000).map(|at| format!("k{at} = 1\n")).collect();
    assert_eq!(errors(unknown.as_bytes()).0.len(), 100);
}

/// Each key that is planned for later versions is an error that says so.
#[test]
fn every_later_key_at_once() {
    let text = include_str!("later.toml");
    let found = errors(text.as_bytes());
    let wanted: Vec<(usize, String)> = text
        .lines()
        .enumerate()
        .filter_map(|(index, line)| Some((index + 1, line.split_once("# later")?.0)))
        .map(|(number, line)| {
            let key = line.trim_start_matches(['[', ' ']).split(['=', ']']).next().unwrap().trim();
            (number, key.split('.').next().unwrap().to_owned())
        })
        .collect();
    let told: Vec<(usize, String)> = found
        .0
        .iter()
        .map(|it| {
            assert!(it.message.ends_with("is not supported by this version"), "{}", it.message);
            (it.line, it.message.split('`').nth(1).unwrap().to_owned())
        })
        .collect();
    assert_eq!(told, wanted);
}

#[test]
fn the_design_example_without_later_keys_is_a_pipeline() {
    let text: String = include_str!("later.toml")
        .lines()
        .filter(|line| !line.contains("# later"))
        .fold(String::new(), |text, line| text + line + "\n");
    let pipeline = load("guild.toml", text.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"));
    let context = Context {
        ref_name: "refs/heads/main".to_owned(),
        cause: BuildCause::Change,
        changed: Changed::default(),
        trust: Trust::Trusted,
    };
    let plan = pipeline.expand(&context).unwrap();
    let names: Vec<&str> = plan.jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "lint",
            "test@linux-x86_64,3.11",
            "test@linux-x86_64,3.14",
            "test@linux-aarch64,3.14",
            "test@windows-x86_64,3.11",
            "test@windows-x86_64,3.14",
            "publish"
        ]
    );
    assert_eq!(plan.jobs[6].skipped, "runs only for tags v*; this is branch main");
}

#[test]
fn stored_and_read_again() {
    let found = errors(b"version = 1\nx = 1");
    let again: Diagnostics = serde_json::from_str(&serde_json::to_string(&found).unwrap()).unwrap();
    assert_eq!(again.to_string(), found.to_string());
}

#[test]
fn what_the_system_hands_to_no_program_is_refused() {
    let most = pipeline::limits::ARGUMENT_MAX;
    let text = |bytes: usize| "x".repeat(bytes);
    let script = |bytes| format!("version = 1\n[job.a]\nrun = '{}'", text(bytes));
    let argument = |bytes| format!("version = 1\n[job.a]\nrun = ['echo', '{}']", text(bytes));
    let variable = |bytes: usize| format!("version = 1\n[job.a]\nrun = 'x'\nenv.A = '{}'", text(bytes - 2));
    let files: [(&str, &dyn Fn(usize) -> String); 3] =
        [("3:7 a script", &script), ("3:16 an argument", &argument), ("4:9 a variable", &variable)];
    for (what, file) in files {
        assert!(load("guild.toml", file(most).as_bytes()).is_ok(), "{what}");
        let wanted = format!(
            "{what} of job `a` has 131,072 bytes; at most 131,071 can be given to a program | put it into a file of the repository"
        );
        assert_eq!(lines(&file(most + 1)), wanted);
    }
}

#[test]
fn a_program_may_have_blanks_in_its_path() {
    for (program, is_fine) in [
        ("/opt/my tools/run", true),
        ("C:\\\\Program Files\\\\x.exe", true),
        ("make", true),
        ("./configure --prefix=/x", false),
        ("make test", false),
        ("pip install .", false),
    ] {
        let text = format!("version = 1\n[job.a]\nrun = [\"{program}\", \"x\"]");
        assert_eq!(load("guild.toml", text.as_bytes()).is_ok(), is_fine, "{program}");
    }
}
