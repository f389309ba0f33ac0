# SPDX-License-Identifier: Apache-2.0
# Clients that mean harm: whatever they send, every process lives on and serves.
use PyDaemonTest;
use PyDaemonTest::Client;

my $server = start_server(ports => 2, conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess attack processes=1 threads=3
PyDaemonAlias /environ "@apps@/environ.py" group=attack
PyDaemonAlias /input "@apps@/input_ways.py" group=attack
PyDaemonAlias / "@apps@/hello.py" group=attack
<IfModule http2_module>
    Protocols h2c http/1.1
</IfModule>
<VirtualHost 127.0.0.1:@port2@>
    LimitRequestFieldSize 30000000
    LimitRequestFields 0
    LimitRequestLine 10000000
</VirtualHost>
END
my ($small, $large) = map { $server->port($_) } 1, 2;
is(curl($server->url('/'))->{body}, "hello\n", 'it serves');

sub processes { return join ' ', sort { $a <=> $b } $server->processes }
my $before = processes();
sub ask { my ($port, $text) = @_; return client($port, $text)->response(seconds => 20) }
sub status { my ($name, $expected, $port, $text) = @_; like(ask($port, $text)->{status}, $expected, $name) }

# ---- large ----------------------------------------------------------------------------------------------------------
for my $size (1_000_000, 5_000_000, 10_000_000) {
    my $answer = ask($large, "GET /environ HTTP/1.1\r\nHost: h\r\nX-Large: " . 'x' x $size . "\r\n\r\n");
    is($answer->{status}, 200, "a header of $size bytes");
    like($answer->{body} // '', qr/^HTTP_X_LARGE='x{1000}/m, '... reaches the application');
    $answer->{body} =~ /^HTTP_X_LARGE='(x*)'$/m;
    is(length($1 // ''), $size, '... whole');
}
for my $size (0, 1000, 16_000) {
    status("a header of 15 MB, a body of $size bytes", qr/^200$/, $large, "POST /environ HTTP/1.1\r\nHost: h\r\nContent-Length: $size\r\nX-Large: "
        . 'x' x 15_000_000 . "\r\n\r\n" . 'b' x $size);
}
status('a header of 17 MB: too large', qr/^431$/, $large, "GET /environ HTTP/1.1\r\nHost: h\r\nX-Large: " . 'x' x 17_000_000 . "\r\n\r\n");
status('... of 25 MB', qr/^431$/, $large, "GET /environ HTTP/1.1\r\nHost: h\r\nX-Large: " . 'x' x 25_000_000 . "\r\n\r\n");
my $answer = ask($large, "GET /environ HTTP/1.1\r\nHost: h\r\n" . join('', map { "X-N$_: $_\r\n" } 1 .. 1000) . "\r\n");
is(scalar(() = $answer->{body} =~ /^HTTP_X_N\d+='\d+'$/mg), 1000, '1000 headers');
$answer = ask($large, "GET /environ HTTP/1.1\r\nHost: h\r\n" . join('', map { "X-N$_: $_\r\n" } 1 .. 20_000) . "\r\n");
is(scalar(() = $answer->{body} =~ /^HTTP_X_N\d+='\d+'$/mg), 20_000, '20000 headers');
$answer = ask($large, 'GET /environ?' . 'q' x 5_000_000 . " HTTP/1.1\r\nHost: h\r\n\r\n");
like($answer->{body}, qr/^QUERY_STRING='q{1000}/m, 'a query of 5 MB');
# Slashes and dots cost httpd's path functions a lot; they are not ours to bound.
$answer = ask($large, 'GET /' . 'p' x 200_000 . " HTTP/1.1\r\nHost: h\r\n\r\n");
like($answer->{status}, qr/^(?:200|403|414)$/, "a path of 200 KB: $answer->{status}");
status('no limits raised: a large header', qr/^(?:400|431)$/, $small, "GET / HTTP/1.1\r\nHost: h\r\nX-Large: " . 'x' x 100_000 . "\r\n\r\n");
status('... many headers', qr/^(?:400|431)$/, $small, "GET / HTTP/1.1\r\nHost: h\r\n" . "X: y\r\n" x 1000 . "\r\n");
status('... a large URL', qr/^414$/, $small, 'GET /' . 'x' x 100_000 . " HTTP/1.1\r\nHost: h\r\n\r\n");

# ---- odd ------------------------------------------------------------------------------------------------------------
status('a long method', qr/^(?:200|400|414|501)$/, $small, 'M' x 1000 . " / HTTP/1.1\r\nHost: h\r\n\r\n");
status("method '$_'", qr/^(?:200|400|405|501)$/, $small, "$_ /environ HTTP/1.1\r\nHost: h\r\n\r\n") for 'A' x 20, '%s%n', '{}', 'get', 'TRACE', "G\x01T", "\xff";
status("byte $_ in a header", qr/^400$/, $small, "GET / HTTP/1.1\r\nHost: h\r\nX: a" . chr($_) . "b\r\n\r\n") for 0, 1, 11, 27, 127;
status("byte $_ in the URL", qr/^400$/, $small, "GET /a" . chr($_) . "b HTTP/1.1\r\nHost: h\r\n\r\n") for 0, 1, 27, 127;
status("byte $_ in the URL, escaped", qr/^(?:200|404|400)$/, $small, sprintf "GET /environ/a%%%02xb HTTP/1.1\r\nHost: h\r\n\r\n", $_) for 0, 1, 10, 13, 27, 127, 255;
status("'$_' as header name", qr/^400$/, $small, "GET / HTTP/1.1\r\nHost: h\r\n$_: x\r\n\r\n") for 'X Y', "X\tY", '', 'X(', "X\xe9";
status("Host: $_", qr/^(?:200|400)$/, $small, "GET /environ HTTP/1.1\r\nHost: $_\r\n\r\n") for '', '<script>', "a b", 'h:99999', '[::1', 'h' x 8000, "caf\xc3\xa9", '..', "%00";
status('a folded header', qr/^(?:200|400)$/, $small, "GET /environ HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n");
status('HTTP/9.9', qr/^(?:200|400|505)$/, $small, "GET / HTTP/9.9\r\nHost: h\r\n\r\n");
status('formats in a URL', qr/^200$/, $small, "GET /environ/%25s%25n%25p?%s%n%p HTTP/1.1\r\nHost: h\r\nX: %s%n\r\n\r\n");
is(talk($small, "GET /\r\n"), "hello\n", 'HTTP/0.9') if talk($small, "GET /\r\n") !~ /^HTTP/;

# ---- smuggling: one request is not two ---------------------------------------------------------------------------------
for my $head ("Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5", "Transfer-Encoding: xchunked",
    "Transfer-Encoding : chunked", "Transfer-Encoding:\x0bchunked", "Content-Length: +5", "Content-Length: 5, 5", "Content-Length: 0x5", "Content-Length: 5 5")
{
    my $all = talk($small, "POST /input/read HTTP/1.1\r\nHost: h\r\nConnection: close\r\n$head\r\n\r\n0\r\n\r\nGET /environ/smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
    is(scalar(() = ($all // '') =~ m{^HTTP/1\.1 }mg), 1, $head =~ s/\r\n/, /r . ': one response');
    unlike($all // '', qr/PATH_INFO='\/smuggled'/, '... and no other');
}

# ---- garbage --------------------------------------------------------------------------------------------------------
srand 1;
my @beginnings = ('', "GET / HTTP/1.1\r\nHost: h\r\nX: ", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "POST /input/read HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
for my $round (1 .. 60) {
    my $garbage = join '', map { chr rand 256 } 1 .. rand 3000;
    my $client = client($round % 2 ? $small : $large);
    $client->send($beginnings[ $round % @beginnings ] . $garbage);
    $round % 3 ? $client->abort : $client->half_close;
}
is(curl($server->url('/'))->{body}, "hello\n", 'garbage: it serves on');
is(curl($server->url('/'))->{body}, "hello\n", '... all of its threads') for 1 .. 6;

unlike($server->log_text, qr/exit signal|ended: /, 'nothing has crashed');
is(scalar(() = $server->log_text =~ /Starting worker/g), 1, '... and no worker was started anew');
is(join(' ', grep { !PyDaemonTest::Process::lives($_) } split / /, $before), '', 'every process lives on');

$server->announce(qr/PYD0223/);
$server->tolerate(qr/AH\d+|client denied|invalid URI/);
finish();
