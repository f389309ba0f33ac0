# SPDX-License-Identifier: Apache-2.0
# Thirty gracefuls in a row: the parent keeps nothing of what is gone; nor does it crash when a manager dies meanwhile.
use PyDaemonTest;
use PyDaemonTest::Background;

my $server = start_server(conf => <<'CONF');
<Location />
    Require all granted
</Location>
PyDaemonProcess a processes=2 threads=4
PyDaemonAlias /a @apps@/hello.py group=a
PyDaemonProcess b
PyDaemonAlias /b @apps@/hello.py group=b
CONF
my $parent = $server->pid;

sub settled { # one manager, its workers, and httpd's children; nothing of older generations
    return wait_for(sub { 1 == $server->managers && 3 == $server->workers && $server->processes <= 1 + 12 + 1 + 3
            && curl($server->url('/a'))->{status} == 200 && curl($server->url('/b'))->{status} == 200 }, 20);
}

sub measure {
    my @fds = glob "/proc/$parent/fd/*";
    my @maps = split /\n/, PyDaemonTest::slurp("/proc/$parent/maps");
    my ($rss) = PyDaemonTest::slurp("/proc/$parent/status") =~ /^VmRSS:\s+(\d+) kB/m;
    return { fds => scalar @fds, maps => scalar @maps, rss => $rss };
}

# httpd looks once a second for what has ended.
sub forgotten { my ($fds) = @_; return wait_for(sub { measure()->{fds} <= $fds }, 5) }

ok(settled(), 'serves');
my $fds = measure()->{fds};
my @measures;
for my $round (1 .. 6) {
    for (1 .. 5) {
        $server->graceful or last;
    }
    ok(settled(), 'gracefuls: ' . 5 * $round);
    ok(forgotten($fds), "... the parent has closed what it had opened for old generations");
    push @measures, measure();
}
is($server->pid, $parent, 'the parent is the same');
my ($first, $last) = @measures[ 0, -1 ];
is($last->{fds}, $first->{fds}, 'its descriptors are as many as before');
cmp_ok($last->{maps}, '<=', $first->{maps} + 4, "its mappings, too ($first->{maps} -> $last->{maps})") unless sanitized();
cmp_ok($last->{rss}, '<=', $first->{rss} + 1024, "its memory has not grown ($first->{rss} -> $last->{rss} kB)") unless sanitized();

# The manager dies just before, while, and just after the configuration is read again.
my $load = load($server->port, '/a', 1);
for my $signals (['KILL', 'USR1'], ['USR1', 'KILL'], ['KILL', 'HUP'], ['HUP', 'KILL'], ['STOP', 'USR1']) {
    my ($manager) = $server->managers;
    my $before = () = $server->log_text =~ /resuming normal operations/g;
    kill $_ => $_ =~ /USR1|HUP/ ? $parent : $manager for @$signals;
    ok(wait_for(sub { (() = $server->log_text =~ /resuming normal operations/g) > $before }, 20), "@$signals: httpd goes on");
    kill CONT => $manager;
    ok(settled(), '... one generation is left');
}
my $count = $load->end;
ok($count->{200}, "requests were answered (@{[ %$count ]})");
is($server->pid, $parent, 'the parent is the same');
ok(forgotten($fds), '... and has closed all that is gone') or diag $fds, ' ', measure()->{fds};
unlike($server->log_text, qr/AH00488|long lost child/, 'it knows all its children');

$server->tolerate(qr/PYD0402|PYD0601: .*not known/);
finish();
