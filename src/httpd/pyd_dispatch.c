/* SPDX-License-Identifier: Apache-2.0 */

/* How a request comes by a worker's thread, and what it is told if it does not. */
#include "pyd_relay.h"

#include <apr_strings.h>

#include "pyd_clock.h"

/* httpd waits for its threads when it stops: look up that often (httpd-traps.md). */
#define SLICE_US (1000 * 1000)

/* A group that cannot work needs an administrator: the client need not come back soon. */
#define BROKEN_RETRY_SECONDS 60
#define RETRY_SECONDS_MAX 60

int pyd_dispatch_expired(const struct pyd_relay *relay)
{
    int64_t timeout_us = relay->mount.group->spec.queue_timeout_us;

    return timeout_us > 0 && pyd_clock_us() - relay->started_us >= timeout_us;
}

int pyd_dispatch_unavailable(struct pyd_relay *relay, int64_t retry_after_seconds)
{
    request_rec *r = relay->r;

    if (retry_after_seconds < 1)
        retry_after_seconds = 1;
    apr_table_setn(r->err_headers_out, "Retry-After", apr_psprintf(r->pool, "%" APR_INT64_T_FMT, retry_after_seconds));
    atomic_fetch_add(&relay->group->failed_503, 1);
    return HTTP_SERVICE_UNAVAILABLE;
}

/* As if each request before this one took a second: what is known of them is only how many there are. */
static int64_t busy_retry_seconds(const struct pyd_relay *relay)
{
    int64_t threads = (int64_t)relay->sizes->threads * relay->sizes->processes;
    int64_t seconds =
        ((int64_t)pyd_queue_length(relay->board, relay->mount.group->index) + threads) / (threads > 0 ? threads : 1);

    return seconds > RETRY_SECONDS_MAX ? RETRY_SECONDS_MAX : seconds;
}

static int answer_full(struct pyd_relay *relay)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, relay->r,
                  PYD_LOGNO(0201) "queue of '%s' is full (%u requests wait, queue-limit=%u): %s answered 503",
                  relay->name, pyd_queue_length(relay->board, relay->mount.group->index), relay->sizes->queue_limit,
                  relay->what);
    return pyd_dispatch_unavailable(relay, busy_retry_seconds(relay));
}

static int answer_timeout(struct pyd_relay *relay)
{
    int starting = atomic_load(&relay->group->state) == PYD_GROUP_STARTING;

    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, relay->r,
                  PYD_LOGNO(0202) "no thread of '%s' was free within queue-timeout (%.1f s%s): %s answered 503",
                  relay->name, (double)(pyd_clock_us() - relay->started_us) / 1e6,
                  starting ? "; its workers are still starting" : "", relay->what);
    return pyd_dispatch_unavailable(relay, busy_retry_seconds(relay));
}

static int answer_failing(struct pyd_relay *relay)
{
    int64_t wait_us = atomic_load(&relay->group->retry_at_us) - pyd_clock_us();
    int64_t seconds = wait_us > 0 ? (wait_us + 999999) / 1000000 : 1;

    if (seconds > RETRY_SECONDS_MAX)
        seconds = RETRY_SECONDS_MAX;
    ap_log_rerror(
        APLOG_MARK, APLOG_ERR, 0, relay->r,
        PYD_LOGNO(0203) "workers of '%s' do not start (see above for the cause; next try in %d s): %s answered 503",
        relay->name, (int)seconds, relay->what);
    return pyd_dispatch_unavailable(relay, seconds);
}

static int answer_broken(struct pyd_relay *relay)
{
    const char *why = relay->mount.group->broken;

    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, relay->r, PYD_LOGNO(0204) "group '%s' cannot work: %s; %s answered 503",
                  relay->name, why ? why : "see the messages at httpd's start", relay->what);
    return pyd_dispatch_unavailable(relay, BROKEN_RETRY_SECONDS);
}

static int answer_stopping(struct pyd_relay *relay)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, relay->r, "httpd is stopping: %s answered 503", relay->what);
    return pyd_dispatch_unavailable(relay, 1);
}

/* What no waiting will change: OK, or the answer. none: no worker is ready. */
static int check_hopeless(struct pyd_relay *relay, int none)
{
    uint32_t state = atomic_load(&relay->group->state);

    if (atomic_load(&relay->board->header->stopping))
        return answer_stopping(relay);
    if (none && state == PYD_GROUP_BROKEN)
        return answer_broken(relay);
    if (none && state == PYD_GROUP_FAILING)
        return answer_failing(relay);
    return OK;
}

/* @return EAGAIN: wait; else *ret_status is the answer or OK */
static int try_claim(struct pyd_relay *relay, uint32_t avoid_slot, int *ret_status)
{
    int rv = pyd_claim_try(relay->board, relay->mount.group->index, relay->self, avoid_slot, &relay->claim);

    relay->claimed = rv == 0;
    *ret_status = relay->claimed ? OK : check_hopeless(relay, rv == ENOENT);
    return relay->claimed || *ret_status != OK ? 0 : EAGAIN;
}

/*
 * A hard stop shows as a client that has gone: httpd's MPMs close the sockets of their threads then. On a reload,
 * and when only this child ends, they do not, although AP_MPMQ_MPM_STATE says "stopping" just the same; a request that
 * waits then goes on waiting, for no request may fail because of a reload.
 */
static int wait_turn(struct pyd_relay *relay, uint32_t waiter)
{
    uint32_t group = relay->mount.group->index;
    int64_t timeout_us = relay->mount.group->spec.queue_timeout_us;
    int status;

    for (;;) {
        int64_t left_us = SLICE_US;

        if (pyd_queue_is_first(relay->board, group, waiter) && !try_claim(relay, UINT32_MAX, &status))
            return status;
        if (pyd_dispatch_expired(relay))
            return answer_timeout(relay);
        if (pyd_relay_client_gone(relay))
            return DONE;
        if (timeout_us > 0)
            left_us = relay->started_us + timeout_us - pyd_clock_us();
        if (left_us > 0)
            pyd_queue_wait(relay->board, group, waiter, left_us < SLICE_US ? left_us : SLICE_US);
    }
}

static int claim(struct pyd_relay *relay, uint32_t avoid_slot)
{
    uint32_t group = relay->mount.group->index, waiter;
    int status;

    /* Who has waited already (avoid_slot) need not queue up again behind those who came later. */
    if (avoid_slot != UINT32_MAX || !pyd_queue_busy(relay->board, group)) {
        if (!try_claim(relay, avoid_slot, &status))
            return status;
    }
    if (pyd_queue_enter(relay->board, group, relay->self, &waiter))
        return answer_full(relay);
    status = wait_turn(relay, waiter);
    pyd_queue_leave(relay->board, group, waiter);
    return status;
}

int pyd_dispatch_claim(struct pyd_relay *relay, uint32_t avoid_slot)
{
    int status = claim(relay, avoid_slot);

    if (status != OK)
        return status;
    relay->pid = atomic_load(&pyd_board_slot(relay->board, relay->claim.group, relay->claim.slot)->pid);
    pyd_claim_describe(relay->board, &relay->claim, relay->r->method,
                       relay->r->unparsed_uri ? relay->r->unparsed_uri : "", pyd_clock_us());
    return OK;
}
