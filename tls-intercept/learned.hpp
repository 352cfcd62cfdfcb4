// What devices have taught us by taking or refusing our certificates (FACTS 5.3). Pure: told the time, told what happened.
//
//   enrolled      the device trusts our CA: it passed the check of the onboarding page, or took leaves for several names. One
//                 name is not enough, because a person may click a browser's warning away for one.
//   not enrolled  it never did, or it has refused name after name since it last took one (the CA was removed)
//   bypass        an enrolled device refuses our leaf for one name again and again, while it takes others: an app that has
//                 pinned its certificates. The name is not decrypted for that device until the bypass ends.
//
// Only deliberate signs count: an alert about the certificate, or an orderly end right after our certificate was seen. A
// connection that breaks, stalls or is reset teaches nothing, so a bad network never teaches a bypass. What was taken
// since resets the count.
//
// A device is any text (a MAC address, else an IP address). Memory is bounded: who was seen longest ago is forgotten first.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace tls_intercept {

// How a client let a handshake fail.
enum class Refusal : std::uint8_t {
  alert,   // bad_certificate, unsupported, revoked, expired, unknown, unknown_ca, access_denied (RFC 8446 6.2)
  silent,  // closed in order without a word or a byte, as some clients do
};
// Whether an alert's number is about the certificate. 121 (ech_required), 40 and 70 (our settings) are not.
bool is_about_certificate(int alert);

struct Bypass {
  std::string device, name;
  std::int64_t until = 0;  // seconds since 1970
};

class Learned {
 public:
  static constexpr std::int64_t window = 600;  // seconds in which refusals count together
  static constexpr std::size_t alerts_needed = 3;
  static constexpr std::size_t silent_needed = 5;         // weaker signs: more of them, and no success ever
  static constexpr std::size_t names_needed = 3;          // taken, to be enrolled without the check
  static constexpr std::size_t names_lost = 5;            // refused since the last one taken: not enrolled any more
  static constexpr std::int64_t elsewhere = 86400;        // seconds since a leaf was taken that still count
  static constexpr std::int64_t bypass_life = 7 * 86400;  // seconds
  static constexpr std::size_t most_devices = 4096, most_names = 256, most_bypasses = 10000;

  bool enrolled(const std::string& device) const;
  bool refused_ever(const std::string& device) const;  // for telling "not enrolled" from "never asked"
  bool bypassed(const std::string& device, const std::string& name, std::int64_t now) const;

  // What changed by it and is worth keeping: the device's standing, or a new bypass.
  bool took(const std::string& device, const std::string& name, std::int64_t now);
  bool passed_check(const std::string& device, std::int64_t now);
  struct Change {
    bool standing = false;
    std::optional<Bypass> bypass;
  };
  Change refused(const std::string& device, const std::string& name, Refusal how, std::int64_t now);

  // Kept elsewhere over restarts.
  std::vector<std::string> enrolled_devices() const;
  std::vector<Bypass> bypasses(std::int64_t now) const;
  void adopt(const std::vector<std::string>& enrolled, const std::vector<Bypass>& bypasses);

 private:
  struct Name {
    bool taken = false;                        // ever
    std::vector<std::int64_t> alerts, silent;  // times, since it was last taken
  };
  struct Device {
    bool enrolled = false;
    std::int64_t seen = 0, took_last = 0;
    std::map<std::string, Name> names;
    std::set<std::string> refused_since;  // names, since the last one taken
  };
  Device& device_of(const std::string& device, std::int64_t now);
  static Name& name_of(Device& device, const std::string& name);

  std::map<std::string, Device> devices_;
  std::map<std::pair<std::string, std::string>, std::int64_t> bypasses_;
};

}  // namespace tls_intercept
