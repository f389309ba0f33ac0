/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_app.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pyd_dump.h"
#include "pyd_exchange.h"
#include "pyd_log.h"
#include "pyd_stacks.h"
#include "pyd_worker.h"

struct fake_app_shared *fake_app_shared;
int fake_app_gate[2] = {-1, -1}, fake_app_events[2] = {-1, -1};

static void say(char event)
{
    if (write(fake_app_events[1], &event, 1) != 1)
        abort();
}

static void wait_at_gate(void)
{
    char byte;

    while (read(fake_app_gate[0], &byte, 1) < 0 && errno == EINTR) {
    }
}

/* ---- What requests do ---- */

static void begin(struct pyd_exchange *exchange)
{
    pyd_exchange_head(exchange, 200, "OK", 2);
    pyd_exchange_header(exchange, "Content-Type", 12, "text/plain", 10);
    pyd_exchange_header(exchange, "X-Twice", 7, "1", 1);
    pyd_exchange_header(exchange, "X-Twice", 7, "2", 1);
    pyd_exchange_head_done(exchange);
}

/* As a runtime does it: write what goes, wait for room, go on. */
static int write_all(struct pyd_exchange *exchange, const char *data, size_t size)
{
    while (size) {
        size_t taken = 0;
        int rv = pyd_exchange_write(exchange, data, size, &taken);

        data += taken;
        size -= taken;
        if (rv == EAGAIN)
            rv = pyd_exchange_flush(exchange);
        if (rv)
            return rv;
    }
    return 0;
}

static void answer(struct pyd_exchange *exchange, const char *text)
{
    begin(exchange);
    write_all(exchange, text, strlen(text));
    pyd_exchange_end(exchange, 0);
}

static void do_hello(struct pyd_exchange *exchange, long number)
{
    (void)number;
    answer(exchange, "hello");
}

/* Reads in pieces of number bytes and sends each back. */
static void do_echo(struct pyd_exchange *exchange, long number)
{
    size_t room = number > 0 ? (size_t)number : 8192, got = 0;
    char *data = malloc(room);
    int status = 0, rv;

    begin(exchange);
    while (!(rv = pyd_exchange_read(exchange, data, room, &got, &status)) && got) {
        rv = write_all(exchange, data, got);
        if (rv)
            break;
    }
    if (rv == EIO) {
        char text[32];

        snprintf(text, sizeof(text), "status %d", status);
        write_all(exchange, text, strlen(text));
    }
    free(data);
    pyd_exchange_end(exchange, rv != 0);
}

/* Reads once, number bytes at most, and does not care for the rest. */
static void do_sip(struct pyd_exchange *exchange, long number)
{
    char data[4096];
    size_t got = 0;
    int status;

    if (pyd_exchange_read(exchange, data, (size_t)number, &got, &status))
        got = 0;
    begin(exchange);
    write_all(exchange, data, got);
    pyd_exchange_end(exchange, 0);
}

/* Says so with a log line, then waits to be let go. */
static void do_hang(struct pyd_exchange *exchange, long number)
{
    (void)number;
    pyd_exchange_log(exchange, PYD_LOG_NOTICE, "hanging\n", 8);
    pyd_exchange_flush(exchange);
    wait_at_gate();
    answer(exchange, "released");
}

static void do_die(struct pyd_exchange *exchange, long number)
{
    (void)exchange;
    raise((int)number);
}

static void do_exit(struct pyd_exchange *exchange, long number)
{
    (void)exchange;
    _exit((int)number);
}

/* number bytes in pieces of 1 MiB, each byte telling where it stands. */
static void do_stream(struct pyd_exchange *exchange, long number)
{
    size_t size = 1 << 20, sent = 0, total = (size_t)number;
    char *data = malloc(size);
    int rv = 0;

    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i % 251);
    begin(exchange);
    while (sent < total && !rv) {
        size_t part = total - sent < size ? total - sent : size;

        rv = write_all(exchange, data, part);
        sent += part;
    }
    free(data);
    atomic_store(&fake_app_shared->waiting_ended, rv);
    if (rv)
        say('e');
    pyd_exchange_end(exchange, rv != 0);
}

/* number small writes without a push between them. */
static void do_drip(struct pyd_exchange *exchange, long number)
{
    begin(exchange);
    for (long i = 0; i < number; i++) {
        if (write_all(exchange, "0123456789abcdef", 16))
            break;
    }
    pyd_exchange_end(exchange, 0);
}

static void do_log(struct pyd_exchange *exchange, long number)
{
    (void)number;
    pyd_exchange_head(exchange, 200, "OK", 2);
    pyd_exchange_log(exchange, PYD_LOG_ERR, "between head\nand header\n", 24);
    pyd_exchange_header(exchange, "A", 1, "b", 1);
    pyd_exchange_head_done(exchange);
    pyd_exchange_end(exchange, 0);
}

/* number lines, never pushed. */
static void do_chatter(struct pyd_exchange *exchange, long number)
{
    char line[1024];

    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    for (long i = 0; i < number; i++) {
        size_t taken = pyd_exchange_log(exchange, PYD_LOG_WARNING, line, sizeof(line));

        pyd_log_lines(PYD_LOG_WARNING, PYD_LOG_NO_GROUP, line + taken, sizeof(line) - taken);
    }
    say('c');
    answer(exchange, "chattered");
}

/* number lines, which are not sent before the end; no body. */
static void do_mutter(struct pyd_exchange *exchange, long number)
{
    char line[1024];

    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    for (long i = 0; i < number; i++)
        pyd_exchange_log(exchange, PYD_LOG_WARNING, line, sizeof(line));
    begin(exchange);
    pyd_exchange_end(exchange, 0);
}

static void do_nothing(struct pyd_exchange *exchange, long number)
{
    if (number)
        begin(exchange);
}

static void do_fail(struct pyd_exchange *exchange, long number)
{
    if (number == 1)
        pyd_exchange_head(exchange, 200, "OK", 2); /* not finished: it is as if it had not been begun */
    if (number == 2)
        begin(exchange);
    pyd_exchange_fail(exchange, PYD_FAIL_PROTOCOL, "status must be str");
    pyd_exchange_end(exchange, 0); /* too late */
}

/* A head that no frame can carry. */
static void do_huge_head(struct pyd_exchange *exchange, long number)
{
    size_t size = (size_t)number, taken;
    char *value = malloc(size);

    memset(value, 'v', size);
    pyd_exchange_head(exchange, 200, "OK", 2);
    for (int i = 0; i < 2; i++)
        pyd_exchange_header(exchange, "X", 1, value, size);
    pyd_exchange_head_done(exchange);
    free(value);
    if (pyd_exchange_write(exchange, "x", 1, &taken) == ENOMEM)
        pyd_exchange_fail(exchange, PYD_FAIL_PROTOCOL, "head too long");
    else
        pyd_exchange_end(exchange, 0);
}

static void do_early(struct pyd_exchange *exchange, long number)
{
    (void)number;
    pyd_exchange_early(exchange);
    pyd_exchange_header(exchange, "Link", 4, "</a.css>", 8);
    pyd_exchange_head_done(exchange);
    pyd_exchange_push(exchange);
    answer(exchange, "after hints");
}

/* A process forked by the application is killed: that must not be taken for the worker's own end. */
static void do_fork(struct pyd_exchange *exchange, long number)
{
    int status = 0;
    pid_t pid = fork();

    (void)number;
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing behind */
        for (;;)
            poll(NULL, 0, -1);
    }
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    answer(exchange, WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM ? "child terminated" : "child did not end");
}

/* Calls that must not reach the parent's connection or status. @return 0 or the number of one that did */
static int try_all(struct pyd_exchange *exchange)
{
    char data[100] = "stolen";
    size_t size = 0;
    int status = 0;

    if (!pyd_exchange_forked())
        return 1;
    if (pyd_exchange_read(exchange, data, sizeof(data), &size, &status) != ECONNRESET)
        return 2;
    begin(exchange);
    if (pyd_exchange_write(exchange, data, 6, &size) != ECONNRESET)
        return 3;
    if (pyd_exchange_push(exchange) != ECONNRESET || pyd_exchange_flush(exchange) != ECONNRESET)
        return 4;
    if (pyd_exchange_log(exchange, PYD_LOG_ERR, "stolen\n", 7) != 0)
        return 5;
    if (!pyd_exchange_disconnected(exchange))
        return 6;
    pyd_exchange_end(exchange, 0);
    return 0;
}

static int wait_status(pid_t pid)
{
    int status = -1;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

/* A process forked by the application returns as a request does; number 1: one that no fork handler has heard of. */
static void do_fork_back(struct pyd_exchange *exchange, long number)
{
    char text[64];
    pid_t pid = number ? (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) : fork();

    if (!pid) {
        int wrong;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        wrong = number ? 0 : try_all(exchange);
        if (wrong)
            _exit(wrong);
        return;
    }
    snprintf(text, sizeof(text), "child %d", wait_status(pid));
    say('f');
    wait_at_gate();
    answer(exchange, text);
}

/* ---- What dumps are made of ---- */

static pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;

/* Nobody else gets the lock until the gate is opened. */
static void do_deadlock(struct pyd_exchange *exchange, long number)
{
    (void)number;
    pthread_mutex_lock(&fake_lock);
    say('l');
    wait_at_gate();
    pthread_mutex_unlock(&fake_lock);
    answer(exchange, "unlocked");
}

void fake_app_spin(void); /* not static: its name is looked for in a stack */
void fake_app_spin(void)
{
    while (!atomic_load(&fake_app_shared->release)) {
    }
}

/* With the lock (number 1) or without. */
static void do_spin(struct pyd_exchange *exchange, long number)
{
    if (number)
        pthread_mutex_lock(&fake_lock);
    say('s');
    fake_app_spin();
    if (number)
        pthread_mutex_unlock(&fake_lock);
    answer(exchange, "spun");
}

/* No signal reaches this thread. */
static void do_block(struct pyd_exchange *exchange, long number)
{
    sigset_t all, before;

    (void)number;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    say('b');
    wait_at_gate();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    answer(exchange, "unblocked");
}

/* A process forked by the application has no part in dumps. */
static void do_fork_dump(struct pyd_exchange *exchange, long number)
{
    pid_t pid = fork();
    int status;

    (void)number;
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        kill(getpid(), PYD_STACKS_SIGNAL); /* is of no effect */
        kill(getpid(), SIGUSR2);
        _exit(0);
    }
    status = wait_status(pid);
    answer(exchange, WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR2 ? "child ended by it" : "child went on");
}

/* An application that closes what is not its own, and opens a file of its own in its place: number. */
static void do_close(struct pyd_exchange *exchange, long number)
{
    int fd = memfd_create("own", MFD_CLOEXEC);

    dup2(fd, (int)number);
    close(fd);
    answer(exchange, "closed");
}

static void do_file_size(struct pyd_exchange *exchange, long number)
{
    struct rlimit limit;

    (void)number;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = 0;
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_DFL);
    answer(exchange, "limited");
}

static void do_crash(struct pyd_exchange *exchange, long number)
{
    (void)exchange, (void)number;
    if (write(pyd_worker_crash_fd(), "crashed\n", 8) == 8)
        raise(SIGKILL);
}

static void write_fake_stack(int number)
{
    static const char text[] = "Stack (most recent call first):\n  File \"fake_app.py\", line 12 in fake_frame\n";
    ssize_t written = write(pyd_stacks_fd(), text, sizeof(text) - 1);

    (void)number, (void)written;
}

static void dump(struct pyd_dump_writer *writer, pid_t tid, void (*had)(void))
{
    pthread_mutex_lock(&fake_lock);
    had();
    if (writer) {
        pyd_dump_thread(writer, tid ? tid : getpid(), PYD_DUMP_HOLDS_GIL, "main");
        pyd_dump_frame(writer, "fake_app.py", 7, "locked_frame", "pass");
        atomic_fetch_add(&fake_app_shared->dumped, 1);
        if (atomic_exchange(&fake_app_shared->dump_hangs, 0)) {
            say('h');
            wait_at_gate();
        }
    }
    pthread_mutex_unlock(&fake_lock);
}

/* ---- Other things ---- */

static void free_const(void *data)
{
    atomic_fetch_add(&fake_app_shared->const_freed, 1);
    free(data);
}

/* How often this constant set has been used. */
static void do_count(struct pyd_exchange *exchange, long number)
{
    int *count = pyd_exchange_const_data(exchange);
    char text[96];

    (void)number;
    if (!count) {
        count = calloc(1, sizeof(*count));
        pyd_exchange_const_set_data(exchange, count, free_const);
    }
    snprintf(text, sizeof(text), "%.*s %d", (int)pyd_exchange_const(exchange)->target.size,
             pyd_exchange_const(exchange)->target.data, ++*count);
    answer(exchange, text);
}

/* Says whether the peer is there, and again when the gate was opened. */
static void do_linger(struct pyd_exchange *exchange, long number)
{
    (void)number;
    say(pyd_exchange_disconnected(exchange) ? 'D' : 'c');
    wait_at_gate();
    say(pyd_exchange_disconnected(exchange) ? 'd' : 'C');
    answer(exchange, "too late");
}

static const struct {
    const char *verb;
    void (*act)(struct pyd_exchange *exchange, long number);
} ACTS[] = {
    {"hello", do_hello}, {"echo", do_echo},       {"sip", do_sip},         {"hang", do_hang},
    {"die", do_die},     {"exit", do_exit},       {"stream", do_stream},   {"drip", do_drip},
    {"log", do_log},     {"chatter", do_chatter}, {"nothing", do_nothing}, {"fail", do_fail},
    {"early", do_early}, {"fork", do_fork},       {"count", do_count},     {"linger", do_linger},
    {"huge-head", do_huge_head}, {"fork-back", do_fork_back}, {"deadlock", do_deadlock}, {"spin", do_spin},
    {"block", do_block}, {"fork-dump", do_fork_dump}, {"close", do_close},
    {"crash", do_crash}, {"mutter", do_mutter}, {"file-size", do_file_size},
};

/* As a runtime does it that executes under its lock. */
static int begin_with_lock(struct pyd_exchange *exchange)
{
    int rv;

    pthread_mutex_lock(&fake_lock);
    rv = pyd_exchange_begin(exchange);
    pthread_mutex_unlock(&fake_lock);
    return rv;
}

static void run(void *state, struct pyd_exchange *exchange)
{
    struct pyd_wire_reader pairs = pyd_exchange_request(exchange)->pairs;
    struct pyd_wire_str value = {"", 0};
    char text[64] = "";
    char *number;

    if (*(char *)state != 's')
        abort();
    if (begin_with_lock(exchange))
        return;
    for (uint32_t i = 0; i < pyd_exchange_request(exchange)->pair_count && i < 2; i++)
        value = pyd_wire_read_pair(&pairs).value;
    snprintf(text, sizeof(text), "%.*s", (int)(value.size < 60 ? value.size : 60), value.data);
    number = strchr(text, ' ');
    if (number)
        *number++ = '\0';
    for (size_t i = 0; i < sizeof(ACTS) / sizeof(ACTS[0]); i++) {
        if (!strcmp(ACTS[i].verb, text)) {
            ACTS[i].act(exchange, number ? atol(number) : 0);
            return;
        }
    }
    pyd_exchange_fail(exchange, PYD_FAIL_LOAD, "no such verb");
}

/* ---- The life of the runtime ---- */

static void ignore(int number)
{
    (void)number;
}

static void fork_in_start(void)
{
    pid_t pid = fork();

    if (pid)
        atomic_store(&fake_app_shared->start_forks, wait_status(pid) + 1);
    else
        prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void look_at_process(void)
{
    int64_t stack = atomic_load(&fake_app_shared->default_stack);
    int number = 0;

    prctl(PR_GET_PDEATHSIG, &number);
    atomic_store(&fake_app_shared->death_signal, number + 1);
#ifdef __GLIBC__
    if (stack) {
        pthread_attr_t attr;

        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, (size_t)stack);
        pthread_setattr_default_np(&attr);
        pthread_attr_destroy(&attr);
    }
#else
    (void)stack;
#endif
}

static int start(const struct pyd_spec *spec)
{
    look_at_process();
    if (atomic_load(&fake_app_shared->start_forks))
        fork_in_start();
    atomic_store(&fake_app_shared->started, spec->threads);
    atomic_store(&fake_app_shared->crash_fd, pyd_worker_crash_fd() + 1);
    signal(PYD_STACKS_SIGNAL, write_fake_stack);
    if (pyd_stacks_set_language(NULL))
        abort();
    if (atomic_load(&fake_app_shared->catch_term))
        signal(SIGTERM, ignore), signal(SIGUSR2, ignore);
    if (atomic_load(&fake_app_shared->start_hangs)) {
        say('i');
        wait_at_gate();
    }
    return 0;
}

static int load(const struct pyd_spec *spec)
{
    (void)spec;
    if (atomic_load(&fake_app_shared->load_hangs) == 2)
        pthread_mutex_lock(&fake_lock);
    if (atomic_load(&fake_app_shared->load_hangs)) {
        say('i');
        wait_at_gate();
    }
    if (atomic_load(&fake_app_shared->load_hangs) == 2)
        pthread_mutex_unlock(&fake_lock);
    return atomic_load(&fake_app_shared->start_status);
}

static int thread_begin(unsigned number, void **ret_state)
{
    static char state[] = "s";
    pthread_attr_t attr;
    stack_t alternate;
    size_t stack = 0;

    if (!pthread_getattr_np(pthread_self(), &attr)) {
        pthread_attr_getstacksize(&attr, &stack);
        pthread_attr_destroy(&attr);
    }
    atomic_store(&fake_app_shared->stack, (int64_t)stack);
    atomic_store(&fake_app_shared->alternate, !sigaltstack(NULL, &alternate) && !(alternate.ss_flags & SS_DISABLE));
    if ((int)number == atomic_load(&fake_app_shared->refuse_thread))
        return ENOMEM;
    atomic_fetch_add(&fake_app_shared->begun, 1);
    *ret_state = state;
    return 0;
}

static void thread_end(void *state)
{
    (void)state;
    atomic_fetch_add(&fake_app_shared->ended, 1);
}

static void stop(void)
{
    atomic_fetch_add(&fake_app_shared->stopped, 1);
    if (atomic_load(&fake_app_shared->stop_hangs))
        say('s');
    while (atomic_load(&fake_app_shared->stop_hangs))
        pause();
}

const struct pyd_app_ops fake_app_ops = {start, load, thread_begin, run, thread_end, stop, dump};
