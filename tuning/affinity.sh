#!/bin/sh
# Spreads the packets of a network card over the cores the server runs on.
#
#   sh affinity.sh --dev eth0 --cores 0-7            prints what it would write, changes nothing
#   sh affinity.sh --dev eth0 --cores 0-7 --apply    writes it; needs root
#
# Each core of plexichat has a listener of its own and the kernel chooses among them by the connection, so every core
# gets its share of connections. What is left is where the kernel handles their packets:
#
#   IRQ   queue i of the card interrupts core i of the list (again from the start when there are more queues).
#   RPS   with fewer queues than cores, the interrupted core hands each packet on to the core that its connection
#         hashes to: one interrupt more per packet, but no core that is full before the others. With a queue for
#         each core it is switched off.
#   RFS   of all those cores, the one whose thread last read from the connection. Only beside RPS.
#   XPS   a core sends by its own queue, so that no two cores wait for the lock of one. Cards with one queue have none.
#
# Running it twice does no harm. Stop irqbalance, or it moves the interrupts again. For one start only: run it from a
# unit, or from /etc/rc.local. --root DIR looks below another folder than /, for trials.

set -eu

usage() {
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
}

die() {
    echo "affinity.sh: $*" >&2
    exit 1
}

# "0-2,5" to "0 1 2 5"
expand() {
    for part in $(echo "$1" | tr ',' ' '); do
        first=${part%-*}
        last=${part#*-}
        for number in "$first" "$last"; do
            case $number in
            '' | *[!0-9]* | 0?*) die "--cores $1: expected a list such as 0-7 or 0,2,4" ;;
            esac
        done
        # Eight thousand is the most that Linux is built for; the length keeps the arithmetic below 2^31.
        { [ ${#first} -le 4 ] && [ ${#last} -le 4 ] && [ "$last" -lt 8192 ]; } ||
            die "--cores $1: there is no core $last"
        [ "$first" -le "$last" ] || die "--cores $1: $part runs backwards"
        while [ "$first" -le "$last" ]; do
            echo "$first"
            first=$((first + 1))
        done
    done
}

# Cores to a mask of hexadecimal words of 32 bits, highest first: "0 33" to "2,00000001"
mask() {
    printf '%s\n' "$@" | awk '
        { digit = int($1 / 4); if (digit > top) top = digit; bits[digit] += substr("1248", $1 % 4 + 1, 1) }
        END { for (i = top + 0; i >= 0; i--) printf "%x%s", bits[i], (i > 0 && i % 8 == 0 ? "," : ""); print "" }'
}

# The n-th of the other arguments, from 0, beginning again after the last
pick() {
    n=$(($1 % ($# - 1)))
    shift "$((n + 1))"
    echo "$1"
}

count() {
    echo $#
}

# write FILE VALUE WHY: the file is below the root. A file that says so already is left alone.
write() {
    [ -e "$root$1" ] || return 0
    # Some files exist and refuse to be read: xps_cpus of a card with one queue.
    now=$(cat "$root$1" 2>/dev/null) || return 0
    tried=$((tried + 1))
    if [ "$(plain "$now")" = "$(plain "$2")" ]; then
        return 0
    fi
    changes=$((changes + 1))
    if [ "$apply" = no ]; then
        echo "echo $2 > $1    # $3; now $now"
    elif ! echo "$2" 2>/dev/null >"$root$1"; then
        failures=$((failures + 1))
        echo "affinity.sh: $1 does not take $2 ($3)" >&2
    else
        echo "$1: $now -> $2 ($3)"
    fi
}

# A mask or number without leading zeros, so that 00000000,0000000f is f
plain() {
    echo "$1" | sed 's/^[0,]*\(.\)/\1/'
}

# Interrupts of the card's queues in order, those that only send left out: "24 25"
interrupts() {
    [ -r "$root/proc/interrupts" ] || return 0
    bus=$(readlink "$root/sys/class/net/$dev/device" || true)
    bus=${bus##*/}
    # eth0-Tx-Rx-0, eth0-rx-1, eth0; virtio2-input.0; mlx5_comp3@pci:0000:3b:00.0. The words begin after the counters.
    awk -v dev="$dev" -v bus="$bus" '
        function receives(word,   rest) {
            if (index(word, dev) == 1) {
                rest = tolower(substr(word, length(dev) + 1))
                return rest == "" || (rest ~ /^-/ && !(rest ~ /^-tx/ && rest !~ /rx/) && rest !~ /mgmnt|ctrl|admin/)
            }
            if (bus == "") return 0
            if (index(word, bus "-input.") == 1) return 1
            return word ~ /comp/ && index(word, bus) > 0
        }
        $1 ~ /^[0-9]+:$/ {
            for (i = 2; i <= NF; i++) if (receives($i)) { print substr($1, 1, length($1) - 1); break }
        }' "$root/proc/interrupts"
}

dev=
cores=
root=
apply=no
while [ $# -gt 0 ]; do
    case $1 in
    --dev | --cores | --root)
        [ $# -ge 2 ] || die "$1 needs a value"
        case $1 in
        --dev) dev=$2 ;;
        --cores) cores=$2 ;;
        --root) root=${2%/} ;;
        esac
        shift
        ;;
    --apply) apply=yes ;;
    --dry-run) apply=no ;;
    --help | -h)
        usage
        exit 0
        ;;
    *) die "$1 is not known; --help tells what is" ;;
    esac
    shift
done

[ -n "$dev" ] || die "--dev is missing: the card, such as eth0 (ip route show default)"
[ -n "$cores" ] || die "--cores is missing: those the server runs on, such as 0-7"
case $dev in
*[!A-Za-z0-9._@-]* | .* | -*) die "--dev $dev is not the name of a card" ;;
esac
card=/sys/class/net/$dev
[ -d "$root$card" ] || die "there is no card $dev; ip link lists them"
list=$(expand "$cores") || exit 1
[ -n "$list" ] || die "--cores $cores: no core"
list=$(echo "$list" | sort -nu)
if [ -r "$root/sys/devices/system/cpu/online" ]; then
    online=$(expand "$(cat "$root/sys/devices/system/cpu/online")")
    for core in $list; do
        echo "$online" | grep -qx "$core" || die "core $core is not online ($(cat "$root/sys/devices/system/cpu/online"))"
    done
fi

# shellcheck disable=SC2086 # a list of numbers is to be split
set -- $list
queues_in=$root$card/queues
receive=$(count "$queues_in"/rx-*)
[ -e "$queues_in/rx-0" ] || receive=0
send=$(count "$queues_in"/tx-*)
[ -e "$queues_in/tx-0" ] || send=0
changes=0
tried=0
failures=0
echo "# $dev: $receive receive and $send send queue(s), for $# core(s)"

irqs=$(interrupts)
if [ -z "$irqs" ]; then
    echo "# $dev has no interrupts of its own here (a virtual card, or one that shares them): none to place"
fi
index=0
for irq in $irqs; do
    write "/proc/irq/$irq/smp_affinity_list" "$(pick "$index" "$@")" "queue $index"
    index=$((index + 1))
done

if [ "$receive" -eq 0 ]; then
    echo "# $dev has no receive queues: nothing to steer"
elif [ "$receive" -lt $# ]; then
    # Connections remembered for RFS, shared evenly by the queues; a power of two as the kernel rounds up anyway.
    flows=32768
    write /proc/sys/net/core/rps_sock_flow_entries $flows "RFS, all cards"
    for queue in "$queues_in"/rx-*; do
        write "$card/queues/${queue##*/}/rps_cpus" "$(mask "$@")" "RPS: fewer queues than cores"
        write "$card/queues/${queue##*/}/rps_flow_cnt" $((flows / receive)) "RFS, this queue's share"
    done
else
    for queue in "$queues_in"/rx-*; do
        write "$card/queues/${queue##*/}/rps_cpus" 0 "RPS off: a queue for each core"
    done
fi

if [ "$send" -gt 1 ]; then
    index=0
    while [ "$index" -lt "$send" ]; do
        # With more cores than queues a queue serves every n-th core; with fewer, the later queues serve again.
        own=
        place=0
        for core in "$@"; do
            if [ $((place % send)) -eq "$index" ] || [ $((index % $#)) -eq "$place" ]; then
                own="$own $core"
            fi
            place=$((place + 1))
        done
        # shellcheck disable=SC2086 # a list of numbers is to be split
        write "$card/queues/tx-$index/xps_cpus" "$(mask $own)" "XPS"
        index=$((index + 1))
    done
fi

if [ -d "$root/run/systemd" ] && ls "$root"/run/irqbalance* >/dev/null 2>&1; then
    echo "# irqbalance runs and will move the interrupts again: systemctl disable --now irqbalance"
fi
[ "$failures" -eq 0 ] || die "$failures of $changes change(s) failed; root is needed"
if [ "$changes" -eq 0 ]; then
    echo "# nothing to change in $tried file(s)"
elif [ "$apply" = no ]; then
    echo "# nothing was written: --apply does it"
fi
