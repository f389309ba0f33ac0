/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_watch.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "pyd_clock.h"
#include "pyd_dump.h"
#include "pyd_keeper.h"
#include "pyd_log.h"
#include "pyd_logline.h"
#include "pyd_stacks.h"

/* Requests that wait. The manager has one at a time on its way; SIGUSR2 is one, however often it comes. */
#define WAITING_MAX 8u
/* It runs no code of the application, but some of the runtime's. */
#define STACK_BYTES (512u << 10)

struct request {
    uint32_t dump;
    pid_t tid;
    int no_signals;
};

/*
 * Who makes the dump: its number, and how far it is. The watch thread says HAD when it has the lock; TAKEN is set
 * by who writes the area, and by nobody else until DONE.
 */
enum phase { DONE, OPEN, HAD, TAKEN };
#define PHASE_BITS 2u
#define PHASE_OF(turn) ((enum phase)((turn) & ((1u << PHASE_BITS) - 1)))
#define NUMBER_OF(turn) ((turn) & ~((1u << PHASE_BITS) - 1))

static struct {
    struct pyd_service *service;
    int status_fd;
    struct stat status_file;
    int64_t area;

    _Atomic uint32_t turn;
    _Atomic int64_t had_us;
    _Atomic int running; /* there is a watch thread */

    /* For the watch thread; guarded by lock, which nobody holds while waiting for anything else. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct request request; /* of asked */
    uint32_t asked;         /* the number of the last dump, as it stands in turn */

    /* The watch thread's own. */
    uint32_t served; /* the dump it makes; 0: it takes the lock for its own sake */

    /* The keeper's own. */
    struct request current, waiting[WAITING_MAX];
    unsigned waiting_count;
    int64_t asked_us;
} watch = {.status_fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- The area ---- */

/* The application may have closed the descriptor, and opened something of its own under that number. */
static int check_file(void)
{
    struct stat now;

    if (fstat(watch.status_fd, &now))
        return errno;
    return now.st_dev == watch.status_file.st_dev && now.st_ino == watch.status_file.st_ino ? 0 : EBADF;
}

static int store(const struct request *request, enum pyd_dump_tier tier, const struct pyd_dump_writer *writer)
{
    const struct pyd_buf *text = &writer->text;
    struct pyd_area_head head = {.epoch = watch.service->job.epoch,
                                 .dump = request->dump,
                                 .tier = (uint32_t)tier,
                                 .bytes = (uint32_t)text->size};
    int rv = check_file();

    return rv ? rv : pyd_area_write(watch.status_fd, watch.area, head, text->data ? (const char *)text->data : "",
                                    text->size);
}

/* By who has the turn; gives it up. */
static void deliver(const struct request *request, enum pyd_dump_tier tier, const struct pyd_dump_writer *writer)
{
    int rv = store(request, tier, writer);

    if (rv) {
        pyd_log(PYD_LOG_WARNING, (int)watch.service->job.group,
                PYD_LOGNO(0816) "Worker %u of '%s' cannot hand over the stacks of its threads: %s.",
                watch.service->job.number, watch.service->job.spec.name, strerror(rv));
    } else {
        atomic_fetch_add(&watch.service->status->dumps, 1);
        pyd_keeper_dumped();
    }
    atomic_store(&watch.turn, NUMBER_OF(atomic_load(&watch.turn)) + DONE);
}

/* ---- With the lock: the watch thread ---- */

static void had_lock(void)
{
    uint32_t open = watch.served + OPEN;

    atomic_store(&watch.service->status->gil_asked_us, 0);
    if (!watch.served)
        return;
    atomic_store(&watch.had_us, pyd_clock_us());
    atomic_compare_exchange_strong(&watch.turn, &open, watch.served + HAD);
}

static void take_lock(struct pyd_dump_writer *writer, pid_t tid)
{
    atomic_store(&watch.service->status->gil_asked_us, pyd_clock_us());
    watch.service->ops->dump(writer, tid, had_lock);
}

static void dump_with_lock(const struct request *request)
{
    struct pyd_dump_writer writer;
    uint32_t had = watch.served + HAD;

    pyd_dump_writer_init(&writer, PYD_AREA_TEXT_MAX);
    take_lock(&writer, request->tid);
    pyd_stacks_write_proc(&writer, request->tid); /* threads that do not run the language */
    pyd_dump_end(&writer);
    if (atomic_compare_exchange_strong(&watch.turn, &had, watch.served + TAKEN)) {
        deliver(request, PYD_DUMP_GIL, &writer);
        pyd_keeper_wake(); /* there may be another one to be made */
    }
    pyd_dump_writer_done(&writer);
}

/* @return false if none is asked for until due_us */
static int wait_request(uint32_t *last, int64_t due_us, struct request *ret_request)
{
    int is_new;

    pthread_mutex_lock(&watch.lock);
    while (watch.asked == *last && pyd_clock_us() < due_us)
        pyd_service_timedwait(&watch.changed, &watch.lock, due_us);
    is_new = watch.asked != *last;
    *last = watch.asked;
    *ret_request = watch.request;
    pthread_mutex_unlock(&watch.lock);
    return is_new;
}

static void *run_watch(void *baton)
{
    uint32_t last = *(uint32_t *)baton;
    int64_t due_us = 0;

    pthread_setname_np(pthread_self(), "pydaemon-watch");
    pyd_logline_hurry();
    pyd_service_no_file_size_signal();
    for (;;) {
        struct request request;

        if (wait_request(&last, due_us, &request)) {
            watch.served = last;
            dump_with_lock(&request);
            watch.served = 0;
        } else {
            take_lock(NULL, 0);
        }
        due_us = pyd_clock_us() + PYD_WATCH_PERIOD_US;
    }
    return NULL;
}

/* ---- Without it: the keeper ---- */

/* At least half of a span; all of it if there is so much time until the end. */
static int64_t end_of(int64_t span_us)
{
    int64_t now_us = pyd_clock_us(), left_us = watch.asked_us + PYD_WATCH_ALL_US - now_us;

    if (left_us < span_us / 2)
        left_us = span_us / 2;
    return now_us + (left_us < span_us ? left_us : span_us);
}

/* The manager says that the lock was not to be had. */
static void begin_text(struct pyd_dump_writer *writer)
{
    pyd_dump_writer_init(writer, PYD_AREA_TEXT_MAX);
    if (!watch.running)
        pyd_dump_remark(writer, "the runtime is still starting: it has no lock yet");
}

static void write_stacks(const struct pyd_stacks *stacks, int plain, struct pyd_dump_writer *writer)
{
    begin_text(writer);
    pyd_stacks_write(stacks, plain, end_of(PYD_WATCH_NAMES_US), writer);
    pyd_dump_end(writer);
}

static int dump_with_signals(const struct request *request)
{
    struct pyd_stacks *stacks = NULL;
    struct pyd_dump_writer writer;
    int rv = pyd_stacks_take(request->tid, end_of(PYD_WATCH_STACKS_US), &stacks);

    if (rv)
        return rv;
    write_stacks(stacks, 1, &writer);
    store(request, PYD_DUMP_NO_GIL, &writer); /* what goes wrong goes wrong again below */
    pyd_dump_writer_done(&writer);
    write_stacks(stacks, 0, &writer);
    pyd_stacks_destroy(stacks);
    deliver(request, PYD_DUMP_NO_GIL, &writer);
    pyd_dump_writer_done(&writer);
    return 0;
}

/* Code in C that computes for a second may be all that is wrong, and what is interrupted may not expect it. */
static int may_interrupt(const struct request *request)
{
    int64_t asked_us = atomic_load(&watch.service->status->gil_asked_us);

    return !request->no_signals || (asked_us && pyd_clock_us() - asked_us >= PYD_WATCH_HELD_US);
}

static void dump_without_lock(const struct request *request)
{
    struct pyd_dump_writer writer;
    int interrupt = may_interrupt(request);

    if (interrupt && !dump_with_signals(request))
        return;
    begin_text(&writer);
    if (!interrupt && watch.running)
        pyd_dump_remark(&writer, "no thread was interrupted: the lock has not been missing for long; ask again");
    pyd_stacks_write_proc(&writer, request->tid);
    pyd_dump_end(&writer);
    deliver(request, PYD_DUMP_NO_GIL, &writer);
    pyd_dump_writer_done(&writer);
}

void pyd_watch_ask(uint32_t dump, pid_t tid, int no_signals)
{
    struct request request = {dump, tid, no_signals != 0};

    for (unsigned i = 0; i < watch.waiting_count; i++) {
        const struct request *other = &watch.waiting[i];

        if (other->dump == dump && other->tid == tid && other->no_signals == request.no_signals)
            return;
    }
    if (watch.waiting_count == WAITING_MAX) {
        pyd_log(PYD_LOG_INFO, (int)watch.service->job.group, "Dump %u dropped: %u others wait.", dump, WAITING_MAX);
        return;
    }
    watch.waiting[watch.waiting_count++] = request;
}

static void begin_next(int64_t now_us)
{
    uint32_t number = NUMBER_OF(atomic_load(&watch.turn)) + (1u << PHASE_BITS);

    watch.current = watch.waiting[0];
    memmove(watch.waiting, watch.waiting + 1, --watch.waiting_count * sizeof(watch.waiting[0]));
    watch.asked_us = now_us;
    atomic_store(&watch.turn, number + OPEN);
    pthread_mutex_lock(&watch.lock);
    watch.request = watch.current;
    watch.asked = number;
    pthread_cond_signal(&watch.changed);
    pthread_mutex_unlock(&watch.lock);
}

/* Until then the dump is the watch thread's. */
static int64_t due_us(enum phase phase)
{
    if (phase == OPEN)
        return watch.running ? watch.asked_us + PYD_WATCH_LOCK_US : 0;
    if (phase == HAD)
        return atomic_load(&watch.had_us) + PYD_WATCH_DUMP_US;
    return INT64_MAX; /* it writes the area: that is not long */
}

int64_t pyd_watch_tick(int64_t now_us)
{
    for (;;) {
        uint32_t turn = atomic_load(&watch.turn);

        if (PHASE_OF(turn) == DONE) {
            if (!watch.waiting_count)
                return INT64_MAX;
            begin_next(now_us);
        } else if (now_us < due_us(PHASE_OF(turn))) {
            return due_us(PHASE_OF(turn));
        } else if (atomic_compare_exchange_strong(&watch.turn, &turn, NUMBER_OF(turn) + TAKEN)) {
            dump_without_lock(&watch.current);
            now_us = pyd_clock_us();
        }
    }
}

/* ---- Start ---- */

int pyd_watch_init(struct pyd_service *service, int status_fd)
{
    const struct pyd_worker_job *job = &service->job;
    pthread_condattr_t attr;
    int rv;

    if (fstat(status_fd, &watch.status_file))
        return errno;
    rv = pthread_condattr_init(&attr);
    if (rv)
        return rv;
    rv = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (!rv)
        rv = pthread_cond_init(&watch.changed, &attr);
    pthread_condattr_destroy(&attr);
    watch.service = service;
    watch.status_fd = status_fd;
    watch.area = pyd_area_offset(job->slots, job->threads, job->slot);
    return rv;
}

int pyd_watch_start(void)
{
    static uint32_t last; /* what has been asked for before is the keeper's */
    pthread_attr_t attr;
    pthread_t thread;
    int rv = pthread_attr_init(&attr);

    if (rv)
        return rv;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_BYTES); /* refused where that is too little: the default will do */
    pthread_mutex_lock(&watch.lock);
    last = watch.asked;
    rv = pthread_create(&thread, &attr, run_watch, &last);
    watch.running = !rv;
    pthread_mutex_unlock(&watch.lock);
    pthread_attr_destroy(&attr);
    return rv;
}
