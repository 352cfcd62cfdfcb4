// [device]: names for MAC and IP addresses and for DHCP host names. A device has at least one of them, and no two
// devices share one.
#include "base/text.hpp"
#include "rules/draft.hpp"
#include "rules/names.hpp"

namespace rules {
namespace {

struct Taken {
  std::map<std::string, std::string> by_address;  // as text, with the device that has it

  bool take(const std::string& address, const Text& text, const std::string& device, Diagnostics& diagnostics) {
    auto [other, is_new] = by_address.emplace(address, device);
    if (!is_new)
      error(diagnostics, text.place, "'" + text.value + "' already belongs to device '" + other->second + "'");
    return is_new;
  }
};

}  // namespace

void read_devices(const PolicyTree& tree, Draft& draft, Diagnostics& diagnostics) {
  Taken taken;
  for (const Member* member : tree.devices) {
    policy::DeviceId id{static_cast<std::uint32_t>(draft.snapshot.devices.size())};
    draft.snapshot.devices.push_back(member->key);
    draft.devices.index.emplace(member->key, id.value);

    TableReader reader(*member, diagnostics);
    if (member->value.kind != Node::Kind::table) continue;
    auto macs = reader.strings("mac"), addresses = reader.strings("ip"), hostnames = reader.strings("hostname");
    std::size_t given =
        (macs ? macs->size() : 0) + (addresses ? addresses->size() : 0) + (hostnames ? hostnames->size() : 0);
    if (given == 0)
      error(diagnostics, member->place, "device '" + member->key + "' has neither 'mac' nor 'ip' nor 'hostname'");
    for (const Text& text : hostnames.value_or(std::vector<Text>{})) {
      std::string name = text.value;
      for (char& c : name) c = base::to_lower(c);
      if (name.empty())
        error(diagnostics, text.place, "a host name is empty, expected what the device tells the DHCP server");
      else if (taken.take("host name " + name, text, member->key, diagnostics))
        draft.snapshot.clients.add_device_hostname(id, name);
    }
    for (const Text& text : macs.value_or(std::vector<Text>{})) {
      auto mac = base::MacAddress::parse(text.value);
      if (!mac)
        error(diagnostics, text.place, "'" + text.value + "' is not a MAC address, expected \"02:00:00:aa:bb:cc\"");
      else if (taken.take(mac->to_string(), text, member->key, diagnostics))
        draft.snapshot.clients.add_device(id, *mac);
    }
    for (const Text& text : addresses.value_or(std::vector<Text>{})) {
      auto address = base::IpAddress::parse(text.value);
      if (!address)
        error(diagnostics, text.place,
              "'" + text.value + "' is not an address" +
                  (text.value.find('/') == text.value.npos ? std::string()
                                                           : "; prefixes are members of groups, not devices"));
      else if (taken.take(address->to_string(), text, member->key, diagnostics))
        draft.snapshot.clients.add_device(id, *address);
    }
    reader.finish();
  }
}

}  // namespace rules
