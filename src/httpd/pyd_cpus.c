/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_cpus.h"

#include <limits.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pyd_spec.h"

static int read_line(const char *directory, const char *name, char *line, size_t size)
{
    char path[PATH_MAX];
    FILE *file;
    int got;

    if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
        return 0;
    file = fopen(path, "re");
    if (!file)
        return 0;
    got = fgets(line, (int)size, file) != NULL;
    fclose(file);
    return got;
}

/* The quota set in one directory: cpu.max of version 2, cpu.cfs_* of version 1. "max" and -1 mean none. */
static int limit_of(int cpus, const char *directory)
{
    char line[80], period_line[80];
    long long quota, period;

    if (read_line(directory, "cpu.max", line, sizeof(line))) {
        if (sscanf(line, "%lld %lld", &quota, &period) == 2)
            return pyd_spec_cpus(cpus, quota, period);
    } else if (read_line(directory, "cpu.cfs_quota_us", line, sizeof(line)) &&
               read_line(directory, "cpu.cfs_period_us", period_line, sizeof(period_line))) {
        if (sscanf(line, "%lld", &quota) == 1 && sscanf(period_line, "%lld", &period) == 1)
            return pyd_spec_cpus(cpus, quota, period);
    }
    return cpus;
}

/* The smallest quota from root/path up to root. In a container without its own cgroup namespace path is the host's:
 * what does not exist limits nothing. */
static int limit_of_path(int cpus, const char *root, const char *path)
{
    char directory[PATH_MAX];
    size_t root_size = strlen(root);
    char *slash;

    if (snprintf(directory, sizeof(directory), "%s%s", root, path) >= (int)sizeof(directory))
        return cpus;
    for (;;) {
        cpus = limit_of(cpus, directory);
        slash = strrchr(directory, '/');
        if (!slash || (size_t)(slash - directory) < root_size)
            return cpus;
        *slash = '\0';
    }
}

/* A line of /proc/self/cgroup: "0::/a/b" of version 2, or "4:cpu,cpuacct:/a/b" of version 1. */
static int limit_of_line(int cpus, const char *root, char *line)
{
    char *controllers = strchr(line, ':'), *path, *word, *rest, directory[PATH_MAX];

    line[strcspn(line, "\n")] = '\0';
    path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path)
        return cpus;
    *controllers++ = '\0';
    *path++ = '\0';
    if (!*controllers)
        return limit_of_path(cpus, root, path);
    /* Mounted under the list's name or, by a link, under "cpu". */
    for (word = strtok_r(controllers, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        if (strcmp(word, "cpu") == 0 && snprintf(directory, sizeof(directory), "%s/cpu", root) < (int)sizeof(directory))
            return limit_of_path(cpus, directory, path);
    }
    return cpus;
}

int pyd_cpus_limit(int affinity, const char *cgroup_file, const char *cgroup_root)
{
    int cpus = pyd_spec_cpus(affinity, -1, 0);
    FILE *file = fopen(cgroup_file, "re");
    char line[PATH_MAX];

    if (!file)
        return limit_of(cpus, cgroup_root);
    while (fgets(line, sizeof(line), file))
        cpus = limit_of_line(cpus, cgroup_root, line);
    fclose(file);
    return cpus;
}

int pyd_cpus_available(void)
{
    cpu_set_t set;
    long online;
    int affinity;

    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        affinity = CPU_COUNT(&set);
    } else {
        online = sysconf(_SC_NPROCESSORS_ONLN);
        affinity = online > 0 && online < INT_MAX ? (int)online : 1;
    }
    return pyd_cpus_limit(affinity, "/proc/self/cgroup", "/sys/fs/cgroup");
}
