# SPDX-License-Identifier: Apache-2.0
# One request of each kind reaches an application.
use PyDaemonTest;

my $hello = curl('/smoke/hello');
is($hello->{status}, 200, 'hello: status');
is($hello->{body}, "hello\n", 'hello: body');
is_deeply($hello->{headers}{'content-length'}, ['6'], 'hello: one Content-Length');

my $environ = curl('/smoke/environ/below?a=b%20c', '-H', 'X-Test: one')->{body};
for my $line (
    "REQUEST_METHOD='GET'", "SCRIPT_NAME='/smoke/environ'", "PATH_INFO='/below'", "QUERY_STRING='a=b%20c'",
    "HTTP_X_TEST='one'", "SERVER_PROTOCOL='HTTP/1.1'", "REMOTE_ADDR='127.0.0.1'", 'wsgi.version=\(1, 0\)',
    "wsgi.url_scheme='http'", "pydaemon.process_group='smoke'", 'wsgi.multiprocess=True', 'wsgi.multithread=True')
{
    like($environ, qr/^$line$/m, "environ: $line");
}

for my $size (0, 1, 70_000, 1_000_000) {
    my $file = File::Temp->new;
    print $file map { chr(ord('a') + $_ % 26) } 1 .. $size;
    close $file;
    my $echo = curl('/smoke/echo', '--data-binary', "\@$file", '-H', 'Content-Type: text/plain');
    is($echo->{status}, 200, "echo of $size bytes: status");
    ok($echo->{body} eq PyDaemonTest::slurp("$file"), "echo of $size bytes: the same");
}

like(curl(url('/x', 'smoke'))->{body}, qr/^pydaemon.process_group='smoke-vhost'$/m, 'a group of a virtual host');
is(scalar(workers('smoke')), 2, 'two workers in the group');
is(scalar(managers()), 1, 'one manager');

finish();
