# SPDX-License-Identifier: Apache-2.0
# A bad chunk, which httpd's input filter answers itself: whatever becomes of the application then, nothing follows.
use PyDaemonTest;
use PyDaemonTest::Client;

my $server = start_server(conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess answered processes=2
PyDaemonAlias / "@apps@/fails_later.py" group=answered
CustomLog "@dir@/logs/access_log" "%>s %U"
<IfModule deflate_module>
    <Location /unpacked>
        SetInputFilter DEFLATE
    </Location>
</IfModule>
END
sub logged { return PyDaemonTest::slurp($server->dir . '/logs/access_log') }
my %head = (read => '', unpacked => "Content-Encoding: gzip\r\n");
my $number = 0;
for my $kind (sort keys %head) {
    for my $steps ('exit=3', 'raise=1', 'hint=X-Hint', 'line=5', 'status=404', 'status=204') {
        my $path = "/$kind/" . ++$number;
        my $text = talk($server->port, "POST $path?read=1&$steps HTTP/1.1\r\nHost: h\r\n$head{$kind}" .
            "Transfer-Encoding: chunked\r\n\r\nzzz\r\n");
        like($text, qr{^HTTP/1.1 400 }, "$kind, then $steps: 400");
        is(scalar(() = $text =~ m{HTTP/1}g), 1, '... and no other response') or diag $text;
        like($text, qr{</html>\s*\z}, '... behind it');
        ok(wait_for(sub { logged() =~ m{^\d+ \Q$path\E$}m }), '... in the access log');
        like(logged(), qr{^400 \Q$path\E$}m, '... as 400');
    }
}
is(curl($server->url('/fine?line=5'))->{body}, "xxxxx\n", 'other requests are served');

$server->announce(qr/PYD0210/);
$server->tolerate(qr/PYD0214|\] (?:Traceback|  |[\w.]+Error: )|PYD06\d\d/);
finish();
