# SPDX-License-Identifier: Apache-2.0
# ErrorLog and CustomLog into programs: workers' lines get there, also over a reload, and nobody keeps the programs alive.
use PyDaemonTest;
use PyDaemonTest::Background;

my $server = start_server(start => 0, conf => <<'CONF');
<Location />
    Require all granted
</Location>
ErrorLog "|@dir@/logger error_log"
LogFormat "%m %U%q %>s" short
CustomLog "|@dir@/logger access" short
PyDaemonProcess a processes=2 threads=4
PyDaemonAlias / @apps@/fate.py group=a
CONF
my $dir = $server->dir;
mkdir "$dir/marks" and chmod 0777, "$dir/marks";
open my $out, '>', "$dir/logger" or die $!;
print $out <<"SHELL";
#!/bin/sh
# httpd ends the shell at a reload; the other program ends when nobody can write to it any more.
cat >>"$dir/logs/piped_\$1"
SHELL
close $out;
chmod 0755, "$dir/logger";

sub readers { # of the pipes
    return grep { PyDaemonTest::Process::program($_) !~ m{sh$} && (readlink "/proc/$_/fd/1" // '') =~ m{^\Q$dir\E/logs/piped_} } map { m{(\d+)$} } glob '/proc/[0-9]*';
}

$server->start;
ok($server->wait_for_log(qr/Worker 2 of 'a' is ready/), 'the manager logs into the program');
like(PyDaemonTest::slurp("$dir/logs/piped_error_log"), qr/Worker 2 of 'a' is ready/, '... no other way');
is(curl($server->url('/?print=first-line'))->{status}, 200, 'a request');
ok($server->wait_for_log(qr/: first-line$/m), '... its output arrives');
ok(wait_for(sub { PyDaemonTest::slurp("$dir/logs/piped_access") =~ m{^GET /\?print=first-line 200$}m }), '... and the access log is written');

# What ran before a reload, and ends after it, still has a log; the old programs end.
my $long = background(sub { curl($server->url("/?mark=$dir/marks/long&wait=$dir/marks/go&print=late-line")) });
ok(wait_for(sub { -s "$dir/marks/long" }), 'a long request');
my ($old) = $server->managers;
my @readers = readers();
is(scalar @readers, 2, '... two programs');
ok($server->graceful, '... and a graceful');
is(curl($server->url('/?print=third-line'))->{status}, 200, '... the next generation serves');
ok($server->wait_for_log(qr/: third-line$/m), '... and logs');
open my $go, '>', "$dir/marks/go" or die $!;
close $go;
is($long->result->{status}, 200, '... the long request ends well');
ok($server->wait_for_log(qr/: late-line$/m), '... and its line arrives');
ok(wait_for(sub { !PyDaemonTest::Process::lives($old) }), '... then the old manager goes');
ok($server->wait_for_log(qr/Manager of generation 1 ended/), '... with its last words');
ok(wait_for(sub { !grep { PyDaemonTest::Process::lives($_) } @readers }), '... and the old programs have ended');
is(scalar readers(), 2, '... two new ones run');

# Nobody keeps the programs alive: neither after a stop, nor after kill -9 of httpd, where manager and workers go on.
ok($server->stop, 'stop');
ok(wait_for(sub { !readers() }), '... the programs end') or diag join ' ', map { PyDaemonTest::Process::describe($_) } readers();
$server->start;
ok(wait_for(sub { curl($server->url('/'))->{status} == 200 }), 'once more');
kill KILL => $server->pid;
is(curl($server->url('/?print=fourth-line'))->{status}, 200, 'httpd\'s parent is killed: requests go on');
ok($server->wait_for_log(qr/: fourth-line$/m), '... and lines arrive');
my %no = map { $_ => 1 } $server->managers, $server->workers;
kill KILL => grep { !$no{$_} } $server->processes;
ok(wait_for(sub { !$server->processes }, 15), 'all of httpd is killed: the rest ends');
ok(wait_for(sub { !readers() }), '... and so do the programs') or diag join ' ', map { PyDaemonTest::Process::describe($_) } readers();
unlink "$dir/httpd.pid";

# Workers and what they start hold none of it at any time: see t/30-isolation.t.
$server->tolerate(qr/: (?:first|second|third|fourth|late)-line$/, qr/AH00098/,
    qr/long lost child came home/);    # httpd forgets the program of ErrorLog at a reload, with or without this module
finish();
