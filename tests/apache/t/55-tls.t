# SPDX-License-Identifier: Apache-2.0
# TLS: environ, bodies, cut responses, clients that go away.
use PyDaemonTest;
use PyDaemonTest::Background;
need_httpd_module('ssl');

my $server = start_server(start => 0, ports => 2, conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess tls threads=3
PyDaemonAlias /echo "@apps@/echo.py" group=tls
PyDaemonAlias /environ "@apps@/environ.py" group=tls
PyDaemonAlias /rules "@apps@/rules.py" group=tls
PyDaemonAlias /away "@apps@/goes_away.py" group=tls
<VirtualHost 127.0.0.1:@port2@>
    SSLEngine on
    SSLCertificateFile "@dir@/cert.pem"
    SSLCertificateKeyFile "@dir@/key.pem"
    SSLVerifyClient optional_no_ca
    <Location /environ/with>
        SSLOptions +StdEnvVars +ExportCertData
    </Location>
    <Location /environ/user>
        SSLUserName SSL_CLIENT_S_DN_CN
    </Location>
</VirtualHost>
END
my $dir = $server->dir;
for my $case ([ 'cert.pem', 'key.pem', 'localhost' ], [ 'client.pem', 'client-key.pem', 'me' ]) {
    my ($cert, $key, $name) = @$case;
    system("openssl req -x509 -newkey rsa:2048 -nodes -batch -days 2 -subj /CN=$name -addext basicConstraints=CA:FALSE "
        . "-keyout $dir/$key -out $dir/$cert 2>/dev/null") == 0 or die "openssl made no certificate\n";
}
$server->start;
my $base = 'https://127.0.0.1:' . $server->port(2);

my $body = curl("$base/environ/plain", '-k')->{body};
like($body, qr/^$_$/m, $_) for "wsgi.url_scheme='https'", "HTTPS='on'", "REQUEST_SCHEME='https'", "SERVER_PORT='@{[$server->port(2)]}'";
unlike($body, qr/^SSL_/m, 'no SSL variables unless configured');
$body = curl("$base/environ/with", '-k', '--cert', "$dir/client.pem", '--key', "$dir/client-key.pem")->{body};
like($body, qr/^$_$/m, "StdEnvVars: $_") for "SSL_PROTOCOL='TLSv1.\\d'", "SSL_CIPHER='\\S+'", "SSL_CLIENT_S_DN_CN='me'", "SSL_SERVER_S_DN_CN='localhost'",
    "SSL_CLIENT_CERT='-----BEGIN CERTIFICATE-----\\\\n.*'", "HTTPS='on'";
like(curl("$base/environ/user", '-k', '--cert', "$dir/client.pem", '--key', "$dir/client-key.pem")->{body}, qr/^REMOTE_USER='me'$/m, 'SSLUserName');
$body = curl($server->url('/environ/plain'))->{body};
like($body, qr/^wsgi.url_scheme='http'$/m, 'plain beside it: http');
unlike($body, qr/^(?:HTTPS|SSL_)/m, '... without HTTPS');

for my $size (0, 1, 100_000, 3_000_000) {
    open my $out, '>:raw', "$dir/body" or die;
    print $out my $text = join '', map { chr(33 + $_ * 7919 % 91) } 1 .. $size;
    close $out;
    for my $options ([], [ '-H', 'Transfer-Encoding: chunked' ], [ '-H', 'Expect: 100-continue' ], [ '--http1.0', '--no-alpn' ]) {
        my $answer = curl("$base/echo", '-k', '--data-binary', "\@$dir/body", @$options);
        ok($answer->{body} eq $text && !$answer->{exit}, "echo of $size bytes @$options") or diag "$answer->{exit} $answer->{error}";
    }
}
for my $case (['half'], ['half_length'], [ half => '--http1.0', '--no-alpn' ]) {
    my ($path, @options) = @$case;
    my $answer = curl("$base/rules/$path?x", '-k', @options);
    isnt($answer->{exit}, 0, "$path @options: the client can tell that it is cut ($answer->{exit})");
}

# A client that goes away in the middle.
my @parts = map { background(sub { curl("$base/away/streams?s$_", '-k', '--max-time', 0.5, '--limit-rate', '1M') }) } 1 .. 6;
$_->result for @parts;
for my $key (map { "s$_" } 1 .. 6) {
    wait_for(sub { curl("$base/away/seen?$key", '-k')->{body} =~ /closed/ });
    like(curl("$base/away/seen?$key", '-k')->{body}, qr/closed/, "$key: gone, and closed");
}

$server->announce(qr/PYD1010/);
$server->tolerate(qr/\] (?:Traceback|  |[\w.]+Error: )|AH01909|AH01906/);
finish();
