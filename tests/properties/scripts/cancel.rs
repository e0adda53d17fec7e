//! Scripts about cancels of builds and jobs.

use super::play;

#[test]
fn a_job_that_waits_is_cancelled_at_once() {
    insta::assert_snapshot!(play(
        "
        push main: test; report after test
        cancel 1
        look
        "
    ), @r"
    > push main: test; report after test
      1/test queued
    > cancel 1
      1/test cancelled: ada asked for it
      1/report skipped: needs test, which was cancelled
      build 1 cancelled
    > look
    ");
}

#[test]
fn a_job_that_runs_is_asked_to_end_and_fenced_if_it_does_not() {
    insta::assert_snapshot!(play(
        "
        worker w1
        push main: test
        w1 asks
        w1 accepts
        cancel 1
        look
        pass 29
        look
        pass 31
        "
    ), @r"
    > worker w1
    > push main: test
      1/test queued
    > w1 asks
      1/test is offered to w1
    > w1 accepts
    > cancel 1
      1/test is to end: ada asked for it
    > look
      | build p/1 running
      |   test running, attempt 1 on w1 for 60 s, cancelled
      | worker w1
    > pass 29
    > look
      | build p/1 running
      |   test running, attempt 1 on w1 for 31 s, cancelled
      | worker w1
    > pass 31
      the lease of 1/test is over: ada asked for it
      1/test cancelled: ada asked for it
      build 1 cancelled
    ");
}

#[test]
fn a_job_that_runs_ends_by_itself_when_asked() {
    insta::assert_snapshot!(play(
        "
        worker w1
        push main: test
        w1 asks
        w1 accepts
        cancel 1
        w1 ends 1/test cancelled
        "
    ), @r"
    > worker w1
    > push main: test
      1/test queued
    > w1 asks
      1/test is offered to w1
    > w1 accepts
    > cancel 1
      1/test is to end: ada asked for it
    > w1 ends 1/test cancelled
      1/test cancelled: ada asked for it
      build 1 cancelled
    ");
}

#[test]
fn the_second_cancel_waits_for_nothing() {
    insta::assert_snapshot!(play(
        "
        worker w1
        push main: test
        w1 asks
        w1 accepts
        cancel 1
        cancel 1
        "
    ), @r"
    > worker w1
    > push main: test
      1/test queued
    > w1 asks
      1/test is offered to w1
    > w1 accepts
    > cancel 1
      1/test is to end: ada asked for it
    > cancel 1
      1/test is to end at once: ada asked for it
    ");
}

#[test]
fn one_job_of_a_build_is_cancelled() {
    insta::assert_snapshot!(play(
        "
        worker w1
        push main: build; docs
        cancel 1/docs
        w1 asks
        w1 accepts
        w1 ends 1/build succeeded
        "
    ), @r"
    > worker w1
    > push main: build; docs
      1/build queued
      1/docs queued
    > cancel 1/docs
      1/docs cancelled: ada asked for it
    > w1 asks
      1/build is offered to w1
    > w1 accepts
    > w1 ends 1/build succeeded
      1/build succeeded
      build 1 cancelled
    ");
}

#[test]
fn an_offer_is_withdrawn() {
    insta::assert_snapshot!(play(
        "
        worker w1
        push main: test
        w1 asks
        cancel 1
        w1 accepts
        "
    ), @r"
    > worker w1
    > push main: test
      1/test queued
    > w1 asks
      1/test is offered to w1
    > cancel 1
      the lease of 1/test is over: ada asked for it
      1/test cancelled: ada asked for it
      build 1 cancelled
    > w1 accepts
      refused: the lease is over: its job was placed again, cancelled or finished
    ");
}
