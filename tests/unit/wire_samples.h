/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_SAMPLES_H
#define WIRE_SAMPLES_H

#include <stddef.h>

#include "pyd_wire.h"

/**
 * Frames made by the encoder: what test_wire cuts, changes and squeezes, and the seeds of the fuzz target
 * (tests/fuzz/corpus/wire has one file of each, made by `test_wire write FOLDER`).
 */
enum wire_expect {
    WIRE_WHOLE,   /* decodes; one frame; every shorter payload is refused */
    WIRE_UNSIZED, /* decodes; one frame; ends in bytes without a size, so a shorter payload may decode */
    WIRE_STREAM,  /* several frames */
    WIRE_BAD      /* well-formed header, refused payload */
};

struct wire_sample {
    const char *name;
    enum wire_expect expect;
    void (*build)(struct pyd_wire_writer *writer);
};

extern const struct wire_sample wire_samples[];
extern const size_t wire_sample_count;

/** Room enough for any sample. */
#define WIRE_ROOM 4096

/** The end of WIRE_ROOM bytes after which a page begins that can't be touched. */
extern unsigned char *wire_fence;

/** A group's setup function: makes the fence. */
int wire_open_fence(void **state);
/** A copy of data that ends at the fence. */
const unsigned char *wire_at_fence(const void *data, size_t size);

const struct wire_sample *wire_find_sample(const char *name);
/** Build a sample in a room of any size. @return bytes used */
size_t wire_build(const struct wire_sample *sample, unsigned char *room, size_t size, int *ret_bad);
/** The same in WIRE_ROOM bytes, where it must fit. */
size_t wire_build_whole(const struct wire_sample *sample, unsigned char *room);

#endif
