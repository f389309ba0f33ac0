/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_managers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <ap_mpm.h>
#include <apr_signal.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <mpm_common.h>

#include "pyd_clock.h"
#include "pyd_fd.h"
#include "pyd_generation.h"
#include "pyd_httpd.h"
#include "pyd_log.h"
#include "pyd_manager.h"

/* Its number changes with the structures below: what a module of another make has left is not looked at. Those
 * generations end by themselves, see pyd_managers_suspend(). */
#define RETAINED_KEY "mod_pydaemon: generations 1"

/* Gracefuls in quick succession while old requests last: each keeps a generation alive. Beyond
 * this many the oldest is told to stop. */
#define GENERATIONS_MAX 32

/* What the wait at httpd's end adds to the longest shutdown-timeout: time for the
 * manager to notice, reap and log. */
#define STOP_EXTRA_US 2000000

struct generation { /* plain numbers only: survives dlclose() of this module */
    int used;
    int board_fd;
    pid_t manager;    /* 0: none now, to be forked again */
    uint32_t number;
    int64_t stop_wait_us; /* its longest shutdown-timeout */
};

struct retained {
    uint32_t last_number;
    int relay_read_fd, relay_write_fd; /* pyd_logsink_relay(); 0: not made yet */
    struct generation generations[GENERATIONS_MAX];
};

/* Of this configuration; rebuilt by each post_config. Same index as in retained. */
static struct {
    struct retained *retained;
    struct pyd_board *boards[GENERATIONS_MAX];
    apr_pool_t *pconf;
    server_rec *server;
    uint32_t current;
} managers;

static void on_manager_event(int reason, void *data, int status);

static int index_of(const struct generation *generation)
{
    return (int)(generation - managers.retained->generations);
}

static void register_manager(struct generation *generation)
{
    apr_proc_t *process = apr_pcalloc(managers.pconf, sizeof(*process));

    process->pid = generation->manager;
    apr_proc_other_child_register(process, on_manager_event, generation, NULL, managers.pconf);
}

/* Descriptors the log sink writes to; everything else is closed by the manager. */
static const int *log_descriptors(apr_pool_t *p, size_t *ret_count)
{
    apr_array_header_t *fds = apr_array_make(p, 4, sizeof(int));
    server_rec *s;

    for (s = managers.server; s; s = s->next) {
        apr_os_file_t fd;

        if (s->error_log && apr_os_file_get(&fd, s->error_log) == APR_SUCCESS)
            APR_ARRAY_PUSH(fds, int) = fd;
    }
    APR_ARRAY_PUSH(fds, int) = managers.retained->relay_read_fd;
    APR_ARRAY_PUSH(fds, int) = managers.retained->relay_write_fd;
    *ret_count = (size_t)fds->nelts;
    return (const int *)(const void *)fds->elts;
}

/* syslog(3) holds a descriptor nobody can ask for: have it closed now and opened again at the next message. */
static void detach_syslog(void)
{
    const char *name = managers.server->error_fname;

    if (name && ap_cstr_casecmpn(name, "syslog", 6) == 0)
        closelog();
}

/* The room of the original argument strings, which ps shows. Its size is what the kernel shows: httpd has replaced
 * some of its argv by copies, so the strings do not tell. */
static size_t title_room(char **ret_room)
{
    char shown[4096];
    ssize_t size = -1;
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        size = read(fd, shown, sizeof(shown));
        close(fd);
    }
    memcpy(ret_room, &managers.server->process->argv[0], sizeof(*ret_room));
    return size > 0 ? (size_t)size : 0;
}

static void run_manager(struct generation *generation) __attribute__((noreturn));

static void run_manager(struct generation *generation)
{
    struct pyd_manager_job job = {.board = managers.boards[index_of(generation)],
                                  .title = "pydaemon manager"};
    int status;

    job.keep_fds = log_descriptors(managers.pconf, &job.keep_count);
    job.relay_fd = managers.retained->relay_read_fd;
    job.title_bytes = title_room(&job.title_room);
    detach_syslog();
    /* The groups' servers are those of the newest configuration; an older generation logs to the main one. */
    if (generation->number != managers.current)
        pyd_logsink_install(managers.server, NULL);
    pyd_logsink_relay(managers.retained->relay_write_fd, &job.board->header->superseded);
    status = pyd_manager_run(&job);
    /* Not exit(): httpd's pools would be destroyed, which ends the live piped loggers. */
    _exit(status);
}

static apr_status_t fork_manager(struct generation *generation)
{
    sigset_t all, before;
    pid_t pid;

    /* One that was told to stop by somebody else has left this behind. */
    atomic_store(&managers.boards[index_of(generation)]->header->stopping, 0);
    /* A signal between fork and the manager's own handlers would be taken by httpd's. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0)
        run_manager(generation);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0)
        return errno;
    generation->manager = pid;
    atomic_store(&managers.boards[index_of(generation)]->header->manager_pid, (int32_t)pid);
    register_manager(generation);
    return APR_SUCCESS;
}

static void forget(struct generation *generation)
{
    struct pyd_board *board = managers.boards[index_of(generation)];

    if (board) {
        pyd_generation_close(board);
        pyd_board_unmap(board);
    }
    else {
        close(generation->board_fd);
    }
    managers.boards[index_of(generation)] = NULL;
    memset(generation, 0, sizeof(*generation));
}

static int server_is_ending(void)
{
    int state = 0;

    return ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_EXITING ||
           (ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS && state == AP_MPMQ_STOPPING);
}

/* status: an exit status of pyd_manager_run(), or the number of the signal that ended it (ap_wait_or_timeout does not
 * say which: the header of the manager sees to it that they differ), or -1. */
static const char *describe_end(apr_pool_t *p, int status)
{
    switch (status) {
    case -1:
        return "nobody knows how";
    case PYD_MANAGER_NO_START:
        return "it could not start";
    case PYD_MANAGER_TOLD:
        return "somebody sent it a SIGTERM or SIGINT";
    default:
        return apr_psprintf(p, "killed by signal %d, %s", status, apr_signal_description_get(status));
    }
}

/* The manager has ended: was it meant to? */
static void manager_ended(struct generation *generation, int status)
{
    apr_status_t rv;
    pid_t pid = generation->manager;

    generation->manager = 0;
    if (status == 0 || !managers.boards[index_of(generation)]) {
        forget(generation);
        return;
    }
    if (server_is_ending())
        return;
    rv = fork_manager(generation);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, managers.server,
                     PYD_LOGNO(0401) "mod_pydaemon: the manager (pid=%d) of generation %u ended (%s) and cannot be "
                     "started again; its workers go on, but are not replaced until it is. Trying every ten seconds",
                     (int)pid, generation->number, describe_end(managers.pconf, status));
        return;
    }
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, managers.server,
                 PYD_LOGNO(0402) "mod_pydaemon: the manager (pid=%d) of generation %u ended unexpectedly (%s); "
                 "started again as pid=%d, its workers go on",
                 (int)pid, generation->number, describe_end(managers.pconf, status), (int)generation->manager);
}

/* After a fork has failed, which was logged. */
static void fork_again(struct generation *generation)
{
    if (fork_manager(generation) == APR_SUCCESS)
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, managers.server,
                     "mod_pydaemon: generation %u has a manager again, pid=%d", generation->number,
                     (int)generation->manager);
}

void pyd_managers_retry(void)
{
    int i;

    for (i = 0; managers.retained && i < GENERATIONS_MAX && !server_is_ending(); ++i) {
        struct generation *generation = &managers.retained->generations[i];

        if (generation->used && generation->manager == 0 && managers.boards[i])
            fork_again(generation);
    }
}

/* APR calls this in the parent's main loop. data must be unregistered before anything else on DEATH and LOST, or
 * APR dereferences its cleared entry later (apr otherchild.c). */
static void on_manager_event(int reason, void *data, int status)
{
    struct generation *generation = data;

    switch (reason) {
    case APR_OC_REASON_DEATH:
    case APR_OC_REASON_LOST:
        apr_proc_other_child_unregister(generation);
        manager_ended(generation, reason == APR_OC_REASON_LOST ? -1 : status);
        break;
    case APR_OC_REASON_UNREGISTER:
    case APR_OC_REASON_RESTART: /* called on every turn of a stop or hard restart: pyd_managers_stop acts */
    default:
        break;
    }
}

static int any_worker(const struct pyd_board *board)
{
    uint32_t group, slot;

    for (group = 0; group < pyd_board_group_count(board); ++group) {
        for (slot = 0; slot < pyd_board_settings(board, group)->slot_count; ++slot) {
            uint32_t state = atomic_load(&pyd_board_slot(board, group, slot)->state);

            if (state != PYD_SLOT_EMPTY && state != PYD_SLOT_DEAD)
                return 1;
        }
    }
    return 0;
}

/* The manager ended while httpd ran without this module, or could not be forked again. Another one is needed if there
 * is something left for it to do. */
static void resume_without(struct generation *generation)
{
    struct pyd_board *board = managers.boards[index_of(generation)];

    if (!board || (!pyd_generation_any_alive(board->lock_fd) && !any_worker(board)))
        forget(generation);
    else if (generation->manager == 0)
        fork_again(generation);
    else
        manager_ended(generation, -1);
}

static void resume_one(struct generation *generation)
{
    int status = 0;
    pid_t ended = -1;
    int i = index_of(generation);

    if (pyd_board_attach(generation->board_fd, &managers.boards[i]) != 0)
        managers.boards[i] = NULL; /* another layout: the module was upgraded; its own manager ends it */
    if (managers.boards[i]) {
        (void)pyd_generation_unlock(managers.boards[i]);
        atomic_store(&managers.boards[i]->header->superseded, 1);
    }
    /* 0: a fork has failed, and pyd_managers_retry() has not succeeded since. */
    if (generation->manager > 0)
        ended = waitpid(generation->manager, &status, WNOHANG);
    if (ended < 0) {
        resume_without(generation);
    } else if (ended > 0) {
        manager_ended(generation, WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    } else {
        register_manager(generation);
        if (managers.boards[i])
            pyd_generation_poke(managers.boards[i]);
    }
}

/* Made once; without it the last lines of older generations are lost where ErrorLog is a pipe. */
static void make_relay(struct retained *retained)
{
    int fds[2];

    if (retained->relay_read_fd > 0 || pyd_fd_pipe(fds) != 0)
        return;
    pyd_fd_set_nonblocking(fds[0], 1);
    pyd_fd_set_nonblocking(fds[1], 1);
    retained->relay_read_fd = fds[0];
    retained->relay_write_fd = fds[1];
}

void pyd_managers_resume(apr_pool_t *pconf, server_rec *s)
{
    int i;

    managers.pconf = pconf;
    managers.server = s;
    managers.retained = ap_retained_data_get(RETAINED_KEY);
    if (!managers.retained)
        managers.retained = ap_retained_data_create(RETAINED_KEY, sizeof(*managers.retained));
    make_relay(managers.retained);
    managers.current = managers.retained->last_number + 1;
    memset(managers.boards, 0, sizeof(managers.boards));
    for (i = 0; i < GENERATIONS_MAX; ++i) {
        if (managers.retained->generations[i].used)
            resume_one(&managers.retained->generations[i]);
    }
}

uint32_t pyd_managers_next_generation(void)
{
    return managers.retained->last_number + 1;
}

/* A free place; the oldest generation makes room if there is none. */
static struct generation *free_place(void)
{
    struct generation *oldest = NULL;
    int i;

    for (i = 0; i < GENERATIONS_MAX; ++i) {
        struct generation *generation = &managers.retained->generations[i];

        if (!generation->used)
            return generation;
        if (!oldest || generation->number < oldest->number)
            oldest = generation;
    }
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, managers.server,
                 PYD_LOGNO(0403) "mod_pydaemon: %d generations are still finishing requests; stopping the oldest (%u)",
                 GENERATIONS_MAX, oldest->number);
    if (oldest->manager > 0) {
        apr_proc_other_child_unregister(oldest);
        kill(oldest->manager, SIGTERM);
    }
    forget(oldest);
    return oldest;
}

static int64_t longest_shutdown(const struct pyd_board *board)
{
    apr_array_header_t *groups = pyd_config_groups();
    int64_t longest_us = 0;
    int i;

    for (i = 0; i < groups->nelts && i < (int)pyd_board_group_count(board); ++i) {
        const struct pyd_group *group = APR_ARRAY_IDX(groups, i, struct pyd_group *);

        if (group->spec.shutdown_timeout_us > longest_us)
            longest_us = group->spec.shutdown_timeout_us;
    }
    return longest_us;
}

apr_status_t pyd_managers_add(struct pyd_board *board, apr_pool_t *pconf)
{
    struct generation *generation = free_place();
    apr_status_t rv;

    (void)pconf;
    generation->used = 1;
    generation->board_fd = board->header->board_fd;
    generation->number = board->header->generation;
    generation->stop_wait_us = longest_shutdown(board);
    managers.boards[index_of(generation)] = board;
    managers.retained->last_number = generation->number;
    managers.current = generation->number;
    rv = fork_manager(generation);
    if (rv != APR_SUCCESS)
        forget(generation);
    return rv;
}

void pyd_managers_poke(void)
{
    int i;

    for (i = 0; i < GENERATIONS_MAX; ++i) {
        if (managers.boards[i])
            pyd_generation_poke(managers.boards[i]);
    }
}

void pyd_managers_suspend(void)
{
    int i;

    for (i = 0; i < GENERATIONS_MAX; ++i) {
        /* This module may not come back, or not be able to read its board: whoever serves a generation still, or is
         * about to (see ALONE_US in the manager), has a lock of his own. */
        if (managers.boards[i])
            (void)pyd_generation_unlock(managers.boards[i]);
        pyd_board_unmap(managers.boards[i]);
        managers.boards[i] = NULL;
    }
}

/* How many managers have not ended yet; those that have are forgotten. */
static int reap_managers(void)
{
    int i, left = 0;

    for (i = 0; i < GENERATIONS_MAX; ++i) {
        struct generation *generation = &managers.retained->generations[i];

        if (!generation->used || generation->manager <= 0)
            continue;
        if (waitpid(generation->manager, NULL, WNOHANG) == 0)
            left++;
        else
            generation->manager = 0;
    }
    return left;
}

/* What tells a manager that httpd has gone, should it not be told otherwise. */
static void leave(struct pyd_board *board)
{
    int lifeline;

    if (!board)
        return;
    (void)pyd_generation_unlock(board);
    lifeline = board->header->lifeline_write_fd;
    board->header->lifeline_write_fd = -1;
    pyd_fd_close(&lifeline);
    pyd_generation_poke(board);
}

static void signal_managers(int signal_number)
{
    int i;

    for (i = 0; i < GENERATIONS_MAX; ++i) {
        const struct generation *generation = &managers.retained->generations[i];

        if (!generation->used || generation->manager <= 0)
            continue;
        /* httpd -X is its own child: it has become User, and the manager is root. */
        if (kill(generation->manager, signal_number) < 0 && errno == EPERM)
            leave(managers.boards[i]);
    }
}

void pyd_managers_stop(void)
{
    int64_t deadline_us, wait_us = 0;
    int i;

    if (!managers.retained)
        return;
    for (i = 0; i < GENERATIONS_MAX; ++i) {
        if (managers.retained->generations[i].stop_wait_us > wait_us)
            wait_us = managers.retained->generations[i].stop_wait_us;
    }
    signal_managers(SIGTERM);
    deadline_us = pyd_clock_us() + wait_us + STOP_EXTRA_US;
    while (reap_managers() > 0 && pyd_clock_us() < deadline_us)
        apr_sleep(10000);
    if (reap_managers() > 0) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, managers.server,
                     PYD_LOGNO(0404) "mod_pydaemon: a manager did not end within %.1f s of being told; killing it, its "
                     "workers end by themselves",
                     (double)(wait_us + STOP_EXTRA_US) / 1e6);
        signal_managers(SIGKILL);
    }
}

void pyd_managers_child_init(const struct pyd_board *own)
{
    int i;

    for (i = 0; i < GENERATIONS_MAX; ++i) {
        if (managers.boards[i] && managers.boards[i] != own) {
            pyd_generation_close(managers.boards[i]);
            pyd_board_unmap(managers.boards[i]);
            managers.boards[i] = NULL;
        }
    }
}
