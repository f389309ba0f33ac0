/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Requests that have exceeded request-timeout or slow-request. The child that waits for a request enforces the
 * first one, and says so; what it can't, as it is blocked, dead or gone, is found here.
 *
 * All of it is remembered by a claim's seq, which is new with each use: a request is counted, logged and dumped once,
 * however often it is looked at.
 */
#include "pyd_manager_limits.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pyd_log.h"

/* Each takes 560 bytes at most, with each byte of the URL escaped: this many fit into one message. */
#define IN_FLIGHT_SHOWN 12

/* A dump for slow requests is one thread's: the next one has to wait until it is done. */
#define SLOW_AGAIN_US INT64_C(100000)

static double seconds(int64_t us)
{
    return (double)us / 1e6;
}

static double mebibytes(int64_t bytes)
{
    return (double)bytes / 1048576;
}

static int look(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot, uint32_t claim,
                int64_t now_us, struct pyd_claim_view *ret_view)
{
    return pyd_claim_look(group->board, group->index, slot->index, claim, slot->epoch, now_us, ret_view);
}

static uint64_t late_seq(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot, uint32_t claim)
{
    return atomic_load(&pyd_board_claim(group->board, group->index, slot->index, claim)->late);
}

static uint64_t claim_seq(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot, uint32_t claim)
{
    return atomic_load(&pyd_board_claim(group->board, group->index, slot->index, claim)->seq);
}

static unsigned is_unseen(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot, uint32_t claim,
                          int64_t dump_us, int64_t now_us)
{
    return dump_us == 0 || now_us - dump_us >= PYD_MANAGER_LATE_DUMP_US ||
           atomic_load(&pyd_board_claim(group->board, group->index, slot->index, claim)->start_us) >= dump_us;
}

/* "thread 3" is pydaemon-3 in the dump: any thread may execute the request of any claim, but their names tell. */
static void describe_thread(const struct pyd_manager_slot *slot, const struct pyd_claim_view *view, char *room,
                            size_t size)
{
    char path[64], comm[32] = "";
    unsigned number;
    int fd;

    if (!view->begun) {
        snprintf(room, size, "not begun");
        return;
    }
    snprintf(path, sizeof path, "/proc/%d/task/%d/comm", (int)slot->pid, (int)view->tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, comm, sizeof comm - 1) < 0)
            comm[0] = '\0';
        close(fd);
    }
    if (sscanf(comm, "pydaemon-%u", &number) == 1)
        snprintf(room, size, "thread %u", number);
    else
        snprintf(room, size, "thread %d", (int)view->tid);
}

static const char *or_unknown(const char *text)
{
    return text[0] ? text : "?";
}

static void say_late(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                     const struct pyd_claim_view *view)
{
    char thread[32];

    describe_thread(slot, view, thread, sizeof thread);
    pyd_log(PYD_LOG_ERR, (int)group->index,
            PYD_LOGNO(0630) "mod_pydaemon (pid=%d): Request time limit exceeded in '%s': %s ran %.1f s of %.9g s "
                            "(request %s, client %s, %s).",
            (int)slot->pid, group->name, or_unknown(view->what), seconds(view->elapsed_us),
            seconds(group->spec.request_timeout_us), or_unknown(view->request_id), or_unknown(view->client), thread);
}

static void say_slow(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                     const struct pyd_claim_view *view)
{
    char thread[32];

    describe_thread(slot, view, thread, sizeof thread);
    pyd_log(PYD_LOG_WARNING, (int)group->index,
            PYD_LOGNO(0632) "mod_pydaemon (pid=%d): Slow request in '%s': %s runs for %.1f s (request %s, client %s, "
                            "%s).",
            (int)slot->pid, group->name, or_unknown(view->what), seconds(view->elapsed_us),
            or_unknown(view->request_id), or_unknown(view->client), thread);
}

void pyd_manager_late_begin(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                            struct pyd_manager_limits_slot *memory, int64_t now_us)
{
    for (uint32_t i = 0; i < group->threads; i++) {
        struct pyd_claim_view view;
        int in_use = look(group, slot, i, now_us, &view);

        memory->claims[i] = (struct pyd_manager_limits_claim){.late_seq = late_seq(group, slot, i)};
        if (in_use && view.late) /* as an earlier manager, or nobody yet, has seen */
            memory->claims[i].late_seq = view.ref.seq - 1;
    }
}

/* Say that it is late, if its child does not. It is looked at again: it may have ended, or its child been quicker. */
static void overtake(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                     struct pyd_claim_view *view)
{
    if (pyd_claim_set_late(group->board, &view->ref)) {
        view->late = 1;
        say_late(group, slot, view);
    } else {
        view->late = pyd_claim_is_late(group->board, &view->ref) != 0;
    }
}

static void note_next(int64_t *next_us, int64_t us)
{
    if (us < *next_us)
        *next_us = us;
}

static void check_deadline(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                           struct pyd_claim_view *view, int64_t now_us, int64_t *next_us)
{
    int64_t limit_us = group->spec.request_timeout_us;
    /* While nobody ran its child did not, either. */
    int64_t elapsed_us = view->elapsed_us - pyd_limit_stalled_us(&group->stalls, now_us - view->elapsed_us);

    if (limit_us <= 0 || view->late || limit_us > INT64_MAX - PYD_MANAGER_LATE_US)
        return;
    limit_us += PYD_MANAGER_LATE_US;
    if (elapsed_us >= limit_us)
        overtake(group, slot, view);
    else if (limit_us - elapsed_us < INT64_MAX - now_us)
        note_next(next_us, now_us + limit_us - elapsed_us);
}

struct pyd_manager_late_found pyd_manager_late_check(const struct pyd_manager_group *group,
                                                     struct pyd_manager_slot *slot,
                                                     struct pyd_manager_limits_slot *memory, int64_t now_us)
{
    struct pyd_manager_limits_claim *claims = memory->claims;
    struct pyd_manager_late_found found = {.next_us = INT64_MAX};

    for (uint32_t i = 0; i < group->threads; i++) {
        struct pyd_claim_view view;
        uint64_t late;

        if (look(group, slot, i, now_us, &view))
            check_deadline(group, slot, &view, now_us, &found.next_us);
        /* One that has ended since counts as well, so what is asked is the claim, whoever uses it now. A seq from the
         * future is a broken process's. */
        late = late_seq(group, slot, i);
        if (late > claims[i].late_seq && late <= claim_seq(group, slot, i)) {
            claims[i].late_seq = late;
            slot->timed_out++;
            found.fresh++;
            found.unseen += late == claim_seq(group, slot, i) &&
                            is_unseen(group, slot, i, memory->late_dump_us, now_us);
        }
    }
    return found;
}

int64_t pyd_manager_late_check_slow(struct pyd_manager_group *group, struct pyd_manager_slot *slot,
                                    struct pyd_manager_limits_slot *memory, int64_t now_us)
{
    int64_t limit_us = group->spec.slow_request_us, next_us = INT64_MAX;

    if (limit_us <= 0)
        return next_us;
    for (uint32_t i = 0; i < group->threads; i++) {
        struct pyd_claim_view view;

        if (!look(group, slot, i, now_us, &view) || view.late || memory->claims[i].slow_seq == view.ref.seq)
            continue;
        if (view.elapsed_us < limit_us) {
            if (limit_us - view.elapsed_us < INT64_MAX - now_us)
                note_next(&next_us, now_us + limit_us - view.elapsed_us);
            continue;
        }
        if (!view.begun)
            continue; /* it waits for the worker: nothing of it can be shown */
        if (pyd_manager_dump_pending(slot)) {
            note_next(&next_us, now_us + SLOW_AGAIN_US);
            continue;
        }
        memory->claims[i].slow_seq = view.ref.seq;
        say_slow(group, slot, &view);
        pyd_manager_dump_ask(group, slot, PYD_DUMP_WHY_SLOW, view.tid, now_us);
    }
    return next_us;
}

uint32_t pyd_manager_late_ended(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                                const struct pyd_manager_limits_slot *memory)
{
    const struct pyd_status_worker *status = pyd_board_status(group->board, group->index, slot->index);
    uint32_t running = 0;

    for (uint32_t i = 0; i < group->threads; i++)
        running += memory->claims[i].late_seq != 0 && atomic_load(&status->request[i].seq_state) ==
                                                          (memory->claims[i].late_seq << 1 | PYD_STATUS_RUNNING);
    return slot->timed_out > running ? slot->timed_out - running : 0;
}

__attribute__((format(printf, 4, 5)))
static void append(char *room, size_t size, size_t *used, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(room + *used, size - *used, format, args);
    va_end(args);
    if (n > 0)
        *used = *used + (size_t)n < size ? *used + (size_t)n : size - 1;
}

void pyd_manager_late_in_flight(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                                int64_t memory_bytes, int64_t now_us, char *room, size_t size)
{
    unsigned count = 0;
    size_t used = 0;

    room[0] = '\0';
    for (uint32_t i = 0; i < group->threads; i++) {
        struct pyd_claim_view view;

        if (!look(group, slot, i, now_us, &view) || !view.begun || ++count > IN_FLIGHT_SHOWN)
            continue;
        append(room, size, &used, "%s%s (since %.1f s", count == 1 ? "in flight: " : ", ", or_unknown(view.what),
               seconds(view.elapsed_us));
        if (view.memory_bytes > 0 && memory_bytes >= 0)
            append(room, size, &used, ", %.1f MiB when it began, %+.1f MiB since", mebibytes(view.memory_bytes),
                   mebibytes(memory_bytes) - mebibytes(view.memory_bytes));
        append(room, size, &used, ")");
    }
    if (count == 0)
        append(room, size, &used, "no request in flight");
    else if (count > IN_FLIGHT_SHOWN)
        append(room, size, &used, " and %u more", count - IN_FLIGHT_SHOWN);
}
