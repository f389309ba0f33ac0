/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: peers that go away, and peers that make no sense. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_app.h"
#include "fake_httpd.h"
#include "pyd_conn.h"
#include "pyd_exchange.h"
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

/* ---- The peer goes away ---- */

static void test_disconnected(void **state)
{
    int fd = fake_connect(&worker);

    (void)state;
    fake_send_request(&worker, fd, &(struct fake_request){.act = "linger", .target = TARGET});
    fake_wait_event('c');
    close(fd);
    fake_open_gate(1);
    fake_wait_event('d');
}

static void test_gone_while_streaming(void **state)
{
    struct fake_frame frame;
    int fd = fake_connect(&worker);

    (void)state;
    fake_send_request(&worker, fd, &(struct fake_request){.act = "stream 1000000000", .target = TARGET});
    fake_expect(fd, PYD_FRAME_HEAD, &frame);
    fake_expect(fd, PYD_FRAME_BODY, &frame);
    close(fd);
    fake_wait_event('e');
    assert_int_equal(atomic_load(&fake_app_shared->waiting_ended), ECONNRESET);
}

static void test_gone_while_reading(void **state)
{
    struct fake_frame frame;

    (void)state;
    for (uint64_t i = 0; i < 20; i++) {
        int fd = fake_connect(&worker);

        fake_send_request(&worker, fd,
                          &(struct fake_request){.act = "echo", .target = TARGET, .flags = PYD_REQUEST_HAS_BODY});
        fake_expect(fd, PYD_FRAME_HEAD, &frame);
        fake_expect(fd, PYD_FRAME_READ, &frame);
        if (i % 2)
            fake_send(fd, "\0\0\0\x09\x05\0\0\0abc", 11); /* in the middle of a BODY */
        close(fd);
    }
}

static void test_idle_ends(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++)
        close(i % 2 ? fake_connect(&worker) : fake_connect_raw(&worker));
}

/* A request that has to wait for a thread until nobody waits for it any more does not begin. */
static void test_gone_before_it_began(void **state)
{
    struct fake_response response;
    struct fake_frame frame;
    int running[4], fd;

    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        running[i] = fake_connect(&worker);
        fake_send_request(&worker, running[i], &(struct fake_request){.act = "hang", .claim = i, .target = TARGET});
        fake_expect(running[i], PYD_FRAME_LOG, &frame);
    }
    for (int i = 0; i < 10; i++) {
        fd = fake_connect(&worker);
        fake_send_request(&worker, fd, &(struct fake_request){.act = "exit 1", .seq = 100, .target = TARGET});
        close(fd);
    }
    fake_open_gate(4);
    for (int i = 0; i < 4; i++) {
        fake_relay(running[i], NULL, &response);
        assert_int_equal(response.ended, PYD_FRAME_END);
        fake_response_done(&response);
    }
    for (int i = 0; i < 8; i++) /* behind the others */
        fake_expect_body(&worker, running[i % 4], &HELLO, "hello");
    assert_int_equal(atomic_load(&worker.status->requests), 12);
    for (int i = 0; i < 4; i++)
        close(running[i]);
}

/* httpd could not use the claim again when it gave the request up: the manager hears of its end. */
static void test_tells_of_the_end(void **state)
{
    struct pollfd polled = {.fd = worker.control, .events = POLLIN};
    int fd = fake_connect(&worker);

    (void)state;
    /* That it imports, and is ready, it says a moment after its status does. */
    while (worker.looks < 2)
        fake_worker_wait_look(&worker);
    for (int i = 0; i < 3; i++)
        fake_expect_body(&worker, fd, &HELLO, "hello");
    assert_int_equal(poll(&polled, 1, 0), 0);
    fake_send_request(&worker, fd, &(struct fake_request){.act = "linger", .target = TARGET});
    fake_wait_event('c');
    close(fd);
    assert_int_equal(atomic_load(&worker.status->request[0].seq_state) & 1, PYD_STATUS_RUNNING);
    fake_open_gate(1);
    fake_wait_event('d');
    fake_worker_wait_look(&worker);
    assert_int_equal(atomic_load(&worker.status->request[0].seq_state) & 1, PYD_STATUS_DONE);
}

/* ---- Connections that make no sense ---- */

static void expect_closed(const struct pyd_buf *sent)
{
    int fd = fake_connect_raw(&worker);

    assert_int_equal(fake_send(fd, sent->data, sent->size), 0);
    fake_expect_end(fd);
    close(fd);
}

static void test_wrong_greeting(void **state)
{
    static const uint32_t greetings[][3] = {
        {PYD_WIRE_VERSION + 1, FAKE_GENERATION, FAKE_EPOCH},
        {PYD_WIRE_VERSION, FAKE_GENERATION + 1, FAKE_EPOCH},
        {PYD_WIRE_VERSION, FAKE_GENERATION, FAKE_EPOCH - 1},
        {PYD_WIRE_VERSION, FAKE_GENERATION, FAKE_EPOCH + 1},
        {0, 0, 0},
    };
    struct pyd_buf out = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(greetings) / sizeof(greetings[0]); i++) {
        pyd_buf_clear(&out);
        fake_add_hello(&out, greetings[i][0], greetings[i][1], greetings[i][2]);
        fake_add_const(&out, 0, TARGET);
        fake_add_request(&out, &worker, &(struct fake_request){.act = "exit 1"});
        expect_closed(&out);
    }
    pyd_buf_done(&out);
    assert_int_equal(atomic_load(&worker.status->requests), 0);
}

static void test_wrong_order(void **state)
{
    struct pyd_buf out = {0};

    (void)state;
    fake_add_const(&out, 0, TARGET); /* without a greeting */
    expect_closed(&out);
    pyd_buf_clear(&out);
    fake_add_hello(&out, PYD_WIRE_VERSION, FAKE_GENERATION, FAKE_EPOCH);
    fake_add_hello(&out, PYD_WIRE_VERSION, FAKE_GENERATION, FAKE_EPOCH);
    expect_closed(&out);
    pyd_buf_clear(&out);
    fake_add_hello(&out, PYD_WIRE_VERSION, FAKE_GENERATION, FAKE_EPOCH);
    fake_add_request(&out, &worker, &(struct fake_request){.act = "exit 1", .const_id = 2}); /* no such set */
    expect_closed(&out);
    pyd_buf_clear(&out);
    fake_add_hello(&out, PYD_WIRE_VERSION, FAKE_GENERATION, FAKE_EPOCH);
    fake_add_const(&out, 0, TARGET);
    fake_add_request(&out, &worker, &(struct fake_request){.act = "exit 1", .claim = 4}); /* no such thread */
    expect_closed(&out);
    pyd_buf_clear(&out);
    fake_add_hello(&out, PYD_WIRE_VERSION, FAKE_GENERATION, FAKE_EPOCH);
    fake_add_frame(&out, PYD_FRAME_BODY, 0, "unasked for", 11);
    expect_closed(&out);
    pyd_buf_done(&out);
}

/* Instead of the BODY that was asked for. */
static void test_wrong_answer(void **state)
{
    static const struct {
        enum pyd_frame_type type;
        const char *payload;
        size_t size;
    } answers[] = {{PYD_FRAME_HELLO, "aaaabbbbcccc", 12}, {PYD_FRAME_END, "123456789", 9}, {PYD_FRAME_REFUSE, "", 0}};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct pyd_buf out = {0};
        struct fake_frame frame;
        int fd = fake_connect(&worker);

        fake_send_request(&worker, fd,
                          &(struct fake_request){.act = "echo", .target = TARGET, .flags = PYD_REQUEST_HAS_BODY});
        fake_expect(fd, PYD_FRAME_HEAD, &frame);
        fake_expect(fd, PYD_FRAME_READ, &frame);
        fake_add_frame(&out, answers[i].type, 0, answers[i].payload, answers[i].size);
        assert_int_equal(fake_send(fd, out.data, out.size), 0);
        fake_expect_end(fd);
        pyd_buf_done(&out);
        close(fd);
    }
}

static void test_stale_seq(void **state)
{
    struct fake_response response;
    int fd = fake_connect(&worker);

    (void)state;
    fake_expect_body(&worker, fd, &(struct fake_request){.act = "hello", .seq = 10, .target = TARGET}, "hello");
    for (uint64_t seq = 9; seq <= 10; seq++) {
        fake_send_request(&worker, fd, &(struct fake_request){.act = "exit 1", .seq = seq});
        fake_relay(fd, NULL, &response);
        assert_int_equal(response.ended, PYD_FRAME_REFUSE);
    }
    fake_expect_body(&worker, fd, &(struct fake_request){.act = "hello", .seq = 11}, "hello");
    assert_int_equal(atomic_load(&worker.status->requests), 2);
    worker.seq = 11;
    close(fd);
}

static uint32_t random_next(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* Good frames with a few bytes changed, some of them cut. */
static void test_garbage(void **state)
{
    struct pyd_buf good = {0};
    uint32_t seed = 20261121;

    (void)state;
    fake_add_hello(&good, PYD_WIRE_VERSION, FAKE_GENERATION, FAKE_EPOCH);
    fake_add_const(&good, 0, TARGET);
    fake_add_request(&good, &worker, &(struct fake_request){.act = "echo", .body = "abcdef", .body_bytes = 6,
                     .flags = PYD_REQUEST_HAS_BODY | PYD_REQUEST_BODY_INLINE, .claim = 1});
    fake_add_request(&good, &worker, &(struct fake_request){.act = "echo", .flags = PYD_REQUEST_HAS_BODY, .claim = 2});
    fake_add_frame(&good, PYD_FRAME_BODY, PYD_FRAME_FLAG_LAST, "ghijkl", 6);
    fake_add_request(&good, &worker, &(struct fake_request){.act = "hello", .claim = 3});
    for (int i = 0; i < 3000; i++) {
        struct pyd_buf bad = {0};
        unsigned char thrown[4096];
        int fd = fake_connect_raw(&worker);

        pyd_buf_append(&bad, good.data, good.size);
        for (uint32_t n = random_next(&seed) % 4; n; n--)
            bad.data[random_next(&seed) % bad.size] = (unsigned char)random_next(&seed);
        if (i % 3 == 0)
            bad.size = random_next(&seed) % bad.size;
        send(fd, bad.data, bad.size, MSG_NOSIGNAL);
        shutdown(fd, SHUT_WR);
        while (recv(fd, thrown, sizeof(thrown), 0) > 0) {
        }
        pyd_buf_done(&bad);
        close(fd);
        fake_worker_drain_log(&worker);
    }
    pyd_buf_done(&good);
    worker.seq = UINT32_MAX;
}

/* What announces much and sends little costs little. */
static void test_announced_frames(void **state)
{
    long before_kib = fake_worker_peak_kib(&worker);
    int fds[200];

    (void)state;
    for (int i = 0; i < 200; i++) {
        fds[i] = fake_connect(&worker);
        assert_int_equal(fake_send(fds[i], "\x00\xff\xff\xff\x03\0\0\0some", 12), 0);
    }
    /* All have been looked at when this comes back: nothing is served before what came before it. */
    for (int i = 0; i < 8; i++) {
        int fd = fake_connect(&worker);

        fake_expect_body(&worker, fd, &HELLO, "hello");
        close(fd);
    }
    fake_worker_expect_flat(&worker, before_kib, 200 * 64);
    for (int i = 0; i < 200; i++)
        close(fds[i]);
}

/* ---- Buffers, looked at from inside: this process is the worker ---- */

static int reader_fd;
static pthread_t reader;

/* Takes all that comes, so that the last flush of the exchange ends. */
static void *read_all(void *fd)
{
    static char thrown[MEBIBYTE];

    while (recv(*(int *)fd, thrown, sizeof(thrown), 0) > 0) {
    }
    return NULL;
}

static void run_small(void *state, struct pyd_exchange *exchange)
{
    char *data = calloc(1, MEBIBYTE);
    size_t taken;

    (void)state;
    assert_non_null(data);
    assert_int_equal(pyd_exchange_begin(exchange), 0);
    pyd_exchange_head(exchange, 200, "", 0);
    for (int i = 0; i < 100; i++)
        pyd_exchange_header(exchange, "Name", 4, data, 1000);
    pyd_exchange_head_done(exchange);
    /* More than the socket takes: of the frame under way the rest is kept, which the test then makes room for. */
    assert_int_equal(pyd_exchange_write(exchange, data, MEBIBYTE, &taken), EAGAIN);
    assert_true(taken > 0);
    assert_true(taken < MEBIBYTE);
    free(data);
    assert_int_equal(pthread_create(&reader, NULL, read_all, &reader_fd), 0);
    pyd_exchange_end(exchange, 1);
}

static void test_buffers_shrink(void **state)
{
    struct pyd_app_ops ops = {.run = run_small};
    struct pyd_service service = {
        .job = {.threads = 1, .slots = 1, .generation = FAKE_GENERATION, .epoch = FAKE_EPOCH}};
    struct pyd_lane lane = {.service = &service, .number = 1, .tid = getpid()};
    struct fake_worker peer = {.threads = 1};
    struct pyd_buf out = {0};
    struct pyd_conn *conn;
    unsigned char *body = calloc(1, MEBIBYTE);
    int fds[2], status = -1;

    (void)state;
    assert_non_null(body);
    assert_int_equal(pyd_fd_memory("status", pyd_status_stride(1), &status), 0);
    assert_int_equal(pyd_service_init(&service, &ops), 0);
    assert_int_equal(pyd_service_map_status(&service, status), 0);
    close(status);
    assert_int_equal(pyd_fd_socketpair(SOCK_STREAM, fds), 0);
    reader_fd = fds[1];
    conn = pyd_conn_create(fds[0]);
    assert_non_null(conn);
    fake_add_hello(&out, PYD_WIRE_VERSION, FAKE_GENERATION, FAKE_EPOCH);
    fake_add_const(&out, 0, TARGET);
    fake_add_request(&out, &peer,
                     &(struct fake_request){.act = "", .flags = PYD_REQUEST_HAS_BODY | PYD_REQUEST_BODY_INLINE,
                                            .body = body, .body_bytes = MEBIBYTE});
    for (size_t at = 0; !atomic_load(&service.status->requests);) { /* as much as goes, then serve */
        ssize_t sent = at < out.size ? send(fds[1], out.data + at, out.size - at, MSG_DONTWAIT) : 0;

        assert_true(sent >= 0 || errno == EAGAIN);
        at += sent > 0 ? (size_t)sent : 0;
        assert_int_equal(pyd_conn_serve(conn, &lane), PYD_CONN_WAIT);
    }
    assert_null(conn->in.data); /* an idle connection has no buffer */
    assert_true(lane.in.capacity <= PYD_LANE_KEEP_BYTES);
    assert_true(lane.out.capacity <= PYD_LANE_KEEP_BYTES);
    assert_true(lane.head.capacity <= PYD_LANE_KEEP_BYTES);
    pyd_conn_destroy(conn);
    pthread_join(reader, NULL);
    pyd_buf_done(&lane.in);
    pyd_buf_done(&lane.out);
    pyd_buf_done(&lane.head);
    pyd_buf_done(&out);
    munmap(service.status_map, service.status_bytes);
    free(body);
    close(fds[1]);
}

#define CONN_TEST(name) cmocka_unit_test_setup_teardown(name, start, finish)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CONN_TEST(test_disconnected),
        CONN_TEST(test_gone_while_streaming),
        CONN_TEST(test_gone_while_reading),
        CONN_TEST(test_idle_ends),
        CONN_TEST(test_gone_before_it_began),
        CONN_TEST(test_tells_of_the_end),
        CONN_TEST(test_wrong_greeting),
        CONN_TEST(test_wrong_order),
        CONN_TEST(test_wrong_answer),
        CONN_TEST(test_stale_seq),
        CONN_TEST(test_garbage),
        CONN_TEST(test_announced_frames),
        cmocka_unit_test(test_buffers_shrink),
    };

    fake_httpd_init(argc, argv);
    return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
