/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_PYTHON_FIND_H
#define PYD_PYTHON_FIND_H

#include <stddef.h>

/**
 * Which Python python= means, found out by looking at files: nothing is run, so
 * that a reload never waits for an interpreter. POSIX only.
 */
struct pyd_python {
    char version[16];      /* "3.11"; "3.13t": free-threaded */
    char executable[4096]; /* what PyConfig.executable becomes */
};

/**
 * @param path absolute: an interpreter, a virtual environment or an installation prefix
 * @param error room for a message that says what is wrong with it, without the path's option
 * @return 0, or EINVAL with error filled in
 */
int pyd_python_find(const char *path, struct pyd_python *ret_python, char *error, size_t size);

/** Versions in the worker programs of dir, as "3.11, 3.13"; "none" if there are none. */
void pyd_python_workers(const char *dir, char *text, size_t size);

#endif
