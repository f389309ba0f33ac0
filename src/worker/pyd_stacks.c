/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_stacks.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "pyd_clock.h"
#include "pyd_stacks_core.h"
#include "pyd_task.h"

#ifdef __GLIBC__
#include <execinfo.h>
#endif

/* Frames of the handler itself, which the unwinder begins with. */
#define OWN_DEPTH 8
/* What is read of a language's text; faulthandler stops at 100 frames. */
#define TEXT_MAX (256u << 10)
#define ALTERNATE_BYTES (64u << 10)

/*
 * Whose turn it is: a number for each thread asked, and how far it has come. Who is asked takes the room below by
 * ASKED -> COPYING, and leaves it before it calls the language's handler. The asker gives up by setting GIVEN_UP in the
 * place of ASKED or IN_LANGUAGE; who answers late then finds a word that is not its own, and changes nothing.
 */
enum phase { IDLE, ASKED, COPYING, IN_LANGUAGE, ANSWERED, GIVEN_UP };
#define PHASE_BITS 3u
#define PHASE_OF(turn) ((enum phase)((turn) & ((1u << PHASE_BITS) - 1)))

static struct {
    pid_t pid;
    int fd;
    dev_t device; /* of the file it was opened for, */
    ino_t inode;  /* which an application may close, and open another one in its place */
    struct sigaction language; /* set before has_language */
    int (*holds_lock)(void);   /* the same; or NULL */
    _Atomic int has_language;
    _Atomic int in_language;   /* a thread is: nobody else may call it, or read what it has written */
    _Atomic uint32_t turn;
    _Atomic pid_t wanted;
    int may_call;  /* the language's handler; the asker says so */
    int asks_lock; /* holds_lock may be called; the same */
    int count;    /* this, holds and pcs: of the thread that is COPYING, then of the asker */
    int holds;
    const void *pcs[PYD_STACKS_DEPTH];
} stacks = {.fd = -1};

/* ---- In the signal handler: async-signal-safe, but for the unwinder, which is warm ---- */

static const void *interrupted_at(const ucontext_t *context)
{
#if defined(__x86_64__) && defined(__LP64__)
    return (const void *)(uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__i386__)
    return (const void *)(uintptr_t)context->uc_mcontext.gregs[REG_EIP];
#elif defined(__aarch64__)
    return (const void *)(uintptr_t)context->uc_mcontext.pc;
#elif defined(__arm__)
    return (const void *)(uintptr_t)context->uc_mcontext.arm_pc;
#elif defined(__riscv)
    return (const void *)(uintptr_t)context->uc_mcontext.__gregs[REG_PC];
#elif defined(__s390x__)
    return (const void *)(uintptr_t)context->uc_mcontext.psw.addr;
#else
    (void)context;
    return NULL;
#endif
}

static int unwind(void **room, int size)
{
#ifdef __GLIBC__
    return backtrace(room, size);
#else
    (void)room, (void)size; /* musl has none: where the thread was is all there is */
    return 0;
#endif
}

/* Without the frames of the handler and the trampoline; just where it was, if the unwinder did not get so far. */
static void keep_frames(void **found, int count, const void *interrupted)
{
    int first = 0;

    while (first < count && found[first] != interrupted)
        first++;
    if (!interrupted || first == count) {
        first = interrupted ? 0 : first;
        count = interrupted ? 1 : 0;
        found[0] = (void *)(uintptr_t)interrupted;
    }
    stacks.count = 0;
    while (first < count && stacks.count < PYD_STACKS_DEPTH)
        stacks.pcs[stacks.count++] = found[first++];
}

/* What it writes may be more than RLIMIT_FSIZE allows. The signal that says so is blocked as yet, and would come when
 * the handler returns. (sigtimedwait(3) is this system call; it is not listed as async-signal-safe.) */
static void forget_file_size_signal(void)
{
    static const struct timespec at_once;
    uint64_t set = UINT64_C(1) << (SIGXFSZ - 1);

    syscall(SYS_rt_sigtimedwait, &set, NULL, &at_once, sizeof(set));
}

static void call_language(int number, siginfo_t *info, void *context)
{
    if (stacks.language.sa_flags & SA_SIGINFO)
        stacks.language.sa_sigaction(number, info, context);
    else
        stacks.language.sa_handler(number);
    forget_file_size_signal();
    atomic_store(&stacks.in_language, 0);
}

static long futex(int operation, uint32_t value, const long timeout[2])
{
    /* SYS_futex takes two longs, whatever time_t is. */
    return syscall(SYS_futex, &stacks.turn, operation | FUTEX_PRIVATE_FLAG, value, timeout, NULL, 0);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    uint32_t turn = atomic_load(&stacks.turn), mine = turn - ASKED;
    void *found[OWN_DEPTH + PYD_STACKS_DEPTH];
    int saved_errno = errno, count, may_call;

    if (PHASE_OF(turn) != ASKED || atomic_load(&stacks.wanted) != (pid_t)syscall(SYS_gettid) ||
        getpid() != stacks.pid)
        goto leave;
    count = unwind(found, OWN_DEPTH + PYD_STACKS_DEPTH);
    if (!atomic_compare_exchange_strong(&stacks.turn, &turn, mine + COPYING))
        goto leave;
    keep_frames(found, count, interrupted_at(context));
    may_call = stacks.may_call;
    stacks.holds = stacks.asks_lock && stacks.holds_lock();
    turn = mine + IN_LANGUAGE;
    if (may_call) /* before the asker may give up, or what this thread writes would be taken for another one's */
        atomic_store(&stacks.in_language, 1);
    atomic_store(&stacks.turn, turn);
    if (may_call)
        call_language(number, info, context);
    if (atomic_compare_exchange_strong(&stacks.turn, &turn, mine + ANSWERED))
        futex(FUTEX_WAKE, 1, NULL);

leave:
    errno = saved_errno;
}

/* ---- Installing it ---- */

static int install(void)
{
    static const int MISTAKES[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};

    /* Nothing of the application's runs on top of it; but a crash in there is to be described like any other. */
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(MISTAKES) / sizeof(MISTAKES[0]); i++)
        sigdelset(&action.sa_mask, MISTAKES[i]);
    return sigaction(PYD_STACKS_SIGNAL, &action, NULL) ? errno : 0;
}

/* An application may have made it default again, with all others, which would end the process. */
static int install_again(void)
{
    struct sigaction action;

    if (sigaction(PYD_STACKS_SIGNAL, NULL, &action))
        return errno;
    return (action.sa_flags & SA_SIGINFO) && action.sa_sigaction == on_signal ? 0 : install();
}

int pyd_stacks_init(void)
{
    void *found[OWN_DEPTH];
    struct stat file;

    unwind(found, OWN_DEPTH);
    stacks.pid = getpid();
    stacks.fd = memfd_create("pydaemon-stacks", MFD_CLOEXEC);
    if (stacks.fd < 0 || fstat(stacks.fd, &file))
        return errno;
    stacks.device = file.st_dev;
    stacks.inode = file.st_ino;
    return install();
}

int pyd_stacks_fd(void)
{
    return stacks.fd;
}

int pyd_stacks_set_language(int (*holds_lock)(void))
{
    struct sigaction theirs;

    if (sigaction(PYD_STACKS_SIGNAL, NULL, &theirs))
        return errno;
    if (theirs.sa_sigaction != on_signal && theirs.sa_handler != SIG_DFL && theirs.sa_handler != SIG_IGN) {
        atomic_store(&stacks.has_language, 0); /* the keeper may be at work */
        stacks.language = theirs;
        stacks.holds_lock = holds_lock;
        atomic_store(&stacks.has_language, 1);
    }
    return install();
}

int pyd_stacks_alternate(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = ALTERNATE_BYTES + (size_t)MINSIGSTKSZ;
    stack_t stack;
    char *room;

    if (sigaltstack(NULL, &stack))
        return errno;
    if (!(stack.ss_flags & SS_DISABLE))
        return 0; /* whose it is knows better */
#ifdef _SC_MINSIGSTKSZ
    if (sysconf(_SC_MINSIGSTKSZ) > 0) /* what this CPU's registers need: more than was thought when this was built */
        bytes = ALTERNATE_BYTES + (size_t)sysconf(_SC_MINSIGSTKSZ);
#endif
    bytes = (bytes + page - 1) / page * page;
    room = mmap(NULL, page + bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return errno;
    stack = (stack_t){.ss_sp = room + page, .ss_size = bytes};
    if (mprotect(room + page, bytes, PROT_READ | PROT_WRITE) || sigaltstack(&stack, NULL)) {
        int rv = errno;

        munmap(room, page + bytes);
        return rv;
    }
    return 0;
}

/* ---- Asking ---- */

/* While it is in that phase, until the time is over. */
static uint32_t wait_phase(uint32_t turn, int64_t deadline_us)
{
    uint32_t now = turn;

    while (now == turn) {
        int64_t left_us = deadline_us - pyd_clock_us();
        long timeout[2] = {(long)(left_us / 1000000), (long)(left_us % 1000000 * 1000)};

        if (left_us <= 0)
            break;
        futex(FUTEX_WAIT, now, timeout);
        now = atomic_load(&stacks.turn);
    }
    return now;
}

/* Until it has begun to answer. Who only waits for a CPU will; who sleeps in the kernel so that no signal wakes it,
 * or was stopped, need not be waited for. */
static uint32_t wait_begun(uint32_t turn, pid_t tid, int64_t deadline_us)
{
    struct pyd_task task;
    uint32_t now;

    for (;;) {
        int64_t look_us = pyd_clock_us() + PYD_STACKS_LOOK_US;

        now = wait_phase(turn + ASKED, look_us < deadline_us ? look_us : deadline_us);
        if (now != turn + ASKED || pyd_clock_us() >= deadline_us)
            return now;
        if (pyd_task_read(tid, PYD_STACKS_SIGNAL, &task) || !pyd_task_takes_signals(&task))
            return atomic_load(&stacks.turn);
    }
}

/* It has begun, and does not answer if the language's handler hangs, or if it is not given a CPU. */
static uint32_t wait_end(uint32_t turn, uint32_t now)
{
    int64_t deadline_us = pyd_clock_us() + PYD_STACKS_LANGUAGE_US;

    while (now != turn + ANSWERED && pyd_clock_us() < deadline_us)
        now = wait_phase(now, deadline_us);
    return now;
}

/* @return 0; EINPROGRESS: it is in the language's handler; ETIMEDOUT */
static int wait_answer(uint32_t turn, pid_t tid, int64_t deadline_us)
{
    uint32_t now = wait_begun(turn, tid, deadline_us);

    if (now == turn + ASKED && atomic_compare_exchange_strong(&stacks.turn, &now, turn + GIVEN_UP))
        return ETIMEDOUT;
    now = wait_end(turn, now);
    if (now == turn + IN_LANGUAGE && atomic_compare_exchange_strong(&stacks.turn, &now, turn + GIVEN_UP))
        return EINPROGRESS;
    return now == turn + ANSWERED ? 0 : ETIMEDOUT;
}

/* Nobody writes there now. Read errors leave the stack without the language's part. */
static void take_text(struct pyd_stacks_answer *answer)
{
    off_t size = lseek(stacks.fd, 0, SEEK_END);
    size_t room = size > 0 && size < (off_t)TEXT_MAX ? (size_t)size : size > 0 ? TEXT_MAX : 0;
    char *text = room ? malloc(room + 1) : NULL;
    ssize_t got = text ? pread(stacks.fd, text, room, 0) : 0;

    if (got <= 0) {
        free(text);
        return;
    }
    text[got] = '\0';
    answer->text = text;
    answer->bytes = (size_t)got;
}

static int clear_text(void)
{
    struct stat file;

    if (fstat(stacks.fd, &file))
        return errno;
    if (file.st_dev != stacks.device || file.st_ino != stacks.inode)
        return EBADF;
    return ftruncate(stacks.fd, 0) || lseek(stacks.fd, 0, SEEK_SET) < 0 ? errno : 0;
}

static int send_signal(pid_t tid)
{
    return syscall(SYS_tgkill, stacks.pid, tid, PYD_STACKS_SIGNAL) ? errno : 0;
}

int pyd_stacks_ask(pid_t tid, int is_pending, int64_t deadline_us, struct pyd_stacks_answer *ret_answer)
{
    uint32_t last = atomic_load(&stacks.turn), turn = ((last >> PHASE_BITS) + 1) << PHASE_BITS;
    struct pyd_stacks_answer answer = {0};
    int rv;

    if (PHASE_OF(last) == COPYING) /* all the time: it does not run, and what it is still to write is not ours */
        return EBUSY;
    answer.is_partial = atomic_load(&stacks.in_language);
    stacks.asks_lock = atomic_load(&stacks.has_language) && stacks.holds_lock;
    stacks.may_call = atomic_load(&stacks.has_language) && !answer.is_partial && !clear_text();
    atomic_store(&stacks.wanted, tid);
    atomic_store(&stacks.turn, turn + ASKED);
    rv = install_again();
    if (!rv && !is_pending)
        rv = send_signal(tid);
    if (rv) {
        atomic_store(&stacks.turn, turn + GIVEN_UP);
        return rv;
    }
    rv = wait_answer(turn, tid, deadline_us);
    if (rv && rv != EINPROGRESS)
        return rv;
    answer.is_partial |= rv == EINPROGRESS;
    answer.count = stacks.count;
    answer.holds_lock = stacks.holds;
    memcpy(answer.pcs, stacks.pcs, sizeof(answer.pcs));
    if (stacks.may_call && !answer.is_partial) {
        take_text(&answer);
        clear_text();
    }
    *ret_answer = answer;
    return 0;
}
