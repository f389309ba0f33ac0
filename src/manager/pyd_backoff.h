/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_BACKOFF_H
#define PYD_BACKOFF_H

#include <stdint.h>

/**
 * When may a group whose workers fail to start be tried again: after 1, 2, 4 …
 * 60 s. PURE: time is passed in, monotonic microseconds. Zero-initialised is
 * "no failure". Workers that were started together and fail together count
 * as one failure.
 */
struct pyd_backoff {
    unsigned failures; /* failed starts in a row */
    int forgiven;      /* one early end has been forgiven since the last success */
    int64_t failed_at_us;
    int64_t retry_at_us;
};

#define PYD_BACKOFF_FIRST_US INT64_C(1000000)
#define PYD_BACKOFF_LIMIT_US INT64_C(60000000)

/** How long to wait after so many failures in a row. */
int64_t pyd_backoff_delay_us(unsigned failures);

/**
 * A worker started at started_us has failed.
 * @return 1 if this begins or prolongs the wait, 0 if a companion of it already did
 */
int pyd_backoff_fail(struct pyd_backoff *backoff, int64_t started_us, int64_t now_us);

/**
 * A worker that had become ready ended early. The first one in a row is replaced at once, as somebody may simply have
 * killed it. @return 1 if forgiven, 0 if the caller has to count it with pyd_backoff_fail()
 */
int pyd_backoff_forgive(struct pyd_backoff *backoff, int64_t now_us);

/**
 * A worker started at started_us has proved itself. One that is older than the last failure proves nothing.
 * @return 1 if this ends a time of failures
 */
int pyd_backoff_succeed(struct pyd_backoff *backoff, int64_t started_us);

/** True if a worker may be started now. */
int pyd_backoff_may_start(const struct pyd_backoff *backoff, int64_t now_us);

#endif
