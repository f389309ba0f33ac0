/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Many processes (or threads) on one board, some of them killed anywhere, while a
 * manager sweeps and replaces workers. Each claim has a witness word beside the
 * board in which its user stands: two at a time are seen at once.
 *
 * Children can't use assertions: they write what is wrong to `wrong`, the parent looks.
 */
#include "board_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pyd_clock.h"

#define PROCESSES 2u
#define SLOTS (PROCESSES * PYD_BOARD_SLOTS_PER_PROCESS)
#define THREADS 2u
#define CHILDREN 8
#define IDS 20000

#define RUN_US INT64_C(1500000)
#define WAIT_US INT64_C(10000000)  /* without kills: one wait; nobody may come near it */
#define SLICE_US INT64_C(1000000)  /* with kills, as httpd does it */
#define LATE_US INT64_C(3000000)   /* longest way to a claim; a machine that is busy otherwise is allowed for */
#define GIVE_UP_US INT64_C(20000000) /* of the whole run */

enum wrong { FINE, TWO_OWNERS, NOT_MINE_ANY_MORE, WORKER_REPLACED, WORKER_DOWN, LATE, FULL, SEQ_WENT_BACK,
             SAID_EARLY, NEVER_SAID, TIME_TOO_LONG, WRONG_WORDS };

static struct shared {
    _Atomic uint32_t stop, wrong;
    _Atomic uint64_t grants;
    _Atomic int64_t longest_us;
    _Atomic uint32_t witness[SLOTS][THREADS]; /* id of the user */
    _Atomic uint64_t last_seq[SLOTS][THREADS];
    _Atomic uint32_t down[SLOTS]; /* 1: no worker there */
    _Atomic uint64_t said; /* how often set_late() said 1 */
    _Atomic uint32_t dead[IDS]; /* by id: its process is no more, and has not been swept before this was set */
} *shared;

static struct pyd_board *board;

struct child {
    uint32_t id, self; /* self: the pid, or a thread's stand-in */
    uint64_t seed;
    int64_t slice_us;
    int orphans; /* gives requests up that run */
};

static void complain(enum wrong what)
{
    uint32_t none = FINE;

    atomic_compare_exchange_strong(&shared->wrong, &none, (uint32_t)what);
    atomic_store(&shared->stop, 1);
}

static uint32_t roll(uint64_t *seed, uint32_t sides)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33) % sides;
}

static void linger(struct child *child)
{
    uint32_t turns = roll(&child->seed, 4) == 0 ? roll(&child->seed, 3) : 0;

    while (turns-- > 0)
        sched_yield();
}

static int wait_in_queue(struct child *child, struct pyd_claim_ref *ret_claim)
{
    uint32_t waiter;
    int rv = EAGAIN;

    if (pyd_queue_enter(board, 0, child->self, &waiter) != 0) {
        complain(FULL);
        return EAGAIN;
    }
    for (;;) {
        if (pyd_queue_is_first(board, 0, waiter))
            rv = pyd_claim_try(board, 0, child->self, NO_SLOT, ret_claim);
        if (rv == 0 || atomic_load(&shared->stop))
            break;
        linger(child);
        pyd_queue_wait(board, 0, waiter, child->slice_us);
    }
    pyd_queue_leave(board, 0, waiter);
    return rv;
}

static int get_claim(struct child *child, struct pyd_claim_ref *ret_claim)
{
    int64_t before_us = pyd_clock_us(), took_us, longest_us = atomic_load(&shared->longest_us);
    int rv = EAGAIN;

    if (!pyd_queue_busy(board, 0))
        rv = pyd_claim_try(board, 0, child->self, NO_SLOT, ret_claim);
    if (rv)
        rv = wait_in_queue(child, ret_claim);
    took_us = pyd_clock_us() - before_us;
    while (took_us > longest_us && !atomic_compare_exchange_weak(&shared->longest_us, &longest_us, took_us)) {
    }
    if (took_us > LATE_US)
        complain(LATE);
    return rv;
}

static void use_claim(struct child *child, const struct pyd_claim_ref *claim)
{
    _Atomic uint32_t *witness = &shared->witness[claim->slot][claim->claim];
    struct pyd_status_request *record = fixture_request(board, claim);
    uint32_t before = atomic_exchange(witness, child->id), mine = child->id;
    int runs = roll(&child->seed, 4) != 0;

    if (before != 0 && !atomic_load(&shared->dead[before]))
        complain(TWO_OWNERS);
    if (atomic_exchange(&shared->last_seq[claim->slot][claim->claim], claim->seq) >= claim->seq)
        complain(SEQ_WENT_BACK);
    if (atomic_load(&shared->down[claim->slot]))
        complain(WORKER_DOWN);
    atomic_fetch_add(&shared->grants, 1);
    /* The child plays the worker, too. */
    if (runs && pyd_status_begin(record, claim->seq, 1, 1) != 0)
        complain(SEQ_WENT_BACK);
    linger(child);
    if (atomic_load(&pyd_board_slot(board, 0, claim->slot)->epoch) != claim->epoch)
        complain(WORKER_REPLACED);
    if (runs && child->orphans && roll(&child->seed, 3) == 0) {
        pyd_claim_orphan(board, claim);
        linger(child);
        if (!atomic_compare_exchange_strong(witness, &mine, 0))
            complain(TWO_OWNERS);
        pyd_status_end(record, claim->seq);
        return;
    }
    if (runs)
        pyd_status_end(record, claim->seq);
    if (!atomic_compare_exchange_strong(witness, &mine, 0))
        complain(NOT_MINE_ANY_MORE);
    pyd_claim_release(board, claim);
}

static void *child_main(void *data)
{
    struct child *child = data;
    struct pyd_claim_ref claim;

    while (!atomic_load(&shared->stop)) {
        if (get_claim(child, &claim) == 0)
            use_claim(child, &claim);
        linger(child);
    }
    return NULL;
}

/* The manager's side. */

static pid_t pids[CHILDREN];
static uint32_t ids[CHILDREN], next_id;
static uint64_t seed = 4711;

static void fork_child(int place, int64_t slice_us, int orphans)
{
    struct child child = {.id = ++next_id, .slice_us = slice_us, .orphans = orphans};
    pid_t parent = getpid(), pid = fork();

    assert_true(pid >= 0);
    if (pid > 0) {
        pids[place] = pid;
        ids[place] = next_id;
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    child.self = (uint32_t)getpid();
    child.seed = child.id * 7919u;
    child_main(&child);
    _exit(0);
}

static int is_listed(void *baton, uint32_t pid)
{
    int i;

    (void)baton;
    for (i = 0; i < CHILDREN; ++i) {
        if ((uint32_t)pids[i] == pid)
            return 1;
    }
    return 0;
}

/* What a dead child, as a worker, would have finished. */
static void finish_for(uint32_t id)
{
    uint32_t s, i;

    for (s = 0; s < SLOTS; ++s) {
        for (i = 0; i < THREADS; ++i) {
            struct pyd_status_request *record = &pyd_board_status(board, 0, s)->request[i];
            uint64_t seen = atomic_load(&record->seq_state);

            if (atomic_load(&shared->witness[s][i]) == id)
                pyd_status_end(record, seen >> 1);
        }
    }
}

/* It may have died between the witness and the end of its work; then nobody is in the claim's witness. */
static void finish_rest(void)
{
    uint32_t s, i;

    for (s = 0; s < SLOTS; ++s) {
        for (i = 0; i < THREADS; ++i) {
            uint64_t seen = atomic_load(&pyd_board_status(board, 0, s)->request[i].seq_state);

            if ((seen & 1) == PYD_STATUS_RUNNING && atomic_load(&shared->witness[s][i]) == 0 &&
                atomic_load(&pyd_board_owners(board, 0, s)[i]) == PYD_OWNER_ORPHAN)
                pyd_status_end(&pyd_board_status(board, 0, s)->request[i], seen >> 1);
        }
    }
}

static void kill_one(int place)
{
    pid_t pid = pids[place];
    int status;

    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    pids[place] = 0;
    atomic_store(&shared->dead[ids[place]], 1);
    finish_for(ids[place]);
    pyd_sweep(board, 0, is_listed, NULL);
    finish_rest();
}

static int end_if_unclaimed(uint32_t s)
{
    struct pyd_board_slot *slot = pyd_board_slot(board, 0, s);

    if (pyd_claim_busy(board, 0, s) != 0 || !pyd_sweep_slot_unclaimed(board, 0, s))
        return 0;
    atomic_store(&shared->down[s], 1);
    atomic_store(&slot->state, PYD_SLOT_DEAD);
    atomic_fetch_add(&slot->epoch, 1);
    atomic_store(&slot->state, PYD_SLOT_STARTING);
    if (roll(&seed, 4) == 0)
        sched_yield();
    atomic_store(&shared->down[s], 0);
    return 1;
}

static void be_ready(uint32_t s)
{
    atomic_store(&pyd_board_slot(board, 0, s)->state, PYD_SLOT_READY);
    pyd_queue_wake(board, 0, THREADS);
}

/* Replace a worker as the manager does: retire, wait for its claims, end, start the next. */
static void replace_worker(uint32_t s)
{
    struct pyd_board_slot *slot = pyd_board_slot(board, 0, s);

    if (atomic_load(&slot->state) == PYD_SLOT_READY)
        atomic_store(&slot->state, PYD_SLOT_RETIRING);
    else if (end_if_unclaimed(s))
        be_ready(s);
}

/* The same so fast that it often falls between a child's look at the slot and its claim. */
static void replace_at_once(uint32_t s)
{
    atomic_store(&pyd_board_slot(board, 0, s)->state, PYD_SLOT_RETIRING);
    end_if_unclaimed(s);
    be_ready(s);
}

/* Until so many more claims have been granted; not for ever, since with the last worker retiring there are none. */
static void await_grants(uint64_t more)
{
    uint64_t until = atomic_load(&shared->grants) + more;
    int turns = 0;

    while (atomic_load(&shared->grants) < until && !atomic_load(&shared->stop) && turns++ < 2000)
        sched_yield();
}

static void start_workers(void)
{
    uint32_t s;

    for (s = 0; s < PROCESSES; ++s)
        fixture_start(board, s);
}

static int set_up(void **state)
{
    (void)state;
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return -1;
    board = fixture_board(PROCESSES, THREADS, CHILDREN);
    memset(pids, 0, sizeof(pids));
    next_id = 0;
    start_workers();
    return 0;
}

static int tear_down(void **state)
{
    int i;

    (void)state;
    for (i = 0; i < CHILDREN; ++i) {
        if (pids[i] > 0 && kill(pids[i], SIGKILL) == 0)
            waitpid(pids[i], NULL, 0);
    }
    fixture_done(board);
    munmap(shared, sizeof(*shared));
    return 0;
}

static void end_children(void)
{
    int64_t deadline_us = pyd_clock_us() + GIVE_UP_US;
    int i, status;

    atomic_store(&shared->stop, 1);
    for (i = 0; i < CHILDREN; ++i) {
        pid_t ended = 0;

        while ((ended = waitpid(pids[i], &status, WNOHANG)) == 0 && pyd_clock_us() < deadline_us)
            sched_yield();
        assert_int_equal(ended, pids[i]);
        assert_int_equal(status, 0);
        pids[i] = 0;
    }
}

/* As good as new: nobody in the queue, and every claim can be had, once. */
static void expect_order(void)
{
    struct pyd_claim_ref claim;
    uint32_t i;

    assert_int_equal(atomic_load(&shared->wrong), FINE);
    assert_int_equal((uint32_t)atomic_load(&pyd_board_group(board, 0)->queue), 0);
    for (i = 0; i < CHILDREN; ++i) {
        assert_int_equal(atomic_load(&pyd_board_waiter(board, 0, i)->owner), PYD_OWNER_NONE);
        assert_int_equal(atomic_load(&pyd_board_waiter(board, 0, i)->ticket), 0);
    }
    for (i = 0; i < PROCESSES; ++i)
        assert_int_equal(pyd_claim_busy(board, 0, i), 0);
    for (i = 0; i < PROCESSES * THREADS; ++i)
        assert_int_equal(pyd_claim_try(board, 0, SELF, NO_SLOT, &claim), 0);
    assert_int_equal(pyd_claim_try(board, 0, SELF, NO_SLOT, &claim), EAGAIN);
    print_message("%u claims, longest way to one %.1f ms, %u processes\n", (unsigned)atomic_load(&shared->grants),
                  (double)atomic_load(&shared->longest_us) / 1000, next_id);
}

/* Each wait is 10 s long, and nobody looks again earlier: a lost wake-up would show. */
static void test_no_wakeup_is_lost(void **state)
{
    int64_t until_us = pyd_clock_us() + RUN_US;
    int i;

    (void)state;
    for (i = 0; i < CHILDREN; ++i)
        fork_child(i, WAIT_US, 0);
    while (pyd_clock_us() < until_us && !atomic_load(&shared->stop))
        await_grants(1000);
    end_children();
    assert_true(atomic_load(&shared->grants) > 100);
    expect_order();
}

/* The same while workers come and go. */
static void test_no_wakeup_is_lost_when_workers_change(void **state)
{
    int64_t until_us = pyd_clock_us() + RUN_US / 2;
    uint32_t s;
    int i;

    (void)state;
    for (i = 0; i < CHILDREN; ++i)
        fork_child(i, WAIT_US, 0);
    while (pyd_clock_us() < until_us && !atomic_load(&shared->stop)) {
        for (i = (int)roll(&seed, 200); i > 0; --i)
            replace_at_once(roll(&seed, PROCESSES));
        await_grants(1 + roll(&seed, 20));
        replace_worker(roll(&seed, PROCESSES));
    }
    for (s = 0; s < PROCESSES; ++s)
        be_ready(s);
    end_children();
    assert_true(atomic_load(&shared->grants) > 100);
    expect_order();
}

static void test_killed_anywhere(void **state)
{
    int64_t until_us = pyd_clock_us() + RUN_US;
    uint32_t s;
    int i, killed = 0;

    (void)state;
    for (i = 0; i < CHILDREN; ++i)
        fork_child(i, SLICE_US, 1);
    while (pyd_clock_us() < until_us && !atomic_load(&shared->stop) && next_id < IDS - CHILDREN) {
        await_grants(1 + roll(&seed, 50));
        i = (int)roll(&seed, CHILDREN);
        kill_one(i);
        ++killed;
        fork_child(i, SLICE_US, 1);
        replace_worker(roll(&seed, PROCESSES));
    }
    for (s = 0; s < PROCESSES; ++s)
        be_ready(s);
    end_children();
    pyd_sweep(board, 0, is_listed, NULL);
    assert_true(killed > 5);
    assert_true(atomic_load(&shared->grants) > 100);
    expect_order();
}

static int everybody_lives(void *baton, uint32_t pid)
{
    (void)baton;
    return pid != 0;
}

/* Threads instead of processes: what ThreadSanitizer can follow. */
static void test_threads(void **state)
{
    struct child children[CHILDREN];
    pthread_t threads[CHILDREN];
    int64_t until_us = pyd_clock_us() + RUN_US / 2;
    uint32_t repaired = 0;
    int i;

    (void)state;
    for (i = 0; i < CHILDREN; ++i) {
        children[i] = (struct child){
            .id = (uint32_t)i + 1, .self = 1000 + (uint32_t)i, .seed = (uint32_t)i + 1, .slice_us = WAIT_US};
        assert_int_equal(pthread_create(&threads[i], NULL, child_main, &children[i]), 0);
    }
    /* Nobody is dead: the sweep must touch nothing. */
    while (pyd_clock_us() < until_us && !atomic_load(&shared->stop)) {
        repaired += pyd_sweep(board, 0, everybody_lives, NULL);
        if (roll(&seed, 16) == 0)
            sched_yield();
    }
    assert_int_equal(repaired, 0);
    atomic_store(&shared->stop, 1);
    for (i = 0; i < CHILDREN; ++i)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(atomic_load(&shared->grants) > 100);
    expect_order();
}

/*
 * request-timeout. The clock is made up: each use begins at its seq, so what a looker is told can be checked to the
 * microsecond. Children say of each of their uses that it is late, and so do the lookers of all they see: one of them
 * is the first.
 */
#define FAR_US (INT64_C(1) << 50)
#define LOOKERS 2
#define PAUSE_AT 100
#define PAUSE_US 1000

static int64_t start_of(uint64_t seq)
{
    return (int64_t)seq * 10000;
}

static void say_late(const struct pyd_claim_ref *claim)
{
    atomic_fetch_add(&shared->said, (uint64_t)pyd_claim_set_late(board, claim));
}

/* A client that waits while the worker does. */
static void wait_for_client(struct child *child, const struct pyd_claim_ref *claim, int64_t start_us)
{
    struct pyd_status_request *record = fixture_request(board, claim);

    pyd_status_wait(record, start_us + PAUSE_AT);
    pyd_claim_pause(board, claim, start_us + PAUSE_AT);
    linger(child);
    pyd_claim_resume(board, claim, start_us + PAUSE_AT + PAUSE_US);
    pyd_status_wait_end(record, start_us + PAUSE_AT + PAUSE_US);
    if (pyd_claim_elapsed_us(board, claim, start_us + 5000) != 5000 - PAUSE_US)
        complain(TIME_TOO_LONG);
}

static void be_late(struct child *child, const struct pyd_claim_ref *claim)
{
    struct pyd_status_request *record = fixture_request(board, claim);
    int64_t start_us = start_of(claim->seq);
    char uri[32];

    snprintf(uri, sizeof(uri), "/%llu", (unsigned long long)claim->seq);
    linger(child);
    if (pyd_claim_is_late(board, claim))
        complain(SAID_EARLY);
    pyd_claim_describe(board, claim, &(struct pyd_claim_purpose){"GET", uri, "", ""}, start_us);
    linger(child);
    if (roll(&child->seed, 3) != 0 && pyd_status_begin(record, claim->seq, start_us, 1) == 0)
        wait_for_client(child, claim, start_us);
    say_late(claim);
    if (!pyd_claim_is_late(board, claim))
        complain(NEVER_SAID);
    say_late(claim);
    atomic_fetch_add(&shared->grants, 1);
}

static void *late_child_main(void *data)
{
    struct child *child = data;
    struct pyd_claim_ref claim;

    while (!atomic_load(&shared->stop)) {
        if (pyd_claim_try(board, 0, child->self, NO_SLOT, &claim) != 0) {
            sched_yield();
            continue;
        }
        be_late(child, &claim);
        if (roll(&child->seed, 3) == 0) {
            pyd_claim_orphan(board, &claim);
            linger(child);
            pyd_status_end(fixture_request(board, &claim), claim.seq);
        } else {
            pyd_status_end(fixture_request(board, &claim), claim.seq);
            pyd_claim_release(board, &claim);
        }
    }
    return NULL;
}

/* What a looker has seen of a claim: once its use has paused, that never counts again. */
struct seen {
    uint64_t seq;
    int paused;
};

static void check_view(const struct pyd_claim_view *view, struct seen *seen)
{
    int64_t most_us = FAR_US - start_of(view->ref.seq);
    char words[48];

    snprintf(words, sizeof(words), "GET /%llu", (unsigned long long)view->ref.seq);
    if (view->what[0] && strcmp(view->what, words) != 0)
        complain(WRONG_WORDS);
    if (seen->seq != view->ref.seq)
        *seen = (struct seen){.seq = view->ref.seq};
    if (view->elapsed_us > (seen->paused ? most_us - PAUSE_US : most_us))
        complain(TIME_TOO_LONG);
    seen->paused |= view->elapsed_us > 0 && view->elapsed_us < most_us;
}

/* The manager's part, by several at once. */
static void *looker_main(void *data)
{
    static struct seen seen[SLOTS][THREADS];
    struct child *child = data;
    struct pyd_claim_view view;

    while (!atomic_load(&shared->stop)) {
        uint32_t s = roll(&child->seed, PROCESSES), i = roll(&child->seed, THREADS);
        uint32_t epoch = atomic_load(&pyd_board_slot(board, 0, s)->epoch);

        if (!pyd_claim_look(board, 0, s, i, epoch, FAR_US, &view))
            continue;
        check_view(&view, &seen[s][i]);
        if (view.elapsed_us > 0)
            say_late(&view.ref);
    }
    return NULL;
}

static void test_late_is_said_once_of_each(void **state)
{
    struct child children[CHILDREN + LOOKERS];
    int64_t until_us = pyd_clock_us() + RUN_US;
    uint64_t uses = 0;
    pid_t late_pids[CHILDREN + LOOKERS];
    uint32_t s, i;
    int status;

    (void)state;
    for (i = 0; i < CHILDREN + LOOKERS; ++i) {
        children[i] = (struct child){.id = i + 1, .self = 1000 + i, .seed = i + 1};
        late_pids[i] = fork();
        assert_true(late_pids[i] >= 0);
        if (late_pids[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            (i < CHILDREN ? late_child_main : looker_main)(&children[i]);
            _exit(0);
        }
    }
    while (pyd_clock_us() < until_us && !atomic_load(&shared->stop))
        await_grants(1000);
    atomic_store(&shared->stop, 1);
    for (i = 0; i < CHILDREN + LOOKERS; ++i) {
        assert_int_equal(waitpid(late_pids[i], &status, 0), late_pids[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(atomic_load(&shared->wrong), FINE);
    for (s = 0; s < PROCESSES; ++s) {
        for (i = 0; i < THREADS; ++i)
            uses += atomic_load(&pyd_board_claim(board, 0, s, i)->seq);
    }
    assert_true(uses > 100);
    assert_int_equal(atomic_load(&shared->said), uses);
}

/* One long use with many pauses, of 9 us in each 10 us: once one has begun, no reader counts it. */
#define TURN_US 10
#define SPARED_US 9

static void *pauser_main(void *data)
{
    struct child *child = data;
    struct pyd_claim_ref claim;
    int64_t start_us = 1, at_us;

    if (pyd_claim_try(board, 0, child->self, NO_SLOT, &claim) != 0 || claim.slot != 0 || claim.claim != 0)
        complain(NOT_MINE_ANY_MORE);
    pyd_status_begin(fixture_request(board, &claim), claim.seq, start_us, 1);
    pyd_status_wait(fixture_request(board, &claim), start_us);
    pyd_claim_describe(board, &claim, &(struct pyd_claim_purpose){"GET", "/", "", ""}, start_us);
    for (at_us = start_us; !atomic_load(&shared->stop); at_us += TURN_US) {
        pyd_claim_pause(board, &claim, at_us);
        atomic_fetch_add(&shared->grants, 1);
        if (roll(&child->seed, 100) == 0)
            sched_yield();
        pyd_claim_resume(board, &claim, at_us + SPARED_US);
    }
    return NULL;
}

static void test_no_reader_counts_a_pause(void **state)
{
    struct child child = {.id = 1, .self = 1001, .seed = 1};
    int64_t until_us = pyd_clock_us() + RUN_US / 3;
    pthread_t thread;

    (void)state;
    /* A single claim, whose use is known. */
    fixture_done(board);
    board = fixture_board(1, 1, 0);
    fixture_start(board, 0);
    assert_int_equal(pthread_create(&thread, NULL, pauser_main, &child), 0);
    while (pyd_clock_us() < until_us && !atomic_load(&shared->stop)) {
        int64_t pauses = (int64_t)atomic_load(&shared->grants);
        struct pyd_claim_view view;

        if (pauses > 0 && pyd_claim_look(board, 0, 0, 0, 1, FAR_US, &view) &&
            view.elapsed_us > FAR_US - 1 - pauses * SPARED_US)
            complain(TIME_TOO_LONG);
    }
    atomic_store(&shared->stop, 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(atomic_load(&shared->wrong), FINE);
    assert_true(atomic_load(&shared->grants) > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_wakeup_is_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_wakeup_is_lost_when_workers_change, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_killed_anywhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_reader_counts_a_pause, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_late_is_said_once_of_each, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("board_stress", tests, NULL, NULL);
}
