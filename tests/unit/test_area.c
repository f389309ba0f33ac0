/* SPDX-License-Identifier: Apache-2.0 */
#include "board_fixture.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pyd_fd.h"

#define SLOTS 3u
#define THREADS 15u

static int status_fd = -1;
static int64_t area; /* the one in the middle */

static int set_up(void **state)
{
    (void)state;
    area = pyd_area_offset(SLOTS, THREADS, 1);
    return pyd_fd_memory("status", (size_t)pyd_area_offset(SLOTS, THREADS, SLOTS), &status_fd);
}

static int tear_down(void **state)
{
    (void)state;
    pyd_fd_close(&status_fd);
    return 0;
}

static int64_t blocks(void)
{
    struct stat info;

    assert_int_equal(fstat(status_fd, &info), 0);
    return info.st_blocks;
}

static void put(int64_t at, const void *data, size_t size)
{
    assert_int_equal(pwrite(status_fd, data, size, (off_t)at), (ssize_t)size);
}

static struct pyd_area_head head_of(uint32_t dump)
{
    return (struct pyd_area_head){.epoch = 7, .dump = dump, .tier = PYD_DUMP_GIL};
}

static void expect_none(uint32_t epoch)
{
    struct pyd_area_head head;
    char *text = NULL;

    assert_int_equal(pyd_area_read(status_fd, area, epoch, &head, &text), ENOENT);
    assert_null(text);
}

static void expect_text(uint32_t dump, const char *expected, size_t bytes)
{
    struct pyd_area_head head;
    char *text = NULL;

    assert_int_equal(pyd_area_read(status_fd, area, 7, &head, &text), 0);
    assert_int_equal(head.dump, dump);
    assert_int_equal(head.bytes, bytes);
    assert_memory_equal(text, expected, bytes);
    assert_int_equal(text[bytes], 0);
    free(text);
}

/* Punching a hole has no effect on what shares a page with something else. */
static void test_areas_have_pages_of_their_own(void **state)
{
    uint32_t slots, threads, s;

    (void)state;
    for (threads = 1; threads <= 1000; threads += 37) {
        for (slots = 3; slots < 100; slots += 9) {
            int64_t records = (int64_t)(slots * pyd_status_stride(threads));

            assert_in_range(pyd_area_offset(slots, threads, 0), records, records + 65535);
            for (s = 0; s < slots; ++s) {
                assert_int_equal(pyd_area_offset(slots, threads, s) % 65536, 0);
                assert_int_equal(pyd_area_offset(slots, threads, s + 1) - pyd_area_offset(slots, threads, s),
                                 PYD_AREA_BYTES);
            }
        }
    }
    assert_true(sizeof(struct pyd_area_head) <= PYD_AREA_TEXT_AT);
    assert_true(PYD_AREA_TEXT_AT + PYD_AREA_TEXT_MAX <= PYD_AREA_CRASH_AT);
    assert_true(PYD_AREA_CRASH_AT + PYD_AREA_CRASH_MAX <= PYD_AREA_BYTES);
    /* Beyond 4 GiB, too. */
    assert_true(pyd_area_offset(3000, 1000, 2999) > INT64_C(2999) * PYD_AREA_BYTES);
}

static void test_a_dump_comes_back(void **state)
{
    (void)state;
    expect_none(7);
    assert_int_equal(pyd_area_write(status_fd, area, head_of(1), "T 1\n", 4), 0);
    expect_text(1, "T 1\n", 4);
    expect_none(8);
    expect_none(0);
    assert_int_equal(pyd_area_write(status_fd, area, head_of(2), "a\0b", 3), 0);
    expect_text(2, "a\0b", 3);
    assert_int_equal(pyd_area_write(status_fd, area, head_of(3), NULL, 0), 0);
    expect_text(3, "", 0);
}

static void test_long_text_is_cut(void **state)
{
    size_t size = PYD_AREA_TEXT_MAX + 5000;
    char *text = malloc(size), *crash = NULL;

    (void)state;
    assert_non_null(text);
    memset(text, 'x', size);
    assert_int_equal(pyd_area_write(status_fd, area, head_of(1), text, size), 0);
    expect_text(1, text, PYD_AREA_TEXT_MAX);
    assert_int_equal(pyd_area_read_crash(status_fd, area, 7, &crash), ENOENT);
    free(text);
}

static void test_heads_that_lie(void **state)
{
    const struct pyd_area_head lies[] = {
        {.epoch = 7, .tier = PYD_DUMP_NONE, .bytes = 3},
        {.epoch = 7, .tier = PYD_DUMP_PROC, .bytes = 3},
        {.epoch = 7, .tier = PYD_DUMP_CRASH, .bytes = 3},
        {.epoch = 7, .tier = UINT32_MAX, .bytes = 3},
        {.epoch = 7, .tier = PYD_DUMP_GIL, .bytes = PYD_AREA_TEXT_MAX + 1},
        {.epoch = 7, .tier = PYD_DUMP_GIL, .bytes = UINT32_MAX},
        {.epoch = 6, .tier = PYD_DUMP_GIL, .bytes = 3},
    };
    const struct pyd_area_head most = {.epoch = 7, .tier = PYD_DUMP_NO_GIL, .bytes = PYD_AREA_TEXT_MAX};
    struct pyd_area_head head;
    char *text = NULL;
    size_t i;

    (void)state;
    put(area + PYD_AREA_TEXT_AT, "abc", 3);
    for (i = 0; i < sizeof(lies) / sizeof(*lies); ++i) {
        put(area, &lies[i], sizeof(lies[i]));
        expect_none(7);
    }
    put(area, &most, sizeof(most));
    assert_int_equal(pyd_area_read(status_fd, area, 7, &head, &text), 0);
    assert_string_equal(text, "abc");
    free(text);
}

static void test_what_is_no_status_file(void **state)
{
    struct pyd_area_head head;
    char *text = NULL;
    int small = -1;

    (void)state;
    assert_int_equal(pyd_area_write(-1, area, head_of(1), "x", 1), EBADF);
    assert_int_equal(pyd_area_read(-1, area, 7, &head, &text), EBADF);
    assert_int_equal(pyd_area_read_crash(-1, area, 7, &text), EBADF);
    assert_int_equal(pyd_area_open(-1, area, 7), EBADF);
    assert_int_equal(pyd_fd_memory("small", 100, &small), 0);
    assert_int_equal(pyd_area_write(small, area, head_of(1), "x", 1), EPERM);
    assert_int_equal(pyd_area_read(small, area, 7, &head, &text), EINVAL);
    assert_int_equal(pyd_area_read_crash(small, area, 7, &text), EINVAL);
    assert_int_equal(pyd_area_open(small, area, 7), EPERM);
    pyd_fd_close(&small);
    assert_null(text);
}

static void expect_crash(size_t bytes)
{
    char *text = NULL;
    size_t i;

    if (bytes == 0) {
        assert_int_equal(pyd_area_read_crash(status_fd, area, 7, &text), ENOENT);
        return;
    }
    assert_int_equal(pyd_area_read_crash(status_fd, area, 7, &text), 0);
    assert_int_equal(strlen(text), bytes);
    for (i = 0; i < bytes; ++i)
        assert_int_equal(text[i], 'c');
    free(text);
}

static void test_crash_text_ends_with_its_first_nul(void **state)
{
    const size_t sizes[] = {0, 1, 65535, 65536, 65537, 131072, PYD_AREA_CRASH_MAX - 1, PYD_AREA_CRASH_MAX};
    char *many = malloc(PYD_AREA_CRASH_MAX + 100);
    size_t i;

    (void)state;
    assert_non_null(many);
    memset(many, 'c', PYD_AREA_CRASH_MAX + 100);
    assert_int_equal(pyd_area_open(status_fd, area, 7), 0);
    for (i = 0; i < sizeof(sizes) / sizeof(*sizes); ++i) {
        put(area + PYD_AREA_CRASH_AT, many, sizes[i]);
        put(area + PYD_AREA_CRASH_AT + (int64_t)sizes[i], "\0xyz", 4);
        expect_crash(sizes[i]);
    }
    /* What is beyond the bound is not read, whatever stands there. */
    put(area + PYD_AREA_CRASH_AT, many, PYD_AREA_CRASH_MAX + 100);
    expect_crash(PYD_AREA_CRASH_MAX);
    free(many);
}

/* One that ended before it could empty the area is not said to have crashed as the one before it. */
static void test_crash_text_of_another_worker(void **state)
{
    char *text = NULL;

    (void)state;
    assert_int_equal(pyd_area_open(status_fd, area, 7), 0);
    put(area + PYD_AREA_CRASH_AT, "c", 1);
    expect_crash(1);
    assert_int_equal(pyd_area_read_crash(status_fd, area, 8, &text), ENOENT);
    assert_int_equal(pyd_area_read_crash(status_fd, area, 0, &text), ENOENT);
    assert_null(text);
}

static void test_open_gives_the_memory_back(void **state)
{
    int64_t empty = blocks(), one;
    char page[4096] = {'c'};

    (void)state;
    put(area - PYD_AREA_BYTES, page, sizeof(page));
    put(area - (int64_t)sizeof(page), page, sizeof(page));
    put(area + PYD_AREA_BYTES, page, sizeof(page));
    assert_int_equal(pyd_area_open(status_fd, area, 7), 0);
    one = blocks();
    assert_true(one > empty);
    /* Nothing is spent on reading. */
    expect_none(7);
    expect_crash(0);
    assert_int_equal(blocks(), one);
    assert_int_equal(pyd_area_write(status_fd, area, head_of(1), page, sizeof(page)), 0);
    put(area + PYD_AREA_CRASH_AT, page, sizeof(page));
    put(area + PYD_AREA_BYTES - (int64_t)sizeof(page), page, sizeof(page));
    assert_int_equal(pyd_area_open(status_fd, area, 8), 0);
    assert_int_equal(blocks(), one);
    expect_none(7);
    expect_crash(0);
    assert_int_equal(pyd_area_open(status_fd, area, 7), 0);
    expect_crash(0);
    /* The neighbours' is theirs. */
    assert_int_equal(pread(status_fd, page, 1, (off_t)(area - PYD_AREA_BYTES)), 1);
    assert_int_equal(page[0], 'c');
    assert_int_equal(pread(status_fd, page, 1, (off_t)(area + PYD_AREA_BYTES)), 1);
    assert_int_equal(page[0], 'c');
}

/* From here on fallocate(2) says that it can't: as where a sandbox stands for the kernel. */
static int forbid_holes(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_fallocate, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(filter) / sizeof(*filter), .filter = filter};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void test_open_without_holes(void **state)
{
    static char many[200000];
    pid_t pid;
    int status;

    (void)state;
    memset(many, 'c', sizeof(many));
    assert_int_equal(pyd_area_write(status_fd, area, head_of(1), many, 100), 0);
    put(area + PYD_AREA_CRASH_AT, many, sizeof(many));
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (forbid_holes())
            _exit(77);
        _exit(pyd_area_open(status_fd, area, 7));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
    expect_none(7);
    expect_crash(0);
    /* Nor does it come to light behind what the next worker writes. */
    put(area + PYD_AREA_CRASH_AT, many, 70000);
    expect_crash(70000);
}

#define ROUNDS 2000
#define ROUND_BYTES 300000

static int is_all(const char *text, size_t size, char letter)
{
    return size > 0 && text[0] == letter && memcmp(text, text + 1, size - 1) == 0;
}

/* Beside a worker that writes one dump after another the manager reads whole ones, or none. */
static void test_no_dump_is_mixed(void **state)
{
    static char text[ROUND_BYTES];
    uint32_t dump, seen = 0;
    pid_t parent = getpid(), pid = fork();
    int status;

    (void)state;
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        for (dump = 1; dump <= ROUNDS; ++dump) {
            memset(text, 'a' + (int)(dump % 26), sizeof(text));
            if (pyd_area_write(status_fd, area, head_of(dump), text, sizeof(text)))
                _exit(2);
        }
        _exit(0);
    }
    do {
        struct pyd_area_head head;
        char *read_text = NULL;

        if (pyd_area_read(status_fd, area, 7, &head, &read_text))
            continue;
        assert_true(head.dump >= seen);
        seen = head.dump;
        assert_int_equal(head.bytes, ROUND_BYTES);
        assert_true(is_all(read_text, ROUND_BYTES, (char)('a' + head.dump % 26)));
        free(read_text);
    } while (waitpid(pid, &status, WNOHANG) == 0);
    assert_int_equal(status, 0);
    expect_text(ROUNDS, (memset(text, 'a' + ROUNDS % 26, sizeof(text)), text), sizeof(text));
}

#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FILE(test_areas_have_pages_of_their_own),
        WITH_FILE(test_a_dump_comes_back),
        WITH_FILE(test_long_text_is_cut),
        WITH_FILE(test_heads_that_lie),
        WITH_FILE(test_what_is_no_status_file),
        WITH_FILE(test_crash_text_ends_with_its_first_nul),
        WITH_FILE(test_crash_text_of_another_worker),
        WITH_FILE(test_open_gives_the_memory_back),
        WITH_FILE(test_open_without_holes),
        WITH_FILE(test_no_dump_is_mixed),
    };

    return cmocka_run_group_tests_name("area", tests, NULL, NULL);
}
