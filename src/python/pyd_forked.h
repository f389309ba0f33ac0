/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_FORKED_H
#define PYD_FORKED_H

/**
 * Processes that the application forks. In them its code may end with os._exit(),
 * as multiprocessing does; if it comes back to us instead, the process ends as a
 * program whose last line has been reached: it never goes on as a second worker.
 * GIL for all calls.
 */

/** Let forks in request threads repair what they break in threading. Once, after its import. @return 0 or -1 */
int pyd_forked_init(void);

/**
 * To be called when the application's code comes back. Returns in the worker, with the exception set as it was. A
 * forked process ends here: an exception that is set goes to sys.excepthook, SystemExit gives the exit status.
 */
void pyd_forked_check(void);

#endif
