network_flush_cache() { :; }
# Fails and leaves the variable alone where netifd does not know the network (yet).
network_get_device() {
	[ -e "/var/netifd/$2" ] || return 1
	eval "$1=\$(cat /var/netifd/$2)"
}
