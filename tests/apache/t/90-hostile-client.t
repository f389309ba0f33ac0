# SPDX-License-Identifier: Apache-2.0
# Whatever a client sends, workers live on (invariant 6), and so do httpd's children. Seeded: what fails can be repeated
# with the number it says.
use PyDaemonTest;

my $rounds = 1000;
my $server = start_server(conf => <<'END');
LimitRequestBody 100000
Timeout 3
PyDaemonProcess one threads=4
PyDaemonAlias /echo @apps@/echo.py group=one
PyDaemonAlias /environ @apps@/environ.py group=one
PyDaemonAlias / @apps@/hello.py group=one
END
is(curl($server->url('/'))->{status}, 200, 'it works');
my @before = sort($server->workers, $server->managers, children());

# Those of prefork come and go.
sub children {
    return () if PyDaemonTest::Build::mpm() eq 'prefork';
    my %managers = map { $_ => 1 } $server->managers;
    return grep { PyDaemonTest::Process::parent($_) == $server->pid && !$managers{$_} } $server->processes;
}

sub any { return $_[ int rand @_ ] }
sub noise { return join '', map { chr int rand 256 } 1 .. int rand($_[0]) }
sub text { return join '', map { any('a' .. 'z', 0 .. 9, qw(/ % . ; : ? & = + ~ _ -), '%00', '%2e', '%ff', '%C3%A4', '//', '/../') }
    1 .. int rand($_[0]) }

sub header {
    return any(
        sub { 'Content-Length: ' . any(0, 5, -1, '+5', '5 5', '5, 5', '0x5', 99999999999999999999, 200_000, '', noise(9)) },
        sub { 'Transfer-Encoding: ' . any('chunked', 'gzip', 'chunked, chunked', 'identity', "chunk\0ed", noise(9)) },
        sub { 'Expect: ' . any('100-continue', '100-Continue, x', 'nothing') },
        sub { 'Host: ' . any('a', '', 'a:b', "\xff", '[::1', text(20)) },
        sub { 'Connection: ' . any('close', 'keep-alive, X-A', 'upgrade', 'TE') },
        sub { 'Cookie: ' . noise(60) },
        sub { 'Content-Type: ' . text(40) },
        sub { text(12) . ': ' . noise(30) },
        sub { any('Proxy', 'X_Under', 'X-Under', "X\tTab", 'X Blank', '', 'Wsgi.input', 'X-' . 'l' x 300) . ': 1' },
        sub { any(' ', "\t") . 'folded ' . text(10) },
        sub { 'Range: bytes=' . any('0-', '-1', '0-0,1-1', '5-2', noise(9)) },
        sub { 'X-Long: ' . 'v' x int rand 9000 },
    )->();
}

sub body {
    return any(
        sub { '' }, sub { noise(400) },
        sub { join '', map { my $chunk = noise(50); sprintf "%x%s\r\n%s\r\n", length $chunk, any('', ';ext', '; a="b'), $chunk } 0 .. 3 },
        sub { "5\r\nhello\r\n0\r\n" . any("\r\n", "X: 1\r\n\r\n", noise(20)) },
        sub { any('ffffffffffffffff', '-1', '0x5', '', ' 5', '5 ') . "\r\nhello\r\n0\r\n\r\n" },
    )->();
}

# Most of it is right, so that it gets as far as it can.
sub mostly { my ($right, $wrong) = @_; return rand() < 0.85 ? $right->() : $wrong->() }

sub request {
    return noise(200) if rand() < 0.05;
    my $method = mostly(sub { any(qw(GET POST HEAD PUT OPTIONS DELETE PATCH BREW)) }, sub { any('TRACE', 'get', 'CONNECT', text(12)) });
    my $target = mostly(sub { any(qw(/ /echo /environ), '/echo/' . text(40), '/environ?' . text(60), 'http://h/environ') },
        sub { any('*', '', '/' . noise(20), '/environ/' . 'x' x int rand 9000) });
    my $version = mostly(sub { 'HTTP/1.1' }, sub { any('HTTP/1.0', 'HTTP/2.0', 'HTTP/0.9', 'http/1.1', '') });
    my @headers = map { header() } 1 .. int rand 3;
    push @headers, any('Content-Length: 9', 'Transfer-Encoding: chunked') if rand() < 0.3;
    return join(mostly(sub { "\r\n" }, sub { "\n" }), "$method $target $version", (rand() < 0.9 ? 'Host: h' : ()), @headers, '', '')
        . (rand() < 0.5 ? body() : '');
}

my %seen;
for my $seed (1 .. $rounds) {
    srand $seed;
    my $socket = raw_connection($server->port);
    local $SIG{PIPE} = 'IGNORE';
    # A pipeline of up to three; then half-closed, reset, or left to its reader.
    print $socket request() for 1 .. 1 + int rand 3;
    my $end = int rand 3;
    setsockopt $socket, Socket::SOL_SOCKET(), Socket::SO_LINGER(), pack('ii', 1, 0) if $end == 0;
    shutdown $socket, 1 if $end == 1;
    if ($end) {
        my ($set, $answer) = ('', '');
        vec($set, fileno $socket, 1) = 1;
        sysread $socket, $answer, 65536 if select(my $ready = $set, undef, undef, 0.05);
        $seen{$1}++ while $answer =~ m{^HTTP/1\.[01] (\d+)}mg;
        fail("seed $seed: not HTTP: " . substr $answer, 0, 80)
            if length $answer && $answer !~ /^(?:HTTP|<!DOCTYPE|hello|PATH_INFO|CONTENT|[A-Z_]+=)/;
    }
    close $socket;
    next if $seed % 200;
    is(curl($server->url('/'))->{body}, "hello\n", "after $seed rounds it works");
}
cmp_ok($seen{200} // 0, '>', 50, 'applications got a part of it; ' . join ' ', map { "$_: $seen{$_}" } sort keys %seen);
ok(wait_for(sub { curl($server->url('/echo'), '-d', 'x')->{body} eq 'x' }), 'so does a body');
my %there = map { $_ => 1 } $server->workers, $server->managers, children();
is_deeply([ grep { !$there{$_} } @before ], [], 'no process was replaced');
unlike($server->log_text, qr/PYD02(?:1[0-3])|exit signal|Traceback/, 'no request has hurt a worker, or the application');
# What httpd says of such requests, and httpd's 404 for what is no name of a file.
$server->tolerate(qr/\[(?:core|http|authz_core|reqtimeout):\w+\]/);

finish();
