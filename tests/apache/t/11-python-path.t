# SPDX-License-Identifier: Apache-2.0
# Where modules come from: home and python-path on sys.path, .pth files, and what has no business there.
use PyDaemonTest;

my $server = start_server(start => 0, conf => '');
my $dir = $server->dir;
my $source = PyDaemonTest::slurp(apps_dir() . '/environ.py');
my $named = sub { "import environ_app\nNAME = '$_[0]'\n\n\ndef application(environ, start_response):\n"
    . "    environ['which'] = NAME\n    return environ_app.application(environ, start_response)\n" };
$server->write_file('lib/environ_app.py', $source);
$server->write_file("$_/site_app.py", $named->($_)) for qw(home first second);
$server->write_file('second/only_second.py', $named->('second'));
# addsitedir: lines that are directories are added, lines that begin with "import" are run, others are left alone.
mkdir "$dir/extra" or die $!;
$server->write_file('extra/from_pth.py', $named->('pth'));
$server->write_file('first/more.pth', "# a comment\n$dir/extra\n/no/such/directory\nimport os; os.environ['PTH'] = 'run'\n");
# A module of the application is not to take the place of one of the standard library's that the worker needs.
$server->write_file('script/app.py', $named->('script'));
$server->write_file('script/neighbour.py', 'NAME = 1');
my @mounts = (
    # group, options, target
    [ 'home', "home=$dir/home python-path=$dir/lib", 'site_app:application' ],
    [ 'order', "home=$dir/home python-path=$dir/first:$dir/second python-path=$dir/lib", 'site_app:application' ],
    [ 'path', "python-path=$dir/first python-path=$dir/second:$dir/lib", 'site_app:application' ],
    [ 'back', "python-path=$dir/second:$dir/first:$dir/lib", 'site_app:application' ],
    [ 'later', "python-path=$dir/first:$dir/second:$dir/lib", 'only_second:application' ],
    [ 'pth', "python-path=$dir/first:$dir/lib", 'from_pth:application' ],
    [ 'relative', 'home=home python-path=lib', 'site_app:application' ],
    [ 'script', "python-path=$dir/lib", "$dir/script/app.py" ],
    [ 'gone', "python-path=$dir/lib:$dir/nowhere", "$dir/script/app.py" ],
);
$server->write_conf(join "\n", 'PyDaemonProcess none python-path=lib', 'PyDaemonAlias /none no_such_module:app group=none',
    '<Location />', 'Require all granted', '</Location>',
    map { "PyDaemonProcess $_->[0] $_->[1]\nPyDaemonAlias /$_->[0] $_->[2] group=$_->[0]" } @mounts);
$server->start;

my %which = (home => 'home', order => 'home', path => 'first', back => 'second', later => 'second', pth => 'pth',
    relative => 'home', script => 'script', gone => 'script');
my %path;
for (@mounts) {
    my ($group, $options) = @$_;
    my $answer = curl($server->url("/$group"));
    is($answer->{status}, 200, "$group: 200");
    is($answer->{body} =~ /^which='(\w+)'$/m ? $1 : undef, $which{$group}, "... the right module: $options");
    $path{$group} = [ $answer->{body} =~ /^process\.path=\[(.*)\]$/m ? map { s/^'|'$//gr } split /, /, $1 : () ];
}
is_deeply([ @{ $path{order} }[ 0 .. 4 ] ], [ "$dir/home", "$dir/first", "$dir/extra", "$dir/second", "$dir/lib" ],
    'sys.path begins with home, then python-path in order, what a .pth adds behind its directory');
is_deeply([ @{ $path{path} }[ 0 .. 3 ] ], [ "$dir/first", "$dir/extra", "$dir/second", "$dir/lib" ], 'without home');
is($path{relative}[0], "$dir/home", 'relative to ServerRoot');
is(scalar(grep { $_ eq '' || $_ eq '.' } map { @$_ } values %path), 0, 'never the working directory as such');
is(scalar(grep { m{/workers$} } map { @$_ } values %path), 0, 'never the directory of the worker program');
ok(scalar(grep { m{python3(?:\.\d+)?/|dist-packages|site-packages} } @{ $path{path} }), 'the installation comes after that');
like(curl($server->url('/pth'))->{body}, qr/'PTH': 'run'/, 'an import line of a .pth file is run');

ok($server->log_text =~ qr{\[pydaemon:warn\].*PYD0019.*python-path=\S+/nowhere.*does not exist},
    'a directory of python-path that is missing: a warning, and the group works');
$server->announce(qr/PYD0019/);
my $answer = curl($server->url('/none'));
is($answer->{status}, 503, 'a module that is not there: 503');
ok($server->wait_for_log(qr/no_such_module/), '... and the log names it');
$server->announce(qr/no_such_module/);
$server->tolerate(qr/'none'/);

finish();
