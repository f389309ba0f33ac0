# SPDX-License-Identifier: Apache-2.0
# Two virtual hosts, two users, two Pythons: each group is who and what it was told to be, and logs where it should.
use PyDaemonTest;
use JSON::PP qw(decode_json);
use PyDaemonTest::Site;

my $site = start_site(blog_options => 'processes=2', shop_options => 'group=nogroup');
my $server = $site->server;
my ($blog_uid, $shop_uid) = map { (getpwnam $site->{$_})[2] } 'blog_user', 'shop_user';
isnt($blog_uid, $shop_uid, 'two users');

sub version_of { # PROGRAM
    return PyDaemonTest::Site::output($_[0], '-I', '-c', 'import sys; print("%d.%d" % sys.version_info[:2])');
}

for my $protocol ($site->protocols) {
    my $blog = decode_json($site->get('blog', $protocol, '/whoami')->{body});
    is($blog->{uid}, $blog_uid, "$protocol: blog runs as $site->{blog_user}");
    like($blog->{python}, qr/^\Q@{[version_of($site->{python})]}\E\./, '... on the default Python');
    ok((grep { $_ == $blog->{pid} } $server->workers('blog')), '... in one of its workers');

    my $shop = decode_json($site->get('shop', $protocol, '/whoami')->{body});
    is($shop->{uid}, $shop_uid, "shop runs as $site->{shop_user}");
    is($shop->{gid}, scalar getgrnam('nogroup'), '... and its group');
    is($shop->{python}, version_of($site->{shop_python}), '... on its Python');
    is($shop->{group}, 'shop', '... and knows its process group');

    is($site->get('shop', $protocol, '/plain')->{body}, "hello\n", 'a plain WSGI file beside it');
    my $second = $site->get('shop', $protocol, '/second/x')->{body};
    like($second, qr/^process\.uid=$shop_uid$/m, '... another in a group of its own');
    like($second, qr/^process\.python='\Q@{[version_of($site->{second_python})]}\E'$/m, '... on the second Python');
    like($second, qr/^pydaemon\.process_group='second'$/m, '... as its environ says');
    like($second, qr/^SCRIPT_NAME='\/second'$/m, '... with its SCRIPT_NAME');
}

# What the system says of them.
for my $case ([ blog => $blog_uid, 2 ], [ shop => $shop_uid, 1 ], [ second => $shop_uid, 1 ]) {
    my ($group, $uid, $count) = @$case;
    my @pids = $server->workers($group);
    is(scalar(@pids), $count, "$group: $count worker(s)");
    for my $pid (@pids) {
        my ($ids) = PyDaemonTest::Process::read_file("/proc/$pid/status") =~ /^Uid:\s+(.*)$/m;
        is(join(' ', split ' ', $ids), "$uid $uid $uid $uid", '... of its user in every respect');
    }
}
is(scalar(() = join(' ', map { PyDaemonTest::Process::program($_) } $server->workers) =~ /pydaemon-worker-/g), 4, '4 in all');

# Life-cycle lines are in the log of the group's vhost, and there only.
my %log = map { ($_ => $site->log_of($_)) } 'blog', 'shop';
is(scalar(() = $log{blog} =~ /of 'blog' is ready/g), 2, "blog's log: its workers");
unlike($log{blog}, qr/'shop'|'second'/, "... and nothing of others");
is(scalar(() = $log{shop} =~ /of '(?:shop|second)' is ready/g), 2, "shop's log: its workers");
unlike($log{shop}, qr/'blog'/, "... and nothing of others");
unlike($site->log_of, qr/'(?:blog|shop|second)'/, "nothing of any group in the server's log");

# A group of one vhost is not for another one.
$server->write_conf(<<'END');
<VirtualHost *:@port@>
    ServerName blog.test
    PyDaemonProcess blog
</VirtualHost>
<VirtualHost *:@port@>
    ServerName shop.test
    PyDaemonAlias / "@apps@/hello.py" group=blog
</VirtualHost>
END
my ($status, $output) = $server->configtest;
isnt($status, 0, "another vhost's group is refused");
like($output, qr/blog.*ServerName/s, '... and why');
finish();
