/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pyd_fd.h"
#include "pyd_limits.h"
#include "pyd_log.h"
#include "pyd_manager.h"
#include "pyd_privs.h"
#include "pyd_process.h"

/* Above every number of enum pyd_worker_fd, so that moving one never overwrites another. */
#define PARKING_FD 32

/* The child's messages go the way of a worker's: a tagged line on the log pipe. */
static void complain(char level, const char *number, const char *text)
{
    char line[1024];
    int size = snprintf(line, sizeof line, "%c%c%s%s\n", PYD_LOG_TAG, level, number, text);

    if (size >= (int)sizeof line)
        size = (int)sizeof line - 1;
    if (write(STDERR_FILENO, line, (size_t)size) < 0)
        return; /* nobody left to tell */
}

void pyd_proc_reset_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};

    sigemptyset(&action.sa_mask);
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &action, NULL); /* fails for KILL, STOP and libc's own: as it should */
}

/* Bring the descriptors to their numbers and close all others. The program's is left open above them, close-on-exec. */
static int arrange_fds(const struct pyd_proc_start *start, int *ret_worker_fd)
{
    const struct {
        int fd, number;
    } map[] = {
        {start->log_fd, STDOUT_FILENO},
        {start->log_fd, STDERR_FILENO},
        {start->rendezvous_fd, PYD_WORKER_FD_RENDEZVOUS},
        {start->status_fd, PYD_WORKER_FD_STATUS},
        {start->control_fd, PYD_WORKER_FD_CONTROL},
        {start->lifeline_fd, PYD_WORKER_FD_LIFELINE},
        {start->lock_fd, PYD_WORKER_FD_LOCK},
        {start->job_fd, PYD_WORKER_FD_JOB},
    };
    enum { COUNT = sizeof map / sizeof map[0] };
    int parked[COUNT], keep[PYD_WORKER_FD_END], kept = 0, null_fd, worker_fd;

    for (int i = 0; i < COUNT; i++) {
        parked[i] = fcntl(map[i].fd, F_DUPFD_CLOEXEC, PARKING_FD);
        if (parked[i] < 0)
            return errno;
    }
    worker_fd = fcntl(start->worker_fd, F_DUPFD_CLOEXEC, PARKING_FD);
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (worker_fd < 0 || null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0)
        return errno;
    for (int i = 0; i < COUNT; i++)
        if (dup2(parked[i], map[i].number) < 0)
            return errno;
    for (int number = PYD_WORKER_FD_RENDEZVOUS; number < PYD_WORKER_FD_END; number++)
        keep[kept++] = number;
    keep[kept++] = worker_fd;
    if (null_fd == STDIN_FILENO)
        fcntl(STDIN_FILENO, F_SETFD, 0);
    pyd_fd_close_except(keep, (size_t)kept);
    *ret_worker_fd = worker_fd;
    return 0;
}

static void unblock_signals(void)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * What is not a worker yet must not outlive the manager that makes it: the next one would not recognise it, and start
 * another one in its slot. Who dies before the call does not send the signal; then the parent is another one. The
 * worker clears it, when it can be recognised.
 */
static void die_with(pid_t manager)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != manager)
        _exit(PYD_EXIT_SYSTEM);
}

static __attribute__((noreturn)) void become_worker(const struct pyd_proc_start *start, pid_t manager)
{
    char error[512], text[600];
    int worker_fd = -1, rv;

    die_with(manager);
    atomic_store(&start->slot->pid_start, pyd_process_start_time(getpid()));
    atomic_store(&start->slot->pid, (int32_t)getpid());
    pyd_proc_reset_signals();
    /* Its own session: what an application does to its process group is its own affair. */
    setsid();
    rv = arrange_fds(start, &worker_fd);
    if (rv) {
        dup2(start->log_fd, STDERR_FILENO);
        snprintf(text, sizeof text, "Worker can't start: its descriptors can't be set up: %s.", strerror(rv));
        complain('3', PYD_LOGNO(0620), text);
        _exit(PYD_EXIT_SYSTEM);
    }
    if (pyd_limits_apply(start->spec, error, sizeof error)) {
        snprintf(text, sizeof text, "Could not set %s, going on without.", error);
        complain('4', PYD_LOGNO(0621), text);
    }
    if (pyd_privs_drop(start->spec, error, sizeof error)) {
        snprintf(text, sizeof text, "Worker can't start: %s.", error);
        complain('3', PYD_LOGNO(0622), text);
        _exit(PYD_EXIT_PRIVILEGE);
    }
    die_with(manager); /* another user has no such signal (prctl(2)) */
    if (pyd_privs_enter_home(start->spec, error, sizeof error)) {
        snprintf(text, sizeof text, "Worker can't start: %s (option home).", error);
        complain('3', PYD_LOGNO(0623), text);
        _exit(PYD_EXIT_HOME);
    }
    unblock_signals();
    fexecve(worker_fd, start->argv, start->env);
    snprintf(text, sizeof text, "Worker can't start: its program can't be executed: %s.", strerror(errno));
    complain('3', PYD_LOGNO(0624), text);
    _exit(PYD_EXIT_EXEC);
}

int pyd_proc_start(const struct pyd_proc_start *start, pid_t *ret_pid)
{
    pid_t manager = getpid(), pid = fork();

    if (pid < 0)
        return errno;
    if (pid == 0)
        become_worker(start, manager);
    *ret_pid = pid;
    return 0;
}

static int read_status(pid_t pid, char *room, size_t size)
{
    char path[64];
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    n = read(fd, room, size - 1);
    close(fd);
    if (n <= 0)
        return ESRCH;
    room[n] = '\0';
    return 0;
}

static int has_user(pid_t pid, int64_t uid)
{
    char text[2048];
    const char *line;

    if (read_status(pid, text, sizeof text))
        return 0;
    line = strstr(text, "\nUid:");
    if (!line)
        return 0;
    return strtoull(line + 5, NULL, 10) == (unsigned long long)(uid >= 0 ? uid : (int64_t)geteuid());
}

/* Whose program can't be seen (another user's, without CAP_SYS_PTRACE, in a container say) is believed. */
static int has_program(pid_t pid, int worker_fd)
{
    struct stat program, wanted;
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    if (stat(path, &program) != 0)
        return errno == EACCES || errno == EPERM;
    if (fstat(worker_fd, &wanted) != 0)
        return 1;
    return program.st_dev == wanted.st_dev && program.st_ino == wanted.st_ino;
}

int pyd_proc_is_worker(pid_t pid, uint64_t start_time, int64_t uid, int worker_fd)
{
    return pid > 1 && start_time != 0 && pyd_process_start_time(pid) == start_time && has_user(pid, uid) &&
           has_program(pid, worker_fd);
}

int pyd_proc_watch(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

void pyd_proc_signal(pid_t pid, int pidfd, int number)
{
    if (pid <= 1)
        return;
    if (pidfd >= 0)
        syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0);
    else
        kill(pid, number);
}
