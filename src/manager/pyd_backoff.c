/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_backoff.h"

#include <limits.h>

int64_t pyd_backoff_delay_us(unsigned failures)
{
    int64_t delay_us = PYD_BACKOFF_FIRST_US;

    if (failures == 0)
        return 0;
    while (--failures > 0 && delay_us < PYD_BACKOFF_LIMIT_US)
        delay_us *= 2;
    return delay_us < PYD_BACKOFF_LIMIT_US ? delay_us : PYD_BACKOFF_LIMIT_US;
}

int pyd_backoff_fail(struct pyd_backoff *backoff, int64_t started_us, int64_t now_us)
{
    if (backoff->failures > 0 && started_us <= backoff->failed_at_us)
        return 0;
    if (backoff->failures < UINT_MAX)
        backoff->failures++;
    backoff->failed_at_us = now_us;
    backoff->retry_at_us = now_us + pyd_backoff_delay_us(backoff->failures);
    return 1;
}

int pyd_backoff_forgive(struct pyd_backoff *backoff, int64_t now_us)
{
    if (backoff->failures > 0 || backoff->forgiven)
        return 0;
    backoff->forgiven = 1;
    backoff->failed_at_us = now_us;
    return 1;
}

int pyd_backoff_succeed(struct pyd_backoff *backoff, int64_t started_us)
{
    int had_failed = backoff->failures > 0;

    if ((!had_failed && !backoff->forgiven) || started_us <= backoff->failed_at_us)
        return 0;
    *backoff = (struct pyd_backoff){0};
    return had_failed;
}

int pyd_backoff_may_start(const struct pyd_backoff *backoff, int64_t now_us)
{
    return backoff->failures == 0 || now_us >= backoff->retry_at_us;
}
