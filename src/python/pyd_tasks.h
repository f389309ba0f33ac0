/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_TASKS_H
#define PYD_TASKS_H

#include "pyd_frames.h"

/** Names of attributes. GIL. @return 0, or -1 with an exception set */
int pyd_tasks_init(void);

/**
 * Add asyncio's tasks that are not done, with the coroutines each of them waits in, innermost first. Loops that are
 * known not to run are left out. GIL, no collection of garbage (a set is iterated over); runs no code but CPython's.
 * @param ident only those of the loop that this thread runs; 0: all
 */
void pyd_tasks_add(struct pyd_frames *frames, unsigned long ident);

#endif
