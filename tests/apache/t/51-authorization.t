# SPDX-License-Identifier: Apache-2.0
# Who sees the client's password: PyDaemonPassAuthorization Auto, On and Off, with and without httpd's own check.
use PyDaemonTest;
use PyDaemonTest::Client;

my $server = start_server(ports => 2, conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess auth
PyDaemonAlias /alias-on "@apps@/environ.py" group=auth pass-authorization=On
PyDaemonAlias /alias-off "@apps@/environ.py" group=auth pass-authorization=Off
PyDaemonAlias / "@apps@/environ.py" group=auth
<Location /on>
    PyDaemonPassAuthorization On
</Location>
<Location /off>
    PyDaemonPassAuthorization Off
</Location>
<LocationMatch ^/(basic|basic-on|basic-off|anyone|named|alias-on/basic|alias-off/basic)$>
    AuthType Basic
    AuthName test
    AuthUserFile "@dir@/passwords"
    Require valid-user
</LocationMatch>
<Location /basic-on>
    PyDaemonPassAuthorization On
</Location>
<Location /basic-off>
    PyDaemonPassAuthorization Off
</Location>
# Configured, but nothing requires it: httpd does not look at the password.
<Location /anyone>
    Require all granted
</Location>
<Location /none>
    AuthType None
</Location>
<Location /set-env>
    SetEnvIf Authorization "(.*)" HTTP_AUTHORIZATION=$1
    PyDaemonPassAuthorization Off
</Location>
<VirtualHost 127.0.0.1:@port2@>
    PyDaemonPassAuthorization Off
    <Location /auto>
        PyDaemonPassAuthorization Auto
    </Location>
</VirtualHost>
END
{
    open my $out, '>', $server->dir . '/passwords' or die;
    # me:secret
    print $out "me:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
}
my $basic = 'Basic bWU6c2VjcmV0';

sub ask { # PATH, credentials, port number
    my ($path, $credentials, $number) = @_;
    my $answer = client($server->port($number // 1), "GET $path HTTP/1.1\r\nHost: h\r\n"
        . ($credentials ? "Authorization: $credentials\r\n" : '') . "Proxy-Authorization: $basic\r\n\r\n")->response;
    return "status $answer->{status}" if $answer->{status} != 200;
    my %environ = map { /^([^=]+)='(.*)'$/ ? ($1, $2) : () } split /\n/, $answer->{body};
    return join ' ', map { $environ{$_} // '-' } qw(HTTP_AUTHORIZATION REMOTE_USER AUTH_TYPE);
}

my @cases = (
    # path, what the application sees: Authorization, REMOTE_USER, AUTH_TYPE
    [ '/' => "$basic - -", 'Auto: the application checks it' ],
    [ '/on' => "$basic - -", 'On' ],
    [ '/off' => '- - -', 'Off' ],
    [ '/alias-on' => "$basic - -", 'On of the alias' ],
    [ '/alias-off' => '- - -', 'Off of the alias' ],
    [ '/basic' => '- me Basic', 'Auto, httpd checks it' ],
    [ '/basic-on' => "$basic me Basic", 'On, httpd checks it' ],
    [ '/basic-off' => '- me Basic', 'Off, httpd checks it' ],
    [ '/alias-on/basic' => "$basic me Basic", 'On of the alias, httpd checks it' ],
    [ '/alias-off/basic' => '- me Basic', 'Off of the alias, httpd checks it' ],
    [ '/none' => "$basic - -", 'Auto, AuthType None' ],
    [ '/set-env' => "$basic - -", 'Off, but SetEnvIf says so' ],
);
is(ask($_->[0], $basic), $_->[1], $_->[2]) for @cases;
is(ask('/off', $basic, 2), '- - -', 'Off in the virtual host');
is(ask('/auto', $basic, 2), "$basic - -", '... and Auto below it');
is(ask('/', 'Bearer abc.def'), 'Bearer abc.def - -', 'other schemes');
is(ask('/', ''), '- - -', 'none');
is(ask($_, ''), 'status 401', "$_ without a password") for qw(/basic /basic-on /alias-on/basic);
is(ask('/basic', 'Basic bWU6d3Jvbmc='), 'status 401', 'a wrong password');
like(curl($server->url('/'), '-H', "Proxy-Authorization: $basic")->{body}, qr/^(?!.*PROXY_AUTHORIZATION)/s, 'Proxy-Authorization is for proxies');

$server->announce(qr/AH01617.*user me: authentication failure/);
finish();
