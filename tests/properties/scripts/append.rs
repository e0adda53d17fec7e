//! Scripts about jobs that are added to a running build.

use super::play;

#[test]
fn added_jobs_keep_the_build_open_and_outlive_a_restart() {
    insta::assert_snapshot!(play(
        "
        worker w1
        push main: build
        w1 asks
        w1 accepts
        append 1: test after build; report after test
        w1 ends 1/build succeeded
        restart
        look
        w1 returns
        w1 asks
        w1 accepts
        append 1: notes
        w1 ends 1/test succeeded
        look
        "
    ), @r"
    > worker w1
    > push main: build
      1/build queued
    > w1 asks
      1/build is offered to w1
    > w1 accepts
    > append 1: test after build; report after test
    > w1 ends 1/build succeeded
      1/build succeeded
      1/test queued
    > restart
    > look
      | build p/1 running
      |   build finished succeeded
      |   test queued
      |   report waiting
      | queue: p/1 test
    > w1 returns
    > w1 asks
      1/test is offered to w1
    > w1 accepts
    > append 1: notes
      1/notes queued
    > w1 ends 1/test succeeded
      1/test succeeded
      1/report queued
    > look
      | build p/1 running
      |   build finished succeeded
      |   test finished succeeded
      |   report queued
      |   notes queued
      | worker w1
      | queue: p/1 notes, p/1 report
    ");
}

#[test]
fn a_job_that_needs_a_failed_one_is_skipped_at_once() {
    insta::assert_snapshot!(play(
        "
        worker w1
        push main: build; lint
        w1 asks
        w1 accepts
        w1 ends 1/build failed
        append 1: test after build; report after test
        look
        "
    ), @r"
    > worker w1
    > push main: build; lint
      1/build queued
      1/lint queued
    > w1 asks
      1/build is offered to w1
    > w1 accepts
    > w1 ends 1/build failed
      1/build failed
    > append 1: test after build; report after test
      1/test skipped: needs build, which failed
      1/report skipped: needs test, which was skipped
    > look
      | build p/1 running
      |   build finished failed
      |   lint queued
      |   test finished skipped
      |   report finished skipped
      | worker w1
      | queue: p/1 lint
    ");
}

#[test]
fn a_name_stands_for_one_job_and_a_finished_build_takes_none() {
    insta::assert_snapshot!(play(
        "
        push main: build
        append 1: build
        append 1: test; test
        cancel 1
        append 1: test
        "
    ), @r"
    > push main: build
      1/build queued
    > append 1: build
      refused: the build has a job `build` already
    > append 1: test; test
      refused: the build has a job `test` already
    > cancel 1
      1/build cancelled: ada asked for it
      build 1 cancelled
    > append 1: test
      refused: it has already finished
    ");
}
