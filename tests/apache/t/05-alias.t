# SPDX-License-Identifier: Apache-2.0
# Which application a URL leads to, and its SCRIPT_NAME and PATH_INFO.
use PyDaemonTest;

my $server = start_server(ports => 2, start => 0, conf => '');
$server->write_file('home/package/__init__.py', '');
$server->write_file('home/package/module.py', PyDaemonTest::slurp(apps_dir() . '/environ.py') . "\nother = application\n");
$server->write_file("sites/$_/wsgi.py", PyDaemonTest::slurp(apps_dir() . '/environ.py')
    . "\n\nWHICH = '$_'\ninner = application\n\n\ndef application(environ, start_response):\n"
    . "    environ['site'] = WHICH\n    return inner(environ, start_response)\n\n\nclass Object:\n"
    . "    \@staticmethod\n    def method(environ, start_response):\n        environ['dotted'] = 1\n"
    . "        return inner(environ, start_response)\n") for qw(red blue);
$server->write_file('htdocs/static/file.txt', "static\n");
$server->write_file('outside/wsgi.py', 'raise RuntimeError("nobody asked for this")');
$server->write_conf(<<'END');
PyDaemonProcess apps home=@dir@/home
PyDaemonProcess late home=@dir@/home
PyDaemonProcess vhost home=@dir@/home
PyDaemonProcessGroup apps
Alias /all/static @dir@/htdocs/static
PyDaemonAlias /first/longer @dir@/sites/red/wsgi.py group=late
PyDaemonAlias /first @dir@/sites/blue/wsgi.py
PyDaemonAlias /trailing/ @dir@/sites/red/wsgi.py
PyDaemonAlias /module package.module:other
PyDaemonAlias /dotted @dir@/sites/red/wsgi.py callable=Object.method
PyDaemonAliasMatch ^/site/([a-z.]+) @dir@/sites/$1/wsgi.py
PyDaemonAliasMatch ^/mods/([a-z]+) package.$1:other
PyDaemonAliasMatch ^/any/([^/]*) @dir@/sites/$1/wsgi.py
PyDaemonAlias /all @dir@/sites/red/wsgi.py
<Location /all/server-status>
    SetHandler server-status
</Location>
<VirtualHost *:@port2@>
    PyDaemonAlias /first @dir@/sites/red/wsgi.py group=vhost
</VirtualHost>
END
$server->start;

sub facts { # URL: status and what matters of the environ
    my ($path, $port) = @_;
    my $answer = curl($port ? "http://127.0.0.1:$port$path" : $server->url($path), '--path-as-is');
    return $answer->{status} unless $answer->{body} =~ /^SCRIPT_NAME=/m;
    my %value = $answer->{body} =~ /^([\w.]+)='?(.*?)'?$/mg;
    return join ' ', map { $value{$_} // '-' } qw(SCRIPT_NAME PATH_INFO pydaemon.process_group site);
}

my @cases = (
    # URL => SCRIPT_NAME PATH_INFO group site
    [ '/first/longer/x' => '/first/longer /x late red', 'the first that matches, the longer one being first' ],
    [ '/first/longer' => '/first/longer  late red', 'no PATH_INFO' ],
    [ '/first/other' => '/first /other apps blue', 'the second' ],
    [ '/first/longerer' => '/first /longerer apps blue', 'whole parts of the path only' ],
    [ '/firsts' => 404, 'no part of a word' ],
    [ '/first/' => '/first / apps blue', 'a slash is PATH_INFO' ],
    [ '/first//a//b' => '/first /a/b apps blue', 'httpd merges slashes' ],
    [ '/first/a%20b%C3%A4' => "/first /a b\xc3\x83\xc2\xa4 apps blue", 'decoded, as latin-1' ],
    [ '/first/../first/x' => '/first /x apps blue', 'dots are resolved' ],
    [ '/trailing' => '/trailing  apps red', 'a slash at the end of the alias makes no difference' ],
    [ '/trailing/x' => '/trailing /x apps red', '... below it' ],
    [ '/module/x' => '/module /x apps -', 'package.module:callable' ],
    [ '/dotted/x' => '/dotted /x apps -', 'callable=Object.method' ],
    [ '/site/red/page' => '/site/red /page apps red', 'AliasMatch with $1' ],
    [ '/site/blue' => '/site/blue  apps blue', 'AliasMatch with another $1' ],
    [ '/site/green' => 404, '$1 leads nowhere' ],
    [ '/site/redder' => 404, '$1 is what matched' ],
    [ '/mods/module/y' => '/mods/module /y apps -', 'AliasMatch with a module' ],
    [ '/any/..%2foutside' => 404, '$1 with an encoded slash' ],
    [ '/any/../outside' => 404, '$1 with dots' ],
    [ '/site/..' => 404, 'dots are resolved before' ],
    [ '/all/x' => '/all /x apps red', 'the rest' ],
    [ '/ALL/x' => 404, 'letters count' ],
);
for my $case (@cases) {
    my ($path, $expected, $why) = @$case;
    is(facts($path), $expected, "$path: $why");
}
is(curl($server->url('/all/static/file.txt'))->{body}, "static\n", 'Alias wins');
like(curl($server->url('/all/server-status'))->{body}, qr/Apache Server Status/, 'SetHandler in a section wins');
is(facts('/first/longer/x', $server->port(2)), '/first /longer/x vhost red', "a virtual host's come first");
is(facts('/all/x', $server->port(2)), '/all /x apps red', '... and those outside of it after that');
$server->tolerate(qr/PYD003[45]|AH00026|PYD0003/);

# An alias that no request can reach is said by configtest, which still passes.
$server->write_conf("PyDaemonAlias /a \@apps\@/hello.py\nPyDaemonAlias /a/b \@apps\@/environ.py");
my ($status, $output) = $server->configtest;
is($status, 0, 'an alias that is never reached is no error');
like($output, qr{PYD0003.*/a/b.*httpd\.conf:\d+}, '... but configtest says so');

finish();
