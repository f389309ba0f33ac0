# SPDX-License-Identifier: Apache-2.0
# What the application has given goes out before it is asked for more; 103 Early Hints go out before the answer.
use PyDaemonTest;
use PyDaemonTest::Client;
use PyDaemonTest::Background;

my $server = start_server(ports => 2, conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess flush threads=8
PyDaemonAlias / "@apps@/goes_away.py" group=flush
<IfModule http2_module>
    Protocols h2c http/1.1
    # Off by default, in versions that have it.
    <IfVersion >= 2.4.58>
        H2EarlyHints On
    </IfVersion>
</IfModule>
<VirtualHost 127.0.0.1:@port2@>
    SetOutputFilter DEFLATE
</VirtualHost>
END
my $number = 0;
sub file { return $server->dir . '/htdocs/' . ++$number }
sub touch { open my $out, '>', $_[0] or die "$_[0]: $!"; close $out }
my $h2 = PyDaemonTest::Build::mpm() ne 'prefork';

for my $path (qw(items pushed)) {
    for my $version ('1.1', '1.0') {
        my $file = file();
        my $client = client($server->port, "GET /$path?$file HTTP/$version\r\nHost: h\r\n\r\n");
        ok(defined $client->expect(qr/first /), "$path, HTTP/$version: the first item while the application works on the second");
        ok(!-e $file, '... indeed');
        touch($file);
        ok(defined $client->expect(qr/second/), '... then the second');
    }
    for my $case ([ $server->port, '--http2-prior-knowledge' ], [ $server->port(2), '--compressed' ]) {
        next if "@$case" =~ /http2/ && !$h2;
        my $file = file();
        my $got = $server->dir . "/got$number";
        my $request = background(sub { [ system 'curl', '-qsN', '-o', $got, '--max-time', 30, $case->[1], "http://127.0.0.1:$case->[0]/$path?$file" ] });
        ok(wait_for(sub { PyDaemonTest::slurp($got) eq 'first ' }), "$path, curl $case->[1]: the first item");
        touch($file);
        $request->result;
        is(PyDaemonTest::slurp($got), 'first second', '... then the second');
    }
}

# ---- 103 ------------------------------------------------------------------------------------------------------------
my $file = file();
my $client = client($server->port, "GET /early?$file HTTP/1.1\r\nHost: h\r\n\r\n");
my $hints = $client->response;
is($hints->{status}, 103, '103 at once');
is_deeply($hints->{headers}{link}, [ '</a.css>; rel=preload', '</b.js>; rel=preload' ], '... with its headers');
is($hints->{headers}{'content-type'}, undef, '... and no others');
touch($file);
my $second = $client->response;
is("$second->{status} $second->{headers}{'x-second'}[0]", '103 1', 'another 103');
is($second->{headers}{link}, undef, '... of its own');
my $answer = $client->response;
is("$answer->{status} $answer->{body}", '200 hints', 'the answer');
is($answer->{headers}{$_}, undef, "... without $_ of the hints") for qw(link x-second);
ok($answer->{headers}{'x-final'}, '... with its own headers');
ok($answer->{complete}, '... whole');

$answer = client($server->port, "GET /early?$file HTTP/1.0\r\n\r\n")->response;
is("$answer->{status} $answer->{body}", '200 hints', 'HTTP/1.0 gets no 103');
SKIP: {
    skip 'no HTTP/2 with prefork', 4 unless $h2;
    $answer = curl($server->url("/early?$file"), '--http2-prior-knowledge');
    is("$answer->{status} $answer->{body}", '200 hints', 'HTTP/2: the answer');
    like($answer->{blocks}[0], qr{^HTTP/2 103.*^link: </a.css>; rel=preload}ms, '... after 103');
    is($answer->{headers}{link}, undef, '... without the headers of the hints');
    is($answer->{exit}, 0, '... without an error');
}

finish();
