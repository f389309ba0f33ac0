/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_spec_table.h"

#include <stdio.h>
#include <string.h>

#define FIELD(name) .offset = offsetof(struct pyd_spec, name), .bytes = sizeof(((struct pyd_spec *)0)->name)
#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)

/* The limits of processes and threads keep a group's board and descriptors (a dozen for each process) within what a
 * system gives; the longest times are there to catch a wrong unit. */
#define PROCESSES_MAX 1000
#define THREADS_MAX 1000
/* A waiter is one of httpd's threads, so no queue is longer than MaxRequestWorkers. */
#define QUEUE_MAX 10000
#define TIME_MAX (1000 * HOUR)
/* Workers show life once a second. */
#define DEADLOCK_MIN (2 * SECOND)

static const struct pyd_spec_option OPTIONS[] = {
    {"processes", NULL, PYD_SPEC_COUNT, PYD_SPEC_FLAG_AUTO, FIELD(processes), 1, 1, PROCESSES_MAX, 0, NULL, "1",
     "Worker processes. `auto`: as many as there are CPUs that this host or its cgroup really gives."},
    {"threads", NULL, PYD_SPEC_COUNT, 0, FIELD(threads), 15, 1, THREADS_MAX, 0, NULL, "15",
     "Request threads in each worker process."},
    {"user", NULL, PYD_SPEC_TEXT, 0, FIELD(user), 0, 0, 0, 0, NULL, "httpd's User",
     "User the workers run as: a name, or a number as `#1001`. Never root. httpd must run as root to choose another "
     "user than its own."},
    {"group", NULL, PYD_SPEC_TEXT, 0, FIELD(group), 0, 0, 0, 0, NULL,
     "httpd's Group",
     "Group the workers run as: a name, or a number as `#1001`. Never root's. The user's own group only if it is named "
     "here."},
    {"supplementary-groups", NULL, PYD_SPEC_TEXT, PYD_SPEC_FLAG_EMPTY, FIELD(supplementary_groups), 0, 0, 0, 0, NULL,
     "those of the user", "Further groups, separated by commas; empty for none."},
    {"umask", NULL, PYD_SPEC_OCTAL, 0, FIELD(umask), -1, 0, 0777, 0, NULL, "httpd's",
     "Permission bits that files created by the workers do not get."},
    {"home", NULL, PYD_SPEC_TEXT, 0, FIELD(home), 0, 0, 0, 0, NULL, "the user's home, if not httpd's own user",
     "Working directory, and HOME. First on `sys.path` for `module:callable` targets. Relative to ServerRoot."},
    {"python", "python-home", PYD_SPEC_TEXT, 0, FIELD(python), 0, 0, 0, 0, NULL, "build's default",
     "Interpreter or virtual environment: `/usr/bin/python3.13` or `/srv/app/venv`. Picks the matching "
     "`pydaemon-worker-X.Y`. It is looked at, never run."},
    {"python-path", NULL, PYD_SPEC_PATHS, 0, FIELD(python_path), 0, 0, 0, 0, NULL, "",
     "Directories added as `site.addsitedir` does, in front. Relative to ServerRoot. May be repeated."},
    {"env", NULL, PYD_SPEC_ENV, 0, FIELD(env), 0, 0, 0, 0, NULL, "",
     "One variable of the workers' `os.environ`: `env=KEY=VALUE`. May be repeated; of equal KEYs the last one counts. "
     "The workers do not inherit httpd's environment, but for PATH, TZ and LANG."},
    {"env-file", NULL, PYD_SPEC_TEXT, 0, FIELD(env_file), 0, 0, 0, 0, NULL, "",
     "File with KEY=VALUE lines, read whenever a worker starts; env= wins over it. Relative to ServerRoot."},
    {"lang", NULL, PYD_SPEC_TEXT, 0, FIELD(lang), 0, 0, 0, 0, "C.UTF-8", "C.UTF-8", "LANG of the workers."},
    {"locale", NULL, PYD_SPEC_TEXT, 0, FIELD(locale), 0, 0, 0, 0, "C.UTF-8", "C.UTF-8",
     "LC_ALL of the workers, which outweighs `lang`. Python's UTF-8 mode is on whatever it says."},
    {"display-name", NULL, PYD_SPEC_TEXT, PYD_SPEC_FLAG_GROUP, FIELD(display_name), 0, 0, 0, 0, NULL,
     "(pydaemon:NAME)",
     "Name in `ps`, followed by the worker's number and what it is doing. `%{GROUP}` stands for `(pydaemon:NAME)`."},
    {"request-timeout", NULL, PYD_SPEC_TIME, PYD_SPEC_FLAG_OFF, FIELD(request_timeout_us), 60 * SECOND, 1000, TIME_MAX,
     0, NULL, "60s", "Longest time a request may take once a thread has it; then 504, and its worker is replaced. Time "
     "in which the worker only waits for the client does not count."},
    {"queue-timeout", NULL, PYD_SPEC_TIME, PYD_SPEC_FLAG_OFF, FIELD(queue_timeout_us), 45 * SECOND, 1000, TIME_MAX, 0,
     NULL, "45s", "Longest wait of a request for a free thread; then 503 with Retry-After."},
    {"queue-limit", NULL, PYD_SPEC_COUNT, PYD_SPEC_FLAG_OFF, FIELD(queue_limit), 100, 1, QUEUE_MAX, QUEUE_MAX, NULL,
     "100", "Most requests waiting for a free thread; beyond it 503 with Retry-After. `off`: the highest number."},
    {"startup-timeout", NULL, PYD_SPEC_TIME, PYD_SPEC_FLAG_OFF, FIELD(startup_timeout_us), 60 * SECOND, 1000, TIME_MAX,
     0, NULL, "60s", "From the start of a worker to its applications being imported."},
    {"deadlock-timeout", NULL, PYD_SPEC_TIME, PYD_SPEC_FLAG_OFF, FIELD(deadlock_timeout_us), 60 * SECOND,
     DEADLOCK_MIN, TIME_MAX, 0, NULL, "60s", "How long Python's global lock (GIL) may not be had in a living worker, "
     "or a worker may show no sign of life; then it is killed and replaced."},
    {"graceful-timeout", NULL, PYD_SPEC_TIME, PYD_SPEC_FLAG_OFF, FIELD(graceful_timeout_us), 30 * SECOND, 1000,
     TIME_MAX, 0, NULL, "30s", "How long a worker that is being replaced may finish its requests. It takes no new "
     "ones."},
    {"shutdown-timeout", NULL, PYD_SPEC_TIME, 0, FIELD(shutdown_timeout_us), 5 * SECOND, 1000, HOUR, 0, NULL, "5s",
     "How long a worker may take to exit once told to; then SIGKILL. It cannot be off: no worker outlives httpd."},
    {"inactivity-timeout", NULL, PYD_SPEC_TIME, PYD_SPEC_FLAG_OFF, FIELD(inactivity_timeout_us), 0, 1000, TIME_MAX, 0,
     NULL, "off", "Stop workers that have had no request for so long; the next request starts one."},
    {"maximum-requests", NULL, PYD_SPEC_COUNT, PYD_SPEC_FLAG_OFF, FIELD(maximum_requests), 0, 1, INT32_MAX, 0, NULL,
     "off", "Replace a worker after so many requests."},
    {"maximum-requests-jitter", NULL, PYD_SPEC_COUNT, PYD_SPEC_FLAG_OFF, FIELD(maximum_requests_jitter), 10, 0, 50, 0,
     NULL, "10", "Percent by which maximum-requests differs from worker to worker, so that they do not go together."},
    {"restart-interval", NULL, PYD_SPEC_TIME, PYD_SPEC_FLAG_OFF, FIELD(restart_interval_us), 0, 1000, TIME_MAX, 0, NULL,
     "off", "Replace a worker that is so old."},
    {"restart-interval-jitter", NULL, PYD_SPEC_COUNT, PYD_SPEC_FLAG_OFF, FIELD(restart_interval_jitter), 10, 0, 50, 0,
     NULL, "10", "The same for restart-interval."},
    {"memory-limit", NULL, PYD_SPEC_SIZE, PYD_SPEC_FLAG_OFF, FIELD(memory_limit_bytes), 0, INT64_C(1) << 20, INT64_MAX,
     0, NULL, "off", "Replace a worker whose private resident memory exceeds this: all but files it has mapped and "
     "shared memory. The log names the requests under which it grew."},
    {"memory-hard-limit", NULL, PYD_SPEC_SIZE, PYD_SPEC_FLAG_OFF, FIELD(memory_hard_limit_bytes), 0, INT64_C(1) << 20,
     INT64_MAX, 0, NULL, "off", "Kill a worker at once that exceeds this."},
    {"cpu-time-limit", NULL, PYD_SPEC_TIME, PYD_SPEC_FLAG_OFF, FIELD(cpu_time_limit_us), 0, 1000, TIME_MAX, 0, NULL,
     "off", "Replace a worker that has used so much CPU time."},
    {"slow-request", NULL, PYD_SPEC_TIME, PYD_SPEC_FLAG_OFF, FIELD(slow_request_us), 0, 1000, TIME_MAX, 0, NULL, "off",
     "Log a request that takes longer, once, with the stack of its thread; it goes on."},
    {"socket-timeout", NULL, PYD_SPEC_TIME, PYD_SPEC_FLAG_OFF, FIELD(socket_timeout_us), 0, 1000, TIME_MAX,
     TIME_MAX, NULL, "httpd's Timeout", "Longest wait for the client when its body is read or the response is sent. "
     "For HTTP/2, httpd's own H2StreamTimeout counts."},
    {"cpu-priority", NULL, PYD_SPEC_COUNT, PYD_SPEC_FLAG_OFF, FIELD(cpu_priority), PYD_SPEC_UNSET, -20, 19,
     PYD_SPEC_UNSET, NULL, "off", "Nice value of the workers; below 0 needs root."},
    /* Less than 256K: CPython overflows the C stack in ordinary code. */
    {"stack-size", NULL, PYD_SPEC_SIZE, PYD_SPEC_FLAG_OFF, FIELD(stack_bytes), 0, INT64_C(256) << 10, INT64_C(1) << 30,
     0, NULL, "off", "Stack of each request thread. `off`: the system's default."},
    {"open-files", NULL, PYD_SPEC_COUNT, PYD_SPEC_FLAG_OFF, FIELD(open_files), 0, 65, 1 << 20, 0, NULL, "off",
     "Most descriptors a worker may open (RLIMIT_NOFILE), at least 64 more than threads. `off`: httpd's limit."},
    {"core-size", NULL, PYD_SPEC_SIZE, PYD_SPEC_FLAG_OFF | PYD_SPEC_FLAG_UNLIMITED, FIELD(core_bytes), -1, 0, INT64_MAX,
     -1, NULL, "off", "Largest core file of a worker (RLIMIT_CORE). `off`: httpd's limit; 0: none."},
};

/* What src/httpd resolved; dotted lines of the text form. */
static const struct pyd_spec_option RESOLVED[] = {
    {".name", NULL, PYD_SPEC_TEXT, 0, FIELD(name), 0, 0, 0, 0, NULL, "", ""},
    {".uid", NULL, PYD_SPEC_COUNT, 0, FIELD(uid), -1, 0, UINT32_MAX - 1, 0, NULL, "", ""},
    {".gid", NULL, PYD_SPEC_COUNT, 0, FIELD(gid), -1, 0, UINT32_MAX - 1, 0, NULL, "", ""},
    {".groups", NULL, PYD_SPEC_TEXT, PYD_SPEC_FLAG_EMPTY, FIELD(groups), 0, 0, 0, 0, NULL, "", ""},
    {".user-name", NULL, PYD_SPEC_TEXT, PYD_SPEC_FLAG_EMPTY, FIELD(user_name), 0, 0, 0, 0, NULL, "", ""},
    {".home-dir", NULL, PYD_SPEC_TEXT, PYD_SPEC_FLAG_EMPTY, FIELD(home_dir), 0, 0, 0, 0, NULL, "", ""},
    {".python-executable", NULL, PYD_SPEC_TEXT, PYD_SPEC_FLAG_EMPTY, FIELD(python_executable), 0, 0, 0, 0, NULL,
     "", ""},
    {".server-root", NULL, PYD_SPEC_TEXT, PYD_SPEC_FLAG_EMPTY, FIELD(server_root), 0, 0, 0, 0, NULL, "", ""},
    {".app", NULL, PYD_SPEC_APPS, 0, FIELD(apps), 0, 0, 0, 0, NULL, "", ""},
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

const struct pyd_spec_option *pyd_spec_option_at(size_t i)
{
    if (i < COUNT_OF(OPTIONS))
        return &OPTIONS[i];
    i -= COUNT_OF(OPTIONS);
    return i < COUNT_OF(RESOLVED) ? &RESOLVED[i] : NULL;
}

int pyd_spec_option_is_internal(const struct pyd_spec_option *option)
{
    return option->key[0] == '.';
}

static int equals(const char *name, const char *key, size_t size)
{
    return name && strlen(name) == size && memcmp(name, key, size) == 0;
}

const struct pyd_spec_option *pyd_spec_option_find(const char *key, size_t size)
{
    const struct pyd_spec_option *option;

    for (size_t i = 0; (option = pyd_spec_option_at(i)); i++) {
        if (equals(option->key, key, size) || equals(option->alias, key, size))
            return option;
    }
    return NULL;
}

#define NEAREST_KEY_MAX 40

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static char fold(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c == '_' ? '-' : c;
}

/* Levenshtein distance, case and '_' for '-' not counting. */
static size_t distance(const char *name, const char *key, size_t size)
{
    size_t row[NEAREST_KEY_MAX + 1], length = strlen(name);

    for (size_t j = 0; j <= size; j++)
        row[j] = j;
    for (size_t i = 1; i <= length; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= size; j++) {
            size_t above = row[j];
            size_t replaced = diagonal + (fold(name[i - 1]) != fold(key[j - 1]));

            row[j] = least(replaced, least(above, row[j - 1]) + 1);
            diagonal = above;
        }
    }
    return row[size];
}

const char *pyd_spec_option_nearest(const char *key, size_t size)
{
    const char *nearest = NULL;
    size_t best = size / 2; /* more than half of it wrong: no resemblance */

    if (size > NEAREST_KEY_MAX)
        return NULL;
    for (size_t i = 0; i < COUNT_OF(OPTIONS); i++) {
        const char *names[] = {OPTIONS[i].key, OPTIONS[i].alias};

        for (size_t n = 0; n < 2 && names[n]; n++) {
            size_t d = distance(names[n], key, size);

            if (d < best || (d == best && !nearest)) {
                best = d;
                nearest = names[n];
            }
        }
    }
    return nearest;
}

void pyd_spec_format_time(int64_t us, char *text, size_t size)
{
    static const struct {
        int64_t us;
        const char *unit;
    } UNITS[] = {{HOUR, "h"}, {60 * SECOND, "m"}, {SECOND, "s"}, {1000, "ms"}};

    for (size_t i = 0; i < COUNT_OF(UNITS); i++) {
        if (us % UNITS[i].us == 0) {
            snprintf(text, size, "%lld%s", (long long)(us / UNITS[i].us), UNITS[i].unit);
            return;
        }
    }
    snprintf(text, size, "%lldus", (long long)us);
}

void pyd_spec_format_size(int64_t bytes, char *text, size_t size)
{
    static const char UNITS[] = "GMK";

    for (int i = 0; UNITS[i]; i++) {
        int64_t unit = INT64_C(1) << (30 - 10 * i);

        if (bytes && bytes % unit == 0) {
            snprintf(text, size, "%lld%c", (long long)(bytes / unit), UNITS[i]);
            return;
        }
    }
    snprintf(text, size, "%lld", (long long)bytes);
}

void pyd_spec_option_accepts(const struct pyd_spec_option *option, char *text, size_t size)
{
    const char *words[] = {option->flags & PYD_SPEC_FLAG_AUTO ? ", or auto" : "",
                           option->flags & PYD_SPEC_FLAG_UNLIMITED ? ", unlimited" : "",
                           option->flags & PYD_SPEC_FLAG_OFF ? ", or off" : ""};
    char low[32], high[32], kind[120] = "";

    switch (option->type) {
    case PYD_SPEC_COUNT:
        snprintf(kind, sizeof(kind), "a whole number from %lld to %lld", (long long)option->min,
                 (long long)option->max);
        break;
    case PYD_SPEC_SIZE:
        pyd_spec_format_size(option->min, low, sizeof(low));
        pyd_spec_format_size(option->max, high, sizeof(high));
        if (option->max < INT64_MAX)
            snprintf(kind, sizeof(kind), "a size as 64K, 16M, 1G, from %s to %s", low, high);
        else if (option->min > 0)
            snprintf(kind, sizeof(kind), "a size as 64M, 1G, at least %s", low);
        else
            snprintf(kind, sizeof(kind), "a size in bytes, or as 64K, 16M, 1G");
        break;
    case PYD_SPEC_TIME:
        pyd_spec_format_time(option->min, low, sizeof(low));
        pyd_spec_format_time(option->max, high, sizeof(high));
        snprintf(kind, sizeof(kind), "a time as 500ms, 30 (seconds), 5m, 1h, from %s to %s", low, high);
        break;
    case PYD_SPEC_OCTAL:
        snprintf(kind, sizeof(kind), "an octal number from 0 to %llo, as 027", (unsigned long long)option->max);
        break;
    case PYD_SPEC_TEXT:
        snprintf(kind, sizeof(kind), option->flags & PYD_SPEC_FLAG_EMPTY ? "text" : "text, not empty");
        break;
    case PYD_SPEC_PATHS:
        snprintf(kind, sizeof(kind), "directories with ':' between them");
        break;
    case PYD_SPEC_ENV:
        snprintf(kind, sizeof(kind), "KEY=VALUE");
        break;
    case PYD_SPEC_APPS:
        break;
    }
    snprintf(text, size, "%s%s%s%s", kind, words[0], words[1], words[2]);
}

int pyd_spec_describe(size_t i, struct pyd_spec_row *ret_row)
{
    static const char *const TYPES[] = {[PYD_SPEC_COUNT] = "count", [PYD_SPEC_SIZE] = "size",
                                        [PYD_SPEC_TIME] = "time",   [PYD_SPEC_OCTAL] = "octal",
                                        [PYD_SPEC_TEXT] = "text",   [PYD_SPEC_PATHS] = "directories",
                                        [PYD_SPEC_ENV] = "KEY=VALUE", [PYD_SPEC_APPS] = ""};
    const struct pyd_spec_option *option;

    if (i >= COUNT_OF(OPTIONS))
        return 0;
    option = &OPTIONS[i];
    ret_row->key = option->key;
    ret_row->alias = option->alias;
    ret_row->type = TYPES[option->type];
    ret_row->default_text = option->default_text;
    ret_row->help = option->help;
    ret_row->repeatable = option->type == PYD_SPEC_PATHS || option->type == PYD_SPEC_ENV;
    pyd_spec_option_accepts(option, ret_row->accepts, sizeof(ret_row->accepts));
    return 1;
}

int pyd_spec_find(const char *assignment)
{
    const struct pyd_spec_option *option = pyd_spec_option_find(assignment, strcspn(assignment, "="));

    if (!option || pyd_spec_option_is_internal(option))
        return -1;
    return (int)(option - OPTIONS);
}
