/* SPDX-License-Identifier: Apache-2.0 */
#include "board_fixture.h"

#include <errno.h>
#include <string.h>

#include "pyd_clock.h"

static struct pyd_claim_ref claim_one(struct pyd_board *board, uint32_t avoid)
{
    struct pyd_claim_ref claim = {.slot = NO_SLOT};

    assert_int_equal(pyd_claim_try(board, 0, SELF, avoid, &claim), 0);
    assert_int_equal(fixture_owner(board, &claim), SELF);
    return claim;
}

static int none(struct pyd_board *board)
{
    struct pyd_claim_ref claim;

    return pyd_claim_try(board, 0, SELF, NO_SLOT, &claim);
}

static void test_only_ready_workers_are_claimed(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 0);
    const enum pyd_slot_state others[] = {PYD_SLOT_EMPTY,    PYD_SLOT_STARTING, PYD_SLOT_RETIRING,
                                          PYD_SLOT_STOPPING, PYD_SLOT_DEAD};
    struct pyd_claim_ref claim;
    size_t i;

    (void)state;
    assert_int_equal(none(board), ENOENT);
    fixture_start(board, 2);
    for (i = 0; i < sizeof(others) / sizeof(*others); ++i) {
        fixture_state(board, 2, others[i]);
        assert_int_equal(none(board), ENOENT);
        assert_false(pyd_claim_any_free(board, 0));
    }
    fixture_state(board, 2, PYD_SLOT_READY);
    assert_true(pyd_claim_any_free(board, 0));
    claim = claim_one(board, NO_SLOT);
    assert_int_equal(claim.slot, 2);
    assert_int_equal(claim.epoch, 1);
    assert_int_equal(none(board), EAGAIN);
    assert_false(pyd_claim_any_free(board, 0));
    pyd_claim_release(board, &claim);
    assert_int_equal(fixture_owner(board, &claim), PYD_OWNER_NONE);
    fixture_done(board);
}

static void test_spread_first(void **state)
{
    struct pyd_board *board = fixture_board(3, 4, 0);
    struct pyd_claim_ref claim;
    uint32_t taken, s, least, most;

    (void)state;
    fixture_start(board, 0);
    fixture_start(board, 4);
    fixture_start(board, 8);
    for (taken = 1; taken <= 12; ++taken) {
        claim = claim_one(board, NO_SLOT);
        assert_int_equal(claim.slot % 4, 0);
        least = 4;
        most = 0;
        for (s = 0; s <= 8; s += 4) {
            uint32_t busy = pyd_claim_busy(board, 0, s);

            least = busy < least ? busy : least;
            most = busy > most ? busy : most;
        }
        assert_in_range(most - least, 0, 1);
    }
    assert_int_equal(none(board), EAGAIN);
    fixture_done(board);
}

static void test_equals_take_turns(void **state)
{
    struct pyd_board *board = fixture_board(3, 4, 0);
    uint32_t used[9] = {0}, i;

    (void)state;
    fixture_start(board, 1);
    fixture_start(board, 2);
    fixture_start(board, 7);
    for (i = 0; i < 30; ++i) {
        struct pyd_claim_ref claim = claim_one(board, NO_SLOT);

        used[claim.slot]++;
        pyd_claim_release(board, &claim);
    }
    assert_int_equal(used[1], 10);
    assert_int_equal(used[2], 10);
    assert_int_equal(used[7], 10);
    fixture_done(board);
}

static void test_the_least_busy_is_taken_whoever_is_next(void **state)
{
    struct pyd_board *board = fixture_board(2, 4, 0);
    uint32_t i;

    (void)state;
    fixture_start(board, 0);
    for (i = 0; i < 3; ++i)
        claim_one(board, NO_SLOT);
    fixture_start(board, 1);
    for (i = 0; i < 3; ++i)
        assert_int_equal(claim_one(board, NO_SLOT).slot, 1);
    fixture_done(board);
}

static void test_avoided_unless_it_is_the_only_one(void **state)
{
    struct pyd_board *board = fixture_board(2, 2, 0);
    struct pyd_claim_ref claim;

    (void)state;
    fixture_start(board, 0);
    assert_int_equal(claim_one(board, 0).slot, 0);
    fixture_start(board, 1);
    assert_int_equal(claim_one(board, 0).slot, 1);
    assert_int_equal(claim_one(board, 0).slot, 1);
    /* Others exist, so it waits for them. */
    assert_int_equal(pyd_claim_try(board, 0, SELF, 0, &claim), EAGAIN);
    assert_int_equal(claim_one(board, NO_SLOT).slot, 0);
    fixture_done(board);
}

static _Atomic int64_t *suspect_of(struct pyd_board *board, uint32_t slot)
{
    return &pyd_board_slot(board, 0, slot)->suspect_us;
}

/* Slots 0 and 1 with two threads each, 0 suspect since now_us. */
static struct pyd_board *with_a_suspect(int64_t now_us)
{
    struct pyd_board *board = fixture_board(2, 2, 0);
    struct pyd_claim_ref claim = {.slot = 0};

    fixture_start(board, 0);
    fixture_start(board, 1);
    claim.epoch = atomic_load(&pyd_board_slot(board, 0, 0)->epoch);
    pyd_claim_suspect(board, &claim, now_us);
    return board;
}

static void test_a_suspect_is_not_used_beside_others(void **state)
{
    struct pyd_board *board = with_a_suspect(pyd_clock_us());
    struct pyd_claim_ref claim;
    uint32_t i;

    (void)state;
    for (i = 0; i < 2; ++i) {
        assert_true(pyd_claim_any_free(board, 0));
        claim = claim_one(board, NO_SLOT);
        assert_int_equal(claim.slot, 1);
    }
    /* A thread of the other one will be free sooner. */
    assert_int_equal(none(board), EAGAIN);
    assert_false(pyd_claim_any_free(board, 0));
    /* Not of one that is not ready, or to be avoided. */
    fixture_state(board, 1, PYD_SLOT_RETIRING);
    assert_true(pyd_claim_any_free(board, 0));
    assert_int_equal(claim_one(board, NO_SLOT).slot, 0);
    fixture_state(board, 1, PYD_SLOT_READY);
    pyd_claim_release(board, &claim);
    assert_int_equal(claim_one(board, 1).slot, 0);
    assert_true(pyd_claim_is_suspect(board, 0, 0));
    assert_false(pyd_claim_is_suspect(board, 0, 1));
    fixture_done(board);
}

/* Nor of one that is not much better. */
static void test_if_all_are_suspect_all_are_used(void **state)
{
    struct pyd_board *board = with_a_suspect(pyd_clock_us());
    struct pyd_claim_ref claim = {.slot = 1, .epoch = atomic_load(&pyd_board_slot(board, 0, 1)->epoch)};
    uint32_t i;

    (void)state;
    pyd_claim_suspect(board, &claim, pyd_clock_us());
    for (i = 0; i < 4; ++i) {
        assert_true(pyd_claim_any_free(board, 0));
        claim_one(board, NO_SLOT);
    }
    assert_int_equal(none(board), EAGAIN);
    assert_false(pyd_claim_any_free(board, 0));
    fixture_done(board);
}

static void test_suspects_are_equals_among_themselves(void **state)
{
    struct pyd_board *board = with_a_suspect(pyd_clock_us());
    struct pyd_claim_ref claim = {.slot = 1, .epoch = atomic_load(&pyd_board_slot(board, 0, 1)->epoch)};
    uint32_t used[2] = {0}, i;

    (void)state;
    pyd_claim_suspect(board, &claim, pyd_clock_us());
    for (i = 0; i < 20; ++i) {
        claim = claim_one(board, NO_SLOT);
        used[claim.slot]++;
        pyd_claim_release(board, &claim);
    }
    assert_int_equal(used[0], 10);
    assert_int_equal(used[1], 10);
    fixture_done(board);
}

static void test_a_suspect_that_begins_something_is_none(void **state)
{
    struct pyd_board *board = with_a_suspect(pyd_clock_us());
    struct pyd_status_request *record = &pyd_board_status(board, 0, 0)->request[1];
    uint32_t used[2] = {0}, i;

    (void)state;
    /* What it began before tells nothing. */
    assert_int_equal(pyd_status_begin(record, 1, atomic_load(suspect_of(board, 0)) - 1, 1), 0);
    assert_int_equal(claim_one(board, NO_SLOT).slot, 1);
    assert_int_equal(claim_one(board, NO_SLOT).slot, 1);
    assert_int_equal(pyd_status_begin(record, 2, pyd_clock_us() + 1, 1), 0);
    fixture_state(board, 1, PYD_SLOT_EMPTY);
    fixture_start(board, 2);
    for (i = 0; i < 4; ++i)
        used[claim_one(board, NO_SLOT).slot == 2]++;
    assert_int_equal(used[0], 2);
    assert_true(atomic_load(suspect_of(board, 0)) == 0);
    fixture_done(board);
}

static void test_suspicion_ends(void **state)
{
    const int64_t never[] = {-1, INT64_MIN, INT64_MAX, pyd_clock_us() - PYD_SUSPECT_US, 1};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(never) / sizeof(*never); ++i) {
        struct pyd_board *board = with_a_suspect(never[i]);

        assert_int_equal(claim_one(board, NO_SLOT).slot + claim_one(board, NO_SLOT).slot, 1);
        assert_true(atomic_load(suspect_of(board, 0)) == 0);
        fixture_done(board);
    }
}

/* What it had not begun is elsewhere: nothing else would tell that it can be used again. */
static void test_a_suspect_that_has_recovered_is_none(void **state)
{
    struct pyd_board *board = with_a_suspect(pyd_clock_us());
    struct pyd_status_worker *status = pyd_board_status(board, 0, 0);
    int64_t since_us = atomic_load(suspect_of(board, 0));

    (void)state;
    atomic_store(&status->epoch, atomic_load(&pyd_board_slot(board, 0, 0)->epoch));
    atomic_store(&status->gil_asked_us, since_us - 1000000);
    atomic_store(&status->alive_us, since_us + 1); /* it lives, but the GIL is not to be had */
    while (pyd_clock_us() <= since_us + 1)
        ;
    assert_true(pyd_claim_is_suspect(board, 0, 0));
    atomic_store(&status->gil_asked_us, 0);
    atomic_store(&status->alive_us, since_us); /* as it was before it froze */
    assert_true(pyd_claim_is_suspect(board, 0, 0));
    atomic_store(&status->alive_us, INT64_MAX); /* a lie */
    assert_true(pyd_claim_is_suspect(board, 0, 0));
    atomic_store(&status->alive_us, since_us + 1);
    atomic_fetch_add(&status->epoch, 1); /* another one's */
    assert_true(pyd_claim_is_suspect(board, 0, 0));
    atomic_fetch_sub(&status->epoch, 1);
    assert_false(pyd_claim_is_suspect(board, 0, 0));
    assert_true(atomic_load(suspect_of(board, 0)) == 0);
    fixture_done(board);
}

static void test_another_worker_is_not_suspect(void **state)
{
    struct pyd_board *board = with_a_suspect(pyd_clock_us());
    struct pyd_claim_ref claim = {.slot = 0, .epoch = atomic_load(&pyd_board_slot(board, 0, 0)->epoch)};

    (void)state;
    fixture_state(board, 0, PYD_SLOT_DEAD);
    pyd_sweep_slot_renew(board, 0, 0);
    assert_true(atomic_load(suspect_of(board, 0)) == 0);
    fixture_start(board, 0);
    pyd_claim_suspect(board, &claim, pyd_clock_us());
    assert_true(atomic_load(suspect_of(board, 0)) == 0);
    fixture_done(board);
}

static void test_seq_grows_and_survives_workers(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 0);
    struct pyd_claim_ref claim;
    uint64_t last = 0;
    uint32_t epoch, i;

    (void)state;
    for (epoch = 1; epoch <= 3; ++epoch) {
        fixture_start(board, 0);
        for (i = 0; i < 3; ++i) {
            claim = claim_one(board, NO_SLOT);
            assert_int_equal(claim.epoch, epoch);
            assert_true(claim.seq > last);
            last = claim.seq;
            pyd_claim_release(board, &claim);
        }
    }
    fixture_done(board);
}

static void test_an_orphan_is_free_when_its_worker_does_not_run_it(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 0);
    struct pyd_claim_ref claim, next;

    (void)state;
    fixture_start(board, 0);
    claim = claim_one(board, NO_SLOT);
    assert_int_equal(pyd_status_begin(fixture_request(board, &claim), claim.seq, 1, 1), 0);
    pyd_claim_orphan(board, &claim);
    assert_int_equal(fixture_owner(board, &claim), PYD_OWNER_ORPHAN);
    assert_int_equal(none(board), EAGAIN);
    assert_int_equal(pyd_claim_busy(board, 0, 0), 1);
    pyd_status_end(fixture_request(board, &claim), claim.seq);
    assert_int_equal(pyd_claim_busy(board, 0, 0), 0);
    next = claim_one(board, NO_SLOT);
    assert_true(next.seq > claim.seq);
    /* Given up before it was begun: usable at once, and never begun, though the worker reads it before the next one. */
    pyd_claim_orphan(board, &next);
    claim = claim_one(board, NO_SLOT);
    assert_int_equal(pyd_status_begin(fixture_request(board, &next), next.seq, 1, 1), ESTALE);
    assert_false(pyd_claim_begun(board, &claim));
    assert_int_equal(pyd_status_begin(fixture_request(board, &claim), claim.seq, 1, 1), 0);
    fixture_done(board);
}

static void test_an_orphan_is_free_when_its_worker_is_gone(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 0);
    struct pyd_claim_ref claim;

    (void)state;
    fixture_start(board, 0);
    claim = claim_one(board, NO_SLOT);
    assert_int_equal(pyd_status_begin(fixture_request(board, &claim), claim.seq, 1, 1), 0);
    pyd_claim_orphan(board, &claim);
    /* The next worker, which has not tidied up its status. */
    atomic_fetch_add(&pyd_board_slot(board, 0, 0)->epoch, 1);
    assert_int_equal(pyd_claim_busy(board, 0, 0), 0);
    assert_int_equal(claim_one(board, NO_SLOT).epoch, 2);
    fixture_done(board);
}

static void test_giving_up_twice_does_not_rob_the_next(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 0);
    struct pyd_claim_ref claim, next;

    (void)state;
    fixture_start(board, 0);
    claim = claim_one(board, NO_SLOT);
    pyd_claim_release(board, &claim);
    pyd_claim_orphan(board, &claim);
    assert_int_equal(fixture_owner(board, &claim), PYD_OWNER_NONE);
    next = claim_one(board, NO_SLOT);
    pyd_claim_release(board, &claim);
    pyd_claim_orphan(board, &claim);
    assert_int_equal(fixture_owner(board, &next), SELF);
    pyd_claim_orphan(board, &next);
    pyd_claim_release(board, &next);
    assert_int_equal(fixture_owner(board, &next), PYD_OWNER_ORPHAN);
    fixture_done(board);
}

/* A child holds a claim so long after its worker's death that the manager takes it: what it does then has no effect. */
static void test_a_late_child_finds_its_claim_taken(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 2);
    struct pyd_board_slot *slot = pyd_board_slot(board, 0, 0);
    struct pyd_claim_ref late, next;
    enum pyd_cause cause = PYD_CAUSE_NONE;
    uint32_t detail = 0, waiter = UINT32_MAX;
    pid_t pid = 0;

    (void)state;
    fixture_start(board, 0);
    late = claim_one(board, NO_SLOT);
    assert_int_equal(pyd_status_begin(fixture_request(board, &late), late.seq, 1, 1), 0);
    atomic_store(&slot->ended_cause, PYD_CAUSE_OOM);
    atomic_store(&slot->ended_epoch, late.epoch);
    fixture_state(board, 0, PYD_SLOT_DEAD);
    assert_int_equal(pyd_sweep_slot_reclaim(board, 0, 0), 1);
    assert_true(pyd_sweep_slot_unclaimed(board, 0, 0));
    assert_int_equal(pyd_sweep_slot_reclaim(board, 0, 0), 0);
    pyd_sweep_slot_renew(board, 0, 0);
    fixture_start(board, 0);
    assert_true(pyd_claim_begun(board, &late));
    assert_true(pyd_claim_worker_gone(board, &late));
    assert_int_equal(pyd_claim_cause(board, &late, &cause, &detail, &pid), 0);
    assert_int_equal(cause, PYD_CAUSE_OOM);
    /* The next owner has the claim, but has not come to store his seq yet. */
    assert_int_equal(pyd_queue_enter(board, 0, SELF, &waiter), 0);
    atomic_store(pyd_board_owners(board, 0, 0), OTHER);
    pyd_claim_release(board, &late);
    pyd_claim_orphan(board, &late);
    assert_int_equal(fixture_owner(board, &late), OTHER);
    assert_int_equal(atomic_load(&pyd_board_waiter(board, 0, waiter)->wake), 0);
    atomic_store(pyd_board_owners(board, 0, 0), PYD_OWNER_NONE);
    next = claim_one(board, NO_SLOT);
    pyd_claim_orphan(board, &late);
    assert_int_equal(fixture_owner(board, &next), SELF);
    assert_false(pyd_claim_begun(board, &next));
    assert_int_equal(pyd_status_begin(fixture_request(board, &next), next.seq, 1, 1), 0);
    assert_true(pyd_claim_begun(board, &late));
    atomic_store(&slot->ended_epoch, next.epoch);
    assert_int_equal(pyd_claim_cause(board, &late, &cause, &detail, &pid), 0);
    assert_int_equal(cause, PYD_CAUSE_UNKNOWN);
    fixture_done(board);
}

static void test_begun_is_what_the_worker_said(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 0);
    struct pyd_claim_ref claim;

    (void)state;
    fixture_start(board, 0);
    claim = claim_one(board, NO_SLOT);
    assert_false(pyd_claim_begun(board, &claim));
    assert_int_equal(pyd_status_begin(fixture_request(board, &claim), claim.seq, 1, 1), 0);
    assert_true(pyd_claim_begun(board, &claim));
    fixture_state(board, 0, PYD_SLOT_DEAD);
    assert_true(pyd_claim_begun(board, &claim));
    pyd_status_end(fixture_request(board, &claim), claim.seq);
    assert_true(pyd_claim_begun(board, &claim));
    pyd_claim_release(board, &claim);
    fixture_start(board, 0);
    claim = claim_one(board, NO_SLOT);
    assert_false(pyd_claim_begun(board, &claim));
    fixture_done(board);
}

static void test_gone_and_why(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 0);
    struct pyd_board_slot *slot = pyd_board_slot(board, 0, 0);
    struct pyd_claim_ref claim;
    enum pyd_cause cause = PYD_CAUSE_NONE;
    uint32_t detail = 0;
    pid_t pid = 0;

    (void)state;
    fixture_start(board, 0);
    claim = claim_one(board, NO_SLOT);
    assert_false(pyd_claim_worker_gone(board, &claim));
    fixture_state(board, 0, PYD_SLOT_STOPPING);
    assert_false(pyd_claim_worker_gone(board, &claim));
    fixture_state(board, 0, PYD_SLOT_DEAD);
    assert_true(pyd_claim_worker_gone(board, &claim));
    assert_int_equal(pyd_claim_cause(board, &claim, &cause, &detail, &pid), EAGAIN);
    assert_int_equal(cause, PYD_CAUSE_NONE);
    atomic_store(&slot->ended_cause, PYD_CAUSE_SIGNAL);
    atomic_store(&slot->ended_detail, 11);
    atomic_store(&slot->ended_pid, 99);
    atomic_store(&slot->ended_epoch, 1);
    assert_int_equal(pyd_claim_cause(board, &claim, &cause, &detail, &pid), 0);
    assert_int_equal(cause, PYD_CAUSE_SIGNAL);
    assert_int_equal(detail, 11);
    assert_int_equal(pid, 99);
    atomic_store(&slot->ended_cause, 12345);
    assert_int_equal(pyd_claim_cause(board, &claim, &cause, &detail, &pid), 0);
    assert_int_equal(cause, PYD_CAUSE_UNKNOWN);
    /* Another worker came and went. */
    atomic_store(&slot->ended_cause, PYD_CAUSE_EXIT);
    fixture_start(board, 0);
    assert_true(pyd_claim_worker_gone(board, &claim));
    atomic_store(&slot->ended_epoch, 2);
    assert_int_equal(pyd_claim_cause(board, &claim, &cause, &detail, &pid), 0);
    assert_int_equal(cause, PYD_CAUSE_UNKNOWN);
    assert_int_equal(pid, 0);
    fixture_done(board);
}

static void describe(struct pyd_board *board, const struct pyd_claim_ref *claim, const char *method, const char *uri)
{
    struct pyd_claim_purpose purpose = {.method = method, .uri = uri, .client = "192.0.2.1", .request_id = "id"};

    pyd_claim_describe(board, claim, &purpose, 500);
}

static void test_what_is_cut_and_terminated(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 0);
    struct pyd_claim_ref claim;
    struct pyd_board_claim *shared;
    char uri[300], room[sizeof(shared->what) + 1];

    (void)state;
    fixture_start(board, 0);
    claim = claim_one(board, NO_SLOT);
    shared = pyd_board_claim(board, 0, claim.slot, claim.claim);
    describe(board, &claim, "GET", "/a?b=c");
    pyd_claim_what(board, &claim, room, sizeof(room));
    assert_string_equal(room, "GET /a?b=c");
    assert_int_equal(atomic_load(&shared->start_us), 500);
    pyd_claim_what(board, &claim, room, 6);
    assert_string_equal(room, "GET /");
    memset(uri, 'x', sizeof(uri) - 1);
    uri[sizeof(uri) - 1] = '\0';
    describe(board, &claim, "POST", uri);
    pyd_claim_what(board, &claim, room, sizeof(room));
    assert_int_equal(strlen(room), sizeof(shared->what) - 1);
    describe(board, &claim, uri, uri);
    pyd_claim_what(board, &claim, room, sizeof(room));
    assert_int_equal(strlen(room), sizeof(shared->what) - 1);
    memset(shared->what, 'y', sizeof(shared->what));
    pyd_claim_what(board, &claim, room, sizeof(room));
    assert_int_equal(strlen(room), sizeof(shared->what) - 1);
    fixture_done(board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_ready_workers_are_claimed),
        cmocka_unit_test(test_spread_first),
        cmocka_unit_test(test_equals_take_turns),
        cmocka_unit_test(test_the_least_busy_is_taken_whoever_is_next),
        cmocka_unit_test(test_avoided_unless_it_is_the_only_one),
        cmocka_unit_test(test_a_suspect_is_not_used_beside_others),
        cmocka_unit_test(test_if_all_are_suspect_all_are_used),
        cmocka_unit_test(test_suspects_are_equals_among_themselves),
        cmocka_unit_test(test_a_suspect_that_begins_something_is_none),
        cmocka_unit_test(test_a_suspect_that_has_recovered_is_none),
        cmocka_unit_test(test_suspicion_ends),
        cmocka_unit_test(test_another_worker_is_not_suspect),
        cmocka_unit_test(test_seq_grows_and_survives_workers),
        cmocka_unit_test(test_an_orphan_is_free_when_its_worker_does_not_run_it),
        cmocka_unit_test(test_an_orphan_is_free_when_its_worker_is_gone),
        cmocka_unit_test(test_giving_up_twice_does_not_rob_the_next),
        cmocka_unit_test(test_a_late_child_finds_its_claim_taken),
        cmocka_unit_test(test_begun_is_what_the_worker_said),
        cmocka_unit_test(test_gone_and_why),
        cmocka_unit_test(test_what_is_cut_and_terminated),
    };

    return cmocka_run_group_tests_name("claim", tests, NULL, NULL);
}
