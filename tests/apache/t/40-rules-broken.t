# SPDX-License-Identifier: Apache-2.0
# Applications that break PEP 3333: 500, and the log says which rule; the client sees nothing of what was to be sent.
use PyDaemonTest;
use PyDaemonTest::Client;

my $server = start_server(conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess rules
PyDaemonAlias / "@apps@/rules.py" group=rules
END

sub quote { return join '', map { sprintf '%%%02X', ord } split //, $_[0] }

# s: status, h: headers, b: result, as Python; then the rule
my @broken = (
    [ s => "b'200 OK'", qr/status must be a str, not bytes/ ],
    [ s => '200', qr/status must be a str, not int/ ],
    [ s => "''", qr/three digits/ ],
    [ s => "'OK'", qr/three digits/ ],
    [ s => "'20 OK'", qr/three digits/ ],
    [ s => "'2000 OK'", qr/three digits/ ],
    [ s => "'100 Continue'", qr/final/ ],
    [ s => "'200 O\\nK'", qr/control character/ ],
    [ s => "'200 O\\0K'", qr/control character/ ],
    [ s => "'200 \\u20ac'", qr/U\+00FF/ ],
    [ h => 'tuple(TEXT)', qr/headers must be a list, not tuple/ ],
    [ h => "{'A': 'b'}", qr/headers must be a list, not dict/ ],
    [ h => "[['A', 'b']]", qr/must be a tuple/ ],
    [ h => "[('A', 'b', 'c')]", qr/must be a tuple/ ],
    [ h => "[(b'A', 'b')]", qr/name must be a str, not bytes/ ],
    [ h => "[('A', b'b')]", qr/'A' must be a str, not bytes/ ],
    [ h => "[('A', 1)]", qr/'A' must be a str, not int/ ],
    [ h => "[('A', None)]", qr/'A' must be a str, not NoneType/ ],
    [ h => "[('', 'b')]", qr/empty name/ ],
    [ h => "[('A B', 'b')]", qr/character that names may not have/ ],
    [ h => "[('A:', 'b')]", qr/character that names may not have/ ],
    [ h => "[('A\\r\\nB', 'b')]", qr/character that names may not have/ ],
    [ h => "[('A', 'b\\nSet-Cookie: c=d')]", qr/newline/ ],
    [ h => "[('A', 'b\\r\\n\\r\\nbody')]", qr/newline/ ],
    [ h => "[('A', 'b\\0')]", qr/control character/ ],
    [ h => "[('A', '\\x7f')]", qr/control character/ ],
    [ h => "[('A', '\\u20ac')]", qr/U\+00FF/ ],
    [ h => "[('Status', '200 OK')]", qr/Status/ ],
    (map { [ h => "[('$_', 'x')]", qr/\Q$_\E' is hop-by-hop/ ] } qw(Connection Keep-Alive Proxy-Authenticate TE Trailers
        transfer-encoding Upgrade)),
    [ h => "[('Content-Length', 'four')]", qr/decimal number/ ],
    [ h => "[('Content-Length', '-1')]", qr/decimal number/ ],
    [ h => "[('Content-Length', '4'), ('Content-Length', '5')]", qr/twice/ ],
    [ b => 'None', qr/iterable of bytes, not NoneType/ ],
    [ b => "'text'", qr/iterable of bytes, not str/ ],
    [ b => "b'bytes'", qr/iterable of bytes, not bytes: put it into a list/ ],
    [ b => "['text']", qr/items of the body must be bytes, not str/ ],
    [ b => "[1]", qr/items of the body must be bytes, not int/ ],
    [ b => "iter(['text'])", qr/items of the body must be bytes, not str/ ],
    [ b => "[bytearray(b'x')]", qr/items of the body must be bytes, not bytearray/ ],
);
for my $case (@broken) {
    my ($what, $python, $rule) = @$case;
    my $before = length $server->log_text;
    my $answer = curl($server->url("/responds?$what=" . quote($python)));
    is($answer->{status}, 500, "$what=$python: 500");
    unlike($answer->{body}, qr/^body|text$/, '... nothing of its own');
    my @lines = grep { /PYD\d+/ } split /\n/, substr $server->log_text, $before;
    is(scalar @lines, 1, '... one line in the log') or diag @lines;
    like($lines[0] // '', qr{PYD0215: application \S+/rules\.py in 'rules' broke PEP 3333 in its response to GET /responds}, '... says so');
    like($lines[0] // '', $rule, '... with the rule');
}

my @others = (
    [ twice => qr/PYD0215.*start_response was called again without exc_info/ ],
    [ no_start_empty => qr/PYD0215.*not called start_response/ ],
    [ unstarted => qr/PYD0215.*start_response was not called before/ ],
    [ body_first => qr/PYD0215.*start_response was not called before/ ],
    [ write_str => qr/PYD0215.*write\(\) must be given bytes, not str/ ],
    [ raises => qr/PYD0214.*ValueError: before start_response/ ],
    [ raises_after_start => qr/PYD0214.*ValueError: after start_response/ ],
    [ first_raises => qr/PYD0214.*ValueError: at once/ ],
    [ base_exception => qr/PYD0214.*KeyboardInterrupt/ ],
);
for my $case (@others) {
    my ($path, $rule) = @$case;
    my $before = length $server->log_text;
    my $answer = curl($server->url("/$path?$path"));
    is($answer->{status}, 500, "$path: 500");
    like(substr($server->log_text, $before), $rule, '... and why');
}
like($server->log_text, qr/Traceback .*in application.*in raises\b.*ValueError: before/s, 'exceptions come with their traceback');

# Nothing that a client sends back in a header gets out of it.
my $client = client($server->port, "GET /responds?h=[('A',%22b%5Cr%5CnX-Evil:1%22)] HTTP/1.1\r\nHost: h\r\n\r\n");
unlike($client->response->{head}, qr/X-Evil/i, 'no header can be smuggled in');
like(curl($server->url('/fine?fine'))->{body}, qr/^onetwo$/, 'the worker serves on');
is(scalar(() = $server->log_text =~ /is ready after/g), 1, '... it is the same one');

$server->announce(qr/PYD0215/, qr/PYD0214/);
$server->tolerate(qr/\] (?:Traceback|  |[\w.]+(?:Error|Interrupt): )/);
finish();
