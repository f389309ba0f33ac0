/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_STATUS_H
#define PYD_STATUS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The status file of a group, and the calls on one worker's part of it. Who may write what: pyd_board_layout.h.
 */

/* What a worker says of itself, but for seq_state; in the group's status memfd: slot_count records
 * of pyd_status_stride(threads) bytes, then the areas. */
#define PYD_STATUS_DONE 0u
#define PYD_STATUS_RUNNING 1u
#define PYD_STATUS_SEQ_MAX (UINT64_MAX >> 1) /* what fits beside that bit */

struct pyd_status_request {
    _Atomic uint64_t seq_state; /* seq << 1 | RUNNING or DONE (or revoked); seq never goes back within an epoch */
    _Atomic int64_t start_us;
    _Atomic int32_t tid;
    _Atomic uint64_t thread;       /* pthread_self(), by which faulthandler names it */
    _Atomic int64_t waited;        /* for the client: pyd_status_waited_us() */
    _Atomic int64_t memory_bytes;  /* of the process when it began, or 0: nobody wants to know */
};

enum pyd_worker_state { PYD_WORKER_INIT, PYD_WORKER_IMPORTING, PYD_WORKER_READY, PYD_WORKER_STOPPING };

struct pyd_status_worker {
    _Atomic uint32_t epoch; /* copied from its job: a status of another epoch is stale */
    _Atomic uint32_t state; /* enum pyd_worker_state */
    _Atomic uint64_t requests;
    /* Signs of life, monotonic (src/worker/pyd_watch.h). */
    _Atomic int64_t alive_us;     /* the keeper, each second */
    _Atomic int64_t gil_asked_us; /* the watch thread waits for the GIL since; 0: it does not */
    _Atomic uint32_t dumps;       /* grows with each dump that has been written to the area */
    struct pyd_status_request request[]; /* threads of them */
};

/*
 * The area of a slot. The head and the text are what a living worker was asked for
 * (pyd_dump.h has the text's form); the crash text is what faulthandler wrote when the worker died,
 * and ends with the first NUL. Each worker empties it when it starts, and says at PYD_AREA_EPOCH_AT that it has.
 */
#define PYD_AREA_BYTES (16u << 20)
#define PYD_AREA_EPOCH_AT 2048u
#define PYD_AREA_TEXT_AT 4096u
#define PYD_AREA_TEXT_MAX (512u << 10)
#define PYD_AREA_CRASH_AT (1u << 20)
#define PYD_AREA_CRASH_MAX (1u << 20) /* what is read of it */

enum pyd_dump_tier {
    PYD_DUMP_NONE,
    PYD_DUMP_GIL,     /* by the watch thread, holding the GIL */
    PYD_DUMP_NO_GIL,  /* by signals to each thread */
    PYD_DUMP_PROC,    /* by the manager, from /proc; never in an area */
    PYD_DUMP_CRASH    /* by faulthandler, in the dying process; never in a head */
};

struct pyd_area_head {
    uint32_t epoch;  /* of the worker that wrote it */
    uint32_t dump;   /* as asked for, or 0: by SIGUSR2 */
    uint32_t tier;   /* enum pyd_dump_tier: GIL or NO_GIL */
    uint32_t bytes;  /* of the text */
};

/* pyd_status.c: the worker's side, but for revoke */

/** A worker, at its start, before any request: nothing of an earlier epoch runs any more. */
void pyd_status_open(struct pyd_status_worker *worker, uint32_t threads, uint32_t epoch);
/** Begin seq on request record: 0, or ESTALE if a newer or the same one was seen (do not execute it). The calling
 *  thread executes it. memory_bytes is the caller's to set, before. */
int pyd_status_begin(struct pyd_status_request *record, uint64_t seq, int64_t now_us, pid_t tid);
/** End it; ignored if a newer one has begun meanwhile. */
void pyd_status_end(struct pyd_status_request *record, uint64_t seq);
/** It begins to wait for the client: for body it has asked for, or for room to send. Not nested. */
void pyd_status_wait(struct pyd_status_request *record, int64_t now_us);
/** That wait is over. Harmless without one. */
void pyd_status_wait_end(struct pyd_status_request *record, int64_t now_us);
/** Readers: how long it has waited for the client by now, all in all. Never negative; untrusted. */
int64_t pyd_status_waited_us(const struct pyd_status_request *record, int64_t now_us);
/** Who gives a request up: unless it was begun, pyd_status_begin() says ESTALE for it from now on. Bounded.
 *  @return 1 if this call took it back: it was not begun and never will be; 0: it was begun, or taken back before */
int pyd_status_revoke(struct pyd_status_request *record, uint64_t seq);
size_t pyd_status_stride(uint32_t threads);

/* pyd_area.c: stacks, in the status file behind the records. */

/** Where the area of a slot begins in the status file. PURE. */
int64_t pyd_area_offset(uint32_t slot_count, uint32_t threads, uint32_t slot);
/** Worker: store a dump; the text is cut to PYD_AREA_TEXT_MAX. The head is written last. @return 0 or an errno */
int pyd_area_write(int status_fd, int64_t area, struct pyd_area_head head, const char *text, size_t bytes);
/** Manager: read it. @param ret_text owned, terminated; untrusted. @return 0; ENOENT: none of this epoch;
 *  or an errno */
int pyd_area_read(int status_fd, int64_t area, uint32_t epoch, struct pyd_area_head *ret_head, char **ret_text);
/** Manager: what faulthandler wrote when the worker died. @return 0 and owned text; ENOENT: nothing of this epoch;
 *  or an errno */
int pyd_area_read_crash(int status_fd, int64_t area, uint32_t epoch, char **ret_text);
/** Worker, at its start: give back the memory of the one before it, and make it its own. @return 0 or an errno */
int pyd_area_open(int status_fd, int64_t area, uint32_t epoch);

#endif
