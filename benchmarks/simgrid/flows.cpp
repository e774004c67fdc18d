// Runs the flows of an instance in SimGrid: same links, same routes, max-min sharing, no latency.
//
// Instance, whitespace separated:  hosts links flows, then the bandwidth of each link [byte/s], then for each flow
// its source, target, size [byte], number of links and their numbers. Prints the seconds that the run took, without
// reading and building, then the completion time of each flow.
#include <simgrid/s4u.hpp>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <set>
#include <string>
#include <vector>

namespace sg4 = simgrid::s4u;

int main(int argc, char** argv) {
  sg4::Engine engine(&argc, argv);
  sg4::Engine::set_config("network/model:CM02");
  sg4::Engine::set_config("network/crosstraffic:0");
  sg4::Engine::set_config("network/TCP-gamma:0");
  sg4::Engine::set_config("surf/precision:1e-13");
  std::ifstream file(argv[1]);
  size_t hosts, links, flows;
  file >> hosts >> links >> flows;
  auto* zone = sg4::create_full_zone("fabric");
  std::vector<sg4::Link*> link(links);
  for (size_t i = 0; i < links; i++) {
    double bandwidth;
    file >> bandwidth;
    link[i] = zone->create_link("l" + std::to_string(i), bandwidth)->set_latency(0.0)->seal();
  }
  std::vector<sg4::Host*> host(hosts);
  for (size_t i = 0; i < hosts; i++)
    host[i] = zone->create_host("h" + std::to_string(i), 1e9)->seal();
  struct Flow { size_t source, target; double size; };
  std::vector<Flow> flow(flows);
  std::set<std::pair<size_t, size_t>> routed;
  for (auto& f : flow) {
    size_t count, number;
    file >> f.source >> f.target >> f.size >> count;
    std::vector<sg4::LinkInRoute> route;
    for (size_t k = 0; k < count; k++) {
      file >> number;
      route.emplace_back(link[number]);
    }
    if (routed.insert({f.source, f.target}).second)
      zone->add_route(host[f.source]->get_netpoint(), host[f.target]->get_netpoint(), nullptr, nullptr, route, false);
  }
  zone->seal();
  std::vector<sg4::CommPtr> comms(flows);
  std::vector<double> finish(flows);
  sg4::Actor::create("all", host[0], [&]() {
    for (size_t i = 0; i < flows; i++)
      comms[i] = sg4::Comm::sendto_async(host[flow[i].source], host[flow[i].target], flow[i].size);
    for (size_t i = 0; i < flows; i++) {
      comms[i]->wait();
      finish[i] = comms[i]->get_finish_time();
    }
  });
  auto start = std::chrono::steady_clock::now();
  engine.run();
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%.9f\n", took.count());
  for (double t : finish)
    std::printf("%.17g\n", t);
}
