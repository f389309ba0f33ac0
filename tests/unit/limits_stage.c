/* SPDX-License-Identifier: Apache-2.0 */
#include "limits_stage.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pyd_fd.h"
#include "pyd_log.h"
#include "pyd_manager.h"

struct stage stage;

static void record(void *baton, enum pyd_log_level level, int group, const char *message)
{
    size_t room = sizeof stage.log - stage.log_bytes;
    int n = snprintf(stage.log + stage.log_bytes, room, "%d %s\n", (int)level, message);

    (void)baton;
    assert_int_equal(group, 0);
    assert_true(n > 0 && (size_t)n < room);
    stage.log_bytes += (size_t)n;
}

void forget_log(void)
{
    stage.log_bytes = 0;
    stage.log[0] = '\0';
}

void check_log(const char *expected)
{
    char text[4096];
    size_t used = 0;

    for (const char *at; (at = strstr(expected, "%d")); expected = at + 2)
        used += (size_t)snprintf(text + used, sizeof text - used, "%.*s%d", (int)(at - expected), expected,
                                 (int)stage.processes[0].pid);
    snprintf(text + used, sizeof text - used, "%s", expected);
    assert_string_equal(stage.log, text);
    forget_log();
}

static void grow(void)
{
    size_t bytes = WORKER_MIB * MIB;
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        _exit(1);
    memset(memory, 'x', bytes);
}

/* Look at each page, as a write would. */
static void use_shared(void)
{
    volatile char *shared = stage.shared;

    for (size_t i = 0; i < WORKER_MIB * MIB; i += 1024)
        shared[i] = 'y';
}

static void run_process(int ask, int answer)
{
    char byte = 'r';

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "pydaemon-3"); /* as its request threads are called */
    grow();
    while (clock() < CLOCKS_PER_SEC / 20) {
    }
    while (write(answer, &byte, 1) == 1 && read(ask, &byte, 1) == 1) {
        if (byte == 's')
            use_shared();
        else
            grow();
    }
    _exit(0);
}

static void start_process(struct process *process)
{
    int ask[2], answer[2];
    char byte;

    assert_int_equal(pyd_fd_pipe(ask), 0);
    assert_int_equal(pyd_fd_pipe(answer), 0);
    process->pid = fork();
    assert_true(process->pid >= 0);
    if (process->pid == 0) {
        close(ask[1]);
        close(answer[0]);
        run_process(ask[0], answer[1]);
    }
    close(ask[0]);
    close(answer[1]);
    process->ask = ask[1];
    process->answer = answer[0];
    assert_int_equal(read(process->answer, &byte, 1), 1);
}

static void tell(const struct process *process, char byte)
{
    assert_int_equal(write(process->ask, &byte, 1), 1);
    assert_int_equal(read(process->answer, &byte, 1), 1);
}

void let_it_grow(const struct process *process)
{
    tell(process, 'g');
}

void let_it_share(const struct process *process)
{
    use_shared(); /* memory that only one process uses is its own, whatever it is called */
    tell(process, 's');
}

struct pyd_status_worker *status_of(uint32_t slot)
{
    return pyd_board_status(site.board, 0, slot);
}

struct pyd_manager_slot *start_worker(uint32_t index)
{
    struct pyd_manager_slot *slot = &stage.group.slots[index];
    struct process *process = &stage.processes[index];
    int control[2];

    if (process->pid == 0) {
        start_process(process);
        assert_int_equal(pyd_fd_socketpair(SOCK_SEQPACKET, control), 0);
        assert_int_equal(pyd_fd_set_nonblocking(control[1], 1), 0);
        slot->control_fd = control[0];
        process->control = control[1];
    }
    fixture_start(site.board, index);
    slot->epoch = atomic_load(&slot_at(index)->epoch);
    slot->state = PYD_SLOT_READY;
    slot->pid = process->pid;
    slot->number = index + 1;
    slot->started_us = stage.now_us - SECOND / 2;
    slot->ready_us = slot->since_us = stage.now_us;
    slot->must_go = PYD_CAUSE_NONE;
    slot->adopted = slot->retired = slot->told = slot->judged = 0;
    slot->sick = slot->doomed = slot->killed = slot->said_stop = slot->cried_stop = 0;
    slot->gone_since_us = slot->successor_us = 0;
    slot->successor_pid = 0;
    atomic_store(&status_of(index)->state, PYD_WORKER_READY);
    atomic_store(&status_of(index)->alive_us, stage.now_us);
    return slot;
}

struct pyd_manager_slot *set_up(const char *const *limits)
{
    const char *options[16] = {"request-timeout=off", "deadlock-timeout=off"};
    size_t count = 2;

    for (; *limits; limits++)
        options[count++] = *limits;
    memset(&stage, 0, sizeof stage);
    stage.now_us = START;
    stage.shared = mmap(NULL, WORKER_MIB * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(stage.shared != MAP_FAILED);
    prepare_site("ready");
    make_board(WORKERS, PYD_GROUP_SERVING, options);
    pyd_log_set(record, NULL, PYD_LOG_NOTICE);
    assert_int_equal(pyd_manager_group_init(&stage.group, site.board, 0, &stage.oom, START), 0);
    forget_log();
    return start_worker(0);
}

int tear_down(void **state)
{
    for (int i = 0; i < WORKERS; i++) {
        struct process *process = &stage.processes[i];

        if (process->pid == 0)
            continue;
        kill(process->pid, SIGKILL);
        waitpid(process->pid, NULL, 0);
        close(process->ask);
        close(process->answer);
        close(process->control);
    }
    munmap(stage.shared, WORKER_MIB * MIB);
    pyd_manager_group_done(&stage.group);
    pyd_log_set(NULL, NULL, PYD_LOG_NOTICE);
    return clean_up(state);
}

int64_t look_after(int64_t us)
{
    int64_t next_us;

    stage.now_us += us;
    for (uint32_t i = 0; i < WORKERS && !stage.is_frozen; i++)
        atomic_store(&status_of(i)->alive_us, stage.now_us);
    next_us = pyd_manager_limits_check(&stage.group, stage.now_us);
    return next_us == NEVER ? NEVER : next_us - stage.now_us;
}

int dump_was_asked(enum pyd_dump_why why, pid_t tid)
{
    struct pyd_manager_slot *slot = &stage.group.slots[0];
    struct pyd_control_dump message;
    int is_pending = pyd_manager_dump_pending(slot);

    if (recv(stage.processes[0].control, &message, sizeof message, 0) != (ssize_t)sizeof message) {
        assert_false(is_pending);
        return 0;
    }
    assert_true(is_pending);
    assert_int_equal(message.kind, PYD_CONTROL_DUMP);
    assert_int_equal(message.tid, tid);
    assert_int_equal(slot->dump.why, why);
    slot->dump = (struct pyd_manager_dump){0};
    return 1;
}

struct pyd_claim_ref claim_for(const char *uri)
{
    struct pyd_claim_ref claim;

    assert_int_equal(pyd_claim_try(site.board, 0, (uint32_t)getpid(), NO_SLOT, &claim), 0);
    assert_int_equal(claim.slot, 0);
    pyd_claim_describe(site.board, &claim, &(struct pyd_claim_purpose){"GET", uri, "203.0.113.9", "WxYz"},
                       stage.now_us);
    return claim;
}

struct pyd_claim_ref begin(const char *uri)
{
    struct pyd_claim_ref claim = claim_for(uri);
    struct pyd_status_request *record = fixture_request(site.board, &claim);

    atomic_store(&record->memory_bytes, 0);
    assert_int_equal(pyd_status_begin(record, claim.seq, stage.now_us, stage.processes[0].pid), 0);
    return claim;
}

void finish(const struct pyd_claim_ref *claim)
{
    pyd_status_end(fixture_request(site.board, claim), claim->seq);
    atomic_fetch_add(&status_of(0)->requests, 1);
    pyd_claim_release(site.board, claim);
}
