/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target for what a worker tells of its stacks, and what faulthandler leaves behind. The input
 * is a text; each tier, with all threads and with one of them, makes lines of it. Asserted: nothing outside of the
 * text is looked at; what is read and written again is the same; lines are few, short, and without a newline.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pyd_dump.h"
#include "pyd_dump_lines.h"
#include "pyd_logline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ONE_TID 1301

static const struct pyd_claim_view CLAIMS[] = {
    {.begun = 1, .late = 1, .elapsed_us = 60000000, .tid = 1301, .thread = 0x7f01, .what = "GET /late",
     .client = "203.0.113.9", .request_id = "WxYz"},
    {.begun = 1, .elapsed_us = INT64_MAX, .tid = 1302, .thread = 0x7f02, .what = "GET /\xff\\\n"},
    {.begun = 1, .elapsed_us = 200000, .tid = 1303, .thread = 0x7f03},
    {.elapsed_us = 0, .what = "POST /new"},
};

static void check(int condition)
{
    if (!condition)
        abort();
}

static void check_str(struct pyd_dump_str str, const char *text, const char *end)
{
    if (str.size)
        check(str.data >= text && str.size <= (size_t)(end - str.data));
}

static void check_item(const struct pyd_dump_item *item, const char *text, const char *end)
{
    check_str(item->name, text, end);
    check_str(item->file, text, end);
    check_str(item->function, text, end);
    check_str(item->source, text, end);
    check_str(item->symbol, text, end);
    check_str(item->module, text, end);
}

static char *copy(struct pyd_dump_str str)
{
    char *string = malloc(str.size + 1);

    check(string != NULL);
    if (str.size)
        memcpy(string, str.data, str.size);
    string[str.size] = '\0';
    return string;
}

static void write_item(struct pyd_dump_writer *writer, const struct pyd_dump_item *item)
{
    char *name = copy(item->name), *file = copy(item->file), *function = copy(item->function),
         *source = copy(item->source), *symbol = copy(item->symbol), *module = copy(item->module);

    if (item->kind == PYD_DUMP_THREAD)
        pyd_dump_thread(writer, item->tid, item->flags, name);
    else if (item->kind == PYD_DUMP_FRAME)
        pyd_dump_frame(writer, file, item->line, function, source);
    else if (item->kind == PYD_DUMP_NATIVE)
        pyd_dump_native(writer, symbol, item->offset, module);
    else if (item->kind == PYD_DUMP_TASK)
        pyd_dump_task(writer, name);
    else if (item->kind == PYD_DUMP_REMARK)
        pyd_dump_remark(writer, name);
    free(name);
    free(file);
    free(function);
    free(source);
    free(symbol);
    free(module);
}

/* What is read is written; what is read of that is written, and must be the same text. */
static struct pyd_dump_writer rewrite(const char *text, size_t size, size_t limit)
{
    struct pyd_dump_writer writer;
    struct pyd_dump_item item;
    const char *at = text;

    pyd_dump_writer_init(&writer, limit);
    while (pyd_dump_next(&at, text + size, &item)) {
        check(at > text && at <= text + size);
        check_item(&item, text, text + size);
        write_item(&writer, &item);
    }
    pyd_dump_end(&writer);
    check(writer.text.data && writer.text.data[writer.text.size] == '\0');
    check(writer.text.size <= limit);
    return writer;
}

static void check_rewritten(const char *text, size_t size)
{
    struct pyd_dump_writer once = rewrite(text, size, 1 << 20);
    struct pyd_dump_writer twice = rewrite((const char *)once.text.data, once.text.size, 1 << 20);
    struct pyd_dump_writer little = rewrite(text, size, size / 2 + 32);

    check(once.left_out || (once.text.size == twice.text.size &&
                            memcmp(once.text.data, twice.text.data, once.text.size) == 0));
    pyd_dump_writer_done(&once);
    pyd_dump_writer_done(&twice);
    pyd_dump_writer_done(&little);
}

static void check_faulthandler(const char *text, size_t size)
{
    const char *end = text + size;

    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *next = newline ? newline + 1 : end;
        struct pyd_dump_item item;

        pyd_dump_parse_faulthandler(text, (size_t)(next - text), &item);
        check_item(&item, text, next);
        text = next;
    }
}

static void check_lines(const char *text, size_t size, enum pyd_dump_tier tier, pid_t only_tid)
{
    struct pyd_dump_input input = {.tier = tier,
                                   .text = text,
                                   .bytes = size,
                                   .claims = CLAIMS,
                                   .claim_count = sizeof(CLAIMS) / sizeof(CLAIMS[0]),
                                   .only_tid = only_tid};
    struct pyd_dump_lines lines;

    check(pyd_dump_lines_create(&input, &lines) == 0);
    check(lines.count > 0 && lines.count <= PYD_DUMP_LINES_MAX);
    check(strcmp(lines.lines[0], "Dumping stack trace for active Python threads.") == 0);
    for (size_t i = 0; i < lines.count; i++) {
        size_t line = strlen(lines.lines[i]);

        check(pyd_logline_fit(lines.lines[i], line) == line);
    }
    pyd_dump_lines_destroy(&lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;

    check_rewritten(text, size);
    check_faulthandler(text, size);
    for (int tier = PYD_DUMP_NONE; tier <= PYD_DUMP_CRASH; tier++) {
        check_lines(text, size, (enum pyd_dump_tier)tier, 0);
        check_lines(text, size, (enum pyd_dump_tier)tier, ONE_TID);
    }
    return 0;
}
