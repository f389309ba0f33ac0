# SPDX-License-Identifier: Apache-2.0
# At the default LogLevel a reader sees each event once: which process, which group, why, and the numbers.
use PyDaemonTest;

my $server = start_server(log_level => 'warn', conf => <<'END');
PyDaemonProcess late
PyDaemonAlias /late "@dir@/late.py" group=late
PyDaemonProcess shop processes=2 threads=2
PyDaemonAlias / "@apps@/fate.py" group=shop
END

sub count { my ($pattern) = @_; return scalar(() = $server->log_text =~ /$pattern/g) }

sub write_late {
    my ($text) = @_;
    open my $out, '>', $server->dir . '/late.py' or die $!;
    print $out $text;
    close $out or die $!;
}

# Once, after which nothing more comes for the event: what happens next has happened.
my %once;
sub once {
    my ($name, $pattern) = @_;
    $once{$name} = $pattern;
    ok($server->wait_for_log($pattern, 15), "$name: logged") or diag $server->log_text;
}

my $prefix = qr/^\[[^\]]+\] \[pydaemon:notice\] \[pid \d+:tid \d+\] mod_pydaemon/m;
once('manager', qr/$prefix \(pid=@{[$server->managers]}\): Manager of generation 1 started, groups: 2\.$/m);
once('worker 1', qr/$prefix \(pid=\d+\): Worker 1 of 'shop' is ready after \d+\.\d\d s\.$/m);
once('worker 2', qr/$prefix \(pid=\d+\): Worker 2 of 'shop' is ready after \d+\.\d\d s\.$/m);
is(count(qr/Manager of/) + count(qr/of 'shop'/), 3, 'nothing else of a start');

# A worker that dies idle.
my ($pid) = $server->workers('shop');
kill KILL => $pid;
once('a death', qr/\[pydaemon:error\] .*PYD0601: mod_pydaemon \(pid=$pid\): Worker \d of 'shop' ended: killed by signal 9 \(Killed\), after \d+\.\d s and \d+ requests; no request in flight\.$/m);
ok($server->wait_until(sub { count(qr/of 'shop' is ready/) == 3 }, 10), '... and its successor');

# Several that die, each executing a request: the worker's line and the request's line name the cause both.
for my $case ([ 'signal=11', qr/killed by signal 11 \(Segmentation fault\)/ ], [ 'exit=3', qr/exited? with status 3/ ]) {
    my ($how, $cause) = @$case;
    is(curl($server->url("/$how?$how"))->{status}, 502, "$how: 502");
    once("$how: worker", qr/PYD0601: mod_pydaemon \(pid=\d+\): Worker \d of 'shop' ended: [^;]*$cause.* after \d+\.\d s and \d+ requests; in flight: GET \/\Q$how\E/);
    once("$how: request", qr/\[client [^\]]+\] PYD0210: worker pid=\d+ of 'shop' .*$cause.* while it executed GET \/\Q$how\E/);
    ok($server->wait_until(sub { $server->workers('shop') == 2 }, 10), '... and replaced');
}
is(count(qr/Worker \d of 'shop' ended/), 3, 'three ends');
ok($server->wait_until(sub { count(qr/of 'shop' is ready/) == 5 }, 10), '... three replacements');

# A group that cannot start, then can.
write_late("raise RuntimeError('not yet')\n");
$server->graceful;
once('cannot start', qr/\[pydaemon:crit\] .*PYD0602: mod_pydaemon \(pid=\d+\): No worker of 'late' can be started: requests get 503 until one can\. Trying again in 1 s/);
ok($server->wait_until(sub { count(qr/RuntimeError: not yet$/m) >= 2 }, 15), '... tried again');
is(count(qr/PYD0601.*'late'/), 1, '... one line for all that end the same way');
is(count(qr/PYD0602/), 1, '... one line for the state');
write_late(PyDaemonTest::slurp(apps_dir() . '/hello.py'));
ok($server->wait_until(sub { curl($server->url('/late'))->{body} eq "hello\n" }, 10), '... serves once it can');
once('can start', qr/$prefix \(pid=\d+\): Workers of 'late' can be started again after \d+ failures?\.$/m);

# The reload that has just been: the old generation's end.
once('old manager', qr/$prefix \(pid=\d+\): Manager of generation 1 ended\.$/m);
is(count(qr/Worker \d of 'shop' ended: (?:stopped|retired) as told, after \d+\.\d s and \d+ requests?\.$/m), 2, 'the end of two workers');
once('new manager', qr/Manager of generation 2 started/);

# The manager itself.
my ($manager) = $server->managers;
kill KILL => $manager;
once('manager killed', qr/\[pydaemon:error\] .*PYD0402: mod_pydaemon: the manager \(pid=$manager\) of generation 2 ended unexpectedly.*; started again as pid=\d+, its workers go on$/m);
ok($server->wait_until(sub { count(qr/of 'shop' ended: retired as told/) >= 2 && count(qr/of 'late' ended: retired as told/) }, 15),
    '... its workers are replaced');
$server->wait_until(sub { $server->workers == 3 }, 10);
ok($server->stop, 'stopped');
once('end', qr/Manager of generation 2 ended\.$/m);
# Workers' numbers, and the generation's when its manager was killed, come again.
is(count($once{$_}), 1, "$_: once") for sort grep { !/^worker |^new manager/ } keys %once;

unlike($server->log_text, qr/\[pydaemon:(?:info|debug|trace\d)\]/, 'no chatter');

$server->tolerate(qr/PYD0203/);    # asked before it could
$server->announce(qr/PYD0601/, qr/PYD0602/, qr/PYD0402/, qr/PYD0210/, qr/PYD0650/, qr/PYD0020.*late\.py/, qr/PYD1002.*late\.py/,
    qr/'late' \(pid=\d+\): (?:Traceback| +File| +raise|RuntimeError)/);
finish();
