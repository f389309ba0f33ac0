/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_spec.h"

#include <errno.h>
#include <string.h>

/* strtoll() takes white space, signs and nothing at all: read digits ourselves. Moves *text behind them. */
static int read_digits(const char **text, int64_t *ret_value)
{
    const char *at = *text;
    int64_t value = 0;

    if (*at < '0' || *at > '9')
        return EINVAL;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *at - '0', &value))
            return EINVAL;
    }
    *text = at;
    *ret_value = value;
    return 0;
}

static int scale(int64_t value, int64_t unit, int64_t *ret_value)
{
    int64_t result;

    if (__builtin_mul_overflow(value, unit, &result))
        return EINVAL;
    *ret_value = result;
    return 0;
}

int pyd_spec_parse_count(const char *text, int64_t *ret_count)
{
    int negative = *text == '-';
    int64_t value;

    text += negative;
    if (read_digits(&text, &value) || *text)
        return EINVAL;
    *ret_count = negative ? -value : value;
    return 0;
}

int pyd_spec_parse_octal(const char *text, int64_t *ret_value)
{
    int64_t value = 0;

    if (!*text || strlen(text) > 8)
        return EINVAL;
    for (; *text; text++) {
        if (*text < '0' || *text > '7')
            return EINVAL;
        value = value * 8 + (*text - '0');
    }
    *ret_value = value;
    return 0;
}

int pyd_spec_parse_size(const char *text, int64_t *ret_bytes)
{
    static const struct {
        const char *suffix;
        int64_t unit;
    } UNITS[] = {{"", 1},        {"K", 1 << 10}, {"k", 1 << 10}, {"M", 1 << 20},
                 {"m", 1 << 20}, {"G", 1 << 30}, {"g", 1 << 30}};
    int64_t value;

    if (strcmp(text, "off") == 0) {
        *ret_bytes = 0;
        return 0;
    }
    if (read_digits(&text, &value))
        return EINVAL;
    for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
        if (strcmp(text, UNITS[i].suffix) == 0)
            return scale(value, UNITS[i].unit, ret_bytes);
    }
    return EINVAL;
}

int pyd_spec_parse_time(const char *text, int64_t *ret_us)
{
    static const struct {
        const char *suffix;
        int64_t unit;
    } UNITS[] = {{"", 1000000}, {"s", 1000000}, {"m", INT64_C(60000000)}, {"h", INT64_C(3600000000)},
                 {"ms", 1000},  {"us", 1}};
    int64_t value;

    if (strcmp(text, "off") == 0) {
        *ret_us = 0;
        return 0;
    }
    if (read_digits(&text, &value))
        return EINVAL;
    for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
        if (strcmp(text, UNITS[i].suffix) == 0)
            return scale(value, UNITS[i].unit, ret_us);
    }
    return EINVAL;
}

int pyd_spec_cpus(int affinity, int64_t quota_us, int64_t period_us)
{
    int64_t cpus = affinity > 0 ? affinity : 1;

    if (quota_us > 0 && period_us > 0) {
        /* A quota of 1.5 CPUs keeps two processes busy part of the time: round up. */
        int64_t quota = quota_us / period_us + (quota_us % period_us != 0);

        if (quota < cpus)
            cpus = quota;
    }
    return (int)cpus;
}
