# SPDX-License-Identifier: Apache-2.0
# What options do to the worker processes: number, name, limits, directory, umask. In one server, a group each.
use PyDaemonTest;
use JSON::PP qw(decode_json);

need_root();
my $server = start_server(start => 0, conf => '');
my $dir = $server->dir;
mkdir "$dir/files" or die $!;
chmod 0777, "$dir/files";
my %groups = (
    plain => '', auto => 'processes=auto', single => 'threads=1', many => 'processes=3 threads=2',
    name => "'display-name=shop workers'", group_name => 'display-name=%{GROUP}',
    umask => 'umask=027', umask0 => 'umask=0', home => "home=$dir/files", relative => 'home=files',
    priority => 'cpu-priority=7', high => 'cpu-priority=-3', stack => 'stack-size=2M', small_stack => 'stack-size=512K',
    files => 'open-files=100', core0 => 'core-size=0', core1 => 'core-size=1M', unlimited => 'core-size=unlimited',
    games => 'user=games group=games',
);
$server->write_conf(join "\n", (map { "PyDaemonProcess $_ $groups{$_}\nPyDaemonAlias /$_ \@apps\@/process.py group=$_" }
    sort keys %groups), 'PyDaemonAlias /environ @apps@/environ.py group=many', 'PyDaemonAlias /one @apps@/environ.py group=single');
$server->start;

my %facts = map { $_ => decode_json(curl($server->url("/$_?file=$dir/files/$_"))->{body}) } keys %groups;
my ($plain) = $facts{plain};

chomp(my $cpus = `nproc`);
my $started = sub { scalar(() = $server->log_text =~ /Worker \d+ of '$_[0]' is ready/g) };
ok(wait_for(sub { $started->('many') == 3 && $started->('auto') >= 1 }), 'processes=3: three are started');
is(scalar($server->workers('many')), 3, '... and there');
ok($started->('auto') >= 1 && $started->('auto') <= $cpus, "processes=auto: at most as many as nproc says ($cpus)");
is(scalar($server->workers('plain')), 1, 'one by default');
my %many = map { decode_json(curl($server->url('/many'))->{body})->{pid} => 1 } 1 .. 12;
is(scalar(keys %many), 3, 'requests go to all of them');
my $environ = curl($server->url('/environ'))->{body};
like($environ, qr/^wsgi\.multiprocess=True$/m, 'wsgi.multiprocess');
like($environ, qr/^wsgi\.multithread=True$/m, 'wsgi.multithread');
$environ = curl($server->url('/one'))->{body};
like($environ, qr/^wsgi\.multiprocess=False$/m, 'processes=1: not wsgi.multiprocess');
like($environ, qr/^wsgi\.multithread=False$/m, 'threads=1: not wsgi.multithread');

# ps: the name, the number, and what it does.
my @titles = sort map { PyDaemonTest::Process::title($_) } $server->workers('many');
like($titles[$_ - 1], qr/^\(pydaemon:many\) $_: \w/, "ps: $titles[$_ - 1]") for 1 .. 3;
like(PyDaemonTest::Process::title($facts{name}{pid}), qr/^shop workers 1: \w/, 'display-name');
like(PyDaemonTest::Process::title($facts{group_name}{pid}), qr/^\(pydaemon:group_name\) 1: /, 'display-name=%{GROUP}');

my $mode = sub { sprintf '%03o', (stat "$dir/files/$_[0]")[2] & 0777 };
is($mode->('umask'), '640', 'umask=027');
is($mode->('umask0'), '666', 'umask=0');
is($mode->('plain'), '644', "umask is httpd's by default");
my $owner = sub { scalar getpwuid((stat "$dir/files/$_[0]")[4]) };
is($owner->('games'), 'games', "user=games: files are that user's");
is($owner->('plain'), PyDaemonTest::Build::user(), "... httpd's by default");

is($facts{home}{cwd}, "$dir/files", 'home');
is($facts{home}{at_import}{cwd}, "$dir/files", '... at the import, too');
is($facts{home}{environ}{HOME}, "$dir/files", '... is HOME');
is($facts{relative}{cwd}, "$dir/files", 'home, relative to ServerRoot');
is($facts{plain}{cwd}, '/', "no home: /, not httpd's web space");
is($facts{games}{cwd}, -d (getpwnam 'games')[7] ? (getpwnam 'games')[7] : '/', "another user: that one's, if there is one");

is($facts{plain}{nice}, 0, 'cpu-priority: none by default');
is($facts{priority}{nice}, 7, 'cpu-priority=7');
is($facts{high}{nice}, -3, 'cpu-priority=-3');
is($facts{stack}{stack}, 2 << 20, 'stack-size=2M');
is($facts{small_stack}{stack}, 512 << 10, 'stack-size=512K');
ok($plain->{stack} > 0 && $plain->{stack} != 2 << 20, "stack-size: the system's by default ($plain->{stack})");
is_deeply($facts{files}{limits}{RLIMIT_NOFILE}, [ 100, 100 ], 'open-files=100');
isnt($plain->{limits}{RLIMIT_NOFILE}[0], 100, '... not otherwise');
is_deeply($facts{core0}{limits}{RLIMIT_CORE}, [ 0, 0 ], 'core-size=0');
# The sanitizer turns core files off by itself.
if (!sanitized()) {
    is_deeply($facts{core1}{limits}{RLIMIT_CORE}, [ 1 << 20, 1 << 20 ], 'core-size=1M');
    is($facts{unlimited}{limits}{RLIMIT_CORE}[0], -1, 'core-size=unlimited');
}

finish();
