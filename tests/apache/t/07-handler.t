# SPDX-License-Identifier: Apache-2.0
# SetHandler, AddHandler and PyDaemonCallable: in sections and in .htaccess.
use PyDaemonTest;

my $server = start_server(start => 0, conf => '');
my $script = <<'END';
def answer(name):
    def run(environ, start_response):
        text = "%s %s %s\n" % (name, environ["SCRIPT_NAME"], environ["PATH_INFO"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [text.encode("latin-1")]
    return run


application = answer("application")
app = answer("app")
other = answer("other")
number = 5
END
$server->write_file("htdocs/$_", $script)
    for qw(set/a.txt add/a.wsgi add/a.html add/dir.wsgi/index.html ht/a.wsgi callable/a.wsgi match/x.wsgi);
$server->write_file('apps/one.py', $script);
$server->write_file('htdocs/ht/.htaccess', "SetHandler pydaemon\nPyDaemonCallable other\n");
$server->write_file('htdocs/callable/.htaccess', "PyDaemonCallable missing\n");
$server->write_conf(<<'END');
PyDaemonProcess apps
PyDaemonProcessGroup apps
<Directory @dir@/htdocs>
    Require all granted
    AllowOverride FileInfo
</Directory>
<Directory @dir@/htdocs/set>
    SetHandler pydaemon
</Directory>
<Directory @dir@/htdocs/add>
    AddHandler pydaemon .wsgi
    PyDaemonCallable app
</Directory>
<Directory @dir@/htdocs/callable>
    AddHandler pydaemon .wsgi
</Directory>
<Files x.wsgi>
    SetHandler pydaemon
    PyDaemonCallable other
</Files>
PyDaemonAlias /one @dir@/apps/one.py
PyDaemonAlias /option @dir@/apps/one.py callable=app
PyDaemonAlias /both @dir@/apps/one.py callable=app
<Location /one>
    PyDaemonCallable other
</Location>
<Location /both>
    PyDaemonCallable other
</Location>
END
$server->start;

my @cases = (
    # URL => body, or status
    [ '/set/a.txt' => "application /set/a.txt \n", 'SetHandler: any file is the script' ],
    [ '/set/a.txt/b/c' => "application /set/a.txt /b/c\n", '... what follows it is PATH_INFO' ],
    [ '/set/none.txt' => 404, '... it must exist' ],
    [ '/add/a.wsgi' => "app /add/a.wsgi \n", 'AddHandler, PyDaemonCallable in <Directory>' ],
    [ '/add/a.wsgi/x%20y' => "app /add/a.wsgi /x y\n", '... PATH_INFO' ],
    [ '/add/a.html' => $script, '... other files are as ever' ],
    [ '/add/b.wsgi' => 404, '... it must exist' ],
    [ '/ht/a.wsgi/z' => "other /ht/a.wsgi /z\n", 'SetHandler and PyDaemonCallable in .htaccess' ],
    [ '/match/x.wsgi' => "other /match/x.wsgi \n", '<Files>' ],
    [ '/one/x' => "other /one /x\n", 'PyDaemonCallable in <Location>' ],
    [ '/option/x' => "app /option /x\n", 'callable= of the alias' ],
    [ '/both/x' => "app /both /x\n", '... comes before PyDaemonCallable' ],
);
for my $case (@cases) {
    my ($path, $expected, $why) = @$case;
    my $answer = curl($server->url($path));
    is($expected =~ /^\d+$/ ? $answer->{status} : $answer->{body}, $expected, "$path: $why");
}

is(curl($server->url('/callable/a.wsgi'))->{status}, 500, 'a callable that the script does not have');
ok($server->wait_for_log(qr{PYD1003: '\S+/a\.wsgi' has no 'missing'; the callables it does have: answer, application, app, other\.}), '... the log names the script and the callable');
$server->announce(qr/missing/, qr/PYD0216.*a\.wsgi/);
is(curl($server->url('/add/dir.wsgi/'))->{body}, $script, 'a directory that is called like a script is a directory');
$server->tolerate(qr/PYD0034/);

# One that is no callable, or no name at all.
my ($status, $output);
for my $name ('no-name', '1st', 'a..b') {
    $server->write_conf("PyDaemonCallable $name");
    ($status, $output) = $server->configtest;
    isnt($status, 0, "refused: PyDaemonCallable $name");
    like($output, qr/PyDaemonCallable.*Python name/, '... and says what would be right');
}
$server->write_conf("PyDaemonAlias / \@dir\@/apps/one.py callable=number\nPyDaemonProcess default startup-timeout=5");
ok($server->graceful, 'reload: the callable is a number');
my $answer = curl($server->url('/'));
is($answer->{status}, 503, '... 503');
ok($answer->{headers}{'retry-after'}, '... with Retry-After');
ok($server->wait_for_log(qr{PYD1004: 'number' of '\S+/one\.py' cannot be called: .*'int'}), '... the log says why');
$server->announce(qr/number/);
$server->tolerate(qr/'default'/);

finish();
