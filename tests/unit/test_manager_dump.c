/* SPDX-License-Identifier: Apache-2.0 */

/* The manager's side of dumps. The worker is a child that sleeps; the test does what its keeper would do. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "board_fixture.h"
#include "pyd_fd.h"
#include "pyd_log.h"
#include "pyd_manager.h"
#include "pyd_manager_watch.h"

#define SECOND INT64_C(1000000)
#define NOW (1000 * SECOND)
#define TEXT "T\t77\t0\tpydaemon-3\nF\t/srv/views.py\t12\treport\trows = fetch()\n"
#define SHOWN_TEXT "executing file \"/srv/views.py\", line 12, in report: rows = fetch()"

static struct {
    struct pyd_board *board;
    struct pyd_manager_group group;
    struct pyd_manager_slot slot;
    struct pyd_status_worker *status;
    int64_t area;
    int control; /* the worker's end */
    int signals; /* a byte of the child's for each SIGUSR2 */
    char log[65536];
} world;

static void write_log(void *baton, enum pyd_log_level level, int group, const char *message)
{
    size_t used = strlen(world.log);

    (void)baton;
    assert_int_equal(group, 0);
    snprintf(world.log + used, sizeof world.log - used, "%d %s\n", (int)level, message);
}

static int signal_pipe[2];

static void on_signal(int number)
{
    (void)number;
    if (write(signal_pipe[1], "2", 1) < 0)
        _exit(1);
}

static pid_t start_child(int catches)
{
    char byte;
    pid_t pid;

    assert_int_equal(pipe(signal_pipe), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGUSR2, catches ? on_signal : SIG_DFL);
        if (write(signal_pipe[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(signal_pipe[0], &byte, 1), 1);
    close(signal_pipe[1]);
    world.signals = signal_pipe[0];
    return pid;
}

static void start_worker(int catches)
{
    const struct pyd_board_settings_group *settings;
    int control[2];

    world.board = fixture_board(1, 3, 5);
    fixture_start(world.board, 1);
    settings = pyd_board_settings(world.board, 0);
    world.group = (struct pyd_manager_group){.board = world.board,
                                             .slot_count = settings->slot_count,
                                             .threads = settings->threads,
                                             .status_fd = settings->status_fd,
                                             .name = "blog"};
    assert_int_equal(pyd_fd_socketpair(SOCK_SEQPACKET, control), 0);
    pyd_fd_set_nonblocking(control[0], 1);
    world.control = control[1];
    world.slot = (struct pyd_manager_slot){.shared = pyd_board_slot(world.board, 0, 1),
                                           .index = 1,
                                           .state = PYD_SLOT_READY,
                                           .epoch = 1,
                                           .number = 1,
                                           .pid = start_child(catches),
                                           .control_fd = control[0],
                                           .pidfd = -1};
    world.status = pyd_board_status(world.board, 0, 1);
    world.area = pyd_area_offset(settings->slot_count, settings->threads, 1);
    pyd_log_set(write_log, NULL, PYD_LOG_TRACE);
}

static int begin(void **state)
{
    (void)state;
    memset(&world, 0, sizeof world);
    start_worker(1);
    return 0;
}

static int begin_deaf(void **state)
{
    (void)state;
    memset(&world, 0, sizeof world);
    start_worker(0);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    pyd_log_set(NULL, NULL, PYD_LOG_CRIT);
    kill(world.slot.pid, SIGKILL);
    waitpid(world.slot.pid, NULL, 0);
    pyd_fd_close(&world.slot.control_fd);
    close(world.control);
    close(world.signals);
    fixture_done(world.board);
    return 0;
}

/* What the worker's keeper does. */
static void answer(uint32_t dump, enum pyd_dump_tier tier, const char *text)
{
    struct pyd_area_head head = {.epoch = world.slot.epoch, .dump = dump, .tier = (uint32_t)tier};

    assert_int_equal(pyd_area_write(world.group.status_fd, world.area, head, text, strlen(text)), 0);
    atomic_fetch_add(&world.status->dumps, 1);
}

static struct pyd_control_dump take_message(void)
{
    struct pyd_control_dump message = {0};

    assert_int_equal(recv(world.control, &message, sizeof message, MSG_DONTWAIT), sizeof message);
    assert_int_equal(message.kind, PYD_CONTROL_DUMP);
    return message;
}

static int has_message(void)
{
    char byte;

    return recv(world.control, &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0;
}

static int got_signal(int timeout_ms)
{
    struct pollfd polled = {.fd = world.signals, .events = POLLIN};
    char byte;

    return poll(&polled, 1, timeout_ms) > 0 && read(world.signals, &byte, 1) == 1;
}

static int said(const char *text)
{
    return strstr(world.log, text) != NULL;
}

static size_t count_lines(void)
{
    size_t count = 0;

    for (const char *at = world.log; *at; at++)
        count += *at == '\n';
    return count;
}

static void ask(enum pyd_dump_why why, pid_t tid)
{
    pyd_manager_dump_ask(&world.group, &world.slot, why, tid, NOW);
}

static int64_t check_at(int64_t now_us)
{
    return pyd_manager_dump_check(&world.group, &world.slot, now_us);
}

static struct pyd_claim_ref begin_request(const char *uri, pid_t tid)
{
    struct pyd_claim_purpose purpose = {
        .method = "GET", .uri = uri, .client = "203.0.113.9", .request_id = "WxYz"};
    struct pyd_claim_ref claim;

    assert_int_equal(pyd_claim_try(world.board, 0, SELF, NO_SLOT, &claim), 0);
    pyd_claim_describe(world.board, &claim, &purpose, NOW - 5 * SECOND);
    assert_int_equal(pyd_status_begin(fixture_request(world.board, &claim), claim.seq, NOW - 5 * SECOND, tid), 0);
    return claim;
}

static void test_answer(void **state)
{
    struct pyd_control_dump message;
    char expected[600];

    (void)state;
    begin_request("/report", 77);
    assert_false(pyd_manager_dump_pending(&world.slot));
    assert_true(check_at(NOW) == INT64_MAX);
    ask(PYD_DUMP_WHY_TIMEOUT, 0);
    message = take_message();
    assert_true(message.dump > 0);
    assert_int_equal(message.tid, 0);
    assert_int_equal(message.no_signals, 0);
    assert_true(pyd_manager_dump_pending(&world.slot));
    assert_true(check_at(NOW + 1) == NOW + PYD_MANAGER_DUMP_US);
    assert_string_equal(world.log, "");
    answer(message.dump, PYD_DUMP_GIL, TEXT);
    assert_true(check_at(NOW + 2) == INT64_MAX);
    assert_false(pyd_manager_dump_pending(&world.slot));
    snprintf(expected, sizeof expected,
             "3 PYD0650: mod_pydaemon (pid=%d): Dumping stack trace for active Python threads. [dump %u 1/2]\n"
             "3 PYD0650: mod_pydaemon (pid=%d): Thread 77 (pydaemon-3) GET /report 5.0 s, " SHOWN_TEXT
             " [dump %u 2/2]\n",
             (int)world.slot.pid, message.dump, (int)world.slot.pid, message.dump);
    assert_string_equal(world.log, expected);
    assert_false(got_signal(0));
    /* It is announced once more, or looked at again. */
    pyd_manager_dump_unasked(&world.group, &world.slot, NOW + 10 * SECOND);
    check_at(NOW + 20 * SECOND);
    assert_string_equal(world.log, expected);
}

static void test_numbers_grow(void **state)
{
    uint32_t first;

    (void)state;
    ask(PYD_DUMP_WHY_ASKED, 0);
    first = take_message().dump;
    answer(first, PYD_DUMP_GIL, "");
    check_at(NOW);
    ask(PYD_DUMP_WHY_ASKED, 0);
    assert_int_equal(take_message().dump, first + 1);
}

/* For information only: no thread is interrupted. */
static void test_slow(void **state)
{
    struct pyd_control_dump message;

    (void)state;
    ask(PYD_DUMP_WHY_SLOW, 77);
    message = take_message();
    assert_int_equal(message.tid, 77);
    assert_true(message.no_signals);
    answer(message.dump, PYD_DUMP_NO_GIL, "T\t78\t0\tx\nF\tother.py\t1\tf\t\n" TEXT);
    check_at(NOW);
    assert_true(said(SHOWN_TEXT));
    assert_false(said("other.py"));
    ask(PYD_DUMP_WHY_ASKED, 0);
    assert_true(take_message().no_signals);
    check_at(NOW + PYD_MANAGER_DUMP_US);
    assert_false(pyd_manager_dump_pending(&world.slot));
}

static void test_no_gil(void **state)
{
    (void)state;
    ask(PYD_DUMP_WHY_TIMEOUT, 0);
    answer(take_message().dump, PYD_DUMP_NO_GIL, TEXT);
    check_at(NOW);
    assert_true(said("The GIL was not to be had"));
}

/* The signal may end what hangs (a sleep), and with it the request, before its stack is logged. */
static void test_request_ended_by_its_dump(void **state)
{
    struct pyd_claim_ref claim = begin_request("/report", 77);

    (void)state;
    begin_request("/beside", 78);
    ask(PYD_DUMP_WHY_TIMEOUT, 0);
    pyd_status_end(fixture_request(world.board, &claim), claim.seq);
    pyd_claim_release(world.board, &claim);
    answer(take_message().dump, PYD_DUMP_NO_GIL, TEXT);
    check_at(NOW + SECOND);
    assert_true(said("Thread 77 (pydaemon-3) GET /report 6.0 s, " SHOWN_TEXT));
    assert_null(strstr(strstr(world.log, "/beside") + 1, "/beside"));
    /* A later one that nobody asked for is not about it. */
    world.log[0] = '\0';
    answer(0, PYD_DUMP_NO_GIL, TEXT);
    pyd_manager_dump_unasked(&world.group, &world.slot, NOW + 100 * SECOND);
    assert_true(said(SHOWN_TEXT));
    assert_false(said("/report"));
}

static void test_deadline(void **state)
{
    char thread[64];

    (void)state;
    begin_request("/hangs", 77);
    ask(PYD_DUMP_WHY_KILL, 0);
    check_at(NOW + PYD_MANAGER_DUMP_US - 1);
    assert_string_equal(world.log, "");
    assert_true(check_at(NOW + PYD_MANAGER_DUMP_US) == INT64_MAX);
    assert_false(pyd_manager_dump_pending(&world.slot));
    assert_true(said("Request GET /hangs 7.5 s (request WxYz, client 203.0.113.9, thread 77): the worker does not "
                     "answer [dump "));
    snprintf(thread, sizeof thread, ": Thread %d", (int)world.slot.pid);
    assert_true(said(thread));
    /* Late, but somebody may still want to see it. */
    answer(take_message().dump, PYD_DUMP_NO_GIL, TEXT);
    pyd_manager_dump_unasked(&world.group, &world.slot, NOW + 3 * SECOND);
    assert_true(said(SHOWN_TEXT));
}

/* Names and source lines are still being looked for: what there is without them does. */
static void test_deadline_with_preliminary_answer(void **state)
{
    (void)state;
    ask(PYD_DUMP_WHY_KILL, 0);
    answer(take_message().dump, PYD_DUMP_NO_GIL, TEXT);
    atomic_fetch_sub(&world.status->dumps, 1);
    check_at(NOW + 1);
    assert_string_equal(world.log, "");
    /* That it has come that far is worth some patience, once. */
    assert_true(check_at(NOW + PYD_MANAGER_DUMP_US) == NOW + 2 * PYD_MANAGER_DUMP_US);
    assert_string_equal(world.log, "");
    check_at(NOW + 2 * PYD_MANAGER_DUMP_US);
    assert_true(said(SHOWN_TEXT));
    assert_false(said("the kernel"));
    assert_false(pyd_manager_dump_pending(&world.slot));
}

/* Its keeper beats: the machine is busy. It is waited for, but not for ever. */
static void test_deadline_of_one_that_is_alive(void **state)
{
    (void)state;
    ask(PYD_DUMP_WHY_KILL, 0);
    atomic_store(&world.status->alive_us, NOW + SECOND);
    assert_true(check_at(NOW + PYD_MANAGER_DUMP_US) == NOW + SECOND + PYD_MANAGER_DUMP_US);
    atomic_store(&world.status->alive_us, NOW + 3 * SECOND);
    assert_true(check_at(NOW + SECOND + PYD_MANAGER_DUMP_US) == NOW + PYD_MANAGER_DUMP_MAX_US);
    assert_string_equal(world.log, "");
    atomic_store(&world.status->alive_us, NOW + PYD_MANAGER_DUMP_MAX_US);
    assert_true(check_at(NOW + PYD_MANAGER_DUMP_MAX_US) == INT64_MAX);
    assert_true(said("this is what the kernel tells"));
}

/* Nor for one that only says that it is. */
static void test_signs_of_life_that_are_none(void **state)
{
    (void)state;
    ask(PYD_DUMP_WHY_KILL, 0);
    atomic_store(&world.status->alive_us, NOW + 100 * SECOND);
    assert_true(check_at(NOW + PYD_MANAGER_DUMP_US) == INT64_MAX);
    assert_true(said("this is what the kernel tells"));
    take_message();
    ask(PYD_DUMP_WHY_KILL, 0);
    atomic_store(&world.status->alive_us, NOW + SECOND);
    atomic_store(&world.status->epoch, 77); /* another one's */
    assert_true(check_at(NOW + PYD_MANAGER_DUMP_US) == INT64_MAX);
    assert_int_equal(world.slot.dump.number, 0);
}

static void test_answers_of_others(void **state)
{
    struct pyd_area_head head = {.epoch = 99, .tier = PYD_DUMP_GIL};
    uint32_t number;

    (void)state;
    ask(PYD_DUMP_WHY_TIMEOUT, 0);
    number = take_message().dump;
    /* Of another worker that was in this slot; of a lying one; none at all. */
    head.dump = number;
    assert_int_equal(pyd_area_write(world.group.status_fd, world.area, head, TEXT, strlen(TEXT)), 0);
    atomic_fetch_add(&world.status->dumps, 1);
    check_at(NOW);
    answer(number + 7, PYD_DUMP_GIL, TEXT);
    check_at(NOW);
    answer(number, PYD_DUMP_CRASH, TEXT);
    check_at(NOW);
    assert_string_equal(world.log, "");
    assert_true(pyd_manager_dump_pending(&world.slot));
    atomic_store(&world.status->epoch, 2);
    answer(number, PYD_DUMP_GIL, TEXT);
    check_at(NOW);
    assert_string_equal(world.log, "");
    atomic_store(&world.status->epoch, 1);
    check_at(NOW);
    assert_true(said(SHOWN_TEXT));
}

static void test_full_socket(void **state)
{
    (void)state;
    while (send(world.slot.control_fd, "s", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1) {
    }
    ask(PYD_DUMP_WHY_TIMEOUT, 0);
    assert_true(got_signal(30000));
    answer(0, PYD_DUMP_GIL, TEXT);
    check_at(NOW);
    assert_true(said(SHOWN_TEXT));
    assert_false(pyd_manager_dump_pending(&world.slot));
}

static void adopt(void)
{
    world.slot.adopted = 1;
    pyd_fd_close(&world.slot.control_fd);
}

/* It can't say that it has made one: it is looked at soon. */
static void test_adopted(void **state)
{
    (void)state;
    adopt();
    answer(0, PYD_DUMP_GIL, "T\t1\t0\told\nF\told.py\t1\tf\t\n");
    ask(PYD_DUMP_WHY_SLOW, 78);
    assert_true(got_signal(30000));
    assert_in_range(check_at(NOW) - NOW, 1, 50000);
    assert_true(check_at(NOW + PYD_MANAGER_DUMP_US - 10) == NOW + PYD_MANAGER_DUMP_US);
    assert_string_equal(world.log, "");
    answer(0, PYD_DUMP_GIL, TEXT);
    assert_true(check_at(NOW) == INT64_MAX);
    assert_true(said(SHOWN_TEXT)); /* all threads: it could not be told which */
    assert_false(said("old.py"));
}

static void test_adopted_unasked(void **state)
{
    (void)state;
    adopt();
    answer(0, PYD_DUMP_GIL, "T\t1\t0\told\nF\told.py\t1\tf\t\n");
    check_at(NOW);
    assert_string_equal(world.log, "");
    answer(0, PYD_DUMP_GIL, TEXT);
    check_at(NOW + 1);
    assert_true(said(SHOWN_TEXT));
    assert_false(said("old.py"));
}

/* It has no handler for SIGUSR2, which would end it. */
static void test_signal_would_kill(void **state)
{
    (void)state;
    adopt();
    ask(PYD_DUMP_WHY_TIMEOUT, 0);
    assert_false(pyd_manager_dump_pending(&world.slot));
    assert_true(said("The worker did not answer"));
    assert_int_equal(waitpid(world.slot.pid, NULL, WNOHANG), 0);
}

static void stop_child(void)
{
    int status;

    kill(world.slot.pid, SIGSTOP);
    assert_int_equal(waitpid(world.slot.pid, &status, WUNTRACED), world.slot.pid);
}

static void test_stopped(void **state)
{
    (void)state;
    stop_child();
    ask(PYD_DUMP_WHY_TIMEOUT, 0);
    assert_false(pyd_manager_dump_pending(&world.slot));
    assert_true(said("stopped (T)"));
    assert_false(has_message());
}

static void test_stopped_while_waiting(void **state)
{
    (void)state;
    ask(PYD_DUMP_WHY_TIMEOUT, 0);
    check_at(NOW + 1);
    assert_true(pyd_manager_dump_pending(&world.slot));
    stop_child();
    check_at(NOW + 2);
    assert_false(pyd_manager_dump_pending(&world.slot));
    assert_true(said("stopped (T)"));
}

static void test_unasked(void **state)
{
    size_t lines;

    (void)state;
    answer(0, PYD_DUMP_NO_GIL, TEXT);
    pyd_manager_dump_unasked(&world.group, &world.slot, NOW);
    assert_true(said(SHOWN_TEXT));
    lines = count_lines();
    pyd_manager_dump_unasked(&world.group, &world.slot, NOW + SECOND);
    assert_int_equal(count_lines(), lines);
    /* One that goes on and on about them is listened to once a second. */
    for (int i = 0; i < 10; i++) {
        answer(0, PYD_DUMP_NO_GIL, TEXT);
        pyd_manager_dump_unasked(&world.group, &world.slot, NOW + 100);
    }
    assert_int_equal(count_lines(), lines);
    assert_true(check_at(NOW + 100) <= NOW + 100 + SECOND);
    check_at(NOW + SECOND);
    assert_int_equal(count_lines(), 2 * lines);
}

/* Somebody sends SIGUSR2 while the manager waits for its own. */
static void test_unasked_while_waiting(void **state)
{
    uint32_t number;

    (void)state;
    ask(PYD_DUMP_WHY_TIMEOUT, 0);
    number = take_message().dump;
    answer(0, PYD_DUMP_GIL, "T\t1\t0\tx\nF\tby_hand.py\t1\tf\t\n");
    check_at(NOW);
    assert_true(said("by_hand.py"));
    assert_true(pyd_manager_dump_pending(&world.slot));
    answer(number, PYD_DUMP_GIL, TEXT);
    check_at(NOW);
    assert_true(said(SHOWN_TEXT));
    assert_false(pyd_manager_dump_pending(&world.slot));
}

static void test_one_for_both(void **state)
{
    uint32_t number;

    (void)state;
    ask(PYD_DUMP_WHY_TIMEOUT, 0);
    ask(PYD_DUMP_WHY_SLOW, 77);
    ask(PYD_DUMP_WHY_KILL, 0);
    number = take_message().dump;
    assert_false(has_message());
    answer(number, PYD_DUMP_NO_GIL, TEXT);
    check_at(NOW);
    assert_int_equal(count_lines(), 3);
}

/* One thread is not all of them, and who is to be killed may be interrupted. */
static void test_replaced(void **state)
{
    struct pyd_control_dump first, second;

    (void)state;
    ask(PYD_DUMP_WHY_SLOW, 77);
    first = take_message();
    ask(PYD_DUMP_WHY_SLOW, 78);
    second = take_message();
    assert_int_equal(second.tid, 0);
    assert_true(second.no_signals);
    ask(PYD_DUMP_WHY_KILL, 0);
    answer(first.dump, PYD_DUMP_GIL, "T\t77\t0\tx\nF\tfirst.py\t1\tf\t\n");
    check_at(NOW);
    assert_string_equal(world.log, "");
    second = take_message();
    assert_int_equal(second.tid, 0);
    assert_false(second.no_signals);
    answer(second.dump, PYD_DUMP_NO_GIL, TEXT);
    check_at(NOW);
    assert_true(said(SHOWN_TEXT));
}

/* The manager has found out how it ended. */
static void end(enum pyd_cause cause, uint32_t detail)
{
    atomic_store(&world.slot.shared->ended_cause, (uint32_t)cause);
    atomic_store(&world.slot.shared->ended_detail, detail);
    atomic_store(&world.slot.shared->ended_epoch, world.slot.epoch);
    world.slot.state = PYD_SLOT_DEAD;
    pyd_manager_dump_ended(&world.group, &world.slot, NOW);
}

static void write_crash(uint64_t thread)
{
    char text[300];

    snprintf(text, sizeof text,
             "Fatal Python error: Segmentation fault\n\nCurrent thread 0x%016llx (most recent call first):\n"
             "  File \"crash.py\", line 3 in f\n",
             (unsigned long long)thread);
    assert_int_equal(pyd_area_open(world.group.status_fd, world.area, world.slot.epoch), 0);
    assert_int_equal(pwrite(world.group.status_fd, text, strlen(text), (off_t)(world.area + PYD_AREA_CRASH_AT)),
                     (ssize_t)strlen(text));
}

static void test_crash(void **state)
{
    struct pyd_claim_ref claim = begin_request("/crash", 77);

    (void)state;
    write_crash(atomic_load(&fixture_request(world.board, &claim)->thread));
    end(PYD_CAUSE_SIGNAL, SIGSEGV);
    assert_true(said("Dumping stack trace for active Python threads. [dump "));
    assert_true(said("Fatal Python error: Segmentation fault [dump "));
    assert_true(said("Thread 77 GET /crash 5.0 s, crashed, executing file \"crash.py\", line 3, in f [dump "));
}

/* Its child was quicker than the manager. */
static void test_crash_of_released_claim(void **state)
{
    struct pyd_claim_ref claim = begin_request("/crash", 77);

    (void)state;
    write_crash(atomic_load(&fixture_request(world.board, &claim)->thread));
    fixture_state(world.board, 1, PYD_SLOT_DEAD);
    pyd_claim_release(world.board, &claim);
    assert_int_equal(fixture_owner(world.board, &claim), 0);
    end(PYD_CAUSE_UNKNOWN, 0);
    assert_true(said("Thread 77 GET /crash 5.0 s, crashed, executing file \"crash.py\", line 3, in f [dump "));
}

/* A process that it has forked has written there. */
static void test_crash_of_another(void **state)
{
    (void)state;
    write_crash(1);
    end(PYD_CAUSE_SIGNAL, SIGKILL);
    assert_string_equal(world.log, "");
    write_crash(1);
    end(PYD_CAUSE_EXIT, SIGSEGV);
    assert_string_equal(world.log, "");
}

/* What the manager itself knows is not lost. */
static void test_ends_while_waiting(void **state)
{
    struct pyd_claim_ref claim = begin_request("/hangs", 77);
    char expected[600];
    uint32_t number;

    (void)state;
    ask(PYD_DUMP_WHY_TIMEOUT, 0);
    number = take_message().dump;
    fixture_state(world.board, 1, PYD_SLOT_DEAD);
    pyd_claim_release(world.board, &claim);
    end(PYD_CAUSE_REQUEST_TIMEOUT, 0);
    snprintf(expected, sizeof expected,
             "3 PYD0650: mod_pydaemon (pid=%d): Dumping stack trace for active Python threads. [dump %u 1/3]\n"
             "3 PYD0650: mod_pydaemon (pid=%d): Request GET /hangs 5.0 s (thread 77): the worker has ended [dump %u "
             "2/3]\n"
             "3 PYD0650: mod_pydaemon (pid=%d): The worker has ended without having told where its threads were. "
             "[dump %u 3/3]\n",
             (int)world.slot.pid, number, (int)world.slot.pid, number, (int)world.slot.pid, number);
    assert_string_equal(world.log, expected);
    assert_false(pyd_manager_dump_pending(&world.slot));
    assert_int_equal(world.slot.dump.dumps_before, 0);
    /* Nobody waits for one any more. */
    end(PYD_CAUSE_REQUEST_TIMEOUT, 0);
    assert_string_equal(world.log, expected);
}

/* What there is without names and source lines, announced or not. */
static void test_ends_with_preliminary_answer(void **state)
{
    (void)state;
    ask(PYD_DUMP_WHY_TIMEOUT, 0);
    answer(take_message().dump, PYD_DUMP_NO_GIL, TEXT);
    atomic_fetch_sub(&world.status->dumps, 1);
    end(PYD_CAUSE_REQUEST_TIMEOUT, 0);
    assert_true(said(SHOWN_TEXT));
    assert_false(said("without having told"));
}

/* It has come to the first one, of one thread, only. */
static void test_ends_with_an_earlier_answer(void **state)
{
    (void)state;
    begin_request("/hangs", 78);
    ask(PYD_DUMP_WHY_SLOW, 77);
    answer(take_message().dump, PYD_DUMP_GIL, TEXT);
    ask(PYD_DUMP_WHY_KILL, 0);
    end(PYD_CAUSE_SHUTDOWN, 0);
    assert_true(said(SHOWN_TEXT));
    assert_true(said("GET /hangs 5.0 s (request WxYz, client 203.0.113.9, thread 78): the worker has ended"));
}

static void test_ends_with_a_crash_while_waiting(void **state)
{
    struct pyd_claim_ref claim = begin_request("/crash", 77);

    (void)state;
    ask(PYD_DUMP_WHY_KILL, 0);
    write_crash(atomic_load(&fixture_request(world.board, &claim)->thread));
    end(PYD_CAUSE_SIGNAL, SIGSEGV);
    assert_true(said("Thread 77 GET /crash 5.0 s, crashed"));
    assert_false(said("without having told"));
}

static void test_ends_with_answer(void **state)
{
    (void)state;
    ask(PYD_DUMP_WHY_KILL, 0);
    answer(take_message().dump, PYD_DUMP_GIL, TEXT);
    end(PYD_CAUSE_SIGNAL, SIGKILL);
    assert_true(said(SHOWN_TEXT));
}

static void test_no_process(void **state)
{
    pid_t pid = world.slot.pid;

    (void)state;
    world.slot.pid = 0;
    ask(PYD_DUMP_WHY_KILL, 0);
    assert_false(pyd_manager_dump_pending(&world.slot));
    assert_true(check_at(NOW) == INT64_MAX);
    assert_string_equal(world.log, "");
    world.slot.pid = pid;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_answer),
        TEST(test_numbers_grow),
        TEST(test_slow),
        TEST(test_no_gil),
        TEST(test_request_ended_by_its_dump),
        TEST(test_deadline),
        TEST(test_deadline_with_preliminary_answer),
        TEST(test_deadline_of_one_that_is_alive),
        TEST(test_signs_of_life_that_are_none),
        TEST(test_answers_of_others),
        TEST(test_full_socket),
        TEST(test_adopted),
        TEST(test_adopted_unasked),
        cmocka_unit_test_setup_teardown(test_signal_would_kill, begin_deaf, finish),
        TEST(test_stopped),
        TEST(test_stopped_while_waiting),
        TEST(test_unasked),
        TEST(test_unasked_while_waiting),
        TEST(test_one_for_both),
        TEST(test_replaced),
        TEST(test_crash),
        TEST(test_crash_of_released_claim),
        TEST(test_crash_of_another),
        TEST(test_ends_while_waiting),
        TEST(test_ends_with_answer),
        TEST(test_ends_with_preliminary_answer),
        TEST(test_ends_with_an_earlier_answer),
        TEST(test_ends_with_a_crash_while_waiting),
        TEST(test_no_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
