// A UDP socket that answers from the address that it was asked at: a NAS takes no answer from another one, and a router has
// many.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "base/endpoint.hpp"
#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"

namespace sluiced {

class RadiusSocket {
 public:
  // Where an answer goes, and from which address of ours.
  struct Peer {
    sockaddr_storage name{};
    socklen_t name_length = 0;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in6_pktinfo))> control{};
    std::size_t control_length = 0;
  };
  struct Datagram {
    Peer peer;
    base::IpAddress source;
    base::Bytes bytes;  // valid until the next receive()
  };

  // The address need not be there yet. "[::]" hears IPv4 too.
  static base::Result<RadiusSocket> open(const base::Endpoint& listen);

  int fd() const { return socket_.get(); }
  std::optional<Datagram> receive();  // nullopt: nothing more
  void send(const Peer& peer, std::string_view bytes);

 private:
  explicit RadiusSocket(base::sys::UniqueFd socket) : socket_(std::move(socket)) {}
  base::sys::UniqueFd socket_;
  std::array<std::uint8_t, 4097> buffer_{};  // RFC 2865 3: at most 4096, and one to see that there is more
};

}  // namespace sluiced
