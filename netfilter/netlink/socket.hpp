// A netlink socket that asks and is answered (netlink(7)); libmnl does the bytes.
#pragma once

#include <libmnl/libmnl.h>

#include <array>
#include <functional>
#include <initializer_list>

#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"

namespace netfilter {

// Room for one request.
using NetlinkBuffer = std::array<char, 1024>;

// A close-on-exec socket of one netlink family, member of `groups`.
base::Result<base::sys::UniqueFd> open_netlink(int family, std::initializer_list<int> groups, bool non_blocking);

class NetlinkSocket {
 public:
  static base::Result<NetlinkSocket> open(int family);
  int fd() const { return socket_.get(); }

  // Sends one request and waits for the kernel's acknowledgement; `each` gets what comes before it. 0 or the kernel's errno.
  int request(nlmsghdr& message, const std::function<bool(const nlmsghdr&)>& each = nothing);
  // Sends a dump request and calls `each` for every answer until it returns false. 0 or errno. An answer that changed
  // while it was read is asked for again, so `each` may see an object twice.
  int dump(nlmsghdr& message, const std::function<bool(const nlmsghdr&)>& each);

 private:
  explicit NetlinkSocket(base::sys::UniqueFd socket) : socket_(std::move(socket)) {}
  static bool nothing(const nlmsghdr&) { return true; }
  int send(nlmsghdr& message);
  // Receives until the answer to `message` ends.
  int receive(const nlmsghdr& message, const std::function<bool(const nlmsghdr&)>& each);

  base::sys::UniqueFd socket_;
  std::uint32_t sequence_ = 0;
};

// Calls `each` for every attribute after a message's own header of `header_size` bytes. (libmnl's loop macros are not
// C++.)
template <class Each>
void for_each_attribute(const nlmsghdr& message, std::size_t header_size, Each each) {
  auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(&message, header_size));
  auto* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(&message));
  for (; mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)));
       attribute = mnl_attr_next(attribute))
    each(*attribute);
}

// The same for what an attribute holds.
template <class Each>
void for_each_nested(const nlattr& nest, Each each) {
  auto* begin = static_cast<const std::uint8_t*>(mnl_attr_get_payload(&nest));
  auto* end = begin + mnl_attr_get_payload_len(&nest);
  auto* attribute = reinterpret_cast<const nlattr*>(begin);
  for (; mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const std::uint8_t*>(attribute)));
       attribute = mnl_attr_next(attribute))
    each(*attribute);
}

}  // namespace netfilter
