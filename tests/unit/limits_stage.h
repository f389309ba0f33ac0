/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIMITS_STAGE_H
#define LIMITS_STAGE_H

/*
 * The stage for tests of what the manager does about limits: the group "blog" on a real board, with a real process to
 * measure; but time is passed in, and the worker's side of the board and of its control socket is played by the test.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board_fixture.h"
#include "manager_site.h"
#include "pyd_manager_limits.h"

#define START (1000 * SECOND)
#define MIB INT64_C(1048576)
#define WORKER_MIB 64 /* what a process takes at its start, and each time it grows */
#define NEVER INT64_MAX
#define WORKERS 3

struct process {
    pid_t pid;
    int ask, answer; /* for bytes: what it shall do; that it is done */
    int control;     /* the worker's end of its control socket */
};

struct stage {
    struct pyd_manager_group group;
    struct pyd_oom oom;
    struct process processes[WORKERS];
    char *shared; /* WORKER_MIB of memory, for processes to share */
    int64_t now_us;
    int is_frozen; /* workers give no signs of life */
    char log[65536]; /* "LEVEL message\n" */
    size_t log_bytes;
};

extern struct stage stage;

/** A group with these limits and no others, and its worker 1, ready. Its threads are called pydaemon-3. */
struct pyd_manager_slot *set_up(const char *const *limits);
#define LIMITS(...) ((const char *const[]){__VA_ARGS__, NULL})
/** A cmocka teardown. */
int tear_down(void **state);
/** A new worker in that slot that has just become ready. */
struct pyd_manager_slot *start_worker(uint32_t index);
struct pyd_status_worker *status_of(uint32_t slot);
void let_it_grow(const struct process *process);
void let_it_share(const struct process *process);

/** What the manager does on its next turn, so much later. @return after how long it wants to have another one */
int64_t look_after(int64_t us);
/** All that has been logged since the last call, with the pid of worker 1 where "%d" stands. */
void check_log(const char *expected);
#define SHUTDOWN "3 PYD0610: mod_pydaemon (pid=%d): Shutdown requested 'blog'.\n"
void forget_log(void);
/** Was a dump of worker 1 asked for? Then it is made now. */
int dump_was_asked(enum pyd_dump_why why, pid_t tid);

/** A request that a child hands to worker 1 now; that it begins, too. */
struct pyd_claim_ref claim_for(const char *uri);
struct pyd_claim_ref begin(const char *uri);
void finish(const struct pyd_claim_ref *claim);

#endif
