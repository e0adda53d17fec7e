//! Scripts about which job is offered to which worker.

use super::play;

#[test]
fn an_offer_binds_nobody_before_it_is_accepted() {
    insta::assert_snapshot!(play(
        "
        worker w1
        push main: test
        w1 asks
        look
        w1 declines
        w1 asks
        w1 accepts
        look
        "
    ), @r"
    > worker w1
    > push main: test
      1/test queued
    > w1 asks
      1/test is offered to w1
    > look
      | build p/1 queued
      |   test offered, attempt 1 to w1 for 10 s
      | worker w1
    > w1 declines
      the lease of 1/test is over: the offer was not accepted
    > w1 asks
      1/test is offered to w1
    > w1 accepts
    > look
      | build p/1 running
      |   test running, attempt 1 on w1 for 60 s
      | worker w1
    ");
}

#[test]
fn what_waits_longest_goes_first_and_priority_before_that() {
    insta::assert_snapshot!(play(
        "
        worker w1
        push a: first
        push b: second
        push c: urgent priority 5
        look
        w1 asks
        w1 accepts
        w1 ends 3/urgent succeeded
        w1 asks
        w1 accepts
        w1 ends 1/first succeeded
        w1 asks
        "
    ), @r"
    > worker w1
    > push a: first
      1/first queued
    > push b: second
      2/second queued
    > push c: urgent priority 5
      3/urgent queued
    > look
      | build p/1 queued
      |   first queued
      | build p/2 queued
      |   second queued
      | build p/3 queued
      |   urgent queued
      | worker w1
      | queue: p/3 urgent, p/1 first, p/2 second
    > w1 asks
      3/urgent is offered to w1
    > w1 accepts
    > w1 ends 3/urgent succeeded
      3/urgent succeeded
      build 3 succeeded
    > w1 asks
      1/first is offered to w1
    > w1 accepts
    > w1 ends 1/first succeeded
      1/first succeeded
      build 1 succeeded
    > w1 asks
      2/second is offered to w1
    ");
}

#[test]
fn a_job_goes_to_who_has_what_it_wants() {
    insta::assert_snapshot!(play(
        "
        worker plain
        worker gpu kind=gpu
        push main: train wants kind=gpu; test
        plain asks
        plain accepts
        plain asks
        gpu asks
        gpu accepts
        look
        "
    ), @r"
    > worker plain
    > worker gpu kind=gpu
    > push main: train wants kind=gpu; test
      1/train queued
      1/test queued
    > plain asks
      1/test is offered to plain
    > plain accepts
    > plain asks
    > gpu asks
      1/train is offered to gpu
    > gpu accepts
    > look
      | build p/1 running
      |   train running, attempt 1 on gpu for 60 s
      |   test running, attempt 1 on plain for 60 s
      | worker plain asks
      | worker gpu
    ");
}

#[test]
fn a_worker_is_given_what_fits_into_the_room_that_is_left() {
    insta::assert_snapshot!(play(
        "
        worker w1 cpus=4 slots=2
        push main: large cpus 3; middle cpus 2; small cpus 1
        w1 asks
        w1 accepts
        w1 asks
        w1 accepts
        look
        w1 ends 1/large succeeded
        w1 asks
        "
    ), @r"
    > worker w1 cpus=4 slots=2
    > push main: large cpus 3; middle cpus 2; small cpus 1
      1/large queued
      1/middle queued
      1/small queued
    > w1 asks
      1/large is offered to w1
    > w1 accepts
    > w1 asks
      1/small is offered to w1
    > w1 accepts
    > look
      | build p/1 running
      |   large running, attempt 1 on w1 for 60 s
      |   middle queued
      |   small running, attempt 1 on w1 for 60 s
      | worker w1
      | queue: p/1 middle
    > w1 ends 1/large succeeded
      1/large succeeded
    > w1 asks
      1/middle is offered to w1
    ");
}

#[test]
fn who_declined_comes_last() {
    insta::assert_snapshot!(play(
        "
        worker w1
        worker w2
        w1 asks
        w2 asks
        push main: test
        w1 declines
        w1 asks
        w2 declines
        "
    ), @r"
    > worker w1
    > worker w2
    > w1 asks
    > w2 asks
    > push main: test
      1/test queued
      1/test is offered to w1
    > w1 declines
      the lease of 1/test is over: the offer was not accepted
      1/test is offered to w2
    > w1 asks
    > w2 declines
      the lease of 1/test is over: the offer was not accepted
      1/test is offered to w1
    ");
}

#[test]
fn an_offer_that_is_not_taken_up_goes_back() {
    insta::assert_snapshot!(play(
        "
        worker w1
        worker w2
        push main: test
        w1 asks
        pass 10
        w2 asks
        w1 accepts
        look
        "
    ), @r"
    > worker w1
    > worker w2
    > push main: test
      1/test queued
    > w1 asks
      1/test is offered to w1
    > pass 10
      the lease of 1/test is over: the offer was not accepted in time
    > w2 asks
      1/test is offered to w2
    > w1 accepts
      refused: the lease is over: its job was placed again, cancelled or finished
    > look
      | build p/1 queued
      |   test offered, attempt 1 to w2 for 10 s
      | worker w1
      | worker w2
    ");
}

#[test]
fn a_drained_worker_keeps_what_it_runs_and_gets_no_more() {
    insta::assert_snapshot!(play(
        "
        worker w1 slots=2
        push main: first; second
        w1 asks
        w1 accepts
        drain w1
        w1 asks
        look
        w1 ends 1/first succeeded
        undrain w1
        w1 asks
        "
    ), @r"
    > worker w1 slots=2
    > push main: first; second
      1/first queued
      1/second queued
    > w1 asks
      1/first is offered to w1
    > w1 accepts
    > drain w1
    > w1 asks
    > look
      | build p/1 running
      |   first running, attempt 1 on w1 for 60 s
      |   second queued
      | worker w1 asks takes no work
      | queue: p/1 second
    > w1 ends 1/first succeeded
      1/first succeeded
    > undrain w1
      1/second is offered to w1
    > w1 asks
    ");
}

#[test]
fn a_job_waits_for_a_worker_on_which_its_tier_was_tried_and_works() {
    insta::assert_snapshot!(play(
        "
        worker p tiers=plain
        worker old
        p asks
        old asks
        push main: usual; weak tier plain; strong tier guard; later tier sandbox
        p accepts
        old accepts
        p ends 1/weak succeeded
        old ends 1/usual succeeded
        p asks
        old asks
        look
        worker g tiers=plain,guard
        g asks
        g accepts
        g ends 1/strong succeeded
        g asks
        push main: weak tier plain
        "
    ), @r"
    > worker p tiers=plain
    > worker old
    > p asks
    > old asks
    > push main: usual; weak tier plain; strong tier guard; later tier sandbox
      1/usual queued
      1/usual is offered to old
      1/weak queued
      1/weak is offered to p in plain
      1/strong queued
      1/later queued
    > p accepts
    > old accepts
    > p ends 1/weak succeeded
      1/weak succeeded
    > old ends 1/usual succeeded
      1/usual succeeded
    > p asks
    > old asks
    > look
      | build p/1 running
      |   usual finished succeeded
      |   weak finished succeeded
      |   strong queued
      |   later queued
      | worker p asks
      | worker old asks
      | queue: p/1 strong, p/1 later
    > worker g tiers=plain,guard
    > g asks
      1/strong is offered to g in guard
    > g accepts
    > g ends 1/strong succeeded
      1/strong succeeded
    > g asks
    > push main: weak tier plain
      2/weak queued
      2/weak is offered to p in plain
    ");
}
