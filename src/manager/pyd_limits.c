/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_limits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static int note(int failed, const char *option, long long value, char *error, size_t size)
{
    int rv = errno;

    if (failed == 0)
        return 0;
    snprintf(error, size, "%s=%lld: %s", option, value, strerror(rv));
    return rv;
}

/* What setrlimit(2) calls its first argument: an enumeration in glibc, int in musl. */
#ifdef __GLIBC__
typedef __rlimit_resource_t pyd_rlimit_resource;
#else
typedef int pyd_rlimit_resource;
#endif

/* Root sets both limits; others may go up to the hard one. */
static int set_limit(pyd_rlimit_resource resource, int64_t value)
{
    rlim_t wanted = value == INT64_MAX ? RLIM_INFINITY : (rlim_t)value; /* "unlimited" is the option's maximum */
    struct rlimit limit = {.rlim_cur = wanted, .rlim_max = wanted};
    struct rlimit present;

    if (setrlimit(resource, &limit) == 0)
        return 0;
    if (getrlimit(resource, &present) == 0 && present.rlim_max < limit.rlim_cur) {
        present.rlim_cur = present.rlim_max;
        setrlimit(resource, &present);
        errno = EPERM;
    }
    return -1;
}

int pyd_limits_apply(const struct pyd_spec *spec, char *error, size_t size)
{
    int rv = 0, failed;

    if (spec->cpu_priority != PYD_SPEC_UNSET)
        rv = note(setpriority(PRIO_PROCESS, 0, spec->cpu_priority), "cpu-priority", spec->cpu_priority, error, size);
    if (spec->open_files > 0) {
        failed = set_limit(RLIMIT_NOFILE, spec->open_files);
        if (!rv)
            rv = note(failed, "open-files", (long long)spec->open_files, error, size);
    }
    if (spec->core_bytes >= 0) {
        failed = set_limit(RLIMIT_CORE, spec->core_bytes);
        if (!rv)
            rv = note(failed, "core-size", (long long)spec->core_bytes, error, size);
    }
    return rv;
}
