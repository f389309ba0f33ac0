# SPDX-License-Identifier: Apache-2.0
# Bodies nobody reads, and "Expect: 100-continue": the answer comes at once, 100 only if somebody reads.
use PyDaemonTest;
use PyDaemonTest::Client;
use PyDaemonTest::Background;

my $server = start_server(conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess body threads=4
PyDaemonProcess fate
PyDaemonAlias /fate "@apps@/fate.py" group=fate
PyDaemonAlias / "@apps@/reads_late.py" group=body
<Location /small>
    LimitRequestBody 1000
</Location>
<IfModule http2_module>
    Protocols h2c http/1.1
</IfModule>
END
my $marks = $server->dir . '/htdocs/mark';
chmod 0777, $server->dir . '/htdocs' or die;
my $next = "GET /?x HTTP/1.1\r\nHost: h\r\n\r\n";

sub post { # PATH, HEAD, BODY
    my ($path, $head, $body) = @_;
    return client($server->port, "POST $path HTTP/1.1\r\nHost: h\r\n$head\r\n\r\n$body");
}

# ---- Expect: 100-continue -------------------------------------------------------------------------------------------
for my $head ("Content-Length: 4", "Content-Length: 400000", 'Transfer-Encoding: chunked') {
    my ($size) = $head =~ /(\d+)/;
    my $body = $size ? 'x' x $size : "4\r\nxxxx\r\n0\r\n\r\n";
    my $file = $server->dir . '/htdocs/' . ($size // 'chunked');
    my $client = post("/?wait=$file&read=0", "$head\r\nExpect: 100-continue", '');
    ok($client->silent(0.3), "$head: no 100 before the application reads");
    open my $out, '>', $file or die;
    close $out;
    is($client->response->{status}, 100, '... 100 when it does');
    $client->send($body);
    my $answer = $client->response;
    is("$answer->{status} " . substr($answer->{body}, 0, 8), '200 got xxxx', '... then the answer');
    $client->send($next);
    is($client->response->{body}, 'got ', '... and the connection goes on');

    for my $status ('200 OK', '403 Forbidden', '204 No Content', '304 Not Modified') {
        $client = post("/?status=$status" =~ s/ /%20/gr, "$head\r\nExpect: 100-continue", '');
        $answer = $client->response;
        is($answer->{status}, substr($status, 0, 3), "$head, not read: $status without 100");
        ok(defined $client->rest, '... and the connection is closed');
    }
    # A client that does not wait for 100.
    $client = post('/?read=0', "$head\r\nExpect: 100-continue", $body);
    my $first = $client->response;
    $first = $client->response if $first->{status} == 100;
    like($first->{body}, qr/^got xxxx/, "$head, the client does not wait: answered");
}
is(post('/small?read=0', "Content-Length: 1001\r\nExpect: 100-continue", '')->response->{status}, 413, 'too large: 413 without 100');
is(post('/?read=0', "Content-Length: 4\r\nExpect: something", 'xxxx')->response->{status}, 417, 'another expectation: 417');
my $old = client($server->port, "POST /?read=0 HTTP/1.0\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nxxxx")->response;
is("$old->{status} $old->{body}", '200 got xxxx', 'HTTP/1.0 gets no 100');
is(curl($server->url('/?read=0'), '-H', 'Expect: 100-continue', '-d', 'via curl')->{body}, 'got via curl', 'curl waits for 100');

# ---- not read -------------------------------------------------------------------------------------------------------
for my $case ([ small => "Content-Length: 4", 'xxxx', 'xxxx' ], [ large => "Content-Length: 10000000", 'x' x 1000, 'x' x 9_999_000 ],
    [ chunked => 'Transfer-Encoding: chunked', "4\r\nxxxx\r\n", "0\r\n\r\n" ])
{
    my ($name, $head, $part, $rest) = @$case;
    for my $query ('x', 'status=403%20Forbidden', 'read=2', 'status=204%20No') {
        next if $name eq 'large' && $query =~ /read/;
        my $client = post("/?$query", $head, $name eq 'small' ? '' : $part);
        $client->send('xxxx') if $query =~ /read/ && $name eq 'small';
        my $answer = $client->response(seconds => 5);
        like($answer->{status}, qr/^20[04]|403/, "$name, $query: answered without the rest of the body");
        ok($answer->{complete}, '... completely');
        $client->send($rest) unless $query =~ /read/ && $name eq 'small';
        $client->send($next);
        my $then = $client->response;
        # Either httpd read and dropped the body, or it closed; it must not take the body for a request.
        like($then->{status}, qr/^(?:200|0)$/, '... then the next response or the end: ' . ($then->{status} || 'end'));
    }
}

# The worker dies while the client has not sent all: the answer does not wait for it.
for my $query ("mark=$marks&wait=$marks.never", "mark=$marks") {
    unlink $marks;
    my $client = client($server->port, "POST /fate?$query HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nxxx");
    ok(wait_for(sub { -s $marks }), 'a request with a body that does not come');
    kill KILL => PyDaemonTest::slurp($marks);
    my $answer = $client->response(seconds => 5);
    is($answer->{status}, 502, $query =~ /wait/ ? '... which nobody reads: 502' : '... which the worker reads: 502');
    ok($answer->{complete}, '... completely');
}
$server->announce(qr/PYD0210/, qr/PYD0601/);

# A client that sends all before it reads gets its answer, too, and the thread is free meanwhile.
my $client = post('/?x', 'Content-Length: 10000000', 'x' x 10_000_000);
is($client->response->{body}, 'got ', '10 MB, not read: answered');
SKIP: {
    skip 'no HTTP/2 with prefork', 2 if PyDaemonTest::Build::mpm() eq 'prefork';
    # curl 7.88 does not understand the reset that follows the answer if it still has something to send, of a static
    # file neither.
    my $answer;
    for (1 .. 20) {
        $answer = curl($server->url('/?x'), '--http2-prior-knowledge', '--data-binary', 'x' x 10_000, '--max-time', 5);
        last if !$answer->{exit};
    }
    is("$answer->{status} $answer->{body}", '200 got ', 'HTTP/2, not read: answered');
    is($answer->{exit}, 0, '... completely');
}
# A body that does not come holds no thread of the application that does not read it.
my @idle = map { post('/?x', 'Content-Length: 1000', 'x') } 1 .. 8;
is($_->response->{body}, 'got ', 'an idle sender has its answer') for @idle;
is(curl($server->url('/?x'))->{body}, 'got ', '... and others are served');
$_->close for @idle, $client;    # httpd would wait for them when it stops

finish();
