// The faults that would come to a cluster: they follow from the seed.
import { describeFault, drawFaults, readCluster, timeText } from '@retrap/cluster'

const { machines, faults } = readCluster({
  machines: [{ name: 'node', count: 3 }],
  faults: { for: '20s', partition: { every: '6s', for: '2s' }, crash: { every: '8s', for: '1s' } },
})
const names = machines.map(({ name }) => name)
for (const fault of drawFaults(faults, names, 4)) console.log(`${timeText(fault.at)}: ${describeFault(fault)}`)

// Output:
// 2.241 s: partition, node-2>node-3 node-3>node-2 node-2>node-1 node-1>node-2, for 1.43 s
// 4.857 s: partition, node-2>node-3 node-2>node-1, for 2.992 s
// 8.405 s: partition, node-3>node-1 node-3>node-2, for 2.727 s
// 9.182 s: crash, node-2, for 578.797 ms
