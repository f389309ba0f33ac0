# SPDX-License-Identifier: Apache-2.0
# Responses that the application cannot finish: whatever the protocol, the client can tell.
use PyDaemonTest;
use PyDaemonTest::Client;

my $server = start_server(ports => 2, conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess rules
PyDaemonAlias / "@apps@/rules.py" group=rules
<IfModule http2_module>
    Protocols h2c http/1.1
</IfModule>
<VirtualHost 127.0.0.1:@port2@>
    <IfModule deflate_module>
        SetOutputFilter DEFLATE
    </IfModule>
</VirtualHost>
END

my %cases = (
    # path => what comes of the body, what the log says
    half => [ 'onetwo', qr/PYD1010: .*raised an exception after its response to GET .*had begun/ ],
    half_length => [ 'onetwo', qr/PYD1010/ ],
    bad_item => [ 'one', qr/PYD1011: .*broke PEP 3333 after its response to GET .*must be bytes, not str/ ],
    short_body => [ '1234', qr/PYD1014: .*gave 4 of the 100 bytes that its Content-Length says/ ],
);
for my $path (sort keys %cases) {
    my ($body, $message) = @{ $cases{$path} };
    my $before = length $server->log_text;
    my $client = client($server->port, "GET /$path?$path HTTP/1.1\r\nHost: h\r\n\r\nGET /fine HTTP/1.1\r\nHost: h\r\n\r\n");
    my $answer = $client->response;
    is($answer->{status}, 200, "$path, HTTP/1.1: had begun");
    is($answer->{body}, $body, '... what there was');
    ok(!$answer->{complete}, '... no end');
    is($client->rest, '', '... and nothing behind it');
    my @lines = grep { /PYD/ } split /\n/, substr $server->log_text, $before;
    is(scalar @lines, 1, '... logged once') or diag @lines;
    like($lines[0] // '', $message, '... why');

    $client = client($server->port, "GET /$path?$path HTTP/1.0\r\n\r\n");
    $answer = $client->response;
    is($answer->{body}, $body, "$path, HTTP/1.0: what there was");
    ok(!$answer->{complete}, '... the connection is reset, or short of its Content-Length');

    SKIP: {
        skip 'no HTTP/2 with prefork', 2 if PyDaemonTest::Build::mpm() eq 'prefork';
        my $cut = curl($server->url("/$path?$path"), '--http2-prior-knowledge');
        # mod_http2 may reset the stream before it has sent what there was.
        is($cut->{exit}, 92, "$path, HTTP/2: the stream is reset");
        like($body, qr/^\Q$cut->{body}\E/, '... nothing came that was not sent');
    }
    isnt(curl('http://127.0.0.1:' . $server->port(2) . "/$path?$path", '--compressed')->{exit}, 0, "$path, compressed: cut");
    is(curl($server->url("/$path?$path"), '-I')->{status}, 200, "$path, HEAD: its head is all of it");
    is(curl($server->url('/closed?' . $path))->{body}, PyDaemonTest::Build::mpm() eq 'prefork' ? 4 : 5, '... closed once each time');
}

# More than was promised is not sent, and logged once.
for my $path (qw(long_body write_too_much)) {
    my $body = $path eq 'long_body' ? '12345' : 'four';
    my $before = length $server->log_text;
    my $client = client($server->port, "GET /$path?$path HTTP/1.1\r\nHost: h\r\n\r\nGET /fine?fine HTTP/1.1\r\nHost: h\r\n\r\n");
    my $answer = $client->response;
    is($answer->{body}, $body, "$path: as much as its Content-Length says");
    $server->wait_for_log(qr/PYD1013: .*$path/);
    my @lines = grep { /PYD1013/ } split /\n/, substr $server->log_text, $before;
    is(scalar @lines, 1, '... logged once') or diag @lines;
    like($lines[0] // '', qr/gave more body than the \d bytes of its Content-Length/, '... why');
    is($client->response->{body}, 'onetwo', '... the next response is whole') if $path eq 'long_body';
}
is(curl($server->url('/closed?long_body'))->{body}, 1, '... closed once');

$server->announce(qr/PYD1010/, qr/PYD1011/, qr/PYD1013/, qr/PYD1014/);
$server->tolerate(qr/\] (?:Traceback|  |[\w.]+Error: )/);
finish();
