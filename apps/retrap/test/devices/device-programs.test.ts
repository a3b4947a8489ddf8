// Programs in any language as devices: how they are started, what they say, how they end, and what a guest has of it.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { armImage, POWER_OFF } from '@retrap/tooling/arm-image'
import { describe, expect } from 'vitest'
import { boundedLog } from '../../src/machine/devices/device-programs.ts'
import { type HereOptions, runHere } from '../support/in-process.ts'
import { type ProcessOptions, retrapCommand, runRetrap } from '../support/processes.ts'

/** Compilers and machines are started: a run has a part of it. */
const test = sliceTests(3)

const DEADLINE_MS = 60_000
const RAW = fileURLToPath(new URL('../support/raw-device.mjs', import.meta.url))
const raw = (how: string, environment = ''): string => `exec:${environment}${process.execPath} ${RAW} ${how}`
const READS = 'memory FED90000\noff\n'
/** The device's first register. */
const READ = /^ {2}fed90000 {2}00000015 00000000 /m
const GONE = /^ {2}fed90000 {2}ffffffff ffffffff /m

const folder = temporaryFolder('device-programs')

const run = (device: string, ...args: readonly string[]) =>
  runHere(['--device', device, ...args], { input: READS, deadlineMs: DEADLINE_MS })

const STAYS = /^raw-device.mjs: processes (\d+) (\d+)$/m

/** Whether a process executes; the host may keep the number of one that has ended. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !existsSync('/proc/self') || !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

describe.concurrent('a program ends with its machine, however it clings, and with all that it has started:', () => {
  const type = (text: string) => ({ answers: [{ to: 'retrap> ', type: text }] })
  const crash = ['--device', raw('dies', 'BASE=0xfeda0000 ')]
  const terminate = (text: string, send: (signal: 'SIGTERM') => void): void => {
    if (text.endsWith('> ')) send('SIGTERM')
  }
  test.for<readonly [string, readonly string[], Partial<HereOptions>, number | null]>([
    ['the guest’s power-off', [], { input: 'off\n' }, 0],
    ['--timeout', ['--timeout', '4'], type('echo\n'), 124],
    ['Ctrl-A x', [], type('\u0001x'), 0],
    ['a signal', [], { ...type('echo\n'), onOutput: terminate }, 143],
    ['another device’s error at the start', ['--device', 'exec:sleep 0.2; exit 7'], {}, 2],
    ['a crash of the domain', crash, { input: 'memory FEDA0000\n' }, 70],
  ])('by %s', { timeout: DEADLINE_MS }, async ([, args, options, code], { expect: expects }) => {
    const end = await runHere(['--device', raw('stays'), ...args], { deadlineMs: DEADLINE_MS, ...options })
    expects(end.code).toBe(code)
    // On a busy host its time may be over before the program has begun.
    if (code !== 124) expects(end.stderr).toMatch(STAYS)
    const pids = (STAYS.exec(end.stderr) ?? []).slice(1).map(Number)
    await expects.poll(() => pids.filter(isAlive), { timeout: 10_000 }).toEqual([])
  })

  test.for<readonly [string, string, Partial<ProcessOptions>, number]>([
    ['has ended', '', { input: 'off\n' }, 0],
    ['is ended before it is ready', 'MUTE=1 ', { onError: (_text, pid) => void process.kill(pid, 'SIGTERM') }, 143],
  ])('nothing is left of it when retrap %s', { timeout: DEADLINE_MS }, async ([, environment, options, code]) => {
    const device = raw('stays', environment)
    const end = await runRetrap(['--device', device], { deadlineMs: DEADLINE_MS, ...options })
    expect(STAYS.exec(end.stderr)!.slice(1).map(Number).filter(isAlive)).toEqual([])
    expect(end.code).toBe(code)
  })

  test('a killed retrap is told by the end of the socket', { timeout: DEADLINE_MS }, async ({ expect: expects }) => {
    const end = await runRetrap(['--device', raw('waits')], {
      ...{ input: READS, deadlineMs: DEADLINE_MS },
      onError: (text, pid) => void (text.includes('asked') && process.kill(pid, 'SIGKILL')),
    })
    const [, pid] = /asked (\d+)/.exec(end.stderr)!
    await expects.poll(() => isAlive(Number(pid))).toBe(false)
  })

  test('its words come line by line, behind its name', { timeout: DEADLINE_MS }, async () => {
    const { code, stdout, stderr } = await runRetrap(['--device', raw('talks')], {
      ...{ input: READS, deadlineMs: DEADLINE_MS },
    })
    const said = ['a third\\x1b[2J', 'and another', 'one line'].map((line) => `raw-device.mjs: ${line}`)
    expect(stderr.trimEnd().split('\n').toSorted()).toEqual(said)
    expect([code, stdout]).toEqual([0, expect.stringMatching(READ)])
  })
})

describe('a program that fails ends the machine with one sentence:', () => {
  const start = 'retrap: the device models cannot be started: device server exec:'
  test.each([
    ['its message', "'forges a fault'", []],
    ['its end', "'forges an end'", []],
    ['the message of one that is taken out', "'forges a fault'", ['--device-failure', 'detach']],
  ] as const)(
    '%s gives the terminal no orders, and is no line of ours',
    { timeout: DEADLINE_MS },
    async (_what, how, more) => {
      const { stderr } = await run(raw(how), ...more)
      const lines = stderr.trimEnd().split('\n')
      expect(lines.filter((line) => line.startsWith('retrap:'))).toHaveLength(1)
      expect(lines.join('')).not.toMatch(/[\p{Cc}\p{Cf}]/u)
      expect(lines.find((line) => line.startsWith('raw-device.mjs: '))).toBe(
        'raw-device.mjs: log\\x1b[2J\\u009b31m retrap: fine\\u202e',
      )
      expect(stderr.length).toBeLessThan(20_000)
    },
  )

  test.each<readonly [string, string, number, RegExp]>([
    ['it is not there', 'exec:./no-such --x', 2, /no-such --x: its program cannot be started: .* check its name/],
    ['it may not be executed', 'exec:/dev/null', 2, /cannot be started: the shell may not execute it/],
    ['it ends at once', 'exec:exit 7', 2, /exit 7: its program ended with status 7/],
    ['it says nothing', `${raw('mute')},ready=0.3`, 2, /was not ready within 0.3 s: it has not answered hello/],
    ['it is never ready', `${raw('never-ready')},ready=2`, 2, /2 s: it has declared one device, and ready is/],
    ['it speaks an older version', raw('old'), 2, /speaks version 4: expected 5; build it against/],
    [
      'it dies',
      raw('dies'),
      70,
      /^retrap: the device failed: raw-device\.mjs \(mmio read .*\): its program ended with status 3$/,
    ],
    [
      'it is killed',
      raw('killed'),
      70,
      /^retrap: the device failed: raw-device\.mjs \(mmio .*\): its program was ended by SIGKILL$/,
    ],
    ['it leaves its socket to a child', raw('leaves'), 70, /its program ended with status 4$/m],
  ])('%s', { timeout: DEADLINE_MS }, async (_what, device, code, line) => {
    const end = await run(device)
    const lines = end.stderr.trimEnd().split('\n')
    const [, left] = /left (\d+)$/m.exec(end.stderr) ?? []
    if (left !== undefined) process.kill(Number(left))
    expect(lines.at(-1)).toMatch(line)
    expect(lines.filter((each) => each.startsWith('retrap:')).length).toBe(1)
    expect(end.code).toBe(code)
    if (code === 2) expect(lines.at(-1)).toContain(start)
  })
})

/** Numbers of frames that are answered. */
const [HELLO, READ_FRAME, TIMER, SAVE, RESTORE, QUIESCE] = [2, 3, 6, 10, 11, 12]
const silent = (kind: number, how = 'answers'): string => raw(how, `SILENT=${kind} `)
const saved = join(folder, 'saved')
const SAVES = ['--device-deadline', '0.5', '--save-on-exit', saved]
const LEAVES = { answers: [{ to: 'retrap> ', type: '\u0001x' }] }

/** An arm64 Image: reads the device, prints the byte and whether SPI 40, interrupt 72, is pending at the distributor, and powers off. */
function kernel(): Uint8Array {
  const program = [
    0xd2a1_2001, // mov x1, #0x9000000
    0xd2a1_6004, // mov x4, #0xb000000
    0xd2a1_0005, // mov x5, #0x8000000
    0x1280_0003, // mov w3, #-1
    0xb900_88a3, // str w3, [x5, #0x88]: GICD_IGROUPR2
    0xb940_0082, // ldr w2, [x4]
    0x1101_0042, // add w2, w2, #64
    0xb900_0022, // str w2, [x1]
    0xb942_08a2, // ldr w2, [x5, #0x208]: GICD_ISPENDR2
    0x5308_2042, // ubfx w2, w2, #8, #1
    0x1100_c042, // add w2, w2, #48
    0xb900_0022, // str w2, [x1]
    ...POWER_OFF,
  ]
  return armImage(...program)
}

describe('a program whose range is not free is refused, with whose range it is:', () => {
  const arm = ['run', '--arch', 'arm64', '--kernel']
  test.each<readonly [string, string, readonly string[], RegExp]>([
    ['COM1', 'SPACE=0 BASE=0x3f0 BYTES=16', [], /port range 0x3f0–0x3ff is over one of serial-3f8;/],
    ['PIC', 'SPACE=0 BASE=0x21 BYTES=1', [], /port range 0x21–0x21 is over one of i8259 master;/],
    ['0xCF8', 'SPACE=0 BASE=0xcfc BYTES=4', [], /port range 0xcfc–0xcff is over one of PCI configuration space;/],
    ['RAM', 'BASE=0x3fff000 BYTES=8192', [], /mmio range 0x3fff000–0x4000fff is over one of guest memory;/],
    ['local APIC', 'BASE=0xfee00000', [], /mmio range 0xfee00000–0xfee00fff is over one of local APIC;/],
    ['I/O APIC', 'BASE=0xfec00ff0 BYTES=16', [], /over one of ioapic;/],
    ['HPET of a board in a Worker', 'BASE=0xfed00000', ['--devices', 'worker'], /over one of board;/],
    ['GIC', 'BASE=0x8000000', arm, /over one of gic/],
    ['UART', 'BASE=0x9000000', arm, /over one of \S*(uart|serial|pl011)/],
    ['RAM of an Arm board', 'BASE=0x40000000', arm, /over one of guest memory;/],
  ])('%s', { timeout: DEADLINE_MS }, async (_whose, place, given, said) => {
    const image = join(folder, 'any-kernel')
    writeFileSync(image, kernel())
    const args = [...given, ...(given === arm ? [image] : []), '--device', raw('answers', `${place} `)]
    const end = await runHere(args, { input: READS, deadlineMs: DEADLINE_MS })
    expect(end).toMatchObject({ code: 2, stderr: expect.stringMatching(said) as string })
    expect(end.stderr.match(/raw-device\.mjs/g)).toHaveLength(1)
  })
})

describe('a program that never answers one kind of frame has a sentence within the deadline:', () => {
  test.each<readonly [string, string, readonly string[], Partial<HereOptions>, number, RegExp]>([
    ['hello', silent(HELLO), [], {}, 2, /not ready within 5 s: it has not answered hello/],
    ['read', silent(READ_FRAME), ['--device-deadline', '0.5'], { input: READS }, 70, /no answer within 500 ms/],
    ['timer', silent(TIMER, 'arms'), ['--deterministic', '--device-deadline', '0.5'], {}, 70, /not settled within 500/],
    ['save', silent(SAVE), SAVES, LEAVES, 74, /save took longer than 500/],
    ['quiesce', silent(QUIESCE), SAVES, LEAVES, 74, /quiesce took longer/],
  ])('%s', { timeout: DEADLINE_MS }, async (_kind, device, args, options, code, said) => {
    const end = await runHere(['--device', device, ...args], { deadlineMs: DEADLINE_MS, ...options })
    expect(end).toMatchObject({ code, stderr: expect.stringMatching(said) as string })
  })

  test('restore', { timeout: DEADLINE_MS }, async () => {
    const device = silent(RESTORE)
    expect(await runHere(['--device', device, ...SAVES], { ...LEAVES, deadlineMs: DEADLINE_MS })).toMatchObject({
      code: 0,
    })
    const end = await runHere(['restore', saved], { deadlineMs: DEADLINE_MS })
    expect(end).toMatchObject({ code: 2, stderr: expect.stringMatching(/restore took longer than 500 ms/) as string })
  })
})

describe.concurrent('while a program does not answer, a second signal ends the process in 2 s:', () => {
  test.for([
    [HELLO, 'SIGTERM'],
    [READ_FRAME, 'SIGINT'],
    [SAVE, 'SIGTERM'],
    [SAVE, 'SIGINT'],
    [QUIESCE, 'SIGINT'],
  ] as const)('frame %i, %s', { timeout: DEADLINE_MS }, async ([kind, signal], { expect: expects }) => {
    let second = 0
    const twice = (pid: number): void => {
      if (second > 0) return
      second = Infinity
      process.kill(pid, signal)
      setTimeout(() => {
        if (!isAlive(pid)) return
        second = performance.now()
        process.kill(pid, signal)
      }, 500)
    }
    const end = await runRetrap(
      ['--device', silent(kind, 'stays'), '--save-on-exit', join(folder, `signalled-${kind}`)],
      {
        ...{ answers: [{ to: 'retrap> ', type: 'memory FED90000\n' }], deadlineMs: DEADLINE_MS },
        onOutput: (text, pid) => text.includes(kind === READ_FRAME ? 'memory FED90000' : 'retrap> ') && twice(pid),
        onError: (_text, pid) => kind === HELLO && twice(pid),
      },
    )
    // It may have ended before the second one. A busy host takes longer to end a process; the save would take 10 s.
    if (second < Infinity) expects(performance.now() - second).toBeLessThan(5000)
    expects(end.code).toBe(signal === 'SIGTERM' ? 143 : 130)
    const pids = (STAYS.exec(end.stderr) ?? []).slice(1).map(Number)
    await expects.poll(() => pids.filter(isAlive), { timeout: 10_000 }).toEqual([])
  })
})

test(
  'with --device-failure detach the guest goes on, and a reset starts the program anew, at the same place',
  { timeout: DEADLINE_MS },
  async () => {
    const died = join(folder, 'died')
    const devices = [raw(`pci-dies-once ${died}`), raw('resets', 'BASE=0xfeda0000 ')]
    const commands = ['memory FED90000', 'devices', 'memory FEDA0000', 'memory FED90000', 'off']
    const { code, stdout, stderr } = await runHere(
      ['--device-failure', 'detach', ...devices.flatMap((device) => ['--device', device])],
      { answers: commands.map((command) => ({ to: 'retrap> ', type: `${command}\n` })), deadlineMs: DEADLINE_MS },
    )
    const [boot = '', first = '', list = '', ...again] = stdout.split('retrap> ')
    const FUNCTION = '00:10.0  1af4:10f0'
    expect(boot).toContain(FUNCTION)
    expect(first).toMatch(GONE)
    expect(list).not.toContain(FUNCTION)
    expect(again.join('')).toContain(FUNCTION)
    expect(again.join('')).toMatch(READ)
    expect(stderr).toMatch(/was taken out: .*its program ended with status 3\n$/)
    expect(code).toBe(0)
  },
)

describe('on deterministic time, with --device-deadline off,', () => {
  const off = ['--deterministic', '--device-deadline']
  const go = (how: string, deadline: string, ...more: readonly string[]) => {
    let isAsked = false
    return runRetrap(['--device', raw(how), ...off, deadline, ...more], {
      ...{ input: READS, deadlineMs: DEADLINE_MS },
      // A program that has stopped goes on a while later.
      onError(text) {
        const [, pid] = /asked (\d+)\n/.exec(text) ?? []
        if (pid === undefined || isAsked || how !== 'stops' || deadline !== 'off') return
        isAsked = true
        setTimeout(() => process.kill(Number(pid), 'SIGCONT'), 1500)
      },
    })
  }

  test(
    'a guest waits for a program that a debugger has stopped, and does not notice',
    { timeout: DEADLINE_MS },
    async () => {
      const [stopped, plain, limited] = await Promise.all([
        go('stops', 'off'),
        go('answers', 'off'),
        go('stops', '0.5'),
      ])
      expect(stopped.stdout).toBe(plain.stdout)
      expect(plain).toMatchObject({ code: 0, stdout: expect.stringMatching(READ) as string })
      expect(limited).toMatchObject({ code: 70, stderr: expect.stringContaining('no answer within 500 ms') as string })
    },
  )

  test('--timeout and Ctrl-A x end it meanwhile', { timeout: DEADLINE_MS }, async () => {
    const child = spawn(process.execPath, retrapCommand(['--device', raw('waits'), ...off, 'off']))
    child.stdin.write('memory FED90000\n')
    child.stderr.once('data', () => child.stdin.write('\u0001x'))
    const [timed, [code]] = await Promise.all([go('waits', 'off', '--timeout', '2'), once(child, 'exit')])
    expect([timed.code, code]).toEqual([124, 0])
  })
})

describe('an Arm board', () => {
  test('reads a program’s register, and has its interrupt at its SPI', { timeout: DEADLINE_MS }, async () => {
    const image = join(folder, 'kernel')
    writeFileSync(image, kernel())
    const board = ['run', '--arch', 'arm64', '--kernel', image, '--memory', '64M']
    const device = raw('interrupts', 'BASE=0xb000000 IRQ=72 ')
    const end = await runHere([...board, '--device', device], { deadlineMs: DEADLINE_MS })
    // 0x15 + 0x40, and the interrupt came before the answer.
    expect(end).toEqual({ code: 0, stdout: 'U1', stderr: '' })
  })
})

describe('a program that sends as fast as it can leaves the guest its time:', () => {
  test.each(['lines', 'memory'])('%s', { timeout: DEADLINE_MS }, async (what) => {
    const { code, stdout } = await run(raw(`floods-${what}`))
    expect([code, stdout]).toEqual([0, expect.stringMatching(READ)])
  })
})

test('lines that nobody takes are counted, and a long one is cut', () => {
  const told: string[] = []
  const output = { writableLength: 0 }
  const log = boundedLog((line) => void told.push(line), output)
  log('one')
  output.writableLength = 2 << 20
  for (let i = 0; i < 1000; i++) log('more')
  output.writableLength = 0
  log('x'.repeat(1e6))
  expect(told).toEqual(['one', '1000 lines more, which stderr had no room for', `${'x'.repeat(4096)}…`])
})
