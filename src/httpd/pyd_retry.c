/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_retry.h"

int64_t pyd_retry_seconds(uint32_t waiting, uint64_t finished_per_1000_s, uint64_t threads)
{
    uint64_t work = ((uint64_t)waiting + 1) * 1000, rate = finished_per_1000_s, seconds;

    if (rate == 0) {
        rate = threads > 0 ? threads : 1;
        work = (uint64_t)waiting + 1;
    }
    seconds = work / rate + (work % rate != 0);
    if (seconds > PYD_RETRY_SECONDS_MAX)
        return PYD_RETRY_SECONDS_MAX;
    return seconds > 0 ? (int64_t)seconds : 1;
}
