import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hasProgram } from '@retrap/tooling/skip'
import type { Rng, Soak } from '@retrap/tooling/soak'
import { defineDevice } from '@retrap/device'
import type { RemoteServer } from '../../src/index.ts'
import { createIoRequest, IOREQ_READ, IOREQ_TYPE_PIO, IOREQ_WRITE, STATUS_DONE, STATUS_RETRY } from '@retrap/ioreq'
import { connectDeviceProgram } from '../../src/node/device-program.ts'
import { connectDeviceServer, serveDevices } from '../../src/node/index.ts'
import { makeMachine, STATUS } from '../machine.ts'
import { badNetwork } from '../transports/bad-network.ts'
import { compile, serve } from '../protocol/c-client.ts'
import { PYTHON, SDK, there } from '../protocol/python-programs.ts'
import { authority, devices, machine } from '@retrap/tooling/certificates'

const PORT = 0x100
const VCPUS = 2
const REQUESTS = 40

const tick = (ms = 0): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))

/** A register at PORT, at the other end of a bad network. */
interface Far {
  readonly remote: RemoteServer
  /** The register's accesses, in order. */
  asked(): Promise<{ readonly written: readonly number[]; readonly reads: number }>
  close(): Promise<void>
}
type Connect = (rng: Rng, machine: ReturnType<typeof makeMachine>) => Promise<Far>

const weatherOf = (rng: Rng) => ({ late: 4, cut: 10 + rng.below(20), halfClose: 20 + rng.below(40) })

/** A model in TypeScript over TLS; its network also falls silent. */
const overTls: Connect = async (rng, { dispatch, platform }) => {
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
  const weather = { ...weatherOf(rng), silence: 80 + rng.below(200) }
  const network = await badNetwork((service.address as { port: number }).port, weather, rng.below(2 ** 32))
  const transport = await connectDeviceServer(dispatch, platform, {
    name: 'far',
    address: { port: network.port },
    tls: { ...machine, ca: authority },
    aliveMs: 300,
    openMs: 1000,
  })
  return {
    remote: transport.remote,
    asked: async () => ({ written, reads }),
    async close() {
      transport.close()
      await network.close()
      await service.close()
    },
  }
}

const folder = mkdtempSync(join(tmpdir(), 'retrap-soak-'))
const MODELS = fileURLToPath(new URL('../transports/', import.meta.url))
let compiled: Promise<string> | undefined

/** The contract's models as a program, to which connections are made again. @param command - that begins it */
const toProgram =
  (command: () => Promise<readonly string[]>): Connect =>
  async (rng, { dispatch, platform }) => {
    const [name = '', ...more] = await command()
    const program = await serve(name, ...more, 'tcp:127.0.0.1:0')
    const network = await badNetwork(program.port, weatherOf(rng), rng.below(2 ** 32))
    const address = { port: network.port }
    const far = await connectDeviceProgram(dispatch, platform, { name: 'far', address })
    return {
      remote: far.remote,
      async asked() {
        const { bytes } = (await far.remote.save()).devices['registers'] as { readonly bytes: Uint8Array }
        const { log } = JSON.parse(new TextDecoder().decode(bytes)) as { readonly log: readonly string[] }
        const writes = log.filter((entry) => entry.startsWith('w'))
        return {
          written: writes.map((entry) => Number.parseInt(entry.slice(5), 16)),
          reads: log.length - writes.length,
        }
      },
      async close() {
        far.close()
        await network.close()
        program.child.kill()
        await program.exited()
      },
    }
  }

const WAYS: readonly { readonly name: string; readonly connect: Connect }[] = [
  { name: 'in TypeScript, over TLS', connect: overTls },
  {
    name: 'in C',
    isThere: hasProgram('gcc'),
    connect: toProgram(async () => [
      await (compiled ??= compile(`${MODELS}contract-models.c`, join(folder, 'models'))),
    ]),
  },
  {
    name: 'in Python',
    isThere: there,
    connect: toProgram(async () => ['env', `PYTHONPATH=${SDK}`, PYTHON, '-W', 'error', `${MODELS}contract_models.py`]),
  },
].filter(({ isThere }) => isThere !== false)

/**
 * vCPUs that read, write and cancel, over a network that delays, cuts and half-closes. The model has each write once and in the
 * order of its vCPU, unless it was cancelled, and no read is made twice.
 */
async function badWeather(rng: Rng): Promise<string | void> {
  const { name, connect } = rng.pick(WAYS)
  rng.note('models', name)
  const made = makeMachine({ vcpus: VCPUS, policy: 'detach', deadlineMs: 60_000 })
  const { dispatch, failures } = made
  const far = await connect(rng, made)
  try {
    await far.remote.ready
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
    await far.remote.settle()
    const { written, reads } = await far.asked()
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
    await far.close()
  }
}

/** Requests to device models through a network that delays, cuts and falls silent. */
export const soak: Soak = {
  name: 'device-network',
  count: 40,
  step: badWeather,
  teardown: () => rmSync(folder, { recursive: true }),
}
