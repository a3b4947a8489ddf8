import { describe, expect } from 'vitest'
import * as S from '../../src/state/state-layout.ts'
import { setSegment } from '../../src/system/segments/segment-cache.ts'
import { Bench, STATUS_DONE, STATUS_EXIT, STATUS_JUMP, TSS } from './bench.ts'
import { test } from './with-bench.ts'

describe('flag instructions (SDM vol. 2, "CLI", "STI", "PUSHF", "POPF"; vol. 3B, "Virtual-8086 Mode Extensions")', () => {
  const machines = {
    'level 0': () => Bench.protected32(0),
    'level 3, IOPL 3': () => iopl(Bench.protected32(3), 3),
    'level 3': () => Bench.protected32(3),
    'level 3, PVI': () => cr4(Bench.protected32(3), 2),
    'level 3, PVI, VIP': () => vip(cr4(Bench.protected32(3), 2)),
    'V86, IOPL 3': () => Bench.v86(3),
    V86: () => Bench.v86(0),
    'V86, VME': () => cr4(Bench.v86(0), 1),
    'V86, VME, VIP': () => vip(cr4(Bench.v86(0), 1)),
    'real mode': () => Bench.real(),
  }
  const iopl = (b: Bench, level: number): Bench => ((b.flags |= level << 12), b)
  const cr4 = (b: Bench, value: number): Bench => (b.s.set(S.S_CR4, value), b)
  const vip = (b: Bench): Bench => ((b.flags |= S.FLAG_VIP), b)
  test.each<{ machine: keyof typeof machines; cli: string; sti: string }>([
    { machine: 'level 0', cli: 'IF', sti: 'IF' },
    { machine: 'level 3, IOPL 3', cli: 'IF', sti: 'IF' },
    { machine: 'level 3', cli: '#GP(0)', sti: '#GP(0)' },
    { machine: 'level 3, PVI', cli: 'VIF', sti: 'VIF' },
    { machine: 'level 3, PVI, VIP', cli: 'VIF', sti: '#GP(0)' },
    { machine: 'V86, IOPL 3', cli: 'IF', sti: 'IF' },
    { machine: 'V86', cli: '#GP(0)', sti: '#GP(0)' },
    { machine: 'V86, VME', cli: 'VIF', sti: 'VIF' },
    { machine: 'V86, VME, VIP', cli: 'VIF', sti: '#GP(0)' },
    { machine: 'real mode', cli: 'IF', sti: 'IF' },
  ])('$machine: CLI changes $cli, STI $sti', ({ machine, cli, sti }) => {
    for (const [mnemonic, expected, on] of [
      ['CLI', cli, false],
      ['STI', sti, true],
    ] as const) {
      const b = machines[machine]()
      b.flags = on ? b.flags & ~(S.FLAG_IF | S.FLAG_VIF) : b.flags | S.FLAG_IF | S.FLAG_VIF
      const before = b.flags
      const outcome = b.outcome(mnemonic)
      const changed = (before ^ b.flags) >>> 0
      expect(
        outcome === 'ok' ? (changed === S.FLAG_IF ? 'IF' : changed === S.FLAG_VIF ? 'VIF' : changed) : outcome,
      ).toBe(expected)
    }
  })

  test('STI holds interrupts off for one instruction, if they were off before', ({ protected32: b }) => {
    b.flags = 2
    expect(b.run('STI', { length: 1 })).toBe(STATUS_EXIT)
    expect([b.s.get(S.S_SHADOW), b.rip]).toEqual([1, 0x4001])
    b.s.set(S.S_SHADOW, 0)
    expect(b.run('STI', { length: 1 })).toBe(STATUS_DONE)
    expect(b.s.get(S.S_SHADOW)).toBe(0)
  })

  test.each([
    { mnemonic: 'PUSHF', size: 2, pushed: 0x7ad7, bench: () => Bench.protected32(0) },
    { mnemonic: 'PUSHFD', size: 4, pushed: 0x0024_7ad7, bench: () => Bench.protected32(0) },
    { mnemonic: 'PUSHFQ', size: 8, pushed: 0x0024_7ad7, bench: () => Bench.long64(0) },
  ])('$mnemonic pushes RFLAGS without RF', ({ mnemonic, size, pushed, bench }) => {
    const b = bench()
    b.flags = 0x0025_7ad7
    expect(b.outcome(mnemonic, { size })).toBe('ok')
    expect(size === 2 ? b.u16(b.rsp) : b.u32(b.rsp)).toBe(pushed)
  })

  test.each([
    { cpl: 0, iopl: 0, size: 4, image: 0x0027_7fd7, flags: 0x0024_7fd7 },
    { cpl: 3, iopl: 0, size: 4, image: 0x0024_7cd7, flags: 0x0024_4ed7 },
    { cpl: 3, iopl: 3, size: 4, image: 0x0000_0002, flags: 0x0000_3002 },
    { cpl: 0, iopl: 0, size: 2, image: 0x0ad7, flags: 0x0ad7 },
  ])('POPF at CPL $cpl, IOPL $iopl of $image: $flags', ({ cpl, iopl: level, size, image, flags }) => {
    const b = iopl(Bench.protected32(cpl), level)
    b.push(size, image)
    const sp = b.rsp
    expect(b.outcome(size === 2 ? 'POPF' : 'POPFD', { size })).toBe('ok')
    expect([b.flags, b.rsp]).toEqual([flags, sp + size])
  })

  test.each([
    { machine: 'V86', mnemonic: 'POPF', image: 2, result: '#GP(0)' },
    { machine: 'V86', mnemonic: 'PUSHF', image: 2, result: '#GP(0)' },
    { machine: 'V86, VME', mnemonic: 'POPF', image: S.FLAG_IF | 2, result: 'ok', flags: S.FLAG_VIF },
    { machine: 'V86, VME', mnemonic: 'POPF', image: S.FLAG_TF | 2, result: '#GP(0)' },
    { machine: 'V86, VME, VIP', mnemonic: 'POPF', image: S.FLAG_IF | 2, result: '#GP(0)' },
    { machine: 'V86, VME', mnemonic: 'PUSHF', image: 2, result: 'ok', pushed: 0x3002 },
    { machine: 'V86, IOPL 3', mnemonic: 'POPF', image: 2, result: 'ok', flags: 0x3000 },
  ] as const)('$machine: $mnemonic: $result', (row) => {
    const b = machines[row.machine]()
    b.push(2, row.image)
    expect(b.outcome(row.mnemonic, { size: 2 })).toBe(row.result)
    if ('flags' in row) expect(b.flags & ~0x2_0002).toBe(row.flags)
    if ('pushed' in row) expect(b.u16(0x7000 + b.rsp)).toBe(row.pushed)
  })

  test('CLAC and STAC are for level 0 and change the access mode', ({ long64: b }) => {
    expect(b.run('STAC')).toBe(STATUS_JUMP)
    expect(b.flags & S.FLAG_AC).toBe(S.FLAG_AC)
    expect(b.run('CLAC')).toBe(STATUS_JUMP)
    expect(b.flags & S.FLAG_AC).toBe(0)
    expect(Bench.long64(3).outcome('STAC')).toBe('#UD')
    expect(Bench.v86(3).outcome('CLAC')).toBe('#UD')
  })

  test('LAHF and SAHF move five flags', ({ protected32: b }) => {
    b.flags = 0xad7
    b.outcome('LAHF')
    expect(b.s.gpr(0)).toBe(0xd700)
    b.s.set(S.S_GPR, 0x2800)
    b.outcome('SAHF')
    expect(b.flags).toBe(0xa02)
  })
})

describe('ports (SDM vol. 1, "I/O Permission Bit Map")', () => {
  const inByte = {
    operands: [
      { kind: 'reg', size: 1 },
      { kind: 'imm', size: 1 },
    ],
    immediate: 0x60n,
  } as const
  const outDx = (size: number) =>
    ({
      operands: [
        { kind: 'reg', size: 2 },
        { kind: 'reg', size },
      ],
    }) as const

  test('IN and OUT use the accumulator’s size', ({ protected32: b }) => {
    b.cpu.host.ports.set(0x60, 0x1234_56fa)
    b.s.set(S.S_GPR, 0xffff_ffff)
    expect(b.outcome('IN', inByte)).toBe('ok')
    expect(b.s.gpr(0)).toBe(0xffff_fffa)
    b.s.setGpr(2, 4, 0x3f8)
    expect(b.outcome('OUT', outDx(1))).toBe('ok')
    expect(b.outcome('OUT', outDx(4))).toBe('ok')
    expect(b.cpu.host.portWrites).toEqual([
      [0x3f8, 1, 0xfa],
      [0x3f8, 4, 0xffff_fffa],
    ])
  })

  test.each([
    { cpl: 3, iopl: 3, map: undefined, result: 'ok' },
    { cpl: 3, iopl: 0, map: undefined, result: '#GP(0)', why: 'no map' },
    { cpl: 3, iopl: 0, map: [0, 0], result: 'ok' },
    { cpl: 3, iopl: 0, map: [1, 0], result: '#GP(0)' },
    { cpl: 3, iopl: 0, map: [2, 0], size: 1, result: 'ok' },
    { cpl: 3, iopl: 0, map: [2, 0], size: 2, result: '#GP(0)' },
    { cpl: 3, iopl: 0, map: [0, 0], limit: 0x68 + 12, result: '#GP(0)', why: 'the second byte is outside' },
  ])('CPL $cpl, IOPL $iopl, map $map: $result', ({ cpl, iopl, map, size = 1, limit = 0x68 + 13, result }) => {
    const b = Bench.protected32(cpl)
    b.flags |= iopl << 12
    if (map !== undefined) {
      setSegment(b.s, S.TR, 0x28, TSS, 0, limit, 0x8b)
      b.cpu.view.setUint16(TSS + 0x66, 0x68, true)
      b.cpu.bytes.set(map, TSS + 0x68 + 12)
    }
    const form = {
      ...inByte,
      operands: [
        { kind: 'reg', size },
        { kind: 'imm', size: 1 },
      ],
    } as const
    expect(b.outcome('IN', form)).toBe(result)
  })

  test('virtual-8086 mode always looks at the map', () => {
    expect(Bench.v86(3).outcome('IN', inByte)).toBe('#GP(0)')
  })

  test('INS moves one element a call and keeps its progress', ({ protected32: b }) => {
    b.cpu.host.ports.set(0x1f0, 0xbeef)
    b.s.setGpr(2, 4, 0x1f0)
    b.s.setGpr(1, 4, 2)
    b.s.setGpr(7, 4, 0x5000)
    const form = { repeat: 'rep', size: 2, addressSize: 4 } as const
    expect(b.run('INSW', form)).toBe(S.STATUS_CONTINUE)
    expect([b.s.gpr(1), b.s.gpr(7), b.u16(0x5000), b.rip]).toEqual([1, 0x5002, 0xbeef, 0x4000])
    expect(b.run('INSW', form)).toBe(STATUS_DONE)
    expect(b.run('INSW', form)).toBe(STATUS_DONE)
    expect([b.s.gpr(1), b.s.gpr(7)]).toEqual([0, 0x5004])
  })

  test('INS checks its destination before it reads the port', ({ protected32: b }) => {
    setSegment(b.s, S.ES, 0x10, 0, 0, 0xfff, 0x4093)
    b.s.setGpr(7, 4, 0x1000)
    expect(b.outcome('INSB')).toBe('#GP(0)')
  })

  test('OUTS goes backwards with DF, in 16-bit addresses, from the segment of its prefix', ({ protected32: b }) => {
    setSegment(b.s, S.DS, 0x10, 0x5000, 0, 0xffff, 0x4093)
    b.flags |= 0x400
    b.s.setGpr(6, 4, 0x1234_0000)
    b.s.setGpr(2, 4, 0x80)
    b.cpu.view.setUint8(0x5000, 0x77)
    expect(b.outcome('OUTSB', { size: 1, addressSize: 2 })).toBe('ok')
    expect(b.cpu.host.portWrites).toEqual([[0x80, 1, 0x77]])
    expect(b.s.gpr(6)).toBe(0x1234_ffff)
  })
})

describe('ENTER, LEAVE, PUSHA, POPA', () => {
  test('ENTER copies the frame pointers of outer levels', ({ protected32: b }) => {
    b.s.setGpr(5, 4, 0x5100)
    b.cpu.view.setUint32(0x50fc, 0xaaaa, true)
    b.cpu.view.setUint32(0x50f8, 0xbbbb, true)
    const sp = b.rsp
    expect(b.outcome('ENTER', { size: 4, immediate: (3n << 32n) | 0x20n })).toBe('ok')
    expect(b.s.gpr(5)).toBe(sp - 4)
    expect(b.rsp).toBe(sp - 16 - 0x20)
    expect(b.pushed(4, 4, sp - 16)).toEqual([sp - 4, 0xbbbb, 0xaaaa, 0x5100])
    expect(b.outcome('LEAVE', { size: 4 })).toBe('ok')
    expect([b.s.gpr(5), b.rsp]).toEqual([0x5100, sp])
  })

  test('ENTER whose frame does not fit changes nothing', ({ protected32: b }) => {
    b.cpu.absent.add(5)
    b.s.setGpr(4, 4, 0x6010)
    expect(b.outcome('ENTER', { size: 4, immediate: 0x100n })).toBe('#PF(2)')
    expect([b.rsp, b.s.gpr(5), b.u32(0x600c)]).toEqual([0x6010, 0, 0])
  })

  test('PUSHA stores the old ESP, POPA ignores it', () => {
    for (const size of [2, 4]) {
      const b = Bench.protected32()
      for (let i = 0; i < 8; i++) if (i !== 4) b.s.setGpr(i, 4, 0x100 + i)
      const sp = b.rsp
      expect(b.outcome('PUSHA', { size })).toBe('ok')
      expect(b.pushed(size, 8)).toEqual([0x107, 0x106, 0x105, sp, 0x103, 0x102, 0x101, 0x100])
      for (let i = 0; i < 8; i++) if (i !== 4) b.s.setGpr(i, 4, 0)
      expect(b.outcome('POPA', { size })).toBe('ok')
      expect([0, 1, 2, 3, 5, 6, 7].map((i) => b.s.gpr(i))).toEqual([0x100, 0x101, 0x102, 0x103, 0x105, 0x106, 0x107])
      expect(b.rsp).toBe(sp)
    }
  })
})
