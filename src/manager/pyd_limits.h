/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_LIMITS_H
#define PYD_LIMITS_H

#include <stddef.h>

#include "pyd_spec.h"

/**
 * Apply cpu-priority, open-files and core-size to the calling process, before it gives up root.
 * @param error room for the first one that failed; the others are applied all the same
 * @return 0 or an errno
 */
int pyd_limits_apply(const struct pyd_spec *spec, char *error, size_t size);

#endif
