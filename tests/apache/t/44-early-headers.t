# SPDX-License-Identifier: Apache-2.0
# Early hints may not have a header that says where a message ends, nor one that httpd writes itself.
use PyDaemonTest;
use PyDaemonTest::Client;

my $server = start_server(conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess early
PyDaemonAlias / "@apps@/fails_later.py" group=early
END
for my $name (qw(Content-Length content-length Server Date Status Transfer-Encoding Connection)) {
    my $answer = client($server->port, "GET /?hint=$name HTTP/1.1\r\nHost: h\r\n\r\n")->response;
    is($answer->{status}, 500, "$name: refused before anything is sent");
}
my $client = client($server->port, "GET /?hint=X-Hint HTTP/1.1\r\nHost: h\r\n\r\n");
my $hints = $client->response;
is("$hints->{status} $hints->{headers}{'x-hint'}[0]", '103 3', 'any other: sent');
is($client->response->{status}, 200, '... before the response');

$server->tolerate(qr/PYD0215|\] (?:Traceback|  |[\w.]+Error: )/);
finish();
