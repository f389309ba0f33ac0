/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BOARD_FIXTURE_H
#define BOARD_FIXTURE_H

/* A board with one group, and what a manager would do to it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pyd_board.h"
#include "pyd_generation.h"

#define SELF 4242u
#define OTHER 4243u
#define NO_SLOT UINT32_MAX

static inline struct pyd_board *fixture_board(uint32_t processes, uint32_t threads, uint32_t queue_limit)
{
    struct pyd_board_group_plan plan = {.name = "blog",
                                        .processes = processes,
                                        .threads = threads,
                                        .queue_limit = queue_limit,
                                        .spec_text = "threads 2\n",
                                        .state = PYD_GROUP_STARTING};
    struct pyd_board *board = NULL;

    assert_int_equal(pyd_board_create(7, &plan, 1, &board), 0);
    return board;
}

static inline void fixture_done(struct pyd_board *board)
{
    pyd_generation_close(board);
    pyd_board_unmap(board);
}

/* A new worker in a slot, READY. */
static inline void fixture_start(struct pyd_board *board, uint32_t slot_index)
{
    struct pyd_board_slot *slot = pyd_board_slot(board, 0, slot_index);
    uint32_t epoch = atomic_fetch_add(&slot->epoch, 1) + 1;

    pyd_status_open(pyd_board_status(board, 0, slot_index), pyd_board_settings(board, 0)->threads, epoch);
    atomic_store(&slot->state, PYD_SLOT_READY);
}

static inline void fixture_state(struct pyd_board *board, uint32_t slot, enum pyd_slot_state state)
{
    atomic_store(&pyd_board_slot(board, 0, slot)->state, (uint32_t)state);
}

static inline struct pyd_status_request *fixture_request(struct pyd_board *board, const struct pyd_claim_ref *claim)
{
    return &pyd_board_status(board, claim->group, claim->slot)->request[claim->claim];
}

static inline struct pyd_claim_ref fixture_claim(struct pyd_board *board)
{
    struct pyd_claim_ref claim = {.slot = NO_SLOT};

    assert_int_equal(pyd_claim_try(board, 0, SELF, NO_SLOT, &claim), 0);
    return claim;
}

/* Claimed and described at start_us. */
static inline struct pyd_claim_ref fixture_described(struct pyd_board *board, int64_t start_us)
{
    struct pyd_claim_ref claim = fixture_claim(board);
    struct pyd_claim_purpose purpose = {.method = "GET", .uri = "/a?b", .client = "192.0.2.1", .request_id = "WxYz"};

    pyd_claim_describe(board, &claim, &purpose, start_us);
    return claim;
}

/* ... and the worker executes it. */
static inline struct pyd_claim_ref fixture_running(struct pyd_board *board, int64_t start_us)
{
    struct pyd_claim_ref claim = fixture_described(board, start_us);

    assert_int_equal(pyd_status_begin(&pyd_board_status(board, 0, claim.slot)->request[claim.claim], claim.seq,
                                      start_us, 77), 0);
    return claim;
}

static inline uint32_t fixture_owner(struct pyd_board *board, const struct pyd_claim_ref *claim)
{
    return atomic_load(&pyd_board_owners(board, claim->group, claim->slot)[claim->claim]);
}

#endif
