# SPDX-License-Identifier: Apache-2.0
# Ten minutes' worth of a site's day in as short a time as the machine allows: no request fails, nothing grows.
use PyDaemonTest;
use PyDaemonTest::Load;
use PyDaemonTest::Site;
use Time::HiRes qw(time);

my $site = start_site(log_level => 'warn', first => roomy_mpm(20), blog_options => 'processes=2 threads=5', shop_options => 'processes=2 threads=5');
my $server = $site->server;
my $seconds = load_seconds();
# Growth allowed over the measured part of the load, for each process. Of the mixture: threads meet the largest request
# they ever serve at some time, and Django fills its caches. Of the same small requests again and again, hardly any.
use constant { MIXED_KIB => 12288, SAME_KIB => 256, DESCRIPTORS => 16 };

# Somebody works in the admin meanwhile: pages with a session, forms, and the only writer of the database.
my $author = $site->browser('blog', (grep { $_ eq 'h2' } $site->protocols) ? 'h2' : 'https');
$author->get('/admin/login/?next=/admin/');
is($author->post('/admin/login/?next=/admin/', username => 'admin', password => 'secret')->{status}, 302, 'logged in');
my $cookies = 'sessionid=' . $author->cookie('sessionid');
my ($notes, @refused) = (0);

sub add_note {
    my $page = $author->get('/admin/notes/note/add/');
    my $answer = $author->post('/admin/notes/note/add/', title => 'note ' . ++$notes, text => 'x' x 1000, _save => 'Save');
    push @refused, "$page->{status} $answer->{status} $answer->{error}" if $page->{status} != 200 || $answer->{status} != 302;
}

sub load { # SECONDS: the sums of both results
    my ($how_long) = @_;
    my $end = time + $how_long;
    my @loads = map { start_load('mixed.lua', "$_->[0]://127.0.0.1:" . $server->port($_->[1]), $how_long, $_->[2],
        $server->port($_->[1]), $cookies) } [ 'http', 1, 10 ], [ 'https', 2, 6 ];
    while (time < $end) {
        add_note() if $notes < 60;
        select undef, undef, undef, 0.2;
    }
    my %sum = (first_bad => '');
    for my $load (@loads) {
        my $result = finish_load($load);
        $sum{first_bad} ||= delete $result->{first_bad} // '';
        $sum{$_} += $result->{$_} for keys %$result;
    }
    return \%sum;
}

sub no_failures {
    my ($name, $result) = @_;
    cmp_ok($result->{requests}, '>', 20 * $seconds / 4, "$name: $result->{requests} requests");
    is($result->{bad_status} + $result->{status}, 0, '... each answered 200') or diag $result->{first_bad};
    is($result->{$_}, 0, "... without a $_ error") for qw(connect read write timeout);
    cmp_ok($result->{echoed}, '>', 0, "... of which $result->{echoed} were echoes");
    is($result->{wrong}, 0, '... that came to who had asked');
}

my $warm = load($seconds / 2);
no_failures('warm-up', $warm);
my @processes = $server->processes;
my $before = footprint(@processes);
my $result = load($seconds);
no_failures('load', $result);
my $after = footprint(@processes);
check_flat($before, $after, $result->{requests}, MIXED_KIB, DESCRIPTORS);

# A leak of a few bytes a request shows here.
sub same {
    my ($how_long) = @_;
    return finish_load(start_load('mixed.lua', 'http://127.0.0.1:' . $server->port, $how_long, 8, $server->port));
}
same($seconds / 8);
$before = footprint(@processes);
$result = same($seconds / 2);
no_failures('small requests', $result);
check_flat($before, footprint(@processes), $result->{requests}, SAME_KIB, DESCRIPTORS);

is(join('; ', @refused), '', "$notes notes were added meanwhile");
is(scalar(() = $site->get('blog', 'h1', '/')->{body} =~ /^note \d+$/mg), $notes, '... and all are there');
is(scalar($server->workers('blog')) + scalar($server->workers('shop')), 4, 'the workers are those of the start');
finish();
