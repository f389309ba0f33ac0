/* SPDX-License-Identifier: Apache-2.0 */

/*
 * request-timeout as far as it is this process's: how long the worker still has, what is said when it has had its time,
 * and whether another worker should have the request. What counts is in src/board/pyd_deadline.c.
 */
#include "pyd_timeout.h"

#include <apr_strings.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "pyd_clock.h"
#include "pyd_fd.h"
#include "pyd_generation.h"

/* A worker that lives begins what it gets in milliseconds, whatever Python does. */
#define BEGIN_WITHIN_US (2 * 1000 * 1000)

/* When it is late, but the worker has ended it: how long what is on its way may take to come, all in all. The worker
 * may lie; it is not believed for longer than that. */
#define LAST_WORD_US (1000 * 1000)

static struct pyd_status_request *record_of(const struct pyd_relay *relay)
{
    const struct pyd_claim_ref *claim = &relay->claim;

    return &pyd_board_status(relay->board, claim->group, claim->slot)->request[claim->claim];
}

void pyd_timeout_start(struct pyd_relay *relay, int64_t now_us)
{
    int64_t timeout_us = relay->mount.group->spec.request_timeout_us;
    int64_t within_us = timeout_us > 0 && timeout_us / 2 < BEGIN_WITHIN_US ? timeout_us / 2 : BEGIN_WITHIN_US;

    relay->begin_by_us = now_us + within_us;
    relay->last_word_by_us = 0;
    relay->late_bytes = -1;
    relay->app_us = -1;
}

/* All of it is on its way, perhaps behind what a slow client takes. */
static int has_ended(const struct pyd_relay *relay)
{
    return atomic_load(&record_of(relay)->seq_state) == (relay->claim.seq << 1 | PYD_STATUS_DONE);
}

int64_t pyd_timeout_left_us(struct pyd_relay *relay, int64_t now_us)
{
    int64_t timeout_us = relay->mount.group->spec.request_timeout_us, left_us;

    if (timeout_us == 0)
        return INT64_MAX;
    if (pyd_claim_is_late(relay->board, &relay->claim))
        return 0;
    left_us = timeout_us - pyd_claim_elapsed_us(relay->board, &relay->claim, now_us);
    if (left_us > 0)
        return left_us;
    if (!has_ended(relay))
        return 0;
    if (relay->last_word_by_us == 0)
        relay->last_word_by_us = now_us + LAST_WORD_US;
    return relay->last_word_by_us - now_us;
}

void pyd_timeout_received(struct pyd_relay *relay, size_t bytes)
{
    if (relay->late_bytes > 0)
        relay->late_bytes = (size_t)relay->late_bytes > bytes ? relay->late_bytes - (int64_t)bytes : 0;
}

int pyd_timeout_is_over(struct pyd_relay *relay)
{
    int there = 0;

    if (relay->late_bytes < 0) {
        if (pyd_timeout_left_us(relay, pyd_clock_us()) > 0)
            return 0;
        /* What had come by now counts; a worker that never stops sending must not win by that. */
        relay->late_bytes = ioctl(relay->backend->fd, FIONREAD, &there) == 0 ? there : 0;
    }
    return relay->late_bytes == 0;
}

int pyd_timeout_was_found(const struct pyd_relay *relay)
{
    return pyd_claim_is_late(relay->board, &relay->claim) && !pyd_response_is_whole(relay);
}

void pyd_timeout_pause(struct pyd_relay *relay)
{
    if (!relay->claimed)
        return;
    relay->paused_since_us = pyd_clock_us();
    pyd_claim_pause(relay->board, &relay->claim, relay->paused_since_us);
}

void pyd_timeout_resume(struct pyd_relay *relay)
{
    int64_t now_us;

    if (!relay->claimed)
        return;
    now_us = pyd_clock_us();
    if (relay->last_word_by_us != 0)
        relay->last_word_by_us += now_us - relay->paused_since_us;
    pyd_claim_resume(relay->board, &relay->claim, now_us);
}

/* The worker's begin and this exclude each other: from here on one of both has it for certain. */
int pyd_timeout_take_back(const struct pyd_relay *relay)
{
    return pyd_status_revoke(record_of(relay), relay->claim.seq);
}

int pyd_timeout_leave(struct pyd_relay *relay, int64_t now_us)
{
    if (now_us < relay->begin_by_us)
        return 0;
    if (pyd_claim_begun(relay->board, &relay->claim) || relay->flow.stage != PYD_FLOW_NEW || relay->body_taken)
        return 0;
    pyd_claim_suspect(relay->board, &relay->claim, now_us);
    if (!relay->may_leave || !pyd_dispatch_other(relay))
        return 0;
    if (pyd_timeout_take_back(relay))
        return 1;
    pyd_dispatch_drop_other(relay);
    return 0;
}

/* "thread 3" is pydaemon-3 in ps and in dumps: any thread may execute the request of any claim. */
static const char *describe_thread(const struct pyd_relay *relay)
{
    apr_pool_t *p = relay->r->pool;
    int32_t tid = atomic_load(&record_of(relay)->tid);
    const char *path = apr_psprintf(p, "/proc/%d/task/%d/comm", (int)relay->pid, (int)tid);
    char name[32] = "";
    unsigned number;
    int fd;

    if (!pyd_claim_begun(relay->board, &relay->claim))
        return "not begun";
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, name, sizeof(name) - 1) < 0)
        name[0] = '\0';
    pyd_fd_close(&fd);
    if (sscanf(name, "pydaemon-%u", &number) == 1)
        return apr_psprintf(p, "thread %u", number);
    return apr_psprintf(p, "thread %d", (int)tid);
}

int pyd_timeout_refused_late(const struct pyd_relay *relay, int64_t now_us)
{
    return now_us >= relay->begin_by_us || pyd_claim_begun(relay->board, &relay->claim);
}

/* Whoever finds it first says so; the manager does, too, when this thread waits for its client. */
void pyd_timeout_report(struct pyd_relay *relay, const char *answer)
{
    request_rec *r = relay->r;
    const char *thread = describe_thread(relay);
    double ran_s = (double)pyd_claim_elapsed_us(relay->board, &relay->claim, pyd_clock_us()) / 1e6;

    if (pyd_claim_set_late(relay->board, &relay->claim) || !pyd_claim_is_late(relay->board, &relay->claim)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      PYD_LOGNO(0228) "mod_pydaemon (pid=%d): Request time limit exceeded in '%s': %s ran %.1f s of "
                      "%.9g s (request %s, client %s, %s).",
                      (int)relay->pid, relay->name, relay->what, ran_s,
                      (double)relay->mount.group->spec.request_timeout_us / 1e6, r->log_id ? r->log_id : "-",
                      r->useragent_ip, thread);
        pyd_generation_poke(relay->board);
    }
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "%s has exceeded request-timeout: %s", relay->what, answer);
}
