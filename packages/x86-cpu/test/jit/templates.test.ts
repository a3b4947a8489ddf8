/** Templates of instructions, of which a guest chooses how many differ. */
import type { InterpreterCode } from '@retrap/engine'
import { MachineMemory } from '@retrap/memory'
import { expect, test } from 'vitest'
import type { FormSource } from '../../src/interpreter/form-context.ts'
import { Templates } from '../../src/jit/template/templates.ts'
import { R_IMM, R_SEGMENT } from '../../src/interpreter/record.ts'
import type { Form } from '../../src/semantics/form.ts'
import { instructionSemantics } from '../../src/semantics/index.ts'
import { CS, MODE_64, SEG_BASE, SEG_BYTES, S_SEGMENTS } from '../../src/state-layout.ts'

const MOST = 20
const CODE_BASE = S_SEGMENTS + SEG_BYTES * CS + SEG_BASE

/** SHL EAX, imm8. */
const form: Form = {
  mnemonic: 'SHL',
  size: 4,
  operands: [
    { kind: 'reg', size: 4 },
    { kind: 'imm', size: 1 },
  ],
  long: true,
  vex: false,
  lock: false,
  repeat: 'none',
  addressSize: 0,
}
const source: FormSource = { form, semantics: instructionSemantics['SHL']!, accessFlags: 0 }

function setUp() {
  const memory = MachineMemory.create({ bytes: 1 << 20 })
  const [state, record] = [memory.allocate(0x4000, 0x1000, 'state'), memory.allocate(0x1000, 0x1000, 'record')]
  memory.u8[record + R_SEGMENT] = 3
  const templates = new Templates(memory, { sharedEntries: new Map() } as unknown as InterpreterCode<FormSource>, MOST)
  const find = (immediate: number) => {
    memory.i32[(record + R_IMM) >>> 2] = immediate
    return templates.find(templates.for(MODE_64, state), source, record, 'count', undefined, MODE_64, state)
  }
  return { memory, state, templates, find }
}

test('one is made for all instructions that have it', () => {
  const { templates, find } = setUp()
  const first = find(3)
  expect(find(3)).toBe(first)
  expect(find(4)).not.toBe(first)
  expect(templates.count).toBe(2)
})

test('no more than so many are kept, whatever immediates there are', () => {
  const { templates, find } = setUp()
  for (let i = 1; i <= 256; i++) {
    find(i)
    expect(templates.count).toBeLessThanOrEqual(MOST)
  }
})

test('no more than so many are kept, wherever code segments begin', () => {
  const { memory, state, templates, find } = setUp()
  for (let i = 1; i <= 100; i++) {
    memory.u32[(state + CODE_BASE) >>> 2] = 16 * i
    find(1)
    expect(templates.count).toBeLessThanOrEqual(MOST)
  }
})
