/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_MANAGER_GROUP_H
#define PYD_MANAGER_GROUP_H

#include "pyd_backoff.h"
#include "pyd_board.h"
#include "pyd_cause.h"
#include "pyd_logpipe.h"
#include "pyd_plan.h"
#include "pyd_spec.h"

/**
 * The manager's own record of a group and its worker slots. What it decides by
 * is here, not on the board: the board is written by httpd's children too, so
 * it is read once, at the start (adoption), and only told afterwards. All memory
 * is allocated at the start.
 */

/** A worker that ends sooner after it became ready, without having begun a request, counts as a failed start. */
#define PYD_MANAGER_PROVEN_US INT64_C(10000000)

/** How long an httpd child may hold the claim of a dead worker, to read what became of its request. It takes about a
 *  second and a half; then the slot is needed more than its answer, which a slow client may put off for minutes. */
#define PYD_MANAGER_CLAIMED_US INT64_C(5000000)

struct pyd_manager_slot {
    struct pyd_board_slot *shared;
    uint32_t index;
    enum pyd_slot_state state;
    uint32_t epoch, number;
    pid_t pid; /* 0: no process */
    uint64_t pid_start;
    int64_t started_us, ready_us /* 0: never */, since_us;
    int rendezvous_fd, log_write_fd; /* the worker's ends; not owned */
    int control_fd, pidfd;           /* owned, or -1 */
    unsigned adopted : 1, told : 1, left : 1 /* stops without having been told */, retired : 1, killed : 1;
    enum pyd_cause killed_for;
    struct pyd_logpipe log;
};

struct pyd_manager_group {
    struct pyd_board *board; /* borrowed */
    struct pyd_board_group *shared;
    struct pyd_oom *oom; /* borrowed: the manager's */
    uint32_t index, slot_count, threads, processes, generation;
    int status_fd, worker_fd, lifeline_fd, lock_fd; /* not owned */
    char name[64];
    struct pyd_spec spec;
    char *spec_text; /* owned */
    char *title;     /* owned; argv[0] of workers is this and their number */
    enum pyd_group_state state;
    struct pyd_backoff backoff;
    enum pyd_cause last_cause; /* of the last failed start */
    uint32_t last_detail;
    int said_failing; /* and not yet that it has recovered */
    int ending;
    struct pyd_manager_slot *slots;
    struct pyd_plan_slot *plan_slots;
    struct pyd_action *actions;
};

/* pyd_manager_group.c */

/** Read a group's settings from the board and adopt what lives in its slots. @return 0 or ENOMEM */
int pyd_manager_group_init(struct pyd_manager_group *group, struct pyd_board *board, uint32_t index,
                           struct pyd_oom *oom, int64_t now_us);
void pyd_manager_group_done(struct pyd_manager_group *group);
/** Plan and act. @return when to do so again at the latest */
int64_t pyd_manager_group_run(struct pyd_manager_group *group, int64_t now_us);
/** A worker says "look": it stops taking connections, or a thread is free whose claim nobody is left to release. */
void pyd_manager_group_look(struct pyd_manager_group *group, const struct pyd_manager_slot *slot, int64_t now_us);
/** What is due each second and on each poke: repairs, and what no event tells. */
void pyd_manager_group_sweep(struct pyd_manager_group *group, int64_t now_us);
/** The generation ends: stop all workers, start no more. */
void pyd_manager_group_end(struct pyd_manager_group *group);
/** The slot of a living process, or NULL. */
struct pyd_manager_slot *pyd_manager_group_find(struct pyd_manager_group *group, pid_t pid);
uint32_t pyd_manager_group_living(const struct pyd_manager_group *group);
/** A start has failed: at startup, or so soon after it that it comes to the same. */
void pyd_manager_group_failed(struct pyd_manager_group *group, int64_t started_us, int64_t now_us);

/* pyd_manager_slot.c: one worker, from start to end */

void pyd_manager_slot_init(struct pyd_manager_slot *slot, const struct pyd_manager_group *group, uint32_t index);
void pyd_manager_slot_done(struct pyd_manager_slot *slot);
/** Take over the worker an earlier manager left here, or record its end. */
void pyd_manager_slot_adopt(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us);
void pyd_manager_slot_start(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us);
void pyd_manager_slot_ready(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us);
void pyd_manager_slot_retire(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us);
void pyd_manager_slot_stop(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us);
void pyd_manager_slot_leave(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us);
void pyd_manager_slot_kill(struct pyd_manager_group *group, struct pyd_manager_slot *slot, enum pyd_cause cause,
                           int64_t now_us);
void pyd_manager_slot_free(struct pyd_manager_slot *slot, int64_t now_us);
/** Its process has ended. @param wait_status of waitpid(2), or NULL: not our child */
void pyd_manager_slot_ended(struct pyd_manager_group *group, struct pyd_manager_slot *slot, const int *wait_status,
                            int64_t now_us);
/** It has closed its end of the control socket: dying, or damaged. */
void pyd_manager_slot_hang_up(struct pyd_manager_slot *slot);
/** Close connections nobody will accept any more, so that who waits on them sees it. */
void pyd_manager_slot_drain(const struct pyd_manager_slot *slot);
/** True if the worker takes no connections any more, though its process may go on for long. */
int pyd_manager_slot_is_closed(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                               int64_t now_us);
/** What the worker says of itself: an enum pyd_worker_state, INIT if nothing (yet). */
uint32_t pyd_manager_slot_says(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot);
/** Requests it says it has finished. */
uint64_t pyd_manager_slot_requests(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot);

/* pyd_manager_report.c: the log lines */

/** "in flight: GET /a, POST /b and 3 more", or "no request in flight". */
void pyd_manager_report_in_flight(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                                  char *room, size_t size);
void pyd_manager_report_started(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot);
void pyd_manager_report_ready(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot);
void pyd_manager_report_kill(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                             int64_t now_us);
/** @param repeated it is the same failure once more: said quietly */
void pyd_manager_report_ended(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                              enum pyd_cause cause, uint32_t detail, int repeated, int64_t now_us);
/** No worker serves, and none can be started. */
void pyd_manager_report_failing(const struct pyd_manager_group *group);
/** `ready` workers serve, but no further one can be started. */
void pyd_manager_report_degraded(const struct pyd_manager_group *group, uint32_t ready);
void pyd_manager_report_recovered(const struct pyd_manager_group *group, unsigned failures);

#endif
