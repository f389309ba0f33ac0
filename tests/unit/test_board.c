/* SPDX-License-Identifier: Apache-2.0 */
#include "board_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pyd_fd.h"

static const struct pyd_board_group_plan two_plans[] = {
    {.name = "blog", .processes = 2, .threads = 15, .queue_limit = 100, .spec_text = "name blog\n"},
    {.name = "shop", .processes = 1, .threads = 3, .spec_text = "", .state = PYD_GROUP_BROKEN},
};

static unsigned open_count(void)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(folder);
    while (readdir(folder))
        ++count;
    closedir(folder);
    return count;
}

static void expect_two(const struct pyd_board *board)
{
    const struct pyd_board_settings_group *settings = pyd_board_settings(board, 0);

    assert_int_equal(pyd_board_group_count(board), 2);
    assert_string_equal(settings->name, "blog");
    assert_int_equal(settings->processes, 2);
    assert_int_equal(settings->threads, 15);
    assert_int_equal(settings->slot_count, 6);
    assert_int_equal(settings->queue_limit, 100);
    assert_string_equal(pyd_board_spec_text(board, 0), "name blog\n");
    settings = pyd_board_settings(board, 1);
    assert_string_equal(settings->name, "shop");
    assert_int_equal(settings->slot_count, 3);
    assert_int_equal(settings->queue_limit, 0);
    assert_string_equal(pyd_board_spec_text(board, 1), "");
    assert_int_equal(board->header->generation, 9);
    assert_int_equal(atomic_load(&pyd_board_group(board, 1)->state), PYD_GROUP_BROKEN);
    assert_int_equal(pyd_board_group(board, 0)->worker_fd, -1);
    assert_int_equal(pyd_board_slot(board, 0, 5)->log_read_fd, -1);
}

static void test_create_and_attach(void **state)
{
    struct pyd_board *board = NULL, *other = NULL;
    unsigned before = open_count();

    (void)state;
    assert_int_equal(pyd_board_create(9, two_plans, 2, &board), 0);
    expect_two(board);
    assert_int_equal(pyd_board_attach(board->header->board_fd, &other), 0);
    expect_two(other);
    /* The same memory. */
    atomic_store(&pyd_board_slot(board, 1, 2)->pid, 1234);
    atomic_store(&pyd_board_status(board, 1, 2)->epoch, 5);
    atomic_store(&pyd_board_owners(board, 0, 5)[14], 6);
    assert_int_equal(atomic_load(&pyd_board_slot(other, 1, 2)->pid), 1234);
    assert_int_equal(atomic_load(&pyd_board_status(other, 1, 2)->epoch), 5);
    assert_int_equal(atomic_load(&pyd_board_owners(other, 0, 5)[14]), 6);
    pyd_board_unmap(other);
    fixture_done(board);
    pyd_board_unmap(NULL);
    assert_int_equal(open_count(), before);
}

static void test_no_groups(void **state)
{
    struct pyd_board *board = NULL;

    (void)state;
    assert_int_equal(pyd_board_create(1, NULL, 0, &board), 0);
    assert_int_equal(pyd_board_group_count(board), 0);
    pyd_sweep_own(board, SELF);
    fixture_done(board);
}

static void fill_part(uintptr_t where, size_t size, int check, unsigned char *byte)
{
    unsigned char *bytes = (unsigned char *)where;
    size_t i;

    *byte = (unsigned char)(*byte * 5 + 3);
    if (!check)
        memset(bytes, *byte, size);
    for (i = 0; i < size; ++i)
        assert_int_equal(bytes[i], *byte);
}

/* Fill each part with its own byte; then each must still have it: nothing overlaps, nothing is outside. */
static void fill(struct pyd_board *board, int check)
{
    unsigned char byte = 1;
    uint32_t g, s, i;

    for (g = 0; g < 2; ++g) {
        const struct pyd_board_settings_group *settings = pyd_board_settings(board, g);

        fill_part((uintptr_t)pyd_board_group(board, g), sizeof(struct pyd_board_group), check, &byte);
        for (s = 0; s < settings->slot_count; ++s) {
            fill_part((uintptr_t)pyd_board_slot(board, g, s), sizeof(struct pyd_board_slot), check, &byte);
            fill_part((uintptr_t)pyd_board_owners(board, g, s), settings->threads * 4, check, &byte);
            fill_part((uintptr_t)pyd_board_status(board, g, s), pyd_status_stride(settings->threads), check, &byte);
            for (i = 0; i < settings->threads; ++i)
                fill_part((uintptr_t)pyd_board_claim(board, g, s, i), sizeof(struct pyd_board_claim), check, &byte);
        }
        for (i = 0; i < settings->queue_limit; ++i)
            fill_part((uintptr_t)pyd_board_waiter(board, g, i), sizeof(struct pyd_board_waiter), check, &byte);
    }
}

static void test_parts_do_not_overlap(void **state)
{
    struct pyd_board *board = NULL;
    struct pyd_board_header header;
    uint32_t s;

    (void)state;
    assert_int_equal(pyd_board_create(9, two_plans, 2, &board), 0);
    header = *board->header;
    fill(board, 0);
    fill(board, 1);
    assert_memory_equal(&header, board->header, sizeof(header));
    for (s = 0; s < 6; ++s) {
        assert_int_equal((uintptr_t)pyd_board_slot(board, 0, s) % PYD_BOARD_LINE, 0);
        assert_int_equal((uintptr_t)pyd_board_owners(board, 0, s) % PYD_BOARD_LINE, 0);
        assert_int_equal((uintptr_t)pyd_board_claim(board, 0, s, 3) % PYD_BOARD_LINE, 0);
        assert_int_equal((uintptr_t)pyd_board_status(board, 0, s) % PYD_BOARD_LINE, 0);
    }
    fixture_done(board);
}

static void test_impossible_plans(void **state)
{
    static const char long_name[] = "0123456789012345678901234567890123456789012345678901234567890123";
    const struct {
        struct pyd_board_group_plan plan;
        int error;
    } cases[] = {
        {{.name = NULL, .processes = 1, .threads = 1, .spec_text = ""}, EINVAL},
        {{.name = "x", .processes = 1, .threads = 1, .spec_text = NULL}, EINVAL},
        {{.name = "x", .processes = 0, .threads = 1, .spec_text = ""}, EINVAL},
        {{.name = "x", .processes = 1, .threads = 0, .spec_text = ""}, EINVAL},
        {{.name = long_name, .processes = 1, .threads = 1, .spec_text = ""}, ENAMETOOLONG},
        {{.name = "x", .processes = UINT32_MAX, .threads = 1, .spec_text = ""}, E2BIG},
        {{.name = "x", .processes = 0x55555556, .threads = 1, .spec_text = ""}, E2BIG},
        {{.name = "x", .processes = 1, .threads = UINT32_MAX, .spec_text = ""}, E2BIG},
        {{.name = "x", .processes = 1, .threads = 1, .queue_limit = UINT32_MAX, .spec_text = ""}, E2BIG},
        {{.name = "x", .processes = 65536, .threads = 65536, .spec_text = ""}, E2BIG},
    };
    struct pyd_board *board = NULL;
    unsigned before = open_count();
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(*cases); ++i)
        assert_int_equal(pyd_board_create(1, &cases[i].plan, 1, &board), cases[i].error);
    assert_int_equal(pyd_board_create(1, NULL, UINT32_MAX, &board), E2BIG);
    assert_null(board);
    assert_int_equal(open_count(), before);
}

static void expect_no_attach(const struct pyd_board *board)
{
    struct pyd_board *other = NULL;

    assert_int_equal(pyd_board_attach(board->header->board_fd, &other), EINVAL);
    assert_null(other);
}

static void test_attach_refuses_what_is_no_board(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 1), *second = fixture_board(1, 1, 1), *other = NULL;
    struct pyd_board_header *header = board->header, good = *header;
    int memory = -1, file = open("/dev/zero", O_RDWR);

    (void)state;
    assert_int_equal(pyd_board_attach(-1, &other), EINVAL);
    assert_int_equal(pyd_board_attach(file, &other), EINVAL);
    assert_int_equal(pyd_fd_memory("x", 10, &memory), 0);
    assert_int_equal(pyd_board_attach(memory, &other), EINVAL);
    header->magic++;
    expect_no_attach(board);
    *header = good;
    header->layout++;
    expect_no_attach(board);
    *header = good;
    /* Settings that are not there, not sealed, or another board's. */
    header->settings_fd = -1;
    expect_no_attach(board);
    header->settings_fd = memory;
    expect_no_attach(board);
    header->settings_fd = good.board_fd;
    expect_no_attach(board);
    header->settings_fd = second->header->settings_fd;
    expect_no_attach(board);
    *header = good;
    assert_int_equal(pyd_board_attach(good.board_fd, &other), 0);
    pyd_board_unmap(other);
    close(memory);
    close(file);
    fixture_done(board);
    fixture_done(second);
}

/* A sealed file that names this board but lies about it, as only a damaged parent could make. */
static int attach_with(struct pyd_board *board, const struct pyd_board_settings *lie, size_t size)
{
    struct pyd_board *other = NULL;
    int good = board->header->settings_fd, rv;
    int fd = memfd_create("lie", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_int_equal(write(fd, lie, size), (ssize_t)size);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
    board->header->settings_fd = fd;
    rv = pyd_board_attach(board->header->board_fd, &other);
    board->header->settings_fd = good;
    pyd_board_unmap(other);
    close(fd);
    return rv;
}

static void test_attach_checks_every_offset(void **state)
{
    struct pyd_board *board = fixture_board(1, 2, 3);
    size_t size = (size_t)board->settings->size, i;
    struct pyd_board_settings *lie = malloc(size);
    uint64_t *offsets[] = {&lie->groups[0].group_at,  &lie->groups[0].slots_at,   &lie->groups[0].owners_at,
                           &lie->groups[0].claims_at, &lie->groups[0].waiters_at, &lie->board_bytes,
                           &lie->board_inode,         &lie->size};
    uint32_t *numbers[] = {&lie->magic,
                           &lie->layout,
                           &lie->group_count,
                           &lie->groups[0].processes,
                           &lie->groups[0].slot_count,
                           &lie->groups[0].spec_at,
                           &lie->groups[0].spec_bytes};

    (void)state;
    memcpy(lie, board->settings, size);
    assert_int_equal(attach_with(board, lie, size), 0);
    for (i = 0; i < sizeof(offsets) / sizeof(*offsets); ++i) {
        memcpy(lie, board->settings, size);
        *offsets[i] += PYD_BOARD_LINE;
        assert_int_equal(attach_with(board, lie, size), EINVAL);
    }
    for (i = 0; i < sizeof(numbers) / sizeof(*numbers); ++i) {
        memcpy(lie, board->settings, size);
        *numbers[i] = UINT32_MAX;
        assert_int_equal(attach_with(board, lie, size), EINVAL);
    }
    memcpy(lie, board->settings, size);
    assert_int_equal(attach_with(board, lie, size - 1), EINVAL);
    assert_int_equal(attach_with(board, lie, sizeof(*lie) - 1), EINVAL);
    ((char *)lie)[size - 1] = 'x';
    assert_int_equal(attach_with(board, lie, size), EINVAL);
    memcpy(lie, board->settings, size);
    lie->groups[0].status_fd = 0;
    assert_int_equal(attach_with(board, lie, size), EINVAL);
    free(lie);
    fixture_done(board);
}

static void test_settings_cannot_be_changed(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 1);
    int fd = board->header->settings_fd;

    (void)state;
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_ptr_equal(mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    assert_int_equal(ftruncate(board->header->board_fd, 0), -1);
    assert_int_equal(ftruncate(pyd_board_settings(board, 0)->status_fd, 0), -1);
    fixture_done(board);
}

static int64_t file_bytes(int fd, int64_t *ret_used)
{
    struct stat info;

    assert_int_equal(fstat(fd, &info), 0);
    *ret_used = (int64_t)info.st_blocks * 512;
    return info.st_size;
}

/* Areas for the stacks of the largest group there is: far more than the machine has, and none of it used or mapped. */
static void test_areas_cost_nothing(void **state)
{
    const struct pyd_board_group_plan plan = {
        .name = "x", .processes = 1000, .threads = 16, .queue_limit = 10000, .spec_text = ""};
    struct pyd_board *board = NULL;
    const struct pyd_board_settings_group *settings;
    size_t records = 3000 * pyd_status_stride(16);
    int64_t used = 0;

    (void)state;
    assert_int_equal(pyd_board_create(1, &plan, 1, &board), 0);
    settings = pyd_board_settings(board, 0);
    assert_int_equal(file_bytes(settings->status_fd, &used), pyd_area_offset(3000, 16, 3000));
    assert_true(pyd_area_offset(3000, 16, 3000) > INT64_C(3000) * PYD_AREA_BYTES);
    assert_int_equal(used, 0);
    assert_int_equal(board->status_size[0], records);
    assert_true((uint64_t)pyd_area_offset(3000, 16, 0) >= records);
    assert_int_equal(fcntl(settings->status_fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    fixture_done(board);
}

/* Records without areas behind them. */
static void test_attach_wants_all_of_a_status_file(void **state)
{
    struct pyd_board *board = fixture_board(1, 1, 1), *other = NULL;
    int status_fd = pyd_board_settings(board, 0)->status_fd, saved_fd = dup(status_fd), small = -1;

    (void)state;
    assert_int_equal(pyd_fd_memory("small", (size_t)pyd_area_offset(3, 1, 3) - 1, &small), 0);
    assert_int_equal(dup2(small, status_fd), status_fd);
    expect_no_attach(board);
    assert_int_equal(dup2(saved_fd, status_fd), status_fd);
    assert_int_equal(pyd_board_attach(board->header->board_fd, &other), 0);
    pyd_board_unmap(other);
    close(small);
    close(saved_fd);
    fixture_done(board);
}

/* What was found on a board of any bytes is safe. */
static void expect_safe_view(struct pyd_board *board, const struct pyd_claim_ref *claim, int64_t now_us)
{
    uint32_t epoch = atomic_load(&pyd_board_slot(board, 0, claim->slot)->epoch);
    struct pyd_claim_view view;

    if (!pyd_claim_look(board, 0, claim->slot, claim->claim, epoch, now_us, &view))
        return;
    assert_in_range(view.elapsed_us, 0, now_us);
    assert_in_range(view.memory_bytes, 0, INT64_MAX);
    assert_in_range(view.tid, 0, INT32_MAX);
    assert_non_null(memchr(view.what, 0, sizeof(view.what)));
    assert_non_null(memchr(view.client, 0, sizeof(view.client)));
    assert_non_null(memchr(view.request_id, 0, sizeof(view.request_id)));
}

static void try_deadline(struct pyd_board *board, uint64_t seed)
{
    const int64_t now_us = INT64_C(1) << 40;
    struct pyd_claim_ref claim = {.slot = seed >> 20 & 3, .claim = seed >> 30 & 1};

    claim.epoch = atomic_load(&pyd_board_slot(board, 0, claim.slot)->epoch);
    claim.seq = atomic_load(&pyd_board_claim(board, 0, claim.slot, claim.claim)->seq);
    /* Else hardly a use is in order. */
    atomic_store(&pyd_board_claim(board, 0, claim.slot, claim.claim)->epoch, claim.epoch);
    expect_safe_view(board, &claim, now_us);
    assert_in_range(pyd_claim_elapsed_us(board, &claim, now_us), 0, now_us);
    pyd_claim_resume(board, &claim, now_us);
    pyd_claim_pause(board, &claim, now_us);
    assert_in_range(pyd_claim_elapsed_us(board, &claim, now_us + 1), 0, now_us + 1);
    if (pyd_claim_set_late(board, &claim))
        assert_true(pyd_claim_is_late(board, &claim));
    assert_in_range(pyd_claim_unfinished(board, 0, claim.slot), 0, 3);
    pyd_claim_suspect(board, &claim, now_us);
}

static int nobody_lives(void *baton, uint32_t pid)
{
    (void)baton;
    return pid == SELF;
}

/* What a broken process may leave: every call must return, and touch nothing outside. */
static void test_any_bytes_are_survived(void **state)
{
    struct pyd_board *board = fixture_board(2, 3, 5);
    struct pyd_board_header good = *board->header;
    uint64_t seed = 12345;
    int round;

    (void)state;
    for (round = 0; round < 300; ++round) {
        unsigned char *bytes = (unsigned char *)board->header, *status = board->status[0];
        struct pyd_claim_ref claim = {.slot = 0};
        enum pyd_cause cause = PYD_CAUSE_NONE;
        uint32_t waiter, detail;
        char room[40];
        pid_t pid;
        size_t i;

        for (i = 0; i < board->size + board->status_size[0]; ++i) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            *(i < board->size ? &bytes[i] : &status[i - board->size]) =
                round == 0 ? 0xff : (unsigned char)(seed >> 60 < 8 ? seed >> 33 & 3 : seed >> 40);
        }
        pyd_sweep(board, 0, nobody_lives, NULL);
        pyd_sweep_own(board, SELF);
        pyd_queue_wake(board, 0, UINT32_MAX);
        assert_in_range(pyd_queue_length(board, 0), 0, 5);
        assert_in_range(pyd_claim_busy(board, 0, 5), 0, 3);
        (void)pyd_claim_any_free(board, 0);
        (void)pyd_sweep_slot_unclaimed(board, 0, 3);
        try_deadline(board, seed);
        if (pyd_claim_try(board, 0, SELF, 1, &claim) == 0)
            assert_true(claim.slot < 6 && claim.claim < 3);
        pyd_claim_what(board, &claim, room, sizeof(room));
        if (pyd_claim_cause(board, &claim, &cause, &detail, &pid) == 0)
            assert_in_range(cause, PYD_CAUSE_NONE, PYD_CAUSE_UNKNOWN);
        if (pyd_queue_enter(board, 0, SELF, &waiter) == 0) {
            (void)pyd_queue_is_first(board, 0, waiter);
            pyd_queue_wait(board, 0, waiter, 1);
            pyd_queue_leave(board, 0, waiter);
        }
        pyd_claim_orphan(board, &claim);
        pyd_sweep_slot_renew(board, 0, 4);
    }
    *board->header = good;
    fixture_done(board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create_and_attach),
        cmocka_unit_test(test_no_groups),
        cmocka_unit_test(test_parts_do_not_overlap),
        cmocka_unit_test(test_impossible_plans),
        cmocka_unit_test(test_attach_refuses_what_is_no_board),
        cmocka_unit_test(test_attach_checks_every_offset),
        cmocka_unit_test(test_settings_cannot_be_changed),
        cmocka_unit_test(test_areas_cost_nothing),
        cmocka_unit_test(test_attach_wants_all_of_a_status_file),
        cmocka_unit_test(test_any_bytes_are_survived),
    };

    return cmocka_run_group_tests_name("board", tests, NULL, NULL);
}
