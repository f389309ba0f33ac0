# SPDX-License-Identifier: Apache-2.0
# Many requests of all kinds at once, over the same few connections to the same few threads: each gets its own answer,
# whatever happened to the ones before it.
use PyDaemonTest;
use PyDaemonTest::Background;
use PyDaemonTest::Client;

my $server = start_server(conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess mixed processes=2 threads=2
PyDaemonAlias /rules "@apps@/rules.py" group=mixed
PyDaemonAlias /environ "@apps@/environ.py" group=mixed
PyDaemonAlias /echo "@apps@/echo.py" group=mixed
PyDaemonAlias /late "@apps@/reads_late.py" group=mixed
PyDaemonAlias /files "@apps@/files.py" group=mixed
END
my $port = $server->port;

sub message { # METHOD, TARGET, HEADER LINE or '', BODY
    my ($method, $target, $head, $body) = @_;
    return "$method $target HTTP/1.1\r\nHost: h\r\n" . ($head ? "$head\r\n" : '') . "\r\n" . ($body // '');
}
sub ask {
    my $client = client($port, message(@_));
    my $got = $client->response(seconds => 30);
    $client->close;
    return $got;
}
sub get { return ask('GET', @_) }
sub post { my ($target, $body) = @_; return ask('POST', $target, 'Content-Length: ' . length $body, $body) }
sub post_chunked { # TARGET, SIZE of the chunk, BODY
    my ($target, $size, $body) = @_;
    return ask('POST', $target, 'Transfer-Encoding: chunked', sprintf "%x\r\n%s\r\n0\r\n\r\n", $size, $body);
}
sub leave { # MESSAGE...: send it, wait for a head or not, and go away
    my ($wait, @message) = @_;
    my $client = client($port, message(@message));
    $client->expect(qr/\r\n\r\n/) if $wait;
    $client->abort;
    return 0;
}

# Each returns true if its answer is wrong.
my @kinds = (
    sub { get("/environ/$_[0]?$_[0]")->{body} !~ m{^PATH_INFO='/$_[0]'$}m },
    sub { get('/environ', 'X-Id: ' . $_[0] x 9000)->{status} != 400 },
    sub { my $text = "$_[0] " x (1 + $_[0] % 5000); post('/echo', $text)->{body} ne $text },
    sub { my $text = "$_[0] " x 20_000; post_chunked('/echo', length $text, $text)->{body} ne $text },
    sub { post('/late?read=4', "$_[0] " x 10_000)->{body} ne "got $_[0]" },
    sub { length get("/files/regular?size=$_[0]")->{body} != $_[0] },
    sub { my $got = get('/rules/half?x'); $got->{complete} || $got->{body} ne 'onetwo' },
    sub { get('/rules/raises')->{status} != 500 },
    sub { get('/rules/long_body?x')->{body} ne '12345' },
    sub { my $got = post_chunked('/late?start=1&read=0', 3, 'abcde'); $got->{complete} || $got->{body} ne 'begun ' },
    # and clients that go away
    sub { leave(0, 'POST', '/late?read=0', 'Content-Length: 50000', 'x' x ($_[0] % 50_000)) },
    sub { leave(1, 'GET', '/files/regular?size=3000000') },
    sub { leave(0, 'GET', '/rules/fine?x') },
);

my ($clients, $rounds) = (6, 130);
my @results = map { my $seed = $_; background(sub {
    srand $seed;
    my @wrong;
    for my $round (1 .. $rounds) {
        my $kind = int rand @kinds;
        my $id = 1000 + int rand 8999;
        push @wrong, "seed $seed, round $round, kind $kind, id $id" if $kinds[$kind]->($id);
    }
    return \@wrong;
}) } 1 .. $clients;
my @wrong = map { my $result = $_->result; ref $result eq 'ARRAY' ? @$result : $result->{error} } @results;
is("@{[scalar @wrong]}: @wrong", '0: ', "$clients clients, $rounds requests each");

is(get("/environ/$_")->{status}, 200, 'all threads serve') for 1 .. 8;
is(scalar(() = $server->log_text =~ /is ready after/g), 2, 'the same two workers');

$server->tolerate(qr/PYD0214: .*before start_response/, qr/PYD1010: .*half/, qr/PYD1013/, qr/\] (?:Traceback|  |[\w.]+Error: )/);
unlike($server->log_text, qr/PYD021[0-35-9]|PYD022/, 'no failure of the transport');
finish();
