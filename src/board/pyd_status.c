/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a worker says of itself. Readers (httpd children, the manager) act on
 * seq_state alone and read the rest for messages and deadlines, so start_us and
 * tid are stored before the state that makes them count.
 *
 * A revoked request looks like one that was begun and has ended: all that a worker
 * asks, and all that a reader may do about it, is the same.
 */
#include "pyd_board.h"

#include <errno.h>
#include <pthread.h>

/* Against a worker that keeps changing it: what it begins then is its own affair. */
#define REVOKE_TRIES_MAX 100

void pyd_status_open(struct pyd_status_worker *worker, uint32_t threads, uint32_t epoch)
{
    uint32_t i;

    atomic_store(&worker->state, PYD_WORKER_INIT);
    atomic_store(&worker->requests, 0);
    /* The seq stays: it keeps what was given up before this worker came from being executed by it. */
    for (i = 0; i < threads; ++i) {
        struct pyd_status_request *record = &worker->request[i];

        atomic_fetch_and(&record->seq_state, ~(uint64_t)PYD_STATUS_RUNNING);
        atomic_store(&record->start_us, 0);
        atomic_store(&record->tid, 0);
        atomic_store(&record->thread, 0);
        atomic_store(&record->waited, 0);
        atomic_store(&record->memory_bytes, 0);
    }
    atomic_store(&worker->alive_us, 0);
    atomic_store(&worker->gil_asked_us, 0);
    atomic_store(&worker->dumps, 0);
    atomic_store(&worker->epoch, epoch);
}

int pyd_status_begin(struct pyd_status_request *record, uint64_t seq, int64_t now_us, pid_t tid)
{
    uint64_t seen = atomic_load(&record->seq_state);

    if (seq > PYD_STATUS_SEQ_MAX || seen >> 1 >= seq)
        return ESTALE;
    atomic_store(&record->start_us, now_us);
    atomic_store(&record->tid, (int32_t)tid);
    atomic_store(&record->thread, (uint64_t)(uintptr_t)pthread_self());
    atomic_store(&record->waited, 0);
    while (!atomic_compare_exchange_strong(&record->seq_state, &seen, seq << 1 | PYD_STATUS_RUNNING)) {
        if (seen >> 1 >= seq)
            return ESTALE;
    }
    return 0;
}

void pyd_status_end(struct pyd_status_request *record, uint64_t seq)
{
    uint64_t running = seq << 1 | PYD_STATUS_RUNNING;

    atomic_compare_exchange_strong(&record->seq_state, &running, seq << 1 | PYD_STATUS_DONE);
}

/*
 * How long it has waited and since when it waits are one word, or a reader that comes between two stores would count a
 * wait twice or not at all. Not waiting: the time waited. Waiting: that less the moment since when, which is negative,
 * as nobody has waited for longer than the clock runs; with the present time added it is the time waited by now.
 */
void pyd_status_wait(struct pyd_status_request *record, int64_t now_us)
{
    int64_t waited = atomic_load(&record->waited);

    if (waited >= 0 && waited < now_us)
        atomic_store(&record->waited, waited - now_us);
}

void pyd_status_wait_end(struct pyd_status_request *record, int64_t now_us)
{
    atomic_store(&record->waited, pyd_status_waited_us(record, now_us));
}

int64_t pyd_status_waited_us(const struct pyd_status_request *record, int64_t now_us)
{
    int64_t waited = atomic_load(&record->waited);

    if (waited < 0)
        waited += now_us;
    return waited > 0 ? waited : 0;
}

int pyd_status_revoke(struct pyd_status_request *record, uint64_t seq)
{
    uint64_t seen = atomic_load(&record->seq_state);
    int tries;

    if (seq > PYD_STATUS_SEQ_MAX)
        return 0; /* never begun anyway */
    for (tries = 0; tries < REVOKE_TRIES_MAX && seen >> 1 < seq; ++tries) {
        if (atomic_compare_exchange_strong(&record->seq_state, &seen, seq << 1 | PYD_STATUS_DONE))
            return 1;
    }
    return 0;
}
