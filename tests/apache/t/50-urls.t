# SPDX-License-Identifier: Apache-2.0
# SCRIPT_NAME and PATH_INFO: for mounts at any depth, and whatever a client makes of a URL.
use PyDaemonTest;
use PyDaemonTest::Client;

my $server = start_server(ports => 4, conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess urls
PyDaemonAlias /a/b "@apps@/environ.py" group=urls
PyDaemonAlias /a "@apps@/environ.py" group=urls
PyDaemonAlias /slash/ "@apps@/environ.py" group=urls
PyDaemonAliasMatch ^/v[0-9]+/(echo|environ) "@apps@/$1.py" group=urls
PyDaemonAlias /module environ:application group=mod
PyDaemonProcess mod home=@apps@
<VirtualHost 127.0.0.1:@port2@>
    PyDaemonAlias / "@apps@/environ.py" group=urls
</VirtualHost>
<VirtualHost 127.0.0.1:@port3@>
    AllowEncodedSlashes NoDecode
    MergeSlashes Off
    PyDaemonAlias /a "@apps@/environ.py" group=urls
</VirtualHost>
<VirtualHost 127.0.0.1:@port4@>
    AllowEncodedSlashes On
    PyDaemonAlias / "@apps@/environ.py" group=urls
</VirtualHost>
END

# [ port number, target of the request, SCRIPT_NAME, PATH_INFO ], in Python's latin-1; or [ port, target, status ]
my @cases = (
    [ 1, '/a', '/a', '' ], [ 1, '/a/', '/a', '/' ], [ 1, '/a/x', '/a', '/x' ], [ 1, '/a/x/', '/a', '/x/' ],
    [ 1, '/a/b', '/a/b', '' ], [ 1, '/a/b/', '/a/b', '/' ], [ 1, '/a/b/c', '/a/b', '/c' ], [ 1, '/a/bc', '/a', '/bc' ],
    [ 1, '/ab', 404 ], [ 1, '/', 404 ], [ 1, '/A', 404 ],
    [ 1, '/slash/x', '/slash', '/x' ], [ 1, '/slash', '/slash', '' ], [ 1, '/slashes', 404 ],
    [ 1, '/v1/environ/x', '/v1/environ', '/x' ], [ 1, '/v22/environ', '/v22/environ', '' ], [ 1, '/v1/environs', 404 ],
    [ 1, '/v1/../../environ', 400 ], [ 1, '/module/x', '/module', '/x' ], [ 1, '/module', '/module', '' ],
    # escapes
    [ 1, '/a/x%20y', '/a', '/x y' ], [ 1, '/%61/x', '/a', '/x' ], [ 1, '/a/%25', '/a', '/%' ], [ 1, '/a/%2525', '/a', '/%25' ],
    [ 1, '/a/caf%C3%A9', '/a', "/caf\xc3\xa9" ], [ 1, '/a/%FF%80', '/a', "/\xff\x80" ], [ 1, '/a/%3F%23', '/a', '/?#' ],
    [ 1, '/a/x;y=1', '/a', '/x;y=1' ], [ 1, '/a/x%3By', '/a', '/x;y' ], [ 1, '/a/+', '/a', '/+' ], [ 1, '/a/~u', '/a', '/~u' ],
    [ 1, '/a/x=1&y', '/a', '/x=1&y' ], [ 1, '/a/%0A', '/a', "/\\n" ], [ 1, '/a/:@!$*,\'()', '/a', '/:@!$*,\'()' ],
    [ 1, '/a/x%2Fy', 404 ], [ 1, '/a/%00', 404 ], [ 1, '/a/%', 400 ], [ 1, '/a/%zz', 400 ], [ 1, '/a/%2', 400 ],
    # slashes and dots
    [ 1, '//a///x', '/a', '/x' ], [ 1, '/a//', '/a', '/' ], [ 1, '/a/./x', '/a', '/x' ], [ 1, '/a/y/../x', '/a', '/x' ],
    [ 1, '/a/../a/x', '/a', '/x' ], [ 1, '/a/../../x', 400 ], [ 1, '/a/%2e%2e/x', 404 ], [ 1, '/a/..', 404 ],
    [ 1, '/a/.%2e/%2e./x', 400 ], [ 1, '/a/...', '/a', '/...' ], [ 1, '/a/..x', '/a', '/..x' ], [ 1, '/a/\\..\\x', '/a', '/\\\\..\\\\x' ],
    # the root
    [ 2, '/', '', '/' ], [ 2, '/x/y', '', '/x/y' ], [ 2, '//x//y', '', '/x/y' ], [ 2, '/x/', '', '/x/' ], [ 2, '/%2e%2e', 400 ],
    [ 2, '/favicon.ico', '', '/favicon.ico' ], [ 2, '/environ.py', '', '/environ.py' ], [ 2, '*', 400 ],
    [ 2, '/' . 'x' x 4000, '', '/' . 'x' x 4000 ],
    # slashes kept
    [ 3, '/a/x%2Fy', '/a', '/x%2Fy' ], [ 3, '/a//x///y', '/a', '//x///y' ], [ 3, '//a//x', '/a', '//x' ], [ 3, '/a/x%2f..', '/a', '/x%2f..' ],
    [ 4, '/x%2Fy', '', '/x/y' ], [ 4, '/x%2F..%2Fy', '', '/y' ],
);
for my $case (@cases) {
    my ($number, $target, $expected, $path) = @$case;
    my $answer = client($server->port($number), "GET $target HTTP/1.1\r\nHost: h\r\n\r\n")->response;
    my $name = 'port ' . $number . ' ' . substr $target, 0, 40;
    if (!defined $path) {
        is($answer->{status}, $expected, "$name: $expected");
        next;
    }
    my %environ = map { /^([^=]+)=(.*)$/ ? ($1, $2) : () } split /\n/, $answer->{body};
    my @python = map { defined && s/^(['"])(.*)\1$/$2/r } @environ{qw(SCRIPT_NAME PATH_INFO)};
    $_ = $environ{wide} // $_ for @python;
    utf8::decode($_) for @python;
    s/\\x(..)/chr hex $1/ge for @python;
    is("$python[0]|$python[1]", "$expected|$path", $name);
    is($environ{REQUEST_URI} =~ s/^(['"])(.*)\1$/$2/r =~ s/\\(['\\])/$1/gr, $target, '... REQUEST_URI as it was sent') if $target !~ /x{100}/;
}

# PEP 3333: with '/' before it, SCRIPT_NAME + PATH_INFO is the URL's path.
my $environ = curl($server->url('/a/b/c%20d'))->{body};
like($environ, qr/^SCRIPT_NAME='\/a\/b'$/m, 'put together');
$server->tolerate(qr/AH00127|AH10244|AH00026|AH01276|AH00126|AH01630|AH01797|invalid URI path|PYD0035/);
finish();
