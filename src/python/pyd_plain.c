/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_plain.h"

#include <stdio.h>
#include <string.h>

/* By identity: a look-up might compare with keys of other types. Names of attributes and globals are interned. */
PyObject *pyd_plain_item(PyObject *dict, PyObject *name)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;

    if (!dict || !PyDict_Check(dict))
        return NULL;
    while (PyDict_Next(dict, &at, &key, &value)) {
        if (key == name)
            return value;
    }
    return NULL;
}

/* PyObject_GenericGetDict() is what object's `__dict__` calls: the types of the application have no part in it. */
PyObject *pyd_plain_attribute(PyObject *object, PyObject *name)
{
    PyObject *dict = PyObject_GenericGetDict(object, NULL);
    PyObject *value = pyd_plain_item(dict, name);

    PyErr_Clear();
    Py_XINCREF(value);
    Py_XDECREF(dict);
    return value;
}

unsigned long pyd_plain_number(PyObject *object)
{
    unsigned long number = object && PyLong_CheckExact(object) ? PyLong_AsUnsignedLong(object) : 0;

    if (PyErr_Occurred()) {
        PyErr_Clear();
        number = 0;
    }
    return number;
}

static size_t encode_surrogate(Py_UCS4 c, char *room)
{
    if (c < 0xdc80 || c > 0xdcff)
        return (size_t)sprintf(room, "\\u%04x", (unsigned)c);
    room[0] = (char)(c & 0xff);
    return 1;
}

/* At most six bytes and a NUL. */
static size_t encode(Py_UCS4 c, char *room)
{
    static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t count = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    if (c >= 0xd800 && c <= 0xdfff)
        return encode_surrogate(c, room);
    if (count == 1) {
        room[0] = c ? (char)c : '?';
        return 1;
    }
    for (size_t i = count; i-- > 1; c >>= 6)
        room[i] = (char)(0x80 | (c & 0x3f));
    room[0] = (char)(first[count] | c);
    return count;
}

static int is_readable(PyObject *string)
{
    if (!string || !PyUnicode_Check(string))
        return 0;
#if PY_VERSION_HEX < 0x030c0000
    return PyUnicode_IS_READY(string) != 0;
#else
    return 1;
#endif
}

void pyd_plain_text(PyObject *string, char *room, size_t size)
{
    Py_ssize_t length = is_readable(string) ? PyUnicode_GET_LENGTH(string) : 0;
    size_t used = 0;

    for (Py_ssize_t i = 0; i < length; i++) {
        char bytes[8];
        size_t count = encode(PyUnicode_READ_CHAR(string, i), bytes);

        if (used + count >= size)
            break;
        memcpy(room + used, bytes, count);
        used += count;
    }
    room[used] = '\0';
}
