/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_BRIGADE_H
#define PYD_BRIGADE_H

#include <apr_buckets.h>

/*
 * The macros of apr_ring.h cast volatile away, about which clang complains where
 * they are used. They are used here only.
 */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"

static inline int pyd_brigade_is_empty(const apr_bucket_brigade *brigade)
{
    return APR_BRIGADE_EMPTY(brigade);
}

static inline apr_bucket *pyd_brigade_end(apr_bucket_brigade *brigade)
{
    return APR_BRIGADE_SENTINEL(brigade);
}

static inline void pyd_brigade_append(apr_bucket_brigade *brigade, apr_bucket *bucket)
{
    APR_BRIGADE_INSERT_TAIL(brigade, bucket);
}

#pragma GCC diagnostic pop

#endif
