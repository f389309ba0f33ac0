/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_SYMBOL_H
#define PYD_SYMBOL_H

#include <stddef.h>
#include <stdint.h>

/**
 * Names of functions, for addresses in this process: from /proc/self/maps and
 * the files that are mapped. dladdr(3) would wait for the dynamic linker's lock, which a thread holds
 * while a library's initialisers run, however long they do. Nothing here waits for another thread.
 */
struct pyd_symbols;

struct pyd_symbol {
    char name[256];     /* "" if it is not known, or was not asked for */
    uint64_t offset;    /* in the function, else in the module (as addr2line wants it), else the address */
    const char *module; /* name of the file without its folder, "[vdso]", or "?"; lives as long as the table */
};

/** What is mapped now. @return 0 and owned, or an errno */
int pyd_symbols_create(struct pyd_symbols **ret_symbols);
void pyd_symbols_destroy(struct pyd_symbols *symbols);

/**
 * @param symbols NULL: nothing is known
 * @param is_return it is where a call returns to: the call itself is what counts
 * @param with_name read the module's file, which may be slow
 */
void pyd_symbols_find(struct pyd_symbols *symbols, const void *address, int is_return, int with_name,
                      struct pyd_symbol *ret_symbol);

#endif
