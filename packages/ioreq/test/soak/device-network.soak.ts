import type { Rng, Soak } from '@retrap/tooling/soak'
import { defineDevice } from '@retrap/device'
import { createIoRequest, STATUS_DONE, STATUS_RETRY, IOREQ_READ, IOREQ_TYPE_PIO, IOREQ_WRITE } from '../../src/index.ts'
import { connectDeviceServer, serveDevices } from '../../src/host/node/index.ts'
import { makeMachine, STATUS } from '../host/machine.ts'
import { badNetwork } from '../host/transports/bad-network.ts'
import { authority, devices, machine } from '@retrap/tooling/certificates'

const PORT = 0x100
const VCPUS = 2
const REQUESTS = 40

const tick = (ms = 0): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))

/**
 * vCPUs that read, write and cancel, over TLS through a network that delays, cuts, half-closes and falls silent. The model has
 * each write once and in the order of its vCPU, unless it was cancelled, and no read is made twice.
 */
async function badWeather(rng: Rng): Promise<string | void> {
  const written: number[] = []
  let reads = 0
  const model = defineDevice({
    name: 'counter',
    stateless: true,
    ports: { base: PORT, size: 4 },
    read: async () => (rng.chance(1, 4) ? (await tick(1), ++reads) : ++reads),
    write: (_offset, _size, value) => void written.push(value),
  })
  const service = await serveDevices(
    { address: { port: 0 }, tls: { ...devices, ca: authority }, aliveMs: 300 },
    (server) => server.attach(model),
  )
  const weather = { late: 4, cut: 10 + rng.below(20), halfClose: 20 + rng.below(40), silence: 80 + rng.below(200) }
  const network = await badNetwork((service.address as { port: number }).port, weather, rng.below(2 ** 32))
  const { dispatch, platform, failures } = makeMachine({ vcpus: VCPUS, policy: 'detach', deadlineMs: 60_000 })
  const transport = await connectDeviceServer(dispatch, platform, {
    name: 'far',
    address: { port: network.port },
    tls: { ...machine, ca: authority },
    aliveMs: 300,
    openMs: 1000,
  })
  try {
    await transport.remote.ready
    const expected: number[][] = []
    const cancelled = new Set<number>()
    let asked = 0
    const run = async (vcpu: number): Promise<string | void> => {
      const mine: number[] = (expected[vcpu] = [])
      for (let i = 0; i < REQUESTS; i++) {
        const isWrite = rng.chance(1, 2)
        const dataLo = vcpu * REQUESTS + i
        const direction = isWrite ? IOREQ_WRITE : IOREQ_READ
        const request = { ...createIoRequest(), type: IOREQ_TYPE_PIO, direction, addressLo: PORT, size: 4, dataLo }
        if (isWrite) mine.push(dataLo)
        else asked++
        let status = dispatch.submit(vcpu, request)
        if (status === STATUS_RETRY && rng.chance(1, 8)) {
          if (isWrite) cancelled.add(dataLo)
          dispatch.requests.cancel(vcpu)
          continue
        }
        for (; status === STATUS_RETRY; status = dispatch.requests.take(vcpu)) await tick(1)
        if (status !== STATUS_DONE)
          return `vCPU ${vcpu}, request ${i}: ${STATUS[status]}: ${String(failures[0]?.cause)}`
      }
    }
    const wrong = (await Promise.all([0, 1].map(run))).find((text) => text !== undefined)
    if (wrong !== undefined) return wrong
    await transport.remote.settle()
    for (const [vcpu, mine] of expected.entries()) {
      const seen = written.filter((value) => Math.floor(value / REQUESTS) === vcpu)
      const must = mine.filter((value) => !cancelled.has(value))
      const order = seen.filter((value) => !cancelled.has(value))
      if (order.join() !== must.join()) return `vCPU ${vcpu} wrote ${must.join()}, and the model has ${order.join()}`
      if (new Set(seen).size !== seen.length) return `vCPU ${vcpu}: a write was made twice: ${seen.join()}`
    }
    if (reads > asked) return `${reads} reads were made, and ${asked} asked for`
    if (failures.length > 0) return `failed: ${String(failures[0]?.cause)}`
  } finally {
    transport.close()
    await network.close()
    await service.close()
  }
}

/** Requests to device models over TLS, through a network that delays, cuts and falls silent. */
export const soak: Soak = { name: 'device-network', count: 40, step: badWeather }
