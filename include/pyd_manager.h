/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_MANAGER_H
#define PYD_MANAGER_H

#include "pyd_board.h"
#include "pyd_logline.h" /* what goes through a worker's log pipe */

/**
 * The manager: keeps the workers of one generation alive. POSIX only; runs in a
 * process forked from the httpd parent and never returns to it. Everything it
 * needs is on the board, so a manager that was killed is forked again and goes
 * on where it was: it adopts the living workers it finds there.
 *
 * The caller has installed a log sink (pyd_log_set).
 */
struct pyd_manager_job {
    struct pyd_board *board; /* borrowed */
    const char *title;       /* for ps: "pydaemon manager" */
    char *title_room;        /* argv area to overwrite, or NULL */
    size_t title_bytes;
    int relay_fd;            /* tagged lines of older generations' managers arrive here; also in keep_fds; <= 0: none */
    const int *keep_fds;     /* descriptors the log sink needs (error logs); all others are closed */
    size_t keep_count;
};

/**
 * Run until the generation has ended: no httpd process holds a lock any more, or SIGTERM came (then workers are
 * stopped at once, each with its shutdown-timeout). Resets signal handlers, setsid()s, closes all descriptors but its
 * own.
 * @return an exit status below for _exit(). Never 7 or 15, which httpd takes for itself, and no number of a signal
 * that can end a manager: httpd does not tell the two apart.
 */
int pyd_manager_run(const struct pyd_manager_job *job);

#define PYD_MANAGER_ENDED 0    /* its generation has ended */
#define PYD_MANAGER_NO_START 1 /* it has logged why */
#define PYD_MANAGER_TOLD 2     /* by a signal; httpd is still there and starts another one, unless it is ending, too */

/* Descriptors of a worker, by number, and what its job says; see src/worker/pyd_worker_main.c. */
enum pyd_worker_fd {
    PYD_WORKER_FD_RENDEZVOUS = 3, /* receives connections */
    PYD_WORKER_FD_STATUS = 4,     /* its group's status memfd: records, and the area of its slot */
    PYD_WORKER_FD_CONTROL = 5,    /* seqpacket pair to the manager: a byte each way */
    PYD_WORKER_FD_LIFELINE = 6,
    PYD_WORKER_FD_LOCK = 7,
    /* memfd: dotted lines .generation .group .slot .slots .threads .epoch .number, then the spec text */
    PYD_WORKER_FD_JOB = 8,
    PYD_WORKER_FD_END = 9
};

/* Messages on the control socket: the first byte says which. */
#define PYD_CONTROL_LOOK 'l' /* worker to manager: my status has changed */
#define PYD_CONTROL_STOP 's' /* manager to worker: finish what you execute, then exit (as SIGTERM) */
#define PYD_CONTROL_DUMP 'd' /* manager to worker: struct pyd_control_dump (as SIGUSR2, which dumps all threads) */
#define PYD_CONTROL_DUMPED 'D' /* worker to manager: a dump is in the area of my slot */

struct pyd_control_dump {
    char kind;      /* PYD_CONTROL_DUMP */
    char no_signals; /* for information only: no thread is interrupted unless the GIL has not been had for 2 s */
    uint32_t dump;  /* comes back in the area's head */
    int32_t tid;    /* only this thread; 0: all */
};

/* Exit statuses of a worker. */
#define PYD_EXIT_OK 0
#define PYD_EXIT_JOB 64      /* its job makes no sense: version mix-up */
#define PYD_EXIT_PYTHON 65   /* the interpreter does not start */
#define PYD_EXIT_IMPORT 66   /* an application does not import */
#define PYD_EXIT_SYSTEM 67   /* out of memory, descriptors, threads */
#define PYD_EXIT_PRIVILEGE 68 /* before exec: could not become the group's user */
#define PYD_EXIT_HOME 69     /* before exec: could not enter home */
#define PYD_EXIT_EXEC 70     /* exec failed */

#endif
