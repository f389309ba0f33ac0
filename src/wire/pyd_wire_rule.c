/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_wire_format.h"

/* One row a frame type. Smallest: empty strings, no pairs. */
static const struct pyd_wire_rule rules[PYD_FRAME_MAX_] = {
    [PYD_FRAME_HELLO] = {.known = 1, .bytes_min = 12, .bytes_max = 12},
    [PYD_FRAME_CONST] = {.known = 1, .bytes_min = 14, .bytes_max = PYD_WIRE_CONTROL_MAX},
    [PYD_FRAME_REQUEST] = {.known = 1, .bytes_min = 43, .bytes_max = PYD_WIRE_CONTROL_MAX},
    [PYD_FRAME_BODY_FAIL] = {.known = 1, .bytes_min = 2, .bytes_max = 2},
    [PYD_FRAME_BODY] = {.known = 1, .bytes_max = PYD_WIRE_BODY_MAX, .flags = PYD_FRAME_FLAG_LAST},
    [PYD_FRAME_READ] = {.known = 1, .bytes_min = 4, .bytes_max = 4},
    [PYD_FRAME_EARLY] = {.known = 1, .bytes_min = 4, .bytes_max = PYD_WIRE_CONTROL_MAX},
    [PYD_FRAME_HEAD] = {.known = 1, .bytes_min = 10, .bytes_max = PYD_WIRE_CONTROL_MAX},
    [PYD_FRAME_LOG] = {.known = 1, .bytes_min = 1, .bytes_max = PYD_WIRE_CONTROL_MAX},
    [PYD_FRAME_END] = {.known = 1, .bytes_min = 9, .bytes_max = 9},
    [PYD_FRAME_FAIL] = {.known = 1, .bytes_min = 5, .bytes_max = PYD_WIRE_CONTROL_MAX},
    [PYD_FRAME_REFUSE] = {.known = 1},
};

const struct pyd_wire_rule *pyd_wire_rule(uint8_t type)
{
    /* Row 0 is of no type: it knows nothing and allows nothing. */
    return &rules[type < PYD_FRAME_MAX_ ? type : 0];
}
