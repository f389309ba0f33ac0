/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "pyd_clock.h"
#include "pyd_exchange_core.h"
#include "pyd_fd.h"
#include "pyd_keeper.h"
#include "pyd_log.h"
#include "pyd_logline.h"
#include "pyd_manager.h"
#include "pyd_service.h"
#include "pyd_stacks.h"
#include "pyd_threads.h"
#include "pyd_title.h"
#include "pyd_watch.h"

/* For the life of the process: threads that hang use it until the end. */
static struct pyd_service service;

/* Private to this process, which writes there with its last breath. */
static int crash_fd = -1;

static void write_log_line(void *baton, enum pyd_log_level level, int group, const char *message)
{
    (void)baton;
    (void)group;
    pyd_logline_write(STDERR_FILENO, (int)level, message, strlen(message));
}

static void describe_lost_lines(char *room, size_t size, unsigned long lines)
{
    snprintf(room, size, PYD_LOGNO(0815) "%lu lines were lost: nobody read the log pipe.", lines);
}

/* Programs that the application starts shall hold none of these. */
static void keep_descriptors_private(void)
{
    for (int fd = PYD_WORKER_FD_RENDEZVOUS; fd < PYD_WORKER_FD_END; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void present_process(const struct pyd_worker_job *job)
{
    char name[PYD_SPEC_NAME_MAX + 16], comm[16];

    snprintf(comm, sizeof(comm), "pydaemon: %.5s", job->spec.name);
    prctl(PR_SET_NAME, comm);
    snprintf(name, sizeof(name), "(pydaemon:%s)", job->spec.name);
    pyd_title_set_name(job->spec.display_name ? job->spec.display_name : name, job->number);
    pyd_title_set("starting");
}

/* What this process holds is not for others of the same user, unless an administrator wants core files. */
static void protect_memory(const struct pyd_worker_job *job)
{
    prctl(PR_SET_DUMPABLE, job->spec.core_bytes > 0 ? 1 : 0);
}

int pyd_worker_crash_fd(void)
{
    return crash_fd;
}

/* A copy of the descriptor would share its offset with the other workers of the group, and be their place. */
static int open_crash(int status_fd)
{
    const struct pyd_worker_job *job = &service.job;
    int64_t area = pyd_area_offset(job->slots, job->threads, job->slot);
    int rv = pyd_area_open(status_fd, area, job->epoch);
    char path[32];
    int fd;

    if (rv)
        return rv;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", status_fd);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    if (lseek(fd, (off_t)(area + PYD_AREA_CRASH_AT), SEEK_SET) < 0) {
        rv = errno;
        pyd_fd_close(&fd);
        return rv;
    }
    crash_fd = fd;
    return 0;
}

/* What tells of a worker that hangs or dies. */
static int prepare_dumps(int status_fd)
{
    int rv = open_crash(status_fd);

    if (rv)
        pyd_log(PYD_LOG_WARNING, (int)service.job.group,
                PYD_LOGNO(0817) "If worker %u of '%s' crashes, its stack will not be in the log: "
                "its part of the status file cannot be used: %s.",
                service.job.number, service.job.spec.name, strerror(rv));
    rv = pyd_stacks_init();
    return rv ? rv : pyd_watch_init(&service, status_fd);
}

/* Returns 0 or the exit status. */
static int prepare(const struct pyd_app_ops *ops)
{
    char error[256] = "";
    int job_fd = PYD_WORKER_FD_JOB;
    int rv = pyd_worker_job_read(job_fd, &service.job, error, sizeof(error));

    if (rv) {
        pyd_log(PYD_LOG_CRIT, PYD_LOG_NO_GROUP, PYD_LOGNO(0801) "The worker does not understand its job: %s.",
                *error ? error : strerror(rv));
        return rv == ENOMEM ? PYD_EXIT_SYSTEM : PYD_EXIT_JOB;
    }
    pyd_fd_close(&job_fd);
    present_process(&service.job);
    protect_memory(&service.job);
    rv = pyd_service_init(&service, ops);
    if (!rv)
        rv = pyd_exchange_watch_forks();
    if (!rv)
        rv = pyd_service_map_status(&service, PYD_WORKER_FD_STATUS);
    if (rv) {
        pyd_log(PYD_LOG_CRIT, (int)service.job.group, PYD_LOGNO(0802) "The worker cannot use its status file: %s.",
                strerror(rv));
        return rv == EINVAL ? PYD_EXIT_JOB : PYD_EXIT_SYSTEM;
    }
    rv = prepare_dumps(PYD_WORKER_FD_STATUS);
    if (!rv)
        rv = pyd_keeper_start(&service, PYD_WORKER_FD_CONTROL, PYD_WORKER_FD_LIFELINE, PYD_WORKER_FD_LOCK);
    if (rv) {
        pyd_log(PYD_LOG_CRIT, (int)service.job.group, PYD_LOGNO(0803) "The worker cannot start a thread: %s.",
                strerror(rv));
        return PYD_EXIT_SYSTEM;
    }
    return 0;
}

static void enter_state(enum pyd_worker_state state, const char *doing)
{
    pyd_title_set(doing);
    pyd_service_set_state(&service, state);
    pyd_keeper_notify();
}

/* Requests that run may finish in three quarters of shutdown-timeout; the last one is for exit handlers, which
 * matter more to an application that is told to end than a request that hangs. */
static void stop_serving(struct pyd_threads *threads)
{
    unsigned running;

    pyd_threads_close_rendezvous(threads);
    running = pyd_service_wait_idle(&service, pyd_service_stop_deadline(&service, 75));
    if (running)
        pyd_log(PYD_LOG_WARNING, (int)service.job.group,
                PYD_LOGNO(0805) "Worker %u of '%s' stops although %u requests are still running.", service.job.number,
                service.job.spec.name, running);
    pyd_threads_dismiss(threads, pyd_service_stop_deadline(&service, 100));
    pyd_keeper_refuse(threads);
}

static int serve(void)
{
    struct pyd_threads *threads = NULL;
    int rv = pyd_threads_start(&service, PYD_WORKER_FD_RENDEZVOUS, &threads);

    if (rv) {
        pyd_log(PYD_LOG_CRIT, (int)service.job.group,
                PYD_LOGNO(0804) "Worker %u of '%s' cannot start its %u threads: %s.", service.job.number,
                service.job.spec.name, service.job.threads, strerror(rv));
        return PYD_EXIT_SYSTEM;
    }
    enter_state(PYD_WORKER_READY, "idle");
    pyd_service_wait_stop(&service);
    enter_state(PYD_WORKER_STOPPING, "stopping");
    stop_serving(threads);
    return PYD_EXIT_OK;
}

static int start_watch(void)
{
    int rv = pyd_watch_start();

    if (!rv)
        return 0;
    pyd_log(PYD_LOG_CRIT, (int)service.job.group,
            PYD_LOGNO(0818) "Worker %u of '%s' cannot start its watch thread: %s.", service.job.number,
            service.job.spec.name, strerror(rv));
    return PYD_EXIT_SYSTEM;
}

int pyd_worker_main(int argc, char **argv, const struct pyd_app_ops *ops)
{
    sigset_t none;
    int rv;

    prctl(PR_SET_PDEATHSIG, 0); /* from here on a worker outlives its manager */
    pyd_title_init(argc, argv);
    pyd_log_set(write_log_line, NULL, PYD_LOG_DEBUG);
    pyd_logline_on_loss(describe_lost_lines);
    keep_descriptors_private();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    rv = prepare(ops);
    if (rv)
        return rv;
    enter_state(PYD_WORKER_IMPORTING, "importing");
    rv = ops->start(&service.job.spec);
    if (!rv && !pyd_exchange_forked()) /* so that an import that hangs can be told of */
        rv = start_watch();
    if (!rv && !pyd_exchange_forked())
        rv = ops->load(&service.job.spec);
    if (rv || pyd_exchange_forked()) /* a copy of this process that came out of either serves nothing */
        return rv;
    pyd_keeper_catch_signals();
    if (atomic_load(&service.stopping))
        enter_state(PYD_WORKER_STOPPING, "stopping");
    else
        rv = serve();
    if (!rv)
        ops->stop();
    return rv;
}
