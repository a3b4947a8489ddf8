// Devices of one host in machines of another, over TLS: `retrap device-server`, and `--device-server`.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { authority, devices, devicesRenewed, machine, machineOther } from '@retrap/tooling/certificates'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseDeviceServer } from '../../src/devices/device-servers.ts'
import { retrapCommand, runRetrap } from '../support/processes.ts'

const DEADLINE_MS = 120_000
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'retrap-device-server-')))

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

let server: ChildProcess
let port = ''
let said = ''
beforeAll(async () => {
  const listen = `tls://127.0.0.1:0?${keysOf('devices', devices)}&peer=machine.test`
  const command = retrapCommand(['device-server', write('counter.ts', MODULE), '--listen', listen])
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
  rmSync(folder, { recursive: true, force: true })
  if (server.exitCode !== null) return
  const ended = new Promise((resolve) => void server.once('exit', resolve))
  server.kill('SIGTERM')
  // It ends as it was asked to, not by the signal.
  expect(await ended).toBe(0)
}, DEADLINE_MS)

const run = (identity: typeof machine, name: string) =>
  runRetrap(['--device-server', `tls://127.0.0.1:${port}?${keysOf(name, identity)}`], {
    input: 'memory FED90000\noff\n',
    deadlineMs: DEADLINE_MS,
  })

test(
  'each machine has devices of its own of the other host',
  async () => {
    const [one, two] = await Promise.all([run(machine, 'one'), run(machine, 'two')])
    for (const { code, stdout, stderr } of [one, two]) {
      expect([code, stderr]).toEqual([0, ''])
      expect(stdout).toMatch(/^ {2}fed90000 {2}00000001 00001234 /m)
    }
  },
  DEADLINE_MS,
)

test(
  'a machine whose certificate is not trusted is told so',
  async () => {
    const { code, stderr } = await run(machineOther, 'other')
    expect([code, stderr]).toEqual([2, expect.stringContaining('refused: your certificate is not trusted')])
  },
  DEADLINE_MS,
)

test(
  'certificates are read again at SIGHUP',
  async () => {
    keysOf('devices', devicesRenewed)
    server.kill('SIGHUP')
    while (!said.includes('the certificates have changed')) await new Promise((resolve) => setTimeout(resolve, 10))
    const shown = connectTls({ port: Number(port), host: '127.0.0.1', ca: authority, ...machine })
    await once(shown, 'secureConnect')
    expect(shown.getPeerX509Certificate()?.toString().trim()).toBe(devicesRenewed.cert.trim())
    shown.destroy()
  },
  DEADLINE_MS,
)

test.each([
  ['tcp://h:1', /is no address; give tls:/],
  ['tls://h?cert=a&key=b&ca=c', /is no address/],
  ['tls://h:0?cert=a&key=b&ca=c', /port 0: expected 1 to 65535/],
  ['tls://h:1?cert=a&key=b', /needs ca=FILE/],
  ['tls://h:1?cert=a&key=b&ca=c&caa=d', /has no 'caa'; it has cert, key, ca, crl, peer, token, reconnect/],
  ['tls://u:p@h:1?cert=a&key=b&ca=c', /nothing but a host/],
  ['tls://h:1/x?cert=a&key=b&ca=c', /nothing but a host/],
  ['tls://h:1?cert=a&key=b&ca=c&reconnect=never', /reconnect=never is not a time/],
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
