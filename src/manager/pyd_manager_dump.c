/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pyd_dump_lines.h"
#include "pyd_dump_proc.h"
#include "pyd_log.h"
#include "pyd_manager.h"
#include "pyd_manager_watch.h"
#include "pyd_proc.h"

/* Who can't say that a dump has been written is looked at so often. */
#define LOOK_US INT64_C(50000)

/* A worker that goes on and on about its stacks must not keep the manager from its other work. */
#define UNASKED_US INT64_C(1000000)

#define PROC_TEXT_MAX (256u << 10)

/* Of this manager; a reader of the log finds by it which lines belong together. */
static uint32_t last_number;

static uint32_t new_number(void)
{
    last_number = last_number == UINT32_MAX ? 1 : last_number + 1;
    return last_number;
}

/* ---- logging ---- */

/* Of a worker that has died: its child may have given the claim back by now. What it was for still stands there. */
static int look_at_left_claim(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                              uint32_t claim, int64_t now_us, struct pyd_claim_view *ret_view)
{
    const struct pyd_status_worker *status = pyd_board_status(group->board, group->index, slot->index);
    const struct pyd_status_request *record = &status->request[claim];
    int64_t start_us = atomic_load(&record->start_us);
    struct pyd_claim_view view = {.ref = {.group = group->index, .slot = slot->index, .claim = claim}, .begun = 1};

    if (atomic_load(&status->epoch) != slot->epoch ||
        (atomic_load(&record->seq_state) & 1) != PYD_STATUS_RUNNING)
        return 0;
    view.tid = atomic_load(&record->tid);
    view.thread = atomic_load(&record->thread);
    view.elapsed_us = start_us > 0 && start_us < now_us ? now_us - start_us : 0;
    pyd_claim_what(group->board, &view.ref, view.what, sizeof view.what);
    *ret_view = view;
    return 1;
}

static size_t look_at_claims(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                             int is_dead, int64_t now_us, struct pyd_claim_view *views)
{
    size_t count = 0;

    for (uint32_t i = 0; i < group->threads; i++)
        if (pyd_claim_look(group->board, group->index, slot->index, i, slot->epoch, now_us, &views[count]) ||
            (is_dead && look_at_left_claim(group, slot, i, now_us, &views[count])))
            count++;
    return count;
}

/* What is executed now, for a dump that will be there later: the signals that make one may end what it is about. */
static void remember_requests(const struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us)
{
    struct pyd_manager_dump *dump = &slot->dump;

    dump->asked_us = now_us;
    dump->asked_count = 0;
    for (unsigned wants_late = 2; wants_late-- > 0;)
        for (uint32_t i = 0; i < group->threads && dump->asked_count < PYD_MANAGER_DUMP_ASKED; i++) {
            struct pyd_claim_view *view = &dump->asked[dump->asked_count];

            if (pyd_claim_look(group->board, group->index, slot->index, i, slot->epoch, now_us, view) && view->begun &&
                view->late == wants_late)
                dump->asked_count++;
        }
}

/* Of these, those whose threads execute nothing any more. */
static size_t add_remembered(const struct pyd_manager_dump *dump, int64_t now_us, struct pyd_claim_view *views,
                             size_t count)
{
    size_t all = count;

    for (size_t k = 0; k < dump->asked_count; k++) {
        size_t i = 0;

        while (i < count && (views[i].tid == 0 || views[i].tid != dump->asked[k].tid))
            i++;
        if (i < count)
            continue;
        views[all] = dump->asked[k];
        views[all++].elapsed_us += now_us - dump->asked_us;
    }
    return all;
}

static void log_lines(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot, uint32_t number,
                      const struct pyd_dump_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        pyd_log(PYD_LOG_ERR, (int)group->index, PYD_LOGNO(0650) "mod_pydaemon (pid=%d): %s [dump %u %zu/%zu]",
                (int)slot->pid, lines->lines[i], number, i + 1, lines->count);
}

/* @param dump its tier, text and only_tid; the requests are added here */
static void log_dump(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot, uint32_t number,
                     struct pyd_dump_input dump, int64_t now_us)
{
    struct pyd_claim_view *views = calloc(group->threads + PYD_MANAGER_DUMP_ASKED, sizeof *views);
    struct pyd_dump_lines lines = {0};
    int is_dead = slot->state == PYD_SLOT_DEAD;

    dump.bytes = dump.text ? strlen(dump.text) : 0;
    dump.claims = views;
    dump.claim_count = views ? look_at_claims(group, slot, is_dead, now_us, views) : 0;
    if (views && dump.tier == PYD_DUMP_NO_GIL && number == slot->dump.number) /* the one it was asked for */
        dump.claim_count = add_remembered(&slot->dump, now_us, views, dump.claim_count);
    if (pyd_dump_lines_create(&dump, &lines) == 0)
        log_lines(group, slot, number, &lines);
    else
        pyd_log(PYD_LOG_ERR, (int)group->index,
                PYD_LOGNO(0651) "mod_pydaemon (pid=%d): Stacks of worker %u of '%s' can't be shown: out of memory.",
                (int)slot->pid, slot->number, group->name);
    pyd_dump_lines_destroy(&lines);
    free(views);
}

/* ---- what the worker has written ---- */

/* As before, while the status is not this worker's. */
static uint32_t count_dumps(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot)
{
    const struct pyd_status_worker *status = pyd_board_status(group->board, group->index, slot->index);

    return atomic_load(&status->epoch) == slot->epoch ? atomic_load(&status->dumps) : slot->dump.dumps_before;
}

static int64_t area_of(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot)
{
    return pyd_area_offset(group->slot_count, group->threads, slot->index);
}

/* An earlier manager's worker may have written some that were logged then. */
static void begin_to_watch(const struct pyd_manager_group *group, struct pyd_manager_slot *slot)
{
    if (slot->adopted && !slot->dump.watched)
        slot->dump.dumps_before = count_dumps(group, slot);
    slot->dump.watched = 1;
}

/* Those that are made for information only leave threads alone, and say nothing of what is to become of the worker. */
static int may_interrupt(enum pyd_dump_why why)
{
    return why == PYD_DUMP_WHY_TIMEOUT || why == PYD_DUMP_WHY_KILL;
}

/* @param counts the status tells of a new one */
static int is_answer(const struct pyd_manager_slot *slot, const struct pyd_area_head *head, int counts)
{
    if (slot->dump.number == 0)
        return 0;
    return slot->dump.by_signal ? counts && head->dump == 0 : head->dump == slot->dump.number;
}

/*
 * Log what has come since the last look. It may be the answer; a late answer, or one to a signal, counts as unasked.
 * @param is_last nothing more is waited for: what does not count yet, as names and source lines have not been found
 * (pyd_watch.h), or has less in it than is wanted now, is better than nothing
 */
static void take_dump(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int is_last, int64_t now_us)
{
    uint32_t dumps = count_dumps(group, slot);
    int counts = dumps != slot->dump.dumps_before;
    struct pyd_dump_input dump = {0};
    struct pyd_area_head head;
    char *text = NULL;

    if ((!counts && !is_last) ||
        pyd_area_read(group->status_fd, area_of(group, slot), slot->epoch, &head, &text))
        return;
    dump.tier = head.tier == PYD_DUMP_GIL ? PYD_DUMP_GIL : PYD_DUMP_NO_GIL;
    dump.text = text;
    if (is_answer(slot, &head, counts)) {
        dump.only_tid = slot->dump.by_signal ? 0 : slot->dump.only_tid;
        log_dump(group, slot, slot->dump.number, dump, now_us);
        slot->dump.dumps_before = dumps;
        slot->dump.number = 0;
    } else if (!counts) {
        /* it has been logged */
    } else if (slot->dump.number != 0 && head.dump != 0 && !is_last) {
        slot->dump.dumps_before = dumps; /* another one has replaced it, which has all that is in it */
    } else if (is_last || slot->dump.unasked_us == 0 || now_us - slot->dump.unasked_us >= UNASKED_US) {
        log_dump(group, slot, new_number(), dump, now_us);
        slot->dump.dumps_before = dumps;
        slot->dump.unasked_us = now_us;
    }
    free(text);
}

/* Nothing will come: the kernel has to do. */
static void take_proc(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us)
{
    struct pyd_dump_input dump = {.tier = PYD_DUMP_PROC, .only_tid = slot->dump.only_tid};
    struct pyd_dump_writer writer;

    pyd_dump_writer_init(&writer, PROC_TEXT_MAX);
    pyd_dump_proc(&writer, slot->pid);
    pyd_dump_end(&writer);
    dump.text = (const char *)writer.text.data;
    log_dump(group, slot, slot->dump.number, dump, now_us);
    pyd_dump_writer_done(&writer);
    slot->dump.number = 0;
}

/* The worker is gone, and has not told: what remains is what this manager itself knows. */
static void take_requests(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us)
{
    struct pyd_dump_input dump = {.tier = PYD_DUMP_NONE, .only_tid = slot->dump.only_tid};

    log_dump(group, slot, slot->dump.number, dump, now_us);
    slot->dump.number = 0;
}

/* ---- asking ---- */

static int ask_by_control(const struct pyd_manager_slot *slot)
{
    struct pyd_control_dump message;

    if (slot->control_fd < 0)
        return 0;
    memset(&message, 0, sizeof message); /* its padding, too */
    message.kind = PYD_CONTROL_DUMP;
    message.no_signals = !may_interrupt(slot->dump.why);
    message.dump = slot->dump.number;
    message.tid = slot->dump.only_tid;
    return send(slot->control_fd, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof message;
}

/* Who has no handler for it yet, or has taken it away, would be ended by it. */
static int ask_by_signal(const struct pyd_manager_slot *slot)
{
    if (!pyd_dump_proc_catches(slot->pid, SIGUSR2))
        return 0;
    pyd_proc_signal(slot->pid, slot->pidfd, SIGUSR2);
    return 1;
}

static int has_what_is_wanted(const struct pyd_manager_dump *dump, enum pyd_dump_why why, pid_t only_tid)
{
    if (dump->by_signal)
        return 1; /* it could be asked for nothing else */
    return (dump->only_tid == 0 || dump->only_tid == only_tid) && (may_interrupt(dump->why) || !may_interrupt(why));
}

void pyd_manager_dump_ask(struct pyd_manager_group *group, struct pyd_manager_slot *slot, enum pyd_dump_why why,
                          pid_t only_tid, int64_t now_us)
{
    struct pyd_manager_dump *dump = &slot->dump;
    int had_enough = dump->number && has_what_is_wanted(dump, why, only_tid);

    if (slot->pid <= 0)
        return;
    begin_to_watch(group, slot);
    if (dump->number && dump->only_tid != only_tid)
        only_tid = 0;
    if (!dump->number || may_interrupt(why))
        dump->why = why;
    if (had_enough)
        return;
    dump->number = new_number();
    dump->only_tid = only_tid;
    dump->alive_us = now_us;
    dump->latest_us = now_us + PYD_MANAGER_DUMP_MAX_US;
    dump->by_signal = dump->begun = 0;
    remember_requests(group, slot, now_us);
    if (pyd_dump_proc_is_stopped(slot->pid)) {
        take_proc(group, slot, now_us);
    } else if (!ask_by_control(slot)) {
        dump->by_signal = 1;
        if (!ask_by_signal(slot))
            take_proc(group, slot, now_us);
    }
}

int pyd_manager_dump_pending(const struct pyd_manager_slot *slot)
{
    return slot->dump.number != 0;
}

static int64_t deadline_of(const struct pyd_manager_dump *dump)
{
    int64_t deadline_us = dump->alive_us + PYD_MANAGER_DUMP_US;

    return deadline_us < dump->latest_us ? deadline_us : dump->latest_us;
}

/* Has it shown that it is at work? Its keeper says so between the parts of a dump, and writes the first of them. */
static void look_for_life(const struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us)
{
    const struct pyd_status_worker *status = pyd_board_status(group->board, group->index, slot->index);
    int64_t alive_us = atomic_load(&status->alive_us);
    struct pyd_manager_dump *dump = &slot->dump;
    struct pyd_area_head head;
    char *text = NULL;

    if (atomic_load(&status->epoch) != slot->epoch)
        return;
    if (alive_us > dump->alive_us && alive_us <= now_us)
        dump->alive_us = alive_us;
    if (dump->begun || pyd_area_read(group->status_fd, area_of(group, slot), slot->epoch, &head, &text))
        return;
    free(text);
    dump->begun = is_answer(slot, &head, 0) != 0;
    if (dump->begun)
        dump->alive_us = now_us;
}

static int is_overdue(const struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us)
{
    if (slot->dump.number == 0)
        return 0;
    if (pyd_dump_proc_is_stopped(slot->pid))
        return 1;
    if (now_us >= deadline_of(&slot->dump))
        look_for_life(group, slot, now_us);
    return now_us >= deadline_of(&slot->dump);
}

int64_t pyd_manager_dump_check(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us)
{
    const struct pyd_manager_dump *dump = &slot->dump;
    int is_over;

    if (slot->pid <= 0)
        return INT64_MAX;
    begin_to_watch(group, slot);
    is_over = is_overdue(group, slot, now_us);
    take_dump(group, slot, is_over, now_us);
    if (dump->number && is_over)
        take_proc(group, slot, now_us);
    if (!dump->number)
        return count_dumps(group, slot) == dump->dumps_before ? INT64_MAX : now_us + UNASKED_US;
    return slot->control_fd < 0 && deadline_of(dump) > now_us + LOOK_US ? now_us + LOOK_US : deadline_of(dump);
}

void pyd_manager_dump_unasked(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us)
{
    pyd_manager_dump_check(group, slot, now_us);
}

/* What faulthandler writes it writes for these; for others somebody else has written there: a process that the
 * application has forked, say. */
static int may_have_crashed(const struct pyd_manager_slot *slot)
{
    const struct pyd_board_slot *shared = slot->shared;
    uint32_t cause = atomic_load(&shared->ended_cause), number = atomic_load(&shared->ended_detail);

    if (atomic_load(&shared->ended_epoch) != slot->epoch || cause == PYD_CAUSE_UNKNOWN)
        return 1;
    return cause == PYD_CAUSE_SIGNAL && (number == SIGSEGV || number == SIGFPE || number == SIGABRT ||
                                         number == SIGBUS || number == SIGILL);
}

void pyd_manager_dump_ended(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us)
{
    struct pyd_dump_input dump = {.tier = PYD_DUMP_CRASH};
    char *text = NULL;

    begin_to_watch(group, slot);
    take_dump(group, slot, 1, now_us); /* it may have come just before the end */
    if (may_have_crashed(slot) &&
        pyd_area_read_crash(group->status_fd, area_of(group, slot), slot->epoch, &text) == 0) {
        dump.text = text;
        log_dump(group, slot, new_number(), dump, now_us);
        free(text);
        slot->dump.number = 0; /* its requests have been logged with that */
    }
    if (slot->dump.number != 0)
        take_requests(group, slot, now_us);
    slot->dump = (struct pyd_manager_dump){0};
}
