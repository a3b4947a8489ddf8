import { decode, formatIntel } from '@retrap/x86-decoder'

const code = Uint8Array.of(0x48, 0x89, 0xd8, 0x0f, 0xc1, 0xd8, 0xe2, 0xfb)
for (let at = 0; at < code.length;) {
  const insn = decode(code.subarray(at), { mode: 64, address: 0x1000n + BigInt(at) })
  console.log(formatIntel(insn))
  at += insn.length
}

// Output:
// mov rax, rbx
// xadd eax, ebx
// loop 0x1003
