#!/bin/sh
# Run by the feed's CI in a root file system of the target, often under qemu-user, where there is no netfilter: so the daemon is
# started as far as it gets, and the rest is asked of sluicectl, which works on files.
# shellcheck disable=SC3043 # ash has `local`

case "$1" in
sluice | sluice-full) ;;
*) exit 0 ;;
esac

fail() {
	echo "FAIL: $1" >&2
	exit 1
}

work="$(mktemp -d)" || exit 1
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/config" "$work/made" "$work/state" "$work/run"

for program in sluiced sluicectl; do
	$program --version | grep "$2" || fail "$program --version"
	$program --help | grep usage || fail "$program --help"
done

cat >"$work/config/sluice.toml" <<'TOML'
[network]
lan = "lo"
TOML
cat >"$work/config/policy.toml" <<'TOML'
zone = "UTC"
[[rule]]
name = "no games"
to = ["host:arcade.example", "category:steam"]
action = "block"
TOML
sluicectl check --config "$work/config" --state "$work/state" || fail "check"
sluicectl explain --config "$work/config" --state "$work/state" --client 192.168.1.2 https://www.arcade.example/
[ $? = 1 ] || fail "explain: a blocked host is not blocked"
sluicectl explain --config "$work/config" --state "$work/state" --client 192.168.1.2 https://library.example/ ||
	fail "explain: an allowed host is not allowed"

# The shipped /etc/config/sluice, and one with a mistake.
sluicectl uci2toml /etc/config/sluice --output "$work/made" --interface lan=br-lan || fail "uci2toml"
sluicectl check --config "$work/made" --state "$work/state" || fail "check of what uci2toml made"
printf "config sluice 'main'\n\tlist network 'lan'\n\toption nonsense '1'\n" |
	sluicectl uci2toml --output "$work/made" --interface lan=br-lan 2>"$work/said" && fail "uci2toml takes nonsense"
grep nonsense "$work/said" || fail "uci2toml does not name what is wrong"

# A start refuses a broken configuration with exit 2, wherever it runs.
echo nonsense >"$work/config/policy.toml"
sluiced --config "$work/config" --state "$work/state" --run "$work/run" 2>"$work/said"
[ $? = 2 ] || fail "sluiced takes a broken configuration"
grep policy.toml:1 "$work/said" || fail "sluiced does not say what is wrong"

echo "ok"
