import { describe, expect, test } from 'vitest'
import { DebugConsole, DebugExit, PostCodePort, ResetControl } from '../src/small-ports.ts'
import { FakeMachine } from './support/fake-machine.ts'

describe('isa-debug-exit', () => {
  test.each([
    { iosize: 1 as const, size: 1 as const, value: 0, code: 1 },
    { iosize: 1 as const, size: 1 as const, value: 0x10, code: 33 },
    { iosize: 2 as const, size: 2 as const, value: 0x1234, code: 0x2469 },
    { iosize: 4 as const, size: 4 as const, value: 0xffff_ffff, code: 0xffff_ffff },
    { iosize: 4 as const, size: 1 as const, value: 3, code: 7 },
  ])('writing $value with $size bytes to $iosize ports exits with $code', ({ iosize, size, value, code }) => {
    const machine = new FakeMachine(new DebugExit({ iobase: 0xf4, iosize }))
    machine.out(0xf4, value, size)
    expect(machine.requests).toEqual([`exit ${code}`])
    expect(machine.in(0xf4)).toBe(0)
  })

  test.each([0, 0xfffe])('can be at port %i', (iobase) => {
    const machine = new FakeMachine(new DebugExit({ iobase }))
    machine.out(iobase, 3, 1)
    expect(machine.requests).toEqual(['exit 7'])
  })

  test.each([
    { options: { iobase: 0xffff }, message: /iobase 65535: expected an integer from 0 to 65534/ },
    { options: { iobase: -1 }, message: /iobase -1: expected an integer from 0 to 65534/ },
    { options: { iobase: 0.5 }, message: /iobase 0.5: expected an integer from 0 to 65534/ },
    { options: { iobase: 0x1_0000 }, message: /iobase 65536: expected an integer from 0 to 65534/ },
    { options: { iosize: 3 as 2 }, message: /iosize 3: expected 1, 2 or 4/ },
  ])('$options is refused', ({ options, message }) => {
    expect(() => new DebugExit(options)).toThrow(message)
  })
})

describe('debug console', () => {
  test('reads 0xE9 and gives what is written, in batches', () => {
    const batches: string[] = []
    const console = new DebugConsole({ stream: { send: (b) => void batches.push(String.fromCharCode(...b)) } })
    const machine = new FakeMachine(console)
    expect(machine.in(0x402)).toBe(0xe9)
    for (const c of 'boot\n') machine.out(0x402, c.charCodeAt(0))
    machine.advance(1_000_000)
    machine.out(0x402, 0x21)
    expect(console.isAtRest()).toBe(false)
    console.flush()
    console.flush()
    expect(console.isAtRest()).toBe(false)
    machine.advance(1_000_000)
    expect(console.isAtRest()).toBe(true)
    expect(batches).toEqual(['boot\n', '!'])
  })

  test('a batch that is full goes at once', () => {
    let count = 0
    const machine = new FakeMachine(
      new DebugConsole({ iobase: 0xe9, stream: { send: (b) => void (count += b.length) } }),
    )
    for (let i = 0; i < 1025; i++) machine.out(0xe9, 0x2e)
    expect(count).toBe(1024)
  })
})

describe('reset', () => {
  test.each([
    { port: 0xcf9, writes: [0x06], requests: 1, reads: 0x06, says: 'RST_CPU from 0 to 1' },
    { port: 0xcf9, writes: [0x02, 0x06], requests: 1, reads: 0x06, says: 'the two steps of a driver' },
    { port: 0xcf9, writes: [0x02], requests: 0, reads: 0x02, says: 'SYS_RST alone' },
    { port: 0xcf9, writes: [0x06, 0x06], requests: 1, reads: 0x06, says: 'RST_CPU that is set already' },
    { port: 0xcf9, writes: [0xf1], requests: 0, reads: 0x00, says: 'reserved bits' },
    { port: 0x92, writes: [0x03], requests: 1, reads: 0x03, says: 'fast reset' },
    { port: 0x92, writes: [0x02], requests: 0, reads: 0x02, says: 'A20' },
    { port: 0x92, writes: [0x00], requests: 0, reads: 0x00, says: 'A20 off' },
  ])('$says at $port: $requests', ({ port, writes, requests, reads }) => {
    const machine = new FakeMachine(new ResetControl())
    for (const value of writes) machine.out(port, value)
    expect(machine.requests).toEqual(Array.from({ length: requests }, () => 'reset'))
    expect(machine.in(port)).toBe(reads)
  })

  test('state is saved, and gone after a reset', () => {
    const control = new ResetControl()
    const machine = new FakeMachine(control)
    machine.out(0xcf9, 0x0a)
    machine.out(0x92, 0x00)
    const other = new ResetControl()
    other.restore(JSON.parse(JSON.stringify(control.save())))
    expect(other.save()).toEqual({ version: 1, control: 0x0a, systemControl: 0 })
    control.reset()
    expect([machine.in(0xcf9), machine.in(0x92)]).toEqual([0, 2])
  })
})

describe('port 0x80', () => {
  test('keeps the last code', () => {
    const codes: number[] = []
    const port = new PostCodePort((code) => codes.push(code))
    const machine = new FakeMachine(port)
    machine.out(0x80, 0x12)
    machine.out(0x80, 0xab)
    expect([machine.in(0x80), port.lastCode, codes]).toEqual([0xab, 0xab, [0x12, 0xab]])
    const other = new PostCodePort()
    other.restore(port.save())
    expect(other.lastCode).toBe(0xab)
    port.reset()
    expect(port.lastCode).toBe(0)
  })
})
