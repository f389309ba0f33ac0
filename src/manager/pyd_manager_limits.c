/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_manager_limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pyd_limit.h"
#include "pyd_log.h"
#include "pyd_usage.h"

#define SECOND INT64_C(1000000)

/* /proc is not read more often than that, however many pokes come. */
#define MEASURE_US INT64_C(200000)
/* How soon memory is looked at again once half of memory-hard-limit is in use. */
#define MEASURE_SOON_US INT64_C(250000)
/* The rate of finished requests: what it is taken over, how often, and when it is too long ago to mean anything. */
#define RATE_US (10 * SECOND)
#define RATE_PERIOD_US SECOND
#define RATE_FORGET_US (60 * SECOND)
#define RATE_MAX UINT32_MAX
/* That of a single worker, for when it will have had its maximum-requests: less is chance. */
#define SLOT_RATE_US INT64_C(100000)

static double seconds(int64_t us)
{
    return (double)us / 1e6;
}

static double mebibytes(int64_t bytes)
{
    return (double)bytes / 1048576;
}

void pyd_manager_limits_destroy(struct pyd_manager_limits *limits)
{
    if (!limits)
        return;
    free(limits->slots);
    free(limits->claims);
    free(limits);
}

struct pyd_manager_limits *pyd_manager_limits_create(const struct pyd_manager_group *group)
{
    struct pyd_manager_limits *limits = calloc(1, sizeof *limits);

    if (!limits)
        return NULL;
    limits->slots = calloc(group->slot_count, sizeof *limits->slots);
    limits->claims = calloc((size_t)group->slot_count * group->threads, sizeof *limits->claims);
    if (!limits->slots || !limits->claims) {
        pyd_manager_limits_destroy(limits);
        return NULL;
    }
    for (uint32_t i = 0; i < group->slot_count; i++)
        limits->slots[i].claims = limits->claims + (size_t)i * group->threads;
    return limits;
}

/* A moving average: each sample counts by its length, older ones less and less. */
static void update_rate(struct pyd_manager_group *group, int64_t now_us)
{
    struct pyd_manager_limits *limits = group->limits;
    uint64_t sum = atomic_load(&group->shared->finished), before = (uint64_t)group->rate_sum;
    int64_t passed_us = now_us - group->rate_us;
    uint64_t finished = sum > before ? sum - before : 0;
    double sample, rate = (double)limits->per_1000_s;

    if (group->rate_us != 0 && passed_us < RATE_PERIOD_US)
        return;
    group->rate_sum = (int64_t)sum;
    if (group->rate_us == 0) { /* what was finished before is not known to be of late */
        group->rate_us = now_us;
        return;
    }
    group->rate_us = now_us;
    if (finished > 0)
        limits->finished_us = now_us;
    sample = (double)finished * 1000 * SECOND / (double)passed_us;
    if (limits->finished_us == 0 || now_us - limits->finished_us >= RATE_FORGET_US)
        rate = 0;
    else if (limits->per_1000_s == 0)
        rate = sample;
    else
        rate += (sample - rate) * (double)passed_us / (double)(passed_us + RATE_US);
    if (rate > RATE_MAX)
        rate = RATE_MAX;
    limits->per_1000_s = rate > 0 && rate < 1 ? 1 : (uint64_t)rate;
    atomic_store(&group->shared->finished_per_1000_s, limits->per_1000_s);
}

/* A worker that has not been looked at yet. */
static void begin(const struct pyd_manager_group *group, struct pyd_manager_slot *slot,
                  struct pyd_manager_limits_slot *memory, int64_t now_us)
{
    struct pyd_manager_limits_claim *claims = memory->claims;

    *memory = (struct pyd_manager_limits_slot){.epoch = slot->epoch,
                                               .requests = pyd_manager_slot_requests(group, slot),
                                               .per_1000_s = group->limits->per_1000_s,
                                               .rated_requests = pyd_manager_slot_requests(group, slot),
                                               .rated_us = now_us,
                                               .claims = claims};
    if (slot->must_go != PYD_CAUSE_NONE) /* an earlier manager has found that; what it counted is not known */
        memory->gone_requests = memory->requests;
    slot->active_us = slot->ready_us > 0 ? slot->ready_us : now_us;
    slot->memory_bytes = slot->cpu_us = -1;
    slot->timed_out = 0;
    pyd_manager_late_begin(group, slot, memory, now_us);
}

static uint64_t known(int64_t value)
{
    return value > 0 ? (uint64_t)value : 0;
}

/* Until it has been there nothing of it is true: the process is the manager's copy before it is the worker. */
static int has_opened_status(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot)
{
    return atomic_load(&pyd_board_status(group->board, group->index, slot->index)->epoch) == slot->epoch;
}

/* @return when to do so again */
static int64_t measure(const struct pyd_manager_group *group, struct pyd_manager_slot *slot,
                       struct pyd_manager_limits_slot *memory, int64_t now_us)
{
    int64_t hard = group->spec.memory_hard_limit_bytes;

    if (slot->state == PYD_SLOT_STARTING && !has_opened_status(group, slot))
        return INT64_MAX;
    if (memory->measured_us == 0 || now_us - memory->measured_us >= MEASURE_US) {
        memory->measured_us = now_us;
        if (group->spec.memory_limit_bytes > 0 || hard > 0) {
            slot->memory_bytes = pyd_usage_private(slot->pid);
            atomic_store(&slot->shared->memory_bytes, known(slot->memory_bytes));
        }
        if (group->spec.cpu_time_limit_us > 0) {
            slot->cpu_us = pyd_usage_cpu_us(slot->pid);
            atomic_store(&slot->shared->cpu_us, known(slot->cpu_us));
        }
    }
    return hard > 0 && slot->memory_bytes > hard / 2 ? memory->measured_us + MEASURE_SOON_US : INT64_MAX;
}

/* Nobody is blamed for the time in which the manager itself stood still: perhaps the whole machine did. */
static int64_t forgive(const struct pyd_manager_group *group, int64_t since_us)
{
    return since_us > 0 ? since_us + pyd_limit_stalled_us(&group->stalls, since_us) : since_us;
}

/* Of this worker; at first, of its group. */
static uint64_t update_slot_rate(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                                 struct pyd_manager_limits_slot *memory, uint64_t requests, int64_t now_us)
{
    int64_t passed_us = now_us - memory->rated_us;

    if (slot->state == PYD_SLOT_STARTING) {
        memory->per_1000_s = group->limits->per_1000_s;
        memory->rated_us = now_us;
        return 0;
    }
    if (passed_us < SLOT_RATE_US)
        return memory->per_1000_s;
    memory->per_1000_s = requests > memory->rated_requests ? (requests - memory->rated_requests) * 1000 *
                                                                 (uint64_t)SECOND / (uint64_t)passed_us
                                                           : 0;
    memory->rated_requests = requests;
    memory->rated_us = now_us;
    return memory->per_1000_s;
}

static struct pyd_limit_facts gather(const struct pyd_manager_group *group, struct pyd_manager_slot *slot,
                                     struct pyd_manager_limits_slot *memory, uint32_t late, int64_t now_us)
{
    const struct pyd_status_worker *status = pyd_board_status(group->board, group->index, slot->index);
    int is_its_own = has_opened_status(group, slot);
    struct pyd_limit_facts facts = {.state = slot->state,
                                    .started_us = slot->started_us,
                                    .ready_us = slot->ready_us,
                                    .requests = pyd_manager_slot_requests(group, slot),
                                    .late = late,
                                    .busy = pyd_claim_busy(group->board, group->index, slot->index),
                                    .memory_bytes = slot->memory_bytes,
                                    .cpu_us = slot->cpu_us,
                                    .gil_asked_us = is_its_own ? atomic_load(&status->gil_asked_us) : 0,
                                    .alive_us = is_its_own ? atomic_load(&status->alive_us) : 0,
                                    .luck = slot->luck};

    if (facts.busy > 0 || facts.requests != memory->requests) {
        slot->active_us = now_us;
        if (slot->must_go == PYD_CAUSE_INACTIVE && slot->state == PYD_SLOT_READY)
            slot->must_go = PYD_CAUSE_NONE; /* it was needed before it could be sent away */
    }
    memory->requests = facts.requests;
    facts.per_1000_s = update_slot_rate(group, slot, memory, facts.requests, now_us);
    facts.active_us = slot->active_us;
    return facts;
}

static void say_memory(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                       const struct pyd_manager_limits_slot *memory, enum pyd_cause cause, int64_t now_us)
{
    char in_flight[7200];
    unsigned long long requests = memory->requests;

    pyd_manager_late_in_flight(group, slot, pyd_usage_private(slot->pid), now_us, in_flight, sizeof in_flight);
    if (cause == PYD_CAUSE_MEMORY_HARD)
        pyd_log(PYD_LOG_ERR, (int)group->index,
                PYD_LOGNO(0634) "mod_pydaemon (pid=%d): memory-hard-limit exceeded in '%s', killing worker %u: it has "
                                "%.1f MiB of %.1f MiB private memory after %llu requests; %s.",
                (int)slot->pid, group->name, slot->number, mebibytes(slot->memory_bytes),
                mebibytes(group->spec.memory_hard_limit_bytes), requests, in_flight);
    else
        pyd_log(PYD_LOG_WARNING, (int)group->index,
                PYD_LOGNO(0633) "mod_pydaemon (pid=%d): memory-limit exceeded in '%s': worker %u has %.1f MiB of "
                                "%.1f MiB private memory after %llu requests; %s.",
                (int)slot->pid, group->name, slot->number, mebibytes(slot->memory_bytes),
                mebibytes(group->spec.memory_limit_bytes), requests, in_flight);
}

static void say_deadlock(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                         const struct pyd_limit_facts *facts, int64_t now_us)
{
    int64_t alive_us = facts->alive_us > 0 ? facts->alive_us : facts->ready_us;
    int is_gil = facts->gil_asked_us > 0 && now_us - facts->gil_asked_us >= group->spec.deadlock_timeout_us;
    char in_flight[7200];

    pyd_manager_late_in_flight(group, slot, -1, now_us, in_flight, sizeof in_flight);
    pyd_log(PYD_LOG_ERR, (int)group->index,
            PYD_LOGNO(0635) "mod_pydaemon (pid=%d): deadlock-timeout (%.9g s) exceeded in '%s', killing worker %u: %s "
                            "for %.1f s; %s.",
            (int)slot->pid, seconds(group->spec.deadlock_timeout_us), group->name, slot->number,
            is_gil ? "Python's lock (GIL) was not to be had in it" : "it has shown no sign of life",
            seconds(now_us - (is_gil ? facts->gil_asked_us : alive_us)), in_flight);
}

/* What is usual in the life of a worker. */
static void say_service(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                        const struct pyd_limit_facts *facts, enum pyd_cause cause, int64_t now_us)
{
    char words[160] = "";

    switch (cause) {
    case PYD_CAUSE_CPU_TIME:
        snprintf(words, sizeof words, "is replaced, it has used %.1f s of CPU time (cpu-time-limit %.9g s)",
                 seconds(facts->cpu_us), seconds(group->spec.cpu_time_limit_us));
        break;
    case PYD_CAUSE_REQUESTS:
        snprintf(words, sizeof words, "is replaced after %llu requests (maximum-requests %d, jitter %d %%)",
                 (unsigned long long)facts->requests, group->spec.maximum_requests,
                 group->spec.maximum_requests_jitter);
        break;
    case PYD_CAUSE_INTERVAL:
        snprintf(words, sizeof words, "is replaced after %.1f s (restart-interval %.9g s, jitter %d %%)",
                 seconds(now_us - facts->ready_us), seconds(group->spec.restart_interval_us),
                 group->spec.restart_interval_jitter);
        break;
    case PYD_CAUSE_INACTIVE:
        snprintf(words, sizeof words, "has had no request for %.1f s (inactivity-timeout) and stops until it is needed",
                 seconds(now_us - facts->active_us));
        break;
    default:
        return;
    }
    pyd_log(PYD_LOG_NOTICE, (int)group->index, "mod_pydaemon (pid=%d): Worker %u of '%s' %s.", (int)slot->pid,
            slot->number, group->name, words);
}

static void say(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                const struct pyd_manager_limits_slot *memory, const struct pyd_limit_facts *facts, int64_t now_us)
{
    switch (slot->must_go) {
    case PYD_CAUSE_MEMORY:
    case PYD_CAUSE_MEMORY_HARD:
        say_memory(group, slot, memory, slot->must_go, now_us);
        break;
    case PYD_CAUSE_DEADLOCK:
        say_deadlock(group, slot, facts, now_us);
        break;
    default:
        say_service(group, slot, facts, slot->must_go, now_us);
        break;
    }
}

static void condemn(const struct pyd_manager_group *group, struct pyd_manager_slot *slot,
                    struct pyd_manager_limits_slot *memory, struct pyd_limit_verdict verdict, int64_t now_us)
{
    if (slot->must_go == PYD_CAUSE_NONE) {
        slot->gone_since_us = now_us;
        memory->gone_requests = memory->requests;
        memory->gone_late = pyd_manager_late_ended(group, slot, memory);
    }
    slot->must_go = verdict.cause;
    slot->doomed = verdict.kill;
}

static int64_t earlier(int64_t a_us, int64_t b_us)
{
    return a_us < b_us ? a_us : b_us;
}

static int64_t check_slot(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us)
{
    struct pyd_manager_limits_slot *memory = &group->limits->slots[slot->index];
    struct pyd_manager_late_found late = {.next_us = INT64_MAX};
    struct pyd_limit_facts facts, judged;
    struct pyd_limit_verdict verdict;
    int64_t next_us;

    if (memory->epoch != slot->epoch)
        begin(group, slot, memory, now_us);
    if (slot->state != PYD_SLOT_STARTING)
        late = pyd_manager_late_check(group, slot, memory, now_us);
    if (slot->killed || slot->doomed)
        return INT64_MAX; /* all is said and done */
    next_us = measure(group, slot, memory, now_us);
    facts = judged = gather(group, slot, memory, late.fresh, now_us);
    judged.gil_asked_us = forgive(group, facts.gil_asked_us);
    judged.alive_us = forgive(group, facts.alive_us > 0 ? facts.alive_us : facts.ready_us);
    verdict = pyd_limit_check(&group->spec, &judged, now_us);
    if (pyd_limit_is_more_urgent(verdict.cause, slot->must_go)) {
        condemn(group, slot, memory, verdict, now_us);
        say(group, slot, memory, &facts, now_us);
        if (pyd_cause_is_limit(verdict.cause))
            pyd_manager_slot_say_stop(group, slot);
    }
    atomic_store(&slot->shared->must_go, (uint32_t)slot->must_go);
    slot->sick = slot->must_go != PYD_CAUSE_NONE && slot->must_go != PYD_CAUSE_INACTIVE && verdict.sick;
    if (slot->doomed)
        return INT64_MAX;
    if (late.unseen > 0 && group->spec.request_timeout_us > 0) {
        memory->late_dump_us = now_us;
        pyd_manager_dump_ask(group, slot, PYD_DUMP_WHY_TIMEOUT, 0, now_us);
    }
    if (slot->state != PYD_SLOT_STOPPING)
        next_us = earlier(next_us, pyd_manager_late_check_slow(group, slot, memory, now_us));
    return earlier(next_us, earlier(late.next_us, verdict.next_us));
}

static int is_watched(const struct pyd_manager_slot *slot)
{
    return slot->pid > 0 && slot->state != PYD_SLOT_EMPTY && slot->state != PYD_SLOT_DEAD;
}

int64_t pyd_manager_limits_check(struct pyd_manager_group *group, int64_t now_us)
{
    int64_t next_us = INT64_MAX;

    update_rate(group, now_us);
    for (uint32_t i = 0; i < group->slot_count; i++)
        if (is_watched(&group->slots[i]))
            next_us = earlier(next_us, check_slot(group, &group->slots[i], now_us));
    return next_us;
}

static int is_to_be_replaced(const struct pyd_manager_slot *slot)
{
    return slot->must_go != PYD_CAUSE_NONE && slot->must_go != PYD_CAUSE_INACTIVE;
}

/* Has it served, and has nobody taken its place? One that has retired for its successor never has to ask again. */
static int lacks_successor(const struct pyd_manager_slot *slot)
{
    return slot->pid > 0 && slot->ready_us != 0 && slot->successor_pid == 0 &&
           (is_to_be_replaced(slot) || (slot->adopted && slot->state == PYD_SLOT_READY));
}

/* As the plan has it: a limit first, the longest one; the adopted last. */
static int waits_longer(const struct pyd_manager_slot *one, const struct pyd_manager_slot *other)
{
    if (is_to_be_replaced(one) != is_to_be_replaced(other))
        return is_to_be_replaced(one);
    return is_to_be_replaced(one) ? one->gone_since_us < other->gone_since_us : one->since_us < other->since_us;
}

void pyd_manager_limits_succeed(struct pyd_manager_group *group, const struct pyd_manager_slot *successor,
                                int64_t now_us)
{
    struct pyd_manager_slot *oldest = NULL;

    for (uint32_t i = 0; i < group->slot_count; i++) {
        struct pyd_manager_slot *slot = &group->slots[i];

        if (slot != successor && lacks_successor(slot) && (!oldest || waits_longer(slot, oldest)))
            oldest = slot;
    }
    if (!oldest)
        return;
    oldest->successor_pid = successor->pid;
    oldest->successor_us = now_us;
}

static uint64_t count_finished(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot)
{
    const struct pyd_manager_limits_slot *memory = &group->limits->slots[slot->index];
    uint64_t ended, late;

    if (memory->epoch != slot->epoch)
        return 0;
    ended = pyd_manager_slot_requests(group, slot);
    ended = ended > memory->gone_requests ? ended - memory->gone_requests : 0;
    late = pyd_manager_late_ended(group, slot, memory);
    late = late > memory->gone_late ? late - memory->gone_late : 0;
    return ended > late ? ended - late : 0;
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

void pyd_manager_limits_ended(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                              int64_t now_us)
{
    uint64_t finished = count_finished(group, slot);
    char successor[80] = "not replaced yet", counts[80];
    int64_t waited_us;

    (void)now_us;
    if (!is_to_be_replaced(slot) || slot->ready_us == 0)
        return;
    waited_us = slot->successor_us > slot->gone_since_us ? slot->successor_us - slot->gone_since_us : 0;
    if (slot->successor_pid > 0)
        snprintf(successor, sizeof successor, "replaced by pid=%d after %.2f s", (int)slot->successor_pid,
                 seconds(waited_us));
    else if (slot->successor_pid == PYD_MANAGER_SOMEBODY)
        snprintf(successor, sizeof successor, "replaced before that");
    else if (group->ending)
        snprintf(successor, sizeof successor, "not replaced, as all workers stop");
    snprintf(counts, sizeof counts, "%llu request%s finished, %u timed out", (unsigned long long)finished,
             plural(finished), slot->timed_out);
    if (pyd_cause_is_limit(slot->must_go))
        pyd_log(PYD_LOG_ERR, (int)group->index, PYD_LOGNO(0631) "mod_pydaemon (pid=%d): Worker %s; %s.",
                (int)slot->pid, successor, counts);
    else
        pyd_log(PYD_LOG_NOTICE, (int)group->index, "mod_pydaemon (pid=%d): Worker %s; %s.", (int)slot->pid, successor,
                counts);
}
