/* SPDX-License-Identifier: Apache-2.0 */

/* Requests that exceed request-timeout or slow-request, as the manager finds them, what is said of it in which order,
 * and who replaces whom; limits_stage.h says how. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "limits_stage.h"

static void test_late_as_its_child_says(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=60"));
    struct pyd_claim_ref claim = begin("/report?y=2");

    (void)state;
    look_after(60 * SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE); /* the child's time */
    assert_int_equal(pyd_claim_set_late(site.board, &claim), 1);
    assert_int_equal(look_after(1000), NEVER);
    assert_int_equal(slot->must_go, PYD_CAUSE_REQUEST_TIMEOUT);
    assert_false(slot->doomed || slot->sick);
    assert_int_equal(slot->gone_since_us, stage.now_us);
    assert_int_equal(slot->timed_out, 1);
    assert_true(dump_was_asked(PYD_DUMP_WHY_TIMEOUT, 0));
    check_log(SHUTDOWN); /* who sets it says it */
    look_after(20 * SECOND);
    assert_int_equal(slot->timed_out, 1);
    assert_false(dump_was_asked(PYD_DUMP_WHY_TIMEOUT, 0));
}

static void test_late_as_nobody_else_says(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=60"));
    struct pyd_claim_ref claim = begin("/report?y=2");

    (void)state;
    assert_int_equal(look_after(59 * SECOND), SECOND + 300000);
    assert_int_equal(look_after(SECOND + 299999), 1);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    assert_int_equal(look_after(1), NEVER);
    check_log("3 PYD0630: mod_pydaemon (pid=%d): Request time limit exceeded in 'blog': GET /report?y=2 ran 60.3 s of "
              "60 s (request WxYz, client 203.0.113.9, thread 3).\n" SHUTDOWN);
    assert_true(pyd_claim_is_late(site.board, &claim));
    assert_int_equal(slot->must_go, PYD_CAUSE_REQUEST_TIMEOUT);
    assert_int_equal(slot->timed_out, 1);
    assert_true(dump_was_asked(PYD_DUMP_WHY_TIMEOUT, 0));
    look_after(SECOND);
    check_log("");
}

static void test_late_without_a_child(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=1500ms"));
    struct pyd_claim_ref claim = begin("/");

    (void)state;
    pyd_claim_orphan(site.board, &claim);
    look_after(SECOND + 799999);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    look_after(1);
    assert_int_equal(slot->must_go, PYD_CAUSE_REQUEST_TIMEOUT);
    check_log("3 PYD0630: mod_pydaemon (pid=%d): Request time limit exceeded in 'blog': GET / ran 1.8 s of 1.5 s "
              "(request WxYz, client 203.0.113.9, thread 3).\n" SHUTDOWN);
}

static void test_late_before_it_was_begun(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=60"));

    (void)state;
    claim_for("/");
    look_after(61 * SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_REQUEST_TIMEOUT);
    check_log("3 PYD0630: mod_pydaemon (pid=%d): Request time limit exceeded in 'blog': GET / ran 61.0 s of 60 s "
              "(request WxYz, client 203.0.113.9, not begun).\n" SHUTDOWN);
}

static void test_late_only_where_there_is_a_limit(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("deadlock-timeout=60"));
    struct pyd_claim_ref claim;

    (void)state;
    claim = begin("/");
    look_after(100000 * SECOND);
    assert_false(pyd_claim_is_late(site.board, &claim));
    pyd_claim_set_late(site.board, &claim); /* whoever says so, and why ever */
    look_after(SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    assert_false(dump_was_asked(PYD_DUMP_WHY_TIMEOUT, 0));
    check_log("");
}

static void test_waiting_for_the_client_is_not_late(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=60", "slow-request=50"));
    struct pyd_claim_ref claim = begin("/upload");

    (void)state;
    pyd_claim_pause(site.board, &claim, stage.now_us + SECOND);
    pyd_status_wait(fixture_request(site.board, &claim), stage.now_us + SECOND);
    look_after(600 * SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    pyd_status_wait_end(fixture_request(site.board, &claim), stage.now_us);
    pyd_claim_resume(site.board, &claim, stage.now_us);
    assert_int_equal(look_after(0), 49 * SECOND);
    check_log("");
    look_after(59 * SECOND + 300000);
    assert_int_equal(slot->must_go, PYD_CAUSE_REQUEST_TIMEOUT);
}

static void test_ended_is_not_late(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=60"));
    struct pyd_claim_ref claim = begin("/large");

    (void)state;
    /* Its child still sends what it has to a slow client. */
    pyd_status_end(fixture_request(site.board, &claim), claim.seq);
    look_after(600 * SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    check_log("");
}

static void test_more_late_requests(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=60"));
    struct pyd_claim_ref first = begin("/1"), second, third;
    int64_t gone_since_us;

    (void)state;
    look_after(2 * SECOND);
    second = begin("/2");
    look_after(8 * SECOND);
    third = begin("/3");
    look_after(50 * SECOND);
    pyd_claim_set_late(site.board, &first);
    look_after(0);
    gone_since_us = stage.now_us;
    assert_true(dump_was_asked(PYD_DUMP_WHY_TIMEOUT, 0));
    look_after(2 * SECOND);
    pyd_claim_set_late(site.board, &second);
    look_after(0);
    assert_int_equal(slot->timed_out, 2);
    assert_false(dump_was_asked(PYD_DUMP_WHY_TIMEOUT, 0)); /* that one has just been seen in a dump */
    look_after(8 * SECOND);
    assert_false(dump_was_asked(PYD_DUMP_WHY_TIMEOUT, 0));
    pyd_claim_set_late(site.board, &third);
    look_after(0);
    assert_int_equal(slot->timed_out, 3);
    assert_true(dump_was_asked(PYD_DUMP_WHY_TIMEOUT, 0));
    assert_int_equal(slot->gone_since_us, gone_since_us);
    check_log(SHUTDOWN);
}

/* No dump has shown it yet, though the last one was not long ago. */
static void test_late_that_began_after_the_dump(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=5"));

    (void)state;
    begin("/1");
    look_after(5 * SECOND + 300000);
    assert_true(dump_was_asked(PYD_DUMP_WHY_TIMEOUT, 0));
    look_after(SECOND);
    begin("/2");
    slot->state = PYD_SLOT_RETIRING; /* its successor is there */
    assert_int_equal(look_after(0), 5 * SECOND + 300000);
    look_after(5 * SECOND + 300000);
    assert_int_equal(slot->timed_out, 2);
    assert_true(dump_was_asked(PYD_DUMP_WHY_TIMEOUT, 0));
    look_after(SECOND);
    assert_false(dump_was_asked(PYD_DUMP_WHY_TIMEOUT, 0));
}

static void test_late_and_over_before_it_was_seen(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=60"));
    struct pyd_claim_ref claim = begin("/1");

    (void)state;
    look_after(60 * SECOND);
    pyd_claim_set_late(site.board, &claim);
    finish(&claim);
    look_after(1000);
    assert_int_equal(slot->timed_out, 1);
    assert_int_equal(slot->must_go, PYD_CAUSE_REQUEST_TIMEOUT);
    look_after(SECOND);
    assert_int_equal(slot->timed_out, 1);
}

static void test_late_once_for_each_use(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=60"));
    struct pyd_claim_ref claim;

    (void)state;
    look_after(0);
    for (uint32_t i = 1; i <= 10; i++) {
        claim = begin("/");
        pyd_claim_set_late(site.board, &claim);
        look_after(1000);
        assert_int_equal(slot->timed_out, i);
        finish(&claim);
        look_after(1000);
        assert_int_equal(slot->timed_out, i);
    }
}

static void test_late_in_another_worker(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=60"));
    struct pyd_claim_ref claim = begin("/");

    (void)state;
    look_after(60 * SECOND);
    pyd_claim_set_late(site.board, &claim);
    look_after(0);
    assert_int_equal(slot->timed_out, 1);
    finish(&claim);
    start_worker(0); /* its successor in the slot */
    look_after(SECOND);
    assert_int_equal(slot->timed_out, 0);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    /* A manager that takes over while one is executed has not seen it. */
    claim = begin("/");
    pyd_claim_set_late(site.board, &claim);
    pyd_manager_limits_destroy(stage.group.limits);
    stage.group.limits = pyd_manager_limits_create(&stage.group);
    assert_non_null(stage.group.limits);
    look_after(SECOND);
    assert_int_equal(slot->timed_out, 1);
    assert_int_equal(slot->must_go, PYD_CAUSE_REQUEST_TIMEOUT);
}

static void test_late_in_the_future(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=60"));
    struct pyd_claim_ref claim = begin("/");

    (void)state;
    look_after(0);
    /* A broken child. */
    atomic_store(&pyd_board_claim(site.board, 0, 0, claim.claim)->late, UINT64_MAX);
    look_after(SECOND);
    assert_int_equal(slot->timed_out, 0);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    look_after(60 * SECOND);
    assert_int_equal(slot->timed_out, 1);
    assert_int_equal(slot->must_go, PYD_CAUSE_REQUEST_TIMEOUT);
}

static void test_late_in_each_state(void **state)
{
    static const struct {
        enum pyd_slot_state state;
        enum pyd_cause must_go, then;
        int is_dumped;
    } CASES[] = {
        {PYD_SLOT_READY, PYD_CAUSE_REQUESTS, PYD_CAUSE_REQUEST_TIMEOUT, 1},
        {PYD_SLOT_RETIRING, PYD_CAUSE_REQUESTS, PYD_CAUSE_REQUEST_TIMEOUT, 1},
        {PYD_SLOT_RETIRING, PYD_CAUSE_NONE, PYD_CAUSE_REQUEST_TIMEOUT, 1},
        {PYD_SLOT_STOPPING, PYD_CAUSE_REQUESTS, PYD_CAUSE_REQUESTS, 1},
        {PYD_SLOT_STOPPING, PYD_CAUSE_REQUEST_TIMEOUT, PYD_CAUSE_REQUEST_TIMEOUT, 1},
        {PYD_SLOT_STOPPING, PYD_CAUSE_NONE, PYD_CAUSE_NONE, 1},
    };

    (void)state;
    set_up(LIMITS("request-timeout=60"));
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct pyd_manager_slot *slot = start_worker(0);
        struct pyd_claim_ref claim = begin("/");

        look_after(SECOND);
        slot->state = CASES[i].state;
        slot->must_go = CASES[i].must_go;
        slot->gone_since_us = 7;
        look_after(60 * SECOND);
        assert_int_equal(slot->timed_out, 1);
        assert_int_equal(slot->must_go, CASES[i].then);
        assert_int_equal(slot->gone_since_us == 7, CASES[i].must_go == CASES[i].then || CASES[i].must_go);
        assert_int_equal(dump_was_asked(PYD_DUMP_WHY_TIMEOUT, 0), CASES[i].is_dumped);
        assert_non_null(strstr(stage.log, "PYD0630"));
        forget_log();
        finish(&claim);
    }
    /* STARTING is startup-timeout's, and what is no process nobody's. */
    start_worker(0);
    begin("/");
    stage.group.slots[0].state = PYD_SLOT_STARTING;
    assert_int_equal(look_after(61 * SECOND), NEVER);
    stage.group.slots[0].state = PYD_SLOT_READY;
    stage.group.slots[0].pid = 0;
    assert_int_equal(look_after(61 * SECOND), NEVER);
    check_log("");
}

/* Slow requests. */

static void test_slow(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("slow-request=5", "request-timeout=60"));
    pid_t tid = stage.processes[0].pid;

    (void)state;
    begin("/x");
    assert_int_equal(look_after(SECOND), 4 * SECOND);
    assert_int_equal(look_after(4 * SECOND - 1), 1);
    check_log("");
    assert_int_equal(look_after(1), 55 * SECOND + 300000);
    check_log("4 PYD0632: mod_pydaemon (pid=%d): Slow request in 'blog': GET /x runs for 5.0 s (request WxYz, client "
              "203.0.113.9, thread 3).\n");
    assert_true(dump_was_asked(PYD_DUMP_WHY_SLOW, tid));
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    look_after(20 * SECOND);
    assert_false(dump_was_asked(PYD_DUMP_WHY_SLOW, tid));
    check_log("");
}

static void test_slow_ones_wait_for_each_other(void **state)
{
    pid_t tid;
    int64_t next_us;

    (void)state;
    set_up(LIMITS("slow-request=5"));
    tid = stage.processes[0].pid;
    begin("/1");
    begin("/2");
    next_us = look_after(5 * SECOND);
    assert_true(next_us > 0 && next_us <= SECOND / 2);
    assert_non_null(strstr(stage.log, "Slow request"));
    forget_log();
    look_after(SECOND / 10);
    check_log(""); /* the first one's dump is still being made */
    assert_true(dump_was_asked(PYD_DUMP_WHY_SLOW, tid));
    assert_int_equal(look_after(SECOND / 10), NEVER);
    assert_true(dump_was_asked(PYD_DUMP_WHY_SLOW, tid));
    assert_non_null(strstr(stage.log, "runs for 5.2 s"));
    forget_log();
    look_after(SECOND);
    check_log("");
}

static void test_slow_once_it_was_begun(void **state)
{
    struct pyd_claim_ref claim;

    (void)state;
    set_up(LIMITS("slow-request=5"));
    claim = claim_for("/");
    assert_int_equal(look_after(6 * SECOND), NEVER); /* nothing but its begin will change it: don't spin */
    check_log("");
    pyd_status_begin(fixture_request(site.board, &claim), claim.seq, stage.now_us, stage.processes[0].pid);
    look_after(SECOND);
    assert_non_null(strstr(stage.log, "GET / runs for 7.0 s"));
}

static void test_slow_for_each_use(void **state)
{
    struct pyd_claim_ref claim;

    (void)state;
    set_up(LIMITS("slow-request=5"));
    for (int i = 0; i < 8; i++) {
        claim = begin("/");
        look_after(5 * SECOND);
        assert_true(dump_was_asked(PYD_DUMP_WHY_SLOW, stage.processes[0].pid));
        look_after(5 * SECOND);
        assert_false(dump_was_asked(PYD_DUMP_WHY_SLOW, stage.processes[0].pid));
        finish(&claim);
    }
}

static void test_late_is_not_slow(void **state)
{
    (void)state;
    set_up(LIMITS("slow-request=5", "request-timeout=5"));
    begin("/");
    look_after(6 * SECOND);
    assert_true(dump_was_asked(PYD_DUMP_WHY_TIMEOUT, 0));
    look_after(SECOND);
    assert_null(strstr(stage.log, "Slow"));
    assert_false(dump_was_asked(PYD_DUMP_WHY_SLOW, 0));
}

/* What is said first? */

/* The kernel tells of a stopped worker at once. */
static void test_stacks_come_last(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=60"));
    int status;

    (void)state;
    begin("/late");
    kill(slot->pid, SIGSTOP);
    assert_int_equal(waitpid(slot->pid, &status, WUNTRACED), slot->pid);
    look_after(61 * SECOND);
    assert_int_equal(strncmp(stage.log, "3 PYD0630: ", 11), 0);
    assert_int_equal(strncmp(strchr(stage.log, '\n'), "\n3 PYD0610: ", 12), 0);
    assert_non_null(strstr(stage.log, "'blog'.\n3 PYD0650: "));
    assert_non_null(strstr(stage.log, "stopped (T)"));
}

/* Before that nobody has seen that it is to go. */
static void test_shutdown_is_said_where_it_is_seen(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("deadlock-timeout=60"));

    (void)state;
    pyd_manager_slot_stop(&stage.group, slot, stage.now_us);
    check_log(""); /* above notice */
    pyd_manager_slot_say_stop(&stage.group, slot);
    assert_true(slot->said_stop && !slot->cried_stop);
    slot->must_go = PYD_CAUSE_DEADLOCK;
    pyd_manager_slot_say_stop(&stage.group, slot);
    pyd_manager_slot_say_stop(&stage.group, slot);
    check_log(SHUTDOWN);
}

static void test_kill_says_so_before_the_stacks(void **state)
{
    static const enum pyd_cause CAUSES[] = {PYD_CAUSE_REQUEST_TIMEOUT, PYD_CAUSE_DEADLOCK, PYD_CAUSE_MEMORY_HARD};
    struct pyd_manager_slot *slot = set_up(LIMITS("memory-limit=off"));
    int status;

    (void)state;
    kill(slot->pid, SIGSTOP);
    assert_int_equal(waitpid(slot->pid, &status, WUNTRACED), slot->pid);
    for (size_t i = 0; i < 3; i++) {
        start_worker(0)->must_go = CAUSES[i];
        pyd_manager_slot_kill(&stage.group, slot, CAUSES[i], stage.now_us);
        assert_int_equal(strncmp(stage.log, "3 PYD0610: ", 11), 0);
        assert_non_null(strstr(stage.log, "'blog'.\n3 PYD0650: "));
        forget_log();
    }
}

/* Who replaces whom. */

static void test_replaced(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=60")), *other;
    struct pyd_claim_ref late[3], fine[3], early;
    char line[300];

    (void)state;
    stage.group.threads = 3;
    early = begin("/early");
    finish(&early); /* before it had to go: does not count */
    late[0] = begin("/late");
    look_after(60 * SECOND);
    fine[0] = begin("/1");
    fine[1] = begin("/2");
    pyd_claim_set_late(site.board, &late[0]);
    look_after(0);
    check_log(SHUTDOWN);
    other = start_worker(1);
    pyd_manager_limits_succeed(&stage.group, other, stage.now_us + 40000);
    assert_int_equal(slot->successor_pid, other->pid);
    assert_int_equal(other->successor_pid, 0);
    slot->state = PYD_SLOT_RETIRING;
    finish(&fine[0]);
    finish(&fine[1]);
    look_after(SECOND);
    pyd_manager_limits_ended(&stage.group, slot, stage.now_us);
    snprintf(line, sizeof line,
             "3 PYD0631: mod_pydaemon (pid=%%d): Worker replaced by pid=%d after 0.04 s; 2 requests finished, 1 timed "
             "out.\n",
             (int)other->pid);
    check_log(line);
    /* One that ends after all is still one that timed out. */
    finish(&late[0]);
    pyd_manager_limits_ended(&stage.group, slot, stage.now_us);
    check_log(line);
}

static void test_what_ended_before_it_had_to_go(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=60"));
    struct pyd_claim_ref late = begin("/late"), fine[2];

    (void)state;
    look_after(60 * SECOND);
    fine[0] = begin("/1");
    fine[1] = begin("/2");
    pyd_claim_set_late(site.board, &late);
    finish(&late);
    look_after(1000);
    finish(&fine[0]);
    finish(&fine[1]);
    pyd_manager_limits_ended(&stage.group, slot, stage.now_us);
    check_log(SHUTDOWN
              "3 PYD0631: mod_pydaemon (pid=%d): Worker not replaced yet; 2 requests finished, 1 timed out.\n");
}

static void test_not_replaced_yet(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("deadlock-timeout=60"));

    (void)state;
    atomic_store(&status_of(0)->requests, 7);
    look_after(0);
    stage.is_frozen = 1;
    look_after(60 * SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_DEADLOCK);
    forget_log();
    atomic_store(&status_of(0)->requests, 8);
    pyd_manager_limits_ended(&stage.group, slot, stage.now_us);
    check_log("3 PYD0631: mod_pydaemon (pid=%d): Worker not replaced yet; 1 request finished, 0 timed out.\n");
}

static void test_replaced_in_the_course_of_things(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("maximum-requests=1"));

    (void)state;
    atomic_store(&status_of(0)->requests, 2);
    look_after(0);
    assert_int_equal(slot->must_go, PYD_CAUSE_REQUESTS);
    forget_log();
    pyd_manager_limits_ended(&stage.group, slot, stage.now_us);
    check_log("5 mod_pydaemon (pid=%d): Worker not replaced yet; 0 requests finished, 0 timed out.\n");
    slot->must_go = PYD_CAUSE_MEMORY_HARD;
    pyd_manager_limits_ended(&stage.group, slot, stage.now_us);
    assert_int_equal(strncmp(stage.log, "3 PYD0631: ", 11), 0);
    forget_log();
    slot->must_go = PYD_CAUSE_REQUESTS;
    stage.group.ending = 1;
    pyd_manager_limits_ended(&stage.group, slot, stage.now_us);
    check_log("5 mod_pydaemon (pid=%d): Worker not replaced, as all workers stop; 0 requests finished, 0 timed out.\n");
    /* Of one that was never looked at nothing is known. */
    start_worker(0);
    atomic_store(&status_of(0)->requests, 9);
    slot->must_go = PYD_CAUSE_REQUESTS;
    pyd_manager_limits_ended(&stage.group, slot, stage.now_us);
    check_log("5 mod_pydaemon (pid=%d): Worker not replaced, as all workers stop; 0 requests finished, 0 timed out.\n");
    /* Nobody was to replace these. */
    slot->must_go = PYD_CAUSE_INACTIVE;
    pyd_manager_limits_ended(&stage.group, slot, stage.now_us);
    slot->must_go = PYD_CAUSE_NONE;
    pyd_manager_limits_ended(&stage.group, slot, stage.now_us);
    check_log("");
}

static void test_the_oldest_is_succeeded_first(void **state)
{
    struct pyd_manager_slot *first = set_up(LIMITS("maximum-requests=1")), *second, *third;

    (void)state;
    second = start_worker(1);
    third = start_worker(2);
    first->must_go = second->must_go = PYD_CAUSE_REQUESTS;
    first->gone_since_us = stage.now_us;
    second->gone_since_us = stage.now_us - 1;
    pyd_manager_limits_succeed(&stage.group, third, stage.now_us);
    assert_int_equal(second->successor_pid, third->pid);
    assert_int_equal(second->successor_us, stage.now_us);
    assert_int_equal(first->successor_pid, 0);
    pyd_manager_limits_succeed(&stage.group, third, stage.now_us);
    assert_int_equal(first->successor_pid, third->pid);
    /* Nobody is left; or has to go without a successor; or lives. */
    pyd_manager_limits_succeed(&stage.group, third, stage.now_us);
    first->successor_pid = second->successor_pid = 0;
    first->must_go = PYD_CAUSE_INACTIVE;
    second->pid = 0;
    pyd_manager_limits_succeed(&stage.group, third, stage.now_us);
    assert_int_equal(first->successor_pid, 0);
    assert_int_equal(second->successor_pid, 0);
    assert_int_equal(third->successor_pid, 0);
}

/* It retires because there is one: whatever is found out about it from then on. */
static void test_adopted_one_has_a_successor(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=60")), *second, *third;
    char line[200];

    (void)state;
    slot->adopted = 1;
    begin("/late");
    second = start_worker(1);
    pyd_manager_limits_succeed(&stage.group, second, stage.now_us);
    assert_int_equal(slot->successor_pid, second->pid);
    pyd_manager_slot_retire(&stage.group, slot, stage.now_us);
    look_after(61 * SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_REQUEST_TIMEOUT);
    second->must_go = PYD_CAUSE_REQUESTS;
    second->gone_since_us = stage.now_us;
    third = start_worker(2);
    pyd_manager_limits_succeed(&stage.group, third, stage.now_us);
    assert_int_equal(slot->successor_pid, second->pid);
    assert_int_equal(second->successor_pid, third->pid);
    forget_log();
    pyd_manager_limits_ended(&stage.group, slot, stage.now_us);
    snprintf(line, sizeof line,
             "3 PYD0631: mod_pydaemon (pid=%%d): Worker replaced by pid=%d after 0.00 s; 0 requests finished, 1 timed "
             "out.\n",
             (int)second->pid);
    check_log(line);
}

/* A limit comes before that, and who goes first has it. */
static void test_adopted_one_waits_for_a_successor(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=60")), *second, *third;

    (void)state;
    slot->adopted = 1;
    second = start_worker(1);
    second->must_go = PYD_CAUSE_REQUESTS;
    second->gone_since_us = stage.now_us + SECOND;
    third = start_worker(2);
    pyd_manager_limits_succeed(&stage.group, third, stage.now_us);
    assert_int_equal(second->successor_pid, third->pid);
    assert_int_equal(slot->successor_pid, 0);
    pyd_manager_slot_retire(&stage.group, slot, stage.now_us);
    assert_int_equal(slot->successor_pid, third->pid);
    assert_int_equal(second->successor_pid, 0);
}

static void test_who_retires_without_one_needs_none(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=60")), *other = start_worker(1);

    (void)state;
    /* One worker more than is needed. */
    pyd_manager_slot_retire(&stage.group, slot, stage.now_us);
    slot->must_go = PYD_CAUSE_REQUEST_TIMEOUT;
    pyd_manager_limits_succeed(&stage.group, other, stage.now_us);
    pyd_manager_limits_ended(&stage.group, slot, stage.now_us);
    check_log("3 PYD0631: mod_pydaemon (pid=%d): Worker replaced before that; 0 requests finished, 0 timed out.\n");
    /* One that could not wait for its successor does. */
    start_worker(0)->must_go = PYD_CAUSE_REQUEST_TIMEOUT;
    slot->sick = 1;
    pyd_manager_slot_retire(&stage.group, slot, stage.now_us);
    assert_int_equal(slot->successor_pid, 0);
    pyd_manager_limits_succeed(&stage.group, other, stage.now_us);
    assert_int_equal(slot->successor_pid, other->pid);
    /* One that never served has nobody to take its place. */
    start_worker(0)->must_go = PYD_CAUSE_MEMORY_HARD;
    slot->state = PYD_SLOT_STOPPING;
    slot->ready_us = 0;
    pyd_manager_limits_succeed(&stage.group, other, stage.now_us);
    assert_int_equal(slot->successor_pid, 0);
    pyd_manager_limits_ended(&stage.group, slot, stage.now_us);
    check_log("");
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_late_as_its_child_says),
        TEST(test_late_as_nobody_else_says),
        TEST(test_late_without_a_child),
        TEST(test_late_before_it_was_begun),
        TEST(test_late_only_where_there_is_a_limit),
        TEST(test_waiting_for_the_client_is_not_late),
        TEST(test_ended_is_not_late),
        TEST(test_more_late_requests),
        TEST(test_late_that_began_after_the_dump),
        TEST(test_late_and_over_before_it_was_seen),
        TEST(test_late_once_for_each_use),
        TEST(test_late_in_another_worker),
        TEST(test_late_in_the_future),
        TEST(test_late_in_each_state),
        TEST(test_slow),
        TEST(test_slow_ones_wait_for_each_other),
        TEST(test_slow_once_it_was_begun),
        TEST(test_slow_for_each_use),
        TEST(test_late_is_not_slow),
        TEST(test_stacks_come_last),
        TEST(test_shutdown_is_said_where_it_is_seen),
        TEST(test_kill_says_so_before_the_stacks),
        TEST(test_replaced),
        TEST(test_what_ended_before_it_had_to_go),
        TEST(test_not_replaced_yet),
        TEST(test_replaced_in_the_course_of_things),
        TEST(test_the_oldest_is_succeeded_first),
        TEST(test_adopted_one_has_a_successor),
        TEST(test_adopted_one_waits_for_a_successor),
        TEST(test_who_retires_without_one_needs_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
