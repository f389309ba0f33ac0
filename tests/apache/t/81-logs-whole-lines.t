# SPDX-License-Identifier: Apache-2.0
# Lines stay whole: when many threads print at once, and when a line is longer than httpd writes.
use PyDaemonTest;

my $server = start_server(log_level => 'info', conf => <<'END');
PyDaemonProcess logs threads=25 queue-timeout=60
PyDaemonAlias / "@apps@/logs.py" group=logs
END
my ($threads, $lines) = (20, 40);

sub expected { # THREAD, NUMBER: as text_of() in apps/logs.py
    my ($thread, $number) = @_;
    return "flood $thread/$number " . chr(ord('a') + $thread) x (($thread * 7919 + $number * 1231) % 5000 + 1) . ';';
}

sub check_flood {
    my ($name, $level, $wanted) = @_;
    wait_for(sub { (() = $server->log_text =~ /\bflood /g) >= keys %$wanted });
    my (%seen, @wrong);
    for (grep { /flood |[a-t]{20}/ } split /\n/, $server->log_text) {
        my ($text) = /(flood \d+\/\d+ .*)$/;
        push @wrong, substr $_, 0, 200 unless defined $text && exists $wanted->{$text} && / \[pydaemon:$level\] /;
        $seen{$text}++ if defined $text;
    }
    is(scalar(@wrong), 0, "$name: no broken line") or diag join "\n", @wrong[ 0 .. ($#wrong > 4 ? 4 : $#wrong) ];
    is(scalar(grep { ($seen{$_} // 0) != 1 } keys %$wanted), 0, "$name: each line once");
}

is(curl($server->url('/flood-stdout?x'))->{status}, 200, '20 threads print 800 lines of 1 to 5000 bytes');
check_flood('stdout', 'notice', { map { my $thread = $_; map { (expected($thread, $_) => 1) } 0 .. $lines - 1 } 0 .. $threads - 1 });

$server = start_server(log_level => 'info', conf => <<'END');
PyDaemonProcess logs
PyDaemonAlias / "@apps@/logs.py" group=logs
END
is(curl($server->url('/flood-errors?x'))->{status}, 200, 'long lines to wsgi.errors');
check_flood('wsgi.errors', 'error', { map { (expected(0, $_) => 1) } 0 .. $lines - 1 });

# Longer than a line of httpd's log: in several, nothing is lost.
for my $way (qw(errors-long errors-late-long stdout-long)) {
    my $token = "long-$way-$$";
    curl($server->url("/$way?$token"));
    ok($server->wait_for_log(qr/end of $token$/m), "$way: the end of a long line");
    my @lines = grep { /\Q$token\E|x{50}/ } split /\n/, $server->log_text;
    my ($first) = grep { $lines[$_] =~ /\Q$token\E x/ } 0 .. $#lines;
    is(scalar(() = join('', @lines[ $first // 0 .. $#lines ]) =~ /x/g) >= 20000, 1, '... all of it');
}

$server->announce(qr/flood/, qr/long-|xxxxxxxxxx/);
finish();
