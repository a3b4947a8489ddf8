import {
  addressOf,
  type ClusterRun,
  describeFault,
  type Fault,
  readCluster,
  type RunFrame,
  writeClusterRun,
} from '@retrap/cluster'
import { bytesSource } from '@retrap/snapshot'

/** A datagram of UDP with a text, from one machine to another. */
function datagram(from: number, to: number, port: number, text: string): Uint8Array {
  const payload = Buffer.from(text)
  const frame = new Uint8Array(42 + payload.length)
  frame.set([...addressOf(to), ...addressOf(from), 8, 0, 0x45, 0, 0, 28 + payload.length])
  frame.set([17, 0, 0, 10, 83, 0, from + 1, 10, 83, 0, to + 1, 0, port, 0, port, 0, 8 + payload.length], 23)
  frame.set(payload, 42)
  return frame
}

/** The run that three machines were in for so long; each has the recording, whose clock is the cluster's. */
export async function clusterRun(ns: number, lineAt: number, recording?: Uint8Array): Promise<Uint8Array> {
  const description = readCluster({ machines: [{ name: 'node', count: 3 }], faults: { for: '600s' } })
  const faults: Fault[] = [
    { kind: 'partition', at: ns * 0.6, for: ns * 0.3, cut: ['node-1>node-2'] },
    { kind: 'crash', at: ns * 0.7, for: ns * 0.1, machines: ['node-3'] },
    // It was kept away.
    { kind: 'hang', at: ns * 0.8, for: ns * 0.1, machines: ['node-1'] },
  ]
  const own = { ...(recording && { recording: 'past' }), offsets: [{ ns: 0, offset: 0 }] }
  const frames = Array.from({ length: 6000 }, (_, i): RunFrame => {
    const [sent, isCut] = [(ns * i) / 6000, i >= 3600 && i < 5400]
    const bytes = datagram(0, 1, 7, i === 5500 ? 'the vote of term 2' : 'beat')
    return { from: 0, to: 1, sent, causes: isCut ? ['partition'] : [], bytes, ...(!isCut && { arrives: sent + 1e5 }) }
  })
  frames.push({ from: 1, to: 2, sent: ns - 1, arrives: ns, causes: [], bytes: datagram(1, 2, 53, 'who') })
  const run: ClusterRun = {
    ...{ seed: 7, branch: 2, failure: 'check ended with 1', ns, faultsBegin: 0, description, faults, frames },
    machines: description.machines.map(({ name, number }) => ({
      ...{ name, number },
      starts: [
        { ...own, ns: 0, until: number === 2 ? ns * 0.7 : ns },
        ...(number === 2 ? [{ ...own, ns: ns * 0.8, until: ns }] : []),
      ],
    })),
    events: [
      ...faults.slice(0, 2).map((fault) => ({ ns: fault.at, kind: 'fault' as const, text: describeFault(fault) })),
      { ns: lineAt, kind: 'output', machine: 'node-2', text: 'two leaders in term 2' },
    ],
  }
  const parts: Uint8Array[] = []
  const recordings = recording === undefined ? [] : [{ name: 'past', source: bytesSource(recording) }]
  await writeClusterRun(run, recordings, (bytes) => parts.push(bytes.slice()))
  return Buffer.concat(parts)
}
