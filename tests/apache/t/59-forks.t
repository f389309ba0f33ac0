# SPDX-License-Identifier: Apache-2.0
# Applications that fork in a request: their children never answer, nor become workers, while the worker serves others.
use PyDaemonTest;
use PyDaemonTest::Background;

my $server = start_server(log_level => 'info', conf => <<'END');
<Location />
    Require all granted
</Location>
PyDaemonProcess forks threads=4
PyDaemonAlias / "@apps@/forks.py" group=forks
END
my ($clients, $rounds) = (4, 15);

my ($pid) = curl($server->url('/plain?first'))->{body} =~ /^first (\d+) none$/;
is(join(' ', $server->workers('forks')), $pid // 'none', 'one worker');

sub is_wrong { # PATH, TOKEN, how the child ends
    my ($path, $token, $ended) = @_;
    my $answer = curl($server->url("/$path?$token"));
    my $token_header = $answer->{headers}{'x-token'}[0] // '';
    return $answer->{status} != 200 || $token_header ne $token || $answer->{body} ne "$token $pid $ended";
}

my @kinds = (
    [ raises => sub { is_wrong('raises', $_[0], 1) } ],
    [ returns => sub { is_wrong('returns', $_[0], 0) } ],
    [ exits => sub { is_wrong('exits', $_[0], 3) } ],
    [ process => sub { is_wrong('process', $_[0], reverse($_[0]) . ' 0') } ],
    [ holds => sub { is_wrong('holds', $_[0], 'held') || is_wrong('plain', $_[0], 'none') || is_wrong('lets-go', $_[0], 1) } ],
    [ plain => sub { is_wrong('plain', $_[0], 'none') } ],
);
my @results = map { my $client = $_; background(sub {
    return [ map { my $round = $_; map {
        my ($name, $ask) = @$_;
        $ask->("$name.$client.$round") ? "$name.$client.$round" : ();
    } @kinds } 1 .. $rounds ];
}) } 1 .. $clients;
my @wrong = map { my $result = $_->result; ref $result eq 'ARRAY' ? @$result : $result->{error} } @results;
is("@{[scalar @wrong]}: @wrong", '0: ', "$clients clients get their own answers, and the children their exit status");

ok(!is_wrong('plain', "last$_", 'none'), 'the same worker serves on') for 1 .. 8;
ok(wait_for(sub { join(' ', $server->workers('forks')) eq $pid }), '... and is alone');
is(scalar(() = $server->log_text =~ /is ready after/g), 1, '... from the beginning');

# What the children have to say.
my @tokens = map { my $client = $_; map { "$client.$_" } 1 .. $rounds } 1 .. $clients;
for my $text ((map { "ValueError: child of $_" } 'raises', 'holds'), 'process of process') {
    $server->wait_for_log(qr/\Q$text.$_\E$/m) for @tokens;
    my %count = map { $_ => scalar(() = $server->log_text =~ /\Q$text.$_\E$/mg) } @tokens;
    is(join(' ', grep { $count{$_} != 1 } @tokens), '', "'$text': each once");
}
like($server->log_text, qr/\[pydaemon:warn\] .*Traceback .*in leave\b.*ValueError: child of raises/s, 'with tracebacks, as sys.stderr');
like($server->log_text, qr/\[pydaemon:error\] .*process of process/, 'wsgi.errors stays an error log');
unlike($server->log_text, qr/PYD\d+/, 'nothing of it is a failure of ours');
$server->tolerate(qr{'forks' \(pid=\d+\): (?:Traceback|  |ValueError: child of)}, qr{process of process});
finish();
