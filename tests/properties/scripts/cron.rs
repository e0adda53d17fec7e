//! Scripts about builds by the clock. A script sets the wall clock of the master, so the clock can jump.

use super::play;

#[test]
fn a_firing_builds_the_tip_and_the_next_one_follows() {
    insta::assert_snapshot!(play(
        "
        push main: build
        crons main at 2026-11-30 12:00: nightly 0 3 * * *; hourly 0 * * * *
        clock 2026-11-30 12:59
        clock 2026-11-30 13:00
        clock 2026-11-30 13:00
        push main: build
        clock 2026-12-01 03:00
        "
    ), @r"
    > push main: build
      1/build queued
    > crons main at 2026-11-30 12:00: nightly 0 3 * * *; hourly 0 * * * *
    > clock 2026-11-30 12:59
      next: 2026-11-30 13:00 UTC
    > clock 2026-11-30 13:00
      build 2 of refs/heads/main at 1: cron hourly
      build 2 skipped
      next: 2026-11-30 14:00 UTC
    > clock 2026-11-30 13:00
      next: 2026-11-30 14:00 UTC
    > push main: build
      3/build queued
    > clock 2026-12-01 03:00
      build 4 of refs/heads/main at 2: cron hourly
      build 5 of refs/heads/main at 2: cron nightly
      build 4 skipped
      build 5 skipped
      next: 2026-12-01 04:00 UTC
    ");
}

/// If an entry misses firings, it makes one build for all of them. A restart neither loses nor repeats a firing.
#[test]
fn missed_firings_make_one_build_over_restarts() {
    insta::assert_snapshot!(play(
        "
        push main: build
        crons main at 2026-11-30 12:00: nightly 0 3 * * *
        restart
        clock 2026-11-30 12:10
        restart
        clock 2026-12-05 09:00
        restart
        clock 2026-12-05 09:01
        clock 2026-12-06 03:00
        "
    ), @r"
    > push main: build
      1/build queued
    > crons main at 2026-11-30 12:00: nightly 0 3 * * *
    > restart
    > clock 2026-11-30 12:10
      next: 2026-12-01 03:00 UTC
    > restart
    > clock 2026-12-05 09:00
      build 2 of refs/heads/main at 1: cron nightly
      build 2 skipped
      next: 2026-12-06 03:00 UTC
    > restart
    > clock 2026-12-05 09:01
      next: 2026-12-06 03:00 UTC
    > clock 2026-12-06 03:00
      build 3 of refs/heads/main at 1: cron nightly
      build 3 skipped
      next: 2026-12-07 03:00 UTC
    ");
}

#[test]
fn a_clock_that_jumps_neither_floods_nor_silences() {
    insta::assert_snapshot!(play(
        "
        push main: build
        crons main at 2026-11-30 12:00: hourly 0 * * * *
        clock 2026-11-30 12:30
        clock 2027-11-30 12:30
        clock 2026-11-30 12:31
        clock 2026-11-30 13:00
        clock 2026-11-30 12:50
        clock 2026-11-30 13:00
        clock 2026-11-30 14:00
        "
    ), @r"
    > push main: build
      1/build queued
    > crons main at 2026-11-30 12:00: hourly 0 * * * *
    > clock 2026-11-30 12:30
      next: 2026-11-30 13:00 UTC
    > clock 2027-11-30 12:30
      build 2 of refs/heads/main at 1: cron hourly
      build 2 skipped
      next: 2027-11-30 13:00 UTC
    > clock 2026-11-30 12:31
      next: 2026-11-30 14:00 UTC
    > clock 2026-11-30 13:00
      next: 2026-11-30 14:00 UTC
    > clock 2026-11-30 12:50
      next: 2026-11-30 14:00 UTC
    > clock 2026-11-30 13:00
      next: 2026-11-30 14:00 UTC
    > clock 2026-11-30 14:00
      build 3 of refs/heads/main at 1: cron hourly
      build 3 skipped
      next: 2026-11-30 15:00 UTC
    ");
}

/// If the clock went back over a restart, entries still fire.
#[test]
fn a_clock_that_went_back_over_a_restart_silences_nothing() {
    insta::assert_snapshot!(play(
        "
        push main: build
        crons main at 2030-11-30 12:00: nightly 0 3 * * *
        clock 2030-12-01 03:00
        restart
        clock 2026-11-30 12:00
        clock 2026-12-01 03:00
        "
    ), @r"
    > push main: build
      1/build queued
    > crons main at 2030-11-30 12:00: nightly 0 3 * * *
    > clock 2030-12-01 03:00
      build 2 of refs/heads/main at 1: cron nightly
      build 2 skipped
      next: 2030-12-02 03:00 UTC
    > restart
    > clock 2026-11-30 12:00
      next: 2026-12-01 03:00 UTC
    > clock 2026-12-01 03:00
      build 3 of refs/heads/main at 1: cron nightly
      build 3 skipped
      next: 2026-12-02 03:00 UTC
    ");
}

#[test]
fn if_changed_compares_with_the_last_build_that_the_entry_made() {
    insta::assert_snapshot!(play(
        "
        push main: build
        crons main at 2026-11-30 12:00: nightly if-changed 0 3 * * *
        clock 2026-12-01 03:00
        clock 2026-12-02 03:00
        restart
        clock 2026-12-03 03:00
        push main: build
        clock 2026-12-04 03:00
        "
    ), @r"
    > push main: build
      1/build queued
    > crons main at 2026-11-30 12:00: nightly if-changed 0 3 * * *
    > clock 2026-12-01 03:00
      build 2 of refs/heads/main at 1: cron nightly
      build 2 skipped
      next: 2026-12-02 03:00 UTC
    > clock 2026-12-02 03:00
      no build of refs/heads/main by cron nightly: nothing changed since build 2
      next: 2026-12-03 03:00 UTC
    > restart
    > clock 2026-12-03 03:00
      no build of refs/heads/main by cron nightly: nothing changed since build 2
      next: 2026-12-04 03:00 UTC
    > push main: build
      3/build queued
    > clock 2026-12-04 03:00
      build 4 of refs/heads/main at 3: cron nightly
      build 4 skipped
      next: 2026-12-05 03:00 UTC
    ");
}

/// An entry stops if the tip no longer has it, begins anew if the tip renames it, and keeps its next firing if the tip keeps it.
#[test]
fn the_tip_decides_which_entries_there_are() {
    insta::assert_snapshot!(play(
        "
        push main: build
        crons main at 2026-11-30 12:00: a 0 3 * * *; b 0 4 * * *; c 0 5 * * *
        push main: build
        crons main at 2026-11-30 12:10: a 0 3 * * *; d 0 4 * * *; c 0 6 * * *
        clock 2026-12-01 07:00
        push main: build
        crons main at 2026-12-01 08:00:
        clock 2026-12-02 07:00
        "
    ), @r"
    > push main: build
      1/build queued
    > crons main at 2026-11-30 12:00: a 0 3 * * *; b 0 4 * * *; c 0 5 * * *
    > push main: build
      2/build queued
    > crons main at 2026-11-30 12:10: a 0 3 * * *; d 0 4 * * *; c 0 6 * * *
    > clock 2026-12-01 07:00
      build 3 of refs/heads/main at 2: cron a
      build 4 of refs/heads/main at 2: cron d
      build 5 of refs/heads/main at 2: cron c
      build 3 skipped
      build 4 skipped
      build 5 skipped
      next: 2026-12-02 03:00 UTC
    > push main: build
      6/build queued
    > crons main at 2026-12-01 08:00:
    > clock 2026-12-02 07:00
      next: never
    ");
}

/// A new tip replaces only the entries of its own branch. A build of an older commit replaces none.
#[test]
fn branches_have_entries_of_their_own() {
    insta::assert_snapshot!(play(
        "
        push main: build
        crons main at 2026-11-30 12:00: nightly 0 3 * * *
        push dev: build
        crons dev at 2026-11-30 12:00: nightly 30 3 * * *
        clock 2026-12-01 04:00
        unfollow dev
        clock 2026-12-02 04:00
        delete main
        clock 2026-12-03 04:00
        clock 2026-12-04 04:00
        "
    ), @r"
    > push main: build
      1/build queued
    > crons main at 2026-11-30 12:00: nightly 0 3 * * *
    > push dev: build
      2/build queued
    > crons dev at 2026-11-30 12:00: nightly 30 3 * * *
    > clock 2026-12-01 04:00
      build 3 of refs/heads/main at 1: cron nightly
      build 4 of refs/heads/dev at 2: cron nightly
      build 3 skipped
      build 4 skipped
      next: 2026-12-02 03:00 UTC
    > unfollow dev
    > clock 2026-12-02 04:00
      build 5 of refs/heads/main at 1: cron nightly
      no build of refs/heads/dev by cron nightly: the master does not follow the branch
      build 5 skipped
      next: 2026-12-03 03:00 UTC
    > delete main
      1/build cancelled: refs/heads/main was deleted
      build 1 cancelled
    > clock 2026-12-03 04:00
      no build of refs/heads/main by cron nightly: the branch is gone
      no build of refs/heads/dev by cron nightly: the master does not follow the branch
      next: 2026-12-04 03:30 UTC
    > clock 2026-12-04 04:00
      no build of refs/heads/dev by cron nightly: the master does not follow the branch
      next: 2026-12-05 03:30 UTC
    ");
}

/// A branch that is deleted and pushed again where it was is not built, so nobody reads its pipeline again. Its entries are kept.
#[test]
fn a_branch_that_comes_back_has_its_entries() {
    insta::assert_snapshot!(play(
        "
        worker w1
        push main: build
        crons main at 2026-11-30 12:00: nightly 0 3 * * *
        w1 asks
        w1 accepts
        w1 ends 1/build succeeded
        delete main
        clock 2026-12-01 03:00
        clock 2026-12-02 03:00
        restart
        restore main
        clock 2026-12-03 03:00
        "
    ), @r"
    > worker w1
    > push main: build
      1/build queued
    > crons main at 2026-11-30 12:00: nightly 0 3 * * *
    > w1 asks
      1/build is offered to w1
    > w1 accepts
    > w1 ends 1/build succeeded
      1/build succeeded
      build 1 succeeded
    > delete main
    > clock 2026-12-01 03:00
      no build of refs/heads/main by cron nightly: the branch is gone
      next: 2026-12-02 03:00 UTC
    > clock 2026-12-02 03:00
      next: 2026-12-03 03:00 UTC
    > restart
    > restore main
    > clock 2026-12-03 03:00
      build 2 of refs/heads/main at 3: cron nightly
      build 2 skipped
      next: 2026-12-04 03:00 UTC
    ");
}

/// If no worker connects for a week, one build waits, and not one for each firing.
#[test]
fn firings_do_not_pile_up() {
    insta::assert_snapshot!(play(
        "
        push main: build
        crons main at 2026-11-30 12:00: nightly 0 3 * * *; weekly 0 3 * * 2
        plans wait
        clock 2026-12-01 03:00
        clock 2026-12-02 03:00
        restart
        clock 2026-12-03 03:00
        cancel 2
        clock 2026-12-04 03:00
        "
    ), @r"
    > push main: build
      1/build queued
    > crons main at 2026-11-30 12:00: nightly 0 3 * * *; weekly 0 3 * * 2
    > plans wait
    > clock 2026-12-01 03:00
      build 2 of refs/heads/main at 1: cron nightly
      build 3 of refs/heads/main at 1: cron weekly
      2/soak queued
      3/soak queued
      next: 2026-12-02 03:00 UTC
    > clock 2026-12-02 03:00
      no build of refs/heads/main by cron nightly: build 2 is not finished
      next: 2026-12-03 03:00 UTC
    > restart
    > clock 2026-12-03 03:00
      no build of refs/heads/main by cron nightly: build 2 is not finished
      next: 2026-12-04 03:00 UTC
    > cancel 2
      2/soak cancelled: ada asked for it
      build 2 cancelled
    > clock 2026-12-04 03:00
      build 4 of refs/heads/main at 1: cron nightly
      4/soak queued
      next: 2026-12-05 03:00 UTC
    ");
}

/// If the default branch changes, an entry that names no branch fires only on the new one.
#[test]
fn an_entry_without_a_branch_follows_the_default_branch() {
    insta::assert_snapshot!(play(
        "
        push main: build
        crons main at 2026-11-30 12:00: nightly 0 3 * * *
        default trunk
        push trunk: build
        crons trunk at 2026-11-30 12:10: nightly 0 3 * * *
        clock 2026-12-01 03:00
        clock 2026-12-02 03:00
        default main
        clock 2026-12-03 03:00
        "
    ), @r"
    > push main: build
      1/build queued
    > crons main at 2026-11-30 12:00: nightly 0 3 * * *
    > default trunk
    > push trunk: build
      2/build queued
    > crons trunk at 2026-11-30 12:10: nightly 0 3 * * *
    > clock 2026-12-01 03:00
      no build of refs/heads/main by cron nightly: the default branch is trunk now
      build 3 of refs/heads/trunk at 2: cron nightly
      build 3 skipped
      next: 2026-12-02 03:00 UTC
    > clock 2026-12-02 03:00
      build 4 of refs/heads/trunk at 2: cron nightly
      build 4 skipped
      next: 2026-12-03 03:00 UTC
    > default main
    > clock 2026-12-03 03:00
      build 5 of refs/heads/main at 1: cron nightly
      no build of refs/heads/trunk by cron nightly: the default branch is main now
      build 5 skipped
      next: 2026-12-04 03:00 UTC
    ");
}

#[test]
fn the_clock_of_the_zone_counts() {
    insta::assert_snapshot!(play(
        "
        push main: build
        crons main at 2026-03-28 12:00: nightly 30 2 * * * in Europe/Berlin
        clock 2026-03-29 00:59
        clock 2026-03-29 01:00
        clock 2026-10-25 00:29
        clock 2026-10-25 00:30
        clock 2026-10-25 01:30
        "
    ), @r"
    > push main: build
      1/build queued
    > crons main at 2026-03-28 12:00: nightly 30 2 * * * in Europe/Berlin
    > clock 2026-03-29 00:59
      next: 2026-03-29 01:00 UTC
    > clock 2026-03-29 01:00
      build 2 of refs/heads/main at 1: cron nightly
      build 2 skipped
      next: 2026-03-30 00:30 UTC
    > clock 2026-10-25 00:29
      build 3 of refs/heads/main at 1: cron nightly
      build 3 skipped
      next: 2026-10-25 00:30 UTC
    > clock 2026-10-25 00:30
      build 4 of refs/heads/main at 1: cron nightly
      build 4 skipped
      next: 2026-10-26 01:30 UTC
    > clock 2026-10-25 01:30
      next: 2026-10-26 01:30 UTC
    ");
}
