# SPDX-License-Identifier: Apache-2.0
# With no PyDaemonProcess at all one line is a working site, in the group "default".
use PyDaemonTest;

my $server = start_server(conf => 'PyDaemonAlias / @apps@/environ.py');
my $answer = curl($server->url('/x'));
is($answer->{status}, 200, 'one PyDaemonAlias line: a working site');
like($answer->{body}, qr/^pydaemon\.process_group='default'$/m, '... in the group default');
like($answer->{body}, qr/^wsgi\.multiprocess=False$/m, '... of one process');
like($answer->{body}, qr/^wsgi\.multithread=True$/m, '... with several threads');
is(scalar($server->workers('default')), 1, 'ps shows one worker of the group default');

# The handler alone does, too.
$server->write_file('htdocs/app.wsgi', PyDaemonTest::slurp(apps_dir() . '/environ.py'));
$server->write_conf('AddHandler pydaemon .wsgi');
ok($server->graceful, 'reload: AddHandler only');
$answer = curl($server->url('/app.wsgi/below'));
is($answer->{status}, 200, 'AddHandler without PyDaemonProcess');
like($answer->{body}, qr/^pydaemon\.process_group='default'$/m, '... runs in the group default');
like($answer->{body}, qr{^PATH_INFO='/below'$}m, '... with PATH_INFO');

# "default" may be defined like any other.
$server->write_conf("PyDaemonProcess default processes=2 threads=1\nPyDaemonAlias / \@apps\@/environ.py");
ok($server->graceful, 'reload: default is defined');
ok(wait_for(sub { curl($server->url('/'))->{body} =~ /^wsgi\.multiprocess=True$/m }, 15), 'its options count');
like(curl($server->url('/'))->{body}, qr/^wsgi\.multithread=False$/m, '... all of them');

# An alias without a group beside a group that is defined: the default one is there, too.
$server->write_conf("PyDaemonProcess one\nPyDaemonAlias /one \@apps\@/environ.py group=one\nPyDaemonAlias / \@apps\@/environ.py");
ok($server->graceful, 'reload: a group, and an alias without one');
like(curl($server->url('/one'))->{body}, qr/^pydaemon\.process_group='one'$/m, 'group=one');
like(curl($server->url('/'))->{body}, qr/^pydaemon\.process_group='default'$/m, 'no group: default');

# Nothing of ours in the configuration: no manager, no worker.
$server->write_conf('');
ok($server->graceful, 'reload: nothing for Python');
is(curl($server->url('/'))->{status}, 404, 'httpd serves');
ok(wait_for(sub { !$server->workers && !$server->managers }, 20), 'no worker and no manager are left');

finish();
