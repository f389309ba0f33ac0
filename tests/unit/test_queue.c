/* SPDX-License-Identifier: Apache-2.0 */
#include "board_fixture.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pyd_clock.h"

#define LONG_US INT64_C(10000000)
#define SOON_US INT64_C(3000000) /* far less than LONG, and patient with a busy machine */

static uint32_t enter(struct pyd_board *board)
{
    uint32_t waiter = UINT32_MAX;

    assert_int_equal(pyd_queue_enter(board, 0, SELF, &waiter), 0);
    return waiter;
}

static uint32_t called(struct pyd_board *board, uint32_t waiter)
{
    return atomic_load(&pyd_board_waiter(board, 0, waiter)->wake);
}

static void test_no_queue_at_all(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 0);
    uint32_t waiter = 77;

    (void)state;
    assert_int_equal(pyd_queue_enter(board, 0, SELF, &waiter), EAGAIN);
    assert_int_equal(waiter, 77);
    assert_false(pyd_queue_busy(board, 0));
    pyd_queue_wake(board, 0, 5);
    fixture_done(board);
}

static void test_limit_and_length(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 3);
    uint32_t waiters[3], extra = 77, i;

    (void)state;
    for (i = 0; i < 3; ++i) {
        assert_int_equal(pyd_queue_length(board, 0), i);
        waiters[i] = enter(board);
    }
    assert_int_equal(pyd_queue_enter(board, 0, SELF, &extra), EAGAIN);
    assert_int_equal(extra, 77);
    pyd_queue_leave(board, 0, waiters[1]);
    assert_int_equal(pyd_queue_length(board, 0), 2);
    waiters[1] = enter(board);
    for (i = 0; i < 3; ++i)
        pyd_queue_leave(board, 0, waiters[i]);
    assert_false(pyd_queue_busy(board, 0));
    fixture_done(board);
}

static void test_order_is_of_arrival_not_of_place(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 3);
    uint32_t a = enter(board), b = enter(board), c;

    (void)state;
    assert_true(pyd_queue_is_first(board, 0, a));
    assert_false(pyd_queue_is_first(board, 0, b));
    pyd_queue_leave(board, 0, a);
    c = enter(board);
    assert_int_equal(c, a);
    assert_true(pyd_queue_is_first(board, 0, b));
    assert_false(pyd_queue_is_first(board, 0, c));
    pyd_queue_leave(board, 0, b);
    assert_true(pyd_queue_is_first(board, 0, c));
    fixture_done(board);
}

static void test_wake_goes_to_the_oldest_not_yet_called(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 4);
    uint32_t a = enter(board), b = enter(board), c = enter(board);

    (void)state;
    pyd_queue_wake(board, 0, 1);
    assert_int_equal(called(board, a), 1);
    assert_int_equal(called(board, b), 0);
    /* Whoever has been called does not hold up the next. */
    assert_true(pyd_queue_is_first(board, 0, b));
    assert_false(pyd_queue_is_first(board, 0, c));
    pyd_queue_wake(board, 0, 1);
    assert_int_equal(called(board, b), 1);
    assert_int_equal(called(board, c), 0);
    pyd_queue_wake(board, 0, 9);
    assert_int_equal(called(board, c), 1);
    /* It takes the call when it looks; then it is first again. */
    pyd_queue_wait(board, 0, a, LONG_US);
    assert_int_equal(called(board, a), 0);
    assert_true(pyd_queue_is_first(board, 0, a));
    assert_false(pyd_queue_is_first(board, 0, b));
    fixture_done(board);
}

static void test_release_calls_and_leaving_passes_on(void **state)
{
    struct pyd_board *board = fixture_board(1, 2, 4);
    struct pyd_claim_ref x, y, z;
    uint32_t a, b;

    (void)state;
    fixture_start(board, 0);
    assert_int_equal(pyd_claim_try(board, 0, SELF, NO_SLOT, &x), 0);
    assert_int_equal(pyd_claim_try(board, 0, SELF, NO_SLOT, &y), 0);
    a = enter(board);
    b = enter(board);
    pyd_claim_release(board, &x);
    assert_int_equal(called(board, a), 1);
    assert_int_equal(called(board, b), 0);
    /* a takes its call; a second claim comes free and calls it once more, before it has left. */
    pyd_queue_wait(board, 0, a, LONG_US);
    pyd_claim_release(board, &y);
    assert_int_equal(called(board, b), 0);
    assert_int_equal(pyd_claim_try(board, 0, SELF, NO_SLOT, &z), 0);
    pyd_queue_leave(board, 0, a);
    assert_int_equal(called(board, b), 1);
    /* With nothing to be had nobody is called. */
    pyd_queue_wait(board, 0, b, LONG_US);
    assert_int_equal(pyd_claim_try(board, 0, SELF, NO_SLOT, &x), 0);
    a = enter(board);
    pyd_queue_leave(board, 0, b);
    assert_int_equal(called(board, a), 0);
    fixture_done(board);
}

static void test_orphans_call_when_free(void **state)
{
    struct pyd_board *board = fixture_board(1, 2, 4);
    struct pyd_claim_ref x, y;
    uint32_t a;

    (void)state;
    fixture_start(board, 0);
    assert_int_equal(pyd_claim_try(board, 0, SELF, NO_SLOT, &x), 0);
    assert_int_equal(pyd_claim_try(board, 0, SELF, NO_SLOT, &y), 0);
    a = enter(board);
    assert_int_equal(pyd_status_begin(fixture_request(board, &x), x.seq, 1, 1), 0);
    pyd_claim_orphan(board, &x);
    assert_int_equal(called(board, a), 0);
    pyd_claim_orphan(board, &y);
    assert_int_equal(called(board, a), 1);
    fixture_done(board);
}

/* Who counts those that wait just before a newcomer takes a free place in front sees one more than were counted. */
static void test_a_newcomer_does_not_hide_the_oldest(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 4);
    uint32_t gone = enter(board), oldest = enter(board), newcomer;
    uint64_t counted;

    (void)state;
    pyd_queue_leave(board, 0, gone);
    counted = atomic_load(&pyd_board_group(board, 0)->queue);
    newcomer = enter(board);
    assert_true(newcomer < oldest);
    atomic_store(&pyd_board_group(board, 0)->queue, counted);
    pyd_queue_wake(board, 0, 1);
    assert_int_equal(called(board, newcomer), 0);
    assert_int_equal(called(board, oldest), 1);
    fixture_done(board);
}

/* A broken process takes back each call as soon as it is made; the caller has an end to it all the same. It is stopped
 * at each of its system calls, so that this is certain to come in between. */
static void test_calls_that_are_taken_back_end(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 4);
    int status, stops = 0;
    pid_t caller;

    (void)state;
    for (uint32_t i = 0; i < 4; ++i)
        enter(board);
    caller = fork();
    assert_true(caller >= 0);
    if (caller == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(1);
        raise(SIGSTOP);
        pyd_queue_wake(board, 0, UINT32_MAX);
        _exit(0);
    }
    while (waitpid(caller, &status, 0) == caller && WIFSTOPPED(status) && stops++ < 100) {
        for (uint32_t i = 0; i < 4; ++i)
            atomic_store(&pyd_board_waiter(board, 0, i)->wake, 0);
        ptrace(PTRACE_SYSCALL, caller, NULL, NULL);
    }
    if (WIFSTOPPED(status)) {
        kill(caller, SIGKILL);
        waitpid(caller, NULL, 0);
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(stops >= 1 + 2 * 4); /* it has called */
    fixture_done(board);
}

static void test_timeout_and_early_call(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 4);
    uint32_t a = enter(board);
    int64_t before = pyd_clock_us();

    (void)state;
    pyd_queue_wait(board, 0, a, 20000);
    assert_true(pyd_clock_us() - before >= 20000);
    before = pyd_clock_us();
    pyd_queue_wait(board, 0, a, 0);
    pyd_queue_wait(board, 0, a, -5);
    pyd_queue_wake(board, 0, 1);
    pyd_queue_wait(board, 0, a, LONG_US);
    assert_true(pyd_clock_us() - before < SOON_US);
    fixture_done(board);
}

/* In another process: enter, say so, wait once, say so. */
static pid_t fork_waiter(struct pyd_board *board, int said)
{
    pid_t pid = fork();
    uint32_t waiter;

    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    if (pyd_queue_enter(board, 0, (uint32_t)getpid(), &waiter) != 0 || write(said, "e", 1) != 1)
        _exit(1);
    pyd_queue_wait(board, 0, waiter, LONG_US);
    if (write(said, "w", 1) != 1)
        _exit(1);
    _exit(0);
}

static void expect_said(int said, char expected)
{
    struct pollfd entry = {.fd = said, .events = POLLIN};
    char byte = 0;

    assert_int_equal(poll(&entry, 1, (int)(SOON_US / 1000)), 1);
    assert_int_equal(read(said, &byte, 1), 1);
    assert_int_equal(byte, expected);
}

static void test_other_processes_are_woken_in_order(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 4);
    int first[2], second[2], status;
    pid_t a, b;

    (void)state;
    assert_int_equal(pipe(first), 0);
    assert_int_equal(pipe(second), 0);
    a = fork_waiter(board, first[1]);
    expect_said(first[0], 'e');
    b = fork_waiter(board, second[1]);
    expect_said(second[0], 'e');
    pyd_queue_wake(board, 0, 1);
    expect_said(first[0], 'w');
    pyd_queue_wake(board, 0, 1); /* a has taken its call but not left: again to a, the oldest */
    pyd_queue_wake(board, 0, 1);
    expect_said(second[0], 'w');
    assert_int_equal(waitpid(a, &status, 0), a);
    assert_int_equal(status, 0);
    assert_int_equal(waitpid(b, &status, 0), b);
    assert_int_equal(status, 0);
    close(first[0]);
    close(first[1]);
    close(second[0]);
    close(second[1]);
    fixture_done(board);
}

/* The call for the only claim goes to a process that dies of it. Nobody sweeps. */
static void test_one_killed_when_called_costs_others_one_slice(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 4);
    struct pyd_claim_ref claim;
    int said[2], status, tries = 0;
    uint32_t mine;
    pid_t dead;

    (void)state;
    fixture_start(board, 0);
    assert_int_equal(pyd_claim_try(board, 0, SELF, NO_SLOT, &claim), 0);
    assert_int_equal(pipe(said), 0);
    dead = fork_waiter(board, said[1]);
    expect_said(said[0], 'e');
    mine = enter(board);
    assert_false(pyd_queue_is_first(board, 0, mine));
    pyd_claim_release(board, &claim);
    /* It has taken the call: to the others it looks as if it were still waiting. */
    expect_said(said[0], 'w');
    assert_int_equal(waitpid(dead, &status, 0), dead);
    assert_false(pyd_queue_is_first(board, 0, mine));
    while (!pyd_queue_is_first(board, 0, mine) && tries++ < 10)
        pyd_queue_wait(board, 0, mine, 20000);
    assert_int_equal(tries, 1);
    assert_int_equal(pyd_claim_try(board, 0, SELF, NO_SLOT, &claim), 0);
    pyd_queue_leave(board, 0, mine);
    close(said[0]);
    close(said[1]);
    fixture_done(board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_queue_at_all),
        cmocka_unit_test(test_limit_and_length),
        cmocka_unit_test(test_order_is_of_arrival_not_of_place),
        cmocka_unit_test(test_wake_goes_to_the_oldest_not_yet_called),
        cmocka_unit_test(test_release_calls_and_leaving_passes_on),
        cmocka_unit_test(test_orphans_call_when_free),
        cmocka_unit_test(test_a_newcomer_does_not_hide_the_oldest),
        cmocka_unit_test(test_calls_that_are_taken_back_end),
        cmocka_unit_test(test_timeout_and_early_call),
        cmocka_unit_test(test_other_processes_are_woken_in_order),
        cmocka_unit_test(test_one_killed_when_called_costs_others_one_slice),
    };

    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
