//! Scripts about attempts whose workers are lost, return, or do not renew.

use super::play;

#[test]
fn a_worker_that_returns_in_time_goes_on() {
    insta::assert_snapshot!(play(
        "
        worker w1
        push main: test
        w1 asks
        w1 accepts
        w1 is lost
        pass 30
        look
        w1 returns
        look
        w1 ends 1/test succeeded
        "
    ), @r"
    > worker w1
    > push main: test
      1/test queued
    > w1 asks
      1/test is offered to w1
    > w1 accepts
    > w1 is lost
    > pass 30
    > look
      | build p/1 running
      |   test running, attempt 1 on w1 (away) for 30 s
    > w1 returns
      1/test is Resumed
    > look
      | build p/1 running
      |   test running, attempt 1 on w1 for 60 s
      | worker w1
    > w1 ends 1/test succeeded
      1/test succeeded
      build 1 succeeded
    ");
}

#[test]
fn a_lease_that_ends_costs_the_attempt_and_not_the_job() {
    insta::assert_snapshot!(play(
        "
        worker w1
        worker w2
        push main: test
        w1 asks
        w1 accepts
        w1 is lost
        pass 60
        look
        w2 asks
        w2 accepts
        w1 returns
        w2 ends 1/test succeeded
        "
    ), @r"
    > worker w1
    > worker w2
    > push main: test
      1/test queued
    > w1 asks
      1/test is offered to w1
    > w1 accepts
    > w1 is lost
    > pass 60
      1/test lost its attempt: the lease of w1 ended without a sign of life
    > look
      | build p/1 running
      |   test queued, attempt 1 lapsed of w1 (away) for 0 s
      | worker w2
      | queue: p/1 test
    > w2 asks
      the lease of 1/test is over: the lease ended and the job was placed again
      1/test is offered to w2
    > w2 accepts
    > w1 returns
      1/test is Stale
    > w2 ends 1/test succeeded
      1/test succeeded
      build 1 succeeded
    ");
}

#[test]
fn a_lapsed_lease_resumes_where_nobody_else_took_the_job() {
    insta::assert_snapshot!(play(
        "
        worker w1
        push main: test
        w1 asks
        w1 accepts
        w1 is lost
        pass 90
        look
        w1 returns
        look
        "
    ), @r"
    > worker w1
    > push main: test
      1/test queued
    > w1 asks
      1/test is offered to w1
    > w1 accepts
    > w1 is lost
    > pass 90
      1/test lost its attempt: the lease of w1 ended without a sign of life
    > look
      | build p/1 running
      |   test queued, attempt 1 lapsed of w1 (away) for 0 s
      | queue: p/1 test
    > w1 returns
      1/test is Resumed
    > look
      | build p/1 running
      |   test running, attempt 1 on w1 for 60 s
      | worker w1
    ");
}

#[test]
fn renewing_keeps_a_lease() {
    insta::assert_snapshot!(play(
        "
        worker w1
        push main: test
        w1 asks
        w1 accepts
        pass 40
        w1 renews
        pass 40
        look
        "
    ), @r"
    > worker w1
    > push main: test
      1/test queued
    > w1 asks
      1/test is offered to w1
    > w1 accepts
    > pass 40
    > w1 renews
      1/test for 60 s
    > pass 40
    > look
      | build p/1 running
      |   test running, attempt 1 on w1 for 20 s
      | worker w1
    ");
}

#[test]
fn what_a_returning_worker_does_not_name_is_placed_again_at_once() {
    insta::assert_snapshot!(play(
        "
        worker w1
        push main: test
        w1 asks
        w1 accepts
        w1 is lost
        w1 returns empty
        look
        w1 asks
        "
    ), @r"
    > worker w1
    > push main: test
      1/test queued
    > w1 asks
      1/test is offered to w1
    > w1 accepts
    > w1 is lost
    > w1 returns empty
      the lease of 1/test is over: worker w1 came back without it
      1/test lost its attempt: worker w1 came back without it
    > look
      | build p/1 running
      |   test queued
      | worker w1
      | queue: p/1 test
    > w1 asks
      1/test is offered to w1
    ");
}

#[test]
fn a_job_with_side_effects_never_runs_twice() {
    insta::assert_snapshot!(play(
        "
        worker w1
        push main: deploy side-effects
        w1 asks
        w1 accepts
        w1 is lost
        pass 60
        "
    ), @r"
    > worker w1
    > push main: deploy side-effects
      1/deploy queued
    > w1 asks
      1/deploy is offered to w1
    > w1 accepts
    > w1 is lost
    > pass 60
      the lease of 1/deploy is over: the lease of w1 ended without a sign of life
      1/deploy lost its attempt: the lease of w1 ended without a sign of life
      1/deploy errored: the lease of w1 ended without a sign of life; not repeated, since the job has side effects
      build 1 errored
    ");
}

#[test]
fn attempts_are_counted() {
    insta::assert_snapshot!(play(
        "
        worker w1
        push main: test retry 1
        w1 asks
        w1 accepts
        w1 is lost
        w1 returns empty
        w1 asks
        w1 accepts
        w1 is lost
        w1 returns empty
        "
    ), @r"
    > worker w1
    > push main: test retry 1
      1/test queued
    > w1 asks
      1/test is offered to w1
    > w1 accepts
    > w1 is lost
    > w1 returns empty
      the lease of 1/test is over: worker w1 came back without it
      1/test lost its attempt: worker w1 came back without it
    > w1 asks
      1/test is offered to w1
    > w1 accepts
    > w1 is lost
    > w1 returns empty
      the lease of 1/test is over: worker w1 came back without it
      1/test lost its attempt: worker w1 came back without it
      1/test errored: worker w1 came back without it
      build 1 errored
    ");
}

#[test]
fn an_attempt_survives_the_master() {
    insta::assert_snapshot!(play(
        "
        worker w1
        push main: test
        w1 asks
        w1 accepts
        pass 50
        restart
        look
        pass 50
        w1 returns
        w1 ends 1/test succeeded
        look
        "
    ), @r"
    > worker w1
    > push main: test
      1/test queued
    > w1 asks
      1/test is offered to w1
    > w1 accepts
    > pass 50
    > restart
    > look
      | build p/1 running
      |   test running, attempt 1 on w1 (away) for 60 s
    > pass 50
    > w1 returns
      1/test is Resumed
    > w1 ends 1/test succeeded
      1/test succeeded
      build 1 succeeded
    > look
      | worker w1
    ");
}
