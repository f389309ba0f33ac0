/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_spec_table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int pyd_spec_fail(char *error, size_t size, const char *format, ...)
{
    va_list args;

    if (error && size) {
        va_start(args, format);
        vsnprintf(error, size, format, args);
        va_end(args);
    }
    return EINVAL;
}

void *pyd_spec_value_field(const struct pyd_spec_option *option, struct pyd_spec *spec)
{
    return (char *)spec + option->offset;
}

int64_t pyd_spec_value_number(const struct pyd_spec_option *option, const struct pyd_spec *spec)
{
    const char *field = (const char *)spec + option->offset;
    int64_t wide;
    int narrow;

    if (option->bytes == sizeof(narrow)) {
        memcpy(&narrow, field, sizeof(narrow));
        return narrow;
    }
    memcpy(&wide, field, sizeof(wide));
    return wide;
}

void pyd_spec_value_set_number(const struct pyd_spec_option *option, struct pyd_spec *spec, int64_t value)
{
    int narrow = (int)value;

    if (option->bytes == sizeof(narrow))
        memcpy(pyd_spec_value_field(option, spec), &narrow, sizeof(narrow));
    else
        memcpy(pyd_spec_value_field(option, spec), &value, sizeof(value));
}

int pyd_spec_strings_add(struct pyd_strings *list, const char *data, size_t size)
{
    char **items = realloc(list->items, (list->count + 1) * sizeof(*items));

    if (!items)
        return ENOMEM;
    list->items = items;
    items[list->count] = strndup(data, size);
    if (!items[list->count])
        return ENOMEM;
    list->count++;
    return 0;
}

void pyd_spec_strings_clear(struct pyd_strings *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    list->items = NULL;
    list->count = 0;
}

static int read_number(enum pyd_spec_type type, const char *text, int64_t *ret_value)
{
    switch (type) {
    case PYD_SPEC_COUNT:
        return pyd_spec_parse_count(text, ret_value);
    case PYD_SPEC_SIZE:
        return pyd_spec_parse_size(text, ret_value);
    case PYD_SPEC_TIME:
        return pyd_spec_parse_time(text, ret_value);
    case PYD_SPEC_OCTAL:
        return pyd_spec_parse_octal(text, ret_value);
    default:
        return EINVAL;
    }
}

static int set_number(const struct pyd_spec_option *option, struct pyd_spec *spec, const char *text)
{
    int off = strcmp(text, "off") == 0;
    int64_t value = 0;

    if ((option->flags & PYD_SPEC_FLAG_AUTO) && strcmp(text, "auto") == 0) {
        value = 0;
    } else if ((option->flags & PYD_SPEC_FLAG_UNLIMITED) && strcmp(text, "unlimited") == 0) {
        value = option->max;
    } else {
        if (!off && read_number(option->type, text, &value))
            return EINVAL;
        /* 0 turns a limit off, unless it is a value like any other. */
        if ((option->flags & PYD_SPEC_FLAG_OFF) && (off || (value == 0 && option->min > 0)))
            value = option->off;
        else if (off || value < option->min || value > option->max)
            return EINVAL;
    }
    pyd_spec_value_set_number(option, spec, value);
    return 0;
}

static int set_env(struct pyd_strings *list, const char *text)
{
    size_t key = strcspn(text, "=");
    char *copy;

    if (!key || text[key] != '=' || strcspn(text, " \t\r\n") < key)
        return EINVAL;
    for (size_t i = 0; i < list->count; i++) {
        if (strncmp(list->items[i], text, key + 1) != 0)
            continue;
        copy = strdup(text);
        if (!copy)
            return ENOMEM;
        free(list->items[i]);
        list->items[i] = copy;
        return 0;
    }
    return pyd_spec_strings_add(list, text, strlen(text));
}

static int set_paths(struct pyd_strings *list, const char *text)
{
    const char *start = text;

    /* Look before anything is added: an empty part would mean "here", which nobody can want of a server. */
    if (!*text || *text == ':' || text[strlen(text) - 1] == ':' || strstr(text, "::"))
        return EINVAL;
    while (*start) {
        size_t size = strcspn(start, ":");

        if (pyd_spec_strings_add(list, start, size))
            return ENOMEM;
        start += size;
        start += *start == ':';
    }
    return 0;
}

/* Replace each %{GROUP} by "(pydaemon:NAME)". */
static int set_group_text(const struct pyd_spec *spec, char **field, const char *text)
{
    static const char VARIABLE[] = "%{GROUP}";
    const size_t variable_size = sizeof(VARIABLE) - 1;
    const char *found;
    size_t count = 0, name_size = strlen(spec->name) + strlen("(pydaemon:)");
    char *result, *at;

    for (found = text; (found = strstr(found, VARIABLE)); found += variable_size)
        count++;
    at = result = malloc(strlen(text) + count * name_size + 1);
    if (!result)
        return ENOMEM;
    while ((found = strstr(text, VARIABLE))) {
        memcpy(at, text, (size_t)(found - text));
        at += found - text;
        at += sprintf(at, "(pydaemon:%s)", spec->name);
        text = found + variable_size;
    }
    strcpy(at, text);
    free(*field);
    *field = result;
    return 0;
}

static int set_text(const struct pyd_spec_option *option, struct pyd_spec *spec, const char *text)
{
    if (!*text && !(option->flags & PYD_SPEC_FLAG_EMPTY))
        return EINVAL;
    return pyd_spec_assign(pyd_spec_value_field(option, spec), text);
}

int pyd_spec_value_set(const struct pyd_spec_option *option, struct pyd_spec *spec, const char *text)
{
    switch (option->type) {
    case PYD_SPEC_TEXT:
        if (*text && (option->flags & PYD_SPEC_FLAG_GROUP) && spec->name)
            return set_group_text(spec, pyd_spec_value_field(option, spec), text);
        return set_text(option, spec, text);
    case PYD_SPEC_PATHS:
        return set_paths(pyd_spec_value_field(option, spec), text);
    case PYD_SPEC_ENV:
        return set_env(pyd_spec_value_field(option, spec), text);
    case PYD_SPEC_APPS:
        return EINVAL;
    default:
        return set_number(option, spec, text);
    }
}

int pyd_spec_value_restore(const struct pyd_spec_option *option, struct pyd_spec *spec, const char *text)
{
    switch (option->type) {
    case PYD_SPEC_TEXT:
        return set_text(option, spec, text);
    case PYD_SPEC_PATHS:
        return *text ? pyd_spec_strings_add(pyd_spec_value_field(option, spec), text, strlen(text)) : EINVAL;
    default:
        return pyd_spec_value_set(option, spec, text);
    }
}
