/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_BACKEND_H
#define PYD_BACKEND_H

#include <sys/uio.h>

#include "pyd_buf.h"
#include "pyd_constset.h"
#include "pyd_httpd.h"

/** Bytes received at a time; a control frame that is larger makes the buffer grow until the connection is released. */
#define PYD_BACKEND_IN_BYTES (64u << 10)

/**
 * A connection to a worker. Owned by one request between acquire and release,
 * by the pool of this process otherwise. `in` holds what was received and not
 * yet consumed: bytes at in_at up to in_end.
 */
struct pyd_backend {
    int fd;
    uint32_t group, slot, epoch;
    unsigned pooled : 1; /* it was in the pool before: the worker may have closed it meanwhile */
    struct pyd_constset consts;
    struct pyd_buf out; /* HELLO of a new connection; then scratch for the frames to send */
    unsigned char *in;
    size_t in_bytes, in_at, in_end;
    struct pyd_backend *next; /* pool */
};

/** Close what the pool has for this slot: the worker is gone or closes its connections. */
void pyd_backend_forget(uint32_t group, uint32_t slot);

/**
 * The worker's process has ended, though its slot may go on saying READY: that is for the manager to change, which may
 * be stopped, or dead. Until there is another worker no request of this process should go there.
 */
void pyd_backend_note_ended(const struct pyd_claim_ref *claim);
/** True if that was noted of this very worker. */
int pyd_backend_has_ended(const struct pyd_claim_ref *claim);

/**
 * Receive once without blocking, behind what is there.
 * @return APR_SUCCESS, APR_EAGAIN, APR_EOF (also for a reset), APR_ENOMEM or APR_ENOSPC (no room: call reserve)
 */
apr_status_t pyd_backend_receive(struct pyd_backend *backend);
/** Drop what was consumed and make room for a frame of frame_bytes in all. Moves the buffer. */
apr_status_t pyd_backend_reserve(struct pyd_backend *backend, size_t frame_bytes);

#endif
