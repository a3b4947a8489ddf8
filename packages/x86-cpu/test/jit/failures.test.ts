/** An error in the compiler of hot code: the interpreter goes on with the code, and the error is counted. */
import { UnitTable } from '@retrap/engine'
import { al, eax, rax, rcx, rdx, rsi, qword, ebx, ecx, edx, ptr } from '@retrap/x86-assembler'
import type { Assembler, Label } from '@retrap/x86-assembler'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { X86Compiled } from '../../src/jit/x86-compiled.ts'
import { BareCpu, CODE } from '../support/bare-cpu.ts'
import { EAGER_JIT } from '@retrap/tooling/jit'

afterEach(() => {
  vi.restoreAllMocks()
})

function loop(asm: Assembler, again: Label): void {
  asm.mov(ecx, 1000).bind(again)
  asm.add(rax, rcx).dec(ecx).jne(again)
}

/** A loop whose computed jump gets to its second place after its unit has been compiled. */
function growing(asm: Assembler, again: Label): void {
  const [table, next] = [asm.label('table'), asm.label('next')]
  const [first, second] = [asm.label('first'), asm.label('second')]
  asm.mov(ecx, 1000).lea(rsi, ptr(table)).bind(again)
  asm
    .mov(edx, ecx)
    .and(edx, 1)
    .jmp(qword(rsi, { index: rdx, scale: 8 }))
  asm.bind(first).add(rax, rcx).jmp(next)
  asm.bind(second).xor(rax, rcx)
  asm.align(8).bind(table).dq(first).dq(second)
  asm.bind(next).dec(ecx).jne(again)
}

function run(build: (asm: Assembler, again: Label) => void, jit: typeof EAGER_JIT | false): BareCpu {
  const pc = new BareCpu({ jit })
  pc.program((asm) => {
    const again = asm.label('again')
    build(asm, again)
    // Once more, by a branch that is not linked to the loop yet.
    asm.mov(ecx, 1000).dec(ebx).je(again).hlt()
  })
  pc.setRegister('rbx', 1)
  expect(pc.run(100_000)).toEqual({ reason: 'hlt' })
  return pc
}

/** Ways of failing; each lets `good` units through. */
const FAILURES: readonly (readonly [string, (good: number) => void])[] = [
  ['translating', (good) => failAfter(good, X86Compiled.prototype, 'beginUnit')],
  ['compiling the WebAssembly', (good) => failAfter(good, WebAssembly, 'Module')],
  ['making it an entry of the table', (good) => failAfter(good, UnitTable.prototype, 'install')],
]

function failAfter(good: number, object: object, name: string): void {
  const functions = object as Record<string, (...operands: unknown[]) => unknown>
  const original = functions[name]!
  let calls = 0
  vi.spyOn(functions, name).mockImplementation(function (this: unknown, ...operands) {
    if (calls++ >= good) throw new RangeError('out of memory, says the test')
    return new.target === undefined
      ? original.apply(this, operands)
      : (Reflect.construct(original, operands) as unknown)
  })
}

describe.each(FAILURES)('an error in %s', (_, fail) => {
  test.each([
    ['of the first unit', loop, 0],
    ['of a unit that grows', growing, 2],
  ] as const)('%s leaves the code to the interpreter', (_, build, good) => {
    const plain = run(build, false)
    fail(good)
    const failing = run(build, EAGER_JIT)
    expect(failing.register('rax')).toBe(plain.register('rax'))
    expect(failing.cpu.retired).toBe(plain.cpu.retired)
    expect(failing.engine.jitCounts).toMatchObject({
      failures: expect.any(Number),
      firstFailure: 'RangeError: out of memory, says the test',
      live: good > 0 ? expect.any(Number) : 0,
    })
    expect(failing.engine.jitCounts?.failures).toBeGreaterThan(0)
    // A place that has failed is not tried again and again.
    expect(failing.engine.jitCounts?.failures).toBeLessThan(10)
  })
})

test('code after an error is compiled', () => {
  const spy = vi.spyOn(X86Compiled.prototype, 'beginUnit').mockImplementationOnce(() => {
    throw new TypeError('a mistake in the compiler')
  })
  const pc = new BareCpu({ jit: EAGER_JIT })
  pc.program((asm) => {
    const [first, second] = [asm.label('first'), asm.label('second')]
    asm.mov(ecx, 100).bind(first).dec(ecx).jne(first)
    asm.mov(ecx, 100).bind(second).dec(ecx).jne(second).hlt()
  })
  pc.run()
  expect(spy).toHaveBeenCalledTimes(2)
  expect(pc.engine.jitCounts).toMatchObject({ failures: 1, units: 1, live: 1 })
})

test('what a device throws within a unit ends the run as it does in the interpreter', () => {
  const [plain, compiled] = [false as const, EAGER_JIT].map((jit) => {
    const pc = new BareCpu({ jit })
    let reads = 0
    pc.host.ports.set(0x60, {
      read: () => {
        if (++reads === 100) throw new RangeError('a broken model')
        return 7n
      },
      write: () => true,
    })
    pc.program((asm) => {
      const again = asm.label('again')
      asm.bind(again).add(ebx, 3).in(al, 0x60).add(ecx, eax).jmp(again)
    })
    const exit = pc.cpu.run(10_000)
    return { pc, exit, registers: [...pc.cpu.registers.general], rip: pc.rip, retired: pc.cpu.retired }
  })
  expect(plain).toMatchObject({ exit: { reason: 'error', error: { message: 'a broken model' } }, rip: CODE + 3 })
  expect({ ...compiled, pc: undefined }).toEqual({ ...plain, pc: undefined })
  expect(compiled!.pc.engine.jitCounts!.exits.handler).toBe(1)
})
