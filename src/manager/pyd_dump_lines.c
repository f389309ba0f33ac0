/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_dump_lines.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pyd_buf.h"
#include "pyd_dump_model.h"
#include "pyd_logline.h"

/* Of a message, for what pyd_manager_dump.c puts around each line: message number, pid, "[dump 7 1/5]". */
#define AROUND_MAX 100

/* Frames of a deep stack that are shown: those that say what it does, and those that say for what. */
#define INNERMOST 40
#define OUTERMOST 20

/* Threads or tasks of a folded line that are listed. */
#define LISTED_MAX 8

struct output {
    const struct pyd_dump_model *model;
    struct pyd_dump_lines *lines;
    size_t left_out; /* lines beyond PYD_DUMP_LINES_MAX */
    struct pyd_buf line;
    int failed;
};

/* ---- one line ---- */

static void begin_line(struct output *output)
{
    static const char around[AROUND_MAX] = {0};

    pyd_buf_clear(&output->line);
    pyd_buf_append(&output->line, around, sizeof(around));
    /* Stands for what needs one byte in the log: pyd_logline_fit() below counts it. */
    if (output->line.size)
        memset(output->line.data, 'x', output->line.size);
}

__attribute__((format(printf, 2, 3))) static void add(struct output *output, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    pyd_buf_append_str(&output->line, text);
}

static void add_str(struct output *output, struct pyd_dump_str str)
{
    pyd_buf_append(&output->line, str.data, str.size);
}

static void end_line(struct output *output)
{
    struct pyd_dump_lines *lines = output->lines;
    size_t fits;
    char *line;

    if (lines->count >= PYD_DUMP_LINES_MAX - 1) {
        output->left_out++;
        return;
    }
    if (output->line.failed) {
        output->failed = 1;
        return;
    }
    fits = pyd_logline_fit((const char *)output->line.data, output->line.size);
    line = malloc(fits - AROUND_MAX + 1);
    if (!line) {
        output->failed = 1;
        return;
    }
    /* With '?' for NUL. */
    pyd_logline_copy(line, (const char *)output->line.data + AROUND_MAX, fits - AROUND_MAX);
    lines->lines[lines->count++] = line;
}

__attribute__((format(printf, 2, 3))) static void say(struct output *output, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    begin_line(output);
    pyd_buf_append_str(&output->line, text);
    end_line(output);
}

/* ---- parts of a line ---- */

static const char *what_of(const struct pyd_claim_view *claim)
{
    return claim->what[0] ? claim->what : "?";
}

static double seconds(int64_t us)
{
    return (double)us / 1e6;
}

/* "thread 1302", with its first letter as asked for; a task's name. */
static void add_name(struct output *output, const struct pyd_dump_stack *stack, char first)
{
    if (stack->is_task) {
        add(output, "%cask '", first);
        add_str(output, stack->name);
        add(output, "'");
    } else if (stack->tid > 0) {
        add(output, "%chread %d", first, (int)stack->tid);
    } else if (stack->ident) {
        add(output, "%chread 0x%llx", first, (unsigned long long)stack->ident);
    } else {
        add(output, "%chread ?", first);
    }
}

/* "Thread 1302 (pydaemon-4) GET /b 3.0 s, holds the GIL" */
static void add_head(struct output *output, const struct pyd_dump_stack *stack)
{
    add_name(output, stack, 'T');
    if (!stack->is_task && stack->name.size && (stack->frames || stack->claim)) {
        add(output, " (");
        add_str(output, stack->name);
        add(output, ")");
    }
    if (stack->claim)
        add(output, " %s %.1f s", what_of(stack->claim), seconds(stack->claim->elapsed_us));
    if (stack->flags & PYD_DUMP_HOLDS_GIL)
        add(output, output->model->input->tier == PYD_DUMP_CRASH ? ", crashed" : ", holds the GIL");
    else if (stack->waits_for_gil)
        add(output, ", waits for the GIL");
}

static void add_frame(struct output *output, const struct pyd_dump_item *frame)
{
    add(output, " file \"");
    add_str(output, frame->file);
    if (frame->line > 0)
        add(output, "\", line %d, in ", frame->line);
    else
        add(output, "\", line ?, in ");
    add_str(output, frame->function);
    if (frame->source.size) {
        add(output, ": ");
        add_str(output, frame->source);
    }
}

static struct pyd_dump_str base_name(struct pyd_dump_str path)
{
    const char *slash = path.size ? memrchr(path.data, '/', path.size) : NULL;

    if (slash)
        path = (struct pyd_dump_str){.data = slash + 1, .size = path.size - (size_t)(slash + 1 - path.data)};
    return path;
}

/* "select+0x5d (libc.so.6)", "libfoo.so+0x1f00", "futex" */
static void add_native(struct output *output, const struct pyd_dump_item *frame)
{
    struct pyd_dump_str module = base_name(frame->module);

    if (frame->symbol.size)
        add_str(output, frame->symbol);
    else if (module.size)
        add_str(output, module);
    else
        add(output, "?");
    if (frame->offset)
        add(output, "+0x%llx", (unsigned long long)frame->offset);
    if (frame->symbol.size && module.size) {
        add(output, " (");
        add_str(output, module);
        add(output, ")");
    }
}

/* True for a frame that is not shown, as the stack is that deep. */
static int is_omitted(size_t index, size_t count)
{
    return count > INNERMOST + OUTERMOST && index >= INNERMOST && index < count - OUTERMOST;
}

static void add_natives(struct output *output, const struct pyd_dump_stack *stack)
{
    struct pyd_dump_range rest = stack->native_text;
    struct pyd_dump_item item;
    size_t index = 0;

    while (index < stack->natives && pyd_dump_model_next(output->model->input, &rest, &item)) {
        if (item.kind != PYD_DUMP_NATIVE)
            continue;
        if (!is_omitted(index, stack->natives)) {
            if (index)
                add(output, " < ");
            add_native(output, &item);
        } else if (index == INNERMOST) {
            add(output, " < ... %zu frames left out", stack->natives - INNERMOST - OUTERMOST);
        }
        index++;
    }
}

/* @param separator what comes before the first one */
static void add_remarks(struct output *output, const struct pyd_dump_stack *stack, const char *separator)
{
    struct pyd_dump_range rest = stack->text;
    struct pyd_dump_item item;
    size_t index = 0;

    while (index < stack->remarks && pyd_dump_model_next(output->model->input, &rest, &item)) {
        if (item.kind != PYD_DUMP_REMARK)
            continue;
        add(output, "%s", index ? "; " : separator);
        add_str(output, item.name);
        index++;
    }
}

/* ---- the lines of a stack ---- */

/* Native frames and remarks of a thread whose Python frames have been shown. */
static void show_native_part(struct output *output, const struct pyd_dump_stack *stack)
{
    if (stack->natives) {
        begin_line(output);
        add(output, "native: ");
        add_natives(output, stack);
        add_remarks(output, stack, "; ");
        end_line(output);
    } else if (stack->remarks) {
        begin_line(output);
        add_name(output, stack, 't');
        add_remarks(output, stack, ": ");
        end_line(output);
    }
}

static void show_frames(struct output *output, const struct pyd_dump_stack *stack)
{
    struct pyd_dump_range rest = stack->text;
    struct pyd_dump_item item;
    size_t index = 0;

    while (index < stack->frames && pyd_dump_model_next(output->model->input, &rest, &item)) {
        if (item.kind != PYD_DUMP_FRAME)
            continue;
        if (index == INNERMOST && is_omitted(index, stack->frames))
            say(output, "... %zu frames left out", stack->frames - INNERMOST - OUTERMOST);
        if (!is_omitted(index, stack->frames)) {
            begin_line(output);
            if (index == 0) {
                add_head(output, stack);
                add(output, stack->is_task ? " awaiting" : ", executing");
            } else {
                add(output, "called from");
            }
            add_frame(output, &item);
            end_line(output);
        }
        index++;
    }
}

/* Whose Python frames have been shown and are the same? */
static const struct pyd_dump_stack *find_same(const struct pyd_dump_model *model, const struct pyd_dump_stack *stack)
{
    for (size_t i = 0; stack->frames && i < model->count; i++) {
        const struct pyd_dump_stack *other = &model->stacks[i];

        if (other->is_shown && other->is_task == stack->is_task && other->frames == stack->frames &&
            other->frames_hash == stack->frames_hash)
            return other;
    }
    return NULL;
}

/* Which of them are told of in one line? Never one with a request, nor the one that holds the lock. */
static int is_like(const struct pyd_dump_stack *stack, const struct pyd_dump_stack *other)
{
    return !other->is_shown && !stack->claim && !other->claim && stack->flags == 0 && other->flags == 0 &&
           stack->is_task == other->is_task && stack->frames == other->frames && stack->natives == other->natives &&
           stack->remarks == other->remarks && stack->frames_hash == other->frames_hash &&
           stack->natives_hash == other->natives_hash;
}

static size_t count_like(const struct pyd_dump_model *model, const struct pyd_dump_stack *stack)
{
    size_t count = 0;

    for (size_t i = 0; i < model->count; i++)
        count += &model->stacks[i] != stack && is_like(stack, &model->stacks[i]);
    return count;
}

static void add_listed(struct output *output, const struct pyd_dump_stack *stack, size_t index)
{
    if (index > LISTED_MAX)
        return;
    if (index)
        add(output, ", ");
    if (index == LISTED_MAX) {
        add(output, "...");
    } else if (stack->is_task) {
        add(output, "'");
        add_str(output, stack->name);
        add(output, "'");
    } else {
        add(output, "%d", (int)stack->tid);
    }
}

/* "12 threads (140001, 140002, ...)"; they count as shown from now on. */
static void add_group(struct output *output, struct pyd_dump_stack *stack, size_t count)
{
    const struct pyd_dump_model *model = output->model;
    int has_names = stack->is_task || stack->tid > 0; /* a number that faulthandler gives tells nobody anything */
    size_t index = 0;

    add(output, "%zu %s%s", count, stack->is_task ? "tasks" : "threads", has_names ? " (" : "");
    for (size_t i = 0; i < model->count; i++) {
        struct pyd_dump_stack *other = &model->stacks[i];

        if (other != stack && !is_like(stack, other))
            continue;
        if (has_names)
            add_listed(output, other, index++);
        if (other != stack)
            other->is_shown = 1;
    }
    add(output, has_names ? ")" : "");
}

static void show_same(struct output *output, struct pyd_dump_stack *stack, const struct pyd_dump_stack *same)
{
    size_t like = count_like(output->model, stack);

    begin_line(output);
    if (like)
        add_group(output, stack, 1 + like);
    else
        add_head(output, stack);
    add(output, ", same stack as ");
    add_name(output, same, 't');
    end_line(output);
    if (stack->natives_hash != same->natives_hash || stack->remarks)
        show_native_part(output, stack);
}

/* A thread that runs no Python, or a task whose stack is not known. */
static void show_without_frames(struct output *output, struct pyd_dump_stack *stack)
{
    size_t like = stack->is_task ? 0 : count_like(output->model, stack);

    begin_line(output);
    if (like)
        add_group(output, stack, 1 + like);
    else
        add_head(output, stack);
    if (stack->natives) {
        add(output, stack->claim || stack->flags || stack->waits_for_gil ? ", native: " : " native: ");
        add_natives(output, stack);
        add_remarks(output, stack, "; ");
    } else if (stack->remarks) {
        add_remarks(output, stack, ": ");
    } else {
        add(output, ": no stack");
    }
    if (!like && !stack->claim && !stack->is_task && stack->name.size) {
        add(output, " [");
        add_str(output, stack->name);
        add(output, "]");
    }
    end_line(output);
}

static void show_stack(struct output *output, struct pyd_dump_stack *stack)
{
    const struct pyd_dump_stack *same = find_same(output->model, stack);

    if (same) {
        show_same(output, stack, same);
    } else if (stack->frames) {
        show_frames(output, stack);
        show_native_part(output, stack);
    } else {
        show_without_frames(output, stack);
    }
    stack->is_shown = 1;
}

/* ---- requests ---- */

static const struct pyd_dump_stack *find_stack(const struct pyd_dump_model *model, const struct pyd_claim_view *claim)
{
    for (size_t i = 0; i < model->count; i++)
        if (model->stacks[i].claim == claim)
            return &model->stacks[i];
    return NULL;
}

/* 3 of pydaemon-3, as other messages call it; else what the kernel calls it. */
static int thread_number(const struct pyd_dump_model *model, const struct pyd_claim_view *claim)
{
    const struct pyd_dump_stack *stack = find_stack(model, claim);
    char name[16];
    int number;

    if (!stack || stack->name.size >= sizeof(name))
        return (int)claim->tid;
    memcpy(name, stack->name.data, stack->name.size);
    name[stack->name.size] = '\0';
    return sscanf(name, "pydaemon-%d", &number) == 1 ? number : (int)claim->tid;
}

/* "Request GET /x 3.2 s (request WxYz, client 203.0.113.9, thread 3): the worker does not answer" */
static void show_request(struct output *output, const struct pyd_claim_view *claim, const char *remark)
{
    const char *separator = " (";

    begin_line(output);
    add(output, "Request %s %.1f s", what_of(claim), seconds(claim->elapsed_us));
    if (claim->request_id[0]) {
        add(output, "%srequest %s", separator, claim->request_id);
        separator = ", ";
    }
    if (claim->client[0]) {
        add(output, "%sclient %s", separator, claim->client);
        separator = ", ";
    }
    if (claim->begun && claim->tid > 0) {
        add(output, "%sthread %d", separator, thread_number(output->model, claim));
        separator = ", ";
    }
    add(output, "%s: %s", separator[0] == ',' ? ")" : "", remark);
    end_line(output);
}

/* A slow request may have ended by the time its thread is looked at. */
static void show_missing_thread(struct output *output)
{
    const struct pyd_dump_model *model = output->model;
    pid_t tid = model->input->only_tid;

    if (!tid || model->count > 0)
        return;
    for (size_t i = 0; i < model->claim_count; i++)
        if (model->claims[i]->begun && model->claims[i]->tid == tid)
            return;
    say(output, "Thread %d: no stack, and no request any more", (int)tid);
}

static const char *why_without_stack(enum pyd_dump_tier tier, int begun)
{
    if (tier == PYD_DUMP_PROC)
        return begun ? "the worker does not answer" : "not begun, the worker does not answer";
    if (!begun)
        return "not begun";
    return tier == PYD_DUMP_NONE ? "the worker has ended" : "no stack of its thread";
}

/* Of a worker that answers: those that no thread shown executes. Of another one: all. */
static void show_requests(struct output *output, int answers)
{
    const struct pyd_dump_model *model = output->model;
    pid_t only_tid = model->input->only_tid;

    for (size_t i = 0; i < model->claim_count; i++) {
        const struct pyd_claim_view *claim = model->claims[i];

        if (only_tid && !(claim->begun && claim->tid == only_tid))
            continue;
        if (answers && find_stack(model, claim))
            continue;
        show_request(output, claim, why_without_stack(model->input->tier, claim->begun));
    }
}

/* ---- the whole ---- */

static void show_remark(struct output *output, struct pyd_dump_str text)
{
    if (text.size == 3 && memcmp(text.data, "...", 3) == 0) {
        say(output, "There are more threads: only the first 100 are shown after a crash");
        return;
    }
    begin_line(output);
    add_str(output, text);
    end_line(output);
}

static void show_beginning(struct output *output)
{
    const struct pyd_dump_model *model = output->model;

    say(output, "Dumping stack trace for active Python threads.");
    if (model->input->tier == PYD_DUMP_NO_GIL)
        say(output, "The GIL was not to be had: these stacks were taken without it.");
    if (model->input->tier == PYD_DUMP_PROC || model->input->tier == PYD_DUMP_NONE)
        show_requests(output, 0);
    if (model->input->tier == PYD_DUMP_PROC)
        say(output, "The worker did not answer: this is what the kernel tells of its threads.");
    if (model->input->tier == PYD_DUMP_NONE)
        say(output, "The worker has ended without having told where its threads were.");
    for (size_t i = 0; i < model->first_remarks; i++)
        show_remark(output, model->remarks[i]);
}

static void show_end(struct output *output)
{
    const struct pyd_dump_model *model = output->model;
    enum pyd_dump_tier tier = model->input->tier;
    struct pyd_dump_lines *lines = output->lines;

    if (tier != PYD_DUMP_PROC && tier != PYD_DUMP_NONE)
        show_requests(output, 1);
    show_missing_thread(output);
    for (size_t i = model->first_remarks; i < model->remark_count; i++)
        show_remark(output, model->remarks[i]);
    if (model->skipped)
        say(output, "... %zu threads and tasks left out", model->skipped);
    if (model->left_out)
        say(output, "... %llu lines left out by the worker", (unsigned long long)model->left_out);
    if (output->left_out && !output->failed && asprintf(&lines->lines[lines->count], "... %zu lines left out",
                                                        output->left_out) < 0)
        output->failed = 1;
    else if (output->left_out && !output->failed)
        lines->count++;
}

int pyd_dump_lines_create(const struct pyd_dump_input *input, struct pyd_dump_lines *ret_lines)
{
    struct pyd_dump_lines lines = {0};
    struct pyd_dump_model model;
    struct output output = {.model = &model, .lines = &lines};
    int rv = pyd_dump_model_create(input, &model);

    if (rv)
        return rv;
    lines.lines = calloc(PYD_DUMP_LINES_MAX, sizeof(*lines.lines));
    if (!lines.lines) {
        rv = ENOMEM;
        goto leave;
    }
    show_beginning(&output);
    for (size_t i = 0; i < model.count && !output.failed; i++)
        if (!model.stacks[i].is_shown)
            show_stack(&output, &model.stacks[i]);
    show_end(&output);
    if (output.failed) {
        rv = ENOMEM;
        goto leave;
    }
    *ret_lines = lines;
    lines = (struct pyd_dump_lines){0};

leave:
    pyd_buf_done(&output.line);
    pyd_dump_lines_destroy(&lines);
    pyd_dump_model_destroy(&model);
    return rv;
}

void pyd_dump_lines_destroy(struct pyd_dump_lines *lines)
{
    if (!lines)
        return;
    for (size_t i = 0; i < lines->count; i++)
        free(lines->lines[i]);
    free(lines->lines);
    *lines = (struct pyd_dump_lines){0};
}
