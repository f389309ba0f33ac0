/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_GENERATION_H
#define PYD_GENERATION_H

#include "pyd_board.h"

/**
 * The descriptors of a configuration generation. The httpd parent opens them
 * once and keeps them as long as the generation lives; children and managers
 * inherit them under the same numbers, which stand in the board; a manager
 * forked again later finds everything there.
 *
 *   lifeline   pipe; the write end is held by the parent and its children only, so EOF at the
 *              read end (manager, workers) says that perhaps none of them is left. Perhaps: any
 *              process forked without exec may hold it too.
 *   lock       memfd; the truth: parent and children of the generation each hold a record lock
 *              on the byte at their pid. Not inherited by fork, dropped by the kernel at death, and also
 *              when the process closes ANY descriptor of that file: whoever holds a lock must not
 *              close lock or lock_watch, nor duplicate them and close the duplicate.
 *   lock_watch the same file, opened so that locks can be tested but neither taken nor reopened for writing
 *              by another user: what workers get. (A worker with a writable one could pose as a living httpd
 *              child of its choice, and keep real ones from taking their locks.)
 *   poke       non-blocking pipe to the manager: "look again"; content is meaningless.
 *   per slot   a SOCK_SEQPACKET pair (rendezvous) and a log pipe. All ends stay open in the parent, so
 *              no death breaks print() in a worker or loses a connection on its way.
 */

/**
 * Open all of them for board and write their numbers into it; closes what it opened on failure. Raises the soft
 * RLIMIT_NOFILE as needed, and some more, since httpd needs descriptors for its own work.
 * @return 0; EMFILE: the hard limit is too low for them; or an errno
 */
int pyd_generation_open(struct pyd_board *board);
/**
 * Close all of them, settings, status and board memory files and the worker binaries included. The mapping stays.
 * Numbers on the board are checked: a descriptor of another kind stays open. A second call does nothing. NULL-safe.
 */
void pyd_generation_close(struct pyd_board *board);
/** Take the caller's lock (parent, httpd child). Must not be called by managers and workers. */
int pyd_generation_lock(const struct pyd_board *board);
/** Drop the caller's lock (parent, when a newer generation has come). */
int pyd_generation_unlock(const struct pyd_board *board);
/** True if a process other than the caller holds the lock at pid; by lock or lock_watch. A failing fcntl counts as
 *  alive. */
int pyd_generation_is_alive(int lock_fd, uint32_t pid);
/** The same for any pid. */
int pyd_generation_any_alive(int lock_fd);
/** Wake the manager. Never blocks, never fails. Async-signal-safe; keeps errno. */
void pyd_generation_poke(const struct pyd_board *board);

#endif
