# SPDX-License-Identifier: Apache-2.0
# Large bodies through Django, both ways, over each protocol: every byte as it was, and nobody's memory grows by them.
use PyDaemonTest;
use Digest::SHA qw(sha256 sha256_hex);
use PyDaemonTest::Site;

my $site = start_site(blog_options => 'threads=4');
my $server = $site->server;
use constant MEBIBYTE => 1 << 20;

# 5 MiB that no compression and no line-wise reader treats well, then the same less one byte, and an empty file.
my $upload = '';
$upload .= sha256("upload $_") for 1 .. 5 * MEBIBYTE / 32;
substr $upload, 1000, 6, "\r\n--\r\n";
my $folder = File::Temp->newdir;
my %files = (whole => $upload, odd => substr($upload, 0, -1), empty => '');
for my $name (keys %files) {
    open my $out, '>:raw', "$folder/$name" or die $!;
    print $out $files{$name};
    close $out or die $!;
}

# As block() in apps/site/notes/views.py.
my $download = Digest::SHA->new(256);
$download->add(sha256($_) x (MEBIBYTE / 32)) for 0 .. 49;
$download = $download->hexdigest;

sub digest_of {
    my ($path) = @_;
    return Digest::SHA->new(256)->addfile($path, 'b')->hexdigest;
}

for my $protocol ($site->protocols) {
    for my $name (sort keys %files) {
        my $answer = $site->get('blog', $protocol, '/upload', '-F', "file=\@$folder/$name");
        is($answer->{status}, 200, "$protocol: upload of $name") or diag $answer->{error}, $answer->{body};
        is($answer->{headers}{'x-sha256'}[0], sha256_hex($files{$name}), '... arrived as it was');
        ok($answer->{body} eq $files{$name}, '... and came back as it was');
        is($answer->{headers}{'content-length'}[0], length $files{$name}, '... with its length');
    }
    my $answer = $site->get('blog', $protocol, '/upload', '-F', "file=\@$folder/whole", '-H', 'Expect:');
    ok($answer->{body} eq $upload, "$protocol: upload without Expect");

    $answer = $site->get('blog', $protocol, '/download/50');
    is($answer->{status}, 200, "$protocol: download of 50 MiB");
    is($answer->{exit}, 0, '... complete');
    ok(!$answer->{headers}{'content-length'}, '... of a length nobody knew');
    is(length $answer->{body}, 50 * MEBIBYTE, '... all of it');
    is(sha256_hex($answer->{body}), $download, '... as it was');
}

# Several at once, of both kinds.
my @options = ('-q', '-sS', '--no-progress-meter', '--noproxy', '*', $site->curl_options, '--parallel', '--parallel-max', 6, '-w', '%{http_code}\n');
my @transfers = map { ('-o', "$folder/parallel$_", $site->address('blog', 'http', '/download/50')) } 1 .. 6;
is(join(' ', split /\n/, PyDaemonTest::Site::output('curl', @options, @transfers)), join(' ', (200) x 6), '6 downloads at once');
is(scalar(grep { digest_of("$folder/parallel$_") eq $download } 1 .. 6), 6, '... each as it was');

# Under AddressSanitizer freed memory stays with the process for a while.
for my $pid (sanitized() ? () : $server->workers('blog')) {
    my ($peak) = PyDaemonTest::Process::read_file("/proc/$pid/status") =~ /VmHWM:\s+(\d+) kB/;
    cmp_ok($peak, '<', 150 * 1024, "the worker never held a download ($peak KiB at most)");
}
my @children = grep { PyDaemonTest::Process::parent($_) == $server->pid && PyDaemonTest::Process::title($_) !~ /manager/ }
    $server->processes;
cmp_ok(scalar(@children), '>=', 1, 'httpd has children');
for my $pid (sanitized() ? () : @children) {
    my ($private) = PyDaemonTest::Process::read_file("/proc/$pid/smaps_rollup") =~ /Private_Dirty:\s+(\d+) kB/;
    cmp_ok($private, '<', 40 * 1024, "nor does httpd child $pid ($private KiB of its own)");
}
finish();
