/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a worker: start, states, and every way to end. Its requests are in test_exchange.c. */
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_app.h"
#include "fake_httpd.h"
#include "pyd_clock.h"
#include "pyd_fd.h"
#include "pyd_manager.h"
#include "pyd_worker_job.h"

static struct fake_worker worker;

static const struct fake_request HELLO = {.act = "hello", .target = "/srv/app.py"};
static const struct fake_request HANG = {.act = "hang", .target = "/srv/app.py"};

static int clean(void **state)
{
    (void)state;
    fake_worker_clean(&worker);
    return 0;
}

static void expect_exit(int exit_status)
{
    int status = fake_worker_wait_exit(&worker);

    if (!WIFEXITED(status) || WEXITSTATUS(status) != exit_status)
        fail_msg("wait status %x instead of exit status %d", status, exit_status);
}

/* A request that runs until the gate is opened. */
static int start_hanging(uint32_t claim)
{
    struct fake_request request = HANG;
    struct fake_frame frame;
    int fd = fake_connect(&worker);

    request.claim = claim;
    fake_send_request(&worker, fd, &request);
    fake_expect(fd, PYD_FRAME_LOG, &frame);
    return fd;
}

static void expect_released(int fd)
{
    struct fake_response response;

    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, PYD_FRAME_END);
    assert_memory_equal(response.body.data, "released", 8);
    fake_response_done(&response);
    close(fd);
}

/* ---- Start ---- */

static void test_start_and_stop(void **state)
{
    (void)state;
    fake_worker_run(&worker, 3);
    assert_int_equal(atomic_load(&fake_app_shared->started), 3);
    assert_int_equal(atomic_load(&fake_app_shared->begun), 3);
    assert_int_equal(atomic_load(&worker.status->epoch), FAKE_EPOCH);
    fake_worker_stop(&worker);
    fake_worker_wait_state(&worker, PYD_WORKER_STOPPING);
    expect_exit(PYD_EXIT_OK);
    assert_int_equal(atomic_load(&fake_app_shared->stopped), 1);
    assert_int_equal(atomic_load(&fake_app_shared->ended), 3);
}

static void test_states_while_importing(void **state)
{
    struct fake_setup setup = {.threads = 1};
    char title[200];

    (void)state;
    atomic_store(&fake_app_shared->load_hangs, 1);
    fake_worker_start(&worker, &setup);
    fake_worker_wait_state(&worker, PYD_WORKER_IMPORTING);
    fake_worker_read_title(&worker, title, sizeof(title));
    assert_string_equal(title, "(pydaemon:blog) 4: importing");
    fake_open_gate(1);
    fake_worker_wait_state(&worker, PYD_WORKER_READY);
    fake_worker_finish(&worker);
}

static void test_title(void **state)
{
    struct fake_setup setup = {.threads = 2, .spec_text = "display-name=my blog\n"};
    char title[200];
    int fd;

    (void)state;
    fake_worker_start(&worker, &setup);
    fake_worker_wait_state(&worker, PYD_WORKER_READY);
    fake_worker_read_title(&worker, title, sizeof(title));
    assert_string_equal(title, "my blog 4: idle");
    fd = start_hanging(0);
    fake_worker_read_title(&worker, title, sizeof(title));
    assert_string_equal(title, "my blog 4: 1 busy");
    fake_worker_stop(&worker);
    fake_worker_wait_state(&worker, PYD_WORKER_STOPPING);
    fake_worker_read_title(&worker, title, sizeof(title));
    assert_string_equal(title, "my blog 4: stopping");
    fake_open_gate(1);
    expect_released(fd);
    expect_exit(PYD_EXIT_OK);
}

static void test_import_failure(void **state)
{
    struct fake_setup setup = {.threads = 1};

    (void)state;
    atomic_store(&fake_app_shared->start_status, PYD_EXIT_IMPORT);
    fake_worker_start(&worker, &setup);
    expect_exit(PYD_EXIT_IMPORT);
    assert_int_equal(atomic_load(&fake_app_shared->stopped), 0);
    assert_int_equal(atomic_load(&worker.status->state), PYD_WORKER_IMPORTING);
}

static void test_thread_failure(void **state)
{
    struct fake_setup setup = {.threads = 4};

    (void)state;
    atomic_store(&fake_app_shared->refuse_thread, 3);
    fake_worker_start(&worker, &setup);
    fake_worker_wait_log(&worker, "PYD0804");
    expect_exit(PYD_EXIT_SYSTEM);
    assert_int_not_equal(atomic_load(&worker.status->state), PYD_WORKER_READY);
}

static void test_bad_job(void **state)
{
    static const char *const jobs[] = {
        "", "garbage\n", ".generation=1\n.name=blog\n",
        ".generation=1\n.group=0\n.slot=3\n.slots=3\n.threads=1\n.epoch=1\n.number=1\n.name=blog\n",
        ".generation=1\n.group=0\n.slot=0\n.slots=3\n.threads=0\n.epoch=1\n.number=1\n.name=blog\n",
        ".generation=1\n.group=0\n.slot=0\n.slots=3\n.threads=1x\n.epoch=1\n.number=1\n.name=blog\n",
        ".generation=1\n.group=0\n.slot=0\n.slots=3\n.threads=1\n.epoch=1\n.number=1\n",
        ".generation=1\n.group=0\n.slot=0\n.slots=3\n.threads=1\n.epoch=1\n.number=1\n.name=blog\nwhat=ever\n",
        ".generation=99999999999999999999\n.group=0\n.slot=0\n.slots=3\n.threads=1\n.epoch=1\n.number=1\n.name=b\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
        struct fake_setup setup = {.threads = 1, .job_text = jobs[i]};

        fake_worker_start(&worker, &setup);
        fake_worker_wait_log(&worker, "\x01" "2PYD0801: ");
        expect_exit(PYD_EXIT_JOB);
        fake_worker_clean(&worker);
    }
}

static void test_status_file_too_small(void **state)
{
    struct fake_setup setup = {.threads = 2, .status_bytes = pyd_status_stride(2) * FAKE_SLOTS - 1};

    (void)state;
    fake_worker_start(&worker, &setup);
    fake_worker_wait_log(&worker, "PYD0802");
    expect_exit(PYD_EXIT_JOB);
}

static void test_job_in_any_order(void **state)
{
    struct pyd_worker_job job;
    char error[200];

    (void)state;
    assert_int_equal(pyd_worker_job_parse(".number=9\n.epoch=8\n.threads=7\n.slots=6\n.slot=5\n.group=4\n"
                                          ".generation=3\n.name=shop\nthreads=7\n",
                                          &job, error, sizeof(error)),
                     0);
    assert_int_equal(job.number, 9);
    assert_int_equal(job.epoch, 8);
    assert_int_equal(job.threads, 7);
    assert_int_equal(job.slots, 6);
    assert_int_equal(job.slot, 5);
    assert_int_equal(job.group, 4);
    assert_int_equal(job.generation, 3);
    assert_string_equal(job.spec.name, "shop");
    pyd_worker_job_done(&job);
}

/* A predecessor was killed in the middle of a request. */
static void test_status_of_predecessor(void **state)
{
    struct fake_response response;
    int fd;

    (void)state;
    fake_worker_run(&worker, 2);
    fd = fake_connect(&worker);
    fake_send_request(&worker, fd, &(struct fake_request){.act = "die 9", .target = "/srv/app.py"});
    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, 0);
    assert_true(WIFSIGNALED(fake_worker_wait_exit(&worker)));
    /* It was begun, and everybody can see so. */
    assert_int_equal(atomic_load(&worker.status->request[0].seq_state), 1 << 1 | PYD_STATUS_RUNNING);
    assert_true(atomic_load(&worker.status->request[0].tid) > 0);
    assert_int_equal(atomic_load(&worker.status->requests), 0);
    close(fd);
}

static void test_descriptors_are_private(void **state)
{
    (void)state;
    fake_worker_run(&worker, 1);
    for (int number = PYD_WORKER_FD_RENDEZVOUS; number < PYD_WORKER_FD_END; number++) {
        char path[64], text[512];
        int fd;
        ssize_t got;

        snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)worker.pid, number);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (number == PYD_WORKER_FD_JOB) {
            /* done with; what may have this number now was opened by the worker itself */
            pyd_fd_close(&fd);
            continue;
        }
        assert_true(fd >= 0);
        got = read(fd, text, sizeof(text) - 1);
        close(fd);
        assert_true(got > 0);
        text[got] = '\0';
        assert_true(strtol(strstr(text, "flags:") + 6, NULL, 8) & O_CLOEXEC);
    }
    fake_worker_finish(&worker);
}

/* The manager has it killed with itself only until the program runs. */
static void test_outlives_its_manager(void **state)
{
    (void)state;
    fake_worker_run(&worker, 1);
    assert_int_equal(atomic_load(&fake_app_shared->death_signal), 0 + 1);
    fake_worker_finish(&worker);
}

/* As with musl, whose default is 128 KiB. */
static void test_stack_of_threads(void **state)
{
    struct rlimit limit;

    (void)state;
#ifndef __GLIBC__
    skip();
#endif
    assert_int_equal(getrlimit(RLIMIT_STACK, &limit), 0);
    if (limit.rlim_cur == RLIM_INFINITY)
        limit.rlim_cur = 8 << 20;
    atomic_store(&fake_app_shared->default_stack, 128 << 10);
    fake_worker_run(&worker, 1);
    assert_true(atomic_load(&fake_app_shared->stack) >= (int64_t)limit.rlim_cur);
    fake_worker_finish(&worker);
}

static void test_stack_as_set(void **state)
{
    struct fake_setup setup = {.threads = 1, .spec_text = "stack-size=1M\n"};

    (void)state;
    fake_worker_start(&worker, &setup);
    fake_worker_wait_state(&worker, PYD_WORKER_READY);
    assert_in_range(atomic_load(&fake_app_shared->stack), 1 << 20, 2 << 20);
    fake_worker_finish(&worker);
}

static void test_fork_during_import(void **state)
{
    int fd;

    (void)state;
    atomic_store(&fake_app_shared->start_forks, 1);
    fake_worker_run(&worker, 2);
    assert_int_equal(atomic_load(&fake_app_shared->start_forks), 0 + 1);
    assert_int_equal(atomic_load(&fake_app_shared->begun), 2);
    fd = fake_connect(&worker);
    fake_expect_body(&worker, fd, &HELLO, "hello");
    close(fd);
    fake_worker_finish(&worker);
}

/* ---- Begin ---- */

static struct pyd_status_request *record_of(uint32_t claim)
{
    return &worker.status->request[claim];
}

static uint64_t seen_seq(uint32_t claim)
{
    return atomic_load(&record_of(claim)->seq_state) >> 1;
}

static void look_again(int64_t until_us)
{
    poll(NULL, 0, 5);
    if (pyd_clock_us() > until_us)
        fail_msg("waited in vain");
}

/* Until a thread has taken the request, which can't begin: another one (claim 0) has the lock.
 * @return its connection */
static int start_waiting(uint32_t claim, int *ret_holder)
{
    int64_t until_us = pyd_clock_us() + 60000000;
    struct fake_request request = HELLO;
    int fd = fake_connect(&worker);
    char title[200];

    *ret_holder = fake_connect(&worker);
    request.act = "deadlock";
    fake_send_request(&worker, *ret_holder, &request);
    fake_wait_event('l');
    request.act = "hello";
    request.claim = claim;
    fake_send_request(&worker, fd, &request);
    for (;;) {
        fake_worker_read_title(&worker, title, sizeof(title));
        if (strstr(title, ": 2 busy"))
            return fd;
        look_again(until_us);
    }
}

static void expect_unlocked(int fd)
{
    struct fake_response response;

    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, PYD_FRAME_END);
    fake_response_done(&response);
    close(fd);
}

static void test_begins_with_the_lock(void **state)
{
    struct fake_response response;
    int64_t opened_us;
    int holder, fd;

    (void)state;
    fake_worker_run(&worker, 2);
    fd = start_waiting(1, &holder);
    assert_true(seen_seq(1) < worker.seq);
    opened_us = pyd_clock_us();
    fake_open_gate(1);
    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, PYD_FRAME_END);
    assert_int_equal(seen_seq(1), worker.seq);
    assert_true(atomic_load(&record_of(1)->start_us) >= opened_us);
    assert_true(atomic_load(&record_of(1)->tid) > 0);
    fake_response_done(&response);
    close(fd);
    expect_unlocked(holder);
    fake_worker_finish(&worker);
}

/* httpd gives it to another worker, which has its lock. */
static void test_taken_back_without_the_lock(void **state)
{
    struct fake_request again = HELLO;
    struct fake_frame frame;
    int holder, fd;

    (void)state;
    fake_worker_run(&worker, 2);
    fd = start_waiting(1, &holder);
    assert_true(pyd_status_revoke(record_of(1), worker.seq));
    fake_open_gate(1);
    fake_expect(fd, PYD_FRAME_REFUSE, &frame);
    expect_unlocked(holder);
    assert_int_equal(atomic_load(&worker.status->requests), 1);
    again.claim = 1;
    fake_expect_body(&worker, fd, &again, "hello");
    close(fd);
    fake_worker_finish(&worker);
}

static void test_stop_without_the_lock(void **state)
{
    struct fake_frame frame;
    int holder, fd;

    (void)state;
    fake_worker_run(&worker, 2);
    fd = start_waiting(1, &holder);
    fake_worker_stop(&worker);
    fake_worker_wait_state(&worker, PYD_WORKER_STOPPING);
    fake_open_gate(1);
    fake_expect(fd, PYD_FRAME_REFUSE, &frame);
    assert_true(seen_seq(1) < worker.seq);
    expect_unlocked(holder);
    expect_exit(PYD_EXIT_OK);
    close(fd);
}

/* ---- Stop ---- */

static void test_stop_while_running(void **state)
{
    struct fake_frame frame;
    int running, other;

    (void)state;
    fake_worker_run(&worker, 3);
    other = fake_connect(&worker);
    fake_expect_body(&worker, other, &HELLO, "hello");
    running = start_hanging(1);
    fake_worker_stop(&worker);
    fake_worker_wait_state(&worker, PYD_WORKER_STOPPING);
    /* Not begun: another worker may have it. */
    fake_send_request(&worker, other, &HELLO);
    fake_expect(other, PYD_FRAME_REFUSE, &frame);
    assert_int_equal(atomic_load(&worker.status->request[0].seq_state) & 1, PYD_STATUS_DONE);
    assert_int_equal(atomic_load(&fake_app_shared->stopped), 0);
    fake_open_gate(1);
    expect_released(running);
    expect_exit(PYD_EXIT_OK);
    fake_expect_end(other);
    close(other);
    assert_int_equal(atomic_load(&fake_app_shared->stopped), 1);
    assert_int_equal(atomic_load(&fake_app_shared->ended), 3);
}

/* Exit handlers take their time: requests still get an answer, though no request thread is left. */
static void test_refuse_during_exit_handlers(void **state)
{
    struct fake_setup setup = {.threads = 2, .spec_text = "shutdown-timeout=2s\n"};
    struct fake_frame frame;
    int fd;

    (void)state;
    fake_worker_start(&worker, &setup);
    fake_worker_wait_state(&worker, PYD_WORKER_READY);
    atomic_store(&fake_app_shared->stop_hangs, 1);
    fd = fake_connect(&worker);
    fake_expect_body(&worker, fd, &HELLO, "hello");
    fake_worker_stop(&worker);
    fake_worker_wait_state(&worker, PYD_WORKER_STOPPING);
    fake_wait_event('s');
    for (int i = 0; i < 50; i++) {
        fake_send_request(&worker, fd, &HELLO);
        fake_expect(fd, PYD_FRAME_REFUSE, &frame);
    }
    fake_worker_wait_log(&worker, "PYD0806");
    expect_exit(PYD_EXIT_OK);
    close(fd);
}

static void test_no_new_connections_after_stop(void **state)
{
    int running, fd;

    (void)state;
    fake_worker_run(&worker, 2);
    running = start_hanging(0);
    fake_worker_stop(&worker);
    fake_worker_wait_state(&worker, PYD_WORKER_STOPPING);
    fd = fake_connect(&worker);
    fake_send_request(&worker, fd, &HELLO);
    fake_open_gate(1);
    expect_released(running);
    expect_exit(PYD_EXIT_OK);
    /* It was not taken, or it was refused: in no case was it begun. */
    assert_int_equal(atomic_load(&worker.status->requests), 1);
    close(fd);
}

static void test_terminate(void **state)
{
    (void)state;
    fake_worker_run(&worker, 2);
    kill(worker.pid, SIGTERM);
    expect_exit(PYD_EXIT_OK);
    assert_int_equal(atomic_load(&fake_app_shared->stopped), 1);
}

static void test_terminate_while_running(void **state)
{
    int fd;

    (void)state;
    fake_worker_run(&worker, 2);
    fd = start_hanging(0);
    kill(worker.pid, SIGTERM);
    fake_worker_wait_state(&worker, PYD_WORKER_STOPPING);
    fake_open_gate(1);
    expect_released(fd);
    expect_exit(PYD_EXIT_OK);
}

static void test_app_takes_the_signal(void **state)
{
    struct fake_setup setup = {.threads = 1};

    (void)state;
    atomic_store(&fake_app_shared->catch_term, 1);
    fake_worker_start(&worker, &setup);
    fake_worker_wait_state(&worker, PYD_WORKER_READY);
    kill(worker.pid, SIGTERM);
    expect_exit(PYD_EXIT_OK);
}

static void test_stop_during_import(void **state)
{
    struct fake_setup setup = {.threads = 1};

    (void)state;
    atomic_store(&fake_app_shared->load_hangs, 1);
    fake_worker_start(&worker, &setup);
    fake_worker_wait_state(&worker, PYD_WORKER_IMPORTING);
    fake_worker_stop(&worker);
    fake_open_gate(1);
    expect_exit(PYD_EXIT_OK);
    assert_int_equal(atomic_load(&fake_app_shared->stopped), 1);
    assert_int_equal(atomic_load(&fake_app_shared->ended), atomic_load(&fake_app_shared->begun));
}

static void test_stop_during_endless_import(void **state)
{
    struct fake_setup setup = {.threads = 1, .spec_text = "shutdown-timeout=100ms\n"};

    (void)state;
    atomic_store(&fake_app_shared->load_hangs, 1);
    fake_worker_start(&worker, &setup);
    fake_worker_wait_state(&worker, PYD_WORKER_IMPORTING);
    fake_worker_stop(&worker);
    fake_worker_wait_log(&worker, "PYD0806");
    expect_exit(PYD_EXIT_OK);
}

/* The exit handlers run although a request hangs. */
static void test_hang_and_stop(void **state)
{
    struct fake_setup setup = {.threads = 2, .spec_text = "shutdown-timeout=1s\n"};
    int64_t since_us;
    int fd;

    (void)state;
    fake_worker_start(&worker, &setup);
    fake_worker_wait_state(&worker, PYD_WORKER_READY);
    fd = start_hanging(0);
    since_us = pyd_clock_us();
    fake_worker_stop(&worker);
    fake_worker_wait_log(&worker, "PYD0805: Worker 4 of 'blog' stops although 1 requests are still running.");
    assert_true(pyd_clock_us() - since_us >= 700000);
    expect_exit(PYD_EXIT_OK);
    assert_int_equal(atomic_load(&fake_app_shared->stopped), 1);
    assert_int_equal(atomic_load(&fake_app_shared->ended), 1);
    fake_expect_end(fd);
    close(fd);
    /* Begun, and never ended. */
    assert_int_equal(atomic_load(&worker.status->request[0].seq_state) & 1, PYD_STATUS_RUNNING);
}

/* ---- Nobody reads the log ---- */

static void test_deadline_with_full_log(void **state)
{
    struct fake_setup setup = {.threads = 1, .spec_text = "shutdown-timeout=1s\n"};
    int64_t since_us;

    (void)state;
    fake_worker_start(&worker, &setup);
    fake_worker_wait_state(&worker, PYD_WORKER_READY);
    atomic_store(&fake_app_shared->stop_hangs, 1);
    fake_worker_fill_log(&worker);
    since_us = pyd_clock_us();
    fake_worker_stop(&worker);
    expect_exit(PYD_EXIT_OK);
    assert_true(pyd_clock_us() - since_us < 10000000); /* 1 s, 4 s for the manager, and what the log may take */
}

static void test_httpd_gone_with_full_log(void **state)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

    (void)state;
    fake_worker_run(&worker, 1);
    fake_worker_fill_log(&worker);
    fcntl(worker.lock, F_SETLK, &lock);
    pyd_fd_close(&worker.lifeline);
    pyd_fd_close(&worker.control);
    expect_exit(PYD_EXIT_OK);
    assert_int_equal(atomic_load(&fake_app_shared->stopped), 1);
}

/* Requests wait for a while, then do without, and so does stopping; what is missing is told of. */
static void test_serves_with_full_log(void **state)
{
    struct fake_response response;
    int fd;

    (void)state;
    fake_worker_run(&worker, 1);
    fake_worker_fill_log(&worker);
    fd = fake_connect(&worker);
    for (int i = 0; i < 3; i++) {
        fake_send_request(&worker, fd, &(struct fake_request){.act = "nothing 0", .target = "/srv/app.py"});
        fake_relay(fd, NULL, &response);
        assert_int_equal(response.ended, PYD_FRAME_FAIL);
    }
    fake_worker_drain_log(&worker);
    fake_send_request(&worker, fd, &(struct fake_request){.act = "nothing 0"});
    fake_relay(fd, NULL, &response);
    fake_worker_wait_log(&worker, "\x01" "4PYD0815: 3 lines were lost");
    close(fd);
    fake_worker_finish(&worker);
}

/* ---- The manager and httpd go away ---- */

static void test_manager_gone(void **state)
{
    int fd;

    (void)state;
    fake_worker_run(&worker, 2);
    pyd_fd_close(&worker.control);
    fd = fake_connect(&worker);
    for (int i = 0; i < 100; i++)
        fake_expect_body(&worker, fd, &HELLO, "hello");
    close(fd);
    kill(worker.pid, SIGTERM); /* its successor */
    expect_exit(PYD_EXIT_OK);
}

static void test_httpd_gone_first(void **state)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    int fd;

    (void)state;
    fake_worker_run(&worker, 2);
    fd = fake_connect(&worker);
    fcntl(worker.lock, F_SETLK, &lock);
    pyd_fd_close(&worker.lifeline);
    /* The manager lives: it says when this worker ends. */
    for (int i = 0; i < 100; i++)
        fake_expect_body(&worker, fd, &HELLO, "hello");
    pyd_fd_close(&worker.control);
    expect_exit(PYD_EXIT_OK);
    fake_worker_wait_log(&worker, "\x01" "5No process of httpd is left");
    close(fd);
}

static void test_lifeline_gone_but_httpd_lives(void **state)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    int fd;

    (void)state;
    fake_worker_run(&worker, 2);
    fd = fake_connect(&worker);
    pyd_fd_close(&worker.control);
    pyd_fd_close(&worker.lifeline);
    for (int i = 0; i < 100; i++)
        fake_expect_body(&worker, fd, &HELLO, "hello");
    fcntl(worker.lock, F_SETLK, &lock);
    expect_exit(PYD_EXIT_OK);
    close(fd);
}

/* Some stranger holds the lifeline open: the lock is the truth. */
static void test_lifeline_leaked(void **state)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    int fd;

    (void)state;
    fake_worker_run(&worker, 2);
    fd = fake_connect(&worker);
    pyd_fd_close(&worker.control);
    for (int i = 0; i < 100; i++)
        fake_expect_body(&worker, fd, &HELLO, "hello");
    close(fd);
    fcntl(worker.lock, F_SETLK, &lock);
    expect_exit(PYD_EXIT_OK);
    assert_int_equal(atomic_load(&fake_app_shared->stopped), 1);
}

static void test_garbage_on_control(void **state)
{
    int fd;

    (void)state;
    fake_worker_run(&worker, 1);
    assert_int_equal(send(worker.control, "what?", 5, 0), 5);
    fd = fake_connect(&worker);
    fake_expect_body(&worker, fd, &HELLO, "hello");
    close(fd);
    fake_worker_finish(&worker);
}

static void test_app_exits(void **state)
{
    struct fake_response response;
    int fd;

    (void)state;
    fake_worker_run(&worker, 2);
    fd = fake_connect(&worker);
    fake_send_request(&worker, fd, &(struct fake_request){.act = "exit 3", .target = "/srv/app.py"});
    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, 0);
    expect_exit(3);
    close(fd);
}

static void test_app_forks(void **state)
{
    int fd;

    (void)state;
    if (FAKE_THREAD_SANITIZER)
        skip(); /* it does not deliver signals to processes forked by a thread */
    fake_worker_run(&worker, 1);
    fd = fake_connect(&worker);
    for (int i = 0; i < 3; i++)
        fake_expect_body(&worker, fd, &(struct fake_request){.act = "fork", .target = "/srv/app.py"},
                         "child terminated");
    assert_int_equal(atomic_load(&worker.status->state), PYD_WORKER_READY);
    close(fd);
    fake_worker_finish(&worker);
}

#define WORKER_TEST(name) cmocka_unit_test_teardown(name, clean)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WORKER_TEST(test_start_and_stop),
        WORKER_TEST(test_states_while_importing),
        WORKER_TEST(test_title),
        WORKER_TEST(test_import_failure),
        WORKER_TEST(test_thread_failure),
        WORKER_TEST(test_bad_job),
        WORKER_TEST(test_status_file_too_small),
        cmocka_unit_test(test_job_in_any_order),
        WORKER_TEST(test_status_of_predecessor),
        WORKER_TEST(test_descriptors_are_private),
        WORKER_TEST(test_outlives_its_manager),
        WORKER_TEST(test_stack_of_threads),
        WORKER_TEST(test_stack_as_set),
        WORKER_TEST(test_fork_during_import),
        WORKER_TEST(test_begins_with_the_lock),
        WORKER_TEST(test_taken_back_without_the_lock),
        WORKER_TEST(test_stop_without_the_lock),
        WORKER_TEST(test_stop_while_running),
        WORKER_TEST(test_refuse_during_exit_handlers),
        WORKER_TEST(test_no_new_connections_after_stop),
        WORKER_TEST(test_terminate),
        WORKER_TEST(test_terminate_while_running),
        WORKER_TEST(test_app_takes_the_signal),
        WORKER_TEST(test_stop_during_import),
        WORKER_TEST(test_stop_during_endless_import),
        WORKER_TEST(test_hang_and_stop),
        WORKER_TEST(test_deadline_with_full_log),
        WORKER_TEST(test_httpd_gone_with_full_log),
        WORKER_TEST(test_serves_with_full_log),
        WORKER_TEST(test_manager_gone),
        WORKER_TEST(test_httpd_gone_first),
        WORKER_TEST(test_lifeline_gone_but_httpd_lives),
        WORKER_TEST(test_lifeline_leaked),
        WORKER_TEST(test_garbage_on_control),
        WORKER_TEST(test_app_exits),
        WORKER_TEST(test_app_forks),
    };

    fake_httpd_init(argc, argv);
    return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
