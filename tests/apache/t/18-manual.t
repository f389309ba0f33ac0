# SPDX-License-Identifier: Apache-2.0
# Every configuration in README.md and docs/*.md is accepted as it stands, but for paths and users; the first sites work.
use PyDaemonTest;

need_root();
my ($user) = need_users(1);
my $server = start_server(start => 0, conf => '');
my $dir = $server->dir;
my $source = PyDaemonTest::Build::fact('srcdir');

# A block is fenced and called apache, or indented by four blanks; httpd's, if it begins with a directive.
sub blocks { # TEXT: the blocks that are httpd's
    my ($text) = @_;
    my @fenced;
    $text =~ s/^```(\w*)\n(.*?)^```$/push @fenced, $2 if $1 eq 'apache'; ''/gmse;
    my @indented = map { s/^ {4}//gmr } $text =~ /(?:\A|\n)\n((?: {4}[^\n]*\n|\n(?= {4}))+)/g;
    return grep { /\A\s*(?:PyDaemon|<[A-Z]|(?:Set|Add)Handler|Alias|Require|SetEnv)/ } @fenced, @indented;
}

my ($python) = pythons();
system($python, '-m', 'venv', '--without-pip', "$dir/venv") == 0 or die "venv: $?\n";
system 'chmod', '-R', 'a+rX', "$dir/venv";
my $hello = PyDaemonTest::slurp(apps_dir() . '/hello.py');

# What an example speaks of is put in place.
sub set_up {
    my ($conf) = @_;
    $conf =~ s{(?<![\w.])/(srv|etc)/}{$dir/$1/}g;
    $conf =~ s{/usr/local/libexec/pydaemon}{$dir/workers}g;
    $conf =~ s{\buser=\w+}{user=$user}g;
    $conf =~ s{python=\S+/venv}{python=$dir/venv}g;
    my $below = sub { map { s{^\Q$dir\E/}{}r } @_ };
    $server->write_file($_, $hello) for $below->($conf =~ m{(\Q$dir\E/srv/[^\s\$]+\.(?:py|wsgi))(?=\s)}g);
    $server->write_file("$_/.keep", '') for $below->($conf =~ m{(?:home=|<Directory )(\Q$dir\E/srv/[^\s>]+)}g);
    $server->write_file($_, "A=1\n") for $below->($conf =~ m{env-file=(\S+)}g);
    # Groups that another example defines.
    my %needed = map { $_ => 1 } $conf =~ /^\s*PyDaemonAlias.*\bgroup=(\S+)/mg, $conf =~ /^\s*PyDaemonProcessGroup (\w\S*)/mg,
        map { split ' ' } $conf =~ /^\s*PyDaemonProcessGroup %\S+ (.*)/mg;
    delete $needed{$_} for $conf =~ /^\s*PyDaemonProcess (\S+)/mg;
    return join("\n", map { "PyDaemonProcess $_" } sort keys %needed) . "\n$conf";
}

my %first;
for my $file ("$source/README.md", sort glob "$source/docs/*.md") {
    my ($name) = $file =~ m{([^/]+)$};
    my @blocks = blocks(PyDaemonTest::slurp($file));
    $first{$name} = $blocks[0];
    for my $block (@blocks) {
        $server->write_conf(set_up($block));
        my ($status, $output) = $server->configtest;
        my ($line) = split /\n/, $block;
        is($status, 0, "$name: $line") or diag $output, $block;
    }
    cmp_ok(scalar(@blocks), '>=', { 'README.md' => 1, 'directives.md' => 12, 'options.md' => 1 }->{$name} // 0,
        "$name: the examples are found: " . @blocks);
}

# The first site of each does what it says.
for my $name ('README.md', 'directives.md') {
    $server->write_conf(set_up($first{$name}));
    $server->pid ? ok($server->graceful, 'reload') : $server->start;
    my $answer = curl($server->url('/'));
    is($answer->{status}, 200, "$name: the first site is served");
    is($answer->{body}, "hello\n", '... by the application');
    ok(scalar($server->workers('blog')), '... in its group');
}

# Each directive of the module has its section, and each section is one of its directives or a handler.
my $module_lists = ($server->command('-L'))[1];
my @directives = $module_lists =~ /^(PyDaemon\w+) \(/mg;
my $manual = PyDaemonTest::slurp("$source/docs/directives.md");
is_deeply([ sort $manual =~ /^## (PyDaemon\w+)$/mg ], [ sort @directives ], 'directives.md has all directives, and no other');

finish();
