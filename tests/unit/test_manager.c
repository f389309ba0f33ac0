/* SPDX-License-Identifier: Apache-2.0 */

/* The manager with real processes; manager_site.h says how. */
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_worker.h"
#include "manager_site.h"
#include "pyd_board.h"
#include "pyd_clock.h"
#include "pyd_fd.h"
#include "pyd_generation.h"
#include "pyd_log.h"
#include "pyd_manager.h"
#include "pyd_proc.h"
#include "pyd_process.h"
#include "pyd_spec.h"

static void test_serves_and_stops(void **state)
{
    char path[64], text[200] = "";
    FILE *file;
    pid_t pid;

    (void)state;
    start_site(2, "ready", NO_OPTIONS);
    wait_until(count_state(PYD_SLOT_READY) == 2);
    wait_until(group_state() == PYD_GROUP_SERVING);
    assert_int_equal(atomic_load(&slot_at(0)->epoch), 1);
    assert_int_equal(atomic_load(&slot_at(0)->number) + atomic_load(&slot_at(1)->number), 3);
    assert_true(atomic_load(&slot_at(0)->ready_us) >= atomic_load(&slot_at(0)->started_us));
    pid = pid_of(0);
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    assert_int_equal(strncmp(text, "(pydaemon:blog) ", 16), 0);
    stop_manager();
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(count_said("ended: stopped as told"), 2);
    assert_int_equal(atomic_load(&site.board->header->stopping), 1);
    assert_false(said("\n3 "));
    assert_false(said("\n2 "));
}

static void test_killed_worker_is_replaced(void **state)
{
    struct pyd_claim_ref claim;
    enum pyd_cause cause;
    uint32_t detail, slot;
    pid_t pid, ended;

    (void)state;
    start_site(1, "ready", NO_OPTIONS);
    wait_until(count_state(PYD_SLOT_READY) == 1);
    assert_int_equal(pyd_claim_try(site.board, 0, (uint32_t)getpid(), UINT32_MAX, &claim), 0);
    pyd_claim_describe(site.board, &claim, &(struct pyd_claim_purpose){"GET", "/report", "", ""}, 1);
    slot = claim.slot;
    pid = pid_of(slot);
    kill(pid, FAKE_BEGIN);
    wait_until(said("begun"));
    kill(pid, SIGKILL);
    wait_until(pyd_claim_cause(site.board, &claim, &cause, &detail, &ended) == 0);
    assert_int_equal(cause, PYD_CAUSE_SIGNAL);
    assert_int_equal(detail, SIGKILL);
    assert_int_equal(ended, pid);
    assert_true(pyd_claim_begun(site.board, &claim));
    assert_true(pyd_claim_worker_gone(site.board, &claim));
    wait_until(count_state(PYD_SLOT_READY) == 1);
    /* While we hold the claim the slot keeps what the dead one said. (The manager sees our lock.) */
    assert_int_equal(state_of(slot), PYD_SLOT_DEAD);
    wait_until(said("ended: killed by signal 9 (Killed), after "));
    assert_true(said("in flight: ") && said("GET /report"));
    assert_true(said("3 PYD0601: mod_pydaemon (pid="));
    assert_int_equal(group_state(), PYD_GROUP_SERVING);
    pyd_claim_release(site.board, &claim);
    pyd_generation_poke(site.board);
    wait_until(state_of(slot) == PYD_SLOT_EMPTY);
    assert_false(said("PYD0602"));
    stop_manager();
}

static void test_waiting_connection_sees_the_death(void **state)
{
    struct pollfd polled = {.events = POLLIN};
    int fds[2];
    char byte;

    (void)state;
    start_site(1, "ready", NO_OPTIONS);
    wait_until(state_of(0) == PYD_SLOT_READY);
    assert_int_equal(pyd_fd_socketpair(SOCK_STREAM, fds), 0);
    assert_int_equal(pyd_fd_pass(slot_at(0)->rendezvous_child_fd, "c", 1, fds[1]), 0);
    close(fds[1]);
    polled.fd = fds[0];
    assert_int_equal(poll(&polled, 1, 0), 0);
    kill(pid_of(0), SIGKILL);
    assert_int_equal(poll(&polled, 1, 10000), 1);
    assert_int_equal(read(fds[0], &byte, 1), 0);
    close(fds[0]);
    wait_until(count_state(PYD_SLOT_READY) == 1);
    stop_manager();
}

/* True if the end of a connection passed to slot 0 is closed within so many seconds, by whoever. */
static int is_closed_soon(int fd, int seconds)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    char byte;

    return poll(&polled, 1, seconds * 1000) == 1 && read(fd, &byte, 1) == 0;
}

static int pass_connection(void)
{
    int fds[2];

    assert_int_equal(pyd_fd_socketpair(SOCK_STREAM, fds), 0);
    assert_int_equal(pyd_fd_pass(slot_at(0)->rendezvous_child_fd, "c", 1, fds[1]), 0);
    close(fds[1]);
    return fds[0];
}

/* One that stops takes connections no more, but may live on for long. */
static void test_waiting_connection_sees_that_its_worker_stops(void **state)
{
    static const char *const options[] = {"shutdown-timeout=60s", NULL};
    int first, second;
    pid_t pid;

    (void)state;
    start_site(1, "stubborn", options);
    wait_until(state_of(0) == PYD_SLOT_READY);
    pid = pid_of(0);
    first = pass_connection();
    pyd_generation_poke(site.board);
    assert_false(is_closed_soon(first, 2)); /* one that serves would take it */
    atomic_store(&pyd_board_status(site.board, 0, 0)->state, PYD_WORKER_STOPPING);
    pyd_generation_poke(site.board);
    assert_true(is_closed_soon(first, 10));
    second = pass_connection();
    assert_true(is_closed_soon(second, 10));
    assert_int_equal(state_of(0), PYD_SLOT_STOPPING);
    assert_int_equal(kill(pid, 0), 0);
    kill(pid, SIGKILL);
    close(first);
    close(second);
    wait_until(count_said("is ready after") == 2);
    behave("ready");
    for (uint32_t i = 0; i < 3; i++)
        if (state_of(i) == PYD_SLOT_READY)
            kill(pid_of(i), SIGKILL);
    wait_until(count_said("is ready after") == 3);
    stop_manager();
}

/* It was told, but does not hear. */
static void test_waiting_connection_of_a_deaf_worker(void **state)
{
    static const char *const options[] = {"shutdown-timeout=60s", NULL};
    int waiting;
    pid_t pid;

    (void)state;
    start_site(1, "stubborn", options);
    wait_until(state_of(0) == PYD_SLOT_READY);
    pid = pid_of(0);
    waiting = pass_connection();
    kill(site.manager, SIGTERM);
    assert_true(is_closed_soon(waiting, 20));
    assert_int_equal(state_of(0), PYD_SLOT_STOPPING);
    assert_int_equal(kill(pid, 0), 0);
    kill(pid, SIGKILL);
    assert_int_equal(manager_exit_status(), 2);
    close(waiting);
}

/* Three clients that read slowly hold three dead workers' claims: all slots of the group. */
static void test_claims_do_not_pin_the_slots_of_the_dead(void **state)
{
    struct pyd_claim_ref claims[3];
    int64_t first_us = 0;
    uint32_t i;

    (void)state;
    start_site(1, "ready", NO_OPTIONS);
    for (i = 0; i < 3; i++) {
        wait_until(count_said("is ready after") == i + 1);
        wait_until(pyd_claim_try(site.board, 0, (uint32_t)getpid(), UINT32_MAX, &claims[i]) == 0);
        kill(pid_of(claims[i].slot), FAKE_BEGIN);
        wait_until(count_said("begun") == i + 1);
        first_us = first_us ? first_us : pyd_clock_us();
        kill(pid_of(claims[i].slot), SIGKILL);
        wait_until(count_said("ended: killed by signal 9") == i + 1);
    }
    if (pyd_clock_us() - first_us < 4 * SECOND) /* not on a machine as slow as that */
        assert_int_equal(count_state(PYD_SLOT_DEAD), 3);
    wait_until(count_said("is ready after") == 4);
    wait_until(count_state(PYD_SLOT_EMPTY) == 2);
    for (i = 0; i < 3; i++) {
        assert_true(pyd_claim_begun(site.board, &claims[i]));
        assert_true(pyd_claim_worker_gone(site.board, &claims[i]));
        pyd_claim_release(site.board, &claims[i]);
    }
    stop_manager();
}

/* The httpd child that gave a request up is not there to call the queue when it ends. */
static void test_an_end_that_nobody_waits_for_calls_the_queue(void **state)
{
    struct pyd_claim_ref claims[3];
    uint32_t self = (uint32_t)getpid(), waiters[3];

    (void)state;
    start_site(1, "ready", NO_OPTIONS);
    wait_until(state_of(0) == PYD_SLOT_READY);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(pyd_claim_try(site.board, 0, self, UINT32_MAX, &claims[i]), 0);
    kill(pid_of(0), FAKE_BEGIN);
    wait_until(said("begun"));
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(pyd_queue_enter(site.board, 0, self, &waiters[i]), 0);
    pyd_claim_orphan(site.board, &claims[0]);
    pyd_claim_orphan(site.board, &claims[1]);
    assert_int_equal(atomic_load(&pyd_board_waiter(site.board, 0, waiters[0])->wake), 0);
    pyd_status_end(&pyd_board_status(site.board, 0, 0)->request[claims[0].claim], claims[0].seq);
    kill(pid_of(0), FAKE_FINISH); /* it says so */
    wait_until(atomic_load(&pyd_board_waiter(site.board, 0, waiters[0])->wake) == 1);
    assert_int_equal(atomic_load(&pyd_board_waiter(site.board, 0, waiters[1])->wake), 0);
    stop_manager();
}

static void test_several_deaths_at_once(void **state)
{
    pid_t pids[3];

    (void)state;
    start_site(3, "ready", NO_OPTIONS);
    wait_until(count_state(PYD_SLOT_READY) == 3);
    for (uint32_t i = 0; i < 3; i++) {
        pids[i] = pid_of(i);
        kill(pids[i], FAKE_FINISH); /* it has finished a request: no failed start */
        wait_until(atomic_load(&pyd_board_status(site.board, 0, i)->requests) == 1);
    }
    kill(site.manager, SIGSTOP); /* the SIGCHLDs become one */
    for (uint32_t i = 0; i < 3; i++)
        kill(pids[i], SIGKILL);
    kill(site.manager, SIGCONT);
    wait_until(count_said("killed by signal 9") == 3);
    wait_until(count_state(PYD_SLOT_READY) == 3);
    assert_false(said("PYD0602"));
    stop_manager();
}

static void test_success_unasked(void **state)
{
    (void)state;
    start_site(1, "ready", NO_OPTIONS);
    wait_until(state_of(0) == PYD_SLOT_READY);
    kill(pid_of(0), FAKE_EXIT);
    wait_until(said("exited with status 0 without having been told to"));
    wait_until(count_state(PYD_SLOT_READY) == 1);
    stop_manager();
}

static void test_terminated_by_somebody_else(void **state)
{
    (void)state;
    start_site(1, "ready", NO_OPTIONS);
    wait_until(state_of(0) == PYD_SLOT_READY);
    kill(pid_of(0), SIGTERM);
    /* It may be gone before the manager has seen it stopping. */
    wait_until(said("ended: stopped as told"));
    wait_until(count_said("is ready after") == 2);
    assert_false(said("PYD0601"));
    stop_manager();
}

static void test_failing_group_recovers(void **state)
{
    int64_t retry_at_us;

    (void)state;
    start_site(2, "import", NO_OPTIONS);
    wait_until(group_state() == PYD_GROUP_FAILING);
    retry_at_us = atomic_load(&pyd_board_group(site.board, 0)->retry_at_us);
    assert_true(retry_at_us > pyd_clock_us() - 5 * SECOND && retry_at_us <= pyd_clock_us() + 60 * SECOND);
    assert_true(said("): no module named 'blog'\n"));
    assert_true(said("an application could not be imported"));
    wait_until(atomic_load(&slot_at(0)->ended_cause) == PYD_CAUSE_IMPORT);
    /* Three rounds: two at once, then one by one; one message for the state, one for the cause at error. */
    wait_until(count_said("no module named") >= 4);
    assert_int_equal(count_said("2 PYD0602"), 1);
    assert_true(count_said("3 PYD0601") <= 2);
    assert_true(count_said("6 PYD0601") >= 1);
    behave("ready");
    wait_until(count_state(PYD_SLOT_READY) >= 1);
    wait_until(group_state() == PYD_GROUP_SERVING);
    for (uint32_t i = 0; i < 6; i++)
        if (state_of(i) == PYD_SLOT_READY)
            kill(pid_of(i), FAKE_FINISH);
    wait_until(said("can be started again"));
    wait_until(count_state(PYD_SLOT_READY) == 2);
    stop_manager();
}

static void test_first_early_end_is_forgiven(void **state)
{
    (void)state;
    start_site(1, "early", NO_OPTIONS);
    wait_until(count_state(PYD_SLOT_READY) == 1);
    kill(pid_of(0), FAKE_EXIT);
    wait_until(count_said("exited with status 3") == 1);
    wait_until(count_said("is ready after") == 2);
    assert_false(said("PYD0602"));
    for (uint32_t i = 0; i < 3; i++)
        if (pid_of(i) > 1)
            kill(pid_of(i), FAKE_EXIT);
    wait_until(count_said("exited with status 3") == 2);
    wait_until(group_state() == PYD_GROUP_FAILING);
    wait_until(said("PYD0602"));
    /* It gets ready again, which does not make the next failure news. */
    wait_until(count_said("is ready after") == 3);
    for (uint32_t i = 0; i < 3; i++)
        if (state_of(i) == PYD_SLOT_READY)
            kill(pid_of(i), FAKE_EXIT);
    wait_until(count_said("exited with status 3") == 3);
    wait_until(group_state() == PYD_GROUP_FAILING);
    assert_int_equal(count_said("PYD0602"), 1);
    stop_manager();
}

/* One request that kills, sent again and again, must not make the group answer 503 to others. */
static void test_death_in_a_request_is_no_failed_start(void **state)
{
    (void)state;
    start_site(1, "ready", NO_OPTIONS);
    for (uint32_t deaths = 1; deaths <= 4; deaths++) {
        wait_until(count_said("is ready after") == deaths);
        for (uint32_t i = 0; i < 3; i++)
            if (state_of(i) == PYD_SLOT_READY)
                kill(pid_of(i), FAKE_BEGIN);
        wait_until(count_said("begun") == deaths);
        for (uint32_t i = 0; i < 3; i++)
            if (state_of(i) == PYD_SLOT_READY)
                kill(pid_of(i), SIGKILL);
        wait_until(count_said("killed by signal 9") == deaths);
    }
    wait_until(count_said("is ready after") == 5);
    if (said("PYD0602"))
        fail_msg("counted as failed starts; log:\n%s", site.log);
    stop_manager();
}

static void test_startup_timeout(void **state)
{
    static const char *const options[] = {"startup-timeout=200ms", NULL};

    (void)state;
    start_site(1, "hang", options);
    wait_until(said("PYD0603"));
    wait_until(said("not ready within startup-timeout"));
    wait_until(group_state() == PYD_GROUP_FAILING);
    assert_int_equal(atomic_load(&slot_at(0)->ended_cause), PYD_CAUSE_STARTUP_TIMEOUT);
    behave("ready");
    wait_until(group_state() == PYD_GROUP_SERVING);
    stop_manager();
}

static void test_shutdown_timeout(void **state)
{
    static const char *const options[] = {"shutdown-timeout=300ms", NULL};
    int64_t begun_us;
    pid_t pid;

    (void)state;
    start_site(1, "stubborn", options);
    wait_until(state_of(0) == PYD_SLOT_READY);
    pid = pid_of(0);
    begun_us = pyd_clock_us();
    stop_manager();
    assert_true(pyd_clock_us() - begun_us >= 300000);
    assert_true(said("3 PYD0604"));
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(atomic_load(&slot_at(0)->ended_cause), PYD_CAUSE_SHUTDOWN_TIMEOUT);
}

static void test_stop_while_starting(void **state)
{
    static const char *const options[] = {"shutdown-timeout=300ms", NULL};

    (void)state;
    start_site(1, "hang", options);
    wait_until(state_of(0) == PYD_SLOT_STARTING && pid_of(0) > 0);
    stop_manager();
    assert_int_equal(count_state(PYD_SLOT_READY) + count_state(PYD_SLOT_STARTING), 0);
}

static void test_generation_ends_with_its_last_lock(void **state)
{
    pid_t pid;

    (void)state;
    start_site(1, "ready", NO_OPTIONS);
    wait_until(state_of(0) == PYD_SLOT_READY);
    pid = pid_of(0);
    pyd_generation_poke(site.board); /* a poke alone changes nothing */
    kill(pid, FAKE_BEGIN);
    wait_until(said("begun"));
    assert_int_equal(state_of(0), PYD_SLOT_READY);
    assert_int_equal(pyd_generation_unlock(site.board), 0);
    assert_int_equal(manager_exit_status(), 0); /* without a poke, too: within the second */
    assert_int_equal(kill(pid, 0), -1);
    assert_true(said("Manager of generation 7 ended"));
}

static void test_killed_manager_is_succeeded(void **state)
{
    pid_t old[2];

    (void)state;
    start_site(2, "ready", NO_OPTIONS);
    wait_until(count_state(PYD_SLOT_READY) == 2);
    old[0] = pid_of(0);
    old[1] = pid_of(1);
    kill(site.manager, SIGKILL);
    waitpid(site.manager, NULL, 0);
    assert_int_equal(kill(old[0], 0), 0);
    start_manager();
    /* Capacity never dips: new ones first, one after the other. */
    for (int64_t deadline_us = pyd_clock_us() + DEADLINE_US; kill(old[0], 0) == 0 || kill(old[1], 0) == 0;) {
        assert_true(pyd_clock_us() < deadline_us);
        /* Counting is not atomic: a state may move from a slot not looked at yet to one that has been. */
        assert_true(count_state(PYD_SLOT_READY) >= 2 || count_state(PYD_SLOT_READY) >= 2);
        read_log(1);
    }
    wait_until(count_state(PYD_SLOT_READY) == 2 && count_state(PYD_SLOT_EMPTY) == 4);
    assert_int_equal(count_said("was started by an earlier manager"), 2);
    assert_int_equal(count_said("ended: retired as told"), 2);
    assert_false(said("PYD0601"));
    assert_int_equal(atomic_load(&slot_at(0)->ended_cause), PYD_CAUSE_RETIRED);
    stop_manager();
}

static void test_adopted_worker_finishes_its_request(void **state)
{
    struct pyd_claim_ref claim;
    pid_t pid;

    (void)state;
    start_site(1, "ready", NO_OPTIONS);
    wait_until(state_of(0) == PYD_SLOT_READY);
    assert_int_equal(pyd_claim_try(site.board, 0, (uint32_t)getpid(), UINT32_MAX, &claim), 0);
    pid = pid_of(0);
    kill(site.manager, SIGKILL);
    waitpid(site.manager, NULL, 0);
    start_manager();
    wait_until(state_of(0) == PYD_SLOT_RETIRING);
    pyd_generation_poke(site.board);
    wait_until(count_said("is ready after") == 2);
    pyd_generation_poke(site.board);
    assert_int_equal(state_of(0), PYD_SLOT_RETIRING);
    assert_int_equal(kill(pid, 0), 0);
    pyd_claim_release(site.board, &claim);
    wait_until(said("ended: retired as told"));
    stop_manager();
}

static void test_worker_died_while_no_manager_was_there(void **state)
{
    struct pyd_claim_ref claim;
    enum pyd_cause cause;
    uint32_t detail;
    pid_t ended, pid;

    (void)state;
    start_site(1, "ready", NO_OPTIONS);
    wait_until(state_of(0) == PYD_SLOT_READY);
    assert_int_equal(pyd_claim_try(site.board, 0, (uint32_t)getpid(), UINT32_MAX, &claim), 0);
    pid = pid_of(0);
    kill(site.manager, SIGKILL);
    waitpid(site.manager, NULL, 0);
    kill(pid, SIGKILL);
    start_manager();
    wait_until(pyd_claim_cause(site.board, &claim, &cause, &detail, &ended) == 0);
    assert_int_equal(cause, PYD_CAUSE_UNKNOWN);
    wait_until(count_state(PYD_SLOT_READY) == 1);
    pyd_claim_release(site.board, &claim);
    assert_true(said("no manager was watching"));
    stop_manager();
}

/* A process of another program; it runs when this returns. */
static pid_t start_foreign_process(void)
{
    int started[2];
    pid_t pid;
    char byte;

    assert_int_equal(pyd_fd_pipe(started), 0);
    pid = fork();
    if (pid == 0) {
        execl("/usr/bin/tail", "tail", "-f", "/dev/null", (char *)NULL);
        _exit(1);
    }
    close(started[1]);
    assert_int_equal(read(started[0], &byte, 1), 0);
    close(started[0]);
    return pid;
}

/* Its manager was killed when it had set the state and not told it yet. */
static void test_adopted_worker_that_was_to_stop_is_told(void **state)
{
    static const char *const options[] = {"shutdown-timeout=60s", NULL};

    (void)state;
    start_site(1, "ready", options);
    wait_until(state_of(0) == PYD_SLOT_READY);
    kill(site.manager, SIGKILL);
    waitpid(site.manager, NULL, 0);
    atomic_store(&slot_at(0)->state, PYD_SLOT_STOPPING);
    start_manager();
    wait_until(said("ended: retired as told"));
    assert_false(said("PYD0604"));
    wait_until(count_state(PYD_SLOT_READY) == 1);
    stop_manager();
}

static void test_foreign_process_is_not_adopted(void **state)
{
    pid_t victim;

    (void)state;
    start_site(1, "ready", NO_OPTIONS);
    wait_until(state_of(0) == PYD_SLOT_READY);
    kill(site.manager, SIGKILL);
    waitpid(site.manager, NULL, 0);
    kill(pid_of(0), SIGKILL);
    victim = start_foreign_process();
    /* A broken httpd child wrote this onto the board. */
    atomic_store(&slot_at(0)->pid, (int32_t)victim);
    atomic_store(&slot_at(0)->pid_start, pyd_process_start_time(victim));
    atomic_store(&slot_at(0)->state, PYD_SLOT_STOPPING);
    start_manager();
    wait_until(count_state(PYD_SLOT_READY) == 1);
    stop_manager();
    assert_int_equal(kill(victim, 0), 0);
    assert_int_equal(waitpid(victim, NULL, WNOHANG), 0);
    kill(victim, SIGKILL);
    waitpid(victim, NULL, 0);
}

static void test_worker_sees_what_it_is_given(void **state)
{
    static const char *const options[] = {"env=COLOUR=blue", "umask=027", NULL};
    char line[100];

    (void)state;
    setenv("SECRET_OF_HTTPD", "x", 1);
    setenv("TZ", "Europe/Vienna", 1);
    start_site(1, "look", options);
    unsetenv("SECRET_OF_HTTPD");
    wait_until(state_of(0) == PYD_SLOT_READY);
    wait_until(said("): job 7 0 0 3 3 1 1\n"));
    assert_int_equal(count_said("): fd "), 9);
    assert_true(said("): fd 0 /dev/null"));
    for (int fd = 0; fd < PYD_WORKER_FD_END; fd++) {
        snprintf(line, sizeof line, "): fd %d ", fd);
        assert_int_equal(count_said(line), 1);
    }
    assert_true(said("): fd 1 pipe:") && said("): fd 2 pipe:"));
    assert_true(said("): fd 3 socket:") && said("): fd 5 socket:"));
    assert_true(said("): fd 4 /memfd:") && said("): fd 8 /memfd:") && said("): fd 6 pipe:"));
    assert_true(said("): locks alive 1\n"));
    assert_false(said("is ignored or blocked"));
    assert_false(said("SECRET"));
    assert_true(said("): env COLOUR=blue\n") && said("): env FAKE=look\n") && said("): env TZ=Europe/Vienna\n"));
    assert_true(said("): env LANG=C.UTF-8\n") && said("): env HOME=/\n") && said("): env PATH="));
    assert_int_equal(count_said("): env "), 7);
    assert_true(said("): cwd / umask 27 session 1\n"));
    if (geteuid() == 0)
        assert_true(said("): ids 65534 65534 0\n"));
    stop_manager();
}

/* Entries of /proc/PID/fd that lead to the same file and direction as fd of this process. */
static int holds(pid_t pid, int fd)
{
    char path[64], ours[100], theirs[100];
    int mode = fcntl(fd, F_GETFL) & O_ACCMODE, found = 0;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ours[readlink(path, ours, sizeof ours - 1)] = '\0';
    for (int i = 0; i < 1024; i++) {
        struct stat link;
        ssize_t n;

        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, i);
        n = readlink(path, theirs, sizeof theirs - 1);
        if (n <= 0 || lstat(path, &link) != 0)
            continue;
        theirs[n] = '\0';
        if (strcmp(ours, theirs) == 0 && ((link.st_mode & S_IWUSR) != 0) == (mode != O_RDONLY))
            found++;
    }
    return found;
}

static void test_manager_holds_only_its_own(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pyd_fd_socketpair(SOCK_STREAM, fds), 0); /* as httpd's listening sockets */
    start_site(1, "ready", NO_OPTIONS);
    wait_until(state_of(0) == PYD_SLOT_READY);
    assert_int_equal(holds(site.manager, fds[0]), 0);
    assert_int_equal(holds(site.manager, site.board->header->lifeline_write_fd), 0);
    assert_int_equal(holds(site.manager, site.board->header->lifeline_read_fd), 1);
    assert_int_equal(holds(site.manager, slot_at(0)->log_read_fd), 1);
    assert_int_equal(getsid(site.manager), site.manager);
    kill(site.manager, SIGPIPE);
    kill(site.manager, SIGUSR1);
    kill(site.manager, SIGHUP);
    kill(pid_of(0), FAKE_BEGIN);
    wait_until(said("begun"));
    close(fds[0]);
    close(fds[1]);
    stop_manager();
}

static void test_output_becomes_log_lines(void **state)
{
    (void)state;
    start_site(1, "print", NO_OPTIONS);
    wait_until(state_of(0) == PYD_SLOT_READY);
    assert_true(said("4 'blog' (pid=") && said("): raw line\n5 'blog' (pid=") && said("): tagged line\n"));
    assert_false(said("unfinished"));
    kill(pid_of(0), SIGKILL);
    wait_until(said("ended: killed by signal 9"));
    assert_true(said("): unfinished\n"));
    assert_true(strstr(site.log, "): unfinished\n") < strstr(site.log, "ended: killed"));
    stop_manager();
}

static void test_chatty_worker_does_not_hold_up_the_manager(void **state)
{
    (void)state;
    start_site(1, "chatty", NO_OPTIONS);
    wait_until(state_of(0) == PYD_SLOT_READY);
    wait_until(count_said("chatter") > 1000);
    behave("ready");
    kill(pid_of(0), SIGKILL);
    wait_until(said("ended: killed by signal 9"));
    wait_until(count_said("is ready after") == 2);
    stop_manager();
}

static void test_control_socket_closed(void **state)
{
    (void)state;
    start_site(1, "closed", NO_OPTIONS);
    wait_until(state_of(0) == PYD_SLOT_READY);
    stop_manager(); /* by SIGTERM, then */
    assert_true(said("ended: stopped as told"));
}

static void test_no_descriptor_left(void **state)
{
    struct rlimit before, none = {.rlim_cur = 3};

    (void)state;
    start_site(1, "ready", NO_OPTIONS);
    wait_until(state_of(0) == PYD_SLOT_READY);
    assert_int_equal(prlimit(site.manager, RLIMIT_NOFILE, NULL, &before), 0);
    none.rlim_max = before.rlim_max;
    assert_int_equal(prlimit(site.manager, RLIMIT_NOFILE, &none, NULL), 0);
    kill(pid_of(0), SIGKILL);
    wait_until(said("PYD0605"));
    wait_until(group_state() == PYD_GROUP_FAILING);
    assert_int_equal(kill(site.manager, 0), 0);
    assert_int_equal(prlimit(site.manager, RLIMIT_NOFILE, &before, NULL), 0);
    wait_until(group_state() == PYD_GROUP_SERVING);
    stop_manager();
}

static void test_home_that_is_not_there(void **state)
{
    char *text = NULL, error[300];
    struct pyd_spec spec;

    (void)state;
    prepare_site("ready");
    text = make_spec(NO_OPTIONS);
    assert_int_equal(pyd_spec_init(&spec, NULL), 0);
    assert_int_equal(pyd_spec_parse(&spec, text, error, sizeof error), 0);
    free(text);
    assert_int_equal(pyd_spec_assign(&spec.home_dir, "/nowhere/at/all"), 0);
    text = pyd_spec_format(&spec);
    pyd_spec_done(&spec);
    assert_int_equal(pyd_board_create(7,
                                      &(struct pyd_board_group_plan){.name = "blog",
                                                                     .processes = 1,
                                                                     .threads = 3,
                                                                     .queue_limit = 5,
                                                                     .spec_text = text},
                                      1, &site.board),
                     0);
    free(text);
    assert_int_equal(pyd_generation_open(site.board), 0);
    assert_int_equal(pyd_generation_lock(site.board), 0);
    pyd_board_group(site.board, 0)->worker_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    start_manager();
    wait_until(group_state() == PYD_GROUP_FAILING);
    assert_true(said("PYD0623: Worker can't start") && said("/nowhere/at/all"));
    assert_true(said("it could not enter its home directory"));
    stop_manager();
}

static void test_broken_group_is_not_tried(void **state)
{
    (void)state;
    prepare_site("ready");
    make_board(1, PYD_GROUP_BROKEN, NO_OPTIONS);
    start_manager();
    wait_until(said("Manager of generation 7 started"));
    pyd_generation_poke(site.board);
    stop_manager();
    assert_int_equal(atomic_load(&slot_at(0)->epoch), 0);
    assert_int_equal(group_state(), PYD_GROUP_BROKEN);
}

#define with_clean_up(test) cmocka_unit_test_teardown(test, clean_up)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        with_clean_up(test_serves_and_stops),
        with_clean_up(test_killed_worker_is_replaced),
        with_clean_up(test_waiting_connection_sees_the_death),
        with_clean_up(test_waiting_connection_sees_that_its_worker_stops),
        with_clean_up(test_waiting_connection_of_a_deaf_worker),
        with_clean_up(test_claims_do_not_pin_the_slots_of_the_dead),
        with_clean_up(test_an_end_that_nobody_waits_for_calls_the_queue),
        with_clean_up(test_several_deaths_at_once),
        with_clean_up(test_success_unasked),
        with_clean_up(test_terminated_by_somebody_else),
        with_clean_up(test_failing_group_recovers),
        with_clean_up(test_first_early_end_is_forgiven),
        with_clean_up(test_death_in_a_request_is_no_failed_start),
        with_clean_up(test_startup_timeout),
        with_clean_up(test_shutdown_timeout),
        with_clean_up(test_stop_while_starting),
        with_clean_up(test_generation_ends_with_its_last_lock),
        with_clean_up(test_killed_manager_is_succeeded),
        with_clean_up(test_adopted_worker_finishes_its_request),
        with_clean_up(test_worker_died_while_no_manager_was_there),
        with_clean_up(test_adopted_worker_that_was_to_stop_is_told),
        with_clean_up(test_foreign_process_is_not_adopted),
        with_clean_up(test_worker_sees_what_it_is_given),
        with_clean_up(test_manager_holds_only_its_own),
        with_clean_up(test_output_becomes_log_lines),
        with_clean_up(test_chatty_worker_does_not_hold_up_the_manager),
        with_clean_up(test_control_socket_closed),
        with_clean_up(test_no_descriptor_left),
        with_clean_up(test_home_that_is_not_there),
        with_clean_up(test_broken_group_is_not_tried),
    };
    const char *behaviour = getenv("FAKE");

    if (behaviour)
        return fake_worker_main(behaviour);
    if (argc > 0 && argv[0][0] == '(')
        return 96; /* a worker that was not told its behaviour */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
