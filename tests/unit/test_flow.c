/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pyd_flow.h"

#define END 0 /* of a sequence */

struct flow_case {
    int may_read;
    int refused; /* index of the first frame that is out of order, or -1 */
    uint8_t types[8];
};

#define LOG PYD_FRAME_LOG
#define EARLY PYD_FRAME_EARLY
#define READ PYD_FRAME_READ
#define HEAD PYD_FRAME_HEAD
#define BODY PYD_FRAME_BODY
#define OVER PYD_FRAME_END
#define FAIL PYD_FRAME_FAIL
#define REFUSE PYD_FRAME_REFUSE

static const struct flow_case cases[] = {
    {0, -1, {HEAD, BODY, OVER}},
    {0, -1, {HEAD, OVER}},
    {0, -1, {LOG, EARLY, EARLY, LOG, HEAD, LOG, BODY, BODY}},
    {1, -1, {READ, READ, HEAD, BODY, READ, BODY, LOG, OVER}},
    {0, -1, {FAIL}},
    {1, -1, {LOG, READ, FAIL}},
    {0, -1, {REFUSE}},
    {0, 0, {BODY}},
    {0, 0, {OVER}},
    {0, 0, {READ}},
    {0, 1, {HEAD, READ}},
    {0, 1, {HEAD, HEAD}},
    {0, 1, {HEAD, EARLY}},
    {0, 1, {HEAD, FAIL}},
    {0, 1, {HEAD, REFUSE}},
    {0, 1, {LOG, REFUSE}},
    {1, 1, {READ, REFUSE}},
    {0, 1, {EARLY, REFUSE}},
    {0, 1, {LOG, OVER}},
    {0, 1, {LOG, BODY}},
    {0, 1, {REFUSE, HEAD}},
    {0, 1, {REFUSE, LOG}},
    {0, 1, {FAIL, LOG}},
    {0, 2, {HEAD, OVER, LOG}},
    {0, 2, {HEAD, OVER, BODY}},
    {0, 2, {HEAD, OVER, OVER}},
    {0, 0, {PYD_FRAME_HELLO}},
    {0, 0, {PYD_FRAME_CONST}},
    {0, 0, {PYD_FRAME_REQUEST}},
    {0, 1, {HEAD, PYD_FRAME_BODY_FAIL}},
    {0, 0, {PYD_FRAME_MAX_}},
    {0, 0, {255}},
};

static void test_order(void **state)
{
    size_t c;
    int i;

    (void)state;
    for (c = 0; c < sizeof(cases) / sizeof(cases[0]); ++c) {
        struct pyd_flow flow;
        int refused = -1;

        pyd_flow_init(&flow, cases[c].may_read);
        for (i = 0; i < 8 && cases[c].types[i] != END && refused < 0; ++i) {
            struct pyd_wire_frame frame = {.type = cases[c].types[i]};

            if (pyd_flow_accept(&flow, &frame))
                refused = i;
        }
        if (refused != cases[c].refused)
            fail_msg("case %zu: refused frame %d, expected %d", c, refused, cases[c].refused);
    }
}

static void test_has_head(void **state)
{
    struct pyd_wire_frame log = {.type = LOG}, head = {.type = HEAD}, over = {.type = OVER};
    struct pyd_flow flow;

    (void)state;
    pyd_flow_init(&flow, 0);
    assert_false(pyd_flow_has_head(&flow));
    assert_null(pyd_flow_accept(&flow, &log));
    assert_false(pyd_flow_has_head(&flow));
    assert_null(pyd_flow_accept(&flow, &head));
    assert_true(pyd_flow_has_head(&flow));
    assert_null(pyd_flow_accept(&flow, &over));
    assert_true(pyd_flow_has_head(&flow));
}

/* What is refused leaves the state as it was. */
static void test_refused_changes_nothing(void **state)
{
    struct pyd_wire_frame body = {.type = BODY}, refuse = {.type = REFUSE};
    struct pyd_flow flow;

    (void)state;
    pyd_flow_init(&flow, 0);
    assert_non_null(pyd_flow_accept(&flow, &body));
    assert_null(pyd_flow_accept(&flow, &refuse));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_has_head),
        cmocka_unit_test(test_refused_changes_nothing),
    };

    return cmocka_run_group_tests_name("flow", tests, NULL, NULL);
}
