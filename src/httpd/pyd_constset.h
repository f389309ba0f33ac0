/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_CONSTSET_H
#define PYD_CONSTSET_H

#include <stddef.h>
#include <stdint.h>

#include "pyd_wire.h"

/**
 * The constant sets that the worker at the other end of a connection holds, as
 * encoded by the caller (with a fixed id). Belongs to one connection: no locks.
 * Zero-initialised is a valid empty cache.
 */
struct pyd_constset {
    struct {
        unsigned char *bytes; /* owned; NULL: free */
        size_t size;
        uint64_t used; /* when, in turns */
    } sets[PYD_WIRE_CONSTS_MAX];
    uint64_t turn;
};

/** @return the id under which the worker has exactly these bytes, or -1 */
int pyd_constset_find(struct pyd_constset *cache, const void *bytes, size_t size);

/** Remember bytes (copied) in place of what was not used for longest. @return the id, or -1: out of memory, nothing
 * changed */
int pyd_constset_add(struct pyd_constset *cache, const void *bytes, size_t size);

/** Forget all. NULL-safe; the cache is empty and usable afterwards. */
void pyd_constset_done(struct pyd_constset *cache);

#endif
