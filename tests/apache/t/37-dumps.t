# SPDX-License-Identifier: Apache-2.0
# Stacks in the log: on SIGUSR2, of every kind of thread, and of a worker that crashes. They are numbered, bounded and
# whole, and a worker that is asked for them goes on as if nothing had been.
use PyDaemonTest;
use PyDaemonTest::Background;
use PyDaemonTest::Hang;
use Time::HiRes qw(time);

my $server = start_server(start => 0, conf => <<"END");
<Location />
    Require all granted
</Location>
PyDaemonProcess asked threads=8 @{[all_off()]}
PyDaemonAlias /asked "\@apps\@/faults.py" group=asked
PyDaemonProcess crowd threads=3 @{[all_off()]}
PyDaemonAlias /crowd "\@apps\@/faults.py" group=crowd
PyDaemonProcess frozen threads=3 @{[all_off('request-timeout' => 6, 'shutdown-timeout' => 1)]}
PyDaemonAlias /frozen "\@apps\@/faults.py" group=frozen
PyDaemonProcess crash threads=3 @{[all_off()]} env=STUCK_LIBRARY=\@dir\@/stuck.so
PyDaemonAlias /crash "\@apps\@/faults.py" group=crash
END
my ($port, $dir) = ($server->port, $server->dir . '/marks');
mkdir $dir and chmod 0777, $dir;
stuck_library($server);
$server->start;

sub ready { # GROUP: its worker
    my ($group) = @_;
    return wait_for(sub { (grep { PyDaemonTest::Process::lives($_) } ready_pids($server->log_text, $group))[0] }, 20);
}
sub one_dump { # CODE: the dump that it leads to, once it is complete
    my ($code) = @_;
    my $since = length $server->log_text;
    $code->();
    my ($dump) = wait_for(sub { my @dumps = dumps(substr $server->log_text, $since); @dumps && $dumps[0]{whole} ? @dumps : () }, 20)
        ? dumps(substr $server->log_text, $since) : ();
    return $dump // { lines => [], text => '', tier => '?', levels => {}, total => 0 };
}
sub stack { # DUMP, TID: the lines of one thread
    my ($dump, $tid) = @_;
    return $dump->{text} =~ /^(Thread $tid\b.*\n(?:(?:called from|native:|\.\.\.) .*\n)*)/m ? $1 : '';
}

# ---- SIGUSR2 --------------------------------------------------------------------------------------------------------
my $pid = ready('asked');
my $trickle = trickle($port, '/asked/fine', 1);
my %requests = (
    until => ask($port, "/asked/until?file=$dir/go&mark=$dir/until"),
    asyncio => ask($port, "/asked/asyncio_tasks?file=$dir/go&mark=$dir/asyncio"),
    sleep => ask($port, "/asked/sleep_in_c?seconds=600&mark=$dir/sleep"),
    pool => ask($port, "/asked/crowd?threads=12&file=$dir/go&mark=$dir/pool"),
);
my %mark = map { $_ => marked("$dir/$_") } keys %requests;
ok(wait_for(sub { my @tasks = glob "/proc/$pid/task/*"; @tasks >= 12 + 8 }), 'four requests, one of them with 12 threads');
sleep_until_they_wait($pid);
my $since = length $server->log_text;
my $dump = one_dump(sub { kill USR2 => $pid });
is($dump->{tier}, 'GIL', 'SIGUSR2: a dump');
is($dump->{pid}, $pid, '... of that worker');
is($dump->{lines}[0], 'Dumping stack trace for active Python threads.', '... begins as mod_wsgi\'s does');
is(join(' ', keys %{ $dump->{levels} }), 'error', '... at error');
like(stack($dump, $mark{until}{tid}), qr{^Thread $mark{until}{tid} \(pydaemon-\d+\) GET /asked/until\?\S* [\d.]+ s, executing file "[^"]*/faults\.py", line \d+, in until: time\.sleep\(0\.01\)
called from file "[^"]*/faults\.py", line \d+, in application: globals\(\)\[name\]\(query\)$}m, '... with its requests, and the source');
like(stack($dump, $mark{sleep}{tid}), qr/in sleep_in_c: ctypes\.CDLL\(None\)\.sleep/, '... those that are in C, too');
like($dump->{text}, qr{GET /asked/crowd\S* [\d.]+ s, executing }, '... all of them');
my @crowd = $dump->{text} =~ /in (?:crowd\.<locals>\.)?bottom: ended\.wait\(\)/g;
is(scalar(@crowd), 1, '... what 12 threads do is told once');
like($dump->{text}, qr/^(?:12|11) threads \((?:\d+(?:, )?)+(?:, \.\.\.)?\), same stack as thread \d+|^12 threads \(/m, '... and of whom it is told');
like($dump->{text}, qr/task.*\n?.*in (?:\S+\.)?wait_for_nothing/i, '... asyncio tasks are shown');
is(scalar(my @tasks = $dump->{text} =~ /^\d+ tasks \(|^Task '/mg) >= 1 ? 1 : 0, 1, '... by name');
my @threads = $dump->{text} =~ /native: \S*(?:epoll|futex)/g;
cmp_ok(scalar(@threads), '>=', 1, '... and threads that run no Python');

# Again, and again at once: the numbers differ, each is whole.
$since = length $server->log_text;
my $numbers = sub { map { $_->{number} } grep { $_->{whole} } dumps(substr $server->log_text, $since) };
for my $wanted (1 .. 3) {
    kill USR2 => $pid;
    ok(wait_for(sub { $wanted <= $numbers->() }), "dump $wanted");
}
is(scalar(keys %{ { map { $_ => 1 } $numbers->() } }), scalar($numbers->()), 'each has a number of its own');
my @urgent = grep { /\[pydaemon:(?:warn|error|crit)\]/ && !/\[dump \d+ \d+\/\d+\]$/ } split /\n/, $server->log_text;
is(join("\n", @urgent), '', 'nothing but dumps is urgent');
$server->write_file('marks/go', '');
is($requests{$_}->result->{status}, 200, "the request '$_' goes on to its end") for qw(until asyncio pool);
is(no_failure($trickle->end), '', 'all others, too');
is(ready('asked'), $pid, 'the worker is the same');

# ---- a request that has not begun -----------------------------------------------------------------------------------
$pid = ready('frozen');
PyDaemonTest::Process::halt($pid);
my ($began, @waits) = time;
$dump = one_dump(sub {
    push @waits, ask($port, '/frozen/fine?one');
    wait_for(sub { time - $began > 3 });
    push @waits, ask($port, '/frozen/fine?two');
});
is($waits[0]->result->{status}, 504, 'a worker that is stopped: 504');
like(($server->log_text =~ m{(PYD\d+: mod_pydaemon \(pid=$pid\): Request time limit exceeded in 'frozen'[^\n]*)})[0] // '',
    qr{GET /frozen/fine\?one ran 6\.\d s of 6 s .*not begun}, '... the log has it');
is($dump->{tier}, '/proc', '... the dump is what the kernel knows');
like($dump->{text}, qr{^Request GET /frozen/fine\?two [\d.]+ s \(request \S+, client 127\.0\.0\.1\): not begun}m, '... and what is not begun, either');
like($dump->{text}, qr/stopped/, '... and why');
ok($server->wait_for_log(qr/\(pid=$pid\): Worker \d+ of 'frozen' ended/, 20), '... the worker is replaced');
is($waits[1]->result->{status}, 200, '... and the next one serves who has waited');

# ---- a crowd, in deep stacks ----------------------------------------------------------------------------------------
$pid = ready('crowd');
my $crowd = ask($port, "/crowd/crowd?threads=60&depth=800&each=1&file=$dir/crowd-go&mark=$dir/crowd");
ok(marked("$dir/crowd"), '60 threads in recursions');
ok(wait_for(sub { my @tasks = glob "/proc/$pid/task/*"; @tasks >= 60 + 3 }, 30), '... are there');
sleep_until_they_wait($pid);
$dump = one_dump(sub { kill USR2 => $pid });
ok($dump->{whole}, '... the dump is whole');
cmp_ok($dump->{total}, '<=', 401, "... and has an end ($dump->{total} lines)");
like($dump->{text}, qr/left out/, '... it says that something was left out');
like((grep { /^Thread/ } @{ $dump->{lines} })[0] // '', qr{GET /crowd/crowd\?}, '... which is not the request: it comes first');
cmp_ok(length((sort { length $b <=> length $a } split /\n/, substr $server->log_text, $since)[0]), '<', 8192, '... no line is cut by httpd');
$server->write_file('marks/crowd-go', '');
is($crowd->result->{status}, 200, '... and it goes on to its end');
is(ready('crowd'), $pid, '... in the same worker');

# Until the crowd does nothing any more: no thread runs.
sub sleep_until_they_wait {
    my ($worker) = @_;
    return wait_for(sub { !grep { PyDaemonTest::Process::read_file("$_/stat") =~ /\) R/ } glob "/proc/$worker/task/*" }, 30);
}

# ---- crashes --------------------------------------------------------------------------------------------------------
for my $path (qw(segfault abort overflow_the_stack)) {
    $pid = ready('crash');
    my $beside = ask($port, "/crash/until?file=$dir/never&mark=$dir/beside-$path");
    my $tid = marked("$dir/beside-$path")->{tid};
    my $request;
    $dump = one_dump(sub { $request = ask($port, "/crash/$path?mark=$dir/$path") });
    is($request->result->{status}, 502, "$path: 502");
    is($dump->{tier} . ($dump->{pid} // ''), "crash$pid", '... the stacks of the worker are in the log');
    like($dump->{text}, qr/^Thread \d+ (?:\(\S+\) )?GET \/crash\/$path\S* [\d.]+ s, crashed, executing (?s:.*)in $path\b/m, '... of the thread that crashed');
    like(stack($dump, $tid), qr/GET \/crash\/until\S* [\d.]+ s, executing (?s:.*) in until\b/, '... and of others');
    ok($server->wait_for_log(qr/PYD0601: [^\n]*\(pid=$pid\): Worker \d+ of 'crash' ended: killed by signal/), '... and how it ended');
    is($beside->result->{status}, 502, '... with what it was executing');
}
# Signal 9 leaves nothing to tell.
$pid = ready('crash');
$since = length $server->log_text;
is(ask($port, '/crash/kill_itself?signal=9')->result->{status}, 502, 'SIGKILL: 502');
ok($server->wait_for_log(qr/\(pid=$pid\): Worker \d+ of 'crash' ended: killed by signal 9/), '... and how it ended');
is(scalar(dumps(substr $server->log_text, $since)), 0, '... without stacks');

$server->announce(qr/PYD0650/, qr/PYD0601/, qr/PYD0210/, qr/Request time limit exceeded/);
$server->tolerate(qr/PYD0(?:610|611|631|604|805): /);
finish();
