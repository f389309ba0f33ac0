# SPDX-License-Identifier: Apache-2.0
# Whatever a worker writes, httpd and the manager survive it and other groups are served (invariant 5). One group has
# tests/hostile/hostile_worker for its worker program: it answers with what the query string says.
use PyDaemonTest;
use PyDaemonTest::Background;

my $server = start_server(start => 0, conf => '');
my $dir = $server->dir;
$server->write_file('fake/python3.99', "\x7fELF", 0755);
PyDaemonTest::Server::place(PyDaemonTest::Build::fact('builddir') . '/tests/hostile/hostile_worker', $dir);
rename "$dir/hostile_worker", "$dir/workers/pydaemon-worker-3.99" or die $!;
$server->write_conf(<<'END');
PyDaemonProcess good threads=2
PyDaemonProcess bad processes=2 threads=4 python=fake/python3.99 queue-timeout=3s shutdown-timeout=1s
PyDaemonAlias /good @apps@/hello.py group=good
PyDaemonAlias /bad @apps@/hello.py group=bad
END
$server->start;
ok(wait_for(sub { (() = $server->log_text =~ /Worker \d of 'bad' is ready/g) == 2 }), 'the hostile workers are there');
my ($manager) = $server->managers;
my @children = children();

my @cases = (
    # moves, the status, curl's exit status (18, 56: cut off)
    [ sHBE => 200, 0, 'a right answer' ], [ sHE => 200, 0, 'no body' ], [ sHBBBSE => 200, 0, 'ended on the board first' ],
    [ sH0BE => 200, 0, 'an empty BODY' ], [ slHlBlE => 200, 0, 'LOG frames anywhere' ], [ sHbbbE => 200, 0, 'large frames' ],
    [ HBE => 200, 0, 'never said to have begun' ], [ sHYBE => 502, 0, 'EARLY after HEAD' ], [ sYHBE => 200, 0, 'EARLY' ],
    [ sHBe => 200, '18|56', 'END says: cut' ], [ scE => 200, '18|56', 'less than Content-Length' ],
    [ scBE => 200, 0, 'more than Content-Length' ], [ sFE => 500, 0, 'FAIL' ], [ sHHE => 502, 0, 'two HEADs' ],
    [ sBE => 502, 0, 'no HEAD' ], [ sE => 502, 0, 'only END' ], [ sHEHE => 200, 0, 'more after END' ],
    [ sHBEG => 200, 0, 'garbage after END' ], [ sHFE => 502, 0, 'FAIL after HEAD' ],
    [ slXHE => 502, 0, 'REFUSE for what has begun' ],
    # What a frame may say and an application may not: the application is blamed. Else it is the worker.
    (map { [ "s${_}BE" => 500, 0, "HEAD: $_" ] } qw(h n C i t u)), (map { [ "s${_}BE" => 502, 0, "HEAD: $_" ] } qw(z y m p)),
    [ sfE => '500|502', 0, 'FAIL of no known kind' ],
    (map { [ "s${_}HE" => 502, 0, "before HEAD: $_" ] } qw(Q q w W T K M a G)),
    (map { [ "sH$_" => 502, 0, "after HEAD: $_" ] } qw(T K M O a G q Q f)),
    [ sgHE => 200, 0, 'a very long LOG' ], [ sLE => '200|502', '0|27|56', 'a very long header' ],
    [ sRHE => 502, 0, 'READ where there is no body' ], [ srHE => 502, 0, 'READ for nothing' ],
    (map { [ "s$_" => 502, 0, "closes: $_" ] } qw(D PD 3D)),
    (map { [ "s$_" => '200|502', '0|18|56', "closes: $_" ] } qw(HPD H3D HBBD)),
    [ D => 502, 0, 'closes without having begun' ],
);
for my $case (@cases) {
    my ($moves, $status, $exit, $why) = @$case;
    my $answer = curl($server->url("/bad?$moves"));
    like($answer->{status}, qr/^(?:$status)$/, "$why ($moves): status");
    like($answer->{exit}, qr/^(?:$exit)$/, '... end') or diag $answer->{error};
    is($answer->{headers}{'set-cookie'}, undef, '... no header smuggled in');
    next unless $answer->{status} == 502;
    ok($server->wait_for_log(qr/PYD021[0-3].*'bad'.*GET \/bad\?\Q$moves\E/), '... the log names the group and the request');
}
like($server->log_text, qr/PYD0213: worker pid=\d+ of 'bad' sent/, '... and the worker, and what it sent');
survived('after wrong frames');

# With a body that the worker asks for, more often than it may, or never.
for my $moves (qw(sRHE sRHBRE sRRRRHE sHBRBE sRHED sHBE sRD)) {
    my $answer = curl($server->url("/bad?$moves"), '-H', 'Expect:', '--data-binary', '@' . PyDaemonTest::Build::fact('module'));
    like($answer->{status}, $moves eq 'sRD' ? qr/^502$/ : qr/^(?:200|502)$/, "a request with a body: $moves");
}
survived('after bodies');

# Noise: seeded, so that what fails can be repeated with the number it says. Several at a time: a connection that a
# living worker closes is looked into for a second and more.
sub noise {
    my ($first, $step) = @_;
    my %answers;
    for (my $seed = $first; $seed <= 120; $seed += $step) {
        my @body = $seed % 3 ? () : ('--data-binary', 'x' x 5000);
        my $answer = curl($server->url("/bad?random=$seed"), '--max-time', 20, @body);
        $answers{$seed} = "$answer->{status}/$answer->{exit}";
    }
    return \%answers;
}

my $step = 7;
my @runs = map { my $first = $_; background(sub { noise($first, $step) }) } 1 .. $step;
my %answers = map { %{ $_->result } } @runs;
is(scalar(keys %answers), 120, 'random frames: all requests ended');
my %ends;
for my $seed (sort { $a <=> $b } keys %answers) {
    $ends{ $answers{$seed} }++;
    fail("random=$seed: $answers{$seed}") if $answers{$seed} !~ m{^(?:200|50[023])/(?!28)};
}
cmp_ok($ends{'502/0'} // 0, '>', 30, 'random frames: most are refused; ' . join ' ', map { "$_: $ends{$_}" } sort keys %ends);
survived('after random frames');

# What only the manager hears, and lies in the status memory of the whole group while requests go on.
is(curl($server->url('/bad?s!HBE'))->{status}, 200, 'noise on the control socket and in the log');
survived('after noise');
curl($server->url('/bad?s*HBE')) for 1 .. 2;
for my $seed (1 .. 30) {
    my $answer = curl($server->url('/bad?' . ($seed % 2 ? 'sHBE' : "random=$seed")), '--max-time', 20);
    fail("request $seed while the status is scribbled on: $answer->{status} $answer->{error}") if $answer->{exit} == 28;
    good() or fail("... the other group after request $seed") if $seed % 10 == 0;
}
survived('after lies in the status memory');

# And it can be got rid of, whatever it says.
$server->write_conf("PyDaemonProcess good\nPyDaemonAlias /good \@apps\@/hello.py group=good");
ok($server->graceful, 'reload without the hostile group');
ok(wait_for(sub { good() && !$server->workers('bad') && $server->managers == 1 }, 30), '... ends its workers and their manager');

# Its noise reaches the log at any level; none of it is a crash.
unlike($server->log_text, qr/exit signal|AddressSanitizer|runtime error:/, 'no crash in the log');
$server->tolerate(qr/\[pydaemon:\w+\]/);
finish();

sub good { return curl($server->url('/good'))->{body} eq "hello\n" }

sub survived {
    my ($when) = @_;
    ok(good(), "$when: the other group is served");
    is_deeply([ $server->managers ], [$manager], '... by the same manager');
    my %there = map { $_ => 1 } children();
    is_deeply([ grep { !$there{$_} } @children ], [], '... and no httpd process is gone');
}

# Those of prefork come and go.
sub children {
    return () if PyDaemonTest::Build::mpm() eq 'prefork';
    my %managers = map { $_ => 1 } $server->managers;
    return sort grep { PyDaemonTest::Process::parent($_) == $server->pid && !$managers{$_} } $server->processes;
}
