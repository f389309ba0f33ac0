/* SPDX-License-Identifier: Apache-2.0 */
#include "wire_samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

unsigned char *wire_fence;

typedef void fill(struct pyd_wire_writer *writer);

static void frame(struct pyd_wire_writer *writer, enum pyd_frame_type type, uint8_t flags, fill *fields)
{
    unsigned char *start = pyd_wire_begin(writer, type, flags);

    if (fields)
        fields(writer);
    pyd_wire_end(writer, start);
}

static void write_pairs(struct pyd_wire_writer *writer, const char *const *texts, size_t count)
{
    unsigned char *where = pyd_wire_reserve_u32(writer);

    for (size_t i = 0; i < count; i++)
        pyd_wire_write_pair(writer, texts[2 * i], texts[2 * i + 1]);
    pyd_wire_patch_u32(where, (uint32_t)count);
}

static void hello_fields(struct pyd_wire_writer *writer)
{
    pyd_wire_write_u32(writer, PYD_WIRE_VERSION);
    pyd_wire_write_u32(writer, 3);
    pyd_wire_write_u32(writer, 17);
}

static void hello(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_HELLO, 0, hello_fields);
}

static void const_script_fields(struct pyd_wire_writer *writer)
{
    static const char *const texts[] = {"SERVER_NAME",   "example.org", "SERVER_PORT", "443",
                                        "DOCUMENT_ROOT", "/srv/www",    "EMPTY",       ""};

    pyd_wire_write_const(writer, 7, "/srv/app/wsgi.py", "application");
    write_pairs(writer, texts, 4);
}

static void const_script(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_CONST, 0, const_script_fields);
}

static void const_bare_fields(struct pyd_wire_writer *writer)
{
    pyd_wire_write_const(writer, 0, "package.module:app", "");
    write_pairs(writer, NULL, 0);
}

static void const_bare(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_CONST, 0, const_bare_fields);
}

static void write_request(struct pyd_wire_writer *writer, uint8_t flags, int64_t content_bytes)
{
    static const char *const texts[] = {"REQUEST_METHOD", "POST",      "PATH_INFO", "/caf\xc3\xa9",
                                        "QUERY_STRING",   "",          "HTTP_HOST", "example.org",
                                        "HTTP_COOKIE",    "a=b; c=\"d\""};
    struct pyd_wire_request request = {.claim = 14,
                                       .seq = UINT64_C(0x1122334455667788),
                                       .const_id = 7,
                                       .flags = flags,
                                       .content_bytes = content_bytes,
                                       .request_start_us = UINT64_C(1700000000000001),
                                       .queue_start_us = UINT64_C(1700000000000002)};

    pyd_wire_write_request(writer, &request);
    write_pairs(writer, texts, 5);
}

static void request_get_fields(struct pyd_wire_writer *writer)
{
    write_request(writer, PYD_REQUEST_MULTIPROCESS, -1);
}

static void request_get(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_REQUEST, 0, request_get_fields);
}

static void request_pull_fields(struct pyd_wire_writer *writer)
{
    write_request(writer, PYD_REQUEST_HAS_BODY, INT64_MAX);
}

static void request_pull(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_REQUEST, 0, request_pull_fields);
}

static void request_inline_fields(struct pyd_wire_writer *writer)
{
    write_request(writer, PYD_REQUEST_HAS_BODY | PYD_REQUEST_BODY_INLINE, 11);
    pyd_wire_write_bytes(writer, "name=v\0alue", 11);
}

static void request_inline(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_REQUEST, 0, request_inline_fields);
}

static void body_fields(struct pyd_wire_writer *writer)
{
    pyd_wire_write_bytes(writer, "some \0 bytes", 12);
}

static void body(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_BODY, 0, body_fields);
}

static void body_last(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_BODY, PYD_FRAME_FLAG_LAST, NULL);
}

static void body_fail_fields(struct pyd_wire_writer *writer)
{
    pyd_wire_write_u16(writer, 413);
}

static void body_fail(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_BODY_FAIL, 0, body_fail_fields);
}

static void read_fields(struct pyd_wire_writer *writer)
{
    pyd_wire_write_u32(writer, 65536);
}

static void read_frame(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_READ, 0, read_fields);
}

static void early_fields(struct pyd_wire_writer *writer)
{
    static const char *const texts[] = {"Link", "</style.css>; rel=preload", "Link", "</app.js>; rel=preload"};

    write_pairs(writer, texts, 2);
}

static void early(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_EARLY, 0, early_fields);
}

static void head_fields(struct pyd_wire_writer *writer)
{
    static const char *const texts[] = {"Content-Type", "text/html; charset=utf-8", "Set-Cookie", "a=1",
                                        "Set-Cookie",   "b=2",                      "X-Empty",    ""};

    pyd_wire_write_head(writer, 200, "OK", 2);
    write_pairs(writer, texts, 4);
}

static void head(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_HEAD, 0, head_fields);
}

static void head_bare_fields(struct pyd_wire_writer *writer)
{
    pyd_wire_write_head(writer, 999, "", 0);
    write_pairs(writer, NULL, 0);
}

static void head_bare(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_HEAD, 0, head_bare_fields);
}

static void log_fields(struct pyd_wire_writer *writer)
{
    pyd_wire_write_u8(writer, 3);
    pyd_wire_write_bytes(writer, "Traceback\n  line 1\n", 19);
}

static void log_lines(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_LOG, 0, log_fields);
}

static void end_fields(struct pyd_wire_writer *writer)
{
    pyd_wire_write_u8(writer, PYD_END_CUT);
    pyd_wire_write_u64(writer, 1234567);
}

static void end_cut(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_END, 0, end_fields);
}

static void fail_fields(struct pyd_wire_writer *writer)
{
    pyd_wire_write_u8(writer, PYD_FAIL_PROTOCOL);
    pyd_wire_write_str(writer, "body item is str", 16);
}

static void fail_frame(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_FAIL, 0, fail_fields);
}

static void refuse(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_REFUSE, 0, NULL);
}

static void stream_request(struct pyd_wire_writer *writer)
{
    hello(writer);
    const_script(writer);
    request_pull(writer);
    body(writer);
    body_last(writer);
}

static void stream_response(struct pyd_wire_writer *writer)
{
    log_lines(writer);
    read_frame(writer);
    early(writer);
    head(writer);
    body(writer);
    end_cut(writer);
}

static void bad_count_fields(struct pyd_wire_writer *writer)
{
    pyd_wire_write_u32(writer, 3);
    pyd_wire_write_pair(writer, "Link", "x");
    pyd_wire_write_pair(writer, "", "");
}

static void bad_count(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_EARLY, 0, bad_count_fields);
}

static void bad_nul_fields(struct pyd_wire_writer *writer)
{
    pyd_wire_write_head(writer, 200, "OK", 2);
    pyd_wire_write_u32(writer, 1);
    pyd_wire_write_str(writer, "X-A\0B", 5);
    pyd_wire_write_str(writer, "value", 5);
}

static void bad_nul(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_HEAD, 0, bad_nul_fields);
}

static void bad_string_size_fields(struct pyd_wire_writer *writer)
{
    pyd_wire_write_u16(writer, 200);
    pyd_wire_write_u32(writer, UINT32_MAX);
    pyd_wire_write_u32(writer, 0);
}

static void bad_string_size(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_HEAD, 0, bad_string_size_fields);
}

static void bad_rest_fields(struct pyd_wire_writer *writer)
{
    write_request(writer, PYD_REQUEST_HAS_BODY, 1);
    pyd_wire_write_u8(writer, 'x');
}

static void bad_rest(struct pyd_wire_writer *writer)
{
    frame(writer, PYD_FRAME_REQUEST, 0, bad_rest_fields);
}

const struct wire_sample wire_samples[] = {
    {"hello", WIRE_WHOLE, hello},
    {"const-script", WIRE_WHOLE, const_script},
    {"const-without-pairs", WIRE_WHOLE, const_bare},
    {"request-get", WIRE_WHOLE, request_get},
    {"request-body-to-pull", WIRE_WHOLE, request_pull},
    {"request-body-inline", WIRE_UNSIZED, request_inline},
    {"body", WIRE_UNSIZED, body},
    {"body-last-empty", WIRE_WHOLE, body_last},
    {"body-fail-413", WIRE_WHOLE, body_fail},
    {"read", WIRE_WHOLE, read_frame},
    {"early-two-links", WIRE_WHOLE, early},
    {"head-repeated-header", WIRE_WHOLE, head},
    {"head-without-reason-and-pairs", WIRE_WHOLE, head_bare},
    {"log-two-lines", WIRE_UNSIZED, log_lines},
    {"end-cut", WIRE_WHOLE, end_cut},
    {"fail-protocol", WIRE_WHOLE, fail_frame},
    {"refuse", WIRE_WHOLE, refuse},
    {"stream-to-worker", WIRE_STREAM, stream_request},
    {"stream-to-httpd", WIRE_STREAM, stream_response},
    {"bad-count-too-high", WIRE_BAD, bad_count},
    {"bad-nul-in-name", WIRE_BAD, bad_nul},
    {"bad-string-size", WIRE_BAD, bad_string_size},
    {"bad-bytes-left-over", WIRE_BAD, bad_rest},
};

const size_t wire_sample_count = sizeof(wire_samples) / sizeof(wire_samples[0]);

int wire_open_fence(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t size = (WIRE_ROOM + page - 1) / page * page;
    unsigned char *start = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    if (start == MAP_FAILED || mprotect(start + size, page, PROT_NONE) != 0)
        return -1;
    wire_fence = start + size;
    return 0;
}

const unsigned char *wire_at_fence(const void *data, size_t size)
{
    assert_true(size <= WIRE_ROOM);
    return memcpy(wire_fence - size, data, size);
}

const struct wire_sample *wire_find_sample(const char *name)
{
    for (size_t i = 0; i < wire_sample_count; i++) {
        if (strcmp(wire_samples[i].name, name) == 0)
            return &wire_samples[i];
    }
    fail_msg("no sample %s", name);
    return NULL;
}

size_t wire_build(const struct wire_sample *sample, unsigned char *room, size_t size, int *ret_bad)
{
    struct pyd_wire_writer writer;

    pyd_wire_writer_init(&writer, room, size);
    sample->build(&writer);
    *ret_bad = writer.bad;
    return (size_t)(writer.at - writer.start);
}

size_t wire_build_whole(const struct wire_sample *sample, unsigned char *room)
{
    int bad = 1;
    size_t size = wire_build(sample, room, WIRE_ROOM, &bad);

    if (bad)
        fail_msg("%s does not fit", sample->name);
    return size;
}
