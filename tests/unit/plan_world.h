/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLAN_WORLD_H
#define PLAN_WORLD_H

/* A group of workers as pyd_plan() sees it, for its tests: made up, with a clock that is set. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pyd_plan.h"

#define SECOND INT64_C(1000000)
#define SLOTS_MAX 12

struct world {
    struct pyd_spec spec;
    struct pyd_plan_group group;
    struct pyd_plan_slot slots[SLOTS_MAX];
    struct pyd_action actions[PYD_PLAN_ACTIONS(SLOTS_MAX)];
    size_t count;
    int64_t now_us, next_us;
    uint32_t random;
};

static inline void make(struct world *world, uint32_t processes)
{
    memset(world, 0, sizeof *world);
    world->spec.startup_timeout_us = 60 * SECOND;
    world->spec.graceful_timeout_us = 30 * SECOND;
    world->spec.shutdown_timeout_us = 5 * SECOND;
    world->now_us = 1000 * SECOND;
    world->group.processes = processes;
    world->group.slots = world->slots;
    world->group.slot_count = processes * PYD_BOARD_SLOTS_PER_PROCESS;
    for (uint32_t i = 0; i < world->group.slot_count; i++)
        world->slots[i] = (struct pyd_plan_slot){.state = PYD_SLOT_EMPTY, .unclaimed = 1, .since_us = world->now_us};
}

static inline void set(struct world *world, uint32_t slot, enum pyd_slot_state state)
{
    world->slots[slot] =
        (struct pyd_plan_slot){.state = state,
                               .since_us = world->now_us,
                               .unclaimed = state == PYD_SLOT_EMPTY || state == PYD_SLOT_DEAD};
}

static inline void plan(struct world *world)
{
    world->count = pyd_plan(&world->spec, &world->group, world->now_us, world->actions, &world->next_us);
}

static inline size_t count_kind(const struct world *world, enum pyd_action_kind kind)
{
    size_t count = 0;

    for (size_t i = 0; i < world->count; i++)
        count += world->actions[i].kind == kind;
    return count;
}

static inline void assert_only(const struct world *world, enum pyd_action_kind kind, uint32_t slot)
{
    assert_int_equal(world->count, 1);
    assert_int_equal(world->actions[0].kind, kind);
    assert_int_equal(world->actions[0].slot, slot);
}

#endif
