/* SPDX-License-Identifier: Apache-2.0 */
#include "board_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "pyd_clock.h"

#define START INT64_C(1000000)
#define S INT64_C(1000000)

static struct pyd_board *board;

static int set_up(void **state)
{
    (void)state;
    board = fixture_board(1, 2, 2);
    fixture_start(board, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_done(board);
    return 0;
}

/* All times below are seconds after START. */

static int64_t counts(const struct pyd_claim_ref *claim, int64_t seconds)
{
    return pyd_claim_elapsed_us(board, claim, START + seconds * S) / S;
}

static void child_waits(const struct pyd_claim_ref *claim, int64_t seconds)
{
    pyd_claim_pause(board, claim, START + seconds * S);
}

static void child_goes_on(const struct pyd_claim_ref *claim, int64_t seconds)
{
    pyd_claim_resume(board, claim, START + seconds * S);
}

static void worker_waits(const struct pyd_claim_ref *claim, int64_t seconds)
{
    pyd_status_wait(fixture_request(board, claim), START + seconds * S);
}

static void worker_goes_on(const struct pyd_claim_ref *claim, int64_t seconds)
{
    pyd_status_wait_end(fixture_request(board, claim), START + seconds * S);
}

static struct pyd_board_claim *shared_of(const struct pyd_claim_ref *claim)
{
    return pyd_board_claim(board, claim->group, claim->slot, claim->claim);
}

static void test_counts_from_the_description(void **state)
{
    struct pyd_claim_ref claim = fixture_claim(board), next;

    (void)state;
    assert_int_equal(counts(&claim, 100), 0);
    pyd_claim_describe(board, &claim, &(struct pyd_claim_purpose){"GET", "/", "", ""}, START);
    assert_int_equal(counts(&claim, 0), 0);
    assert_int_equal(counts(&claim, -5), 0);
    assert_int_equal(counts(&claim, 60), 60);
    assert_int_equal(pyd_claim_elapsed_us(board, &claim, START + 1), 1);
    pyd_claim_release(board, &claim);
    assert_int_equal(counts(&claim, 60), 0);
    /* The next use has nothing of it. */
    next = fixture_claim(board);
    assert_int_equal(counts(&next, 100), 0);
}

static void test_only_what_both_say_is_left_out(void **state)
{
    struct pyd_claim_ref claim = fixture_running(board, START);

    (void)state;
    /* The child alone. */
    child_waits(&claim, 10);
    assert_int_equal(counts(&claim, 20), 20);
    child_goes_on(&claim, 20);
    assert_int_equal(counts(&claim, 20), 20);
    /* The worker alone. */
    worker_waits(&claim, 20);
    assert_int_equal(counts(&claim, 30), 30);
    /* Both, from 30 to 40; the worker has waited since 20. */
    child_waits(&claim, 30);
    assert_int_equal(counts(&claim, 35), 30);
    assert_int_equal(counts(&claim, 40), 30);
    worker_goes_on(&claim, 40);
    assert_int_equal(counts(&claim, 50), 40);
    child_goes_on(&claim, 50);
    assert_int_equal(counts(&claim, 50), 40);
    /* The worker begins in the middle of a pause, and goes on behind its end. */
    child_waits(&claim, 60);
    worker_waits(&claim, 63);
    assert_int_equal(counts(&claim, 70), 53);
    child_goes_on(&claim, 70);
    assert_int_equal(counts(&claim, 80), 63);
    worker_goes_on(&claim, 80);
    assert_int_equal(counts(&claim, 100), 83);
}

static void test_a_pause_from_the_very_beginning(void **state)
{
    struct pyd_claim_ref claim = fixture_running(board, START);

    (void)state;
    worker_waits(&claim, 0);
    child_waits(&claim, 0);
    assert_int_equal(counts(&claim, 500), 0);
    child_goes_on(&claim, 500);
    assert_int_equal(counts(&claim, 501), 1);
}

/* A hundred turns of 9 s for the client and 1 s for the worker. */
static void test_a_slow_client_costs_the_worker_nothing(void **state)
{
    struct pyd_claim_ref claim = fixture_running(board, START);
    int64_t at;

    (void)state;
    for (at = 0; at < 1000; at += 10) {
        worker_waits(&claim, at + 1);
        child_waits(&claim, at + 1);
        assert_int_equal(counts(&claim, at + 7), at / 10 + 1);
        child_goes_on(&claim, at + 10);
        worker_goes_on(&claim, at + 10);
    }
    assert_int_equal(counts(&claim, 1000), 100);
}

/* The worker wakes up just before the child begins to wait for the client: it is found computing. */
static void test_a_worker_that_computes_while_the_client_waits(void **state)
{
    struct pyd_claim_ref claim = fixture_running(board, START);

    (void)state;
    worker_waits(&claim, 1);
    worker_goes_on(&claim, 5);
    child_waits(&claim, 5);
    assert_int_equal(counts(&claim, 60), 60);
    worker_waits(&claim, 60);
    assert_int_equal(counts(&claim, 70), 60);
    child_goes_on(&claim, 70);
    assert_int_equal(counts(&claim, 70), 60);
}

static void test_a_frozen_worker_is_found_when_the_client_is_done(void **state)
{
    struct pyd_claim_ref claim = fixture_running(board, START);

    (void)state;
    worker_waits(&claim, 1);
    child_waits(&claim, 1);
    assert_int_equal(counts(&claim, 500), 1);
    child_goes_on(&claim, 500);
    /* It says for ever that it waits. */
    assert_int_equal(counts(&claim, 501), 2);
    assert_int_equal(counts(&claim, 559), 60);
    child_goes_on(&claim, 600);
    assert_int_equal(counts(&claim, 600), 101);
}

/* The worker has ended it; what it has sent is on its way to a slow client. */
static void test_what_follows_its_end_is_the_clients(void **state)
{
    struct pyd_claim_ref claim = fixture_running(board, START);

    (void)state;
    child_waits(&claim, 1);
    pyd_status_end(fixture_request(board, &claim), claim.seq);
    assert_int_equal(counts(&claim, 100), 1);
    child_goes_on(&claim, 100);
    assert_int_equal(counts(&claim, 100), 1);
    child_waits(&claim, 102);
    assert_int_equal(counts(&claim, 900), 3);
    /* But only while the child says that the client makes it wait: the worker may lie. */
    child_goes_on(&claim, 900);
    assert_int_equal(counts(&claim, 957), 60);
}

static void test_waits_of_an_earlier_request_do_not_count(void **state)
{
    struct pyd_claim_ref claim = fixture_running(board, START);

    (void)state;
    worker_waits(&claim, 1);
    pyd_claim_release(board, &claim);
    pyd_status_end(fixture_request(board, &claim), claim.seq);
    claim = fixture_claim(board);
    while (claim.claim != 0) /* the other thread's turn */
        claim = fixture_claim(board);
    pyd_claim_describe(board, &claim, &(struct pyd_claim_purpose){"GET", "/", "", ""}, START);
    child_waits(&claim, 2);
    assert_int_equal(counts(&claim, 30), 30);
    assert_int_equal(pyd_status_begin(fixture_request(board, &claim), claim.seq, START + 30 * S, 1), 0);
    assert_int_equal(counts(&claim, 40), 40);
    child_goes_on(&claim, 40);
    assert_int_equal(counts(&claim, 40), 40);
}

static void test_lies_gain_no_more_than_the_client_takes(void **state)
{
    const int64_t lies[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, START, INT64_MAX - 1, INT64_MAX};
    struct pyd_claim_ref claim = fixture_running(board, START);
    _Atomic int64_t *waited = &fixture_request(board, &claim)->waited;
    size_t i, k;

    (void)state;
    for (i = 0; i < sizeof(lies) / sizeof(*lies); ++i) {
        for (k = 0; k < sizeof(lies) / sizeof(*lies); ++k) {
            pyd_claim_describe(board, &claim, &(struct pyd_claim_purpose){"GET", "/", "", ""}, START);
            atomic_store(waited, lies[i]);
            assert_int_equal(counts(&claim, 5), 5);
            child_waits(&claim, 10);
            atomic_store(waited, lies[k]);
            assert_in_range(counts(&claim, 40), 10, 40);
            child_goes_on(&claim, 40);
            assert_in_range(counts(&claim, 40), 10, 40);
            assert_in_range(counts(&claim, 100), 70, 100);
        }
    }
}

static void test_garbage_on_the_board_is_no_time(void **state)
{
    const int64_t garbage[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, START, START + 50 * S, INT64_MAX - 1, INT64_MAX};
    const size_t count = sizeof(garbage) / sizeof(*garbage);
    struct pyd_claim_ref claim = fixture_running(board, START);
    struct pyd_board_claim *shared = shared_of(&claim);
    size_t i;

    (void)state;
    worker_waits(&claim, 1);
    for (i = 0; i < count * count * count * count; ++i) {
        atomic_store(&shared->start_us, garbage[i % count]);
        atomic_store(&shared->paused_us, garbage[i / count % count]);
        atomic_store(&shared->paused_since_us, garbage[i / count / count % count]);
        atomic_store(&shared->waited_us, garbage[i / count / count / count]);
        assert_in_range(pyd_claim_elapsed_us(board, &claim, START + 100 * S), 0, START + 100 * S);
        child_waits(&claim, 100);
        child_goes_on(&claim, 100);
        assert_in_range(pyd_claim_elapsed_us(board, &claim, START + 100 * S), 0, START + 100 * S);
    }
}

static void test_pauses_do_not_nest_and_ends_may_be_repeated(void **state)
{
    struct pyd_claim_ref claim = fixture_running(board, START);

    (void)state;
    child_goes_on(&claim, 1);
    worker_waits(&claim, 10);
    child_waits(&claim, 10);
    child_waits(&claim, 20);
    child_goes_on(&claim, 30);
    child_goes_on(&claim, 40);
    assert_int_equal(counts(&claim, 40), 20);
    /* Another try, with another description, begins anew. */
    child_waits(&claim, 40);
    pyd_claim_describe(board, &claim, &(struct pyd_claim_purpose){"GET", "/", "", ""}, START + 40 * S);
    assert_int_equal(counts(&claim, 90), 50);
}

static void test_giving_up_ends_the_pause(void **state)
{
    int64_t now_us = pyd_clock_us();
    struct pyd_claim_ref claim = fixture_running(board, now_us - 50 * S);
    struct pyd_claim_view view = {.owner = 0};

    (void)state;
    pyd_status_wait(fixture_request(board, &claim), now_us - 40 * S);
    pyd_claim_pause(board, &claim, now_us - 40 * S);
    pyd_claim_orphan(board, &claim);
    assert_int_equal(atomic_load(&shared_of(&claim)->paused_since_us), 0);
    /* The worker has lost its client, and says all the same that it waits for it. */
    now_us = pyd_clock_us();
    assert_int_equal(pyd_claim_look(board, 0, 0, claim.claim, claim.epoch, now_us + 100 * S, &view), 1);
    assert_int_equal(view.owner, PYD_OWNER_ORPHAN);
    assert_in_range(view.elapsed_us, 110 * S - 1, now_us + 100 * S);
}

static int nobody_lives(void *baton, uint32_t pid)
{
    (void)baton, (void)pid;
    return 0;
}

static void test_the_death_of_the_child_ends_the_pause(void **state)
{
    int64_t now_us = pyd_clock_us();
    struct pyd_claim_ref claim = fixture_running(board, now_us - 50 * S);
    struct pyd_claim_view view = {.owner = 0};

    (void)state;
    pyd_status_wait(fixture_request(board, &claim), now_us - 40 * S);
    pyd_claim_pause(board, &claim, now_us - 40 * S);
    assert_int_equal(pyd_sweep(board, 0, nobody_lives, NULL), 1);
    assert_int_equal(pyd_claim_look(board, 0, 0, claim.claim, claim.epoch, pyd_clock_us() + 100 * S, &view), 1);
    assert_int_equal(view.owner, PYD_OWNER_ORPHAN);
    assert_true(view.elapsed_us >= 110 * S - 1);
}

/* Its worker died long ago, the slot has another one: what the child does has no effect. */
static void test_a_claim_that_was_taken_away(void **state)
{
    struct pyd_claim_ref late = fixture_running(board, START), next;
    struct pyd_board_claim *shared = shared_of(&late);

    (void)state;
    child_waits(&late, 1);
    fixture_state(board, 0, PYD_SLOT_DEAD);
    assert_int_equal(pyd_sweep_slot_reclaim(board, 0, 0), 1);
    pyd_sweep_slot_renew(board, 0, 0);
    fixture_start(board, 0);
    assert_int_equal(counts(&late, 100), 0);
    assert_int_equal(pyd_claim_set_late(board, &late), 0);
    assert_false(pyd_claim_is_late(board, &late));
    next = fixture_running(board, START + 200 * S);
    while (next.claim != late.claim)
        next = fixture_running(board, START + 200 * S);
    assert_int_equal(counts(&late, 300), 0);
    child_waits(&late, 201);
    assert_int_equal(atomic_load(&shared->paused_since_us), 0);
    pyd_status_wait(fixture_request(board, &next), START + 201 * S);
    child_waits(&next, 201);
    child_goes_on(&late, 210);
    assert_int_equal(atomic_load(&shared->paused_since_us), START + 201 * S);
    pyd_claim_release(board, &late);
    assert_int_equal(counts(&next, 230), 1);
    assert_int_equal(pyd_claim_set_late(board, &late), 0);
    assert_false(pyd_claim_is_late(board, &next));
    assert_int_equal(pyd_claim_set_late(board, &next), 1);
    assert_false(pyd_claim_is_late(board, &late));
}

static void test_late_is_said_once(void **state)
{
    struct pyd_claim_ref claim = fixture_running(board, START), next;

    (void)state;
    assert_false(pyd_claim_is_late(board, &claim));
    assert_int_equal(pyd_claim_set_late(board, &claim), 1);
    assert_true(pyd_claim_is_late(board, &claim));
    assert_int_equal(pyd_claim_set_late(board, &claim), 0);
    pyd_claim_release(board, &claim);
    pyd_status_end(fixture_request(board, &claim), claim.seq);
    assert_int_equal(pyd_claim_set_late(board, &claim), 0);
    do
        next = fixture_claim(board);
    while (next.claim != claim.claim);
    assert_false(pyd_claim_is_late(board, &next));
    assert_int_equal(pyd_claim_set_late(board, &claim), 0);
    assert_int_equal(pyd_claim_set_late(board, &next), 1);
    assert_true(pyd_claim_is_late(board, &next));
}

static void test_of_an_orphan_the_manager_says_it(void **state)
{
    struct pyd_claim_ref claim = fixture_running(board, START);

    (void)state;
    pyd_claim_orphan(board, &claim);
    assert_int_equal(pyd_claim_set_late(board, &claim), 1);
    assert_int_equal(pyd_claim_set_late(board, &claim), 0);
    assert_true(pyd_claim_is_late(board, &claim));
    /* Not of one that nobody executes. */
    claim = fixture_described(board, START);
    pyd_claim_orphan(board, &claim);
    assert_int_equal(pyd_claim_set_late(board, &claim), 0);
}

static void test_what_is_written_over_late_does_not_hide_it(void **state)
{
    struct pyd_claim_ref claim = fixture_running(board, START);

    (void)state;
    atomic_store(&shared_of(&claim)->late, UINT64_MAX);
    assert_false(pyd_claim_is_late(board, &claim));
    assert_int_equal(pyd_claim_set_late(board, &claim), 1);
    assert_int_equal(pyd_claim_set_late(board, &claim), 0);
    assert_true(pyd_claim_is_late(board, &claim));
}

static int look(const struct pyd_claim_ref *claim, int64_t seconds, struct pyd_claim_view *ret_view)
{
    memset(ret_view, 0xee, sizeof(*ret_view));
    return pyd_claim_look(board, claim->group, claim->slot, claim->claim, claim->epoch, START + seconds * S, ret_view);
}

static void test_look(void **state)
{
    struct pyd_claim_ref claim = fixture_described(board, START);
    struct pyd_claim_view view;

    (void)state;
    assert_int_equal(look(&claim, 10, &view), 1);
    assert_memory_equal(&view.ref, &claim, sizeof(claim));
    assert_int_equal(view.owner, SELF);
    assert_int_equal(view.begun, 0);
    assert_int_equal(view.ended, 0);
    assert_int_equal(view.late, 0);
    assert_int_equal(view.elapsed_us, 10 * S);
    assert_int_equal(view.tid, 0);
    assert_string_equal(view.what, "GET /a?b");
    assert_string_equal(view.client, "192.0.2.1");
    assert_string_equal(view.request_id, "WxYz");
    assert_int_equal(pyd_status_begin(fixture_request(board, &claim), claim.seq, START, 77), 0);
    atomic_store(&fixture_request(board, &claim)->memory_bytes, 5000);
    assert_int_equal(pyd_claim_set_late(board, &claim), 1);
    assert_int_equal(look(&claim, 20, &view), 1);
    assert_int_equal(view.begun, 1);
    assert_int_equal(view.late, 1);
    assert_int_equal(view.elapsed_us, 20 * S);
    assert_int_equal(view.tid, 77);
    assert_int_equal(view.memory_bytes, 5000);
    assert_true(view.thread == (uint64_t)(uintptr_t)pthread_self());
    atomic_store(&fixture_request(board, &claim)->memory_bytes, INT64_MIN);
    atomic_store(&fixture_request(board, &claim)->tid, -5);
    assert_int_equal(look(&claim, 20, &view), 1);
    assert_int_equal(view.memory_bytes, 0);
    assert_int_equal(view.tid, 0);
    /* The worker is through with it; only the client is not. */
    pyd_status_end(fixture_request(board, &claim), claim.seq);
    assert_int_equal(look(&claim, 500, &view), 1);
    assert_int_equal(view.begun, 0);
    assert_int_equal(view.ended, 1);
    assert_int_equal(view.elapsed_us, 0);
    pyd_claim_release(board, &claim);
    assert_int_equal(look(&claim, 20, &view), 0);
}

static void test_look_only_at_what_is_in_use(void **state)
{
    struct pyd_claim_ref claim = fixture_running(board, START), other;
    struct pyd_claim_view view;

    (void)state;
    other = claim;
    other.epoch++;
    assert_int_equal(look(&other, 10, &view), 0);
    other = claim;
    other.claim = 1 - claim.claim;
    assert_int_equal(look(&other, 10, &view), 0);
    pyd_claim_orphan(board, &claim);
    assert_int_equal(look(&claim, 10, &view), 1);
    assert_int_equal(view.owner, PYD_OWNER_ORPHAN);
    assert_int_equal(view.begun, 1);
    pyd_status_end(fixture_request(board, &claim), claim.seq);
    assert_int_equal(look(&claim, 10, &view), 0);
    atomic_fetch_add(&pyd_board_slot(board, 0, 0)->epoch, 1);
    atomic_store(pyd_board_owners(board, 0, 0) + claim.claim, SELF);
    assert_int_equal(look(&claim, 10, &view), 0);
}

/*
 * The next owner has the claim, and has come no further: to say that the use before him goes on would make him late.
 * That one was never begun, or was given up.
 */
static void test_nothing_counts_between_two_uses(void **state)
{
    struct pyd_claim_ref claim = fixture_described(board, START);
    struct pyd_claim_view view;

    (void)state;
    pyd_claim_release(board, &claim);
    atomic_store(pyd_board_owners(board, 0, 0) + claim.claim, OTHER);
    if (look(&claim, 1000, &view))
        assert_int_equal(view.elapsed_us, 0);
    atomic_store(pyd_board_owners(board, 0, 0) + claim.claim, PYD_OWNER_NONE);
    do
        claim = fixture_running(board, START);
    while (claim.claim != 0);
    pyd_claim_orphan(board, &claim);
    pyd_status_end(fixture_request(board, &claim), claim.seq);
    atomic_store(pyd_board_owners(board, 0, 0), OTHER);
    if (look(&claim, 1000, &view))
        assert_int_equal(view.elapsed_us, 0);
    atomic_store(pyd_board_owners(board, 0, 0), PYD_OWNER_ORPHAN);
    /* He has stored his seq, but not said what it is for. */
    do
        claim = fixture_claim(board);
    while (claim.claim != 0);
    assert_int_equal(look(&claim, 1000, &view), 1);
    assert_int_equal(view.elapsed_us, 0);
    assert_string_equal(view.what, "");
    assert_string_equal(view.client, "");
    assert_string_equal(view.request_id, "");
}

static void test_strings_are_cut_and_terminated(void **state)
{
    struct pyd_claim_ref claim = fixture_claim(board);
    struct pyd_board_claim *shared = shared_of(&claim);
    struct pyd_claim_view view;
    char text[300];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    pyd_claim_describe(board, &claim, &(struct pyd_claim_purpose){text, text, text, text}, START);
    assert_int_equal(look(&claim, 1, &view), 1);
    assert_int_equal(strlen(view.what), sizeof(shared->what) - 1);
    assert_int_equal(strlen(view.client), sizeof(shared->client) - 1);
    assert_int_equal(strlen(view.request_id), sizeof(shared->request_id) - 1);
    memset(shared->what, 'y', sizeof(shared->what));
    memset(shared->client, 'y', sizeof(shared->client));
    memset(shared->request_id, 'y', sizeof(shared->request_id));
    assert_int_equal(look(&claim, 1, &view), 1);
    assert_int_equal(strlen(view.what), sizeof(shared->what) - 1);
    assert_int_equal(strlen(view.client), sizeof(shared->client) - 1);
    assert_int_equal(strlen(view.request_id), sizeof(shared->request_id) - 1);
}

static void test_unfinished_are_those_that_are_not_late(void **state)
{
    struct pyd_claim_ref first = fixture_running(board, START), second = fixture_running(board, START);

    (void)state;
    assert_int_equal(pyd_claim_unfinished(board, 0, 0), 2);
    assert_int_equal(pyd_claim_set_late(board, &first), 1);
    assert_int_equal(pyd_claim_unfinished(board, 0, 0), 1);
    assert_int_equal(pyd_claim_busy(board, 0, 0), 2);
    pyd_claim_orphan(board, &first);
    assert_int_equal(pyd_claim_unfinished(board, 0, 0), 1);
    pyd_claim_orphan(board, &second);
    assert_int_equal(pyd_claim_unfinished(board, 0, 0), 1);
    pyd_status_end(fixture_request(board, &second), second.seq);
    assert_int_equal(pyd_claim_unfinished(board, 0, 0), 0);
    assert_int_equal(pyd_claim_busy(board, 0, 0), 1);
}

#define ON_A_BOARD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_BOARD(test_counts_from_the_description),
        ON_A_BOARD(test_only_what_both_say_is_left_out),
        ON_A_BOARD(test_a_pause_from_the_very_beginning),
        ON_A_BOARD(test_a_slow_client_costs_the_worker_nothing),
        ON_A_BOARD(test_a_worker_that_computes_while_the_client_waits),
        ON_A_BOARD(test_a_frozen_worker_is_found_when_the_client_is_done),
        ON_A_BOARD(test_what_follows_its_end_is_the_clients),
        ON_A_BOARD(test_waits_of_an_earlier_request_do_not_count),
        ON_A_BOARD(test_lies_gain_no_more_than_the_client_takes),
        ON_A_BOARD(test_garbage_on_the_board_is_no_time),
        ON_A_BOARD(test_pauses_do_not_nest_and_ends_may_be_repeated),
        ON_A_BOARD(test_giving_up_ends_the_pause),
        ON_A_BOARD(test_the_death_of_the_child_ends_the_pause),
        ON_A_BOARD(test_a_claim_that_was_taken_away),
        ON_A_BOARD(test_late_is_said_once),
        ON_A_BOARD(test_of_an_orphan_the_manager_says_it),
        ON_A_BOARD(test_what_is_written_over_late_does_not_hide_it),
        ON_A_BOARD(test_look),
        ON_A_BOARD(test_look_only_at_what_is_in_use),
        ON_A_BOARD(test_nothing_counts_between_two_uses),
        ON_A_BOARD(test_strings_are_cut_and_terminated),
        ON_A_BOARD(test_unfinished_are_those_that_are_not_late),
    };

    return cmocka_run_group_tests_name("deadline", tests, NULL, NULL);
}
