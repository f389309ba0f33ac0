/* SPDX-License-Identifier: Apache-2.0 */

/* What pyd_plan() does with workers that have reached a limit; test_plan.c has the rest, and made-up situations. */
#include "plan_world.h"

/* A serving group of READY workers. */
static void make_serving(struct world *world, uint32_t processes)
{
    make(world, processes);
    world->group.state = PYD_GROUP_SERVING;
    for (uint32_t i = 0; i < processes; i++)
        set(world, i, PYD_SLOT_READY);
    world->now_us += 100 * SECOND;
}

static void reach(struct world *world, uint32_t slot, enum pyd_cause cause)
{
    world->slots[slot].must_go = cause;
    world->slots[slot].gone_since_us = world->now_us++;
}

/* The action of that kind, which there must be once; the slot it is for. */
static uint32_t slot_of(const struct world *world, enum pyd_action_kind kind)
{
    assert_int_equal(count_kind(world, kind), 1);
    for (size_t i = 0; i < world->count; i++)
        if (world->actions[i].kind == kind)
            return world->actions[i].slot;
    return UINT32_MAX;
}

static void test_successor_first(void **state)
{
    struct world world;

    (void)state;
    make_serving(&world, 2);
    reach(&world, 0, PYD_CAUSE_REQUESTS);
    plan(&world);
    assert_only(&world, PYD_ACTION_START, 2);
    set(&world, 2, PYD_SLOT_STARTING);
    plan(&world);
    assert_int_equal(world.count, 0);
    world.slots[2].says_ready = 1;
    plan(&world);
    assert_int_equal(world.count, 2);
    assert_int_equal(slot_of(&world, PYD_ACTION_READY), 2);
    assert_int_equal(slot_of(&world, PYD_ACTION_RETIRE), 0);
}

static void test_those_in_a_hurry_at_once_others_one_by_one(void **state)
{
    static const enum pyd_cause patient[] = {PYD_CAUSE_MEMORY, PYD_CAUSE_CPU_TIME, PYD_CAUSE_REQUESTS,
                                             PYD_CAUSE_INTERVAL};
    struct world world;

    (void)state;
    make_serving(&world, 3);
    for (uint32_t i = 0; i < 3; i++)
        reach(&world, i, PYD_CAUSE_REQUEST_TIMEOUT);
    plan(&world);
    assert_int_equal(world.count, 3);
    assert_int_equal(count_kind(&world, PYD_ACTION_START), 3);
    for (size_t k = 0; k < sizeof patient / sizeof patient[0]; k++) {
        make_serving(&world, 3);
        for (uint32_t i = 0; i < 3; i++)
            reach(&world, i, patient[k]);
        plan(&world);
        assert_only(&world, PYD_ACTION_START, 3);
        set(&world, 3, PYD_SLOT_READY);
        plan(&world);
        assert_int_equal(world.count, 2);
        assert_int_equal(slot_of(&world, PYD_ACTION_RETIRE), 0);
        assert_int_equal(slot_of(&world, PYD_ACTION_START), 4);
    }
}

static void test_who_goes_first(void **state)
{
    static const uint32_t order[] = {3, 2, 1, 0};
    struct world world;

    (void)state;
    make_serving(&world, 4);
    world.slots[0].adopted = 1;
    reach(&world, 2, PYD_CAUSE_INTERVAL);
    reach(&world, 1, PYD_CAUSE_INTERVAL);
    reach(&world, 3, PYD_CAUSE_REQUEST_TIMEOUT);
    for (uint32_t i = 0; i < 4; i++) {
        set(&world, 4 + i, PYD_SLOT_READY);
        plan(&world);
        assert_int_equal(slot_of(&world, PYD_ACTION_RETIRE), order[i]);
        set(&world, order[i], PYD_SLOT_EMPTY);
    }
    plan(&world);
    assert_int_equal(world.count, 0);
}

static void test_sick_one_serves_no_more(void **state)
{
    struct world world;

    (void)state;
    make_serving(&world, 1);
    reach(&world, 0, PYD_CAUSE_REQUEST_TIMEOUT);
    world.slots[0].sick = 1;
    plan(&world);
    assert_int_equal(world.count, 2);
    assert_int_equal(slot_of(&world, PYD_ACTION_RETIRE), 0);
    assert_int_equal(slot_of(&world, PYD_ACTION_START), 1);
}

static void test_doomed_one_is_killed(void **state)
{
    static const enum pyd_slot_state states[] = {PYD_SLOT_READY, PYD_SLOT_RETIRING, PYD_SLOT_STOPPING};
    struct world world;

    (void)state;
    for (size_t k = 0; k < sizeof states / sizeof states[0]; k++) {
        make_serving(&world, 2);
        world.slots[1].state = states[k];
        world.slots[1].unfinished = 1;
        world.slots[1].since_us = world.now_us;
        reach(&world, 1, PYD_CAUSE_DEADLOCK);
        world.slots[1].doomed = 1;
        plan(&world);
        assert_int_equal(slot_of(&world, PYD_ACTION_KILL), 1);
        assert_int_equal(world.actions[0].cause, PYD_CAUSE_DEADLOCK);
        world.slots[1].killed = 1;
        world.slots[1].state = PYD_SLOT_STOPPING;
        plan(&world); /* whether that was a failed start is known now */
        assert_only(&world, PYD_ACTION_START, 2);
    }
}

static void test_doomed_while_it_starts(void **state)
{
    struct world world;

    (void)state;
    make(&world, 1);
    set(&world, 0, PYD_SLOT_STARTING);
    reach(&world, 0, PYD_CAUSE_MEMORY_HARD);
    world.slots[0].doomed = 1;
    plan(&world);
    assert_int_equal(world.count, 2);
    assert_int_equal(slot_of(&world, PYD_ACTION_KILL), 0);
    assert_int_equal(world.actions[1].state, PYD_GROUP_FAILING);
    world.slots[0].must_go = PYD_CAUSE_NONE; /* nobody says why */
    plan(&world);
    assert_int_equal(world.count, 0);
}

static void test_too_large_as_soon_as_it_is_ready(void **state)
{
    struct world world;

    (void)state;
    make_serving(&world, 1);
    world.slots[0].since_us = world.now_us;
    reach(&world, 0, PYD_CAUSE_MEMORY);
    plan(&world);
    assert_int_equal(world.count, 0);
    assert_int_equal(world.next_us, world.slots[0].since_us + PYD_PLAN_YOUNG_US);
    world.now_us = world.next_us;
    plan(&world);
    assert_only(&world, PYD_ACTION_START, 1);
}

/* What works, if not well, is better than nothing. */
static void test_replacements_fail(void **state)
{
    struct world world;

    (void)state;
    make_serving(&world, 2);
    reach(&world, 0, PYD_CAUSE_REQUEST_TIMEOUT);
    reach(&world, 1, PYD_CAUSE_REQUESTS);
    pyd_backoff_fail(&world.group.backoff, world.now_us - 1, world.now_us);
    plan(&world);
    assert_int_equal(world.count, 0);
    assert_int_equal(world.next_us, world.group.backoff.retry_at_us);
    world.now_us = world.next_us;
    plan(&world);
    assert_only(&world, PYD_ACTION_START, 2);
    world.now_us -= 1;
    world.slots[0].sick = 1;
    plan(&world);
    assert_only(&world, PYD_ACTION_RETIRE, 0);
}

static void test_only_late_requests_are_left(void **state)
{
    struct world world;

    (void)state;
    make_serving(&world, 1);
    set(&world, 1, PYD_SLOT_RETIRING);
    world.spec.graceful_timeout_us = 0; /* off */
    world.slots[1].unfinished = 1;
    world.now_us += 10000 * SECOND;
    plan(&world);
    assert_int_equal(world.count, 0);
    assert_int_equal(world.next_us, INT64_MAX);
    world.slots[1].unfinished = 0;
    plan(&world);
    assert_only(&world, PYD_ACTION_STOP, 1);
}

/* At most 2 x processes leave: for who is in a hurry, the oldest of them makes room; others wait. */
static void test_no_room_for_a_successor(void **state)
{
    struct world world;

    (void)state;
    make_serving(&world, 1);
    for (uint32_t i = 1; i < 3; i++) {
        set(&world, i, PYD_SLOT_RETIRING);
        world.slots[i].unfinished = 1;
        world.slots[i].since_us -= (int64_t)i * SECOND;
    }
    reach(&world, 0, PYD_CAUSE_REQUESTS);
    plan(&world);
    assert_int_equal(world.count, 0);
    reach(&world, 0, PYD_CAUSE_REQUEST_TIMEOUT);
    plan(&world);
    assert_only(&world, PYD_ACTION_STOP, 2);
    set(&world, 2, PYD_SLOT_STOPPING);
    plan(&world);
    assert_only(&world, PYD_ACTION_KILL, 2);
    assert_int_equal(world.actions[0].cause, PYD_CAUSE_SHUTDOWN_TIMEOUT);
}

/* A killed one in uninterruptible sleep, and a dead one that httpd still holds, keep their slots: nobody waits for that
 * for long. */
static void test_room_is_not_made_where_nothing_goes(void **state)
{
    struct world world;

    (void)state;
    make_serving(&world, 1);
    reach(&world, 0, PYD_CAUSE_REQUEST_TIMEOUT);
    set(&world, 1, PYD_SLOT_RETIRING);
    world.slots[1].unfinished = 1;
    set(&world, 2, PYD_SLOT_STOPPING);
    world.slots[2].killed = 1;
    world.now_us += 10 * SECOND;
    plan(&world); /* its dump is being made */
    assert_int_equal(world.count, 0);
    world.slots[2].signalled_us = world.now_us;
    plan(&world);
    assert_int_equal(world.count, 0);
    assert_int_equal(world.next_us, world.now_us + PYD_PLAN_KILLED_US);
    world.now_us = world.next_us;
    plan(&world);
    assert_only(&world, PYD_ACTION_STOP, 1);
    world.slots[1].state = PYD_SLOT_STOPPING;
    world.slots[1].since_us = world.now_us;
    plan(&world);
    assert_only(&world, PYD_ACTION_KILL, 1); /* not the one that has been */
    /* It has died; what is remembered of it is that it was killed. */
    world.slots[1].state = PYD_SLOT_RETIRING;
    world.slots[2].state = PYD_SLOT_DEAD;
    world.slots[2].since_us = world.now_us;
    world.slots[2].signalled_us = world.now_us - 1;
    plan(&world);
    assert_int_equal(world.count, 0);
    world.now_us += PYD_PLAN_CLAIMED_US;
    world.slots[2].signalled_us = world.now_us - 1;
    plan(&world);
    assert_only(&world, PYD_ACTION_STOP, 1);
}

static void test_idle_ones_go(void **state)
{
    struct world world;

    (void)state;
    make_serving(&world, 2);
    reach(&world, 1, PYD_CAUSE_INACTIVE);
    plan(&world);
    assert_int_equal(world.count, 2);
    assert_int_equal(slot_of(&world, PYD_ACTION_RETIRE), 1);
    assert_int_equal(slot_of(&world, PYD_ACTION_SLEEP), 1);
    set(&world, 1, PYD_SLOT_EMPTY);
    world.group.asleep = 1;
    plan(&world);
    assert_int_equal(world.count, 0);
    /* Who is left and is to go for another reason still has a successor, but one only. */
    reach(&world, 0, PYD_CAUSE_INTERVAL);
    plan(&world);
    assert_only(&world, PYD_ACTION_START, 1);
    world.slots[0].must_go = PYD_CAUSE_NONE;
    reach(&world, 0, PYD_CAUSE_INACTIVE);
    plan(&world);
    assert_int_equal(world.count, 2);
    set(&world, 0, PYD_SLOT_EMPTY);
    world.group.asleep = 2;
    plan(&world);
    assert_int_equal(world.count, 0); /* and so it is serving */
}

static void test_idle_ones_that_stay(void **state)
{
    struct world world;

    (void)state;
    make_serving(&world, 1);
    reach(&world, 0, PYD_CAUSE_INACTIVE);
    world.slots[0].unfinished = 1;
    plan(&world);
    assert_int_equal(world.count, 0);
    world.slots[0].unfinished = 0;
    world.group.waiting = 1;
    plan(&world);
    assert_int_equal(world.count, 0);
    world.group.waiting = 0;
    pyd_backoff_fail(&world.group.backoff, world.now_us - 1, world.now_us);
    plan(&world);
    assert_int_equal(world.count, 0);
    world.group.backoff.failures = 0;
    plan(&world);
    assert_int_equal(count_kind(&world, PYD_ACTION_SLEEP), 1);
    /* More than are needed: then one fewer is needed by none. */
    world.group.asleep = 1;
    plan(&world);
    assert_only(&world, PYD_ACTION_RETIRE, 0);
}

static void test_waiting_requests_wake_one_after_the_other(void **state)
{
    struct world world;

    (void)state;
    make(&world, 3);
    world.group.state = PYD_GROUP_SERVING;
    world.group.asleep = 3;
    world.group.waiting = 5;
    plan(&world);
    assert_int_equal(world.count, 2);
    assert_int_equal(count_kind(&world, PYD_ACTION_WAKE), 1);
    assert_int_equal(slot_of(&world, PYD_ACTION_START), 0);
    world.group.asleep = 2;
    set(&world, 0, PYD_SLOT_STARTING);
    plan(&world);
    assert_int_equal(world.count, 0);
    set(&world, 0, PYD_SLOT_READY);
    plan(&world);
    assert_int_equal(world.count, 2);
    assert_int_equal(count_kind(&world, PYD_ACTION_WAKE), 1);
    world.group.waiting = 0;
    plan(&world);
    assert_int_equal(world.count, 0);
}

/* A start that fails wakes no further ones: they would fail as well. */
static void test_waking_fails(void **state)
{
    struct world world;

    (void)state;
    make(&world, 3);
    world.group.state = PYD_GROUP_SERVING;
    world.group.asleep = 2;
    world.group.waiting = 5;
    pyd_backoff_fail(&world.group.backoff, world.now_us - 1, world.now_us);
    plan(&world);
    assert_int_equal(world.count, 1);
    assert_int_equal(world.actions[0].kind, PYD_ACTION_STATE);
    assert_int_equal(world.actions[0].state, PYD_GROUP_FAILING);
    /* Nobody is needed: then it is not failing either, or no request would come that wakes it. */
    world.group.state = PYD_GROUP_FAILING;
    world.group.asleep = 3;
    world.group.waiting = 0;
    plan(&world);
    assert_int_equal(world.count, 1);
    assert_int_equal(world.actions[0].state, PYD_GROUP_SERVING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_successor_first),
        cmocka_unit_test(test_those_in_a_hurry_at_once_others_one_by_one),
        cmocka_unit_test(test_who_goes_first),
        cmocka_unit_test(test_sick_one_serves_no_more),
        cmocka_unit_test(test_doomed_one_is_killed),
        cmocka_unit_test(test_doomed_while_it_starts),
        cmocka_unit_test(test_too_large_as_soon_as_it_is_ready),
        cmocka_unit_test(test_replacements_fail),
        cmocka_unit_test(test_only_late_requests_are_left),
        cmocka_unit_test(test_no_room_for_a_successor),
        cmocka_unit_test(test_room_is_not_made_where_nothing_goes),
        cmocka_unit_test(test_idle_ones_go),
        cmocka_unit_test(test_idle_ones_that_stay),
        cmocka_unit_test(test_waiting_requests_wake_one_after_the_other),
        cmocka_unit_test(test_waking_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
