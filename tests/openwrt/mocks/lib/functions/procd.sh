# The service as a list of operations, which `ubus` turns into the JSON that procd gets.
_op() { printf '%s\036' "$@" >>/var/ops; printf '\035' >>/var/ops; }
json_init() { : >/var/ops; }
json_add_string() { _op value "$1" string "$2"; }
json_add_int() { _op value "$1" int "$2"; }
json_add_boolean() { _op value "$1" bool "$2"; }
json_add_object() { _op open "$1" object; }
json_add_array() { _op open "$1" array; }
json_close_object() { _op close; }
json_close_array() { _op close; }
_procd_open_service() {
	json_init
	json_add_string name "$1"
	json_add_string script "$2"
	json_add_object instances
	_triggers=""
}
_procd_close_service() {
	json_close_object
	json_add_array triggers
	local each
	for each in $_triggers; do json_add_string "" "$each"; done
	json_close_array
	ubus call service set
}
procd_open_instance() { json_add_object "${1:-instance1}"; }
procd_close_instance() {
	json_add_array mounts_rw
	local each
	for each in $_rw; do json_add_string "" "$each"; done
	json_close_array
	json_add_array mounts
	for each in $_ro; do json_add_string "" "$each"; done
	json_close_array
	_ro="" _rw=""
	json_close_object
}
procd_open_data() { json_add_object data; }
procd_close_data() { json_close_object; }
procd_set_param() {
	local type="$1" each
	shift
	case "$type" in
	env | data | limits)
		json_add_object "$type"
		for each in "$@"; do json_add_string "${each%%=*}" "${each#*=}"; done
		json_close_object
		;;
	command | netdev | file | respawn | watch)
		json_add_array "$type"
		for each in "$@"; do json_add_string "" "$each"; done
		json_close_array
		;;
	nice | term_timeout) json_add_int "$type" "$1" ;;
	reload_signal) json_add_int "$type" "$(kill -l "$1")" ;;
	pidfile | user | group | seccomp | capabilities | facility) json_add_string "$type" "$1" ;;
	stdout | stderr | no_new_privs) json_add_boolean "$type" "$1" ;;
	*) echo "procd_set_param: no such parameter $type" >&2; exit 9 ;;
	esac
}
procd_add_jail() {
	json_add_object jail
	json_add_string name "$1"
	shift
	local each
	for each in "$@"; do json_add_boolean "$each" 1; done
	json_close_object
}
procd_add_jail_mount() { _ro="$_ro $*"; }
procd_add_jail_mount_rw() { _rw="$_rw $*"; }
procd_add_reload_trigger() { _triggers="$_triggers $*"; }
procd_add_interface_trigger() { _triggers="$_triggers $1:$2"; }
procd_add_validation() { "$1" main "" >/dev/null; }
uci_load_validate() { :; }
procd_set_config_changed() { echo "$1" >>/var/config-changed; }
procd_kill() { ubus call service delete; }
