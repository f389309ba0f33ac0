# SPDX-License-Identifier: Apache-2.0
# Each limit of time on its own: all others are off; and memory-hard-limit while there is no other limit to a start.
# Requests of other clients do not notice, but for those that a worker that is killed was executing.
use PyDaemonTest;
use PyDaemonTest::Background;
use PyDaemonTest::Hang;
use Time::HiRes qw(time);

my $mib = sanitized() ? 600 : 100;    # above what a worker has by itself
my %limits = (
    deadlock => { 'deadlock-timeout' => 2, 'shutdown-timeout' => 1 },
    graceful => { 'graceful-timeout' => 1, 'shutdown-timeout' => 1, 'restart-interval' => 5 },
    patient => { 'restart-interval' => 5 },
    shutdown => { 'shutdown-timeout' => 1 },
    startup => { 'startup-timeout' => 5, env => 'FAULT_AT_IMPORT=@dir@/marks/at-import' },
    inactivity => { 'inactivity-timeout' => 1 },
    large => { 'memory-hard-limit' => "${mib}M" },
);
my $conf = "<Location />\nRequire all granted\n</Location>\n" . join '', map {
    "PyDaemonProcess $_ processes=2 threads=4 " . all_off(%{ $limits{$_} }) . " env=STUCK_LIBRARY=\@dir\@/stuck.so\nPyDaemonAlias /$_ \@apps\@/faults.py group=$_\n"
} sort keys %limits;
$conf =~ s{\@apps\@/faults\.py (?=group=large)}{\@dir\@/large.py };
my $server = start_server(start => 0, conf => $conf);
my ($port, $dir) = ($server->port, $server->dir . '/marks');
mkdir $dir and chmod 0777, $dir;
stuck_library($server);
$server->write_file('large.py', <<"EOT");
import os, time

if os.path.exists("$dir/large"):
    kept = bytearray(b"x") * ($mib << 20)
    time.sleep(600)


def application(environ, start_response):
    start_response("200 OK", [])
    return [b"fine"]
EOT
$server->start;

sub log_of { my ($since) = @_; return substr $server->log_text, $since }
sub touch { $server->write_file("marks/$_[0]", '') }
sub whole { # GROUP: two workers that are ready and live
    my ($group) = @_;
    return wait_for(sub { 2 == grep { PyDaemonTest::Process::lives($_) } ready_pids($server->log_text, $group) }, 20);
}
sub killed { # PID: how its end is told
    my ($pid) = @_;
    $server->wait_for_log(qr/\(pid=$pid\): Worker \d+ of '\w+' ended/, 20);
    return $server->log_text =~ /\(pid=$pid\): Worker \d+ of '\w+' ended: ([^\n]*)/ ? $1 : 'it has not ended';
}

# ---- deadlock-timeout -----------------------------------------------------------------------------------------------
ok(whole('deadlock'), 'deadlock-timeout');
my $trickle = trickle($port, '/deadlock/fine');
my $began = time;
my $request = ask($port, "/deadlock/hold_the_gil?mark=$dir/gil");
my $pid = marked("$dir/gil")->{pid};
my $answer = $request->result;
is($answer->{status}, 502, 'a worker whose lock is not to be had: its request gets 502');
cmp_ok(time - $began, '>=', 2, '... not before the time is over');
like(killed($pid), qr/^killed because .*deadlock-timeout.*after [\d.]+ s and \d+ requests; in flight: .*GET \/deadlock\/hold_the_gil/,
    '... its end has the cause');
like($server->log_text, qr/PYD0635: mod_pydaemon \(pid=$pid\): deadlock-timeout \(2 s\) exceeded in 'deadlock'/, '... which was said before');
like($server->log_text, qr/PYD0210: worker pid=$pid of 'deadlock' [^\n]*deadlock-timeout[^\n]*hold_the_gil[^\n]*answered 502/,
    '... and with the answer');
my ($dump) = grep { $_->{pid} == $pid } dumps($server->log_text);
is($dump && $dump->{tier} . $dump->{whole}, 'no GIL1', '... its stacks were taken without the lock');
like($dump->{text} // '', qr/in hold_the_gil: ctypes\.PyDLL\(/, '... and show where it is');
ok(whole('deadlock'), '... it is replaced');
is(scalar(grep { $_ == $pid } ready_pids($server->log_text, 'deadlock')), 0, '... by another process');
my @bad = grep { $_->{status} != 200 } my @answers = $trickle->end;
cmp_ok(scalar(@answers), '>', 20, 'others are answered meanwhile');
is(join(' ', map { $_->{status} } grep { my $id = $_->{id}; $server->log_text !~ /PYD0210: worker pid=$pid [^\n]*id=$id:/ } @bad), '',
    '... all but those that the same worker had begun (' . @bad . ' of ' . @answers . ')');

# A worker that is stopped shows no sign of life.
$pid = (ready_pids($server->log_text, 'deadlock'))[0];
PyDaemonTest::Process::halt($pid);
like(killed($pid), qr/^killed because .*deadlock-timeout/, 'a stopped worker, too');
like($server->log_text, qr/PYD0635: mod_pydaemon \(pid=$pid\): .*no sign of life/, '... of which that was said');
($dump) = grep { $_->{pid} == $pid } dumps($server->log_text);
is($dump && $dump->{tier} . $dump->{whole}, '/proc1', '... and what the kernel knows');
ok(whole('deadlock'), '... it is replaced');

# ---- graceful-timeout, shutdown-timeout -----------------------------------------------------------------------------
# The worker goes, for restart-interval is over; one of its requests does not end.
for my $group ('graceful', 'patient') {
    ok(whole($group), $group);
    my $since = length $server->log_text;
    $trickle = trickle($port, "/$group/fine", 1);
    $request = ask($port, "/$group/until?file=$dir/$group-end&mark=$dir/$group");
    $pid = marked("$dir/$group")->{pid};
    ok($server->wait_for_log(qr/\(pid=$pid\): Retiring worker/, 20), 'a worker is to go, with a request that does not end');
    if ($group eq 'graceful') {
        is($request->result->{status}, 502, 'graceful-timeout, shutdown-timeout: it ends with 502');
        my ($retiring, $stop, $end) = map { log_seconds($server->log_text =~ /^([^\n]*\(pid=$pid\): $_)/m ? $1 : '') // 0 }
            'Retiring worker', 'Shutdown requested', 'Worker \d+ of \S+ ended';
        cmp_ok($stop - $retiring, '>=', 0.95, '... the worker is told to stop after graceful-timeout');
        cmp_ok($end - $stop, '>=', 0.7, '... and ends when shutdown-timeout is over, or nearly so');
        ($dump) = grep { $_->{pid} == $pid } dumps(log_of($since));
        like($dump ? $dump->{text} : '', qr/in until: time\.sleep/, '... its stacks come first');
        ok($dump && $dump->{whole}, '... all of them');
        like(killed($pid), qr/restart-interval|shutdown-timeout/, '... its end has the cause');
        my ($cause) = $server->log_text =~ /PYD0210: (worker pid=$pid of 'graceful' [^\n]*GET \/graceful\/until[^\n]*)/;
        like($cause // '', qr/restart-interval|shutdown-timeout/, '... which its request was told of');
    }
    else {
        ok(wait_for(sub { log_of($since) =~ /of 'patient' ended: replaced after restart-interval/ }, 20), 'graceful-timeout=off: others come and go');
        touch("$group-end");
        is($request->result->{status}, 200, '... while this one is waited for');
        like(killed($pid), qr/restart-interval/, '... then the worker goes');
        unlike(log_of($since), qr/PYD0604/, '... and none was killed');
    }
    is(no_failure($trickle->end), '', '... no other request fails');
    cmp_ok(lowest_capacity($server->log_text, $group, 2), '>=', 2, '... and there are always two to serve it');
}

# SIGTERM: the worker stops by itself; what does not end is waited for until shutdown-timeout.
ok(whole('shutdown'), 'shutdown-timeout');
$trickle = trickle($port, '/shutdown/fine', 1);
$request = ask($port, "/shutdown/sleep_in_c?mark=$dir/shutdown");
$pid = marked("$dir/shutdown")->{pid};
kill TERM => $pid;
is($request->result->{status}, 502, 'a request that outlasts the worker gets 502');
like(killed($pid), qr/shutdown-timeout|stopped as told/, '... its end has the cause');
($dump) = grep { $_->{pid} == $pid } dumps($server->log_text);
like($dump ? $dump->{text} : '', qr/in sleep_in_c: ctypes/, '... its stacks come first');
ok(whole('shutdown'), '... it is replaced');
is(no_failure($trickle->end), '', '... no other request fails');

# ---- startup-timeout ------------------------------------------------------------------------------------------------
ok(whole('startup'), 'startup-timeout');
$server->write_file('marks/at-import', 'sleep_in_python');
my ($victim, $other) = ready_pids($server->log_text, 'startup');
my $since = length $server->log_text;
$trickle = trickle($port, '/startup/fine', 1);
kill KILL => $victim;
ok($server->wait_for_log(qr/PYD0603: .* of 'startup' is not ready after 5\.\d s \(startup-timeout\)/, 20), 'an import that hangs is ended');
($pid) = $server->log_text =~ /PYD0603: mod_pydaemon \(pid=(\d+)\): Worker \d+ of 'startup'/;
like(killed($pid), qr/startup-timeout/, '... its end has the cause');
($dump) = grep { $_->{pid} == $pid } dumps(log_of($since));
like($dump ? $dump->{text} : '', qr/in sleep_in_python: time\.sleep.*in while_imported: /s, '... its stack is logged');
unlink "$dir/at-import";
ok(whole('startup'), '... and when the import works the group is whole again');
is(no_failure($trickle->end), '', '... no request has failed: there was the other worker');
ok(PyDaemonTest::Process::lives($other), '... which is still there');

# ---- memory-hard-limit, during the import ---------------------------------------------------------------------------
ok(whole('large'), 'memory-hard-limit');
touch('large');
($victim, $other) = ready_pids($server->log_text, 'large');
$since = length $server->log_text;
$trickle = trickle($port, '/large', 1);
kill KILL => $victim;
ok($server->wait_for_log(qr/PYD0634: [^\n]* memory-hard-limit exceeded in 'large'[^\n]*; no request in flight/, 20), 'an import that takes too much is ended');
($pid) = $server->log_text =~ /PYD0634: mod_pydaemon \(pid=(\d+)\): memory-hard-limit exceeded in 'large'/;
like(killed($pid), qr/^killed because it exceeded memory-hard-limit/, '... its end has the cause');
($dump) = grep { $_->{pid} == $pid } dumps(log_of($since));
like($dump ? $dump->{text} : '', qr{large\.py", line 5}, '... its stack is logged');
ok($server->wait_for_log(qr/PYD0608: [^\n]* of 'large' can be started: 1 of 2 serve/, 20), '... it counts as a start that failed');
unlink "$dir/large";
ok(whole('large'), '... and when the import is smaller the group is whole again');
is(no_failure($trickle->end), '', '... no request has failed: there was the other worker');
ok(PyDaemonTest::Process::lives($other), '... which is still there');

# ---- inactivity-timeout ---------------------------------------------------------------------------------------------
ok($server->wait_for_log(qr/of 'inactivity' is ready/, 20), 'inactivity-timeout');
ok(wait_for(sub { !$server->workers('inactivity') }, 20), 'idle workers go');
is((() = $server->log_text =~ /Worker \d+ of 'inactivity' ended: stopped because it was idle for inactivity-timeout/g), 2, '... both, which is said');
$answer = ask($port, '/inactivity/fine')->result;
is($answer->{status}, 200, 'the next request starts one');
ok(wait_for(sub { !$server->workers('inactivity') }, 20), '... which goes again');
$trickle = trickle($port, '/inactivity/fine', 2);
ok(wait_for(sub { $server->workers('inactivity') }, 20), 'and again');
($pid) = wait_for(sub { my @ready = ready_pids($server->log_text, 'inactivity'); $ready[0] });
ok(!$server->wait_for_log(qr/Retiring worker \d+ of 'inactivity'[^\n]*\n(?:[^\n]*\n)*[^\n]*pid=$pid\): Worker \d+ of 'inactivity' ended/, 1),
    'one that has requests stays');
is(no_failure($trickle->end), '', '... and no request fails');

$server->announce(qr/PYD0635/, qr/PYD0634/, qr/PYD0650/, qr/PYD0603/, qr/PYD0210/, qr/PYD0601: .*(?:signal 9|startup-timeout)/, qr/PYD0611/);
$server->tolerate(qr/PYD0(?:604|610|631|608|805|806|601): /);
finish();
