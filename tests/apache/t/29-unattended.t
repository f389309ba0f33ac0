# SPDX-License-Identifier: Apache-2.0
# A worker dies and nobody takes notice: the manager is stopped, or it and httpd's parent are dead. No request hangs.
use PyDaemonTest;
use PyDaemonTest::Background;
use Time::HiRes qw(time);

my $server = start_server(conf => <<'CONF');
<Location />
    Require all granted
</Location>
PyDaemonProcess one queue-timeout=3s
PyDaemonAlias /one @apps@/fate.py group=one
PyDaemonProcess two processes=2 threads=2 queue-timeout=3s
PyDaemonAlias /two @apps@/fate.py group=two
CONF
my $dir = $server->dir;
mkdir "$dir/marks" and chmod 0777, "$dir/marks";
my $patience = 12 * PyDaemonTest::Build::slowness();

sub ready { return wait_for(sub { 3 == $server->workers && 1 == $server->managers
    && curl($server->url('/one'))->{status} == 200 && curl($server->url('/two'))->{status} == 200 }, 20) }

# A request that runs in a worker of the group: the request, and the worker's pid.
sub running {
    my ($group, $name, $steps) = @_;
    my $request = background(sub { curl($server->url("/$group?" . ($steps // '') . "mark=$dir/marks/$name&wait=$dir/marks/never")) });
    wait_for(sub { -s "$dir/marks/$name" }) or die "$name does not begin\n";
    return ($request, PyDaemonTest::slurp("$dir/marks/$name") + 0);
}

sub resume { # the manager goes on: everything is as before
    my ($manager, @dead) = @_;
    kill CONT => $manager;
    for my $pid (@dead) {
        ok($server->wait_for_log(qr/PYD0601: .*pid=$pid\): Worker \d of '\w+' ended: killed by signal 9/),
            "... going on, it sees that worker $pid has died");
    }
    ok(ready(), '... and replaces what has died');
}

ok(ready(), 'serves');

# The only worker.
my ($manager) = $server->managers;
my ($request, $worker) = running('one', 'a');
PyDaemonTest::Process::halt($manager);
kill KILL => $worker;
my $began = time;
is($request->result->{status}, 502, 'manager stopped, worker killed: 502 for what it had begun');
like($server->log_text, qr/PYD0210: worker pid=$worker of 'one' ended; the cause is not known while it executed/, '... the log says so');
for (1 .. 2) {
    my $answer = curl($server->url('/one'));
    is($answer->{status}, 503, '... 503 for a new request');
    ok($answer->{headers}{'retry-after'}, '... with Retry-After');
}
ok(time - $began < $patience, '... before long');
like($server->log_text, qr/PYD0202: .*'one' .*worker pid=$worker has ended, and manager pid=$manager has not replaced it\)/,
    '... the log says why');
my $waits = background(sub { curl($server->url('/one'), '-H', 'X-Waits: 1') });
resume($manager, $worker);
like($waits->result->{status}, qr/^(?:200|503)$/, '... a request that waited meanwhile gets an answer');

# Its connections stay open in a process that the application has forked: there is no EOF.
($manager) = $server->managers;
($request, $worker) = running('one', 'b', 'fork=1&');
my ($left) = grep { $_ != $worker } grep { PyDaemonTest::Process::parent($_) == $worker } $server->workers('one');
PyDaemonTest::Process::halt($manager);
kill KILL => $worker;
is($request->result->{status}, 502, '... the same where a forked process keeps the connection open');
is(curl($server->url('/one'))->{status}, 503, '... and for a new request');
ok($left, '... the forked process lives');
kill KILL => $left;
resume($manager, $worker);

# One of two workers: the other one does all the work, also when it is busier than the one that is dead.
($manager) = $server->managers;
my ($busy, $other) = running('two', 'c');
($request, $worker) = running('two', 'd');
isnt($worker, $other, 'a busy worker, and another one');
PyDaemonTest::Process::halt($manager);
kill KILL => $worker;
is($request->result->{status}, 502, '... killed: 502 for what it had begun');
$began = time;
my @answers = map { curl($server->url('/two')) } 1 .. 40;
is(join(' ', map { $_->{status} } grep { $_->{status} != 200 } @answers), '', '... the other worker serves all new requests');
is(join(' ', grep { !/^GET $other / } map { $_->{body} } @answers), '', '... indeed');
ok(time - $began < $patience, '... and each httpd process waits only once for the dead one') or diag time - $began;
ok($busy->is_running, '... while it is busy');
open my $go, '>', "$dir/marks/never" or die $!;
is($busy->result->{status}, 200, '... the request that made it busy ends well');
unlink "$dir/marks/never";

# Both.
kill KILL => $other;
is(curl($server->url('/two'))->{status}, 503, '... killed as well: 503');
resume($manager, $worker, $other);

# The manager and httpd's parent are dead: httpd's children are all there is.
($manager) = $server->managers;
my $parent = $server->pid;
($request, $worker) = running('one', 'f');
my ($second) = $server->workers('two');
kill KILL => $parent, $manager;
ok(wait_for(sub { !PyDaemonTest::Process::lives($parent) && !PyDaemonTest::Process::lives($manager) }), 'parent and manager killed');
kill KILL => $worker, $second;
is($request->result->{status}, 502, '... and a worker: 502');
is(curl($server->url('/one'))->{status}, 503, '... 503 for a new request');
is(join(' ', grep { $_ != 200 } map { curl($server->url('/two'))->{status} } 1 .. 20), '', '... another group goes on with a worker less');
kill KILL => $server->processes;
ok(wait_for(sub { !$server->processes }), 'the rest is ended');

$server->announce(qr/PYD0210/, qr/PYD0202/, qr/PYD0601/);
finish();
