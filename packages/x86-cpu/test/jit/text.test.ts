// What the compiler makes of small pieces of code, for people to read: a change of the compiler shows here as a diff.
import { moduleText } from '@retrap/wasm-emitter'
import { eax, ebx, ecx, qword, rax, rcx, rsi } from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { expect, test } from 'vitest'
import type { CompiledCode } from '../../src/index.ts'
import { BareCpu, CODE } from '../support/bare-cpu.ts'

/** Runs a loop, and gives what has been compiled of it first. */
function compiled(body: (asm: Assembler) => void): CompiledCode {
  const units: CompiledCode[] = []
  const pc = new BareCpu({ jit: { threshold: 4, fewestInstructions: 2, tier: 2, onCode: (code) => units.push(code) } })
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
  const guest = code.instructions.map(
    ({ address, bytes }) => `;; ${address.toString(16)} ${Array.from(bytes).join(' ')}\n`,
  )
  // Where the records lie is no concern of the reader's, nor which function of the interpreter leaves a unit.
  const text = moduleText(code.module)
    .replaceAll(/(i32\.const )\d{6,}/g, '$1(an address)')
    .replaceAll(/(i32\.const )\d+(\s+return_call_indirect)/g, '$1(a function)$2')
  await expect(guest.join('') + text).toMatchFileSnapshot(`wat/${name}.wat`)
})
