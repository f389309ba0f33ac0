/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_PROC_H
#define PYD_PROC_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

#include "pyd_board.h"
#include "pyd_spec.h"

/** One worker process: starting it, recognising it, sending it signals. */
struct pyd_proc_start {
    const struct pyd_spec *spec;
    struct pyd_board_slot *slot; /* the child writes its pid there first of all, so that no manager's death loses it */
    int group;                   /* for the child's messages */
    int worker_fd;               /* the program */
    int log_fd;                  /* becomes stdout and stderr */
    int rendezvous_fd, status_fd, control_fd, lifeline_fd, lock_fd, job_fd;
    char *const *argv;
    char *const *env;
};

/**
 * Fork and exec a worker with the descriptors of enum pyd_worker_fd and no others. What fails after the fork shows
 * as a line on the log pipe and one of PYD_EXIT_PRIVILEGE, HOME, SYSTEM, EXEC. The child has SIGKILL as its parent
 * death signal (prctl(2)): it ends with the thread that called this, until the worker clears it.
 * @return 0 or the errno of fork
 */
int pyd_proc_start(const struct pyd_proc_start *start, pid_t *ret_pid);

/**
 * Is that pid, found on the board, really a worker of this group? Start time, user and, where it may be read, program
 * must match: a damaged board must not make a root manager kill other processes.
 * @param uid the group's user; -1: the caller's
 */
int pyd_proc_is_worker(pid_t pid, uint64_t start_time, int64_t uid, int worker_fd);

/** A descriptor that becomes readable when the process ends, or -1. */
int pyd_proc_watch(pid_t pid);

/** Send a signal: through pidfd, if there is one, as that can't hit a successor of the same pid. */
void pyd_proc_signal(pid_t pid, int pidfd, int number);

/** All signal handlers to their defaults. */
void pyd_proc_reset_signals(void);

#endif
