import { a64Forms } from '@retrap/arm-decoder'
import { RECORD_BYTES } from '@retrap/engine'
import { MachineMemory } from '@retrap/memory'
import { expect, test } from 'vitest'
import { generateArmInterpreter } from '../src/interpreter/interpreter.ts'
import { ArmRecordDecoder } from '../src/interpreter/record-decoder.ts'
import { MODE_NO_FP } from '../src/state/state-layout.ts'

const memory = MachineMemory.create({ bytes: 1 << 20 })
const { codes } = generateArmInterpreter({ shared: false })

/** The record of an instruction, and whether it ends a run. */
function recordOf(decoder: ArmRecordDecoder, word: number, mode: number, offset: number): string {
  const bytes = new Uint8Array(Uint32Array.of(word).buffer)
  const record = 0x1_0000
  // What lay there before.
  memory.u8.fill(0xaa, record, record + RECORD_BYTES)
  expect(decoder.decode(bytes, 0, 4, mode, record, offset)).toBe(4)
  return `${memory.u8.slice(record, record + RECORD_BYTES).join()} ${decoder.endsRun}`
}

test('a record is the same whether its instruction was decoded before, elsewhere, or not', () => {
  const decoder = new ArmRecordDecoder(memory, codes)
  const words = [0, ...a64Forms().map(({ value }) => value >>> 0)]
  // Where another offset, another mode and another instruction come in between.
  for (const word of words) for (const mode of [MODE_NO_FP, 0]) recordOf(decoder, word, mode, 0x10)
  for (const [i, word] of words.entries()) {
    const mode = i % 7 === 0 ? MODE_NO_FP : 0
    const offset = (4 * i) & 0xffc
    const fresh = recordOf(new ArmRecordDecoder(memory, codes), word, mode, offset)
    for (const when of ['first', 'again']) expect([when, recordOf(decoder, word, mode, offset)]).toEqual([when, fresh])
  }
})
