# SPDX-License-Identifier: Apache-2.0
# 20 connections of wrk, and each second one request more that hangs: every one of those gets 504 at its deadline, no
# other request fails, and in the end the group is whole. For so long as the load tests run; a minute in CI.
use PyDaemonTest;
use PyDaemonTest::Background;
use PyDaemonTest::Hang;
use PyDaemonTest::Load;
use Time::HiRes qw(sleep time);

use constant { TIMEOUT => 3, PROCESSES => 3 };

my $seconds = $ENV{PYD_TEST_LOAD_SECONDS} || 8;
my $mpm = roomy_mpm(40);
my $server = start_server(log_level => 'info', conf => <<"END");
$mpm
MaxKeepAliveRequests 0
<Location />
    Require all granted
</Location>
PyDaemonProcess site processes=@{[PROCESSES]} threads=10 request-timeout=@{[TIMEOUT]} shutdown-timeout=1 env=STUCK_LIBRARY=\@dir\@/stuck.so
PyDaemonAlias / "\@apps\@/faults.py" group=site
END
stuck_library($server);
my ($port, $dir) = ($server->port, $server->dir . '/marks');
mkdir $dir and chmod 0777, $dir;
sub serving { return grep { PyDaemonTest::Process::lives($_) } ready_pids($server->log_text, 'site') }
ok(wait_for(sub { PROCESSES == serving() }, 20), 'ready');

# In Python, in C without the lock, two locks, in the middle of a response: what hangs, and leaves others alone.
my @ways = map { [ "/$_", $_ eq 'sends_and_hangs' ? '200 cut' : '504' ] } qw(sleep_in_python sleep_in_c deadlock sends_and_hangs);
my $load = start_load('fine.lua', $server->url('/fine'), $seconds, 20);
my ($began, @hung) = time;
for my $number (1 .. $seconds) {
    wait_for(sub { time >= $began + $number - 0.5 }) or last;
    my ($path, $wanted) = @{ $ways[ $number % @ways ] };
    push @hung, { path => "$path?number=$number&mark=$dir/$number", wanted => $wanted, mark => "$dir/$number", asked => time,
        request => ask($port, "$path?number=$number&mark=$dir/$number") };
}
my $result = finish_load($load);
my (@late_ms, @early);
for my $hung (@hung) {
    my $answer = $hung->{request}->result;
    my $mark = marked($hung->{mark}, 0) // { time => 0 };
    $hung->{got} = $answer->{status} . ($answer->{complete} || !$answer->{status} ? '' : ' cut');
    push @late_ms, 1000 * ($answer->{ended} - $mark->{time} - TIMEOUT);    # it leaves its mark a moment after it was handed over
    push @early, $hung->{path} if $answer->{ended} - $hung->{asked} < TIMEOUT;
}
is(join(', ', map { "$_->{path}: $_->{got}" } grep { $_->{got} ne $_->{wanted} } @hung), '', scalar(@hung) . ' requests hang, and end as they should');
@late_ms = sort { $a <=> $b } @late_ms;
my $late = sprintf 'after the deadline: median %.0f ms, 90 %% within %.0f ms, longest %.0f ms', map { $late_ms[ $_ * $#late_ms ] } 0.5, 0.9, 1;
is("@early", '', '... none before its time');
cmp_ok($late_ms[-1], '<', 1000 * PyDaemonTest::Build::slowness(), "... $late");

cmp_ok($result->{requests} // 0, '>', 20 * $seconds, "$result->{requests} other requests");
is($result->{bad_status} + $result->{status}, 0, '... each answered 200') or diag $result->{first_bad};
is($result->{$_}, 0, "... without a $_ error") for qw(connect read write timeout);

ok(wait_for(sub { PROCESSES == serving() && PROCESSES == $server->workers('site') }, 20), 'the group is whole, and nobody else is left');
my @limits = $server->log_text =~ /Request time limit exceeded in 'site'/g;
is(scalar(@limits), scalar(@hung), 'each is told of in the log, once');
my @dumps = dumps($server->log_text);
is(scalar(grep { !$_->{whole} } @dumps), 0, 'all dumps are whole (' . @dumps . ')');
# One that hangs in a worker that already goes is in no dump of its own; each worker has one.
my @replaced = $server->log_text =~ /\(pid=(\d+)\): Worker \d+ of 'site' ended: replaced because a request exceeded request-timeout/g;
my %dumped = map { $_->{pid} => 1 } @dumps;
is(join(' ', grep { !$dumped{$_} } @replaced), '', 'every worker that was replaced (' . @replaced . ') has left its stacks');
cmp_ok(lowest_capacity($server->log_text, 'site', PROCESSES), '>=', PROCESSES, 'and there were always enough of them');
my $numbers = sprintf '%d s: %d requests hung, %s; %d others, median %.1f ms, 99 %% within %.1f ms, longest %.0f ms; %d workers replaced',
    $seconds, scalar @hung, $late, map({ $_ } $result->{requests}, $result->{median_us} / 1000, $result->{p99_us} / 1000, $result->{longest_us} / 1000),
    scalar @replaced;
note $numbers;
print STDERR "$numbers\n" if $ENV{PYD_TEST_LOAD_SECONDS};

# A worker that is stopped, and one whose lock is taken for good: what they had not begun goes to others, at the price of
# some seconds.
for my $path ('stop', 'hold_the_gil') {
    $load = start_load('fine.lua', $server->url('/fine'), TIMEOUT + 3, 20);
    is(ask($port, "/$path?number=0&mark=$dir/$path")->result->{status}, 504, "$path: 504");
    $result = finish_load($load);
    is($result->{bad_status}, 0, "... none of $result->{requests} other requests fails") or diag $result->{first_bad};
    is($result->{$_}, 0, "... without a $_ error") for qw(connect read write timeout);
    ok(wait_for(sub { PROCESSES == serving() && PROCESSES == $server->workers('site') }, 20), '... and the group is whole');
}
my @processes = $server->workers;
ok($server->stop, 'nothing is left');
is(scalar(grep { PyDaemonTest::Process::lives($_) } @processes), 0, '... no worker, either');
$server->tolerate(qr/PYD0(?:228|630|610|611|631|650|604|612|805): /);
finish();
