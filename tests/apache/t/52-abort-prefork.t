# SPDX-License-Identifier: Apache-2.0
# Prefork's children end in a signal handler, which may have interrupted malloc(): the module must not call free() there.
use PyDaemonTest;
use PyDaemonTest::Background;

if (sanitized()) {
    pass('a sanitizer has an allocator of its own');
    finish();
    exit;
}
local $ENV{PYD_TEST_MPM} = 'prefork';
my $server = start_server(start => 0, conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess abort shutdown-timeout=1s
PyDaemonAlias / "@apps@/fails_later.py" group=abort
END
my $dir = $server->dir;
mkdir "$dir/runs" or die $!;
chmod 0777, "$dir/runs" or die $!;

# Reports to REPORT when httpd's handler of SIGTERM begins, and what the module frees in it.
my $source = $server->write_file('watch.c', <<'END');
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void (*real_free)(void *);
static int (*real_sigaction)(int, const struct sigaction *, struct sigaction *);
static void (*handler)(int);
static volatile sig_atomic_t inside;
static int report = -1;

__attribute__((constructor)) static void start(void)
{
    real_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
    real_sigaction = (int (*)(int, const struct sigaction *, struct sigaction *))dlsym(RTLD_NEXT, "sigaction");
    report = open(getenv("REPORT"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
}

static void say(const char *text)
{
    if (write(report, text, strlen(text)) < 0)
        report = -1;
}

static void watched(int number)
{
    say("handler\n");
    inside = 1;
    handler(number);
    inside = 0;
}

int sigaction(int number, const struct sigaction *action, struct sigaction *before)
{
    struct sigaction mine;

    if (number != SIGTERM || !action || action->sa_handler == SIG_DFL || action->sa_handler == SIG_IGN)
        return real_sigaction(number, action, before);
    mine = *action;
    handler = action->sa_handler;
    mine.sa_handler = watched;
    return real_sigaction(number, &mine, before);
}

void free(void *memory)
{
    Dl_info info;

    if (inside && memory && dladdr(__builtin_return_address(0), &info) && strstr(info.dli_fname, "mod_pydaemon"))
        say("free\n");
    if (real_free)
        real_free(memory);
}
END
my $compiler = `"@{[PyDaemonTest::Build::fact('apxs')]}" -q CC`;
chomp $compiler;
is(system("$compiler -shared -fPIC -o '$dir/watch.so' '$source' -ldl"), 0, 'compiled');
{
    local $ENV{LD_PRELOAD} = "$dir/watch.so";
    local $ENV{REPORT} = "$dir/report";
    $server->start;
}
my $request = background(sub { curl($server->url("/?run=$dir/runs/all&wait=$dir/never")) });
ok(wait_for(sub { -s "$dir/runs/all" }), 'a request is executed');
ok($server->stop, 'a hard stop meanwhile');
$request->result;
my $report = PyDaemonTest::slurp("$dir/report");
cmp_ok(scalar(() = $report =~ /^handler$/mg), '>', 1, 'children have ended in the handler');
is(scalar(() = $report =~ /^free$/mg), 0, '... the module has not called free() there');

$server->tolerate(qr/AH00045|PYD0[268]\d\d|\] (?:Traceback|  |[\w.]+Error: )/);
finish();
