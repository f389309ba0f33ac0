/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_CHECK_H
#define PYD_CHECK_H

#include "pyd_config.h"
#include "pyd_identity.h"

/* Shared by pyd_check*.c: what is wrong with a configuration on this machine, at this moment. */

enum pyd_problem_weight {
    PYD_PROBLEM_WARNS,  /* worth a warning */
    PYD_PROBLEM_FAILS,  /* and an error of configtest */
    PYD_PROBLEM_BREAKS  /* and the group answers 503 */
};

struct pyd_problem {
    const struct pyd_group *group; /* NULL: of no group */
    server_rec *server;            /* whose log it goes to; NULL: the main one's */
    const char *text;
    enum pyd_problem_weight weight;
};

struct pyd_check {
    apr_pool_t *p;     /* for what stays */
    apr_pool_t *ptemp;
    server_rec *main_server;
    apr_array_header_t *problems; /* of struct pyd_problem */
};

/** Note a problem. The text begins with PYD_LOGNO and names the place. */
void pyd_check_problem(struct pyd_check *check, struct pyd_group *group, enum pyd_problem_weight weight,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));

/**
 * Look up what a group's options mean on this machine and store it in its spec: user, home, Python, paths.
 * @param ret_identity who its workers will be
 * @return 0, or EINVAL: that is not known
 */
int pyd_check_group(struct pyd_check *check, struct pyd_group *group, struct pyd_identity *ret_identity);

/** Note that the group cannot work for want of memory. @return EINVAL */
int pyd_check_no_memory(struct pyd_check *check, struct pyd_group *group);

/** "PyDaemonProcess NAME in FILE:LINE", for messages. */
const char *pyd_check_place(const struct pyd_check *check, const struct pyd_group *group);

#endif
