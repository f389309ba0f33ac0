/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_MANAGER_GROUP_H
#define PYD_MANAGER_GROUP_H

#include "pyd_backoff.h"
#include "pyd_board.h"
#include "pyd_cause.h"
#include "pyd_limit.h"
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

/** A successor that is not known: an earlier manager's, or one more worker than is needed. */
#define PYD_MANAGER_SOMEBODY ((pid_t)-1)

/** Why a dump is made. */
enum pyd_dump_why {
    PYD_DUMP_WHY_ASKED,   /* SIGUSR2, `pydaemon dump` */
    PYD_DUMP_WHY_TIMEOUT, /* request-timeout */
    PYD_DUMP_WHY_SLOW,    /* slow-request: one thread */
    PYD_DUMP_WHY_KILL     /* SIGKILL follows */
};

/** The dump of a worker that is being made (pyd_manager_dump.c). */
/** So many requests are remembered from when a dump was asked for. */
#define PYD_MANAGER_DUMP_ASKED 16u

struct pyd_manager_dump {
    uint32_t number;       /* "[dump 7 1/5]"; 0: none is being made */
    uint32_t dumps_before; /* the status's count of those that have been read */
    int64_t alive_us;      /* the last sign that the worker is at it; when it was asked, at first */
    int64_t latest_us;     /* then /proc has to do, alive or not */
    int64_t unasked_us;    /* when one was logged last that nobody had asked for */
    enum pyd_dump_why why;
    pid_t only_tid;
    unsigned by_signal : 1; /* it was asked for by SIGUSR2, which has no number */
    unsigned begun : 1;     /* a part of it has been seen */
    unsigned watched : 1;   /* an adopted worker's dumps_before is known */
    int64_t asked_us;
    size_t asked_count;     /* what was being executed then, late ones first */
    struct pyd_claim_view asked[PYD_MANAGER_DUMP_ASKED];
};

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
    unsigned adopted : 1, told : 1, left : 1 /* stops without having been told */, retired : 1;
    unsigned judged : 1, failed : 1; /* whether it counts as a failed start has been decided; it does */
    unsigned said_stop : 1, cried_stop : 1; /* "Shutdown requested" has been logged: by the way; as an error */
    unsigned said_requests : 1; /* where the requests hang that it does not finish before it stops */
    unsigned killed : 1;    /* to be killed once its dump is there */
    int64_t signalled_us;   /* SIGKILL has been sent then, or 0 */
    enum pyd_cause killed_for;
    int64_t kill_by_us;     /* with a dump or without */
    /* Limits: what is measured, and what follows. */
    enum pyd_cause must_go; /* why it is to be replaced; NONE: it is not */
    unsigned sick : 1, doomed : 1;
    int64_t active_us;      /* last seen busy */
    int64_t memory_bytes, cpu_us; /* as measured last; -1: not known */
    uint32_t luck;
    uint32_t timed_out;     /* requests that exceeded request-timeout in it */
    int64_t gone_since_us;  /* must_go was set */
    pid_t successor_pid;    /* the worker that became ready in its place; 0: none yet; or SOMEBODY */
    int64_t successor_us;   /* when */
    struct pyd_manager_dump dump;
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
    uint32_t asleep;           /* workers not needed for now: inactivity-timeout */
    struct pyd_limit_stalls stalls;    /* of the manager */
    struct pyd_manager_limits *limits; /* owned; pyd_manager_limits.c's memory */
    int64_t rate_us, rate_sum; /* when finished was read last for the rate, and what it was; pyd_manager_limits.c */
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
void pyd_manager_group_end(struct pyd_manager_group *group, int64_t now_us);
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
/** Log "Shutdown requested", once: as soon as it is certain that it has to go, before its stacks. */
void pyd_manager_slot_say_stop(const struct pyd_manager_group *group, struct pyd_manager_slot *slot);
/** httpd ends: the SIGKILL that waits for a dump does not wait for long. */
void pyd_manager_slot_hurry(struct pyd_manager_slot *slot, int64_t now_us);
/** What is due on each turn: its dumps, and the SIGKILL that waits for it. @return when to look again */
int64_t pyd_manager_slot_watch(struct pyd_manager_group *group, struct pyd_manager_slot *slot, int64_t now_us);
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

/** "in flight: GET /a, POST /b and 3 more", or "no request in flight". @return how many */
unsigned pyd_manager_report_in_flight(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                                      char *room, size_t size);
void pyd_manager_report_started(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot);
void pyd_manager_report_ready(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot);
/** "Shutdown requested". @param is_error or a matter of course */
void pyd_manager_report_stop(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot, int is_error);
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
