import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { MachineExit } from '@retrap/machine'
import { runSession, type SessionSettings } from '../src/session.ts'
import { FakeHost, type FakeProgram } from './support/fake-machine.ts'

const SETTINGS: SessionSettings = {
  machine: { memoryBytes: 64 << 20, cpus: 1, clock: 'real' },
  images: async () => ({}),
  devices: async () => ({ models: [], servers: [] }),
  serial: { kind: 'stdio' },
  console: 'serial',
  input: { kind: 'pass' },
}
const forEver: FakeProgram = () => new Promise(() => {})
const type = (host: FakeHost, text: string): unknown => host.stdin.emit('data', new TextEncoder().encode(text))

describe('the exit code', () => {
  test.each<[MachineExit, number]>([
    [{ reason: 'power-off' }, 0],
    [{ reason: 'debug-exit', code: 33 }, 33],
    [{ reason: 'triple-fault' }, 86],
    [{ reason: 'guest-crash' }, 88],
    [{ reason: 'suspend' }, 0],
    [{ reason: 'timeout' }, 124],
    [{ reason: 'internal-error' }, 70],
  ])('after %o is %d', async (exit, code) => {
    expect(await runSession(SETTINGS, new FakeHost(async () => exit))).toBe(code)
  })

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('after %s is %d', async (signal, code) => {
    const host = new FakeHost(forEver)
    const run = runSession(SETTINGS, host)
    await Promise.resolve()
    setImmediate(() => host.signal?.(signal))
    expect(await run).toBe(code)
    expect(host.signal).toBeUndefined()
  })

  test('is 124 when the time is over', async () => {
    expect(await runSession({ ...SETTINGS, timeoutMs: 20 }, new FakeHost(forEver))).toBe(124)
  })
})

describe('the terminal', () => {
  test('carries bytes both ways', async () => {
    const host = new FakeHost(async ({ print, typed }) => {
      print('name? ')
      const name = await typed((all) => all.endsWith('\r'))
      print(`hello ${name}`)
      return { reason: 'power-off' }
    })
    const run = runSession(SETTINGS, host)
    setImmediate(() => type(host, 'Ada\r'))
    expect(await run).toBe(0)
    expect(host.stdout.text).toBe('name? hello Ada\r')
  })

  test('prints both consoles, and types on the one that was asked for', async () => {
    const host = new FakeHost(async ({ print, printXen }) => {
      print('ttyS0 ')
      printXen('hvc0')
      await new Promise(setImmediate)
      return { reason: 'power-off' }
    })
    const run = runSession({ ...SETTINGS, console: 'xen' }, host)
    setImmediate(() => type(host, 'Ada'))
    expect(await run).toBe(0)
    expect(host.stdout.text).toBe('ttyS0 hvc0')
    expect(host.typedXen).toBe('Ada')
  })

  test('is raw while the machine runs, and then as before', async () => {
    const host = new FakeHost(forEver)
    host.stdin.isTTY = true
    const run = runSession(SETTINGS, host)
    setImmediate(() => type(host, '\u0001h\u0001x'))
    expect(await run).toBe(0)
    expect(host.stdin.rawModes).toEqual([true, false])
    expect(host.stderr.text).toContain('Ctrl-A x')
    expect(host.stdin.listenerCount('data')).toBe(0)
  })

  test('that goes away ends the run', async () => {
    const host = new FakeHost(forEver)
    const run = runSession(SETTINGS, host)
    setImmediate(() => host.stdout.emit('error', new Error('EPIPE')))
    expect(await run).toBe(141)
  })

  test('is left alone where the serial port goes to a file', async () => {
    const path = join(tmpdir(), `retrap-serial-${process.pid}`)
    const host = new FakeHost(async ({ print }) => {
      print('to the file\n')
      return { reason: 'power-off' }
    })
    expect(await runSession({ ...SETTINGS, serial: { kind: 'file', path } }, host)).toBe(0)
    expect(await readFile(path, 'utf8')).toBe('to the file\n')
    expect(host.stdout.text).toBe('')
  })

  test('file that cannot be written is an error that names it', async () => {
    const serial = { kind: 'file', path: '/nonexistent/log' } as const
    await expect(runSession({ ...SETTINGS, serial }, new FakeHost(forEver))).rejects.toThrow(
      'cannot write /nonexistent/log',
    )
  })
})

test('devices that write what they have released are named', async () => {
  const host = new FakeHost(async () => ({ reason: 'power-off' }))
  host.keptViews = [{ device: 'card', gpa: 0x1234, length: 64 }]
  expect(await runSession(SETTINGS, host)).toBe(0)
  expect(host.stderr.text).toBe(
    'device card has written a view of guest memory after its release: 64 bytes at guest address 0x1234\n',
  )
})

test('a reset starts the machine again, with what is left of the time', async () => {
  const host = new FakeHost(async ({ print }, boot) => {
    print(`boot ${boot}\n`)
    return { reason: boot === 1 ? 'reset' : 'power-off' }
  })
  expect(await runSession({ ...SETTINGS, timeoutMs: 5000, stats: 'json' }, host)).toBe(0)
  expect(host.stdout.text).toBe('boot 1\nboot 2\n')
  expect(host.timeouts[1]).toBeLessThan(5000)
  expect(JSON.parse(host.stderr.text)).toMatchObject({ resets: 1 })
})

describe('statistics', () => {
  const powerOff: FakeProgram = async () => ({ reason: 'power-off' })

  test('as JSON are one line', async () => {
    const host = new FakeHost(powerOff)
    await runSession({ ...SETTINGS, stats: 'json' }, host)
    const statistics: unknown = JSON.parse(host.stderr.text)
    expect(statistics).toMatchObject({
      reason: 'power-off',
      exitCode: 0,
      instructions: 123_456,
      tlbMisses: 78,
      exits: { hlt: 2, port: 40 },
      memory: { guestBytes: 64 << 20, residentBytes: expect.any(Number) },
      cpuSeconds: expect.any(Number),
    })
  })

  test('as text name each figure', async () => {
    const host = new FakeHost(powerOff)
    await runSession({ ...SETTINGS, stats: 'text' }, host)
    expect(host.stderr.text).toMatch(/^ended by +power-off\ninstructions +123,456\nwall time /)
    expect(host.stderr.text).toMatch(/^exits +port 40, hlt 2$/m)
  })
})

test('a crash is shown with its registers and its instruction', async () => {
  const host = new FakeHost(async () => ({
    reason: 'triple-fault',
    detail: {
      message: '#PF while #DF was delivered',
      vcpu: 2,
      registers: { RAX: 1n, RBX: -1n, RCX: 0n, RDX: 0n, RIP: 0xffffffff81000000n },
      instruction: { address: 0xffffffff81000000n, bytes: Uint8Array.of(0x0f, 0x0b), mode: 64 },
    },
  }))
  expect(await runSession(SETTINGS, host)).toBe(86)
  expect(host.stderr.text).toBe(
    `retrap: triple fault on vCPU 2: #PF while #DF was delivered
  RAX    0000000000000001  RBX    ffffffffffffffff  RCX    0000000000000000  RDX    0000000000000000
  RIP    ffffffff81000000
  ffffffff81000000  <2 bytes>
                    0f 0b
`,
  )
})
