# SPDX-License-Identifier: Apache-2.0
# socket-timeout: the longest wait for a client, for body that was asked for and for room to send. httpd's Timeout (20
# here) is its default; it does not count where the option is given.
use PyDaemonTest;
use Time::HiRes qw(time);

my $server = start_server(start => 0, conf => '');
my $dir = $server->dir;
mkdir "$dir/marks" or die $!;
chmod 0777, "$dir/marks";
$server->write_file('endless.py', <<'END');
class Endless:
    def __init__(self, mark):
        self.mark = mark

    def __iter__(self):
        return self

    def __next__(self):
        return b"x" * 65536

    def close(self):
        open(self.mark, "w").close()


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Endless(environ["QUERY_STRING"])
END
$server->write_conf(<<'END');
PyDaemonProcess short threads=2 socket-timeout=1s
PyDaemonProcess long threads=2
PyDaemonAlias /short/endless @dir@/endless.py group=short
PyDaemonAlias /short @apps@/echo.py group=short
PyDaemonAlias /long @apps@/echo.py group=long
END
$server->start;

sub post { # a request whose body does not come; the socket
    my ($path) = @_;
    my $socket = raw_connection($server->port);
    print $socket "POST $path HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\nContent-Type: text/plain\r\n\r\n" . 'x' x 50000;
    return $socket;
}

my $start = time;
my $long = post('/long');
my $short = post('/short');
my $line = <$short> // '';
my $took = time - $start;
like($line, qr{^HTTP/1\.1 408 }, 'a body that stops: 408');
cmp_ok($took, '>', 0.9, sprintf '... after socket-timeout (%.1f s)', $took);
cmp_ok($took, '<', 16, "... and not after httpd's Timeout");
my $set = '';
vec($set, fileno $long, 1) = 1;
is(scalar(select $set, undef, undef, 0), 0, "without the option: httpd's Timeout, which is longer");
close $long;

# Nobody reads: the application's iterable is closed, and its thread is free.
$start = time;
my $reader = raw_connection($server->port);
print $reader "GET /short/endless?$dir/marks/closed HTTP/1.1\r\nHost: h\r\n\r\n";
ok(wait_for(sub { -e "$dir/marks/closed" }, 12), 'a client that does not read: the iterable is closed');
$took = time - $start;
cmp_ok($took, '>', 0.9, sprintf '... after socket-timeout (%.1f s)', $took);
is(curl($server->url('/short'), '-d', 'x')->{body}, 'x', '... and the group works');
close $reader;
# Nothing of this is worth more than info: finish() sees to it.

finish();
