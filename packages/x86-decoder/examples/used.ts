// Lists what each instruction of a function uses: registers and memory, also those that no operand names.
import { decodeAll, formatIntel, usedResources } from '@retrap/x86-decoder'

const code = Uint8Array.of(0xf7, 0x63, 0x08, 0x50, 0xf3, 0xaa, 0x48, 0x8d, 0x04, 0xcb, 0xc9, 0xc3)

for (const insn of decodeAll(code)) {
  const { registers, memory } = usedResources(insn.instruction)
  const used = registers.map(({ name, access }) => `${name} ${access}`)
  for (const { segment, base, displacement, access } of memory) {
    used.push(`${segment}:[${base ?? ''}${displacement < 0n ? '' : '+'}${displacement}] ${access}`)
  }
  console.log(`${formatIntel(insn).padEnd(35)} ${used.join(', ')}`)
}

// Output:
// mul dword ptr [rbx+0x8]             rbx r, eax r, rax w, rdx w, ds:[rbx+8] r
// push rax                            rax r, rsp rw, ss:[rsp-8] w
// rep stosb byte ptr es:[rdi], al     rdi crw, al cr, rcx crw, es:[rdi+0] cw
// lea rax, [rbx+rcx*8]                rax w, rbx r, rcx r
// leave                               rsp w, rbp rw, ss:[rbp+0] r
// ret                                 rsp rw, ss:[rsp+0] r
