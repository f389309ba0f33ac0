/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks of threads that are interrupted. Names and source lines are in test_symbol.c. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_httpd.h"
#include "pyd_clock.h"
#include "pyd_stacks.h"
#include "pyd_stacks_core.h"
#include "pyd_task.h"

#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER 1
#endif
#endif
#ifndef ADDRESS_SANITIZER
#define ADDRESS_SANITIZER 0
#endif

static char folder[] = "/tmp/pyd_test_stacks_XXXXXX";
static char source_path[64];

/* ---- Threads to look at ---- */

struct thread {
    pthread_t thread;
    pid_t tid;
    const char *name;
    void (*act)(struct thread *thread);
    sem_t begun, go;
    _Atomic int release;
};

static void *run_thread(void *baton)
{
    struct thread *thread = baton;

    pthread_setname_np(pthread_self(), thread->name);
    thread->tid = (pid_t)syscall(SYS_gettid);
    thread->act(thread);
    return NULL;
}

static void wait_sem(sem_t *sem)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    while (sem_timedwait(sem, &until)) {
        if (errno != EINTR)
            fail_msg("waited in vain");
    }
}

static void start(struct thread *thread, const char *name, void (*act)(struct thread *thread))
{
    memset(thread, 0, sizeof(*thread));
    thread->name = name;
    thread->act = act;
    assert_int_equal(sem_init(&thread->begun, 0, 0), 0);
    assert_int_equal(sem_init(&thread->go, 0, 0), 0);
    assert_int_equal(pthread_create(&thread->thread, NULL, run_thread, thread), 0);
    wait_sem(&thread->begun);
}

static void finish(struct thread *thread)
{
    atomic_store(&thread->release, 1);
    sem_post(&thread->go);
    assert_int_equal(pthread_join(thread->thread, NULL), 0);
}

/* Not static, and not inlined: looked for by name. */
void test_stacks_spin(_Atomic int *release);
__attribute__((noinline)) void test_stacks_spin(_Atomic int *release)
{
    while (!atomic_load(release)) {
    }
}

static void spin(struct thread *thread)
{
    sem_post(&thread->begun);
    test_stacks_spin(&thread->release);
    atomic_store(&thread->release, 2); /* so that it is not the last thing, which needs no frame of this function */
}

static void rest(struct thread *thread)
{
    sem_post(&thread->begun);
    wait_sem(&thread->go);
}

static void block_signals(struct thread *thread)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    rest(thread);
}

/* ---- What the language writes ---- */

static _Atomic(void (*)(void)) in_language;

static void write_frames(int number)
{
    char text[256];
    void (*hook)(void) = atomic_load(&in_language);
    int size;
    ssize_t written;

    (void)number;
    if (hook)
        hook();
    size = snprintf(text, sizeof(text), "Stack (most recent call first):\n  File \"%s\", line 2 in frame_of_%d\n",
                    source_path, (int)syscall(SYS_gettid));
    written = write(pyd_stacks_fd(), text, (size_t)size);
    (void)written;
}

static _Atomic pid_t holder; /* of the language's lock */

static int holds_lock(void)
{
    return atomic_load(&holder) == (pid_t)syscall(SYS_gettid);
}

/* ---- Looking at a text ---- */

struct seen {
    int at; /* as so many threads come before it; -1: it is not there */
    int natives, frames;
    unsigned flags;
    char symbols[2048]; /* "<inner<outer<" */
    char frame[512];    /* "function file:line source" of the first one */
    char remarks[256];
};

static void add(char *room, size_t size, const struct pyd_dump_str *str)
{
    size_t used = strlen(room);

    snprintf(room + used, size - used, "%.*s<", (int)str->size, str->data);
}

static struct seen look(const struct pyd_dump_writer *writer, pid_t tid)
{
    const char *at = (const char *)writer->text.data, *end = at + writer->text.size;
    struct seen seen = {.at = -1, .symbols = "<"};
    struct pyd_dump_item item;
    int index = -1, here = 0;

    while (pyd_dump_next(&at, end, &item)) {
        assert_int_not_equal(item.kind, PYD_DUMP_LINE_BAD);
        if (item.kind == PYD_DUMP_THREAD) {
            index++;
            here = item.tid == tid;
            if (here)
                seen.at = index, seen.flags = item.flags;
        }
        if (!here)
            continue;
        if (item.kind == PYD_DUMP_NATIVE) {
            seen.natives++;
            add(seen.symbols, sizeof(seen.symbols), item.symbol.size ? &item.symbol : &item.module);
        }
        if (item.kind == PYD_DUMP_FRAME && !seen.frames++)
            snprintf(seen.frame, sizeof(seen.frame), "%.*s %.*s:%d %.*s", (int)item.function.size, item.function.data,
                     (int)item.file.size, item.file.data, item.line, (int)item.source.size, item.source.data);
        if (item.kind == PYD_DUMP_REMARK)
            add(seen.remarks, sizeof(seen.remarks), &item.name);
    }
    return seen;
}

static void has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in '%s'", part, text);
}

static void dump(struct pyd_dump_writer *writer, pid_t tid, int plain)
{
    struct pyd_stacks *stacks = NULL;
    int64_t deadline_us = pyd_clock_us() + 60000000;

    assert_int_equal(pyd_stacks_take(tid, deadline_us, &stacks), 0);
    pyd_dump_writer_init(writer, 1 << 20);
    pyd_stacks_write(stacks, plain, deadline_us, writer);
    pyd_dump_end(writer);
    pyd_stacks_destroy(stacks);
}

/* Until the thread has been found where it should be: it may be on its way there, or this machine too busy to let it
 * answer in time. @param symbol of a native frame, or "" */
static struct seen dump_until(struct pyd_dump_writer *writer, pid_t only_tid, const struct thread *thread,
                              const char *symbol)
{
    int64_t until_us = pyd_clock_us() + 60000000;

    for (;;) {
        struct seen seen;

        dump(writer, only_tid, 0);
        seen = look(writer, thread->tid);
        if ((seen.frames && strstr(seen.symbols, symbol)) || pyd_clock_us() > until_us)
            return seen;
        pyd_dump_writer_done(writer);
    }
}

/* ---- Stacks ---- */

static void test_native_frames(void **state)
{
    struct pyd_dump_writer writer;
    struct thread thread;
    struct seen seen;

    (void)state;
    start(&thread, "app", spin);
    seen = dump_until(&writer, 0, &thread, "test_stacks_spin");
    /* The frames of handler and trampoline are cut off. */
    assert_ptr_equal(strstr(seen.symbols, "<test_stacks_spin<"), seen.symbols);
#ifdef __GLIBC__
    has(seen.symbols, "<spin<run_thread<");
#endif
    assert_string_equal(seen.remarks, "");
    pyd_dump_writer_done(&writer);
    finish(&thread);
}

/* As long as the language has not started, or has none to offer. */
static void test_without_language(void **state)
{
    struct pyd_dump_writer writer;
    struct thread thread;
    struct seen seen;

    (void)state;
    start(&thread, "app", spin);
    do { /* until it is there, and is given the time to answer */
        dump(&writer, 0, 0);
        seen = look(&writer, thread.tid);
        pyd_dump_writer_done(&writer);
    } while (!strstr(seen.symbols, "<test_stacks_spin<"));
    assert_int_equal(seen.frames, 0);
    assert_string_equal(seen.remarks, "");
    finish(&thread);
    signal(PYD_STACKS_SIGNAL, write_frames);
    assert_int_equal(pyd_stacks_set_language(holds_lock), 0);
}

static void test_language_frames(void **state)
{
    struct pyd_dump_writer writer;
    struct thread thread;
    struct seen seen;
    char frame[256];

    (void)state;
    start(&thread, "app", rest);
    seen = dump_until(&writer, 0, &thread, "");
    snprintf(frame, sizeof(frame), "frame_of_%d %s:2 the second = line()", (int)thread.tid, source_path);
    assert_string_equal(seen.frame, frame);
    assert_int_equal(seen.frames, 1);
    assert_in_range(seen.natives, 1, 16);
    pyd_dump_writer_done(&writer);
    dump(&writer, 0, 1);
    seen = look(&writer, thread.tid);
    snprintf(frame, sizeof(frame), "frame_of_%d %s:2 ", (int)thread.tid, source_path);
    assert_string_equal(seen.frame, frame);
    assert_null(strstr(seen.symbols, "run_thread")); /* that needs a file to be read */
    pyd_dump_writer_done(&writer);
    finish(&thread);
}

static void test_one_thread(void **state)
{
    struct thread threads[2];
    struct pyd_dump_writer writer;

    (void)state;
    start(&threads[0], "app", rest);
    start(&threads[1], "app", rest);
    atomic_store(&holder, threads[0].tid);
    dump(&writer, 0, 0);
    assert_int_equal(look(&writer, threads[0].tid).flags, PYD_DUMP_HOLDS_GIL);
    assert_int_equal(look(&writer, threads[1].tid).flags, 0);
    pyd_dump_writer_done(&writer);
    atomic_store(&holder, 0);
    dump(&writer, threads[1].tid, 0);
    assert_int_equal(look(&writer, threads[0].tid).at, -1);
    assert_int_equal(look(&writer, threads[1].tid).at, 0);
    pyd_dump_writer_done(&writer);
    dump(&writer, INT32_MAX, 0);
    assert_int_equal(writer.text.size, 0);
    pyd_dump_writer_done(&writer);
    finish(&threads[0]);
    finish(&threads[1]);
}

static struct pyd_dump_writer taken;

static void take_here(struct thread *thread)
{
    dump(&taken, 0, 0);
    rest(thread);
}

/* As the keeper does it: main is one of the threads then. */
static void test_order(void **state)
{
    struct thread other, watch, request, keeper;

    (void)state;
    start(&other, "other", rest);
    start(&watch, "pydaemon-watch", rest);
    start(&request, "pydaemon-12", rest);
    start(&keeper, "pydaemon-keeper", take_here);
    assert_int_equal(look(&taken, request.tid).at, 0);
    assert_int_equal(look(&taken, getpid()).at, 1);
    assert_int_equal(look(&taken, other.tid).at, 2);
    assert_int_equal(look(&taken, watch.tid).at, -1);
    assert_int_equal(look(&taken, keeper.tid).at, -1);
    pyd_dump_writer_done(&taken);
    finish(&other);
    finish(&watch);
    finish(&request);
    finish(&keeper);
}

static void test_blocked_signals(void **state)
{
    struct thread threads[2];
    struct pyd_dump_writer writer;
    struct seen seen;

    (void)state;
    start(&threads[0], "app", block_signals);
    start(&threads[1], "app", rest);
    dump_until(&writer, 0, &threads[1], "");
    seen = look(&writer, threads[0].tid);
    assert_string_equal(seen.remarks, "it blocks signals<");
    assert_int_equal(seen.frames, 0);
    assert_int_equal(look(&writer, threads[1].tid).frames, 1);
    pyd_dump_writer_done(&writer);
    finish(&threads[0]);
    finish(&threads[1]);
}

static int gate[2], news[2];

/* Until its child has ended no signal gets to the thread: as in posix_spawn() of a program on a file server that
 * hangs. */
static void hang_in_vfork(struct thread *thread)
{
    pid_t pid;
    char byte = 'v';

    sem_post(&thread->begun);
    pid = vfork();
    if (!pid) {
        if (write(news[1], &byte, 1) != 1 || read(gate[0], &byte, 1) != 1)
            _exit(1);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    sem_post(&thread->begun);
    wait_sem(&thread->go);
}

static void test_no_answer(void **state)
{
    struct thread hanging, spinning;
    struct pyd_dump_writer writer;
    struct seen seen;
    char byte;

    (void)state;
    start(&hanging, "pydaemon-1", hang_in_vfork);
    assert_int_equal(read(news[0], &byte, 1), 1);
    start(&spinning, "pydaemon-2", spin);
    for (int i = 0; i < 2; i++) {
        dump_until(&writer, 0, &spinning, "<test_stacks_spin<");
        seen = look(&writer, hanging.tid);
        assert_int_equal(seen.at, 0);
        assert_string_equal(seen.remarks, "it does not answer<D (disk sleep)<");
        assert_int_equal(seen.frames, 0);
        assert_int_equal(look(&writer, spinning.tid).frames, 1);
        pyd_dump_writer_done(&writer);
    }
    assert_int_equal(write(gate[1], "g", 1), 1);
    wait_sem(&hanging.begun);
    assert_int_equal(dump_until(&writer, 0, &hanging, "").frames, 1);
    pyd_dump_writer_done(&writer);
    finish(&hanging);
    finish(&spinning);
}

static struct thread late;

static void answer_late(struct thread *thread)
{
    sigset_t all, none;

    sigfillset(&all);
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    sem_post(&thread->begun);
    wait_sem(&thread->go);
    pthread_sigmask(SIG_SETMASK, &none, NULL); /* the signal comes before this returns */
    sem_post(&thread->begun);
    wait_sem(&thread->go);
}

static void let_late_one_answer(void)
{
    atomic_store(&in_language, NULL);
    sem_post(&late.go);
    while (sem_wait(&late.begun)) {
    }
}

static int ask(pid_t tid, struct pyd_stacks_answer *ret_answer)
{
    return pyd_stacks_ask(tid, 0, pyd_clock_us() + 50000, ret_answer);
}

/* The first thread answers while the second one is asked. */
static void test_late_answer(void **state)
{
    struct pyd_stacks_answer answer = {0};
    struct thread other;
    char frame[64];

    (void)state;
    start(&late, "late", answer_late);
    start(&other, "other", spin);
    assert_int_equal(ask(late.tid, &answer), ETIMEDOUT);
    atomic_store(&in_language, let_late_one_answer);
    while (ask(other.tid, &answer)) {
    }
    atomic_store(&in_language, NULL);
    snprintf(frame, sizeof(frame), "in frame_of_%d\n", (int)other.tid);
    has(answer.text, frame);
    assert_null(strstr(strstr(answer.text, frame) + strlen(frame), "frame_of"));
    free(answer.text);
    finish(&late);
    finish(&other);
}

/* It answers before the second one does, which can't. */
static void test_late_answer_first(void **state)
{
    struct pyd_stacks_answer answer = {0};
    struct thread other;

    (void)state;
    start(&late, "late", answer_late);
    start(&other, "other", block_signals);
    assert_int_equal(ask(late.tid, &answer), ETIMEDOUT);
    sem_post(&late.go);
    assert_int_equal(ask(other.tid, &answer), ETIMEDOUT);
    finish(&late);
    finish(&other);
}

static _Atomic int language_hangs;

static void hang_in_language(void)
{
    test_stacks_spin(&language_hangs);
}

/* Nobody may follow it in there, but native frames are had all the same; and it works again when it is over. */
static void test_language_hangs(void **state)
{
    struct thread threads[2];
    struct pyd_dump_writer writer;
    int natives;

    (void)state;
    start(&threads[0], "pydaemon-1", rest);
    start(&threads[1], "pydaemon-2", rest);
    atomic_store(&language_hangs, 0);
    atomic_store(&in_language, hang_in_language);
    do { /* if it was asked in vain, later than this */
        dump(&writer, threads[0].tid, 0);
        natives = look(&writer, threads[0].tid).natives;
        has(look(&writer, threads[0].tid).remarks, "<");
        pyd_dump_writer_done(&writer);
    } while (natives < 3);
    do {
        dump(&writer, threads[1].tid, 0);
        natives = look(&writer, threads[1].tid).natives;
        assert_int_equal(look(&writer, threads[1].tid).frames, 0);
        has(look(&writer, threads[1].tid).remarks, "<");
        pyd_dump_writer_done(&writer);
    } while (natives < 3);
    atomic_store(&in_language, NULL);
    atomic_store(&language_hangs, 1);
    assert_int_equal(dump_until(&writer, 0, &threads[1], "").frames, 1);
    assert_string_equal(look(&writer, threads[1].tid).remarks, "");
    pyd_dump_writer_done(&writer);
    finish(&threads[0]);
    finish(&threads[1]);
}

static void test_no_time(void **state)
{
    struct pyd_dump_writer writer;
    struct pyd_stacks *stacks = NULL;
    struct thread threads[2];

    (void)state;
    start(&threads[0], "app", rest);
    start(&threads[1], "app", rest);
    assert_int_equal(pyd_stacks_take(0, pyd_clock_us(), &stacks), 0);
    pyd_dump_writer_init(&writer, 1 << 16);
    pyd_stacks_write(stacks, 0, INT64_MAX, &writer);
    pyd_dump_end(&writer);
    for (int i = 0; i < 2; i++) {
        has(look(&writer, threads[i].tid).remarks, "there was no time to ask it<");
        assert_int_equal(look(&writer, threads[i].tid).frames, 0);
    }
    pyd_stacks_destroy(stacks);
    pyd_dump_writer_done(&writer);
    finish(&threads[0]);
    finish(&threads[1]);
}

/* A library's initialisers run under this lock, however long they do; here it is opened, which takes as long. */
static void open_fifo_as_library(struct thread *thread)
{
    char path[64];

    snprintf(path, sizeof(path), "%s/fifo", folder);
    sem_post(&thread->begun);
    assert_null(dlopen(path, RTLD_NOW));
}

static void test_dynamic_linker_hangs(void **state)
{
    struct pyd_dump_writer writer;
    struct pyd_task task;
    struct thread thread;
    char path[64];
    int fd;

    (void)state;
    snprintf(path, sizeof(path), "%s/fifo", folder);
    start(&thread, "app", open_fifo_as_library);
    do
        assert_int_equal(pyd_task_read(thread.tid, SIGUSR1, &task), 0);
    while (task.state[0] != 'S');
    has(dump_until(&writer, thread.tid, &thread, "<dlopen<").symbols, "<dlopen<");
    pyd_dump_writer_done(&writer);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    close(fd);
    finish(&thread);
}

static size_t count_descriptors(void)
{
    DIR *descriptors = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(descriptors);
    while (readdir(descriptors))
        count++;
    closedir(descriptors);
    return count;
}

static long resident_kib(void)
{
    char text[128];
    long resident = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t got = read(fd, text, sizeof(text) - 1);

    assert_true(got > 0);
    text[got] = '\0';
    close(fd);
    assert_int_equal(sscanf(text, "%*s %ld", &resident), 1);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void test_flat(void **state)
{
    struct pyd_dump_writer writer;
    struct thread threads[3];
    size_t descriptors = 0;
    int answers = 0;
    long kib = 0;
    struct stat file;

    (void)state;
    for (int i = 0; i < 3; i++)
        start(&threads[i], "app", rest);
    for (int i = 0; i < 1000; i++) {
        if (i == 100) {
            descriptors = count_descriptors();
            kib = resident_kib();
        }
        dump(&writer, 0, 0);
        answers += look(&writer, threads[2].tid).frames;
        pyd_dump_writer_done(&writer);
    }
    assert_in_range(answers, 900, 1000);
    assert_int_equal(count_descriptors(), descriptors);
    if (!ADDRESS_SANITIZER)
        assert_true(resident_kib() < kib + 1024);
    assert_int_equal(fstat(pyd_stacks_fd(), &file), 0);
    assert_int_equal(file.st_size, 0);
    for (int i = 0; i < 3; i++)
        finish(&threads[i]);
}

static void test_proc(void **state)
{
    struct thread threads[2];
    struct pyd_dump_writer writer;
    struct seen seen;

    (void)state;
    start(&threads[0], "app", rest);
    start(&threads[1], "app", spin);
    pyd_dump_writer_init(&writer, 1 << 16);
    pyd_dump_thread(&writer, threads[0].tid, 0, "known");
    pyd_stacks_write_proc(&writer, 0);
    pyd_dump_end(&writer);
    seen = look(&writer, threads[0].tid);
    assert_int_equal(seen.at, 0); /* once */
    assert_int_equal(seen.natives, 0);
    seen = look(&writer, threads[1].tid);
    assert_int_equal(seen.at, 1);
    assert_string_equal(seen.remarks, "R (running)<");
    pyd_dump_writer_done(&writer);
    pyd_dump_writer_init(&writer, 1 << 16);
    pyd_stacks_write_proc(&writer, threads[0].tid);
    pyd_dump_end(&writer);
    assert_int_equal(look(&writer, threads[1].tid).at, -1);
    assert_int_equal(look(&writer, threads[0].tid).at, 0);
    assert_int_equal(look(&writer, threads[0].tid).frames, 0);
    pyd_dump_writer_done(&writer);
    finish(&threads[0]);
    finish(&threads[1]);
}

static void test_forked(void **state)
{
    pid_t pid;
    int status = -1;

    (void)state;
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        raise(PYD_STACKS_SIGNAL);
        _exit(43);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 43);
}

/* ---- A stack for signals ---- */

static void on_overflow(int number)
{
    (void)number;
    _exit(42);
}

__attribute__((noinline)) static int overflow(volatile char *outer)
{
    volatile char room[4096];

    room[0] = *outer;
    return room[0] ? 0 : overflow(room) + room[0];
}

static void overflow_here(struct thread *thread)
{
    struct sigaction action = {.sa_handler = on_overflow, .sa_flags = SA_ONSTACK};
    volatile char first = 0;

    (void)thread;
    if (pyd_stacks_alternate() || pyd_stacks_alternate()) /* twice is once */
        _exit(1);
    sigaction(SIGSEGV, &action, NULL);
    _exit(overflow(&first) ? 2 : 3);
}

static void test_alternate_stack(void **state)
{
    struct thread thread = {.name = "app", .act = overflow_here};
    pid_t pid;
    int status = -1;

    (void)state;
    if (ADDRESS_SANITIZER)
        return; /* it has a stack of its own for that */
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        pthread_create(&thread.thread, NULL, run_thread, &thread);
        pthread_join(thread.thread, NULL);
        _exit(4);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
}

static int set_up(void **state)
{
    static const char source[] = "x\n    the second = line()\n";
    char path[64];
    int fd;

    (void)state;
    if (!mkdtemp(folder) || pipe(gate) || pipe(news))
        return 1;
    snprintf(source_path, sizeof(source_path), "%s/source.py", folder);
    snprintf(path, sizeof(path), "%s/fifo", folder);
    fd = open(source_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, source, strlen(source)) < 0 || close(fd))
        return 1;
    return mkfifo(path, 0600) || pyd_stacks_init() || pyd_stacks_set_language(holds_lock);
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
    const struct CMUnitTest few[] = {
        cmocka_unit_test(test_no_time),
        cmocka_unit_test(test_forked),
    };
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_without_language), /* then comes one */
        cmocka_unit_test(test_native_frames),
        cmocka_unit_test(test_language_frames),
        cmocka_unit_test(test_one_thread),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_blocked_signals),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_late_answer),
        cmocka_unit_test(test_late_answer_first),
        cmocka_unit_test(test_language_hangs),
        cmocka_unit_test(test_no_time),
        cmocka_unit_test(test_dynamic_linker_hangs),
        cmocka_unit_test(test_flat),
        cmocka_unit_test(test_proc),
        cmocka_unit_test(test_forked),
        cmocka_unit_test(test_alternate_stack),
    };

    if (FAKE_THREAD_SANITIZER) /* it delivers signals when it likes */
        return cmocka_run_group_tests_name("stacks", few, set_up, tear_down);
    return cmocka_run_group_tests_name("stacks", all, set_up, tear_down);
}
