import { rax } from '@retrap/x86-assembler'
import { codes } from '@retrap/x86-decoder'
import { describe, expect, test } from 'vitest'
import { BASE_FEATURES } from '../src/model/feature-table.ts'
import { cpuModel } from '../src/model/models.ts'
import { Processor } from '../src/model/processor.ts'
import { BareCpu } from './support/bare-cpu.ts'

const DECODER_OPTIONS = new Processor(cpuModel('max')).decoderOptions

const HANDLER = 0x5200

/** Where a program of these bytes ends: in the handler of #UD, or at the HLT behind them. */
function endOf(bytes: readonly number[]): string {
  const pc = new BareCpu({ mode: 'long' })
  pc.load(HANDLER, [0xf4])
  pc.vector(6, HANDLER)
  pc.program((asm) => {
    asm.mov(rax, 0)
    asm.db(Uint8Array.from(bytes)).hlt()
  })
  expect(pc.run().reason).toBe('hlt')
  return pc.rip === HANDLER + 1 ? '#UD' : 'done'
}

describe('what the processor does not have is #UD (SDM vol. 2A, "#UD Equations for EVEX")', () => {
  test.each([
    { name: 'VADDPS zmm, EVEX', bytes: [0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc1] },
    { name: 'VADDPS xmm, EVEX, though its VEX form exists', bytes: [0x62, 0xf1, 0x7c, 0x08, 0x58, 0xc1] },
    { name: 'VAESENC xmm, EVEX, though its VEX form exists', bytes: [0x62, 0xf2, 0x7d, 0x08, 0xdc, 0xc1] },
    { name: '62 with a map that there is not', bytes: [0x62, 0xf0, 0x7c, 0x08, 0x58, 0xc1] },
    { name: 'ADD of APX', bytes: [0x62, 0xf4, 0x74, 0x18, 0x01, 0xc1] },
    { name: 'REX2', bytes: [0xd5, 0x10, 0x01, 0xc1] },
    { name: 'JMPABS', bytes: [0xd5, 0x00, 0xa1, 0, 0, 0, 0, 0, 0, 0, 0] },
    { name: 'KMOVW, VEX', bytes: [0xc5, 0xf8, 0x90, 0xc1] },
    { name: 'TILEZERO', bytes: [0xc4, 0xe2, 0x7b, 0x49, 0xc0] },
  ])('$name', ({ bytes }) => expect(endOf(bytes)).toBe('#UD'))

  test('no feature that every program has needs EVEX or APX', () => {
    const found = codes.filter(
      ({ encoding, feature }) => (encoding === 'evex' || encoding === 'rex2') && BASE_FEATURES.has(feature),
    )
    expect(found.map(({ form }) => form)).toEqual([])
    // 62 and D5 are not even prefixes.
    expect(DECODER_OPTIONS & 0x1400).toBe(0x1400)
  })
})
