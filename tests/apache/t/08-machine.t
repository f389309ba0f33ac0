# SPDX-License-Identifier: Apache-2.0
# What depends on the machine: an error of configtest; at start and at reload a warning, and 503 from the group
# concerned while the others are served. Once mended, a reload heals.
use PyDaemonTest;

need_root();
my $server = start_server(start => 0, modules => 0, conf => '');
my $dir = $server->dir;
mkdir "$dir/private", 0700 or die $!;
$server->write_file('private/wsgi.py', PyDaemonTest::slurp(apps_dir() . '/hello.py'));
# Not the group's user, but httpd's own: it would answer 403 by itself.
chown 0, scalar getgrnam(PyDaemonTest::Build::group()), "$dir/private" or die $!;
chmod 0750, "$dir/private";
$server->write_file('unreadable.py', PyDaemonTest::slurp(apps_dir() . '/hello.py'), 0600);
$server->write_file('shim/bin/python3', "#!/bin/sh\nexec python \"\$@\"\n", 0755);
$server->write_file('garbage.env', "A=1\nnot a pair\n");
for my $version ('3.8', '3.99') {
    $server->write_file("fake/python$version", "\x7fELF", 0755);
}
mkdir "$dir/dangling" or die $!;
mkdir "$dir/dangling/bin" or die $!;
symlink '/no/such/python3.11', "$dir/dangling/bin/python3" or die $!;
$server->write_file('dangling/pyvenv.cfg', "version = 3.11.2\n");

my $good = 'PyDaemonAlias /NAME @apps@/hello.py group=NAME';
my @problems = (
    # name, options, alias (undef: a good one), the message
    [ 'user', 'user=no-such-user', undef, qr/PYD0010.*user=no-such-user.*no such user/ ],
    [ 'group', 'group=no-such-group', undef, qr/PYD0013.*group=no-such-group.*no such group/ ],
    [ 'groups', 'supplementary-groups=games,no-such-group', undef, qr/PYD0014.*games,no-such-group.*'no-such-group'/ ],
    [ 'home', "home=$dir/nowhere", undef, qr{PYD0015.*home=\S+/nowhere.*does not exist} ],
    [ 'private', "user=games group=games home=$dir/private", undef, qr{PYD0015.*home=\S+/private.*entered.*games} ],
    [ 'nofile', 'threads=1', 'PyDaemonAlias /NAME @dir@/nofile.py group=NAME',
        qr{PYD0020.*PyDaemonAlias.*nofile\.py does not exist \(\S+ does\)} ],
    [ 'way', 'user=games group=games', 'PyDaemonAlias /NAME @dir@/private/wsgi.py group=NAME',
        qr{PYD0020.*private/wsgi\.py cannot be reached by user 'games': directory \S+/private may not be entered} ],
    [ 'read', 'user=games group=games', 'PyDaemonAlias /NAME @dir@/unreadable.py group=NAME',
        qr{PYD0020.*unreadable\.py may not be read \(r\) by user 'games'} ],
    [ 'folder', 'threads=1', 'PyDaemonAlias /NAME @apps@ group=NAME', qr{PYD0020.*apps is not a file} ],
    [ 'python', 'python=/no/such/python', undef, qr{PYD0016.*python=/no/such/python.*No such file} ],
    [ 'noprefix', "python=$dir/logs", undef, qr{PYD0016.*neither a virtual environment nor a Python installation} ],
    [ 'shim', "python=$dir/shim", undef, qr{PYD0016.*is a script.*not an interpreter} ],
    [ 'old', "python=$dir/fake/python3.8", undef, qr{PYD0016.*is Python 3\.8; 3\.9 or newer is needed} ],
    [ 'new', "python=$dir/fake/python3.99", undef, qr{PYD0017.*no worker program for Python 3\.99.*--with-python} ],
    [ 'venv', "python=$dir/dangling", undef, qr{PYD0016.*dangling/bin/python3.*removed} ],
    [ 'file', "env-file=$dir/no.env", undef, qr{PYD0018.*env-file=\S+/no\.env.*does not exist} ],
);

sub config { # those with a problem, or mended
    my ($mended) = @_;
    my @lines = ('PyDaemonProcess good', 'PyDaemonAlias /good @apps@/hello.py group=good');
    for (@problems) {
        my ($name, $options, $alias) = @$_;
        push @lines, "PyDaemonProcess $name" . ($mended ? '' : " $options"),
            ($mended || !$alias ? $good : $alias) =~ s/NAME/$name/gr;
    }
    return join "\n", @lines;
}

sub check_broken {
    my ($when) = @_;
    is(curl($server->url('/good'))->{status}, 200, "$when: the other group is served");
    for (@problems) {
        my ($name) = @$_;
        my $answer = curl($server->url("/$name"));
        is($answer->{status}, 503, "$when: $name: 503");
        like($answer->{headers}{'retry-after'}[0], qr/^[1-9]\d*$/, '... with Retry-After');
    }
    my @names = map { $_->[0] } @problems;
    ok(wait_for(sub { !grep { $server->workers($_) } @names }), "$when: none of them has a worker");
}

# configtest finds each on its own, and all of them together.
for (@problems) {
    my ($name, $options, $alias, $message) = @$_;
    $server->write_conf("PyDaemonProcess $name $options\n" . ($alias // $good) =~ s/NAME/$name/gr);
    my ($status, $output) = $server->configtest;
    isnt($status, 0, "configtest: $name");
    like($output, $message, '... says why');
    like($output, qr/httpd\.conf:\d+/, '... and where');
    unlike($output, qr/Syntax OK/, '... and nothing else');
}
$server->write_conf(config());
my ($status, $output) = $server->configtest;
is(scalar(grep { $output !~ $_->[3] } @problems), 0, 'configtest reports all of them in one go') or diag $output;

# A reload with all of them, then without.
$server->write_conf(config(1));
my $pid = $server->start;
is(curl($server->url("/$_->[0]"))->{status}, 200, "mended: $_->[0]") for @problems[ 0 .. 2 ];
$server->write_conf(config());
ok($server->graceful, 'reload with problems: httpd goes on');
is($server->pid, $pid, '... the same one');
check_broken('reload');
for (@problems) {
    like($server->log_text, qr/\[pydaemon:warn\].*$_->[3].*Group '$_->[0]' answers 503 until/, "warning: $_->[0]");
}
$server->write_conf(config(1));
ok($server->graceful, 'reload without the problems');
is(curl($server->url("/$_->[0]"))->{status}, 200, "healed: $_->[0]") for @problems;
ok($server->stop, 'no process is left');

# A start with them.
$server->write_conf(config());
$server->start;
check_broken('start');
$server->write_conf(config(1));
ok($server->restart, 'restart without the problems');
is(curl($server->url("/$_->[0]"))->{status}, 200, "healed: $_->[0]") for @problems;

$server->announce(map { $_->[3] } @problems);
# A message for every answer of a broken group is not wanted more often than that.
$server->tolerate(qr/PYD0021/, qr/PYD0203|PYD0204/);
finish();
