/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_DUMP_LINES_H
#define PYD_DUMP_LINES_H

#include <stddef.h>
#include <stdint.h>

#include "pyd_board.h"

/**
 * A dump as operators read it: what the worker tells of its threads, joined with the
 * requests on the board, as lines (SPEC 3). PURE. The text comes from the worker: nothing of
 * it is believed, sizes are bounded, and each line fits into one log message.
 */
struct pyd_dump_lines {
    char **lines; /* owned, without prefix and number; the first is "Dumping stack trace for active Python threads." */
    size_t count;
};

struct pyd_dump_input {
    enum pyd_dump_tier tier;
    const char *text;   /* of the worker or of /proc (pyd_dump.h), or of faulthandler (CRASH); NULL: none */
    size_t bytes;
    const struct pyd_claim_view *claims; /* in use */
    size_t claim_count;
    pid_t only_tid;     /* 0: all threads */
};

/** Most lines of one dump; beyond it the last one says how many were left out. */
#define PYD_DUMP_LINES_MAX 400u

/**
 * Threads with a request first, longest running first; then other Python threads; asyncio's tasks; native ones;
 * requests that no thread has begun. A stack that was printed before is referred to ("same stack as thread 139847").
 * @return 0 or ENOMEM
 */
int pyd_dump_lines_create(const struct pyd_dump_input *input, struct pyd_dump_lines *ret_lines);
void pyd_dump_lines_destroy(struct pyd_dump_lines *lines);

#endif
