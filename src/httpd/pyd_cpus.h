/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_CPUS_H
#define PYD_CPUS_H

/** CPUs this process may really use: affinity and the quotas of its cgroup and those above it. At least 1. */
int pyd_cpus_available(void);

/** The same with the places given (tests). @param affinity CPUs it may run on */
int pyd_cpus_limit(int affinity, const char *cgroup_file, const char *cgroup_root);

#endif
