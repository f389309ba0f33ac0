/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_SERVICE_H
#define PYD_SERVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "pyd_app.h"
#include "pyd_board.h"
#include "pyd_buf.h"
#include "pyd_worker_job.h"

/**
 * What all threads of a worker share: who it is, how it is doing, and the gate
 * every request goes through. Once stopping is set no request begins any more,
 * and when running is 0 after that, none ever will.
 */
struct pyd_service {
    struct pyd_worker_job job;        /* immutable once parsed */
    const struct pyd_app_ops *ops;    /* borrowed */
    void *status_map;                 /* the group's status file */
    size_t status_bytes;
    struct pyd_status_worker *status; /* this worker's record in it */
    int memory_fd;                    /* /proc/self/statm, if somebody wants to know what requests cost; or -1 */
    pid_t pid;                        /* this worker, not a process that the application has forked */

    _Atomic int stopping;
    _Atomic unsigned running; /* requests being executed */
    pthread_mutex_t lock;     /* for changed: stopping, and running while stopping */
    pthread_cond_t changed;
    int64_t stop_us;          /* monotonic: when stopping was set, before it was */
};

struct pyd_threads;

/** One request thread's own things. A connection is served with them and gives them back. */
struct pyd_lane {
    struct pyd_service *service;
    struct pyd_threads *threads; /* it belongs to */
    unsigned number; /* 1.. */
    pid_t tid;
    void *app_state;
    struct pyd_buf in;   /* spare receive buffer; lent to a connection that has none */
    struct pyd_buf out;  /* response on its way */
    struct pyd_buf head; /* HEAD frame in the making */
};

/** Buffers that have grown beyond this are given back to the allocator after the request. */
#define PYD_LANE_KEEP_BYTES (64u << 10)

/** Lock and condition (its clock is monotonic). @return 0 or an errno */
int pyd_service_init(struct pyd_service *service, const struct pyd_app_ops *ops);
/** Map the status file and make this worker's record new: nothing runs, epoch of the job. @return 0 or an errno */
int pyd_service_map_status(struct pyd_service *service, int fd);

/** Private resident memory by now, in bytes; 0 if the group has no limit of it: then this is no system call. */
int64_t pyd_service_memory(const struct pyd_service *service);

/** The calling thread, which is ours, gets no SIGXFSZ: a dump that exceeds RLIMIT_FSIZE fails, whatever the application
 *  makes of that signal. */
void pyd_service_no_file_size_signal(void);

/** Say in the status how far the worker is. */
void pyd_service_set_state(struct pyd_service *service, enum pyd_worker_state state);

/** Begin a request. @return 0 if the worker is stopping: refuse it */
int pyd_service_enter(struct pyd_service *service);
/** End it. */
void pyd_service_leave(struct pyd_service *service);

/** Any thread, once or more often: begin no request any more and wake pyd_service_wait_stop(). */
void pyd_service_stop(struct pyd_service *service);
/** Stopping: when `percent` of shutdown-timeout will have passed; INT64_MAX if it is off. */
int64_t pyd_service_stop_deadline(const struct pyd_service *service, int percent);
/** Main thread: wait until the worker has been told to stop. */
void pyd_service_wait_stop(struct pyd_service *service);
/** Main thread, stopping: wait until no request runs or until deadline_us. @return requests still running */
unsigned pyd_service_wait_idle(struct pyd_service *service, int64_t deadline_us);

/** Wait for condition on its monotonic clock until deadline_us (INT64_MAX: for ever). @return 0 or ETIMEDOUT */
int pyd_service_timedwait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t deadline_us);

#endif
