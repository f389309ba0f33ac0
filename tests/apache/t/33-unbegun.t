# SPDX-License-Identifier: Apache-2.0
# A request that a worker does not begin goes to another one that would, and is executed once.
use PyDaemonTest;
use PyDaemonTest::Background;
use PyDaemonTest::Client;
use Time::HiRes qw(time);

my $slowness = PyDaemonTest::Build::slowness();
my $server = start_server(conf => <<'CONF');
<Location />
    Require all granted
</Location>
PyDaemonProcess two processes=2 threads=3 request-timeout=60 shutdown-timeout=1
PyDaemonAlias /two @apps@/overdue.py group=two
PyDaemonProcess race processes=2 threads=8 request-timeout=400ms deadlock-timeout=off shutdown-timeout=1
PyDaemonAlias /race @apps@/overdue.py group=race
PyDaemonProcess one processes=1 threads=2 request-timeout=60 shutdown-timeout=1
PyDaemonProcess busy processes=2 threads=2 queue-limit=1 request-timeout=60 deadlock-timeout=off shutdown-timeout=1
PyDaemonAlias /busy @apps@/overdue.py group=busy
PyDaemonAlias /one @apps@/overdue.py group=one
CONF
my $dir = $server->dir;
mkdir "$dir/marks" and chmod 0777, "$dir/marks";
my $number = 0;
sub get { # PATH: in the background; FILE tells how often it was executed
    my ($path) = @_;
    my $file = "$dir/marks/" . ++$number;
    my $request = background(sub { my $begin = time; my $answer = curl($server->url("$path?log=$file")); $answer->{took} = time - $begin; $answer });
    return { file => $file, request => $request };
}
sub executed { return [ split /\n/, PyDaemonTest::slurp($_[0]{file}) ] }
ok(wait_for(sub { 7 == (() = $server->log_text =~ /is ready after/g) }), 'all workers start');

# ---- another worker is free --------------------------------------------------------------------------------------------
for my $round (1, 2) {    # without connections, and with pooled ones
    my ($stopped, $lives) = $server->workers('two');
    ($stopped, $lives) = ($lives, $stopped) if $round == 2;
    PyDaemonTest::Process::halt($stopped);
    my @asked = map { get('/two') } 1 .. 3;
    my @answers = map { $_->{request}->result } @asked;
    is(join(' ', map { $_->{status} } @answers), '200 200 200', 'one of two workers is stopped: all are answered');
    is(scalar(grep { $_->{body} =~ /^$lives / } @answers), 3, '... by the other one');
    ok($server->wait_for_log(qr/worker pid=$stopped of 'two' has not begun GET \S+ within \d\.\d s: another one gets it/), '... some have gone to it');
    my @moved = grep { $_->{took} >= 1.9 } @answers;
    cmp_ok(scalar @moved, '>=', 1, '... after 2 s');
    is(scalar(grep { $_->{took} < 3.5 * $slowness } @answers), 3, '... soon');
    my $begin = time;
    is(curl($server->url('/two'))->{body}, "$lives 0\n", '... those that come now go there at once') for 1 .. 4;
    cmp_ok(time - $begin, '<', 2 * $slowness, '... without delay');
    kill CONT => $stopped;
    ok(wait_for(sub { curl($server->url('/two'))->{body} =~ /^$stopped / }, 20), 'when it goes on it gets requests again');
    is_deeply([ map { scalar @{ executed($_) } } @asked ], [ 1, 1, 1 ], '... and has executed nothing a second time');
}
is(scalar(() = $server->log_text =~ /PYD0(?:228|212|210)/g), 0, 'no error');

# ---- no other is free, or there is none ---------------------------------------------------------------------------------
my @workers = $server->workers('two');
PyDaemonTest::Process::halt($_) for @workers;
my @asked = map { get('/two') } 1 .. 2;
push @asked, get('/one');
my ($single) = $server->workers('one');
my $waits = client($server->port, "GET /one HTTP/1.1\r\nHost: h\r\n\r\n");
is($waits->response->{status}, 200, 'a group with one worker');
PyDaemonTest::Process::halt($single);
$waits->send("GET /one?log=$dir/marks/single HTTP/1.1\r\nHost: h\r\n\r\n");
ok($waits->silent(3.2), '... that is stopped: its request waits');
is(scalar(grep { $_->{request}->is_running } @asked[ 0, 1 ]), 2, 'both workers are stopped: requests wait');
kill CONT => @workers, $single;
is($waits->response->{body}, "$single 0\n", '... and is answered when it goes on');
is(join(' ', map { $_->{request}->result->{status} } @asked), '200 200 200', '... are answered when they go on');
is_deeply([ map { scalar @{ executed($_) } } @asked ], [ 1, 1, 1 ], '... once');

# ---- all threads of the other are taken -----------------------------------------------------------------------------------
my ($stopped, $lives) = $server->workers('busy');
PyDaemonTest::Process::halt($stopped);
my @busy = map {
    my $file = "$dir/marks/" . ++$number;
    { file => $file, client => client($server->port, "GET /busy?log=$file&wait=$dir/marks/go HTTP/1.1\r\nHost: h\r\n\r\n") }
} 1 .. 4;
ok(wait_for(sub { 2 == grep { -e $_->{file} } @busy }), 'one of two workers is stopped, the other one is busy');
ok($server->wait_for_log(qr/worker pid=$stopped of 'busy' has not begun/), '... a request waits for that one rather than for ever');
my $more = client($server->port, "GET /busy HTTP/1.1\r\nHost: h\r\n\r\n")->response;
is($more->{status}, 503, '... the next one finds the queue full, and is not given to who is stopped');
is(scalar(grep { $_->{client}{ended} || $_->{client}->fill(0) } @busy), 0, '... which is no reason to refuse those who have waited');
$server->write_file('marks/go', '');
$_->{answer} = $_->{client}->response(seconds => 20) for @busy;
is(join(' ', map { $_->{answer}{status} } @busy), '200 200 200 200', 'a thread is free: all are answered');
is(scalar(grep { $_->{answer}{body} =~ /^$lives / } @busy), 4, '... by the one that lives');
is_deeply([ map { scalar @{ executed($_) } } @busy ], [ 1, 1, 1, 1 ], '... once');
kill CONT => $stopped;

# ---- the worker goes on just then ---------------------------------------------------------------------------------------
# After half of request-timeout, here 0.2 s, requests are taken back; the worker goes on at about that moment.
@asked = ();
for my $round (1 .. 24) {
    my ($stopped) = ($server->workers('race'))[ $round % 2 ] // next;
    my @clients;
    PyDaemonTest::Process::halt($stopped);
    for (1 .. 4) {
        my $file = "$dir/marks/" . ++$number;
        push @clients, { file => $file, client => client($server->port, "GET /race?log=$file HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n") };
    }
    $clients[0]{client}->silent(0.17 + 0.003 * $round);    # the moment is what is tried
    kill CONT => $stopped;
    $_->{status} = $_->{client}->response->{status} for @clients;
    push @asked, @clients;
}
my %count;
$count{$_->{status}}++ for @asked;
note(join ', ', map { "$_: $count{$_}" } sort keys %count);
cmp_ok($count{200} // 0, '>', @asked / 2, 'a worker that goes on when its requests are taken back: most are answered');
is(scalar(grep { $_->{status} == 200 && @{ executed($_) } != 1 } @asked), 0, '... and have been executed once');
is(scalar(grep { $_->{status} !~ /^(?:200|504)$/ } @asked), 0, '... the others got 504 in time');
is(scalar(grep { @{ executed($_) } > 1 } @asked), 0, '... none was executed twice');

$server->announce(qr/PYD0201: .*busy/);
$server->tolerate(qr/PYD0228: .*race/, qr/PYD0[678]\d\d: /);
$server->tolerate(qr/AH00161|AH00484/);    # each waiting request takes a process of mpm_prefork
finish();
