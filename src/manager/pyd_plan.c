/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_plan.h"

/* A plan in the making: what the slots will be once the actions so far are done. */
struct draft {
    const struct pyd_spec *spec;
    const struct pyd_plan_group *group;
    int64_t now_us, next_us;
    struct pyd_action *actions;
    size_t count;
    uint32_t wanted;                   /* workers that are needed: all but those asleep */
    uint32_t staying, patient, urgent; /* READY ones: that stay; that are to go; of these, that can't wait for it */
    uint32_t starting;
    /* A start has just failed, or may have: what follows from that is the next plan's business. */
    int failed, may_have_failed;
};

static void add(struct draft *draft, enum pyd_action_kind kind, uint32_t slot, enum pyd_cause cause)
{
    draft->actions[draft->count++] = (struct pyd_action){.kind = kind, .slot = slot, .cause = cause};
}

static uint32_t count_ready(const struct draft *draft)
{
    return draft->staying + draft->patient + draft->urgent;
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

/* It has lost threads, or harms others: what it still does is worth less than a successor now. */
static int is_urgent(const struct pyd_plan_slot *slot)
{
    return slot->must_go == PYD_CAUSE_REQUEST_TIMEOUT || slot->must_go == PYD_CAUSE_DEADLOCK ||
           slot->must_go == PYD_CAUSE_MEMORY_HARD;
}

static int is_too_young(struct draft *draft, const struct pyd_plan_slot *slot)
{
    return (slot->must_go == PYD_CAUSE_MEMORY || slot->must_go == PYD_CAUSE_CPU_TIME) &&
           (slot->state == PYD_SLOT_STARTING || !is_over(draft, slot->since_us, PYD_PLAN_YOUNG_US));
}

/* True if a READY worker is to be replaced, or to go. */
static int must_go(struct draft *draft, const struct pyd_plan_slot *slot)
{
    if (slot->adopted)
        return 1;
    /* Whether one that is idle may go is decided later: it has no successor. */
    return slot->must_go != PYD_CAUSE_NONE && slot->must_go != PYD_CAUSE_INACTIVE && !is_too_young(draft, slot);
}

/* Where a READY worker counts. */
static uint32_t *counter_of(struct draft *draft, const struct pyd_plan_slot *slot)
{
    if (!must_go(draft, slot))
        return &draft->staying;
    return is_urgent(slot) ? &draft->urgent : &draft->patient;
}

static int is_doomed(const struct pyd_plan_slot *slot)
{
    return slot->doomed && slot->must_go != PYD_CAUSE_NONE && !slot->killed;
}

static void plan_doomed(struct draft *draft, uint32_t i)
{
    const struct pyd_plan_slot *slot = &draft->group->slots[i];

    add(draft, PYD_ACTION_KILL, i, slot->must_go);
    draft->failed |= slot->state == PYD_SLOT_STARTING && !slot->adopted;
    draft->may_have_failed |= slot->state == PYD_SLOT_READY;
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
        ++*counter_of(draft, slot);
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
    } else if (slot->sick) {
        add(draft, PYD_ACTION_RETIRE, i, PYD_CAUSE_NONE);
    } else {
        ++*counter_of(draft, slot);
    }
}

static void plan_retiring(struct draft *draft, uint32_t i)
{
    const struct pyd_plan_slot *slot = &draft->group->slots[i];

    if (!draft->group->ending && slot->says_stopping)
        add(draft, PYD_ACTION_LEAVE, i, PYD_CAUSE_NONE);
    else if (draft->group->ending || slot->unfinished == 0 ||
             is_over(draft, slot->since_us, draft->spec->graceful_timeout_us))
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
    enum pyd_slot_state state = draft->group->slots[i].state;

    if (state != PYD_SLOT_EMPTY && state != PYD_SLOT_DEAD && is_doomed(&draft->group->slots[i])) {
        plan_doomed(draft, i);
        return;
    }
    switch (state) {
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

static int is_planned(const struct draft *draft, uint32_t slot)
{
    for (size_t k = 0; k < draft->count; k++)
        if (draft->actions[k].kind != PYD_ACTION_WAKE && draft->actions[k].kind != PYD_ACTION_STATE &&
            draft->actions[k].slot == slot)
            return 1;
    return 0;
}

/* Those nobody needs go: not while it is not known whether they could be started again. */
static void put_to_sleep(struct draft *draft)
{
    const struct pyd_plan_group *group = draft->group;

    if (group->waiting > 0 || group->backoff.failures > 0 || draft->failed || draft->may_have_failed)
        return;
    for (uint32_t i = 0; i < group->slot_count; i++) {
        const struct pyd_plan_slot *slot = &group->slots[i];

        if (slot->state != PYD_SLOT_READY || slot->must_go != PYD_CAUSE_INACTIVE || slot->unfinished > 0 ||
            is_planned(draft, i))
            continue;
        if (draft->starting > 0 && count_ready(draft) + draft->starting > draft->wanted)
            continue; /* a successor is on the way, perhaps its own: then the two are too many */
        add(draft, PYD_ACTION_RETIRE, i, PYD_CAUSE_NONE);
        if (count_ready(draft) <= draft->wanted) {
            add(draft, PYD_ACTION_SLEEP, i, PYD_CAUSE_NONE);
            draft->wanted--;
        }
        --*counter_of(draft, slot);
    }
}

/* Who goes first? Those in a hurry; then those with a limit reached, for the longest time; then the adopted ones. */
static int goes_before(const struct pyd_plan_slot *one, const struct pyd_plan_slot *other)
{
    if (is_urgent(one) != is_urgent(other))
        return is_urgent(one);
    if ((one->must_go != PYD_CAUSE_NONE) != (other->must_go != PYD_CAUSE_NONE))
        return one->must_go != PYD_CAUSE_NONE;
    return one->must_go != PYD_CAUSE_NONE ? one->gone_since_us < other->gone_since_us
                                          : one->since_us < other->since_us;
}

static uint32_t find_first_to_go(struct draft *draft)
{
    const struct pyd_plan_slot *slots = draft->group->slots;
    uint32_t first = UINT32_MAX;

    for (uint32_t i = 0; i < draft->group->slot_count; i++)
        if (slots[i].state == PYD_SLOT_READY && must_go(draft, &slots[i]) && !is_planned(draft, i) &&
            (first == UINT32_MAX || goes_before(&slots[i], &slots[first])))
            first = i;
    return first;
}

/* Those that are to go and are beyond what is needed go: their successors are ready. */
static void retire_succeeded(struct draft *draft)
{
    while (draft->patient + draft->urgent > 0 && count_ready(draft) > draft->wanted) {
        uint32_t first = find_first_to_go(draft);

        if (first == UINT32_MAX)
            return; /* it has become ready just now: next time */
        add(draft, PYD_ACTION_RETIRE, first, PYD_CAUSE_NONE);
        --*counter_of(draft, &draft->group->slots[first]);
    }
}

/* Workers to start at once, slots permitting and backoff aside: those in a hurry to go count as gone. */
static uint32_t count_missing(const struct draft *draft)
{
    uint32_t capacity = draft->staying + draft->patient + draft->starting;

    return capacity < draft->wanted ? draft->wanted - capacity : 0;
}

/* And one after the other, successors for those who have time. */
static uint32_t count_successors(const struct draft *draft)
{
    return draft->starting == 0 && draft->staying < draft->wanted ? 1 : 0;
}

/* The slot that has been in state longest and has nothing planned, or UINT32_MAX. */
static uint32_t find_oldest(const struct draft *draft, enum pyd_slot_state state)
{
    const struct pyd_plan_slot *slots = draft->group->slots;
    uint32_t oldest = UINT32_MAX;

    for (uint32_t i = 0; i < draft->group->slot_count; i++)
        if (slots[i].state == state && !slots[i].killed && !is_planned(draft, i) &&
            (oldest == UINT32_MAX || slots[i].since_us < slots[oldest].since_us))
            oldest = i;
    return oldest;
}

/* Its slot is about to be free. Some take their time: a killed one in uninterruptible sleep, a client that reads
 * what a dead one has sent. */
static int is_leaving(struct draft *draft, uint32_t i)
{
    const struct pyd_plan_slot *slot = &draft->group->slots[i];

    if (slot->state == PYD_SLOT_DEAD)
        return !is_over(draft, slot->since_us, PYD_PLAN_CLAIMED_US);
    if (slot->killed)
        return slot->signalled_us == 0 || !is_over(draft, slot->signalled_us, PYD_PLAN_KILLED_US);
    return slot->state == PYD_SLOT_STOPPING && is_planned(draft, i);
}

/* All slots are taken by workers that leave: the one that has had most time makes room. */
static void make_room(struct draft *draft)
{
    uint32_t oldest;

    for (uint32_t i = 0; i < draft->group->slot_count; i++)
        if (is_leaving(draft, i))
            return; /* room is being made */
    oldest = find_oldest(draft, PYD_SLOT_STOPPING);
    if (oldest != UINT32_MAX) {
        add(draft, PYD_ACTION_KILL, oldest, PYD_CAUSE_SHUTDOWN_TIMEOUT);
        return;
    }
    oldest = find_oldest(draft, PYD_SLOT_RETIRING);
    if (oldest != UINT32_MAX)
        add(draft, PYD_ACTION_STOP, oldest, PYD_CAUSE_NONE);
}

/* Requests wait, nobody is on the way: who sleeps is needed. */
static void wake_worker(struct draft *draft)
{
    const struct pyd_plan_group *group = draft->group;

    if (group->waiting == 0 || draft->wanted >= group->processes || draft->starting > 0 || draft->failed ||
        draft->may_have_failed || count_missing(draft) + count_successors(draft) > 0)
        return;
    add(draft, PYD_ACTION_WAKE, 0, PYD_CAUSE_NONE);
    draft->wanted++;
}

static void start_workers(struct draft *draft)
{
    const struct pyd_plan_group *group = draft->group;
    uint32_t missing = count_missing(draft), wanted = missing > 0 ? missing : count_successors(draft);

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
    if (wanted > 0 && missing > 0)
        make_room(draft);
}

static void plan_state(struct draft *draft)
{
    enum pyd_group_state state = draft->group->state;

    if (count_ready(draft) > 0 || draft->wanted == 0) /* asleep is serving: a request that waits wakes it */
        state = PYD_GROUP_SERVING;
    else if ((draft->group->backoff.failures > 0 || draft->failed) && draft->starting == 0)
        state = PYD_GROUP_FAILING; /* not while one that was started together with the failed ones may succeed */
    if (state != draft->group->state)
        draft->actions[draft->count++] = (struct pyd_action){.kind = PYD_ACTION_STATE, .state = state};
}

size_t pyd_plan(const struct pyd_spec *spec, const struct pyd_plan_group *group, int64_t now_us,
                struct pyd_action *ret_actions, int64_t *ret_next_us)
{
    struct draft draft = {.spec = spec,
                          .group = group,
                          .now_us = now_us,
                          .next_us = INT64_MAX,
                          .actions = ret_actions,
                          .wanted = group->asleep < group->processes ? group->processes - group->asleep : 0};

    for (uint32_t i = 0; i < group->slot_count; i++)
        plan_slot(&draft, i);
    if (!group->ending && group->state != PYD_GROUP_BROKEN) {
        retire_succeeded(&draft);
        put_to_sleep(&draft);
        wake_worker(&draft);
        start_workers(&draft);
        plan_state(&draft);
    }
    *ret_next_us = draft.next_us;
    return draft.count;
}
