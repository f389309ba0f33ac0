/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_dump_proc.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where a thread may sit for long. The numbers differ from machine to machine; newer machines lack the older calls. */
static const struct {
    long number;
    const char *name;
} calls[] = {
    {SYS_accept, "accept"},
    {SYS_accept4, "accept4"},
    {SYS_clock_nanosleep, "clock_nanosleep"},
    {SYS_close, "close"},
    {SYS_connect, "connect"},
    {SYS_epoll_pwait, "epoll_pwait"},
    {SYS_exit_group, "exit_group"},
    {SYS_fallocate, "fallocate"},
    {SYS_fcntl, "fcntl"},
    {SYS_fdatasync, "fdatasync"},
    {SYS_flock, "flock"},
    {SYS_fsync, "fsync"},
    {SYS_ftruncate, "ftruncate"},
    {SYS_futex, "futex"},
    {SYS_getdents64, "getdents64"},
    {SYS_getrandom, "getrandom"},
    {SYS_io_getevents, "io_getevents"},
#ifdef SYS_io_uring_enter
    {SYS_io_uring_enter, "io_uring_enter"},
#endif
    {SYS_ioctl, "ioctl"},
    {SYS_kill, "kill"},
    {SYS_madvise, "madvise"},
    {SYS_mmap, "mmap"},
    {SYS_mprotect, "mprotect"},
    {SYS_msgrcv, "msgrcv"},
    {SYS_msgsnd, "msgsnd"},
    {SYS_msync, "msync"},
    {SYS_munmap, "munmap"},
    {SYS_nanosleep, "nanosleep"},
    {SYS_openat, "openat"},
    {SYS_ppoll, "ppoll"},
    {SYS_pread64, "pread64"},
    {SYS_preadv, "preadv"},
    {SYS_pselect6, "pselect6"},
    {SYS_pwrite64, "pwrite64"},
    {SYS_pwritev, "pwritev"},
    {SYS_read, "read"},
    {SYS_readv, "readv"},
    {SYS_recvfrom, "recvfrom"},
    {SYS_recvmmsg, "recvmmsg"},
    {SYS_recvmsg, "recvmsg"},
    {SYS_restart_syscall, "restart_syscall"},
    {SYS_rt_sigsuspend, "rt_sigsuspend"},
    {SYS_rt_sigtimedwait, "rt_sigtimedwait"},
    {SYS_sched_yield, "sched_yield"},
    {SYS_semop, "semop"},
    {SYS_semtimedop, "semtimedop"},
    {SYS_sendfile, "sendfile"},
    {SYS_sendmmsg, "sendmmsg"},
    {SYS_sendmsg, "sendmsg"},
    {SYS_sendto, "sendto"},
    {SYS_splice, "splice"},
    {SYS_sync, "sync"},
    {SYS_syncfs, "syncfs"},
    {SYS_tgkill, "tgkill"},
    {SYS_unlinkat, "unlinkat"},
    {SYS_wait4, "wait4"},
    {SYS_waitid, "waitid"},
    {SYS_write, "write"},
    {SYS_writev, "writev"},
#ifdef SYS_epoll_pwait2
    {SYS_epoll_pwait2, "epoll_pwait2"},
#endif
#ifdef SYS_epoll_wait
    {SYS_epoll_wait, "epoll_wait"},
#endif
#ifdef SYS_newfstatat
    {SYS_newfstatat, "newfstatat"},
#endif
#ifdef SYS_open
    {SYS_open, "open"},
#endif
#ifdef SYS_pause
    {SYS_pause, "pause"},
#endif
#ifdef SYS_poll
    {SYS_poll, "poll"},
#endif
#ifdef SYS_select
    {SYS_select, "select"},
#endif
#ifdef SYS_stat
    {SYS_stat, "stat"},
#endif
#ifdef SYS_unlink
    {SYS_unlink, "unlink"},
#endif
#ifdef SYS_vfork
    {SYS_vfork, "vfork"},
#endif
};

const char *pyd_dump_proc_syscall(const char *text, char *room, size_t size)
{
    char *end;
    long number = strtol(text, &end, 10);

    if (strncmp(text, "running", 7) == 0) {
        snprintf(room, size, "running");
        return room;
    }
    room[0] = '\0';
    if (end == text)
        return room;
    if (number < 0) { /* proc(5): blocked, by a page fault say */
        snprintf(room, size, "blocked, but not in a system call");
        return room;
    }
    snprintf(room, size, "system call %ld", number);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (calls[i].number == number)
            snprintf(room, size, "%s", calls[i].name);
    return room;
}

static int has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* "[<0>] futex_wait+0x88/0x110" in a line each. */
const char *pyd_dump_proc_stack(const char *text, char *room, size_t size)
{
    size_t used = 0;

    room[0] = '\0';
    while (*text) {
        size_t line = strcspn(text, "\n");
        const char *name = memchr(text, ' ', line);
        size_t name_size;

        name = name ? name + 1 : text;
        name_size = (size_t)(text + line - name);
        if (memchr(name, '+', name_size))
            name_size = (size_t)((const char *)memchr(name, '+', name_size) - name);
        if (has_prefix(name, "do_syscall_64") || has_prefix(name, "entry_SYSCALL") || has_prefix(name, "el0") ||
            has_prefix(name, "do_el0_svc") || has_prefix(name, "invoke_syscall"))
            name_size = 0;
        if (name_size > 0 && used + name_size + 4 < size)
            used += (size_t)snprintf(room + used, size - used, "%s%.*s", used ? " < " : "", (int)name_size, name);
        text += line + (text[line] == '\n');
    }
    return room;
}

/* The letter after the name, which may contain anything; 0: none. */
static char state_of(const char *text)
{
    const char *end = strrchr(text, ')');

    return end && end[1] == ' ' ? end[2] : '\0';
}

const char *pyd_dump_proc_state(const char *text, char *room, size_t size)
{
    static const struct {
        char letter;
        const char *words;
    } states[] = {
        {'D', "in uninterruptible sleep"}, {'T', "stopped"}, {'t', "stopped by a debugger"},
        {'Z', "ended (zombie)"},           {'X', "ended"},   {'x', "ended"},
        {'P', "parked"},                   {'I', "idle"},
    };
    char letter = state_of(text);

    room[0] = '\0';
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (states[i].letter == letter)
            snprintf(room, size, "%s (%c)", states[i].words, letter);
    return room;
}

int pyd_dump_proc_parse_caught(const char *text, int number)
{
    const char *line = strstr(text, "\nSigCgt:");

    if (!line || number < 1 || number > 64)
        return 0;
    return (int)(strtoull(line + strlen("\nSigCgt:"), NULL, 16) >> (number - 1) & 1);
}

/* "" if it can't be read. */
__attribute__((format(printf, 3, 4))) static void read_text(char *room, size_t size, const char *format, ...)
{
    char path[128];
    va_list arguments;
    size_t used = 0;
    ssize_t n;
    int fd;

    va_start(arguments, format);
    vsnprintf(path, sizeof path, format, arguments);
    va_end(arguments);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && used < size - 1 && (n = read(fd, room + used, size - 1 - used)) > 0)
        used += (size_t)n;
    if (fd >= 0)
        close(fd);
    room[used] = '\0';
}

int pyd_dump_proc_is_stopped(pid_t pid)
{
    char text[2048], letter;

    read_text(text, sizeof text, "/proc/%d/stat", (int)pid);
    letter = state_of(text);
    return letter == 'T' || letter == 't';
}

int pyd_dump_proc_catches(pid_t pid, int number)
{
    char text[4096];

    read_text(text, sizeof text, "/proc/%d/status", (int)pid);
    return pyd_dump_proc_parse_caught(text, number);
}

static void dump_thread(struct pyd_dump_writer *writer, int pid, int tid)
{
    char text[4096], words[1024], remark[1100];

    read_text(text, sizeof text, "/proc/%d/task/%d/comm", pid, tid);
    if (!text[0])
        return; /* it has ended */
    text[strcspn(text, "\n")] = '\0';
    pyd_dump_thread(writer, tid, 0, text);
    read_text(text, sizeof text, "/proc/%d/task/%d/syscall", pid, tid);
    pyd_dump_proc_syscall(text, words, sizeof words);
    if (isdigit((unsigned char)text[0]))
        pyd_dump_native(writer, words, 0, "");
    else if (words[0])
        pyd_dump_remark(writer, words);
    read_text(text, sizeof text, "/proc/%d/task/%d/stat", pid, tid);
    if (pyd_dump_proc_state(text, words, sizeof words)[0])
        pyd_dump_remark(writer, words);
    if (words[0] == 's') /* stopped: the kernel's stack tells that once more, and nothing else */
        return;
    read_text(text, sizeof text, "/proc/%d/task/%d/stack", pid, tid);
    if (pyd_dump_proc_stack(text, words, sizeof words)[0]) {
        snprintf(remark, sizeof remark, "kernel: %s", words);
        pyd_dump_remark(writer, remark);
        return;
    }
    read_text(text, sizeof text, "/proc/%d/task/%d/wchan", pid, tid);
    if (text[0] && strcmp(text, "0") != 0) {
        snprintf(remark, sizeof remark, "kernel: %.1000s", text);
        pyd_dump_remark(writer, remark);
    }
}

static int is_thread(const struct dirent *entry)
{
    return isdigit((unsigned char)entry->d_name[0]);
}

/* What is left out is told of before any thread, as then it is told of all of them. */
static void say_left_out(struct pyd_dump_writer *writer, DIR *folder)
{
    const struct dirent *entry;
    char remark[80];
    unsigned count = 0;

    while ((entry = readdir(folder)))
        count += is_thread(entry) != 0;
    rewinddir(folder);
    if (count <= PYD_DUMP_PROC_THREADS)
        return;
    snprintf(remark, sizeof remark, "The first %d of %u threads:", PYD_DUMP_PROC_THREADS, count);
    pyd_dump_remark(writer, remark);
}

void pyd_dump_proc(struct pyd_dump_writer *writer, pid_t pid)
{
    char path[64];
    const struct dirent *entry;
    unsigned count = 0;
    DIR *folder;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    folder = opendir(path);
    if (!folder)
        return;
    say_left_out(writer, folder);
    while (count < PYD_DUMP_PROC_THREADS && (entry = readdir(folder))) {
        if (!is_thread(entry))
            continue;
        dump_thread(writer, (int)pid, atoi(entry->d_name));
        count++;
    }
    closedir(folder);
}
