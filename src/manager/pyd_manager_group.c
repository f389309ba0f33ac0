/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_manager_watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pyd_generation.h"
#include "pyd_log.h"
#include "pyd_proc.h"
#include "pyd_process.h"

static void set_state(struct pyd_manager_group *group, enum pyd_group_state state)
{
    group->state = state;
    atomic_store(&group->shared->state, (uint32_t)state);
    if (state != PYD_GROUP_FAILING)
        return;
    /* Once, also where workers become ready each time before they end. */
    if (!group->said_failing)
        pyd_manager_report_failing(group);
    group->said_failing = 1;
    /* Who waits in its queue is answered now rather than at queue-timeout. */
    pyd_queue_wake(group->board, group->index, UINT32_MAX);
}

/* Settings that can't be read can't be put right by trying again. */
static int read_spec(struct pyd_manager_group *group)
{
    char error[512] = "";
    int rv;

    group->spec_text = strdup(pyd_board_spec_text(group->board, group->index));
    if (!group->spec_text || pyd_spec_init(&group->spec, NULL))
        return ENOMEM;
    if (group->state == PYD_GROUP_BROKEN)
        return 0;
    rv = pyd_spec_parse(&group->spec, group->spec_text, error, sizeof error);
    if (rv == ENOMEM)
        return rv;
    if (rv) {
        pyd_log(PYD_LOG_CRIT, (int)group->index,
                PYD_LOGNO(0606) "mod_pydaemon (pid=%d): The settings of '%s' on the board can't be read (%s): requests "
                                "get 503 until httpd is restarted.",
                (int)getpid(), group->name, error);
        set_state(group, PYD_GROUP_BROKEN);
    }
    return 0;
}

static int make_title(struct pyd_manager_group *group)
{
    int n = group->spec.display_name ? asprintf(&group->title, "%s", group->spec.display_name)
                                     : asprintf(&group->title, "(pydaemon:%s)", group->name);

    if (n >= 0)
        return 0;
    group->title = NULL;
    return ENOMEM;
}

static void copy_fixed(struct pyd_manager_group *group, uint32_t index)
{
    const struct pyd_board_header *header = group->board->header;
    const struct pyd_board_settings_group *settings = pyd_board_settings(group->board, index);
    struct pyd_board_group *shared = pyd_board_group(group->board, index);
    uint32_t state = atomic_load(&shared->state);

    group->shared = shared;
    group->index = index;
    group->generation = header->generation;
    group->slot_count = settings->slot_count;
    group->threads = settings->threads;
    group->processes = settings->processes;
    group->status_fd = settings->status_fd;
    group->worker_fd = shared->worker_fd;
    group->lifeline_fd = header->lifeline_read_fd;
    group->lock_fd = header->lock_watch_fd;
    group->state = state <= PYD_GROUP_BROKEN ? (enum pyd_group_state)state : PYD_GROUP_STARTING;
    memcpy(group->name, settings->name, sizeof group->name);
    group->name[sizeof group->name - 1] = '\0';
}

int pyd_manager_group_init(struct pyd_manager_group *group, struct pyd_board *board, uint32_t index,
                           struct pyd_oom *oom, int64_t now_us)
{
    int rv;

    *group = (struct pyd_manager_group){.board = board, .oom = oom};
    copy_fixed(group, index);
    rv = read_spec(group);
    if (!rv)
        rv = make_title(group);
    if (rv)
        return rv;
    group->slots = calloc(group->slot_count, sizeof *group->slots);
    group->plan_slots = calloc(group->slot_count, sizeof *group->plan_slots);
    group->actions = calloc(PYD_PLAN_ACTIONS(group->slot_count), sizeof *group->actions);
    group->limits = pyd_manager_limits_create(group);
    if (!group->slots || !group->plan_slots || !group->actions || !group->limits)
        return ENOMEM;
    for (uint32_t i = 0; i < group->slot_count; i++)
        pyd_manager_slot_init(&group->slots[i], group, i);
    for (uint32_t i = 0; i < group->slot_count; i++)
        pyd_manager_slot_adopt(group, &group->slots[i], now_us);
    return 0;
}

void pyd_manager_group_done(struct pyd_manager_group *group)
{
    for (uint32_t i = 0; group->slots && i < group->slot_count; i++)
        if (group->slots[i].shared)
            pyd_manager_slot_done(&group->slots[i]);
    free(group->slots);
    free(group->plan_slots);
    free(group->actions);
    pyd_manager_limits_destroy(group->limits);
    free(group->title);
    free(group->spec_text);
    pyd_spec_done(&group->spec);
    *group = (struct pyd_manager_group){0};
}

struct pyd_manager_slot *pyd_manager_group_find(struct pyd_manager_group *group, pid_t pid)
{
    for (uint32_t i = 0; i < group->slot_count; i++)
        if (group->slots[i].pid == pid)
            return &group->slots[i];
    return NULL;
}

uint32_t pyd_manager_group_living(const struct pyd_manager_group *group)
{
    uint32_t living = 0;

    for (uint32_t i = 0; i < group->slot_count; i++)
        living += group->slots[i].pid > 0;
    return living;
}

void pyd_manager_group_end(struct pyd_manager_group *group, int64_t now_us)
{
    group->ending = 1;
    for (uint32_t i = 0; i < group->slot_count; i++)
        if (group->slots[i].killed)
            pyd_manager_slot_hurry(&group->slots[i], now_us);
}

void pyd_manager_group_failed(struct pyd_manager_group *group, int64_t started_us, int64_t now_us)
{
    int is_first = group->backoff.failures == 0;
    uint32_t ready = 0;

    for (uint32_t i = 0; i < group->slot_count; i++)
        ready += group->slots[i].state == PYD_SLOT_READY;
    if (!pyd_backoff_fail(&group->backoff, started_us, now_us))
        return;
    atomic_store(&group->shared->retry_at_us, group->backoff.retry_at_us);
    if (is_first && ready > 0)
        pyd_manager_report_degraded(group, ready);
}

static int is_living_owner(void *baton, uint32_t pid)
{
    const struct pyd_manager_group *group = baton;

    return pyd_generation_is_alive(group->lock_fd, pid);
}

/* What is free now is given to those who wait: at most one call each. */
static void call_waiting(struct pyd_manager_group *group)
{
    uint32_t count = 0;

    if (!pyd_queue_busy(group->board, group->index))
        return;
    for (uint32_t i = 0; i < group->slot_count; i++)
        if (group->slots[i].state == PYD_SLOT_READY)
            count += group->threads - pyd_claim_busy(group->board, group->index, i);
    pyd_queue_wake(group->board, group->index, count);
}

void pyd_manager_group_look(struct pyd_manager_group *group, const struct pyd_manager_slot *slot, int64_t now_us)
{
    if (pyd_manager_slot_is_closed(group, slot, now_us))
        pyd_manager_slot_drain(slot);
    call_waiting(group);
}

/* A worker that has finished a request, or has been ready for long enough, ends a time of failures. */
static void note_success(struct pyd_manager_group *group, const struct pyd_manager_slot *slot, int64_t now_us)
{
    unsigned failures = group->backoff.failures;

    if (slot->state != PYD_SLOT_READY || slot->adopted ||
        (now_us - slot->ready_us < PYD_MANAGER_PROVEN_US && pyd_manager_slot_requests(group, slot) == 0))
        return;
    if (!pyd_backoff_succeed(&group->backoff, slot->started_us))
        return;
    group->said_failing = 0;
    pyd_manager_report_recovered(group, failures);
}

void pyd_manager_group_sweep(struct pyd_manager_group *group, int64_t now_us)
{
    pyd_sweep(group->board, group->index, is_living_owner, group);
    for (uint32_t i = 0; i < group->slot_count; i++) {
        struct pyd_manager_slot *slot = &group->slots[i];

        if (slot->state == PYD_SLOT_DEAD && now_us - slot->since_us >= PYD_MANAGER_CLAIMED_US)
            pyd_sweep_slot_reclaim(group->board, group->index, i);
        if (pyd_manager_slot_is_closed(group, slot, now_us))
            pyd_manager_slot_drain(slot);
        if (slot->pid == 0)
            continue;
        if (slot->adopted && slot->pidfd < 0 && pyd_process_start_time(slot->pid) != slot->pid_start)
            pyd_manager_slot_ended(group, slot, NULL, now_us);
        else
            note_success(group, slot, now_us);
    }
}

/* Each worker's own affairs, before it is decided about. @return when to look again */
static int64_t watch_slots(struct pyd_manager_group *group, int64_t now_us)
{
    int64_t next_us = INT64_MAX;

    for (uint32_t i = 0; i < group->slot_count; i++) {
        struct pyd_manager_slot *slot = &group->slots[i];
        int64_t slot_us;

        if (slot->pid == 0)
            continue;
        slot_us = pyd_manager_slot_watch(group, slot, now_us);
        if (slot_us < next_us)
            next_us = slot_us;
    }
    return next_us;
}

/* Asked for only where it matters. */
static uint32_t count_unfinished(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot)
{
    if (slot->state != PYD_SLOT_RETIRING && slot->must_go != PYD_CAUSE_INACTIVE)
        return 0;
    return pyd_claim_unfinished(group->board, group->index, slot->index);
}

/* What a machine, or a manager, that stood still has taken from a worker that starts, or from its requests, does not
 * count. Who has been told to stop watches its own clock, and httpd waits for it by its own. */
static int64_t since_without_stalls(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot)
{
    if (slot->state != PYD_SLOT_STARTING && slot->state != PYD_SLOT_RETIRING)
        return slot->since_us;
    return slot->since_us + pyd_limit_stalled_us(&group->stalls, slot->since_us);
}

static void take_snapshot(const struct pyd_manager_group *group)
{
    for (uint32_t i = 0; i < group->slot_count; i++) {
        const struct pyd_manager_slot *slot = &group->slots[i];
        uint32_t says = slot->pid > 0 ? pyd_manager_slot_says(group, slot) : PYD_WORKER_INIT;

        group->plan_slots[i] = (struct pyd_plan_slot){
            .state = slot->state,
            .since_us = since_without_stalls(group, slot),
            .unfinished = count_unfinished(group, slot),
            .must_go = slot->must_go,
            .gone_since_us = slot->gone_since_us,
            .sick = slot->sick,
            .doomed = slot->doomed,
            .adopted = slot->adopted,
            .says_ready = says == PYD_WORKER_READY,
            .says_stopping = says == PYD_WORKER_STOPPING,
            .killed = slot->killed,
            .signalled_us = slot->signalled_us,
            .unclaimed = slot->pid == 0 && pyd_sweep_slot_unclaimed(group->board, group->index, i)};
    }
}

static void act(struct pyd_manager_group *group, const struct pyd_action *action, int64_t now_us)
{
    struct pyd_manager_slot *slot = &group->slots[action->slot];

    switch (action->kind) {
    case PYD_ACTION_FREE:
        pyd_manager_slot_free(slot, now_us);
        break;
    case PYD_ACTION_START:
        pyd_manager_slot_start(group, slot, now_us);
        break;
    case PYD_ACTION_READY:
        pyd_manager_slot_ready(group, slot, now_us);
        break;
    case PYD_ACTION_RETIRE:
        pyd_manager_slot_retire(group, slot, now_us);
        break;
    case PYD_ACTION_STOP:
        pyd_manager_slot_stop(group, slot, now_us);
        break;
    case PYD_ACTION_LEAVE:
        pyd_manager_slot_leave(group, slot, now_us);
        break;
    case PYD_ACTION_KILL:
        pyd_manager_slot_kill(group, slot, action->cause, now_us);
        break;
    case PYD_ACTION_SLEEP:
        group->asleep++;
        break;
    case PYD_ACTION_WAKE:
        group->asleep--;
        break;
    case PYD_ACTION_STATE:
        set_state(group, action->state);
        break;
    }
}

int64_t pyd_manager_group_run(struct pyd_manager_group *group, int64_t now_us)
{
    int64_t watch_us = watch_slots(group, now_us), next_us;
    struct pyd_plan_group situation = {.state = group->state,
                                       .backoff = group->backoff,
                                       .ending = group->ending,
                                       .processes = group->processes,
                                       .asleep = group->asleep,
                                       .waiting = pyd_queue_length(group->board, group->index),
                                       .slots = group->plan_slots,
                                       .slot_count = group->slot_count};
    size_t count;

    take_snapshot(group);
    count = pyd_plan(&group->spec, &situation, now_us, group->actions, &next_us);
    for (size_t i = 0; i < count; i++)
        act(group, &group->actions[i], now_us);
    if (count > 0)
        return now_us; /* what was done may allow more */
    return watch_us < next_us ? watch_us : next_us;
}
