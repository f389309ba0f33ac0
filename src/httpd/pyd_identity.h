/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_IDENTITY_H
#define PYD_IDENTITY_H

#include <stddef.h>
#include <sys/types.h>

/**
 * Who a group's workers run as, and what such a user may read. POSIX only; for
 * the httpd parent while it reads its configuration (one thread).
 */
#define PYD_IDENTITY_GROUPS_MAX 256

struct pyd_identity {
    uid_t uid;
    gid_t gid;
    gid_t groups[PYD_IDENTITY_GROUPS_MAX]; /* supplementary */
    int group_count;
    char name[256]; /* "" if the uid has none */
    char home[4096]; /* "" if there is none */
};

/** The running process. */
void pyd_identity_self(struct pyd_identity *ret_identity);

/**
 * Look up a user by name or "#number"; fills in uid, name, home; gid is the user's group; no groups yet.
 * A number without an entry is fine. @return 0 or ENOENT
 */
int pyd_identity_user(const char *text, struct pyd_identity *ret_identity);
/** Look up a group by name or "#number". @return 0 or ENOENT */
int pyd_identity_group(const char *text, gid_t *ret_gid);

/**
 * Fill in the supplementary groups: those in text ("a,#4,b"; "" for none), or with NULL the user's own.
 * The user's own never bring in root's group.
 * @param ret_unknown on ENOENT: the word that is no group
 * @return 0, ENOENT, or E2BIG
 */
int pyd_identity_supplement(struct pyd_identity *identity, const char *text, char *ret_unknown, size_t size);

/** Supplementary ids as "4,24". */
void pyd_identity_format_groups(const struct pyd_identity *identity, char *text, size_t size);

enum pyd_access { PYD_ACCESS_SEARCH, PYD_ACCESS_READ_FILE, PYD_ACCESS_ENTER_DIRECTORY };

/**
 * Would identity be able to do that with path? The kernel is asked with the identity's file system ids, so access
 * control lists count. SEARCH: may reach it (stat). An error's message names the component that fails.
 * @return 0, or an errno with error filled in
 */
int pyd_identity_access(const struct pyd_identity *identity, const char *path, enum pyd_access access, char *error,
                        size_t size);

#endif
