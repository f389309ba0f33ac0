/* SPDX-License-Identifier: Apache-2.0 */
/* Requests as they go through a worker. What happens to connections is in test_conn.c. */
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
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_app.h"
#include "fake_httpd.h"
#include "pyd_fd.h"

#define TARGET "/srv/app.py"
#define MEBIBYTE (1u << 20)

static struct fake_worker worker;

static const struct fake_request HELLO = {.act = "hello", .target = TARGET};

static int start(void **state)
{
    (void)state;
    fake_worker_run(&worker, 4);
    return 0;
}

/* Whatever a case did, the worker is well, refuses nobody, and ends in good order. */
static int finish(void **state)
{
    int fd = fake_connect(&worker);

    (void)state;
    fake_expect_body(&worker, fd, &HELLO, "hello");
    close(fd);
    fake_worker_finish(&worker);
    return 0;
}

/* ---- Good requests ---- */

static void test_hello(void **state)
{
    struct fake_response response;
    int fd = fake_connect(&worker);

    (void)state;
    fake_send_request(&worker, fd, &HELLO);
    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, PYD_FRAME_END);
    assert_int_equal(response.end, PYD_END_OK);
    assert_int_equal(response.status, 200);
    assert_int_equal(response.headers, 3);
    assert_int_equal(response.body.size, 5);
    assert_true(response.spent_us < 60000000);
    fake_response_done(&response);
    /* Who has read END may use the claim again. */
    assert_int_equal(atomic_load(&worker.status->request[0].seq_state), 1 << 1 | PYD_STATUS_DONE);
    assert_int_equal(atomic_load(&worker.status->requests), 1);
    close(fd);
}

static void test_done_before_end(void **state)
{
    int fd = fake_connect(&worker);

    (void)state;
    for (uint64_t seq = 1; seq <= 2000; seq++) {
        struct fake_request request = {.act = "hello", .seq = seq, .target = seq == 1 ? TARGET : NULL};

        fake_expect_body(&worker, fd, &request, "hello");
        assert_int_equal(atomic_load(&worker.status->request[0].seq_state), seq << 1 | PYD_STATUS_DONE);
    }
    worker.seq = 2000;
    close(fd);
}

static void test_pipelined(void **state)
{
    struct pyd_buf out = {0};
    struct fake_response response;
    int fd = fake_connect_raw(&worker);

    (void)state;
    fake_add_hello(&out, PYD_WIRE_VERSION, FAKE_GENERATION, FAKE_EPOCH);
    fake_add_const(&out, 0, TARGET);
    for (int i = 0; i < 100; i++)
        fake_add_request(&out, &worker, &(struct fake_request){.act = "hello"});
    assert_int_equal(fake_send(fd, out.data, out.size), 0);
    for (int i = 0; i < 100; i++) {
        fake_relay(fd, NULL, &response);
        assert_int_equal(response.ended, PYD_FRAME_END);
        fake_response_done(&response);
    }
    pyd_buf_done(&out);
    close(fd);
}

static void test_byte_by_byte(void **state)
{
    struct pyd_buf out = {0};
    struct fake_response response;
    int fd = fake_connect_raw(&worker);

    (void)state;
    fake_add_hello(&out, PYD_WIRE_VERSION, FAKE_GENERATION, FAKE_EPOCH);
    fake_add_const(&out, 3, TARGET);
    fake_add_request(&out, &worker, &(struct fake_request){.act = "hello", .const_id = 3});
    for (size_t i = 0; i < out.size; i++) {
        /* A connection that is fed slowly holds no thread: all the others are served meanwhile. */
        if (i % 50 == 0) {
            int other = fake_connect(&worker);

            fake_expect_body(&worker, other, &(struct fake_request){.act = "hello", .claim = 1, .target = TARGET},
                             "hello");
            close(other);
        }
        assert_int_equal(fake_send(fd, out.data + i, 1), 0);
    }
    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, PYD_FRAME_END);
    fake_response_done(&response);
    pyd_buf_done(&out);
    close(fd);
}

static void test_many_at_once(void **state)
{
    int fds[200];

    (void)state;
    for (int i = 0; i < 200; i++)
        fds[i] = fake_connect(&worker);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 200; i++) {
            struct fake_request request = {.act = "echo",
                                           .target = round ? NULL : TARGET,
                                           .claim = (uint32_t)i % worker.threads,
                                           .seq = (uint64_t)(round * 50 + i / 4 + 1),
                                           .flags = PYD_REQUEST_HAS_BODY | PYD_REQUEST_BODY_INLINE,
                                           .body = &fds[i],
                                           .body_bytes = sizeof(fds[i])};
            fake_send_request(&worker, fds[i], &request);
        }
        for (int i = 0; i < 200; i++) {
            struct fake_response response;

            fake_relay(fds[i], NULL, &response);
            /* More connections than claims: some find a newer seq begun on theirs, and are refused. */
            if (response.ended == PYD_FRAME_END)
                assert_memory_equal(response.body.data, &fds[i], sizeof(fds[i]));
            else
                assert_int_equal(response.ended, PYD_FRAME_REFUSE);
            fake_response_done(&response);
        }
    }
    for (int i = 0; i < 200; i++)
        close(fds[i]);
    worker.seq = 250;
}

static void test_all_threads_at_once(void **state)
{
    struct fake_frame frame;
    struct fake_response response;
    int fds[4], fifth = fake_connect(&worker);

    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        fds[i] = fake_connect(&worker);
        fake_send_request(&worker, fds[i], &(struct fake_request){.act = "hang", .claim = i, .target = TARGET});
        fake_expect(fds[i], PYD_FRAME_LOG, &frame);
        assert_int_equal(atomic_load(&worker.status->request[i].seq_state) & 1, PYD_STATUS_RUNNING);
    }
    fake_send_request(&worker, fifth, &(struct fake_request){.act = "hello", .seq = 99, .target = TARGET});
    fake_open_gate(4);
    for (int i = 0; i < 4; i++) {
        fake_relay(fds[i], NULL, &response);
        assert_int_equal(response.ended, PYD_FRAME_END);
        fake_response_done(&response);
        close(fds[i]);
    }
    fake_relay(fifth, NULL, &response);
    assert_int_equal(response.ended, PYD_FRAME_END);
    fake_response_done(&response);
    close(fifth);
    worker.seq = 99;
}

static void test_constant_sets(void **state)
{
    int fd = fake_connect(&worker);

    (void)state;
    fake_expect_body(&worker, fd, &(struct fake_request){.act = "count", .target = "a:x"}, "a:x 1");
    fake_expect_body(&worker, fd, &(struct fake_request){.act = "count"}, "a:x 2");
    fake_expect_body(&worker, fd, &(struct fake_request){.act = "count", .const_id = 7, .target = "b:x"}, "b:x 1");
    fake_expect_body(&worker, fd, &(struct fake_request){.act = "count"}, "a:x 3");
    assert_int_equal(atomic_load(&fake_app_shared->const_freed), 0);
    fake_expect_body(&worker, fd, &(struct fake_request){.act = "count", .target = "c:x"}, "c:x 1");
    assert_int_equal(atomic_load(&fake_app_shared->const_freed), 1);
    fake_expect_body(&worker, fd, &(struct fake_request){.act = "count", .const_id = 7}, "b:x 2");
    /* The worker closes it: that is to be seen here when all is freed. */
    assert_int_equal(fake_send(fd, "\xff\xff\xff\xff\xff\xff\xff\xff", 8), 0);
    fake_expect_end(fd);
    assert_int_equal(atomic_load(&fake_app_shared->const_freed), 3);
    close(fd);
}

static void test_log_lines(void **state)
{
    struct fake_frame frame;
    int fd = fake_connect(&worker);

    (void)state;
    fake_send_request(&worker, fd, &(struct fake_request){.act = "log", .target = TARGET});
    fake_expect(fd, PYD_FRAME_LOG, &frame);
    assert_int_equal(frame.payload[0], 3);
    assert_int_equal(frame.size, 25);
    assert_memory_equal(frame.payload + 1, "between head\nand header\n", 24);
    fake_expect(fd, PYD_FRAME_HEAD, &frame);
    fake_expect(fd, PYD_FRAME_END, &frame);
    close(fd);
}

static void test_early_hints(void **state)
{
    struct fake_response response;
    int fd = fake_connect(&worker);

    (void)state;
    fake_send_request(&worker, fd, &(struct fake_request){.act = "early", .target = TARGET});
    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, PYD_FRAME_END);
    assert_int_equal(response.early, 1);
    assert_int_equal(response.headers, 3);
    fake_response_done(&response);
    close(fd);
}

/* ---- Bodies ---- */

static unsigned char *make_bytes(size_t size)
{
    unsigned char *data = malloc(size);

    assert_non_null(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (unsigned char)(i * 2654435761u >> 13);
    return data;
}

static void echo_body(int fd, const char *act, size_t size, size_t piece)
{
    unsigned char *data = make_bytes(size + 1);
    struct fake_source source = {.data = data, .size = size, .piece = piece, .fail_status = -1};
    struct fake_response response;

    fake_send_request(&worker, fd, &(struct fake_request){.act = act, .target = TARGET, .flags = PYD_REQUEST_HAS_BODY});
    fake_relay(fd, &source, &response);
    assert_int_equal(response.ended, PYD_FRAME_END);
    assert_int_equal(response.end, PYD_END_OK);
    assert_true(response.reads >= 1);
    assert_int_equal(response.body.size, size);
    if (size)
        assert_memory_equal(response.body.data, data, size);
    fake_response_done(&response);
    free(data);
}

static void test_pull_body(void **state)
{
    int fd = fake_connect(&worker);

    (void)state;
    echo_body(fd, "echo", 0, 0);
    echo_body(fd, "echo", 1, 0);
    echo_body(fd, "echo 1", 300, 0);
    echo_body(fd, "echo", 8192, 0);
    echo_body(fd, "echo", 100000, 7);    /* much less than asked for */
    echo_body(fd, "echo 100", 100000, 40000); /* more than asked for: kept for the next read */
    echo_body(fd, "echo 65536", 5 * MEBIBYTE, 0);
    fake_expect_body(&worker, fd, &HELLO, "hello");
    close(fd);
}

static void test_inline_body(void **state)
{
    unsigned char *data = make_bytes(3 * MEBIBYTE);
    int fd = fake_connect(&worker);

    (void)state;
    for (size_t size = 1; size <= 3 * MEBIBYTE; size = size * 7 + 1) {
        struct fake_request request = {.act = "echo 4096",
                                       .target = TARGET,
                                       .flags = PYD_REQUEST_HAS_BODY | PYD_REQUEST_BODY_INLINE,
                                       .body = data,
                                       .body_bytes = size};
        struct fake_response response;

        fake_send_request(&worker, fd, &request);
        fake_relay(fd, NULL, &response);
        assert_int_equal(response.ended, PYD_FRAME_END);
        assert_int_equal(response.body.size, size);
        assert_memory_equal(response.body.data, data, size);
        fake_response_done(&response);
    }
    /* Not read by the application: the next request is not disturbed. */
    fake_expect_body(&worker, fd,
                     &(struct fake_request){.act = "hello",
                                            .target = TARGET,
                                            .flags = PYD_REQUEST_HAS_BODY | PYD_REQUEST_BODY_INLINE,
                                            .body = data,
                                            .body_bytes = 5000},
                     "hello");
    free(data);
    close(fd);
}

static void test_no_body(void **state)
{
    int fd = fake_connect(&worker);

    (void)state;
    fake_expect_body(&worker, fd, &(struct fake_request){.act = "echo", .target = TARGET}, "");
    close(fd);
}

static void test_body_fails(void **state)
{
    static const int statuses[] = {408, 413, 400};
    struct fake_response response;
    int fd = fake_connect(&worker);

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fake_source source = {.data = (const unsigned char *)"abc", .size = 3, .fail_status = statuses[i]};
        char expected[32];

        fake_send_request(&worker, fd,
                          &(struct fake_request){.act = "echo", .target = TARGET, .flags = PYD_REQUEST_HAS_BODY});
        fake_relay(fd, &source, &response);
        assert_int_equal(response.ended, PYD_FRAME_END);
        assert_int_equal(response.end, PYD_END_CUT);
        snprintf(expected, sizeof(expected), "abcstatus %d", statuses[i]);
        assert_memory_equal(response.body.data, expected, strlen(expected));
        fake_response_done(&response);
    }
    close(fd);
}

/* The client went away while it was asked for its body: the connection to httpd stays good. */
static void test_client_gone_in_body(void **state)
{
    struct fake_source source = {.data = (const unsigned char *)"abc", .size = 3, .fail_status = 0};
    struct fake_response response;
    int fd = fake_connect(&worker);

    (void)state;
    fake_send_request(&worker, fd,
                      &(struct fake_request){.act = "echo", .target = TARGET, .flags = PYD_REQUEST_HAS_BODY});
    fake_relay(fd, &source, &response);
    assert_int_equal(response.ended, PYD_FRAME_END);
    assert_int_equal(response.end, PYD_END_CUT);
    fake_response_done(&response);
    fake_expect_body(&worker, fd, &HELLO, "hello");
    close(fd);
}

static void test_unread_answer(void **state)
{
    static const struct {
        size_t piece;
        int usable;
    } cases[] = {{4000, 1}, {MEBIBYTE, 0}};
    unsigned char *data = make_bytes(MEBIBYTE);

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct fake_source source = {.data = data, .size = MEBIBYTE, .piece = cases[i].piece, .fail_status = -1};
        struct fake_frame frame;
        struct pyd_buf out = {0};
        int fd = fake_connect(&worker);

        fake_send_request(&worker, fd,
                          &(struct fake_request){.act = "sip 10", .target = TARGET, .flags = PYD_REQUEST_HAS_BODY});
        fake_expect(fd, PYD_FRAME_READ, &frame);
        /* More than asked for, of which the application takes 10 bytes: the rest is thrown away if it is not much. */
        fake_add_frame(&out, PYD_FRAME_BODY, 0, source.data, source.piece);
        fake_send(fd, out.data, out.size);
        pyd_buf_done(&out);
        fake_expect(fd, PYD_FRAME_HEAD, &frame);
        fake_expect(fd, PYD_FRAME_BODY, &frame);
        assert_int_equal(frame.size, 10);
        fake_expect(fd, PYD_FRAME_END, &frame);
        if (cases[i].usable)
            fake_expect_body(&worker, fd, &HELLO, "hello");
        else
            fake_expect_end(fd);
        close(fd);
    }
    free(data);
}

static void expect_stream(int fd, size_t total, size_t piece)
{
    unsigned char *data = malloc(piece);
    struct pyd_wire_frame frame;
    size_t body = 0, left = 0, header_have = 0;
    unsigned char header[PYD_WIRE_HEADER_BYTES];
    int ended = 0;

    assert_non_null(data);
    while (!ended) {
        size_t want = left ? (left < piece ? left : piece) : sizeof(header) - header_have;
        ssize_t got = recv(fd, left ? data : header + header_have, want, 0);

        assert_true(got > 0);
        if (left) {
            for (size_t i = 0; frame.type == PYD_FRAME_BODY && i < (size_t)got; i++, body++) {
                if (data[i] != body % MEBIBYTE % 251)
                    fail_msg("byte %zu of the body is wrong", body);
            }
            left -= (size_t)got;
            ended = !left && frame.type == PYD_FRAME_END;
            continue;
        }
        header_have += (size_t)got;
        if (header_have == sizeof(header)) {
            assert_int_equal(pyd_wire_peek(header, sizeof(header), &frame), PYD_WIRE_FRAME);
            left = frame.payload_bytes;
            header_have = 0;
        }
    }
    assert_int_equal(body, total);
    free(data);
}

static void test_big_stream(void **state)
{
    long before_kib = fake_worker_peak_kib(&worker);
    size_t total = 50 * MEBIBYTE;
    int fd = fake_connect(&worker);
    char act[64];

    (void)state;
    snprintf(act, sizeof(act), "stream %zu", total);
    fake_send_request(&worker, fd, &(struct fake_request){.act = act, .target = TARGET});
    expect_stream(fd, total, 3001); /* a slow reader: the socket is full all the time */
    fake_worker_expect_flat(&worker, before_kib, 4096);  /* of which the application has 1 MiB */
    fake_expect_body(&worker, fd, &HELLO, "hello");
    close(fd);
}

static void test_small_writes(void **state)
{
    long before_kib = fake_worker_peak_kib(&worker);
    struct fake_response response;
    int fd = fake_connect(&worker);

    (void)state;
    fake_send_request(&worker, fd, &(struct fake_request){.act = "drip 200000", .target = TARGET});
    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, PYD_FRAME_END);
    assert_int_equal(response.body.size, 3200000);
    for (size_t i = 0; i < response.body.size; i++)
        assert_int_equal(response.body.data[i], "0123456789abcdef"[i % 16]);
    fake_response_done(&response);
    fake_worker_expect_flat(&worker, before_kib, 2048);
    close(fd);
}

/* Nobody takes the lines: they go elsewhere, and memory stays as it is. */
static void test_log_flood(void **state)
{
    long before_kib = fake_worker_peak_kib(&worker);
    struct fake_response response;
    size_t lines = 0;
    int fd = fake_connect(&worker);

    (void)state;
    fake_send_request(&worker, fd, &(struct fake_request){.act = "chatter 1000", .target = TARGET});
    for (;;) { /* the log pipe must be read, or the application waits for it */
        struct pollfd polled[] = {{.fd = worker.log, .events = POLLIN}, {.fd = fake_app_events[0], .events = POLLIN}};

        assert_true(poll(polled, 2, 30000) > 0);
        lines += fake_worker_drain_log(&worker);
        if (polled[1].revents)
            break;
    }
    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, PYD_FRAME_END);
    assert_true(response.log.size >= 200 * 1024);
    lines += fake_worker_drain_log(&worker);
    assert_true(lines >= 100);
    assert_int_equal(response.log.size + lines * 1024, 1000 * 1024); /* none is lost, none doubled */
    fake_wait_event('c');
    fake_response_done(&response);
    fake_worker_expect_flat(&worker, before_kib, 2048);
    close(fd);
}

/* ---- The application errs ---- */

static void test_no_end(void **state)
{
    struct fake_response response;
    int fd = fake_connect(&worker);

    (void)state;
    fake_send_request(&worker, fd, &(struct fake_request){.act = "nothing 0", .target = TARGET});
    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, PYD_FRAME_FAIL);
    assert_int_equal(response.end, PYD_FAIL_EXCEPTION);
    fake_worker_wait_log(&worker, "\x01" "3PYD0810");
    fake_send_request(&worker, fd, &(struct fake_request){.act = "nothing 1", .target = TARGET});
    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, PYD_FRAME_END);
    assert_int_equal(response.end, PYD_END_CUT);
    assert_int_equal(response.status, 200);
    fake_expect_body(&worker, fd, &HELLO, "hello");
    close(fd);
}

static void test_failures(void **state)
{
    struct fake_response response;
    int fd = fake_connect(&worker);

    (void)state;
    for (int i = 0; i < 2; i++) {
        fake_send_request(&worker, fd, &(struct fake_request){.act = i ? "fail 1" : "fail 0", .target = TARGET});
        fake_relay(fd, NULL, &response);
        assert_int_equal(response.ended, PYD_FRAME_FAIL);
        assert_int_equal(response.end, PYD_FAIL_PROTOCOL);
        assert_string_equal(response.rule, "status must be str");
        assert_int_equal(response.status, 0);
    }
    fake_send_request(&worker, fd, &(struct fake_request){.act = "fail 2", .target = TARGET});
    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, PYD_FRAME_END);
    assert_int_equal(response.end, PYD_END_CUT);
    fake_expect_body(&worker, fd, &HELLO, "hello");
    close(fd);
}

static void test_head_too_long(void **state)
{
    struct fake_response response;
    int fd = fake_connect(&worker);

    (void)state;
    fake_send_request(&worker, fd, &(struct fake_request){.act = "huge-head 9000000", .target = TARGET});
    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, PYD_FRAME_FAIL);
    assert_string_equal(response.rule, "head too long");
    fake_send_request(&worker, fd, &(struct fake_request){.act = "huge-head 3000000", .target = TARGET});
    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, PYD_FRAME_END);
    assert_int_equal(response.headers, 2);
    close(fd);
}

/* It says nothing to the peer, does not touch the status, and serves nobody. */
static void expect_forks_apart(const char *act)
{
    int fd = fake_connect(&worker);

    for (uint64_t i = 1; i <= 3; i++) {
        struct pollfd polled = {.fd = fd, .events = POLLIN};
        struct fake_response response;

        fake_send_request(&worker, fd,
                          &(struct fake_request){.act = act, .target = TARGET, .flags = PYD_REQUEST_HAS_BODY});
        fake_wait_event('f');
        assert_int_equal(poll(&polled, 1, 0), 0);
        assert_int_equal(atomic_load(&worker.status->request[0].seq_state), i << 1 | PYD_STATUS_RUNNING);
        assert_int_equal(atomic_load(&worker.status->requests), i - 1);
        fake_open_gate(1);
        fake_relay(fd, NULL, &response);
        assert_int_equal(response.ended, PYD_FRAME_END);
        assert_int_equal(response.body.size, 7);
        assert_memory_equal(response.body.data, "child 0", 7);
        fake_response_done(&response);
    }
    close(fd);
}

static void test_fork_comes_back(void **state)
{
    (void)state;
    expect_forks_apart("fork-back");
}

static void test_clone_comes_back(void **state)
{
    (void)state;
    if (FAKE_THREAD_SANITIZER)
        skip(); /* it has not heard of that thread either */
    expect_forks_apart("fork-back 1");
}

#define EXCHANGE_TEST(name) cmocka_unit_test_setup_teardown(name, start, finish)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        EXCHANGE_TEST(test_hello),
        EXCHANGE_TEST(test_done_before_end),
        EXCHANGE_TEST(test_pipelined),
        EXCHANGE_TEST(test_byte_by_byte),
        EXCHANGE_TEST(test_many_at_once),
        EXCHANGE_TEST(test_all_threads_at_once),
        EXCHANGE_TEST(test_constant_sets),
        EXCHANGE_TEST(test_log_lines),
        EXCHANGE_TEST(test_early_hints),
        EXCHANGE_TEST(test_pull_body),
        EXCHANGE_TEST(test_inline_body),
        EXCHANGE_TEST(test_no_body),
        EXCHANGE_TEST(test_body_fails),
        EXCHANGE_TEST(test_client_gone_in_body),
        EXCHANGE_TEST(test_unread_answer),
        EXCHANGE_TEST(test_big_stream),
        EXCHANGE_TEST(test_small_writes),
        EXCHANGE_TEST(test_log_flood),
        EXCHANGE_TEST(test_no_end),
        EXCHANGE_TEST(test_failures),
        EXCHANGE_TEST(test_head_too_long),
        EXCHANGE_TEST(test_fork_comes_back),
        EXCHANGE_TEST(test_clone_comes_back),
    };

    fake_httpd_init(argc, argv);
    return cmocka_run_group_tests_name("exchange", tests, NULL, NULL);
}
