import { ModuleBuilder } from '@retrap/wasm-emitter'
import { expect, test } from 'vitest'
import { generateInterpreter, importDispatch, importMachineMemory, type InterpreterForms } from '../src/interpreter.ts'
import { OP_LEAVE, R_OFFSET, R_OP } from '../src/record.ts'
import { STATUS_LEAVE } from '../src/status.ts'
import { RELOCATED, S_BASE, S_BUDGET, S_MASK, S_PAGE_BASE, S_PC, WIDE } from './toy/state.ts'

const STATE = 0x1000
const RECORD = 0x2000

/** An instruction set without instructions. */
const NOTHING: InterpreterForms<string> = {
  forms: [],
  hot: new Set(),
  keyOf: (form) => form,
  emitFunction: () => 'plain',
  emitInline: () => {},
}

const { programCounterMask: _, ...unmasked } = RELOCATED

test.each([
  { what: 'is the linear address where it has no base', layout: WIDE, pc: 0x1234n },
  { what: 'is relative to its base', layout: unmasked, pc: 0x1234n - 0x3000n },
  { what: 'has the bits of its mask', layout: RELOCATED, pc: (0x1234n - 0x3000n) & 0xffff_ffffn },
])('the program counter that the loop leaves $what', ({ layout, pc }) => {
  const module = new ModuleBuilder()
  importMachineMemory(module, false)
  const { bytes } = generateInterpreter(module, importDispatch(module), layout, NOTHING)
  const memory = new WebAssembly.Memory({ initial: 1 })
  const unexpected = (): never => expect.unreachable('no function of the host is called')
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(bytes)), {
    cpu: { memory, system: unexpected, fetch: unexpected, cross: unexpected, hot: unexpected },
  })
  const view = new DataView(memory.buffer)
  view.setBigUint64(STATE + S_PAGE_BASE, 0x1000n, true)
  view.setBigUint64(STATE + S_BASE, 0x3000n, true)
  view.setBigUint64(STATE + S_MASK, 0xffff_ffffn, true)
  view.setUint32(STATE + S_BUDGET, 7, true)
  view.setUint16(RECORD + R_OP, OP_LEAVE, true)
  view.setUint16(RECORD + R_OFFSET, 0x234, true)
  const run = exports['run'] as (state: number, record: number) => number
  expect(run(STATE, RECORD)).toBe(STATUS_LEAVE)
  expect(view.getBigUint64(STATE + S_PC, true)).toBe(BigInt.asUintN(64, pc))
  expect(view.getUint32(STATE + S_BUDGET, true)).toBe(7)
})
