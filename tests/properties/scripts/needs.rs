//! Scripts about jobs of a build that need each other.

use super::play;

#[test]
fn a_job_waits_for_what_it_needs() {
    insta::assert_snapshot!(play(
        "
        worker w1 slots=2
        push main: build; lint; test after build and lint
        w1 asks
        w1 accepts
        w1 asks
        w1 accepts
        w1 ends 1/build succeeded
        look
        w1 ends 1/lint succeeded
        look
        "
    ), @r"
    > worker w1 slots=2
    > push main: build; lint; test after build and lint
      1/build queued
      1/lint queued
    > w1 asks
      1/build is offered to w1
    > w1 accepts
    > w1 asks
      1/lint is offered to w1
    > w1 accepts
    > w1 ends 1/build succeeded
      1/build succeeded
    > look
      | build p/1 running
      |   build finished succeeded
      |   lint running, attempt 1 on w1 for 60 s
      |   test waiting
      | worker w1
    > w1 ends 1/lint succeeded
      1/lint succeeded
      1/test queued
    > look
      | build p/1 running
      |   build finished succeeded
      |   lint finished succeeded
      |   test queued
      | worker w1
      | queue: p/1 test
    ");
}

#[test]
fn what_needs_a_failed_job_is_skipped() {
    insta::assert_snapshot!(play(
        "
        worker w1
        push main: build; test after build; deploy after test
        w1 asks
        w1 accepts
        w1 ends 1/build failed
        w1 asks
        look
        "
    ), @r"
    > worker w1
    > push main: build; test after build; deploy after test
      1/build queued
    > w1 asks
      1/build is offered to w1
    > w1 accepts
    > w1 ends 1/build failed
      1/build failed
      1/test skipped: needs build, which failed
      1/deploy skipped: needs test, which was skipped
      build 1 failed
    > w1 asks
    > look
      | worker w1 asks
    ");
}

#[test]
fn a_build_is_as_bad_as_its_worst_job() {
    insta::assert_snapshot!(play(
        "
        worker w1
        push main: build; lint
        w1 asks
        w1 accepts
        w1 ends 1/build failed
        w1 asks
        w1 accepts
        w1 ends 1/lint succeeded
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
    > w1 asks
      1/lint is offered to w1
    > w1 accepts
    > w1 ends 1/lint succeeded
      1/lint succeeded
      build 1 failed
    ");
}

#[test]
fn a_failure_that_is_allowed_is_a_warning_for_the_others() {
    insta::assert_snapshot!(play(
        "
        worker w1
        push main: next may-fail; package after next; gone may-fail retry 0; last after gone
        w1 asks
        w1 accepts
        w1 ends 1/next failed
        w1 asks
        w1 accepts
        w1 ends 1/gone errored
        w1 asks
        w1 accepts
        w1 ends 1/package succeeded
        w1 asks
        w1 accepts
        w1 ends 1/last succeeded
        "
    ), @r"
    > worker w1
    > push main: next may-fail; package after next; gone may-fail retry 0; last after gone
      1/next queued
      1/gone queued
    > w1 asks
      1/next is offered to w1
    > w1 accepts
    > w1 ends 1/next failed
      1/next failed
      1/package queued
    > w1 asks
      1/gone is offered to w1
    > w1 accepts
    > w1 ends 1/gone errored
      1/gone errored
      1/last queued
    > w1 asks
      1/package is offered to w1
    > w1 accepts
    > w1 ends 1/package succeeded
      1/package succeeded
    > w1 asks
      1/last is offered to w1
    > w1 accepts
    > w1 ends 1/last succeeded
      1/last succeeded
      build 1 warned
    ");
}

/// A cancelled job is never counted as a warning, because a person wanted it. So a job that needs it is skipped, even with `may_fail`.
#[test]
fn what_needs_a_cancelled_job_that_may_fail_is_skipped() {
    insta::assert_snapshot!(play(
        "
        push main: next may-fail; package after next
        cancel 1/next
        "
    ), @r"
    > push main: next may-fail; package after next
      1/next queued
    > cancel 1/next
      1/next cancelled: ada asked for it
      1/package skipped: needs next, which was cancelled
      build 1 cancelled
    ");
}
