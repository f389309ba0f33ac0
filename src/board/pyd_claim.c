/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Dispatch. Memory order: all atomics here, in pyd_queue.c and in pyd_sweep.c
 * are sequentially consistent, and three pairs rely on it (each side stores,
 * then loads what the other one stores, so that at least one sees the other):
 *
 *   release: owner = 0,  then look for waiters    enter: be a waiter, then look for a free owner
 *   claim:   owner = pid, then look at the state  manager: state = RETIRING, then look at the owners
 *   leave:   stop waiting, then look for a free   release: as above; so a wake-up that went to a
 *            owner, and call the next waiter               waiter that had just given up is passed on
 */
#include "pyd_claim_state.h"

#include <errno.h>
#include <string.h>

#include "pyd_clock.h"

/* A lost race means that somebody else has won one, so a few turns do; the bound is for a damaged board only. */
#define TRIES_MAX 1000

static int is_running(const struct pyd_board *board, uint32_t group, uint32_t slot, uint32_t claim)
{
    const struct pyd_status_worker *status = pyd_board_status(board, group, slot);

    return (atomic_load(&status->request[claim].seq_state) & 1) == PYD_STATUS_RUNNING;
}

/* What an orphan waits for ended with the worker it was meant for. */
int pyd_claim_state_free(const struct pyd_board *board, uint32_t group, uint32_t slot, uint32_t claim, uint32_t owner)
{
    if (owner == PYD_OWNER_NONE)
        return 1;
    if (owner != PYD_OWNER_ORPHAN)
        return 0;
    return atomic_load(&pyd_board_claim(board, group, slot, claim)->epoch) !=
               atomic_load(&pyd_board_slot(board, group, slot)->epoch) ||
           !is_running(board, group, slot, claim);
}

uint32_t pyd_claim_busy(const struct pyd_board *board, uint32_t group, uint32_t slot)
{
    uint32_t threads = pyd_board_settings(board, group)->threads;
    _Atomic uint32_t *owners = pyd_board_owners(board, group, slot);
    uint32_t i, busy = 0;

    for (i = 0; i < threads; ++i)
        busy += !pyd_claim_state_free(board, group, slot, i, atomic_load(&owners[i]));
    return busy;
}

static int is_ready(const struct pyd_board *board, uint32_t group, uint32_t slot)
{
    return atomic_load(&pyd_board_slot(board, group, slot)->state) == PYD_SLOT_READY;
}

int pyd_claim_any_free(const struct pyd_board *board, uint32_t group)
{
    const struct pyd_board_settings_group *settings = pyd_board_settings(board, group);
    int any_good = 0, suspect_free = 0;
    uint32_t s;

    for (s = 0; s < settings->slot_count; ++s) {
        int is_free, is_suspect;

        if (!is_ready(board, group, s))
            continue;
        is_free = pyd_claim_busy(board, group, s) < settings->threads;
        is_suspect = pyd_claim_is_suspect(board, group, s);
        if (is_free && !is_suspect)
            return 1;
        any_good |= !is_suspect;
        suspect_free |= is_free;
    }
    return suspect_free && !any_good;
}

/* READY slots but `avoid`; if that is the only one it counts, and *avoid is cleared. */
static uint32_t count_ready(const struct pyd_board *board, uint32_t group, uint32_t *avoid)
{
    uint32_t slot_count = pyd_board_settings(board, group)->slot_count;
    uint32_t s, ready = 0;

    for (s = 0; s < slot_count; ++s)
        ready += s != *avoid && is_ready(board, group, s);
    if (ready == 0 && *avoid < slot_count) {
        ready = (uint32_t)is_ready(board, group, *avoid);
        *avoid = UINT32_MAX;
    }
    return ready;
}

/*
 * The least busy slot; of several the one that comes first when counting from `turn`. As long as there is one that is
 * not suspect, even without a free claim, none is taken that is: a thread will be free there sooner.
 */
static int pick_slot(struct pyd_board *board, uint32_t group, uint32_t avoid, uint32_t turn, uint32_t *ret_slot)
{
    const struct pyd_board_settings_group *settings = pyd_board_settings(board, group);
    uint32_t ready = count_ready(board, group, &avoid);
    uint32_t s, busy, place, nth = 0;
    uint32_t least = UINT32_MAX, first = UINT32_MAX;
    int is_suspect, any_good = 0;

    if (ready == 0)
        return ENOENT;
    turn %= ready;
    for (s = 0; s < settings->slot_count; ++s) {
        if (s == avoid || !is_ready(board, group, s))
            continue;
        busy = pyd_claim_busy(board, group, s);
        is_suspect = pyd_claim_is_suspect(board, group, s);
        any_good |= !is_suspect;
        place = (nth++ + ready - turn) % ready;
        if (busy >= settings->threads)
            continue;
        if (is_suspect)
            busy += settings->threads;
        if (busy < least || (busy == least && place < first)) {
            least = busy;
            first = place;
            *ret_slot = s;
        }
    }
    return least < (any_good ? settings->threads : UINT32_MAX) ? 0 : EAGAIN;
}

/* Take one claim. EAGAIN: it is taken; EBUSY: it was free a moment ago, or the slot is not what it was. */
static int take(struct pyd_board *board, const struct pyd_claim_ref *wanted, uint32_t self,
                struct pyd_claim_ref *ret_claim)
{
    struct pyd_board_slot *slot = pyd_board_slot(board, wanted->group, wanted->slot);
    _Atomic uint32_t *owner = pyd_board_owners(board, wanted->group, wanted->slot) + wanted->claim;
    struct pyd_board_claim *claim;
    uint32_t before = atomic_load(owner), epoch = atomic_load(&slot->epoch), mine = self;

    if (!pyd_claim_state_free(board, wanted->group, wanted->slot, wanted->claim, before))
        return EAGAIN;
    if (!atomic_compare_exchange_strong(owner, &before, self))
        return EBUSY;
    /* The manager may have retired or even replaced the worker since it was picked. From here on it can't be
     * replaced: the manager looks for owners before it starts another one. */
    if (atomic_load(&slot->state) != PYD_SLOT_READY || atomic_load(&slot->epoch) != epoch) {
        atomic_compare_exchange_strong(owner, &mine, before);
        return EBUSY;
    }
    claim = pyd_board_claim(board, wanted->group, wanted->slot, wanted->claim);
    *ret_claim = *wanted;
    ret_claim->epoch = epoch;
    ret_claim->seq = atomic_load(&claim->seq) + 1;
    /* With this seq nothing counts before it has been described. */
    atomic_store(&claim->start_us, 0);
    atomic_store(&claim->epoch, epoch);
    atomic_store(&claim->seq, ret_claim->seq);
    return 0;
}

int pyd_claim_try(struct pyd_board *board, uint32_t group, uint32_t self, uint32_t avoid_slot,
                  struct pyd_claim_ref *ret_claim)
{
    uint32_t threads = pyd_board_settings(board, group)->threads;
    /* Each process begins elsewhere, or they would all run into each other at the same claim. */
    uint32_t turn = atomic_fetch_add_explicit(&board->turn, 1, memory_order_relaxed) + self;
    struct pyd_claim_ref wanted = {.group = group};
    uint32_t tries, i;
    int rv;

    for (tries = 0; tries < TRIES_MAX; ++tries) {
        rv = pick_slot(board, group, avoid_slot, turn, &wanted.slot);
        if (rv)
            return rv;
        /* After a lost race this may not be the least busy one any more. */
        rv = EAGAIN;
        for (i = 0; rv == EAGAIN && i < threads; ++i) {
            wanted.claim = (turn + i) % threads;
            rv = take(board, &wanted, self, ret_claim);
        }
        if (!rv)
            return 0;
    }
    return EAGAIN;
}

static void copy_text(char *room, size_t size, const char *text)
{
    size_t bytes = strnlen(text, size - 1);

    memcpy(room, text, bytes);
    room[bytes] = '\0';
}

void pyd_claim_describe(struct pyd_board *board, const struct pyd_claim_ref *claim,
                        const struct pyd_claim_purpose *purpose, int64_t now_us)
{
    struct pyd_board_claim *shared = pyd_board_claim(board, claim->group, claim->slot, claim->claim);
    size_t method_bytes = strnlen(purpose->method, sizeof(shared->what) - 2);

    atomic_store(&shared->paused_since_us, 0);
    atomic_store(&shared->paused_us, 0);
    memcpy(shared->what, purpose->method, method_bytes);
    shared->what[method_bytes] = ' ';
    copy_text(shared->what + method_bytes + 1, sizeof(shared->what) - method_bytes - 1, purpose->uri);
    copy_text(shared->client, sizeof(shared->client), purpose->client);
    copy_text(shared->request_id, sizeof(shared->request_id), purpose->request_id);
    /* Last: what stands beside a start is this use's. */
    atomic_store(&shared->start_us, now_us);
}

void pyd_claim_what(const struct pyd_board *board, const struct pyd_claim_ref *claim, char *room, size_t size)
{
    const struct pyd_board_claim *shared = pyd_board_claim(board, claim->group, claim->slot, claim->claim);
    size_t bytes = sizeof(shared->what) < size ? sizeof(shared->what) : size;

    if (size == 0)
        return;
    memcpy(room, shared->what, bytes);
    room[bytes - 1] = '\0';
}

static struct pyd_status_request *request_of(const struct pyd_board *board, const struct pyd_claim_ref *claim)
{
    return &pyd_board_status(board, claim->group, claim->slot)->request[claim->claim];
}

/*
 * Let go of a claim. False if it is not this use's any more: whoever took it knows better. Its seq alone does not
 * tell, as the next owner stores his a moment after he has taken it; but it is taken from a living child only for the
 * slot to get another worker (pyd_sweep_slot_reclaim).
 */
static int give_up(struct pyd_board *board, const struct pyd_claim_ref *claim, uint32_t next)
{
    struct pyd_board_claim *shared = pyd_board_claim(board, claim->group, claim->slot, claim->claim);
    _Atomic uint32_t *owner = pyd_board_owners(board, claim->group, claim->slot) + claim->claim;
    uint32_t mine = atomic_load(owner);
    int64_t start_us = atomic_load(&shared->start_us);

    if (mine == PYD_OWNER_NONE || mine == PYD_OWNER_ORPHAN ||
        atomic_load(&pyd_board_slot(board, claim->group, claim->slot)->epoch) != claim->epoch ||
        atomic_load(&shared->seq) != claim->seq)
        return 0;
    if (next == PYD_OWNER_ORPHAN) {
        /* The client is nobody's any more. */
        if (atomic_load(&shared->paused_since_us) != 0)
            pyd_claim_resume(board, claim, pyd_clock_us());
        /* First, or the next owner's request could be begun while this one still may be. */
        pyd_status_revoke(request_of(board, claim), claim->seq);
    } else {
        /* Or to the manager this use would go on, until the next owner has stored his seq. */
        atomic_compare_exchange_strong(&shared->start_us, &start_us, 0);
    }
    return atomic_compare_exchange_strong(owner, &mine, next);
}

void pyd_claim_release(struct pyd_board *board, const struct pyd_claim_ref *claim)
{
    if (give_up(board, claim, PYD_OWNER_NONE) && is_ready(board, claim->group, claim->slot))
        pyd_queue_wake(board, claim->group, 1);
}

void pyd_claim_orphan(struct pyd_board *board, const struct pyd_claim_ref *claim)
{
    if (give_up(board, claim, PYD_OWNER_ORPHAN) && is_ready(board, claim->group, claim->slot) &&
        pyd_claim_state_free(board, claim->group, claim->slot, claim->claim, PYD_OWNER_ORPHAN))
        pyd_queue_wake(board, claim->group, 1);
}

int pyd_claim_begun(const struct pyd_board *board, const struct pyd_claim_ref *claim)
{
    /* Newer, when the claim was taken from us and has been used since. */
    return atomic_load(&request_of(board, claim)->seq_state) >> 1 >= claim->seq;
}

int pyd_claim_worker_gone(const struct pyd_board *board, const struct pyd_claim_ref *claim)
{
    const struct pyd_board_slot *slot = pyd_board_slot(board, claim->group, claim->slot);
    uint32_t state = atomic_load(&slot->state);

    return state == PYD_SLOT_DEAD || state == PYD_SLOT_EMPTY || atomic_load(&slot->epoch) != claim->epoch;
}

int pyd_claim_cause(const struct pyd_board *board, const struct pyd_claim_ref *claim, enum pyd_cause *ret_cause,
                    uint32_t *ret_detail, pid_t *ret_pid)
{
    const struct pyd_board_slot *slot = pyd_board_slot(board, claim->group, claim->slot);
    uint32_t ended = atomic_load(&slot->ended_epoch);
    uint32_t cause = atomic_load(&slot->ended_cause);
    uint32_t detail = atomic_load(&slot->ended_detail);
    uint32_t pid = atomic_load(&slot->ended_pid);

    /* Epochs grow; the difference is right across their wrap, too. */
    if ((int32_t)(ended - claim->epoch) < 0)
        return EAGAIN;
    if (ended != claim->epoch || cause > PYD_CAUSE_UNKNOWN) {
        cause = PYD_CAUSE_UNKNOWN;
        detail = pid = 0;
    }
    *ret_cause = (enum pyd_cause)cause;
    *ret_detail = detail;
    *ret_pid = (pid_t)pid;
    return 0;
}
