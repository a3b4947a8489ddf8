import { describe, expect } from 'vitest'
import * as S from '../../src/state/state-layout.ts'
import { setSegment } from '../../src/system/segments/segment-cache.ts'
import { cpuModel } from '../../src/model/models.ts'
import { Processor } from '../../src/model/processor.ts'
import { Bench, TSS, gprOffset } from './bench.ts'
import { test } from './with-bench.ts'

const move = (b: Bench, to: number, value: number, high = 0): string => {
  b.s.set64(S.S_GPR, value, high)
  const operands = [
    { kind: 'system', size: 8 },
    { kind: 'reg', size: 8 },
  ] as const
  return b.outcome('MOV', { size: 8, offsets: [to, gprOffset(0)], operands })
}
const read = (b: Bench, from: number): string => {
  const operands = [
    { kind: 'reg', size: 8 },
    { kind: 'system', size: 8 },
  ] as const
  return b.outcome('MOV', { size: 8, offsets: [gprOffset(0), from], operands })
}

const PE = 1
const NW = 1 << 29
const CD = 1 << 30
const PG = 2 ** 31
const PAE = 1 << 5
const PCIDE = 1 << 17

describe('MOV to control registers (SDM vol. 2B, "MOV—Move to/from Control Registers")', () => {
  test.for([
    { register: S.S_CR0, value: PG, result: '#GP(0)', why: 'PG without PE' },
    { register: S.S_CR0, value: PE | NW, result: '#GP(0)', why: 'NW without CD' },
    { register: S.S_CR0, value: PE | NW | CD, result: 'ok' },
    { register: S.S_CR0, value: PE | (1 << 8), result: 'ok', why: 'reserved low bits are ignored' },
    { register: S.S_CR0, value: PG + PE, result: 'ok' },
    { register: S.S_CR3, value: 0xffff_ffff, result: 'ok' },
    { register: S.S_CR4, value: 1 << 12, result: '#GP(0)', why: 'LA57 is not offered' },
    { register: S.S_CR4, value: 1 << 13, result: '#GP(0)', why: 'VMXE is not offered' },
    { register: S.S_CR4, value: 1 << 17, result: '#GP(0)', why: 'PCIDE outside IA-32e mode' },
    { register: S.S_CR4, value: 1 << 23, result: '#GP(0)', why: 'CET is not offered' },
    { register: S.S_CR4, value: (1 << 22) | (1 << 24), result: 'ok', why: 'PKE, PKS' },
    { register: S.S_CR4, value: 0x350fff & ~PAE, result: 'ok' },
    { register: S.S_CR8, value: 15, result: 'ok' },
    { register: S.S_CR8, value: 16, result: '#GP(0)' },
    { register: S.S_CR2, value: 0x1234_5678, result: 'ok' },
  ])('$register := $value: $result', ({ register, value, result }, { protected32: b }) => {
    const before = b.s.get(register)
    expect(move(b, register, value)).toBe(result)
    if (result !== 'ok') expect(b.s.get(register)).toBe(before)
    const outer = Bench.protected32(3)
    expect(move(outer, register, value)).toBe('#GP(0)')
    expect(read(outer, register)).toBe('#GP(0)')
  })

  test('ET is always set, and undefined bits are dropped', ({ protected32: b }) => {
    move(b, S.S_CR0, PE | (1 << 8))
    expect(b.s.get(S.S_CR0)).toBe(PE | 0x10)
  })

  test.each([
    { register: S.S_CR0, lo: 0x8000_0011, hi: 1, result: '#GP(0)', why: 'upper half of CR0' },
    { register: S.S_CR0, lo: 0x11, hi: 0, result: '#GP(0)', why: 'PG → 0 in 64-bit mode' },
    { register: S.S_CR3, lo: 0x1000, hi: 0x100, result: '#GP(0)', why: 'beyond 40 bits' },
    { register: S.S_CR3, lo: 0x1000, hi: 0x8000_0000, result: '#GP(0)', why: 'bit 63 without PCID' },
    { register: S.S_CR3, lo: 0x1000, hi: 0xff, result: 'ok' },
    { register: S.S_CR4, lo: 0, hi: 0, result: '#GP(0)', why: 'PAE → 0 in IA-32e mode' },
    { register: S.S_CR4, lo: PAE, hi: 1, result: '#GP(0)' },
    { register: S.S_CR4, lo: PAE | (1 << 7), hi: 0, result: 'ok' },
  ])('64-bit mode: $register := $hi:$lo: $result', ({ register, lo, hi, result }) => {
    expect(move(Bench.long64(), register, lo, hi)).toBe(result)
  })

  test('entering IA-32e mode: what LME, PAE, CS.L and the TSS must be', () => {
    const enter = (setup: (b: Bench) => void): string => {
      const b = Bench.protected32()
      b.s.set(S.S_EFER, 0x100)
      b.s.set(S.S_CR4, PAE)
      setup(b)
      const outcome = move(b, S.S_CR0, PG + PE)
      expect((b.s.get(S.S_EFER) & 0x400) !== 0).toBe(outcome === 'ok')
      return outcome
    }
    expect(enter(() => undefined)).toBe('ok')
    expect(enter((b) => b.s.set(S.S_CR4, 0))).toBe('#GP(0)')
    expect(enter((b) => setSegment(b.s, S.CS, 8, 0, 0, 0xffff_ffff, 0xa09b))).toBe('#GP(0)')
    expect(enter((b) => setSegment(b.s, S.TR, 8, TSS, 0, 0x67, 0x83))).toBe('#GP(0)')
  })

  test('leaving it from compatibility mode clears LMA', ({ long64: b }) => {
    setSegment(b.s, S.CS, 8, 0, 0, 0xffff_ffff, 0xc09b)
    expect(move(b, S.S_CR0, PE)).toBe('ok')
    expect(b.s.get(S.S_EFER)).toBe(0x901)
  })

  test('leaving protected mode makes CS writable', ({ protected32: b }) => {
    expect(b.s.segmentField(S.CS, S.SEG_RIGHTS)).toBe(1)
    expect(move(b, S.S_CR0, 0)).toBe('ok')
    expect(b.s.segmentField(S.CS, S.SEG_RIGHTS)).toBe(3)
    expect(b.s.cpl).toBe(0)
  })

  describe('PDPTEs (SDM vol. 3A, "PDPTE Registers")', () => {
    const table = (b: Bench, ...entries: readonly bigint[]): void => {
      entries.forEach((entry, i) => b.cpu.view.setBigUint64(0x5020 + 8 * i, entry, true))
    }
    test.for([
      { entries: [0x1001n, 0n, 0x3019n, 0x4001n], result: 'ok' },
      { entries: [0n, 0x1e6n, 0n, 0n], result: 'ok', why: 'reserved bits count in present entries only' },
      { entries: [0x1001n, 0x1003n, 0n, 0n], result: '#GP(0)', why: 'bit 1' },
      { entries: [0x1001n, 0x1021n, 0n, 0n], result: '#GP(0)', why: 'bit 5' },
      { entries: [0x1001n, 0x1101n, 0n, 0n], result: '#GP(0)', why: 'bit 8' },
      { entries: [(1n << 40n) | 1n, 0n, 0n, 0n], result: '#GP(0)', why: 'beyond 40 bits' },
      { entries: [(1n << 63n) | 1n, 0n, 0n, 0n], result: '#GP(0)', why: 'bit 63' },
    ])('$entries: $result', ({ entries, result }, { protected32: b }) => {
      b.s.set(S.S_CR4, PAE)
      table(b, ...entries)
      b.s.set(S.S_CR0, PG + PE + 0x10)
      b.s.set(S.S_PDPTE, 0xabcd)
      expect(move(b, S.S_CR3, 0x503f)).toBe(result)
      expect(b.s.get(S.S_PDPTE)).toBe(result === 'ok' ? Number(entries[0]) : 0xabcd)
      expect(b.s.get(S.S_CR3)).toBe(result === 'ok' ? 0x503f : 0)
    })

    test.for([
      { what: 'PG', setup: (b: Bench) => b.s.set(S.S_CR4, PAE), register: S.S_CR0, value: PG + PE, loads: true },
      {
        what: 'PGE',
        setup: (b: Bench) => (b.s.set(S.S_CR4, PAE), b.s.set(S.S_CR0, PG + PE)),
        register: S.S_CR4,
        value: PAE | 0x80,
        loads: true,
      },
      {
        what: 'OSFXSR',
        setup: (b: Bench) => (b.s.set(S.S_CR4, PAE), b.s.set(S.S_CR0, PG + PE)),
        register: S.S_CR4,
        value: PAE | 0x200,
        loads: false,
      },
    ])('a change of $what loads them: $loads', ({ setup, register, value, loads }, { protected32: b }) => {
      setup(b)
      b.s.set(S.S_CR3, 0x5020)
      table(b, 0x7001n)
      expect(move(b, register, value)).toBe('ok')
      expect(b.s.get(S.S_PDPTE)).toBe(loads ? 0x7001 : 0)
    })
  })

  describe('process-context identifiers (SDM vol. 3A, "Process-Context Identifiers (PCIDs)")', () => {
    const identified = (): Bench => {
      const b = Bench.long64()
      expect(move(b, S.S_CR4, PAE | PCIDE)).toBe('ok')
      return b
    }

    test.for([
      { cr3: 0x1000, result: 'ok' },
      { cr3: 0x1018, result: '#GP(0)', why: 'PWT and PCD would become a PCID' },
      { cr3: 0x1fff, result: '#GP(0)' },
    ])('CR4.PCIDE can be set with CR3 $cr3: $result', ({ cr3, result }, { long64: b }) => {
      b.s.set(S.S_CR3, cr3)
      expect(move(b, S.S_CR4, PAE | PCIDE)).toBe(result)
      expect(b.cpu.flushes).toEqual([])
    })

    test('clearing CR4.PCIDE drops everything; paging cannot be left while it is set', () => {
      const b = identified()
      setSegment(b.s, S.CS, 8, 0, 0, 0xffff_ffff, 0xc09b)
      expect(move(b, S.S_CR0, PE)).toBe('#GP(0)')
      expect(move(b, S.S_CR4, PAE)).toBe('ok')
      expect(b.cpu.flushes).toEqual([true])
      expect(move(b, S.S_CR0, PE)).toBe('ok')
    })

    test('MOV to CR3 names the address space; bit 63 keeps what it has, and is not stored', () => {
      const b = identified()
      expect(move(b, S.S_CR3, 0x1005)).toBe('ok')
      expect(move(b, S.S_CR3, 0x2006, 0x8000_0000)).toBe('ok')
      expect([b.s.get(S.S_CR3), b.s.get(S.S_CR3 + 4)]).toEqual([0x2006, 0])
      expect(b.cpu.invalidated).toEqual(['0 → 5', '5 → 6 keep'])
      expect(move(b, S.S_CR3, 0x2006, 0x4000_0000)).toBe('#GP(0)')
      expect(b.cpu.flushes).toEqual([])
    })

    describe('INVPCID (SDM vol. 2A, "INVPCID")', () => {
      const descriptor = (b: Bench, pcid: bigint, linear: bigint): void => {
        b.cpu.view.setBigUint64(0x5000, pcid, true)
        b.cpu.view.setBigUint64(0x5008, linear, true)
      }
      const operands = [
        { kind: 'reg', size: 8 },
        { kind: 'mem', size: 16 },
      ] as const
      const run = (b: Bench, type: number, typeHi = 0): string => {
        b.s.set64(S.S_GPR, type, typeHi)
        return b.outcome('INVPCID', { size: 8, address: 0x5000, offsets: [gprOffset(0)], operands })
      }

      test.each([
        { type: 0, pcid: 7n, linear: 0xffff_8000_1234_5000n, does: 'type 0 pcid 7 ffff8000:12345000' },
        { type: 0, pcid: 7n, linear: 0x8000_0000_0000n, does: '#GP(0)', why: 'not canonical' },
        { type: 1, pcid: 4095n, linear: 0x8000_0000_0000n, does: 'type 1 pcid 4095 8000:0' },
        { type: 1, pcid: 0x1000n, linear: 0n, does: '#GP(0)', why: 'bit 12 of the descriptor' },
        { type: 2, pcid: 1n << 63n, linear: 0n, does: '#GP(0)', why: 'bit 63 of the descriptor' },
        { type: 2, pcid: 3n, linear: 0n, does: 'type 2 pcid 3 0:0' },
        { type: 3, pcid: 0n, linear: 0n, does: 'type 3 pcid 0 0:0' },
        { type: 4, pcid: 0n, linear: 0n, does: '#GP(0)', why: 'no such type' },
      ])('type $type, PCID $pcid, $linear: $does', ({ type, pcid, linear, does }) => {
        const b = identified()
        descriptor(b, pcid, linear)
        const outcome = run(b, type)
        expect(outcome === 'ok' ? b.cpu.invalidated : [outcome]).toEqual([does])
      })

      test('the upper half of the register counts in 64-bit mode, and CPL 3 may not', () => {
        expect(run(identified(), 1, 1)).toBe('#GP(0)')
        expect(run(Bench.protected32(), 1, 1)).toBe('ok')
        expect(run(Bench.long64(3), 1)).toBe('#GP(0)')
      })

      test.for([0, 1])('type %s without CR4.PCIDE takes PCID 0 only', (type, { long64: b }) => {
        descriptor(b, 1n, 0n)
        expect(run(b, type)).toBe('#GP(0)')
        descriptor(b, 0n, 0n)
        expect(run(b, type)).toBe('ok')
      })

      test('a descriptor in an absent page faults', () => {
        const b = identified()
        b.cpu.absent.add(5)
        expect(run(b, 2)).toMatch(/^#PF/)
      })
    })
  })

  describe('five-level paging (SDM vol. 3A, "Paging-Mode Modifiers"; vol. 1, "Canonical Addressing")', () => {
    const LA57 = 1 << 12
    const wide = (make: () => Bench): Bench => {
      const b = make()
      b.cpu.processor = new Processor(cpuModel('max,+la57'))
      return b
    }

    test('CR4.LA57 exists where the model has it, and does not change in IA-32e mode', () => {
      expect(move(Bench.protected32(), S.S_CR4, PAE | LA57)).toBe('#GP(0)')
      const b = wide(() => Bench.protected32())
      expect(move(b, S.S_CR4, PAE | LA57)).toBe('ok')
      expect(move(b, S.S_CR4, PAE)).toBe('ok')
      expect(
        move(
          wide(() => Bench.long64()),
          S.S_CR4,
          PAE | LA57,
        ),
      ).toBe('#GP(0)')
    })

    test('where code goes, CR4.LA57 decides what is canonical; what registers hold, the model', () => {
      const hi = 0x00ff_ffff
      for (const [bits, la57, code, base] of [
        [48, 0, false, false],
        [57, 0, false, true],
        [57, LA57, true, true],
      ] as const) {
        const b = bits === 57 ? wide(() => Bench.long64()) : Bench.long64()
        b.s.set(S.S_CR4, PAE | la57)
        expect([b.s.isCanonical(hi), b.s.isCanonicalBase(hi)]).toEqual([code, base])
        expect([b.s.isCanonical(0x0100_0000), b.s.isCanonicalBase(0x0100_0000)]).toEqual([false, false])
      }
    })
  })

  test('CR3 keeps global translations, CR4.PGE drops them', ({ long64: b }) => {
    move(b, S.S_CR3, 0x1000)
    move(b, S.S_CR4, PAE | 0x80)
    expect(b.cpu.flushes).toEqual([false, true])
  })

  test('CR8 is the task priority', ({ long64: b }) => {
    expect(move(b, S.S_CR8, 9)).toBe('ok')
    expect(b.cpu.host.priority).toBe(9)
    b.cpu.host.priority = 4
    expect(read(b, S.S_CR8)).toBe('ok')
    expect(b.s.gpr(0)).toBe(4)
  })
})

describe('LMSW, SMSW, CLTS', () => {
  test('LMSW sets PE and does not clear it', () => {
    const b = Bench.real()
    b.s.set(S.S_GPR, 0xfff1)
    const one = { offsets: [gprOffset(0)], operands: [{ kind: 'reg', size: 2 }] } as const
    expect(b.outcome('LMSW', one)).toBe('ok')
    expect(b.s.get(S.S_CR0) & 0xf).toBe(1)
    b.s.set(S.S_GPR, 0xe)
    expect(b.outcome('LMSW', one)).toBe('ok')
    expect(b.s.get(S.S_CR0) & 0xf).toBe(0xf)
    expect(b.outcome('CLTS')).toBe('ok')
    expect(b.s.get(S.S_CR0) & 8).toBe(0)
    expect(Bench.protected32(3).outcome('LMSW', one)).toBe('#GP(0)')
    expect(Bench.protected32(3).outcome('CLTS')).toBe('#GP(0)')
  })

  test('SMSW stores 16 bits in memory and the operand’s size in a register', ({ protected32: b }) => {
    b.s.set(S.S_CR0, 0x8001_0011)
    b.cpu.view.setUint32(0x5000, 0xffff_ffff, true)
    expect(b.outcome('SMSW', { address: 0x5000, operands: [{ kind: 'mem', size: 2 }] })).toBe('ok')
    expect(b.u32(0x5000)).toBe(0xffff_0011)
    expect(b.outcome('SMSW', { offsets: [gprOffset(0)], operands: [{ kind: 'reg', size: 4 }] })).toBe('ok')
    expect(b.s.gpr(0)).toBe(0x8001_0011)
  })
})

describe('debug registers (SDM vol. 3B, "Debug Registers")', () => {
  test.for([
    { register: 6, value: 0xffff_ffff, result: 0xffff_efff },
    { register: 6, value: 0, result: 0xffff_0ff0 },
    { register: 7, value: 0xffff_ffff, result: 0xffff_27ff },
    { register: 7, value: 0, result: 0x400 },
    { register: 0, value: 0x1234_5678, result: 0x1234_5678 },
  ])('DR$register := $value reads as $result', ({ register, value, result }, { protected32: b }) => {
    b.cpu.u32[(S.S_DR + 56) >>> 2] = 0x400
    expect(move(b, S.S_DR + 8 * register, value)).toBe('ok')
    expect(b.s.get(S.S_DR + 8 * register)).toBe(result)
  })

  test('DR4 and DR5 are DR6 and DR7, or undefined with CR4.DE', ({ protected32: b }) => {
    b.s.set(S.S_DR + 48, 0xffff_0ff4)
    expect(read(b, S.S_DR + 32)).toBe('ok')
    expect(b.s.gpr(0)).toBe(0xffff_0ff4)
    b.s.set(S.S_CR4, 8)
    expect(read(b, S.S_DR + 32)).toBe('#UD')
    expect(move(b, S.S_DR + 40, 0)).toBe('#UD')
  })

  test('with GD set, any access is a fault with DR6.BD', ({ protected32: b }) => {
    b.s.set(S.S_DR + 56, 0x2400)
    expect(read(b, S.S_DR)).toBe('#DB')
    expect(b.s.get(0x374)).toBe(0x2000)
  })

  test('upper halves of DR6 and DR7 must be clear', () => {
    expect(move(Bench.long64(), S.S_DR + 56, 0, 1)).toBe('#GP(0)')
    expect(move(Bench.protected32(3), S.S_DR + 56, 0)).toBe('#GP(0)')
  })
})
