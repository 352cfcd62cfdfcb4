// Numbers with a unit (POLICY 14): MB = 10^6 bytes, Mbit = 10^6 bit/s, s m h d. Without a unit: refused.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace rules {

std::optional<std::uint64_t> parse_size(std::string_view text);             // "200MB": bytes; B kB MB GB TB
std::optional<std::uint64_t> parse_rate(std::string_view text);             // "20Mbit": bits a second; kbit Mbit Gbit
std::optional<std::chrono::seconds> parse_duration(std::string_view text);  // "30m"
std::optional<unsigned> parse_percent(std::string_view text);               // "30%"

}  // namespace rules
