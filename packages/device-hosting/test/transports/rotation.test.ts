/** Certificates that are replaced while machines are connected, and lists of those that are revoked. */
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls, type PeerCertificate } from 'node:tls'
import { defineDevice } from '@retrap/device'
import { createIoRequest, IOREQ_READ, IOREQ_TYPE_PIO, STATUS_RETRY } from '@retrap/ioreq'
import {
  authority,
  devices,
  devicesRenewed,
  machine,
  machineRenewed,
  noneRevoked,
  oldList,
  otherAuthority,
  secondMachine,
  secondRevoked,
} from '@retrap/tooling/certificates'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  connectDeviceServer,
  type DeviceServerConnection,
  serveDevices,
  type SocketTransport,
  type TlsFiles,
  WatchedTlsFiles,
} from '../../src/node/index.ts'
import { makeMachine } from '../machine.ts'

const DEADLINE_MS = 60_000
const PORT = 0x100
const open: { close(): unknown }[] = []
let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retrap-rotation-'))
})
afterEach(async () => {
  for (const one of open.splice(0).toReversed()) await one.close()
  await rm(folder, { recursive: true })
})

const tick = (ms = 0): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))
const until = async (what: () => boolean): Promise<void> => {
  for (const end = performance.now() + DEADLINE_MS / 2; !what() && performance.now() < end;) await tick(1)
  if (!what()) throw new Error('it does not come to that')
}

interface Pair {
  readonly cert: string
  readonly key: string
}

/** Puts a file into place, whole. */
async function put(name: string, text: string): Promise<string> {
  const path = join(folder, name)
  await writeFile(`${path}.new`, text)
  await rename(`${path}.new`, path)
  return path
}

async function filesOf(name: string, { cert, key }: Pair, crl?: string): Promise<TlsFiles> {
  return {
    cert: await put(`${name}.pem`, cert),
    key: await put(`${name}.key`, key),
    ca: await put(`${name}-ca.pem`, authority),
    ...(crl !== undefined && { crl: await put(`${name}-crl.pem`, crl) }),
  }
}

/** Devices that count their reads, and what looks at their files when it is asked. */
async function serve(crl?: string) {
  const tls = await WatchedTlsFiles.open(await filesOf('devices', devices, crl), { everyMs: 0 })
  const service = await serveDevices({ address: { port: 0 }, tls }, (server) => {
    let count = 0
    server.attach(
      defineDevice({ name: 'counter', stateless: true, ports: { base: PORT, size: 4 }, read: () => ++count }),
    )
  })
  open.push(service, tls)
  return { service, tls, port: (service.address as { readonly port: number }).port }
}

async function connect(port: number, tls: DeviceServerConnection['tls'] = { ...machine, ca: authority }) {
  const made = makeMachine({ policy: 'detach', deadlineMs: DEADLINE_MS })
  const transport: SocketTransport = await connectDeviceServer(made.dispatch, made.platform, {
    ...{ address: { port }, tls: tls!, name: 'far' },
  })
  open.push(transport)
  await transport.remote.ready
  const read = async (): Promise<number> => {
    const request = { ...createIoRequest(), type: IOREQ_TYPE_PIO, direction: IOREQ_READ, addressLo: PORT, size: 4 }
    for (
      let status = made.dispatch.submit(0, request);
      status === STATUS_RETRY;
      status = made.dispatch.requests.take(0)
    )
      await tick(1)
    return made.dispatch.lo
  }
  return { ...made, transport, read }
}

/** The certificate that a new connection is shown. */
async function shownAt(port: number): Promise<PeerCertificate> {
  const socket = connectTls({ port, host: '127.0.0.1', ca: authority, ...machine })
  await new Promise((resolve, reject) => void socket.once('secureConnect', resolve).once('error', reject))
  const certificate = socket.getPeerCertificate()
  socket.destroy()
  return certificate
}

test('a new certificate of the devices is shown to new connections, and those that exist go on', async () => {
  const { service, tls, port } = await serve()
  const { transport, read } = await connect(port)
  expect(await read()).toBe(1)
  const before = await shownAt(port)
  expect(await tls.reload()).toBe(false)
  await filesOf('devices', devicesRenewed)
  expect(await tls.reload()).toBe(true)
  const after = await shownAt(port)
  expect(after.subject).toEqual(before.subject)
  expect(after.fingerprint256).not.toBe(before.fingerprint256)
  expect([transport.connected, service.machines, await read()]).toEqual([true, 1, 2])
})

test('a session goes on with a renewed certificate of its machine', async () => {
  const { service, tls: theirs, port } = await serve()
  const tls = await WatchedTlsFiles.open(await filesOf('machine', machine), { everyMs: 0 })
  const { transport, read } = await connect(port, tls)
  expect(await read()).toBe(1)
  await filesOf('machine', machineRenewed)
  await tls.reload()
  // Another authority beside the first: connections are made again, with the certificate of now.
  await put('devices-ca.pem', authority + otherAuthority)
  await theirs.reload()
  await until(() => !transport.connected)
  expect([await read(), service.machines]).toEqual([2, 1])
})

test('files are looked at by themselves; what cannot be used is told once, and not used', async () => {
  const told: string[] = []
  let changes = 0
  const tls = await WatchedTlsFiles.open(await filesOf('one', devices), {
    everyMs: 5,
    onChanged: () => void changes++,
    onTrouble: ({ message }) => void told.push(message),
  })
  open.push(tls)
  // A certificate before its key.
  await put('one.pem', devicesRenewed.cert)
  await until(() => told.length > 0)
  await tick(50)
  expect([told, changes]).toEqual([[expect.stringMatching(/key/)], 0])
  expect(tls.identity.cert).toBe(devices.cert)
  await put('one.key', devicesRenewed.key)
  await until(() => changes === 1)
  expect(tls.identity).toEqual({ ...devicesRenewed, ca: authority })
  await rm(join(folder, 'one.key'))
  await until(() => told.length === 2)
  expect(told[1]).toMatch(/one\.key: cannot be read/)
  expect(await readFile(join(folder, 'one.pem'), 'utf8')).toBe(tls.identity.cert)
})

test('a machine whose certificate is revoked loses its devices; another one does not notice', async () => {
  const { service, tls, port } = await serve(noneRevoked)
  const first = await connect(port)
  const second = await connect(port, { ...secondMachine, ca: authority })
  expect([await first.read(), await second.read()]).toEqual([1, 1])
  await put('devices-crl.pem', secondRevoked)
  await tls.reload()
  await until(() => second.failures.length > 0)
  expect(String(second.failures[0]!.cause)).toMatch(/not trusted: CERT_REVOKED/)
  expect([await first.read(), first.failures]).toEqual([2, []])
  await expect(connect(port, { ...secondMachine, ca: authority })).rejects.toThrow(/CERT_REVOKED/)
  expect(service.machines).toBe(2)
})

test('an old list lets nobody in, and a text without a list is not used', async () => {
  const { tls, port } = await serve(oldList)
  await expect(connect(port)).rejects.toThrow(/CRL_HAS_EXPIRED/)
  await put('devices-crl.pem', noneRevoked)
  await tls.reload()
  expect(await (await connect(port)).read()).toBe(1)
  await put('devices-crl.pem', 'none')
  await expect(tls.reload()).rejects.toMatchObject({ code: 'ERR_INVALID', message: /no revocation list/ })
  // The list before is still in use.
  expect(await (await connect(port)).read()).toBe(1)
})

test('a machine holds the certificate of devices against its own list', async () => {
  const { port } = await serve()
  expect(await (await connect(port, { ...machine, ca: authority, crl: noneRevoked })).read()).toBe(1)
  await expect(connect(port, { ...machine, ca: authority, crl: oldList })).rejects.toMatchObject({
    code: 'ERR_PERMISSION',
    message: expect.stringMatching(/CRL/),
  })
})
