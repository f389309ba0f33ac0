/* SPDX-License-Identifier: Apache-2.0 */
/* Signs of life and dumps of a worker, as the manager sees them. The stacks themselves are in test_stacks.c. */
#include <dirent.h>
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
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_app.h"
#include "fake_httpd.h"
#include "pyd_clock.h"
#include "pyd_fd.h"
#include "pyd_manager.h"

#define DEADLINE_US 60000000

static struct fake_worker worker;

static int clean(void **state)
{
    (void)state;
    fake_worker_clean(&worker);
    return 0;
}

/* ---- Help ---- */

static int send_act(const char *act, uint32_t claim)
{
    int fd = fake_connect(&worker);

    fake_send_request(&worker, fd,
                      &(struct fake_request){.act = act, .claim = claim, .target = "/srv/app.py"});
    return fd;
}

/* It says when it is where it shall be. */
static int start_act(const char *act, uint32_t claim, char event)
{
    int fd = send_act(act, claim);

    fake_wait_event(event);
    return fd;
}

static void expect_answer(int fd, const char *body)
{
    struct fake_response response;

    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, PYD_FRAME_END);
    assert_int_equal(response.body.size, strlen(body));
    assert_memory_equal(response.body.data, body, strlen(body));
    fake_response_done(&response);
    close(fd);
}

/* What has no event of its own is looked at now and then. */
static void look_again(int64_t until_us)
{
    poll(NULL, 0, 5);
    if (pyd_clock_us() > until_us)
        fail_msg("waited in vain");
}

static void wait_dumps(uint32_t count)
{
    int64_t until_us = pyd_clock_us() + DEADLINE_US;

    while (atomic_load(&worker.status->dumps) < count)
        look_again(until_us);
    assert_int_equal(atomic_load(&worker.status->dumps), count);
}

static int64_t tid_of(uint32_t claim)
{
    return atomic_load(&worker.status->request[claim].tid);
}

static void has(const struct fake_dump *dump, const char *part)
{
    if (!strstr(dump->text, part))
        fail_msg("'%s' is not in:\n%s", part, dump->text);
}

static void has_not(const struct fake_dump *dump, const char *part)
{
    if (strstr(dump->text, part))
        fail_msg("'%s' is in:\n%s", part, dump->text);
}

static void has_thread(const struct fake_dump *dump, int64_t tid, int is_there)
{
    char line[32];

    snprintf(line, sizeof(line), "T\t%d\t", (int)tid);
    (is_there ? has : has_not)(dump, line);
}

/* Ask, wait, compare. What a busy machine makes of threads that have a second to answer is tried again. */
static void expect_dump(enum pyd_dump_tier tier, pid_t tid, int no_signals, const char *part)
{
    static uint32_t number = 100;
    struct fake_dump dump;
    int64_t until_us = pyd_clock_us() + DEADLINE_US;

    do {
        fake_worker_ask_dump(&worker, ++number, tid, no_signals);
        fake_worker_wait_dump(&worker, &dump);
        assert_int_equal(dump.head.epoch, FAKE_EPOCH);
        assert_int_equal(dump.head.dump, number);
        assert_int_equal(dump.head.tier, tier);
        assert_int_equal(dump.head.bytes, strlen(dump.text));
        if (strstr(dump.text, part))
            break;
        if (!strstr(dump.text, "it does not answer") || pyd_clock_us() > until_us)
            has(&dump, part);
        fake_dump_done(&dump);
    } while (1);
    fake_dump_done(&dump);
}

/* ---- Signs of life ---- */

static void test_heartbeat(void **state)
{
    int64_t until_us, before_us;

    (void)state;
    fake_worker_run(&worker, 1);
    before_us = 0;
    for (int i = 0; i < 3; i++) {
        until_us = pyd_clock_us() + DEADLINE_US;
        while (atomic_load(&worker.status->alive_us) == before_us)
            look_again(until_us);
        assert_true(atomic_load(&worker.status->alive_us) > before_us);
        before_us = atomic_load(&worker.status->alive_us);
        assert_in_range(before_us, 1, pyd_clock_us());
    }
    fake_worker_finish(&worker);
}

static void test_lock_is_watched(void **state)
{
    int64_t until_us = pyd_clock_us() + DEADLINE_US, asked_us;
    int fd;

    (void)state;
    fake_worker_run(&worker, 1);
    fd = start_act("deadlock", 0, 'l');
    while (!(asked_us = atomic_load(&worker.status->gil_asked_us)))
        look_again(until_us);
    assert_true(asked_us <= pyd_clock_us());
    /* It goes on to wait for it: the keeper has looked around since. */
    while (atomic_load(&worker.status->alive_us) < asked_us + 1000000)
        look_again(until_us);
    assert_int_equal(atomic_load(&worker.status->gil_asked_us), asked_us);
    fake_open_gate(1);
    expect_answer(fd, "unlocked");
    while (atomic_load(&worker.status->gil_asked_us))
        look_again(until_us);
    fake_worker_finish(&worker);
}

/* ---- With the lock ---- */

static void test_healthy(void **state)
{
    struct fake_dump dump;

    (void)state;
    fake_worker_run(&worker, 2);
    fake_worker_ask_dump(&worker, 7, 0, 0);
    fake_worker_wait_dump(&worker, &dump);
    assert_int_equal(dump.head.epoch, FAKE_EPOCH);
    assert_int_equal(dump.head.dump, 7);
    assert_int_equal(dump.head.tier, PYD_DUMP_GIL);
    assert_int_equal(dump.head.bytes, strlen(dump.text));
    has(&dump, "F\tfake_app.py\t7\tlocked_frame\tpass\n");
    /* Threads that the language does not know of. */
    has(&dump, "\tpydaemon-1\n");
    has(&dump, "\tpydaemon-2\n");
    has_not(&dump, "pydaemon-keeper");
    has_not(&dump, "pydaemon-watch");
    has_not(&dump, "fake_frame"); /* nobody was interrupted */
    fake_dump_done(&dump);
    assert_int_equal(atomic_load(&worker.status->dumps), 1);
    fake_worker_finish(&worker);
}

static void test_one_thread(void **state)
{
    struct fake_dump dump;
    int fd;

    (void)state;
    fake_worker_run(&worker, 2);
    fd = start_act("spin", 1, 's');
    fake_worker_ask_dump(&worker, 8, (pid_t)tid_of(1), 0);
    fake_worker_wait_dump(&worker, &dump);
    assert_int_equal(dump.head.tier, PYD_DUMP_GIL);
    has_thread(&dump, tid_of(1), 1);
    has_not(&dump, "pydaemon-");
    fake_dump_done(&dump);
    atomic_store(&fake_app_shared->release, 1);
    expect_answer(fd, "spun");
    fake_worker_finish(&worker);
}

static void test_signal(void **state)
{
    struct fake_dump dump;

    (void)state;
    fake_worker_run(&worker, 1);
    for (int i = 0; i < 3; i++) {
        kill(worker.pid, SIGUSR2);
        fake_worker_wait_dump(&worker, &dump);
        assert_int_equal(dump.head.dump, 0);
        assert_int_equal(dump.head.tier, PYD_DUMP_GIL);
        has(&dump, "locked_frame");
        fake_dump_done(&dump);
    }
    assert_int_equal(atomic_load(&worker.status->dumps), 3);
    fake_worker_finish(&worker);
}

static void test_app_takes_the_signal(void **state)
{
    struct fake_setup setup = {.threads = 1};

    (void)state;
    atomic_store(&fake_app_shared->catch_term, 1);
    fake_worker_start(&worker, &setup);
    fake_worker_wait_state(&worker, PYD_WORKER_READY);
    kill(worker.pid, SIGUSR2);
    wait_dumps(1);
    fake_worker_finish(&worker);
}

static void test_manager_gone(void **state)
{
    (void)state;
    fake_worker_run(&worker, 1);
    pyd_fd_close(&worker.control);
    kill(worker.pid, SIGUSR2); /* its successor */
    wait_dumps(1);
    kill(worker.pid, SIGTERM);
    assert_int_equal(fake_worker_wait_exit(&worker), 0);
}

/* ---- Without it ---- */

static void test_deadlock(void **state)
{
    int locked, waiting;

    (void)state;
    if (FAKE_THREAD_SANITIZER)
        skip(); /* it delivers signals when it likes */
    fake_worker_run(&worker, 3);
    waiting = start_act("spin", 1, 's');
    locked = start_act("deadlock", 0, 'l');
    expect_dump(PYD_DUMP_NO_GIL, 0, 0, "\tfake_app_spin\t");
    expect_dump(PYD_DUMP_NO_GIL, 0, 0, "F\tfake_app.py\t12\tfake_frame\t\n");
    expect_dump(PYD_DUMP_NO_GIL, (pid_t)tid_of(0), 0, "F\tfake_app.py\t12\tfake_frame\t\n");
    expect_dump(PYD_DUMP_NO_GIL, 0, 0, "\tpydaemon-3\n");
    assert_int_equal(atomic_load(&fake_app_shared->dumped), 0);
    atomic_store(&fake_app_shared->release, 1);
    expect_answer(waiting, "spun");
    fake_open_gate(1); /* nothing that was interrupted has taken harm */
    expect_answer(locked, "unlocked");
    expect_dump(PYD_DUMP_GIL, 0, 0, "locked_frame");
    fake_worker_finish(&worker);
}

/* A request that burns CPU time with the lock held. */
static void test_spinning_with_the_lock(void **state)
{
    int fd;

    (void)state;
    if (FAKE_THREAD_SANITIZER)
        skip(); /* it delivers signals when it likes */
    fake_worker_run(&worker, 1);
    fd = start_act("spin 1", 0, 's');
    expect_dump(PYD_DUMP_NO_GIL, 0, 0, "\tfake_app_spin\t");
    atomic_store(&fake_app_shared->release, 1);
    expect_answer(fd, "spun");
    fake_worker_finish(&worker);
}

/* For information only, by message or by SIGUSR2: nobody is interrupted, unless the lock has been missing for long. */
static void expect_calm(int by_signal)
{
    int64_t until_us = pyd_clock_us() + DEADLINE_US, asked_us;
    struct fake_dump dump;
    int fd, interrupted;

    fake_worker_run(&worker, 2);
    fd = start_act("deadlock", 0, 'l');
    do {
        if (by_signal)
            kill(worker.pid, SIGUSR2);
        else
            fake_worker_ask_dump(&worker, 9, (pid_t)tid_of(0), 1);
        fake_worker_wait_dump(&worker, &dump);
        asked_us = atomic_load(&worker.status->gil_asked_us);
        assert_int_equal(dump.head.tier, PYD_DUMP_NO_GIL);
        has_thread(&dump, tid_of(0), 1);
        interrupted = strstr(dump.text, "\tfake_frame\t") != NULL;
        if (interrupted)
            assert_true(pyd_clock_us() - asked_us >= 2000000);
        else if (!strstr(dump.text, "it does not answer"))
            has(&dump, "X\tno thread was interrupted");
        fake_dump_done(&dump);
    } while (!interrupted && pyd_clock_us() < until_us);
    assert_true(interrupted);
    fake_open_gate(1);
    expect_answer(fd, "unlocked");
    fake_worker_finish(&worker);
}

static void test_no_signals(void **state)
{
    (void)state;
    if (FAKE_THREAD_SANITIZER)
        skip(); /* it delivers signals when it likes */
    expect_calm(0);
}

static void test_signal_without_lock(void **state)
{
    (void)state;
    if (FAKE_THREAD_SANITIZER)
        skip(); /* it delivers signals when it likes */
    expect_calm(1);
}

static void test_blocked_signals(void **state)
{
    int locked, blocked;

    (void)state;
    fake_worker_run(&worker, 2);
    blocked = start_act("block", 1, 'b');
    locked = start_act("deadlock", 0, 'l');
    expect_dump(PYD_DUMP_NO_GIL, (pid_t)tid_of(1), 0, "X\tit blocks signals\n");
    fake_open_gate(2);
    expect_answer(locked, "unlocked");
    expect_answer(blocked, "unblocked");
    fake_worker_finish(&worker);
}

/* It has the lock, but does not get any further. */
static void test_dump_hangs(void **state)
{
    struct fake_dump dump;

    (void)state;
    fake_worker_run(&worker, 1);
    atomic_store(&fake_app_shared->dump_hangs, 1);
    fake_worker_ask_dump(&worker, 20, 0, 0);
    fake_wait_event('h');
    fake_worker_wait_dump(&worker, &dump);
    assert_int_equal(dump.head.dump, 20);
    assert_int_equal(dump.head.tier, PYD_DUMP_NO_GIL);
    has(&dump, "\tpydaemon-1\n");
    fake_dump_done(&dump);
    fake_open_gate(1);
    /* What it has to say now is dropped. */
    expect_dump(PYD_DUMP_GIL, 0, 0, "locked_frame");
    assert_int_equal(atomic_load(&fake_app_shared->dumped), 2);
    assert_int_equal(atomic_load(&worker.status->dumps), 2);
    fake_worker_finish(&worker);
}

/* There is no lock, and nobody who could ask for it yet. */
static void test_during_start(void **state)
{
    struct fake_setup setup = {.threads = 1};

    (void)state;
    if (FAKE_THREAD_SANITIZER)
        skip(); /* it delivers signals when it likes */
    atomic_store(&fake_app_shared->start_hangs, 1);
    fake_worker_start(&worker, &setup);
    fake_worker_wait_state(&worker, PYD_WORKER_IMPORTING);
    fake_wait_event('i');
    expect_dump(PYD_DUMP_NO_GIL, worker.pid, 0, "F\tfake_app.py\t12\tfake_frame\t\n");
    expect_dump(PYD_DUMP_NO_GIL, worker.pid, 0, "X\tthe runtime is still starting");
    expect_dump(PYD_DUMP_NO_GIL, worker.pid, 1, "T\t");
    kill(worker.pid, SIGUSR2);
    wait_dumps(4);
    fake_open_gate(1);
    fake_worker_wait_state(&worker, PYD_WORKER_READY);
    expect_dump(PYD_DUMP_GIL, 0, 0, "locked_frame");
    fake_worker_finish(&worker);
}

/* @param how 1: without the lock; 2: with it */
static void start_import(int how)
{
    struct fake_setup setup = {.threads = 1};

    atomic_store(&fake_app_shared->load_hangs, how);
    fake_worker_start(&worker, &setup);
    fake_worker_wait_state(&worker, PYD_WORKER_IMPORTING);
    fake_wait_event('i');
}

static void test_during_import(void **state)
{
    (void)state;
    start_import(1);
    expect_dump(PYD_DUMP_GIL, 0, 0, "locked_frame");
    fake_open_gate(1);
    fake_worker_wait_state(&worker, PYD_WORKER_READY);
    fake_worker_finish(&worker);
}

static void test_during_import_with_the_lock(void **state)
{
    (void)state;
    if (FAKE_THREAD_SANITIZER)
        skip(); /* it delivers signals when it likes */
    start_import(2);
    expect_dump(PYD_DUMP_NO_GIL, worker.pid, 0, "F\tfake_app.py\t12\tfake_frame\t\n");
    fake_open_gate(1);
    fake_worker_wait_state(&worker, PYD_WORKER_READY);
    expect_dump(PYD_DUMP_GIL, 0, 0, "locked_frame");
    fake_worker_finish(&worker);
}

/* ---- Stopping ---- */

static void test_exit_handlers_hang(void **state)
{
    struct fake_setup setup = {.threads = 2, .spec_text = "shutdown-timeout=1s\n"};
    int64_t since_us;
    uint32_t dumps;
    int fd;

    (void)state;
    fake_worker_start(&worker, &setup);
    fake_worker_wait_state(&worker, PYD_WORKER_READY);
    atomic_store(&fake_app_shared->stop_hangs, 1);
    fd = start_act("spin", 0, 's');
    since_us = pyd_clock_us();
    fake_worker_stop(&worker);
    fake_wait_event('s'); /* no request thread is idle any more, main runs exit handlers */
    expect_dump(PYD_DUMP_GIL, 0, 0, "locked_frame");
    dumps = atomic_load(&worker.status->dumps);
    fake_worker_ask_dump(&worker, 30, 0, 0); /* as the manager does when it is going to kill it */
    wait_dumps(dumps + 1);
    /* It leaves the end to the manager, for a time. */
    assert_int_equal(fake_worker_wait_exit(&worker), 0);
    assert_true(pyd_clock_us() - since_us >= 5000000);
    close(fd);
}

static void test_alone_and_exit_handlers_hang(void **state)
{
    struct fake_setup setup = {.threads = 1, .spec_text = "shutdown-timeout=1s\n"};
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    int64_t since_us;

    (void)state;
    fake_worker_start(&worker, &setup);
    fake_worker_wait_state(&worker, PYD_WORKER_READY);
    atomic_store(&fake_app_shared->stop_hangs, 1);
    pyd_fd_close(&worker.control);
    fcntl(worker.lock, F_SETLK, &lock);
    since_us = pyd_clock_us();
    kill(worker.pid, SIGTERM);
    assert_int_equal(fake_worker_wait_exit(&worker), 0);
    assert_true(pyd_clock_us() - since_us < 4500000);
}

/* The manager is gone, but not httpd: it will have a successor. */
static void test_adopted_and_exit_handlers_hang(void **state)
{
    struct fake_setup setup = {.threads = 1, .spec_text = "shutdown-timeout=1s\n"};
    int64_t since_us;

    (void)state;
    fake_worker_start(&worker, &setup);
    fake_worker_wait_state(&worker, PYD_WORKER_READY);
    atomic_store(&fake_app_shared->stop_hangs, 1);
    pyd_fd_close(&worker.control);
    since_us = pyd_clock_us();
    kill(worker.pid, SIGTERM);
    assert_int_equal(fake_worker_wait_exit(&worker), 0);
    assert_true(pyd_clock_us() - since_us >= 5000000);
}

/* ---- Requests for dumps ---- */

static void test_two_at_once(void **state)
{
    struct fake_dump dump;
    uint32_t first;
    int fd;

    (void)state;
    fake_worker_run(&worker, 1);
    fd = start_act("deadlock", 0, 'l');
    fake_worker_ask_dump(&worker, 41, 0, 0);
    fake_worker_ask_dump(&worker, 42, 0, 0);
    fake_worker_wait_dump(&worker, &dump);
    first = dump.head.dump;
    fake_dump_done(&dump);
    assert_true(first == 41 || first == 42); /* the second one may have been written by now */
    fake_worker_wait_dump(&worker, &dump);
    assert_int_equal(dump.head.dump, 42);
    fake_dump_done(&dump);
    assert_int_equal(atomic_load(&worker.status->dumps), 2);
    fake_open_gate(1);
    expect_answer(fd, "unlocked");
    fake_worker_finish(&worker);
}

/* One may be on its way, the others are one. */
static void test_many_signals(void **state)
{
    struct fake_dump dump;
    int fd, dumps;

    (void)state;
    fake_worker_run(&worker, 1);
    fd = start_act("deadlock", 0, 'l');
    for (int i = 0; i < 1000; i++)
        kill(worker.pid, SIGUSR2);
    fake_worker_wait_dump(&worker, &dump);
    free(dump.text);
    fake_open_gate(1);
    expect_answer(fd, "unlocked");
    fake_worker_ask_dump(&worker, 43, 0, 0);
    for (dumps = 1; dump.head.dump != 43; dumps++) {
        fake_worker_wait_dump(&worker, &dump);
        free(dump.text);
    }
    assert_in_range(dumps, 2, 4);
    fake_worker_finish(&worker);
}

static void test_malformed_requests(void **state)
{
    char message[64] = {PYD_CONTROL_DUMP};

    (void)state;
    fake_worker_run(&worker, 1);
    assert_int_equal(send(worker.control, message, 1, 0), 1);
    assert_int_equal(send(worker.control, message, sizeof(struct pyd_control_dump) - 1, 0),
                     (ssize_t)sizeof(struct pyd_control_dump) - 1);
    assert_int_equal(send(worker.control, message, sizeof(message), 0), (ssize_t)sizeof(message));
    fake_worker_ask_dump(&worker, 50, -1, 0);
    expect_dump(PYD_DUMP_GIL, 0, 0, "locked_frame");
    assert_int_equal(atomic_load(&worker.status->dumps), 1);
    fake_worker_finish(&worker);
}

/* ---- What the application does ---- */

static void test_forked_process(void **state)
{
    (void)state;
    if (FAKE_THREAD_SANITIZER)
        skip(); /* it does not deliver signals to processes forked by a thread */
    fake_worker_run(&worker, 1);
    expect_answer(send_act("fork-dump", 0), "child ended by it");
    expect_dump(PYD_DUMP_GIL, 0, 0, "locked_frame");
    assert_int_equal(atomic_load(&worker.status->dumps), 1);
    fake_worker_finish(&worker);
}

/* It may write no files, and has undone what spares it the signal that says so: no dump, and no harm. */
static void test_file_size_limit(void **state)
{
    int fd;

    (void)state;
    fake_worker_run(&worker, 2);
    expect_answer(send_act("file-size", 0), "limited");
    fake_worker_ask_dump(&worker, 70, 0, 0);
    fake_worker_wait_log(&worker, "the stacks of its threads: File too large");
    assert_int_equal(atomic_load(&worker.status->dumps), 0);
    if (!FAKE_THREAD_SANITIZER) { /* it delivers signals when it likes */
        fd = start_act("deadlock", 0, 'l');
        worker.log_text.size = 0;
        fake_worker_ask_dump(&worker, 71, 0, 0);
        fake_worker_wait_log(&worker, "the stacks of its threads: File too large");
        fake_open_gate(1);
        expect_answer(fd, "unlocked");
    }
    expect_answer(send_act("hello", 1), "hello");
    fake_worker_finish(&worker);
}

/* It puts a file of its own in the place of the status file: that one is not written to. */
static void test_closed_descriptor(void **state)
{
    char act[16];

    (void)state;
    fake_worker_run(&worker, 1);
    snprintf(act, sizeof(act), "close %d", PYD_WORKER_FD_STATUS);
    expect_answer(send_act(act, 0), "closed");
    fake_worker_ask_dump(&worker, 60, 0, 0);
    fake_worker_wait_log(&worker, "PYD0816: Worker 4 of 'blog' cannot hand over the stacks of its threads");
    assert_int_equal(atomic_load(&worker.status->dumps), 0);
    fake_worker_finish(&worker);
}

static void expect_crash_place(int is_unprivileged)
{
    struct fake_setup setup = {
        .threads = 1, .is_unprivileged = is_unprivileged, .left = "a long story of another crash\n"};
    int64_t area = pyd_area_offset(FAKE_SLOTS, 1, FAKE_SLOT);
    char *text = NULL;

    fake_worker_start(&worker, &setup);
    fake_worker_wait_state(&worker, PYD_WORKER_READY);
    assert_true(atomic_load(&fake_app_shared->crash_fd) > 0);
    assert_int_equal(pyd_area_read_crash(worker.status_fd, area, FAKE_EPOCH, &text), ENOENT);
    send_act("crash", 0);
    assert_true(WIFSIGNALED(fake_worker_wait_exit(&worker)));
    assert_int_equal(pyd_area_read_crash(worker.status_fd, area, FAKE_EPOCH, &text), 0);
    assert_string_equal(text, "crashed\n");
    free(text);
    /* The offset is its own. */
    assert_int_equal(lseek(worker.status_fd, 0, SEEK_CUR), 0);
}

static void test_crash(void **state)
{
    (void)state;
    expect_crash_place(0);
}

/* As workers run: not root, and not dumpable, so that root owns what is in /proc/self. */
static void test_crash_unprivileged(void **state)
{
    (void)state;
    if (getuid() != 0)
        skip();
    expect_crash_place(1);
    fake_worker_clean(&worker);
    fake_worker_start(&worker, &(struct fake_setup){.threads = 1, .is_unprivileged = 1});
    fake_worker_wait_state(&worker, PYD_WORKER_READY);
    expect_dump(PYD_DUMP_GIL, 0, 0, "\tpydaemon-1\n");
    if (FAKE_THREAD_SANITIZER)
        return; /* it delivers signals when it likes */
    send_act("deadlock", 0);
    fake_wait_event('l');
    expect_dump(PYD_DUMP_NO_GIL, 0, 0, "\tfake_frame\t");
    expect_dump(PYD_DUMP_NO_GIL, 0, 0, "\tread\t"); /* where it waits: names need /proc/self/maps */
}

static void test_alternate_stack(void **state)
{
    (void)state;
    fake_worker_run(&worker, 1);
    assert_int_equal(atomic_load(&fake_app_shared->alternate), 1);
    fake_worker_finish(&worker);
}

/* ---- Nothing grows ---- */

static size_t count_descriptors(void)
{
    char path[64];
    DIR *folder;
    size_t count = 0;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)worker.pid);
    folder = opendir(path);
    if (!folder)
        return 0; /* it is not dumpable, and this is not root */
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void dump_often(int count)
{
    struct fake_dump dump;

    for (int i = 0; i < count; i++) {
        fake_worker_ask_dump(&worker, (uint32_t)(1000 + i), 0, 0);
        fake_worker_wait_dump(&worker, &dump);
        assert_int_equal(dump.head.dump, 1000 + i);
        fake_dump_done(&dump);
    }
}

static void expect_flat(void)
{
    size_t descriptors;
    long kib;

    dump_often(100);
    descriptors = count_descriptors();
    kib = fake_worker_peak_kib(&worker);
    dump_often(1000);
    assert_int_equal(count_descriptors(), descriptors);
    fake_worker_expect_flat(&worker, kib, 512);
}

static void test_flat_with_lock(void **state)
{
    (void)state;
    fake_worker_run(&worker, 4);
    expect_flat();
    fake_worker_finish(&worker);
}

/* While the runtime starts nobody is waited for. */
static void test_flat_without_lock(void **state)
{
    struct fake_setup setup = {.threads = 1};

    (void)state;
    atomic_store(&fake_app_shared->start_hangs, 1);
    fake_worker_start(&worker, &setup);
    fake_worker_wait_state(&worker, PYD_WORKER_IMPORTING);
    fake_wait_event('i');
    expect_flat();
    fake_open_gate(1);
    fake_worker_wait_state(&worker, PYD_WORKER_READY);
    fake_worker_finish(&worker);
}

#define WATCH_TEST(name) cmocka_unit_test_teardown(name, clean)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WATCH_TEST(test_heartbeat),
        WATCH_TEST(test_lock_is_watched),
        WATCH_TEST(test_healthy),
        WATCH_TEST(test_one_thread),
        WATCH_TEST(test_signal),
        WATCH_TEST(test_app_takes_the_signal),
        WATCH_TEST(test_manager_gone),
        WATCH_TEST(test_deadlock),
        WATCH_TEST(test_spinning_with_the_lock),
        WATCH_TEST(test_no_signals),
        WATCH_TEST(test_signal_without_lock),
        WATCH_TEST(test_blocked_signals),
        WATCH_TEST(test_dump_hangs),
        WATCH_TEST(test_during_start),
        WATCH_TEST(test_during_import),
        WATCH_TEST(test_during_import_with_the_lock),
        WATCH_TEST(test_exit_handlers_hang),
        WATCH_TEST(test_alone_and_exit_handlers_hang),
        WATCH_TEST(test_adopted_and_exit_handlers_hang),
        WATCH_TEST(test_two_at_once),
        WATCH_TEST(test_many_signals),
        WATCH_TEST(test_malformed_requests),
        WATCH_TEST(test_forked_process),
        WATCH_TEST(test_closed_descriptor),
        WATCH_TEST(test_file_size_limit),
        WATCH_TEST(test_crash),
        WATCH_TEST(test_crash_unprivileged),
        WATCH_TEST(test_alternate_stack),
        WATCH_TEST(test_flat_with_lock),
        WATCH_TEST(test_flat_without_lock),
    };

    fake_httpd_init(argc, argv);
    return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
