/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_BOARD_H
#define PYD_BOARD_H

#include <sys/types.h>

#include "pyd_board_layout.h"

/**
 * The board: one configuration generation's shared memory, and the calls by
 * which httpd children, manager and workers meet on it. pyd_board_layout.h says
 * what lies there and who may write it.
 *
 * Nothing here blocks but pyd_queue_wait(), allocates but create and attach, or
 * trusts what another process may have written. Any thread may call anything.
 */

/** Process-local view of a board. */
struct pyd_board {
    struct pyd_board_header *header;
    size_t size;
    const struct pyd_board_settings *settings; /* sealed, mapped read-only */
    size_t settings_size;
    unsigned char **status; /* per group: its mapping; NULL only in a half-built view */
    size_t *status_size;
    int lock_fd, poke_write_fd; /* copies: those on the board may have been overwritten */
    int closed;                 /* its descriptors are */
    _Atomic uint32_t turn;      /* where the search for a worker starts */
};

struct pyd_board_group_plan {
    const char *name;
    uint32_t processes, threads, queue_limit;
    const char *spec_text;
    enum pyd_group_state state; /* STARTING or BROKEN */
};

/* pyd_board.c: layout */

/**
 * Lay out, create and map a board, its settings and its status files. The descriptors of pyd_generation_open() are -1.
 * @return 0; EINVAL: a plan without a name, processes or threads; ENAMETOOLONG; E2BIG: more than 1 GiB; or an errno.
 *   Returns owned: pyd_generation_close(), then pyd_board_unmap()
 */
int pyd_board_create(uint32_t generation, const struct pyd_board_group_plan *plans, uint32_t count,
                     struct pyd_board **ret_board);
/**
 * Map an existing one (descriptor inherited), checking magic, layout and every offset. Takes a board of this httpd
 * only.
 * @return 0, EINVAL: not one, of another version, or damaged; or an errno
 */
int pyd_board_attach(int board_fd, struct pyd_board **ret_board);
/** Unmap. NULL-safe. Descriptors stay open: pyd_generation_close() closes them. */
void pyd_board_unmap(struct pyd_board *board);

uint32_t pyd_board_group_count(const struct pyd_board *board);
/** Name and sizes of a group: constant, trusted. Loops over slots, claims and waiters take their bounds from here. */
const struct pyd_board_settings_group *pyd_board_settings(const struct pyd_board *board, uint32_t group);
/* Indexes are the caller's duty: they must be below those bounds. */
struct pyd_board_group *pyd_board_group(const struct pyd_board *board, uint32_t group);
struct pyd_board_slot *pyd_board_slot(const struct pyd_board *board, uint32_t group, uint32_t slot);
/** The owner words of a slot's `threads` claims. */
_Atomic uint32_t *pyd_board_owners(const struct pyd_board *board, uint32_t group, uint32_t slot);
struct pyd_board_claim *pyd_board_claim(const struct pyd_board *board, uint32_t group, uint32_t slot, uint32_t claim);
struct pyd_board_waiter *pyd_board_waiter(const struct pyd_board *board, uint32_t group, uint32_t waiter);
/** Trusted, constant; valid until unmap. */
const char *pyd_board_spec_text(const struct pyd_board *board, uint32_t group);
/** The status record of a slot; never NULL once mapped. Untrusted content. */
struct pyd_status_worker *pyd_board_status(const struct pyd_board *board, uint32_t group, uint32_t slot);

/* pyd_claim.c: dispatch, httpd children */

struct pyd_claim_ref {
    uint32_t group, slot, claim;
    uint32_t epoch; /* of the worker when claimed */
    uint64_t seq;
};

/**
 * Claim a request thread of the least busy READY worker: spread first. Does not wait.
 * Among equally busy workers the calls of a process take turns: the next request does not meet the one that has just
 * been answered while that thread still tidies up under the GIL, and all workers age and warm up alike.
 * @param self the caller's pid
 * @param avoid_slot a slot not to use unless it is the only READY one (a retry), or UINT32_MAX. From the queue pass
 *   UINT32_MAX: a waiter that declines what it was woken for holds up the others.
 * @return 0; EAGAIN: none free, but for those of suspect workers beside others; ENOENT: no READY worker at all
 */
int pyd_claim_try(struct pyd_board *board, uint32_t group, uint32_t self, uint32_t avoid_slot,
                  struct pyd_claim_ref *ret_claim);
/** Say what the claim is for (log lines of others). */
struct pyd_claim_purpose {
    const char *method, *uri, *client, *request_id; /* not NULL; cut to what a claim has room for */
};
void pyd_claim_describe(struct pyd_board *board, const struct pyd_claim_ref *claim,
                        const struct pyd_claim_purpose *purpose, int64_t now_us);
/** Copy what a claim is, or was last, for: always terminated, cut if need be; bytes as the client sent them. */
void pyd_claim_what(const struct pyd_board *board, const struct pyd_claim_ref *claim, char *room, size_t size);
/** A request was not begun in time: dispatch uses this worker only if all are suspect, until it begins one, at most for
 *  PYD_SUSPECT_US. */
void pyd_claim_suspect(struct pyd_board *board, const struct pyd_claim_ref *claim, int64_t now_us);
/** Whether a slot's worker is. Looks at the clock only if it has been said to be; ends it if that is over. */
int pyd_claim_is_suspect(const struct pyd_board *board, uint32_t group, uint32_t slot);
#define PYD_SUSPECT_US INT64_C(10000000)
/** Give it back; wakes the oldest waiter. The worker has ended this request (END, FAIL, REFUSE) or never got it, or is
 *  dead. */
void pyd_claim_release(struct pyd_board *board, const struct pyd_claim_ref *claim);
/** Give it up while the worker may have it: usable again once the worker is not RUNNING it. What it has not begun by
 *  now it never will. */
void pyd_claim_orphan(struct pyd_board *board, const struct pyd_claim_ref *claim);
/** True once the worker has said that it began this request, dead or not. Valid while the claim is held; also true when
 *  the claim has been taken from the caller, as then nobody can tell any more. */
int pyd_claim_begun(const struct pyd_board *board, const struct pyd_claim_ref *claim);
/** True if the worker that was claimed is gone or another one has taken its slot. */
int pyd_claim_worker_gone(const struct pyd_board *board, const struct pyd_claim_ref *claim);
/** Why it ended: 0 and cause, detail, pid (UNKNOWN if another one has ended there since); EAGAIN while the manager has
 *  not said yet. */
int pyd_claim_cause(const struct pyd_board *board, const struct pyd_claim_ref *claim, enum pyd_cause *ret_cause,
                    uint32_t *ret_detail, pid_t *ret_pid);
/** Busy claims of a slot as they are now. */
uint32_t pyd_claim_busy(const struct pyd_board *board, uint32_t group, uint32_t slot);
/** True if pyd_claim_try() would find one. */
int pyd_claim_any_free(const struct pyd_board *board, uint32_t group);

/*
 * pyd_deadline.c: request-timeout.
 *
 * What counts is the time since the claim was described, but for what the worker spends waiting for the client: for
 * room to send, or for body it has asked for. The worker knows when it waits, the child knows when the client makes it
 * wait; time is left out only while both say so. So a worker can't gain more than its client takes, a
 * client can't cause a timeout, and a worker that freezes while it waits is found as soon as the client is done.
 */

/** Child: begins to wait for the client, to read its body or to send to it. Not nested. */
void pyd_claim_pause(struct pyd_board *board, const struct pyd_claim_ref *claim, int64_t now_us);
/** Child: that wait is over. Harmless without pause. */
void pyd_claim_resume(struct pyd_board *board, const struct pyd_claim_ref *claim, int64_t now_us);
/** Microseconds that count so far. Never negative; 0 before it is described, and when the claim is not this use's any
 *  more. */
int64_t pyd_claim_elapsed_us(const struct pyd_board *board, const struct pyd_claim_ref *claim, int64_t now_us);
/** Say that it is late. @return 1 if this call did it: then log it; 0 if it was said before, or the claim is not this
 *  use's any more */
int pyd_claim_set_late(struct pyd_board *board, const struct pyd_claim_ref *claim);
int pyd_claim_is_late(const struct pyd_board *board, const struct pyd_claim_ref *claim);

/** One claim in use, copied and made safe: strings are terminated, times not in the future. For the manager. */
struct pyd_claim_view {
    struct pyd_claim_ref ref; /* of its present use */
    uint32_t owner;       /* pid of the child that waits for it, or PYD_OWNER_ORPHAN */
    unsigned begun : 1;   /* the worker executes it */
    unsigned ended : 1;   /* the worker says that it does no more; its child has yet to answer the client */
    unsigned late : 1;
    int64_t elapsed_us;   /* as above; 0 once it has ended: no worker is to blame for what it takes from then on */
    int64_t memory_bytes; /* of the worker when it began; 0: not known */
    int32_t tid;          /* of the thread that executes it; 0: not begun */
    uint64_t thread;      /* the same, as pthread_self() said */
    char what[128], client[48], request_id[32];
};
/** @return 0: that claim is not in use, or not by this worker (epoch) */
int pyd_claim_look(const struct pyd_board *board, uint32_t group, uint32_t slot, uint32_t claim, uint32_t epoch,
                   int64_t now_us, struct pyd_claim_view *ret_view);
/** Number of a slot's claims in use, but for late ones: what a retiring worker may finish. */
uint32_t pyd_claim_unfinished(const struct pyd_board *board, uint32_t group, uint32_t slot);

/* pyd_queue.c: waiting for a claim, httpd children. The loop: enter; while not first or pyd_claim_try() says EAGAIN:
 * wait; leave. */

/** Enter the queue. @return 0 and the waiter's index, or EAGAIN: it is full (always, if queue_limit is 0) */
int pyd_queue_enter(struct pyd_board *board, uint32_t group, uint32_t self, uint32_t *ret_waiter);
/** True if nobody who has not been called waits longer (then pyd_claim_try is this waiter's to call). */
int pyd_queue_is_first(struct pyd_board *board, uint32_t group, uint32_t waiter);
/** Sleep until woken, a signal came, or timeout_us has passed (callers slice it: at most 1 s). */
void pyd_queue_wait(struct pyd_board *board, uint32_t group, uint32_t waiter, int64_t timeout_us);
/** Leave, successful or not; wakes the next one if there is a free claim to be had. */
void pyd_queue_leave(struct pyd_board *board, uint32_t group, uint32_t waiter);
/** True if somebody waits (a newcomer must queue up behind). */
int pyd_queue_busy(struct pyd_board *board, uint32_t group);
/** How many wait: exact but for waiters killed since the last sweep. */
uint32_t pyd_queue_length(const struct pyd_board *board, uint32_t group);
/** Wake up to count waiters, oldest first (a worker became ready; a claim was released). */
void pyd_queue_wake(struct pyd_board *board, uint32_t group, uint32_t count);

/* pyd_sweep.c: repairs; the manager */

/** Tells whether an httpd child of this generation with that pid lives. */
typedef int pyd_alive_fn(void *baton, uint32_t pid);
/** Orphan claims and free queue entries of dead owners, correct the queue's length. @return how many were repaired */
uint32_t pyd_sweep(struct pyd_board *board, uint32_t group, pyd_alive_fn *alive, void *baton);
/** A child, at its start, when it has its lock and no other thread: whatever bears its pid was a predecessor's. */
void pyd_sweep_own(struct pyd_board *board, uint32_t self);
/** True if no owner holds a claim of the slot: it may get a new worker. Sweep first: the dead count until then. */
int pyd_sweep_slot_unclaimed(struct pyd_board *board, uint32_t group, uint32_t slot);
/** Take from their living owners the claims of a slot whose worker died long ago. What they do with them from then on
 *  has no effect. @return how many */
uint32_t pyd_sweep_slot_reclaim(struct pyd_board *board, uint32_t group, uint32_t slot);
/** An unclaimed slot without a process gets a new worker: its status says nothing of an earlier one any more, and what
 *  has been written over its seqs, or those of its claims, ends here. */
void pyd_sweep_slot_renew(struct pyd_board *board, uint32_t group, uint32_t slot);

#endif
