# SPDX-License-Identifier: Apache-2.0
# What becomes of manager and workers when httpd is killed: they serve as long as a child of httpd lives, not longer.
use PyDaemonTest;
use PyDaemonTest::Background;
use PyDaemonTest::Client;

my ($libexec) = map { m{(\S+)/mod_[^/]*$} ? $1 : () } PyDaemonTest::Build::load_modules();
my $conf = <<'CONF';
<Location />
    Require all granted
</Location>
PyDaemonProcess a processes=2 threads=3
PyDaemonAlias /a @apps@/fate.py group=a
PyDaemonProcess b shutdown-timeout=1
PyDaemonAlias /b @apps@/fate.py group=b
CONF
my $server = start_server(start => 0, conf => $conf);
my $dir = $server->dir;
mkdir "$dir/marks" and chmod 0777, "$dir/marks";
my $mark = 0;

# httpd's children: each has a lock of one byte at its pid. mod_cgid's daemon, forked from the parent too, has none.
sub children {
    my $locks = PyDaemonTest::slurp('/proc/locks');
    return grep { $_ != $server->pid && $locks =~ /POSIX +ADVISORY +WRITE $_ \S+ $_ $_$/m } $server->processes;
}

sub others { # mod_cgid's daemon, by its socket
    my %sockets = map { m{^\S+: \S+ \S+ \S+ \S+ \S+ +(\d+) \Q$dir\E/cgisock} ? ("socket:[$1]" => 1) : () } split /\n/, PyDaemonTest::slurp('/proc/net/unix');
    return grep { grep { $sockets{ readlink($_) // '' } } glob "/proc/$_/fd/*" } $server->processes;
}

sub pipes { # PID: inodes of the pipes it can write to
    my ($pid) = @_;
    return map { -l $_ && readlink($_) =~ /^pipe:\[(\d+)\]/ && (lstat _)[2] & 0200 ? $1 : () } glob "/proc/$pid/fd/*";
}

my $with_cgid = 0;
sub ready { return scalar(() = $server->log_text =~ /is ready after/g) }

sub start {
    my $ready = ready();
    $server->start;
    # One that httpd forks later has everything httpd has, the lifeline too.
    wait_for(sub { others() }) or die 'mod_cgid did not start its daemon' if $with_cgid;
    for my $daemon (others()) {
        kill KILL => $daemon;
        wait_for(sub { grep { $_ != $daemon } others() }) or die 'mod_cgid did not start its daemon again';
    }
    ok(wait_for(sub { ready() == $ready + 3 }), "$_[0]: workers serve");
}

sub gone { # True when no process is left.
    my ($seconds) = @_;
    my @others = others();
    my $gone = wait_for(sub { @others == $server->processes }, $seconds);
    diag(map { 'left: ' . PyDaemonTest::Process::describe($_) . "\n" } $server->processes) unless $gone;
    kill KILL => $server->processes;
    unlink "$dir/httpd.pid";
    return $gone;
}

for my $modules ('', "LoadModule cgid_module $libexec/mod_cgid.so\nScriptSock $dir/cgisock\n") {
    my $with = $modules ? ' (with mod_cgid)' : '';
    $server->write_conf($modules . $conf);
    $with_cgid = length $modules;

    start("parent killed$with");
    my @workers = $server->workers;
    my ($lifeline) = readlink("/proc/$workers[0]/fd/6") =~ /^pipe:\[(\d+)\]/;
    is(scalar(grep { $_ eq ($lifeline // '') } map { pipes($_) } others()), $modules ? 1 : 0, '... the lifeline is held by as many others as it should');
    kill KILL => $server->pid;
    ok(wait_for(sub { !PyDaemonTest::Process::lives($server->pid) }), '... it is dead');
    is(curl($server->url('/a'))->{status}, 200, '... requests go on') for 1 .. 3;
    kill KILL => $workers[0];
    is(curl($server->url('/a'))->{status}, 200, '... after the death of a worker, too') for 1 .. 3;
    ok(wait_for(sub { 3 == grep { $_ != $workers[0] } $server->workers }), '... which is replaced');
    kill KILL => children();
    ok(gone(8), '... when httpd\'s children are gone, nothing is left');

    start("parent and manager killed$with");
    kill KILL => $server->pid, $server->managers;
    is(curl($server->url('/a'))->{status}, 200, '... requests go on') for 1 .. 3;
    my @left = $server->workers;
    is(scalar @left, 3, '... all workers live');
    kill KILL => children();
    ok(gone(10), '... when httpd\'s children are gone, nothing is left');

    start("all killed at once$with");
    my $busy = client($server->port, "GET /b?mark=$dir/marks/" . ++$mark . "&sleep=600 HTTP/1.1\r\nHost: h\r\n\r\n");
    ok(wait_for(sub { -s "$dir/marks/$mark" }), '... one has a request that does not end');
    kill KILL => $server->pid, $server->managers, children();
    ok(gone(12), '... the workers end by themselves');
}

# Nothing holds the port.
$server->write_conf($conf);
$with_cgid = 0;
start('a new httpd');
ok($server->stop, '... and it stops');

$server->announce(qr/PYD0601: .*killed by signal 9/);
$server->tolerate(qr/PYD080[56]|PYD060[14]: .*shutdown-timeout|AH00098|unclean shutdown|cgid/);
finish();
