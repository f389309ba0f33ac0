# SPDX-License-Identifier: Apache-2.0
# A worker that dies: its request gets 502 and one line that names the cause, others go on, it is replaced.
use PyDaemonTest;
use PyDaemonTest::Background;

my $server = start_server(conf => <<'CONF');
<Location />
    Require all granted
</Location>
PyDaemonProcess fate processes=1 threads=4
PyDaemonAlias /fate @apps@/fate.py group=fate
PyDaemonProcess other processes=1 threads=2
PyDaemonAlias / @apps@/fate.py group=other
CONF

ok($server->wait_for_log(qr/Worker 1 of 'other' is ready/), 'both groups start');
my $other = curl($server->url('/'))->{body};

my %fates = (
    # what the application does => what the log says: of httpd, of the manager
    'signal=9' => qr/killed by signal 9 \(Killed\)/,
    'signal=11' => qr/killed by signal 11 \(Segmentation fault\)/,
    'signal=6' => qr/killed by signal 6 \(Aborted\)/,
    'abort=1' => qr/killed by signal 6 \(Aborted\)/,
    'exit=3' => qr/exited with status 3/,
    'exit=0' => qr/exited with status 0/,
);

for my $fate (sort keys %fates) {
    my $cause = $fates{$fate};
    my $before = length $server->log_text;
    my ($pid) = curl($server->url('/fate'))->{body} =~ /^GET (\d+) 0$/;
    ok($pid, "$fate: a worker serves");

    my $answer = curl($server->url("/fate/$pid?$fate"));
    is($answer->{status}, 502, '... its request gets 502');
    ok(!PyDaemonTest::Process::lives($pid), '... the worker is gone');

    $server->wait_for_log(qr/Worker \d+ of 'fate' ended: [^\n]*$pid\?/, 3);
    my @lines = split /\n/, substr $server->log_text, $before;
    my @httpd = grep { /PYD0210: .*pid=$pid\b/ } @lines;
    is(scalar @httpd, 1, '... httpd logs it in one line');
    like($httpd[0], $cause, '... with the cause');
    like($httpd[0], qr{GET /fate/$pid\?\Q$fate\E}, '... and the request');
    like($httpd[0], qr/\[client 127\.0\.0\.1:\d+\]/, '... and the client');
    my @manager = grep { /PYD0601: .*pid=$pid\b/ } @lines;
    is(scalar @manager, 1, '... the manager logs it in one line');
    like($manager[0], $cause, '... with the cause');
    like($manager[0], qr{in flight: GET /fate/$pid\?\Q$fate\E}, '... and the request');

    my $next = curl($server->url('/fate'), '--max-time', 10);
    is($next->{status}, 200, '... it is replaced');
    unlike($next->{body}, qr/^GET $pid /, '... by another process');
}

# sys.exit() is an exception like others: it ends the request, not the process with its other requests.
my ($pid) = curl($server->url('/fate'))->{body} =~ /^GET (\d+)/;
is(curl($server->url('/fate?sysexit=0'))->{status}, 500, 'sys.exit(0): 500');
like(curl($server->url('/fate'))->{body}, qr/^GET $pid /, '... and the worker lives on');
like($server->log_text, qr/SystemExit/, '... the log has the traceback');

# Several requests at once die together, each with its line; and the manager's line names them all.
my $dir = $server->dir;
mkdir "$dir/marks" and chmod 0777, "$dir/marks";
my @requests = map { my $n = $_; background(sub { curl($server->url("/fate/$n?mark=$dir/marks/$n&wait=$dir/marks/never")) }) } 1 .. 3;
ok(wait_for(sub { 3 == grep { -e "$dir/marks/$_" } 1 .. 3 }), 'three requests at once');
kill KILL => $pid;
is($_->result->{status}, 502, '... 502 for each') for @requests;
ok($server->wait_for_log(qr/PYD0601: .*pid=$pid\)[^\n]*in flight: (?=[^\n]*fate\/1)(?=[^\n]*fate\/2)[^\n]*fate\/3/),
    '... all three named in one line');

# A process that the application has forked holds the worker's connections open; the death is seen all the same.
($pid) = curl($server->url('/fate'))->{body} =~ /^GET (\d+)/;
is(curl($server->url('/fate?fork=1&signal=9'), '--max-time', 5)->{status}, 502, 'a child of the worker lives on: 502 nevertheless');
like($server->log_text, qr/PYD0210: worker pid=$pid of 'fate' was killed by signal 9/, '... with the cause');
is(curl($server->url('/fate'), '--max-time', 5)->{status}, 200, '... and it is replaced');
kill KILL => grep { PyDaemonTest::Process::parent($_) != ($server->managers)[0] } $server->workers;

# Nobody else noticed.
is(curl($server->url('/'))->{body}, $other, 'the worker of the other group is still the same');

$server->announce(qr/PYD0210/, qr/PYD0601/, qr/PYD0214/, qr/PYD0650/);
$server->tolerate(qr/\[client [^\]]*\] (?:Traceback|  |SystemExit: 0)/);
finish();
