/* SPDX-License-Identifier: Apache-2.0 */
/* What a request is charged with: time that is not the client's, and memory. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_app.h"
#include "fake_httpd.h"
#include "pyd_clock.h"

#define TARGET "/srv/app.py"

static struct fake_worker worker;

static const struct fake_request HELLO = {.act = "hello", .target = TARGET};

static int start(void **state)
{
    (void)state;
    fake_worker_run(&worker, 4);
    return 0;
}

static int finish(void **state)
{
    int fd = fake_connect(&worker);

    (void)state;
    fake_expect_body(&worker, fd, &HELLO, "hello");
    close(fd);
    fake_worker_finish(&worker);
    return 0;
}

/* ---- Time ---- */

static struct pyd_status_request *record_of(uint32_t claim)
{
    return &worker.status->request[claim];
}

static void look_again(int64_t until_us)
{
    poll(NULL, 0, 1);
    if (pyd_clock_us() > until_us)
        fail_msg("waited in vain");
}

static int is_waiting(uint32_t claim)
{
    int64_t now_us = pyd_clock_us();

    /* It grows as time goes by. */
    return pyd_status_waited_us(record_of(claim), now_us + 1000) > pyd_status_waited_us(record_of(claim), now_us);
}

static void wait_waited(uint32_t claim, int64_t us)
{
    int64_t until_us = pyd_clock_us() + 30000000;

    while (pyd_status_waited_us(record_of(claim), pyd_clock_us()) < us)
        look_again(until_us);
}

static void test_waits_for_body(void **state)
{
    static const unsigned char body[] = {0, 0, 0, 0, 'x'};
    int64_t begun_us = pyd_clock_us(), waited_us;
    struct fake_response response;
    struct fake_frame frame;
    struct pyd_buf out = {0};
    int fd = fake_connect(&worker);

    (void)state;
    fake_send_request(&worker, fd,
                      &(struct fake_request){.act = "echo", .target = TARGET, .flags = PYD_REQUEST_HAS_BODY});
    for (int i = 1; i <= 3; i++) {
        fake_expect(fd, i == 1 ? PYD_FRAME_HEAD : PYD_FRAME_BODY, &frame);
        fake_expect(fd, PYD_FRAME_READ, &frame);
        assert_true(is_waiting(0)); /* who has READ can rely on it */
        wait_waited(0, 20000 * i);  /* those before it still count */
        fake_add_frame(&out, PYD_FRAME_BODY, i == 3 ? PYD_FRAME_FLAG_LAST : 0, body, sizeof(body));
        assert_int_equal(fake_send(fd, out.data, out.size), 0);
        pyd_buf_clear(&out);
    }
    fake_expect(fd, PYD_FRAME_BODY, &frame);
    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, PYD_FRAME_END);
    assert_false(is_waiting(0));
    waited_us = pyd_status_waited_us(record_of(0), pyd_clock_us());
    assert_true(waited_us >= 60000);
    assert_true((int64_t)response.spent_us + waited_us <= pyd_clock_us() - begun_us);
    fake_response_done(&response);
    pyd_buf_done(&out);
    close(fd);
}

/* Between READ and the answer the header may have come, and the body not. */
static void test_waits_for_rest_of_body(void **state)
{
    static const unsigned char body[20] = {1};
    struct fake_response response;
    struct fake_frame frame;
    struct pyd_buf out = {0};
    int fd = fake_connect(&worker);

    (void)state;
    fake_send_request(&worker, fd,
                      &(struct fake_request){.act = "echo", .target = TARGET, .flags = PYD_REQUEST_HAS_BODY});
    fake_expect(fd, PYD_FRAME_HEAD, &frame);
    fake_expect(fd, PYD_FRAME_READ, &frame);
    fake_add_frame(&out, PYD_FRAME_BODY, PYD_FRAME_FLAG_LAST, body, sizeof(body));
    assert_int_equal(fake_send(fd, out.data, PYD_WIRE_HEADER_BYTES), 0);
    wait_waited(0, 50000);
    assert_true(is_waiting(0));
    assert_int_equal(fake_send(fd, out.data + PYD_WIRE_HEADER_BYTES, sizeof(body)), 0);
    fake_expect(fd, PYD_FRAME_BODY, &frame);
    assert_int_equal(frame.size, sizeof(body));
    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, PYD_FRAME_END);
    assert_false(is_waiting(0));
    fake_response_done(&response);
    pyd_buf_done(&out);
    close(fd);
}

static void test_waits_for_room(void **state)
{
    struct fake_response response;
    int fd = fake_connect(&worker);

    (void)state;
    fake_send_request(&worker, fd, &(struct fake_request){.act = "stream 4000000", .claim = 2, .target = TARGET});
    wait_waited(2, 20000);
    assert_true(is_waiting(2));
    assert_false(is_waiting(0));
    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, PYD_FRAME_END);
    assert_false(is_waiting(2));
    assert_true(pyd_status_waited_us(record_of(2), pyd_clock_us()) >= 20000);
    fake_response_done(&response);
    /* The next one begins anew. */
    fake_expect_body(&worker, fd, &(struct fake_request){.act = "hello", .claim = 2}, "hello");
    assert_int_equal(pyd_status_waited_us(record_of(2), pyd_clock_us()), 0);
    close(fd);
}

static char state_of(int32_t tid)
{
    char path[64], text[512] = "";
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", (int)worker.pid, (int)tid);
    file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    fclose(file);
    return strrchr(text, ')')[2];
}

/* Its end is said, but not sent: by now the record may be another request's. */
static void test_waits_after_end(void **state)
{
    int64_t until_us = pyd_clock_us() + 30000000;
    struct fake_response response;
    int fd = fake_connect(&worker);

    (void)state;
    fake_send_request(&worker, fd, &(struct fake_request){.act = "mutter 240", .target = TARGET});
    while (atomic_load(&record_of(0)->seq_state) != (1 << 1 | PYD_STATUS_DONE))
        look_again(until_us);
    while (state_of(atomic_load(&record_of(0)->tid)) != 'S')
        look_again(until_us);
    assert_false(is_waiting(0));
    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, PYD_FRAME_END);
    assert_int_equal(response.log.size, 240 * 1024);
    assert_int_equal(pyd_status_waited_us(record_of(0), pyd_clock_us()), 0);
    fake_response_done(&response);
    close(fd);
}

/* ---- Memory ---- */

static void test_memory_is_not_measured(void **state)
{
    int fd = fake_connect(&worker);

    (void)state;
    fake_expect_body(&worker, fd, &HELLO, "hello");
    assert_int_equal(atomic_load(&record_of(0)->memory_bytes), 0);
    assert_true(atomic_load(&record_of(0)->thread) != 0);
    close(fd);
}

static void expect_measured(const char *spec_text)
{
    struct fake_setup setup = {.threads = 4, .spec_text = spec_text};
    int fd;

    fake_worker_clean(&worker);
    fake_worker_start(&worker, &setup);
    fake_worker_wait_state(&worker, PYD_WORKER_READY);
    fd = fake_connect(&worker);
    fake_expect_body(&worker, fd, &HELLO, "hello");
    assert_in_range(atomic_load(&record_of(0)->memory_bytes), 4096, fake_worker_peak_kib(&worker) * 1024);
    close(fd);
}

static void test_memory_is_measured(void **state)
{
    (void)state;
    expect_measured("memory-limit=4G\n");
    expect_measured("memory-hard-limit=4G\n");
}

/* Who sees that it has begun finds the memory it began with. */
static void test_memory_comes_first(void **state)
{
    struct fake_setup setup = {.threads = 1, .spec_text = "memory-limit=4G\n"};
    int fd;

    (void)state;
    fake_worker_clean(&worker);
    fake_worker_start(&worker, &setup);
    fake_worker_wait_state(&worker, PYD_WORKER_READY);
    fd = fake_connect(&worker);
    for (int i = 0; i < 1000; i++) {
        int64_t until_us = pyd_clock_us() + 60000000;
        struct fake_response response;

        atomic_store(&record_of(0)->memory_bytes, 0);
        fake_send_request(&worker, fd, &HELLO);
        while (atomic_load(&record_of(0)->seq_state) >> 1 < worker.seq && pyd_clock_us() < until_us) {
        }
        assert_true(atomic_load(&record_of(0)->memory_bytes) > 0);
        fake_relay(fd, NULL, &response);
        fake_response_done(&response);
    }
    close(fd);
}

#define ACCOUNT_TEST(name) cmocka_unit_test_setup_teardown(name, start, finish)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        ACCOUNT_TEST(test_waits_for_body),
        ACCOUNT_TEST(test_waits_for_rest_of_body),
        ACCOUNT_TEST(test_waits_for_room),
        ACCOUNT_TEST(test_waits_after_end),
        ACCOUNT_TEST(test_memory_is_not_measured),
        ACCOUNT_TEST(test_memory_is_measured),
        ACCOUNT_TEST(test_memory_comes_first),
    };

    fake_httpd_init(argc, argv);
    return cmocka_run_group_tests_name("account", tests, NULL, NULL);
}
