/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_wsgi.h"

#include <string.h>
#include <strings.h>

/*
 * The rules of PEP 3333, "The start_response() Callable", and of RFC 9110 5.1 and
 * 5.5 for what may be in a header. A str whose code points are all below 256 is
 * stored as latin-1 bytes, so the bytes are looked at, and later sent, in place.
 */

/* The frame that carries them has a limit; no client takes as much by far. */
#define HEADERS_BYTES_MAX (PYD_WIRE_CONTROL_MAX / 2)

/* Subclasses count as str, although PEP 3333 has plain ones in mind: frameworks hand on their "safe" strings.
 * @return 0 and its bytes, or -1: not a str of latin-1 */
static int latin1(PyObject *object, const char **ret_data, size_t *ret_size)
{
    if (!PyUnicode_Check(object))
        return -1;
#if PY_VERSION_HEX < 0x030c0000
    if (PyUnicode_READY(object)) {
        PyErr_Clear();
        return -1;
    }
#endif
    if (PyUnicode_KIND(object) != PyUnicode_1BYTE_KIND)
        return -1;
    *ret_data = (const char *)PyUnicode_1BYTE_DATA(object);
    *ret_size = (size_t)PyUnicode_GET_LENGTH(object);
    return 0;
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int is_token(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static int has_control(const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (((unsigned char)data[i] < 0x20 && data[i] != '\t') || data[i] == 0x7f)
            return 1;
    }
    return 0;
}

int pyd_wsgi_check_status(PyObject *status, uint16_t *ret_code)
{
    const char *text;
    size_t size;

    if (!PyUnicode_Check(status))
        return pyd_wsgi_broke("the status must be a str, not %.100s", Py_TYPE(status)->tp_name);
    if (latin1(status, &text, &size))
        return pyd_wsgi_broke("the status may have characters up to U+00FF only");
    if (size < 3 || !is_digit(text[0]) || !is_digit(text[1]) || !is_digit(text[2]) || (size > 3 && text[3] != ' '))
        return pyd_wsgi_broke("the status must be three digits, a space and a reason, not %.100R", status);
    if (text[0] < '2')
        return pyd_wsgi_broke("the status must be a final one, 200 or more, not %.100R", status);
    if (has_control(text, size))
        return pyd_wsgi_broke("the status may have no control characters: %.100R", status);
    *ret_code = (uint16_t)(100 * (text[0] - '0') + 10 * (text[1] - '0') + (text[2] - '0'));
    return 0;
}

/* PEP 3333 "Other HTTP Features": connection management is the server's. */
static int is_forbidden(const char *name)
{
    static const char *const names[] = {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te",
        "trailer",    "trailers",   "transfer-encoding",  "upgrade"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!strcasecmp(names[i], name))
            return 1;
    }
    return 0;
}

static int check_name(PyObject *object, const char **ret_name)
{
    const char *name;
    size_t size;

    if (!PyUnicode_Check(object))
        return pyd_wsgi_broke("a header name must be a str, not %.100s", Py_TYPE(object)->tp_name);
    if (latin1(object, &name, &size))
        return pyd_wsgi_broke("the header name %.100R has a character that names may not have", object);
    if (!size)
        return pyd_wsgi_broke("a header has an empty name");
    for (size_t i = 0; i < size; i++) {
        if (!is_token(name[i]))
            return pyd_wsgi_broke("the header name %.100R has a character that names may not have", object);
    }
    if (!strcasecmp(name, "status"))
        return pyd_wsgi_broke("there may be no header 'Status': the status is an argument of its own");
    if (is_forbidden(name))
        return pyd_wsgi_broke("the header %.100R is hop-by-hop: it is the server's business", object);
    *ret_name = name;
    return 0;
}

static int check_value(PyObject *object, PyObject *name, const char **ret_value)
{
    size_t size;

    if (!PyUnicode_Check(object))
        return pyd_wsgi_broke("the value of the header %.100R must be a str, not %.100s", name,
                              Py_TYPE(object)->tp_name);
    if (latin1(object, ret_value, &size))
        return pyd_wsgi_broke("the value of the header %.100R has a character above U+00FF", name);
    if (has_control(*ret_value, size))
        return pyd_wsgi_broke("the value of the header %.100R has a control character, such as a newline", name);
    return 0;
}

static int parse_content_length(const char *value, int64_t *content_bytes)
{
    const char *digit = value;
    int64_t bytes = 0;

    if (*content_bytes >= 0)
        return pyd_wsgi_broke("the header 'Content-Length' is given twice");
    for (; is_digit(*digit) && bytes <= (INT64_MAX - 9) / 10; digit++)
        bytes = bytes * 10 + (*digit - '0');
    if (digit == value || *digit)
        return pyd_wsgi_broke("the header 'Content-Length' must be a decimal number, not '%.100s'", value);
    *content_bytes = bytes;
    return 0;
}

/* A 103 has no content (RFC 9110, 8.6), and the others are httpd's, once for each response. */
static int check_early_name(const char *name)
{
    static const char *const names[] = {"content-length", "date", "server"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!strcasecmp(names[i], name))
            return pyd_wsgi_broke("there may be no header '%s' among early hints", name);
    }
    return 0;
}

static int check_header(PyObject *item, int64_t *content_bytes, size_t *bytes)
{
    const char *name = "", *value = "";

    if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 2)
        return pyd_wsgi_broke("each header must be a tuple (name, value), not %.100R", item);
    if (check_name(PyTuple_GET_ITEM(item, 0), &name) ||
        check_value(PyTuple_GET_ITEM(item, 1), PyTuple_GET_ITEM(item, 0), &value))
        return -1;
    *bytes += strlen(name) + strlen(value);
    if (*bytes > HEADERS_BYTES_MAX)
        return pyd_wsgi_broke("the headers are too long: %zu bytes", *bytes);
    if (!content_bytes)
        return check_early_name(name);
    return strcasecmp(name, "content-length") ? 0 : parse_content_length(value, content_bytes);
}

int pyd_wsgi_check_headers(PyObject *list, PyObject **ret_headers, int64_t *ret_content_bytes)
{
    int64_t content_bytes = -1;
    PyObject *headers;
    size_t bytes = 0;

    if (!PyList_Check(list))
        return pyd_wsgi_broke("the headers must be a list, not %.100s", Py_TYPE(list)->tp_name);
    headers = PyList_AsTuple(list);
    if (!headers)
        return -1;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(headers); i++) {
        if (check_header(PyTuple_GET_ITEM(headers, i), ret_content_bytes ? &content_bytes : NULL, &bytes)) {
            Py_DECREF(headers);
            return -1;
        }
    }
    if (ret_content_bytes)
        *ret_content_bytes = content_bytes;
    *ret_headers = headers;
    return 0;
}
