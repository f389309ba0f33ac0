/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_KEEPER_H
#define PYD_KEEPER_H

#include "pyd_service.h"
#include "pyd_threads.h"

/**
 * The keeper: a thread of its own that listens to whoever may stop this worker,
 * also while the main thread imports the application or runs its exit handlers,
 * and however long that takes:
 *
 *   control socket  the manager's byte. Its end means that the manager is gone, no more.
 *   SIGTERM         from a successor of the manager, or by hand
 *   lock file       no httpd process and no manager left: nobody needs this worker. While the manager
 *                   lives this is the manager's business.
 *
 *   SIGUSR2         a dump of all threads; what the control socket asks for may be of one (pyd_watch.h)
 *
 * It looks around at least once a second, and says in the status that it lives.
 *
 * Once the worker is stopping the keeper sees to it that it ends: shutdown-timeout and some time
 * later the process exits, whatever the application does. (At shutdown-timeout the manager asks for a dump,
 * logs it, and kills the worker: that is left to it as long as there is one.) One keeper per process.
 */

/** Start it. The descriptors are borrowed for as long as the process lives. @return 0 or an errno */
int pyd_keeper_start(struct pyd_service *service, int control, int lifeline, int lock);

/** Install the handlers of SIGTERM, SIGUSR2 and SIGPIPE. Again after the application was imported: it may have put its
 *  own. */
void pyd_keeper_catch_signals(void);

/** Any thread: let the manager, which may be gone, look at the status. Never waits. */
void pyd_keeper_look(void);
/** The status has changed: tells the keeper, and the manager. */
void pyd_keeper_notify(void);
/** Tell the manager that there is a dump. Never waits. */
void pyd_keeper_dumped(void);
/** Have it look around now. */
void pyd_keeper_wake(void);

/** The request threads have been dismissed: the keeper answers what still comes. */
void pyd_keeper_refuse(struct pyd_threads *threads);

#endif
