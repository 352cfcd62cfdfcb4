// Packets of any bytes into the flow table: {length (2 bytes), bytes} after {link type index}. And a DNS message.
#include <cstdint>

#include "proto/dns/message.hpp"
#include "replay/flow_table.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  (void)proto::dns::parse_question({data, size});
  constexpr int types[] = {1, 101, 113, 276, 0, 9};
  if (size < 1) return 0;
  int type = types[data[0] % 6];
  ++data, --size;
  replay::FlowTable table;
  while (size > 2) {
    std::size_t length = std::min<std::size_t>((data[0] | data[1] << 8) % 2048, size - 2);
    table.add(replay::network_packet(type, {data + 2, length}), base::WallTime{});
    data += 2 + length;
    size -= 2 + length;
  }
  (void)std::move(table).finish();
  return 0;
}
