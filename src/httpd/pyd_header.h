/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_HEADER_H
#define PYD_HEADER_H

#include <stddef.h>
#include <stdint.h>

/** Rules for HTTP header fields in both directions. Pure. Names and values need no NUL at their end unless it says so.
 */
enum pyd_header_kind {
    PYD_HEADER_PLAIN,
    PYD_HEADER_CONTENT_TYPE,
    PYD_HEADER_CONTENT_LENGTH,
    PYD_HEADER_HTTPD,  /* httpd writes its own: Date, Server */
    PYD_HEADER_HOP,    /* hop-by-hop: forbidden to applications by PEP 3333 */
    PYD_HEADER_STATUS, /* a CGI relic, forbidden too */
    PYD_HEADER_ERROR   /* also belongs to an error page that replaces the application's */
};

/** What a response header is. */
enum pyd_header_kind pyd_header_classify(const char *name, size_t size);

/** True if early hints (103) may have it: not what says where a message ends, nor what httpd writes itself. */
int pyd_header_early_ok(const char *name, size_t size);

/** True if it is a token of RFC 9110 5.6.2. */
int pyd_header_name_ok(const char *name, size_t size);

/** True if it has no control characters but tabs (RFC 9110 5.5); for reason phrases, too. */
int pyd_header_value_ok(const char *value, size_t size);

/** A Content-Length: digits only, spaces around allowed. @return 0 or EINVAL */
int pyd_header_parse_length(const char *value, size_t size, int64_t *ret_bytes);

/**
 * The CGI name of a request header, by httpd's own rule (util_script.c): HTTP_ and letters in upper case, '-' as '_'.
 * Names with other characters are not passed on, so that X_Foo cannot pass for X-Foo; nor is "Proxy" (HTTP_PROXY means
 * something else to HTTP clients in the application).
 * @param name NUL-terminated
 * @param room pyd_header_environ_bytes(name) bytes
 * @return 1, or 0: do not pass it on
 */
int pyd_header_environ_name(const char *name, char *room);
size_t pyd_header_environ_bytes(const char *name);

#endif
