/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_WIRE_FORMAT_H
#define PYD_WIRE_FORMAT_H

#include "pyd_wire.h"

/**
 * What decoder and encoder must agree on. Bytes are put together by shifts,
 * which gcc and clang turn into one unaligned load or store and a byte swap.
 */

/** Where the parts of a frame header are. */
enum { PYD_WIRE_AT_SIZE = 0, PYD_WIRE_AT_TYPE = 4, PYD_WIRE_AT_FLAGS = 5, PYD_WIRE_AT_ZERO = 6 };

/** What a frame type's header may say; flags 0 and sizes 0 for a number that is no type. */
struct pyd_wire_rule {
    uint32_t bytes_min, bytes_max;
    uint8_t flags; /* those allowed */
    uint8_t known;
};

/** The rule of any type number, known or not. Static. */
const struct pyd_wire_rule *pyd_wire_rule(uint8_t type);

#define PYD_WIRE_REQUEST_FLAGS (PYD_REQUEST_HAS_BODY | PYD_REQUEST_BODY_INLINE | PYD_REQUEST_MULTIPROCESS)

static inline int pyd_wire_status_valid(unsigned status)
{
    return status >= 100 && status <= 999;
}

static inline uint16_t pyd_wire_load_u16(const unsigned char *at)
{
    return (uint16_t)((unsigned)at[0] << 8 | at[1]);
}

static inline uint32_t pyd_wire_load_u32(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint64_t pyd_wire_load_u64(const unsigned char *at)
{
    return (uint64_t)at[0] << 56 | (uint64_t)at[1] << 48 | (uint64_t)at[2] << 40 | (uint64_t)at[3] << 32 |
           (uint64_t)at[4] << 24 | (uint64_t)at[5] << 16 | (uint64_t)at[6] << 8 | at[7];
}

static inline void pyd_wire_store_u16(unsigned char *at, uint16_t value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
}

static inline void pyd_wire_store_u32(unsigned char *at, uint32_t value)
{
    at[0] = (unsigned char)(value >> 24);
    at[1] = (unsigned char)(value >> 16);
    at[2] = (unsigned char)(value >> 8);
    at[3] = (unsigned char)value;
}

static inline void pyd_wire_store_u64(unsigned char *at, uint64_t value)
{
    pyd_wire_store_u32(at, (uint32_t)(value >> 32));
    pyd_wire_store_u32(at + 4, (uint32_t)value);
}

#endif
