# SPDX-License-Identifier: Apache-2.0
# request-timeout after the response has begun: no client may take what it got for the whole.
use PyDaemonTest;
use PyDaemonTest::Client;
use Time::HiRes qw(time);

my $slowness = PyDaemonTest::Build::slowness();
my $server = start_server(conf => <<'CONF');
<Location />
    Require all granted
</Location>
PyDaemonProcess cut threads=8 request-timeout=2 graceful-timeout=5 shutdown-timeout=1
PyDaemonProcess babble threads=1 request-timeout=1 graceful-timeout=1 shutdown-timeout=1
PyDaemonAlias /babble @apps@/overdue.py group=babble
PyDaemonProcess lies threads=2 request-timeout=1 graceful-timeout=1 shutdown-timeout=1
PyDaemonAlias /lies @apps@/overdue.py group=lies
PyDaemonProcess hushes threads=2 request-timeout=1 graceful-timeout=1 shutdown-timeout=1
PyDaemonAlias /hushes @apps@/overdue.py group=hushes
PyDaemonAlias / @apps@/overdue.py group=cut
PyDaemonErrorOverride On
ErrorDocument 504 "our own page"
<IfModule http2_module>
    Protocols h2c http/1.1
</IfModule>
CONF
my $dir = $server->dir;
mkdir "$dir/marks" and chmod 0777, "$dir/marks";
my $never = "$dir/marks/never";
ok(wait_for(sub { 4 == (() = $server->log_text =~ /is ready after/g) }), 'the workers start');
my $cuts = 0;

sub late { # HEAD, CURL-OPTION...: sends its head, 10 bytes, and no more
    my ($head, @options) = @_;
    ++$cuts;
    my $begin = time;
    my $answer = curl($server->url("/?head=$head&wait=$never"), @options);
    my $took = time - $begin;
    cmp_ok($took, ">=", 2, "late after the head (Content-Length: $head @options)");
    cmp_ok($took, "<", 2 + 3 * $slowness, '... soon');
    is($answer->{status}, 200, '... whose status has been sent');
    is($answer->{body}, '0123456789', '... with what there was of the body');
    return $answer;
}

is(late(0)->{exit}, 18, '... chunked: the client sees that it is cut');
is(late(1000)->{exit}, 18, '... Content-Length: so it does');
SKIP: {
    skip 'no HTTP/2 with prefork', 10 if PyDaemonTest::Build::mpm() eq 'prefork';
    is(late($_, '--http2-prior-knowledge')->{exit}, 92, '... HTTP/2: the stream is reset') for 0, 1000;
}

# Where nothing says where it ends but the connection, that is reset.
my $old = client($server->port, "GET /?head=0&wait=$never HTTP/1.0\r\n\r\n");
my $answer = $old->response(seconds => 20);
++$cuts;
is($answer->{body}, '0123456789', 'HTTP/1.0: what there was');
ok($old->was_reset, '... and a reset');

# Nothing follows on that connection, nor a last chunk.
my $all = client($server->port, "GET /?head=0&wait=$never HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")->rest(20);
++$cuts;
is(scalar(() = $all =~ m{^HTTP/1\.1 }gm), 1, 'pipelined: one response, then the end');
unlike($all, qr/^0\r\n/m, '... and no last chunk');

# A worker that never stops sending to a client that takes it all does not win by that.
my $begin = time;
my $socket = raw_connection($server->port);
print $socket "GET /?flood=1 HTTP/1.1\r\nHost: h\r\n\r\n";
my ($count, $end) = (0, '');
while (my $got = sysread $socket, my $piece, 1 << 20) {
    $count += $got;
    $end = substr "$end$piece", -5;
}
++$cuts;
cmp_ok($count, '>', 65536, 'a flood is sent');
isnt($end, "0\r\n\r\n", '... and cut');
cmp_ok(time - $begin, "<", 2 + 10 * $slowness, '... soon');

# Nor one that is faster than httpd can read.
$begin = time;
is(curl($server->url('/babble?babble=1'), '--max-time', 30)->{status}, 504, 'a flood of frames without end: 504');
cmp_ok(time - $begin, '<', 1 + 3 * $slowness, '... soon');

# Nor one that says that it has ended the request, and goes on: what may still be on its way has come soon.
$begin = time;
is(curl($server->url('/lies?lie=ended&drip=150'))->{exit}, 18, 'ended, as it says, but never done: cut');
cmp_ok(time - $begin, '<', 2 + 3 * $slowness, '... soon');
++$cuts;
$begin = time;
is(curl($server->url("/hushes?lie=ended&wait=$never"))->{status}, 504, 'the same in silence: 504');
cmp_ok(time - $begin, '<', 2 + 3 * $slowness, '... soon');

# A response that was held back has not begun.
$answer = curl($server->url("/?fail=1&wait=$never"));
is($answer->{status}, 504, 'late before an ErrorDocument could replace its 503: 504');
is($answer->{body}, 'our own page', '... with its own page');

# On a host that stalls the manager may be the first to see it (PYD0630).
my $lines = () = $server->log_text =~ /Request time limit exceeded/g;
is($lines, $cuts + 3, "each of $cuts and three logged in one line");
is(scalar(() = $server->log_text =~ /\[pydaemon:info\] [^\n]*GET \S+ has exceeded request-timeout: response cut$/mg), $cuts,
    '... and in another one what became of it');
$server->announce(qr/PYD0228/);
$server->tolerate(qr/PYD0[678]\d\d: /);
finish();
