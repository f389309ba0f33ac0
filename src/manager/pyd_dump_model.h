/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_DUMP_MODEL_H
#define PYD_DUMP_MODEL_H

#include "pyd_dump.h"
#include "pyd_dump_lines.h"

/**
 * The text of a dump taken apart: whose stacks are in it, which request each thread executes, and in
 * which order they matter. PURE. Everything points into the input, which has to stay.
 */

/** What belongs to one stack in the text: parts that pyd_dump_model_next() reads. */
struct pyd_dump_range {
    const char *begin, *end;
};

struct pyd_dump_stack {
    unsigned is_task : 1;
    unsigned waits_for_gil : 1; /* its native frames say so */
    unsigned is_shown : 1; /* the reader's, to note what it has done with it */
    int rank;              /* by what the order is made */
    unsigned flags; /* PYD_DUMP_HOLDS_GIL; in a CRASH the thread that crashed */
    pid_t tid;      /* 0: not known */
    uint64_t ident; /* CRASH: as pthread_self() says; 0: not known */
    struct pyd_dump_str name;
    struct pyd_dump_range text;        /* its frames and remarks */
    struct pyd_dump_range native_text; /* its native frames */
    size_t frames, natives, remarks;
    uint64_t frames_hash, natives_hash; /* equal: the same frames */
    const struct pyd_claim_view *claim; /* what it executes, or NULL */
};

#define PYD_DUMP_MODEL_REMARKS 16u

struct pyd_dump_model {
    const struct pyd_dump_input *input;
    struct pyd_dump_stack *stacks; /* owned; in the order in which they are to be shown */
    size_t count;
    size_t skipped; /* threads and tasks beyond PYD_DUMP_MODEL_MAX */
    /* Owned: the input's that the worker has not ended, late ones first, then the longest. */
    const struct pyd_claim_view **claims;
    size_t claim_count;
    struct pyd_dump_str remarks[PYD_DUMP_MODEL_REMARKS]; /* on all of them; the first are from before any thread */
    size_t first_remarks, remark_count;
    uint64_t left_out; /* lines, by the writer */
};

/** Stacks that are kept: more than any worker may have threads. */
#define PYD_DUMP_MODEL_MAX 2000u

/** @return 0 or ENOMEM */
int pyd_dump_model_create(const struct pyd_dump_input *input, struct pyd_dump_model *ret_model);
void pyd_dump_model_destroy(struct pyd_dump_model *model);

/** The next line of any kind but BAD. @return 0 at the end */
int pyd_dump_model_next(const struct pyd_dump_input *input, struct pyd_dump_range *rest,
                        struct pyd_dump_item *ret_item);

#endif
