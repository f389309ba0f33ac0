# SPDX-License-Identifier: Apache-2.0
# Which group a request runs in: sections, variables, and groups that belong to a virtual host.
use PyDaemonTest;

my $server = start_server(ports => 3, conf => <<'END');
PyDaemonProcess one
PyDaemonProcess two
PyDaemonProcess three
PyDaemonProcessGroup one
PyDaemonAlias /server @apps@/environ.py
PyDaemonAlias /alias @apps@/environ.py group=three
PyDaemonAlias /env @apps@/environ.py
PyDaemonAlias / @apps@/environ.py
<Location /deep>
    PyDaemonProcessGroup two
</Location>
<Location /deep/er>
    PyDaemonProcessGroup three
</Location>
<Location /alias>
    PyDaemonProcessGroup two
</Location>
SetEnvIf X-Group (.+) which=$1
<Location /env>
    PyDaemonProcessGroup %{ENV:which} one two
</Location>
<VirtualHost *:@port2@>
    ServerName site.example
    ErrorLog @dir@/logs/site_error_log
    PyDaemonProcess site
    PyDaemonProcessGroup site
    PyDaemonAlias /wild @apps@/environ.py group=two
    PyDaemonAlias / @apps@/environ.py
</VirtualHost>
<VirtualHost *:@port3@>
    ServerName site.example
    ServerAlias other.example
    ErrorLog @dir@/logs/second_error_log
    PyDaemonAlias / @apps@/environ.py group=site
</VirtualHost>
END

sub group {
    my ($path, $port, @options) = @_;
    my $answer = curl('http://127.0.0.1:' . $server->port($port) . $path, @options);
    return $answer->{status} == 200 && $answer->{body} =~ /^pydaemon\.process_group='(.*)'$/m ? $1 : $answer->{status};
}

is(group('/server', 1), 'one', 'PyDaemonProcessGroup of the server');
is(group('/deep', 1), 'two', '... of a <Location>');
is(group('/deep/er/x', 1), 'three', '... of a deeper one');
is(group('/alias', 1), 'three', 'group= of the alias comes before them');

is(group('/env', 1, '-H', 'X-Group: one'), 'one', '%{ENV:which}: one');
is(group('/env', 1, '-H', 'X-Group: two'), 'two', '%{ENV:which}: two');
is(group('/env', 1, '-H', 'X-Group: three'), 500, '... a group that is not listed');
ok($server->wait_for_log(qr{\[pydaemon:error\].*PYD0031.*%\{ENV:which\}.*httpd\.conf:\d+.*'three'}), '... is logged');
is(group('/env', 1, '-H', 'X-Group: nobody'), 500, '... one that does not exist');
ok($server->wait_for_log(qr{PYD0031.*'nobody'}), '... is logged');
is(group('/env', 1, '-H', 'X-Group: on'), 500, '... the beginning of a name');
is(group('/env', 1, '-H', 'X-Group: ONE'), 500, '... other letters');
is(group('/env', 1), 500, '... none');
ok($server->wait_for_log(qr{\[pydaemon:error\].*PYD0030.*%\{ENV:which\}.*not set}), '... is logged');
$server->announce(qr/PYD003[01]/);

is(group('/', 2), 'site', 'a group of a virtual host');
is(group('/', 3), 'site', '... in a second one of the same ServerName');
is(group('/wild', 2), 'two', 'a group from outside is there, too');
like(PyDaemonTest::slurp($server->dir . '/logs/site_error_log'), qr/Worker 1 of 'site' is ready/,
    "its life is logged in the ErrorLog of the virtual host that defines it");
unlike(PyDaemonTest::slurp($server->dir . '/logs/error_log'), qr/of 'site'/, '... and not in the main one');
unlike(PyDaemonTest::slurp($server->dir . '/logs/site_error_log'), qr/of 'one'/, '... which has that of the others');

# Configurations that name what they may not use.
my $vhost = "<VirtualHost *:80>\nServerName a.example\nPyDaemonProcess mine\n</VirtualHost>\n";
my @bad = (
    [ "${vhost}PyDaemonAlias / \@apps\@/hello.py group=mine" => qr/PYD0002.*PyDaemonAlias.*'mine'.*a\.example/ ],
    [ "${vhost}PyDaemonProcessGroup mine" => qr/PYD0002.*PyDaemonProcessGroup.*'mine'/ ],
    [ "$vhost<VirtualHost *:81>\nServerName b.example\nPyDaemonAlias / \@apps\@/hello.py group=mine\n</VirtualHost>"
        => qr/PYD0002.*PyDaemonAlias.*'mine'/ ],
    [ "$vhost<VirtualHost *:81>\nServerName b.example\n<Location />\nPyDaemonProcessGroup mine\n</Location>\n</VirtualHost>"
        => qr/PYD0002.*PyDaemonProcessGroup.*'mine'/ ],
    [ "$vhost<VirtualHost *:81>\nServerName b.example\nPyDaemonProcess mine\n</VirtualHost>" => qr/'?mine'?.*already/s ],
    [ 'PyDaemonProcessGroup %{ENV:x}' => qr/%\{ENV:x\}.*NAME/ ],
    [ "PyDaemonProcess a\nPyDaemonProcessGroup %{ENV:x} a b" => qr/PYD0001.*'b'/ ],
    [ "PyDaemonProcess a\nPyDaemonProcessGroup %{ENV:} a" => qr/%\{ENV:VARIABLE\}/ ],
    [ 'PyDaemonProcessGroup %{GLOBAL}' => qr/%\{GLOBAL\}.*%\{ENV:VARIABLE\}/ ],
    [ "PyDaemonProcess a\nPyDaemonProcess b\nPyDaemonProcessGroup a b" => qr/one name only/ ],
    [ 'PyDaemonAlias / @apps@/hello.py group=%{ENV:x}' => qr/PyDaemonProcessGroup %\{ENV:x\} NAME/ ],
    [ 'PyDaemonAlias / @apps@/hello.py group=' => qr/group|name/ ],
);
my $checked = start_server(start => 0, modules => 0, conf => '');
for my $case (@bad) {
    my ($conf, $message) = @$case;
    $checked->write_conf($conf);
    my ($status, $output) = $checked->configtest;
    isnt($status, 0, 'refused: ' . $conf =~ s/\n/; /gr);
    like($output, $message, '... and says why');
    like($output, qr/httpd\.conf:\d+|line \d+ of/, '... and where');
}

finish();
