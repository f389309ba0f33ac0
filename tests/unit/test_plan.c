/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "plan_world.h"

static void test_first_start(void **state)
{
    struct world world;

    (void)state;
    make(&world, 3);
    plan(&world);
    assert_int_equal(world.count, 3);
    assert_int_equal(count_kind(&world, PYD_ACTION_START), 3);
}

static void test_becomes_ready(void **state)
{
    struct world world;

    (void)state;
    make(&world, 1);
    set(&world, 0, PYD_SLOT_STARTING);
    plan(&world);
    assert_int_equal(world.count, 0);
    assert_int_equal(world.next_us, world.now_us + 60 * SECOND);
    world.slots[0].says_ready = 1;
    plan(&world);
    assert_int_equal(world.count, 2);
    assert_int_equal(world.actions[0].kind, PYD_ACTION_READY);
    assert_int_equal(world.actions[1].kind, PYD_ACTION_STATE);
    assert_int_equal(world.actions[1].state, PYD_GROUP_SERVING);
}

static void test_startup_timeout(void **state)
{
    struct world world;

    (void)state;
    make(&world, 1);
    set(&world, 0, PYD_SLOT_STARTING);
    world.now_us += 60 * SECOND - 1;
    plan(&world);
    assert_int_equal(world.count, 0);
    world.now_us += 1;
    plan(&world);
    assert_int_equal(count_kind(&world, PYD_ACTION_KILL), 1);
    assert_int_equal(world.actions[0].cause, PYD_CAUSE_STARTUP_TIMEOUT);
    /* It has failed: no other one is started without a wait. */
    assert_int_equal(count_kind(&world, PYD_ACTION_START), 0);
    world.spec.startup_timeout_us = 0;
    plan(&world);
    assert_int_equal(world.count, 0);
}

static void test_dead_slot_is_used_again_when_unclaimed(void **state)
{
    struct world world;

    (void)state;
    make(&world, 1);
    set(&world, 0, PYD_SLOT_DEAD);
    world.slots[0].unclaimed = 0;
    plan(&world);
    assert_only(&world, PYD_ACTION_START, 1);
    set(&world, 1, PYD_SLOT_READY);
    world.group.state = PYD_GROUP_SERVING;
    world.slots[0].unclaimed = 1;
    plan(&world);
    assert_only(&world, PYD_ACTION_FREE, 0);
}

static void test_backoff(void **state)
{
    struct world world;

    (void)state;
    make(&world, 3);
    pyd_backoff_fail(&world.group.backoff, world.now_us - 1, world.now_us);
    plan(&world);
    assert_int_equal(world.count, 1);
    assert_int_equal(world.actions[0].kind, PYD_ACTION_STATE);
    assert_int_equal(world.actions[0].state, PYD_GROUP_FAILING);
    assert_int_equal(world.next_us, world.now_us + 1 * SECOND);
    world.group.state = PYD_GROUP_FAILING;
    world.now_us += 1 * SECOND;
    plan(&world);
    assert_only(&world, PYD_ACTION_START, 0); /* one at a time */
    set(&world, 0, PYD_SLOT_STARTING);
    plan(&world);
    assert_int_equal(world.count, 0);
    set(&world, 0, PYD_SLOT_READY);
    plan(&world);
    assert_int_equal(count_kind(&world, PYD_ACTION_START), 1);
    assert_int_equal(count_kind(&world, PYD_ACTION_STATE), 1);
}

static void test_not_failing_while_a_companion_may_succeed(void **state)
{
    struct world world;

    (void)state;
    make(&world, 2);
    set(&world, 0, PYD_SLOT_STARTING);
    pyd_backoff_fail(&world.group.backoff, world.now_us, world.now_us);
    plan(&world);
    assert_int_equal(world.count, 0);
    set(&world, 0, PYD_SLOT_DEAD);
    world.slots[0].unclaimed = 0;
    plan(&world);
    assert_int_equal(count_kind(&world, PYD_ACTION_STATE), 1);
    /* And a failing group is not better because one more attempt is being made. */
    world.group.state = PYD_GROUP_FAILING;
    set(&world, 0, PYD_SLOT_STARTING);
    plan(&world);
    assert_int_equal(world.count, 0);
}

static void test_serves_while_further_ones_fail(void **state)
{
    struct world world;

    (void)state;
    make(&world, 2);
    world.group.state = PYD_GROUP_SERVING;
    set(&world, 0, PYD_SLOT_READY);
    pyd_backoff_fail(&world.group.backoff, world.now_us - 1, world.now_us);
    plan(&world);
    assert_int_equal(world.count, 0);
}

static void test_adopted_are_replaced_one_by_one(void **state)
{
    struct world world;

    (void)state;
    make(&world, 2);
    world.group.state = PYD_GROUP_SERVING;
    set(&world, 0, PYD_SLOT_READY);
    set(&world, 1, PYD_SLOT_READY);
    world.slots[0].adopted = world.slots[1].adopted = 1;
    plan(&world);
    assert_only(&world, PYD_ACTION_START, 2);
    set(&world, 2, PYD_SLOT_STARTING);
    plan(&world);
    assert_int_equal(world.count, 0);
    world.slots[2].says_ready = 1;
    plan(&world);
    assert_int_equal(world.count, 3); /* the next successor is begun at once */
    assert_int_equal(world.actions[0].kind, PYD_ACTION_READY);
    assert_int_equal(world.actions[1].kind, PYD_ACTION_RETIRE);
    assert_int_equal(world.actions[1].slot, 0);
    assert_int_equal(world.actions[2].kind, PYD_ACTION_START);
}

static void test_adopted_while_starting(void **state)
{
    struct world world;

    (void)state;
    make(&world, 1);
    set(&world, 0, PYD_SLOT_STARTING);
    world.slots[0].adopted = 1;
    plan(&world);
    assert_int_equal(world.count, 2);
    assert_int_equal(world.actions[0].kind, PYD_ACTION_STOP);
    assert_int_equal(world.actions[1].kind, PYD_ACTION_START);
    assert_int_equal(world.actions[1].slot, 1);
}

static void test_retiring(void **state)
{
    struct world world;

    (void)state;
    make(&world, 1);
    world.group.state = PYD_GROUP_SERVING;
    set(&world, 0, PYD_SLOT_READY);
    set(&world, 1, PYD_SLOT_RETIRING);
    world.slots[1].unfinished = 1;
    plan(&world);
    assert_int_equal(world.count, 0);
    assert_int_equal(world.next_us, world.now_us + 30 * SECOND);
    world.slots[1].unfinished = 0;
    plan(&world);
    assert_only(&world, PYD_ACTION_STOP, 1);
    world.slots[1].unfinished = 1;
    world.now_us += 30 * SECOND;
    plan(&world);
    assert_only(&world, PYD_ACTION_STOP, 1);
}

static void test_shutdown_timeout(void **state)
{
    struct world world;

    (void)state;
    make(&world, 1);
    world.group.state = PYD_GROUP_SERVING;
    set(&world, 0, PYD_SLOT_READY);
    set(&world, 1, PYD_SLOT_STOPPING);
    plan(&world);
    assert_int_equal(world.count, 0);
    world.now_us += 5 * SECOND;
    plan(&world);
    assert_only(&world, PYD_ACTION_KILL, 1);
    assert_int_equal(world.actions[0].cause, PYD_CAUSE_SHUTDOWN_TIMEOUT);
    world.slots[1].killed = 1;
    plan(&world);
    assert_int_equal(world.count, 0);
}

static void test_worker_that_stops_by_itself(void **state)
{
    struct world world;

    (void)state;
    make(&world, 1);
    world.group.state = PYD_GROUP_SERVING;
    set(&world, 0, PYD_SLOT_READY);
    world.slots[0].says_stopping = 1;
    plan(&world);
    /* Whether that is a failed start is known after it. */
    assert_int_equal(world.count, 1);
    assert_int_equal(world.actions[0].kind, PYD_ACTION_LEAVE);
    set(&world, 0, PYD_SLOT_STOPPING);
    plan(&world);
    assert_int_equal(world.count, 1);
    assert_int_equal(world.actions[0].kind, PYD_ACTION_START);
}

static void test_worker_that_stops_while_it_starts(void **state)
{
    struct world world;

    (void)state;
    make(&world, 1);
    set(&world, 0, PYD_SLOT_STARTING);
    world.slots[0].says_stopping = 1;
    plan(&world);
    assert_int_equal(world.count, 2);
    assert_int_equal(world.actions[0].kind, PYD_ACTION_LEAVE);
    assert_int_equal(world.actions[1].kind, PYD_ACTION_STATE);
    assert_int_equal(world.actions[1].state, PYD_GROUP_FAILING);
    world.slots[0].adopted = 1;
    plan(&world);
    assert_int_equal(world.count, 1);
    assert_int_equal(world.actions[0].kind, PYD_ACTION_LEAVE);
}

static void test_no_room(void **state)
{
    struct world world;

    (void)state;
    make(&world, 1);
    world.group.state = PYD_GROUP_SERVING;
    for (uint32_t i = 0; i < 3; i++) {
        set(&world, i, PYD_SLOT_RETIRING);
        world.slots[i].unfinished = 1;
        world.slots[i].since_us = world.now_us - (int64_t)i * SECOND;
    }
    plan(&world);
    assert_only(&world, PYD_ACTION_STOP, 2);
    set(&world, 2, PYD_SLOT_STOPPING);
    plan(&world);
    assert_only(&world, PYD_ACTION_KILL, 2);
    world.slots[2].killed = 1;
    plan(&world);
    assert_int_equal(world.count, 0);
}

/* Clients that read slowly may hold dead workers' slots for long. */
static void test_no_room_by_the_dead(void **state)
{
    struct world world;

    (void)state;
    make(&world, 1);
    world.group.state = PYD_GROUP_SERVING;
    for (uint32_t i = 0; i < 2; i++) {
        set(&world, i, PYD_SLOT_DEAD);
        world.slots[i].unclaimed = 0;
    }
    set(&world, 2, PYD_SLOT_RETIRING);
    world.slots[2].unfinished = 1;
    plan(&world);
    assert_int_equal(world.count, 0);
    assert_int_equal(world.next_us, world.now_us + PYD_PLAN_CLAIMED_US);
    world.now_us += PYD_PLAN_CLAIMED_US;
    plan(&world);
    assert_only(&world, PYD_ACTION_STOP, 2);
}

static void test_ending(void **state)
{
    struct world world;

    (void)state;
    make(&world, 2);
    world.group.ending = 1;
    set(&world, 0, PYD_SLOT_READY);
    set(&world, 1, PYD_SLOT_STARTING);
    set(&world, 2, PYD_SLOT_RETIRING);
    world.slots[2].unfinished = 1;
    set(&world, 3, PYD_SLOT_STOPPING);
    plan(&world);
    assert_int_equal(world.count, 3);
    assert_int_equal(count_kind(&world, PYD_ACTION_STOP), 3);
    world.spec.shutdown_timeout_us = 0;
    world.now_us += PYD_PLAN_SHUTDOWN_US;
    plan(&world);
    assert_int_equal(count_kind(&world, PYD_ACTION_KILL), 1);
}

static void test_broken_group_is_left_alone(void **state)
{
    struct world world;

    (void)state;
    make(&world, 2);
    world.group.state = PYD_GROUP_BROKEN;
    plan(&world);
    assert_int_equal(world.count, 0);
}

/* Generated situations: a world in which anything may happen, and what must be true of every plan for it. */

static uint32_t roll(struct world *world, uint32_t sides)
{
    world->random = world->random * 1664525u + 1013904223u;
    return (world->random >> 8) % sides;
}

/* Is it to be replaced? */
static int is_to_go(const struct world *world, const struct pyd_plan_slot *slot)
{
    int is_young = slot->state == PYD_SLOT_STARTING || world->now_us - slot->since_us < PYD_PLAN_YOUNG_US;

    if (slot->adopted)
        return 1;
    if (slot->must_go == PYD_CAUSE_MEMORY || slot->must_go == PYD_CAUSE_CPU_TIME)
        return !is_young;
    return slot->must_go != PYD_CAUSE_NONE && slot->must_go != PYD_CAUSE_INACTIVE;
}

static uint32_t count_slots(const struct world *world, enum pyd_slot_state state, int with_those_to_go)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < world->group.slot_count; i++)
        count += world->slots[i].state == state && (with_those_to_go || !is_to_go(world, &world->slots[i]));
    return count;
}

static uint32_t wanted(const struct world *world)
{
    return world->group.processes - world->group.asleep;
}

static void die(struct world *world, uint32_t i)
{
    struct pyd_plan_slot *slot = &world->slots[i];

    if (slot->state == PYD_SLOT_STARTING && !slot->adopted)
        pyd_backoff_fail(&world->group.backoff, slot->since_us, world->now_us);
    set(world, i, PYD_SLOT_DEAD);
    world->slots[i].unclaimed = roll(world, 3) > 0;
}

/* It reaches a limit; some of them more than that. */
static void reach_limit(struct world *world, struct pyd_plan_slot *slot)
{
    slot->must_go = PYD_CAUSE_REQUEST_TIMEOUT + roll(world, PYD_CAUSE_INACTIVE - PYD_CAUSE_REQUEST_TIMEOUT + 1);
    slot->gone_since_us = world->now_us;
    slot->sick = roll(world, 6) == 0;
    slot->doomed = roll(world, 6) == 0;
}

/* Something happens to one worker, or to the queue. */
static void happen(struct world *world, uint32_t i)
{
    struct pyd_plan_slot *slot = &world->slots[i];
    int lives = slot->state != PYD_SLOT_EMPTY && slot->state != PYD_SLOT_DEAD;

    switch (roll(world, 12)) {
    case 0:
    case 1:
        slot->says_ready |= slot->state == PYD_SLOT_STARTING;
        break;
    case 2:
        if (lives)
            die(world, i);
        break;
    case 3:
        slot->says_stopping |= lives && roll(world, 4) == 0;
        break;
    case 4:
        slot->unfinished = lives ? roll(world, 3) : 0;
        break;
    case 5:
        if (slot->state == PYD_SLOT_DEAD)
            slot->unclaimed = 1;
        break;
    case 6:
        if (slot->killed || slot->state == PYD_SLOT_STOPPING)
            die(world, i);
        break;
    case 7:
    case 8:
        if (lives && !slot->killed && slot->must_go == PYD_CAUSE_NONE)
            reach_limit(world, slot);
        break;
    case 9:
        world->group.waiting = roll(world, 3);
        break;
    default:
        if (slot->state == PYD_SLOT_READY)
            pyd_backoff_succeed(&world->group.backoff, slot->since_us);
        break;
    }
}

static void check_kill(const struct world *world, const struct pyd_action *action)
{
    const struct pyd_plan_slot *slot = &world->slots[action->slot];

    assert_false(slot->killed);
    if (slot->doomed)
        assert_int_equal(action->cause, slot->must_go);
    else if (action->cause == PYD_CAUSE_STARTUP_TIMEOUT)
        assert_true(slot->state == PYD_SLOT_STARTING &&
                    world->now_us - slot->since_us >= world->spec.startup_timeout_us);
    else {
        assert_int_equal(action->cause, PYD_CAUSE_SHUTDOWN_TIMEOUT);
        assert_int_equal(slot->state, PYD_SLOT_STOPPING);
        assert_true(world->now_us - slot->since_us >= world->spec.shutdown_timeout_us ||
                    count_slots(world, PYD_SLOT_EMPTY, 1) == 0);
    }
}

static void check_stop(const struct world *world, const struct pyd_plan_slot *slot)
{
    if (world->group.ending)
        return;
    if (slot->state == PYD_SLOT_RETIRING)
        assert_true(slot->unfinished == 0 || world->now_us - slot->since_us >= 30 * SECOND ||
                    count_slots(world, PYD_SLOT_EMPTY, 1) == 0);
    else
        assert_true(slot->state == PYD_SLOT_STARTING && slot->adopted);
}

/* Capacity never dips: but for workers that can't serve, and those nobody needs, the successor is there first. */
static void check_retire(const struct world *world, const struct pyd_plan_slot *slot)
{
    assert_int_equal(slot->state, PYD_SLOT_READY);
    assert_false(slot->doomed);
    if (slot->sick)
        return;
    if (slot->must_go == PYD_CAUSE_INACTIVE && slot->unfinished == 0 && world->group.waiting == 0 &&
        world->group.backoff.failures == 0)
        return;
    assert_true(is_to_go(world, slot));
    assert_true(count_slots(world, PYD_SLOT_READY, 1) > wanted(world));
}

static void apply(struct world *world, const struct pyd_action *action)
{
    struct pyd_plan_slot *slot = &world->slots[action->slot];
    int was_starting = slot->state == PYD_SLOT_STARTING;

    switch (action->kind) {
    case PYD_ACTION_FREE:
        assert_true(slot->state == PYD_SLOT_DEAD && slot->unclaimed);
        set(world, action->slot, PYD_SLOT_EMPTY);
        break;
    case PYD_ACTION_START:
        assert_true(slot->state == PYD_SLOT_EMPTY && slot->unclaimed);
        assert_false(world->group.ending);
        assert_true(pyd_backoff_may_start(&world->group.backoff, world->now_us));
        set(world, action->slot, PYD_SLOT_STARTING);
        break;
    case PYD_ACTION_READY:
        assert_true(slot->state == PYD_SLOT_STARTING && slot->says_ready);
        slot->state = PYD_SLOT_READY;
        slot->since_us = world->now_us;
        break;
    case PYD_ACTION_RETIRE:
        check_retire(world, slot);
        slot->state = PYD_SLOT_RETIRING;
        slot->since_us = world->now_us;
        break;
    case PYD_ACTION_STOP:
        check_stop(world, slot);
        slot->state = PYD_SLOT_STOPPING;
        slot->since_us = world->now_us;
        break;
    case PYD_ACTION_LEAVE:
        assert_true(slot->says_stopping);
        slot->state = PYD_SLOT_STOPPING;
        slot->since_us = world->now_us;
        break;
    case PYD_ACTION_KILL:
        check_kill(world, action);
        slot->killed = 1;
        slot->state = PYD_SLOT_STOPPING;
        if (was_starting && !slot->adopted)
            pyd_backoff_fail(&world->group.backoff, slot->since_us, world->now_us);
        break;
    case PYD_ACTION_SLEEP:
        assert_true(slot->state == PYD_SLOT_RETIRING && slot->must_go == PYD_CAUSE_INACTIVE);
        assert_true(world->group.asleep++ < world->group.processes);
        break;
    case PYD_ACTION_WAKE:
        assert_true(world->group.waiting > 0);
        assert_true(world->group.asleep-- > 0);
        break;
    case PYD_ACTION_STATE:
        assert_int_not_equal(action->state, world->group.state);
        world->group.state = action->state;
        break;
    }
}

static uint32_t count_urgent(const struct world *world)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < world->group.slot_count; i++) {
        enum pyd_cause cause = world->slots[i].must_go;

        count += world->slots[i].state == PYD_SLOT_READY &&
                 (cause == PYD_CAUSE_REQUEST_TIMEOUT || cause == PYD_CAUSE_DEADLOCK || cause == PYD_CAUSE_MEMORY_HARD);
    }
    return count;
}

static void check_after(const struct world *world)
{
    uint32_t starting = count_slots(world, PYD_SLOT_STARTING, 1), ready = count_slots(world, PYD_SLOT_READY, 1);
    uint32_t own = count_slots(world, PYD_SLOT_STARTING, 0) + count_slots(world, PYD_SLOT_READY, 0);
    int has_room = 0, makes_room = 0;

    for (uint32_t i = 0; i < world->group.slot_count; i++) {
        const struct pyd_plan_slot *slot = &world->slots[i];

        has_room |= slot->state == PYD_SLOT_EMPTY && slot->unclaimed;
        makes_room |= slot->killed || slot->state == PYD_SLOT_DEAD;
        assert_false(slot->state == PYD_SLOT_READY && (slot->sick || slot->doomed));
        assert_false(slot->doomed && !slot->killed && slot->state > PYD_SLOT_EMPTY && slot->state < PYD_SLOT_DEAD);
    }
    assert_true(own <= world->group.processes);
    if (world->group.ending) {
        assert_int_equal(starting + ready, 0);
        return;
    }
    /* Too few, and nothing in the way: then they have been started. Those in a hurry to go do not count. */
    if (world->group.backoff.failures == 0)
        assert_true(starting + ready - count_urgent(world) >= wanted(world) || (!has_room && makes_room));
    if (has_room && own < wanted(world) && pyd_backoff_may_start(&world->group.backoff, world->now_us))
        assert_true(starting >= 1);
    if (world->group.waiting > 0 && world->group.asleep > 0)
        assert_true(starting > 0 || own < wanted(world));
    assert_int_equal(world->group.state == PYD_GROUP_SERVING || (ready == 0 && wanted(world) > 0), 1);
    if (ready == 0 && world->group.backoff.failures > 0 && starting == 0 && wanted(world) > 0)
        assert_int_equal(world->group.state, PYD_GROUP_FAILING);
}

/* As the manager does: what was done may allow more. */
static void step(struct world *world)
{
    int rounds = 0;

    do {
        plan(world);
        assert_true(world->count <= PYD_PLAN_ACTIONS(world->group.slot_count));
        assert_true(world->next_us > world->now_us || world->count > 0);
        for (size_t i = 0; i < world->count; i++) {
            assert_true(world->actions[i].slot < world->group.slot_count);
            apply(world, &world->actions[i]);
        }
        assert_true(++rounds < 10);
    } while (world->count > 0);
    check_after(world);
}

/* Left alone, with workers that do as told, every situation ends with `processes` ready workers, and no other; or
 * fewer, if no request waits. */
static void calm_down(struct world *world)
{
    world->group.waiting = roll(world, 2);
    for (int i = 0; i < 400; i++) {
        world->now_us += 1 * SECOND;
        for (uint32_t s = 0; s < world->group.slot_count; s++) {
            struct pyd_plan_slot *slot = &world->slots[s];

            slot->unfinished = 0;
            slot->says_ready |= slot->state == PYD_SLOT_STARTING;
            if (slot->state == PYD_SLOT_DEAD)
                slot->unclaimed = 1;
            if (slot->state == PYD_SLOT_STOPPING)
                set(world, s, PYD_SLOT_DEAD);
        }
        step(world);
    }
    assert_true(world->group.waiting == 0 || world->group.asleep == 0);
    assert_int_equal(count_slots(world, PYD_SLOT_READY, 0), wanted(world));
    assert_int_equal(count_slots(world, PYD_SLOT_READY, 1), wanted(world));
    assert_int_equal(count_slots(world, PYD_SLOT_EMPTY, 1), world->group.slot_count - wanted(world));
}

static void test_generated_situations(void **state)
{
    struct world world;

    (void)state;
    for (uint32_t seed = 1; seed <= 10000; seed++) {
        make(&world, 1 + seed % 4);
        world.random = seed * 2654435761u;
        for (uint32_t i = 0; i < world.group.slot_count; i++) {
            /* What an earlier manager may have left: at most `processes` READY ones, anything else. */
            set(&world, i,
                i < world.group.processes ? roll(&world, 6) : (roll(&world, 2) ? PYD_SLOT_EMPTY : PYD_SLOT_DEAD));
            world.slots[i].adopted = world.slots[i].state >= PYD_SLOT_STARTING && world.slots[i].state < PYD_SLOT_DEAD;
        }
        for (int i = 0; i < 60; i++) {
            world.now_us += roll(&world, 4) * SECOND * roll(&world, 10) / 3;
            for (uint32_t n = roll(&world, 4); n > 0; n--)
                happen(&world, roll(&world, world.group.slot_count));
            step(&world);
        }
        if (seed % 5) {
            calm_down(&world);
        } else {
            world.group.ending = 1;
            step(&world);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_start),
        cmocka_unit_test(test_becomes_ready),
        cmocka_unit_test(test_startup_timeout),
        cmocka_unit_test(test_dead_slot_is_used_again_when_unclaimed),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_not_failing_while_a_companion_may_succeed),
        cmocka_unit_test(test_serves_while_further_ones_fail),
        cmocka_unit_test(test_adopted_are_replaced_one_by_one),
        cmocka_unit_test(test_adopted_while_starting),
        cmocka_unit_test(test_retiring),
        cmocka_unit_test(test_shutdown_timeout),
        cmocka_unit_test(test_worker_that_stops_by_itself),
        cmocka_unit_test(test_worker_that_stops_while_it_starts),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_no_room_by_the_dead),
        cmocka_unit_test(test_ending),
        cmocka_unit_test(test_broken_group_is_left_alone),
        cmocka_unit_test(test_generated_situations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
