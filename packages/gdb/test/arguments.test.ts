/** What a packet's arguments may be. Source: Debugging with GDB, appendix E.2, "Packets". */
import { describe, expect, test } from 'vitest'
import { framePacket } from '../src/index.ts'
import { connect, FakeTarget } from './support.ts'

const ARGUMENT = 'E16'
/** Right packets, whose numbers are in braces, of 64 or of 32 bits. */
const PACKETS = [
  'm{64:10},{32:2}',
  'M{64:10},{32:2}:abcd',
  'X{64:10},{32:2}:ab',
  'Z0,{64:100},{32:1}',
  'Z2,{64:100},{32:4}',
  'Hg{32:1}',
  'T{32:1}',
  'p{32:1}',
  'P{32:1}=0100000000000000',
  'c{64:100}',
  'S05;{64:100}',
  'vCont;s:{32:1}',
  'qThreadExtraInfo,{32:1}',
  'qXfer:features:read:target.xml:{32:0},{32:10}',
  'Qqemu.sstep=0x{32:1}',
]
const right = (packet: string): string => packet.replaceAll(/{\d+:(\w+)}/g, '$1')

/** Each with one number that is none, or too long. */
const WRONG = PACKETS.flatMap((packet) =>
  Array.from(packet.matchAll(/{(\d+):\w+}/g), ({ 0: { length }, 1: bits, index }) =>
    ['', 'x', '-2', '1g', '1'.repeat(Number(bits) / 4 + 1)].map((number) =>
      right(packet.slice(0, index) + number + packet.slice(index + length)),
    ),
  ).flat(),
).filter((packet) => packet !== 'c')

test.each(PACKETS.map(right))('%s is right', async (packet) => {
  expect(await connect().ask(packet)).not.toMatch(/^E/)
})

test.each([...WRONG, 'Mx,x:x', 'M,:a', 'M10:ab', 'X:', 'P1=x', 'P1', 'P1=', 'Gzz', 'G0'])(
  '%s is refused and changes nothing',
  async (packet) => {
    const { target, ask } = connect()
    expect(await ask(packet)).toBe(ARGUMENT)
    expect(target.events).toEqual(['stop'])
    expect(target.values.size).toBe(0)
    expect(Buffer.from(target.memory).equals(Buffer.alloc(target.memory.length))).toBe(true)
    expect(target.isStopped).toBe(true)
  },
)

test('numbers have up to 64 and up to 32 bits', async () => {
  const { target, ask } = connect()
  expect(await ask('Z2,fedcba9876543210,123')).toBe('OK')
  expect(target.events.at(-1)).toBe('write fedcba9876543210/291')
  expect(await ask('cFEDCBA9876543210')).toBe('')
  expect(target.values.get('0rip')).toBe(0xfedc_ba98_7654_3210n)
})

describe('signals, threads and reasons', () => {
  test.each([0, 1, 9, 10, 15, 16, 0x1e, 0x7f, 0xff])('signal %i', async (signal) => {
    const digits = signal.toString(16).padStart(2, '0')
    const told = signal === 0 ? '' : `+${signal}`
    for (const packet of [`C${digits}`, `vCont;C${digits.toUpperCase()}`]) {
      const { target, ask, taken } = connect()
      await ask(packet)
      expect(target.events.at(-1)).toBe(`resume continue${told} continue${told}`)
      target.halt({ cpu: 0, signal })
      expect(taken()).toContain(`$T${digits}thread:01;core:0;#`)
    }
  })

  test.each([
    [{ watch: { kind: 'write', address: 0x12_3456_789an } }, 'watch:123456789a;'],
    [{ watch: { kind: 'read', address: 0n } }, 'rwatch:0;'],
    [{ watch: { kind: 'access', address: 2n ** 64n - 1n } }, 'awatch:ffffffffffffffff;'],
    [{ breakpoint: 'software' }, 'swbreak:;'],
    [{ breakpoint: 'hardware' }, 'hwbreak:;'],
  ] as const)('%o', async (reason, text) => {
    const { target, ask } = connect()
    await ask('qSupported:swbreak+;hwbreak+')
    target.lastStop = { cpu: 1, signal: 5, ...reason }
    expect(await ask('?')).toBe(`T05thread:02;core:1;${text}`)
    // Each kind of breakpoint is told to who understands it.
    await ask(`qSupported:${'breakpoint' in reason && reason.breakpoint === 'software' ? 'hwbreak+' : 'swbreak+'}`)
    expect(await ask('?')).toBe(`T05thread:02;core:1;${'breakpoint' in reason ? '' : text}`)
  })

  test('of many processors, by hexadecimal numbers', async () => {
    const target = new FakeTarget()
    Object.defineProperty(target, 'cpus', { value: 0x20 })
    const { ask } = connect(target)
    target.lastStop = { cpu: 0x1e, signal: 5 }
    expect(await ask('?')).toBe('T05thread:1f;core:1e;')
    expect([await ask('T20'), await ask('T21')]).toEqual(['OK', ARGUMENT])
    expect(await ask('Hg20')).toBe('OK')
    expect(await ask('qC')).toBe('QC20')
    expect((await ask('qfThreadInfo')).split(',').slice(-2)).toEqual(['1f', '20'])
  })
})

describe('bounds', () => {
  /** Packets in one piece, before any of them is answered. */
  const sent = (count: number): string => '$qC#b4'.repeat(count)

  test('64 packets may wait behind the one at hand', async () => {
    const most = connect()
    expect((await most.raw(sent(65))).match(/QC01/g)).toHaveLength(65)
    expect(most.isOver()).toBe(false)
    const more = connect()
    await more.raw(sent(66))
    expect(more.isOver()).toBe(true)
  })

  test('a packet has 16 KiB', async () => {
    const { target, raw } = connect()
    const write = (bytes: number): Uint8Array => framePacket(`X0,${bytes.toString(16)}:${'a'.repeat(bytes)}`)
    const room = 0x4000 - 'X0,3ff7:'.length
    expect(await raw(write(room))).toBe('+$OK#9a')
    expect(target.memory.subarray(0, room).every((byte) => byte === 0x61)).toBe(true)
    expect(await raw(write(room + 1))).toBe('-')
  })

  test('1,024 actions', async () => {
    const { ask } = connect()
    expect(await ask(`vCont${';s:1'.repeat(1025)}`)).toBe(ARGUMENT)
    expect(await ask(`vCont${';s:1'.repeat(1024)}`)).toBe('')
  })

  test('an exit code has eight bits', async () => {
    for (const [code, text] of [
      [0, '$W00#'],
      [15, '$W0f#'],
      [0x1ff, '$Wff#'],
    ] as const) {
      const { session, ask, taken } = connect()
      await ask('c')
      session.exited(code)
      expect(taken()).toContain(text)
    }
    const stopped = connect()
    stopped.session.exited(0)
    expect([stopped.taken(), stopped.isOver()]).toEqual(['', true])
  })
})

test('a command has no blanks around it, and what it prints is UTF-8', async () => {
  const { target, ask } = connect()
  const commands: string[] = []
  Object.assign(target, {
    monitor: (_: number, command: string) => {
      commands.push(command)
      return Promise.resolve('é→\n')
    },
  })
  const hex = (text: string): string => Buffer.from(text).toString('hex')
  expect(await ask(`qRcmd,${hex('  info all \n')}`)).toBe(`O${hex('é→\n')}|OK`)
  expect(commands).toEqual(['info all'])
})
