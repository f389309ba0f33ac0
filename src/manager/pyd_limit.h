/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_LIMIT_H
#define PYD_LIMIT_H

#include <stdint.h>

#include "pyd_board.h"
#include "pyd_spec.h"

/**
 * Which limit of its group a worker has reached. PURE: what is known of it and the time
 * go in. Each limit is looked at on its own: one that is off changes nothing for the others.
 */
struct pyd_limit_facts {
    enum pyd_slot_state state;
    int64_t started_us, ready_us;
    uint64_t requests;     /* finished */
    uint64_t per_1000_s;   /* so many it finishes; 0: not known */
    uint32_t late;         /* requests that have exceeded request-timeout, and were not reckoned with yet */
    uint32_t busy;         /* claims in use, late ones too */
    int64_t active_us;     /* when it was last seen busy, or became ready */
    int64_t memory_bytes;  /* private resident; -1: not known */
    int64_t cpu_us;        /* used since its start; -1: not known */
    int64_t gil_asked_us;  /* its watch thread waits for the GIL since; 0: it does not */
    int64_t alive_us;      /* its last sign of life; 0: none yet, which counts from ready_us */
    uint32_t luck;         /* any number, fixed for the worker: spreads limits that have a jitter */
};

struct pyd_limit_verdict {
    enum pyd_cause cause;  /* NONE: none is reached; the most urgent of several */
    unsigned kill : 1;     /* at once, after a dump: MEMORY_HARD, DEADLOCK */
    unsigned sick : 1;     /* for now, it can't serve */
    int64_t next_us;       /* when time alone will change it; INT64_MAX: never */
};

/** When a worker counts as sick: the GIL is not to be had for so long; it has shown no sign of life for so long. */
#define PYD_LIMIT_SICK_US INT64_C(2000000)
#define PYD_LIMIT_SILENT_US INT64_C(3000000)

/**
 * memory-hard-limit applies as long as there is a worker, deadlock-timeout from when it is ready, request-timeout until
 * it is told to stop, the others while it is READY: after that it goes anyway.
 */
struct pyd_limit_verdict pyd_limit_check(const struct pyd_spec *spec, const struct pyd_limit_facts *facts,
                                         int64_t now_us);

/** True if cause is the more urgent reason to replace a worker: it takes the place of the other one. PURE. */
int pyd_limit_is_more_urgent(enum pyd_cause cause, enum pyd_cause than);

/**
 * Times in which who looks at limits did not run: what happened then was not seen, and whoever should have prevented
 * it may have stood still as well. Embedded. Only the last ones are known: a worker on a machine that stalls all the
 * time reaches its limits late, but does.
 */
#define PYD_LIMIT_STALLS 64u

struct pyd_limit_stalls {
    struct {
        int64_t from_us, until_us;
    } last[PYD_LIMIT_STALLS];
    uint64_t count;
};

/** PURE. After those that are there, and not overlapping them. */
void pyd_limit_add_stall(struct pyd_limit_stalls *stalls, int64_t from_us, int64_t until_us);
/** How much of the time after since_us they have taken. PURE. */
int64_t pyd_limit_stalled_us(const struct pyd_limit_stalls *stalls, int64_t since_us);

/** limit, more or less by up to percent, as luck has it; at least 1. PURE. */
int64_t pyd_limit_spread(int64_t limit, int percent, uint32_t luck);

#endif
