# SPDX-License-Identifier: Apache-2.0
# wsgi.file_wrapper, of files and of what only looks like one.
use PyDaemonTest;
use PyDaemonTest::Client;

my $server = start_server(conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess files threads=4
PyDaemonAlias / "@apps@/files.py" group=files
<IfModule http2_module>
    Protocols h2c http/1.1
</IfModule>
END
my $cycle = join '', map { chr } 0 .. 250;
sub content { my ($size) = @_; return substr $cycle x ($size / 251 + 1), 0, $size }
sub get { my ($path, $method) = @_; return client($server->port, ($method // 'GET') . " $path HTTP/1.1\r\nHost: h\r\n\r\n") }
sub check { # NAME, response, CONTENT [, Content-Length]
    my ($name, $answer, $content, $length) = @_;
    is($answer->{status}, 200, "$name: status");
    ok($answer->{body} eq $content, '... content') or diag length($answer->{body}) . ' bytes, not ' . length $content;
    # When all of it comes at once, httpd counts it.
    is($answer->{headers}{'content-length'}[0] // length $content, $length // length $content, '... Content-Length');
    ok($answer->{complete}, '... complete');
}

for my $size (0, 1, 8192, 131072, 131073, 3_000_000) {
    for my $kind (qw(regular unbuffered temporary)) {
        check("$kind, $size bytes", get("/$kind?size=$size")->response, content($size), $size);
    }
    for my $kind (qw(bytesio counting no-close zipped)) {
        check("$kind, $size bytes", get("/$kind?size=$size")->response, content($size), undef);
    }
}
check('a pipe', get('/pipe?size=5000')->response, content(5000), undef);
check('iterated over', get('/regular?size=20000&iterate=1')->response, content(20000), undef);
check("$_ blocks", get("/counting?size=1000&block=$_")->response, content(1000), undef) for 1, 7, 0, 1000000;

# From where the file stands, and as much as the Content-Length asks for.
for my $kind (qw(regular unbuffered bytesio)) {
    check("$kind at 300", get("/$kind?size=1000&at=300&length=700")->response, substr(content(1000), 300), 700);
    check("$kind, a range", get("/$kind?size=1000&at=300&length=100")->response, substr(content(1000), 300, 100), 100);
}
check('at the end', get('/regular?size=1000&at=1000')->response, '', 0);
check('behind the end', get('/regular?size=1000&at=2000')->response, '', 0);

# HEAD, 204 and 304 send nothing of it; the next response follows.
for my $case ([ HEAD => '/regular?size=5000', 5000 ], [ HEAD => '/bytesio?size=5000', undef ], [ GET => '/regular?size=5000&status=304%20N', undef ],
    [ GET => '/counting?size=5000&status=204%20N', undef ])
{
    my ($method, $path, $length) = @$case;
    my $client = get($path, $method);
    is($client->response(head => 1)->{headers}{'content-length'}[0], $length, "$method $path: Content-Length");
    $client->send("GET /bytesio?size=3 HTTP/1.1\r\nHost: h\r\n\r\n");
    is($client->response->{body}, content(3), '... and no body');
}
# Closed once, or left alone.
for my $case ([ GET => '' ], [ HEAD => '' ], [ GET => '&status=304%20N' ], [ GET => '&length=10' ]) {
    my ($method, $more) = @$case;
    my $key = "$method$more" =~ s/\W/-/gr;
    get("/counting?key=$key$more", $method)->response(head => 1);
    ok(wait_for(sub { get("/closed?key=$key")->response->{body} eq '1' }), "$method $more: closed");
}
# Shorter than it was, or broken: the client can tell.
for my $path ('/half?size=1000&length=1000', '/broken?size=1000&length=2000', '/broken?size=1000', '/regular?size=1000&length=1001') {
    my $answer = get($path)->response;
    is("$answer->{status} " . length $answer->{body}, $path =~ /half/ ? '200 500' : '200 1000', "$path: what there is");
    ok(!$answer->{complete}, '... and cut');
}
check('a file that became shorter before', get('/half?size=1000')->response, content(500), 500);
if (PyDaemonTest::Build::mpm() ne 'prefork') {
    my $answer = curl($server->url('/regular?size=3000000'), '--http2-prior-knowledge');
    ok($answer->{body} eq content(3_000_000), 'HTTP/2');
}
# No descriptor stays open.
my ($worker) = $server->workers('files');
my $open = () = glob "/proc/$worker/fd/*";
get('/regular?size=10')->response, get('/regular?size=10', 'HEAD')->response(head => 1) for 1 .. 20;
cmp_ok(scalar(() = glob "/proc/$worker/fd/*"), '<=', $open + 3, 'files are closed');

$server->announce(qr/PYD1014/, qr/PYD1010/, qr/PYD1013/);
$server->tolerate(qr/\] (?:Traceback|  |[\w.]+Error: )/);
finish();
