// What the compiler makes of small pieces of code, for people to read: a change of the compiler shows here as a diff.
import { moduleText } from '@retrap/wasm-emitter'
import { eax, ebx, ecx, edi, qword, rax, rbx, rcx, rsi } from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { expect, test } from 'vitest'
import type { CompiledCode } from '../../src/index.ts'
import { BareCpu, CODE } from '../support/bare-cpu.ts'

/** Runs a loop, and gives what has been compiled of it first. */
function compiled(body: (asm: Assembler) => void): CompiledCode {
  const units: CompiledCode[] = []
  const jit = { threshold: 4, fewestInstructions: 2, onCode: (code: CompiledCode): void => void units.push(code) }
  const pc = new BareCpu({ jit, poison: false })
  pc.program((asm) => {
    const loop = asm.label('loop')
    asm.mov(ecx, 100).mov(rsi, 0x1_0000).bind(loop)
    body(asm)
    asm.dec(ecx).jne(loop).hlt()
  })
  pc.rip = CODE
  expect(pc.run(10_000).reason).toBe('hlt')
  return units[0]!
}

/** The module's text, with each instruction of the guest before its code. */
function annotated({ module, instructions, marks }: CompiledCode): string {
  const comments = marks.map(({ at, instruction, goesOn }) => {
    const guest = instructions[instruction]
    const text = guest === undefined ? 'the unit' : `${guest.address.toString(16)} ${Array.from(guest.bytes).join(' ')}`
    return { at, text: goesOn ? `${text} (continued)` : text }
  })
  return moduleText(module, { comments })
}

/** An instruction that a branch sometimes skips. */
function skipped(asm: Assembler): Assembler {
  const after = asm.label()
  return asm.jne(after).inc(ebx).bind(after)
}

test.each([
  // A comparison that only its branch reads is one comparison; INC keeps CF, which is computed where the unit is left.
  ['arithmetic', (asm: Assembler) => asm.add(eax, ebx).ror(eax, 7).inc(ebx).xor(rax, rcx)],
  ['memory', (asm: Assembler) => asm.add(rax, qword(rsi)).mov(qword(rsi), rax)],
  // What lies beside an access needs no look into the TLB, also after paths have met that begin behind that access.
  ['paths', (asm: Assembler) => skipped(asm.add(rax, qword(rsi)).test(eax, 1)).sub(rax, qword(rsi, { disp: 8 }))],
])('%s', async (name, body) => {
  const code = compiled((asm) => void body(asm))
  // Where the records lie is no concern of the reader's, nor which function of the interpreter leaves a unit.
  const text = annotated(code)
    .replaceAll(/(i32\.const )\d{6,}/g, '$1(an address)')
    .replaceAll(/(i32\.const )\d+(\s+return_call_indirect)/g, '$1(a function)$2')
  await expect(text).toMatchFileSnapshot(`wat/${name}.wat`)
})

/** The names of the Wasm instructions that follow the mark of each guest instruction. */
function namesByMark(code: CompiledCode): Map<number, string[]> {
  const names = new Map<number, string[]>()
  let current: string[] = []
  for (const line of annotated(code)
    .split('\n')
    .map((each) => each.trim())) {
    const [, address] = /^;; ([\da-f]+) /.exec(line) ?? []
    if (address !== undefined) names.set(Number(`0x${address}`), (current = names.get(Number(`0x${address}`)) ?? []))
    else if (line.startsWith(';;')) current = []
    else current.push(line.replace(/ .*/, ''))
  }
  return names
}

test('what is emitted stands behind the guest instruction that it is of', () => {
  // CPUID is the host's: registers are spilled before it, which is known when all is emitted, and moves what follows.
  const kept = (asm: Assembler): Assembler => asm.mov(edi, ecx).cpuid().mov(ecx, edi)
  const code = compiled((asm) => kept(kept(asm.imul(rax, rax, 3)).xor(rbx, rcx)))
  const [multiply, , called, restored, xor, , , restoredAgain, count, branch] = [...namesByMark(code).entries()]
    .toSorted(([a], [b]) => a - b)
    .map(([, names]) => names)
  expect(multiply).toContain('i64.mul')
  expect(called).toContain('call')
  expect(xor).toContain('i64.xor')
  for (const each of [restored, xor, restoredAgain])
    expect(each!.filter((name) => /mul|call|load|store/.test(name))).toEqual([])
  expect(count).toContain('i32.add')
  expect(branch).toContain('br')
  // Each is marked where its code begins.
  const whole = new Set(code.marks.map(({ instruction }) => instruction))
  expect([...whole].toSorted((a, b) => a - b)).toEqual([-1, ...code.instructions.keys()])
})
