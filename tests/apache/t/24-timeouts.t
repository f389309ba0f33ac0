# SPDX-License-Identifier: Apache-2.0
# startup-timeout and shutdown-timeout hold, whatever the application does, and each says so.
use PyDaemonTest;
use PyDaemonTest::Background;
use Time::HiRes qw(time);

my $slowness = PyDaemonTest::Build::slowness();

# How an application can be slow to come and slow to go. "holds" keeps the interpreter's lock, which time.sleep does not.
my %apps = (
    sleeps => "import time\ntime.sleep(600)\n",
    holds => "import ctypes\nctypes.PyDLL(None).sleep(600)\n",
    forever => "import atexit, time\natexit.register(time.sleep, 600)\n",
    thread => "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\n",
    deaf => "import signal\nfor n in 1, 2, 15:\n    signal.signal(n, signal.SIG_IGN)\n",
    plain => '',
);
my $server = start_server(start => 0, conf => '');
my $dir = $server->dir;
mkdir "$dir/marks" and chmod 0777, "$dir/marks";
for my $name (keys %apps) {
    open my $out, '>', "$dir/$name.py" or die $!;
    print $out $apps{$name}, <<'PYTHON';
import ctypes, time
def application(environ, start_response):
    path = environ["PATH_INFO"]
    open(environ["QUERY_STRING"], "w").close() if environ["QUERY_STRING"] else None
    if path == "/sleep":
        time.sleep(600)
    if path == "/hold":
        ctypes.PyDLL(None).sleep(600)
    start_response("200 OK", [])
    return [b"ok"]
PYTHON
    close $out or die $!;
}
my $access = "<Location />\nRequire all granted\n</Location>\n";

# Start-up.
$server->write_conf($access . <<'CONF');
PyDaemonProcess sleeps startup-timeout=1 shutdown-timeout=1
PyDaemonAlias /sleeps @dir@/sleeps.py group=sleeps
PyDaemonProcess holds startup-timeout=1 shutdown-timeout=1
PyDaemonAlias /holds @dir@/holds.py group=holds
CONF
$server->start;
for my $name ('sleeps', 'holds') {
    my $begin = time;
    is(curl($server->url("/$name"))->{status}, 503, "startup-timeout, $name: a request that waits gets 503");
    cmp_ok(time - $begin, '<', 2.5 * $slowness, '... when the time is over');
    my ($pid, $after) = $server->log_text =~ /PYD0603: .*\(pid=(\d+)\): Worker 1 of '$name' is not ready after ([\d.]+) s/;
    ok($pid, '... the log says that it is killed');
    cmp_ok($after // 0, '<', 2 * $slowness, '... in time');
    ok(wait_for(sub { !PyDaemonTest::Process::lives($pid) }), '... and so it is');
    ok($server->wait_for_log(qr/PYD0601: .*pid=$pid\).*startup-timeout/), '... the end has the cause');
    like($server->log_text, qr/PYD0603: .*pid=$pid\).*PYD0650: .*pid=$pid\): Dumping .*PYD0601: .*pid=$pid\)/s, '... its stacks come before that');
}
my $begin = time;
ok($server->stop(10), 'httpd stops while workers start');
cmp_ok(time - $begin, '<', 4 * $slowness, '... soon');

# Shut-down, with httpd.
$server->write_conf($access . join '', map { "PyDaemonProcess $_ shutdown-timeout=1 threads=2\nPyDaemonAlias /$_ \@dir\@/$_.py group=$_\n" }
    qw(forever thread deaf plain));
$server->start;
is(curl($server->url("/$_"))->{body}, 'ok', "$_ starts") for qw(forever thread deaf plain);
my @requests;
for my $path ('sleep', 'hold') {
    push @requests, background(sub { curl($server->url("/plain/$path?$dir/marks/$path")) });
    ok(wait_for(sub { -e "$dir/marks/$path" }), "a request that never ends: $path");
}
my ($stopped) = $server->workers('thread');
PyDaemonTest::Process::halt($stopped);
my @workers = $server->workers;
$begin = time;
ok($server->stop(10), 'shutdown-timeout: httpd stops');
my $took = time - $begin;
cmp_ok($took, '<', 4 * $slowness, sprintf('... in time (%.1f s)', $took));
like($server->log_text, qr/PYD0604: .*pid=$stopped\).*shutdown-timeout/, '... a stopped worker is killed');
like($server->log_text, qr/PYD0[68]\d\d: .*'forever'.*shutdown-timeout/, '... exit handlers that do not end are cut short, and the log says so');
like($server->log_text, qr/PYD0[68]\d\d: .*'plain'.*(?:shutdown-timeout|still running)/, '... requests that do not end, too');
like($server->log_text, qr/Worker 1 of 'deaf' ended: stopped as told/, '... ignoring signals does not help');

# Shut-down of one generation after a reload: the same, while the next one serves.
$server->start;
my ($old) = do { wait_for(sub { $server->workers('plain') }); $server->workers('plain') };
unlink "$dir/marks/sleep";
is(curl($server->url('/plain'))->{body}, 'ok', 'a generation serves');
my $hangs = raw_connection($server->port);
print $hangs "GET /plain/sleep?$dir/marks/sleep HTTP/1.1\r\nHost: h\r\n\r\n";
ok(wait_for(sub { -e "$dir/marks/sleep" }), '... and has a request that never ends');
$hangs->close;
$server->restart;
ok(wait_for(sub { !PyDaemonTest::Process::lives($old) }, 10), 'restart: its worker is gone');
is(curl($server->url('/plain'))->{body}, 'ok', '... the next one serves');

$server->announce(qr/PYD0603/, qr/PYD0604/, qr/PYD0650/);
$server->tolerate(qr/PYD0601|PYD0602|PYD0203|PYD080[56]|PYD0210|PYD0402|PYD0604/);
finish();
