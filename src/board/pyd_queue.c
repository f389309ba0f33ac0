/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The queue: a fixed array of waiters, in order of their tickets.
 *
 * The oldest waiter tries. Each claim that becomes free calls the oldest one
 * that has not been called yet (wake = 1), and a waiter that has been called no
 * longer holds up those behind it: if it is dead, stopped or slow it keeps its
 * place, but others may go first. It takes the call (wake = 0) before it looks
 * for a claim, so a call that comes later is not lost: its next wait returns
 * at once.
 *
 * A call that goes to a waiter that was killed is lost. The next waiter then
 * sleeps to the end of its slice, at most 1 s, calls the oldest one before it,
 * which takes that one out of its way, and tries itself.
 *
 * The count in group->queue includes whoever has a ticket. It is raised
 * before the ticket is drawn and lowered after the ticket is given up, so it is
 * never below the number of tickets; a waiter killed in between, or in the queue,
 * leaves it too high, and the sweep corrects it.
 */
#include "pyd_board.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of group->queue: the count is its low half. */
#define VERSION_ONE (UINT64_C(1) << 32)

#define US_PER_S INT64_C(1000000)

/* Not FUTEX_PRIVATE_FLAG: waker and sleeper are different processes. */
static long futex_wake(_Atomic uint32_t *word)
{
    return syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static int futex_wait(_Atomic uint32_t *word, uint32_t value, int64_t timeout_us)
{
    /* SYS_futex takes two longs, whatever time_t is. */
    long timeout[2] = {(long)(timeout_us / US_PER_S), (long)(timeout_us % US_PER_S * 1000)};

    return syscall(SYS_futex, word, FUTEX_WAIT, value, timeout, NULL, 0) == 0 ? 0 : errno;
}

uint32_t pyd_queue_length(const struct pyd_board *board, uint32_t group)
{
    uint32_t count = (uint32_t)atomic_load(&pyd_board_group(board, group)->queue);
    uint32_t limit = pyd_board_settings(board, group)->queue_limit;

    return count < limit ? count : limit;
}

int pyd_queue_busy(struct pyd_board *board, uint32_t group)
{
    return pyd_queue_length(board, group) != 0;
}

int pyd_queue_enter(struct pyd_board *board, uint32_t group, uint32_t self, uint32_t *ret_waiter)
{
    struct pyd_board_group *shared = pyd_board_group(board, group);
    uint32_t limit = pyd_board_settings(board, group)->queue_limit;
    uint32_t i;

    for (i = 0; i < limit; ++i) {
        struct pyd_board_waiter *waiter = pyd_board_waiter(board, group, i);
        uint32_t nobody = PYD_OWNER_NONE;

        if (atomic_load(&waiter->owner) != PYD_OWNER_NONE ||
            !atomic_compare_exchange_strong(&waiter->owner, &nobody, self))
            continue;
        atomic_store(&waiter->wake, 0);
        atomic_fetch_add(&shared->queue, VERSION_ONE + 1);
        atomic_store(&waiter->ticket, atomic_fetch_add(&shared->next_ticket, 1) + 1);
        *ret_waiter = i;
        return 0;
    }
    return EAGAIN;
}

/* The oldest waiter that has not been called, with a ticket before `before`. The count says only whether anybody waits:
 * who comes while we look would be found in the place of the last of those it had counted. */
static struct pyd_board_waiter *find_oldest(const struct pyd_board *board, uint32_t group, uint64_t before)
{
    uint32_t limit = pyd_queue_length(board, group) ? pyd_board_settings(board, group)->queue_limit : 0;
    struct pyd_board_waiter *oldest = NULL;
    uint32_t i;

    for (i = 0; i < limit; ++i) {
        struct pyd_board_waiter *waiter = pyd_board_waiter(board, group, i);
        uint64_t ticket = atomic_load(&waiter->ticket);

        if (ticket == 0 || atomic_load(&waiter->owner) == PYD_OWNER_NONE)
            continue;
        if (ticket < before && atomic_load(&waiter->wake) == 0) {
            oldest = waiter;
            before = ticket;
        }
    }
    return oldest;
}

int pyd_queue_is_first(struct pyd_board *board, uint32_t group, uint32_t waiter)
{
    return find_oldest(board, group, atomic_load(&pyd_board_waiter(board, group, waiter)->ticket)) == NULL;
}

/* Call the oldest waiter with a ticket before `before`. False if there is none. */
static int call_one(struct pyd_board *board, uint32_t group, uint64_t before)
{
    uint32_t tries = pyd_board_settings(board, group)->queue_limit;

    for (; tries > 0; --tries) {
        struct pyd_board_waiter *waiter = find_oldest(board, group, before);
        uint32_t waiting = 0;

        if (!waiter)
            return 0;
        if (atomic_compare_exchange_strong(&waiter->wake, &waiting, 1)) {
            futex_wake(&waiter->wake);
            return 1;
        }
    }
    return 0;
}

void pyd_queue_wake(struct pyd_board *board, uint32_t group, uint32_t count)
{
    uint32_t limit = pyd_board_settings(board, group)->queue_limit;

    /* There are no more; but one that takes back its calls could keep us here for ever. */
    if (count > limit)
        count = limit;
    while (count > 0 && call_one(board, group, UINT64_MAX))
        --count;
}

void pyd_queue_wait(struct pyd_board *board, uint32_t group, uint32_t waiter, int64_t timeout_us)
{
    struct pyd_board_waiter *mine = pyd_board_waiter(board, group, waiter);
    int rv = ETIMEDOUT;

    if (timeout_us > 0)
        rv = futex_wait(&mine->wake, 0, timeout_us);
    if (atomic_exchange(&mine->wake, 0) == 0 && rv == ETIMEDOUT)
        call_one(board, group, atomic_load(&mine->ticket));
}

/* Never below zero, whatever has been written there: the other half is the version. */
static void count_down(_Atomic uint64_t *queue)
{
    uint64_t before = atomic_load(queue), after;

    do {
        after = before + VERSION_ONE;
        if ((uint32_t)after != 0)
            --after;
    } while (!atomic_compare_exchange_weak(queue, &before, after));
}

void pyd_queue_leave(struct pyd_board *board, uint32_t group, uint32_t waiter)
{
    struct pyd_board_waiter *mine = pyd_board_waiter(board, group, waiter);

    atomic_store(&mine->ticket, 0);
    count_down(&pyd_board_group(board, group)->queue);
    atomic_store(&mine->owner, PYD_OWNER_NONE);
    /* A call meant for us may have come for more than we took. */
    if (pyd_queue_busy(board, group) && pyd_claim_any_free(board, group))
        call_one(board, group, UINT64_MAX);
}
