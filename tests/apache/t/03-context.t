# SPDX-License-Identifier: Apache-2.0
# Where each directive may stand; SPEC section 1, column "ctx": S server and virtual host, D sections, H .htaccess.
use PyDaemonTest;

my %directives = (
    'PyDaemonProcess other' => 'S',
    'PyDaemonAlias / @apps@/hello.py' => 'S',
    'PyDaemonAliasMatch ^/x @apps@/hello.py' => 'S',
    'PyDaemonProcessGroup one' => 'SD',
    'PyDaemonProcessGroup %{ENV:which} one two' => 'SD',
    'PyDaemonCallable app' => 'SDH',
    'PyDaemonPassAuthorization On' => 'SDH',
    'PyDaemonErrorOverride On' => 'SDH',
    'PyDaemonWorkerDir @workers@' => 'S',
    'SetHandler pydaemon' => 'SDH',
    'AddHandler pydaemon .wsgi' => 'SDH',
);
my %places = (
    'server' => [ 'S', '' ],
    'virtual host' => [ 'S', '<VirtualHost *:80>' ],
    '<Directory>' => [ 'D', '<Directory @dir@/htdocs>' ],
    '<Location>' => [ 'D', '<Location /x>' ],
    '<Files>' => [ 'D', '<Files *.wsgi>' ],
    '<If>' => [ 'D', '<If "true">' ],
);

my $groups = "PyDaemonProcess one\nPyDaemonProcess two\n";
my $server = start_server(conf => $groups . <<'END');
<Directory @dir@/htdocs>
    Require all granted
    AllowOverride None
</Directory>
<Directory @dir@/htdocs/fileinfo*>
    AllowOverride FileInfo
</Directory>
<Directory @dir@/htdocs/other*>
    AllowOverride AuthConfig Indexes Limit Options
</Directory>
END

my $checked = start_server(start => 0, conf => '');
sub check {
    my ($config) = @_;
    $checked->write_conf($config);
    return $checked->configtest;
}

for my $place (sort keys %places) {
    my ($letter, $open) = @{ $places{$place} };
    my $close = $open =~ /^<(\w+)/ ? "</$1>" : '';
    my @allowed = sort grep { $directives{$_} =~ $letter } keys %directives;
    my ($status, $output) = check(join "\n", $groups . $open, @allowed, $close);
    is($status, 0, "$place: @{[scalar @allowed]} directives are accepted") or diag $output;
    for my $line (sort grep { $directives{$_} !~ $letter } keys %directives) {
        my ($name) = $line =~ /(\w+)/;
        my ($status, $output) = check("$groups$open\n$line\n$close");
        isnt($status, 0, "$place: refuses $line");
        like($output, qr/httpd\.conf:.*\b\Q$name\E not allowed (?:here|in <\w+> context)/s, '... and says so');
    }
}

# .htaccess is read for each request: where AllowOverride has FileInfo, and nowhere else.
my $number = 0;
for my $line (sort keys %directives) {
    my ($name) = $line =~ /(\w+)/;
    (my $text = $line) =~ s{\@apps\@}{@{[apps_dir()]}};
    $text =~ s{\@workers\@}{@{[$server->dir]}/workers};
    $number++;
    for my $allowed (qw(fileinfo other none)) {
        $server->write_file("htdocs/$allowed$number/.htaccess", "$text\n");
        $server->write_file("htdocs/$allowed$number/page.html", "page\n");
        # The file is none of Python: where the handler counts, anything but a complaint is right.
        my $answer = curl($server->url("/$allowed$number/page.html"));
        if ($allowed eq 'none' || $allowed eq 'fileinfo' && $directives{$line} =~ /H/) {
            my $complaint = $server->log_text =~ m{/htdocs/$allowed$number/\.htaccess: (.*)} ? $1 : undef;
            is($complaint, undef, ".htaccess, AllowOverride $allowed: $line");
            is($answer->{status}, 200, '... and the page comes') unless $line =~ /^SetHandler/ && $allowed ne 'none';
        } else {
            is($answer->{status}, 500, ".htaccess, AllowOverride $allowed: refuses $line");
            ok($server->log_text =~ m{/htdocs/$allowed$number/\.htaccess: \Q$name\E not allowed here}, '... and says so');
        }
    }
}
$server->announce(qr/\[core:alert\].*\.htaccess: \w+ not allowed here/);
$server->tolerate(qr/page\.html|PYD0032|default/);

finish();
