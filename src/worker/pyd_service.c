/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_service.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pyd_clock.h"
#include "pyd_title.h"

/* Opened once: it goes on to tell of this process. Without it the log says less. */
static void open_memory(struct pyd_service *service)
{
    const struct pyd_spec *spec = &service->job.spec;

    service->memory_fd = -1;
    if (spec->memory_limit_bytes || spec->memory_hard_limit_bytes)
        service->memory_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

int pyd_service_init(struct pyd_service *service, const struct pyd_app_ops *ops)
{
    pthread_condattr_t attr;
    int rv;

    service->ops = ops;
    service->pid = getpid();
    open_memory(service);
    rv = pthread_condattr_init(&attr);
    if (rv)
        return rv;
    rv = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (!rv)
        rv = pthread_cond_init(&service->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (!rv)
        rv = pthread_mutex_init(&service->lock, NULL);
    return rv;
}

int64_t pyd_service_memory(const struct pyd_service *service)
{
    unsigned long resident, shared;
    char text[128];
    ssize_t got;

    if (service->memory_fd < 0)
        return 0;
    got = pread(service->memory_fd, text, sizeof(text) - 1, 0);
    if (got <= 0)
        return 0;
    text[got] = '\0';
    /* proc(5): pages; size, resident, shared */
    if (sscanf(text, "%*u %lu %lu", &resident, &shared) != 2 || resident <= shared)
        return 0;
    return (int64_t)(resident - shared) * sysconf(_SC_PAGESIZE);
}

int pyd_service_map_status(struct pyd_service *service, int fd)
{
    const struct pyd_worker_job *job = &service->job;
    size_t stride = pyd_status_stride(job->threads);
    size_t bytes = stride * job->slots;
    struct pyd_status_worker *status;
    struct stat info;
    void *map;

    if (fstat(fd, &info))
        return errno;
    if (info.st_size < 0 || (uint64_t)info.st_size < bytes)
        return EINVAL;
    map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return errno;
    status = (struct pyd_status_worker *)((char *)map + stride * job->slot);

    pyd_status_open(status, job->threads, job->epoch);
    service->status_map = map;
    service->status_bytes = bytes;
    service->status = status;
    return 0;
}

void pyd_service_no_file_size_signal(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

void pyd_service_set_state(struct pyd_service *service, enum pyd_worker_state state)
{
    atomic_store(&service->status->state, (uint32_t)state);
}

/* The number is read under the title's order of writing only, so an old title may win for a moment; every change is
 * followed by a write, and the last one to write has read a number that was current then. */
static void show_busy(struct pyd_service *service)
{
    unsigned running = atomic_load(&service->running);
    char doing[32];

    if (atomic_load(&service->stopping))
        return;
    if (!running) {
        pyd_title_set("idle");
        return;
    }
    snprintf(doing, sizeof(doing), "%u busy", running);
    pyd_title_set(doing);
}

int pyd_service_enter(struct pyd_service *service)
{
    /* Count first, look then: pyd_service_stop() and the waiter do it the other way round, so one sees the other. */
    atomic_fetch_add(&service->running, 1);
    if (atomic_load(&service->stopping)) {
        pyd_service_leave(service);
        return 0;
    }
    show_busy(service);
    return 1;
}

void pyd_service_leave(struct pyd_service *service)
{
    atomic_fetch_sub(&service->running, 1);
    if (atomic_load(&service->stopping)) {
        pthread_mutex_lock(&service->lock);
        pthread_cond_broadcast(&service->changed);
        pthread_mutex_unlock(&service->lock);
        return;
    }
    show_busy(service);
}

void pyd_service_stop(struct pyd_service *service)
{
    pthread_mutex_lock(&service->lock);
    if (!atomic_load(&service->stopping))
        service->stop_us = pyd_clock_us();
    atomic_store(&service->stopping, 1);
    pthread_cond_broadcast(&service->changed);
    pthread_mutex_unlock(&service->lock);
}

int64_t pyd_service_stop_deadline(const struct pyd_service *service, int percent)
{
    int64_t timeout_us = service->job.spec.shutdown_timeout_us;

    if (timeout_us <= 0 || timeout_us > INT64_MAX / 1000)
        return INT64_MAX;
    return service->stop_us + timeout_us / 100 * percent;
}

void pyd_service_wait_stop(struct pyd_service *service)
{
    pthread_mutex_lock(&service->lock);
    while (!atomic_load(&service->stopping))
        pthread_cond_wait(&service->changed, &service->lock);
    pthread_mutex_unlock(&service->lock);
}

unsigned pyd_service_wait_idle(struct pyd_service *service, int64_t deadline_us)
{
    unsigned running;

    pthread_mutex_lock(&service->lock);
    for (;;) {
        running = atomic_load(&service->running);
        if (!running || pyd_service_timedwait(&service->changed, &service->lock, deadline_us))
            break;
    }
    pthread_mutex_unlock(&service->lock);
    return running;
}

int pyd_service_timedwait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t deadline_us)
{
    struct timespec until;

    if (deadline_us == INT64_MAX)
        return pthread_cond_wait(condition, lock);
    until.tv_sec = (time_t)(deadline_us / 1000000);
    until.tv_nsec = (long)(deadline_us % 1000000) * 1000;
    return pthread_cond_timedwait(condition, lock, &until);
}
