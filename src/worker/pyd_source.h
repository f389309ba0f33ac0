/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_SOURCE_H
#define PYD_SOURCE_H

#include <stddef.h>

/**
 * Line `line` (1 is the first) of a source file, without its newline, cut to what room has: regular files below 4 MiB
 * only. Bytes as they are in the file. Any thread; the file may be slow.
 * @return 0; ENOENT: no such file or line; or another errno
 */
int pyd_source_line(const char *path, int line, char *room, size_t size);

#endif
