# SPDX-License-Identifier: Apache-2.0
# The manager may be killed or stopped at any moment: requests go on, its successor takes over.
use PyDaemonTest;
use PyDaemonTest::Background;

my $server = start_server(conf => <<'CONF');
<Location />
    Require all granted
</Location>
MaxKeepAliveRequests 0
PyDaemonProcess a processes=2 threads=4
PyDaemonAlias /a @apps@/fate.py group=a
PyDaemonProcess b processes=1 threads=2
PyDaemonAlias /b @apps@/fate.py group=b
CONF
my $dir = $server->dir;
mkdir "$dir/marks" and chmod 0777, "$dir/marks";

sub new_manager { # OLD: the pid of another one
    my ($old) = @_;
    my $found;
    wait_for(sub { ($found) = grep { $_ != $old } $server->managers; $found });
    return $found // 0;
}

# True when all workers are others than these, and as many as there should be.
sub replaced {
    my (@old) = @_;
    my %old = map { $_ => 1 } @old;
    return wait_for(sub { my @now = $server->workers; 3 == @now && !grep { $old{$_} } @now }, 15);
}

ok(wait_for(sub { 3 == (() = $server->log_text =~ /is ready after/g) }), 'workers start');

# Idle.
my ($manager) = $server->managers;
my @workers = $server->workers;
kill KILL => $manager;
is(scalar(grep { PyDaemonTest::Process::lives($_) } @workers), 3, 'killed: the workers live on');
is(curl($server->url('/a'))->{status}, 200, '... requests go on without a manager');
my $next = new_manager($manager);
ok($next, '... there is a new one');
ok($server->wait_for_log(qr/PYD0402: .*pid=$manager\).*ended unexpectedly \(killed by signal 9, Killed\)/), '... the log says so');
ok(replaced(@workers), '... the workers are replaced, one by one');
is(PyDaemonTest::Process::parent(($server->workers('b'))[0]), $next, '... by workers of the new manager');

# Under load, several times; GET and POST.
for my $round (1 .. 2) {
    my @loads = (load($server->port, '/a', 2), load($server->port, '/b', 1, method => 'POST'));
    ($manager) = $server->managers;
    @workers = $server->workers;
    kill KILL => $manager;
    ok(new_manager($manager), "under load, round $round: a new manager");
    ok(replaced(@workers), '... new workers');
    for my $load (@loads) {
        my $count = $load->end;
        is(join(' ', sort keys %$count), '200', "... and no failed request (@{[ %$count ]})");
    }
}

# A long request goes on through all of that, and its worker with it.
my $long = background(sub { curl($server->url("/b?mark=$dir/marks/long&wait=$dir/marks/go")) });
ok(wait_for(sub { -s "$dir/marks/long" }), 'a long request');
my $begun = PyDaemonTest::slurp("$dir/marks/long") + 0;
($manager) = $server->managers;
kill KILL => $manager;
ok(new_manager($manager), '... the manager is killed');
ok(wait_for(sub { 1 <= grep { $_ != $begun } $server->workers('b') }), '... there is a successor for its worker');
is(curl($server->url('/b'))->{status}, 200, '... which serves');
open my $go, '>', "$dir/marks/go" or die $!;
like($long->result->{body}, qr/^GET $begun 0$/, '... and the request ends well where it began');
ok(wait_for(sub { !PyDaemonTest::Process::lives($begun) }), '... then its worker goes');

# Nobody is there when a worker dies.
ok(wait_for(sub { 3 == $server->workers && 1 == $server->managers }), 'all are there');
$server->wait_for_log(qr/Worker \d of 'b' .*ended: retired/);
($manager) = $server->managers;
my ($victim) = $server->workers('b');
my $lost = background(sub { curl($server->url("/b?mark=$dir/marks/lost&wait=$dir/marks/never")) });
ok(wait_for(sub { -s "$dir/marks/lost" }), '... a request runs');
kill KILL => $manager, $victim;
is($lost->result->{status}, 502, 'manager and worker killed: 502 for what the worker had begun');
like($server->log_text, qr/PYD0210: worker pid=$victim .*GET \/b\?mark=\S*lost/, '... with a line in the log');
is(curl($server->url('/b'))->{status}, 200, '... the next request is served');
ok(new_manager($manager), '... there is a new manager');
ok($server->wait_for_log(qr/PYD0601: .*pid=$victim\).*ended: not known/), '... which says what it can about the end');

# Stopped, all goes on but what it would do.
ok(wait_for(sub { 3 == $server->workers }), 'all workers are there');
($manager) = $server->managers;
PyDaemonTest::Process::halt($manager);
my $load = load($server->port, '/a', 2);
is(curl($server->url('/b'))->{status}, 200, 'stopped: requests go on') for 1 .. 5;
kill CONT => $manager;
my $count = $load->end;
is(join(' ', sort keys %$count), '200', "... none fails (@{[ %$count ]})");
my ($leaves) = $server->workers('b');
kill TERM => $leaves;
ok($server->wait_for_log(qr/\(pid=$leaves\): Worker \d of 'b' ended: stopped as told/), '... going on, it does its work');

# Told to end by somebody who is not httpd: it stops its workers and goes; then everything is there again.
ok(wait_for(sub { 3 == $server->workers && 1 == $server->managers }), 'all are there');
for my $signal ('TERM', 'INT') {
    ($manager) = $server->managers;
    @workers = $server->workers;
    kill $signal => $manager;
    ok(new_manager($manager), "SIG$signal to the manager: there is a new one");
    ok($server->wait_for_log(qr/PYD0402: .*pid=$manager\).*sent it a SIGTERM or SIGINT/), '... the log says why');
    is(curl($server->url('/a'))->{status}, 200, '... requests are served');
    ok(replaced(@workers), '... by new workers');
}
($manager) = $server->managers;
kill $_ => $manager for qw(HUP USR1 USR2 WINCH PIPE ALRM);
is(curl($server->url('/a'))->{status}, 200, 'other signals: requests are served');
is_deeply([ $server->managers ], [$manager], '... and the manager lives');

unlike($server->log_text, qr/AH00488|long lost child/, 'httpd knows all its children');
$server->announce(qr/PYD0402/, qr/PYD0601/, qr/PYD0210/);
finish();
