/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_PYLOG_H
#define PYD_PYLOG_H

#include <stddef.h>

#include "pyd_log.h"

struct pyd_exchange;

/**
 * Log lines while holding the GIL: with the context of a request as far as that takes them, the others (all if exchange
 * is NULL) through the log pipe. To wait for room there gives up the GIL, during which another thread may use, and end,
 * a request that is not busy.
 */
void pyd_pylog_lines(struct pyd_exchange *exchange, enum pyd_log_level level, const char *text, size_t size);

#endif
