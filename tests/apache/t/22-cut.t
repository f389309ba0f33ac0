# SPDX-License-Identifier: Apache-2.0
# A worker that dies in the middle of its response: no client may take what it got for the whole.
use PyDaemonTest;
use PyDaemonTest::Background;

my $server = start_server(ports => 2, conf => <<'CONF');
<Location />
    Require all granted
</Location>
PyDaemonProcess cut processes=1 threads=4
PyDaemonAlias / @apps@/fate.py group=cut
<IfModule http2_module>
    Protocols h2c http/1.1
</IfModule>
<VirtualHost 127.0.0.1:@port2@>
    <IfModule deflate_module>
        SetOutputFilter DEFLATE
    </IfModule>
</VirtualHost>
CONF
my $dir = $server->dir;
mkdir "$dir/marks" and chmod 0777, "$dir/marks";
my $mark = 0;

# Ask, wait until the application has sent its head and 10 bytes, kill. HEAD is what it announces as Content-Length.
sub killed { # HEAD, BASE, CURL-OPTION...
    my ($head, $base, @options) = @_;
    my $file = "$dir/marks/" . ++$mark;
    my $request = background(sub { curl("$base/?head=$head&mark=$file&wait=$dir/marks/never", @options) });
    wait_for(sub { -s $file }) or die 'the application was not called';
    kill KILL => PyDaemonTest::slurp($file);
    return $request->result;
}

my $cut = killed(0, $server->url(''));
is($cut->{status}, 200, 'chunked: the head was sent');
is_deeply($cut->{headers}{'transfer-encoding'}, ['chunked'], '... chunked');
is($cut->{body}, '0123456789', '... and what there was of the body, as it came');
is($cut->{exit}, 18, '... the client sees that it is cut');

$cut = killed(1000, $server->url(''));
is($cut->{body}, '0123456789', 'Content-Length: what there was');
is($cut->{exit}, 18, '... the client sees that it is cut');

$cut = killed(0, $server->url(''), '--http1.0');
is($cut->{status}, 200, 'HTTP/1.0: cut where nothing says so but the connection');
is($cut->{body}, '0123456789', '... as far as it came');

SKIP: {
    skip 'no HTTP/2 with prefork', 3 if PyDaemonTest::Build::mpm() eq 'prefork';
    for my $head (0, 1000) {
        $cut = killed($head, $server->url(''), '--http2-prior-knowledge');
        is("$cut->{version} $cut->{status}", '2 200', 'HTTP/2: the head was sent');
        is($cut->{exit}, 92, "... and the stream reset (Content-Length: $head)");
    }
}

$cut = killed(0, 'http://127.0.0.1:' . $server->port(2), '--compressed');
isnt($cut->{exit}, 0, 'compressed: the client sees that it is cut');

# On a kept connection nothing follows a cut response.
my $socket = raw_connection($server->port);
my $file = "$dir/marks/" . ++$mark;
print $socket "GET /?head=0&mark=$file&wait=$dir/marks/never HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n";
wait_for(sub { -s $file }) or die 'the application was not called';
kill KILL => PyDaemonTest::slurp($file);
my $all = do { local $/; <$socket> };
is(scalar(() = $all =~ m{^HTTP/1\.1 }gm), 1, 'pipelined: one response, then the end');
unlike($all, qr/^0\r\n/m, '... and no last chunk');

my $cuts = () = $server->log_text =~ /PYD0210: worker pid=\d+ of 'cut' was killed by signal 9 \(Killed\) while it executed GET [^\n]*: response cut$/mg;
is($cuts, $mark, "each of $mark logged in one line");
is(() = $server->log_text =~ /PYD0601/g, $mark, 'and once by the manager');
$server->announce(qr/PYD0210/, qr/PYD0601/);
finish();
