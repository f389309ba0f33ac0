/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pyd_limit.h"

#define SECOND INT64_C(1000000)
#define MIB INT64_C(1048576)
#define NOW (1000 * SECOND)
#define READY_AT (100 * SECOND)
#define NEVER INT64_MAX

/* A group without any limit. */
static struct pyd_spec no_limits(void)
{
    return (struct pyd_spec){0};
}

/* A worker that is well. */
static struct pyd_limit_facts facts(void)
{
    return (struct pyd_limit_facts){.state = PYD_SLOT_READY,
                                    .started_us = READY_AT - SECOND,
                                    .ready_us = READY_AT,
                                    .active_us = NOW,
                                    .memory_bytes = -1,
                                    .cpu_us = -1,
                                    .alive_us = NOW};
}

/* One that has exceeded whatever there is. */
static struct pyd_limit_facts worst_facts(void)
{
    return (struct pyd_limit_facts){.state = PYD_SLOT_READY,
                                    .started_us = 1,
                                    .ready_us = 2,
                                    .requests = UINT64_MAX,
                                    .late = 3,
                                    .active_us = 2,
                                    .memory_bytes = INT64_MAX,
                                    .cpu_us = INT64_MAX,
                                    .gil_asked_us = 3,
                                    .alive_us = 3};
}

static void check(const struct pyd_spec *spec, const struct pyd_limit_facts *known, enum pyd_cause cause,
                  int64_t next_us)
{
    struct pyd_limit_verdict verdict = pyd_limit_check(spec, known, NOW);

    assert_int_equal(verdict.cause, cause);
    assert_int_equal(verdict.kill, cause == PYD_CAUSE_MEMORY_HARD || cause == PYD_CAUSE_DEADLOCK);
    assert_int_equal(verdict.next_us, next_us);
}

static void test_no_limit(void **state)
{
    struct pyd_spec spec = no_limits();
    struct pyd_limit_facts known = worst_facts();

    (void)state;
    for (unsigned s = PYD_SLOT_EMPTY; s <= PYD_SLOT_DEAD; s++) {
        known.state = (enum pyd_slot_state)s;
        check(&spec, &known, PYD_CAUSE_NONE, NEVER);
    }
}

/* The limits, each with a setter that turns it on. */

static void set_request_timeout(struct pyd_spec *spec)
{
    spec->request_timeout_us = 60 * SECOND;
}

static void set_deadlock(struct pyd_spec *spec)
{
    spec->deadlock_timeout_us = 60 * SECOND;
}

static void set_memory(struct pyd_spec *spec)
{
    spec->memory_limit_bytes = 500 * MIB;
}

static void set_memory_hard(struct pyd_spec *spec)
{
    spec->memory_hard_limit_bytes = 800 * MIB;
}

static void set_cpu(struct pyd_spec *spec)
{
    spec->cpu_time_limit_us = 30 * SECOND;
}

static void set_requests(struct pyd_spec *spec)
{
    spec->maximum_requests = 1000;
}

static void set_interval(struct pyd_spec *spec)
{
    spec->restart_interval_us = 600 * SECOND;
}

static void set_inactivity(struct pyd_spec *spec)
{
    spec->inactivity_timeout_us = 300 * SECOND;
}

/* The most urgent first. */
static const struct {
    enum pyd_cause cause;
    void (*set)(struct pyd_spec *spec);
    unsigned states; /* in which it applies: bits */
} LIMITS[] = {
#define IN_STARTING (1u << PYD_SLOT_STARTING)
#define IN_READY (1u << PYD_SLOT_READY)
#define IN_RETIRING (1u << PYD_SLOT_RETIRING)
#define IN_STOPPING (1u << PYD_SLOT_STOPPING)
    {PYD_CAUSE_MEMORY_HARD, set_memory_hard, IN_STARTING | IN_READY | IN_RETIRING | IN_STOPPING},
    {PYD_CAUSE_DEADLOCK, set_deadlock, IN_READY | IN_RETIRING | IN_STOPPING},
    {PYD_CAUSE_REQUEST_TIMEOUT, set_request_timeout, IN_READY | IN_RETIRING},
    {PYD_CAUSE_MEMORY, set_memory, IN_READY},
    {PYD_CAUSE_CPU_TIME, set_cpu, IN_READY},
    {PYD_CAUSE_REQUESTS, set_requests, IN_READY},
    {PYD_CAUSE_INTERVAL, set_interval, IN_READY},
    {PYD_CAUSE_INACTIVE, set_inactivity, IN_READY},
};
#define LIMIT_COUNT (sizeof LIMITS / sizeof LIMITS[0])

static void test_each_is_independent_of_the_others(void **state)
{
    struct pyd_limit_facts known = worst_facts();

    (void)state;
    for (size_t i = 0; i < LIMIT_COUNT; i++) {
        struct pyd_spec spec = no_limits();

        LIMITS[i].set(&spec);
        for (unsigned s = PYD_SLOT_EMPTY; s <= PYD_SLOT_DEAD; s++) {
            known.state = (enum pyd_slot_state)s;
            check(&spec, &known, LIMITS[i].states & 1u << s ? LIMITS[i].cause : PYD_CAUSE_NONE, NEVER);
        }
    }
}

static void test_the_most_urgent_wins(void **state)
{
    struct pyd_limit_facts known = worst_facts();

    (void)state;
    for (size_t first = 0; first < LIMIT_COUNT; first++) {
        struct pyd_spec spec = no_limits();

        for (size_t i = first; i < LIMIT_COUNT; i++)
            LIMITS[i].set(&spec);
        check(&spec, &known, LIMITS[first].cause, NEVER);
        for (size_t i = 0; i < LIMIT_COUNT; i++)
            assert_int_equal(pyd_limit_is_more_urgent(LIMITS[first].cause, LIMITS[i].cause), first < i);
        assert_true(pyd_limit_is_more_urgent(LIMITS[first].cause, PYD_CAUSE_NONE));
        assert_false(pyd_limit_is_more_urgent(PYD_CAUSE_NONE, LIMITS[first].cause));
    }
    assert_false(pyd_limit_is_more_urgent(PYD_CAUSE_NONE, PYD_CAUSE_NONE));
}

static void test_request_timeout(void **state)
{
    struct pyd_spec spec = no_limits();
    struct pyd_limit_facts known = facts();

    (void)state;
    set_request_timeout(&spec);
    check(&spec, &known, PYD_CAUSE_NONE, NEVER);
    known.busy = 15;
    check(&spec, &known, PYD_CAUSE_NONE, NEVER);
    known.late = 1;
    check(&spec, &known, PYD_CAUSE_REQUEST_TIMEOUT, NEVER);
}

static void test_deadlock_by_the_lock(void **state)
{
    struct pyd_spec spec = no_limits();
    struct pyd_limit_facts known = facts();

    (void)state;
    set_deadlock(&spec);
    check(&spec, &known, PYD_CAUSE_NONE, NOW + 60 * SECOND); /* if no sign of life came from now on */
    known.gil_asked_us = NOW - 60 * SECOND + 1;
    check(&spec, &known, PYD_CAUSE_NONE, NOW + 1);
    known.gil_asked_us = NOW - 60 * SECOND;
    check(&spec, &known, PYD_CAUSE_DEADLOCK, NOW + 60 * SECOND);
    /* What is no time, or none that has been. */
    known.gil_asked_us = -1;
    check(&spec, &known, PYD_CAUSE_NONE, NOW + 60 * SECOND);
    known.gil_asked_us = INT64_MIN;
    check(&spec, &known, PYD_CAUSE_NONE, NOW + 60 * SECOND);
    known.gil_asked_us = INT64_MAX;
    check(&spec, &known, PYD_CAUSE_NONE, NOW + 60 * SECOND);
}

static void test_deadlock_by_signs_of_life(void **state)
{
    struct pyd_spec spec = no_limits();
    struct pyd_limit_facts known = facts();

    (void)state;
    set_deadlock(&spec);
    known.alive_us = NOW - 60 * SECOND + 1;
    check(&spec, &known, PYD_CAUSE_NONE, NOW + 1);
    known.alive_us = NOW - 60 * SECOND;
    check(&spec, &known, PYD_CAUSE_DEADLOCK, NEVER);
    /* None yet: it has had since it became ready. */
    known.alive_us = 0;
    known.ready_us = NOW - 60 * SECOND + 1;
    check(&spec, &known, PYD_CAUSE_NONE, NOW + 1);
    known.ready_us = NOW - 60 * SECOND;
    check(&spec, &known, PYD_CAUSE_DEADLOCK, NEVER);
    known.alive_us = INT64_MAX;
    check(&spec, &known, PYD_CAUSE_NONE, NEVER);
    /* Between a look at the clock and one at the worker time passes. */
    known.alive_us = NOW + 5;
    check(&spec, &known, PYD_CAUSE_NONE, NOW + 60 * SECOND + 5);
}

static unsigned is_sick(const struct pyd_limit_facts *known)
{
    struct pyd_spec spec = no_limits();

    return pyd_limit_check(&spec, known, NOW).sick;
}

static void test_sick(void **state)
{
    struct pyd_limit_facts known = facts();

    (void)state;
    assert_false(is_sick(&known));
    known.gil_asked_us = NOW - PYD_LIMIT_SICK_US + 1;
    assert_false(is_sick(&known));
    known.gil_asked_us--;
    assert_true(is_sick(&known));
    known.state = PYD_SLOT_STARTING; /* imports keep it, and nobody waits for it */
    assert_false(is_sick(&known));
    known.state = PYD_SLOT_READY;
    known.gil_asked_us = INT64_MIN;
    assert_false(is_sick(&known));
    known.gil_asked_us = INT64_MAX;
    assert_false(is_sick(&known));
    known.gil_asked_us = 0;
    known.alive_us = NOW - PYD_LIMIT_SILENT_US + 1;
    assert_false(is_sick(&known));
    known.alive_us--;
    assert_true(is_sick(&known));
    known.alive_us = 0; /* none yet */
    assert_false(is_sick(&known));
    known.alive_us = INT64_MAX;
    assert_false(is_sick(&known));
}

static void test_memory(void **state)
{
    struct pyd_spec spec = no_limits();
    struct pyd_limit_facts known = facts();

    (void)state;
    set_memory(&spec);
    check(&spec, &known, PYD_CAUSE_NONE, NEVER);
    known.memory_bytes = 500 * MIB;
    check(&spec, &known, PYD_CAUSE_NONE, NEVER);
    known.memory_bytes++;
    check(&spec, &known, PYD_CAUSE_MEMORY, NEVER);
    set_memory_hard(&spec);
    check(&spec, &known, PYD_CAUSE_MEMORY, NEVER);
    known.memory_bytes = 800 * MIB;
    check(&spec, &known, PYD_CAUSE_MEMORY, NEVER);
    known.memory_bytes++;
    check(&spec, &known, PYD_CAUSE_MEMORY_HARD, NEVER);
    spec.memory_limit_bytes = 0;
    check(&spec, &known, PYD_CAUSE_MEMORY_HARD, NEVER);
    known.memory_bytes--;
    check(&spec, &known, PYD_CAUSE_NONE, NEVER);
}

static void test_cpu_time(void **state)
{
    struct pyd_spec spec = no_limits();
    struct pyd_limit_facts known = facts();

    (void)state;
    set_cpu(&spec);
    check(&spec, &known, PYD_CAUSE_NONE, NEVER);
    known.cpu_us = 30 * SECOND - 1;
    check(&spec, &known, PYD_CAUSE_NONE, NEVER);
    known.cpu_us++;
    check(&spec, &known, PYD_CAUSE_CPU_TIME, NEVER);
}

static void test_maximum_requests(void **state)
{
    struct pyd_spec spec = no_limits();
    struct pyd_limit_facts known = facts();
    unsigned sooner = 0, later = 0;

    (void)state;
    set_requests(&spec);
    known.requests = 999;
    check(&spec, &known, PYD_CAUSE_NONE, NEVER);
    known.requests++;
    check(&spec, &known, PYD_CAUSE_REQUESTS, NEVER);
    spec.maximum_requests_jitter = 10;
    for (known.luck = 0; known.luck < 100; known.luck++) {
        known.requests = 899;
        check(&spec, &known, PYD_CAUSE_NONE, NEVER);
        known.requests = 1100;
        check(&spec, &known, PYD_CAUSE_REQUESTS, NEVER);
        known.requests = 950;
        sooner += pyd_limit_check(&spec, &known, NOW).cause == PYD_CAUSE_REQUESTS;
        known.requests = 1050;
        later += pyd_limit_check(&spec, &known, NOW).cause == PYD_CAUSE_NONE;
    }
    assert_in_range(sooner, 10, 40); /* a quarter of them */
    assert_in_range(later, 10, 40);
}

static void test_restart_interval(void **state)
{
    struct pyd_spec spec = no_limits();
    struct pyd_limit_facts known = facts();
    int64_t next_us, other_us;

    (void)state;
    set_interval(&spec);
    known.ready_us = NOW - 600 * SECOND + 1;
    check(&spec, &known, PYD_CAUSE_NONE, NOW + 1);
    known.ready_us--;
    check(&spec, &known, PYD_CAUSE_INTERVAL, NEVER);
    /* The time it took to start is not its time of service. */
    known.started_us = 1;
    known.ready_us = NOW;
    check(&spec, &known, PYD_CAUSE_NONE, NOW + 600 * SECOND);
    spec.restart_interval_jitter = 10;
    next_us = pyd_limit_check(&spec, &known, NOW).next_us;
    assert_true(next_us >= NOW + 540 * SECOND && next_us <= NOW + 660 * SECOND);
    assert_int_equal(next_us, NOW + pyd_limit_spread(600 * SECOND, 10, known.luck));
    known.luck = 1;
    other_us = pyd_limit_check(&spec, &known, NOW).next_us;
    assert_true(other_us != next_us);
}

static void test_inactivity(void **state)
{
    struct pyd_spec spec = no_limits();
    struct pyd_limit_facts known = facts();

    (void)state;
    set_inactivity(&spec);
    known.active_us = NOW - 300 * SECOND + 1;
    check(&spec, &known, PYD_CAUSE_NONE, NOW + 1);
    known.active_us--;
    check(&spec, &known, PYD_CAUSE_INACTIVE, NEVER);
    known.busy = 1;
    check(&spec, &known, PYD_CAUSE_NONE, NEVER);
}

static void test_next_is_the_earliest(void **state)
{
    struct pyd_spec spec = no_limits();
    struct pyd_limit_facts known = facts();

    (void)state;
    set_deadlock(&spec);
    set_interval(&spec);
    set_inactivity(&spec);
    known.ready_us = NOW - 100 * SECOND;
    known.alive_us = NOW - SECOND;
    check(&spec, &known, PYD_CAUSE_NONE, NOW + 59 * SECOND);
    known.gil_asked_us = NOW - 2 * SECOND;
    check(&spec, &known, PYD_CAUSE_NONE, NOW + 58 * SECOND);
    known.active_us = NOW - 243 * SECOND;
    check(&spec, &known, PYD_CAUSE_NONE, NOW + 57 * SECOND);
    known.ready_us = NOW - 544 * SECOND;
    check(&spec, &known, PYD_CAUSE_NONE, NOW + 56 * SECOND);
    /* What is over does not come again. */
    known.ready_us = NOW - 600 * SECOND;
    check(&spec, &known, PYD_CAUSE_INTERVAL, NOW + 57 * SECOND);
    /* A worker that goes anyway: only what would kill it. */
    known.state = PYD_SLOT_RETIRING;
    check(&spec, &known, PYD_CAUSE_NONE, NOW + 58 * SECOND);
}

static void test_requests_to_come(void **state)
{
    struct pyd_spec spec = {.maximum_requests = 1000};
    struct pyd_limit_facts known = facts();

    (void)state;
    known.requests = 900;
    check(&spec, &known, PYD_CAUSE_NONE, NEVER);
    known.per_1000_s = 100000; /* in a second */
    check(&spec, &known, PYD_CAUSE_NONE, NEVER);
    known.per_1000_s = 200000;
    check(&spec, &known, PYD_CAUSE_NONE, NOW + SECOND / 2);
    known.per_1000_s = UINT64_MAX;
    check(&spec, &known, PYD_CAUSE_NONE, NOW);
    known.state = PYD_SLOT_RETIRING;
    check(&spec, &known, PYD_CAUSE_NONE, NEVER);
    spec.maximum_requests = INT32_MAX;
    known.state = PYD_SLOT_READY;
    known.requests = 0;
    check(&spec, &known, PYD_CAUSE_NONE, NOW);
}

static void test_stalls(void **state)
{
    struct pyd_limit_stalls stalls = {0};

    (void)state;
    assert_int_equal(pyd_limit_stalled_us(&stalls, 0), 0);
    pyd_limit_add_stall(&stalls, 100, 200);
    pyd_limit_add_stall(&stalls, 300, 350);
    assert_int_equal(pyd_limit_stalled_us(&stalls, 0), 150);
    assert_int_equal(pyd_limit_stalled_us(&stalls, 150), 100);
    assert_int_equal(pyd_limit_stalled_us(&stalls, 200), 50);
    assert_int_equal(pyd_limit_stalled_us(&stalls, 340), 10);
    assert_int_equal(pyd_limit_stalled_us(&stalls, 350), 0);
    /* Only the last ones count, so that no limit is put off for ever. */
    for (int64_t at_us = 1000; at_us < 100000; at_us += 100)
        pyd_limit_add_stall(&stalls, at_us, at_us + 60);
    assert_int_equal(pyd_limit_stalled_us(&stalls, 0), 60 * (int64_t)PYD_LIMIT_STALLS);
    assert_int_equal(pyd_limit_stalled_us(&stalls, 99900), 60);
}

static void test_spread(void **state)
{
    int64_t low = INT64_MAX, high = 0, value;

    (void)state;
    for (uint32_t luck = 0; luck < 10000; luck++) {
        value = pyd_limit_spread(1000, 10, luck);
        assert_in_range(value, 900, 1100);
        low = value < low ? value : low;
        high = value > high ? value : high;
        assert_int_equal(value, pyd_limit_spread(1000, 10, luck));
        assert_int_equal(pyd_limit_spread(1000, 0, luck), 1000);
        assert_in_range(pyd_limit_spread(1, 50, luck), 1, 1);
        assert_in_range(pyd_limit_spread(3, 50, luck), 2, 4);
        assert_in_range(pyd_limit_spread(150, 1, luck), 149, 151);
        assert_true(pyd_limit_spread(INT64_MAX, 50, luck) >= INT64_MAX / 2);
        assert_in_range(pyd_limit_spread(100, 1000, luck), 1, 200);
    }
    assert_int_equal(low, 900);
    assert_int_equal(high, 1100);
    assert_int_equal(pyd_limit_spread(1000, -10, 1), 1000);
    assert_int_equal(pyd_limit_spread(0, 10, 1), 1);
    assert_int_equal(pyd_limit_spread(-5, 10, 1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_each_is_independent_of_the_others),
        cmocka_unit_test(test_the_most_urgent_wins),
        cmocka_unit_test(test_request_timeout),
        cmocka_unit_test(test_deadlock_by_the_lock),
        cmocka_unit_test(test_deadlock_by_signs_of_life),
        cmocka_unit_test(test_sick),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_cpu_time),
        cmocka_unit_test(test_maximum_requests),
        cmocka_unit_test(test_restart_interval),
        cmocka_unit_test(test_inactivity),
        cmocka_unit_test(test_next_is_the_earliest),
        cmocka_unit_test(test_requests_to_come),
        cmocka_unit_test(test_stalls),
        cmocka_unit_test(test_spread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
