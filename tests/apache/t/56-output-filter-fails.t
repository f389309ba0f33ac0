# SPDX-License-Identifier: Apache-2.0
# An output filter fails, though the client is there: it is told, by an error page or by a response that has no end.
use PyDaemonTest;
use PyDaemonTest::Client;

need_httpd_module('substitute');
my $server = start_server(conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess filtered threads=4
PyDaemonAlias /rules "@apps@/rules.py" group=filtered
PyDaemonAlias / "@apps@/fails_later.py" group=filtered
SetOutputFilter SUBSTITUTE
Substitute "s/foo/bar/nq"
SubstituteMaxLineLength 1000
CustomLog "@dir@/logs/access_log" "%>s %U"
<IfModule http2_module>
    Protocols h2c http/1.1
</IfModule>
END
my $h2 = PyDaemonTest::Build::mpm() ne 'prefork';
my $number = 0;
sub file { return $server->dir . '/htdocs/' . ++$number }
sub touch { open my $out, '>', $_[0] or die "$_[0]: $!"; close $out }
sub failures { return scalar(() = $server->log_text =~ /PYD0227: .* to GET \Q$_[0]\E/g) }
sub logged { return PyDaemonTest::slurp($server->dir . '/logs/access_log') }

is(curl($server->url('/fine?line=1000&line=900'))->{body}, 'x' x 1000 . "\n" . 'x' x 900 . "\n", 'lines of lawful length');

# Nothing had gone out: the worker sends a list of one item with the head and the end.
my $last = "GET /last?line=5 HTTP/1.1\r\nHost: h\r\n\r\n";
my $small = "/rules/responds?b=[b'x'*2000]";
for my $status (200, 404) {
    my $url = "$small&s='$status%20Its'";
    my $client = client($server->port, "GET $url HTTP/1.1\r\nHost: h\r\n\r\n$last");
    my $answer = $client->response;
    is($answer->{status}, 500, "a small response, $status: 500");
    like($answer->{body}, qr/Internal Server Error/, "... httpd's page");
    ok($answer->{complete}, '... whole');
    is($client->rest, '', '... and the connection is closed');
    is(failures($url), 1, '... logged once');
}
ok(wait_for(sub { (() = logged() =~ m{^500 /rules/responds$}mg) == 2 }), '... with their status');
# The same, of a response that is cut: it is short of its Content-Length.
my $short = "/rules/responds?h=[('Content-Length','4000')]&b=[b'foo'%2Bb'x'*2000%2Bb'\\n']";
is(client($server->port, "GET $short HTTP/1.1\r\nHost: h\r\n\r\n$last")->response->{status}, 500, '... a short one');
is(client($server->port, "GET $small HTTP/1.0\r\n\r\n")->response->{status}, 500, '... HTTP/1.0');

# The headers and the first line have gone out.
my %ways = (
    'at the end' => 'part=2000',
    'in mid-body' => 'part=600&wait=FILE2&line=600&line=5',
    'in a response that is cut' => 'part=600&wait=FILE2&line=600&raise=1',
);
sub begin { # WAY, VERSION
    my ($way, $version) = @_;
    my ($first, $second) = (file(), file());
    my $steps = "line=10&wait=$first&$ways{$way}" =~ s/FILE2/$second/r;
    my $client = client($server->port, "GET /begun?$steps HTTP/$version\r\nHost: h\r\n\r\n$last");
    my $begun = $client->expect(qr/x{10}\n/);
    touch($_) for $first, $second;
    return ($client, $begun, "/begun?$steps");
}
for my $way (sort keys %ways) {
    my ($client, $begun, $url) = begin($way, '1.1');
    like($begun, qr{^HTTP/1.1 200 .*Transfer-Encoding: chunked\r.*x{10}\n}s, "$way: had begun");
    my $rest = $client->rest;
    ok(defined $rest, '... the connection is closed');
    unlike($rest, qr/^0\r$/m, '... without a last chunk');
    unlike($rest, qr/HTTP/, '... and without another response in it');
    is(failures($url), 1, '... logged once');

    ($client, $begun) = begin($way, '1.0');
    like($begun, qr{^HTTP/1.\d 200 .*x{10}\n}s, "$way, HTTP/1.0: had begun");
    unlike($client->rest, qr/HTTP/, '... closed');
    ok($client->was_reset, '... with a reset');

    next unless $h2;
    my $file = file();
    touch($file);
    my $answer = curl($server->url('/begun?line=10&wait=FILE2&' . $ways{$way}) =~ s/FILE2/$file/gr, '--http2-prior-knowledge');
    like("$answer->{status} $answer->{exit}", qr/^(?:500 0|(?:200|0) 92)$/, "$way, HTTP/2: 500, or reset after it began");
}
SKIP: {
    skip 'no HTTP/2 with prefork', 1 unless $h2;
    is(curl($server->url($small), '-g', '--http2-prior-knowledge')->{status}, 500, 'HTTP/2: 500');
}

$server->announce(qr/PYD0227/, qr/AH01328/);
$server->tolerate(qr/PYD101[04]|\] (?:Traceback|  |[\w.]+Error: )/);
finish();
