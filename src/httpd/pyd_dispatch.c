/* SPDX-License-Identifier: Apache-2.0 */

/* How a request comes by a worker's thread, and what it is told if it does not. */
#include "pyd_notes.h"
#include "pyd_timeout.h"

#include <apr_strings.h>
#include <apr_time.h>
#include <errno.h>

#include "pyd_clock.h"
#include "pyd_ending.h"
#include "pyd_generation.h"
#include "pyd_retry.h"

/* httpd waits for its threads when it stops: look up that often (httpd-traps.md). */
#define SLICE_US (1000 * 1000)

/* A group that cannot work needs an administrator: the client need not come back soon. */
#define BROKEN_RETRY_SECONDS 60

/* Workers that have ended, of which the board does not know yet: how often to look again; how many of their claims to
 * hold while looking for a living one; and how long to wait where queue-timeout is off. A manager that has not noticed
 * by then is stopped, or dead and not replaced. */
#define ENDED_PAUSE_US (20 * 1000)
#define ENDED_CLAIMS_MAX 64
#define ENDED_WAIT_US (60 * 1000 * 1000)

int pyd_dispatch_expired(const struct pyd_relay *relay)
{
    int64_t timeout_us = relay->mount.group->spec.queue_timeout_us;

    if (timeout_us == 0 && relay->none_lives)
        timeout_us = ENDED_WAIT_US;
    return timeout_us > 0 && pyd_clock_us() - relay->queue_from_us >= timeout_us;
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

static int64_t busy_retry_seconds(const struct pyd_relay *relay)
{
    return pyd_retry_seconds(pyd_queue_length(relay->board, relay->mount.group->index),
                             atomic_load(&relay->group->finished_per_1000_s),
                             (uint64_t)relay->sizes->threads * relay->sizes->processes);
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
    const char *why = "";

    if (relay->none_lives)
        why = apr_psprintf(relay->r->pool, "; worker pid=%d has ended, and manager pid=%d has not replaced it",
                           (int)relay->ended_pid, (int)atomic_load(&relay->board->header->manager_pid));
    else if (atomic_load(&relay->group->state) == PYD_GROUP_STARTING)
        why = "; its workers are still starting";
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, relay->r,
                  PYD_LOGNO(0202) "no thread of '%s' was free within queue-timeout (%.1f s%s): %s answered 503",
                  relay->name, (double)(pyd_clock_us() - relay->queue_from_us) / 1e6, why, relay->what);
    return pyd_dispatch_unavailable(relay, busy_retry_seconds(relay));
}

/* Why they do not start: how the one ended that was heard of last. */
static const char *describe_failure(const struct pyd_relay *relay)
{
    const struct pyd_board_slot *last = NULL;
    uint32_t s;
    char text[160];

    for (s = 0; s < relay->sizes->slot_count; ++s) {
        const struct pyd_board_slot *slot = pyd_board_slot(relay->board, relay->mount.group->index, s);

        /* Not if no process could be made after it: that has another cause. */
        if (atomic_load(&slot->ended_epoch) != 0 && atomic_load(&slot->ended_epoch) == atomic_load(&slot->epoch) &&
            (!last || atomic_load(&slot->state_since_us) > atomic_load(&last->state_since_us)))
            last = slot;
    }
    if (!last)
        return "see above for the cause";
    pyd_ending_text((enum pyd_cause)atomic_load(&last->ended_cause), atomic_load(&last->ended_detail), text,
                    sizeof(text));
    return apr_psprintf(relay->r->pool, "the last one, pid=%d, %s", (int)atomic_load(&last->ended_pid), text);
}

static int answer_failing(struct pyd_relay *relay)
{
    int64_t wait_us = atomic_load(&relay->group->retry_at_us) - pyd_clock_us();
    int64_t seconds = wait_us > 0 ? (wait_us + 999999) / 1000000 : 1;

    if (seconds > PYD_RETRY_SECONDS_MAX)
        seconds = PYD_RETRY_SECONDS_MAX;
    ap_log_rerror(
        APLOG_MARK, APLOG_ERR, 0, relay->r,
        PYD_LOGNO(0203) "workers of '%s' do not start (%s; next try in %d s): %s answered 503", relay->name,
        describe_failure(relay), (int)seconds, relay->what);
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

/* Whether a worker may be there that says READY, busy or not. */
static int may_live(const struct pyd_relay *relay, uint32_t index)
{
    struct pyd_claim_ref ref = {.group = relay->mount.group->index, .slot = index};
    const struct pyd_board_slot *slot = pyd_board_slot(relay->board, ref.group, ref.slot);

    ref.epoch = atomic_load(&slot->epoch);
    return atomic_load(&slot->state) == PYD_SLOT_READY && !pyd_backend_has_ended(&ref);
}

static int any_living(const struct pyd_relay *relay)
{
    uint32_t slot;

    for (slot = 0; slot < relay->sizes->slot_count; ++slot) {
        if (may_live(relay, slot))
            return 1;
    }
    return 0;
}

/* True if another worker than the claimed one would begin a request, now or when it has a thread. */
static int any_better(const struct pyd_relay *relay)
{
    uint32_t slot;

    for (slot = 0; slot < relay->sizes->slot_count; ++slot) {
        if (slot != relay->claim.slot && may_live(relay, slot) &&
            !pyd_claim_is_suspect(relay->board, relay->claim.group, slot))
            return 1;
    }
    return 0;
}

/* A claim of a worker that is not known to have ended. Those of ended ones are held meanwhile: being the least busy,
 * they would come first each time. */
static int try_living(struct pyd_relay *relay, uint32_t avoid_slot)
{
    struct pyd_claim_ref held[ENDED_CLAIMS_MAX];
    size_t count = 0;
    int rv;

    relay->ended_pid = 0;
    relay->none_lives = 0;
    for (;;) {
        rv = pyd_claim_try(relay->board, relay->mount.group->index, relay->self, avoid_slot, &relay->claim);
        if (rv || !pyd_backend_has_ended(&relay->claim))
            break;
        avoid_slot = relay->claim.slot;
        held[count++] = relay->claim;
        relay->none_lives = !any_living(relay);
        rv = EAGAIN;
        if (relay->none_lives || count == ENDED_CLAIMS_MAX)
            break;
    }
    if (rv && count > 0)
        relay->ended_pid = atomic_load(&pyd_board_slot(relay->board, held[0].group, held[0].slot)->pid);
    while (count > 0)
        pyd_claim_release(relay->board, &held[--count]);
    return rv;
}

/* @return EAGAIN: wait; else *ret_status is the answer or OK */
static int try_claim(struct pyd_relay *relay, uint32_t avoid_slot, int *ret_status)
{
    int rv = try_living(relay, avoid_slot);

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
        /* Giving back the claims of an ended worker has called a waiter, perhaps this one, which would not wait. */
        if (relay->ended_pid)
            apr_sleep(ENDED_PAUSE_US);
        if (timeout_us > 0)
            left_us = relay->queue_from_us + timeout_us - pyd_clock_us();
        if (left_us > 0)
            pyd_queue_wait(relay->board, group, waiter, left_us < SLICE_US ? left_us : SLICE_US);
    }
}

static uint32_t count_ready(const struct pyd_relay *relay)
{
    uint32_t group = relay->mount.group->index, slot, ready = 0;

    for (slot = 0; slot < relay->sizes->slot_count; ++slot)
        ready += atomic_load(&pyd_board_slot(relay->board, group, slot)->state) == PYD_SLOT_READY;
    return ready;
}

/* After inactivity-timeout it takes somebody who waits, and knows it, to have workers again. */
static void wake_manager(const struct pyd_relay *relay)
{
    uint32_t wanted = relay->mount.group->spec.inactivity_timeout_us > 0 ? relay->sizes->processes : 1;

    if (atomic_load(&relay->group->state) == PYD_GROUP_SERVING && count_ready(relay) < wanted)
        pyd_generation_poke(relay->board);
}

/* Nobody listens any more to who has waited long enough: the thread is the next one's. */
static int check_client(struct pyd_relay *relay)
{
    if (!pyd_relay_client_gone(relay))
        return OK;
    relay->claimed = 0;
    pyd_claim_release(relay->board, &relay->claim);
    return DONE;
}

/* In the queue, with a place there. */
static int queue_up(struct pyd_relay *relay)
{
    int status;

    wake_manager(relay);
    status = wait_turn(relay, relay->waiter);
    if (status == OK)
        status = check_client(relay);
    relay->queued = 0;
    pyd_queue_leave(relay->board, relay->mount.group->index, relay->waiter);
    return status;
}

static int claim(struct pyd_relay *relay, uint32_t avoid_slot)
{
    uint32_t group = relay->mount.group->index;
    int status;

    if (relay->other_claimed) {
        relay->other_claimed = 0;
        relay->claim = relay->other;
        relay->claimed = 1;
        return OK;
    }
    /* Who has waited already (avoid_slot) need not queue up again behind those who came later. */
    if (!relay->queued && (avoid_slot != UINT32_MAX || !pyd_queue_busy(relay->board, group))) {
        if (!try_claim(relay, avoid_slot, &status))
            return status;
    }
    if (!relay->queued && pyd_queue_enter(relay->board, group, relay->self, &relay->waiter))
        return answer_full(relay);
    relay->queued = 1;
    return queue_up(relay);
}

/* A thread that is free now, even if others wait: this request has waited already. */
static int claim_other(struct pyd_relay *relay)
{
    struct pyd_claim_ref *other = &relay->other;

    if (pyd_claim_try(relay->board, relay->claim.group, relay->self, relay->claim.slot, other))
        return 0;
    relay->other_claimed = 1;
    if (other->slot != relay->claim.slot && !pyd_backend_has_ended(other) &&
        !pyd_claim_is_suspect(relay->board, other->group, other->slot))
        return 1;
    pyd_dispatch_drop_other(relay);
    return 0;
}

/* Where all threads are taken, the place in the queue comes first: a request that httpd has taken on is not refused
 * because the queue is full. */
int pyd_dispatch_other(struct pyd_relay *relay)
{
    if (!any_better(relay))
        return 0;
    if (!claim_other(relay))
        relay->queued = pyd_queue_enter(relay->board, relay->claim.group, relay->self, &relay->waiter) == 0;
    return relay->other_claimed || relay->queued;
}

void pyd_dispatch_drop_other(struct pyd_relay *relay)
{
    int was_queued = relay->queued, was_claimed = relay->other_claimed;

    relay->queued = relay->other_claimed = 0; /* first: prefork's signal handler may come in between */
    if (was_queued)
        pyd_queue_leave(relay->board, relay->mount.group->index, relay->waiter);
    if (was_claimed)
        pyd_claim_release(relay->board, &relay->other);
}

int pyd_dispatch_claim(struct pyd_relay *relay, uint32_t avoid_slot)
{
    const struct pyd_board_slot *slot;
    int status = claim(relay, avoid_slot);
    int64_t now_us;

    if (status != OK) {
        pyd_notes_unclaimed(relay);
        return status;
    }
    now_us = pyd_clock_us();
    slot = pyd_board_slot(relay->board, relay->claim.group, relay->claim.slot);
    relay->pid = atomic_load(&slot->pid);
    relay->pid_start = atomic_load(&slot->pid_start);
    if (atomic_load(&slot->epoch) != relay->claim.epoch)
        relay->pid_start = 0; /* another worker's */
    pyd_claim_describe(relay->board, &relay->claim,
                       &(struct pyd_claim_purpose){.method = relay->r->method,
                                                   .uri = relay->r->unparsed_uri ? relay->r->unparsed_uri : "",
                                                   .client = relay->r->useragent_ip,
                                                   .request_id = relay->r->log_id ? relay->r->log_id : ""},
                       now_us);
    pyd_timeout_start(relay, now_us);
    pyd_notes_claimed(relay, now_us);
    return OK;
}
