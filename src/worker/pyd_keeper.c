/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_keeper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pyd_clock.h"
#include "pyd_fd.h"
#include "pyd_generation.h"
#include "pyd_log.h"
#include "pyd_logline.h"
#include "pyd_manager.h"
#include "pyd_watch.h"

/* Beyond shutdown-timeout: time for the manager, or its successor, to ask for a dump, log it and kill; and where there
 * will be neither. */
#define GRACE_US 6000000
#define ALONE_GRACE_US 500000

/* It beats, and looks for httpd when the manager is gone. The lifeline's end wakes it, but may not come: a process that
 * has nothing to do with us may hold it open. */
#define BEAT_US 1000000

static struct {
    struct pyd_service *service;
    pid_t pid;
    int pipe[2]; /* signal handlers and other threads wake the keeper */
    int control, lifeline, lock;
    int manager_gone, lifeline_gone;
    int64_t watch_due_us; /* of pyd_watch_tick() */
    _Atomic(struct pyd_threads *) dismissed;
} keeper = {.pipe = {-1, -1}, .control = -1};

static void wake(char why)
{
    ssize_t written = write(keeper.pipe[1], &why, 1);

    (void)written; /* a full pipe wakes as well */
}

static void on_request(int number)
{
    int saved_errno = errno;

    if (getpid() == keeper.pid) {
        wake(number == SIGUSR2 ? 'u' : 't');
    } else { /* a process that the application has forked; the pipe is not its own */
        signal(number, SIG_DFL);
        raise(number);
    }
    errno = saved_errno;
}

static void on_ignored(int number)
{
    (void)number;
}

void pyd_keeper_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_request, .sa_flags = SA_RESTART};

    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);
    /* A handler, unlike SIG_IGN, is not inherited by programs that the application starts. */
    action.sa_handler = on_ignored;
    sigaction(SIGPIPE, &action, NULL);
}

static void tell(char what)
{
    /* Full: the manager has not looked at earlier ones, and sees it all when it does. */
    send(keeper.control, &what, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void pyd_keeper_look(void)
{
    tell(PYD_CONTROL_LOOK);
}

void pyd_keeper_dumped(void)
{
    tell(PYD_CONTROL_DUMPED);
}

void pyd_keeper_wake(void)
{
    wake('w');
}

void pyd_keeper_notify(void)
{
    pyd_keeper_look();
    wake('n');
}

void pyd_keeper_refuse(struct pyd_threads *threads)
{
    atomic_store(&keeper.dismissed, threads);
    wake('r');
}

static int stopping(void)
{
    return atomic_load(&keeper.service->stopping);
}

static void take_wakes(void)
{
    char bytes[64];
    ssize_t got = read(keeper.pipe[0], bytes, sizeof(bytes));

    if (got > 0 && memchr(bytes, 't', (size_t)got))
        pyd_service_stop(keeper.service);
    if (got > 0 && memchr(bytes, 'u', (size_t)got))
        pyd_watch_ask(0, 0, 1);
}

static void take_control(void)
{
    union {
        char kind;
        struct pyd_control_dump dump;
        char room[sizeof(struct pyd_control_dump) + 1];
    } message;
    ssize_t got = recv(keeper.control, &message, sizeof(message.room), MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (got <= 0)
        keeper.manager_gone = 1;
    else if (message.kind == PYD_CONTROL_STOP)
        pyd_service_stop(keeper.service);
    else if (message.kind == PYD_CONTROL_DUMP && got == sizeof(message.dump) && message.dump.tid >= 0)
        pyd_watch_ask(message.dump.dump, message.dump.tid, message.dump.no_signals);
}

static void look_for_httpd(void)
{
    if (stopping() || !keeper.manager_gone || pyd_generation_any_alive(keeper.lock))
        return;
    /* Before it stops: it may be gone at once. */
    pyd_log(PYD_LOG_NOTICE, (int)keeper.service->job.group, "No process of httpd is left: worker %u of '%s' stops.",
            keeper.service->job.number, keeper.service->job.spec.name);
    pyd_service_stop(keeper.service);
}

static int64_t deadline_us(void)
{
    int64_t stop_us = pyd_service_stop_deadline(keeper.service, 100);
    /* A manager that is gone gets a successor as long as there is a process of httpd. */
    int is_alone = keeper.manager_gone && !pyd_generation_any_alive(keeper.lock);

    return stop_us == INT64_MAX ? INT64_MAX : stop_us + (is_alone ? ALONE_GRACE_US : GRACE_US);
}

/* The application does not let this process end: its exit handlers, or a request that hangs while they wait for it. */
static void enforce_deadline(void)
{
    if (!stopping() || pyd_clock_us() < deadline_us())
        return;
    pyd_log(PYD_LOG_WARNING, (int)keeper.service->job.group,
            PYD_LOGNO(0806) "Worker %u of '%s' ends without its exit handlers having finished: "
            "shutdown-timeout is over (%u requests running).",
            keeper.service->job.number, keeper.service->job.spec.name, atomic_load(&keeper.service->running));
    _exit(PYD_EXIT_OK);
}

static int timeout_ms(int64_t now_us)
{
    int64_t until_us = now_us + BEAT_US;

    if (stopping() && deadline_us() < until_us)
        until_us = deadline_us();
    if (keeper.watch_due_us < until_us)
        until_us = keeper.watch_due_us;
    return until_us > now_us ? (int)((until_us - now_us) / 1000) + 1 : 0;
}

static void wait_events(void)
{
    struct pyd_threads *dismissed = atomic_load(&keeper.dismissed);
    struct pollfd polled[] = {
        {.fd = keeper.pipe[0], .events = POLLIN},
        {.fd = keeper.manager_gone ? -1 : keeper.control, .events = POLLIN},
        {.fd = keeper.lifeline_gone ? -1 : keeper.lifeline, .events = POLLIN},
        {.fd = dismissed ? pyd_threads_fd(dismissed) : -1, .events = POLLIN},
    };

    if (poll(polled, sizeof(polled) / sizeof(polled[0]), timeout_ms(pyd_clock_us())) < 0 && errno != EINTR)
        memset(polled, 0, sizeof(polled)); /* out of memory for a moment */
    if (polled[0].revents)
        take_wakes();
    if (polled[1].revents)
        take_control();
    if (polled[2].revents)
        keeper.lifeline_gone = 1;
    if (polled[3].revents)
        pyd_threads_refuse(dismissed);
}

static void *run_keeper(void *baton)
{
    (void)baton;
    pthread_setname_np(pthread_self(), "pydaemon-keeper");
    pyd_service_no_file_size_signal();
    pyd_logline_hurry(); /* whoever reads the log may be stopped: this thread must heed the next signal all the same */
    for (;;) {
        int64_t now_us = pyd_clock_us();

        atomic_store(&keeper.service->status->alive_us, now_us);
        keeper.watch_due_us = pyd_watch_tick(now_us);
        wait_events();
        look_for_httpd();
        enforce_deadline();
    }
    return NULL;
}

int pyd_keeper_start(struct pyd_service *service, int control, int lifeline, int lock)
{
    struct sigaction file_size;
    pthread_attr_t attr;
    pthread_t thread;
    int rv = pyd_fd_pipe(keeper.pipe);

    if (!rv)
        rv = pyd_fd_set_nonblocking(keeper.pipe[0], 1);
    if (!rv)
        rv = pyd_fd_set_nonblocking(keeper.pipe[1], 1);
    if (rv)
        return rv;
    keeper.service = service;
    keeper.pid = getpid();
    keeper.control = control;
    keeper.lifeline = lifeline;
    keeper.lock = lock;
    pyd_keeper_catch_signals();
    /* As Python would: a write beyond RLIMIT_FSIZE fails, and ends nothing. */
    if (sigaction(SIGXFSZ, NULL, &file_size) == 0 && file_size.sa_handler == SIG_DFL) {
        file_size.sa_handler = on_ignored;
        file_size.sa_flags = SA_RESTART;
        sigaction(SIGXFSZ, &file_size, NULL);
    }
    rv = pthread_attr_init(&attr);
    if (rv)
        return rv;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    rv = pthread_create(&thread, &attr, run_keeper, NULL);
    pthread_attr_destroy(&attr);
    return rv;
}
