/* SPDX-License-Identifier: Apache-2.0 */
#include "board_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

static void test_begin_and_end(void **state)
{
    struct pyd_status_request record = {0};

    (void)state;
    assert_int_equal(pyd_status_begin(&record, 5, 1000, 77), 0);
    assert_int_equal(atomic_load(&record.seq_state), 5 << 1 | PYD_STATUS_RUNNING);
    assert_int_equal(atomic_load(&record.start_us), 1000);
    assert_int_equal(atomic_load(&record.tid), 77);
    assert_true(atomic_load(&record.thread) == (uint64_t)(uintptr_t)pthread_self());
    pyd_status_end(&record, 5);
    assert_int_equal(atomic_load(&record.seq_state), 5 << 1 | PYD_STATUS_DONE);
}

static void test_old_and_same_are_stale(void **state)
{
    struct pyd_status_request record = {0};

    (void)state;
    assert_int_equal(pyd_status_begin(&record, 0, 1, 1), ESTALE);
    assert_int_equal(pyd_status_begin(&record, 5, 1000, 77), 0);
    assert_int_equal(pyd_status_begin(&record, 5, 2000, 78), ESTALE);
    assert_int_equal(pyd_status_begin(&record, 4, 2000, 78), ESTALE);
    pyd_status_end(&record, 5);
    assert_int_equal(pyd_status_begin(&record, 5, 2000, 78), ESTALE);
    assert_int_equal(pyd_status_begin(&record, 4, 2000, 78), ESTALE);
    assert_int_equal(atomic_load(&record.start_us), 1000);
    assert_int_equal(atomic_load(&record.tid), 77);
    assert_int_equal(pyd_status_begin(&record, 6, 3000, 79), 0);
    /* What does not fit beside the state bit can't be a claim's. */
    assert_int_equal(pyd_status_begin(&record, UINT64_MAX, 3000, 79), ESTALE);
    assert_int_equal(pyd_status_begin(&record, UINT64_MAX >> 1, 3000, 79), 0);
}

static void test_end_of_an_overtaken_one_is_ignored(void **state)
{
    struct pyd_status_request record = {0};

    (void)state;
    assert_int_equal(pyd_status_begin(&record, 5, 1000, 77), 0);
    assert_int_equal(pyd_status_begin(&record, 6, 2000, 78), 0);
    pyd_status_end(&record, 5);
    assert_int_equal(atomic_load(&record.seq_state), 6 << 1 | PYD_STATUS_RUNNING);
    assert_int_equal(atomic_load(&record.start_us), 2000);
    pyd_status_end(&record, 6);
    assert_int_equal(atomic_load(&record.seq_state), 6 << 1 | PYD_STATUS_DONE);
}

static void test_open_ends_what_an_earlier_worker_ran(void **state)
{
    struct pyd_status_worker *worker = calloc(1, pyd_status_stride(2));

    (void)state;
    assert_non_null(worker);
    assert_int_equal(pyd_status_begin(&worker->request[1], 9, 1000, 77), 0);
    atomic_store(&worker->state, PYD_WORKER_READY);
    atomic_store(&worker->requests, 12);
    atomic_store(&worker->alive_us, 5);
    atomic_store(&worker->gil_asked_us, 6);
    atomic_store(&worker->dumps, 7);
    atomic_store(&worker->request[1].memory_bytes, 8);
    pyd_status_wait(&worker->request[1], 1000);
    pyd_status_open(worker, 2, 3);
    assert_int_equal(atomic_load(&worker->alive_us), 0);
    assert_int_equal(atomic_load(&worker->gil_asked_us), 0);
    assert_int_equal(atomic_load(&worker->dumps), 0);
    assert_int_equal(atomic_load(&worker->request[1].start_us), 0);
    assert_int_equal(atomic_load(&worker->request[1].tid), 0);
    assert_true(atomic_load(&worker->request[1].thread) == 0);
    assert_int_equal(atomic_load(&worker->request[1].memory_bytes), 0);
    assert_int_equal(pyd_status_waited_us(&worker->request[1], 2000), 0);
    assert_int_equal(atomic_load(&worker->epoch), 3);
    assert_int_equal(atomic_load(&worker->state), PYD_WORKER_INIT);
    assert_int_equal(atomic_load(&worker->requests), 0);
    assert_int_equal(atomic_load(&worker->request[1].seq_state), 9 << 1 | PYD_STATUS_DONE);
    assert_int_equal(pyd_status_begin(&worker->request[1], 9, 1000, 77), ESTALE);
    assert_int_equal(pyd_status_begin(&worker->request[1], 10, 1000, 77), 0);
    free(worker);
}

static void test_a_revoked_one_is_never_begun(void **state)
{
    struct pyd_status_request record = {0};

    (void)state;
    assert_int_equal(pyd_status_begin(&record, 4, 1000, 77), 0);
    pyd_status_end(&record, 4);
    assert_int_equal(pyd_status_revoke(&record, 5), 1);
    assert_int_equal(pyd_status_revoke(&record, 5), 0);
    assert_int_equal(atomic_load(&record.seq_state), 5 << 1 | PYD_STATUS_DONE);
    assert_int_equal(pyd_status_begin(&record, 5, 2000, 78), ESTALE);
    assert_int_equal(pyd_status_begin(&record, 6, 2000, 78), 0);
    /* Begun, or older than what was: too late. */
    assert_int_equal(pyd_status_revoke(&record, 6), 0);
    assert_int_equal(pyd_status_revoke(&record, 5), 0);
    assert_int_equal(atomic_load(&record.seq_state), 6 << 1 | PYD_STATUS_RUNNING);
    pyd_status_end(&record, 6);
    /* What no worker would begin does not make it refuse others. */
    pyd_status_revoke(&record, PYD_STATUS_SEQ_MAX + 1);
    pyd_status_revoke(&record, UINT64_MAX);
    assert_int_equal(pyd_status_begin(&record, 7, 3000, 79), 0);
}

static void test_waits_add_up(void **state)
{
    struct pyd_status_request record = {0};

    (void)state;
    assert_int_equal(pyd_status_waited_us(&record, 100), 0);
    pyd_status_wait_end(&record, 100);
    assert_int_equal(pyd_status_waited_us(&record, 200), 0);
    pyd_status_wait(&record, 1000);
    assert_int_equal(pyd_status_waited_us(&record, 1000), 0);
    assert_int_equal(pyd_status_waited_us(&record, 1500), 500);
    pyd_status_wait(&record, 1600);
    pyd_status_wait_end(&record, 3000);
    assert_int_equal(pyd_status_waited_us(&record, 9000), 2000);
    pyd_status_wait_end(&record, 9000);
    pyd_status_wait(&record, 10000);
    assert_int_equal(pyd_status_waited_us(&record, 10001), 2001);
    /* A reader whose clock was read a moment before. */
    assert_int_equal(pyd_status_waited_us(&record, 9990), 1990);
    assert_int_equal(pyd_status_waited_us(&record, 0), 0);
    /* The next request has waited for nobody. */
    assert_int_equal(pyd_status_begin(&record, 1, 11000, 77), 0);
    assert_int_equal(pyd_status_waited_us(&record, 12000), 0);
}

static void test_records_of_workers_do_not_share_lines(void **state)
{
    uint32_t threads;

    (void)state;
    for (threads = 1; threads < 40; ++threads) {
        size_t least = sizeof(struct pyd_status_worker) + threads * sizeof(struct pyd_status_request);

        assert_int_equal(pyd_status_stride(threads) % PYD_BOARD_LINE, 0);
        assert_in_range(pyd_status_stride(threads), least, least + PYD_BOARD_LINE - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_begin_and_end),
        cmocka_unit_test(test_old_and_same_are_stale),
        cmocka_unit_test(test_end_of_an_overtaken_one_is_ignored),
        cmocka_unit_test(test_open_ends_what_an_earlier_worker_ran),
        cmocka_unit_test(test_a_revoked_one_is_never_begun),
        cmocka_unit_test(test_waits_add_up),
        cmocka_unit_test(test_records_of_workers_do_not_share_lines),
    };

    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
