# SPDX-License-Identifier: Apache-2.0
# PyDaemonErrorOverride: whose page a 4xx or 5xx response has.
use PyDaemonTest;

my $server = start_server(start => 0, conf => '');
$server->write_file('apps/status.py', <<'END');
def application(environ, start_response):
    status = environ["QUERY_STRING"]
    start_response(status + " Its Own", [("Content-Type", "text/x-own"), ("X-Own", "1"), ("Set-Cookie", "a=1"),
                                         ("WWW-Authenticate", "Own")])
    return [b"of the application\n"]
END
$server->write_file("htdocs/errors/$_.html", "page $_\n") for 404, 500, 401;
$server->write_file('htdocs/ht/.htaccess', "PyDaemonErrorOverride On\n");
$server->write_file('htdocs/ht/app.wsgi', PyDaemonTest::slurp($server->dir . '/apps/status.py'));
$server->write_conf(<<'END');
Alias /errors @dir@/htdocs/errors
ErrorDocument 404 /errors/404.html
ErrorDocument 500 /errors/500.html
ErrorDocument 401 /errors/401.html
PyDaemonProcess default
PyDaemonAlias /off @dir@/apps/status.py
PyDaemonAlias /on @dir@/apps/status.py
<Location /on>
    PyDaemonErrorOverride On
</Location>
<Location /on/off>
    PyDaemonErrorOverride Off
</Location>
<Directory @dir@/htdocs/ht>
    AddHandler pydaemon .wsgi
    AllowOverride FileInfo
</Directory>
END
$server->start;

my @cases = (
    # URL, status, body
    [ '/off?404', 404, "of the application\n", 'Off by default' ],
    [ '/off?500', 500, "of the application\n", '... for 500, too' ],
    [ '/on?404', 404, "page 404\n", 'On: the ErrorDocument' ],
    [ '/on?500', 500, "page 500\n", '... of each status' ],
    [ '/on?401', 401, "page 401\n", '... 401' ],
    [ '/on?200', 200, "of the application\n", '... not of 200' ],
    [ '/on?302', 302, "of the application\n", '... nor of 3xx' ],
    [ '/on/off?404', 404, "of the application\n", 'Off again, deeper' ],
    [ '/ht/app.wsgi?404', 404, "page 404\n", 'in .htaccess' ],
);
for my $case (@cases) {
    my ($path, $status, $body, $why) = @$case;
    my $answer = curl($server->url($path));
    is($answer->{status}, $status, "$why: status");
    is($answer->{body}, $body, '... body');
}
my $own = curl($server->url('/off?404'));
is_deeply($own->{headers}{'x-own'}, ['1'], "Off: the application's headers");
my $page = curl($server->url('/on?404'));
is_deeply($page->{headers}{'content-type'}, ['text/html'], "On: the page's Content-Type");
is_deeply($page->{headers}{'set-cookie'}, ['a=1'], '... but cookies are kept');
is_deeply(curl($server->url('/on?401'))->{headers}{'www-authenticate'}, ['Own'], '... and what a 401 needs');
is(curl($server->url('/on?403'))->{status}, 403, 'a status without an ErrorDocument');
unlike(curl($server->url('/on?403'))->{body}, qr/of the application/, "... has httpd's own page");
# The body that is thrown away is read to its end: the connection to the worker can be used again.
is(curl($server->url('/on?404'))->{body}, "page 404\n", "again: $_") for 1 .. 3;

finish();
