/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pyd_env.h"
#include "pyd_fd.h"
#include "pyd_generation.h"
#include "pyd_log.h"
#include "pyd_manager.h"
#include "pyd_manager_watch.h"
#include "pyd_proc.h"
#include "pyd_process.h"

extern char **environ;

/* More connections than a rendezvous socket's buffer can hold. */
#define DRAIN_MAX 4096

/* A worker hears that it shall stop within this time, whatever its application does; but a machine may be busy. */
#define DEAF_US INT64_C(2000000)

/* httpd waits for the end of its workers, but not for long beyond their shutdown-timeout. */
#define LAST_DUMP_US INT64_C(1000000)

static void set_state(struct pyd_manager_slot *slot, enum pyd_slot_state state, int64_t now_us)
{
    slot->state = state;
    slot->since_us = now_us;
    atomic_store(&slot->shared->state_since_us, now_us);
    atomic_store(&slot->shared->state, (uint32_t)state);
}

void pyd_manager_slot_init(struct pyd_manager_slot *slot, const struct pyd_manager_group *group, uint32_t index)
{
    slot->shared = pyd_board_slot(group->board, group->index, index);
    slot->index = index;
    slot->epoch = atomic_load(&slot->shared->epoch);
    slot->rendezvous_fd = slot->shared->rendezvous_worker_fd;
    slot->log_write_fd = slot->shared->log_write_fd;
    slot->control_fd = -1;
    slot->pidfd = -1;
    pyd_fd_set_nonblocking(slot->shared->log_read_fd, 1);
    pyd_logpipe_init(&slot->log, slot->shared->log_read_fd, (int)group->index);
}

void pyd_manager_slot_done(struct pyd_manager_slot *slot)
{
    pyd_logpipe_finish(&slot->log);
    pyd_fd_close(&slot->control_fd);
    pyd_fd_close(&slot->pidfd);
}

/* A time from the board: whatever stands there, not later than now. */
static int64_t past(int64_t us, int64_t now_us)
{
    return us > 0 && us < now_us ? us : now_us;
}

/* Nothing has been measured of this worker, and it has reached no limit. */
static void reset_limits(struct pyd_manager_slot *slot, int64_t now_us)
{
    struct pyd_board_slot *shared = slot->shared;

    slot->must_go = slot->killed_for = PYD_CAUSE_NONE;
    slot->judged = slot->failed = slot->said_stop = slot->cried_stop = slot->said_requests = 0;
    slot->killed = slot->sick = slot->doomed = 0;
    slot->active_us = now_us;
    slot->memory_bytes = slot->cpu_us = -1;
    slot->timed_out = 0;
    slot->gone_since_us = slot->successor_us = slot->kill_by_us = slot->signalled_us = 0;
    slot->successor_pid = 0;
    slot->dump = (struct pyd_manager_dump){0};
    atomic_store(&shared->memory_bytes, 0);
    atomic_store(&shared->cpu_us, 0);
    if (slot->adopted)
        return;
    atomic_store(&shared->suspect_us, 0);
    atomic_store(&shared->must_go, PYD_CAUSE_NONE);
    atomic_store(&shared->killed_for, PYD_CAUSE_NONE);
}

/* The same for each manager of this worker. */
static void draw_luck(struct pyd_manager_slot *slot)
{
    uint32_t luck = (uint32_t)slot->pid * 2654435761u + slot->epoch;

    luck = (luck ^ luck >> 16) * 2246822519u;
    slot->luck = luck ^ luck >> 13;
}

/* Children know of it already: a log that takes its time must not hold them up. */
static void tell_end(struct pyd_manager_group *group, struct pyd_manager_slot *slot, enum pyd_cause cause,
                     uint32_t detail, int repeated, int64_t now_us)
{
    /* What it said last stands before the line about its end. */
    pyd_logpipe_finish(&slot->log);
    pyd_manager_dump_ended(group, slot, now_us);
    pyd_manager_report_ended(group, slot, cause, detail, repeated, now_us);
    pyd_manager_limits_ended(group, slot, now_us);
    atomic_store(&slot->shared->told_epoch, slot->epoch);
}

/* An earlier manager knew why the worker ended, told the children, and ended before it had logged it. */
static void tell_left_end(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us)
{
    const struct pyd_board_slot *shared = slot->shared;
    uint32_t cause = atomic_load(&shared->ended_cause), must_go = atomic_load(&shared->must_go);

    if (slot->state != PYD_SLOT_DEAD || slot->epoch == 0 || atomic_load(&shared->ended_epoch) != slot->epoch ||
        atomic_load(&shared->told_epoch) == slot->epoch)
        return;
    slot->adopted = 1;
    slot->number = atomic_load(&shared->number);
    slot->pid = (pid_t)atomic_load(&shared->ended_pid);
    slot->started_us = past(atomic_load(&shared->started_us), now_us);
    slot->ready_us = atomic_load(&shared->ready_us);
    slot->must_go = must_go < PYD_CAUSE_UNKNOWN ? (enum pyd_cause)must_go : PYD_CAUSE_NONE;
    slot->successor_pid = PYD_MANAGER_SOMEBODY;
    pyd_logpipe_name_writer(&slot->log, group->name, slot->pid);
    tell_end(group, slot, cause < PYD_CAUSE_UNKNOWN ? (enum pyd_cause)cause : PYD_CAUSE_UNKNOWN,
             atomic_load(&shared->ended_detail), 0, past(atomic_load(&shared->state_since_us), now_us));
    slot->pid = slot->successor_pid = 0;
    slot->must_go = PYD_CAUSE_NONE;
}

/* What its manager had decided, and said, before it ended itself. */
static void inherit(struct pyd_manager_slot *slot, int64_t now_us)
{
    enum pyd_cause must_go = (enum pyd_cause)atomic_load(&slot->shared->must_go);
    uint32_t killed_for = atomic_load(&slot->shared->killed_for);

    slot->retired = slot->state == PYD_SLOT_STOPPING || slot->state == PYD_SLOT_RETIRING;
    if (slot->retired)
        slot->successor_pid = PYD_MANAGER_SOMEBODY;
    /* Whether one that is idle goes is decided anew. */
    if (pyd_limit_is_more_urgent(must_go, slot->retired ? PYD_CAUSE_NONE : PYD_CAUSE_INACTIVE)) {
        slot->must_go = must_go;
        slot->gone_since_us = now_us;
        slot->doomed = must_go == PYD_CAUSE_DEADLOCK || must_go == PYD_CAUSE_MEMORY_HARD;
        slot->said_stop = slot->cried_stop = pyd_cause_is_limit(must_go) != 0;
    }
    if (slot->state == PYD_SLOT_STOPPING && killed_for > PYD_CAUSE_NONE && killed_for < PYD_CAUSE_UNKNOWN) {
        slot->killed = 1;
        slot->killed_for = (enum pyd_cause)killed_for;
        slot->kill_by_us = now_us + PYD_MANAGER_DUMP_MAX_US;
    }
    slot->told = slot->state == PYD_SLOT_STOPPING &&
                 (!slot->killed || slot->killed_for == PYD_CAUSE_SHUTDOWN_TIMEOUT);
}

void pyd_manager_slot_adopt(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us)
{
    const struct pyd_board_slot *shared = slot->shared;
    uint32_t state = atomic_load(&shared->state);

    slot->state = state == PYD_SLOT_EMPTY ? PYD_SLOT_EMPTY : PYD_SLOT_DEAD;
    slot->since_us = now_us;
    if (state == PYD_SLOT_EMPTY || state >= PYD_SLOT_DEAD) {
        tell_left_end(group, slot, now_us);
        return;
    }
    slot->adopted = 1;
    slot->state = (enum pyd_slot_state)state;
    slot->number = atomic_load(&shared->number);
    slot->pid = atomic_load(&shared->pid);
    slot->pid_start = atomic_load(&shared->pid_start);
    pyd_logpipe_name_writer(&slot->log, group->name, slot->pid);
    reset_limits(slot, now_us);
    draw_luck(slot);
    slot->started_us = past(atomic_load(&shared->started_us), now_us);
    slot->since_us = past(atomic_load(&shared->state_since_us), now_us);
    if (state != PYD_SLOT_STARTING && (state != PYD_SLOT_STOPPING || atomic_load(&shared->ready_us) != 0))
        slot->ready_us = past(atomic_load(&shared->ready_us), now_us);
    inherit(slot, now_us);
    /* Before it is looked at: whoever is found to be the worker then is who has been opened here. */
    slot->pidfd = slot->pid > 1 ? pyd_proc_watch(slot->pid) : -1;
    if (slot->pid > 0 && pyd_proc_is_worker(slot->pid, slot->pid_start, group->spec.uid, group->worker_fd)) {
        if (slot->told) /* perhaps it was not, as its manager died */
            pyd_proc_signal(slot->pid, slot->pidfd, SIGTERM);
        if (slot->killed) /* or it would be no more: the dump it has to wait for has not been logged */
            pyd_manager_dump_ask(group, slot, PYD_DUMP_WHY_KILL, 0, now_us);
        pyd_log(PYD_LOG_NOTICE, (int)group->index,
                "mod_pydaemon (pid=%d): Worker %u of '%s' was started by an earlier manager: %s.", (int)slot->pid,
                slot->number, group->name, slot->retired ? "it was to go already" : "it serves until it is replaced");
    } else if (slot->pid > 0) {
        slot->signalled_us = slot->killed ? now_us : 0; /* by its manager, as it had meant to */
        pyd_manager_slot_ended(group, slot, NULL, now_us);
    } else {
        set_state(slot, PYD_SLOT_DEAD, now_us); /* the earlier manager died before it could fork */
    }
}

void pyd_manager_slot_drain(const struct pyd_manager_slot *slot)
{
    for (int i = 0; i < DRAIN_MAX; i++) {
        unsigned char data[512];
        size_t size = sizeof data;
        int passed = -1, rv = pyd_fd_take(slot->rendezvous_fd, data, &size, &passed);

        pyd_fd_close(&passed);
        if (rv == EMFILE || rv == EBADMSG)
            continue; /* that one is lost, closed all the same; there may be others behind it */
        if (rv || size == 0)
            return;
    }
}

/*
 * One that says that it stops refuses what it may still take. One that has been told and says nothing is stopped or
 * stuck: should it take some after all, those who wait are none the worse for going elsewhere.
 */
int pyd_manager_slot_is_closed(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                               int64_t now_us)
{
    if (slot->pid == 0)
        return 1;
    return slot->state == PYD_SLOT_STOPPING &&
           (slot->killed || pyd_manager_slot_says(group, slot) == PYD_WORKER_STOPPING ||
            now_us - slot->since_us >= DEAF_US);
}

uint32_t pyd_manager_slot_says(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot)
{
    const struct pyd_status_worker *status = pyd_board_status(group->board, group->index, slot->index);

    return atomic_load(&status->epoch) == slot->epoch ? atomic_load(&status->state) : PYD_WORKER_INIT;
}

uint64_t pyd_manager_slot_requests(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot)
{
    const struct pyd_status_worker *status = pyd_board_status(group->board, group->index, slot->index);

    return atomic_load(&status->epoch) == slot->epoch ? atomic_load(&status->requests) : 0;
}

static uint32_t choose_number(const struct pyd_manager_group *group)
{
    for (uint32_t number = 1;; number++) {
        uint32_t i = 0;

        while (i < group->slot_count && !(group->slots[i].pid > 0 && group->slots[i].number == number))
            i++;
        if (i == group->slot_count)
            return number;
    }
}

static int write_job(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot, int *ret_fd)
{
    char *text = NULL;
    size_t size;
    int fd = -1, rv;

    if (asprintf(&text,
                 ".generation=%u\n.group=%u\n.slot=%u\n.slots=%u\n.threads=%u\n.epoch=%u\n.number=%u\n%s",
                 group->generation, group->index, slot->index, group->slot_count, group->threads, slot->epoch,
                 slot->number, group->spec_text) < 0)
        return ENOMEM;
    size = strlen(text);
    rv = pyd_fd_memory("pydaemon-job", size, &fd);
    if (rv)
        goto leave;
    /* At offset 0, where the worker begins to read. */
    if (pwrite(fd, text, size, 0) != (ssize_t)size) {
        rv = errno ? errno : EIO;
        goto leave;
    }
    *ret_fd = fd;
    fd = -1;

leave:
    pyd_fd_close(&fd);
    free(text);
    return rv;
}

static int make_env(const struct pyd_manager_group *group, char ***ret_env)
{
    char error[256] = "", *text = NULL;
    int rv = pyd_env_read_file(&group->spec, &text);

    if (rv)
        snprintf(error, sizeof error, "it can't be read: %s", strerror(rv));
    else
        rv = pyd_env_create(&group->spec, environ, text, error, sizeof error, ret_env);
    if (error[0] && group->backoff.failures == 0)
        pyd_log(PYD_LOG_ERR, (int)group->index, PYD_LOGNO(0607) "mod_pydaemon (pid=%d): env-file '%s' of '%s': %s.",
                (int)getpid(), group->spec.env_file, group->name, error);
    free(text);
    return rv;
}

/* Everything a worker needs, then the worker. */
static int launch(struct pyd_manager_group *group, struct pyd_manager_slot *slot)
{
    int control[2] = {-1, -1}, job_fd = -1, rv;
    char **env = NULL, title[PYD_SPEC_NAME_MAX + 512];
    char *argv[] = {title, NULL};

    snprintf(title, sizeof title, "%s %u", group->title, slot->number);
    rv = write_job(group, slot, &job_fd);
    if (rv)
        goto leave;
    rv = make_env(group, &env);
    if (rv)
        goto leave;
    rv = pyd_fd_socketpair(SOCK_SEQPACKET, control);
    if (rv)
        goto leave;
    pyd_fd_set_nonblocking(control[0], 1);
    rv = pyd_proc_start(&(struct pyd_proc_start){.spec = &group->spec,
                                                 .slot = slot->shared,
                                                 .group = (int)group->index,
                                                 .worker_fd = group->worker_fd,
                                                 .log_fd = slot->log_write_fd,
                                                 .rendezvous_fd = slot->rendezvous_fd,
                                                 .status_fd = group->status_fd,
                                                 .control_fd = control[1],
                                                 .lifeline_fd = group->lifeline_fd,
                                                 .lock_fd = group->lock_fd,
                                                 .job_fd = job_fd,
                                                 .argv = argv,
                                                 .env = env},
                        &slot->pid);
    if (rv)
        goto leave;
    slot->control_fd = control[0];
    control[0] = -1;

leave:
    pyd_env_destroy(env);
    pyd_fd_close(&control[0]);
    pyd_fd_close(&control[1]);
    pyd_fd_close(&job_fd);
    return rv;
}

void pyd_manager_slot_start(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us)
{
    struct pyd_board_slot *shared = slot->shared;
    int rv;

    pyd_manager_slot_drain(slot);
    /* Nobody holds a claim here who would read from it whether his request had begun. */
    pyd_sweep_slot_renew(group->board, group->index, slot->index);
    slot->epoch = slot->epoch == UINT32_MAX ? 1 : slot->epoch + 1;
    slot->number = choose_number(group);
    slot->adopted = slot->told = slot->left = slot->retired = 0;
    reset_limits(slot, now_us);
    slot->started_us = now_us;
    slot->ready_us = 0;
    atomic_store(&shared->pid, 0);
    atomic_store(&shared->epoch, slot->epoch);
    atomic_store(&shared->number, slot->number);
    atomic_store(&shared->started_us, now_us);
    atomic_store(&shared->ready_us, 0);
    set_state(slot, PYD_SLOT_STARTING, now_us);
    rv = launch(group, slot);
    if (rv) {
        slot->pid = 0;
        set_state(slot, PYD_SLOT_EMPTY, now_us);
        if (group->backoff.failures == 0)
            pyd_log(PYD_LOG_ERR, (int)group->index,
                    PYD_LOGNO(0605) "mod_pydaemon (pid=%d): No process for worker %u of '%s' could be made: %s.",
                    (int)getpid(), slot->number, group->name, strerror(rv));
        pyd_manager_group_failed(group, now_us, now_us);
        return;
    }
    slot->pid_start = pyd_process_start_time(slot->pid);
    draw_luck(slot);
    pyd_logpipe_name_writer(&slot->log, group->name, slot->pid);
    atomic_store(&shared->pid_start, slot->pid_start);
    atomic_store(&shared->pid, (int32_t)slot->pid);
    pyd_manager_report_started(group, slot);
}

void pyd_manager_slot_ready(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us)
{
    slot->ready_us = slot->active_us = now_us;
    atomic_store(&slot->shared->ready_us, now_us);
    set_state(slot, PYD_SLOT_READY, now_us);
    pyd_queue_wake(group->board, group->index, group->threads);
    pyd_manager_report_ready(group, slot);
    pyd_manager_limits_succeed(group, slot, now_us);
}

/* Successors are given to those that have waited for one longest; but who is in a hurry goes first. */
static void take_successor(struct pyd_manager_group *group, struct pyd_manager_slot *slot)
{
    for (uint32_t i = 0; slot->successor_pid == 0 && i < group->slot_count; i++) {
        struct pyd_manager_slot *other = &group->slots[i];

        if (other->state != PYD_SLOT_READY || other->successor_pid == 0)
            continue;
        slot->successor_pid = other->successor_pid;
        slot->successor_us = other->successor_us;
        other->successor_pid = 0;
        other->successor_us = 0;
    }
}

void pyd_manager_slot_retire(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us)
{
    slot->retired = 1;
    set_state(slot, PYD_SLOT_RETIRING, now_us);
    if (slot->must_go != PYD_CAUSE_INACTIVE && !slot->sick) {
        take_successor(group, slot);
        if (slot->successor_pid == 0)
            slot->successor_pid = PYD_MANAGER_SOMEBODY;
    }
    pyd_log(PYD_LOG_INFO, (int)group->index, "mod_pydaemon (pid=%d): Retiring worker %u of '%s'.", (int)slot->pid,
            slot->number, group->name);
}

/* A timeout says so long before the worker is told, for its successor is started first. What was said by the way before
 * something went wrong is said again: at the default LogLevel nobody has seen it. */
void pyd_manager_slot_say_stop(const struct pyd_manager_group *group, struct pyd_manager_slot *slot)
{
    int is_error = pyd_cause_is_limit(slot->must_go);

    if (slot->cried_stop || (slot->said_stop && !is_error))
        return;
    slot->said_stop = 1;
    slot->cried_stop = is_error != 0;
    pyd_manager_report_stop(group, slot, is_error);
}

void pyd_manager_slot_stop(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us)
{
    static const char stop = PYD_CONTROL_STOP;
    int is_starting = slot->state == PYD_SLOT_STARTING;

    slot->told = 1;
    set_state(slot, PYD_SLOT_STOPPING, now_us);
    /* While it starts it may not look at its control socket yet; an adopted one's is gone. */
    if (slot->control_fd < 0 || send(slot->control_fd, &stop, 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1 || is_starting)
        pyd_proc_signal(slot->pid, slot->pidfd, SIGTERM);
    pyd_manager_slot_say_stop(group, slot);
}

void pyd_manager_slot_hang_up(struct pyd_manager_slot *slot)
{
    pyd_fd_close(&slot->control_fd);
    if (slot->told) /* perhaps it never read that */
        pyd_proc_signal(slot->pid, slot->pidfd, SIGTERM);
}

/* Has it begun a request? A request that kills each worker must not put off the replacement, and all other requests
 * with it. */
static int has_worked(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot)
{
    const struct pyd_status_worker *status = pyd_board_status(group->board, group->index, slot->index);

    if (atomic_load(&status->epoch) != slot->epoch)
        return 0;
    for (uint32_t i = 0; i < group->threads; i++)
        if ((atomic_load(&status->request[i].seq_state) & 1) == PYD_STATUS_RUNNING)
            return 1;
    return atomic_load(&status->requests) > 0;
}

/* Does this end say that workers of the group can't be started? One that leaves by itself is no better than one that
 * exits: an application may send itself a SIGTERM. */
static int is_failed_start(struct pyd_manager_group *group, const struct pyd_manager_slot *slot, int64_t now_us)
{
    if (slot->told || slot->adopted)
        return 0;
    if (slot->ready_us == 0)
        return 1;
    if (now_us - slot->ready_us >= PYD_MANAGER_PROVEN_US || has_worked(group, slot))
        return 0;
    return !pyd_backoff_forgive(&group->backoff, now_us);
}

/* Decided once, as soon as its end is certain: its successor, which is not to be started at once then, would count as
 * started together with it. */
static int judge(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us)
{
    if (slot->judged)
        return 0;
    slot->judged = 1;
    slot->failed = is_failed_start(group, slot, now_us) != 0;
    return slot->failed;
}

void pyd_manager_slot_leave(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us)
{
    slot->left = 1;
    set_state(slot, PYD_SLOT_STOPPING, now_us);
    pyd_manager_slot_drain(slot);
    pyd_log(PYD_LOG_NOTICE, (int)group->index,
            "mod_pydaemon (pid=%d): Worker %u of '%s' is stopping by itself (has it been sent a SIGTERM?).",
            (int)slot->pid, slot->number, group->name);
    if (judge(group, slot, now_us))
        pyd_manager_group_failed(group, slot->started_us, now_us);
}

void pyd_manager_slot_kill(struct pyd_manager_group *group, struct pyd_manager_slot *slot, enum pyd_cause cause,
                           int64_t now_us)
{
    slot->killed = 1;
    slot->killed_for = cause;
    slot->kill_by_us = now_us + PYD_MANAGER_DUMP_MAX_US;
    if (cause == PYD_CAUSE_STARTUP_TIMEOUT || cause == PYD_CAUSE_SHUTDOWN_TIMEOUT)
        pyd_manager_report_kill(group, slot, now_us);
    if (cause != PYD_CAUSE_STARTUP_TIMEOUT)
        pyd_manager_slot_say_stop(group, slot);
    /* All that has been said so far need not be said again, should this manager end before the dump is there. */
    atomic_store(&slot->shared->killed_for, (uint32_t)cause);
    if (slot->state != PYD_SLOT_STOPPING)
        set_state(slot, PYD_SLOT_STOPPING, now_us);
    pyd_manager_dump_ask(group, slot, PYD_DUMP_WHY_KILL, 0, now_us);
    if (group->ending)
        pyd_manager_slot_hurry(slot, now_us);
    if (judge(group, slot, now_us))
        pyd_manager_group_failed(group, slot->started_us, now_us);
}

void pyd_manager_slot_hurry(struct pyd_manager_slot *slot, int64_t now_us)
{
    int64_t by_us = now_us + LAST_DUMP_US;

    if (slot->kill_by_us > by_us)
        slot->kill_by_us = by_us;
    if (slot->dump.latest_us > by_us) /* what can be had without the worker is logged all the same */
        slot->dump.latest_us = by_us;
}

/*
 * Half of its time to stop is over, and requests run on: with the next quarter the worker leaves them to their fate,
 * and ends by itself (src/worker/pyd_worker.c). Where they hang is worth knowing; of late ones it has been told. When
 * httpd itself stops that is nobody's fault.
 */
static int64_t dump_last_requests(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us)
{
    int64_t at_us = slot->since_us + group->spec.shutdown_timeout_us / 2;

    if (slot->state != PYD_SLOT_STOPPING || slot->killed || slot->said_requests || group->ending)
        return INT64_MAX;
    if (now_us < at_us)
        return at_us;
    slot->said_requests = 1;
    if (pyd_claim_unfinished(group->board, group->index, slot->index) > 0)
        pyd_manager_dump_ask(group, slot, PYD_DUMP_WHY_KILL, 0, now_us);
    return INT64_MAX;
}

int64_t pyd_manager_slot_watch(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us)
{
    int64_t next_us = dump_last_requests(group, slot, now_us), dump_us;

    dump_us = pyd_manager_dump_check(group, slot, now_us);
    if (dump_us < next_us)
        next_us = dump_us;
    if (!slot->killed || slot->signalled_us != 0)
        return next_us;
    if (pyd_manager_dump_pending(slot) && now_us < slot->kill_by_us)
        return next_us < slot->kill_by_us ? next_us : slot->kill_by_us;
    slot->signalled_us = now_us;
    pyd_proc_signal(slot->pid, slot->pidfd, SIGKILL);
    return next_us;
}

void pyd_manager_slot_free(struct pyd_manager_slot *slot, int64_t now_us)
{
    set_state(slot, PYD_SLOT_EMPTY, now_us);
}

static enum pyd_cause find_cause(struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                                 const int *wait_status, uint32_t *ret_detail)
{
    struct pyd_end end = {.has_wait_status = wait_status != NULL,
                          .was_ready = slot->ready_us != 0,
                          .told = slot->told,
                          /* Its last word may have come just before its end, and not been seen. */
                          .left = slot->left || pyd_manager_slot_says(group, slot) == PYD_WORKER_STOPPING,
                          .retired = slot->retired,
                          .killed = slot->killed,
                          /* What httpd's end has overtaken is not the reason. */
                          .must_go = slot->retired || slot->killed || !group->ending ? slot->must_go : PYD_CAUSE_NONE,
                          .killed_for = slot->signalled_us != 0 ? slot->killed_for : PYD_CAUSE_NONE};

    if (wait_status) {
        end.wait_status = *wait_status;
        end.oom = slot->signalled_us == 0 && WIFSIGNALED(*wait_status) && WTERMSIG(*wait_status) == SIGKILL &&
                  pyd_oom_happened(group->oom);
    }
    return pyd_cause_decide(&end, ret_detail);
}

/* Children who lost it wait for this, for at most 1.5 s. */
static void publish_end(struct pyd_manager_slot *slot, enum pyd_cause cause, uint32_t detail, int64_t now_us)
{
    struct pyd_board_slot *shared = slot->shared;

    atomic_store(&shared->ended_pid, (uint32_t)slot->pid);
    atomic_store(&shared->ended_cause, (uint32_t)cause);
    atomic_store(&shared->ended_detail, detail);
    atomic_store(&shared->ended_epoch, slot->epoch);
    atomic_store(&shared->pid, 0);
    set_state(slot, PYD_SLOT_DEAD, now_us);
}

void pyd_manager_slot_ended(struct pyd_manager_group *group, struct pyd_manager_slot *slot, const int *wait_status,
                            int64_t now_us)
{
    uint32_t detail;
    enum pyd_cause cause = find_cause(group, slot, wait_status, &detail);
    int failed = judge(group, slot, now_us);
    int repeated = slot->failed && group->backoff.failures > 0 && cause == group->last_cause &&
                   detail == group->last_detail;

    publish_end(slot, cause, detail, now_us);
    pyd_manager_slot_drain(slot);
    pyd_fd_close(&slot->control_fd);
    pyd_fd_close(&slot->pidfd);
    tell_end(group, slot, cause, detail, repeated, now_us);
    slot->pid = 0;
    if (slot->failed) {
        group->last_cause = cause;
        group->last_detail = detail;
    }
    if (failed)
        pyd_manager_group_failed(group, slot->started_us, now_us);
}
