/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_PLAN_H
#define PYD_PLAN_H

#include "pyd_backoff.h"
#include "pyd_board.h"
#include "pyd_spec.h"

/**
 * What the manager does next for one group. PURE: a snapshot and the time go
 * in, actions come out; nothing is read, written or started here.
 *
 * The rules: `processes` workers are READY or STARTING; a group that fails to
 * start is tried with one worker at a time, after a backoff. A worker that is to
 * go (left by a killed manager, "adopted"; or with a limit reached, must_go) serves until its
 * successor is READY. Those that have lost threads, or harm others, get their successors at once; where there
 * is no hurry, one after the other. One that can't serve (sick) takes no more requests at once. A
 * retiring worker is told to stop when only requests are left that have exceeded request-timeout, at the
 * latest after graceful-timeout; one that does not stop, or does not start, in time is killed. Workers that
 * were idle for inactivity-timeout go without successor; a request that waits brings one back.
 */
struct pyd_plan_slot {
    enum pyd_slot_state state;
    int64_t since_us;         /* in this state since */
    uint32_t unfinished;      /* claims in use, but for late ones */
    enum pyd_cause must_go;   /* NONE, or the limit it has reached; INACTIVE: no successor */
    int64_t gone_since_us;    /* must_go since */
    unsigned adopted : 1;     /* an earlier manager started it */
    unsigned sick : 1;        /* it must go, and can't serve: no GIL, or no sign of life */
    unsigned doomed : 1;      /* to be killed now: must_go says why */
    unsigned says_ready : 1;  /* its status says so */
    unsigned says_stopping : 1;
    unsigned killed : 1;      /* SIGKILL has been decided; a dump may come before it */
    int64_t signalled_us;     /* it has been sent then, or 0 */
    unsigned unclaimed : 1;   /* no living owner of a claim: may get a new worker */
};

struct pyd_plan_group {
    enum pyd_group_state state;
    struct pyd_backoff backoff;
    int ending; /* the generation ends: stop everything */
    uint32_t processes;
    uint32_t asleep;  /* of these, so many are not needed for now; at most processes */
    uint32_t waiting; /* requests in the queue */
    const struct pyd_plan_slot *slots;
    uint32_t slot_count;
};

enum pyd_action_kind {
    PYD_ACTION_FREE,   /* DEAD -> EMPTY */
    PYD_ACTION_START,  /* EMPTY -> STARTING */
    PYD_ACTION_READY,  /* STARTING -> READY */
    PYD_ACTION_RETIRE, /* READY -> RETIRING */
    PYD_ACTION_STOP,   /* tell it to exit -> STOPPING */
    PYD_ACTION_LEAVE,  /* it stops without having been told -> STOPPING */
    PYD_ACTION_KILL,   /* a dump, then SIGKILL, for cause -> STOPPING */
    PYD_ACTION_SLEEP,  /* one worker fewer is needed: asleep + 1 */
    PYD_ACTION_WAKE,   /* one more: asleep - 1 */
    PYD_ACTION_STATE   /* the group's state becomes `state` */
};

struct pyd_action {
    enum pyd_action_kind kind;
    uint32_t slot;
    enum pyd_cause cause;       /* KILL */
    enum pyd_group_state state; /* STATE */
};

/** Most actions one plan can have: FREE and START, or READY, RETIRE and SLEEP, of each slot; WAKE; and the state. */
#define PYD_PLAN_ACTIONS(slot_count) (3 * (size_t)(slot_count) + 2)

/** How long httpd's children may hold the claims of a dead worker before another one is ended to make room. */
#define PYD_PLAN_CLAIMED_US INT64_C(2000000)
/** How long one that SIGKILL has been sent to counts as about to be gone: in uninterruptible sleep it stays. */
#define PYD_PLAN_KILLED_US INT64_C(2000000)
/** A worker that is too large, or has used too much time, as soon as it is ready says that the limit is wrong. Its
 *  successor would be no better: it is not started before the worker has been ready for that long. */
#define PYD_PLAN_YOUNG_US INT64_C(3000000)
/** Applies at the end of a generation where shutdown-timeout is off: nothing may outlive httpd. */
#define PYD_PLAN_SHUTDOWN_US INT64_C(5000000)

/**
 * @param ret_actions room for PYD_PLAN_ACTIONS(group->slot_count), in the order in which to do them
 * @param ret_next_us when time alone will change the plan; INT64_MAX: never
 * @return the number of actions
 */
size_t pyd_plan(const struct pyd_spec *spec, const struct pyd_plan_group *group, int64_t now_us,
                struct pyd_action *ret_actions, int64_t *ret_next_us);

#endif
