/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_CAUSE_H
#define PYD_CAUSE_H

#include <stddef.h>
#include <stdint.h>

#include "pyd_board.h"

/** What is known of a worker's end. */
struct pyd_end {
    int wait_status;             /* of waitpid(2) */
    unsigned has_wait_status : 1; /* 0: adopted, somebody else's child */
    unsigned was_ready : 1;
    unsigned told : 1;           /* it was told to stop */
    unsigned left : 1;           /* it had said that it stops: somebody else told it (SIGTERM) */
    unsigned retired : 1;        /* because it was to be replaced */
    unsigned oom : 1;            /* the kernel's OOM killer was at work */
    unsigned killed : 1;         /* it was to be killed, and may have known */
    enum pyd_cause must_go;      /* the limit it had reached, or PYD_CAUSE_NONE */
    enum pyd_cause killed_for;   /* why the manager sent SIGKILL, or PYD_CAUSE_NONE */
};

/** PURE. @param ret_detail signal number or exit status, SIGKILL if a worker that had a limit reached did not go by
 *  itself; else 0 */
enum pyd_cause pyd_cause_decide(const struct pyd_end *end, uint32_t *ret_detail);

/** In words that follow "Worker 1 of 'blog' ended: ": "killed by signal 9 (Killed)". PURE. */
void pyd_cause_words(enum pyd_cause cause, uint32_t detail, char *room, size_t size);

/** True for the ends that the manager asked for and got in good order. PURE. */
int pyd_cause_is_expected(enum pyd_cause cause);

/** True for the ends that the manager asked for because something was wrong: a timeout, a deadlock, far too much
 *  memory. PURE. */
int pyd_cause_is_limit(enum pyd_cause cause);

/** The kernel's count of processes killed for lack of memory, as seen some time ago. Embedded. */
struct pyd_oom {
    char path[512];           /* memory.events of our cgroup, or /proc/vmstat */
    uint64_t older, newer;    /* samples */
    int64_t sampled_us;       /* of newer */
};

void pyd_oom_init(struct pyd_oom *oom, int64_t now_us);
/** Sample now and then: kills longer ago than some 20 s don't explain a death that happens now. */
void pyd_oom_tick(struct pyd_oom *oom, int64_t now_us);
/** A worker has died of SIGKILL: was it the OOM killer? Each kill explains one death. */
int pyd_oom_happened(struct pyd_oom *oom);

/** Find "key 123" in lines of text. PURE. @return 0 or ENOENT */
int pyd_oom_parse(const char *text, const char *key, uint64_t *ret_value);
/** Find the path in the line "0::PATH" of /proc/self/cgroup. PURE. @return 0 or ENOENT */
int pyd_oom_parse_cgroup(const char *text, char *path, size_t size);

#endif
