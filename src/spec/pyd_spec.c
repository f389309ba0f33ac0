/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_spec_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A message names the value; a long one is cut, for error has an end. */
#define SHOWN_MAX 120

/* The most request threads of a group: its claims are scanned by every request. */
#define GROUP_THREADS_MAX 16384

static int is_list(const struct pyd_spec_option *option)
{
    return option->type == PYD_SPEC_PATHS || option->type == PYD_SPEC_ENV;
}

int pyd_spec_init(struct pyd_spec *spec, const char *name)
{
    const struct pyd_spec_option *option;
    int rv;

    memset(spec, 0, sizeof(*spec));
    for (size_t i = 0; (option = pyd_spec_option_at(i)); i++) {
        if (option->type == PYD_SPEC_TEXT) {
            rv = pyd_spec_assign(pyd_spec_value_field(option, spec), option->initial_text);
            if (rv)
                goto leave;
        } else if (!is_list(option) && option->type != PYD_SPEC_APPS) {
            pyd_spec_value_set_number(option, spec, option->initial);
        }
    }
    rv = pyd_spec_assign(&spec->name, name);

leave:
    if (rv)
        pyd_spec_done(spec);
    return rv;
}

void pyd_spec_done(struct pyd_spec *spec)
{
    const struct pyd_spec_option *option;

    if (!spec)
        return;
    for (size_t i = 0; (option = pyd_spec_option_at(i)); i++) {
        if (option->type == PYD_SPEC_TEXT)
            pyd_spec_assign(pyd_spec_value_field(option, spec), NULL);
        else if (is_list(option))
            pyd_spec_strings_clear(pyd_spec_value_field(option, spec));
    }
    for (size_t i = 0; i < spec->app_count; i++) {
        free(spec->apps[i].target);
        free(spec->apps[i].callable);
    }
    free(spec->apps);
    memset(spec, 0, sizeof(*spec));
}

int pyd_spec_assign(char **field, const char *value)
{
    char *copy = NULL;

    if (value) {
        copy = strdup(value);
        if (!copy)
            return ENOMEM;
    }
    free(*field);
    *field = copy;
    return 0;
}

static int fail_unknown(const char *assignment, size_t key_size, char *error, size_t size)
{
    const char *nearest = pyd_spec_option_nearest(assignment, key_size);
    int shown = key_size < SHOWN_MAX ? (int)key_size : SHOWN_MAX;

    if (!key_size)
        return pyd_spec_fail(error, size, "'%.*s' is not an option; write OPTION=VALUE.", SHOWN_MAX, assignment);
    if (nearest)
        return pyd_spec_fail(error, size, "there is no option '%.*s'; did you mean '%s'?", shown, assignment, nearest);
    return pyd_spec_fail(error, size, "there is no option '%.*s'.", shown, assignment);
}

int pyd_spec_set(struct pyd_spec *spec, const char *assignment, char *error, size_t size)
{
    size_t key_size = strcspn(assignment, "=");
    const struct pyd_spec_option *option = pyd_spec_option_find(assignment, key_size);
    char accepts[160];
    int rv;

    if (!option || pyd_spec_option_is_internal(option))
        return fail_unknown(assignment, key_size, error, size);
    pyd_spec_option_accepts(option, accepts, sizeof(accepts));
    if (!assignment[key_size])
        return pyd_spec_fail(error, size, "option '%s' needs a value: %s=VALUE, with %s", option->key, option->key,
                             accepts);
    rv = pyd_spec_value_set(option, spec, assignment + key_size + 1);
    if (rv == EINVAL)
        return pyd_spec_fail(error, size, "%.*s=%.*s: must be %s", (int)key_size, assignment, SHOWN_MAX,
                             assignment + key_size + 1, accepts);
    return rv;
}

/* A limit that another one always forestalls is a mistake, in one number or in the other. */
static int validate_order(const struct pyd_spec *spec, char *error, size_t size)
{
    char lower[32], upper[32];

    if (spec->memory_limit_bytes && spec->memory_hard_limit_bytes &&
        spec->memory_hard_limit_bytes < spec->memory_limit_bytes) {
        pyd_spec_format_size(spec->memory_hard_limit_bytes, lower, sizeof(lower));
        pyd_spec_format_size(spec->memory_limit_bytes, upper, sizeof(upper));
        return pyd_spec_fail(error, size, "memory-hard-limit=%s is below memory-limit=%s: workers would be killed "
                             "before they could be replaced; it must be above it, or off", lower, upper);
    }
    if (spec->slow_request_us && spec->request_timeout_us && spec->slow_request_us >= spec->request_timeout_us) {
        pyd_spec_format_time(spec->slow_request_us, upper, sizeof(upper));
        pyd_spec_format_time(spec->request_timeout_us, lower, sizeof(lower));
        return pyd_spec_fail(error, size, "slow-request=%s is not below request-timeout=%s: no request would get that "
                             "far; it must be below it, or off", upper, lower);
    }
    return 0;
}

int pyd_spec_validate(const struct pyd_spec *spec, char *error, size_t size)
{
    if ((int64_t)spec->processes * spec->threads > GROUP_THREADS_MAX)
        return pyd_spec_fail(error, size, "processes=%d times threads=%d makes %lld request threads; at most %d "
                             "can be had", spec->processes, spec->threads, (long long)spec->processes * spec->threads,
                             GROUP_THREADS_MAX);
    /* A connection for each request thread, the worker's own descriptors, and some for the application. */
    if (spec->open_files && spec->open_files < spec->threads + 64)
        return pyd_spec_fail(error, size, "open-files=%lld is too few for threads=%d: at least %d are needed",
                             (long long)spec->open_files, spec->threads, spec->threads + 64);
    return validate_order(spec, error, size);
}

int pyd_spec_check_name(const char *name, char *error, size_t size)
{
    size_t length = strlen(name);
    size_t good = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.");

    if (!length || length >= PYD_SPEC_NAME_MAX || good != length || *name == '-' || *name == '.')
        return pyd_spec_fail(error, size,
                             "'%.*s' is not a name for a process group: 1 to %d letters, digits, '_', '-', '.', "
                             "not beginning with '-' or '.'",
                             SHOWN_MAX, name, PYD_SPEC_NAME_MAX - 1);
    return 0;
}

void pyd_spec_resolve_auto(struct pyd_spec *spec, int cpus)
{
    if (spec->processes == 0)
        spec->processes = cpus > 0 ? cpus : 1;
}

static int same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

int pyd_spec_add_app(struct pyd_spec *spec, const char *target, const char *callable)
{
    struct pyd_spec_app *apps, *app;

    for (size_t i = 0; i < spec->app_count; i++) {
        if (same_text(spec->apps[i].target, target) && same_text(spec->apps[i].callable, callable))
            return 0;
    }
    apps = realloc(spec->apps, (spec->app_count + 1) * sizeof(*apps));
    if (!apps)
        return ENOMEM;
    spec->apps = apps;
    app = &apps[spec->app_count];
    memset(app, 0, sizeof(*app));
    if (pyd_spec_assign(&app->target, target) || pyd_spec_assign(&app->callable, callable)) {
        free(app->target);
        return ENOMEM;
    }
    spec->app_count++;
    return 0;
}
