/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_TIMEOUT_H
#define PYD_TIMEOUT_H

#include "pyd_relay.h"

/**
 * request-timeout, from the claim on: how long the worker still has, and whether it should be another one's. All
 * calls need a claim, but for pause and resume, which do nothing without.
 */

void pyd_timeout_start(struct pyd_relay *relay, int64_t now_us);
/** Microseconds the worker still has; INT64_MAX: no limit; 0 or less: it is late. */
int64_t pyd_timeout_left_us(struct pyd_relay *relay, int64_t now_us);
/** Bytes have come from the worker. */
void pyd_timeout_received(struct pyd_relay *relay, size_t bytes);
/** True if it is late, and all that had come by then has been taken. */
int pyd_timeout_is_over(struct pyd_relay *relay);
/** True if the manager has found it late, while this thread was waiting for its client: what has come since is too
 *  late, unless the client has all of the response. */
int pyd_timeout_was_found(const struct pyd_relay *relay);
/** What lies between them is waiting for the client. Not nested. */
void pyd_timeout_pause(struct pyd_relay *relay);
void pyd_timeout_resume(struct pyd_relay *relay);
/** True if the worker should have begun it by now, pyd_dispatch_other() knows another one, and this one will never
 *  begin it. */
int pyd_timeout_leave(struct pyd_relay *relay, int64_t now_us);
/** Take the request back from the worker. @return 0: it has begun it; else it never will */
int pyd_timeout_take_back(const struct pyd_relay *relay);
/** True if the worker that refuses it had it for so long, or has begun it: not all of them may do so, as its time
 *  begins anew with each. */
int pyd_timeout_refused_late(const struct pyd_relay *relay, int64_t now_us);
/** It is late: say so, if the manager has not, and wake it. Say what the client gets. */
void pyd_timeout_report(struct pyd_relay *relay, const char *answer);

#endif
