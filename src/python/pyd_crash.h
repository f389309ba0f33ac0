/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_CRASH_H
#define PYD_CRASH_H

/**
 * Stacks without the GIL, by Python's own faulthandler: of one thread where a signal
 * asks for it (pyd_stacks.h), and of all when a fatal signal ends the worker. Both go to descriptors of the
 * worker core; a process that the application forks has its crashes in the log instead.
 */

/** Before applications are loaded. GIL. What fails is logged: the worker can do without. */
void pyd_crash_init(void);

#endif
