// A ConfigText as bytes: a count or a length (four bytes, network order) before each thing, strings as they are.
#include "base/byte_reader.hpp"
#include "rules/load.hpp"

namespace rules {
namespace {

void put_number(std::string& out, std::size_t number) {
  for (int shift : {24, 16, 8, 0}) out += static_cast<char>(number >> shift & 0xff);
}

void put(std::string& out, const std::string& text) {
  put_number(out, text.size());
  out += text;
}

void put(std::string& out, const SourceFile& file) {
  put(out, file.path);
  put(out, file.text);
}

std::string take_string(base::ByteReader& reader) {
  return std::string(base::as_text(reader.take(reader.u32())));
}

SourceFile take_file(base::ByteReader& reader) {
  SourceFile file;
  file.path = take_string(reader);
  file.text = take_string(reader);
  return file;
}

}  // namespace

std::string pack_config(const ConfigText& config) {
  std::string out;
  put(out, config.directory);
  for (const SourceFile* file : {&config.sluice, &config.block_page, &config.zone}) put(out, *file);
  put_number(out, config.policy.size());
  for (const SourceFile& file : config.policy) put(out, file);
  return out;
}

std::optional<ConfigText> unpack_config(std::string_view bytes) {
  base::ByteReader reader(base::as_bytes(bytes));
  ConfigText config;
  config.directory = take_string(reader);
  for (SourceFile* file : {&config.sluice, &config.block_page, &config.zone}) *file = take_file(reader);
  for (std::uint32_t left = reader.u32(); left > 0 && reader.ok(); --left) config.policy.push_back(take_file(reader));
  if (!reader.at_end()) return std::nullopt;
  return config;
}

}  // namespace rules
