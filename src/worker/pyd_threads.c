/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_threads.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pyd_clock.h"
#include "pyd_conn.h"
#include "pyd_exchange.h"
#include "pyd_fd.h"
#include "pyd_log.h"
#include "pyd_manager.h"
#include "pyd_stacks.h"

/* What the main thread's stack may grow to where there is no limit. */
#define STACK_BYTES (8u << 20)

struct pyd_threads {
    struct pyd_service *service;
    int epoll_fd;
    int rendezvous; /* borrowed */
    int home_fd;    /* eventfd: readable when idle threads shall leave */
    pthread_mutex_t lock;   /* guards what follows */
    pthread_cond_t changed;
    unsigned begun, left;   /* threads that entered the loop, that are gone */
    int error;              /* of a thread that could not begin */
    unsigned count;         /* of lanes in use */
    struct pyd_lane refuser; /* of pyd_threads_refuse() */
    struct pyd_lane lanes[];
};

/* What epoll hands out is a connection, or one of these. */
static char RENDEZVOUS, HOME;

static int watch(int epoll_fd, int operation, int fd, uint32_t events, void *what)
{
    struct epoll_event event = {.events = events, .data = {.ptr = what}};

    return epoll_ctl(epoll_fd, operation, fd, &event) ? errno : 0;
}

static void close_connection(struct pyd_threads *threads, struct pyd_conn *conn)
{
    /* Not left to close(): with a copy of it in a forked child the set would keep a pointer to freed memory. */
    epoll_ctl(threads->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
    pyd_conn_destroy(conn);
}

static void add_connection(struct pyd_threads *threads, int fd)
{
    struct pyd_conn *conn = pyd_conn_create(fd);
    int rv = conn ? watch(threads->epoll_fd, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLONESHOT, conn) : ENOMEM;

    if (rv) {
        pyd_log(PYD_LOG_WARNING, (int)threads->service->job.group,
                PYD_LOGNO(0811) "A connection from httpd cannot be used and is closed: %s.", strerror(rv));
        pyd_conn_destroy(conn);
    }
}

/* Edge-triggered: all that wait are taken, or they would wait for the next one to come. Each goes into the set first,
 * since serving one may take as long as the application likes. */
static void accept_connections(struct pyd_threads *threads)
{
    for (;;) {
        unsigned char data[64];
        size_t size = sizeof(data);
        int fd = -1;
        int rv = pyd_fd_take(threads->rendezvous, data, &size, &fd);

        if (rv == EAGAIN || rv == EWOULDBLOCK || (!rv && !size))
            return;
        if (rv == EMFILE || rv == EBADMSG) { /* that one is lost: its peer sees the end of the connection */
            pyd_log(PYD_LOG_WARNING, (int)threads->service->job.group,
                    PYD_LOGNO(0812) "A connection from httpd could not be taken: %s.", strerror(rv));
            continue;
        }
        if (rv) {
            pyd_log(PYD_LOG_ERR, (int)threads->service->job.group,
                    PYD_LOGNO(0813) "The socket that brings connections has failed: %s.", strerror(rv));
            return;
        }
        if (fd >= 0)
            add_connection(threads, fd);
    }
}

static void serve_connection(struct pyd_threads *threads, struct pyd_conn *conn, struct pyd_lane *lane)
{
    enum pyd_conn_next next;

    atomic_load_explicit(&conn->handed_over, memory_order_acquire);
    next = pyd_conn_serve(conn, lane);
    atomic_store_explicit(&conn->handed_over, 1, memory_order_release);
    if (next == PYD_CONN_WAIT && !watch(threads->epoll_fd, EPOLL_CTL_MOD, conn->fd, EPOLLIN | EPOLLONESHOT, conn))
        return; /* another thread may have it already */
    close_connection(threads, conn);
}

/* Returns false when it is time to go. */
static int serve_next(struct pyd_threads *threads, struct pyd_lane *lane, int timeout_ms)
{
    struct epoll_event event;
    int count;

    if (pyd_exchange_forked()) /* the set is the worker's */
        _exit(PYD_EXIT_OK);
    count = epoll_wait(threads->epoll_fd, &event, 1, timeout_ms);
    if (count < 0 && errno == EINTR)
        return 1;
    if (count < 0) { /* the application has closed what is not its own: this worker can only make room for another */
        pyd_log(PYD_LOG_CRIT, (int)threads->service->job.group,
                PYD_LOGNO(0814) "Request threads cannot wait for requests any more, the worker stops: %s.",
                strerror(errno));
        pyd_service_stop(threads->service);
        return 0;
    }
    if (!count || event.data.ptr == &HOME)
        return 0;
    if (event.data.ptr == &RENDEZVOUS)
        accept_connections(threads);
    else if (event.events & EPOLLHUP) /* httpd has closed it: it waits for no answer to what may still be there */
        close_connection(threads, event.data.ptr);
    else
        serve_connection(threads, event.data.ptr, lane);
    return 1;
}

static void report(struct pyd_threads *threads, unsigned *counter, int error)
{
    pthread_mutex_lock(&threads->lock);
    ++*counter;
    if (error)
        threads->error = error;
    pthread_cond_broadcast(&threads->changed);
    pthread_mutex_unlock(&threads->lock);
}

static void *run_lane(void *baton)
{
    struct pyd_lane *lane = baton;
    struct pyd_service *service = lane->service;
    struct pyd_threads *threads = lane->threads;
    char name[16];
    int rv;

    snprintf(name, sizeof(name), "pydaemon-%u", lane->number);
    pthread_setname_np(pthread_self(), name);
    lane->tid = (pid_t)syscall(SYS_gettid);
    pyd_stacks_alternate(); /* without it only the trace of a stack overflow is missing */
    rv = service->ops->thread_begin(lane->number, &lane->app_state);
    report(threads, &threads->begun, rv);
    if (!rv) {
        while (serve_next(threads, lane, -1)) {
        }
        service->ops->thread_end(lane->app_state);
    }
    pyd_buf_done(&lane->in);
    pyd_buf_done(&lane->out);
    pyd_buf_done(&lane->head);
    report(threads, &threads->left, 0);
    return NULL;
}

static int init_threads(struct pyd_threads *threads)
{
    pthread_condattr_t attr;
    int rv = pthread_condattr_init(&attr);

    if (rv)
        return rv;
    rv = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (!rv)
        rv = pthread_cond_init(&threads->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (!rv)
        rv = pthread_mutex_init(&threads->lock, NULL);
    if (rv)
        return rv;
    threads->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    threads->home_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (threads->epoll_fd < 0 || threads->home_fd < 0)
        return errno;
    rv = watch(threads->epoll_fd, EPOLL_CTL_ADD, threads->home_fd, EPOLLIN, &HOME);
    if (!rv)
        rv = watch(threads->epoll_fd, EPOLL_CTL_ADD, threads->rendezvous, EPOLLIN | EPOLLET, &RENDEZVOUS);
    return rv;
}

/* As much as the main thread has, as glibc does it. musl gives 128 KiB, for which Python's recursion limit is not
 * made. */
static void raise_stack(pthread_attr_t *attr)
{
    struct rlimit limit;
    size_t size = 0;

    if (getrlimit(RLIMIT_STACK, &limit) || pthread_attr_getstacksize(attr, &size))
        return;
    if (limit.rlim_cur == RLIM_INFINITY)
        limit.rlim_cur = STACK_BYTES;
    if (size < limit.rlim_cur)
        pthread_attr_setstacksize(attr, (size_t)limit.rlim_cur); /* refused if absurd: the default will do */
}

static int create_threads(struct pyd_threads *threads)
{
    const struct pyd_worker_job *job = &threads->service->job;
    pthread_attr_t attr;
    int rv = pthread_attr_init(&attr);

    if (rv)
        return rv;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (job->spec.stack_bytes > 0)
        rv = pthread_attr_setstacksize(&attr, (size_t)job->spec.stack_bytes);
    else
        raise_stack(&attr);
    for (uint32_t i = 0; !rv && i < job->threads; i++) {
        struct pyd_lane *lane = &threads->lanes[i];
        pthread_t thread;

        lane->service = threads->service;
        lane->threads = threads;
        lane->number = i + 1;
        rv = pthread_create(&thread, &attr, run_lane, lane);
        if (!rv)
            threads->count++;
    }
    pthread_attr_destroy(&attr);
    return rv;
}

static int wait_begun(struct pyd_threads *threads)
{
    int rv;

    pthread_mutex_lock(&threads->lock);
    while (threads->begun < threads->count)
        pthread_cond_wait(&threads->changed, &threads->lock);
    rv = threads->error;
    pthread_mutex_unlock(&threads->lock);
    return rv;
}

int pyd_threads_start(struct pyd_service *service, int rendezvous, struct pyd_threads **ret_threads)
{
    struct pyd_threads *threads = calloc(1, sizeof(*threads) + service->job.threads * sizeof(threads->lanes[0]));
    int rv;

    if (!threads)
        return ENOMEM;
    threads->service = service;
    threads->rendezvous = rendezvous;
    threads->epoll_fd = threads->home_fd = -1;
    threads->refuser.service = service;
    rv = init_threads(threads);
    if (rv)
        goto leave;
    rv = create_threads(threads);
    if (!rv)
        rv = wait_begun(threads);
    if (!rv) {
        *ret_threads = threads;
        return 0;
    }
    if (threads->count) {
        pyd_threads_dismiss(threads, pyd_clock_us());
        return rv; /* some may still be on their way out: their memory stays, the process ends */
    }

leave:
    pyd_fd_close(&threads->epoll_fd);
    pyd_fd_close(&threads->home_fd);
    free(threads);
    return rv;
}

void pyd_threads_close_rendezvous(struct pyd_threads *threads)
{
    epoll_ctl(threads->epoll_fd, EPOLL_CTL_DEL, threads->rendezvous, NULL);
}

unsigned pyd_threads_dismiss(struct pyd_threads *threads, int64_t deadline_us)
{
    uint64_t one = 1;
    unsigned running, here;
    ssize_t written = write(threads->home_fd, &one, sizeof(one));

    (void)written; /* a counter that is not 0 already does as well */
    pthread_mutex_lock(&threads->lock);
    for (;;) {
        running = atomic_load(&threads->service->running);
        here = threads->count - threads->left;
        if (here <= running || pyd_service_timedwait(&threads->changed, &threads->lock, deadline_us))
            break;
    }
    pthread_mutex_unlock(&threads->lock);
    /* Nobody is left who would look at it; it must not keep the set readable. Who hangs leaves by _exit(). */
    epoll_ctl(threads->epoll_fd, EPOLL_CTL_DEL, threads->home_fd, NULL);
    return here;
}

int pyd_threads_fd(const struct pyd_threads *threads)
{
    return threads->epoll_fd;
}

void pyd_threads_refuse(struct pyd_threads *threads)
{
    while (serve_next(threads, &threads->refuser, 0)) {
    }
}
