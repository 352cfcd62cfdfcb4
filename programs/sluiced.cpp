#include "daemon/options.hpp"

int main(int argc, char** argv) {
  return sluiced::run(argc, argv);
}
