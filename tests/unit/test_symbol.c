/* SPDX-License-Identifier: Apache-2.0 */
/* Names of functions, and source lines: what dumps show beside bare stacks. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "pyd_source.h"
#include "pyd_symbol.h"

static char folder[] = "/tmp/pyd_test_symbol_XXXXXX";
static char source_path[64];

static void has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in '%s'", part, text);
}

/* ---- Names ---- */

int test_symbol_function(int number); /* not static: it is in each table */
__attribute__((noinline)) int test_symbol_function(int number)
{
    return number * number + 7;
}

__attribute__((noinline)) static const void *return_address(void)
{
    return __builtin_return_address(0);
}

static void test_symbols(void **state)
{
    struct pyd_symbols *symbols = NULL;
    struct pyd_symbol symbol;
    const char *address = (const char *)(uintptr_t)test_symbol_function;
    void *room = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_true(room != MAP_FAILED);
    assert_int_equal(pyd_symbols_create(&symbols), 0);
    for (int i = 0; i < 2; i++) { /* the second one comes from memory */
        pyd_symbols_find(symbols, address + 3, 0, 1, &symbol);
        assert_string_equal(symbol.name, "test_symbol_function");
        assert_int_equal(symbol.offset, 3);
        has(symbol.module, "test_symbol");
        /* Where a call that is the last thing of a function would return to. */
        pyd_symbols_find(symbols, address, 1, 1, &symbol);
        assert_string_not_equal(symbol.name, "test_symbol_function");
    }
    pyd_symbols_find(symbols, return_address(), 1, 1, &symbol);
    assert_string_equal(symbol.name, "test_symbols");
    pyd_symbols_find(symbols, (const void *)(uintptr_t)dlsym(RTLD_DEFAULT, "qsort"), 0, 1, &symbol);
    has(symbol.name, "qsort");
    pyd_symbols_find(symbols, address, 0, 0, &symbol);
    assert_string_equal(symbol.name, "");
    has(symbol.module, "test_symbol");
    pyd_symbols_find(symbols, room, 0, 1, &symbol);
    assert_string_equal(symbol.name, "");
    assert_string_equal(symbol.module, "?");
    pyd_symbols_find(symbols, (const void *)16, 0, 1, &symbol);
    assert_string_equal(symbol.module, "?");
    assert_int_equal(symbol.offset, 16);
    pyd_symbols_find(NULL, address, 0, 1, &symbol);
    assert_string_equal(symbol.module, "?");
    pyd_symbols_destroy(symbols);
    pyd_symbols_destroy(NULL);
    munmap(room, 4096);
}

/* Files that are mapped need not be what they were, or anything. */
static void expect_no_name(const void *content, size_t size, int is_removed)
{
    struct pyd_symbols *symbols = NULL;
    struct pyd_symbol symbol;
    char path[64];
    void *room;
    int fd;

    snprintf(path, sizeof(path), "%s/library", folder);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, size), (ssize_t)size);
    assert_int_equal(ftruncate(fd, 65536), 0);
    room = mmap(NULL, 65536, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    assert_true(room != MAP_FAILED);
    if (is_removed)
        unlink(path);
    assert_int_equal(pyd_symbols_create(&symbols), 0);
    pyd_symbols_find(symbols, (char *)room + 4660, 0, 1, &symbol);
    assert_string_equal(symbol.name, "");
    assert_string_equal(symbol.module, is_removed ? "library (deleted)" : "library");
    assert_int_equal(symbol.offset, 4660);
    pyd_symbols_destroy(symbols);
    munmap(room, 65536);
    close(fd);
    unlink(path);
}

static void test_no_symbols(void **state)
{
    unsigned char head[64];
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(read(fd, head, sizeof(head)), (ssize_t)sizeof(head));
    close(fd);
    expect_no_name("", 0, 0);
    expect_no_name("text", 4, 0);
    expect_no_name(head, sizeof(head), 0); /* tables beyond its end */
    expect_no_name(head, sizeof(head), 1);
    memset(head + 40, 0xff, 24); /* absurd places and numbers */
    expect_no_name(head, sizeof(head), 0);
}

/* ---- Source lines ---- */

static void write_source(const char *text, size_t size)
{
    int fd = open(source_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, size), (ssize_t)size);
    close(fd);
}

static void expect_line(int line, const char *text)
{
    char room[32];

    assert_int_equal(pyd_source_line(source_path, line, room, sizeof(room)), 0);
    assert_string_equal(room, text);
}

static void test_source_lines(void **state)
{
    static const char text[] = "first\n    the second = line()\n\n\tumlaut \xc3\xa4\xff\nlast without newline";
    char room[8];

    (void)state;
    write_source(text, sizeof(text) - 1);
    expect_line(1, "first");
    expect_line(2, "    the second = line()");
    expect_line(3, "");
    expect_line(4, "\tumlaut \xc3\xa4\xff");
    expect_line(5, "last without newline");
    assert_int_equal(pyd_source_line(source_path, 6, room, sizeof(room)), ENOENT);
    assert_int_equal(pyd_source_line(source_path, 0, room, sizeof(room)), EINVAL);
    assert_int_equal(pyd_source_line(source_path, -1, room, sizeof(room)), EINVAL);
    assert_int_equal(pyd_source_line(source_path, 2, room, sizeof(room)), 0);
    assert_string_equal(room, "    the");
}

/* Lines that do not lie in one read(2). */
static void test_source_long_lines(void **state)
{
    size_t size = 100000;
    char *text = malloc(size), room[1000];

    (void)state;
    memset(text, 'a', size);
    for (size_t i = 8190; i < size; i += 8191)
        text[i] = '\n';
    memcpy(text + 8191, "begin", 5);
    write_source(text, size);
    assert_int_equal(pyd_source_line(source_path, 2, room, sizeof(room)), 0);
    assert_memory_equal(room, "beginaaa", 8);
    assert_int_equal(strlen(room), sizeof(room) - 1);
    assert_int_equal(pyd_source_line(source_path, 12, room, sizeof(room)), 0);
    assert_int_equal(pyd_source_line(source_path, 14, room, sizeof(room)), ENOENT);
    free(text);
}

static void test_source_that_is_none(void **state)
{
    char path[64], room[100];
    int fd;

    (void)state;
    assert_int_equal(pyd_source_line("<string>", 1, room, sizeof(room)), ENOENT);
    assert_int_equal(pyd_source_line(folder, 1, room, sizeof(room)), EINVAL);
    assert_int_equal(pyd_source_line("/dev/zero", 1, room, sizeof(room)), EINVAL);
    snprintf(path, sizeof(path), "%s/fifo", folder);
    assert_int_equal(pyd_source_line(path, 1, room, sizeof(room)), EINVAL);
    snprintf(path, sizeof(path), "%s/large", folder);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 4 << 20), 0);
    close(fd);
    assert_int_equal(pyd_source_line(path, 1, room, sizeof(room)), EFBIG);
    unlink(path);
}

static int set_up(void **state)
{
    char path[64];

    (void)state;
    if (!mkdtemp(folder))
        return 1;
    snprintf(source_path, sizeof(source_path), "%s/source.py", folder);
    snprintf(path, sizeof(path), "%s/fifo", folder);
    return mkfifo(path, 0600);
}

static int tear_down(void **state)
{
    char path[64];

    (void)state;
    snprintf(path, sizeof(path), "%s/fifo", folder);
    unlink(path);
    unlink(source_path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_symbols),
        cmocka_unit_test(test_no_symbols),
        cmocka_unit_test(test_source_lines),
        cmocka_unit_test(test_source_long_lines),
        cmocka_unit_test(test_source_that_is_none),
    };

    return cmocka_run_group_tests_name("symbol", tests, set_up, tear_down);
}
