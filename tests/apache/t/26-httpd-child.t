# SPDX-License-Identifier: Apache-2.0
# An httpd child that is killed holds nothing for ever: its claims and its places in the queue come back.
use PyDaemonTest;
use PyDaemonTest::Background;
use PyDaemonTest::Client;

my $prefork = PyDaemonTest::Build::mpm() eq 'prefork';
my $server = start_server(conf => <<'CONF');
<Location />
    Require all granted
</Location>
KeepAlive Off
PyDaemonProcess small processes=1 threads=2 queue-limit=4
PyDaemonAlias /small @apps@/fate.py group=small
CONF
my $dir = $server->dir;
mkdir "$dir/marks" and chmod 0777, "$dir/marks";
ok($server->wait_for_log(qr/Worker 1 of 'small' is ready/), 'a group with two threads, and a queue of four');

sub children { # httpd's children that serve, not the manager
    my %no = map { $_ => 1 } $server->managers, $server->workers, $server->pid;
    return grep { !$no{$_} && PyDaemonTest::Process::parent($_) == $server->pid } $server->processes;
}

sub ask { my ($path) = @_; return client($server->port, "GET $path HTTP/1.1\r\nHost: h\r\n\r\n") }

for my $round (1 .. 2) {
    my $name = "$dir/marks/$round";
    my @running = map { ask("/small?mark=$name-$_&wait=$name-go") } 1, 2;
    ok(wait_for(sub { -s "$name-1" && -s "$name-2" }), "round $round: both threads are busy");
    # A probe that comes too early takes a place itself, and one of the four is refused: then that one asks again.
    my @waiting;
    my $full = sub {
        @waiting = grep { $_->silent(0) } @waiting;
        push @waiting, ask('/small/waiting') while @waiting < 4;
        return curl($server->url('/small'), '--max-time', 1)->{status} == 503 && 4 == grep { $_->silent(0) } @waiting;
    };
    ok(wait_for($full), '... the queue is full');

    my @children = children();
    kill KILL => @children;
    ok(wait_for(sub { !grep { PyDaemonTest::Process::lives($_) } @children }), '... httpd\'s children are killed');
    ok($_->ended(2), '... a client sees its end') for @running, @waiting;
    ok(wait_for(sub { children() }, 5), '... httpd starts new ones');

    # The queue's places are free again, though both threads still run what nobody waits for.
    my @again = map { ask("/small/again/$_") } 1 .. 4;
    my $refused = grep { !$_->silent(0.3) } @again;
    is($refused, 0, '... four can wait again');
    open my $go, '>', "$name-go" or die $!;
    close $go;
    is($_->response->{status}, 200, '... and are served when the threads are free') for @again;

    # And both threads are.
    my @both = map { ask("/small?mark=$name-b$_&wait=$name-bgo") } 1, 2;
    ok(wait_for(sub { -s "$name-b1" && -s "$name-b2" }, 2), '... two at a time again');
    open $go, '>', "$name-bgo" or die $!;
    close $go;
    is($_->response->{status}, 200, '... and answered') for @both;
}
is(scalar(() = $server->log_text =~ /Starting worker/g), 1, 'the worker is still the first one');
$server->announce(qr/PYD0201: queue of 'small' is full/);
finish();
