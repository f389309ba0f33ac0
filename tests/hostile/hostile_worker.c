/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A worker program that has been taken over: it answers each request with the frames that the query string asks for,
 * right or wrong, or with random ones, and may write anything into its status memory, its control socket and its log
 * pipes. tests/apache/t/90-hostile.t puts it into the place of a worker program; httpd and the manager have to survive.
 *
 * The query is a sequence of moves (below), or "random=SEED".
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pyd_board.h"
#include "pyd_clock.h"
#include "pyd_fd.h"
#include "pyd_manager.h"
#include "pyd_wire.h"

#define ROOM_BYTES (20u << 20)
#define LARGE_BYTES (17u << 20) /* more than any frame may have */
#define INPUT_BYTES (1u << 20)
#define WRITE_TIMEOUT_MS 3000

static struct pyd_status_worker *status; /* this worker's */
static unsigned char *status_map;        /* the whole group's */
static size_t status_bytes;
static char large[LARGE_BYTES];
static pthread_mutex_t answering = PTHREAD_MUTEX_INITIALIZER; /* guards room */
static unsigned char room[ROOM_BYTES];

struct turn {
    struct pyd_wire_writer out;
    int fd;
    uint32_t claim;
    uint64_t seq;
    int closed;
};

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static void flush(struct turn *turn)
{
    (void)pyd_fd_write_all(turn->fd, turn->out.start, (size_t)(turn->out.at - turn->out.start), WRITE_TIMEOUT_MS);
    pyd_wire_writer_init(&turn->out, room, sizeof(room));
}

/* A frame header that says whatever it likes. */
static void header(struct turn *turn, uint32_t size, unsigned type, unsigned flags)
{
    pyd_wire_write_u32(&turn->out, size);
    pyd_wire_write_u8(&turn->out, (uint8_t)type);
    pyd_wire_write_u8(&turn->out, (uint8_t)flags);
    pyd_wire_write_u16(&turn->out, 0);
}

static void frame(struct turn *turn, unsigned type, const void *data, size_t size)
{
    header(turn, (uint32_t)size, type, 0);
    pyd_wire_write_bytes(&turn->out, data, size);
}

/* A frame whose payload is a string constant, without its NUL. */
#define FRAME(turn, type, text) frame(turn, type, text, sizeof(text) - 1)

static void head(struct turn *turn, unsigned code, const char *name, size_t name_size, const char *value, size_t size)
{
    size_t pairs = name ? 8 + name_size + size : 0;

    header(turn, (uint32_t)(2 + 4 + 2 + 4 + pairs), PYD_FRAME_HEAD, 0);
    pyd_wire_write_u16(&turn->out, (uint16_t)code);
    pyd_wire_write_str(&turn->out, "OK", 2);
    pyd_wire_write_u32(&turn->out, name ? 1 : 0);
    if (!name)
        return;
    pyd_wire_write_str(&turn->out, name, name_size);
    pyd_wire_write_str(&turn->out, value, size);
}

#define HEAD(turn, code, name, value) head(turn, code, name, sizeof(name) - 1, value, sizeof(value) - 1)

static void *scribble(void *baton)
{
    uint32_t seed = *(const uint32_t *)baton;

    for (;;) {
        for (int i = 0; i < 64; i++)
            status_map[next_random(&seed) % status_bytes] = (unsigned char)next_random(&seed);
        /* What the state and the epoch could be, too: pure noise is hardly ever believed. */
        atomic_store(&status->state, next_random(&seed) % 6);
        poll(NULL, 0, 1);
    }
    return NULL;
}

static void start_scribbling(void)
{
    static uint32_t seed = 20240229;
    pthread_t thread;

    (void)pthread_create(&thread, NULL, scribble, &seed);
}

/* What only the manager hears: bytes and messages that are no report, a log pipe full of noise. */
static void shout(void)
{
    uint32_t seed = 7;
    char noise[4096];

    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < sizeof(noise); i++)
            noise[i] = (char)next_random(&seed);
        (void)send(PYD_WORKER_FD_CONTROL, noise, next_random(&seed) % sizeof(noise), MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)pyd_fd_write_all(STDERR_FILENO, noise, sizeof(noise), 100);
    }
}

/* Frames that are well-formed; whether they fit is another matter. @return 0: no such move */
static int move_valid(struct turn *turn, char move)
{
    switch (move) {
    case 'H': HEAD(turn, 200, "X-Hostile", "yes"); break;
    case 'B': FRAME(turn, PYD_FRAME_BODY, "0123456789"); break;
    case '0': FRAME(turn, PYD_FRAME_BODY, ""); break;
    case 'b': frame(turn, PYD_FRAME_BODY, large, 3000000); break;
    case 'E': FRAME(turn, PYD_FRAME_END, "\0\0\0\0\0\0\0\0\1"); break;
    case 'e': FRAME(turn, PYD_FRAME_END, "\1\0\0\0\0\0\0\0\1"); break;
    case 'F': FRAME(turn, PYD_FRAME_FAIL, "\1\0\0\0\4rule"); break;
    case 'l': FRAME(turn, PYD_FRAME_LOG, "\0line\nwith \x01\x1b[31m and \r\n\n"); break;
    case 'R': FRAME(turn, PYD_FRAME_READ, "\0\0\1\0"); break;
    case 'X': FRAME(turn, PYD_FRAME_REFUSE, ""); break;
    case 'Y': FRAME(turn, PYD_FRAME_EARLY, "\0\0\0\0"); break;
    case 'c': HEAD(turn, 200, "Content-Length", "5"); break;
    case 'u': HEAD(turn, 200, "Connection", "close"); break;
    case 't': HEAD(turn, 200, "Transfer-Encoding", "chunked"); break;
    default: return 0;
    }
    return 1;
}

/* Frames that break a rule. */
static int move_bad(struct turn *turn, char move)
{
    switch (move) {
    case 'h': HEAD(turn, 200, "X-A", "a\r\nSet-Cookie: evil=1"); break;
    case 'n': HEAD(turn, 200, "X A", "a"); break;
    case 'z': HEAD(turn, 200, "X\0A", "a"); break;
    case 'C': HEAD(turn, 200, "Content-Length", "-1"); break;
    case 'i': HEAD(turn, 101, "X-A", "a"); break;
    case 'y': HEAD(turn, 99, "X-A", "a"); break;
    case 'm': HEAD(turn, 65535, "X-A", "a"); break;
    case 'L': head(turn, 200, "X-Large", 7, large, 300000); break;
    case 'q': FRAME(turn, PYD_FRAME_END, "\7\0\0\0\0\0\0\0\1"); break;
    case 'Q': FRAME(turn, PYD_FRAME_END, "\0"); break;
    case 'f': FRAME(turn, PYD_FRAME_FAIL, "\1\0\0\xff\4rule"); break;
    case 'g': frame(turn, PYD_FRAME_LOG, large, 200000); break;
    case 'r': FRAME(turn, PYD_FRAME_READ, "\0\0\0\0"); break;
    case 'w': FRAME(turn, PYD_FRAME_EARLY, "\0\0\0\1\0\0\0\2L\n\0\0\0\1x"); break;
    case 'W': FRAME(turn, PYD_FRAME_EARLY, "\xff\xff\xff\xff"); break;
    case 'p': FRAME(turn, PYD_FRAME_HEAD, "\0\xc8\0\0\0\2OK\xff\xff\xff\xff"); break;
    case 'T': FRAME(turn, 77, "x"); break;
    case 'K': frame(turn, PYD_FRAME_REQUEST, large, 50); break;
    case 'M': header(turn, UINT32_MAX, PYD_FRAME_BODY, 0); break;
    case 'O': frame(turn, PYD_FRAME_BODY, large, LARGE_BYTES); break;
    case 'a': header(turn, 10, PYD_FRAME_BODY, 0xff); break;
    case 'G': pyd_wire_write_bytes(&turn->out, "garbage garbage garbage", 23); break;
    default: return 0;
    }
    return 1;
}

/* What is no frame at all. */
static void move_other(struct turn *turn, char move)
{
    switch (move) {
    case 's': (void)pyd_status_begin(&status->request[turn->claim], turn->seq, pyd_clock_us(), 1); break;
    case 'S': pyd_status_end(&status->request[turn->claim], turn->seq); break;
    case 'P': header(turn, 1000, PYD_FRAME_BODY, 0); break; /* the rest never comes */
    case '3': pyd_wire_write_bytes(&turn->out, "\0\0\0", 3); break;
    case 'D':
        flush(turn);
        shutdown(turn->fd, SHUT_RDWR);
        turn->closed = 1;
        break;
    case 'x':
        flush(turn);
        _exit(1);
    case '!': shout(); break;
    case '*': start_scribbling(); break;
    default: break;
    }
}

static void play_moves(struct turn *turn, const char *moves)
{
    for (; *moves && !turn->closed; moves++) {
        if (!move_valid(turn, *moves) && !move_bad(turn, *moves))
            move_other(turn, *moves);
    }
}

/* Moves, headers of any kind, and noise. It always ends with a closed connection: who hangs is another subject. */
static void play_random(struct turn *turn, uint32_t seed)
{
    static const char MOVES[] = "HHHHBBB0bEeFlRXYcutsSshnzCiymLqQfgrwWpTKMaGP3";

    seed = seed * 2654435761u + 1;
    for (unsigned count = next_random(&seed) % 24; count > 0 && !turn->closed; count--) {
        unsigned char noise[64];
        unsigned size = next_random(&seed) % sizeof(noise);
        char move[2] = {MOVES[next_random(&seed) % (sizeof(MOVES) - 1)], '\0'};

        for (unsigned i = 0; i < size; i++)
            noise[i] = (unsigned char)next_random(&seed);
        switch (next_random(&seed) % 8) {
        case 0: frame(turn, next_random(&seed) % 16, noise, size); break;
        case 1: pyd_wire_write_bytes(&turn->out, noise, size); break;
        default: play_moves(turn, move); break;
        }
    }
    play_moves(turn, "D");
}

static void answer(int fd, const char *query, const struct pyd_wire_request *request)
{
    struct turn turn = {.fd = fd, .claim = request->claim, .seq = request->seq};

    pthread_mutex_lock(&answering);
    pyd_wire_writer_init(&turn.out, room, sizeof(room));
    if (strncmp(query, "random=", 7) == 0)
        play_random(&turn, (uint32_t)strtoul(query + 7, NULL, 10));
    else
        play_moves(&turn, query);
    if (!turn.closed)
        flush(&turn);
    pthread_mutex_unlock(&answering);
}

static void read_query(struct pyd_wire_request *request, char *query, size_t size)
{
    query[0] = '\0';
    for (uint32_t i = 0; i < request->pair_count; i++) {
        struct pyd_wire_pair pair = pyd_wire_read_pair(&request->pairs);

        if (pair.name.size == 12 && memcmp(pair.name.data, "QUERY_STRING", 12) == 0 && pair.value.size < size) {
            memcpy(query, pair.value.data, pair.value.size);
            query[pair.value.size] = '\0';
        }
    }
}

/* Answer what has come in completely. @return bytes left over */
static size_t take_frames(int fd, unsigned char *input, size_t size, struct pyd_wire_request *last)
{
    struct pyd_wire_frame next;
    size_t used = 0;
    char query[200];

    while (pyd_wire_peek(input + used, size - used, &next) == PYD_WIRE_FRAME &&
           size - used >= next.payload_bytes + PYD_WIRE_HEADER_BYTES) {
        struct pyd_wire_request request;

        if (next.type == PYD_FRAME_REQUEST &&
            pyd_wire_decode_request(input + used + PYD_WIRE_HEADER_BYTES, next.payload_bytes, &request) == 0) {
            *last = request;
            read_query(&request, query, sizeof(query));
            answer(fd, query, &request);
        }
        used += next.payload_bytes + PYD_WIRE_HEADER_BYTES;
    }
    memmove(input, input + used, size - used);
    return size - used;
}

static void *serve(void *baton)
{
    unsigned char *input = malloc(INPUT_BYTES);
    struct pyd_wire_request last = {0};
    int fd = *(int *)baton;
    size_t size = 0;
    ssize_t got;

    free(baton);
    while (input && size < INPUT_BYTES && (got = recv(fd, input + size, INPUT_BYTES - size, 0)) > 0)
        size = take_frames(fd, input, size + (size_t)got, &last);
    if (last.seq)
        pyd_status_end(&status->request[last.claim], last.seq);
    close(fd);
    free(input);
    return NULL;
}

static uint32_t number(const char *job, const char *key)
{
    const char *at = strstr(job, key);

    return at ? (uint32_t)strtoul(at + strlen(key), NULL, 10) : 0;
}

static int say_ready(void)
{
    static char job[65536];
    uint32_t threads;
    struct stat info;

    if (pread(PYD_WORKER_FD_JOB, job, sizeof(job) - 1, 0) <= 0 || fstat(PYD_WORKER_FD_STATUS, &info) != 0)
        return -1;
    status_bytes = (size_t)info.st_size;
    status_map = mmap(NULL, status_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, PYD_WORKER_FD_STATUS, 0);
    if (status_map == MAP_FAILED)
        return -1;
    threads = number(job, ".threads=");
    status = (struct pyd_status_worker *)(void *)(status_map + number(job, ".slot=") * pyd_status_stride(threads));
    pyd_status_open(status, threads, number(job, ".epoch="));
    atomic_store(&status->state, PYD_WORKER_READY);
    return write(PYD_WORKER_FD_CONTROL, "l", 1) == 1 ? 0 : -1;
}

static void accept_connection(void)
{
    int fd = -1, *baton = malloc(sizeof(*baton));
    size_t size = 1;
    pthread_t thread;
    char byte;

    if (baton && pyd_fd_take(PYD_WORKER_FD_RENDEZVOUS, &byte, &size, &fd) == 0 && fd >= 0) {
        *baton = fd;
        if (pthread_create(&thread, NULL, serve, baton) == 0) {
            pthread_detach(thread);
            return;
        }
        close(fd);
    }
    free(baton);
}

int main(void)
{
    struct pollfd events[] = {{.fd = PYD_WORKER_FD_RENDEZVOUS, .events = POLLIN},
                              {.fd = PYD_WORKER_FD_CONTROL, .events = POLLIN}};

    memset(large, 'b', sizeof(large));
    if (say_ready())
        return PYD_EXIT_JOB;
    for (;;) {
        if (poll(events, 2, -1) > 0 && events[1].revents)
            _exit(0);
        if (events[0].revents)
            accept_connection();
    }
}
