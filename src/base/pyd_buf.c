/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_buf.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Holds a request or response head of usual size without growing again. */
#define FIRST_CAPACITY 1024

static int grow(struct pyd_buf *buf, size_t size)
{
    size_t needed, capacity;
    unsigned char *data;

    if (size > SIZE_MAX / 2 - buf->size)
        goto leave;
    needed = buf->size + size;
    capacity = buf->capacity ? 2 * buf->capacity : FIRST_CAPACITY;
    if (capacity < needed)
        capacity = needed;
    data = realloc(buf->data, capacity);
    if (!data)
        goto leave;
    buf->data = data;
    buf->capacity = capacity;
    return 1;

leave:
    buf->failed = 1;
    return 0;
}

unsigned char *pyd_buf_reserve(struct pyd_buf *buf, size_t size)
{
    if (buf->failed)
        return NULL;
    /* A buffer without memory gets some even for size 0, so that NULL always means failed. */
    if ((!buf->data || size > buf->capacity - buf->size) && !grow(buf, size))
        return NULL;
    return buf->data + buf->size;
}

void pyd_buf_append(struct pyd_buf *buf, const void *data, size_t size)
{
    unsigned char *room;

    if (!size)
        return;
    room = pyd_buf_reserve(buf, size);
    if (!room)
        return;
    memcpy(room, data, size);
    buf->size += size;
}

void pyd_buf_append_str(struct pyd_buf *buf, const char *text)
{
    pyd_buf_append(buf, text, strlen(text));
}

void pyd_buf_consume(struct pyd_buf *buf, size_t size)
{
    if (size >= buf->size) {
        buf->size = 0;
        return;
    }
    if (size)
        memmove(buf->data, buf->data + size, buf->size - size);
    buf->size -= size;
}

void pyd_buf_clear(struct pyd_buf *buf)
{
    buf->size = 0;
    buf->failed = 0;
}

void pyd_buf_done(struct pyd_buf *buf)
{
    if (!buf)
        return;
    free(buf->data);
    *buf = (struct pyd_buf){0};
}
