/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_plan.h"

/* A plan in the making: what the slots will be once the actions so far are done. */
struct draft {
    const struct pyd_spec *spec;
    const struct pyd_plan_group *group;
    int64_t now_us, next_us;
    struct pyd_action *actions;
    size_t count;
    uint32_t ready, ready_adopted, starting;
    /* A start has just failed, or may have: what follows from that is the next plan's business. */
    int failed, may_have_failed;
};

static void add(struct draft *draft, enum pyd_action_kind kind, uint32_t slot, enum pyd_cause cause)
{
    draft->actions[draft->count++] = (struct pyd_action){.kind = kind, .slot = slot, .cause = cause};
}

/* True if a limit of timeout_us that began at since_us has passed; else remembers when it will. 0 is no limit. */
static int is_over(struct draft *draft, int64_t since_us, int64_t timeout_us)
{
    if (timeout_us <= 0 || since_us > INT64_MAX - timeout_us)
        return 0;
    if (draft->now_us >= since_us + timeout_us)
        return 1;
    if (since_us + timeout_us < draft->next_us)
        draft->next_us = since_us + timeout_us;
    return 0;
}

static void plan_starting(struct draft *draft, uint32_t i)
{
    const struct pyd_plan_slot *slot = &draft->group->slots[i];

    if (draft->group->ending) {
        add(draft, PYD_ACTION_STOP, i, PYD_CAUSE_NONE);
    } else if (slot->says_stopping) {
        add(draft, PYD_ACTION_LEAVE, i, PYD_CAUSE_NONE);
        draft->failed |= !slot->adopted;
        draft->may_have_failed = 1;
    } else if (slot->says_ready) {
        add(draft, PYD_ACTION_READY, i, PYD_CAUSE_NONE);
        draft->ready++;
        draft->ready_adopted += slot->adopted;
    } else if (slot->adopted) {
        /* It has served nobody yet, and how it ends could not be known: a new one is better. */
        add(draft, PYD_ACTION_STOP, i, PYD_CAUSE_NONE);
    } else if (is_over(draft, slot->since_us, draft->spec->startup_timeout_us)) {
        add(draft, PYD_ACTION_KILL, i, PYD_CAUSE_STARTUP_TIMEOUT);
        draft->failed = 1;
    } else {
        draft->starting++;
    }
}

static void plan_ready(struct draft *draft, uint32_t i)
{
    const struct pyd_plan_slot *slot = &draft->group->slots[i];

    if (draft->group->ending) {
        add(draft, PYD_ACTION_STOP, i, PYD_CAUSE_NONE);
    } else if (slot->says_stopping) {
        add(draft, PYD_ACTION_LEAVE, i, PYD_CAUSE_NONE);
        draft->may_have_failed = 1;
    } else {
        draft->ready++;
        draft->ready_adopted += slot->adopted;
    }
}

static void plan_retiring(struct draft *draft, uint32_t i)
{
    const struct pyd_plan_slot *slot = &draft->group->slots[i];

    if (!draft->group->ending && slot->says_stopping)
        add(draft, PYD_ACTION_LEAVE, i, PYD_CAUSE_NONE);
    else if (draft->group->ending || slot->busy == 0 || is_over(draft, slot->since_us, PYD_PLAN_GRACEFUL_US))
        add(draft, PYD_ACTION_STOP, i, PYD_CAUSE_NONE);
}

static void plan_stopping(struct draft *draft, uint32_t i)
{
    const struct pyd_plan_slot *slot = &draft->group->slots[i];
    int64_t timeout_us = draft->spec->shutdown_timeout_us;

    if (slot->killed)
        return;
    if (draft->group->ending && timeout_us <= 0)
        timeout_us = PYD_PLAN_SHUTDOWN_US;
    if (is_over(draft, slot->since_us, timeout_us))
        add(draft, PYD_ACTION_KILL, i, PYD_CAUSE_SHUTDOWN_TIMEOUT);
}

static void plan_slot(struct draft *draft, uint32_t i)
{
    switch (draft->group->slots[i].state) {
    case PYD_SLOT_EMPTY:
        break;
    case PYD_SLOT_STARTING:
        plan_starting(draft, i);
        break;
    case PYD_SLOT_READY:
        plan_ready(draft, i);
        break;
    case PYD_SLOT_RETIRING:
        plan_retiring(draft, i);
        break;
    case PYD_SLOT_STOPPING:
        plan_stopping(draft, i);
        break;
    case PYD_SLOT_DEAD:
        if (draft->group->slots[i].unclaimed)
            add(draft, PYD_ACTION_FREE, i, PYD_CAUSE_NONE);
        break;
    }
}

/* Adopted workers beyond what is needed go: their successors are ready. */
static void retire_adopted(struct draft *draft)
{
    const struct pyd_plan_group *group = draft->group;

    for (uint32_t i = 0; i < group->slot_count && draft->ready > group->processes; i++) {
        const struct pyd_plan_slot *slot = &group->slots[i];

        if (slot->state == PYD_SLOT_READY && slot->adopted && !slot->says_stopping) {
            add(draft, PYD_ACTION_RETIRE, i, PYD_CAUSE_NONE);
            draft->ready--;
            draft->ready_adopted--;
        }
    }
}

/* How many workers to start, slots permitting and backoff aside. */
static uint32_t count_wanted(const struct draft *draft)
{
    uint32_t processes = draft->group->processes;
    uint32_t capacity = draft->ready + draft->starting;
    uint32_t own = capacity - draft->ready_adopted;

    if (own >= processes)
        return 0;
    if (capacity < processes)
        return processes - capacity;
    return draft->starting == 0 ? 1 : 0; /* a successor for one adopted worker */
}

static int is_planned(const struct draft *draft, uint32_t slot)
{
    for (size_t k = 0; k < draft->count; k++)
        if (draft->actions[k].kind != PYD_ACTION_STATE && draft->actions[k].slot == slot)
            return 1;
    return 0;
}

/* The slot that has been in state longest and has nothing planned, or UINT32_MAX. */
static uint32_t find_oldest(const struct draft *draft, enum pyd_slot_state state)
{
    const struct pyd_plan_slot *slots = draft->group->slots;
    uint32_t oldest = UINT32_MAX;

    for (uint32_t i = 0; i < draft->group->slot_count; i++)
        if (slots[i].state == state && !is_planned(draft, i) &&
            (oldest == UINT32_MAX || slots[i].since_us < slots[oldest].since_us))
            oldest = i;
    return oldest;
}

/* All slots are taken by workers that leave: the one that has had most time makes room. */
static void make_room(struct draft *draft)
{
    uint32_t oldest;

    for (uint32_t i = 0; i < draft->group->slot_count; i++) {
        const struct pyd_plan_slot *slot = &draft->group->slots[i];

        if (slot->killed || (slot->state == PYD_SLOT_STOPPING && is_planned(draft, i)) ||
            (slot->state == PYD_SLOT_DEAD && !is_over(draft, slot->since_us, PYD_PLAN_CLAIMED_US)))
            return; /* room is being made */
    }
    oldest = find_oldest(draft, PYD_SLOT_STOPPING);
    if (oldest != UINT32_MAX) {
        add(draft, PYD_ACTION_KILL, oldest, PYD_CAUSE_SHUTDOWN_TIMEOUT);
        return;
    }
    oldest = find_oldest(draft, PYD_SLOT_RETIRING);
    if (oldest != UINT32_MAX)
        add(draft, PYD_ACTION_STOP, oldest, PYD_CAUSE_NONE);
}

static void start_workers(struct draft *draft)
{
    const struct pyd_plan_group *group = draft->group;
    uint32_t wanted = count_wanted(draft);

    if (wanted == 0 || draft->failed || draft->may_have_failed)
        return;
    if (group->backoff.failures > 0) {
        if (draft->starting > 0)
            return; /* one attempt at a time */
        if (!pyd_backoff_may_start(&group->backoff, draft->now_us)) {
            if (group->backoff.retry_at_us < draft->next_us)
                draft->next_us = group->backoff.retry_at_us;
            return;
        }
        wanted = 1;
    }
    for (uint32_t i = 0; i < group->slot_count && wanted > 0; i++) {
        const struct pyd_plan_slot *slot = &group->slots[i];

        if (slot->unclaimed && (slot->state == PYD_SLOT_EMPTY || slot->state == PYD_SLOT_DEAD)) {
            add(draft, PYD_ACTION_START, i, PYD_CAUSE_NONE);
            wanted--;
        }
    }
    if (wanted > 0 && draft->ready + draft->starting < group->processes)
        make_room(draft);
}

static void plan_state(struct draft *draft)
{
    enum pyd_group_state state = draft->group->state;

    if (draft->ready > 0)
        state = PYD_GROUP_SERVING;
    else if ((draft->group->backoff.failures > 0 || draft->failed) && draft->starting == 0)
        state = PYD_GROUP_FAILING; /* not while one that was started together with the failed ones may succeed */
    if (state != draft->group->state)
        draft->actions[draft->count++] = (struct pyd_action){.kind = PYD_ACTION_STATE, .state = state};
}

size_t pyd_plan(const struct pyd_spec *spec, const struct pyd_plan_group *group, int64_t now_us,
                struct pyd_action *ret_actions, int64_t *ret_next_us)
{
    struct draft draft = {.spec = spec, .group = group, .now_us = now_us, .next_us = INT64_MAX, .actions = ret_actions};

    for (uint32_t i = 0; i < group->slot_count; i++)
        plan_slot(&draft, i);
    if (!group->ending && group->state != PYD_GROUP_BROKEN) {
        retire_adopted(&draft);
        start_workers(&draft);
        plan_state(&draft);
    }
    *ret_next_us = draft.next_us;
    return draft.count;
}
