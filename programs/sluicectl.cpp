#include "sluicectl/verbs.hpp"

int main(int argc, char** argv) {
  return sluicectl::run(argc, argv);
}
