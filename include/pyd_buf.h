/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_BUF_H
#define PYD_BUF_H

#include <stddef.h>

/**
 * Growable bytes with a sticky error: append as often as needed, test once.
 * After a failed allocation `failed` stays set and appends do nothing. Embed it;
 * zero-initialised is a valid empty buffer.
 */
struct pyd_buf {
    unsigned char *data; /* owned; may be NULL while size is 0 */
    size_t size;
    size_t capacity;
    int failed;
};

void pyd_buf_done(struct pyd_buf *buf);                                  /* frees; NULL-safe; reusable after */
void pyd_buf_clear(struct pyd_buf *buf);                                 /* size 0, keeps the memory, clears failed */
void pyd_buf_append(struct pyd_buf *buf, const void *data, size_t size);
void pyd_buf_append_str(struct pyd_buf *buf, const char *text);          /* without its NUL */
void pyd_buf_consume(struct pyd_buf *buf, size_t size);                  /* drop size bytes from the front */
/** Make room for size more bytes and return where they go (buf->size is not changed), or NULL (failed is set). */
unsigned char *pyd_buf_reserve(struct pyd_buf *buf, size_t size);

#endif
