/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_EXCHANGE_H
#define PYD_EXCHANGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "pyd_wire.h"

/**
 * One request in a worker: what the runtime may do with it. All calls belong to
 * the request thread it was given to, and need no GIL (none of them calls the runtime).
 *
 * Output is collected in the connection's buffer. pyd_exchange_push() tries to
 * send it without blocking, so it may be called with the GIL held;
 * pyd_exchange_flush() waits for room and must be called without it.
 * ECONNRESET from any call means that the peer is gone: the client, the httpd child, or
 * httpd lost interest. Nothing is logged here.
 */
struct pyd_exchange;

/**
 * Begin it, before any other call: once the runtime's lock (GIL) is had, and before anything of the application runs.
 * Until then httpd may take the request back and give it to another worker; from here on whoever finds this worker dead
 * knows that it was begun. No system call, unless the group has a memory limit (then one that does not wait).
 * @return 0, or ESTALE: do not execute it, end nothing, return
 */
int pyd_exchange_begin(struct pyd_exchange *exchange);

/** The request; pairs of the constant set are in the other call. Valid until the exchange ends. */
const struct pyd_wire_request *pyd_exchange_request(const struct pyd_exchange *exchange);
/** Its constant set. The pointer is the same for as long as the same set is used on the connection. */
const struct pyd_wire_const *pyd_exchange_const(const struct pyd_exchange *exchange);
/**
 * One pointer the runtime may hang on the constant set (a template dict and the application, say). Freed with
 * free_fn when the set goes, from any thread, without the GIL: src/python queues it for a thread that has it.
 */
void *pyd_exchange_const_data(const struct pyd_exchange *exchange);
void pyd_exchange_const_set_data(struct pyd_exchange *exchange, void *data, void (*free_fn)(void *data));

/**
 * Read body bytes, waiting for the client: what is inline, else READ and its answer.
 * @param size room in data, at least 1
 * @param ret_size bytes stored; 0: end of the body
 * @return 0, ECONNRESET, or EIO with *ret_status the HTTP status httpd will answer (the body cannot be had)
 */
int pyd_exchange_read(struct pyd_exchange *exchange, void *data, size_t size, size_t *ret_size, int *ret_status);

/** Begin a response head: status and reason; then its headers; buffered. ENOMEM is sticky until push. */
void pyd_exchange_head(struct pyd_exchange *exchange, uint16_t status, const char *reason, size_t reason_bytes);
/** The same for 103 Early Hints. */
void pyd_exchange_early(struct pyd_exchange *exchange);
void pyd_exchange_header(struct pyd_exchange *exchange, const char *name, size_t name_bytes, const char *value,
                         size_t value_bytes);
/** All headers are there. */
void pyd_exchange_head_done(struct pyd_exchange *exchange);

/**
 * Body bytes. Small ones are copied into the buffer; of large ones as much as possible is sent right away.
 * @return 0: all taken; EAGAIN: *ret_taken bytes were, call flush and then this for the rest; ECONNRESET; ENOMEM
 */
int pyd_exchange_write(struct pyd_exchange *exchange, const void *data, size_t size, size_t *ret_taken);
/** Send what is buffered without blocking. 0, EAGAIN, ECONNRESET */
int pyd_exchange_push(struct pyd_exchange *exchange);
/** Send what is buffered, waiting. 0, ECONNRESET */
int pyd_exchange_flush(struct pyd_exchange *exchange);

/**
 * One or more whole lines for the error log, with this request's context. Buffered; sent with the next push.
 * @return bytes taken, whole lines; for the others (too much is buffered, nobody listens any more, a forked process)
 *   pyd_log_lines() is the place, which may have to wait
 */
size_t pyd_exchange_log(struct pyd_exchange *exchange, int level, const char *text, size_t size);

/**
 * True in a process that the application has forked. The connections and the status are its parent's: there every call
 * that sends or receives says ECONNRESET and touches nothing. Any thread.
 */
int pyd_exchange_forked(void);

/** True if the client or httpd has gone: one poll(2), no blocking. */
int pyd_exchange_disconnected(struct pyd_exchange *exchange);

/** End the response; cut says that it is incomplete. Buffered: pushes what it can; the core sends the rest. */
void pyd_exchange_end(struct pyd_exchange *exchange, int cut);
/** No response: the application failed before its head was sent. */
void pyd_exchange_fail(struct pyd_exchange *exchange, enum pyd_wire_fail reason, const char *rule);

#endif
