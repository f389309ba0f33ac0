/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_ENV_H
#define PYD_ENV_H

#include <stddef.h>

#include "pyd_spec.h"

/**
 * The environment of a worker. Nothing of httpd's but PATH, TZ and LANG; then
 * HOME, USER, LOGNAME, the locale, the lines of env-file, and env options. Of
 * several values for a name the last one counts.
 */

/**
 * @param parent httpd's environment
 * @param file_text content of env-file, or NULL
 * @param error room for what is wrong with file_text
 * @param ret_env owned; NULL-terminated; free with pyd_env_destroy()
 * @return 0, EINVAL (error is filled in), ENOMEM
 */
int pyd_env_create(const struct pyd_spec *spec, char *const *parent, const char *file_text, char *error, size_t size,
                   char ***ret_env);
void pyd_env_destroy(char **env);

/**
 * Read spec->env_file, a regular file of at most 1 MiB. Done by the manager, so it may be readable by root only.
 * @param ret_text owned; NULL if there is no such option
 * @return 0 or an errno
 */
int pyd_env_read_file(const struct pyd_spec *spec, char **ret_text);

#endif
