# SPDX-License-Identifier: Apache-2.0
# Clients that read slowly hold what dead workers left for them, and clients that go away leave requests behind: neither
# keeps a group from serving others.
use PyDaemonTest;
use PyDaemonTest::Client;

my $server = start_server(start => 0, conf => '');
my $dir = $server->dir;
mkdir "$dir/marks" and chmod 0777, "$dir/marks";
open my $out, '>', "$dir/app.py" or die $!;
print $out <<'PYTHON';
import os
def application(environ, start_response):
    mark = environ["QUERY_STRING"]
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/streams":
        yield b"begins\n"
        for i in range(1000):
            with open(mark, "a") as out:
                out.write("x")
            yield b"x" * 65536
    elif mark:
        open(mark, "w").close()
    yield b"%d\n" % os.getpid()
PYTHON
close $out or die $!;
$server->write_conf(<<CONF);
<Location />
    Require all granted
</Location>
LogLevel info
Timeout 300
SendBufferSize 8192
PyDaemonProcess one processes=1 threads=1
PyDaemonAlias /one $dir/app.py group=one
CONF
$server->start;
ok($server->wait_for_log(qr/Worker 1 of 'one' is ready/), 'a group with one process has three slots');

sub ask { my ($path, @options) = @_; return client($server->port, "GET $path HTTP/1.1\r\nHost: h\r\n\r\n", @options) }

sub stands_still { # FILE grows no more
    my ($file) = @_;
    wait_for(sub { my $size = -s $file; $size && !wait_for(sub { $size != -s $file }, 0.5) });
}

# Each has a response under way that is larger than what is buffered on the way when its worker is killed.
my @slow;
for my $round (1 .. 3) {
    my ($worker) = $server->workers('one');
    push @slow, ask("/one/streams?$dir/marks/$round", receive_bytes => 4096);
    ok(defined $slow[-1]->expect(qr/begins/), "client $round begins to read");
    ok(stands_still("$dir/marks/$round"), '... and stops, which holds up the worker');
    kill KILL => $worker;
    ok($server->wait_for_log(qr/PYD0601: .*pid=$worker\)/), '... which is killed');
    last if $round == 3;
    ok(wait_for(sub { 1 + $round == (() = $server->log_text =~ /is ready after/g) }), '... and replaced in another slot');
}
is(curl($server->url('/one'), '--max-time', 20)->{status}, 200, 'when no slot is left, one is taken back');
is(scalar(grep { !$_->silent(0) && $_->{ended} } @slow), 0, '... while all three clients are still there');
my ($worker) = $server->workers('one');
$_->abort for @slow;
is(curl($server->url('/one'))->{body}, "$worker\n", '... and who comes late does no harm') for 1 .. 5;

# Requests that were given up before a worker took them are not executed when it does.
PyDaemonTest::Process::halt($worker);
for my $round (1 .. 5) {
    my $client = ask("/one/given-up?$dir/marks/given-up-$round");
    $client->silent(0.3);
    $client->abort;
    ok($server->wait_for_log(qr{client has gone before its response to GET \S+/given-up-$round\b}), "request $round is given up");
}
kill CONT => $worker;
is(curl($server->url("/one?$dir/marks/last"))->{body}, "$worker\n", 'the next one is answered');
ok(!wait_for(sub { glob "$dir/marks/given-up-*" }, 0.5), '... and none of those is executed');

$server->announce(qr/PYD0601: .*killed by signal 9/);
$server->tolerate(qr/PYD0210: .*response cut/);
finish();
