# SPDX-License-Identifier: Apache-2.0
# With httpd's own: mod_deflate both ways, mod_headers, error pages, internal redirects, subrequests.
use PyDaemonTest;
use PyDaemonTest::Client;

my $server = start_server(ports => 2, conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess filters threads=4
PyDaemonAlias /rules "@apps@/rules.py" group=filters
PyDaemonAlias /environ "@apps@/environ.py" group=filters
PyDaemonAlias /input "@apps@/input_ways.py" group=filters
PyDaemonAlias /echo "@apps@/echo.py" group=filters
<Location /input>
    SetInputFilter DEFLATE
</Location>
<Location /echo>
    SetOutputFilter DEFLATE
</Location>
<Location /rules>
    Header set X-Set by-httpd
    Header append X-Appended by-httpd
    Header always set X-Always by-httpd
    Header unset X-Gone
    RequestHeader set X-From-Httpd yes
</Location>
<LocationMatch "^/rules/.*">
    ErrorDocument 404 "httpd's own 404"
    ErrorDocument 500 /environ/error
    ErrorDocument 401 /environ/error
    ErrorDocument 503 "httpd's own 503"
</LocationMatch>
<If "%{QUERY_STRING} =~ /override/">
    PyDaemonErrorOverride On
</If>
ErrorDocument 405 /rules/error_page
RewriteEngine On
RewriteRule ^/old/(.*) /environ/new/$1 [PT]
RewriteRule ^/moved/(.*) /environ/$1 [PT,QSA,E=FROM_REWRITE:$1]
<Directory "@dir@/htdocs">
    Options +Includes
    AddType text/html .shtml
    AddOutputFilter INCLUDES .shtml
    DirectoryIndex page.shtml
</Directory>
END
sub put { my ($name, $text) = @_; open my $out, '>:raw', "@{[$server->dir]}/$name" or die "$name: $!"; print $out $text; close $out }
sub quote { return join '', map { sprintf '%%%02X', ord } split //, $_[0] }
sub responds { my (%part) = @_; return '/rules/responds?' . join '&', map { "$_=" . quote($part{$_}) } sort keys %part }
sub ask { return client($server->port, "GET $_[0] HTTP/1.1\r\nHost: h\r\n" . ($_[1] // '') . "\r\n")->response }
my $dir = $server->dir;

# ---- mod_deflate ----------------------------------------------------------------------------------------------------
for my $size (1, 1000, 20_000, 2_000_000) {
    my $text = join ' ', map { $_ * 7919 % 100_003 } 1 .. $size / 6 + 1;
    put('plain', $text);
    system "gzip -c '$dir/plain' >'$dir/packed'";
    my $sum = `sha256sum '$dir/plain'`;
    $sum =~ s/ .*//s;
    for my $options ([], [ '-H', 'Transfer-Encoding: chunked' ], [ '-H', 'Expect:' ]) {
        my $answer = curl($server->url('/input/hash'), '-H', 'Content-Encoding: gzip', '--data-binary', "\@$dir/packed", @$options);
        like($answer->{body}, qr/^b'$sum'$/m, "a packed body of $size bytes, @$options: all of it");
        my ($length) = $answer->{body} =~ /^CONTENT_LENGTH=(.*)$/m;
        like($length, qr/^(?:None|'@{[length $text]}')$/, '... and no other Content-Length than its own');
    }
    my $answer = curl($server->url('/input/hash'), '--data-binary', "\@$dir/plain");
    like($answer->{body}, qr/^b'$sum'$/m, "... unpacked: as it is");
    like($answer->{body}, qr/^CONTENT_LENGTH='@{[length $text]}'$/m, '... with its Content-Length');
    $answer = curl($server->url('/echo'), '--compressed', '--data-binary', "\@$dir/plain", '-H', 'Content-Type: text/plain');
    ok($answer->{body} eq $text, "a packed response of $size bytes");
    is($answer->{headers}{'content-encoding'}[0], 'gzip', '... packed') if $size > 100;
    is($answer->{exit}, 0, '... whole');
}
put('packed', "\x1f\x8b\x08\x00garbage garbage garbage");
my $answer = curl($server->url('/input/hash'), '-H', 'Content-Encoding: gzip', '--data-binary', "\@$dir/packed");
like($answer->{status}, qr/^(?:400|200)$/, "a body that cannot be unpacked: $answer->{status}");
unlike($answer->{body}, qr/^b'[0-9a-f]{64}'$/m, '... is not taken for a whole one');

# ---- mod_headers ----------------------------------------------------------------------------------------------------
$answer = ask(responds(h => "[('X-Set', 'app'), ('X-Appended', 'app'), ('X-Gone', 'app'), ('X-Kept', 'app')]"));
is_deeply([ map { $answer->{headers}{"x-$_"} } qw(set appended gone kept always) ],
    [ ['by-httpd'], ['app, by-httpd'], undef, ['app'], ['by-httpd'] ], 'mod_headers');
like(ask(responds(b => "[repr(environ['HTTP_X_FROM_HTTPD']).encode()]"))->{body}, qr/^'yes'$/, '... RequestHeader');

# ---- ranges ---------------------------------------------------------------------------------------------------------
$answer = ask(responds(s => "'206 Partial Content'", h => "[('Content-Range', 'bytes 2-5/10'), ('Content-Length', '4')]"), "Range: bytes=2-5\r\n");
is("$answer->{status} $answer->{body}", '206 body', 'a range that the application makes');
is_deeply($answer->{headers}{'content-range'}, ['bytes 2-5/10'], '... is left alone');

# ---- error pages ----------------------------------------------------------------------------------------------------
$answer = ask(responds(s => "'404 Mine'", h => "[('X-Mine', '1')]"));
is("$answer->{status} $answer->{body}", '404 body', 'PyDaemonErrorOverride Off: the application\'s page');
like($answer->{head}, qr{^HTTP/1.1 404 Mine\r\n.*^X-Mine: 1\r$}ms, '... its reason, its headers');
for my $case ([ '404 Mine', "httpd's own 404", 404 ], [ '503 Mine', "httpd's own 503", 503 ], [ '418 Teapot', 'body', 418 ],
    [ '200 OK', 'body', 200 ], [ '302 Found', 'body', 302 ])
{
    my ($status, $text, $code) = @$case;
    $answer = ask(responds(s => "'$status'", h => "[('Content-Length', '4'), ('X-Mine', '1'), ('Set-Cookie', 'a=b'), ('Retry-After', '7')]") . '&override=1');
    is($answer->{status}, $code, "PyDaemonErrorOverride On, $status");
    like($answer->{body}, qr/\Q$text/i, '... the page');
    is_deeply($answer->{headers}{'set-cookie'}, ['a=b'], '... with the cookie of the application');
    is_deeply($answer->{headers}{'retry-after'}, ['7'], '... and Retry-After');
    is($answer->{headers}{'x-mine'}, $text eq 'body' ? $answer->{headers}{'x-mine'} : undef, '... but no header of its page');
    is($answer->{headers}{'x-always'}[0], 'by-httpd', "... and httpd's always");
}
$answer = ask(responds(s => "'401 No'", h => "[('WWW-Authenticate', 'Basic realm=\"x\"')]") . '&override=1', "X-Ask: original\r\n");
is($answer->{status}, 401, 'an application as ErrorDocument: the status stays');
is_deeply($answer->{headers}{'www-authenticate'}, ['Basic realm="x"'], '... and WWW-Authenticate');
like($answer->{body}, qr/^$_$/m, "... its environ has $_") for "REDIRECT_STATUS='401'", "REDIRECT_URL='/rules/responds'", "PATH_INFO='/error'",
    "SCRIPT_NAME='/environ'", "REQUEST_METHOD='GET'", "HTTP_X_ASK='original'", "REQUEST_URI='/rules/responds.*";
$answer = ask('/rules/raises?x');
like($answer->{status} . $answer->{body}, qr/^500.*^PATH_INFO='\/error'$/ms, 'an exception: ErrorDocument 500, by the application');
$answer = client($server->port, "POST /rules/raises?x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nxxxx")->response;
like($answer->{status} . $answer->{body}, qr/^500.*^PATH_INFO='\/error'\n.*^REQUEST_METHOD='GET'$/ms, '... after a POST');
unlike($answer->{body}, qr/^CONTENT_LENGTH='[1-9]/m, '... without its body');
$answer = client($server->port, "POST /rules/raises?x HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nxxxx")->response;
is($answer->{status}, 500, '... and one whose body does not come');
is(ask(responds(s => "'404 Mine'") . '&override=1', '')->{body}, "httpd's own 404", 'the worker goes on');

# ---- internal redirects, subrequests --------------------------------------------------------------------------------
my $body = ask('/old/path?q=1')->{body};
like($body, qr/^$_$/m, "mod_rewrite [PT]: $_") for "SCRIPT_NAME='/environ'", "PATH_INFO='/new/path'", "REQUEST_URI='/old/path\\?q=1'", "QUERY_STRING='q=1'";
like(ask('/moved/x%20y?q=1')->{body}, qr/^FROM_REWRITE='x y'\n/m, '... E=');
put('htdocs/page.shtml', 'a<!--#include virtual="/rules/fine?x" -->b<!--#include virtual="/environ/sub?in=ssi" -->c<!--#include virtual="/rules/half?h" -->d');
for my $path ('/page.shtml', '/') {
    $answer = ask($path);
    $server->wait_for_log(qr/PYD1010/);
    like($answer->{body}, qr/^aonetwob.*^PATH_INFO='\/sub'\n.*^QUERY_STRING='in=ssi'$/ms, "SSI of $path: included");
    ok(!$answer->{complete} || $answer->{body} =~ /error|onetwod$/, '... one that is cut does not look whole');
}
put('htdocs/post.shtml', 'a<!--#include virtual="/input/read" -->b');
$answer = client($server->port, "POST /post.shtml HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nxxxxGET /rules/fine?x HTTP/1.1\r\nHost: h\r\n\r\n");
like($answer->response->{body}, qr/^aCONTENT_LENGTH=.*b$/s, 'SSI after a POST');
is($answer->response->{body}, 'onetwo', '... the connection goes on');

$server->announce(qr/PYD0214/, qr/PYD1010/);
$server->tolerate(qr/\] (?:Traceback|  |[\w.]+Error: )|AH01392/);
finish();
