/** Elements of strings that reach beyond the end of a flat segment of 4 GiB, in compiled code: nothing is read or written. */
import { ecx, edi, edx, esi, ptr } from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { EAGER_JIT } from '@retrap/tooling/jit'
import { describe, expect, test } from 'vitest'
import { initialState } from '../support/bare-cpu.ts'
import type { BareCpu } from '../support/bare-cpu.ts'
import { bothWays, expectAlike, patiently } from '../support/both-ways.ts'

const DIRECTORY = 0x31_0000
const TABLE = 0x31_1000
const LAST_FRAME = 0x3_0000
const CR0_PG = 0x8000_0000
const CR4_PSE = 0x10
const ROUNDS = 60
/** By round: where the element lies. */
const PLACES = 0x9000
/** An element that lies in two pages: units make such an access by a call in place, which knows no segments. */
const IN_TWO_PAGES = 0x1_0fff
const LAST_BYTE = 0xffff_ffff

const STRINGS: Readonly<Record<string, (asm: Assembler) => Assembler>> = {
  LODSW: (asm) => asm.mov(esi, edx).lodsw(),
  LODSD: (asm) => asm.mov(esi, edx).lodsd(),
  SCASD: (asm) => asm.mov(edi, edx).scasd(),
  CMPSD: (asm) => asm.mov(esi, edx).mov(edi, 0x2_0000).cmpsd(),
  'CMPSD of its second operand': (asm) => asm.mov(esi, 0x2_0000).mov(edi, edx).cmpsd(),
  STOSD: (asm) => asm.mov(edi, edx).stosd(),
  MOVSD: (asm) => asm.mov(esi, edx).mov(edi, 0x2_0000).movsd(),
  'MOVSD to there': (asm) => asm.mov(esi, 0x2_0000).mov(edi, edx).movsd(),
}

/** 32-bit paging: all RAM where it is, and the last page of the address space, so that no page fault comes first. */
function mapLastPage(pc: BareCpu): void {
  pc.write32(DIRECTORY, 0x87)
  pc.write32(DIRECTORY + 4 * 1023, TABLE | 7)
  pc.write32(TABLE + 4 * 1023, LAST_FRAME | 7)
  const state = initialState('protected')
  pc.cpu.load({ ...state, cr0: state.cr0 + CR0_PG, cr3: DIRECTORY, cr4: state.cr4 | CR4_PSE })
}

describe.each(Object.entries(STRINGS))('%s', (_, operation) => {
  test('of the last byte of the segment, and of bytes beyond it, is a fault', () => {
    const pair = bothWays({
      mode: 'protected',
      jit: { ...EAGER_JIT, misses: 1 },
      code: (asm) => {
        const again = asm.label('again')
        asm
          .mov(ecx, ROUNDS)
          .bind(again)
          .mov(edx, ptr(PLACES, { index: ecx, scale: 4 }))
        operation(asm)
        asm.dec(ecx).jne(again).hlt()
      },
      prepare: (pc) => {
        mapLastPage(pc)
        for (let i = 1; i <= ROUNDS; i++) pc.write32(PLACES + 4 * i, i === 1 ? LAST_BYTE : IN_TWO_PAGES)
      },
    })
    // There is no handler.
    for (const pc of pair) expect(patiently(pc, 1_000_000)).toBe('shutdown')
    expectAlike(pair)
    const [, compiled] = pair
    expect(compiled.register('rcx')).toBe(1n)
  })
})
