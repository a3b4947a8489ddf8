// The faults that would come to a cluster: they follow from the seed.
import { describeFault, drawFaults, readCluster, timeText } from '@retrap/cluster'

const { machines, faults } = readCluster({
  machines: [{ name: 'node', count: 3 }],
  faults: { for: '20s', partition: { every: '6s', for: '2s' }, crash: { every: '8s', for: '1s' } },
})
const names = machines.map(({ name }) => name)
for (const fault of drawFaults(faults, names, 4)) console.log(`${timeText(fault.at)}: ${describeFault(fault)}`)

// Output:
// 5.797 s: partition, node-3>node-1 node-1>node-3 node-3>node-2 node-2>node-3, for 2.116 s
// 9.053 s: crash, node-2, for 812.029 ms
// 9.256 s: crash, node-1, for 509.632 ms
// 11.54 s: partition, node-3>node-1 node-1>node-3 node-3>node-2 node-2>node-3, for 2.524 s
// 16.98 s: crash, node-1, for 1.19 s
