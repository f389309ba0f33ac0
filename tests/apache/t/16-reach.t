# SPDX-License-Identifier: Apache-2.0
# A script that the group's user may read, but httpd's own user may not reach: httpd answers 403 by itself, so it is an
# error of configtest; at start a warning, and the group, which is sound, serves its other applications.
use PyDaemonTest;

need_root();
my ($user) = need_users(1);
my $group = getgrgid((getpwnam $user)[3]);
my $server = start_server(start => 0, conf => '');
my $dir = $server->dir;
$server->write_file('private/wsgi.py', PyDaemonTest::slurp(apps_dir() . '/hello.py'));
chown +(getpwnam $user)[ 2, 3 ], "$dir/private" or die $!;
chmod 0700, "$dir/private" or die $!;
$server->write_conf(<<"END");
PyDaemonProcess one user=$user group=$group
PyDaemonAlias /private \@dir\@/private/wsgi.py group=one
PyDaemonAlias / \@apps\@/hello.py group=one
END
my ($status, $output) = $server->configtest;
isnt($status, 0, 'configtest refuses it');
my $message = qr{PYD0021.*PyDaemonAlias in \S+httpd\.conf:\d+.*private/wsgi\.py.*directory \S+/private.*403};
like($output, $message, '... and says what is in the way, for whom, and what comes of it');
$server->start;
is(curl($server->url('/'))->{status}, 200, 'started: another application of the group is served');
is(curl($server->url('/private'))->{status}, 403, '... and the one httpd cannot reach is 403');
like($server->log_text, qr{\[pydaemon:warn\].*$message}, '... as the warning said');
chmod 0711, "$dir/private" or die $!;
is(curl($server->url('/private'))->{status}, 200, 'mended: it is served at once');
($status) = $server->configtest;
is($status, 0, '... and configtest is content');
$server->announce($message, qr/AH00529|Permission denied/);

finish();
