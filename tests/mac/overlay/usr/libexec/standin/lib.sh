# shellcheck shell=sh
# What the stand-in commands share; sourced, never run. The variables let the tests run a command on any Linux.
: "${STANDIN_DB:=/private/var/db/standin}"
: "${STANDIN_LIBEXEC:=/usr/libexec/standin}"
: "${STANDIN_GNU:=$STANDIN_LIBEXEC/gnu}"
: "${STANDIN_PASSWD:=/etc/passwd}"

newline='
'
tab='	'

# record NAME ARGUMENT...: one line in commands.log, `uid TAB pid TAB argv...`.
record() {
    [ -w "$STANDIN_DB/commands.log" ] || return 0
    line=$$
    for word in "$@"; do
        while :; do
            case $word in
            *"$newline"*) word=${word%%"$newline"*}\\n${word#*"$newline"} ;;
            *"$tab"*) word=${word%%"$tab"*}\\t${word#*"$tab"} ;;
            *) break ;;
            esac
        done
        line=$line$tab$word
    done
    my_uid
    printf '%s\t%s\n' "$uid" "$line" 2>/dev/null >>"$STANDIN_DB/commands.log" || :
}

# my_uid: sets uid to the effective user id, without a process.
my_uid() {
    uid=
    while read -r my_uid_key _ uid _; do
        [ "$my_uid_key" = Uid: ] && break
    done </proc/self/status
}

# by_the_clock SECONDS: sets moment to what the Mac's clock showed then. Mac.set_clock records each jump, a line `SECONDS
# OFFSET UPTIME`; what was stamped before a jump keeps its stamp.
by_the_clock() {
    offset=0
    [ ! -r "$STANDIN_DB/clock" ] || while read -r since jumped _; do
        [ "$since" -gt "$1" ] || offset=$jumped
    done <"$STANDIN_DB/clock"
    moment=$(($1 + offset))
    : "$moment" # who sources this file reads it
}

# machine: the facts of this Mac, as core wrote them at boot.
machine() {
    arch=arm64 macos=15.5 cpus=8 memory=17179869184 boottime=1722409523 rosetta=0 filevault=off
    bootuuid=6B0A2C2E-51A9-4D5C-9C1B-0F3A5C7D9E11
    # shellcheck disable=SC1091
    [ -r "$STANDIN_DB/machine.sh" ] && . "$STANDIN_DB/machine.sh"
    major=${macos%%.*}
    # Who sources this file reads these.
    : "$arch $cpus $memory $boottime $rosetta $filevault $bootuuid $major"
}

# refuse TEXT STATUS
refuse() {
    printf '%s\n' "$1" >&2
    exit "$2"
}

# strict NAME LETTERS STATUS USAGE ARGUMENT...: refuse what BSD's getopt(3) refuses: options not among LETTERS,
# every --long one, a missing argument. Options end at the first operand. Leaves OPTIND behind.
strict() {
    name=$1 letters=$2 status=$3 usage=$4
    shift 4
    OPTIND=1
    while getopts ":$letters" option "$@"; do
        case $option in
        '?') refuse "$name: illegal option -- $OPTARG$newline$usage" "$status" ;;
        ':') refuse "$name: option requires an argument -- $OPTARG$newline$usage" "$status" ;;
        esac
    done
}

# keep WORD...: adds words, quoted for eval, to kept. ("set --" inside a getopts loop would restart dash's.)
kept=
keep() {
    for word in "$@"; do
        quoted=
        while :; do
            case $word in
            *\'*) quoted="$quoted${word%%\'*}'\\''" word=${word#*\'} ;;
            *) break ;;
            esac
        done
        kept="$kept '$quoted$word'"
    done
}

# gnu NAME ARGUMENT...: become the original, which like BSD takes no option after the first operand.
gnu() {
    name=$1
    shift
    POSIXLY_CORRECT=1
    export POSIXLY_CORRECT
    exec "$STANDIN_GNU/$name" "$@"
}
