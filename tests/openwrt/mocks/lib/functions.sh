# config_* of OpenWrt's /lib/functions.sh on variables CONFIG_section_option, which `uci` prints.
config_load() {
	eval "$(uci -q shell "$1")"
}
config_get() {
	eval "$1=\"\${CONFIG_${2}_${3}:-\$4}\""
}
config_get_bool() {
	local _value
	config_get _value "$2" "$3" "$4"
	case "$_value" in
	1 | on | true | yes | enabled) _value=1 ;;
	0 | off | false | no | disabled) _value=0 ;;
	*) _value="$4" ;;
	esac
	eval "$1=\$_value"
}
# Only lists: a lone `option` has no length.
config_list_foreach() {
	local _section="$1" _option="$2" _function="$3" _length _i=1 _item
	eval "_length=\${CONFIG_${_section}_${_option}_LENGTH}"
	[ -n "$_length" ] || return 0
	while [ "$_i" -le "$_length" ]; do
		eval "_item=\${CONFIG_${_section}_${_option}_ITEM$_i}"
		"$_function" "$_item"
		_i=$((_i + 1))
	done
}
