/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_worker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pyd_board.h"
#include "pyd_clock.h"
#include "pyd_generation.h"
#include "pyd_manager.h"

extern char **environ;

struct fake {
    unsigned generation, group, slot, slots, threads, epoch, number;
    struct pyd_status_worker *status;
};

static char large[4 << 20];

static int has(const char *behaviour, const char *word)
{
    return strstr(behaviour, word) != NULL;
}

static int read_job(struct fake *fake)
{
    static char text[65536];
    ssize_t n = read(PYD_WORKER_FD_JOB, text, sizeof text - 1);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    return sscanf(text, ".generation=%u\n.group=%u\n.slot=%u\n.slots=%u\n.threads=%u\n.epoch=%u\n.number=%u\n",
                  &fake->generation, &fake->group, &fake->slot, &fake->slots, &fake->threads, &fake->epoch,
                  &fake->number) == 7 &&
           strstr(text, "\nthreads=") != NULL;
}

static int map_status(struct fake *fake)
{
    size_t stride = pyd_status_stride(fake->threads);
    unsigned char *all =
        mmap(NULL, stride * fake->slots, PROT_READ | PROT_WRITE, MAP_SHARED, PYD_WORKER_FD_STATUS, 0);

    if (all == MAP_FAILED)
        return 0;
    fake->status = (struct pyd_status_worker *)(void *)(all + stride * fake->slot);
    return 1;
}

static void say(const char *text)
{
    if (write(STDOUT_FILENO, text, strlen(text)) < 0)
        _exit(99);
}

static void look_at_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;
    char line[600], path[300], target[200];

    while ((entry = readdir(folder))) {
        ssize_t n;

        if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(folder))
            continue;
        snprintf(path, sizeof path, "/proc/self/fd/%.20s", entry->d_name);
        n = readlink(path, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        snprintf(line, sizeof line, "fd %.20s %s flags %o\n", entry->d_name, target,
                 (unsigned)fcntl(atoi(entry->d_name), F_GETFL) & O_ACCMODE);
        say(line);
    }
    closedir(folder);
}

static void look_at_signals(void)
{
    struct sigaction action;
    sigset_t mask;
    char line[100];

    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int number = 1; number < 32; number++) {
        sigaction(number, NULL, &action);
        /* Sanitizers take some of the synchronous ones before main(). */
        if (action.sa_handler == SIG_IGN || sigismember(&mask, number) == 1) {
            snprintf(line, sizeof line, "signal %d is ignored or blocked\n", number);
            say(line);
        }
    }
}

static void look_around(const struct fake *fake)
{
    char line[600], cwd[200] = "";
    mode_t mask = umask(0);

    look_at_fds();
    look_at_signals();
    for (char **item = environ; *item; item++) {
        snprintf(line, sizeof line, "env %.500s\n", *item);
        say(line);
    }
    snprintf(line, sizeof line, "ids %d %d %d\n", (int)getuid(), (int)getgid(), getgroups(0, NULL));
    say(line);
    snprintf(line, sizeof line, "cwd %s umask %o session %d\n", getcwd(cwd, sizeof cwd), (unsigned)mask,
             getsid(0) == getpid());
    say(line);
    snprintf(line, sizeof line, "locks alive %d\n", pyd_generation_any_alive(PYD_WORKER_FD_LOCK));
    say(line);
    snprintf(line, sizeof line, "job %u %u %u %u %u %u %u\n", fake->generation, fake->group, fake->slot, fake->slots,
             fake->threads, fake->epoch, fake->number);
    say(line);
}

static void ignore_signal(int number)
{
    (void)number;
}

static int open_signals(const char *behaviour)
{
    sigset_t mask;

    signal(SIGUSR2, ignore_signal); /* read below; but who looks sees that it is caught */

    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGUSR2);
    sigaddset(&mask, FAKE_EXIT);
    sigaddset(&mask, FAKE_BEGIN);
    sigaddset(&mask, FAKE_FINISH);
    sigaddset(&mask, FAKE_LEAVE);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    if (has(behaviour, "stubborn") || has(behaviour, "hang"))
        sigdelset(&mask, SIGTERM);
    return signalfd(-1, &mask, SFD_CLOEXEC);
}

static void say_look(void)
{
    static const char look = PYD_CONTROL_LOOK;

    send(PYD_WORKER_FD_CONTROL, &look, 1, MSG_NOSIGNAL);
}

static void get_ready(const struct fake *fake)
{
    atomic_store(&fake->status->state, PYD_WORKER_READY);
    say_look();
}

static void stop(const struct fake *fake)
{
    atomic_store(&fake->status->state, PYD_WORKER_STOPPING);
    _exit(PYD_EXIT_OK);
}

/* Which dump it was asked for, and for what, is said in it: the tests look for that. */
static void dump(const struct fake *fake, const char *behaviour, const struct pyd_control_dump *wanted)
{
    static const char dumped = PYD_CONTROL_DUMPED;
    struct pyd_area_head head = {.epoch = fake->epoch, .dump = wanted->dump, .tier = PYD_DUMP_GIL};
    char text[300];
    int n;

    if (has(behaviour, "mute"))
        return;
    if (has(behaviour, "frozen"))
        raise(SIGSTOP);
    if (has(behaviour, "nogil"))
        head.tier = PYD_DUMP_NO_GIL;
    n = snprintf(text, sizeof text, "X\tfake dump of thread %d%s\nT\t%d\t0\tfake\nF\t%s\n", (int)wanted->tid,
                 wanted->no_signals ? " without signals" : "", FAKE_TID, FAKE_FRAME);
    head.bytes = (uint32_t)n;
    if (pyd_area_write(PYD_WORKER_FD_STATUS, pyd_area_offset(fake->slots, fake->threads, fake->slot), head, text,
                       (size_t)n))
        say("no area\n");
    atomic_fetch_add(&fake->status->dumps, 1);
    send(PYD_WORKER_FD_CONTROL, &dumped, 1, MSG_NOSIGNAL);
}

static void heed_signal(const struct fake *fake, const char *behaviour, uint32_t number)
{
    if (number == SIGTERM)
        stop(fake);
    if (number == SIGUSR2)
        dump(fake, behaviour, &(struct pyd_control_dump){.kind = PYD_CONTROL_DUMP});
    if (number == FAKE_EXIT)
        _exit(0);
    if (number == FAKE_FINISH) {
        atomic_fetch_add(&fake->status->requests, 1);
        say_look();
    }
    if (number == FAKE_BEGIN) {
        for (unsigned i = 0; i < fake->threads; i++)
            pyd_status_begin(&fake->status->request[i], fake->epoch, 1, getpid());
        say("begun\n");
    }
    if (number == FAKE_LEAVE) {
        atomic_store(&fake->status->state, PYD_WORKER_STOPPING);
        say_look();
    }
}

/* @return 0: the manager has closed its end */
static int heed_control(const struct fake *fake, const char *behaviour, int deaf)
{
    union {
        char kind;
        struct pyd_control_dump dump;
    } message;
    ssize_t got = recv(PYD_WORKER_FD_CONTROL, &message, sizeof message, MSG_DONTWAIT);

    if (got >= 1 && message.kind == PYD_CONTROL_STOP && !deaf)
        stop(fake);
    if (got == (ssize_t)sizeof message.dump && message.kind == PYD_CONTROL_DUMP)
        dump(fake, behaviour, &message.dump);
    return got != 0;
}

static void show_life(const struct fake *fake, const char *behaviour)
{
    if (!has(behaviour, "lifeless"))
        atomic_store(&fake->status->alive_us, pyd_clock_us());
    else if (atomic_load(&fake->status->gil_asked_us) == 0)
        atomic_store(&fake->status->gil_asked_us, pyd_clock_us());
}

/* Orphans of a failed test must not stay: nobody's lock lives any more once the test has ended. */
static void serve(const struct fake *fake, int signals, const char *behaviour)
{
    int deaf = has(behaviour, "stubborn") || has(behaviour, "hang");
    int chatty = has(behaviour, "chatty");
    struct pollfd polled[2] = {{.fd = signals, .events = POLLIN}, {.fd = PYD_WORKER_FD_CONTROL, .events = POLLIN}};
    struct signalfd_siginfo info;

    if (has(behaviour, "closed")) {
        close(PYD_WORKER_FD_CONTROL);
        polled[1].fd = -1;
    }
    for (;;) {
        show_life(fake, behaviour);
        if (poll(polled, 2, chatty ? 0 : 200) == 0 && !chatty && !pyd_generation_any_alive(PYD_WORKER_FD_LOCK))
            _exit(98);
        if (chatty)
            say("chatter\n");
        if (polled[0].revents && read(signals, &info, sizeof info) == (ssize_t)sizeof info)
            heed_signal(fake, behaviour, info.ssi_signo);
        if (polled[1].revents && !heed_control(fake, behaviour, deaf))
            polled[1].fd = -1;
    }
}

int fake_worker_main(const char *behaviour)
{
    struct fake fake = {0};
    int signals;

    prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0); /* as a worker does */
    if (!read_job(&fake) || !map_status(&fake))
        return PYD_EXIT_JOB;
    if (has(behaviour, "import")) {
        say("\x01" "3no module named 'blog'\n");
        return PYD_EXIT_IMPORT;
    }
    if (has(behaviour, "look"))
        look_around(&fake);
    if (has(behaviour, "large"))
        memset(large, (int)fake.epoch, sizeof large);
    if (has(behaviour, "print"))
        say("raw line\n\x01" "5tagged line\nunfinished");
    pyd_status_open(fake.status, fake.threads, fake.epoch);
    atomic_store(&fake.status->state, PYD_WORKER_IMPORTING);
    signals = open_signals(behaviour);
    if (!has(behaviour, "hang"))
        get_ready(&fake);
    if (has(behaviour, "early")) {
        /* Not before the manager has seen it ready. */
        struct pollfd polled = {.fd = signals, .events = POLLIN};

        poll(&polled, 1, 60000);
        return 3;
    }
    serve(&fake, signals, behaviour);
    return 0;
}
