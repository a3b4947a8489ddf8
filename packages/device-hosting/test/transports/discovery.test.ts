/** Devices that are found by their name over NATS, with Debian's nats-server. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { connect as connectNats, type NatsConnection } from '@nats-io/transport-node'
import { defineDevice } from '@retrap/device'
import { createIoRequest, IOREQ_READ, IOREQ_TYPE_PIO, STATUS_RETRY, STATUS_UNHANDLED } from '@retrap/ioreq'
import { authority, devices, devicesElsewhere, devicesOther, machine } from '@retrap/tooling/certificates'
import { hasProgram } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  announceDevices,
  connectDiscovered,
  type DeviceAnnouncement,
  DeviceDirectory,
  type DeviceService,
  type DeviceServiceOptions,
  type DiscoveredConnection,
  serveDevices,
} from '../../src/node/index.ts'
import { decodeAnnouncement, encodeAnnouncement, subjectsOf } from '../../src/node/discovery/announcement.ts'
import { makeMachine } from '../machine.ts'
import { badNetwork } from './bad-network.ts'

const DEADLINE_MS = 60_000
const available = hasProgram('nats-server')
if (!available) console.warn('SKIPPED: discovery needs nats-server')

const PORT = 0x100
/** What the certificates of devices name. */
const NAME = 'devices.test'
const { at, ask } = subjectsOf(NAME)
const open: { close(): unknown }[] = []
const tick = (ms = 0): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))
const until = async (what: () => boolean): Promise<void> => {
  for (const end = performance.now() + DEADLINE_MS / 2; !what() && performance.now() < end;) await tick(1)
  if (!what()) throw new Error('it does not come to that')
}

let nats: ChildProcess
let natsPort = 0
async function startNats(): Promise<void> {
  nats = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(natsPort)], { stdio: ['ignore', 'ignore', 'pipe'] })
  let log = ''
  nats.stderr!.on('data', (bytes: Buffer) => void (log += bytes.toString()))
  await until(() => log.includes('Server is ready'))
}
async function killNats(): Promise<void> {
  nats.kill('SIGKILL')
  await once(nats, 'exit')
}
async function join(): Promise<NatsConnection> {
  const options = { servers: `127.0.0.1:${natsPort}`, maxReconnectAttempts: -1, reconnectTimeWait: 20 }
  const client = await connectNats(options)
  open.push({ close: () => client.close() })
  return client
}

const portOf = ({ address }: { readonly address: object }): number => (address as { readonly port: number }).port

async function serve(options: Partial<DeviceServiceOptions> = {}): Promise<DeviceService> {
  const all = { address: { port: 0 }, tls: { ...devices, ca: authority }, ...options }
  const service = await serveDevices(all, (server) => {
    let count = 0
    server.attach(
      defineDevice({ name: 'counter', stateless: true, ports: { base: PORT, size: 4 }, read: () => ++count }),
    )
  })
  open.push(service)
  return service
}

async function connect(directory: DeviceDirectory, options: Partial<DiscoveredConnection> = {}) {
  const made = makeMachine({ policy: 'detach', deadlineMs: DEADLINE_MS })
  const transport = await connectDiscovered(made.dispatch, made.platform, {
    ...{ name: 'far', tls: { ...machine, ca: authority }, directory, ...options },
  })
  open.push(transport)
  await transport.remote.ready
  const read = async (): Promise<number> => {
    const request = { ...createIoRequest(), type: IOREQ_TYPE_PIO, direction: IOREQ_READ, addressLo: PORT, size: 4 }
    let status = made.dispatch.submit(0, request)
    for (; status === STATUS_RETRY; status = made.dispatch.requests.take(0)) await tick(1)
    return status === STATUS_UNHANDLED ? -1 : made.dispatch.lo
  }
  return { ...made, transport, read }
}

/** An announcement that anyone could make. */
const said = (service: DeviceService, changes: Partial<DeviceAnnouncement> = {}): DeviceAnnouncement => ({
  ...{ server: '00000000-0000', host: '127.0.0.1', port: portOf(service), fingerprint: service.fingerprint! },
  ...{ machines: 0, maxMachines: 1000, leaseMs: 60_000 },
  ...changes,
})

/** Each has servers and clients of its own; a run has some of them. */
const natsTest = sliceTests(3)

describe.skipIf(!available)('over NATS', { timeout: DEADLINE_MS }, () => {
  beforeAll(async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    natsPort = portOf({ address: server.address() as object })
    server.close()
    await startNats()
  }, DEADLINE_MS)
  afterAll(killNats)
  afterEach(async () => {
    for (const one of open.splice(0).toReversed()) await one.close()
  })

  const announced = async (service: DeviceService, leaseMs = 60_000) => {
    const client = await join()
    const announcer = announceDevices(client, service, { name: NAME, leaseMs })
    open.push(announcer)
    return { client, announcer }
  }
  const look = async (): Promise<DeviceDirectory> => {
    const directory = new DeviceDirectory(await join(), NAME)
    open.push(directory)
    return directory
  }

  natsTest('a machine has devices of the server with the least load, and then of the other one', async () => {
    const [one, two] = [await serve({ maxMachines: 2 }), await serve({ maxMachines: 3 })]
    await announced(one)
    await announced(two)
    const directory = await look()
    /** Asks until announcements say how it is now. */
    const known = async (): Promise<readonly DeviceAnnouncement[]> => {
      for (;;) {
        const found = await directory.find()
        const isNow = found.every(({ port, machines }) => machines === (port === portOf(one) ? one : two).machines)
        if (isNow) return found
      }
    }
    await connect(directory)
    for (const machines of [2, 3, 4, 5]) {
      const [oneLoad, twoLoad] = [one.machines / 2, two.machines / 3]
      const [first] = await known()
      if (oneLoad !== twoLoad) expect(first!.port).toBe(portOf(oneLoad < twoLoad ? one : two))
      await connect(directory)
      expect(one.machines + two.machines).toBe(machines)
    }
    expect([one.machines, two.machines]).toEqual([2, 3])
    while (directory.servers().length > 0) await directory.find(50).catch(() => {})
    await expect(connect(directory, { waitMs: 50 })).rejects.toThrow(/all 2 servers .* as many machines as they take/)
  })

  natsTest('what is announced is a hint: those that do not prove themselves are passed over', async () => {
    const real = await serve({ maxMachines: 4 })
    const other = await serve({ tls: { ...devicesOther, ca: authority } })
    const elsewhere = await serve({ tls: { ...devicesElsewhere, ca: authority } })
    const full = await serve({ maxMachines: 1 })
    const plain = createServer((socket) => void socket.on('error', () => {}).end('hello')).listen(0, '127.0.0.1')
    await once(plain, 'listening')
    open.push(plain)
    const directory = await look()
    await connect(await soleDirectory(full))
    const liar = await join()
    const wrong = [
      said(real, { server: '00000000-0001', port: 1 }),
      said(other, { server: '00000000-0002' }),
      said(elsewhere, { server: '00000000-0003' }),
      said(full),
      said(real, { server: '00000000-0005', fingerprint: other.fingerprint! }),
      said(real, { server: '00000000-0006', port: portOf({ address: plain.address() as object }) }),
    ]
    for (const one of wrong) liar.publish(at, encodeAnnouncement(one))
    await until(() => directory.servers().length === wrong.length)
    const trouble = await connect(directory).catch(({ message }: Error) => message)
    for (const why of [
      /127\.0\.0\.1:1 cannot be reached \(connect ECONNREFUSED/,
      /unable to verify the first certificate/,
      /Host: devices\.test\. is not in the cert's altnames: DNS:elsewhere\.test/,
      /at most 1 machines/,
      /has another certificate than was announced/,
      /no TLS connection to/,
    ])
      expect(trouble).toMatch(why)
    await announced(real)
    expect(await (await connect(directory)).read()).toBe(1)
    expect([real.machines, other.machines, elsewhere.machines]).toEqual([1, 0, 0])
  })

  /** A directory that knows one server, without asking. */
  async function soleDirectory(service: DeviceService): Promise<DeviceDirectory> {
    const client = await join()
    const directory = new DeviceDirectory(client, NAME)
    client.publish(at, encodeAnnouncement(said(service)))
    await until(() => directory.servers().length === 1)
    return directory
  }

  natsTest('a server is forgotten at once when it says so, and when its lease ends', async () => {
    const directory = await look()
    const { announcer } = await announced(await serve())
    expect(await directory.find()).toHaveLength(1)
    await announcer.close()
    await until(() => directory.servers().length === 0)
    const { client } = await announced(await serve(), 300)
    await until(() => directory.servers().length === 1)
    // It is renewed for as long as the server is there.
    await tick(700)
    expect(directory.servers()).toHaveLength(1)
    const gone = performance.now()
    await client.close()
    await until(() => directory.servers().length === 0)
    expect(performance.now() - gone).toBeGreaterThan(100)
    await expect(directory.find(50)).rejects.toMatchObject({ code: 'ERR_NOT_FOUND', message: /was announced within/ })
  })

  natsTest('a session does not go on with another server, though it is trusted and has room', async () => {
    const [one, two] = [await serve(), await serve()]
    const network = await badNetwork(portOf(one))
    open.push(network)
    const directory = await look()
    ;(await join()).publish(at, encodeAnnouncement(said(one, { port: network.port })))
    await until(() => directory.servers().length === 1)
    const { read, failures } = await connect(directory)
    expect(await read()).toBe(1)
    // The same server goes on.
    network.cut()
    expect(await read()).toBe(2)
    await announced(two)
    network.redirect(portOf(two))
    network.cut()
    expect(await read()).toBe(-1)
    expect(failures[0]!.cause).toMatchObject({ code: 'ERR_DEVICE', message: /was started anew/ })
    expect(two.machines).toBe(0)
  })

  natsTest('floods of announcements and questions, and messages of any size, keep nobody out for long', async () => {
    const service = await serve()
    const directory = await look()
    const liar = await join()
    let heard = 0
    liar.subscribe(at, { callback: (_error, { data }) => void (data.length < 400 && heard++) })
    for (const size of [0, 1, 2049, 500_000]) liar.publish(at, new Uint8Array(size).fill(0x7b))
    for (let i = 0; i < 1000; i++)
      liar.publish(at, encodeAnnouncement(said(service, { server: `0000000-${i}`, port: 1, leaseMs: 200 })))
    await until(() => heard >= 1000)
    expect(directory.servers().length).toBeLessThanOrEqual(64)
    const { client } = await announced(service)
    await client.flush()
    for (let i = 0; i < 500; i++) liar.publish(ask, '')
    heard = 0
    await liar.flush()
    await tick(250)
    // The first announcement, and an answer each 50 ms: not one for each question.
    expect(heard).toBeLessThan(20)
    expect(await (await connect(directory)).read()).toBe(1)
  })

  natsTest('NATS that is killed and started anew: servers are found, and machines had not noticed', async () => {
    const service = await serve()
    await announced(service)
    const directory = await look()
    const { read } = await connect(directory)
    await killNats()
    expect(await read()).toBe(1)
    await startNats()
    const later = await look()
    expect(await later.find()).toMatchObject([{ port: portOf(service), machines: 1 }])
    expect(await directory.find()).toHaveLength(1)
    expect(await read()).toBe(2)
  })

  natsTest('what cannot be announced is refused', async () => {
    const client = await join()
    const service = await serve()
    expect(() => announceDevices(client, service, { name: 'a b' })).toThrow(/'a b' is no name of devices/)
    expect(() => announceDevices(client, service, { name: '>' })).toThrow(/is no name of devices/)
    expect(() => new DeviceDirectory(client, 'a.*')).toThrow(/is no name of devices/)
    expect(() => announceDevices(client, service, { name: NAME, leaseMs: 99 })).toThrow(/a lease of 99 ms/)
    expect(() => announceDevices(client, service, { name: NAME, host: 'a/b' })).toThrow(/host 'a\/b'/)
    const plain = await serveDevices({ address: { port: 0 } }, () => {})
    open.push(plain)
    expect(() => announceDevices(client, plain, { name: NAME })).toThrow(/without TLS is not announced/)
  })
})

describe('an announcement', () => {
  const good: DeviceAnnouncement = {
    ...{ server: 'abcdef01-2345', host: 'a.example', port: 7000, fingerprint: Array(32).fill('AB').join(':') },
    ...{ machines: 1, maxMachines: 2, leaseMs: 15_000 },
  }
  test.each([{}, { host: '::1' }, { host: '10.0.0.1' }, { leaseMs: 0 }, { machines: 3 }])('%j is read', (changes) => {
    expect(decodeAnnouncement(encodeAnnouncement({ ...good, ...changes }))).toEqual({ ...good, ...changes })
  })

  test.each([
    ...[{ protocol: 2 }, { server: '' }, { server: 'x'.repeat(65) }, { server: 7 }, { host: 'a b' }, { host: 'a:1' }],
    ...[{ host: '-a' }, { host: '\u001b[2J' }, { host: 'a'.repeat(254) }, { port: 0 }, { port: 65_536 }, { port: '7' }],
    ...[{ fingerprint: 'AB' }, { machines: -1 }, { machines: 0.5 }, { maxMachines: 0 }, { maxMachines: 1e9 }],
    ...[{ leaseMs: 99 }, { leaseMs: 600_001 }, { leaseMs: null }, { leaseMs: '15000' }],
  ])('with %j is not', (changes) => {
    const text = JSON.stringify({ protocol: 1, ...good, ...changes })
    expect(decodeAnnouncement(new TextEncoder().encode(text))).toBe(null)
  })

  test.each(['', '{', 'null', '[]', '7', '"x"', '[[[['])('%j is none', (text) => {
    expect(decodeAnnouncement(new TextEncoder().encode(text))).toBe(null)
  })
})
