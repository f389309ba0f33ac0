# SPDX-License-Identifier: Apache-2.0
# request-timeout is the application's, not the client's: nobody causes a timeout by being slow.
use PyDaemonTest;
use PyDaemonTest::Background;
use PyDaemonTest::Client;
use Time::HiRes qw(time);

my $server = start_server(start => 0, conf => '');
my $dir = $server->dir;
mkdir "$dir/marks" and chmod 0777, "$dir/marks";
$server->write_conf(<<'CONF');
<Location />
    Require all granted
</Location>
SendBufferSize 8192
PyDaemonProcess slow threads=8 request-timeout=1 socket-timeout=20 shutdown-timeout=1
PyDaemonProcess gone request-timeout=1 graceful-timeout=1 shutdown-timeout=1
PyDaemonAlias /gone @apps@/overdue.py group=gone
PyDaemonProcess over request-timeout=1 graceful-timeout=20 shutdown-timeout=20
PyDaemonAlias /over @apps@/overdue.py group=over
PyDaemonAlias / @apps@/overdue.py group=slow
<IfModule http2_module>
    Protocols h2c http/1.1
</IfModule>
CONF
$server->start;
ok(wait_for(sub { 3 == (() = $server->log_text =~ /is ready after/g) }), 'the workers start');
my ($worker) = $server->workers('slow');
my $bytes = 40 * 65536;

# One byte at a time, for three times as long as the application may take.
sub trickle { # HEADER, TEXT...
    my ($header, @texts) = @_;
    my $client = client($server->port, "POST /?read=1 HTTP/1.1\r\nHost: h\r\n$header\r\n\r\n");
    for my $text (@texts) {
        $client->silent(3 / @texts) or last;
        $client->send($text);
    }
    return $client->response;
}

# Takes nothing for as long, then everything; or a little now and then.
sub take {
    my ($pauses) = @_;
    my $client = client($server->port, "GET /?head=0&send=40 HTTP/1.1\r\nHost: h\r\n\r\n", receive_bytes => 4096);
    my $socket = $client->{socket};
    for (1 .. $pauses) {
        select undef, undef, undef, 3 / $pauses;    # it is the client that is slow
        sysread $socket, $client->{buffer}, 20_000, length $client->{buffer};
    }
    my $response = $client->response(seconds => 20);
    return { complete => $response->{complete}, bytes => length $response->{body} };
}

my @waiting = (
    background(sub { trickle('Content-Length: 12', ('x') x 12) }),
    background(sub { trickle('Transfer-Encoding: chunked', ("1\r\nx\r\n") x 11, "0\r\n\r\n") }),
    background(sub { take(1) }),
    background(sub { take(12) }),
);
my $begin = time;
my @results = map { $_->result } @waiting;
cmp_ok(time - $begin, '>=', 2.9, 'all of them take their time');
is("$results[0]{status} $results[0]{body}", "200 $worker 12\n", 'a body byte by byte: 200');
is("$results[1]{status} $results[1]{body}", "200 $worker 11\n", '... also in chunks');
for (2, 3) {
    ok($results[$_]{complete}, 'a client that reads slowly gets its response');
    is($results[$_]{bytes}, 10 + $bytes + length("$worker 0\n"), '... all of it');
}

SKIP: {
    skip 'no HTTP/2 with prefork', 2 if PyDaemonTest::Build::mpm() eq 'prefork';
    my $up = background(sub {
        pipe my $in, my $out or die;
        my $pid = fork // die;
        if (!$pid) {
            close $in;
            for (1 .. 12) { select undef, undef, undef, 0.25; syswrite $out, 'x' }
            POSIX::_exit(0);
        }
        close $out;
        open STDIN, '<&', $in or die;
        return curl($server->url('/?read=1'), '--http2-prior-knowledge', '-X', 'POST', '-T', '-');
    });
    my $down = background(sub { curl($server->url('/?head=0&send=40'), '--http2-prior-knowledge', '--limit-rate', '800k') });
    is($up->result->{body}, "$worker 12\n", 'HTTP/2: a slow body');
    is(length $down->result->{body}, 10 + $bytes + length("$worker 0\n"), 'HTTP/2: a slow reader');
}

# What the application spends counts, whatever its client takes: slow in both, it is late.
my $client = client($server->port, "POST /?log=$dir/marks/both&read=1&wait=$dir/marks/never HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n");
ok(wait_for(sub { -e "$dir/marks/both" }), 'a request is being executed');
ok($client->silent(1.5), 'its client is slow');
my $sent = time;
$client->send('x');
is($client->response->{status}, 504, '... and then the application: 504');
cmp_ok(time - $sent, '>=', 0.4, '... after the rest of its own time');
my ($ran) = $server->log_text =~ /Request time limit exceeded .*both.* ran (\d+\.\d) s of 1 s/;
cmp_ok($ran // 99, '>=', 1, '... which is what is logged');
is(scalar(() = $server->log_text =~ /Request time limit exceeded/g), 1, '... of this one only');

# A client that takes nothing holds up httpd, not the application, which is late all the same. It is told when it listens.
my ($gone) = $server->workers('gone');
$client = client($server->port, "GET /gone?head=0&send=3&log=$dir/marks/gone&wait=$dir/marks/never HTTP/1.1\r\nHost: h\r\n\r\n",
    receive_bytes => 4096);
ok(wait_for(sub { -e "$dir/marks/gone" }), 'a response is on its way to a client that takes nothing');
ok($server->wait_for_log(qr/PYD0630: .*\(pid=$gone\): Request time limit exceeded/), '... the application is late');
ok(wait_for(sub { !PyDaemonTest::Process::lives($gone) }, 20), '... and its worker ended');
ok(!$client->response->{complete}, '... when the client takes what there is, it can tell that this is not all');
is(scalar(() = $server->log_text =~ /PYD0210|PYD0228.*gone/g), 0, '... nobody says it again');

# Even if the application comes to its end after all before the client listens.
my ($over) = $server->workers('over');
$client = client($server->port, "GET /over?head=0&send=3&log=$dir/marks/over&wait=$dir/marks/go HTTP/1.1\r\nHost: h\r\n\r\n",
    receive_bytes => 4096);
ok(wait_for(sub { -e "$dir/marks/over" }), 'another such response');
ok($server->wait_for_log(qr/PYD0630: .*\(pid=$over\): Request time limit exceeded/), '... its application is late');
$server->write_file('marks/go', '');
ok($server->wait_for_log(qr/\(pid=$over\): Worker 1 of 'over' ended: replaced/, 20), '... and done');
ok(!$client->response->{complete}, '... too late: the client can tell');
ok($server->wait_for_log(qr{GET /over\S* has exceeded request-timeout: response cut$}m), '... and so does the log');

$server->announce(qr/Request time limit exceeded/);
$server->tolerate(qr/PYD0[678]\d\d: /);
finish();
