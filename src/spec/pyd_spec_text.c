/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_spec_table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Grows by doubling; a failed allocation sticks. */
struct text {
    char *data;
    size_t size, capacity;
    int failed;
};

static void add(struct text *text, const char *data, size_t size)
{
    if (text->failed)
        return;
    if (text->capacity - text->size <= size) {
        size_t capacity = 2 * text->capacity + size + 64;
        char *grown = realloc(text->data, capacity);

        if (!grown) {
            text->failed = 1;
            return;
        }
        text->data = grown;
        text->capacity = capacity;
    }
    memcpy(text->data + text->size, data, size);
    text->size += size;
    text->data[text->size] = '\0';
}

/* Newlines end a line and tabs separate the parts of a value, so both are escaped. */
static void add_escaped(struct text *text, const char *value)
{
    for (; *value; value++) {
        switch (*value) {
        case '\\':
            add(text, "\\\\", 2);
            break;
        case '\n':
            add(text, "\\n", 2);
            break;
        case '\t':
            add(text, "\\t", 2);
            break;
        default:
            add(text, value, 1);
        }
    }
}

static void add_line(struct text *text, const char *key, const char *value, const char *second)
{
    add(text, key, strlen(key));
    add(text, "=", 1);
    add_escaped(text, value);
    if (second) {
        add(text, "\t", 1);
        add_escaped(text, second);
    }
    add(text, "\n", 1);
}

static void add_number(struct text *text, const struct pyd_spec_option *option, int64_t value)
{
    char digits[32];

    if (value == option->initial)
        return;
    if ((option->flags & PYD_SPEC_FLAG_AUTO) && value == 0)
        snprintf(digits, sizeof(digits), "auto");
    else if ((option->flags & PYD_SPEC_FLAG_OFF) && value == option->off)
        snprintf(digits, sizeof(digits), "off");
    else if (option->type == PYD_SPEC_OCTAL)
        snprintf(digits, sizeof(digits), "%llo", (unsigned long long)value);
    else if (option->type == PYD_SPEC_TIME)
        snprintf(digits, sizeof(digits), "%lld%s", (long long)(value % 1000 ? value : value / 1000),
                 value % 1000 ? "us" : "ms");
    else
        snprintf(digits, sizeof(digits), "%lld", (long long)value);
    add_line(text, option->key, digits, NULL);
}

static void add_string(struct text *text, const struct pyd_spec_option *option, const char *value)
{
    if (value && (!option->initial_text || strcmp(value, option->initial_text) != 0))
        add_line(text, option->key, value, NULL);
}

char *pyd_spec_format(const struct pyd_spec *spec)
{
    struct text text = {0};
    const struct pyd_spec_option *option;

    add(&text, "", 0);
    for (size_t i = 0; (option = pyd_spec_option_at(i)); i++) {
        const void *field = (const char *)spec + option->offset;

        switch (option->type) {
        case PYD_SPEC_TEXT:
            add_string(&text, option, *(char *const *)field);
            break;
        case PYD_SPEC_PATHS:
        case PYD_SPEC_ENV:
            for (size_t n = 0; n < ((const struct pyd_strings *)field)->count; n++)
                add_line(&text, option->key, ((const struct pyd_strings *)field)->items[n], NULL);
            break;
        case PYD_SPEC_APPS:
            for (size_t n = 0; n < spec->app_count; n++)
                add_line(&text, option->key, spec->apps[n].target, spec->apps[n].callable);
            break;
        default:
            add_number(&text, option, pyd_spec_value_number(option, spec));
        }
    }
    if (text.failed) {
        free(text.data);
        return NULL;
    }
    return text.data;
}

/* Writes over value, which does not get longer. */
static int unescape(char *value)
{
    char *to = value;

    for (; *value; value++) {
        if (*value == '\\') {
            static const char NAMES[] = "\\nt", BYTES[] = "\\\n\t";
            const char *name = value[1] ? strchr(NAMES, value[1]) : NULL;

            if (!name)
                return EINVAL;
            *to++ = BYTES[name - NAMES];
            value++;
        } else {
            *to++ = *value;
        }
    }
    *to = '\0';
    return 0;
}

/* The parts of an .app line are unescaped one by one: an escaped tab is not the separator. */
static int restore_app_line(struct pyd_spec *spec, char *value)
{
    char *callable = strchr(value, '\t');

    if (callable)
        *callable++ = '\0';
    if (!*value || unescape(value) || (callable && unescape(callable)))
        return EINVAL;
    return pyd_spec_add_app(spec, value, callable);
}

/* One line, without its newline; written over. */
static int parse_line(struct pyd_spec *spec, char *line)
{
    size_t key_size = strcspn(line, "=");
    const struct pyd_spec_option *option = pyd_spec_option_find(line, key_size);
    char *value = line + key_size + 1;

    if (!option || !line[key_size])
        return EINVAL;
    if (option->type == PYD_SPEC_APPS)
        return restore_app_line(spec, value);
    if (unescape(value))
        return EINVAL;
    if (strcmp(option->key, ".name") == 0 && pyd_spec_check_name(value, NULL, 0))
        return EINVAL;
    return pyd_spec_value_restore(option, spec, value);
}

int pyd_spec_parse(struct pyd_spec *spec, const char *text, char *error, size_t size)
{
    char *line;
    int rv = 0;

    for (size_t number = 1; *text && !rv; number++) {
        size_t length = strcspn(text, "\n");

        line = strndup(text, length);
        if (!line)
            return ENOMEM;
        rv = length ? parse_line(spec, line) : 0;
        if (rv == EINVAL)
            pyd_spec_fail(error, size, "line %zu of the settings makes no sense: '%.*s'", number,
                          length < 120 ? (int)length : 120, text);
        free(line);
        text += length;
        text += *text == '\n';
    }
    return rv;
}
