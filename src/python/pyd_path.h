/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_PATH_H
#define PYD_PATH_H

#include "pyd_spec.h"

/**
 * sys.path of a worker: home first, then the directories of python-path (and
 * what .pth files there add), then Python's own. GIL for all calls; -1 means
 * that an exception is set.
 */

/** Apply python-path, and home if the group has been given one. Keeps spec. @return 0 or -1 */
int pyd_path_init(const struct pyd_spec *spec);

/** Put the working directory first, for a "module:callable" target, unless it is there. @return 0 or -1 */
int pyd_path_add_home(void);

#endif
