# SPDX-License-Identifier: Apache-2.0
# Bodies that cannot be had: too large, malformed, too slow, cut. The client is told, the log stays quiet.
use PyDaemonTest;
use PyDaemonTest::Client;

my $server = start_server(ports => 2, conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess body threads=4
PyDaemonAlias / "@apps@/reads_late.py" group=body
<Location /small>
    LimitRequestBody 1000
</Location>
<IfModule http2_module>
    Protocols h2c http/1.1
</IfModule>
<VirtualHost 127.0.0.1:@port2@>
    Timeout 1
    RequestReadTimeout header=0 body=1
</VirtualHost>
END
my @ways = (
    # name, query, what the application makes of it
    [ 'reads all' => 'read=0' ],
    [ 'reads by pieces' => 'read=10&read=100&read=0' ],
    [ 'catches the exception' => 'catch=1&read=0&read=0' ],
);
my $chunk = sprintf "%x\r\n%s\r\n", 100, 'x' x 100;

sub post { # PATH, HEAD, BODY
    my ($path, $head, $body, $port) = @_;
    return client($port // $server->port, "POST $path HTTP/1.1\r\nHost: h\r\n$head\r\n\r\n$body");
}

sub check { # NAME, client, STATUS: answered so, then closed
    my ($name, $client, $status) = @_;
    my $answer = $client->response;
    is($answer->{status}, $status, "$name: $status");
    ok($answer->{complete}, '... completely');
    unlike($answer->{body}, qr/^got /, '... not by the application');
    ok(defined $client->rest, '... and the connection is closed');
}

for my $way (@ways) {
    my ($name, $query) = @$way;
    # LimitRequestBody
    check("$name, Content-Length too large", post("/small?$query", 'Content-Length: 1001', 'x' x 1001), 413);
    check("$name, chunks too large", post("/small?$query", 'Transfer-Encoding: chunked', ($chunk x 20) . "0\r\n\r\n"), 413);
    is(post("/small?$query", 'Content-Length: 1000', 'x' x 1000)->response->{status}, 200, "$name, the limit: allowed");
    # bad chunks
    check("$name, no chunk at all", post("/?$query", 'Transfer-Encoding: chunked', "zzz\r\n"), 400);
    check("$name, then a bad chunk", post("/?$query", 'Transfer-Encoding: chunked', $chunk x 2 . "zzz\r\n"), 400);
    check("$name, a chunk too long", post("/?$query", 'Transfer-Encoding: chunked', "2\r\nabcd\r\n0\r\n\r\n"), 400);
    check("$name, a chunk of a size nobody has", post("/?$query", 'Transfer-Encoding: chunked', "fffffffffffffffff\r\n"), 413);
    # cut by a client that still listens
    my $client = post("/?$query", 'Content-Length: 1000', 'x' x 10);
    $client->half_close;
    check("$name, Content-Length not reached", $client, 400);
    $client = post("/?$query", 'Transfer-Encoding: chunked', $chunk);
    $client->half_close;
    check("$name, chunks without an end", $client, 400);
    # slow
    check("$name, too slow", post("/?$query", 'Content-Length: 1000', 'x' x 10, $server->port(2)), 408);
    check("$name, too slow chunks", post("/?$query", 'Transfer-Encoding: chunked', $chunk, $server->port(2)), 408);
}
SKIP: {
    skip 'no HTTP/2 with prefork', 3 if PyDaemonTest::Build::mpm() eq 'prefork';
    for my $way (@ways) {
        my $answer;
        # curl 7.88 takes the reset without error that mod_http2 sends behind such an answer for an error, at times.
        for (1 .. 20) {
            $answer = curl($server->url("/small?$way->[1]"), '--http2-prior-knowledge', '--max-time', 5, '-d', 'x' x 1001);
            last if $answer->{status};
        }
        is($answer->{status}, 413, "$way->[0], HTTP/2: 413");
    }
}

# What httpd itself refuses never reaches an application.
for my $head ("Content-Length: 5\r\nContent-Length: 6", 'Content-Length: -1', 'Content-Length: five',
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nX: y", 'Transfer-Encoding: gzip', 'Transfer-Encoding: chunked, gzip')
{
    my $answer = post('/?read=0', $head, "0\r\n\r\n")->response;
    like($answer->{status}, $head =~ /X: y/ ? qr/^(?:200|400)$/ : qr/^(?:400|501)$/,
        $head =~ s/\r\n/, /gr . ": $answer->{status}");
}

# The response had begun: it is cut, never ended as if it were whole, however the body went wrong.
my %begun = (
    'bad chunk' => post('/?start=1&read=0', 'Transfer-Encoding: chunked', "${chunk}zzz\r\n"),
    'too large' => post('/small?start=1&read=0', 'Transfer-Encoding: chunked', ($chunk x 20) . "0\r\n\r\n"),
    'too slow' => post('/?start=1&read=0', 'Content-Length: 1000', 'x' x 10, $server->port(2)),
    'half closed' => post('/?start=1&read=0', 'Content-Length: 1000', 'x' x 10),
    'half closed chunks' => post('/?start=1&read=0', 'Transfer-Encoding: chunked', $chunk),
);
$begun{'HTTP/1.0, half closed'} = client($server->port, "POST /?start=1&read=0 HTTP/1.0\r\nContent-Length: 1000\r\n\r\nx");
$begun{$_}->half_close for grep { /half/ } keys %begun;
for my $name (sort keys %begun) {
    my $answer = $begun{$name}->response;
    is("$answer->{status} $answer->{body}", '200 begun ', "$name: the response had begun");
    ok(!$answer->{complete}, '... and is cut');
}

is(curl($server->url('/?read=0'), '-d', 'fine')->{body}, 'got fine', 'the worker serves on');
is(scalar(() = $server->log_text =~ /is ready after/g), 1, '... it is the same one');
finish();
