# SPDX-License-Identifier: Apache-2.0
# Everything that is wrong with a configuration is found by configtest, with the place and what would be right.
use PyDaemonTest;

my $server = start_server(start => 0, modules => 0, conf => '');

my @good = (
    'PyDaemonAlias / @apps@/hello.py',
    'PyDaemonProcess a processes=auto threads=3 umask=022 env=A=1 env=B=2' . "\n" . 'PyDaemonAlias / @apps@/hello.py group=a',
    "PyDaemonProcess a\nPyDaemonProcessGroup a",
);
for my $conf (@good) {
    $server->write_conf($conf);
    my ($status, $output) = $server->configtest;
    is($status, 0, "accepted: $conf") or diag $output;
}

my @bad = (
    # configuration => what the message has
    [ 'PyDaemonProcess' => qr/PyDaemonProcess/ ],
    [ "PyDaemonProcess a\nPyDaemonProcess a" => qr/PyDaemonProcess.*\ba\b/s ],
    [ 'PyDaemonProcess bad/name' => qr{bad/name} ],
    [ 'PyDaemonProcess a threads=0' => qr/threads.*0.*1/s ],
    [ 'PyDaemonProcess a threads=5x' => qr/threads.*5x/ ],
    [ 'PyDaemonProcess a thread=5' => qr/thread/ ],
    [ 'PyDaemonProcess a queue-timeout=soon' => qr/queue-timeout.*soon/ ],
    [ 'PyDaemonProcess a user=no-such-user-here' => qr/no-such-user-here/ ],
    [ 'PyDaemonProcess a python=/no/such/python' => qr{/no/such/python} ],
    [ 'PyDaemonAlias / @apps@/no-such-file.py' => qr/no-such-file\.py/ ],
    [ 'PyDaemonAlias / @apps@/hello.py group=nowhere' => qr/nowhere/ ],
    [ 'PyDaemonAlias / @apps@/hello.py colour=blue' => qr/colour/ ],
    [ 'PyDaemonAlias /' => qr/PyDaemonAlias/ ],
    [ 'PyDaemonAliasMatch ( @apps@/hello.py' => qr/PyDaemonAliasMatch/ ],
    [ 'PyDaemonProcessGroup nowhere' => qr/nowhere/ ],
    [ 'PyDaemonPassAuthorization Perhaps' => qr/Perhaps|Auto/ ],
);
for my $case (@bad) {
    my ($conf, $message) = @$case;
    $server->write_conf($conf);
    my ($status, $output) = $server->configtest;
    isnt($status, 0, "refused: $conf");
    like($output, $message, '... and says why');
    like($output, qr/httpd\.conf:\d+|line \d+ of/, '... and where');
}

finish();
