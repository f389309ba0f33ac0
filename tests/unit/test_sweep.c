/* SPDX-License-Identifier: Apache-2.0 */
#include "board_fixture.h"

#include <errno.h>

/* Of all pids used here only SELF lives. */
static int only_self(void *baton, uint32_t pid)
{
    *(unsigned *)baton += 1;
    return pid == SELF;
}

static uint32_t sweep(struct pyd_board *board)
{
    unsigned asked = 0;

    return pyd_sweep(board, 0, only_self, &asked);
}

static uint32_t enter(struct pyd_board *board, uint32_t pid)
{
    uint32_t waiter = UINT32_MAX;

    assert_int_equal(pyd_queue_enter(board, 0, pid, &waiter), 0);
    return waiter;
}

static uint32_t count(struct pyd_board *board)
{
    return (uint32_t)atomic_load(&pyd_board_group(board, 0)->queue);
}

static void test_claims_of_the_dead_become_orphans(void **state)
{
    struct pyd_board *board = fixture_board(2, 2, 0);
    struct pyd_claim_ref mine, dead, again;

    (void)state;
    fixture_start(board, 0);
    assert_int_equal(pyd_claim_try(board, 0, SELF, NO_SLOT, &mine), 0);
    assert_int_equal(pyd_claim_try(board, 0, OTHER, NO_SLOT, &dead), 0);
    assert_int_equal(pyd_status_begin(fixture_request(board, &dead), dead.seq, 1, 1), 0);
    assert_int_equal(sweep(board), 1);
    assert_int_equal(fixture_owner(board, &mine), SELF);
    assert_int_equal(fixture_owner(board, &dead), PYD_OWNER_ORPHAN);
    assert_int_equal(sweep(board), 0);
    assert_int_equal(pyd_claim_try(board, 0, SELF, NO_SLOT, &again), EAGAIN);
    pyd_status_end(fixture_request(board, &dead), dead.seq);
    assert_int_equal(pyd_claim_try(board, 0, SELF, NO_SLOT, &again), 0);
    assert_int_equal(again.claim, dead.claim);
    fixture_done(board);
}

static void test_what_the_dead_had_sent_is_revoked(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 0);
    struct pyd_claim_ref dead, next;

    (void)state;
    fixture_start(board, 0);
    assert_int_equal(pyd_claim_try(board, 0, OTHER, NO_SLOT, &dead), 0);
    assert_int_equal(sweep(board), 1);
    assert_int_equal(pyd_claim_try(board, 0, SELF, NO_SLOT, &next), 0);
    assert_int_equal(pyd_status_begin(fixture_request(board, &dead), dead.seq, 1, 1), ESTALE);
    assert_int_equal(pyd_status_begin(fixture_request(board, &next), next.seq, 1, 1), 0);
    fixture_done(board);
}

/* A wild write into the status or the board costs one worker's thread, not all that follow. */
static void test_damaged_seqs_end_with_their_worker(void **state)
{
    const struct {
        uint64_t status, claim;
    } damages[] = {{UINT64_MAX, 7}, {UINT64_MAX - 1, 7}, {0, PYD_STATUS_SEQ_MAX}, {0, UINT64_MAX}, {20, 7}, {9, 0}};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(damages) / sizeof(*damages); ++i) {
        struct pyd_board *board = fixture_board(1, 2, 0);
        struct pyd_claim_ref claims[2];
        uint32_t k;

        fixture_start(board, 0);
        atomic_store(&pyd_board_status(board, 0, 0)->request[1].seq_state, damages[i].status);
        atomic_store(&pyd_board_claim(board, 0, 0, 1)->seq, damages[i].claim);
        fixture_state(board, 0, PYD_SLOT_DEAD);
        pyd_sweep_slot_renew(board, 0, 0);
        fixture_start(board, 0);
        for (k = 0; k < 2; ++k) {
            assert_int_equal(pyd_claim_try(board, 0, SELF, NO_SLOT, &claims[k]), 0);
            assert_false(pyd_claim_begun(board, &claims[k]));
            assert_int_equal(pyd_status_begin(fixture_request(board, &claims[k]), claims[k].seq, 1, 1), 0);
            assert_true(pyd_claim_begun(board, &claims[k]));
        }
        fixture_done(board);
    }
}

/* Nothing of what the last worker was, or of what its requests were, is the next one's. */
static void test_a_renewed_slot_is_as_new(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 0);
    struct pyd_board_slot *slot = pyd_board_slot(board, 0, 0);
    struct pyd_board_claim *shared = pyd_board_claim(board, 0, 0, 0);
    struct pyd_claim_ref claim;

    (void)state;
    fixture_start(board, 0);
    claim = fixture_running(board, 1000);
    pyd_status_wait(fixture_request(board, &claim), 2000);
    pyd_claim_pause(board, &claim, 2000);
    assert_int_equal(pyd_claim_set_late(board, &claim), 1);
    pyd_claim_suspect(board, &claim, 3000);
    atomic_store(&slot->memory_bytes, 4000);
    atomic_store(&slot->cpu_us, 5000);
    atomic_store(&shared->seq, UINT64_MAX - 5);
    atomic_store(&shared->late, 1);
    fixture_state(board, 0, PYD_SLOT_DEAD);
    assert_int_equal(pyd_sweep_slot_reclaim(board, 0, 0), 1);
    atomic_store(&shared->paused_since_us, 6000);
    pyd_sweep_slot_renew(board, 0, 0);
    assert_true(atomic_load(&slot->suspect_us) == 0);
    assert_true(atomic_load(&slot->memory_bytes) == 0);
    assert_true(atomic_load(&slot->cpu_us) == 0);
    fixture_start(board, 0);
    /* Its seq begins anew, and comes to where it was late. */
    claim = fixture_claim(board);
    assert_int_equal(claim.seq, 1);
    assert_false(pyd_claim_is_late(board, &claim));
    assert_int_equal(pyd_claim_elapsed_us(board, &claim, 10000), 0);
    assert_int_equal(atomic_load(&shared->paused_since_us), 0);
    assert_int_equal(atomic_load(&shared->paused_us), 0);
    fixture_done(board);
}

/* A child that was blocked all the time comes back and asks whether its request was late. */
static void test_late_outlives_the_worker(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 0);
    struct pyd_claim_ref claim, next;

    (void)state;
    fixture_start(board, 0);
    claim = fixture_running(board, 1000);
    assert_int_equal(pyd_claim_set_late(board, &claim), 1);
    fixture_state(board, 0, PYD_SLOT_DEAD);
    assert_int_equal(pyd_sweep_slot_reclaim(board, 0, 0), 1);
    pyd_sweep_slot_renew(board, 0, 0);
    fixture_start(board, 0);
    next = fixture_claim(board);
    assert_true(pyd_claim_is_late(board, &claim));
    assert_false(pyd_claim_is_late(board, &next));
    assert_int_equal(pyd_claim_set_late(board, &next), 1);
    fixture_done(board);
}

static void test_what_a_living_child_holds_is_not_renewed(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 0);
    struct pyd_claim_ref mine;

    (void)state;
    fixture_start(board, 0);
    assert_int_equal(pyd_claim_try(board, 0, SELF, NO_SLOT, &mine), 0);
    fixture_state(board, 0, PYD_SLOT_DEAD);
    pyd_sweep_slot_renew(board, 0, 0);
    assert_false(pyd_claim_begun(board, &mine));
    assert_int_equal(fixture_owner(board, &mine), SELF);
    fixture_done(board);
}

static void test_slots_are_unclaimed_without_living_owners(void **state)
{
    struct pyd_board *board = fixture_board(1, 2, 0);
    struct pyd_claim_ref mine, dead;

    (void)state;
    fixture_start(board, 0);
    assert_true(pyd_sweep_slot_unclaimed(board, 0, 0));
    assert_int_equal(pyd_claim_try(board, 0, SELF, NO_SLOT, &mine), 0);
    assert_int_equal(pyd_claim_try(board, 0, OTHER, NO_SLOT, &dead), 0);
    fixture_state(board, 0, PYD_SLOT_DEAD);
    sweep(board);
    assert_false(pyd_sweep_slot_unclaimed(board, 0, 0));
    pyd_claim_release(board, &mine);
    assert_true(pyd_sweep_slot_unclaimed(board, 0, 0));
    fixture_done(board);
}

static void test_entries_of_the_dead_are_freed(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 4);
    uint32_t dead = enter(board, OTHER), mine = enter(board, SELF);

    (void)state;
    assert_false(pyd_queue_is_first(board, 0, mine));
    assert_int_equal(sweep(board), 2); /* the entry and the count */
    assert_true(pyd_queue_is_first(board, 0, mine));
    assert_int_equal(count(board), 1);
    assert_int_equal(atomic_load(&pyd_board_waiter(board, 0, dead)->owner), PYD_OWNER_NONE);
    assert_int_equal(enter(board, SELF), dead);
    assert_int_equal(sweep(board), 0);
    fixture_done(board);
}

/* Every point at which a process may die in pyd_queue_enter() and pyd_queue_leave(). */
static void test_whatever_the_dead_were_doing(void **state)
{
    const struct {
        uint64_t ticket;
        uint32_t counted;
    } cases[] = {{0, 0}, {0, 1}, {9, 1}};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(*cases); ++i) {
        struct pyd_board *board = fixture_board(1, 1, 4);
        struct pyd_board_waiter *waiter = pyd_board_waiter(board, 0, 2);
        uint32_t mine = enter(board, SELF);

        atomic_store(&waiter->owner, OTHER);
        atomic_store(&waiter->ticket, cases[i].ticket);
        atomic_fetch_add(&pyd_board_group(board, 0)->queue, cases[i].counted);
        assert_true(sweep(board) > 0);
        assert_int_equal(atomic_load(&waiter->owner), PYD_OWNER_NONE);
        assert_int_equal(atomic_load(&waiter->ticket), 0);
        assert_int_equal(count(board), 1);
        pyd_queue_leave(board, 0, mine);
        assert_int_equal(count(board), 0);
        fixture_done(board);
    }
}

static void test_the_count_waits_for_the_living(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 4);
    struct pyd_board_waiter *waiter = pyd_board_waiter(board, 0, 0);

    (void)state;
    /* Somebody living is between two steps: counted or not, one can't tell. */
    atomic_store(&waiter->owner, SELF);
    atomic_fetch_add(&pyd_board_group(board, 0)->queue, 1);
    assert_int_equal(sweep(board), 0);
    assert_int_equal(count(board), 1);
    atomic_store(&waiter->ticket, 5);
    assert_int_equal(sweep(board), 0);
    assert_int_equal(count(board), 1);
    pyd_queue_leave(board, 0, 0);
    assert_int_equal(count(board), 0);
    fixture_done(board);
}

static void test_a_wrong_count_is_corrected_both_ways(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 4);
    uint32_t mine = enter(board, SELF);

    (void)state;
    atomic_fetch_add(&pyd_board_group(board, 0)->queue, 3);
    assert_int_equal(sweep(board), 1);
    assert_int_equal(count(board), 1);
    atomic_store(&pyd_board_group(board, 0)->queue, 0);
    assert_int_equal(sweep(board), 1);
    assert_int_equal(count(board), 1);
    atomic_store(&pyd_board_group(board, 0)->queue, 0);
    pyd_queue_leave(board, 0, mine);
    assert_int_equal(count(board), 0);
    fixture_done(board);
}

static void test_repairs_call_the_waiting(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 4);
    struct pyd_claim_ref dead;
    uint32_t mine;

    (void)state;
    fixture_start(board, 0);
    assert_int_equal(pyd_claim_try(board, 0, OTHER, NO_SLOT, &dead), 0);
    mine = enter(board, SELF);
    assert_int_equal(sweep(board), 1);
    assert_int_equal(atomic_load(&pyd_board_waiter(board, 0, mine)->wake), 1);
    fixture_done(board);
}

static void test_one_question_a_pid_in_a_row(void **state)
{
    struct pyd_board *board = fixture_board(1, 8, 0);
    struct pyd_claim_ref claim;
    unsigned asked = 0, i;

    (void)state;
    fixture_start(board, 0);
    for (i = 0; i < 8; ++i)
        assert_int_equal(pyd_claim_try(board, 0, SELF, NO_SLOT, &claim), 0);
    pyd_sweep(board, 0, only_self, &asked);
    assert_int_equal(asked, 1);
    fixture_done(board);
}

static void test_a_new_child_frees_what_bears_its_pid(void **state)
{
    const struct pyd_board_group_plan plans[] = {
        {.name = "a", .processes = 1, .threads = 2, .queue_limit = 2, .spec_text = ""},
        {.name = "b", .processes = 1, .threads = 2, .queue_limit = 2, .spec_text = ""},
    };
    struct pyd_board *board = NULL;
    struct pyd_claim_ref old, other;
    uint32_t waiter;

    (void)state;
    assert_int_equal(pyd_board_create(1, plans, 2, &board), 0);
    atomic_store(&pyd_board_slot(board, 1, 0)->state, PYD_SLOT_READY);
    assert_int_equal(pyd_claim_try(board, 1, SELF, NO_SLOT, &old), 0);
    assert_int_equal(pyd_claim_try(board, 1, OTHER, NO_SLOT, &other), 0);
    assert_int_equal(pyd_queue_enter(board, 1, SELF, &waiter), 0);
    pyd_sweep_own(board, SELF);
    assert_int_equal(fixture_owner(board, &old), PYD_OWNER_ORPHAN);
    assert_int_equal(fixture_owner(board, &other), OTHER);
    assert_int_equal(pyd_queue_length(board, 1), 0);
    fixture_done(board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_claims_of_the_dead_become_orphans),
        cmocka_unit_test(test_what_the_dead_had_sent_is_revoked),
        cmocka_unit_test(test_damaged_seqs_end_with_their_worker),
        cmocka_unit_test(test_a_renewed_slot_is_as_new),
        cmocka_unit_test(test_late_outlives_the_worker),
        cmocka_unit_test(test_what_a_living_child_holds_is_not_renewed),
        cmocka_unit_test(test_slots_are_unclaimed_without_living_owners),
        cmocka_unit_test(test_entries_of_the_dead_are_freed),
        cmocka_unit_test(test_whatever_the_dead_were_doing),
        cmocka_unit_test(test_the_count_waits_for_the_living),
        cmocka_unit_test(test_a_wrong_count_is_corrected_both_ways),
        cmocka_unit_test(test_repairs_call_the_waiting),
        cmocka_unit_test(test_one_question_a_pid_in_a_row),
        cmocka_unit_test(test_a_new_child_frees_what_bears_its_pid),
    };

    return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}
