# SPDX-License-Identifier: Apache-2.0
# Request bodies reach the application whole, in every way of sending and of reading them.
use PyDaemonTest;
use PyDaemonTest::Client;
use Digest::SHA qw(sha256_hex);

my $server = start_server(conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess body threads=4
PyDaemonAlias /echo "@apps@/echo.py" group=body
PyDaemonAlias /lines "@apps@/lines.py" group=body
PyDaemonAlias / "@apps@/input_ways.py" group=body
<IfModule http2_module>
    Protocols h2c http/1.1
</IfModule>
END
my $lines = "first line\nsecond\n\nfourth\nlast without end";

sub chunked { # TEXT, SIZE: as chunks, with the odd things chunks may have
    my ($text, $size) = @_;
    my $result = '';
    while (length(my $part = substr $text, 0, $size, '')) {
        $result .= sprintf "%x;name=\"value\"\r\n%s\r\n", length $part, $part;
    }
    return "${result}0\r\nX-Trailer: 1\r\n\r\n";
}

sub post { # PATH, BODY, chunk size or 0: the body of the response
    my ($path, $body, $size, $method) = @_;
    $method //= 'POST';
    my $head = $size ? 'Transfer-Encoding: chunked' : 'Content-Length: ' . length $body;
    my $client = client($server->port,
        "$method $path HTTP/1.1\r\nHost: h\r\n$head\r\n\r\n" . ($size ? chunked($body, $size) : $body));
    my $answer = $client->response;
    return $answer->{complete} ? $answer->{body} : "status $answer->{status}, incomplete";
}

# What Python's own file does with the same calls.
my %ways = (
    'read' => [$lines], 'read-none' => [$lines], 'read-minus' => [$lines], 'read-0' => [ '', $lines ],
    'read-5' => [ 'first', ' line', substr $lines, 10 ], 'read-huge' => [$lines], 'after-end' => [ $lines, ('') x 5 ],
    'readline' => [ $lines =~ /[^\n]*\n|[^\n]+$/g ], 'readlines' => [ $lines =~ /[^\n]*\n|[^\n]+$/g ],
    'iterate' => [ $lines =~ /[^\n]*\n|[^\n]+$/g ], 'readline-3' => [ $lines =~ /[^\n]{0,2}\n|[^\n]{3}|[^\n]+$/g ],
    'readline-none' => [ "first line\n", "second\n", substr $lines, 18 ],
    'readlines-hint' => [ "first line\n", substr $lines, 11 ],
    'mixed' => [ "first line\n", 'se', "cond\n", "\n", "fourth\n", 'last without end' ],
    'nothing' => [], 'some' => ['first line'],
);
for my $way (sort keys %ways) {
    my $expected = join '', map { "b'" . s/\n/\\n/gr . "'\n" } @{ $ways{$way} };
    for my $size (0, 1, 7, 1000) {
        my $got = post("/$way", $lines, $size);
        my ($facts, $pieces) = $got =~ /\A((?:[^b].*\n)*)((?:.*\n)*)\z/;
        is($pieces, $expected, "$way, " . ($size ? "chunks of $size" : 'Content-Length'));
        my $length = $size ? 'None' : "'" . length($lines) . "'";
        is($facts, "CONTENT_LENGTH=$length\nHTTP_TRANSFER_ENCODING=None\nHTTP_CONTENT_LENGTH=None\nHTTP_EXPECT=None\n"
            . "wsgi.input_terminated=True\n", '... what environ says of it') if $way eq 'read';
    }
}

# A body with any method, and none.
for my $method (qw(GET PUT PATCH DELETE OPTIONS PROPFIND OWNMETHOD)) {
    like(post('/read', 'abc', $_, $method), qr/^b'abc'$/m, "$method with a body") for 0, 2;
}
like(curl($server->url('/read'))->{body}, qr/^CONTENT_LENGTH=None\n.*^b''$/ms, 'no body');
like(post('/read', '', 0), qr/^CONTENT_LENGTH='0'\n.*^b''$/ms, 'an empty body');
like(post('/read', '', 1), qr/^CONTENT_LENGTH=None\n.*^b''$/ms, 'an empty chunked body');

# Sizes about each limit there may be, also in HTTP/2; all bytes arrive in order.
for my $size (1, 16383, 16384, 16385, 65536, 262143, 262145, 3_000_000) {
    my $body = join '', map { pack 'N', $_ * 2654435761 & 0xffffffff } 1 .. $size / 4 + 1;
    $body = substr $body, 0, $size;
    my $sum = sha256_hex($body);
    for my $way (qw(hash hash-pieces)) {
        like(post("/$way", $body, $_), qr/^b'$sum'$/m, "$way of $size bytes, chunks of $_") for 0, 5000;
    }
    my $file = "@{[$server->dir]}/body";
    open my $out, '>:raw', $file or die;
    print $out $body;
    close $out;
    for my $options ([], [ '-H', 'Transfer-Encoding: chunked' ], ['--http2-prior-knowledge']) {
        next if PyDaemonTest::Build::mpm() eq 'prefork' && "@$options" =~ /http2/;
        my $answer = curl($server->url('/hash'), @$options, '--data-binary', "\@$file");
        like($answer->{body}, qr/^b'$sum'$/m, "curl @$options, $size bytes");
    }
}

# Both ways at once: whoever only writes and never reads would be stuck.
for my $size (0, 30000) {
    my $body = 'both ways ' x 1_000_000;
    my $answer = post('/echo', $body, $size);
    ok($answer eq $body, 'echo of 10 MB, ' . ($size ? 'chunked' : 'Content-Length'));
}

# A conversation: each line is answered before the next one is sent, and no read waits for more than it needs.
my %talks = (
    'Content-Length: 60' => sub { $_[0] },
    'Transfer-Encoding: chunked' => sub { sprintf "%x\r\n%s\r\n", length $_[0], $_[0] },
);
for my $head (sort keys %talks) {
    my $client = client($server->port, "POST /lines HTTP/1.1\r\nHost: h\r\n$head\r\n\r\n");
    for my $number (100_001 .. 100_004) {
        $client->send($talks{$head}->("line $number \n"));
        is(($client->expect(qr/got line $number \n/) // 'nothing') =~ /got/ ? 1 : 0, 1, "$head: line $number is answered");
    }
    $client->send($head =~ /chunked/ ? "0\r\n\r\n" : 'x' x 8);
    ok(defined $client->expect($head =~ /chunked/ ? qr/^0\r\n\r\n/m : qr/got x{8}\r\n0\r\n\r\n/), '... to its end');
}

finish();
