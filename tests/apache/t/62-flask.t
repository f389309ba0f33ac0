# SPDX-License-Identifier: Apache-2.0
# A Flask application, on the second Python where one is configured: routes, JSON, forms, sessions, streams, errors.
use PyDaemonTest;
use JSON::PP qw(decode_json);
use PyDaemonTest::Site;

my $site = start_site(shop_options => 'processes=2 threads=4 env=MEETING_DIR=@dir@/meeting');
my $server = $site->server;
mkdir "$site->{dir}/meeting" or die $!;
chmod 01777, "$site->{dir}/meeting";

for my $protocol ($site->protocols) {
    is($site->get('shop', $protocol, '/')->{body}, "flask at \n", "$protocol: index");
    my $who = decode_json($site->get('shop', $protocol, '/whoami')->{body});
    is($who->{scheme}, $protocol =~ /^h(?:ttps|2)$/ ? 'https' : 'http', '... knows its scheme');
    is($who->{host}, 'shop.test:' . $server->port($who->{scheme} eq 'https' ? 2 : 1), '... and its name');

    my $item = decode_json($site->get('shop', $protocol, '/item/42/a/b%20c%C3%A4?x=1%262&y=')->{body});
    is_deeply($item, { number => 42, rest => "a/b c\x{e4}", arguments => { x => '1&2', y => '' }, url => '/item/1/a%20b' },
        'a route with a number and a path');
    is($site->get('shop', $protocol, '/item/x/y')->{status}, 404, '... and 404 for what does not fit');

    my @json = ('-H', 'Content-Type: application/json', '--data-binary', '{"a": [1, "\u20ac"], "b": null}');
    my $answer = $site->get('shop', $protocol, '/json', @json);
    is($answer->{headers}{'content-type'}[0], 'application/json', 'JSON');
    is_deeply(decode_json($answer->{body}), { received => { a => [ 1, "\x{20ac}" ], b => undef }, method => 'POST' }, '... both ways');
    is($site->get('shop', $protocol, '/json', '-X', 'DELETE')->{status}, 405, 'a method that is not allowed');
    $answer = $site->get('shop', $protocol, '/json', '-H', 'Content-Type: application/json', '-d', '{');
    is($answer->{status}, 400, 'bad JSON');

    $answer = decode_json($site->get('shop', $protocol, '/form', '-F', 'a=1', '-F', 'a=2', '-F', 'f=<-')->{body});
    is_deeply($answer->{fields}{a}, [ 1, 2 ], 'a form');
    my $big = File::Temp->new;
    print $big 'x' x 3_000_000;
    close $big;
    is($site->get('shop', $protocol, '/length', '--data-binary', "\@$big")->{body}, 3_000_000, 'a body with its length');
    is($site->get('shop', $protocol, '/length', '--data-binary', "\@$big", '-H', 'Transfer-Encoding: chunked')->{body},
        3_000_000, '... and one without') if $protocol eq 'h1' || $protocol eq 'https';

    my $browser = $site->browser('shop', $protocol);
    is(join(' ', map { $browser->get('/count')->{body} } 1 .. 3), '1 2 3', 'a session in a cookie');
    is($site->get('shop', $protocol, '/count')->{body}, 1, '... for each client its own');

    $answer = $site->get('shop', $protocol, '/stream/1000');
    is($answer->{body}, join('', map { "piece $_\n" } 0 .. 999), 'a stream');
    my $meeting = "meet-$protocol";
    open my $stream, '-|', 'curl', '-q', '-sSN', '--noproxy', '*', '--max-time', 60, $site->curl_options,
        $protocol eq 'h2c' ? '--http2-prior-knowledge' : $protocol eq 'h2' ? '--http2' : '--http1.1',
        $site->address('shop', $who->{scheme}, "/slow-stream?meet=$meeting") or die $!;
    is(scalar(readline $stream), "first\n", 'each piece is sent at once');
    is($site->get('shop', $protocol, "/meet?meet=$meeting")->{status}, 204, '... while the stream goes on');
    is(scalar(readline $stream), "met\n", '... and ends');
    close $stream;

    is($site->get('shop', $protocol, '/away')->{headers}{location}[0], '/', 'a redirect');
    $answer = $site->get('shop', $protocol, '/teapot');
    is($answer->{status}, 418, "a status httpd does not know");
    like($answer->{body}, qr/teapot/i, "... with Flask's page");
    is($site->get('shop', $protocol, '/boom')->{status}, 500, 'a view that raises');
    is($site->get('shop', $protocol, "/log?what=$protocol")->{body}, "logged\n", "a line by Flask's logger");
}
my $head = $site->get('shop', 'h1', '/stream/10', '-I');
is($head->{status}, 200, 'HEAD of a stream');
unlike($head->{body}, qr/piece/, '... has none');

# Each traceback once, whole, in the vhost's log only, with the request's client: Flask writes to wsgi.errors.
# (httpd calls the client of an HTTP/2 stream "remote".)
my $count = my @protocols = $site->protocols;
my $log = $site->log_of('shop');
is(scalar(() = $log =~ /Exception on \/boom \[GET\]/g), $count, 'each error is logged once');
is(scalar(() = $log =~ /RuntimeError: boom in flask/g), $count, '... with its exception');
is(scalar(() = $log =~ /\[pydaemon:error\] .*\[(?:client|remote) 127\.0\.0\.1:\d+\] +File ".*flask_app\.py", line \d+, in boom/g), $count,
    '... the place and the client');
is(scalar(() = $log =~ /warned by flask: /g), $count, 'so is each line of the logger');
unlike($site->log_of('blog') . $site->log_of, qr/flask/, "... and nothing in others' logs");
$server->announce(qr/Exception on \/boom/, qr/RuntimeError: boom in flask/, qr/warned by flask/, qr/Traceback/,
    qr/\[(?:client|remote) 127\.0\.0\.1:\d+\] +(?:File "|\S)|\] \S+$/);
$server->tolerate(qr/DeprecationWarning|'shop' \(pid=\d+\): +\S/);
finish();
