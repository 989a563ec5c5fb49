# The process table of the Mac, for ps; required, never run.
use strict;
use warnings;
require(($ENV{STANDIN_LIBEXEC} // '/usr/libexec/standin') . '/clock.pl');

our $db = $ENV{STANDIN_DB} // '/private/var/db/standin';

# One line in commands.log: uid, pid, argv.
sub record {
    my ($name) = $0 =~ m{([^/]*)\z};
    my @argv = map { s/\n/\\n/gr =~ s/\t/\\t/gr } $name, @ARGV;
    open my $log, '>>', "$db/commands.log" or return if -e "$db/commands.log";
    syswrite $log, join("\t", $>, $$, @argv) . "\n" if $log;
}

sub slurp {
    open my $file, '<', $_[0] or return '';
    local $/;
    return <$file> // '';
}

# What a Mac would show of this argv, or nothing when it is the machinery of the stand-in.
#   /bin/sh /usr/bin/sed ..., /usr/libexec/standin/gnu/sed ...    on a Mac these are programs: sed ...
#   /usr/libexec/standin/python -ISE /opt/homebrew/bin/colima ...  /opt/homebrew/bin/colima ...
sub as_on_a_mac {
    my ($pid, @argv) = @_;
    return '/sbin/launchd' if $pid == 1;
    if (@argv > 1 and $argv[0] =~ m{^/usr/libexec/standin/python}) {
        shift @argv;
        shift @argv while @argv and $argv[0] =~ /^-/;
        return unless @argv;
        $argv[0] =~ s{.*/}{} if $argv[0] =~ m{^/(usr/)?s?bin/};
    }
    elsif (@argv > 1 and $argv[0] =~ m{^(/usr)?/bin/(sh|perl)\z} and $argv[1] =~ m{^(/usr)?/s?bin/[^/]+\z}) {
        shift @argv;
        $argv[0] =~ s{.*/}{};
    }
    $argv[0] =~ s{^/usr/libexec/standin/gnu/}{} if @argv;
    return if grep { m{/usr/libexec/standin} } @argv;
    return @argv;
}

# All processes in the order of their pids. A guest's are in a pid namespace of their own, which every user can read
# off NSpid: it then has more than one number.
sub processes {
    my ($boot) = slurp('/proc/stat') =~ /^btime (\d+)/m;
    my @all;
    opendir my $proc, '/proc' or die "ps: cannot read the process table\n";
    for my $pid (sort { $a <=> $b } grep { /^\d+\z/ } readdir $proc) {
        my $status = slurp("/proc/$pid/status") or next;
        my ($name, $stat) = slurp("/proc/$pid/stat") =~ /^\d+ \((.*)\) (.*)/s or next;
        next if $status =~ /^NSpid:\s+\d+[ \t]+\d/m;
        my @argv = split /\0/, slurp("/proc/$pid/cmdline"), -1;
        pop @argv while @argv and $argv[-1] =~ /^ *\z/; # the last NUL, and what a process that retitled itself left
        if (@argv) {
            @argv = as_on_a_mac($pid, @argv) or next;
        }
        my ($state, $ppid, $pgid, $sess, $tty, $tpgid, @rest) = split ' ', $stat;
        my ($ruid, $uid) = $status =~ /^Uid:\s+(\d+)\s+(\d+)/m;
        my ($rgid, $gid) = $status =~ /^Gid:\s+(\d+)\s+(\d+)/m;
        my ($comm) = @argv ? $argv[0] =~ m{^-?(?:.*/)?(.*)}s : $name;
        push @all, {
            pid => $pid, ppid => $ppid, pgid => $pgid, sess => $sess, tdev => $tty, tpgid => $tpgid,
            ruid => $ruid, uid => $uid, rgid => $rgid, gid => $gid, letter => $state,
            comm => substr($comm, 0, 16), path => $argv[0] // "($name)",
            command => @argv ? join(' ', @argv) : "($name)",
            argv => \@argv, ticks => $rest[5] + $rest[6], nice => $rest[10], started => by_the_clock($boot + $rest[13] / 100, $rest[13] / 100),
            vsz => int($rest[14] / 1024), rss => $rest[15] * 4,
        };
    }
    return @all;
}

1;
