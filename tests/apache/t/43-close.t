# SPDX-License-Identifier: Apache-2.0
# close() of what the application returned is called once, however the request goes.
use PyDaemonTest;
use PyDaemonTest::Client;

my $server = start_server(conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess rules
PyDaemonAlias / "@apps@/rules.py" group=rules
END

sub closed { return curl($server->url("/closed?$_[0]"))->{body} }

for my $path (qw(fine write half half_length first_raises bad_item long_body short_body unstarted close_raises)) {
    for my $method (qw(GET HEAD)) {
        my $key = "$path-$method";
        talk($server->port, "$method /$path?$key HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        wait_for(sub { closed($key) eq '1' });
        is(closed($key), 1, "$method $path: closed once");
    }
}
# 204, 304: nothing is sent of the body, all else is as usual.
for my $status ('204 No Content', '304 Not Modified') {
    my $python = "s='$status'&b=Body(environ,[b'a',b'b'])" =~ s/([ '\[\]\(\),])/sprintf '%%%02X', ord $1/ger;
    is(talk($server->port, "GET /responds?$python HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n") =~ /\r\n\r\n\z/, 1, $status);
    is(closed($python), 1, '... closed once');
}
# What close() does is the application's own affair: the response is whole.
my $answer = client($server->port, "GET /close_raises?again HTTP/1.1\r\nHost: h\r\n\r\n")->response;
is("$answer->{status} $answer->{body}", '200 fine', 'close() raises: the response is whole');
ok($answer->{complete}, '... and ends');
like($server->log_text, qr/PYD1012: close\(\) of what .* returned for GET \/close_raises\S* raised an exception:/, '... which is logged');

$server->announce(qr/PYD1010/, qr/PYD1011/, qr/PYD1012/, qr/PYD1013/, qr/PYD1014/, qr/PYD0214/, qr/PYD0215/);
$server->tolerate(qr/\] (?:Traceback|  |[\w.]+Error: )/);
finish();
