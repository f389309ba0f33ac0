/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_PRIVS_H
#define PYD_PRIVS_H

#include <stddef.h>
#include <sys/types.h>

#include "pyd_spec.h"

/*
 * What a worker's process does to itself between fork and exec. Single-threaded;
 * nothing can be undone, so on any error the process must exit.
 */

/**
 * Become the group's user, for ever, and set the umask. Users were looked up long before (spec->uid, gid, groups).
 * Where httpd is root no worker is: not by its settings, nor by a forgotten setting, nor by getting root back.
 * @param error room for what failed
 * @return 0, EPERM (refused), or an errno
 */
int pyd_privs_drop(const struct pyd_spec *spec, char *error, size_t size);

/** Enter the home directory, as the user the process is now. Same returns. */
int pyd_privs_enter_home(const struct pyd_spec *spec, char *error, size_t size);

/** Parse "4,24" ("" for none). PURE. @return 0 or EINVAL: garbage, or more than room */
int pyd_privs_parse_groups(const char *text, gid_t *ids, size_t room, size_t *ret_count);

#endif
