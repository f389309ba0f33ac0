/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_RETRY_H
#define PYD_RETRY_H

#include <stdint.h>

/** Most that a client is told to wait, in seconds. */
#define PYD_RETRY_SECONDS_MAX 60

/**
 * Retry-After of who finds all threads busy: when those who wait, and one more, will have been served. Pure.
 * @param finished_per_1000_s requests that the group finishes in 1000 s; 0: not known, then as if each took a second
 * @param threads of the group
 * @return 1 to PYD_RETRY_SECONDS_MAX
 */
int64_t pyd_retry_seconds(uint32_t waiting, uint64_t finished_per_1000_s, uint64_t threads);

#endif
