/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_generation.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pyd_board_fd.h"
#include "pyd_fd.h"

/* What httpd and the manager are left with when all of a generation's descriptors are open: client connections, logs,
 * control sockets, connections to workers. */
#define SPARE_FDS 512u

/* Per generation: lock, lock_watch, lifeline and poke. Per slot: rendezvous and log. */
#define GENERATION_FDS 6u
#define SLOT_FDS 4u

static uint64_t fds_needed(const struct pyd_board *board)
{
    uint64_t needed = GENERATION_FDS;
    uint32_t i;

    for (i = 0; i < pyd_board_group_count(board); ++i)
        needed += (uint64_t)SLOT_FDS * pyd_board_settings(board, i)->slot_count + 1; /* 1: worker_fd */
    return needed;
}

static uint64_t count_open_below(uint64_t limit)
{
    uint64_t open_count = 0;
    int fd, end = limit < 65536 ? (int)limit : 65536;

    for (fd = 0; fd < end; ++fd)
        open_count += fcntl(fd, F_GETFD) != -1;
    return open_count;
}

static uint64_t count_open(uint64_t limit)
{
    DIR *folder = opendir("/proc/self/fd");
    const struct dirent *entry;
    uint64_t open_count = 0;

    if (!folder)
        return count_open_below(limit);
    while ((entry = readdir(folder)))
        open_count += entry->d_name[0] != '.';
    closedir(folder);
    return open_count;
}

static int raise_limit(const struct pyd_board *board)
{
    struct rlimit limit;
    uint64_t least, wanted;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return errno;
    least = count_open(limit.rlim_cur) + fds_needed(board);
    wanted = least + SPARE_FDS;
    if (limit.rlim_cur == RLIM_INFINITY || wanted <= limit.rlim_cur)
        return 0;
    if (limit.rlim_max != RLIM_INFINITY && least > limit.rlim_max)
        return EMFILE;
    if (limit.rlim_max != RLIM_INFINITY && wanted > limit.rlim_max)
        wanted = limit.rlim_max;
    limit.rlim_cur = (rlim_t)wanted;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? 0 : errno;
}

static int open_pipe(int32_t *ret_read_fd, int32_t *ret_write_fd)
{
    int fds[2];
    int rv = pyd_fd_pipe(fds);

    if (rv)
        return rv;
    *ret_read_fd = fds[0];
    *ret_write_fd = fds[1];
    return 0;
}

/* Access mode 3 of Linux (open(2)): checks for both, allows neither to read nor to write, nor any lock. */
static int open_watch(int lock_fd, int32_t *ret_fd)
{
    char path[32];
    int fd;

    if (fchmod(lock_fd, 0600) != 0)
        return errno;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", lock_fd);
    fd = open(path, O_ACCMODE | O_CLOEXEC);
    if (fd < 0)
        return errno;
    *ret_fd = fd;
    return 0;
}

static int open_poke(struct pyd_board_header *header)
{
    int rv = open_pipe(&header->poke_read_fd, &header->poke_write_fd);

    if (!rv)
        rv = pyd_fd_set_nonblocking(header->poke_read_fd, 1);
    if (!rv)
        rv = pyd_fd_set_nonblocking(header->poke_write_fd, 1);
    return rv;
}

static int open_slot(struct pyd_board_slot *slot)
{
    int fds[2];
    int rv = pyd_fd_socketpair(SOCK_SEQPACKET, fds);

    if (rv)
        return rv;
    slot->rendezvous_child_fd = fds[0];
    slot->rendezvous_worker_fd = fds[1];
    return open_pipe(&slot->log_read_fd, &slot->log_write_fd);
}

static int open_slots(struct pyd_board *board)
{
    uint32_t group, slot;
    int rv;

    for (group = 0; group < pyd_board_group_count(board); ++group) {
        for (slot = 0; slot < pyd_board_settings(board, group)->slot_count; ++slot) {
            rv = open_slot(pyd_board_slot(board, group, slot));
            if (rv)
                return rv;
        }
    }
    return 0;
}

static void close_kind(int32_t fd, enum pyd_board_fd_kind kind)
{
    int number = fd;

    if (pyd_board_fd_is(number, kind))
        pyd_fd_close(&number);
}

/* What pyd_generation_open() opened. The board is not written: in a forked process these are its own copies, and the
 * other processes still use theirs. */
static void close_opened(const struct pyd_board *board)
{
    const struct pyd_board_header *header = board->header;
    uint32_t group, s;

    close_kind(header->lock_fd, PYD_BOARD_FD_MEMORY);
    close_kind(header->lock_watch_fd, PYD_BOARD_FD_MEMORY);
    close_kind(header->lifeline_read_fd, PYD_BOARD_FD_PIPE);
    close_kind(header->lifeline_write_fd, PYD_BOARD_FD_PIPE);
    close_kind(header->poke_read_fd, PYD_BOARD_FD_PIPE);
    close_kind(header->poke_write_fd, PYD_BOARD_FD_PIPE);
    for (group = 0; group < pyd_board_group_count(board); ++group) {
        for (s = 0; s < pyd_board_settings(board, group)->slot_count; ++s) {
            const struct pyd_board_slot *slot = pyd_board_slot(board, group, s);

            close_kind(slot->rendezvous_child_fd, PYD_BOARD_FD_RENDEZVOUS);
            close_kind(slot->rendezvous_worker_fd, PYD_BOARD_FD_RENDEZVOUS);
            close_kind(slot->log_read_fd, PYD_BOARD_FD_PIPE);
            close_kind(slot->log_write_fd, PYD_BOARD_FD_PIPE);
        }
    }
}

static void forget_opened(struct pyd_board *board)
{
    struct pyd_board_header *header = board->header;
    uint32_t group, s;

    header->lock_fd = header->lock_watch_fd = -1;
    header->lifeline_read_fd = header->lifeline_write_fd = -1;
    header->poke_read_fd = header->poke_write_fd = -1;
    for (group = 0; group < pyd_board_group_count(board); ++group) {
        for (s = 0; s < pyd_board_settings(board, group)->slot_count; ++s) {
            struct pyd_board_slot *slot = pyd_board_slot(board, group, s);

            slot->rendezvous_child_fd = slot->rendezvous_worker_fd = -1;
            slot->log_read_fd = slot->log_write_fd = -1;
        }
    }
}

int pyd_generation_open(struct pyd_board *board)
{
    struct pyd_board_header *header = board->header;
    int lock_fd = -1, rv;

    rv = raise_limit(board);
    if (rv)
        return rv;
    /* Its content does not matter; F_SETLK needs no bytes behind the lock. */
    rv = pyd_fd_memory("pydaemon lock", 1, &lock_fd);
    if (rv)
        return rv;
    header->lock_fd = lock_fd;
    rv = open_watch(lock_fd, &header->lock_watch_fd);
    if (rv)
        goto leave;
    rv = open_pipe(&header->lifeline_read_fd, &header->lifeline_write_fd);
    if (rv)
        goto leave;
    rv = open_poke(header);
    if (rv)
        goto leave;
    rv = open_slots(board);

leave:
    if (rv) {
        close_opened(board);
        forget_opened(board);
    }
    else {
        board->lock_fd = lock_fd;
        board->poke_write_fd = header->poke_write_fd;
    }
    return rv;
}

void pyd_generation_close(struct pyd_board *board)
{
    uint32_t group;

    if (!board || board->closed)
        return;
    board->closed = 1;
    board->lock_fd = board->poke_write_fd = -1;
    close_opened(board);
    for (group = 0; group < pyd_board_group_count(board); ++group) {
        close_kind(pyd_board_group(board, group)->worker_fd, PYD_BOARD_FD_BINARY);
        close_kind(pyd_board_settings(board, group)->status_fd, PYD_BOARD_FD_MEMORY);
    }
    close_kind(board->header->settings_fd, PYD_BOARD_FD_MEMORY);
    close_kind(board->header->board_fd, PYD_BOARD_FD_MEMORY);
}

static int set_lock(const struct pyd_board *board, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = getpid(), .l_len = 1};

    if (board->lock_fd < 0)
        return EBADF;
    return fcntl(board->lock_fd, F_SETLK, &lock) == 0 ? 0 : errno;
}

int pyd_generation_lock(const struct pyd_board *board)
{
    return set_lock(board, F_WRLCK);
}

int pyd_generation_unlock(const struct pyd_board *board)
{
    return set_lock(board, F_UNLCK);
}

/* length 0: to the end. */
static int is_locked(int lock_fd, off_t start, off_t length)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = length};

    return fcntl(lock_fd, F_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

int pyd_generation_is_alive(int lock_fd, uint32_t pid)
{
    return is_locked(lock_fd, (off_t)pid, 1);
}

int pyd_generation_any_alive(int lock_fd)
{
    return is_locked(lock_fd, 0, 0);
}

void pyd_generation_poke(const struct pyd_board *board)
{
    int before = errno;

    /* Full is as good as written: the manager will look. */
    if (board->poke_write_fd >= 0 && write(board->poke_write_fd, "", 1) < 0)
        errno = before;
}
