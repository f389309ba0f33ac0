/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pyd_wire.h"
#include "wire_samples.h"

/* Each sample in each room that is too small: it says so, and writes nothing outside (the fence, and canaries). */
static void test_writer_in_any_room(void **state)
{
    (void)state;
    for (size_t i = 0; i < wire_sample_count; i++) {
        unsigned char room[WIRE_ROOM];
        size_t whole = wire_build_whole(&wire_samples[i], room);

        for (size_t size = 0; size <= whole; size++) {
            int bad;
            size_t used;

            memset(wire_fence - WIRE_ROOM, 0xa5, WIRE_ROOM);
            used = wire_build(&wire_samples[i], wire_fence - size, size, &bad);
            assert_true(used <= size);
            assert_int_equal(bad, size < whole);
            if (size < WIRE_ROOM)
                assert_int_equal(wire_fence[-(ptrdiff_t)size - 1], 0xa5);
            if (size == whole)
                assert_memory_equal(wire_fence - size, room, size);
        }
    }
}

static void test_writer_keeps_whole_frames(void **state)
{
    unsigned char room[64], *frame;
    struct pyd_wire_writer writer;
    struct pyd_wire_frame header;

    (void)state;
    pyd_wire_writer_init(&writer, room, sizeof(room));
    wire_find_sample("read")->build(&writer);
    frame = pyd_wire_begin(&writer, PYD_FRAME_LOG, 0);
    assert_non_null(frame);
    pyd_wire_write_bytes(&writer, room, sizeof(room));
    pyd_wire_end(&writer, frame);
    assert_true(writer.bad);
    assert_null(pyd_wire_begin(&writer, PYD_FRAME_REFUSE, 0));
    assert_null(pyd_wire_reserve_u32(&writer));
    pyd_wire_patch_u32(NULL, 1);
    pyd_wire_write_u8(&writer, 1);
    assert_int_equal(pyd_wire_peek(room, sizeof(room), &header), PYD_WIRE_FRAME);
    assert_int_equal(header.type, PYD_FRAME_READ);
}

static int ends_bad(enum pyd_frame_type type, uint8_t flags, size_t payload_bytes)
{
    unsigned char room[64] = {0};
    struct pyd_wire_writer writer;
    unsigned char *frame;

    pyd_wire_writer_init(&writer, room, sizeof(room));
    frame = pyd_wire_begin(&writer, type, flags);
    for (size_t i = 0; i < payload_bytes; i++)
        pyd_wire_write_u8(&writer, 0);
    pyd_wire_end(&writer, frame);
    return writer.bad;
}

static void test_writer_refuses_what_peek_refuses(void **state)
{
    (void)state;
    assert_false(ends_bad(PYD_FRAME_READ, 0, 4));
    assert_true(ends_bad(PYD_FRAME_READ, 0, 3));
    assert_true(ends_bad(PYD_FRAME_READ, 0, 5));
    assert_true(ends_bad(PYD_FRAME_READ, PYD_FRAME_FLAG_LAST, 4));
    assert_true(ends_bad(PYD_FRAME_REFUSE, 0, 1));
    assert_true(ends_bad(PYD_FRAME_MAX_, 0, 0));
    assert_true(ends_bad(PYD_FRAME_BODY, 0x02, 0));
    assert_false(ends_bad(PYD_FRAME_BODY, PYD_FRAME_FLAG_LAST, 0));
}

static void test_longest_frames(void **state)
{
    size_t size = PYD_WIRE_HEADER_BYTES + (size_t)PYD_WIRE_BODY_MAX + 1;
    unsigned char *room = calloc(1, size), *frame;
    struct pyd_wire_writer writer;
    struct pyd_wire_frame header;

    (void)state;
    assert_non_null(room);
    pyd_wire_writer_init(&writer, room, size);
    frame = pyd_wire_begin(&writer, PYD_FRAME_BODY, 0);
    writer.at += PYD_WIRE_BODY_MAX;
    pyd_wire_end(&writer, frame);
    assert_false(writer.bad);
    assert_int_equal(pyd_wire_peek(room, size, &header), PYD_WIRE_FRAME);
    assert_int_equal(header.payload_bytes, PYD_WIRE_BODY_MAX);
    writer.at += 1;
    pyd_wire_end(&writer, frame);
    assert_true(writer.bad);
    free(room);
}

static void test_writer_values(void **state)
{
    struct pyd_wire_request request = {.const_id = PYD_WIRE_CONSTS_MAX, .content_bytes = -1};
    struct pyd_wire_writer writer;
    unsigned char room[128];

    (void)state;
    pyd_wire_writer_init(&writer, room, sizeof(room));
    pyd_wire_write_request(&writer, &request);
    assert_true(writer.bad);
    request = (struct pyd_wire_request){.flags = 0x08};
    pyd_wire_writer_init(&writer, room, sizeof(room));
    pyd_wire_write_request(&writer, &request);
    assert_true(writer.bad);
    request = (struct pyd_wire_request){.content_bytes = -2};
    pyd_wire_writer_init(&writer, room, sizeof(room));
    pyd_wire_write_request(&writer, &request);
    assert_true(writer.bad);
    pyd_wire_writer_init(&writer, room, sizeof(room));
    pyd_wire_write_const(&writer, PYD_WIRE_CONSTS_MAX, "a", "b");
    assert_true(writer.bad);
    for (uint16_t status = 99; status <= 1000; status = (uint16_t)(status + 901)) {
        pyd_wire_writer_init(&writer, room, sizeof(room));
        pyd_wire_write_head(&writer, status, "", 0);
        assert_true(writer.bad);
    }
    /* A size that no frame may have; the data must not be looked at. */
    pyd_wire_writer_init(&writer, room, sizeof(room));
    pyd_wire_write_str(&writer, "", SIZE_MAX);
    assert_true(writer.bad);
    pyd_wire_writer_init(&writer, NULL, 0);
    pyd_wire_write_bytes(&writer, NULL, 0);
    assert_false(writer.bad);
    pyd_wire_write_u8(&writer, 1);
    assert_true(writer.bad);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writer_in_any_room),
        cmocka_unit_test(test_writer_keeps_whole_frames),
        cmocka_unit_test(test_writer_refuses_what_peek_refuses),
        cmocka_unit_test(test_longest_frames),
        cmocka_unit_test(test_writer_values),
    };

    return cmocka_run_group_tests(tests, wire_open_fence, NULL);
}
