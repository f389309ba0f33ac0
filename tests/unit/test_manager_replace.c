/* SPDX-License-Identifier: Apache-2.0 */

/* How the manager replaces workers that have reached a limit, with real processes; manager_site.h says how. */
#include "manager_site.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_worker.h"
#include "pyd_manager.h"

/* The place in the log of the first line with that text, which there must be. */
static const char *place(const char *text)
{
    const char *at;

    read_log(0);
    at = strstr(site.log, text);
    if (!at)
        fail_msg("not said: %s; log:\n%s", text, site.log);
    return at;
}

static void assert_order(const char *const *texts)
{
    for (; texts[1]; texts++)
        if (place(texts[0]) >= place(texts[1]))
            fail_msg("said too late: %s; log:\n%s", texts[0], site.log);
}

/* Never to our own process group, which is what a slot without process would come to. */
static void send_to(uint32_t slot, int number)
{
    pid_t pid = pid_of(slot);

    if (pid > 1)
        kill(pid, number);
}

static uint32_t find_ready(void)
{
    for (uint32_t i = 0; i < pyd_board_settings(site.board, 0)->slot_count; i++)
        if (state_of(i) == PYD_SLOT_READY)
            return i;
    return UINT32_MAX;
}

static struct pyd_claim_ref claim_one(uint32_t slot)
{
    struct pyd_claim_ref claim;

    /* The slot that is wanted is the only one that is READY, or else it has been asked for in vain. */
    assert_int_equal(pyd_claim_try(site.board, 0, (uint32_t)getpid(), UINT32_MAX, &claim), 0);
    assert_int_equal(claim.slot, slot);
    return claim;
}

static void describe(const struct pyd_claim_ref *claim, const char *uri, int64_t age_us)
{
    pyd_claim_describe(site.board, claim, &(struct pyd_claim_purpose){"GET", uri, "203.0.113.9", "WxYz"},
                       pyd_clock_us() - age_us);
}

/* A request that a thread of the worker executes, and that was handed over so long ago. */
static struct pyd_claim_ref begin_request(uint32_t slot, const char *uri, int64_t age_us)
{
    struct pyd_claim_ref claim = claim_one(slot);
    struct pyd_status_request *record = &pyd_board_status(site.board, 0, slot)->request[claim.claim];

    describe(&claim, uri, age_us);
    assert_int_equal(pyd_status_begin(record, claim.seq, pyd_clock_us(), FAKE_TID), 0);
    return claim;
}

static void finish_request(const struct pyd_claim_ref *claim)
{
    pyd_status_end(&pyd_board_status(site.board, 0, claim->slot)->request[claim->claim], claim->seq);
    pyd_claim_release(site.board, claim);
    pyd_generation_poke(site.board);
}

/* The worker finishes one request more: its so-manieth. */
static void finish_one(uint32_t slot, uint64_t count)
{
    send_to(slot, FAKE_FINISH);
    wait_until(atomic_load(&pyd_board_status(site.board, 0, slot)->requests) == count ||
               state_of(slot) != PYD_SLOT_READY);
}

static void start_and_wait(const char *behaviour, const char *const *options)
{
    start_site(1, behaviour, options);
    wait_until(state_of(0) == PYD_SLOT_READY);
}

static void test_recycling(void **state)
{
    static const char *const options[] = {"maximum-requests=2", "maximum-requests-jitter=0", NULL};

    (void)state;
    start_and_wait("ready", options);
    for (unsigned round = 1; round <= 4; round++) { /* more often than there are slots */
        uint32_t old = find_ready();

        finish_one(old, 1);
        assert_int_equal(find_ready(), old);
        finish_one(old, 2);
        pyd_generation_poke(site.board);
        for (int64_t deadline_us = pyd_clock_us() + DEADLINE_US; count_said("is ready after") < round + 1;) {
            assert_true(pyd_clock_us() < deadline_us);
            /* Counting is not atomic. */
            assert_true(count_state(PYD_SLOT_READY) >= 1 || count_state(PYD_SLOT_READY) >= 1);
        }
        wait_until(count_said("ended: replaced after maximum-requests, after ") == round);
        wait_until(count_state(PYD_SLOT_READY) == 1 && find_ready() != old);
        assert_int_equal(atomic_load(&slot_at(old)->ended_cause), PYD_CAUSE_REQUESTS);
    }
    assert_int_equal(count_said("Shutdown requested 'blog'."), 4);
    assert_false(said("\n3 ") || said("\n4 "));
    stop_manager();
}

/* Its requests are finished; with a limit of its own, and without an error in the log. */
static void test_retiring_one_finishes_its_requests(void **state)
{
    static const char *const options[] = {"maximum-requests=1", "maximum-requests-jitter=0", "graceful-timeout=off",
                                          NULL};
    struct pyd_claim_ref claim;

    (void)state;
    start_and_wait("ready", options);
    claim = begin_request(0, "/long", 0);
    finish_one(0, 1);
    pyd_generation_poke(site.board);
    wait_until(state_of(0) == PYD_SLOT_RETIRING);
    wait_until(count_state(PYD_SLOT_READY) == 1);
    pyd_generation_poke(site.board);
    send_to(find_ready(), SIGUSR2); /* the manager goes on with its other work */
    wait_until(said("fake dump of thread 0"));
    assert_int_equal(state_of(0), PYD_SLOT_RETIRING);
    finish_request(&claim);
    wait_until(said("ended: replaced after maximum-requests"));
    stop_manager();
}

static void test_request_timeout(void **state)
{
    static const char *const options[] = {"request-timeout=10s", "graceful-timeout=off", NULL};
    static const char *const order[] = {"Request time limit exceeded in 'blog': GET /late ran ",
                                        "3 PYD0610: mod_pydaemon (pid=",
                                        "Dumping stack trace for active Python threads.",
                                        NULL}; /* the successor may be ready before that */
    struct pyd_claim_ref late, other;
    pid_t pid;

    (void)state;
    start_and_wait("ready", options);
    pid = pid_of(0);
    other = begin_request(0, "/other", 0);
    late = begin_request(0, "/late", 11 * SECOND);
    read_log(0);
    site.log_bytes = 0; /* what was said so far is of no interest */
    pyd_generation_poke(site.board);
    wait_until(state_of(0) == PYD_SLOT_RETIRING);
    wait_until(said("Dumping stack trace"));
    assert_order(order);
    assert_int_equal(find_ready(), 1);
    finish_request(&other);
    /* Only the late one is left, which has time no more. */
    wait_until(said("ended: replaced because a request exceeded request-timeout, after "));
    assert_true(said("3 PYD0611: mod_pydaemon (pid=") && said("; in flight: GET /late."));
    wait_until(said("): Worker replaced by pid="));
    assert_true(place("PYD0611") < place("): Worker replaced by pid="));
    assert_int_equal(count_said("Shutdown requested"), 1);
    assert_int_equal(atomic_load(&slot_at(0)->ended_cause), PYD_CAUSE_REQUEST_TIMEOUT);
    assert_int_equal(atomic_load(&slot_at(0)->ended_pid), pid);
    assert_false(said("PYD0604") || said("PYD0601"));
    pyd_claim_release(site.board, &late);
    stop_manager();
}

/* Nothing of it helps; each kill has its dump before it. */
static void test_request_timeout_of_a_stubborn_worker(void **state)
{
    static const char *const options[] = {"request-timeout=10s", "shutdown-timeout=300ms", NULL};
    static const char *const order[] = {"PYD0610", "PYD0604", "[dump 2 1/", "PYD0611", NULL};
    struct pyd_claim_ref late;

    (void)state;
    start_and_wait("stubborn", options);
    behave("ready");
    late = begin_request(0, "/late", 11 * SECOND);
    pyd_generation_poke(site.board);
    wait_until(said("ended: replaced because a request exceeded request-timeout (it had to be killed), after "));
    assert_order(order);
    assert_int_equal(count_said("Dumping stack trace"), 2);
    assert_int_equal(count_said("Shutdown requested"), 1);
    wait_until(said("Worker replaced by pid="));
    pyd_claim_release(site.board, &late);
    stop_manager();
}

/* The worker leaves them to their fate soon: where do they hang? */
static void test_requests_that_outlast_graceful_timeout(void **state)
{
    static const char *const options[] = {"maximum-requests=1", "maximum-requests-jitter=0", "graceful-timeout=300ms",
                                          "shutdown-timeout=5s", NULL};
    static const char *const order[] = {"Retiring worker 1", "Shutdown requested", "[dump 1 1/", NULL};
    struct pyd_claim_ref claim;

    (void)state;
    start_and_wait("stubborn", options);
    behave("ready");
    claim = begin_request(0, "/long", 0);
    finish_one(0, 1);
    pyd_generation_poke(site.board);
    wait_until(said("Dumping stack trace"));
    assert_order(order);
    if (!said("did not run for"))
        assert_false(said("PYD0604"));
    send_to(0, SIGKILL);
    wait_until(said("ended: killed by signal 9") && said("; in flight: GET /long."));
    pyd_claim_release(site.board, &claim);
    stop_manager();
}

/* Both workers hang: their successors come at once, not one after the other. */
static void test_all_threads_late(void **state)
{
    static const char *const options[] = {"request-timeout=10s", NULL};
    struct pyd_claim_ref claims[6];

    (void)state;
    start_site(2, "ready", options);
    wait_until(count_state(PYD_SLOT_READY) == 2);
    behave("hang");
    for (int i = 0; i < 6; i++) {
        assert_int_equal(pyd_claim_try(site.board, 0, (uint32_t)getpid(), UINT32_MAX, &claims[i]), 0);
        describe(&claims[i], "/late", 11 * SECOND);
        pyd_status_begin(&pyd_board_status(site.board, 0, claims[i].slot)->request[claims[i].claim], claims[i].seq,
                         pyd_clock_us(), FAKE_TID);
    }
    pyd_generation_poke(site.board);
    wait_until(count_state(PYD_SLOT_STARTING) == 2);
    assert_int_equal(count_state(PYD_SLOT_READY), 2);
    behave("ready");
    for (uint32_t i = 0; i < 6; i++) {
        if (state_of(i) == PYD_SLOT_STARTING) {
            wait_until(pid_of(i) > 1);
            send_to(i, SIGKILL);
        }
    }
    for (int i = 0; i < 6; i++)
        pyd_claim_release(site.board, &claims[i]);
    wait_until(count_said("ended: replaced because") == 2);
    stop_manager();
}

/* The pid in the so-manieth line about a worker that starts; such lines begin with "6 mod_pydaemon (pid=". */
static int nth_started(unsigned nth)
{
    const char *at = place("): Starting worker ");
    int pid = 0;

    while (--nth > 0) {
        at = strstr(at + 1, "): Starting worker ");
        assert_non_null(at);
    }
    while (at > site.log && at[-1] != '\n')
        at--;
    assert_int_equal(sscanf(at, "%*d mod_pydaemon (pid=%d)", &pid), 1);
    return pid;
}

/* Who has waited longer for a successor lets go first who is in a hurry, and this one has it then. */
static void test_who_goes_first_has_the_successor(void **state)
{
    static const char *const options[] = {"request-timeout=10s", "maximum-requests=1", "maximum-requests-jitter=0",
                                          NULL};
    struct pyd_claim_ref claims[2];
    char text[100];
    pid_t pids[2];

    (void)state;
    start_site(2, "ready", options);
    wait_until(count_state(PYD_SLOT_READY) == 2);
    for (uint32_t i = 0; i < 2; i++) {
        pids[i] = pid_of(i);
        assert_int_equal(pyd_claim_try(site.board, 0, (uint32_t)getpid(), UINT32_MAX, &claims[i]), 0);
    }
    assert_int_not_equal(claims[0].slot, claims[1].slot);
    for (uint32_t i = 0; i < 2; i++) {
        if (claims[i].slot == 0) {
            pyd_claim_release(site.board, &claims[i]);
            continue;
        }
        describe(&claims[i], "/late", 11 * SECOND);
        pyd_status_begin(&pyd_board_status(site.board, 0, 1)->request[claims[i].claim], claims[i].seq, pyd_clock_us(),
                         FAKE_TID);
    }
    finish_one(0, 1);
    pyd_generation_poke(site.board);
    wait_until(count_said("): Worker replaced by pid=") == 2);
    snprintf(text, sizeof text, "(pid=%d): Worker replaced by pid=%d after ", (int)pids[1], nth_started(3));
    assert_true(said(text));
    snprintf(text, sizeof text, "(pid=%d): Worker replaced by pid=%d after ", (int)pids[0], nth_started(4));
    assert_true(said(text));
    stop_manager();
}

static void test_deadlock(void **state)
{
    static const char *const options[] = {"deadlock-timeout=2s", NULL};
    static const char *const order[] = {"PYD0635", "3 PYD0610", "fake dump of thread 0", "3 PYD0611", NULL};

    (void)state;
    start_and_wait("lifeless", options);
    send_to(0, FAKE_FINISH); /* it has worked: no failed start */
    behave("ready");
    wait_until(said("ended: killed because it was stuck for deadlock-timeout, after "));
    assert_order(order);
    assert_int_equal(count_said("Shutdown requested"), 1);
    assert_int_equal(atomic_load(&slot_at(0)->ended_cause), PYD_CAUSE_DEADLOCK);
    wait_until(count_state(PYD_SLOT_READY) == 1);
    wait_until(said("Worker replaced by pid=") || said("Worker not replaced yet"));
    assert_false(said("PYD0602"));
    stop_manager();
}

/* Killed without having done anything, again and again: that is a start that fails. */
static void test_doomed_from_the_start(void **state)
{
    static const char *const options[] = {"memory-hard-limit=1M", NULL};

    (void)state;
    start_site(1, "large", options);
    wait_until(group_state() == PYD_GROUP_FAILING);
    wait_until(count_said("ended: killed because it exceeded memory-hard-limit, after ") >= 2);
    assert_true(said("PYD0602"));
    assert_true(count_said("Dumping stack trace") >= 2);
    stop_manager();
}

/* It says nothing, so the kernel is asked; then it is killed. */
static void test_dump_of_one_that_makes_none(void **state)
{
    static const char *const options[] = {"startup-timeout=300ms", NULL};
    static const char *const order[] = {"PYD0603", "Dumping stack trace",
                                        "ended: killed because it was not ready within startup-timeout", NULL};

    (void)state;
    start_site(1, "hang,mute", options);
    wait_until(said(order[2]));
    assert_order(order);
    behave("ready");
    wait_until(group_state() == PYD_GROUP_SERVING);
    stop_manager();
}

static void test_dump_of_one_that_is_stopped(void **state)
{
    static const char *const options[] = {"request-timeout=10s", "shutdown-timeout=300ms", NULL};
    static const char *const order[] = {"PYD0630", "3 PYD0610", "[dump 1 1/", "PYD0604", "[dump 2 1/",
                                        "PYD0611", "Worker replaced by pid=", NULL};
    struct pyd_claim_ref late;

    (void)state;
    start_and_wait("frozen", options);
    behave("ready");
    late = begin_request(0, "/late", 11 * SECOND);
    pyd_generation_poke(site.board);
    wait_until(said("(it had to be killed), after ") && said("Worker replaced by pid="));
    assert_order(order);
    pyd_claim_release(site.board, &late);
    stop_manager();
}

/* httpd waits for shutdown-timeout and 2 s. */
static void test_last_dump_is_short(void **state)
{
    static const char *const options[] = {"shutdown-timeout=300ms", NULL};
    static const char *const order[] = {"PYD0604", "Dumping stack trace", "ended: killed because it did not stop",
                                        NULL};
    int64_t begun_us, passed_us;

    (void)state;
    start_and_wait("stubborn,mute", options);
    begun_us = pyd_clock_us();
    stop_manager();
    passed_us = pyd_clock_us() - begun_us;
    assert_order(order);
    if (!said("did not run for")) /* a machine as busy as that */
        assert_in_range(passed_us, 1300000, 2300000);
}

static void test_kill_is_hurried_when_httpd_ends(void **state)
{
    static const char *const options[] = {"deadlock-timeout=2s", NULL};
    int64_t begun_us;

    (void)state;
    start_and_wait("lifeless,mute", options);
    wait_until(said("PYD0635"));
    begun_us = pyd_clock_us();
    stop_manager();
    assert_true(said("Dumping stack trace"));
    assert_true(said("ended: killed because it was stuck"));
    if (!said("did not run for"))
        assert_in_range(pyd_clock_us() - begun_us, 0, 2000000);
}

static void test_idle_group_sleeps_and_wakes(void **state)
{
    static const char *const options[] = {"inactivity-timeout=300ms", NULL};
    uint32_t waiter;

    (void)state;
    start_site(2, "ready", options);
    wait_until(count_said("ended: stopped because it was idle for inactivity-timeout, after ") == 2);
    wait_until(count_state(PYD_SLOT_EMPTY) == 6);
    assert_int_equal(group_state(), PYD_GROUP_SERVING);
    assert_int_equal(count_said("is ready after"), 2);
    assert_int_equal(pyd_queue_enter(site.board, 0, (uint32_t)getpid(), &waiter), 0);
    pyd_generation_poke(site.board);
    wait_until(count_state(PYD_SLOT_READY) == 2); /* it waits although one is ready: another one */
    assert_int_equal(group_state(), PYD_GROUP_SERVING);
    pyd_queue_leave(site.board, 0, waiter);
    wait_until(count_said("ended: stopped because it was idle") == 4);
    stop_manager();
}

static void test_failing_replacements_leave_the_old_one(void **state)
{
    static const char *const options[] = {"maximum-requests=1", "maximum-requests-jitter=0", NULL};
    pid_t pid;

    (void)state;
    start_and_wait("ready", options);
    pid = pid_of(0);
    behave("import");
    kill(pid, FAKE_FINISH);
    wait_until(said("PYD0608"));
    wait_until(count_said("ended: an application could not be imported") >= 2);
    assert_int_equal(state_of(0), PYD_SLOT_READY);
    assert_int_equal(pid_of(0), pid);
    assert_int_equal(group_state(), PYD_GROUP_SERVING);
    behave("ready");
    wait_until(said("ended: replaced after maximum-requests"));
    stop_manager();
}

/* The successor of a killed manager knows its workers' limits as well. */
static void test_adopted_worker_times_out(void **state)
{
    static const char *const options[] = {"request-timeout=10s", NULL};
    struct pyd_claim_ref late;

    (void)state;
    start_and_wait("ready", options);
    kill(site.manager, SIGKILL);
    waitpid(site.manager, NULL, 0);
    late = begin_request(0, "/late", 11 * SECOND);
    start_manager();
    wait_until(said("Request time limit exceeded"));
    wait_until(said("PYD0610"));
    wait_until(said("fake dump of thread 0")); /* by a signal: there is no control socket */
    wait_until(said("ended: replaced because a request exceeded request-timeout, after "));
    wait_until(said("Worker replaced by pid="));
    assert_int_equal(atomic_load(&slot_at(0)->ended_cause), PYD_CAUSE_REQUEST_TIMEOUT);
    pyd_claim_release(site.board, &late);
    stop_manager();
}

/* That the GIL was not to be had for a dump is soon forgotten: it serves until there is another one. */
static void test_dump_without_the_lock_ends_nobody(void **state)
{
    static const char *const options[] = {"request-timeout=10s", NULL};
    struct pyd_claim_ref late;

    (void)state;
    start_and_wait("nogil", options);
    behave("hang");
    late = begin_request(0, "/late", 11 * SECOND);
    pyd_generation_poke(site.board);
    wait_until(count_said("fake dump of thread 0") == 1);
    send_to(0, SIGUSR2); /* when that has been answered, the manager has had its turn */
    wait_until(count_said("fake dump of thread 0") == 2);
    assert_int_equal(count_state(PYD_SLOT_STARTING), 1);
    assert_int_equal(state_of(0), PYD_SLOT_READY);
    assert_int_equal(group_state(), PYD_GROUP_SERVING);
    behave("ready");
    for (uint32_t i = 1; i < 3; i++)
        if (state_of(i) == PYD_SLOT_STARTING)
            send_to(i, SIGKILL);
    wait_until(said("ended: replaced because a request exceeded request-timeout, after "));
    pyd_claim_release(site.board, &late);
    stop_manager();
}

/* Managers that are killed themselves. */

static void kill_manager(void)
{
    kill(site.manager, SIGKILL);
    waitpid(site.manager, NULL, 0);
}

/* The kill was decided, and said; its dump was being made. */
static void test_kill_goes_on_under_the_next_manager(void **state)
{
    static const char *const options[] = {"startup-timeout=300ms", NULL};

    (void)state;
    start_site(1, "hang,mute", options);
    wait_until(said("PYD0603"));
    behave("ready");
    wait_until(atomic_load(&slot_at(0)->killed_for) == PYD_CAUSE_STARTUP_TIMEOUT); /* after that has been said */
    kill_manager();
    assert_int_equal(count_said("Dumping stack trace"), 0);
    start_manager();
    wait_until(said("ended: killed because it was not ready within startup-timeout"));
    assert_int_equal(count_said("PYD0603"), 1);
    assert_int_equal(count_said("Dumping stack trace"), 1);
    assert_int_equal(atomic_load(&slot_at(0)->ended_cause), PYD_CAUSE_STARTUP_TIMEOUT);
    wait_until(group_state() == PYD_GROUP_SERVING);
    stop_manager();
}

static void test_shutdown_timeout_is_told_once(void **state)
{
    static const char *const options[] = {"shutdown-timeout=2s", "request-timeout=10s", NULL};
    struct pyd_claim_ref late;

    (void)state;
    start_and_wait("stubborn,mute", options);
    behave("ready");
    late = begin_request(0, "/late", 11 * SECOND);
    pyd_generation_poke(site.board);
    wait_until(atomic_load(&slot_at(0)->killed_for) == PYD_CAUSE_SHUTDOWN_TIMEOUT); /* after that has been said */
    kill_manager();
    start_manager();
    wait_until(said("ended: replaced because a request exceeded request-timeout (it had to be killed), after "));
    wait_until(said("PYD0631"));
    if (count_said("PYD0604") != 1 || count_said("PYD0610") != 1)
        fail_msg("said again; log:\n%s", site.log);
    assert_true(said("): Worker replaced before that; 0 requests finished"));
    pyd_claim_release(site.board, &late);
    stop_manager();
}

/* Nobody had seen that it was gone. */
static void test_killed_one_died_while_no_manager_was_there(void **state)
{
    static const char *const options[] = {"deadlock-timeout=2s", NULL};

    (void)state;
    start_and_wait("lifeless,mute", options);
    behave("ready");
    wait_until(atomic_load(&slot_at(0)->killed_for) == PYD_CAUSE_DEADLOCK); /* after that has been said */
    kill_manager();
    send_to(0, SIGKILL);
    start_manager();
    wait_until(said("3 PYD0611: ") && said("ended: killed because it was stuck for deadlock-timeout, after "));
    assert_int_equal(count_said("PYD0635"), 1);
    assert_int_equal(count_said("PYD0610"), 1);
    stop_manager();
}

/* What it has to go for is as urgent to the next one. */
static void test_limit_is_known_to_the_next_manager(void **state)
{
    static const char *const options[] = {"maximum-requests=1", "maximum-requests-jitter=0", NULL};

    (void)state;
    start_and_wait("ready", options);
    behave("hang");
    finish_one(0, 1);
    wait_until(said("is replaced after 1 requests"));
    wait_until(count_state(PYD_SLOT_STARTING) == 1);
    kill_manager();
    behave("ready");
    start_manager();
    wait_until(said("ended: replaced after maximum-requests"));
    wait_until(said("): Worker replaced by pid="));
    assert_int_equal(count_said("is replaced after 1 requests"), 1);
    stop_manager();
}

/* The children have been told; that the log has, too, its manager could not say any more. */
static void test_end_that_was_not_logged(void **state)
{
    struct pyd_claim_ref claim;
    char text[100];

    (void)state;
    start_and_wait("ready", NO_OPTIONS);
    claim = begin_request(0, "/fatal", 0); /* the slot stays as it is */
    snprintf(text, sizeof text, "3 PYD0601: mod_pydaemon (pid=%d): Worker 1 of 'blog' ended: killed by signal 9",
             (int)pid_of(0));
    send_to(0, SIGKILL);
    wait_until(atomic_load(&slot_at(0)->told_epoch) == 1);
    kill_manager();
    assert_int_equal(state_of(0), PYD_SLOT_DEAD);
    assert_int_equal(count_said(text), 1);
    atomic_store(&slot_at(0)->told_epoch, 0);
    start_manager();
    wait_until(count_said("Manager of generation 7 started") == 2);
    assert_int_equal(count_said(text), 2);
    assert_int_equal(count_said("; in flight: GET /fatal."), 2);
    /* Not once more, where it is known to have been. */
    kill_manager();
    start_manager();
    wait_until(count_said("Manager of generation 7 started") == 3);
    assert_int_equal(count_said(text), 2);
    pyd_claim_release(site.board, &claim);
    stop_manager();
}

/* Three workers in a row hang in one request and have another one to finish: then there is no slot for a fourth one. */
static void test_no_room_for_a_successor(void **state)
{
    static const char *const options[] = {"request-timeout=100s", "graceful-timeout=off", NULL};
    struct pyd_claim_ref claims[6];

    (void)state;
    start_site(1, "stubborn", options);
    for (uint32_t i = 0; i < 3; i++) {
        wait_until(count_said("is ready after") == i + 1);
        wait_until(count_state(PYD_SLOT_READY) == 1);
        claims[2 * i] = begin_request(find_ready(), "/late", 101 * SECOND);
        claims[2 * i + 1] = begin_request(claims[2 * i].slot, "/other", 0);
        if (i == 2)
            behave("ready");
        pyd_generation_poke(site.board);
    }
    wait_until(said("PYD0612: mod_pydaemon (pid=") && said("in flight: "));
    wait_until(count_said("(it had to be killed), after ") == 1);
    assert_int_equal(atomic_load(&slot_at(claims[0].slot)->ended_cause), PYD_CAUSE_REQUEST_TIMEOUT);
    pyd_claim_release(site.board, &claims[0]);
    pyd_claim_release(site.board, &claims[1]);
    wait_until(count_said("is ready after") == 4);
    for (uint32_t i = 0; i < 6; i++) {
        send_to(claims[i].slot, SIGKILL);
        pyd_claim_release(site.board, &claims[i]);
    }
    stop_manager();
}

static void test_dump_for_information(void **state)
{
    (void)state;
    start_and_wait("ready", NO_OPTIONS);
    send_to(0, SIGUSR2);
    wait_until(said("fake dump of thread 0"));
    assert_false(said("Shutdown requested"));
    assert_int_equal(state_of(0), PYD_SLOT_READY);
    stop_manager();
}

/* Nobody is to suffer for what happened while the manager was stopped. */
static void test_stall_is_noticed(void **state)
{
    int64_t until_us;

    (void)state;
    start_and_wait("ready", NO_OPTIONS);
    kill(site.manager, SIGSTOP);
    until_us = pyd_clock_us() + 2500000; /* it would wake up after a second at the latest */
    wait_until(pyd_clock_us() > until_us);
    kill(site.manager, SIGCONT);
    wait_until(said("6 mod_pydaemon (pid=") && said("): This manager did not run for "));
    stop_manager();
}

#define with_clean_up(test) cmocka_unit_test_teardown(test, clean_up)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        with_clean_up(test_recycling),
        with_clean_up(test_retiring_one_finishes_its_requests),
        with_clean_up(test_request_timeout),
        with_clean_up(test_request_timeout_of_a_stubborn_worker),
        with_clean_up(test_requests_that_outlast_graceful_timeout),
        with_clean_up(test_all_threads_late),
        with_clean_up(test_who_goes_first_has_the_successor),
        with_clean_up(test_deadlock),
        with_clean_up(test_doomed_from_the_start),
        with_clean_up(test_dump_of_one_that_makes_none),
        with_clean_up(test_dump_of_one_that_is_stopped),
        with_clean_up(test_last_dump_is_short),
        with_clean_up(test_kill_is_hurried_when_httpd_ends),
        with_clean_up(test_idle_group_sleeps_and_wakes),
        with_clean_up(test_failing_replacements_leave_the_old_one),
        with_clean_up(test_adopted_worker_times_out),
        with_clean_up(test_dump_without_the_lock_ends_nobody),
        with_clean_up(test_kill_goes_on_under_the_next_manager),
        with_clean_up(test_shutdown_timeout_is_told_once),
        with_clean_up(test_killed_one_died_while_no_manager_was_there),
        with_clean_up(test_limit_is_known_to_the_next_manager),
        with_clean_up(test_end_that_was_not_logged),
        with_clean_up(test_no_room_for_a_successor),
        with_clean_up(test_dump_for_information),
        with_clean_up(test_stall_is_noticed),
    };
    const char *behaviour = getenv("FAKE");

    if (behaviour)
        return fake_worker_main(behaviour);
    if (argc > 0 && argv[0][0] == '(')
        return 96; /* a worker that was not told its behaviour */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
