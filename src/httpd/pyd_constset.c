/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_constset.h"

#include <stdlib.h>
#include <string.h>

int pyd_constset_find(struct pyd_constset *cache, const void *bytes, size_t size)
{
    int i;

    /* No hash: eight sets at most, and comparing stops at the first difference, while hashing never does. */
    for (i = 0; i < PYD_WIRE_CONSTS_MAX; ++i) {
        if (cache->sets[i].bytes && cache->sets[i].size == size && memcmp(cache->sets[i].bytes, bytes, size) == 0) {
            cache->sets[i].used = ++cache->turn;
            return i;
        }
    }
    return -1;
}

static int oldest(const struct pyd_constset *cache)
{
    int i, found = 0;

    for (i = 0; i < PYD_WIRE_CONSTS_MAX; ++i) {
        if (!cache->sets[i].bytes)
            return i;
        if (cache->sets[i].used < cache->sets[found].used)
            found = i;
    }
    return found;
}

int pyd_constset_add(struct pyd_constset *cache, const void *bytes, size_t size)
{
    unsigned char *copy = malloc(size ? size : 1);
    int id;

    if (!copy)
        return -1;
    if (size)
        memcpy(copy, bytes, size);
    id = oldest(cache);
    free(cache->sets[id].bytes);
    cache->sets[id].bytes = copy;
    cache->sets[id].size = size;
    cache->sets[id].used = ++cache->turn;
    return id;
}

void pyd_constset_done(struct pyd_constset *cache)
{
    int i;

    if (!cache)
        return;
    for (i = 0; i < PYD_WIRE_CONSTS_MAX; ++i)
        free(cache->sets[i].bytes);
    memset(cache, 0, sizeof(*cache));
}
