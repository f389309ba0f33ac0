/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_MANAGER_WATCH_H
#define PYD_MANAGER_WATCH_H

#include "pyd_manager_group.h"

/** What the manager watches of living workers: limits, late requests, stacks. */

/* pyd_manager_limits.c: limits; and what requests have exceeded theirs */

/** Measure, find what has exceeded a limit, say so, set must_go, sick, doomed; ask for dumps. On each tick and poke.
 *  @return when to look again at the latest */
int64_t pyd_manager_limits_check(struct pyd_manager_group *group, int64_t now_us);
/** What is remembered of a group from one look to the next, once its sizes are known. @return NULL: out of memory */
struct pyd_manager_limits *pyd_manager_limits_create(const struct pyd_manager_group *group);
void pyd_manager_limits_destroy(struct pyd_manager_limits *limits);
/** A worker has become ready: it is the successor of the oldest one that must go and has none. */
void pyd_manager_limits_succeed(struct pyd_manager_group *group, const struct pyd_manager_slot *successor,
                                int64_t now_us);
/** The worker has ended: "Worker replaced by ...", if it had to go. */
void pyd_manager_limits_ended(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                              int64_t now_us);

/* pyd_manager_dump.c: dumps */

/** How long a worker has for a dump (it plans with PYD_WATCH_ALL_US, which is less) since it last
 *  gave a sign of life: on a machine that is short of CPU it takes longer. And all in all. */
#define PYD_MANAGER_DUMP_US INT64_C(2500000)
#define PYD_MANAGER_DUMP_MAX_US INT64_C(5000000)

/** Ask the worker for a dump; /proc instead if it can't be asked. Does not wait. If one is being made that has what is
 *  wanted, it counts for both; otherwise the new one replaces it and has what both want. A kill waits for it
 *  (pyd_manager_dump_pending()). */
void pyd_manager_dump_ask(struct pyd_manager_group *group, struct pyd_manager_slot *slot, enum pyd_dump_why why,
                          pid_t only_tid, int64_t now_us);
/** True while a dump is being made. */
int pyd_manager_dump_pending(const struct pyd_manager_slot *slot);
/** Log what is there by now, asked for or not; or what /proc tells, once time is over. Each second, and whenever
 *  something has happened: an adopted worker can't say that it has made a dump. @return when to look again; INT64_MAX:
 *  nothing is being waited for */
int64_t pyd_manager_dump_check(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us);
/** PYD_CONTROL_DUMPED came and none had been asked for: log it. */
void pyd_manager_dump_unasked(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us);
/** The worker has died, and its slot does not have a new pid or none yet: log the stacks it left, if it did, unless the
 *  board says that it ended in another way; of a dump that is being made what is there, at least the requests. */
void pyd_manager_dump_ended(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us);

#endif
