/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_limit.h"

#define SECOND UINT64_C(1000000)

/* What is found out about one worker at one time. */
struct look {
    const struct pyd_spec *spec;
    const struct pyd_limit_facts *facts;
    int64_t now_us;
    struct pyd_limit_verdict verdict;
};

/* Causes from the least urgent to the most urgent one. */
static unsigned urgency(enum pyd_cause cause)
{
    switch (cause) {
    case PYD_CAUSE_INACTIVE:
        return 1;
    case PYD_CAUSE_INTERVAL:
        return 2;
    case PYD_CAUSE_REQUESTS:
        return 3;
    case PYD_CAUSE_CPU_TIME:
        return 4;
    case PYD_CAUSE_MEMORY:
        return 5;
    case PYD_CAUSE_REQUEST_TIMEOUT:
        return 6;
    case PYD_CAUSE_DEADLOCK:
        return 7;
    case PYD_CAUSE_MEMORY_HARD:
        return 8;
    default:
        return 0;
    }
}

int pyd_limit_is_more_urgent(enum pyd_cause cause, enum pyd_cause than)
{
    return urgency(cause) > urgency(than);
}

static void reach(struct look *look, enum pyd_cause cause, int kills)
{
    if (!pyd_limit_is_more_urgent(cause, look->verdict.cause))
        return;
    look->verdict.cause = cause;
    look->verdict.kill = kills != 0;
}

static void note_next(struct look *look, int64_t us)
{
    if (us < look->verdict.next_us)
        look->verdict.next_us = us;
}

/* True if a limit of timeout_us that began at since_us has passed; else remembers when it will. 0 is no limit. */
static int is_over(struct look *look, int64_t since_us, int64_t timeout_us)
{
    if (timeout_us <= 0 || since_us <= 0 || since_us > INT64_MAX - timeout_us)
        return 0;
    if (look->now_us >= since_us + timeout_us)
        return 1;
    note_next(look, since_us + timeout_us);
    return 0;
}

static uint64_t mix(uint64_t number) /* the finaliser of splitmix64: neighbours lead to anywhere */
{
    number += UINT64_C(0x9e3779b97f4a7c15);
    number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
    return number ^ number >> 31;
}

int64_t pyd_limit_spread(int64_t limit, int percent, uint32_t luck)
{
    int64_t span, offset;

    if (limit < 1)
        return 1;
    if (percent < 0)
        percent = 0;
    if (percent > 100)
        percent = 100;
    span = limit / 100 * percent + limit % 100 * percent / 100;
    offset = (int64_t)(mix(luck) % (2 * (uint64_t)span + 1)) - span;
    if (offset > INT64_MAX - limit)
        return INT64_MAX;
    return limit + offset > 0 ? limit + offset : 1;
}

void pyd_limit_add_stall(struct pyd_limit_stalls *stalls, int64_t from_us, int64_t until_us)
{
    uint64_t index = stalls->count++ % PYD_LIMIT_STALLS;

    stalls->last[index].from_us = from_us;
    stalls->last[index].until_us = until_us;
}

int64_t pyd_limit_stalled_us(const struct pyd_limit_stalls *stalls, int64_t since_us)
{
    int64_t sum_us = 0;

    for (uint64_t i = 0; i < PYD_LIMIT_STALLS && i < stalls->count; i++) {
        int64_t from_us = stalls->last[i].from_us, until_us = stalls->last[i].until_us;

        if (from_us < since_us)
            from_us = since_us;
        sum_us += until_us > from_us ? until_us - from_us : 0;
    }
    return sum_us;
}

static void check_life(struct look *look)
{
    const struct pyd_limit_facts *facts = look->facts;
    int64_t timeout_us = look->spec->deadlock_timeout_us;
    int64_t alive_us = facts->alive_us > 0 ? facts->alive_us : facts->ready_us;

    if (is_over(look, facts->gil_asked_us, timeout_us))
        reach(look, PYD_CAUSE_DEADLOCK, 1);
    if (is_over(look, alive_us, timeout_us))
        reach(look, PYD_CAUSE_DEADLOCK, 1);
}

/* It can't serve, for long enough to be sure: extensions, and many threads that compute, keep the GIL for a second. */
static int is_sick(const struct look *look)
{
    const struct pyd_limit_facts *facts = look->facts;

    if (facts->gil_asked_us > 0 && look->now_us - facts->gil_asked_us >= PYD_LIMIT_SICK_US)
        return 1;
    return facts->alive_us > 0 && look->now_us - facts->alive_us >= PYD_LIMIT_SILENT_US;
}

/* Going on like this, when will it have had them all? A late look makes it too many. */
static void check_requests(struct look *look)
{
    const struct pyd_spec *spec = look->spec;
    const struct pyd_limit_facts *facts = look->facts;
    uint64_t limit, left;

    if (spec->maximum_requests <= 0)
        return;
    limit = (uint64_t)pyd_limit_spread(spec->maximum_requests, spec->maximum_requests_jitter, facts->luck);
    left = facts->requests < limit ? limit - facts->requests : 0;
    if (left == 0)
        reach(look, PYD_CAUSE_REQUESTS, 0);
    else if (left * 1000 < facts->per_1000_s) /* less than a second: it is looked at each second anyway */
        note_next(look, look->now_us + (int64_t)(left * 1000 * SECOND / facts->per_1000_s));
}

/* What ends its time of service, in good order. */
static void check_service(struct look *look)
{
    const struct pyd_spec *spec = look->spec;
    const struct pyd_limit_facts *facts = look->facts;

    if (spec->memory_limit_bytes > 0 && facts->memory_bytes > spec->memory_limit_bytes)
        reach(look, PYD_CAUSE_MEMORY, 0);
    if (spec->cpu_time_limit_us > 0 && facts->cpu_us >= spec->cpu_time_limit_us)
        reach(look, PYD_CAUSE_CPU_TIME, 0);
    check_requests(look);
    /* Since it was ready: one whose import takes longer than that would be replaced before it has served anybody. */
    if (spec->restart_interval_us > 0 &&
        is_over(look, facts->ready_us,
                pyd_limit_spread(spec->restart_interval_us, spec->restart_interval_jitter, facts->luck)))
        reach(look, PYD_CAUSE_INTERVAL, 0);
    if (facts->busy == 0 && is_over(look, facts->active_us, spec->inactivity_timeout_us))
        reach(look, PYD_CAUSE_INACTIVE, 0);
}

struct pyd_limit_verdict pyd_limit_check(const struct pyd_spec *spec, const struct pyd_limit_facts *facts,
                                         int64_t now_us)
{
    struct look look = {.spec = spec, .facts = facts, .now_us = now_us, .verdict = {.next_us = INT64_MAX}};
    enum pyd_slot_state state = facts->state;

    if (state == PYD_SLOT_EMPTY || state == PYD_SLOT_DEAD)
        return look.verdict;
    if (spec->memory_hard_limit_bytes > 0 && facts->memory_bytes > spec->memory_hard_limit_bytes)
        reach(&look, PYD_CAUSE_MEMORY_HARD, 1);
    if (state == PYD_SLOT_STARTING) /* the rest is startup-timeout's */
        return look.verdict;
    check_life(&look);
    if (state != PYD_SLOT_STOPPING && spec->request_timeout_us > 0 && facts->late > 0)
        reach(&look, PYD_CAUSE_REQUEST_TIMEOUT, 0);
    if (state == PYD_SLOT_READY)
        check_service(&look);
    look.verdict.sick = is_sick(&look) ? 1 : 0;
    return look.verdict;
}
