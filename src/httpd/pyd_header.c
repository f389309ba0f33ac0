/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_header.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    enum pyd_header_kind kind;
} known[] = {
    {"Content-Type", PYD_HEADER_CONTENT_TYPE},
    {"Content-Length", PYD_HEADER_CONTENT_LENGTH},
    {"Date", PYD_HEADER_HTTPD},
    {"Server", PYD_HEADER_HTTPD},
    {"Status", PYD_HEADER_STATUS},
    {"WWW-Authenticate", PYD_HEADER_ERROR},
    {"Set-Cookie", PYD_HEADER_ERROR},
    {"Retry-After", PYD_HEADER_ERROR},
    {"Allow", PYD_HEADER_ERROR},
    /* RFC 2616 13.5.1, which PEP 3333 refers to, and Proxy-Connection */
    {"Connection", PYD_HEADER_HOP},
    {"Keep-Alive", PYD_HEADER_HOP},
    {"Proxy-Authenticate", PYD_HEADER_HOP},
    {"Proxy-Authorization", PYD_HEADER_HOP},
    {"Proxy-Connection", PYD_HEADER_HOP},
    {"TE", PYD_HEADER_HOP},
    {"Trailer", PYD_HEADER_HOP},
    {"Trailers", PYD_HEADER_HOP},
    {"Transfer-Encoding", PYD_HEADER_HOP},
    {"Upgrade", PYD_HEADER_HOP},
};

enum pyd_header_kind pyd_header_classify(const char *name, size_t size)
{
    size_t i;

    for (i = 0; i < sizeof(known) / sizeof(known[0]); ++i) {
        if (strlen(known[i].name) == size && strncasecmp(known[i].name, name, size) == 0)
            return known[i].kind;
    }
    return PYD_HEADER_PLAIN;
}

int pyd_header_early_ok(const char *name, size_t size)
{
    switch (pyd_header_classify(name, size)) {
    case PYD_HEADER_CONTENT_LENGTH:
    case PYD_HEADER_HTTPD:
    case PYD_HEADER_HOP:
    case PYD_HEADER_STATUS:
        return 0;
    case PYD_HEADER_PLAIN:
    case PYD_HEADER_CONTENT_TYPE:
    case PYD_HEADER_ERROR:
    default:
        return 1;
    }
}

/* Locale-free, unlike <ctype.h>. */
static int is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

int pyd_header_name_ok(const char *name, size_t size)
{
    size_t i;

    for (i = 0; i < size; ++i) {
        if (!is_alnum(name[i]) && (name[i] == '\0' || !strchr("!#$%&'*+-.^_`|~", name[i])))
            return 0;
    }
    return size > 0;
}

int pyd_header_value_ok(const char *value, size_t size)
{
    size_t i;

    for (i = 0; i < size; ++i) {
        unsigned char c = (unsigned char)value[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return 0;
    }
    return 1;
}

int pyd_header_parse_length(const char *value, size_t size, int64_t *ret_bytes)
{
    int64_t bytes = 0;
    size_t i = 0, digits = 0;

    while (size > 0 && (value[size - 1] == ' ' || value[size - 1] == '\t'))
        --size;
    while (i < size && (value[i] == ' ' || value[i] == '\t'))
        ++i;
    for (; i < size; ++i, ++digits) {
        if (value[i] < '0' || value[i] > '9' || bytes > (INT64_MAX - 9) / 10)
            return EINVAL;
        bytes = bytes * 10 + (value[i] - '0');
    }
    if (digits == 0)
        return EINVAL;
    *ret_bytes = bytes;
    return 0;
}

size_t pyd_header_environ_bytes(const char *name)
{
    return sizeof("HTTP_") + strlen(name);
}

int pyd_header_environ_name(const char *name, char *room)
{
    const char *c;
    char *at = room + 5;

    memcpy(room, "HTTP_", 5);
    for (c = name; *c; ++c) {
        if (*c == '-')
            *at++ = '_';
        else if (*c >= 'a' && *c <= 'z')
            *at++ = (char)(*c - 'a' + 'A');
        else if (is_alnum(*c))
            *at++ = *c;
        else
            return 0;
    }
    *at = '\0';
    return strcmp(room, "HTTP_PROXY") != 0;
}
