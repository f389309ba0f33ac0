/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How long a request has run, as far as it counts, and what is late or suspect.
 *
 * A pause is written by the child, the time waited by the worker, both are read by the manager, too, and none waits
 * for another. Where a reader comes between two stores it finds the time that counts too short, never too long:
 * what a pause has brought is stored before the pause ends, and read after it. So a request may be found late a little
 * later than it is; none is that is not.
 *
 * What the worker says bounds what its own requests gain, and the length of the pause bounds that; what stands on the
 * board in the place of a time is brought into the range it must have, so that sums do not overflow.
 */
#include "pyd_claim_state.h"

#include <string.h>

#include "pyd_clock.h"

/* Only a wild write into the board can make a turn fail twice. */
#define LATE_TRIES_MAX 100

static int64_t within(int64_t value, int64_t low, int64_t high)
{
    if (value > high)
        value = high;
    return value > low ? value : low;
}

static const struct pyd_status_request *record_of(const struct pyd_board *board, const struct pyd_claim_ref *claim)
{
    return &pyd_board_status(board, claim->group, claim->slot)->request[claim->claim];
}

static struct pyd_board_claim *shared_of(const struct pyd_board *board, const struct pyd_claim_ref *claim)
{
    return pyd_board_claim(board, claim->group, claim->slot, claim->claim);
}

/* Whether a claim is in use, and that is the one meant. */
static int is_same_use(const struct pyd_board *board, const struct pyd_claim_ref *claim)
{
    const struct pyd_board_claim *shared = shared_of(board, claim);
    uint32_t owner = atomic_load(pyd_board_owners(board, claim->group, claim->slot) + claim->claim);

    return atomic_load(&shared->seq) == claim->seq && atomic_load(&shared->epoch) == claim->epoch &&
           atomic_load(&pyd_board_slot(board, claim->group, claim->slot)->epoch) == claim->epoch &&
           !pyd_claim_state_free(board, claim->group, claim->slot, claim->claim, owner);
}

/* How long the worker has waited for the client of this use. */
static int64_t waited_us(const struct pyd_board *board, const struct pyd_claim_ref *claim, int64_t now_us)
{
    const struct pyd_status_request *record = record_of(board, claim);
    uint64_t seen = atomic_load(&record->seq_state);

    if (seen >> 1 < claim->seq)
        return 0; /* not begun; what stands there is an earlier one's */
    if ((seen & 1) == PYD_STATUS_DONE)
        return INT64_MAX; /* all that is left of it lies with the client */
    return pyd_status_waited_us(record, now_us);
}

/* What does not count of a pause that has lasted from since_us to now_us. */
static int64_t spared_us(const struct pyd_board *board, const struct pyd_claim_ref *claim, int64_t since_us,
                         int64_t now_us)
{
    int64_t before_us = atomic_load(&shared_of(board, claim)->waited_us);
    int64_t after_us = waited_us(board, claim, now_us);

    if (since_us <= 0 || since_us >= now_us)
        return 0;
    if (after_us == INT64_MAX)
        return now_us - since_us;
    return within(after_us - (before_us > 0 ? before_us : 0), 0, now_us - since_us);
}

void pyd_claim_pause(struct pyd_board *board, const struct pyd_claim_ref *claim, int64_t now_us)
{
    struct pyd_board_claim *shared = shared_of(board, claim);

    if (!is_same_use(board, claim) || atomic_load(&shared->paused_since_us) != 0)
        return;
    atomic_store(&shared->waited_us, waited_us(board, claim, now_us));
    atomic_store(&shared->paused_since_us, now_us);
}

void pyd_claim_resume(struct pyd_board *board, const struct pyd_claim_ref *claim, int64_t now_us)
{
    struct pyd_board_claim *shared = shared_of(board, claim);
    int64_t since_us = atomic_load(&shared->paused_since_us);
    int64_t paused_us = within(atomic_load(&shared->paused_us), 0, now_us);

    if (since_us == 0 || !is_same_use(board, claim))
        return;
    atomic_store(&shared->paused_us, paused_us + spared_us(board, claim, since_us, now_us));
    atomic_store(&shared->paused_since_us, 0);
}

static int64_t elapsed_us(const struct pyd_board *board, const struct pyd_claim_ref *claim, int64_t now_us)
{
    const struct pyd_board_claim *shared = shared_of(board, claim);
    int64_t start_us = atomic_load(&shared->start_us);
    int64_t since_us = atomic_load(&shared->paused_since_us);
    int64_t going_on_us = spared_us(board, claim, since_us >= start_us ? since_us : 0, now_us);
    int64_t paused_us = atomic_load(&shared->paused_us);

    if (start_us <= 0 || start_us >= now_us)
        return 0;
    paused_us = within(paused_us, 0, now_us - start_us);
    return within(now_us - start_us - paused_us - going_on_us, 0, now_us - start_us);
}

int64_t pyd_claim_elapsed_us(const struct pyd_board *board, const struct pyd_claim_ref *claim, int64_t now_us)
{
    int64_t counts_us = elapsed_us(board, claim, now_us);

    /* Looked at last: what has been read is this use's then. */
    return is_same_use(board, claim) ? counts_us : 0;
}

int pyd_claim_is_late(const struct pyd_board *board, const struct pyd_claim_ref *claim)
{
    return atomic_load(&shared_of(board, claim)->late) == claim->seq;
}

int pyd_claim_set_late(struct pyd_board *board, const struct pyd_claim_ref *claim)
{
    _Atomic uint64_t *late = &shared_of(board, claim)->late;
    uint64_t seen = atomic_load(late);
    int tries;

    /* Nobody says it of a use that has not come, so while this one goes on, what is newer has been written over. If it
     * ends between the question and the swap, its seq is not the next one's, and says nothing of that. */
    for (tries = 0; tries < LATE_TRIES_MAX; ++tries) {
        if (seen == claim->seq || !is_same_use(board, claim))
            return 0;
        if (atomic_compare_exchange_strong(late, &seen, claim->seq))
            return 1;
    }
    return 0;
}

static void copy_text(char *room, size_t size, const char *shared, size_t shared_size)
{
    size_t bytes = shared_size < size ? shared_size : size;

    memcpy(room, shared, bytes);
    room[bytes - 1] = '\0';
}

static void look_at_record(const struct pyd_status_request *record, struct pyd_claim_view *view)
{
    uint64_t seen = atomic_load(&record->seq_state);
    int64_t memory_bytes = atomic_load(&record->memory_bytes);
    int32_t tid = atomic_load(&record->tid);
    uint64_t thread = atomic_load(&record->thread);

    view->ended = (seen >> 1 >= view->ref.seq) && seen != (view->ref.seq << 1 | PYD_STATUS_RUNNING);
    /* Asked again: what has been read is this request's then. */
    view->begun = !view->ended && seen >> 1 == view->ref.seq && atomic_load(&record->seq_state) == seen;
    if (!view->begun)
        return;
    view->memory_bytes = memory_bytes > 0 ? memory_bytes : 0;
    view->tid = tid > 0 ? tid : 0;
    view->thread = thread;
}

int pyd_claim_look(const struct pyd_board *board, uint32_t group, uint32_t slot, uint32_t claim, uint32_t epoch,
                   int64_t now_us, struct pyd_claim_view *ret_view)
{
    const struct pyd_board_claim *shared = pyd_board_claim(board, group, slot, claim);
    struct pyd_claim_view view = {
        .ref = {.group = group, .slot = slot, .claim = claim, .epoch = epoch, .seq = atomic_load(&shared->seq)},
        .owner = atomic_load(pyd_board_owners(board, group, slot) + claim)};

    if (view.owner == PYD_OWNER_NONE || !is_same_use(board, &view.ref))
        return 0;
    view.late = pyd_claim_is_late(board, &view.ref) != 0;
    look_at_record(record_of(board, &view.ref), &view);
    if (!view.ended)
        view.elapsed_us = elapsed_us(board, &view.ref, now_us);
    if (atomic_load(&shared->start_us) != 0) {
        copy_text(view.what, sizeof(view.what), shared->what, sizeof(shared->what));
        copy_text(view.client, sizeof(view.client), shared->client, sizeof(shared->client));
        copy_text(view.request_id, sizeof(view.request_id), shared->request_id, sizeof(shared->request_id));
    }
    if (!is_same_use(board, &view.ref))
        return 0;
    *ret_view = view;
    return 1;
}

uint32_t pyd_claim_unfinished(const struct pyd_board *board, uint32_t group, uint32_t slot)
{
    uint32_t threads = pyd_board_settings(board, group)->threads;
    _Atomic uint32_t *owners = pyd_board_owners(board, group, slot);
    uint32_t i, unfinished = 0;

    for (i = 0; i < threads; ++i) {
        const struct pyd_board_claim *shared = pyd_board_claim(board, group, slot, i);

        if (!pyd_claim_state_free(board, group, slot, i, atomic_load(&owners[i])) &&
            atomic_load(&shared->late) != atomic_load(&shared->seq))
            ++unfinished;
    }
    return unfinished;
}

void pyd_claim_suspect(struct pyd_board *board, const struct pyd_claim_ref *claim, int64_t now_us)
{
    struct pyd_board_slot *slot = pyd_board_slot(board, claim->group, claim->slot);

    if (atomic_load(&slot->epoch) == claim->epoch)
        atomic_store(&slot->suspect_us, now_us);
}

static int has_begun_since(const struct pyd_board *board, uint32_t group, uint32_t slot, int64_t since_us)
{
    const struct pyd_status_worker *status = pyd_board_status(board, group, slot);
    uint32_t threads = pyd_board_settings(board, group)->threads;
    uint32_t i;

    for (i = 0; i < threads; ++i) {
        if (atomic_load(&status->request[i].start_us) > since_us)
            return 1;
    }
    return 0;
}

/* It runs again, and the GIL is to be had: what it had not begun may be elsewhere by now, so it begins nothing. */
static int has_recovered(const struct pyd_board *board, uint32_t group, uint32_t slot, int64_t since_us, int64_t now_us)
{
    const struct pyd_status_worker *status = pyd_board_status(board, group, slot);
    int64_t alive_us = atomic_load(&status->alive_us);

    return atomic_load(&status->epoch) == atomic_load(&pyd_board_slot(board, group, slot)->epoch) &&
           alive_us > since_us && alive_us <= now_us && atomic_load(&status->gil_asked_us) == 0;
}

/* Whoever finds that it is over ends it, so that the others need not look. */
int pyd_claim_is_suspect(const struct pyd_board *board, uint32_t group, uint32_t slot)
{
    _Atomic int64_t *word = &pyd_board_slot(board, group, slot)->suspect_us;
    int64_t since_us = atomic_load(word);
    int64_t now_us;

    if (since_us == 0)
        return 0;
    now_us = pyd_clock_us();
    /* In the future or negative: written over. */
    if (since_us > 0 && since_us <= now_us && now_us - since_us < PYD_SUSPECT_US &&
        !has_begun_since(board, group, slot, since_us) && !has_recovered(board, group, slot, since_us, now_us))
        return 1;
    atomic_compare_exchange_strong(word, &since_us, 0);
    return 0;
}
