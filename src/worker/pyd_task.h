/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_TASK_H
#define PYD_TASK_H

#include <stddef.h>
#include <sys/types.h>

/** The threads of this process, as /proc/self/task shows them. */
struct pyd_task {
    pid_t tid;
    char name[16];      /* of the thread, as its kernel calls it */
    char state[24];     /* "S (sleeping)" */
    unsigned blocked : 1; /* the signal asked for is */
    unsigned pending : 1; /* it waits to be delivered to this thread */
};

/** Their ids, ascending. @param ret_tids owned. @return 0 or an errno */
int pyd_task_list(pid_t **ret_tids, size_t *ret_count);
/** @return 0; ENOENT: no such thread (any more); or an errno */
int pyd_task_read(pid_t tid, int signal, struct pyd_task *ret_task);
/** False in uninterruptible sleep, when stopped or traced, and when it has ended: until that is over. PURE. */
int pyd_task_takes_signals(const struct pyd_task *task);

/** Where it sleeps in the kernel: the name of a function there, or "" if it runs, or that may not be seen.
 *  @return text in room */
const char *pyd_task_place(pid_t tid, char *room, size_t size);

#endif
