// Devices of one host in machines of another, over TLS: `retrap device-server`, and `--device-server`.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { realpathSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { authority, devices, devicesRenewed, machine, machineOther } from '@retrap/tooling/certificates'
import { hasProgram } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readDeviceServer, parseAnnounce, parseDeviceServer } from '../../src/machine/devices/device-servers.ts'
import { retrapCommand, runRetrap } from '../support/processes.ts'

const DEADLINE_MS = 120_000
const folder = realpathSync(temporaryFolder('device-server'))

/** Counts its reads. */
const MODULE = `
import { defineDevice } from '@retrap/device'
let reads = 0
export const counter = defineDevice({
  name: 'counter',
  stateless: true,
  mmio: { base: 0xfed9_0000, size: 16 },
  read: (offset: number) => (offset === 0 ? ++reads : 0x1234),
})
`

const write = (name: string, text: string): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}
const keysOf = (name: string, { cert, key }: { readonly cert: string; readonly key: string }): string => {
  const files = { cert: write(`${name}.pem`, cert), key: write(`${name}.key`, key), ca: write('ca.pem', authority) }
  return `${new URLSearchParams({ ...files, token: write('token', 'a text that both know\n') })}`
}

const withNats = hasProgram('nats-server')
if (!withNats) console.warn('SKIPPED: devices that are found by NATS need nats-server')

/** Starts a NATS that asks for TLS and a password. */
async function startNats(): Promise<{ readonly process: ChildProcess; readonly port: string }> {
  const login = ['--user', 'retrap', '--pass', 'a:b']
  const tls = ['--tls', '--tlscert', write('nats.pem', devices.cert), '--tlskey', write('nats.key', devices.key)]
  const child = spawn('nats-server', ['-a', '127.0.0.1', '-p', '-1', ...login, ...tls], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  return new Promise((resolve, reject) => {
    let log = ''
    child.stderr.on('data', (bytes: Buffer) => {
      log += bytes.toString()
      const [, found] = /for client connections on 127\.0\.0\.1:(\d+)[^]*Server is ready/.exec(log) ?? []
      if (found !== undefined) resolve({ process: child, port: found })
    })
    child.once('exit', () => reject(new Error(`nats-server ends: ${log}`)))
  })
}
const natsAt = (natsPort: string): string =>
  `nats://127.0.0.1:${natsPort}/devices.test?${new URLSearchParams({ 'nats-ca': write('nats-ca.pem', authority), 'nats-login': write('login', 'retrap:a:b\n') })}`

let nats: Awaited<ReturnType<typeof startNats>> | null = null
let server: ChildProcess
let port = ''
let said = ''
beforeAll(async () => {
  const listen = `tls://127.0.0.1:0?${keysOf('devices', devices)}&peer=machine.test`
  if (withNats) nats = await startNats()
  const announce = nats === null ? [] : ['--announce', natsAt(nats.port)]
  const command = retrapCommand(['device-server', write('counter.ts', MODULE), '--listen', listen, ...announce])
  server = spawn(process.execPath, command, { stdio: ['ignore', 'ignore', 'pipe'] })
  port = await new Promise<string>((resolve, reject) => {
    server.stderr!.on('data', (bytes: Buffer) => {
      said += bytes.toString()
      const [, found] = /devices are served at 127\.0\.0\.1:(\d+) /.exec(said) ?? []
      if (found !== undefined) resolve(found)
    })
    server.once('exit', () => reject(new Error(`it ends: ${said}`)))
  })
}, DEADLINE_MS)
afterAll(async () => {
  if (server.exitCode !== null) return
  const ended = new Promise((resolve) => void server.once('exit', resolve))
  server.kill('SIGTERM')
  // It ends as it was asked to, not by the signal.
  expect(await ended).toBe(0)
  nats?.process.kill()
}, DEADLINE_MS)

const run = (identity: typeof machine, name: string, at = `tls://127.0.0.1:${port}?`) =>
  runRetrap(['--device-server', `${at}${keysOf(name, identity)}`], {
    input: 'memory FED90000\noff\n',
    deadlineMs: DEADLINE_MS,
  })

test(
  'each machine has devices of its own of the other host, which one of them finds by a name',
  async () => {
    const found = nats === null ? run(machine, 'two') : run(machine, 'two', `${natsAt(nats.port)}&`)
    const [one, two] = await Promise.all([run(machine, 'one'), found])
    for (const { code, stdout, stderr } of [one, two]) {
      expect([code, stderr]).toEqual([0, ''])
      expect(stdout).toMatch(/^ {2}fed90000 {2}00000001 00001234 /m)
    }
  },
  DEADLINE_MS,
)

test('a machine whose certificate is not trusted is told so', { timeout: DEADLINE_MS }, async () => {
  const { code, stderr } = await run(machineOther, 'other')
  expect([code, stderr]).toEqual([2, expect.stringContaining('refused: your certificate is not trusted')])
})

test('certificates are read again at SIGHUP', { timeout: DEADLINE_MS }, async () => {
  keysOf('devices', devicesRenewed)
  server.kill('SIGHUP')
  while (!said.includes('the certificates have changed')) await new Promise((resolve) => setTimeout(resolve, 10))
  const shown = connectTls({ port: Number(port), host: '127.0.0.1', ca: authority, ...machine })
  await once(shown, 'secureConnect')
  expect(shown.getPeerX509Certificate()?.toString().trim()).toBe(devicesRenewed.cert.trim())
  shown.destroy()
})

test.each([
  ['tcp://h:1', /is no address; give tls:/],
  ['tls://h?cert=a&key=b&ca=c', /is no address/],
  ['tls://h:0?cert=a&key=b&ca=c', /port 0: expected 1 to 65535/],
  ['tls://h:1?cert=a&key=b', /needs ca=FILE/],
  ['tls://h:1?cert=a&key=b&ca=c&caa=d', /has no 'caa'; it has cert, key, ca, crl, peer, token, reconnect/],
  ['tls://u:p@h:1?cert=a&key=b&ca=c', /nothing but a host/],
  ['tls://h:1/x?cert=a&key=b&ca=c', /nothing but a host/],
  ['tls://h:1?cert=a&key=b&ca=c&reconnect=never', /reconnect 'never' is not a time/],
])('%s is refused', (text, why) => {
  expect(() => parseDeviceServer('--device-server', text, 1)).toThrow(why)
})

test('an address has files, names, a token and a time', () => {
  expect(
    parseDeviceServer('--listen', 'tls://[::1]:7?cert=a&key=b&ca=c&peer=d&peer=e&token=f&crl=g&reconnect=0.5', 1),
  ).toEqual({
    host: '::1',
    port: 7,
    files: { cert: 'a', key: 'b', ca: 'c', crl: 'g', peers: ['d', 'e'] },
    tokenFile: 'f',
    reconnectMs: 500,
  })
})

const KEYS = 'cert=a&key=b&ca=c'
test.each([
  ['nats://h/', /expected a name of devices after the host/],
  ['nats://h/a/b', /expected a name of devices/],
  ['nats://h/a%2A', /expected a name of devices/],
  ['nats:/x', /is no address of NATS/],
  ['nats://u:p@127.0.0.1/n', /could read a password here; give nats-login=FILE/],
  [`nats://h/n?${KEYS}`, /h is another host: give nats-ca=FILE \(TLS\)/],
  [`nats://10.0.0.1/n?${KEYS}&nats-ca=d`, /10\.0\.0\.1 is another host: give nats-creds=FILE or nats-login=FILE/],
  [`nats://127.0.0.1/n?${KEYS}&nats-creds=d&nats-login=e`, /nats-creds or nats-login, not both/],
  ['nats://127.0.0.1/n?cert=a', /needs key=FILE/],
  [`nats://127.0.0.1/n?${KEYS}&host=x`, /has no 'host'; it has cert, .*, nats-ca, nats-creds, nats-login/],
])('%s is refused', (text, why) => {
  expect(() => readDeviceServer(text)).toThrow(why)
})

test('an announcement has a host, a lease, and what NATS asks for', () => {
  expect(parseAnnounce('nats://[::1]/a.b?host=c.d&lease=2s')).toEqual({
    nats: { host: '::1', port: 4222, name: 'a.b' },
    options: { host: 'c.d', leaseMs: 2000 },
  })
  expect(() => parseAnnounce('nats://localhost/a?cert=b')).toThrow(/has no 'cert'/)
  expect(() => parseAnnounce('nats://localhost/a?lease=0.5')).toThrow(/expected 1 to 600 seconds/)
  expect(parseAnnounce('nats://far:1/a?nats-ca=b&nats-creds=c').nats).toEqual({
    ...{ host: 'far', port: 1, name: 'a', caFile: 'b', credsFile: 'c' },
  })
})
