/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_WORKER_H
#define PYD_WORKER_H

#include "pyd_app.h"

/**
 * The worker core: a process that has been exec'd by the manager with the
 * descriptors of pyd_manager.h. main() of each worker program is one call of this.
 * @return the exit status for _exit()
 */
int pyd_worker_main(int argc, char **argv, const struct pyd_app_ops *ops);

/** For ops->start(): where a crash is to be described: a descriptor of its own, positioned in the slot's area. A
 *  process that the application forks has it, too, and must not write there. -1: none; that has been logged */
int pyd_worker_crash_fd(void);

#endif
