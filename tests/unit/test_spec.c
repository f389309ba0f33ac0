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

#include "pyd_spec.h"

#define SECOND INT64_C(1000000)

/* A new spec with assignments set; each must be right. */
static void make(struct pyd_spec *spec, const char *const *assignments)
{
    char error[400] = "";

    assert_int_equal(pyd_spec_init(spec, "blog"), 0);
    for (; assignments && *assignments; assignments++) {
        if (pyd_spec_set(spec, *assignments, error, sizeof(error)))
            fail_msg("%s: %s", *assignments, error);
    }
}

static void assert_refused(const char *assignment, const char *message_part)
{
    struct pyd_spec spec;
    char error[400] = "";
    char *before, *after;

    make(&spec, NULL);
    before = pyd_spec_format(&spec);
    if (pyd_spec_set(&spec, assignment, error, sizeof(error)) != EINVAL)
        fail_msg("'%s' was taken", assignment);
    if (!strstr(error, message_part))
        fail_msg("'%s': message '%s' lacks '%s'", assignment, error, message_part);
    after = pyd_spec_format(&spec);
    assert_string_equal(before, after);
    free(before);
    free(after);
    pyd_spec_done(&spec);
}

static void test_defaults(void **state)
{
    struct pyd_spec spec;

    (void)state;
    make(&spec, NULL);
    assert_string_equal(spec.name, "blog");
    assert_int_equal(spec.processes, 1);
    assert_int_equal(spec.threads, 15);
    assert_null(spec.user);
    assert_null(spec.group);
    assert_null(spec.supplementary_groups);
    assert_int_equal(spec.umask, -1);
    assert_null(spec.home);
    assert_null(spec.python);
    assert_string_equal(spec.lang, "C.UTF-8");
    assert_string_equal(spec.locale, "C.UTF-8");
    assert_null(spec.display_name);
    assert_int_equal(spec.queue_timeout_us, 45 * SECOND);
    assert_int_equal(spec.queue_limit, 100);
    assert_int_equal(spec.startup_timeout_us, 60 * SECOND);
    assert_int_equal(spec.shutdown_timeout_us, 5 * SECOND);
    assert_int_equal(spec.request_timeout_us, 60 * SECOND);
    assert_int_equal(spec.deadlock_timeout_us, 60 * SECOND);
    assert_int_equal(spec.graceful_timeout_us, 30 * SECOND);
    assert_int_equal(spec.inactivity_timeout_us, 0);
    assert_int_equal(spec.maximum_requests, 0);
    assert_int_equal(spec.maximum_requests_jitter, 10);
    assert_int_equal(spec.restart_interval_us, 0);
    assert_int_equal(spec.restart_interval_jitter, 10);
    assert_int_equal(spec.memory_limit_bytes, 0);
    assert_int_equal(spec.memory_hard_limit_bytes, 0);
    assert_int_equal(spec.cpu_time_limit_us, 0);
    assert_int_equal(spec.slow_request_us, 0);
    assert_int_equal(spec.socket_timeout_us, 0);
    assert_int_equal(spec.cpu_priority, PYD_SPEC_UNSET);
    assert_int_equal(spec.stack_bytes, 0);
    assert_int_equal(spec.open_files, 0);
    assert_int_equal(spec.core_bytes, -1);
    assert_int_equal(spec.uid, -1);
    assert_int_equal(spec.gid, -1);
    assert_null(spec.groups);
    assert_int_equal(spec.app_count, 0);
    pyd_spec_done(&spec);
}

static void test_every_option_is_set(void **state)
{
    static const char *const GOOD[] = {
        "processes=3",        "threads=7",          "user=www",           "group=#33",
        "supplementary-groups=a,b",
        "umask=027",          "home=/srv/blog",     "python=/srv/venv",   "python-path=/a:/b", "env=A=1",
        "env=B=x=y",          "env-file=/etc/blog", "lang=de_DE.UTF-8",   "locale=C",
        "display-name=x %{GROUP} y",
        "queue-timeout=1500ms", "queue-limit=9",    "startup-timeout=2m", "shutdown-timeout=1", "socket-timeout=1h",
        "cpu-priority=-5",    "stack-size=2M",      "open-files=1024",    "core-size=unlimited", NULL};
    struct pyd_spec spec;

    (void)state;
    make(&spec, GOOD);
    assert_int_equal(spec.processes, 3);
    assert_int_equal(spec.threads, 7);
    assert_string_equal(spec.user, "www");
    assert_string_equal(spec.group, "#33");
    assert_string_equal(spec.supplementary_groups, "a,b");
    assert_int_equal(spec.umask, 027);
    assert_string_equal(spec.home, "/srv/blog");
    assert_string_equal(spec.python, "/srv/venv");
    assert_int_equal(spec.python_path.count, 2);
    assert_string_equal(spec.python_path.items[1], "/b");
    assert_int_equal(spec.env.count, 2);
    assert_string_equal(spec.env.items[1], "B=x=y");
    assert_string_equal(spec.env_file, "/etc/blog");
    assert_string_equal(spec.lang, "de_DE.UTF-8");
    assert_string_equal(spec.locale, "C");
    assert_string_equal(spec.display_name, "x (pydaemon:blog) y");
    assert_int_equal(spec.queue_timeout_us, 1500000);
    assert_int_equal(spec.queue_limit, 9);
    assert_int_equal(spec.startup_timeout_us, 120 * SECOND);
    assert_int_equal(spec.shutdown_timeout_us, SECOND);
    assert_int_equal(spec.socket_timeout_us, 3600 * SECOND);
    assert_int_equal(spec.cpu_priority, -5);
    assert_int_equal(spec.stack_bytes, 2 << 20);
    assert_int_equal(spec.open_files, 1024);
    assert_true(spec.core_bytes == INT64_MAX);
    pyd_spec_done(&spec);
}

static const char *const LIMITS[] = {
    "request-timeout=90",   "deadlock-timeout=2s",        "graceful-timeout=1500ms", "inactivity-timeout=10m",
    "maximum-requests=500", "maximum-requests-jitter=50", "restart-interval=24h",    "restart-interval-jitter=0",
    "memory-limit=300M",    "memory-hard-limit=1G",       "cpu-time-limit=1h",       "slow-request=1ms", NULL};

static void assert_limits(const struct pyd_spec *spec)
{
    assert_int_equal(spec->request_timeout_us, 90 * SECOND);
    assert_int_equal(spec->deadlock_timeout_us, 2 * SECOND);
    assert_int_equal(spec->graceful_timeout_us, 1500000);
    assert_int_equal(spec->inactivity_timeout_us, 600 * SECOND);
    assert_int_equal(spec->maximum_requests, 500);
    assert_int_equal(spec->maximum_requests_jitter, 50);
    assert_int_equal(spec->restart_interval_us, 86400 * SECOND);
    assert_int_equal(spec->restart_interval_jitter, 0);
    assert_int_equal(spec->memory_limit_bytes, 300 << 20);
    assert_int_equal(spec->memory_hard_limit_bytes, 1 << 30);
    assert_int_equal(spec->cpu_time_limit_us, 3600 * SECOND);
    assert_int_equal(spec->slow_request_us, 1000);
}

static void test_limits_are_set(void **state)
{
    struct pyd_spec spec;
    char error[400];

    (void)state;
    make(&spec, LIMITS);
    assert_limits(&spec);
    assert_int_equal(pyd_spec_validate(&spec, error, sizeof(error)), 0);
    pyd_spec_done(&spec);
}

/* Each on its own, by "off" and by 0; a jitter of 0 is a number, and "off" is 0. */
static void test_limits_are_off(void **state)
{
    static const char *const KEYS[] = {"request-timeout",  "deadlock-timeout",  "graceful-timeout",
                                       "inactivity-timeout", "maximum-requests", "maximum-requests-jitter",
                                       "restart-interval", "restart-interval-jitter", "memory-limit",
                                       "memory-hard-limit", "cpu-time-limit", "slow-request"};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++) {
        const char *const words[] = {"off", "0"};

        for (size_t word = 0; word < 2; word++) {
            struct pyd_spec spec, expected;
            char assignment[64], *left, *right;

            make(&spec, LIMITS);
            make(&expected, LIMITS);
            snprintf(assignment, sizeof(assignment), "%s=%s", KEYS[i], words[word]);
            assert_int_equal(pyd_spec_set(&spec, assignment, NULL, 0), 0);
            expected.request_timeout_us = i == 0 ? 0 : expected.request_timeout_us;
            expected.deadlock_timeout_us = i == 1 ? 0 : expected.deadlock_timeout_us;
            expected.graceful_timeout_us = i == 2 ? 0 : expected.graceful_timeout_us;
            expected.inactivity_timeout_us = i == 3 ? 0 : expected.inactivity_timeout_us;
            expected.maximum_requests = i == 4 ? 0 : expected.maximum_requests;
            expected.maximum_requests_jitter = i == 5 ? 0 : expected.maximum_requests_jitter;
            expected.restart_interval_us = i == 6 ? 0 : expected.restart_interval_us;
            expected.restart_interval_jitter = i == 7 ? 0 : expected.restart_interval_jitter;
            expected.memory_limit_bytes = i == 8 ? 0 : expected.memory_limit_bytes;
            expected.memory_hard_limit_bytes = i == 9 ? 0 : expected.memory_hard_limit_bytes;
            expected.cpu_time_limit_us = i == 10 ? 0 : expected.cpu_time_limit_us;
            expected.slow_request_us = i == 11 ? 0 : expected.slow_request_us;
            left = pyd_spec_format(&spec);
            right = pyd_spec_format(&expected);
            assert_string_equal(left, right);
            free(left);
            free(right);
            pyd_spec_done(&spec);
            pyd_spec_done(&expected);
        }
    }
}

static void test_words(void **state)
{
    static const char *const WORDS[] = {"processes=auto", "queue-timeout=off", "queue-limit=0", "startup-timeout=0",
                                        "core-size=0", "cpu-priority=0", "python-home=/v", "supplementary-groups=",
                                        NULL};
    static const char *const OFF[] = {"core-size=5", "core-size=off", "cpu-priority=3", "cpu-priority=off", NULL};
    struct pyd_spec spec;

    (void)state;
    make(&spec, WORDS);
    assert_int_equal(spec.processes, 0);
    assert_int_equal(spec.queue_timeout_us, 0);
    assert_int_equal(spec.queue_limit, 10000);
    assert_int_equal(spec.startup_timeout_us, 0);
    assert_int_equal(spec.core_bytes, 0);
    assert_int_equal(spec.cpu_priority, 0);
    assert_string_equal(spec.python, "/v");
    assert_string_equal(spec.supplementary_groups, "");
    pyd_spec_resolve_auto(&spec, 4);
    assert_int_equal(spec.processes, 4);
    pyd_spec_resolve_auto(&spec, 9);
    assert_int_equal(spec.processes, 4);
    pyd_spec_done(&spec);

    make(&spec, OFF);
    assert_int_equal(spec.core_bytes, -1);
    assert_int_equal(spec.cpu_priority, PYD_SPEC_UNSET);
    pyd_spec_done(&spec);
}

static void test_bad_values(void **state)
{
    static const struct {
        const char *assignment, *message_part;
    } BAD[] = {
        {"threads=0", "threads=0: must be a whole number from 1 to 1000"},
        {"threads=", "from 1 to 1000"},
        {"threads=1001", "threads=1001"},
        {"threads=-1", "threads=-1"},
        {"threads=5x", "threads=5x"},
        {"threads= 5", "threads= 5"},
        {"threads=5 ", "threads=5 "},
        {"threads=+5", "threads=+5"},
        {"threads=0x10", "threads=0x10"},
        {"threads=99999999999999999999999", "whole number"},
        {"threads=auto", "threads=auto"},
        {"threads=off", "threads=off"},
        {"threads", "needs a value: threads=VALUE"},
        {"processes=off", "or auto"},
        {"processes=0", "or auto"},
        {"queue-timeout=5min", "500ms, 30 (seconds), 5m, 1h"},
        {"queue-timeout=s", "a time"},
        {"queue-timeout=-1", "a time"},
        {"queue-timeout=9223372036854775807h", "a time"},
        {"queue-timeout=1001h", "to 1000h"},
        {"queue-timeout=1us", "from 1ms"},
        {"shutdown-timeout=off", "from 1ms to 1h"},
        {"shutdown-timeout=0", "from 1ms to 1h"},
        {"stack-size=1K", "from 256K to 1G"},
        {"stack-size=2MB", "a size"},
        {"stack-size=9999999999999G", "a size"},
        {"umask=028", "octal"},
        {"umask=1000", "from 0 to 777"},
        {"umask=", "octal"},
        {"umask=-1", "octal"},
        {"cpu-priority=-1000", "from -20 to 19"},
        {"cpu-priority=--5", "from -20 to 19"},
        {"open-files=3", "from 65"},
        {"core-size=-1", "unlimited, or off"},
        {"env=A", "KEY=VALUE"},
        {"env==1", "KEY=VALUE"},
        {"env=A B=1", "KEY=VALUE"},
        {"env=", "KEY=VALUE"},
        {"python-path=", "':' between"},
        {"python-path=/a::/b", "':' between"},
        {"python-path=:/a", "':' between"},
        {"home=", "not empty"},
        {"display-name=", "not empty"},
        {"thread=5", "there is no option 'thread'; did you mean 'threads'?"},
        {"Threads=5", "did you mean 'threads'?"},
        {"python_path=/a", "did you mean 'python-path'?"},
        {"pythonhome=/a", "did you mean 'python-home'?"},
        {"zzzzqqqqqq=1", "there is no option 'zzzzqqqqqq'"},
        {"=5", "is not an option"},
        {"", "is not an option"},
        {".uid=0", "there is no option '.uid'"},
        {".name=x", "there is no option '.name'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        assert_refused(BAD[i].assignment, BAD[i].message_part);
}

static void test_bad_limits(void **state)
{
    static const struct {
        const char *assignment, *message_part;
    } BAD[] = {
        {"request-timeout=1us", "request-timeout=1us: must be a time as 500ms, 30 (seconds), 5m, 1h, from 1ms"},
        {"request-timeout=1m30s", "a time"},
        {"deadlock-timeout=1999ms", "from 2s to 1000h, or off"},
        {"graceful-timeout=-1", "from 1ms to 1000h, or off"},
        {"inactivity-timeout=1001h", "from 1ms to 1000h, or off"},
        {"maximum-requests=2147483648", "from 1 to 2147483647, or off"},
        {"maximum-requests=1K", "a whole number"},
        {"maximum-requests-jitter=51", "from 0 to 50, or off"},
        {"maximum-requests-jitter=10%", "from 0 to 50, or off"},
        {"restart-interval=1d", "a time"},
        {"restart-interval-jitter=-1", "from 0 to 50, or off"},
        {"memory-limit=1023K", "memory-limit=1023K: must be a size as 64M, 1G, at least 1M, or off"},
        {"memory-limit=50%", "a size"},
        {"memory-hard-limit=1", "at least 1M, or off"},
        {"cpu-time-limit=unlimited", "from 1ms to 1000h, or off"},
        {"slow-request=0.5", "from 1ms to 1000h, or off"},
        {"request-timeou=5", "did you mean 'request-timeout'?"},
        {"max-requests=5", "did you mean 'maximum-requests'?"},
        {"memory-limits=5", "did you mean 'memory-limit'?"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        assert_refused(BAD[i].assignment, BAD[i].message_part);
}

static void test_long_garbage_is_cut(void **state)
{
    struct pyd_spec spec;
    char error[400], small[8], assignment[3000];

    (void)state;
    memset(assignment, 'x', sizeof(assignment));
    assignment[sizeof(assignment) - 1] = '\0';
    make(&spec, NULL);
    assert_int_equal(pyd_spec_set(&spec, assignment, error, sizeof(error)), EINVAL);
    assert_true(strlen(error) < 300);
    memcpy(assignment, "threads=", 8);
    assert_int_equal(pyd_spec_set(&spec, assignment, error, sizeof(error)), EINVAL);
    assert_non_null(strstr(error, "from 1 to 1000"));
    assert_int_equal(pyd_spec_set(&spec, assignment, small, sizeof(small)), EINVAL);
    assert_int_equal(strlen(small), 7);
    assert_int_equal(pyd_spec_set(&spec, assignment, NULL, 0), EINVAL);
    pyd_spec_done(&spec);
}

static void test_env_last_one_counts(void **state)
{
    static const char *const ENV[] = {"env=A=1", "env=AB=2", "env=A=3", "env=C=", NULL};
    struct pyd_spec spec;

    (void)state;
    make(&spec, ENV);
    assert_int_equal(spec.env.count, 3);
    assert_string_equal(spec.env.items[0], "A=3");
    assert_string_equal(spec.env.items[1], "AB=2");
    assert_string_equal(spec.env.items[2], "C=");
    pyd_spec_done(&spec);
}

static void test_validate(void **state)
{
    static const char *const MANY[] = {"processes=1000", "threads=1000", NULL};
    static const char *const FILES[] = {"threads=100", "open-files=100", NULL};
    struct pyd_spec spec;
    char error[400];

    (void)state;
    make(&spec, NULL);
    assert_int_equal(pyd_spec_validate(&spec, error, sizeof(error)), 0);
    pyd_spec_done(&spec);
    make(&spec, MANY);
    assert_int_equal(pyd_spec_validate(&spec, error, sizeof(error)), EINVAL);
    assert_non_null(strstr(error, "processes=1000 times threads=1000"));
    pyd_spec_done(&spec);
    make(&spec, FILES);
    assert_int_equal(pyd_spec_validate(&spec, error, sizeof(error)), EINVAL);
    assert_non_null(strstr(error, "at least 164"));
    pyd_spec_done(&spec);
}

static void assert_valid(const char *first, const char *second, const char *message_part)
{
    const char *const both[] = {first, second, NULL};
    struct pyd_spec spec;
    char error[400] = "";
    int rv;

    make(&spec, both);
    rv = pyd_spec_validate(&spec, error, sizeof(error));
    if (rv != (message_part ? EINVAL : 0) || (message_part && !strstr(error, message_part)))
        fail_msg("%s %s: %d '%s'", first, second, rv, error);
    pyd_spec_done(&spec);
}

static void test_validate_limits(void **state)
{
    (void)state;
    assert_valid("memory-limit=300M", "memory-hard-limit=200M",
                 "memory-hard-limit=200M is below memory-limit=300M: workers would be killed before they could be "
                 "replaced; it must be above it, or off");
    assert_valid("memory-limit=1025K", "memory-hard-limit=1M", "memory-hard-limit=1M is below memory-limit=1025K");
    assert_valid("memory-limit=300M", "memory-hard-limit=300M", NULL);
    assert_valid("memory-limit=off", "memory-hard-limit=1M", NULL);
    assert_valid("memory-limit=300M", "memory-hard-limit=off", NULL);
    assert_valid("slow-request=60", "threads=1",
                 "slow-request=1m is not below request-timeout=1m: no request would get that far; it must be below it, "
                 "or off");
    assert_valid("slow-request=1500ms", "request-timeout=1s", "slow-request=1500ms is not below request-timeout=1s");
    assert_valid("slow-request=59999ms", "request-timeout=60", NULL);
    assert_valid("slow-request=1h", "request-timeout=off", NULL);
    assert_valid("slow-request=off", "request-timeout=1ms", NULL);
    assert_valid("maximum-requests-jitter=50", "maximum-requests=off", NULL);
    assert_valid("restart-interval-jitter=50", "restart-interval=off", NULL);
}

static void test_names(void **state)
{
    static const char *const GOOD[] = {"a", "blog", "Blog-2_x.y", "7"};
    static const char *const BAD[] = {"", "-a", ".a", "a b", "a/b", "%{ENV:x}", "a\n", "\xc3\xa4"};
    char error[400], name[65];

    (void)state;
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++)
        assert_int_equal(pyd_spec_check_name(GOOD[i], error, sizeof(error)), 0);
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        assert_int_equal(pyd_spec_check_name(BAD[i], error, sizeof(error)), EINVAL);
    memset(name, 'a', 64);
    name[64] = '\0';
    assert_int_equal(pyd_spec_check_name(name, error, sizeof(error)), EINVAL);
    name[63] = '\0';
    assert_int_equal(pyd_spec_check_name(name, error, sizeof(error)), 0);
}

/* Format, parse, format: the same text, and free of what the text has no room for. */
static void assert_round_trip(const struct pyd_spec *spec, struct pyd_spec *ret_copy)
{
    char error[400] = "";
    char *first = pyd_spec_format(spec), *second;

    assert_non_null(first);
    assert_int_equal(pyd_spec_init(ret_copy, NULL), 0);
    if (pyd_spec_parse(ret_copy, first, error, sizeof(error)))
        fail_msg("%s", error);
    second = pyd_spec_format(ret_copy);
    assert_string_equal(first, second);
    free(first);
    free(second);
}

static void test_text_defaults_are_one_line(void **state)
{
    struct pyd_spec spec;
    char *text;

    (void)state;
    make(&spec, NULL);
    text = pyd_spec_format(&spec);
    assert_string_equal(text, ".name=blog\n");
    free(text);
    pyd_spec_done(&spec);
}

static void test_text_round_trip(void **state)
{
    static const char *const SET[] = {"processes=auto", "umask=007", "queue-limit=off", "core-size=0", "cpu-priority=0",
                                      "startup-timeout=2500ms", "env=A=line 1\nline 2\\n \xff\xfe\ttab",
                                      "env=B=\\", "python-path=/a b:/c", "supplementary-groups=",
                                      "display-name=100% \\ \n", "lang=C", NULL};
    struct pyd_spec spec, copy;

    (void)state;
    make(&spec, SET);
    spec.uid = 33;
    spec.gid = 4294967294;
    assert_int_equal(pyd_spec_assign(&spec.groups, ""), 0);
    assert_int_equal(pyd_spec_assign(&spec.user_name, "www-data"), 0);
    assert_int_equal(pyd_spec_assign(&spec.home_dir, "/srv\n/x"), 0);
    assert_int_equal(pyd_spec_assign(&spec.python_executable, "/usr/bin/python3"), 0);
    assert_int_equal(pyd_spec_assign(&spec.server_root, "/etc/apache2"), 0);
    /* A ':' in a resolved path must not split it. */
    assert_int_equal(pyd_spec_assign(&spec.python_path.items[1], "/c:d"), 0);
    assert_int_equal(pyd_spec_add_app(&spec, "/srv/a\tb.wsgi", "app"), 0);
    assert_int_equal(pyd_spec_add_app(&spec, "/srv/a\tb.wsgi", "app"), 0);
    assert_int_equal(pyd_spec_add_app(&spec, "pkg.mod:app", NULL), 0);
    assert_int_equal(pyd_spec_add_app(&spec, "/srv/a\tb.wsgi", NULL), 0);
    assert_int_equal(spec.app_count, 3);

    assert_round_trip(&spec, &copy);
    assert_string_equal(copy.name, "blog");
    assert_int_equal(copy.processes, 0);
    assert_int_equal(copy.umask, 7);
    assert_int_equal(copy.queue_limit, 10000);
    assert_int_equal(copy.core_bytes, 0);
    assert_int_equal(copy.cpu_priority, 0);
    assert_int_equal(copy.startup_timeout_us, 2500000);
    assert_string_equal(copy.env.items[0], "A=line 1\nline 2\\n \xff\xfe\ttab");
    assert_string_equal(copy.env.items[1], "B=\\");
    assert_int_equal(copy.python_path.count, 2);
    assert_string_equal(copy.python_path.items[1], "/c:d");
    assert_string_equal(copy.supplementary_groups, "");
    assert_string_equal(copy.display_name, "100% \\ \n");
    assert_string_equal(copy.lang, "C");
    assert_int_equal(copy.uid, 33);
    assert_true(copy.gid == 4294967294);
    assert_string_equal(copy.groups, "");
    assert_string_equal(copy.home_dir, "/srv\n/x");
    assert_int_equal(copy.app_count, 3);
    assert_string_equal(copy.apps[0].target, "/srv/a\tb.wsgi");
    assert_string_equal(copy.apps[0].callable, "app");
    assert_null(copy.apps[1].callable);
    pyd_spec_done(&copy);
    pyd_spec_done(&spec);
}

static void test_text_round_trip_of_limits(void **state)
{
    static const char *const OFF[] = {"request-timeout=off", "deadlock-timeout=off", "graceful-timeout=off",
                                      "maximum-requests-jitter=0", "restart-interval-jitter=off",
                                      "maximum-requests=2147483647", "memory-limit=9007199254740993", NULL};
    struct pyd_spec spec, copy;

    (void)state;
    make(&spec, LIMITS);
    assert_round_trip(&spec, &copy);
    assert_limits(&copy);
    pyd_spec_done(&copy);
    pyd_spec_done(&spec);
    make(&spec, OFF);
    assert_round_trip(&spec, &copy);
    assert_int_equal(copy.request_timeout_us, 0);
    assert_int_equal(copy.deadlock_timeout_us, 0);
    assert_int_equal(copy.graceful_timeout_us, 0);
    assert_int_equal(copy.maximum_requests_jitter, 0);
    assert_int_equal(copy.restart_interval_jitter, 0);
    assert_int_equal(copy.maximum_requests, INT32_MAX);
    assert_true(copy.memory_limit_bytes == INT64_C(9007199254740993));
    pyd_spec_done(&copy);
    pyd_spec_done(&spec);
}

static void test_text_garbage(void **state)
{
    static const struct {
        const char *text, *message_part;
    } BAD[] = {{"threads=3\nnonsense\n", "line 2"},      {"threads=x", "line 1"},  {"env=A=\\x\n", "line 1"},
               {"env=A=\\", "line 1"},                   {"\n\n.uid=-1\n", "line 3"}, {".app=\tx\n", "line 1"},
               {".name=a b\n", "line 1"},                {"=\n", "line 1"},        {".uid=4294967295\n", "line 1"},
               {"threads=3\\n", "line 1"}};

    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        struct pyd_spec spec;
        char error[400] = "";

        make(&spec, NULL);
        if (pyd_spec_parse(&spec, BAD[i].text, error, sizeof(error)) != EINVAL)
            fail_msg("taken: %s", BAD[i].text);
        if (!strstr(error, BAD[i].message_part))
            fail_msg("'%s' lacks '%s'", error, BAD[i].message_part);
        pyd_spec_done(&spec);
    }
}

static void test_table(void **state)
{
    struct pyd_spec_row row;
    struct pyd_spec spec;
    size_t i;

    (void)state;
    for (i = 0; pyd_spec_describe(i, &row); i++) {
        char assignment[200], *text;

        assert_true(strlen(row.help) > 10);
        assert_true(strlen(row.accepts) > 3);
        assert_int_equal(pyd_spec_find(row.key), i);
        /* Where the manual's default is a value, it is the one a new spec has. */
        if (strcmp(row.type, "text") == 0 || !*row.default_text || strchr(row.default_text, '\''))
            continue;
        make(&spec, NULL);
        snprintf(assignment, sizeof(assignment), "%s=%s", row.key, row.default_text);
        assert_int_equal(pyd_spec_find(assignment), i);
        assert_int_equal(pyd_spec_set(&spec, assignment, NULL, 0), 0);
        text = pyd_spec_format(&spec);
        assert_string_equal(text, ".name=blog\n");
        free(text);
        pyd_spec_done(&spec);
    }
    assert_true(i >= 35);
    assert_int_equal(pyd_spec_find("no-such=1"), -1);
    assert_int_equal(pyd_spec_find(".uid=1"), -1);
    assert_int_equal(pyd_spec_find("python-home=x"), pyd_spec_find("python"));
}

static void test_sizes_and_times(void **state)
{
    int64_t value = 7;

    (void)state;
    assert_int_equal(pyd_spec_parse_size("512", &value), 0);
    assert_int_equal(value, 512);
    assert_int_equal(pyd_spec_parse_size("64k", &value), 0);
    assert_int_equal(value, 65536);
    assert_int_equal(pyd_spec_parse_size("2G", &value), 0);
    assert_true(value == INT64_C(2) << 30);
    assert_int_equal(pyd_spec_parse_size("off", &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(pyd_spec_parse_time("250us", &value), 0);
    assert_int_equal(value, 250);
    assert_int_equal(pyd_spec_parse_time("2m", &value), 0);
    assert_int_equal(value, 120 * SECOND);
    value = 7;
    assert_int_equal(pyd_spec_parse_size("", &value), EINVAL);
    assert_int_equal(pyd_spec_parse_size("K", &value), EINVAL);
    assert_int_equal(pyd_spec_parse_size("1KK", &value), EINVAL);
    assert_int_equal(pyd_spec_parse_size("9223372036854775808", &value), EINVAL);
    assert_int_equal(pyd_spec_parse_time("1.5s", &value), EINVAL);
    assert_int_equal(pyd_spec_parse_time("", &value), EINVAL);
    assert_int_equal(value, 7);
}

static void test_cpus(void **state)
{
    (void)state;
    assert_int_equal(pyd_spec_cpus(8, -1, 0), 8);
    assert_int_equal(pyd_spec_cpus(8, 200000, 100000), 2);
    assert_int_equal(pyd_spec_cpus(8, 150000, 100000), 2);
    assert_int_equal(pyd_spec_cpus(8, 50000, 100000), 1);
    assert_int_equal(pyd_spec_cpus(2, 900000, 100000), 2);
    assert_int_equal(pyd_spec_cpus(0, -1, 100000), 1);
    assert_int_equal(pyd_spec_cpus(4, INT64_MAX, 1), 4);
}

static void test_done_twice(void **state)
{
    struct pyd_spec spec;

    (void)state;
    make(&spec, NULL);
    pyd_spec_done(&spec);
    pyd_spec_done(&spec);
    pyd_spec_done(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_every_option_is_set),
        cmocka_unit_test(test_limits_are_set),
        cmocka_unit_test(test_limits_are_off),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_bad_limits),
        cmocka_unit_test(test_long_garbage_is_cut),
        cmocka_unit_test(test_env_last_one_counts),
        cmocka_unit_test(test_validate),
        cmocka_unit_test(test_validate_limits),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_text_defaults_are_one_line),
        cmocka_unit_test(test_text_round_trip),
        cmocka_unit_test(test_text_round_trip_of_limits),
        cmocka_unit_test(test_text_garbage),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_sizes_and_times),
        cmocka_unit_test(test_cpus),
        cmocka_unit_test(test_done_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
