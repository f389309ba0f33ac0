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
 * start is tried with one worker at a time, after a backoff; workers left by a
 * killed manager ("adopted") serve until their successors are READY, one after
 * the other; a retiring worker is told to stop when its last claim is free; one
 * that does not stop, or does not start, in time is killed.
 */
struct pyd_plan_slot {
    enum pyd_slot_state state;
    int64_t since_us;         /* in this state since */
    uint32_t busy;            /* claims in use */
    unsigned adopted : 1;     /* an earlier manager started it */
    unsigned says_ready : 1;  /* its status says so */
    unsigned says_stopping : 1;
    unsigned killed : 1;      /* SIGKILL has been sent */
    unsigned unclaimed : 1;   /* no living owner of a claim: may get a new worker */
};

struct pyd_plan_group {
    enum pyd_group_state state;
    struct pyd_backoff backoff;
    int ending; /* the generation ends: stop everything */
    uint32_t processes;
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
    PYD_ACTION_KILL,   /* SIGKILL, for cause -> STOPPING */
    PYD_ACTION_STATE   /* the group's state becomes `state` */
};

struct pyd_action {
    enum pyd_action_kind kind;
    uint32_t slot;
    enum pyd_cause cause;       /* KILL */
    enum pyd_group_state state; /* STATE */
};

/** Most actions one plan can have: FREE and START, or READY and RETIRE, of each slot; and the state. */
#define PYD_PLAN_ACTIONS(slot_count) (2 * (size_t)(slot_count) + 1)

/** How long a retiring worker may finish its requests (graceful-timeout's default). */
#define PYD_PLAN_GRACEFUL_US INT64_C(30000000)
/** How long httpd's children may hold the claims of a dead worker before another one is ended to make room. */
#define PYD_PLAN_CLAIMED_US INT64_C(2000000)
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
