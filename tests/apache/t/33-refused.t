# SPDX-License-Identifier: Apache-2.0
# A worker that is stopping refuses requests, and others get them. Who refuses to gain time does not get it.
use PyDaemonTest;
use PyDaemonTest::Client;

my $server = start_server(start => 0, conf => '');
my $dir = $server->dir;
mkdir "$dir/marks" and chmod 0777, "$dir/marks";
$server->write_file('fake/python3.99', "\x7fELF", 0755);
PyDaemonTest::Server::place(PyDaemonTest::Build::fact('builddir') . '/tests/hostile/hostile_worker', $dir);
rename "$dir/hostile_worker", "$dir/workers/pydaemon-worker-3.99" or die $!;
$server->write_conf(<<'CONF');
<Location />
    Require all granted
</Location>
<IfModule mpm_prefork_module>
    MinSpareServers 1
    MaxSpareServers 32
</IfModule>
<IfModule !mpm_prefork_module>
    MinSpareThreads 1
</IfModule>
PyDaemonProcess refuses threads=4 request-timeout=1 queue-timeout=6 shutdown-timeout=1
PyDaemonAlias /refuses @apps@/overdue.py group=refuses
PyDaemonProcess pair processes=2 threads=20 request-timeout=60 deadlock-timeout=off shutdown-timeout=1 python=fake/python3.99
PyDaemonAlias /pair @apps@/hello.py group=pair
CONF
$server->start;
ok(wait_for(sub { 3 == (() = $server->log_text =~ /is ready after/g) }), 'all workers start');

sub executed { return scalar(() = PyDaemonTest::slurp($_[0]) =~ /\n/g) }

# ---- what it has begun, or kept for long: that counts as a try, each with a time of its own ---------------------------------
for my $lie ('', 'lie=begun&') {
    my $file = "$dir/marks/refused" . length $lie;
    my $query = "log=$file&${lie}refuse=0.7";
    is(curl($server->url("/refuses?$query"))->{status}, 502, "refused late ($query): 502");
    is(executed($file), 2, '... after as many tries as there are workers, and one');
    like($server->log_text, qr{PYD0212: no worker of 'refuses' began GET /refuses\?\Q$query\E in 2 tries}, '... which is logged');
}

# ---- one refuses, the other takes no connection -------------------------------------------------------------------------
my ($full, $refuses) = $server->workers('pair');
my %managers = map { ($_ => 1) } $server->managers;
my @children = grep { PyDaemonTest::Process::parent($_) == $server->pid && !$managers{$_} } $server->processes;
sub sockets { return scalar grep { (readlink // '') =~ /^socket:/ } map { glob "/proc/$_/fd/*" } @children }
# Nobody takes the connections of requests whose clients go away again: at last there is no room for one more.
PyDaemonTest::Process::halt($full, $refuses);
my ($quiet, $rounds) = (sockets(), 0);
while (++$rounds < 400) {
    my @clients = map { client($server->port, "GET /pair?sHBE HTTP/1.1\r\nHost: h\r\n\r\n") } 1 .. 3;
    wait_for(sub { sockets() >= $quiet + 6 });
    $_->abort for @clients;
    wait_for(sub { sockets() <= $quiet });
    last if $server->log_text =~ /PYD0212: .*sHBE/;
}
cmp_ok($rounds, '<', 400, 'connections fill up');
kill CONT => $refuses;
ok(wait_for(sub { curl($server->url('/pair?sHBE'))->{status} == 200 }, 30), 'a worker takes them again');
is(curl($server->url('/pair?X'))->{status}, 502, 'one worker refuses, the other one takes no connection: 502');
like($server->log_text, qr{PYD0212: no worker of 'pair' began GET /pair\?X in 3 tries}, '... after several tries');
unlike($server->log_text, qr/PYD0210/, '... none of which counts as executed');
kill CONT => $full;

$server->announce(qr/PYD0212/);
$server->tolerate(qr/PYD0[678]\d\d: /, qr/PYD0212: .*'pair' began GET \S+sHBE/);
finish();
