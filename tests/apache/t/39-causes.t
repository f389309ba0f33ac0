# SPDX-License-Identifier: Apache-2.0
# However a worker ends, one line says so: pid, group, cause, age, requests served; and the line with the 502, 504 or 503
# that a client got names the same cause.
use PyDaemonTest;
use PyDaemonTest::Background;
use PyDaemonTest::Hang;

# What every end is told with.
my $told = qr/^mod_pydaemon \(pid=\d+\): Worker \d+ of '\w+' ended: .+, after [\d.]+ s and \d+ requests(?:; .*)?\.$/;
my $limit = sanitized() ? '600M' : '100M';

# name => options; what is asked for; its answer; how the end is told by the manager; how by who answers the client;
# whether the manager calls it an error. `signal` goes to the worker in place of a request that ends it.
my @cases = (
    [ sigsegv => '', 'segfault', 502, qr/^killed by signal 11 \(Segmentation fault\)/, qr/was killed by signal 11 \(Segmentation fault\)/, 1 ],
    [ sigabrt => '', 'abort', 502, qr/^killed by signal 6 \(Aborted\)/, qr/was killed by signal 6 \(Aborted\)/, 1 ],
    [ sigkill => '', 'kill_itself?signal=9', 502, qr/^killed by signal 9 \(Killed\)/, qr/was killed by signal 9 \(Killed\)/, 1 ],
    [ exit0 => '', 'leave?status=0', 502, qr/^exited with status 0/, qr/exited with status 0/, 1 ],
    [ exit3 => '', 'leave?status=3', 502, qr/^exited with status 3/, qr/exited with status 3/, 1 ],
    [ late => all_off('request-timeout' => 1, 'shutdown-timeout' => 1), 'sleep_in_python', 504, qr/^(?:replaced|killed) because a request exceeded request-timeout/,
        qr/Request time limit exceeded in 'late': GET \/late\/sleep_in_python\S* ran 1\.\d s of 1 s \(request \S+, client 127\.0\.0\.1, thread \d+\)/, 1 ],
    [ stuck => all_off('deadlock-timeout' => 2, 'shutdown-timeout' => 1), 'hold_the_gil', 502, qr/^killed because .*deadlock-timeout/, qr/was killed because .*deadlock-timeout/, 1 ],
    [ large => all_off('memory-limit' => $limit, 'graceful-timeout' => 1, 'shutdown-timeout' => 1), 'grows_and_waits?mebibytes=' . ($limit =~ s/M//r) . '&file=never', 502,
        qr/because it exceeded memory-limit|memory-limit/, qr/was \w+ because .*memory-limit/ ],
    [ huge => all_off('memory-hard-limit' => $limit), 'grows_and_waits?mebibytes=' . ($limit =~ s/M//r) . '&file=never', 502,
        qr/^killed because it exceeded memory-hard-limit/, qr/was killed because .*memory-hard-limit/, 1 ],
    [ busy => all_off('cpu-time-limit' => 1, 'graceful-timeout' => 1, 'shutdown-timeout' => 1), 'spin_in_python', 502, qr/cpu-time-limit/, qr/was \w+ because .*cpu-time-limit/ ],
    [ old => all_off('restart-interval' => 3, 'graceful-timeout' => 1, 'shutdown-timeout' => 1), 'sleep_in_python', 502, qr/restart-interval/, qr/was \w+ because .*restart-interval/ ],
    [ told => all_off('shutdown-timeout' => 1), 'sleep_in_python', 502, qr/^stopped as told|shutdown-timeout/, qr/was shut down|shutdown-timeout/, undef, 'TERM' ],
);
my %before = (many => all_off('maximum-requests' => 3), idle => all_off('inactivity-timeout' => 1),
    import => all_off() . ' env=FAULT_AT_IMPORT=@dir@/marks/import', start => all_off('startup-timeout' => 2) . ' env=FAULT_AT_IMPORT=@dir@/marks/start');
my $conf = "<Location />\nRequire all granted\n</Location>\n" . join '', map {
    "PyDaemonProcess $_->[0] threads=3 $_->[1] env=STUCK_LIBRARY=\@dir\@/stuck.so\nPyDaemonAlias /$_->[0] \@apps\@/faults.py group=$_->[0]\n"
} @cases, map { [ $_, $before{$_} ] } sort keys %before;
my $server = start_server(start => 0, conf => $conf);
my ($port, $dir) = ($server->port, $server->dir . '/marks');
mkdir $dir and chmod 0777, $dir;
$server->write_file('marks/import', 'no_such_fault');
$server->write_file('marks/start', 'sleep_in_python');
stuck_library($server);
$server->start;

sub ends { # PID: the manager's lines about its end: [ level, text from mod_pydaemon on ]
    my ($pid) = @_;
    return map { /\[pydaemon:(\w+)\].*?(mod_pydaemon \(pid=$pid\): Worker \d+ of '\w+' ended: .*)/ ? [ $1, $2 ] : () }
        split /\n/, $server->log_text;
}
sub told_once { # PID, how: [, is it an error?]
    my ($pid, $how, $urgent) = @_;
    ok(wait_for(sub { ends($pid) }, 20), '... the worker ends');
    my @ends = ends($pid);
    is(scalar(@ends), 1, '... which is told in one line');
    like($ends[0][1] // '', $told, '... with its age, and the requests it served');
    like(($ends[0][1] // '') =~ /ended: (.*)/ ? $1 : '', $how, '... and the cause');
    is($ends[0][0], $urgent ? 'error' : 'notice', '... at the right level') if defined $urgent;
}

for my $case (@cases) {
    my ($name, undef, $path, $status, $end, $answered, $urgent, $signal) = @$case;
    ok(wait_for(sub { ready_pids($server->log_text, $name) }, 20), "$name: ready");
    my $separator = $path =~ /\?/ ? '&' : '?';
    my $request = ask($port, "/$name/$path${separator}mark=$dir/$name");
    my $pid = (marked("$dir/$name") // { pid => 0 })->{pid};
    kill $signal => $pid if $signal;
    is($request->result->{status}, $status, "... $status");
    told_once($pid, $end, $urgent);
    my @answers = $server->log_text =~ m{(PYD02\d\d: [^\n]*GET /$name/[^\n]*)}g;
    is(scalar(@answers), 1, '... one line about the answer');
    like($answers[0] // '', qr/pid=$pid\b/, '... with the worker');
    like($answers[0] // '', $answered, '... and the same cause');
    like($status == 504 ? $server->log_text : $answers[0] // '', qr{GET /$name/[^\n]*answered $status|answered $status[^\n]*GET /$name/}, '... and the status');
}

# ---- ends that no client is told of ---------------------------------------------------------------------------------
my ($pid) = ready_pids($server->log_text, 'many');
my %of;
$of{ ask($port, '/many/fine')->result->{body} =~ /^fine (\d+)/ ? $1 : 0 }++ for 1 .. 3;
is(join(' ', keys %of), $pid, 'maximum-requests');
told_once($pid, qr/^replaced after maximum-requests, after [\d.]+ s and 3 requests/, 0);
ok($server->wait_for_log(qr/Worker \d+ of 'idle' ended/, 20), 'inactivity-timeout');
($pid) = $server->log_text =~ /\(pid=(\d+)\): Worker \d+ of 'idle' ended/;
told_once($pid, qr/^stopped because it was idle for inactivity-timeout/, 0);

# ---- starts that fail -----------------------------------------------------------------------------------------------
for my $group ('import', 'start') {
    my $cause = $group eq 'import' ? qr/could not be imported|failed to import/ : qr/startup-timeout/;
    my $answer = ask($port, "/$group/fine")->result;
    is($answer->{status}, 503, "$group fails: 503");
    like($answer->{headers}{'retry-after'}[0] // '', qr/^\d+$/, '... with Retry-After');
    my ($first) = $server->log_text =~ /\(pid=(\d+)\): Starting worker \d+ of '$group'/;
    told_once($first, $cause);
    like($server->log_text, qr{PYD0203: [^\n]*'$group'[^\n]*GET /$group/fine answered 503}, '... the answer is logged');
    my ($line) = $server->log_text =~ m{(PYD0203: [^\n]*'$group'[^\n]*GET /$group/fine answered 503)};
    like($line // '', $cause, '... with the same cause');
}
unlink "$dir/import", "$dir/start";

# ---- reload, and the end --------------------------------------------------------------------------------------------
my @pids = map { (grep { PyDaemonTest::Process::lives($_) } ready_pids($server->log_text, $_))[0] // () } map { $_->[0] } @cases;
ok($server->graceful, 'graceful');
told_once($pids[0], qr/^(?:stopped|retired) as told/, 0);
ok(wait_for(sub { !grep { PyDaemonTest::Process::lives($_) || !ends($_) } @pids }, 20), 'all workers of before end');
is(scalar(grep { 1 != ends($_) } @pids), 0, '... each with its line');
ok(wait_for(sub { my @ready = ready_pids($server->log_text, 'exit3'); grep { PyDaemonTest::Process::lives($_) } @ready }, 20), 'the next ones are there');
my @last = $server->workers('exit3');
ok($server->stop, 'httpd stops');
told_once($last[0], qr/^stopped as told/, 0);
# No worker is left without a line about its end.
my %started = map { $_ => 1 } $server->log_text =~ /\(pid=(\d+)\): Starting worker/g;
is(join(' ', grep { 1 != ends($_) } sort keys %started), '', 'every worker that was started has one line about its end (' . keys(%started) . ')');

$server->announce(qr/PYD0601/, qr/PYD0611/, qr/PYD0210/, qr/PYD0228/, qr/PYD0203/);
$server->tolerate(qr/PYD0(?:602|603|604|608|610|631|633|634|635|650|805|806): /, qr/PYD10\d\d: /, qr/Traceback|'import' \(pid=\d+\): /);
finish();
