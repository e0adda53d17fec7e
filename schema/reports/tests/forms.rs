//! Reports as tools write them, and the tests that are read from them. The tools pytest, nextest, ctest, Node, gotestsum, subunit and
//! cargo wrote the samples, which are shortened. The samples of Surefire, Gradle, Jest and Perl follow descriptions of their forms.
#![expect(clippy::unwrap_used, reason = "a test")]

use reports::{Collection, TestList, TestOutcome, TestResult};
use schema::values::{ReportFormat, TestCounts};

fn read(format: ReportFormat, name: &str, bytes: &[u8]) -> TestList {
    let mut collection = Collection::below("/build", "");
    collection.read(format, name, bytes);
    collection.finish()
}

fn sample(format: ReportFormat, name: &str) -> TestList {
    let path = format!("{}/{name}", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples"));
    read(format, name, &std::fs::read(path).unwrap())
}

fn junit(name: &str) -> TestList {
    sample(ReportFormat::Junit, name)
}

/// Returns a list as text: a line for each result, and one for the trouble.
fn shown(list: &TestList) -> String {
    let mut lines: Vec<String> = list.results.iter().map(line).collect();
    if !list.trouble.is_empty() {
        lines.push(format!("! {}", list.trouble));
    }
    lines.join("\n")
}

fn line(result: &TestResult) -> String {
    let word = match result.outcome {
        TestOutcome::Passed => "pass",
        TestOutcome::Failed => "FAIL",
        TestOutcome::Errored => "ERR ",
        TestOutcome::Skipped => "skip",
    };
    let attempt = if result.attempt > 1 { format!(" #{}", result.attempt) } else { String::new() };
    let time = result.duration_us.map(|us| format!(" {us}us")).unwrap_or_default();
    let place = if result.file.is_empty() { String::new() } else { format!(" ({}:{})", result.file, result.line) };
    let message =
        if result.message.is_empty() { String::new() } else { format!(": {}", result.message.replace('\n', "|")) };
    let output =
        if result.output.is_empty() { String::new() } else { format!(" [{}]", result.output.lines().last().unwrap()) };
    format!("{word} {}{attempt}{time}{place}{message}{output}", result.id)
}

fn counts(passed: u32, failed: u32, errored: u32, skipped: u32) -> TestCounts {
    TestCounts { passed, failed, errored, skipped }
}

#[test]
fn pytest() {
    let list = junit("pytest.xml");
    let expected = "\
pass tests.test_a › test_p[1-x] 10000us
FAIL tests.test_a › test_p[2-y[0]] 2000us: AssertionError: left|  is not right|assert 2 == 1 [printed]
pass tests.test_a.TestC › test_m 1000us
ERR  tests.test_a › test_e 1000us: failed on setup with \"RuntimeError: setup\" [E   RuntimeError: setup]
skip tests.test_a › test_s 0us: why
skip tests.test_a › test_x 1000us
ERR  tests.test_bad 0us: collection failure [ImportError while importing test module]";
    assert_eq!(shown(&list), expected);
    assert_eq!(list.counts(), counts(2, 1, 2, 2));
}

#[test]
fn nextest() {
    let list = junit("nextest.xml");
    let expected = "\
FAIL rs › tests::flaky 498000us: thread 'tests::flaky' panicked at src/lib.rs:14:78 [running 1 test]
pass rs › tests::flaky #2 13000us
FAIL rs › tests::bad 399000us: thread 'tests::bad' panicked at src/lib.rs:11:39 [assertion failed]
FAIL rs › tests::bad #2 400000us: again [assertion failed again]
pass rs › tests::good 1000us";
    assert_eq!(shown(&list), expected);
    assert_eq!(list.counts(), counts(2, 1, 0, 0));
}

#[test]
fn ctest() {
    let list = junit("ctest.xml");
    let expected = "\
pass good 14284us
FAIL bad 15471us [a < b & c]
skip skip 11688us: SKIP_RETURN_CODE=77
skip off 0us
ERR  none 0us: Unable to find executable [Unable to find executable: ./there_is_none]";
    assert_eq!(shown(&list), expected);
}

#[test]
fn node() {
    let expected = "\
pass plain 2349us
FAIL fails <x> 2095us: 1 == 2 [}]
pass outer/inner › deep 437us (web/a.test.js:0)
skip outer › skipped 447us
skip outer › todo one 315us";
    assert_eq!(shown(&junit("node.xml")), expected);
}

#[test]
fn gotestsum() {
    let list = junit("gotestsum.xml");
    let expected = "\
FAIL example.com/m › TestB/sub_one 0us: Failed [    --- FAIL: TestB/sub_one (0.00s)]
FAIL example.com/m › TestB 0us: Failed [--- FAIL: TestB (0.00s)]
skip example.com/m › TestS 0us: a_test.go:5: no
pass example.com/m › TestA 0us";
    assert_eq!(shown(&list), expected);
    assert_eq!(list.counts(), counts(1, 2, 0, 1));
}

/// Entities that a file declares itself are never expanded.
#[test]
fn surefire() {
    let list = junit("surefire.xml");
    let expected = "\
FAIL org.example.AppTest › flaky: expected: <1> but was: <2> [first try]
ERR  org.example.AppTest › flaky #2: no connection [java.io.IOException: no connection]
pass org.example.AppTest › flaky #3 1234250000us
ERR  org.example.AppTest › breaks{int}[1] 10000us: &more; and & [said <this>]
ERR  org.example.AppTest › breaks{int}[1] #2: again & again [again & again]
pass org.example.AppTest › works";
    assert_eq!(shown(&list), expected);
    assert_eq!(list.counts(), counts(2, 0, 1, 0));
}

#[test]
fn jest() {
    let expected = "\
pass cart › cart adds 2000us
FAIL cart › cart knows [brackets] 3000us: Error: expect(received).toBe(expected) [    at Object.<anonymous> (src/cart.test.js:7:15)]";
    assert_eq!(shown(&junit("jest.xml")), expected);
}

#[test]
fn gradle() {
    let expected = "\
pass org.example.LibTest › [1] one 12000us
FAIL org.example.LibTest › add() 2000us: org.opentest4j.AssertionFailedError: expected: <3> but was: <2> [	at org.example.LibTest.add(LibTest.java:9)]
skip org.example.LibTest › later() 0us";
    assert_eq!(shown(&junit("gradle.xml")), expected);
}

/// In TAP a test with subtests counts itself only if none of its subtests says why it failed.
#[test]
fn subtests_of_tap() {
    let expected = "\
pass node › plain 9695us
FAIL node › fails <x> 1550us: 1 == 2 [  TestContext.<anonymous> (web/a.test.js:2:46)]
pass node/outer/inner › deep 430us
FAIL node/outer/inner › bad 260us: it's no [error: 'it''s no']
skip node/outer › skipped 155us
skip node/outer › todo one 177us: TODO";
    assert_eq!(shown(&sample(ReportFormat::Tap, "node.tap")), expected);
}

#[test]
fn tap_of_perl() {
    let expected = "\
pass perl › loads
FAIL perl › adds: Failed test 'adds' [expected: '4']
pass perl › test 3
skip perl › on other systems: no network here";
    assert_eq!(shown(&sample(ReportFormat::Tap, "perl.tap")), expected);
}

#[test]
fn what_tap_lacks() {
    let tap = |text: &str| shown(&read(ReportFormat::Tap, "", text.as_bytes()));
    let missing = "pass a\n! the step's output:2: the plan announces 3 tests, but the report has 1";
    assert_eq!(tap("1..3\nok 1 - a\n"), missing);
    assert_eq!(tap("ok 1 - a\n1..3\n"), missing);
    assert_eq!(tap("1..2\nok 1 - a\nBail out! no disk\n"), "! the step's output:3: Bail out! no disk");
    assert!(tap("ok 1 - a\n").ends_with("the report has no plan, so tests may be missing at its end"));
    assert!(tap("hello\n").ends_with("there is no test and no plan of TAP in it"));
    assert_eq!(tap("1..0 # SKIP not here\n"), "");
    let large = "pass a\n! the step's output:2: the plan announces 18446744073709551615 tests, but the report has 1";
    assert_eq!(tap("0..18446744073709551615\nok 1 - a\n"), large);
    let nested = "1..1\n    1..2\n    ok 1 - x\nok 1 - s\n";
    assert_eq!(tap(nested), "pass s › x\n! the plan announces 2 tests, but the report has 1 in the subtest `s`");
    assert!(tap("1..1\n    1..2\n    ok 1 - x\n").starts_with("pass x\n! the step's output:3: the plan announces 1"));
    let two = "TAP version 14\n1..1\nok - a\nTAP version 14\nok - b\n1..1\n";
    assert_eq!(tap(two), "pass a\npass b");
    let amid = "building\nmore \x1b[1mwords\x1b[0m\n\x1b[32mok\x1b[0m 1 - a\nnot ok 2 - b\n  ---\n  message: \"x\"\n  at: here\n  ...\n1..2\n";
    assert_eq!(tap(amid), "pass a\nFAIL b: x [at: here]");
}

#[test]
fn subunit() {
    let list = sample(ReportFormat::Subunit, "python.subunit");
    let expected = "\
pass tests.test_s.T › test_a 5000us
FAIL tests.test_s.T › test_b 5000us: AssertionError: 1 != 2 [AssertionError: 1 != 2]
skip tests.test_s.T › test_c 5000us: no
skip tests.test_s.T › test_d[x=1] 5000us: it failed, as was expected
FAIL tests.test_s.T › test_e 5000us: it passed, and was expected to fail
ERR  tests.test_s.T › test_f: it did not end
! python.subunit: the stream ends before 1 tests do";
    assert_eq!(shown(&list), expected);
    assert!(list.results[1].output.starts_with("Traceback"), "{}", list.results[1].output);
    assert!(list.results.iter().all(|result| result.attempt == 1));
}

#[test]
fn libtest() {
    let list = sample(ReportFormat::Libtest, "cargo.txt");
    let expected = "\
FAIL rs/src/lib.rs › tests::flaky (src/lib.rs:14): first [note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.]
FAIL rs/src/lib.rs › tests::bad (src/lib.rs:11): assertion `left == right` failed: why 3|  left: 1| right: 2 [note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace]
skip rs/src/lib.rs › tests::ign: slow
pass rs/src/lib.rs › tests::pan
pass rs/src/lib.rs › tests::good
pass more/tests/more.rs › loud
pass more/tests/more.rs › quick
FAIL rs/doc › src/lib.rs - f[2] (src/lib.rs:5): assertion `left == right` failed|  left: 1| right: 2 [ right: 2]
pass rs/doc › src/lib.rs - f[1] (src/lib.rs:1)";
    assert_eq!(shown(&list), expected);
}

#[test]
fn what_libtest_lacks() {
    let libtest = |text: &str| shown(&read(ReportFormat::Libtest, "", text.as_bytes()));
    let running =
        "     Running unittests src/lib.rs (target/debug/deps/a-0123456789abcdef)\n\nrunning 2 tests\ntest x ... ok\n";
    let expected =
        "pass a/src/lib.rs › x\n! the step's output:4: a/src/lib.rs has 2 tests, but its output has results for only 1";
    assert_eq!(libtest(running), expected);
    let quiet = "running 2 tests\n..\ntest result: ok. 2 passed; 0 failed\n";
    assert!(libtest(quiet).ends_with("has 2 tests, but with `-q` the output does not name them: run it without `-q`"));
    assert!(libtest("make: nothing to do\n").contains("there is no `running … tests` of `cargo test` in it"));
    assert_eq!(libtest("running 0 tests\n\ntest result: ok. 0 passed\n"), "");
}

fn libtest_of(lines: &[&str]) -> String {
    shown(&read(ReportFormat::Libtest, "", format!("{}\n", lines.join("\n")).as_bytes()))
}

/// With `--nocapture` a test prints between its name and its result, and the list of failures then says which tests failed.
#[test]
fn the_list_of_failures_says_which_tests_of_cargo_failed() {
    let run = |printed: &str, end: &str| {
        let summary = "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out";
        libtest_of(&[
            "running 2 tests",
            &format!("test a ... {printed}"),
            end,
            "test b ... ok",
            "",
            "failures:",
            "",
            "failures:",
            "    a",
            "",
            summary,
        ])
    };
    let expected = "FAIL a\npass b";
    assert_eq!(run("all is ok", "FAILED"), expected);
    assert_eq!(run("ok", "FAILED"), expected);
    assert_eq!(run("", "this is ok\nFAILED"), expected);
    assert_eq!(run("", "it ends without the word"), "pass b\nFAIL a");
    let passed = ["running 1 test", "test a ... it has not FAILED", "ok", "", "test result: ok. 1 passed; 0 failed"];
    assert_eq!(libtest_of(&passed), "pass a");
    let printed =
        ["running 1 test", "test a ... says", "failures:", "    b", "no", "ok", "", "test result: ok. 1 passed"];
    assert_eq!(libtest_of(&printed), "pass a");
}

const SECTIONS: [&str; 7] = [
    "     Running unittests src/lib.rs (target/debug/deps/rs-a35a48c092d3f767)",
    "running 2 tests",
    "test a ... FAILED",
    "test b ... FAILED",
    "",
    "failures:",
    "",
];

/// Tests may print lines that look like cargo's, for example the tests of a program that reads such output. They end no run.
#[test]
fn what_a_test_of_cargo_prints_ends_no_run() {
    for printed in [
        &["test result: ok. 2 passed; 0 failed"][..],
        &["running 7 tests", "test x ... ok", "test result: FAILED. 0 passed; 2 failed"],
        &["     Running tests/more.rs (target/debug/deps/more-0123456789abcdef)", "running 1 test", "test x ... ok"],
        &["   Doc-tests other", "", "running 1 test", "---- x stdout ----"],
        &["failures:", "    a", "", "test result: FAILED. 1 passed; 2 failed"],
        &["failures:", "    x", "    y", "", "test result: FAILED. 0 passed; 2 failed"],
        &["failures:", "", "---- x stdout ----", "failures:", "    x", "and so on"],
    ] {
        let head = [&SECTIONS[..], &["---- a stdout ----"], printed].concat();
        let tail = ["the last of a", "", "---- b stdout ----", "of b", "", "failures:", "    a", "    b", ""];
        let end = ["test result: FAILED. 0 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out", ""];
        let next = ["     Running tests/next.rs (target/debug/deps/next-0123456789abcdef)", "running 1 test"];
        let last = ["test c ... ok", "test result: ok. 1 passed; 0 failed"];
        let text = libtest_of(&[&head[..], &tail, &end, &next, &last].concat());
        let expected = format!(
            "FAIL rs/src/lib.rs › a: {} [the last of a]\nFAIL rs/src/lib.rs › b: of b [of b]\npass next/tests/next.rs › c",
            printed[0].trim()
        );
        assert_eq!(text, expected, "{printed:?}");
    }
}

/// A line that looks like the beginning of a test program counts only if it has the program's hash, or if tests follow at once.
#[test]
fn a_printed_line_begins_no_program() {
    let run = |lines: &[&str]| libtest_of(&[&SECTIONS[..2], lines].concat());
    let end = "test result: ok. 2 passed; 0 failed";
    let printed = ["test a ... begin", "Running all of it (again)", "ok", "test b ... ok", end];
    assert_eq!(run(&printed), "pass rs/src/lib.rs › a\npass rs/src/lib.rs › b");
    let next = ["test a ... ok", "   Doc-tests rs", "", "running 1 test", "test d ... ok", "test result: ok. 1 passed"];
    let lacks = "! the step's output:6: rs/src/lib.rs has 2 tests, but its output has results for only 1";
    assert_eq!(run(&next), format!("pass rs/src/lib.rs › a\npass rs/doc › d\n{lacks}"));
}

/// If a test program is killed while it prints the output of tests, the next program is still read.
#[test]
fn a_cut_output_ends_with_the_list_of_failures() {
    let head = [&SECTIONS[..], &["---- a stdout ----", "of a", "failures:", "    a", "    b", "killed"]].concat();
    let next =
        ["     Running tests/next.rs (target/debug/deps/next-0123456789abcdef)", "running 1 test", "test c ... ok"];
    let text = libtest_of(&[&head[..], &next, &["test result: ok. 1 passed; 0 failed"]].concat());
    assert!(text.ends_with("pass next/tests/next.rs › c"), "{text}");
}

#[test]
fn what_is_no_junit_is_said() {
    let trouble = |text: &str| shown(&read(ReportFormat::Junit, "a.xml", text.as_bytes()));
    assert_eq!(trouble(""), "! a.xml:1: it is not JUnit XML: it has no element");
    let other = "! a.xml:2: it is not JUnit XML: it begins with <html>, not with <testsuites> or <testsuite>";
    assert_eq!(trouble("<?xml version='1.0'?>\n<html></html>"), other);
    let cut = "<testsuite name='s'>\n<testcase name='a'/>\n<testcase name='b'>\n<failure>x";
    assert_eq!(trouble(cut), "pass s › a\n! a.xml:4: the file ends within the test case `b`");
    assert!(trouble("<testsuite><testcase name='a'/></testsuites>").starts_with("pass a\n! a.xml:1: it is not XML"));
    let deep = format!("<testsuite>{}", "<a>".repeat(2_000));
    assert!(trouble(&deep).contains("more than 1000 levels deep"));
    assert_eq!(trouble("<testsuites><testsuite name='e'/></testsuites>"), "");
}

#[test]
fn files_are_relative_to_the_checkout() {
    let mut collection = Collection::below("/build/tree/", "./web");
    let case = |file: &str| format!("<testcase name='t' file='{file}' line='3'/>");
    let files = ["/build/tree/web/a.js", "./b.js", "c\\d.js", "/elsewhere/e.js", "C:/f.js", ""];
    let text = format!("<testsuite>{}</testsuite>", files.map(case).concat());
    collection.read(ReportFormat::Junit, "a.xml", text.as_bytes());
    let list = collection.finish();
    let found: Vec<_> = list.results.iter().map(|result| (result.file.as_str(), result.line)).collect();
    assert_eq!(found, [("web/a.js", 3), ("web/b.js", 3), ("web/c/d.js", 3), ("", 0), ("", 0), ("", 0)]);
}

#[test]
fn a_list_in_short_has_what_counts() {
    let short = junit("nextest.xml").in_short();
    assert_eq!((short.counts, short.duration_us, short.trouble.as_str()), (counts(2, 1, 0, 0), 1_311_000, ""));
    assert_eq!(short.failing, ["rs › tests::bad"]);
}
