# SPDX-License-Identifier: Apache-2.0
# Workers that go wrong, each in its own way: the client's answer, the stacks in the log, everybody else, and that the
# group is whole again. `make check-faults` runs all rows of PyDaemonTest::Faults.
use PyDaemonTest;
use PyDaemonTest::Faults;

my $document = $ENV{PYD_TEST_FAULTS_DOCUMENT};
my $pattern = $ENV{PYD_TEST_FAULTS} // '';
my @rows = grep { $pattern =~ /^(?:|all)$/ || $_->{name} =~ /$pattern/ } fault_rows($pattern ne '' || $document);
my $server = start_fault_server();
my @seen;

for my $row (@rows) {
    push @seen, run_fault($server, $row);
    check_fault($row, $seen[-1]);
    my $counts = sprintf '%s: %s; the longest 200 took %d ms', $row->{name}, $seen[-1]{counts} // '-', $seen[-1]{longest_ms} // 0;
    note $counts;
    print STDERR "$counts\n" if $pattern;
}
note join "\n", 'what was seen:', fault_table(\@rows, \@seen, exact => 1);
print STDERR map { "$_\n" } '', fault_table(\@rows, \@seen, exact => 1) if $ENV{PYD_TEST_FAULTS};

if ($document) {
    open my $out, '>', $document or die "$document: $!\n";
    print $out fault_document(\@rows, \@seen);
    close $out or die "$document: $!\n";
}
my $documented = documented_faults();
for my $row (@rows) {
    my %expected = (%$row, line => $row->{blame} ? 'yes' : '-');
    my $cells = $documented->{ $row->{name} } // {};
    is(join(' | ', map { $cells->{$_} // '?' } qw(client stacks line same others left)),
        join(' | ', map { $expected{$_} } qw(client stacks line same others left)),
        "docs/faults.md says the same of: $row->{name}");
}

ok($server->stop, 'nothing is left');
$server->tolerate(qr/PYD0(?:2|6)\d\d: |PYD0805: /, qr/'all' \(pid=\d+\): x+$/);
finish();
