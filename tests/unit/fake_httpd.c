/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_httpd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_app.h"
#include "pyd_clock.h"
#include "pyd_fd.h"
#include "pyd_manager.h"
#include "pyd_worker.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* memory that was freed stays in quarantine */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

/* Of user and group: somebody who is not root. */
#define NOBODY 65534

/* Far above what a loaded machine needs, and only ever reached by a failing test. */
#define DEADLINE_MS 30000

/* A thread that has given a connection back to epoll may still be inside epoll_ctl(2) while the next one closes it.
 * The thread sanitizer takes that for a race. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:close_connection\n";
}

static int main_argc;
static char **main_argv;

void fake_httpd_init(int argc, char **argv)
{
    main_argc = argc;
    main_argv = argv;
    signal(SIGPIPE, SIG_IGN);
    fake_app_shared = mmap(NULL, sizeof(*fake_app_shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fake_app_shared == MAP_FAILED)
        abort();
}

static void wait_for(int fd, short events)
{
    struct pollfd polled = {.fd = fd, .events = events};

    if (poll(&polled, 1, DEADLINE_MS) != 1)
        fail_msg("nothing happened on descriptor %d in %d ms", fd, DEADLINE_MS);
}

/* ---- The worker process ---- */

static void reset_app(void)
{
    for (int i = 0; i < 2; i++) {
        pyd_fd_close(&fake_app_gate[i]);
        pyd_fd_close(&fake_app_events[i]);
    }
    assert_int_equal(pyd_fd_pipe(fake_app_gate), 0);
    assert_int_equal(pyd_fd_pipe(fake_app_events), 0);
}

static int make_job(const struct fake_worker *worker, const struct fake_setup *setup)
{
    char text[1024];
    int fd = -1;

    if (setup->job_text)
        snprintf(text, sizeof(text), "%s", setup->job_text);
    else
        snprintf(text, sizeof(text),
                 ".generation=%u\n.group=2\n.slot=%u\n.slots=%u\n.threads=%u\n.epoch=%u\n.number=4\n"
                 ".name=blog\nthreads=%u\nshutdown-timeout=10s\n%s",
                 FAKE_GENERATION, FAKE_SLOT, FAKE_SLOTS, worker->threads, FAKE_EPOCH, worker->threads,
                 setup->spec_text ? setup->spec_text : "");
    assert_int_equal(pyd_fd_memory("job", strlen(text), &fd), 0);
    assert_int_equal(pwrite(fd, text, strlen(text), 0), (ssize_t)strlen(text));
    return fd;
}

static void map_status(struct fake_worker *worker, int fd)
{
    size_t stride = pyd_status_stride(worker->threads);

    worker->status_fd = fd;
    worker->status_map = mmap(NULL, worker->status_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(worker->status_map != MAP_FAILED);
    if (worker->status_bytes >= stride * FAKE_SLOTS)
        worker->status = (struct pyd_status_worker *)((char *)worker->status_map + stride * FAKE_SLOT);
}

/* Bring the descriptors where the manager puts them. Returns in the child only, which then is the worker. */
static void become_worker(const int fds[], int log, int is_unprivileged)
{
    int parked[PYD_WORKER_FD_END], keep[PYD_WORKER_FD_END + 4], kept = 0;

    for (int i = PYD_WORKER_FD_RENDEZVOUS; i < PYD_WORKER_FD_END; i++)
        parked[i] = fcntl(fds[i], F_DUPFD, 100);
    for (int i = 0; i < 2; i++) { /* out of the way of those numbers */
        fake_app_gate[i] = fcntl(fake_app_gate[i], F_DUPFD, 100);
        fake_app_events[i] = fcntl(fake_app_events[i], F_DUPFD, 100);
    }
    dup2(log, STDERR_FILENO);
    for (int i = PYD_WORKER_FD_RENDEZVOUS; i < PYD_WORKER_FD_END; i++) {
        dup2(parked[i], i);
        keep[kept++] = i;
    }
    keep[kept++] = fake_app_gate[0];
    keep[kept++] = fake_app_events[1];
    pyd_fd_close_except(keep, (size_t)kept);
    signal(SIGPIPE, SIG_DFL);
    if (is_unprivileged && (setgid(NOBODY) || setuid(NOBODY)))
        _exit(PYD_EXIT_PRIVILEGE);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* as the manager does until the program runs */
    _exit(pyd_worker_main(main_argc, main_argv, &fake_app_ops));
}

static void take_lock(int fd, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = getpid(), .l_len = 1};

    assert_int_equal(fcntl(fd, F_SETLK, &lock), 0);
}

static void leave_crash(int status, const struct fake_setup *setup)
{
    int64_t area = pyd_area_offset(FAKE_SLOTS, setup->threads, FAKE_SLOT);
    size_t bytes = strlen(setup->left);

    assert_int_equal(pyd_area_open(status, area, FAKE_EPOCH - 1), 0);
    assert_int_equal(pwrite(status, setup->left, bytes, (off_t)(area + PYD_AREA_CRASH_AT)), (ssize_t)bytes);
}

void fake_worker_start(struct fake_worker *worker, const struct fake_setup *setup)
{
    int rendezvous[2], control[2], lifeline[2], log[2], status = -1, fds[PYD_WORKER_FD_END];
    size_t status_bytes;

    memset(worker, 0, sizeof(*worker));
    worker->threads = setup->threads;
    worker->status_bytes = setup->status_bytes ? setup->status_bytes : pyd_status_stride(setup->threads) * FAKE_SLOTS;
    status_bytes = setup->status_bytes ? setup->status_bytes
                                       : (size_t)pyd_area_offset(FAKE_SLOTS, setup->threads, FAKE_SLOTS);
    reset_app();
    assert_int_equal(pyd_fd_socketpair(SOCK_SEQPACKET, rendezvous), 0);
    assert_int_equal(pyd_fd_socketpair(SOCK_SEQPACKET, control), 0);
    assert_int_equal(pyd_fd_pipe(lifeline), 0);
    assert_int_equal(pyd_fd_pipe(log), 0);
    assert_int_equal(pyd_fd_memory("lock", 1, &worker->lock), 0);
    assert_int_equal(pyd_fd_memory("status", status_bytes, &status), 0);
    take_lock(worker->lock, F_WRLCK);
    map_status(worker, status);
    if (setup->left)
        leave_crash(status, setup);
    fds[PYD_WORKER_FD_RENDEZVOUS] = rendezvous[1];
    fds[PYD_WORKER_FD_STATUS] = status;
    fds[PYD_WORKER_FD_CONTROL] = control[1];
    fds[PYD_WORKER_FD_LIFELINE] = lifeline[0];
    fds[PYD_WORKER_FD_LOCK] = worker->lock;
    fds[PYD_WORKER_FD_JOB] = make_job(worker, setup);
    fflush(NULL);
    worker->pid = fork();
    assert_true(worker->pid >= 0);
    if (!worker->pid)
        become_worker(fds, log[1], setup->is_unprivileged);
    for (int i = PYD_WORKER_FD_RENDEZVOUS; i < PYD_WORKER_FD_END; i++) {
        if (i != PYD_WORKER_FD_LOCK && i != PYD_WORKER_FD_STATUS)
            close(fds[i]);
    }
    close(log[1]);
    worker->rendezvous = rendezvous[0];
    worker->control = control[0];
    worker->lifeline = lifeline[1];
    worker->log = log[0];
}

static void wait_message(struct fake_worker *worker, char kind)
{
    char byte;

    do {
        wait_for(worker->control, POLLIN);
        if (recv(worker->control, &byte, 1, 0) != 1)
            fail_msg("the worker has ended");
        assert_true(byte == PYD_CONTROL_LOOK || byte == PYD_CONTROL_DUMPED);
        worker->looks += byte == PYD_CONTROL_LOOK;
    } while (byte != kind);
}

void fake_worker_wait_look(struct fake_worker *worker)
{
    wait_message(worker, PYD_CONTROL_LOOK);
}

void fake_worker_ask_dump(struct fake_worker *worker, uint32_t dump, pid_t tid, int no_signals)
{
    struct pyd_control_dump message;

    memset(&message, 0, sizeof(message));
    message.kind = PYD_CONTROL_DUMP;
    message.no_signals = (char)no_signals;
    message.dump = dump;
    message.tid = tid;
    assert_int_equal(send(worker->control, &message, sizeof(message), MSG_NOSIGNAL), (ssize_t)sizeof(message));
}

void fake_worker_wait_dump(struct fake_worker *worker, struct fake_dump *ret_dump)
{
    wait_message(worker, PYD_CONTROL_DUMPED);
    assert_int_equal(pyd_area_read(worker->status_fd, pyd_area_offset(FAKE_SLOTS, worker->threads, FAKE_SLOT),
                                   FAKE_EPOCH, &ret_dump->head, &ret_dump->text),
                     0);
}

void fake_dump_done(struct fake_dump *dump)
{
    free(dump->text);
    memset(dump, 0, sizeof(*dump));
}

void fake_worker_wait_state(struct fake_worker *worker, enum pyd_worker_state state)
{
    while (atomic_load(&worker->status->epoch) != FAKE_EPOCH || atomic_load(&worker->status->state) < (uint32_t)state)
        fake_worker_wait_look(worker);
    assert_int_equal(atomic_load(&worker->status->state), state);
}

void fake_worker_run(struct fake_worker *worker, uint32_t threads)
{
    struct fake_setup setup = {.threads = threads};

    fake_worker_start(worker, &setup);
    fake_worker_wait_state(worker, PYD_WORKER_READY);
}

void fake_worker_stop(struct fake_worker *worker)
{
    char stop = PYD_CONTROL_STOP;

    assert_int_equal(send(worker->control, &stop, 1, MSG_NOSIGNAL), 1);
}

int fake_worker_wait_exit(struct fake_worker *worker)
{
    int status = -1, fd = (int)syscall(SYS_pidfd_open, worker->pid, 0);

    assert_true(fd >= 0);
    wait_for(fd, POLLIN);
    close(fd);
    assert_int_equal(waitpid(worker->pid, &status, 0), worker->pid);
    worker->pid = 0;
    return status;
}

void fake_worker_clean(struct fake_worker *worker)
{
    if (worker->pid > 0) {
        kill(worker->pid, SIGKILL);
        waitpid(worker->pid, NULL, 0);
    }
    if (worker->status_map)
        munmap(worker->status_map, worker->status_bytes);
    pyd_fd_close(&worker->rendezvous);
    pyd_fd_close(&worker->control);
    pyd_fd_close(&worker->lifeline);
    pyd_fd_close(&worker->lock);
    pyd_fd_close(&worker->log);
    pyd_fd_close(&worker->status_fd);
    pyd_buf_done(&worker->log_text);
    memset(worker, 0, sizeof(*worker));
    memset(fake_app_shared, 0, sizeof(*fake_app_shared));
}

void fake_worker_finish(struct fake_worker *worker)
{
    int status;

    fake_worker_stop(worker);
    status = fake_worker_wait_exit(worker);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(atomic_load(&fake_app_shared->stopped), 1);
    assert_int_equal(atomic_load(&fake_app_shared->ended), (int)worker->threads);
    fake_worker_clean(worker);
}

void fake_worker_wait_log(struct fake_worker *worker, const char *text)
{
    for (;;) {
        struct pyd_buf *log = &worker->log_text;
        unsigned char *room;
        ssize_t got;

        if (log->size && memmem(log->data, log->size, text, strlen(text)))
            return;
        room = pyd_buf_reserve(log, 4096);
        assert_non_null(room);
        wait_for(worker->log, POLLIN);
        got = read(worker->log, room, 4096);
        if (got <= 0)
            fail_msg("the log ended without '%s': %.*s", text, (int)log->size, (char *)log->data);
        log->size += (size_t)got;
    }
}

void fake_worker_fill_log(struct fake_worker *worker)
{
    static const char filler[4096];
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", worker->log);
    fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    while (write(fd, filler, sizeof(filler)) > 0) {
    }
    assert_int_equal(errno, EAGAIN);
    close(fd);
}

size_t fake_worker_drain_log(struct fake_worker *worker)
{
    struct pollfd polled = {.fd = worker->log, .events = POLLIN};
    size_t lines = 0;

    while (poll(&polled, 1, 0) == 1) {
        char text[4096];
        ssize_t got = read(worker->log, text, sizeof(text));

        if (got <= 0)
            break;
        for (ssize_t i = 0; i < got; i++)
            lines += text[i] == '\n';
    }
    return lines;
}

void fake_worker_read_title(const struct fake_worker *worker, char *room, size_t size)
{
    char path[64];
    ssize_t got;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)worker->pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    got = read(fd, room, size - 1);
    close(fd);
    room[got > 0 ? got : 0] = '\0';
}

static long read_memory(const struct fake_worker *worker, const char *key)
{
    char path[64], line[128];
    long kib = -1;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)worker->pid);
    file = fopen(path, "re");
    assert_non_null(file);
    while (kib < 0 && fgets(line, sizeof(line), file)) {
        if (!strncmp(line, key, strlen(key)))
            kib = atol(line + strlen(key));
    }
    fclose(file);
    assert_true(kib > 0);
    return kib;
}

long fake_worker_peak_kib(const struct fake_worker *worker)
{
    return read_memory(worker, "VmHWM:");
}

void fake_worker_expect_flat(const struct fake_worker *worker, long before_kib, long allowed_kib)
{
#ifdef SANITIZED
    (void)worker;
    (void)before_kib;
    (void)allowed_kib;
#else
    long peak_kib = fake_worker_peak_kib(worker);

    if (peak_kib > before_kib + allowed_kib)
        fail_msg("memory went from %ld to %ld KiB", before_kib, peak_kib);
#endif
}

void fake_wait_event(char event)
{
    char byte = 0;

    wait_for(fake_app_events[0], POLLIN);
    assert_int_equal(read(fake_app_events[0], &byte, 1), 1);
    assert_int_equal(byte, event);
}

void fake_open_gate(int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(write(fake_app_gate[1], "g", 1), 1);
}

/* ---- Connections and frames ---- */

int fake_connect_raw(struct fake_worker *worker)
{
    int fds[2], rv;

    assert_int_equal(pyd_fd_socketpair(SOCK_STREAM, fds), 0);
    while ((rv = pyd_fd_pass(worker->rendezvous, "c", 1, fds[1])) == EAGAIN)
        wait_for(worker->rendezvous, POLLOUT);
    assert_int_equal(rv, 0);
    close(fds[1]);
    return fds[0];
}

int fake_connect(struct fake_worker *worker)
{
    struct pyd_buf out = {0};
    int fd = fake_connect_raw(worker);

    fake_add_hello(&out, PYD_WIRE_VERSION, FAKE_GENERATION, FAKE_EPOCH);
    assert_int_equal(fake_send(fd, out.data, out.size), 0);
    pyd_buf_done(&out);
    return fd;
}

void fake_add_frame(struct pyd_buf *out, enum pyd_frame_type type, uint8_t flags, const void *payload, size_t size)
{
    unsigned char *room = pyd_buf_reserve(out, size + PYD_WIRE_HEADER_BYTES);
    struct pyd_wire_writer writer;
    unsigned char *frame;

    assert_non_null(room);
    pyd_wire_writer_init(&writer, room, size + PYD_WIRE_HEADER_BYTES);
    frame = pyd_wire_begin(&writer, type, flags);
    pyd_wire_write_bytes(&writer, payload, size);
    pyd_wire_end(&writer, frame);
    assert_false(writer.bad);
    out->size += (size_t)(writer.at - room);
}

void fake_add_hello(struct pyd_buf *out, uint32_t version, uint32_t generation, uint32_t epoch)
{
    unsigned char payload[12];
    struct pyd_wire_writer writer;

    pyd_wire_writer_init(&writer, payload, sizeof(payload));
    pyd_wire_write_u32(&writer, version);
    pyd_wire_write_u32(&writer, generation);
    pyd_wire_write_u32(&writer, epoch);
    fake_add_frame(out, PYD_FRAME_HELLO, 0, payload, sizeof(payload));
}

void fake_add_const(struct pyd_buf *out, uint16_t id, const char *target)
{
    unsigned char payload[512];
    struct pyd_wire_writer writer;

    pyd_wire_writer_init(&writer, payload, sizeof(payload));
    pyd_wire_write_const(&writer, id, target, "application");
    pyd_wire_write_u32(&writer, 1);
    pyd_wire_write_pair(&writer, "SERVER_NAME", "localhost");
    fake_add_frame(out, PYD_FRAME_CONST, 0, payload, (size_t)(writer.at - payload));
}

void fake_add_request(struct pyd_buf *out, struct fake_worker *worker, const struct fake_request *request)
{
    struct pyd_wire_request wire = {.claim = request->claim,
                                    .seq = request->seq ? request->seq : ++worker->seq,
                                    .const_id = request->const_id,
                                    .flags = request->flags,
                                    .content_bytes = request->body ? (int64_t)request->body_bytes : -1};
    size_t size = 512 + request->body_bytes;
    unsigned char *payload = malloc(size);
    struct pyd_wire_writer writer;

    assert_non_null(payload);
    pyd_wire_writer_init(&writer, payload, size);
    pyd_wire_write_request(&writer, &wire);
    pyd_wire_write_u32(&writer, 2);
    pyd_wire_write_pair(&writer, "REQUEST_METHOD", "GET");
    pyd_wire_write_pair(&writer, "PATH_INFO", request->act);
    if (request->body)
        pyd_wire_write_bytes(&writer, request->body, request->body_bytes);
    assert_false(writer.bad);
    fake_add_frame(out, PYD_FRAME_REQUEST, 0, payload, (size_t)(writer.at - payload));
    free(payload);
}

int fake_send(int fd, const void *data, size_t size)
{
    return pyd_fd_write_all(fd, data, size, DEADLINE_MS);
}

void fake_send_request(struct fake_worker *worker, int fd, const struct fake_request *request)
{
    struct pyd_buf out = {0};

    if (request->target)
        fake_add_const(&out, request->const_id, request->target);
    fake_add_request(&out, worker, request);
    assert_int_equal(fake_send(fd, out.data, out.size), 0);
    pyd_buf_done(&out);
}

static int read_exactly(int fd, unsigned char *data, size_t size)
{
    for (size_t have = 0; have < size;) {
        ssize_t got;

        wait_for(fd, POLLIN);
        got = recv(fd, data + have, size - have, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            if (have && got == 0)
                return -1; /* in the middle of a frame */
            return 0;
        }
        have += (size_t)got;
    }
    return 1;
}

int fake_read_frame(int fd, struct fake_frame *ret_frame)
{
    static unsigned char *payload;
    unsigned char header[PYD_WIRE_HEADER_BYTES];
    struct pyd_wire_frame frame;

    if (read_exactly(fd, header, sizeof(header)) != 1)
        return 0;
    assert_int_equal(pyd_wire_peek(header, sizeof(header), &frame), PYD_WIRE_FRAME);
    free(payload);
    payload = malloc(frame.payload_bytes + 1);
    assert_non_null(payload);
    if (frame.payload_bytes && read_exactly(fd, payload, frame.payload_bytes) != 1)
        return 0;
    *ret_frame = (struct fake_frame){frame.type, frame.flags, payload, frame.payload_bytes};
    return 1;
}

void fake_expect(int fd, enum pyd_frame_type type, struct fake_frame *ret_frame)
{
    if (!fake_read_frame(fd, ret_frame))
        fail_msg("end of the connection instead of a frame of type %d", (int)type);
    assert_int_equal(ret_frame->type, type);
}

void fake_expect_end(int fd)
{
    struct fake_frame frame;

    if (fake_read_frame(fd, &frame))
        fail_msg("a frame of type %d instead of the end of the connection", frame.type);
}

/* ---- One exchange ---- */

static void answer_read(int fd, struct fake_source *source, const struct fake_frame *frame)
{
    struct pyd_wire_reader reader;
    struct pyd_buf out = {0};
    size_t part, left;

    assert_non_null(source);
    left = source->size - source->at;
    pyd_wire_reader_init(&reader, frame->payload, frame->size);
    part = pyd_wire_read_u32(&reader);
    assert_true(part >= 1);
    if (source->piece)
        part = source->piece;
    if (part > left)
        part = left;
    if (!left && source->fail_status >= 0) {
        unsigned char status[2] = {(unsigned char)(source->fail_status >> 8), (unsigned char)source->fail_status};

        fake_add_frame(&out, PYD_FRAME_BODY_FAIL, 0, status, 2);
    } else {
        int last = part == left && source->fail_status < 0;

        fake_add_frame(&out, PYD_FRAME_BODY, last ? PYD_FRAME_FLAG_LAST : 0, source->data + source->at, part);
        source->at += part;
    }
    assert_int_equal(fake_send(fd, out.data, out.size), 0);
    pyd_buf_done(&out);
}

static void take_head(struct fake_response *response, const struct fake_frame *frame)
{
    struct pyd_wire_head head;

    if (frame->type == PYD_FRAME_EARLY) {
        assert_int_equal(pyd_wire_decode_early(frame->payload, frame->size, &head), 0);
        response->early += (int)head.pair_count;
        return;
    }
    assert_int_equal(pyd_wire_decode_head(frame->payload, frame->size, &head), 0);
    assert_int_equal(response->status, 0);
    response->status = head.status;
    response->headers = (int)head.pair_count;
}

static void take_end(struct fake_response *response, const struct fake_frame *frame)
{
    struct pyd_wire_reader reader;

    response->ended = frame->type;
    if (frame->type == PYD_FRAME_REFUSE)
        return;
    pyd_wire_reader_init(&reader, frame->payload, frame->size);
    response->end = pyd_wire_read_u8(&reader);
    if (frame->type == PYD_FRAME_END) {
        response->spent_us = pyd_wire_read_u64(&reader);
    } else {
        struct pyd_wire_str rule = pyd_wire_read_str(&reader);

        snprintf(response->rule, sizeof(response->rule), "%.*s", (int)rule.size, rule.data);
    }
    assert_false(reader.bad);
}

void fake_relay(int fd, struct fake_source *source, struct fake_response *ret_response)
{
    struct fake_frame frame;

    memset(ret_response, 0, sizeof(*ret_response));
    while (!ret_response->ended && fake_read_frame(fd, &frame)) {
        switch (frame.type) {
        case PYD_FRAME_READ:
            ret_response->reads++;
            answer_read(fd, source, &frame);
            break;
        case PYD_FRAME_LOG:
            pyd_buf_append(&ret_response->log, frame.payload + 1, frame.size - 1);
            break;
        case PYD_FRAME_EARLY:
        case PYD_FRAME_HEAD:
            take_head(ret_response, &frame);
            break;
        case PYD_FRAME_BODY:
            assert_true(ret_response->status != 0);
            pyd_buf_append(&ret_response->body, frame.payload, frame.size);
            break;
        case PYD_FRAME_END:
        case PYD_FRAME_FAIL:
        case PYD_FRAME_REFUSE:
            take_end(ret_response, &frame);
            break;
        default:
            fail_msg("frame of type %d from the worker", frame.type);
        }
    }
}

void fake_response_done(struct fake_response *response)
{
    pyd_buf_done(&response->body);
    pyd_buf_done(&response->log);
}

void fake_expect_body(struct fake_worker *worker, int fd, const struct fake_request *request, const char *body)
{
    struct fake_response response;

    fake_send_request(worker, fd, request);
    fake_relay(fd, NULL, &response);
    assert_int_equal(response.ended, PYD_FRAME_END);
    assert_int_equal(response.end, PYD_END_OK);
    assert_int_equal(response.status, 200);
    assert_int_equal(response.body.size, strlen(body));
    assert_memory_equal(response.body.data, body, strlen(body));
    fake_response_done(&response);
}
