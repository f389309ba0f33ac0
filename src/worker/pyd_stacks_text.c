/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pyd_clock.h"
#include "pyd_source.h"
#include "pyd_stacks.h"
#include "pyd_stacks_core.h"
#include "pyd_symbol.h"
#include "pyd_task.h"

/* More threads than anybody reads. */
#define THREADS_MAX 1000u
/* Native frames that are written: what called the kernel, or all that there is. */
#define FRAMES_BESIDE 16
#define FRAMES_ALONE 32
/* How long to wait for a thread that blocks signals to have them again. */
#define BLOCKED_US 20000

struct stack {
    struct pyd_task task;
    struct pyd_stacks_answer answer;
    char place[64];     /* without an answer: where it sleeps in the kernel */
    const char *remark; /* what is wrong, or NULL */
};

struct pyd_stacks {
    struct pyd_symbols *symbols; /* NULL if they could not be had */
    size_t left_out;
    size_t count;
    struct stack *list[THREADS_MAX]; /* owned */
};

/* ---- Which threads ---- */

static int is_request_thread(const struct pyd_task *task)
{
    return !strncmp(task->name, "pydaemon-", 9) && task->name[9] >= '0' && task->name[9] <= '9';
}

/* They wait for the manager and for the runtime's lock, which says nothing about what hangs. */
static int is_own(const struct pyd_task *task)
{
    return task->tid == (pid_t)syscall(SYS_gettid) || !strcmp(task->name, "pydaemon-keeper") ||
           !strcmp(task->name, "pydaemon-watch");
}

/* Request threads first, then main, then what the application has started. */
static int rank(const struct pyd_task *task)
{
    if (is_request_thread(task))
        return 0;
    return task->tid == getpid() ? 1 : 2;
}

static int compare_tasks(const void *a, const void *b)
{
    const struct pyd_task *first = a, *second = b;
    int by_rank = rank(first) - rank(second);

    return by_rank ? by_rank : first->tid < second->tid ? -1 : first->tid > second->tid;
}

/* @param tid only this one, or 0. @param ret_tasks owned */
static int list_tasks(pid_t tid, struct pyd_task **ret_tasks, size_t *ret_count)
{
    struct pyd_task *tasks;
    pid_t *tids = NULL;
    size_t count = 0, used = 0;
    int rv = pyd_task_list(&tids, &count);

    if (rv)
        return rv;
    tasks = calloc(count + 1, sizeof(*tasks));
    for (size_t i = 0; tasks && i < count; i++) {
        if ((!tid || tids[i] == tid) && !pyd_task_read(tids[i], PYD_STACKS_SIGNAL, &tasks[used]) &&
            !is_own(&tasks[used]))
            used++;
    }
    free(tids);
    if (!tasks)
        return ENOMEM;
    qsort(tasks, used, sizeof(*tasks), compare_tasks);
    *ret_tasks = tasks;
    *ret_count = used;
    return 0;
}

/* ---- Taking ---- */

static const char NO_TIME[] = "there was no time to ask it", NO_ANSWER[] = "it does not answer",
                  BLOCKED[] = "it blocks signals", ENDED[] = "it has ended";

/* Signals are blocked for moments, too: on the way out of a handler, ours for one, and while a thread or process is
 * made. None is sent meanwhile: some threads block them to wait for them. */
static int read_again(struct pyd_task *task, int64_t deadline_us)
{
    int rv = pyd_task_read(task->tid, PYD_STACKS_SIGNAL, task);

    while (!rv && task->blocked && pyd_clock_us() < deadline_us) {
        poll(NULL, 0, 1);
        rv = pyd_task_read(task->tid, PYD_STACKS_SIGNAL, task);
    }
    return rv;
}

static void ask(struct stack *stack, int64_t deadline_us)
{
    int64_t unblocked_us = pyd_clock_us() + (stack->remark == BLOCKED ? BLOCKED_US : 0);
    int rv = 0;

    if (read_again(&stack->task, unblocked_us < deadline_us ? unblocked_us : deadline_us))
        rv = ESRCH;
    else if (stack->task.blocked || !pyd_task_takes_signals(&stack->task))
        rv = ETIMEDOUT;
    if (!rv)
        rv = pyd_stacks_ask(stack->task.tid, stack->task.pending, deadline_us, &stack->answer);
    stack->remark = NULL;
    if (!rv && stack->answer.is_partial)
        stack->remark = "its other frames could not be had: the handler of signals that writes them hangs";
    else if (rv)
        stack->remark = rv == ESRCH ? ENDED : stack->task.blocked ? BLOCKED : NO_ANSWER;
}

static int can_answer(const struct pyd_task *task)
{
    return !task->blocked && !task->pending && pyd_task_takes_signals(task);
}

static struct stack *create_stack(const struct pyd_task *task)
{
    struct stack *stack = calloc(1, sizeof(*stack));

    if (!stack)
        return NULL;
    stack->task = *task;
    stack->remark = task->blocked ? BLOCKED : can_answer(task) ? NO_TIME : NO_ANSWER;
    return stack;
}

static size_t count_remarked(const struct pyd_stacks *stacks, const char *remark)
{
    size_t count = 0;

    for (size_t i = 0; i < stacks->count; i++)
        count += stacks->list[i]->remark == remark;
    return count;
}

/* Those with that remark. Most need next to nothing of their share, so that of the others grows. */
static void ask_those(struct pyd_stacks *stacks, const char *remark, int64_t deadline_us)
{
    size_t left = count_remarked(stacks, remark);

    for (size_t i = 0; i < stacks->count; i++) {
        struct stack *stack = stacks->list[i];
        int64_t now_us = pyd_clock_us();

        if (stack->remark != remark)
            continue;
        if (now_us < deadline_us)
            ask(stack, now_us + (deadline_us - now_us) / (int64_t)left);
        left--;
    }
}

static void ask_all(struct pyd_stacks *stacks, int64_t deadline_us)
{
    ask_those(stacks, NO_TIME, deadline_us);
    ask_those(stacks, BLOCKED, deadline_us);
    ask_those(stacks, NO_ANSWER, deadline_us);
    for (size_t i = 0; i < stacks->count; i++) {
        struct stack *stack = stacks->list[i];

        if (stack->remark)
            pyd_task_place(stack->task.tid, stack->place, sizeof(stack->place));
    }
}

int pyd_stacks_take(pid_t tid, int64_t deadline_us, struct pyd_stacks **ret_stacks)
{
    struct pyd_stacks *stacks = calloc(1, sizeof(*stacks));
    struct pyd_task *tasks = NULL;
    size_t count = 0;
    int rv = stacks ? list_tasks(tid, &tasks, &count) : ENOMEM;

    if (rv) {
        free(stacks);
        return rv;
    }
    while (stacks->count < count && stacks->count < THREADS_MAX &&
           (stacks->list[stacks->count] = create_stack(&tasks[stacks->count])))
        stacks->count++;
    stacks->left_out = count - stacks->count;
    free(tasks);
    ask_all(stacks, deadline_us);
    if (pyd_symbols_create(&stacks->symbols))
        stacks->symbols = NULL;
    *ret_stacks = stacks;
    return 0;
}

void pyd_stacks_destroy(struct pyd_stacks *stacks)
{
    if (!stacks)
        return;
    for (size_t i = 0; i < stacks->count; i++) {
        free(stacks->list[i]->answer.text);
        free(stacks->list[i]);
    }
    pyd_symbols_destroy(stacks->symbols);
    free(stacks);
}

/* ---- Writing ---- */

static void copy(char *room, size_t size, const struct pyd_dump_str *text)
{
    snprintf(room, size, "%.*s", (int)(text->size < size ? text->size : size), text->data);
}

/* @param deadline_us without names and source lines from then on */
static void write_frame(const struct pyd_dump_item *item, int64_t deadline_us, struct pyd_dump_writer *writer)
{
    char file[1024], function[512], source[512] = "";

    copy(file, sizeof(file), &item->file);
    copy(function, sizeof(function), &item->function);
    if (pyd_clock_us() >= deadline_us || pyd_source_line(file, item->line, source, sizeof(source)))
        source[0] = '\0';
    pyd_dump_frame(writer, file, item->line, function, source);
}

/* @return how many */
static int write_frames(const struct pyd_stacks_answer *answer, int64_t deadline_us, struct pyd_dump_writer *writer)
{
    const char *at = answer->text, *end = at ? at + answer->bytes : NULL;
    int count = 0;

    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((newline ? newline : end) - at);
        struct pyd_dump_item item;

        pyd_dump_parse_faulthandler(at, size, &item);
        if (item.kind == PYD_DUMP_FRAME && newline) { /* without: it was cut */
            if (writer)
                write_frame(&item, deadline_us, writer);
            count++;
        }
        at += size + 1;
    }
    return count;
}

static void write_native(const struct pyd_stacks *stacks, const struct pyd_stacks_answer *answer, int64_t deadline_us,
                         struct pyd_dump_writer *writer)
{
    int most = write_frames(answer, 0, NULL) ? FRAMES_BESIDE : FRAMES_ALONE;

    for (int i = 0; i < answer->count && i < most; i++) {
        struct pyd_symbol symbol;

        pyd_symbols_find(stacks->symbols, answer->pcs[i], i > 0, pyd_clock_us() < deadline_us, &symbol);
        pyd_dump_native(writer, symbol.name, symbol.offset, symbol.module);
    }
}

/* @param place where it sleeps in the kernel, if that is all there is; or NULL */
static void write_task(const struct pyd_task *task, unsigned flags, const char *place, const char *remark,
                       struct pyd_dump_writer *writer)
{
    pyd_dump_thread(writer, task->tid, flags, task->name);
    if (place && place[0])
        pyd_dump_native(writer, place, 0, "");
    if (remark)
        pyd_dump_remark(writer, remark);
    if (place && task->state[0] != 'S') /* to sleep is what most threads do */
        pyd_dump_remark(writer, task->state);
}

void pyd_stacks_write(const struct pyd_stacks *stacks, int plain, int64_t deadline_us, struct pyd_dump_writer *writer)
{
    char text[80];

    if (stacks->left_out) {
        snprintf(text, sizeof(text), "%zu more threads are not told of", stacks->left_out);
        pyd_dump_remark(writer, text);
    }
    for (size_t i = 0; i < stacks->count; i++) {
        const struct stack *stack = stacks->list[i];

        write_task(&stack->task, stack->answer.holds_lock ? PYD_DUMP_HOLDS_GIL : 0,
                   stack->answer.count ? NULL : stack->place, stack->remark, writer);
        write_native(stacks, &stack->answer, plain ? 0 : deadline_us, writer);
        write_frames(&stack->answer, plain ? 0 : deadline_us, writer);
    }
}

/* ---- Without signals ---- */

/* The threads of a text. @return how many */
static size_t list_written(const struct pyd_dump_writer *writer, pid_t tids[THREADS_MAX])
{
    const char *at = (const char *)writer->text.data, *end = at ? at + writer->text.size : NULL;
    struct pyd_dump_item item;
    size_t count = 0;

    while (count < THREADS_MAX && at < end && pyd_dump_next(&at, end, &item)) {
        if (item.kind == PYD_DUMP_THREAD)
            tids[count++] = item.tid;
    }
    return count;
}

static int is_among(pid_t tid, const pid_t tids[], size_t count)
{
    while (count > 0 && tids[count - 1] != tid)
        count--;
    return count > 0;
}

void pyd_stacks_write_proc(struct pyd_dump_writer *writer, pid_t tid)
{
    pid_t written[THREADS_MAX];
    size_t count = 0, written_count = list_written(writer, written);
    struct pyd_task *tasks = NULL;
    char place[64];

    if (list_tasks(tid, &tasks, &count))
        return;
    for (size_t i = 0; i < count && i < THREADS_MAX; i++) {
        if (!is_among(tasks[i].tid, written, written_count))
            write_task(&tasks[i], 0, pyd_task_place(tasks[i].tid, place, sizeof(place)), NULL, writer);
    }
    free(tasks);
}
