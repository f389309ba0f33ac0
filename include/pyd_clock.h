/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_CLOCK_H
#define PYD_CLOCK_H

#include <stdint.h>

/** Microseconds of CLOCK_MONOTONIC: for every deadline, and comparable between processes of one boot. */
int64_t pyd_clock_us(void);

/** Microseconds since the epoch (CLOCK_REALTIME): for what users see only. */
int64_t pyd_clock_wall_us(void);

#endif
