/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_names.h"

#include <stdint.h>
#include <string.h>

/* A power of two, some three times the number of names: short probes. */
#define INDEX_SIZE 512u

static const struct {
    const char *text;
    size_t size;
} rows[PYD_NAME_MAX_] = {
#define X(identifier, text) {text, sizeof(text) - 1},
    PYD_NAMES(X)
#undef X
};

static PyObject *strings[PYD_NAME_MAX_];
static uint8_t place[INDEX_SIZE]; /* row + 1; 0: none */

_Static_assert(PYD_NAME_MAX_ < UINT8_MAX, "row numbers fit in place[]");
_Static_assert(PYD_NAME_MAX_ * 3 < INDEX_SIZE, "the index stays sparse");

/* Five bytes tell the names apart well enough; what matters is that a miss costs next to nothing. */
static uint32_t index_of(const char *data, size_t size)
{
    const unsigned char *p = (const unsigned char *)data;
    uint32_t hash = (uint32_t)size * 31u + p[size - 1] * 17u + p[size / 2] * 257u + p[0] * 5u;

    if (size > 7)
        hash += p[5] * 73u + p[7] * 1031u;
    return (hash ^ hash >> 9) & (INDEX_SIZE - 1);
}

int pyd_names_init(void)
{
    for (unsigned row = 0; row < PYD_NAME_MAX_; row++) {
        uint32_t at = index_of(rows[row].text, rows[row].size);

        strings[row] = PyUnicode_InternFromString(rows[row].text);
        if (!strings[row])
            return -1;
        while (place[at])
            at = (at + 1) & (INDEX_SIZE - 1);
        place[at] = (uint8_t)(row + 1);
    }
    return 0;
}

PyObject *pyd_names_get(enum pyd_name name)
{
    return strings[name];
}

PyObject *pyd_names_str(const char *data, size_t size)
{
    if (size) {
        for (uint32_t at = index_of(data, size); place[at]; at = (at + 1) & (INDEX_SIZE - 1)) {
            unsigned row = place[at] - 1u;

            if (rows[row].size == size && !memcmp(rows[row].text, data, size)) {
                Py_INCREF(strings[row]);
                return strings[row];
            }
        }
    }
    return PyUnicode_DecodeLatin1(data, (Py_ssize_t)size, NULL);
}
