/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_SPEC_H
#define PYD_SPEC_H

#include <stddef.h>
#include <stdint.h>

/**
 * All settings of one process group: the options of PyDaemonProcess.
 *
 * Every option is one row of the table in src/spec/pyd_spec_table.c, from which
 * the directive's parser, the text form, the manual (docs/options.md) and the
 * tests are made. Pure: no I/O; what must be looked up on the machine (users,
 * files, interpreters) is src/httpd's business, before and after.
 *
 * The text form ("key=value\n" lines, values escaped) is how a group's settings
 * reach the board, the manager and the worker: plain data, no pointers. Lines a
 * program must know but no user may set begin with a dot (".uid=33").
 */

#define PYD_SPEC_NAME_MAX 64

struct pyd_strings { /* owned, NULL-safe list */
    char **items;
    size_t count;
};

/** An application loaded when the group's workers start. */
struct pyd_spec_app {
    char *target;
    char *callable;
};

struct pyd_spec {
    char *name;
    int processes; /* 0: auto, until resolved by pyd_spec_resolve_auto() */
    int threads;
    char *user, *group, *supplementary_groups; /* as written; NULL: httpd's */
    int umask;                                 /* -1: inherited */
    char *home;
    char *python; /* interpreter or virtual environment, NULL: build's default */
    struct pyd_strings python_path;
    struct pyd_strings env; /* KEY=VALUE each */
    char *env_file;
    char *lang, *locale;
    char *display_name; /* NULL: "(pydaemon:NAME)" */
    int64_t request_timeout_us; /* 0, here and below: off */
    int64_t queue_timeout_us;
    int queue_limit;
    int64_t startup_timeout_us;
    int64_t deadlock_timeout_us;
    int64_t graceful_timeout_us;
    int64_t shutdown_timeout_us;
    int64_t inactivity_timeout_us;
    int maximum_requests;
    int maximum_requests_jitter; /* percent */
    int64_t restart_interval_us;
    int restart_interval_jitter; /* percent */
    int64_t memory_limit_bytes, memory_hard_limit_bytes; /* private resident memory */
    int64_t cpu_time_limit_us;
    int64_t slow_request_us;
    int64_t socket_timeout_us; /* 0: httpd's Timeout */
    int cpu_priority;          /* nice value; PYD_SPEC_UNSET: off */
    int64_t stack_bytes;       /* 0: system's */
    int64_t open_files;        /* 0: off */
    int64_t core_bytes;        /* -1: off */

    /* Resolved by src/httpd, never by a user; dotted lines of the text form. */
    int64_t uid, gid;        /* -1: keep the caller's (httpd is not root) */
    char *groups;            /* numeric supplementary ids "4,24", "" for none; NULL: keep */
    char *user_name;         /* for USER and LOGNAME; NULL if unknown */
    char *home_dir;          /* working directory and HOME; NULL: "/" */
    char *python_executable; /* what PyConfig.executable becomes; NULL: build's default */
    char *server_root;       /* relative paths are relative to it */
    struct pyd_spec_app *apps;
    size_t app_count;
};

#define PYD_SPEC_UNSET (-1000)

/** Set every field to its default. name is copied; NULL allowed (text form sets it). @return 0 or ENOMEM */
int pyd_spec_init(struct pyd_spec *spec, const char *name);
/** Free the contents. NULL-safe, half-built objects too. */
void pyd_spec_done(struct pyd_spec *spec);

/**
 * Set one option from the text of httpd.conf, "key=value".
 * @param error room for a message of at most size bytes that names the option, the value and what would be right
 * @return 0, EINVAL (error is filled in), or ENOMEM
 */
int pyd_spec_set(struct pyd_spec *spec, const char *assignment, char *error, size_t size);

/** Rules that involve several options. Same returns. */
int pyd_spec_validate(const struct pyd_spec *spec, char *error, size_t size);

/** A group's name: 1 to 63 of letters, digits, '_', '-', '.'; not starting with '-' or '.'. Returns as above */
int pyd_spec_check_name(const char *name, char *error, size_t size);

/** Replace processes=auto by cpus (at least 1). */
void pyd_spec_resolve_auto(struct pyd_spec *spec, int cpus);

/** Add an application to load at start; duplicates are ignored. Copies. @return 0 or ENOMEM */
int pyd_spec_add_app(struct pyd_spec *spec, const char *target, const char *callable);

/** Replace an owned string field by a copy of value (NULL allowed). @return 0 or ENOMEM */
int pyd_spec_assign(char **field, const char *value);

/** Text form: returns owned, NUL-terminated, to be freed; NULL: out of memory. Only what is not default. */
char *pyd_spec_format(const struct pyd_spec *spec);
/** Inverse. spec must be initialised. @return 0, EINVAL (error says which line), ENOMEM */
int pyd_spec_parse(struct pyd_spec *spec, const char *text, char *error, size_t size);

/** The table, for manuals and tests: row i, or 0 past the last one. Strings are static. */
struct pyd_spec_row {
    const char *key, *alias; /* alias may be NULL */
    const char *type, *default_text, *help;
    char accepts[160]; /* what values are right, in words */
    int repeatable;    /* may be given more than once */
};
int pyd_spec_describe(size_t i, struct pyd_spec_row *ret_row);
/** Row of the option an assignment "key=value" is about, or -1. */
int pyd_spec_find(const char *assignment);

/* Checked parsing, for other directives too. 0 or EINVAL. Garbage, overflow and trailing bytes are errors. */
int pyd_spec_parse_size(const char *text, int64_t *ret_bytes);   /* 512, 64K, 2M, 1G; off = 0 */
int pyd_spec_parse_time(const char *text, int64_t *ret_us);      /* 250us, 1500ms, 5, 5s, 2m, 1h; off = 0 */
int pyd_spec_parse_count(const char *text, int64_t *ret_count);  /* 12, -3 */
int pyd_spec_parse_octal(const char *text, int64_t *ret_value);  /* 027 */

/** CPUs this process may really use: the smaller of affinity and cgroup quota, both read by the caller. PURE. */
int pyd_spec_cpus(int affinity, int64_t quota_us, int64_t period_us);

#endif
