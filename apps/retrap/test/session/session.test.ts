import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OwnTime } from '@retrap/tooling/processor-time'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test, vi } from 'vitest'
import type { MachineExit } from '@retrap/machine'
import type { Machine, MachineOptions, MachineSnapshotSource } from '@retrap/linux-guest/machine/machine-contract'
import { runSession } from '../../src/machine/session/session.ts'
import type { SessionSettings } from '../../src/machine/session/session-settings.ts'
import { FakeHost, type FakeProgram } from '../support/fake-machine.ts'

const SETTINGS: SessionSettings = {
  machine: { memoryBytes: 64 << 20, cpus: 1, clock: 'real' },
  images: async () => ({}),
  devices: async () => ({ models: [], servers: [] }),
  serial: [{ kind: 'stdio' }],
  console: 'serial',
  snapshots: { arguments: [], onExit: undefined },
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

  test('is that of a signal that comes while the guest resets; no other machine is made', async () => {
    let made = 0
    const host = new FakeHost(async () => {
      made++
      setImmediate(() => host.signal?.('SIGINT'))
      return { reason: 'reset' }
    })
    expect([await runSession(SETTINGS, host), made]).toEqual([130, 1])
  })

  test.each<[MachineExit, number]>([
    [{ reason: 'power-off' }, 74],
    [{ reason: 'triple-fault' }, 86],
  ])('after %o is %d when images cannot be written, and each of them is named', async (exit, code) => {
    const folder = temporaryFolder('session')
    const paths = ['a.img', 'b.img', 'c.img'].map((name) => join(folder, name))
    const drives = paths.map((path) => ({ path, snapshot: false, readOnly: false }))
    for (const path of paths) await writeFile(path, new Uint8Array(512))
    const host = new FakeHost(async () => {
      for (const { medium } of (host.created[0]?.drives ?? []).slice(0, 2)) {
        vi.spyOn(medium as unknown as { close(): Promise<void> }, 'close').mockRejectedValue(new Error('no space'))
      }
      return exit
    })
    expect(await runSession({ ...SETTINGS, drives }, host)).toBe(code)
    for (const [i, path] of paths.entries()) {
      const line = `retrap: not all that the guest wrote is in ${path}: no space\n`
      expect(host.stderr.text.includes(line), host.stderr.text).toBe(i < 2)
    }
  })

  test('is 124 when the time is over', async () => {
    expect(await runSession({ ...SETTINGS, timeoutMs: 20 }, new FakeHost(forEver))).toBe(124)
  })
})

describe('a machine whose device models are not there yet', () => {
  test.each<[string, Partial<SessionSettings>, (host: FakeHost) => void, number, string]>([
    ['--timeout', { timeoutMs: 20 }, () => {}, 124, 'retrap: ended by --timeout after 0.02 s\n'],
    ['a signal', {}, (host) => host.signal?.('SIGINT'), 130, ''],
  ])('does not hold up %s, and is closed when it is made', async (_what, settings, act, code, text) => {
    const made = Promise.withResolvers<Machine>()
    const closed = Promise.withResolvers<void>()
    const host = Object.assign(new FakeHost(forEver), { createMachine: () => made.promise })
    setTimeout(() => act(host), 10)
    expect(await runSession({ ...SETTINGS, ...settings }, host)).toBe(code)
    expect([host.stderr.text, host.abandoned]).toEqual([text, true])
    const machine = await new FakeHost(forEver).createMachine({ ...SETTINGS.machine, devices: [], deviceServers: [] })
    made.resolve({ ...machine, close: () => closed.resolve() })
    await closed.promise
  })

  test('and is not even begun where --timeout passes while its models are loaded', async () => {
    const host = new FakeHost(forEver)
    const devices = (): Promise<never> => new Promise(() => {})
    expect(await runSession({ ...SETTINGS, devices, timeoutMs: 20 }, host)).toBe(124)
    expect([host.created, host.abandoned]).toEqual([[], true])
  })

  test('is closed where the session cannot adopt it', async () => {
    const close = vi.fn<() => void>()
    const host = new FakeHost(forEver)
    const { createMachine } = host
    const attach = (): void => {
      throw new Error('no')
    }
    Object.assign(host, {
      createMachine: async (options: MachineOptions) => ({ ...(await createMachine(options)), close }),
    })
    await expect(runSession({ ...SETTINGS, trace: { attach, end() {} } }, host)).rejects.toThrow('no')
    expect(close).toHaveBeenCalledOnce()
  })
})

describe('what is told while a saved machine is read', () => {
  test.each([
    { stdout: true, stderr: true, told: '' },
    { stdout: false, stderr: true, told: 'retrap: 50 % of its memory has been read\n' },
    { stdout: true, stderr: false, told: 'retrap: 50 % of its memory has been read\n' },
  ])('with terminals at $stdout, $stderr', async ({ stdout, stderr, told }) => {
    const host = new FakeHost(async () => ({ reason: 'power-off' }))
    Object.assign(host.stdout, { isTTY: stdout })
    Object.assign(host.stderr, { isTTY: stderr })
    const restore = (tell: (text: string) => void): Promise<MachineSnapshotSource> => {
      tell('50 % of its memory has been read')
      return Promise.resolve({} as MachineSnapshotSource)
    }
    expect(await runSession({ ...SETTINGS, restore }, host)).toBe(0)
    expect([host.stdout.text, host.stderr.text]).toEqual(['', told])
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
    setImmediate(() => host.stdout.emit('error', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })))
    expect(await run).toBe(141)
    expect(host.stderr.text).toBe('')
  })

  test('that cannot be written ends the run with a reason', async () => {
    const host = new FakeHost(forEver)
    const run = runSession(SETTINGS, host)
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
    setImmediate(() => host.stdout.emit('error', full))
    expect(await run).toBe(74)
    expect(host.stderr.text).toBe('retrap: cannot write the output: ENOSPC: no space left on device, write\n')
  })

  test('is left alone where the serial port goes to a file', async () => {
    const path = join(tmpdir(), `retrap-serial-${process.pid}`)
    const host = new FakeHost(async ({ print }) => {
      print('to the file\n')
      return { reason: 'power-off' }
    })
    expect(await runSession({ ...SETTINGS, serial: [{ kind: 'file', path }] }, host)).toBe(0)
    expect(await readFile(path, 'utf8')).toBe('to the file\n')
    expect(host.stdout.text).toBe('')
  })

  test('is the console of a chardev, which gets what is typed', async () => {
    const heard: string[] = []
    const chardevs = [{ id: 'c', target: { kind: 'stdio' } }] as const
    const virtio = [{ kind: 'console', ports: [{ chardev: 'c', console: true }] }] as const
    const host: FakeHost = new FakeHost(async () => {
      const [device] = host.created[0]?.virtio ?? []
      if (device?.kind !== 'console') return expect.unreachable()
      const { stream } = device.ports[0]!
      const typed = new Promise<void>((resolve) =>
        stream.connect?.({
          receive(bytes) {
            heard.push(new TextDecoder().decode(bytes))
            resolve()
            return bytes.length
          },
          drained() {},
        }),
      )
      stream.send(new TextEncoder().encode('to the console\n'))
      setImmediate(() => type(host, 'keys'))
      await typed
      return { reason: 'power-off' }
    })
    expect(await runSession({ ...SETTINGS, serial: [{ kind: 'none' }], chardevs, virtio }, host)).toBe(0)
    expect([host.stdout.text, heard]).toEqual(['to the console\n', ['keys']])
  })

  test('file that cannot be written is an error that names it', async () => {
    const serial = [{ kind: 'file', path: '/nonexistent/log' }] as const
    await expect(runSession({ ...SETTINGS, serial }, new FakeHost(forEver))).rejects.toThrow(
      'cannot write /nonexistent/log',
    )
  })
})

describe('a reader that stalls', () => {
  test('has the machine wait, and go on when it reads again', async () => {
    let runs = 0
    const host: FakeHost = new FakeHost(() => {
      runs++
      if (runs === 2) return Promise.resolve({ reason: 'power-off' })
      host.stdout.writableLength = 2 << 20
      setTimeout(() => (host.stdout.writableLength = 0), 200)
      return new Promise(() => {})
    })
    const started = performance.now()
    expect(await runSession(SETTINGS, host)).toBe(0)
    expect(runs).toBe(2)
    expect(performance.now() - started).toBeGreaterThan(150)
    expect(host.abandoned).toBe(false)
  })

  test.each<[string, Partial<SessionSettings>, (host: FakeHost) => void, number]>([
    ['--timeout', { timeoutMs: 300 }, () => {}, 124],
    ['a signal', {}, (host) => host.signal?.('SIGTERM'), 143],
    ['Ctrl-A x', {}, (host) => type(host, '\u0001x'), 0],
  ])('does not hold up %s, and what is lost is said', async (_what, settings, act, code) => {
    const host = new FakeHost(forEver)
    host.stdout.writableLength = 2 << 20
    const time = new OwnTime()
    const run = runSession({ ...SETTINGS, ...settings }, host)
    setTimeout(() => act(host), 100)
    expect(await run).toBe(code)
    expect(time.milliseconds()).toBeLessThan(5000)
    expect(host.stderr.text).toContain('2097152 bytes of output are lost: their reader did not take them')
    expect(host.abandoned).toBe(true)
  })

  test.each([
    ['SIGTERM', (host: FakeHost) => host.signal?.('SIGTERM'), 1, 'another one ends the run'],
    ['Ctrl-A p', (host: FakeHost) => type(host, '\u0001p'), 1, ''],
  ])('%s presses the power button of a guest that heeds it', async (_what, act, pressed, says) => {
    const host = new FakeHost(async () => {
      await new Promise((resolve) => setTimeout(resolve, 300))
      return { reason: 'power-off' }
    })
    host.heedsPowerButton = true
    const run = runSession(SETTINGS, host)
    setTimeout(() => act(host), 100)
    expect(await run).toBe(0)
    expect(host.pressed).toBe(pressed)
    expect(host.stderr.text).toContain(says)
  })

  test('SIGTERM ends the run of a machine whose board hangs', async () => {
    const host = new FakeHost(forEver)
    host.answersPowerButton = false
    const run = runSession(SETTINGS, host)
    setTimeout(() => host.signal?.('SIGTERM'), 50)
    expect(await run).toBe(143)
    expect(host.pressed).toBe(1)
  })

  test('a second SIGTERM ends the run of a guest that heeds the power button and goes on', async () => {
    const host = new FakeHost(forEver)
    host.heedsPowerButton = true
    const run = runSession(SETTINGS, host)
    setTimeout(() => host.signal?.('SIGTERM'), 50)
    setTimeout(() => host.signal?.('SIGTERM'), 150)
    expect(await run).toBe(143)
    expect(host.pressed).toBe(1)
  })

  test('gets the last words of a guest that powers off', async () => {
    const host = new FakeHost(async () => ({ reason: 'power-off' }))
    host.stdout.writableLength = 100
    setTimeout(() => (host.stdout.writableLength = 0), 600)
    const started = performance.now()
    expect(await runSession(SETTINGS, host)).toBe(0)
    expect(performance.now() - started).toBeGreaterThan(550)
    expect([host.stderr.text, host.abandoned]).toEqual(['', false])
  })
})

describe('what nothing catches', () => {
  test.each([
    ['an error', new Error('in a timer'), /in a timer/],
    ['a value that cannot be printed', Object.create(null), /a value that cannot be printed/],
  ])('%s ends the run with 70', async (_what, thrown, text) => {
    const host = new FakeHost(forEver)
    const run = runSession(SETTINGS, host)
    setImmediate(() => host.uncaught?.(thrown))
    expect(await run).toBe(70)
    expect(host.stderr.text).toMatch(/^retrap: nothing caught what was thrown, by a device module or by retrap: /)
    expect(host.stderr.text).toMatch(text)
    expect(host.uncaught).toBeUndefined()
  })
})

test('--timeout ends the process amid a model that does not return; what follows a run has 10 s', async () => {
  const codes: (number | string)[] = []
  const stuck = (ms: number): unknown => host.stuck?.(ms, (code) => codes.push(code))
  const host = new FakeHost(async () => {
    stuck(300)
    const late = performance.now() + 2000
    vi.spyOn(performance, 'now').mockReturnValue(late)
    stuck(300)
    return { reason: 'power-off' }
  })
  const made = host.createMachine
  const createMachine = async (options: MachineOptions): Promise<Machine> => {
    const machine = await made(options)
    const close = (): void => {
      codes.push('closes')
      stuck(300)
      stuck(11_000)
    }
    return { ...machine, close }
  }
  await runSession({ ...SETTINGS, timeoutMs: 1000 }, Object.assign(host, { createMachine }))
  vi.restoreAllMocks()
  const line = 'retrap: ended by --timeout after 1 s\n'
  expect([codes, host.stderr.text, host.stuck]).toEqual([[124, 'closes', 124], line + line, undefined])
})

test('--timeout says that it ended the run', async () => {
  const host = new FakeHost(forEver)
  await runSession({ ...SETTINGS, timeoutMs: 20 }, host)
  expect(host.stderr.text).toBe('retrap: ended by --timeout after 0.02 s\n')
})

describe('a device model that ends the run with an exit code', () => {
  test.each<[number, number, string]>([
    [86, 86, 'retrap: a device model ended the run with exit code 86\n'],
    [4, 4, 'retrap: a device model ended the run with exit code 4\n'],
    [462_822_486, 86, 'retrap: a device model ended the run with exit code 86, the low 8 bits of 462822486\n'],
    [256, 0, 'retrap: a device model ended the run with exit code 0, the low 8 bits of 256\n'],
    [0, 0, ''],
    // All that isa-debug-exit can give: the program that watches it knows what they mean.
    [33, 33, ''],
    [0x1_0003, 3, ''],
  ])('%d: the process ends with %d', async (code, status, text) => {
    const host = new FakeHost(async () => ({ reason: 'debug-exit', code }))
    expect([await runSession(SETTINGS, host), host.stderr.text]).toEqual([status, text])
  })
})

test('without reboots a reset ends the run', async () => {
  const host = new FakeHost(async () => ({ reason: 'reset' }))
  expect(await runSession({ ...SETTINGS, noReboot: true }, host)).toBe(0)
  expect(host.created).toHaveLength(1)
  expect(host.stderr.text).toBe('retrap: the guest has reset the machine (--no-reboot)\n')
})

describe("a guest's panic", () => {
  const panic = 'Kernel panic - not syncing: Attempted to kill init!\r\n'
  const script = { kind: 'script', prompt: /# $/, lines: ['true'] } as const

  test.each([
    ['with its end', `${panic}CPU: 0\r\n---[ end Kernel panic - not syncing: Attempted to kill init! ]---\r\n`],
    ['whose end does not come', panic],
  ])('ends a scripted run with 90: %s', async (_what, text) => {
    const host = new FakeHost(({ print }) => {
      // In pieces, as a serial port gives it.
      for (const piece of text.match(/.{1,7}/gs) ?? []) print(piece)
      return new Promise(() => {})
    })
    expect(await runSession({ ...SETTINGS, input: script }, host)).toBe(90)
    expect(host.stderr.text).toBe("retrap: the guest's kernel has panicked: Attempted to kill init!\n")
  })

  test('is for the user to read in any other run', async () => {
    const host = new FakeHost(async ({ print }) => {
      print(panic)
      await new Promise((resolve) => setTimeout(resolve, 1200))
      return { reason: 'power-off' }
    })
    expect(await runSession(SETTINGS, host)).toBe(0)
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
  expect([host.created.length, host.timeouts.length]).toEqual([1, 1])
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
