# SPDX-License-Identifier: Apache-2.0
# A Django site: the admin's login with CSRF and session cookies, an object added and listed, static files by httpd.
use PyDaemonTest;
use PyDaemonTest::Site;

my $site = start_site(blog_options => 'processes=2 threads=4');
my $server = $site->server;
$server->wait_until(sub { $server->workers('blog') == 2 }, 10);

for my $protocol ($site->protocols) {
    my $browser = $site->browser('blog', $protocol);
    my $answer = $browser->get('/admin/notes/note/');
    is($answer->{status}, 302, "$protocol: the admin wants a login");
    is($answer->{headers}{location}[0], '/admin/login/?next=/admin/notes/note/', '... there');

    $answer = $browser->get('/admin/login/?next=/admin/');
    is($answer->{status}, 200, 'login page');
    ok(length $browser->{token}, '... with a token');
    ok(defined $browser->cookie('csrftoken'), '... and its cookie');
    my $token = $browser->{token};
    $browser->{token} = 'x' x 64;
    is($browser->post('/admin/login/?next=/admin/', username => 'admin', password => 'secret')->{status}, 403, 'wrong token');
    $browser->{token} = $token;
    $answer = $browser->post('/admin/login/?next=/admin/', username => 'admin', password => 'wrong');
    is($answer->{status}, 200, 'wrong password: the page again');
    like($answer->{body}, qr/Please enter the correct username and password/, '... and why');
    ok(!defined $browser->cookie('sessionid'), '... and no session');
    $answer = $browser->post('/admin/login/?next=/admin/', username => 'admin', password => 'secret');
    is($answer->{status}, 302, 'logged in');
    ok(defined $browser->cookie('sessionid'), '... with a session');
    ok((grep { /HttpOnly/i } @{ $answer->{headers}{'set-cookie'} }) >= 1 && @{ $answer->{headers}{'set-cookie'} } == 2,
        '... cookies come as separate headers');
    like($browser->get('/admin/')->{body}, qr/Log out/, 'the session holds');

    $browser->get('/admin/notes/note/add/');
    my $title = "note by $protocol \xc3\xa4\xe2\x82\xac & <b>";
    $answer = $browser->post('/admin/notes/note/add/', title => $title, text => "one\r\ntwo", _save => 'Save');
    is($answer->{status}, 302, 'added') or diag $answer->{body};
    $answer = $browser->get('/admin/notes/note/');
    like($answer->{body}, qr/\Q$title\E|note by $protocol \xc3\xa4\xe2\x82\xac &amp; &lt;b&gt;/, '... and listed in the admin');
    like($answer->{body}, qr/was added successfully/, '... with the message that the session kept');
    like($site->get('blog', $protocol, '/')->{body}, qr/^\Q$title\E$/m, '... and on the site, as it was entered');

    is($site->get('blog', $protocol, '/admin/')->{status}, 302, 'another client is not logged in');
    $browser->get('/admin/logout/');
    is($browser->get('/admin/')->{status}, 302, 'nor is this one after its logout');
}

my $css = $site->get('blog', 'h1', '/static/admin/css/base.css');
is($css->{status}, 200, 'static files come from httpd');
is($css->{headers}{'content-type'}[0], 'text/css', '... with its type');
ok($css->{body} eq PyDaemonTest::slurp("$site->{admin_static}/admin/css/base.css"), '... as they are');
ok(defined $css->{headers}{etag}, '... and an ETag, which no application made');

# Many requests on one connection, from both workers.
my $jar = File::Temp->new;
my @urls = map { ('-o', '/dev/null', $site->address('blog', 'http', $_ % 2 ? '/' : '/admin/login/')) } 1 .. 40;
my @connects = split /\n/, PyDaemonTest::Site::output('curl', '-q', '-sS', '--noproxy', '*', $site->curl_options, '-w',
    '%{http_code} %{num_connects}\n', @urls);
is(scalar(grep { /^200 / } @connects), 40, '40 requests');
is(scalar(grep { / 1$/ } @connects), 1, '... over one connection');
is(scalar($server->workers('blog')), 2, 'the same two workers');

# What Django logs of clients' mistakes, and of its own.
is($site->get('blog', 'h1', '/boom')->{status}, 500, 'a view that raises');
ok($server->wait_for_log(qr/RuntimeError: boom in a view/), '... has its traceback in the log');
like($site->log_of('blog'), qr/line \d+, in boom/, '... with the place');
unlike($site->log_of('shop') . $site->log_of, qr/boom/, "... and not in another vhost's");
$server->announce(qr/Forbidden \(CSRF token/, qr/Internal Server Error: \/boom/, qr/Traceback|File "|^.*\] ('blog' \(pid=\d+\): )? +\S/,
    qr/RuntimeError: boom/, qr/: ?$/);
finish();
