# SPDX-License-Identifier: Apache-2.0
# os.environ of the workers: env, env-file, lang, locale; nothing of httpd's own environment but PATH, TZ and LANG.
use PyDaemonTest;
use JSON::PP qw(decode_json);

$ENV{PYD_TEST_SECRET} = 'of httpd';
$ENV{TZ} = 'Europe/Lisbon';
my $server = start_server(start => 0, conf => 'SetEnv FROM_HTTPD 1');
$server->write_file('first.env', <<'END');
# a comment

PLAIN=value
  INDENTED=yes
export EXPORTED=1
QUOTED="two words"
SINGLE='it is'
EMPTY=
EQUALS=a=b=c
HASH=a # no comment
BOTH=file
LAST=1
LAST=2
END
$server->write_file('bad.env', "GOOD=1\nthis is no pair\nSECRET=hunter2\n");
$server->write_file('secret.env', "FROM=secret\n", 0600);
$server->write_conf(<<'END');
SetEnv FROM_HTTPD 1
PyDaemonProcess plain
PyDaemonProcess env env=ONE=1 "env=TWO=two words" env=THREE= env=EQ=a=b env=ONE=last env=TZ=UTC
PyDaemonProcess file env-file=@dir@/first.env env=BOTH=env
PyDaemonProcess relative env-file=first.env
PyDaemonProcess secret env-file=@dir@/secret.env
PyDaemonProcess lang lang=de_DE.UTF-8
PyDaemonProcess locale locale=C
PyDaemonProcess override env=LC_ALL=POSIX env=LANG=C env=HOME=/elsewhere env=PYTHONUTF8=0
PyDaemonAliasMatch ^/(plain|env|file|relative|secret|lang|locale|override|bad) @apps@/process.py
<LocationMatch ^/(?<group>[a-z]+)>
    SetEnvIf Request_URI ^/([a-z]+) group=$1
    PyDaemonProcessGroup %{ENV:group} plain env file relative secret lang locale override bad
</LocationMatch>
PyDaemonProcess bad env-file=@dir@/bad.env
END
$server->start;

my %facts;
for my $group (qw(plain env file relative secret lang locale override)) {
    my $answer = curl($server->url("/$group"));
    is($answer->{status}, 200, "$group is served");
    $facts{$group} = decode_json($answer->{body});
}
my $plain = $facts{plain}{environ};
is($plain->{PYD_TEST_SECRET}, undef, "httpd's environment is not inherited");
is($plain->{FROM_HTTPD}, undef, '... nor SetEnv, which is for requests');
is($plain->{PATH}, $ENV{PATH}, '... but PATH');
is($plain->{TZ}, 'Europe/Lisbon', '... and TZ');
is($plain->{LANG}, 'C.UTF-8', 'LANG is C.UTF-8, if httpd has none');
is($plain->{USER}, PyDaemonTest::Build::user(), "USER is the workers' own");
is_deeply([ grep { /^(?:PYD|APACHE|LD_|PYTHON)/ } keys %$plain ], [], 'nothing else of interest')
    unless sanitized();
is_deeply($facts{plain}{at_import}{environ}, $plain, 'it is there at the import already');

my $env = $facts{env}{environ};
is($env->{TWO}, 'two words', 'env: blanks');
is($env->{THREE}, '', 'env: empty');
is($env->{EQ}, 'a=b', 'env: an equals sign in the value');
is($env->{ONE}, 'last', 'env: the last of equal ones counts');
is($env->{TZ}, 'UTC', "env: comes before httpd's");

my $file = $facts{file}{environ};
my %expected = (PLAIN => 'value', INDENTED => 'yes', EXPORTED => 1, QUOTED => 'two words', SINGLE => 'it is', EMPTY => '',
    EQUALS => 'a=b=c', HASH => 'a # no comment', BOTH => 'env', LAST => 2);
is($file->{$_}, $expected{$_}, "env-file: $_") for sort keys %expected;
is($facts{relative}{environ}{PLAIN}, 'value', 'env-file relative to ServerRoot');
is($facts{secret}{environ}{FROM}, 'secret', "env-file need not be the workers' to read") if PyDaemonTest::Build::is_root();

is($facts{lang}{environ}{LANG}, 'de_DE.UTF-8', 'lang');
is($facts{locale}{environ}{LC_ALL}, 'C', 'locale is LC_ALL');
is($facts{locale}{locale}, 'C', "... and the process's");
is($facts{plain}{locale}, 'C.UTF-8', '... which is UTF-8 by default');
is($facts{$_}{utf8_mode}, 1, "$_: UTF-8 mode") for qw(plain lang locale override);
is($facts{$_}{filesystem_encoding}, 'utf-8', "$_: file names are UTF-8") for qw(plain lang locale override);
like($facts{$_}{stdout_encoding}, qr/^utf-?8$/i, "$_: stdout is UTF-8") for qw(plain locale);
is($facts{override}{environ}{HOME}, '/elsewhere', 'env wins over what is set by default');

# A line of an env-file that cannot be understood: the group does not start, the line is named, its neighbours are not.
my $answer = curl($server->url('/bad'));
is($answer->{status}, 503, 'a bad env-file: 503');
ok($server->wait_for_log(qr{bad\.env.*line 2}), '... and the log has the line');
unlike($server->log_text, qr/hunter2|this is no pair/, '... but nothing that may be secret');
$server->announce(qr/bad\.env.*line 2/);
$server->tolerate(qr/'bad'/);
# It is read whenever a worker starts: mended, the group comes up by itself.
$server->write_file('bad.env', "GOOD=1\n");
ok(wait_for(sub { curl($server->url('/bad'))->{status} == 200 }, 20), '... mended, it works without a reload');

finish();
