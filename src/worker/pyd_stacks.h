/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_STACKS_H
#define PYD_STACKS_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

#include "pyd_dump.h"

/**
 * Stacks of threads that can't be asked, by a signal to one thread after the other
 * (tgkill(2)). In the handler the thread notes its native frames and lets the
 * language's handler write its own (faulthandler's, to pyd_stacks_fd()); all else is done by the caller. It may
 * interrupt system calls of code that does not expect that: for workers that are about to be killed.
 *
 * One thread at a time may take stacks. No call waits for a lock that another thread may hold for long, but that of the
 * address space: a thread may be in the kernel with it that waits for a file system. Reading names and source lines may
 * have to wait for one, too.
 */
#define PYD_STACKS_SIGNAL (SIGRTMAX - 2)

/** Before any thread is there: the unwinder is loaded now, not in a signal handler. @return 0 or an errno */
int pyd_stacks_init(void);
/** Where the language's handler writes: a private memory file. */
int pyd_stacks_fd(void);
/** What it has installed for PYD_STACKS_SIGNAL becomes the language's handler, and ours is installed.
 *  @param holds_lock tells whether the calling thread has the language's lock; called in the signal handler; or NULL
 *  @return 0 or an errno */
int pyd_stacks_set_language(int (*holds_lock)(void));

/** What the threads were doing. */
struct pyd_stacks;

/**
 * The stacks of all threads, request threads first, or of one; not of the caller and of our own that serve no requests.
 * @param deadline_us monotonic: of those that are left then it is told what /proc says, as of those that don't answer.
 * Each may take its share of the time that is left; who did not answer in that is asked again at the end
 * @return 0 and owned; or an errno
 */
int pyd_stacks_take(pid_t tid, int64_t deadline_us, struct pyd_stacks **ret_stacks);
/** @param plain without names of native functions and source lines: no file is read
 *  @param deadline_us without them from then on */
void pyd_stacks_write(const struct pyd_stacks *stacks, int plain, int64_t deadline_us, struct pyd_dump_writer *writer);
void pyd_stacks_destroy(struct pyd_stacks *stacks);

/** Without signals: where in the kernel the threads sleep that the writer's text does not have yet, or that one. Any
 *  thread. */
void pyd_stacks_write_proc(struct pyd_dump_writer *writer, pid_t tid);

/** A stack of their own for signal handlers of the calling thread: else a stack overflow leaves no trace. Never
 *  freed. @return 0 or an errno */
int pyd_stacks_alternate(void);

#endif
