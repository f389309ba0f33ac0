/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pyd_wire.h"
#include "wire_samples.h"

/* tests/fuzz/fuzz_wire.c: aborts if a decoded frame has a piece outside its payload or encodes to other bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The payload of a sample of one frame, at the fence. */
static const unsigned char *payload_of(const char *name, size_t *ret_size)
{
    unsigned char room[WIRE_ROOM];
    struct pyd_wire_frame frame;
    size_t size = wire_build_whole(wire_find_sample(name), room);

    assert_int_equal(pyd_wire_peek(room, size, &frame), PYD_WIRE_FRAME);
    assert_int_equal(frame.payload_bytes, size - PYD_WIRE_HEADER_BYTES);
    *ret_size = frame.payload_bytes;
    return wire_at_fence(room + PYD_WIRE_HEADER_BYTES, frame.payload_bytes);
}

static void assert_str(struct pyd_wire_str text, const char *expected)
{
    assert_int_equal(text.size, strlen(expected));
    assert_memory_equal(text.data, expected, text.size);
}

static void assert_pair(struct pyd_wire_reader *pairs, const char *name, const char *value)
{
    struct pyd_wire_pair pair = pyd_wire_read_pair(pairs);

    assert_str(pair.name, name);
    assert_str(pair.value, value);
    assert_false(pairs->bad);
}

/* Decode a payload by its type; types without a decoder by their sizes as peek knows them. */
static int decode(uint8_t type, const unsigned char *payload, size_t size)
{
    struct pyd_wire_request request;
    struct pyd_wire_const set;
    struct pyd_wire_head head;

    switch (type) {
    case PYD_FRAME_CONST:
        return pyd_wire_decode_const(payload, size, &set);
    case PYD_FRAME_REQUEST:
        return pyd_wire_decode_request(payload, size, &request);
    case PYD_FRAME_HEAD:
        return pyd_wire_decode_head(payload, size, &head);
    case PYD_FRAME_EARLY:
        return pyd_wire_decode_early(payload, size, &head);
    default:
        return 0;
    }
}

/* ---- values ---- */

static void test_const(void **state)
{
    struct pyd_wire_const set;
    size_t size;
    const unsigned char *payload = payload_of("const-script", &size);

    (void)state;
    assert_int_equal(pyd_wire_decode_const(payload, size, &set), 0);
    assert_int_equal(set.id, 7);
    assert_str(set.target, "/srv/app/wsgi.py");
    assert_str(set.callable, "application");
    assert_int_equal(set.pair_count, 4);
    assert_pair(&set.pairs, "SERVER_NAME", "example.org");
    assert_pair(&set.pairs, "SERVER_PORT", "443");
    assert_pair(&set.pairs, "DOCUMENT_ROOT", "/srv/www");
    assert_pair(&set.pairs, "EMPTY", "");
    assert_ptr_equal(set.pairs.at, set.pairs.end);
    pyd_wire_read_pair(&set.pairs);
    assert_true(set.pairs.bad);
}

static void test_request(void **state)
{
    struct pyd_wire_request request;
    size_t size;
    const unsigned char *payload = payload_of("request-body-inline", &size);

    (void)state;
    assert_int_equal(pyd_wire_decode_request(payload, size, &request), 0);
    assert_int_equal(request.claim, 14);
    assert_true(request.seq == UINT64_C(0x1122334455667788));
    assert_int_equal(request.const_id, 7);
    assert_int_equal(request.flags, PYD_REQUEST_HAS_BODY | PYD_REQUEST_BODY_INLINE);
    assert_int_equal(request.content_bytes, 11);
    assert_true(request.request_start_us == UINT64_C(1700000000000001));
    assert_true(request.queue_start_us == UINT64_C(1700000000000002));
    assert_int_equal(request.pair_count, 5);
    assert_pair(&request.pairs, "REQUEST_METHOD", "POST");
    assert_pair(&request.pairs, "PATH_INFO", "/caf\xc3\xa9");
    assert_int_equal(request.body.size, 11);
    assert_memory_equal(request.body.data, "name=v\0alue", 11);
    assert_ptr_equal(request.body.data + request.body.size, wire_fence);
}

static void test_request_without_body(void **state)
{
    struct pyd_wire_request request;
    size_t size;
    const unsigned char *payload = payload_of("request-get", &size);

    (void)state;
    assert_int_equal(pyd_wire_decode_request(payload, size, &request), 0);
    assert_int_equal(request.content_bytes, -1);
    assert_int_equal(request.flags, PYD_REQUEST_MULTIPROCESS);
    assert_int_equal(request.body.size, 0);
    assert_non_null(request.body.data);
    payload = payload_of("request-body-to-pull", &size);
    assert_int_equal(pyd_wire_decode_request(payload, size, &request), 0);
    assert_true(request.content_bytes == INT64_MAX);
}

static void test_head(void **state)
{
    struct pyd_wire_head head;
    size_t size;
    const unsigned char *payload = payload_of("head-repeated-header", &size);

    (void)state;
    assert_int_equal(pyd_wire_decode_head(payload, size, &head), 0);
    assert_int_equal(head.status, 200);
    assert_str(head.reason, "OK");
    assert_int_equal(head.pair_count, 4);
    assert_pair(&head.pairs, "Content-Type", "text/html; charset=utf-8");
    assert_pair(&head.pairs, "Set-Cookie", "a=1");
    assert_pair(&head.pairs, "Set-Cookie", "b=2");
    assert_pair(&head.pairs, "X-Empty", "");

    payload = payload_of("head-without-reason-and-pairs", &size);
    assert_int_equal(pyd_wire_decode_head(payload, size, &head), 0);
    assert_int_equal(head.status, 999);
    assert_str(head.reason, "");
    assert_int_equal(head.pair_count, 0);
}

static void test_early(void **state)
{
    struct pyd_wire_head head;
    size_t size;
    const unsigned char *payload = payload_of("early-two-links", &size);

    (void)state;
    assert_int_equal(pyd_wire_decode_early(payload, size, &head), 0);
    assert_int_equal(head.status, 103);
    assert_str(head.reason, "");
    assert_int_equal(head.pair_count, 2);
    assert_pair(&head.pairs, "Link", "</style.css>; rel=preload");
    assert_pair(&head.pairs, "Link", "</app.js>; rel=preload");
}

/* The format is a promise between programs of different builds: these bytes are it. */
static void test_bytes_on_the_wire(void **state)
{
    static const unsigned char expected[] = {0,   0,   0, 9,   PYD_FRAME_END, 0,   0,   0,   1,
                                             0,   0,   0, 0,   0,             0x12, 0xd6, 0x87};
    unsigned char room[WIRE_ROOM];

    (void)state;
    assert_int_equal(wire_build_whole(wire_find_sample("end-cut"), room), sizeof(expected));
    assert_memory_equal(room, expected, sizeof(expected));
}

/* ---- any bytes ---- */

static void test_samples_are_as_they_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < wire_sample_count; i++) {
        unsigned char room[WIRE_ROOM];
        struct pyd_wire_frame frame;
        size_t size = wire_build_whole(&wire_samples[i], room), at = 0, frames = 0;
        int error = 0;

        while (at < size) {
            assert_int_equal(pyd_wire_peek(room + at, size - at, &frame), PYD_WIRE_FRAME);
            at += PYD_WIRE_HEADER_BYTES;
            error |= decode(frame.type, room + at, frame.payload_bytes);
            at += frame.payload_bytes;
            frames++;
        }
        assert_int_equal(at, size);
        assert_int_equal(frames > 1, wire_samples[i].expect == WIRE_STREAM);
        if ((error != 0) != (wire_samples[i].expect == WIRE_BAD))
            fail_msg("%s: %s", wire_samples[i].name, error ? "refused" : "not refused");
        LLVMFuzzerTestOneInput(room, size);
    }
}

static void test_every_truncation(void **state)
{
    (void)state;
    for (size_t i = 0; i < wire_sample_count; i++) {
        const struct wire_sample *sample = &wire_samples[i];
        unsigned char room[WIRE_ROOM];
        size_t whole = wire_build_whole(sample, room);

        for (size_t size = 0; size < whole; size++) {
            const unsigned char *data = wire_at_fence(room, size);
            struct pyd_wire_frame frame;
            enum pyd_wire_result result = pyd_wire_peek(data, size, &frame);

            LLVMFuzzerTestOneInput(data, size);
            assert_int_equal(result, size < PYD_WIRE_HEADER_BYTES ? PYD_WIRE_MORE : PYD_WIRE_FRAME);
            if (sample->expect == WIRE_STREAM || result != PYD_WIRE_FRAME)
                continue;
            /* Incomplete, and peek says how much is missing. */
            assert_int_equal(frame.payload_bytes, whole - PYD_WIRE_HEADER_BYTES);
            if (sample->expect == WIRE_WHOLE &&
                (frame.type == PYD_FRAME_CONST || frame.type == PYD_FRAME_REQUEST || frame.type == PYD_FRAME_HEAD ||
                 frame.type == PYD_FRAME_EARLY))
                assert_int_equal(decode(frame.type, data + PYD_WIRE_HEADER_BYTES, size - PYD_WIRE_HEADER_BYTES),
                                 EBADMSG);
        }
    }
}

static void test_every_byte_changed(void **state)
{
    static const unsigned char values[] = {0x00, 0x01, 0x02, 0x03, 0x07, 0x08, 0x7f, 0x80, 0xfe, 0xff};

    (void)state;
    for (size_t i = 0; i < wire_sample_count; i++) {
        unsigned char room[WIRE_ROOM];
        size_t size = wire_build_whole(&wire_samples[i], room);

        for (size_t at = 0; at < size; at++) {
            unsigned char kept = room[at];

            for (size_t j = 0; j < sizeof(values) + 2; j++) {
                room[at] = j < sizeof(values) ? values[j] : (unsigned char)(kept + (j % 2 ? 1 : -1));
                LLVMFuzzerTestOneInput(wire_at_fence(room, size), size);
            }
            room[at] = kept;
        }
    }
}

/* Deterministic: the same cases in each run. */
static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void test_random_bytes(void **state)
{
    uint64_t seed = 88172645463325252u;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        unsigned char room[256];
        size_t size = next_random(&seed) % sizeof(room);

        for (size_t at = 0; at < size; at++) {
            uint64_t value = next_random(&seed);

            /* Small numbers more often than not, or no size ever fits. */
            room[at] = (unsigned char)(value % 4 ? value >> 8 & 3 : value >> 16);
        }
        LLVMFuzzerTestOneInput(wire_at_fence(room, size), size);
    }
}

static void test_random_round_trips(void **state)
{
    uint64_t seed = 2463534242u;

    (void)state;
    for (int i = 0; i < 2000; i++) {
        struct pyd_wire_request request = {.claim = (uint32_t)next_random(&seed),
                                           .seq = next_random(&seed),
                                           .const_id = next_random(&seed) % PYD_WIRE_CONSTS_MAX,
                                           .flags = (uint8_t)(next_random(&seed) % 8),
                                           .content_bytes = (int64_t)(next_random(&seed) >> 1) - 1,
                                           .request_start_us = next_random(&seed),
                                           .queue_start_us = next_random(&seed)};
        char names[8][40], body[100];
        uint32_t count = next_random(&seed) % 8;
        size_t body_bytes = request.flags & PYD_REQUEST_BODY_INLINE ? next_random(&seed) % sizeof(body) : 0;
        struct pyd_wire_request decoded;
        struct pyd_wire_writer writer;
        unsigned char room[WIRE_ROOM];

        memset(body, (int)(i & 0xff), sizeof(body));
        pyd_wire_writer_init(&writer, room, sizeof(room));
        pyd_wire_write_request(&writer, &request);
        pyd_wire_write_u32(&writer, count);
        for (uint32_t j = 0; j < count; j++) {
            size_t size = next_random(&seed) % sizeof(names[j]);

            memset(names[j], 'a' + (int)j, size);
            names[j][size ? size - 1 : 0] = '\0';
            pyd_wire_write_pair(&writer, names[j], names[j / 2]);
        }
        pyd_wire_write_bytes(&writer, body, body_bytes);
        assert_false(writer.bad);

        assert_int_equal(pyd_wire_decode_request(room, (size_t)(writer.at - room), &decoded), 0);
        assert_int_equal(decoded.claim, request.claim);
        assert_true(decoded.seq == request.seq);
        assert_int_equal(decoded.const_id, request.const_id);
        assert_int_equal(decoded.flags, request.flags);
        assert_true(decoded.content_bytes == request.content_bytes);
        assert_true(decoded.request_start_us == request.request_start_us);
        assert_true(decoded.queue_start_us == request.queue_start_us);
        assert_int_equal(decoded.pair_count, count);
        for (uint32_t j = 0; j < count; j++)
            assert_pair(&decoded.pairs, names[j], names[j / 2]);
        assert_int_equal(decoded.body.size, body_bytes);
        assert_memory_equal(decoded.body.data, body, body_bytes);
    }
}

/* ---- frame headers ---- */

static enum pyd_wire_result peek(uint32_t size, uint8_t type, uint8_t flags, uint16_t zero)
{
    const unsigned char header[PYD_WIRE_HEADER_BYTES] = {(unsigned char)(size >> 24), (unsigned char)(size >> 16),
                                                         (unsigned char)(size >> 8),  (unsigned char)size,
                                                         type,                        flags,
                                                         (unsigned char)(zero >> 8),  (unsigned char)zero};
    struct pyd_wire_frame frame = {.type = 99};
    enum pyd_wire_result result = pyd_wire_peek(wire_at_fence(header, sizeof(header)), sizeof(header), &frame);

    if (result == PYD_WIRE_FRAME) {
        assert_int_equal(frame.type, type);
        assert_int_equal(frame.flags, flags);
        assert_int_equal(frame.payload_bytes, size);
    } else {
        assert_int_equal(frame.type, 99);
    }
    return result;
}

static void test_peek_limits(void **state)
{
    static const struct {
        uint8_t type;
        uint32_t least, most;
    } limits[] = {
        {PYD_FRAME_HELLO, 12, 12},
        {PYD_FRAME_CONST, 14, PYD_WIRE_CONTROL_MAX},
        {PYD_FRAME_REQUEST, 43, PYD_WIRE_CONTROL_MAX},
        {PYD_FRAME_BODY_FAIL, 2, 2},
        {PYD_FRAME_BODY, 0, PYD_WIRE_BODY_MAX},
        {PYD_FRAME_READ, 4, 4},
        {PYD_FRAME_EARLY, 4, PYD_WIRE_CONTROL_MAX},
        {PYD_FRAME_HEAD, 10, PYD_WIRE_CONTROL_MAX},
        {PYD_FRAME_LOG, 1, PYD_WIRE_CONTROL_MAX},
        {PYD_FRAME_END, 9, 9},
        {PYD_FRAME_FAIL, 5, PYD_WIRE_CONTROL_MAX},
        {PYD_FRAME_REFUSE, 0, 0},
    };

    (void)state;
    assert_int_equal(sizeof(limits) / sizeof(limits[0]), PYD_FRAME_MAX_ - 1);
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        assert_int_equal(limits[i].type, i + 1);
        assert_int_equal(peek(limits[i].least, limits[i].type, 0, 0), PYD_WIRE_FRAME);
        assert_int_equal(peek(limits[i].most, limits[i].type, 0, 0), PYD_WIRE_FRAME);
        assert_int_equal(peek(limits[i].most + 1, limits[i].type, 0, 0), PYD_WIRE_BAD);
        assert_int_equal(peek(UINT32_MAX, limits[i].type, 0, 0), PYD_WIRE_BAD);
        if (limits[i].least > 0)
            assert_int_equal(peek(limits[i].least - 1, limits[i].type, 0, 0), PYD_WIRE_BAD);
        assert_int_equal(peek(limits[i].least, limits[i].type, 0, 1), PYD_WIRE_BAD);
        assert_int_equal(peek(limits[i].least, limits[i].type, 0, 0x100), PYD_WIRE_BAD);
    }
}

static void test_peek_types_and_flags(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 256; type++) {
        if (type == 0 || type >= PYD_FRAME_MAX_)
            assert_int_equal(peek(0, (uint8_t)type, 0, 0), PYD_WIRE_BAD);
    }
    for (unsigned flags = 0; flags < 256; flags++) {
        assert_int_equal(peek(0, PYD_FRAME_BODY, (uint8_t)flags, 0),
                         flags <= PYD_FRAME_FLAG_LAST ? PYD_WIRE_FRAME : PYD_WIRE_BAD);
        assert_int_equal(peek(0, PYD_FRAME_REFUSE, (uint8_t)flags, 0), flags ? PYD_WIRE_BAD : PYD_WIRE_FRAME);
    }
}

/* ---- what decoders refuse ---- */

/* Change size bytes of a payload and expect it to be refused, the result untouched. */
static void assert_refused_with(const char *name, uint8_t type, size_t at, const void *bytes, size_t size)
{
    unsigned char room[WIRE_ROOM];
    size_t whole;
    const unsigned char *payload = payload_of(name, &whole);

    memcpy(room, payload, whole);
    memcpy(room + at, bytes, size);
    if (decode(type, wire_at_fence(room, whole), whole) != EBADMSG)
        fail_msg("%s with another byte at %zu was taken", name, at);
}

static void test_ranges(void **state)
{
    (void)state;
    assert_refused_with("const-script", PYD_FRAME_CONST, 0, "\0\x08", 2);
    assert_refused_with("request-get", PYD_FRAME_REQUEST, 12, "\0\x08", 2);
    assert_refused_with("request-get", PYD_FRAME_REQUEST, 14, "\x08", 1);
    assert_refused_with("request-get", PYD_FRAME_REQUEST, 15, "\xff\xff\xff\xff\xff\xff\xff\xfe", 8);
    assert_refused_with("head-repeated-header", PYD_FRAME_HEAD, 0, "\0\x63", 2);
    assert_refused_with("head-repeated-header", PYD_FRAME_HEAD, 0, "\x03\xe8", 2);
}

static void test_failed_decode_keeps_result(void **state)
{
    struct pyd_wire_head head = {.status = 7}, early = {.status = 8};
    struct pyd_wire_request request = {.claim = 9};
    struct pyd_wire_const set = {.id = 10};

    (void)state;
    assert_int_equal(pyd_wire_decode_head("x", 1, &head), EBADMSG);
    assert_int_equal(pyd_wire_decode_early("x", 1, &early), EBADMSG);
    assert_int_equal(pyd_wire_decode_request("x", 1, &request), EBADMSG);
    assert_int_equal(pyd_wire_decode_const("x", 1, &set), EBADMSG);
    assert_int_equal(pyd_wire_decode_const(NULL, 0, &set), EBADMSG);
    assert_int_equal(head.status, 7);
    assert_int_equal(early.status, 8);
    assert_int_equal(request.claim, 9);
    assert_int_equal(set.id, 10);
}

/* A NUL in the place of any byte of any string. */
static void test_nul_in_strings(void **state)
{
    static const struct {
        const char *sample, *text;
        uint8_t type;
    } cases[] = {
        {"const-script", "/srv/app/wsgi.py", PYD_FRAME_CONST},
        {"const-script", "application", PYD_FRAME_CONST},
        {"const-script", "SERVER_PORT", PYD_FRAME_CONST},
        {"const-script", "example.org", PYD_FRAME_CONST},
        {"request-get", "REQUEST_METHOD", PYD_FRAME_REQUEST},
        {"request-body-inline", "a=b; c=", PYD_FRAME_REQUEST},
        {"head-repeated-header", "OK", PYD_FRAME_HEAD},
        {"head-repeated-header", "Set-Cookie", PYD_FRAME_HEAD},
        {"head-repeated-header", "b=2", PYD_FRAME_HEAD},
        {"early-two-links", "rel=preload", PYD_FRAME_EARLY},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t size;
        const unsigned char *payload = payload_of(cases[i].sample, &size);
        const unsigned char *found = memmem(payload, size, cases[i].text, strlen(cases[i].text));
        size_t at;

        assert_non_null(found);
        at = (size_t)(found - payload);
        for (size_t j = 0; j < strlen(cases[i].text); j++)
            assert_refused_with(cases[i].sample, cases[i].type, at + j, "", 1);
    }
}

static void test_one_byte_too_many(void **state)
{
    (void)state;
    for (size_t i = 0; i < wire_sample_count; i++) {
        unsigned char room[WIRE_ROOM];
        size_t size = wire_build_whole(&wire_samples[i], room);
        uint8_t type = room[4];
        int has_decoder = type == PYD_FRAME_CONST || type == PYD_FRAME_REQUEST || type == PYD_FRAME_HEAD ||
                          type == PYD_FRAME_EARLY;

        room[size] = 'x';
        if (wire_samples[i].expect == WIRE_WHOLE && has_decoder)
            assert_int_equal(decode(type, room + PYD_WIRE_HEADER_BYTES, size + 1 - PYD_WIRE_HEADER_BYTES), EBADMSG);
    }
}

static void test_counts(void **state)
{
    /* A count, and room for exactly two pairs. */
    unsigned char payload[4 + 16] = {0};
    struct pyd_wire_reader reader;
    struct pyd_wire_head head;

    (void)state;
    for (unsigned count = 0; count < 256; count++) {
        payload[3] = (unsigned char)count;
        pyd_wire_reader_init(&reader, wire_at_fence(payload, sizeof(payload)), sizeof(payload));
        assert_int_equal(pyd_wire_read_count(&reader), count <= 2 ? count : 0);
        assert_int_equal(reader.bad, count > 2);
        assert_int_equal(pyd_wire_decode_early(wire_fence - sizeof(payload), sizeof(payload), &head),
                         count == 2 ? 0 : EBADMSG);
    }
    /* 8 * 0x20000001 is 8 in 32 bits. */
    memcpy(payload, "\x20\0\0\x01", 4);
    pyd_wire_reader_init(&reader, wire_at_fence(payload, sizeof(payload)), sizeof(payload));
    assert_int_equal(pyd_wire_read_count(&reader), 0);
    assert_true(reader.bad);
    assert_int_equal(pyd_wire_decode_early(wire_fence - sizeof(payload), sizeof(payload), &head), EBADMSG);
}

/* ---- cursors ---- */

static void test_reader_errors_stick(void **state)
{
    struct pyd_wire_reader reader;

    (void)state;
    pyd_wire_reader_init(&reader, wire_at_fence("\1\2\3", 3), 3);
    assert_int_equal(pyd_wire_read_u16(&reader), 0x0102);
    assert_int_equal(pyd_wire_read_u32(&reader), 0);
    assert_true(reader.bad);
    /* The byte that is there is not given out any more: fields after a missing one would be garbage. */
    assert_int_equal(pyd_wire_read_u8(&reader), 0);
    assert_int_equal(pyd_wire_read_u16(&reader), 0);
    assert_true(pyd_wire_read_u64(&reader) == 0);
    assert_int_equal(pyd_wire_read_str(&reader).size, 0);
    assert_int_equal(pyd_wire_read_count(&reader), 0);
    assert_int_equal(pyd_wire_read_rest(&reader).size, 0);
    assert_int_equal(pyd_wire_read_pair(&reader).value.size, 0);
    assert_true(reader.bad);
}

static void test_reader_of_nothing(void **state)
{
    struct pyd_wire_reader reader;

    (void)state;
    pyd_wire_reader_init(&reader, NULL, 0);
    assert_int_equal(pyd_wire_read_rest(&reader).size, 0);
    assert_false(reader.bad);
    assert_int_equal(pyd_wire_read_u8(&reader), 0);
    assert_true(reader.bad);
}

/* ---- corpus ---- */

static int write_corpus(const char *folder)
{
    for (size_t i = 0; i < wire_sample_count; i++) {
        unsigned char room[WIRE_ROOM];
        size_t size = wire_build_whole(&wire_samples[i], room);
        char path[4096];
        FILE *file;

        snprintf(path, sizeof(path), "%s/%s", folder, wire_samples[i].name);
        file = fopen(path, "wb");
        if (!file || fwrite(room, 1, size, file) != size || fclose(file) != 0) {
            perror(path);
            return 1;
        }
    }
    return 0;
}

/* The seeds in the tree are what today's encoder makes of the samples. */
static void test_corpus_is_up_to_date(void **state)
{
    const char *top = getenv("srcdir");

    (void)state;
    for (size_t i = 0; i < wire_sample_count; i++) {
        unsigned char room[WIRE_ROOM], found[WIRE_ROOM];
        size_t size = wire_build_whole(&wire_samples[i], room), found_size;
        char path[4096];
        FILE *file;

        snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/wire/%s", top ? top : ".", wire_samples[i].name);
        file = fopen(path, "rb");
        if (!file)
            fail_msg("%s is missing: run `test_wire write FOLDER`", path);
        found_size = fread(found, 1, sizeof(found), file);
        fclose(file);
        if (found_size != size || memcmp(found, room, size) != 0)
            fail_msg("%s differs: run `test_wire write FOLDER`", path);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_const),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_request_without_body),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_early),
        cmocka_unit_test(test_bytes_on_the_wire),
        cmocka_unit_test(test_samples_are_as_they_say),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_every_byte_changed),
        cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_random_round_trips),
        cmocka_unit_test(test_peek_limits),
        cmocka_unit_test(test_peek_types_and_flags),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_failed_decode_keeps_result),
        cmocka_unit_test(test_nul_in_strings),
        cmocka_unit_test(test_one_byte_too_many),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_reader_errors_stick),
        cmocka_unit_test(test_reader_of_nothing),
        cmocka_unit_test(test_corpus_is_up_to_date),
    };

    if (argc == 3 && strcmp(argv[1], "write") == 0)
        return write_corpus(argv[2]);
    return cmocka_run_group_tests(tests, wire_open_fence, NULL);
}
