/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_STACKS_CORE_H
#define PYD_STACKS_CORE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** The inside of pyd_stacks.h: one thread's answer to the signal. */
#define PYD_STACKS_DEPTH 64

/** How often to look whether a thread that does not answer still can. */
#define PYD_STACKS_LOOK_US 50000
/** Beyond the deadline: how long the language's handler may take. */
#define PYD_STACKS_LANGUAGE_US 200000

struct pyd_stacks_answer {
    int count;
    const void *pcs[PYD_STACKS_DEPTH]; /* innermost first: the first one is where it was interrupted */
    char *text;                        /* what the language's handler wrote: owned, terminated; or NULL */
    size_t bytes;
    int holds_lock;                    /* the language's */
    int is_partial;                    /* that handler does not end, in this thread or in an earlier one */
};

/**
 * Interrupt a thread and wait for its answer, until deadline_us (monotonic) or until it is seen to be in a state in
 * which no signal reaches it.
 * @param is_pending a signal that has been sent earlier waits for it: that one will do
 * @return 0 and an answer; ESRCH: no such thread; ETIMEDOUT; or an errno
 */
int pyd_stacks_ask(pid_t tid, int is_pending, int64_t deadline_us, struct pyd_stacks_answer *ret_answer);

#endif
