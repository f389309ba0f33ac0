# SPDX-License-Identifier: Apache-2.0
# python=/path/to/venv: its modules and its prefix, with and without those of the system, on each Python there is.
use PyDaemonTest;
use JSON::PP qw(decode_json);
use PyDaemonTest::Site;

my $folder = File::Temp->newdir(DIR => "$PyDaemonTest::Build::top/servers");
chmod 0755, "$folder";
my ($conf, %venv) = ('');
for my $python (pythons()) {
    my $version = PyDaemonTest::Site::output($python, '-I', '-c', 'import sys; print("%d.%d" % sys.version_info[:2])');
    my $base = PyDaemonTest::Site::output($python, '-I', '-c', 'import sys; print(sys.base_prefix)');
    for my $kind (qw(alone system)) {
        my $name = "$kind-$version";
        my $path = "$folder/$name";
        PyDaemonTest::Site::runs($python, '-m', 'venv', '--without-pip', $kind eq 'system' ? '--system-site-packages' : (), $path)
            or die "no venv $path\n";
        my $packages = "$path/lib/python$version/site-packages";
        write_file("$packages/only_in_the_venv.py", "name = '$name'\n");
        mkdir "$path/beside";
        write_file("$path/beside/by_a_pth_file.py", "\n");
        write_file("$packages/beside.pth", "$path/beside\n");
        $venv{$name} = { path => $path, version => $version, base => $base, packages => $packages, kind => $kind,
            program => $python };
        # A Python that was copied (by bootstrap) is found by its worker program, but not by what the application starts.
        $conf .= "PyDaemonProcess $name python=$path env=LD_LIBRARY_PATH=$base/lib\nPyDaemonAlias /$name \@apps\@/interpreter.py group=$name\n";
    }
}
# By its interpreter instead of its folder, and by a relative path.
my ($first) = sort keys %venv;
$conf .= "PyDaemonProcess program python=$venv{$first}{path}/bin/python\nPyDaemonAlias /program \@apps\@/interpreter.py group=program\n";
$conf .= "PyDaemonProcess none\nPyDaemonAlias /none \@apps\@/interpreter.py group=none\n";

sub write_file {
    my ($path, $text) = @_;
    open my $out, '>', $path or die "$path: $!\n";
    print $out $text;
    close $out or die $!;
}

my $server = start_server(conf => $conf);
my ($status, $output) = $server->configtest;
is($status, 0, 'configtest accepts them') or diag $output;

sub facts {
    my ($path) = @_;
    my $answer = curl($server->url("/$path?import=only_in_the_venv&import=by_a_pth_file&import=django&import=decimal"));
    is($answer->{status}, 200, "$path: answered") or diag $server->log_text;
    return eval { decode_json($answer->{body}) } // {};
}

for my $name (sort keys %venv) {
    my $venv = $venv{$name};
    my $facts = facts($name);
    is($facts->{version}, $venv->{version}, '... by its Python');
    is($facts->{prefix}, $venv->{path}, '... sys.prefix is its folder');
    is($facts->{base_prefix}, $venv->{base}, "... sys.base_prefix is its Python's");
    is($facts->{child_prefix}, $venv->{path}, '... a Python that it starts is the same');
    is($facts->{imported}{only_in_the_venv}, "$venv->{packages}/only_in_the_venv.py", '... has its own modules');
    is($facts->{imported}{by_a_pth_file}, "$venv->{path}/beside/by_a_pth_file.py", '... those that a .pth file adds');
    ok(defined $facts->{imported}{decimal}, '... and the standard library');
    my $system = $venv->{kind} eq 'system' && PyDaemonTest::Site::runs($venv->{program}, '-I', '-c', 'import django');
    is(defined $facts->{imported}{django} ? 1 : 0, $system ? 1 : 0, "... the system's packages: " . ($system ? 'yes' : 'no'));
}
is(facts('program')->{prefix}, $venv{$first}{path}, '... named by its program');
my $none = facts('none');
is($none->{prefix}, $none->{base_prefix}, '... is in no virtual environment');
ok(!defined $none->{imported}{only_in_the_venv}, '... and has none of their modules');

# A venv whose Python is gone is found at once; it costs its own group only.
my $broken = "$folder/broken";
PyDaemonTest::Site::runs((pythons())[0], '-m', 'venv', '--without-pip', $broken) or die "no venv $broken\n";
unlink "$broken/bin/python", "$broken/bin/python3", glob "$broken/bin/python3.*";
symlink '/no/such/python3', "$broken/bin/python3";
symlink 'python3', "$broken/bin/python";
$server->write_conf("${conf}PyDaemonProcess broken python=$broken\nPyDaemonAlias /broken \@apps\@/interpreter.py group=broken\n");
($status, $output) = $server->configtest;
isnt($status, 0, 'a venv without its interpreter is refused');
like($output, qr/\Q$broken\E/, '... by name');
ok($server->graceful, 'a reload with it');
is(curl($server->url('/broken'))->{status}, 503, '... that group answers 503');
is(facts($first)->{prefix}, $venv{$first}{path}, '... others go on');
$server->announce(qr/PYD0016.*\Q$broken\E/, qr/PYD\d+.*'?broken'?/);
finish();
