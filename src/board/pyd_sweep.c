/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Repairs what killed processes left. Runs beside everything else and may itself
 * be killed anywhere: each repair is one compare-and-swap from "held by that dead
 * pid", so doing it twice, or by two at a time, does no harm.
 *
 * A pid that dies and is given to a new httpd child between the question whether
 * it lives and the swap would be robbed. The new child frees what bears its pid
 * itself before it does anything (pyd_sweep_own), so this takes a sweep that
 * stands still for as long as a child needs to start and claim; the
 * robbed claim is then shared until its request ends, and nothing breaks.
 */
#include "pyd_board.h"

#include "pyd_clock.h"

#define VERSION_ONE (UINT64_C(1) << 32)

/* No claim has been used that often: its seq has been written over. Half of what there is, so that it can grow. */
#define SEQ_SANE_MAX (PYD_STATUS_SEQ_MAX >> 1)

/* Asks once for several entries of the same owner in a row: a question is a system call. */
struct census {
    pyd_alive_fn *alive;
    void *baton;
    uint32_t pid;
    int lives;
};

static int lives(struct census *census, uint32_t pid)
{
    if (pid != census->pid) {
        census->pid = pid;
        census->lives = census->alive(census->baton, pid);
    }
    return census->lives;
}

static int is_held(uint32_t owner)
{
    return owner != PYD_OWNER_NONE && owner != PYD_OWNER_ORPHAN;
}

/* As pyd_claim_orphan() does it, in the owner's place: he can't or won't. */
static uint32_t orphan(struct pyd_board *board, struct pyd_claim_ref claim, uint32_t owner)
{
    _Atomic uint32_t *word = pyd_board_owners(board, claim.group, claim.slot) + claim.claim;
    const struct pyd_board_claim *shared = pyd_board_claim(board, claim.group, claim.slot, claim.claim);

    claim.seq = atomic_load(&shared->seq);
    claim.epoch = atomic_load(&shared->epoch);
    /* Not the seq of another owner who has come since. */
    if (atomic_load(word) != owner)
        return 0;
    pyd_status_revoke(&pyd_board_status(board, claim.group, claim.slot)->request[claim.claim], claim.seq);
    /* The client is nobody's any more: from now on it counts again. */
    pyd_claim_resume(board, &claim, pyd_clock_us());
    return atomic_compare_exchange_strong(word, &owner, PYD_OWNER_ORPHAN);
}

static uint32_t sweep_claims(struct pyd_board *board, uint32_t group, struct census *census)
{
    const struct pyd_board_settings_group *settings = pyd_board_settings(board, group);
    uint32_t s, i, repaired = 0;

    for (s = 0; s < settings->slot_count; ++s) {
        _Atomic uint32_t *owners = pyd_board_owners(board, group, s);

        for (i = 0; i < settings->threads; ++i) {
            uint32_t owner = atomic_load(&owners[i]);

            if (is_held(owner) && !lives(census, owner))
                repaired += orphan(board, (struct pyd_claim_ref){.group = group, .slot = s, .claim = i}, owner);
        }
    }
    return repaired;
}

/* The ticket goes first, and only if it is the dead one's: another sweep may be here, too, and a new waiter come behind
 * it. Tickets are never used twice. */
static int free_waiter(struct pyd_board_waiter *waiter, uint32_t owner)
{
    uint64_t ticket = atomic_load(&waiter->ticket);

    if (atomic_load(&waiter->owner) != owner)
        return 0;
    atomic_compare_exchange_strong(&waiter->ticket, &ticket, 0);
    return atomic_compare_exchange_strong(&waiter->owner, &owner, PYD_OWNER_NONE);
}

/*
 * The count is corrected only if nobody was just entering or leaving (an owner
 * without a ticket: counted or not, one can't tell) and nobody has entered or left
 * since we began (the version, in the same word, is what it was).
 */
static uint32_t sweep_queue(struct pyd_board *board, uint32_t group, struct census *census)
{
    _Atomic uint64_t *queue = &pyd_board_group(board, group)->queue;
    uint32_t limit = pyd_board_settings(board, group)->queue_limit;
    uint64_t before = atomic_load(queue);
    uint32_t i, counted = 0, moving = 0, repaired = 0;

    for (i = 0; i < limit; ++i) {
        struct pyd_board_waiter *waiter = pyd_board_waiter(board, group, i);
        uint32_t owner = atomic_load(&waiter->owner);

        if (owner == PYD_OWNER_NONE)
            continue;
        if (!lives(census, owner))
            repaired += (uint32_t)free_waiter(waiter, owner);
        else if (atomic_load(&waiter->ticket) != 0)
            ++counted;
        else
            ++moving;
    }
    if (moving == 0 && (uint32_t)before != counted)
        repaired +=
            atomic_compare_exchange_strong(queue, &before, ((before >> 32 << 32) + VERSION_ONE) | counted);
    return repaired;
}

uint32_t pyd_sweep(struct pyd_board *board, uint32_t group, pyd_alive_fn *alive, void *baton)
{
    /* 0 is nobody's pid, and never asked for. */
    struct census census = {.alive = alive, .baton = baton};
    uint32_t repaired = sweep_claims(board, group, &census);

    repaired += sweep_queue(board, group, &census);
    if (repaired > 0)
        pyd_queue_wake(board, group, repaired);
    return repaired;
}

static int is_other(void *baton, uint32_t pid)
{
    return pid != *(const uint32_t *)baton;
}

void pyd_sweep_own(struct pyd_board *board, uint32_t self)
{
    uint32_t count = pyd_board_group_count(board);
    uint32_t group;

    for (group = 0; group < count; ++group)
        pyd_sweep(board, group, is_other, &self);
}

int pyd_sweep_slot_unclaimed(struct pyd_board *board, uint32_t group, uint32_t slot)
{
    uint32_t threads = pyd_board_settings(board, group)->threads;
    _Atomic uint32_t *owners = pyd_board_owners(board, group, slot);
    uint32_t i;

    for (i = 0; i < threads; ++i) {
        if (is_held(atomic_load(&owners[i])))
            return 0;
    }
    return 1;
}

uint32_t pyd_sweep_slot_reclaim(struct pyd_board *board, uint32_t group, uint32_t slot)
{
    uint32_t threads = pyd_board_settings(board, group)->threads;
    _Atomic uint32_t *owners = pyd_board_owners(board, group, slot);
    uint32_t i, taken = 0;

    for (i = 0; i < threads; ++i) {
        uint32_t owner = atomic_load(&owners[i]);

        if (is_held(owner))
            taken += orphan(board, (struct pyd_claim_ref){.group = group, .slot = slot, .claim = i}, owner);
    }
    return taken;
}

void pyd_sweep_slot_renew(struct pyd_board *board, uint32_t group, uint32_t slot)
{
    struct pyd_board_slot *shared = pyd_board_slot(board, group, slot);
    struct pyd_status_worker *status = pyd_board_status(board, group, slot);
    uint32_t threads = pyd_board_settings(board, group)->threads;
    _Atomic uint32_t *owners = pyd_board_owners(board, group, slot);
    uint32_t i;

    atomic_store(&shared->suspect_us, 0);
    atomic_store(&shared->memory_bytes, 0);
    atomic_store(&shared->cpu_us, 0);
    /* Epoch 0 is no worker's. */
    pyd_status_open(status, threads, 0);
    for (i = 0; i < threads; ++i) {
        struct pyd_board_claim *claim = pyd_board_claim(board, group, slot, i);
        uint64_t seq = atomic_load(&claim->seq);

        if (is_held(atomic_load(&owners[i])))
            continue; /* only who looks whether the slot is ready, and goes */
        if (seq > SEQ_SANE_MAX) {
            seq = 0;
            atomic_store(&claim->seq, seq);
        }
        /* A seq that begins anew must not meet one that was late. Else it stays: a child whose client has kept it since
         * before the end of the worker has yet to ask. */
        if (atomic_load(&claim->late) > seq)
            atomic_store(&claim->late, 0);
        atomic_store(&claim->start_us, 0);
        atomic_store(&claim->paused_since_us, 0);
        atomic_store(&claim->paused_us, 0);
        /* What an earlier worker, or a broken one next to it, has left there may be newer than any claim will ever be:
         * then this thread would refuse each request. */
        atomic_store(&status->request[i].seq_state, seq << 1 | PYD_STATUS_DONE);
    }
}
