/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Layout, creation and mapping. One function computes where everything lies, from
 * the numbers of processes, threads and waiters; attach computes it again and
 * compares, so that no offset is ever taken on trust.
 */
#include "pyd_board.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pyd_board_fd.h"
#include "pyd_fd.h"

/* Far beyond any sensible configuration; with these no sum below can overflow. */
#define GROUPS_MAX 65536u
#define PROCESSES_MAX 65536u
#define THREADS_MAX 65536u
#define QUEUE_MAX (1u << 24)
#define FILE_BYTES_MAX (UINT64_C(1) << 30)

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + PYD_BOARD_LINE - 1) / PYD_BOARD_LINE * PYD_BOARD_LINE;
}

static uint64_t owners_stride(uint32_t threads)
{
    return round_up(threads * sizeof(_Atomic uint32_t));
}

size_t pyd_status_stride(uint32_t threads)
{
    return (size_t)round_up(sizeof(struct pyd_status_worker) + (uint64_t)threads * sizeof(struct pyd_status_request));
}

/* What is mapped of a status file: the records. */
static uint64_t records_bytes(const struct pyd_board_settings_group *group)
{
    return (uint64_t)group->slot_count * pyd_status_stride(group->threads);
}

/* All of it. It may exceed what the machine has: the areas have no memory until something is written there. */
static uint64_t status_bytes(const struct pyd_board_settings_group *group)
{
    return (uint64_t)pyd_area_offset(group->slot_count, group->threads, group->slot_count);
}

static uint64_t settings_bytes(uint32_t group_count)
{
    return sizeof(struct pyd_board_settings) + (uint64_t)group_count * sizeof(struct pyd_board_settings_group);
}

/* Where the parts of a group begin when the first free byte is *at, which moves on behind them. */
static int lay_out_group(struct pyd_board_settings_group *group, uint64_t *at)
{
    if (group->processes == 0 || group->threads == 0)
        return EINVAL;
    if (group->processes > PROCESSES_MAX || group->threads > THREADS_MAX || group->queue_limit > QUEUE_MAX)
        return E2BIG;
    group->slot_count = group->processes * PYD_BOARD_SLOTS_PER_PROCESS;
    group->group_at = *at;
    group->slots_at = group->group_at + sizeof(struct pyd_board_group);
    group->owners_at = group->slots_at + group->slot_count * sizeof(struct pyd_board_slot);
    group->claims_at = group->owners_at + group->slot_count * owners_stride(group->threads);
    group->waiters_at =
        group->claims_at + (uint64_t)group->slot_count * group->threads * sizeof(struct pyd_board_claim);
    *at = round_up(group->waiters_at + group->queue_limit * sizeof(struct pyd_board_waiter));
    return *at > FILE_BYTES_MAX || records_bytes(group) > FILE_BYTES_MAX || status_bytes(group) > SIZE_MAX ? E2BIG : 0;
}

static int lay_out(struct pyd_board_settings *settings)
{
    uint64_t at = round_up(sizeof(struct pyd_board_header));
    uint32_t i;
    int rv;

    for (i = 0; i < settings->group_count; ++i) {
        rv = lay_out_group(&settings->groups[i], &at);
        if (rv)
            return rv;
    }
    settings->board_bytes = at;
    return 0;
}

/* The settings as they will stand in their file, but for the numbers of descriptors and the inode. */
static int plan_settings(uint32_t generation, const struct pyd_board_group_plan *plans, uint32_t count,
                         struct pyd_board_settings **ret_settings)
{
    uint64_t size = settings_bytes(count), text_at = size;
    struct pyd_board_settings *settings;
    uint32_t i;
    int rv;

    for (i = 0; i < count; ++i) {
        if (!plans[i].name || !plans[i].spec_text)
            return EINVAL;
        if (strlen(plans[i].name) >= sizeof(settings->groups[i].name))
            return ENAMETOOLONG;
        size += strlen(plans[i].spec_text) + 1;
        if (size > FILE_BYTES_MAX)
            return E2BIG;
    }
    settings = calloc(1, size);
    if (!settings)
        return ENOMEM;
    settings->magic = PYD_BOARD_MAGIC;
    settings->layout = PYD_BOARD_LAYOUT;
    settings->size = size;
    settings->generation = generation;
    settings->group_count = count;
    for (i = 0; i < count; ++i) {
        struct pyd_board_settings_group *group = &settings->groups[i];

        strcpy(group->name, plans[i].name);
        group->processes = plans[i].processes;
        group->threads = plans[i].threads;
        group->queue_limit = plans[i].queue_limit;
        group->status_fd = -1;
        group->spec_at = (uint32_t)text_at;
        group->spec_bytes = (uint32_t)strlen(plans[i].spec_text) + 1;
        memcpy((char *)settings + text_at, plans[i].spec_text, group->spec_bytes);
        text_at += group->spec_bytes;
    }
    rv = lay_out(settings);
    if (rv)
        free(settings);
    else
        *ret_settings = settings;
    return rv;
}

/* A memory file that can never change again, not even by its creator. */
static int write_sealed(const void *data, size_t size, int *ret_fd)
{
    int fd = memfd_create("pydaemon settings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int rv;

    if (fd < 0)
        return errno;
    rv = pyd_fd_write_all(fd, data, size, -1);
    if (!rv && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        rv = errno;
    if (rv)
        pyd_fd_close(&fd);
    else
        *ret_fd = fd;
    return rv;
}

static int map_file(int fd, size_t size, void **ret_memory)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (memory == MAP_FAILED)
        return errno;
    *ret_memory = memory;
    return 0;
}

static int check_settings_groups(const struct pyd_board_settings *settings, size_t size)
{
    struct pyd_board_settings *again;
    uint32_t i;
    int rv;

    again = malloc(size);
    if (!again)
        return ENOMEM;
    memcpy(again, settings, size);
    rv = lay_out(again) == 0 && memcmp(again, settings, size) == 0 ? 0 : EINVAL;
    free(again);
    for (i = 0; !rv && i < settings->group_count; ++i) {
        const struct pyd_board_settings_group *group = &settings->groups[i];

        if (!memchr(group->name, 0, sizeof(group->name)) || group->spec_bytes == 0 || group->spec_at >= size ||
            group->spec_bytes > size - group->spec_at ||
            ((const char *)settings)[group->spec_at + group->spec_bytes - 1] != '\0')
            rv = EINVAL;
    }
    return rv;
}

static int check_settings(const struct pyd_board_settings *settings, size_t size, const struct stat *board)
{
    if (settings->magic != PYD_BOARD_MAGIC || settings->layout != PYD_BOARD_LAYOUT || settings->size != size ||
        settings->group_count > GROUPS_MAX || settings_bytes(settings->group_count) > size ||
        settings->board_inode != (uint64_t)board->st_ino || settings->board_bytes != (uint64_t)board->st_size)
        return EINVAL;
    return check_settings_groups(settings, size);
}

/* The number of the settings file comes from the board, so it may be wrong; but only the parent's own code can have
 * made a file that is sealed and names this board. */
static int map_settings(struct pyd_board *board, int settings_fd, const struct stat *board_info)
{
    const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
    struct stat info;
    void *memory = NULL;

    if (!pyd_board_fd_is(settings_fd, PYD_BOARD_FD_MEMORY) || (fcntl(settings_fd, F_GET_SEALS) & seals) != seals)
        return EINVAL;
    if (fstat(settings_fd, &info) != 0)
        return errno;
    if ((uint64_t)info.st_size < sizeof(*board->settings) || (uint64_t)info.st_size > FILE_BYTES_MAX)
        return EINVAL;
    /* Private: before Linux 6.7 a shared mapping of a file sealed against writing is refused, even to read. */
    memory = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, settings_fd, 0);
    if (memory == MAP_FAILED)
        return errno;
    board->settings = memory;
    board->settings_size = (size_t)info.st_size;
    return check_settings(board->settings, board->settings_size, board_info);
}

static int map_status(struct pyd_board *board, uint32_t i)
{
    const struct pyd_board_settings_group *group = &board->settings->groups[i];
    size_t size = (size_t)records_bytes(group);
    struct stat info;
    void *memory = NULL;
    int rv;

    if (!pyd_board_fd_is(group->status_fd, PYD_BOARD_FD_MEMORY) || fstat(group->status_fd, &info) != 0 ||
        (uint64_t)info.st_size < status_bytes(group))
        return EINVAL;
    rv = map_file(group->status_fd, size, &memory);
    if (rv)
        return rv;
    board->status[i] = memory;
    board->status_size[i] = size;
    return 0;
}

static int map_all(int board_fd, int settings_fd, struct pyd_board **ret_board)
{
    struct pyd_board *board;
    struct stat info;
    void *memory = NULL;
    uint32_t i;
    int rv;

    if (fstat(board_fd, &info) != 0)
        return errno;
    board = calloc(1, sizeof(*board));
    if (!board)
        return ENOMEM;
    board->lock_fd = board->poke_write_fd = -1;
    rv = map_settings(board, settings_fd, &info);
    if (rv)
        goto leave;
    rv = map_file(board_fd, (size_t)info.st_size, &memory);
    if (rv)
        goto leave;
    board->header = memory;
    board->size = (size_t)info.st_size;
    board->status = calloc(board->settings->group_count + 1, sizeof(*board->status));
    board->status_size = calloc(board->settings->group_count + 1, sizeof(*board->status_size));
    rv = board->status && board->status_size ? 0 : ENOMEM;
    for (i = 0; !rv && i < board->settings->group_count; ++i)
        rv = map_status(board, i);

leave:
    if (rv)
        pyd_board_unmap(board);
    else
        *ret_board = board;
    return rv;
}

static void fill_group(struct pyd_board *board, uint32_t i, const struct pyd_board_group_plan *plan)
{
    struct pyd_board_group *group = pyd_board_group(board, i);
    uint32_t s;

    group->worker_fd = -1;
    atomic_store(&group->state, (uint32_t)plan->state);
    for (s = 0; s < board->settings->groups[i].slot_count; ++s) {
        struct pyd_board_slot *slot = pyd_board_slot(board, i, s);

        slot->rendezvous_child_fd = slot->rendezvous_worker_fd = -1;
        slot->log_read_fd = slot->log_write_fd = -1;
    }
}

/* Everything else on the board begins as zeros. */
static void fill_board(struct pyd_board *board, int board_fd, int settings_fd)
{
    struct pyd_board_header *header = board->header;

    header->magic = PYD_BOARD_MAGIC;
    header->layout = PYD_BOARD_LAYOUT;
    header->size = board->size;
    header->generation = board->settings->generation;
    header->board_fd = board_fd;
    header->settings_fd = settings_fd;
    header->lock_fd = header->lock_watch_fd = -1;
    header->lifeline_read_fd = header->lifeline_write_fd = -1;
    header->poke_read_fd = header->poke_write_fd = -1;
}

/* The files of a board. On failure those that were made stand in *board_fd and settings, for the caller to close. */
static int make_files(struct pyd_board_settings *settings, int *board_fd, int *settings_fd)
{
    struct stat info;
    uint32_t i;
    int rv;

    for (i = 0; i < settings->group_count; ++i) {
        rv = pyd_fd_memory("pydaemon status", (size_t)status_bytes(&settings->groups[i]),
                           &settings->groups[i].status_fd);
        if (rv)
            return rv;
    }
    rv = pyd_fd_memory("pydaemon board", (size_t)settings->board_bytes, board_fd);
    if (rv)
        return rv;
    if (fstat(*board_fd, &info) != 0)
        return errno;
    settings->board_inode = (uint64_t)info.st_ino;
    return write_sealed(settings, (size_t)settings->size, settings_fd);
}

int pyd_board_create(uint32_t generation, const struct pyd_board_group_plan *plans, uint32_t count,
                     struct pyd_board **ret_board)
{
    struct pyd_board_settings *settings = NULL;
    struct pyd_board *board = NULL;
    int board_fd = -1, settings_fd = -1, rv;
    uint32_t i;

    if (count > GROUPS_MAX)
        return E2BIG;
    rv = plan_settings(generation, plans, count, &settings);
    if (rv)
        return rv;
    rv = make_files(settings, &board_fd, &settings_fd);
    if (rv)
        goto leave;
    rv = map_all(board_fd, settings_fd, &board);
    if (rv)
        goto leave;
    fill_board(board, board_fd, settings_fd);
    for (i = 0; i < count; ++i)
        fill_group(board, i, &plans[i]);
    *ret_board = board;

leave:
    for (i = 0; rv && i < count; ++i)
        pyd_fd_close(&settings->groups[i].status_fd);
    if (rv) {
        pyd_fd_close(&board_fd);
        pyd_fd_close(&settings_fd);
    }
    free(settings);
    return rv;
}

int pyd_board_attach(int board_fd, struct pyd_board **ret_board)
{
    struct pyd_board_header header;
    struct pyd_board *board;
    ssize_t got;
    int rv;

    if (!pyd_board_fd_is(board_fd, PYD_BOARD_FD_MEMORY))
        return EINVAL;
    got = pread(board_fd, &header, sizeof(header), 0);
    if (got < 0)
        return errno;
    if ((size_t)got < sizeof(header) || header.magic != PYD_BOARD_MAGIC || header.layout != PYD_BOARD_LAYOUT)
        return EINVAL;
    rv = map_all(board_fd, header.settings_fd, &board);
    if (rv)
        return rv;
    if (pyd_board_fd_is(header.lock_fd, PYD_BOARD_FD_MEMORY))
        board->lock_fd = header.lock_fd;
    if (pyd_board_fd_is(header.poke_write_fd, PYD_BOARD_FD_PIPE))
        board->poke_write_fd = header.poke_write_fd;
    *ret_board = board;
    return 0;
}

void pyd_board_unmap(struct pyd_board *board)
{
    uint32_t i;

    if (!board)
        return;
    for (i = 0; board->status && i < board->settings->group_count; ++i) {
        if (board->status[i])
            munmap(board->status[i], board->status_size[i]);
    }
    if (board->header)
        munmap(board->header, board->size);
    if (board->settings)
        munmap((void *)(uintptr_t)board->settings, board->settings_size);
    free(board->status);
    free(board->status_size);
    free(board);
}

uint32_t pyd_board_group_count(const struct pyd_board *board)
{
    return board->settings->group_count;
}

const struct pyd_board_settings_group *pyd_board_settings(const struct pyd_board *board, uint32_t group)
{
    return &board->settings->groups[group];
}

static void *at(const struct pyd_board *board, uint64_t offset)
{
    return (unsigned char *)board->header + offset;
}

struct pyd_board_group *pyd_board_group(const struct pyd_board *board, uint32_t group)
{
    return at(board, board->settings->groups[group].group_at);
}

struct pyd_board_slot *pyd_board_slot(const struct pyd_board *board, uint32_t group, uint32_t slot)
{
    return (struct pyd_board_slot *)at(board, board->settings->groups[group].slots_at) + slot;
}

_Atomic uint32_t *pyd_board_owners(const struct pyd_board *board, uint32_t group, uint32_t slot)
{
    const struct pyd_board_settings_group *settings = &board->settings->groups[group];

    return at(board, settings->owners_at + slot * owners_stride(settings->threads));
}

struct pyd_board_claim *pyd_board_claim(const struct pyd_board *board, uint32_t group, uint32_t slot, uint32_t claim)
{
    const struct pyd_board_settings_group *settings = &board->settings->groups[group];

    return (struct pyd_board_claim *)at(board, settings->claims_at) + (size_t)slot * settings->threads + claim;
}

struct pyd_board_waiter *pyd_board_waiter(const struct pyd_board *board, uint32_t group, uint32_t waiter)
{
    return (struct pyd_board_waiter *)at(board, board->settings->groups[group].waiters_at) + waiter;
}

const char *pyd_board_spec_text(const struct pyd_board *board, uint32_t group)
{
    return (const char *)board->settings + board->settings->groups[group].spec_at;
}

struct pyd_status_worker *pyd_board_status(const struct pyd_board *board, uint32_t group, uint32_t slot)
{
    void *record = board->status[group] + slot * pyd_status_stride(board->settings->groups[group].threads);

    return record;
}
