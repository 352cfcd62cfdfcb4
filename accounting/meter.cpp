#include "accounting/meter.hpp"

namespace accounting {

Counts growth(const Counts& before, const Counts& now) {
  bool another = now.bytes_up < before.bytes_up || now.bytes_down < before.bytes_down ||
                 now.packets_up < before.packets_up || now.packets_down < before.packets_down;
  if (another) return now;
  return {now.bytes_up - before.bytes_up, now.bytes_down - before.bytes_down, now.packets_up - before.packets_up,
          now.packets_down - before.packets_down};
}

Counts Meter::read(Key flow, const Counts& now, Began began) {
  auto [known, is_new] = flows_.try_emplace(flow, Flow{now, dump_});
  if (is_new) return priming_ || began == Began::before ? Counts{} : now;
  Counts grown = growth(known->second.counts, now);
  known->second = {now, dump_};
  return grown;
}

Counts Meter::ended(Key flow, const Counts& last, Began began) {
  auto known = flows_.find(flow);
  if (known == flows_.end()) return priming_ || began == Began::before ? Counts{} : last;
  Counts grown = growth(known->second.counts, last);
  flows_.erase(known);
  return grown;
}

std::size_t Meter::end_dump() {
  priming_ = false;
  return std::erase_if(flows_, [&](const auto& each) { return dump_ - each.second.seen >= patience; });
}

}  // namespace accounting
