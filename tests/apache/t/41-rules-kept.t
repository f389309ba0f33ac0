# SPDX-License-Identifier: Apache-2.0
# What PEP 3333 allows, as the client gets it: write(), exc_info, statuses, headers, lengths, HEAD.
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
sub responds { my (%part) = @_; return '/responds?' . join '&', map { "$_=" . quote($part{$_}) } sort keys %part }
sub get { my ($path, $method) = @_; return client($server->port, ($method // 'GET') . " $path HTTP/1.1\r\nHost: h\r\n\r\n") }
sub ask { return get(@_)->response }

# ---- ways of giving a body ------------------------------------------------------------------------------------------
is(ask('/write?write')->{body}, 'one two three', 'write(), then the iterable');
is(ask('/late_start?x')->{body}, 'late', 'start_response in the first next(), empty items before');
is(ask('/Class?x')->{body}, 'from a class', 'a class as the application');
is(ask(responds(b => "(b'a', b'b')"))->{body}, 'ab', 'a tuple');
is(ask(responds(b => "[b'', b'a', b'', b'b', b'']"))->{body}, 'ab', 'empty items');
is(ask(responds(b => "map(str.encode, 'abc')"))->{body}, 'abc', 'an iterator');
is(ask(responds(b => "type('L', (list,), {})([b'a', b'b'])"))->{body}, 'ab', 'a list of a class of its own');

# ---- exc_info -------------------------------------------------------------------------------------------------------
my $answer = ask('/exc_info_before?x');
is("$answer->{status} $answer->{body}", '503 changed', 'exc_info before the headers were sent: replaced');
like($answer->{head}, qr{^HTTP/1.1 503 Changed\r\n}, '... with the reason');
ok(!$answer->{headers}{'x-old'} && $answer->{headers}{'x-new'}, '... and the headers');
for my $path (qw(exc_info_after exc_info_after_write)) {
    $answer = ask("/$path?x");
    is("$answer->{status} $answer->{body}", '200 begun ', "$path: raised, the response ends there");
    ok(!$answer->{complete}, '... and is cut');
}
$server->announce(qr/PYD1010.*exc_info_after\b/, qr/PYD1010.*exc_info_after_write/, qr/LookupError: caught by/);
$server->tolerate(qr/\] (?:Traceback|  )/);

# ---- status ---------------------------------------------------------------------------------------------------------
for my $case ([ '200' => '200 OK' ], [ '404' => '404 Not Found' ], [ '418 I am a teapot' => "418 I am a teapot" ],
    [ '599 Of my own' => '599 Of my own' ], [ '299' => '299 ' ], [ '200 ' => '200 OK' ], [ '999 Far out' => '999 Far out' ],
    [ '500 Broken' => '500 Broken' ], [ '302 Found' => '302 Found' ], [ '200 Caf\xe9' => "200 Caf\xe9" ])
{
    my ($given, $expected) = @$case;
    $answer = ask(responds(s => "'$given'"));
    like($answer->{head}, qr/^HTTP\/1\.1 \Q$expected\E\r\n/, "status '$given'");
    is($answer->{body}, 'body', '... with its body');
}

# ---- headers --------------------------------------------------------------------------------------------------------
$answer = ask(responds(h => "[('Set-Cookie', 'a=1'), ('X-Twice', '1'), ('Set-Cookie', 'b=2'), ('X-Twice', '2'),"
    . " ('WWW-Authenticate', 'Basic'), ('WWW-Authenticate', 'Digest'), ('X-Empty', ''), ('X-Latin', 'caf\\xe9'),"
    . " ('x-!#\$%&*+.^_`|~', 'odd'), ('X-Tab', 'a\\tb'), ('Content-Type', 'text/x; charset=k')]"));
is_deeply($answer->{headers}{'set-cookie'}, [ 'a=1', 'b=2' ], 'two Set-Cookie stay two, in order');
is_deeply($answer->{headers}{'x-twice'}, [ '1', '2' ], 'and so does any other header');
is_deeply($answer->{headers}{'www-authenticate'}, [ 'Basic', 'Digest' ], '... WWW-Authenticate');
is_deeply($answer->{headers}{'x-empty'}, [''], 'an empty value');
is_deeply($answer->{headers}{'x-latin'}, ["caf\xe9"], 'latin-1 in a value');
is_deeply($answer->{headers}{'x-tab'}, ["a\tb"], 'a tab in a value');
is_deeply($answer->{headers}{'x-!#$%&*+.^_`|~'}, ['odd'], 'any token is a name');
is_deeply($answer->{headers}{'content-type'}, ['text/x; charset=k'], 'Content-Type as it was given');
is($answer->{headers}{connection}, undef, 'the connection is kept');
$answer = ask(responds(h => '[]'));
is($answer->{headers}{'content-type'}, undef, 'no Content-Type unless the application gives one');
is(scalar @{ $answer->{headers}{$_} // [] }, 1, "one $_ of httpd's") for qw(date server);
$answer = ask(responds(h => "[('Date', 'Thu, 01 Jan 1970 00:00:00 GMT'), ('Server', 'mine')]"));
is(scalar @{ $answer->{headers}{$_} // [] }, 1, "one $_ even if the application has its own") for qw(date server);

$answer = ask(responds(h => "[('X-%d' % n, 'v' * n) for n in range(200)] + [('X-Large', 'v' * 1000000)]"));
is(scalar(grep { $answer->{headers}{"x-$_"}[0] eq 'v' x $_ } 0 .. 199), 200, '200 headers');
is(length $answer->{headers}{'x-large'}[0], 1_000_000, '... and one of 1 MB');

# ---- lengths --------------------------------------------------------------------------------------------------------
is_deeply(ask(responds(b => "[b'abc']"))->{headers}{'content-length'}, ['3'], 'Content-Length of a list of one item');
is_deeply(ask(responds(b => "(b'abc',)"))->{headers}{'content-length'}, ['3'], '... and of a tuple');
is_deeply(ask(responds(b => "[b'']"))->{headers}{'content-length'}, ['0'], '... of nothing');
for my $body ('[]', "iter(())", "[b'', b'']") {
    my $client = get(responds(b => $body));
    $answer = $client->response;
    ok($answer->{complete} && $answer->{status} == 200 && $answer->{body} eq '', "empty body $body: complete");
    $client->send("GET /closed?none HTTP/1.1\r\nHost: h\r\n\r\n");
    is($client->response->{body}, 'never', '... and the connection goes on');
}
for my $status ('204 No Content', '304 Not Modified') {
    my $client = get(responds(s => "'$status'", h => "[('ETag', '\"x\"'), ('Content-Length', '4')]", b => "[b'body']"));
    $answer = $client->response;
    like($answer->{head}, qr{^HTTP/1\.1 \Q$status\E\r\n}, "$status");
    is_deeply($answer->{headers}{etag}, ['"x"'], '... with its headers');
    is($answer->{headers}{'content-length'}, undef, '... without Content-Length') if $status =~ /204/;
    is($answer->{headers}{'transfer-encoding'}, undef, '... without chunks');
    $client->send("GET /closed?none HTTP/1.1\r\nHost: h\r\n\r\n");
    is($client->response->{body}, 'never', '... and no body: the next response follows');
}

# ---- pipelined ------------------------------------------------------------------------------------------------------
my @wanted = map { (qw(Class fine write empty))[$_ % 4] } 1 .. 50;
my $all = client($server->port, join '', map { my $path = $_ eq 'empty' ? responds(b => '[]') : "/$_?p";
    "GET $path HTTP/1.1\r\nHost: h\r\n\r\n" } @wanted);
my %bodies = (fine => 'onetwo', write => 'one two three', empty => '', Class => 'from a class');
is(scalar(grep { my $got = $all->response; $got->{status} && $got->{body} eq $bodies{$_} } @wanted), 50,
    '50 pipelined requests are answered in order');

# ---- HEAD: as GET, without the body ---------------------------------------------------------------------------------
for my $path (responds(b => "[b'abc']"), responds(h => "[('Content-Length', '77')]", b => '[]'),
    responds(h => "[('Content-Length', '3')]", b => "iter([b'abc'])"), '/fine?head')
{
    my $client = get($path, 'HEAD');
    my $head = $client->response(head => 1);
    is($head->{status}, 200, "HEAD $path");
    my $length = $path =~ /77|%37/ ? '77' : $path =~ /fine/ ? undef : '3';
    is($head->{headers}{'content-length'} && $head->{headers}{'content-length'}[0], $length, '... the length of GET');
    $client->send("GET /closed?head HTTP/1.1\r\nHost: h\r\n\r\n");
    like($client->response->{head}, qr{^HTTP/1\.1 200}, '... no body: the next response follows');
}

finish();
