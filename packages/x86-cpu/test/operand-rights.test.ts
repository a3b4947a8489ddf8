import { ax, byte, cx, dword, ecx, word, type Assembler } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import type { CpuCore } from '../src/cpu-core.ts'
import * as S from '../src/state/state-layout.ts'
import { BareCpu, GDT, IDT } from './support/bare-cpu.ts'

const DATA = 0x2_0000
const HANDLER = 0x4000
const TABLES = 0x20_0000
const CR0_WP_PG_PE = 0x8001_0011

/** 32-bit protected mode; exceptions halt with ECX set to their vector. */
function machine(build: (asm: Assembler) => void): BareCpu {
  const pc = new BareCpu({ mode: 'protected' })
  pc.write64(GDT + 8, 0x00cf_9a00_0000_ffffn)
  for (const vector of [13, 14]) {
    pc.program((asm) => asm.mov(ecx, vector).hlt(), HANDLER + 16 * vector)
    pc.write32(IDT + 8 * vector, (8 << 16) | (HANDLER + 16 * vector))
    pc.write32(IDT + 8 * vector + 4, 0x8e00)
  }
  pc.program((asm) => {
    build(asm)
    asm.hlt()
  })
  pc.setRegister('rcx', 0)
  return pc
}

function setDs(pc: BareCpu, field: number, value: number): void {
  pc.cpu.u32[(S.S_SEGMENTS + S.SEG_BYTES * S.DS + field) >>> 2] = value
}

/** Identity paging of the first 4 MiB, with DATA's page read-only for supervisors too. */
function pageReadOnly(pc: BareCpu): void {
  pc.write32(TABLES, (TABLES + 0x1000) | 7)
  const table = Uint32Array.from({ length: 1024 }, (_, i) => (i << 12) | (i === DATA >>> 12 ? 5 : 7))
  pc.load(TABLES + 0x1000, new Uint8Array(table.buffer))
  pc.cpu.u32[S.S_CR3 >>> 2] = TABLES
  pc.cpu.u32[S.S_CR0 >>> 2] = CR0_WP_PG_PE
  pc.host.controlChanged()
  pc.cpu.flushTlb(true)
  pc.cpu.modeChanged()
}

function vectorOf(pc: BareCpu): number {
  expect(pc.run().reason).toBe('hlt')
  return Number(pc.register('rcx') & 0xffn)
}

describe('ARPL writes only where it raises the RPL (as an AMD processor does; SDM vol. 2A, "ARPL", leaves it open)', () => {
  const arpl = (pc: BareCpu, destination: number): BareCpu => {
    pc.load(DATA, [destination, 0])
    return pc
  }
  // The source's RPL is 2.
  const program = (asm: Assembler): void => void asm.mov(ax, 2).arpl(word(DATA), ax)

  test.each([
    { destination: 3, vector: 0 },
    { destination: 2, vector: 0 },
    { destination: 1, vector: 13 },
  ])('in a read-only segment, RPL $destination: vector $vector', ({ destination, vector }) => {
    const pc = arpl(machine(program), destination)
    setDs(pc, S.SEG_ATTRIBUTES, 0xc091)
    setDs(pc, S.SEG_RIGHTS, 1)
    expect(vectorOf(pc)).toBe(vector)
    expect(pc.read8(DATA)).toBe(destination)
  })

  test.each([
    { destination: 3, vector: 0 },
    { destination: 1, vector: 14 },
  ])('in a read-only page, RPL $destination: vector $vector', ({ destination, vector }) => {
    const pc = arpl(machine(program), destination)
    pageReadOnly(pc)
    expect(vectorOf(pc)).toBe(vector)
    expect(pc.read8(DATA)).toBe(destination)
  })

  test('in a writable segment the RPL is raised', () => {
    const pc = arpl(machine(program), 1)
    expect(vectorOf(pc)).toBe(0)
    expect(pc.read8(DATA)).toBe(2)
  })
})

describe('INVLPG does not look at the segment of its operand (SDM vol. 2A, "INVLPG": #GP(0) for the privilege alone)', () => {
  test.each([
    { what: 'beyond the limit', set: (pc: BareCpu): void => setDs(pc, S.SEG_HIGH, 0xfff) },
    {
      what: 'in a null segment',
      set: (pc: BareCpu): void => {
        for (const [field, value] of [
          [S.SEG_ATTRIBUTES, 0],
          [S.SEG_RIGHTS, 0],
          [S.SEG_LOW, 1],
          [S.SEG_HIGH, 0],
        ] as const)
          setDs(pc, field, value)
      },
    },
  ])('$what', ({ set }) => {
    const pc = machine((asm) => asm.invlpg(byte(DATA)))
    set(pc)
    const pages: number[] = []
    const { core } = pc.cpu as unknown as { readonly core: CpuCore }
    core.invalidatePage = (lo, hi) => void pages.push(lo, hi)
    expect(vectorOf(pc)).toBe(0)
    expect(pages).toEqual([DATA, 0])
  })

  test('the base counts, and addresses wrap at 4 GiB', () => {
    const pc = machine((asm) => asm.mov(cx, 0).invlpg(dword(0xffff_f000)))
    pc.cpu.u32[(S.S_SEGMENTS + S.SEG_BYTES * S.DS) >>> 2] = 0x5000
    setDs(pc, S.SEG_RIGHTS, 3)
    const pages: number[] = []
    const { core } = pc.cpu as unknown as { readonly core: CpuCore }
    core.invalidatePage = (lo, hi) => void pages.push(lo, hi)
    expect(vectorOf(pc)).toBe(0)
    expect(pages).toEqual([0x4000, 0])
  })
})
