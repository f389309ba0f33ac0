# SPDX-License-Identifier: Apache-2.0
# The manager dies and httpd's parent cannot fork: it tries again, without a reload, and a reload does so, too.
use PyDaemonTest;
use PyDaemonTest::Background;

# The limit on processes is nothing to root: this httpd is somebody else.
my ($user) = PyDaemonTest::Build::is_root() ? need_users(1) : (PyDaemonTest::Build::user());
my $server = start_server(start => 0, user => $user, conf => <<'CONF');
<Location />
    Require all granted
</Location>
PyDaemonProcess a
PyDaemonAlias /a @apps@/fate.py group=a
CONF
my $dir = $server->dir;
mkdir "$dir/marks" and chmod 0777, "$dir/marks";
my @as_user = ();
if (PyDaemonTest::Build::is_root()) {
    my ($uid, $gid) = (getpwnam $user)[ 2, 3 ];
    chown $uid, $gid, $dir, "$dir/logs" or die $!;
    @as_user = ('setpriv', "--reuid=$uid", "--regid=$gid", '--clear-groups');
}
is(system(@as_user, PyDaemonTest::Build::fact('httpd'), '-f', "$dir/httpd.conf", '-k', 'start'), 0, 'httpd starts');
ok(wait_for(sub { 1 == $server->workers && 1 == $server->managers && curl($server->url('/a'))->{status} == 200 }, 30), '... and serves');
my $parent = $server->pid;

my ($allowed) = PyDaemonTest::slurp("/proc/$parent/limits") =~ /^Max processes\s+(\w+)/m;
sub may_fork {
    my ($yes) = @_;
    system(@as_user, 'prlimit', "--pid=$parent", '--nproc=' . ($yes ? $allowed : 0) . ':') == 0 or die "prlimit failed\n";
}

# Kill the manager when the parent cannot fork another one. @return its pid
sub orphan {
    my ($manager) = $server->managers;
    may_fork(0);
    kill KILL => $manager;
    ok($server->wait_for_log(qr/PYD0401: .*\(pid=$manager\) of generation \d+ ended \(killed by signal 9, Killed\) and cannot be started again/),
        'no fork for the manager\'s successor: the log says so');
    return $manager;
}

my $manager = orphan();
my ($worker) = $server->workers;
is(curl($server->url('/a'))->{status}, 200, '... requests go on');
is(scalar(() = $server->managers), 0, '... without a manager');
kill KILL => $worker;
my $waits = background(sub { curl($server->url('/a')) });
may_fork(1);
ok($server->wait_for_log(qr/generation 1 has a manager again, pid=\d+/, 15), '... it is forked as soon as possible');
ok($server->wait_for_log(qr/PYD0601: .*pid=$worker\).*ended: not known/), '... sees what has happened');
is($waits->result->{status}, 200, '... and a request that came meanwhile is served');

# A reload comes first; the generation of before is still needed, and ends with its last request.
wait_for(sub { 1 == $server->workers });
($worker) = $server->workers;
my $long = background(sub { curl($server->url("/a?mark=$dir/marks/long&wait=$dir/marks/go")) });
ok(wait_for(sub { -s "$dir/marks/long" }), 'a long request');
orphan();
may_fork(1);
ok($server->graceful, '... a graceful reload');
ok(wait_for(sub { 2 == $server->managers }, 15), '... both generations have a manager');
is(scalar(() = $server->log_text =~ /generation 1 has a manager again/g), 2, '... the log says so');
is(curl($server->url('/a'))->{status}, 200, '... requests are served');
open my $go, '>', "$dir/marks/go" or die $!;
like($long->result->{body}, qr/^GET $worker 0$/, '... the long request ends well');
ok(wait_for(sub { 1 == $server->managers && 1 == $server->workers }, 20), '... then its generation ends');
ok(!PyDaemonTest::Process::lives($worker), '... with its worker');

$server->announce(qr/PYD0401/, qr/PYD0601/);
$server->tolerate(qr/AH00159/);    # prefork wants more children meanwhile
finish();
