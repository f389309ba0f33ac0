# SPDX-License-Identifier: Apache-2.0
# Workers are the user they should be, for ever, and cannot get at another user's workers or at httpd.
use PyDaemonTest;
use JSON::PP qw(decode_json);

my ($games, $nobody) = need_users(2);
my $httpd = PyDaemonTest::Build::user();
my $group = getgrnam PyDaemonTest::Build::group();    # httpd's, where a group has no option group
my ($extra) = grep { defined getgrnam $_ } qw(audio video users);
my $server = start_server(start => 0, conf => <<"CONF");
<Location />
    Require all granted
</Location>
PyDaemonProcess own
PyDaemonProcess own2
PyDaemonProcess cores core-size=1M
PyDaemonProcess games user=$games
PyDaemonProcess grouped user=$games group=users supplementary-groups=$extra,tty
PyDaemonProcess none user=$games supplementary-groups=
PyDaemonProcess number user=#@{[scalar getpwnam $nobody]}
PyDaemonProcess env user=$games env=A=1 "env=B=two words" env-file=\@dir\@/env lang=de_DE.UTF-8 locale=C.UTF-8
@{[map { "PyDaemonAlias /$_ \@apps\@/intruder.py group=$_\n" } qw(own own2 cores games grouped none number env)]}
CONF
open my $out, '>', $server->dir . '/env' or die $!;
print $out "# a comment\nFROM_FILE=file\nB=of the file\nexport QUOTED=\"with blanks\"\n";
close $out;
chmod 0600, $server->dir . '/env';
{
    local @ENV{qw(PYD_SECRET TZ PYTHONPATH LD_LIBRARY_PATH)} = ('of httpd', 'Europe/Vienna', '/tmp/evil', '/tmp/evil');
    $server->start;
}
sub facts { my ($path) = @_; return decode_json(curl($server->url($path))->{body}) }
my %facts = map { $_ => facts("/$_") } qw(own own2 cores games grouped none number env);

# Who they are.
my %ids = (
    own => [ $httpd, $group ], games => [ $games, $group ], number => [ $nobody, $group ],
    grouped => [ $games, scalar getgrnam 'users' ], none => [ $games, $group ],
);
for my $name (sort keys %ids) {
    my ($uid, $gid) = (scalar getpwnam $ids{$name}[0], $ids{$name}[1]);
    is_deeply($facts{$name}{uids}, [ $uid, $uid, $uid ], "$name: all user ids");
    is_deeply($facts{$name}{gids}, [ $gid, $gid, $gid ], '... all group ids');
    is_deeply($facts{$name}{back_to_root}, [ ('PermissionError') x 4 ], '... no way back to root');
    is($facts{$name}{set_groups}, 'PermissionError', '... nor to other groups');
    is(join(' ', grep { $_ == 0 } @{ $facts{$name}{groups} }), '', '... not in the group of root');
}
is_deeply([ grep { $_ != getgrnam 'users' } @{ $facts{grouped}{groups} } ], [ sort { $a <=> $b } scalar getgrnam($extra), scalar getgrnam('tty') ],
    'supplementary-groups');
is_deeply([ grep { $_ != $group } @{ $facts{none}{groups} } ], [], 'supplementary-groups= is none');
for my $name (sort keys %facts) {
    ok($facts{$name}{session}, "$name: a session of its own");
    is_deeply($facts{$name}{ignored}, [], '... no signal ignored');
    is_deeply($facts{$name}{blocked}, [], '... or blocked');
}
like($facts{number}{cwd}, qr{^/}, "a user without a home directory works (in $facts{number}{cwd})");

# What they inherit: nothing but PATH, TZ and LANG.
is(join(' ', sort keys %{ $facts{own}{environ} }), 'HOME LANG LC_ALL LOGNAME PATH TZ USER', 'the environment');
is($facts{own}{environ}{TZ}, 'Europe/Vienna', '... TZ is httpd\'s');
is($facts{own}{environ}{USER}, $httpd, '... USER is the worker\'s');
is($facts{games}{environ}{USER}, $games, '... of each group');
my %env = %{ $facts{env}{environ} };
is_deeply([ @env{qw(A B FROM_FILE QUOTED LANG LC_ALL)} ], [ 1, 'two words', 'file', 'with blanks', 'de_DE.UTF-8', 'C.UTF-8' ],
    'env, env-file (readable by root only), lang, locale');

# What they can do to others: nothing across users; and not even look into another one of the same user.
is($facts{own}{dumpable}, 0, 'not dumpable');
is($facts{cores}{dumpable}, 1, '... unless core files are wanted');
my ($child) = grep { PyDaemonTest::Process::parent($_) == $server->pid && (stat "/proc/$_")[4] == getpwnam $httpd } $server->processes;
my %victims = (
    'a worker of another user' => $facts{number}{pid}, 'the parent of httpd' => $server->pid,
    'the manager' => ($server->managers)[0], 'a child of httpd' => $child, 'one that leaves cores' => $facts{cores}{pid},
);
for my $whom (sort keys %victims) {
    my $attack = facts("/games?pid=$victims{$whom}")->{attacks}{ $victims{$whom} };
    is($attack->{$_}, 'PermissionError', "$whom: $_") for sort grep { $_ ne 'maps' } keys %$attack;
    like($attack->{maps}, qr/^PermissionError$/, "$whom: maps");
}
my $same = facts("/own?pid=$facts{own2}{pid}")->{attacks}{ $facts{own2}{pid} };
is($same->{$_}, 'PermissionError', "another group of the same user: $_") for qw(fds open_fd mem environ ptrace pidfd_getfd);
is(scalar(grep { PyDaemonTest::Process::lives($_->{pid}) } values %facts), 8, 'all live');
finish();
