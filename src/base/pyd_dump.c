/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_dump.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Of the limit, for the line that says what was left out, and the NUL. */
#define END_ROOM 32
#define CUT_MARK "..."

/* ---- writing ---- */

void pyd_dump_writer_init(struct pyd_dump_writer *writer, size_t limit)
{
    memset(writer, 0, sizeof(*writer));
    writer->limit = limit;
}

void pyd_dump_writer_done(struct pyd_dump_writer *writer)
{
    pyd_buf_done(&writer->text);
}

static size_t field_size(const char *field)
{
    size_t size = strnlen(field, PYD_DUMP_FIELD_MAX + 1);

    if (size <= PYD_DUMP_FIELD_MAX)
        return size;
    size = PYD_DUMP_FIELD_MAX - (sizeof(CUT_MARK) - 1);
    /* Not half a UTF-8 character before the mark. */
    for (int i = 0; i < 3 && ((unsigned char)field[size] & 0xc0) == 0x80; i++)
        size--;
    return size;
}

static void append_field(struct pyd_buf *buf, const char *field)
{
    size_t size = field_size(field), start;

    pyd_buf_append(buf, "\t", 1);
    start = buf->size;
    pyd_buf_append(buf, field, size);
    if (field[size])
        pyd_buf_append_str(buf, CUT_MARK);
    for (size_t i = start; i < buf->size; i++)
        if (buf->data[i] == '\t' || buf->data[i] == '\n')
            buf->data[i] = '?';
}

/* All of a line or nothing of it; and nothing after it: a stack with a hole in it would mislead. */
static void append_line(struct pyd_dump_writer *writer, char kind, const char *const *fields, size_t count)
{
    struct pyd_buf *text = &writer->text;
    size_t start = text->size;

    if (!writer->left_out) {
        pyd_buf_append(text, &kind, 1);
        for (size_t i = 0; i < count; i++)
            append_field(text, fields[i]);
        pyd_buf_append(text, "\n", 1);
        if (pyd_buf_reserve(text, END_ROOM) && text->size + END_ROOM <= writer->limit)
            return;
        text->size = start;
    }
    writer->left_out++;
}

void pyd_dump_thread(struct pyd_dump_writer *writer, pid_t tid, unsigned flags, const char *name)
{
    char number[16], bits[16];

    snprintf(number, sizeof(number), "%d", (int)tid);
    snprintf(bits, sizeof(bits), "%u", flags);
    append_line(writer, 'T', (const char *const[]){number, bits, name}, 3);
}

void pyd_dump_frame(struct pyd_dump_writer *writer, const char *file, int line, const char *function,
                    const char *source)
{
    char number[16], stripped[PYD_DUMP_FIELD_MAX + 2];
    size_t size;

    source = source ? source + strspn(source, " \t\f\r\n") : "";
    size = strnlen(source, sizeof(stripped) - 1);
    if (!source[size])
        while (size > 0 && strchr(" \t\f\r\n", source[size - 1]))
            size--;
    memcpy(stripped, source, size);
    stripped[size] = '\0';
    snprintf(number, sizeof(number), "%d", line);
    append_line(writer, 'F', (const char *const[]){file, number, function, stripped}, 4);
}

void pyd_dump_native(struct pyd_dump_writer *writer, const char *symbol, uint64_t offset, const char *module)
{
    char number[24];

    snprintf(number, sizeof(number), "%llx", (unsigned long long)offset);
    append_line(writer, 'N', (const char *const[]){symbol, number, module}, 3);
}

void pyd_dump_task(struct pyd_dump_writer *writer, const char *name)
{
    append_line(writer, 'A', &name, 1);
}

void pyd_dump_remark(struct pyd_dump_writer *writer, const char *text)
{
    append_line(writer, 'X', &text, 1);
}

void pyd_dump_end(struct pyd_dump_writer *writer)
{
    struct pyd_buf *text = &writer->text;

    text->failed = 0; /* what has been written has left room for this */
    if (writer->left_out && writer->limit >= END_ROOM && pyd_buf_reserve(text, END_ROOM))
        text->size += (size_t)snprintf((char *)text->data + text->size, END_ROOM, "E\t%u\n", writer->left_out);
    if (pyd_buf_reserve(text, 1))
        text->data[text->size] = '\0';
}

/* ---- reading ---- */

/* The field at *at, which ends with a tab; the last one ends with the line. @return 0 if that is not how it is */
static int take_field(const char **at, const char *end, int is_last, struct pyd_dump_str *ret_field)
{
    const char *tab = memchr(*at, '\t', (size_t)(end - *at));

    if (is_last ? tab != NULL : tab == NULL)
        return 0;
    *ret_field = (struct pyd_dump_str){.data = *at, .size = (size_t)((is_last ? end : tab) - *at)};
    *at = is_last ? end : tab + 1;
    return 1;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return 99;
}

/* @return 0 if it is no number, or one above max */
static int parse_number(struct pyd_dump_str text, unsigned base, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (text.size == 0)
        return 0;
    for (size_t i = 0; i < text.size; i++) {
        unsigned digit = (unsigned)digit_value(text.data[i]);

        if (digit >= base || number > (max - digit) / base)
            return 0;
        number = number * base + digit;
    }
    *ret_number = number;
    return 1;
}

static int parse_int(struct pyd_dump_str text, int *ret_number)
{
    int is_negative = text.size > 0 && text.data[0] == '-';
    uint64_t number;

    if (is_negative)
        text = (struct pyd_dump_str){.data = text.data + 1, .size = text.size - 1};
    if (!parse_number(text, 10, INT_MAX, &number))
        return 0;
    *ret_number = is_negative ? -(int)number : (int)number;
    return 1;
}

static int read_thread(const char *at, const char *end, struct pyd_dump_item *item)
{
    struct pyd_dump_str tid, flags;
    uint64_t tid_number, bits;

    if (!take_field(&at, end, 0, &tid) || !take_field(&at, end, 0, &flags) || !take_field(&at, end, 1, &item->name) ||
        !parse_number(tid, 10, INT_MAX, &tid_number) || !parse_number(flags, 10, UINT_MAX, &bits))
        return 0;
    item->tid = (pid_t)tid_number;
    item->flags = (unsigned)bits;
    return 1;
}

static int read_frame(const char *at, const char *end, struct pyd_dump_item *item)
{
    struct pyd_dump_str line;

    return take_field(&at, end, 0, &item->file) && take_field(&at, end, 0, &line) &&
           take_field(&at, end, 0, &item->function) && take_field(&at, end, 1, &item->source) &&
           parse_int(line, &item->line);
}

static int read_native(const char *at, const char *end, struct pyd_dump_item *item)
{
    struct pyd_dump_str offset;

    return take_field(&at, end, 0, &item->symbol) && take_field(&at, end, 0, &offset) &&
           take_field(&at, end, 1, &item->module) && parse_number(offset, 16, UINT64_MAX, &item->offset);
}

/* Its fields are from at to end. @return the kind of line it is */
static enum pyd_dump_kind read_line(char kind, const char *at, const char *end, struct pyd_dump_item *item)
{
    switch (kind) {
    case 'T':
        return read_thread(at, end, item) ? PYD_DUMP_THREAD : PYD_DUMP_LINE_BAD;
    case 'F':
        return read_frame(at, end, item) ? PYD_DUMP_FRAME : PYD_DUMP_LINE_BAD;
    case 'N':
        return read_native(at, end, item) ? PYD_DUMP_NATIVE : PYD_DUMP_LINE_BAD;
    case 'A':
        return take_field(&at, end, 1, &item->name) ? PYD_DUMP_TASK : PYD_DUMP_LINE_BAD;
    case 'X':
        return take_field(&at, end, 1, &item->name) ? PYD_DUMP_REMARK : PYD_DUMP_LINE_BAD;
    case 'E':
        return take_field(&at, end, 1, &item->name) && parse_number(item->name, 10, UINT_MAX, &item->offset)
                   ? PYD_DUMP_LEFT_OUT
                   : PYD_DUMP_LINE_BAD;
    default:
        return PYD_DUMP_LINE_BAD;
    }
}

int pyd_dump_next(const char **at, const char *end, struct pyd_dump_item *ret_item)
{
    struct pyd_dump_item item = {0};
    const char *line = *at, *newline;

    if (line >= end)
        return 0;
    newline = memchr(line, '\n', (size_t)(end - line));
    *at = newline ? newline + 1 : end;
    if (!newline)
        newline = end;
    if (newline - line >= 2 && line[1] == '\t')
        item.kind = read_line(line[0], line + 2, newline, &item);
    if (item.kind == PYD_DUMP_LINE_BAD)
        item = (struct pyd_dump_item){0};
    *ret_item = item;
    return 1;
}

/* ---- what faulthandler writes ---- */

static int skip(struct pyd_dump_str *rest, const char *word)
{
    size_t size = strlen(word);

    if (rest->size < size || memcmp(rest->data, word, size) != 0)
        return 0;
    rest->data += size;
    rest->size -= size;
    return 1;
}

/* The last place where word stands in text, or NULL. */
static const char *find_last(struct pyd_dump_str text, const char *word)
{
    const char *found = NULL, *at = text.data, *end = text.data + text.size;

    while ((at = memmem(at, (size_t)(end - at), word, strlen(word))))
        found = at++;
    return found;
}

/* What is before at goes to the result, what is from behind it on stays. */
static struct pyd_dump_str split(struct pyd_dump_str *rest, const char *at, size_t separator)
{
    struct pyd_dump_str before = {.data = rest->data, .size = (size_t)(at - rest->data)};

    rest->size -= before.size + separator;
    rest->data = at + separator;
    return before;
}

/* "x.py", line 12 in f; or ???, line ??? in ???. Quotes in the file's name are not escaped, so it ends with the last
 * ", line ". */
static int parse_frame(struct pyd_dump_str rest, struct pyd_dump_item *item)
{
    const char *separator = find_last(rest, ", line ");
    struct pyd_dump_str line;

    if (!separator)
        return 0;
    item->file = split(&rest, separator, strlen(", line "));
    if (item->file.size >= 2 && item->file.data[0] == '"' && item->file.data[item->file.size - 1] == '"')
        item->file = (struct pyd_dump_str){.data = item->file.data + 1, .size = item->file.size - 2};
    separator = memmem(rest.data, rest.size, " in ", strlen(" in "));
    if (!separator)
        return 0;
    line = split(&rest, separator, strlen(" in "));
    item->function = rest;
    if (line.size == 3 && memcmp(line.data, "???", 3) == 0)
        return 1;
    return parse_int(line, &item->line);
}

/* 00007f12 [name] (most recent call first): */
static int parse_thread(struct pyd_dump_str rest, struct pyd_dump_item *item)
{
    const char *end = find_last(rest, " (most recent call first):");
    struct pyd_dump_str number;

    if (!end)
        return 0;
    rest.size = (size_t)(end - rest.data);
    end = memchr(rest.data, ' ', rest.size);
    number = end ? split(&rest, end, 1) : rest;
    if (end && rest.size >= 2 && rest.data[0] == '[' && rest.data[rest.size - 1] == ']')
        item->name = (struct pyd_dump_str){.data = rest.data + 1, .size = rest.size - 2};
    return parse_number(number, 16, UINT64_MAX, &item->offset);
}

/* "/usr/lib/x.so", at f+0x12 [0x7f...]; without a symbol: at +0x12 [0x7f...] */
static int parse_native(struct pyd_dump_str rest, struct pyd_dump_item *item)
{
    const char *at = find_last(rest, "\", at ");
    struct pyd_dump_str offset;

    if (!at)
        return 0;
    item->module = split(&rest, at, strlen("\", at "));
    at = find_last(rest, " [");
    if (at)
        rest.size = (size_t)(at - rest.data);
    at = find_last(rest, "+0x");
    if (!at)
        return 0;
    item->symbol = split(&rest, at, strlen("+0x"));
    offset = rest;
    return parse_number(offset, 16, UINT64_MAX, &item->offset);
}

static int is_remark(struct pyd_dump_str line)
{
    struct pyd_dump_str rest = line;

    return skip(&rest, "Fatal Python error: ") || skip(&rest, "Extension modules: ") ||
           (line.size == 3 && skip(&rest, "..."));
}

void pyd_dump_parse_faulthandler(const char *line, size_t size, struct pyd_dump_item *ret_item)
{
    struct pyd_dump_str rest = {.data = line, .size = size};
    struct pyd_dump_item item = {0};
    int known = 1;

    if (size > 0 && line[size - 1] == '\n')
        rest.size--;
    if (is_remark(rest)) {
        item.kind = PYD_DUMP_REMARK;
        item.name = rest;
    } else if (skip(&rest, "  File ")) {
        item.kind = PYD_DUMP_FRAME;
        known = parse_frame(rest, &item);
    } else if (skip(&rest, "Current thread 0x")) {
        item.kind = PYD_DUMP_THREAD;
        item.flags = PYD_DUMP_HOLDS_GIL;
        known = parse_thread(rest, &item);
    } else if (skip(&rest, "Thread 0x")) {
        item.kind = PYD_DUMP_THREAD;
        known = parse_thread(rest, &item);
    } else if (skip(&rest, "  Binary file \"")) {
        item.kind = PYD_DUMP_NATIVE;
        known = parse_native(rest, &item);
    }
    *ret_item = known ? item : (struct pyd_dump_item){0};
}
