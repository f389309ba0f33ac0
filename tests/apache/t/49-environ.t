# SPDX-License-Identifier: Apache-2.0
# environ: what CGI, PEP 3333 and httpd's configuration put into it, and what no client can.
use PyDaemonTest;
use PyDaemonTest::Client;

my $server = start_server(ports => 3, conf => <<'END');
ServerName www.example.test
ServerAdmin root@example.test
UseCanonicalName Off
CustomLog "@dir@/logs/access" "%U %L"
<Location />
    Require all granted
</Location>
PyDaemonProcess one threads=4
PyDaemonProcess two processes=2 threads=1
PyDaemonAlias /app "@apps@/environ.py" group=one
PyDaemonAlias /two "@apps@/environ.py" group=two
SetEnv FROM_SERVER "with spaces"
<Location /app/set>
    SetEnv FROM_LOCATION café
    SetEnv wsgi.url_scheme gopher
    SetEnv wsgi.input nothing
    SetEnv pydaemon.process_group other
    SetEnv REQUEST_METHOD BREW
    SetEnv SCRIPT_NAME /elsewhere
    SetEnv QUERY_STRING spoofed
    SetEnv HTTP_X_SET by-admin
    SetEnvIf X-Is-Secure "^yes$" HTTPS=on
    PassEnv PATH
</Location>
<VirtualHost 127.0.0.1:@port2@>
    ServerName other.example.test
    UseCanonicalName On
    ServerSignature On
</VirtualHost>
END

# KEY => Python's repr, of a request as it is sent
sub environ {
    my ($request, $port) = @_;
    my $answer = client($port // $server->port, $request)->response;
    diag($answer->{head}) if $answer->{status} != 200;
    return { map { /^([^=]+)=(.*)$/ ? ($1, $2) : () } split /\n/, $answer->{body} };
}
sub get { my ($path, $head, $port) = @_; return environ("GET $path HTTP/1.1\r\nHost: h.test:81\r\n" . ($head // '') . "\r\n", $port) }
sub same { my ($got, $name, %expected) = @_; is($got->{$_}, $expected{$_}, "$name: $_") for sort keys %expected }

my $port = $server->port;
my $first = get('/app/path?a=b&c', "X-One: 1\r\nAccept: */*\r\nX-Request-Start: t=1234567890\r\nCookie: a=b; c=d\r\n");
same($first, 'a request', GATEWAY_INTERFACE => "'CGI/1.1'", REQUEST_METHOD => "'GET'", SCRIPT_NAME => "'/app'", PATH_INFO => "'/path'",
    QUERY_STRING => "'a=b&c'", REQUEST_URI => "'/app/path?a=b&c'", SERVER_PROTOCOL => "'HTTP/1.1'", SERVER_NAME => "'h.test'",
    SERVER_PORT => "'81'", SERVER_ADDR => "'127.0.0.1'", REMOTE_ADDR => "'127.0.0.1'", SERVER_ADMIN => "'root\@example.test'",
    REQUEST_SCHEME => "'http'", HTTP_HOST => "'h.test:81'", HTTP_X_ONE => "'1'", HTTP_ACCEPT => "'*/*'",
    HTTP_X_REQUEST_START => "'t=1234567890'", HTTP_COOKIE => "'a=b; c=d'", FROM_SERVER => "'with spaces'",
    'wsgi.version' => '(1, 0)', 'wsgi.url_scheme' => "'http'", 'wsgi.multithread' => 'True', 'wsgi.multiprocess' => 'False',
    'wsgi.run_once' => 'False', 'wsgi.input_terminated' => 'True', 'pydaemon.process_group' => "'one'",
    DOCUMENT_ROOT => "'@{[$server->dir]}/htdocs'", SCRIPT_FILENAME => "'@{[apps_dir()]}/environ.py'",
    PATH_TRANSLATED => "'@{[$server->dir]}/htdocs/path'", CONTENT_LENGTH => undef, CONTENT_TYPE => undef, HTTPS => undef,
    REMOTE_USER => undef, AUTH_TYPE => undef, PATH => undef, LD_LIBRARY_PATH => undef, HTTP_CONTENT_LENGTH => undef);
like($first->{REMOTE_PORT}, qr/^'\d+'$/, 'REMOTE_PORT');
like($first->{SERVER_SOFTWARE}, qr/^'Apache/, 'SERVER_SOFTWARE');
like($first->{$_}, qr/^<pydaemon\./, $_) for qw(wsgi.input wsgi.errors);
like($first->{'wsgi.file_wrapper'}, qr/FileWrapper/, 'wsgi.file_wrapper');
like($first->{'pydaemon.version'}, qr/^'\d+\.\d+/, 'pydaemon.version');
like($first->{'pydaemon.request_id'}, qr/^'\S{8,}'$/, 'pydaemon.request_id');
isnt($first->{'pydaemon.request_id'}, get('/app')->{'pydaemon.request_id'}, '... another one each time');
my $logged = get('/app/logged')->{'pydaemon.request_id'};
ok(wait_for(sub { PyDaemonTest::slurp("@{[$server->dir]}/logs/access") =~ m{^/app/logged (\S+)$}m && "'$1'" eq $logged }), '... that of the access log');
cmp_ok(abs($first->{$_} - time), '<', 60, "$_ is now") for qw(pydaemon.request_start pydaemon.queue_start);
cmp_ok($first->{'pydaemon.queue_start'}, '>=', $first->{'pydaemon.request_start'}, '... in order');
like($first->{"pydaemon.$_"}, qr/built-in/, "pydaemon.$_") for qw(disconnected early_hints);
same(get('/two'), 'two processes of one thread', 'wsgi.multithread' => 'False', 'wsgi.multiprocess' => 'True');
same(get('/app'), 'no query', QUERY_STRING => "''", PATH_INFO => "''");
same(get('/app?'), 'an empty query', QUERY_STRING => "''", REQUEST_URI => "'/app?'");
same(environ("GET /app HTTP/1.0\r\n\r\n"), 'HTTP/1.0 without Host', SERVER_PROTOCOL => "'HTTP/1.0'", SERVER_NAME => "'www.example.test'", HTTP_HOST => undef);
same(environ("GET http://abs.test/app/x?y HTTP/1.1\r\nHost: h\r\n\r\n"), 'absolute URI', SERVER_NAME => "'abs.test'", PATH_INFO => "'/x'", HTTP_HOST => "'abs.test'");
same(get('/app', '', $server->port(2)), 'UseCanonicalName On', SERVER_NAME => "'other.example.test'", HTTP_HOST => "'h.test:81'");
like(get('/app', '', $server->port(2))->{SERVER_SIGNATURE}, qr/other.example.test/, 'ServerSignature');

# ---- SetEnv cannot break what httpd and the server say ---------------------------------------------------------------
my $set = get('/app/set/x?q', "X-Is-Secure: yes\r\n");
same($set, 'SetEnv', 'wsgi.url_scheme' => "'https'", HTTPS => "'on'", 'pydaemon.process_group' => "'one'", REQUEST_METHOD => "'GET'",
    SCRIPT_NAME => "'/app'", QUERY_STRING => "'q'", HTTP_X_SET => "'by-admin'");
is($set->{FROM_LOCATION}, "'caf\xc3\x83\xc2\xa9'", '... its bytes as latin-1');
like($set->{'wsgi.input'}, qr/^<pydaemon\./, '... wsgi.input is nothing for SetEnv');
like($set->{PATH}, qr{^'/}, '... PassEnv');
is(get('/app/set', "X-Is-Secure: no\r\n")->{'wsgi.url_scheme'}, "'http'", '... SetEnvIf, the other way');

# ---- headers --------------------------------------------------------------------------------------------------------
same(get('/app', "X_Foo: spoofed\r\nX-Foo: real\r\n"), 'X_Foo after X-Foo', HTTP_X_FOO => "'real'");
same(get('/app', "X-Foo: real\r\nX_Foo: spoofed\r\n"), 'X_Foo before X-Foo', HTTP_X_FOO => "'real'");
same(get('/app', "X_Foo: spoofed\r\nX.Foo: spoofed\r\nRemote_User: me\r\n"), 'X_Foo alone', HTTP_X_FOO => undef, HTTP_REMOTE_USER => undef);
same(get('/app', "Proxy: http://evil.test/\r\npRoXy: x\r\n"), 'httpoxy', HTTP_PROXY => undef);
same(get('/app', "X-Is-Secure: yes\r\nHTTPS: on\r\nRemote-User: me\r\n"), 'a client cannot set', HTTPS => undef, 'wsgi.url_scheme' => "'http'", REMOTE_USER => undef);
same(get('/app', "X-Two: 1\r\nX-Two: 2\r\nx-two: 3\r\n"), 'a header three times', HTTP_X_TWO => "'1, 2, 3'");
same(get('/app', "X-Latin: caf\xe9\r\n"), 'latin-1', HTTP_X_LATIN => "'caf\xc3\xa9'");
same(get('/app', "X-Utf8: caf\xc3\xa9\r\n"), 'UTF-8 as latin-1', HTTP_X_UTF8 => "'caf\xc3\x83\xc2\xa9'");
same(get('/app', "X-Empty:\r\n"), 'an empty header', HTTP_X_EMPTY => "''");
same(get('/app', "Content-Type: text/x; a=\"b\"\r\n"), 'Content-Type', CONTENT_TYPE => "'text/x; a=\"b\"'", HTTP_CONTENT_TYPE => undef);
same(get('/app', "Connection: close, X-Hop\r\nX-Hop: 1\r\n"), 'Connection', HTTP_CONNECTION => "'close, X-Hop'");
finish();
