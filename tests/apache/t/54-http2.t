# SPDX-License-Identifier: Apache-2.0
# HTTP/2, plain and over TLS: many streams of one connection, bodies both ways, environ.
use PyDaemonTest;
use PyDaemonTest::Background;
need_httpd_module('http2');

my $server = start_server(start => 0, ports => 2, conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess h2 processes=2 threads=8
PyDaemonAlias /echo "@apps@/echo.py" group=h2
PyDaemonAlias /environ "@apps@/environ.py" group=h2
PyDaemonAlias /rules "@apps@/rules.py" group=h2
PyDaemonAlias /hello "@apps@/hello.py" group=h2
Protocols h2c http/1.1
<VirtualHost 127.0.0.1:@port2@>
    Protocols h2 http/1.1
    SSLEngine on
    SSLCertificateFile "@dir@/cert.pem"
    SSLCertificateKeyFile "@dir@/key.pem"
</VirtualHost>
END
my @plain = ('--http2-prior-knowledge');
my @tls = ('-k', '--http2');
my $dir = $server->dir;
system("openssl req -x509 -newkey rsa:2048 -nodes -batch -days 2 -subj /CN=localhost -addext basicConstraints=CA:FALSE "
    . "-keyout $dir/key.pem -out $dir/cert.pem 2>/dev/null") == 0 or die "openssl made no certificate\n";
$server->start;

for my $case ([ 'h2c', $server->url(''), @plain ], [ 'h2c by Upgrade', $server->url(''), '--http2' ], [ 'h2', "https://127.0.0.1:" . $server->port(2), @tls ]) {
    my ($name, $base, @options) = @$case;
    my $https = $base =~ /^https/;
    # mod_http2 upgrades no request whose URL has escapes that matter (400).
    my ($path, $info) = $name =~ /Upgrade/ ? ('xy', 'xy') : ('x%20y', 'x y');
    my $answer = curl("$base/environ/$path?q=1", @options, '-H', 'X-Test: 1', '-H', 'X_Test: spoofed', '-H', 'Cookie: a=1');
    is("$answer->{version} $answer->{status}", '2 200', "$name: answered") or diag $answer->{error};
    like($answer->{body}, qr/^$_$/m, "$name: $_") for "SERVER_PROTOCOL='HTTP/2.0'", "SCRIPT_NAME='/environ'", "PATH_INFO='/$info'",
        "QUERY_STRING='q=1'", "HTTP_X_TEST='1'", "HTTP_COOKIE='a=1'", "HTTP_HOST='127.0.0.1:\\d+'", "REMOTE_ADDR='127.0.0.1'",
        "wsgi.url_scheme='" . ($https ? 'https' : 'http') . "'", "pydaemon.request_id='\\S+'", "REQUEST_URI='/environ/$path\\?q=1'";
    like($answer->{body}, qr/^HTTPS='on'$/m, "$name: HTTPS") if $https;
    unlike($answer->{body}, qr/^HTTP_(?:TRANSFER_ENCODING|PROXY|UPGRADE_INSECURE)/m, "$name: nothing of the transport");
    is(curl("$base/hello", @options, '-I')->{status}, 200, "$name: HEAD");
    is_deeply(curl("$base/rules/responds?h=[('Set-Cookie','a=1'),('Set-Cookie','b=2')]" =~ s/([\['\(\)\]])/sprintf '%%%02X', ord $1/ger, @options)->{headers}{'set-cookie'},
        [ 'a=1', 'b=2' ], "$name: two headers of a name");
    for my $status (204, 304, 404, 599) {
        is(curl("$base/rules/responds?s='$status%20X'", @options)->{status}, $status, "$name: status $status");
    }
    is(curl("$base/rules/raises?x", @options)->{status}, 500, "$name: an exception");
    for my $size (0, 1, 70_000, 3_000_000) {
        open my $out, '>:raw', "$dir/body" or die;
        print $out my $body = join '', map { chr(33 + $_ * 7919 % 91) } 1 .. $size;
        close $out;
        for my $more ([], [ '-H', 'Expect: 100-continue' ], ['-H', 'Content-Length:']) {
            next if "@$more" =~ /Length/ && $name =~ /Upgrade/;
            $answer = curl("$base/echo", @options, @$more, '--data-binary', "\@$dir/body");
            ok($answer->{body} eq $body && !$answer->{exit}, "$name: echo of $size bytes @$more") or diag "$answer->{exit} $answer->{error}";
        }
    }
}

# 100 streams of one connection at once, of which the group can execute 16.
sub parallel { system 'curl', '-qk', '--http2', '--parallel', '--parallel-max', 100, '--max-time', 60, '--stderr', '/dev/null', @_ }
my $base = 'https://127.0.0.1:' . $server->port(2);
parallel(map { ("$base/environ/$_?n=$_", '-o', "$dir/out$_") } 1 .. 100);
is($? >> 8, 0, '100 parallel streams');
is(scalar(grep { my $n = $_; PyDaemonTest::slurp("$dir/out$n") =~ /^PATH_INFO='\/$n'$/m } 1 .. 100), 100, '... each has its own answer');
parallel(map { ($_ > 1 ? ('--next', '-k', '--http2') : (), "$base/echo", '-o', "$dir/out$_", '--data-binary', "\@$dir/body") } 1 .. 10);
my $body = PyDaemonTest::slurp("$dir/body");
is(scalar(grep { PyDaemonTest::slurp("$dir/out$_") eq $body } 1 .. 10), 10, '... ten times 3 MB both ways');

# Streams that a client resets, many of them; capacity returns.
for my $round (1 .. 3) {
    my @clients = map { my $n = $_; background(sub { curl($server->url("/rules/fine?$n"), @plain, '--max-time', 0.001 * $n) }) } 1 .. 20;
    $_->result for @clients;
}
is(curl($server->url('/hello'), @plain)->{body}, "hello\n", 'after resets: serves');
is(scalar($server->workers('h2')), 2, '... by two workers');
is(scalar(() = $server->log_text =~ /is ready after/g), 2, '... the same as ever');

$server->announce(qr/PYD0214/);
$server->tolerate(qr/\] (?:Traceback|  |[\w.]+Error: )|AH01909|AH01906/);
finish();
