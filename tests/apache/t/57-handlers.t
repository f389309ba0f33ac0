# SPDX-License-Identifier: Apache-2.0
# Scripts found by httpd: SetHandler, AddHandler, .htaccess, DirectoryIndex; and who wins over an alias.
use PyDaemonTest;
use PyDaemonTest::Client;
use File::Copy qw(copy);

my $server = start_server(start => 0, conf => <<'END');
PyDaemonProcess one
PyDaemonProcess two
PyDaemonProcess three
<Directory "@dir@/htdocs">
    Require all granted
    AllowOverride FileInfo
    Options +FollowSymLinks
    AddHandler pydaemon .wsgi
    PyDaemonProcessGroup one
    DirectoryIndex index.wsgi
</Directory>
<Directory "@dir@/htdocs/two">
    PyDaemonProcessGroup two
    PyDaemonCallable other
</Directory>
<Location /chosen>
    PyDaemonProcessGroup %{ENV:GROUP} one two
    SetEnvIf X-Group "(.+)" GROUP=$1
</Location>
<Directory "@dir@/htdocs/all">
    SetHandler pydaemon
</Directory>
<Directory "@apps@">
    Require all granted
</Directory>
<Directory "@dir@/secret">
    Require all denied
</Directory>
Alias /static "@dir@/htdocs"
PyDaemonAlias /static/app "@apps@/hello.py" group=one
PyDaemonAlias /mounted "@apps@/counter.wsgi" group=three callable=other
PyDaemonAlias /denied "@dir@/secret/counter.wsgi" group=one
<Location /mounted/protected>
    Require all denied
</Location>
END
my $dir = $server->dir;
my $apps = apps_dir();
sub put { my ($name, $text) = @_; open my $out, '>', "$dir/$name" or die "$name: $!"; print $out $text; close $out }
mkdir "$dir/$_" or die for qw(htdocs/two htdocs/all htdocs/chosen htdocs/access htdocs/index htdocs/dir.wsgi secret);
copy("$apps/counter.wsgi", "$dir/$_") or die "$_: $!" for map { "$_/counter.wsgi" } qw(htdocs htdocs/two htdocs/all htdocs/chosen htdocs/access secret);
copy("$apps/counter.wsgi", "$dir/htdocs/$_") or die for qw(index/index.wsgi all/app.py all/app.en.py all/app.html);
put('htdocs/access/.htaccess', "PyDaemonCallable other\n");
put('htdocs/broken.wsgi', "def application(:\n");
put('htdocs/raises.wsgi', "raise RuntimeError('no import')\n");
put('htdocs/file.txt', "static\n");
$server->start;

sub body { return curl($server->url($_[0]))->{body} =~ s/\Q$dir//gr }
my @cases = (
    [ '/counter.wsgi' => 'application|/counter.wsgi||/htdocs/counter.wsgi|/htdocs/counter.wsgi', 'AddHandler' ],
    [ '/counter.wsgi/a/b' => 'application|/counter.wsgi|/a/b|/htdocs/counter.wsgi|/htdocs/counter.wsgi', 'PATH_INFO behind a file' ],
    [ '/counter.wsgi//a//b/' => 'application|/counter.wsgi|/a/b/|/htdocs/counter.wsgi|/htdocs/counter.wsgi', 'slashes' ],
    [ '//counter.wsgi/x%20y' => 'application|/counter.wsgi|/x y|/htdocs/counter.wsgi|/htdocs/counter.wsgi', 'escapes' ],
    [ '/two/counter.wsgi/x' => 'other|/two/counter.wsgi|/x|/htdocs/two/counter.wsgi|/htdocs/two/counter.wsgi', 'PyDaemonCallable' ],
    [ '/access/counter.wsgi' => 'other|/access/counter.wsgi||/htdocs/access/counter.wsgi|/htdocs/access/counter.wsgi', '.htaccess' ],
    [ '/all/counter.wsgi' => 'application|/all/counter.wsgi||/htdocs/all/counter.wsgi|/htdocs/all/counter.wsgi', 'SetHandler' ],
    [ '/all/app.html/x' => 'application|/all/app.html|/x|/htdocs/all/app.html|/htdocs/all/app.html', '... any file' ],
    [ '/static/counter.wsgi/x' => 'application|/static/counter.wsgi|/x|/htdocs/counter.wsgi|/htdocs/counter.wsgi', 'below an Alias' ],
    [ '/index/' => 'application|/index/index.wsgi||/htdocs/index/index.wsgi|/htdocs/index/index.wsgi', 'DirectoryIndex' ],
    [ '/mounted/x' => "other|/mounted|/x|$apps/counter.wsgi|$apps/counter.wsgi", 'callable= of an alias' ],
);
is(body($_->[0]), $_->[1], "$_->[2]: $_->[0]") for @cases;
is(curl($server->url('/file.txt'))->{body}, "static\n", 'static files beside it');
is(curl($server->url('/static/app'))->{status}, 404, 'Alias wins over PyDaemonAlias');
is(curl($server->url($_))->{status}, 404, "404: $_") for qw(/nothing.wsgi /all/nothing /two/nothing.wsgi/x);
is(curl($server->url('/index'))->{status}, 301, 'mod_dir adds the slash');
is(curl($server->url($_))->{status}, 403, "403: $_") for qw(/mounted/protected/x /denied /denied/x);
is(curl($server->url('/mounted/protect'))->{status}, 200, '... only there');
isnt(curl($server->url('/dir.wsgi/'))->{status}, 200, 'a directory is no script');

# The group of a request.
for my $case ([ one => 200 ], [ two => 200 ], [ three => 500 ], [ nowhere => 500 ], [ '' => 500 ]) {
    my ($group, $status) = @$case;
    is(curl($server->url('/chosen/counter.wsgi'), '-H', "X-Group: $group")->{status}, $status, "\%{ENV:GROUP} '$group': $status");
}

# Scripts that cannot be loaded.
for my $case ([ broken => qr/SyntaxError/ ], [ raises => qr/RuntimeError: no import/ ]) {
    my ($name, $why) = @$case;
    is(curl($server->url("/$name.wsgi"))->{status}, 500, "$name: 500");
    like($server->log_text, $why, '... and why');
    like($server->log_text, qr{PYD0216: application \S+/$name\.wsgi in 'one' cannot be loaded}, '... said once more');
}
put('htdocs/broken.wsgi', "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'mended']\n");
is(curl($server->url('/broken.wsgi'))->{body}, 'mended', 'mended: loaded again');

# What httpd knows of the script file is not said of the response.
for my $path (qw(/all/app.py /all/app.en.py /all/app.html /counter.wsgi)) {
    my $headers = curl($server->url("$path?bare"))->{headers};
    is($headers->{$_}, undef, "$path: no $_") for qw(content-type content-language last-modified etag);
}

$server->announce(qr/PYD0216/, qr/PYD0030/, qr/PYD0031/, qr/PYD0034/);
$server->tolerate(qr/AH01630|AH00127|AH01276|\] (?:Traceback|  |[\w.]+Error: )|PYD100[0-9]/);
finish();
