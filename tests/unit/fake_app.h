/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKE_APP_H
#define FAKE_APP_H

#include <stdatomic.h>

#include "pyd_app.h"

/**
 * An application without a language, but with a lock such as the GIL, which requests hold only to hang with it, and
 * with a handler for PYD_STACKS_SIGNAL that writes a frame "in fake_frame" as faulthandler would:
 * What a request does stands in the value of its second pair, "verb" or "verb number". See the table in fake_app.c.
 */
extern const struct pyd_app_ops fake_app_ops;

/** What the test wants to know, in memory that it shares with the worker. */
struct fake_app_shared {
    _Atomic int start_status;       /* what load returns */
    _Atomic int start_hangs;        /* start says 'i' and waits for a byte on the gate */
    _Atomic int load_hangs;         /* load does; 2: holding the lock */
    _Atomic int stop_hangs;         /* stop never returns */
    _Atomic int refuse_thread;      /* number of a thread whose thread_begin fails */
    _Atomic int catch_term;         /* start installs its own handlers of SIGTERM and SIGUSR2 */
    _Atomic int start_forks;        /* start forks, both come back; the new process's wait status, plus 1 */
    _Atomic int dump_hangs;         /* the next dump has the lock, says 'h' and waits at the gate */
    _Atomic int dumped;             /* how often the lock was taken for a dump */
    _Atomic int release;            /* ends requests that spin */
    _Atomic int crash_fd;           /* that of start, plus 1 */
    _Atomic int alternate;          /* a request thread has a stack for signals */
    _Atomic int64_t default_stack;  /* start makes this the size of new threads' stacks */
    _Atomic int64_t stack;          /* a request thread's */
    _Atomic int death_signal;       /* that of start's process, plus 1 */
    _Atomic int started, stopped, begun, ended;
    _Atomic int const_freed;        /* how often data of a constant set was freed */
    _Atomic int64_t waiting_ended;  /* error that ended the last stream */
};

extern struct fake_app_shared *fake_app_shared;

/* Pipes, made before the worker is forked: the app waits for a byte on the gate, and tells of events. */
extern int fake_app_gate[2], fake_app_events[2];

#endif
