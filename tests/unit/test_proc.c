/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "pyd_cause.h"
#include "pyd_env.h"
#include "pyd_manager.h"
#include "pyd_proc.h"
#include "pyd_process.h"

/* Processes. */

static void test_start_time(void **state)
{
    (void)state;
    assert_int_equal(pyd_process_parse_stat("12 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20 21\n"), 777);
    assert_int_equal(pyd_process_parse_stat("12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20"), 777);
    assert_int_equal(pyd_process_parse_stat("12 (a) S 1 2"), 0);
    assert_int_equal(pyd_process_parse_stat(""), 0);
    assert_true(pyd_process_start_time(getpid()) > 0);
    assert_int_equal(pyd_process_start_time(0), 0);
    assert_int_equal(pyd_process_start_time(-1), 0);
    assert_int_equal(pyd_process_parse_stat("12 (a) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20 21\n"), 0);
    assert_int_equal(pyd_process_parse_stat("12 (a)"), 0);
    assert_int_equal(pyd_process_parse_stat("12 (a) "), 0);
}

static void test_has_ended(void **state)
{
    uint64_t own = pyd_process_start_time(getpid()), start;
    siginfo_t info;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        pause();
        _exit(0);
    }
    start = pyd_process_start_time(pid);
    assert_false(pyd_process_has_ended(getpid(), own));
    assert_true(pyd_process_has_ended(getpid(), own + 1));
    assert_false(pyd_process_has_ended(0, own));
    assert_false(pyd_process_has_ended(pid, start));
    kill(pid, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_true(pyd_process_has_ended(pid, start)); /* a zombie */
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(pyd_process_has_ended(pid, start));
}

static void test_is_worker(void **state)
{
    int own = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), other = open("/bin/sh", O_RDONLY | O_CLOEXEC);
    uint64_t start = pyd_process_start_time(getpid());
    pid_t self = getpid();

    (void)state;
    assert_true(pyd_proc_is_worker(self, start, -1, own));
    assert_true(pyd_proc_is_worker(self, start, (int64_t)geteuid(), own));
    assert_false(pyd_proc_is_worker(self, start + 1, -1, own));
    assert_false(pyd_proc_is_worker(self, 0, -1, own));
    assert_false(pyd_proc_is_worker(self, start, (int64_t)geteuid() + 1, own));
    assert_false(pyd_proc_is_worker(self, start, -1, other));
    assert_false(pyd_proc_is_worker(1, pyd_process_start_time(1), -1, own));
    assert_false(pyd_proc_is_worker(-1, start, -1, own));
    close(own);
    close(other);
}

static void test_watch_and_signal(void **state)
{
    pid_t pid = fork();
    struct pollfd polled = {.events = POLLIN};
    int status = 0;

    (void)state;
    if (pid == 0) {
        for (;;)
            pause();
    }
    polled.fd = pyd_proc_watch(pid);
    assert_true(polled.fd >= 0);
    assert_int_equal(poll(&polled, 1, 0), 0);
    pyd_proc_signal(pid, polled.fd, SIGKILL);
    assert_int_equal(poll(&polled, 1, 10000), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(pyd_proc_watch(pid), -1);
    close(polled.fd);
    pyd_proc_signal(0, -1, SIGKILL); /* 0, 1 and -1 mean "many" to kill(2) */
    pyd_proc_signal(-1, -1, SIGKILL);
}

/* A worker-to-be that stands still between fork and exec: what it complains about finds no room in the log pipe. */

static void fill(int fd)
{
    char bytes[4096] = "";

    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while (write(fd, bytes, sizeof bytes) > 0) {
    }
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
}

static int has_uid(pid_t pid, unsigned uid)
{
    char path[64], line[256];
    unsigned found = uid + 1;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "Uid: %u", &found) == 1)
            break;
    if (file)
        fclose(file);
    return found == uid;
}

/* Its manager is killed when it has that user. */
static void assert_dies_with_manager(struct pyd_proc_start *start, unsigned uid)
{
    struct pollfd polled = {.events = POLLIN};
    pid_t manager = fork(), worker = 0, pid;
    int ended;

    assert_true(manager >= 0);
    if (manager == 0) {
        if (pyd_proc_start(start, &pid) == 0)
            pause();
        _exit(1);
    }
    for (int turns = 0; turns < 10000 && !(worker > 0 && has_uid(worker, uid)); turns++) {
        poll(NULL, 0, 1);
        worker = atomic_load(&start->slot->pid);
    }
    assert_true(worker > 0 && has_uid(worker, uid));
    polled.fd = pyd_proc_watch(worker);
    assert_true(polled.fd >= 0);
    kill(manager, SIGKILL);
    assert_int_equal(waitpid(manager, NULL, 0), manager);
    ended = poll(&polled, 1, 10000);
    pyd_proc_signal(worker, polled.fd, SIGKILL);
    close(polled.fd);
    assert_int_equal(ended, 1);
}

static void test_dies_with_its_manager_before_exec(void **state)
{
    struct pyd_board_slot *slot =
        mmap(NULL, sizeof *slot, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), log_fds[2];
    struct pyd_spec spec;
    struct pyd_proc_start start = {.spec = &spec,
                                   .slot = slot,
                                   .worker_fd = null_fd,
                                   .rendezvous_fd = null_fd,
                                   .status_fd = null_fd,
                                   .control_fd = null_fd,
                                   .lifeline_fd = null_fd,
                                   .lock_fd = null_fd,
                                   .job_fd = -1}; /* its first complaint */

    (void)state;
    assert_true(slot != MAP_FAILED);
    assert_int_equal(pyd_spec_init(&spec, "blog"), 0);
    assert_int_equal(pipe(log_fds), 0);
    fill(log_fds[1]);
    start.log_fd = log_fds[1];
    assert_dies_with_manager(&start, geteuid());
    if (geteuid() == 0) {
        /* When it has become another user, too. */
        memset(slot, 0, sizeof *slot);
        start.job_fd = null_fd;
        spec.uid = spec.gid = 65534;
        assert_int_equal(pyd_spec_assign(&spec.home_dir, "/nowhere/at/all"), 0);
        assert_dies_with_manager(&start, 65534);
    }
    pyd_spec_done(&spec);
    close(log_fds[0]);
    close(log_fds[1]);
    close(null_fd);
    munmap(slot, sizeof *slot);
}

/* Causes. */

static int exited(int status)
{
    return status << 8;
}

static void assert_cause(struct pyd_end end, enum pyd_cause cause, uint32_t detail)
{
    uint32_t found = 4711;

    assert_int_equal(pyd_cause_decide(&end, &found), cause);
    assert_int_equal(found, detail);
}

static void test_causes(void **state)
{
    (void)state;
    assert_cause((struct pyd_end){.has_wait_status = 1, .was_ready = 1, .wait_status = SIGKILL}, PYD_CAUSE_SIGNAL, 9);
    assert_cause((struct pyd_end){.has_wait_status = 1, .was_ready = 1, .wait_status = SIGSEGV | 0x80},
                 PYD_CAUSE_SIGNAL, SIGSEGV);
    assert_cause((struct pyd_end){.has_wait_status = 1, .oom = 1, .wait_status = SIGKILL}, PYD_CAUSE_OOM, 0);
    assert_cause((struct pyd_end){.has_wait_status = 1, .was_ready = 1, .wait_status = exited(0)}, PYD_CAUSE_EXIT, 0);
    assert_cause((struct pyd_end){.has_wait_status = 1, .was_ready = 1, .wait_status = exited(66)}, PYD_CAUSE_EXIT, 66);
    assert_cause((struct pyd_end){.has_wait_status = 1, .wait_status = exited(66)}, PYD_CAUSE_IMPORT, 66);
    assert_cause((struct pyd_end){.has_wait_status = 1, .wait_status = exited(70)}, PYD_CAUSE_STARTUP, 70);
    assert_cause((struct pyd_end){.has_wait_status = 1, .told = 1, .wait_status = exited(0)}, PYD_CAUSE_SHUTDOWN, 0);
    assert_cause((struct pyd_end){.has_wait_status = 1, .told = 1, .retired = 1, .wait_status = exited(0)},
                 PYD_CAUSE_RETIRED, 0);
    assert_cause((struct pyd_end){.has_wait_status = 1, .left = 1, .was_ready = 1, .wait_status = exited(0)},
                 PYD_CAUSE_SHUTDOWN, 0);
    assert_cause((struct pyd_end){.has_wait_status = 1, .left = 1, .was_ready = 1, .wait_status = exited(3)},
                 PYD_CAUSE_EXIT, 3);
    assert_cause((struct pyd_end){.has_wait_status = 1, .told = 1, .wait_status = SIGTERM}, PYD_CAUSE_SHUTDOWN, 0);
    assert_cause((struct pyd_end){.has_wait_status = 1, .told = 1, .wait_status = SIGSEGV}, PYD_CAUSE_SIGNAL, SIGSEGV);
    assert_cause((struct pyd_end){.has_wait_status = 1, .told = 1, .wait_status = exited(3)}, PYD_CAUSE_EXIT, 3);
    assert_cause((struct pyd_end){.has_wait_status = 1, .was_ready = 1, .wait_status = SIGTERM}, PYD_CAUSE_SIGNAL, 15);
    assert_cause((struct pyd_end){.has_wait_status = 1,
                                  .wait_status = SIGKILL,
                                  .killed_for = PYD_CAUSE_STARTUP_TIMEOUT},
                 PYD_CAUSE_STARTUP_TIMEOUT, 0);
    /* It ended by itself just before the signal reached it. */
    assert_cause((struct pyd_end){.has_wait_status = 1,
                                  .told = 1,
                                  .wait_status = exited(0),
                                  .killed_for = PYD_CAUSE_SHUTDOWN_TIMEOUT},
                 PYD_CAUSE_SHUTDOWN, 0);
    assert_cause((struct pyd_end){0}, PYD_CAUSE_UNKNOWN, 0);
    assert_cause((struct pyd_end){.told = 1, .retired = 1}, PYD_CAUSE_RETIRED, 0);
}

static void test_words(void **state)
{
    char words[160];

    (void)state;
    pyd_cause_words(PYD_CAUSE_SIGNAL, 9, words, sizeof words);
    assert_string_equal(words, "killed by signal 9 (Killed)");
    pyd_cause_words(PYD_CAUSE_EXIT, 3, words, sizeof words);
    assert_string_equal(words, "exited with status 3 without having been told to");
    pyd_cause_words(PYD_CAUSE_STARTUP, PYD_EXIT_PYTHON, words, sizeof words);
    assert_non_null(strstr(words, "Python"));
    pyd_cause_words(PYD_CAUSE_STARTUP, 1, words, sizeof words);
    assert_string_equal(words, "exited with status 1 while starting");
    for (int cause = -1; cause < 20; cause++) {
        words[0] = '\0';
        pyd_cause_words((enum pyd_cause)cause, UINT32_MAX, words, sizeof words);
        assert_true(words[0] != '\0');
    }
}

static void test_oom_texts(void **state)
{
    uint64_t value = 0;
    char path[8];

    (void)state;
    assert_int_equal(pyd_oom_parse("low 0\noom 3\noom_kill 12\noom_group_kill 0\n", "oom_kill", &value), 0);
    assert_int_equal(value, 12);
    assert_int_equal(pyd_oom_parse("oom_kill 5", "oom_kill", &value), 0);
    assert_int_equal(value, 5);
    assert_int_equal(pyd_oom_parse("oom_killer 5\nxoom_kill 6\n", "oom_kill", &value), ENOENT);
    assert_int_equal(pyd_oom_parse("", "oom_kill", &value), ENOENT);
    assert_int_equal(pyd_oom_parse_cgroup("4:memory:/x\n0::/a/b\n", path, sizeof path), 0);
    assert_string_equal(path, "/a/b");
    assert_int_equal(pyd_oom_parse_cgroup("4:memory:/x\n", path, sizeof path), ENOENT);
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void test_oom_counter(void **state)
{
    struct pyd_oom oom = {.path = "/tmp/pyd-test-XXXXXX"};
    int fd = mkstemp(oom.path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    write_file(oom.path, "oom_kill 7\n");
    oom.older = oom.newer = 7;
    assert_false(pyd_oom_happened(&oom));
    write_file(oom.path, "oom_kill 9\n");
    assert_true(pyd_oom_happened(&oom));
    assert_true(pyd_oom_happened(&oom));
    assert_false(pyd_oom_happened(&oom));
    /* A kill that nothing of ours died of is forgotten after two samples. */
    write_file(oom.path, "oom_kill 10\n");
    pyd_oom_tick(&oom, 10000000);
    pyd_oom_tick(&oom, 10000001);
    assert_int_equal(oom.older, 9);
    pyd_oom_tick(&oom, 20000001);
    assert_false(pyd_oom_happened(&oom));
    unlink(oom.path);
}

static void test_oom_of_this_machine(void **state)
{
    struct pyd_oom oom;

    (void)state;
    pyd_oom_init(&oom, 0);
    assert_int_equal(access(oom.path, R_OK), 0);
    assert_false(pyd_oom_happened(&oom));
}

/* Environment. */

static const char *value_of(char *const *env, const char *name)
{
    const char *value = NULL;
    size_t size = strlen(name);

    for (; *env; env++) {
        if (strncmp(*env, name, size) == 0 && (*env)[size] == '=') {
            assert_null(value); /* each name once */
            value = *env + size + 1;
        }
    }
    return value;
}

static size_t count_env(char *const *env)
{
    size_t count = 0;

    while (env[count])
        count++;
    return count;
}

static void test_env_whitelist(void **state)
{
    char path[] = "PATH=/p", secret[] = "SECRET=s", zone[] = "TZ=Europe/Berlin", lang[] = "LANG=C", paths[] = "PATHS=x",
         preload[] = "LD_PRELOAD=y";
    char *parent[] = {path, secret, zone, lang, paths, preload, NULL};
    struct pyd_spec spec;
    char **env = NULL, error[100];

    (void)state;
    assert_int_equal(pyd_spec_init(&spec, "blog"), 0);
    assert_int_equal(pyd_spec_assign(&spec.home_dir, "/srv/blog"), 0);
    assert_int_equal(pyd_spec_assign(&spec.user_name, "blog"), 0);
    assert_int_equal(pyd_env_create(&spec, parent, NULL, error, sizeof error, &env), 0);
    assert_string_equal(value_of(env, "PATH"), "/p");
    assert_string_equal(value_of(env, "TZ"), "Europe/Berlin");
    assert_string_equal(value_of(env, "LANG"), "C.UTF-8");
    assert_string_equal(value_of(env, "LC_ALL"), "C.UTF-8");
    assert_string_equal(value_of(env, "HOME"), "/srv/blog");
    assert_string_equal(value_of(env, "USER"), "blog");
    assert_string_equal(value_of(env, "LOGNAME"), "blog");
    assert_int_equal(count_env(env), 7);
    pyd_env_destroy(env);
    pyd_spec_done(&spec);
}

static void test_env_of_nothing(void **state)
{
    char *parent[] = {NULL};
    struct pyd_spec spec;
    char **env = NULL, error[100];

    (void)state;
    assert_int_equal(pyd_spec_init(&spec, "blog"), 0);
    assert_int_equal(pyd_spec_assign(&spec.lang, NULL), 0);
    assert_int_equal(pyd_spec_assign(&spec.locale, NULL), 0);
    assert_int_equal(pyd_env_create(&spec, parent, NULL, error, sizeof error, &env), 0);
    assert_string_equal(value_of(env, "HOME"), "/");
    assert_string_equal(value_of(env, "LANG"), "C.UTF-8");
    assert_non_null(value_of(env, "PATH"));
    assert_int_equal(count_env(env), 3);
    pyd_env_destroy(env);
    pyd_spec_done(&spec);
}

static void test_env_options_and_file(void **state)
{
    static const char text[] = "# comment\n\n  A=file\nB=\"two words\"\r\nexport C='c'\nD=\nE=\"half\nHOME=/f";
    char *parent[] = {NULL};
    struct pyd_spec spec;
    char **env = NULL, error[100];

    (void)state;
    assert_int_equal(pyd_spec_init(&spec, "blog"), 0);
    assert_int_equal(pyd_spec_set(&spec, "env=A=option", error, sizeof error), 0);
    assert_int_equal(pyd_spec_set(&spec, "env=X=a=b", error, sizeof error), 0);
    assert_int_equal(pyd_env_create(&spec, parent, text, error, sizeof error, &env), 0);
    assert_string_equal(value_of(env, "A"), "option");
    assert_string_equal(value_of(env, "B"), "two words");
    assert_string_equal(value_of(env, "C"), "c");
    assert_string_equal(value_of(env, "D"), "");
    assert_string_equal(value_of(env, "E"), "\"half");
    assert_string_equal(value_of(env, "X"), "a=b");
    assert_string_equal(value_of(env, "HOME"), "/f");
    pyd_env_destroy(env);
    env = NULL;
    assert_int_equal(pyd_env_create(&spec, parent, "A=1\nnonsense\n", error, sizeof error, &env), EINVAL);
    assert_non_null(strstr(error, "line 2"));
    assert_int_equal(pyd_env_create(&spec, parent, "1A=1\n", error, sizeof error, &env), EINVAL);
    assert_int_equal(pyd_env_create(&spec, parent, "=1\n", error, sizeof error, &env), EINVAL);
    assert_null(env);
    pyd_spec_done(&spec);
}

static void test_env_file_reading(void **state)
{
    char path[] = "/tmp/pyd-test-XXXXXX", *text = NULL;
    struct pyd_spec spec;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    write_file(path, "A=1\n");
    assert_int_equal(pyd_spec_init(&spec, "blog"), 0);
    assert_int_equal(pyd_env_read_file(&spec, &text), 0);
    assert_null(text);
    assert_int_equal(pyd_spec_assign(&spec.env_file, path), 0);
    assert_int_equal(pyd_env_read_file(&spec, &text), 0);
    assert_string_equal(text, "A=1\n");
    free(text);
    assert_int_equal(pyd_spec_assign(&spec.server_root, "/tmp"), 0);
    assert_int_equal(pyd_spec_assign(&spec.env_file, strrchr(path, '/') + 1), 0);
    assert_int_equal(pyd_env_read_file(&spec, &text), 0);
    assert_string_equal(text, "A=1\n");
    free(text);
    unlink(path);
    assert_int_equal(pyd_env_read_file(&spec, &text), ENOENT);
    assert_int_equal(pyd_spec_assign(&spec.env_file, "/dev/zero"), 0);
    assert_int_equal(pyd_env_read_file(&spec, &text), EINVAL);
    assert_null(text);
    pyd_spec_done(&spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_time), cmocka_unit_test(test_has_ended),
        cmocka_unit_test(test_is_worker),
        cmocka_unit_test(test_watch_and_signal),
        cmocka_unit_test(test_dies_with_its_manager_before_exec),
        cmocka_unit_test(test_causes),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_oom_texts),
        cmocka_unit_test(test_oom_counter),
        cmocka_unit_test(test_oom_of_this_machine),
        cmocka_unit_test(test_env_whitelist),
        cmocka_unit_test(test_env_of_nothing),
        cmocka_unit_test(test_env_options_and_file),
        cmocka_unit_test(test_env_file_reading),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
