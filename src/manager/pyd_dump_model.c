/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_dump_model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 64

/* FNV-1a. Who makes two of his stacks collide misleads himself. */
#define HASH_START UINT64_C(0xcbf29ce484222325)
#define HASH_PRIME UINT64_C(0x100000001b3)

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * HASH_PRIME;
    return hash;
}

static uint64_t hash_str(uint64_t hash, struct pyd_dump_str str)
{
    return hash_bytes(hash_bytes(hash, str.data, str.size), "\t", 1);
}

/* The next line, BAD or not. */
static int next_line(const struct pyd_dump_input *input, struct pyd_dump_range *rest, struct pyd_dump_item *ret_item)
{
    const char *line = rest->begin, *newline;

    if (input->tier != PYD_DUMP_CRASH)
        return pyd_dump_next(&rest->begin, rest->end, ret_item);
    if (line >= rest->end)
        return 0;
    newline = memchr(line, '\n', (size_t)(rest->end - line));
    rest->begin = newline ? newline + 1 : rest->end;
    pyd_dump_parse_faulthandler(line, (size_t)(rest->begin - line), ret_item);
    return 1;
}

int pyd_dump_model_next(const struct pyd_dump_input *input, struct pyd_dump_range *rest, struct pyd_dump_item *ret_item)
{
    struct pyd_dump_item item;

    while (next_line(input, rest, &item)) {
        if (item.kind != PYD_DUMP_LINE_BAD) {
            *ret_item = item;
            return 1;
        }
    }
    return 0;
}

/* ---- from lines to stacks ---- */

struct building {
    struct pyd_dump_model *model;
    size_t room;
    int in_stack;   /* the last of the stacks is being read */
    int is_skipped; /* what is being read is not wanted */
    int failed;
};

static struct pyd_dump_stack *last_stack(const struct pyd_dump_model *model)
{
    return &model->stacks[model->count - 1];
}

/* @return the new one, or NULL: there is no room, or it is not wanted */
static struct pyd_dump_stack *add_stack(struct building *building, const char *at)
{
    struct pyd_dump_model *model = building->model;

    building->in_stack = 0;
    building->is_skipped = 1;
    if (model->count == PYD_DUMP_MODEL_MAX) {
        model->skipped++;
        return NULL;
    }
    if (model->count == building->room) {
        size_t room = building->room ? 2 * building->room : FIRST_ROOM;
        struct pyd_dump_stack *stacks = realloc(model->stacks, room * sizeof(*stacks));

        if (!stacks) {
            building->failed = 1;
            return NULL;
        }
        model->stacks = stacks;
        building->room = room;
    }
    building->in_stack = 1;
    building->is_skipped = 0;
    model->count++;
    *last_stack(model) = (struct pyd_dump_stack){.text = {.begin = at, .end = at},
                                                 .native_text = {.begin = at, .end = at},
                                                 .frames_hash = HASH_START,
                                                 .natives_hash = HASH_START};
    return last_stack(model);
}

static void begin_stack(struct building *building, const struct pyd_dump_item *item, const char *at)
{
    struct pyd_dump_stack *stack;
    pid_t only_tid = building->model->input->only_tid;

    /* Tasks that come with one thread are those it runs. */
    if (only_tid && item->kind == PYD_DUMP_THREAD && item->tid != only_tid) {
        building->in_stack = 0;
        building->is_skipped = 1;
        return;
    }
    stack = add_stack(building, at);
    if (!stack)
        return;
    stack->is_task = item->kind == PYD_DUMP_TASK;
    stack->flags = item->flags;
    stack->tid = item->tid;
    stack->ident = item->offset;
    stack->name = item->name;
}

static void add_remark(struct pyd_dump_model *model, struct pyd_dump_str text)
{
    if (model->remark_count == PYD_DUMP_MODEL_REMARKS)
        return;
    model->remarks[model->remark_count++] = text;
    if (model->count == 0)
        model->first_remarks++;
}

/* Native frames that faulthandler writes are those of the thread that crashed, and come last. */
static struct pyd_dump_stack *stack_of_natives(struct building *building, const char *at)
{
    struct pyd_dump_model *model = building->model;
    struct pyd_dump_stack *added;

    if (model->input->tier != PYD_DUMP_CRASH)
        return building->in_stack ? last_stack(model) : NULL;
    for (size_t i = 0; i < model->count; i++)
        if (model->stacks[i].flags & PYD_DUMP_HOLDS_GIL)
            return &model->stacks[i];
    added = add_stack(building, at);
    if (added)
        added->flags = PYD_DUMP_HOLDS_GIL;
    return added;
}

/* Where a thread is that does not have the lock and wants it (Python/ceval_gil.c, Python/pystate.c). */
static int is_gil_wait(struct pyd_dump_str symbol)
{
    static const char *const functions[] = {"take_gil", "PyEval_RestoreThread", "PyEval_AcquireThread",
                                            "PyGILState_Ensure"};

    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
        if (symbol.size == strlen(functions[i]) && memcmp(symbol.data, functions[i], symbol.size) == 0)
            return 1;
    return 0;
}

static void add_native(struct building *building, const struct pyd_dump_item *item, struct pyd_dump_range line)
{
    struct pyd_dump_stack *stack = stack_of_natives(building, line.begin);

    if (!stack)
        return;
    if (stack->natives++ == 0)
        stack->native_text.begin = line.begin;
    stack->native_text.end = line.end;
    stack->waits_for_gil |= is_gil_wait(item->symbol) && building->model->input->tier == PYD_DUMP_NO_GIL;
    stack->natives_hash = hash_str(stack->natives_hash, item->symbol);
    stack->natives_hash = hash_str(stack->natives_hash, item->module);
    stack->natives_hash = hash_bytes(stack->natives_hash, &item->offset, sizeof(item->offset));
}

static void add_frame(struct building *building, const struct pyd_dump_item *item, struct pyd_dump_range line)
{
    struct pyd_dump_stack *stack = building->in_stack ? last_stack(building->model) : NULL;

    stack->frames++;
    stack->text.end = line.end;
    stack->frames_hash = hash_str(stack->frames_hash, item->file);
    stack->frames_hash = hash_str(stack->frames_hash, item->function);
    stack->frames_hash = hash_bytes(stack->frames_hash, &item->line, sizeof(item->line));
}

static void add_item(struct building *building, const struct pyd_dump_item *item, struct pyd_dump_range line)
{
    int is_crash = building->model->input->tier == PYD_DUMP_CRASH;

    /* Frames of nobody, as faulthandler writes them where it can show one thread only. */
    if (!building->in_stack && !building->is_skipped && item->kind == PYD_DUMP_FRAME)
        add_stack(building, line.begin);
    if (item->kind == PYD_DUMP_THREAD || item->kind == PYD_DUMP_TASK) {
        begin_stack(building, item, line.end);
    } else if (item->kind == PYD_DUMP_LEFT_OUT) {
        building->model->left_out = item->offset;
    } else if (item->kind == PYD_DUMP_REMARK && (is_crash || (!building->in_stack && !building->is_skipped))) {
        add_remark(building->model, item->name);
    } else if (item->kind == PYD_DUMP_NATIVE) {
        add_native(building, item, line);
    } else if (building->in_stack && item->kind == PYD_DUMP_FRAME) {
        add_frame(building, item, line);
    } else if (building->in_stack && item->kind == PYD_DUMP_REMARK) {
        last_stack(building->model)->remarks++;
        last_stack(building->model)->text.end = line.end;
    }
}

static int read_text(struct pyd_dump_model *model)
{
    const struct pyd_dump_input *input = model->input;
    struct pyd_dump_range rest = {.begin = input->text, .end = input->text ? input->text + input->bytes : NULL};
    struct building building = {.model = model};
    const char *begin = rest.begin;
    struct pyd_dump_item item;

    while (!building.failed && next_line(input, &rest, &item)) {
        add_item(&building, &item, (struct pyd_dump_range){.begin = begin, .end = rest.begin});
        begin = rest.begin;
    }
    return building.failed ? ENOMEM : 0;
}

/* ---- who executes what ---- */

static int compare_claims(const struct pyd_claim_view *a, const struct pyd_claim_view *b)
{
    if (a->late != b->late)
        return a->late ? -1 : 1;
    if (a->elapsed_us != b->elapsed_us)
        return a->elapsed_us > b->elapsed_us ? -1 : 1;
    return a < b ? -1 : a > b;
}

static int compare_claim_pointers(const void *a, const void *b)
{
    return compare_claims(*(const struct pyd_claim_view *const *)a, *(const struct pyd_claim_view *const *)b);
}

static int sort_claims(struct pyd_dump_model *model)
{
    const struct pyd_dump_input *input = model->input;

    model->claims = calloc(input->claim_count + 1, sizeof(const struct pyd_claim_view *));
    if (!model->claims)
        return ENOMEM;
    for (size_t i = 0; i < input->claim_count; i++)
        if (!input->claims[i].ended)
            model->claims[model->claim_count++] = &input->claims[i];
    qsort(model->claims, model->claim_count, sizeof(const struct pyd_claim_view *), compare_claim_pointers);
    return 0;
}

static int is_thread_of(const struct pyd_dump_stack *stack, const struct pyd_claim_view *claim)
{
    if (stack->is_task || stack->claim)
        return 0;
    return (stack->tid > 0 && stack->tid == claim->tid) || (stack->ident != 0 && stack->ident == claim->thread);
}

/* Each request with one thread at most. */
static void join(struct pyd_dump_model *model)
{
    for (size_t c = 0; c < model->claim_count; c++) {
        const struct pyd_claim_view *claim = model->claims[c];
        size_t s = 0;

        while (claim->begun && s < model->count && !is_thread_of(&model->stacks[s], claim))
            s++;
        if (!claim->begun || s == model->count)
            continue;
        model->stacks[s].claim = claim;
        if (model->stacks[s].tid == 0)
            model->stacks[s].tid = claim->tid;
    }
}

/* ---- order ---- */

enum { RANK_CRASHED, RANK_REQUEST, RANK_HOLDER, RANK_PYTHON, RANK_TASK, RANK_NATIVE };

static int rank_of(const struct pyd_dump_stack *stack, enum pyd_dump_tier tier)
{
    int holds = (stack->flags & PYD_DUMP_HOLDS_GIL) != 0;

    if (tier == PYD_DUMP_CRASH && holds)
        return RANK_CRASHED;
    if (stack->claim)
        return RANK_REQUEST;
    if (stack->is_task)
        return RANK_TASK;
    if (holds)
        return RANK_HOLDER;
    return stack->frames > 0 ? RANK_PYTHON : RANK_NATIVE;
}

static int compare_stacks(const void *left, const void *right)
{
    const struct pyd_dump_stack *a = left, *b = right;

    if (a->rank != b->rank)
        return a->rank - b->rank;
    if (a->claim && b->claim)
        return compare_claims(a->claim, b->claim);
    return a->text.begin < b->text.begin ? -1 : a->text.begin > b->text.begin;
}

static void sort_stacks(struct pyd_dump_model *model)
{
    for (size_t i = 0; i < model->count; i++)
        model->stacks[i].rank = rank_of(&model->stacks[i], model->input->tier);
    if (model->count > 1)
        qsort(model->stacks, model->count, sizeof(*model->stacks), compare_stacks);
}

int pyd_dump_model_create(const struct pyd_dump_input *input, struct pyd_dump_model *ret_model)
{
    struct pyd_dump_model model = {.input = input};
    int rv = sort_claims(&model);

    if (!rv)
        rv = read_text(&model);
    if (rv) {
        pyd_dump_model_destroy(&model);
        return rv;
    }
    join(&model);
    sort_stacks(&model);
    *ret_model = model;
    return 0;
}

void pyd_dump_model_destroy(struct pyd_dump_model *model)
{
    if (!model)
        return;
    free(model->stacks);
    free(model->claims);
    *model = (struct pyd_dump_model){0};
}
