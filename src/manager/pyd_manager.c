/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_manager.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pyd_clock.h"
#include "pyd_fd.h"
#include "pyd_generation.h"
#include "pyd_log.h"
#include "pyd_manager_watch.h"
#include "pyd_proc.h"

#define TICK_US INT64_C(1000000)
#define ALONE_US INT64_C(1000000)

/* Longer than any turn takes: then this process was stopped, or got no CPU. */
#define STALL_US INT64_C(1000000)

/* Limits may ask to be looked at soon, but not for ever at once. */
#define LIMITS_STEP_US INT64_C(10000)

/* Places in the poll set: four of the manager, then three of each slot. */
enum { AT_SIGNALS, AT_LIFELINE, AT_POKE, AT_RELAY, AT_SLOTS };
enum { AT_LOG, AT_CONTROL, AT_PIDFD, PER_SLOT };

struct manager {
    struct pyd_board *board;
    struct pyd_manager_group *groups;
    uint32_t group_count;
    struct pollfd *polled;
    size_t polled_count;
    int signal_fd, lifeline_fd, poke_fd, lock_fd;
    struct pyd_oom oom;
    int64_t now_us, sweep_at_us, limits_at_us, next_us;
    int64_t alone_since_us; /* no lock was seen since; 0: there was one */
    int must_sweep, ending;
    struct pyd_logpipe relay; /* what managers of older generations can no longer log themselves */
};

/* Set-up. */

/* Those that mean something are read from a descriptor; what httpd sends to its own processes means nothing here. */
static int take_signals(struct manager *manager)
{
    static const int read_ones[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
    static const int ignored[] = {SIGPIPE, SIGUSR1, SIGUSR2, SIGWINCH, SIGALRM};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t mask;

    sigemptyset(&mask);
    for (size_t i = 0; i < sizeof read_ones / sizeof read_ones[0]; i++)
        sigaddset(&mask, read_ones[i]);
    /* Blocked before httpd's handlers are taken away, so that a SIGTERM that comes now is not lost. */
    sigprocmask(SIG_SETMASK, &mask, NULL);
    pyd_proc_reset_signals();
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        sigaction(ignored[i], &ignore, NULL);
    manager->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    return manager->signal_fd < 0 ? errno : 0;
}

#define SLOT_FDS 3
#define GENERATION_FDS 5

static size_t add_slot_fds(const struct pyd_board_slot *slot, int *keep)
{
    keep[0] = slot->rendezvous_worker_fd;
    keep[1] = slot->log_read_fd;
    keep[2] = slot->log_write_fd;
    return SLOT_FDS;
}

/* httpd's listening sockets above all must go, or a manager that drains would keep port 80 bound. */
static int close_foreign_fds(struct manager *manager, const struct pyd_manager_job *job)
{
    const struct pyd_board_header *header = manager->board->header;
    size_t count = GENERATION_FDS + job->keep_count, kept = 0;
    int *keep;

    for (uint32_t g = 0; g < manager->group_count; g++)
        count += 2 + SLOT_FDS * (size_t)pyd_board_settings(manager->board, g)->slot_count;
    keep = malloc(count * sizeof *keep);
    if (!keep)
        return ENOMEM;
    keep[kept++] = manager->signal_fd;
    keep[kept++] = header->lock_watch_fd;
    keep[kept++] = header->lifeline_read_fd; /* not the other end: that says that httpd lives */
    keep[kept++] = header->poke_read_fd;
    keep[kept++] = header->poke_write_fd;
    for (size_t i = 0; i < job->keep_count; i++)
        keep[kept++] = job->keep_fds[i];
    for (uint32_t g = 0; g < manager->group_count; g++) {
        const struct pyd_board_settings_group *settings = pyd_board_settings(manager->board, g);

        keep[kept++] = settings->status_fd;
        keep[kept++] = pyd_board_group(manager->board, g)->worker_fd;
        for (uint32_t s = 0; s < settings->slot_count; s++)
            kept += add_slot_fds(pyd_board_slot(manager->board, g, s), keep + kept);
    }
    pyd_fd_close_except(keep, kept);
    free(keep);
    return 0;
}

static void set_title(const struct pyd_manager_job *job)
{
    prctl(PR_SET_NAME, "pydaemon-mgr", 0, 0, 0);
    if (!job->title || !job->title_room || job->title_bytes == 0)
        return;
    memset(job->title_room, 0, job->title_bytes);
    memcpy(job->title_room, job->title, strnlen(job->title, job->title_bytes - 1));
}

static int make_groups(struct manager *manager)
{
    uint32_t slots = 0;

    manager->groups = calloc(manager->group_count ? manager->group_count : 1, sizeof *manager->groups);
    if (!manager->groups)
        return ENOMEM;
    for (uint32_t g = 0; g < manager->group_count; g++) {
        int rv = pyd_manager_group_init(&manager->groups[g], manager->board, g, &manager->oom, manager->now_us);

        if (rv)
            return rv;
        slots += manager->groups[g].slot_count;
    }
    manager->polled_count = AT_SLOTS + PER_SLOT * (size_t)slots;
    manager->polled = calloc(manager->polled_count, sizeof *manager->polled);
    return manager->polled ? 0 : ENOMEM;
}

static int set_up(struct manager *manager, const struct pyd_manager_job *job)
{
    const struct pyd_board_header *header = job->board->header;
    int rv;

    *manager = (struct manager){.board = job->board,
                                .group_count = pyd_board_group_count(job->board),
                                .signal_fd = -1,
                                .lifeline_fd = header->lifeline_read_fd,
                                .poke_fd = header->poke_read_fd,
                                .lock_fd = header->lock_watch_fd,
                                .now_us = pyd_clock_us()};
    rv = take_signals(manager);
    if (rv)
        return rv;
    setsid();
    rv = close_foreign_fds(manager, job);
    if (rv)
        return rv;
    set_title(job);
    pyd_fd_set_nonblocking(manager->poke_fd, 1);
    pyd_logpipe_init(&manager->relay, job->relay_fd > 0 ? job->relay_fd : -1, PYD_LOG_NO_GROUP);
    pyd_oom_init(&manager->oom, manager->now_us);
    rv = make_groups(manager);
    if (rv)
        return rv;
    manager->sweep_at_us = manager->limits_at_us = manager->next_us = manager->now_us;
    pyd_log(PYD_LOG_NOTICE, PYD_LOG_NO_GROUP, "mod_pydaemon (pid=%d): Manager of generation %u started, groups: %u.",
            (int)getpid(), header->generation, manager->group_count);
    return 0;
}

static void tear_down(struct manager *manager)
{
    for (uint32_t g = 0; manager->groups && g < manager->group_count; g++)
        pyd_manager_group_done(&manager->groups[g]);
    free(manager->groups);
    free(manager->polled);
    pyd_fd_close(&manager->signal_fd);
}

/* One turn of the loop. */

static void fill_poll_set(struct manager *manager)
{
    struct pollfd *at = manager->polled;

    *at++ = (struct pollfd){.fd = manager->signal_fd, .events = POLLIN};
    *at++ = (struct pollfd){.fd = manager->lifeline_fd, .events = POLLIN};
    *at++ = (struct pollfd){.fd = manager->poke_fd, .events = POLLIN};
    *at++ = (struct pollfd){.fd = manager->relay.fd, .events = POLLIN};
    for (uint32_t g = 0; g < manager->group_count; g++) {
        for (uint32_t s = 0; s < manager->groups[g].slot_count; s++) {
            const struct pyd_manager_slot *slot = &manager->groups[g].slots[s];

            *at++ = (struct pollfd){.fd = slot->log.fd, .events = POLLIN};
            *at++ = (struct pollfd){.fd = slot->control_fd, .events = POLLIN};
            *at++ = (struct pollfd){.fd = slot->pidfd, .events = POLLIN};
        }
    }
}

static int64_t earlier(int64_t one_us, int64_t other_us)
{
    return one_us < other_us ? one_us : other_us;
}

/* What should have been done at due_us is done now. What happened in between has not been seen, and no worker is to
 * suffer for that. */
static void note_stall(struct manager *manager, int64_t due_us, int64_t now_us)
{
    if (now_us - due_us <= STALL_US)
        return;
    for (uint32_t g = 0; g < manager->group_count; g++)
        pyd_limit_add_stall(&manager->groups[g].stalls, due_us, now_us);
    pyd_log(PYD_LOG_INFO, PYD_LOG_NO_GROUP,
            "mod_pydaemon (pid=%d): This manager did not run for %.1f s (was it stopped, is the machine overloaded?): "
            "request-, deadlock-, startup- and graceful-timeout don't count that time.",
            (int)getpid(), (double)(now_us - due_us) / 1e6);
}

static void wait_for_events(struct manager *manager)
{
    int64_t until_us = earlier(earlier(manager->next_us, manager->limits_at_us), manager->sweep_at_us);
    int64_t began_us = pyd_clock_us(), timeout_us = until_us > began_us ? until_us - began_us : 0;

    note_stall(manager, manager->now_us, began_us);
    fill_poll_set(manager);
    if (poll(manager->polled, manager->polled_count, (int)((timeout_us + 999) / 1000)) < 0)
        for (size_t i = 0; i < manager->polled_count; i++)
            manager->polled[i].revents = 0;
    manager->now_us = pyd_clock_us();
    note_stall(manager, began_us + timeout_us, manager->now_us);
}

static void empty_pipe(int fd)
{
    char bytes[256];
    int turns = 256;

    while (turns-- > 0 && read(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes) {
    }
}

static void begin_ending(struct manager *manager, const char *why)
{
    if (manager->ending)
        return;
    manager->ending = 1;
    atomic_store(&manager->board->header->stopping, 1);
    for (uint32_t g = 0; g < manager->group_count; g++)
        pyd_manager_group_end(&manager->groups[g], manager->now_us);
    pyd_log(PYD_LOG_INFO, PYD_LOG_NO_GROUP, "mod_pydaemon (pid=%d): Stopping all workers: %s.", (int)getpid(), why);
}

static void heed_signals(struct manager *manager)
{
    struct signalfd_siginfo info;

    if (manager->polled[AT_SIGNALS].revents == 0)
        return;
    while (read(manager->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            begin_ending(manager, "told to");
        else if (info.ssi_signo == SIGHUP)
            manager->must_sweep = 1;
    }
}

static void heed_pokes(struct manager *manager)
{
    if (manager->polled[AT_POKE].revents) {
        empty_pipe(manager->poke_fd);
        manager->must_sweep = 1;
    }
    /* Only the youngest generation's manager can still log, so only it reads. */
    if (manager->polled[AT_RELAY].revents)
        pyd_logpipe_read(&manager->relay);
    if (atomic_load(&manager->board->header->superseded))
        manager->relay.fd = -1;
    if (manager->polled[AT_LIFELINE].revents) {
        /* EOF stays readable for ever: from here on the locks are looked at each second, as always. */
        manager->lifeline_fd = -1;
        manager->must_sweep = 1;
    }
}

/* SIGCHLDs coalesce: ask for every child each time. */
static void reap_children(struct manager *manager)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (uint32_t g = 0; g < manager->group_count; g++) {
            struct pyd_manager_slot *slot = pyd_manager_group_find(&manager->groups[g], pid);

            if (slot && !slot->adopted) {
                pyd_manager_slot_ended(&manager->groups[g], slot, &status, manager->now_us);
                break;
            }
        }
    }
}

/* A worker said "look": its status is read with the next plan, too. Or that a dump is there. */
static void heed_control(struct pyd_manager_group *group, struct pyd_manager_slot *slot, const struct pollfd *polled,
                         int64_t now_us)
{
    ssize_t got;
    char message[64];

    if (!polled->revents || polled->fd != slot->control_fd)
        return;
    got = recv(slot->control_fd, message, sizeof message, MSG_DONTWAIT);
    if (got > 0 && message[0] == PYD_CONTROL_LOOK)
        pyd_manager_group_look(group, slot, now_us);
    else if (got > 0 && message[0] == PYD_CONTROL_DUMPED && !pyd_manager_dump_pending(slot))
        pyd_manager_dump_unasked(group, slot, now_us); /* what was asked for is looked at on each turn */
    if (got == 0 || (polled->revents & (POLLERR | POLLNVAL)))
        pyd_manager_slot_hang_up(slot);
}

static void read_worker_events(struct manager *manager)
{
    const struct pollfd *at = manager->polled + AT_SLOTS;

    for (uint32_t g = 0; g < manager->group_count; g++) {
        struct pyd_manager_group *group = &manager->groups[g];

        for (uint32_t s = 0; s < group->slot_count; s++, at += PER_SLOT) {
            struct pyd_manager_slot *slot = &group->slots[s];

            if (at[AT_LOG].revents & POLLNVAL)
                slot->log.fd = -1; /* the board is damaged; don't spin on it */
            else if (at[AT_LOG].revents)
                pyd_logpipe_read(&slot->log);
            heed_control(group, slot, &at[AT_CONTROL], manager->now_us);
            if (at[AT_PIDFD].revents && at[AT_PIDFD].fd == slot->pidfd)
                pyd_manager_slot_ended(group, slot, NULL, manager->now_us);
        }
    }
}

/*
 * A child that was forked just before a reload may not have come to its lock yet; it does hold the lifeline. So
 * locks that are missing count only with the lifeline's end, or for a while.
 */
static int httpd_has_gone(struct manager *manager)
{
    if (pyd_generation_any_alive(manager->lock_fd)) {
        manager->alone_since_us = 0;
        return 0;
    }
    if (manager->alone_since_us == 0)
        manager->alone_since_us = manager->now_us;
    return manager->lifeline_fd < 0 || manager->now_us - manager->alone_since_us >= ALONE_US;
}

static void check_limits(struct manager *manager)
{
    int64_t at_us = INT64_MAX;

    for (uint32_t g = 0; g < manager->group_count; g++)
        at_us = earlier(at_us, pyd_manager_limits_check(&manager->groups[g], manager->now_us));
    manager->limits_at_us = at_us > manager->now_us + LIMITS_STEP_US ? at_us : manager->now_us + LIMITS_STEP_US;
}

static void sweep(struct manager *manager)
{
    if (!manager->must_sweep && manager->now_us < manager->sweep_at_us) {
        if (manager->now_us >= manager->limits_at_us)
            check_limits(manager);
        return;
    }
    manager->must_sweep = 0;
    manager->sweep_at_us = manager->now_us + TICK_US;
    pyd_oom_tick(&manager->oom, manager->now_us);
    for (uint32_t g = 0; g < manager->group_count; g++)
        pyd_manager_group_sweep(&manager->groups[g], manager->now_us);
    check_limits(manager); /* of what the sweep has left */
    if (httpd_has_gone(manager))
        begin_ending(manager, "no httpd process of this generation is left");
}

static void plan_and_act(struct manager *manager)
{
    manager->next_us = INT64_MAX;
    for (uint32_t g = 0; g < manager->group_count; g++)
        manager->next_us = earlier(manager->next_us, pyd_manager_group_run(&manager->groups[g], manager->now_us));
}

static int has_ended(const struct manager *manager)
{
    uint32_t living = 0;

    for (uint32_t g = 0; g < manager->group_count; g++)
        living += pyd_manager_group_living(&manager->groups[g]);
    return manager->ending && living == 0;
}

int pyd_manager_run(const struct pyd_manager_job *job)
{
    struct manager manager;
    int rv = set_up(&manager, job);

    if (rv) {
        pyd_log(PYD_LOG_CRIT, PYD_LOG_NO_GROUP,
                PYD_LOGNO(0600) "mod_pydaemon (pid=%d): The manager can't start: %s.", (int)getpid(), strerror(rv));
        tear_down(&manager);
        return PYD_MANAGER_NO_START;
    }
    while (!has_ended(&manager)) {
        wait_for_events(&manager);
        heed_signals(&manager);
        heed_pokes(&manager);
        reap_children(&manager);
        read_worker_events(&manager);
        sweep(&manager);
        plan_and_act(&manager);
    }
    rv = pyd_generation_any_alive(manager.lock_fd) ? PYD_MANAGER_TOLD : PYD_MANAGER_ENDED;
    tear_down(&manager);
    pyd_log(PYD_LOG_NOTICE, PYD_LOG_NO_GROUP, "mod_pydaemon (pid=%d): Manager of generation %u ended.", (int)getpid(),
            job->board->header->generation);
    return rv;
}
