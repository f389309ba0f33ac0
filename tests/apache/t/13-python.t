# SPDX-License-Identifier: Apache-2.0
# python=: interpreters, virtual environments, further versions; PyDaemonWorkerDir.
use PyDaemonTest;
use JSON::PP qw(decode_json);

my ($default, @others) = pythons();
my $server = start_server(start => 0, conf => '');
my $dir = $server->dir;
system($default, '-m', 'venv', '--without-pip', "$dir/venv") == 0 or die "venv: $?\n";
my ($site) = glob "$dir/venv/lib/python3*/site-packages";
open my $out, '>', "$site/only_in_venv.py" or die $!;
print $out "NAME = 'venv'\n";
close $out;
system 'chmod', '-R', 'a+rX', "$dir/venv";
$server->write_file('venv.py', "import only_in_venv\n" . PyDaemonTest::slurp(apps_dir() . '/process.py'));
my @lines = (
    'PyDaemonProcess plain', 'PyDaemonAlias /plain @apps@/process.py group=plain',
    "PyDaemonProcess named python=$default", 'PyDaemonAlias /named @apps@/process.py group=named',
    "PyDaemonProcess venv python=$dir/venv", "PyDaemonAlias /venv $dir/venv.py group=venv",
    'PyDaemonProcess alias python-home=venv/', "PyDaemonAlias /alias $dir/venv.py group=alias",
    "PyDaemonProcess program python=$dir/venv/bin/python", "PyDaemonAlias /program $dir/venv.py group=program",
);
push @lines, "PyDaemonProcess other$_ python=$others[$_]", "PyDaemonAlias /other$_ \@apps\@/process.py group=other$_"
    for 0 .. $#others;
$server->write_conf(join "\n", @lines);
$server->start;

sub facts {
    my ($path) = @_;
    my $answer = curl($server->url($path));
    is($answer->{status}, 200, "$path is served") or return {};
    return decode_json($answer->{body});
}
chomp(my $version = `$default -c 'import sys; print("%d.%d" % sys.version_info[:2])'`);
chomp(my $prefix = `$default -c 'import sys; print(sys.prefix)'`);
my $plain = facts('/plain');
is($plain->{version}, $version, "build's default");
is($plain->{prefix}, $prefix, '... its prefix');
is(facts('/named')->{prefix}, $prefix, 'python=INTERPRETER');
for my $path (qw(/venv /alias /program)) {
    my $facts = facts($path);
    is($facts->{prefix}, "$dir/venv", "$path: the environment's prefix, and its modules");
    is($facts->{base_prefix}, $prefix, '... and the base');
    like($facts->{executable} // '', qr{^\Q$dir\E/venv/bin/python}, '... sys.executable');
}
for (0 .. $#others) {
    chomp(my $wanted = `$others[$_] -c 'import sys; print("%d.%d" % sys.version_info[:2])'`);
    is(facts("/other$_")->{version}, $wanted, "python=$others[$_], beside the others");
}

# PyDaemonWorkerDir: without programs a group answers 503, and the message says what there is.
my $empty = start_server(start => 0, modules => 0, conf => '');
mkdir $empty->dir . '/empty' or die $!;
my $config = PyDaemonTest::slurp($empty->dir . '/httpd.conf');
sub configure { # PyDaemonWorkerDir is in the prelude, and there may be one only
    my ($folder) = @_;
    $empty->write_conf("PyDaemonProcess one\nPyDaemonAlias / \@apps\@/hello.py group=one");
    my $text = PyDaemonTest::slurp($empty->dir . '/httpd.conf');
    $text =~ s/^PyDaemonWorkerDir .*$/PyDaemonWorkerDir $folder/m or die 'no PyDaemonWorkerDir';
    $empty->write_file('httpd.conf', $text);
}
for my $case ([ 'empty', qr/for: none/ ], [ 'nowhere', qr/for: none/ ]) {
    my ($folder, $message) = @$case;
    configure($folder);
    my ($status, $output) = $empty->configtest;
    isnt($status, 0, "PyDaemonWorkerDir $folder: refused by configtest");
    like($output, qr{PYD0017.*PyDaemonProcess one.*httpd\.conf:\d+.*\Q$version\E.*/$folder/pydaemon-worker-\Q$version\E},
        '... which says what is missing');
    like($output, $message, '... and what there is');
}
$empty->start;
my $answer = curl($empty->url('/'));
is($answer->{status}, 503, 'started all the same: 503');
ok($answer->{headers}{'retry-after'}, '... with Retry-After');
$empty->announce(qr/PYD0017/);
$empty->tolerate(qr/PYD0204/);
configure('workers');
ok($empty->graceful, 'reload with programs there');
is(curl($empty->url('/'))->{status}, 200, '... heals');
$empty->write_conf("PyDaemonWorkerDir /elsewhere");
my ($status, $output) = $empty->configtest;
isnt($status, 0, 'a second PyDaemonWorkerDir is refused');
like($output, qr{/elsewhere.*already.*/workers.*httpd\.conf:\d+}, '... and says where the first is');

finish();
