# SPDX-License-Identifier: Apache-2.0
# What all files before this one have made httpd log: each urgent message has a number, and each number its explanation.
use PyDaemonTest;

my %explained = map { ($_ => 1) }
    PyDaemonTest::slurp(PyDaemonTest::Build::fact('srcdir') . '/docs/messages.md') =~ /^## (PYD\d+)$/mg;
cmp_ok(scalar(keys %explained), '>', 50, 'docs/messages.md explains messages');

my $top = $PyDaemonTest::Build::top;
my @files = grep { -f } glob "$top/servers/*/logs/*error* $top/t/logs/*error*";
my (%seen, @nameless);
for my $file (@files) {
    open my $in, '<', $file or die "$file: $!\n";
    while (<$in>) {
        next unless /^\[[^\]]+\] \[pydaemon:(\w+)\] \[pid[^\]]*\] (.*)/;
        my ($level, $text) = ($1, $2);
        $text =~ s/^\(\d+\)[^:\[]+: //; # "(11)Resource temporarily unavailable: "
        # Not what applications write: by the pipe, "'group' (pid=N): ..."; in a request, "[client ...] ...".
        if ($text =~ /^(?:\[(?:client|remote) [^\]]+\] |'[^']+' \(pid=\d+\): )?(PYD\d+): /) {
            $seen{$1}++;
        }
        elsif ($level =~ /^(?:warn|error|crit)$/ && $text !~ /^\[(?:client|remote) |^'[^']+' \(pid=\d+\): /) {
            push @nameless, $_;
        }
    }
}
is(join(' ', grep { !$explained{$_} } sort keys %seen), '', 'all numbers in the logs are explained');
is(scalar(@nameless), 0, 'no urgent message is without a number') or diag @nameless[ 0 .. ($#nameless > 9 ? 9 : $#nameless) ];
note scalar(@files), " logs, ", scalar(keys %seen), " messages seen; not seen: ", join ' ', grep { !$seen{$_} } sort keys %explained;
finish();
