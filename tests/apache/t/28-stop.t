# SPDX-License-Identifier: Apache-2.0
# Stop, graceful-stop, restart, graceful, and httpd -X: what runs is finished where httpd finishes it, nothing is left.
use PyDaemonTest;
use PyDaemonTest::Background;

my $conf = <<'CONF';
<Location />
    Require all granted
</Location>
MaxKeepAliveRequests 0
PyDaemonProcess a processes=2 threads=4
PyDaemonAlias /a @apps@/fate.py group=a
PyDaemonProcess slow shutdown-timeout=2
PyDaemonAlias /slow @apps@/fate.py group=slow
CONF
my $server = start_server(start => 0, conf => $conf);
my $dir = $server->dir;
mkdir "$dir/marks" and chmod 0777, "$dir/marks";
my $mark = 0;

sub names { return join ' ', sort map { m{([^/]+)$} } glob $_[0] }    # of the files that match

my $files = names("$dir/*");
my $shared = names('/dev/shm/*');

sub begin { # PATH: a request that runs until finish is called with what this returns
    my ($path) = @_;
    my $name = "$dir/marks/" . ++$mark;
    my $request = background(sub { curl($server->url("$path?mark=$name&wait=$name-go")) });
    wait_for(sub { -s $name }) or die 'the application was not called';
    return { request => $request, name => $name, worker => PyDaemonTest::slurp($name) + 0 };
}

sub end {
    my ($begun) = @_;
    open my $go, '>', "$begun->{name}-go" or die $!;
    close $go;
    return $begun->{request}->result;
}

sub ready { return scalar(() = $server->log_text =~ /is ready after/g) }

sub serves { return wait_for(sub { 3 == $server->workers && curl($server->url('/a'))->{status} == 200 }) }

sub listening { # PID: the listening TCP sockets it holds
    my ($pid) = @_;
    my %listening = map { (split)[3] eq '0A' ? ((split)[9] => 1) : () } split /\n/, PyDaemonTest::slurp('/proc/net/tcp');
    return grep { $listening{$_} } map { (readlink($_) // '') =~ /^socket:\[(\d+)\]/ ? $1 : () } glob "/proc/$pid/fd/*";
}

sub can_bind { return defined IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => $server->port, ReuseAddr => 1) }

# Stop.
$server->start;
ok(serves(), 'serves');
is(names("$dir/*"), join(' ', sort split(' ', $files), 'httpd.pid'), '... without files of its own');
is(names('/dev/shm/*'), $shared, '... nor in /dev/shm');
cmp_ok(scalar listening($server->pid), '>=', 1, '... httpd listens');
is(scalar listening($_), 0, '... ' . PyDaemonTest::Process::title($_) . ' does not') for $server->managers, $server->workers;
my $hangs = begin('/slow');
my ($manager) = $server->managers;
kill TERM => $server->pid;
ok(wait_for(sub { !$server->accepts }, 5), 'stop, with a request that does not end');
ok(PyDaemonTest::Process::lives($manager), '... the manager still waits for it');
ok(can_bind(), '... and the port is free');
ok(wait_for(sub { !$server->processes }, 10), '... then nothing is left');
is(names("$dir/*"), $files, '... no file');
is(names('/dev/shm/*'), $shared, '... nor in /dev/shm');

# Graceful and hard restart.
$server->start;
ok(serves(), 'serves again');
for my $how ('graceful', 'restart') {
    my $running = begin('/a');
    my @old = ($server->managers, $server->workers);
    ok($server->$how, "$how: done");
    is(curl($server->url('/a'))->{status}, 200, '... the next request is served');
    my $answer = end($running);
    is($answer->{status}, 200, '... the one that ran is finished') if $how eq 'graceful';
    like($answer->{body}, qr/^GET $running->{worker} 0$/, '... by the worker that had begun it') if $how eq 'graceful';
    ok(wait_for(sub { !grep { PyDaemonTest::Process::lives($_) } @old }, 15), '... nothing of the old generation is left');
    ok(serves(), '... the new one is complete');
    is(scalar $server->managers, 1, '... with one manager');
}

# Graceful again and again while requests come.
my @loads = (load($server->port, '/a', 3), load($server->port, '/a', 1, method => 'POST'));
my @old = ($server->managers, $server->workers);
for (1 .. 4) {
    ok($server->graceful, "graceful under load, $_");
}
for my $count (map { $_->end } @loads) {
    is(join(' ', sort keys %$count), '200', "... no failed request (@{[ %$count ]})");
}
ok(wait_for(sub { !grep { PyDaemonTest::Process::lives($_) } @old }, 15), '... nothing of the old generation is left');

# Graceful stop.
my $last = begin('/a');
my ($status, $output) = $server->command('-k', 'graceful-stop');
is($status, 0, 'graceful-stop') or diag $output;
ok(wait_for(sub { !$server->accepts }, 5), '... accepts no more');
ok($last->{request}->is_running, '... a request that runs goes on');
is(end($last)->{status}, 200, '... and is finished');
ok(wait_for(sub { !$server->processes }, 15), '... then nothing is left');

# In one process, in the foreground.
my $ready = ready();
my $foreground = background(sub { [ $server->command('-X') ] });
ok(wait_for(sub { $server->pid && $server->accepts }), '-X: starts');
ok(wait_for(sub { ready() == $ready + 3 }), '... with all workers');
my ($killed) = $server->workers('a');
kill KILL => $killed;
ok(wait_for(sub { 3 == grep { $_ != $killed } $server->workers }), '... replaces a worker');
is(curl($server->url('/a'))->{status}, 200, '... serves');
kill TERM => $server->pid;
ok(wait_for(sub { !$server->processes }, 15), '... stops without anything left');
is($foreground->result->[0], 0, '... in good order');

unlike($server->log_text, qr/AH00488|long lost child/, 'httpd knows all its children');
$server->announce(qr/PYD0601: .*pid=$killed\)/);
$server->tolerate(qr/PYD080[56].*'slow'|PYD060[14]: .*'slow'.*shutdown-timeout/);
finish();
