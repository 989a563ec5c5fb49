# What the Mac's clock showed at a moment of this machine's: as by_the_clock of lib.sh; required, never run. A process
# began so many seconds of uptime into this machine's life, which is known better than the second that was.
use strict;
use warnings;

my @jumps;
if (open my $file, '<', ($ENV{STANDIN_DB} // '/private/var/db/standin') . '/clock') {
    @jumps = map { [split] } <$file>;
}

sub by_the_clock {
    my ($seconds, $uptime) = @_;
    my ($jump) = grep { defined $uptime ? $_->[2] <= $uptime : $_->[0] <= $seconds } reverse @jumps;
    return $seconds + ($jump ? $jump->[1] : 0);
}

1;
