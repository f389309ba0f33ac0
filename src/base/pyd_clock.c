/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_clock.h"

#include <time.h>

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;

    /* Can't fail for the two clocks asked for, which every Linux has. */
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t pyd_clock_us(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t pyd_clock_wall_us(void)
{
    return read_clock(CLOCK_REALTIME);
}
