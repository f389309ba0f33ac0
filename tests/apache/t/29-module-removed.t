# SPDX-License-Identifier: Apache-2.0
# A reload may drop the module: its workers finish what they do and end, though nobody is there who knew of them.
use PyDaemonTest;
use PyDaemonTest::Background;

my $server = start_server(log_level => 'info', conf => <<'CONF');
<IfModule pydaemon_module>
    <Location />
        Require all granted
    </Location>
    PyDaemonProcess a processes=2
    PyDaemonAlias /a @apps@/fate.py group=a
</IfModule>
CONF
my $dir = $server->dir;
mkdir "$dir/marks" and chmod 0777, "$dir/marks";
my $with = PyDaemonTest::slurp("$dir/httpd.conf");
(my $without = $with) =~ s/^(?:LoadModule pydaemon_module|PyDaemonWorkerDir) .*\n//mg;

sub reload {
    my ($conf) = @_;
    $server->write_file('httpd.conf', $conf);
    return $server->graceful;
}

# Workers and managers, of this server; with the module there is its file in httpd, too.
sub settled { my ($workers) = @_; return wait_for(sub { $workers == $server->workers && ($workers > 0) == $server->managers }, 20) }
sub starts  { return scalar(() = $server->log_text =~ /Manager of generation \d+ started/g) }

sub fds { my @fds = glob '/proc/' . $server->pid . '/fd/*'; return scalar @fds }

ok(settled(2), 'serves');
is(curl($server->url('/a'))->{status}, 200, '... requests');
my $fds = fds();

# Nothing runs.
ok(reload($without), 'a reload without the module') or die;
ok(settled(0), '... all workers end, and the manager');
is(curl($server->url('/a'))->{status}, 404, '... httpd goes on');
my $starts = starts();
ok(reload($with), '... and one with it');
ok(settled(2), '... starts workers');
is(curl($server->url('/a'))->{status}, 200, '... which serve');
is(starts(), $starts + 1, '... and one manager: what had ended is not begun again');
ok(wait_for(sub { fds() <= $fds }, 5), '... the parent has closed what it had opened before') or diag $fds, ' ', fds();

# A request runs meanwhile: its worker and its manager stay until it has ended.
my $long = background(sub { curl($server->url("/a?mark=$dir/marks/long&wait=$dir/marks/go")) });
ok(wait_for(sub { -s "$dir/marks/long" }), 'a long request');
my $worker = PyDaemonTest::slurp("$dir/marks/long") + 0;
ok(reload($without), '... a reload without the module');
ok(reload($without), '... and another one');
ok(PyDaemonTest::Process::lives($worker), '... the worker lives');
open my $go, '>', "$dir/marks/go" or die $!;
like($long->result->{body}, qr/^GET $worker 0$/, '... the request ends well');
ok(settled(0), '... then all workers end, and the manager');
unlink "$dir/marks/go";

# The manager is killed while nobody knows it: the worker is taken care of when the module is back.
ok(reload($with) && settled(2), 'the module is back');
$long = background(sub { curl($server->url("/a?mark=$dir/marks/longer&wait=$dir/marks/go")) });
ok(wait_for(sub { -s "$dir/marks/longer" }), '... a long request');
$worker = PyDaemonTest::slurp("$dir/marks/longer") + 0;
my ($manager) = $server->managers;
ok(reload($without), '... a reload without the module');
kill KILL => $manager;
ok(wait_for(sub { !PyDaemonTest::Process::lives($manager) }), '... its manager is killed');
ok(reload($with), '... the module is back');
ok(wait_for(sub { 2 == $server->managers }), '... both generations have a manager');
open $go, '>', "$dir/marks/go" or die $!;
like($long->result->{body}, qr/^GET $worker 0$/, '... the request ends well');
ok(settled(2), '... then its generation ends');
ok(!PyDaemonTest::Process::lives($worker), '... with its worker');
ok(wait_for(sub { fds() <= $fds }, 5), '... the parent has closed all that is gone') or diag $fds, ' ', fds();

# Many quick gracefuls as httpd starts: a child that has just been forked has no lock yet.
ok($server->stop, 'httpd stops');
$server->start;
for (1 .. 10) {
    $server->signal('USR1');
    my $answer = curl($server->url('/a'));
    is($answer->{status}, 200, 'graceful, and at once a request') or diag $answer->{error};
}
ok(settled(2), '... one generation is left');

# httpd's own: it no longer knows whose child that was.
$server->tolerate(qr/AH00488/);
$server->announce(qr/PYD0402/);
finish();
