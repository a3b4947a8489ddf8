// Prints machine code in Intel syntax, and what one instruction reads and writes.
import { decode, decodeAll, formatIntel } from '@retrap/x86-decoder'

const code = Uint8Array.of(0x48, 0x8b, 0x44, 0xcb, 0x10, 0xf0, 0x0f, 0xc1, 0x02, 0x75, 0xf5, 0xc3)

for (const insn of decodeAll(code, { mode: 64, address: 0x401000n })) {
  console.log(`${insn.address.toString(16)}  ${formatIntel(insn)}`)
}

const load = decode(code)
for (const operand of load.operands) console.log(operand.kind, operand.access, operand.size)

// Output:
// 401000  mov rax, qword ptr [rbx+rcx*8+0x10]
// 401005  lock xadd dword ptr [rdx], eax
// 401009  jne 0x401000
// 40100b  ret
// register w 8
// memory r 8
