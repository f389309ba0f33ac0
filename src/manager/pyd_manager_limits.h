/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_MANAGER_LIMITS_H
#define PYD_MANAGER_LIMITS_H

#include "pyd_manager_watch.h"

/**
 * What the watch on limits remembers from one look to the next, and its parts. For pyd_manager_limits.c and
 * pyd_manager_late.c only.
 */

/** By how much a request may exceed request-timeout before the manager says so in the place of the child that waits
 *  for it: that one answers at the limit, if it can. */
#define PYD_MANAGER_LATE_US INT64_C(300000)
struct pyd_manager_limits_claim {
    uint64_t late_seq; /* the last use of it that was counted as late */
    uint64_t slow_seq; /* the last one that was said to be slow */
};

/** One that runs on after a dump is shown again so much later. */
#define PYD_MANAGER_LATE_DUMP_US INT64_C(10000000)

struct pyd_manager_limits_slot {
    uint32_t epoch;          /* of the worker all of this is about; 0: none yet */
    uint64_t requests;       /* it had finished when last looked at */
    uint64_t per_1000_s, rated_requests; /* its rate; and when it was taken, so many and then */
    int64_t rated_us;
    uint64_t gone_requests;  /* it had finished when must_go was set, */
    uint32_t gone_late;      /* so many of them late */
    int64_t measured_us;     /* 0: not yet */
    int64_t late_dump_us;    /* its last dump for a late request; 0: none */
    struct pyd_manager_limits_claim *claims; /* threads of them */
};

struct pyd_manager_limits {
    int64_t finished_us; /* when a request of the group was last seen finished; 0: none was */
    uint64_t per_1000_s; /* 0: not known */
    struct pyd_manager_limits_slot *slots;
    struct pyd_manager_limits_claim *claims;
};

/** "GET /a (since 3.2 s, 120.0 MiB when it began, +380.0 MiB since), ...", or "no request in flight".
 *  @param memory_bytes as the worker itself measures it (pyd_usage_private()); -1: not known */
void pyd_manager_late_in_flight(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                                int64_t memory_bytes, int64_t now_us, char *room, size_t size);

/** What a look at the requests of a worker has found. */
struct pyd_manager_late_found {
    uint32_t fresh;  /* late since the last look, still executed or not */
    uint32_t unseen; /* of these, so many are worth a dump: they are executed, and began after the last one, or that
                      * was long ago */
    int64_t next_us; /* when the next one will be; INT64_MAX: never */
};

/** A worker that has not been looked at before: what was late on its claims was another one's. */
void pyd_manager_late_begin(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                            struct pyd_manager_limits_slot *memory, int64_t now_us);
/** Find requests that are late; say it of those whose child does not. */
struct pyd_manager_late_found pyd_manager_late_check(const struct pyd_manager_group *group,
                                                     struct pyd_manager_slot *slot,
                                                     struct pyd_manager_limits_slot *memory, int64_t now_us);
/** Find requests that are slow: say so, and ask for the stack of their thread. @return when the next one will be */
int64_t pyd_manager_late_check_slow(struct pyd_manager_group *group, struct pyd_manager_slot *slot,
                                    struct pyd_manager_limits_slot *memory, int64_t now_us);
/** Late requests of the worker that have come to an end after all. */
uint32_t pyd_manager_late_ended(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                                const struct pyd_manager_limits_slot *memory);

#endif
