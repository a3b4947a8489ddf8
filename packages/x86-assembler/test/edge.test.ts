// What plain JavaScript may hand over by mistake: the answer is an AssemblerError, and never an error of the engine's.
import { JUNK as VALUES, Untyped } from '@retrap/tooling/misuse'
import { expect, test } from 'vitest'
import * as assembler from '../src/index.ts'
import { Assembler, AssemblerError, dword, eax, rax, zmm1 } from '../src/index.ts'

const JUNK: readonly unknown[] = [...VALUES, new Uint8Array(2), { base: 1 }, { type: 'register' }]

type Anything = (...args: readonly unknown[]) => unknown

test('functions take junk for a mistake', () => {
  const strange = new Untyped(AssemblerError)
  const functions = Object.entries(assembler).filter(
    ([, value]) => typeof value === 'function' && !Function.prototype.toString.call(value).startsWith('class'),
  ) as [string, Anything][]
  expect(functions.length).toBeGreaterThan(20)
  for (const [name, run] of functions) {
    for (const first of JUNK) {
      strange.attempt(name, () => run(first))
      strange.attempt(name, () => run(rax, first))
      for (const second of JUNK) strange.attempt(name, () => run(first, second))
    }
  }
  for (const value of JUNK) {
    for (const option of ['index', 'scale', 'disp', 'segment', 'dispBits', 'addressBits']) {
      strange.attempt(option, () =>
        new Assembler()
          .mov(eax, dword(rax, { [option]: value }))
          .assemble()
          .listing(),
      )
    }
    strange.attempt('k', () => zmm1.k(value as never))
    strange.attempt('bcst', () => new Assembler().vaddps(zmm1, zmm1, dword(rax).bcst(value as never)))
  }
  expect([...strange.found]).toEqual([])
})

test('methods take junk for a mistake', () => {
  const strange = new Untyped(AssemblerError)
  const methods =
    'mov add jmp call ret int lodsb vaddps instruction form encoding operandSize addressSize prefix db dw dd dq float32 float64 ascii asciz utf16 fill org align alignCode nops section bits label here bind likely'
  for (const method of methods.split(' ')) {
    for (const junk of JUNK) {
      for (const args of [[junk], [rax, junk], [junk, rax], [eax, 1, junk], [junk, junk]]) {
        strange.attempt(method, () => {
          const asm = new Assembler()
          const run = (asm as unknown as Record<string, Anything>)[method]!
          run.apply(asm, args)
          asm.nop().assemble().listing()
        })
      }
    }
  }
  for (const junk of JUNK) {
    strange.attempt('constructor', () => new Assembler(junk as never))
    for (const option of ['bits', 'address']) {
      strange.attempt(option, () => new Assembler({ [option]: junk }).nop().assemble().listing())
    }
    for (const option of ['address', 'load', 'align']) {
      strange.attempt(option, () =>
        new Assembler()
          .section('x', { [option]: junk })
          .nop()
          .assemble()
          .flatten(),
      )
    }
    const program = new Assembler().nop().assemble()
    strange.attempt('addressOf', () => program.addressOf(junk as never))
    strange.attempt('flatten', () => program.flatten(junk as never))
    strange.attempt('size', () => program.flatten({ size: junk as never }))
    strange.attempt('base', () => program.flatten({ base: junk as never }))
    strange.attempt('listing', () => program.listing(junk as never))
    for (const method of ['plus', 'minus', 'bits']) {
      strange.attempt(method, () => {
        const asm = new Assembler()
        const label = asm.here('a')
        const run = (label as unknown as Record<string, Anything>)[method]!
        asm.dq(run.call(label, junk, 8) as never).assemble()
      })
    }
  }
  expect([...strange.found]).toEqual([])
})
