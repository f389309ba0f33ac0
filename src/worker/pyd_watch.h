/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_WATCH_H
#define PYD_WATCH_H

#include <sys/types.h>

#include "pyd_service.h"

/**
 * The watch thread: the only thread of ours that asks for the runtime's lock (GIL)
 * on its own account. Each second it takes it and gives it back, so that the status tells
 * since when it was not to be had (gil_asked_us); and it makes dumps.
 *
 * A dump: the keeper asks (it never waits for the lock itself). The watch thread has
 * PYD_WATCH_LOCK_US to get the lock and PYD_WATCH_DUMP_US to write; beyond that, and as long as there is no watch
 * thread, as the runtime is still starting, the keeper makes the dump without the lock (pyd_stacks.h). If it is for
 * information only (no_signals, SIGUSR2) it interrupts no thread unless the lock has not been had for PYD_WATCH_HELD_US
 * by now: before that it writes what /proc/self/task tells of them.
 * Whoever is first writes the area, adds 1 to the status's dumps and sends PYD_CONTROL_DUMPED; the other one's is
 * dropped. One dump at a time: a request that comes meanwhile is done after it; one that is just like another that
 * waits is that one.
 *
 * Without the lock the area is written twice: first without names and source lines, for which files have to be
 * read. Only the second one counts as a dump; who has waited for it in vain finds the first.
 */
#define PYD_WATCH_PERIOD_US INT64_C(1000000)
#define PYD_WATCH_LOCK_US INT64_C(600000)
#define PYD_WATCH_DUMP_US INT64_C(600000)
#define PYD_WATCH_HELD_US INT64_C(2000000)
/** For the keeper: to ask threads, one after the other, and to find names: at most, and at least half of it; in between
 *  so that all is done PYD_WATCH_ALL_US after it was asked. */
#define PYD_WATCH_STACKS_US INT64_C(1000000)
#define PYD_WATCH_NAMES_US INT64_C(300000)
#define PYD_WATCH_ALL_US INT64_C(1900000)

/** Before the keeper starts. status_fd is borrowed for as long as the process lives. @return 0 or an errno */
int pyd_watch_init(struct pyd_service *service, int status_fd);

/** Start it: once ops->start() has returned, before applications are loaded. @return 0 or an errno */
int pyd_watch_start(void);

/** Keeper: make a dump. Does not wait. @param tid, no_signals as in struct pyd_control_dump */
void pyd_watch_ask(uint32_t dump, pid_t tid, int no_signals);

/** Keeper: what is due by now: the dump without the lock. @return when to call again, monotonic; INT64_MAX: when
 *  asked or woken */
int64_t pyd_watch_tick(int64_t now_us);

#endif
