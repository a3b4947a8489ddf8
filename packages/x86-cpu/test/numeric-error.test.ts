/**
 * x87 exceptions while CR0.NE is clear: FERR#, of which the world makes an interrupt, and IGNNE#. Source: SDM vol. 1,
 * appendix D, "Guidelines for Writing x87 FPU Exception Handlers".
 */
import { ax, cr0, eax, ebx, ecx, ptr, rax, st0, st1, word } from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { expect, test } from 'vitest'
import { BareCpu } from './support/bare-cpu.ts'

const FERR = 0x2d
const MATH_FAULT = 16
const HANDLER = 0x5000
const FAULT_HANDLER = 0x6000
const CONTROL = 0x7000
const DATA = 0x7010
/** Of the status word: division by zero, the summary and B; the top of the stack is register 6. */
const PENDING = 0xb084

/** Divides by zero with the exception unmasked; counts in EBX the instructions behind that which wait for it. */
function program(asm: Assembler): void {
  asm.fninit().mov(word(CONTROL), 0x37b).fldcw(ptr(CONTROL)).sti()
  asm.fld1().fldz().fdivp(st1, st0)
  asm.bind(asm.label('waits')).fwait().inc(ebx).fld1().inc(ebx).hlt()
}

interface World {
  /** There is a line FERR#, which raises an interrupt. */
  readonly hasLine?: boolean
  /** IGNNE# is asserted with the interrupt. */
  readonly ignores?: boolean
  /** CR0.NE is set. */
  readonly ne?: boolean
  readonly mode?: 'real' | 'long'
  readonly handler: (asm: Assembler) => unknown
}

function run({ hasLine = true, ignores = false, ne = false, mode = 'long', handler }: World) {
  const pc = new BareCpu({ mode })
  const at = pc.program((asm) => {
    if (ne) asm.mov(rax, cr0).or(eax, 0x20).mov(cr0, rax)
    program(asm)
  })
  pc.program((asm) => void handler(asm), HANDLER)
  pc.program((asm) => asm.inc(ecx).hlt(), FAULT_HANDLER)
  pc.vector(FERR, HANDLER)
  pc.vector(MATH_FAULT, FAULT_HANDLER)
  const asserted: number[] = []
  const numericError = (): void => {
    asserted.push(pc.rip - at('waits'))
    if (asserted.length > 1) return
    pc.interrupt(FERR)
    if (ignores) pc.cpu.ignoreNumericError()
  }
  if (hasLine) Object.assign(pc.host, { numericError })
  for (let turn = 0; turn < 4; turn++) pc.turn(1000)
  const [waited, faults] = [Number(pc.register('rbx')), Number(pc.register('rcx'))]
  return { asserted, waited, faults, status: Number(pc.register('rax') & 0xffffn) }
}

const LEAVE = { asserted: [0], waited: 2, faults: 0 }

test('an exception that waits asserts FERR# once; its handler clears it, and the instruction executes', () => {
  expect(run({ handler: (asm) => asm.fnstsw(ax).fnclex().iretq() })).toEqual({ ...LEAVE, status: PENDING })
})

test.each([
  { what: 'without such a line', world: { hasLine: false } },
  { what: 'with CR0.NE set', world: { ne: true } },
])('$what it is #MF', ({ world }) => {
  const seen = run({ ...world, handler: (asm) => asm.hlt() })
  expect(seen).toMatchObject({ asserted: [], waited: 0, faults: 1 })
})

test('with IGNNE# the handler may calculate while it is pending, until it is cleared', () => {
  // FLD1 and FSTP would wait.
  const handler = (asm: Assembler): unknown => asm.fld1().fstp(st0).fnstsw(ax).fnclex().fld1().fstp(st0).iretq()
  expect(run({ ignores: true, handler })).toEqual({ ...LEAVE, status: PENDING })
})

test('without IGNNE# a handler that calculates stands still, and FERR# is asserted again', () => {
  const seen = run({ handler: (asm) => asm.fld1().fnclex().iretq() })
  expect([seen.asserted.length, seen.waited, seen.faults]).toEqual([2, 0, 0])
})

test('with IGNNE# an exception that nobody clears is passed over', () => {
  const seen = run({ ignores: true, handler: (asm) => asm.iretq() })
  expect(seen).toMatchObject({ asserted: [0], waited: 2, faults: 0 })
})

test('its operands in memory are checked as ever: by segments, where there are some', () => {
  const handler = (asm: Assembler): unknown =>
    asm.fild(word(DATA)).fstp(st0).fiadd(word(DATA)).fnstsw(ax).fnclex().iret()
  expect(run({ ignores: true, mode: 'real', handler })).toEqual({ ...LEAVE, status: PENDING })
})
