//! Loading any text ends without a panic, and errors name places within the text.

use pipeline::{Changed, Context, load};
use proptest::collection::vec;
use proptest::prelude::*;
use schema::values::{BuildCause, Plan, Trust};

const SEEDS: [&str; 2] = [include_str!("later.toml"), VALID];

const VALID: &str = r#"version = 1
[trigger]
push = ["main", "release/*"]
[axis.os]
l = { on = "linux-x86_64", env = { A = "{os}" } }
w = { on = "windows-x86_64" }
[job.a]
matrix = { os = "*", py = ["1", "2", "é"] }
skip = [{ os = "l", py = ["1"] }]
run = { default = "x", windows = ["y", "{py}"] }
[job.b]
needs = ["a"]
when = { paths = ["docs/**"], branch = "m*" }
matrix.os = ["l"]
[[job.b.step]]
run = "z"
idle = "1h30m"
"#;

/// The words that have a meaning in a pipeline, so that a mutated text gets past the parser of TOML.
const WORDS: [&str; 24] = [
    "\"*\"",
    "needs",
    "['a', 'b']",
    "matrix",
    "[job.a]",
    "[[job.b.step]]",
    "{",
    "}",
    "{os}",
    "=",
    "1",
    "true",
    "\n",
    "\"",
    "on",
    "skip",
    "[]",
    "{}",
    "-1",
    "1e400",
    "0x7fffffffffffffffff",
    "1979-05-27",
    "\\u0000",
    "\u{202e}é",
];

#[derive(Clone, Debug)]
enum Edit {
    Cut(prop::sample::Index, usize),
    Put(prop::sample::Index, &'static str),
    /// Copies a line to another place.
    Copy(prop::sample::Index, prop::sample::Index),
    Byte(prop::sample::Index, u8),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), 1..30_usize).prop_map(|(at, length)| Edit::Cut(at, length)),
        (at(), prop::sample::select(&WORDS[..])).prop_map(|(at, word)| Edit::Put(at, word)),
        (at(), at()).prop_map(|(from, to)| Edit::Copy(from, to)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Byte(at, byte)),
    ]
}

fn apply(text: &mut Vec<u8>, edit: &Edit) {
    let place = |at: &prop::sample::Index, text: &[u8]| at.index(text.len() + 1);
    match edit {
        Edit::Cut(at, length) => {
            let at = place(at, text);
            text.drain(at..(at + length).min(text.len()));
        }
        Edit::Put(at, word) => {
            let at = place(at, text);
            text.splice(at..at, word.bytes());
        }
        Edit::Copy(from, to) => {
            let lines: Vec<Vec<u8>> = text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            let Some(line) = lines.get(place(from, text) % lines.len().max(1)) else { return };
            let at = lines.iter().take(place(to, text) % (lines.len() + 1)).map(Vec::len).sum::<usize>();
            text.splice(at..at, line.iter().copied());
        }
        Edit::Byte(at, byte) => {
            let at = place(at, text);
            text.splice(at..(at + 1).min(text.len()), [*byte]);
        }
    }
}

fn check(text: &[u8]) {
    match load("guild.toml", text) {
        Ok(pipeline) => {
            for ref_name in ["refs/heads/main", "refs/tags/v1", "", "x"] {
                pipeline.triggers(ref_name, Some(&[]));
                let context = Context {
                    ref_name: ref_name.to_owned(),
                    cause: BuildCause::Change,
                    changed: Changed::default(),
                    trust: Trust::Untrusted,
                };
                check_plan(&pipeline.expand(&context).expect("what loads expands"));
            }
        }
        Err(errors) => {
            assert!(!errors.0.is_empty());
            let lines = text.iter().filter(|byte| **byte == b'\n').count() + 1;
            for error in &errors.0 {
                assert!(error.span.start <= error.span.end && error.span.end <= text.len(), "{error:?}");
                assert!((1..=lines).contains(&error.line) && error.column >= 1, "{error:?}");
                assert!(!error.message.is_empty());
            }
            assert!(errors.to_string().chars().all(|char| char == '\n' || !char.is_control()));
        }
    }
}

fn check_plan(plan: &Plan) {
    assert!(!plan.jobs.is_empty());
    for (index, job) in plan.jobs.iter().enumerate() {
        assert!(job.needs.iter().all(|need| (*need as usize) < index), "{}", job.name);
        assert!(!job.steps.is_empty() && job.timeout_ms > 0 && job.steps.iter().all(|step| step.idle_ms > 0));
        assert!(plan.jobs[..index].iter().all(|other| other.name != job.name), "{} twice", job.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(text in vec(any::<u8>(), 0..500)) {
        check(&text);
    }

    #[test]
    fn random_words(words in vec(prop::sample::select(&WORDS[..]), 0..60)) {
        check(format!("version = 1\n{}", words.join(" ")).as_bytes());
    }

    #[test]
    fn edited_files(seed in 0..SEEDS.len(), edits in vec(edit(), 1..8)) {
        let mut text = SEEDS[seed].as_bytes().to_vec();
        edits.iter().for_each(|edit| apply(&mut text, edit));
        check(&text);
    }
}

/// Loading a deep, wide or repetitive text must not take more time than its size justifies.
#[test]
fn texts_of_full_size() {
    const SIZE: usize = 1 << 20;
    let fill = |start: &str, unit: &str| format!("{start}{}", unit.repeat((SIZE - start.len()) / unit.len()));
    for (start, unit) in [
        ("version = 1\nx = ", "["),
        ("version = 1\nx = ", "{a="),
        ("", "a."),
        ("[", "a."),
        ("", "[[job.a.step]]\n"),
        ("version = 1\n[job.a]\nrun='r'\nneeds = [", "'a',"),
        ("version = 1\n[job.a]\nrun='r'\nwhen.paths = ['", "{a,b}"),
        ("version = 1\n[job.a]\nrun='r'\ndir = '", "{a"),
        ("", "\u{0}"),
        ("x = \"", "é"),
        ("", "= \n"),
    ] {
        check(fill(start, unit).as_bytes());
    }
    let jobs: String = (0..20_000).map(|at| format!("job.j{at}.needs = ['j{}']\n", (at + 1) % 20_000)).collect();
    check(jobs.as_bytes());
    let ring: String =
        (0..1_000).map(|at| format!("job.j{at} = {{ run = 'r', needs = ['j{}'] }}\n", (at + 1) % 1_000)).collect();
    check(format!("version = 1\n{ring}").as_bytes());
}
