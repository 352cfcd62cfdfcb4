#!/bin/sh
# What sluice learns lies in memory (/var/lib/sluice) and is copied to flash now and then: codes, grants, quotas, log-ins, what
# devices have taught. Lists and what is compiled from them is fetched again. Flash is written only when something has changed.
#
#   state.sh restore          at the first start after a boot
#   state.sh save             at a stop
#   state.sh loop SECONDS     runs beside the daemon

STATE=/var/lib/sluice
KEEP=/etc/sluice/keep
KEPT="codes grants learned logins quotas identities"

save() {
	[ -d "$STATE" ] || return 0
	local name kept=""
	for name in $KEPT; do
		[ -d "$STATE/$name" ] && kept="$kept $name"
	done
	[ -n "$kept" ] || return 0
	mkdir -p "$KEEP" && chmod 0755 "$KEEP" || return 1
	local fresh="$STATE/.state.tar"
	# shellcheck disable=SC2086
	(umask 077; tar -C "$STATE" -cf "$fresh" $kept) || { rm -f "$fresh"; return 1; }
	local sum; sum="$(md5sum <"$fresh")"
	if [ "$sum" != "$(cat "$STATE/.saved" 2>/dev/null)" ] || [ ! -s "$KEEP/state.tar.gz" ]; then
		if (umask 077; gzip -c "$fresh" >"$KEEP/.state.tar.gz") && sync && mv "$KEEP/.state.tar.gz" "$KEEP/state.tar.gz"; then
			echo "$sum" >"$STATE/.saved"
		else
			rm -f "$KEEP/.state.tar.gz" "$fresh"
			logger -t sluice -p daemon.err "cannot save to $KEEP: is the flash full?"
			return 1
		fi
	fi
	rm -f "$fresh"
}

restore() {
	[ -e "$STATE/.restored" ] && return 0
	mkdir -p "$STATE" && chmod 0755 "$STATE"
	if [ -s "$KEEP/state.tar.gz" ]; then
		# Whole or not at all.
		if gzip -t "$KEEP/state.tar.gz" 2>/dev/null && gzip -dc "$KEEP/state.tar.gz" | tar -C "$STATE" -xf -; then
			:
		else
			logger -t sluice -p daemon.err "$KEEP/state.tar.gz is damaged: codes, grants and quotas begin anew"
		fi
	fi
	: >"$STATE/.restored"
}

case "$1" in
save) save ;;
restore) restore ;;
loop)
	# A stop kills the shell and leaves no sleep behind.
	trap 'kill "$sleeper" 2>/dev/null; exit 0' TERM INT
	while :; do
		sleep "$2" &
		sleeper=$!
		wait "$sleeper" || exit 0
		save
	done
	;;
*)
	echo "usage: state.sh save|restore|loop SECONDS" >&2
	exit 2
	;;
esac
