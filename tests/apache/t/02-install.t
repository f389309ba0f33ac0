# SPDX-License-Identifier: Apache-2.0
# What `make install` puts where, and what the module and the workers are linked with.
use PyDaemonTest;

my $installed = "$PyDaemonTest::Build::top/installed";
my $module = PyDaemonTest::Build::fact('module');
my @workers = glob PyDaemonTest::Build::fact('worker_dir') . '/*';

my @files = split /\n/, `cd '$installed' && find . -type f | sort`;
is(scalar(grep { m{/mod_pydaemon\.so$} } @files), 1, 'one module');
is_deeply([ grep { /\.(?:la|a|o|h)$/ } @files ], [], 'nothing that only a build needs');
is_deeply([ grep { !m{/(?:mod_pydaemon\.so|pydaemon-worker-3\.\d+|doc/mod_pydaemon/.*|pydaemon)$} } @files ], [],
    'nothing but the module, the workers, and documentation');
is(scalar(@workers), scalar(pythons()), 'a worker for each Python');

my $exported = join ' ', map { (split)[-1] } grep { / [A-TV-Z] / } split /\n/, `nm -D --defined-only '$module'`;
is($exported, 'pydaemon_module', 'the module exports its record only');
unlike(`ldd '$module'`, qr/libpython/, 'the module is not linked with Python');
for my $worker (@workers) {
    my ($version) = $worker =~ /([\d.]+)$/;
    my $libraries = `ldd '$worker'`;
    unlike($libraries, qr/not found|libapr|libssl/, "worker $version: libraries are there, and none of httpd's");
    like($libraries, qr/libpython\Q$version\E/, "worker $version: its own Python") if $libraries =~ /libpython/;
}

my ($load) = grep { m{/conf/pydaemon\.load$} } @files;
my ($sample) = grep { m{/conf/pydaemon\.conf$} } @files;
ok($load && $sample, 'sample configuration');
my ($line) = grep { /^LoadModule/ } split /\n/, PyDaemonTest::slurp("$installed/$load");
like($line, qr{^LoadModule pydaemon_module (/\S+/mod_pydaemon\.so)$}, 'pydaemon.load loads the module');
my ($path) = $line =~ m{(/\S+)$};
ok(-e "$installed$path", '... from where it is installed');

my $server = start_server(start => 0, modules => 0, conf => PyDaemonTest::slurp("$installed/$sample"));
my ($status, $output) = $server->configtest;
is($status, 0, 'pydaemon.conf is a valid configuration') or diag $output;
my $commented = PyDaemonTest::slurp("$installed/$sample");
unlike($commented, qr/\@/, '... with nothing left to fill in');

finish();
