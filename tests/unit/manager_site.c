/* SPDX-License-Identifier: Apache-2.0 */
#include "manager_site.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pyd_fd.h"
#include "pyd_log.h"
#include "pyd_manager.h"
#include "pyd_spec.h"

#define NOBODY 65534

struct site site = {.log_fds = {-1, -1}};

static void write_line(void *baton, enum pyd_log_level level, int group, const char *message)
{
    char line[4200];
    int n = snprintf(line, sizeof line, "%d %s\n", (int)level, message);

    (void)baton;
    (void)group;
    if (write(site.log_fds[1], line, (size_t)n) < 0)
        _exit(97);
}

/* What the workers of the site do from now on, when they start. */
void behave(const char *behaviour)
{
    char text[64], path[sizeof site.env_file + 4];
    int fd;

    snprintf(path, sizeof path, "%s.new", site.env_file);
    snprintf(text, sizeof text, "FAKE=%s\n", behaviour);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    assert_int_equal(rename(path, site.env_file), 0);
}

char *make_spec(const char *const *options)
{
    struct pyd_spec spec;
    char error[300] = "", *text;

    assert_int_equal(pyd_spec_init(&spec, "blog"), 0);
    assert_int_equal(pyd_spec_set(&spec, "threads=3", error, sizeof error), 0);
    for (; *options; options++)
        if (pyd_spec_set(&spec, *options, error, sizeof error))
            fail_msg("%s: %s", *options, error);
    assert_int_equal(pyd_spec_assign(&spec.env_file, site.env_file), 0);
    if (geteuid() == 0)
        spec.uid = spec.gid = NOBODY;
    text = pyd_spec_format(&spec);
    assert_non_null(text);
    pyd_spec_done(&spec);
    return text;
}

void make_board(uint32_t processes, enum pyd_group_state state, const char *const *options)
{
    char *text = make_spec(options);
    struct pyd_board_group_plan plan = {.name = "blog",
                                        .processes = processes,
                                        .threads = 3,
                                        .queue_limit = 5,
                                        .spec_text = text,
                                        .state = state};

    assert_int_equal(pyd_board_create(7, &plan, 1, &site.board), 0);
    free(text);
    assert_int_equal(pyd_generation_open(site.board), 0);
    assert_int_equal(pyd_generation_lock(site.board), 0);
    pyd_board_group(site.board, 0)->worker_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
}

void start_manager(void)
{
    struct pyd_manager_job job = {.board = site.board, .keep_fds = &site.log_fds[1], .keep_count = 1};

    site.manager = fork();
    assert_true(site.manager >= 0);
    if (site.manager == 0) {
        pyd_log_set(write_line, NULL, PYD_LOG_TRACE);
        _exit(pyd_manager_run(&job));
    }
}

void prepare_site(const char *behaviour)
{
    int fd;

    snprintf(site.env_file, sizeof site.env_file, "/tmp/pyd-test-XXXXXX");
    fd = mkstemp(site.env_file);
    assert_true(fd >= 0);
    close(fd);
    behave(behaviour);
    assert_int_equal(pyd_fd_pipe(site.log_fds), 0);
    assert_int_equal(pyd_fd_set_nonblocking(site.log_fds[0], 1), 0);
}

void start_site(uint32_t processes, const char *behaviour, const char *const *options)
{
    prepare_site(behaviour);
    make_board(processes, PYD_GROUP_STARTING, options);
    start_manager();
}

const char *const NO_OPTIONS[] = {NULL};

void read_log(int timeout_ms)
{
    struct pollfd polled = {.fd = site.log_fds[0], .events = POLLIN};
    ssize_t n;

    poll(&polled, 1, timeout_ms);
    do {
        if (site.log_room - site.log_bytes < 8192) {
            site.log_room = site.log_room ? 2 * site.log_room : 65536;
            site.log = realloc(site.log, site.log_room);
            assert_non_null(site.log);
        }
        n = read(site.log_fds[0], site.log + site.log_bytes, site.log_room - site.log_bytes - 1);
        site.log_bytes += n > 0 ? (size_t)n : 0;
        site.log[site.log_bytes] = '\0';
    } while (n > 0 && site.log_bytes < 4000000);
}

int said(const char *text)
{
    read_log(0);
    return strstr(site.log, text) != NULL;
}

size_t count_said(const char *text)
{
    size_t count = 0;

    read_log(0);
    for (const char *at = site.log; (at = strstr(at, text)); at++)
        count++;
    return count;
}

struct pyd_board_slot *slot_at(uint32_t slot)
{
    return pyd_board_slot(site.board, 0, slot);
}

uint32_t state_of(uint32_t slot)
{
    return atomic_load(&slot_at(slot)->state);
}

pid_t pid_of(uint32_t slot)
{
    return atomic_load(&slot_at(slot)->pid);
}

uint32_t group_state(void)
{
    return atomic_load(&pyd_board_group(site.board, 0)->state);
}

uint32_t count_state(uint32_t state)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < pyd_board_settings(site.board, 0)->slot_count; i++)
        count += state_of(i) == state;
    return count;
}

int manager_exit_status(void)
{
    int64_t deadline_us = pyd_clock_us() + DEADLINE_US;
    int status = 0;

    while (waitpid(site.manager, &status, WNOHANG) == 0) {
        if (pyd_clock_us() > deadline_us)
            fail_msg("the manager does not end; log:\n%s", site.log);
        read_log(10);
    }
    read_log(0);
    site.is_over = 1;
    if (!WIFEXITED(status))
        fail_msg("the manager died of signal %d; log:\n%s", WTERMSIG(status), site.log);
    return WEXITSTATUS(status);
}

void stop_manager(void)
{
    kill(site.manager, SIGTERM);
    assert_int_equal(manager_exit_status(), 2); /* told to, and httpd is still there: this process holds its lock */
}

int clean_up(void **state)
{
    (void)state;
    if (!site.is_over && site.manager > 0) {
        for (uint32_t i = 0; i < pyd_board_settings(site.board, 0)->slot_count; i++)
            if (pid_of(i) > 1)
                kill(pid_of(i), SIGKILL);
        kill(site.manager, SIGKILL);
        waitpid(site.manager, NULL, 0);
    }
    pyd_generation_close(site.board);
    pyd_board_unmap(site.board);
    pyd_fd_close(&site.log_fds[0]);
    pyd_fd_close(&site.log_fds[1]);
    if (site.env_file[0])
        unlink(site.env_file);
    free(site.log);
    site = (struct site){.log_fds = {-1, -1}};
    return 0;
}
