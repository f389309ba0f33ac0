/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_BOARD_LAYOUT_H
#define PYD_BOARD_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "pyd_status.h"

/**
 * What lies in the memory files of a generation. Three kinds of them:
 *
 *   settings  one; written before any process is forked, then sealed against
 *             writing: sizes, offsets, names, spec texts. Every index and
 *             offset comes from here, so nothing that a broken process does to
 *             the other two leads out of bounds or into an endless loop.
 *   board     one; written by the httpd parent, its children and the manager,
 *             never seen by a worker: slots, claims, queue.
 *   status    one per group; written by that group's workers and read by
 *             everybody else, who believe none of it: a lie hurts its own group.
 *             Others write one word of it, seq_state: who gives a request up revokes it
 *             there, and the manager sets it right before a new worker starts.
 *             Behind the records, which all map, lies an area for each slot, which
 *             nobody maps: stacks, by pwrite(2) of the worker and pread(2) of the
 *             manager. It has no memory until something is written there.
 *
 * There are no pointers and no locks in any of them. Every word with several writers is
 * an _Atomic with a stated repairer:
 *
 *   claim owner    0 -> pid          httpd child that wants to use it (CAS)
 *                  pid -> 0          the same child, done with it
 *                  pid -> ORPHAN     the same child, giving up while the worker may
 *                                    still be executing; or the manager's sweep, when
 *                                    pid is dead, or the worker has been for some seconds
 *                  ORPHAN -> pid     a child, when the worker is not RUNNING it
 *   waiter->owner  0 -> pid -> 0     the same; the sweep frees those of dead pids
 *   group->queue   low half: waiters, a hint >= the truth; high half: a version
 *                  that grows with each change, so that the sweep can correct the hint
 *   slot->state    manager only
 *   claim late     older -> seq      whoever finds first that the use with that seq has exceeded
 *                                    request-timeout: the child that waits for it, or the manager. Who
 *                                    sets it logs it; both act on it.
 *   slot->suspect  any -> now        a child whose request was not begun in time
 *                  any -> 0          the next child that finds the worker has begun one since, or PYD_SUSPECT_US
 *                                    over; the manager, for a new worker
 *   seq_state      older -> RUNNING  worker, begins
 *                  RUNNING -> DONE   worker, ends
 *                  older -> DONE     revoked: by the owner or the sweep, before ORPHAN
 *                  any -> DONE       manager, while the slot has no worker
 *
 * A claim's seq grows with each use and never goes back, not even when the slot gets
 * another worker; the worker begins a request only if its seq is newer than any it has
 * seen on that claim, and says so in its status before the first byte of Python. So
 * whoever finds a worker dead can tell whether a request was begun (then 502) or not
 * (then another worker may have it). A request given up before it was begun is revoked:
 * in the status its seq counts as seen, so it is never begun.
 *
 * A slot is not used for a new worker while a living child still holds one of
 * its claims: that child has yet to read the dead worker's status. It has some seconds
 * for that; then the claim is taken from it, and the request counts as begun.
 */

#define PYD_BOARD_MAGIC 0x50594442u
#define PYD_BOARD_LAYOUT 2u

/** Slots per configured process: one serving, up to two retiring (SPEC 3). */
#define PYD_BOARD_SLOTS_PER_PROCESS 3

/** What is written by different processes at a high rate does not share a cache line. */
#define PYD_BOARD_LINE 64

#define PYD_OWNER_NONE 0u
#define PYD_OWNER_ORPHAN UINT32_MAX

enum pyd_slot_state {
    PYD_SLOT_EMPTY,
    PYD_SLOT_STARTING, /* process exists, applications not imported */
    PYD_SLOT_READY,    /* may be claimed */
    PYD_SLOT_RETIRING, /* no new claims */
    PYD_SLOT_STOPPING, /* told to exit */
    PYD_SLOT_DEAD      /* reaped; claims may be outstanding */
};

enum pyd_group_state {
    PYD_GROUP_STARTING, /* no worker has been ready yet */
    PYD_GROUP_SERVING,
    PYD_GROUP_FAILING, /* cannot start; retried with backoff */
    PYD_GROUP_BROKEN   /* its settings cannot work on this machine; not tried */
};

/** Why a worker ended, as the manager knows it. */
enum pyd_cause {
    PYD_CAUSE_NONE,
    PYD_CAUSE_SIGNAL,        /* detail: signal number */
    PYD_CAUSE_OOM,           /* SIGKILL by the kernel's OOM killer */
    PYD_CAUSE_EXIT,          /* detail: exit status, unasked for */
    PYD_CAUSE_IMPORT,        /* an application failed to import */
    PYD_CAUSE_STARTUP,       /* failed before that; detail: exit status */
    PYD_CAUSE_STARTUP_TIMEOUT,
    PYD_CAUSE_SHUTDOWN,      /* as told */
    PYD_CAUSE_SHUTDOWN_TIMEOUT, /* killed after shutdown-timeout */
    PYD_CAUSE_RETIRED,       /* replaced as told */
    /* Limits. Each is first the reason to replace it, then the cause of its end, killed for it or not. */
    PYD_CAUSE_REQUEST_TIMEOUT,
    PYD_CAUSE_DEADLOCK,      /* the GIL was not to be had, or it showed no life, for deadlock-timeout */
    PYD_CAUSE_MEMORY,        /* memory-limit */
    PYD_CAUSE_MEMORY_HARD,   /* memory-hard-limit: killed */
    PYD_CAUSE_CPU_TIME,
    PYD_CAUSE_REQUESTS,      /* maximum-requests */
    PYD_CAUSE_INTERVAL,      /* restart-interval */
    PYD_CAUSE_INACTIVE,      /* inactivity-timeout: not replaced until needed */
    PYD_CAUSE_UNKNOWN        /* adopted: its status went to someone else */
};

/* The settings file: a header, group_count group records, then texts. Constant. */

struct pyd_board_settings_group {
    char name[64];
    uint32_t processes, threads, slot_count, queue_limit;
    int32_t status_fd;
    uint32_t spec_at, spec_bytes; /* in this file: text form of struct pyd_spec, NUL included */
    uint32_t unused;
    uint64_t group_at, slots_at, owners_at, claims_at, waiters_at; /* offsets in the board */
};

struct pyd_board_settings {
    uint32_t magic, layout;
    uint64_t size;         /* of this file */
    uint64_t board_bytes;  /* of the board */
    uint64_t board_inode;  /* which board it belongs to */
    uint32_t generation, group_count;
    struct pyd_board_settings_group groups[];
};

/* The board. m: the manager writes; p: the parent, before the first fork; o: the claim's owner; *: whoever. */

struct pyd_board_claim { /* its owner word is in an array of the slot's: one cache line tells who is busy */
    _Atomic uint64_t seq;     /* o */
    _Atomic int64_t start_us; /* o: monotonic: handed to the worker; 0: not described yet */
    /* o, and the sweep for a dead one: the time that does not count towards request-timeout (pyd_deadline.c) */
    _Atomic int64_t paused_us;       /* in waits for the client that are over */
    _Atomic int64_t paused_since_us; /* of the wait for the client that goes on; 0: none */
    _Atomic int64_t waited_us;       /* what the worker had waited when that began */
    _Atomic uint64_t late;           /* *: the last seq that exceeded request-timeout */
    _Atomic uint32_t epoch;   /* o: of the worker it was last taken for */
    /* o: for log lines, set once before REQUEST is sent; may be torn: pyd_claim_look() copies them */
    char what[124];      /* "GET /path" */
    char client[46];     /* its address */
    char request_id[30]; /* httpd's log id */
} __attribute__((aligned(PYD_BOARD_LINE)));

struct pyd_board_waiter {
    _Atomic uint32_t owner;
    _Atomic uint32_t wake;   /* futex: 0 waiting, 1 called: look again */
    _Atomic uint64_t ticket; /* order of arrival; 0: just entering or leaving, not counted */
};

struct pyd_board_slot {
    _Atomic uint32_t state; /* m: enum pyd_slot_state */
    _Atomic uint32_t epoch; /* m: grows with each worker started here; 0: none yet */
    _Atomic int32_t pid;    /* m */
    _Atomic uint32_t number; /* m: the worker's number in its group as ps shows it, 1.. */
    _Atomic uint64_t pid_start; /* m: start time in /proc/PID/stat, so that a reused pid is not adopted */
    _Atomic int64_t started_us, ready_us, state_since_us; /* m: monotonic */
    _Atomic int64_t suspect_us; /* *: a request was not begun in time then; 0: never. See pyd_claim_suspect() */
    _Atomic uint64_t memory_bytes, cpu_us; /* m: as measured last */
    /* m, for its successor: enum pyd_cause: why the worker has to go; why it is to be killed, dump permitting */
    _Atomic uint32_t must_go, killed_for;
    /* m: the last worker that ended here; ended_epoch is stored last. */
    _Atomic uint32_t ended_epoch, ended_pid, ended_cause, ended_detail;
    _Atomic uint32_t told_epoch; /* m: the last one whose end has been logged */
    int32_t rendezvous_child_fd, rendezvous_worker_fd, log_read_fd, log_write_fd; /* p */
} __attribute__((aligned(PYD_BOARD_LINE)));

struct pyd_board_group { /* sizes, name, spec: pyd_board_settings() */
    int32_t worker_fd;           /* p: the open worker binary, or -1 */
    _Atomic uint32_t state;      /* m: enum pyd_group_state */
    _Atomic int64_t retry_at_us; /* m: monotonic, when FAILING: next try */
    _Atomic uint64_t queue __attribute__((aligned(PYD_BOARD_LINE))); /* *: pyd_queue_length() reads it */
    _Atomic uint64_t next_ticket;                                    /* * */
    _Atomic uint64_t requests __attribute__((aligned(PYD_BOARD_LINE))); /* *: httpd children add */
    _Atomic uint64_t finished;  /* *: answered by a worker */
    _Atomic uint64_t failed_502, failed_503, failed_504;
    _Atomic uint64_t finished_per_1000_s; /* m: of late; 0: not known */
} __attribute__((aligned(PYD_BOARD_LINE)));

struct pyd_board_header {
    uint32_t magic, layout;
    uint64_t size;
    uint32_t generation;
    int32_t board_fd, settings_fd, lock_fd, lock_watch_fd; /* p: see pyd_generation.h */
    int32_t lifeline_read_fd, lifeline_write_fd;           /* p */
    int32_t poke_read_fd, poke_write_fd;                   /* p */
    _Atomic int32_t manager_pid; /* parent */
    _Atomic uint32_t stopping;   /* parent or manager: 1 when this generation takes no new requests */
    _Atomic uint32_t superseded; /* parent: 1 when a younger generation exists */
};

#endif
