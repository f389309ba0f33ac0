/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MANAGER_SITE_H
#define MANAGER_SITE_H

/*
 * The stage for tests of the manager with real processes: a board with the group
 * "blog" of 3 threads, a lock as the httpd parent would hold it, a forked
 * manager, its log, and this very program as the worker (fake_worker.h). Where
 * the test runs as root the workers are uid 65534.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <cmocka.h>

#include "pyd_board.h"
#include "pyd_clock.h"
#include "pyd_generation.h"

#define SECOND INT64_C(1000000)
#define DEADLINE_US (30 * SECOND)

struct site {
    struct pyd_board *board;
    pid_t manager;
    int log_fds[2];
    char *log; /* "LEVEL message\n" of all so far */
    size_t log_bytes, log_room;
    char env_file[64];
    int is_over; /* the manager has been waited for */
};

extern struct site site;
extern const char *const NO_OPTIONS[];

/* Wait until a condition of board or log is true; each look is at most 10 ms after an event. */
#define wait_until(condition)                                                                                          \
    do {                                                                                                               \
        int64_t deadline_us = pyd_clock_us() + DEADLINE_US;                                                            \
                                                                                                                       \
        read_log(0);                                                                                                   \
        while (!(condition)) {                                                                                         \
            if (pyd_clock_us() > deadline_us)                                                                          \
                fail_msg("never true: %s; log:\n%s", #condition, site.log);                                            \
            read_log(10);                                                                                              \
        }                                                                                                              \
    } while (0)

/** What the workers of the site do from now on, when they start. */
void behave(const char *behaviour);
/** The text of a spec with these options, allocated. */
char *make_spec(const char *const *options);
void make_board(uint32_t processes, enum pyd_group_state state, const char *const *options);
void start_manager(void);
/** All of it. Before start_manager() in a test that makes its own board: prepare_site(). */
void prepare_site(const char *behaviour);
void start_site(uint32_t processes, const char *behaviour, const char *const *options);
/** Read what the manager has logged, waiting at most so long for the first line. */
void read_log(int timeout_ms);
/** True, or how often, it has logged that. */
int said(const char *text);
size_t count_said(const char *text);
struct pyd_board_slot *slot_at(uint32_t slot);
uint32_t state_of(uint32_t slot);
pid_t pid_of(uint32_t slot);
uint32_t group_state(void);
uint32_t count_state(uint32_t state);
/** Wait for the manager to end by itself; stop_manager() tells it to. */
int manager_exit_status(void);
void stop_manager(void);
/** A cmocka teardown: nothing is left, whatever the test did. */
int clean_up(void **state);

#endif
