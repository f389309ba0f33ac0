# SPDX-License-Identifier: Apache-2.0
# Clients that go away: the application can know, its iterable is closed, the log stays quiet, capacity returns.
use PyDaemonTest;
use PyDaemonTest::Background;
use PyDaemonTest::Client;

my $server = start_server(ports => 2, conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess away threads=3
PyDaemonAlias / "@apps@/goes_away.py" group=away
<IfModule http2_module>
    Protocols h2 h2c http/1.1
</IfModule>
<VirtualHost 127.0.0.1:@port2@>
    Timeout 1
</VirtualHost>
END
my $number = 0;
my $h2 = PyDaemonTest::Build::mpm() ne 'prefork';

chmod 0777, $server->dir . '/htdocs' or die;
sub file { return $server->dir . '/htdocs/' . ++$number }
sub touch { open my $out, '>', $_[0] or die "$_[0]: $!"; close $out }
sub seen { my ($key) = @_; return curl($server->url("/seen?$key"))->{body} }
sub saw { # KEY, EXPECTED, NAME
    my ($key, $expected, $name) = @_;
    wait_for(sub { seen($key) eq $expected });
    is(seen($key), $expected, $name);
}

# More often than there are threads: each thread comes back.
for my $round (1 .. 4) {
    my $key = "waits$round";
    my $client = client($server->port, "GET /waits?$key HTTP/1.1\r\nHost: h\r\n\r\n");
    saw($key, 'begun', "round $round: begun");
    $client->abort;
    saw($key, 'begun, disconnected, closed', '... reset: disconnected() is true, and what was returned is closed');

    for my $path (qw(streams writes)) {
        $key = "$path$round";
        $client = client($server->port, "GET /$path?$key HTTP/1.1\r\nHost: h\r\n\r\n");
        ok(defined $client->expect(qr/xxx/), "round $round: $path sends");
        $round % 2 ? $client->abort : $client->close;
        saw($key, $path eq 'streams' ? 'begun, closed, generator closed' : 'begun, ConnectionResetError',
            $round % 2 ? '... reset' : '... closed');
    }
    $key = "reads$round";
    $client = client($server->port, "POST /reads?$key HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nxxxx");
    saw($key, 'begun', "round $round: reads the body");
    $round % 2 ? $client->abort : $client->close;
    wait_for(sub { seen($key) =~ /Error/ });
    like(seen($key), qr/^begun, (?:ConnectionResetError|OSError)$/, '... reset in mid-body');
}

# A client that stays, but does not read: httpd's Timeout.
my @deaf = map { client($server->port(2), "GET /streams?deaf$_ HTTP/1.1\r\nHost: h\r\n\r\n", receive_bytes => 4096) } 1 .. 2;
saw("deaf$_", 'begun, closed, generator closed', "client $_ does not read: ends with Timeout") for 1 .. 2;
$_->close for @deaf;

# Before the application begins, in the queue.
my @busy = map { my $file = file(); [ $file, client($server->port, "GET /answers?$file HTTP/1.1\r\nHost: h\r\n\r\n") ] } 1 .. 3;
ok(wait_for(sub { 3 == grep { -e "$_->[0].begun" } @busy }), 'all threads are busy');
my $queued = client($server->port, "GET /waits?queued HTTP/1.1\r\nHost: h\r\n\r\n");
ok($queued->silent(0.2), '... one request waits');
$queued->abort;
ok($server->wait_for_log(qr{\[pydaemon:info\].*client has gone before its response to GET /waits\?queued}), '... and goes away');
touch($_->[0]) for @busy;
is($_->[1]->response->{body}, 'answer', '... the others are answered') for @busy;
is(seen('queued'), '', '... the application has never seen it');

# A half-closed client still listens.
for my $round (1 .. 3) {
    my $file = file();
    my $client = client($server->port, "GET /answers?$file HTTP/1.1\r\nHost: h\r\n\r\n");
    $client->half_close;
    saw($file, 'begun', "half closed $round: begun");
    ok($client->silent(0.1), '... and waits');
    touch($file);
    my $answer = $client->response;
    is("$answer->{status} $answer->{body}", '200 answer', '... for its answer');
    saw($file, 'begun, connected, closed', '... nobody called it gone');
}

SKIP: {
    skip 'no HTTP/2 with prefork', 4 unless $h2;
    # One stream of a connection is reset by curl's timeout; and a whole connection.
    for my $path (qw(waits streams)) {
        my $key = "h2$path";
        curl($server->url("/$path?$key"), '--http2-prior-knowledge', '--max-time', 0.5, '--limit-rate', '100k');
        wait_for(sub { seen($key) =~ /closed/ });
        like(seen($key), $path eq 'waits' ? qr/^begun, disconnected, closed$/ : qr/closed/, "HTTP/2 $path: the client goes away");
    }
}

is(curl($server->url("/answers?$busy[0][0]"))->{body}, 'answer', 'all threads are there again') for 1 .. 3;
is(scalar(() = $server->log_text =~ /is ready after/g), 1, 'one worker has done all of it');
unlike($server->log_text, qr/PYD\d+/, 'nothing of it is an error');
finish();
