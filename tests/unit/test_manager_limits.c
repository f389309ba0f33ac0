/* SPDX-License-Identifier: Apache-2.0 */

/* What the manager does about the limits of workers; limits_stage.h says how. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "limits_stage.h"
#include "pyd_usage.h"

static void finish_requests(uint64_t count)
{
    atomic_fetch_add(&pyd_board_group(site.board, 0)->finished, count);
}

static void test_well(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=60", "deadlock-timeout=60", "maximum-requests=100",
                                                  "restart-interval=1h", "inactivity-timeout=10m", "slow-request=5"));
    struct pyd_claim_ref claim;

    (void)state;
    assert_int_equal(look_after(0), 60 * SECOND); /* the sign of life that should have come by then */
    claim = begin("/");
    assert_int_equal(look_after(SECOND), 4 * SECOND); /* then it is slow */
    finish(&claim);
    assert_int_equal(look_after(SECOND), 60 * SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    assert_int_equal(slot->timed_out, 0);
    assert_false(dump_was_asked(PYD_DUMP_WHY_TIMEOUT, 0));
    check_log("");
}

static void test_no_limits(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("memory-limit=off"));

    (void)state;
    stage.is_frozen = 1;
    begin("/");
    atomic_store(&status_of(0)->gil_asked_us, START);
    assert_int_equal(look_after(0), NEVER);
    assert_int_equal(look_after(3600 * SECOND), NEVER);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    /* Nobody asked what it costs. */
    assert_int_equal(slot->memory_bytes, -1);
    assert_int_equal(slot->cpu_us, -1);
    assert_int_equal(atomic_load(&slot_at(0)->memory_bytes), 0);
    check_log("");
}

/* Memory. */

static void test_memory_below_the_limit(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("memory-limit=1G", "memory-hard-limit=2G"));

    (void)state;
    assert_int_equal(look_after(0), NEVER);
    assert_true(slot->memory_bytes > (WORKER_MIB - 4) * MIB && slot->memory_bytes < 512 * MIB);
    assert_int_equal(atomic_load(&slot_at(0)->memory_bytes), slot->memory_bytes);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    check_log("");
}

static void test_memory_limit(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("memory-limit=32M"));
    struct pyd_claim_ref claim = begin("/a");
    char expected[200];
    const char *at;
    double mib, growth;

    (void)state;
    atomic_store(&fixture_request(site.board, &claim)->memory_bytes, 20 * MIB);
    atomic_store(&status_of(0)->requests, 1234);
    look_after(3200000);
    assert_int_equal(slot->must_go, PYD_CAUSE_MEMORY);
    assert_false(slot->doomed);
    assert_true(slot->memory_bytes > 60 * MIB && slot->memory_bytes < 512 * MIB);
    assert_int_equal(atomic_load(&slot_at(0)->memory_bytes), slot->memory_bytes);
    snprintf(expected, sizeof expected,
             "4 PYD0633: mod_pydaemon (pid=%d): memory-limit exceeded in 'blog': worker 1 has %.1f MiB of 32.0 MiB "
             "private memory after 1234 requests; in flight: GET /a (since 3.2 s, 20.0 MiB when it began, ",
             (int)slot->pid, (double)slot->memory_bytes / MIB);
    assert_int_equal(strncmp(stage.log, expected, strlen(expected)), 0);
    at = stage.log + strlen(expected);
    assert_int_equal(sscanf(at, "%lf MiB since).\n", &mib), 1);
    /* Like with like: it grew by what it has that is not of a file, as the worker measures it. */
    growth = (double)pyd_usage_private(slot->pid) / MIB - 20;
    assert_true(*at == '+' && mib > growth - 1 && mib < growth + 1);
    forget_log();
    assert_false(dump_was_asked(PYD_DUMP_WHY_KILL, 0));
    look_after(SECOND);
    check_log("");
}

static void test_memory_line_without_requests(void **state)
{
    (void)state;
    set_up(LIMITS("memory-limit=32M"));
    look_after(0);
    assert_non_null(strstr(stage.log, "after 0 requests; no request in flight.\n"));
}

static void test_memory_line_with_many_requests(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("memory-limit=32M"));
    struct pyd_claim_ref claim = begin("/known");

    (void)state;
    atomic_store(&fixture_request(site.board, &claim)->memory_bytes, 900 * MIB);
    begin("/unknown");
    claim_for("/not-begun");
    look_after(0);
    assert_int_equal(slot->must_go, PYD_CAUSE_MEMORY);
    assert_non_null(strstr(stage.log, "GET /unknown (since 0.0 s)"));
    assert_non_null(strstr(stage.log, "GET /known (since 0.0 s, 900.0 MiB when it began, -"));
    assert_null(strstr(stage.log, "/not-begun"));
}

/* What the process shares with others is not its own. */
static void test_shared_memory_does_not_count(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("memory-limit=96M", "memory-hard-limit=1G"));

    (void)state;
    let_it_share(&stage.processes[0]);
    look_after(0);
    assert_true(slot->memory_bytes > (WORKER_MIB - 4) * MIB && slot->memory_bytes < 96 * MIB);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    let_it_grow(&stage.processes[0]);
    look_after(SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_MEMORY);
    assert_true(slot->memory_bytes > 2 * (WORKER_MIB - 4) * MIB && slot->memory_bytes < 180 * MIB);
}

static void test_memory_hard_limit(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("memory-limit=32M", "memory-hard-limit=100M"));

    (void)state;
    /* Above half of it: closer watch. */
    assert_int_equal(look_after(0), 250000);
    assert_int_equal(slot->must_go, PYD_CAUSE_MEMORY);
    forget_log();
    slot->state = PYD_SLOT_RETIRING;
    assert_int_equal(look_after(250000), 250000);
    assert_false(slot->doomed);
    let_it_grow(&stage.processes[0]);
    begin("/big");
    look_after(250000);
    assert_int_equal(slot->must_go, PYD_CAUSE_MEMORY_HARD);
    assert_true(slot->doomed);
    assert_non_null(strstr(stage.log, "3 PYD0634: mod_pydaemon (pid="));
    assert_non_null(strstr(stage.log, "memory-hard-limit exceeded in 'blog', killing worker 1: it has 1"));
    assert_non_null(strstr(stage.log, " MiB of 100.0 MiB private memory after 0 requests; in flight: GET /big "));
    assert_non_null(strstr(stage.log, ").\n3 PYD0610: ")); /* and that, before its stacks */
    forget_log();
    /* All is said; the plan does the rest. */
    assert_int_equal(look_after(SECOND), NEVER);
    slot->killed = 1;
    assert_int_equal(look_after(SECOND), NEVER);
    check_log("");
}

static void test_memory_hard_limit_alone(void **state)
{
    static const enum pyd_slot_state STATES[] = {PYD_SLOT_READY, PYD_SLOT_RETIRING, PYD_SLOT_STOPPING};

    (void)state;
    set_up(LIMITS("memory-hard-limit=32M"));
    for (size_t i = 0; i < 3; i++) {
        struct pyd_manager_slot *slot = start_worker(0);

        slot->state = STATES[i];
        look_after(SECOND);
        assert_int_equal(slot->must_go, PYD_CAUSE_MEMORY_HARD);
        assert_true(slot->doomed);
    }
}

/* Imports can go wrong, too; but what the process is before it runs its program is the manager, whatever that has. */
static void test_memory_hard_limit_while_it_starts(void **state)
{
    struct pyd_manager_slot *slot =
        set_up(LIMITS("memory-hard-limit=32M", "memory-limit=16M", "startup-timeout=off", "maximum-requests=1"));
    uint32_t epoch = atomic_load(&status_of(0)->epoch);

    (void)state;
    slot->state = PYD_SLOT_STARTING;
    slot->ready_us = 0;
    atomic_store(&status_of(0)->epoch, epoch - 1);
    atomic_store(&status_of(0)->requests, 5);
    look_after(0);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    assert_int_equal(slot->memory_bytes, -1);
    atomic_store(&status_of(0)->epoch, epoch);
    look_after(SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_MEMORY_HARD);
    assert_true(slot->doomed);
    assert_int_equal(atomic_load(&slot_at(0)->must_go), PYD_CAUSE_MEMORY_HARD);
    assert_int_equal(strncmp(stage.log, "3 PYD0634: ", 11), 0);
    assert_int_equal(strncmp(strchr(stage.log, '\n'), "\n3 PYD0610: ", 12), 0);
}

static void test_memory_is_not_measured_with_each_poke(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("memory-limit=1G"));
    int64_t before;

    (void)state;
    look_after(0);
    before = slot->memory_bytes;
    let_it_grow(&stage.processes[0]);
    look_after(100000);
    assert_int_equal(slot->memory_bytes, before);
    look_after(100000);
    assert_true(slot->memory_bytes > before + 50 * MIB);
}

/* The end of a time of service. */

static void test_cpu_time_limit(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("cpu-time-limit=1h"));

    (void)state;
    look_after(0);
    assert_true(slot->cpu_us >= 10000 && slot->cpu_us < 60 * SECOND);
    assert_int_equal(atomic_load(&slot_at(0)->cpu_us), slot->cpu_us);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    stage.group.spec.cpu_time_limit_us = 10000;
    look_after(SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_CPU_TIME);
    assert_int_equal(strncmp(stage.log, "5 mod_pydaemon (pid=", 20), 0);
    assert_non_null(strstr(stage.log, "): Worker 1 of 'blog' is replaced, it has used 0."));
    assert_non_null(strstr(stage.log, " s of CPU time (cpu-time-limit 0.01 s).\n"));
}

static void test_maximum_requests(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("maximum-requests=100", "maximum-requests-jitter=0"));

    (void)state;
    atomic_store(&status_of(0)->requests, 99);
    look_after(SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    atomic_store(&status_of(0)->requests, 100);
    look_after(SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_REQUESTS);
    assert_false(slot->doomed);
    assert_int_equal(slot->gone_since_us, stage.now_us);
    check_log("5 mod_pydaemon (pid=%d): Worker 1 of 'blog' is replaced after 100 requests (maximum-requests 100, "
              "jitter 0 %).\n");
    look_after(SECOND);
    check_log("");
    assert_int_equal(slot->gone_since_us, stage.now_us - SECOND);
}

/* The nearer, the closer it is looked at; when that is far away, not at all. */
static void test_maximum_requests_coming_near(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("maximum-requests=1000", "maximum-requests-jitter=0"));

    (void)state;
    atomic_store(&status_of(0)->requests, 1);
    assert_int_equal(look_after(SECOND), NEVER);
    atomic_store(&status_of(0)->requests, 101); /* 100 a second */
    assert_int_equal(look_after(SECOND), NEVER);
    atomic_store(&status_of(0)->requests, 700); /* 599 a second */
    assert_int_equal(look_after(SECOND), 300 * SECOND / 599);
    atomic_store(&status_of(0)->requests, 710); /* too soon to be sure of it */
    assert_int_equal(look_after(SECOND / 1000), 290 * SECOND / 599);
    atomic_store(&status_of(0)->requests, 995);
    look_after(SECOND * 498 / 1000);
    assert_in_range(look_after(0), 5 * SECOND / 600, 5 * SECOND / 590);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    atomic_store(&status_of(0)->requests, 0); /* a broken worker */
    assert_int_equal(look_after(SECOND), NEVER);
    atomic_store(&status_of(0)->requests, 1000);
    look_after(SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_REQUESTS);
}

/* Of a new one it is assumed that it will do as the group has done. */
static void test_maximum_requests_of_a_new_worker(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("maximum-requests=40", "maximum-requests-jitter=0"));

    (void)state;
    look_after(0);
    finish_requests(80);
    look_after(SECOND);
    start_worker(0);
    slot->state = PYD_SLOT_STARTING;
    look_after(0);
    look_after(SECOND); /* that it has done nothing yet says nothing */
    slot->state = PYD_SLOT_READY;
    assert_in_range(look_after(0), SECOND / 2, SECOND * 6 / 10); /* the group has been doing a little less, too */
    atomic_store(&status_of(0)->requests, 40);
    look_after(SECOND / 2);
    assert_int_equal(slot->must_go, PYD_CAUSE_REQUESTS);
}

static void test_restart_interval(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("restart-interval=600", "restart-interval-jitter=0"));

    (void)state;
    assert_int_equal(look_after(SECOND), 599 * SECOND);
    look_after(599 * SECOND - 1);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    look_after(1);
    assert_int_equal(slot->must_go, PYD_CAUSE_INTERVAL);
    check_log("5 mod_pydaemon (pid=%d): Worker 1 of 'blog' is replaced after 600.0 s (restart-interval 600 s, jitter "
              "0 %).\n");
}

static void test_inactivity_timeout(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("inactivity-timeout=300"));
    struct pyd_claim_ref claim;

    (void)state;
    assert_int_equal(look_after(100 * SECOND), 200 * SECOND);
    claim = begin("/");
    assert_int_equal(look_after(100 * SECOND), NEVER);
    finish(&claim);
    /* Counted from here on: only now it is seen that it has ended. */
    assert_int_equal(look_after(SECOND), 300 * SECOND);
    /* One that came and went between two looks counts, too. */
    look_after(200 * SECOND);
    claim = begin("/");
    finish(&claim);
    assert_int_equal(look_after(SECOND), 300 * SECOND);
    assert_int_equal(look_after(300 * SECOND - 1), 1);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    look_after(1);
    assert_int_equal(slot->must_go, PYD_CAUSE_INACTIVE);
    check_log("5 mod_pydaemon (pid=%d): Worker 1 of 'blog' has had no request for 300.0 s (inactivity-timeout) and "
              "stops until it is needed.\n");
}

static void test_inactive_but_needed(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("inactivity-timeout=300"));

    (void)state;
    look_after(300 * SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_INACTIVE);
    begin("/");
    look_after(SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    /* No way back once it takes no requests any more. */
    start_worker(0);
    slot->must_go = PYD_CAUSE_INACTIVE;
    slot->state = PYD_SLOT_RETIRING;
    begin("/");
    look_after(SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_INACTIVE);
}

/* Deadlocks. */

static void test_deadlock_by_the_lock(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("deadlock-timeout=60", "slow-request=61"));

    (void)state;
    begin("/c");
    look_after(SECOND);
    atomic_store(&status_of(0)->gil_asked_us, stage.now_us);
    assert_int_equal(look_after(SECOND), 59 * SECOND);
    look_after(59 * SECOND - 1);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    look_after(1);
    assert_int_equal(slot->must_go, PYD_CAUSE_DEADLOCK);
    assert_true(slot->doomed && slot->sick);
    check_log("3 PYD0635: mod_pydaemon (pid=%d): deadlock-timeout (60 s) exceeded in 'blog', killing worker 1: "
              "Python's lock (GIL) was not to be had in it for 60.0 s; in flight: GET /c (since 61.0 s).\n" SHUTDOWN);
}

static void test_deadlock_by_signs_of_life(void **state)
{
    static const enum pyd_slot_state STATES[] = {PYD_SLOT_READY, PYD_SLOT_RETIRING, PYD_SLOT_STOPPING};

    (void)state;
    set_up(LIMITS("deadlock-timeout=60"));
    for (size_t i = 0; i < 3; i++) {
        struct pyd_manager_slot *slot = start_worker(0);

        stage.is_frozen = 0;
        slot->state = STATES[i];
        look_after(SECOND);
        stage.is_frozen = 1;
        look_after(60 * SECOND - 1);
        check_log("");
        look_after(1);
        assert_int_equal(slot->must_go, PYD_CAUSE_DEADLOCK);
        assert_true(slot->doomed && slot->sick);
        check_log("3 PYD0635: mod_pydaemon (pid=%d): deadlock-timeout (60 s) exceeded in 'blog', killing worker 1: it "
                  "has shown no sign of life for 60.0 s; no request in flight.\n" SHUTDOWN);
    }
}

/* It serves as long as it can, and again once it can. */
static void test_sick_as_long_as_it_lasts(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=60"));
    struct pyd_claim_ref claim = begin("/late");

    (void)state;
    atomic_store(&status_of(0)->gil_asked_us, stage.now_us);
    look_after(59 * SECOND);
    assert_false(slot->sick); /* nobody is in a position to say so: it need not go */
    atomic_store(&status_of(0)->gil_asked_us, stage.now_us);
    pyd_claim_set_late(site.board, &claim);
    look_after(PYD_LIMIT_SICK_US - 1);
    assert_int_equal(slot->must_go, PYD_CAUSE_REQUEST_TIMEOUT);
    assert_false(slot->sick);
    look_after(1);
    assert_true(slot->sick);
    atomic_store(&status_of(0)->gil_asked_us, 0); /* it has been had */
    look_after(SECOND);
    assert_false(slot->sick);
    stage.is_frozen = 1;
    look_after(PYD_LIMIT_SILENT_US - 1);
    assert_false(slot->sick);
    look_after(1);
    assert_true(slot->sick);
    stage.is_frozen = 0;
    look_after(SECOND);
    assert_false(slot->sick);
}

static void test_idle_one_is_not_sick(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("inactivity-timeout=60"));

    (void)state;
    stage.is_frozen = 1;
    look_after(60 * SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_INACTIVE);
    assert_false(slot->sick);
}

static void test_killed_is_killed(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("deadlock-timeout=60", "memory-hard-limit=32M"));

    (void)state;
    stage.is_frozen = 1;
    slot->state = PYD_SLOT_STOPPING;
    slot->killed = 1;
    assert_int_equal(look_after(60 * SECOND), NEVER);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    check_log("");
}

static void test_status_of_another_worker(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("deadlock-timeout=60"));

    (void)state;
    atomic_store(&status_of(0)->gil_asked_us, 1);
    atomic_store(&status_of(0)->epoch, 77);
    look_after(59 * SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    look_after(SECOND); /* it has never said anything */
    assert_int_equal(slot->must_go, PYD_CAUSE_DEADLOCK);
}

/* Causes. */

static void test_the_more_urgent_cause_wins(void **state)
{
    struct pyd_manager_slot *slot =
        set_up(LIMITS("maximum-requests=1", "request-timeout=60", "deadlock-timeout=300", "memory-limit=1G"));
    int64_t gone_since_us;

    (void)state;
    atomic_store(&status_of(0)->requests, 5);
    look_after(0);
    assert_int_equal(slot->must_go, PYD_CAUSE_REQUESTS);
    gone_since_us = slot->gone_since_us;
    stage.group.spec.memory_limit_bytes = 32 * MIB;
    look_after(SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_MEMORY);
    begin("/");
    look_after(61 * SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_REQUEST_TIMEOUT);
    assert_false(slot->doomed);
    /* What is less urgent changes nothing, and is not said. */
    forget_log();
    look_after(SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_REQUEST_TIMEOUT);
    check_log("");
    stage.is_frozen = 1;
    look_after(300 * SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_DEADLOCK);
    assert_true(slot->doomed);
    assert_int_equal(slot->gone_since_us, gone_since_us);
}

/* The manager itself stood still. */

static void stall(int64_t us)
{
    pyd_limit_add_stall(&stage.group.stalls, stage.now_us, stage.now_us + us);
}

static void test_stall_is_no_deadlock(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("deadlock-timeout=60"));

    (void)state;
    look_after(SECOND);
    stage.is_frozen = 1;
    atomic_store(&status_of(0)->gil_asked_us, stage.now_us);
    stall(100 * SECOND);
    assert_int_equal(look_after(100 * SECOND), 60 * SECOND);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    look_after(60 * SECOND - 1);
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    look_after(1);
    assert_int_equal(slot->must_go, PYD_CAUSE_DEADLOCK);
    assert_non_null(strstr(stage.log, "not to be had in it for 160.0 s"));
}

static void test_stall_makes_nobody_sick(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=60"));

    (void)state;
    look_after(SECOND);
    slot->must_go = PYD_CAUSE_REQUEST_TIMEOUT;
    stage.is_frozen = 1;
    atomic_store(&status_of(0)->gil_asked_us, stage.now_us);
    stall(100 * SECOND);
    look_after(100 * SECOND);
    assert_false(slot->sick);
    look_after(PYD_LIMIT_SICK_US);
    assert_true(slot->sick);
}

/* Until nothing is left to be done. @return how long there will be nothing */
static int64_t run_group(void)
{
    int64_t next_us = stage.now_us;

    for (int i = 0; next_us == stage.now_us && i < 10; i++)
        next_us = pyd_manager_group_run(&stage.group, stage.now_us);
    return next_us - stage.now_us;
}

/* Neither does it take time from an import, or from requests that are to be finished. */
static void test_stall_ends_nobody(void **state)
{
    static const enum pyd_slot_state STATES[] = {PYD_SLOT_STARTING, PYD_SLOT_RETIRING};
    struct pyd_manager_slot *slot;

    (void)state;
    set_up(LIMITS("startup-timeout=60", "graceful-timeout=60"));
    stage.group.processes = 1;
    for (uint32_t i = 0; i < 2; i++) {
        slot = start_worker(0);
        begin("/");
        atomic_store(&status_of(0)->state, PYD_WORKER_IMPORTING);
        slot->state = STATES[i];
        if (i == 1)
            start_worker(1);
        stall(100 * SECOND);
        stage.now_us += 100 * SECOND;
        assert_int_equal(run_group(), 60 * SECOND);
        assert_int_equal(slot->state, STATES[i]);
        stage.now_us += 60 * SECOND;
        run_group();
        assert_int_equal(slot->state, PYD_SLOT_STOPPING);
    }
}

/* A machine that stalls again and again puts off its limits by just that. */
static void test_many_stalls_put_nothing_off_for_ever(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("deadlock-timeout=60", "request-timeout=59"));
    struct pyd_claim_ref claim = begin("/late");

    (void)state;
    look_after(0);
    stage.is_frozen = 1;
    atomic_store(&status_of(0)->gil_asked_us, stage.now_us);
    for (int i = 0; i < 59; i++) {
        assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
        assert_false(pyd_claim_is_late(site.board, &claim));
        stall(2 * SECOND);
        look_after(3 * SECOND);
    }
    assert_false(pyd_claim_is_late(site.board, &claim));
    assert_int_equal(look_after(1), 300000 - 1);
    look_after(300000 - 1);
    assert_true(pyd_claim_is_late(site.board, &claim));
    assert_int_equal(slot->must_go, PYD_CAUSE_REQUEST_TIMEOUT);
    assert_int_equal(look_after(700000 - 1), 1);
    assert_int_equal(slot->must_go, PYD_CAUSE_REQUEST_TIMEOUT);
    look_after(1);
    assert_int_equal(slot->must_go, PYD_CAUSE_DEADLOCK);
}

static void test_stall_makes_nobody_late(void **state)
{
    struct pyd_manager_slot *slot = set_up(LIMITS("request-timeout=60"));
    struct pyd_claim_ref first = begin("/1"), second;

    (void)state;
    look_after(SECOND);
    second = begin("/2");
    stall(100 * SECOND);
    assert_int_equal(look_after(100 * SECOND), 59 * SECOND + 300000); /* of the first one */
    check_log("");
    assert_int_equal(slot->must_go, PYD_CAUSE_NONE);
    /* What its child says counts. */
    pyd_claim_set_late(site.board, &first);
    look_after(SECOND);
    assert_int_equal(slot->timed_out, 1);
    assert_int_equal(slot->must_go, PYD_CAUSE_REQUEST_TIMEOUT);
    check_log(SHUTDOWN);
    look_after(59 * SECOND + 299999);
    assert_false(pyd_claim_is_late(site.board, &second));
    look_after(1);
    assert_true(pyd_claim_is_late(site.board, &second));
    assert_non_null(strstr(stage.log, "GET /2 ran 160.3 s of 60 s"));
}

/* The rate. */

static uint64_t rate(void)
{
    return atomic_load(&pyd_board_group(site.board, 0)->finished_per_1000_s);
}

static void test_rate(void **state)
{
    uint64_t before;

    (void)state;
    set_up(LIMITS("memory-limit=off"));
    finish_requests(1000000); /* before this manager was there */
    look_after(SECOND);
    look_after(SECOND);
    assert_int_equal(rate(), 0);
    for (int i = 0; i < 5; i++) {
        finish_requests(20);
        look_after(SECOND);
        assert_int_equal(rate(), 20000);
    }
    /* A poke in between is no sample. */
    finish_requests(20);
    look_after(SECOND / 100);
    assert_int_equal(rate(), 20000);
    look_after(SECOND * 99 / 100);
    assert_int_equal(rate(), 20000);
    for (int i = 0; i < 10; i++) {
        finish_requests(40);
        look_after(SECOND);
    }
    assert_in_range(rate(), 30000, 36000); /* most of the way there, after as long as it is taken over */
    for (int i = 0; i < 60; i++) {
        finish_requests(40);
        look_after(SECOND);
    }
    assert_in_range(rate(), 39000, 40000);
    before = rate();
    for (int i = 0; i < 59; i++) {
        look_after(SECOND);
        assert_true(rate() > 0 && rate() < before);
        before = rate();
    }
    look_after(SECOND); /* too long ago */
    assert_int_equal(rate(), 0);
    finish_requests(3);
    look_after(2 * SECOND);
    assert_int_equal(rate(), 1500);
}

static void test_rate_of_a_quiet_group(void **state)
{
    (void)state;
    set_up(LIMITS("memory-limit=off"));
    look_after(SECOND);
    finish_requests(1);
    look_after(SECOND);
    assert_int_equal(rate(), 1000);
    for (int i = 0; i < 59; i++)
        look_after(SECOND);
    assert_true(rate() > 0);
    /* Garbage of a broken child: neither less nor endless. */
    atomic_store(&pyd_board_group(site.board, 0)->finished, 0);
    look_after(SECOND);
    assert_int_equal(rate(), 0);
    atomic_store(&pyd_board_group(site.board, 0)->finished, UINT64_MAX);
    look_after(SECOND);
    assert_int_equal(rate(), UINT32_MAX);
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_well),
        TEST(test_no_limits),
        TEST(test_memory_below_the_limit),
        TEST(test_memory_limit),
        TEST(test_memory_line_without_requests),
        TEST(test_memory_line_with_many_requests),
        TEST(test_shared_memory_does_not_count),
        TEST(test_memory_hard_limit),
        TEST(test_memory_hard_limit_alone),
        TEST(test_memory_hard_limit_while_it_starts),
        TEST(test_memory_is_not_measured_with_each_poke),
        TEST(test_cpu_time_limit),
        TEST(test_maximum_requests),
        TEST(test_maximum_requests_coming_near),
        TEST(test_maximum_requests_of_a_new_worker),
        TEST(test_restart_interval),
        TEST(test_inactivity_timeout),
        TEST(test_inactive_but_needed),
        TEST(test_deadlock_by_the_lock),
        TEST(test_deadlock_by_signs_of_life),
        TEST(test_sick_as_long_as_it_lasts),
        TEST(test_idle_one_is_not_sick),
        TEST(test_killed_is_killed),
        TEST(test_status_of_another_worker),
        TEST(test_the_more_urgent_cause_wins),
        TEST(test_stall_is_no_deadlock),
        TEST(test_stall_makes_nobody_sick),
        TEST(test_stall_ends_nobody),
        TEST(test_many_stalls_put_nothing_off_for_ever),
        TEST(test_stall_makes_nobody_late),
        TEST(test_rate),
        TEST(test_rate_of_a_quiet_group),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
