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
size_t pyd_status_stride(uint32_t threads);

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
 * @return 0; EAGAIN: none free; ENOENT: no READY worker at all
 */
int pyd_claim_try(struct pyd_board *board, uint32_t group, uint32_t self, uint32_t avoid_slot,
                  struct pyd_claim_ref *ret_claim);
/** Say what the claim is for (log lines of others). */
void pyd_claim_describe(struct pyd_board *board, const struct pyd_claim_ref *claim, const char *method, const char *uri,
                        int64_t now_us);
/** Copy what a claim is, or was last, for: always terminated, cut if need be; bytes as the client sent them. */
void pyd_claim_what(const struct pyd_board *board, const struct pyd_claim_ref *claim, char *room, size_t size);
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

/* pyd_status.c: the worker's side, but for revoke */

/** A worker, at its start, before any request: nothing of an earlier epoch runs any more. */
void pyd_status_open(struct pyd_status_worker *worker, uint32_t threads, uint32_t epoch);
/** Begin seq on request record: 0, or ESTALE if a newer or the same one was seen (do not execute it). */
int pyd_status_begin(struct pyd_status_request *record, uint64_t seq, int64_t now_us, pid_t tid);
/** End it; ignored if a newer one has begun meanwhile. */
void pyd_status_end(struct pyd_status_request *record, uint64_t seq);
/** Who gives a request up: unless it was begun, pyd_status_begin() says ESTALE for it from now on. Bounded. */
void pyd_status_revoke(struct pyd_status_request *record, uint64_t seq);

#endif
